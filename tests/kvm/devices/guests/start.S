/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the long-mode guests: call guest_main(), then halt for ever with interrupts on. And the entry of IRQ 4,
 * which calls guest_irq4() and acknowledges at the interrupt controller.
 */
	.code64
	.section .text.entry, "ax"
	.global _start
_start:
	mov $0x90000, %rsp
	cld
	call guest_main
1:	sti
	hlt
	jmp 1b

	.text
	.global irq4_entry
irq4_entry:
	push %rax
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	cld
	call guest_irq4
	mov $0x20, %al
	out %al, $0x20
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rax
	iretq
	.section .note.GNU-stack, "", @progbits

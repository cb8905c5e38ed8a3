/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first instructions, and the way into C for interrupts.
 *
 * The guest is entered in long mode with interrupts off, the first GiB mapped to itself, a stack, RDI holding the
 * memory's size and RSI the number of vCPUs. What its segments were loaded from belongs to whoever started it, so it
 * loads its own.
 *
 * Every vector's entry is 16 bytes long, so that C finds the n-th without a table. An entry pushes a zero where the
 * processor pushed no error code, then its number; the rest is common. With the registers saved here the frame is 128
 * bytes, and the processor aligned the stack to 16 before it pushed its part: C gets the alignment that it wants.
 */
#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10

	.section .text.entry, "ax"
	.code64
	.global _start
_start:
	cld
	lgdt gdt_pointer
	pushq $CODE_SELECTOR
	pushq $reload_segments
	lretq
reload_segments:
	mov $DATA_SELECTOR, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	call guest_main
stop:
	cli
	hlt
	jmp stop

	.text
	.balign 16
	.global interrupt_entries
interrupt_entries:
	.set vector, 0
	.rept 48
	.balign 16
	/* Exceptions 8, 10 to 14, 17, 21, 29 and 30 come with an error code (Intel SDM volume 3, table 6-1). */
	.if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21 && vector != 29 && vector != 30
	pushq $0
	.endif
	pushq $vector
	jmp interrupt_common
	.set vector, vector + 1
	.endr

interrupt_common:
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
	mov %rsp, %rdi
	call interrupt_handle
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

	.section .rodata, "a"
	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 64-bit code, accessed */
	.quad 0x00cf93000000ffff /* data, accessed */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.quad gdt

	.section .note.GNU-stack, "", @progbits

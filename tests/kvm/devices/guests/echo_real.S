/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Echoes what comes in on COM1 by IRQ 4, in real mode: the PIC at its PC vectors, the handler in the interrupt vector
 * table. Says "ready" when it listens.
 */
	.code16
	.section .text.entry, "ax"
	.global _start
_start:
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %ss
	mov $0x1000, %sp
	movw $irq4, 0x0c * 4
	movw $0, 0x0c * 4 + 2

	mov $0x11, %al          /* ICW1 to ICW4: vectors from 8, IRQ 4 alone unmasked */
	out %al, $0x20
	mov $0x08, %al
	out %al, $0x21
	mov $0x04, %al
	out %al, $0x21
	mov $0x01, %al
	out %al, $0x21
	mov $0xef, %al
	out %al, $0x21

	mov $0x3fb, %dx         /* LCR, FCR, MCR, IER */
	mov $0x03, %al
	out %al, %dx
	mov $0x3fa, %dx
	mov $0x87, %al
	out %al, %dx
	mov $0x3fc, %dx
	mov $0x0b, %al
	out %al, %dx
	mov $0x3f9, %dx
	mov $0x01, %al
	out %al, %dx

	mov $0x5e0, %dx
	mov $0, %al
	out %al, %dx
1:	sti
	hlt
	jmp 1b

irq4:	push %ax
	push %dx
2:	mov $0x3fd, %dx
	in %dx, %al
	test $0x01, %al
	jz 3f
	mov $0x3f8, %dx
	in %dx, %al
	out %al, %dx
	jmp 2b
3:	mov $0x20, %al
	out %al, $0x20
	pop %dx
	pop %ax
	iret
	.section .note.GNU-stack, "", @progbits

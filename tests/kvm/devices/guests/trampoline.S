/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other processors of processors.c run: real mode, position-independent, with data in the segment of the
 * code: how many have done their work at 0x800, the word that lets them go on at 0x804.
 */
	.section .rodata, "a"
	.code16
	.global trampoline, trampoline_end
trampoline:
	cli
	mov %cs, %ax
	mov %ax, %ds
	mov $1, %eax
	cpuid
	shr $24, %ebx           /* the processor's number: its APIC id */

	mov $10, %al
	add %bl, %al
	mov $0x5e0, %dx
	out %al, %dx

	mov $'a', %al
	add %bl, %al
	mov $0x3f8, %dx
	mov $200, %cx
1:	out %al, %dx
	loop 1b

	mov $20, %al
	add %bl, %al
	mov $0x5e0, %dx
	out %al, %dx

	lock incl 0x800
2:	pause
	cmpl $0, 0x804
	je 2b
	mov $0xfe, %al
	out %al, $0x64
3:	hlt
	jmp 3b
trampoline_end:
	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests of a few instructions, copied by the tests to where their mode starts: 0x1000 in real mode, 0x100000 else.
 *
 * Ports: 0xf4 stops, 0xf8 reports a value, 0xfc reads a counter.
 */

	.section .rodata

	.macro guest name, bits
	.balign 16
	.code\bits
	.globl guest_\name
guest_\name:
	.endm

	.macro guest_end name
	.globl guest_\name\()_end
guest_\name\()_end:
	.code64
	.endm

/* Report that real mode is where we are: CS, IP and SP as they were at the entry. */
guest entry_real, 16
	mov	%sp, %bx
	mov	%cs, %ax
	out	%ax, $0xf8
	call	1f
1:	pop	%ax
	sub	$(1b - guest_entry_real), %ax
	out	%ax, $0xf8
	mov	%bx, %ax
	out	%ax, $0xf8
	mov	%edi, %eax
	out	%eax, $0xf8
	mov	%esi, %eax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
guest_end entry_real

/* Protected mode: CR0, EIP, ESP, the arguments, and a load of every segment from the GDT. */
guest entry_protected, 32
	mov	%esp, %ebx
	mov	%cr0, %eax
	out	%eax, $0xf8
	call	1f
1:	pop	%eax
	sub	$(1b - guest_entry_protected), %eax
	out	%eax, $0xf8
	mov	%ebx, %eax
	out	%eax, $0xf8
	mov	%edi, %eax
	out	%eax, $0xf8
	mov	%esi, %eax
	out	%eax, $0xf8
	mov	$0x10, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	ljmp	$0x08, $(0x100000 + 2f - guest_entry_protected)
2:	mov	$0x600d, %eax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
guest_end entry_protected

/* Long mode: a 64-bit register, RIP, RSP, the arguments, a reload of CS from the GDT, and memory at the tables' end. */
guest entry_long, 64
	mov	%rsp, %rbx
	movabs	$0x123456789abcdef0, %rax
	shr	$32, %rax
	out	%eax, $0xf8
	lea	guest_entry_long(%rip), %rax
	out	%eax, $0xf8
	mov	%ebx, %eax
	out	%eax, $0xf8
	mov	%edi, %eax
	out	%eax, $0xf8
	mov	%esi, %eax
	out	%eax, $0xf8
	mov	$0x10, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	push	$0x08
	lea	2f(%rip), %rax
	push	%rax
	lretq
2:	mov	$0xffffffff, %eax
	mov	-4095(%rax), %ecx
	mov	$0x600d, %eax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
guest_end entry_long

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the guests: call guest_main(), say that it is done, and halt for ever with interrupts off. And the entries
 * of vectors 0 to VECTOR_COUNT - 1: each 16 bytes after the one before, with the vector on the stack.
 */
#include "report.h"

	.code64
	.section .text.entry, "ax"
	.global _start
_start:
	mov $0x90000, %rsp
	cld
	call guest_main
	mov $EVENT_DONE, %al
	mov $0x5e0, %dx
	out %al, %dx
1:	cli
	hlt
	jmp 1b

	.text
	.global vector_entries
	.balign 16
vector_entries:
	.set vector, 0
	.rept VECTOR_COUNT
	.balign 16
	push $vector
	jmp taken
	.set vector, vector + 1
	.endr

taken:
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
	mov 72(%rsp), %rdi /* the vector */
	mov 80(%rsp), %rsi /* RIP, or an error code */
	call base_interrupt
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rax
	add $8, %rsp
	iretq
	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other processors run: real mode, position-independent, with data in the segment of the code. Each holds
 * patterns of its own in its registers, and signals an event of its own if it finds them again.
 */
#include "processors.h"

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
	mov $PATTERN_HIGH, %esi
	or %ebx, %esi
	mov %esi, %edi
	not %edi
	mov %esi, %ebp
	rol $8, %ebp

	lock incl AT_STANDING
1:	pause
	cmpl $0, AT_FOLLOW
	je 1b

	mov $1, %eax
	cpuid
	shr $24, %ebx
	mov $PATTERN_HIGH, %eax
	or %ebx, %eax
	cmp %eax, %esi
	jne 2f
	ror $8, %ebp
	cmp %eax, %ebp
	jne 2f
	not %edi
	cmp %eax, %edi
	jne 2f
	mov $EVENT_PROCESSOR, %al
	add %bl, %al
	mov $0x5e0, %dx
	out %al, %dx
	lock incl AT_FINISHED
2:	hlt
	jmp 2b
trampoline_end:
	.section .note.GNU-stack, "", @progbits

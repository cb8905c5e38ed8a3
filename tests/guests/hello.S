/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says "hello" and the name of its mode on COM1, signals ready, and halts. One source for the three entry modes.
 */
#if defined(GUEST_ENTRY_REAL)
	.code16
#define SOURCE %si
#define MODE "real"
#elif defined(GUEST_ENTRY_PROTECTED)
	.code32
#define SOURCE %esi
#define MODE "protected"
#else
	.code64
#define SOURCE %rsi
#define MODE "long"
#endif

#define COM1        0x3f8
#define SIGNAL_PORT 0x5e0

	.section .text.entry, "ax"
	.global _start
_start:
	cld
	mov $message, SOURCE
	mov $COM1, %dx
1:	lodsb
	test %al, %al
	jz 2f
	out %al, %dx
	jmp 1b

2:	mov $SIGNAL_PORT, %dx
	out %al, %dx
3:	cli
	hlt
	jmp 3b

	.section .rodata, "a"
message:
	.asciz "hello from " MODE " mode\n"
	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code of an ELF kernel with both entries: in 64-bit mode at byte 8, with the zero page in RSI, and by PVH at byte
 * 16, with the start info in EBX. Each writes its command line to COM1, then the eight bytes that begin the RSDP,
 * signals the number of its entry, and turns the machine off. It runs wherever it is loaded.
 */
#define COM1        0x3f8
#define SIGNAL_PORT 0x5e0
#define SLEEP_PORT  0x600
#define SLEEP_OFF   0x34

/* Documentation/arch/x86/zero-page.rst, boot.rst. */
#define ZERO_PAGE_RSDP    0x070
#define ZERO_PAGE_CMDLINE 0x228

/* Xen's public/arch-x86/hvm/start_info.h. */
#define START_INFO_CMDLINE 24
#define START_INFO_RSDP    32

/* The command line is at ESI, the RSDP at EBX: the same instructions in both modes. */
.macro report entry
	cld
	mov $COM1, %dx
1:	lodsb
	test %al, %al
	jz 2f
	out %al, %dx
	jmp 1b
2:	mov %ebx, %esi
	mov $8, %ecx
	rep outsb
	mov $\entry, %al
	mov $SIGNAL_PORT, %dx
	out %al, %dx
	mov $SLEEP_OFF, %al
	mov $SLEEP_PORT, %dx
	out %al, %dx
3:	cli
	hlt
	jmp 3b
.endm

	.section .text.entry, "ax"
	.global _start
	.code64
_start:
	hlt
	.org 8
	jmp entry64
	.code32
	.org 16
	jmp entry_pvh

	.code64
entry64:
	mov ZERO_PAGE_RSDP(%rsi), %ebx
	mov ZERO_PAGE_CMDLINE(%rsi), %esi
	report 64

	.code32
entry_pvh:
	mov START_INFO_CMDLINE(%ebx), %esi
	mov START_INFO_RSDP(%ebx), %ebx
	report 32
	.section .note.GNU-stack, "", @progbits

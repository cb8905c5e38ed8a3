/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold_registers(): put a pattern into every general register and into RFLAGS, signal ready, spin until the report says
 * go, and write what the registers hold then into the report's values.
 */
#include "registers.h"
#include "report.h"

	.code64
	.text
	.global hold_registers
hold_registers:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, stack

	pushfq
	orq $RFLAGS_HELD, (%rsp)
	popfq
	movabs $PATTERN_RAX, %rax
	movabs $PATTERN_RBX, %rbx
	movabs $PATTERN_RCX, %rcx
	movabs $PATTERN_RDX, %rdx
	movabs $PATTERN_RSI, %rsi
	movabs $PATTERN_RDI, %rdi
	movabs $PATTERN_RBP, %rbp
	movabs $PATTERN_RSP, %rsp
	movabs $PATTERN_R(8), %r8
	movabs $PATTERN_R(9), %r9
	movabs $PATTERN_R(10), %r10
	movabs $PATTERN_R(11), %r11
	movabs $PATTERN_R(12), %r12
	movabs $PATTERN_R(13), %r13
	movabs $PATTERN_R(14), %r14
	movabs $PATTERN_R(15), %r15
	out %al, %dx
1:	pause
	cmpl $0, REPORT_GO
	je 1b

	mov %rax, REPORT_VALUES + 8 * AT_RAX
	mov %rbx, REPORT_VALUES + 8 * AT_RBX
	mov %rcx, REPORT_VALUES + 8 * AT_RCX
	mov %rdx, REPORT_VALUES + 8 * AT_RDX
	mov %rsi, REPORT_VALUES + 8 * AT_RSI
	mov %rdi, REPORT_VALUES + 8 * AT_RDI
	mov %rbp, REPORT_VALUES + 8 * AT_RBP
	mov %rsp, REPORT_VALUES + 8 * AT_RSP
	mov %r8, REPORT_VALUES + 8 * (AT_R8 + 0)
	mov %r9, REPORT_VALUES + 8 * (AT_R8 + 1)
	mov %r10, REPORT_VALUES + 8 * (AT_R8 + 2)
	mov %r11, REPORT_VALUES + 8 * (AT_R8 + 3)
	mov %r12, REPORT_VALUES + 8 * (AT_R8 + 4)
	mov %r13, REPORT_VALUES + 8 * (AT_R8 + 5)
	mov %r14, REPORT_VALUES + 8 * (AT_R8 + 6)
	mov %r15, REPORT_VALUES + 8 * (AT_R8 + 7)

	mov stack, %rsp
	pushfq
	pop %rax
	mov %rax, REPORT_VALUES + 8 * AT_RFLAGS
	push $2
	popfq
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.bss
	.balign 8
stack:
	.quad 0
	.section .note.GNU-stack, "", @progbits

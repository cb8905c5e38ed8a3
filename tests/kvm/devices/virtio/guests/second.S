/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the second processor comes into long mode: straight from real mode, with the registers of the first, which it finds
 * behind the code (Intel SDM volume 3A, 9.8.5; paging and protection may be set at once). Then it calls second_main().
 */
#include "second.h"

	.section .rodata, "a"
	.code16
	.global second_code, second_code_end
second_code:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lgdtl SECOND_GDTR
	mov SECOND_CR4, %eax
	mov %eax, %cr4
	mov SECOND_CR3, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx   /* IA32_EFER */
	mov SECOND_EFER, %eax
	xor %edx, %edx
	wrmsr
	mov SECOND_CR0, %eax
	mov %eax, %cr0
	ljmpl $0x08, $(0x20000 + 1f - second_code)

	.code64
1:	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	movabs $second_stack_end, %rsp
	movabs $second_main, %rax
	call *%rax
2:	hlt
	jmp 2b
second_code_end:

	.bss
	.balign 16
	.skip 4096
second_stack_end:
	.section .note.GNU-stack, "", @progbits

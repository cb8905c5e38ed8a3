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

/*
 * Runs
 */

/* Read the counter for ever, and check that it never skips or repeats. ECX: the value that the next read must give. */
guest port_read_loop, 16
	xor	%ecx, %ecx
1:	in	$0xfc, %eax
	cmp	%ecx, %eax
	jne	2f
	inc	%ecx
	jmp	1b
2:	out	%eax, $0xf8
	mov	%ecx, %eax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
guest_end port_read_loop

/* Report 0, 1, 2, ... for ever. EAX: the value of the next report. */
guest port_write_loop, 16
	xor	%eax, %eax
1:	out	%eax, $0xf8
	inc	%eax
	jmp	1b
guest_end port_write_loop

/* No exits at all. */
guest spin, 16
	xor	%ecx, %ecx
1:	inc	%ecx
	jmp	1b
guest_end spin

/* Halted for good, interrupts off. */
guest halt, 16
1:	hlt
	jmp	1b
guest_end halt

/* Report 2000 bytes of 0x4000 as one string instruction; then stop. */
guest rep_outs, 16
	cld
	mov	$0x4000, %si
	mov	$2000, %cx
	mov	$0xf8, %dx
	rep outsb
	out	%al, $0xf4
	hlt
guest_end rep_outs

/* Read 2000 bytes of the counter to 0x4000 as one string instruction; then stop. */
guest rep_ins, 16
	cld
	mov	$0x4000, %di
	mov	$2000, %cx
	mov	$0xfc, %dx
	rep insb
	out	%al, $0xf4
	hlt
guest_end rep_ins

/* One read of each width from the counter, and one of a port where nothing answers. */
guest port_widths, 16
	xor	%eax, %eax
	in	$0xfc, %al
	out	%eax, $0xf8
	xor	%eax, %eax
	in	$0xfc, %ax
	out	%eax, $0xf8
	in	$0xfc, %eax
	out	%eax, $0xf8
	in	$0x70, %eax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
guest_end port_widths

/* Eight bytes read across a page's end: KVM splits the access. Reported in two halves. */
guest mmio_read, 64
	mov	$0xd0000ffc, %ebx
	mov	(%rbx), %rax
	mov	%rax, %rcx
	out	%eax, $0xf8
	mov	%rcx, %rax
	shr	$32, %rax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
guest_end mmio_read

/* Four bytes written, then eight across a page's end. */
guest mmio_write, 64
	mov	$0xd0000010, %ebx
	movl	$0x11223344, (%rbx)
	mov	$0xd0000ffc, %ebx
	movabs	$0x8877665544332211, %rax
	mov	%rax, (%rbx)
	out	%al, $0xf4
	hlt
guest_end mmio_write

/* Read-modify-write of MMIO for ever: a read and a write exit in one instruction. */
guest mmio_loop, 64
	mov	$0xd0000020, %ebx
	xor	%ecx, %ecx
1:	mov	(%rbx), %eax
	inc	%rcx
	mov	%ecx, (%rbx)
	jmp	1b
guest_end mmio_loop

/* An exception without a table to handle it. */
guest triple_fault, 32
	push	$0
	push	$0
	lidt	(%esp)
	ud2
guest_end triple_fault

/* Jump to an address where no memory is. */
guest jump_nowhere, 64
	mov	$0xd0000000, %eax
	jmp	*%rax
guest_end jump_nowhere

/* Read memory at 0x300000, report it, read the counter (where the test cuts the memory), read memory again. */
guest touch_twice, 64
	mov	$0x300000, %ebx
	mov	(%rbx), %eax
	out	%eax, $0xf8
	in	$0xfc, %eax
	mov	(%rbx), %eax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
guest_end touch_twice

/* Write one byte to pages 5 and 9 each time, report, repeat. */
guest dirty_pages, 16
1:	movb	$0x55, 0x5123
	movb	$0x99, 0x9000
	out	%al, $0xf8
	jmp	1b
guest_end dirty_pages

/* Write to a port and to MMIO that ioeventfds watch, then stop. */
guest notify, 64
	mov	$0x7, %eax
	out	%ax, $0x70
	mov	$0x8, %eax
	out	%ax, $0x70
	mov	$0xd0000100, %ebx
	movl	$1, (%rbx)
	movl	$2, (%rbx)
	out	%al, $0xf4
	hlt
guest_end notify

/*
 * Interrupts. An IDT at 0x11000, gates made at run time; a handler reports its vector.
 */
	.macro set_gate vector, handler
	lea	\handler(%rip), %rax
	mov	$(0x11000 + \vector * 16), %edi
	mov	%ax, (%rdi)
	movw	$0x08, 2(%rdi)
	movw	$0x8e00, 4(%rdi)
	shr	$16, %rax
	mov	%ax, 6(%rdi)
	shr	$16, %rax
	mov	%eax, 8(%rdi)
	movl	$0, 12(%rdi)
	.endm

	.macro load_idt
	sub	$16, %rsp
	movw	$0xfff, (%rsp)
	movq	$0x11000, 2(%rsp)
	lidt	(%rsp)
	add	$16, %rsp
	.endm

	.macro lapic_write register, value
	mov	$(0xfee00000 + \register), %ebx
	movl	$\value, (%rbx)
	.endm

	/* A handler that reports its vector and tells the LAPIC. */
	.macro lapic_handler vector
	push	%rax
	push	%rbx
	mov	$\vector, %eax
	out	%eax, $0xf8
	lapic_write 0xb0, 0
	pop	%rbx
	pop	%rax
	iretq
	.endm

/* The LAPIC's timer, one shot of 100 ms; report 1 while it is armed, wait for its interrupt, stop. */
guest lapic_oneshot, 64
	set_gate 0x50, 2f
	load_idt
	lapic_write 0x0f0, 0x1ff
	lapic_write 0x3e0, 0xb
	lapic_write 0x320, 0x50
	lapic_write 0x380, 100000000
	mov	$1, %eax
	out	%eax, $0xf8
	sti
	hlt
	out	%al, $0xf4
	hlt
2:	lapic_handler 0x50
guest_end lapic_oneshot

/* The same, periodic: three ticks. */
guest lapic_periodic, 64
	set_gate 0x51, 2f
	load_idt
	lapic_write 0x0f0, 0x1ff
	lapic_write 0x3e0, 0xb
	lapic_write 0x320, 0x20051
	lapic_write 0x380, 30000000
	mov	$1, %eax
	out	%eax, $0xf8
	sti
	hlt
	hlt
	hlt
	out	%al, $0xf4
	hlt
2:	lapic_handler 0x51
guest_end lapic_periodic

/* The same in TSC-deadline mode: 2^28 cycles from now. Reports the deadline's low half. */
guest tsc_deadline, 64
	set_gate 0x52, 2f
	load_idt
	lapic_write 0x0f0, 0x1ff
	lapic_write 0x320, 0x40052
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	add	$0x10000000, %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	$0x6e0, %ecx
	wrmsr
	out	%eax, $0xf8
	sti
	hlt
	out	%al, $0xf4
	hlt
2:	lapic_handler 0x52
guest_end tsc_deadline

/* The PIT's channel 0 through the PIC: one shot (mode 0) of 54 ms on vector 0x60. */
guest pit_oneshot, 64
	set_gate 0x60, 2f
	load_idt
	mov	$0x11, %al
	out	%al, $0x20
	out	%al, $0xa0
	mov	$0x60, %al
	out	%al, $0x21
	mov	$0x68, %al
	out	%al, $0xa1
	mov	$0x04, %al
	out	%al, $0x21
	mov	$0x02, %al
	out	%al, $0xa1
	mov	$0x01, %al
	out	%al, $0x21
	out	%al, $0xa1
	mov	$0xfe, %al
	out	%al, $0x21
	mov	$0xff, %al
	out	%al, $0xa1
	mov	$0x30, %al
	out	%al, $0x43
	mov	$0xff, %al
	out	%al, $0x40
	out	%al, $0x40
	mov	$1, %eax
	out	%eax, $0xf8
	sti
	hlt
	out	%al, $0xf4
	hlt
2:	push	%rax
	mov	$0x60, %eax
	out	%eax, $0xf8
	mov	$0x20, %al
	out	%al, $0x20
	pop	%rax
	iretq
guest_end pit_oneshot

/*
 * The IOAPIC's pin 5 on vector 0x45, edge; pin 6 on vector 0x46, level; the PICs masked. Report 1, then wait for
 * interrupts for ever.
 */
guest ioapic_wait, 64
	set_gate 0x45, 2f
	set_gate 0x46, 3f
	load_idt
	mov	$0xff, %al
	out	%al, $0x21
	out	%al, $0xa1
	lapic_write 0x0f0, 0x1ff
	mov	$0xfec00000, %ebx
	movl	$0x1a, (%rbx)
	movl	$0x45, 0x10(%rbx)
	movl	$0x1b, (%rbx)
	movl	$0, 0x10(%rbx)
	movl	$0x1c, (%rbx)
	movl	$0x8046, 0x10(%rbx)
	movl	$0x1d, (%rbx)
	movl	$0, 0x10(%rbx)
	mov	$1, %eax
	out	%eax, $0xf8
1:	sti
	hlt
	jmp	1b
2:	lapic_handler 0x45
3:	lapic_handler 0x46
guest_end ioapic_wait

/*
 * Two processors. The boot processor sends INIT and a startup IPI for 0x8000 to the other one, and halts; when it is
 * woken (vector 0x45 by IPI from the other), it reports 3 and stops.
 */
guest start_ap, 64
	set_gate 0x45, 2f
	load_idt
	lapic_write 0x0f0, 0x1ff
	lapic_write 0x310, 0x01000000
	lapic_write 0x300, 0x00004500
	lapic_write 0x310, 0x01000000
	lapic_write 0x300, 0x00004608
	mov	$1, %eax
	out	%eax, $0xf8
	sti
	hlt
	mov	$3, %eax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
2:	lapic_handler 0x45
guest_end start_ap

/* At 0x8000: report where we are, halt with interrupts on; an NMI wakes to report 0x99 and stop. */
guest ap, 16
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$0x7f00, %sp
	mov	%cs, %ax
	movzx	%ax, %eax
	out	%eax, $0xf8
	movw	$(0x8000 + 1f - guest_ap), 2 * 4
	movw	$0, 2 * 4 + 2
	sti
	hlt
	out	%al, $0xf4
	hlt
1:	mov	$0x99, %eax
	out	%eax, $0xf8
	iret
guest_end ap

/*
 * State, from inside: put a distinctive value into everything that this guest can write, report 1, and after that read
 * it all back and report it. Registers survive on their own: R8 .. R15 and RBP are checked at the end.
 */
	.macro write_msr index, low, high
	mov	$\index, %ecx
	mov	$\low, %eax
	mov	$\high, %edx
	wrmsr
	.endm

	.macro report_msr index
	mov	$\index, %ecx
	rdmsr
	out	%eax, $0xf8
	mov	%edx, %eax
	out	%eax, $0xf8
	.endm

	.macro report_register register
	mov	\register, %rax
	out	%eax, $0xf8
	shr	$32, %rax
	out	%eax, $0xf8
	.endm

guest state_inside, 64
	write_msr 0x174, 0x08, 0
	write_msr 0x175, 0x00090175, 0
	write_msr 0x176, 0x00090176, 0
	write_msr 0xc0000081, 0x00000081, 0x00230010
	write_msr 0xc0000082, 0x00090082, 0
	write_msr 0xc0000084, 0x00047700, 0
	write_msr 0xc0000100, 0x00090100, 0
	write_msr 0xc0000101, 0x00090101, 0
	write_msr 0xc0000102, 0x00090102, 0
	write_msr 0x277, 0x00070106, 0x00070406
	mov	$0x1234500, %rax
	mov	%rax, %dr0
	mov	$0x1234501, %rax
	mov	%rax, %dr1
	mov	$0x1234502, %rax
	mov	%rax, %dr2
	mov	$0x1234503, %rax
	mov	%rax, %dr3
	mov	$0x5a000, %rax
	mov	%rax, %cr2
	mov	$0x9, %rax
	mov	%rax, %cr8
	movabs	$0x0808080808080808, %r8
	movabs	$0x0909090909090909, %r9
	movabs	$0x1010101010101010, %r10
	movabs	$0x1111111111111111, %r11
	movabs	$0x1212121212121212, %r12
	movabs	$0x1313131313131313, %r13
	movabs	$0x1414141414141414, %r14
	movabs	$0x1515151515151515, %r15
	movabs	$0xb9b9b9b9b9b9b9b9, %rbp
	mov	$1, %eax
	out	%eax, $0xf8

	report_msr 0x174
	report_msr 0x175
	report_msr 0x176
	report_msr 0xc0000081
	report_msr 0xc0000082
	report_msr 0xc0000084
	report_msr 0xc0000100
	report_msr 0xc0000101
	report_msr 0xc0000102
	report_msr 0x277
	report_register %dr0
	report_register %dr1
	report_register %dr2
	report_register %dr3
	report_register %cr2
	report_register %cr8
	report_register %r8
	report_register %r9
	report_register %r10
	report_register %r11
	report_register %r12
	report_register %r13
	report_register %r14
	report_register %r15
	report_register %rbp
	out	%al, $0xf4
	hlt
guest_end state_inside

/* CPUID leaf 1 and 0x40000000, and the APIC id: what the guest is told. */
guest cpuid, 64
	mov	$1, %eax
	xor	%ecx, %ecx
	cpuid
	mov	%ecx, %esi
	mov	%edx, %edi
	mov	%ebx, %eax
	shr	$24, %eax
	out	%eax, $0xf8
	mov	%esi, %eax
	out	%eax, $0xf8
	mov	%edi, %eax
	out	%eax, $0xf8
	mov	$0x40000000, %eax
	cpuid
	mov	%ebx, %eax
	out	%eax, $0xf8
	out	%al, $0xf4
	hlt
guest_end cpuid

	.section .note.GNU-stack, "", @progbits

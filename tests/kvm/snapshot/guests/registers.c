/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something distinctive in every register that a guest can reach: general registers, flags, control and debug
 * registers, descriptor tables, segments, and the MSRs that the test asks for.
 */
#include "registers.h"

#include "base.h"

#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_EFER    0xc0000080

void hold_registers(void);

static uint8_t task_state[104];
static uint64_t local_table[2];

/* Flat code and data as the entry mode has them; a TSS; an LDT. Intel SDM volume 3A, 3.4.5 and 7.2.3. */
static uint64_t global_table[(PATTERN_GDT_LIMIT + 1) / 8] = {
	[1] = 0x00af9b000000ffff,
	[2] = 0x00cf93000000ffff,
};

static void set_system_descriptor(unsigned selector, uint64_t base, uint64_t limit, uint64_t type)
{
	global_table[selector / 8] = limit | (base & 0xffffff) << 16 | (0x80 | type) << 40 | (base >> 24 & 0xff) << 56;
	global_table[selector / 8 + 1] = base >> 32;
}

static void set_tables(void)
{
	struct table_register gdt = { .limit = PATTERN_GDT_LIMIT, .base = (uint64_t)global_table };

	set_system_descriptor(SELECTOR_TSS, (uint64_t)task_state, sizeof(task_state) - 1, 9);
	set_system_descriptor(SELECTOR_LDT, (uint64_t)local_table, sizeof(local_table) - 1, 2);
	__asm__ volatile("lgdt %0" : : "m"(gdt));
	__asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS));
	__asm__ volatile("lldt %w0" : : "r"(SELECTOR_LDT));
	__asm__ volatile("mov %w0, %%ds; mov %w0, %%es; mov %w0, %%ss" : : "r"(SELECTOR_DATA) : "memory");
	__asm__ volatile("mov %w0, %%fs; mov %w1, %%gs" : : "r"(SELECTOR_DATA), "r"(0) : "memory");
	write_msr(MSR_FS_BASE, PATTERN_FS_BASE);
	write_msr(MSR_GS_BASE, PATTERN_GS_BASE);
}

static void set_registers(void)
{
	__asm__ volatile("mov %0, %%cr2" : : "r"(PATTERN_CR2));
	__asm__ volatile("mov %0, %%cr8" : : "r"((uint64_t)PATTERN_CR8));
	__asm__ volatile("mov %0, %%dr0" : : "r"(PATTERN_DR(0)));
	__asm__ volatile("mov %0, %%dr1" : : "r"(PATTERN_DR(1)));
	__asm__ volatile("mov %0, %%dr2" : : "r"(PATTERN_DR(2)));
	__asm__ volatile("mov %0, %%dr3" : : "r"(PATTERN_DR(3)));
	__asm__ volatile("mov %0, %%dr7" : : "r"((uint64_t)PATTERN_DR7));
	for (uint32_t i = 0; i < report()->msr_count; i++)
		write_msr(report()->msrs[i].index, report()->msrs[i].value);
}

#define READ(place, instruction) __asm__ volatile(instruction : "=r"(findings[place]))

static void read_tables(uint64_t *findings)
{
	struct table_register gdt;
	struct table_register idt;

	__asm__ volatile("sgdt %0" : "=m"(gdt));
	__asm__ volatile("sidt %0" : "=m"(idt));
	findings[AT_GDT_BASE] = gdt.base;
	findings[AT_GDT_LIMIT] = gdt.limit;
	findings[AT_IDT_BASE] = idt.base;
	findings[AT_IDT_LIMIT] = idt.limit;
	READ(AT_TR, "xor %0, %0; str %w0");
	READ(AT_LDTR, "xor %0, %0; sldt %w0");
	READ(AT_DS, "mov %%ds, %0");
	READ(AT_ES, "mov %%es, %0");
	READ(AT_FS, "mov %%fs, %0");
	READ(AT_GS, "mov %%gs, %0");
	READ(AT_SS, "mov %%ss, %0");
	READ(AT_CS, "mov %%cs, %0");
	findings[AT_FS_BASE] = read_msr(MSR_FS_BASE);
	findings[AT_GS_BASE] = read_msr(MSR_GS_BASE);
}

static void read_registers(uint64_t *findings)
{
	READ(AT_CR0, "mov %%cr0, %0");
	READ(AT_CR2, "mov %%cr2, %0");
	READ(AT_CR3, "mov %%cr3, %0");
	READ(AT_CR4, "mov %%cr4, %0");
	READ(AT_CR8, "mov %%cr8, %0");
	findings[AT_EFER] = read_msr(MSR_EFER);
	READ(AT_DR0, "mov %%dr0, %0");
	READ(AT_DR0 + 1, "mov %%dr1, %0");
	READ(AT_DR0 + 2, "mov %%dr2, %0");
	READ(AT_DR0 + 3, "mov %%dr3, %0");
	READ(AT_DR6, "mov %%dr6, %0");
	READ(AT_DR7, "mov %%dr7, %0");
	findings[AT_TSC] = read_tsc();
}

void guest_main(void)
{
	base_set_up_interrupts();
	set_tables();
	set_registers();
	read_tables(report()->before);
	read_registers(report()->before);
	hold_registers();
	read_tables(report()->values);
	read_registers(report()->values);
	for (uint32_t i = 0; i < report()->msr_count; i++)
		report()->msrs[i].found = read_msr(report()->msrs[i].index);
}

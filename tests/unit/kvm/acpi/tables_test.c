/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables lead from the RSDP to each other, sum to zero, describe the machine that was asked for, and are accepted
 * by ACPICA's disassembler and compiler without an error or a warning.
 */
#include "kvm/acpi/tables.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TABLES_GPA  UINT64_C(0xe0000)
#define TABLES_SIZE UINT64_C(0x1f000)

static uint8_t tables[TABLES_SIZE];

static struct acpi_machine full_machine(void)
{
	struct acpi_machine machine = {
		.tables_gpa = TABLES_GPA,
		.tables_size = TABLES_SIZE,
		.vcpus = 4,
		.sleep_port = 0x600,
		.reset_port = 0x64,
		.reset_value = 0xfe,
		.com1_port = 0x3f8,
		.com1_gsi = 4,
		.panic_port = 0x505,
		.fw_cfg_port = 0x510,
		.power_button_gsi = 22,
		.generation_id_gsi = 23,
		.generation_id_gpa = UINT64_C(0x1234500ff000),
		.virtio_count = ACPI_VIRTIO_MAX,
	};

	for (uint32_t i = 0; i < ACPI_VIRTIO_MAX; i++)
		machine.virtio[i] =
			(struct acpi_virtio_mmio){ .gpa = 0xd0000000 + i * 0x1000, .size = 0x1000, .gsi = 5 + i };
	return machine;
}

static size_t build(const struct acpi_machine *machine)
{
	struct error_detail detail = { 0 };
	size_t size = 0;

	memset(tables, 0xee, sizeof(tables));
	cr_assert_eq(acpi_build_tables(machine, tables, &size, &detail), 0, "%s", detail.text);
	return size;
}

static uint64_t number(const uint8_t *bytes, size_t length)
{
	uint64_t value = 0;

	memcpy(&value, bytes, length);
	return value;
}

static uint8_t sum(const uint8_t *bytes, size_t length)
{
	uint8_t total = 0;

	for (size_t i = 0; i < length; i++)
		total = (uint8_t)(total + bytes[i]);
	return total;
}

/* A table by its address: inside what was built, of that signature, and with a good checksum. */
static const uint8_t *table_at(uint64_t gpa, const char *signature, size_t built)
{
	const uint8_t *table = tables + (gpa - TABLES_GPA);

	cr_assert(gpa >= TABLES_GPA && gpa + 36 <= TABLES_GPA + built, "%s", signature);
	cr_assert_arr_eq(table, signature, 4, "%s", signature);
	cr_assert_leq(gpa + number(table + 4, 4), TABLES_GPA + built, "%s", signature);
	cr_assert_eq(sum(table, number(table + 4, 4)), 0, "%s", signature);
	cr_assert_arr_eq(table + 10, "EMBER ", 6);
	return table;
}

struct found {
	const uint8_t *xsdt, *fadt, *madt, *dsdt;
};

static struct found find(size_t built)
{
	struct found found;

	cr_assert_arr_eq(tables, "RSD PTR ", 8);
	cr_assert_eq(tables[15], 2);
	cr_assert_eq(number(tables + 20, 4), 36);
	cr_assert_eq(sum(tables, 20), 0);
	cr_assert_eq(sum(tables, 36), 0);
	found.xsdt = table_at(number(tables + 24, 8), "XSDT", built);
	cr_assert_eq(number(found.xsdt + 4, 4), 36 + 2 * 8);
	found.fadt = table_at(number(found.xsdt + 36, 8), "FACP", built);
	found.madt = table_at(number(found.xsdt + 44, 8), "APIC", built);
	found.dsdt = table_at(number(found.fadt + 140, 8), "DSDT", built);
	cr_assert_eq(number(found.fadt + 40, 4), number(found.fadt + 140, 8));
	return found;
}

Test(acpi, tables_lead_to_each_other)
{
	struct acpi_machine machine = full_machine();
	size_t size = build(&machine);

	(void)find(size);
	cr_assert_leq(size, TABLES_SIZE);
	if (size < sizeof(tables))
		cr_assert_eq(tables[size], 0xee, "written past the end that was told");
}

Test(acpi, fadt_is_hardware_reduced_and_can_sleep_and_reset)
{
	struct acpi_machine machine = full_machine();
	struct found found = find(build(&machine));
	uint64_t flags = number(found.fadt + 112, 4);

	cr_assert_eq(found.fadt[8], 6);
	cr_assert(flags & (1 << 20), "hardware-reduced");
	cr_assert(flags & (1 << 10), "reset register");
	cr_assert(flags & 1, "WBINVD works");
	cr_assert_eq(found.fadt[116], 1, "reset is a port");
	cr_assert_eq(number(found.fadt + 120, 8), 0x64);
	cr_assert_eq(found.fadt[128], 0xfe);
	cr_assert_eq(found.fadt[244], 1, "sleep control is a port");
	cr_assert_eq(number(found.fadt + 248, 8), 0x600);
	cr_assert_eq(number(found.fadt + 260, 8), 0x601);
	cr_assert_str_eq((const char *)found.fadt + 268, "EMBER");
}

Test(acpi, madt_has_every_vcpu_and_the_ioapic)
{
	for (uint32_t vcpus = 1; vcpus <= ACPI_VCPUS_MAX; vcpus++) {
		struct acpi_machine machine = full_machine();
		const uint8_t *entry, *end;
		uint32_t lapics = 0, ioapics = 0;
		struct found found;

		machine.vcpus = vcpus;
		found = find(build(&machine));
		cr_assert_eq(number(found.madt + 36, 4), 0xfee00000);
		end = found.madt + number(found.madt + 4, 4);
		for (entry = found.madt + 44; entry < end; entry += entry[1]) {
			cr_assert_gt(entry[1], 0);
			if (entry[0] == 0) {
				cr_assert_eq(entry[2], lapics);
				cr_assert_eq(entry[3], lapics);
				cr_assert_eq(number(entry + 4, 4), 1);
				lapics++;
			} else if (entry[0] == 1) {
				cr_assert_eq(number(entry + 4, 4), 0xfec00000);
				cr_assert_eq(number(entry + 8, 4), 0);
				ioapics++;
			}
		}
		cr_assert_eq(entry, end);
		cr_assert_eq(lapics, vcpus);
		cr_assert_eq(ioapics, 1);
	}
}

Test(acpi, machines_that_cannot_be_are_refused)
{
	struct acpi_machine machine;
	struct error_detail detail;
	size_t size;

#define EXPECT_REFUSED(member, value, word)                                                                \
	do {                                                                                               \
		machine = full_machine();                                                                  \
		machine.member = (value);                                                                  \
		detail.text[0] = '\0';                                                                     \
		cr_assert_eq(acpi_build_tables(&machine, tables, &size, &detail), -EINVAL, "%s", #member); \
		cr_assert_not_null(strstr(detail.text, word), "%s: '%s'", #member, detail.text);           \
	} while (0)

	EXPECT_REFUSED(vcpus, 0, "vcpus");
	EXPECT_REFUSED(vcpus, ACPI_VCPUS_MAX + 1, "vcpus");
	EXPECT_REFUSED(tables_gpa, TABLES_GPA + 8, "tables_gpa");
	EXPECT_REFUSED(tables_gpa, UINT64_C(1) << 32, "tables_gpa");
	EXPECT_REFUSED(tables_size, UINT64_MAX, "tables_gpa");
	EXPECT_REFUSED(sleep_port, 0, "sleep_port");
	EXPECT_REFUSED(sleep_port, 0xffff, "sleep_port");
	EXPECT_REFUSED(reset_port, 0, "reset_port");
	EXPECT_REFUSED(com1_gsi, 24, "com1_gsi");
	EXPECT_REFUSED(power_button_gsi, 24, "power_button_gsi");
	EXPECT_REFUSED(generation_id_gsi, UINT32_MAX, "generation_id_gsi");
	EXPECT_REFUSED(virtio_count, ACPI_VIRTIO_MAX + 1, "virtio_count");
	EXPECT_REFUSED(virtio[3].gsi, 24, "virtio.gsi");
	EXPECT_REFUSED(virtio[3].size, 0, "virtio");
	EXPECT_REFUSED(virtio[3].gpa, 0xfffff001, "virtio");
}

Test(acpi, too_little_room_is_an_error_at_every_size)
{
	struct acpi_machine machine = full_machine();
	size_t whole = build(&machine), size;

	for (machine.tables_size = 0; machine.tables_size < whole; machine.tables_size++) {
		uint8_t *exact = malloc(machine.tables_size + 1); /* ASan watches its end */

		exact[machine.tables_size] = 0xee;
		cr_assert_eq(acpi_build_tables(&machine, exact, &size, NULL), -ENOSPC, "%lu of %zu",
			     (unsigned long)machine.tables_size, whole);
		cr_assert_eq(exact[machine.tables_size], 0xee);
		free(exact);
	}
}

Test(acpi, tables_go_to_guest_memory)
{
	struct acpi_machine machine = full_machine();
	size_t size = build(&machine);
	struct guest_memory memory;

	cr_assert_eq(guest_memory_reserve(UINT64_C(2) << 20, &memory), 0);
	cr_assert_eq(guest_memory_lay_anonymous(&memory), 0);
	cr_assert_eq(acpi_write_tables(&memory, &machine, NULL), 0);
	cr_assert_arr_eq(memory.host + TABLES_GPA, tables, size);
	machine.tables_gpa = UINT64_C(2) << 20;
	cr_assert_eq(acpi_write_tables(&memory, &machine, NULL), -EFAULT);
	guest_memory_release(&memory);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Run a command in a folder; its output, both streams, in ret_output. Returns its exit status. */
static int run(const char *folder, const char *command, char *ret_output, size_t size)
{
	char line[512];
	size_t length;
	FILE *pipe;
	int status;

	(void)snprintf(line, sizeof(line), "cd '%s' && %s 2>&1", folder, command);
	pipe = popen(line, "r");
	cr_assert_not_null(pipe);
	length = fread(ret_output, 1, size - 1, pipe);
	ret_output[length] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void save(const char *folder, const char *name, const uint8_t *table)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s.aml", folder, name);
	file = fopen(path, "wb");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(table, 1, number(table + 4, 4), file), number(table + 4, 4));
	(void)fclose(file);
}

static void expect_clean(const char *what, int status, const char *output)
{
	/* The compiler's own summary is "0 Errors, 0 Warnings, 0 Remarks". */
	cr_assert_eq(status, 0, "%s: exit status %d:\n%s", what, status, output);
	cr_assert_null(strstr(output, "Error "), "%s:\n%s", what, output);
	cr_assert_null(strstr(output, "Warning "), "%s:\n%s", what, output);
	cr_assert_null(strstr(output, "ACPI Error"), "%s:\n%s", what, output);
	cr_assert_null(strstr(output, "ACPI Warning"), "%s:\n%s", what, output);
	cr_assert_null(strstr(output, "Invalid"), "%s:\n%s", what, output);
}

/* Disassemble every table, and compile what came out of the DSDT. */
static void expect_acpica_agrees(const struct acpi_machine *machine)
{
	static const char *const names[] = { "xsdt", "facp", "apic", "dsdt" };
	struct found found = find(build(machine));
	const uint8_t *const all[] = { found.xsdt, found.fadt, found.madt, found.dsdt };
	char folder[] = "/tmp/ember-acpi-XXXXXX", command[64];
	static char output[65536];
	int status;

	cr_assert_not_null(mkdtemp(folder));
	for (size_t i = 0; i < 4; i++) {
		save(folder, names[i], all[i]);
		(void)snprintf(command, sizeof(command), "iasl -d %s.aml", names[i]);
		status = run(folder, command, output, sizeof(output));
		expect_clean(command, status, output);
		cr_assert(strstr(output, "decoded") || strstr(output, "ASL Output"), "%s:\n%s", command, output);
	}
	status = run(folder, "iasl -oa -p again dsdt.dsl", output, sizeof(output));
	expect_clean("iasl -oa dsdt.dsl", status, output);
	cr_assert_not_null(strstr(output, "0 Errors, 0 Warnings"), "%s", output);

	/* What ACPICA compiles from the disassembly is the code that we wrote. */
	status = run(folder, "tail -c +37 dsdt.aml > ours; tail -c +37 again.aml > theirs; cmp ours theirs", output,
		     sizeof(output));
	cr_assert_eq(status, 0, "%s", output);
	(void)nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

Test(acpi, acpica_disassembles_a_full_machine)
{
	struct acpi_machine machine = full_machine();

	expect_acpica_agrees(&machine);
}

Test(acpi, acpica_disassembles_a_bare_machine)
{
	const struct acpi_machine machine = {
		.tables_gpa = TABLES_GPA,
		.tables_size = TABLES_SIZE,
		.vcpus = 1,
		.sleep_port = 0x600,
		.reset_port = 0x64,
		.reset_value = 0xfe,
	};

	expect_acpica_agrees(&machine);
}

Test(acpi, acpica_disassembles_a_machine_with_one_event)
{
	struct acpi_machine machine = full_machine();

	machine.power_button_gsi = 0;
	machine.virtio_count = 1;
	expect_acpica_agrees(&machine);
}

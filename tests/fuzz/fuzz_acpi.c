/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AML writer under any sequence of calls, and the tables of any machine: the input is first a machine, then calls.
 *
 * Properties: nothing is written outside the buffer (ASan), a size that is told is inside it, a refusal of a machine
 * says why, and tables that are made sum to zero.
 */
#include "fuzz.h"
#include "kvm/acpi/aml.h"
#include "kvm/acpi/tables.h"

#include <stdlib.h>
#include <string.h>

#define TABLES_MAX 16384
#define TEXT_MAX   24

/* A text of up to TEXT_MAX - 1 bytes, as the input has it. */
static const char *take_text(struct input *input, char text[TEXT_MAX])
{
	size_t length = take(input, 1) % TEXT_MAX;

	for (size_t i = 0; i < length; i++)
		text[i] = (char)take(input, 1);
	text[length] = '\0';
	return text;
}

static void call(struct aml *aml, struct input *input)
{
	char text[TEXT_MAX];

	switch (take(input, 1) % 14) {
	case 0:
		aml_scope_begin(aml, take_text(input, text));
		break;
	case 1:
		aml_device_begin(aml, take_text(input, text));
		break;
	case 2:
		aml_method_begin(aml, take_text(input, text), (unsigned int)take(input, 1));
		break;
	case 3:
		aml_if_argument_is_begin(aml, (unsigned int)take(input, 1), take(input, 8));
		break;
	case 4:
		aml_package_begin(aml, (unsigned int)take(input, 2));
		break;
	case 5:
		aml_name(aml, take_text(input, text));
		break;
	case 6:
		aml_integer(aml, take(input, take(input, 1) % 9));
		break;
	case 7:
		aml_string(aml, take_text(input, text));
		break;
	case 8:
		aml_eisa_id(aml, take_text(input, text));
		break;
	case 9:
		aml_notify(aml, take_text(input, text), take(input, 1));
		break;
	case 10:
		aml_resources_begin(aml);
		break;
	case 11:
		aml_resource_memory(aml, (uint32_t)take(input, 4), (uint32_t)take(input, 4));
		break;
	case 12:
		aml_resource_interrupt(aml, (uint32_t)take(input, 4));
		break;
	default:
		aml_end(aml);
		break;
	}
}

static void write_aml(struct input *input)
{
	size_t capacity = take(input, 2) % TABLES_MAX, size = SIZE_MAX;
	uint8_t *bytes = malloc(capacity + 1);
	struct aml aml;

	FUZZ_CHECK(bytes);
	bytes[capacity] = 0xee;
	aml_init(&aml, bytes, capacity);
	while (input->left > 0)
		call(&aml, input);
	if (aml_finish(&aml, &size) == 0)
		FUZZ_CHECK(size <= capacity);
	else
		FUZZ_CHECK(size == SIZE_MAX);
	FUZZ_CHECK(bytes[capacity] == 0xee);
	free(bytes);
}

static struct acpi_machine take_machine(struct input *input)
{
	struct acpi_machine machine = {
		.tables_gpa = take(input, 3) << 4,
		.tables_size = take(input, 2) % TABLES_MAX,
		.vcpus = (uint32_t)take(input, 1),
		.sleep_port = (uint16_t)take(input, 2),
		.reset_port = (uint16_t)take(input, 2),
		.com1_port = (uint16_t)take(input, 2),
		.com1_gsi = (uint32_t)take(input, 1),
		.panic_port = (uint16_t)take(input, 2),
		.power_button_gsi = (uint32_t)take(input, 1),
		.generation_id_gsi = (uint32_t)take(input, 1),
		.generation_id_gpa = take(input, 8),
		.virtio_count = (uint32_t)take(input, 1),
	};

	for (uint32_t i = 0; i < machine.virtio_count && i < ACPI_VIRTIO_MAX; i++)
		machine.virtio[i] = (struct acpi_virtio_mmio){
			.gpa = (uint32_t)take(input, 4),
			.size = (uint32_t)take(input, 4),
			.gsi = (uint32_t)take(input, 1),
		};
	machine.fw_cfg_port = (uint16_t)take(input, 2);
	return machine;
}

static void build_tables(struct input *input)
{
	struct acpi_machine machine = take_machine(input);
	uint8_t *tables = malloc(machine.tables_size + 1);
	struct error_detail detail = { 0 };
	uint8_t sum = 0;
	size_t size;

	FUZZ_CHECK(tables);
	tables[machine.tables_size] = 0xee;
	if (acpi_build_tables(&machine, tables, &size, &detail) == 0) {
		/* Padding is zero, so that all of it sums to zero if each table does. */
		FUZZ_CHECK(size <= machine.tables_size);
		for (size_t i = 0; i < size; i++)
			sum = (uint8_t)(sum + tables[i]);
		FUZZ_CHECK(sum == 0);
	} else {
		FUZZ_CHECK(detail.text[0] != '\0');
	}
	FUZZ_CHECK(tables[machine.tables_size] == 0xee);
	free(tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { .bytes = data, .left = size };

	build_tables(&input);
	write_aml(&input);
	return 0;
}

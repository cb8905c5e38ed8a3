/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples, filled by walking the tables: a field that is added to a table is in every test from then on.
 */
#include "sample.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "kvm/msr.h"
#include "snapshot/crc64.h"
#include "snapshot/state_tables.h"

static uint64_t seed;

static uint64_t next_random(void)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return seed ^ seed >> 29;
}

static size_t element_size(const struct state_field *field)
{
	switch (field->type) {
	case FIELD_U8:
	case FIELD_BYTES:
	case FIELD_BLOB:
		return 1;
	case FIELD_U16:
		return 2;
	case FIELD_U32:
	case FIELD_S32:
	case FIELD_HEX32:
		return 4;
	case FIELD_U64:
		return 8;
	case FIELD_STRUCT:
	case FIELD_ROWS:
		return field->size;
	case FIELD_LABEL:
		break;
	}
	return 0;
}

static void fill(const struct state_field *fields, uint8_t *structure, uint32_t rows)
{
	for (const struct state_field *field = fields; field->name; field++) {
		size_t size = element_size(field);
		uint32_t count = field->count;

		if (field->type == FIELD_ROWS)
			count = rows < count ? rows : count;
		if (field->type == FIELD_BLOB)
			count = count / 2 + 3;
		if (field->type == FIELD_ROWS || field->type == FIELD_BLOB)
			memcpy(structure + field->length_offset, &count, sizeof(count));

		for (uint32_t i = 0; i < count && size > 0; i++) {
			uint8_t *member = structure + field->offset + i * size;
			uint64_t value = next_random();

			if (field->max)
				value %= field->max + 1;
			if (field->fields)
				fill(field->fields, member, rows);
			else
				memcpy(member, &value, size);
		}
	}
}

static void fill_devices(struct vm_state *state)
{
	static const char *const names[] = { "serial",     "i8042",         "signal_port", "power",
					     "panic_port", "generation_id", "fw_cfg" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct device_ops *ops = device_ops_find(names[i]);
		struct device_record *record = &state->devices[state->device_count++];

		cr_assert_not_null(ops, "%s", names[i]);
		(void)snprintf(record->name, sizeof(record->name), "%s", names[i]);
		record->instance = (uint32_t)i;
		record->size = ops->state_size;
		fill(ops->state_fields, record->data, 2);
	}
}

static void fill_vcpu(struct vcpu_state *vcpu, uint32_t rows)
{
	fill(vcpu_state_fields, (uint8_t *)vcpu, rows);
	for (uint32_t i = 0; i < vcpu->msrs.count && i < msr_description_count; i++)
		vcpu->msrs.entries[i].index = msr_descriptions[i].index;
	memset(vcpu->xsave + 4096, 0, sizeof(vcpu->xsave) - 4096);
	vcpu->xsave_size = 4096;
	vcpu->xsave[4095] = 1;
}

struct sample *sample_new(uint32_t vcpus, uint32_t rows)
{
	struct sample *sample = calloc(1, sizeof(*sample));

	cr_assert_not_null(sample);
	seed = 1;
	sample->state.magic = VM_STATE_MAGIC;
	sample->state.version = VM_STATE_VERSION;
	sample->state.vcpu_count = vcpus;
	sample->state.memory_size = 3 << 20;
	sample->state.cpu_template = CPU_TEMPLATE_PORTABLE;
	sample->state.created_unix_ns = UINT64_C(1735787045000000006);
	fill(clock_state_fields, (uint8_t *)&sample->state.clock, rows);
	fill(irqchip_state_fields, (uint8_t *)&sample->state.irqchip, rows);
	sample->state.irqchip.pic_master.chip_id = KVM_IRQCHIP_PIC_MASTER;
	sample->state.irqchip.pic_slave.chip_id = KVM_IRQCHIP_PIC_SLAVE;
	sample->state.irqchip.ioapic.chip_id = KVM_IRQCHIP_IOAPIC;
	fill_devices(&sample->state);
	for (uint32_t i = 0; i < vcpus; i++)
		fill_vcpu(&sample->state.vcpus[i], rows);

	memcpy(sample->metadata.ember_version, "0.1.0", sizeof("0.1.0"));
	sample->metadata.host_tsc_khz = 2400000;
	sample->metadata.host_xsave_size = 4096;
	sample->checksums.count = 3;
	sample->checksums.values[0] = UINT64_C(0x6c40df5f0b497347);
	sample->checksums.values[2] = 1;
	return sample;
}

char *sample_text(const struct sample *sample, size_t *ret_size)
{
	struct error_detail detail = { "" };
	int file = memfd_create("state.json", MFD_CLOEXEC);
	uint64_t crc;
	off_t size;
	char *text;

	cr_assert_eq(state_json_write(file, &sample->state, &sample->metadata, &sample->checksums, &crc, &detail), 0,
		     "%s", detail.text);
	size = lseek(file, 0, SEEK_END);
	text = malloc((size_t)size + 1);
	cr_assert_not_null(text);
	cr_assert_eq(pread(file, text, (size_t)size, 0), size);
	text[size] = '\0';
	(void)close(file);
	*ret_size = (size_t)size;
	return text;
}

char *sample_seal_text(const char *body, size_t size, size_t *ret_size)
{
	char *text = malloc(size + 128);
	int length;

	cr_assert_not_null(text);
	length = snprintf(text, 128, "{\"magic\": \"EMBERSNP\", \"format\": 1, \"crc64\": \"%016" PRIx64 "\",\n",
			  crc64_update(CRC64_START, body, size));
	memcpy(text + length, body, size);
	*ret_size = (size_t)length + size;
	return text;
}

char *sample_seal(const json_t *document, size_t *ret_size)
{
	json_t *copy = json_copy((json_t *)document);
	char *body;
	char *text;

	(void)json_object_del(copy, "magic");
	(void)json_object_del(copy, "format");
	(void)json_object_del(copy, "crc64");
	body = json_dumps(copy, JSON_COMPACT);
	cr_assert_not_null(body);
	text = sample_seal_text(body + 1, strlen(body) - 1, ret_size);
	free(body);
	json_decref(copy);
	return text;
}

int sample_read(const char *text, size_t size, struct sample *ret_sample, struct error_detail *detail)
{
	memset(ret_sample, 0xee, sizeof(*ret_sample));
	detail->text[0] = '\0';
	return state_json_read(text, size, &ret_sample->state, &ret_sample->metadata, &ret_sample->checksums, detail);
}

void sample_expect_same(const struct sample *back, const struct sample *sample)
{
	cr_assert_arr_eq(&back->state, &sample->state, sizeof(back->state));
	cr_assert_arr_eq(&back->checksums, &sample->checksums, sizeof(back->checksums));
	cr_assert_str_eq(back->metadata.ember_version, sample->metadata.ember_version);
	cr_assert_eq(back->metadata.host_tsc_khz, sample->metadata.host_tsc_khz);
	cr_assert_eq(back->metadata.host_xsave_size, sample->metadata.host_xsave_size);
}

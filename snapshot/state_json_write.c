/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of state.json.
 *
 * Members, in this order, after those of the first line (state_json.h):
 *
 *	created       RFC 3339, UTC
 *	ember         version that made it
 *	vcpu_count, memory_size (bytes), cpu_template
 *	pit_reinject (false; missing: true)
 *	host          tsc_khz, xsave_size of the host that made it
 *	memory        file, chunk_size, checksums: CRC-64 of each chunk
 *	clock         kvmclock
 *	irqchip       PICs and IOAPIC as KVM's blobs, PIT
 *	devices       name, instance, state: as each device's table says
 *	vcpus         registers, MSRs, CPUID, LAPIC, XSAVE area ...: as state_tables.c says
 *
 * The order and the layout depend on nothing but the state, so that two snapshots can be compared with diff(1). The
 * text is made in memory first, because its CRC stands at its beginning.
 */
#include "snapshot/state_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "kvm/cleanup.h"
#include "snapshot/crc64.h"
#include "snapshot/fields.h"
#include "snapshot/folder.h"
#include "snapshot/json_print.h"
#include "snapshot/state_json_form.h"
#include "snapshot/state_tables.h"
#include "snapshot/time_text.h"

static json_t *memory_to_json(const struct memory_checksums *checksums)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array && i < checksums->count; i++)
		if (json_array_append_new(array, json_new_hex(checksums->values[i], 16)) < 0) {
			json_decref(array);
			return NULL;
		}

	return json_pack("{s:s, s:I, s:o}", "file", SNAPSHOT_MEMORY_FILE, "chunk_size", (json_int_t)MEMORY_CHUNK_SIZE,
			 "checksums", array);
}

static json_t *table_to_json(const struct state_field *fields, const void *structure)
{
	json_t *object;

	return fields_to_json(fields, structure, &object) < 0 ? NULL : object;
}

static json_t *devices_to_json(const struct vm_state *state)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array && i < state->device_count; i++) {
		const struct device_record *record = &state->devices[i];
		const struct device_ops *ops = device_ops_find(record->name);

		if (json_array_append_new(array, json_pack("{s:s, s:I, s:o}", "name", record->name, "instance",
							   (json_int_t)record->instance, "state",
							   table_to_json(ops->state_fields, record->data))) < 0) {
			json_decref(array);
			return NULL;
		}
	}

	return array;
}

static json_t *vcpus_to_json(const struct vm_state *state)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array && i < state->vcpu_count; i++)
		if (json_array_append_new(array, table_to_json(vcpu_state_fields, &state->vcpus[i])) < 0) {
			json_decref(array);
			return NULL;
		}

	return array;
}

static json_t *document_to_json(const struct vm_state *state, const struct snapshot_metadata *metadata,
				const struct memory_checksums *checksums)
{
	char created[TIME_TEXT_SIZE];

	time_to_text(state->created_unix_ns, created);
	/* Where it is on, as it was before it was an option, nothing is said: an older Ember reads that, too. */
	return json_pack("{s:s, s:s, s:I, s:I, s:s, s:o*, s:{s:I, s:I}, s:o, s:o, s:o, s:o, s:o}", "created", created,
			 "ember", metadata->ember_version, "vcpu_count", (json_int_t)state->vcpu_count, "memory_size",
			 (json_int_t)state->memory_size, "cpu_template", cpu_template_name(state->cpu_template),
			 "pit_reinject", state->no_pit_reinject ? json_false() : NULL, "host", "tsc_khz",
			 (json_int_t)metadata->host_tsc_khz, "xsave_size", (json_int_t)metadata->host_xsave_size,
			 "memory", memory_to_json(checksums), "clock", table_to_json(clock_state_fields, &state->clock),
			 "irqchip", table_to_json(irqchip_state_fields, &state->irqchip), "devices",
			 devices_to_json(state), "vcpus", vcpus_to_json(state));
}

static int write_all(int file, const char *text, size_t size, off_t offset)
{
	while (size > 0) {
		ssize_t written = pwrite(file, text, size, offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		text += written;
		offset += written;
		size -= (size_t)written;
	}

	return 0;
}

/* The text after the first line: the members, and the brace that closes what the first line opened. */
static int make_body(const json_t *document, char **ret_body, size_t *ret_size)
{
	cleanup_free char *body = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&body, &size);
	int r;

	if (!stream)
		return -errno;
	r = json_print_members(stream, document);
	(void)fputs("\n}\n", stream);
	if (fclose(stream) < 0 && r == 0)
		r = -ENOMEM;
	if (r < 0)
		return r;

	*ret_body = steal_pointer(body);
	*ret_size = size;
	return 0;
}

int state_json_write(int file, const struct vm_state *state, const struct snapshot_metadata *metadata,
		     const struct memory_checksums *checksums, uint64_t *ret_crc64, struct error_detail *detail)
{
	char line[sizeof(STATE_JSON_BEFORE_FORMAT STATE_JSON_BEFORE_CRC STATE_JSON_AFTER_CRC) + 32];
	cleanup_free char *body = NULL;
	json_t *document;
	size_t size = 0;
	uint64_t crc;
	int length;
	int r;

	r = vm_state_check(state, detail);
	if (r < 0)
		return r;
	if (checksums->count != memory_chunk_count(state->memory_size)) {
		error_detail_set(detail, "%" PRIu32 " memory checksums do not fit a memory of %" PRIu64 " bytes",
				 checksums->count, state->memory_size);
		return -EINVAL;
	}

	document = document_to_json(state, metadata, checksums);
	r = document ? make_body(document, &body, &size) : -ENOMEM;
	json_decref(document);
	if (r < 0) {
		error_detail_set(detail, "state.json: out of memory");
		return r;
	}

	crc = crc64_update(CRC64_START, body, size);
	length = snprintf(line, sizeof(line),
			  STATE_JSON_BEFORE_FORMAT "%d" STATE_JSON_BEFORE_CRC "%016" PRIx64 STATE_JSON_AFTER_CRC,
			  SNAPSHOT_FORMAT, crc);
	r = write_all(file, line, (size_t)length, 0);
	if (r == 0)
		r = write_all(file, body, size, length);
	if (r < 0) {
		error_detail_set(detail, "cannot write state.json: %s", strerrordesc_np(-r));
		return r;
	}

	*ret_crc64 = crc;
	return 0;
}

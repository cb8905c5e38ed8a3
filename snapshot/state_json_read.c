/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of state.json, which trusts nothing that it reads.
 *
 * state_json_open() has bounded and parsed the text when the members are looked at. Every member must be there, of the
 * right kind and in bounds, and no other may be: a file either is a state that this version understands in full, or an
 * error that names the first thing that is wrong. At last vm_state_check() looks at the result as a whole.
 */
#include "snapshot/state_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "kvm/cleanup.h"
#include "kvm/file_status.h"
#include "snapshot/fields.h"
#include "snapshot/folder.h"
#include "snapshot/json_value.h"
#include "snapshot/state_json_form.h"
#include "snapshot/state_tables.h"
#include "snapshot/time_text.h"

/* An object that has just these members. */
static int expect_members(const json_t *object, const char *const *names, const struct json_path *path,
			  struct error_detail *detail)
{
	int r = json_expect_object(object, path, detail);
	const char *key;
	json_t *value;

	if (r < 0)
		return r;
	json_object_foreach((json_t *)object, key, value) {
		const char *const *name = names;

		while (*name && strcmp(*name, key) != 0)
			name++;
		if (!*name)
			return json_fail_unknown(path, key, detail);
	}

	return 0;
}

/* The member of an object, and the path to it until the caller leaves. */
static const json_t *enter(const json_t *object, const char *name, struct json_path *path, size_t *ret_outside)
{
	*ret_outside = json_path_enter_member(path, name);
	return json_object_get(object, name);
}

static int read_number(const json_t *object, const char *name, uint64_t minimum, uint64_t maximum,
		       struct json_path *path, uint64_t *ret_number, struct error_detail *detail)
{
	size_t outside;
	const json_t *value = enter(object, name, path, &outside);
	int64_t number = 0;
	int r = json_read_integer(value, (int64_t)minimum, maximum, path, &number, detail);

	json_path_leave(path, outside);
	*ret_number = (uint64_t)number;
	return r;
}

static int read_text(const json_t *object, const char *name, size_t size, struct json_path *path, char *ret_text,
		     struct error_detail *detail)
{
	size_t outside;
	const json_t *value = enter(object, name, path, &outside);
	int r = json_read_string(value, size, path, ret_text, detail);

	json_path_leave(path, outside);
	return r;
}

static int read_table(const json_t *object, const char *name, const struct state_field *fields, struct json_path *path,
		      void *ret_structure, struct error_detail *detail)
{
	size_t outside;
	const json_t *value = enter(object, name, path, &outside);
	int r = fields_from_json(fields, value, path, ret_structure, detail);

	json_path_leave(path, outside);
	return r;
}

static int read_header(const json_t *document, struct json_path *path, struct vm_state *ret_state,
		       struct snapshot_metadata *ret_metadata, struct error_detail *detail)
{
	enum cpu_template cpu_template = CPU_TEMPLATE_HOST;
	char created[TIME_TEXT_SIZE];
	char template_name[32];
	uint64_t vcpu_count = 0;
	int r;

	r = read_text(document, "created", sizeof(created), path, created, detail);
	if (r == 0 && time_from_text(created, &ret_state->created_unix_ns) < 0) {
		error_detail_set(detail, "created: must be a time like 2025-01-02T03:04:05.000000006Z");
		r = -EINVAL;
	}
	if (r == 0)
		r = read_text(document, "ember", sizeof(ret_metadata->ember_version), path, ret_metadata->ember_version,
			      detail);
	if (r == 0)
		r = read_number(document, "vcpu_count", 1, MACHINE_VCPUS_MAX, path, &vcpu_count, detail);
	if (r == 0)
		r = read_number(document, "memory_size", MEMORY_CHUNK_SIZE, GUEST_MEMORY_SIZE_MAX, path,
				&ret_state->memory_size, detail);
	if (r == 0)
		r = read_text(document, "cpu_template", sizeof(template_name), path, template_name, detail);
	if (r == 0 && cpu_template_parse(template_name, &cpu_template) < 0) {
		error_detail_set(detail, "cpu_template: there is none that is called \"%s\"", template_name);
		r = -EINVAL;
	}
	if (r < 0)
		return r;

	ret_state->vcpu_count = (uint32_t)vcpu_count;
	ret_state->cpu_template = cpu_template;
	return 0;
}

/* Optional: a snapshot of before it was an option has it on. */
static int read_pit_reinject(const json_t *document, struct json_path *path, uint32_t *ret_no_pit_reinject,
			     struct error_detail *detail)
{
	size_t outside;
	const json_t *value = enter(document, "pit_reinject", path, &outside);
	int r = 0;

	if (value && !json_is_boolean(value))
		r = json_fail(path, detail, "must be true or false");
	else
		*ret_no_pit_reinject = json_is_false(value);
	json_path_leave(path, outside);
	return r;
}

static int read_host(const json_t *document, struct json_path *path, struct snapshot_metadata *ret_metadata,
		     struct error_detail *detail)
{
	static const char *const members[] = { "tsc_khz", "xsave_size", NULL };
	size_t outside;
	const json_t *host = enter(document, "host", path, &outside);
	uint64_t tsc_khz = 0;
	uint64_t xsave_size = 0;
	int r;

	r = expect_members(host, members, path, detail);
	if (r == 0)
		r = read_number(host, "tsc_khz", 0, UINT32_MAX, path, &tsc_khz, detail);
	if (r == 0)
		r = read_number(host, "xsave_size", 0, VCPU_XSAVE_MAX, path, &xsave_size, detail);
	ret_metadata->host_tsc_khz = (uint32_t)tsc_khz;
	ret_metadata->host_xsave_size = (uint32_t)xsave_size;
	json_path_leave(path, outside);
	return r;
}

static int read_checksums(const json_t *memory, uint64_t memory_size, struct json_path *path,
			  struct memory_checksums *ret_checksums, struct error_detail *detail)
{
	size_t outside;
	const json_t *array = enter(memory, "checksums", path, &outside);
	size_t count = memory_chunk_count(memory_size);
	int r = json_expect_array(array, path, detail);

	if (r == 0 && json_array_size(array) != count)
		r = json_fail(path, detail, "must have %zu elements, has %zu", count, json_array_size(array));
	for (size_t i = 0; r == 0 && i < count; i++) {
		size_t array_path = json_path_enter_element(path, i);

		r = json_read_hex(json_array_get(array, i), UINT64_MAX, path, &ret_checksums->values[i], detail);
		json_path_leave(path, array_path);
	}
	ret_checksums->count = (uint32_t)count;
	json_path_leave(path, outside);
	return r;
}

static int read_memory(const json_t *document, uint64_t memory_size, struct json_path *path,
		       struct memory_checksums *ret_checksums, struct error_detail *detail)
{
	static const char *const members[] = { "file", "chunk_size", "checksums", NULL };
	size_t outside;
	const json_t *memory = enter(document, "memory", path, &outside);
	char file[sizeof(SNAPSHOT_MEMORY_FILE)];
	uint64_t chunk_size = 0;
	int r;

	r = expect_members(memory, members, path, detail);
	if (r == 0)
		r = read_text(memory, "file", sizeof(file), path, file, detail);
	if (r == 0 && strcmp(file, SNAPSHOT_MEMORY_FILE) != 0)
		r = json_fail(path, detail, "the file must be \"" SNAPSHOT_MEMORY_FILE "\"");
	if (r == 0)
		r = read_number(memory, "chunk_size", MEMORY_CHUNK_SIZE, MEMORY_CHUNK_SIZE, path, &chunk_size, detail);
	if (r == 0)
		r = read_checksums(memory, memory_size, path, ret_checksums, detail);
	json_path_leave(path, outside);
	return r;
}

static int read_device(const json_t *device, struct json_path *path, struct device_record *ret_record,
		       struct error_detail *detail)
{
	static const char *const members[] = { "name", "instance", "state", NULL };
	const struct device_ops *ops;
	uint64_t instance = 0;
	int r;

	r = expect_members(device, members, path, detail);
	if (r == 0)
		r = read_text(device, "name", sizeof(ret_record->name), path, ret_record->name, detail);
	if (r == 0)
		r = read_number(device, "instance", 0, UINT32_MAX, path, &instance, detail);
	if (r < 0)
		return r;
	ops = device_ops_find(ret_record->name);
	if (!ops)
		return json_fail(path, detail, "there is no device \"%s\"", ret_record->name);

	ret_record->instance = (uint32_t)instance;
	ret_record->size = ops->state_size;
	return read_table(device, "state", ops->state_fields, path, ret_record->data, detail);
}

static int read_devices(const json_t *document, struct json_path *path, struct vm_state *ret_state,
			struct error_detail *detail)
{
	size_t outside;
	const json_t *array = enter(document, "devices", path, &outside);
	size_t count = json_array_size(array);
	int r = json_expect_array(array, path, detail);

	if (r == 0 && count > VM_STATE_DEVICES_MAX)
		r = json_fail(path, detail, "must have at most %d elements, has %zu", VM_STATE_DEVICES_MAX, count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		size_t array_path = json_path_enter_element(path, i);

		r = read_device(json_array_get(array, i), path, &ret_state->devices[i], detail);
		json_path_leave(path, array_path);
	}
	ret_state->device_count = (uint32_t)count;
	json_path_leave(path, outside);
	return r;
}

static int read_vcpus(const json_t *document, struct json_path *path, struct vm_state *ret_state,
		      struct error_detail *detail)
{
	size_t outside;
	const json_t *array = enter(document, "vcpus", path, &outside);
	int r = json_expect_array(array, path, detail);

	if (r == 0 && json_array_size(array) != ret_state->vcpu_count)
		r = json_fail(path, detail, "must have %" PRIu32 " elements, has %zu", ret_state->vcpu_count,
			      json_array_size(array));
	for (size_t i = 0; r == 0 && i < ret_state->vcpu_count; i++) {
		size_t array_path = json_path_enter_element(path, i);

		r = fields_from_json(vcpu_state_fields, json_array_get(array, i), path, &ret_state->vcpus[i], detail);
		json_path_leave(path, array_path);
	}
	json_path_leave(path, outside);
	return r;
}

static int read_document(const json_t *document, struct vm_state *ret_state, struct snapshot_metadata *ret_metadata,
			 struct memory_checksums *ret_checksums, struct error_detail *detail)
{
	static const char *const members[] = { "magic",   "format",     "crc64",        "created",
					       "ember",   "vcpu_count", "memory_size",  "cpu_template",
					       "host",    "memory",     "pit_reinject", "clock",
					       "irqchip", "devices",    "vcpus",        NULL };
	struct json_path path = { .length = 0 };
	int r;

	ret_state->magic = VM_STATE_MAGIC;
	ret_state->version = VM_STATE_VERSION;
	ret_state->irqchip.pic_master.chip_id = KVM_IRQCHIP_PIC_MASTER;
	ret_state->irqchip.pic_slave.chip_id = KVM_IRQCHIP_PIC_SLAVE;
	ret_state->irqchip.ioapic.chip_id = KVM_IRQCHIP_IOAPIC;

	r = expect_members(document, members, &path, detail);
	if (r == 0)
		r = read_header(document, &path, ret_state, ret_metadata, detail);
	if (r == 0)
		r = read_pit_reinject(document, &path, &ret_state->no_pit_reinject, detail);
	if (r == 0)
		r = read_host(document, &path, ret_metadata, detail);
	if (r == 0)
		r = read_memory(document, ret_state->memory_size, &path, ret_checksums, detail);
	if (r == 0)
		r = read_table(document, "clock", clock_state_fields, &path, &ret_state->clock, detail);
	if (r == 0)
		r = read_table(document, "irqchip", irqchip_state_fields, &path, &ret_state->irqchip, detail);
	if (r == 0)
		r = read_devices(document, &path, ret_state, detail);
	if (r == 0)
		r = read_vcpus(document, &path, ret_state, detail);
	if (r == 0)
		r = vm_state_check(ret_state, detail);

	return r;
}

int state_json_read(const char *text, size_t size, struct vm_state *ret_state, struct snapshot_metadata *ret_metadata,
		    struct memory_checksums *ret_checksums, struct error_detail *detail)
{
	json_t *document;
	int r;

	memset(ret_state, 0, sizeof(*ret_state));
	memset(ret_metadata, 0, sizeof(*ret_metadata));
	memset(ret_checksums, 0, sizeof(*ret_checksums));

	r = state_json_open(text, size, &document, &ret_metadata->state_crc64, detail);
	if (r < 0)
		return r;

	r = read_document(document, ret_state, ret_metadata, ret_checksums, detail);
	json_decref(document);
	return r;
}

/* Read a whole file of at most one byte more than a state may have. */
static int read_file(int file, char **ret_text, size_t *ret_size, struct error_detail *detail)
{
	cleanup_free char *text = NULL;
	struct stat status;
	size_t done = 0;
	size_t size;
	int r;

	if (file_status(file, &status) < 0)
		goto failed;
	size = (uint64_t)status.st_size > SNAPSHOT_STATE_SIZE_MAX ? SNAPSHOT_STATE_SIZE_MAX + 1
								  : (size_t)status.st_size;
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	while (done < size) {
		ssize_t got = pread(file, text + done, size - done, (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			goto failed;
		if (got == 0) {
			error_detail_set(detail, "state.json was cut short while it was read");
			return -EBADMSG;
		}
		done += (size_t)got;
	}

	*ret_text = steal_pointer(text);
	*ret_size = size;
	return 0;

failed:
	r = -errno;
	error_detail_set(detail, "cannot read state.json: %s", strerrordesc_np(-r));
	return r;
}

int state_json_load(int file, struct vm_state *ret_state, struct snapshot_metadata *ret_metadata,
		    struct memory_checksums *ret_checksums, struct error_detail *detail)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r = read_file(file, &text, &size, detail);

	if (r < 0)
		return r;

	return state_json_read(text, size, ret_state, ret_metadata, ret_checksums, detail);
}

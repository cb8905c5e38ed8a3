/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.json: {"format": 1, "name": "...", "kind": "bzimage", "packing": "zstd", ...}.
 *
 * The daemon wrote it and trusts nobody: what it reads at its start is checked as strictly as what the loader says. A text
 * that is absent (no version, no command line) is null.
 */
#include "server/kernel_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "kvm/linux/boot.h"
#include "kvm/linux/unpack.h"
#include "kvm/memory.h"
#include "server/cleanup.h"
#include "snapshot/json_print.h"
#include "snapshot/json_value.h"
#include "snapshot/time_text.h"

#define RECORD_FORMAT  1
#define RECORD_MEMBERS 14

bool kernel_cmdline_is_valid(const char *cmdline)
{
	size_t length = 0;

	for (; cmdline[length] != '\0'; length++)
		if (cmdline[length] < ' ' || cmdline[length] > '~')
			return false;

	return length <= KERNEL_CMDLINE_MAX;
}

void kernel_record_set(struct kernel_record *record, const struct message_kernel_loaded *loaded)
{
	(void)snprintf(record->version, sizeof(record->version), "%s", loaded->version);
	for (size_t i = 0; i < MESSAGE_SHA256_SIZE; i++)
		(void)snprintf(record->sha256 + 2 * i, 3, "%02x", loaded->sha256[i]);
	record->format = (enum kernel_format)loaded->format;
	record->packing = (enum kernel_packing)loaded->packing;
	record->entries = loaded->entries;
	record->protocol = loaded->protocol;
	record->cmdline_max = loaded->cmdline_max;
	record->image_size = loaded->image_size;
	record->elf_size = loaded->elf_size;
	record->memory_size = loaded->memory_size;
}

bool kernel_record_has_entry(const struct kernel_record *record, enum kernel_entry entry, bool *ret_in_elf)
{
	bool wants_elf = entry != KERNEL_ENTRY_BZIMAGE;

	if ((unsigned int)entry >= KERNEL_ENTRY_COUNT || !(record->entries & UINT32_C(1) << entry))
		return false;
	*ret_in_elf = wants_elf && record->format == KERNEL_BZIMAGE;
	return *ret_in_elf ? record->elf_size > 0 : wants_elf == (record->format == KERNEL_ELF);
}

/* An older record may say more of an ELF than its kernel takes. */
uint32_t kernel_record_cmdline_max(const struct kernel_record *record, enum kernel_entry entry)
{
	bool is_elf = entry != KERNEL_ENTRY_BZIMAGE;

	return is_elf && record->cmdline_max > LINUX_ELF_CMDLINE_MAX ? LINUX_ELF_CMDLINE_MAX : record->cmdline_max;
}

/* ---- to text ---- */

static const char *text_or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

static json_t *entries_to_json(const struct kernel_record *record)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < KERNEL_ENTRY_COUNT; i++)
		if (record->entries & UINT32_C(1) << i)
			(void)json_array_append_new(array, json_string(kernel_entry_name((enum kernel_entry)i)));

	return array;
}

int kernel_record_to_text(const struct kernel_record *record, char **ret_text, size_t *ret_size)
{
	cleanup_json json_t *document = NULL;
	cleanup_free char *text = NULL;
	char added[TIME_TEXT_SIZE];
	size_t size = 0;
	FILE *stream;
	int result;

	time_to_text(record->added_unix_ns, added);
	document = json_pack("{s:i, s:s, s:s, s:s, s:i, s:o, s:s?, s:s?, s:i, s:I, s:I, s:I, s:s, s:s}", "format",
			     RECORD_FORMAT, "name", record->name, "kind", kernel_format_name(record->format), "packing",
			     kernel_packing_name(record->packing), "protocol", (int)record->protocol, "entries",
			     entries_to_json(record), "version", text_or_null(record->version), "cmdline",
			     text_or_null(record->cmdline), "cmdline_max", (int)record->cmdline_max, "image_bytes",
			     (json_int_t)record->image_size, "vmlinux_bytes", (json_int_t)record->elf_size,
			     "memory_bytes", (json_int_t)record->memory_size, "sha256", record->sha256, "added", added);
	stream = document ? open_memstream(&text, &size) : NULL;
	if (!stream)
		return -ENOMEM;
	result = json_print(stream, document);
	(void)fputc('\n', stream);
	if (fclose(stream) != 0 || result < 0)
		return -ENOMEM;

	*ret_text = steal_pointer(text);
	*ret_size = size;
	return 0;
}

/* ---- from text ---- */

/* The first member that is wrong is told, and the others are not looked at any more. */
struct reader {
	const json_t *document;
	struct json_path path;
	struct error_detail *detail;
	int result;
};

static const json_t *enter(struct reader *reader, const char *name)
{
	json_path_leave(&reader->path, 0);
	(void)json_path_enter_member(&reader->path, name);
	return json_object_get(reader->document, name);
}

static uint64_t read_number(struct reader *reader, const char *name, int64_t minimum, uint64_t maximum)
{
	const json_t *value = enter(reader, name);
	int64_t number = 0;

	if (reader->result == 0)
		reader->result = json_read_integer(value, minimum, maximum, &reader->path, &number, reader->detail);
	return (uint64_t)number;
}

static void read_text(struct reader *reader, const char *name, bool nullable, char *ret_text, size_t size)
{
	const json_t *value = enter(reader, name);

	ret_text[0] = '\0';
	if (reader->result == 0 && !(nullable && json_is_null(value)))
		reader->result = json_read_string(value, size, &reader->path, ret_text, reader->detail);
}

static void fail(struct reader *reader, const char *message)
{
	if (reader->result == 0)
		reader->result = json_fail(&reader->path, reader->detail, "%s", message);
}

static unsigned int read_name(struct reader *reader, const char *name, const char *(*name_of)(unsigned int value))
{
	unsigned int value = 0;
	char text[32];

	read_text(reader, name, false, text, sizeof(text));
	while (reader->result == 0 && name_of(value) && strcmp(name_of(value), text) != 0)
		value++;
	if (reader->result == 0 && !name_of(value))
		fail(reader, "is no name that is known");
	return value;
}

static const char *format_name(unsigned int value)
{
	return kernel_format_name((enum kernel_format)value);
}

static const char *packing_name(unsigned int value)
{
	return kernel_packing_name((enum kernel_packing)value);
}

static uint32_t read_entries(struct reader *reader)
{
	const json_t *array = enter(reader, "entries");
	uint32_t entries = 0;

	if (reader->result == 0)
		reader->result = json_expect_array(array, &reader->path, reader->detail);
	for (size_t i = 0; reader->result == 0 && i < json_array_size(array); i++) {
		const char *name = json_string_value(json_array_get(array, i));
		enum kernel_entry entry;

		if (!name || kernel_entry_parse(name, &entry) < 0 || entries & UINT32_C(1) << entry)
			fail(reader, "must name entries, each once");
		else
			entries |= UINT32_C(1) << entry;
	}
	if (entries == 0)
		fail(reader, "must name an entry");
	return entries;
}

static void read_rest(struct reader *reader, struct kernel_record *record)
{
	char added[TIME_TEXT_SIZE];

	read_text(reader, "added", false, added, sizeof(added));
	if (reader->result == 0 && time_from_text(added, &record->added_unix_ns) < 0)
		fail(reader, "must be a time");
	read_text(reader, "sha256", false, record->sha256, sizeof(record->sha256));
	if (strspn(record->sha256, "0123456789abcdef") != sizeof(record->sha256) - 1)
		fail(reader, "must be 64 hexadecimal digits");
	read_text(reader, "name", false, record->name, sizeof(record->name));
	if (!catalog_name_is_valid(record->name))
		fail(reader, "must be a name");

	record->entries = read_entries(reader);
	for (unsigned int i = 0; i < KERNEL_ENTRY_COUNT; i++) {
		bool in_elf;

		if (record->entries & UINT32_C(1) << i &&
		    !kernel_record_has_entry(record, (enum kernel_entry)i, &in_elf))
			fail(reader, "must be of its files");
	}
}

int kernel_record_from_text(const char *text, size_t size, struct kernel_record *ret_record,
			    struct error_detail *detail)
{
	cleanup_json json_t *document = NULL;
	struct reader reader = { .detail = detail };
	struct kernel_record record = { 0 };
	char message[JSON_ERROR_TEXT_LENGTH];
	json_error_t error;

	document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (!document) {
		int r = json_load_failure(&error, message, sizeof(message));

		error_detail_set(detail, "line %d, column %d: %s", error.line, error.column, message);
		return r;
	}
	reader.document = document;
	reader.result = json_expect_object(document, &reader.path, detail);
	if (json_object_size(document) != RECORD_MEMBERS)
		fail(&reader, "must have the members of a kernel's record, and nothing else");

	(void)read_number(&reader, "format", RECORD_FORMAT, RECORD_FORMAT);
	record.format = (enum kernel_format)read_name(&reader, "kind", format_name);
	record.packing = (enum kernel_packing)read_name(&reader, "packing", packing_name);
	if (record.format == KERNEL_ELF && record.packing != KERNEL_PACKING_NONE)
		fail(&reader, "must be none of an ELF file");
	record.protocol = (uint32_t)read_number(&reader, "protocol", 0, UINT16_MAX);
	read_text(&reader, "version", true, record.version, sizeof(record.version));
	read_text(&reader, "cmdline", true, record.cmdline, sizeof(record.cmdline));
	record.cmdline_max = (uint32_t)read_number(&reader, "cmdline_max", 0, LINUX_CMDLINE_MAX);
	record.image_size = read_number(&reader, "image_bytes", 1, KERNEL_UNPACKED_MAX);
	record.elf_size = read_number(&reader, "vmlinux_bytes", 0, KERNEL_UNPACKED_MAX);
	record.memory_size = read_number(&reader, "memory_bytes", 0, GUEST_MEMORY_SIZE_MAX);
	read_rest(&reader, &record);
	if (reader.result < 0)
		return reader.result;

	*ret_record = record;
	return 0;
}

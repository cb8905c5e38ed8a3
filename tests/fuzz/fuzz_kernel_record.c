/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.json as somebody may have left it in the state folder.
 *
 * Properties: a refusal says why and leaves the record alone; what is taken is in bounds, has an entry, has each of
 * its entries in a file that it has, and is written as the document that was read, and read again as it is.
 */
#include "fuzz.h"
#include "kvm/memory.h"
#include "server/kernel_record.h"

#include <jansson.h>
#include <string.h>

static void check_text(const char *text, size_t room)
{
	size_t length = strnlen(text, room);

	FUZZ_CHECK(length < room);
	for (size_t i = 0; i < length; i++)
		FUZZ_CHECK(text[i] >= ' ' && text[i] <= '~');
}

static void check_entries(const struct kernel_record *record)
{
	FUZZ_CHECK(record->entries != 0 && record->entries >> KERNEL_ENTRY_COUNT == 0);
	for (unsigned int i = 0; i < KERNEL_ENTRY_COUNT; i++) {
		bool has = record->entries >> i & 1, in_elf = false;

		FUZZ_CHECK(kernel_record_has_entry(record, (enum kernel_entry)i, &in_elf) == has);
		FUZZ_CHECK(!has || !in_elf || record->elf_size > 0);
	}
}

static void check_record(const struct kernel_record *record)
{
	check_text(record->name, sizeof(record->name));
	check_text(record->cmdline, sizeof(record->cmdline));
	check_text(record->version, sizeof(record->version));
	check_text(record->sha256, sizeof(record->sha256));
	FUZZ_CHECK(catalog_name_is_valid(record->name));
	FUZZ_CHECK(kernel_cmdline_is_valid(record->cmdline));
	FUZZ_CHECK(strspn(record->sha256, "0123456789abcdef") == sizeof(record->sha256) - 1);
	FUZZ_CHECK(kernel_format_name(record->format) && kernel_packing_name(record->packing));
	FUZZ_CHECK(record->image_size > 0 && record->memory_size <= GUEST_MEMORY_SIZE_MAX);
	check_entries(record);
}

/* Members may stand in any order, and entries may. */
static void check_same(const uint8_t *data, size_t size, const char *text, size_t text_size)
{
	json_t *one = json_loadb((const char *)data, size, 0, NULL);
	json_t *other = json_loadb(text, text_size, 0, NULL);

	FUZZ_CHECK(one && other);
	FUZZ_CHECK(json_array_size(json_object_get(one, "entries")) ==
		   json_array_size(json_object_get(other, "entries")));
	(void)json_object_del(one, "entries");
	(void)json_object_del(other, "entries");
	FUZZ_CHECK(json_equal(one, other));
	json_decref(one);
	json_decref(other);
}

static void check_written(const struct kernel_record *record, const uint8_t *data, size_t data_size)
{
	struct kernel_record read;
	char *text = NULL, *again = NULL;
	size_t size = 0, again_size = 0;

	FUZZ_CHECK(kernel_record_to_text(record, &text, &size) == 0);
	FUZZ_CHECK(size <= KERNEL_RECORD_TEXT_MAX);
	FUZZ_CHECK(kernel_record_from_text(text, size, &read, NULL) == 0);
	check_same(data, data_size, text, size);
	check_record(&read);
	FUZZ_CHECK(kernel_record_to_text(&read, &again, &again_size) == 0);
	FUZZ_CHECK(size == again_size && memcmp(text, again, size) == 0);
	free(text);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kernel_record record, untouched;
	struct error_detail detail = { "" };

	memset(&record, 0xa5, sizeof(record));
	memset(&untouched, 0xa5, sizeof(untouched));
	if (kernel_record_from_text((const char *)data, size, &record, &detail) == 0) {
		FUZZ_CHECK(detail.text[0] == '\0');
		check_record(&record);
		check_written(&record, data, size);
	} else {
		FUZZ_CHECK(detail.text[0] != '\0');
		FUZZ_CHECK(memcmp(&record, &untouched, sizeof(record)) == 0);
	}

	return 0;
}

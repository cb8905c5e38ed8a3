/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.json: what is written is read, and nothing else is.
 */
#include "server/kernel_record.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct kernel_record sample = {
	.name = "debian",
	.cmdline = "console=ttyS0 \"quiet\" \\",
	.version = "6.1.0-18-amd64 (debian-kernel@lists.debian.org) #1 SMP",
	.sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	.format = KERNEL_BZIMAGE,
	.packing = KERNEL_PACKING_LZ4,
	.entries = 1U << KERNEL_ENTRY_BZIMAGE | 1U << KERNEL_ENTRY_ELF64 | 1U << KERNEL_ENTRY_PVH,
	.protocol = 0x20f,
	.cmdline_max = 2047,
	.image_size = 8 << 20,
	.elf_size = 40 << 20,
	.memory_size = 64 << 20,
	.added_unix_ns = UINT64_C(1700000000123456789),
};

static json_t *document_of(const struct kernel_record *record)
{
	char *text = NULL;
	size_t size = 0;
	json_t *document;

	cr_assert_eq(kernel_record_to_text(record, &text, &size), 0);
	cr_assert_eq(text[size - 1], '\n');
	document = json_loadb(text, size, 0, NULL);
	cr_assert_not_null(document);
	free(text);
	return document;
}

/* Read the document; takes it. */
static int read_back(json_t *document, struct kernel_record *ret_record, struct error_detail *detail)
{
	char *text = json_dumps(document, 0);
	int result = kernel_record_from_text(text, strlen(text), ret_record, detail);

	free(text);
	json_decref(document);
	return result;
}

static void expect_same(const struct kernel_record *record)
{
	struct kernel_record found;
	struct error_detail detail = { "" };

	memset(&found, 0xff, sizeof(found));
	cr_assert_eq(read_back(document_of(record), &found, &detail), 0, "%s", detail.text);
	cr_assert_str_eq(found.name, record->name);
	cr_assert_str_eq(found.cmdline, record->cmdline);
	cr_assert_str_eq(found.version, record->version);
	cr_assert_str_eq(found.sha256, record->sha256);
	cr_assert_eq(found.format, record->format);
	cr_assert_eq(found.packing, record->packing);
	cr_assert_eq(found.entries, record->entries);
	cr_assert_eq(found.protocol, record->protocol);
	cr_assert_eq(found.cmdline_max, record->cmdline_max);
	cr_assert_eq(found.image_size, record->image_size);
	cr_assert_eq(found.elf_size, record->elf_size);
	cr_assert_eq(found.memory_size, record->memory_size);
	cr_assert_eq(found.added_unix_ns, record->added_unix_ns);
}

Test(kernel_record, what_is_written_is_read)
{
	struct kernel_record record = sample;

	expect_same(&record);
	record.cmdline[0] = '\0';
	record.version[0] = '\0';
	expect_same(&record);
	memset(record.cmdline, 'c', KERNEL_CMDLINE_MAX);
	memset(record.version, 'v', KERNEL_VERSION_MAX - 1);
	memset(record.name, 'n', CATALOG_NAME_MAX);
	expect_same(&record);

	record.format = KERNEL_ELF;
	record.packing = KERNEL_PACKING_NONE;
	record.protocol = 0;
	record.elf_size = 0;
	record.entries = 1U << KERNEL_ENTRY_PVH;
	expect_same(&record);
}

static void expect_refused(json_t *document, const char *named)
{
	struct kernel_record found = { .name = "untouched" };
	struct error_detail detail = { "" };

	cr_assert_eq(read_back(document, &found, &detail), -EINVAL, "%s", named);
	cr_assert_not_null(strstr(detail.text, named), "%s: %s", named, detail.text);
	cr_assert_str_eq(found.name, "untouched");
}

Test(kernel_record, an_elf_file_is_not_packed_and_has_no_other_entries)
{
	struct kernel_record record = sample;

	record.format = KERNEL_ELF;
	record.elf_size = 0;
	expect_refused(document_of(&record), "packing");
	record.packing = KERNEL_PACKING_NONE;
	expect_refused(document_of(&record), "entries");
}

Test(kernel_record, every_member_missing_mistyped_out_of_range_or_unknown)
{
	/* What no member takes, and what one takes only with another value. */
	static const char *const wrong[] = { "true", "-1", "{}", "[7]", "18446744073709551616.0", "\"\\u0007\"" };
	json_t *whole = document_of(&sample), *changed;
	const char *name;
	json_t *value;

	json_object_foreach(whole, name, value) {
		changed = json_copy(whole);
		(void)json_object_del(changed, name);
		expect_refused(changed, "members");
		(void)json_object_set(changed = json_copy(whole), "more", value);
		expect_refused(changed, "members");
		(void)json_object_del(changed = json_copy(whole), name);
		(void)json_object_set(changed, "instead", value);
		expect_refused(changed, name);
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			changed = json_copy(whole);
			(void)json_object_set_new(changed, name, json_loads(wrong[i], JSON_DECODE_ANY, NULL));
			expect_refused(changed, name);
		}
	}
	json_decref(whole);
}

static json_t *with(const char *name, const char *value)
{
	json_t *document = document_of(&sample);

	cr_assert_eq(json_object_set_new(document, name, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
	return document;
}

Test(kernel_record, values_that_cannot_be)
{
	expect_refused(with("format", "2"), "format");
	expect_refused(with("name", "\"../debian\""), "name");
	expect_refused(with("kind", "\"uboot\""), "kind");
	expect_refused(with("packing", "\"zip\""), "packing");
	expect_refused(with("protocol", "65536"), "protocol");
	expect_refused(with("entries", "[]"), "entries");
	expect_refused(with("entries", "[\"pvh\", \"pvh\"]"), "entries");
	expect_refused(with("entries", "[\"bios\"]"), "entries");
	expect_refused(with("vmlinux_bytes", "0"), "entries");
	expect_refused(with("cmdline_max", "4096"), "cmdline_max");
	expect_refused(with("image_bytes", "0"), "image_bytes");
	expect_refused(with("image_bytes", "536870913"), "image_bytes");
	expect_refused(with("vmlinux_bytes", "536870913"), "vmlinux_bytes");
	expect_refused(with("memory_bytes", "4294967296000"), "memory_bytes");
	expect_refused(with("sha256", "\"0123\""), "sha256");
	expect_refused(with("sha256", "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeF\""),
		       "sha256");
	expect_refused(with("added", "\"yesterday\""), "added");
}

Test(kernel_record, text_that_is_no_record)
{
	static const char *const texts[] = { "", "[]", "7", "{", "{}", "{\"format\": 1, \"format\": 1}", "nonsense" };
	struct kernel_record record;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct error_detail detail = { "" };

		cr_assert_eq(kernel_record_from_text(texts[i], strlen(texts[i]), &record, &detail), -EINVAL, "%s",
			     texts[i]);
		cr_assert_neq(detail.text[0], '\0', "%s", texts[i]);
	}
}

Test(kernel_record, command_lines)
{
	char longest[KERNEL_CMDLINE_MAX + 2];

	memset(longest, 'x', sizeof(longest));
	longest[KERNEL_CMDLINE_MAX] = '\0';
	cr_assert(kernel_cmdline_is_valid(longest));
	longest[KERNEL_CMDLINE_MAX] = 'x';
	longest[KERNEL_CMDLINE_MAX + 1] = '\0';
	cr_assert_not(kernel_cmdline_is_valid(longest));
	cr_assert(kernel_cmdline_is_valid(""));
	cr_assert_not(kernel_cmdline_is_valid("one\ntwo"));
	cr_assert_not(kernel_cmdline_is_valid("caf\xc3\xa9"));
}

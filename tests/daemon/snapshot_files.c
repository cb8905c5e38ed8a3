/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a state.json is made anew from its members: a first line of fixed form, then the rest of the object, which
 * the CRC in the first line covers (snapshot/state_json.h).
 */
#include "snapshot_files.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot/crc64.h"
#include "steps.h"

static int open_file(const char *folder, const char *name, int flags)
{
	char path[1024];
	int file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = open(path, flags | O_CLOEXEC, 0600);
	cr_assert_geq(file, 0, "cannot open %s", path);
	return file;
}

uint64_t file_checksum(const char *folder, const char *name)
{
	static char block[1 << 16];
	int file = open_file(folder, name, O_RDONLY);
	uint64_t crc = CRC64_START;
	ssize_t got;

	while ((got = read(file, block, sizeof(block))) > 0)
		crc = crc64_update(crc, block, (size_t)got);
	cr_assert_eq(got, 0);
	(void)close(file);
	return crc;
}

int64_t file_size(const char *folder, const char *name)
{
	int file = open_file(folder, name, O_RDONLY);
	struct stat status;

	cr_assert_eq(fstat(file, &status), 0);
	(void)close(file);
	return status.st_size;
}

void file_resize(const char *folder, const char *name, int64_t size)
{
	int file = open_file(folder, name, O_WRONLY);

	cr_assert_eq(ftruncate(file, size), 0);
	(void)close(file);
}

void file_flip(const char *folder, const char *name, int64_t offset, int bit)
{
	int file = open_file(folder, name, O_RDWR);
	unsigned char byte;

	cr_assert_eq(pread(file, &byte, 1, offset), 1);
	byte = (unsigned char)(byte ^ 1U << bit);
	cr_assert_eq(pwrite(file, &byte, 1, offset), 1);
	(void)close(file);
}

void file_write(const char *folder, const char *name, const char *text)
{
	int file = open_file(folder, name, O_WRONLY | O_CREAT | O_TRUNC);

	cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(file);
}

void file_remove(const char *folder, const char *name)
{
	char path[1024];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	cr_assert_eq(unlink(path), 0);
}

void snapshot_copy(const char *from, const char *to)
{
	char output[4096];

	cr_assert_eq(run_program(output, sizeof(output), "rm -rf %s && cp -a --sparse=always %s %s", to, from, to), 0,
		     "%s", output);
}

json_t *state_read(const char *folder)
{
	char path[1024];
	json_error_t error;
	json_t *document;

	(void)snprintf(path, sizeof(path), "%s/state.json", folder);
	document = json_load_file(path, 0, &error);
	cr_assert_not_null(document, "%s: %s", path, error.text);
	return document;
}

void state_write(const char *folder, json_t *document)
{
	char first_line[128];
	int64_t format = int_at(document, "format");
	size_t body;
	char *text, *whole;

	cr_assert_eq(json_object_del(document, "magic") | json_object_del(document, "format") |
			     json_object_del(document, "crc64"),
		     0);
	text = json_dumps(document, JSON_INDENT(1));
	cr_assert(text && text[0] == '{');
	body = strlen(text + 1);
	(void)snprintf(first_line, sizeof(first_line),
		       "{\"magic\": \"EMBERSNP\", \"format\": %" PRId64 ", \"crc64\": \"%016" PRIx64 "\",\n", format,
		       crc64_update(CRC64_START, text + 1, body));
	whole = malloc(strlen(first_line) + body + 1);
	cr_assert_not_null(whole);
	memcpy(whole, first_line, strlen(first_line));
	memcpy(whole + strlen(first_line), text + 1, body + 1);
	file_write(folder, "state.json", whole);
	free(whole);
	free(text);
	json_decref(document);
}

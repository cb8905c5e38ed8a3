/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over its corpus without libFuzzer, so that every build of every compiler does: each file as it
 * is, cut at each length, and with each byte replaced by a few that matter to parsers. What a fuzzer once found stays
 * in the corpus and is found again here.
 *
 * Usage: fuzz_NAME FOLDER
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALTERED_MAX 2048 /* bytes: of a larger file only its first part is cut and altered */

/* In memory of the exact size, so that a sanitizer sees a byte read too far. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	if (!exact)
		abort();
	memcpy(exact, data, size);
	(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static void run_altered(uint8_t *data, size_t size)
{
	static const uint8_t values[] = { 0x00, 0x09, '\n', '\r', '"',  '\\', ',', '0',
					  '[',  ']',  '{',  '}',  0x7f, 0x80, 0xff };
	size_t reach = size < ALTERED_MAX ? size : ALTERED_MAX;

	for (size_t length = 0; length < reach; length++)
		run(data, length);
	for (size_t at = 0; at < reach; at++) {
		uint8_t kept = data[at];

		for (size_t i = 0; i < sizeof(values); i++) {
			data[at] = values[i];
			run(data, size);
		}
		data[at] = kept;
	}
}

/* Returns whether it is an input: a folder is none. Not every file system says so in the entry. */
static bool run_file(int folder, const char *name)
{
	int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
	struct stat status;
	uint8_t *data;

	if (file < 0 || fstat(file, &status) < 0) {
		perror(name);
		exit(1);
	}
	if (!S_ISREG(status.st_mode)) {
		(void)close(file);
		return false;
	}
	data = malloc((size_t)status.st_size + 1);
	if (!data || read(file, data, (size_t)status.st_size) != status.st_size) {
		perror(name);
		exit(1);
	}
	(void)close(file);
	run(data, (size_t)status.st_size);
	run_altered(data, (size_t)status.st_size);
	free(data);
	return true;
}

int main(int argc, char **argv)
{
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	const struct dirent *entry;
	size_t files = 0;

	if (!folder) {
		(void)fprintf(stderr, "Usage: %s FOLDER (of inputs)\n", argv[0]);
		return 2;
	}
	while ((entry = readdir(folder)))
		files += run_file(dirfd(folder), entry->d_name) ? 1 : 0;
	(void)closedir(folder);
	(void)printf("%zu inputs and their alterations: nothing found\n", files);

	return files > 0 ? 0 : 1;
}

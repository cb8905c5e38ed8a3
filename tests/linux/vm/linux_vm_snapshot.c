/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test machine to a snapshot's folder and back, by the library that the daemon uses.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "linux_vm.h"
#include "snapshot/capture.h"
#include "snapshot/publish.h"
#include "snapshot/state_json.h"

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		fail("memory", -ENOMEM, NULL);
	return memory;
}

/* What the file holds, holes left out. */
static void copy_file(const char *from_path, const char *to_path)
{
	int from = open(from_path, O_RDONLY | O_CLOEXEC);
	int to = open(to_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t size = lseek(from, 0, SEEK_END), start = 0;

	if (from < 0 || to < 0 || size < 0 || ftruncate(to, size) < 0)
		fail(to_path, -errno, NULL);
	while (start < size && (start = lseek(from, start, SEEK_DATA)) >= 0) {
		off_t end = lseek(from, start, SEEK_HOLE), out = start;

		while (start < end)
			if (copy_file_range(from, &start, to, &out, (size_t)(end - start), 0) <= 0)
				fail(to_path, -errno, NULL);
	}
	(void)close(to);
	(void)close(from);
}

void linux_vm_save(struct machine *machine, const struct options *options)
{
	const struct guest_memory *memory = &machine->vm.memory;
	struct vm_state *state = allocate(sizeof(*state));
	struct memory_checksums *checksums = allocate(sizeof(*checksums));
	struct snapshot_metadata metadata = { .ember_version = EMBER_VERSION,
					      .host_tsc_khz = machine->vm.host->tsc_khz,
					      .host_xsave_size = machine->vm.host->xsave_size };
	struct error_detail detail = { 0 };
	struct publication publication;
	uint64_t written, crc;
	int result;

	result = snapshot_capture(machine, state, NULL, &detail);
	if (result < 0)
		fail("capture", result, &detail);
	result = publication_begin(AT_FDCWD, options->snapshot, &snapshot_folder_form, true, &publication, &detail);
	if (result < 0)
		fail("publication", result, &detail);
	result = memory_file_write(publication.files[SNAPSHOT_FILE_MEMORY], memory->host, memory->size, NULL, checksums,
				   &written, &detail);
	if (result == 0)
		result = state_json_write(publication.files[SNAPSHOT_FILE_STATE], state, &metadata, checksums, &crc,
					  &detail);
	if (result == 0)
		result = publication_commit(&publication, &detail);
	if (result < 0)
		fail("snapshot", result, &detail);
	printf("linux_vm: snapshot of %" PRIu64 " MiB, %" PRIu64 " of them written\n", memory->size / MIB,
	       written / MIB);
	free(checksums);
	free(state);
	if (options->overlay) {
		char path[256];

		(void)snprintf(path, sizeof(path), "%s.overlay", options->snapshot);
		copy_file(options->overlay, path);
	}
}

static int open_in(const char *folder, const char *name)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail(path, -errno, NULL);
	return fd;
}

struct vm_state *linux_vm_load(const char *folder)
{
	struct vm_state *state = allocate(sizeof(*state));
	struct memory_checksums *checksums = allocate(sizeof(*checksums));
	int file = open_in(folder, "state.json"), memory = open_in(folder, "memory.snap");
	struct snapshot_metadata metadata;
	struct error_detail detail = { 0 };
	int result;

	result = state_json_load(file, state, &metadata, checksums, &detail);
	if (result == 0)
		result = memory_file_verify(memory, state->memory_size, checksums, NULL, &detail);
	if (result < 0)
		fail(folder, result, &detail);
	(void)close(memory);
	(void)close(file);
	free(checksums);
	return state;
}

void linux_vm_inject(struct machine *machine, const struct vm_state *state, const char *folder)
{
	struct error_detail detail = { 0 };
	int memory = open_in(folder, "memory.snap");
	int result = snapshot_inject(machine, state, memory, NULL, NULL, &detail);

	if (result < 0)
		fail("injection", result, &detail);
	(void)close(memory);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots on a disk that is full: what was there stays whole, and nothing half-made is left.
 *
 * Each test has a mount namespace of its own with a small tmpfs over the daemon's state folder, so these tests run as
 * root.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "image_builder.h"
#include "image_packer.h"
#include "snapshot_files.h"
#include "steps.h"

#define DISK_MIB 4

static struct daemon daemon_under_test;
static struct ember *client;
static char disk[128];

static void start(void)
{
	char overrides[512], options[64];

	if (getenv("EMBER_NO_KVM"))
		cr_skip_test("needs KVM, and EMBER_NO_KVM is set");
	(void)snprintf(disk, sizeof(disk), "/tmp/ember-disk-XXXXXX");
	cr_assert_not_null(mkdtemp(disk));
	cr_assert_eq(unshare(CLONE_NEWNS), 0, "a mount namespace takes root");
	cr_assert_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(options, sizeof(options), "size=%dm", DISK_MIB);
	cr_assert_eq(mount("tmpfs", disk, "tmpfs", 0, options), 0);
	(void)snprintf(
		overrides, sizeof(overrides),
		"{\"state_dir\": \"%s\", \"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1}]}}",
		disk);
	daemon_start(&daemon_under_test, overrides);
	client = daemon_connect(&daemon_under_test);
}

static void stop(void)
{
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
	cr_expect_eq(umount(disk), 0);
	cr_expect_eq(rmdir(disk), 0);
}

/* What the folder of named snapshots holds, as one text in order of name. */
static void list_snapshots(char *output, size_t size)
{
	cr_assert_eq(
		run_program(output, size, "cd %s && find . -mindepth 1 | grep -v catalog.json | LC_ALL=C sort", disk),
		0, "%s", output);
}

DAEMON_TEST(full_disk, a_snapshot_that_does_not_fit)
{
	char before[4096], after[4096], path[512];
	uint64_t memory, state;
	struct guest guest, restored;
	json_t *record;

	guest_boot(&guest, client, 1, GUEST_MIB);
	(void)guest_ask(&guest, "count");
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "old");
	record = call(client, "snapshot.inspect", "{s:s}", "name", "old");
	(void)snprintf(path, sizeof(path), "%s", text_at(record, "path"));
	json_decref(record);
	cr_assert_eq(strncmp(path, disk, strlen(disk)), 0, "%s", path);
	memory = file_checksum(path, "memory.snap");
	state = file_checksum(path, "state.json");
	list_snapshots(before, sizeof(before));

	/* 5 MiB of pages that are not zero */
	cr_assert_eq(strncmp(guest_ask(&guest, "touch 1280 3"), "pages ", 6), 0, "%s", guest.line);
	refused(client, RPC_RESOURCE_EXHAUSTED, NULL, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "new");
	list_snapshots(after, sizeof(after));
	cr_expect_str_eq(after, before, "something is left");
	/* Nor does one that would replace what is there. */
	refused(client, RPC_RESOURCE_EXHAUSTED, NULL, "vm.snapshot", "{s:s, s:s, s:b}", "vm", guest.vm, "name", "old",
		"overwrite", 1);
	list_snapshots(after, sizeof(after));
	cr_expect_str_eq(after, before, "something is left");

	cr_expect_eq(file_checksum(path, "memory.snap"), memory);
	cr_expect_eq(file_checksum(path, "state.json"), state);
	perform(client, "snapshot.verify", "{s:s}", "name", "old");
	refused(client, RPC_NOT_FOUND, "new", "snapshot.inspect", "{s:s}", "name", "new");
	/* The VM goes on, and so does the old snapshot. */
	cr_expect_eq(guest_number(&guest, "count"), 2);
	guest_restore(&restored, client, "old");
	cr_expect_eq(guest_number(&restored, "get"), 1);
	guest_release(&restored);
	guest_release(&guest);
}

DAEMON_TEST(full_disk, a_disk_without_a_single_byte)
{
	char before[4096], after[4096], filler[256];
	struct guest guest;
	FILE *file;

	guest_boot(&guest, client, 1, GUEST_MIB);
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "old");
	(void)snprintf(filler, sizeof(filler), "%s/filler", disk);
	file = fopen(filler, "we");
	cr_assert_not_null(file);
	setbuf(file, NULL);
	while (fputs("no room is left for anybody else on this disk, not for anything", file) >= 0)
		;
	(void)fclose(file);

	list_snapshots(before, sizeof(before));
	refused(client, RPC_RESOURCE_EXHAUSTED, NULL, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "new");
	list_snapshots(after, sizeof(after));
	cr_expect_str_eq(after, before);
	perform(client, "snapshot.verify", "{s:s}", "name", "old");
	cr_assert_eq(unlink(filler), 0);
	/* With room again, it works. */
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "new");
	guest_release(&guest);
}

/* A kernel's file in the daemon's folder, which is on another disk; zeroes follow up to its size. */
static void write_kernel(const char *path, const struct built_image *built, off_t size)
{
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(built->bytes, built->size, 1, file), 1);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(truncate(path, size), 0);
}

DAEMON_TEST(full_disk, a_kernel_that_does_not_fit)
{
	struct built_image vmlinux = build_elf(), built;
	struct packed *packed = calloc(1, sizeof(*packed));
	size_t unpacked = (size_t)(DISK_MIB + 4) << 20;
	uint8_t *padded = calloc(1, unpacked);
	char before[4096], after[4096], path[256];

	(void)snprintf(path, sizeof(path), "%s/kernel", daemon_under_test.folder);
	list_snapshots(before, sizeof(before));
	/* Neither the file itself, nor what comes out of one that does fit. */
	write_kernel(path, &vmlinux, (off_t)unpacked);
	refused(client, RPC_RESOURCE_EXHAUSTED, "No space", "kernel.add", "{s:s, s:s}", "name", "k", "path", path);
	list_snapshots(after, sizeof(after));
	cr_expect_str_eq(after, before, "something is left");
	memcpy(padded, vmlinux.bytes, vmlinux.size);
	packers[PACKER_XZ].pack(padded, unpacked, packed);
	built = build_bzimage(packed->bytes, packed->size);
	write_kernel(path, &built, (off_t)built.size);
	refused(client, RPC_RESOURCE_EXHAUSTED, "No space", "kernel.add", "{s:s, s:s}", "name", "k", "path", path);
	list_snapshots(after, sizeof(after));
	cr_expect_str_eq(after, before, "something is left");

	write_kernel(path, &vmlinux, (off_t)vmlinux.size);
	perform(client, "kernel.add", "{s:s, s:s}", "name", "k", "path", path);
	built_free(&built);
	built_free(&vmlinux);
	free(packed);
	free(padded);
}

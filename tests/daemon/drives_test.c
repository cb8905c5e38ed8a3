/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives: where a guest's writes go, who may have an image at one time, and what is no drive.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device_steps.h"
#include "guest.h"

#define RUN_UID 20002
#define ROLES   "{\"roles\": {\"run\": {\"users\": [20002]}}}"

GUEST_IMAGE(virtio_use);

static struct daemon daemon_under_test;
static struct ember *client;
static char disk[256];

static void start(void)
{
	daemon_start(&daemon_under_test, ROLES);
	client = daemon_connect(&daemon_under_test);
	(void)snprintf(disk, sizeof(disk), "%s", path_in(&daemon_under_test, "disk"));
	write_disk(disk);
}

static void stop(void)
{
	perform(client, "server.ping", NULL);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

/* A file in the daemon's folder, by its name. */
static const char *in(const char *name)
{
	return path_in(&daemon_under_test, name);
}

/* Boot the demo guest with one drive. */
static json_t *boot(json_t *drive)
{
	return call(client, "vm.boot", "{s:i, s:[o]}", "memory_mib", GUEST_MIB, "drives", drive);
}

static void refuse(int code, const char *named, json_t *drive)
{
	refused(client, code, named, "vm.boot", "{s:i, s:[o]}", "memory_mib", GUEST_MIB, "drives", drive);
}

/* A guest that overwrites sector 9 with 0x5a and reads it again. */
static json_t *use_disk(json_t *drive)
{
	json_t *started = boot_image(&daemon_under_test, client, virtio_use_image, virtio_use_image_size,
				     json_pack("{s:[o], s:{}}", "drives", drive, "rng"));

	wait_event(client, text_at(started, "vm"), 1, 1);
	return started;
}

DAEMON_TEST(drives, what_is_written_in_place_is_in_the_image)
{
	json_t *started = use_disk(json_pack("{s:s, s:s}", "path", disk, "serial", "test"));

	cr_expect_str_eq(text_at(started, "shape"), "1x16-host+1d+rng");
	cr_expect_eq(sector_of(disk, 9), 0x5a);
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
}

DAEMON_TEST(drives, an_overlay_leaves_the_image_as_it_is)
{
	const char *overlay = in("overlay");
	json_t *drive = json_pack("{s:s, s:s, s:s}", "path", disk, "serial", "test", "overlay", overlay);
	json_t *started = use_disk(json_incref(drive)), *info;
	struct stat status;

	info = call(client, "vm.info", "{s:O}", "vm", json_object_get(started, "vm"));
	cr_expect_str_eq(text_at(info, "devices.drives.0.overlay"), overlay);
	cr_expect_eq(int_at(info, "drives"), 1);
	json_decref(info);
	cr_expect_eq(sector_of(disk, 9), 10);
	cr_assert_eq(stat(overlay, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0600);
	cr_expect_gt(status.st_size, 0);
	release_vm(client, text_at(started, "vm"));
	json_decref(started);

	/* It stays, and another VM goes on with it; two do not at one time. */
	started = boot(json_incref(drive));
	refuse(RPC_FAILED_PRECONDITION, "drives[0].overlay", json_incref(drive));
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
	json_decref(drive);
}

DAEMON_TEST(drives, an_overlay_in_a_folder_has_no_name)
{
	const char *folder = in("overlays");
	json_t *started;

	cr_assert_eq(mkdir(folder, 0700), 0);
	started = use_disk(json_pack("{s:s, s:s, s:s}", "path", disk, "serial", "test", "overlay_folder", folder));
	cr_expect_eq(sector_of(disk, 9), 10);
	cr_expect_eq(rmdir(folder), 0, "there is a name in it");
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
}

DAEMON_TEST(drives, an_image_is_one_writers_or_many_readers)
{
	json_t *writer = boot(json_pack("{s:s}", "path", disk)), *readers[3];
	const char *overlays[] = { in("o0"), in("o1") };
	int file, i;

	refuse(RPC_FAILED_PRECONDITION, "drives[0].path", json_pack("{s:s}", "path", disk));
	refuse(RPC_FAILED_PRECONDITION, "drives[0].path", json_pack("{s:s, s:b}", "path", disk, "read_only", 1));
	refuse(RPC_FAILED_PRECONDITION, "drives[0].path", json_pack("{s:s, s:s}", "path", disk, "overlay", in("o")));
	cr_expect_not(exists(in("o")), "an overlay for a VM that was not started");
	release_vm(client, text_at(writer, "vm"));
	json_decref(writer);

	for (i = 0; i < 2; i++)
		readers[i] = boot(json_pack("{s:s, s:s}", "path", disk, "overlay", overlays[i]));
	readers[2] = boot(json_pack("{s:s, s:b}", "path", disk, "read_only", 1));
	refuse(RPC_FAILED_PRECONDITION, "drives[0].path", json_pack("{s:s}", "path", disk));
	/* The lock is anybody's who knows flock(2). */
	file = open(disk, O_RDWR | O_CLOEXEC);
	cr_expect_lt(flock(file, LOCK_EX | LOCK_NB), 0);
	for (i = 0; i < 3; i++) {
		perform(client, "vm.kill", "{s:O}", "vm", json_object_get(readers[i], "vm"));
		json_decref(readers[i]);
	}
	cr_expect_eq(flock(file, LOCK_EX | LOCK_NB), 0);
	refuse(RPC_FAILED_PRECONDITION, "in use", json_pack("{s:s}", "path", disk));
	(void)close(file);

	refused(client, RPC_FAILED_PRECONDITION, "drives[1].path", "vm.boot", "{s:[{s:s}, {s:s}]}", "drives", "path",
		disk, "path", disk);
}

DAEMON_TEST(drives, what_is_no_image)
{
	cr_assert_eq(mkfifo(in("fifo"), 0600), 0);
	cr_assert_eq(symlink(disk, in("link")), 0);
	write_file(in("odd"), "12345", 5);
	write_file(in("empty"), "", 0);

	refuse(RPC_NOT_FOUND, "drives[0].path", json_pack("{s:s}", "path", in("missing")));
	refuse(RPC_INVALID_ARGUMENT, "drives[0].path", json_pack("{s:s, s:b}", "path", in("fifo"), "read_only", 1));
	refuse(RPC_INVALID_ARGUMENT, "drives[0].path", json_pack("{s:s}", "path", in("link")));
	refuse(RPC_INVALID_ARGUMENT, "drives[0].path", json_pack("{s:s}", "path", in("odd")));
	refuse(RPC_INVALID_ARGUMENT, "drives[0].path", json_pack("{s:s}", "path", in("empty")));
	refuse(RPC_INVALID_ARGUMENT, "drives[0].path", json_pack("{s:s, s:b}", "path", in("state"), "read_only", 1));
	refuse(RPC_INVALID_PARAMS, "drives[0].path", json_pack("{s:s}", "path", "disk"));
	refuse(RPC_INVALID_PARAMS, "drives[0].path", json_pack("{}"));
	refuse(RPC_INVALID_PARAMS, "drives[0].size", json_pack("{s:s, s:i}", "path", disk, "size", 1));
	refused(client, RPC_NOT_FOUND, "drives[1].path", "vm.boot", "{s:[{s:s}, {s:s}]}", "drives", "path", disk,
		"path", in("missing"));
}

DAEMON_TEST(drives, what_is_no_overlay)
{
	json_t *(*pack)(const char *, ...) = json_pack;

	write_file(in("empty"), "", 0);
	write_file(in("text"), "not an overlay", 14);
	refuse(RPC_INVALID_ARGUMENT, "drives[0].overlay", pack("{s:s, s:s}", "path", disk, "overlay", in("empty")));
	refuse(RPC_INVALID_ARGUMENT, "drives[0]", pack("{s:s, s:s}", "path", disk, "overlay", in("text")));
	cr_expect(exists(in("text")), "what the VM did not make is not its to remove");
	refuse(RPC_NOT_FOUND, "drives[0].overlay", pack("{s:s, s:s}", "path", disk, "overlay", in("no/overlay")));
	refuse(RPC_NOT_FOUND, "drives[0].overlay_folder", pack("{s:s, s:s}", "path", disk, "overlay_folder", in("no")));
	refuse(RPC_INVALID_ARGUMENT, "drives[0].overlay_folder",
	       pack("{s:s, s:s}", "path", disk, "overlay_folder", disk));
	refuse(RPC_INVALID_PARAMS, "drives[0]",
	       pack("{s:s, s:s, s:s}", "path", disk, "overlay", in("o"), "overlay_folder", in(".")));
	refuse(RPC_INVALID_PARAMS, "drives[0].overlay",
	       pack("{s:s, s:s, s:b}", "path", disk, "overlay", in("o"), "read_only", 1));
	refuse(RPC_INVALID_PARAMS, "drives[0].overlay_mib", pack("{s:s, s:i}", "path", disk, "overlay_mib", 1));
	cr_expect_not(exists(in("o")));
}

DAEMON_TEST(drives, an_overlay_goes_with_a_start_that_fails_later)
{
	json_t *drive = json_pack("{s:s, s:s}", "path", disk, "overlay", in("o"));

	/* In a step after it; for want of a warm slot. */
	refused(client, RPC_NOT_FOUND, "drives[1].path", "vm.boot", "{s:[O, {s:s}]}", "drives", drive, "path",
		in("missing"));
	cr_expect_not(exists(in("o")));
	refused(client, RPC_POOL_EXHAUSTED, NULL, "vm.boot", "{s:[O], s:s}", "drives", drive, "temperature", "warm");
	wait_gone(in("o"));
	json_decref(drive);
}

DAEMON_TEST(drives, files_are_for_admins)
{
	char params[512];
	struct raw raw;

	raw_connect_as(&raw, daemon_under_test.socket_path, RUN_UID, RUN_UID);
	(void)snprintf(params, sizeof(params), "{\"drives\": [{\"path\": \"%s\"}]}", disk);
	raw_expect_error(&raw, "vm.boot", params, RPC_PERMISSION_DENIED);
	raw_expect_error(&raw, "vm.boot", "{\"kernel\": \"k\", \"initrd\": \"/initrd\"}", RPC_PERMISSION_DENIED);
	raw_expect_error(&raw, "vm.boot", "{\"vsock\": {\"path\": \"/tmp/v\"}}", RPC_PERMISSION_DENIED);
	raw_expect_error(&raw, "vm.boot", "{\"net\": [{\"tap\": \"tap0\"}]}", RPC_PERMISSION_DENIED);
	raw_expect_error(&raw, "vm.restore", "{\"snapshot\": \"s\", \"drives\": [{\"overlay\": \"/tmp/o\"}]}",
			 RPC_PERMISSION_DENIED);
	raw_close(&raw);
}

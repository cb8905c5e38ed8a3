/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks through snapshots: what a clone's disk is, what the daemon remembers of it over a restart, what a request may
 * say instead, and what is refused.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device_steps.h"
#include "guest.h"

#define WENT_WRONG 3 /* events of the copying guest */
#define ROUND_DONE 2

GUEST_IMAGE(virtio_copy);

static struct daemon daemon_under_test;
static struct ember *client;
static char disk[256], overlays[256];

static void start(void)
{
	daemon_start(&daemon_under_test, NULL);
	client = daemon_connect(&daemon_under_test);
	(void)snprintf(disk, sizeof(disk), "%s", path_in(&daemon_under_test, "disk"));
	(void)snprintf(overlays, sizeof(overlays), "%s", path_in(&daemon_under_test, "overlays"));
	write_disk(disk);
	cr_assert_eq(mkdir(overlays, 0700), 0);
}

static void stop(void)
{
	perform(client, "server.ping", NULL);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

static const char *in(const char *name)
{
	return path_in(&daemon_under_test, name);
}

/* The guest that copies half of a disk to its other half, and checks what it reads. */
static json_t *copy_disk(json_t *drive)
{
	return boot_image(&daemon_under_test, client, virtio_copy_image, virtio_copy_image_size,
			  json_pack("{s:[o], s:{}}", "drives", drive, "rng"));
}

/* Snapshot it in the middle of its work, and end it. */
static void snapshot_copying(json_t *drive, const char *name)
{
	json_t *started = copy_disk(drive);

	wait_event(client, text_at(started, "vm"), ROUND_DONE, 3);
	perform(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(started, "vm"), "name", name);
	/* The original is not harmed by its snapshot. */
	wait_event(client, text_at(started, "vm"), ROUND_DONE,
		   event_count(client, text_at(started, "vm"), ROUND_DONE) + 2);
	cr_expect_eq(event_count(client, text_at(started, "vm"), WENT_WRONG), 0);
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
}

/* A clone goes on, and finds on its disk what it wrote before. */
static void expect_goes_on(const char *vm)
{
	wait_event(client, vm, ROUND_DONE, event_count(client, vm, ROUND_DONE) + 3);
	cr_expect_eq(event_count(client, vm, WENT_WRONG), 0);
}

static json_t *restore(const char *name)
{
	return call(client, "vm.restore", "{s:s}", "snapshot", name);
}

static json_t *restore_with(const char *name, json_t *drive)
{
	return call(client, "vm.restore", "{s:s, s:[o]}", "snapshot", name, "drives", drive);
}

static void expect_image_untouched(void)
{
	int sector;

	for (sector = 0; sector < DISK_SECTORS; sector++)
		cr_expect_eq(sector_of(disk, sector), sector + 1);
}

DAEMON_TEST(device_restore, clones_share_an_image_and_nothing_else)
{
	json_t *clones[3], *inspected;
	int i;

	snapshot_copying(json_pack("{s:s, s:s}", "path", disk, "overlay_folder", overlays), "copy");
	inspected = call(client, "snapshot.inspect", "{s:s}", "name", "copy");
	cr_expect_str_eq(text_at(inspected, "devices.drives.0.path"), disk);
	cr_expect_str_eq(text_at(inspected, "shape"), "1x16-host+1d+rng");
	json_decref(inspected);
	cr_expect(exists(in("state/snapshots/copy/drive-0.overlay")));
	cr_expect_not(exists(in("state/snapshots/copy/drive-1.overlay")));

	for (i = 0; i < 3; i++)
		clones[i] = restore("copy");
	for (i = 0; i < 3; i++)
		expect_goes_on(text_at(clones[i], "vm"));
	/* A snapshot of a clone has all that its disk was. */
	perform(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(clones[0], "vm"), "name", "again");
	for (i = 0; i < 3; i++) {
		release_vm(client, text_at(clones[i], "vm"));
		json_decref(clones[i]);
	}
	perform(client, "snapshot.remove", "{s:s, s:b}", "name", "copy", "files", 1);
	cr_expect_not(exists(in("state/snapshots/copy")));
	clones[0] = restore("again");
	expect_goes_on(text_at(clones[0], "vm"));
	json_decref(clones[0]);
	expect_image_untouched();
	cr_expect_eq(rmdir(overlays), 0, "an overlay without a name has one");
}

DAEMON_TEST(device_restore, what_was_behind_a_snapshot_outlives_the_daemon)
{
	json_t *clone;

	snapshot_copying(json_pack("{s:s, s:s, s:i}", "path", disk, "overlay", in("overlays/mine"), "overlay_mib", 1),
			 "copy");
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGKILL);
	cr_assert_eq(daemon_wait_end(&daemon_under_test), 128 + SIGKILL);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);

	/* The other VM's overlay is not the clone's, which has one without a name beside it. */
	clone = restore("copy");
	expect_goes_on(text_at(clone, "vm"));
	release_vm(client, text_at(clone, "vm"));
	json_decref(clone);
	clone = restore_with("copy", json_pack("{s:s}", "overlay", in("overlays/clone")));
	expect_goes_on(text_at(clone, "vm"));
	cr_expect(exists(in("overlays/clone")));
	json_decref(clone);
	refused(client, RPC_ALREADY_EXISTS, "drives[0].overlay", "vm.restore", "{s:s, s:[{s:s}]}", "snapshot", "copy",
		"drives", "overlay", in("overlays/mine"));
	expect_image_untouched();
}

DAEMON_TEST(device_restore, an_image_that_has_changed_is_refused)
{
	json_t *clone;

	snapshot_copying(json_pack("{s:s, s:s}", "path", disk, "overlay_folder", overlays), "copy");
	write_disk(in("copy-of-disk"));
	write_disk(disk);
	refused(client, RPC_FAILED_PRECONDITION, "drives[0].path", "vm.restore", "{s:s}", "snapshot", "copy");
	/* Who says where it is now vouches for it, as far as its size tells. */
	clone = restore_with("copy", json_pack("{s:s}", "path", in("copy-of-disk")));
	expect_goes_on(text_at(clone, "vm"));
	json_decref(clone);
	write_file(in("short"), "0123456789abcdef", 16);
	cr_assert_eq(truncate(in("short"), SECTOR_SIZE), 0);
	refused(client, RPC_FAILED_PRECONDITION, "drives[0].path", "vm.restore", "{s:s, s:[{s:s}]}", "snapshot", "copy",
		"drives", "path", in("short"));
}

DAEMON_TEST(device_restore, a_drive_written_in_place_stands_still_from_its_snapshot_on)
{
	json_t *started = copy_disk(json_pack("{s:s}", "path", disk)), *clone;

	wait_event(client, text_at(started, "vm"), ROUND_DONE, 2);
	refused(client, RPC_FAILED_PRECONDITION, "resume", "vm.snapshot", "{s:O, s:s}", "vm",
		json_object_get(started, "vm"), "name", "copy");
	perform(client, "vm.snapshot", "{s:O, s:s, s:b}", "vm", json_object_get(started, "vm"), "name", "copy",
		"resume", 0);
	refused(client, RPC_FAILED_PRECONDITION, "drives[0].path", "vm.restore", "{s:s}", "snapshot", "copy");
	release_vm(client, text_at(started, "vm"));
	json_decref(started);

	/* Over the image as it was then, any number of clones; in place, one, after which it is another image. */
	clone = restore_with("copy", json_pack("{s:s}", "overlay_folder", overlays));
	expect_goes_on(text_at(clone, "vm"));
	release_vm(client, text_at(clone, "vm"));
	json_decref(clone);
	clone = restore("copy");
	expect_goes_on(text_at(clone, "vm"));
	release_vm(client, text_at(clone, "vm"));
	json_decref(clone);
	refused(client, RPC_FAILED_PRECONDITION, "drives[0].path", "vm.restore", "{s:s}", "snapshot", "copy");
}

DAEMON_TEST(device_restore, a_snapshot_by_its_path_must_be_told_what_is_behind_it)
{
	json_t *started = copy_disk(json_pack("{s:s, s:s}", "path", disk, "overlay_folder", overlays)), *clone;
	const char *path = in("by-path");

	wait_event(client, text_at(started, "vm"), ROUND_DONE, 2);
	perform(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(started, "vm"), "path", path);
	release_vm(client, text_at(started, "vm"));
	json_decref(started);

	refused(client, RPC_FAILED_PRECONDITION, "drives", "vm.restore", "{s:s}", "snapshot_path", path);
	refused(client, RPC_FAILED_PRECONDITION, "drives[0].path", "vm.restore", "{s:s, s:[{}]}", "snapshot_path", path,
		"drives");
	refused(client, RPC_FAILED_PRECONDITION, "drives[0].overlay_folder", "vm.restore", "{s:s, s:[{s:s}]}",
		"snapshot_path", path, "drives", "path", disk);
	clone = call(client, "vm.restore", "{s:s, s:[{s:s, s:s}]}", "snapshot_path", path, "drives", "path", disk,
		     "overlay_folder", overlays);
	expect_goes_on(text_at(clone, "vm"));
	json_decref(clone);

	perform(client, "snapshot.register", "{s:s, s:s}", "name", "copy", "path", path);
	refused(client, RPC_FAILED_PRECONDITION, "drives", "vm.restore", "{s:s}", "snapshot", "copy");
	clone = restore_with("copy", json_pack("{s:s, s:s}", "path", disk, "overlay_folder", overlays));
	expect_goes_on(text_at(clone, "vm"));
	json_decref(clone);
}

DAEMON_TEST(device_restore, overrides_go_with_what_the_snapshot_has)
{
	snapshot_copying(json_pack("{s:s, s:s}", "path", disk, "overlay_folder", overlays), "copy");
	refused(client, RPC_INVALID_PARAMS, "drives", "vm.restore", "{s:s, s:[{}, {}]}", "snapshot", "copy", "drives");
	refused(client, RPC_INVALID_PARAMS, "net", "vm.restore", "{s:s, s:[{s:s}]}", "snapshot", "copy", "net", "tap",
		"ember-none");
	refused(client, RPC_INVALID_PARAMS, "vsock", "vm.restore", "{s:s, s:{}}", "snapshot", "copy", "vsock");
	refused(client, RPC_INVALID_PARAMS, "drives[0].read_only", "vm.restore", "{s:s, s:[{s:b}]}", "snapshot", "copy",
		"drives", "read_only", 1);
	refused(client, RPC_INVALID_PARAMS, "clock", "vm.restore", "{s:s, s:s}", "snapshot", "copy", "clock", "stop");
}

DAEMON_TEST(device_restore, a_record_that_is_none_is_left_out)
{
	json_t *catalog;
	json_error_t error;

	snapshot_copying(json_pack("{s:s, s:s}", "path", disk, "overlay_folder", overlays), "copy");
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_assert_eq(daemon_wait_end(&daemon_under_test), 0);
	catalog = json_load_file(in("state/catalog.json"), 0, &error);
	cr_assert_not_null(catalog, "%s", error.text);
	(void)json_object_set_new(at(catalog, "snapshots.0.devices.parameters.drives.0"), "path",
				  json_string("../../etc/passwd"));
	cr_assert_eq(json_dump_file(catalog, in("state/catalog.json"), 0), 0);
	json_decref(catalog);

	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	daemon_wait_log(&daemon_under_test, "drives[0].path");
	refused(client, RPC_FAILED_PRECONDITION, "drives", "vm.restore", "{s:s}", "snapshot", "copy");
}

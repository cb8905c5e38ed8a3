/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots that are none, or not any more: refused with the file or field named, while a VM runs that must not notice.
 *
 * Each test damages a copy of one good snapshot, tries to register and to restore the copy, and goes on with the next
 * damage.
 */
#include <criterion/criterion.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "snapshot_files.h"
#include "steps.h"

static struct daemon daemon_under_test;
static struct ember *client;
static struct guest bystander;
static char good[256], copy[256];

static void start(void)
{
	/* Root may read everything: the daemon is not to be that kind of root. */
	(void)prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
	(void)prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
	daemon_start(&daemon_under_test, GUEST_POOL);
	client = daemon_connect(&daemon_under_test);
	(void)snprintf(good, sizeof(good), "%s/good", daemon_under_test.folder);
	(void)snprintf(copy, sizeof(copy), "%s/copy", daemon_under_test.folder);
	guest_boot(&bystander, client, 1, GUEST_MIB);
	(void)guest_ask(&bystander, "touch 30 1");
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", bystander.vm, "path", good);
}

static void stop(void)
{
	struct guest guest;
	json_t *started;

	/* Nobody was harmed, and what is good is still taken. */
	cr_expect_eq(guest_number(&bystander, "count"), 1);
	guest_release(&bystander);
	started = call(client, "vm.restore", "{s:s}", "snapshot_path", good);
	guest_of(&guest, client, started);
	cr_expect_eq(guest_number(&guest, "count"), 1);
	json_decref(started);
	guest_release(&guest);
	pool_settle(client, 2, 0);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

/* Neither registered nor restored, for this reason. */
static void expect_refused(int code, const char *named, const char *path)
{
	json_t *list;

	refused(client, code, named, "snapshot.register", "{s:s, s:s}", "name", "bad", "path", path);
	refused(client, code, named, "vm.restore", "{s:s}", "snapshot_path", path);
	list = call(client, "snapshot.list", NULL);
	cr_expect_eq(json_array_size(at(list, "snapshots")), 0);
	json_decref(list);
}

static void fresh_copy(void)
{
	snapshot_copy(good, copy);
}

DAEMON_TEST(bad_snapshots, missing_files)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/none", daemon_under_test.folder);
	expect_refused(RPC_NOT_FOUND, path, path);
	fresh_copy();
	file_remove(copy, "state.json");
	expect_refused(RPC_NOT_FOUND, "state.json", copy);
	fresh_copy();
	file_remove(copy, "memory.snap");
	expect_refused(RPC_NOT_FOUND, "memory.snap", copy);
	file_remove(copy, "state.json");
	expect_refused(RPC_NOT_FOUND, "state.json", copy);
}

DAEMON_TEST(bad_snapshots, empty_files)
{
	fresh_copy();
	file_resize(copy, "state.json", 0);
	expect_refused(RPC_SNAPSHOT_DAMAGED, "state.json", copy);
	fresh_copy();
	file_resize(copy, "memory.snap", 0);
	expect_refused(RPC_SNAPSHOT_DAMAGED, "memory.snap", copy);
}

DAEMON_TEST(bad_snapshots, files_cut_short)
{
	int64_t size = file_size(good, "state.json");
	const int64_t sizes[] = { 1, 20, 62, 63, 100, size / 2, size - 1 };
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fresh_copy();
		file_resize(copy, "state.json", sizes[i]);
		expect_refused(RPC_SNAPSHOT_DAMAGED, "state.json", copy);
	}
	fresh_copy();
	file_resize(copy, "memory.snap", (GUEST_MIB << 20) - 4096);
	expect_refused(RPC_SNAPSHOT_DAMAGED, "memory.snap", copy);
	file_resize(copy, "memory.snap", 4096);
	expect_refused(RPC_SNAPSHOT_DAMAGED, "memory.snap", copy);
}

DAEMON_TEST(bad_snapshots, files_too_large)
{
	fresh_copy();
	file_resize(copy, "state.json", file_size(copy, "state.json") + 1);
	expect_refused(RPC_SNAPSHOT_DAMAGED, "state.json", copy);
	file_resize(copy, "state.json", (INT64_C(16) << 20) + 1);
	expect_refused(RPC_INVALID_ARGUMENT, "state.json", copy);
	fresh_copy();
	file_resize(copy, "memory.snap", (GUEST_MIB << 20) + 4096);
	expect_refused(RPC_SNAPSHOT_DAMAGED, "memory.snap", copy);
	file_resize(copy, "memory.snap", INT64_C(1) << 40);
	expect_refused(RPC_INVALID_ARGUMENT, "memory.snap", copy);
	file_resize(copy, "memory.snap", (GUEST_MIB << 20) + 1);
	expect_refused(RPC_INVALID_ARGUMENT, "memory.snap", copy);
}

DAEMON_TEST(bad_snapshots, bits_turned_in_the_state)
{
	int64_t size = file_size(good, "state.json");
	/* magic, format, CRC, and members from the beginning to the end */
	const int64_t offsets[] = { 0, 12, 50, 64, 200, size / 3, size / 2, size - 2 };
	size_t i;

	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		fresh_copy();
		file_flip(copy, "state.json", offsets[i], (int)(i % 7));
		expect_refused(RPC_SNAPSHOT_DAMAGED, "state.json", copy);
	}
}

DAEMON_TEST(bad_snapshots, bits_turned_in_the_memory)
{
	/* The first byte, a byte in the middle, one in what was a hole, the last one. */
	const int64_t offsets[] = { 0, 1234567, (4 << 20) - 1, (GUEST_MIB << 20) - 1 };
	char chunk[32];
	size_t i;

	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		fresh_copy();
		file_flip(copy, "memory.snap", offsets[i], (int)(2 * i % 8));
		(void)snprintf(chunk, sizeof(chunk), "chunk %d", (int)(offsets[i] >> 20));
		expect_refused(RPC_SNAPSHOT_DAMAGED, "memory.snap", copy);
		refused(client, RPC_SNAPSHOT_DAMAGED, chunk, "snapshot.register", "{s:s, s:s}", "name", "bad", "path",
			copy);
	}
}

DAEMON_TEST(bad_snapshots, damage_after_it_was_registered)
{
	struct guest guest;

	fresh_copy();
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "good-once", "path", copy);
	perform(client, "snapshot.verify", "{s:s}", "name", "good-once");
	file_flip(copy, "memory.snap", 5 << 20, 0);
	refused(client, RPC_SNAPSHOT_DAMAGED, "memory.snap", "snapshot.verify", "{s:s}", "name", "good-once");
	file_flip(copy, "memory.snap", 5 << 20, 0);
	perform(client, "snapshot.verify", "{s:s}", "name", "good-once");
	file_flip(copy, "state.json", 1000, 0);
	refused(client, RPC_SNAPSHOT_DAMAGED, "state.json", "snapshot.verify", "{s:s}", "name", "good-once");
	file_remove(copy, "state.json");
	refused(client, RPC_SNAPSHOT_DAMAGED, "state.json", "snapshot.verify", "{s:s}", "name", "good-once");
	/* The state was read when it was registered. */
	guest_restore(&guest, client, "good-once");
	cr_expect_eq(guest_number(&guest, "get"), 0);
	guest_release(&guest);
	perform(client, "snapshot.remove", "{s:s}", "name", "good-once");
}

DAEMON_TEST(bad_snapshots, unreadable_files)
{
	char path[512];

	fresh_copy();
	(void)snprintf(path, sizeof(path), "%s/memory.snap", copy);
	cr_assert_eq(chmod(path, 0), 0);
	expect_refused(RPC_FAILED_PRECONDITION, "memory.snap", copy);
	(void)snprintf(path, sizeof(path), "%s/state.json", copy);
	cr_assert_eq(chmod(path, 0), 0);
	expect_refused(RPC_FAILED_PRECONDITION, "state.json", copy);
	cr_assert_eq(chmod(copy, 0), 0);
	expect_refused(RPC_FAILED_PRECONDITION, copy, copy);
	cr_assert_eq(chmod(copy, 0700), 0);
}

/* A state.json whose CRC is right, with one member changed. Takes the value. */
static void forge(const char *object, const char *member, json_t *value)
{
	json_t *document;

	fresh_copy();
	document = state_read(copy);
	cr_assert_eq(json_object_set_new(*object ? at(document, object) : document, member, value), 0);
	state_write(copy, document);
}

DAEMON_TEST(bad_snapshots, forged_and_right)
{
	json_t *started;

	/* The forger's hand is sound: what it writes unchanged is taken. */
	forge("", "created", json_string("2026-01-02T03:04:05.000000006Z"));
	started = call(client, "vm.restore", "{s:s}", "snapshot_path", copy);
	perform(client, "vm.release", "{s:s}", "vm", text_at(started, "vm"));
	json_decref(started);
}

DAEMON_TEST(bad_snapshots, a_wrong_crc)
{
	char *text, *crc;
	FILE *file;

	fresh_copy();
	text = calloc(1, 1 << 20);
	(void)snprintf(text, 1024, "%s/state.json", copy);
	file = fopen(text, "re");
	cr_assert_not_null(file);
	cr_assert_gt(fread(text, 1, (1 << 20) - 1, file), 0);
	(void)fclose(file);
	crc = strstr(text, "\"crc64\": \"");
	cr_assert_not_null(crc);
	crc[10] = crc[10] == '0' ? '1' : '0';
	file_write(copy, "state.json", text);
	expect_refused(RPC_SNAPSHOT_DAMAGED, "CRC", copy);
	free(text);
}

DAEMON_TEST(bad_snapshots, a_newer_format)
{
	forge("", "format", json_integer(2));
	expect_refused(RPC_FAILED_PRECONDITION, "format 2", copy);
}

DAEMON_TEST(bad_snapshots, members_out_of_range)
{
	forge("", "vcpu_count", json_integer(9));
	expect_refused(RPC_INVALID_ARGUMENT, "vcpu_count", copy);
	forge("", "vcpu_count", json_integer(0));
	expect_refused(RPC_INVALID_ARGUMENT, "vcpu_count", copy);
	forge("", "vcpu_count", json_integer(2));
	expect_refused(RPC_INVALID_ARGUMENT, "vcpus", copy);
	forge("", "memory_size", json_integer((GUEST_MIB << 20) - 1));
	expect_refused(RPC_INVALID_ARGUMENT, "memory_size", copy);
	forge("", "memory_size", json_integer((GUEST_MIB << 20) + 512));
	file_resize(copy, "memory.snap", (GUEST_MIB << 20) + 512);
	expect_refused(RPC_INVALID_ARGUMENT, "memory.snap", copy);
	forge("", "memory_size", json_integer(INT64_C(1) << 40));
	expect_refused(RPC_INVALID_ARGUMENT, "memory_size", copy);
	forge("", "cpu_template", json_string("imaginary"));
	expect_refused(RPC_INVALID_ARGUMENT, "cpu_template", copy);
	forge("", "memory_size", json_string("8388608"));
	expect_refused(RPC_INVALID_ARGUMENT, "memory_size", copy);
	forge("memory", "file", json_string("../../etc/passwd"));
	expect_refused(RPC_INVALID_ARGUMENT, "file", copy);
	forge("vcpus.0", "xcrs", json_null());
	expect_refused(RPC_INVALID_ARGUMENT, "vcpus[0].xcrs", copy);
	forge("", "surprise", json_true());
	expect_refused(RPC_INVALID_ARGUMENT, "surprise", copy);
}

DAEMON_TEST(bad_snapshots, a_device_that_is_unknown)
{
	forge("devices.0", "name", json_string("tape"));
	expect_refused(RPC_INVALID_ARGUMENT, "tape", copy);
	refused(client, RPC_INVALID_ARGUMENT, "devices[0]", "snapshot.register", "{s:s, s:s}", "name", "bad", "path",
		copy);
}

DAEMON_TEST(bad_snapshots, no_json)
{
	json_t *document;
	char *text;

	/* A text that is no JSON behind a CRC that is right. */
	fresh_copy();
	document = json_pack("{s:s, s:i, s:s}", "magic", "EMBERSNP", "format", 1, "crc64", "");
	state_write(copy, document);
	expect_refused(RPC_INVALID_ARGUMENT, "state.json, line 2", copy);
	text = calloc(1, 100001);
	memset(text, '[', 100000);
	file_write(copy, "state.json", text);
	expect_refused(RPC_SNAPSHOT_DAMAGED, "state.json", copy);
	free(text);
	file_write(copy, "state.json",
		   "\x7f"
		   "ELF");
	expect_refused(RPC_SNAPSHOT_DAMAGED, "state.json", copy);
}

DAEMON_TEST(bad_snapshots, what_this_host_cannot_give)
{
	json_t *document;

	fresh_copy();
	document = state_read(copy);
	cr_assert_eq(json_object_set_new(at(document, "vcpus.0"), "tsc_khz",
					 json_integer(int_at(document, "vcpus.0.tsc_khz") * 2)),
		     0);
	state_write(copy, document);
	expect_refused(RPC_HOST_MISMATCH, "TSC", copy);
}

DAEMON_TEST(bad_snapshots, names_that_stand_for_something_else)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/link", daemon_under_test.folder);
	cr_assert_eq(symlink(good, path), 0);
	expect_refused(RPC_INVALID_ARGUMENT, path, path);
	(void)snprintf(path, sizeof(path), "%s/file", daemon_under_test.folder);
	file_write(daemon_under_test.folder, "file", "x");
	expect_refused(RPC_INVALID_ARGUMENT, path, path);
	(void)snprintf(path, sizeof(path), "%s/fifo", daemon_under_test.folder);
	cr_assert_eq(mkfifo(path, 0600), 0);
	expect_refused(RPC_INVALID_ARGUMENT, path, path);
	(void)snprintf(path, sizeof(path), "%s/socket", daemon_under_test.folder);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	expect_refused(RPC_INVALID_ARGUMENT, path, path);
	(void)close(listener);
}

static void expect_refused_as(const char *name, const char *what)
{
	expect_refused(RPC_INVALID_ARGUMENT, name, copy);
	refused(client, RPC_INVALID_ARGUMENT, what, "snapshot.register", "{s:s, s:s}", "name", "bad", "path", copy);
}

DAEMON_TEST(bad_snapshots, files_that_are_something_else)
{
	static const char *const names[] = { "state.json", "memory.snap" };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[512], target[512];
	size_t i;
	int listener;

	for (i = 0; i < 2; i++) {
		fresh_copy();
		(void)snprintf(path, sizeof(path), "%s/%s", copy, names[i]);
		(void)snprintf(target, sizeof(target), "%s/%s", good, names[i]);
		file_remove(copy, names[i]);
		cr_assert_eq(symlink(target, path), 0);
		expect_refused_as(names[i], "symbolic link");
		file_remove(copy, names[i]);
		cr_assert_eq(mkfifo(path, 0600), 0);
		expect_refused_as(names[i], "FIFO");
		file_remove(copy, names[i]);
		cr_assert_eq(mkdir(path, 0700), 0);
		expect_refused_as(names[i], "folder");
		cr_assert_eq(rmdir(path), 0);
		listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
		cr_assert_eq(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
		expect_refused_as(names[i], "socket");
		(void)close(listener);
	}
}

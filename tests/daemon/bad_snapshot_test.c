/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots that are wrong, one way each: refused with what is wrong, by registration and by restore alike, while a VM
 * runs on unharmed.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vms.h"

static struct daemon daemon_under_test;
static struct ember *client;
static char vm[VM_ID_TEXT];
static char good[160]; /* a snapshot that nobody touches */
static char bad[160];  /* a copy of it, to be damaged */
static char state_path[200], memory_path[200];

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void shell(const char *format, ...)
{
	char command[1024];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	cr_assert_eq(system(command), 0, "%s", command); // NOLINT(cert-env33-c, concurrency-mt-unsafe)
}

static void start(void)
{
	daemon_start(&daemon_under_test, SMALL_POOL);
	client = daemon_connect(&daemon_under_test);
	vm_boot(client, vm);
	(void)snprintf(good, sizeof(good), "%s/good", daemon_under_test.folder);
	(void)snprintf(bad, sizeof(bad), "%s/bad", daemon_under_test.folder);
	(void)snprintf(state_path, sizeof(state_path), "%s/state.json", bad);
	(void)snprintf(memory_path, sizeof(memory_path), "%s/memory.snap", bad);
	json_decref(callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s\"}", vm, good));
	shell("cp -a %s %s", good, bad);
}

static void stop(void)
{
	char *answer = vm_command(client, vm, "echo unharmed");

	cr_expect_str_eq(answer, "unharmed");
	free(answer);
	json_decref(callf(client, "snapshot.register", "{\"name\": \"good\", \"path\": \"%s\"}", good));
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

/* Registration and restore must say this code, with text in the message. */
static void refused(int code, const char *text)
{
	static const char *const methods[] = { "snapshot.register", "vm.restore" };
	char params[256];
	int i;

	for (i = 0; i < 2; i++) {
		json_t *wanted, *result = NULL;
		struct ember_error error = { 0 };

		if (i == 0)
			(void)snprintf(params, sizeof(params), "{\"name\": \"bad\", \"path\": \"%s\"}", bad);
		else
			(void)snprintf(params, sizeof(params), "{\"snapshot_path\": \"%s\"}", bad);
		wanted = json_loads(params, 0, NULL);
		cr_expect_lt(ember_call(client, methods[i], wanted, WAIT_MS, &result, &error), 0, "%s succeeded",
			     methods[i]);
		expect_documented(methods[i], error.code);
		cr_expect_eq(error.code, code, "%s: %d %s", methods[i], error.code, error.message);
		cr_expect(strstr(error.message, text), "%s does not say \"%s\": %s", methods[i], text, error.message);
		ember_error_release(&error);
		json_decref(wanted);
		json_decref(result);
	}
}

DAEMON_TEST(bad_snapshot, files_that_are_missing)
{
	shell("rm %s", state_path);
	refused(RPC_NOT_FOUND, "state.json");
	shell("cp %s/state.json %s; rm %s", good, state_path, memory_path);
	refused(RPC_NOT_FOUND, "memory.snap");
	shell("rm -r %s", bad);
	refused(RPC_NOT_FOUND, "bad");
}

DAEMON_TEST(bad_snapshot, files_that_are_empty)
{
	shell("truncate -s 0 %s", state_path);
	refused(RPC_SNAPSHOT_DAMAGED, "state.json");
	shell("cp %s/state.json %s; truncate -s 0 %s", good, state_path, memory_path);
	refused(RPC_SNAPSHOT_DAMAGED, "memory.snap");
}

DAEMON_TEST(bad_snapshot, files_that_are_cut_short_or_too_long)
{
	shell("truncate -s -100 %s", state_path);
	refused(RPC_SNAPSHOT_DAMAGED, "state.json");
	shell("cp %s/state.json %s; truncate -s -4096 %s", good, state_path, memory_path);
	refused(RPC_SNAPSHOT_DAMAGED, "memory.snap");
	shell("truncate -s +8192 %s", memory_path);
	refused(RPC_SNAPSHOT_DAMAGED, "memory.snap");
	shell("truncate -s 17M %s", state_path);
	refused(RPC_INVALID_ARGUMENT, "state.json");
}

DAEMON_TEST(bad_snapshot, memory_that_is_no_whole_pages)
{
	shell("truncate -s -1 %s", memory_path);
	refused(RPC_INVALID_ARGUMENT, "memory.snap");
}

DAEMON_TEST(bad_snapshot, a_bit_that_flipped)
{
	shell("printf X | dd of=%s bs=1 seek=5000 conv=notrunc status=none", state_path);
	refused(RPC_SNAPSHOT_DAMAGED, "CRC");
	shell("cp %s/state.json %s; printf X | dd of=%s bs=1 seek=1048577 conv=notrunc status=none", good, state_path,
	      memory_path);
	refused(RPC_SNAPSHOT_DAMAGED, "chunk");
}

DAEMON_TEST(bad_snapshot, a_newer_format_and_a_file_that_is_none)
{
	shell("sed -i '1s/\"format\": 1/\"format\": 2/' %s", state_path);
	refused(RPC_FAILED_PRECONDITION, "format");
	shell("echo hello > %s", state_path);
	refused(RPC_SNAPSHOT_DAMAGED, "state.json");
}

DAEMON_TEST(bad_snapshot, links_fifos_and_folders_in_the_place_of_files)
{
	shell("rm %s; ln -s %s/state.json %s", state_path, good, state_path);
	refused(RPC_INVALID_ARGUMENT, "state.json");
	shell("rm %s; mkfifo %s", state_path, state_path);
	refused(RPC_INVALID_ARGUMENT, "state.json");
	shell("rm %s; mkdir %s", state_path, state_path);
	refused(RPC_INVALID_ARGUMENT, "state.json");
	shell("rm -r %s; ln -s %s %s", bad, good, bad);
	refused(RPC_INVALID_ARGUMENT, "bad");
	shell("rm %s; mkfifo %s", bad, bad);
	refused(RPC_INVALID_ARGUMENT, "bad");
	shell("rm %s; cp %s/state.json %s", bad, good, bad);
	refused(RPC_INVALID_ARGUMENT, "bad");
}

DAEMON_TEST(bad_snapshot, a_registered_snapshot_that_is_damaged_later_is_found_by_verify)
{
	json_decref(callf(client, "snapshot.register", "{\"name\": \"bad\", \"path\": \"%s\"}", bad));
	shell("printf X | dd of=%s bs=1 seek=1048577 conv=notrunc status=none", memory_path);
	cr_expect_eq(client_fail(client, "snapshot.verify", "{\"name\": \"bad\"}", NULL), RPC_SNAPSHOT_DAMAGED);
	shell("rm -r %s", bad);
	cr_expect_eq(client_fail(client, "snapshot.verify", "{\"name\": \"bad\"}", NULL), RPC_SNAPSHOT_DAMAGED);
}

/*
 * The memory file is cut under two VMs that run from it: they end, with that reason, and the others go on. When a VM
 * notices is its own affair (its next timer interrupt will do), so what is asked of it meanwhile may fail.
 */
DAEMON_TEST(bad_snapshot, memory_that_is_cut_short_under_running_vms)
{
	char clones[2][VM_ID_TEXT], line[256];
	struct raw raw;
	int ended = 0, i;

	json_decref(callf(client, "snapshot.register", "{\"name\": \"bad\", \"path\": \"%s\"}", bad));
	raw_connect(&raw, daemon_under_test.socket_path);
	json_decref(raw_call(&raw, "events.subscribe", "{\"kinds\": [\"vm\"]}"));
	for (i = 0; i < 2; i++)
		vm_restore(client, "bad", clones[i]);
	shell("truncate -s 0 %s", memory_path);
	for (i = 0; i < 2; i++) {
		(void)snprintf(line, sizeof(line),
			       "{\"jsonrpc\": \"2.0\", \"method\": \"vm.console\", \"params\": {\"vm\": \"%s\", "
			       "\"action\": \"write\", \"data\": \"touch 500\\n\"}}",
			       clones[i]);
		raw_send_line(&raw, line);
	}
	while (ended < 2) {
		json_t *event = raw_receive(&raw);

		if (!strcmp(text_at(event, "params.event"), "ended")) {
			cr_expect_str_eq(text_at(event, "params.reason"), "memory_file_truncated");
			cr_expect_neq(strcmp(text_at(event, "params.vm"), vm), 0);
			ended++;
		}
		json_decref(event);
	}
	raw_close(&raw);
	cr_expect_eq(vm_count(client), 1);
}

static size_t entries_of(const char *path)
{
	char command[300], line[64] = "";
	FILE *pipe;

	(void)snprintf(command, sizeof(command), "ls -A %s | wc -l", path);
	pipe = popen(command, "re");
	cr_assert_not_null(pipe);
	cr_assert_not_null(fgets(line, sizeof(line), pipe));
	(void)pclose(pipe);
	return strtoul(line, NULL, 10);
}

/* A small file system fills up while a snapshot is written over another. */
DAEMON_TEST(bad_snapshot, a_full_disk_leaves_the_old_snapshot_and_nothing_else)
{
	char disk[160], path[200], *answer;
	json_t *result;

	(void)snprintf(disk, sizeof(disk), "%s/disk", daemon_under_test.folder);
	(void)snprintf(path, sizeof(path), "%s/s", disk);
	cr_assert_eq(mkdir(disk, 0700), 0);
	cr_assert_eq(mount("tmpfs", disk, "tmpfs", 0, "size=1536k"), 0, "mounting a tmpfs takes root");
	json_decref(callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s\"}", vm, path));

	/* Memory that is not zero any more does not fit. */
	answer = vm_command(client, vm, "touch 1000");
	free(answer);
	cr_expect_eq(failf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s\", \"overwrite\": true}", vm, path),
		     RPC_RESOURCE_EXHAUSTED);
	cr_expect_eq(failf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s2\"}", vm, path),
		     RPC_RESOURCE_EXHAUSTED);
	cr_expect_eq(entries_of(disk), 1, "something was left behind");
	result = callf(client, "snapshot.register", "{\"name\": \"old\", \"path\": \"%s\"}", path);
	json_decref(result);
	json_decref(client_call(client, "snapshot.remove", "{\"name\": \"old\"}"));
	cr_assert_eq(umount2(disk, MNT_DETACH), 0);
}

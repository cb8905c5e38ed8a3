/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's catalog: registering, looking, verifying, removing, and what a restart keeps.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshot_files.h"
#include "steps.h"

DAEMON_AND_CLIENT(GUEST_POOL);

static void path_of(const char *name, char path[256])
{
	(void)snprintf(path, 256, "%s/%s", daemon_under_test.folder, name);
}

/* A snapshot in a folder of its own, not registered. */
static void make_unregistered(const char *path, int count)
{
	struct guest guest;
	json_t *result;

	guest_boot(&guest, client, 1, GUEST_MIB);
	while (count-- > 0)
		(void)guest_ask(&guest, "count");
	result = call(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "path", path);
	cr_expect(json_is_null(at(result, "name")));
	cr_expect_str_eq(text_at(result, "path"), path);
	json_decref(result);
	guest_release(&guest);
}

static size_t registered(void)
{
	json_t *list = call(client, "snapshot.list", NULL);
	size_t count = json_array_size(at(list, "snapshots"));

	json_decref(list);
	return count;
}

static void count_progress(void *context, const char *method, json_t *params)
{
	size_t *count = context;

	(void)params;
	*count += strcmp(method, "progress") == 0;
}

DAEMON_TEST(catalog, registered_inspected_verified)
{
	json_t *record, *result;
	size_t progress = 0;
	struct guest guest;
	char path[256];

	path_of("elsewhere", path);
	make_unregistered(path, 2);
	cr_expect_eq(registered(), 0);

	ember_on_notification(client, count_progress, &progress);
	record = call(client, "snapshot.register", "{s:s, s:s}", "name", "one", "path", path);
	cr_expect_gt(progress, 0, "registering tells no progress");
	progress = 0;
	result = call(client, "snapshot.verify", "{s:s}", "name", "one");
	cr_expect_gt(progress, 0, "verifying tells no progress");
	ember_on_notification(client, NULL, NULL);
	cr_expect_str_eq(text_at(result, "name"), "one");
	cr_expect(json_is_true(at(result, "ok")));
	cr_expect_eq(int_at(result, "chunks"), GUEST_MIB);
	json_decref(result);

	cr_expect_str_eq(text_at(record, "name"), "one");
	cr_expect_str_eq(text_at(record, "path"), path);
	cr_expect_str_eq(text_at(record, "shape"), "1x8-host");
	cr_expect_eq(strlen(text_at(record, "state_crc64")), 16);
	cr_expect_eq(json_array_size(at(record, "users")), 0);

	cr_expect_eq(strlen(text_at(record, "id")), 32);
	cr_expect_str_eq(text_at(record, "state"), "available");
	cr_expect(json_is_null(at(record, "reason")));

	refused(client, RPC_ALREADY_EXISTS, "one", "snapshot.register", "{s:s, s:s}", "name", "one", "path", path);
	refused(client, RPC_ALREADY_EXISTS, "snapshot one", "snapshot.register", "{s:s, s:s}", "name", "another",
		"path", path);
	cr_expect_eq(registered(), 1);

	guest_restore(&guest, client, "one");
	cr_expect_eq(guest_number(&guest, "get"), 2);
	result = call(client, "snapshot.inspect", "{s:s}", "name", "one");
	cr_expect_str_eq(text_at(result, "state_crc64"), text_at(record, "state_crc64"));
	cr_expect_str_eq(text_at(result, "created"), text_at(record, "created"));
	cr_expect_str_eq(text_at(result, "users.0"), guest.vm);
	(void)at(result, "metadata");
	json_decref(result);
	json_decref(record);
	guest_release(&guest);
}

DAEMON_TEST(catalog, a_path_is_restored_without_a_name)
{
	json_t *started;
	struct guest guest;
	char path[256];

	path_of("elsewhere", path);
	make_unregistered(path, 4);
	started = call(client, "vm.restore", "{s:s}", "snapshot_path", path);
	cr_expect_str_eq(text_at(started, "snapshot"), path);
	guest_of(&guest, client, started);
	cr_expect_eq(guest_number(&guest, "get"), 4);
	cr_expect_eq(registered(), 0);
	json_decref(started);
	refused(client, RPC_ALREADY_EXISTS, "elsewhere", "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "path", path);
	guest_release(&guest);
}

DAEMON_TEST(catalog, removed_with_and_without_files)
{
	char path[256], file[512];
	json_t *result;

	path_of("elsewhere", path);
	(void)snprintf(file, sizeof(file), "%s/memory.snap", path);
	make_unregistered(path, 0);
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "one", "path", path);
	result = call(client, "snapshot.remove", "{s:s}", "name", "one");
	cr_expect(json_is_true(at(result, "removed")));
	cr_expect(json_is_false(at(result, "files_removed")));
	json_decref(result);
	cr_expect_eq(registered(), 0);
	cr_expect_eq(access(file, F_OK), 0);

	perform(client, "snapshot.register", "{s:s, s:s}", "name", "one", "path", path);
	result = call(client, "snapshot.remove", "{s:s, s:b}", "name", "one", "files", 1);
	cr_expect(json_is_true(at(result, "files_removed")));
	json_decref(result);
	cr_expect_neq(access(path, F_OK), 0);
	refused(client, RPC_NOT_FOUND, "one", "vm.restore", "{s:s}", "snapshot", "one");
}

DAEMON_TEST(catalog, removal_says_who_holds_or_waits)
{
	struct guest first, second;
	struct open_call removal;
	json_t *data;

	make_snapshot(client, "held", 1, 1, 0, 0);
	guest_restore(&first, client, "held");
	guest_restore(&second, client, "held");
	data = refusal(client, RPC_SNAPSHOT_IN_USE, first.vm, "snapshot.remove", "{s:s}", "name", "held");
	cr_expect_eq(json_array_size(at(data, "holders")), 2);
	cr_expect_str_eq(text_at(data, "holders.1"), second.vm);
	json_decref(data);

	/* A wait that its deadline ends leaves the snapshot as it was. */
	refused(client, RPC_DEADLINE_EXCEEDED, NULL, "snapshot.remove", "{s:s, s:b, s:i}", "name", "held", "wait", 1,
		"deadline_ms", 50);
	guest_release(&first);
	guest_restore(&first, client, "held");

	open_call_begin(&removal, client, "snapshot.remove", "{s:s, s:b, s:b}", "name", "held", "wait", 1, "files", 1);
	guest_release(&first);
	cr_expect(!removal.answered, "a VM runs from it still");
	refused(client, RPC_NOT_FOUND, "held", "vm.restore", "{s:s}", "snapshot", "held");
	cr_expect_eq(guest_number(&second, "count"), 2);
	guest_release(&second);
	cr_expect_eq(open_call_wait(&removal, client), 0, "%s", removal.message);
	cr_expect(json_is_true(at(removal.result, "files_removed")));
	open_call_end(&removal);
	cr_expect_eq(registered(), 0);
}

DAEMON_TEST(catalog, a_restart_keeps_it)
{
	json_t *before, *after;
	struct guest guest;
	char path[256];

	path_of("elsewhere", path);
	make_unregistered(path, 3);
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "outside", "path", path);
	make_snapshot(client, "inside", 1, 5, 20, 4);
	before = call(client, "snapshot.list", NULL);
	cr_expect_eq(json_array_size(at(before, "snapshots")), 2);

	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_expect_eq(daemon_wait_end(&daemon_under_test), 0);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);

	after = call(client, "snapshot.list", NULL);
	cr_expect(json_equal(before, after), "%s\n%s", json_dumps(before, 0), json_dumps(after, 0));
	guest_restore(&guest, client, "inside");
	cr_expect_eq(guest_number(&guest, "get"), 5);
	guest_release(&guest);
	guest_restore(&guest, client, "outside");
	cr_expect_eq(guest_number(&guest, "get"), 3);
	guest_release(&guest);
	perform(client, "snapshot.verify", "{s:s}", "name", "inside");
	json_decref(before);
	json_decref(after);
}

static void restart(int number)
{
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, number);
	(void)daemon_wait_end(&daemon_under_test);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
}

static void expect_count(const char *snapshot, int64_t count)
{
	struct guest guest;

	guest_restore(&guest, client, snapshot);
	cr_expect_eq(guest_number(&guest, "get"), count, "%s", snapshot);
	guest_release(&guest);
}

static void move(const char *from, const char *to)
{
	cr_assert_eq(rename(from, to), 0, "%s: %s", from, strerror(errno));
}

DAEMON_TEST(catalog, what_cannot_be_read_stays_and_comes_back)
{
	char path[256], away[256];
	json_t *list;

	path_of("elsewhere", path);
	path_of("away", away);
	make_unregistered(path, 3);
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "gone", "path", path);
	make_snapshot(client, "there", 1, 0, 0, 0);
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_expect_eq(daemon_wait_end(&daemon_under_test), 0);
	move(path, away);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	cr_expect_gt(daemon_count_log(&daemon_under_test, path), 0, "nothing is said of %s", path);

	list = call(client, "snapshot.list", NULL);
	cr_expect_eq(json_array_size(at(list, "snapshots")), 2);
	cr_expect_str_eq(text_at(list, "snapshots.0.name"), "gone");
	cr_expect_str_eq(text_at(list, "snapshots.0.state"), "unavailable");
	cr_expect(strstr(text_at(list, "snapshots.0.reason"), path), "%s", text_at(list, "snapshots.0.reason"));
	cr_expect(json_is_null(at(list, "snapshots.0.shape")));
	cr_expect_str_eq(text_at(list, "snapshots.1.state"), "available");
	json_decref(list);
	refused(client, RPC_SNAPSHOT_DAMAGED, path, "vm.restore", "{s:s}", "snapshot", "gone");

	/* The catalog is written anew, and read again, without it being lost. */
	make_snapshot(client, "more", 1, 0, 0, 0);
	restart(SIGTERM);
	cr_expect_eq(registered(), 3);
	move(away, path);
	expect_count("gone", 3);
	list = call(client, "snapshot.inspect", "{s:s}", "name", "gone");
	cr_expect_str_eq(text_at(list, "state"), "available");
	json_decref(list);
}

DAEMON_TEST(catalog, files_that_move_are_noticed_without_being_named)
{
	char path[256], away[256];

	path_of("elsewhere", path);
	path_of("away", away);
	make_unregistered(path, 3);
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "moving", "path", path);
	move(path, away);
	daemon_wait_log(&daemon_under_test, "snapshot not loaded");
	move(away, path);
	daemon_wait_log(&daemon_under_test, "snapshot available again");
	expect_count("moving", 3);
}

DAEMON_TEST(catalog, what_cannot_be_read_can_be_removed)
{
	char path[256], away[256];
	json_t *result;

	path_of("elsewhere", path);
	path_of("away", away);
	make_unregistered(path, 0);
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "gone", "path", path);
	make_snapshot(client, "damaged", 1, 0, 0, 0);
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	(void)daemon_wait_end(&daemon_under_test);
	move(path, away);
	path_of("state/snapshots/damaged", path);
	file_resize(path, "state.json", 100);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);

	result = call(client, "snapshot.remove", "{s:s, s:b}", "name", "gone", "files", 1);
	json_decref(result);
	result = call(client, "snapshot.remove", "{s:s, s:b}", "name", "damaged", "files", 1);
	cr_expect(json_is_true(at(result, "files_removed")));
	json_decref(result);
	cr_expect_eq(registered(), 0);
	cr_expect_neq(access(path, F_OK), 0);
	cr_expect_eq(access(away, F_OK), 0, "what moved away is not ours");
	restart(SIGTERM);
	cr_expect_eq(registered(), 0);
}

DAEMON_TEST(catalog, other_files_at_its_path_are_not_the_snapshot)
{
	char path[256], away[256], other[256];
	json_t *result;

	path_of("elsewhere", path);
	path_of("away", away);
	path_of("other", other);
	make_unregistered(path, 3);
	make_unregistered(other, 5);
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "one", "path", path);
	move(path, away);
	move(other, path);
	expect_count("one", 3);

	/* Removing the files touches neither the folder that has its path nor the one that it was. */
	result = call(client, "snapshot.remove", "{s:s, s:b}", "name", "one", "files", 1);
	cr_expect(json_is_false(at(result, "files_removed")));
	cr_expect(strstr(text_at(result, "files_kept"), "another folder"), "%s", text_at(result, "files_kept"));
	json_decref(result);
	cr_expect_eq(access(path, F_OK), 0);
	cr_expect_eq(access(away, F_OK), 0);

	move(path, other);
	move(away, path);
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "one", "path", path);
	move(path, away);
	move(other, path);
	restart(SIGTERM);
	refused(client, RPC_SNAPSHOT_DAMAGED, "another snapshot", "vm.restore", "{s:s}", "snapshot", "one");
	move(path, other);
	move(away, path);
	expect_count("one", 3);
}

DAEMON_TEST(catalog, a_path_is_the_snapshot_that_has_it)
{
	struct guest guest, clone;
	char path[256];
	json_t *started, *data;

	path_of("elsewhere", path);
	guest_boot(&guest, client, 1, GUEST_MIB);
	cr_expect_eq(guest_number(&guest, "count"), 1);
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "path", path);

	/* Restored by its path before it had a name: the VM holds it under that name, too. */
	started = call(client, "vm.restore", "{s:s}", "snapshot_path", path);
	guest_of(&clone, client, started);
	json_decref(started);
	perform(client, "snapshot.register", "{s:s, s:s}", "name", "one", "path", path);
	data = refusal(client, RPC_SNAPSHOT_IN_USE, clone.vm, "snapshot.remove", "{s:s, s:b}", "name", "one", "files",
		       1);
	json_decref(data);
	guest_release(&clone);

	/* And after. */
	started = call(client, "vm.restore", "{s:s}", "snapshot_path", path);
	cr_expect_str_eq(text_at(started, "snapshot"), "one");
	guest_of(&clone, client, started);
	json_decref(started);
	refused(client, RPC_SNAPSHOT_IN_USE, clone.vm, "snapshot.remove", "{s:s, s:b}", "name", "one", "files", 1);
	guest_release(&clone);

	/* Another snapshot by its path would leave the name with the memory of one and the record of another. */
	cr_expect_eq(guest_number(&guest, "count"), 2);
	refused(client, RPC_FAILED_PRECONDITION, "snapshot one", "vm.snapshot", "{s:s, s:s, s:b}", "vm", guest.vm,
		"path", path, "overwrite", 1);
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "two");
	path_of("state/snapshots/two", path);
	refused(client, RPC_FAILED_PRECONDITION, "snapshot two", "vm.snapshot", "{s:s, s:s, s:b}", "vm", guest.vm,
		"path", path, "overwrite", 1);
	expect_count("one", 1);
	restart(SIGKILL);
	expect_count("one", 1);
	expect_count("two", 2);
}

DAEMON_TEST(catalog, two_names_of_an_old_catalog_stay)
{
	char path[256], text[1024], file[300];

	path_of("elsewhere", path);
	make_unregistered(path, 3);
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	(void)daemon_wait_end(&daemon_under_test);
	(void)snprintf(text, sizeof(text),
		       "{\"format\": 1, \"snapshots\": [{\"name\": \"a\", \"path\": \"%s\"}, "
		       "{\"name\": \"b\", \"path\": \"%s\"}]}",
		       path, path);
	file_write(daemon_under_test.state_dir, "catalog.json", text);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);

	expect_count("a", 3);
	expect_count("b", 3);
	refused(client, RPC_FAILED_PRECONDITION, "snapshot b", "snapshot.remove", "{s:s, s:b}", "name", "a", "files",
		1);
	perform(client, "snapshot.remove", "{s:s}", "name", "a");
	expect_count("b", 3);
	perform(client, "snapshot.remove", "{s:s, s:b}", "name", "b", "files", 1);
	(void)snprintf(file, sizeof(file), "%s/memory.snap", path);
	cr_expect_neq(access(file, F_OK), 0);
}

/* The catalog's file as a daemon leaves it that is killed between this file and the rename, or right after the rename. */
DAEMON_TEST(catalog, a_death_while_a_name_is_taken_leaves_one_snapshot_or_the_other)
{
	char one[256], two[256], away[256];
	json_t *catalog, *entries, *old, *next;
	json_error_t error;

	make_snapshot(client, "one", 1, 1, 0, 0);
	make_snapshot(client, "two", 1, 2, 0, 0);
	path_of("state/snapshots/one", one);
	path_of("state/snapshots/two", two);
	path_of("away", away);
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGKILL);
	(void)daemon_wait_end(&daemon_under_test);

	/* "two" is about to be the next "one". */
	path_of("state/catalog.json", away);
	catalog = json_load_file(away, 0, &error);
	cr_assert_not_null(catalog, "%s", error.text);
	entries = json_object_get(catalog, "snapshots");
	old = json_array_get(entries, 0);
	next = json_deep_copy(json_array_get(entries, 1));
	(void)json_object_del(next, "name");
	(void)json_object_set(next, "path", json_object_get(old, "path"));
	(void)json_object_set_new(old, "next", next);
	(void)json_array_remove(entries, 1);
	cr_assert_eq(json_dump_file(catalog, away, 0), 0);

	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	expect_count("one", 1);
	cr_expect_eq(registered(), 1);
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGKILL);
	(void)daemon_wait_end(&daemon_under_test);

	cr_assert_eq(json_dump_file(catalog, away, 0), 0);
	json_decref(catalog);
	path_of("away", away);
	move(one, away);
	move(two, one);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	expect_count("one", 2);
	cr_expect_eq(registered(), 1);
}

DAEMON_TEST(catalog, http_creates_and_loads)
{
	json_t *result, *list;
	char path[256], body[512];
	struct guest guest;
	int status;

	guest_boot(&guest, client, 1, GUEST_MIB);
	(void)guest_ask(&guest, "count");
	path_of("over-http", path);
	(void)snprintf(body, sizeof(body), "{\"vm\": \"%s\", \"snapshot_path\": \"%s\"}", guest.vm, path);
	result = http_call(daemon_under_test.http_path, "PUT", "/snapshot/create", body, &status);
	cr_expect_eq(status, 200, "%d: %s", status, json_dumps(result, 0));
	json_decref(result);
	result = http_call(daemon_under_test.http_path, "PUT", "/snapshot/create", body, &status);
	cr_expect_eq(status, 409, "%d: %s", status, json_dumps(result, 0));
	json_decref(result);
	guest_release(&guest);

	(void)snprintf(body, sizeof(body), "{\"snapshot_path\": \"%s\"}", path);
	result = http_call(daemon_under_test.http_path, "PUT", "/snapshot/load", body, &status);
	cr_expect_eq(status, 200, "%d: %s", status, json_dumps(result, 0));
	json_decref(result);
	/* HTTP has no connection that a VM could hang from. */
	list = call(client, "vm.list", NULL);
	cr_expect_eq(json_array_size(at(list, "vms")), 1);
	cr_expect(json_is_true(at(list, "vms.0.detached")));
	guest_of(&guest, client, at(list, "vms.0"));
	cr_expect_eq(guest_number(&guest, "get"), 1);
	json_decref(list);
	guest_release(&guest);

	(void)snprintf(body, sizeof(body), "{\"snapshot_path\": \"%s/none\"}", path);
	result = http_call(daemon_under_test.http_path, "PUT", "/snapshot/load", body, &status);
	cr_expect_eq(status, 404, "%d: %s", status, json_dumps(result, 0));
	cr_expect(strstr(text_at(result, "error.message"), path), "%s", json_dumps(result, 0));
	json_decref(result);
}

/* Run emberctl against the daemon; what it prints, as JSON. */
static json_t *emberctl(const char *arguments, const char *path, const char *more)
{
	char output[65536];
	json_error_t error;
	json_t *json;
	int status = run_program(output, sizeof(output), EMBERCTL_PATH " --socket %s --json %s %s %s",
				 daemon_under_test.socket_path, arguments, path, more);

	cr_assert_eq(status, 0, "emberctl %s %s %s: %d: %s", arguments, path, more, status, output);
	json = json_loads(output, 0, &error);
	cr_assert_not_null(json, "%s: %s", error.text, output);
	return json;
}

DAEMON_TEST(catalog, the_historic_spellings_of_emberctl)
{
	char path[256], more[64], output[4096];
	json_t *result;
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	(void)guest_ask(&guest, "count");
	path_of("historic", path);
	(void)snprintf(more, sizeof(more), "--vm %s", guest.vm);
	result = emberctl("--snapshot", path, more);
	cr_expect_str_eq(text_at(result, "path"), path);
	json_decref(result);
	cr_expect_neq(run_program(output, sizeof(output), EMBERCTL_PATH " --socket %s --snapshot %s --vm %s",
				  daemon_under_test.socket_path, path, guest.vm),
		      0, "what is there is overwritten");
	cr_expect(strstr(output, "ALREADY_EXISTS") && strstr(output, "historic"), "%s", output);

	/* The only VM needs no name. */
	path_of("historic-2", path);
	json_decref(emberctl("--snapshot", path, ""));
	guest_release(&guest);

	result = emberctl("--restore", path, "");
	cr_expect_str_eq(text_at(result, "snapshot"), path);
	/* emberctl has gone, and the VM has not. */
	guest_of(&guest, client, result);
	cr_expect_eq(guest_number(&guest, "get"), 1);
	json_decref(result);
	guest_release(&guest);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids of VMs and events over starts of the daemon: none comes again, whether the one before ended or was killed.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_steps.h"

DAEMON_AND_CLIENT(GUEST_POOL);

/* What a start of the daemon gave out. */
struct given {
	int64_t first_vm;
	int64_t last_vm;
	int64_t first_event;
	int64_t last_event;
	char instance[64];
};

static int64_t number_of(const char *vm)
{
	cr_assert_eq(strncmp(vm, "vm-", 3), 0, "%s", vm);
	return strtoll(vm + 3, NULL, 10);
}

/* Every line of the log says which start it is of. */
static void expect_in_log(const char *instance)
{
	static const char *const messages[] = { "serving", "connection accepted" };
	char text[128];

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		(void)snprintf(text, sizeof(text), "\"message\":\"%s\",\"instance\":\"%s\"", messages[i], instance);
		daemon_wait_log(&daemon_under_test, text);
	}
}

/* Boot some VMs under the eyes of a subscriber. */
static void give(struct given *given, unsigned vms)
{
	json_t *info = call(client, "server.info", NULL);
	struct raw raw;

	*given = (struct given){ 0 };
	(void)snprintf(given->instance, sizeof(given->instance), "%s", text_at(info, "instance"));
	json_decref(info);
	expect_in_log(given->instance);
	raw_connect(&raw, daemon_under_test.socket_path);
	json_decref(raw_call(&raw, "events.subscribe", "{\"kinds\": [\"vm\"]}"));
	for (unsigned i = 0; i < vms; i++) {
		json_t *started = call(client, "vm.boot", "{s:i}", "memory_mib", GUEST_MIB), *event, *params;
		int64_t vm = number_of(text_at(started, "vm"));

		cr_expect_gt(vm, given->last_vm);
		given->first_vm = i == 0 ? vm : given->first_vm;
		given->last_vm = vm;
		release_vm(client, text_at(started, "vm"));
		json_decref(started);

		event = raw_receive(&raw);
		params = at(event, "params");
		cr_expect_str_eq(text_at(params, "instance"), given->instance);
		cr_expect_gt(int_at(params, "sequence"), given->last_event);
		given->last_event = int_at(params, "sequence");
		given->first_event = i == 0 ? given->last_event : given->first_event;
		json_decref(event);
	}
	raw_close(&raw);
}

/* Start the daemon again, and see that it goes on where the one before was. */
static void go_on(struct given *before)
{
	struct given given;

	(void)ember_free(client);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	give(&given, 3);
	cr_expect_gt(given.first_vm, before->last_vm);
	cr_expect_gt(given.first_event, before->last_event);
	cr_expect_str_neq(given.instance, before->instance);
	*before = given;
}

DAEMON_TEST(ids, none_comes_again_after_a_restart)
{
	struct given given;

	give(&given, 3);
	cr_expect_eq(given.first_vm, 1);
	for (int i = 0; i < 2; i++) {
		daemon_signal(&daemon_under_test, SIGTERM);
		cr_assert_eq(daemon_wait_end(&daemon_under_test), 0);
		go_on(&given);
	}
}

DAEMON_TEST(ids, none_comes_again_after_a_kill)
{
	struct given given;

	give(&given, 3);
	for (int i = 0; i < 3; i++) {
		daemon_signal(&daemon_under_test, SIGKILL);
		cr_assert_eq(daemon_wait_end(&daemon_under_test), 128 + SIGKILL);
		go_on(&given);
	}
}

DAEMON_TEST(ids, a_damaged_file_is_told_of)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/ids.json", daemon_under_test.state_dir);
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_assert_eq(daemon_wait_end(&daemon_under_test), 0);
	write_file(path, "{}", 2);
	cr_expect_neq(daemon_start_fails(&daemon_under_test), 0);
	cr_expect_geq(daemon_count_log(&daemon_under_test, "ids.json in the state folder is damaged"), 1);
	write_file(path, "{\"vm\": 500, \"event\": 1}", 23);
	daemon_start_again(&daemon_under_test);
	(void)ember_free(client);
	client = daemon_connect(&daemon_under_test);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers by their credentials: what each role may do, and what it is told when it may not. Clients become other users,
 * so these tests run as root.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "proto/method.h"

#define NOBODY_UID  20000
#define OBSERVE_UID 20001
#define RUN_UID     20002
#define ADMIN_GID   20003

#define ROLES \
	"{\"roles\": {\"observe\": {\"users\": [20001]}, \"run\": {\"users\": [20002]}, \"admin\": {\"groups\": [20003]}}}"

static struct daemon daemon_under_test;

static void start(void)
{
	daemon_start(&daemon_under_test, ROLES);
}

static void stop(void)
{
	daemon_stop(&daemon_under_test);
}

static bool is_denied(struct raw *raw, const char *method, const char *params)
{
	json_t *answer = raw_call(raw, method, params);
	json_t *code = json_object_get(json_object_get(answer, "error"), "code");
	bool denied = json_integer_value(code) == RPC_PERMISSION_DENIED;

	json_decref(answer);
	return denied;
}

/* Called with no parameters, a method that the peer may call answers with anything but a denial. */
static void expect_role(struct raw *raw, enum role role)
{
	size_t count, i;
	const struct method *table = method_table(&count);

	for (i = 0; i < count; i++) {
		if (!strcmp(table[i].name, "server.drain"))
			continue;
		cr_expect_eq(is_denied(raw, table[i].name, "{\"deadline_ms\": 0}"), table[i].role > role, "%s as %s",
			     table[i].name, role_name(role));
	}
	cr_expect_eq(is_denied(raw, "server.drain", "{\"deadline_ms\": 0}"), role < ROLE_ADMIN);
}

DAEMON_TEST(roles, a_peer_without_a_role_may_do_nothing)
{
	struct raw raw;

	raw_connect_as(&raw, daemon_under_test.socket_path, NOBODY_UID, NOBODY_UID);
	expect_role(&raw, ROLE_NONE);
	raw_close(&raw);
}

DAEMON_TEST(roles, each_role_may_do_what_the_table_says_and_no_more)
{
	struct raw raw;

	raw_connect_as(&raw, daemon_under_test.socket_path, OBSERVE_UID, NOBODY_UID);
	expect_role(&raw, ROLE_OBSERVE);
	raw_close(&raw);
	raw_connect_as(&raw, daemon_under_test.socket_path, RUN_UID, NOBODY_UID);
	expect_role(&raw, ROLE_RUN);
	raw_close(&raw);
	raw_connect_as(&raw, daemon_under_test.socket_path, NOBODY_UID, ADMIN_GID);
	expect_role(&raw, ROLE_ADMIN);
	raw_close(&raw);
}

DAEMON_TEST(roles, root_is_admin_where_the_configuration_does_not_say_otherwise)
{
	struct raw raw;

	raw_connect(&raw, daemon_under_test.socket_path);
	expect_role(&raw, ROLE_ADMIN);
	raw_close(&raw);
}

DAEMON_TEST(roles, a_parameter_may_need_a_higher_role_than_its_method)
{
	struct raw raw;
	json_t *answer;

	raw_connect_as(&raw, daemon_under_test.socket_path, RUN_UID, NOBODY_UID);
	answer = raw_call(&raw, "vm.restore", "{\"snapshot_path\": \"/x\"}");
	cr_expect_eq(int_at(answer, "error.code"), RPC_PERMISSION_DENIED);
	cr_expect_str_eq(text_at(answer, "error.data.field"), "snapshot_path");
	json_decref(answer);
	raw_close(&raw);
}

DAEMON_TEST(roles, a_peer_is_told_its_roles)
{
	struct raw raw;
	json_t *answer;

	raw_connect_as(&raw, daemon_under_test.socket_path, RUN_UID, NOBODY_UID);
	answer = raw_call(&raw, "server.info", NULL);
	cr_expect_eq(json_array_size(at(answer, "result.roles")), 2);
	cr_expect_str_eq(text_at(answer, "result.roles.1"), "run");
	json_decref(answer);
	raw_close(&raw);
}

DAEMON_TEST(roles, a_reload_takes_a_role_away_from_a_connected_peer)
{
	struct raw raw;

	raw_connect_as(&raw, daemon_under_test.socket_path, OBSERVE_UID, NOBODY_UID);
	cr_expect_not(is_denied(&raw, "server.ping", NULL));
	daemon_write_config(&daemon_under_test, NULL);
	daemon_signal(&daemon_under_test, SIGHUP);
	daemon_wait_log(&daemon_under_test, "configuration reloaded");
	cr_expect(is_denied(&raw, "server.ping", NULL));
	raw_close(&raw);
}

DAEMON_TEST(roles, http_knows_its_peers_too)
{
	static const char request[] = "PUT /snapshot/load HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
				      "Content-Length: 23\r\n\r\n{\"snapshot_path\": \"/x\"}";
	struct raw raw;

	raw_connect_as(&raw, daemon_under_test.http_path, RUN_UID, NOBODY_UID);
	raw_send(&raw, request);
	while (!raw.length || !memmem(raw.buffer, raw.length, "\n", 1))
		cr_assert_neq(raw_receive_some(&raw), 0);
	cr_expect_eq(strncmp(raw.buffer, "HTTP/1.1 403 ", 13), 0, "%.*s", (int)raw.length, raw.buffer);
	raw_close(&raw);
}

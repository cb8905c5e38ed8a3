/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's life: command line, start, signals, reload, stop, and starts over what a dead one left.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "proto/client/ember.h"
#include "proto/status.h"

/* Run emberd with arguments to its end. Returns its exit status; output gets both of its streams. */
static int run(const char *arguments, char *output, size_t size)
{
	char command[512];
	size_t length;
	FILE *pipe;
	int status;

	(void)snprintf(command, sizeof(command), EMBERD_PATH " %s 2>&1", arguments);
	pipe = popen(command, "re");
	cr_assert_not_null(pipe);
	length = fread(output, 1, size - 1, pipe);
	output[length] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Test(life, the_command_line)
{
	char output[65536];

	cr_expect_eq(run("--version", output, sizeof(output)), 0);
	cr_expect_str_eq(output, "emberd " EMBER_VERSION "\n");
	cr_expect_eq(run("--help", output, sizeof(output)), 0);
	cr_expect(strstr(output, "--check-config") && strstr(output, "limits.line_bytes"));
	cr_expect_eq(run("--no-such-flag", output, sizeof(output)), 2);
	cr_expect_eq(run("extra", output, sizeof(output)), 2);
	cr_expect(strstr(output, "extra"));
	cr_expect_eq(run("--socket", output, sizeof(output)), 2);
}

Test(life, check_config_says_ok_or_each_error)
{
	static const char wrong[] = "{\"sokcet\": 1, \"limits\": {\"batch\": 0}}";
	char output[65536], path[64] = "/tmp/ember-check-XXXXXX", arguments[128];
	int file = mkstemp(path);

	cr_expect_eq(run("--check-config", output, sizeof(output)), 0);
	cr_expect_str_eq(output, "OK\n");
	cr_expect_eq(run("--check-config --socket relative", output, sizeof(output)), 1);
	cr_expect(strstr(output, "socket: must be an absolute path"), "%s", output);
	cr_expect_eq(run("--check-config --config /no/such/file", output, sizeof(output)), 1);
	cr_expect(strstr(output, "/no/such/file"), "%s", output);

	cr_assert_eq(write(file, wrong, strlen(wrong)), (ssize_t)strlen(wrong));
	(void)snprintf(arguments, sizeof(arguments), "--check-config --config %s", path);
	cr_expect_eq(run(arguments, output, sizeof(output)), 1);
	cr_expect(strstr(output, "sokcet: unknown key"), "%s", output);
	cr_expect(strstr(output, "limits.batch: must be"), "%s", output);
	(void)close(file);
	(void)unlink(path);
}

Test(life, termination_stops_and_cleans_up)
{
	struct daemon daemon;

	daemon_start(&daemon, NULL);
	daemon_stop(&daemon);
	daemon_start(&daemon, NULL);
	daemon_signal(&daemon, SIGINT);
	cr_expect_eq(daemon_wait_end(&daemon), 0);
	daemon_stop(&daemon);
}

Test(life, connected_clients_do_not_hold_up_a_stop)
{
	struct daemon daemon;
	struct raw raw;

	daemon_start(&daemon, NULL);
	raw_connect(&raw, daemon.socket_path);
	json_decref(raw_call(&raw, "server.ping", NULL));
	daemon_stop(&daemon);
	raw_expect_end(&raw);
	raw_close(&raw);
}

Test(life, drain_stops_the_daemon_after_its_answer)
{
	struct daemon daemon;
	struct ember *client;
	json_t *result;

	daemon_start(&daemon, NULL);
	client = daemon_connect(&daemon);
	result = client_call(client, "server.drain", NULL);
	cr_expect(json_is_true(at(result, "drained")));
	cr_expect(json_is_true(at(result, "stopping")));
	json_decref(result);
	cr_expect_eq(daemon_wait_end(&daemon), 0);
	(void)ember_free(client);
	daemon_stop(&daemon);
}

Test(life, drain_without_stop_serves_again)
{
	struct daemon daemon;
	struct ember *client;
	json_t *result;

	daemon_start(&daemon, NULL);
	client = daemon_connect(&daemon);
	result = client_call(client, "server.drain", "{\"stop\": false}");
	cr_expect(json_is_false(at(result, "stopping")));
	json_decref(result);
	json_decref(client_call(client, "server.ping", NULL));
	(void)ember_free(client);
	daemon_stop(&daemon);
}

Test(life, a_stale_socket_is_replaced)
{
	struct daemon daemon;

	daemon_start(&daemon, NULL);
	daemon_signal(&daemon, SIGKILL);
	cr_expect_eq(daemon_wait_end(&daemon), 128 + SIGKILL);
	cr_expect_eq(access(daemon.socket_path, F_OK), 0);
	daemon_start_again(&daemon);
	daemon_stop(&daemon);
}

Test(life, a_second_daemon_gives_up_and_the_first_goes_on)
{
	struct daemon daemon;
	struct ember *client;

	daemon_start(&daemon, NULL);
	client = daemon_connect(&daemon);
	cr_expect_eq(daemon_start_fails(&daemon), 1);
	cr_expect_eq(daemon_count_log(&daemon, "another emberd serves"), 1);
	json_decref(client_call(client, "server.ping", NULL));
	(void)ember_free(client);
	client = daemon_connect(&daemon);
	json_decref(client_call(client, "server.ping", NULL));
	(void)ember_free(client);
	daemon_stop(&daemon);
}

Test(life, a_reload_applies_what_it_can_and_names_the_rest)
{
	struct daemon daemon;
	struct ember *client;
	json_t *result;

	daemon_start(&daemon, NULL);
	client = daemon_connect(&daemon);
	daemon_write_config(&daemon, "{\"limits\": {\"batch\": 5}, \"state_dir\": \"/elsewhere\"}");
	daemon_signal(&daemon, SIGHUP);
	daemon_wait_log(&daemon, "configuration reloaded");
	result = client_call(client, "server.info", NULL);
	cr_expect_eq(int_at(result, "limits.batch"), 5);
	cr_expect_str_eq(text_at(result, "state_dir"), daemon.state_dir);
	cr_expect_eq(daemon_count_log(&daemon, "\"option\":\"state_dir\""), 1);
	json_decref(result);
	(void)ember_free(client);
	daemon_stop(&daemon);
}

Test(life, a_reload_of_a_wrong_file_changes_nothing)
{
	struct daemon daemon;
	struct ember *client;
	json_t *result;

	daemon_start(&daemon, NULL);
	client = daemon_connect(&daemon);
	daemon_write_config(&daemon, "{\"limits\": {\"batch\": 5, \"nesting\": 0}}");
	daemon_signal(&daemon, SIGHUP);
	daemon_wait_log(&daemon, "configuration not reloaded");
	cr_expect_eq(daemon_count_log(&daemon, "\"option\":\"limits.nesting\""), 1);
	result = client_call(client, "server.info", NULL);
	cr_expect_eq(int_at(result, "limits.batch"), 64);
	json_decref(result);
	(void)ember_free(client);
	daemon_stop(&daemon);
}

/* The next datagram to the service manager's socket. */
static void expect_state(int manager, const char *state)
{
	struct pollfd ready = { .fd = manager, .events = POLLIN };
	char text[256];
	ssize_t got;

	cr_assert_eq(poll(&ready, 1, WAIT_MS), 1, "%s is not said", state);
	got = recv(manager, text, sizeof(text) - 1, 0);
	cr_assert_gt(got, 0);
	text[got] = '\0';
	cr_expect_eq(strncmp(text, state, strlen(state)), 0, "%s instead of %s", text, state);
}

Test(life, the_service_manager_is_told)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct daemon daemon;
	char name[64];

	(void)snprintf(name, sizeof(name), "@ember-life-%d", (int)getpid());
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	cr_assert_eq(bind(manager, (const struct sockaddr *)&address,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
		     0);
	(void)setenv("NOTIFY_SOCKET", name, 1);
	daemon_start(&daemon, NULL);
	expect_state(manager, "READY=1");
	daemon_signal(&daemon, SIGHUP);
	expect_state(manager, "RELOADING=1\nMONOTONIC_USEC=");
	expect_state(manager, "READY=1");
	daemon_stop(&daemon);
	expect_state(manager, "STOPPING=1");
	(void)close(manager);
}

Test(life, log_lines_are_json_with_their_fields)
{
	struct daemon daemon;
	struct raw raw;

	daemon_start(&daemon, NULL);
	raw_connect(&raw, daemon.socket_path);
	raw_expect_error(&raw, "server.ping", "{\"deadline_ms\": 0}", RPC_DEADLINE_EXCEEDED);
	json_decref(raw_call(&raw, "server.ping", NULL));
	daemon_wait_log(&daemon, "\"method\":\"server.ping\"");
	cr_expect_gt(daemon_count_log(&daemon, "\"request\":"), 0);
	cr_expect_gt(daemon_count_log(&daemon, "\"connection\":"), 0);
	cr_expect_eq(daemon_count_log(&daemon, "{\"time\":\""), daemon_count_log(&daemon, ""));
	raw_close(&raw);
	daemon_stop(&daemon);
}

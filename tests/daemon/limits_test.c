/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one client may take of the daemon: connections, lines, batches, memory for answers it does not read. Other
 * clients are served meanwhile.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "proto/client/ember.h"
#include "proto/status.h"

static void expect_served(const struct daemon *daemon)
{
	struct ember *client = daemon_connect(daemon);

	json_decref(client_call(client, "server.ping", NULL));
	(void)ember_free(client);
}

Test(limits, connections_over_the_limit_are_told_and_closed)
{
	struct raw first, second, third;
	struct daemon daemon;
	size_t closed;
	json_t *answer;

	daemon_start(&daemon, "{\"limits\": {\"connections\": 2}}");
	raw_connect(&first, daemon.socket_path);
	raw_connect(&second, daemon.socket_path);
	json_decref(raw_call(&first, "server.ping", NULL));
	json_decref(raw_call(&second, "server.ping", NULL));

	raw_connect(&third, daemon.socket_path);
	answer = raw_receive(&third);
	cr_expect_eq(int_at(answer, "error.code"), RPC_CONNECTION_LIMIT);
	cr_expect(json_is_null(at(answer, "id")));
	json_decref(answer);
	raw_expect_end(&third);
	raw_close(&third);

	closed = daemon_count_log(&daemon, "connection closed");
	raw_close(&first);
	daemon_wait_log_count(&daemon, "connection closed", closed + 1);
	raw_connect(&third, daemon.socket_path);
	json_decref(raw_call(&third, "server.ping", NULL));
	raw_close(&third);
	raw_close(&second);
	daemon_stop(&daemon);
}

Test(limits, the_configured_line_length_nesting_and_batch_hold)
{
	static const char ping[] = "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"server.ping\"}";
	struct daemon daemon;
	char line[2048];
	struct raw raw;
	json_t *answer;

	daemon_start(&daemon, "{\"limits\": {\"line_bytes\": 1024, \"nesting\": 4, \"batch\": 2}}");
	raw_connect(&raw, daemon.socket_path);

	memset(line, ' ', sizeof(line));
	memcpy(line, ping, strlen(ping));
	line[1024] = '\0';
	raw_send_line(&raw, line);
	answer = raw_receive(&raw);
	cr_expect(json_is_true(at(answer, "result.pong")), "a line of the very limit");
	json_decref(answer);
	line[1024] = ' ';
	line[1025] = '\0';
	raw_send_line(&raw, line);
	answer = raw_receive(&raw);
	cr_expect_eq(int_at(answer, "error.code"), RPC_INVALID_REQUEST, "a line of one byte more");
	json_decref(answer);

	raw_expect_error(&raw, "server.ping", "{\"x\": [[1]]}", RPC_INVALID_PARAMS);
	raw_send_line(&raw,
		      "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"server.ping\", \"params\": {\"x\": [[[1]]]}}");
	answer = raw_receive(&raw);
	cr_expect_eq(int_at(answer, "error.code"), RPC_PARSE_ERROR, "one level more");
	json_decref(answer);

	raw_send_line(&raw, "[1, 2]");
	answer = raw_receive(&raw);
	cr_expect_eq(json_array_size(answer), 2);
	json_decref(answer);
	raw_send_line(&raw, "[1, 2, 3]");
	answer = raw_receive(&raw);
	cr_expect_eq(int_at(answer, "error.code"), RPC_INVALID_REQUEST);
	json_decref(answer);
	raw_close(&raw);
	daemon_stop(&daemon);
}

#define FLOOD_REQUESTS 400

static void *send_flood(void *opaque)
{
	char line[128];
	int i;

	for (i = 0; i < FLOOD_REQUESTS; i++) {
		(void)snprintf(line, sizeof(line), "{\"jsonrpc\": \"2.0\", \"id\": %d, \"method\": \"rpc.discover\"}\n",
			       i);
		raw_send(opaque, line);
	}
	return NULL;
}

/* Answers of some 20 MB to a client that reads none of them until later: it must be paused long before the limit at
 * which it would be dropped, and still get every answer in order. */
Test(limits, a_client_that_does_not_read_is_paused_and_loses_nothing)
{
	struct daemon daemon;
	pthread_t sender;
	struct raw raw;
	int i;

	daemon_start(&daemon, "{\"limits\": {\"output_pause_bytes\": 65536, \"output_drop_bytes\": 524288}}");
	raw_connect(&raw, daemon.socket_path);
	cr_assert_eq(pthread_create(&sender, NULL, send_flood, &raw), 0);
	for (i = 0; i < 20; i++)
		expect_served(&daemon);
	for (i = 0; i < FLOOD_REQUESTS; i++) {
		json_t *answer = raw_receive(&raw);

		cr_assert_eq(int_at(answer, "id"), i);
		cr_assert(json_is_object(at(answer, "result")));
		json_decref(answer);
	}
	(void)pthread_join(sender, NULL);
	raw_close(&raw);
	daemon_stop(&daemon);
}

/* A batch cannot be answered in parts: its memory is bounded by dropping the client. */
Test(limits, a_batch_whose_answers_are_over_the_limit_ends_the_connection)
{
	char line[8192] = "[", entry[96];
	struct daemon daemon;
	struct raw raw;
	int i;

	daemon_start(&daemon, "{\"limits\": {\"output_pause_bytes\": 65536, \"output_drop_bytes\": 131072}}");
	raw_connect(&raw, daemon.socket_path);
	for (i = 0; i < 64; i++) {
		(void)snprintf(entry, sizeof(entry),
			       "%s{\"jsonrpc\": \"2.0\", \"id\": %d, \"method\": \"rpc.discover\"}", i ? ", " : "", i);
		(void)strcat(line, entry);
	}
	(void)strcat(line, "]");
	raw_send_line(&raw, line);
	raw_expect_end(&raw);
	raw_close(&raw);
	expect_served(&daemon);
	daemon_stop(&daemon);
}

/* Each drain publishes two events; nobody reads them. */
Test(limits, a_subscriber_that_does_not_read_is_dropped_with_notice)
{
	struct daemon daemon;
	struct ember *admin;
	struct raw raw;
	bool dropped = false;
	json_t *event;
	int i;

	daemon_start(&daemon, "{\"limits\": {\"output_pause_bytes\": 4096}}");
	raw_connect(&raw, daemon.socket_path);
	json_decref(raw_call(&raw, "events.subscribe", "{\"kinds\": [\"server\"]}"));
	admin = daemon_connect(&daemon);
	for (i = 0; i < 3000; i++)
		json_decref(client_call(admin, "server.drain", "{\"stop\": false}"));
	(void)ember_free(admin);

	for (i = 0; i < 6000 && !dropped; i++) {
		event = raw_receive(&raw);
		cr_assert_str_eq(text_at(event, "method"), "event");
		dropped = !strcmp(text_at(event, "params.kind"), "subscription");
		json_decref(event);
	}
	cr_expect(dropped);
	event = raw_call(&raw, "server.ping", NULL);
	cr_expect(json_is_true(at(event, "result.pong")), "the connection goes on");
	json_decref(event);
	raw_close(&raw);
	daemon_stop(&daemon);
}

Test(limits, subscriptions_of_a_connection_are_bounded)
{
	struct daemon daemon;
	struct raw raw;

	daemon_start(&daemon, "{\"limits\": {\"subscriptions\": 2}}");
	raw_connect(&raw, daemon.socket_path);
	json_decref(raw_call(&raw, "events.subscribe", NULL));
	json_decref(raw_call(&raw, "events.subscribe", NULL));
	raw_expect_error(&raw, "events.subscribe", NULL, RPC_RESOURCE_EXHAUSTED);
	raw_close(&raw);
	daemon_stop(&daemon);
}

/* Comes and goes, and comes again at once: there is always somebody to be accepted. */
static void *come_and_go(void *opaque)
{
	const char *path = opaque;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int socket_fd;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	for (;;) {
		socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (socket_fd < 0)
			break;
		(void)connect(socket_fd, (struct sockaddr *)&address, sizeof(address));
		(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		(void)close(socket_fd);
		(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		pthread_testcancel();
	}
	return NULL;
}

#define COMERS 4

static void served_while_others_come_and_go(const struct daemon *daemon, const char *path)
{
	struct ember *client = daemon_connect(daemon);
	pthread_t comers[COMERS];
	int i;

	for (i = 0; i < COMERS; i++)
		cr_assert_eq(pthread_create(&comers[i], NULL, come_and_go, (void *)path), 0);
	for (i = 0; i < 20; i++)
		json_decref(client_call(client, "server.ping", NULL));
	for (i = 0; i < COMERS; i++) {
		(void)pthread_cancel(comers[i]);
		(void)pthread_join(comers[i], NULL);
	}
	(void)ember_free(client);
}

Test(limits, a_client_is_served_while_others_come_and_go)
{
	struct daemon daemon;

	daemon_start(&daemon, NULL);
	served_while_others_come_and_go(&daemon, daemon.socket_path);
	served_while_others_come_and_go(&daemon, daemon.http_path);
	daemon_stop(&daemon);
}

/* More clients than places: those who have none wait for one, and are served then. */
Test(limits, http_connections_have_their_limit)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	struct raw clients[3];
	struct daemon daemon;
	int i, round, status;
	json_t *body;

	daemon_start(&daemon, "{\"limits\": {\"connections\": 2}}");
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 3; i++) {
			raw_connect(&clients[i], daemon.http_path);
			raw_send(&clients[i], request);
		}
		for (i = 0; i < 2; i++)
			cr_assert_gt(raw_receive_some(&clients[i]), 0);
		expect_served(&daemon);
		cr_expect_eq(poll(&(struct pollfd){ .fd = clients[2].fd, .events = POLLIN }, 1, 300), 0, "no place");
		raw_close(&clients[0]);
		cr_assert_gt(raw_receive_some(&clients[2]), 0, "a place was free");
		raw_close(&clients[1]);
		raw_close(&clients[2]);
	}
	body = http_call(daemon.http_path, "GET", "/healthz", NULL, &status);
	cr_expect_eq(status, 200);
	json_decref(body);
	daemon_stop(&daemon);
}

static void fill(const char *folder)
{
	static const char block[4096] = { 1 };
	char path[128];
	int file;

	(void)snprintf(path, sizeof(path), "%s/filling", folder);
	file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert_geq(file, 0);
	while (write(file, block, sizeof(block)) > 0)
		;
	cr_assert_eq(errno, ENOSPC);
	(void)close(file);
}

/* Removing snapshots is how a user gets room again: it must not take room to do so. */
Test(limits, a_snapshot_can_be_removed_from_a_full_disk)
{
	char disk[] = "/tmp/ember-full-XXXXXX", text[128];
	struct ember *client;
	struct daemon daemon;
	json_t *result;

	cr_assert_not_null(mkdtemp(disk));
	cr_assert_eq(mount("tmpfs", disk, "tmpfs", 0, "size=4m"), 0, "mounting a tmpfs takes root");
	(void)snprintf(text, sizeof(text), "{\"state_dir\": \"%s/state\"}", disk);
	daemon_start(&daemon, text);
	client = daemon_connect(&daemon);
	result = client_call(client, "vm.boot", "{\"memory_mib\": 16}");
	(void)snprintf(text, sizeof(text), "{\"vm\": \"%s\", \"name\": \"large\"}", text_at(result, "vm"));
	json_decref(result);
	json_decref(client_call(client, "vm.snapshot", text));

	fill(disk);
	result = client_call(client, "snapshot.remove", "{\"name\": \"large\", \"files\": true}");
	cr_expect(json_is_true(at(result, "files_removed")));
	json_decref(result);
	(void)ember_free(client);
	daemon_signal(&daemon, SIGTERM);
	cr_expect_eq(daemon_wait_end(&daemon), 0);

	daemon_start_again(&daemon);
	client = daemon_connect(&daemon);
	result = client_call(client, "snapshot.list", NULL);
	cr_expect_eq(json_array_size(at(result, "snapshots")), 0, "the catalog was saved");
	json_decref(result);
	(void)ember_free(client);
	daemon_stop(&daemon);
	cr_assert_eq(umount2(disk, MNT_DETACH), 0);
	(void)rmdir(disk);
}

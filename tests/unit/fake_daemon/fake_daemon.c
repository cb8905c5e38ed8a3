/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread accepts, one thread a connection reads lines and answers them in order.
 */
#include "fake_daemon.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 128

struct fake_connection {
	struct fake_daemon *daemon;
	pthread_t thread;
	int fd;
};

struct fake_daemon {
	fake_answer *answer;
	void *context;
	char folder[64];
	struct sockaddr_un address;
	int listener;
	pthread_t thread;
	pthread_mutex_t lock; /* the counters */
	int open_connections, most_connections;
	struct fake_connection connections[CONNECTIONS_MAX]; /* of the accepting thread, until it has ended */
	int connection_count;
};

static void count_connection(struct fake_daemon *daemon, int change)
{
	pthread_mutex_lock(&daemon->lock);
	daemon->open_connections += change;
	if (daemon->open_connections > daemon->most_connections)
		daemon->most_connections = daemon->open_connections;
	pthread_mutex_unlock(&daemon->lock);
}

/* Returns false where the connection is to be closed. */
static bool serve_line(struct fake_connection *connection, const char *line)
{
	json_t *request = json_loads(line, 0, NULL), *answer, *error, *response;
	char *text;
	bool sent;

	cr_assert_not_null(request, "the client sent what is not JSON: %s", line);
	answer = connection->daemon->answer(connection->daemon->context,
					    json_string_value(json_object_get(request, "method")),
					    json_object_get(request, "params"));
	if (answer == NULL) {
		json_decref(request);
		return false;
	}
	error = json_object_get(answer, "error");
	response = json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0", "id", json_object_get(request, "id"),
			     error == NULL ? "result" : "error", error == NULL ? answer : error);
	text = json_dumps(response, JSON_COMPACT);
	cr_assert_not_null(text);
	sent = send(connection->fd, text, strlen(text), MSG_NOSIGNAL) >= 0 &&
	       send(connection->fd, "\n", 1, MSG_NOSIGNAL) == 1;
	free(text);
	json_decref(response);
	json_decref(answer);
	json_decref(request);
	return sent;
}

static void *serve_connection(void *context)
{
	struct fake_connection *connection = context;
	FILE *in = fdopen(dup(connection->fd), "r");
	char *line = NULL;
	size_t size = 0;

	cr_assert_not_null(in);
	while (getline(&line, &size, in) > 0 && serve_line(connection, line))
		;
	free(line);
	fclose(in);
	shutdown(connection->fd, SHUT_RDWR);
	count_connection(connection->daemon, -1);
	return NULL;
}

static void *accept_connections(void *context)
{
	struct fake_daemon *daemon = context;
	int fd;

	while ((fd = accept4(daemon->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct fake_connection *connection = &daemon->connections[daemon->connection_count++];

		cr_assert_leq(daemon->connection_count, CONNECTIONS_MAX);
		connection->daemon = daemon;
		connection->fd = fd;
		count_connection(daemon, 1);
		cr_assert_eq(pthread_create(&connection->thread, NULL, serve_connection, connection), 0);
	}
	return NULL;
}

struct fake_daemon *fake_daemon_start(fake_answer *answer, void *context)
{
	struct fake_daemon *daemon = calloc(1, sizeof(*daemon));

	cr_assert_not_null(daemon);
	daemon->answer = answer;
	daemon->context = context;
	pthread_mutex_init(&daemon->lock, NULL);
	strcpy(daemon->folder, "/tmp/ember-fake-XXXXXX");
	cr_assert_not_null(mkdtemp(daemon->folder));
	daemon->address.sun_family = AF_UNIX;
	snprintf(daemon->address.sun_path, sizeof(daemon->address.sun_path), "%s/socket", daemon->folder);
	daemon->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(daemon->listener, 0);
	cr_assert_eq(bind(daemon->listener, (const struct sockaddr *)&daemon->address, sizeof(daemon->address)), 0);
	cr_assert_eq(listen(daemon->listener, CONNECTIONS_MAX), 0);
	cr_assert_eq(pthread_create(&daemon->thread, NULL, accept_connections, daemon), 0);
	return daemon;
}

const char *fake_daemon_socket(const struct fake_daemon *daemon)
{
	return daemon->address.sun_path;
}

int fake_daemon_most_connections(struct fake_daemon *daemon)
{
	int most;

	pthread_mutex_lock(&daemon->lock);
	most = daemon->most_connections;
	pthread_mutex_unlock(&daemon->lock);
	return most;
}

struct fake_daemon *fake_daemon_stop(struct fake_daemon *daemon)
{
	if (daemon == NULL)
		return NULL;
	shutdown(daemon->listener, SHUT_RDWR);
	pthread_join(daemon->thread, NULL);
	for (int i = 0; i < daemon->connection_count; i++) {
		shutdown(daemon->connections[i].fd, SHUT_RDWR);
		pthread_join(daemon->connections[i].thread, NULL);
		close(daemon->connections[i].fd);
	}
	close(daemon->listener);
	unlink(daemon->address.sun_path);
	rmdir(daemon->folder);
	pthread_mutex_destroy(&daemon->lock);
	free(daemon);
	return NULL;
}

json_t *fake_error(int code, const char *status, const char *message)
{
	return json_pack("{s:{s:i, s:s, s:{s:s}}}", "error", "code", code, "message", message, "data", "status",
			 status);
}

json_t *fake_vm(const char *temperature)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:i, s:i}}", "vm", "vm-1", "state", "running", "shape", "1x128-host",
			 "temperature", temperature, "phases_us", "memory_map", 2, "enter", 1);
}

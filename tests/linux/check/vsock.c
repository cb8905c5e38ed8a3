/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of a vsock. A snapshot while all of them are in the middle leaves them to the guest that goes on; a clone has
 * none of them, and takes new ones from its first instruction on. And a guest calls its host.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "daemon.h"
#include "streams.h"

#define SNAPSHOT    "vsock"
#define STREAMS_MAX 256
#define HOST_PORT   6000
#define CALL_BYTES  1000

/* Listen on a port of the host's, as the guest behind the path sees it. */
static int listen_for(const struct guest *guest)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s_%d", guest->path, HOST_PORT) >=
	    (int)sizeof(address.sun_path))
		fail("%s is too long for a socket's path", guest->path);
	(void)unlink(address.sun_path);
	if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0)
		fail("%s: %s", address.sun_path, strerror(errno));
	return listener;
}

/* What is sent comes back, up to its end. */
static void talk(int peer)
{
	char sent[CALL_BYTES], received[CALL_BYTES + 1];
	size_t length = 0;
	ssize_t got;

	memset(sent, 'e', sizeof(sent));
	if (send(peer, sent, sizeof(sent), MSG_NOSIGNAL) != (ssize_t)sizeof(sent) || shutdown(peer, SHUT_WR) < 0)
		fail("sending to the guest: %s", strerror(errno));
	while (length < sizeof(received) && (got = recv(peer, received + length, sizeof(received) - length, 0)) > 0)
		length += (size_t)got;
	EXPECT(length == sizeof(sent) && memcmp(sent, received, length) == 0, "%zu bytes to come back, got %zu",
	       sizeof(sent), length);
}

static void check_call(const struct guest *guest)
{
	int listener = listen_for(guest), connection, peer;
	char request[32], answer[64], expected[64];
	ssize_t got;

	(void)snprintf(request, sizeof(request), "call %d", HOST_PORT);
	connection = agent_open(&guest->agent, request);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (peer < 0)
		fail("expected the guest to call, got: %s", strerror(errno));
	talk(peer);
	got = recv(connection, answer, sizeof(answer) - 1, 0);
	answer[got > 0 ? got : 0] = '\0';
	(void)snprintf(expected, sizeof(expected), "{\"echoed\": %d}\n", CALL_BYTES);
	EXPECT(strcmp(answer, expected) == 0, "%s from a guest that has called, got %s", expected, answer);
	(void)close(peer);
	(void)close(connection);
	(void)close(listener);
}

static int64_t uptime_us(const struct agent *agent)
{
	json_t *identity = agent_ask(agent, "identity");
	int64_t uptime = member_integer(identity, "uptime_ns") / 1000;

	json_decref(identity);
	return uptime;
}

void check_vsock(int argc, char **argv)
{
	unsigned int count = (unsigned int)parse_number(argv[0], 1, STREAMS_MAX);
	uint64_t bytes = (uint64_t)parse_number(argv[1], 1, 1048576) * 1024;
	struct ember *client = daemon_connect();
	struct guest original, clone;
	struct guest_snapshot snapshot = { .client = client, .guest = &original, .name = SNAPSHOT };

	int64_t since_us;

	(void)argc;
	guest_boot(client, &original, NULL, "");
	since_us = uptime_us(&original.agent);
	streams_echo(&original.agent, count, bytes, guest_take_snapshot, &snapshot);
	check_call(&original);
	guest_restore(client, &clone, SNAPSHOT, NULL);
	streams_echo(&clone.agent, count, bytes, NULL, NULL);
	check_call(&clone);
	EXPECT(agent_count_complaints(&original.agent, since_us) + agent_count_complaints(&clone.agent, since_us) == 0,
	       "nothing in the guests' kernel logs, got the lines above");
	printf("%u streams echoed %llu bytes each, across a snapshot and in a clone\n", count,
	       (unsigned long long)bytes);
	(void)ember_free(client);
}

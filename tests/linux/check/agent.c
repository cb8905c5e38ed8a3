/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to an agent. Through a vsock path a client says which port of the guest's it wants ("CONNECT 5000"), and
 * is answered when the guest has taken the connection.
 */
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../guest/agent.h"
#include "../guest/kernel_log.h"
#include "check.h"

#define ANSWER_MAX 1048576

/* Nothing waits for ever. */
static void bound(int fd)
{
	const struct timeval limit = { .tv_sec = WAIT_MS / 1000 };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		fail("a socket's time limits: %s", strerror(errno));
}

static void send_text(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		fail("sending \"%s\": %s", text, strerror(errno));
}

/* Read "OK PORT\n". Returns 0 or -ECONNRESET: the other end was closed. */
static int read_ok(int fd)
{
	char line[32] = "";

	for (size_t length = 0; length < sizeof(line) - 1; length++) {
		ssize_t got = recv(fd, &line[length], 1, 0);

		if (got < 0 && errno != ECONNRESET)
			fail("expected an answer to CONNECT, got: %s", strerror(errno));
		if (got <= 0)
			return -ECONNRESET;
		if (line[length] == '\n')
			break;
	}
	EXPECT(strncmp(line, "OK ", 3) == 0, "\"OK PORT\", got \"%s\"", line);
	return 0;
}

static int open_vsock(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char line[32];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result;

	if (strlen(path) >= sizeof(address.sun_path))
		fail("%s is too long for a socket's path", path);
	(void)memcpy(address.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		fail("%s: %s", path, strerror(errno));
	bound(fd);
	(void)snprintf(line, sizeof(line), "CONNECT %d\n", AGENT_PORT);
	send_text(fd, line);
	result = read_ok(fd);
	if (result < 0) {
		(void)close(fd);
		return result;
	}
	return fd;
}

static int open_tcp(const struct agent *agent)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(AGENT_PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result;

	if (fd < 0 || inet_pton(AF_INET, agent->address, &address.sin_addr) != 1 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, agent->interface, (socklen_t)strlen(agent->interface)) < 0)
		fail("%s on %s: %s", agent->address, agent->interface, strerror(errno));
	bound(fd);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		result = -errno;
		(void)close(fd);
		return result;
	}
	return fd;
}

int agent_try_open(const struct agent *agent, const char *request)
{
	int fd = agent->path ? open_vsock(agent->path) : open_tcp(agent);

	if (fd >= 0) {
		send_text(fd, request);
		send_text(fd, "\n");
	}
	return fd;
}

int agent_open(const struct agent *agent, const char *request)
{
	int fd = agent_try_open(agent, request);

	if (fd < 0)
		fail("expected the guest at %s to take a connection, got: %s",
		     agent->path ? agent->path : agent->address, strerror(-fd));
	return fd;
}

char *agent_ask_text(const struct agent *agent, const char *request)
{
	int fd = agent_open(agent, request);
	char *text = malloc(ANSWER_MAX);
	size_t length = 0;
	ssize_t got = 1;

	if (!text)
		fail("no memory");
	while (length < ANSWER_MAX - 1 && (got = recv(fd, text + length, ANSWER_MAX - 1 - length, 0)) > 0)
		length += (size_t)got;
	if (got < 0)
		fail("expected an answer to \"%s\", got: %s", request, strerror(errno));
	text[length] = '\0';
	(void)close(fd);
	return text;
}

json_t *agent_ask(const struct agent *agent, const char *request)
{
	char *text = agent_ask_text(agent, request);
	json_error_t error;
	json_t *answer = json_loads(text, 0, &error);

	if (!json_is_object(answer) || json_object_get(answer, "error"))
		fail("expected an answer to \"%s\", got \"%s\"", request, text);
	free(text);
	return answer;
}

/* Warnings are no errors; but these are what a clock or a CPU that went wrong leads to. */
static bool is_complaint(int level, const char *text)
{
	static const char *const words[] = { "lockup", "stall", "WARNING:", "BUG:", "Oops", "Call Trace" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(text, words[i]))
			return true;
	return level < KERNEL_LOG_WARNING;
}

unsigned int agent_count_complaints(const struct agent *agent, int64_t since_us)
{
	char *log = agent_ask_text(agent, "warnings"), *rest = log, *line;
	unsigned int count = 0;

	while ((line = strsep(&rest, "\n")) && *line) {
		long long time_us;
		int level;

		EXPECT(sscanf(line, "%d %lld", &level, &time_us) == 2, // NOLINT(cert-err34-c)
		       "a line of the guest's log, got \"%s\"", line);
		if (time_us <= since_us || !is_complaint(level, line))
			continue;
		printf("the guest's kernel: %s\n", line);
		count++;
	}
	free(log);
	return count;
}

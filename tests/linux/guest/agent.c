/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: a thread a listening socket, and one a connection.
 *
 * A snapshot can come at any moment. In a clone the vsock streams are gone, which their threads see as an error and end;
 * the listening sockets stay. TCP connections stay as well, with nobody at the other end.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "end.h"
#include "identity.h"
#include "kernel_log.h"
#include "signal_port.h"

#define BACKLOG      128
#define REQUEST_MAX  64
#define CHUNK        16384
#define STACK        131072
#define MIB          1048576
#define PAGE         4096
#define MEMORY_LIMIT 4096 /* MiB */

static int write_all(int connection, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(connection, bytes, size, MSG_NOSIGNAL);

		if (sent < 0)
			return -errno;
		bytes += sent;
		size -= (size_t)sent;
	}
	return 0;
}

__attribute__((format(printf, 2, 3))) static void answer(int connection, const char *format, ...)
{
	char line[256];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	(void)write_all(connection, line, strlen(line));
}

static void answer_error(int connection, const char *what, int error)
{
	answer(connection, "{\"error\": \"%s: %s\"}\n", what, strerror(error));
}

static void do_identity(int connection, const char *argument)
{
	char text[IDENTITY_TEXT_MAX];

	(void)argument;
	(void)write_all(connection, text, identity_describe(text));
}

/* Returns how many bytes there were until the peer's end; -errno. */
static long long echo(int connection)
{
	char chunk[CHUNK];
	long long total = 0;
	ssize_t got;

	while ((got = recv(connection, chunk, sizeof(chunk), 0)) > 0) {
		int result = write_all(connection, chunk, (size_t)got);

		if (result < 0)
			return result;
		total += got;
	}
	return got < 0 ? -errno : total;
}

static void do_echo(int connection, const char *argument)
{
	(void)argument;
	(void)echo(connection);
}

static void do_call(int connection, const char *argument)
{
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = (unsigned int)strtoul(argument, NULL, 10),
	};
	int peer = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	long long echoed;

	if (peer < 0 || connect(peer, (const struct sockaddr *)&host, sizeof(host)) < 0) {
		answer_error(connection, "connect", errno);
	} else {
		echoed = echo(peer);
		if (echoed < 0)
			answer_error(connection, "echo", (int)-echoed);
		else
			answer(connection, "{\"echoed\": %lld}\n", echoed);
	}
	if (peer >= 0)
		(void)close(peer);
}

static void do_memory(int connection, const char *argument)
{
	size_t mib = strtoul(argument, NULL, 10);
	volatile char *memory;

	if (mib == 0 || mib > MEMORY_LIMIT) {
		answer_error(connection, "memory", EINVAL);
		return;
	}
	memory = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		answer_error(connection, "memory", errno);
		return;
	}
	for (size_t offset = 0; offset < mib * MIB; offset += PAGE)
		memory[offset] = 1;
	(void)munmap((void *)memory, mib * MIB);
	answer(connection, "{\"touched_mib\": %zu}\n", mib);
}

static void do_signal(int connection, const char *argument)
{
	guest_signal((enum guest_event)strtoul(argument, NULL, 10));
	answer(connection, "{}\n");
}

static void write_line(void *opaque, const char *line)
{
	const int *connection = opaque;

	answer(*connection, "%s\n", line);
}

static void do_warnings(int connection, const char *argument)
{
	int result = kernel_log_read(KERNEL_LOG_WARNING, write_line, &connection);

	(void)argument;
	if (result < 0)
		answer_error(connection, "/dev/kmsg", -result);
}

static void do_exit(int connection, const char *argument)
{
	answer(connection, "{}\n");
	(void)shutdown(connection, SHUT_RDWR);
	guest_end(argument);
}

/* Byte by byte: what comes after the line belongs to the request. Returns 0 or -errno. */
static int read_request(int connection, char request[REQUEST_MAX])
{
	for (size_t length = 0; length < REQUEST_MAX; length++) {
		ssize_t got = recv(connection, &request[length], 1, 0);

		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;
		if (request[length] == '\n') {
			request[length] = '\0';
			return 0;
		}
	}
	return -EMSGSIZE;
}

static void *serve(void *opaque)
{
	static const struct {
		const char *name;
		void (*serve)(int connection, const char *argument);
	} requests[] = {
		{ "identity", do_identity }, { "echo", do_echo },         { "call", do_call }, { "memory", do_memory },
		{ "signal", do_signal },     { "warnings", do_warnings }, { "exit", do_exit },
	};
	int connection = (int)(intptr_t)opaque;
	char request[REQUEST_MAX], *argument = request;
	const char *name;
	bool known = false;

	if (read_request(connection, request) == 0) {
		name = strsep(&argument, " ");
		for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]) && !known; i++) {
			known = strcmp(name, requests[i].name) == 0;
			if (known)
				requests[i].serve(connection, argument ? argument : "");
		}
		if (!known)
			answer_error(connection, "request", ENOSYS);
	}
	(void)close(connection);
	return NULL;
}

static int begin_thread(void *(*run)(void *opaque), int fd)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attributes, STACK);
	error = pthread_create(&thread, &attributes, run, (void *)(intptr_t)fd); // NOLINT(performance-no-int-to-ptr)
	(void)pthread_attr_destroy(&attributes);
	return -error;
}

static void *accept_all(void *opaque)
{
	int listener = (int)(intptr_t)opaque, connection;

	while ((connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == ECONNABORTED) {
		if (connection >= 0 && begin_thread(serve, connection) < 0) {
			answer_error(connection, "thread", EAGAIN);
			(void)close(connection);
		}
	}
	printf("guest: accept: %s\n", strerror(errno));
	(void)fflush(stdout);
	return NULL;
}

static int listen_on(const struct sockaddr *address, socklen_t size)
{
	int listener = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result = 0;

	if (listener < 0)
		return -errno;
	if (bind(listener, address, size) < 0 || listen(listener, BACKLOG) < 0)
		result = -errno;
	else
		result = begin_thread(accept_all, listener);
	if (result < 0)
		(void)close(listener);
	return result;
}

void guest_agent(void)
{
	const struct sockaddr_vm vm = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = AGENT_PORT };
	const struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(AGENT_PORT) };
	int by_vsock, by_tcp;

	identity_begin();
	by_vsock = listen_on((const struct sockaddr *)&vm, sizeof(vm));
	by_tcp = listen_on((const struct sockaddr *)&in, sizeof(in));
	printf("guest: agent: vsock: %s, TCP: %s\n", by_vsock < 0 ? strerror(-by_vsock) : "listens",
	       by_tcp < 0 ? strerror(-by_tcp) : "listens");
	(void)fflush(stdout);
	if (by_vsock < 0 && by_tcp < 0)
		return;
	guest_signal(GUEST_READY);
	for (;;)
		(void)pause();
}

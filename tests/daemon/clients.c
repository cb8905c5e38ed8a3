/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The harness's clients: raw lines, libember, HTTP.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "proto/client/ember.h"
#include "proto/method.h"

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0);
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		int error = -errno;

		(void)close(fd);
		return error;
	}
	return fd;
}

void raw_connect(struct raw *raw, const char *path)
{
	memset(raw, 0, sizeof(*raw));
	raw->fd = connect_to(path);
	cr_assert_geq(raw->fd, 0, "connect: %s", strerror(-raw->fd));
}

/* Receive one descriptor over a socket pair. */
static int receive_fd(int from)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control;
	char byte;
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	int fd = -1;

	cr_assert_eq(recvmsg(from, &message, MSG_CMSG_CLOEXEC), 1);
	if (CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static void send_fd(int to, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control;
	char byte = 0;
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	(void)!sendmsg(to, &message, 0);
}

void raw_connect_as(struct raw *raw, const char *path, uid_t uid, gid_t gid)
{
	int ends[2], status;
	pid_t pid;

	cr_assert_eq(geteuid(), 0, "becoming another user takes root");
	memset(raw, 0, sizeof(*raw));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
			_exit(99);
		send_fd(ends[1], connect_to(path));
		_exit(0);
	}
	(void)close(ends[1]);
	raw->fd = receive_fd(ends[0]);
	(void)close(ends[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_geq(raw->fd, 0, "the user %u cannot connect", uid);
}

void raw_close(struct raw *raw)
{
	if (raw->fd >= 0)
		(void)close(raw->fd);
	free(raw->buffer);
	memset(raw, 0, sizeof(*raw));
	raw->fd = -1;
}

void raw_send_bytes(struct raw *raw, const void *bytes, size_t size)
{
	size_t sent = 0;

	while (sent < size) {
		ssize_t now = send(raw->fd, (const char *)bytes + sent, size - sent, MSG_NOSIGNAL);

		cr_assert_gt(now, 0, "send: %s", strerror(errno));
		sent += (size_t)now;
	}
}

void raw_send(struct raw *raw, const char *text)
{
	raw_send_bytes(raw, text, strlen(text));
}

void raw_send_line(struct raw *raw, const char *text)
{
	raw_send(raw, text);
	raw_send(raw, "\n");
}

/* Returns 0 at the connection's end. */
size_t raw_receive_some(struct raw *raw)
{
	struct pollfd ready = { .fd = raw->fd, .events = POLLIN };
	ssize_t got;

	if (raw->size - raw->length < 65536) {
		raw->size += 1048576;
		raw->buffer = realloc(raw->buffer, raw->size);
		cr_assert_not_null(raw->buffer);
	}
	cr_assert_eq(poll(&ready, 1, WAIT_MS), 1, "the daemon says nothing");
	got = recv(raw->fd, raw->buffer + raw->length, raw->size - raw->length, 0);
	if (got < 0 && errno == ECONNRESET)
		return 0;
	cr_assert_geq(got, 0, "recv: %s", strerror(errno));
	raw->length += (size_t)got;
	return (size_t)got;
}

json_t *raw_receive(struct raw *raw)
{
	json_error_t error;
	size_t length;
	json_t *json;
	char *end;

	while (!raw->length || !(end = memchr(raw->buffer, '\n', raw->length)))
		cr_assert_gt(raw_receive_some(raw), 0, "the daemon closed the connection");

	length = (size_t)(end - raw->buffer);
	json = json_loadb(raw->buffer, length, 0, &error);
	cr_assert_not_null(json, "%s: %.*s", error.text, (int)length, raw->buffer);
	memmove(raw->buffer, end + 1, raw->length - length - 1);
	raw->length -= length + 1;
	return json;
}

json_t *raw_receive_answer(struct raw *raw)
{
	for (;;) {
		json_t *json = raw_receive(raw);

		if (!json_object_get(json, "method"))
			return json;
		json_decref(json);
	}
}

void raw_expect_end(struct raw *raw)
{
	cr_assert_eq(raw_receive_some(raw), 0, "the daemon said: %.*s", (int)raw->length, raw->buffer);
}

json_t *raw_call(struct raw *raw, const char *method, const char *params)
{
	static unsigned int last_id;
	char head[256];
	json_t *answer;

	last_id++;
	(void)snprintf(head, sizeof(head), "{\"jsonrpc\": \"2.0\", \"id\": %u, \"method\": \"%s\"%s", last_id, method,
		       params ? ", \"params\": " : "}\n");
	raw_send(raw, head);
	if (params) {
		raw_send(raw, params);
		raw_send(raw, "}\n");
	}
	answer = raw_receive_answer(raw);
	cr_assert_eq(int_at(answer, "id"), last_id);
	if (json_object_get(answer, "error"))
		expect_documented(method, (int)int_at(answer, "error.code"));
	return answer;
}

void raw_expect_error(struct raw *raw, const char *method, const char *params, int code)
{
	json_t *answer = raw_call(raw, method, params);

	cr_expect_eq(int_at(answer, "error.code"), code, "%s %s: %s", method, params ? params : "",
		     json_dumps(answer, 0));
	json_decref(answer);
}

struct ember *daemon_connect(const struct daemon *daemon)
{
	struct ember *client = NULL;

	cr_assert_eq(ember_connect(daemon->socket_path, WAIT_MS, &client), 0);
	return client;
}

static json_t *parse_params(const char *params)
{
	json_t *json = params ? json_loads(params, 0, NULL) : NULL;

	cr_assert(!params || json, "the test's own parameters are no JSON: %s", params);
	return json;
}

json_t *client_call(struct ember *client, const char *method, const char *params)
{
	json_t *wanted = parse_params(params), *result = NULL;
	struct rpc_error mismatch = RPC_ERROR_INIT;
	struct ember_error error = { 0 };
	int failed = ember_call(client, method, wanted, WAIT_MS, &result, &error);

	cr_assert_eq(failed, 0, "%s %s: %s (%s)", method, params ? params : "", error.message,
		     error.data ? json_dumps(error.data, 0) : "");
	cr_expect_eq(method_check_result(method_find(method), result, &mismatch), 0, "%s: %s", method,
		     mismatch.message);
	rpc_error_release(&mismatch);
	json_decref(wanted);
	return result;
}

static bool lists(const enum rpc_code *codes, int code)
{
	for (; codes && *codes != RPC_OK; codes++)
		if ((int)*codes == code)
			return true;
	return false;
}

void expect_documented(const char *method_name, int code)
{
	const struct method *method = method_find(method_name);

	cr_expect(!method || lists(method->errors, code) || lists(method_common_errors(), code),
		  "%s answered with %d (%s), which its row does not name", method_name, code,
		  rpc_code_info((enum rpc_code)code)->meaning);
}

int client_fail(struct ember *client, const char *method, const char *params, json_t **ret_data)
{
	json_t *wanted = parse_params(params), *result = NULL;
	struct ember_error error = { 0 };
	int failed = ember_call(client, method, wanted, WAIT_MS, &result, &error), code;

	cr_assert_eq(failed, -EREMOTEIO, "%s %s: %s", method, params ? params : "",
		     result ? json_dumps(result, 0) : error.message);
	cr_expect(error.message[0], "an error without a sentence");
	code = error.code;
	expect_documented(method, code);
	if (ret_data)
		*ret_data = json_incref(error.data);
	ember_error_release(&error);
	json_decref(wanted);
	return code;
}

json_t *at(const json_t *json, const char *path)
{
	char copy[256], *name, *rest = NULL;
	json_t *here = (json_t *)json;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (name = strtok_r(copy, ".", &rest); name && here; name = strtok_r(NULL, ".", &rest))
		here = json_is_array(here) ? json_array_get(here, strtoul(name, NULL, 10))
					   : json_object_get(here, name);
	cr_assert_not_null(here, "no %s in %s", path, json_dumps(json, 0));
	return here;
}

const char *text_at(const json_t *json, const char *path)
{
	const char *text = json_string_value(at(json, path));

	cr_assert_not_null(text, "%s is no string in %s", path, json_dumps(json, 0));
	return text;
}

int64_t int_at(const json_t *json, const char *path)
{
	const json_t *value = at(json, path);

	cr_assert(json_is_integer(value), "%s is no integer in %s", path, json_dumps(json, 0));
	return json_integer_value(value);
}

char *http_exchange(const char *path, const char *bytes, size_t size)
{
	struct raw raw;
	char *text;

	raw_connect(&raw, path);
	/* A daemon that refuses the request in its middle closes early: that is no failure of the test. */
	(void)!send(raw.fd, bytes, size, MSG_NOSIGNAL);
	while (raw_receive_some(&raw) > 0)
		;
	text = calloc(1, raw.length + 1);
	cr_assert_not_null(text);
	memcpy(text, raw.buffer, raw.length);
	raw_close(&raw);
	return text;
}

json_t *http_call(const char *path, const char *method, const char *target, const char *body, int *ret_status)
{
	size_t length = body ? strlen(body) : 0, size = length + 512;
	char *request = calloc(1, size), *answer, *content;
	json_t *json;

	(void)snprintf(request, size,
		       "%s %s HTTP/1.1\r\nHost: ember\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", method,
		       target, length, body ? body : "");
	answer = http_exchange(path, request, strlen(request));
	cr_assert_eq(strncmp(answer, "HTTP/1.1 ", 9), 0, "no HTTP: %s", answer);
	*ret_status = (int)strtol(answer + 9, NULL, 10);
	content = strstr(answer, "\r\n\r\n");
	cr_assert_not_null(content);
	json = json_loads(content + 4, 0, NULL);
	free(answer);
	free(request);
	return json;
}

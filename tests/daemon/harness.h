/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real emberd for a test: started in a folder of its own, spoken to in every way that a client can, stopped and
 * searched for leftovers.
 *
 * Everything here asserts: what goes wrong fails the test with what was seen. Waits are long (WAIT_MS) and end
 * as soon as what is awaited is there; no test depends on how fast the machine is.
 */
#ifndef EMBER_TESTS_DAEMON_HARNESS_H
#define EMBER_TESTS_DAEMON_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#define WAIT_MS 240000 /* for anything that must happen */

/*
 * A test between the file's own start() and stop(). They are called from the test itself: what fails in Criterion's
 * fixtures is printed and not counted.
 */
#define DAEMON_TEST(suite, name)                 \
	static void suite##_##name##_body(void); \
	Test(suite, name)                        \
	{                                        \
		start();                         \
		suite##_##name##_body();         \
		stop();                          \
	}                                        \
	static void suite##_##name##_body(void)

struct daemon {
	pid_t pid; /* 0: it has ended */
	char folder[64];
	char socket_path[96];
	char http_path[96];
	char state_dir[96];
	char config_path[96];
	char log_path[96];
};

/*
 * Start emberd and wait until it serves. Skips the test where EMBER_NO_KVM is set.
 *
 * overrides  JSON text laid over the harness's configuration (its paths, log level debug, no drain time-out), or NULL
 */
void daemon_start(struct daemon *daemon, const char *overrides);

/* As daemon_start() in the folder of a daemon that ended. */
void daemon_start_again(struct daemon *daemon);

/* Start a daemon in the same folder that is expected to give up. Returns its exit status. */
int daemon_start_fails(const struct daemon *daemon);

/* SIGTERM; it must end with status 0 (so without a sanitizer's report) and leave no socket. Removes the folder. */
void daemon_stop(struct daemon *daemon);

/* Wait until it has ended by itself. Returns its exit status, or 128 + the signal. */
int daemon_wait_end(struct daemon *daemon);

void daemon_signal(const struct daemon *daemon, int number);

/* Write another configuration file: overrides as for daemon_start(). */
void daemon_write_config(const struct daemon *daemon, const char *overrides);

/* Write this very text as the configuration file. */
void daemon_write_config_text(const struct daemon *daemon, const char *text);

/* Wait until a line of the log contains the text. */
void daemon_wait_log(const struct daemon *daemon, const char *text);

/* Wait until so many lines of the log contain the text. */
void daemon_wait_log_count(const struct daemon *daemon, const char *text, size_t count);

/* How many lines of the log contain the text so far. */
size_t daemon_count_log(const struct daemon *daemon, const char *text);

/* ---- raw lines ---- */

struct raw {
	int fd;
	char *buffer; /* what was received and not yet given */
	size_t length;
	size_t size;
};

void raw_connect(struct raw *raw, const char *path);

/* Connect as another user: a child becomes it and hands its socket back. */
void raw_connect_as(struct raw *raw, const char *path, uid_t uid, gid_t gid);

void raw_close(struct raw *raw);

/* Send text as it is, or text with a line end after it. */
void raw_send(struct raw *raw, const char *text);
void raw_send_bytes(struct raw *raw, const void *bytes, size_t size);
void raw_send_line(struct raw *raw, const char *text);

/* The next line as JSON (a new reference). The connection's end fails the test. */
json_t *raw_receive(struct raw *raw);

/* The next line that is no notification. */
json_t *raw_receive_answer(struct raw *raw);

/* Wait for bytes and add them to the buffer. Returns how many came: 0 at the connection's end. */
size_t raw_receive_some(struct raw *raw);

/* The daemon must close the connection, and say nothing before. */
void raw_expect_end(struct raw *raw);

/* Send a request and return its answer (whole: result or error). */
json_t *raw_call(struct raw *raw, const char *method, const char *params);

/* Send a request whose answer must be an error of this code. */
void raw_expect_error(struct raw *raw, const char *method, const char *params, int code);

/* ---- through libember ---- */

struct ember;

/* A connection; ended by ember_free(). */
struct ember *daemon_connect(const struct daemon *daemon);

/*
 * Call a method that must succeed; its result must be what the protocol's table says.
 *
 * params  JSON text, or NULL
 */
json_t *client_call(struct ember *client, const char *method, const char *params);

/* Call a method that must fail. Returns the error's code; field and detail checks use the error object. */
int client_fail(struct ember *client, const char *method, const char *params, json_t **ret_data);

/* An error may only be one that the method's row of the protocol's table names. Called for all that goes through here. */
void expect_documented(const char *method_name, int code);

/* A member of an object by path: "kvm.tsc_khz", "vms.0.vm"; the test fails where it is missing. */
json_t *at(const json_t *json, const char *path);
const char *text_at(const json_t *json, const char *path);
int64_t int_at(const json_t *json, const char *path);

/* ---- HTTP ---- */

/*
 * Send one request on a connection of its own and read the answer.
 *
 * body        or NULL
 * ret_status  of the answer
 *
 * Returns the body as JSON (a new reference), NULL where it is empty or no JSON.
 */
json_t *http_call(const char *path, const char *method, const char *target, const char *body, int *ret_status);

/* Send these bytes, return everything that comes back until the daemon closes (terminated; the caller frees it). */
char *http_exchange(const char *path, const char *bytes, size_t size);

#endif

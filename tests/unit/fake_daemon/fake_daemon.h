/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_TESTS_FAKE_DAEMON_H
#define EMBER_TESTS_FAKE_DAEMON_H

#include <jansson.h>

/*
 * A daemon that answers what a test tells it to, so that its clients can be tested without VMs and with every kind of
 * answer. It fails the test where it cannot do its work.
 */
struct fake_daemon;

/*
 * How a request is answered; called from the thread of its connection, so it may sleep.
 *
 * Returns a new reference: the result, or {"error": {...}} for an error object, or NULL: close the connection.
 */
typedef json_t *fake_answer(void *context, const char *method, const json_t *params);

struct fake_daemon *fake_daemon_start(fake_answer *answer, void *context);

/* Where it listens. Valid until it is stopped. */
const char *fake_daemon_socket(const struct fake_daemon *daemon);

/* Close every connection, wait for their threads, and free. Takes NULL. Returns NULL. */
struct fake_daemon *fake_daemon_stop(struct fake_daemon *daemon);

/* The most connections that were open at one time. */
int fake_daemon_most_connections(struct fake_daemon *daemon);

/* An answer that is an error: code, data.status and message. */
json_t *fake_error(int code, const char *status, const char *message);

/* An answer to vm.boot and vm.restore: VM vm-1 of shape 1x128-host, two phases. */
json_t *fake_vm(const char *temperature);

#endif

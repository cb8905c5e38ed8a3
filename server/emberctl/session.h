/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_SESSION_H
#define EMBERCTL_SESSION_H

#include "emberctl/progress.h"
#include "proto/client/ember.h"

#include <jansson.h>
#include <stdbool.h>

/* What emberctl exits with; functions that return it have said on standard error what is wrong. */
enum exit_status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,      /* the call failed, or the answer could not be written */
	STATUS_USAGE = 2,       /* a mistake in the command line: nothing was sent */
	STATUS_UNREACHABLE = 3, /* no daemon, no permission on its socket, or the connection broke */
};

/* A connection to the daemon, and how its answers are shown. */
struct session {
	const char *socket_path;
	bool json;     /* results and errors as JSON, for programs */
	bool terminal; /* standard output is a terminal that understands escapes */
	struct ember *client;
	struct progress progress;
};

/* Connect. Returns STATUS_OK or STATUS_UNREACHABLE. */
enum exit_status session_open(struct session *session);

/* Disconnect; takes a session that was not opened. */
void session_close(struct session *session);

/*
 * Call a method, with a progress bar while it streams progress.
 *
 * params      an object or an array, or NULL; not consumed
 * ret_result  a new reference
 */
enum exit_status session_call(struct session *session, const char *method, const json_t *params, json_t **ret_result);

/* Print a result on standard output, as the session shows results. Returns STATUS_OK or STATUS_FAILED. */
enum exit_status session_print(const struct session *session, const json_t *result);

/* Say why a connection failed. result: the negative errno that libember gave. Returns STATUS_UNREACHABLE. */
enum exit_status session_lost(const struct session *session, int result);

/* Push out what was printed. Returns STATUS_OK, or STATUS_FAILED where standard output cannot be written. */
enum exit_status session_flush(void);

#endif

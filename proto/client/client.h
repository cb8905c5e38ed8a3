/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside libember: the connection, shared by its three files. connection.c moves bytes, reply.c says what a line from
 * the daemon means, ember.c is what callers see.
 */
#ifndef EMBER_PROTO_CLIENT_CLIENT_H
#define EMBER_PROTO_CLIENT_CLIENT_H

#include "proto/client/ember.h"
#include "proto/client/pending.h"
#include "proto/line_reader.h"

#include <stdbool.h>

struct ember {
	int fd;
	struct line_reader *reader;
	char *input;  /* where recv(2) writes */
	char *output; /* what the socket has not taken: from output_sent to output_size */
	size_t output_size;
	size_t output_sent;
	size_t output_capacity;
	/* Descriptors that wait to be sent with the line of the output from files_begin to files_end; copies of our own. */
	int files[EMBER_FILES_MAX];
	size_t file_count; /* 0: none */
	size_t files_begin;
	size_t files_end;
	bool unwritable; /* the daemon takes no more from us; what it has sent can still be read */
	struct pending_table pending;
	uint64_t next_id;
	size_t completed; /* requests, ever */
	bool in_callback;
	int failure; /* negative errno; 0: none */
	struct ember_error failure_error;
	ember_notification_function *on_notification;
	void *notification_context;
};

/*
 * Add a line to the output and send what the socket takes. A connection that has failed shows at the next
 * ember_client_receive(), never here.
 *
 * files  file_count descriptors to pass with it, duplicated
 *
 * Returns 0, -ENOMEM, -EBUSY (others wait to be sent) or -errno from fcntl(2): nothing was added.
 */
int ember_client_send(struct ember *client, const char *text, const int *files, size_t file_count);

/* Close the descriptors that wait to be sent. */
void ember_client_drop_files(struct ember *client);

/* Send what the socket takes of the output. */
void ember_client_flush(struct ember *client);

/* Receive what is there and act on each line. A failure lands in client->failure. */
void ember_client_receive(struct ember *client);

/* Act on a line from the daemon. */
void ember_client_line(struct ember *client, const char *line, size_t length);

/* Run the callback of a request that was taken from the table. error: where result is not 0. */
void ember_client_complete(struct ember *client, const struct pending *request, int result, json_t *reply,
			   const struct ember_error *error);

/*
 * The connection has failed: remember why, and complete every open request with it. Only from ember_dispatch() and what
 * it calls.
 */
__attribute__((format(printf, 3, 4))) void ember_client_fail(struct ember *client, int failure, const char *format,
							     ...);

#endif

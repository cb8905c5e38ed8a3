/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON-RPC 2.0 (https://www.jsonrpc.org/specification): what a line says, and how an answer is written.
 *
 * A line becomes a message of one or more entries, each either a request to serve or an error to answer with. A line
 * that is not JSON, an empty batch or a batch over the limit is a message of one entry that is an error, so a caller
 * has one loop for every case:
 *
 *	jsonrpc_parse(line, length, &limits, &message);
 *	for each entry: if (entry->error.code != RPC_OK) answer with the error, else serve entry->request;
 *
 * Where message->batch is true, the answers go through a jsonrpc_batch, which gives one array once all are in.
 *
 * Texts that the functions here write are compact JSON on one line, UTF-8, without a line end.
 */
#ifndef EMBER_PROTO_JSONRPC_H
#define EMBER_PROTO_JSONRPC_H

#include "proto/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define JSONRPC_DEPTH_DEFAULT 32
#define JSONRPC_DEPTH_MAX     512 /* what jsonrpc_load() takes at most: the parser recurses once a level */
#define JSONRPC_BATCH_DEFAULT 256

struct jsonrpc_limits {
	size_t depth; /* levels of arrays and objects, 1 to JSONRPC_DEPTH_MAX; the request object itself is level 1 */
	size_t batch; /* entries in a batch, at least 1 */
};

#define JSONRPC_LIMITS_DEFAULT                                                 \
	{                                                                      \
		.depth = JSONRPC_DEPTH_DEFAULT, .batch = JSONRPC_BATCH_DEFAULT \
	}

/* A request or a notification (section 4). References are owned by the message; take your own with json_incref(). */
struct jsonrpc_request {
	const char *method; /* UTF-8, terminated; may be any string */
	json_t *params;     /* an object, an array, or NULL where absent */
	json_t *id;         /* a string, a number or null as the client sent it; NULL: a notification, never answered */
};

struct jsonrpc_entry {
	struct jsonrpc_request request; /* with an error only id is of use: the id to answer with, null where unknown */
	struct rpc_error error;         /* code RPC_OK: serve the request */
	json_t *json;                   /* what the entry's pointers point into */
};

struct jsonrpc_message {
	bool batch;   /* answers are to be gathered in one array */
	size_t count; /* entries, at least 1 */
	struct jsonrpc_entry entries[];
};

/*
 * Parse JSON as every text from a peer is parsed here: nesting is measured before the parser recurses; duplicate keys,
 * NUL (raw or as \u0000), invalid UTF-8, lone surrogates, trailing text and numbers that do not fit are refused.
 *
 * text, length  need not be terminated
 * depth         levels, 1 to JSONRPC_DEPTH_MAX
 * ret_json      a new reference; any JSON value
 * error         RPC_PARSE_ERROR with what and where, on -EBADMSG; RPC_RESOURCE_EXHAUSTED; may be NULL
 *
 * Returns 0, -EBADMSG, or another negative errno where memory is short.
 */
int jsonrpc_load(const char *text, size_t length, size_t depth, json_t **ret_json, struct rpc_error *error);

/*
 * Read one line (sections 4 and 6).
 *
 * limits       see the struct
 * ret_message  the caller ends it with jsonrpc_message_free()
 *
 * Returns 0 (what is wrong with the line is in the entries) or -ENOMEM.
 */
int jsonrpc_parse(const char *line, size_t length, const struct jsonrpc_limits *limits,
		  struct jsonrpc_message **ret_message);

/* How many entries get an answer: the errors and the requests with an id. 0: a batch of notifications, send nothing. */
size_t jsonrpc_message_answers(const struct jsonrpc_message *message);

/* Takes NULL. Returns NULL. */
struct jsonrpc_message *jsonrpc_message_free(struct jsonrpc_message *message);

/*
 * Write a response (section 5), a request or a notification (section 4).
 *
 * id        as the request had it: string, number or null; NULL is written as null. Numbers come back as numbers of the
 *           same value, written in the fewest digits that give it
 * params    an object, an array, or NULL to leave it out
 * ret_text  terminated; the caller frees it
 *
 * Return 0, -EINVAL (an id or params of another type, a result that is NULL, a method that is not UTF-8), or -ENOMEM
 * (also where jansson cannot write a value, such as one that holds itself).
 */
int jsonrpc_write_result(const json_t *id, const json_t *result, char **ret_text);
int jsonrpc_write_error(const json_t *id, const struct rpc_error *error, char **ret_text);
int jsonrpc_write_request(const json_t *id, const char *method, const json_t *params, char **ret_text);
int jsonrpc_write_notification(const char *method, const json_t *params, char **ret_text);

/*
 * A batch's answers, which may come in any order and at any time.
 */
struct jsonrpc_batch;

/*
 * expected   from jsonrpc_message_answers(), at least 1
 * ret_batch  the caller ends it with jsonrpc_batch_free()
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int jsonrpc_batch_new(size_t expected, struct jsonrpc_batch **ret_batch);

/*
 * Add one response.
 *
 * text  from jsonrpc_write_result() or jsonrpc_write_error(); taken over on success and on failure
 *
 * Returns the number of answers still missing (0: the batch is complete), -ENOMEM (the batch is as it was), or
 * -EINVAL (text is NULL, or the batch was complete already).
 */
int jsonrpc_batch_add(struct jsonrpc_batch *batch, char *text);

/* Bytes that the batch holds so far, for those who count a connection's memory. */
size_t jsonrpc_batch_size(const struct jsonrpc_batch *batch);

/*
 * The array of all answers, in the order in which they came.
 *
 * ret_text  terminated; the caller frees it; the batch is then empty and good for jsonrpc_batch_free() only
 *
 * Returns 0 or -EAGAIN (answers are missing).
 */
int jsonrpc_batch_steal_text(struct jsonrpc_batch *batch, char **ret_text);

/* Takes NULL. Returns NULL. */
struct jsonrpc_batch *jsonrpc_batch_free(struct jsonrpc_batch *batch);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON-RPC 2.0: reading.
 *
 * jansson parses by recursion, up to 2048 levels deep and once more when the value is freed. A peer must not choose our
 * stack's depth, so the text's nesting is counted first by a scan that knows nothing but strings and brackets: it never
 * counts fewer levels than the parser would enter.
 *
 * Entries point into the parsed JSON, of which the message keeps a reference.
 */
#include "proto/jsonrpc.h"

#include "proto/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)

/* Does the text nest deeper than that? *ret_offset: of the bracket that does. */
static bool nests_deeper(const char *text, size_t length, size_t depth, size_t *ret_offset)
{
	size_t level = 0;
	bool in_string = false;

	for (size_t i = 0; i < length; i++) {
		char byte = text[i];

		if (in_string) {
			if (byte == '\\')
				i++;
			else if (byte == '"')
				in_string = false;
		} else if (byte == '"') {
			in_string = true;
		} else if (byte == '[' || byte == '{') {
			if (++level > depth) {
				*ret_offset = i;
				return true;
			}
		} else if ((byte == ']' || byte == '}') && level > 0) {
			level--;
		}
	}

	return false;
}

int jsonrpc_load(const char *text, size_t length, size_t depth, json_t **ret_json, struct rpc_error *error)
{
	json_error_t parser;
	size_t offset;
	json_t *json;

	if (depth > JSONRPC_DEPTH_MAX)
		depth = JSONRPC_DEPTH_MAX;
	if (nests_deeper(text, length, depth, &offset))
		return rpc_error_set(error, RPC_PARSE_ERROR, "the JSON is nested deeper than %zu levels at byte %zu",
				     depth, offset);

	json = json_loadb(length ? text : "", length, LOAD_FLAGS, &parser);
	/* Where an allocation fails, jansson mostly gives up without a word. */
	if (!json && (parser.text[0] == '\0' || json_error_code(&parser) == json_error_out_of_memory))
		return rpc_error_set(error, RPC_RESOURCE_EXHAUSTED, "out of memory for a request's JSON");
	if (!json)
		return rpc_error_set(error, RPC_PARSE_ERROR, "not valid JSON: %s at byte %d", parser.text,
				     parser.position);

	*ret_json = json;
	return 0;
}

static bool is_id(const json_t *value)
{
	return json_is_string(value) || json_is_number(value) || json_is_null(value);
}

/* What makes a JSON value no request (section 4), or NULL. */
static const char *request_defect(const json_t *json)
{
	const char *version = json_string_value(json_object_get(json, "jsonrpc"));
	const json_t *params = json_object_get(json, "params");
	const json_t *id = json_object_get(json, "id");

	if (!json_is_object(json))
		return "a request must be an object";
	if (!version || strcmp(version, "2.0") != 0)
		return "the member jsonrpc must be \"2.0\"";
	if (!json_is_string(json_object_get(json, "method")))
		return "the member method must be a string";
	if (params && !json_is_object(params) && !json_is_array(params))
		return "the member params must be an object or an array";
	if (id && !is_id(id))
		return "the member id must be a string, a number or null";

	return NULL;
}

static void read_entry(json_t *json, struct jsonrpc_entry *ret_entry)
{
	const char *defect = request_defect(json);
	json_t *id = json_object_get(json, "id");

	ret_entry->json = json_incref(json);
	ret_entry->request.id = id && is_id(id) ? id : NULL;
	if (defect) {
		(void)rpc_error_set(&ret_entry->error, RPC_INVALID_REQUEST, "%s", defect);
		return;
	}
	ret_entry->request.method = json_string_value(json_object_get(json, "method"));
	ret_entry->request.params = json_object_get(json, "params");
}

static struct jsonrpc_message *message_new(size_t count, bool batch)
{
	struct jsonrpc_message *message;

	message = calloc(1, sizeof(*message) + count * sizeof(message->entries[0]));
	if (!message)
		return NULL;

	message->batch = batch;
	message->count = count;
	for (size_t i = 0; i < count; i++)
		message->entries[i].error = (struct rpc_error)RPC_ERROR_INIT;

	return message;
}

/* Is the batch answered as a whole by one error (section 6)? Then the error is set. */
static bool batch_refused(const json_t *json, const struct jsonrpc_limits *limits, struct rpc_error *error)
{
	size_t count = json_array_size(json);

	if (count == 0)
		(void)rpc_error_set(error, RPC_INVALID_REQUEST, "a batch must not be empty");
	else if (count > limits->batch)
		(void)rpc_error_set(error, RPC_INVALID_REQUEST, "a batch of %zu entries is over the limit of %zu",
				    count, limits->batch);

	return error->code != RPC_OK;
}

int jsonrpc_parse(const char *line, size_t length, const struct jsonrpc_limits *limits,
		  struct jsonrpc_message **ret_message)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct jsonrpc_message *message;
	cleanup_json json_t *json = NULL;
	bool refused, batch;

	refused = jsonrpc_load(line, length, limits->depth, &json, &error) < 0 ||
		  (json_is_array(json) && batch_refused(json, limits, &error));
	batch = !refused && json_is_array(json);

	message = message_new(batch ? json_array_size(json) : 1, batch);
	if (!message)
		return -ENOMEM;

	if (refused)
		message->entries[0].error = error;
	else if (!batch)
		read_entry(json, &message->entries[0]);
	else
		for (size_t i = 0; i < message->count; i++)
			read_entry(json_array_get(json, i), &message->entries[i]);

	*ret_message = message;
	return 0;
}

size_t jsonrpc_message_answers(const struct jsonrpc_message *message)
{
	size_t answers = 0;

	for (size_t i = 0; i < message->count; i++)
		answers += message->entries[i].error.code != RPC_OK || message->entries[i].request.id;

	return answers;
}

struct jsonrpc_message *jsonrpc_message_free(struct jsonrpc_message *message)
{
	if (!message)
		return NULL;

	for (size_t i = 0; i < message->count; i++) {
		rpc_error_release(&message->entries[i].error);
		json_decref(message->entries[i].json);
	}
	free(message);

	return NULL;
}

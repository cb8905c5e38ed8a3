/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON-RPC 2.0: writing, and the gathering of a batch's answers.
 *
 * A text is put together from the texts of its parts: building an object around a result only to write it would cost
 * an allocation a member on every answer. The order of the members is the one that the specification's examples have.
 */
#include "proto/jsonrpc.h"

#include "proto/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY)

/*
 * A real number with the fewest digits that read back as the same value: a client that sent 0.1 gets 0.1, where the
 * seventeen digits that jansson writes would give 0.10000000000000001.
 */
static int write_real(const json_t *number, char **ret_text)
{
	cleanup_free char *text = NULL;

	for (size_t digits = 1; digits <= 17; digits++) {
		cleanup_json json_t *back = NULL;

		free(text);
		text = json_dumps(number, WRITE_FLAGS | JSON_REAL_PRECISION(digits));
		if (!text)
			return -ENOMEM;
		back = json_loads(text, JSON_DECODE_ANY, NULL);
		if (json_equal(back, number))
			break;
	}

	*ret_text = steal_pointer(text);
	return 0;
}

static int write_value(const json_t *value, char **ret_text)
{
	char *text = json_dumps(value, WRITE_FLAGS);

	if (!text)
		return -ENOMEM;

	*ret_text = text;
	return 0;
}

static int write_id(const json_t *id, char **ret_text)
{
	cleanup_json json_t *null = json_null();

	if (!id)
		id = null;
	if (json_is_real(id))
		return write_real(id, ret_text);
	if (!json_is_string(id) && !json_is_integer(id) && !json_is_null(id))
		return -EINVAL;

	return write_value(id, ret_text);
}

/* {"jsonrpc":"2.0","MEMBER":VALUE,"id":ID} */
static int write_response(const json_t *id, const char *member, const json_t *value, char **ret_text)
{
	cleanup_free char *id_text = NULL, *value_text = NULL;
	char *text;
	int result;

	result = write_id(id, &id_text);
	if (result < 0)
		return result;
	result = write_value(value, &value_text);
	if (result < 0)
		return result;

	if (asprintf(&text, "{\"jsonrpc\":\"2.0\",\"%s\":%s,\"id\":%s}", member, value_text, id_text) < 0)
		return -ENOMEM;

	*ret_text = text;
	return 0;
}

int jsonrpc_write_result(const json_t *id, const json_t *result, char **ret_text)
{
	if (!result)
		return -EINVAL;

	return write_response(id, "result", result, ret_text);
}

int jsonrpc_write_error(const json_t *id, const struct rpc_error *error, char **ret_text)
{
	cleanup_json json_t *json = NULL;
	int result;

	result = rpc_error_to_json(error, &json);
	if (result < 0)
		return result;

	return write_response(id, "error", json, ret_text);
}

/* A request, or a notification where id is NULL. */
static int write_call(const json_t *id, const char *method, const json_t *params, char **ret_text)
{
	cleanup_free char *method_text = NULL, *params_text = NULL, *id_text = NULL;
	cleanup_json json_t *name = json_string(method);
	char *text;
	int result;

	if (!name || (params && !json_is_object(params) && !json_is_array(params)))
		return -EINVAL;

	result = write_value(name, &method_text);
	if (result == 0 && params)
		result = write_value(params, &params_text);
	if (result == 0 && id)
		result = write_id(id, &id_text);
	if (result < 0)
		return result;

	if (asprintf(&text, "{\"jsonrpc\":\"2.0\",\"method\":%s%s%s%s%s}", method_text,
		     params_text ? ",\"params\":" : "", params_text ? params_text : "", id_text ? ",\"id\":" : "",
		     id_text ? id_text : "") < 0)
		return -ENOMEM;

	*ret_text = text;
	return 0;
}

int jsonrpc_write_request(const json_t *id, const char *method, const json_t *params, char **ret_text)
{
	return id ? write_call(id, method, params, ret_text) : -EINVAL;
}

int jsonrpc_write_notification(const char *method, const json_t *params, char **ret_text)
{
	return write_call(NULL, method, params, ret_text);
}

struct jsonrpc_batch {
	size_t missing;
	char *text; /* "[" and the answers so far, separated by commas; terminated */
	size_t size;
	size_t capacity;
};

int jsonrpc_batch_new(size_t expected, struct jsonrpc_batch **ret_batch)
{
	struct jsonrpc_batch *batch;

	if (expected < 1 || expected > INT_MAX)
		return -EINVAL;

	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return -ENOMEM;

	batch->missing = expected;
	*ret_batch = batch;
	return 0;
}

/* Room for that many bytes more and a terminator. */
static int batch_reserve(struct jsonrpc_batch *batch, size_t length)
{
	size_t needed = batch->size + length + 1;
	size_t capacity = batch->capacity ? batch->capacity : 1024;
	char *grown;

	if (needed <= batch->capacity)
		return 0;

	while (capacity < needed)
		capacity *= 2;
	grown = realloc(batch->text, capacity);
	if (!grown)
		return -ENOMEM;
	batch->text = grown;
	batch->capacity = capacity;

	return 0;
}

int jsonrpc_batch_add(struct jsonrpc_batch *batch, char *text)
{
	cleanup_free char *owned = text;
	size_t length;

	if (!owned || batch->missing == 0)
		return -EINVAL;

	length = strlen(owned);
	if (batch_reserve(batch, length + 2) < 0)
		return -ENOMEM;

	batch->text[batch->size] = batch->size == 0 ? '[' : ',';
	memcpy(batch->text + batch->size + 1, owned, length + 1);
	batch->size += 1 + length;
	batch->missing--;
	if (batch->missing == 0) {
		batch->text[batch->size++] = ']';
		batch->text[batch->size] = '\0';
	}

	return (int)batch->missing;
}

size_t jsonrpc_batch_size(const struct jsonrpc_batch *batch)
{
	return batch->size;
}

int jsonrpc_batch_steal_text(struct jsonrpc_batch *batch, char **ret_text)
{
	if (batch->missing > 0 || !batch->text)
		return -EAGAIN;

	*ret_text = steal_pointer(batch->text);
	batch->size = 0;
	batch->capacity = 0;
	return 0;
}

struct jsonrpc_batch *jsonrpc_batch_free(struct jsonrpc_batch *batch)
{
	if (batch)
		free(batch->text);
	free(batch);

	return NULL;
}

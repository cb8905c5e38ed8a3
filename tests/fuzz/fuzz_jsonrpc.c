/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line from a client, as far as the daemon takes it before a method runs: parsed, its parameters validated, answered.
 *
 * Properties: every entry is a request or has an error; every answer is JSON that reads back with the same id; what
 * validation gives validates again and stays as it is.
 */
#include "fuzz.h"
#include "proto/device_params.h"
#include "proto/jsonrpc.h"
#include "proto/method.h"

#include <string.h>

/* Objects of every kind, whether or not a method takes them. */
static const struct param boot_params[] = {
	PARAM_DRIVES, PARAM_NET, PARAM_VSOCK, PARAM_RNG, PARAM_BALLOON, PARAM_METADATA, PARAMS_END,
};
static const struct param restore_params[] = { PARAM_RESTORE_DRIVES, PARAM_RESTORE_NET, PARAM_VSOCK, PARAMS_END };
static const struct method device_methods[] = {
	{ .name = "devices.boot", .role = ROLE_RUN, .params = boot_params },
	{ .name = "devices.restore", .role = ROLE_RUN, .params = restore_params },
};

/* An answer reads back as one JSON text on one line, with the id that the request had. */
static void check_answer(const char *text, const json_t *id)
{
	json_t *answer = NULL;
	const json_t *answer_id;

	FUZZ_CHECK(strchr(text, '\n') == NULL);
	FUZZ_CHECK(jsonrpc_load(text, strlen(text), JSONRPC_DEPTH_MAX, &answer, NULL) == 0);
	answer_id = json_object_get(answer, "id");
	FUZZ_CHECK(id ? json_equal(id, answer_id) : json_is_null(answer_id));
	FUZZ_CHECK(!json_object_get(answer, "result") != !json_object_get(answer, "error"));
	json_decref(answer);
}

static void answer_error(const json_t *id, const struct rpc_error *error)
{
	char *text = NULL;

	FUZZ_CHECK(jsonrpc_write_error(id, error, &text) == 0);
	check_answer(text, id);
	free(text);
}

static void answer_result(const json_t *id, const json_t *result)
{
	char *text = NULL;

	FUZZ_CHECK(jsonrpc_write_result(id, result, &text) == 0);
	check_answer(text, id);
	free(text);
}

static void validate(const struct method *method, const struct jsonrpc_request *request)
{
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *once = NULL, *twice = NULL;

	if (method_validate(method, request->params, &once, &error) < 0) {
		FUZZ_CHECK(error.code == RPC_INVALID_PARAMS);
		answer_error(request->id, &error);
		rpc_error_release(&error);
		return;
	}
	FUZZ_CHECK(method_validate(method, once, &twice, &error) == 0);
	FUZZ_CHECK(json_equal(once, twice));
	FUZZ_CHECK(method_check_param_roles(method, once, ROLE_ADMIN, NULL) == 0);
	(void)method_check_param_roles(method, once, ROLE_RUN, &error);
	rpc_error_release(&error);
	FUZZ_CHECK(param_deadline_ms(once) >= -1 && param_deadline_ms(once) <= METHOD_DEADLINE_MAX_MS);
	answer_result(request->id, once);
	json_decref(once);
	json_decref(twice);
}

static void serve(const struct jsonrpc_entry *entry)
{
	const struct jsonrpc_request *request = &entry->request;
	struct rpc_error error = RPC_ERROR_INIT;
	const struct method *method, *methods;
	size_t count;

	if (entry->error.code != RPC_OK) {
		FUZZ_CHECK(entry->error.message[0] != '\0');
		answer_error(request->id, &entry->error);
		return;
	}
	FUZZ_CHECK(request->method);
	if (method_lookup(request->method, &method, &error) < 0) {
		answer_error(request->id, &error);
		/* a fuzzer seldom finds a name: give its parameters to every method */
		methods = method_table(&count);
		for (size_t i = 0; i < count; i++)
			validate(&methods[i], request);
		for (size_t i = 0; i < sizeof(device_methods) / sizeof(device_methods[0]); i++)
			validate(&device_methods[i], request);
	} else {
		validate(method, request);
	}
	rpc_error_release(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct jsonrpc_limits limits = { .depth = 16, .batch = 8 };
	struct jsonrpc_message *message = NULL;
	size_t answers = 0;

	FUZZ_CHECK(jsonrpc_parse((const char *)data, size, &limits, &message) == 0);
	FUZZ_CHECK(message->count >= 1 && message->count <= limits.batch);
	FUZZ_CHECK(message->batch || message->count == 1);
	for (size_t i = 0; i < message->count; i++) {
		answers += message->entries[i].error.code != RPC_OK || message->entries[i].request.id;
		serve(&message->entries[i]);
	}
	FUZZ_CHECK(answers == jsonrpc_message_answers(message));
	(void)jsonrpc_message_free(message);

	return 0;
}

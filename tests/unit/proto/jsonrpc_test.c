/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON-RPC 2.0, section by section. serve() is a small server over the functions under test: it knows the methods of
 * the specification's examples, so that each example can be held against the text that the specification prints.
 */
#include "proto/jsonrpc.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct jsonrpc_limits limits = JSONRPC_LIMITS_DEFAULT;

static struct jsonrpc_message *parse(const char *line, size_t length)
{
	struct jsonrpc_message *message = NULL;
	char *exact = malloc(length ? length : 1); /* of the exact size, so that a sanitizer sees a byte read too far */

	memcpy(exact, line, length);
	cr_assert_eq(jsonrpc_parse(exact, length, &limits, &message), 0);
	cr_assert_geq(message->count, 1);
	free(exact);

	return message;
}

/* ---- the specification's examples (section 7) ---- */

static json_int_t number_at(const json_t *params, const char *name, size_t index)
{
	return json_integer_value(json_is_array(params) ? json_array_get(params, index)
							: json_object_get(params, name));
}

static json_t *run(const struct jsonrpc_request *request)
{
	if (strcmp(request->method, "subtract") == 0)
		return json_integer(number_at(request->params, "minuend", 0) -
				    number_at(request->params, "subtrahend", 1));
	if (strcmp(request->method, "sum") == 0)
		return json_integer(number_at(request->params, "", 0) + number_at(request->params, "", 1) +
				    number_at(request->params, "", 2));
	if (strcmp(request->method, "get_data") == 0)
		return json_pack("[s, i]", "hello", 5);

	return NULL;
}

/* The answer to an entry, or NULL for a notification. */
static char *answer_entry(const struct jsonrpc_entry *entry)
{
	struct rpc_error error = RPC_ERROR_INIT;
	char *text = NULL;
	json_t *result;

	if (entry->error.code != RPC_OK) {
		cr_assert_eq(jsonrpc_write_error(entry->request.id, &entry->error, &text), 0);
		return text;
	}
	result = run(&entry->request);
	if (!entry->request.id) {
		json_decref(result);
		return NULL;
	}
	if (result) {
		cr_assert_eq(jsonrpc_write_result(entry->request.id, result, &text), 0);
	} else {
		(void)rpc_error_set(&error, RPC_METHOD_NOT_FOUND, "Method not found");
		cr_assert_eq(jsonrpc_write_error(entry->request.id, &error, &text), 0);
	}
	json_decref(result);

	return text;
}

static char *answer_batch(const struct jsonrpc_message *message)
{
	size_t answers = jsonrpc_message_answers(message);
	struct jsonrpc_batch *batch = NULL;
	char *text = NULL;

	if (answers == 0)
		return NULL;

	cr_assert_eq(jsonrpc_batch_new(answers, &batch), 0);
	for (size_t i = 0; i < message->count; i++) {
		char *answer = answer_entry(&message->entries[i]);

		cr_assert_eq(jsonrpc_batch_steal_text(batch, &text), -EAGAIN);
		if (answer)
			cr_assert_eq(jsonrpc_batch_add(batch, answer), (int)--answers);
		if (answers == 0)
			break;
	}
	cr_assert_eq(jsonrpc_batch_steal_text(batch, &text), 0);
	(void)jsonrpc_batch_free(batch);

	return text;
}

/* What the server answers to a line; "" for nothing. The caller frees it. */
static char *serve(const char *line)
{
	struct jsonrpc_message *message = parse(line, strlen(line));
	char *text = message->batch ? answer_batch(message) : answer_entry(&message->entries[0]);

	(void)jsonrpc_message_free(message);

	return text ? text : strdup("");
}

/* Drop what the specification leaves to us: the message's words and data. Leaves code, id and jsonrpc. */
static void strip_errors(json_t *answer)
{
	json_t *error = json_object_get(answer, "error"), *item;
	size_t i;

	if (json_is_array(answer)) {
		json_array_foreach(answer, i, item) {
			strip_errors(item);
		}
	}
	if (!error)
		return;
	cr_assert_str_not_empty(json_string_value(json_object_get(error, "message")));
	cr_assert(json_is_string(json_object_get(json_object_get(error, "data"), "status")));
	(void)json_object_del(error, "message");
	(void)json_object_del(error, "data");
}

static const struct {
	const char *line;
	const char *answer; /* errors without message; "" for none */
} examples[] = {
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [42, 23], \"id\": 1}",
	  "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 1}" },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [23, 42], \"id\": 2}",
	  "{\"jsonrpc\": \"2.0\", \"result\": -19, \"id\": 2}" },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": {\"subtrahend\": 23, \"minuend\": 42}, \"id\": 3}",
	  "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 3}" },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": {\"minuend\": 42, \"subtrahend\": 23}, \"id\": 4}",
	  "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 4}" },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"update\", \"params\": [1,2,3,4,5]}", "" },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"foobar\"}", "" },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"foobar\", \"id\": \"1\"}",
	  "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32601}, \"id\": \"1\"}" },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"foobar, \"params\": \"bar\", \"baz]",
	  "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32700}, \"id\": null}" },
	{ "{\"jsonrpc\": \"2.0\", \"method\": 1, \"params\": \"bar\"}",
	  "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null}" },
	{ "[{\"jsonrpc\": \"2.0\", \"method\": \"sum\", \"params\": [1,2,4], \"id\": \"1\"},"
	  "{\"jsonrpc\": \"2.0\", \"method\"]",
	  "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32700}, \"id\": null}" },
	{ "[]", "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null}" },
	{ "[1]", "[{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null}]" },
	{ "[1,2,3]", "[{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null},"
		     "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null},"
		     "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null}]" },
	{ "[{\"jsonrpc\": \"2.0\", \"method\": \"sum\", \"params\": [1,2,4], \"id\": \"1\"},"
	  "{\"jsonrpc\": \"2.0\", \"method\": \"notify_hello\", \"params\": [7]},"
	  "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [42,23], \"id\": \"2\"},"
	  "{\"foo\": \"boo\"},"
	  "{\"jsonrpc\": \"2.0\", \"method\": \"foo.get\", \"params\": {\"name\": \"myself\"}, \"id\": \"5\"},"
	  "{\"jsonrpc\": \"2.0\", \"method\": \"get_data\", \"id\": \"9\"}]",
	  "[{\"jsonrpc\": \"2.0\", \"result\": 7, \"id\": \"1\"}, {\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": \"2\"},"
	  "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null},"
	  "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32601}, \"id\": \"5\"},"
	  "{\"jsonrpc\": \"2.0\", \"result\": [\"hello\", 5], \"id\": \"9\"}]" },
	{ "[{\"jsonrpc\": \"2.0\", \"method\": \"notify_sum\", \"params\": [1,2,4]},"
	  "{\"jsonrpc\": \"2.0\", \"method\": \"notify_hello\", \"params\": [7]}]",
	  "" },
	/* beyond the specification's examples: an id that can be told is given back with an invalid request */
	{ "{\"jsonrpc\": \"2.0\", \"method\": 1, \"id\": 8}",
	  "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": 8}" },
	{ "[{\"jsonrpc\": \"2.0\", \"method\": \"get_data\"}, [], {\"id\": \"x\"}]",
	  "[{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null},"
	  "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": \"x\"}]" },
};

Test(jsonrpc_examples, are_answered_as_the_specification_prints)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		char *text = serve(examples[i].line);
		json_t *answer, *expected;

		cr_assert_null(strchr(text, '\n'));
		if (examples[i].answer[0] == '\0') {
			cr_assert_str_empty(text, "%s", examples[i].line);
		} else {
			answer = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
			expected = json_loads(examples[i].answer, 0, NULL);
			cr_assert_not_null(answer, "%s", text);
			cr_assert_not_null(expected);
			strip_errors(answer);
			cr_assert(json_equal(answer, expected), "%s\n%s", examples[i].line, text);
			json_decref(answer);
			json_decref(expected);
		}
		free(text);
	}
}

/* ---- section 4: what is a request ---- */

static enum rpc_code code_of(const char *line, size_t length)
{
	struct jsonrpc_message *message = parse(line, length);
	enum rpc_code code = message->entries[0].error.code;

	cr_assert_not(message->batch);
	cr_assert_eq(message->count, 1);
	cr_assert_eq(jsonrpc_message_answers(message), code != RPC_OK || message->entries[0].request.id);
	if (code != RPC_OK)
		cr_assert_str_not_empty(message->entries[0].error.message);
	(void)jsonrpc_message_free(message);

	return code;
}

static void expect_code(const char *line, enum rpc_code code)
{
	cr_assert_eq(code_of(line, strlen(line)), code, "%s", line);
}

Test(jsonrpc_request, members_of_the_wrong_kind_are_an_invalid_request)
{
	static const char *const lines[] = {
		"1",
		"null",
		"true",
		"\"text\"",
		"{}",
		"{\"method\": \"a\", \"id\": 1}",
		"{\"jsonrpc\": \"1.0\", \"method\": \"a\", \"id\": 1}",
		"{\"jsonrpc\": \"2.00\", \"method\": \"a\", \"id\": 1}",
		"{\"jsonrpc\": 2.0, \"method\": \"a\", \"id\": 1}",
		"{\"jsonrpc\": null, \"method\": \"a\", \"id\": 1}",
		"{\"JSONRPC\": \"2.0\", \"method\": \"a\", \"id\": 1}",
		"{\"jsonrpc\": \"2.0\", \"id\": 1}",
		"{\"jsonrpc\": \"2.0\", \"method\": null, \"id\": 1}",
		"{\"jsonrpc\": \"2.0\", \"method\": [\"a\"], \"id\": 1}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"params\": null, \"id\": 1}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"params\": 1, \"id\": 1}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"params\": \"x\", \"id\": 1}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"params\": true, \"id\": 1}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"id\": true}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"id\": {}}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"id\": [1]}",
		"{\"jsonrpc\": \"2.0\", \"result\": 1, \"id\": 1}",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect_code(lines[i], RPC_INVALID_REQUEST);
}

Test(jsonrpc_request, text_that_is_not_json_is_a_parse_error)
{
	static const char *const lines[] = {
		" ",
		"{",
		"}",
		"[",
		"{\"a\"}",
		"{'a': 1}",
		"{\"a\": 1,}",
		"[1,]",
		"{\"a\": 1} {\"b\": 2}",
		"{\"a\": 1}x",
		"nul",
		"NaN",
		"Infinity",
		"01",
		"1.",
		".5",
		"+1",
		"0x10",
		"1e999",
		"99999999999999999999",
		"\"unterminated",
		"\"bad \\x escape\"",
		"\"tab\tinside\"",
		"\"\\ud800\"",
		"\"\\udc00\\ud800\"",
		"\"nul \\u0000\"",
		"\"\xff\"",
		"\"\xc0\xaf\"",
		"\"\xed\xa0\x80\"",
		"\"\xf4\x90\x80\x80\"",
		"\"\xe2\x82\"",
		"\xef\xbb\xbf{}",
		"{\"a\": 1, \"a\": 1}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"id\": 1, \"id\": 2}",
		"{\"jsonrpc\": \"2.0\", \"method\": \"a\", \"params\": {\"x\": 1, \"x\": 2}}",
		"/* comment */ {}",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect_code(lines[i], RPC_PARSE_ERROR);
	cr_assert_eq(code_of("", 0), RPC_PARSE_ERROR);
	cr_assert_eq(code_of("{}\0", 3), RPC_PARSE_ERROR);
	cr_assert_eq(code_of("{\"a\0b\": 1}", 10), RPC_PARSE_ERROR);
	cr_assert_eq(code_of("\0", 1), RPC_PARSE_ERROR);
}

/* Every prefix of a request but the whole is a parse error, never anything else. */
Test(jsonrpc_request, a_line_cut_anywhere_is_a_parse_error)
{
	const char *line =
		"{\"jsonrpc\":\"2.0\",\"method\":\"vm.restore\",\"params\":{\"a\":[1,\"\xe2\x82\xac\",null]},\"id\":-1.5e3}";

	for (size_t length = 0; length < strlen(line); length++)
		cr_assert_eq(code_of(line, length), RPC_PARSE_ERROR, "%.*s", (int)length, line);
	expect_code(line, RPC_OK);
}

Test(jsonrpc_request, an_id_of_null_is_a_request_and_no_id_a_notification)
{
	struct jsonrpc_message *message;
	const char *with_null = "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":null}";
	const char *without = "{\"jsonrpc\":\"2.0\",\"method\":\"a\"}";

	message = parse(with_null, strlen(with_null));
	cr_assert_eq(message->entries[0].error.code, RPC_OK);
	cr_assert(json_is_null(message->entries[0].request.id));
	cr_assert_eq(jsonrpc_message_answers(message), 1);
	(void)jsonrpc_message_free(message);

	message = parse(without, strlen(without));
	cr_assert_eq(message->entries[0].error.code, RPC_OK);
	cr_assert_null(message->entries[0].request.id);
	cr_assert_null(message->entries[0].request.params);
	cr_assert_str_eq(message->entries[0].request.method, "a");
	cr_assert_eq(jsonrpc_message_answers(message), 0);
	(void)jsonrpc_message_free(message);
}

Test(jsonrpc_request, members_that_the_specification_does_not_know_are_let_be)
{
	expect_code("{\"jsonrpc\":\"2.0\",\"method\":\"\",\"params\":{},\"id\":\"\",\"trace\":\"abc\"}", RPC_OK);
}

Test(jsonrpc_request, every_id_comes_back_as_it_was)
{
	static const char *const ids[] = {
		"0",
		"-1",
		"9223372036854775807",
		"-9223372036854775808",
		"1.5",
		"0.1",
		"-2.75",
		"1e-7",
		"1e300",
		"\"\"",
		"\"1\"",
		"\"\\u00e9\\n\\\"\"",
		"null",
		"3.141592653589793",
		"0.30000000000000004",
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char line[128], *text;
		json_t *answer, *expected = json_loads(ids[i], JSON_DECODE_ANY, NULL);

		(void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"method\":\"get_data\",\"id\":%s}", ids[i]);
		text = serve(line);
		answer = json_loads(text, 0, NULL);
		cr_assert(json_equal(json_object_get(answer, "id"), expected), "%s: %s", ids[i], text);
		json_decref(answer);
		json_decref(expected);
		free(text);
	}
}

Test(jsonrpc_request, a_fractional_id_comes_back_in_the_digits_that_it_came_in)
{
	static const char *const ids[] = { "1.5", "0.1", "-2.75", "123.456", "0.30000000000000004" };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char line[128], end[64], *text;

		(void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"method\":\"get_data\",\"id\":%s}", ids[i]);
		(void)snprintf(end, sizeof(end), ",\"id\":%s}", ids[i]);
		text = serve(line);
		cr_assert_gt(strlen(text), strlen(end));
		cr_assert_str_eq(text + strlen(text) - strlen(end), end);
		free(text);
	}
}

/* ---- limits ---- */

/* A request whose params nest so deep that its deepest array is at that level. */
static char *nested_request(size_t level, bool close)
{
	char *line = malloc(2 * level + 128), *out;

	out = line + sprintf(line, "{\"jsonrpc\":\"2.0\",\"method\":\"[{[{\\\"[\",\"id\":1,\"params\":");
	for (size_t i = 1; i < level; i++)
		*out++ = '[';
	for (size_t i = 1; close && i < level; i++)
		*out++ = ']';
	*out++ = '}';
	*out = '\0';

	return line;
}

Test(jsonrpc_limits, nesting_is_allowed_to_the_limit_and_no_deeper)
{
	char *line = nested_request(limits.depth, true);

	expect_code(line, RPC_OK);
	free(line);
	line = nested_request(limits.depth + 1, true);
	expect_code(line, RPC_PARSE_ERROR);
	free(line);
}

Test(jsonrpc_limits, a_million_brackets_are_refused_unparsed)
{
	char *line = nested_request(1000000, false);

	expect_code(line, RPC_PARSE_ERROR);
	free(line);
	line = nested_request(1000000, true);
	expect_code(line, RPC_PARSE_ERROR);
	free(line);
}

Test(jsonrpc_limits, load_has_a_ceiling_of_its_own)
{
	char text[2 * (JSONRPC_DEPTH_MAX + 1) + 1];
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *json = NULL;

	for (size_t depth = JSONRPC_DEPTH_MAX; depth <= JSONRPC_DEPTH_MAX + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		cr_assert_eq(jsonrpc_load(text, 2 * depth, SIZE_MAX, &json, &error) == 0, depth == JSONRPC_DEPTH_MAX);
	}
	cr_assert_eq(error.code, RPC_PARSE_ERROR);
	json_decref(json);
	cr_assert_eq(jsonrpc_load("[]", 2, 0, &json, NULL), -EBADMSG);
	cr_assert_eq(jsonrpc_load("7", 1, 0, &json, NULL), 0);
	json_decref(json);
}

static char *batch_of(size_t count)
{
	const char *entry = "{\"jsonrpc\":\"2.0\",\"method\":\"get_data\",\"id\":1},";
	char *line = malloc(count * strlen(entry) + 3), *out = line;

	*out++ = '[';
	for (size_t i = 0; i < count; i++)
		out = stpcpy(out, entry);
	strcpy(out - 1, "]");

	return line;
}

Test(jsonrpc_limits, a_batch_over_the_limit_gets_one_error)
{
	struct jsonrpc_message *message;
	char *line = batch_of(limits.batch);

	message = parse(line, strlen(line));
	cr_assert(message->batch);
	cr_assert_eq(jsonrpc_message_answers(message), limits.batch);
	(void)jsonrpc_message_free(message);
	free(line);

	line = batch_of(limits.batch + 1);
	expect_code(line, RPC_INVALID_REQUEST);
	free(line);
}

/* ---- section 5 and 6: answers ---- */

Test(jsonrpc_write, texts_are_what_the_specification_shows)
{
	json_t *id = json_integer(7), *value = json_pack("{s:[i,n], s:s}", "a", 1, "b", "line\n\xe2\x82\xac");
	char *text;

	cr_assert_eq(jsonrpc_write_result(id, value, &text), 0);
	cr_assert_str_eq(text,
			 "{\"jsonrpc\":\"2.0\",\"result\":{\"a\":[1,null],\"b\":\"line\\n\xe2\x82\xac\"},\"id\":7}");
	free(text);
	cr_assert_eq(jsonrpc_write_request(id, "a\"b", NULL, &text), 0);
	cr_assert_str_eq(text, "{\"jsonrpc\":\"2.0\",\"method\":\"a\\\"b\",\"id\":7}");
	free(text);
	cr_assert_eq(jsonrpc_write_notification("progress", value, &text), 0);
	cr_assert_str_eq(text, "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"a\":[1,null],\"b\":\"line\\n"
			       "\xe2\x82\xac\"}}");
	free(text);
	json_decref(id);
	json_decref(value);
}

Test(jsonrpc_write, what_cannot_be_said_is_refused)
{
	json_t *id = json_integer(7), *truth = json_true(), *text_value = json_string("x");
	char *text = NULL;

	cr_assert_eq(jsonrpc_write_result(truth, id, &text), -EINVAL);
	cr_assert_eq(jsonrpc_write_result(id, NULL, &text), -EINVAL);
	cr_assert_eq(jsonrpc_write_request(NULL, "a", NULL, &text), -EINVAL);
	cr_assert_eq(jsonrpc_write_request(id, "\xff", NULL, &text), -EINVAL);
	cr_assert_eq(jsonrpc_write_request(id, "a", text_value, &text), -EINVAL);
	cr_assert_eq(jsonrpc_write_notification("a", truth, &text), -EINVAL);
	cr_assert_null(text);
	json_decref(id);
	json_decref(text_value);
}

Test(jsonrpc_batch, gathers_answers_until_all_are_in)
{
	struct jsonrpc_batch *batch = NULL;
	char *text = NULL;

	cr_assert_eq(jsonrpc_batch_new(0, &batch), -EINVAL);
	cr_assert_eq(jsonrpc_batch_new(3, &batch), 0);
	cr_assert_eq(jsonrpc_batch_size(batch), 0);
	cr_assert_eq(jsonrpc_batch_add(batch, NULL), -EINVAL);
	cr_assert_eq(jsonrpc_batch_add(batch, strdup("{\"a\":1}")), 2);
	cr_assert_eq(jsonrpc_batch_steal_text(batch, &text), -EAGAIN);
	cr_assert_eq(jsonrpc_batch_add(batch, strdup("{}")), 1);
	cr_assert_eq(jsonrpc_batch_size(batch), 11);
	cr_assert_eq(jsonrpc_batch_add(batch, strdup("{\"b\":2}")), 0);
	cr_assert_eq(jsonrpc_batch_add(batch, strdup("{}")), -EINVAL);
	cr_assert_eq(jsonrpc_batch_steal_text(batch, &text), 0);
	cr_assert_str_eq(text, "[{\"a\":1},{},{\"b\":2}]");
	cr_assert_eq(jsonrpc_batch_steal_text(batch, &text), -EAGAIN);
	free(text);
	cr_assert_null(jsonrpc_batch_free(batch));
	cr_assert_null(jsonrpc_batch_free(NULL));
	cr_assert_null(jsonrpc_message_free(NULL));
}

Test(jsonrpc_batch, grows_to_whatever_the_answers_need)
{
	struct jsonrpc_batch *batch = NULL;
	char *text = NULL;
	json_t *array;

	cr_assert_eq(jsonrpc_batch_new(100, &batch), 0);
	for (int i = 0; i < 100; i++) {
		char *answer = malloc(1000);

		(void)snprintf(answer, 1000, "\"%0*d\"", i * 9 + 1, i);
		cr_assert_eq(jsonrpc_batch_add(batch, answer), 99 - i);
	}
	cr_assert_eq(jsonrpc_batch_steal_text(batch, &text), 0);
	array = json_loads(text, 0, NULL);
	cr_assert_eq(json_array_size(array), 100);
	for (size_t i = 0; i < 100; i++)
		cr_assert_eq(atoi(json_string_value(json_array_get(array, i))), (int)i);
	json_decref(array);
	free(text);
	(void)jsonrpc_batch_free(batch);
}

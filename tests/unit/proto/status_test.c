/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors, from where they are said to what a client reads.
 */
#include "proto/status.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The error as text, for comparison. The caller frees it. */
static char *written(const struct rpc_error *error)
{
	json_t *json = NULL;
	char *text;

	cr_assert_eq(rpc_error_to_json(error, &json), 0);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);

	return text;
}

static void expect_written(struct rpc_error *error, const char *expected)
{
	char *text = written(error);

	cr_assert_str_eq(text, expected);
	free(text);
	rpc_error_release(error);
}

Test(rpc_error, has_status_always_and_reason_where_the_code_is_special)
{
	struct rpc_error error = RPC_ERROR_INIT;

	cr_assert_eq(rpc_error_set(&error, RPC_NOT_FOUND, "There is no snapshot \"%s\"", "py312"), -ENOENT);
	expect_written(&error,
		       "{\"code\":-32025,\"message\":\"There is no snapshot \\\"py312\\\"\",\"data\":{\"status\":"
		       "\"NOT_FOUND\"}}");
	cr_assert_eq(rpc_error_set(&error, RPC_POOL_EXHAUSTED, "No slot is free"), -EAGAIN);
	error.retry_after_ms = 0;
	expect_written(&error, "{\"code\":-32001,\"message\":\"No slot is free\",\"data\":{\"status\":"
			       "\"RESOURCE_EXHAUSTED\",\"reason\":\"POOL_EXHAUSTED\",\"retry_after_ms\":0}}");
}

Test(rpc_error, carries_field_detail_and_more)
{
	struct rpc_error error = RPC_ERROR_INIT;

	cr_assert_eq(rpc_error_set_field(&error, "vcpus", "vcpus must be from 1 to 8"), -EINVAL);
	rpc_error_add_detail(&error, "KVM allows %d", 8);
	cr_assert_eq(rpc_error_add_extra(&error, "holders", json_pack("[s, s]", "vm-1", "vm-2")), 0);
	cr_assert_eq(rpc_error_add_extra(&error, "status", json_string("HACKED")), 0);
	expect_written(&error,
		       "{\"code\":-32602,\"message\":\"vcpus must be from 1 to 8\",\"data\":{\"status\":"
		       "\"INVALID_ARGUMENT\",\"reason\":\"INVALID_PARAMS\",\"field\":\"vcpus\",\"detail\":\"KVM "
		       "allows 8\",\"holders\":[\"vm-1\",\"vm-2\"]}}");
}

Test(rpc_error, a_later_error_replaces_an_earlier_one_and_may_quote_it)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set_field(&error, "path", "first");
	rpc_error_add_detail(&error, "detail");
	cr_assert_eq(rpc_error_add_extra(&error, "x", json_true()), 0);
	(void)rpc_error_set(&error, RPC_INTERNAL, "second after %s of %s", error.message, error.field);
	expect_written(&error, "{\"code\":-32033,\"message\":\"second after first of path\",\"data\":{\"status\":"
			       "\"INTERNAL\"}}");
}

Test(rpc_error, a_field_can_be_named_in_an_error_of_any_code)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, RPC_PERMISSION_DENIED, "no");
	rpc_error_add_field(&error, "path");
	expect_written(&error,
		       "{\"code\":-32027,\"message\":\"no\",\"data\":{\"status\":\"PERMISSION_DENIED\",\"field\":"
		       "\"path\"}}");
}

Test(rpc_error, without_a_message_says_what_the_code_means)
{
	struct rpc_error error = { .code = RPC_CANCELLED, .retry_after_ms = -1 };

	expect_written(&error,
		       "{\"code\":-32021,\"message\":\"The call was cancelled\",\"data\":{\"status\":\"CANCELLED\"}}");
}

Test(rpc_error, texts_that_are_too_long_or_not_utf8_still_reach_the_client)
{
	struct rpc_error error = RPC_ERROR_INIT;
	char text[2000];
	json_t *json = NULL, *data;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text + RPC_MESSAGE_SIZE - 2, "\xe2\x82\xac", 3);
	(void)rpc_error_set(&error, RPC_INTERNAL, "%s", text);
	rpc_error_add_detail(&error, "file \xff\xfe%s", text);
	rpc_error_add_field(&error, text);
	cr_assert_eq(rpc_error_to_json(&error, &json), 0);
	data = json_object_get(json, "data");
	cr_assert_eq(json_string_length(json_object_get(json, "message")), RPC_MESSAGE_SIZE - 2 + 3);
	cr_assert_eq(strncmp(json_string_value(json_object_get(data, "detail")), "file \xef\xbf\xbd\xef\xbf\xbdx", 12),
		     0);
	cr_assert_eq(json_string_length(json_object_get(data, "field")), RPC_FIELD_SIZE - 1);
	json_decref(json);
	rpc_error_release(&error);
}

Test(rpc_error, nobody_has_to_listen)
{
	cr_assert_eq(rpc_error_set(NULL, RPC_NOT_FOUND, "x"), -ENOENT);
	cr_assert_eq(rpc_error_set_field(NULL, "a", "x"), -EINVAL);
	rpc_error_add_detail(NULL, "x");
	rpc_error_add_field(NULL, "x");
	cr_assert_eq(rpc_error_add_extra(NULL, "x", json_string("owned all the same")), 0);
	cr_assert_eq(rpc_error_add_extra(NULL, "x", NULL), -ENOMEM);
	rpc_error_release(NULL);
}

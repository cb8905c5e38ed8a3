/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reasons: what an errno means by what was being done, and what a client is told of it.
 */
#include "proto/reason.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static json_t *data_of(struct rpc_error *error)
{
	json_t *json = NULL, *data;

	cr_assert_eq(rpc_error_to_json(error, &json), 0);
	data = json_incref(json_object_get(json, "data"));
	json_decref(json);
	rpc_error_release(error);

	return data;
}

Test(reason, every_reason_has_a_row)
{
	for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
		const struct reason_info *info = reason_info((enum reason)i);

		cr_expect_not_null(info->text, "reason %d", i);
		cr_expect_eq(rpc_code_info(info->code)->code, info->code, "reason %d has no code of the table", i);
		for (int j = i + 1; info->name && j < REASON_COUNT; j++)
			cr_expect(!reason_info((enum reason)j)->name ||
				  strcmp(reason_info((enum reason)j)->name, info->name) != 0);
	}
	cr_expect_eq(reason_info(REASON_NONE)->code, RPC_INTERNAL);
	cr_expect_eq(reason_info((enum reason)12345)->code, RPC_INTERNAL);
}

/* What a worker says is taken for its own only up to there. */
Test(reason, what_a_process_does_ends_in_a_reason_that_it_may_say)
{
	static const enum reason_deed deeds[] = { DEED_LOAD_SNAPSHOT, DEED_LOAD_KERNEL, DEED_BOOT,
						  DEED_RESTORE,       DEED_CAPTURE,     DEED_VM };

	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
		for (int number = 1; number < 200; number++) {
			enum reason reason = reason_of_errno(deeds[i], -number);

			cr_expect(reason > REASON_NONE && reason < REASON_OF_PROCESSES_END, "deed %d, errno %d",
				  (int)deeds[i], number);
		}
	}
}

Test(reason, one_errno_means_what_was_being_done)
{
	cr_expect_eq(reason_of_errno(DEED_RESTORE, -EOPNOTSUPP), REASON_HOST_MISMATCH);
	cr_expect_eq(reason_of_errno(DEED_LOAD_SNAPSHOT, -EOPNOTSUPP), REASON_HOST_MISMATCH);
	cr_expect_eq(reason_of_errno(DEED_BOOT, -EOPNOTSUPP), REASON_KERNEL_UNUSABLE);
	cr_expect_eq(reason_of_errno(DEED_CAPTURE, -EOPNOTSUPP), REASON_FILE_SYSTEM_LACKS);
	cr_expect_eq(reason_of_errno(DEED_PUBLISH, -EOPNOTSUPP), REASON_FILE_SYSTEM_LACKS);
	cr_expect_eq(reason_of_errno(DEED_OPEN_SNAPSHOT, -ENOENT), REASON_NOT_FOUND);
	cr_expect_eq(reason_of_errno(DEED_KNOWN_FILES, -ENOENT), REASON_SNAPSHOT_DAMAGED);
	cr_expect_eq(reason_of_errno(DEED_BOOT, -EFBIG), REASON_TOO_LARGE);
	cr_expect_eq(reason_of_errno(DEED_CAPTURE, -EFBIG), REASON_FILE_SIZE_LIMIT);
	cr_expect_eq(reason_of_errno(DEED_OPEN_PATH, -ESTALE), REASON_FILES_UNAVAILABLE);
	cr_expect_eq(reason_of_errno(DEED_QUEUE, -EAGAIN), REASON_BUSY);
	cr_expect_eq(reason_of_errno(DEED_VM, -EXFULL), REASON_FAILED);
}

Test(reason, a_client_is_told_the_reason_and_when_to_try_again)
{
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *data;

	cr_expect_eq(rpc_error_set_errno(&error, DEED_OPEN_PATH, -EMFILE, NULL), -ENOSPC);
	cr_expect_str_eq(error.message, "Too many open files");
	data = data_of(&error);
	cr_expect_str_eq(json_string_value(json_object_get(data, "status")), "RESOURCE_EXHAUSTED");
	cr_expect_str_eq(json_string_value(json_object_get(data, "reason")), "TOO_MANY_FILES");
	cr_expect_gt(json_integer_value(json_object_get(data, "retry_after_ms")), 0);
	json_decref(data);
}

/* However an error of such a code comes about, it says when to try again. */
Test(reason, a_code_that_passes_brings_its_way_out)
{
	static const enum rpc_code codes[] = { RPC_POOL_EXHAUSTED, RPC_IN_FLIGHT_LIMIT, RPC_CONNECTION_LIMIT,
					       RPC_SHAPE_FAILING };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct rpc_error error = RPC_ERROR_INIT;
		json_t *data;

		(void)rpc_error_set(&error, codes[i], "no");
		data = data_of(&error);
		cr_expect_gt(json_integer_value(json_object_get(data, "retry_after_ms")), 0, "code %d", codes[i]);
		json_decref(data);
	}
}

Test(reason, an_error_that_quotes_another_keeps_its_reason)
{
	struct rpc_error first = RPC_ERROR_INIT, second = RPC_ERROR_INIT;
	json_t *data;

	(void)rpc_error_set_reason(&first, REASON_NO_MEMORY, "none");
	first.retry_after_ms = 77;
	(void)rpc_error_set_like(&second, &first, "not read back: %s", first.message);
	cr_expect_str_eq(second.message, "not read back: none");
	data = data_of(&second);
	cr_expect_str_eq(json_string_value(json_object_get(data, "reason")), "NO_MEMORY");
	cr_expect_eq(json_integer_value(json_object_get(data, "retry_after_ms")), 77);
	json_decref(data);
	rpc_error_release(&first);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error codes and errors.
 *
 * The table has one row a code; everything that names a code (errors on the wire, the OpenRPC document, the README)
 * reads it. An error keeps its texts in arrays of its own, so that saying what went wrong cannot itself fail where
 * memory is short; only its way to JSON allocates.
 */
#include "proto/status.h"

#include "proto/cleanup.h"
#include "proto/text_encoding.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct rpc_code_info codes[] = {
	{ RPC_PARSE_ERROR, EBADMSG, "INVALID_ARGUMENT", "PARSE_ERROR", -1,
	  "The line is not JSON, or goes beyond a limit of the parser" },
	{ RPC_INVALID_REQUEST, EPROTO, "INVALID_ARGUMENT", "INVALID_REQUEST", -1,
	  "The JSON is not a JSON-RPC 2.0 request" },
	{ RPC_METHOD_NOT_FOUND, ENOSYS, "UNIMPLEMENTED", "METHOD_NOT_FOUND", -1, "There is no such method" },
	{ RPC_INVALID_PARAMS, EINVAL, "INVALID_ARGUMENT", "INVALID_PARAMS", -1,
	  "A parameter is missing, unknown, mistyped or out of range; field names it" },
	{ RPC_INTERNAL_ERROR, EIO, "INTERNAL", "INTERNAL_ERROR", -1, "The daemon could not form an answer" },

	{ RPC_POOL_EXHAUSTED, EAGAIN, "RESOURCE_EXHAUSTED", "POOL_EXHAUSTED", 100,
	  "No slot is free and the request could not queue; retry_after_ms says when to try again" },
	{ RPC_DRAINING, ESHUTDOWN, "UNAVAILABLE", "DRAINING", -1, "The daemon is stopping and starts no VM" },
	{ RPC_IN_FLIGHT_LIMIT, EBUSY, "RESOURCE_EXHAUSTED", "IN_FLIGHT_LIMIT", 100,
	  "Too many calls are open on this connection" },
	{ RPC_CONNECTION_LIMIT, EUSERS, "RESOURCE_EXHAUSTED", "CONNECTION_LIMIT", 1000,
	  "Too many connections are open; the daemon closes this one" },
	{ RPC_WORKER_DIED, EOWNERDEAD, "UNAVAILABLE", "WORKER_DIED", -1,
	  "The process that served the request ended before it answered" },
	{ RPC_HOST_MISMATCH, ENOTSUP, "FAILED_PRECONDITION", "HOST_MISMATCH", -1,
	  "This host cannot give back what the snapshot holds; detail says what differs" },
	{ RPC_SNAPSHOT_IN_USE, EBUSY, "FAILED_PRECONDITION", "SNAPSHOT_IN_USE", -1,
	  "VMs run from the snapshot; holders names them" },
	{ RPC_SNAPSHOT_DAMAGED, EILSEQ, "DATA_LOSS", "SNAPSHOT_DAMAGED", -1,
	  "A file of the snapshot is missing, cut short, altered or of an unknown format" },
	{ RPC_WRONG_VM_STATE, EBUSY, "FAILED_PRECONDITION", "WRONG_VM_STATE", -1,
	  "The VM is not in a state that allows this" },
	{ RPC_SHAPE_FAILING, EAGAIN, "UNAVAILABLE", "SHAPE_FAILING", 1000,
	  "Workers of this shape keep dying while they are built; detail has the last reason" },
	{ RPC_KERNEL_IN_USE, EBUSY, "FAILED_PRECONDITION", "KERNEL_IN_USE", -1,
	  "VMs run the kernel; holders names them" },

	{ RPC_CANCELLED, ECANCELED, "CANCELLED", NULL, -1, "The call was cancelled" },
	{ RPC_UNKNOWN, EIO, "UNKNOWN", NULL, -1, "Something failed in a way that has no code" },
	{ RPC_INVALID_ARGUMENT, EINVAL, "INVALID_ARGUMENT", NULL, -1,
	  "A parameter is well formed but does not name something that can be used" },
	{ RPC_DEADLINE_EXCEEDED, ETIMEDOUT, "DEADLINE_EXCEEDED", NULL, -1,
	  "deadline_ms passed before the call was done" },
	{ RPC_NOT_FOUND, ENOENT, "NOT_FOUND", NULL, -1, "There is no such VM, snapshot, kernel or call" },
	{ RPC_ALREADY_EXISTS, EEXIST, "ALREADY_EXISTS", NULL, -1, "The name is taken" },
	{ RPC_PERMISSION_DENIED, EACCES, "PERMISSION_DENIED", NULL, -1,
	  "The peer's role does not allow the call, or one of its parameters" },
	{ RPC_RESOURCE_EXHAUSTED, ENOSPC, "RESOURCE_EXHAUSTED", NULL, -1, "A limit was reached, or the disk is full" },
	{ RPC_FAILED_PRECONDITION, EPERM, "FAILED_PRECONDITION", NULL, -1,
	  "The state of things does not allow this now" },
	{ RPC_ABORTED, EINTR, "ABORTED", NULL, 100, "Another call got in the way; it can be tried again" },
	{ RPC_OUT_OF_RANGE, ERANGE, "OUT_OF_RANGE", NULL, -1, "An offset lies beyond what there is" },
	{ RPC_UNIMPLEMENTED, ENOSYS, "UNIMPLEMENTED", NULL, -1, "This host or this build cannot do that" },
	{ RPC_INTERNAL, EIO, "INTERNAL", NULL, -1, "The daemon or its host failed; detail says how" },
	{ RPC_UNAVAILABLE, EAGAIN, "UNAVAILABLE", NULL, 1000, "The service cannot answer now; it can be tried again" },
	{ RPC_DATA_LOSS, EILSEQ, "DATA_LOSS", NULL, -1, "Data is lost or damaged" },
	{ RPC_UNAUTHENTICATED, EACCES, "UNAUTHENTICATED", NULL, -1, "The peer could not be identified" },
};

#define CODE_COUNT (sizeof(codes) / sizeof(codes[0]))

const struct rpc_code_info *rpc_code_table(size_t *ret_count)
{
	*ret_count = CODE_COUNT;

	return codes;
}

const struct rpc_code_info *rpc_code_info(enum rpc_code code)
{
	const struct rpc_code_info *unknown = NULL;

	for (size_t i = 0; i < CODE_COUNT; i++) {
		if (codes[i].code == code)
			return &codes[i];
		if (codes[i].code == RPC_UNKNOWN)
			unknown = &codes[i];
	}

	return unknown;
}

/* The message may be built from the error's own texts, so they are replaced only once it is formed. */
__attribute__((format(printf, 4, 0))) static int error_set(struct rpc_error *error, enum rpc_code code,
							   const char *field, const char *format, va_list arguments)
{
	struct rpc_error fresh = RPC_ERROR_INIT;

	if (!error)
		return -rpc_code_info(code)->error_number;

	fresh.code = code;
	(void)vsnprintf(fresh.message, sizeof(fresh.message), format, arguments);
	if (field)
		(void)snprintf(fresh.field, sizeof(fresh.field), "%s", field);
	rpc_error_release(error);
	*error = fresh;

	return -rpc_code_info(code)->error_number;
}

int rpc_error_set(struct rpc_error *error, enum rpc_code code, const char *format, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, format);
	result = error_set(error, code, NULL, format, arguments);
	va_end(arguments);

	return result;
}

int rpc_error_set_field(struct rpc_error *error, const char *field, const char *format, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, format);
	result = error_set(error, RPC_INVALID_PARAMS, field, format, arguments);
	va_end(arguments);

	return result;
}

void rpc_error_add_field(struct rpc_error *error, const char *field)
{
	if (error)
		(void)snprintf(error->field, sizeof(error->field), "%s", field);
}

void rpc_error_add_detail(struct rpc_error *error, const char *format, ...)
{
	va_list arguments;

	if (!error)
		return;

	va_start(arguments, format);
	(void)vsnprintf(error->detail, sizeof(error->detail), format, arguments);
	va_end(arguments);
}

int rpc_error_add_extra(struct rpc_error *error, const char *name, json_t *value)
{
	cleanup_json json_t *owned = value;

	if (!owned)
		return -ENOMEM;
	if (!error)
		return 0;

	if (!error->extra)
		error->extra = json_object();
	if (!error->extra || json_object_set_new(error->extra, name, steal_pointer(owned)) < 0)
		return -ENOMEM;

	return 0;
}

/* Texts come from file names, guests and libraries: what is not UTF-8 in them must not cost the client its answer. */
static int set_text(json_t *object, const char *name, const char *text)
{
	cleanup_free char *clean = NULL;
	int result;

	if (!text || text[0] == '\0')
		return 0;

	result = utf8_lossy((const uint8_t *)text, strlen(text), &clean, NULL);
	if (result < 0)
		return result;

	return json_object_set_new(object, name, json_string(clean)) < 0 ? -ENOMEM : 0;
}

static int error_data(const struct rpc_error *error, json_t **ret_data)
{
	const struct rpc_code_info *info = rpc_code_info(error->code);
	const char *reason = error->reason ? error->reason : info->reason;
	int64_t retry_after_ms = error->retry_after_ms >= 0 ? error->retry_after_ms : info->retry_ms;
	cleanup_json json_t *data = json_object();

	if (!data || set_text(data, "status", info->status) < 0 || set_text(data, "reason", reason) < 0 ||
	    set_text(data, "field", error->field) < 0 || set_text(data, "detail", error->detail) < 0)
		return -ENOMEM;
	if (retry_after_ms >= 0 && json_object_set_new(data, "retry_after_ms", json_integer(retry_after_ms)) < 0)
		return -ENOMEM;
	if (error->extra && json_object_update_missing(data, error->extra) < 0)
		return -ENOMEM;

	*ret_data = steal_pointer(data);
	return 0;
}

int rpc_error_to_json(const struct rpc_error *error, json_t **ret_json)
{
	cleanup_json json_t *json = json_object(), *data = NULL;
	const char *message = error->message[0] != '\0' ? error->message : rpc_code_info(error->code)->meaning;
	int result;

	result = error_data(error, &data);
	if (result < 0)
		return result;
	if (!json || json_object_set_new(json, "code", json_integer(error->code)) < 0 ||
	    set_text(json, "message", message) < 0 || json_object_set_new(json, "data", steal_pointer(data)) < 0)
		return -ENOMEM;

	*ret_json = steal_pointer(json);
	return 0;
}

void rpc_error_release(struct rpc_error *error)
{
	if (!error)
		return;

	json_decref(error->extra);
	*error = (struct rpc_error)RPC_ERROR_INIT;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of reasons, and the rules by which an errno becomes one.
 *
 * The rules are rows of errno, deeds and reason; the first that fits holds. A number means what it means by what was being done:
 * ENOENT is no snapshot where a client names a path, and damage where the snapshot was fine before.
 */
#include "proto/reason.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct reason_info reasons[REASON_COUNT] = {
	[REASON_FAILED] = { NULL, RPC_INTERNAL, -1, "The daemon or its host failed" },
	[REASON_INVALID_ARGUMENT] = { NULL, RPC_INVALID_ARGUMENT, -1, "What a parameter names cannot be used" },
	[REASON_TOO_LARGE] = { "TOO_LARGE", RPC_INVALID_ARGUMENT, -1,
			       "An image, a kernel, an initrd or a text is larger than what it is for has room for" },
	[REASON_KERNEL_UNUSABLE] = { "KERNEL_UNUSABLE", RPC_INVALID_ARGUMENT, -1,
				     "The file is no kernel that can be booted here" },
	[REASON_SNAPSHOT_DAMAGED] = { NULL, RPC_SNAPSHOT_DAMAGED, -1,
				      "A file of the snapshot is missing, cut short or altered" },
	[REASON_FORMAT_UNKNOWN] = { "FORMAT_UNKNOWN", RPC_FAILED_PRECONDITION, -1,
				    "The snapshot is of a version of the format that this daemon does not know" },
	[REASON_HOST_MISMATCH] = { NULL, RPC_HOST_MISMATCH, -1, "This host cannot give back what the snapshot holds" },
	[REASON_FILE_SYSTEM_LACKS] = { "FILE_SYSTEM_LACKS", RPC_FAILED_PRECONDITION, -1,
				       "The file system cannot do what is needed of it; use another one" },
	[REASON_NO_SPACE] = { "NO_SPACE", RPC_RESOURCE_EXHAUSTED, -1, "The file system is full" },
	[REASON_QUOTA_REACHED] = { "QUOTA_REACHED", RPC_RESOURCE_EXHAUSTED, -1, "A disk quota is used up" },
	[REASON_FILE_SIZE_LIMIT] = { "FILE_SIZE_LIMIT", RPC_RESOURCE_EXHAUSTED, -1,
				     "A file would be longer than the daemon (RLIMIT_FSIZE) or its file system may write" },
	[REASON_NO_MEMORY] = { "NO_MEMORY", RPC_RESOURCE_EXHAUSTED, 1000, "The host or a limit leaves no memory" },
	[REASON_TOO_MANY_FILES] = { "TOO_MANY_FILES", RPC_RESOURCE_EXHAUSTED, 1000,
				    "The daemon or its host has too many files open (RLIMIT_NOFILE)" },
	[REASON_IO_ERROR] = { "IO_ERROR", RPC_INTERNAL, -1, "A disk could not be read or written" },
	[REASON_FILES_UNAVAILABLE] = { "FILES_UNAVAILABLE", RPC_UNAVAILABLE, 1000,
				       "A file system does not answer, or not now: its server or its device is away" },
	[REASON_NOT_PERMITTED] = { "NOT_PERMITTED", RPC_FAILED_PRECONDITION, -1,
				   "The daemon's user may not open or change a file" },
	[REASON_READ_ONLY] = { "READ_ONLY", RPC_FAILED_PRECONDITION, -1, "The file system is mounted read-only" },
	[REASON_IN_USE] = { "IN_USE", RPC_FAILED_PRECONDITION, -1, "Something that cannot be shared is in use" },
	[REASON_WRONG_VM_STATE] = { NULL, RPC_WRONG_VM_STATE, -1, "The VM is not in a state that allows this" },
	[REASON_NO_DEVICE] = { "NO_DEVICE", RPC_FAILED_PRECONDITION, -1, "The VM has no such device" },
	[REASON_NOT_FOUND] = { NULL, RPC_NOT_FOUND, -1, "There is nothing of this name" },
	[REASON_ALREADY_EXISTS] = { NULL, RPC_ALREADY_EXISTS, -1, "The name is taken" },
	[REASON_BUSY] = { "BUSY", RPC_RESOURCE_EXHAUSTED, 100, "A queue of the daemon is full" },
	[REASON_POOL_EXHAUSTED] = { NULL, RPC_POOL_EXHAUSTED, -1, "No slot is free and the request could not queue" },
	[REASON_SHAPE_FAILING] = { NULL, RPC_SHAPE_FAILING, -1,
				   "Workers of this shape keep dying while they are built" },
	[REASON_CRASHING] = { "CRASHING", RPC_UNAVAILABLE, 1000,
			      "VMs that run the same, or VMs of the same user, crash too often: further ones have to wait" },
	[REASON_WORKER_DIED] = { NULL, RPC_WORKER_DIED, -1, "The process that served the request ended" },
	[REASON_DRAINING] = { NULL, RPC_DRAINING, -1, "The daemon is stopping" },
	[REASON_IN_FLIGHT_LIMIT] = { NULL, RPC_IN_FLIGHT_LIMIT, -1, "Too many calls are open on this connection" },
	[REASON_CONNECTION_LIMIT] = { NULL, RPC_CONNECTION_LIMIT, -1, "Too many connections are open" },
	[REASON_CANCELLED] = { NULL, RPC_CANCELLED, -1, "The call was cancelled" },
	[REASON_DEADLINE_EXCEEDED] = { NULL, RPC_DEADLINE_EXCEEDED, -1, "The deadline passed" },
};

const struct reason_info *reason_info(enum reason reason)
{
	return &reasons[reason > REASON_NONE && reason < REASON_COUNT ? reason : REASON_FAILED];
}

__attribute__((format(printf, 5, 0))) static int set_with(struct rpc_error *error, enum rpc_code code,
							  const char *reason, int64_t retry_after_ms,
							  const char *format, va_list arguments)
{
	char message[RPC_MESSAGE_SIZE];
	int number;

	(void)vsnprintf(message, sizeof(message), format, arguments);
	number = rpc_error_set(error, code, "%s", message);
	if (error) {
		error->reason = reason;
		error->retry_after_ms = retry_after_ms;
	}
	return number;
}

int rpc_error_set_reason(struct rpc_error *error, enum reason reason, const char *format, ...)
{
	const struct reason_info *info = reason_info(reason);
	va_list arguments;
	int number;

	va_start(arguments, format);
	number = set_with(error, info->code, info->name, info->retry_ms, format, arguments);
	va_end(arguments);
	return number;
}

int rpc_error_set_like(struct rpc_error *error, const struct rpc_error *other, const char *format, ...)
{
	va_list arguments;
	int number;

	va_start(arguments, format);
	number = set_with(error, other->code, other->reason, other->retry_after_ms, format, arguments);
	va_end(arguments);
	return number;
}

/* ---- from errno ---- */

#define BIT(deed) (UINT32_C(1) << (deed))
#define ANY       UINT32_MAX
#define PATHS     (BIT(DEED_OPEN_PATH) | BIT(DEED_LISTEN_PATH) | BIT(DEED_OPEN_SNAPSHOT) | BIT(DEED_PUBLISH))
#define SNAPSHOTS (BIT(DEED_KNOWN_FILES) | BIT(DEED_LOAD_SNAPSHOT) | BIT(DEED_RESTORE))
#define WRITES    (BIT(DEED_PUBLISH) | BIT(DEED_CAPTURE))
#define FILES     (PATHS | BIT(DEED_CAPTURE)) /* PATHS and WRITES */
#define KERNELS   (BIT(DEED_LOAD_KERNEL) | BIT(DEED_BOOT))

static const struct rule {
	int number;
	uint32_t deeds;
	enum reason reason;
} rules[] = {
	{ ENOENT, BIT(DEED_KNOWN_FILES) | BIT(DEED_LOAD_SNAPSHOT), REASON_SNAPSHOT_DAMAGED },
	{ ENOENT, BIT(DEED_LISTEN_PATH), REASON_INVALID_ARGUMENT },
	{ ENOENT, PATHS, REASON_NOT_FOUND },
	{ EEXIST, PATHS, REASON_ALREADY_EXISTS },
	{ EADDRINUSE, PATHS, REASON_ALREADY_EXISTS },

	/* a path that leads to something else than was meant */
	{ EISDIR, BIT(DEED_KNOWN_FILES), REASON_SNAPSHOT_DAMAGED },
	{ ELOOP, BIT(DEED_KNOWN_FILES), REASON_SNAPSHOT_DAMAGED },
	{ ENOTDIR, BIT(DEED_KNOWN_FILES), REASON_SNAPSHOT_DAMAGED },
	{ ENAMETOOLONG, BIT(DEED_KNOWN_FILES), REASON_SNAPSHOT_DAMAGED },
	{ EISDIR, ANY, REASON_INVALID_ARGUMENT },
	{ ELOOP, ANY, REASON_INVALID_ARGUMENT },
	{ ENOTDIR, ANY, REASON_INVALID_ARGUMENT },
	{ ENAMETOOLONG, ANY, REASON_INVALID_ARGUMENT },
	{ ENXIO, PATHS, REASON_INVALID_ARGUMENT },
	{ ENODEV, PATHS, REASON_INVALID_ARGUMENT },
	{ ENODEV, BIT(DEED_VM), REASON_NO_DEVICE },

	/* content that is not what it should be */
	{ EBADMSG, SNAPSHOTS | BIT(DEED_OPEN_SNAPSHOT), REASON_SNAPSHOT_DAMAGED },
	{ ENODATA, SNAPSHOTS | BIT(DEED_OPEN_SNAPSHOT), REASON_SNAPSHOT_DAMAGED },
	{ EBADMSG, KERNELS, REASON_KERNEL_UNUSABLE },
	{ ENODATA, BIT(DEED_LOAD_KERNEL), REASON_KERNEL_UNUSABLE },
	{ ENODATA, ANY, REASON_INVALID_ARGUMENT },
	{ ENOEXEC, KERNELS, REASON_KERNEL_UNUSABLE },
	{ EPROTONOSUPPORT, SNAPSHOTS, REASON_FORMAT_UNKNOWN },
	{ EINVAL, BIT(DEED_KNOWN_FILES), REASON_SNAPSHOT_DAMAGED },
	{ EINVAL, BIT(DEED_LOAD_KERNEL), REASON_KERNEL_UNUSABLE },
	{ EINVAL, ~BIT(DEED_QUEUE), REASON_INVALID_ARGUMENT },
	{ EFAULT, ~BIT(DEED_QUEUE), REASON_INVALID_ARGUMENT },

	/* what this host, or a file system of it, does not have */
	{ EOPNOTSUPP, SNAPSHOTS, REASON_HOST_MISMATCH },
	{ EOPNOTSUPP, KERNELS, REASON_KERNEL_UNUSABLE },
	{ EOPNOTSUPP, FILES, REASON_FILE_SYSTEM_LACKS },
	{ ENOSYS, FILES, REASON_FILE_SYSTEM_LACKS },

	/* sizes and resources */
	{ EFBIG, BIT(DEED_KNOWN_FILES), REASON_SNAPSHOT_DAMAGED },
	{ EFBIG, WRITES, REASON_FILE_SIZE_LIMIT },
	{ EFBIG, ANY, REASON_TOO_LARGE },
	{ E2BIG, ANY, REASON_TOO_LARGE },
	{ ENOSPC, ANY, REASON_NO_SPACE },
	{ EDQUOT, ANY, REASON_QUOTA_REACHED },
	{ ENOMEM, ANY, REASON_NO_MEMORY },
	{ EMFILE, ANY, REASON_TOO_MANY_FILES },
	{ ENFILE, ANY, REASON_TOO_MANY_FILES },
	{ EAGAIN, ANY, REASON_BUSY },
	{ ENOBUFS, ANY, REASON_BUSY },
	{ ESHUTDOWN, BIT(DEED_QUEUE), REASON_DRAINING },

	/* what may pass */
	{ EBUSY, PATHS | BIT(DEED_BOOT) | BIT(DEED_RESTORE), REASON_IN_USE },
	{ ENOTEMPTY, PATHS, REASON_IN_USE },
	{ ETXTBSY, ANY, REASON_IN_USE },
	{ EBUSY, ANY, REASON_WRONG_VM_STATE },
	{ ESHUTDOWN, ANY, REASON_WRONG_VM_STATE },
	{ EACCES, ANY, REASON_NOT_PERMITTED },
	{ EPERM, ANY, REASON_NOT_PERMITTED },
	{ EROFS, ANY, REASON_READ_ONLY },
	{ EIO, BIT(DEED_KNOWN_FILES) | BIT(DEED_LOAD_SNAPSHOT) | BIT(DEED_OPEN_SNAPSHOT), REASON_SNAPSHOT_DAMAGED },
	{ EIO, ANY, REASON_IO_ERROR },
	{ ESTALE, ANY, REASON_FILES_UNAVAILABLE },
	{ ETIMEDOUT, ANY, REASON_FILES_UNAVAILABLE },
	{ ENOTCONN, ANY, REASON_FILES_UNAVAILABLE },
	{ ECONNABORTED, ANY, REASON_FILES_UNAVAILABLE },
	{ EHOSTDOWN, ANY, REASON_FILES_UNAVAILABLE },
	{ EREMOTEIO, ANY, REASON_FILES_UNAVAILABLE },
};

enum reason reason_of_errno(enum reason_deed deed, int number)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].number == -number && (rules[i].deeds & BIT(deed)))
			return rules[i].reason;

	return REASON_FAILED;
}

int rpc_error_set_errno(struct rpc_error *error, enum reason_deed deed, int number, const char *text)
{
	if (!text || text[0] == '\0')
		text = strerrordesc_np(-number);

	return rpc_error_set_reason(error, reason_of_errno(deed, number), "%s", text ? text : "unknown error");
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something failed: one table from reason to code, and one from errno to reason.
 *
 * A code (proto/status.h) tells a client's program what kind of answer it has got. A reason says what happened, and names exactly
 * one code. Whoever finds that something failed gives the reason, since only there it is known what was being done: a worker and the
 * loader send it with their refusals, and the daemon takes it from errno and the deed. Nobody guesses at an errno that came from afar.
 */
#ifndef EMBER_PROTO_REASON_H
#define EMBER_PROTO_REASON_H

#include <stddef.h>
#include <stdint.h>

#include "proto/status.h"

/* The numbers are between processes of one executable only; what is on the wire is the name. */
enum reason {
	REASON_NONE = 0, /* the code says it all */

	/* what a worker or the loader may say as well */
	REASON_FAILED,           /* INTERNAL */
	REASON_INVALID_ARGUMENT, /* what was given cannot be used */
	REASON_TOO_LARGE,
	REASON_KERNEL_UNUSABLE,
	REASON_SNAPSHOT_DAMAGED,
	REASON_FORMAT_UNKNOWN,
	REASON_HOST_MISMATCH,
	REASON_FILE_SYSTEM_LACKS,
	REASON_NO_SPACE,
	REASON_QUOTA_REACHED,
	REASON_FILE_SIZE_LIMIT,
	REASON_NO_MEMORY,
	REASON_TOO_MANY_FILES,
	REASON_IO_ERROR,
	REASON_FILES_UNAVAILABLE,
	REASON_NOT_PERMITTED,
	REASON_READ_ONLY,
	REASON_IN_USE,
	REASON_WRONG_VM_STATE,
	REASON_NO_DEVICE,
	REASON_BUSY,
	REASON_OF_PROCESSES_END,

	/* what the daemon alone says */
	REASON_NOT_FOUND = REASON_OF_PROCESSES_END,
	REASON_ALREADY_EXISTS,
	REASON_POOL_EXHAUSTED,
	REASON_SHAPE_FAILING,
	REASON_CRASHING,
	REASON_WORKER_DIED,
	REASON_DRAINING,
	REASON_IN_FLIGHT_LIMIT,
	REASON_CONNECTION_LIMIT,
	REASON_CANCELLED,
	REASON_DEADLINE_EXCEEDED,
	REASON_COUNT,
};

/* One row of the table of reasons. */
struct reason_info {
	const char *name; /* data.reason; NULL: the code's own name says it all */
	enum rpc_code code;
	int32_t retry_ms; /* retry_after_ms where nobody knows better; negative: none. Without a name the code's row says */
	const char *text; /* a sentence for documents */
};

/* The row of a reason; of REASON_FAILED for REASON_NONE and for a number that is no reason. Never NULL. */
const struct reason_info *reason_info(enum reason reason);

/*
 * Say what went wrong by its reason: as rpc_error_set() with the reason's code. The error carries the reason's name, and its
 * retry_after_ms unless the caller sets another afterwards.
 */
__attribute__((format(printf, 3, 4))) int rpc_error_set_reason(struct rpc_error *error, enum reason reason,
							       const char *format, ...);

/* As rpc_error_set(), with the code, reason and retry_after_ms of another error, which may be error itself. */
__attribute__((format(printf, 3, 4))) int rpc_error_set_like(struct rpc_error *error, const struct rpc_error *other,
							     const char *format, ...);

/* What was being done when an errno came. */
enum reason_deed {
	DEED_OPEN_PATH,     /* open or look at what a client's path names */
	DEED_LISTEN_PATH,   /* make a socket where a client's path says */
	DEED_OPEN_SNAPSHOT, /* open a snapshot's files at a path that a client gave */
	DEED_KNOWN_FILES,   /* open or read the files of a snapshot that was fine before */
	DEED_LOAD_SNAPSHOT, /* read and check a snapshot's files */
	DEED_LOAD_KERNEL,   /* read, check and copy a kernel's file */
	DEED_PUBLISH,       /* write, rename or remove files of the store */
	DEED_BOOT,          /* give a VM its devices, and what it boots from */
	DEED_RESTORE,       /* give a VM its devices, and a snapshot's state */
	DEED_CAPTURE,       /* write a VM's state and memory */
	DEED_VM,            /* anything else that a VM is asked for */
	DEED_QUEUE,         /* hand work to a queue of the daemon, or a message to a process */
	DEED_COUNT,
};

/*
 * The reason for an errno.
 *
 * number  negative, as functions return it
 *
 * Returns a reason that a worker or the loader may say where the deed is theirs; REASON_FAILED for a number that nobody foresaw.
 */
enum reason reason_of_errno(enum reason_deed deed, int number);

/*
 * Say that a deed failed: rpc_error_set_reason() with the errno's reason.
 *
 * text  what happened; NULL or "": the errno's own text
 */
int rpc_error_set_errno(struct rpc_error *error, enum reason_deed deed, int number, const char *text);

/* The table as Markdown, for the README. ret_text: the caller frees it. Returns 0 or -ENOMEM. */
int reason_markdown(char **ret_text);

#endif

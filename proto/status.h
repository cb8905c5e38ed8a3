/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can go wrong in a call, and how a client is told: one table of stable codes, and the error that carries one.
 *
 * Codes are JSON-RPC's own (-32768..-32000 is reserved by section 5.1 of its specification; -32700 and
 * -32600..-32603 are defined there) and ours in -32000..-32099, the range left to servers. Of ours, -32021..-32036 are
 * -32020 minus the number that gRPC gives the status; -32001..-32019 are special cases of a status that a program
 * may want to tell apart: those carry data.reason as well.
 *
 * On the wire: {"code": -32001, "message": "...", "data": {"status": "RESOURCE_EXHAUSTED", "reason": "POOL_EXHAUSTED",
 * "field": "...", "detail": "...", "retry_after_ms": 12, ...}}. status is always there, the rest where it applies.
 */
#ifndef EMBER_PROTO_STATUS_H
#define EMBER_PROTO_STATUS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum rpc_code {
	RPC_OK = 0,

	/* JSON-RPC 2.0, section 5.1 */
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL_ERROR = -32603,

	/* special cases: status and reason */
	RPC_POOL_EXHAUSTED = -32001,   /* RESOURCE_EXHAUSTED: no slot, and the queue is full; see retry_after_ms */
	RPC_DRAINING = -32002,         /* UNAVAILABLE: the daemon is stopping and starts no VM */
	RPC_IN_FLIGHT_LIMIT = -32003,  /* RESOURCE_EXHAUSTED: too many open calls on this connection */
	RPC_CONNECTION_LIMIT = -32004, /* RESOURCE_EXHAUSTED: too many connections; the daemon closes this one */
	RPC_WORKER_DIED = -32005,      /* UNAVAILABLE: the worker that served the request ended before it answered */
	RPC_HOST_MISMATCH = -32006,    /* FAILED_PRECONDITION: this host cannot give back what the snapshot holds */
	RPC_SNAPSHOT_IN_USE = -32007,  /* FAILED_PRECONDITION: VMs run from the snapshot; see holders */
	RPC_SNAPSHOT_DAMAGED = -32008, /* DATA_LOSS: a file of the snapshot is missing, cut short or altered */
	RPC_WRONG_VM_STATE = -32009,   /* FAILED_PRECONDITION: the VM is not in a state that allows this */
	RPC_SHAPE_FAILING = -32010,    /* UNAVAILABLE: workers of this shape keep dying; see retry_after_ms */
	RPC_KERNEL_IN_USE = -32011,    /* FAILED_PRECONDITION: VMs run the kernel; see holders */

	/* the statuses as gRPC names and numbers them */
	RPC_CANCELLED = -32021,
	RPC_UNKNOWN = -32022,
	RPC_INVALID_ARGUMENT = -32023,
	RPC_DEADLINE_EXCEEDED = -32024,
	RPC_NOT_FOUND = -32025,
	RPC_ALREADY_EXISTS = -32026,
	RPC_PERMISSION_DENIED = -32027,
	RPC_RESOURCE_EXHAUSTED = -32028,
	RPC_FAILED_PRECONDITION = -32029,
	RPC_ABORTED = -32030,
	RPC_OUT_OF_RANGE = -32031,
	RPC_UNIMPLEMENTED = -32032,
	RPC_INTERNAL = -32033,
	RPC_UNAVAILABLE = -32034,
	RPC_DATA_LOSS = -32035,
	RPC_UNAUTHENTICATED = -32036,
};

/* One row of the table of codes. */
struct rpc_code_info {
	enum rpc_code code;
	int error_number;   /* the nearest errno(3), positive: what libember's and the daemon's functions return */
	const char *status; /* data.status */
	const char *reason; /* data.reason; NULL where the status says it all. Reason, else status, names the code */
	int32_t retry_ms; /* retry_after_ms where nobody knows better; negative: trying again does not help by itself */
	const char *meaning; /* a sentence for documents */
};

#define RPC_MESSAGE_SIZE 256
#define RPC_FIELD_SIZE   64
#define RPC_DETAIL_SIZE  512

/*
 * An error on its way to a client. Start with RPC_ERROR_INIT, end with rpc_error_release().
 */
struct rpc_error {
	enum rpc_code code;             /* RPC_OK: nothing went wrong */
	const char *reason;             /* data.reason, of reason.h's table; NULL: the code's, if it has one */
	char message[RPC_MESSAGE_SIZE]; /* a sentence for a person: lower case, without a full stop */
	char field[RPC_FIELD_SIZE];     /* the offending parameter; empty: none */
	char detail[RPC_DETAIL_SIZE];   /* what a library said underneath; empty: nothing */
	int64_t retry_after_ms;         /* when to try again; negative: as the code's row says */
	json_t *extra;                  /* further members of data (holders, differences, ...); owned; NULL: none */
};

#define RPC_ERROR_INIT                               \
	{                                            \
		.code = RPC_OK, .retry_after_ms = -1 \
	}

/* The row of a code, or the row of RPC_UNKNOWN for a code that is not in the table. Never NULL. */
const struct rpc_code_info *rpc_code_info(enum rpc_code code);

/* The whole table, grouped as the enum is. *ret_count rows. */
const struct rpc_code_info *rpc_code_table(size_t *ret_count);

/*
 * Say what went wrong. Replaces what the error said before (field, detail, retry and extra are cleared).
 *
 * error   may be NULL: then only the return value is of use
 * code    not RPC_OK
 * format  as for printf(3): the message. Bytes that are not UTF-8 are replaced when the error is written
 *
 * Returns the code's errno, negative and never 0, so that a caller can write "return rpc_error_set(...)".
 */
__attribute__((format(printf, 3, 4))) int rpc_error_set(struct rpc_error *error, enum rpc_code code, const char *format,
							...);

/* As rpc_error_set() with RPC_INVALID_PARAMS, naming the parameter. field is copied, cut at RPC_FIELD_SIZE. */
__attribute__((format(printf, 3, 4))) int rpc_error_set_field(struct rpc_error *error, const char *field,
							      const char *format, ...);

/* Name the offending parameter in an error of another code. Cut at RPC_FIELD_SIZE. error may be NULL. */
void rpc_error_add_field(struct rpc_error *error, const char *field);

/* Add what a library said underneath. The error must have been set; error may be NULL. */
__attribute__((format(printf, 2, 3))) void rpc_error_add_detail(struct rpc_error *error, const char *format, ...);

/*
 * Add a member to data, such as "holders".
 *
 * value  taken over, also on failure; NULL (out of memory while building it) is an error
 *
 * Returns 0 or -ENOMEM (the error then goes out without it).
 */
int rpc_error_add_extra(struct rpc_error *error, const char *name, json_t *value);

/*
 * The error as JSON-RPC's error object {code, message, data}.
 *
 * error     an error that was set
 * ret_json  a new reference
 *
 * Returns 0 or -ENOMEM.
 */
int rpc_error_to_json(const struct rpc_error *error, json_t **ret_json);

/* Drop what the error owns and make it RPC_OK again. Takes NULL. */
void rpc_error_release(struct rpc_error *error);

#endif

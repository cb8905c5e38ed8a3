/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of methods: what each takes, gives, needs and may answer.
 *
 * Everything that must know a method reads it here: validation of parameters, the role check, rpc.discover's OpenRPC
 * document, emberctl's commands and help, and the README's table. The rows are in methods.c.
 *
 * A server's way with a request:
 *
 *	method = method_find(request->method);                                       RPC_METHOD_NOT_FOUND
 *	method_check_role(method, role, &error);                                     RPC_PERMISSION_DENIED
 *	method_validate(method, request->params, &params, &error);                   RPC_INVALID_PARAMS
 *	method_check_param_roles(method, params, role, &error);                      RPC_PERMISSION_DENIED
 *
 * after which params is an object with every default filled in, where a member that is present has the type and the
 * range that the table gives it: param_string() and its kin then read it without further checks. So are the objects
 * that it holds, and those within them.
 */
#ifndef EMBER_PROTO_METHOD_H
#define EMBER_PROTO_METHOD_H

#include "proto/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a peer may do; each role may do all that the ones before it may. */
enum role {
	ROLE_NONE = 0,
	ROLE_OBSERVE,
	ROLE_RUN,
	ROLE_ADMIN,
};

enum param_type {
	PARAM_BOOL,
	PARAM_INT,          /* a JSON integer, minimum..maximum */
	PARAM_STRING,       /* minimum..maximum bytes, of the given kind */
	PARAM_ENUM,         /* a string, one of values */
	PARAM_ENUM_ARRAY,   /* minimum..maximum strings, each one of values, none twice */
	PARAM_ID,           /* the id of a request: a string or a number */
	PARAM_OBJECT,       /* an object of the given members */
	PARAM_OBJECT_ARRAY, /* minimum..maximum objects of the given members */
	PARAM_JSON,         /* any object, minimum..maximum bytes as compact JSON text */
};

/* What a string must look like. Every kind also has the byte limits of its parameter. */
enum string_kind {
	STRING_TEXT,      /* any UTF-8 (line ends, too) */
	STRING_NAME,      /* a snapshot's name or a VM's label: [A-Za-z0-9][A-Za-z0-9._-]*; fit to be a folder's name */
	STRING_PATH,      /* an absolute path: starts with '/', no "." or ".." as a component, no control characters */
	STRING_VM_ID,     /* a VM's id as the daemon gave it: [a-z0-9][a-z0-9-]* */
	STRING_MAC,       /* a MAC address of one station, "02:00:00:00:00:01": not of a group, not all zero */
	STRING_INTERFACE, /* a network interface's name: graphic ASCII without '/', ':' and '%', not "." or ".." */
	STRING_PRINTABLE, /* graphic ASCII: printable, without spaces */
	STRING_CMDLINE,   /* a kernel's command line: printable ASCII, spaces included */
};

/* How deep objects nest among parameters: an object of a call may hold objects, and those hold none. */
#define PARAM_DEPTH_MAX 2

struct param {
	const char *name;
	enum param_type type;
	enum string_kind kind; /* PARAM_STRING */
	bool required;
	enum role role;  /* the role needed to give this parameter; ROLE_NONE: the method's is enough */
	int64_t minimum; /* see enum param_type; also for emberctl and the documents */
	int64_t maximum;
	const char *const *values;      /* PARAM_ENUM and PARAM_ENUM_ARRAY: ends in NULL */
	const struct param *members;    /* PARAM_OBJECT and PARAM_OBJECT_ARRAY: ends in a NULL name */
	const struct param_rule *rules; /* between those members; ends in a NULL first; NULL: none */
	const char *default_json;       /* JSON text filled in when the parameter is absent; NULL, and objects: none */
	const char *unit;               /* "MiB", "ms", "bytes"; NULL: none */
	const char *description;        /* a sentence without a full stop */
};

/* A rule between parameters, or between the members of one object, beyond what each must be by itself. */
enum param_rule_type {
	RULE_EXACTLY_ONE, /* of first and second, one must be given and not both */
	RULE_AT_MOST_ONE, /* of first and second, not both may be given */
	RULE_NEEDED,      /* first must be given when second is (value: when second is that) */
	RULE_ONLY,        /* first may be given only when second is (value: when second is that) */
};

struct param_rule {
	enum param_rule_type type;
	const char *first;
	const char *second;
	const char *value; /* of an enum or string parameter, defaults counted; NULL: "is given" */
};

enum result_type {
	RESULT_BOOL,
	RESULT_INT,
	RESULT_STRING,
	RESULT_OBJECT,       /* of the given fields; NULL fields: any object */
	RESULT_OBJECT_ARRAY, /* of objects of the given fields */
	RESULT_STRING_ARRAY,
	RESULT_INT_MAP, /* an object of names and integers, such as phases_us */
};

struct result_field {
	const char *name;
	enum result_type type;
	bool optional;                     /* may be absent */
	bool nullable;                     /* may be null */
	const struct result_field *fields; /* RESULT_OBJECT and RESULT_OBJECT_ARRAY: ends in a NULL name */
	const char *description;           /* a phrase; NULL: the name says it */
};

enum method_flags {
	METHOD_PROGRESS = 1 << 0, /* sends "progress" notifications while it works */
	METHOD_LONG = 1 << 1,     /* may take seconds or wait without bound: give it a deadline */
};

/*
 * What becomes of a call's work when the call is taken away before its answer has been sent: by rpc.cancel, by its deadline, or
 * because its client has gone. Whatever the row says, work that has not begun to take effect is dropped.
 */
enum method_cancel {
	METHOD_CANCEL_DROPPED = 1, /* it changes nothing, so there is nothing to undo */
	METHOD_CANCEL_REVERSED,    /* what was changed is changed back, unless somebody else has changed it since */
	METHOD_CANCEL_ENDED,       /* the VM that was started is ended */
	METHOD_CANCEL_STANDS,      /* what has taken effect stays: it cannot be taken back */
};

struct method {
	const char *name;   /* "family.verb" */
	enum role role;     /* the least role that may call it */
	unsigned int flags; /* enum method_flags */
	enum method_cancel cancel;
	const char *summary;            /* a sentence without a full stop */
	const struct param *params;     /* ends in a NULL name; NULL: none. Positional parameters map to this order */
	const struct param_rule *rules; /* ends in a NULL first; NULL: none */
	const struct result_field *result; /* of the result object; ends in a NULL name; NULL: any object */
	const char *result_description;
	const enum rpc_code *errors; /* beyond those that every method can answer; ends in RPC_OK */
};

/* All methods, grouped by family, in the order in which documents show them. *ret_count rows. */
const struct method *method_table(size_t *ret_count);

/* NULL where there is no such method. */
const struct method *method_find(const char *name);

/* As method_find(); says RPC_METHOD_NOT_FOUND in error. Returns 0 or its errno. */
int method_lookup(const char *name, const struct method **ret_method, struct rpc_error *error);

/* What every method may answer, whatever its own list says; ends in RPC_OK. */
const enum rpc_code *method_common_errors(void);

/*
 * A method's parameters by index, in positional order: those of its row, then deadline_ms, which every method takes.
 */
size_t method_param_count(const struct method *method);
const struct param *method_param(const struct method *method, size_t index);

/* NULL where the method has no such parameter. */
const struct param *method_find_param(const struct method *method, const char *name);

/* "observe", "run", "admin"; "none". */
const char *role_name(enum role role);

/* "dropped", "reversed", "ended", "stands". */
const char *method_cancel_name(enum method_cancel cancel);

/* Returns 0 and *ret_role (never ROLE_NONE), or -EINVAL. */
int role_from_name(const char *name, enum role *ret_role);

/* May a peer of this role call the method? Returns 0, or RPC_PERMISSION_DENIED in error and its errno. */
int method_check_role(const struct method *method, enum role role, struct rpc_error *error);

/*
 * Check a call's parameters and give them as one object, by name, with defaults filled in.
 *
 * params      an object; an array (positional: the table's order, null for one that is left out, trailing ones may be
 *             missing); or NULL for none. Not changed
 * ret_params  a new object
 * error       RPC_INVALID_PARAMS with the field named, by its path where it is within an object ("drives[1].path");
 *             may be NULL
 *
 * Returns 0, the errno of RPC_INVALID_PARAMS, or -ENOMEM (error is set to RPC_INTERNAL_ERROR).
 */
int method_validate(const struct method *method, const json_t *params, json_t **ret_params, struct rpc_error *error);

/*
 * May a peer of this role give these parameters? Some, such as paths that the daemon opens, need more than the method.
 *
 * params  from method_validate()
 *
 * Returns 0, or RPC_PERMISSION_DENIED in error, naming the field, and its errno.
 */
int method_check_param_roles(const struct method *method, const json_t *params, enum role role,
			     struct rpc_error *error);

/*
 * Does a result look as the table says? For tests, which hold the daemon to its own document.
 *
 * error  RPC_INTERNAL_ERROR naming the field that is missing, unknown or mistyped
 *
 * Returns 0 or its errno.
 */
int method_check_result(const struct method *method, const json_t *result, struct rpc_error *error);

/*
 * Read validated parameters, or the members of an object among them. Absent: NULL, the fallback, false. What is
 * returned belongs to params.
 */
const char *param_string(const json_t *params, const char *name);
int64_t param_int(const json_t *params, const char *name, int64_t fallback);
bool param_bool(const json_t *params, const char *name);
bool param_given(const json_t *params, const char *name);
const json_t *param_object(const json_t *params, const char *name);
const json_t *param_array(const json_t *params, const char *name);

/* deadline_ms of validated parameters, 0 to METHOD_DEADLINE_MAX_MS; -1 where none was given. */
int64_t param_deadline_ms(const json_t *params);

#define METHOD_DEADLINE_MAX_MS 86400000

/* One parameter's value checked alone, its members included, as emberctl does. Returns as method_validate(). */
int param_check(const struct param *param, const json_t *value, struct rpc_error *error);

/*
 * The README's tables, in Markdown: of methods with their parameters; of the members of the objects among those, a
 * table each, above which stands where it is used; and of error codes.
 *
 * methods   count rows, from method_table()
 * ret_text  terminated, ends in a line end (empty where no parameter is an object); the caller frees it
 *
 * Return 0 or -ENOMEM.
 */
int method_markdown(const struct method *methods, size_t count, char **ret_text);
int param_object_markdown(const struct method *methods, size_t count, char **ret_text);
int rpc_code_markdown(char **ret_text);

#endif

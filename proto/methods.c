/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of the table of methods. A method, a parameter or an answer that is not here does not exist.
 *
 * Order matters within a row's parameters: it is the order of positional parameters, the required ones first, and new
 * ones go to the end. A parameter that names a file for the daemon to open needs the role admin: the daemon may read
 * what its clients may not.
 */
#include "proto/method_results.h"

#include <stddef.h>

#define NAME_MAX_BYTES    64
#define PATH_MAX_BYTES    4000 /* room for a file's name after it within PATH_MAX */
#define VM_ID_MAX_BYTES   32
#define CMDLINE_MAX_BYTES 2047
#define CONSOLE_MAX_BYTES 65536
#define CONSOLE_MAX_TEXT  (CONSOLE_MAX_BYTES / 3 * 4 + 4) /* as base64 */

static const char *const cpu_templates[] = { "host", "portable", NULL };
static const char *const entries[] = { "real", "protected", "long", NULL };
static const char *const temperatures[] = { "any", "warm", "cold", NULL };
static const char *const wait_reasons[] = { "ready", "event", "exit", NULL };
static const char *const console_actions[] = { "read", "write", NULL };
static const char *const encodings[] = { "utf8", "base64", NULL };
static const char *const event_kinds[] = { "vm", "snapshot", "kernel", "pool", "server", NULL };

#define PARAM_VM                                                                                          \
	{                                                                                                 \
		.name = "vm", .type = PARAM_STRING, .kind = STRING_VM_ID, .required = true, .minimum = 1, \
		.maximum = VM_ID_MAX_BYTES, .description = "The VM's id"                                  \
	}
#define PARAM_SNAPSHOT_NAME                                                                                \
	{                                                                                                  \
		.name = "name", .type = PARAM_STRING, .kind = STRING_NAME, .required = true, .minimum = 1, \
		.maximum = NAME_MAX_BYTES, .description = "The snapshot's name"                            \
	}
#define PARAM_LABEL                                                                                                 \
	{                                                                                                           \
		.name = "name", .type = PARAM_STRING, .kind = STRING_NAME, .minimum = 1, .maximum = NAME_MAX_BYTES, \
		.description = "A label for the VM, for lists and logs"                                             \
	}
#define PARAM_DETACH                                                                                      \
	{                                                                                                 \
		.name = "detach", .type = PARAM_BOOL, .default_json = "false",                            \
		.description = "Let the VM outlive the connection; else it ends when the connection does" \
	}
#define PARAM_TEMPERATURE                                                                                         \
	{                                                                                                         \
		.name = "temperature", .type = PARAM_ENUM, .values = temperatures, .default_json = "\"any\"",     \
		.description = "warm: a slot that is ready now or none; cold: a worker forked for this request; " \
			       "any: warm where there is one, else what comes first"                              \
	}
#define PARAM_CPU_TEMPLATE                                                                                        \
	{                                                                                                         \
		.name = "cpu_template", .type = PARAM_ENUM, .values = cpu_templates, .default_json = "\"host\"",  \
		.description = "The CPUID that the guest sees: the host's, or a reduced one that more hosts have" \
	}
#define PARAMS_END           \
	{                    \
		.name = NULL \
	}
#define RULES_END             \
	{                     \
		.first = NULL \
	}

static const struct param params_server_drain[] = {
	{ .name = "stop",
	  .type = PARAM_BOOL,
	  .default_json = "true",
	  .description = "Stop the daemon once every VM has ended; else it goes on, and starts VMs again" },
	PARAMS_END,
};

static const struct param params_pool_configure[] = {
	{ .name = "vcpus",
	  .type = PARAM_INT,
	  .required = true,
	  .minimum = 1,
	  .maximum = 8,
	  .description = "The shape's virtual CPUs" },
	{ .name = "memory_mib",
	  .type = PARAM_INT,
	  .required = true,
	  .minimum = 1,
	  .maximum = 3072,
	  .unit = "MiB",
	  .description = "The shape's memory" },
	PARAM_CPU_TEMPLATE,
	{ .name = "min", .type = PARAM_INT, .maximum = 1024, .description = "Slots to keep warm; absent: as it is" },
	{ .name = "max",
	  .type = PARAM_INT,
	  .maximum = 1024,
	  .description = "Workers altogether, those that run VMs included; absent: as it is" },
	{ .name = "refill_concurrency",
	  .type = PARAM_INT,
	  .minimum = 1,
	  .maximum = 64,
	  .description = "Workers to build at one time; absent: as it is" },
	PARAMS_END,
};

static const struct param params_snapshot_register[] = {
	PARAM_SNAPSHOT_NAME,
	{ .name = "path",
	  .type = PARAM_STRING,
	  .kind = STRING_PATH,
	  .required = true,
	  .role = ROLE_ADMIN,
	  .minimum = 1,
	  .maximum = PATH_MAX_BYTES,
	  .description = "The folder that holds state.json and memory.snap; they stay where they are" },
	PARAMS_END,
};

static const struct param params_snapshot_name[] = { PARAM_SNAPSHOT_NAME, PARAMS_END };

static const struct param params_snapshot_remove[] = {
	PARAM_SNAPSHOT_NAME,
	{ .name = "files",
	  .type = PARAM_BOOL,
	  .default_json = "false",
	  .description = "Delete the files, too; else only the catalog forgets the snapshot" },
	{ .name = "wait",
	  .type = PARAM_BOOL,
	  .default_json = "false",
	  .description = "Wait until no VM runs from it; else that is an error that names the VMs" },
	PARAMS_END,
};

#define PARAM_KERNEL_NAME                                                                                  \
	{                                                                                                  \
		.name = "name", .type = PARAM_STRING, .kind = STRING_NAME, .required = true, .minimum = 1, \
		.maximum = NAME_MAX_BYTES, .description = "The kernel's name"                              \
	}
static const struct param params_kernel_add[] = {
	PARAM_KERNEL_NAME,
	{ .name = "path",
	  .type = PARAM_STRING,
	  .kind = STRING_PATH,
	  .required = true,
	  .role = ROLE_ADMIN,
	  .minimum = 1,
	  .maximum = PATH_MAX_BYTES,
	  .description = "A bzImage or an ELF vmlinux; it is copied" },
	{ .name = "cmdline",
	  .type = PARAM_STRING,
	  .kind = STRING_TEXT,
	  .maximum = CMDLINE_MAX_BYTES,
	  .description = "The command line for boots that give none: printable ASCII" },
	PARAMS_END,
};

static const struct param params_kernel_name[] = { PARAM_KERNEL_NAME, PARAMS_END };

static const struct param params_vm_boot[] = {
	{ .name = "image",
	  .type = PARAM_STRING,
	  .kind = STRING_PATH,
	  .role = ROLE_ADMIN,
	  .minimum = 1,
	  .maximum = PATH_MAX_BYTES,
	  .description = "A flat image for the guest's memory; absent: the built-in demo guest" },
	{ .name = "entry",
	  .type = PARAM_ENUM,
	  .values = entries,
	  .description = "The CPU mode in which the image is entered" },
	{ .name = "vcpus",
	  .type = PARAM_INT,
	  .minimum = 1,
	  .maximum = 8,
	  .default_json = "1",
	  .description = "Virtual CPUs" },
	{ .name = "memory_mib",
	  .type = PARAM_INT,
	  .minimum = 1,
	  .maximum = 3072,
	  .default_json = "128",
	  .unit = "MiB",
	  .description = "Guest memory" },
	PARAM_CPU_TEMPLATE,
	PARAM_DETACH,
	PARAM_LABEL,
	PARAM_TEMPERATURE,
	PARAMS_END,
};
static const struct param_rule rules_vm_boot[] = {
	{ .type = RULE_NEEDED, .first = "entry", .second = "image" },
	{ .type = RULE_ONLY, .first = "entry", .second = "image" },
	RULES_END,
};

static const struct param params_vm_restore[] = {
	{ .name = "snapshot",
	  .type = PARAM_STRING,
	  .kind = STRING_NAME,
	  .minimum = 1,
	  .maximum = NAME_MAX_BYTES,
	  .description = "The name of a registered snapshot" },
	{ .name = "snapshot_path",
	  .type = PARAM_STRING,
	  .kind = STRING_PATH,
	  .role = ROLE_ADMIN,
	  .minimum = 1,
	  .maximum = PATH_MAX_BYTES,
	  .description = "The folder of a snapshot that is not registered; it is checked on the way" },
	PARAM_DETACH,
	PARAM_TEMPERATURE,
	{ .name = "resume", .type = PARAM_BOOL, .default_json = "true", .description = "Let the VM run at once" },
	PARAM_LABEL,
	PARAMS_END,
};
static const struct param_rule rules_vm_restore[] = {
	{ .type = RULE_EXACTLY_ONE, .first = "snapshot", .second = "snapshot_path" },
	RULES_END,
};

static const struct param params_vm[] = { PARAM_VM, PARAMS_END };

static const struct param params_vm_snapshot[] = {
	PARAM_VM,
	{ .name = "name",
	  .type = PARAM_STRING,
	  .kind = STRING_NAME,
	  .minimum = 1,
	  .maximum = NAME_MAX_BYTES,
	  .description = "The name under which it is kept in the daemon's state folder and registered" },
	{ .name = "path",
	  .type = PARAM_STRING,
	  .kind = STRING_PATH,
	  .role = ROLE_ADMIN,
	  .minimum = 1,
	  .maximum = PATH_MAX_BYTES,
	  .description = "The folder to make; the snapshot is not registered" },
	{ .name = "resume",
	  .type = PARAM_BOOL,
	  .default_json = "true",
	  .description = "Let a VM that was running go on; one that was paused stays paused" },
	{ .name = "overwrite",
	  .type = PARAM_BOOL,
	  .default_json = "false",
	  .description = "Replace a snapshot that is there" },
	PARAMS_END,
};
static const struct param_rule rules_vm_snapshot[] = {
	{ .type = RULE_EXACTLY_ONE, .first = "name", .second = "path" },
	RULES_END,
};

static const struct param params_vm_wait[] = {
	PARAM_VM,
	{ .name = "for",
	  .type = PARAM_ENUM,
	  .required = true,
	  .values = wait_reasons,
	  .description = "What to wait for" },
	{ .name = "event",
	  .type = PARAM_INT,
	  .minimum = 1,
	  .maximum = 255,
	  .description = "The number of the event that the guest reports" },
	{ .name = "after",
	  .type = PARAM_INT,
	  .maximum = INT64_MAX,
	  .default_json = "0",
	  .description = "How many reports of the event are known already: wait for one more" },
	PARAMS_END,
};
static const struct param_rule rules_vm_wait[] = {
	{ .type = RULE_NEEDED, .first = "event", .second = "for", .value = "event" },
	{ .type = RULE_ONLY, .first = "event", .second = "for", .value = "event" },
	{ .type = RULE_ONLY, .first = "after", .second = "for", .value = "event" },
	RULES_END,
};

static const struct param params_vm_console[] = {
	PARAM_VM,
	{ .name = "action",
	  .type = PARAM_ENUM,
	  .required = true,
	  .values = console_actions,
	  .description = "What to do" },
	{ .name = "offset",
	  .type = PARAM_INT,
	  .maximum = INT64_MAX,
	  .default_json = "0",
	  .unit = "bytes",
	  .description = "Where in the output since the VM's start to read from" },
	{ .name = "max_bytes",
	  .type = PARAM_INT,
	  .minimum = 1,
	  .maximum = CONSOLE_MAX_BYTES,
	  .default_json = "65536",
	  .unit = "bytes",
	  .description = "How much to read at most" },
	{ .name = "wait",
	  .type = PARAM_BOOL,
	  .default_json = "false",
	  .description = "Wait until there is output beyond the offset, or the VM has ended" },
	{ .name = "data",
	  .type = PARAM_STRING,
	  .kind = STRING_TEXT,
	  .maximum = CONSOLE_MAX_TEXT,
	  .description = "What to write to the guest's serial port, in the encoding" },
	{ .name = "encoding",
	  .type = PARAM_ENUM,
	  .values = encodings,
	  .default_json = "\"utf8\"",
	  .description = "How data is given: base64 keeps every byte, utf8 replaces what is not UTF-8" },
	PARAMS_END,
};
static const struct param_rule rules_vm_console[] = {
	{ .type = RULE_NEEDED, .first = "data", .second = "action", .value = "write" },
	{ .type = RULE_ONLY, .first = "data", .second = "action", .value = "write" },
	{ .type = RULE_ONLY, .first = "offset", .second = "action", .value = "read" },
	{ .type = RULE_ONLY, .first = "max_bytes", .second = "action", .value = "read" },
	{ .type = RULE_ONLY, .first = "wait", .second = "action", .value = "read" },
	RULES_END,
};

static const struct param params_events_subscribe[] = {
	{ .name = "kinds",
	  .type = PARAM_ENUM_ARRAY,
	  .values = event_kinds,
	  .minimum = 1,
	  .maximum = 5,
	  .default_json = "[\"vm\", \"snapshot\", \"kernel\", \"pool\", \"server\"]",
	  .description = "What to be told of" },
	PARAMS_END,
};

static const struct param params_rpc_cancel[] = {
	{ .name = "id",
	  .type = PARAM_ID,
	  .required = true,
	  .description = "The id of a call that is open on the same connection" },
	PARAMS_END,
};

static const enum rpc_code errors_start[] = {
	RPC_POOL_EXHAUSTED, RPC_SHAPE_FAILING,    RPC_WORKER_DIED,        RPC_NOT_FOUND,           RPC_INVALID_ARGUMENT,
	RPC_HOST_MISMATCH,  RPC_SNAPSHOT_DAMAGED, RPC_RESOURCE_EXHAUSTED, RPC_FAILED_PRECONDITION, RPC_OK,
};
static const enum rpc_code errors_vm[] = { RPC_NOT_FOUND, RPC_WRONG_VM_STATE, RPC_WORKER_DIED, RPC_OK };
static const enum rpc_code errors_vm_snapshot[] = {
	RPC_NOT_FOUND,          RPC_WRONG_VM_STATE,      RPC_WORKER_DIED,
	RPC_ALREADY_EXISTS,     RPC_SNAPSHOT_IN_USE,     RPC_INVALID_ARGUMENT,
	RPC_RESOURCE_EXHAUSTED, RPC_FAILED_PRECONDITION, RPC_OK,
};
static const enum rpc_code errors_register[] = {
	RPC_ALREADY_EXISTS,  RPC_NOT_FOUND,          RPC_INVALID_ARGUMENT,    RPC_SNAPSHOT_DAMAGED, RPC_HOST_MISMATCH,
	RPC_SNAPSHOT_IN_USE, RPC_RESOURCE_EXHAUSTED, RPC_FAILED_PRECONDITION, RPC_ABORTED,          RPC_OK,
};
static const enum rpc_code errors_snapshot[] = {
	RPC_NOT_FOUND, RPC_SNAPSHOT_DAMAGED, RPC_HOST_MISMATCH, RPC_RESOURCE_EXHAUSTED, RPC_FAILED_PRECONDITION, RPC_OK,
};
static const enum rpc_code errors_remove[] = {
	RPC_NOT_FOUND, RPC_SNAPSHOT_IN_USE, RPC_RESOURCE_EXHAUSTED, RPC_FAILED_PRECONDITION, RPC_OK,
};
static const enum rpc_code errors_kernel_add[] = {
	RPC_ALREADY_EXISTS,      RPC_NOT_FOUND,      RPC_INVALID_ARGUMENT, RPC_RESOURCE_EXHAUSTED,
	RPC_FAILED_PRECONDITION, RPC_POOL_EXHAUSTED, RPC_WORKER_DIED,      RPC_OK,
};
static const enum rpc_code errors_kernel[] = { RPC_NOT_FOUND, RPC_OK };
static const enum rpc_code errors_kernel_remove[] = {
	RPC_NOT_FOUND, RPC_KERNEL_IN_USE, RPC_RESOURCE_EXHAUSTED, RPC_FAILED_PRECONDITION, RPC_OK,
};
static const enum rpc_code errors_configure[] = { RPC_RESOURCE_EXHAUSTED, RPC_OK };
static const enum rpc_code errors_subscribe[] = { RPC_RESOURCE_EXHAUSTED, RPC_OK };

static const struct method methods[] = {
	{ .name = "server.ping",
	  .role = ROLE_OBSERVE,
	  .summary = "Answer, to show that the daemon does",
	  .result = result_server_ping,
	  .result_description = "The daemon's version and age" },
	{ .name = "server.info",
	  .role = ROLE_OBSERVE,
	  .summary = "Tell what the daemon is, what its host can do, and what its limits are",
	  .result = result_server_info,
	  .result_description = "The daemon and its host" },
	{ .name = "server.drain",
	  .role = ROLE_ADMIN,
	  .flags = METHOD_LONG,
	  .summary = "Start no more VMs, wait until those that run have ended, then stop the daemon",
	  .params = params_server_drain,
	  .result = result_server_drain,
	  .result_description = "How it went" },

	{ .name = "pool.status",
	  .role = ROLE_OBSERVE,
	  .summary = "Show every shape's targets and slots, and every worker",
	  .result = result_pool_status,
	  .result_description = "Shapes and workers" },
	{ .name = "pool.configure",
	  .role = ROLE_ADMIN,
	  .summary = "Set a shape's targets; the pool fills or empties towards them",
	  .params = params_pool_configure,
	  .result = result_shape,
	  .result_description = "The shape as it stands",
	  .errors = errors_configure },

	{ .name = "snapshot.register",
	  .role = ROLE_ADMIN,
	  .flags = METHOD_PROGRESS | METHOD_LONG,
	  .summary = "Check a snapshot's files and give it a name to restore it by",
	  .params = params_snapshot_register,
	  .result = result_snapshot,
	  .result_description = "The snapshot",
	  .errors = errors_register },
	{ .name = "snapshot.list",
	  .role = ROLE_OBSERVE,
	  .summary = "List the registered snapshots",
	  .result = result_snapshot_list,
	  .result_description = "The snapshots, by name" },
	{ .name = "snapshot.inspect",
	  .role = ROLE_OBSERVE,
	  .summary = "Show all that is known of a snapshot",
	  .params = params_snapshot_name,
	  .result = result_snapshot_inspect,
	  .result_description = "The snapshot and its metadata",
	  .errors = errors_snapshot },
	{ .name = "snapshot.verify",
	  .role = ROLE_RUN,
	  .flags = METHOD_PROGRESS | METHOD_LONG,
	  .summary = "Read a snapshot's files again and check every checksum",
	  .params = params_snapshot_name,
	  .result = result_snapshot_verify,
	  .result_description = "What was checked",
	  .errors = errors_snapshot },
	{ .name = "snapshot.remove",
	  .role = ROLE_ADMIN,
	  .flags = METHOD_LONG,
	  .summary = "Forget a snapshot, and delete its files if asked",
	  .params = params_snapshot_remove,
	  .result = result_snapshot_remove,
	  .result_description = "What was removed",
	  .errors = errors_remove },

	{ .name = "kernel.add",
	  .role = ROLE_ADMIN,
	  .flags = METHOD_PROGRESS | METHOD_LONG,
	  .summary = "Copy a Linux kernel into the store, checked and unpacked, under a name to boot it by",
	  .params = params_kernel_add,
	  .result = result_kernel,
	  .result_description = "The kernel",
	  .errors = errors_kernel_add },
	{ .name = "kernel.list",
	  .role = ROLE_OBSERVE,
	  .summary = "List the kernels of the store",
	  .result = result_kernel_list,
	  .result_description = "The kernels, by name" },
	{ .name = "kernel.inspect",
	  .role = ROLE_OBSERVE,
	  .summary = "Show all that is known of a kernel",
	  .params = params_kernel_name,
	  .result = result_kernel,
	  .result_description = "The kernel",
	  .errors = errors_kernel },
	{ .name = "kernel.remove",
	  .role = ROLE_ADMIN,
	  .summary = "Delete a kernel that no VM holds",
	  .params = params_kernel_name,
	  .result = result_kernel_remove,
	  .result_description = "What was removed",
	  .errors = errors_kernel_remove },

	{ .name = "vm.boot",
	  .role = ROLE_RUN,
	  .flags = METHOD_LONG,
	  .summary = "Start a VM from nothing: the demo guest or a flat image",
	  .params = params_vm_boot,
	  .rules = rules_vm_boot,
	  .result = result_vm_start,
	  .result_description = "The VM and what its start took",
	  .errors = errors_start },
	{ .name = "vm.restore",
	  .role = ROLE_RUN,
	  .flags = METHOD_LONG,
	  .summary = "Start a VM from a snapshot",
	  .params = params_vm_restore,
	  .rules = rules_vm_restore,
	  .result = result_vm_start,
	  .result_description = "The VM and what its start took",
	  .errors = errors_start },
	{ .name = "vm.pause",
	  .role = ROLE_RUN,
	  .summary = "Stop a VM's vCPUs at an instruction boundary",
	  .params = params_vm,
	  .result = result_vm_state,
	  .result_description = "The VM's state",
	  .errors = errors_vm },
	{ .name = "vm.resume",
	  .role = ROLE_RUN,
	  .summary = "Let a paused VM go on",
	  .params = params_vm,
	  .result = result_vm_state,
	  .result_description = "The VM's state",
	  .errors = errors_vm },
	{ .name = "vm.snapshot",
	  .role = ROLE_RUN,
	  .flags = METHOD_PROGRESS | METHOD_LONG,
	  .summary = "Keep a VM's state and memory on disk",
	  .params = params_vm_snapshot,
	  .rules = rules_vm_snapshot,
	  .result = result_vm_snapshot,
	  .result_description = "The snapshot and what it took",
	  .errors = errors_vm_snapshot },
	{ .name = "vm.release",
	  .role = ROLE_RUN,
	  .summary = "End a VM and give its slot back",
	  .params = params_vm,
	  .result = result_vm_end,
	  .result_description = "The VM and why it ended",
	  .errors = errors_vm },
	{ .name = "vm.kill",
	  .role = ROLE_RUN,
	  .summary = "End a VM's process at once, whatever it does",
	  .params = params_vm,
	  .result = result_vm_end,
	  .result_description = "The VM and why it ended",
	  .errors = errors_vm },
	{ .name = "vm.list",
	  .role = ROLE_OBSERVE,
	  .summary = "List the VMs",
	  .result = result_vm_list,
	  .result_description = "The VMs, oldest first" },
	{ .name = "vm.info",
	  .role = ROLE_OBSERVE,
	  .summary = "Show all that is known of a VM",
	  .params = params_vm,
	  .result = result_vm_info,
	  .result_description = "The VM and its events",
	  .errors = errors_vm },
	{ .name = "vm.wait",
	  .role = ROLE_RUN,
	  .flags = METHOD_LONG,
	  .summary = "Wait until a VM's guest is ready, reports an event, or the VM ends",
	  .params = params_vm_wait,
	  .rules = rules_vm_wait,
	  .result = result_vm_wait,
	  .result_description = "What came",
	  .errors = errors_vm },
	{ .name = "vm.console",
	  .role = ROLE_RUN,
	  .flags = METHOD_LONG,
	  .summary = "Read a VM's serial output, or write to its serial input",
	  .params = params_vm_console,
	  .rules = rules_vm_console,
	  .result = result_vm_console,
	  .result_description = "Output, or how much was written",
	  .errors = errors_vm },

	{ .name = "events.subscribe",
	  .role = ROLE_OBSERVE,
	  .summary = "Be told of what happens, by notifications on this connection",
	  .params = params_events_subscribe,
	  .result = result_events_subscribe,
	  .result_description = "The subscription",
	  .errors = errors_subscribe },

	{ .name = "rpc.discover",
	  .role = ROLE_OBSERVE,
	  .summary = "Give this table as an OpenRPC document",
	  .result_description = "The OpenRPC document" },
	{ .name = "rpc.cancel",
	  .role = ROLE_OBSERVE,
	  .summary = "Ask for the end of a call that is open on this connection; it is answered with CANCELLED",
	  .params = params_rpc_cancel,
	  .result = result_rpc_cancel,
	  .result_description = "Whether there was such a call" },
};

const struct method *method_table(size_t *ret_count)
{
	*ret_count = sizeof(methods) / sizeof(methods[0]);

	return methods;
}

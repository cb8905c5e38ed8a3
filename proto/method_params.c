/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the methods take. Order matters within a table: it is the order of positional parameters, the required ones
 * first, and new ones go to the end. A parameter that names a file for the daemon to open needs the role admin: the
 * daemon may read what its clients may not.
 */
#include "proto/method_params.h"

#include "proto/device_params.h"

#include <stddef.h>

#define NAME_MAX_BYTES     64
#define VM_ID_MAX_BYTES    32
#define STORED_CMDLINE_MAX 2047 /* bytes of a kernel's default command line */
#define CMDLINE_MAX        4095
#define CONSOLE_MAX_BYTES  65536
#define CONSOLE_MAX_TEXT   (CONSOLE_MAX_BYTES / 3 * 4 + 4) /* as base64 */

static const char *const cpu_templates[] = { "host", "portable", NULL };
static const char *const entries[] = { "real", "protected", "long", "bzimage", "elf64", "pvh", NULL };
static const char *const clocks[] = { "continue", "host", NULL };
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
#define PARAM_PIT_REINJECT                                                                                             \
	{                                                                                                              \
		.name = "pit_reinject", .type = PARAM_BOOL, .default_json = "true",                                    \
		.description =                                                                                         \
			"Raise ticks of the PIT that the guest is late for again; false: drop them, and let AVIC work" \
	}

const struct param params_server_drain[] = {
	{ .name = "stop",
	  .type = PARAM_BOOL,
	  .default_json = "true",
	  .description = "Stop the daemon once every VM has ended; else it goes on, and starts VMs again" },
	PARAMS_END,
};

const struct param params_pool_configure[] = {
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
	  .maximum = MEMORY_MAX_MIB,
	  .unit = "MiB",
	  .description = "The shape's memory" },
	PARAM_CPU_TEMPLATE,
	PARAM_PIT_REINJECT,
	{ .name = "min", .type = PARAM_INT, .maximum = 1024, .description = "Slots to keep warm; absent: as it is" },
	{ .name = "max",
	  .type = PARAM_INT,
	  .maximum = 1024,
	  .description =
		  "Workers altogether, those that run VMs included; absent: as it is; 0: forget the shape, whose "
		  "limits are those of pool.unconfigured then" },
	{ .name = "refill_concurrency",
	  .type = PARAM_INT,
	  .minimum = 1,
	  .maximum = 64,
	  .description = "Workers to build at one time; absent: as it is" },
	{ .name = "drives",
	  .type = PARAM_INT,
	  .maximum = DRIVES_MAX,
	  .default_json = "0",
	  .description = "The shape's disks" },
	{ .name = "net",
	  .type = PARAM_INT,
	  .maximum = NET_MAX,
	  .default_json = "0",
	  .description = "The shape's network interfaces" },
	{ .name = "vsock",
	  .type = PARAM_INT,
	  .maximum = 1,
	  .default_json = "0",
	  .description = "The shape's vsock devices" },
	{ .name = "rng",
	  .type = PARAM_INT,
	  .maximum = 1,
	  .default_json = "0",
	  .description = "The shape's sources of entropy" },
	{ .name = "balloon",
	  .type = PARAM_INT,
	  .maximum = 1,
	  .default_json = "0",
	  .description = "The shape's balloons" },
	PARAMS_END,
};

const struct param params_snapshot_register[] = {
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

const struct param params_snapshot_name[] = { PARAM_SNAPSHOT_NAME, PARAMS_END };

const struct param params_snapshot_remove[] = {
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
const struct param params_kernel_add[] = {
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
	  .kind = STRING_CMDLINE,
	  .maximum = STORED_CMDLINE_MAX,
	  .description = "The command line for boots that give none" },
	PARAMS_END,
};

const struct param params_kernel_name[] = { PARAM_KERNEL_NAME, PARAMS_END };

const struct param params_vm_boot[] = {
	{ .name = "image",
	  .type = PARAM_STRING,
	  .kind = STRING_PATH,
	  .role = ROLE_ADMIN,
	  .minimum = 1,
	  .maximum = PATH_MAX_BYTES,
	  .description = "A flat image for the guest's memory; with neither it nor a kernel: the built-in demo guest" },
	{ .name = "entry",
	  .type = PARAM_ENUM,
	  .values = entries,
	  .description = "Of an image, the CPU mode in which it is entered: real, protected or long; of a kernel, how: "
			 "bzimage, elf64 or pvh; absent: what costs least of those that it has" },
	{ .name = "vcpus",
	  .type = PARAM_INT,
	  .minimum = 1,
	  .maximum = 8,
	  .default_json = "1",
	  .description = "Virtual CPUs" },
	{ .name = "memory_mib",
	  .type = PARAM_INT,
	  .minimum = 1,
	  .maximum = MEMORY_MAX_MIB,
	  .default_json = "128",
	  .unit = "MiB",
	  .description = "Guest memory" },
	PARAM_CPU_TEMPLATE,
	PARAM_PIT_REINJECT,
	PARAM_DETACH,
	PARAM_LABEL,
	PARAM_TEMPERATURE,
	{ .name = "kernel",
	  .type = PARAM_STRING,
	  .kind = STRING_NAME,
	  .minimum = 1,
	  .maximum = NAME_MAX_BYTES,
	  .description = "The name of a Linux kernel of the store" },
	{ .name = "initrd",
	  .type = PARAM_STRING,
	  .kind = STRING_PATH,
	  .role = ROLE_ADMIN,
	  .minimum = 1,
	  .maximum = PATH_MAX_BYTES,
	  .description = "The kernel's initial file system; absent: none" },
	{ .name = "cmdline",
	  .type = PARAM_STRING,
	  .kind = STRING_CMDLINE,
	  .maximum = CMDLINE_MAX,
	  .description = "The kernel's command line; absent: the one that the store has for it" },
	PARAM_DRIVES,
	PARAM_NET,
	PARAM_VSOCK,
	PARAM_RNG,
	PARAM_BALLOON,
	PARAM_METADATA,
	PARAMS_END,
};
const struct param_rule rules_vm_boot[] = {
	{ .type = RULE_AT_MOST_ONE, .first = "kernel", .second = "image" },
	{ .type = RULE_NEEDED, .first = "entry", .second = "image" },
	{ .type = RULE_ONLY, .first = "initrd", .second = "kernel" },
	{ .type = RULE_ONLY, .first = "cmdline", .second = "kernel" },
	RULES_END,
};

const struct param params_vm_restore[] = {
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
	{ .name = "clock",
	  .type = PARAM_ENUM,
	  .values = clocks,
	  .default_json = "\"continue\"",
	  .description = "The guest's time: it goes on where the snapshot stopped it, or jumps to the host's" },
	PARAM_RESTORE_DRIVES,
	PARAM_RESTORE_NET,
	PARAM_VSOCK,
	PARAM_METADATA,
	PARAMS_END,
};
const struct param_rule rules_vm_restore[] = {
	{ .type = RULE_EXACTLY_ONE, .first = "snapshot", .second = "snapshot_path" },
	RULES_END,
};

const struct param params_vm[] = { PARAM_VM, PARAMS_END };

const struct param params_vm_snapshot[] = {
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
const struct param_rule rules_vm_snapshot[] = {
	{ .type = RULE_EXACTLY_ONE, .first = "name", .second = "path" },
	RULES_END,
};

const struct param params_vm_wait[] = {
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
const struct param_rule rules_vm_wait[] = {
	{ .type = RULE_NEEDED, .first = "event", .second = "for", .value = "event" },
	{ .type = RULE_ONLY, .first = "event", .second = "for", .value = "event" },
	{ .type = RULE_ONLY, .first = "after", .second = "for", .value = "event" },
	RULES_END,
};

const struct param params_vm_console[] = {
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
const struct param_rule rules_vm_console[] = {
	{ .type = RULE_NEEDED, .first = "data", .second = "action", .value = "write" },
	{ .type = RULE_ONLY, .first = "data", .second = "action", .value = "write" },
	{ .type = RULE_ONLY, .first = "offset", .second = "action", .value = "read" },
	{ .type = RULE_ONLY, .first = "max_bytes", .second = "action", .value = "read" },
	{ .type = RULE_ONLY, .first = "wait", .second = "action", .value = "read" },
	RULES_END,
};

const struct param params_vm_balloon[] = {
	PARAM_VM,
	{ .name = "target_mib",
	  .type = PARAM_INT,
	  .maximum = MEMORY_MAX_MIB,
	  .unit = "MiB",
	  .description = "How much the guest is to give back; absent: as it is" },
	PARAMS_END,
};

const struct param params_events_subscribe[] = {
	{ .name = "kinds",
	  .type = PARAM_ENUM_ARRAY,
	  .values = event_kinds,
	  .minimum = 1,
	  .maximum = 5,
	  .default_json = "[\"vm\", \"snapshot\", \"kernel\", \"pool\", \"server\"]",
	  .description = "What to be told of" },
	PARAMS_END,
};

const struct param params_rpc_cancel[] = {
	{ .name = "id",
	  .type = PARAM_ID,
	  .required = true,
	  .description = "The id of a call that is open on the same connection" },
	PARAMS_END,
};

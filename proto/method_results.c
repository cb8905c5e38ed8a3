/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the methods answer with.
 *
 * Shapes, snapshots, kernels and VMs have one set of fields each, which every method that shows one begins with; the macros
 * exist because a C array cannot include another.
 */
#include "proto/method_results.h"

#include <stddef.h>

#define FIELD_VM                                                                  \
	{                                                                         \
		.name = "vm", .type = RESULT_STRING, .description = "the VM's id" \
	}
#define FIELD_PHASES                                                                  \
	{                                                                             \
		.name = "phases_us", .type = RESULT_INT_MAP,                          \
		.description = "microseconds of each phase that the request paid for" \
	}
#define FIELD_TOTAL                                                                    \
	{                                                                              \
		.name = "total_us", .type = RESULT_INT,                                \
		.description = "microseconds from the request's arrival to its answer" \
	}
#define FIELD_SHAPE                                                                                                                      \
	{                                                                                                                                \
		.name = "shape", .type = RESULT_STRING,                                                                                  \
		.description =                                                                                                           \
			"vCPUs, MiB, CPU template and devices, such as 1x128-host or 2x256-host+1d+1n+vsock+rng+balloon+no-pit-reinject" \
	}
#define FIELD_VCPUS                                 \
	{                                           \
		.name = "vcpus", .type = RESULT_INT \
	}
#define FIELD_MEMORY                                     \
	{                                                \
		.name = "memory_mib", .type = RESULT_INT \
	}
#define FIELD_TEMPLATE                                                                           \
	{                                                                                        \
		.name = "cpu_template", .type = RESULT_STRING, .description = "host or portable" \
	}
#define FIELDS_DEVICES                                                                          \
	{ .name = "pit_reinject",                                                               \
	  .type = RESULT_BOOL,                                                                  \
	  .description = "ticks of the PIT that the guest is late for are raised again" },      \
		{ .name = "drives", .type = RESULT_INT, .description = "disks" },               \
		{ .name = "net", .type = RESULT_INT, .description = "network interfaces" },     \
		{ .name = "vsock", .type = RESULT_INT }, { .name = "rng", .type = RESULT_INT }, \
	{                                                                                       \
		.name = "balloon", .type = RESULT_INT                                           \
	}
#define FIELD_VM_STATE                                                                                             \
	{                                                                                                          \
		.name = "state", .type = RESULT_STRING, .description = "running, paused, busy, exited or stopping" \
	}
#define FIELD_KERNEL                                                                  \
	{                                                                             \
		.name = "kernel", .type = RESULT_STRING, .nullable = true,            \
		.description = "the kernel that it was booted with; null: it was not" \
	}
#define FIELDS_END           \
	{                    \
		.name = NULL \
	}

/* Of one in the catalog; vm.snapshot's "state" is the VM's. */
#define FIELDS_SNAPSHOT_STATE                                                              \
	{ .name = "state",                                                                 \
	  .type = RESULT_STRING,                                                           \
	  .description = "available, loading, or unavailable: its files cannot be read" }, \
	{                                                                                  \
		.name = "reason", .type = RESULT_STRING, .nullable = true,                 \
		.description = "why it is unavailable; null: it is not"                    \
	}

/* What a snapshot's files say: null where they have not been read. */
#define FIELD_MAYBE(field, kind, text)                                                   \
	{                                                                                \
		.name = (field), .type = (kind), .nullable = true, .description = (text) \
	}

#define FIELDS_SNAPSHOT                                                                                         \
	{ .name = "name",                                                                                       \
	  .type = RESULT_STRING,                                                                                \
	  .nullable = true,                                                                                     \
	  .description = "null: not in the catalog, known by its path" },                                       \
		{ .name = "path",                                                                               \
		  .type = RESULT_STRING,                                                                        \
		  .description = "the folder that holds state.json and memory.snap" },                          \
		FIELD_MAYBE("shape", RESULT_STRING, "as of a VM"), FIELD_MAYBE("vcpus", RESULT_INT, ""),        \
		FIELD_MAYBE("memory_mib", RESULT_INT, ""), FIELD_MAYBE("cpu_template", RESULT_STRING, ""),      \
		FIELD_MAYBE("drives", RESULT_INT, "disks"), FIELD_MAYBE("net", RESULT_INT, "interfaces"),       \
		FIELD_MAYBE("vsock", RESULT_INT, ""), FIELD_MAYBE("rng", RESULT_INT, ""),                       \
		FIELD_MAYBE("pit_reinject", RESULT_BOOL, "whether missed ticks of the PIT are made up for"),    \
		FIELD_MAYBE("balloon", RESULT_INT, ""), FIELD_MAYBE("created", RESULT_STRING, "RFC 3339, UTC"), \
		FIELD_MAYBE("state_crc64", RESULT_STRING, "CRC-64 of state.json, 16 hexadecimal digits"),       \
		{ .name = "id",                                                                                 \
		  .type = RESULT_STRING,                                                                        \
		  .nullable = true,                                                                             \
		  .description = "its own, whatever name it has; null: not in the catalog" },                   \
	{                                                                                                       \
		.name = "users", .type = RESULT_STRING_ARRAY, .description = "ids of the VMs that run from it"  \
	}

#define FIELDS_VM                                                                                                     \
	FIELD_VM,                                                                                                     \
		{ .name = "name",                                                                                     \
		  .type = RESULT_STRING,                                                                              \
		  .nullable = true,                                                                                   \
		  .description = "the label that its client gave it" },                                               \
		FIELD_VM_STATE, FIELD_SHAPE, FIELD_VCPUS, FIELD_MEMORY, FIELD_TEMPLATE, FIELDS_DEVICES,               \
		{ .name = "snapshot",                                                                                 \
		  .type = RESULT_STRING,                                                                              \
		  .nullable = true,                                                                                   \
		  .description = "what it was restored from: a name or a path; null: it was booted" },                \
		FIELD_KERNEL, { .name = "temperature", .type = RESULT_STRING, .description = "warm or cold" },        \
		{ .name = "worker", .type = RESULT_INT, .description = "the number of the worker that it lives in" }, \
		{ .name = "pid", .type = RESULT_INT, .description = "of that worker" },                               \
		{ .name = "detached",                                                                                 \
		  .type = RESULT_BOOL,                                                                                \
		  .description = "whether it outlives the connection that started it" },                              \
		{ .name = "age_ms", .type = RESULT_INT, .description = "since it was started or restored" },          \
	{                                                                                                             \
		.name = "exit_reason", .type = RESULT_STRING, .nullable = true,                                       \
		.description = "why it ended; null: it has not"                                                       \
	}

#define FIELDS_SHAPE                                                                                                \
	FIELD_SHAPE, FIELD_VCPUS, FIELD_MEMORY, FIELD_TEMPLATE, FIELDS_DEVICES,                                     \
		{ .name = "min", .type = RESULT_INT, .description = "slots kept warm" },                            \
		{ .name = "max",                                                                                    \
		  .type = RESULT_INT,                                                                               \
		  .description = "workers altogether, those that run VMs included" },                               \
		{ .name = "refill_concurrency", .type = RESULT_INT, .description = "workers built at one time" },   \
		{ .name = "warm", .type = RESULT_INT }, { .name = "building", .type = RESULT_INT },                 \
		{ .name = "running", .type = RESULT_INT, .description = "workers with a VM" },                      \
		{ .name = "closing", .type = RESULT_INT },                                                          \
		{ .name = "queued", .type = RESULT_INT, .description = "requests that wait for a slot" },           \
		{ .name = "failures", .type = RESULT_INT, .description = "workers that could not be built, ever" }, \
		{ .name = "backoff_ms",                                                                             \
		  .type = RESULT_INT,                                                                               \
		  .description = "until the next try after a failure; 0: none is pending" },                        \
	{                                                                                                           \
		.name = "last_failure", .type = RESULT_STRING, .nullable = true                                     \
	}

static const struct result_field kvm_fields[] = {
	{ .name = "api_version", .type = RESULT_INT },
	{ .name = "capabilities", .type = RESULT_INT_MAP, .description = "KVM_CHECK_EXTENSION's answers, by name" },
	{ .name = "msrs_saved", .type = RESULT_INT, .description = "MSRs that a snapshot keeps" },
	{ .name = "xsave_size", .type = RESULT_INT, .description = "bytes" },
	{ .name = "tsc_khz", .type = RESULT_INT, .description = "as KVM has it" },
	{ .name = "tsc_settable", .type = RESULT_BOOL, .description = "a clone's TSC goes on from its snapshot's" },
	{ .name = "tsc_advances", .type = RESULT_BOOL, .description = "false: no guest can keep time by it" },
	{ .name = "tsc_rate_wrong",
	  .type = RESULT_BOOL,
	  .description = "tsc_khz is not the rate that the TSC has: guests' TSC deadline timers may be late" },
	{ .name = "tsc_measured_khz", .type = RESULT_INT, .description = "against the kernel's clock" },
	{ .name = "cpuid_entries", .type = RESULT_INT },
	FIELDS_END,
};

static const struct result_field helper_fields[] = {
	{ .name = "processes", .type = RESULT_INT, .description = "those that are not stuck" },
	{ .name = "running", .type = RESULT_INT, .description = "jobs" },
	{ .name = "waiting", .type = RESULT_INT, .description = "jobs that wait for a helper" },
	{ .name = "stuck",
	  .type = RESULT_INT,
	  .description =
		  "helpers that were killed because their job took too long, and that the kernel has not ended" },
	{ .name = "given_up", .type = RESULT_INT, .description = "jobs that took too long, ever" },
	FIELDS_END,
};

const struct result_field result_server_ping[] = {
	{ .name = "pong", .type = RESULT_BOOL, .description = "true" },
	{ .name = "version", .type = RESULT_STRING },
	{ .name = "uptime_ms", .type = RESULT_INT },
	FIELDS_END,
};

const struct result_field result_server_info[] = {
	{ .name = "version", .type = RESULT_STRING },
	{ .name = "instance",
	  .type = RESULT_STRING,
	  .description = "of this start of the daemon alone; events carry it, too" },
	{ .name = "pid", .type = RESULT_INT },
	{ .name = "uptime_ms", .type = RESULT_INT },
	{ .name = "kvm", .type = RESULT_OBJECT, .fields = kvm_fields, .description = "what the host's KVM can do" },
	{ .name = "limits", .type = RESULT_INT_MAP, .description = "the limits that the configuration sets, by name" },
	{ .name = "state_dir", .type = RESULT_STRING },
	{ .name = "connections", .type = RESULT_INT },
	{ .name = "roles", .type = RESULT_STRING_ARRAY, .description = "the roles of the peer that asks" },
	{ .name = "helpers", .type = RESULT_OBJECT, .fields = helper_fields, .description = "processes for file work" },
	FIELDS_END,
};

const struct result_field result_server_drain[] = {
	{ .name = "drained", .type = RESULT_BOOL, .description = "whether every VM has ended" },
	{ .name = "stopping", .type = RESULT_BOOL, .description = "whether the daemon stops now" },
	FIELDS_END,
};

const struct result_field result_shape[] = { FIELDS_SHAPE, FIELDS_END };

const struct result_field result_shape_configured[] = {
	FIELDS_SHAPE,
	{ .name = "warning",
	  .type = RESULT_STRING,
	  .optional = true,
	  .description = "what is done as it was asked for, and still will not do; absent: nothing" },
	FIELDS_END
};

static const struct result_field worker_fields[] = {
	{ .name = "worker", .type = RESULT_INT },
	{ .name = "pid", .type = RESULT_INT },
	{ .name = "state",
	  .type = RESULT_STRING,
	  .description = "forking, building, warm, starting, leased or stopping" },
	FIELD_SHAPE,
	{ .name = "vm", .type = RESULT_STRING, .nullable = true, .description = "the VM that lives in it; null: none" },
	FIELDS_END,
};

const struct result_field result_pool_status[] = {
	{ .name = "shapes", .type = RESULT_OBJECT_ARRAY, .fields = result_shape },
	{ .name = "workers", .type = RESULT_OBJECT_ARRAY, .fields = worker_fields },
	{ .name = "queue_limit",
	  .type = RESULT_INT,
	  .description = "requests that may wait for a slot, of all shapes together" },
	{ .name = "abandoned",
	  .type = RESULT_INT,
	  .description = "processes that were killed and have not ended yet, since a disk holds them" },
	FIELDS_END,
};

const struct result_field result_snapshot[] = { FIELDS_SNAPSHOT, FIELDS_SNAPSHOT_STATE, FIELDS_END };

const struct result_field result_snapshot_list[] = {
	{ .name = "snapshots", .type = RESULT_OBJECT_ARRAY, .fields = result_snapshot },
	FIELDS_END,
};

const struct result_field result_snapshot_inspect[] = {
	FIELDS_SNAPSHOT,
	FIELDS_SNAPSHOT_STATE,
	{ .name = "devices",
	  .type = RESULT_OBJECT,
	  .nullable = true,
	  .description = "what was behind the VM's devices, as vm.boot takes it; null: that is not known here" },
	{ .name = "metadata",
	  .type = RESULT_OBJECT,
	  .description = "what else is known: format, data bytes, chunks, host" },
	FIELDS_END,
};

const struct result_field result_snapshot_verify[] = {
	{ .name = "name", .type = RESULT_STRING },
	{ .name = "ok", .type = RESULT_BOOL, .description = "true; damage is the error SNAPSHOT_DAMAGED" },
	{ .name = "chunks", .type = RESULT_INT, .description = "memory checksums that were checked" },
	{ .name = "data_bytes", .type = RESULT_INT, .description = "of the memory file that are not holes" },
	FIELD_TOTAL,
	FIELDS_END,
};

const struct result_field result_snapshot_remove[] = {
	{ .name = "name", .type = RESULT_STRING },
	{ .name = "removed", .type = RESULT_BOOL },
	{ .name = "files_removed", .type = RESULT_BOOL },
	{ .name = "files_kept",
	  .type = RESULT_STRING,
	  .nullable = true,
	  .description =
		  "why files that were to be removed are still there; null: they are not, or were not asked for" },
	FIELDS_END,
};

#define FIELDS_KERNEL                                                                                                 \
	{ .name = "name", .type = RESULT_STRING },                                                                    \
		{ .name = "version",                                                                                  \
		  .type = RESULT_STRING,                                                                              \
		  .nullable = true,                                                                                   \
		  .description = "what it says of itself; null: nothing" },                                           \
		{ .name = "format", .type = RESULT_STRING, .description = "of the file: bzimage or elf" },            \
		{ .name = "entries",                                                                                  \
		  .type = RESULT_STRING_ARRAY,                                                                        \
		  .description = "the ways into it: bzimage, elf64, pvh" },                                           \
		{ .name = "default_entry", .type = RESULT_STRING, .description = "the one that costs a boot least" }, \
		{ .name = "image_bytes", .type = RESULT_INT, .description = "of the file" },                          \
		{ .name = "cmdline",                                                                                  \
		  .type = RESULT_STRING,                                                                              \
		  .nullable = true,                                                                                   \
		  .description = "the default command line; null: none" },                                            \
		{ .name = "sha256", .type = RESULT_STRING, .description = "of the file, 64 hexadecimal digits" },     \
		{ .name = "added", .type = RESULT_STRING, .description = "RFC 3339, UTC" },                           \
	{                                                                                                             \
		.name = "users", .type = RESULT_STRING_ARRAY, .description = "ids of the VMs that hold it"            \
	}

static const struct result_field kernel_fields[] = { FIELDS_KERNEL, FIELDS_END };

const struct result_field result_kernel[] = {
	FIELDS_KERNEL,
	{ .name = "boot_protocol",
	  .type = RESULT_STRING,
	  .nullable = true,
	  .description = "of a bzImage, such as 2.15; null: it is an ELF" },
	{ .name = "packing",
	  .type = RESULT_STRING,
	  .nullable = true,
	  .description = "of a bzImage: gzip, xz, zstd, lz4, ...; null: it is an ELF" },
	{ .name = "vmlinux_bytes",
	  .type = RESULT_INT,
	  .description = "of the ELF that came out of a bzImage; 0: none did, or the file is one" },
	{ .name = "memory_bytes",
	  .type = RESULT_INT,
	  .description = "guest memory that it needs before it reads the memory map" },
	{ .name = "cmdline_max", .type = RESULT_INT, .description = "bytes of the longest command line that it takes" },
	FIELDS_END,
};

const struct result_field result_kernel_list[] = {
	{ .name = "kernels", .type = RESULT_OBJECT_ARRAY, .fields = kernel_fields },
	FIELDS_END,
};

const struct result_field result_kernel_remove[] = {
	{ .name = "name", .type = RESULT_STRING },
	{ .name = "removed", .type = RESULT_BOOL },
	FIELDS_END,
};

static const struct result_field vsock_fields[] = {
	{ .name = "cid", .type = RESULT_INT },
	{ .name = "path", .type = RESULT_STRING, .description = "the socket that leads to the guest" },
	FIELDS_END,
};

const struct result_field result_vm_start[] = {
	FIELD_VM,
	FIELD_VM_STATE,
	FIELD_SHAPE,
	{ .name = "snapshot",
	  .type = RESULT_STRING,
	  .nullable = true,
	  .description = "a name or a path; null: booted" },
	FIELD_KERNEL,
	{ .name = "vsock",
	  .type = RESULT_OBJECT,
	  .nullable = true,
	  .fields = vsock_fields,
	  .description = "how to reach the guest; null: it has no vsock" },
	{ .name = "temperature",
	  .type = RESULT_STRING,
	  .description = "warm or cold: of the slot that served the request" },
	FIELD_PHASES,
	{ .name = "state_injected_ns",
	  .type = RESULT_INT,
	  .description = "CLOCK_MONOTONIC when the whole state was in place" },
	{ .name = "entered_ns",
	  .type = RESULT_INT,
	  .nullable = true,
	  .description = "CLOCK_MONOTONIC when the boot vCPU entered KVM_RUN; null: not resumed" },
	FIELD_TOTAL,
	FIELDS_END,
};

const struct result_field result_vm_state[] = { FIELD_VM, FIELD_VM_STATE, FIELDS_END };

const struct result_field result_vm_snapshot[] = {
	FIELDS_SNAPSHOT,
	FIELD_VM,
	FIELD_VM_STATE,
	{ .name = "memory_bytes", .type = RESULT_INT, .description = "guest memory" },
	{ .name = "data_bytes", .type = RESULT_INT, .description = "of it not zero, hence in the file" },
	FIELD_PHASES,
	FIELD_TOTAL,
	FIELDS_END,
};

const struct result_field result_vm_balloon[] = {
	FIELD_VM,
	{ .name = "target_mib", .type = RESULT_INT, .description = "what the guest is asked to give back" },
	{ .name = "actual_mib", .type = RESULT_INT, .description = "what it says that it has given back" },
	{ .name = "reported_bytes",
	  .type = RESULT_INT,
	  .description = "given back as free since the VM was started; the same page may count often" },
	{ .name = "statistics",
	  .type = RESULT_INT_MAP,
	  .nullable = true,
	  .description = "the guest's own, in bytes or counts; null: it has given none yet" },
	{ .name = "statistics_age_ms",
	  .type = RESULT_INT,
	  .nullable = true,
	  .description = "since they were read; each call asks for new ones" },
	FIELDS_END,
};

const struct result_field result_vm_end[] = {
	FIELD_VM,
	{ .name = "exit_reason", .type = RESULT_STRING },
	FIELDS_END,
};

static const struct result_field vm_fields[] = { FIELDS_VM, FIELDS_END };

const struct result_field result_vm_list[] = {
	{ .name = "vms", .type = RESULT_OBJECT_ARRAY, .fields = vm_fields },
	FIELDS_END,
};

static const struct result_field vm_event_fields[] = {
	{ .name = "event", .type = RESULT_INT, .description = "the number that the guest wrote; 0: ready" },
	{ .name = "count", .type = RESULT_INT, .description = "how often" },
	{ .name = "first_ns", .type = RESULT_INT, .description = "nanoseconds after the VM was started" },
	{ .name = "last_ns", .type = RESULT_INT, .description = "nanoseconds after the VM was started" },
	FIELDS_END,
};

static const struct result_field vm_waits_fields[] = {
	{ .name = "for", .type = RESULT_STRING, .description = "disk" },
	{ .name = "since_ms", .type = RESULT_INT, .description = "milliseconds since something was last heard of it" },
	FIELDS_END,
};

const struct result_field result_vm_info[] = {
	FIELDS_VM,
	{ .name = "waits",
	  .type = RESULT_OBJECT,
	  .nullable = true,
	  .fields = vm_waits_fields,
	  .description = "what holds up an answer that it owes; null: nothing, or it owes none" },
	{ .name = "exit_detail",
	  .type = RESULT_STRING,
	  .nullable = true,
	  .description = "what else is known of the end" },
	{ .name = "events",
	  .type = RESULT_OBJECT_ARRAY,
	  .fields = vm_event_fields,
	  .description = "what the guest reported through the signal port" },
	{ .name = "devices",
	  .type = RESULT_OBJECT,
	  .description = "drives, net, vsock, rng and balloon as vm.boot takes them, with what was chosen" },
	FIELDS_END,
};

const struct result_field result_vm_wait[] = {
	FIELD_VM,
	{ .name = "what", .type = RESULT_STRING, .description = "ready, event or exit: what came" },
	{ .name = "event", .type = RESULT_INT, .optional = true, .description = "ready, event: the number; 0: ready" },
	{ .name = "count",
	  .type = RESULT_INT,
	  .optional = true,
	  .description = "ready, event: how often it was reported" },
	{ .name = "first_ns",
	  .type = RESULT_INT,
	  .optional = true,
	  .description = "ready, event: nanoseconds after the VM was started" },
	{ .name = "last_ns",
	  .type = RESULT_INT,
	  .optional = true,
	  .description = "ready, event: nanoseconds after the VM was started" },
	{ .name = "exit_reason", .type = RESULT_STRING, .optional = true, .description = "exit: why" },
	{ .name = "exit_detail",
	  .type = RESULT_STRING,
	  .optional = true,
	  .nullable = true,
	  .description = "exit: what else is known" },
	FIELDS_END,
};

const struct result_field result_vm_console[] = {
	{ .name = "offset", .type = RESULT_INT, .optional = true, .description = "read: of the first byte given" },
	{ .name = "next_offset", .type = RESULT_INT, .optional = true, .description = "read: where to go on" },
	{ .name = "dropped",
	  .type = RESULT_INT,
	  .optional = true,
	  .description = "read: bytes that were asked for and are no longer kept" },
	{ .name = "data", .type = RESULT_STRING, .optional = true, .description = "read: output, in the encoding" },
	{ .name = "encoding", .type = RESULT_STRING, .optional = true, .description = "read: utf8 or base64" },
	{ .name = "written",
	  .type = RESULT_INT,
	  .optional = true,
	  .description = "write: bytes that the serial port took" },
	FIELDS_END,
};

const struct result_field result_events_subscribe[] = {
	{ .name = "subscription", .type = RESULT_INT, .description = "its number; every event carries it" },
	{ .name = "kinds", .type = RESULT_STRING_ARRAY },
	FIELDS_END,
};

const struct result_field result_rpc_cancel[] = {
	{ .name = "cancelled", .type = RESULT_BOOL, .description = "whether a call with that id was open" },
	FIELDS_END,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of messages: one row a type, from which both ends take sizes and descriptor counts.
 */
#include "pool/message.h"

static const char *const phase_names[MESSAGE_PHASE_COUNT] = {
	[MESSAGE_PHASE_QUEUE] = "queue",
	[MESSAGE_PHASE_FORK] = "fork",
	[MESSAGE_PHASE_SANDBOX] = "sandbox",
	[MESSAGE_PHASE_VM_CREATE] = "vm_create",
	[MESSAGE_PHASE_IRQCHIP] = "irqchip",
	[MESSAGE_PHASE_PIT] = "pit",
	[MESSAGE_PHASE_MEMORY_REGISTER] = "memory_register",
	[MESSAGE_PHASE_VCPU_CREATE] = "vcpu_create",
	[MESSAGE_PHASE_PRIME] = "prime",
	[MESSAGE_PHASE_MEMORY_MAP] = "memory_map",
	[MESSAGE_PHASE_VCPU_STATE] = "vcpu_state",
	[MESSAGE_PHASE_IRQCHIP_STATE] = "irqchip_state",
	[MESSAGE_PHASE_DEVICE_STATE] = "device_state",
	[MESSAGE_PHASE_CLOCK] = "clock",
	[MESSAGE_PHASE_ENTER] = "enter",
};

const char *message_phase_name(enum message_phase phase)
{
	return (unsigned)phase < MESSAGE_PHASE_COUNT ? phase_names[phase] : NULL;
}

#define PAYLOAD(member) sizeof(((union message_payload *)NULL)->member)

const struct message_description message_table[MESSAGE_TYPE_COUNT] = {
	[MESSAGE_NONE] = { "none", 0, 0 },
	[MESSAGE_HOST] = { "host", PAYLOAD(host), 0 },
	[MESSAGE_FORK] = { "fork", PAYLOAD(fork), 1 },
	[MESSAGE_FORKED] = { "forked", PAYLOAD(forked), 0 },
	[MESSAGE_FAILED] = { "failed", PAYLOAD(text), 0 },
	[MESSAGE_REFUSED] = { "refused", PAYLOAD(text), 0 },
	[MESSAGE_DONE] = { "done", 0, 0 },
	[MESSAGE_PROGRESS] = { "progress", PAYLOAD(progress), 0 },
	[MESSAGE_WARM] = { "warm", PAYLOAD(phases), 0 },
	[MESSAGE_DRIVE] = { "drive", PAYLOAD(drive), 1 },
	[MESSAGE_DRIVE_OVERLAY] = { "drive_overlay", PAYLOAD(drive_overlay), 1 },
	[MESSAGE_NET] = { "net", PAYLOAD(net), 1 },
	[MESSAGE_VSOCK] = { "vsock", PAYLOAD(vsock), 1 },
	[MESSAGE_VSOCK_NO_LISTENER] = { "vsock_no_listener", PAYLOAD(vsock), 0 },
	[MESSAGE_RNG] = { "rng", PAYLOAD(rng), 0 },
	[MESSAGE_BALLOON] = { "balloon", PAYLOAD(balloon), 0 },
	[MESSAGE_METADATA] = { "metadata", PAYLOAD(metadata), 0 },
	[MESSAGE_KERNEL] = { "kernel", PAYLOAD(kernel), 1 },
	[MESSAGE_INITRD] = { "initrd", 0, 1 },
	[MESSAGE_BOOT] = { "boot", PAYLOAD(start), 1 },
	[MESSAGE_BOOT_LINUX] = { "boot_linux", PAYLOAD(start), 0 },
	[MESSAGE_RESTORE] = { "restore", PAYLOAD(start), 2 },
	[MESSAGE_STARTED] = { "started", PAYLOAD(phases), 0 },
	[MESSAGE_PAUSE] = { "pause", 0, 0 },
	[MESSAGE_RESUME] = { "resume", 0, 0 },
	[MESSAGE_SNAPSHOT_OVERLAY] = { "snapshot_overlay", PAYLOAD(snapshot_overlay), 1 },
	[MESSAGE_SNAPSHOT] = { "snapshot", PAYLOAD(snapshot), 2 },
	[MESSAGE_SNAPSHOT_DONE] = { "snapshot_done", PAYLOAD(snapshot_done), 0 },
	[MESSAGE_CONSOLE_READ] = { "console_read", PAYLOAD(console_read), 0 },
	[MESSAGE_CONSOLE_DATA] = { "console_data", PAYLOAD(console_data), 0 },
	[MESSAGE_CONSOLE_WRITE] = { "console_write", PAYLOAD(console_write), 0 },
	[MESSAGE_CONSOLE_WRITTEN] = { "console_written", PAYLOAD(console_written), 0 },
	[MESSAGE_SIGNALLED] = { "signalled", PAYLOAD(signalled), 0 },
	[MESSAGE_OUTPUT] = { "output", 0, 0 },
	[MESSAGE_EXITED] = { "exited", PAYLOAD(exited), 0 },
	[MESSAGE_POWER_BUTTON] = { "power_button", 0, 0 },
	[MESSAGE_BALLOON_ASK] = { "balloon_ask", PAYLOAD(balloon_ask), 0 },
	[MESSAGE_BALLOON_STATUS] = { "balloon_status", PAYLOAD(balloon_status), 0 },
	[MESSAGE_VSOCK_CONNECT] = { "vsock_connect", PAYLOAD(vsock_connect), 0 },
	[MESSAGE_VSOCK_CONNECTED] = { "vsock_connected", PAYLOAD(vsock_answer), 1 },
	[MESSAGE_VSOCK_REFUSED] = { "vsock_refused", PAYLOAD(vsock_answer), 0 },
	[MESSAGE_STOP] = { "stop", 0, 0 },
	[MESSAGE_LOADER_READY] = { "loader_ready", 0, 0 },
	[MESSAGE_LOAD] = { "load", PAYLOAD(load), 2 },
	[MESSAGE_LOADED] = { "loaded", PAYLOAD(loaded), 1 },
	[MESSAGE_KERNEL_LOAD] = { "kernel_load", 0, 3 },
	[MESSAGE_KERNEL_LOADED] = { "kernel_loaded", PAYLOAD(kernel_loaded), 0 },
};

void message_loaded_shape(const struct message_loaded *loaded, struct machine_shape *ret_shape)
{
	*ret_shape = (struct machine_shape){
		.vcpus = loaded->vcpus,
		.cpu_template = (enum cpu_template)loaded->cpu_template,
		.memory_size = loaded->memory_size,
		.disks = loaded->disks,
		.rngs = loaded->rngs,
		.vsocks = loaded->vsocks,
		.nets = loaded->nets,
		.balloons = loaded->balloons,
		.no_pit_reinject = loaded->no_pit_reinject != 0,
	};
}

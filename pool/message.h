/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor, the zygote, the workers and the loader say to each other.
 *
 * One message is one SOCK_SEQPACKET packet: a header and a payload of the fixed size that message_table gives for its type, with
 * the number of file descriptors given there. Both ends run the same executable, yet neither trusts the other: channel_receive()
 * drops what does not fit the table, and whoever sent it.
 */
#ifndef EMBER_POOL_MESSAGE_H
#define EMBER_POOL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/machine.h"
#include "devices/virtio/rate_limit.h"
#include "kvm/host.h"
#include "pool/devices.h"

#define MESSAGE_MAGIC       UINT32_C(0x4d424d45) /* "EMBM", little-endian */
#define MESSAGE_VERSION     1
#define MESSAGE_FDS_MAX     3
#define MESSAGE_CONSOLE_MAX 4096 /* bytes of console data in one message */
#define MESSAGE_TEXT_MAX    256
#define MESSAGE_SHA256_SIZE 32
#define MESSAGE_PHASE_NONE  UINT64_MAX

#define MESSAGE_SERIAL_SIZE        24 /* bytes of a drive's serial, with the terminating NUL and padding */
#define MESSAGE_BALLOON_STATISTICS 10 /* kinds of them */

/* The phases of a start, in the order in which they happen. */
enum message_phase {
	MESSAGE_PHASE_QUEUE = 0,       /* waiting for a slot */
	MESSAGE_PHASE_FORK,            /* zygote's fork until the worker runs */
	MESSAGE_PHASE_SANDBOX,         /* privilege stages and syscall filter */
	MESSAGE_PHASE_VM_CREATE,       /* KVM_CREATE_VM */
	MESSAGE_PHASE_MEMORY_REGISTER, /* KVM_SET_USER_MEMORY_REGION */
	MESSAGE_PHASE_IRQCHIP,         /* KVM_CREATE_IRQCHIP */
	MESSAGE_PHASE_PIT,             /* KVM_CREATE_PIT2 */
	MESSAGE_PHASE_VCPU_CREATE,     /* KVM_CREATE_VCPU, KVM_SET_CPUID2 */
	MESSAGE_PHASE_PRIME,           /* vCPU threads and their first run */
	MESSAGE_PHASE_MEMORY_MAP,      /* memory laid over the reserved range (boot: and the image copied) */
	MESSAGE_PHASE_VCPU_STATE,
	MESSAGE_PHASE_IRQCHIP_STATE,
	MESSAGE_PHASE_DEVICE_STATE,
	MESSAGE_PHASE_CLOCK,
	MESSAGE_PHASE_ENTER, /* until the boot vCPU's thread is in KVM_RUN */
	MESSAGE_PHASE_COUNT,
};
const char *message_phase_name(enum message_phase phase); /* "queue", ... or NULL */

enum message_type {
	MESSAGE_NONE = 0,
	/* to and from the zygote */
	MESSAGE_HOST,   /* zygote: the probe's result; its first message */
	MESSAGE_FORK,   /* supervisor: fork a process; fd: its end of a channel */
	MESSAGE_FORKED, /* zygote: it runs (MESSAGE_REFUSED where fork failed) */
	/* from a worker or the loader at any time */
	MESSAGE_FAILED,   /* a stage failed; the process exits */
	MESSAGE_REFUSED,  /* the answer to a request that could not be done */
	MESSAGE_DONE,     /* the answer to a request that has nothing else to say */
	MESSAGE_PROGRESS, /* of a request in progress */
	/* worker */
	MESSAGE_WARM, /* built and confined */
	/*
	 * What the VM is given, before the BOOT, BOOT_LINUX or RESTORE that makes use of it, with the same request. None of them
	 * is answered. As many devices of each kind as the shape has; those of a kind by their index, from 0 on.
	 */
	MESSAGE_DRIVE,             /* fd: image */
	MESSAGE_DRIVE_OVERLAY,     /* of the drive before; fd: a layer over its image */
	MESSAGE_NET,               /* fd: TAP device */
	MESSAGE_VSOCK,             /* fd: listening socket */
	MESSAGE_VSOCK_NO_LISTENER, /* a vsock to which nobody connects */
	MESSAGE_RNG,
	MESSAGE_BALLOON,
	MESSAGE_METADATA, /* optional */
	MESSAGE_KERNEL,   /* before BOOT_LINUX; fd: kernel */
	MESSAGE_INITRD,   /* optional, after KERNEL; fd: initrd */
	MESSAGE_BOOT,     /* fd: flat image */
	MESSAGE_BOOT_LINUX,
	MESSAGE_RESTORE, /* fds: memory file, sealed state */
	MESSAGE_STARTED,
	MESSAGE_PAUSE,
	MESSAGE_RESUME,
	MESSAGE_SNAPSHOT_OVERLAY, /* fd: an empty file, for a drive's overlay; before the SNAPSHOT with the same request */
	MESSAGE_SNAPSHOT,         /* fds: state file, memory file */
	MESSAGE_SNAPSHOT_DONE,
	MESSAGE_CONSOLE_READ,
	MESSAGE_CONSOLE_DATA,
	MESSAGE_CONSOLE_WRITE,
	MESSAGE_CONSOLE_WRITTEN,
	MESSAGE_SIGNALLED,
	MESSAGE_OUTPUT, /* console output since the last CONSOLE_READ that reached the end */
	MESSAGE_EXITED,
	MESSAGE_POWER_BUTTON,
	MESSAGE_BALLOON_ASK,
	MESSAGE_BALLOON_STATUS,
	MESSAGE_VSOCK_CONNECT,   /* the guest connects to a port of the host's */
	MESSAGE_VSOCK_CONNECTED, /* the answer, which has none itself; fd: a connected socket */
	MESSAGE_VSOCK_REFUSED,   /* likewise */
	MESSAGE_STOP,
	/* loader */
	MESSAGE_LOADER_READY,
	MESSAGE_LOAD,   /* fds: state.json, memory.snap */
	MESSAGE_LOADED, /* fd: sealed state */
	MESSAGE_KERNEL_LOAD, /* fds: a kernel's file; empty files, open for reading and writing: for its copy and for its ELF */
	MESSAGE_KERNEL_LOADED, /* both are written */
	MESSAGE_TYPE_COUNT,
};

struct message_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint64_t request; /* chosen by who asks, repeated in the answer; 0 in messages that answer nothing */
	uint32_t payload_size;
	uint32_t padding;
};

/* The probe's result, as far as the supervisor needs it. */
struct message_host {
	int32_t api_version;
	uint32_t xsave_size;
	uint32_t tsc_khz;
	uint32_t tsc_control;
	uint32_t tsc_settable;
	uint32_t tsc_advances;
	uint32_t tsc_rate_wrong;
	uint32_t tsc_measured_khz;
	uint32_t max_vcpus;
	uint32_t msr_count;
	uint32_t cpuid_count;
	uint32_t capability_count;
	int32_t capability_values[HOST_CAPABILITIES_MAX]; /* in the order of host_capabilities[] */
};

enum message_role {
	MESSAGE_ROLE_WORKER = 0,
	MESSAGE_ROLE_LOADER,
};

struct message_fork {
	uint32_t role;
	uint32_t vcpus; /* workers: the shape */
	uint32_t cpu_template;
	uint32_t disks;
	uint32_t rngs;
	uint32_t vsocks;
	uint32_t nets;
	uint32_t balloons;
	uint32_t no_pit_reinject;
	uint32_t padding;
	uint64_t memory_size;
	uint64_t sent_ns; /* CLOCK_MONOTONIC */
};

struct message_forked {
	int32_t pid; /* a child of the supervisor, which has not reaped it: the id is nobody else's */
	uint32_t padding;
};

struct message_text {                /* FAILED, REFUSED */
	int32_t error;               /* negative errno */
	uint32_t reason;             /* REFUSED: enum reason; one that its sender may say, once received */
	char stage[32];              /* FAILED: which stage; terminated, printable ASCII once received */
	char text[MESSAGE_TEXT_MAX]; /* likewise */
};

struct message_progress {
	uint64_t done; /* bytes */
	uint64_t total;
};

struct message_phases { /* WARM, STARTED */
	uint64_t phases_ns[MESSAGE_PHASE_COUNT];
	uint64_t injected_ns; /* STARTED: CLOCK_MONOTONIC */
	uint64_t entered_ns;
};

struct message_drive {
	uint32_t index; /* of the drive: 0, 1, ... in this order */
	uint32_t read_only;
	uint64_t overlay_limit; /* as in struct disk_options */
	struct rate_limit_options limit;
	char serial[MESSAGE_SERIAL_SIZE]; /* terminated */
};

enum message_layer {
	MESSAGE_LAYER_BASE = 0, /* what a snapshot keeps: read only */
	MESSAGE_LAYER_OVERLAY,  /* what this VM writes */
	MESSAGE_LAYER_COUNT,
};

struct message_drive_overlay {
	uint32_t index; /* of the drive: the last one that was given */
	uint32_t layer; /* enum message_layer */
};

struct message_net {
	uint32_t index; /* 0, 1, ... in this order */
	uint32_t offloads;
	uint8_t mac[8]; /* 6 bytes, and padding */
	struct rate_limit_options to_guest;
	struct rate_limit_options from_guest;
};

struct message_vsock { /* VSOCK, VSOCK_NO_LISTENER */
	uint32_t cid;
	uint32_t padding;
};

struct message_balloon {
	uint32_t deflate_on_oom;
	uint32_t free_page_reporting;
	uint32_t target_mib;
	uint32_t padding;
};

struct message_metadata {
	uint32_t size; /* bytes of data in use */
	uint32_t padding;
	uint8_t data[POOL_METADATA_SIZE];
};

struct message_kernel {
	uint32_t entry; /* enum kernel_entry */
	uint32_t padding;
	char cmdline[POOL_CMDLINE_SIZE]; /* terminated */
};

struct message_start {  /* BOOT, BOOT_LINUX, RESTORE */
	uint32_t entry; /* BOOT: enum entry_mode */
	uint32_t paused;
	uint32_t jump_clock; /* RESTORE: the guest's clock jumps to the host's time */
	uint32_t padding;
};

struct message_snapshot_overlay {
	uint32_t index; /* of the drive; more than that of the one before */
	uint32_t padding;
};

struct message_snapshot {
	uint32_t resume;
	uint32_t padding;
};

struct message_snapshot_done {
	uint64_t pause_ns;
	uint64_t vcpu_ns;
	uint64_t irqchip_ns;
	uint64_t clock_ns;
	uint64_t devices_ns;
	uint64_t memory_ns;
	uint64_t overlays_ns;  /* the drives' overlays copied */
	uint64_t state_ns;     /* state.json formed and written */
	uint64_t memory_bytes; /* guest memory */
	uint64_t data_bytes;   /* of them not zero, hence in the file */
	uint32_t running;      /* the VM runs again */
	uint32_t padding;
};

struct message_console_read {
	uint64_t offset;
	uint32_t max;
	uint32_t padding;
};

struct message_console_data {
	uint64_t offset;
	uint64_t dropped;
	uint32_t size;
	uint32_t padding;
	uint8_t data[MESSAGE_CONSOLE_MAX];
};

struct message_console_write {
	uint32_t size;
	uint32_t padding;
	uint8_t data[MESSAGE_CONSOLE_MAX];
};

struct message_console_written {
	uint32_t written;
	uint32_t padding;
};

struct message_signalled {
	uint32_t number;
	uint32_t padding;
	uint64_t count;
	uint64_t first_ns;
	uint64_t last_ns;
};

struct message_balloon_ask {
	uint32_t has_target; /* else the target stays as it is */
	uint32_t target_mib;
};

struct message_balloon_status {
	uint64_t target_bytes;   /* in the balloon, as the host wants it */
	uint64_t actual_bytes;   /* in the balloon, as the guest says; it may say more than it has */
	uint64_t reported_bytes; /* given back as free since the VM was started; the same page may count often */
	uint64_t statistics_ns;  /* CLOCK_MONOTONIC when the following were read; 0: the guest has given none */
	uint64_t statistics[MESSAGE_BALLOON_STATISTICS]; /* by tag (virtio 1.2, 5.5.6.4); bytes, or a count of events */
	uint32_t statistics_known;                       /* bit n: the guest gave statistics[n] */
	uint32_t previous_target_mib;                    /* what the target was before the question set it */
};

struct message_vsock_connect {
	uint64_t cookie; /* the worker's, repeated in the answer */
	uint32_t port;
	uint32_t padding;
};

struct message_vsock_answer { /* VSOCK_CONNECTED, VSOCK_REFUSED */
	uint64_t cookie;
};

struct message_exited {
	uint32_t reason; /* enum machine_exit */
	uint32_t vcpu;
	uint64_t code;
	uint64_t rip;
	char text[MESSAGE_TEXT_MAX]; /* terminated */
};

struct message_load {
	uint32_t verify_memory;
	uint32_t padding;
};

struct message_loaded {
	uint32_t vcpus;
	uint32_t cpu_template;
	uint64_t memory_size;
	uint64_t created_unix_ns;
	uint64_t state_crc64;
	uint64_t data_bytes; /* of memory.snap that are not holes; 0 where the memory was not verified */
	uint32_t chunk_count;
	uint32_t disks; /* the rest of the shape */
	uint32_t rngs;
	uint32_t vsocks;
	uint32_t nets;
	uint32_t balloons;
	uint32_t no_pit_reinject;
	uint32_t padding;
};
/* The shape that a loader speaks of; it may be one that cannot be. */
void message_loaded_shape(const struct message_loaded *loaded, struct machine_shape *ret_shape);

/* What a kernel's file is: as kvm/linux/kernel_image.h has it, for the file and for the ELF that came out of it. */
struct message_kernel_loaded {
	uint32_t format;      /* enum kernel_format, of the file */
	uint32_t packing;     /* enum kernel_packing: of a bzImage's payload; of an ELF KERNEL_PACKING_NONE */
	uint32_t entries;     /* bits 1 << enum kernel_entry, at least one */
	uint32_t protocol;    /* of a bzImage's boot protocol: 0x020f is 2.15; of an ELF 0 */
	uint32_t cmdline_max; /* bytes, without the terminating NUL */
	uint32_t padding;
	uint64_t image_size;  /* bytes of the file and its copy */
	uint64_t elf_size;    /* bytes of the ELF that came out of it; 0: none did, or the file is an ELF itself */
	uint64_t memory_size; /* bytes of guest memory that it needs before it reads the memory map */
	uint8_t sha256[MESSAGE_SHA256_SIZE]; /* of the file */
	char version[MESSAGE_TEXT_MAX];      /* terminated, printable ASCII once received; "": it has none */
};

union message_payload {
	struct message_host host;
	struct message_fork fork;
	struct message_forked forked;
	struct message_text text;
	struct message_progress progress;
	struct message_phases phases;
	struct message_drive drive;
	struct message_drive_overlay drive_overlay;
	struct message_net net;
	struct message_vsock vsock;
	struct rate_limit_options rng;
	struct message_balloon balloon;
	struct message_metadata metadata;
	struct message_kernel kernel;
	struct message_start start;
	struct message_snapshot_overlay snapshot_overlay;
	struct message_snapshot snapshot;
	struct message_snapshot_done snapshot_done;
	struct message_console_read console_read;
	struct message_console_data console_data;
	struct message_console_write console_write;
	struct message_console_written console_written;
	struct message_signalled signalled;
	struct message_exited exited;
	struct message_balloon_ask balloon_ask;
	struct message_balloon_status balloon_status;
	struct message_vsock_connect vsock_connect;
	struct message_vsock_answer vsock_answer;
	struct message_load load;
	struct message_loaded loaded;
	struct message_kernel_loaded kernel_loaded;
};

struct message {
	struct message_header header;
	union message_payload payload;
	int fds[MESSAGE_FDS_MAX]; /* not on the wire; -1 where there is none */
	uint32_t fd_count;
};

/* What each type carries. */
struct message_description {
	const char *name;
	uint32_t payload_size;
	uint32_t fd_count;
};
extern const struct message_description message_table[MESSAGE_TYPE_COUNT];

_Static_assert(sizeof(struct message_header) == 24, "the header is part of the protocol");
_Static_assert(sizeof(struct message_phases) == sizeof(uint64_t) * (MESSAGE_PHASE_COUNT + 2), "no holes");
_Static_assert(sizeof(struct message_console_data) == 24 + MESSAGE_CONSOLE_MAX, "no holes");
_Static_assert(sizeof(struct message_fork) == 56, "no holes");
_Static_assert(sizeof(struct message_drive) == 48 + MESSAGE_SERIAL_SIZE, "no holes");
_Static_assert(sizeof(struct message_net) == 80, "no holes");
_Static_assert(sizeof(struct message_metadata) == 8 + POOL_METADATA_SIZE, "no holes");
_Static_assert(sizeof(struct message_kernel) == 8 + POOL_CMDLINE_SIZE, "no holes");
_Static_assert(sizeof(struct message_balloon_status) == 40 + 8 * MESSAGE_BALLOON_STATISTICS, "no holes");
_Static_assert(sizeof(struct message_kernel_loaded) == 48 + MESSAGE_SHA256_SIZE + MESSAGE_TEXT_MAX, "no holes");
_Static_assert(sizeof(struct message_text) == 40 + MESSAGE_TEXT_MAX, "no holes");

#endif

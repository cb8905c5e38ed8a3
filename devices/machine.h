/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine: a VM shell, its vCPUs, its memory and the devices on its buses, wired together. What a worker runs.
 *
 * machine_create() does everything that does not depend on what will run; the result is a warm shell. A boot or a
 * restore then lays memory, sets state, and calls machine_run().
 */
#ifndef EMBER_DEVICES_MACHINE_H
#define EMBER_DEVICES_MACHINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/serial.h"
#include "devices/signal_port.h"
#include "kvm/cpuid.h"
#include "kvm/entry.h"
#include "kvm/error_detail.h"
#include "kvm/host.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define MACHINE_VCPUS_MAX    8
#define MACHINE_DISKS_MAX    8
#define MACHINE_RNGS_MAX     1
#define MACHINE_VSOCKS_MAX   1
#define MACHINE_NETS_MAX     4
#define MACHINE_BALLOONS_MAX 1
#define MACHINE_VIRTIO_MAX \
	(MACHINE_DISKS_MAX + MACHINE_RNGS_MAX + MACHINE_VSOCKS_MAX + MACHINE_NETS_MAX + MACHINE_BALLOONS_MAX)

/* What a warm machine must match to take a snapshot: the part of a VM that is built before a request is known. */
struct machine_shape {
	uint32_t vcpus; /* 1 .. MACHINE_VCPUS_MAX */
	enum cpu_template cpu_template;
	uint64_t memory_size; /* bytes; whole MiB */
	/* Virtio devices, each absent for the guest until it is configured. */
	uint32_t disks;       /* 0 .. MACHINE_DISKS_MAX */
	uint32_t rngs;        /* 0 .. MACHINE_RNGS_MAX */
	uint32_t vsocks;      /* 0 .. MACHINE_VSOCKS_MAX */
	uint32_t nets;        /* 0 .. MACHINE_NETS_MAX */
	uint32_t balloons;    /* 0 .. MACHINE_BALLOONS_MAX */
	bool no_pit_reinject; /* ticks of the PIT that the guest has not taken are dropped: see vm_drop_missed_ticks() */
};

/* Can a snapshot of the one be restored into the other? */
bool machine_shape_equal(const struct machine_shape *one, const struct machine_shape *other);

/* 0, or -EINVAL with the field in detail. */
int machine_shape_check(const struct machine_shape *shape, struct error_detail *detail);

/* Why the machine ended by itself. */
enum machine_exit {
	MACHINE_EXIT_RESET = 0,      /* the guest pulsed the reset line */
	MACHINE_EXIT_SHUTDOWN,       /* triple fault */
	MACHINE_EXIT_SYSTEM_EVENT,   /* KVM_EXIT_SYSTEM_EVENT */
	MACHINE_EXIT_INTERNAL_ERROR, /* KVM could not go on; see code and rip */
	MACHINE_EXIT_MEMORY_FAULT,   /* no memory behind an address: the snapshot's file was cut short */
	MACHINE_EXIT_POWER_OFF,      /* the guest turned itself off */
	MACHINE_EXIT_PANIC,          /* the guest's kernel says that it has panicked */
};

/*
 * "reset", "shutdown", "system_event", "internal_error", "memory_fault", "power_off", "panic"; NULL for what is none.
 */
const char *machine_exit_name(enum machine_exit reason);

struct machine_exit_info {
	enum machine_exit reason;
	uint32_t vcpu;
	struct vcpu_stop_info stop;
};

/* Called on vCPU threads, without locks held. They must not call machine_*(). Each may be NULL. */
struct machine_callbacks {
	void *opaque;
	/* The guest has written to the signal port (devices/signal_port.h). */
	void (*signalled)(void *opaque, uint8_t number, const struct signal_record *record);
	/* There is console output (devices/serial.h, struct serial_options). */
	void (*output_ready)(void *opaque);
	/* Once, when the first vCPU ends the machine; the others were asked to pause before. */
	void (*exited)(void *opaque, const struct machine_exit_info *info);
};

/* Nanoseconds of CLOCK_MONOTONIC for each step of machine_create(); vCPU steps are sums. */
struct machine_create_times {
	struct vm_create_times vm;
	struct vcpu_create_times vcpus;
};

struct machine;
struct fw_cfg;         /* devices/fw_cfg.h */
struct generation_id;  /* devices/generation_id.h */
struct power;          /* devices/power.h */
struct virtio_balloon; /* devices/virtio/balloon/balloon.h */
struct virtio_blk;     /* devices/virtio/blk/blk.h */
struct virtio_device;  /* devices/virtio/virtio.h */
struct virtio_net;     /* devices/virtio/net/net.h */
struct virtio_rng;     /* devices/virtio/rng.h */
struct virtio_vsock;   /* devices/virtio/vsock/vsock.h */

/* Where the guest finds a virtio device, absent or present; what ACPI tells it of those present. */
struct machine_window {
	struct virtio_device *device;
	uint64_t base; /* guest-physical; VIRTIO_MMIO_WINDOW bytes */
	uint32_t gsi;  /* an edge-triggered line */
};

/* What a vCPU's handlers are given: which vCPU of which machine. */
struct machine_vcpu {
	struct machine *machine;
	uint32_t index;
	enum machine_exit end; /* how a device's handler wants the machine to end, where the vCPU stopped for that */
};

struct machine {
	struct machine_shape shape;
	struct vm vm;
	struct vcpu *vcpus[MACHINE_VCPUS_MAX];
	struct bus bus;
	struct serial *serial;
	struct signal_port *signal_port;
	struct power *power;
	struct generation_id *generation_id;
	struct fw_cfg *fw_cfg;
	/* As many as the shape says; to be configured before a boot or a restore. */
	struct virtio_blk *disks[MACHINE_DISKS_MAX];
	struct virtio_rng *rngs[MACHINE_RNGS_MAX];
	struct virtio_vsock *vsocks[MACHINE_VSOCKS_MAX];
	struct virtio_net *nets[MACHINE_NETS_MAX];
	struct virtio_balloon *balloons[MACHINE_BALLOONS_MAX];
	uint32_t window_count;
	struct machine_window windows[MACHINE_VIRTIO_MAX];
	struct machine_callbacks callbacks;
	struct cpuid_table *cpuid; /* of each vCPU, shape.vcpus tables */
	struct machine_vcpu handles[MACHINE_VCPUS_MAX];
	pthread_mutex_t lock; /* guards exited, and vcpus[] against their end */
	bool exited;          /* set once; see machine_has_exited() */
	bool started;         /* machine_run() was called */
	bool running;         /* between machine_run() and machine_pause() */
};

/*
 * Build a machine: VM, irqchip, PIT, memory reserved and registered, devices, vCPUs with CPUID, primed and parked.
 *
 * One thread builds, boots, runs, pauses and frees a machine; the functions below are not for several at once.
 * Devices may be called from any thread, as their headers say.
 *
 * host       must outlive the machine
 * callbacks  copied
 * ret_times  may be NULL
 *
 * Returns 0, -EINVAL (shape), or -errno of the step that detail names. The caller ends it with machine_free().
 */
int machine_create(const struct kvm_host *host, const struct machine_shape *shape,
		   const struct machine_callbacks *callbacks, struct machine **ret_machine,
		   struct machine_create_times *ret_times, struct error_detail *detail);

/*
 * Load a flat image into fresh memory of a machine that has not run, and set the boot vCPU to its entry mode.
 *
 * image  open for reading; a regular file or memfd of 1 byte up to what fits in memory above the entry's load address
 *        (entry_image_gpa()). Read from its start with pread(2), trusted in nothing, not consumed.
 *
 * Returns 0; -EINVAL (not a regular file, or empty); -EFBIG (does not fit); -ENODATA (it got shorter while it was
 * read); -EBUSY (the machine has run); else -errno of the step that detail names. Guest memory is undefined after a
 * failure.
 */
int machine_boot_image(struct machine *machine, int image, enum entry_mode mode, struct error_detail *detail);

/*
 * Let all vCPUs run, the boot vCPU first.
 *
 * Returns 0, -EBUSY if they run, -ESHUTDOWN if the machine has exited.
 */
int machine_run(struct machine *machine);

/*
 * As machine_run(), for a machine that has stood still for a while: paused, or restored to stand. The PIT goes on from
 * here; the ticks of the time between are not made up for. A guest that uses kvmclock is told that it was paused, so
 * that its watchdogs do not take the time between for a lock-up.
 */
int machine_resume(struct machine *machine);

/*
 * Stop all vCPUs at instruction boundaries, together; returns when all are parked, and devices have finished what was
 * in flight or put it back to be done again later: guest memory does not change any more. How long that takes is not
 * the guest's to choose, but for a disk's flush, which takes as long as the host's file system needs. Not from a vCPU's
 * thread. The machine may have exited meanwhile: see machine_has_exited().
 */
void machine_pause(struct machine *machine);

/* Has a vCPU ended the machine? Any thread. What is not paused then, pauses soon: machine_pause() waits for it. */
bool machine_has_exited(struct machine *machine);

/* Close vCPUs, VM and devices. Takes NULL; returns NULL. Slow (10 to 20 ms). */
struct machine *machine_free(struct machine *machine);

/*
 * The system calls that a machine makes once it is built, besides those of kvm_runtime_syscalls[] (kvm/vm.h): for a
 * syscall filter. The ioctl(2) requests are all in kvm_runtime_ioctls[].
 */
extern const int machine_runtime_syscalls[];
extern const size_t machine_runtime_syscall_count;

#endif

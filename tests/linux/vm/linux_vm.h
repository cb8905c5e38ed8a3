/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of linux_vm.
 */
#ifndef EMBER_TESTS_LINUX_LINUX_VM_H
#define EMBER_TESTS_LINUX_LINUX_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/machine.h"
#include "kvm/error_detail.h"
#include "kvm/linux/boot.h"
#include "snapshot/state.h"

#define MIB (UINT64_C(1) << 20)

struct options {
	const char *kernel;
	const char *initrd;
	const char *cmdline;
	const char *snapshot; /* folder to save to when the guest asks; NULL: do not */
	const char *restore;  /* folder to start from, instead of a kernel; NULL: boot */
	const char *disk;     /* image; NULL: no disk */
	const char *overlay;  /* its overlay; NULL: the image is written */
	const char *vsock;    /* path of the socket by which the guest's ports are reached; NULL: no vsock */
	const char *tap;      /* NULL: no network */
	bool rng;
	enum kernel_entry entry;
	uint32_t vcpus;
	uint64_t memory_mib;
	uint64_t timeout_s;
};

/* Says what went wrong, and ends the program. */
__attribute__((noreturn)) void fail(const char *what, int result, const struct error_detail *detail);

/* Show the devices that options name to the guest of a fresh machine. */
void linux_vm_configure(struct machine *machine, const struct options *options);

/* A new generation ID, and its event, as a restore makes them. Any thread. */
void linux_vm_change_generation(struct machine *machine);

/* Load the kernel that options name into a fresh machine. */
void linux_vm_boot(struct machine *machine, const struct options *options);

/* Save a paused machine to options->snapshot, and its disk's overlay to a file of that name and ".overlay". */
void linux_vm_save(struct machine *machine, const struct options *options);

/* Read a folder's state; the caller frees it. */
struct vm_state *linux_vm_load(const char *folder);

/* Put a state and its folder's memory into a fresh machine. */
void linux_vm_inject(struct machine *machine, const struct vm_state *state, const char *folder);

#endif

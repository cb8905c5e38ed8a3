/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting a machine into a Linux kernel.
 */
#ifndef EMBER_DEVICES_MACHINE_LINUX_H
#define EMBER_DEVICES_MACHINE_LINUX_H

#include "devices/machine.h"
#include "kvm/linux/kernel_image.h"

struct machine_linux_options {
	int kernel; /* open for reading, a regular file or memfd; read with pread(2), trusted in nothing, not consumed */
	enum kernel_entry entry; /* one that the kernel has; a bzImage has KERNEL_ENTRY_BZIMAGE alone */
	int initrd;              /* likewise; -1: none */
	const char *cmdline;     /* the kernel's command line, whole */
};

/*
 * Load a Linux kernel into fresh memory of a machine that has not run, with ACPI tables of what the machine has, and
 * set the boot vCPU to its entry; the others wait for INIT and SIPI.
 *
 * Virtio devices that have been configured before are in the tables; the guest knows nothing of the others, nor of
 * metadata's absence: that file is there always (devices/fw_cfg.h). The guest gets a generation ID, and, where it is
 * entered with a zero page, a seed for its random numbers.
 *
 * Returns 0; -EBUSY (the machine has run); -EINVAL (entry is none, a file that is not regular, or a header that
 * contradicts itself); -ENODATA (a file that is empty, truncated, or got shorter while it was read); -ENOEXEC (not a
 * kernel); -EOPNOTSUPP (for another architecture, or the kernel has no such entry); -EFBIG (kernel, initrd or command
 * line does not fit); or -errno of the step that detail names. Guest memory is undefined after a failure, and the
 * machine must not run.
 */
int machine_boot_linux(struct machine *machine, const struct machine_linux_options *options,
		       struct error_detail *detail);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM is given at its start besides memory and registers: the files and sockets behind its devices, and a kernel.
 *
 * Plain data. Descriptors belong to whoever fills it in; pool_vm_start() duplicates what it keeps. A VM's shape says how
 * many devices of each kind its worker was built with: as many as there are here.
 */
#ifndef EMBER_POOL_DEVICES_H
#define EMBER_POOL_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/fw_cfg.h"
#include "devices/machine.h"
#include "devices/virtio/rate_limit.h"
#include "kvm/linux/boot.h"
#include "kvm/linux/kernel_image.h"

#define POOL_SERIAL_SIZE   21                      /* bytes of a disk's id, with the terminating NUL */
#define POOL_CMDLINE_SIZE  (LINUX_CMDLINE_MAX + 1) /* bytes of a kernel's command line, with the terminating NUL */
#define POOL_METADATA_SIZE FW_CFG_METADATA_SIZE    /* bytes of the metadata document at most */

struct pool_drive {
	int image;              /* open for reading; for writing too where it is written in place */
	int base;               /* the overlay that a snapshot keeps, open for reading; -1: none */
	int overlay;            /* open for both: where this VM's writes go; -1: none */
	uint64_t overlay_limit; /* bytes that the overlay may hold; 0: as many as the image has */
	bool read_only;
	char serial[POOL_SERIAL_SIZE];
	struct rate_limit_options limit;
};

struct pool_net {
	int tap; /* as struct virtio_net_options wants it */
	uint8_t mac[6];
	bool offloads;
	struct rate_limit_options to_guest;
	struct rate_limit_options from_guest;
};

struct pool_vsock {
	int listener; /* a listening stream socket, non-blocking; -1: nobody connects to the guest */
	uint32_t cid;
};

struct pool_balloon {
	bool deflate_on_oom;
	bool free_page_reporting;
	uint32_t target_mib;
};

struct pool_devices {
	uint32_t drive_count;
	struct pool_drive drives[MACHINE_DISKS_MAX];
	uint32_t net_count;
	struct pool_net nets[MACHINE_NETS_MAX];
	bool has_vsock;
	struct pool_vsock vsock;
	bool has_rng;
	struct rate_limit_options rng;
	bool has_balloon;
	struct pool_balloon balloon;
	bool has_metadata; /* else none, or the one that the snapshot has */
	uint32_t metadata_size;
	uint8_t metadata[POOL_METADATA_SIZE];
};

/* A Linux kernel to boot. */
struct pool_kernel {
	int image;  /* open for reading: what has that entry; a bzImage for KERNEL_ENTRY_BZIMAGE, else an ELF */
	int initrd; /* open for reading; -1: none */
	enum kernel_entry entry;
	char cmdline[POOL_CMDLINE_SIZE];
};

#endif

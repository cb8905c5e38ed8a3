/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker's files share.
 */
#ifndef EMBER_POOL_PROCESS_WORKER_PRIVATE_H
#define EMBER_POOL_PROCESS_WORKER_PRIVATE_H

#include "devices/machine.h"
#include "kvm/monotonic.h"
#include "pool/devices.h"
#include "pool/process/child.h"
#include "pool/process/report.h"

/* Where the overlays of the drives are to be copied at a snapshot. */
struct worker_overlays {
	uint64_t request;             /* the snapshot's; others' are forgotten */
	int files[MACHINE_DISKS_MAX]; /* -1: none */
	uint32_t next;                /* index that may come next */
};

struct worker {
	const struct child_setup *setup;
	int channel;
	struct machine *machine;
	struct report report;
	bool started;         /* a boot or restore was carried out, or failed: there will be no other */
	bool exited;          /* the machine has ended by itself */
	int memory_file;      /* the snapshot's memory that the guest runs from; -1 */
	uint64_t memory_size; /* its size when it was laid */
	struct pool_devices
		devices; /* gathered before the start; descriptors are the devices' once they are configured */
	bool has_kernel;
	struct pool_kernel kernel;       /* likewise; descriptors are ours */
	struct worker_overlays overlays; /* gathered before a snapshot */
};

/* worker_devices.c */
/* Take what a message before the start gives. Returns false where it does not fit what was given before. */
bool worker_gather(struct worker *worker, struct message *message);
/* Has every device of the machine been given its part? */
bool worker_has_gathered(const struct worker *worker);
/* Configure the machine's devices. Returns 0, or -errno with the device's name and the reason in detail. */
int worker_configure(struct worker *worker, struct error_detail *detail);
/* Put "KIND[INDEX]: " before the reason in detail; an empty one becomes the error's own text. */
void worker_blame(const char *kind, uint32_t index, int error, struct error_detail *detail);
/* Answer a BALLOON_ASK. */
void worker_ask_balloon(struct worker *worker, const struct message *message);
/* Pass on a VSOCK_CONNECTED or VSOCK_REFUSED. Returns false where the machine has no vsock. */
bool worker_answer_vsock(struct worker *worker, struct message *message);

/* worker_start.c: answer a BOOT or RESTORE. Returns false where it comes before all that belongs to it. */
bool worker_start(struct worker *worker, struct message *message);

/* worker_snapshot.c */
/* Take a file for a drive's overlay, before a SNAPSHOT. Returns false where it does not fit what was given before. */
bool worker_gather_overlay(struct worker *worker, struct message *message);
void worker_forget_overlays(struct worker_overlays *overlays);
/* Answer a SNAPSHOT. */
void worker_snapshot(struct worker *worker, struct message *message);

#endif

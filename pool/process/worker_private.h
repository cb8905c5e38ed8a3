/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker's files share.
 */
#ifndef EMBER_POOL_PROCESS_WORKER_PRIVATE_H
#define EMBER_POOL_PROCESS_WORKER_PRIVATE_H

#include "devices/machine.h"
#include "kvm/monotonic.h"
#include "pool/process/child.h"
#include "pool/process/report.h"

struct worker {
	const struct child_setup *setup;
	int channel;
	struct machine *machine;
	struct report report;
	bool started;         /* a boot or restore was carried out, or failed: there will be no other */
	bool exited;          /* the machine has ended by itself */
	int memory_file;      /* the snapshot's memory that the guest runs from; -1 */
	uint64_t memory_size; /* its size when it was laid */
};

/* worker_start.c: answer a BOOT or RESTORE. */
void worker_boot(struct worker *worker, struct message *message);
void worker_restore(struct worker *worker, struct message *message);

/* worker_snapshot.c: answer a SNAPSHOT. */
void worker_snapshot(struct worker *worker, struct message *message);

#endif

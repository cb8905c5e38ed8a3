/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_BENCH_TARGET_H
#define EMBER_BENCH_TARGET_H

#include "bench/measurement.h"
#include "proto/client/ember.h"

#include <stdbool.h>
#include <stdint.h>

enum operation {
	OPERATION_PING,    /* server.ping: what any call costs */
	OPERATION_BOOT,    /* vm.boot of the demo guest, until it says that it is ready */
	OPERATION_RESTORE, /* vm.restore, until the daemon says that the VM runs */
};

/* One kind of request, measured by itself. */
struct series {
	const char *name; /* in reports: "cold_restore" */
	enum operation operation;
	const char *temperature; /* "any", "warm" or "cold"; not for pings */
};

/* The shape of the VMs that are booted; zero vcpus: the daemon's default. */
struct boot_shape {
	int64_t vcpus;
	int64_t memory_mib;
	char cpu_template[32];
};

/* A client's connection, and what its requests ask for. */
struct target {
	struct ember *client;
	const char *snapshot; /* of restores */
	struct boot_shape boot_shape;
	bool settle;              /* after each VM, wait until the pool is at rest */
	struct ember_error error; /* of the last operation that failed */
	char shape[64];           /* of the last VM */
};

/*
 * Connect.
 *
 * target  zeroed, but for what its requests ask for; ended by target_close(), also after a failure
 *
 * Returns 0 or as ember_connect().
 */
int target_connect(struct target *target, const char *socket_path);

/* Disconnect and free. Takes a target that was not connected. */
void target_close(struct target *target);

/* Take the shape of target->snapshot for boots, so that boots and restores are of equal VMs. Returns as ember_call(). */
int target_adopt_shape(struct target *target);

/*
 * Do one request, record it, and clear away after it (release the VM, let the pool settle), which is not measured.
 *
 * due_ns       CLOCK_MONOTONIC when the request was due: its latency counts from there; 0: when it is sent
 * measurement  gets the latency and the phases, or the error; NULL: a warm-up, not recorded
 *
 * Returns 0 (also where the request failed: that is recorded), -ENOMEM, or a failure of the connection.
 */
int target_run(struct target *target, const struct series *series, uint64_t due_ns, struct measurement *measurement);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t monotonic_ns(void);

#endif

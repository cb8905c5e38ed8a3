/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_BENCH_LOAD_H
#define EMBER_BENCH_LOAD_H

#include "bench/measurement.h"
#include "bench/schedule.h"
#include "bench/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_SERIES_MAX  8
#define LOAD_CLIENTS_MAX 1024
#define LOAD_DETAIL_SIZE 512

/* Who sends what, and when. Turn n is of series n modulo series_count, so that noise hits all of them alike. */
struct load {
	const char *socket_path;
	const char *snapshot; /* NULL where no series restores */
	struct series series[LOAD_SERIES_MAX];
	size_t series_count;
	unsigned int clients; /* connections, a thread each; in an open loop, the most requests in progress at once */
	bool settle;          /* after each VM, wait until the pool is at rest */
	bool equal_shapes;    /* boot VMs of the snapshot's shape */
	uint64_t warm_up;     /* rounds of all series before the first that counts */
	struct schedule_plan plan;
};

/* What came of it. All zero is valid; ends with load_result_release(). */
struct load_result {
	struct measurement measurements[LOAD_SERIES_MAX]; /* in the order of the series */
	uint64_t elapsed_ns;                              /* from the first turn to the end of the last request */
	char detail[LOAD_DETAIL_SIZE]; /* the first thing that went wrong, as a sentence; empty: nothing did */
};

/*
 * Run the load, and wait for its end.
 *
 * ret_result  zeroed; filled also where some requests failed: they are counted. About 60 KiB for each series
 *
 * Returns 0; -EIO: a connection broke, and detail says how; -ENOMEM; or as ember_connect().
 */
int load_run(const struct load *load, struct load_result *ret_result);

void load_result_release(struct load_result *result);

#endif

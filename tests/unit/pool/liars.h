/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of a pool among liars share.
 */
#ifndef EMBER_TESTS_UNIT_POOL_LIARS_H
#define EMBER_TESTS_UNIT_POOL_LIARS_H

#include "pool_harness.h"

extern struct harness harness;

/* A pool whose processes lie in these ways (impostor.c), and its end, after which no child may be left. */
void open_with(const char *ways);
void close_and_count(void);

/* Descriptors of this process. */
unsigned open_files(void);

/* Turn the loop until an event has been reported so often. */
void wait_for_event(enum pool_event_kind kind, unsigned count);

/* The process of a warm worker, or 0. */
pid_t warm_pid(void);

#endif

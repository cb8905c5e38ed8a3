/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs for the daemon's tests: small ones that run the demo guest.
 */
#ifndef EMBER_TESTS_DAEMON_VMS_H
#define EMBER_TESTS_DAEMON_VMS_H

#include "harness.h"
#include "proto/client/ember.h"
#include "proto/status.h"

/* A pool of small VMs: one kept warm. */
#define SMALL_POOL "{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 16}]}}"

#define VM_ID_TEXT 32

/* Boot the demo guest, detached, wait until it is ready, and put its id into vm. */
void vm_boot(struct ember *client, char *vm);

/* Restore a registered snapshot, detached, and put the new VM's id into vm. */
void vm_restore(struct ember *client, const char *snapshot, char *vm);

/* Type a line at the demo guest and return what it answers (the caller frees it). */
char *vm_command(struct ember *client, const char *vm, const char *line);

/* Call a method whose parameters are formed as by printf(3). As client_call(). */
__attribute__((format(printf, 3, 4))) json_t *callf(struct ember *client, const char *method, const char *format, ...);
__attribute__((format(printf, 3, 4))) int failf(struct ember *client, const char *method, const char *format, ...);

/* Wait until pool.status shows so many warm slots of the small shape. */
void wait_until_warm(struct ember *client, int64_t warm);

/* How many VMs there are. */
size_t vm_count(struct ember *client);

/* Wait until there are so many VMs. */
void wait_until_vms(struct ember *client, size_t count);

#endif

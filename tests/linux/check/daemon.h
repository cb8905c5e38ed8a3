/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon, for checks: calls that must succeed, and guests with an agent.
 */
#ifndef EMBER_TESTS_LINUX_CHECK_DAEMON_H
#define EMBER_TESTS_LINUX_CHECK_DAEMON_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent.h"
#include "proto/client/ember.h"

/* Connect to the daemon at EMBER_SOCKET. Ended by ember_free(), and with it the VMs that were started. */
struct ember *daemon_connect(void);

/*
 * Call a method that must succeed.
 *
 * params  taken over; NULL: none
 *
 * Returns the result, which the caller drops.
 */
json_t *daemon_call(struct ember *client, const char *method, json_t *params);

/* As daemon_call(), where the result does not matter. */
void daemon_do(struct ember *client, const char *method, json_t *params);

/* A member of an object, by a path such as "vsock.cid"; fails where it is missing or of another type. */
const json_t *member(const json_t *object, const char *path);
const char *member_text(const json_t *object, const char *path);
int64_t member_integer(const json_t *object, const char *path);

/* A VM whose guest runs the agent. */
struct guest {
	char vm[32];
	char path[256]; /* of its vsock */
	int64_t cid;
	struct agent agent; /* by vsock */
};

/*
 * Boot the kernel "debian" with the agent, and wait until it listens.
 *
 * extra      parameters of vm.boot that are laid over the usual ones; taken over; NULL: none
 * arguments  more for the kernel's command line, "" for none
 */
void guest_boot(struct ember *client, struct guest *ret_guest, json_t *extra, const char *arguments);

/* Restore a snapshot of such a guest. extra: more parameters of vm.restore; taken over; NULL: none. */
void guest_restore(struct ember *client, struct guest *ret_guest, const char *snapshot, json_t *extra);

/* Take a snapshot under a name. */
void guest_snapshot(struct ember *client, const struct guest *guest, const char *name);

/* The same, put off: what streams_echo() is to do in its middle. opaque: a struct guest_snapshot. */
struct guest_snapshot {
	struct ember *client;
	const struct guest *guest;
	const char *name;
};
void guest_take_snapshot(void *opaque);

void guest_release(struct ember *client, const struct guest *guest);

/* The process that it lives in. */
pid_t guest_pid(struct ember *client, const struct guest *guest);

/* Have so many slots of the shape of a VM with the usual devices kept warm, and wait until they are. */
void pool_fill(struct ember *client, const struct guest *guest, unsigned int count);

#endif

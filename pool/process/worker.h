/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one sandboxed process, one machine.
 */
#ifndef EMBER_POOL_PROCESS_WORKER_H
#define EMBER_POOL_PROCESS_WORKER_H

#include <sys/types.h>

#include "kvm/host.h"
#include "pool/message.h"
#include "sandbox/sandbox.h"

/* What a child of the zygote is given. */
struct child_setup {
	const struct kvm_host *host;
	const struct sandbox_filter *filter; /* for its role */
	int channel;
	pid_t parent; /* the supervisor */
	uid_t uid;
	gid_t gid;
	struct message_fork fork;
};

/* What a worker may do depends on what its machine has. */
enum worker_kind {
	WORKER_PLAIN = 0,
	WORKER_VIRTIO, /* at least one virtio device */
	WORKER_KIND_COUNT,
};
enum worker_kind worker_kind_of(const struct message_fork *fork);

/* The rules of each kind's filter, for sandbox_filter_build(). */
struct worker_rules {
	const struct sandbox_rule_set *const *sets;
	size_t set_count;
	const struct sandbox_ioctl_set *const *ioctls;
	size_t ioctl_count;
};
extern const struct worker_rules worker_rules_of[WORKER_KIND_COUNT];

/* Build the machine, confine the process, then serve the channel until it is told to stop. Does not return. */
_Noreturn void worker_main(const struct child_setup *setup);

#endif

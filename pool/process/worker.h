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

/* The rules of a worker's filter, for sandbox_filter_build(). */
extern const struct sandbox_rule_set *const worker_rule_sets[];
extern const size_t worker_rule_set_count;
extern const struct sandbox_ioctl_set *const worker_ioctl_sets[];
extern const size_t worker_ioctl_set_count;

/* Build the machine, confine the process, then serve the channel until it is told to stop. Does not return. */
_Noreturn void worker_main(const struct child_setup *setup);

#endif

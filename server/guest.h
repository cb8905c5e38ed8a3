/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's VMs: what clients call them, what became of them, and who waits for what of them.
 *
 * A struct guest stands beside a pool_vm from the start's success until the pool says that it is gone; a VM whose
 * machine has ended by itself stays, with its console, until it is released.
 */
#ifndef EMBER_SERVER_GUEST_H
#define EMBER_SERVER_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <jansson.h>

#include "pool/pool.h"
#include "proto/status.h"
#include "server/call.h"
#include "server/connection.h"

#define GUEST_ID_SIZE      32
#define GUEST_LABEL_SIZE   80
#define GUEST_SIGNAL_COUNT 256

struct server;
struct guest_waiter;
struct catalog_entry;
struct devices;
struct kernel;

/* What the guest has reported under one number. */
struct guest_signal {
	uint64_t count;    /* 0: nothing */
	uint64_t first_ns; /* CLOCK_MONOTONIC; 0: not since this VM was started */
	uint64_t last_ns;
};

struct guest {
	TAILQ_ENTRY(guest) link;
	struct server *server;
	struct pool_vm *pool_vm;
	uint64_t number;
	char id[GUEST_ID_SIZE];
	char label[GUEST_LABEL_SIZE];   /* "": none */
	struct catalog_entry *snapshot; /* what it was restored from, held; NULL: it was booted */
	struct kernel *kernel;          /* what it was booted with, held; NULL: it was not */
	uint64_t holder;                /* as whom it holds the snapshot or the kernel */
	struct devices *devices;        /* NULL before it has started */
	uint32_t stills;                /* snapshots in the making that count on it not to be resumed */
	bool cold;
	bool detached;
	bool leased; /* to a connection that is there */
	struct connection_lease lease;
	bool counted;        /* among those that a drain waits for */
	uint64_t started_ns; /* CLOCK_MONOTONIC: its time stamps count from here */
	bool exited;         /* the machine has ended; the reason is known */
	char exit_reason[64];
	char exit_detail[512]; /* UTF-8, whatever the worker said */
	struct guest_signal signals[GUEST_SIGNAL_COUNT];
	LIST_HEAD(, guest_waiter) waiters;
};

enum guest_news {
	GUEST_NEWS_SIGNAL, /* the guest reported a number: look at vm->signals */
	GUEST_NEWS_OUTPUT, /* there is more console output */
	GUEST_NEWS_EXIT,   /* the machine has ended: vm->exit_reason is set */
	GUEST_NEWS_GONE,   /* the VM is no more; the waiter is off the list, and vm is freed after this */
};

/* Somebody who wants to know; embedded. */
struct guest_waiter {
	LIST_ENTRY(guest_waiter) link;
	/* May take itself off the list, and nobody else. */
	void (*heard)(struct guest_waiter *waiter, struct guest *vm, enum guest_news news);
};

/* "vm-7", in text of at least GUEST_ID_SIZE bytes. Returns text. */
const char *guest_id_text(uint64_t number, char *text);

/* NULL where there is none of that id. */
struct guest *guest_find(const struct server *server, const char *id);

struct guest *guest_find_number(const struct server *server, uint64_t number);

/* The VM that the call's "vm" names; where there is none, the call is answered and NULL returned. */
struct guest *guest_of_call(struct call *call);

/*
 * Make a VM that is about to start.
 *
 * call  that starts it: its label, whether it is detached, its connection
 *
 * Returns 0 or -ENOMEM. It is the caller's until guest_begin() or guest_discard().
 */
int guest_new(const struct call *call, struct guest **ret_vm);

/* What the pool is to call back; opaque is the VM. */
struct pool_vm_callbacks guest_callbacks(struct guest *vm);

/* It has started: from here on it is found, and freed when the pool says that it is gone. */
void guest_begin(struct guest *vm, struct pool_vm *pool_vm, const struct pool_started *started,
		 struct connection *connection);

/* It was not started. Takes NULL; returns NULL. */
struct guest *guest_discard(struct guest *vm);

void guest_waiter_add(struct guest *vm, struct guest_waiter *waiter);
void guest_waiter_remove(struct guest_waiter *waiter);

/* Nanoseconds after the VM's start; 0 for what was before. */
uint64_t guest_time_ns(const struct guest *vm, uint64_t at_ns);

/* Tell subscribers. details: an object, taken over; "vm" and "event" are added. */
void guest_publish(const struct guest *vm, const char *event, json_t *details);

const char *guest_state_text(const struct guest *vm);

/* What it was restored from: a name or a path; NULL: it was booted. */
const char *guest_snapshot_text(const struct guest *vm);

/* The name of the kernel that it was booted with, or NULL. */
const char *guest_kernel_text(const struct guest *vm);

/* The members that vm.list and vm.info share. NULL: out of memory. */
json_t *guest_to_json(const struct guest *vm);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus of events: what happens to VMs, workers and snapshots, to whoever asked to be told.
 *
 * An event is one "event" notification whose params are {"subscription", "kind", "sequence", ...what the publisher
 * says}, and "instance", the daemon's start that it is of. sequence counts all events of the daemon, so a subscriber to all kinds sees no
 * gap; it goes on, with a gap, when the daemon is started again. A subscriber that does
 * not read is not waited for and nothing is stored for it: its subscription ends, with one last event of the kind
 * "subscription" that says so.
 */
#ifndef EMBER_SERVER_EVENTS_H
#define EMBER_SERVER_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <jansson.h>

enum event_kind {
	EVENT_VM = 0,   /* a VM started, paused, resumed, signalled, ended */
	EVENT_SNAPSHOT, /* a snapshot was registered or removed */
	EVENT_KERNEL,   /* a kernel was added or removed */
	EVENT_POOL,     /* a worker was forked, became warm, failed, ended */
	EVENT_SERVER,   /* the daemon drains, stops, was reconfigured */
	EVENT_KIND_COUNT,
};

#define EVENT_ALL_KINDS ((1U << EVENT_KIND_COUNT) - 1)

struct event_bus {
	LIST_HEAD(, event_subscription) subscriptions;
	uint64_t sequence; /* of the last event */
	const char *instance;
	uint64_t (*next_sequence)(void *opaque); /* NULL: one more than the last */
	void *opaque;
	uint64_t next_number;
};

/* Embedded in what subscribes. */
struct event_subscription {
	LIST_ENTRY(event_subscription) link;
	uint64_t number;    /* set by event_bus_subscribe(): 1, 2, ... */
	unsigned int kinds; /* bits 1 << enum event_kind */
	/*
	 * Take one event: params belong to the bus. Returns 0, or -EAGAIN when the subscriber is too slow. Must not
	 * unsubscribe or publish.
	 */
	int (*deliver)(struct event_subscription *subscription, const json_t *params);
	/* The bus has ended the subscription; the last notice was not delivered yet. The subscriber owns the memory. */
	void (*dropped)(struct event_subscription *subscription, const json_t *params);
};

/* As events.subscribe names them: "vm", "snapshot", "kernel", "pool", "server"; or NULL. */
const char *event_kind_name(enum event_kind kind);

/* Returns 0 or -ENOENT. */
int event_kind_parse(const char *name, enum event_kind *ret_kind);

void event_bus_init(struct event_bus *bus);

/*
 * Say what events carry.
 *
 * instance       a text that lives as long as the bus: which start of the daemon they are of
 * next_sequence  the next event's number; 0: there is none, and all subscriptions end, since they would miss it
 */
void event_bus_identify(struct event_bus *bus, const char *instance, uint64_t (*next_sequence)(void *opaque),
			void *opaque);

/* kinds, deliver and dropped are set by the caller; the struct stays until event_bus_unsubscribe() or dropped. */
void event_bus_subscribe(struct event_bus *bus, struct event_subscription *subscription);

void event_bus_unsubscribe(struct event_subscription *subscription);

/* Is anybody listening? Lets a publisher spare the work of forming an event. */
bool event_bus_wants(const struct event_bus *bus, enum event_kind kind);

/*
 * Tell all subscribers of the kind.
 *
 * details  an object, taken over, also when NULL (out of memory: the event is lost, its number is not reused)
 */
void event_bus_publish(struct event_bus *bus, enum event_kind kind, json_t *details);

#endif

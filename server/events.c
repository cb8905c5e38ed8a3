/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing walks the list of subscriptions once. Delivery may find a subscriber slow; it is then taken off the list
 * before it is told, so what it does with its memory does not matter to the walk.
 */
#include <errno.h>
#include <string.h>

#include "server/cleanup.h"
#include "server/events.h"

static const char *const kind_names[EVENT_KIND_COUNT] = { "vm", "snapshot", "kernel", "pool", "server" };

const char *event_kind_name(enum event_kind kind)
{
	return kind < EVENT_KIND_COUNT ? kind_names[kind] : NULL;
}

int event_kind_parse(const char *name, enum event_kind *ret_kind)
{
	int kind;

	for (kind = 0; kind < EVENT_KIND_COUNT; kind++)
		if (!strcmp(kind_names[kind], name)) {
			*ret_kind = (enum event_kind)kind;
			return 0;
		}
	return -ENOENT;
}

void event_bus_init(struct event_bus *bus)
{
	LIST_INIT(&bus->subscriptions);
	bus->sequence = 0;
	bus->next_number = 1;
	bus->instance = NULL;
	bus->next_sequence = NULL;
}

void event_bus_identify(struct event_bus *bus, const char *instance, uint64_t (*next_sequence)(void *opaque),
			void *opaque)
{
	bus->instance = instance;
	bus->next_sequence = next_sequence;
	bus->opaque = opaque;
}

void event_bus_subscribe(struct event_bus *bus, struct event_subscription *subscription)
{
	subscription->number = bus->next_number++;
	LIST_INSERT_HEAD(&bus->subscriptions, subscription, link);
}

void event_bus_unsubscribe(struct event_subscription *subscription)
{
	LIST_REMOVE(subscription, link);
}

bool event_bus_wants(const struct event_bus *bus, enum event_kind kind)
{
	const struct event_subscription *subscription;

	LIST_FOREACH(subscription, &bus->subscriptions, link)
		if (subscription->kinds & 1U << kind)
			return true;
	return false;
}

static void drop(struct event_bus *bus, struct event_subscription *subscription, const char *reason)
{
	cleanup_json json_t *notice =
		json_pack("{s:I, s:s, s:I, s:s, s:s}", "subscription", (json_int_t)subscription->number, "kind",
			  "subscription", "sequence", (json_int_t)bus->sequence, "event", "dropped", "reason", reason);

	event_bus_unsubscribe(subscription);
	subscription->dropped(subscription, notice);
}

void event_bus_publish(struct event_bus *bus, enum event_kind kind, json_t *details)
{
	cleanup_json json_t *params = details;
	struct event_subscription *subscription, *next;
	uint64_t number = bus->next_sequence ? bus->next_sequence(bus->opaque) : bus->sequence + 1;

	if (bus->next_sequence && !number) {
		while ((subscription = LIST_FIRST(&bus->subscriptions)) != NULL)
			drop(bus, subscription,
			     "no number could be reserved for an event: the state folder's disk fails");
		return;
	}
	bus->sequence = number;
	if (!params || (bus->instance && json_object_set_new(params, "instance", json_string(bus->instance))) ||
	    json_object_set_new(params, "kind", json_string(event_kind_name(kind))) ||
	    json_object_set_new(params, "sequence", json_integer((json_int_t)bus->sequence)))
		return;

	for (subscription = LIST_FIRST(&bus->subscriptions); subscription; subscription = next) {
		next = LIST_NEXT(subscription, link);
		if (!(subscription->kinds & 1U << kind))
			continue;
		if (json_object_set_new(params, "subscription", json_integer((json_int_t)subscription->number)) ||
		    subscription->deliver(subscription, params))
			drop(bus, subscription, "the subscriber did not read its events fast enough");
	}
}

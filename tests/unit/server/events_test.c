/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus of events: who is told what, in which order, and what becomes of a subscriber that is slow.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "proto/method.h"
#include "server/events.h"

struct subscriber {
	struct event_subscription subscription;
	int result; /* of deliver */
	unsigned int delivered;
	unsigned int dropped;
	json_int_t last_sequence;
	char last_kind[32];
};

static int on_event(struct event_subscription *subscription, const json_t *params)
{
	struct subscriber *own = (struct subscriber *)subscription;

	cr_assert_eq(json_integer_value(json_object_get(params, "subscription")), (json_int_t)subscription->number);
	if (own->result)
		return own->result;
	own->delivered++;
	own->last_sequence = json_integer_value(json_object_get(params, "sequence"));
	(void)snprintf(own->last_kind, sizeof(own->last_kind), "%s",
		       json_string_value(json_object_get(params, "kind")));
	return 0;
}

static void on_dropped(struct event_subscription *subscription, const json_t *params)
{
	struct subscriber *own = (struct subscriber *)subscription;

	cr_expect_str_eq(json_string_value(json_object_get(params, "kind")), "subscription");
	cr_expect_str_eq(json_string_value(json_object_get(params, "event")), "dropped");
	own->dropped++;
	/* What is dropped owns its memory again. */
	memset(&subscription->link, 0xff, sizeof(subscription->link));
}

static void subscribe(struct event_bus *bus, struct subscriber *subscriber, unsigned int kinds)
{
	memset(subscriber, 0, sizeof(*subscriber));
	subscriber->subscription.kinds = kinds;
	subscriber->subscription.deliver = on_event;
	subscriber->subscription.dropped = on_dropped;
	event_bus_subscribe(bus, &subscriber->subscription);
}

Test(events, each_subscriber_gets_its_kinds_with_its_own_number)
{
	struct subscriber all, vms;
	struct event_bus bus;

	event_bus_init(&bus);
	cr_expect_not(event_bus_wants(&bus, EVENT_VM));
	subscribe(&bus, &all, EVENT_ALL_KINDS);
	subscribe(&bus, &vms, 1U << EVENT_VM);
	cr_expect_neq(all.subscription.number, vms.subscription.number);

	event_bus_publish(&bus, EVENT_VM, json_pack("{s:s}", "event", "started"));
	event_bus_publish(&bus, EVENT_POOL, json_pack("{s:s}", "event", "warm"));
	cr_expect_eq(all.delivered, 2);
	cr_expect_eq(vms.delivered, 1);
	cr_expect_str_eq(all.last_kind, "pool");
	cr_expect_str_eq(vms.last_kind, "vm");
	cr_expect_eq(all.last_sequence, 2);
	cr_expect(event_bus_wants(&bus, EVENT_SERVER));
	event_bus_unsubscribe(&all.subscription);
	cr_expect_not(event_bus_wants(&bus, EVENT_SERVER));
	cr_expect(event_bus_wants(&bus, EVENT_VM));
	event_bus_publish(&bus, EVENT_VM, json_object());
	cr_expect_eq(all.delivered, 2);
	cr_expect_eq(vms.delivered, 2);
}

Test(events, a_slow_subscriber_is_told_once_and_dropped)
{
	struct subscriber fast, slow, other;
	struct event_bus bus;

	event_bus_init(&bus);
	subscribe(&bus, &fast, EVENT_ALL_KINDS);
	subscribe(&bus, &slow, EVENT_ALL_KINDS);
	subscribe(&bus, &other, EVENT_ALL_KINDS);
	slow.result = -EAGAIN;
	event_bus_publish(&bus, EVENT_VM, json_object());
	event_bus_publish(&bus, EVENT_VM, json_object());
	cr_expect_eq(slow.dropped, 1);
	cr_expect_eq(slow.delivered, 0);
	cr_expect_eq(fast.delivered, 2);
	cr_expect_eq(other.delivered, 2);
}

Test(events, an_event_that_could_not_be_formed_is_skipped)
{
	struct subscriber subscriber;
	struct event_bus bus;

	event_bus_init(&bus);
	subscribe(&bus, &subscriber, EVENT_ALL_KINDS);
	event_bus_publish(&bus, EVENT_VM, NULL);
	event_bus_publish(&bus, EVENT_VM, json_object());
	cr_expect_eq(subscriber.delivered, 1);
	cr_expect_eq(subscriber.last_sequence, 2, "the gap shows");
}

Test(events, kinds_are_those_that_the_protocol_names)
{
	const struct param *param = method_find_param(method_find("events.subscribe"), "kinds");
	enum event_kind kind;
	size_t i;

	cr_assert_not_null(param);
	for (i = 0; param->values[i]; i++) {
		cr_expect_eq(event_kind_parse(param->values[i], &kind), 0, "%s", param->values[i]);
		cr_expect_str_eq(event_kind_name(kind), param->values[i]);
	}
	cr_expect_eq(i, EVENT_KIND_COUNT);
	cr_expect_eq(event_kind_parse("weather", &kind), -ENOENT);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's targets and bounds: what is kept warm, what waits, what is refused, and with which advice.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steps.h"

static struct daemon daemon_under_test;
static struct ember *client;

static void start_with(const char *overrides)
{
	daemon_start(&daemon_under_test, overrides);
	client = daemon_connect(&daemon_under_test);
}

static void stop(void)
{
	perform(client, "server.ping", NULL);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

/* A shape's row in pool.status, or NULL. */
static json_t *row_of(const char *name)
{
	json_t *status = call(client, "pool.status", NULL), *row, *found = NULL;
	size_t i;

	json_array_foreach(at(status, "shapes"), i, row)
		if (!strcmp(text_at(row, "shape"), name))
			found = json_incref(row);
	json_decref(status);
	return found;
}

static int64_t number_in_row(const char *name, const char *member)
{
	json_t *row = row_of(name);
	int64_t number = row ? int_at(row, member) : 0;

	json_decref(row);
	return number;
}

static void wait_queued(int64_t count)
{
	int64_t until = now_ms() + WAIT_MS;

	while (number_in_row("1x8-host", "queued") != count) {
		cr_assert_lt(now_ms(), until, "%ld are not queued", (long)count);
		sleep_ms(10);
	}
}

static void boot(struct open_call *open, const char *temperature)
{
	open_call_begin(open, client, "vm.boot", "{s:i, s:s}", "memory_mib", GUEST_MIB, "temperature", temperature);
}

static void release_started(struct open_call *open)
{
	cr_assert_eq(open_call_wait(open, client), 0, "%s", open->message);
	perform(client, "vm.release", "{s:s}", "vm", text_at(open->result, "vm"));
	open_call_end(open);
}

Test(pool_limits, targets_are_set_and_met)
{
	json_t *row;

	start_with(NULL);
	pool_settle(client, 0, 0);
	row = call(client, "pool.configure", "{s:i, s:i, s:i, s:i, s:i}", "vcpus", 1, "memory_mib", GUEST_MIB, "min", 3,
		   "max", 5, "refill_concurrency", 2);
	cr_expect_str_eq(text_at(row, "shape"), "1x8-host");
	cr_expect_eq(int_at(row, "min"), 3);
	cr_expect_eq(int_at(row, "max"), 5);
	cr_expect_eq(int_at(row, "refill_concurrency"), 2);
	json_decref(row);
	pool_settle(client, 3, 0);
	perform(client, "pool.configure", "{s:i, s:i, s:s, s:i}", "vcpus", 2, "memory_mib", 4, "cpu_template",
		"portable", "min", 1);
	pool_settle(client, 4, 0);
	cr_expect_eq(number_in_row("2x4-portable", "warm"), 1);
	/* What is not given stays. */
	row = call(client, "pool.configure", "{s:i, s:i, s:i}", "vcpus", 1, "memory_mib", GUEST_MIB, "min", 1);
	cr_expect_eq(int_at(row, "max"), 5);
	json_decref(row);
	pool_settle(client, 2, 0);
	perform(client, "pool.configure", "{s:i, s:i, s:i}", "vcpus", 1, "memory_mib", GUEST_MIB, "min", 0);
	pool_settle(client, 1, 0);
	stop();
}

Test(pool_limits, targets_that_cannot_be)
{
	start_with(NULL);
	refused(client, RPC_INVALID_PARAMS, "min", "pool.configure", "{s:i, s:i, s:i, s:i}", "vcpus", 1, "memory_mib",
		8, "min", 3, "max", 2);
	refused(client, RPC_INVALID_PARAMS, "vcpus", "pool.configure", "{s:i, s:i}", "vcpus", 9, "memory_mib", 8);
	refused(client, RPC_INVALID_PARAMS, "vcpus", "pool.configure", "{s:i, s:i}", "vcpus", 0, "memory_mib", 8);
	refused(client, RPC_INVALID_PARAMS, "memory_mib", "pool.configure", "{s:i, s:i}", "vcpus", 1, "memory_mib",
		3073);
	refused(client, RPC_INVALID_PARAMS, "cpu_template", "pool.configure", "{s:i, s:i, s:s}", "vcpus", 1,
		"memory_mib", 8, "cpu_template", "none");
	refused(client, RPC_INVALID_PARAMS, "refill_concurrency", "pool.configure", "{s:i, s:i, s:i}", "vcpus", 1,
		"memory_mib", 8, "refill_concurrency", 0);
	refused(client, RPC_INVALID_PARAMS, "memory_mib", "pool.configure", "{s:i}", "vcpus", 1);
	stop();
}

#define SHAPES_MAX 64 /* that may be configured at one time */

static void configure(int memory_mib, int min, int max)
{
	perform(client, "pool.configure", "{s:i, s:i, s:i, s:i}", "vcpus", 1, "memory_mib", memory_mib, "min", min,
		"max", max);
}

/* A VM of this shape can be had. */
static void boot_and_release(int memory_mib)
{
	struct guest guest;

	guest_boot(&guest, client, 1, memory_mib);
	guest_release(&guest);
}

static bool is_listed(const char *shape)
{
	json_t *row = row_of(shape);

	json_decref(row);
	return row != NULL;
}

Test(pool_limits, shapes_that_are_forgotten_make_room_for_others)
{
	int i;

	start_with(NULL);
	pool_settle(client, 0, 0);
	for (i = 0; i < SHAPES_MAX; i++)
		configure(16 + i, 0, 4);
	refused(client, RPC_RESOURCE_EXHAUSTED, NULL, "pool.configure", "{s:i, s:i, s:i}", "vcpus", 1, "memory_mib",
		200, "max", 4);
	/* A request is not refused for its shape. */
	boot_and_release(200);

	for (i = 0; i < SHAPES_MAX; i++)
		configure(16 + i, 0, 0);
	pool_settle(client, 0, 0);
	cr_expect(!is_listed("1x16-host"));
	for (i = 0; i < SHAPES_MAX; i++)
		configure(300 + i, 0, 4);
	boot_and_release(16);
	stop();
}

Test(pool_limits, a_shape_that_runs_is_forgotten_with_its_last_vm)
{
	struct guest guest;

	start_with(NULL);
	configure(GUEST_MIB, 1, 4);
	pool_settle(client, 1, 0);
	guest_boot(&guest, client, 1, GUEST_MIB);
	configure(GUEST_MIB, 0, 0);
	pool_settle(client, 0, 1);
	cr_expect(is_listed("1x8-host"));
	guest_release(&guest);
	pool_settle(client, 0, 0);
	cr_expect(!is_listed("1x8-host"));
	stop();
}

#define CONFIGURED 32 /* shapes that one configuration may have */

/* The configuration has so many shapes, of memory_mib and more, from now on. */
static void reload_with_shapes(int memory_mib, size_t reloads)
{
	json_t *shapes = json_array(), *overrides = json_pack("{s:{s:o}}", "pool", "shapes", shapes);
	char *text;
	int i;

	for (i = 0; i < CONFIGURED; i++)
		(void)json_array_append_new(
			shapes, json_pack("{s:i, s:i, s:i}", "vcpus", 1, "memory_mib", memory_mib + i, "min", 0));
	text = json_dumps(overrides, 0);
	daemon_write_config(&daemon_under_test, text);
	daemon_signal(&daemon_under_test, SIGHUP);
	daemon_wait_log_count(&daemon_under_test, "configuration reloaded", reloads);
	free(text);
	json_decref(overrides);
}

Test(pool_limits, shapes_of_a_former_configuration_make_room)
{
	start_with(NULL);
	reload_with_shapes(100, 1);
	reload_with_shapes(200, 2);
	reload_with_shapes(300, 3);
	configure(16, 0, 4);
	configure(17, 0, 4);
	stop();
}

Test(pool_limits, shapes_that_nobody_uses_make_room_for_new_ones)
{
	int i;

	start_with("{\"pool\": {\"shapes\": [], \"unconfigured\": {\"min\": 1, \"max\": 4}}}");
	for (i = 0; i < SHAPES_MAX + 4; i++)
		boot_and_release(16 + i);
	pool_settle(client, SHAPES_MAX, 0);
	cr_expect(!is_listed("1x16-host"));
	cr_expect(is_listed("1x83-host"));
	stop();
}

Test(pool_limits, a_slot_that_is_used_is_replaced)
{
	struct guest guests[3];
	int i;

	start_with(GUEST_POOL);
	for (i = 0; i < 3; i++)
		guest_boot(&guests[i], client, 1, GUEST_MIB);
	pool_settle(client, 2, 3);
	for (i = 0; i < 3; i++)
		guest_release(&guests[i]);
	pool_settle(client, 2, 0);
	stop();
}

Test(pool_limits, requests_wait_for_a_slot)
{
	struct open_call running[2], waiting[3];
	int i;

	start_with("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 0, \"max\": 2}]}}");
	for (i = 0; i < 2; i++) {
		boot(&running[i], "any");
		cr_assert_eq(open_call_wait(&running[i], client), 0, "%s", running[i].message);
	}
	boot(&waiting[0], "any");
	boot(&waiting[1], "cold");
	boot(&waiting[2], "any");
	wait_queued(3);
	for (i = 0; i < 3; i++)
		cr_expect(!waiting[i].answered);

	/* First come, first served: with each VM that goes, the next comes. */
	release_started(&running[0]);
	cr_expect_eq(open_call_wait(&waiting[0], client), 0, "%s", waiting[0].message);
	cr_expect(!waiting[1].answered && !waiting[2].answered);
	release_started(&running[1]);
	cr_expect_eq(open_call_wait(&waiting[1], client), 0, "%s", waiting[1].message);
	cr_expect_str_eq(text_at(waiting[1].result, "temperature"), "cold");
	(void)int_at(waiting[1].result, "phases_us.queue");
	release_started(&waiting[0]);
	release_started(&waiting[2]);
	release_started(&waiting[1]);
	pool_settle(client, 0, 0);
	stop();
}

Test(pool_limits, a_wait_that_is_cancelled_or_left)
{
	struct ember *leaver;
	struct open_call running, cancelled, left, last;

	start_with("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 0, \"max\": 1}]}}");
	boot(&running, "any");
	cr_assert_eq(open_call_wait(&running, client), 0);
	boot(&cancelled, "any");
	wait_queued(1);
	leaver = daemon_connect(&daemon_under_test);
	open_call_begin(&left, leaver, "vm.boot", "{s:i}", "memory_mib", GUEST_MIB);
	while (ember_unsent(leaver) > 0)
		(void)ember_dispatch(leaver, 0);
	wait_queued(2);
	cr_expect_eq(ember_cancel(client, cancelled.id), 0);
	cr_expect_eq(open_call_wait(&cancelled, client), RPC_CANCELLED);
	open_call_end(&cancelled);
	(void)ember_free(leaver);
	wait_queued(0);
	boot(&last, "any");
	release_started(&running);
	release_started(&last);
	pool_settle(client, 0, 0);
	stop();
}

static void expect_advice(json_t *data, const char *status)
{
	cr_expect_str_eq(text_at(data, "status"), status);
	cr_expect_gt(int_at(data, "retry_after_ms"), 0);
	json_decref(data);
}

Test(pool_limits, a_wait_ends_with_its_deadline)
{
	struct open_call running;
	int i;

	start_with("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 0, \"max\": 1}]}}");
	boot(&running, "any");
	cr_assert_eq(open_call_wait(&running, client), 0);
	for (i = 0; i < 3; i++)
		expect_advice(refusal(client, RPC_DEADLINE_EXCEEDED, NULL, "vm.boot", "{s:i, s:i}", "memory_mib",
				      GUEST_MIB, "deadline_ms", 20 * (i + 1)),
			      "DEADLINE_EXCEEDED");
	cr_expect_eq(number_in_row("1x8-host", "queued"), 0);
	release_started(&running);
	pool_settle(client, 0, 0);
	stop();
}

Test(pool_limits, a_deadline_of_0_is_over)
{
	start_with(GUEST_POOL);
	pool_settle(client, 2, 0);
	refused(client, RPC_DEADLINE_EXCEEDED, NULL, "vm.boot", "{s:i, s:i}", "memory_mib", GUEST_MIB, "deadline_ms",
		0);
	refused(client, RPC_DEADLINE_EXCEEDED, NULL, "pool.status", "{s:i}", "deadline_ms", 0);
	pool_settle(client, 2, 0);
	stop();
}

Test(pool_limits, the_queue_has_a_bound)
{
	struct open_call running, waiting[2];
	json_t *status;

	start_with("{\"pool\": {\"queue_limit\": 2, \"shapes\": ["
		   "{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 0, \"max\": 1}]}}");
	boot(&running, "any");
	cr_assert_eq(open_call_wait(&running, client), 0);
	boot(&waiting[0], "any");
	boot(&waiting[1], "any");
	wait_queued(2);
	expect_advice(refusal(client, RPC_POOL_EXHAUSTED, NULL, "vm.boot", "{s:i}", "memory_mib", GUEST_MIB),
		      "RESOURCE_EXHAUSTED");
	status = call(client, "pool.status", NULL);
	cr_expect_eq(int_at(status, "queue_limit"), 2);
	json_decref(status);
	release_started(&running);
	release_started(&waiting[0]);
	release_started(&waiting[1]);
	stop();
}

Test(pool_limits, all_shapes_together_have_a_bound)
{
	struct open_call running[2], waiting;

	start_with("{\"pool\": {\"max_vms\": 2, \"queue_limit\": 1}}");
	boot(&running[0], "any");
	cr_assert_eq(open_call_wait(&running[0], client), 0, "%s", running[0].message);
	open_call_begin(&running[1], client, "vm.boot", "{s:i, s:i}", "memory_mib", 4, "vcpus", 2);
	cr_assert_eq(open_call_wait(&running[1], client), 0, "%s", running[1].message);
	boot(&waiting, "any");
	wait_queued(1);
	expect_advice(refusal(client, RPC_POOL_EXHAUSTED, NULL, "vm.boot", "{s:i}", "memory_mib", 16),
		      "RESOURCE_EXHAUSTED");
	release_started(&running[1]);
	release_started(&waiting);
	release_started(&running[0]);
	pool_settle(client, 0, 0);
	stop();
}

Test(pool_limits, temperatures)
{
	struct open_call warm, cold, any;

	start_with("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 8}]}}");
	pool_settle(client, 1, 0);
	boot(&cold, "cold");
	cr_expect_eq(open_call_wait(&cold, client), 0, "%s", cold.message);
	cr_expect_str_eq(text_at(cold.result, "temperature"), "cold");
	pool_settle(client, 1, 1);
	boot(&warm, "warm");
	cr_expect_eq(open_call_wait(&warm, client), 0, "%s", warm.message);
	cr_expect_str_eq(text_at(warm.result, "temperature"), "warm");
	pool_settle(client, 1, 2);
	boot(&any, "any");
	cr_expect_eq(open_call_wait(&any, client), 0, "%s", any.message);
	cr_expect_str_eq(text_at(any.result, "temperature"), "warm");
	release_started(&any);
	release_started(&cold);
	release_started(&warm);
	/* No slot of this shape is warm, nor will be. */
	expect_advice(refusal(client, RPC_POOL_EXHAUSTED, NULL, "vm.boot", "{s:i, s:s}", "memory_mib", 16,
			      "temperature", "warm"),
		      "RESOURCE_EXHAUSTED");
	refused(client, RPC_INVALID_PARAMS, "temperature", "vm.boot", "{s:s}", "temperature", "hot");
	stop();
}

Test(pool_limits, idle_slots_make_room)
{
	struct open_call cold, other;

	/* The one worker that there may be is warm, and a cold start does not want it. */
	start_with("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 1}]}}");
	pool_settle(client, 1, 0);
	boot(&cold, "cold");
	cr_expect_eq(open_call_wait(&cold, client), 0, "%s", cold.message);
	cr_expect_str_eq(text_at(cold.result, "temperature"), "cold");
	release_started(&cold);
	pool_settle(client, 1, 0);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);

	/* Nor does a request for another shape, where all together have a bound. */
	start_with(
		"{\"pool\": {\"max_vms\": 2, \"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 2, \"max\": 2}]}}");
	pool_settle(client, 2, 0);
	open_call_begin(&other, client, "vm.boot", "{s:i}", "memory_mib", 16);
	cr_expect_eq(open_call_wait(&other, client), 0, "%s", other.message);
	pool_settle(client, 1, 1);
	release_started(&other);
	pool_settle(client, 2, 0);
	stop();
}

Test(pool_limits, a_cold_start_leaves_warm_slots_to_others)
{
	struct open_call cold[2], warm;
	int i;

	start_with(GUEST_POOL);
	pool_settle(client, 2, 0);
	for (i = 0; i < 2; i++)
		boot(&cold[i], "cold");
	boot(&warm, "warm");
	cr_expect_eq(open_call_wait(&warm, client), 0, "%s", warm.message);
	release_started(&warm);
	for (i = 0; i < 2; i++)
		release_started(&cold[i]);
	stop();
}

Test(pool_limits, many_clients_for_few_slots)
{
	enum { REQUESTS = 40 };
	static struct open_call calls[REQUESTS];
	int i;

	start_with("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 3}]}}");
	for (i = 0; i < REQUESTS; i++)
		boot(&calls[i], i % 5 == 0 ? "cold" : "any");
	for (i = 0; i < REQUESTS; i++)
		release_started(&calls[i]);
	pool_settle(client, 1, 0);
	stop();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads on a daemon that answers as each test wants: what is asked of it, and what is made of its answers.
 */
#include "bench/load.h"

#include "bench/report.h"
#include "fake_daemon.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STALL_MS 200

static struct load load;
static struct load_result result;
static struct fake_daemon *fake;

/* What the daemon was asked, by method. */
static atomic_int restores, boots, releases, waits, statuses, pings;

static void end(void)
{
	load_result_release(&result);
	fake = fake_daemon_stop(fake);
}

TestSuite(load, .fini = end);

static void begin(fake_answer *answer)
{
	fake = fake_daemon_start(answer, NULL);
	load.socket_path = fake_daemon_socket(fake);
	load.snapshot = "demo";
	load.clients = 1;
	load.series_count = 1;
	load.series[0] = (struct series){ "any", OPERATION_RESTORE, "any" };
	load.plan.count = 6;
}

static void sleep_ms(long milliseconds)
{
	const struct timespec pause = { .tv_nsec = milliseconds * 1000000 };

	nanosleep(&pause, NULL);
}

static void expect_text(const json_t *params, const char *name, const char *value)
{
	const char *given = json_string_value(json_object_get(params, name));

	cr_assert_not_null(given, "%s is missing", name);
	cr_assert_str_eq(given, value);
}

/* A shape that is at rest at every third look. */
static json_t *answer_status(void)
{
	return json_pack("{s:[{s:s, s:i, s:i, s:i, s:i}]}", "shapes", "shape", "1x128-host", "min", 2, "warm", 2,
			 "building", 0, "closing", ++statuses % 3 == 0 ? 0 : 1);
}

static json_t *answer_well(void *context, const char *method, const json_t *params)
{
	(void)context;
	if (strcmp(method, "server.ping") == 0) {
		pings++;
		return json_object();
	}
	if (strcmp(method, "vm.restore") == 0) {
		restores++;
		expect_text(params, "snapshot", "demo");
		return fake_vm(json_string_value(json_object_get(params, "temperature")));
	}
	if (strcmp(method, "vm.boot") == 0) {
		boots++;
		return fake_vm("cold");
	}
	if (strcmp(method, "vm.wait") == 0) {
		waits++;
		expect_text(params, "vm", "vm-1");
		expect_text(params, "for", "ready");
		return json_object();
	}
	if (strcmp(method, "vm.release") == 0) {
		releases++;
		expect_text(params, "vm", "vm-1");
		return json_object();
	}
	if (strcmp(method, "pool.status") == 0)
		return answer_status();
	return fake_error(-32601, "UNIMPLEMENTED", "no such method");
}

Test(load, restores_and_releases)
{
	begin(answer_well);
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	cr_assert_eq(restores, 6);
	cr_assert_eq(releases, 6);
	cr_assert_eq(statuses, 0);
	cr_assert_eq(result.measurements[0].total.count, 6);
	cr_assert_eq(result.measurements[0].error_count, 0);
	cr_assert_eq(result.measurements[0].phase_count, 3);
	cr_assert_str_eq(result.measurements[0].phases[0].name, "memory_map");
	cr_assert_str_eq(result.measurements[0].phases[1].name, "enter");
	cr_assert_str_eq(result.measurements[0].phases[2].name, "rpc");
	cr_assert_eq(result.measurements[0].phases[0].histogram->max, 2000);
	cr_assert_str_empty(result.detail);
}

Test(load, does_not_count_the_warm_up)
{
	begin(answer_well);
	load.warm_up = 3;
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	cr_assert_eq(restores, 9);
	cr_assert_eq(releases, 9);
	cr_assert_eq(result.measurements[0].total.count, 6);
}

Test(load, series_take_turns)
{
	begin(answer_well);
	load.series_count = 3;
	load.series[0] = (struct series){ "warm", OPERATION_RESTORE, "warm" };
	load.series[1] = (struct series){ "cold", OPERATION_RESTORE, "cold" };
	load.series[2] = (struct series){ "ping", OPERATION_PING, NULL };
	load.plan.count = 12;
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(result.measurements[i].total.count, 4);
	cr_assert_eq(result.measurements[0].served_warm, 4);
	cr_assert_eq(result.measurements[1].served_warm, 0);
	cr_assert_eq(result.measurements[2].phase_count, 0);
	cr_assert_eq(pings, 4);
}

static json_t *answer_with_shape(void *context, const char *method, const json_t *params)
{
	if (strcmp(method, "snapshot.inspect") == 0)
		return json_pack("{s:i, s:i, s:s}", "vcpus", 2, "memory_mib", 64, "cpu_template", "portable");
	if (strcmp(method, "vm.boot") == 0) {
		cr_assert_eq(json_integer_value(json_object_get(params, "vcpus")), 2);
		cr_assert_eq(json_integer_value(json_object_get(params, "memory_mib")), 64);
		expect_text(params, "cpu_template", "portable");
		expect_text(params, "temperature", "cold");
	}
	return answer_well(context, method, params);
}

Test(load, boots_are_of_the_snapshots_shape_and_end_when_the_guest_is_ready)
{
	begin(answer_with_shape);
	load.equal_shapes = true;
	load.series[0] = (struct series){ "cold_boot", OPERATION_BOOT, "cold" };
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	cr_assert_eq(boots, 6);
	cr_assert_eq(waits, 6);
	cr_assert_eq(releases, 6);
	cr_assert_lt(measurement_find_phase(&result.measurements[0], "guest"), MEASUREMENT_PHASES_MAX);
}

Test(load, settles_until_the_pool_is_at_rest)
{
	begin(answer_well);
	load.settle = true;
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	cr_assert_eq(statuses, 18);
}

Test(load, each_client_has_a_connection)
{
	begin(answer_well);
	load.clients = 5;
	load.plan.count = 50;
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	cr_assert_eq(fake_daemon_most_connections(fake), 5);
	cr_assert_eq(result.measurements[0].total.count, 50);
}

static json_t *answer_every_other(void *context, const char *method, const json_t *params)
{
	if (strcmp(method, "vm.restore") == 0 && restores++ % 2 == 1)
		return fake_error(-32001, "RESOURCE_EXHAUSTED", "no slot is free");
	return strcmp(method, "vm.restore") == 0 ? fake_vm("warm") : answer_well(context, method, params);
}

Test(load, counts_failures_by_status_and_goes_on)
{
	begin(answer_every_other);
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	cr_assert_eq(result.measurements[0].total.count, 3);
	cr_assert_eq(result.measurements[0].error_count, 3);
	cr_assert_str_eq(result.measurements[0].errors[0].status, "RESOURCE_EXHAUSTED");
	cr_assert_eq(releases, 3);
	cr_assert_str_eq(result.detail, "RESOURCE_EXHAUSTED: no slot is free");
}

static json_t *answer_twice(void *context, const char *method, const json_t *params)
{
	return restores >= 2 && strcmp(method, "vm.restore") == 0 ? NULL : answer_well(context, method, params);
}

Test(load, ends_when_the_connection_does)
{
	begin(answer_twice);
	cr_assert_eq(load_run(&load, &result), -EIO);
	cr_assert_eq(result.measurements[0].total.count, 2);
	cr_assert_str_eq(result.measurements[0].errors[0].status, "CONNECTION");
	cr_assert_str_not_empty(result.detail);
}

static json_t *answer_no_snapshot(void *context, const char *method, const json_t *params)
{
	(void)context;
	(void)method;
	(void)params;
	return fake_error(-32025, "NOT_FOUND", "no snapshot has the name \"demo\"");
}

Test(load, says_that_there_is_no_snapshot)
{
	begin(answer_no_snapshot);
	load.equal_shapes = true;
	cr_assert_eq(load_run(&load, &result), -EIO);
	cr_assert_str_eq(result.detail, "NOT_FOUND: no snapshot has the name \"demo\"");
}

Test(load, says_that_there_is_no_daemon)
{
	load.socket_path = "/nonexistent/ember.sock";
	load.clients = 1;
	load.series_count = 1;
	cr_assert_eq(load_run(&load, &result), -ENOENT);
	cr_assert_not_null(strstr(result.detail, "/nonexistent/ember.sock"));
}

static json_t *answer_after_a_stall(void *context, const char *method, const json_t *params)
{
	if (strcmp(method, "server.ping") == 0 && pings == 0)
		sleep_ms(STALL_MS);
	return answer_well(context, method, params);
}

/*
 * Ten requests are due within 90 ms, and the first stalls the only client for 200 ms: every one of them was kept
 * waiting for at least 110 ms. Were their latency counted from when they were sent, nine would look fast.
 */
Test(load, open_loop_charges_a_stall_to_all_that_it_delayed)
{
	begin(answer_after_a_stall);
	load.series[0] = (struct series){ "ping", OPERATION_PING, NULL };
	load.plan = (struct schedule_plan){ .rate = 100, .even = true, .count = 10 };
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	cr_assert_eq(result.measurements[0].total.count, 10);
	cr_assert_geq(result.measurements[0].total.min, (STALL_MS - 90) * UINT64_C(1000000));
	cr_assert_lt(measurement_find_phase(&result.measurements[0], "late"), MEASUREMENT_PHASES_MAX);
}

Test(load, reports_as_json)
{
	json_t *report = NULL, *figures;

	begin(answer_every_other);
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	cr_assert_eq(report_json(&load, &result, &report), 0);
	figures = json_object_get(report, "any");
	cr_assert_gt(json_real_value(json_object_get(figures, "p50_us")), 0.0);
	cr_assert_leq(json_real_value(json_object_get(figures, "p50_us")),
		      json_real_value(json_object_get(figures, "p99_us")));
	cr_assert_eq(json_integer_value(json_object_get(figures, "count")), 3);
	cr_assert_eq(json_integer_value(json_object_get(figures, "errors")), 3);
	cr_assert_eq(
		json_integer_value(json_object_get(json_object_get(figures, "errors_by_status"), "RESOURCE_EXHAUSTED")),
		3);
	cr_assert_float_eq(json_real_value(json_object_get(json_object_get(figures, "phases_us"), "memory_map")), 2.0,
			   0.02);
	json_decref(report);
}

Test(load, reports_as_text_what_one_series_pays_and_another_does_not)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out;

	begin(answer_well);
	load.series_count = 2;
	load.series[0] = (struct series){ "warm_restore", OPERATION_RESTORE, "warm" };
	load.series[1] = (struct series){ "cold_boot", OPERATION_BOOT, "cold" };
	cr_assert_eq(load_run(&load, &result), 0, "%s", result.detail);
	out = open_memstream(&text, &size);
	report_text(&load, &result, out);
	fclose(out);
	cr_assert_not_null(strstr(text, "warm restore           cold boot\n"), "%s", text);
	cr_assert_not_null(strstr(text, "\n  memory_map             0.002     0.002     0.002     0.002\n"), "%s",
			   text);
	cr_assert_not_null(strstr(text, "\n  guest                      -         -"), "%s", text);
	free(text);
}

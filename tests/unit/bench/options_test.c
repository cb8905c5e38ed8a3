/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ember-bench's command line: what it makes of a line, and what it refuses.
 */
#include "bench/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 24

static struct options options;
static char detail[OPTIONS_DETAIL_SIZE];

/* Parse a command line whose words have no spaces in them. */
static int parse(const char *line)
{
	static char copy[512];
	char *words[WORDS_MAX + 1] = { "ember-bench" }, *rest = NULL;
	int count = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &rest); word != NULL && count < WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	return options_parse(count, words, "/default.sock", &options, detail);
}

static void expect_refused(const char *line, const char *because)
{
	cr_assert_eq(parse(line), -EINVAL, "%s was taken", line);
	cr_assert_not_null(strstr(detail, because), "%s: \"%s\" does not say \"%s\"", line, detail, because);
}

Test(options, restore_has_one_client_and_any_temperature)
{
	cr_assert_eq(parse("restore --snapshot demo"), 0, "%s", detail);
	cr_assert_str_eq(options.load.socket_path, "/default.sock");
	cr_assert_str_eq(options.load.snapshot, "demo");
	cr_assert_eq(options.load.clients, 1);
	cr_assert_eq(options.load.series_count, 1);
	cr_assert_str_eq(options.load.series[0].name, "any");
	cr_assert_eq(options.load.series[0].operation, OPERATION_RESTORE);
	cr_assert_eq(options.load.plan.count, 200);
	cr_assert_eq(options.load.plan.duration_ns, 0);
	cr_assert_not(options.load.settle);
}

Test(options, temperatures_take_turns)
{
	cr_assert_eq(parse("--socket /s restore --temperature warm,cold --snapshot demo --count 10 --settle"), 0, "%s",
		     detail);
	cr_assert_str_eq(options.load.socket_path, "/s");
	cr_assert_eq(options.load.series_count, 2);
	cr_assert_str_eq(options.load.series[0].temperature, "warm");
	cr_assert_str_eq(options.load.series[1].temperature, "cold");
	cr_assert_eq(options.load.plan.count, 20, "the count is of each temperature");
	cr_assert(options.load.settle);
}

Test(options, duration_replaces_the_count)
{
	cr_assert_eq(parse("restore --snapshot demo --duration 2.5 --clients 8"), 0, "%s", detail);
	cr_assert_eq(options.load.plan.count, 0);
	cr_assert_eq(options.load.plan.duration_ns, UINT64_C(2500000000));
	cr_assert_eq(options.load.clients, 8);
}

Test(options, rate_opens_the_loop)
{
	cr_assert_eq(parse("restore --snapshot demo --rate 250 --arrivals even --duration 1 --seed 3"), 0, "%s",
		     detail);
	cr_assert_float_eq(options.load.plan.rate, 250.0, 0.0);
	cr_assert(options.load.plan.even);
	cr_assert_eq(options.load.plan.seed, 3);
	cr_assert_eq(options.load.clients, 64);
}

Test(options, compare_is_three_series_from_a_pool_at_rest)
{
	cr_assert_eq(parse("compare --snapshot demo --json figures.json --warm-up 0"), 0, "%s", detail);
	cr_assert_eq(options.load.series_count, 3);
	cr_assert_str_eq(options.load.series[0].name, "cold_boot");
	cr_assert_eq(options.load.series[0].operation, OPERATION_BOOT);
	cr_assert_str_eq(options.load.series[1].name, "cold_restore");
	cr_assert_str_eq(options.load.series[1].temperature, "cold");
	cr_assert_str_eq(options.load.series[2].name, "warm_restore");
	cr_assert_str_eq(options.load.series[2].temperature, "warm");
	cr_assert(options.load.settle);
	cr_assert(options.load.equal_shapes);
	cr_assert_eq(options.load.warm_up, 0);
	cr_assert_str_eq(options.json_path, "figures.json");
}

Test(options, help_and_version_need_nothing_else)
{
	cr_assert_eq(parse("--help"), 0);
	cr_assert(options.help);
	cr_assert_eq(parse("restore --version"), 0);
	cr_assert(options.version);
}

Test(options, refuses_what_makes_no_sense)
{
	expect_refused("", "scenario");
	expect_refused("restore compare --snapshot demo", "scenario");
	expect_refused("restart --snapshot demo", "restart");
	expect_refused("restore", "--snapshot");
	expect_refused("compare", "--snapshot");
	expect_refused("ping --snapshot demo", "--snapshot");
	expect_refused("ping --temperature warm", "--temperature");
	expect_refused("compare --snapshot demo --clients 2", "--clients");
	expect_refused("compare --snapshot demo --rate 2", "--rate");
	expect_refused("restore --snapshot demo --temperature hot", "--temperature");
	expect_refused("restore --snapshot demo --temperature warmcold", "--temperature");
	expect_refused("restore --snapshot demo --temperature=", "--temperature");
	expect_refused("restore --snapshot demo --arrivals even", "--arrivals");
	expect_refused("restore --snapshot demo --rate 5 --arrivals odd", "--arrivals");
	expect_refused("restore --snapshot demo --rate 5 --settle", "--settle");
}

Test(options, refuses_numbers_out_of_range)
{
	expect_refused("restore --snapshot demo --clients 0", "--clients");
	expect_refused("restore --snapshot demo --clients 1025", "--clients");
	expect_refused("restore --snapshot demo --clients -1", "--clients");
	expect_refused("restore --snapshot demo --clients 4x", "--clients");
	expect_refused("restore --snapshot demo --count 0", "--count");
	expect_refused("restore --snapshot demo --count 99999999999999999999", "--count");
	expect_refused("restore --snapshot demo --duration 0", "--duration");
	expect_refused("restore --snapshot demo --duration nan", "--duration");
	expect_refused("restore --snapshot demo --rate -5", "--rate");
	expect_refused("restore --snapshot demo --rate inf", "--rate");
}

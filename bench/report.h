/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_BENCH_REPORT_H
#define EMBER_BENCH_REPORT_H

#include "bench/load.h"

#include <jansson.h>
#include <stdio.h>

/*
 * Print the figures for a person: a line for each series, then each one's phases side by side.
 *
 * Times are in milliseconds.
 */
void report_text(const struct load *load, const struct load_result *result, FILE *out);

/*
 * The figures for a program: an object with a member for each series, whose members are p50_us, p90_us, p99_us,
 * p999_us, max_us, mean_us, count, per_second, errors, errors_by_status, served_warm, phases_us (names and their p50)
 * and phases_p99_us.
 *
 * ret_json  a new reference
 *
 * Returns 0 or -ENOMEM.
 */
int report_json(const struct load *load, const struct load_result *result, json_t **ret_json);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long it takes until a guest has answered a request: from the call that starts it to the last byte of what its
 * agent says, by a cold boot and by warm restores of a snapshot of the very guest.
 *
 * Nothing here fails because something is slow. What is printed is what README.md keeps.
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "daemon.h"

#define SNAPSHOT "first-answer"
#define RUNS_MAX 1000

static int compare(const void *one, const void *other)
{
	int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;

	return (a > b) - (a < b);
}

static double ms(int64_t ns)
{
	return (double)ns / 1000000.0;
}

static int64_t time_boot(struct ember *client, struct guest *ret_guest)
{
	int64_t started = monotonic_ns();

	guest_boot(client, ret_guest, NULL, "");
	json_decref(agent_ask(&ret_guest->agent, "identity"));
	return monotonic_ns() - started;
}

static int64_t time_restore(struct ember *client)
{
	int64_t started = monotonic_ns(), ended;
	struct guest guest;

	guest_restore(client, &guest, SNAPSHOT, json_pack("{s:s}", "temperature", "warm"));
	json_decref(agent_ask(&guest.agent, "identity"));
	ended = monotonic_ns();
	guest_release(client, &guest);
	return ended - started;
}

void check_first_answer(int argc, char **argv)
{
	unsigned int runs = (unsigned int)parse_number(argv[0], 1, RUNS_MAX);
	int64_t *times = calloc(runs, sizeof(*times)), boot, median;
	struct ember *client = daemon_connect();
	struct guest original;

	(void)argc;
	if (!times)
		fail("no memory");
	boot = time_boot(client, &original);
	guest_snapshot(client, &original, SNAPSHOT);
	for (unsigned int i = 0; i < runs; i++) {
		pool_fill(client, &original, 1);
		times[i] = time_restore(client);
	}
	qsort(times, runs, sizeof(*times), compare);
	median = times[runs / 2];
	printf("first answer of a Linux guest: cold boot %.0f ms, warm restore %.1f ms (median of %u; %.1f to %.1f), "
	       "%.0f times as fast\n",
	       ms(boot), ms(median), runs, ms(times[0]), ms(times[runs - 1]), (double)boot / (double)median);
	free(times);
	(void)ember_free(client);
}

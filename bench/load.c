/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load on the daemon: threads that take turns from one schedule, each with a connection and measurements of its own.
 *
 * Threads that block are the simplest client there is, and latency is what such a client sees. The warm-up runs on the
 * first connection before the others start; the clock of an open loop starts after it.
 */
#include "bench/load.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct client {
	pthread_t thread;
	const struct load *load;
	struct schedule *schedule;
	struct target target;
	struct measurement measurements[LOAD_SERIES_MAX];
	char detail[LOAD_DETAIL_SIZE]; /* the first failure's sentence */
	int result;
};

static void sleep_until(uint64_t due_ns)
{
	const struct timespec due = { .tv_sec = (time_t)(due_ns / 1000000000U),
				      .tv_nsec = (long)(due_ns % 1000000000U) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

/* Keep the first failure's words: later ones follow from it more often than not. */
static void keep_detail(struct client *client)
{
	const struct ember_error *error = &client->target.error;

	if (client->detail[0] == '\0' && error->message[0] != '\0')
		snprintf(client->detail, sizeof(client->detail), "%s%s%s", error->status,
			 error->status[0] == '\0' ? "" : ": ", error->message);
}

static void *run_client(void *context)
{
	struct client *client = context;
	const struct load *load = client->load;
	struct turn turn;

	while (client->result == 0 && schedule_next(client->schedule, monotonic_ns(), &turn)) {
		size_t index = turn.number % load->series_count;

		if (turn.due_ns > 0)
			sleep_until(turn.due_ns);
		client->result =
			target_run(&client->target, &load->series[index], turn.due_ns, &client->measurements[index]);
		keep_detail(client);
	}
	if (client->result < 0)
		schedule_stop(client->schedule);
	return NULL;
}

static void describe_unreachable(const struct load *load, unsigned int client, int failure, char *detail)
{
	if (failure == -ENOENT || failure == -ECONNREFUSED)
		snprintf(detail, LOAD_DETAIL_SIZE,
			 "no daemon answers on %s: start emberd, or name its socket with --socket or EMBER_SOCKET",
			 load->socket_path);
	else
		snprintf(detail, LOAD_DETAIL_SIZE, "connection %u of %u to %s: %s", client + 1, load->clients,
			 load->socket_path, strerror(-failure));
}

static int connect_clients(const struct load *load, struct client *clients, struct load_result *result)
{
	int failure;

	for (unsigned int i = 0; i < load->clients; i++) {
		clients[i].load = load;
		clients[i].target.snapshot = load->snapshot;
		clients[i].target.settle = load->settle;
		failure = target_connect(&clients[i].target, load->socket_path);
		if (failure < 0) {
			describe_unreachable(load, i, failure, result->detail);
			return failure;
		}
	}
	return 0;
}

/* What all clients must know first, asked by the first of them; then the rounds that do not count. */
static int prepare(const struct load *load, struct client *clients)
{
	struct client *first = &clients[0];
	int result = 0;

	if (load->equal_shapes) {
		result = target_adopt_shape(&first->target);
		for (unsigned int i = 1; i < load->clients; i++)
			clients[i].target.boot_shape = first->target.boot_shape;
	}
	for (uint64_t round = 0; round < load->warm_up && result == 0; round++) {
		for (size_t i = 0; i < load->series_count && result == 0; i++)
			result = target_run(&first->target, &load->series[i], 0, NULL);
	}
	keep_detail(first);
	return result;
}

static int run_clients(const struct load *load, struct client *clients, struct load_result *result)
{
	struct schedule *schedule = NULL;
	uint64_t start_ns = monotonic_ns();
	unsigned int started;
	int failure;

	failure = schedule_new(&load->plan, start_ns, &schedule);
	if (failure < 0)
		return failure;
	for (started = 0; started < load->clients && failure == 0; started++) {
		clients[started].schedule = schedule;
		failure = -pthread_create(&clients[started].thread, NULL, run_client, &clients[started]);
		if (failure < 0)
			break;
	}
	if (failure < 0)
		schedule_stop(schedule);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(clients[i].thread, NULL);
	result->elapsed_ns = monotonic_ns() - start_ns;
	schedule_free(schedule);
	return failure;
}

static int collect(const struct load *load, const struct client *clients, struct load_result *result)
{
	int failure = 0;

	for (unsigned int i = 0; i < load->clients; i++) {
		if (result->detail[0] == '\0')
			snprintf(result->detail, sizeof(result->detail), "%s", clients[i].detail);
		if (clients[i].result < 0 && failure == 0)
			failure = clients[i].result == -ENOMEM ? -ENOMEM : -EIO;
		for (size_t j = 0; j < load->series_count; j++) {
			if (measurement_merge(&result->measurements[j], &clients[i].measurements[j]) == -ENOMEM)
				failure = -ENOMEM;
		}
	}
	return failure;
}

static void free_clients(const struct load *load, struct client *clients)
{
	for (unsigned int i = 0; i < load->clients; i++) {
		target_close(&clients[i].target);
		for (size_t j = 0; j < load->series_count; j++)
			measurement_release(&clients[i].measurements[j]);
	}
	free(clients);
}

int load_run(const struct load *load, struct load_result *ret_result)
{
	struct client *clients = calloc(load->clients, sizeof(*clients));
	int result, collected;

	if (clients == NULL)
		return -ENOMEM;
	result = connect_clients(load, clients, ret_result);
	if (result == 0) {
		result = prepare(load, clients);
		if (result == 0)
			result = run_clients(load, clients, ret_result);
		collected = collect(load, clients, ret_result);
		if (result == 0)
			result = collected;
		else if (result != -ENOMEM)
			result = -EIO;
	}
	free_clients(load, clients);
	return result;
}

void load_result_release(struct load_result *result)
{
	for (size_t i = 0; i < LOAD_SERIES_MAX; i++)
		measurement_release(&result->measurements[i]);
	memset(result, 0, sizeof(*result));
}

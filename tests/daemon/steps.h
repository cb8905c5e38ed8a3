/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps that tests of VMs are made of: calls with parameters as json_pack() makes them, refusals, dialogues with the demo
 * guest over its console, and what /proc says of processes. As the harness, everything here asserts.
 */
#ifndef EMBER_TESTS_DAEMON_STEPS_H
#define EMBER_TESTS_DAEMON_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "harness.h"
#include "proto/client/ember.h"
#include "proto/status.h"

/* Memory of the guests here, in MiB: little, so that files are small and checksums quick. */
#define GUEST_MIB 8

/* A configuration with two slots of the guests' shape kept warm. */
#define GUEST_POOL "{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 2, \"max\": 128}]}}"

/*
 * The start() and stop() of a file whose tests have a daemon and a client of it, and nothing else: daemon_under_test
 * and client. The daemon must answer to the end.
 *
 * overrides  of daemon_start()
 */
#define DAEMON_AND_CLIENT(overrides)                         \
	static struct daemon daemon_under_test;              \
	static struct ember *client;                         \
                                                             \
	static void start(void)                              \
	{                                                    \
		daemon_start(&daemon_under_test, overrides); \
		client = daemon_connect(&daemon_under_test); \
	}                                                    \
                                                             \
	static void stop(void)                               \
	{                                                    \
		perform(client, "server.ping", NULL);        \
		(void)ember_free(client);                    \
		daemon_stop(&daemon_under_test);             \
	}                                                    \
	_Static_assert(true, "a semicolon follows")

/*
 * Call a method that must succeed; its result must be what the protocol's table says.
 *
 * format  of json_pack() for the parameters, or NULL for none
 *
 * Returns the result, a new reference.
 */
json_t *call(struct ember *client, const char *method, const char *format, ...);

/* As call() where the result is of no interest. */
void perform(struct ember *client, const char *method, const char *format, ...);

/*
 * Call a method that must fail with this code.
 *
 * named   what the error must name: text in its message, field, detail or other data; NULL: nothing
 *
 * Returns the error's data, a new reference.
 */
json_t *refusal(struct ember *client, int code, const char *named, const char *method, const char *format, ...);

/* As refusal() where the data is of no further interest. */
void refused(struct ember *client, int code, const char *named, const char *method, const char *format, ...);

void sleep_ms(long ms);

/* CLOCK_MONOTONIC in milliseconds. */
int64_t now_ms(void);

/* ---- calls that are open while others are made ---- */

struct open_call {
	bool answered;
	int code; /* of the error; 0: none */
	char message[256];
	json_t *result; /* owned; NULL where it failed */
	json_t *data;   /* of the error; owned */
	const char *method;
	uint64_t id;
};

/* Send a request. The call must stay where it is until it has been answered; ended by open_call_end(). */
void open_call_begin(struct open_call *open, struct ember *client, const char *method, const char *format, ...);

/* Wait for its answer. Returns the error's code, 0 for success. */
int open_call_wait(struct open_call *open, struct ember *client);

/* Drop what the answer held. */
void open_call_end(struct open_call *open);

/* ---- guests ---- */

struct guest {
	struct ember *client;
	char vm[40];
	pid_t pid;        /* of its worker */
	int64_t offset;   /* how far its console has been read */
	char text[16384]; /* read and not yet taken; terminated */
	char line[2048];  /* what the last question was answered with */
};

/* Boot the demo guest, wait until it is ready, read its banner. */
void guest_boot(struct guest *guest, struct ember *client, int vcpus, int memory_mib);

/* Restore a registered snapshot. */
void guest_restore(struct guest *guest, struct ember *client, const char *snapshot);

/* A guest from the result of vm.boot or vm.restore. Reads its console up to where it is. */
void guest_of(struct guest *guest, struct ember *client, const json_t *started);

/* Send a line (made as printf() does) to the guest. */
__attribute__((format(printf, 2, 3))) void guest_say(struct guest *guest, const char *format, ...);

/* The next line from the guest, without its end. Valid until the next one. */
const char *guest_hear(struct guest *guest);

/* guest_say(), then guest_hear(). */
__attribute__((format(printf, 2, 3))) const char *guest_ask(struct guest *guest, const char *format, ...);

/* Ask, and expect a number. */
int64_t guest_number(struct guest *guest, const char *question);

void guest_release(struct guest *guest);

/* Boot a guest, count to a number, write pages with a seed, snapshot it under a name, release it. */
void make_snapshot(struct ember *client, const char *name, int vcpus, int count, int pages, unsigned int seed);

/* ---- the pool and its processes ---- */

/* Wait until the pool has so many warm workers, none building, none closing and none with a VM but so many. */
void pool_settle(struct ember *client, size_t warm, size_t running);

/* Workers whose state is this (NULL: any). */
size_t count_workers(struct ember *client, const char *state);

/* Is the process there, neither a zombie nor on its way to be one? */
bool process_lives(pid_t pid);

/* Wait until it does not. */
void process_wait_end(pid_t pid);

/* Children of a process that live; at most max are written. Returns how many there are. */
size_t children_of(pid_t parent, pid_t *pids, size_t max);

/* A child of a process by the name that the kernel has for it, or 0. */
pid_t child_named(pid_t parent, const char *name);

/* Run a program to its end. Returns its exit status (128 + the signal); output gets both of its streams, terminated. */
__attribute__((format(printf, 3, 4))) int run_program(char *output, size_t size, const char *format, ...);

#endif

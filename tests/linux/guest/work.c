/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work across a snapshot.
 *
 * Each thread is bound to its CPU. A round writes a pattern over the thread's memory and sums it, then sleeps for a
 * few milliseconds, so that half of the threads' life is computation, which a lost register or page would change, and
 * half is timers, which a lost interrupt would stop. The first thread to be half way signals the host,
 * while all of them are at it.
 */
#include "work.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "signal_port.h"

#define CPUS_MAX     8
#define ROUNDS       80
#define ROUND_SIGNAL 20 /* the first thread to come here signals */
#define WORDS        32768
#define SLEEP_NS     30000000L

struct worker {
	pthread_t thread;
	unsigned int cpu;
	uint64_t sum;
	uint64_t words[WORDS];
};

static struct worker workers[CPUS_MAX];
static pthread_once_t signal_once = PTHREAD_ONCE_INIT;

static void signal_host(void)
{
	guest_signal(GUEST_EVENT_SNAPSHOT);
}

static void do_round(struct worker *worker, uint64_t round)
{
	uint64_t value = round * 0x9e3779b97f4a7c15U + worker->cpu;

	for (size_t i = 0; i < WORDS; i++) {
		value = value * 6364136223846793005U + 1442695040888963407U;
		worker->words[i] ^= value;
	}
	for (size_t i = 0; i < WORDS; i++)
		worker->sum = (worker->sum << 1 | worker->sum >> 63) + worker->words[i];
}

static void *work(void *opaque)
{
	const struct timespec pause = { .tv_nsec = SLEEP_NS };
	struct worker *worker = opaque;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(worker->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
		printf("guest: CPU %u: %s\n", worker->cpu, strerror(errno));
	for (uint64_t round = 0; round < ROUNDS; round++) {
		do_round(worker, round);
		(void)nanosleep(&pause, NULL);
		if (round == ROUND_SIGNAL)
			(void)pthread_once(&signal_once, signal_host);
	}
	return NULL;
}

void guest_work(void)
{
	unsigned int count = (unsigned int)get_nprocs();
	uint64_t sum = 0;

	if (count > CPUS_MAX)
		count = CPUS_MAX;
	for (unsigned int i = 0; i < count; i++) {
		workers[i].cpu = i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			printf("guest: no thread for CPU %u\n", i);
	}
	for (unsigned int i = 0; i < count; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		sum = sum * 31 + workers[i].sum;
	}
	printf("guest: work sum=%016llx slept=%u\n", (unsigned long long)sum, count * ROUNDS);
	(void)fflush(stdout);
}

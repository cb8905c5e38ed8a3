/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TSC of a clone in a shell that was built together with the original's, restored soon after the snapshot.
 *
 * To kernels before 6.8 the write of such a clone's TSC looks like an attempt to synchronise it with its shell's, which
 * they do instead. The clone must go on from where it stood, and so be behind the original by the time that it stood: by
 * no less, as in a shell of the same age, and by no more, as in a younger one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "daemon.h"

#define SNAPSHOT   "tsc"
#define MEMORY_MIB 16
#define STOOD_MS   150
#define POLL_MS    5

struct machine {
	char vm[32];
	unsigned int answers; /* that it has given */
};

static void start(struct ember *client, struct machine *ret_machine, const char *method, json_t *params)
{
	json_t *started = daemon_call(client, method, params);

	*ret_machine = (struct machine){ .answers = 0 };
	(void)snprintf(ret_machine->vm, sizeof(ret_machine->vm), "%s", member_text(started, "vm"));
	json_decref(started);
}

/* The nth line of an output that is a number and nothing else, from 1; 0: there is none yet. */
static int64_t find_answer(const char *output, unsigned int nth)
{
	while (*output != '\0') {
		size_t length = strspn(output, "0123456789");

		if (length > 0 && (output[length] == '\r' || output[length] == '\n') && --nth == 0)
			return strtoll(output, NULL, 10);
		output += strcspn(output, "\n");
		output += *output == '\n';
	}
	return 0;
}

static int64_t ask_tsc(struct ember *client, struct machine *machine)
{
	int64_t deadline = monotonic_ns() + WAIT_MS * INT64_C(1000000), tsc = 0;

	daemon_do(client, "vm.console",
		  json_pack("{s:s, s:s, s:s}", "vm", machine->vm, "action", "write", "data", "tsc\n"));
	machine->answers++;
	while (tsc == 0) {
		json_t *read =
			daemon_call(client, "vm.console", json_pack("{s:s, s:s}", "vm", machine->vm, "action", "read"));

		tsc = find_answer(member_text(read, "data"), machine->answers);
		json_decref(read);
		EXPECT(monotonic_ns() < deadline, "%s to tell its TSC, it does not", machine->vm);
		pause_ms(POLL_MS);
	}
	return tsc;
}

static void wait_warm(struct ember *client, unsigned int count)
{
	for (;;) {
		json_t *row = daemon_call(client, "pool.configure",
					  json_pack("{s:i, s:i, s:i, s:i}", "vcpus", 1, "memory_mib", MEMORY_MIB, "min",
						    (int)count, "max", 2));
		int64_t warm = member_integer(row, "warm");

		json_decref(row);
		if (warm >= (int64_t)count)
			return;
		pause_ms(POLL_MS);
	}
}

static int64_t khz_of(struct ember *client)
{
	json_t *info = daemon_call(client, "server.info", NULL);
	int64_t khz = member_integer(info, "kvm.tsc_khz");

	json_decref(info);
	return khz;
}

/* Once: two shells, a snapshot of the guest in the one, and its clone in the other. */
static void compare(struct ember *client, int64_t khz)
{
	int64_t before, behind, snapshot_begun, snapshot_ended, restore_begun, answered, least, most;
	struct machine original, clone;

	wait_warm(client, 2);
	start(client, &original, "vm.boot", json_pack("{s:i, s:s}", "memory_mib", MEMORY_MIB, "temperature", "warm"));
	daemon_do(client, "vm.wait", json_pack("{s:s, s:s}", "vm", original.vm, "for", "ready"));
	before = ask_tsc(client, &original);

	snapshot_begun = monotonic_ns();
	daemon_do(client, "vm.snapshot",
		  json_pack("{s:s, s:s, s:b}", "vm", original.vm, "name", SNAPSHOT, "overwrite", 1));
	snapshot_ended = monotonic_ns();
	pause_ms(STOOD_MS);
	restore_begun = monotonic_ns();
	start(client, &clone, "vm.restore", json_pack("{s:s, s:s}", "snapshot", SNAPSHOT, "temperature", "warm"));
	behind = ask_tsc(client, &clone);
	EXPECT(behind > before, "a TSC that goes on, it fell from %lld to %lld", (long long)before, (long long)behind);
	behind = (ask_tsc(client, &original) - behind) * 1000 / khz;
	answered = monotonic_ns();

	least = (restore_begun - snapshot_ended) / 1000;
	most = (answered - snapshot_begun) / 1000;
	printf("the clone is %lld us behind, after %lld to %lld us\n", (long long)behind, (long long)least,
	       (long long)most);
	/* A hundredth for the clocks' rates. */
	EXPECT(behind >= least - least / 100 && behind <= most + most / 100,
	       "a TSC that stood while the clone did, %lld to %lld us, it is %lld us behind", (long long)least,
	       (long long)most, (long long)behind);

	daemon_do(client, "vm.release", json_pack("{s:s}", "vm", clone.vm));
	daemon_do(client, "vm.release", json_pack("{s:s}", "vm", original.vm));
}

void check_tsc(int argc, char **argv)
{
	unsigned int rounds = (unsigned int)parse_number(argv[0], 1, 1000);
	struct ember *client = daemon_connect();
	int64_t khz = khz_of(client);

	(void)argc;
	for (unsigned int i = 0; i < rounds; i++)
		compare(client, khz);
	daemon_do(client, "snapshot.remove", json_pack("{s:s, s:b}", "name", SNAPSHOT, "files", 1));
	(void)ember_free(client);
}

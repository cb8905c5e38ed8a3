/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that goes back to the host: by a balloon that is inflated, and by pages that the guest reports as free.
 *
 * What the guest has is measured from outside, as the resident memory of the VM's process. The guest first writes to
 * most of its memory and frees it, so that the host has it all to lose. Not every page that the balloon takes had been
 * written to, so three quarters of what was asked for must have gone back.
 */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "daemon.h"

#define MEMORY_MIB 192
#define USED_MIB   "112"
#define TARGET_MIB 64
#define LEAST_MIB  (TARGET_MIB * 3 / 4)

/* A line of /proc/PID/status, "VmRSS" or "VmHWM", in MiB. */
static int64_t status_mib(pid_t pid, const char *name)
{
	char path[64], line[256];
	long long kib = -1;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && kib < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			(void)sscanf(line + strlen(name), ": %lld kB", &kib); // NOLINT(cert-err34-c)
	if (kib < 0)
		fail("%s has no %s", path, name);
	(void)fclose(file);
	return kib / 1024;
}

static void use_memory(const struct guest *guest)
{
	json_decref(agent_ask(&guest->agent, "memory " USED_MIB));
}

/* Set the balloon's target, and wait until the guest has come there. */
static void set_balloon(struct ember *client, const struct guest *guest, int target_mib)
{
	int64_t deadline = monotonic_ns() + (int64_t)WAIT_MS * 1000000, actual;

	daemon_do(client, "vm.balloon", json_pack("{s:s, s:i}", "vm", guest->vm, "target_mib", target_mib));
	do {
		json_t *balloon = daemon_call(client, "vm.balloon", json_pack("{s:s}", "vm", guest->vm));

		actual = member_integer(balloon, "actual_mib");
		json_decref(balloon);
		if (actual != target_mib)
			pause_ms(100);
	} while (actual != target_mib && monotonic_ns() < deadline);
	EXPECT(actual == target_mib, "a balloon of %d MiB, got %lld", target_mib, (long long)actual);
}

/* The guest's own words about its memory; each question asks for new ones, which come after its answer. */
static void check_statistics(struct ember *client, const struct guest *guest)
{
	int64_t deadline = monotonic_ns() + (int64_t)WAIT_MS * 1000000, total = 0;

	while (total == 0 && monotonic_ns() < deadline) {
		json_t *balloon = daemon_call(client, "vm.balloon", json_pack("{s:s}", "vm", guest->vm));

		if (!json_is_null(member(balloon, "statistics")))
			total = member_integer(balloon, "statistics.total_bytes") / MIB;
		else
			pause_ms(100);
		json_decref(balloon);
	}
	EXPECT(total > MEMORY_MIB / 2 && total <= MEMORY_MIB, "a guest that says that it has up to %d MiB, got %lld",
	       MEMORY_MIB, (long long)total);
}

static void check_inflation(struct ember *client)
{
	int64_t used, inflated, deflated;
	struct guest guest;
	pid_t pid;

	guest_boot(client, &guest,
		   json_pack("{s:i, s:{s:b}}", "memory_mib", MEMORY_MIB, "balloon", "free_page_reporting", 0), "");
	pid = guest_pid(client, &guest);
	use_memory(&guest);
	check_statistics(client, &guest);
	used = status_mib(pid, "VmRSS");
	set_balloon(client, &guest, TARGET_MIB);
	inflated = status_mib(pid, "VmRSS");
	EXPECT(used - inflated >= LEAST_MIB, "%d MiB or more to go back of %lld, got %lld", LEAST_MIB, (long long)used,
	       (long long)(used - inflated));
	set_balloon(client, &guest, 0);
	use_memory(&guest);
	deflated = status_mib(pid, "VmRSS");
	EXPECT(deflated - inflated >= LEAST_MIB, "%d MiB or more to be had again, got %lld", LEAST_MIB,
	       (long long)(deflated - inflated));
	printf("a balloon of %d MiB: the VM's process has %lld MiB before, %lld with it, %lld after\n", TARGET_MIB,
	       (long long)used, (long long)inflated, (long long)deflated);
	guest_release(client, &guest);
}

static void check_reporting(struct ember *client)
{
	int64_t deadline, most, now;
	struct guest guest;
	pid_t pid;

	guest_boot(client, &guest,
		   json_pack("{s:i, s:{s:b}}", "memory_mib", MEMORY_MIB, "balloon", "free_page_reporting", 1), "");
	pid = guest_pid(client, &guest);
	use_memory(&guest);
	deadline = monotonic_ns() + (int64_t)WAIT_MS * 1000000;
	most = status_mib(pid, "VmHWM");
	while (most - (now = status_mib(pid, "VmRSS")) < LEAST_MIB && monotonic_ns() < deadline)
		pause_ms(200);
	EXPECT(most - now >= LEAST_MIB, "%d MiB or more to go back of %lld, got %lld", LEAST_MIB, (long long)most,
	       (long long)(most - now));
	printf("free pages reported: the VM's process had %lld MiB, and has %lld\n", (long long)most, (long long)now);
	guest_release(client, &guest);
}

void check_balloon(int argc, char **argv)
{
	struct ember *client = daemon_connect();

	(void)argc;
	(void)argv;
	check_inflation(client);
	check_reporting(client);
	(void)ember_free(client);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clones of one snapshot, all running at once, beside the guest that it was taken of.
 *
 * Each must have an identity of its own, be told what its restore said, and find its clocks as the policy says: with
 * "continue" its date goes on where it stood, with "host" it is the host's. Odd clones have the one, even ones the
 * other. A guest's date is compared with the host's by how far it is ahead, which the original tells to begin with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "daemon.h"

#define CLONES_MAX   64
#define SNAPSHOT     "clones"
#define STOOD_MS     3000      /* for how long nobody runs, at least: what tells the two policies apart */
#define TOLERANCE_NS 500000000 /* in a comparison of a guest's clock with the host's */

/* What a guest has said of itself, and when it was asked, by the host's clocks. */
struct identity {
	json_t *json;
	int64_t asked_ns;
	int64_t answered_ns;
	int64_t ahead_ns; /* its date before the host's */
};

struct clone {
	struct guest guest;
	bool host_clock;
	int64_t restored_ns; /* when its restore was asked for */
	struct identity identity;
};

static struct identity identify(const struct agent *agent)
{
	struct identity identity = { .asked_ns = monotonic_ns() };

	identity.json = agent_ask(agent, "identity");
	identity.answered_ns = monotonic_ns();
	identity.ahead_ns = member_integer(identity.json, "realtime_ns") - realtime_ns();
	return identity;
}

static void restore_clone(struct ember *client, struct clone *clone, unsigned int number)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "clone-%u", number);
	clone->host_clock = number % 2 == 0;
	clone->restored_ns = monotonic_ns();
	guest_restore(client, &clone->guest, SNAPSHOT,
		      json_pack("{s:s, s:s, s:{s:s}}", "temperature", "warm", "clock",
				clone->host_clock ? "host" : "continue", "metadata", "name", name));
}

static void check_told(const struct clone *clone, unsigned int number)
{
	const json_t *identity = clone->identity.json;
	char name[32];

	(void)snprintf(name, sizeof(name), "clone-%u", number);
	EXPECT(strcmp(member_text(identity, "metadata.name"), name) == 0, "metadata with the name %s, got %s", name,
	       member_text(identity, "metadata.name"));
	EXPECT(member_integer(identity, "cid") == clone->guest.cid, "CID %lld, got %lld", (long long)clone->guest.cid,
	       (long long)member_integer(identity, "cid"));
	EXPECT(strcmp(member_text(identity, "generation_id"), member_text(identity, "generation_id_memory")) == 0,
	       "the generation ID %s of memory in the firmware's file, got %s",
	       member_text(identity, "generation_id_memory"), member_text(identity, "generation_id"));
}

static void check_clocks(const struct clone *clone, const struct identity *original)
{
	const json_t *before = original->json, *now = clone->identity.json;
	int64_t up = member_integer(now, "uptime_ns") - member_integer(before, "uptime_ns");
	int64_t date = member_integer(now, "realtime_ns") - member_integer(before, "realtime_ns");
	int64_t drift = clone->identity.ahead_ns - original->ahead_ns;

	EXPECT(up > 0, "uptime to continue, it went by %lld ns", (long long)up);
	if (clone->host_clock) {
		EXPECT(llabs(drift) < TOLERANCE_NS, "the host's date after a restore, it is %lld ns ahead",
		       (long long)drift);
		return;
	}
	EXPECT(llabs(date - up) < TOLERANCE_NS, "a date that goes with uptime, it went by %lld and uptime by %lld ns",
	       (long long)date, (long long)up);
	EXPECT(drift < -(int64_t)STOOD_MS * 1000000 + TOLERANCE_NS,
	       "a date that stood with the machine, it is %lld ns ahead", (long long)drift);
}

/* The ACPI event came, and the random generator was seeded anew once. */
static void check_generation(const struct clone *clone, const struct identity *original)
{
	const json_t *before = original->json, *now = clone->identity.json;

	EXPECT(member_integer(now, "reseeds") == member_integer(before, "reseeds") + 1,
	       "one seeding after a restore, got %lld",
	       (long long)(member_integer(now, "reseeds") - member_integer(before, "reseeds")));
	EXPECT(member_integer(now, "events") > member_integer(before, "events"),
	       "an ACPI event after a restore, got %lld in all where there were %lld",
	       (long long)member_integer(now, "events"), (long long)member_integer(before, "events"));
}

static void check_differ(const json_t *one, const json_t *other, const char *what)
{
	EXPECT(!json_equal(member(one, what), member(other, what)), "two guests to differ in \"%s\", both have %s",
	       what, json_dumps(member(one, what), JSON_ENCODE_ANY));
}

static void check_all_differ(const json_t *const *identities, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		for (unsigned int j = 0; j < i; j++) {
			check_differ(identities[i], identities[j], "generation_id");
			check_differ(identities[i], identities[j], "random");
			check_differ(identities[i], identities[j], "cid");
		}
	}
}

static void check_quiet(const struct guest *guest, int64_t since_us)
{
	unsigned int complaints = agent_count_complaints(&guest->agent, since_us);

	EXPECT(complaints == 0, "nothing in %s's kernel log, got %u lines", guest->vm, complaints);
}

static void check_clones_of(struct ember *client, struct clone *clones, unsigned int count,
			    const struct identity *original)
{
	const json_t *identities[CLONES_MAX + 1] = { original->json };

	for (unsigned int i = 0; i < count; i++)
		restore_clone(client, &clones[i], i);
	for (unsigned int i = 0; i < count; i++)
		clones[i].identity = identify(&clones[i].guest.agent);
	for (unsigned int i = 0; i < count; i++) {
		check_told(&clones[i], i);
		check_clocks(&clones[i], original);
		check_generation(&clones[i], original);
		identities[i + 1] = clones[i].identity.json;
	}
	check_all_differ(identities, count + 1);
	for (unsigned int i = 0; i < count; i++)
		check_quiet(&clones[i].guest, member_integer(original->json, "uptime_ns") / 1000);
}

/* The guest that the snapshot was taken of has gone on as who it was. */
static void check_original(const struct guest *guest, const struct identity *before)
{
	struct identity now = identify(&guest->agent);

	EXPECT(json_equal(member(now.json, "generation_id"), member(before->json, "generation_id")) &&
		       json_equal(member(now.json, "reseeds"), member(before->json, "reseeds")),
	       "the original to keep its generation, got %s", json_dumps(now.json, 0));
	check_quiet(guest, member_integer(before->json, "uptime_ns") / 1000);
	json_decref(now.json);
}

void check_clones(int argc, char **argv)
{
	unsigned int count = (unsigned int)parse_number(argv[0], 2, CLONES_MAX);
	struct clone *clones = calloc(count, sizeof(*clones));
	struct ember *client = daemon_connect();
	struct identity identity;
	struct guest original;
	int64_t taken_ns;

	(void)argc;
	if (!clones)
		fail("no memory");
	guest_boot(client, &original, json_pack("{s:{s:s}}", "metadata", "name", "original"), "");
	identity = identify(&original.agent);
	guest_snapshot(client, &original, SNAPSHOT);
	taken_ns = monotonic_ns();
	pool_fill(client, &original, count);
	while (monotonic_ns() - taken_ns < (int64_t)STOOD_MS * 1000000)
		pause_ms(100);

	check_clones_of(client, clones, count, &identity);
	check_original(&original, &identity);
	printf("%u clones of one snapshot differ and are well\n", count);
	for (unsigned int i = 0; i < count; i++)
		json_decref(clones[i].identity.json);
	json_decref(identity.json);
	free(clones);
	(void)ember_free(client);
}

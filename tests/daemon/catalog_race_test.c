/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog under clients that get in each other's way: random calls on few names and paths at the same time, folders that are
 * renamed under the daemon, and its death now and then. After each round everything that is listed as available is restored, and its
 * guest must tell what was put there: a checksum of pages that it wrote. The same after a restart.
 *
 * EMBER_RACE_SEED repeats a run as far as time allows, EMBER_RACE_ROUNDS makes it longer.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steps.h"

#define CLIENTS    3
#define CALLS      2 /* of one client in a round, at the same time */
#define ROUNDS     24
#define KILL_EVERY 6
#define NAMES      2
#define PATHS      3 /* the last is the folder of the first name */
#define VALUE_SIZE 64
#define VALUES_MAX 4096

DAEMON_AND_CLIENT(GUEST_POOL);

/* What may be restored from a name or path: the values that were put there. */
struct place {
	char values[VALUES_MAX][VALUE_SIZE];
	size_t count;
};

struct actor {
	struct ember *client;
	struct guest guest;
	char value[VALUE_SIZE]; /* what its guest's pages hold */
	struct open_call calls[CALLS];
	int name[CALLS], path[CALLS]; /* that a call puts something to; -1: none */
	int from[CALLS];              /* the path that a name gets what it has from; -1: the guest */
};

static const char *const names[NAMES] = { "one", "two" };
static struct actor actors[CLIENTS];
static struct place by_name[NAMES], by_path[PATHS];
static unsigned int seed, next_value;

static unsigned int draw(unsigned int below)
{
	return (unsigned int)rand_r(&seed) % below;
}

static const char *path_at(int index, char path[256])
{
	if (index == PATHS - 1)
		(void)snprintf(path, 256, "%s/snapshots/%s", daemon_under_test.state_dir, names[0]);
	else
		(void)snprintf(path, 256, "%s/path-%d", daemon_under_test.folder, index);
	return path;
}

static bool holds(const struct place *place, const char *value)
{
	for (size_t i = 0; i < place->count; i++)
		if (strcmp(place->values[i], value) == 0)
			return true;
	return false;
}

static void put(struct place *place, const char *value)
{
	if (holds(place, value))
		return;
	cr_assert_lt(place->count, VALUES_MAX);
	(void)snprintf(place->values[place->count++], VALUE_SIZE, "%s", value);
}

static void put_all(struct place *place, const struct place *from)
{
	for (size_t i = 0; i < from->count; i++)
		put(place, from->values[i]);
}

/* ---- a round ---- */

static void begin_snapshot(struct actor *actor, size_t slot, bool by)
{
	char path[256];

	if (by) {
		actor->name[slot] = (int)draw(NAMES);
		open_call_begin(&actor->calls[slot], actor->client, "vm.snapshot", "{s:s, s:s, s:b}", "vm",
				actor->guest.vm, "name", names[actor->name[slot]], "overwrite", 1);
		return;
	}
	actor->path[slot] = (int)draw(PATHS);
	open_call_begin(&actor->calls[slot], actor->client, "vm.snapshot", "{s:s, s:s, s:b}", "vm", actor->guest.vm,
			"path", path_at(actor->path[slot], path), "overwrite", 1);
}

static void begin_call(struct actor *actor, size_t slot)
{
	struct open_call *open = &actor->calls[slot];
	char path[256];

	actor->name[slot] = actor->path[slot] = actor->from[slot] = -1;
	switch (draw(8)) {
	case 0:
	case 1:
		begin_snapshot(actor, slot, true);
		break;
	case 2:
		begin_snapshot(actor, slot, false);
		break;
	case 3:
		actor->name[slot] = (int)draw(NAMES);
		actor->from[slot] = (int)draw(PATHS);
		open_call_begin(open, actor->client, "snapshot.register", "{s:s, s:s}", "name",
				names[actor->name[slot]], "path", path_at(actor->from[slot], path));
		break;
	case 4:
		open_call_begin(open, actor->client, "snapshot.remove", "{s:s, s:b}", "name", names[draw(NAMES)],
				"files", (int)draw(3) > 0);
		break;
	case 5:
		open_call_begin(open, actor->client, "vm.restore", "{s:s}", "snapshot", names[draw(NAMES)]);
		break;
	case 6:
		open_call_begin(open, actor->client, "vm.restore", "{s:s}", "snapshot_path",
				path_at((int)draw(PATHS), path));
		break;
	default:
		open_call_begin(open, actor->client, "snapshot.verify", "{s:s}", "name", names[draw(NAMES)]);
		break;
	}
}

/* What a call may have put where, whether it was answered or not. What a register finds may be put there in the same round. */
static void note_put(const struct actor *actor, size_t slot, bool registers)
{
	int name = actor->name[slot], from = actor->from[slot];

	if (registers) {
		if (name >= 0 && from >= 0)
			put_all(&by_name[name], &by_path[from]);
		return;
	}
	if (name >= 0 && from < 0) {
		put(&by_name[name], actor->value);
		if (name == 0)
			put(&by_path[PATHS - 1], actor->value);
	}
	if (actor->path[slot] >= 0)
		put(&by_path[actor->path[slot]], actor->value);
}

/* Two paths change their folders, whatever is there. */
static void swap_paths(void)
{
	char first[256], second[256], between[300];

	(void)path_at(0, first);
	(void)path_at(1, second);
	(void)snprintf(between, sizeof(between), "%s.between", first);
	(void)rename(first, between);
	(void)rename(second, first);
	(void)rename(between, second);
	/* A snapshot that is being taken may land on either side of it. */
	put_all(&by_path[0], &by_path[1]);
	put_all(&by_path[1], &by_path[0]);
}

static void begin_round(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		struct actor *actor = &actors[i];

		(void)snprintf(actor->value, sizeof(actor->value), "%s",
			       guest_ask(&actor->guest, "touch 2 %u", ++next_value));
		for (size_t slot = 0; slot < CALLS; slot++)
			begin_call(actor, slot);
	}
	if (draw(3) == 0)
		swap_paths();
	for (int registers = 0; registers < 2; registers++)
		for (size_t i = 0; i < CLIENTS; i++)
			for (size_t slot = 0; slot < CALLS; slot++)
				note_put(&actors[i], slot, registers);
}

static void end_call(struct actor *actor, size_t slot)
{
	struct open_call *open = &actor->calls[slot];

	if (open_call_wait(open, actor->client) == 0 && strcmp(open->method, "vm.restore") == 0)
		perform(actor->client, "vm.release", "{s:s}", "vm", text_at(open->result, "vm"));
	if (open->code)
		expect_documented(open->method, open->code);
	cr_expect(open->code != RPC_INTERNAL && open->code != RPC_UNKNOWN, "%s: %s", open->method, open->message);
	open_call_end(open);
}

static void end_round(void)
{
	for (size_t i = 0; i < CLIENTS; i++)
		for (size_t slot = 0; slot < CALLS; slot++)
			end_call(&actors[i], slot);
}

/* ---- what must hold ---- */

/* Nobody touches the state folder but the daemon: what is listed there is there. */
static void expect_files(const json_t *entry)
{
	char file[512];

	if (strncmp(text_at(entry, "path"), daemon_under_test.state_dir, strlen(daemon_under_test.state_dir)) != 0)
		return;
	cr_expect_str_eq(text_at(entry, "state"), "available");
	(void)snprintf(file, sizeof(file), "%s/state.json", text_at(entry, "path"));
	cr_expect_eq(access(file, F_OK), 0, "%s is listed, and its files are gone", text_at(entry, "name"));
}

/* From here on a name may only give what it gives now. */
static void expect_restored(int name)
{
	struct guest guest;
	const char *value;

	guest_restore(&guest, client, names[name]);
	value = guest_ask(&guest, "sum");
	cr_expect(holds(&by_name[name], value), "%s gives %s, which was not put there", names[name], value);
	by_name[name].count = 0;
	put(&by_name[name], value);
	guest_release(&guest);
}

static size_t check_all(void)
{
	json_t *list = call(client, "snapshot.list", NULL), *entry;
	bool listed[NAMES] = { false };
	size_t available = 0, i;

	json_array_foreach(at(list, "snapshots"), i, entry) {
		int name = strcmp(text_at(entry, "name"), names[0]) == 0 ? 0 : 1;

		listed[name] = true;
		expect_files(entry);
		if (strcmp(text_at(entry, "state"), "available") == 0) {
			expect_restored(name);
			available++;
		}
	}
	for (i = 0; i < NAMES; i++)
		if (!listed[i])
			by_name[i].count = 0;
	json_decref(list);
	return available;
}

static void begin_actors(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		actors[i].client = daemon_connect(&daemon_under_test);
		guest_boot(&actors[i].guest, actors[i].client, 1, GUEST_MIB);
	}
}

static void end_actors(bool calls_are_open)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		(void)ember_free(actors[i].client);
		for (size_t slot = 0; calls_are_open && slot < CALLS; slot++) {
			json_decref(actors[i].calls[slot].result);
			json_decref(actors[i].calls[slot].data);
		}
	}
}

static void restart(bool calls_are_open)
{
	daemon_signal(&daemon_under_test, SIGKILL);
	(void)daemon_wait_end(&daemon_under_test);
	end_actors(calls_are_open);
	(void)ember_free(client);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	begin_actors();
}

DAEMON_TEST(catalog_race, what_is_listed_can_be_restored)
{
	const char *rounds_text = getenv("EMBER_RACE_ROUNDS"), *seed_text = getenv("EMBER_RACE_SEED");
	unsigned long rounds = rounds_text ? strtoul(rounds_text, NULL, 10) : ROUNDS;
	size_t restored = 0;

	seed = seed_text ? (unsigned int)strtoul(seed_text, NULL, 10) : (unsigned int)getpid() ^ (unsigned int)now_ms();
	(void)fprintf(stderr, "EMBER_RACE_SEED=%u\n", seed);
	begin_actors();
	for (unsigned long round = 1; round <= rounds; round++) {
		begin_round();
		if (round % KILL_EVERY == 0) {
			sleep_ms((long)draw(60));
			restart(true);
		} else {
			end_round();
		}
		restored += check_all();
	}

	restart(false);
	restored += check_all();
	cr_expect_gt(restored, 0, "nothing was ever there to restore");
	end_actors(false);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network: pings, a TCP transfer in the middle of which a snapshot is taken, and a clone on a TAP device of its own.
 */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "daemon.h"
#include "streams.h"
#include "tap.h"

#define SNAPSHOT  "network"
#define TAP       "tap0"
#define CLONE_TAP "tap1"
#define HOST      "10.7.0.1"
#define GUEST     "10.7.0.2"
#define MAC       "02:00:00:00:07:02"
#define STREAMS   4
#define BYTES     1048576 /* each */

static json_t *interface_on(const char *tap)
{
	return json_pack("{s:[{s:s, s:s}]}", "net", "tap", tap, "mac", MAC);
}

/* Returns the guest's uptime in microseconds. */
static int64_t check_mac(const struct agent *agent)
{
	json_t *identity = agent_ask(agent, "identity");
	int64_t uptime_us = member_integer(identity, "uptime_ns") / 1000;

	EXPECT(strcmp(member_text(identity, "mac"), MAC) == 0, "the MAC address %s, got %s", MAC,
	       member_text(identity, "mac"));
	json_decref(identity);
	return uptime_us;
}

void check_network(int argc, char **argv)
{
	const struct agent by_tcp = { .address = GUEST, .interface = TAP };
	const struct agent clone_by_tcp = { .address = GUEST, .interface = CLONE_TAP };
	struct ember *client = daemon_connect();
	struct guest original, clone;
	int64_t since_us;
	struct guest_snapshot snapshot = { .client = client, .guest = &original, .name = SNAPSHOT };

	(void)argc;
	(void)argv;
	tap_make(TAP, HOST);
	tap_make(CLONE_TAP, HOST);
	guest_boot(client, &original, interface_on(TAP), "ember.net=" GUEST);
	tap_ping(TAP, GUEST);
	since_us = check_mac(&by_tcp);
	streams_echo(&by_tcp, STREAMS, BYTES, guest_take_snapshot, &snapshot);

	guest_restore(client, &clone, SNAPSHOT, interface_on(CLONE_TAP));
	tap_ping(CLONE_TAP, GUEST);
	streams_echo(&clone_by_tcp, STREAMS, BYTES, NULL, NULL);
	tap_ping(TAP, GUEST);
	EXPECT(agent_count_complaints(&original.agent, since_us) + agent_count_complaints(&clone.agent, since_us) == 0,
	       "nothing in the guests' kernel logs, got the lines above");
	printf("%d TCP streams across a snapshot, and again with a clone: %d bytes each\n", STREAMS, BYTES);
	(void)ember_free(client);
}

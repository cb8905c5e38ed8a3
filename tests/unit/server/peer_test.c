/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of a connected peer, and the roles that they give.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/peer.h"

static void give(struct config_ids *ids, uint32_t id)
{
	ids->items[ids->count++] = id;
}

Test(peer, a_socket_pair_gives_our_own_credentials)
{
	struct peer peer;
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_assert_eq(peer_read(ends[0], &peer), 0);
	cr_expect_eq(peer.uid, geteuid());
	cr_expect_eq(peer.gid, getegid());
	cr_expect_eq(peer.pid, getpid());
	cr_expect_eq(peer.group_count, (size_t)getgroups(0, NULL));
	peer_release(&peer);
	peer_release(&peer);
}

Test(peer, what_is_no_socket_has_no_peer)
{
	struct peer peer;

	cr_expect_lt(peer_read(STDIN_FILENO, &peer), 0);
	cr_expect_lt(peer_read(-1, &peer), 0);
}

Test(peer, the_highest_role_of_any_id_counts)
{
	gid_t groups[] = { 70, 71 };
	struct peer peer = { .uid = 5, .gid = 6, .groups = groups, .group_count = 2 };
	struct config config;

	memset(&config, 0, sizeof(config));
	cr_expect_eq(peer_role(&peer, &config), ROLE_NONE);
	give(&config.observe.groups, 71);
	cr_expect_eq(peer_role(&peer, &config), ROLE_OBSERVE, "a supplementary group counts");
	give(&config.run.groups, 6);
	cr_expect_eq(peer_role(&peer, &config), ROLE_RUN);
	give(&config.admin.users, 5);
	cr_expect_eq(peer_role(&peer, &config), ROLE_ADMIN);
}

Test(peer, a_user_id_is_no_group_id)
{
	struct peer peer = { .uid = 5, .gid = 6 };
	struct config config;

	memset(&config, 0, sizeof(config));
	give(&config.admin.groups, 5);
	give(&config.admin.users, 6);
	cr_expect_eq(peer_role(&peer, &config), ROLE_NONE);
}

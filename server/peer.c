/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials come from the kernel (unix(7): SO_PEERCRED, and SO_PEERGROUPS for the supplementary groups), so a client
 * has nothing to present and nothing to forge. The role is computed from the configuration for each call: a reload
 * that takes a role away takes it from clients that are connected, too.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "server/peer.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13 */
#endif

/* A kernel without SO_PEERGROUPS leaves the primary group alone: fewer roles, never more. */
static int read_groups(int socket, struct peer *peer)
{
	socklen_t size = 0;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno == ENOPROTOOPT || size == 0)
		return 0;
	if (errno != ERANGE)
		return -errno;

	peer->groups = malloc(size);
	if (!peer->groups)
		return -ENOMEM;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &size))
		return -errno;

	peer->group_count = size / sizeof(gid_t);
	return 0;
}

int peer_read(int socket, struct peer *ret_peer)
{
	socklen_t size = sizeof(struct ucred);
	struct ucred credentials;
	struct peer peer;
	int error;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size))
		return -errno;

	peer = (struct peer){ .uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid };
	error = read_groups(socket, &peer);
	if (error) {
		peer_release(&peer);
		return error;
	}

	*ret_peer = peer;
	return 0;
}

static bool has_id(const struct config_ids *ids, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < ids->count; i++)
		if (ids->items[i] == id)
			return true;
	return false;
}

static bool has_role(const struct peer *peer, const struct config_role *role)
{
	size_t i;

	if (has_id(&role->users, peer->uid) || has_id(&role->groups, peer->gid))
		return true;
	for (i = 0; i < peer->group_count; i++)
		if (has_id(&role->groups, peer->groups[i]))
			return true;
	return false;
}

enum role peer_role(const struct peer *peer, const struct config *config)
{
	if (has_role(peer, &config->admin))
		return ROLE_ADMIN;
	if (has_role(peer, &config->run))
		return ROLE_RUN;
	if (has_role(peer, &config->observe))
		return ROLE_OBSERVE;
	return ROLE_NONE;
}

void peer_release(struct peer *peer)
{
	free(peer->groups);
	peer->groups = NULL;
	peer->group_count = 0;
}

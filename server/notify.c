/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol is one datagram of KEY=VALUE lines to a Unix socket (sd_notify(3), "Notes"): small enough to write here
 * and spare a library. The socket does not block: a manager that does not read is not waited for.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "server/cleanup.h"
#include "server/clock.h"
#include "server/notify.h"

int notify_send(const char *state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *name = getenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe)
	cleanup_close int fd = -1;
	socklen_t size;

	if (!name)
		return 0;
	if ((name[0] != '/' && name[0] != '@') || strlen(name) < 2 || strlen(name) >= sizeof(address.sun_path))
		return -EINVAL;

	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size) < 0)
		return -errno;
	return 0;
}

int notify_reloading(void)
{
	char state[64];

	(void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		       monotonic_ns() / NANOSECONDS_PER_US);
	return notify_send(state);
}

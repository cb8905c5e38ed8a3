/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration against the host that it is for: what a start would refuse, found without changing anything.
 */
#ifndef EMBER_SERVER_CONFIG_HOST_H
#define EMBER_SERVER_CONFIG_HOST_H

#include <stdint.h>

#include "server/config.h"

/* Bytes of the longest path of a socket: those of sockaddr_un without the terminating NUL, unix(7). */
#define SOCKET_PATH_MAX 107

/* Bytes of the longest name below the folder of the daemon's socket: the default path of a vsock, of any CID, and a port after it. */
#define VSOCK_DEFAULT_PATH_MAX (sizeof("/vsock/4294967294.sock_4294967295") - 1)

/*
 * Look at paths, users and groups as a start would use them; at most stat(2) and access(2) are done. Blocks.
 *
 * report  told of each error; of what is not wrong but will not do as configured by its warning, if that is not NULL
 *
 * Returns 0 or -EINVAL (reported).
 */
int config_check_host(const struct config *config, const struct config_report *report);

/*
 * Compare warm memory with the host's.
 *
 * warm_bytes  guest memory of all slots that are kept warm
 * text        filled where it is too much: a sentence with the figures
 *
 * Returns whether it is more than the host has.
 */
bool config_memory_is_scarce(uint64_t warm_bytes, char *text, size_t size);

#endif

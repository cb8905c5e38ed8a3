/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling a service manager how the daemon is: sd_notify(3)'s protocol, one datagram a message.
 */
#ifndef EMBER_SERVER_NOTIFY_H
#define EMBER_SERVER_NOTIFY_H

/*
 * Send a state ("READY=1") to the socket that $NOTIFY_SOCKET names: a path, or an abstract name that starts with '@'.
 *
 * Returns 0, also where the variable is not set; or -errno: the manager was not told.
 */
int notify_send(const char *state);

/* "RELOADING=1" with the time stamp that systemd wants beside it (Type=notify-reload). */
int notify_reloading(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_STREAM_H
#define EMBERCTL_STREAM_H

#include "emberctl/command.h"
#include "emberctl/session.h"

/*
 * vm.console read: the guest's bytes on standard output as they are; with command->follow, on and on until the VM ends.
 */
enum exit_status stream_console(struct session *session, const struct command *command);

/* events.subscribe: a line for each event, until the daemon closes the connection or emberctl is interrupted. */
enum exit_status stream_events(struct session *session, const struct command *command);

/* A VM was started that is not detached: stay connected until it ends. result: what vm.boot or vm.restore answered. */
enum exit_status stream_attached(struct session *session, const json_t *result);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits that the daemon's process was started with (getrlimit(2)): raised as far as they can be, and told of where they are too low.
 */
#ifndef EMBER_SERVER_PROCESS_LIMITS_H
#define EMBER_SERVER_PROCESS_LIMITS_H

#include "server/config.h"

/*
 * Raise soft limits to the hard ones: of files, processes, file sizes, address space and the like. A warning is logged for each limit
 * that is too low for what the configuration allows. Children inherit what is set here.
 */
void process_limits_raise(const struct config *config);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the demo guest answers to.
 */
#ifndef EMBER_DEMO_GUEST_COMMANDS_H
#define EMBER_DEMO_GUEST_COMMANDS_H

#include <stdint.h>

#include "text.h"

/* What the guest was started with, for `info`. */
void commands_start(uint64_t memory_size, uint64_t vcpus);

/* Carry out one line and answer it, with one line (`help`: with several). */
void command_execute(struct text line);

#endif

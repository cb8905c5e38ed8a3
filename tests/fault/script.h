/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed script of requests, in steps that each begin and end with an idle daemon.
 */
#ifndef EMBER_TESTS_FAULT_SCRIPT_H
#define EMBER_TESTS_FAULT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon.h"

struct script;

struct step {
	const char *name;
	void (*run)(struct script *script);
};

/* Step 0 is the daemon's start and the last its stop: those have no function. */
extern const struct step script_steps[];
extern const size_t script_step_count;

/* A script's client of a daemon that runs, or NULL: the daemon then has a complaint. The files that the steps need are written. */
struct script *script_new(struct daemon *daemon);

/* Takes NULL. Returns NULL. */
struct script *script_free(struct script *script);

/*
 * Run a step. Each request must be answered: with a result as the protocol says or an error that the method may give. Where that
 * is not so, the daemon has a complaint.
 *
 * strict  it must be a result
 *
 * A connection that breaks is made again; script_lost() counts these.
 */
void script_run(struct script *script, size_t step, bool strict);

/* Connections that broke so far. */
unsigned int script_lost(const struct script *script);

/* End and remove what the steps have left, and wait until the daemon is idle and as before. */
void script_tidy(struct script *script);

/* End the VMs that a step has left, and wait until the daemon is idle. */
void script_end_vms(struct script *script);

/* Wait until the daemon is idle, with as many warm workers as it is to have. */
bool script_settle(struct script *script, bool as_before);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader: the process that reads snapshot files, so that a file that breaks a parser breaks nothing else.
 */
#ifndef EMBER_POOL_PROCESS_LOADER_H
#define EMBER_POOL_PROCESS_LOADER_H

#include "pool/process/worker.h"

/* The rules of its filter. */
extern const struct sandbox_rule_set *const loader_rule_sets[];
extern const size_t loader_rule_set_count;

/* Confine the process, then carry out one load, or stop where it is told to. Does not return. */
_Noreturn void loader_main(const struct child_setup *setup);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zygote: a small single-threaded process that has probed KVM and forks workers and the loader on command.
 */
#ifndef EMBER_POOL_PROCESS_ZYGOTE_H
#define EMBER_POOL_PROCESS_ZYGOTE_H

#define ZYGOTE_CHANNEL 3              /* the descriptor number of its channel */
#define ZYGOTE_TITLE   "ember-zygote" /* its argv[0] */

#endif

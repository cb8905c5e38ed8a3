/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper: this executable, exec'd anew, that does file work for the daemon.
 */
#ifndef EMBER_SERVER_JOBS_HELPER_H
#define EMBER_SERVER_JOBS_HELPER_H

#define HELPER_CHANNEL 3              /* the descriptor number of its channel */
#define HELPER_TITLE   "ember-helper" /* its argv[0] */

extern const char jobs_helper_argument[]; /* argv[1] */

/* The helper's main function. argv[2]: the daemon's process id. Returns an exit status. */
int jobs_helper_main(int argc, char **argv);

#endif

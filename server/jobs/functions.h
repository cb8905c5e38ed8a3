/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the kinds that belong to other files; each is declared here for the table alone (kinds.c).
 */
#ifndef EMBER_SERVER_JOBS_FUNCTIONS_H
#define EMBER_SERVER_JOBS_FUNCTIONS_H

#include "server/jobs/kinds.h"

/* connection_files.c */
int job_receive_files(const json_t *input, int *files, uint32_t file_count, struct job_answer *answer);

/* devices/vsock.c */
int job_connect(const json_t *input, int *files, uint32_t file_count, struct job_answer *answer);

#endif

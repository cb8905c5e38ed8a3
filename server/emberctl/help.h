/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_HELP_H
#define EMBERCTL_HELP_H

#include "proto/method.h"

#include <stdio.h>

/* emberctl's own usage, and every command with its summary. */
void help_overview(FILE *out);

/* All about one command, whether or not the table has the method. */
void help_method(const struct method *method, FILE *out);

/*
 * What "emberctl help WORD..." asks for: a family's commands, or all about one command.
 *
 * detail  at least COMMAND_DETAIL_SIZE bytes: a sentence where there is no such thing
 *
 * Returns 0 or -EINVAL.
 */
int help_topic(int count, char *const *words, FILE *out, char *detail);

#endif

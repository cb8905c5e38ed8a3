/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_COMMAND_H
#define EMBERCTL_COMMAND_H

#include "emberctl/command_value.h"
#include "proto/method.h"

#include <jansson.h>
#include <stdbool.h>

/* One call to make, and what to do around it. Ends with command_release(). */
struct command {
	const struct method *method;
	json_t *params; /* an object, by name; owned */
	bool follow;    /* vm.console read: go on reading until the VM ends */
	bool attach;    /* vm.boot, vm.restore: the VM ends with this command */
};

/*
 * The method that the first words name: "vm restore", "vm.restore", or a family's name where it has one method only.
 *
 * ret_method  the table's row
 * ret_used    how many words named it: 1 or 2
 * detail      at least COMMAND_DETAIL_SIZE bytes: a sentence on failure
 *
 * Returns 0, or -EINVAL: there is no such method, and detail says what there is.
 */
int command_find_method(int count, char *const *words, const struct method **ret_method, int *ret_used, char *detail);

/*
 * Read a command: the words that name a method, then its parameters.
 *
 * Words without "--" are the required parameters in the table's order, then the texts among the others. The rest
 * are "--name value", "--name=value"; "--name" or "--no-name" for a yes or no; "--" ends the flags. A text "-" given
 * by its flag is read from standard input. How a value is written: see command_parse_value(); a flag for an array of
 * objects may be repeated.
 *
 * ret_command  filled on success; its params have passed the table's checks
 * detail       at least COMMAND_DETAIL_SIZE bytes: a sentence on failure
 *
 * Returns 0, -EINVAL (a mistake of the user's), or -ENOMEM.
 */
int command_parse(int count, char *const *words, struct command *ret_command, char *detail);

/* The words after those that name a method: as command_parse(), whether or not the table has the method. */
int command_parse_params(const struct method *method, int count, char *const *words, struct command *ret_command,
			 char *detail);

/*
 * May a parameter be given without its flag? The required ones may, and texts, but not the second of two of which only
 * one can be given.
 */
bool command_param_is_positional(const struct method *method, const struct param *param);

/* Drop what the command owns. Takes a zeroed one. */
void command_release(struct command *command);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of a command line into a method and its parameters.
 *
 * Nothing here knows a method by itself but for two habits of a command line: a VM that emberctl starts is detached,
 * because emberctl's connection ends right after (--attach asks for the opposite), and a text for a guest's console
 * ends in a line end when it is given as a plain word. All else, names, types, ranges and which words may be
 * positional, is read from the table of methods, whose own checks run before anything is sent.
 */
#include "emberctl/command.h"

#include "emberctl/command_value.h"
#include "emberctl/text.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The family's only method, NULL where it has several or none; *ret_known: there is such a family. */
static const struct method *find_only_method(const char *family, bool *ret_known)
{
	const struct method *table, *only = NULL;
	size_t count, length = strlen(family);
	unsigned int found = 0;

	table = method_table(&count);
	for (size_t i = 0; i < count; i++) {
		if (strncmp(table[i].name, family, length) == 0 && table[i].name[length] == '.') {
			only = &table[i];
			found++;
		}
	}
	*ret_known = found > 0;
	return found == 1 ? only : NULL;
}

int command_find_method(int count, char *const *words, const struct method **ret_method, int *ret_used, char *detail)
{
	const struct method *method = NULL;
	bool known_family = false;
	char name[128];
	int used = 1;

	if (strchr(words[0], '.') != NULL) {
		method = method_find(words[0]);
	} else if (count > 1) {
		snprintf(name, sizeof(name), "%s.%s", words[0], words[1]);
		method = method_find(name);
		used = 2;
	}
	if (method == NULL) {
		method = find_only_method(words[0], &known_family);
		used = 1;
	}
	if (method == NULL) {
		if (known_family)
			command_complain(detail, "\"%s\" needs one of its commands after it: see \"emberctl help %s\"",
					 words[0], words[0]);
		else
			command_complain(detail, "there is no command \"%s\": see \"emberctl help\"", words[0]);
		return -EINVAL;
	}
	*ret_method = method;
	*ret_used = used;
	return 0;
}

/* A flag for an array may be repeated: its objects join those that are there. The reference is taken over. */
static int add_items(struct command *command, const struct param *param, json_t *items)
{
	json_t *array = json_object_get(command->params, param->name);
	int result;

	if (array == NULL)
		return json_object_set_new(command->params, param->name, items) < 0 ? -ENOMEM : 0;
	result = json_array_extend(array, items) < 0 ? -ENOMEM : 0;
	json_decref(items);
	return result;
}

/* Check a value against the table, and put it among the parameters. The reference is taken over. */
static int set_param(struct command *command, const struct param *param, const char *flag, json_t *value, char *detail)
{
	struct rpc_error error = RPC_ERROR_INIT;
	int result;

	if (param->type == PARAM_OBJECT_ARRAY)
		return add_items(command, param, value);
	if (json_object_get(command->params, param->name) != NULL) {
		json_decref(value);
		return command_complain(detail, "%s is given twice", flag);
	}
	result = param_check(param, value, &error);
	if (result < 0) {
		command_complain(detail, "%s", error.message);
		rpc_error_release(&error);
		json_decref(value);
		return -EINVAL;
	}
	return json_object_set_new(command->params, param->name, value) < 0 ? -ENOMEM : 0;
}

/* A flag's name as the table spells it: "--memory-mib" is memory_mib. Takes "=value" off. */
static int split_flag(const char *word, char *name, size_t size, const char **ret_value)
{
	const char *equals = strchr(word, '=');
	size_t length = equals == NULL ? strlen(word) : (size_t)(equals - word);

	if (length < 3 || length - 2 >= size)
		return -EINVAL;
	snprintf(name, size, "%.*s", (int)(length - 2), word + 2);
	text_replace(name, '-', '_');
	*ret_value = equals == NULL ? NULL : equals + 1;
	return 0;
}

/* The flags that are emberctl's own. Returns 1 where it was one, else 0. */
static int parse_own_flag(struct command *command, const char *name)
{
	if (strcmp(name, "attach") == 0 && method_find_param(command->method, "detach") != NULL) {
		command->attach = true;
		return 1;
	}
	if (strcmp(name, "follow") == 0 && strcmp(command->method->name, "vm.console") == 0) {
		command->follow = true;
		return 1;
	}
	return 0;
}

/* next is the word after the flag, or NULL. Returns how many words were used (1 or 2), -EINVAL or -ENOMEM. */
static int parse_flag(struct command *command, const char *word, const char *next, char *detail)
{
	const struct param *param;
	const char *text;
	json_t *value = NULL;
	bool negated = false;
	char name[64];
	int used = 1, result = 0;

	if (split_flag(word, name, sizeof(name), &text) < 0)
		return command_complain(detail, "%s is not a flag", word);
	if (text == NULL && parse_own_flag(command, name) > 0)
		return 1;
	param = method_find_param(command->method, name);
	if (param == NULL && strncmp(name, "no_", 3) == 0) {
		param = method_find_param(command->method, name + 3);
		negated = true;
	}
	if (param == NULL || (negated && (param->type != PARAM_BOOL || text != NULL)))
		return command_complain(detail, "%s is not a flag of %s", word, command->method->name);

	if (text == NULL && param->type != PARAM_BOOL) {
		if (next == NULL)
			return command_complain(detail, "%s needs a value after it", word);
		text = next;
		used = 2;
	}
	if (text == NULL)
		value = json_boolean(!negated);
	else if (param->type == PARAM_STRING && param->kind == STRING_TEXT && strcmp(text, "-") == 0)
		result = command_read_text(word, &value, detail);
	else
		result = command_parse_value(param, word, text, &value, detail);
	if (result == 0)
		result = set_param(command, param, word, value, detail);
	return result < 0 ? result : used;
}

bool command_param_is_positional(const struct method *method, const struct param *param)
{
	if (param->required)
		return true;
	for (const struct param_rule *rule = method->rules; rule != NULL && rule->first != NULL; rule++) {
		if ((rule->type == RULE_EXACTLY_ONE || rule->type == RULE_AT_MOST_ONE) &&
		    strcmp(rule->second, param->name) == 0)
			return false;
	}
	return param->type == PARAM_STRING || param->type == PARAM_ENUM || param->type == PARAM_ENUM_ARRAY;
}

/* The parameter that the next plain word is. */
static const struct param *next_positional(const struct command *command)
{
	size_t count = method_param_count(command->method);

	for (int required = 1; required >= 0; required--) {
		for (size_t i = 0; i < count; i++) {
			const struct param *param = method_param(command->method, i);

			if (param->required == required && json_object_get(command->params, param->name) == NULL &&
			    command_param_is_positional(command->method, param))
				return param;
		}
	}
	return NULL;
}

static int parse_positional(struct command *command, const char *word, char *detail)
{
	const struct param *param = next_positional(command);
	cleanup_free char *line = NULL;
	json_t *value = NULL;
	int result;

	if (param == NULL)
		return command_complain(detail, "%s takes no further word \"%s\"", command->method->name, word);
	if (strcmp(command->method->name, "vm.console") == 0 && strcmp(param->name, "data") == 0) {
		if (asprintf(&line, "%s\n", word) < 0)
			return -ENOMEM;
		word = line;
	}
	result = command_parse_value(param, param->name, word, &value, detail);
	if (result < 0)
		return result;
	return set_param(command, param, param->name, value, detail);
}

static int parse_words(struct command *command, int count, char *const *words, char *detail)
{
	bool flags = true;
	int used, result = 0;

	for (int i = 0; i < count; i += used) {
		used = 1;
		if (flags && strcmp(words[i], "--") == 0)
			flags = false;
		else if (flags && strncmp(words[i], "--", 2) == 0)
			used = parse_flag(command, words[i], i + 1 < count ? words[i + 1] : NULL, detail);
		else
			result = parse_positional(command, words[i], detail);
		if (used < 0 || result < 0)
			return used < 0 ? used : result;
	}
	return 0;
}

/* What no flag said, but a command line implies. */
static int add_habits(struct command *command, char *detail)
{
	bool reads = strcmp(command->method->name, "vm.console") == 0;
	const json_t *action = json_object_get(command->params, "action");

	if (command->follow && (!reads || action == NULL || strcmp(json_string_value(action), "read") != 0))
		return command_complain(detail, "--follow goes with \"read\" only");
	if (command->attach && json_is_true(json_object_get(command->params, "detach")))
		return command_complain(detail, "--attach and --detach contradict each other");
	if (method_find_param(command->method, "detach") != NULL &&
	    json_object_get(command->params, "detach") == NULL &&
	    json_object_set_new(command->params, "detach", json_boolean(!command->attach)) < 0)
		return -ENOMEM;
	return 0;
}

static int check_together(const struct command *command, char *detail)
{
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *checked = NULL;
	int result;

	result = method_validate(command->method, command->params, &checked, &error);
	if (result < 0 && result != -ENOMEM)
		result = command_complain(detail, "%s: %s", command->method->name, error.message);
	rpc_error_release(&error);
	json_decref(checked);
	return result;
}

int command_parse_params(const struct method *method, int count, char *const *words, struct command *ret_command,
			 char *detail)
{
	struct command command = { .method = method, .params = json_object() };
	int result;

	*detail = '\0';
	if (command.params == NULL)
		return -ENOMEM;

	result = parse_words(&command, count, words, detail);
	if (result == 0)
		result = add_habits(&command, detail);
	if (result == 0)
		result = check_together(&command, detail);
	if (result < 0) {
		command_release(&command);
		return result;
	}
	*ret_command = command;
	return 0;
}

int command_parse(int count, char *const *words, struct command *ret_command, char *detail)
{
	const struct method *method;
	int used = 0, result;

	*detail = '\0';
	result = command_find_method(count, words, &method, &used, detail);
	if (result < 0)
		return result;
	return command_parse_params(method, count - used, words + used, ret_command, detail);
}

void command_release(struct command *command)
{
	json_decref(command->params);
	command->params = NULL;
}

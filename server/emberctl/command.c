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

#include "emberctl/text.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STDIN_TEXT_MAX (1024UL * 1024UL)

__attribute__((format(printf, 2, 3))) static int complain(char *detail, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(detail, COMMAND_DETAIL_SIZE, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

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
			complain(detail, "\"%s\" needs one of its commands after it: see \"emberctl help %s\"",
				 words[0], words[0]);
		else
			complain(detail, "there is no command \"%s\": see \"emberctl help\"", words[0]);
		return -EINVAL;
	}
	*ret_method = method;
	*ret_used = used;
	return 0;
}

int command_absolute_path(const char *path, char **ret_path)
{
	cleanup_free char *copy_for_folder = NULL, *copy_for_name = NULL, *folder = NULL;
	char *absolute, *slash;

	if (path[0] == '/') {
		*ret_path = strdup(path);
		return *ret_path == NULL ? -ENOMEM : 0;
	}

	copy_for_folder = strdup(path);
	copy_for_name = strdup(path);
	if (copy_for_folder == NULL || copy_for_name == NULL)
		return -ENOMEM;
	folder = realpath(dirname(copy_for_folder), NULL);
	if (folder == NULL) {
		folder = getcwd(NULL, 0);
		if (folder == NULL)
			return -errno;
		slash = copy_for_name;
	} else {
		slash = basename(copy_for_name);
	}
	if (asprintf(&absolute, "%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", slash) < 0)
		return -ENOMEM;
	*ret_path = absolute;
	return 0;
}

static int read_standard_input(json_t **ret_value, const char *flag, char *detail)
{
	cleanup_free char *text = malloc(STDIN_TEXT_MAX + 1);
	size_t length;

	if (text == NULL)
		return -ENOMEM;
	length = fread(text, 1, STDIN_TEXT_MAX + 1, stdin);
	if (ferror(stdin))
		return complain(detail, "%s: standard input cannot be read", flag);
	if (length > STDIN_TEXT_MAX)
		return complain(detail, "%s: standard input is longer than %lu bytes", flag, STDIN_TEXT_MAX);
	*ret_value = json_stringn(text, length);
	return *ret_value == NULL ? complain(detail, "%s: standard input is not UTF-8", flag) : 0;
}

static int parse_integer(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (end == text || *end != '\0')
		return complain(detail, "%s takes a whole number, not \"%s\"", flag, text);
	if (errno == ERANGE)
		return complain(detail, "%s: %s is too large a number", flag, text);
	*ret_value = json_integer(value);
	return *ret_value == NULL ? -ENOMEM : 0;
}

static int parse_boolean(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	if (strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
		*ret_value = json_true();
	else if (strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
		*ret_value = json_false();
	else
		return complain(detail, "%s is true or false, not \"%s\"", flag, text);
	return 0;
}

static int parse_list(const char *text, json_t **ret_value)
{
	cleanup_json json_t *list = json_array();
	cleanup_free char *copy = strdup(text);
	char *rest = NULL;

	if (list == NULL || copy == NULL)
		return -ENOMEM;
	for (char *item = strtok_r(copy, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
		if (json_array_append_new(list, json_string(item)) < 0)
			return -ENOMEM;
	}
	*ret_value = json_incref(list);
	return 0;
}

static int parse_text(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	*ret_value = json_string(text);
	return *ret_value == NULL ? complain(detail, "%s: the text is not UTF-8", flag) : 0;
}

static int parse_path(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	cleanup_free char *path = NULL;
	int result;

	if (*text == '\0')
		return complain(detail, "%s: the path is empty", flag);
	result = command_absolute_path(text, &path);
	if (result < 0)
		return result == -ENOMEM ? result : complain(detail, "%s: the current folder is gone", flag);
	return parse_text(flag, path, ret_value, detail);
}

/* An id made of digits is the number: JSON-RPC tells 7 from "7", and numbers are what clients use. */
static int parse_id(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	if (*text != '\0' && text[strspn(text, "0123456789")] == '\0')
		return parse_integer(flag, text, ret_value, detail);
	return parse_text(flag, text, ret_value, detail);
}

static int parse_value(const struct param *param, const char *flag, const char *text, json_t **ret_value, char *detail)
{
	switch (param->type) {
	case PARAM_BOOL:
		return parse_boolean(flag, text, ret_value, detail);
	case PARAM_INT:
		return parse_integer(flag, text, ret_value, detail);
	case PARAM_ENUM_ARRAY:
		return parse_list(text, ret_value);
	case PARAM_ID:
		return parse_id(flag, text, ret_value, detail);
	case PARAM_ENUM:
	case PARAM_STRING:
		break;
	}
	if (param->type == PARAM_STRING && param->kind == STRING_PATH)
		return parse_path(flag, text, ret_value, detail);
	return parse_text(flag, text, ret_value, detail);
}

/* Check a value against the table, and put it among the parameters. The reference is taken over. */
static int set_param(struct command *command, const struct param *param, const char *flag, json_t *value, char *detail)
{
	struct rpc_error error = RPC_ERROR_INIT;
	int result;

	if (json_object_get(command->params, param->name) != NULL) {
		json_decref(value);
		return complain(detail, "%s is given twice", flag);
	}
	result = param_check(param, value, &error);
	if (result < 0) {
		complain(detail, "%s", error.message);
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
		return complain(detail, "%s is not a flag", word);
	if (text == NULL && parse_own_flag(command, name) > 0)
		return 1;
	param = method_find_param(command->method, name);
	if (param == NULL && strncmp(name, "no_", 3) == 0) {
		param = method_find_param(command->method, name + 3);
		negated = true;
	}
	if (param == NULL || (negated && (param->type != PARAM_BOOL || text != NULL)))
		return complain(detail, "%s is not a flag of %s", word, command->method->name);

	if (text == NULL && param->type != PARAM_BOOL) {
		if (next == NULL)
			return complain(detail, "%s needs a value after it", word);
		text = next;
		used = 2;
	}
	if (text == NULL)
		value = json_boolean(!negated);
	else if (param->type == PARAM_STRING && param->kind == STRING_TEXT && strcmp(text, "-") == 0)
		result = read_standard_input(&value, word, detail);
	else
		result = parse_value(param, word, text, &value, detail);
	if (result == 0)
		result = set_param(command, param, word, value, detail);
	return result < 0 ? result : used;
}

bool command_param_is_positional(const struct method *method, const struct param *param)
{
	if (param->required)
		return true;
	for (const struct param_rule *rule = method->rules; rule != NULL && rule->first != NULL; rule++) {
		if (rule->type == RULE_EXACTLY_ONE && strcmp(rule->second, param->name) == 0)
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
		return complain(detail, "%s takes no further word \"%s\"", command->method->name, word);
	if (strcmp(command->method->name, "vm.console") == 0 && strcmp(param->name, "data") == 0) {
		if (asprintf(&line, "%s\n", word) < 0)
			return -ENOMEM;
		word = line;
	}
	result = parse_value(param, param->name, word, &value, detail);
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
		return complain(detail, "--follow goes with \"read\" only");
	if (command->attach && json_is_true(json_object_get(command->params, "detach")))
		return complain(detail, "--attach and --detach contradict each other");
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
		result = complain(detail, "%s: %s", command->method->name, error.message);
	rpc_error_release(&error);
	json_decref(checked);
	return result;
}

int command_parse(int count, char *const *words, struct command *ret_command, char *detail)
{
	struct command command = { 0 };
	int used = 0, result;

	*detail = '\0';
	result = command_find_method(count, words, &command.method, &used, detail);
	if (result < 0)
		return result;
	command.params = json_object();
	if (command.params == NULL)
		return -ENOMEM;

	result = parse_words(&command, count - used, words + used, detail);
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

void command_release(struct command *command)
{
	json_decref(command->params);
	command->params = NULL;
}

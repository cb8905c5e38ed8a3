/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emberctl: a person's and a script's way to the daemon.
 *
 * The command line is read completely, and checked against the table of methods, before the daemon is called: what can
 * be told without it is told without it. Then there is one connection, one call (or a stream that one call began), and
 * the answer on standard output.
 */
#include "emberctl/command.h"
#include "emberctl/help.h"
#include "emberctl/historic.h"
#include "emberctl/session.h"
#include "emberctl/stream.h"
#include "proto/cleanup.h"
#include "signals/signals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The command line: emberctl's own flags, which may stand anywhere before "--", and the words that are left. */
struct arguments {
	const char *socket_path;
	const char *snapshot, *restore, *vm; /* the historic spellings */
	bool json, help, version;
	int count;
	char **words;
};

static enum exit_status usage_error(const char *sentence)
{
	fprintf(stderr, "emberctl: %s\n", sentence);
	return STATUS_USAGE;
}

/* The value of "--flag VALUE" or "--flag=VALUE" at *index. Returns false where the word is another one. */
static bool take_value(int count, char **words, int *index, const char *flag, const char **ret_value)
{
	const char *word = words[*index];
	size_t length = strlen(flag);

	if (strncmp(word, flag, length) != 0)
		return false;
	if (word[length] == '=') {
		*ret_value = word + length + 1;
		return true;
	}
	if (word[length] != '\0' || *index + 1 >= count)
		return false;
	*ret_value = words[++*index];
	return true;
}

/* The historic flags are flags only where no command came before: "vm restore --snapshot NAME" is the method's own. */
static bool take_historic(struct arguments *arguments, int count, char **words, int *index)
{
	if (arguments->count > 0)
		return false;
	return take_value(count, words, index, "--snapshot", &arguments->snapshot) ||
	       take_value(count, words, index, "--restore", &arguments->restore) ||
	       take_value(count, words, index, "--vm", &arguments->vm);
}

static bool take_own(struct arguments *arguments, int count, char **words, int *index)
{
	const char *word = words[*index];

	if (take_value(count, words, index, "--socket", &arguments->socket_path))
		return true;
	if (strcmp(word, "--json") == 0)
		arguments->json = true;
	else if (strcmp(word, "--help") == 0)
		arguments->help = true;
	else if (strcmp(word, "--version") == 0 && arguments->count == 0)
		arguments->version = true;
	else
		return false;
	return true;
}

/* Sorts the words in place: what is left for the command comes first. */
static void sort_arguments(int count, char **words, struct arguments *arguments)
{
	int i;

	arguments->words = words;
	for (i = 0; i < count && strcmp(words[i], "--") != 0; i++) {
		char *word = words[i];

		if (!take_own(arguments, count, words, &i) && !take_historic(arguments, count, words, &i))
			words[arguments->count++] = word;
	}
	for (; i < count; i++)
		words[arguments->count++] = words[i];
}

static enum exit_status show_help(const struct arguments *arguments, int skipped)
{
	char detail[COMMAND_DETAIL_SIZE];

	if (arguments->count <= skipped)
		help_overview(stdout);
	else if (help_topic(arguments->count - skipped, arguments->words + skipped, stdout, detail) < 0)
		return usage_error(detail);
	return session_flush();
}

/* "call METHOD [JSON]": whatever the daemon takes, unchecked here. */
static enum exit_status run_call(struct session *session, int count, char **words)
{
	cleanup_json json_t *params = NULL, *result = NULL;
	enum exit_status status;
	json_error_t error;

	if (count < 1 || count > 2)
		return usage_error("\"call\" takes a method and, as one word, its parameters in JSON");
	if (count == 2) {
		if (strcmp(words[1], "-") == 0)
			params = json_loadf(stdin, 0, &error);
		else
			params = json_loads(words[1], 0, &error);
		if (params == NULL) {
			fprintf(stderr, "emberctl: the parameters are not a JSON object or list: %s\n", error.text);
			return STATUS_USAGE;
		}
	}
	status = session_open(session);
	if (status == STATUS_OK)
		status = session_call(session, words[0], params, &result);
	return status == STATUS_OK ? session_print(session, result) : status;
}

static enum exit_status run_command(struct session *session, const struct command *command)
{
	const char *name = command->method->name;
	const json_t *action = json_object_get(command->params, "action");
	cleanup_json json_t *result = NULL;
	enum exit_status status;

	status = session_open(session);
	if (status != STATUS_OK)
		return status;
	if (strcmp(name, "events.subscribe") == 0)
		return stream_events(session, command);
	if (strcmp(name, "vm.console") == 0 && strcmp(json_string_value(action), "read") == 0)
		return stream_console(session, command);

	status = session_call(session, name, command->params, &result);
	if (status == STATUS_OK && strcmp(name, "rpc.discover") == 0)
		session->json = true;
	if (status == STATUS_OK)
		status = session_print(session, result);
	if (status == STATUS_OK && command->attach)
		status = stream_attached(session, result);
	return status;
}

static enum exit_status run_words(struct session *session, const struct arguments *arguments)
{
	char detail[COMMAND_DETAIL_SIZE];
	struct command command = { 0 };
	enum exit_status status;
	int result;

	if (strcmp(arguments->words[0], "help") == 0)
		return show_help(arguments, 1);
	if (strcmp(arguments->words[0], "call") == 0)
		return run_call(session, arguments->count - 1, arguments->words + 1);
	result = command_parse(arguments->count, arguments->words, &command, detail);
	if (result < 0)
		return usage_error(result == -ENOMEM ? "out of memory" : detail);
	status = run_command(session, &command);
	command_release(&command);
	return status;
}

static enum exit_status run_historic(struct session *session, const struct arguments *arguments)
{
	enum exit_status status;

	if (arguments->count > 0 || (arguments->snapshot != NULL) == (arguments->restore != NULL))
		return usage_error(
			"--snapshot and --restore each stand alone, without a command: see \"emberctl help\"");
	if (arguments->vm != NULL && arguments->snapshot == NULL)
		return usage_error("--vm goes with --snapshot");
	status = session_open(session);
	if (status != STATUS_OK)
		return status;
	if (arguments->snapshot != NULL)
		return historic_snapshot(session, arguments->snapshot, arguments->vm);
	return historic_restore(session, arguments->restore);
}

static enum exit_status run(struct session *session, const struct arguments *arguments)
{
	if (arguments->version) {
		printf("emberctl %s\n", EMBER_VERSION);
		return session_flush();
	}
	if (arguments->help)
		return show_help(arguments, 0);
	if (arguments->snapshot != NULL || arguments->restore != NULL || arguments->vm != NULL)
		return run_historic(session, arguments);
	if (arguments->count == 0) {
		help_overview(stderr);
		return STATUS_USAGE;
	}
	return run_words(session, arguments);
}

/* Escapes only where somebody looks at them and has not declined (https://no-color.org). */
static bool shows_emphasis(void)
{
	const char *terminal = getenv("TERM"), *declined = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && (terminal == NULL || strcmp(terminal, "dumb") != 0) &&
	       (declined == NULL || *declined == '\0');
}

int main(int argc, char **argv)
{
	const char *from_environment = getenv("EMBER_SOCKET");
	struct arguments arguments = { .socket_path = from_environment != NULL && *from_environment != '\0'
							      ? from_environment
							      : EMBER_DEFAULT_SOCKET };
	struct session session = { 0 };
	enum exit_status status;

	signals_prepare(SIGNALS_OF_COMMAND);
	if (argc > 1)
		sort_arguments(argc - 1, argv + 1, &arguments);
	session.socket_path = arguments.socket_path;
	session.json = arguments.json;
	session.terminal = shows_emphasis();
	status = run(&session, &arguments);
	session_close(&session);
	return (int)status;
}

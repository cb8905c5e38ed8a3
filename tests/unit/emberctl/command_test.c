/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines against the table of methods: what call they make, and what is refused before anything is sent.
 */
#include "emberctl/command.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS(...) ((char *[]){ __VA_ARGS__, NULL })

static struct command command;
static char detail[COMMAND_DETAIL_SIZE];

static void release(void)
{
	command_release(&command);
}

TestSuite(command, .fini = release);

static int parse(char **words)
{
	int count = 0;

	while (words[count] != NULL)
		count++;
	command_release(&command);
	return command_parse(count, words, &command, detail);
}

/* The words make this call; expected is its parameters in JSON. */
static void expect(char **words, const char *method, const char *expected)
{
	json_t *params = json_loads(expected, 0, NULL);
	char *given;

	cr_assert_not_null(params, "the test's own JSON is wrong: %s", expected);
	cr_assert_eq(parse(words), 0, "%s: %s", expected, detail);
	cr_assert_str_eq(command.method->name, method);
	given = json_dumps(command.params, JSON_COMPACT);
	cr_assert(json_equal(command.params, params), "%s, not %s", given, expected);
	free(given);
	json_decref(params);
}

static void expect_refused(char **words, const char *because)
{
	cr_assert_eq(parse(words), -EINVAL, "%s %s was taken", words[0], words[1] == NULL ? "" : words[1]);
	cr_assert_not_null(strstr(detail, because), "\"%s\" does not say \"%s\"", detail, because);
}

/* A value for a required parameter that passes the table's checks. */
static void sample_value(const struct param *param, char *text, size_t size)
{
	switch (param->type) {
	case PARAM_BOOL:
		snprintf(text, size, "true");
		break;
	case PARAM_INT:
		snprintf(text, size, "%lld", (long long)param->minimum);
		break;
	case PARAM_ENUM:
	case PARAM_ENUM_ARRAY:
		snprintf(text, size, "%s", param->values[0]);
		break;
	case PARAM_ID:
		snprintf(text, size, "7");
		break;
	case PARAM_OBJECT:
	case PARAM_OBJECT_ARRAY:
	case PARAM_JSON:
		snprintf(text, size, "{}");
		break;
	case PARAM_STRING:
		snprintf(text, size, "%s", param->kind == STRING_PATH ? "/p" : "v1");
		break;
	}
}

/* Every method of the table can be called by its words and its required parameters in order. */
Test(command, every_method_has_a_command)
{
	const struct method *methods;
	size_t count;

	methods = method_table(&count);
	cr_assert_gt(count, 20);
	for (size_t i = 0; i < count; i++) {
		const struct method *method;
		char family[64], values[16][32], *verb, *words[20] = { family };
		int used = 0, given = 2;

		snprintf(family, sizeof(family), "%s", methods[i].name);
		verb = strchr(family, '.');
		*verb = '\0';
		words[1] = verb + 1;
		cr_assert_eq(command_find_method(2, words, &method, &used, detail), 0, "%s: %s", methods[i].name,
			     detail);
		cr_assert_eq(method, &methods[i]);
		cr_assert_eq(used, 2);

		for (size_t j = 0; j < method_param_count(method); j++) {
			if (!method_param(method, j)->required)
				continue;
			sample_value(method_param(method, j), values[j], sizeof(values[j]));
			words[given++] = values[j];
		}
		/* rules between parameters may ask for more; no complaint is about the words themselves */
		if (parse(words) < 0)
			cr_assert_not_null(method->rules, "%s: %s", method->name, detail);
	}
}

Test(command, finds_methods_by_words_by_name_and_by_a_family_of_one)
{
	expect(WORDS("server", "ping"), "server.ping", "{}");
	expect(WORDS("server.ping"), "server.ping", "{}");
	expect(WORDS("events"), "events.subscribe", "{}");
	expect(WORDS("events", "--kinds", "vm,pool"), "events.subscribe", "{\"kinds\": [\"vm\", \"pool\"]}");
	expect_refused(WORDS("vm"), "help vm");
	expect_refused(WORDS("vm", "explode"), "help vm");
	expect_refused(WORDS("teapot"), "teapot");
	expect_refused(WORDS("vm."), "vm.");
	expect_refused(WORDS(""), "no command");
}

Test(command, reads_positional_and_named_parameters)
{
	expect(WORDS("vm", "restore", "py312"), "vm.restore", "{\"snapshot\": \"py312\", \"detach\": true}");
	expect(WORDS("vm", "restore", "--snapshot", "py312"), "vm.restore",
	       "{\"snapshot\": \"py312\", \"detach\": true}");
	expect(WORDS("vm", "restore", "py312", "cold", "--name=one"), "vm.restore",
	       "{\"snapshot\": \"py312\", \"temperature\": \"cold\", \"name\": \"one\", \"detach\": true}");
	expect(WORDS("pool", "configure", "1", "128", "--min", "4", "--refill-concurrency=2"), "pool.configure",
	       "{\"vcpus\": 1, \"memory_mib\": 128, \"min\": 4, \"refill_concurrency\": 2}");
	expect(WORDS("pool", "configure", "--memory-mib", "128", "2"), "pool.configure",
	       "{\"vcpus\": 2, \"memory_mib\": 128}");
	expect(WORDS("pool", "configure", "--memory_mib", "128", "2"), "pool.configure",
	       "{\"vcpus\": 2, \"memory_mib\": 128}");
	expect(WORDS("vm", "wait", "vm-1", "ready", "--deadline-ms", "500"), "vm.wait",
	       "{\"vm\": \"vm-1\", \"for\": \"ready\", \"deadline_ms\": 500}");
	expect(WORDS("vm", "snapshot", "vm-1", "base"), "vm.snapshot", "{\"vm\": \"vm-1\", \"name\": \"base\"}");
}

Test(command, reads_yes_and_no)
{
	expect(WORDS("vm", "snapshot", "vm-1", "base", "--overwrite", "--no-resume"), "vm.snapshot",
	       "{\"vm\": \"vm-1\", \"name\": \"base\", \"overwrite\": true, \"resume\": false}");
	expect(WORDS("server", "drain", "--stop=no"), "server.drain", "{\"stop\": false}");
	expect_refused(WORDS("server", "drain", "--stop=perhaps"), "perhaps");
	expect_refused(WORDS("server", "drain", "--no-stop=no"), "--no-stop=no");
	expect_refused(WORDS("pool", "configure", "1", "128", "--no-min"), "--no-min");
}

Test(command, starts_vms_detached_unless_told_otherwise)
{
	expect(WORDS("vm", "boot"), "vm.boot", "{\"detach\": true}");
	cr_assert_not(command.attach);
	expect(WORDS("vm", "boot", "--attach"), "vm.boot", "{\"detach\": false}");
	cr_assert(command.attach);
	expect(WORDS("vm", "boot", "--no-detach"), "vm.boot", "{\"detach\": false}");
	expect_refused(WORDS("vm", "boot", "--attach", "--detach"), "contradict");
	expect_refused(WORDS("vm", "list", "--attach"), "--attach");
}

Test(command, ends_a_console_line_that_is_a_plain_word)
{
	expect(WORDS("vm", "console", "vm-1", "write", "echo hello"), "vm.console",
	       "{\"vm\": \"vm-1\", \"action\": \"write\", \"data\": \"echo hello\\n\"}");
	expect(WORDS("vm", "console", "vm-1", "write", "--data", "echo"), "vm.console",
	       "{\"vm\": \"vm-1\", \"action\": \"write\", \"data\": \"echo\"}");
	expect(WORDS("vm", "console", "vm-1", "write", "--", "--help"), "vm.console",
	       "{\"vm\": \"vm-1\", \"action\": \"write\", \"data\": \"--help\\n\"}");
}

Test(command, follows_a_console_that_is_read)
{
	expect(WORDS("vm", "console", "vm-1", "read", "--follow"), "vm.console",
	       "{\"vm\": \"vm-1\", \"action\": \"read\"}");
	cr_assert(command.follow);
	expect_refused(WORDS("vm", "console", "vm-1", "write", "x", "--follow"), "--follow");
	expect_refused(WORDS("vm", "info", "vm-1", "--follow"), "--follow");
}

Test(command, makes_paths_absolute)
{
	char folder[] = "/tmp/emberctl-test-XXXXXX", expected[256], *resolved;

	cr_assert_not_null(mkdtemp(folder));
	resolved = realpath(folder, NULL);
	cr_assert_eq(chdir(folder), 0);

	snprintf(expected, sizeof(expected), "{\"name\": \"base\", \"path\": \"%s/snapshot\"}", resolved);
	expect(WORDS("snapshot", "register", "base", "snapshot"), "snapshot.register", expected);
	expect(WORDS("snapshot", "register", "base", "./snapshot"), "snapshot.register", expected);
	snprintf(expected, sizeof(expected), "{\"name\": \"base\", \"path\": \"%s/absent/snapshot\"}", resolved);
	expect(WORDS("snapshot", "register", "base", "absent/snapshot"), "snapshot.register", expected);
	expect(WORDS("snapshot", "register", "base", "/srv/snapshot"), "snapshot.register",
	       "{\"name\": \"base\", \"path\": \"/srv/snapshot\"}");
	expect_refused(WORDS("snapshot", "register", "base", ""), "empty");

	cr_assert_eq(chdir("/"), 0);
	expect(WORDS("snapshot", "register", "base", "snapshot"), "snapshot.register",
	       "{\"name\": \"base\", \"path\": \"/snapshot\"}");
	rmdir(folder);
	free(resolved);
}

Test(command, tells_ids_that_are_numbers_from_texts)
{
	expect(WORDS("rpc", "cancel", "7"), "rpc.cancel", "{\"id\": 7}");
	expect(WORDS("rpc", "cancel", "seven"), "rpc.cancel", "{\"id\": \"seven\"}");
}

Test(command, refuses_what_the_table_does_not_allow)
{
	expect_refused(WORDS("pool", "configure", "1"), "memory_mib");
	expect_refused(WORDS("pool", "configure", "one", "128"), "one");
	expect_refused(WORDS("pool", "configure", "9", "128"), "vcpus");
	expect_refused(WORDS("pool", "configure", "1", "128x"), "128x");
	expect_refused(WORDS("pool", "configure", "1", "99999999999999999999"), "too large");
	expect_refused(WORDS("pool", "configure", "1", "128", "--cpu-template", "fast"), "cpu_template");
	expect_refused(WORDS("pool", "configure", "1", "128", "--min", "1", "--min", "2"), "twice");
	expect_refused(WORDS("pool", "configure", "1", "128", "--min"), "--min");
	expect_refused(WORDS("pool", "configure", "1", "128", "--colour", "red"), "--colour");
	expect_refused(WORDS("pool", "configure", "1", "128", "host", "more"), "more");
	expect_refused(WORDS("vm", "restore"), "snapshot");
	expect_refused(WORDS("vm", "restore", "a", "--snapshot-path", "/b"), "snapshot");
	expect_refused(WORDS("vm", "restore", "no spaces"), "snapshot");
	expect_refused(WORDS("vm", "wait", "vm-1", "event"), "event");
	expect_refused(WORDS("vm", "restore", "\xff\xfe"), "UTF-8");
	expect_refused(WORDS("vm", "list", "-x"), "-x");
	expect_refused(WORDS("vm", "list", "--="), "--=");
}

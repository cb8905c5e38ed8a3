/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emberctl as its users run it: what it sends, what it prints where, and what it exits with.
 */
#include "fake_daemon.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_SIZE 16384

static struct fake_daemon *fake;
static char output[OUTPUT_SIZE], errors[OUTPUT_SIZE];
static char asked[256]; /* the last request: method and parameters */

static void end(void)
{
	fake = fake_daemon_stop(fake);
}

TestSuite(program, .fini = end);

static void read_back(FILE *file, char *text)
{
	size_t length;

	rewind(file);
	length = fread(text, 1, OUTPUT_SIZE - 1, file);
	text[length] = '\0';
	fclose(file);
}

/* Run emberctl with a shell's words, and keep what it printed. Returns its exit status. */
static int run(const char *words)
{
	FILE *out = tmpfile(), *err = tmpfile();
	char command[1024];
	int status;
	pid_t child;

	cr_assert(out != NULL && err != NULL);
	snprintf(command, sizeof(command), "exec '%s' %s", EMBERCTL_PROGRAM, words);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		if (fake != NULL)
			setenv("EMBER_SOCKET", fake_daemon_socket(fake), 1);
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(err), STDERR_FILENO);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status), "emberctl %s: killed by signal %d", words, WTERMSIG(status));
	read_back(out, output);
	read_back(err, errors);
	return WEXITSTATUS(status);
}

static void expect(const char *words, int status, const char *printed, const char *complained)
{
	int exited = run(words);

	cr_assert_eq(exited, status, "emberctl %s: exit status %d: %s", words, exited, errors);
	cr_assert_str_eq(output, printed);
	cr_assert_str_eq(errors, complained);
}

static json_t *two_vms(void)
{
	return json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "vms", "vm", "vm-1", "state", "running", "vm", "vm-2", "state",
			 "paused");
}

static json_t *answer_console(const json_t *params)
{
	json_int_t offset = json_integer_value(json_object_get(params, "offset"));

	if (offset == 0)
		return json_pack("{s:i, s:i, s:i, s:s, s:s}", "offset", 0, "next_offset", 3, "dropped", 0, "data",
				 "aPEK", "encoding", "base64"); /* h, 0xf1, line end */
	return json_pack("{s:I, s:I, s:i, s:s, s:s}", "offset", offset, "next_offset", offset, "dropped", 0, "data", "",
			 "encoding", "base64");
}

static json_t *answer(void *context, const char *method, const json_t *params)
{
	char *text = json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS);

	(void)context;
	snprintf(asked, sizeof(asked), "%s %s", method, text == NULL ? "" : text);
	free(text);
	if (strcmp(method, "server.ping") == 0)
		return json_pack("{s:b, s:s}", "pong", 1, "version", "0.1.0");
	if (strcmp(method, "vm.list") == 0)
		return two_vms();
	if (strcmp(method, "vm.console") == 0)
		return answer_console(params);
	if (strcmp(method, "vm.wait") == 0)
		return json_pack("{s:s, s:s, s:s}", "vm", "vm-1", "what", "exit", "exit_reason", "shutdown");
	if (strcmp(method, "vm.boot") == 0 || strcmp(method, "vm.restore") == 0)
		return json_pack("{s:s}", "vm", "vm-1");
	if (strcmp(method, "vm.snapshot") == 0)
		return json_pack("{s:s}", "path", "/p");
	if (strcmp(method, "snapshot.remove") == 0)
		return json_pack("{s:{s:i, s:s, s:{s:s, s:s, s:s, s:i, s:[s, s]}}}", "error", "code", -32007, "message",
				 "VMs run from it", "data", "status", "FAILED_PRECONDITION", "field", "name", "detail",
				 "two of them", "retry_after_ms", 12, "holders", "vm-1", "vm-2");
	return NULL;
}

static void begin(void)
{
	fake = fake_daemon_start(answer, NULL);
}

Test(program, prints_tables_and_json)
{
	begin();
	expect("server ping", 0, "pong     yes\nversion  0.1.0\n", "");
	expect("--json server ping", 0, "{\"pong\":true,\"version\":\"0.1.0\"}\n", "");
	expect("server ping --json", 0, "{\"pong\":true,\"version\":\"0.1.0\"}\n", "");
	expect("vm list", 0, "VM    STATE\nvm-1  running\nvm-2  paused\n", "");
}

Test(program, calls_any_method)
{
	begin();
	expect("call vm.list '{\"a\": [1]}'", 0, "VM    STATE\nvm-1  running\nvm-2  paused\n", "");
	cr_assert_str_eq(asked, "vm.list {\"a\":[1]}");
	cr_assert_eq(run("call vm.list '{\"a\": '"), 2);
	cr_assert_eq(run("call vm.list 7"), 2);
	cr_assert_eq(run("call"), 2);
}

Test(program, says_what_the_daemon_says)
{
	begin();
	expect("snapshot remove base", 1, "",
	       "emberctl: FAILED_PRECONDITION: VMs run from it (field name; two of them; try again in 12 ms)\n"
	       "holders  vm-1, vm-2\n");
	cr_assert_eq(run("--json snapshot remove base"), 1);
	cr_assert_eq(strncmp(errors, "{\"code\":-32007,\"message\":\"VMs run from it\",\"data\":{", 51), 0, "%s",
		     errors);
}

Test(program, tells_a_mistake_from_a_failure)
{
	begin();
	expect("vm restore", 2, "", "emberctl: vm.restore: one of snapshot and snapshot_path must be given\n");
	expect("teapot", 2, "", "emberctl: there is no command \"teapot\": see \"emberctl help\"\n");
	cr_assert_eq(run(""), 2);
	cr_assert_str_empty(asked);
}

Test(program, says_that_it_cannot_reach_the_daemon)
{
	expect("--socket /nonexistent/socket server ping", 3, "",
	       "emberctl: no daemon answers on /nonexistent/socket: start emberd, or name its socket with --socket or "
	       "EMBER_SOCKET\n");
	begin();
	cr_assert_eq(run("server info"), 3, "the daemon closed the connection without an answer");
	cr_assert_not_null(strstr(errors, "failed: "), "%s", errors);
}

Test(program, keeps_a_guests_bytes_as_they_are)
{
	begin();
	expect("vm console vm-1 read", 0, "h\xf1\n", "");
	expect("vm console vm-1 read --follow", 0, "h\xf1\n", "");
	cr_assert_not_null(strstr(asked, "\"offset\":3"));
	cr_assert_eq(run("--json vm console vm-1 read"), 0);
	cr_assert_eq(output[0], '{');
}

Test(program, waits_for_the_end_of_a_vm_that_it_is_attached_to)
{
	begin();
	expect("vm boot --attach", 0, "vm  vm-1\nvm           vm-1\nwhat         exit\nexit reason  shutdown\n", "");
	cr_assert_str_eq(asked, "vm.wait {\"for\":\"exit\",\"vm\":\"vm-1\"}");
}

Test(program, knows_the_historic_spellings)
{
	begin();
	expect("--restore /srv/snapshot", 0, "vm  vm-1\n", "");
	cr_assert_str_eq(asked, "vm.restore {\"detach\":true,\"snapshot_path\":\"/srv/snapshot\"}");
	expect("--snapshot /srv/snapshot --vm vm-2", 0, "path  /p\n", "");
	cr_assert_str_eq(asked, "vm.snapshot {\"path\":\"/srv/snapshot\",\"vm\":\"vm-2\"}");
	expect("--snapshot /srv/snapshot", 1, "",
	       "emberctl: 2 VMs are running: choose one with --vm\n"
	       "VM    STATE\nvm-1  running\nvm-2  paused\n");
	cr_assert_eq(run("--restore /a --snapshot /b"), 2);
	cr_assert_eq(run("--restore /a server ping"), 2);
	cr_assert_eq(run("--vm vm-1"), 2);
}

static json_t *answer_one_vm(void *context, const char *method, const json_t *params)
{
	if (strcmp(method, "vm.list") == 0)
		return json_pack("{s:[{s:s}]}", "vms", "vm", "vm-7");
	return answer(context, method, params);
}

Test(program, snapshots_the_only_vm)
{
	fake = fake_daemon_start(answer_one_vm, NULL);
	expect("--snapshot /srv/snapshot", 0, "path  /p\n", "");
	cr_assert_str_eq(asked, "vm.snapshot {\"path\":\"/srv/snapshot\",\"vm\":\"vm-7\"}");
}

Test(program, helps)
{
	cr_assert_eq(run("help"), 0);
	cr_assert_not_null(strstr(output, "vm restore"));
	cr_assert_eq(run("help vm"), 0);
	cr_assert_not_null(strstr(output, "vm restore"));
	cr_assert_eq(run("help vm restore"), 0);
	cr_assert_not_null(strstr(output, "--snapshot NAME"));
	cr_assert_eq(run("vm restore --help"), 0);
	cr_assert_not_null(strstr(output, "--snapshot NAME"));
	cr_assert_eq(run("help teapot"), 2);
	expect("--version", 0, "emberctl " EMBER_VERSION "\n", "");
	cr_assert_eq(run("--version >/dev/full"), 1);
}

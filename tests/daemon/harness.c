/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting, watching and stopping emberd. The daemon dies with the test that started it (PR_SET_PDEATHSIG), so a test
 * that fails half-way leaves no process.
 */
#include "harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 10

static void pause_ms(long ms)
{
	const struct timespec delay = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&delay, NULL);
}

static void name_paths(struct daemon *daemon)
{
	(void)snprintf(daemon->socket_path, sizeof(daemon->socket_path), "%s/ember.sock", daemon->folder);
	(void)snprintf(daemon->http_path, sizeof(daemon->http_path), "%s/http.sock", daemon->folder);
	(void)snprintf(daemon->state_dir, sizeof(daemon->state_dir), "%s/state", daemon->folder);
	(void)snprintf(daemon->config_path, sizeof(daemon->config_path), "%s/emberd.json", daemon->folder);
	(void)snprintf(daemon->log_path, sizeof(daemon->log_path), "%s/log", daemon->folder);
}

void daemon_write_config_text(const struct daemon *daemon, const char *text)
{
	FILE *file = fopen(daemon->config_path, "we");

	cr_assert_not_null(file);
	(void)fputs(text, file);
	cr_assert_eq(fclose(file), 0);
}

void daemon_write_config(const struct daemon *daemon, const char *overrides)
{
	json_t *config = json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:i, s:{s:[], s:i}}", "socket",
				   daemon->socket_path, "http_socket", daemon->http_path, "state_dir",
				   daemon->state_dir, "socket_mode", "0666", "log", "level", "debug", "format", "json",
				   "drain_timeout_ms", 0, "pool", "shapes", "stop_grace_ms", 2000);
	json_t *more = overrides ? json_loads(overrides, 0, NULL) : json_object();
	char *text;

	cr_assert_not_null(config);
	cr_assert_not_null(more, "the test's own configuration is no JSON: %s", overrides);
	cr_assert_eq(json_object_update_recursive(config, more), 0);
	text = json_dumps(config, JSON_INDENT(2));
	daemon_write_config_text(daemon, text);
	free(text);
	json_decref(more);
	json_decref(config);
}

static pid_t spawn(const struct daemon *daemon)
{
	pid_t parent = getpid(), pid = fork();
	int log;

	cr_assert_geq(pid, 0);
	if (pid > 0)
		return pid;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	log = open(daemon->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (getppid() != parent || log < 0 || dup2(log, STDERR_FILENO) < 0)
		_exit(99);
	(void)execl(EMBERD_PATH, "emberd", "--config", daemon->config_path, (char *)NULL);
	_exit(98);
}

static char *read_log(const struct daemon *daemon)
{
	FILE *file = fopen(daemon->log_path, "re");
	char *text = calloc(1, 1048576);

	cr_assert_not_null(text);
	if (file) {
		(void)!fread(text, 1, 1048575, file);
		(void)fclose(file);
	}
	return text;
}

static bool serves(const struct daemon *daemon)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected;

	memcpy(address.sun_path, daemon->socket_path, strlen(daemon->socket_path));
	connected = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	(void)close(fd);
	return connected;
}

void daemon_start_again(struct daemon *daemon)
{
	size_t closed = daemon_count_log(daemon, "connection closed");
	int waited_ms, status;

	daemon->pid = spawn(daemon);
	for (waited_ms = 0; !serves(daemon); waited_ms += POLL_MS) {
		if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid)
			cr_assert_fail("emberd ended with status %#x; its log:\n%s", (unsigned int)status,
				       read_log(daemon));
		cr_assert_lt(waited_ms, WAIT_MS, "emberd does not serve; its log:\n%s", read_log(daemon));
		pause_ms(POLL_MS);
	}
	/* The connection that found it serving must not count among the test's own. */
	daemon_wait_log_count(daemon, "connection closed", closed + 1);
}

void daemon_start(struct daemon *daemon, const char *overrides)
{
	if (getenv("EMBER_NO_KVM"))
		cr_skip_test("needs KVM, and EMBER_NO_KVM is set");

	memset(daemon, 0, sizeof(*daemon));
	(void)snprintf(daemon->folder, sizeof(daemon->folder), "/tmp/ember-daemon-XXXXXX");
	cr_assert_not_null(mkdtemp(daemon->folder));
	/* Other users' clients must get to the sockets. */
	cr_assert_eq(chmod(daemon->folder, 0755), 0);
	name_paths(daemon);
	daemon_write_config(daemon, overrides);
	daemon_start_again(daemon);
}

int daemon_start_fails(const struct daemon *daemon)
{
	struct daemon other = *daemon;

	other.pid = spawn(daemon);
	return daemon_wait_end(&other);
}

int daemon_wait_end(struct daemon *daemon)
{
	int waited_ms, status;

	for (waited_ms = 0; waitpid(daemon->pid, &status, WNOHANG) != daemon->pid; waited_ms += POLL_MS) {
		cr_assert_lt(waited_ms, WAIT_MS, "emberd does not end; its log:\n%s", read_log(daemon));
		pause_ms(POLL_MS);
	}
	daemon->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void daemon_signal(const struct daemon *daemon, int number)
{
	cr_assert_eq(kill(daemon->pid, number), 0);
}

static void remove_folder(const struct daemon *daemon)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		(void)execlp("rm", "rm", "-rf", "--", daemon->folder, (char *)NULL);
		_exit(99);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

void daemon_stop(struct daemon *daemon)
{
	int status;

	if (daemon->pid) {
		daemon_signal(daemon, SIGTERM);
		status = daemon_wait_end(daemon);
		cr_expect_eq(status, 0, "emberd ended with status %d; its log:\n%s", status, read_log(daemon));
	}
	cr_expect_neq(access(daemon->socket_path, F_OK), 0, "the socket is still there");
	cr_expect_neq(access(daemon->http_path, F_OK), 0, "the HTTP socket is still there");
	remove_folder(daemon);
}

size_t daemon_count_log(const struct daemon *daemon, const char *text)
{
	char *log = read_log(daemon), *line, *rest = NULL;
	size_t count = 0;

	for (line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		count += strstr(line, text) != NULL;
	free(log);
	return count;
}

void daemon_wait_log_count(const struct daemon *daemon, const char *text, size_t count)
{
	int waited_ms;

	for (waited_ms = 0; daemon_count_log(daemon, text) < count; waited_ms += POLL_MS) {
		cr_assert_lt(waited_ms, WAIT_MS, "\"%s\" is not %zu times in the log:\n%s", text, count,
			     read_log(daemon));
		pause_ms(POLL_MS);
	}
}

void daemon_wait_log(const struct daemon *daemon, const char *text)
{
	daemon_wait_log_count(daemon, text, 1);
}

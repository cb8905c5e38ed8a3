/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of lower layers, found where the input comes in: in a configuration before a start, and in a call before a worker.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_builder.h"
#include "steps.h"

DAEMON_AND_CLIENT(GUEST_POOL);

/* ---- configurations ---- */

/* A folder of a test's own, and a path in it of just so many bytes. */
struct paths {
	char folder[64];
	char state[80];
	char text[512];
};

static void paths_make(struct paths *paths)
{
	(void)snprintf(paths->folder, sizeof(paths->folder), "/tmp/ember-limits-XXXXXX");
	cr_assert_not_null(mkdtemp(paths->folder));
	(void)snprintf(paths->state, sizeof(paths->state), "%s/state", paths->folder);
}

static const char *path_of(struct paths *paths, size_t bytes)
{
	size_t length = (size_t)snprintf(paths->text, sizeof(paths->text), "%s/", paths->folder);

	memset(paths->text + length, 'x', bytes - length);
	paths->text[bytes] = '\0';
	return paths->text;
}

static void paths_remove(const struct paths *paths)
{
	char output[256];

	cr_expect_eq(run_program(output, sizeof(output), "rm -rf %s", paths->folder), 0);
}

/* --check-config and a start must say the same, and make nothing. */
static void expect_refused(const struct paths *paths, const char *flags, const char *named)
{
	char output[4096];

	cr_expect_eq(run_program(output, sizeof(output), EMBERD_PATH " --check-config %s", flags), 1, "%s: %s", flags,
		     output);
	cr_expect_not_null(strstr(output, named), "%s: %s", flags, output);
	cr_expect_eq(access(paths->state, F_OK), -1);
	cr_expect_eq(run_program(output, sizeof(output), "timeout 60 " EMBERD_PATH " %s", flags), 1, "%s: %s", flags,
		     output);
	cr_expect_not_null(strstr(output, named), "%s: %s", flags, output);
}

static void expect_right(const char *flags)
{
	char output[4096];

	cr_expect_eq(run_program(output, sizeof(output), EMBERD_PATH " --check-config %s", flags), 0, "%s: %s", flags,
		     output);
}

Test(config_limits, a_socket_path_has_at_most_107_bytes)
{
	struct paths paths;
	char flags[1024];

	paths_make(&paths);
	(void)snprintf(flags, sizeof(flags), "--state-dir %s --http-socket '' --socket %s", paths.state,
		       path_of(&paths, 107));
	expect_right(flags);
	(void)snprintf(flags, sizeof(flags), "--state-dir %s --http-socket '' --socket %s", paths.state,
		       path_of(&paths, 108));
	expect_refused(&paths, flags, "socket: a socket's path has at most 107 bytes, this one has 108");
	(void)snprintf(flags, sizeof(flags), "--state-dir %s --socket %s/s --http-socket %s", paths.state, paths.folder,
		       path_of(&paths, 108));
	expect_refused(&paths, flags, "http_socket: a socket's path has at most 107 bytes");
	paths_remove(&paths);
}

/* The default path of a vsock has up to 34 bytes more, and a port after it. */
Test(config_limits, a_sockets_folder_has_room_for_the_longest_cid_and_port)
{
	struct paths paths;
	char flags[1024];

	paths_make(&paths);
	(void)snprintf(flags, sizeof(flags), "--state-dir %s --http-socket '' --socket %s/s", paths.state,
		       path_of(&paths, 74));
	expect_right(flags);
	(void)snprintf(flags, sizeof(flags), "--state-dir %s --http-socket '' --socket %s/s", paths.state,
		       path_of(&paths, 75));
	expect_refused(&paths, flags, "socket: the folder of the socket has at most 74 bytes");
	paths_remove(&paths);
}

Test(config_limits, what_cannot_be_made_is_found_before_a_start)
{
	struct paths paths;
	char flags[1024];

	paths_make(&paths);
	(void)snprintf(flags, sizeof(flags), "--state-dir /etc/passwd --http-socket '' --socket %s/s", paths.folder);
	expect_refused(&paths, flags, "state_dir: /etc/passwd is not a folder");
	(void)snprintf(flags, sizeof(flags), "--state-dir %s/a/b --http-socket '' --socket %s/s", paths.folder,
		       paths.folder);
	expect_refused(&paths, flags, "state_dir: the folder");
	(void)snprintf(flags, sizeof(flags), "--state-dir %s --http-socket '' --socket %s/a/b/s", paths.state,
		       paths.folder);
	expect_refused(&paths, flags, "socket: the folder");
	(void)snprintf(flags, sizeof(flags), "--state-dir %s --http-socket '' --socket /etc/passwd", paths.state);
	expect_refused(&paths, flags, "socket: /etc/passwd exists and is not a socket");
	(void)snprintf(flags, sizeof(flags), "--state-dir %s --socket %s/s --http-socket /etc/passwd/h", paths.state,
		       paths.folder);
	expect_refused(&paths, flags, "http_socket: ");
	paths_remove(&paths);
}

static void write_config(const struct paths *paths, const char *text, char *flags, size_t size)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/config", paths->folder);
	file = fopen(path, "we");
	cr_assert_not_null(file);
	(void)fputs(text, file);
	cr_assert_eq(fclose(file), 0);
	(void)snprintf(flags, size, "--config %s --state-dir %s --http-socket '' --socket %s/s", path, paths->state,
		       paths->folder);
}

Test(config_limits, workers_do_not_run_as_root)
{
	struct paths paths;
	char flags[1024];

	if (geteuid() != 0)
		cr_skip_test("only root's workers change their user");
	paths_make(&paths);
	write_config(&paths, "{\"worker\": {\"user\": \"root\"}}", flags, sizeof(flags));
	expect_refused(&paths, flags, "worker.user: must not be root");
	write_config(&paths, "{\"worker\": {\"group\": 0}}", flags, sizeof(flags));
	expect_refused(&paths, flags, "worker.group: must not be root's");
	paths_remove(&paths);
}

#define SCARCE \
	"{\"pool\": {\"max_vms\": 4096, \"shapes\": [{\"vcpus\": 1, \"memory_mib\": 3072, \"min\": 1024, \"max\": 1024}]}}"

/* Warm slots reserve addresses only: it is said, and not refused. */
Test(config_limits, more_warm_memory_than_the_host_has_is_told)
{
	struct paths paths;
	char flags[1024], output[4096];

	paths_make(&paths);
	write_config(&paths, SCARCE, flags, sizeof(flags));
	cr_expect_eq(run_program(output, sizeof(output), EMBERD_PATH " --check-config %s", flags), 0);
	cr_expect_not_null(strstr(output, "warning: pool.shapes: 3145728 MiB of guest memory are kept warm"), "%s",
			   output);
	cr_expect_not_null(strstr(output, "OK\n"), "%s", output);
	paths_remove(&paths);
}

/* The limit of the shape is its maximum, so that few workers are built here; what counts is what is asked for. */
DAEMON_TEST(config_limits, more_warm_memory_than_the_host_has_is_told_when_it_is_configured)
{
	json_t *row = call(client, "pool.configure", "{s:i, s:i, s:i, s:i, s:i}", "vcpus", 1, "memory_mib", 3072, "min",
			   1024, "max", 1024, "refill_concurrency", 1);

	cr_expect_not_null(strstr(text_at(row, "warning"), "3145744 MiB of guest memory are kept warm"), "%s",
			   text_at(row, "warning"));
	daemon_wait_log(&daemon_under_test, "are kept warm");
	json_decref(row);
	row = call(client, "pool.configure", "{s:i, s:i, s:i}", "vcpus", 1, "memory_mib", 3072, "min", 0);
	cr_expect_null(json_object_get(row, "warning"));
	json_decref(row);
}

/* ---- calls ---- */

/* A file of so many bytes, the first of which are given. */
static void make_file(const char *path, const void *bytes, size_t length, off_t size)
{
	int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(file, 0);
	cr_assert_eq(write(file, bytes, length), (ssize_t)length);
	cr_assert_eq(ftruncate(file, size), 0);
	(void)close(file);
}

DAEMON_TEST(config_limits, a_file_that_is_larger_than_the_memory_is_refused_by_its_field)
{
	char path[160];
	json_t *data;

	(void)snprintf(path, sizeof(path), "%s/big", daemon_under_test.folder);
	make_file(path, "", 0, (off_t)(GUEST_MIB + 1) << 20);
	data = refusal(client, RPC_INVALID_ARGUMENT, "8 MiB of memory", "vm.boot", "{s:s, s:s, s:i}", "image", path,
		       "entry", "real", "memory_mib", GUEST_MIB);
	cr_expect_str_eq(text_at(data, "field"), "image");
	cr_expect_str_eq(text_at(data, "reason"), "TOO_LARGE");
	json_decref(data);
	(void)unlink(path);
}

DAEMON_TEST(config_limits, a_command_line_and_memory_fit_the_kernel_before_a_worker_is_asked)
{
	struct built_image image = build_elf();
	char path[160], cmdline[2049];
	json_t *data;

	(void)snprintf(path, sizeof(path), "%s/elf", daemon_under_test.folder);
	make_file(path, image.bytes, image.size, (off_t)image.size);
	built_free(&image);
	perform(client, "kernel.add", "{s:s, s:s}", "name", "elf", "path", path);
	memset(cmdline, 'x', sizeof(cmdline) - 1);
	cmdline[sizeof(cmdline) - 1] = '\0';
	data = refusal(client, RPC_INVALID_ARGUMENT, "2048 bytes; this kernel takes 2047 at most", "vm.boot",
		       "{s:s, s:s, s:i}", "kernel", "elf", "cmdline", cmdline, "memory_mib", 64);
	cr_expect_str_eq(text_at(data, "field"), "cmdline");
	json_decref(data);
	data = refusal(client, RPC_INVALID_ARGUMENT, "before it starts", "vm.boot", "{s:s, s:i}", "kernel", "elf",
		       "memory_mib", 1);
	cr_expect_str_eq(text_at(data, "field"), "memory_mib");
	json_decref(data);
	(void)unlink(path);
}

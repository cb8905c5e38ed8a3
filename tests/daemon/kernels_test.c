/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel store as clients see it: kernels of every packing, files that are none, loaders that die, clients that want one
 * name, and a daemon that is started again.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_builder.h"
#include "image_packer.h"
#include "snapshot_files.h"
#include "steps.h"

#define LARGE ((off_t)256 << 20) /* bytes of a kernel that takes a loader a while */

static struct daemon daemon_under_test;
static struct ember *client;
static struct built_image vmlinux;
static struct packed packed;

static void start(void)
{
	daemon_start(&daemon_under_test, NULL);
	client = daemon_connect(&daemon_under_test);
	vmlinux = build_elf();
}

static void stop(void)
{
	built_free(&vmlinux);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

static void start_again(void)
{
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_assert_eq(daemon_wait_end(&daemon_under_test), 0);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
}

/* A path in the daemon's folder; valid until the next. */
static const char *file_path(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", daemon_under_test.folder, name);
	return path;
}

static const char *write_image(const char *name, const struct built_image *image)
{
	FILE *file = fopen(file_path(name), "we");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(image->bytes, 1, image->size, file), image->size);
	cr_assert_eq(fclose(file), 0);
	return file_path(name);
}

static struct built_image bzimage(size_t packer)
{
	packers[packer].pack(vmlinux.bytes, vmlinux.size, &packed);
	return build_bzimage(packed.bytes, packed.size);
}

/* Write and add a kernel that is its own ELF. */
static void add_elf(const char *name)
{
	perform(client, "kernel.add", "{s:s, s:s}", "name", name, "path", write_image("elf", &vmlinux));
}

/* What the store's folder holds, in order of name. */
static const char *store(void)
{
	static char output[4096];

	cr_assert_eq(run_program(output, sizeof(output), "cd %s/kernels && find . -mindepth 1 | LC_ALL=C sort",
				 daemon_under_test.state_dir),
		     0, "%s", output);
	return output;
}

static void expect_same_file(const char *name, const char *kept)
{
	char output[512];

	cr_expect_eq(run_program(output, sizeof(output), "cmp %s %s/kernels/%s", file_path(name),
				 daemon_under_test.state_dir, kept),
		     0, "%s", output);
}

static void expect_count(size_t count)
{
	json_t *list = call(client, "kernel.list", NULL);

	cr_expect_eq(json_array_size(at(list, "kernels")), count);
	json_decref(list);
}

DAEMON_TEST(kernels, every_packing_is_kept_and_outlives_the_daemon)
{
	json_t *added[PACKERS], *list, *found;
	char output[512], kept[64];
	struct built_image built;
	const char *path;

	(void)write_image("vmlinux", &vmlinux);
	for (size_t i = 0; i < PACKERS; i++) {
		built = bzimage(i);
		path = write_image(packers[i].name, &built);
		added[i] = call(client, "kernel.add", "{s:s, s:s}", "name", packers[i].name, "path", path);
		cr_expect_str_eq(text_at(added[i], "version"), BUILT_VERSION);
		cr_expect_str_eq(text_at(added[i], "packing"), packers[i].name);
		cr_expect_str_eq(text_at(added[i], "format"), "bzimage");
		cr_expect_str_eq(text_at(added[i], "boot_protocol"), "2.15");
		cr_expect_str_eq(text_at(added[i], "default_entry"), "pvh");
		cr_expect_eq(json_array_size(at(added[i], "entries")), 3);
		cr_expect_eq(int_at(added[i], "image_bytes"), (int64_t)built.size);
		cr_expect_eq(int_at(added[i], "vmlinux_bytes"), (int64_t)vmlinux.size);
		cr_expect(json_is_null(at(added[i], "cmdline")));
		cr_expect_eq(run_program(output, sizeof(output), "sha256sum %s", file_path(packers[i].name)), 0);
		cr_expect_eq(strncmp(output, text_at(added[i], "sha256"), 64), 0, "%s", output);
		(void)snprintf(kept, sizeof(kept), "%s/image", packers[i].name);
		expect_same_file(packers[i].name, kept);
		(void)snprintf(kept, sizeof(kept), "%s/vmlinux", packers[i].name);
		expect_same_file("vmlinux", kept);
		built_free(&built);
	}

	start_again();
	list = call(client, "kernel.list", NULL);
	cr_expect_eq(json_array_size(at(list, "kernels")), PACKERS);
	cr_expect_str_eq(text_at(list, "kernels.0.name"), "gzip");
	cr_expect_str_eq(text_at(list, "kernels.3.name"), "zstd");
	json_decref(list);
	for (size_t i = 0; i < PACKERS; i++) {
		found = call(client, "kernel.inspect", "{s:s}", "name", packers[i].name);
		cr_expect(json_equal(found, added[i]), "%s", packers[i].name);
		json_decref(found);
		json_decref(added[i]);
	}
}

DAEMON_TEST(kernels, an_elf_and_one_that_unpacks_itself)
{
	struct built_image built = build_bzimage("BZh91AY&SY", 10);
	json_t *added;

	added = call(client, "kernel.add", "{s:s, s:s, s:s}", "name", "elf", "path", write_image("elf", &vmlinux),
		     "cmdline", "console=ttyS0 panic=-1");
	cr_expect_str_eq(text_at(added, "format"), "elf");
	cr_expect_str_eq(text_at(added, "cmdline"), "console=ttyS0 panic=-1");
	cr_expect(json_is_null(at(added, "boot_protocol")));
	cr_expect(json_is_null(at(added, "packing")));
	cr_expect_eq(int_at(added, "vmlinux_bytes"), 0);
	json_decref(added);

	added = call(client, "kernel.add", "{s:s, s:s}", "name", "old", "path", write_image("old", &built));
	cr_expect_str_eq(text_at(added, "packing"), "bzip2");
	cr_expect_eq(json_array_size(at(added, "entries")), 1);
	cr_expect_str_eq(text_at(added, "default_entry"), "bzimage");
	cr_expect_eq(int_at(added, "vmlinux_bytes"), 0);
	json_decref(added);
	built_free(&built);
	expect_count(2);
}

/* Refused for this reason, and nothing is left of it. */
static void expect_refused(int code, const char *field, const char *named, const char *path)
{
	json_t *data = refusal(client, code, named, "kernel.add", "{s:s, s:s}", "name", "bad", "path", path);

	cr_expect_str_eq(text_at(data, "field"), field);
	json_decref(data);
	cr_expect_str_eq(store(), "", "%s", named);
	refused(client, RPC_NOT_FOUND, "bad", "kernel.inspect", "{s:s}", "name", "bad");
}

static void expect_image_refused(const char *named, struct built_image *image)
{
	expect_refused(RPC_INVALID_ARGUMENT, "path", named, write_image("bad", image));
	built_free(image);
}

DAEMON_TEST(kernels, bad_files_are_refused_with_a_reason)
{
	static const char no_elf[32] = "\x7f"
				       "ELF, it says, and is none";
	struct built_image built = build_elf();

	built.size = 0;
	expect_image_refused("empty", &built);
	built = build_elf();
	built.size = 100;
	expect_image_refused("kernel", &built);
	built = build_elf();
	built_elf_header(&built)->e_machine = EM_AARCH64;
	expect_image_refused("kernel", &built);
	built = build_elf();
	built_elf_segments(&built)[0].p_filesz = UINT64_MAX;
	expect_image_refused("segment", &built);
	built = bzimage(PACKER_LZ4);
	built_header(&built)->payload_length = UINT32_MAX;
	expect_image_refused("payload", &built);
	built = bzimage(PACKER_XZ);
	built.bytes[BUILT_CODE_OFFSET + BUILT_PAYLOAD + 40] ^= 0x55;
	expect_image_refused("xz", &built);
	built = bzimage(PACKER_ZSTD);
	built.size -= 64;
	expect_image_refused("kernel", &built);
	built = build_bzimage(no_elf, sizeof(no_elf));
	expect_image_refused("in its payload", &built);
	built = build_bzimage("BZh91AY&SY", 10);
	built_header(&built)->xloadflags = 0;
	expect_image_refused("bzip2", &built);
}

DAEMON_TEST(kernels, names_that_stand_for_something_else)
{
	(void)write_image("elf", &vmlinux);
	cr_assert_eq(symlink("elf", file_path("link")), 0);
	expect_refused(RPC_INVALID_ARGUMENT, "path", "symbolic link", file_path("link"));
	cr_assert_eq(mkfifo(file_path("fifo"), 0600), 0);
	expect_refused(RPC_INVALID_ARGUMENT, "path", "FIFO", file_path("fifo"));
	expect_refused(RPC_INVALID_ARGUMENT, "path", "folder", daemon_under_test.folder);
	expect_refused(RPC_INVALID_ARGUMENT, "path", "device", "/dev/null");
	expect_refused(RPC_NOT_FOUND, "path", "none", file_path("none"));
	cr_assert_eq(truncate(file_path("elf"), (off_t)600 << 20), 0);
	expect_refused(RPC_INVALID_ARGUMENT, "path", "bytes", file_path("elf"));
}

DAEMON_TEST(kernels, command_lines_must_suit)
{
	struct built_image built = bzimage(PACKER_GZIP);
	char line[300];

	memset(line, 'c', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	built_header(&built)->cmdline_size = 255;
	refused(client, RPC_INVALID_ARGUMENT, "cmdline", "kernel.add", "{s:s, s:s, s:s}", "name", "k", "path",
		write_image("k", &built), "cmdline", line);
	refused(client, RPC_INVALID_PARAMS, "cmdline", "kernel.add", "{s:s, s:s, s:s}", "name", "k", "path",
		file_path("k"), "cmdline", "one\ntwo");
	cr_expect_str_eq(store(), "");
	line[255] = '\0';
	perform(client, "kernel.add", "{s:s, s:s, s:s}", "name", "k", "path", file_path("k"), "cmdline", line);
	built_free(&built);
}

DAEMON_TEST(kernels, a_name_is_taken_once)
{
	struct open_call calls[8] = { 0 };
	unsigned int taken = 0;

	(void)write_image("elf", &vmlinux);
	for (size_t i = 0; i < 8; i++)
		open_call_begin(&calls[i], client, "kernel.add", "{s:s, s:s}", "name", "k", "path", file_path("elf"));
	for (size_t i = 0; i < 8; i++) {
		int code = open_call_wait(&calls[i], client);

		cr_expect(code == 0 || code == RPC_ALREADY_EXISTS, "%d: %s", code, calls[i].message);
		if (code == 0)
			taken++;
		else
			cr_expect_str_eq(text_at(calls[i].data, "field"), "name");
		open_call_end(&calls[i]);
	}
	cr_expect_eq(taken, 1, "%u", taken);
	cr_expect_str_eq(store(), "./k\n./k/image\n./k/kernel.json\n./k/vmlinux\n");
	expect_count(1);
	refused(client, RPC_ALREADY_EXISTS, "k", "kernel.add", "{s:s, s:s}", "name", "k", "path", file_path("elf"));
}

DAEMON_TEST(kernels, one_that_is_removed_is_gone)
{
	json_t *removed;

	add_elf("k");
	removed = call(client, "kernel.remove", "{s:s}", "name", "k");
	cr_expect(json_is_true(at(removed, "removed")));
	json_decref(removed);
	cr_expect_str_eq(store(), "");
	expect_count(0);
	refused(client, RPC_NOT_FOUND, "k", "kernel.remove", "{s:s}", "name", "k");
	refused(client, RPC_NOT_FOUND, "k", "kernel.inspect", "{s:s}", "name", "k");
	add_elf("k");
	start_again();
	expect_count(1);
}

/* Begin to add a kernel that takes a loader a while, and wait until it is at it. */
static void begin_large(struct raw *raw)
{
	char line[512];
	json_t *progress;

	(void)write_image("large", &vmlinux);
	cr_assert_eq(truncate(file_path("large"), LARGE), 0);
	raw_connect(raw, daemon_under_test.socket_path);
	(void)snprintf(
		line, sizeof(line),
		"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"kernel.add\", \"params\": {\"name\": \"large\", "
		"\"path\": \"%s\"}}",
		file_path("large"));
	raw_send_line(raw, line);
	progress = raw_receive(raw);
	cr_assert_str_eq(text_at(progress, "method"), "progress");
	cr_expect_str_eq(text_at(progress, "params.phase"), "load");
	cr_expect_eq(int_at(progress, "params.total"), 2 * LARGE);
	json_decref(progress);
}

DAEMON_TEST(kernels, a_loader_that_is_killed_leaves_nothing)
{
	struct raw raw;
	json_t *answer;

	begin_large(&raw);
	cr_assert_eq(kill(child_named(daemon_under_test.pid, "ember-loader"), SIGKILL), 0);
	answer = raw_receive_answer(&raw);
	cr_expect_eq(int_at(answer, "error.code"), RPC_WORKER_DIED);
	json_decref(answer);
	raw_close(&raw);
	cr_expect_str_eq(store(), "");
	add_elf("next");
	expect_count(1);
}

DAEMON_TEST(kernels, a_client_that_leaves_leaves_nothing)
{
	struct raw raw;

	begin_large(&raw);
	raw_close(&raw);
	daemon_wait_log(&daemon_under_test, "kernel not added");
	cr_expect_str_eq(store(), "");
	expect_count(0);
}

DAEMON_TEST(kernels, a_daemon_that_stops_meanwhile_leaves_nothing)
{
	struct raw raw;

	begin_large(&raw);
	start_again();
	raw_close(&raw);
	cr_expect_str_eq(store(), "");
	expect_count(0);
}

DAEMON_TEST(kernels, a_daemon_that_is_killed_meanwhile_leaves_nothing_for_long)
{
	struct raw raw;

	begin_large(&raw);
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGKILL);
	cr_assert_eq(daemon_wait_end(&daemon_under_test), 128 + SIGKILL);
	cr_expect_str_neq(store(), "");
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	raw_close(&raw);
	cr_expect_str_eq(store(), "");
	expect_count(0);
}

DAEMON_TEST(kernels, what_is_damaged_is_left_out)
{
	static const char *const names[] = { "cut", "forged", "good", "renamed", "unknown" };
	char folder[256], output[512];
	json_t *list;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		add_elf(names[i]);
	(void)snprintf(folder, sizeof(folder), "%s/kernels/cut", daemon_under_test.state_dir);
	file_resize(folder, "image", 100);
	(void)snprintf(folder, sizeof(folder), "%s/kernels/forged", daemon_under_test.state_dir);
	file_write(folder, "kernel.json", "{\"format\": 1, \"name\": \"forged\"}");
	(void)snprintf(folder, sizeof(folder), "%s/kernels/unknown", daemon_under_test.state_dir);
	file_remove(folder, "kernel.json");
	cr_assert_eq(run_program(output, sizeof(output), "cd %s/kernels && mv renamed other && echo x >file",
				 daemon_under_test.state_dir),
		     0, "%s", output);

	start_again();
	list = call(client, "kernel.list", NULL);
	cr_expect_eq(json_array_size(at(list, "kernels")), 1);
	cr_expect_str_eq(text_at(list, "kernels.0.name"), "good");
	json_decref(list);
	cr_expect_eq(daemon_count_log(&daemon_under_test, "kernel not loaded"), 5);
	daemon_wait_log(&daemon_under_test, "cut/image has 100 bytes");
	daemon_wait_log(&daemon_under_test, "other/kernel.json is of renamed");
	/* What stands at a name is not overwritten. */
	refused(client, RPC_ALREADY_EXISTS, "cut", "kernel.add", "{s:s, s:s}", "name", "cut", "path", file_path("elf"));
}

DAEMON_TEST(kernels, subscribers_hear_of_them)
{
	struct raw raw;
	json_t *event;

	raw_connect(&raw, daemon_under_test.socket_path);
	json_decref(raw_call(&raw, "events.subscribe", "{\"kinds\": [\"kernel\"]}"));
	add_elf("k");
	event = raw_receive(&raw);
	cr_expect_str_eq(text_at(event, "params.kind"), "kernel");
	cr_expect_str_eq(text_at(event, "params.event"), "added");
	cr_expect_str_eq(text_at(event, "params.name"), "k");
	json_decref(event);
	perform(client, "kernel.remove", "{s:s}", "name", "k");
	event = raw_receive(&raw);
	cr_expect_str_eq(text_at(event, "params.event"), "removed");
	json_decref(event);
	raw_close(&raw);
}

DAEMON_TEST(kernels, by_the_command_line)
{
	char output[4096];

	(void)write_image("elf", &vmlinux);
	cr_expect_eq(run_program(output, sizeof(output), EMBERCTL_PATH " --socket %s kernel add k %s --cmdline quiet",
				 daemon_under_test.socket_path, file_path("elf")),
		     0, "%s", output);
	cr_expect_not_null(strstr(output, "pvh"), "%s", output);
	cr_expect_eq(run_program(output, sizeof(output), EMBERCTL_PATH " --socket %s kernel list",
				 daemon_under_test.socket_path),
		     0, "%s", output);
	cr_expect_not_null(strstr(output, "quiet"), "%s", output);
	cr_expect_eq(run_program(output, sizeof(output), EMBERCTL_PATH " --socket %s kernel remove k",
				 daemon_under_test.socket_path),
		     0, "%s", output);
	expect_count(0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a snapshot: everything that a name can stand for but a folder and regular files is refused, by name.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "scratch.h"
#include "snapshot/folder.h"

static struct scratch scratch;
static struct error_detail detail;
static const char page[4096];

static void setup(void)
{
	scratch_make(&scratch);
	cr_assert_eq(mkdirat(scratch.fd, "one", 0700), 0);
	scratch_write(scratch.fd, "one/state.json", "{}", 2);
	scratch_write(scratch.fd, "one/memory.snap", page, sizeof(page));
}

static void teardown(void)
{
	scratch_remove(&scratch);
}

TestSuite(folder, .init = setup, .fini = teardown);

static int try_open(const char *path)
{
	struct snapshot_files files;
	int r = snapshot_files_open(scratch.fd, path, &files, &detail);

	if (r == 0)
		snapshot_files_close(&files);
	return r;
}

static void make_socket(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", scratch.path, name);
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	(void)close(fd);
}

Test(folder, opens_a_snapshot)
{
	struct snapshot_files files;
	char text[4] = "";

	cr_assert_eq(snapshot_files_open(scratch.fd, "one", &files, &detail), 0, "%s", detail.text);
	cr_assert_eq(files.state_size, 2);
	cr_assert_eq(files.memory_size, 4096);
	cr_assert_eq(read(files.state, text, sizeof(text)), 2);
	cr_assert_str_eq(text, "{}");
	cr_assert(fcntl(files.memory, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(fcntl(files.memory, F_GETFL) & O_ACCMODE, O_RDONLY);
	cr_assert_lt(write(files.memory, text, 1), 0);
	snapshot_files_close(&files);
	cr_assert_eq(files.state, -1);
	snapshot_files_close(&files);
}

Test(folder, opens_the_overlays_that_are_there)
{
	struct snapshot_files files;
	int file = openat(scratch.fd, "one/drive-3.overlay", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(file, 0);
	cr_assert_eq(try_open("one"), -ENODATA, "it is empty");
	cr_assert_eq(write(file, "overlay", 7), 7);
	(void)close(file);
	cr_assert_eq(snapshot_files_open(scratch.fd, "one", &files, &detail), 0, "%s", detail.text);
	for (int i = 0; i < SNAPSHOT_OVERLAYS; i++)
		cr_assert_eq(files.overlays[i] >= 0, i == 3);
	snapshot_files_close(&files);
	cr_assert_eq(files.overlays[3], -1);

	cr_assert_eq(unlinkat(scratch.fd, "one/drive-3.overlay", 0), 0);
	cr_assert_eq(symlinkat("state.json", scratch.fd, "one/drive-3.overlay"), 0);
	cr_assert_eq(try_open("one"), -ELOOP);
	cr_assert(strstr(detail.text, "drive-3.overlay"), "%s", detail.text);
}

Test(folder, the_folder_must_be_one)
{
	cr_assert_eq(symlinkat("one", scratch.fd, "link"), 0);
	cr_assert_eq(mkfifoat(scratch.fd, "fifo", 0600), 0);

	cr_assert_eq(try_open("none"), -ENOENT);
	cr_assert(strstr(detail.text, "none"), "%s", detail.text);
	cr_assert_eq(try_open("link"), -ELOOP);
	cr_assert(strstr(detail.text, "link is a symbolic link"), "%s", detail.text);
	cr_assert_eq(try_open("fifo"), -ENOTDIR);
	cr_assert(strstr(detail.text, "FIFO"), "%s", detail.text);
	cr_assert_eq(try_open("one/state.json"), -ENOTDIR);
	cr_assert_eq(try_open(""), -ENOENT);
}

/* Replace each of the two files with something else, and see it named. */
static void expect_refusal(const char *file, int error, const char *what)
{
	cr_assert_eq(try_open("one"), error, "%s: %s", file, detail.text);
	cr_assert(strstr(detail.text, file), "%s: %s", file, detail.text);
	cr_assert(strstr(detail.text, what), "%s: %s", file, detail.text);
}

Test(folder, the_files_must_be_regular)
{
	static const char *const names[] = { "state.json", "memory.snap" };

	for (size_t i = 0; i < 2; i++) {
		char path[32];
		char kept[32];

		(void)snprintf(path, sizeof(path), "one/%s", names[i]);
		(void)snprintf(kept, sizeof(kept), "kept-%s", names[i]);
		cr_assert_eq(renameat(scratch.fd, path, scratch.fd, kept), 0);

		expect_refusal(names[i], -ENOENT, "No such file");
		cr_assert_eq(symlinkat("../kept", scratch.fd, path), 0);
		expect_refusal(names[i], -ELOOP, "symbolic link");
		cr_assert_eq(unlinkat(scratch.fd, path, 0), 0);
		cr_assert_eq(mkfifoat(scratch.fd, path, 0600), 0);
		expect_refusal(names[i], -EINVAL, "FIFO");
		cr_assert_eq(unlinkat(scratch.fd, path, 0), 0);
		cr_assert_eq(mkdirat(scratch.fd, path, 0700), 0);
		expect_refusal(names[i], -EISDIR, "a folder");
		cr_assert_eq(unlinkat(scratch.fd, path, AT_REMOVEDIR), 0);
		make_socket(path);
		expect_refusal(names[i], -EINVAL, "socket");
		cr_assert_eq(unlinkat(scratch.fd, path, 0), 0);
		if (geteuid() == 0 && mknodat(scratch.fd, path, S_IFCHR | 0600, makedev(1, 3)) == 0) {
			expect_refusal(names[i], -EINVAL, "device");
			cr_assert_eq(unlinkat(scratch.fd, path, 0), 0);
		}
		scratch_write(scratch.fd, path, "", 0);
		expect_refusal(names[i], -ENODATA, "empty");

		cr_assert_eq(renameat(scratch.fd, kept, scratch.fd, path), 0);
		cr_assert_eq(try_open("one"), 0, "%s", detail.text);
	}
}

Test(folder, sizes_are_bounded)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "%s/one/memory.snap", scratch.path);
	cr_assert_eq(truncate(path, 4095), 0);
	expect_refusal("memory.snap", -EINVAL, "whole number of pages");
	cr_assert_eq(truncate(path, (3LL << 30) + 4096), 0);
	expect_refusal("memory.snap", -EFBIG, "3221229568");
	cr_assert_eq(truncate(path, 3LL << 30), 0);
	cr_assert_eq(try_open("one"), 0, "%s", detail.text);

	(void)snprintf(path, sizeof(path), "%s/one/state.json", scratch.path);
	cr_assert_eq(truncate(path, (16 << 20) + 1), 0);
	expect_refusal("state.json", -EFBIG, "16777217");
	cr_assert_eq(truncate(path, 16 << 20), 0);
	cr_assert_eq(try_open("one"), 0, "%s", detail.text);
}

Test(folder, what_may_not_be_read_is_named)
{
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	else
		cr_assert_eq(fchmodat(scratch.fd, "one/state.json", 0, 0), 0);
	cr_assert_eq(try_open("one"), -EACCES, "%s", detail.text);
	cr_assert(strstr(detail.text, "Permission denied"), "%s", detail.text);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publication: all or nothing, and nothing left behind.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "scratch.h"
#include "snapshot/folder.h"
#include "snapshot/publish.h"

static struct scratch scratch;
static struct error_detail detail;

static void setup(void)
{
	scratch_make(&scratch);
}

static void teardown(void)
{
	scratch_remove(&scratch);
}

TestSuite(publish, .init = setup, .fini = teardown);

static void write_text(int fd, const char *text)
{
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int publish(const char *name, const char *text, bool overwrite)
{
	struct publication publication;
	int r = publication_begin(scratch.fd, name, &snapshot_folder_form, overwrite, &publication, &detail);

	if (r < 0)
		return r;
	write_text(publication.files[SNAPSHOT_FILE_STATE], text);
	write_text(publication.files[SNAPSHOT_FILE_MEMORY], text);
	return publication_commit(&publication, &detail);
}

static bool holds(const char *name, const char *text)
{
	char path[256];
	bool state;

	(void)snprintf(path, sizeof(path), "%s/" SNAPSHOT_STATE_FILE, name);
	state = scratch_holds(scratch.fd, path, text, strlen(text));
	(void)snprintf(path, sizeof(path), "%s/" SNAPSHOT_MEMORY_FILE, name);
	return state && scratch_holds(scratch.fd, path, text, strlen(text));
}

Test(publish, appears_at_commit_and_not_before)
{
	struct publication publication;
	struct stat status;

	cr_assert_eq(publication_begin(scratch.fd, "one", &snapshot_folder_form, false, &publication, &detail), 0, "%s",
		     detail.text);
	write_text(publication.files[SNAPSHOT_FILE_STATE], "state");
	write_text(publication.files[SNAPSHOT_FILE_MEMORY], "state");
	cr_assert_eq(scratch_count(scratch.fd, "one"), -1);
	cr_assert_eq(scratch_count(scratch.fd, "."), 1);
	cr_assert_eq(publication_commit(&publication, &detail), 0, "%s", detail.text);

	cr_assert(holds("one", "state"));
	cr_assert_eq(scratch_count(scratch.fd, "."), 1);
	cr_assert_eq(publication.folder, -1);
	cr_assert_eq(fstatat(scratch.fd, "one", &status, 0), 0);
	cr_assert_eq(status.st_mode & 07777, 0700);
	cr_assert_eq(fstatat(scratch.fd, "one/memory.snap", &status, 0), 0);
	cr_assert_eq(status.st_mode & 07777, 0600);
}

Test(publish, takes_an_absolute_path_and_trailing_slashes)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/deep///", scratch.path);
	cr_assert_eq(publish(path, "x", false), 0, "%s", detail.text);
	cr_assert(holds("deep", "x"));
	cr_assert_eq(publish_remove(AT_FDCWD, path, &snapshot_folder_form, &detail), 0, "%s", detail.text);
	cr_assert_eq(scratch_count(scratch.fd, "."), 0);
}

Test(publish, refuses_paths_without_a_name)
{
	static const char *const paths[] = { "", ".", "..", "/", "a/..", "./", "//" };
	char longest[NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		cr_assert_eq(publish(paths[i], "x", false), -EINVAL, "\"%s\"", paths[i]);

	memset(longest, 'n', NAME_MAX);
	longest[NAME_MAX] = '\0';
	cr_assert_eq(publish(longest, "x", false), -ENAMETOOLONG);
	longest[NAME_MAX - strlen("..tmp-XXXXXX")] = '\0';
	cr_assert_eq(publish(longest, "x", false), 0, "%s", detail.text);
	cr_assert_eq(publish("missing/name", "x", false), -ENOENT);
	cr_assert_eq(scratch_count(scratch.fd, "."), 1);
}

Test(publish, abort_leaves_nothing)
{
	struct publication publication;

	cr_assert_eq(publication_begin(scratch.fd, "one", &snapshot_folder_form, false, &publication, &detail), 0);
	write_text(publication.files[SNAPSHOT_FILE_MEMORY], "half");
	publication_abort(&publication);
	publication_abort(&publication);
	cr_assert_eq(scratch_count(scratch.fd, "."), 0);
}

Test(publish, does_not_replace_unless_asked)
{
	cr_assert_eq(publish("one", "old", false), 0);
	cr_assert_eq(publish("one", "new", false), -EEXIST);
	cr_assert(holds("one", "old"));
	cr_assert_eq(scratch_count(scratch.fd, "."), 1);
}

Test(publish, a_name_taken_meanwhile_is_kept)
{
	struct publication publication;

	cr_assert_eq(publication_begin(scratch.fd, "one", &snapshot_folder_form, false, &publication, &detail), 0);
	cr_assert_eq(publish("one", "first", false), 0);
	cr_assert_eq(publication_commit(&publication, &detail), -EEXIST);
	cr_assert(holds("one", "first"));
	cr_assert_eq(scratch_count(scratch.fd, "."), 1);
}

Test(publish, replaces_in_one_step_and_readers_keep_the_old_one)
{
	struct publication publication;
	char seen[8] = "";
	int reader;

	cr_assert_eq(publish("one", "old", true), 0, "%s", detail.text);
	reader = openat(scratch.fd, "one/memory.snap", O_RDONLY | O_CLOEXEC);
	cr_assert_geq(reader, 0);

	cr_assert_eq(publication_begin(scratch.fd, "one", &snapshot_folder_form, true, &publication, &detail), 0);
	write_text(publication.files[SNAPSHOT_FILE_STATE], "newer");
	write_text(publication.files[SNAPSHOT_FILE_MEMORY], "newer");
	cr_assert(holds("one", "old"));
	cr_assert_eq(publication_commit(&publication, &detail), 0, "%s", detail.text);

	cr_assert(holds("one", "newer"));
	cr_assert_eq(scratch_count(scratch.fd, "."), 1);
	cr_assert_eq(read(reader, seen, sizeof(seen)), 3);
	cr_assert_str_eq(seen, "old");
	(void)close(reader);
}

Test(publish, replaces_nothing_but_snapshots)
{
	cr_assert_eq(mkdirat(scratch.fd, "folder", 0700), 0);
	scratch_write(scratch.fd, "folder/thesis", "years", 5);
	scratch_write(scratch.fd, "file", "text", 4);
	cr_assert_eq(symlinkat("folder", scratch.fd, "link"), 0);

	cr_assert_eq(publish("folder", "x", true), -ENOTEMPTY);
	cr_assert(strstr(detail.text, "thesis"), "%s", detail.text);
	cr_assert_eq(publish("file", "x", true), -ENOTDIR);
	cr_assert_eq(publish("link", "x", true), -ELOOP);
	cr_assert_eq(publish_remove(scratch.fd, "folder", &snapshot_folder_form, &detail), -ENOTEMPTY);
	cr_assert_eq(publish_remove(scratch.fd, "file", &snapshot_folder_form, &detail), -ENOTDIR);
	cr_assert_eq(publish_remove(scratch.fd, "link", &snapshot_folder_form, &detail), -ELOOP);
	cr_assert_eq(publish_remove(scratch.fd, "none", &snapshot_folder_form, &detail), -ENOENT);

	cr_assert(scratch_holds(scratch.fd, "folder/thesis", "years", 5));
	cr_assert(scratch_holds(scratch.fd, "file", "text", 4));
	cr_assert_eq(scratch_count(scratch.fd, "."), 3);
}

Test(publish, removes_a_snapshot_and_readers_keep_it)
{
	char seen[8] = "";
	int reader;

	cr_assert_eq(publish("one", "kept", false), 0);
	reader = openat(scratch.fd, "one/memory.snap", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(publish_remove(scratch.fd, "one", &snapshot_folder_form, &detail), 0, "%s", detail.text);
	cr_assert_eq(scratch_count(scratch.fd, "."), 0);
	cr_assert_eq(read(reader, seen, sizeof(seen)), 4);
	cr_assert_str_eq(seen, "kept");
	(void)close(reader);
}

Test(publish, a_full_disk_leaves_the_old_snapshot_and_no_temporary)
{
	struct scratch small;
	struct publication publication;
	static char block[4096];
	ssize_t written;

	if (!scratch_make_small(&small, 262144))
		cr_skip_test("mounting a tmpfs needs root");

	cr_assert_eq(publication_begin(small.fd, "one", &snapshot_folder_form, false, &publication, &detail), 0);
	write_text(publication.files[SNAPSHOT_FILE_STATE], "old");
	write_text(publication.files[SNAPSHOT_FILE_MEMORY], "old");
	cr_assert_eq(publication_commit(&publication, &detail), 0, "%s", detail.text);

	cr_assert_eq(publication_begin(small.fd, "one", &snapshot_folder_form, true, &publication, &detail), 0);
	memset(block, 'x', sizeof(block));
	do
		written = write(publication.files[SNAPSHOT_FILE_MEMORY], block, sizeof(block));
	while (written > 0);
	cr_assert_eq(errno, ENOSPC);
	publication_abort(&publication);

	cr_assert(scratch_holds(small.fd, "one/memory.snap", "old", 3));
	cr_assert_eq(scratch_count(small.fd, "."), 1);
	scratch_remove(&small);
}

Test(publish, a_small_file_on_a_full_disk_stays_as_it_was)
{
	struct scratch small;
	static char filler[65536];
	static char large[65536];

	if (!scratch_make_small(&small, 98304))
		cr_skip_test("mounting a tmpfs needs root");

	cr_assert_eq(publish_file(small.fd, "catalog.json", "[]", 2, &detail), 0, "%s", detail.text);
	scratch_write(small.fd, "filler", filler, sizeof(filler));
	cr_assert_eq(publish_file(small.fd, "catalog.json", large, sizeof(large), &detail), -ENOSPC);
	cr_assert(strstr(detail.text, "catalog.json"), "%s", detail.text);
	cr_assert(scratch_holds(small.fd, "catalog.json", "[]", 2));
	cr_assert_eq(scratch_count(small.fd, "."), 2);
	scratch_remove(&small);
}

Test(publish, a_small_file_is_made_and_replaced)
{
	cr_assert_eq(publish_file(scratch.fd, "catalog.json", "one", 3, &detail), 0, "%s", detail.text);
	cr_assert(scratch_holds(scratch.fd, "catalog.json", "one", 3));
	cr_assert_eq(publish_file(scratch.fd, "catalog.json", "second", 6, &detail), 0, "%s", detail.text);
	cr_assert(scratch_holds(scratch.fd, "catalog.json", "second", 6));
	cr_assert_eq(scratch_count(scratch.fd, "."), 1);
}

/* Folders of another form are published the same way, and are nothing to who knows snapshots. */
static const char *const letter_files[] = { "envelope", "letter", "stamp" };
static const struct folder_form letter_form = { "a letter", letter_files, 3, O_RDWR, 0 };

Test(publish, every_form_of_folder)
{
	struct publication publication;
	char seen[8] = "";

	cr_assert_eq(publication_begin(scratch.fd, "mail", &letter_form, false, &publication, &detail), 0, "%s",
		     detail.text);
	for (size_t i = 0; i < letter_form.count; i++)
		cr_assert_eq(publication_write(&publication, i, letter_files[i], 5, &detail), 0, "%s", detail.text);
	cr_assert_eq(pread(publication.files[1], seen, sizeof(seen), 0), 5, "who writes it can read it back");
	cr_assert_eq(publication_commit(&publication, &detail), 0, "%s", detail.text);
	cr_assert(scratch_holds(scratch.fd, "mail/envelope", "envel", 5));
	cr_assert(scratch_holds(scratch.fd, "mail/stamp", "stamp", 5));

	cr_assert_eq(publish("mail", "x", true), -ENOTEMPTY);
	cr_assert_not_null(strstr(detail.text, "no part of a snapshot"), "%s", detail.text);
	cr_assert_eq(publish_remove(scratch.fd, "mail", &snapshot_folder_form, &detail), -ENOTEMPTY);
	cr_assert_eq(publish_remove(scratch.fd, "mail", &letter_form, &detail), 0, "%s", detail.text);
	cr_assert_eq(scratch_count(scratch.fd, "."), 0);
}

Test(publish, a_snapshot_has_the_overlays_that_it_was_given)
{
	struct publication publication;

	cr_assert_eq(publication_begin(scratch.fd, "one", &snapshot_folder_form, false, &publication, &detail), 0);
	cr_assert_eq(publication.files[SNAPSHOT_FILE_OVERLAY], -1);
	cr_assert_eq(publication_add(&publication, SNAPSHOT_FILE_OVERLAY + 2, &detail), 0, "%s", detail.text);
	cr_assert_eq(publication_add(&publication, SNAPSHOT_FILE_OVERLAY + 2, &detail), -EEXIST);
	cr_assert_not_null(strstr(detail.text, "drive-2.overlay"), "%s", detail.text);
	publication_abort(&publication);
	cr_assert_eq(scratch_count(scratch.fd, "."), 0);

	cr_assert_eq(publication_begin(scratch.fd, "one", &snapshot_folder_form, false, &publication, &detail), 0);
	cr_assert_eq(publication_add(&publication, SNAPSHOT_FILE_OVERLAY + 7, &detail), 0, "%s", detail.text);
	cr_assert_eq(fcntl(publication.files[SNAPSHOT_FILE_OVERLAY + 7], F_GETFL) & O_ACCMODE, O_RDWR);
	write_text(publication.files[SNAPSHOT_FILE_OVERLAY + 7], "seven");
	cr_assert_eq(publication_commit(&publication, &detail), 0, "%s", detail.text);
	cr_assert(scratch_holds(scratch.fd, "one/drive-7.overlay", "seven", 5));
	cr_assert_eq(scratch_count(scratch.fd, "one"), 3);
	cr_assert_eq(publish_remove(scratch.fd, "one", &snapshot_folder_form, &detail), 0, "%s", detail.text);
	cr_assert_eq(scratch_count(scratch.fd, "."), 0);
}

Test(publish, a_form_of_too_many_files_is_refused)
{
	static const char *const names[PUBLICATION_FILES_MAX + 1] = { "a" };
	const struct folder_form form = { "too much", names, PUBLICATION_FILES_MAX + 1, O_WRONLY, 0 };
	struct publication publication;

	cr_assert_eq(publication_begin(scratch.fd, "one", &form, false, &publication, &detail), -EINVAL);
	cr_assert_eq(scratch_count(scratch.fd, "."), 0);
}

Test(publish, a_file_that_does_not_fit_is_named)
{
	struct publication publication;
	struct scratch small;
	static char large[65536];

	if (!scratch_make_small(&small, 32768))
		cr_skip_test("mounting a tmpfs needs root");
	cr_assert_eq(publication_begin(small.fd, "mail", &letter_form, false, &publication, &detail), 0);
	cr_assert_eq(publication_write(&publication, 1, large, sizeof(large), &detail), -ENOSPC);
	cr_assert_not_null(strstr(detail.text, "letter"), "%s", detail.text);
	publication_abort(&publication);
	cr_assert_eq(scratch_count(small.fd, "."), 0);
	scratch_remove(&small);
}

/* A publisher that dies half way, in a process of its own. */
static void die_half_way(const char *name)
{
	int status;
	pid_t child = fork();

	cr_assert_geq(child, 0);
	if (child == 0) {
		struct publication publication;

		if (publication_begin(scratch.fd, name, &snapshot_folder_form, true, &publication, NULL) < 0)
			_exit(1);
		_exit(write(publication.files[SNAPSHOT_FILE_MEMORY], "half", 4) == 4 ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(publish, a_sweep_takes_what_the_dead_left_and_nothing_else)
{
	struct publication publication;
	unsigned removed = 0;

	cr_assert_eq(publish("one", "kept", false), 0);
	die_half_way("one");
	die_half_way("two");
	scratch_write(scratch.fd, ".catalog.json.tmp-abcdef", "half", 4);
	cr_assert_eq(publication_begin(scratch.fd, "three", &snapshot_folder_form, false, &publication, &detail), 0);
	write_text(publication.files[SNAPSHOT_FILE_STATE], "live");
	write_text(publication.files[SNAPSHOT_FILE_MEMORY], "live");
	scratch_write(scratch.fd, ".hidden", "", 0);
	scratch_write(scratch.fd, "visible.tmp-abcdef", "", 0);
	cr_assert_eq(mkdirat(scratch.fd, ".mine.tmp-abcdef", 0700), 0);
	scratch_write(scratch.fd, ".mine.tmp-abcdef/thesis", "years", 5);

	cr_assert_eq(publish_sweep(scratch.fd, &snapshot_folder_form, &removed), 0);
	cr_assert_eq(removed, 3, "%u", removed);
	cr_assert_eq(publication_commit(&publication, &detail), 0, "%s", detail.text);
	cr_assert(holds("one", "kept"));
	cr_assert(holds("three", "live"));
	cr_assert(scratch_holds(scratch.fd, ".mine.tmp-abcdef/thesis", "years", 5));
	cr_assert_eq(scratch_count(scratch.fd, "."), 5);
}

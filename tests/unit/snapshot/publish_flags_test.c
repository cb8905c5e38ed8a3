/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publication on a file system whose rename has no flags, as NFS: a filter of this process answers for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "scratch.h"
#include "snapshot/folder.h"
#include "snapshot/publish.h"

static struct scratch scratch;
static struct error_detail detail;

/* From here on renameat2(2) with flags is refused, as the kernel does for such a file system. */
static void setup(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	scratch_make(&scratch);
	cr_assert_not_null(filter);
	cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(renameat2), 1, SCMP_A4(SCMP_CMP_NE, 0)),
		     0);
	cr_assert_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
}

static void teardown(void)
{
	scratch_remove(&scratch);
}

TestSuite(publish_flags, .init = setup, .fini = teardown);

static int publish(const char *name, const char *text, bool overwrite)
{
	struct publication publication;
	int r = publication_begin(scratch.fd, name, &snapshot_folder_form, overwrite, &publication, &detail);

	if (r < 0)
		return r;
	cr_assert_eq(publication_write(&publication, SNAPSHOT_FILE_STATE, text, strlen(text), &detail), 0);
	return publication_commit(&publication, &detail);
}

static bool holds(const char *name, const char *text)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/" SNAPSHOT_STATE_FILE, name);
	return scratch_holds(scratch.fd, path, text, strlen(text));
}

Test(publish_flags, a_new_folder_is_kept)
{
	cr_assert_eq(publish("one", "first", false), 0, "%s", detail.text);
	cr_expect(holds("one", "first"));
	cr_expect_eq(scratch_count(scratch.fd, "."), 1);
}

Test(publish_flags, a_name_taken_meanwhile_is_kept)
{
	struct publication publication;

	cr_assert_eq(publication_begin(scratch.fd, "one", &snapshot_folder_form, false, &publication, &detail), 0);
	cr_assert_eq(publish("one", "other", false), 0);
	cr_expect_eq(publication_commit(&publication, &detail), -EEXIST);
	cr_expect(holds("one", "other"));
	cr_expect_eq(scratch_count(scratch.fd, "."), 1);
}

Test(publish_flags, a_folder_is_not_replaced_and_the_reason_said)
{
	cr_assert_eq(publish("one", "first", false), 0);
	cr_expect_eq(publish("one", "second", true), -EOPNOTSUPP);
	cr_expect_not_null(strstr(detail.text, "cannot replace one in one step"), "%s", detail.text);
	cr_expect(holds("one", "first"));
	cr_expect_eq(scratch_count(scratch.fd, "."), 1);
}

Test(publish_flags, a_small_file_is_made_and_replaced)
{
	cr_assert_eq(publish_file(scratch.fd, "file", "old", 3, &detail), 0, "%s", detail.text);
	cr_assert_eq(publish_file(scratch.fd, "file", "new", 3, &detail), 0, "%s", detail.text);
	cr_expect(scratch_holds(scratch.fd, "file", "new", 3));
	cr_expect_eq(scratch_count(scratch.fd, "."), 1);
}

Test(publish_flags, a_folder_is_removed)
{
	cr_assert_eq(publish("one", "first", false), 0);
	cr_expect_eq(publish_remove(scratch.fd, "one", &snapshot_folder_form, &detail), 0, "%s", detail.text);
	cr_expect_eq(scratch_count(scratch.fd, "."), 0);
}

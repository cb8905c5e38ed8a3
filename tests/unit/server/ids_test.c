/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that are reserved ahead.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "server/file_thread.h"
#include "server/ids.h"

static char folder[64];

static void set_up(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/ember-ids-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static void tear_down(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, IDS_FILE_NAME);
	(void)unlink(path);
	(void)rmdir(folder);
}

TestSuite(ids_unit, .init = set_up, .fini = tear_down);

static struct ids *open_ids(void)
{
	struct error_detail detail = { "" };
	struct ids *ids = NULL;

	cr_assert_eq(ids_open(folder, &ids, &detail), 0, "%s", detail.text);
	return ids;
}

Test(ids_unit, begin_at_1_and_never_come_again)
{
	uint64_t last[IDS_KIND_COUNT] = { 0 };

	for (int start = 0; start < 5; start++) {
		struct ids *ids = open_ids();

		for (int kind = 0; kind < IDS_KIND_COUNT; kind++) {
			for (int i = 0; i < 100; i++) {
				uint64_t number = ids_next(ids, (enum ids_kind)kind);

				cr_assert_gt(number, last[kind]);
				last[kind] = number;
			}
			cr_expect(start > 0 || last[kind] == 100);
		}
		(void)ids_close(ids);
	}
}

Test(ids_unit, without_a_disk_they_end_and_do_not_come_again)
{
	struct ids *ids = open_ids();
	uint64_t last = 0, number;

	while ((number = ids_next(ids, IDS_VM)) != 0)
		last = number;
	cr_expect_eq(ids_next(ids, IDS_VM), 0);
	(void)ids_close(ids);
	ids = open_ids();
	cr_expect_gt(ids_next(ids, IDS_VM), last);
	(void)ids_close(ids);
}

Test(ids_unit, further_ones_are_reserved_ahead)
{
	struct event_base *base = event_base_new();
	struct file_thread *files = NULL;
	struct ids *ids = open_ids();
	uint64_t last = 0;

	cr_assert_eq(file_thread_start(base, 4, &files), 0);
	ids_use_thread(ids, files);
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t number = ids_next(ids, IDS_VM);

		if (number == 0) { /* the thread has its turn */
			(void)event_base_loop(base, EVLOOP_ONCE);
			continue;
		}
		cr_assert_eq(number, last + 1);
		last = number;
	}
	cr_expect_gt(last, 4096);
	cr_expect_eq(file_thread_stop(files, UINT32_MAX), 0);
	files = file_thread_free(files);
	(void)ids_close(ids);
	ids = open_ids();
	cr_expect_gt(ids_next(ids, IDS_VM), last);
	(void)ids_close(ids);
	event_base_free(base);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as a person reads them.
 */
#include "emberctl/progress.h"
#include "emberctl/render.h"
#include "emberctl/text.h"
#include "emberctl/value_text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(const char *json, const char *text)
{
	json_t *result = json_loads(json, JSON_DECODE_ANY, NULL);
	char *printed = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&printed, &size);

	cr_assert_not_null(result, "the test's own JSON is wrong: %s", json);
	cr_assert_eq(render_result(result, out, false), 0);
	fclose(out);
	cr_assert_str_eq(printed, text);
	free(printed);
	json_decref(result);
}

static void expect_value(const char *name, json_t *value, const char *text)
{
	char *printed = NULL;

	cr_assert_eq(value_text(name, value, &printed), 0);
	cr_assert_str_eq(printed, text);
	free(printed);
	json_decref(value);
}

Test(render, lines_up_plain_members)
{
	expect("{\"version\": \"0.1.0\", \"uptime_ms\": 1500, \"pong\": true, \"users\": [\"vm-1\", \"vm-2\"], \"none\": []}",
	       "version  0.1.0\n"
	       "uptime   1.50 s\n"
	       "pong     yes\n"
	       "users    vm-1, vm-2\n"
	       "none     -\n");
}

Test(render, indents_objects_and_hands_down_their_unit)
{
	expect("{\"phases_us\": {\"fork\": 180, \"enter\": 12.5}, \"vm\": \"vm-1\"}", "vm  vm-1\n"
										      "\n"
										      "phases\n"
										      "  fork   180 us\n"
										      "  enter  12.5 us\n");
}

Test(render, prints_a_lone_list_as_a_table)
{
	expect("{\"snapshots\": [{\"name\": \"a\", \"memory_mib\": 128, \"vcpus\": 1},"
	       " {\"name\": \"longer\", \"memory_mib\": 3072, \"users\": [\"vm-1\"]}]}",
	       "NAME      MEMORY  VCPUS  USERS\n"
	       "a        128 MiB      1  -\n"
	       "longer  3072 MiB      -  vm-1\n");
	expect("{\"vms\": [{\"vm\": \"vm-1\", \"shape\": \"1x128-host\", \"vcpus\": 1, \"memory_mib\": 128, \"cpu_template\": \"host\"}]}",
	       "VM    SHAPE\n"
	       "vm-1  1x128-host\n");
	expect("{\"snapshots\": []}", "no snapshots\n");
}

Test(render, prints_a_list_among_others_under_its_name)
{
	expect("{\"shapes\": [{\"shape\": \"1x128-host\", \"warm\": 2}], \"queue_limit\": 64}", "queue limit  64\n"
												"\n"
												"shapes\n"
												"  SHAPE       WARM\n"
												"  1x128-host     2\n");
}

Test(render, lets_no_control_character_through)
{
	expect("{\"name\": \"a\\u001b[31m\\u009bb\\n\"}", "name  a?[31m??b?\n");
	expect("{\"rows\": [{\"na\\u0007me\": \"\\u007f\"}]}", "NA?ME\n?\n");
	expect("\"\\u001b\"", "?\n");
}

Test(render, prints_what_is_no_object)
{
	expect("3", "3\n");
	expect("[1, 2]", "1, 2\n");
	expect("null", "-\n");
}

Test(value_text, reads_units_from_names)
{
	expect_value("total_us", json_integer(412), "412 us");
	expect_value("total_us", json_integer(4120), "4.12 ms");
	expect_value("total_us", json_integer(41200), "41.2 ms");
	expect_value("total_us", json_integer(412000), "412 ms");
	expect_value("backoff_ms", json_integer(0), "0");
	expect_value("guest_ns", json_integer(1500), "1.50 us");
	expect_value("uptime_ms", json_integer(61000), "1 min 1 s");
	expect_value("uptime_ms", json_integer(7260000), "2 h 1 min");
	expect_value("memory_mib", json_integer(128), "128 MiB");
	expect_value("data_bytes", json_integer(0), "0 bytes");
	expect_value("data_bytes", json_integer(1536), "1.5 KiB");
	expect_value("data_bytes", json_integer(134217728), "128 MiB");
	expect_value("tsc_khz", json_integer(2500000), "2500000");
	expect_value("_us", json_integer(5), "5");
	expect_value("entered_ns", json_integer(123456789), "123456789");
	expect_value(NULL, json_real(0.5), "0.5");
}

Test(value_text, labels_drop_the_unit)
{
	char label[32];

	value_label("phases_us", label, sizeof(label));
	cr_assert_str_eq(label, "phases");
	value_label("refill_concurrency", label, sizeof(label));
	cr_assert_str_eq(label, "refill concurrency");
	value_label("a_name_that_is_much_longer_than_its_room", label, sizeof(label));
	cr_assert_eq(strlen(label), sizeof(label) - 1);
}

static void expect_bar(json_t *params, const char *text)
{
	char printed[256];

	progress_text(params, printed, sizeof(printed));
	cr_assert_str_eq(printed, text);
	json_decref(params);
}

Test(progress, draws_a_bar)
{
	expect_bar(json_pack("{s:s, s:i, s:i, s:s}", "phase", "memory", "done", 67108864, "total", 134217728, "unit",
			     "bytes"),
		   "memory   [###############...............]  50 %  64 MiB of 128 MiB");
	expect_bar(json_pack("{s:s, s:i, s:i, s:s}", "phase", "chunks", "done", 3, "total", 3, "unit", "chunks"),
		   "chunks   [##############################] 100 %  3 chunks of 3 chunks");
}

/* Whatever the daemon says, the bar stays within its line. */
Test(progress, survives_figures_that_make_no_sense)
{
	expect_bar(json_pack("{s:s, s:i, s:i}", "phase", "x", "done", 5, "total", 0),
		   "x        [..............................]   0 %  5 of 0");
	expect_bar(json_pack("{s:s, s:i, s:i}", "phase", "x", "done", 9, "total", 3),
		   "x        [##############################] 100 %  9 of 3");
	expect_bar(json_pack("{s:s, s:i, s:i}", "phase", "x", "done", -9, "total", 3),
		   "x        [..............................]   0 %  -9 of 3");
	expect_bar(json_object(), "         [..............................]   0 %  - of -");
}

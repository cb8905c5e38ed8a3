/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects on a command line, and in the help: the devices of a Linux guest, by a method of the test's own.
 */
#include "emberctl/command.h"
#include "emberctl/help.h"
#include "proto/device_params.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS(...) ((char *[]){ __VA_ARGS__, NULL })

static const struct param params[] = {
	PARAM_DRIVES, PARAM_NET, PARAM_VSOCK, PARAM_RNG, PARAM_BALLOON, PARAM_METADATA, PARAMS_END,
};
static const struct method method = {
	.name = "vm.start",
	.role = ROLE_RUN,
	.cancel = METHOD_CANCEL_DROPPED,
	.summary = "Start",
	.params = params,
};

static struct command command;
static char detail[COMMAND_DETAIL_SIZE];

static void release(void)
{
	command_release(&command);
}

TestSuite(objects, .fini = release);

static int parse(char **words)
{
	int count = 0;

	while (words[count] != NULL)
		count++;
	command_release(&command);
	return command_parse_params(&method, count, words, &command, detail);
}

/* The words give these parameters, in JSON. */
static void expect(char **words, const char *expected)
{
	json_t *wanted = json_loads(expected, 0, NULL);
	char *given;

	cr_assert_not_null(wanted, "the test's own JSON is wrong: %s", expected);
	cr_assert_eq(parse(words), 0, "%s: %s", expected, detail);
	given = json_dumps(command.params, JSON_COMPACT);
	cr_assert(json_equal(command.params, wanted), "%s, not %s", given, expected);
	free(given);
	json_decref(wanted);
}

static void expect_refused(char **words, const char *because)
{
	cr_assert_eq(parse(words), -EINVAL, "%s %s was taken", words[0], words[1]);
	cr_assert_not_null(strstr(detail, because), "\"%s\" does not say \"%s\"", detail, because);
}

Test(objects, are_members_separated_by_commas)
{
	expect(WORDS("--drives", "path=/a.img,read_only=true,overlay-mib=64"),
	       "{\"drives\": [{\"path\": \"/a.img\", \"read_only\": true, \"overlay_mib\": 64}]}");
	expect(WORDS("--drives=path=/a.img,read_only,serial=a=b"),
	       "{\"drives\": [{\"path\": \"/a.img\", \"read_only\": true, \"serial\": \"a=b\"}]}");
	expect(WORDS("--vsock", "cid=4294967294"), "{\"vsock\": {\"cid\": 4294967294}}");
	expect(WORDS("--vsock="), "{\"vsock\": {}}");
	expect(WORDS("--balloon", "target_mib=8,deflate_on_oom=no"),
	       "{\"balloon\": {\"target_mib\": 8, \"deflate_on_oom\": false}}");
}

Test(objects, hold_objects_by_dots)
{
	expect(WORDS("--drives", "path=/a,limit.bytes_per_second=1000,limit.ops-burst=2"),
	       "{\"drives\": [{\"path\": \"/a\", \"limit\": {\"bytes_per_second\": 1000, \"ops_burst\": 2}}]}");
	expect(WORDS("--net", "tap=tap0,to_guest.ops_burst=1,from_guest.ops_burst=2"),
	       "{\"net\": [{\"tap\": \"tap0\", \"to_guest\": {\"ops_burst\": 1}, \"from_guest\": {\"ops_burst\": 2}}]}");
}

Test(objects, of_an_array_come_one_a_flag)
{
	expect(WORDS("--drives", "path=/a", "--net", "tap_fd=0", "--drives", "path=/b"),
	       "{\"drives\": [{\"path\": \"/a\"}, {\"path\": \"/b\"}], \"net\": [{\"tap_fd\": 0}]}");
	expect(WORDS("--drives", "[{\"path\": \"/a\"}, {\"path\": \"/b\"}]", "--drives", "path=/c"),
	       "{\"drives\": [{\"path\": \"/a\"}, {\"path\": \"/b\"}, {\"path\": \"/c\"}]}");
	expect_refused(WORDS("--vsock", "cid=3", "--vsock", "cid=4"), "--vsock is given twice");
	expect_refused(WORDS("--net", "tap_fd=0", "--net", "tap_fd=1", "--net", "tap_fd=2", "--net", "tap_fd=3",
			     "--net", "tap_fd=4"),
		       "net must have 0 to 4 items, not 5");
}

Test(objects, may_be_json)
{
	expect(WORDS("--drives", "{\"path\": \"/a,b\"}"), "{\"drives\": [{\"path\": \"/a,b\"}]}");
	expect(WORDS("--vsock", "{}"), "{\"vsock\": {}}");
	expect(WORDS("--drives", "limit={\"ops_burst\": 1, \"bytes_burst\": 2},path=/a"),
	       "{\"drives\": [{\"path\": \"/a\", \"limit\": {\"ops_burst\": 1, \"bytes_burst\": 2}}]}");
	expect(WORDS("--drives", "path=/a,serial={x"), "{\"drives\": [{\"path\": \"/a\", \"serial\": \"{x\"}]}");
	expect_refused(WORDS("--drives", "{\"path\": \"/a\""), "not valid JSON");
	expect_refused(WORDS("--drives", "{\"path\": \"/a\"} x"), "not valid JSON");
	expect_refused(WORDS("--drives", "{\"path\": \"/a\", \"path\": \"/b\"}"), "not valid JSON");
	expect_refused(WORDS("--drives", "[1]"), "drives[0] must be an object");
	expect_refused(WORDS("--vsock", "[]"), "one object");
	expect_refused(WORDS("--drives", "limit={}x,path=/a"), "a comma is missing before \"x,path=/a\"");
	expect_refused(WORDS("--drives", "limit={,path=/a"), "not valid JSON");
}

Test(objects, have_their_paths_made_absolute)
{
	cr_assert_eq(chdir("/"), 0);
	expect(WORDS("--drives", "path=a.img,overlay=./o"),
	       "{\"drives\": [{\"path\": \"/a.img\", \"overlay\": \"/o\"}]}");
	expect(WORDS("--vsock", "path=v"), "{\"vsock\": {\"path\": \"/v\"}}");
	expect_refused(WORDS("--vsock", "path="), "--vsock, path: the path is empty");
	expect_refused(WORDS("--vsock", "{\"path\": \"v\"}"), "vsock.path must be an absolute path");
}

Test(objects, name_what_is_wrong_in_them)
{
	expect_refused(WORDS("--drives", "path=/a", "--drives", "serial=x"), "drives[1].path is missing");
	expect_refused(WORDS("--drives", "/a.img"), "--drives, /a.img: there is no such member");
	expect_refused(WORDS("--drives", "colour=1"), "--drives, colour: there is no such member");
	expect_refused(WORDS("--drives", "path=/a,"), "there is no such member");
	expect_refused(WORDS("--drives", "path=/a,limit.colour=1"), "--drives, limit.colour: there is no such member");
	expect_refused(WORDS("--drives", "path.x=/a"), "there is no such member");
	expect_refused(WORDS("--drives", "limit..ops_burst=1"), "there is no such member");
	expect_refused(WORDS("--drives", "path"), "--drives, path needs a value");
	expect_refused(WORDS("--drives", "path=/a,path=/b"), "--drives, path is given twice");
	expect_refused(WORDS("--drives", "limit=5,path=/a"), "--drives, limit, 5: there is no such member");
	expect_refused(WORDS("--drives", "path=/a,overlay_mib=much"), "--drives, overlay_mib takes a whole number");
	expect_refused(WORDS("--drives", "path=/a,read_only=perhaps"), "--drives, read_only is true or false");
	expect_refused(WORDS("--net", "mac=02:00:00:00:00:01"), "one of net[0].tap and net[0].tap_fd must be given");
	expect_refused(WORDS("--drives"), "--drives needs a value");
	expect_refused(WORDS("path=/a"), "no further word");
}

Test(objects, of_any_json_are_given_as_text_or_by_a_file)
{
	char name[] = "/tmp/emberctl-test-XXXXXX", word[64];
	int file = mkstemp(name);

	cr_assert_geq(file, 0);
	cr_assert_eq(write(file, "{\"a\":\n[1, 2]}\n", 14), 14);
	close(file);
	snprintf(word, sizeof(word), "@%s", name);
	expect(WORDS("--metadata", "{\"b\": {\"c\": null}}"), "{\"metadata\": {\"b\": {\"c\": null}}}");
	expect(WORDS("--metadata", word), "{\"metadata\": {\"a\": [1, 2]}}");
	cr_assert_eq(truncate(name, 5), 0);
	expect_refused(WORDS("--metadata", word), "not valid JSON");
	cr_assert_eq(truncate(name, 2UL * 1024 * 1024), 0);
	expect_refused(WORDS("--metadata", word), "longer than");
	unlink(name);
	expect_refused(WORDS("--metadata", word), "No such file");
	expect_refused(WORDS("--metadata", "@/tmp"), "cannot be read");
	expect_refused(WORDS("--metadata", "words"), "not valid JSON");
	expect_refused(WORDS("--metadata", "[]"), "metadata must be an object");
}

/* The help's lines, each within the width that help keeps to. */
Test(objects, are_shown_by_the_help_with_their_members)
{
	static const char *const parts[] = {
		"\n  --drives MEMBER=VALUE,...  ",
		"  Disks, in the guest's order; may be repeated\n",
		"\n    path=PATH  ",
		"  The file with the disk's content; needs the role admin; required\n",
		"\n    read_only=true|false  ",
		"  Let the guest only read; false if not given\n",
		"\n    limit.bytes_per_second=BYTES  ",
		"  Bytes in a second; 0 or absent: no limit; 0 bytes or more\n",
		"\n    tap=NAME  ",
		"\n    mac=MAC  ",
		"\n    from_guest.ops_burst=N  ",
		"\n    cid=N  ",
		"\n  --metadata JSON|@FILE  ",
	};
	char *text = NULL;
	size_t size = 0, width = 0;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	help_method(&method, out);
	fclose(out);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		cr_expect_not_null(strstr(text, parts[i]), "no \"%s\" in\n%s", parts[i], text);
	for (const char *line = text; *line != '\0'; line += width + (line[width] == '\n')) {
		width = strcspn(line, "\n");
		cr_expect_leq(width, 110, "%.*s", (int)width, line);
	}
	free(text);
}

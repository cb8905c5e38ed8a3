/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: who holds what, what goes when, and the text that it is kept by.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "snapshot/catalog.h"

#define LIST_SIZE 256

static struct catalog *catalog;
static struct error_detail detail;
static char gone[LIST_SIZE]; /* names of what went, in order */

static void append(char list[static LIST_SIZE], const char *text)
{
	size_t length = strlen(list);

	(void)snprintf(list + length, LIST_SIZE - length, "%s", text);
}

static void note_gone(void *opaque, const struct catalog_entry *entry)
{
	const char *name = catalog_entry_name(entry);

	cr_assert_eq(opaque, &detail);
	append(gone, name ? name : catalog_entry_path(entry));
	append(gone, " ");
}

static void setup(void)
{
	cr_assert_eq(catalog_new(note_gone, &detail, &catalog), 0);
}

static void teardown(void)
{
	catalog = catalog_free(catalog);
}

TestSuite(catalog, .init = setup, .fini = teardown);

static struct catalog_registration sample(const char *name, const char *path)
{
	return (struct catalog_registration){
		.name = name,
		.path = path,
		.memory = memfd_create("memory", MFD_CLOEXEC),
		.state = memfd_create("state", MFD_CLOEXEC),
		.folder = { .fd = -1 },
		.summary = { .shape = { .vcpus = 2, .memory_size = 1 << 20 }, .state_crc64 = 7, .chunk_count = 1 },
	};
}

static struct catalog_entry *add(const char *name)
{
	struct catalog_registration registration = sample(name, "/snapshots/it");
	struct catalog_entry *entry = NULL;

	cr_assert_eq(catalog_register(catalog, &registration, false, &entry, &detail), 0, "%s", detail.text);
	cr_assert_not_null(entry);
	return entry;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(catalog, names)
{
	static const char *const good[] = { "a", "0", "py312", "A.b-c_d",
					    "x............................................................--" };
	static const char *const bad[] = {
		"",    ".",        "-a", "_a",  "a/b",
		"a b", "\xc3\xa4", "/a", "a\n", "x.............................................................---"
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_assert(catalog_name_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_not(catalog_name_is_valid(bad[i]), "%s", bad[i]);
}

Test(catalog, finds_what_was_registered)
{
	struct catalog_entry *entry = add("one");

	cr_assert_eq(catalog_find(catalog, "one"), entry);
	cr_assert_null(catalog_find(catalog, "on"));
	cr_assert_null(catalog_find(catalog, "one1"));
	cr_assert_str_eq(catalog_entry_name(entry), "one");
	cr_assert_str_eq(catalog_entry_path(entry), "/snapshots/it");
	cr_assert_eq(catalog_entry_summary(entry)->shape.vcpus, 2);
	cr_assert_eq(catalog_entry_summary(entry)->state_crc64, 7);
	cr_assert(is_open(catalog_entry_memory(entry)));
	cr_assert(is_open(catalog_entry_state(entry)));
}

Test(catalog, lists_in_order_of_name)
{
	static const char *const names[] = { "m", "c", "z", "a", "q", "b", "y", "d", "x", "e",
					     "w", "f", "v", "g", "u", "h", "t", "i", "s", "j" };
	size_t count = sizeof(names) / sizeof(names[0]);

	for (size_t i = 0; i < count; i++)
		(void)add(names[i]);
	cr_assert_eq(catalog_count(catalog), count);
	for (size_t i = 1; i < count; i++)
		cr_assert_lt(strcmp(catalog_entry_name(catalog_at(catalog, i - 1)),
				    catalog_entry_name(catalog_at(catalog, i))),
			     0);
	cr_assert_null(catalog_at(catalog, count));
	for (size_t i = 0; i < count; i++)
		cr_assert_str_eq(catalog_entry_name(catalog_find(catalog, names[i])), names[i]);
	for (size_t i = 0; i < count; i += 2)
		cr_assert_eq(catalog_remove(catalog, catalog_find(catalog, names[i]), false), 0);
	for (size_t i = 0; i < count; i++)
		cr_assert_eq(catalog_find(catalog, names[i]) != NULL, i % 2 == 1, "%s", names[i]);
}

Test(catalog, refuses_what_is_wrong_and_leaves_the_descriptors)
{
	static const struct {
		const char *name;
		const char *path;
		int error;
	} bad[] = {
		{ "a/b", "/x", -EINVAL },   { "ok", "relative", -EINVAL }, { "ok", "", -EINVAL },
		{ "ok", "/\xff", -EINVAL }, { NULL, "relative", -EINVAL }, { "taken", "/x", -EEXIST },
	};

	(void)add("taken");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct catalog_registration registration = sample(bad[i].name, bad[i].path);
		struct catalog_entry *entry = NULL;

		detail.text[0] = '\0';
		cr_assert_eq(catalog_register(catalog, &registration, false, &entry, &detail), bad[i].error, "%zu", i);
		cr_assert_null(entry);
		cr_assert_neq(detail.text[0], '\0');
		cr_assert(is_open(registration.memory) && is_open(registration.state));
		(void)close(registration.memory);
		(void)close(registration.state);
	}
	cr_assert_eq(catalog_count(catalog), 1);
}

Test(catalog, removes_at_once_what_nobody_holds)
{
	struct catalog_entry *entry = add("one");
	int memory = catalog_entry_memory(entry);
	int state = catalog_entry_state(entry);

	cr_assert_eq(catalog_remove(catalog, entry, false), 0);
	cr_assert_str_eq(gone, "one ");
	cr_assert_null(catalog_find_any(catalog, "one"));
	cr_assert_not(is_open(memory));
	cr_assert_not(is_open(state));
}

Test(catalog, says_who_holds_it)
{
	struct catalog_entry *entry = add("one");
	const uint64_t *holders;
	size_t count;

	for (uint64_t i = 1; i <= 20; i++)
		cr_assert_eq(catalog_hold(entry, i * 10), 0);
	cr_assert_eq(catalog_hold(entry, 10), -EEXIST);
	cr_assert_eq(catalog_release(catalog, entry, 11), -ENOENT);
	cr_assert_eq(catalog_release(catalog, entry, 20), 0);
	cr_assert_eq(catalog_remove(catalog, entry, false), -EBUSY);
	cr_assert_eq(catalog_find(catalog, "one"), entry, "a refused removal changes nothing");

	holders = catalog_entry_holders(entry, &count);
	cr_assert_eq(count, 19);
	cr_assert_eq(holders[0], 10);
	cr_assert_eq(holders[1], 30);
	cr_assert_eq(holders[18], 200);
}

Test(catalog, removal_waits_for_the_last_holder)
{
	struct catalog_registration again = sample("one", "/snapshots/it");
	struct catalog_entry *entry = add("one");

	cr_assert_eq(catalog_hold(entry, 1), 0);
	cr_assert_eq(catalog_hold(entry, 2), 0);
	cr_assert_eq(catalog_remove(catalog, entry, true), -EINPROGRESS);
	cr_assert_eq(catalog_remove(catalog, entry, false), -EINPROGRESS);
	cr_assert(catalog_entry_is_being_removed(entry));
	cr_assert_null(catalog_find(catalog, "one"));
	cr_assert_eq(catalog_find_any(catalog, "one"), entry);
	cr_assert_eq(catalog_hold(entry, 3), -ESHUTDOWN);
	cr_assert_eq(catalog_register(catalog, &again, true, NULL, &detail), -EBUSY);

	cr_assert_eq(catalog_release(catalog, entry, 1), 0);
	cr_assert_str_eq(gone, "");
	cr_assert_eq(catalog_release(catalog, entry, 2), 0);
	cr_assert_str_eq(gone, "one ");
	cr_assert_null(catalog_find_any(catalog, "one"));
	cr_assert_eq(catalog_register(catalog, &again, false, NULL, &detail), 0, "the name is free again");
}

Test(catalog, a_removal_can_be_taken_back)
{
	struct catalog_entry *entry = add("one");

	cr_assert_eq(catalog_hold(entry, 1), 0);
	cr_assert_eq(catalog_remove(catalog, entry, true), -EINPROGRESS);
	catalog_keep(entry);
	cr_assert_eq(catalog_find(catalog, "one"), entry);
	cr_assert_eq(catalog_release(catalog, entry, 1), 0);
	cr_assert_str_eq(gone, "");
	cr_assert_eq(catalog_find(catalog, "one"), entry);
}

Test(catalog, a_replaced_snapshot_stays_for_who_uses_it)
{
	struct catalog_registration newer = sample("one", "/snapshots/newer");
	struct catalog_entry *old = add("one");
	struct catalog_entry *entry = NULL;
	int memory = catalog_entry_memory(old);

	cr_assert_eq(catalog_hold(old, 1), 0);
	cr_assert_eq(catalog_register(catalog, &newer, true, &entry, &detail), 0, "%s", detail.text);
	cr_assert_neq(entry, old);
	cr_assert_eq(catalog_find(catalog, "one"), entry);
	cr_assert_eq(catalog_count(catalog), 1);
	cr_assert(catalog_entry_was_replaced(old));
	cr_assert_not(catalog_entry_was_replaced(entry));
	cr_assert_str_eq(catalog_entry_name(old), "one");
	cr_assert(is_open(memory));
	cr_assert_eq(catalog_release(catalog, old, 1), 0);
	cr_assert_not(is_open(memory));
	cr_assert_str_eq(gone, "one ");
	cr_assert_eq(catalog_find(catalog, "one"), entry);

	newer = sample("one", "/snapshots/newest");
	cr_assert_eq(catalog_register(catalog, &newer, true, NULL, &detail), 0);
	cr_assert_str_eq(gone, "one one ", "nobody held it");
	cr_assert_eq(catalog_count(catalog), 1);
}

Test(catalog, an_anonymous_one_lives_by_its_holders)
{
	struct catalog_registration registration = sample(NULL, "/tmp/anonymous");
	struct catalog_entry *first = NULL;
	struct catalog_entry *second = NULL;

	cr_assert_eq(catalog_register(catalog, &registration, false, &first, &detail), 0);
	registration = sample(NULL, "/tmp/anonymous");
	cr_assert_eq(catalog_register(catalog, &registration, false, &second, &detail), 0);
	cr_assert_eq(catalog_count(catalog), 0);
	cr_assert_null(catalog_entry_name(first));
	cr_assert_null(catalog_find(catalog, "/tmp/anonymous"));
	cr_assert_eq(catalog_hold(first, 1), 0);
	cr_assert_eq(catalog_release(catalog, first, 1), 0);
	cr_assert_str_eq(gone, "/tmp/anonymous ");
	cr_assert_eq(catalog_remove(catalog, second, false), 0, "one that never got a holder");
	cr_assert_str_eq(gone, "/tmp/anonymous /tmp/anonymous ");
}

static void collect_line(char list[static LIST_SIZE], const struct catalog_line *line)
{
	append(list, line->path);
	if (line->devices) {
		append(list, "+");
		append(list, json_string_value(json_object_get(line->devices, "kind")));
	}
	if (line->is_known)
		append(list, line->state_crc64 == 7 ? "#7" : "#");
}

static int collect(void *opaque, const struct catalog_line *line, const struct catalog_line *next)
{
	char *list = opaque;

	append(list, line ? line->name : next->name);
	append(list, "=");
	if (line)
		collect_line(list, line);
	if (next) {
		append(list, "->");
		collect_line(list, next);
	}
	append(list, ";");
	return line && strcmp(line->name, "stop") == 0 ? -ECANCELED : 0;
}

Test(catalog, text_there_and_back)
{
	struct catalog_registration registration = sample("b", "/snap\"shots/\xc3\xa4");
	char list[LIST_SIZE] = "";
	size_t size;
	char *text;

	cr_assert_eq(catalog_to_text(catalog, &text, &size), 0);
	cr_assert_eq(catalog_from_text(text, size, collect, list, &detail), 0, "%s", detail.text);
	cr_assert_str_eq(list, "");
	free(text);

	cr_assert_eq(catalog_register(catalog, &registration, false, NULL, &detail), 0);
	(void)add("a");
	cr_assert_eq(catalog_hold(add("going"), 1), 0);
	cr_assert_eq(catalog_remove(catalog, catalog_find(catalog, "going"), true), -EINPROGRESS);
	registration = sample(NULL, "/anonymous");
	cr_assert_eq(catalog_register(catalog, &registration, false, NULL, &detail), 0);
	registration = sample("c", "/c");
	registration.devices = json_pack("{s:s, s:[{s:i}], s:b}", "kind", "disks", "drives", "size", 7, "x", 1);
	cr_assert_eq(catalog_register(catalog, &registration, false, NULL, &detail), 0);
	json_decref(registration.devices);

	cr_assert_eq(catalog_to_text(catalog, &text, &size), 0);
	cr_assert_eq(text[size - 1], '\n');
	cr_assert_eq(catalog_from_text(text, size, collect, list, &detail), 0, "%s", detail.text);
	cr_assert_str_eq(list, "a=/snapshots/it#7;b=/snap\"shots/\xc3\xa4#7;c=/c+disks#7;");
	free(text);
}

Test(catalog, bad_texts)
{
	static const struct {
		const char *text;
		const char *why;
	} bad[] = {
		{ "", "line 1" },
		{ "[]", "must be an object" },
		{ "{}", "format: missing" },
		{ "{\"format\": 3, \"snapshots\": []}", "format: must be from 1 to 2" },
		{ "{\"format\": 1}", "must have a format and snapshots" },
		{ "{\"format\": 1, \"snapshots\": {}}", "snapshots: must be an array" },
		{ "{\"format\": 1, \"snapshots\": [], \"x\": 1}", "nothing else" },
		{ "{\"format\": 1, \"format\": 1, \"snapshots\": []}", "duplicate" },
		{ "{\"format\": 1, \"snapshots\": [1]}", "snapshots[0]: must be an object" },
		{ "{\"format\": 1, \"snapshots\": [{\"name\": \"a\"}]}", "snapshots[0].path: must be a string" },
		{ "{\"format\": 1, \"snapshots\": [{\"name\": 1, \"path\": \"/\"}]}",
		  "snapshots[0].name: must be a string" },
		{ "{\"format\": 1, \"snapshots\": [{\"name\": \"../a\", \"path\": \"/\"}]}", "name that is none" },
		{ "{\"format\": 1, \"snapshots\": [{\"name\": \"a\", \"path\": \"b\"}]}", "not absolute" },
		{ "{\"format\": 1, \"snapshots\": [{\"name\": \"a\", \"path\": \"/\", \"x\": 1}]}", "not known" },
		{ "{\"format\": 2, \"snapshots\": [{\"name\": \"a\", \"path\": \"/\", \"id\": \"x\"}]}", "has an id" },
		{ "{\"format\": 2, \"snapshots\": [{\"name\": \"a\", \"path\": \"/\", \"inode\": 1}]}", "or neither" },
		{ "{\"format\": 2, \"snapshots\": [{\"name\": \"a\", \"next\": {\"path\": \"/\"}}]}",
		  "next: must have state_crc64" },
		{ "{\"format\": 1, \"snapshots\": [{\"name\": \"a\", \"path\": \"/\", \"devices\": 1}]}",
		  "devices that are no object" },
		{ "{\"format\": 1, \"snapshots\": []} x", "line 1" },
	};
	char list[LIST_SIZE] = "";

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(catalog_from_text(bad[i].text, strlen(bad[i].text), collect, list, &detail), -EINVAL, "%s",
			     bad[i].text);
		cr_assert(strstr(detail.text, bad[i].why), "%s: %s", bad[i].text, detail.text);
	}
	cr_assert_eq(catalog_from_text("", CATALOG_TEXT_MAX + 1, collect, list, &detail), -EFBIG);
	cr_assert_str_eq(list, "");
}

Test(catalog, a_visit_can_stop)
{
	static const char text[] = "{\"format\": 1, \"snapshots\": [{\"name\": \"stop\", \"path\": \"/1\"}, "
				   "{\"name\": \"b\", \"path\": \"/2\"}]}";
	char list[LIST_SIZE] = "";

	cr_assert_eq(catalog_from_text(text, strlen(text), collect, list, &detail), -ECANCELED);
	cr_assert_str_eq(list, "stop=/1;");
}

/* ---- names and objects ---- */

static struct catalog_registration in_folder(const char *name, const char *path, uint64_t inode)
{
	struct catalog_registration registration = sample(name, path);

	registration.folder = (struct catalog_folder){ .fd = memfd_create("folder", MFD_CLOEXEC), 1, inode };
	return registration;
}

static struct catalog_line line_of(const char *name, uint64_t crc)
{
	return (struct catalog_line){ .name = name, .path = "/p", .is_known = true, .state_crc64 = crc, .inode = 5 };
}

Test(catalog, every_snapshot_has_an_id_of_its_own)
{
	const char *one = catalog_entry_id(add("one"));

	cr_assert_eq(strlen(one), CATALOG_ID_SIZE - 1);
	cr_assert_str_neq(one, catalog_entry_id(add("two")));
}

Test(catalog, a_folder_is_found_whatever_it_is_called)
{
	struct catalog_registration registration = in_folder("one", "/p", 5);
	struct catalog_entry *one, *two;

	cr_assert_eq(catalog_register(catalog, &registration, false, &one, &detail), 0);
	registration = in_folder("two", "/q", 6);
	cr_assert_eq(catalog_register(catalog, &registration, false, &two, &detail), 0);
	cr_assert_eq(catalog_find_folder(catalog, 1, 5, NULL), one);
	cr_assert_eq(catalog_find_folder(catalog, 1, 6, NULL), two);
	cr_assert_null(catalog_find_folder(catalog, 2, 5, NULL), "another device");
	cr_assert_null(catalog_find_folder(catalog, 1, 5, one));

	/* As catalogs had them once: two names of one folder, both of which stay. */
	registration = in_folder("three", "/p", 5);
	cr_assert_eq(catalog_register(catalog, &registration, false, &two, &detail), 0);
	cr_assert_eq(catalog_find_folder(catalog, 1, 5, one), two);
	cr_assert_null(catalog_find_folder(catalog, 1, 5, two));
}

Test(catalog, one_without_a_name_keeps_its_holders_when_it_gets_one)
{
	struct catalog_registration registration = in_folder(NULL, "/p", 5);
	struct catalog_entry *entry, *named;

	cr_assert_eq(catalog_register(catalog, &registration, false, &entry, &detail), 0);
	cr_assert_eq(catalog_hold(entry, 1), 0);
	registration = in_folder("one", "/link/p", 5);
	cr_assert_eq(catalog_register(catalog, &registration, false, &named, &detail), 0);
	cr_assert_eq(named, entry);
	cr_assert_eq(catalog_find(catalog, "one"), entry);
	cr_assert_not(is_open(registration.memory), "the first's descriptors stay, the second's do not");
	cr_assert_eq(catalog_remove(catalog, entry, false), -EBUSY);
	cr_assert_eq(catalog_release(catalog, entry, 1), 0);
	cr_assert_eq(catalog_find(catalog, "one"), entry);
	cr_assert_eq(catalog_remove(catalog, entry, false), 0);
}

Test(catalog, what_cannot_be_read_stays_and_comes_back)
{
	const struct catalog_line line = line_of("one", 7);
	struct catalog_registration files = in_folder("one", "/p", 5);
	struct catalog_entry *entry, *revived;
	size_t size;
	char *text, list[LIST_SIZE] = "";

	cr_assert_eq(catalog_add_line(catalog, &line, &detail), 0);
	entry = catalog_find(catalog, "one");
	cr_assert_eq(catalog_entry_status(entry), CATALOG_LOADING);
	cr_assert_not(catalog_entry_is_complete(entry));
	catalog_mark_unavailable(entry, "not mounted");
	cr_assert_eq(catalog_entry_status(entry), CATALOG_UNAVAILABLE);
	cr_assert_str_eq(catalog_entry_reason(entry), "not mounted");
	cr_assert_eq(catalog_to_text(catalog, &text, &size), 0);
	cr_assert_eq(catalog_from_text(text, size, collect, list, &detail), 0, "%s", detail.text);
	cr_assert_str_eq(list, "one=/p#7;");
	free(text);

	files.summary.state_crc64 = 8;
	cr_assert_eq(catalog_revive(catalog, entry, &files, &revived, &detail), -ESTALE);
	cr_assert(strstr(detail.text, "another snapshot"), "%s", detail.text);
	files.summary.state_crc64 = 7;
	cr_assert_eq(catalog_revive(catalog, entry, &files, &revived, &detail), 0);
	cr_assert_eq(revived, entry);
	cr_assert_eq(catalog_entry_status(entry), CATALOG_AVAILABLE);
	cr_assert_null(catalog_entry_reason(entry));

	/* Its folder moves away and back: it holds it still. */
	catalog_mark_unavailable(entry, "moved");
	cr_assert_eq(catalog_hold(entry, 1), 0);
	files = in_folder("one", "/p", 5);
	cr_assert_eq(catalog_revive(catalog, entry, &files, &revived, &detail), 0);
	cr_assert_eq(revived, entry);
	cr_assert_not(is_open(files.memory));

	/* It is copied back: another folder, the same snapshot. */
	catalog_mark_unavailable(entry, "moved");
	files = in_folder("one", "/p", 6);
	cr_assert_eq(catalog_revive(catalog, entry, &files, &revived, &detail), 0);
	cr_assert_neq(revived, entry);
	cr_assert_str_eq(catalog_entry_id(revived), catalog_entry_id(entry));
	cr_assert_eq(catalog_find(catalog, "one"), revived);
	cr_assert_eq(catalog_release(catalog, entry, 1), 0);
	cr_assert_str_eq(gone, "one ");
}

Test(catalog, what_is_about_to_take_a_name_is_in_the_text)
{
	const struct catalog_line first = line_of("one", 8), second = line_of("two", 7);
	char list[LIST_SIZE] = "";
	size_t size;
	char *text;

	(void)add("one");
	cr_assert_eq(catalog_intend(catalog, &first, &detail), 0);
	cr_assert_eq(catalog_intend(catalog, &second, &detail), 0);
	cr_assert_eq(catalog_count(catalog), 1);
	cr_assert_null(catalog_find_any(catalog, "two"));
	cr_assert_eq(catalog_intention(catalog, "two")->inode, 5);
	cr_assert_eq(catalog_to_text(catalog, &text, &size), 0);
	cr_assert_eq(catalog_from_text(text, size, collect, list, &detail), 0, "%s\n%s", detail.text, text);
	cr_assert_str_eq(list, "one=/snapshots/it#7->/p#;two=->/p#7;");
	free(text);

	catalog_forget_intention(catalog, "one");
	catalog_forget_intention(catalog, "two");
	cr_assert_null(catalog_intention(catalog, "one"));
	cr_assert_eq(catalog_to_text(catalog, &text, &size), 0);
	list[0] = '\0';
	cr_assert_eq(catalog_from_text(text, size, collect, list, &detail), 0);
	cr_assert_str_eq(list, "one=/snapshots/it#7;");
	free(text);
}

Test(catalog, a_text_of_format_1_is_taken_over)
{
	static const char text[] = "{\n\t\"format\": 1,\n\t\"snapshots\": [\n\t\t{\n\t\t\t\"name\": \"a\",\n"
				   "\t\t\t\"path\": \"/one\",\n\t\t\t\"devices\": {\"kind\": \"disks\"}\n\t\t},\n"
				   "\t\t{\n\t\t\t\"name\": \"b\",\n\t\t\t\"path\": \"/one\"\n\t\t}\n\t]\n}\n";
	char list[LIST_SIZE] = "";

	cr_assert_eq(catalog_from_text(text, strlen(text), collect, list, &detail), 0, "%s", detail.text);
	cr_assert_str_eq(list, "a=/one+disks;b=/one;");
}

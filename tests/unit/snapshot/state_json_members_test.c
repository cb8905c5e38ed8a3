/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every member of a state.json, one at a time: missing, of another kind, out of range, too many; and what is special
 * about some. The walk goes over a document as it was written: a field that a table gains is tested from then on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "sample.h"

static struct sample back;
static struct error_detail detail;

static int read_text(const char *text, size_t size)
{
	return sample_read(text, size, &back, &detail);
}

enum mutation {
	MUTATE_REMOVE,
	MUTATE_KIND,
	MUTATE_LOW,
	MUTATE_HIGH,
	MUTATE_COUNT,
};

static json_t *document;
static size_t mutations;

/* Names of what has no fixed number of elements, so that one fewer is as good. */
static bool is_open_ended(const char *path)
{
	static const char *const names[] = { ".xcrs.xcrs", ".msrs",  ".cpuid",    ".xsave",
					     ".fifo",      ".input", ".metadata", "devices" };
	size_t length = strlen(path);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (length >= strlen(names[i]) && strcmp(path + length - strlen(names[i]), names[i]) == 0)
			return true;
	return false;
}

/* What cannot stand in that place; NULL where the mutation makes no sense. */
static json_t *wrong_value(const json_t *value, enum mutation mutation, const char *path)
{
	json_t *wrong;

	switch (mutation) {
	case MUTATE_KIND:
		if (json_is_string(value))
			return json_integer(1);
		return json_is_object(value) ? json_array() : json_is_array(value) ? json_object() : json_string("1");
	case MUTATE_LOW:
		if (json_is_integer(value))
			return json_integer(-2147483649LL);
		return json_is_string(value) ? json_string("") : NULL;
	case MUTATE_HIGH:
		if (json_is_integer(value))
			return json_integer(1LL << 40);
		return json_is_string(value) ? json_string("0x1ffffffffffffffffffffffffffffffff") : NULL;
	case MUTATE_COUNT:
		if (json_is_array(value) && json_array_size(value) > 0 && !is_open_ended(path)) {
			wrong = json_copy((json_t *)value);
			(void)json_array_remove(wrong, 0);
			return wrong;
		}
		if (json_is_array(value)) {
			wrong = json_copy((json_t *)value);
			while (json_array_size(wrong) <= 520)
				(void)json_array_append_new(wrong, json_integer(1));
			return wrong;
		}
		return NULL;
	case MUTATE_REMOVE:
		break;
	}
	return NULL;
}

static void expect_named(const char *path, enum mutation mutation)
{
	size_t size;
	char *text = sample_seal(document, &size);
	int r = read_text(text, size);

	cr_assert_eq(r, -EINVAL, "%s, mutation %d: %d", path, mutation, r);
	cr_assert_eq(strncmp(detail.text, path, strlen(path)), 0, "%s, mutation %d: \"%s\"", path, mutation,
		     detail.text);
	if (mutation == MUTATE_REMOVE)
		cr_assert(strstr(detail.text, ": missing"), "%s", detail.text);
	free(text);
	mutations++;
}

static void visit(json_t *value, const char *path);

static void mutate_member(json_t *object, const char *key, json_t *value, const char *path)
{
	for (enum mutation mutation = MUTATE_REMOVE; mutation <= MUTATE_COUNT; mutation++) {
		json_t *wrong = wrong_value(value, mutation, path);

		if (mutation != MUTATE_REMOVE && !wrong)
			continue;
		json_incref(value);
		if (wrong)
			(void)json_object_set_new(object, key, wrong);
		else
			(void)json_object_del(object, key);
		expect_named(path, mutation);
		(void)json_object_set_new(object, key, value);
	}
}

static void mutate_element(json_t *array, size_t index, json_t *value, const char *path)
{
	for (enum mutation mutation = MUTATE_KIND; mutation <= MUTATE_COUNT; mutation++) {
		json_t *wrong = wrong_value(value, mutation, path);

		if (!wrong)
			continue;
		json_incref(value);
		(void)json_array_set_new(array, index, wrong);
		expect_named(path, mutation);
		(void)json_array_set_new(array, index, value);
	}
}

static void add_unknown(json_t *object, const char *path)
{
	size_t size;
	char *text;

	(void)json_object_set_new(object, "surprise", json_integer(1));
	text = sample_seal(document, &size);
	cr_assert_eq(read_text(text, size), -EINVAL, "%s", path);
	cr_assert(strstr(detail.text, "unknown member \"surprise\"") && strstr(detail.text, path), "%s: \"%s\"", path,
		  detail.text);
	(void)json_object_del(object, "surprise");
	free(text);
}

static void visit_members(json_t *object, const char *path)
{
	json_t *keys = json_copy(object); /* what is removed and put back moves to the end */
	const char *key;
	json_t *value;

	add_unknown(object, path);
	json_object_foreach(keys, key, value) {
		char member[192];

		if (strcmp(key, "magic") == 0 || strcmp(key, "format") == 0 || strcmp(key, "crc64") == 0)
			continue;
		(void)snprintf(member, sizeof(member), "%s%s%s", path, *path ? "." : "", key);
		mutate_member(object, key, value, member);
		visit(value, member);
	}
	json_decref(keys);
}

static void visit(json_t *value, const char *path)
{
	if (json_is_object(value))
		visit_members(value, path);
	if (!json_is_array(value))
		return;
	for (size_t i = 0; i < json_array_size(value); i++) {
		char element[192];

		(void)snprintf(element, sizeof(element), "%s[%zu]", path, i);
		mutate_element(value, i, json_array_get(value, i), element);
		visit(json_array_get(value, i), element);
	}
}

Test(state_json_members, every_member_missing_mistyped_out_of_range_or_unknown, .timeout = 600)
{
	struct sample *sample = sample_new(1, 2);
	size_t size;
	char *text = sample_text(sample, &size);

	document = json_loadb(text, size, 0, NULL);
	cr_assert_not_null(document);
	visit(document, "");
	cr_assert_gt(mutations, 2000, "%zu", mutations);
	free(text);

	text = sample_seal(document, &size);
	cr_assert_eq(read_text(text, size), 0, "the document as it was is still good: %s", detail.text);
	sample_expect_same(&back, sample);
	free(text);
	json_decref(document);
	free(sample);
}

/* Fields whose bound is tighter than their type: one more than each table's greatest is refused with its name. */
static json_t *find(const char *path, json_t **ret_parent, const char **ret_key)
{
	static char name[192];
	json_t *value = document;
	char *part;

	(void)snprintf(name, sizeof(name), "%s", path);
	for (part = strtok(name, "."); part; part = strtok(NULL, ".")) {
		char *bracket = strchr(part, '[');
		size_t index = 0;

		if (bracket) {
			index = strtoul(bracket + 1, NULL, 10);
			*bracket = '\0';
		}
		*ret_parent = value;
		*ret_key = part;
		value = json_object_get(value, part);
		if (bracket)
			value = json_array_get(value, index);
	}
	return value;
}

Test(state_json_members, bounds_that_are_tighter_than_a_type)
{
	static const struct {
		const char *path;
		json_int_t bad;
	} bounds[] = {
		{ "vcpu_count", 0 },
		{ "vcpu_count", 9 },
		{ "memory_size", 0 },
		{ "memory_size", (3LL << 30) + (1 << 20) },
		{ "memory.chunk_size", 4096 },
		{ "host.xsave_size", VCPU_XSAVE_MAX + 1 },
		{ "irqchip.pit.channels[2].count", 65537 },
		{ "vcpus[0].mp_state", 11 },
		{ "vcpus[0].sregs.cs.type", 16 },
		{ "vcpus[0].sregs.ss.dpl", 4 },
		{ "vcpus[0].sregs.tr.present", 2 },
		{ "vcpus[0].events.exception.nr", 32 },
		{ "vcpus[0].events.interrupt.shadow", 4 },
		{ "vcpus[0].events.triple_fault.pending", 2 },
	};
	struct sample *sample = sample_new(1, 2);
	size_t size;
	char *text = sample_text(sample, &size);

	document = json_loadb(text, size, 0, NULL);
	free(text);
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		json_t *parent = NULL;
		const char *key = NULL;
		json_t *value = find(bounds[i].path, &parent, &key);

		cr_assert(json_is_integer(value), "%s", bounds[i].path);
		json_incref(value);
		(void)json_object_set_new(parent, key, json_integer(bounds[i].bad));
		text = sample_seal(document, &size);
		cr_assert_eq(read_text(text, size), -EINVAL, "%s", bounds[i].path);
		cr_assert_eq(strncmp(detail.text, bounds[i].path, strlen(bounds[i].path)), 0, "%s: %s", bounds[i].path,
			     detail.text);
		(void)json_object_set_new(parent, key, value);
		free(text);
	}
	json_decref(document);
	free(sample);
}

/* Put a string into a member, and expect a refusal that says why. */
static void expect_string_refused(const char *path, const char *bad, const char *why)
{
	json_t *parent = NULL;
	const char *key = NULL;
	json_t *value = find(path, &parent, &key);
	size_t size;
	char *text;

	cr_assert(json_is_string(value), "%s", path);
	json_incref(value);
	(void)json_object_set_new(parent, key, json_string(bad));
	text = sample_seal(document, &size);
	cr_assert_eq(read_text(text, size), -EINVAL, "%s = \"%s\"", path, bad);
	cr_assert(strstr(detail.text, why), "%s = \"%s\": %s", path, bad, detail.text);
	(void)json_object_set_new(parent, key, value);
	free(text);
}

Test(state_json_members, strings_have_one_form)
{
	struct sample *sample = sample_new(1, 2);
	size_t size;
	char *text = sample_text(sample, &size);

	document = json_loadb(text, size, 0, NULL);
	free(text);
	expect_string_refused("vcpus[0].sregs.cr3", "0x", "vcpus[0].sregs.cr3: must be");
	expect_string_refused("vcpus[0].sregs.cr3", "0xFF", "digits");
	expect_string_refused("vcpus[0].sregs.cr3", "ff", "digits");
	expect_string_refused("vcpus[0].sregs.cr3", "0x-1", "digits");
	expect_string_refused("vcpus[0].sregs.cr3", "0x 1", "digits");
	expect_string_refused("vcpus[0].sregs.cs.limit", "0x100000000", "at most 0xffffffff");
	expect_string_refused("vcpus[0].fpu.mxcsr", "0x1ffffffff", "at most 0xffffffff");
	expect_string_refused("created", "2025-01-02T03:04:05Z", "created: must be a time");
	expect_string_refused("created", "2025-13-02T03:04:05.000000006Z", "created: must be a time");
	expect_string_refused("created", "2025-02-30T03:04:05.000000006Z", "created: must be a time");
	expect_string_refused("created", "2025-01-02T03:04:05.000000006+", "created: must be a time");
	expect_string_refused("created", "1969-01-02T03:04:05.000000006Z", "created: must be a time");
	expect_string_refused("cpu_template", "quantum", "quantum");
	expect_string_refused("cpu_template", "\x01", "cpu_template: must hold nothing but printable");
	expect_string_refused("memory.file", "../secret", "memory");
	expect_string_refused("memory.file", "memory.snaq", "memory.snap");
	json_decref(document);
	free(sample);
}

Test(state_json_members, rows_have_their_own_rules)
{
	static const struct {
		const char *path;
		const char *key;
		json_int_t number;
		const char *text;
		const char *why;
	} rows[] = {
		{ "devices[0]", "name", 0, "flux_capacitor", "no device \"flux_capacitor\"" },
		{ "devices[0]", "name", 0, "i8042", "devices[0].state" },
		{ "devices[0]", "name", 0, "a_name_of_more_than_23_bytes", "devices[0].name: must have 1 to 23" },
		{ "vcpus[0].msrs[1]", "name", 0, "IA32_FOO", "vcpus[0].msrs[1].name: must be" },
		{ "vcpus[0].msrs[0]", "index", 0, "0x00000001", "vcpus[0].msrs[0].name: must be" },
	};
	struct sample *sample = sample_new(1, 2);
	size_t size;
	char *text = sample_text(sample, &size);

	document = json_loadb(text, size, 0, NULL);
	free(text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *parent = NULL;
		const char *key = NULL;
		json_t *row = find(rows[i].path, &parent, &key);
		json_t *value = json_incref(json_object_get(row, rows[i].key));

		(void)json_object_set_new(row, rows[i].key, json_string(rows[i].text));
		text = sample_seal(document, &size);
		cr_assert_eq(read_text(text, size), -EINVAL, "%s = %s", rows[i].path, rows[i].text);
		cr_assert(strstr(detail.text, rows[i].why), "%s = %s: %s", rows[i].path, rows[i].text, detail.text);
		(void)json_object_set_new(row, rows[i].key, value);
		free(text);
	}
	json_decref(document);
	free(sample);
}

Test(state_json_members, the_same_device_twice)
{
	struct sample *sample = sample_new(1, 1);
	size_t size;
	char *text = sample_text(sample, &size);
	json_t *devices;

	document = json_loadb(text, size, 0, NULL);
	free(text);
	devices = json_object_get(document, "devices");
	(void)json_array_append(devices, json_array_get(devices, 0));
	text = sample_seal(document, &size);
	cr_assert_eq(read_text(text, size), -EINVAL);
	cr_assert(strstr(detail.text, "a second serial"), "%s", detail.text);
	free(text);
	json_decref(document);
	free(sample);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of devices: from a boot's parameters, through what a snapshot remembers, to a restore's.
 */
#include "server/devices/record.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/method.h"
#include "server/cleanup.h"

static struct rpc_error error = RPC_ERROR_INIT;

/* Validated parameters, as a method is handed them. */
static json_t *params_of(const char *method, const char *text)
{
	cleanup_json json_t *given = json_loads(text, 0, NULL);
	json_t *params = NULL;

	cr_assert_eq(method_validate(method_find(method), given, &params, &error), 0, "%s: %s", text, error.message);
	return params;
}

static json_t *boot_record(const char *text)
{
	cleanup_json json_t *params = params_of("vm.boot", text);
	json_t *record = NULL;

	cr_assert_eq(record_for_boot(params, &record, &error), 0, "%s: %s", text, error.message);
	return record;
}

/* What a snapshot of a VM that was booted so remembers. */
static json_t *memory_of(const char *text, int drives)
{
	cleanup_json json_t *record = boot_record(text), *images = json_array();
	struct error_detail detail = { "" };
	json_t *memory;

	for (int i = 0; i < drives; i++)
		(void)json_array_append_new(images, json_pack("{s:i, s:i}", "size", 512, "changed_ns", 7));
	memory = record_memory(record, images);
	cr_assert_eq(record_check(memory, &detail), 0, "%s", detail.text);
	return memory;
}

static int restore(const json_t *memory, const struct machine_shape *shape, unsigned int has_base, const char *text,
		   json_t **ret_record, json_t **ret_images)
{
	cleanup_json json_t *params = params_of("vm.restore", text);

	return record_for_restore(memory, shape, has_base, params, ret_record, ret_images, &error);
}

static void expect_restored(const json_t *memory, const struct machine_shape *shape, const char *text,
			    const char *expected)
{
	cleanup_json json_t *record = NULL, *images = NULL, *wanted = json_loads(expected, 0, NULL);

	cr_assert_eq(restore(memory, shape, 0, text, &record, &images), 0, "%s: %s", text, error.message);
	cr_assert_not_null(wanted, "%s", expected);
	cr_expect(json_equal(record, wanted), "%s gave %s", text, json_dumps(record, JSON_SORT_KEYS));
}

static void expect_refused(const json_t *memory, const struct machine_shape *shape, unsigned int has_base,
			   const char *text, enum rpc_code code, const char *field)
{
	json_t *record = NULL, *images = NULL;

	cr_expect_lt(restore(memory, shape, has_base, text, &record, &images), 0, "%s", text);
	cr_expect_null(record);
	cr_expect_null(images);
	cr_expect_eq(error.code, code, "%s: %s", text, error.message);
	cr_expect_str_eq(error.field, field, "%s: %s", text, error.message);
}

Test(device_record, a_kernel_has_entropy)
{
	cleanup_json json_t *with = boot_record("{\"kernel\": \"k\"}"), *without = boot_record("{}");
	cleanup_json json_t *limited = boot_record("{\"kernel\": \"k\", \"rng\": {\"bytes_per_second\": 5}}");

	cr_expect_eq(json_object_size(json_object_get(with, "rng")), 0);
	cr_expect(json_is_object(json_object_get(with, "rng")));
	cr_expect_null(json_object_get(without, "rng"));
	cr_expect_eq(json_integer_value(json_object_get(json_object_get(limited, "rng"), "bytes_per_second")), 5);
}

Test(device_record, drives_are_restored_by_the_table)
{
	static const struct machine_shape shape = { .disks = 4 };
	cleanup_json json_t *memory = memory_of(
		"{\"drives\": [{\"path\": \"/i0\", \"read_only\": true}, {\"path\": \"/i1\", \"overlay\": \"/a/o\"}, "
		"{\"path\": \"/i2\", \"overlay\": \"/o\", \"overlay_mib\": 3}, {\"path\": \"/i3\"}]}",
		4);

	expect_restored(memory, &shape, "{\"snapshot\": \"s\"}",
			"{\"drives\": [{\"path\": \"/i0\", \"read_only\": true}, "
			"{\"path\": \"/i1\", \"read_only\": false, \"overlay_folder\": \"/a\"}, "
			"{\"path\": \"/i2\", \"read_only\": false, \"overlay_folder\": \"/\", \"overlay_mib\": 3}, "
			"{\"path\": \"/i3\", \"read_only\": false}], \"net\": []}");
	expect_restored(memory, &shape,
			"{\"snapshot\": \"s\", \"drives\": [{}, {\"overlay\": \"/b\"}, {\"overlay_folder\": \"/c\"}, "
			"{\"overlay_folder\": \"/d\", \"path\": \"/j3\", \"serial\": \"x\"}]}",
			"{\"drives\": [{\"path\": \"/i0\", \"read_only\": true}, "
			"{\"path\": \"/i1\", \"read_only\": false, \"overlay\": \"/b\"}, "
			"{\"path\": \"/i2\", \"read_only\": false, \"overlay_folder\": \"/c\", \"overlay_mib\": 3}, "
			"{\"path\": \"/j3\", \"read_only\": false, \"overlay_folder\": \"/d\", \"serial\": \"x\"}], "
			"\"net\": []}");
	expect_refused(memory, &shape, 0, "{\"snapshot\": \"s\", \"drives\": [{\"overlay\": \"/b\"}]}",
		       RPC_INVALID_PARAMS, "drives[0].overlay");
	expect_refused(memory, &shape, 0, "{\"snapshot\": \"s\", \"drives\": [{}, {\"read_only\": true}]}",
		       RPC_INVALID_PARAMS, "drives[1].read_only");
	expect_refused(memory, &shape, 0, "{\"snapshot\": \"s\", \"drives\": [{}, {}, {}, {}, {}]}", RPC_INVALID_PARAMS,
		       "drives");
}

Test(device_record, an_image_that_is_elsewhere_may_have_another_time)
{
	static const struct machine_shape shape = { .disks = 2 };
	cleanup_json json_t *memory = memory_of("{\"drives\": [{\"path\": \"/i0\"}, {\"path\": \"/i1\"}]}", 2);
	cleanup_json json_t *record = NULL, *images = NULL, *wanted = NULL;

	cr_assert_eq(restore(memory, &shape, 0, "{\"snapshot\": \"s\", \"drives\": [{}, {\"path\": \"/j\"}]}", &record,
			     &images),
		     0);
	wanted = json_pack("[{s:i, s:i}, {s:i}]", "size", 512, "changed_ns", 7, "size", 512);
	cr_expect(json_equal(images, wanted), "%s", json_dumps(images, 0));
}

Test(device_record, interfaces_are_restored_by_the_table)
{
	static const struct machine_shape shape = { .nets = 2, .vsocks = 1, .rngs = 1 };
	cleanup_json json_t *memory =
		memory_of("{\"net\": [{\"tap\": \"t0\", \"mac\": \"02:00:00:00:00:01\"}, {\"tap_fd\": 3, \"mac\": "
			  "\"02:00:00:00:00:02\", \"offloads\": false}], \"vsock\": {\"cid\": 9, \"path\": \"/v\"}, "
			  "\"rng\": {\"bytes_per_second\": 5}}",
			  0);

	expect_restored(
		memory, &shape, "{\"snapshot\": \"s\", \"net\": [{}, {\"tap_fd\": 0}]}",
		"{\"drives\": [], \"net\": [{\"tap\": \"t0\", \"mac\": \"02:00:00:00:00:01\", \"offloads\": true}, "
		"{\"tap_fd\": 0, \"mac\": \"02:00:00:00:00:02\", \"offloads\": false}], \"vsock\": {}, \"rng\": "
		"{\"bytes_per_second\": 5}}");
	expect_restored(
		memory, &shape,
		"{\"snapshot\": \"s\", \"net\": [{\"tap_fd\": 1}, {\"tap\": \"t1\"}], \"vsock\": "
		"{\"cid\": 10}}",
		"{\"drives\": [], \"net\": [{\"tap_fd\": 1, \"mac\": \"02:00:00:00:00:01\", \"offloads\": true}, "
		"{\"tap\": \"t1\", \"mac\": \"02:00:00:00:00:02\", \"offloads\": false}], \"vsock\": {\"cid\": 10}, "
		"\"rng\": {\"bytes_per_second\": 5}}");
	expect_refused(memory, &shape, 0, "{\"snapshot\": \"s\"}", RPC_FAILED_PRECONDITION, "net[1].tap");
}

Test(device_record, what_is_not_known_must_be_said)
{
	static const struct machine_shape shape = { .disks = 2, .nets = 1, .balloons = 1 };
	cleanup_json json_t *other = memory_of("{\"drives\": [{\"path\": \"/i0\"}]}", 1);
	const json_t *const memories[] = { NULL, other };

	for (size_t i = 0; i < 2; i++) {
		const json_t *memory = memories[i];

		expect_refused(memory, &shape, 0, "{\"snapshot\": \"s\"}", RPC_FAILED_PRECONDITION, "drives");
		expect_refused(memory, &shape, 0, "{\"snapshot\": \"s\", \"drives\": [{\"path\": \"/i\"}]}",
			       RPC_FAILED_PRECONDITION, "drives[1].path");
		expect_refused(memory, &shape, 0,
			       "{\"snapshot\": \"s\", \"drives\": [{\"path\": \"/i\"}, {\"path\": \"/j\"}]}",
			       RPC_FAILED_PRECONDITION, "net");
		expect_refused(memory, &shape, 2,
			       "{\"snapshot\": \"s\", \"drives\": [{\"path\": \"/i\"}, {\"path\": \"/j\"}]}",
			       RPC_FAILED_PRECONDITION, "drives[1].overlay_folder");
		expect_restored(
			memory, &shape,
			"{\"snapshot\": \"s\", \"drives\": [{\"path\": \"/i\"}, {\"path\": \"/j\"}], \"net\": "
			"[{\"tap\": \"t\"}]}",
			"{\"drives\": [{\"path\": \"/i\", \"read_only\": false}, {\"path\": \"/j\", \"read_only\": "
			"false}], \"net\": [{\"tap\": \"t\", \"offloads\": true}], \"balloon\": "
			"{\"deflate_on_oom\": true, \"free_page_reporting\": true}}");
	}
}

Test(device_record, what_a_snapshot_cannot_remember)
{
	static const struct {
		const char *text;
		const char *why;
	} bad[] = {
		{ "{}", "parameters and images" },
		{ "{\"parameters\": {}, \"images\": {}}", "parameters and images" },
		{ "{\"parameters\": {}, \"images\": [], \"more\": 1}", "parameters and images" },
		{ "{\"parameters\": {\"drives\": [{\"path\": \"i\"}]}, \"images\": []}", "drives[0].path" },
		{ "{\"parameters\": {\"disks\": []}, \"images\": []}", "disks" },
		{ "{\"parameters\": {\"drives\": [{\"path\": \"/i\", \"read_only\": true, \"overlay\": \"/o\"}]}, \"images\": "
		  "[{\"size\": 1, \"changed_ns\": 1}]}",
		  "drives[0].overlay" },
		{ "{\"parameters\": {\"drives\": [{\"path\": \"/i\"}]}, \"images\": []}", "as many images" },
		{ "{\"parameters\": {\"drives\": [{\"path\": \"/i\"}]}, \"images\": [{\"size\": 1}]}", "images[0]" },
		{ "{\"parameters\": {\"drives\": [{\"path\": \"/i\"}]}, \"images\": [{\"size\": 1, \"changed_ns\": \"1\"}]}",
		  "images[0]" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_json json_t *memory = json_loads(bad[i].text, 0, NULL);
		struct error_detail detail = { "" };

		cr_assert_not_null(memory, "%s", bad[i].text);
		cr_expect_eq(record_check(memory, &detail), -EINVAL, "%s", bad[i].text);
		cr_expect(strstr(detail.text, bad[i].why), "%s: %s", bad[i].text, detail.text);
	}
}

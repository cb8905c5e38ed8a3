/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters that are objects: the devices of a Linux guest, by two methods of the test's own.
 */
#include "proto/device_params.h"
#include "proto/method.h"
#include "proto/openrpc.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct param boot_params[] = {
	PARAM_DRIVES,
	PARAM_NET,
	PARAM_VSOCK,
	PARAM_RNG,
	PARAM_BALLOON,
	PARAM_METADATA,
	{ .name = "cmdline", .type = PARAM_STRING, .kind = STRING_CMDLINE, .maximum = 2047, .description = "Words" },
	PARAMS_END,
};
static const struct param restore_params[] = { PARAM_RESTORE_DRIVES, PARAM_RESTORE_NET, PARAM_VSOCK, PARAMS_END };

static const struct method methods[] = {
	{ .name = "vm.start",
	  .role = ROLE_RUN,
	  .cancel = METHOD_CANCEL_DROPPED,
	  .summary = "Start",
	  .params = boot_params,
	  .result_description = "The VM" },
	{ .name = "vm.again",
	  .role = ROLE_RUN,
	  .cancel = METHOD_CANCEL_DROPPED,
	  .summary = "Start again",
	  .params = restore_params,
	  .result_description = "The VM" },
};
#define BOOT    (&methods[0])
#define RESTORE (&methods[1])

static json_t *load(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	cr_assert_not_null(json, "%s", text);

	return json;
}

/* The parameters pass and come out as expected, and the caller's are left alone. */
static void accept(const struct method *method, const char *params, const char *expected)
{
	json_t *given = load(params), *before = load(params), *wanted = load(expected), *got = NULL;
	struct rpc_error error = RPC_ERROR_INIT;
	char *text;

	cr_assert_eq(method_validate(method, given, &got, &error), 0, "%s: %s", params, error.message);
	text = json_dumps(got, 0);
	cr_assert(json_equal(got, wanted), "%s gave %s", params, text);
	cr_assert(json_equal(given, before), "%s was changed", params);
	free(text);
	json_decref(given);
	json_decref(before);
	json_decref(wanted);
	json_decref(got);
}

static void refuse(const struct method *method, const char *params, const char *field)
{
	json_t *given = load(params), *got = NULL;
	struct rpc_error error = RPC_ERROR_INIT;

	cr_assert_eq(method_validate(method, given, &got, &error), -EINVAL, "%s", params);
	cr_assert_null(got);
	cr_assert_eq(error.code, RPC_INVALID_PARAMS);
	cr_assert_str_eq(error.field, field, "%s: %s", params, error.message);
	cr_assert_eq(method_validate(method, given, &got, NULL), -EINVAL);
	json_decref(given);
}

/* A boot's second drive and its only interface, with another member. */
#define DRIVE(member) "{\"drives\": [{\"path\": \"/a\"}, {\"path\": \"/b\", " member "}]}"
#define NET(member)   "{\"net\": [{\"tap\": \"tap0\", " member "}]}"

Test(method_objects, give_their_members_defaults)
{
	accept(BOOT, "{}", "{}");
	accept(BOOT, "{\"drives\": [], \"net\": []}", "{\"drives\": [], \"net\": []}");
	accept(BOOT, "{\"drives\": [{\"path\": \"/a\"}, {\"path\": \"/b\", \"read_only\": true}]}",
	       "{\"drives\": [{\"path\": \"/a\", \"read_only\": false}, {\"path\": \"/b\", \"read_only\": true}]}");
	accept(BOOT, "{\"net\": [{\"tap_fd\": 0}]}", "{\"net\": [{\"tap_fd\": 0, \"offloads\": true}]}");
	accept(BOOT, "{\"balloon\": {}, \"vsock\": {}, \"rng\": {}}",
	       "{\"balloon\": {\"deflate_on_oom\": true, \"free_page_reporting\": true, \"target_mib\": 0}, "
	       "\"vsock\": {}, \"rng\": {}}");
}

Test(method_objects, take_every_member)
{
	accept(BOOT,
	       "{\"drives\": [{\"path\": \"/a\", \"read_only\": false, \"overlay\": \"/o\", \"overlay_mib\": 2097152, "
	       "\"serial\": \"S-1\", \"limit\": {\"bytes_per_second\": 0, \"bytes_burst\": 9223372036854775807, "
	       "\"ops_per_second\": 5, \"ops_burst\": 6}}], "
	       "\"net\": [{\"tap\": \"tap0\", \"mac\": \"02:00:00:00:00:01\", \"offloads\": false, \"to_guest\": {}, "
	       "\"from_guest\": {\"ops_burst\": 1}}], \"vsock\": {\"cid\": 4294967294, \"path\": \"/v\"}, "
	       "\"rng\": {\"bytes_per_second\": 1}, \"metadata\": {\"any\": [1, null, {\"x\": 2.5}]}}",
	       "{\"drives\": [{\"path\": \"/a\", \"read_only\": false, \"overlay\": \"/o\", \"overlay_mib\": 2097152, "
	       "\"serial\": \"S-1\", \"limit\": {\"bytes_per_second\": 0, \"bytes_burst\": 9223372036854775807, "
	       "\"ops_per_second\": 5, \"ops_burst\": 6}}], "
	       "\"net\": [{\"tap\": \"tap0\", \"mac\": \"02:00:00:00:00:01\", \"offloads\": false, \"to_guest\": {}, "
	       "\"from_guest\": {\"ops_burst\": 1}}], \"vsock\": {\"cid\": 4294967294, \"path\": \"/v\"}, "
	       "\"rng\": {\"bytes_per_second\": 1}, \"metadata\": {\"any\": [1, null, {\"x\": 2.5}]}}");
}

Test(method_objects, are_positional_parameters_as_any)
{
	json_t *given = load("[null, [{\"tap\": \"a\"}, {\"tap\": \"\"}]]"), *got = NULL;
	struct rpc_error error = RPC_ERROR_INIT;

	cr_assert_eq(method_validate(BOOT, given, &got, &error), -EINVAL);
	cr_assert_str_eq(error.field, "net[1].tap");
	json_decref(given);
}

Test(method_objects, of_another_type_or_number_are_refused)
{
	refuse(BOOT, "{\"drives\": {}}", "drives");
	refuse(BOOT, "{\"drives\": null}", "drives");
	refuse(BOOT, "{\"drives\": \"/a\"}", "drives");
	refuse(BOOT, "{\"drives\": [{\"path\": \"/a\"}, \"/b\"]}", "drives[1]");
	refuse(BOOT, "{\"drives\": [null]}", "drives[0]");
	refuse(BOOT, "{\"drives\": [[]]}", "drives[0]");
	refuse(BOOT, "{\"drives\": [{}, {}, {}, {}, {}, {}, {}, {}, {}]}", "drives");
	refuse(BOOT, "{\"net\": [{}, {}, {}, {}, {}]}", "net");
	refuse(BOOT, "{\"vsock\": []}", "vsock");
	refuse(BOOT, "{\"vsock\": 3}", "vsock");
	refuse(BOOT, "{\"vsock\": null}", "vsock");
	refuse(BOOT, DRIVE("\"limit\": []"), "drives[1].limit");
	refuse(BOOT, DRIVE("\"limit\": null"), "drives[1].limit");
	refuse(BOOT, DRIVE("\"limit\": 5"), "drives[1].limit");
}

Test(method_objects, name_the_path_of_what_is_wrong_with_a_member)
{
	refuse(BOOT, "{\"drives\": [{}]}", "drives[0].path");
	refuse(BOOT, DRIVE("\"path\": \"b\""), "drives[1].path");
	refuse(BOOT, DRIVE("\"colour\": 1"), "drives[1].colour");
	refuse(BOOT, DRIVE("\"deadline_ms\": 1"), "drives[1].deadline_ms");
	refuse(BOOT, DRIVE("\"read_only\": 1"), "drives[1].read_only");
	refuse(BOOT, DRIVE("\"read_only\": null"), "drives[1].read_only");
	refuse(BOOT, DRIVE("\"overlay\": \"o\""), "drives[1].overlay");
	refuse(BOOT, DRIVE("\"overlay_folder\": \"/o/..\""), "drives[1].overlay_folder");
	refuse(BOOT, DRIVE("\"overlay_mib\": 0"), "drives[1].overlay_mib");
	refuse(BOOT, DRIVE("\"overlay_mib\": 2097153"), "drives[1].overlay_mib");
	refuse(BOOT, DRIVE("\"serial\": \"\""), "drives[1].serial");
	refuse(BOOT, DRIVE("\"serial\": \"123456789012345678901\""), "drives[1].serial");
	refuse(BOOT, DRIVE("\"limit\": {\"bytes_per_second\": -1}"), "drives[1].limit.bytes_per_second");
	refuse(BOOT, DRIVE("\"limit\": {\"bytes_burst\": 1.5}"), "drives[1].limit.bytes_burst");
	refuse(BOOT, DRIVE("\"limit\": {\"ops_burst\": \"1\"}"), "drives[1].limit.ops_burst");
	refuse(BOOT, DRIVE("\"limit\": {\"bytes\": 1}"), "drives[1].limit.bytes");
	refuse(BOOT, NET("\"to_guest\": {\"ops_per_second\": -1}"), "net[0].to_guest.ops_per_second");
	refuse(BOOT, NET("\"from_guest\": {\"x\": {}}"), "net[0].from_guest.x");
	refuse(BOOT, "{\"net\": [{\"tap_fd\": 16}]}", "net[0].tap_fd");
	refuse(BOOT, "{\"net\": [{\"tap_fd\": -1}]}", "net[0].tap_fd");
	refuse(BOOT, "{\"vsock\": {\"cid\": 2}}", "vsock.cid");
	refuse(BOOT, "{\"vsock\": {\"cid\": 4294967295}}", "vsock.cid");
	refuse(BOOT, "{\"vsock\": {\"path\": \"v\"}}", "vsock.path");
	refuse(BOOT, "{\"vsock\": {\"port\": 1}}", "vsock.port");
	refuse(BOOT, "{\"rng\": {\"limit\": {}}}", "rng.limit");
	refuse(BOOT, "{\"balloon\": {\"target_mib\": 3073}}", "balloon.target_mib");
	refuse(BOOT, "{\"balloon\": {\"deflate_on_oom\": 0}}", "balloon.deflate_on_oom");
}

Test(method_objects, say_what_is_wrong_by_the_path)
{
	static const struct {
		const char *params, *message;
	} calls[] = {
		{ "{\"drives\": [{}]}", "drives[0].path is missing" },
		{ "{\"vsock\": {\"port\": 1}}", "vsock has no member \"port\"" },
		{ "{\"vsock\": {\"cid\": 2}}", "vsock.cid must be from 3 to 4294967294, not 2" },
		{ "{\"net\": [{}]}", "one of net[0].tap and net[0].tap_fd must be given" },
		{ "{\"net\": [{\"tap_fd\": 1, \"mac\": \"02\"}]}", "net[0].mac must have 17 bytes, not 2" },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct rpc_error error = RPC_ERROR_INIT;
		json_t *given = load(calls[i].params), *got = NULL;

		cr_assert_eq(method_validate(BOOT, given, &got, &error), -EINVAL);
		cr_assert_str_eq(error.message, calls[i].message);
		json_decref(given);
	}
}

Test(method_objects, have_rules_between_their_members)
{
	refuse(BOOT, DRIVE("\"overlay\": \"/o\", \"overlay_folder\": \"/f\""), "drives[1].overlay");
	refuse(BOOT, "{\"net\": [{\"tap\": \"a\"}, {}]}", "net[1].tap");
	refuse(BOOT, "{\"net\": [{\"tap\": \"a\", \"tap_fd\": 0}]}", "net[0].tap");
	refuse(RESTORE, "{\"net\": [{}, {\"tap\": \"a\", \"tap_fd\": 0}]}", "net[1].tap");
	refuse(RESTORE, "{\"drives\": [{\"overlay\": \"/o\", \"overlay_folder\": \"/f\"}]}", "drives[0].overlay");
}

Test(method_objects, of_a_restore_need_nothing_and_fill_in_nothing)
{
	accept(RESTORE, "{\"drives\": [{}, {\"overlay\": \"/o\"}], \"net\": [{}, {\"mac\": \"02:00:00:00:00:01\"}]}",
	       "{\"drives\": [{}, {\"overlay\": \"/o\"}], \"net\": [{}, {\"mac\": \"02:00:00:00:00:01\"}]}");
	refuse(RESTORE, "{\"drives\": [{\"path\": \"\"}]}", "drives[0].path");
}

static size_t count_members(const struct param *members)
{
	size_t count = 0;

	while (members[count].name)
		count++;

	return count;
}

Test(method_objects, of_a_restore_have_the_members_of_a_boot)
{
	const struct param *pairs[][2] = { { drive_members, restore_drive_members },
					   { net_members, restore_net_members } };

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct param *boot = pairs[i][0], *restore = pairs[i][1];

		cr_assert_eq(count_members(boot), count_members(restore));
		for (; boot->name; boot++, restore++) {
			cr_assert_str_eq(boot->name, restore->name);
			cr_assert_eq(boot->type, restore->type);
			cr_assert_eq(boot->role, restore->role);
			cr_assert_not(restore->required || restore->default_json, "%s", restore->name);
		}
	}
}

Test(method_objects, name_an_unknown_member_of_any_length_as_far_as_a_field_goes)
{
	json_t *vsock = json_object(), *given = json_pack("{s:o}", "vsock", vsock), *got = NULL, *wire = NULL;
	struct rpc_error error = RPC_ERROR_INIT;
	char name[3001] = "";

	for (size_t i = 0; i + 1 < sizeof(name); i++)
		name[i] = i % 2 ? '\xa9' : '\xc3';
	cr_assert_eq(json_object_set_new(vsock, name, json_true()), 0);
	cr_assert_eq(method_validate(BOOT, given, &got, &error), -EINVAL);
	cr_assert_eq(strlen(error.field), RPC_FIELD_SIZE - 1);
	cr_assert_eq(strncmp(error.field, "vsock.\xc3\xa9", 8), 0);
	cr_assert_eq(rpc_error_to_json(&error, &wire), 0, "an error that is cut within a character can be sent");
	json_decref(wire);
	json_decref(given);
}

/* ---- values ---- */

Test(method_objects, a_json_document_is_bounded_by_its_compact_text)
{
	char params[2 * METADATA_MAX_BYTES];
	int filler = METADATA_MAX_BYTES - (int)strlen("{\"a\":\"\"}");

	(void)snprintf(params, sizeof(params), "{\"metadata\": {   \"a\"  :  \"%0*d\"}}", filler, 0);
	accept(BOOT, params, params);
	(void)snprintf(params, sizeof(params), "{\"metadata\": {\"a\": \"%0*d\"}}", filler + 1, 0);
	refuse(BOOT, params, "metadata");
	accept(BOOT, "{\"metadata\": {}}", "{\"metadata\": {}}");
	refuse(BOOT, "{\"metadata\": []}", "metadata");
	refuse(BOOT, "{\"metadata\": \"{}\"}", "metadata");
	refuse(BOOT, "{\"metadata\": null}", "metadata");
}

/* Each of the texts, as JSON writes them, passes or is refused. */
static void check_strings(const struct param *param, const char *const *texts, bool good)
{
	for (size_t i = 0; texts[i]; i++) {
		json_t *value = json_string(texts[i]);
		struct rpc_error error = RPC_ERROR_INIT;

		cr_assert_eq(param_check(param, value, &error) == 0, good, "%s \"%s\": %s", param->name, texts[i],
			     error.message);
		json_decref(value);
	}
}

static const struct param *member(const struct param *members, const char *name)
{
	while (strcmp(members->name, name) != 0)
		members++;

	return members;
}

Test(method_objects, a_mac_address)
{
	static const char *const good[] = { "02:00:00:00:00:01", "fe:ff:FF:aB:9A:00", "00:00:00:00:00:01", NULL };
	static const char *const bad[] = { "",
					   "00:00:00:00:00:00",
					   "01:00:5e:00:00:01",
					   "ff:ff:ff:ff:ff:ff",
					   "02:00:00:00:00",
					   "02:00:00:00:00:1",
					   "02:00:00:00:00:01:",
					   "02:00:00:00:00:0g",
					   "02-00-00-00-00-01",
					   "0200:00:00:00:001",
					   "02:00:00:00:00: 1",
					   "02:00:00:00:00:01\n",
					   NULL };

	check_strings(member(net_members, "mac"), good, true);
	check_strings(member(net_members, "mac"), bad, false);
}

Test(method_objects, an_interface)
{
	static const char *const good[] = { "t", "tap0", "br-1.2_x@y", "...", ".a", "123456789012345", NULL };
	static const char *const bad[] = {
		"", ".", "..", "a/b", "a b", "a\t", "a\n", "a:1", "tap%d", "\xc3\xa9", "1234567890123456", "a\x7f", NULL
	};

	check_strings(member(net_members, "tap"), good, true);
	check_strings(member(net_members, "tap"), bad, false);
}

Test(method_objects, a_serial_number)
{
	static const char *const good[] = { "S", "!~", "12345678901234567890", NULL };
	static const char *const bad[] = { "", "a b", "a\n", "\xc3\xa9", "a\x7f", "123456789012345678901", NULL };

	check_strings(member(drive_members, "serial"), good, true);
	check_strings(member(drive_members, "serial"), bad, false);
}

Test(method_objects, a_command_line)
{
	static const char *const good[] = { "", "console=ttyS0 root=/dev/vda rw", " \"quoted words\" ~", NULL };
	static const char *const bad[] = { "a\n", "a\tb", "\x1b[0m", "\xc3\xa9", "a\x7f", NULL };

	check_strings(member(boot_params, "cmdline"), good, true);
	check_strings(member(boot_params, "cmdline"), bad, false);
}

/* ---- roles ---- */

static void check_role(const struct method *method, const char *params, const char *field)
{
	json_t *given = load(params);
	struct rpc_error error = RPC_ERROR_INIT;

	cr_assert_eq(method_check_param_roles(method, given, ROLE_RUN, &error) == 0, field == NULL, "%s", params);
	if (field) {
		cr_assert_eq(error.code, RPC_PERMISSION_DENIED);
		cr_assert_str_eq(error.field, field);
		cr_assert_not_null(strstr(error.message, field));
		cr_assert_lt(method_check_param_roles(method, given, ROLE_RUN, NULL), 0);
	}
	cr_assert_eq(method_check_param_roles(method, given, ROLE_ADMIN, NULL), 0);
	json_decref(given);
}

Test(method_objects, a_member_may_need_more_of_a_role_than_its_method)
{
	check_role(BOOT, "{\"drives\": [{\"path\": \"/a\"}]}", "drives[0].path");
	check_role(RESTORE, "{\"drives\": [{}, {}, {\"overlay\": \"/a\"}]}", "drives[2].overlay");
	check_role(RESTORE, "{\"drives\": [{\"serial\": \"a\"}, {\"overlay_folder\": \"/a\"}]}",
		   "drives[1].overlay_folder");
	check_role(BOOT, "{\"net\": [{\"tap_fd\": 0}, {\"tap\": \"tap0\"}]}", "net[1].tap");
	check_role(BOOT, "{\"vsock\": {\"cid\": 3, \"path\": \"/v\"}}", "vsock.path");
	check_role(BOOT,
		   "{\"net\": [{\"tap_fd\": 0, \"to_guest\": {\"ops_burst\": 1}}], \"vsock\": {\"cid\": 3}, "
		   "\"balloon\": {}, \"rng\": {}, \"metadata\": {\"path\": \"/a\"}}",
		   NULL);
	check_role(RESTORE, "{\"drives\": [{}, {\"serial\": \"a\"}]}", NULL);
}

/* ---- reading ---- */

Test(params, that_are_objects_are_read_as_validated)
{
	json_t *params = load("{\"o\": {\"i\": 7}, \"a\": [{\"s\": \"x\"}]}");

	cr_assert_eq(param_int(param_object(params, "o"), "i", 0), 7);
	cr_assert_str_eq(param_string(json_array_get(param_array(params, "a"), 0), "s"), "x");
	cr_assert_null(param_object(params, "a"));
	cr_assert_null(param_array(params, "o"));
	cr_assert_null(param_object(params, "absent"));
	cr_assert_null(param_array(params, "absent"));
	cr_assert_eq(param_int(param_object(params, "absent"), "i", 9), 9, "an absent object has no members");
	json_decref(params);
}

/* ---- documents ---- */

/* The schema of a parameter in a method's document. */
static const json_t *find_schema(const json_t *document, const char *name)
{
	size_t i;
	json_t *param;

	json_array_foreach(json_object_get(document, "params"), i, param) {
		if (strcmp(json_string_value(json_object_get(param, "name")), name) == 0)
			return json_object_get(param, "schema");
	}

	return NULL;
}

static void expect_schema(const json_t *schema, const char *expected)
{
	json_t *wanted = load(expected);
	char *text = json_dumps(schema, 0);

	cr_assert(json_equal(schema, wanted), "%s", text);
	free(text);
	json_decref(wanted);
}

Test(method_objects, are_nested_schemas_in_the_openrpc_document)
{
	json_t *document = NULL;
	const json_t *drive, *properties;

	cr_assert_eq(openrpc_method_document(BOOT, &document), 0);
	drive = json_object_get(find_schema(document, "drives"), "items");
	properties = json_object_get(drive, "properties");
	cr_assert_eq(json_integer_value(json_object_get(find_schema(document, "drives"), "maxItems")), 8);
	cr_assert_eq(json_integer_value(json_object_get(find_schema(document, "drives"), "minItems")), 0);
	cr_assert_eq(json_object_size(properties), count_members(drive_members));
	cr_assert(json_is_false(json_object_get(drive, "additionalProperties")));
	expect_schema(json_object_get(drive, "required"), "[\"path\"]");
	expect_schema(json_object_get(properties, "read_only"),
		      "{\"type\": \"boolean\", \"default\": false, \"description\": \"Let the guest only read\"}");
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(properties, "path"), "x-role")), "admin");
	expect_schema(
		json_object_get(json_object_get(json_object_get(properties, "limit"), "properties"),
				"bytes_per_second"),
		"{\"type\": \"integer\", \"minimum\": 0, \"maximum\": 9223372036854775807, \"x-unit\": \"bytes\", "
		"\"description\": \"Bytes in a second; 0 or absent: no limit\"}");
	expect_schema(find_schema(document, "metadata"), "{\"type\": \"object\", \"x-max-bytes\": 3000}");
	cr_assert_str_eq(json_string_value(json_object_get(find_schema(document, "vsock"), "type")), "object");
	json_decref(document);
}

Test(method_objects, are_described_with_their_rules)
{
	json_t *document = NULL;
	const json_t *params;

	cr_assert_eq(openrpc_method_document(BOOT, &document), 0);
	params = json_object_get(document, "params");
	cr_assert_str_eq(json_string_value(json_object_get(json_array_get(params, 0), "description")),
			 "Disks, in the guest's order. At most one of overlay and overlay_folder may be given.");
	cr_assert_str_eq(json_string_value(json_object_get(json_array_get(params, 1), "description")),
			 "Network interfaces, in the guest's order. Exactly one of tap and tap_fd must be given.");
	json_decref(document);
}

Test(method_objects, have_a_table_each_in_markdown)
{
	static const char first[] =
		"`vm.start`: `drives[]`. At most one of overlay and overlay_folder may be given.\n\n"
		"| member | values | default | what it is |\n| --- | --- | --- | --- |\n"
		"| `path` (admin) | path of 1 to 4000 bytes | must be given | ";
	char *rows = NULL, *tables = NULL;

	cr_assert_eq(method_markdown(methods, 2, &rows), 0);
	cr_assert_eq(param_object_markdown(methods, 2, &tables), 0);
	cr_assert_not_null(strstr(rows, "| `vm.start` | run | `[drives]`, `[net]`, `[vsock]`, `[rng]`, "), "%s", rows);
	cr_assert_eq(strncmp(tables, first, strlen(first)), 0, "%s", tables);
	cr_assert_not_null(strstr(tables, "\n| `read_only` | true or false | `false` | Let the guest only read |\n"));
	cr_assert_not_null(strstr(tables,
				  "\n`vm.start`: `drives[].limit`, `net[].to_guest`, `net[].from_guest`, `rng`; "
				  "`vm.again`: `drives[].limit`, `net[].to_guest`, `net[].from_guest`\n\n"
				  "| member |"),
			   "%s", tables);
	cr_assert_not_null(strstr(tables, "\n`vm.start`: `vsock`; `vm.again`: `vsock`\n"), "%s", tables);
	cr_assert_not_null(strstr(tables, "\n| `cid` | 3 to 4294967294 |  | "), "%s", tables);
	free(rows);
	free(tables);
}

Test(method_objects, are_absent_from_the_markdown_of_methods_that_take_none)
{
	const struct method *ping = method_find("server.ping");
	char *tables = NULL;

	cr_assert_eq(param_object_markdown(ping, 1, &tables), 0);
	cr_assert_str_eq(tables, "");
	free(tables);
}

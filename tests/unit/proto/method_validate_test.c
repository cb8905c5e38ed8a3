/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of parameters: each type, by name and by position, the rules between them, and results.
 */
#include "proto/method.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *load(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	cr_assert_not_null(json, "%s", text);

	return json;
}

/* The parameters pass and come out as expected. params NULL: the request has none. */
static void accept(const char *method, const char *params, const char *expected)
{
	json_t *given = params ? load(params) : NULL, *before = json_deep_copy(given);
	json_t *wanted = load(expected), *got = NULL;
	struct rpc_error error = RPC_ERROR_INIT;

	cr_assert_eq(method_validate(method_find(method), given, &got, &error), 0, "%s %s: %s", method, params,
		     error.message);
	cr_assert(json_equal(got, wanted), "%s %s gave %s", method, params, json_dumps(got, 0));
	cr_assert(given == before || json_equal(given, before), "the caller's object is left alone");
	json_decref(given);
	json_decref(before);
	json_decref(wanted);
	json_decref(got);
}

/* The parameters are refused, naming the field ("" where none is to blame) in the field and in the message. */
static void refuse(const char *method, const char *params, const char *field)
{
	json_t *given = params ? load(params) : NULL, *got = NULL;
	struct rpc_error error = RPC_ERROR_INIT;

	cr_assert_eq(method_validate(method_find(method), given, &got, &error), -EINVAL, "%s %s", method, params);
	cr_assert_null(got);
	cr_assert_eq(error.code, RPC_INVALID_PARAMS);
	cr_assert_str_eq(error.field, field, "%s %s: %s", method, params, error.message);
	cr_assert_not_null(strstr(error.message, field), "%s", error.message);
	cr_assert_eq(method_validate(method_find(method), given, &got, NULL), -EINVAL);
	rpc_error_release(&error);
	json_decref(given);
}

Test(method_validate, no_parameters_in_every_form)
{
	accept("server.ping", NULL, "{}");
	accept("server.ping", "{}", "{}");
	accept("server.ping", "[]", "{}");
	accept("server.drain", NULL, "{\"stop\": true}");
}

Test(method_validate, deadline_belongs_to_every_method)
{
	accept("server.ping", "{\"deadline_ms\": 0}", "{\"deadline_ms\": 0}");
	accept("rpc.discover", "[86400000]", "{\"deadline_ms\": 86400000}");
	accept("vm.pause", "[\"vm-1\", 5]", "{\"vm\": \"vm-1\", \"deadline_ms\": 5}");
	refuse("server.ping", "{\"deadline_ms\": -1}", "deadline_ms");
	refuse("server.ping", "{\"deadline_ms\": 86400001}", "deadline_ms");
	refuse("server.ping", "{\"deadline_ms\": 1.0}", "deadline_ms");
	refuse("server.ping", "{\"deadline_ms\": null}", "deadline_ms");
}

Test(method_validate, defaults_are_filled_in)
{
	accept("vm.restore", "{\"snapshot\": \"py312\"}",
	       "{\"snapshot\": \"py312\", \"detach\": false, \"temperature\": \"any\", \"resume\": true, \"clock\": \"continue\"}");
	accept("vm.restore",
	       "{\"snapshot\": \"py312\", \"detach\": true, \"temperature\": \"cold\", \"resume\": false}",
	       "{\"snapshot\": \"py312\", \"detach\": true, \"temperature\": \"cold\", \"resume\": false, \"clock\": \"continue\"}");
	accept("vm.boot", NULL,
	       "{\"vcpus\": 1, \"memory_mib\": 128, \"cpu_template\": \"host\", \"pit_reinject\": true, \"detach\": false, \"temperature\": \"any\"}");
	accept("events.subscribe", NULL, "{\"kinds\": [\"vm\", \"snapshot\", \"kernel\", \"pool\", \"server\"]}");
}

Test(method_validate, what_is_unknown_or_missing_is_named)
{
	refuse("server.ping", "{\"x\": 1}", "x");
	refuse("server.ping", "{\"\": 1}", "");
	refuse("vm.restore", "{\"snapshot\": \"a\", \"Detach\": true}", "Detach");
	refuse("vm.pause", NULL, "vm");
	refuse("vm.pause", "{}", "vm");
	refuse("vm.pause", "[]", "vm");
	refuse("vm.pause", "[null]", "vm");
	refuse("snapshot.register", "{\"name\": \"a\"}", "path");
	refuse("pool.configure", "{\"memory_mib\": 128}", "vcpus");
}

Test(method_validate, an_unknown_name_of_any_length_is_refused_whole)
{
	json_t *given = json_object(), *got = NULL;
	struct rpc_error error = RPC_ERROR_INIT;
	char name[3000];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cr_assert_eq(json_object_set_new(given, name, json_true()), 0);
	cr_assert_eq(method_validate(method_find("server.ping"), given, &got, &error), -EINVAL);
	cr_assert_eq(strlen(error.field), RPC_FIELD_SIZE - 1);
	json_decref(given);
}

Test(method_validate, positions_map_to_the_order_of_the_table)
{
	accept("snapshot.register", "[\"py312\", \"/srv/py312\"]", "{\"name\": \"py312\", \"path\": \"/srv/py312\"}");
	accept("vm.restore", "[\"py312\", null, true]",
	       "{\"snapshot\": \"py312\", \"detach\": true, \"temperature\": \"any\", \"resume\": true, \"clock\": \"continue\"}");
	accept("vm.restore", "[null, \"/srv/a\", null, \"warm\", null, null, null, null, null, null, null, 100]",
	       "{\"snapshot_path\": \"/srv/a\", \"detach\": false, \"temperature\": \"warm\", \"resume\": true, "
	       "\"clock\": \"continue\", \"deadline_ms\": 100}");
	refuse("snapshot.register", "[\"/srv/py312\", \"py312\"]", "name");
	refuse("vm.pause", "[\"vm-1\", 5, 6]", "");
	refuse("server.ping", "[0, null]", "");
}

Test(method_validate, params_of_another_type)
{
	refuse("server.ping", "\"x\"", "");
	refuse("server.ping", "1", "");
	refuse("server.ping", "null", "");
}

Test(method_validate, a_bool)
{
	refuse("server.drain", "{\"stop\": 1}", "stop");
	refuse("server.drain", "{\"stop\": \"true\"}", "stop");
	refuse("server.drain", "{\"stop\": null}", "stop");
}

#define SHAPE_DEFAULTS \
	"\"cpu_template\": \"host\", \"pit_reinject\": true, \"drives\": 0, \"net\": 0, \"vsock\": 0, \"rng\": 0, \"balloon\": 0"

Test(method_validate, an_int)
{
	accept("pool.configure",
	       "{\"vcpus\": 1, \"memory_mib\": 1, \"min\": 0, \"max\": 1024, \"refill_concurrency\": 64}",
	       "{\"vcpus\": 1, \"memory_mib\": 1, \"min\": 0, \"max\": 1024, \"refill_concurrency\": 64, " SHAPE_DEFAULTS
	       "}");
	accept("pool.configure", "{\"vcpus\": 8, \"memory_mib\": 3072}",
	       "{\"vcpus\": 8, \"memory_mib\": 3072, " SHAPE_DEFAULTS "}");
	refuse("pool.configure", "{\"vcpus\": 0, \"memory_mib\": 128}", "vcpus");
	refuse("pool.configure", "{\"vcpus\": 9, \"memory_mib\": 128}", "vcpus");
	refuse("pool.configure", "{\"vcpus\": -1, \"memory_mib\": 128}", "vcpus");
	refuse("pool.configure", "{\"vcpus\": 1.5, \"memory_mib\": 128}", "vcpus");
	refuse("pool.configure", "{\"vcpus\": 1.0, \"memory_mib\": 128}", "vcpus");
	refuse("pool.configure", "{\"vcpus\": \"1\", \"memory_mib\": 128}", "vcpus");
	refuse("pool.configure", "{\"vcpus\": true, \"memory_mib\": 128}", "vcpus");
	refuse("pool.configure", "{\"vcpus\": 1, \"memory_mib\": 3073}", "memory_mib");
	refuse("pool.configure", "{\"vcpus\": 1, \"memory_mib\": 9223372036854775807}", "memory_mib");
	refuse("pool.configure", "{\"vcpus\": 1, \"memory_mib\": -9223372036854775808}", "memory_mib");
	refuse("pool.configure", "{\"vcpus\": 1, \"memory_mib\": 128, \"refill_concurrency\": 0}",
	       "refill_concurrency");
}

Test(method_validate, a_name)
{
	static const char *const good[] = { "a", "A9", "0", "py3.12_base-1", "a..b" };
	static const char *const bad[] = { "",    ".",  "..",  ".hidden",  "-flag",   "_x",
					   "a/b", "/a", "a b", "a\\u0009", "\\u00e9", "a\\n" };
	char text[200], expected[200];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(text, sizeof(text), "[\"%s\"]", good[i]);
		(void)snprintf(expected, sizeof(expected), "{\"name\": \"%s\"}", good[i]);
		accept("snapshot.inspect", text, expected);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), "[\"%s\"]", bad[i]);
		refuse("snapshot.inspect", text, "name");
	}
	(void)snprintf(text, sizeof(text), "[\"%064d\"]", 1);
	(void)snprintf(expected, sizeof(expected), "{\"name\": \"%064d\"}", 1);
	accept("snapshot.inspect", text, expected);
	(void)snprintf(text, sizeof(text), "[\"%065d\"]", 1);
	refuse("snapshot.inspect", text, "name");
	refuse("snapshot.inspect", "[7]", "name");
	refuse("snapshot.inspect", "[[\"a\"]]", "name");
}

Test(method_validate, a_path)
{
	static const char *const good[] = { "/", "/a", "/a/b.c", "/a//b/", "/...", "/a/..b", "/.hidden", "/\\u00e9 x" };
	static const char *const bad[] = { "",       "a",       "./a",   "../a", "/.",    "/..",       "/a/.", "/a/..",
					   "/a/./b", "/a/../b", "/../a", "//..", "/a\\n", "/a\\u007f", "~/a" };
	json_t *params, *got, *long_path;
	char text[5000];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(text, sizeof(text), "[\"n\", \"%s\"]", good[i]);
		params = load(text);
		cr_assert_eq(method_validate(method_find("snapshot.register"), params, &got, NULL), 0, "%s", good[i]);
		json_decref(params);
		json_decref(got);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), "[\"n\", \"%s\"]", bad[i]);
		refuse("snapshot.register", text, "path");
	}
	memset(text, '/', 4001);
	text[4001] = '\0';
	long_path = json_string(text);
	cr_assert_lt(param_check(method_find_param(method_find("snapshot.register"), "path"), long_path, NULL), 0);
	json_decref(long_path);
}

Test(method_validate, a_vm_id)
{
	accept("vm.info", "[\"vm-12\"]", "{\"vm\": \"vm-12\"}");
	accept("vm.info", "[\"7\"]", "{\"vm\": \"7\"}");
	refuse("vm.info", "[\"\"]", "vm");
	refuse("vm.info", "[\"VM-1\"]", "vm");
	refuse("vm.info", "[\"-1\"]", "vm");
	refuse("vm.info", "[\"vm 1\"]", "vm");
	refuse("vm.info", "[7]", "vm");
	refuse("vm.info", "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]", "vm");
}

Test(method_validate, an_enum)
{
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *value = json_string("hot");

	refuse("vm.restore", "{\"snapshot\": \"a\", \"temperature\": \"hot\"}", "temperature");
	refuse("vm.restore", "{\"snapshot\": \"a\", \"temperature\": \"\"}", "temperature");
	refuse("vm.restore", "{\"snapshot\": \"a\", \"temperature\": 1}", "temperature");
	refuse("vm.restore", "{\"snapshot\": \"a\", \"temperature\": [\"any\"]}", "temperature");
	cr_assert_lt(param_check(method_find_param(method_find("vm.restore"), "temperature"), value, &error), 0);
	cr_assert_str_eq(error.message, "temperature must be any, warm or cold");
	json_decref(value);
}

Test(method_validate, an_enum_array)
{
	accept("events.subscribe", "{\"kinds\": [\"vm\"]}", "{\"kinds\": [\"vm\"]}");
	accept("events.subscribe", "[[\"pool\", \"vm\"]]", "{\"kinds\": [\"pool\", \"vm\"]}");
	refuse("events.subscribe", "{\"kinds\": []}", "kinds");
	refuse("events.subscribe", "{\"kinds\": \"vm\"}", "kinds");
	refuse("events.subscribe", "{\"kinds\": [\"vm\", \"vm\"]}", "kinds");
	refuse("events.subscribe", "{\"kinds\": [\"vm\", 1]}", "kinds");
	refuse("events.subscribe", "{\"kinds\": [\"vms\"]}", "kinds");
	refuse("events.subscribe", "{\"kinds\": [\"vm\", \"pool\", \"server\", \"snapshot\", \"vm\"]}", "kinds");
}

Test(method_validate, an_id)
{
	accept("rpc.cancel", "{\"id\": 5}", "{\"id\": 5}");
	accept("rpc.cancel", "{\"id\": \"x\"}", "{\"id\": \"x\"}");
	accept("rpc.cancel", "{\"id\": 1.5}", "{\"id\": 1.5}");
	refuse("rpc.cancel", "{\"id\": null}", "id");
	refuse("rpc.cancel", "{\"id\": true}", "id");
	refuse("rpc.cancel", "{\"id\": [1]}", "id");
}

Test(method_rules, exactly_one)
{
	refuse("vm.restore", "{}", "snapshot");
	refuse("vm.restore", NULL, "snapshot");
	refuse("vm.restore", "{\"snapshot\": \"a\", \"snapshot_path\": \"/a\"}", "snapshot");
	refuse("vm.snapshot", "{\"vm\": \"vm-1\"}", "name");
}

Test(method_rules, needed_when_and_only_when)
{
	refuse("vm.wait", "{\"vm\": \"vm-1\", \"for\": \"event\"}", "event");
	refuse("vm.wait", "{\"vm\": \"vm-1\", \"for\": \"ready\", \"event\": 3}", "event");
	refuse("vm.wait", "{\"vm\": \"vm-1\", \"for\": \"exit\", \"after\": 0}", "after");
	accept("vm.wait", "{\"vm\": \"vm-1\", \"for\": \"event\", \"event\": 3}",
	       "{\"vm\": \"vm-1\", \"for\": \"event\", \"event\": 3, \"after\": 0}");
	refuse("vm.boot", "{\"image\": \"/a\"}", "entry");
	refuse("vm.boot", "{\"initrd\": \"/a\"}", "initrd");
	refuse("vm.boot", "{\"cmdline\": \"quiet\"}", "cmdline");
}

Test(method_rules, a_default_has_no_place_where_a_rule_excludes_its_parameter)
{
	accept("vm.wait", "{\"vm\": \"vm-1\", \"for\": \"exit\"}", "{\"vm\": \"vm-1\", \"for\": \"exit\"}");
	accept("vm.console", "{\"vm\": \"vm-1\", \"action\": \"write\", \"data\": \"\"}",
	       "{\"vm\": \"vm-1\", \"action\": \"write\", \"data\": \"\", \"encoding\": \"utf8\"}");
	accept("vm.console", "{\"vm\": \"vm-1\", \"action\": \"read\"}",
	       "{\"vm\": \"vm-1\", \"action\": \"read\", \"offset\": 0, \"max_bytes\": 65536, \"wait\": false, "
	       "\"encoding\": \"utf8\"}");
	refuse("vm.console", "{\"vm\": \"vm-1\", \"action\": \"write\"}", "data");
	refuse("vm.console", "{\"vm\": \"vm-1\", \"action\": \"read\", \"data\": \"x\"}", "data");
	refuse("vm.console", "{\"vm\": \"vm-1\", \"action\": \"write\", \"data\": \"x\", \"wait\": true}", "wait");
}

Test(params, are_read_as_validated)
{
	json_t *params = load("{\"s\": \"text\", \"i\": -3, \"t\": true, \"f\": false, \"deadline_ms\": 7}");

	cr_assert_str_eq(param_string(params, "s"), "text");
	cr_assert_null(param_string(params, "i"));
	cr_assert_null(param_string(params, "absent"));
	cr_assert_eq(param_int(params, "i", 9), -3);
	cr_assert_eq(param_int(params, "absent", 9), 9);
	cr_assert(param_bool(params, "t"));
	cr_assert_not(param_bool(params, "f"));
	cr_assert_not(param_bool(params, "absent"));
	cr_assert(param_given(params, "f"));
	cr_assert_not(param_given(params, "absent"));
	cr_assert_eq(param_deadline_ms(params), 7);
	json_object_del(params, "deadline_ms");
	cr_assert_eq(param_deadline_ms(params), -1);
	json_decref(params);
}

/* ---- results ---- */

static bool result_fits(const char *method, const char *text)
{
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *result = load(text);
	bool fits = method_check_result(method_find(method), result, &error) == 0;

	cr_assert_eq(fits, error.message[0] == '\0');
	json_decref(result);

	return fits;
}

Test(method_result, is_held_to_the_table)
{
	cr_assert(result_fits("server.ping", "{\"pong\": true, \"version\": \"0.1.0\", \"uptime_ms\": 5}"));
	cr_assert_not(result_fits("server.ping", "{\"pong\": true, \"version\": \"0.1.0\"}"));
	cr_assert_not(result_fits("server.ping", "{\"pong\": 1, \"version\": \"0.1.0\", \"uptime_ms\": 5}"));
	cr_assert_not(result_fits("server.ping", "{\"pong\": true, \"version\": 1, \"uptime_ms\": 5}"));
	cr_assert_not(result_fits("server.ping", "{\"pong\": true, \"version\": null, \"uptime_ms\": 5}"));
	cr_assert_not(result_fits("server.ping", "{\"pong\": true, \"version\": \"\", \"uptime_ms\": 5.0}"));
	cr_assert_not(result_fits("server.ping", "{\"pong\": true, \"version\": \"\", \"uptime_ms\": 5, \"x\": 1}"));
	cr_assert_not(result_fits("server.ping", "[]"));
	cr_assert(result_fits("rpc.discover", "{\"any\": 1}"));
	cr_assert_not(result_fits("rpc.discover", "null"));
	cr_assert(result_fits("vm.console", "{\"written\": 5}"));
}

Test(method_result, is_held_to_the_table_within)
{
	char text[256];

	cr_assert(
		result_fits("pool.status", "{\"shapes\": [], \"workers\": [], \"queue_limit\": 1, \"abandoned\": 0}"));
	cr_assert_not(
		result_fits("pool.status", "{\"shapes\": {}, \"workers\": [], \"queue_limit\": 1, \"abandoned\": 0}"));
	cr_assert_not(
		result_fits("pool.status", "{\"shapes\": [], \"workers\": [1], \"queue_limit\": 1, \"abandoned\": 0}"));
	for (int valid = 0; valid < 2; valid++) {
		(void)snprintf(text, sizeof(text),
			       "{\"shapes\": [], \"workers\": [{\"worker\": 1, \"pid\": 2, \"state\": \"warm\", "
			       "\"shape\": \"1x128-host\", \"vm\": %s}], \"queue_limit\": 1, \"abandoned\": 0}",
			       valid ? "null" : "7");
		cr_assert_eq(result_fits("pool.status", text), valid, "%s", text);
	}
	cr_assert(result_fits("events.subscribe", "{\"subscription\": 1, \"kinds\": [\"vm\"]}"));
	cr_assert_not(result_fits("events.subscribe", "{\"subscription\": 1, \"kinds\": [1]}"));
	cr_assert_not(result_fits("events.subscribe", "{\"subscription\": 1, \"kinds\": \"vm\"}"));
	cr_assert_not(result_fits("server.info",
				  "{\"version\": \"\", \"pid\": 1, \"uptime_ms\": 1, \"kvm\": {}, \"limits\": "
				  "{\"a\": \"b\"}, \"state_dir\": \"\", \"connections\": 1, \"roles\": []}"));
}

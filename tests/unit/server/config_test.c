/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: every option by its table's row, files right and wrong, flags, and what a reload may change.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/client/ember.h"
#include "server/cleanup.h"
#include "server/config.h"
#include "server/config_table.h"
#include "server/options.h"

struct reports {
	unsigned int count;
	char path[256]; /* of the last one */
	char message[512];
};

static void keep(void *opaque, const char *path, const char *message)
{
	struct reports *reports = opaque;

	reports->count++;
	(void)snprintf(reports->path, sizeof(reports->path), "%s", path);
	(void)snprintf(reports->message, sizeof(reports->message), "%s", message);
}

static int apply(struct config *config, const char *text, struct reports *reports)
{
	const struct config_report report = { .opaque = reports, .error = keep };
	cleanup_json json_t *root = json_loads(text, 0, NULL);

	cr_assert_not_null(root, "the test's own JSON: %s", text);
	memset(reports, 0, sizeof(*reports));
	return config_apply_json(config, root, &report);
}

static void refuses(const char *text, const char *path)
{
	struct config config, untouched;
	struct reports reports;

	config_set_defaults(&config);
	untouched = config;
	cr_expect_eq(apply(&config, text, &reports), -EINVAL, "%s", text);
	cr_expect_eq(reports.count, 1, "%s: %u reports", text, reports.count);
	cr_expect_str_eq(reports.path, path, "%s: reported under %s", text, reports.path);
	cr_expect_eq(memcmp(&config, &untouched, sizeof(config)), 0, "%s changed the configuration", text);
}

Test(config, every_default_is_within_its_own_bounds)
{
	const struct config_option *option;
	struct reports reports = { 0 };
	const struct config_report report = { .opaque = &reports, .error = keep };
	struct config config;

	for (option = config_options; option->path; option++) {
		cleanup_json json_t *value = json_loads(option->default_text, JSON_DECODE_ANY, NULL);

		cr_assert_not_null(value, "%s: the default is not JSON", option->path);
		cr_expect_eq(config_parse_value(option, option->path, value, &config, &report), 0, "%s: %s",
			     option->path, reports.message);
		cr_expect(option->help && option->help[0], "%s has no help", option->path);
	}
}

Test(config, defaults_pass_the_check_of_the_whole)
{
	struct reports reports = { 0 };
	const struct config_report report = { .opaque = &reports, .error = keep };
	struct config config;

	config_set_defaults(&config);
	cr_assert_eq(config_check(&config, &report), 0, "%s: %s", reports.path, reports.message);
	cr_expect_str_eq(config.socket_path, EMBER_DEFAULT_SOCKET);
	cr_expect_eq(config.admin.users.items[0], 0);
	cr_expect_eq(config.admin.users.count, geteuid() == 0 ? 1 : 2);
	cr_expect_eq(config.socket_group, CONFIG_NO_ID);
}

Test(config, no_path_is_given_twice_and_none_is_a_prefix_of_another)
{
	const struct config_option *left, *right;

	for (left = config_options; left->path; left++)
		for (right = config_options; right->path; right++) {
			size_t length = strlen(left->path);

			cr_expect(left == right || strcmp(left->path, right->path) != 0, "%s twice", left->path);
			cr_expect(strncmp(left->path, right->path, length) != 0 || right->path[length] != '.',
				  "%s is an option and leads to %s", left->path, right->path);
		}
}

Test(config, a_whole_file_of_every_kind_of_value)
{
	struct reports reports;
	struct config config;

	config_set_defaults(&config);
	cr_assert_eq(
		apply(&config,
		      "{\"socket\": \"/s\", \"http_socket\": \"\", \"socket_mode\": \"600\", \"socket_group\": 7,"
		      " \"worker\": {\"user\": \"root\", \"group\": 12},"
		      " \"limits\": {\"line_bytes\": 2048, \"nesting\": 9},"
		      " \"roles\": {\"observe\": {\"users\": [1, \"root\"], \"groups\": [5]}, \"admin\": {\"users\": []}},"
		      " \"log\": {\"level\": \"error\", \"format\": \"text\"},"
		      " \"pool\": {\"queue_limit\": 0, \"shapes\": ["
		      "  {\"vcpus\": 2, \"memory_mib\": 64, \"cpu_template\": \"portable\", \"min\": 0, \"max\": 3},"
		      "  {\"vcpus\": 2, \"memory_mib\": 64, \"pit_reinject\": false, \"min\": 4, \"max\": 4, \"refill_concurrency\": 4}]}}",
		      &reports),
		0, "%s: %s", reports.path, reports.message);
	cr_expect_str_eq(config.socket_path, "/s");
	cr_expect_str_empty(config.http_socket_path);
	cr_expect_eq(config.socket_mode, 0600);
	cr_expect_eq(config.socket_group, 7);
	cr_expect_eq(config.worker_uid, 0);
	cr_expect_eq(config.worker_gid, 12);
	cr_expect_eq(config.line_bytes_max, 2048);
	cr_expect_eq(config.nesting_max, 9);
	cr_expect_eq(config.observe.users.count, 2);
	cr_expect_eq(config.observe.users.items[0], 1);
	cr_expect_eq(config.observe.users.items[1], 0);
	cr_expect_eq(config.observe.groups.items[0], 5);
	cr_expect_eq(config.admin.users.count, 0);
	cr_expect_eq(config.log_level, LOG_LEVEL_ERROR);
	cr_expect_eq(config.log_format, LOG_FORMAT_TEXT);
	cr_expect_eq(config.queue_limit, 0);
	cr_assert_eq(config.shapes.count, 2);
	cr_expect_eq(config.shapes.items[0].vcpus, 2);
	cr_expect_eq(config.shapes.items[0].cpu_template, 1);
	cr_expect_eq(config.shapes.items[0].min, 0);
	cr_expect_eq(config.shapes.items[0].max, 3);
	cr_expect_eq(config.shapes.items[0].refill_concurrency, 2, "a default of a shape");
	cr_expect_eq(config.shapes.items[1].cpu_template, 0, "a default of a shape");
	cr_expect_eq(config.shapes.items[1].refill_concurrency, 4);
	cr_expect_eq(config.shapes.items[0].pit_reinject, 1, "a default of a shape");
	cr_expect_eq(config.shapes.items[1].pit_reinject, 0);
}

Test(config, unknown_keys_are_refused_with_their_path)
{
	refuses("{\"sokcet\": \"/s\"}", "sokcet");
	refuses("{\"limits\": {\"lines\": 1}}", "limits.lines");
	refuses("{\"roles\": {\"root\": {}}}", "roles.root");
	refuses("{\"roles\": {\"run\": {\"user\": []}}}", "roles.run.user");
	refuses("{\"limits.line_bytes\": 4096}", "limits.line_bytes");
	refuses("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 1, \"size\": 1}]}}", "pool.shapes[0].size");
	refuses("{\"\": 1}", "");
}

Test(config, values_of_the_wrong_type_or_range_are_refused)
{
	refuses("{\"socket\": \"relative\"}", "socket");
	refuses("{\"socket\": \"\"}", "socket");
	refuses("{\"socket\": 1}", "socket");
	refuses("{\"http_socket\": \"x\"}", "http_socket");
	refuses("{\"http_socket\": null}", "http_socket");
	refuses("{\"socket_mode\": 432}", "socket_mode");
	refuses("{\"socket_mode\": \"1777\"}", "socket_mode");
	refuses("{\"socket_mode\": \"rw\"}", "socket_mode");
	refuses("{\"socket_mode\": \"\"}", "socket_mode");
	refuses("{\"limits\": 1}", "limits");
	refuses("{\"limits\": {\"line_bytes\": 1023}}", "limits.line_bytes");
	refuses("{\"limits\": {\"line_bytes\": 67108865}}", "limits.line_bytes");
	refuses("{\"limits\": {\"line_bytes\": 4096.5}}", "limits.line_bytes");
	refuses("{\"limits\": {\"line_bytes\": \"4096\"}}", "limits.line_bytes");
	refuses("{\"limits\": {\"line_bytes\": -1}}", "limits.line_bytes");
	refuses("{\"limits\": {\"line_bytes\": 4294968320}}", "limits.line_bytes");
	refuses("{\"log\": {\"level\": \"loud\"}}", "log.level");
	refuses("{\"worker\": {\"user\": \"no-such-user-here\"}}", "worker.user");
	refuses("{\"worker\": {\"user\": 4294967295}}", "worker.user");
	refuses("{\"worker\": {\"group\": -1}}", "worker.group");
	refuses("{\"roles\": {\"run\": {\"users\": 0}}}", "roles.run.users");
	refuses("{\"roles\": {\"run\": {\"users\": [0, true]}}}", "roles.run.users[1]");
}

Test(config, shapes_are_checked_one_by_one)
{
	refuses("{\"pool\": {\"shapes\": {}}}", "pool.shapes");
	refuses("{\"pool\": {\"shapes\": [1]}}", "pool.shapes[0]");
	refuses("{\"pool\": {\"shapes\": [{\"memory_mib\": 1}]}}", "pool.shapes[0].vcpus");
	refuses("{\"pool\": {\"shapes\": [{\"vcpus\": 1}]}}", "pool.shapes[0].memory_mib");
	refuses("{\"pool\": {\"shapes\": [{\"vcpus\": 9, \"memory_mib\": 1}]}}", "pool.shapes[0].vcpus");
	refuses("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 3073}]}}", "pool.shapes[0].memory_mib");
	refuses("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 1, \"min\": 3, \"max\": 2}]}}",
		"pool.shapes[0].min");
	refuses("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 1}, {\"vcpus\": 1, \"memory_mib\": 1}]}}",
		"pool.shapes[1]");
}

Test(config, every_error_is_reported_and_what_is_right_is_set)
{
	struct reports reports;
	struct config config;

	config_set_defaults(&config);
	cr_expect_eq(apply(&config, "{\"a\": 1, \"limits\": {\"b\": 2, \"nesting\": 8, \"batch\": 0}}", &reports),
		     -EINVAL);
	cr_expect_eq(reports.count, 3);
	cr_expect_eq(config.nesting_max, 8);
}

Test(config, the_check_of_the_whole_finds_bounds_that_contradict)
{
	struct reports reports = { 0 };
	const struct config_report report = { .opaque = &reports, .error = keep };
	struct config config;

	config_set_defaults(&config);
	memcpy(config.http_socket_path, config.socket_path, sizeof(config.socket_path));
	config.output_drop_bytes = config.output_pause_bytes;
	config.unconfigured_shape.min = config.unconfigured_shape.max + 1;
	config.vms_max = 1;
	cr_expect_eq(config_check(&config, &report), -EINVAL);
	cr_expect_eq(reports.count, 4);
	cr_expect_str_eq(reports.path, "pool.max_vms");
}

/* A file in the current folder of the test, which Criterion does not change: a name of its own. */
static void write_file(char *path, size_t size, const char *text)
{
	int file;

	(void)snprintf(path, size, "/tmp/ember-config-XXXXXX");
	file = mkstemp(path);
	cr_assert_geq(file, 0);
	cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(file);
}

static int apply_file(const char *path, struct reports *reports)
{
	const struct config_report report = { .opaque = reports, .error = keep };
	struct config config;

	memset(reports, 0, sizeof(*reports));
	config_set_defaults(&config);
	return config_apply_file(&config, path, &report);
}

Test(config, a_file_that_is_not_json_is_refused_with_the_place)
{
	struct reports reports;
	char path[64];

	write_file(path, sizeof(path), "{\"log\":\n  {\"level\" \"info\"}}");
	cr_expect_eq(apply_file(path, &reports), -EINVAL);
	cr_expect_str_eq(reports.path, path);
	cr_expect(strstr(reports.message, "line 2"), "%s", reports.message);
	(void)unlink(path);

	write_file(path, sizeof(path), "{\"socket\": \"/a\", \"socket\": \"/b\"}");
	cr_expect_eq(apply_file(path, &reports), -EINVAL, "a key given twice");
	(void)unlink(path);

	write_file(path, sizeof(path), "[]");
	cr_expect_eq(apply_file(path, &reports), -EINVAL);
	(void)unlink(path);

	write_file(path, sizeof(path), "");
	cr_expect_eq(apply_file(path, &reports), -EINVAL);
	(void)unlink(path);
}

Test(config, a_path_that_is_no_regular_file_is_refused)
{
	struct reports reports;
	char fifo[64];

	cr_expect_eq(apply_file("/nonexistent/ember.json", &reports), -ENOENT);
	cr_expect_eq(apply_file("/", &reports), -EINVAL);
	(void)snprintf(fifo, sizeof(fifo), "/tmp/ember-config-fifo-%d", (int)getpid());
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_expect_eq(apply_file(fifo, &reports), -EINVAL, "a FIFO must neither block nor be read");
	(void)unlink(fifo);
}

Test(config, a_file_over_the_limit_is_refused)
{
	struct reports reports;
	char path[64];

	write_file(path, sizeof(path), "{}");
	cr_assert_eq(truncate(path, CONFIG_FILE_MAX + 1), 0);
	cr_expect_eq(apply_file(path, &reports), -EFBIG);
	(void)unlink(path);
}

Test(config, flags_win_over_the_file)
{
	char path[64], *arguments[] = { "emberd", "--socket", "/from/flag", "--config", path, "--state-dir=/x", NULL };
	struct reports reports = { 0 };
	const struct config_report report = { .opaque = &reports, .error = keep };
	struct options options;
	struct config config;

	write_file(path, sizeof(path), "{\"socket\": \"/from/file\", \"http_socket\": \"/from/file2\"}");
	cr_assert_eq(options_parse(6, arguments, &options), 0);
	cr_assert_eq(options_load_config(&options, &config, &report), 0, "%s: %s", reports.path, reports.message);
	cr_expect_str_eq(config.socket_path, "/from/flag");
	cr_expect_str_eq(config.http_socket_path, "/from/file2");
	cr_expect_str_eq(config.state_dir, "/x");
	(void)unlink(path);
}

Test(config, a_reload_changes_what_it_may_and_names_the_rest)
{
	struct reports reports = { 0 };
	const struct config_report fixed = { .opaque = &reports, .error = keep };
	struct config running, wanted;

	config_set_defaults(&running);
	config_set_defaults(&wanted);
	config_reload(&running, &wanted, &fixed);
	cr_expect_eq(reports.count, 0, "nothing differs, yet %s is reported", reports.path);

	wanted.nesting_max = 7;
	wanted.shapes.count = 0;
	wanted.run.users.count = 1;
	(void)snprintf(wanted.state_dir, sizeof(wanted.state_dir), "/elsewhere");
	config_reload(&running, &wanted, &fixed);
	cr_expect_eq(running.nesting_max, 7);
	cr_expect_eq(running.shapes.count, 0);
	cr_expect_eq(running.run.users.count, 1);
	cr_expect_eq(reports.count, 1);
	cr_expect_str_eq(reports.path, "state_dir");
	cr_expect_str_eq(running.state_dir, "/var/lib/ember");
}

Test(config, a_shorter_path_leaves_nothing_of_a_longer_one)
{
	struct reports reports = { 0 };
	const struct config_report report = { .opaque = &reports, .error = keep };
	struct config once, twice;

	config_set_defaults(&once);
	config_set_defaults(&twice);
	cr_assert_eq(config_apply_text(&twice, "socket", "/a/much/longer/path", &report), 0);
	cr_assert_eq(config_apply_text(&twice, "socket", "/a", &report), 0);
	cr_assert_eq(config_apply_text(&once, "socket", "/a", &report), 0);
	config_reload(&once, &twice, &report);
	cr_expect_eq(reports.count, 0, "%s differs", reports.path);
}

Test(config, limits_are_those_that_the_table_names)
{
	cleanup_json json_t *limits = NULL;
	const struct config_option *option;
	struct config config;
	size_t count = 0;

	config_set_defaults(&config);
	config.batch_max = 17;
	limits = config_limits(&config);
	cr_assert_not_null(limits);
	for (option = config_options; option->path; option++)
		count += option->limit_name != NULL;
	cr_expect_eq(json_object_size(limits), count);
	cr_expect_eq(json_integer_value(json_object_get(limits, "batch")), 17);
}

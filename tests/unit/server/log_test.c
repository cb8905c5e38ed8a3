/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: whatever a client puts into a value, a line stays one line of valid JSON, or of harmless text.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "server/cleanup.h"
#include "server/log.h"

#define TIME_NS (INT64_C(1714564800) * 1000000000 + 123456789) /* 2024-05-01T12:00:00.123456789Z */

static size_t form(char *line, enum log_format format, const struct log_field *fields)
{
	size_t length = log_form_line(line, TIME_NS, format, LOG_LEVEL_WARNING, "something happened", fields, 0);

	cr_assert_leq(length, LOG_LINE_MAX);
	cr_assert_eq(line[length - 1], '\n');
	cr_assert_null(memchr(line, '\n', length - 1), "a line end within the line");
	return length;
}

static json_t *form_json(const struct log_field *fields)
{
	char line[LOG_LINE_MAX];
	size_t length = form(line, LOG_FORMAT_JSON, fields);
	json_error_t error;
	json_t *json = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);

	cr_assert_not_null(json, "%s: %.*s", error.text, (int)length, line);
	return json;
}

static const char *text_of(const json_t *json, const char *name)
{
	return json_string_value(json_object_get(json, name));
}

Test(log, a_json_line_has_time_level_message_and_fields)
{
	cleanup_json json_t *json = form_json(
		LOG_FIELDS(log_number("vm", -7), log_text("path", "/x"), log_errno(-2), log_text("absent", NULL)));

	cr_expect_str_eq(text_of(json, "time"), "2024-05-01T12:00:00.123456Z");
	cr_expect_str_eq(text_of(json, "level"), "warning");
	cr_expect_str_eq(text_of(json, "message"), "something happened");
	cr_expect_eq(json_integer_value(json_object_get(json, "vm")), -7);
	cr_expect_str_eq(text_of(json, "path"), "/x");
	cr_expect_str_eq(text_of(json, "error"), "No such file or directory");
	cr_expect_eq(json_object_size(json), 6);
}

Test(log, a_text_line_reads_well)
{
	const struct log_field *fields = LOG_FIELDS(log_number("vm", 3), log_text("path", "/x"),
						    log_text("detail", "two words"), log_text("empty", ""));
	char line[LOG_LINE_MAX];
	size_t length = form(line, LOG_FORMAT_TEXT, fields);

	line[length - 1] = '\0';
	cr_expect_str_eq(line, "2024-05-01T12:00:00.123456Z warning something happened vm=3 path=/x "
			       "detail=\"two words\" empty=\"\"");
}

Test(log, every_byte_value_survives_json)
{
	char value[2] = "";
	int byte;

	for (byte = 1; byte < 256; byte++) {
		cleanup_json json_t *json = NULL;
		const char *got;

		value[0] = (char)byte;
		json = form_json(LOG_FIELDS(log_text("value", value)));
		got = text_of(json, "value");
		if (byte < 0x80)
			cr_expect_str_eq(got, value, "byte %#x", byte);
		else
			cr_expect_str_eq(got, "\xef\xbf\xbd", "byte %#x alone is not UTF-8", byte);
	}
}

Test(log, text_lines_carry_no_control_characters)
{
	const struct log_field *fields = LOG_FIELDS(log_text("value", "a\x1b[31m\n\r\x7f\xc2\x9b\xff\"\\z"));
	char line[LOG_LINE_MAX];
	size_t length = form(line, LOG_FORMAT_TEXT, fields);

	line[length - 1] = '\0';
	cr_expect_str_eq(strstr(line, "value="), "value=\"a\\x1b[31m\\x0a\\x0d\\x7f\\x9b\\xff\\\"\\\\z\"");
}

Test(log, utf8_is_kept_and_ill_formed_utf8_is_not)
{
	static const struct {
		const char *value;
		const char *expected;
	} rows[] = {
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa5" },
		{ "\xed\x9f\xbf", "\xed\x9f\xbf" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },                                 /* overlong */
		{ "\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                 /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                 /* a surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* above U+10FFFF */
		{ "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" },                                 /* cut short */
		{ "\xf0\x9f\x94", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                 /* cut short */
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_t *json = form_json(LOG_FIELDS(log_text("value", rows[i].value)));

		cr_expect_str_eq(text_of(json, "value"), rows[i].expected, "row %zu", i);
	}
}

Test(log, long_values_are_cut_and_the_line_says_so)
{
	char value[3 * LOG_LINE_MAX];
	json_t *json;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	json = form_json(LOG_FIELDS(log_text("value", value), log_number("after", 1)));
	cr_expect_eq(json_integer_value(json_object_get(json, "after")), 1);
	cr_expect(json_is_true(json_object_get(json, "truncated")));
	cr_expect_lt(strlen(text_of(json, "value")), LOG_LINE_MAX);
	json_decref(json);

	/* The same where each byte takes six of the line, and with more fields than fit. */
	memset(value, '\x01', sizeof(value) - 1);
	json = form_json(LOG_FIELDS(log_text("a", value), log_text("b", value), log_text("c", value),
				    log_text("d", value), log_text("e", value), log_number("f", 1)));
	cr_expect(json_is_true(json_object_get(json, "truncated")));
	json_decref(json);
}

/* Every length of a value around the places where something stops fitting. */
Test(log, a_line_is_valid_at_every_length)
{
	char value[LOG_LINE_MAX];
	size_t length;

	for (length = 1; length < 1200; length++) {
		memset(value, length % 2 ? 'x' : '\\', length);
		value[length] = '\0';
		json_decref(form_json(LOG_FIELDS(log_text("a", value), log_text("b", value), log_text("c", value),
						 log_text("d", value), log_number("e", INT64_MIN))));
	}
}

Test(log, dropped_lines_are_counted_in_the_next_one)
{
	char line[LOG_LINE_MAX];
	size_t length = log_form_line(line, TIME_NS, LOG_FORMAT_JSON, LOG_LEVEL_INFO, "back", LOG_FIELDS(), 12);
	cleanup_json json_t *json = json_loadb(line, length, 0, NULL);

	cr_expect_eq(json_integer_value(json_object_get(json, "dropped_lines")), 12);
}

static size_t read_all(int fd, char *text, size_t size)
{
	ssize_t got = read(fd, text, size - 1);

	text[got > 0 ? got : 0] = '\0';
	return got > 0 ? (size_t)got : 0;
}

Test(log, a_reader_that_stopped_costs_lines_and_never_blocks)
{
	char text[65536 + 1], *last;
	int ends[2], i;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_geq(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
	cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);

	for (i = 0; i < 1000; i++)
		log_info("a line that fills the pipe", log_number("i", i));
	while (read_all(ends[0], text, sizeof(text)) > 0)
		;
	log_info("after");
	cr_assert_gt(read_all(ends[0], text, sizeof(text)), 0);
	last = strstr(text, "dropped_lines");
	cr_expect_not_null(last, "%s", text);

	log_info("and again");
	cr_assert_gt(read_all(ends[0], text, sizeof(text)), 0);
	cr_expect_null(strstr(text, "dropped_lines"), "the count starts over: %s", text);
}

Test(log, levels_below_the_configured_one_are_not_written)
{
	char text[4096];
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	log_configure(LOG_LEVEL_WARNING, LOG_FORMAT_AUTO);
	log_info("quiet");
	cr_expect_eq(read_all(ends[0], text, sizeof(text)), 0);
	log_warning("loud");
	cr_expect_gt(read_all(ends[0], text, sizeof(text)), 0);
	cr_expect_eq(text[0], '{', "a pipe is no terminal, so the line is JSON");
}

Test(log, lines_that_clients_cause_have_a_limit_a_second)
{
	struct log_limit limit = { 0 };
	uint64_t second = UINT64_C(1000000000), left_out = 1;
	int i;

	for (i = 0; i < LOG_LIMIT_LINES; i++) {
		cr_assert(log_limit_allows(&limit, 5 * second + (uint64_t)i, &left_out));
		cr_assert_eq(left_out, 0);
	}
	for (i = 0; i < 7; i++)
		cr_assert_not(log_limit_allows(&limit, 6 * second - 1, &left_out), "the second's last moment");

	cr_assert(log_limit_allows(&limit, 6 * second, &left_out));
	cr_expect_eq(left_out, 7, "they are told once");
	cr_assert(log_limit_allows(&limit, 6 * second, &left_out));
	cr_expect_eq(left_out, 0);
}

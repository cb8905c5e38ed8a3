/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structured log lines on standard error: one JSON object a line, or one readable line on a terminal.
 *
 *	log_info("connection accepted", log_number("connection", id), log_number("uid", uid));
 *
 * The keys in use: "connection", "request", "vm", "worker", "pid", "uid", "path", "error", "detail", and what a
 * message needs beyond them. Only server/ logs.
 */
#ifndef EMBER_SERVER_LOG_H
#define EMBER_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest line, with its newline: what a pipe that polls writable takes without blocking (PIPE_BUF). */
#define LOG_LINE_MAX 4096

enum log_level {
	LOG_LEVEL_DEBUG = 0,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
};

enum log_format {
	LOG_FORMAT_AUTO = 0, /* text when standard error is a terminal, else JSON */
	LOG_FORMAT_JSON,
	LOG_FORMAT_TEXT,
};

enum log_field_type {
	LOG_FIELD_END = 0,
	LOG_FIELD_TEXT,
	LOG_FIELD_NUMBER,
	LOG_FIELD_ERROR,
};

struct log_field {
	const char *key;
	enum log_field_type type;
	const char *text; /* LOG_FIELD_TEXT; NULL: the field is left out */
	int64_t number;   /* LOG_FIELD_NUMBER; LOG_FIELD_ERROR: an errno, positive or negative */
};

static inline struct log_field log_text(const char *key, const char *text)
{
	return (struct log_field){ .key = key, .type = LOG_FIELD_TEXT, .text = text };
}

static inline struct log_field log_number(const char *key, int64_t number)
{
	return (struct log_field){ .key = key, .type = LOG_FIELD_NUMBER, .number = number };
}

/* The field "error": the system's text for an error number. */
static inline struct log_field log_errno(int error)
{
	return (struct log_field){ .key = "error", .type = LOG_FIELD_ERROR, .number = error };
}

/*
 * Say from which level on lines are written and in which form. Until then: info and above, LOG_FORMAT_AUTO.
 */
void log_configure(enum log_level level, enum log_format format);

#define LOG_INSTANCE_MAX 63

/*
 * Say which start of the daemon the lines are of: those in JSON have it as "instance" from now on.
 *
 * instance  copied, LOG_INSTANCE_MAX bytes of it at most; "": none
 */
void log_identify(const char *instance);

/*
 * Write one line, unless its level is below the configured one. Never blocks: a line that standard error cannot take
 * at once is dropped, and the next line that gets through counts the dropped ones in "dropped_lines".
 *
 * message  a constant sentence without a full stop
 * fields   ended by one of type LOG_FIELD_END
 */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/*
 * Lines of one kind that clients can cause at will: so many a second at most, the others are counted. Starts as zero.
 */
#define LOG_LIMIT_LINES 20

struct log_limit {
	int64_t second; /* CLOCK_MONOTONIC */
	uint32_t lines; /* in that second */
	uint64_t left_out;
};

/*
 * Count a line against its limit at this time (nanoseconds of CLOCK_MONOTONIC).
 *
 * ret_left_out  where the line is allowed: how many were not since the last one that was
 */
bool log_limit_allows(struct log_limit *limit, uint64_t now_ns, uint64_t *ret_left_out);

/* As log_write(), within the limit. After lines that were left out, the next is preceded by one that says how many. */
void log_write_limited(struct log_limit *limit, enum log_level level, const char *message,
		       const struct log_field *fields);

#define LOG_FIELDS(...) ((const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ .type = LOG_FIELD_END } })

#define log_debug(message, ...)   log_write(LOG_LEVEL_DEBUG, message, LOG_FIELDS(__VA_ARGS__))
#define log_info(message, ...)    log_write(LOG_LEVEL_INFO, message, LOG_FIELDS(__VA_ARGS__))
#define log_warning(message, ...) log_write(LOG_LEVEL_WARNING, message, LOG_FIELDS(__VA_ARGS__))
#define log_error(message, ...)   log_write(LOG_LEVEL_ERROR, message, LOG_FIELDS(__VA_ARGS__))

/*
 * Form a line as log_write() does, for a given time.
 *
 * line         at least LOG_LINE_MAX bytes
 * nanoseconds  since the epoch
 * format       LOG_FORMAT_JSON or LOG_FORMAT_TEXT
 *
 * Returns the length, newline included, at most LOG_LINE_MAX; the line is not terminated by a zero byte. What does not
 * fit is cut at a field's end, or within a value at a character's end, and the line says "truncated".
 */
size_t log_form_line(char *line, int64_t nanoseconds, enum log_format format, enum log_level level, const char *message,
		     const struct log_field *fields, uint64_t dropped_lines);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one JSON value of a kind that is known beforehand, with an error that names where it stands.
 *
 * The forms of values in state.json: 64-bit integers are strings "0x...", others are numbers; bytes are hexadecimal
 * strings.
 */
#ifndef EMBER_SNAPSHOT_JSON_VALUE_H
#define EMBER_SNAPSHOT_JSON_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "kvm/error_detail.h"

/* Where a reader stands: "vcpus[0].sregs.cr3". */
struct json_path {
	char text[160]; /* one that does not fit is cut */
	size_t length;
};

/* Go into a member or an element; json_path_leave() goes back to what the call returned. */
size_t json_path_enter_member(struct json_path *path, const char *name);
size_t json_path_enter_element(struct json_path *path, size_t index);
void json_path_leave(struct json_path *path, size_t length);

/* Set detail to "PATH: message". Returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int json_fail(const struct json_path *path, struct error_detail *detail,
						    const char *format, ...);

/* The same for a member that should not be there: its key, which may hold anything, is made printable. */
int json_fail_unknown(const struct json_path *path, const char *key, struct error_detail *detail);

/* Copy a text from outside, with "?" for every byte that is not printable ASCII, cut to fit size. */
void json_printable(const char *text, char *ret_text, size_t size);

/*
 * Why jansson did not load a text.
 *
 * error     of json_loadb()
 * ret_text  a sentence, printable, cut to fit size
 *
 * Returns -EINVAL, or -ENOMEM: then the text may be as it should.
 */
int json_load_failure(const json_error_t *error, char *ret_text, size_t size);

/*
 * Each returns 0 with the value in its result, or -EINVAL with detail set. value may be NULL: it is missing.
 *
 * json_read_integer   a number from minimum to maximum
 * json_read_hex       a string "0x" with 1 to 16 hexadecimal digits, of at most maximum
 * json_read_string    a string of 1 to size - 1 bytes, all printable ASCII; ret_text has size bytes
 * json_read_bytes     a string of exactly 2 * count hexadecimal digits
 */
int json_read_integer(const json_t *value, int64_t minimum, uint64_t maximum, const struct json_path *path,
		      int64_t *ret_number, struct error_detail *detail);
int json_read_hex(const json_t *value, uint64_t maximum, const struct json_path *path, uint64_t *ret_number,
		  struct error_detail *detail);
int json_read_string(const json_t *value, size_t size, const struct json_path *path, char *ret_text,
		     struct error_detail *detail);
int json_read_bytes(const json_t *value, size_t count, const struct json_path *path, uint8_t *ret_bytes,
		    struct error_detail *detail);

/* 0 if value is an object or an array; else -EINVAL with detail set. */
int json_expect_object(const json_t *value, const struct json_path *path, struct error_detail *detail);
int json_expect_array(const json_t *value, const struct json_path *path, struct error_detail *detail);

/* New values of the same forms; NULL when out of memory. */
json_t *json_new_hex(uint64_t number, unsigned digits);
json_t *json_new_bytes(const uint8_t *bytes, size_t count);

#endif

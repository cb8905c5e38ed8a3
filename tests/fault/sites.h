/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sites that a script came by, in a fixed order, with names.
 */
#ifndef EMBER_TESTS_FAULT_SITES_H
#define EMBER_TESTS_FAULT_SITES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "functions.h"
#include "page.h"

#define SITE_TEXT 400

struct site {
	uint64_t key;
	uint32_t function;
	uint32_t step;
	uint64_t number;
	uint64_t frames[FAULT_FRAMES_MAX];
	char kind[FAULT_KIND_MAX];
	char text[SITE_TEXT]; /* the call, and where it is */
};

struct function {
	const char *name;
	const int *errors;
	size_t error_count;
};

/* The rows of functions.h. */
extern const struct function functions[];
extern const size_t function_count;

/*
 * Read a page's sites, sorted by kind of process, function and place, and name them.
 *
 * ret_sites  the caller frees it
 *
 * Returns how many.
 */
size_t sites_read(const struct fault_page *page, const char *program, struct site **ret_sites);

/* Print how many there are of each kind of process, and of each function in it. */
void sites_print_counts(const struct site *sites, size_t count, FILE *file);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state with something distinct in every field, made from the tables alone, and its document.
 */
#ifndef EMBER_TESTS_SNAPSHOT_SAMPLE_H
#define EMBER_TESTS_SNAPSHOT_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "snapshot/state_json.h"

struct sample {
	struct vm_state state;
	struct snapshot_metadata metadata;
	struct memory_checksums checksums;
};

/*
 * Fill a sample: pseudo-random values within the tables' bounds, padding zero. rows is how many MSRs and CPUID leaves
 * there are. The result is the caller's, from malloc(3).
 */
struct sample *sample_new(uint32_t vcpus, uint32_t rows);

/* The sample's state.json; from malloc(3). */
char *sample_text(const struct sample *sample, size_t *ret_size);

/* A state.json with the right first line for any document: without its magic, format and crc64. From malloc(3). */
char *sample_seal(const json_t *document, size_t *ret_size);

/* The same for any text that follows the first line. */
char *sample_seal_text(const char *body, size_t size, size_t *ret_size);

/* state_json_read() into a sample that holds garbage before. */
int sample_read(const char *text, size_t size, struct sample *ret_sample, struct error_detail *detail);

/* Fail the test unless all of it came back. */
void sample_expect_same(const struct sample *back, const struct sample *sample);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts that a worker or a file wrote, as JSON strings.
 */
#ifndef EMBER_SERVER_JSON_LOSSY_H
#define EMBER_SERVER_JSON_LOSSY_H

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "proto/text_encoding.h"

/*
 * A string in which what is not UTF-8 is replaced, so that a hostile text costs an answer nothing. NULL: out of
 * memory.
 */
static inline json_t *json_lossy(const char *text)
{
	json_t *json = json_string(text);
	char *replaced = NULL;

	if (json || utf8_lossy((const uint8_t *)text, strlen(text), &replaced, NULL))
		return json;

	json = json_string(replaced);
	free(replaced);
	return json;
}

#endif

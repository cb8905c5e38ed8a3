/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text made fit to show: safe for a terminal, and in the case and with the separators that its place asks for.
 *
 * Control characters are U+0000..001f and U+007f, and U+0080..009f (0xc2 0x80..0x9f in UTF-8), which some terminals
 * obey as well.
 */
#include "emberctl/text.h"

#include <ctype.h>
#include <stddef.h>

/* Bytes of the control character that stands here; 0: none does. */
static size_t control_length(const char *text)
{
	unsigned char byte = (unsigned char)text[0];

	if (byte < 0x20 || byte == 0x7f)
		return 1;
	return byte == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] <= 0x9f ? 2 : 0;
}

void text_make_printable(char *text)
{
	while (*text != '\0') {
		size_t length = control_length(text);

		if (length == 0) {
			text++;
			continue;
		}
		while (length-- > 0)
			*text++ = '?';
	}
}

void text_put_printable(const char *text, FILE *out)
{
	while (*text != '\0') {
		size_t length = control_length(text);

		fputc(length > 0 ? '?' : *text, out);
		text += length > 0 ? length : 1;
	}
}

void text_upper_case(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)toupper((unsigned char)*text);
}

void text_replace(char *text, char from, char to)
{
	for (; *text != '\0'; text++) {
		if (*text == from)
			*text = to;
	}
}

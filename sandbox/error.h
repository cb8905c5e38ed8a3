/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an error number cannot say: which descriptor, which limit, which rule.
 */
#ifndef EMBER_SANDBOX_ERROR_H
#define EMBER_SANDBOX_ERROR_H

#include <stdarg.h>
#include <stdio.h>

struct sandbox_error {
	char text[256]; /* a sentence without a full stop, always terminated */
};

/* Say why; error may be NULL, a text that does not fit is cut. */
__attribute__((format(printf, 2, 3))) static inline void sandbox_error_set(struct sandbox_error *error,
									   const char *format, ...)
{
	va_list arguments;

	if (!error)
		return;

	va_start(arguments, format);
	(void)vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
}

#endif

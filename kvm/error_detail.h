/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an error number cannot say: which MSR, which field, which file.
 *
 * A library function that can fail for many reasons takes a pointer to one of these as its last parameter and fills
 * it before it returns -errno. Libraries do not log; their callers print the text or answer a client with it.
 */
#ifndef EMBER_KVM_ERROR_DETAIL_H
#define EMBER_KVM_ERROR_DETAIL_H

#include <stdarg.h>
#include <stdio.h>

struct error_detail {
	char text[256]; /* a sentence without a full stop, always terminated; empty when nothing was said */
};

/*
 * Say why. A later call replaces an earlier one; a text that does not fit is cut.
 *
 * detail  may be NULL: then nothing is written
 * format  as for printf(3)
 */
__attribute__((format(printf, 2, 3))) static inline void error_detail_set(struct error_detail *detail,
									  const char *format, ...)
{
	va_list arguments;

	if (!detail)
		return;

	va_start(arguments, format);
	(void)vsnprintf(detail->text, sizeof(detail->text), format, arguments);
	va_end(arguments);
}

#endif

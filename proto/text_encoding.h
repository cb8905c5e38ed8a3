/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a guest's console as JSON strings: base64, which keeps every byte, and UTF-8, which a person can read.
 */
#ifndef EMBER_PROTO_TEXT_ENCODING_H
#define EMBER_PROTO_TEXT_ENCODING_H

#include <stddef.h>
#include <stdint.h>

/*
 * Base64 with padding and without line ends (RFC 4648, section 4).
 *
 * ret_text  terminated; the caller frees it
 *
 * Returns 0, -ENOMEM or -EOVERFLOW (the length of the text would not fit).
 */
int base64_encode(const uint8_t *data, size_t length, char **ret_text);

/*
 * The strict inverse: nothing but the alphabet, full padding, unused bits zero (RFC 4648, sections 3.3 and 3.5).
 *
 * ret_data    the caller frees it; not NULL also where *ret_length is 0
 *
 * Returns 0, -EBADMSG or -ENOMEM.
 */
int base64_decode(const char *text, size_t length, uint8_t **ret_data, size_t *ret_length);

/*
 * Bytes as UTF-8 that JSON can carry: each maximal ill-formed part (Unicode 15, section 3.9, table 3-8) and each NUL
 * becomes U+FFFD.
 *
 * ret_text    terminated; the caller frees it
 * ret_length  bytes, may be NULL
 *
 * Returns 0, -ENOMEM or -EOVERFLOW.
 */
int utf8_lossy(const uint8_t *data, size_t length, char **ret_text, size_t *ret_length);

/*
 * How many of the bytes can be given now without cutting a character that may be completed by later ones: length, or up
 * to 3 fewer.
 */
size_t utf8_complete_length(const uint8_t *data, size_t length);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_TEXT_H
#define EMBERCTL_TEXT_H

#include <stdio.h>

/*
 * Replace every control character by '?': the text may come from a guest, a file name or another user, and would reach
 * the terminal of whoever reads it.
 *
 * text  UTF-8, changed in place; its length stays
 */
void text_make_printable(char *text);

/* Write a text as text_make_printable() would have it. */
void text_put_printable(const char *text, FILE *out);

/* Capital letters for small ones; ASCII only. In place. */
void text_upper_case(char *text);

/* Every byte that is from becomes to. In place. */
void text_replace(char *text, char from, char to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COM1: lines in, text out.
 */
#ifndef EMBER_DEMO_GUEST_CONSOLE_H
#define EMBER_DEMO_GUEST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

#define CONSOLE_LINE_MAX 1024 /* bytes of a line, without its end */

/* Set the UART up: 115200 baud, 8N1, FIFOs on, interrupts for what is received. */
void console_start(void);

/* The interrupt: take what the UART has received. */
void console_receive(void);

enum console_input {
	CONSOLE_NOTHING = 0, /* no whole line yet */
	CONSOLE_LINE,
	CONSOLE_TOO_LONG, /* a line of more than CONSOLE_LINE_MAX bytes came and was dropped */
};

/*
 * The next line. Ends are CR or LF; backspace and delete take the last byte back; empty lines do not count.
 *
 * ret_line  on CONSOLE_LINE; valid until the next call
 */
enum console_input console_take_line(struct text *ret_line);

/* Has something come that console_take_line() has not seen? To be asked with interrupts off. */
bool console_has_input(void);

void console_put_text(struct text text);
void console_put_string(const char *string);
void console_put_decimal(uint64_t value);
void console_put_hex(uint64_t value);                         /* "0x" and as few digits as it takes */
void console_put_hex_digits(uint64_t value, unsigned digits); /* that many digits, no prefix */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COM1, a 16550A: interrupts for what comes in, polling for what goes out.
 *
 * The interrupt moves bytes from the UART's FIFO into a ring. Where the ring is full, bytes stay in the UART (whose
 * host keeps the rest), and whoever makes room in the ring fetches them: the interrupt line is up all the while, so
 * no further interrupt would come for them.
 *
 * The transmitter is asked once for every 16 bytes, a FIFO's worth, because each look at a register costs a VM exit.
 */
#include "console.h"

#include "platform.h"

#define COM1             0x3f8
#define REGISTER_DATA    (COM1 + 0)
#define REGISTER_IER     (COM1 + 1)
#define REGISTER_FCR     (COM1 + 2)
#define REGISTER_LCR     (COM1 + 3)
#define REGISTER_MCR     (COM1 + 4)
#define REGISTER_LSR     (COM1 + 5)
#define LSR_DATA_READY   0x01
#define LSR_SENDER_EMPTY 0x20
#define FIFO_SIZE        16

#define RING_SIZE 4096 /* a power of two */

static volatile char ring[RING_SIZE];
static volatile uint32_t ring_head; /* counts bytes put in */
static volatile uint32_t ring_tail; /* counts bytes taken out */
static volatile bool ring_overrun;  /* bytes were left in the UART */

static char line[CONSOLE_LINE_MAX];
static size_t line_length;
static bool line_too_long;
static unsigned sender_room;

void console_start(void)
{
	port_write(REGISTER_LCR, 0x80); /* the divisor's turn */
	port_write(REGISTER_DATA, 1);
	port_write(REGISTER_IER, 0);
	port_write(REGISTER_LCR, 0x03); /* 8 bits, no parity, 1 stop bit */
	port_write(REGISTER_FCR, 0x07); /* FIFOs on and empty, an interrupt from the first byte */
	port_write(REGISTER_MCR, 0x0b); /* DTR, RTS, and OUT2, which lets the interrupt through */
	port_write(REGISTER_IER, 0x01); /* received data */
}

void console_receive(void)
{
	while (port_read(REGISTER_LSR) & LSR_DATA_READY) {
		if (ring_head - ring_tail == RING_SIZE) {
			ring_overrun = true;
			return;
		}
		ring[ring_head % RING_SIZE] = (char)port_read(REGISTER_DATA);
		ring_head = ring_head + 1;
	}
}

bool console_has_input(void)
{
	return ring_head != ring_tail;
}

static bool take_byte(char *ret_byte)
{
	if (ring_head == ring_tail)
		return false;

	*ret_byte = ring[ring_tail % RING_SIZE];
	ring_tail = ring_tail + 1;
	if (ring_overrun) {
		interrupts_disable();
		ring_overrun = false;
		console_receive();
		interrupts_enable();
	}

	return true;
}

/* What the bytes since the last end make. */
static enum console_input finish_line(struct text *ret_line)
{
	const size_t length = line_length;
	const bool too_long = line_too_long;

	line_length = 0;
	line_too_long = false;
	if (too_long)
		return CONSOLE_TOO_LONG;
	if (length == 0)
		return CONSOLE_NOTHING;

	*ret_line = (struct text){ .start = line, .length = length };
	return CONSOLE_LINE;
}

static void add_to_line(char byte)
{
	if (byte == '\b' || byte == 0x7f)
		line_length -= line_length > 0;
	else if (line_length < sizeof(line))
		line[line_length++] = byte;
	else
		line_too_long = true;
}

enum console_input console_take_line(struct text *ret_line)
{
	enum console_input input;
	char byte;

	while (take_byte(&byte)) {
		if (byte != '\n' && byte != '\r') {
			add_to_line(byte);
			continue;
		}
		input = finish_line(ret_line);
		if (input != CONSOLE_NOTHING)
			return input;
	}

	return CONSOLE_NOTHING;
}

static void put_byte(char byte)
{
	while (sender_room == 0)
		if (port_read(REGISTER_LSR) & LSR_SENDER_EMPTY)
			sender_room = FIFO_SIZE;

	port_write(REGISTER_DATA, (uint8_t)byte);
	sender_room--;
}

void console_put_text(struct text text)
{
	for (size_t i = 0; i < text.length; i++)
		put_byte(text.start[i]);
}

void console_put_string(const char *string)
{
	while (*string != '\0')
		put_byte(*string++);
}

void console_put_decimal(uint64_t value)
{
	char digits[20];
	size_t start = sizeof(digits);

	do {
		digits[--start] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	console_put_text((struct text){ .start = digits + start, .length = sizeof(digits) - start });
}

void console_put_hex_digits(uint64_t value, unsigned digits)
{
	while (digits-- > 0)
		put_byte("0123456789abcdef"[value >> (4 * digits) & 15]);
}

void console_put_hex(uint64_t value)
{
	unsigned digits = 1;

	while (digits < 16 && value >> (4 * digits) != 0)
		digits++;
	console_put_string("0x");
	console_put_hex_digits(value, digits);
}

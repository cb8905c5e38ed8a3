/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UART's interrupts: each source, its priority and what takes it back; and edges, on which guests with an
 * edge-triggered controller depend.
 */
#include <criterion/criterion.h>

#include "serial_port.h"

#define RECEIVED     0x01
#define TRANSMITTER  0x02
#define LINE_STATUS  0x04
#define MODEM_STATUS 0x08

static struct serial_port port;

static void set_up(void)
{
	serial_port_open(&port, SERIAL_DROP_OLDEST);
	serial_port_put(&port, MCR, MCR_OUT2);
}

static void tear_down(void)
{
	serial_port_close(&port);
}

TestSuite(serial_interrupts, .init = set_up, .fini = tear_down);

static uint8_t get(uint64_t offset)
{
	return serial_port_get(&port, offset);
}

static void put(uint64_t offset, uint8_t value)
{
	serial_port_put(&port, offset, value);
}

static void type(const char *text)
{
	cr_assert_eq(serial_port_type(&port, text), strlen(text));
}

Test(serial_interrupts, received_data_without_fifos)
{
	put(IER, RECEIVED);
	cr_assert_not(port.line);
	type("a");
	cr_assert(port.line);
	cr_assert_eq(get(IIR), 0x04);
	cr_assert(port.line, "reading the IIR does not take it back");
	cr_assert_eq(get(RBR), 'a');
	cr_assert_not(port.line);
	cr_assert_eq(get(IIR), 0x01);
}

Test(serial_interrupts, each_character_without_fifos_makes_an_edge)
{
	put(IER, RECEIVED);
	type("abc");
	for (const char *c = "abc"; *c; c++) {
		cr_assert_eq(serial_port_new_rises(&port), 1);
		cr_assert_eq(get(RBR), *c);
	}
	cr_assert_eq(serial_port_new_rises(&port), 0);
	cr_assert_not(port.line);
}

Test(serial_interrupts, trigger_levels)
{
	static const struct {
		uint8_t fcr;
		unsigned int level;
	} levels[] = { { 0x01, 1 }, { 0x41, 4 }, { 0x81, 8 }, { 0xc1, 14 } };

	put(MCR, MCR_OUT2 | MCR_LOOPBACK);
	put(IER, RECEIVED);
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		put(FCR, levels[i].fcr | 0x02);
		for (unsigned int count = 1; count <= SERIAL_FIFO_SIZE; count++) {
			put(THR, 'x');
			cr_assert_eq(get(IIR), count >= levels[i].level ? 0xc4 : 0xcc, "level %u, %u characters",
				     levels[i].level, count);
		}
		for (unsigned int count = SERIAL_FIFO_SIZE - 1; count > 0; count--) {
			(void)get(RBR);
			cr_assert_eq(get(IIR), count >= levels[i].level ? 0xc4 : 0xcc, "level %u, %u characters",
				     levels[i].level, count);
		}
		(void)get(RBR);
		cr_assert_eq(get(IIR), 0xc1);
		cr_assert_not(port.line);
	}
}

Test(serial_interrupts, character_timeout_of_a_fifo_that_stays_below_its_trigger_level)
{
	put(FCR, 0xc1);
	put(IER, RECEIVED);
	type("abc");
	cr_assert(port.line);
	cr_assert_eq(get(IIR), 0xcc);
	cr_assert_eq(serial_port_new_rises(&port), 1);

	cr_assert_eq(get(RBR), 'a');
	cr_assert_eq(serial_port_new_rises(&port), 1, "the timer starts again, and is over again");
	cr_assert_eq(get(IIR), 0xcc);
	cr_assert_eq(get(RBR), 'b');
	cr_assert_eq(get(RBR), 'c');
	cr_assert_eq(get(IIR), 0xc1);
	cr_assert_not(port.line);
}

Test(serial_interrupts, no_timeout_without_fifos)
{
	put(IER, RECEIVED);
	type("a");
	cr_assert_eq(get(IIR), 0x04);
}

/*
 * Guests that take one interrupt for each edge must come through a long input whether they read one character an
 * interrupt or as many as the trigger level promises: an edge for each, and none missing at the end.
 */
Test(serial_interrupts, an_edge_a_read_until_all_is_read)
{
	static const uint8_t fcr[] = { 0x00, 0x01, 0x41, 0x81, 0xc1 };

	for (size_t i = 0; i < sizeof(fcr) / sizeof(fcr[0]); i++) {
		unsigned int left = 300;
		uint8_t data[300] = { 0 };

		put(FCR, 0x00);
		put(FCR, fcr[i]);
		put(IER, RECEIVED);
		(void)serial_port_new_rises(&port);
		cr_assert_eq(serial_write_input(port.serial, data, left), left);
		while (left > 0) {
			cr_assert_geq(serial_port_new_rises(&port), 1, "FCR 0x%02x, %u left", fcr[i], left);
			(void)get(RBR);
			left--;
		}
		cr_assert_eq(serial_port_new_rises(&port), 0);
		cr_assert_not(port.line);
	}
}

Test(serial_interrupts, a_guest_that_reads_what_its_trigger_level_promises)
{
	uint8_t data[100] = { 0 };
	unsigned int read = 0;

	put(FCR, 0xc1);
	put(IER, RECEIVED);
	cr_assert_eq(serial_write_input(port.serial, data, sizeof(data)), sizeof(data));
	while (serial_port_new_rises(&port) > 0) {
		unsigned int promised = get(IIR) == 0xc4 ? 14 : 1;

		for (unsigned int i = 0; i < promised; i++, read++)
			cr_assert_eq(get(LSR) & 0x01, 1);
		for (unsigned int i = 0; i < promised; i++)
			(void)get(RBR);
	}
	cr_assert_eq(read, sizeof(data));
}

Test(serial_interrupts, clearing_the_fifo_makes_an_edge_for_what_comes_next)
{
	uint8_t data[40] = { 0 };

	put(FCR, 0xc1);
	put(IER, RECEIVED);
	cr_assert_eq(serial_write_input(port.serial, data, sizeof(data)), sizeof(data));
	cr_assert_eq(serial_port_new_rises(&port), 1);
	put(FCR, 0xc3);
	cr_assert_eq(serial_port_new_rises(&port), 1);
	cr_assert_eq(get(IIR), 0xc4);
}

Test(serial_interrupts, transmitter_by_enabling_it)
{
	put(IER, TRANSMITTER);
	cr_assert(port.line);
	cr_assert_eq(get(IIR), 0x02);
	cr_assert_not(port.line, "taken back by reading the IIR");
	cr_assert_eq(get(IIR), 0x01);

	put(IER, TRANSMITTER);
	cr_assert_not(port.line, "it was enabled before");
	put(IER, 0);
	put(IER, TRANSMITTER);
	cr_assert(port.line, "Linux looks for chips that do not do this (UART_BUG_THRE)");
	put(IER, 0);
	cr_assert_not(port.line);
}

Test(serial_interrupts, transmitter_by_sending)
{
	put(IER, TRANSMITTER);
	(void)get(IIR);
	(void)serial_port_new_rises(&port);

	put(THR, 'a');
	cr_assert_eq(serial_port_new_rises(&port), 1);
	put(THR, 'b');
	cr_assert_eq(serial_port_new_rises(&port), 1, "an edge for a guest that does not read the IIR");
	cr_assert_eq(get(IIR), 0x02);
	cr_assert_not(port.line);
	put(IER, 0);
	put(THR, 'c');
	cr_assert_not(port.line);
}

Test(serial_interrupts, transmitter_by_changing_fcr_bit_0)
{
	put(IER, TRANSMITTER);
	(void)get(IIR);
	put(FCR, 0x01);
	cr_assert_eq(get(IIR), 0xc2);
	put(FCR, 0x41);
	cr_assert_eq(get(IIR), 0xc1, "bit 0 did not change");
	put(FCR, 0x00);
	cr_assert_eq(get(IIR), 0x02);
}

Test(serial_interrupts, reading_the_iir_takes_the_transmitter_back_only_when_it_says_so)
{
	put(IER, RECEIVED | TRANSMITTER);
	type("a");
	cr_assert_eq(get(IIR), 0x04);
	cr_assert_eq(get(IIR), 0x04);
	(void)get(RBR);
	cr_assert(port.line);
	cr_assert_eq(get(IIR), 0x02);
	cr_assert_not(port.line);
}

Test(serial_interrupts, line_status)
{
	put(IER, LINE_STATUS);
	put(MCR, MCR_OUT2 | MCR_LOOPBACK);
	put(THR, 'a');
	cr_assert_not(port.line);
	put(THR, 'b');
	cr_assert(port.line);
	cr_assert_eq(get(IIR), 0x06);
	cr_assert_eq(get(LSR), 0x63);
	cr_assert_not(port.line);
	cr_assert_eq(get(IIR), 0x01);
}

Test(serial_interrupts, modem_status)
{
	put(IER, MODEM_STATUS);
	cr_assert_not(port.line);
	put(MCR, MCR_OUT2 | MCR_LOOPBACK);
	cr_assert(port.line);
	cr_assert_eq(get(IIR), 0x00);
	(void)get(MSR);
	cr_assert_not(port.line);
	cr_assert_eq(get(IIR), 0x01);
}

Test(serial_interrupts, priorities)
{
	put(FCR, 0x01);
	put(IER, RECEIVED | TRANSMITTER | LINE_STATUS | MODEM_STATUS);
	put(MCR, MCR_OUT2 | MCR_LOOPBACK);
	for (unsigned int i = 0; i <= SERIAL_FIFO_SIZE; i++)
		put(THR, 'x');

	cr_assert_eq(get(IIR), 0xc6);
	(void)get(LSR);
	cr_assert_eq(get(IIR), 0xc4);
	put(FCR, 0x03);
	cr_assert_eq(get(IIR), 0xc2);
	cr_assert_eq(get(IIR), 0xc0);
	cr_assert(port.line);
	(void)get(MSR);
	cr_assert_eq(get(IIR), 0xc1);
	cr_assert_not(port.line);
}

Test(serial_interrupts, a_disabled_source_stays_silent_and_is_there_when_enabled)
{
	put(MCR, MCR_OUT2 | MCR_LOOPBACK);
	put(THR, 'a');
	put(THR, 'b');
	cr_assert_eq(get(IIR), 0x01);
	cr_assert_not(port.line);

	put(IER, MODEM_STATUS);
	cr_assert_eq(get(IIR), 0x00);
	put(IER, RECEIVED | MODEM_STATUS);
	cr_assert_eq(get(IIR), 0x04);
	put(IER, LINE_STATUS | RECEIVED | MODEM_STATUS);
	cr_assert_eq(get(IIR), 0x06);
}

Test(serial_interrupts, out2_gates_the_line_and_not_the_iir)
{
	put(MCR, 0);
	put(IER, RECEIVED);
	type("a");
	cr_assert_not(port.line);
	cr_assert_eq(get(IIR), 0x04);
	put(MCR, MCR_OUT2);
	cr_assert(port.line);
	put(MCR, 0);
	cr_assert_not(port.line);
	put(MCR, MCR_OUT2 | MCR_LOOPBACK);
	cr_assert(port.line, "in loopback the gate follows the register");
}

Test(serial_interrupts, the_line_is_set_only_when_its_level_changes)
{
	put(IER, RECEIVED);
	type("a");
	cr_assert_eq(port.sets, 1);
	type("b");
	(void)get(IIR);
	(void)get(LSR);
	(void)get(MSR);
	put(SCR, 1);
	put(IER, RECEIVED | LINE_STATUS);
	put(MCR, MCR_OUT2 | 0x03);
	cr_assert_eq(port.sets, 1);
}

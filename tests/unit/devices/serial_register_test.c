/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UART's registers: what can be read back, what a reset leaves, divisor latches, FIFOs, loopback, line and modem
 * status.
 */
#include <criterion/criterion.h>

#include "serial_port.h"

static struct serial_port port;

static void set_up(void)
{
	serial_port_open(&port, SERIAL_DROP_OLDEST);
}

static void tear_down(void)
{
	serial_port_close(&port);
}

TestSuite(serial_registers, .init = set_up, .fini = tear_down);

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

Test(serial_registers, power_on)
{
	static const uint8_t expected[8] = { 0x00, 0x00, 0x01, 0x00, 0x00, 0x60, 0xb0, 0x00 };

	for (uint64_t offset = 0; offset < 8; offset++)
		cr_assert_eq(get(offset), expected[offset], "register %d", (int)offset);
	cr_assert_not(port.line);
	cr_assert_eq(port.sets, 0);
}

Test(serial_registers, reset_brings_power_on_back)
{
	struct device *device = serial_device(port.serial);

	type("typed");
	put(IER, 0x0f);
	put(FCR, 0xc1);
	put(LCR, 0x83);
	put(RBR, 0x01);
	put(MCR, 0x1f);
	put(SCR, 0x5a);
	cr_assert(port.line);

	device->ops->reset(device);
	cr_assert_not(port.line);
	cr_assert_eq(get(IER), 0x00);
	cr_assert_eq(get(IIR), 0x01);
	cr_assert_eq(get(LCR), 0x00);
	cr_assert_eq(get(MCR), 0x00);
	cr_assert_eq(get(LSR), 0x60);
	cr_assert_eq(get(MSR), 0xb0);
	cr_assert_eq(get(SCR), 0x00);
	put(LCR, 0x80);
	cr_assert_eq(get(0), 12);
	cr_assert_eq(get(1), 0);
}

Test(serial_registers, every_value_reads_back_in_the_bits_that_exist)
{
	for (unsigned int value = 0; value <= 0xff; value++) {
		put(LCR, 0x00);
		put(IER, (uint8_t)value);
		put(MCR, (uint8_t)value);
		put(SCR, (uint8_t)value);
		cr_assert_eq(get(IER), value & 0x0f);
		cr_assert_eq(get(MCR), value & 0x1f);
		cr_assert_eq(get(SCR), value);
		put(LCR, (uint8_t)value);
		cr_assert_eq(get(LCR), value);
	}
}

Test(serial_registers, divisor_latches_hide_data_and_interrupt_enable)
{
	put(IER, 0x05);
	type("x");
	put(LCR, 0x83);
	put(0, 0x34);
	put(1, 0x12);
	cr_assert_eq(get(0), 0x34);
	cr_assert_eq(get(1), 0x12);
	cr_assert_eq(port.announcements, 0, "nothing was transmitted");

	put(LCR, 0x03);
	cr_assert_eq(get(IER), 0x05);
	cr_assert_eq(get(RBR), 'x');
	put(LCR, 0x83);
	cr_assert_eq(get(0), 0x34);
}

Test(serial_registers, fifo_bits_of_the_iir_follow_fcr_bit_0)
{
	cr_assert_eq(get(IIR), 0x01);
	put(FCR, 0x01);
	cr_assert_eq(get(IIR), 0xc1);
	put(FCR, 0xc0);
	cr_assert_eq(get(IIR), 0x01);
}

Test(serial_registers, without_fifos_one_character_at_a_time)
{
	type("ab");
	cr_assert_eq(get(LSR), 0x61);
	cr_assert_eq(get(RBR), 'a');
	cr_assert_eq(get(LSR), 0x61, "the next one has arrived");
	cr_assert_eq(get(RBR), 'b');
	cr_assert_eq(get(LSR), 0x60);
	cr_assert_eq(get(RBR), 0x00);
}

Test(serial_registers, order_of_input_is_kept_through_queue_and_fifo)
{
	uint8_t next = 0;

	put(FCR, 0xc1);
	for (int round = 0; round < 50; round++) {
		uint8_t data[100];

		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = (uint8_t)((size_t)round * sizeof(data) + i);
		cr_assert_eq(serial_write_input(port.serial, data, sizeof(data)), sizeof(data));
		for (size_t i = 0; i < sizeof(data); i++)
			cr_assert_eq(get(RBR), next++);
		cr_assert_eq(get(LSR) & 0x01, 0);
	}
}

Test(serial_registers, input_is_bounded)
{
	static uint8_t data[SERIAL_INPUT_SIZE + 100];
	size_t taken;

	put(FCR, 0xc1);
	taken = serial_write_input(port.serial, data, sizeof(data));
	cr_assert_eq(taken, SERIAL_INPUT_SIZE);
	taken += serial_write_input(port.serial, data, sizeof(data));
	cr_assert_leq(taken, SERIAL_INPUT_SIZE + SERIAL_FIFO_SIZE);
	cr_assert_eq(serial_write_input(port.serial, data, sizeof(data)), 0);

	(void)get(RBR);
	cr_assert_eq(serial_write_input(port.serial, data, sizeof(data)), 1, "room for what was read");
	while (get(LSR) & 0x01) {
		(void)get(RBR);
		taken--;
	}
	cr_assert_eq(taken, 0, "everything that was taken could be read, and nothing else: %zu", taken);
}

Test(serial_registers, fcr_clears_what_has_arrived)
{
	put(FCR, 0xc1);
	put(MCR, MCR_LOOPBACK);
	put(THR, 'a');
	put(THR, 'b');
	put(FCR, 0xc5);
	cr_assert_eq(get(LSR), 0x61, "bit 2 clears the transmit FIFO only");
	put(FCR, 0xc3);
	cr_assert_eq(get(LSR), 0x60);

	put(THR, 'c');
	put(FCR, 0x02);
	cr_assert_eq(get(LSR), 0x60, "turning FIFOs off empties them");
	put(THR, 'd');
	put(FCR, 0x01);
	cr_assert_eq(get(LSR), 0x60, "and turning them on, too");
}

Test(serial_registers, fcr_bits_need_bit_0)
{
	put(MCR, MCR_LOOPBACK);
	put(THR, 'a');
	put(FCR, 0x02);
	cr_assert_eq(get(LSR), 0x61, "not cleared: the FIFOs are off and stay off");
	cr_assert_eq(get(RBR), 'a');
}

Test(serial_registers, loopback_gives_back_what_was_sent)
{
	put(MCR, MCR_LOOPBACK);
	for (unsigned int value = 0; value <= 0xff; value++) {
		put(THR, (uint8_t)value);
		cr_assert_eq(get(LSR), 0x61);
		cr_assert_eq(get(RBR), value);
	}
	cr_assert_eq(port.announcements, 0, "nothing left");

	put(MCR, 0);
	put(THR, 'x');
	cr_assert_eq(port.announcements, 1);
	cr_assert_eq(get(LSR), 0x60);
}

Test(serial_registers, loopback_keeps_the_host_out)
{
	put(FCR, 0x01);
	put(MCR, MCR_LOOPBACK);
	type("host");
	cr_assert_eq(get(LSR), 0x60);
	put(THR, 'g');
	cr_assert_eq(get(RBR), 'g');
	put(MCR, 0);
	cr_assert_eq(get(LSR), 0x61);
	for (const char *c = "host"; *c; c++)
		cr_assert_eq(get(RBR), *c);
}

Test(serial_registers, overrun_without_fifos_destroys_the_character_before)
{
	put(MCR, MCR_LOOPBACK);
	put(THR, 'a');
	put(THR, 'b');
	cr_assert_eq(get(LSR), 0x63);
	cr_assert_eq(get(LSR), 0x61, "cleared by reading");
	cr_assert_eq(get(RBR), 'b');
}

Test(serial_registers, overrun_with_fifos_loses_the_last_character)
{
	put(FCR, 0x01);
	put(MCR, MCR_LOOPBACK);
	for (uint8_t i = 0; i < SERIAL_FIFO_SIZE; i++)
		put(THR, i);
	cr_assert_eq(get(LSR), 0x61);
	put(THR, 0xee);
	cr_assert_eq(get(LSR), 0x63);
	cr_assert_eq(get(LSR), 0x61);
	for (uint8_t i = 0; i < SERIAL_FIFO_SIZE; i++)
		cr_assert_eq(get(RBR), i);
	cr_assert_eq(get(LSR), 0x60);
}

Test(serial_registers, line_and_modem_status_take_no_writes)
{
	put(LSR, 0xff);
	put(MSR, 0xff);
	cr_assert_eq(get(LSR), 0x60);
	cr_assert_eq(get(MSR), 0xb0);
}

/* Table II: loopback connects RTS to CTS, DTR to DSR, OUT1 to RI and OUT2 to DCD. */
Test(serial_registers, loopback_shows_modem_outputs_as_inputs)
{
	for (unsigned int outputs = 0; outputs <= 0x0f; outputs++) {
		unsigned int expected = (outputs & 0x02 ? 0x10 : 0) | (outputs & 0x01 ? 0x20 : 0) |
					(outputs & 0x04 ? 0x40 : 0) | (outputs & 0x08 ? 0x80 : 0);

		put(MCR, (uint8_t)(MCR_LOOPBACK | outputs));
		cr_assert_eq(get(MSR) & 0xf0, expected, "outputs 0x%x", outputs);
	}
	put(MCR, 0x0f);
	cr_assert_eq(get(MSR) & 0xf0, 0xb0, "a terminal is there whatever the outputs say");
}

Test(serial_registers, modem_deltas_are_left_by_changes_and_cleared_by_reading)
{
	put(MCR, MCR_LOOPBACK);
	cr_assert_eq(get(MSR), 0x0b, "CTS, DSR and DCD went away");
	cr_assert_eq(get(MSR), 0x00);
	put(MCR, MCR_LOOPBACK | 0x02);
	cr_assert_eq(get(MSR), 0x11);
	put(MCR, MCR_LOOPBACK | 0x03);
	cr_assert_eq(get(MSR), 0x32);
	put(MCR, MCR_LOOPBACK | 0x0b);
	cr_assert_eq(get(MSR), 0xb8);
	put(MCR, MCR_LOOPBACK | 0x0b);
	cr_assert_eq(get(MSR), 0xb0, "nothing changed");
}

Test(serial_registers, a_ring_counts_when_it_ends)
{
	put(MCR, MCR_LOOPBACK);
	(void)get(MSR);
	put(MCR, MCR_LOOPBACK | 0x04);
	cr_assert_eq(get(MSR), 0x40);
	put(MCR, MCR_LOOPBACK);
	cr_assert_eq(get(MSR), 0x04);
}

/* drivers/tty/serial/8250/8250_port.c, autoconfig() and autoconfig_16550a(): what makes Linux say "16550A". */
Test(serial_registers, linux_finds_a_16550a)
{
	put(IER, 0);
	cr_assert_eq(get(IER) & 0x0f, 0);
	put(IER, 0x0f);
	cr_assert_eq(get(IER) & 0x0f, 0x0f);
	put(IER, 0);
	put(MCR, MCR_LOOPBACK | 0x0a);
	cr_assert_eq(get(MSR) & 0xf0, 0x90);
	put(MCR, 0);

	put(LCR, 0xbf);
	put(2, 0); /* EFR of other chips; here the FCR */
	put(LCR, 0);
	put(FCR, 0x01);
	cr_assert_eq(get(IIR) >> 6, 3);

	put(LCR, 0x80);
	cr_assert_neq(get(2), 0, "no EFR: not a 16650");
	put(LCR, 0xbf);
	cr_assert_neq(get(2), 0, "no EFR: not a 16650V2");
	put(LCR, 0);
	put(FCR, 0x21);
	cr_assert_eq(get(IIR) >> 5, 6, "no 64-byte FIFO: not a 16750");
	put(IER, 0x40);
	cr_assert_eq(get(IER), 0, "no UART unit enable: not an XScale");
}

Test(serial_registers, wide_accesses_are_byte_accesses_from_the_lowest_port_up)
{
	struct device *device = serial_device(port.serial);
	uint8_t data[8] = { 0 };
	uint64_t offset, dropped;

	data[0] = 'w';
	data[1] = 0x07;
	device->ops->write(device, THR, data, 2);
	cr_assert_eq(get(IER), 0x07);
	cr_assert_eq(serial_read_output(port.serial, 0, data, 8, &offset, &dropped), 1);
	cr_assert_eq(data[0], 'w');

	type("r");
	device->ops->read(device, RBR, data, 8);
	cr_assert_eq(data[0], 'r');
	cr_assert_eq(data[1], 0x07);
	cr_assert_eq(data[5], 0x60, "the character was taken before the line status was read");
	cr_assert_eq(data[6], 0xb0);
}

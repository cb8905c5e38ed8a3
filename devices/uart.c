/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART, after National Semiconductor's PC16550D data sheet (June 1995), section 8, wired as in a PC.
 *
 * The line has no speed. A character that the guest transmits has left before the write returns, so the transmitter is
 * always empty. One that the host offers waits in the input queue, which stands for the wire, and arrives as soon
 * as there is room for it. Two rules keep guests going that take one interrupt for each event:
 *
 * - Characters arrive only until the receive FIFO has reached its trigger level (without FIFOs: while the buffer is
 *   empty). So each read takes back "received data available": the interrupt line falls and, if there is more, rises
 *   again, which is what an edge-triggered interrupt controller needs.
 * - Four character times without a new character are over at once. The character timeout is therefore pending whenever
 *   the FIFO holds something below the trigger level, but for the moment of a read, which restarts the timer: the line
 *   falls and rises.
 *
 * Nothing on this line can break parity or framing or send a break, and characters are eight bits whatever the word
 * length. The one receive error is an overrun, in loopback.
 *
 * The interrupt reaches the line only while OUT2 is set: PCs gate it there. In loopback the gate follows OUT2's bit in
 * the MCR, as in the chips that integrate the gate, so that a guest can test its interrupts.
 */
#include "devices/uart.h"

/* Registers, as offsets from the first port (table II). */
#define REGISTER_DATA 0 /* RBR and THR; DLL while DLAB */
#define REGISTER_IER  1 /* DLM while DLAB */
#define REGISTER_IIR  2 /* FCR when written */
#define REGISTER_LCR  3
#define REGISTER_MCR  4
#define REGISTER_LSR  5
#define REGISTER_MSR  6
#define REGISTER_SCR  7

#define IER_RECEIVED     0x01
#define IER_LINE_STATUS  0x04
#define IER_MODEM_STATUS 0x08

#define IIR_MODEM_STATUS      0x00
#define IIR_NONE              0x01
#define IIR_TRANSMITTER       0x02
#define IIR_RECEIVED          0x04
#define IIR_LINE_STATUS       0x06
#define IIR_CHARACTER_TIMEOUT 0x0c
#define IIR_FIFOS_ENABLED     0xc0

#define FCR_CLEAR_RECEIVE 0x02
#define FCR_TRIGGER_SHIFT 6

#define LCR_DLAB 0x80

#define MCR_DTR      0x01
#define MCR_RTS      0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08
#define MCR_LOOPBACK 0x10

#define LSR_DATA_READY        0x01
#define LSR_OVERRUN           0x02
#define LSR_THR_EMPTY         0x20
#define LSR_TRANSMITTER_EMPTY 0x40

#define MSR_DELTA_CTS          0x01
#define MSR_DELTA_DSR          0x02
#define MSR_TRAILING_EDGE_RING 0x04
#define MSR_DELTA_DCD          0x08
#define MSR_CTS                0x10
#define MSR_DSR                0x20
#define MSR_RING               0x40
#define MSR_DCD                0x80

#define DIVISOR_INITIAL 12 /* 9600 baud; a reset leaves the latches as they are, and power-on leaves them undefined */

/* How many received characters make "received data available" (FCR, bits 6 and 7). */
static uint32_t trigger_level(const struct uart *uart)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return levels[uart->fcr >> FCR_TRIGGER_SHIFT];
}

/* The levels of the modem inputs: in loopback those of the outputs, else of a terminal that is there and ready. */
static uint8_t modem_inputs(const struct uart *uart)
{
	uint8_t inputs = 0;

	if (!(uart->mcr & MCR_LOOPBACK))
		return MSR_CTS | MSR_DSR | MSR_DCD;

	if (uart->mcr & MCR_RTS)
		inputs |= MSR_CTS;
	if (uart->mcr & MCR_DTR)
		inputs |= MSR_DSR;
	if (uart->mcr & MCR_OUT1)
		inputs |= MSR_RING;
	if (uart->mcr & MCR_OUT2)
		inputs |= MSR_DCD;
	return inputs;
}

/* The interrupt of the highest priority that is enabled and pending, as the IIR names it (table IV). */
static uint8_t interrupt_cause(const struct uart *uart, bool timeout_is_over)
{
	if ((uart->ier & IER_LINE_STATUS) && uart->overrun)
		return IIR_LINE_STATUS;
	if (uart->ier & IER_RECEIVED) {
		if (uart->fifo.count >= trigger_level(uart))
			return IIR_RECEIVED;
		if (uart->fifo.count > 0 && timeout_is_over)
			return IIR_CHARACTER_TIMEOUT;
	}
	if (uart->thre_pending)
		return IIR_TRANSMITTER;
	if ((uart->ier & IER_MODEM_STATUS) && uart->msr_deltas != 0)
		return IIR_MODEM_STATUS;
	return IIR_NONE;
}

static void drive_line(struct uart *uart, bool level)
{
	if (level == uart->irq_level)
		return;

	uart->irq_level = level;
	uart->irq.set(uart->irq.opaque, level);
}

static bool line_level(const struct uart *uart, bool timeout_is_over)
{
	return (uart->mcr & MCR_OUT2) && interrupt_cause(uart, timeout_is_over) != IIR_NONE;
}

/* Let the line follow the causes. */
static void update_line(struct uart *uart)
{
	drive_line(uart, line_level(uart, true));
}

/* Let characters arrive from the host. In loopback the receiver does not listen. */
static void fill_fifo(struct uart *uart)
{
	uint8_t byte;

	if (uart->mcr & MCR_LOOPBACK)
		return;

	while (uart->fifo.count < trigger_level(uart) && byte_queue_take(&uart->input, &byte))
		(void)byte_queue_put(&uart->fifo, byte);
}

static void receive_input(struct uart *uart)
{
	fill_fifo(uart);
	update_line(uart);
}

/* A character of our own comes back in loopback. A full FIFO keeps what it has; a buffer does not (8.4, bit 1). */
static void receive_loopback(struct uart *uart, uint8_t byte)
{
	if (byte_queue_put(&uart->fifo, byte))
		return;

	uart->overrun = true;
	if (!(uart->fcr & UART_FCR_ENABLE))
		byte_queue_load(&uart->fifo, &byte, 1);
}

/* Returns whether the character left. */
static bool write_transmitter(struct uart *uart, uint8_t byte)
{
	bool loopback = uart->mcr & MCR_LOOPBACK;

	/* Filling the holding register takes its interrupt back; the character leaves, and there is another one. */
	uart->thre_pending = false;
	update_line(uart);

	if (loopback)
		receive_loopback(uart, byte);
	uart->thre_pending = (uart->ier & UART_IER_TRANSMITTER) != 0;
	update_line(uart);

	return !loopback;
}

static uint8_t read_receiver(struct uart *uart)
{
	uint8_t byte = 0;

	if (byte_queue_take(&uart->fifo, &byte)) {
		drive_line(uart, line_level(uart, false));
		receive_input(uart);
	}

	return byte;
}

/* Enabling the transmitter's interrupt raises it where the holding register is empty, as it always is (8.4, bit 5). */
static void write_ier(struct uart *uart, uint8_t value)
{
	bool was_enabled = uart->ier & UART_IER_TRANSMITTER;

	uart->ier = value & UART_IER_BITS;
	if (!(uart->ier & UART_IER_TRANSMITTER))
		uart->thre_pending = false;
	else if (!was_enabled)
		uart->thre_pending = true;

	update_line(uart);
}

/* Reading it takes the transmitter's interrupt back, if that is what it reports. */
static uint8_t read_iir(struct uart *uart)
{
	uint8_t cause = interrupt_cause(uart, true);

	if (cause == IIR_TRANSMITTER) {
		uart->thre_pending = false;
		update_line(uart);
	}

	return cause | ((uart->fcr & UART_FCR_ENABLE) ? IIR_FIFOS_ENABLED : 0);
}

/*
 * Without bit 0 the other bits are not taken. A change of bit 0 empties the FIFOs (8.5) and makes the transmitter's
 * next interrupt immediate (8.11). The transmit FIFO is always empty.
 */
static void write_fcr(struct uart *uart, uint8_t value)
{
	bool enable = value & UART_FCR_ENABLE;
	bool change = enable != ((uart->fcr & UART_FCR_ENABLE) != 0);

	if (change || (enable && (value & FCR_CLEAR_RECEIVE)))
		byte_queue_clear(&uart->fifo);
	if (change)
		uart->thre_pending = (uart->ier & UART_IER_TRANSMITTER) != 0;

	uart->fcr = enable ? value & UART_FCR_BITS : 0;
	uart->fifo.capacity = uart_fifo_capacity(uart->fcr);
	update_line(uart);
	receive_input(uart);
}

/* Loopback moves the modem inputs, and each move leaves a delta. A ring counts when it ends (8.9). */
static void write_mcr(struct uart *uart, uint8_t value)
{
	uint8_t before = modem_inputs(uart);
	uint8_t changed;

	uart->mcr = value & UART_MCR_BITS;
	changed = before ^ modem_inputs(uart);

	if (changed & MSR_CTS)
		uart->msr_deltas |= MSR_DELTA_CTS;
	if (changed & MSR_DSR)
		uart->msr_deltas |= MSR_DELTA_DSR;
	if (changed & before & MSR_RING)
		uart->msr_deltas |= MSR_TRAILING_EDGE_RING;
	if (changed & MSR_DCD)
		uart->msr_deltas |= MSR_DELTA_DCD;

	receive_input(uart);
}

static uint8_t read_lsr(struct uart *uart)
{
	uint8_t value = LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY;

	if (uart->fifo.count > 0)
		value |= LSR_DATA_READY;
	if (uart->overrun)
		value |= LSR_OVERRUN;

	uart->overrun = false;
	update_line(uart);
	return value;
}

static uint8_t read_msr(struct uart *uart)
{
	uint8_t value = modem_inputs(uart) | uart->msr_deltas;

	uart->msr_deltas = 0;
	update_line(uart);
	return value;
}

uint8_t uart_read(struct uart *uart, uint64_t offset)
{
	bool dlab = uart->lcr & LCR_DLAB;

	switch (offset) {
	case REGISTER_DATA:
		return dlab ? (uint8_t)uart->divisor : read_receiver(uart);
	case REGISTER_IER:
		return dlab ? (uint8_t)(uart->divisor >> 8) : uart->ier;
	case REGISTER_IIR:
		return read_iir(uart);
	case REGISTER_LCR:
		return uart->lcr;
	case REGISTER_MCR:
		return uart->mcr;
	case REGISTER_LSR:
		return read_lsr(uart);
	case REGISTER_MSR:
		return read_msr(uart);
	case REGISTER_SCR:
		return uart->scr;
	default:
		return 0xff;
	}
}

bool uart_write(struct uart *uart, uint64_t offset, uint8_t value)
{
	bool dlab = uart->lcr & LCR_DLAB;

	switch (offset) {
	case REGISTER_DATA:
		if (!dlab)
			return write_transmitter(uart, value);
		uart->divisor = (uint16_t)((uart->divisor & 0xff00) | value);
		break;
	case REGISTER_IER:
		if (!dlab)
			write_ier(uart, value);
		else
			uart->divisor = (uint16_t)((uart->divisor & 0x00ff) | (value << 8));
		break;
	case REGISTER_IIR:
		write_fcr(uart, value);
		break;
	case REGISTER_LCR:
		uart->lcr = value;
		break;
	case REGISTER_MCR:
		write_mcr(uart, value);
		break;
	case REGISTER_SCR:
		uart->scr = value;
		break;
	default: /* the LSR and the MSR take no writes outside of the factory */
		break;
	}

	return false;
}

uint32_t uart_fifo_capacity(uint8_t fcr)
{
	return (fcr & UART_FCR_ENABLE) ? SERIAL_FIFO_SIZE : 1;
}

size_t uart_offer_input(struct uart *uart, const uint8_t *data, size_t size)
{
	size_t taken = 0;

	while (taken < size && byte_queue_put(&uart->input, data[taken]))
		taken++;
	receive_input(uart);

	return taken;
}

/* Master reset (table I), and what power-on leaves in the registers that a master reset does not touch. */
static void set_initial_registers(struct uart *uart)
{
	uart->ier = 0;
	uart->fcr = 0;
	uart->lcr = 0;
	uart->mcr = 0;
	uart->scr = 0;
	uart->divisor = DIVISOR_INITIAL;
	uart->msr_deltas = 0;
	uart->overrun = false;
	uart->thre_pending = false;
	uart->fifo.capacity = uart_fifo_capacity(0);
	byte_queue_clear(&uart->fifo);
	byte_queue_clear(&uart->input);
}

void uart_init(struct uart *uart, const struct irq_line *irq)
{
	uart->irq = *irq;
	uart->fifo.bytes = uart->fifo_bytes;
	uart->input.bytes = uart->input_bytes;
	uart->input.capacity = SERIAL_INPUT_SIZE;
	set_initial_registers(uart);
}

void uart_reset(struct uart *uart)
{
	set_initial_registers(uart);
	update_line(uart);
}

void uart_restored(struct uart *uart)
{
	fill_fifo(uart);
	uart->irq_level = !line_level(uart, true);
	update_line(uart);
}

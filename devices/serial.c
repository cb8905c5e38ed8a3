/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serial port: a UART (uart.c), the stream of what it sent (output_stream.c), and one mutex over both.
 *
 * The interrupt line is moved while the mutex is held, so that levels reach the line in the order in which they came
 * about; output_ready is called after the mutex was released.
 */
#include "devices/serial.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "devices/output_stream.h"
#include "devices/uart.h"

struct serial {
	struct device device;
	void (*output_ready)(void *opaque);
	void *opaque;
	pthread_mutex_t lock; /* guards what follows */
	struct uart uart;
	struct output_stream output;
};

/* What a snapshot keeps: all but the output, which the guest cannot take back. */
struct serial_state {
	uint32_t fifo_count;
	uint32_t input_count;
	uint16_t divisor;
	uint8_t ier;
	uint8_t fcr;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t scr;
	uint8_t msr_deltas;
	uint8_t overrun;
	uint8_t thre_pending;
	uint8_t fifo[SERIAL_FIFO_SIZE];
	uint8_t input[SERIAL_INPUT_SIZE];
};

_Static_assert(sizeof(struct serial_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field serial_state_fields[] = {
	STATE_FIELD(struct serial_state, divisor, FIELD_U16),
	STATE_FIELD_MAX(struct serial_state, ier, FIELD_U8, UART_IER_BITS),
	STATE_FIELD_MAX(struct serial_state, fcr, FIELD_U8, UART_FCR_BITS),
	STATE_FIELD(struct serial_state, lcr, FIELD_U8),
	STATE_FIELD_MAX(struct serial_state, mcr, FIELD_U8, UART_MCR_BITS),
	STATE_FIELD(struct serial_state, scr, FIELD_U8),
	STATE_FIELD_MAX(struct serial_state, msr_deltas, FIELD_U8, UART_MSR_DELTAS),
	STATE_FIELD_MAX(struct serial_state, overrun, FIELD_U8, 1),
	STATE_FIELD_MAX(struct serial_state, thre_pending, FIELD_U8, 1),
	STATE_BLOB(struct serial_state, fifo, fifo_count, SERIAL_FIFO_SIZE),
	STATE_BLOB(struct serial_state, input, input_count, SERIAL_INPUT_SIZE),
	STATE_FIELDS_END,
};

static struct serial *serial_of(struct device *device)
{
	return (struct serial *)device;
}

/* A wide access is as many byte accesses from the lowest port up: so the ISA bus serves a device of eight bits. */
static void serial_read(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	struct serial *serial = serial_of(device);

	pthread_mutex_lock(&serial->lock);
	for (size_t i = 0; i < length; i++)
		data[i] = uart_read(&serial->uart, offset + i);
	pthread_mutex_unlock(&serial->lock);
}

static void serial_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	struct serial *serial = serial_of(device);
	bool announce = false;

	pthread_mutex_lock(&serial->lock);
	for (size_t i = 0; i < length; i++) {
		if (uart_write(&serial->uart, offset + i, data[i]) && output_stream_put(&serial->output, data[i]))
			announce = true;
	}
	pthread_mutex_unlock(&serial->lock);

	if (announce && serial->output_ready)
		serial->output_ready(serial->opaque);
}

static void serial_save(struct device *device, void *ret_state)
{
	struct serial *serial = serial_of(device);
	const struct uart *uart = &serial->uart;
	struct serial_state state = { 0 };

	pthread_mutex_lock(&serial->lock);
	state.fifo_count = uart->fifo.count;
	state.input_count = uart->input.count;
	state.divisor = uart->divisor;
	state.ier = uart->ier;
	state.fcr = uart->fcr;
	state.lcr = uart->lcr;
	state.mcr = uart->mcr;
	state.scr = uart->scr;
	state.msr_deltas = uart->msr_deltas;
	state.overrun = uart->overrun;
	state.thre_pending = uart->thre_pending;
	byte_queue_copy(&uart->fifo, state.fifo);
	byte_queue_copy(&uart->input, state.input);
	pthread_mutex_unlock(&serial->lock);

	memcpy(ret_state, &state, sizeof(state));
}

/* What the table of fields cannot say, and the lengths once more: they bound copies. */
static int check_state(const struct serial_state *state, struct error_detail *detail)
{
	uint32_t fifo_capacity = uart_fifo_capacity(state->fcr);

	if ((state->fcr & ~UART_FCR_BITS) != 0 || (state->fcr != 0 && !(state->fcr & UART_FCR_ENABLE))) {
		error_detail_set(detail, "serial.fcr: 0x%02x is nothing that the register keeps", state->fcr);
		return -EINVAL;
	}
	if (state->fifo_count > fifo_capacity) {
		error_detail_set(detail, "serial.fifo: %u characters where %u fit", state->fifo_count, fifo_capacity);
		return -EINVAL;
	}
	if (state->input_count > SERIAL_INPUT_SIZE) {
		error_detail_set(detail, "serial.input: %u characters where %d fit", state->input_count,
				 SERIAL_INPUT_SIZE);
		return -EINVAL;
	}
	if (state->thre_pending && !(state->ier & UART_IER_TRANSMITTER)) {
		error_detail_set(detail, "serial.thre_pending: set, but ier does not enable that interrupt");
		return -EINVAL;
	}

	return 0;
}

/* The output begins anew: a restored machine is another machine, and must not show what this one printed before. */
static int serial_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct serial *serial = serial_of(device);
	struct uart *uart = &serial->uart;
	struct serial_state state;
	int r;

	memcpy(&state, saved, sizeof(state));
	r = check_state(&state, detail);
	if (r < 0)
		return r;

	pthread_mutex_lock(&serial->lock);
	uart->divisor = state.divisor;
	uart->ier = state.ier & UART_IER_BITS;
	uart->fcr = state.fcr;
	uart->lcr = state.lcr;
	uart->mcr = state.mcr & UART_MCR_BITS;
	uart->scr = state.scr;
	uart->msr_deltas = state.msr_deltas & UART_MSR_DELTAS;
	uart->overrun = state.overrun != 0;
	uart->thre_pending = state.thre_pending != 0;
	uart->fifo.capacity = uart_fifo_capacity(state.fcr);
	byte_queue_load(&uart->fifo, state.fifo, state.fifo_count);
	byte_queue_load(&uart->input, state.input, state.input_count);
	uart_restored(uart);
	output_stream_clear(&serial->output);
	pthread_mutex_unlock(&serial->lock);

	return 0;
}

static void serial_reset(struct device *device)
{
	struct serial *serial = serial_of(device);

	pthread_mutex_lock(&serial->lock);
	uart_reset(&serial->uart);
	output_stream_clear(&serial->output);
	pthread_mutex_unlock(&serial->lock);
}

static void serial_free(struct device *device)
{
	struct serial *serial = serial_of(device);

	pthread_mutex_destroy(&serial->lock);
	free(serial);
}

const struct device_ops serial_ops = {
	.name = "serial",
	.state_fields = serial_state_fields,
	.state_size = sizeof(struct serial_state),
	.read = serial_read,
	.write = serial_write,
	.save = serial_save,
	.restore = serial_restore,
	.reset = serial_reset,
	.free = serial_free,
};

int serial_new(const struct serial_options *options, struct serial **ret_serial)
{
	struct serial *serial = calloc(1, sizeof(*serial));

	if (!serial)
		return -ENOMEM;

	serial->device.ops = &serial_ops;
	serial->output_ready = options->output_ready;
	serial->opaque = options->opaque;
	serial->output.overflow = options->overflow;
	uart_init(&serial->uart, &options->irq);
	pthread_mutex_init(&serial->lock, NULL);

	*ret_serial = serial;
	return 0;
}

struct device *serial_device(struct serial *serial)
{
	return &serial->device;
}

size_t serial_read_output(struct serial *serial, uint64_t offset, uint8_t *ret_data, size_t size, uint64_t *ret_offset,
			  uint64_t *ret_dropped)
{
	size_t copied;

	pthread_mutex_lock(&serial->lock);
	copied = output_stream_read(&serial->output, offset, ret_data, size, ret_offset, ret_dropped);
	pthread_mutex_unlock(&serial->lock);

	return copied;
}

size_t serial_write_input(struct serial *serial, const uint8_t *data, size_t size)
{
	size_t taken;

	pthread_mutex_lock(&serial->lock);
	taken = uart_offer_input(&serial->uart, data, size);
	pthread_mutex_unlock(&serial->lock);

	return taken;
}

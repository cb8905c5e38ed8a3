/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An i8042 keyboard controller with nothing plugged in.
 *
 * Guests come here for the reset line: command 0xfe, any other 0xf0..0xff with bit 0 clear (a pulse on output port
 * bit 0), or command 0xd1 with a zero in bit 0 of the byte that follows. The rest is what an operating system asks
 * while it probes: each question gets its answer at once, and the answer says that neither port has anything behind
 * it, so that no guest sits through the half second that Linux waits for a controller that stays silent. What it
 * does, in that order: flush, self test (0xaa), read and write the command byte (0x20, 0x60), loop a byte through the
 * auxiliary port (0xd3, which comes back without the auxiliary bit in the status: there is no such port), test the
 * auxiliary interface (0xa9).
 *
 * After: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller". There is no
 * interrupt, since nothing ever types, and the A20 gate is a bit that can be read back: the line itself is always on.
 */
#include "devices/i8042.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET_DATA    (I8042_PORT_DATA - I8042_PORT_DATA)
#define OFFSET_COMMAND (I8042_PORT_COMMAND - I8042_PORT_DATA)

#define STATUS_OUTPUT_FULL 0x01 /* a byte waits at the data port */
#define STATUS_SYSTEM      0x04 /* follows the command byte's system flag */
#define STATUS_COMMAND     0x08 /* the last write went to the command port */
#define STATUS_UNLOCKED    0x10 /* the keyboard lock is open */

#define COMMAND_READ_COMMAND_BYTE  0x20
#define COMMAND_WRITE_COMMAND_BYTE 0x60
#define COMMAND_DISABLE_AUXILIARY  0xa7
#define COMMAND_ENABLE_AUXILIARY   0xa8
#define COMMAND_TEST_AUXILIARY     0xa9
#define COMMAND_SELF_TEST          0xaa
#define COMMAND_TEST_KEYBOARD      0xab
#define COMMAND_DISABLE_KEYBOARD   0xad
#define COMMAND_ENABLE_KEYBOARD    0xae
#define COMMAND_READ_OUTPUT_PORT   0xd0
#define COMMAND_WRITE_OUTPUT_PORT  0xd1
#define COMMAND_ECHO_KEYBOARD      0xd2
#define COMMAND_ECHO_AUXILIARY     0xd3
#define COMMAND_PULSE_FIRST        0xf0

#define COMMAND_BYTE_SYSTEM             0x04
#define COMMAND_BYTE_KEYBOARD_DISABLED  0x10
#define COMMAND_BYTE_AUXILIARY_DISABLED 0x20

#define OUTPUT_PORT_RESET 0x01 /* low: the processor is held in reset */
#define OUTPUT_PORT_A20   0x02

#define SELF_TEST_PASSED   0x55
#define INTERFACE_TEST_BAD 0x01 /* clock line stuck low */

/* As firmware leaves a controller: self test passed, both interfaces off. */
#define COMMAND_BYTE_INITIAL (COMMAND_BYTE_SYSTEM | COMMAND_BYTE_KEYBOARD_DISABLED | COMMAND_BYTE_AUXILIARY_DISABLED)
#define OUTPUT_PORT_INITIAL  (OUTPUT_PORT_RESET | OUTPUT_PORT_A20)

/* What a snapshot keeps, and what the device works on. */
struct i8042_state {
	uint8_t command_byte;
	uint8_t output_port;
	uint8_t output_buffer;   /* what the data port reads as */
	uint8_t output_full;     /* 1: nobody has read it yet */
	uint8_t command_last;    /* 1: the last write went to the command port */
	uint8_t pending_command; /* takes the next byte written to the data port; 0: none does */
};

_Static_assert(sizeof(struct i8042_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field i8042_state_fields[] = {
	STATE_FIELD(struct i8042_state, command_byte, FIELD_U8),
	STATE_FIELD(struct i8042_state, output_port, FIELD_U8),
	STATE_FIELD(struct i8042_state, output_buffer, FIELD_U8),
	STATE_FIELD_MAX(struct i8042_state, output_full, FIELD_U8, 1),
	STATE_FIELD_MAX(struct i8042_state, command_last, FIELD_U8, 1),
	STATE_FIELD(struct i8042_state, pending_command, FIELD_U8),
	STATE_FIELDS_END,
};

struct i8042 {
	struct device device;
	void (*reset)(void *opaque);
	void *opaque;
	pthread_mutex_t lock; /* guards state */
	struct i8042_state state;
};

static const struct i8042_state initial_state = {
	.command_byte = COMMAND_BYTE_INITIAL,
	.output_port = OUTPUT_PORT_INITIAL,
};

static struct i8042 *i8042_of(struct device *device)
{
	return (struct i8042 *)device;
}

static void answer(struct i8042_state *state, uint8_t byte)
{
	state->output_buffer = byte;
	state->output_full = 1;
}

static uint8_t status(const struct i8042_state *state)
{
	uint8_t bits = STATUS_UNLOCKED;

	if (state->output_full)
		bits |= STATUS_OUTPUT_FULL;
	if (state->command_byte & COMMAND_BYTE_SYSTEM)
		bits |= STATUS_SYSTEM;
	if (state->command_last)
		bits |= STATUS_COMMAND;
	return bits;
}

static bool takes_data(uint8_t command)
{
	switch (command) {
	case COMMAND_WRITE_COMMAND_BYTE:
	case COMMAND_WRITE_OUTPUT_PORT:
	case COMMAND_ECHO_KEYBOARD:
	case COMMAND_ECHO_AUXILIARY:
		return true;
	default:
		return false;
	}
}

/* A byte at the command port. Returns whether it pulses the reset line. */
static bool write_command(struct i8042_state *state, uint8_t command)
{
	state->command_last = 1;
	state->pending_command = takes_data(command) ? command : 0;

	switch (command) {
	case COMMAND_READ_COMMAND_BYTE:
		answer(state, state->command_byte);
		break;
	case COMMAND_DISABLE_AUXILIARY:
		state->command_byte |= COMMAND_BYTE_AUXILIARY_DISABLED;
		break;
	case COMMAND_ENABLE_AUXILIARY:
		state->command_byte &= (uint8_t)~COMMAND_BYTE_AUXILIARY_DISABLED;
		break;
	case COMMAND_DISABLE_KEYBOARD:
		state->command_byte |= COMMAND_BYTE_KEYBOARD_DISABLED;
		break;
	case COMMAND_ENABLE_KEYBOARD:
		state->command_byte &= (uint8_t)~COMMAND_BYTE_KEYBOARD_DISABLED;
		break;
	case COMMAND_SELF_TEST:
		state->command_byte |= COMMAND_BYTE_SYSTEM;
		answer(state, SELF_TEST_PASSED);
		break;
	case COMMAND_TEST_AUXILIARY:
	case COMMAND_TEST_KEYBOARD:
		answer(state, INTERFACE_TEST_BAD);
		break;
	case COMMAND_READ_OUTPUT_PORT:
		answer(state, state->output_port);
		break;
	default:
		return command >= COMMAND_PULSE_FIRST && !(command & OUTPUT_PORT_RESET);
	}

	return false;
}

/*
 * A byte at the data port: the rest of a command, or for a keyboard that is not there. Returns whether it pulls the
 * reset line.
 */
static bool write_data(struct i8042_state *state, uint8_t byte)
{
	uint8_t command = state->pending_command;

	state->command_last = 0;
	state->pending_command = 0;

	switch (command) {
	case COMMAND_WRITE_COMMAND_BYTE:
		state->command_byte = byte;
		break;
	case COMMAND_WRITE_OUTPUT_PORT:
		state->output_port = byte;
		return !(byte & OUTPUT_PORT_RESET);
	case COMMAND_ECHO_KEYBOARD:
	case COMMAND_ECHO_AUXILIARY:
		answer(state, byte);
		break;
	default:
		break;
	}

	return false;
}

static void i8042_read(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	struct i8042 *controller = i8042_of(device);

	if (length != 1)
		return;

	pthread_mutex_lock(&controller->lock);
	if (offset == OFFSET_DATA) {
		data[0] = controller->state.output_buffer;
		controller->state.output_full = 0;
	} else if (offset == OFFSET_COMMAND) {
		data[0] = status(&controller->state);
	}
	pthread_mutex_unlock(&controller->lock);
}

static void i8042_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	struct i8042 *controller = i8042_of(device);
	bool reset = false;

	if (length != 1)
		return;

	pthread_mutex_lock(&controller->lock);
	if (offset == OFFSET_DATA)
		reset = write_data(&controller->state, data[0]);
	else if (offset == OFFSET_COMMAND)
		reset = write_command(&controller->state, data[0]);
	pthread_mutex_unlock(&controller->lock);

	if (reset)
		controller->reset(controller->opaque);
}

static void i8042_save(struct device *device, void *ret_state)
{
	struct i8042 *controller = i8042_of(device);

	pthread_mutex_lock(&controller->lock);
	memcpy(ret_state, &controller->state, sizeof(controller->state));
	pthread_mutex_unlock(&controller->lock);
}

static int i8042_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct i8042 *controller = i8042_of(device);
	struct i8042_state state;

	memcpy(&state, saved, sizeof(state));
	if (state.pending_command != 0 && !takes_data(state.pending_command)) {
		error_detail_set(detail, "i8042.pending_command: 0x%02x is no command that takes a byte",
				 state.pending_command);
		return -EINVAL;
	}

	pthread_mutex_lock(&controller->lock);
	controller->state = state;
	pthread_mutex_unlock(&controller->lock);

	return 0;
}

static void i8042_reset(struct device *device)
{
	struct i8042 *controller = i8042_of(device);

	pthread_mutex_lock(&controller->lock);
	controller->state = initial_state;
	pthread_mutex_unlock(&controller->lock);
}

static void i8042_free(struct device *device)
{
	struct i8042 *controller = i8042_of(device);

	pthread_mutex_destroy(&controller->lock);
	free(controller);
}

const struct device_ops i8042_ops = {
	.name = "i8042",
	.state_fields = i8042_state_fields,
	.state_size = sizeof(struct i8042_state),
	.read = i8042_read,
	.write = i8042_write,
	.save = i8042_save,
	.restore = i8042_restore,
	.reset = i8042_reset,
	.free = i8042_free,
};

int i8042_new(void (*reset)(void *opaque), void *opaque, struct device **ret_device)
{
	struct i8042 *controller = calloc(1, sizeof(*controller));

	if (!controller)
		return -ENOMEM;

	controller->device.ops = &i8042_ops;
	controller->reset = reset;
	controller->opaque = opaque;
	controller->state = initial_state;
	pthread_mutex_init(&controller->lock, NULL);

	*ret_device = &controller->device;
	return 0;
}

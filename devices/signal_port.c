/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signal port: one byte-wide I/O port, and a record for each of the 256 numbers.
 *
 * The counts are what a snapshot keeps. Their time stamps are this process's: a restored machine has counts without
 * times, until the guest signals again.
 */
#include "devices/signal_port.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIGNAL_NUMBERS 256

struct signal_port_state {
	uint64_t counts[SIGNAL_NUMBERS];
};

_Static_assert(sizeof(struct signal_port_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field signal_port_state_fields[] = {
	STATE_ARRAY(struct signal_port_state, counts, FIELD_U64, SIGNAL_NUMBERS),
	STATE_FIELDS_END,
};

struct signal_port {
	struct device device;
	void (*signalled)(void *opaque, uint8_t number, const struct signal_record *record);
	void *opaque;
	pthread_mutex_t lock; /* guards records */
	struct signal_record records[SIGNAL_NUMBERS];
};

static struct signal_port *signal_port_of(struct device *device)
{
	return (struct signal_port *)device;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	/* Cannot fail: the clock exists, and the pointer is good. */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void signal_port_read(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	(void)device;
	(void)offset;

	if (length == 1)
		data[0] = SIGNAL_PORT_PROBE;
}

static void signal_port_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	struct signal_port *port = signal_port_of(device);
	uint8_t number = data[0];
	struct signal_record *record = &port->records[number];
	struct signal_record copy;

	(void)offset;

	if (length != 1)
		return;

	pthread_mutex_lock(&port->lock);
	record->count++;
	record->last_ns = now_ns();
	if (record->first_ns == 0)
		record->first_ns = record->last_ns;
	copy = *record;
	pthread_mutex_unlock(&port->lock);

	if (port->signalled)
		port->signalled(port->opaque, number, &copy);
}

static void signal_port_save(struct device *device, void *ret_state)
{
	struct signal_port *port = signal_port_of(device);
	struct signal_port_state state;

	pthread_mutex_lock(&port->lock);
	for (size_t i = 0; i < SIGNAL_NUMBERS; i++)
		state.counts[i] = port->records[i].count;
	pthread_mutex_unlock(&port->lock);

	memcpy(ret_state, &state, sizeof(state));
}

/* Any count is one that a guest could have reached, so that nothing is refused. */
static int signal_port_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct signal_port *port = signal_port_of(device);
	struct signal_port_state state;

	(void)detail;

	memcpy(&state, saved, sizeof(state));
	pthread_mutex_lock(&port->lock);
	for (size_t i = 0; i < SIGNAL_NUMBERS; i++)
		port->records[i] = (struct signal_record){ .count = state.counts[i] };
	pthread_mutex_unlock(&port->lock);

	return 0;
}

static void signal_port_reset(struct device *device)
{
	struct signal_port *port = signal_port_of(device);

	pthread_mutex_lock(&port->lock);
	memset(port->records, 0, sizeof(port->records));
	pthread_mutex_unlock(&port->lock);
}

static void signal_port_free(struct device *device)
{
	struct signal_port *port = signal_port_of(device);

	pthread_mutex_destroy(&port->lock);
	free(port);
}

const struct device_ops signal_port_ops = {
	.name = "signal_port",
	.state_fields = signal_port_state_fields,
	.state_size = sizeof(struct signal_port_state),
	.read = signal_port_read,
	.write = signal_port_write,
	.save = signal_port_save,
	.restore = signal_port_restore,
	.reset = signal_port_reset,
	.free = signal_port_free,
};

int signal_port_new(void (*signalled)(void *opaque, uint8_t number, const struct signal_record *record), void *opaque,
		    struct signal_port **ret_port)
{
	struct signal_port *port = calloc(1, sizeof(*port));

	if (!port)
		return -ENOMEM;

	port->device.ops = &signal_port_ops;
	port->signalled = signalled;
	port->opaque = opaque;
	pthread_mutex_init(&port->lock, NULL);

	*ret_port = port;
	return 0;
}

struct device *signal_port_device(struct signal_port *port)
{
	return &port->device;
}

void signal_port_record(struct signal_port *port, uint8_t number, struct signal_record *ret_record)
{
	pthread_mutex_lock(&port->lock);
	*ret_record = port->records[number];
	pthread_mutex_unlock(&port->lock);
}

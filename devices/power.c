/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sleep registers of a hardware-reduced machine, and its power button.
 *
 * ACPI 6.4, 4.8.3.7: the sleep control register takes a sleep type and, in the same write, the bit that goes to sleep.
 * The one type that there is, is S5, off. The type reads back; the bit does not. The sleep status register says that
 * the machine has woken up, which one without sleep never does.
 *
 * The button is no register: it is an interrupt of the Generic Event Device, whose method in the DSDT notifies the
 * button's device (kvm/acpi/dsdt.c).
 */
#include "devices/power.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/acpi/tables.h"

#define OFFSET_CONTROL 0
#define OFFSET_STATUS  1

#define CONTROL_TYPE 0x1c /* SLP_TYPx */
#define CONTROL_GO   0x20 /* SLP_EN */

struct power_state {
	uint8_t control; /* CONTROL_TYPE of what was written last */
};

_Static_assert(sizeof(struct power_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field power_state_fields[] = {
	STATE_FIELD_MAX(struct power_state, control, FIELD_U8, CONTROL_TYPE),
	STATE_FIELDS_END,
};

struct power {
	struct device device;
	struct power_options options;
	pthread_mutex_t lock; /* guards state; orders the button's edges */
	struct power_state state;
};

static struct power *power_of(struct device *device)
{
	return (struct power *)device;
}

static void power_read(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	struct power *power = power_of(device);

	if (length != 1)
		return;

	data[0] = 0;
	if (offset == OFFSET_CONTROL) {
		pthread_mutex_lock(&power->lock);
		data[0] = power->state.control;
		pthread_mutex_unlock(&power->lock);
	}
}

static void power_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	struct power *power = power_of(device);

	if (length != 1 || offset != OFFSET_CONTROL)
		return;

	pthread_mutex_lock(&power->lock);
	power->state.control = data[0] & CONTROL_TYPE;
	pthread_mutex_unlock(&power->lock);

	if ((data[0] & (CONTROL_TYPE | CONTROL_GO)) == ACPI_SLEEP_CONTROL_OFF)
		power->options.power_off(power->options.opaque);
}

static void power_save(struct device *device, void *ret_state)
{
	struct power *power = power_of(device);

	pthread_mutex_lock(&power->lock);
	memcpy(ret_state, &power->state, sizeof(power->state));
	pthread_mutex_unlock(&power->lock);
}

static int power_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct power *power = power_of(device);
	struct power_state state;

	memcpy(&state, saved, sizeof(state));
	if (state.control & ~CONTROL_TYPE) {
		error_detail_set(detail, "power.control: 0x%02x is not a sleep type", state.control);
		return -EINVAL;
	}

	pthread_mutex_lock(&power->lock);
	power->state = state;
	pthread_mutex_unlock(&power->lock);
	return 0;
}

static void power_reset(struct device *device)
{
	struct power *power = power_of(device);

	pthread_mutex_lock(&power->lock);
	power->state = (struct power_state){ 0 };
	pthread_mutex_unlock(&power->lock);
}

static void power_free(struct device *device)
{
	struct power *power = power_of(device);

	pthread_mutex_destroy(&power->lock);
	free(power);
}

const struct device_ops power_ops = {
	.name = "power",
	.state_fields = power_state_fields,
	.state_size = sizeof(struct power_state),
	.may_be_missing = true,
	.read = power_read,
	.write = power_write,
	.save = power_save,
	.restore = power_restore,
	.reset = power_reset,
	.free = power_free,
};

int power_new(const struct power_options *options, struct power **ret_power)
{
	struct power *power = calloc(1, sizeof(*power));

	if (!power)
		return -ENOMEM;

	power->device.ops = &power_ops;
	power->options = *options;
	pthread_mutex_init(&power->lock, NULL);

	*ret_power = power;
	return 0;
}

struct device *power_device(struct power *power)
{
	return &power->device;
}

void power_press(struct power *power)
{
	const struct irq_line *button = &power->options.button;

	pthread_mutex_lock(&power->lock);
	button->set(button->opaque, true);
	button->set(button->opaque, false);
	pthread_mutex_unlock(&power->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's callbacks wake whoever waits; what is waited for is then looked up in the machine.
 */
#include "console.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "demo_guest/demo_guest.h"

static const struct kvm_host *test_host(void)
{
	static struct kvm_host host;
	struct error_detail detail = { .text = "" };

	if (getenv("EMBER_NO_KVM"))
		cr_skip_test("needs KVM, and EMBER_NO_KVM is set");
	cr_assert_eq(host_probe(&host, &detail), 0, "%s", detail.text);
	return &host;
}

static void note_signal(void *opaque, uint8_t number, const struct signal_record *record)
{
	struct guest *guest = opaque;

	(void)record;
	pthread_mutex_lock(&guest->lock);
	guest->signals[number]++;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

static void note_output(void *opaque)
{
	struct guest *guest = opaque;

	pthread_mutex_lock(&guest->lock);
	guest->outputs++;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

static void note_exit(void *opaque, const struct machine_exit_info *info)
{
	struct guest *guest = opaque;

	pthread_mutex_lock(&guest->lock);
	guest->exited = true;
	guest->exit = *info;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

static int image_file(const uint8_t *image, size_t size)
{
	int file = memfd_create("image", MFD_CLOEXEC);

	cr_assert_geq(file, 0);
	cr_assert_eq(write(file, image, size), (ssize_t)size);
	return file;
}

struct guest *guest_start(const uint8_t *image, size_t size, enum entry_mode mode, const struct machine_shape *shape)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	struct error_detail detail = { .text = "" };
	const struct machine_callbacks callbacks = {
		.opaque = guest,
		.signalled = note_signal,
		.output_ready = note_output,
		.exited = note_exit,
	};
	int file = image_file(image, size);

	cr_assert_not_null(guest);
	cr_assert_eq(pthread_mutex_init(&guest->lock, NULL), 0);
	cr_assert_eq(pthread_cond_init(&guest->changed, NULL), 0);
	cr_assert_eq(machine_create(test_host(), shape, &callbacks, &guest->machine, NULL, &detail), 0, "%s",
		     detail.text);
	cr_assert_eq(machine_boot_image(guest->machine, file, mode, &detail), 0, "%s", detail.text);
	(void)close(file);
	cr_assert_eq(machine_run(guest->machine), 0);
	return guest;
}

void guest_end(struct guest *guest)
{
	machine_free(guest->machine);
	pthread_cond_destroy(&guest->changed);
	pthread_mutex_destroy(&guest->lock);
	free(guest);
}

struct guest *demo_start_shaped(const struct machine_shape *shape)
{
	struct guest *guest = guest_start(demo_guest_image, demo_guest_image_size, ENTRY_LONG, shape);
	char banner[80];

	(void)snprintf(banner, sizeof(banner), "Ember demo guest: %u MiB, %u vCPU%s; try help",
		       (unsigned int)(shape->memory_size >> 20), shape->vcpus, shape->vcpus == 1 ? "" : "s");
	cr_assert_str_eq(guest_read_line(guest), banner);
	guest_wait_signal(guest, SIGNAL_READY, 1);
	return guest;
}

struct guest *demo_start(void)
{
	const struct machine_shape shape = {
		.vcpus = 1,
		.cpu_template = CPU_TEMPLATE_HOST,
		.memory_size = UINT64_C(16) << 20,
	};

	return demo_start_shaped(&shape);
}

void guest_type(struct guest *guest, const char *bytes)
{
	size_t length = strlen(bytes);
	size_t taken = 0;

	while (taken < length) {
		size_t now = serial_write_input(guest->machine->serial, (const uint8_t *)bytes + taken, length - taken);

		taken += now;
		if (now == 0)
			(void)sched_yield();
	}
}

/* Copy a whole line out of the console's stream, if there is one. */
static bool find_line(struct guest *guest)
{
	uint64_t offset;
	uint64_t dropped;
	size_t got = serial_read_output(guest->machine->serial, guest->position, (uint8_t *)guest->reply,
					sizeof(guest->reply), &offset, &dropped);
	char *end = memchr(guest->reply, '\n', got);

	cr_assert_eq(dropped, 0);
	if (!end) {
		cr_assert_lt(got, sizeof(guest->reply), "a line longer than %zu bytes", sizeof(guest->reply));
		return false;
	}

	*end = '\0';
	guest->position += (uint64_t)(end - guest->reply) + 1;
	return true;
}

const char *guest_read_line(struct guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	for (;;) {
		const uint64_t outputs = guest->outputs;
		const bool exited = guest->exited;

		/* What comes from now on counts as another output, so it cannot be missed. */
		pthread_mutex_unlock(&guest->lock);
		if (find_line(guest))
			return guest->reply;
		cr_assert_not(exited, "the machine ended (%s) before a line came",
			      machine_exit_name(guest->exit.reason));
		pthread_mutex_lock(&guest->lock);
		while (guest->outputs == outputs && !guest->exited)
			pthread_cond_wait(&guest->changed, &guest->lock);
	}
}

const char *guest_ask(struct guest *guest, const char *line)
{
	guest_type(guest, line);
	guest_type(guest, "\n");
	return guest_read_line(guest);
}

void guest_wait_signal(struct guest *guest, uint8_t number, uint64_t times)
{
	pthread_mutex_lock(&guest->lock);
	while (guest->signals[number] < times && !guest->exited)
		pthread_cond_wait(&guest->changed, &guest->lock);
	pthread_mutex_unlock(&guest->lock);
	cr_assert_eq(guest->signals[number], times);
}

enum machine_exit guest_wait_exit(struct guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	while (!guest->exited)
		pthread_cond_wait(&guest->changed, &guest->lock);
	pthread_mutex_unlock(&guest->lock);
	return guest->exit.reason;
}

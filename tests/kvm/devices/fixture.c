/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine and the observer behind the tests of devices/ on KVM.
 *
 * Every test runs in a process of its own. The callbacks come on vCPU threads; they count under the observer's lock
 * and wake the test, which waits without a limit of its own.
 */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct kvm_host *fixture_host(void)
{
	static struct kvm_host host;
	static bool probed;
	struct error_detail detail = { 0 };

	if (probed)
		return &host;

	if (getenv("EMBER_NO_KVM"))
		cr_skip_test("needs KVM, and EMBER_NO_KVM is set");
	cr_assert_eq(host_probe(&host, &detail), 0, "host_probe: %s", detail.text);
	probed = true;
	return &host;
}

static void on_signalled(void *opaque, uint8_t number, const struct signal_record *record)
{
	struct observer *observer = opaque;

	(void)record;

	pthread_mutex_lock(&observer->lock);
	observer->signals[number]++;
	pthread_cond_broadcast(&observer->changed);
	pthread_mutex_unlock(&observer->lock);
}

static void on_output(void *opaque)
{
	struct observer *observer = opaque;

	pthread_mutex_lock(&observer->lock);
	pthread_cond_broadcast(&observer->changed);
	pthread_mutex_unlock(&observer->lock);
}

static void on_exited(void *opaque, const struct machine_exit_info *info)
{
	struct observer *observer = opaque;

	pthread_mutex_lock(&observer->lock);
	observer->exits++;
	observer->exit = *info;
	pthread_cond_broadcast(&observer->changed);
	pthread_mutex_unlock(&observer->lock);
}

void fixture_build_shape(struct fixture *fixture, const struct machine_shape *shape)
{
	const struct machine_callbacks callbacks = {
		.opaque = &fixture->observer,
		.signalled = on_signalled,
		.output_ready = on_output,
		.exited = on_exited,
	};
	struct error_detail detail = { 0 };

	memset(fixture, 0, sizeof(*fixture));
	pthread_mutex_init(&fixture->observer.lock, NULL);
	pthread_cond_init(&fixture->observer.changed, NULL);
	cr_assert_eq(machine_create(fixture_host(), shape, &callbacks, &fixture->machine, NULL, &detail), 0, "%s",
		     detail.text);
}

void fixture_build(struct fixture *fixture, uint32_t vcpus, uint64_t memory_mib)
{
	const struct machine_shape shape = {
		.vcpus = vcpus,
		.cpu_template = CPU_TEMPLATE_HOST,
		.memory_size = memory_mib << 20,
	};

	fixture_build_shape(fixture, &shape);
}

int fixture_image(const uint8_t *image, size_t size)
{
	int file = memfd_create("image", MFD_CLOEXEC);

	cr_assert_geq(file, 0);
	cr_assert_eq(write(file, image, size), (ssize_t)size);
	return file;
}

void fixture_start(struct fixture *fixture, uint32_t vcpus, enum entry_mode mode, const uint8_t *image, size_t size)
{
	struct error_detail detail = { 0 };
	int file;

	fixture_build(fixture, vcpus, 4);
	file = fixture_image(image, size);
	cr_assert_eq(machine_boot_image(fixture->machine, file, mode, &detail), 0, "%s", detail.text);
	close(file);
	cr_assert_eq(machine_run(fixture->machine), 0);
}

void fixture_end(struct fixture *fixture)
{
	cr_assert_null(machine_free(fixture->machine));
}

void fixture_wait_signal(struct fixture *fixture, uint8_t number, uint64_t count)
{
	struct observer *observer = &fixture->observer;

	pthread_mutex_lock(&observer->lock);
	while (observer->signals[number] < count && observer->exits == 0)
		pthread_cond_wait(&observer->changed, &observer->lock);
	pthread_mutex_unlock(&observer->lock);
	cr_assert_geq(observer->signals[number], count, "the machine ended first: %s, code %llu, rip 0x%llx",
		      machine_exit_name(observer->exit.reason), (unsigned long long)observer->exit.stop.code,
		      (unsigned long long)observer->exit.stop.rip);
}

void fixture_wait_exit(struct fixture *fixture, struct machine_exit_info *ret_info)
{
	struct observer *observer = &fixture->observer;

	pthread_mutex_lock(&observer->lock);
	while (observer->exits == 0)
		pthread_cond_wait(&observer->changed, &observer->lock);
	*ret_info = observer->exit;
	pthread_mutex_unlock(&observer->lock);
}

uint64_t fixture_signals(struct fixture *fixture, uint8_t number)
{
	struct observer *observer = &fixture->observer;
	uint64_t count;

	pthread_mutex_lock(&observer->lock);
	count = observer->signals[number];
	pthread_mutex_unlock(&observer->lock);
	return count;
}

/* Read what has come after `got` bytes; waits for some where `wait`. Returns how many there are now. */
static size_t read_more(struct fixture *fixture, uint8_t *data, size_t got, size_t size, bool wait)
{
	struct observer *observer = &fixture->observer;
	uint64_t offset, dropped;
	size_t count;

	/* A byte that comes after the look announces itself, and the announcement needs the lock. */
	pthread_mutex_lock(&observer->lock);
	for (;;) {
		count = serial_read_output(fixture->machine->serial, got, data + got, size - got, &offset, &dropped);
		cr_assert_eq(offset, got);
		cr_assert_eq(dropped, 0);
		if (count > 0 || !wait || observer->exits > 0)
			break;
		pthread_cond_wait(&observer->changed, &observer->lock);
	}
	pthread_mutex_unlock(&observer->lock);
	return got + count;
}

void fixture_converse(struct fixture *fixture, const uint8_t *typed, uint8_t *ret_answer, size_t size)
{
	size_t sent = 0, got = 0;

	while (got < size) {
		size_t taken = serial_write_input(fixture->machine->serial, typed + sent, size - sent);

		sent += taken;
		got = read_more(fixture, ret_answer, got, size, true);
	}
}

void fixture_read_output(struct fixture *fixture, uint8_t *ret_data, size_t size)
{
	size_t got = 0;

	while (got < size)
		got = read_more(fixture, ret_data, got, size, true);
}

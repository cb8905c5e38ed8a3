/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building machines and booting them from flat images, good and bad.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

#define MIB (UINT64_C(1) << 20)

static struct fixture fixture;

static void tear_down(void)
{
	if (fixture.machine)
		fixture_end(&fixture);
}

TestSuite(machine_boot, .fini = tear_down);

static void assert_shape_refused(uint32_t vcpus, unsigned int cpu_template, uint64_t memory_size, const char *field)
{
	const struct machine_shape shape = {
		.vcpus = vcpus,
		.cpu_template = (enum cpu_template)cpu_template,
		.memory_size = memory_size,
	};
	const struct machine_callbacks callbacks = { 0 };
	struct machine *machine = (struct machine *)&fixture;
	struct error_detail detail = { 0 };

	cr_assert_eq(machine_shape_check(&shape, &detail), -EINVAL);
	cr_assert(strncmp(detail.text, field, strlen(field)) == 0, "%s", detail.text);
	cr_assert_eq(machine_create(fixture_host(), &shape, &callbacks, &machine, NULL, NULL), -EINVAL);
	cr_assert_eq(machine, (struct machine *)&fixture, "a result was written on failure");
}

Test(machine_boot, bad_shapes_are_refused_by_field)
{
	assert_shape_refused(0, CPU_TEMPLATE_HOST, MIB, "vcpus:");
	assert_shape_refused(MACHINE_VCPUS_MAX + 1, CPU_TEMPLATE_HOST, MIB, "vcpus:");
	assert_shape_refused(1, CPU_TEMPLATE_COUNT, MIB, "cpu_template:");
	assert_shape_refused(1, CPU_TEMPLATE_HOST, 0, "memory_size:");
	assert_shape_refused(1, CPU_TEMPLATE_HOST, MIB - 4096, "memory_size:");
	assert_shape_refused(1, CPU_TEMPLATE_HOST, MIB + 4096, "memory_size:");
	assert_shape_refused(1, CPU_TEMPLATE_HOST, GUEST_MEMORY_SIZE_MAX + MIB, "memory_size:");
}

Test(machine_boot, every_template_and_the_largest_shape_can_be_built)
{
	for (unsigned int i = 0; i < CPU_TEMPLATE_COUNT; i++) {
		const struct machine_shape shape = {
			.vcpus = MACHINE_VCPUS_MAX,
			.cpu_template = (enum cpu_template)i,
			.memory_size = GUEST_MEMORY_SIZE_MAX,
		};
		const struct machine_callbacks callbacks = { 0 };
		struct machine_create_times times = { 0 };
		struct error_detail detail = { 0 };
		struct machine *machine;

		cr_assert_eq(machine_create(fixture_host(), &shape, &callbacks, &machine, &times, &detail), 0, "%s",
			     detail.text);
		cr_assert_gt(times.vm.vm_create_ns, 0);
		cr_assert_gt(times.vcpus.prime_ns, 0);
		cr_assert_not(machine_has_exited(machine));
		machine_free(machine);
	}
	cr_assert_null(machine_free(NULL));
}

static void assert_image_refused(int image, enum entry_mode mode, int error, const char *text)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(machine_boot_image(fixture.machine, image, mode, &detail), error, "%s", detail.text);
	cr_assert_not_null(strstr(detail.text, text), "%s", detail.text);
}

Test(machine_boot, images_that_are_no_regular_files_are_refused)
{
	int ends[2];
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	fixture_build(&fixture, 1, 2);
	cr_assert_eq(pipe(ends), 0);
	assert_image_refused(ends[0], ENTRY_LONG, -EINVAL, "not a regular file");
	assert_image_refused(folder, ENTRY_LONG, -EINVAL, "not a regular file");
	assert_image_refused(zeros, ENTRY_LONG, -EINVAL, "not a regular file");
	assert_image_refused(-1, ENTRY_LONG, -EBADF, "image: fstat");
}

Test(machine_boot, an_empty_image_is_refused)
{
	int image = fixture_image(NULL, 0);

	fixture_build(&fixture, 1, 2);
	assert_image_refused(image, ENTRY_LONG, -EINVAL, "empty");
}

Test(machine_boot, an_image_that_cannot_be_read_is_refused)
{
	char path[] = "/tmp/ember-image-XXXXXX";
	int both = mkstemp(path);
	int image = open(path, O_WRONLY | O_CLOEXEC);

	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(write(both, "x", 1), 1);
	fixture_build(&fixture, 1, 2);
	assert_image_refused(image, ENTRY_LONG, -EBADF, "image: pread");
}

Test(machine_boot, an_entry_mode_that_is_none_is_refused)
{
	int image = fixture_image((const uint8_t *)"x", 1);

	fixture_build(&fixture, 1, 2);
	assert_image_refused(image, ENTRY_MODE_COUNT, -EINVAL, "entry");
}

/* The largest image that fits, and one byte more, for each mode; and the image lies where its mode says. */
Test(machine_boot, images_up_to_the_end_of_memory)
{
	for (unsigned int i = 0; i < ENTRY_MODE_COUNT; i++) {
		enum entry_mode mode = (enum entry_mode)i;
		uint64_t room = 2 * MIB - entry_image_gpa(mode);
		int image = fixture_image((const uint8_t *)"first", 5);
		struct error_detail detail = { 0 };
		uint8_t data[5];

		fixture_build(&fixture, 1, 2);
		cr_assert_eq(ftruncate(image, (off_t)room + 1), 0);
		assert_image_refused(image, mode, -EFBIG, "room");
		cr_assert_eq(ftruncate(image, (off_t)room), 0);
		cr_assert_eq(pwrite(image, "last", 4, (off_t)room - 4), 4);

		cr_assert_eq(machine_boot_image(fixture.machine, image, mode, &detail), 0, "%s", detail.text);
		cr_assert_eq(guest_memory_read(&fixture.machine->vm.memory, entry_image_gpa(mode), data, 5), 0);
		cr_assert_arr_eq(data, "first", 5);
		cr_assert_eq(guest_memory_read(&fixture.machine->vm.memory, 2 * MIB - 4, data, 4), 0);
		cr_assert_arr_eq(data, "last", 4);
		close(image);
		fixture_end(&fixture);
	}
	fixture.machine = NULL;
}

Test(machine_boot, an_image_of_any_size_is_too_large_for_memory_that_ends_below_it)
{
	int image = fixture_image((const uint8_t *)"x", 1);

	fixture_build(&fixture, 1, 1);
	assert_image_refused(image, ENTRY_LONG, -EFBIG, "room for 0 ");
}

Test(machine_boot, a_file_larger_than_any_memory_is_refused)
{
	int image = fixture_image((const uint8_t *)"x", 1);

	cr_assert_eq(ftruncate(image, INT64_MAX), 0);
	fixture_build(&fixture, 1, 2);
	assert_image_refused(image, ENTRY_REAL, -EFBIG, "room");
}

static bool stop_changing;

static void *change_size(void *file)
{
	while (!__atomic_load_n(&stop_changing, __ATOMIC_RELAXED)) {
		(void)!ftruncate(*(const int *)file, 1);
		(void)!ftruncate(*(const int *)file, (off_t)(8 * MIB));
		(void)!ftruncate(*(const int *)file, (off_t)(3 * MIB));
	}
	return NULL;
}

/* Whoever holds the file cuts and stretches it while it is read: the boot works or fails, with a reason. */
Test(machine_boot, an_image_whose_size_changes_meanwhile)
{
	int image = fixture_image((const uint8_t *)"x", 1);
	pthread_t changer;

	fixture_build(&fixture, 1, 4);
	cr_assert_eq(pthread_create(&changer, NULL, change_size, &image), 0);
	for (int i = 0; i < 300; i++) {
		int r = machine_boot_image(fixture.machine, image, ENTRY_LONG, NULL);

		cr_assert(r == 0 || r == -ENODATA || r == -EFBIG, "%d", r);
	}
	__atomic_store_n(&stop_changing, true, __ATOMIC_RELAXED);
	cr_assert_eq(pthread_join(changer, NULL), 0);
}

Test(machine_boot, a_machine_that_has_run_is_not_booted_again)
{
	int image = fixture_image((const uint8_t *)"x", 1);

	fixture_start_guest(&fixture, 1, ENTRY_LONG, ends);
	assert_image_refused(image, ENTRY_LONG, -EBUSY, "has run");
	machine_pause(fixture.machine);
	assert_image_refused(image, ENTRY_LONG, -EBUSY, "has run");
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon on this host's KVM: memory really goes back, comes again when it is touched, and goes in a clone too.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <linux/virtio_balloon.h>

#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/mmio.h"
#include "guests/balloon_layout.h"
#include "virtio_steps.h"

#define MEMORY   (UINT64_C(16) << 20)
#define TOUCHED  2 /* signals; see guests/balloon.c */
#define FOLLOWED 3
#define REPORTED 4

/* An entry of /proc/self/pagemap: the page is there, and is a file's (or shared), not of this process alone. */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_FILE    (UINT64_C(1) << 61)

GUEST_IMAGE(virtio_balloon);

static struct fixture source, target;

static void tear_down(void)
{
	if (source.machine)
		fixture_end(&source);
	if (target.machine)
		fixture_end(&target);
}

TestSuite(machine_balloon, .fini = tear_down);

static void build(struct fixture *fixture)
{
	const struct machine_shape shape = { .vcpus = 1, .memory_size = MEMORY, .balloons = 1 };
	const struct virtio_balloon_options options = { .free_page_reporting = true, .statistics = true };
	struct error_detail detail = { 0 };

	fixture_build_shape(fixture, &shape);
	cr_assert_eq(virtio_balloon_configure(fixture->machine->balloons[0], &options, &detail), 0, "%s", detail.text);
}

/* Pages of a guest's range that cost this process memory of its own. */
static uint32_t count_private(const struct fixture *fixture, uint64_t gpa, uint32_t pages)
{
	uint64_t address = (uint64_t)(uintptr_t)(fixture->machine->vm.memory.host + gpa);
	int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint32_t count = 0;

	cr_assert_geq(map, 0);
	for (uint32_t i = 0; i < pages; i++) {
		uint64_t entry = 0;

		cr_assert_eq(pread(map, &entry, sizeof(entry), (off_t)((address / BALLOON_PAGE + i) * sizeof(entry))),
			     sizeof(entry));
		count += (entry & (PAGEMAP_PRESENT | PAGEMAP_FILE)) == PAGEMAP_PRESENT;
	}
	close(map);
	return count;
}

static struct virtio_balloon_status read_balloon(struct fixture *fixture)
{
	struct virtio_balloon_status status;

	virtio_balloon_read(fixture->machine->balloons[0], &status);
	return status;
}

/* Ask for statistics, and wait until they have come. */
static struct virtio_balloon_status ask(struct fixture *fixture)
{
	struct virtio_balloon_status before = read_balloon(fixture);
	struct virtio_balloon_status now = before;

	cr_assert_eq(virtio_balloon_ask_statistics(fixture->machine->balloons[0]), 0);
	while (now.statistics_ns == before.statistics_ns) {
		(void)sched_yield();
		now = read_balloon(fixture);
	}
	return now;
}

static void set_target(struct fixture *fixture, uint32_t pages, uint64_t followed)
{
	cr_assert_eq(virtio_balloon_set_target(fixture->machine->balloons[0], pages), 0);
	fixture_wait_signal(fixture, FOLLOWED, followed);
	cr_assert_eq(read_balloon(fixture).actual_pages, pages);
}

Test(machine_balloon, memory_goes_back_and_comes_again)
{
	build(&source);
	virtio_steps_boot(&source, virtio_balloon_image, virtio_balloon_image_size);
	fixture_wait_signal(&source, TOUCHED, 1);
	cr_assert_eq(count_private(&source, BALLOON_PLACE, BALLOON_PAGES), BALLOON_PAGES);
	cr_assert_eq(count_private(&source, BALLOON_REPORTED, BALLOON_REPORTED_PAGES), BALLOON_REPORTED_PAGES);

	set_target(&source, 300, 1);
	cr_assert_eq(count_private(&source, BALLOON_PLACE, BALLOON_PAGES), BALLOON_PAGES - 300);
	fixture_wait_signal(&source, REPORTED, 1);
	cr_assert_eq(count_private(&source, BALLOON_REPORTED, BALLOON_REPORTED_PAGES), 0);
	cr_assert_eq(read_balloon(&source).reported_bytes, BALLOON_REPORTED_PAGES * BALLOON_PAGE);

	set_target(&source, BALLOON_PAGES, 2);
	cr_assert_eq(count_private(&source, BALLOON_PLACE, BALLOON_PAGES), 0);
	set_target(&source, 0, 3);
	cr_assert_eq(count_private(&source, BALLOON_PLACE, BALLOON_PAGES), BALLOON_PAGES);
	for (uint32_t i = 0; i < BALLOON_PAGES; i++)
		cr_assert_eq(source.machine->vm.memory.host[BALLOON_PLACE + i * BALLOON_PAGE], 0x22);
}

Test(machine_balloon, statistics_are_the_guests)
{
	struct virtio_balloon_status status;

	build(&source);
	virtio_steps_boot(&source, virtio_balloon_image, virtio_balloon_image_size);
	fixture_wait_signal(&source, TOUCHED, 1);
	while (read_balloon(&source).statistics_ns == 0)
		(void)sched_yield();
	for (uint64_t i = 2; i < 6; i++) {
		status = ask(&source);
		cr_assert_eq(status.statistics_known, 1 << VIRTIO_BALLOON_S_MEMTOT | 1 << VIRTIO_BALLOON_S_MEMFREE);
		cr_assert_eq(status.statistics[VIRTIO_BALLOON_S_MEMTOT], MEMORY);
		cr_assert_eq(status.statistics[VIRTIO_BALLOON_S_MEMFREE], i);
	}
}

/*
 * A clone has the balloon as it was, and its own copies of pages go when it gives them away: what stands there then is
 * the snapshot's.
 */
Test(machine_balloon, a_clone_goes_on_with_it)
{
	build(&source);
	virtio_steps_boot(&source, virtio_balloon_image, virtio_balloon_image_size);
	fixture_wait_signal(&source, TOUCHED, 1);
	set_target(&source, 100, 1);
	fixture_wait_signal(&source, REPORTED, 1);
	(void)ask(&source);
	machine_pause(source.machine);

	build(&target);
	virtio_steps_move(&source, &target);
	cr_assert_eq(read_balloon(&target).target_pages, 100);
	cr_assert_eq(read_balloon(&target).actual_pages, 100);
	cr_assert_eq(machine_run(target.machine), 0);
	while (read_balloon(&target).statistics_ns == 0)
		(void)sched_yield();
	cr_assert_eq(read_balloon(&target).statistics[VIRTIO_BALLOON_S_MEMFREE], 2);
	cr_assert_eq(ask(&target).statistics[VIRTIO_BALLOON_S_MEMFREE], 3);

	set_target(&target, 0, 1);
	cr_assert_eq(count_private(&target, BALLOON_PLACE, 100), 100);
	set_target(&target, 200, 2);
	cr_assert_eq(count_private(&target, BALLOON_PLACE, BALLOON_PAGES), 0);
	cr_assert_eq(target.machine->vm.memory.host[BALLOON_PLACE], 0);
	cr_assert_eq(target.machine->vm.memory.host[BALLOON_PLACE + 150 * BALLOON_PAGE], 0x11);

	cr_assert_eq(machine_run(source.machine), 0);
	set_target(&source, 0, 2);
	cr_assert_eq(ask(&source).statistics[VIRTIO_BALLOON_S_MEMFREE], 3);
}

Test(machine_balloon, it_has_the_last_window)
{
	const struct machine_shape shape = {
		.vcpus = 1,
		.memory_size = MEMORY,
		.disks = MACHINE_DISKS_MAX,
		.rngs = MACHINE_RNGS_MAX,
		.vsocks = MACHINE_VSOCKS_MAX,
		.nets = MACHINE_NETS_MAX,
		.balloons = MACHINE_BALLOONS_MAX,
	};
	const struct machine_window *last;

	fixture_build_shape(&source, &shape);
	cr_assert_eq(source.machine->window_count, MACHINE_VIRTIO_MAX);
	last = &source.machine->windows[MACHINE_VIRTIO_MAX - 1];
	cr_assert_eq(last->device, virtio_balloon_device(source.machine->balloons[0]));
	cr_assert_eq(last->gsi, VIRTIO_MMIO_GSI_BASE + MACHINE_VIRTIO_MAX - 1);
}

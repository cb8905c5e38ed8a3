/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that a guest gives back.
 *
 * A page goes with MADV_DONTNEED (guest_memory_drop()), which leaves the mapping and KVM's memslot as they are: the
 * guest may touch the page again at any time and gets memory again, so that deflating needs nothing of us. What it finds
 * there depends on what lies under its memory. Anonymous memory (a machine that was booted) is zeros. Under a snapshot's
 * private mapping the page of ours goes, and the snapshot's page appears again: what this guest, or the one that the
 * snapshot was taken of, had there then. Both are allowed: a driver that has not negotiated PAGE_POISON expects nothing of the
 * content of a page that it gave away (section 5.5.6.2, 5.5.6.7). No other VM's data can appear, since nothing but this
 * VM's own file lies under its memory. A page that the guest had only read costs nothing to drop, and comes from the
 * page cache again.
 *
 * A driver may name any page: the ones that hold its queues, pages twice, pages that another device writes to right
 * now. All of that is its own loss: host code that touches a dropped page finds what the guest would. What it cannot do is
 * name what is not in its memory, or make one request last: page numbers are limited in number, copied in small pieces,
 * each checked before it is used; ranges are as few as a chain's segments.
 *
 * One call a page would cost a microsecond or more for each, so page numbers that follow one another, up or down, are
 * dropped together.
 */
#include "devices/virtio/balloon/pages.h"

#include <errno.h>
#include <stdbool.h>

#include "devices/virtio/balloon/balloon.h"

#define PIECE 256 /* page numbers copied at one time */

/* Pages side by side. */
struct run {
	uint64_t first;
	uint64_t count;
};

static int broken(struct balloon_result *result, const char *fault)
{
	result->fault = fault;
	return -EBADMSG;
}

static int drop(struct guest_memory *memory, uint64_t gpa, uint64_t bytes, struct balloon_result *result)
{
	if (guest_memory_drop(memory, gpa, bytes) < 0)
		return broken(result, "the host's kernel does not take memory back");

	result->dropped += bytes;
	return 0;
}

/* Make a page part of a run; false where it lies elsewhere. */
static bool extend(struct run *run, uint64_t page)
{
	if (run->count == 0 || page == run->first + run->count) {
		run->first = run->count == 0 ? page : run->first;
		run->count++;
		return true;
	}
	if (page + 1 == run->first) {
		run->first = page;
		run->count++;
		return true;
	}

	return false;
}

static int drop_run(struct guest_memory *memory, struct run *run, struct balloon_result *result)
{
	const struct run whole = *run;

	*run = (struct run){ 0 };
	return whole.count == 0 ? 0 : drop(memory, whole.first * BALLOON_PAGE, whole.count * BALLOON_PAGE, result);
}

/* Look at a piece of the array, and drop its pages if that is what the request is for. */
static int take_piece(struct guest_memory *memory, const uint32_t *pages, size_t count, bool dropping,
		      struct balloon_result *result)
{
	struct run run = { 0 };
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		if (!guest_memory_contains(memory, pages[i] * BALLOON_PAGE, BALLOON_PAGE))
			return broken(result, "a page of the balloon lies outside memory");
	}
	for (size_t i = 0; dropping && r == 0 && i < count; i++) {
		if (extend(&run, pages[i]))
			continue;
		r = drop_run(memory, &run, result);
		(void)extend(&run, pages[i]);
	}

	return r < 0 ? r : drop_run(memory, &run, result);
}

static int take_pages(const struct virtqueue *queue, const struct virtqueue_chain *chain,
		      const struct io_thread *thread, bool dropping, struct balloon_result *result)
{
	struct virtqueue_cursor cursor;
	uint32_t pages[PIECE];
	int r = 0;

	*result = (struct balloon_result){ 0 };
	if (chain->writable > 0)
		return broken(result, "an array of pages is to be written to");
	if (chain->readable_bytes % sizeof(pages[0]) != 0)
		return broken(result, "an array of pages ends within a number");
	if (chain->readable_bytes > BALLOON_REQUEST_PAGES * sizeof(pages[0]))
		return broken(result, "an array of pages is too long");

	virtqueue_cursor_readable(&cursor, queue, chain);
	while (r == 0 && cursor.left > 0) {
		size_t length = virtqueue_cursor_read(&cursor, pages, sizeof(pages));

		r = io_thread_is_cancelled(thread)
			    ? -ECANCELED
			    : take_piece(cursor.memory, pages, length / sizeof(pages[0]), dropping, result);
	}

	return r;
}

int balloon_inflate(const struct virtqueue *queue, const struct virtqueue_chain *chain, const struct io_thread *thread,
		    struct balloon_result *ret_result)
{
	return take_pages(queue, chain, thread, true, ret_result);
}

int balloon_deflate(const struct virtqueue *queue, const struct virtqueue_chain *chain, const struct io_thread *thread,
		    struct balloon_result *ret_result)
{
	return take_pages(queue, chain, thread, false, ret_result);
}

/* The buffers are the pages: nothing is written to them, but their content goes. */
int balloon_report(const struct virtqueue *queue, const struct virtqueue_chain *chain, const struct io_thread *thread,
		   struct balloon_result *ret_result)
{
	int r = 0;

	*ret_result = (struct balloon_result){ 0 };
	if (chain->readable > 0)
		return broken(ret_result, "free pages are reported in a readable buffer");
	for (uint16_t i = 0; i < chain->writable; i++) {
		if (chain->segments[i].gpa % BALLOON_PAGE != 0 || chain->segments[i].length % BALLOON_PAGE != 0)
			return broken(ret_result, "a part of a page is reported as free");
	}

	for (uint16_t i = 0; r == 0 && i < chain->writable; i++) {
		r = io_thread_is_cancelled(thread)
			    ? -ECANCELED
			    : drop(queue->memory, chain->segments[i].gpa, chain->segments[i].length, ret_result);
	}
	return r;
}

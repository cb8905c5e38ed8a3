/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue, seen from the device.
 *
 * A hostile driver has three ways at us, and each is closed in one place:
 *
 * - Addresses and lengths. The areas are checked when the queue is enabled, buffers when their chain is taken; and
 *   every access to guest memory goes through guest_memory_*(), which check once more. No host address outlives the
 *   function that made it.
 * - Endless work. A chain has at most as many buffers as the queue has descriptors (section 2.7.5.3.1 forbids the
 *   driver more), counted while it is walked, so that a loop ends the walk. An index that claims more chains than the
 *   queue has places is an error.
 * - Changes while we look. A descriptor or an index is copied once, and what is checked and used is the copy: fetch()
 *   and load_index() keep the compiler from reading guest memory twice.
 *
 * Ordering (section 2.7.13): the available index is loaded with acquire before the entries that it covers; the used
 * index is stored with release after the entry and the data. Whether to interrupt, or to wait for a notification, is
 * decided after a full fence, because each side writes its own word and then reads the other's.
 */
#include "devices/virtio/virtqueue.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

/* The layout of the areas (section 2.7.6 and 2.7.8); what follows the rings is the event index. */
#define AVAILABLE_FLAGS      0
#define AVAILABLE_INDEX      2
#define AVAILABLE_RING       4
#define USED_INDEX           2
#define USED_RING            4
#define RING_EXTRA           6 /* flags, index, event */
#define DESCRIPTOR_ALIGNMENT 16
#define AVAILABLE_ALIGNMENT  2
#define USED_ALIGNMENT       4

_Static_assert(sizeof(struct vring_desc) == 16, "virtio 1.2, section 2.7.5");
_Static_assert(sizeof(struct vring_used_elem) == 8, "virtio 1.2, section 2.7.8");

struct area {
	uint64_t gpa;
	uint64_t length;
	uint64_t alignment;
};

void virtqueue_init(struct virtqueue *queue, struct guest_memory *memory, uint16_t size_max)
{
	*queue = (struct virtqueue){ .memory = memory, .size_max = size_max };
}

void virtqueue_reset(struct virtqueue *queue)
{
	virtqueue_init(queue, queue->memory, queue->size_max);
}

static int broken(struct virtqueue *queue, const char *fault)
{
	queue->fault = fault;
	return -EBADMSG;
}

static bool areas_overlap(const struct area *one, const struct area *other)
{
	/* Both lie in guest memory, so that no sum wraps. */
	return one->gpa < other->gpa + other->length && other->gpa < one->gpa + one->length;
}

int virtqueue_enable(struct virtqueue *queue)
{
	const struct area areas[] = {
		{ queue->descriptors, (uint64_t)queue->size * sizeof(struct vring_desc), DESCRIPTOR_ALIGNMENT },
		{ queue->available, RING_EXTRA + (uint64_t)queue->size * sizeof(uint16_t), AVAILABLE_ALIGNMENT },
		{ queue->used, RING_EXTRA + (uint64_t)queue->size * sizeof(struct vring_used_elem), USED_ALIGNMENT },
	};
	const size_t count = sizeof(areas) / sizeof(areas[0]);

	queue->fault = NULL;
	queue->ready = false;
	if (queue->size == 0 || queue->size > queue->size_max || (queue->size & (queue->size - 1)) != 0)
		queue->fault = "the queue's size is no power of two up to the greatest size";
	for (size_t i = 0; i < count && !queue->fault; i++) {
		if (areas[i].gpa % areas[i].alignment != 0)
			queue->fault = "an area of the queue is not aligned";
		else if (!guest_memory_contains(queue->memory, areas[i].gpa, areas[i].length))
			queue->fault = "an area of the queue lies outside memory";
	}
	for (size_t i = 0; i < count && !queue->fault; i++) {
		if (areas_overlap(&areas[i], &areas[(i + 1) % count]))
			queue->fault = "areas of the queue overlap";
	}
	if (queue->fault)
		return -EINVAL;

	queue->ready = true;
	return 0;
}

/* Copy a structure out of guest memory: once, whatever the compiler makes of the copy. */
static int fetch(const struct virtqueue *queue, uint64_t gpa, void *ret_data, size_t length)
{
	int r = guest_memory_read(queue->memory, gpa, ret_data, length);

	__asm__ volatile("" : : : "memory");
	return r;
}

/* A 16-bit word that the driver writes while we read. The areas are aligned, so that it is read in one piece. */
static int load_index(const struct virtqueue *queue, uint64_t gpa, uint16_t *ret_value)
{
	uint8_t *host;
	int r;

	r = guest_memory_range(queue->memory, gpa, sizeof(uint16_t), &host);
	if (r < 0)
		return r;

	*ret_value = __atomic_load_n((const uint16_t *)(const void *)host, __ATOMIC_ACQUIRE);
	return 0;
}

/* A 16-bit word that the driver reads while we write. */
static int store_index(const struct virtqueue *queue, uint64_t gpa, uint16_t value)
{
	uint8_t *host;
	int r;

	r = guest_memory_range(queue->memory, gpa, sizeof(uint16_t), &host);
	if (r < 0)
		return r;

	__atomic_store_n((uint16_t *)(void *)host, value, __ATOMIC_RELEASE);
	return 0;
}

/* How many chains the driver has made available that were not taken. */
static int count_available(struct virtqueue *queue, uint16_t *ret_count)
{
	uint16_t index;
	uint16_t count;

	if (load_index(queue, queue->available + AVAILABLE_INDEX, &index) < 0)
		return broken(queue, "the available ring lies outside memory");

	count = (uint16_t)(index - queue->next_available);
	if (count > queue->size)
		return broken(queue, "the available index jumped past the queue's size");
	/* Chains that were taken and not given back hold descriptors too. */
	if ((uint16_t)(index - queue->next_used) > queue->size)
		return broken(queue, "more chains are available than the queue has descriptors");

	*ret_count = count;
	return 0;
}

/* Ask for a notification when the driver adds to a ring that ends at `end` (section 2.7.10). */
static int arm(struct virtqueue *queue, uint16_t end)
{
	if (!queue->event_index)
		return 0;
	if (store_index(queue, queue->used + USED_RING + (uint64_t)queue->size * sizeof(struct vring_used_elem), end) <
	    0)
		return broken(queue, "the used ring lies outside memory");

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return 0;
}

/* As count_available(), and where there is none, ask for a notification and look again. */
static int count_available_or_arm(struct virtqueue *queue, uint16_t *ret_count)
{
	int r;

	r = count_available(queue, ret_count);
	if (r < 0 || *ret_count > 0 || !queue->event_index)
		return r;

	r = arm(queue, queue->next_available);
	return r < 0 ? r : count_available(queue, ret_count);
}

int virtqueue_available_end(struct virtqueue *queue, uint16_t *ret_end)
{
	uint16_t count = 0;
	int r = count_available(queue, &count);

	if (r == 0)
		*ret_end = (uint16_t)(queue->next_available + count);
	return r;
}

static bool is_before(uint16_t position, uint16_t end)
{
	return (int16_t)(position - end) < 0;
}

int virtqueue_has_reached(struct virtqueue *queue, uint16_t end)
{
	uint16_t now = 0;
	int r;

	if (!queue->ready)
		return 0;
	r = virtqueue_available_end(queue, &now);
	if (r == 0 && is_before(now, end))
		r = arm(queue, now);
	if (r == 0 && is_before(now, end))
		r = virtqueue_available_end(queue, &now);
	return r < 0 ? r : !is_before(now, end);
}

/* A table of descriptors: the queue's own, or one that a descriptor refers to. */
struct table {
	uint64_t gpa;
	uint32_t count;
	bool indirect;
};

/* Append the buffer of a descriptor. */
static int add_segment(struct virtqueue *queue, struct virtqueue_chain *chain, const struct vring_desc *descriptor)
{
	uint32_t count = (uint32_t)chain->readable + chain->writable;
	bool writable = descriptor->flags & VRING_DESC_F_WRITE;

	if (count == queue->size)
		return broken(queue, "a chain is longer than the queue");
	if (descriptor->len == 0)
		return broken(queue, "a buffer is empty");
	if (!guest_memory_contains(queue->memory, descriptor->addr, descriptor->len))
		return broken(queue, "a buffer lies outside memory");
	if (!writable && chain->writable > 0)
		return broken(queue, "a readable buffer follows a writable one");
	/* Section 2.7.5.1; and used lengths are 32 bits. */
	if (chain->readable_bytes + chain->writable_bytes + descriptor->len > UINT32_MAX)
		return broken(queue, "a chain has 4 GiB or more");

	chain->segments[count] = (struct virtqueue_segment){ .gpa = descriptor->addr, .length = descriptor->len };
	if (writable) {
		chain->writable++;
		chain->writable_bytes += descriptor->len;
	} else {
		chain->readable++;
		chain->readable_bytes += descriptor->len;
	}
	return 0;
}

/* Section 2.7.5.3: the descriptor refers to a table, which is the chain's rest. */
static int enter_table(struct virtqueue *queue, const struct vring_desc *descriptor, struct table *ret_table)
{
	if (!queue->indirect)
		return broken(queue, "an indirect descriptor, which was not negotiated");
	if (ret_table->indirect)
		return broken(queue, "an indirect descriptor in an indirect table");
	if (descriptor->flags & VRING_DESC_F_NEXT)
		return broken(queue, "an indirect descriptor with a next one");
	if (descriptor->len == 0 || descriptor->len % sizeof(struct vring_desc) != 0)
		return broken(queue, "an indirect table's length is no whole number of descriptors");
	if (!guest_memory_contains(queue->memory, descriptor->addr, descriptor->len))
		return broken(queue, "an indirect table lies outside memory");

	*ret_table = (struct table){
		.gpa = descriptor->addr,
		.count = descriptor->len / (uint32_t)sizeof(struct vring_desc),
		.indirect = true,
	};
	return 0;
}

/*
 * Walk a chain. Each turn appends a segment, of which there are at most queue->size, or ends, or enters a table, which
 * happens once: so the walk ends.
 */
static int walk_chain(struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain)
{
	struct table table = { .gpa = queue->descriptors, .count = queue->size };
	uint32_t index = head;
	int r;

	for (;;) {
		struct vring_desc descriptor;

		if (index >= table.count)
			return broken(queue, "a descriptor's index is past its table");
		if (fetch(queue, table.gpa + (uint64_t)index * sizeof(descriptor), &descriptor, sizeof(descriptor)) < 0)
			return broken(queue, "a descriptor lies outside memory");

		if (descriptor.flags & VRING_DESC_F_INDIRECT) {
			r = enter_table(queue, &descriptor, &table);
			if (r < 0)
				return r;
			index = 0;
			continue;
		}

		r = add_segment(queue, chain, &descriptor);
		if (r < 0)
			return r;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			return 0;
		index = descriptor.next;
	}
}

int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *ret_chain)
{
	uint16_t count = 0;
	uint16_t head = 0;
	uint64_t place;
	int r;

	if (!queue->ready)
		return 0;
	r = count_available_or_arm(queue, &count);
	if (r < 0 || count == 0)
		return r;

	place = (uint64_t)queue->next_available % queue->size;
	if (load_index(queue, queue->available + AVAILABLE_RING + place * sizeof(uint16_t), &head) < 0)
		return broken(queue, "the available ring lies outside memory");

	ret_chain->head = head;
	ret_chain->readable = 0;
	ret_chain->writable = 0;
	ret_chain->readable_bytes = 0;
	ret_chain->writable_bytes = 0;
	r = walk_chain(queue, head, ret_chain);
	if (r < 0)
		return r;

	queue->next_available++;
	return 1;
}

void virtqueue_unpop(struct virtqueue *queue)
{
	queue->next_available--;
}

int virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written)
{
	const struct vring_used_elem element = { .id = head, .len = written };
	uint64_t place = (uint64_t)queue->next_used % queue->size;

	if (guest_memory_write(queue->memory, queue->used + USED_RING + place * sizeof(element), &element,
			       sizeof(element)) < 0 ||
	    store_index(queue, queue->used + USED_INDEX, (uint16_t)(queue->next_used + 1)) < 0)
		return broken(queue, "the used ring lies outside memory");

	queue->next_used++;
	return 0;
}

bool virtqueue_wants_interrupt(struct virtqueue *queue)
{
	uint16_t before = queue->signalled;
	uint16_t now = queue->next_used;
	bool valid = queue->signalled_valid;
	uint16_t word = 0;

	queue->signalled = now;
	queue->signalled_valid = true;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);

	if (!queue->event_index) {
		if (load_index(queue, queue->available + AVAILABLE_FLAGS, &word) < 0)
			return true;
		return !(word & VRING_AVAIL_F_NO_INTERRUPT);
	}

	if (load_index(queue, queue->available + AVAILABLE_RING + (uint64_t)queue->size * sizeof(uint16_t), &word) < 0)
		return true;
	/* Has the used index passed the driver's event since the last time? The sums wrap, as the indices do. */
	return !valid || (uint16_t)(now - word - 1) < (uint16_t)(now - before);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entropy device with a hostile driver: chains of any form, limits, resets while it serves, and states that are
 * saved, altered and restored. What the device has to do is worked out beforehand, from the specification's rules and
 * from what lies in memory: which chains it gives back and with what length, and where it gives up. No other byte
 * changes, and what it says it has given, it has.
 *
 * A driver may aim its buffers at its own rings. What the device then finds is random, and only bounds are checked.
 */
#include "devices/virtio/rng.h"
#include "fuzz.h"
#include "kvm/monotonic.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <sched.h>
#include <string.h>

#define MEMORY      0x2000
#define SIZE        16
#define SIZE_MOST   64 /* of a queue that a state was given */
#define DESCRIPTORS 0x0
#define AVAILABLE   0x400
#define USED        0x800
#define TABLE       0xc00 /* descriptors for indirect chains */
#define BLOCK       64    /* bytes that are compared at once */
#define CERTAIN     16    /* random bytes that are never what was there before */
#define ENDED       (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

enum action {
	DESCRIBE,
	OFFER,
	WRITE_MEMORY,
	SAVE_AND_RESTORE,
	RESTORE_ALTERED,
	INTERRUPT, /* while it serves: a reset, the stop of the queue, or the driver's giving up */
	RESTART,   /* with other features */
	ACTIONS
};

struct step {
	uint8_t action;
	uint8_t index; /* of a descriptor; a head; what alters a state */
	uint16_t gpa;
	uint16_t length; /* of a buffer; how far the available index jumps; what is written to memory */
	uint8_t flags;   /* VRING_DESC_F_*; bit 3: of a descriptor in TABLE */
	uint8_t next;    /* a descriptor; chains that are offered */
} __attribute__((packed));

/* The device that a limit is for is made anew for each input, so that its buckets are full. */
static const struct rate_limit_options limits[] = {
	{ .bytes = { 0 } },
	{ .operations = { .per_second = 1, .burst = 3 } },
	{ .bytes = { .per_second = 1, .burst = 600 } },
	{ .bytes = { .per_second = 1 << 30, .burst = 1 }, .operations = { .per_second = 200000, .burst = 1 } },
};
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

/* What was spent of a limit: a request that a reset has interrupted may have been, or not. */
struct spent {
	uint64_t least;
	uint64_t most;
};

/* What the device will do when it runs, if nothing holds it back. */
struct prediction {
	struct virtqueue queue; /* as it is before */
	bool running;
	bool broken; /* it gives up behind the last of these: */
	uint16_t count;
	uint16_t heads[SIZE_MOST];
	uint32_t given[SIZE_MOST];
	uint8_t first[MEMORY]; /* which of them is the first to change a byte, from 1; 0: none is */
	bool wild;             /* they change what describes them, or how they are given back */
};

/* What happens to a byte. */
enum mark {
	READ = 1,
	GIVEN = 2,
	RING = 4,  /* written to give chains back */
	EVENT = 8, /* may be written at any time */
};

static struct guest_memory memory = { .size = MEMORY };
static uint8_t before[MEMORY];
static uint8_t marks[MEMORY];
static struct prediction prediction;
static struct virtio_rng *rng;
static struct virtio_device *virtio;
static struct device *device;
static const struct rate_limit_options *limit;
static uint64_t opened_ns;
static struct spent operations;
static struct spent bytes;

static void open_device(const struct rate_limit_options *options)
{
	FUZZ_CHECK(virtio_rng_new(0, &memory, &rng) == 0);
	opened_ns = monotonic_ns();
	FUZZ_CHECK(virtio_rng_configure(rng, options) == 0);
	virtio = virtio_rng_device(rng);
	device = &virtio->device;
	limit = options;
	operations = (struct spent){ 0 };
	bytes = (struct spent){ 0 };
}

static void write_register(uint64_t offset, uint32_t value)
{
	device->ops->write(device, offset, (const uint8_t *)&value, sizeof(value));
}

static void start(uint8_t chosen)
{
	write_register(VIRTIO_MMIO_STATUS, 0);
	memset(memory.host, 0, MEMORY);
	write_register(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, (chosen & 1 ? UINT32_C(1) << VIRTIO_RING_F_INDIRECT_DESC : 0) |
							    (chosen & 2 ? UINT32_C(1) << VIRTIO_RING_F_EVENT_IDX : 0));
	write_register(VIRTIO_MMIO_STATUS, 0xb);
	write_register(VIRTIO_MMIO_QUEUE_NUM, SIZE);
	write_register(VIRTIO_MMIO_QUEUE_DESC_LOW, DESCRIPTORS);
	write_register(VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAILABLE);
	write_register(VIRTIO_MMIO_QUEUE_USED_LOW, USED);
	write_register(VIRTIO_MMIO_QUEUE_READY, 1);
	write_register(VIRTIO_MMIO_STATUS, 0xf);
}

static void put(uint64_t gpa, const void *data, size_t length)
{
	FUZZ_CHECK(guest_memory_write(&memory, gpa, data, length) == 0);
}

static void get(uint64_t gpa, void *ret_data, size_t length)
{
	FUZZ_CHECK(guest_memory_read(&memory, gpa, ret_data, length) == 0);
}

static uint16_t get_word(uint64_t gpa)
{
	uint16_t word;

	get(gpa, &word, sizeof(word));
	return word;
}

/* ---- what the device will do ---- */

static void mark(uint64_t gpa, uint64_t length, enum mark how)
{
	for (uint64_t at = gpa; at < gpa + length; at++) {
		prediction.wild |= (marks[at] & ~(unsigned int)how) != 0;
		marks[at] |= (uint8_t)how;
		if ((how == GIVEN || how == RING) && prediction.first[at] == 0)
			prediction.first[at] = (uint8_t)(prediction.count + 1);
	}
}

/* Where the device says at which available chain it wants to be notified. */
static uint64_t event_place(void)
{
	const struct virtqueue *queue = &prediction.queue;

	return queue->used + 4 + queue->size * sizeof(struct vring_used_elem);
}

/* A chain that the device takes has buffers to write only; the others end it. Copies its buffers out. */
static bool walk(uint16_t head, struct vring_desc buffers[SIZE_MOST], uint32_t *ret_count)
{
	const struct virtqueue *queue = &prediction.queue;
	uint64_t table = queue->descriptors;
	uint32_t size = queue->size;
	bool indirect = false;
	uint32_t index = head;
	uint32_t count = 0;

	for (;;) {
		struct vring_desc descriptor;

		if (index >= size)
			return false;
		get(table + index * sizeof(descriptor), &descriptor, sizeof(descriptor));
		mark(table + index * sizeof(descriptor), sizeof(descriptor), READ);
		if (descriptor.len == 0 || !guest_memory_contains(&memory, descriptor.addr, descriptor.len))
			return false;
		if (descriptor.flags & VRING_DESC_F_INDIRECT) {
			if (!queue->indirect || indirect || (descriptor.flags & VRING_DESC_F_NEXT) ||
			    descriptor.len % sizeof(descriptor) != 0)
				return false;
			table = descriptor.addr;
			size = descriptor.len / (uint32_t)sizeof(descriptor);
			indirect = true;
			index = 0;
			continue;
		}
		if (!(descriptor.flags & VRING_DESC_F_WRITE) || count == queue->size)
			return false;
		buffers[count++] = descriptor;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			break;
		index = descriptor.next;
	}

	*ret_count = count;
	return true;
}

static bool predict_chain(void)
{
	const struct virtqueue *queue = &prediction.queue;
	uint16_t place = (uint16_t)(queue->next_available + prediction.count);
	uint16_t head = get_word(queue->available + 4 + place % queue->size * sizeof(head));
	struct vring_desc buffers[SIZE_MOST];
	uint32_t given = 0;
	uint32_t count;

	if (!walk(head, buffers, &count))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t left = RNG_REQUEST_MAX - given;
		uint32_t length = buffers[i].len < left ? buffers[i].len : left;

		mark(buffers[i].addr, length, GIVEN);
		given += length;
	}
	place = (uint16_t)(queue->next_used + prediction.count);
	mark(queue->used + 4 + place % queue->size * sizeof(struct vring_used_elem), sizeof(struct vring_used_elem),
	     RING);
	mark(queue->used + 2, sizeof(uint16_t), RING);
	prediction.heads[prediction.count] = head;
	prediction.given[prediction.count] = given;
	prediction.count++;
	return true;
}

/* The device is at rest. */
static void predict(void)
{
	const struct virtqueue *queue = &virtio->queues[0];
	uint16_t index;

	memset(&prediction, 0, sizeof(prediction));
	memset(marks, 0, sizeof(marks));
	memcpy(before, memory.host, MEMORY);
	prediction.queue = *queue;
	prediction.running =
		(virtio->status & (VIRTIO_CONFIG_S_DRIVER_OK | ENDED)) == VIRTIO_CONFIG_S_DRIVER_OK && queue->ready;
	if (!prediction.running)
		return;

	index = get_word(queue->available + 2);
	mark(queue->available, 6 + queue->size * sizeof(index), READ);
	prediction.broken = (uint16_t)(index - queue->next_available) > queue->size ||
			    (uint16_t)(index - queue->next_used) > queue->size;
	while (!prediction.broken && (uint16_t)(queue->next_available + prediction.count) != index)
		prediction.broken = !predict_chain();

	/* Where the driver is told when to notify: whether or not a chain is given back. */
	if (queue->event_index)
		mark(event_place(), sizeof(index), EVENT);
	/* Only a state that was altered has another index than the ring. */
	prediction.wild |= get_word(queue->used + 2) != queue->next_used;
}

/* ---- what it did ---- */

static uint64_t given_by(uint16_t count)
{
	uint64_t given = 0;

	for (uint16_t i = 0; i < count && i < prediction.count; i++)
		given += prediction.given[i];
	return given;
}

/* Nothing but time, and a lot of it, gives the device leave to go on; or nobody knows. */
static bool is_spent(uint16_t count)
{
	if (prediction.wild)
		return limit->operations.per_second == 1 || limit->bytes.per_second == 1;
	return (limit->operations.per_second == 1 && operations.most + count >= limit->operations.burst) ||
	       (limit->bytes.per_second == 1 && bytes.most + given_by(count) >= limit->bytes.burst);
}

static bool is_done(void)
{
	const struct virtqueue *queue = &virtio->queues[0];
	bool done;

	pthread_mutex_lock(&virtio->lock);
	done = (virtio->status & ENDED) || is_spent((uint16_t)(queue->next_used - prediction.queue.next_used)) ||
	       (!virtio->thread.busy && get_word(queue->available + 2) == queue->next_available);
	pthread_mutex_unlock(&virtio->lock);
	return done;
}

static uint64_t most_until_now(const struct token_rate *rate, uint64_t one)
{
	uint64_t past_us = (monotonic_ns() - opened_ns) / 1000 + 1;

	return rate->burst + past_us * rate->per_second / 1000000 + one;
}

static void check_limit(uint16_t count, bool was_interrupted)
{
	uint64_t given = given_by(count);

	operations.least += count;
	operations.most += (uint64_t)count + was_interrupted;
	bytes.least += given;
	bytes.most += given + (was_interrupted ? RNG_REQUEST_MAX : 0);
	FUZZ_CHECK(limit->operations.per_second == 0 || operations.least <= most_until_now(&limit->operations, 1));
	FUZZ_CHECK(limit->bytes.per_second == 0 || bytes.least <= most_until_now(&limit->bytes, RNG_REQUEST_MAX));
}

/* Where there is enough in one piece that chance does not leave it as it was. */
static void check_given(uint16_t count)
{
	size_t run = 0;

	for (size_t i = 0; i < MEMORY && count > 0; i++) {
		bool is_given = (marks[i] & GIVEN) && prediction.first[i] <= count;

		run = is_given ? run + 1 : 0;
		if (run < CERTAIN)
			continue;
		FUZZ_CHECK(memcmp(memory.host + i + 1 - CERTAIN, before + i + 1 - CERTAIN, CERTAIN) != 0);
		run = 0;
	}
}

static void check_used(uint16_t count)
{
	const struct virtqueue *queue = &prediction.queue;

	for (uint16_t i = 0; i < count; i++) {
		uint16_t place = (uint16_t)(queue->next_used + i);
		struct vring_used_elem element;

		get(queue->used + 4 + place % queue->size * sizeof(element), &element, sizeof(element));
		FUZZ_CHECK(element.id == prediction.heads[i] && element.len == prediction.given[i]);
	}
}

static bool may_change(size_t at, uint16_t count, bool was_interrupted)
{
	uint8_t first = prediction.first[at];

	if (marks[at] & EVENT)
		return true;
	return first != 0 && (first <= count || (was_interrupted && (marks[at] & GIVEN) && first == count + 1));
}

/* The first `count` chains were given back; one more may have been filled, if the device was interrupted. */
static void check_memory(uint16_t count, bool was_interrupted)
{
	for (size_t block = 0; block < MEMORY; block += BLOCK) {
		if (memcmp(memory.host + block, before + block, BLOCK) == 0)
			continue;
		for (size_t i = block; i < block + BLOCK; i++)
			FUZZ_CHECK(memory.host[i] == before[i] || may_change(i, count, was_interrupted));
	}
}

/* All was done that the limit allows, and nobody has interrupted it. */
static void check_end(uint16_t count)
{
	bool failed = virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET;
	bool told = virtio->interrupt_status & VIRTIO_MMIO_INT_VRING;

	FUZZ_CHECK(virtio->queues[0].next_used == (uint16_t)(prediction.queue.next_used + count));
	FUZZ_CHECK(failed || virtio->queues[0].next_available == (uint16_t)(prediction.queue.next_available + count));
	FUZZ_CHECK(!failed || (prediction.broken && count == prediction.count));
	FUZZ_CHECK(failed || (count == prediction.count && !prediction.broken) || is_spent(0));
	FUZZ_CHECK(count > 0 || !told);
	if (count > 0 && !prediction.queue.event_index)
		FUZZ_CHECK(told == !(get_word(prediction.queue.available) & VRING_AVAIL_F_NO_INTERRUPT));
}

/* The device is at rest. */
static void check_bounds(void)
{
	const struct virtqueue *queue = &virtio->queues[0];

	FUZZ_CHECK(!(virtio->status & VIRTIO_CONFIG_S_DRIVER_OK) || (virtio->status & VIRTIO_CONFIG_S_FEATURES_OK));
	FUZZ_CHECK(!(virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET) || virtio->fault);
	FUZZ_CHECK(!queue->ready || (queue->size > 0 && queue->size <= queue->size_max));
	FUZZ_CHECK(!virtio->thread.busy && virtio->thread.held);
}

static void interrupt(const struct step *step)
{
	switch (step->flags % 3) {
	case 0:
		write_register(VIRTIO_MMIO_STATUS, 0);
		break;
	case 1:
		write_register(VIRTIO_MMIO_QUEUE_SEL, 0);
		write_register(VIRTIO_MMIO_QUEUE_READY, 0);
		break;
	default:
		write_register(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FAILED);
		break;
	}
}

/* Let the device do what there is to do. interrupting: do not wait for it; may be NULL. */
static void run(const struct step *interrupting)
{
	uint16_t count;

	write_register(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	predict();
	device->ops->resume(device);
	write_register(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	if (interrupting)
		interrupt(interrupting);
	else if (prediction.running)
		while (!is_done())
			(void)sched_yield();
	FUZZ_CHECK(device->ops->drain(device) == 0);

	check_bounds();
	if (prediction.wild) {
		/* How much was spent is not known. */
		operations.most = UINT32_MAX;
		bytes.most = UINT32_MAX;
		return;
	}
	count = prediction.running ? (uint16_t)(get_word(prediction.queue.used + 2) - prediction.queue.next_used) : 0;
	FUZZ_CHECK(count <= prediction.count);
	check_limit(count, interrupting && prediction.running);
	check_used(count);
	check_memory(count, interrupting != NULL);
	check_given(count);
	if (!interrupting && prediction.running)
		check_end(count);
}

/* ---- what the driver does, with the device at rest ---- */

static void describe(const struct step *step)
{
	const struct vring_desc descriptor = {
		.addr = step->gpa,
		.len = step->length,
		.flags = step->flags & 7,
		.next = step->next,
	};
	uint64_t table = step->flags & 8 ? TABLE : DESCRIPTORS;

	put(table + step->index % (2 * SIZE) * sizeof(descriptor), &descriptor, sizeof(descriptor));
}

static void offer(const struct step *step)
{
	uint16_t index = get_word(AVAILABLE + 2);
	uint16_t count = 1 + step->next % SIZE;

	for (uint16_t i = 0; i < count; i++, index++) {
		uint16_t head = (uint16_t)(step->index + i);

		put(AVAILABLE + 4 + index % SIZE * sizeof(head), &head, sizeof(head));
	}
	index = (uint16_t)(index + step->length);
	put(AVAILABLE + 2, &index, sizeof(index));
}

static void save(uint8_t state[DEVICE_STATE_MAX])
{
	memset(state, 0, DEVICE_STATE_MAX);
	device->ops->save(device, state);
	FUZZ_CHECK(state_fields_check(device->ops->state_fields, state, "virtio_rng", NULL) == 0);
}

static void save_and_restore(void)
{
	static uint8_t state[DEVICE_STATE_MAX], again[DEVICE_STATE_MAX];

	save(state);
	device->ops->reset(device);
	FUZZ_CHECK(device->ops->restore(device, state, NULL) == 0);
	save(again);
	FUZZ_CHECK(memcmp(state, again, sizeof(state)) == 0);
}

static void restore_altered(const struct step *step)
{
	static uint8_t state[DEVICE_STATE_MAX], kept[DEVICE_STATE_MAX], now[DEVICE_STATE_MAX];
	struct error_detail detail = { .text = "" };

	save(kept);
	memcpy(state, kept, sizeof(state));
	state[step->gpa % device->ops->state_size] ^= step->index;
	state[step->length % device->ops->state_size] ^= step->next;
	if (state_fields_check(device->ops->state_fields, state, "virtio_rng", &detail) == 0 &&
	    device->ops->restore(device, state, &detail) == 0) {
		FUZZ_CHECK(detail.text[0] == '\0');
		save(now);
		return;
	}
	FUZZ_CHECK(detail.text[0] != '\0');
	save(now);
	FUZZ_CHECK(memcmp(now, kept, sizeof(now)) == 0);
}

static void act(const struct step *step)
{
	switch (step->action % ACTIONS) {
	case DESCRIBE:
		describe(step);
		break;
	case OFFER:
		offer(step);
		break;
	case WRITE_MEMORY:
		(void)guest_memory_write(&memory, step->gpa, &step->length, sizeof(step->length));
		break;
	case SAVE_AND_RESTORE:
		save_and_restore();
		break;
	case RESTORE_ALTERED:
		restore_altered(step);
		break;
	case INTERRUPT:
		offer(step);
		break;
	default:
		start(step->flags);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t chosen = size > 0 ? data[0] : 0;

	if (!memory.host)
		memory.host = aligned_alloc(4096, MEMORY);
	FUZZ_CHECK(memory.host);
	open_device(&limits[chosen % LIMITS]);
	start(chosen / LIMITS);
	for (size_t at = 1; at + sizeof(struct step) <= size; at += sizeof(struct step)) {
		struct step step;

		memcpy(&step, data + at, sizeof(step));
		act(&step);
		run(step.action % ACTIONS == INTERRUPT ? &step : NULL);
	}
	device->ops->free(device);
	return 0;
}

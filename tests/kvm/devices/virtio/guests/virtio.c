/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio drivers for guests without a kernel. They sleep for interrupts: lines 5 and 6 of the first PIC, which are
 * edges.
 */
#include "virtio.h"

#define WINDOWS UINT64_C(0xd0000000)
#define WINDOW  0x1000

struct queue queues[2];
volatile uint32_t interrupts[2];

struct request_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

static struct request_header header;
static volatile uint8_t request_status;

uint32_t get(unsigned int device, uint32_t offset)
{
	return *(volatile uint32_t *)(WINDOWS + (uint64_t)device * WINDOW + offset);
}

uint8_t get8(unsigned int device, uint32_t offset)
{
	return *(volatile uint8_t *)(WINDOWS + (uint64_t)device * WINDOW + offset);
}

void set(unsigned int device, uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(WINDOWS + (uint64_t)device * WINDOW + offset) = value;
}

void guest_irq4(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint32_t reason = get(i, INTERRUPT);

		/* Of an absent device all is ones. */
		if (reason != 0 && reason != UINT32_MAX) {
			set(i, INTERRUPT_ACK, reason);
			interrupts[i] = interrupts[i] + 1;
		}
	}
}

bool negotiate(unsigned int device, uint64_t features)
{
	features |= F_VERSION_1;
	set(device, STATUS, 0);
	set(device, STATUS, S_ACKNOWLEDGE);
	set(device, STATUS, S_ACKNOWLEDGE | S_DRIVER);
	set(device, DRIVER_SEL, 0);
	set(device, DRIVER, (uint32_t)features);
	set(device, DRIVER_SEL, 1);
	set(device, DRIVER, (uint32_t)(features >> 32));
	set(device, STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
	return (get(device, STATUS) & S_FEATURES_OK) != 0;
}

void set_address(unsigned int device, uint32_t offset, uint64_t gpa)
{
	set(device, offset, (uint32_t)gpa);
	set(device, offset + 4, (uint32_t)(gpa >> 32));
}

bool set_queue(unsigned int device, uint32_t number, struct queue *queue)
{
	for (size_t i = 0; i < QUEUE_BYTES; i++)
		((volatile uint8_t *)queue)[i] = 0;
	set(device, QUEUE_SEL, number);
	set(device, QUEUE_NUM, QUEUE_SIZE);
	set_address(device, QUEUE_DESC, (uint64_t)queue->descriptors);
	set_address(device, QUEUE_AVAIL, (uint64_t)&queue->avail_flags);
	set_address(device, QUEUE_USED, (uint64_t)&queue->used_flags);
	set(device, QUEUE_READY, 1);
	return get(device, QUEUE_READY) == 1;
}

bool set_driver_ok(unsigned int device)
{
	set(device, STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
	return get(device, STATUS) == (S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
}

bool start(unsigned int device, uint64_t features)
{
	return negotiate(device, features) && set_queue(device, 0, &queues[device]) && set_driver_ok(device);
}

void describe_gpa(unsigned int device, uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags, uint16_t next)
{
	queues[device].descriptors[index] = (struct descriptor){ gpa, length, flags, next };
}

void describe(unsigned int device, uint16_t index, const volatile void *place, uint32_t length, uint16_t flags,
	      uint16_t next)
{
	describe_gpa(device, index, (uint64_t)place, length, flags, next);
}

void offer_on(unsigned int device, uint32_t number, struct queue *queue, uint16_t head)
{
	queue->used_event = queue->avail_index; /* an interrupt for this one */
	queue->avail_ring[queue->avail_index % QUEUE_SIZE] = head;
	__asm__ volatile("" : : : "memory");
	queue->avail_index = (uint16_t)(queue->avail_index + 1);
	__asm__ volatile("mfence" : : : "memory");
	set(device, QUEUE_NOTIFY, number);
}

void offer(unsigned int device, uint16_t head)
{
	offer_on(device, 0, &queues[device], head);
}

bool wait_used_on(unsigned int device, const struct queue *queue)
{
	while (queue->used_index != queue->avail_index) {
		if (get(device, STATUS) & S_NEEDS_RESET)
			return false;
		wait_for_interrupt();
	}
	__asm__ volatile("" : : : "memory");
	return true;
}

bool wait_used(unsigned int device)
{
	return wait_used_on(device, &queues[device]);
}

void wait_needs_reset(unsigned int device)
{
	while (!(get(device, STATUS) & S_NEEDS_RESET))
		wait_for_interrupt();
}

void disk_describe(uint32_t type, uint64_t sector, volatile void *data, uint32_t length, bool writable)
{
	header = (struct request_header){ .type = type, .sector = sector };
	request_status = 0xee;
	describe(BLK, 0, &header, sizeof(header), NEXT, data ? 1 : 2);
	describe(BLK, 1, data, length, (uint16_t)(NEXT | (writable ? WRITE : 0)), 2);
	describe(BLK, 2, &request_status, 1, WRITE, 0);
}

uint8_t disk_request(uint32_t type, uint64_t sector, volatile void *data, uint32_t length, bool writable)
{
	disk_describe(type, sector, data, length, writable);
	offer(BLK, 0);
	return wait_used(BLK) ? request_status : 0xff;
}

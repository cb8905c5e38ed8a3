/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio drivers for guests without a kernel: devices over MMIO, driven by hand.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_VIRTIO_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_VIRTIO_H

#include "platform.h"

/* Windows: these two together in one machine, any other device alone in its own, as its first. */
#define RNG 0
#define BLK 1

#define MAGIC         0x000
#define VERSION       0x004
#define DEVICE_ID     0x008
#define FEATURES      0x010
#define FEATURES_SEL  0x014
#define DRIVER        0x020
#define DRIVER_SEL    0x024
#define QUEUE_SEL     0x030
#define QUEUE_NUM_MAX 0x034
#define QUEUE_NUM     0x038
#define QUEUE_READY   0x044
#define QUEUE_NOTIFY  0x050
#define INTERRUPT     0x060
#define INTERRUPT_ACK 0x064
#define STATUS        0x070
#define QUEUE_DESC    0x080
#define QUEUE_AVAIL   0x090
#define QUEUE_USED    0x0a0
#define CONFIG        0x100

#define S_ACKNOWLEDGE 0x01
#define S_DRIVER      0x02
#define S_DRIVER_OK   0x04
#define S_FEATURES_OK 0x08
#define S_NEEDS_RESET 0x40

#define F_FLUSH       (UINT64_C(1) << 9)
#define F_INDIRECT    (UINT64_C(1) << 28)
#define F_EVENT_INDEX (UINT64_C(1) << 29)
#define F_VERSION_1   (UINT64_C(1) << 32)

#define NEXT     1
#define WRITE    2
#define INDIRECT 4

#define QUEUE_SIZE 16

struct descriptor {
	uint64_t gpa;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

/* Everything that the device shares with its driver. */
struct queue {
	struct descriptor descriptors[QUEUE_SIZE];
	volatile uint16_t avail_flags, avail_index, avail_ring[QUEUE_SIZE], used_event;
	volatile uint16_t used_flags __attribute__((aligned(4)));
	volatile uint16_t used_index;
	struct {
		uint32_t id, length;
	} volatile used_ring[QUEUE_SIZE];
	volatile uint16_t avail_event;
} __attribute__((aligned(4096)));

#define QUEUE_BYTES (offsetof(struct queue, avail_event) + sizeof(uint16_t)) /* without what fills the page */

extern struct queue queues[2]; /* of RNG and BLK */
extern volatile uint32_t interrupts[2];

uint32_t get(unsigned int device, uint32_t offset);
uint8_t get8(unsigned int device, uint32_t offset);
void set(unsigned int device, uint32_t offset, uint32_t value);

/* Everything up to FEATURES_OK; whether the device agrees. VERSION_1 is added. */
bool negotiate(unsigned int device, uint64_t features);

/* A queue, cleared; whether the device agrees. Then DRIVER_OK. */
bool set_queue(unsigned int device, uint32_t number, struct queue *queue);
bool set_driver_ok(unsigned int device);

/* A 64-bit address in a pair of registers. */
void set_address(unsigned int device, uint32_t offset, uint64_t gpa);

/* The whole start of a device with one queue. */
bool start(unsigned int device, uint64_t features);

/* Describe, and make available. */
void describe(unsigned int device, uint16_t index, const volatile void *place, uint32_t length, uint16_t flags,
	      uint16_t next);
void describe_gpa(unsigned int device, uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags, uint16_t next);
void offer(unsigned int device, uint16_t head);
void offer_on(unsigned int device, uint32_t number, struct queue *queue, uint16_t head);

/* Sleep until the device has used all that was offered. False: it needs a reset. */
bool wait_used(unsigned int device);
bool wait_used_on(unsigned int device, const struct queue *queue);

/* Sleep until the device needs a reset. */
void wait_needs_reset(unsigned int device);

/* A disk's request in descriptors 0 to 2, not offered yet. */
void disk_describe(uint32_t type, uint64_t sector, volatile void *data, uint32_t length, bool writable);

/* A disk's request, start to end. Returns the status. */
uint8_t disk_request(uint32_t type, uint64_t sector, volatile void *data, uint32_t length, bool writable);

#endif

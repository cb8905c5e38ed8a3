/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the second processor writes is chosen such that a device that obeys it stays within memory that nobody else uses:
 * addresses are in the arena, or outside memory. So a device that writes elsewhere shows, as a guest that goes astray or
 * as a report of the sanitizers'.
 */
#include "race.h"

#include "others.h"
#include "second.h"

#define USES       150   /* of each queue */
#define ARENA      65536 /* bytes a descriptor may have behind any address that is chosen */
#define TABLE_SIZE 8     /* descriptors of the indirect table, at the arena's beginning */

extern const uint8_t second_code[], second_code_end[];
void second_main(void);

static volatile uint8_t arena[2 * ARENA] __attribute__((aligned(4096)));
static const struct target *volatile raced; /* NULL: the second processor is to stand still */
static volatile bool standing;

static void store(uint64_t offset, uint32_t value)
{
	*(volatile uint32_t *)(OTHERS_CODE + offset) = value;
}

/* Leave this processor's registers for the other, and start it. */
static void start_second(void)
{
	uint64_t value;

	__asm__ volatile("sgdt %0" : "=m"(*(uint8_t(*)[10])(OTHERS_CODE + SECOND_GDTR)));
	__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	store(SECOND_CR0, (uint32_t)value);
	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	store(SECOND_CR3, (uint32_t)value);
	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	store(SECOND_CR4, (uint32_t)value);
	__asm__ volatile("rdmsr" : "=a"(value) : "c"(0xc0000080) : "rdx");
	store(SECOND_EFER, (uint32_t)value & ~(UINT32_C(1) << 10)); /* LMA follows from paging */
	start_others(second_code, (size_t)(second_code_end - second_code));
}

/* A linear congruential generator's upper half: the same writes each time, if not at the same moments. */
static uint32_t draw(uint32_t below)
{
	static uint64_t state = 88172645463325252;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % below;
}

static uint64_t draw_address(void)
{
	static const uint64_t nowhere[] = { UINT64_C(0xd0000000), UINT64_MAX - 7, UINT64_C(1) << 40, UINT64_MAX };

	return draw(4) == 0 ? nowhere[draw(4)] : (uint64_t)arena + draw(2) * 16 + draw(4) * 512;
}

static void overwrite_descriptor(volatile struct descriptor *descriptor)
{
	static const uint32_t lengths[] = { 0, 1, 16, 24, 44, 512, 4096, 32768, ARENA, UINT32_MAX };

	switch (draw(4)) {
	case 0:
		descriptor->gpa = draw_address();
		break;
	case 1:
		descriptor->length = lengths[draw(sizeof(lengths) / sizeof(lengths[0]))];
		break;
	case 2:
		descriptor->flags = (uint16_t)draw(8);
		break;
	default:
		descriptor->next = (uint16_t)draw(QUEUE_SIZE + 2);
		break;
	}
}

static void overwrite_ring(struct queue *queue)
{
	switch (draw(6)) {
	case 0:
		queue->avail_ring[draw(QUEUE_SIZE)] = (uint16_t)draw(QUEUE_SIZE + 1);
		break;
	case 1:
		queue->avail_index = (uint16_t)(queue->avail_index + draw(3));
		break;
	case 2:
		queue->avail_index = (uint16_t)draw(UINT32_C(1) << 16);
		break;
	case 3:
		queue->used_index = (uint16_t)draw(UINT32_C(1) << 16);
		break;
	case 4:
		queue->used_event = (uint16_t)draw(UINT32_C(1) << 16);
		break;
	default:
		queue->used_ring[draw(QUEUE_SIZE)].id = draw(UINT32_C(1) << 31);
		break;
	}
}

static void write_register(const struct target *target)
{
	switch (draw(8)) {
	case 0:
		set(target->device, STATUS, 0);
		break;
	case 1:
		set(target->device, QUEUE_SEL, target->number);
		set(target->device, QUEUE_READY, 0);
		break;
	default:
		set(target->device, QUEUE_NOTIFY, target->number);
		break;
	}
}

static void disturb(const struct target *target)
{
	uint32_t choice = draw(64);

	if (choice == 0)
		write_register(target);
	else if (choice < 24)
		overwrite_descriptor(&target->queue->descriptors[draw(QUEUE_SIZE)]);
	else if (choice < 36)
		overwrite_descriptor(&((volatile struct descriptor *)arena)[draw(TABLE_SIZE)]);
	else if (choice < 48)
		arena[draw(64)] = (uint8_t)draw(256);
	else
		overwrite_ring(target->queue);
}

void second_main(void)
{
	for (;;) {
		const struct target *target = raced;

		if (target)
			disturb(target);
		else
			standing = true;
	}
}

static void wait_until_it_stands(void)
{
	raced = NULL;
	standing = false;
	while (!standing)
		__asm__ volatile("pause");
}

static bool race_on(const struct target *target)
{
	for (unsigned int use = 0; use < USES; use++) {
		if ((get(target->device, STATUS) & (S_DRIVER_OK | S_NEEDS_RESET)) != S_DRIVER_OK) {
			wait_until_it_stands();
			if (!target->start())
				return false;
			raced = target;
		}
		target->use();
	}
	wait_until_it_stands();
	set(target->device, STATUS, 0);
	return get(target->device, STATUS) == 0 && target->works();
}

void run_race(const struct target *targets, size_t count)
{
	start_second();
	for (size_t i = 0; i < count; i++) {
		if (!race_on(&targets[i])) {
			signal_host((uint8_t)(100 + i));
			return;
		}
	}
	signal_host(1);
}

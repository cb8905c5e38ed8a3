/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks before and after at who it is: the generation ID in memory, the same as a file of the firmware configuration
 * device, its metadata, and how often the ID's event has come, by pin 23 of the IOAPIC.
 */
#include "identity.h"

#include "base.h"

#define FW_CFG_SELECTOR 0x510
#define FW_CFG_DATA     0x511

/* As the directory has them. */
#define KEY_GENERATION_ID 0x20
#define KEY_METADATA      0x21

#define PIN          23
#define PIN_REGISTER (0x10 + 2 * PIN)

static void read_item(uint16_t key, void *bytes, uint64_t size)
{
	__asm__ volatile("outw %0, %1" : : "a"(key), "Nd"((uint16_t)FW_CFG_SELECTOR));
	__asm__ volatile("rep insb" : "+D"(bytes), "+c"(size) : "d"((uint16_t)FW_CFG_DATA) : "memory");
}

static void look(uint64_t *findings)
{
	const volatile uint64_t *id = (const volatile uint64_t *)(uint64_t)IDENTITY_GPA;

	findings[IDENTITY_IN_MEMORY] = id[0];
	findings[IDENTITY_IN_MEMORY + 1] = id[1];
	read_item(KEY_GENERATION_ID, &findings[IDENTITY_IN_FILE], 2 * sizeof(uint64_t));
	read_item(KEY_METADATA, &findings[IDENTITY_METADATA], sizeof(uint64_t));
	open_window();
	findings[IDENTITY_EVENTS] = report()->interrupts[VECTOR_IOAPIC];
}

void guest_main(void)
{
	base_set_up_interrupts();
	ioapic_write(PIN_REGISTER + 1, 0);
	ioapic_write(PIN_REGISTER, VECTOR_IOAPIC);
	look(report()->before);
	stand_still();
	look(report()->values);
}

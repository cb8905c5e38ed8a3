/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something distinctive in the PICs, the IOAPIC, the LAPIC, the PIT, the serial port and the keyboard controller; read
 * back afterwards, by the ways that a guest has. report->values[] and before[] hold the findings in the order of
 * reading.
 *
 * Sources: data sheets of the 8259A, 82093AA (IOAPIC), 8254 and 16550A; Intel SDM volume 3A, chapter 11 (local APIC).
 */
#include "base.h"

#define PIT          0x40
#define PIT_COMMAND  0x43
#define SPEAKER      0x61
#define KEYBOARD     0x60
#define KEYBOARD_CMD 0x64

#define IOAPIC_ID    0
#define IOAPIC_TABLE 0x10
#define IOAPIC_PINS  24

#define SERIAL_IER 1
#define SERIAL_IIR 2
#define SERIAL_FCR 2
#define SERIAL_LCR 3
#define SERIAL_MCR 4
#define SERIAL_LSR 5
#define SERIAL_MSR 6
#define SERIAL_SCR 7

static uint64_t *next;

static void found(uint64_t value)
{
	*next++ = value;
}

static uint8_t serial_get(uint8_t reg)
{
	return in8((uint16_t)(COM1 + reg));
}

static void serial_put(uint8_t reg, uint8_t value)
{
	out8((uint16_t)(COM1 + reg), value);
}

static void set_interrupt_chips(void)
{
	out8(0x4d0, 0x20); /* edge or level: IRQ 5, 10 and 11 are level */
	out8(0x4d1, 0x0c);
	out8(PIC_MASTER + 1, 0xa5);
	out8(PIC_SLAVE + 1, 0x5a);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		ioapic_write(IOAPIC_TABLE + 2 * pin + 1, (pin % 8) << 24);
		ioapic_write(IOAPIC_TABLE + 2 * pin, 0x10000 | (pin % 2) << 13 | (pin % 3) << 8 | (0xa0 + pin));
	}
	ioapic_write(IOAPIC_ID, 9U << 24);

	lapic_write(LAPIC_SPURIOUS, 0x1f5);
	lapic_write(LAPIC_TPR, 0x30);
	lapic_write(LAPIC_LDR, 0x42000000);
	lapic_write(LAPIC_DFR, 0x0fffffff);
	lapic_write(LAPIC_LVT_TIMER, 0x100e1);
	lapic_write(LAPIC_LVT_THERMAL, 0x100e2);
	lapic_write(LAPIC_LVT_COUNTER, 0x100e3);
	lapic_write(LAPIC_LVT_LINT0, 0x100e4);
	lapic_write(LAPIC_LVT_LINT1, 0x100e5);
	lapic_write(LAPIC_LVT_ERROR, 0x100e6);
	lapic_write(LAPIC_TIMER_DIVIDE, 0x9);
	lapic_write(LAPIC_ICR_HIGH, 0x17000000);
}

static void read_interrupt_chips(void)
{
	static const uint32_t registers[] = { LAPIC_SPURIOUS,  LAPIC_TPR,         LAPIC_LDR,          LAPIC_DFR,
					      LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_COUNTER,  LAPIC_LVT_LINT0,
					      LAPIC_LVT_LINT1, LAPIC_LVT_ERROR,   LAPIC_TIMER_DIVIDE, LAPIC_ICR_HIGH };

	found(in8(0x4d0) | (uint64_t)in8(0x4d1) << 8);
	found(in8(PIC_MASTER + 1) | (uint64_t)in8(PIC_SLAVE + 1) << 8);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
		found(ioapic_read(IOAPIC_TABLE + 2 * pin) | (uint64_t)ioapic_read(IOAPIC_TABLE + 2 * pin + 1) << 32);
	found(ioapic_read(IOAPIC_ID));
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		found(lapic_read(registers[i]));
}

/* Channel 0 and 2 in modes of their own, and the first half of channel 1's latched count read. */
static void set_timer(void)
{
	out8(PIT_COMMAND, 0x3a); /* channel 0, mode 5: waits for its gate, and does not tick */
	out8(PIT, 0x34);
	out8(PIT, 0x12);
	out8(PIT_COMMAND, 0xb6); /* channel 2, mode 3 */
	out8(PIT + 2, 0x78);
	out8(PIT + 2, 0x56);
	out8(PIT_COMMAND, 0x74); /* channel 1, mode 2 */
	out8(PIT + 1, 0xcd);
	out8(PIT + 1, 0xab);
	out8(PIT_COMMAND, 0x40); /* latch it */
	report()->before[REPORT_VALUES_MAX - 1] = in8(PIT + 1);
	out8(SPEAKER, 0x03);
}

/*
 * The status bytes of channels 0 and 2 (8254: read-back), but for the level of their outputs; the gate and the speaker.
 */
static void read_timer(void)
{
	out8(PIT_COMMAND, 0xe2);
	found(in8(PIT) & 0x3f);
	out8(PIT_COMMAND, 0xe8);
	found(in8(PIT + 2) & 0x3f);
	found(in8(SPEAKER) & 0x03);
}

static void set_serial(void)
{
	serial_put(SERIAL_LCR, 0x80);
	serial_put(0, 0x34);
	serial_put(1, 0x12);
	serial_put(SERIAL_LCR, 0x1f);
	serial_put(SERIAL_FCR, 0x81);
	serial_put(SERIAL_IER, 0x0d);
	serial_put(SERIAL_MCR, 0x0b);
	serial_put(SERIAL_SCR, 0x5a);
	out8(KEYBOARD_CMD, 0x60);
	out8(KEYBOARD, 0x47);
}

static void read_serial(void)
{
	found(serial_get(SERIAL_IER));
	found(serial_get(SERIAL_LCR));
	found(serial_get(SERIAL_MCR));
	found(serial_get(SERIAL_MSR) & 0xf0);
	found(serial_get(SERIAL_SCR));
	found(serial_get(SERIAL_IIR) & 0xc0);
	serial_put(SERIAL_LCR, 0x9f);
	found(serial_get(0) | (uint64_t)serial_get(1) << 8);
	serial_put(SERIAL_LCR, 0x1f);
	out8(KEYBOARD_CMD, 0x20);
	found(in8(KEYBOARD));
}

static void read_all(uint64_t *findings)
{
	next = findings;
	read_interrupt_chips();
	read_timer();
	read_serial();
}

/* What the host typed before the snapshot and after it, until a full stop. */
static void read_input(void)
{
	uint8_t *text = (uint8_t *)report()->msrs;
	uint8_t byte;

	do {
		while (!(serial_get(SERIAL_LSR) & 1))
			__asm__ volatile("pause");
		byte = serial_get(0);
		*text++ = byte;
	} while (byte != '.');
}

void guest_main(void)
{
	base_set_up_interrupts();
	set_interrupt_chips();
	set_serial();
	read_all(report()->before);
	set_timer();
	next = report()->before + IOAPIC_PINS + 15;
	read_timer();
	stand_still();
	report()->values[REPORT_VALUES_MAX - 1] = in8(PIT + 1); /* the latch's second half, before anything else */
	read_all(report()->values);
	read_input();
}

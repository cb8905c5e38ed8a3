/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pending.c should do.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_PENDING_H
#define EMBER_TESTS_KVM_SNAPSHOT_PENDING_H

enum pending_kind {
	PENDING_SERIAL_PIC = 1, /* stand still with interrupts off; COM1's interrupt comes through the PIC */
	PENDING_SERIAL_IOAPIC,  /* the same through the IOAPIC */
	PENDING_SERVED_PIC,     /* take the interrupt, leave the byte, and stand still with the line high */
	PENDING_SERVED_IOAPIC,
	PENDING_SELF_IPI, /* an IPI to itself with interrupts off */
	PENDING_EVENT,    /* nothing: the test makes an NMI or an exception pending */
	PENDING_HALTED,   /* halt with interrupts on, and wait for COM1 */
};

#define EVENT_TYPE 2 /* the guest wants a byte typed */

#define VECTOR_IPI 0x4b

#endif

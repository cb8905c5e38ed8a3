/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest and its test say to each other, in guest memory at REPORT_GPA.
 *
 * The test may leave requests before the guest starts. The guest puts its values in place, signals ready, and spins
 * until `go` is set, which the test does after the restore; then it reads everything back into the report and signals
 * EVENT_DONE.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_REPORT_H
#define EMBER_TESTS_KVM_SNAPSHOT_REPORT_H

#define REPORT_GPA    0x200000
#define REPORT_GO     0x200000 /* assembly reads it there, */
#define REPORT_VALUES 0x200008 /* and writes there */

#define EVENT_READY 0
#define EVENT_DONE  1
#define EVENT_FAULT 99 /* an exception that the guest did not expect; values[0] is its vector, values[1] its RIP */

/* Where interrupts arrive: IRQ n of the PICs, pin n of the IOAPIC, the LAPIC's timer. */
#define VECTOR_PIC    0x20
#define VECTOR_LAST   0x30 /* of all, as the lowest above the PICs' */
#define VECTOR_IOAPIC 0x31
#define VECTOR_TIMER  0x4a
#define VECTOR_COUNT  0x50

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

#define REPORT_VALUES_MAX 64
#define REPORT_MSRS_MAX   64

struct report_msr {
	uint32_t index;
	uint32_t padding;
	uint64_t value; /* to write */
	uint64_t found; /* after the restore */
};

struct report {
	volatile uint32_t go;
	uint32_t mode;                      /* which of its things a guest should do */
	uint64_t values[REPORT_VALUES_MAX]; /* findings after the restore */
	uint64_t before[REPORT_VALUES_MAX]; /* the same, found before */
	volatile uint64_t interrupts[256];  /* how often each vector was taken */
	uint32_t msr_count;
	struct report_msr msrs[REPORT_MSRS_MAX];
};

_Static_assert(offsetof(struct report, go) == REPORT_GO - REPORT_GPA, "where assembly looks");
_Static_assert(offsetof(struct report, values) == REPORT_VALUES - REPORT_GPA, "where assembly writes");

#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which timer timers.c should arm.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_TIMERS_H
#define EMBER_TESTS_KVM_SNAPSHOT_TIMERS_H

enum timer_kind {
	TIMER_PIT_PERIODIC = 1,
	TIMER_PIT_ONE_SHOT,
	TIMER_LAPIC_PERIODIC,
	TIMER_LAPIC_ONE_SHOT,
	TIMER_TSC_DEADLINE,
};

#endif

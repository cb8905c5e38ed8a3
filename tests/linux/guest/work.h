/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work for every CPU of a guest, across which its host may take a snapshot.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_WORK_H
#define EMBER_TESTS_LINUX_GUEST_WORK_H

/*
 * One thread a CPU fills and sums memory and sleeps between rounds; half way through, event 1 is signalled to the host.
 * Prints a line when it is done: "guest: work sum=X slept=N", where X depends on nothing but the number of CPUs.
 */
void guest_work(void);

#endif

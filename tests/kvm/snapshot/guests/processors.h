/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where processors.c and its trampoline meet.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_PROCESSORS_H
#define EMBER_TESTS_KVM_SNAPSHOT_PROCESSORS_H

#define AT_STANDING  0x800 /* in its segment: how many processors stand still */
#define AT_FOLLOW    0x804 /* set when they may go on */
#define AT_FINISHED  0x808 /* how many have found their registers as they left them */
#define PATTERN_HIGH 0x5eed0000

#define PROCESSORS_RUNNING 1 /* started before the snapshot */
#define PROCESSORS_WAITING 2 /* started after the restore */

#define EVENT_PROCESSOR 30 /* plus its number */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_TESTS_KVM_POOL_LATE_END_H
#define EMBER_TESTS_KVM_POOL_LATE_END_H

/* Where the guest waits for a byte that is not 0 before it ends. */
#define LATE_END_FLAG 0x50000

#endif

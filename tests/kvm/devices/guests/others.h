/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other processors of a guest without a kernel.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_GUESTS_OTHERS_H
#define EMBER_TESTS_KVM_DEVICES_GUESTS_OTHERS_H

#include <stddef.h>
#include <stdint.h>

#define OTHERS_CODE UINT64_C(0x20000) /* where the others begin: real mode, CS:IP = 0x2000:0 */

/* Copy code to OTHERS_CODE, and start every other processor in it by INIT and SIPI. Does not wait for them. */
void start_others(const uint8_t *code, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where second.S finds the first processor's registers: bytes from the beginning of its code. Assembler reads this too.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_SECOND_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_SECOND_H

#define SECOND_GDTR 0x800 /* as SGDT stores it */
#define SECOND_CR0  0x810
#define SECOND_CR3  0x814
#define SECOND_CR4  0x818
#define SECOND_EFER 0x81c

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the guest that reads the firmware configuration device leaves what it read.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_GUESTS_FIRMWARE_H
#define EMBER_TESTS_KVM_DEVICES_GUESTS_FIRMWARE_H

#define FIRMWARE_SIGNATURE_GPA  0x200000 /* 4 bytes */
#define FIRMWARE_METADATA_GPA   0x210000
#define FIRMWARE_GENERATION_GPA 0x220000

#define FIRMWARE_READ 1   /* signalled when all of it is there */
#define FIRMWARE_LOST 100 /* a file is not in the directory */

#endif

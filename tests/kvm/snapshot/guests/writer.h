/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What writer.c writes, and where.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_WRITER_H
#define EMBER_TESTS_KVM_SNAPSHOT_WRITER_H

#define FILL_GPA    0x300000
#define FILL_PAGES  64
#define FILL_ROUNDS 20
#define FILL_FIRST  UINT64_C(0xf1257f1257f1257)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the identity guest finds its generation ID, and the places of its findings: two words of each ID.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_GUESTS_IDENTITY_H
#define EMBER_TESTS_KVM_SNAPSHOT_GUESTS_IDENTITY_H

#define IDENTITY_GPA 0x300000

#define IDENTITY_IN_MEMORY 0 /* the first that it reads */
#define IDENTITY_IN_FILE   2
#define IDENTITY_METADATA  4 /* the first eight bytes */
#define IDENTITY_EVENTS    5 /* that have come */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy on a disk, across which the host may take a snapshot.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_DISK_H
#define EMBER_TESTS_LINUX_GUEST_DISK_H

/*
 * Mount the ext4 file system of /dev/vda and copy its file "source" to "copy"; half way through, event 1 is signalled
 * to the host. Then mount it anew and compare. Prints "guest: copy BYTES bytes sum=X source=Y".
 */
void guest_disk(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the balloon's guest has what it gives away; for the guest and its test.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_BALLOON_LAYOUT_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_BALLOON_LAYOUT_H

#include <stdint.h>

#define BALLOON_PLACE          UINT64_C(0x800000) /* guest-physical: pages for the balloon, of which the first go first */
#define BALLOON_PAGES          512
#define BALLOON_REPORTED       UINT64_C(0xc00000) /* what is reported as free */
#define BALLOON_REPORTED_PAGES 256

#endif

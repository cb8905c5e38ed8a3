/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo guest's image, for the host: a flat image for long-mode entry (kvm/entry.h). It needs 2 MiB of
 * memory; the pages that it can touch are those beyond.
 *
 * What it says on COM1, each line ended by LF:
 *
 *     Ember demo guest: 128 MiB, 1 vCPU; try help      at its start; then it signals ready (number 0)
 *
 * and what it answers to a line, ended by LF or CR, of at most 1024 bytes:
 *
 *     echo TEXT             TEXT
 *     crc TEXT              crc32 xxxxxxxx              CRC-32 (IEEE 802.3) of the text
 *     crc hex:DIGITS        crc32 xxxxxxxx              ... of bytes
 *     count                 N                           after adding one
 *     get                   N
 *     touch PAGES [SEED]    pages N checksum xxxxxxxxxxxxxxxx
 *     sum [PAGES]           pages N checksum xxxxxxxxxxxxxxxx, of what touch wrote last, or an error naming the page
 *     ticks                 N                           timer interrupts since boot, 20 a second
 *     tsc                   N
 *     spin TICKS            spun N                      busy for at most 1200 ticks
 *     event NUMBER          event N                     after signalling 0 .. 255
 *     info                  memory=BYTES vcpus=N pages=N ticks_per_second=20
 *     reset                 resetting                   and the reset line is pulsed
 *     fault                 faulting                    and a triple fault
 *     help                  a line for each command
 *
 * Numbers are decimal, or hexadecimal after "0x". Anything else is answered with one line that starts with "error: ".
 * An exception that it did not mean is one line that starts with "panic: ", signal 255, and a reset.
 */
#ifndef EMBER_DEMO_GUEST_DEMO_GUEST_H
#define EMBER_DEMO_GUEST_DEMO_GUEST_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t demo_guest_image[];
extern const size_t demo_guest_image_size; /* bytes */

#endif

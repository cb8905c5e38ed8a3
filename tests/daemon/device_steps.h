/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of tests of VMs with devices: images, guests that use them, and files to look at afterwards.
 */
#ifndef EMBER_TESTS_DAEMON_DEVICE_STEPS_H
#define EMBER_TESTS_DAEMON_DEVICE_STEPS_H

#include "steps.h"

#define DISK_SECTORS 64
#define SECTOR_SIZE  512
#define DEVICE_MIB   16 /* memory of the guests here */

/* A name in the daemon's folder. Valid until the next eight. */
const char *path_in(const struct daemon *daemon, const char *name);

/* Write a file. */
void write_file(const char *path, const void *bytes, size_t size);

/* A disk image, each byte of whose sectors is the sector's number plus one, as the guests expect. */
void write_disk(const char *path);

/* The first byte of a sector. */
int sector_of(const char *path, int sector);

bool exists(const char *path);

/* Wait until there is no such file: what is removed off the daemon's loop. */
void wait_gone(const char *path);

/* Boot a guest's image, a program of tests/kvm/devices/virtio/guests; devices: further parameters, taken over. */
json_t *boot_image(const struct daemon *daemon, struct ember *client, const uint8_t *image, size_t size,
		   json_t *devices);

/* Wait until the VM has reported an event so often. */
void wait_event(struct ember *client, const char *vm, int event, int64_t count);

/* How often it has reported an event so far. */
int64_t event_count(struct ember *client, const char *vm, int event);

void release_vm(struct ember *client, const char *vm);

#endif

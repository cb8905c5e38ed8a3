/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk, and what it must hold: files for its layers, requests' buffers in guest memory, and a plain copy in memory. One
 * of a kind, for the test that runs.
 */
#ifndef EMBER_TESTS_UNIT_DEVICES_VIRTIO_DISK_MODEL_H
#define EMBER_TESTS_UNIT_DEVICES_VIRTIO_DISK_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/blk/disk.h"
#include "devices/virtio/blk/overlay.h"

#define DISK_SIZE     (40 * 4096 + 3 * 512) /* the last cluster is a part of one */
#define CLUSTER       ((uint64_t)OVERLAY_CLUSTER)
#define LAST          (DISK_SIZE - DISK_SIZE % CLUSTER) /* where the last cluster begins */
#define OVERLAY_BYTES (2 * CLUSTER + DISK_SIZE)         /* of an overlay of this disk: header, bitmap, data */

extern int image;
extern int base; /* these two: empty files at first */
extern int overlay;
extern uint8_t original[DISK_SIZE]; /* what is in the image at first */
extern uint8_t model[DISK_SIZE];    /* what the disk holds */

void model_set_up(void);
void model_tear_down(void);

/* An empty file. */
int new_overlay(void);

/* Open a disk of the image and duplicates of these files, the base for reading only; -1: none. It cannot fail. */
struct disk *open_layers(int base_file, int overlay_file, bool read_only, uint64_t limit);

/* The options are refused, with this text in the detail, and the files stay open. */
void assert_refused(const struct disk_options *options, const char *text);

/* A chain of three segments, of odd sizes where that is possible. The queue's memory is the model's. */
struct virtqueue_cursor make_cursor(uint64_t length, bool writable);

int read_disk(struct disk *disk, uint64_t offset, uint64_t length, uint8_t *ret_data);
int write_disk(struct disk *disk, uint64_t offset, uint64_t length, const uint8_t *data);

/* Write a range full of one byte to the disk and to the model. */
void fill_disk(struct disk *disk, uint64_t offset, uint64_t length, uint8_t byte);

void assert_is_model(struct disk *disk);
void assert_image_untouched(void);

/* Copy the disk's overlay to an empty file, or fail to with this error and this text in the detail. */
void keep(struct disk *disk, int file);
void assert_not_copied(struct disk *disk, int file, int error, const char *text);

/* Have the base, and the model, hold one byte all over some clusters: 2 to 5, 20, and the last. */
void make_base(uint8_t byte);

/* What an overlay's file holds; and whether it holds that still, which frees it. */
uint8_t *content(int file);
void assert_unchanged(int file, uint8_t *before);

/* Does the bitmap of an overlay's file name this cluster? */
bool is_named(int file, uint64_t cluster);

void seed_random(uint32_t seed);
uint32_t next_random(uint32_t below);

/* One random operation on the disk and on the model. A discard's result is read back: of each byte, zero or as before. */
void random_step(struct disk *disk);

#endif

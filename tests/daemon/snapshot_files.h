/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot's files in the hands of a test: copied, compared, damaged, and forged with a CRC that is right.
 */
#ifndef EMBER_TESTS_DAEMON_SNAPSHOT_FILES_H
#define EMBER_TESTS_DAEMON_SNAPSHOT_FILES_H

#include <stdint.h>

#include <jansson.h>

/* CRC-64 of a whole file of a folder. */
uint64_t file_checksum(const char *folder, const char *name);

int64_t file_size(const char *folder, const char *name);

/* Cut a file short, or make it longer by a hole. */
void file_resize(const char *folder, const char *name, int64_t size);

/* Turn over one bit of a file. */
void file_flip(const char *folder, const char *name, int64_t offset, int bit);

/* Make a file of this text, whatever was there. */
void file_write(const char *folder, const char *name, const char *text);

void file_remove(const char *folder, const char *name);

/* Copy a snapshot's folder, holes and all; what was at the target goes. */
void snapshot_copy(const char *from, const char *to);

/* The whole of a folder's state.json. The members of its first line are in it, too. */
json_t *state_read(const char *folder);

/* Write it back with a first line whose CRC is right; its format number is the document's. Takes the document. */
void state_write(const char *folder, json_t *document);

#endif

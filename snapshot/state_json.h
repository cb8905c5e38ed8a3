/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.json: a snapshot's state, its metadata and its memory's checksums, as one JSON text.
 *
 * The first line has a fixed form, so that size, magic, version and CRC are checked before anything is parsed:
 *
 *	{"magic": "EMBERSNP", "format": 1, "crc64": "0123456789abcdef",
 *
 * The CRC-64 covers every byte after that line's end. The rest of the object follows; see state_json_write.c for its
 * members.
 */
#ifndef EMBER_SNAPSHOT_STATE_JSON_H
#define EMBER_SNAPSHOT_STATE_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "snapshot/memory_file.h"
#include "snapshot/state.h"

/* What a snapshot says of itself beyond its state. */
struct snapshot_metadata {
	char ember_version[32];   /* that made it */
	uint32_t host_tsc_khz;    /* of the host that made it */
	uint32_t host_xsave_size; /* the same; bytes */
	uint64_t state_crc64;     /* set by state_json_write() and state_json_read() */
};

/*
 * Write a state.json.
 *
 * file       empty, open for writing; not synced
 * state      for which vm_state_check() returns 0
 * metadata   its state_crc64 is not read
 * checksums  of the memory, as many as its chunks
 *
 * Returns 0, -EINVAL (state or checksums do not hold together: detail says how), -ENOMEM, or -errno from write(2).
 */
int state_json_write(int file, const struct vm_state *state, const struct snapshot_metadata *metadata,
		     const struct memory_checksums *checksums, uint64_t *ret_crc64, struct error_detail *detail);

/*
 * Read a state.json that anybody may have written.
 *
 * text, size     the whole file; not terminated
 * ret_state      zero-filled first; may lie in a mapped memory file. On success vm_state_check() holds. On failure it
 *                must not be used
 * ret_metadata, ret_checksums  the same
 *
 * Returns 0; -ENODATA (empty); -EFBIG (more than SNAPSHOT_STATE_SIZE_MAX); -EBADMSG (no snapshot, or damaged: magic,
 * CRC); -EPROTONOSUPPORT (a format that this version does not read); -EINVAL with the member in detail
 * ("vcpus[0].sregs.cr3: missing"); -ENOMEM.
 */
int state_json_read(const char *text, size_t size, struct vm_state *ret_state, struct snapshot_metadata *ret_metadata,
		    struct memory_checksums *ret_checksums, struct error_detail *detail);

/*
 * The same from a file, which is read from its start with pread(2), never mapped.
 *
 * Returns also -errno from fstat(2) and pread(2), and -EBADMSG where the file is cut short meanwhile.
 */
int state_json_load(int file, struct vm_state *ret_state, struct snapshot_metadata *ret_metadata,
		    struct memory_checksums *ret_checksums, struct error_detail *detail);

#endif

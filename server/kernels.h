/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel store: Linux kernels that vm.boot knows by name.
 *
 *	STATE_DIR/kernels/NAME/image        the file as it was given
 *	STATE_DIR/kernels/NAME/vmlinux      the ELF that came out of a bzImage; empty where none did
 *	STATE_DIR/kernels/NAME/kernel.json  what is known of it
 */
#ifndef EMBER_SERVER_KERNELS_H
#define EMBER_SERVER_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "kvm/error_detail.h"
#include "server/kernel_record.h"
#include "snapshot/folder.h"

#define KERNELS_FOLDER "kernels"
#define KERNELS_MAX    64 /* each has up to two files open */

enum kernel_file {
	KERNEL_FILE_IMAGE = 0,
	KERNEL_FILE_ELF,
	KERNEL_FILE_RECORD,
	KERNEL_FILE_COUNT,
};
extern const struct folder_form kernel_folder_form;

struct server;
struct kernels;
struct kernel;

/*
 * Open the store in the state folder, which snapshots_open() has locked: sweep what a crash left there, and take in what is
 * whole; the rest is logged and left out. Blocks; before the loop runs.
 *
 * Returns 0 or -errno with the step in detail.
 */
int kernels_open(struct server *server, struct kernels **ret_kernels, struct error_detail *detail);

/* Frees all kernels, held or not. Takes NULL; returns NULL. */
struct kernels *kernels_close(struct kernels *kernels);

/* STATE_DIR/kernels, open. */
int kernels_folder(const struct kernels *kernels);

/* The kernel of that name, or NULL. One that is being removed is found by kernels_find_any() alone. */
struct kernel *kernels_find(const struct kernels *kernels, const char *name);
struct kernel *kernels_find_any(const struct kernels *kernels, const char *name);

/* Kernels in order of name, those that are being removed included. */
size_t kernels_count(const struct kernels *kernels);
struct kernel *kernels_at(const struct kernels *kernels, size_t index);

const struct kernel_record *kernel_record(const struct kernel *kernel);

/* The file that is entered so, open for reading; it stays the kernel's. -1 where the kernel has no such entry. */
int kernel_descriptor(const struct kernel *kernel, enum kernel_entry entry);

/* The entry that costs a boot the least: PVH where it has that, else ELF64, else bzImage. */
enum kernel_entry kernel_default_entry(const struct kernel *kernel);

bool kernel_is_being_removed(const struct kernel *kernel);

/*
 * Note that a VM (by its number), or a start in progress (by snapshots_start_holder()), uses a kernel, until
 * kernel_release(). Each holds it once.
 *
 * Returns 0, -EEXIST (it holds it already), -ESHUTDOWN (it is being removed), or -ENOMEM.
 */
int kernel_hold(struct kernel *kernel, uint64_t holder);

/* Returns 0, or -ENOENT (it did not hold it). */
int kernel_release(struct kernel *kernel, uint64_t holder);

/* The ids of those who hold it, as snapshot_users() has them. NULL: out of memory. */
json_t *kernel_users(const struct server *server, const struct kernel *kernel);

/* What kernel.list answers with; whole: what kernel.inspect does. NULL: out of memory. */
json_t *kernel_to_json(const struct server *server, const struct kernel *kernel, bool whole);

/* ---- coming and going: for kernel.add and kernel.remove ---- */

/* Keep a place for a kernel that is being added, until kernels_insert() or kernels_unreserve(). Returns 0 or -ENOSPC. */
int kernels_reserve(struct kernels *kernels);
void kernels_unreserve(struct kernels *kernels);

/* A kernel that is in no store yet, without files. Returns 0 or -ENOMEM. The caller ends it with kernel_free(). */
int kernel_new(const struct kernel_record *record, struct kernel **ret_kernel);

/* Takes NULL; returns NULL. */
struct kernel *kernel_free(struct kernel *kernel);

/*
 * Open its files, and check that they are as large as the record says. Blocks.
 *
 * folder  its folder, open
 * path    the folder's name, for detail
 *
 * Returns 0 or -errno, with the file named in detail.
 */
int kernel_open_files(struct kernel *kernel, int folder, const char *path, struct error_detail *detail);

/* Put a kernel in, in a place that was reserved. No kernel has its name. */
void kernels_insert(struct kernels *kernels, struct kernel *kernel);

/* Hand it out no more. Returns 0, -EBUSY (it is held), or -EALREADY (it is being removed). */
int kernel_begin_removal(struct kernel *kernel);

/* It could not be removed: it can be used again. */
void kernel_keep(struct kernel *kernel);

/* Its files are gone: take it out, and free it. */
void kernels_drop(struct kernels *kernels, struct kernel *kernel);

#endif

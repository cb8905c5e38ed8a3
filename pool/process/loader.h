/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader: the process that reads snapshots and kernels, so that a file that breaks a parser breaks nothing else.
 */
#ifndef EMBER_POOL_PROCESS_LOADER_H
#define EMBER_POOL_PROCESS_LOADER_H

#include "kvm/error_detail.h"
#include "pool/message.h"
#include "pool/process/worker.h"
#include "proto/reason.h"

/* The rules of its filter. */
extern const struct sandbox_rule_set *const loader_rule_sets[];
extern const size_t loader_rule_set_count;

/* Confine the process, then carry out one load, or stop where it is told to. Does not return. */
_Noreturn void loader_main(const struct child_setup *setup);

/*
 * Carry out one MESSAGE_KERNEL_LOAD: copy the kernel's file, tell what it is, take the ELF out of it.
 *
 * ret_loaded  filled on success
 * ret_deed    what failed: DEED_PUBLISH where the copies could not be written, else DEED_LOAD_KERNEL
 *
 * Returns 0, or -errno with a sentence in detail: as kernel_image_parse() and kernel_unpack(); -ENODATA (the file became
 * shorter); -EFBIG (larger than KERNEL_UNPACKED_MAX, or than any guest's memory); -ENOSPC and others of writing.
 */
int loader_load_kernel(const struct child_setup *setup, const struct message *message,
		       struct message_kernel_loaded *ret_loaded, enum reason_deed *ret_deed,
		       struct error_detail *detail);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structures of the PVH entry, version 1: Xen's public/arch-x86/hvm/start_info.h.
 */
#ifndef EMBER_KVM_LINUX_START_INFO_H
#define EMBER_KVM_LINUX_START_INFO_H

#include <assert.h>
#include <stdint.h>

#define START_INFO_MAGIC   0x336ec578U
#define START_INFO_VERSION 1U

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules_gpa;
	uint64_t cmdline_gpa;
	uint64_t rsdp_gpa;
	uint64_t memory_map_gpa;
	uint32_t memory_map_count;
	uint32_t reserved;
};
static_assert(sizeof(struct start_info) == 56, "struct start_info is Xen's hvm_start_info");

struct start_info_module {
	uint64_t gpa;
	uint64_t size; /* bytes */
	uint64_t cmdline_gpa;
	uint64_t reserved;
};
static_assert(sizeof(struct start_info_module) == 32, "struct start_info_module is Xen's hvm_modlist_entry");

struct start_info_memory {
	uint64_t gpa;
	uint64_t size; /* bytes */
	uint32_t type;
	uint32_t reserved;
};
static_assert(sizeof(struct start_info_memory) == 24, "struct start_info_memory is Xen's hvm_memmap_table_entry");

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modes in which a vCPU can be handed to a guest that does not begin in real mode.
 */
#ifndef EMBER_KVM_CPU_MODE_H
#define EMBER_KVM_CPU_MODE_H

#include <stdint.h>

#include <linux/kvm.h>

#include "kvm/memory.h"

#define CPU_MODE_TABLES_GPA UINT64_C(0x1000) /* the GDT, then page tables */
#define CPU_MODE_TABLES_END UINT64_C(0x8000)

/*
 * 32-bit protected mode without paging, or 64-bit mode with the first 4 GiB mapped to themselves: segments, CR0, CR3,
 * CR4 and EFER in sregs, and the tables in guest memory between CPU_MODE_TABLES_GPA and CPU_MODE_TABLES_END.
 *
 * code_selector  of the flat code segment, in the GDT that is written: a multiple of 8, 8 to 0x18; all data segments
 *                have the selector after it
 * sregs          as a fresh vCPU has them; what is not named above stays
 *
 * Returns 0, -EINVAL (the selector), or -EFAULT (the memory is too small).
 */
int cpu_mode_set_protected(struct guest_memory *memory, uint16_t code_selector, struct kvm_sregs *sregs);
int cpu_mode_set_long(struct guest_memory *memory, uint16_t code_selector, struct kvm_sregs *sregs);

#endif

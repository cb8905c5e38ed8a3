/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM with guest code in it, and a recorder of what the guest does: what the tests of kvm/ on a real KVM stand on.
 */
#ifndef EMBER_TESTS_KVM_KVM_SUPPORT_H
#define EMBER_TESTS_KVM_KVM_SUPPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/cpuid.h"
#include "kvm/entry.h"
#include "kvm/error_detail.h"
#include "kvm/host.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define TEST_MEMORY_SIZE (UINT64_C(4) << 20)
#define TEST_VCPUS_MAX   4

/* Ports of the tests' guests. A write to PORT_STOP stops the vCPU with VCPU_STOP_HANDLER. */
#define PORT_STOP    0xf4
#define PORT_REPORT  0xf8 /* values that the test wants to see, 1 to 4 bytes */
#define PORT_COUNTER 0xfc /* reads give 0, 1, 2, ... of the access's width */

/* MMIO that no memory is behind. A read gives the address's bytes; see mmio_pattern(). */
#define MMIO_BASE UINT64_C(0xd0000000)

#define RECORDS_MAX 8192

struct record {
	uint64_t address;
	uint64_t value;
	size_t length;
};

/* What the guest did, written by vCPU threads under the lock. */
struct recorder {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t report_count;
	struct record reports[RECORDS_MAX]; /* writes to PORT_REPORT */
	size_t mmio_write_count;
	struct record mmio_writes[RECORDS_MAX];
	uint64_t counter; /* the next value of PORT_COUNTER */
	uint64_t mmio_read_count;
	unsigned int stop_count; /* calls of stopped() */
	uint32_t stop_index;
	struct vcpu_stop_info stop;
	/* Ask for a pause of this vCPU from within its exit: the exit is then certainly half done. */
	struct vcpu *pause_at_port_read;
	struct vcpu *pause_at_mmio_read;
	struct vcpu *pause_at_report;
	size_t pause_at_report_count; /* at which report; 0: at every one */
};

struct shell {
	struct vm vm;
	uint32_t vcpu_count;
	struct vcpu *vcpus[TEST_VCPUS_MAX];
	struct cpuid_table cpuid[TEST_VCPUS_MAX];
	struct recorder recorder;
};

/* This process's host; probed at the first call. Fails the test when KVM is absent. */
const struct kvm_host *test_host(void);

/* Build, with anonymous zeroed memory, and end. Fails the test on any error. */
struct shell *shell_new(uint32_t vcpus, uint64_t memory_size);
struct shell *shell_new_with_template(uint32_t vcpus, uint64_t memory_size, enum cpu_template cpu_template);
void shell_free(struct shell *shell);

/* Guest code of guests.S: copied to where its mode starts, and vCPU 0 set to it. */
struct guest_code {
	const uint8_t *start;
	const uint8_t *end;
};
#define GUEST_CODE(name)                                                                 \
	({                                                                               \
		extern const uint8_t guest_##name[], guest_##name##_end[];               \
		(struct guest_code){ .start = guest_##name, .end = guest_##name##_end }; \
	})
void shell_load(struct shell *shell, struct guest_code code, enum entry_mode mode);

/* Run vCPU 0 and wait until it stops by itself; the reason. */
struct vcpu_stop_info shell_run_to_stop(struct shell *shell);

/* Wait for a stop of any vCPU (the nth in all, from 1), or for the nth report. */
struct vcpu_stop_info shell_wait_stop(struct shell *shell, unsigned int nth);
void shell_wait_reports(struct shell *shell, size_t count);

/* The nth report, from 0. */
uint64_t shell_report(struct shell *shell, size_t nth);
size_t shell_report_count(struct shell *shell);

/* vCPU 0's state, and that state in another shell's vCPU 0, with the memory. */
void shell_copy(struct shell *from, struct shell *to);

/* What a read of MMIO gives at an address. */
uint8_t mmio_pattern(uint64_t address);

#endif

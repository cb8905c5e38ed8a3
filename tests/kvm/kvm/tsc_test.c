/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TSCs of a VM's vCPUs on kernels that this machine does not have.
 *
 * This program is linked with ioctl(2) and clock_gettime(2) wrapped: KVM is the host's, but for the TSC, which is a
 * model of the kernel's (Linux 6.1, arch/x86/kvm/x86.c: kvm_synchronize_tsc(), kvm_arch_tsc_set_attr()). Its host TSC
 * counts nanoseconds of a clock that moves by a microsecond with each ioctl, and further where a test says so, as if
 * this thread had been off the CPU. KVM_VCPU_TSC_OFFSET is there or not, as a test wants it.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "kvm/msr.h"
#include "support.h"

#define FDS_MAX   1024
#define SECOND    UINT64_C(1000000000)
#define VCPUS     3
#define DEADLINE  UINT64_C(0x123456789)
#define LAPIC_IRR 0x200
#define VECTOR    0x55

struct model_vcpu {
	bool exists;
	unsigned int vm;
	uint64_t offset;
	uint64_t deadline; /* as last written */
	uint64_t offset_at_deadline;
	bool is_deadline_due; /* it becomes an interrupt after the next read of the MSR or of the LAPIC */
	bool is_injected;
};

struct model_vm {
	bool has_clock;
	uint64_t offset; /* of the clock that vCPUs are synchronised with */
};

static struct {
	bool has_offset;
	uint64_t now;
	uint64_t stall; /* the time that each ioctl on a TSC takes besides */
	int stalls;     /* how many do */
	unsigned int vms;
	struct model_vm vm[FDS_MAX];
	struct model_vcpu vcpus[FDS_MAX];
} model = { .now = 5000 * SECOND };

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	(void)clock;
	*ret_time = (struct timespec){ .tv_sec = (time_t)(model.now / SECOND), .tv_nsec = (long)(model.now % SECOND) };
	return 0;
}

static void take_time(bool is_tsc)
{
	model.now += 1000;
	if (is_tsc && model.stalls > 0) {
		model.stalls--;
		model.now += model.stall;
	}
}

/* kvm_synchronize_tsc(); is_new: kvm_arch_vcpu_postcreate(). */
static void write_tsc(struct model_vcpu *vcpu, uint64_t value, bool is_new)
{
	struct model_vm *vm = &model.vm[vcpu->vm];
	uint64_t reached = model.now + vm->offset;
	bool is_near = value - reached < SECOND || reached - value < SECOND;

	if (!vm->has_clock || (!is_new && !is_near))
		vm->offset = value - model.now;
	vm->has_clock = true;
	vcpu->offset = vm->offset;
}

static void create_vcpu(int fd)
{
	struct model_vcpu *vcpu = &model.vcpus[fd];

	*vcpu = (struct model_vcpu){ .exists = true, .vm = model.vms };
	write_tsc(vcpu, 0, true);
}

static int get_msrs(struct model_vcpu *vcpu, int fd, struct msr_table *msrs)
{
	int done = __real_ioctl(fd, KVM_GET_MSRS, msrs);

	for (int i = 0; i < done; i++) {
		if (msrs->entries[i].index == MSR_INDEX_TSC) {
			take_time(true);
			msrs->entries[i].data = model.now + vcpu->offset;
		}
		if (msrs->entries[i].index == MSR_INDEX_TSC_DEADLINE) {
			if (vcpu->is_deadline_due)
				msrs->entries[i].data = vcpu->is_injected ? 0 : DEADLINE;
			vcpu->is_injected = true;
		}
	}
	return done;
}

static int set_msrs(struct model_vcpu *vcpu, int fd, const struct msr_table *msrs)
{
	struct msr_table others = { 0 };
	int done;

	for (uint32_t i = 0; i < msrs->count; i++) {
		const struct kvm_msr_entry *entry = &msrs->entries[i];

		if (entry->index == MSR_INDEX_TSC)
			write_tsc(vcpu, entry->data, false);
		else
			others.entries[others.count++] = *entry;
		if (entry->index == MSR_INDEX_TSC_DEADLINE) {
			vcpu->deadline = entry->data;
			vcpu->offset_at_deadline = vcpu->offset;
		}
	}
	take_time(others.count < msrs->count);
	done = others.count > 0 ? __real_ioctl(fd, KVM_SET_MSRS, &others) : 0;
	return done < 0 || (uint32_t)done < others.count ? done : (int)msrs->count;
}

static int offset_attribute(struct model_vcpu *vcpu, unsigned long request, const struct kvm_device_attr *attribute)
{
	uint64_t *value = (uint64_t *)(uintptr_t)attribute->addr;

	if (!vcpu || !model.has_offset) {
		errno = ENXIO;
		return -1;
	}
	cr_assert(attribute->group == KVM_VCPU_TSC_CTRL && attribute->attr == KVM_VCPU_TSC_OFFSET);
	take_time(true);
	if (request == KVM_GET_DEVICE_ATTR)
		*value = vcpu->offset;
	if (request == KVM_SET_DEVICE_ATTR)
		vcpu->offset = model.vm[vcpu->vm].offset = *value;
	return 0;
}

static int get_lapic(struct model_vcpu *vcpu, int fd, struct kvm_lapic_state *lapic)
{
	int done = __real_ioctl(fd, KVM_GET_LAPIC, lapic);

	if (vcpu->is_deadline_due && vcpu->is_injected)
		lapic->regs[LAPIC_IRR + VECTOR / 32 * 16 + VECTOR % 32 / 8] |= 1 << VECTOR % 8;
	vcpu->is_injected = true;
	return done;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct model_vcpu *vcpu = fd >= 0 && fd < FDS_MAX && model.vcpus[fd].exists ? &model.vcpus[fd] : NULL;
	va_list arguments;
	void *argument;
	int done;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);

	if (request == KVM_RUN)
		return __real_ioctl(fd, request, argument);
	if (vcpu && request == KVM_GET_MSRS)
		return get_msrs(vcpu, fd, argument);
	if (vcpu && request == KVM_SET_MSRS)
		return set_msrs(vcpu, fd, argument);
	if (vcpu && request == KVM_GET_LAPIC)
		return get_lapic(vcpu, fd, argument);
	if (request == KVM_HAS_DEVICE_ATTR || request == KVM_GET_DEVICE_ATTR || request == KVM_SET_DEVICE_ATTR)
		return offset_attribute(vcpu, request, argument);

	done = __real_ioctl(fd, request, argument);
	if (request == KVM_CREATE_VM)
		model.vms++;
	if (request == KVM_CREATE_VCPU && done >= 0)
		create_vcpu(done);
	take_time(false);
	return done;
}

/* ---- tests ---- */

struct pair {
	struct shell *from;
	struct shell *to;
	struct vcpu_state *states;
};

/* Two shells built together, the state of the one 0.3 s later, and 0.3 s more gone. */
static struct pair pair_new(bool has_offset)
{
	struct error_detail detail = { 0 };
	struct pair pair;

	model.has_offset = has_offset;
	cr_assert_eq(test_host()->tsc_offset, has_offset);
	cr_assert(test_host()->tsc_settable, "the model's TSC takes a value");
	pair.states = calloc(VCPUS, sizeof(*pair.states));
	cr_assert_not_null(pair.states);
	pair.from = shell_new(VCPUS, TEST_MEMORY_SIZE);
	pair.to = shell_new(VCPUS, TEST_MEMORY_SIZE);
	model.now += 3 * SECOND / 10;
	cr_assert_eq(vcpu_get_states(pair.from->vcpus, VCPUS, pair.states, &detail), 0, "%s", detail.text);
	model.now += 3 * SECOND / 10;
	return pair;
}

static void pair_free(struct pair *pair)
{
	shell_free(pair->from);
	shell_free(pair->to);
	free(pair->states);
}

static void put_in(struct pair *pair)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(vcpu_set_states(pair->to->vcpus, VCPUS, pair->states, &detail), 0, "%s", detail.text);
}

static uint64_t saved_tsc(const struct pair *pair, uint32_t i)
{
	const struct kvm_msr_entry *tsc = msr_find(&pair->states[i].msrs, MSR_INDEX_TSC);

	cr_assert_not_null(tsc);
	return tsc->data;
}

/* The model's vCPU behind a vCPU. */
static const struct model_vcpu *model_of(struct vcpu *vcpu)
{
	return &model.vcpus[vcpu_fd(vcpu)];
}

/* One clock, which has gone on from the saved value since a moment within the last second. */
static void assert_one_clock(struct pair *pair)
{
	uint64_t offset = model_of(pair->to->vcpus[0])->offset;

	cr_assert_lt(model.now + offset - saved_tsc(pair, 0), SECOND / 10);
	for (uint32_t i = 1; i < VCPUS; i++)
		cr_assert_eq(model_of(pair->to->vcpus[i])->offset, offset, "vCPU %u", i);
}

static bool ways[] = { true, false };

static struct criterion_test_params both_ways(void)
{
	return cr_make_param_array(bool, ways, 2);
}

ParameterizedTestParameters(tsc, goes_on_in_a_young_shell)
{
	return both_ways();
}

ParameterizedTest(const bool *has_offset, tsc, goes_on_in_a_young_shell)
{
	struct pair pair = pair_new(*has_offset);

	put_in(&pair);
	assert_one_clock(&pair);
	pair_free(&pair);
}

ParameterizedTestParameters(tsc, deadlines_are_armed_against_it)
{
	return both_ways();
}

ParameterizedTest(const bool *has_offset, tsc, deadlines_are_armed_against_it)
{
	struct pair pair = pair_new(*has_offset);

	for (uint32_t i = 0; i < VCPUS; i++)
		for (uint32_t m = 0; m < pair.states[i].msrs.count; m++)
			if (pair.states[i].msrs.entries[m].index == MSR_INDEX_TSC_DEADLINE)
				pair.states[i].msrs.entries[m].data = DEADLINE + i;
	put_in(&pair);
	for (uint32_t i = 0; i < VCPUS; i++) {
		const struct model_vcpu *vcpu = model_of(pair.to->vcpus[i]);

		cr_assert_eq(vcpu->deadline, DEADLINE + i);
		cr_assert_eq(vcpu->offset_at_deadline, vcpu->offset);
	}
	pair_free(&pair);
}

ParameterizedTestParameters(tsc, is_one_however_long_a_restore_takes)
{
	return both_ways();
}

/* The host has no time for this thread for two seconds, at each of the first steps in turn. */
ParameterizedTest(const bool *has_offset, tsc, is_one_however_long_a_restore_takes)
{
	for (int stalls = 1; stalls <= 6; stalls++) {
		struct pair pair = pair_new(*has_offset);
		uint64_t offset;

		model.stall = 2 * SECOND;
		model.stalls = stalls;
		put_in(&pair);
		model.stalls = 0;
		offset = model_of(pair.to->vcpus[0])->offset;
		for (uint32_t i = 1; i < VCPUS; i++)
			cr_assert_eq(model_of(pair.to->vcpus[i])->offset, offset, "vCPU %u, %d stalls", i, stalls);
		pair_free(&pair);
	}
}

/* Without an end, a restore is given up, and says why. */
Test(tsc, a_host_that_is_never_there)
{
	struct pair pair = pair_new(false);
	struct error_detail detail = { 0 };

	model.stall = 2 * SECOND;
	model.stalls = 1000000;
	cr_assert_eq(vcpu_set_states(pair.to->vcpus, VCPUS, pair.states, &detail), -EAGAIN);
	cr_assert_not_null(strstr(detail.text, "TSC"), "%s", detail.text);
	model.stalls = 0;
	pair_free(&pair);
}

Test(tsc, is_saved_of_one_instant)
{
	struct pair pair = pair_new(false);
	struct error_detail detail = { 0 };

	model.stall = 2 * SECOND;
	model.stalls = 1000000;
	cr_assert_eq(vcpu_get_states(pair.from->vcpus, VCPUS, pair.states, &detail), 0, "%s", detail.text);
	model.stalls = 0;
	for (uint32_t i = 1; i < VCPUS; i++)
		cr_assert_eq(saved_tsc(&pair, i), saved_tsc(&pair, 0), "vCPU %u", i);
	pair_free(&pair);
}

ParameterizedTestParameters(tsc, differs_by_what_the_guest_has_done)
{
	return both_ways();
}

/* The guest has moved the TSC of its second processor: neither a save nor a restore takes that back. */
ParameterizedTest(const bool *has_offset, tsc, differs_by_what_the_guest_has_done)
{
	const uint64_t moved = 7 * SECOND;
	struct pair pair = pair_new(*has_offset);
	struct msr_table adjust = { .count = 1, .entries = { { .index = MSR_INDEX_TSC_ADJUST, .data = moved } } };
	struct error_detail detail = { 0 };
	uint64_t first;

	cr_assert_eq(msr_set(vcpu_fd(pair.from->vcpus[1]), &adjust, NULL), 0);
	cr_assert_eq(vcpu_get_states(pair.from->vcpus, VCPUS, pair.states, &detail), 0, "%s", detail.text);
	cr_assert_eq(saved_tsc(&pair, 1) - saved_tsc(&pair, 0), moved);
	cr_assert_eq(saved_tsc(&pair, 2), saved_tsc(&pair, 0));

	put_in(&pair);
	first = model_of(pair.to->vcpus[0])->offset;
	cr_assert_eq(model_of(pair.to->vcpus[2])->offset, first);
	cr_assert_lt(model_of(pair.to->vcpus[1])->offset - first - moved + SECOND / 10, SECOND / 5);
	pair_free(&pair);
}

/* A deadline that expires while the state is read: it must be in the MSR or in the LAPIC. */
Test(tsc, a_deadline_that_expires_is_not_lost)
{
	struct pair pair = pair_new(true);
	struct error_detail detail = { 0 };
	const struct kvm_msr_entry *deadline;
	bool is_in_lapic;

	if (!msr_find(&pair.states[0].msrs, MSR_INDEX_TSC_DEADLINE))
		cr_skip_test("this host's KVM has no TSC deadline timer");
	model.vcpus[vcpu_fd(pair.from->vcpus[0])].is_injected = false;
	model.vcpus[vcpu_fd(pair.from->vcpus[0])].is_deadline_due = true;
	cr_assert_eq(vcpu_get_states(pair.from->vcpus, VCPUS, pair.states, &detail), 0, "%s", detail.text);
	deadline = msr_find(&pair.states[0].msrs, MSR_INDEX_TSC_DEADLINE);
	is_in_lapic = pair.states[0].lapic.regs[LAPIC_IRR + VECTOR / 32 * 16 + VECTOR % 32 / 8] >> VECTOR % 8 & 1;
	cr_assert((deadline && deadline->data == DEADLINE) || is_in_lapic);
	pair_free(&pair);
}

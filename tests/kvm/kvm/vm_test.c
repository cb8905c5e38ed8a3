/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM around the vCPUs: interrupt chips, lines and eventfds, timers, clock, dirty log, and the host's probe.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/msr.h"
#include "support.h"

static void run_one(struct shell *shell)
{
	cr_assert_eq(vcpu_run(shell->vcpus[0]), 0);
}

/* For a pause that a report asks for. */
static void wait_parked(struct shell *shell)
{
	while (!vcpu_is_parked(shell->vcpus[0]))
		usleep(10);
}

static uint64_t eventfd_take(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

/* vCPU, memory, irqchip and clock into another shell. */
static void move_vm(struct shell *from, struct shell *to)
{
	struct irqchip_state irqchip;
	struct kvm_clock_data clock;
	struct error_detail detail = { 0 };

	cr_assert_eq(vm_get_irqchip(&from->vm, &irqchip, &detail), 0, "%s", detail.text);
	cr_assert_eq(vm_get_clock(&from->vm, &clock), 0);
	shell_copy(from, to);
	cr_assert_eq(vm_set_irqchip(&to->vm, &irqchip, &detail), 0, "%s", detail.text);
	cr_assert_eq(vm_set_clock(&to->vm, &clock), 0);
}

Test(host, probe)
{
	const struct kvm_host *host = test_host();

	cr_assert_eq(host->api_version, 12);
	cr_assert_geq(host->run_size, 4096);
	cr_assert_gt(host->tsc_khz, 0);
	cr_assert_geq(host->max_vcpus, 8);
	cr_assert_gt(host->supported_cpuid.count, 0);
	cr_assert_geq(host->msrs.count, 37, "%u MSRs", host->msrs.count);
	cr_assert_eq(host_capability_value(host, KVM_CAP_IRQCHIP), 1);
	cr_assert_eq(host_capability_value(host, -1), 0);
	for (uint32_t i = 0; i < host->msrs.count; i++)
		cr_assert_not_null(msr_name(host->msrs.entries[i].index));
}

Test(host, a_closed_or_zeroed_host_can_be_closed)
{
	struct kvm_host host = { 0 };

	host_close(&host);
	host_close(&host);
	cr_assert_eq(host.fd, -1);
	cr_assert_geq(write(STDERR_FILENO, "", 0), 0, "descriptor 0 to 2 are not ours to close");
}

Test(vm, sizes_of_memory)
{
	const struct kvm_host *host = test_host();
	struct vm_create_times times;
	struct error_detail detail = { 0 };
	struct vm vm;

	cr_assert_eq(vm_create(host, 0, &vm, NULL, &detail), -EINVAL);
	cr_assert_eq(vm_create(host, 4097, &vm, NULL, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "4097"));
	cr_assert_eq(vm_create(host, GUEST_MEMORY_SIZE_MAX + 4096, &vm, NULL, &detail), -EINVAL);
	cr_assert_eq(vm_create(host, 4096, &vm, &times, &detail), 0, "%s", detail.text);
	cr_assert(times.vm_create_ns > 0 && times.irqchip_ns > 0 && times.pit_ns > 0 && times.memory_register_ns > 0);
	vm_close(&vm);
	cr_assert_eq(vm_create(host, GUEST_MEMORY_SIZE_MAX, &vm, NULL, &detail), 0, "%s", detail.text);
	vm_close(&vm);
	vm_close(&vm);
}

Test(vm, errors_name_their_step)
{
	struct kvm_host host = *test_host();
	struct error_detail detail = { 0 };
	struct vm vm;

	host.fd = -1;
	cr_assert_eq(vm_create(&host, 4096, &vm, NULL, &detail), -EBADF);
	cr_assert_not_null(strstr(detail.text, "KVM_CREATE_VM"), "%s", detail.text);
}

Test(vm, vcpu_errors_name_their_step)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu_handlers handlers = { 0 };
	struct error_detail detail = { 0 };
	struct vcpu *vcpu = NULL;

	cr_assert_eq(vcpu_create(&shell->vm, 0, &shell->cpuid[0], &handlers, &vcpu, NULL, &detail), -EEXIST);
	cr_assert_not_null(strstr(detail.text, "KVM_CREATE_VCPU"), "%s", detail.text);
	cr_assert_null(vcpu);
	shell->cpuid[0].count = 100000;
	cr_assert_eq(vcpu_create(&shell->vm, 1, &shell->cpuid[0], &handlers, &vcpu, NULL, &detail), -E2BIG);
	cr_assert_not_null(strstr(detail.text, "KVM_SET_CPUID2"), "%s", detail.text);
	cr_assert_null(vcpu);
	shell_free(shell);
}

Test(vm, irqchip_state_goes_in_and_out)
{
	struct shell *from = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);
	struct irqchip_state state, seen;
	struct error_detail detail = { 0 };

	cr_assert_eq(vm_get_irqchip(&from->vm, &state, &detail), 0, "%s", detail.text);
	state.pic_master.chip.pic.irq_base = 0x20;
	state.pic_master.chip.pic.imr = 0x5a;
	state.pic_master.chip.pic.elcr = 0x20;
	state.pic_slave.chip.pic.irq_base = 0x28;
	state.pic_slave.chip.pic.imr = 0xa5;
	state.pic_slave.chip.pic.auto_eoi = 1;
	state.ioapic.chip.ioapic.id = 3;
	state.ioapic.chip.ioapic.ioregsel = 0x12;
	for (unsigned int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		state.ioapic.chip.ioapic.redirtbl[pin].bits =
			0x0100000000010030 + pin; /* masked, vector, destination */
	state.pit.channels[0].count = 0x1234;
	state.pit.channels[0].mode = 2;
	state.pit.channels[1].count = 0x2345;
	state.pit.channels[1].mode = 3;
	state.pit.channels[2].count = 0x3456;
	state.pit.channels[2].mode = 1;
	state.pit.channels[2].gate = 1;
	state.pit.channels[2].latched_count = 0x77;
	state.pit.channels[2].rw_mode = 3;
	cr_assert_eq(vm_set_irqchip(&to->vm, &state, &detail), 0, "%s", detail.text);
	cr_assert_eq(vm_get_irqchip(&to->vm, &seen, &detail), 0, "%s", detail.text);

	cr_assert_arr_eq(&seen.pic_master.chip, &state.pic_master.chip, sizeof(struct kvm_pic_state));
	cr_assert_arr_eq(&seen.pic_slave.chip, &state.pic_slave.chip, sizeof(struct kvm_pic_state));
	cr_assert_arr_eq(&seen.ioapic.chip, &state.ioapic.chip, sizeof(struct kvm_ioapic_state));
	for (unsigned int i = 0; i < 3; i++) {
		/* Counting starts when it is set. */
		state.pit.channels[i].count_load_time = seen.pit.channels[i].count_load_time;
		cr_assert_arr_eq(&seen.pit.channels[i], &state.pit.channels[i], sizeof(state.pit.channels[i]),
				 "PIT channel %u", i);
	}
	cr_assert_eq(seen.pit.flags, state.pit.flags);

	state.pic_slave.chip_id = KVM_IRQCHIP_IOAPIC;
	cr_assert_eq(vm_set_irqchip(&to->vm, &state, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "chip_id"), "%s", detail.text);
	shell_free(from);
	shell_free(to);
}

/* Armed before the move, fires after it: the guest waits in HLT for its interrupt, reports the vector, and stops. */
static void timer_fires_after_move(struct guest_code code, uint64_t vector, size_t ticks)
{
	struct shell *from = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu_stop_info stop;

	from->recorder.pause_at_report = from->vcpus[0];
	shell_load(from, code, ENTRY_LONG);
	run_one(from);
	wait_parked(from);
	cr_assert_eq(shell_report_count(from), 1);
	move_vm(from, to);
	shell_free(from);

	stop = shell_run_to_stop(to);
	cr_assert_eq(stop.stop, VCPU_STOP_HANDLER, "%s at 0x%llx", vcpu_stop_name(stop.stop),
		     (unsigned long long)stop.rip);
	cr_assert_geq(shell_report_count(to), ticks);
	for (size_t i = 0; i < ticks; i++)
		cr_assert_eq(shell_report(to, i), vector);
	shell_free(to);
}

Test(timer, lapic_oneshot)
{
	timer_fires_after_move(GUEST_CODE(lapic_oneshot), 0x50, 1);
}

Test(timer, lapic_periodic)
{
	timer_fires_after_move(GUEST_CODE(lapic_periodic), 0x51, 3);
}

Test(timer, tsc_deadline)
{
	timer_fires_after_move(GUEST_CODE(tsc_deadline), 0x52, 1);
}

Test(timer, pit_through_the_pic)
{
	timer_fires_after_move(GUEST_CODE(pit_oneshot), 0x60, 1);
}

/* A deadline that expires while the vCPU is parked is still there when it is saved. */
Test(timer, tsc_deadline_that_expired_before_the_save)
{
	struct shell *from = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);
	struct msr_table tsc = { .count = 1, .entries = { { .index = MSR_INDEX_TSC } } };
	struct error_detail detail = { 0 };
	uint64_t deadline_low;

	from->recorder.pause_at_report = from->vcpus[0];
	shell_load(from, GUEST_CODE(tsc_deadline), ENTRY_LONG);
	run_one(from);
	wait_parked(from);
	deadline_low = shell_report(from, 0);
	do {
		cr_assert_eq(msr_get(vcpu_fd(from->vcpus[0]), &tsc, &detail), 0);
	} while ((int32_t)((uint32_t)tsc.entries[0].data - (uint32_t)deadline_low) <= 0x1000000);
	move_vm(from, to);
	shell_free(from);
	cr_assert_eq(shell_run_to_stop(to).stop, VCPU_STOP_HANDLER);
	cr_assert_eq(shell_report(to, 0), 0x52);
	shell_free(to);
}

static struct kvm_msr_entry *msr_of(struct vcpu_state *state, uint32_t index)
{
	for (uint32_t i = 0; i < state->msrs.count; i++) {
		if (state->msrs.entries[i].index == index)
			return &state->msrs.entries[i];
	}

	cr_assert_fail("no MSR 0x%x", index);
	return NULL;
}

/* Saved where the TSC stood hours ahead: here it either takes the saved value, or the deadline is moved with it. */
Test(timer, tsc_deadline_from_where_the_tsc_stood_elsewhere)
{
	struct shell *from = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu_state *state = calloc(1, sizeof(*state));
	struct error_detail detail = { 0 };
	const uint64_t ahead = UINT64_C(1) << 45;

	cr_assert_not_null(state);
	from->recorder.pause_at_report = from->vcpus[0];
	shell_load(from, GUEST_CODE(tsc_deadline), ENTRY_LONG);
	run_one(from);
	wait_parked(from);
	move_vm(from, to);
	cr_assert_eq(vcpu_get_state(from->vcpus[0], state, &detail), 0, "%s", detail.text);
	cr_assert_neq(msr_of(state, MSR_INDEX_TSC_DEADLINE)->data, 0);
	msr_of(state, MSR_INDEX_TSC)->data += ahead;
	msr_of(state, MSR_INDEX_TSC_DEADLINE)->data += ahead;
	cr_assert_eq(vcpu_set_state(to->vcpus[0], state, &detail), 0, "%s", detail.text);
	shell_free(from);
	cr_assert_eq(shell_run_to_stop(to).stop, VCPU_STOP_HANDLER);
	cr_assert_eq(shell_report(to, 0), 0x52);
	free(state);
	shell_free(to);
}

Test(interrupt, line_and_irqfd_and_resample)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	int edge = eventfd(0, EFD_CLOEXEC);
	int level = eventfd(0, EFD_CLOEXEC);
	int resample = eventfd(0, EFD_CLOEXEC);

	shell_load(shell, GUEST_CODE(ioapic_wait), ENTRY_LONG);
	run_one(shell);
	shell_wait_reports(shell, 1);

	cr_assert_eq(vm_irq_line(&shell->vm, 5, true), 0);
	cr_assert_eq(vm_irq_line(&shell->vm, 5, false), 0);
	shell_wait_reports(shell, 2);
	cr_assert_eq(shell_report(shell, 1), 0x45);

	cr_assert_eq(vm_irqfd_add(&shell->vm, edge, -1, 5), 0);
	cr_assert_eq(vm_irqfd_add(&shell->vm, edge, -1, 5), -EBUSY);
	cr_assert_eq(eventfd_write(edge, 1), 0);
	shell_wait_reports(shell, 3);
	cr_assert_eq(shell_report(shell, 2), 0x45);
	cr_assert_eq(vm_irqfd_remove(&shell->vm, edge, 5), 0);

	/* Level: the guest's EOI lowers the line and signals the other eventfd. */
	cr_assert_eq(vm_irqfd_add(&shell->vm, level, resample, 6), 0);
	cr_assert_eq(eventfd_write(level, 1), 0);
	shell_wait_reports(shell, 4);
	cr_assert_eq(shell_report(shell, 3), 0x46);
	cr_assert_geq(eventfd_take(resample), 1);
	vcpu_pause(shell->vcpus[0]);
	cr_assert_eq(shell_report_count(shell), 4);
	cr_assert_eq(vm_irqfd_remove(&shell->vm, level, 6), 0);
	cr_assert_eq(vm_irqfd_add(&shell->vm, -1, -1, 5), -EBADF);
	shell_free(shell);
	close(edge);
	close(level);
	close(resample);
}

/* Raised while the vCPU is parked: the interrupt is in the LAPIC or the IOAPIC and moves with them. */
Test(interrupt, raised_before_the_save_arrives_after_the_restore)
{
	struct shell *from = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);

	shell_load(from, GUEST_CODE(ioapic_wait), ENTRY_LONG);
	run_one(from);
	shell_wait_reports(from, 1);
	vcpu_pause(from->vcpus[0]);
	cr_assert_eq(vm_irq_line(&from->vm, 5, true), 0);
	cr_assert_eq(vm_irq_line(&from->vm, 5, false), 0);
	cr_assert_eq(vm_irq_line(&from->vm, 6, true), 0);
	move_vm(from, to);
	cr_assert_eq(shell_report_count(from), 1);
	shell_free(from);

	run_one(to);
	shell_wait_reports(to, 2);
	vcpu_pause(to->vcpus[0]);
	/* The greater vector first. The level is still high in `to`, so its interrupt comes again after each EOI. */
	cr_assert_eq(shell_report(to, 0), 0x46);
	shell_free(to);
}

/* Halted with interrupts on: HALTED moves too, and an interrupt in the new VM wakes it. */
Test(interrupt, wakes_a_moved_halted_vcpu)
{
	struct shell *from = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu_state *state = calloc(1, sizeof(*state));
	struct error_detail detail = { 0 };

	cr_assert_not_null(state);
	shell_load(from, GUEST_CODE(ioapic_wait), ENTRY_LONG);
	run_one(from);
	shell_wait_reports(from, 1);
	do {
		vcpu_pause(from->vcpus[0]);
		cr_assert_eq(vcpu_get_state(from->vcpus[0], state, &detail), 0, "%s", detail.text);
		if (state->mp_state.mp_state != KVM_MP_STATE_HALTED)
			run_one(from);
	} while (state->mp_state.mp_state != KVM_MP_STATE_HALTED);
	move_vm(from, to);
	shell_free(from);

	run_one(to);
	cr_assert_eq(vm_irq_line(&to->vm, 5, true), 0);
	shell_wait_reports(to, 1);
	cr_assert_eq(shell_report(to, 0), 0x45);
	free(state);
	shell_free(to);
}

Test(ioeventfd, port_with_match_and_mmio)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	int port = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int mmio = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct vm_ioeventfd on_port = {
		.address = 0x70, .length = 2, .is_port = true, .match_value = true, .value = 8, .eventfd = port
	};
	struct vm_ioeventfd on_mmio = { .address = MMIO_BASE + 0x100, .length = 4, .eventfd = mmio };

	cr_assert_eq(vm_ioeventfd_add(&shell->vm, &on_port), 0);
	cr_assert_eq(vm_ioeventfd_add(&shell->vm, &on_mmio), 0);
	cr_assert_eq(vm_ioeventfd_add(&shell->vm, &on_mmio), -EEXIST);
	shell_load(shell, GUEST_CODE(notify), ENTRY_LONG);
	cr_assert_eq(shell_run_to_stop(shell).stop, VCPU_STOP_HANDLER);
	cr_assert_eq(eventfd_take(port), 1, "only the write of 8");
	cr_assert_eq(eventfd_take(mmio), 2);
	cr_assert_eq(shell->recorder.mmio_write_count, 0, "no exit");

	cr_assert_eq(vm_ioeventfd_remove(&shell->vm, &on_port), 0);
	cr_assert_eq(vm_ioeventfd_remove(&shell->vm, &on_mmio), 0);
	cr_assert_eq(vm_ioeventfd_remove(&shell->vm, &on_mmio), -ENOENT);
	shell_load(shell, GUEST_CODE(notify), ENTRY_LONG);
	cr_assert_eq(shell_run_to_stop(shell).stop, VCPU_STOP_HANDLER);
	cr_assert_eq(eventfd_take(port), 0);
	cr_assert_eq(eventfd_take(mmio), 0);
	cr_assert_eq(shell->recorder.mmio_write_count, 2);
	shell_free(shell);
	close(port);
	close(mmio);
}

Test(dirty_log, names_the_written_pages_once)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	uint64_t bitmap[TEST_MEMORY_SIZE / GUEST_MEMORY_PAGE / 64];

	cr_assert_neq(vm_dirty_log_read(&shell->vm, bitmap, sizeof(bitmap)), 0, "it is off");
	cr_assert_eq(vm_dirty_log_enable(&shell->vm, true), 0);
	cr_assert_eq(vm_dirty_log_read(&shell->vm, bitmap, sizeof(bitmap) - 1), -EINVAL);
	cr_assert_eq(vm_dirty_log_read(&shell->vm, bitmap, sizeof(bitmap)), 0);

	shell->recorder.pause_at_report = shell->vcpus[0];
	shell_load(shell, GUEST_CODE(dirty_pages), ENTRY_REAL);
	for (unsigned int round = 0; round < 3; round++) {
		run_one(shell);
		wait_parked(shell);
		memset(bitmap, 0xee, sizeof(bitmap));
		cr_assert_eq(vm_dirty_log_read(&shell->vm, bitmap, sizeof(bitmap)), 0);
		cr_assert_eq(bitmap[0], (UINT64_C(1) << 5) | (UINT64_C(1) << 9), "round %u: 0x%llx", round,
			     (unsigned long long)bitmap[0]);
		for (size_t i = 1; i < sizeof(bitmap) / sizeof(bitmap[0]); i++)
			cr_assert_eq(bitmap[i], 0);
		cr_assert_eq(vm_dirty_log_read(&shell->vm, bitmap, sizeof(bitmap)), 0);
		cr_assert_eq(bitmap[0], 0, "reading clears");
	}

	cr_assert_eq(vm_dirty_log_enable(&shell->vm, false), 0);
	cr_assert_eq(vm_dirty_log_enable(&shell->vm, false), 0);
	run_one(shell);
	wait_parked(shell);
	cr_assert_neq(vm_dirty_log_read(&shell->vm, bitmap, sizeof(bitmap)), 0);
	shell_free(shell);
}

Test(clock, goes_on_from_what_was_set)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	const uint64_t year = UINT64_C(31536000000000000);
	struct kvm_clock_data clock = { .clock = 5 * year, .flags = 0xffffffff, .realtime = year };
	struct kvm_clock_data seen;

	cr_assert_eq(vm_get_clock(&shell->vm, &seen), 0);
	cr_assert_lt(seen.clock, year);
	cr_assert_eq(vm_set_clock(&shell->vm, &clock), 0, "flags that only report are not handed back");
	cr_assert_eq(vm_get_clock(&shell->vm, &seen), 0);
	cr_assert_geq(seen.clock, 5 * year);
	cr_assert_lt(seen.clock, 6 * year);
	shell_free(shell);
}

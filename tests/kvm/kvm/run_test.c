/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running and stopping: exits answered, pauses that are never lost, instructions finished before a vCPU parks, and
 * every way in which a vCPU stops by itself.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/monotonic.h"
#include "support.h"

#define CYCLES 3000

static struct kvm_regs registers_of(struct vcpu *vcpu)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	cr_assert_eq(vcpu_get_registers(vcpu, &regs, &sregs), 0);
	return regs;
}

/*
 * 0 to 150 us that differ from call to call, so that pauses fall everywhere: before the entry, in the guest, in an
 * exit.
 */
static void dither(unsigned int cycle)
{
	uint64_t end = monotonic_ns() + (cycle * UINT64_C(7919)) % 150000;

	while (monotonic_ns() < end) {}
}

static void let_go(struct shell *shell)
{
	cr_assert_eq(vcpu_run(shell->vcpus[0]), 0);
}

/* For a pause that the vCPU's own exit asks for. */
static void wait_parked(struct shell *shell)
{
	while (!vcpu_is_parked(shell->vcpus[0]))
		usleep(10);
}

static void assert_stop(struct vcpu_stop_info stop, enum vcpu_stop expected)
{
	cr_assert_eq(stop.stop, expected, "stopped for %s (code 0x%llx, rip 0x%llx), not %s", vcpu_stop_name(stop.stop),
		     (unsigned long long)stop.code, (unsigned long long)stop.rip, vcpu_stop_name(expected));
}

Test(run, port_reads_of_each_width)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);

	shell->recorder.counter = 0x11223344;
	shell_load(shell, GUEST_CODE(port_widths), ENTRY_REAL);
	assert_stop(shell_run_to_stop(shell), VCPU_STOP_HANDLER);
	cr_assert_eq(shell_report(shell, 0), 0x44);
	cr_assert_eq(shell_report(shell, 1), 0x3345);
	cr_assert_eq(shell_report(shell, 2), 0x11223346);
	cr_assert_eq(shell_report(shell, 3), 0xffffffff);
	shell_free(shell);
}

Test(run, handler_stop_parks_after_the_instruction)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu_stop_info stop;

	shell_load(shell, GUEST_CODE(port_widths), ENTRY_REAL);
	stop = shell_run_to_stop(shell);
	assert_stop(stop, VCPU_STOP_HANDLER);
	cr_assert(vcpu_is_parked(shell->vcpus[0]));
	/* RIP stands on the HLT after the OUT. */
	cr_assert_eq(shell->vm.memory.host[stop.rip], 0xf4);
	cr_assert_eq(registers_of(shell->vcpus[0]).rip, stop.rip);
	cr_assert_eq(vcpu_get_stop(shell->vcpus[0], &stop), 0);
	assert_stop(stop, VCPU_STOP_HANDLER);
	shell_free(shell);
}

Test(run, busy_while_it_runs)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu *vcpu = shell->vcpus[0];
	struct vcpu_state *state = calloc(1, sizeof(*state));
	struct error_detail detail;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct vcpu_stop_info stop;

	cr_assert_not_null(state);
	cr_assert_eq(vcpu_entered_ns(vcpu), 0);
	shell_load(shell, GUEST_CODE(spin), ENTRY_REAL);
	let_go(shell);
	cr_assert_eq(vcpu_run(vcpu), -EBUSY);
	cr_assert_eq(vcpu_get_state(vcpu, state, &detail), -EBUSY);
	cr_assert_eq(vcpu_set_state(vcpu, state, &detail), -EBUSY);
	cr_assert_eq(vcpu_get_registers(vcpu, &regs, &sregs), -EBUSY);
	cr_assert_eq(vcpu_set_registers(vcpu, &regs, &sregs), -EBUSY);
	cr_assert_eq(vcpu_get_stop(vcpu, &stop), -EBUSY);
	cr_assert_not(vcpu_is_parked(vcpu));
	vcpu_pause(vcpu);
	cr_assert(vcpu_is_parked(vcpu));
	cr_assert_eq(vcpu_get_stop(vcpu, &stop), 0);
	assert_stop(stop, VCPU_STOP_PAUSED);
	cr_assert_gt(vcpu_entered_ns(vcpu), 0);
	/* A parked vCPU stays parked. */
	vcpu_pause(vcpu);
	vcpu_request_pause(vcpu);
	cr_assert(vcpu_is_parked(vcpu));
	free(state);
	shell_free(shell);
}

/*
 * Pauses under load. A lost kick shows as a test that does not end.
 */

Test(pause, port_reads_are_neither_lost_nor_repeated)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	uint64_t last = 0;

	shell_load(shell, GUEST_CODE(port_read_loop), ENTRY_REAL);
	for (unsigned int i = 0; i < CYCLES; i++) {
		struct kvm_regs regs;
		uint32_t counter;

		let_go(shell);
		dither(i);
		vcpu_pause(shell->vcpus[0]);
		regs = registers_of(shell->vcpus[0]);
		counter = (uint32_t)shell->recorder.counter;
		/*
		 * Every answered read has reached EAX; ECX, the count of compared ones, is level with it or one behind.
		 */
		if ((uint32_t)regs.rcx != counter) {
			cr_assert_eq((uint32_t)regs.rcx, counter - 1);
			cr_assert_eq((uint32_t)regs.rax, counter - 1);
		}
		cr_assert_geq(counter, last);
		last = counter;
	}
	cr_assert_gt(last, 0);
	cr_assert_eq(shell_report_count(shell), 0, "the guest missed a value");
	shell_free(shell);
}

Test(pause, port_writes_are_neither_lost_nor_repeated)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);

	shell_load(shell, GUEST_CODE(port_write_loop), ENTRY_REAL);
	for (unsigned int i = 0; i < CYCLES; i++) {
		size_t count;
		uint32_t next;

		let_go(shell);
		dither(i);
		vcpu_pause(shell->vcpus[0]);
		next = (uint32_t)registers_of(shell->vcpus[0]).rax;
		count = shell_report_count(shell);
		/* EAX is what was written last or what will be written next. */
		cr_assert(next == count || next + 1 == count, "EAX %u after %zu reports", next, count);
	}
	for (size_t i = 0; i < shell_report_count(shell) && i < RECORDS_MAX; i++)
		cr_assert_eq(shell_report(shell, i), i);
	shell_free(shell);
}

static void pause_often(struct guest_code code, enum entry_mode mode)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);

	shell_load(shell, code, mode);
	for (unsigned int i = 0; i < CYCLES; i++) {
		let_go(shell);
		dither(i);
		vcpu_pause(shell->vcpus[0]);
		cr_assert(vcpu_is_parked(shell->vcpus[0]));
	}
	shell_free(shell);
}

Test(pause, without_exits)
{
	pause_often(GUEST_CODE(spin), ENTRY_REAL);
}

Test(pause, halted)
{
	pause_often(GUEST_CODE(halt), ENTRY_REAL);
}

Test(pause, mmio_read_and_write)
{
	pause_often(GUEST_CODE(mmio_loop), ENTRY_LONG);
}

/* A requester that is late with its store and its signal must neither stop nor stall later runs. */
struct hammer {
	struct vcpu *vcpu;
	atomic_bool end;
};

static void *hammer_thread(void *opaque)
{
	struct hammer *hammer = opaque;

	while (!atomic_load(&hammer->end))
		vcpu_request_pause(hammer->vcpu);
	return NULL;
}

Test(pause, requests_from_several_threads)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct hammer hammer = { .vcpu = shell->vcpus[0] };
	pthread_t threads[2];
	size_t before;

	shell_load(shell, GUEST_CODE(port_write_loop), ENTRY_REAL);
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, hammer_thread, &hammer), 0);
	for (unsigned int i = 0; i < CYCLES; i++) {
		let_go(shell);
		vcpu_pause(shell->vcpus[0]);
	}
	atomic_store(&hammer.end, true);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);

	/* And now it runs on undisturbed. */
	before = shell_report_count(shell);
	let_go(shell);
	shell_wait_reports(shell, before + 100);
	vcpu_pause(shell->vcpus[0]);
	shell_free(shell);
}

Test(pause, four_vcpus_together)
{
	struct shell *shell = shell_new(4, TEST_MEMORY_SIZE);

	/* The other three wait for a startup IPI that does not come: KVM_RUN blocks in another place. */
	shell_load(shell, GUEST_CODE(port_write_loop), ENTRY_REAL);
	for (unsigned int i = 0; i < 300; i++) {
		for (size_t v = 0; v < 4; v++)
			cr_assert_eq(vcpu_run(shell->vcpus[v]), 0);
		dither(i);
		for (size_t v = 0; v < 4; v++)
			vcpu_request_pause(shell->vcpus[v]);
		for (size_t v = 0; v < 4; v++)
			vcpu_pause(shell->vcpus[v]);
	}
	shell_free(shell);
}

Test(pause, close_while_running_and_halted)
{
	struct shell *running = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *halted = shell_new(1, TEST_MEMORY_SIZE);

	shell_load(running, GUEST_CODE(spin), ENTRY_REAL);
	shell_load(halted, GUEST_CODE(halt), ENTRY_REAL);
	let_go(running);
	let_go(halted);
	shell_free(running);
	shell_free(halted);
	cr_assert_null(vcpu_close(NULL));
}

/*
 * Half-done instructions: the pause is asked for from within the exit.
 */

Test(pending, port_read_is_finished_before_parking)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *other = shell_new(1, TEST_MEMORY_SIZE);
	struct kvm_regs regs;

	shell->recorder.counter = 0x89abcdef;
	shell->recorder.pause_at_port_read = shell->vcpus[0];
	shell_load(shell, GUEST_CODE(port_read_loop), ENTRY_REAL);
	let_go(shell);
	wait_parked(shell);
	regs = registers_of(shell->vcpus[0]);
	cr_assert_eq((uint32_t)regs.rax, 0x89abcdef, "EAX is 0x%llx", (unsigned long long)regs.rax);

	/*
	 * In another VM the guest goes on with the value: it differs from ECX, so that the guest reports it and stops.
	 */
	shell_copy(shell, other);
	assert_stop(shell_run_to_stop(other), VCPU_STOP_HANDLER);
	cr_assert_eq(shell_report(other, 0), 0x89abcdef);
	cr_assert_eq(shell_report(other, 1), 0);
	cr_assert_eq(other->recorder.counter, 0, "the read was done again");
	shell_free(shell);
	shell_free(other);
}

Test(pending, mmio_read_across_a_page_is_finished_before_parking)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *other = shell_new(1, TEST_MEMORY_SIZE);
	uint64_t expected = 0;

	for (unsigned int i = 0; i < 8; i++)
		expected |= (uint64_t)mmio_pattern(MMIO_BASE + 0xffc + i) << (8 * i);
	shell->recorder.pause_at_mmio_read = shell->vcpus[0];
	shell_load(shell, GUEST_CODE(mmio_read), ENTRY_LONG);
	let_go(shell);
	wait_parked(shell);
	cr_assert_eq(shell->recorder.mmio_read_count, 2, "KVM splits the access");
	cr_assert_eq(registers_of(shell->vcpus[0]).rax, expected);

	shell_copy(shell, other);
	assert_stop(shell_run_to_stop(other), VCPU_STOP_HANDLER);
	cr_assert_eq(other->recorder.mmio_read_count, 0, "the read was done again");
	cr_assert_eq(shell_report(other, 0), (uint32_t)expected);
	cr_assert_eq(shell_report(other, 1), expected >> 32);
	shell_free(shell);
	shell_free(other);
}

Test(pending, mmio_writes_arrive_whole)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	const struct record *writes = shell->recorder.mmio_writes;

	shell_load(shell, GUEST_CODE(mmio_write), ENTRY_LONG);
	assert_stop(shell_run_to_stop(shell), VCPU_STOP_HANDLER);
	cr_assert_eq(shell->recorder.mmio_write_count, 3);
	cr_assert(writes[0].address == MMIO_BASE + 0x10 && writes[0].length == 4 && writes[0].value == 0x11223344);
	cr_assert(writes[1].address == MMIO_BASE + 0xffc && writes[1].length == 4 && writes[1].value == 0x44332211);
	cr_assert(writes[2].address == MMIO_BASE + 0x1000 && writes[2].length == 4 && writes[2].value == 0x88776655);
	shell_free(shell);
}

Test(pending, repeated_output_survives_a_pause_at_every_element)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	uint8_t pattern[2000];

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 31 + i / 256);
	cr_assert_eq(guest_memory_write(&shell->vm.memory, 0x4000, pattern, sizeof(pattern)), 0);
	shell->recorder.pause_at_report = shell->vcpus[0];
	shell_load(shell, GUEST_CODE(rep_outs), ENTRY_REAL);
	while (shell->recorder.stop_count == 0) {
		let_go(shell);
		wait_parked(shell);
	}
	cr_assert_eq(shell_report_count(shell), sizeof(pattern));
	for (size_t i = 0; i < sizeof(pattern); i++)
		cr_assert_eq(shell_report(shell, i), pattern[i], "byte %zu", i);
	shell_free(shell);
}

Test(pending, repeated_input_survives_a_pause_and_a_move_at_every_exit)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	uint8_t data[2000];
	unsigned int parks = 0;

	shell->recorder.pause_at_port_read = shell->vcpus[0];
	shell_load(shell, GUEST_CODE(rep_ins), ENTRY_REAL);
	while (shell->recorder.stop_count == 0) {
		struct shell *next;

		let_go(shell);
		wait_parked(shell);
		if (++parks != 1 || shell->recorder.stop_count != 0)
			continue;
		/* Once in the middle, go on in another VM. */
		next = shell_new(1, TEST_MEMORY_SIZE);
		next->recorder.counter = shell->recorder.counter;
		next->recorder.pause_at_port_read = next->vcpus[0];
		shell_copy(shell, next);
		shell_free(shell);
		shell = next;
	}
	cr_assert_eq(shell->recorder.counter, sizeof(data));
	cr_assert_eq(guest_memory_read(&shell->vm.memory, 0x4000, data, sizeof(data)), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		cr_assert_eq(data[i], (uint8_t)i, "byte %zu is 0x%02x", i, data[i]);
	shell_free(shell);
}

/*
 * Stops by itself.
 */

Test(stop, triple_fault)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);

	shell_load(shell, GUEST_CODE(triple_fault), ENTRY_PROTECTED);
	assert_stop(shell_run_to_stop(shell), VCPU_STOP_SHUTDOWN);
	cr_assert_eq(shell->recorder.stop_count, 1);
	shell_free(shell);
}

Test(stop, code_where_no_memory_is)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu_stop_info stop;

	shell_load(shell, GUEST_CODE(jump_nowhere), ENTRY_LONG);
	stop = shell_run_to_stop(shell);
	assert_stop(stop, VCPU_STOP_INTERNAL_ERROR);
	cr_assert_eq(stop.code, KVM_INTERNAL_ERROR_EMULATION);
	cr_assert_eq(stop.rip, MMIO_BASE);
	shell_free(shell);
}

Test(stop, names)
{
	cr_assert_str_eq(vcpu_stop_name(VCPU_STOP_PAUSED), "paused");
	cr_assert_str_eq(vcpu_stop_name(VCPU_STOP_MEMORY_FAULT), "memory_fault");
	for (int stop = VCPU_STOP_PAUSED; stop <= VCPU_STOP_UNKNOWN_EXIT; stop++)
		cr_assert_not_null(vcpu_stop_name((enum vcpu_stop)stop));
	cr_assert_null(vcpu_stop_name((enum vcpu_stop)(VCPU_STOP_UNKNOWN_EXIT + 1)));
}

/* A shell whose memory is a file of the test's. */
static struct shell *shell_on_file(struct guest_code code, int *ret_file)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	int file = memfd_create("memory", MFD_CLOEXEC);

	cr_assert_geq(file, 0);
	cr_assert_eq(ftruncate(file, (off_t)TEST_MEMORY_SIZE), 0);
	cr_assert_eq(pwrite(file, "\x78\x56\x34\x12", 4, 0x300000), 4);
	cr_assert_eq(guest_memory_lay_snapshot(&shell->vm.memory, file, 0), 0);
	shell_load(shell, code, ENTRY_LONG);
	*ret_file = file;
	return shell;
}

Test(stop, memory_file_cut_short_under_data)
{
	struct vcpu_stop_info stop;
	struct shell *shell;
	int file;

	shell = shell_on_file(GUEST_CODE(touch_twice), &file);
	shell->recorder.pause_at_report = shell->vcpus[0];
	let_go(shell);
	wait_parked(shell);
	cr_assert_eq(shell_report(shell, 0), 0x12345678);

	cr_assert_eq(ftruncate(file, 0x200000), 0);
	stop = shell_run_to_stop(shell);
	assert_stop(stop, VCPU_STOP_MEMORY_FAULT);
	cr_assert(stop.code == 0x300000 || stop.code == 0, "code 0x%llx", (unsigned long long)stop.code);
	shell_free(shell);
	close(file);
}

Test(stop, memory_file_cut_short_under_code)
{
	struct shell *shell;
	int file;

	shell = shell_on_file(GUEST_CODE(touch_twice), &file);
	shell->recorder.pause_at_report = shell->vcpus[0];
	let_go(shell);
	wait_parked(shell);

	/* Page tables and code go with it. */
	cr_assert_eq(ftruncate(file, 0), 0);
	assert_stop(shell_run_to_stop(shell), VCPU_STOP_MEMORY_FAULT);
	shell_free(shell);
	close(file);
}

/*
 * Two processors.
 */

/* Boot both, and pause them when the second one has halted. */
static struct shell *two_processors(struct vcpu_state *ret_second)
{
	struct shell *shell = shell_new(2, TEST_MEMORY_SIZE);
	struct guest_code ap = GUEST_CODE(ap);
	struct error_detail detail = { 0 };

	cr_assert_eq(guest_memory_write(&shell->vm.memory, 0x8000, ap.start, (size_t)(ap.end - ap.start)), 0);
	shell_load(shell, GUEST_CODE(start_ap), ENTRY_LONG);
	cr_assert_eq(vcpu_get_state(shell->vcpus[1], ret_second, &detail), 0, "%s", detail.text);
	cr_assert_eq(ret_second->mp_state.mp_state, KVM_MP_STATE_UNINITIALIZED);

	cr_assert_eq(vcpu_run(shell->vcpus[1]), 0);
	cr_assert_eq(vcpu_run(shell->vcpus[0]), 0);
	shell_wait_reports(shell, 2);
	vcpu_pause(shell->vcpus[0]);
	for (;;) {
		vcpu_pause(shell->vcpus[1]);
		cr_assert_eq(vcpu_get_state(shell->vcpus[1], ret_second, &detail), 0, "%s", detail.text);
		if (ret_second->mp_state.mp_state == KVM_MP_STATE_HALTED)
			return shell;
		cr_assert_eq(vcpu_run(shell->vcpus[1]), 0);
	}
}

Test(processors, init_and_startup_ipi)
{
	struct vcpu_state *state = calloc(1, sizeof(*state));
	struct shell *shell;

	cr_assert_not_null(state);
	shell = two_processors(state);
	/* The two reports come in any order: 1 from the boot processor, CS from the other. */
	cr_assert_eq(shell_report(shell, 0) + shell_report(shell, 1), 0x801);
	cr_assert_eq(state->sregs.cs.selector, 0x800);
	free(state);
	shell_free(shell);
}

Test(processors, a_halted_one_moves_and_wakes)
{
	struct vcpu_state *state = calloc(1, sizeof(*state));
	struct error_detail detail = { 0 };
	struct shell *from, *to;

	cr_assert_not_null(state);
	from = two_processors(state);
	to = shell_new(2, TEST_MEMORY_SIZE);
	shell_copy(from, to);
	cr_assert_eq(vcpu_set_state(to->vcpus[1], state, &detail), 0, "%s", detail.text);
	shell_free(from);

	/*
	 * The boot processor halts with interrupts on and nobody wakes it; an NMI wakes the other. KVM_NMI waits for a
	 * KVM_RUN to end, and this one's would not: so it comes first.
	 */
	cr_assert_eq(ioctl(vcpu_fd(to->vcpus[1]), KVM_NMI, 0), 0);
	cr_assert_eq(vcpu_run(to->vcpus[0]), 0);
	cr_assert_eq(vcpu_run(to->vcpus[1]), 0);
	cr_assert_eq(shell_wait_stop(to, 1).stop, VCPU_STOP_HANDLER);
	cr_assert_eq(to->recorder.stop_index, 1);
	cr_assert_eq(shell_report_count(to), 1);
	cr_assert_eq(shell_report(to, 0), 0x99);
	free(state);
	shell_free(to);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool among liars: workers, a loader and a zygote that break every rule that they can (tests/unit/pool/impostor.c). Whatever they
 * do, each request and operation ends in one answer, the liar is killed, and the loop stays free for others.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/monotonic.h"
#include "liars.h"

static struct pool_vm *start(struct started_vm *vm)
{
	struct machine_shape shape = harness_shape(1, 16);

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, vm);
	harness_wait(&harness, &vm->answered);
	cr_assert_eq(vm->result.status, POOL_OK, "%s", vm->result.detail.text);
	return vm->vm;
}

TestSuite(hostile, .timeout = 600);

/* ---- workers that never get as far as a VM ---- */

static void never_warm(const char *ways, enum pool_event_kind kind)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;

	open_with(ways);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_WORKER_DIED, "%s: %s", ways, vm.result.detail.text);
	cr_assert_eq(harness.events[kind], 1, "%s: %u times %s", ways, harness.events[kind], pool_event_name(kind));
	cr_assert_eq(harness.events[POOL_EVENT_SHAPE_BACKOFF], 1, "%s", ways);
	close_and_count();
}

#define NEVER_WARM(way, kind)                     \
	Test(hostile, a_worker_that_##way)        \
	{                                         \
		never_warm("worker=" #way, kind); \
	}
NEVER_WARM(silent, POOL_EVENT_WORKER_STALLED)
NEVER_WARM(closes, POOL_EVENT_WORKER_ENDED)
NEVER_WARM(garbage, POOL_EVENT_WORKER_LIED)
NEVER_WARM(short, POOL_EVENT_WORKER_LIED)
NEVER_WARM(gives_files, POOL_EVENT_WORKER_LIED)
NEVER_WARM(starts_unasked, POOL_EVENT_WORKER_LIED)
NEVER_WARM(fails_forever, POOL_EVENT_WORKER_FAILED)
NEVER_WARM(slow_clock, POOL_EVENT_WORKER_LIED)

Test(hostile, what_a_worker_says_of_its_failure_is_printable)
{
	never_warm("worker=fails_forever", POOL_EVENT_WORKER_FAILED);
	for (const char *text = harness.last_error; *text != '\0'; text++)
		cr_assert(*text >= ' ' && *text <= '~', "%d", *text);
}

Test(hostile, a_request_for_a_warm_worker_that_is_dead_by_then_waits_for_another)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	siginfo_t info;
	pid_t pid;

	open_with("");
	harness_configure(&harness, &shape, 1, 2);
	harness_wait_warm(&harness, &shape, 1);
	pid = warm_pid();
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	close_and_count();
}

/* ---- workers that lie about a start ---- */

static void never_starts(const char *ways, enum pool_event_kind kind)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;

	open_with(ways);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_WORKER_DIED, "%s: %s", ways, vm.result.detail.text);
	cr_assert_null(vm.vm);
	cr_assert_geq(harness.events[kind], 1, "%s", ways);
	close_and_count();
}

#define NEVER_STARTS(way, kind)                     \
	Test(hostile, a_worker_that_##way)          \
	{                                           \
		never_starts("worker=" #way, kind); \
	}
NEVER_STARTS(never_starts, POOL_EVENT_WORKER_STALLED)
NEVER_STARTS(starts_another, POOL_EVENT_WORKER_LIED)
NEVER_STARTS(starts_tomorrow, POOL_EVENT_WORKER_LIED)
NEVER_STARTS(starts_yesterday, POOL_EVENT_WORKER_LIED)

/* ---- workers that lie unasked ---- */

static void lies_unasked(const char *ways)
{
	static struct started_vm vm;

	open_with(ways);
	(void)start(&vm);
	harness_wait(&harness, &vm.gone);
	cr_assert_eq(harness.events[POOL_EVENT_WORKER_LIED], 1, "%s", ways);
	cr_assert_lt(vm.outputs, 10000, "a flood is found out, not served");
	close_and_count();
}

#define LIES_UNASKED(way)                     \
	Test(hostile, a_worker_that_##way)    \
	{                                     \
		lies_unasked("worker=" #way); \
	}
LIES_UNASKED(floods)
LIES_UNASKED(output_floods)
LIES_UNASKED(signals_256)
LIES_UNASKED(answers_unasked)
LIES_UNASKED(exits_twice)
LIES_UNASKED(exits_oddly)
LIES_UNASKED(is_a_loader)
LIES_UNASKED(connects_without_vsock)
LIES_UNASKED(tells_its_balloon)

/* ---- workers that lie about what they were asked ---- */

static void asked_written(void *opaque, const struct pool_result *result, uint32_t written)
{
	(void)written;
	asked_done(opaque, result);
}

static void ask_all(struct pool_vm *vm, struct asked asked[3])
{
	struct pool_snapshot snapshot = {
		.state_file = memfd_create("state.json", MFD_CLOEXEC),
		.memory_file = memfd_create("memory.snap", MFD_CLOEXEC),
	};

	pool_vm_console_read(vm, 0, 100, asked_read, &asked[0]);
	pool_vm_console_write(vm, (const uint8_t *)"x", 1, asked_written, &asked[1]);
	pool_vm_snapshot(vm, &snapshot, NULL, asked_snapshot, &asked[2]);
	(void)close(snapshot.state_file);
	(void)close(snapshot.memory_file);
}

static void lies_when_asked(const char *ways, enum pool_event_kind kind)
{
	static struct started_vm vm;
	static struct asked asked[3];
	unsigned before;

	open_with(ways);
	(void)start(&vm);
	before = open_files();
	ask_all(vm.vm, asked);
	harness_wait(&harness, &vm.gone);
	for (unsigned i = 0; i < 3; i++)
		cr_assert(asked[i].answered, "%s: %u is answered before its VM is gone", ways, i);
	cr_assert_eq(harness.events[kind], 1, "%s", ways);
	cr_assert_leq(open_files(), before, "%s: files are left open", ways);
	close_and_count();
}

#define LIES_WHEN_ASKED(way, kind)                     \
	Test(hostile, a_worker_that_##way)             \
	{                                              \
		lies_when_asked("worker=" #way, kind); \
	}
LIES_WHEN_ASKED(deaf, POOL_EVENT_WORKER_STALLED)
LIES_WHEN_ASKED(reads_much, POOL_EVENT_WORKER_LIED)
LIES_WHEN_ASKED(reads_more, POOL_EVENT_WORKER_LIED)
LIES_WHEN_ASKED(reads_far, POOL_EVENT_WORKER_LIED)
LIES_WHEN_ASKED(takes_more, POOL_EVENT_WORKER_LIED)
LIES_WHEN_ASKED(stands_still, POOL_EVENT_WORKER_STALLED)
LIES_WHEN_ASKED(goes_back, POOL_EVENT_WORKER_LIED)
LIES_WHEN_ASKED(goes_on, POOL_EVENT_WORKER_LIED)
LIES_WHEN_ASKED(writes_much, POOL_EVENT_WORKER_LIED)
LIES_WHEN_ASKED(has_more_to_do, POOL_EVENT_WORKER_LIED)

Test(hostile, who_waits_behind_a_long_snapshot_is_no_sign_of_a_stall)
{
	static struct started_vm vm;
	static struct asked asked[3], pause;
	struct pool_snapshot snapshot = {
		.state_file = memfd_create("state.json", MFD_CLOEXEC),
		.memory_file = memfd_create("memory.snap", MFD_CLOEXEC),
	};

	open_with("worker=slow");
	(void)start(&vm);
	pool_vm_snapshot(vm.vm, &snapshot, NULL, asked_snapshot, &asked[0]);
	pool_vm_console_read(vm.vm, 0, 100, asked_read, &asked[1]);
	pool_vm_console_write(vm.vm, (const uint8_t *)"x", 1, asked_written, &asked[2]);
	harness_wait(&harness, &asked[2].answered);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(asked[i].result.status, POOL_OK, "%u: %s", i, asked[i].result.detail.text);
	/* Not resumed, so that pausing is what cannot be done. */
	pool_vm_pause(vm.vm, asked_done, &pause);
	harness_wait(&harness, &pause.answered);
	cr_assert_eq(pause.result.status, POOL_WRONG_STATE);
	close_and_count();
}

Test(hostile, a_busy_worker_is_not_blamed_for_what_it_cannot_be_sent)
{
	static struct started_vm vm;
	static struct asked writes[64], pause;
	static uint8_t data[MESSAGE_CONSOLE_MAX];
	unsigned refused = 0;
	pid_t pid;

	open_with("");
	(void)start(&vm);
	pid = pool_vm_pid(vm.vm);
	cr_assert_eq(kill(pid, SIGSTOP), 0);
	for (unsigned i = 0; i < 64; i++)
		pool_vm_console_write(vm.vm, data, sizeof(data), asked_written, &writes[i]);
	pool_vm_pause(vm.vm, asked_done, &pause);
	cr_assert_eq(kill(pid, SIGCONT), 0);
	for (unsigned i = 0; i < 64; i++) {
		harness_wait(&harness, &writes[i].answered);
		refused += writes[i].result.status == POOL_REFUSED && writes[i].result.error == -EAGAIN;
	}
	harness_wait(&harness, &pause.answered);
	cr_assert_geq(refused, 32);
	cr_assert_eq(pause.result.error, -EAGAIN);
	cr_assert_not(vm.gone);

	/* What could not be asked did not change the VM. */
	cr_assert_eq(pool_vm_state(vm.vm), POOL_VM_RUNNING);
	memset(&pause, 0, sizeof(pause));
	pool_vm_pause(vm.vm, asked_done, &pause);
	harness_wait(&harness, &pause.answered);
	cr_assert_eq(pause.result.status, POOL_OK, "%s", pause.result.detail.text);
	close_and_count();
}

/* ---- the loader ---- */

static struct asked load;

static void load_once(void)
{
	int files[2] = { harness_file("{", 1), harness_file("", 0) };

	memset(&load, 0, sizeof(load));
	cr_assert_eq(pool_load(harness.pool, files[0], files[1], true, NULL, asked_load, &load), 0);
	(void)close(files[0]);
	(void)close(files[1]);
	harness_wait(&harness, &load.answered);
}

static void loader_lies(const char *ways, enum pool_event_kind kind)
{
	static struct started_vm vm;

	open_with(ways);
	load_once();
	cr_assert_eq(load.result.status, POOL_WORKER_DIED, "%s: %s", ways, load.result.detail.text);
	cr_assert_eq(load.state, -1);
	cr_assert_geq(harness.events[kind], 1, "%s", ways);
	(void)start(&vm); /* and workers do not notice */
	close_and_count();
}

#define LOADER_LIES(way, kind)                     \
	Test(hostile, a_loader_that_##way)         \
	{                                          \
		loader_lies("loader=" #way, kind); \
	}
LOADER_LIES(silent, POOL_EVENT_WORKER_STALLED)
LOADER_LIES(fails_forever, POOL_EVENT_LOADER_ENDED)
LOADER_LIES(ready_forever, POOL_EVENT_WORKER_LIED)
LOADER_LIES(creeps, POOL_EVENT_WORKER_STALLED)
LOADER_LIES(dies, POOL_EVENT_LOADER_ENDED)
LOADER_LIES(shapeless, POOL_EVENT_WORKER_LIED)
LOADER_LIES(unsealed, POOL_EVENT_WORKER_LIED)
LOADER_LIES(answers_another, POOL_EVENT_WORKER_LIED)
LOADER_LIES(is_a_kernel, POOL_EVENT_WORKER_LIED)

static void load_kernel_once(void)
{
	int files[3] = { harness_file("kernel", 6), harness_file("", 0), harness_file("", 0) };

	memset(&load, 0, sizeof(load));
	cr_assert_eq(pool_kernel_load(harness.pool, files[0], files[1], files[2], NULL, asked_kernel, &load), 0);
	for (unsigned i = 0; i < 3; i++)
		(void)close(files[i]);
	harness_wait(&harness, &load.answered);
}

Test(hostile, a_loader_that_is_honest_about_a_kernel)
{
	open_with("");
	load_kernel_once();
	cr_assert_eq(load.result.status, POOL_OK, "%s", load.result.detail.text);
	cr_assert_str_eq(load.kernel.version, "6.1?[2J?");
	close_and_count();
}

Test(hostile, a_loader_that_does_not_end_a_kernels_version)
{
	open_with("kernel=endless_version");
	load_kernel_once();
	cr_assert_eq(load.result.status, POOL_OK, "%s", load.result.detail.text);
	cr_assert_eq(strnlen(load.kernel.version, sizeof(load.kernel.version)), sizeof(load.kernel.version) - 1);
	close_and_count();
}

static void kernel_loader_lies(const char *ways)
{
	open_with(ways);
	load_kernel_once();
	cr_assert_eq(load.result.status, POOL_WORKER_DIED, "%s: %s", ways, load.result.detail.text);
	cr_assert_geq(harness.events[POOL_EVENT_WORKER_LIED], 1, "%s", ways);
	close_and_count();
}

#define KERNEL_LIES(way)                            \
	Test(hostile, a_loader_whose_kernel_##way)  \
	{                                           \
		kernel_loader_lies("kernel=" #way); \
	}
KERNEL_LIES(formless)
KERNEL_LIES(oddly_packed)
KERNEL_LIES(without_entries)
KERNEL_LIES(with_more_entries)
KERNEL_LIES(elf_in_elf)
KERNEL_LIES(pvh_without_elf)
KERNEL_LIES(unwritten)
KERNEL_LIES(elf_unwritten)
KERNEL_LIES(empty)
KERNEL_LIES(too_large)
KERNEL_LIES(wants_all_memory)
KERNEL_LIES(takes_any_cmdline)
KERNEL_LIES(is_a_state)

Test(hostile, a_loader_that_dies_over_a_kernel_ends_no_other_load)
{
	static struct asked snapshot;
	int files[3] = { harness_file("kernel", 6), harness_file("", 0), harness_file("", 0) };

	open_with("kernel=empty");
	memset(&load, 0, sizeof(load));
	cr_assert_eq(pool_kernel_load(harness.pool, files[0], files[1], files[2], NULL, asked_kernel, &load), 0);
	cr_assert_eq(pool_load(harness.pool, files[0], files[1], false, NULL, asked_load, &snapshot), 0);
	harness_wait(&harness, &load.answered);
	harness_wait(&harness, &snapshot.answered);
	cr_assert_eq(load.result.status, POOL_WORKER_DIED);
	cr_assert_eq(snapshot.result.status, POOL_OK, "%s", snapshot.result.detail.text);
	(void)close(snapshot.state);
	close_and_count();
}

#define MANY_LOADS 200

static struct asked many_loads[MANY_LOADS];

static void begin_many_loads(void)
{
	int files[2] = { harness_file("{", 1), harness_file("", 0) };

	memset(many_loads, 0, sizeof(many_loads));
	for (unsigned i = 0; i < MANY_LOADS; i++)
		cr_assert_eq(pool_load(harness.pool, files[0], files[1], false, NULL, asked_load, &many_loads[i]), 0);
}

Test(hostile, many_loads_take_their_turn)
{
	open_with("");
	begin_many_loads();
	for (unsigned i = 0; i < MANY_LOADS; i++) {
		harness_wait(&harness, &many_loads[i].answered);
		cr_assert_eq(many_loads[i].result.status, POOL_OK, "load %u: %s", i, many_loads[i].result.detail.text);
		(void)close(many_loads[i].state);
	}
	close_and_count();
}

Test(hostile, loads_that_wait_can_be_cancelled_and_are_told_of_the_end)
{
	unsigned cancelled = 0;

	open_with("loader=silent");
	begin_many_loads();
	for (unsigned i = 0; i < MANY_LOADS; i += 2)
		pool_load_cancel(harness.pool, &many_loads[i]);
	cr_assert_not(many_loads[2].answered, "told from within the call");
	harness_turn(&harness, 10);
	for (unsigned i = 0; i < MANY_LOADS; i++)
		cancelled += many_loads[i].answered && many_loads[i].result.status == POOL_CANCELLED;
	cr_assert_eq(cancelled, MANY_LOADS / 2);
	/* Those that wait are told, too, when there is no pool any more. */
	close_and_count();
	for (unsigned i = 0; i < MANY_LOADS; i++)
		cr_assert(many_loads[i].answered);
}

/* ---- the zygote ---- */

static void set_flag(void *opaque)
{
	*(bool *)opaque = true;
}

Test(hostile, a_zygote_that_does_not_answer_is_replaced_and_the_request_told)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;

	open_with("zygote=deaf");
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_WORKER_DIED, "%s", vm.result.detail.text);
	wait_for_event(POOL_EVENT_ZYGOTE_ENDED, 1);
	close_and_count();
}

Test(hostile, a_zygote_that_does_not_answer_does_not_hold_up_the_end)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	bool stopped = false;

	open_with("zygote=deaf");
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, 0, &vm);
	harness_turn(&harness, 50);
	pool_stop(harness.pool, set_flag, &stopped);
	harness_wait(&harness, &stopped);
	cr_assert_eq(vm.result.status, POOL_SHUTTING_DOWN);
	close_and_count();
}

Test(hostile, while_no_zygote_starts_requests_are_told)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm waiting, late;

	open_with("");
	harness_turn(&harness, 50);
	cr_assert_eq(setenv("EMBER_IMPOSTOR", "zygote=counts_much", 1), 0); /* those that come after this one */
	cr_assert_eq(kill(harness_child("ember-zygote"), SIGKILL), 0);
	wait_for_event(POOL_EVENT_ZYGOTE_ENDED, 1);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, 0, &waiting);
	harness_wait(&harness, &waiting.answered);
	cr_assert_eq(waiting.result.status, POOL_SHAPE_FAILING, "%s", waiting.result.detail.text);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &late);
	harness_wait(&harness, &late.answered);
	cr_assert_eq(late.result.status, POOL_SHAPE_FAILING, "%s", late.result.detail.text);
	cr_assert_gt(late.result.retry_after_ms, 0);

	cr_assert_eq(setenv("EMBER_IMPOSTOR", "", 1), 0);
	harness_configure(&harness, &shape, 1, 1);
	harness_wait_warm(&harness, &shape, 1);
	close_and_count();
}

Test(hostile, a_zygote_whose_probe_cannot_be_is_refused)
{
	struct error_detail detail = { "" };
	struct pool_options options = { .base = event_base_new(), .executable = POOL_ZYGOTE };
	struct pool *pool = NULL;

	cr_assert_eq(setenv("EMBER_IMPOSTOR", "zygote=counts_much", 1), 0);
	cr_assert_lt(pool_new(&options, &pool, &detail), 0);
	cr_assert_neq(detail.text[0], '\0');
	cr_assert_null(pool);
	event_base_free(options.base);
}

#define ZYGOTE_LIES(way)                                                             \
	Test(hostile, a_zygote_that_##way)                                           \
	{                                                                            \
		struct machine_shape shape = harness_shape(1, 16);                   \
		static struct started_vm vm;                                         \
		open_with("zygote=" #way);                                           \
		(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, 0, &vm); \
		harness_wait(&harness, &vm.answered);                                \
		wait_for_event(POOL_EVENT_ZYGOTE_ENDED, 1);                          \
		harness_close(&harness);                                             \
	}
ZYGOTE_LIES(dies)
ZYGOTE_LIES(says_twice)
ZYGOTE_LIES(names_nobody)

/* ---- callers ---- */

static void restart(void *opaque, const struct pool_result *result, struct pool_vm *vm,
		    const struct pool_started *started);
static unsigned restarts;

static void start_warm(void)
{
	struct pool_start wanted = { .temperature = POOL_TEMPERATURE_WARM, .shape = harness_shape(1, 16) };

	wanted.image = harness_file("x", 1);
	cr_assert_not_null(pool_vm_start(harness.pool, &wanted, restart, NULL));
	(void)close(wanted.image);
}

static void restart(void *opaque, const struct pool_result *result, struct pool_vm *vm,
		    const struct pool_started *started)
{
	(void)opaque;
	(void)vm;
	(void)started;
	restarts++;
	if (result->status != POOL_SHUTTING_DOWN)
		start_warm();
}

Test(hostile, a_caller_that_asks_again_at_once_does_not_stop_the_loop)
{
	open_with("");
	start_warm();
	harness_turn(&harness, 20); /* which a timer ends, if it is let */
	cr_assert_gt(restarts, 1);
	close_and_count();
}

Test(hostile, a_pool_that_is_freed_while_it_forks_leaves_nobody_behind)
{
	for (int i = 0; i < 20; i++) {
		open_with(""); /* which asks for the loader, and is not told that it runs before the loop turns */
		(void)usleep((useconds_t)i * 500);
		close_and_count();
	}
}

Test(hostile, a_request_that_has_failed_can_still_be_cancelled)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm first, second;
	struct pool_request *requests[2];
	unsigned before;

	open_with("");
	before = open_files();
	requests[0] = harness_boot(&harness, &shape, POOL_TEMPERATURE_WARM, 0, &first);
	requests[1] = harness_boot(&harness, &shape, POOL_TEMPERATURE_WARM, 0, &second);
	pool_request_cancel(requests[0]);
	pool_request_cancel(requests[0]);
	pool_request_cancel(requests[1]);
	harness_wait(&harness, &first.answered);
	harness_wait(&harness, &second.answered);
	cr_assert_eq(first.result.status, POOL_EXHAUSTED);
	cr_assert_eq(second.result.status, POOL_EXHAUSTED);
	cr_assert_leq(open_files(), before + 1);
	close_and_count();
}

Test(hostile, a_deadline_that_has_passed_is_told_though_a_slot_is_warm)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;

	open_with("");
	harness_configure(&harness, &shape, 1, 1);
	harness_wait_warm(&harness, &shape, 1);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 1, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_DEADLINE);
	close_and_count();
}

Test(hostile, a_shape_that_cannot_be_is_refused)
{
	struct machine_shape shape = harness_shape(0, 16);
	static struct started_vm vm;

	open_with("");
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_REFUSED);
	cr_assert_eq(vm.result.error, -EINVAL);
	close_and_count();
}

Test(hostile, a_cold_start_that_waits_does_not_keep_others_from_what_is_warm)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm cold, warm;

	open_with("");
	harness_configure(&harness, &shape, 1, 1);
	harness_wait_warm(&harness, &shape, 1);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, monotonic_ns() + 200000000, &cold);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_WARM, 0, &warm);
	harness_wait(&harness, &warm.answered);
	cr_assert_eq(warm.result.status, POOL_OK, "%s", warm.result.detail.text);
	close_and_count();
}

Test(hostile, a_start_that_hangs_does_not_hold_up_another_shapes_refill)
{
	struct machine_shape hanging = harness_shape(1, 16), other = harness_shape(1, 32);
	static struct started_vm vm;

	open_with("worker=never_starts");
	harness_configure(&harness, &hanging, 1, 1);
	harness_wait_warm(&harness, &hanging, 1);
	(void)harness_boot(&harness, &hanging, POOL_TEMPERATURE_WARM, 0, &vm);
	harness_configure(&harness, &other, 1, 1);
	while (harness_status(&harness, &other).warm == 0 && !vm.answered)
		harness_turn(&harness, 2);
	cr_assert_not(vm.answered, "it hung until it was killed, and the other shape waited for that");
	close_and_count();
}

Test(hostile, without_descriptors_nobody_is_lost_and_later_all_goes_on)
{
	struct machine_shape shape = harness_shape(1, 16);
	struct rlimit limit, few;
	unsigned zygotes;

	open_with("");
	harness_turn(&harness, 50);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	for (unsigned spare = 0; spare < 6; spare++) {
		few.rlim_cur = open_files() + spare;
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
		harness_configure(&harness, &shape, 4, 8);
		harness_turn(&harness, 150);
	}
	zygotes = harness.events[POOL_EVENT_ZYGOTE_ENDED];
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	harness_wait_warm(&harness, &shape, 4);
	cr_assert_eq(zygotes, 0, "the zygote is not to blame");
	close_and_count();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool with real workers on real KVM: refilling, queueing, starting, stopping, and workers that die at every state.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/monotonic.h"
#include "pool_harness.h"

static struct harness harness;

static void set_up(void)
{
	harness_open(&harness);
}

static void tear_down(void)
{
	harness_close(&harness);
}

TestSuite(pool, .init = set_up, .fini = tear_down, .timeout = 600);

Test(pool, knows_the_host)
{
	const struct message_host *host = pool_host(harness.pool);

	cr_assert_eq(host->api_version, 12);
	cr_assert_geq(host->msr_count, 37);
	cr_assert_gt(host->tsc_khz, 0);
}

Test(pool, a_shape_is_kept_at_its_minimum_and_shrinks_to_a_new_one)
{
	struct machine_shape shape = harness_shape(1, 16);

	harness_configure(&harness, &shape, 3, 8);
	harness_wait_warm(&harness, &shape, 3);
	harness_configure(&harness, &shape, 1, 8);
	harness_wait_warm(&harness, &shape, 1);
	harness_configure(&harness, &shape, 0, 0);
	harness_wait_warm(&harness, &shape, 0);
}

Test(pool, a_warm_slot_boots_a_guest_and_is_replaced)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	static struct asked asked = { 0 };

	harness_configure(&harness, &shape, 1, 4);
	harness_wait_warm(&harness, &shape, 1);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_WARM, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	cr_assert_not(vm.started.cold);
	cr_assert_eq(vm.started.phases_ns[MESSAGE_PHASE_VM_CREATE], MESSAGE_PHASE_NONE);
	cr_assert_neq(vm.started.phases_ns[MESSAGE_PHASE_MEMORY_MAP], MESSAGE_PHASE_NONE);

	harness_wait_warm(&harness, &shape, 1);
	while (vm.signals[0] == 0)
		harness_turn(&harness, 2);
	pool_vm_console_read(vm.vm, 0, MESSAGE_CONSOLE_MAX, asked_read, &asked);
	harness_wait(&harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_OK);
	cr_assert_eq(asked.size, strlen("hello from long mode\n"));
	cr_assert_eq(memcmp(asked.data, "hello from long mode\n", asked.size), 0);

	pool_vm_stop(vm.vm, false, "released");
	harness_wait(&harness, &vm.gone);
	cr_assert_str_eq(vm.reason, "released");
}

Test(pool, a_cold_start_pays_for_the_whole_construction)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;

	harness_configure(&harness, &shape, 1, 4);
	harness_wait_warm(&harness, &shape, 1);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	cr_assert(vm.started.cold);
	for (int phase = MESSAGE_PHASE_QUEUE; phase <= MESSAGE_PHASE_MEMORY_MAP; phase++)
		cr_assert_neq(vm.started.phases_ns[phase], MESSAGE_PHASE_NONE, "%s",
			      message_phase_name((enum message_phase)phase));
	cr_assert_eq(harness_status(&harness, &shape).warm, 1, "the warm slot was not taken");
}

Test(pool, warm_only_fails_at_once_where_nothing_is_warm)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;

	harness_configure(&harness, &shape, 0, 4);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_WARM, 0, &vm);
	cr_assert_not(vm.answered, "answered from within the call");
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_EXHAUSTED);
	cr_assert_gt(vm.result.retry_after_ms, 0);
	cr_assert_null(vm.vm);
}

Test(pool, beyond_the_maximum_requests_queue_then_fail_by_deadline_or_bound)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm first, waiting[4], expired, too_many;

	harness_configure(&harness, &shape, 0, 1);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &first);
	harness_wait(&harness, &first.answered);
	cr_assert_eq(first.result.status, POOL_OK);

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, monotonic_ns() + 50000000, &expired);
	harness_wait(&harness, &expired.answered);
	cr_assert_eq(expired.result.status, POOL_DEADLINE);
	cr_assert_gt(expired.result.retry_after_ms, 0);

	for (int i = 0; i < 4; i++)
		(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &waiting[i]);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &too_many);
	harness_wait(&harness, &too_many.answered);
	cr_assert_eq(too_many.result.status, POOL_EXHAUSTED);
	cr_assert_gt(too_many.result.retry_after_ms, 0);

	/* Those in the queue are served in their order as slots come free. */
	pool_vm_stop(first.vm, true, "killed");
	for (int i = 0; i < 4; i++) {
		harness_wait(&harness, &waiting[i].answered);
		cr_assert_eq(waiting[i].result.status, POOL_OK, "%s", waiting[i].result.detail.text);
		if (i < 3)
			cr_assert_not(waiting[i + 1].answered);
		pool_vm_stop(waiting[i].vm, true, "killed");
		harness_wait(&harness, &waiting[i].gone);
	}
}

Test(pool, a_queued_request_can_be_cancelled)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	struct pool_request *request;

	harness_configure(&harness, &shape, 0, 1);
	request = harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, 0, &vm);
	pool_request_cancel(request);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_CANCELLED);
	harness_turn(&harness, 300);
	cr_assert_eq(harness_status(&harness, &shape).leased, 0);
	cr_assert_eq(harness_status(&harness, &shape).queued, 0);
}

Test(pool, pausing_twice_is_refused_and_resuming_goes_on)
{
	struct machine_shape shape = harness_shape(2, 16);
	static struct started_vm vm;
	static struct asked pause = { 0 }, again = { 0 }, resume = { 0 };

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);

	pool_vm_pause(vm.vm, asked_done, &pause);
	harness_wait(&harness, &pause.answered);
	cr_assert_eq(pause.result.status, POOL_OK);
	cr_assert_eq(pool_vm_state(vm.vm), POOL_VM_PAUSED);
	pool_vm_pause(vm.vm, asked_done, &again);
	cr_assert_not(again.answered);
	harness_wait(&harness, &again.answered);
	cr_assert_eq(again.result.status, POOL_WRONG_STATE);
	pool_vm_resume(vm.vm, asked_done, &resume);
	harness_wait(&harness, &resume.answered);
	cr_assert_eq(resume.result.status, POOL_OK);
	cr_assert_eq(pool_vm_state(vm.vm), POOL_VM_RUNNING);
}

/* Snapshot a VM, load it, restore it: the three by the processes that do it in the daemon. */
static void snapshot_and_load(struct pool_vm *vm, int *ret_memory, struct asked *loaded)
{
	struct pool_snapshot snapshot = {
		.state_file = memfd_create("state.json", MFD_CLOEXEC),
		.memory_file = memfd_create("memory.snap", MFD_CLOEXEC),
		.resume = true,
	};
	static struct asked taken = { 0 };

	pool_vm_snapshot(vm, &snapshot, NULL, asked_snapshot, &taken);
	harness_wait(&harness, &taken.answered);
	cr_assert_eq(taken.result.status, POOL_OK, "%s", taken.result.detail.text);
	cr_assert_eq(taken.snapshot.memory_bytes, 16 * MIB);
	cr_assert_lt(taken.snapshot.data_bytes, MIB, "zero pages are holes");

	memset(loaded, 0, sizeof(*loaded));
	cr_assert_eq(pool_load(harness.pool, snapshot.state_file, snapshot.memory_file, true, NULL, asked_load, loaded),
		     0);
	harness_wait(&harness, &loaded->answered);
	cr_assert_eq(loaded->result.status, POOL_OK, "%s", loaded->result.detail.text);
	cr_assert_eq(loaded->loaded.memory_size, 16 * MIB);
	cr_assert_geq(loaded->state, 0);
	(void)close(snapshot.state_file);
	*ret_memory = snapshot.memory_file;
}

Test(pool, a_snapshot_is_taken_loaded_and_restored_in_another_worker)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm, clone;
	static struct asked loaded, read = { 0 };
	struct pool_start start = { .restore = true, .shape = shape, .image = -1 };

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	while (vm.signals[0] == 0)
		harness_turn(&harness, 2);
	snapshot_and_load(vm.vm, &start.memory, &loaded);
	start.state = loaded.state;
	(void)harness_start(&harness, &start, &clone);
	harness_wait(&harness, &clone.answered);
	cr_assert_eq(clone.result.status, POOL_OK, "%s", clone.result.detail.text);
	cr_assert_neq(pool_vm_pid(clone.vm), pool_vm_pid(vm.vm));
	cr_assert_gt(clone.started.entered_ns, clone.started.injected_ns);

	pool_vm_console_read(clone.vm, 0, 100, asked_read, &read);
	harness_wait(&harness, &read.answered);
	cr_assert_eq(read.size, 0, "what the original printed is the original's");
}

Test(pool, a_memory_file_that_is_cut_ends_its_vm_with_that_reason_and_nobody_else)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm, clone;
	static struct asked loaded, pause = { 0 };
	struct pool_start start = { .restore = true, .shape = shape, .image = -1 };
	static struct asked taken = { 0 };
	struct pool_snapshot snapshot = {
		.state_file = memfd_create("state.json", MFD_CLOEXEC),
		.memory_file = memfd_create("memory.snap", MFD_CLOEXEC),
	};

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	while (vm.signals[0] == 0)
		harness_turn(&harness, 2);
	snapshot_and_load(vm.vm, &start.memory, &loaded);
	start.state = loaded.state;
	(void)harness_start(&harness, &start, &clone);
	harness_wait(&harness, &clone.answered);
	cr_assert_eq(clone.result.status, POOL_OK, "%s", clone.result.detail.text);

	cr_assert_eq(ftruncate(start.memory, 0), 0);
	/* The worker reads all of the memory. */
	pool_vm_snapshot(clone.vm, &snapshot, NULL, asked_snapshot, &taken);
	harness_wait(&harness, &taken.answered);
	cr_assert_eq(taken.result.status, POOL_WORKER_DIED);
	harness_wait(&harness, &clone.gone);
	cr_assert_str_eq(clone.reason, "memory_file_truncated");

	pool_vm_pause(vm.vm, asked_done, &pause);
	harness_wait(&harness, &pause.answered);
	cr_assert_eq(pause.result.status, POOL_OK);
}

Test(pool, garbage_is_refused_by_the_loader_and_the_next_load_works)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	static struct asked garbage = { 0 }, loaded;
	int files[2] = { harness_file("{\"magic\": \"nonsense\"", 20), harness_file("", 0) };
	int memory;

	cr_assert_eq(pool_load(harness.pool, files[0], files[1], true, NULL, asked_load, &garbage), 0);
	harness_wait(&harness, &garbage.answered);
	cr_assert_eq(garbage.result.status, POOL_REFUSED);
	cr_assert_neq(garbage.result.detail.text[0], '\0');
	cr_assert_eq(garbage.state, -1);

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	snapshot_and_load(vm.vm, &memory, &loaded);
}

Test(pool, every_load_has_a_loader_of_its_own)
{
	static struct asked garbage[2];
	int files[2] = { harness_file("{\"magic\": \"nonsense\"", 20), harness_file("", 0) };
	pid_t loaders[3] = { 0 };

	for (int i = 0; i < 3; i++) {
		while ((loaders[i] = harness_child("ember-loader")) == 0 || (i > 0 && loaders[i] == loaders[i - 1]))
			harness_turn(&harness, 1);
		if (i == 2)
			break;
		cr_assert_eq(pool_load(harness.pool, files[0], files[1], true, NULL, asked_load, &garbage[i]), 0);
		harness_wait(&harness, &garbage[i].answered);
	}
	cr_assert_eq(harness.events[POOL_EVENT_LOADER_ENDED], 0, "an end as it should be is no news");
}

Test(pool, processes_are_shown_under_their_names)
{
	struct machine_shape shape = harness_shape(1, 16);

	harness_configure(&harness, &shape, 1, 2);
	harness_wait_warm(&harness, &shape, 1);
	cr_assert_gt(harness_child("ember-zygote"), 0);
	cr_assert_gt(harness_child("ember-worker"), 0);
	while (harness_child("ember-loader") == 0)
		harness_turn(&harness, 1);
}

/* ---- death at each state ---- */

struct victim {
	enum slot_state state;
	pid_t pid;
};

static void find_victim(void *opaque, const struct pool_worker_status *status)
{
	struct victim *victim = opaque;

	if (status->state == victim->state && status->pid > 0)
		victim->pid = status->pid;
}

static pid_t worker_in(enum slot_state state)
{
	struct victim victim = { .state = state };

	pool_each_worker(harness.pool, find_victim, &victim);
	return victim.pid;
}

Test(pool, a_worker_has_a_session_of_its_own_and_can_write_no_more_than_a_snapshot)
{
	struct machine_shape shape = harness_shape(1, 32);
	char path[64], line[256] = "";
	FILE *limits;
	pid_t pid;

	harness_configure(&harness, &shape, 1, 2);
	harness_wait_warm(&harness, &shape, 1);
	pid = worker_in(SLOT_WARM);
	cr_assert_neq(getsid(pid), getsid(0), "an interrupt from our terminal would end it");

	(void)snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
	limits = fopen(path, "r");
	cr_assert_not_null(limits);
	while (!strstr(line, "Max file size"))
		cr_assert_not_null(fgets(line, sizeof(line), limits));
	(void)fclose(limits);
	cr_assert_not_null(strstr(line, " 33554432 "), "%s", line);
}

Test(pool, a_worker_killed_while_it_is_built_is_replaced_after_a_backoff)
{
	struct machine_shape shape = harness_shape(1, 16);

	harness_configure(&harness, &shape, 1, 2);
	while (worker_in(SLOT_BUILDING) == 0)
		(void)event_base_loop(harness.base, EVLOOP_ONCE);
	cr_assert_eq(kill(worker_in(SLOT_BUILDING), SIGKILL), 0);
	while (harness.events[POOL_EVENT_WORKER_ENDED] == 0)
		harness_turn(&harness, 1);
	cr_assert_eq(harness_status(&harness, &shape).failures, 1);
	cr_assert_eq(harness.events[POOL_EVENT_SHAPE_BACKOFF], 1);
	harness_wait_warm(&harness, &shape, 1);
}

Test(pool, a_worker_killed_while_warm_is_replaced)
{
	struct machine_shape shape = harness_shape(1, 16);
	pid_t pid;

	harness_configure(&harness, &shape, 1, 2);
	harness_wait_warm(&harness, &shape, 1);
	pid = worker_in(SLOT_WARM);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	while (harness.events[POOL_EVENT_WORKER_ENDED] == 0)
		harness_turn(&harness, 1);
	harness_wait_warm(&harness, &shape, 1);
	cr_assert_neq(worker_in(SLOT_WARM), pid);
}

Test(pool, a_worker_killed_while_it_starts_a_vm_gives_one_answer)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;

	harness_configure(&harness, &shape, 1, 2);
	harness_wait_warm(&harness, &shape, 1);
	cr_assert_eq(kill(worker_in(SLOT_WARM), SIGSTOP), 0);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_WARM, 0, &vm);
	harness_turn(&harness, 20);
	cr_assert_not(vm.answered);
	cr_assert_eq(kill(worker_in(SLOT_STARTING), SIGKILL), 0);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_WORKER_DIED);
	harness_wait_warm(&harness, &shape, 1);
}

Test(pool, a_worker_killed_while_leased_ends_its_vm_and_answers_who_waits)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	static struct asked pause = { 0 };

	harness_configure(&harness, &shape, 1, 2);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(kill(pool_vm_pid(vm.vm), SIGSTOP), 0);
	pool_vm_pause(vm.vm, asked_done, &pause);
	cr_assert_eq(kill(pool_vm_pid(vm.vm), SIGKILL), 0);
	harness_wait(&harness, &vm.gone);
	harness_wait(&harness, &pause.answered);
	cr_assert_str_eq(vm.reason, "worker_killed");
	cr_assert_eq(pause.result.status, POOL_WORKER_DIED);
	harness_wait_warm(&harness, &shape, 1);
}

Test(pool, a_worker_that_does_not_react_is_stopped_by_force)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(kill(pool_vm_pid(vm.vm), SIGSTOP), 0);
	pool_vm_stop(vm.vm, false, "released");
	harness_wait(&harness, &vm.gone);
	cr_assert_str_eq(vm.reason, "released");
}

Test(pool, a_shape_that_cannot_be_built_is_told_and_another_does_not_notice)
{
	struct machine_shape good = harness_shape(1, 16);
	struct machine_shape bad = harness_shape(1, 32);
	static struct started_vm vm, other;

	harness_configure(&harness, &bad, 1, 2);
	for (int killed = 0; killed < 3;) {
		pid_t pid = worker_in(SLOT_BUILDING);

		if (pid > 0 && kill(pid, SIGKILL) == 0) {
			unsigned ended = harness.events[POOL_EVENT_WORKER_ENDED];

			while (harness.events[POOL_EVENT_WORKER_ENDED] == ended)
				harness_turn(&harness, 1);
			killed++;
		}
		(void)event_base_loop(harness.base, EVLOOP_ONCE);
	}
	cr_assert_geq(harness_status(&harness, &bad).failures, 3);
	(void)harness_boot(&harness, &bad, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_SHAPE_FAILING);
	cr_assert_gt(vm.result.retry_after_ms, 0);

	(void)harness_boot(&harness, &good, POOL_TEMPERATURE_ANY, 0, &other);
	harness_wait(&harness, &other.answered);
	cr_assert_eq(other.result.status, POOL_OK);
}

static void set_flag(void *opaque)
{
	*(bool *)opaque = true;
}

Test(pool, stopping_ends_everything_and_everyone_is_told)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm, queued;
	bool stopped = false;

	harness_configure(&harness, &shape, 2, 2);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_COLD, 0, &queued);
	pool_stop(harness.pool, set_flag, &stopped);
	harness_wait(&harness, &stopped);
	cr_assert(vm.gone);
	cr_assert(queued.answered);
	cr_assert_eq(queued.result.status, POOL_SHUTTING_DOWN);
	pool_each_worker(harness.pool, find_victim, &(struct victim){ .state = SLOT_STATE_COUNT });
}

Test(pool, a_zygote_that_dies_is_replaced_and_vms_live_on)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm, next;
	static struct asked pause = { 0 };

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(kill(harness_child("ember-zygote"), SIGKILL), 0);
	while (harness.events[POOL_EVENT_ZYGOTE_ENDED] == 0)
		harness_turn(&harness, 1);

	pool_vm_pause(vm.vm, asked_done, &pause);
	harness_wait(&harness, &pause.answered);
	cr_assert_eq(pause.result.status, POOL_OK);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &next);
	harness_wait(&harness, &next.answered);
	cr_assert_eq(next.result.status, POOL_OK, "%s", next.result.detail.text);
}

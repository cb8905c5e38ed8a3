/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are taken away: by rpc.cancel, by their deadline, by a client that leaves, and by a deadline that is past when they come.
 *
 * Each method of the protocol's table has rows here, one for each step in which it can be held open from outside: by a worker or a loader
 * that is stopped, by a pool that is full, by something that does not come. What becomes of it must be what the method table says.
 * A method without a row fails the test.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image_builder.h"
#include "proto/method.h"
#include "steps.h"
#include "vms.h"

#define STOPPED_MAX 32
#define HELD_ID     "7"

DAEMON_AND_CLIENT(
	"{\"limits\": {\"output_pause_bytes\": 8388608}, \"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 16},"
	" {\"vcpus\": 1, \"memory_mib\": 16, \"min\": 0, \"max\": 1},"
	" {\"vcpus\": 1, \"memory_mib\": 16, \"balloon\": 1, \"min\": 0, \"max\": 1}]}}");

enum way {
	CANCELLED, /* by rpc.cancel */
	LATE,      /* its deadline passes */
	GONE,      /* its connection ends */
	PAST,      /* its deadline is past when it comes */
	WAYS,
};

static const char *const way_names[WAYS] = { "rpc.cancel", "deadline", "dropped connection", "deadline in the past" };

static char vm[VM_ID_TEXT];
static pid_t stopped[STOPPED_MAX];
static size_t stopped_count;
static size_t vms_before;
static size_t removed_before; /* kernels, as the log has it */

struct row {
	const char *method;
	enum method_cancel cancel; /* as the method table has it */
	const char *step;          /* in which it is held open; NULL: it is answered at once */
	const char *params;        /* inner text of the object; "@" stands for the VM, "#" for the daemon's folder */
	void (*arrange)(void);
	void (*reached)(void);        /* wait until it is in that step; NULL: it is once it has been sent */
	void (*expect)(void);         /* once it has been taken away, and all that was stopped goes on */
	void (*expect_nothing)(void); /* where it never began; NULL: the same */
};

/* ---- holding steps open ---- */

static void stop_process(pid_t pid)
{
	cr_assert_lt(stopped_count, STOPPED_MAX);
	cr_assert_gt(pid, 0);
	cr_assert_eq(kill(pid, SIGSTOP), 0);
	stopped[stopped_count++] = pid;
}

static void continue_processes(void)
{
	while (stopped_count > 0)
		(void)kill(stopped[--stopped_count], SIGCONT);
}

static void boot_vm(void)
{
	vm_boot(client, vm);
}

static void stop_worker(void)
{
	json_t *info = callf(client, "vm.info", "{\"vm\": \"%s\"}", vm);

	stop_process((pid_t)int_at(info, "pid"));
	json_decref(info);
}

static void vm_with_stopped_worker(void)
{
	boot_vm();
	stop_worker();
}

static void paused_vm_with_stopped_worker(void)
{
	boot_vm();
	json_decref(callf(client, "vm.pause", "{\"vm\": \"%s\"}", vm));
	stop_worker();
}

static void balloon_with_stopped_worker(void)
{
	json_t *started = client_call(client, "vm.boot",
				      "{\"memory_mib\": 16, \"detach\": true, \"balloon\": {\"target_mib\": 2}}");

	(void)snprintf(vm, sizeof(vm), "%s", text_at(started, "vm"));
	json_decref(started);
	stop_worker();
}

/*
 * Stop the loader that the next load is for. Each serves one load and ends, so the one that is found may be ending: it is the right one
 * when it is still there a while later.
 */
static void stopped_loader(void)
{
	pid_t loader, found = 0;

	do {
		while (!(loader = child_named(daemon_under_test.pid, "ember-loader")))
			sleep_ms(2);
		(void)kill(loader, SIGSTOP);
		sleep_ms(100);
		found = child_named(daemon_under_test.pid, "ember-loader");
	} while (found != loader);
	stop_process(loader);
}

static void vm_with_stopped_loader(void)
{
	boot_vm();
	stopped_loader();
}

/* The folder "made" is a snapshot that nobody has registered. */
static void make_folder(void)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/made", daemon_under_test.folder);
	if (access(path, F_OK) == 0)
		return;
	boot_vm();
	json_decref(callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s\"}", vm, path));
	json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", vm));
}

static void folder_with_stopped_loader(void)
{
	make_folder();
	stopped_loader();
}

static bool is_listed(const char *list_method, const char *member, const char *name)
{
	json_t *list = client_call(client, list_method, NULL), *row;
	bool found = false;
	size_t i;

	json_array_foreach(at(list, member), i, row)
		found |= strcmp(text_at(row, "name"), name) == 0;
	json_decref(list);
	return found;
}

static void registered(void)
{
	make_folder();
	if (!is_listed("snapshot.list", "snapshots", "kept"))
		json_decref(callf(client, "snapshot.register", "{\"name\": \"kept\", \"path\": \"%s/made\"}",
				  daemon_under_test.folder));
}

static void registered_with_stopped_loader(void)
{
	registered();
	stopped_loader();
}

static void registered_and_in_use(void)
{
	registered();
	vm_restore(client, "kept", vm);
}

static void kernel_file(void)
{
	struct built_image image = build_elf();
	char path[160];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/vmlinux", daemon_under_test.folder);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(image.bytes, 1, image.size, file), image.size);
	cr_assert_eq(fclose(file), 0);
	built_free(&image);
}

static void kernel_file_with_stopped_loader(void)
{
	kernel_file();
	stopped_loader();
}

static void kernel_added(void)
{
	kernel_file();
	removed_before = daemon_count_log(&daemon_under_test, "kernel removed");
	if (!is_listed("kernel.list", "kernels", "k"))
		json_decref(callf(client, "kernel.add", "{\"name\": \"k\", \"path\": \"%s/vmlinux\"}",
				  daemon_under_test.folder));
}

/* The one slot of the larger shape is taken. */
static void full_pool(void)
{
	json_t *started = client_call(client, "vm.boot", "{\"memory_mib\": 16, \"detach\": true}");

	json_decref(started);
}

static void wait_queued(void)
{
	bool queued = false;

	while (!queued) {
		json_t *status = client_call(client, "pool.status", NULL), *shape;
		size_t i;

		json_array_foreach(at(status, "shapes"), i, shape)
			queued |= int_at(shape, "queued") > 0;
		json_decref(status);
		sleep_ms(2);
	}
}

/* Every worker that waits for a VM is stopped: what is started next gets no answer. */
static void stopped_warm_workers(void)
{
	json_t *status, *worker;
	size_t i;

	wait_until_warm(client, 1);
	status = client_call(client, "pool.status", NULL);
	json_array_foreach(at(status, "workers"), i, worker)
		if (strcmp(text_at(worker, "state"), "warm") == 0)
			stop_process((pid_t)int_at(worker, "pid"));
	json_decref(status);
}

static void registered_and_stopped_warm_workers(void)
{
	registered();
	stopped_warm_workers();
}

/* ---- what has become of it ---- */

/* A VM whose worker is late is busy until it has answered, and has been changed back. */
static void expect_state(const char *wanted)
{
	char state[32];

	do {
		json_t *info = callf(client, "vm.info", "{\"vm\": \"%s\"}", vm);

		(void)snprintf(state, sizeof(state), "%s", text_at(info, "state"));
		json_decref(info);
		sleep_ms(2);
	} while (strcmp(state, "busy") == 0);
	cr_expect_str_eq(state, wanted);
}

static void expect_running(void)
{
	char *answer;

	expect_state("running");
	answer = vm_command(client, vm, "help");
	cr_expect(answer[0], "the guest says nothing");
	free(answer);
}

static void expect_paused(void)
{
	expect_state("paused");
}

static void wait_state(const char *wanted)
{
	char state[32] = "";

	while (strcmp(state, wanted) != 0) {
		json_t *info = callf(client, "vm.info", "{\"vm\": \"%s\"}", vm);

		(void)snprintf(state, sizeof(state), "%s", text_at(info, "state"));
		json_decref(info);
		sleep_ms(2);
	}
}

static void wait_busy(void)
{
	wait_state("busy");
}

static void wait_paused(void)
{
	wait_state("paused");
}

static void expect_target(void)
{
	int64_t target;
	size_t tries = 0;

	do {
		json_t *told = callf(client, "vm.balloon", "{\"vm\": \"%s\"}", vm);

		target = int_at(told, "target_mib");
		json_decref(told);
		sleep_ms(2);
	} while (target != 2 && ++tries < 100);
	cr_expect_eq(target, 2, "the balloon's target is %lld", (long long)target);
}

static void expect_no_vm(void)
{
	wait_until_vms(client, 0);
}

static void expect_as_many_vms(void)
{
	wait_until_vms(client, vms_before);
	/* A start that goes on in secret would be seen now. */
	perform(client, "server.ping", NULL);
	sleep_ms(50);
	cr_expect_eq(vm_count(client), vms_before);
}

static void expect_no_snapshot(void)
{
	char output[2048];

	expect_running();
	/* The files of one that is given up go when the loader and the file work are done with them. */
	for (int tries = 0; tries < 500; tries++) {
		cr_assert_eq(
			run_program(output, sizeof(output), "ls -A %s | grep new || true", daemon_under_test.folder),
			0);
		if (!output[0])
			break;
		sleep_ms(10);
	}
	cr_expect(!output[0], "left behind: %s", output);
	cr_expect_not(is_listed("snapshot.list", "snapshots", "new"));
}

static void expect_not_registered(void)
{
	sleep_ms(50);
	cr_expect_not(is_listed("snapshot.list", "snapshots", "new"));
}

static void expect_kept(void)
{
	cr_expect(is_listed("snapshot.list", "snapshots", "kept"));
	json_decref(client_call(client, "snapshot.verify", "{\"name\": \"kept\"}"));
}

static void expect_kept_and_in_use(void)
{
	expect_kept();
	expect_running();
	/* It is handed out again: the wish to remove it is gone. */
	vm_restore(client, "kept", vm);
}

static void expect_no_kernel(void)
{
	sleep_ms(50);
	cr_expect_not(is_listed("kernel.list", "kernels", "new"));
}

static void expect_kernel(void)
{
	cr_expect(is_listed("kernel.list", "kernels", "k"));
}

static void expect_no_kernel_k(void)
{
	daemon_wait_log_count(&daemon_under_test, "kernel removed", removed_before + 1);
	cr_expect_not(is_listed("kernel.list", "kernels", "k"));
}

static void expect_serving(void)
{
	vm_boot(client, vm);
}

static void expect_max(int64_t wanted)
{
	json_t *status = client_call(client, "pool.status", NULL), *shape;
	int64_t max = 0;
	size_t i;

	json_array_foreach(at(status, "shapes"), i, shape)
		if (int_at(shape, "memory_mib") == 24)
			max = int_at(shape, "max");
	json_decref(status);
	cr_expect_eq(max, wanted);
}

static void known_shape(void)
{
	json_decref(
		client_call(client, "pool.configure", "{\"vcpus\": 1, \"memory_mib\": 24, \"min\": 0, \"max\": 2}"));
}

static void expect_max_3(void)
{
	expect_max(3);
}

static void expect_max_2(void)
{
	expect_max(2);
}

#define VM "\"vm\": \"@\""

static const struct row rows[] = {
	{ .method = "server.ping", .cancel = METHOD_CANCEL_DROPPED, .params = "" },
	{ .method = "server.info", .cancel = METHOD_CANCEL_DROPPED, .params = "" },
	{ .method = "server.drain",
	  .cancel = METHOD_CANCEL_REVERSED,
	  .step = "a VM runs",
	  .params = "\"stop\": false",
	  .arrange = boot_vm,
	  .expect = expect_serving },
	{ .method = "pool.status", .cancel = METHOD_CANCEL_DROPPED, .params = "" },
	{ .method = "pool.configure",
	  .cancel = METHOD_CANCEL_STANDS,
	  .params = "\"vcpus\": 1, \"memory_mib\": 24, \"min\": 0, \"max\": 3",
	  .arrange = known_shape,
	  .expect = expect_max_3,
	  .expect_nothing = expect_max_2 },
	{ .method = "snapshot.register",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its files are read",
	  .params = "\"name\": \"new\", \"path\": \"#/made\"",
	  .arrange = folder_with_stopped_loader,
	  .expect = expect_not_registered },
	{ .method = "snapshot.list", .cancel = METHOD_CANCEL_DROPPED, .params = "" },
	{ .method = "snapshot.inspect",
	  .cancel = METHOD_CANCEL_DROPPED,
	  .params = "\"name\": \"kept\"",
	  .arrange = registered,
	  .expect = expect_kept },
	{ .method = "snapshot.verify",
	  .cancel = METHOD_CANCEL_DROPPED,
	  .step = "its files are read",
	  .params = "\"name\": \"kept\"",
	  .arrange = registered_with_stopped_loader,
	  .expect = expect_kept },
	{ .method = "snapshot.remove",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "a VM runs from it",
	  .params = "\"name\": \"kept\", \"wait\": true",
	  .arrange = registered_and_in_use,
	  .expect = expect_kept_and_in_use },
	{ .method = "kernel.add",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its file is read",
	  .params = "\"name\": \"new\", \"path\": \"#/vmlinux\"",
	  .arrange = kernel_file_with_stopped_loader,
	  .expect = expect_no_kernel },
	{ .method = "kernel.list", .cancel = METHOD_CANCEL_DROPPED, .params = "" },
	{ .method = "kernel.inspect",
	  .cancel = METHOD_CANCEL_DROPPED,
	  .params = "\"name\": \"k\"",
	  .arrange = kernel_added,
	  .expect = expect_kernel },
	{ .method = "kernel.remove",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its files are deleted",
	  .params = "\"name\": \"k\"",
	  .arrange = kernel_added,
	  .expect = expect_no_kernel_k,
	  .expect_nothing = expect_kernel },
	{ .method = "vm.boot",
	  .cancel = METHOD_CANCEL_ENDED,
	  .step = "it is queued",
	  .params = "\"memory_mib\": 16, \"detach\": true",
	  .arrange = full_pool,
	  .reached = wait_queued,
	  .expect = expect_as_many_vms },
	{ .method = "vm.boot",
	  .cancel = METHOD_CANCEL_ENDED,
	  .step = "its worker has been told",
	  .params = "\"memory_mib\": 8, \"detach\": true",
	  .arrange = stopped_warm_workers,
	  .expect = expect_as_many_vms },
	{ .method = "vm.restore",
	  .cancel = METHOD_CANCEL_ENDED,
	  .step = "its worker has been told",
	  .params = "\"snapshot\": \"kept\", \"detach\": true",
	  .arrange = registered_and_stopped_warm_workers,
	  .expect = expect_as_many_vms },
	{ .method = "vm.restore",
	  .cancel = METHOD_CANCEL_ENDED,
	  .step = "its files are read",
	  .params = "\"snapshot_path\": \"#/made\", \"detach\": true",
	  .arrange = folder_with_stopped_loader,
	  .expect = expect_as_many_vms },
	{ .method = "vm.pause",
	  .cancel = METHOD_CANCEL_REVERSED,
	  .step = "its worker has been told",
	  .params = VM,
	  .arrange = vm_with_stopped_worker,
	  .reached = wait_busy,
	  .expect = expect_running },
	{ .method = "vm.resume",
	  .cancel = METHOD_CANCEL_REVERSED,
	  .step = "its worker has been told",
	  .params = VM,
	  .arrange = paused_vm_with_stopped_worker,
	  .reached = wait_busy,
	  .expect = expect_paused },
	{ .method = "vm.snapshot",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its worker has been told",
	  .params = VM ", \"path\": \"#/new\"",
	  .arrange = vm_with_stopped_worker,
	  .reached = wait_busy,
	  .expect = expect_no_snapshot },
	{ .method = "vm.snapshot",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its worker has been told to leave the VM paused",
	  .params = VM ", \"name\": \"new\", \"resume\": false",
	  .arrange = vm_with_stopped_worker,
	  .reached = wait_busy,
	  .expect = expect_no_snapshot },
	{ .method = "vm.snapshot",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its files are read back",
	  .params = VM ", \"path\": \"#/new\", \"resume\": false",
	  .arrange = vm_with_stopped_loader,
	  .reached = wait_paused,
	  .expect = expect_no_snapshot },
	{ .method = "vm.release",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its worker has been told",
	  .params = VM,
	  .arrange = vm_with_stopped_worker,
	  .expect = expect_no_vm,
	  .expect_nothing = expect_running },
	{ .method = "vm.kill",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its worker is ending",
	  .params = VM,
	  .arrange = vm_with_stopped_worker,
	  .expect = expect_no_vm,
	  .expect_nothing = expect_running },
	{ .method = "vm.power_button",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "its worker has been told",
	  .params = VM,
	  .arrange = vm_with_stopped_worker,
	  .expect = expect_running },
	{ .method = "vm.balloon",
	  .cancel = METHOD_CANCEL_REVERSED,
	  .step = "its worker has been told",
	  .params = VM ", \"target_mib\": 5",
	  .arrange = balloon_with_stopped_worker,
	  .expect = expect_target },
	{ .method = "vm.list", .cancel = METHOD_CANCEL_DROPPED, .params = "" },
	{ .method = "vm.info",
	  .cancel = METHOD_CANCEL_DROPPED,
	  .params = VM,
	  .arrange = boot_vm,
	  .expect = expect_running },
	{ .method = "vm.wait",
	  .cancel = METHOD_CANCEL_DROPPED,
	  .step = "the guest runs",
	  .params = VM ", \"for\": \"exit\"",
	  .arrange = boot_vm,
	  .expect = expect_running },
	{ .method = "vm.console",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "the worker has been asked",
	  .params = VM ", \"action\": \"read\"",
	  .arrange = vm_with_stopped_worker,
	  .expect = expect_running },
	{ .method = "vm.console",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "the guest says nothing",
	  .params = VM ", \"action\": \"read\", \"wait\": true, \"offset\": 1000000",
	  .arrange = boot_vm,
	  .expect = expect_running },
	{ .method = "vm.console",
	  .cancel = METHOD_CANCEL_STANDS,
	  .step = "the worker has been told",
	  .params = VM ", \"action\": \"write\", \"data\": \"\\n\"",
	  .arrange = vm_with_stopped_worker,
	  .expect = expect_running },
	{ .method = "events.subscribe", .cancel = METHOD_CANCEL_STANDS, .params = "\"kinds\": [\"server\"]" },
	{ .method = "rpc.discover", .cancel = METHOD_CANCEL_DROPPED, .params = "" },
	{ .method = "rpc.cancel", .cancel = METHOD_CANCEL_STANDS, .params = "\"id\": 99" },
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* ---- a row, by one of the ways ---- */

static void form_request(const struct row *row, int deadline_ms, char *text, size_t size)
{
	char params[512] = "";
	size_t length = 0;

	for (const char *from = row->params; *from; from++) {
		const char *piece = *from == '@' ? vm : *from == '#' ? daemon_under_test.folder : NULL;

		length += (size_t)snprintf(params + length, sizeof(params) - length, "%.*s",
					   piece ? (int)strlen(piece) : 1, piece ? piece : from);
	}
	if (deadline_ms >= 0)
		(void)snprintf(params + length, sizeof(params) - length, "%s\"deadline_ms\": %d", length ? ", " : "",
			       deadline_ms);
	(void)snprintf(text, size,
		       "{\"jsonrpc\": \"2.0\", \"id\": " HELD_ID ", \"method\": \"%s\", \"params\": {%s}}\n",
		       row->method, params);
}

static json_t *answer_of(struct raw *raw, int id)
{
	for (;;) {
		json_t *answer = raw_receive_answer(raw);

		if (int_at(answer, "id") == id)
			return answer;
		json_decref(answer);
	}
}

static void expect_code(struct raw *raw, int code, const char *what)
{
	json_t *answer = answer_of(raw, 7);

	cr_expect(json_object_get(answer, "error") && int_at(answer, "error.code") == code, "%s: %s", what,
		  json_dumps(answer, 0));
	json_decref(answer);
}

static size_t connections(void)
{
	json_t *info = client_call(client, "server.info", NULL);
	size_t count = (size_t)int_at(info, "connections");

	json_decref(info);
	return count;
}

/* A method that is answered at once cannot be taken away; nor may the try harm it. */
static void take_away_answered(struct raw *raw, const char *request, enum way way)
{
	json_t *answer;

	raw_send(raw, request);
	if (way == GONE) {
		json_decref(answer_of(raw, 7));
		return;
	}
	raw_send(raw,
		 "{\"jsonrpc\": \"2.0\", \"id\": 8, \"method\": \"rpc.cancel\", \"params\": {\"id\": " HELD_ID "}}\n");
	answer = answer_of(raw, 7);
	cr_expect(json_object_get(answer, "result"), "%s: %s", request, json_dumps(answer, 0));
	json_decref(answer);
	answer = answer_of(raw, 8);
	cr_expect(json_is_false(at(answer, "result.cancelled")), "%s", json_dumps(answer, 0));
	json_decref(answer);
}

static void take_away_held(const struct row *row, struct raw *raw, const char *request, enum way way)
{
	json_t *answer;

	raw_send(raw, request);
	if (row->reached)
		row->reached();
	else if (way != LATE)
		raw_send(raw, "{\"jsonrpc\": \"2.0\", \"id\": 9, \"method\": \"server.ping\"}\n");
	if (way == CANCELLED) {
		raw_send(raw,
			 "{\"jsonrpc\": \"2.0\", \"id\": 8, \"method\": \"rpc.cancel\", \"params\": {\"id\": " HELD_ID
			 "}}\n");
		answer = answer_of(raw, 7);
		/* A VM that is killed may be gone already, and a file deleted. */
		cr_expect(row->cancel == METHOD_CANCEL_STANDS || json_object_get(answer, "error"), "%s: %s", request,
			  json_dumps(answer, 0));
		if (json_object_get(answer, "error"))
			cr_expect_eq(int_at(answer, "error.code"), RPC_CANCELLED, "%s", json_dumps(answer, 0));
		json_decref(answer);
	} else if (way == LATE) {
		answer = answer_of(raw, 7);
		cr_expect(row->cancel == METHOD_CANCEL_STANDS || json_object_get(answer, "error"), "%s: %s", request,
			  json_dumps(answer, 0));
		if (json_object_get(answer, "error"))
			cr_expect_eq(int_at(answer, "error.code"), RPC_DEADLINE_EXCEEDED, "%s", json_dumps(answer, 0));
		json_decref(answer);
	} else if (!row->reached) {
		json_decref(answer_of(raw, 9));
	}
}

static void end_vms(void)
{
	json_t *list = client_call(client, "vm.list", NULL), *one;
	size_t i;

	json_array_foreach(at(list, "vms"), i, one)
		json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", text_at(one, "vm")));
	json_decref(list);
	wait_until_vms(client, 0);
}

static void try_row(const struct row *row, enum way way)
{
	char request[1024];
	size_t others;
	struct raw raw;

	fprintf(stderr, "%s, %s: %s\n", row->method, row->step ? row->step : "answered at once", way_names[way]);
	if (row->arrange)
		row->arrange();
	vms_before = vm_count(client);
	others = connections();
	raw_connect(&raw, daemon_under_test.socket_path);
	form_request(row, way == PAST ? 0 : way == LATE ? 200 : -1, request, sizeof(request));
	if (way == PAST) {
		raw_send(&raw, request);
		expect_code(&raw, RPC_DEADLINE_EXCEEDED, request);
	} else if (!row->step) {
		take_away_answered(&raw, request, way);
	} else {
		take_away_held(row, &raw, request, way);
	}
	raw_close(&raw);
	while (connections() != others)
		sleep_ms(2);
	continue_processes();

	if (way == PAST && row->expect_nothing)
		row->expect_nothing();
	else if (row->expect)
		row->expect();
	end_vms();
}

static void try_family(const char *family)
{
	for (size_t i = 0; i < ROW_COUNT; i++)
		for (enum way way = 0; way < WAYS; way++)
			if (strncmp(rows[i].method, family, strlen(family)) == 0)
				try_row(&rows[i], way);
}

Test(cancel_rows, every_method_has_one_that_agrees_with_the_table)
{
	size_t count;
	const struct method *methods = method_table(&count);

	for (size_t i = 0; i < count; i++) {
		bool found = false;

		for (size_t k = 0; k < ROW_COUNT; k++) {
			if (strcmp(rows[k].method, methods[i].name) != 0)
				continue;
			found = true;
			cr_expect_eq(rows[k].cancel, methods[i].cancel, "%s: the table says %s", methods[i].name,
				     method_cancel_name(methods[i].cancel));
		}
		cr_expect(found, "%s has no row: what becomes of it when it is cancelled?", methods[i].name);
	}
	for (size_t k = 0; k < ROW_COUNT; k++)
		cr_expect_not_null(method_find(rows[k].method), "%s", rows[k].method);
}

DAEMON_TEST(cancel, server_methods)
{
	try_family("server.");
}

DAEMON_TEST(cancel, pool_methods)
{
	try_family("pool.");
}

DAEMON_TEST(cancel, snapshot_methods)
{
	try_family("snapshot.");
}

DAEMON_TEST(cancel, kernel_methods)
{
	try_family("kernel.");
}

DAEMON_TEST(cancel, vm_methods)
{
	try_family("vm.");
}

DAEMON_TEST(cancel, rpc_methods)
{
	try_family("events.");
	try_family("rpc.");
}

/* ---- answers that are lost ---- */

static void send_pause(struct raw *raw, const char *id)
{
	char line[256];

	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\": \"2.0\", %s\"method\": \"vm.pause\", \"params\": {\"vm\": \"%s\"}}", id, vm);
	raw_send_line(raw, line);
}

/* Pause the VM for a client that has so much to read already, and reads nothing, that the answer stays in the daemon. */
static void pause_without_reading(struct raw *raw)
{
	boot_vm();
	raw_connect(raw, daemon_under_test.socket_path);
	for (int i = 0; i < 8; i++)
		raw_send_line(raw, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"rpc.discover\"}");
	send_pause(raw, "\"id\": 2, ");
	wait_state("paused");
}

static void leave(struct raw *raw)
{
	size_t before = connections();

	raw_close(raw);
	while (connections() == before)
		sleep_ms(2);
}

DAEMON_TEST(cancel, what_was_done_for_an_answer_that_is_lost_is_undone)
{
	struct raw raw;

	pause_without_reading(&raw);
	leave(&raw);
	expect_running();
}

/* 32 questions are as many as a worker may have. */
DAEMON_TEST(cancel, what_cannot_be_undone_at_once_is_undone_later)
{
	struct raw raw, asking;
	char line[256];

	pause_without_reading(&raw);
	stop_worker();
	raw_connect(&asking, daemon_under_test.socket_path);
	for (int i = 0; i < 32; i++) {
		(void)snprintf(line, sizeof(line),
			       "{\"jsonrpc\": \"2.0\", \"id\": %d, \"method\": \"vm.console\", \"params\": {\"vm\": "
			       "\"%s\", \"action\": \"read\"}}",
			       i, vm);
		raw_send_line(&asking, line);
	}
	json_decref(raw_call(&asking, "server.ping", NULL));
	refused(client, RPC_RESOURCE_EXHAUSTED, NULL, "vm.console", "{s:s, s:s}", "vm", vm, "action", "read");
	leave(&raw);
	continue_processes();
	for (int i = 0; i < 32; i++)
		json_decref(raw_receive_answer(&asking));
	wait_state("running");
	raw_close(&asking);
}

DAEMON_TEST(cancel, what_somebody_else_has_changed_since_stays)
{
	struct raw raw;

	pause_without_reading(&raw);
	json_decref(callf(client, "vm.resume", "{\"vm\": \"%s\"}", vm));
	json_decref(callf(client, "vm.pause", "{\"vm\": \"%s\"}", vm));
	leave(&raw);
	sleep_ms(50);
	expect_paused();
}

DAEMON_TEST(cancel, a_batch_is_an_answer_and_each_of_its_requests_is_cancelled_by_itself)
{
	char line[1024];
	struct raw raw;
	json_t *answer;

	vm_with_stopped_worker();
	raw_connect(&raw, daemon_under_test.socket_path);
	(void)snprintf(
		line, sizeof(line),
		"[{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"vm.pause\", \"params\": {\"vm\": \"%s\"}},"
		" {\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"vm.wait\", \"params\": {\"vm\": \"%s\", \"for\": "
		"\"exit\", \"deadline_ms\": 100}},"
		" {\"jsonrpc\": \"2.0\", \"id\": 3, \"method\": \"server.ping\"}]",
		vm, vm);
	raw_send_line(&raw, line);
	wait_busy();
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 9, \"method\": \"rpc.cancel\", \"params\": {\"id\": 1}}");
	do
		answer = raw_receive(&raw);
	while (!json_is_array(answer) && (json_decref(answer), true));
	cr_expect_eq(json_array_size(answer), 3);
	json_decref(answer);
	continue_processes();
	expect_running();
	raw_close(&raw);
}

DAEMON_TEST(cancel, a_notification_is_cancelled_with_its_connection_and_stands_once_it_is_done)
{
	struct raw raw;

	vm_with_stopped_worker();
	raw_connect(&raw, daemon_under_test.socket_path);
	send_pause(&raw, "");
	wait_busy();
	leave(&raw);
	continue_processes();
	expect_running();

	raw_connect(&raw, daemon_under_test.socket_path);
	send_pause(&raw, "");
	json_decref(raw_call(&raw, "server.ping", NULL));
	expect_paused();
	leave(&raw);
	expect_paused();
}

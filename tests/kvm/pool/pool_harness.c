/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool in a loop of the test's own.
 */
#include "pool_harness.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "kvm/monotonic.h"

#define PATIENCE_NS UINT64_C(240000000000) /* for anything that must happen */

GUEST_IMAGE(hello_long);

static void on_event(void *opaque, const struct pool_event *event)
{
	struct harness *harness = opaque;

	harness->events[event->kind]++;
	if (event->is_error)
		(void)snprintf(harness->last_error, sizeof(harness->last_error), "%s", event->text);
	if (harness->verbose || getenv("EMBER_TEST_VERBOSE"))
		(void)fprintf(stderr, "%s worker %u pid %d vm %llu: %s\n", pool_event_name(event->kind), event->worker,
			      (int)event->pid, (unsigned long long)event->vm, event->text);
}

void harness_open(struct harness *harness)
{
	harness_open_with(harness, POOL_ZYGOTE, 10000);
}

void harness_open_with(struct harness *harness, const char *executable, uint32_t reply_timeout_ms)
{
	struct error_detail detail = { "" };
	struct pool_options options = {
		.executable = executable,
		.worker_uid = 65534,
		.worker_gid = 65534,
		.workers_max = 64,
		.queue_limit = 4,
		.reply_timeout_ms = reply_timeout_ms,
		.stop_grace_ms = 500,
		.default_limits = { .min = 0, .max = 32, .refill_concurrency = 2 },
		.opaque = harness,
		.event = on_event,
	};

	memset(harness, 0, sizeof(*harness));
	harness->base = event_base_new();
	cr_assert_not_null(harness->base);
	options.base = harness->base;
	cr_assert_eq(pool_new(&options, &harness->pool, &detail), 0, "%s", detail.text);
}

void harness_close(struct harness *harness)
{
	harness->pool = pool_free(harness->pool);
	event_base_free(harness->base);
}

void harness_turn(struct harness *harness, unsigned milliseconds)
{
	struct timeval time = { .tv_sec = milliseconds / 1000, .tv_usec = (suseconds_t)(milliseconds % 1000) * 1000 };

	(void)event_base_loopexit(harness->base, &time);
	(void)event_base_dispatch(harness->base);
}

void harness_wait(struct harness *harness, const bool *done)
{
	uint64_t until = monotonic_ns() + PATIENCE_NS;

	while (!*done && monotonic_ns() < until)
		harness_turn(harness, 2);
	cr_assert(*done, "nothing happened; last error: %s", harness->last_error);
}

struct machine_shape harness_shape(uint32_t vcpus, uint64_t memory_mib)
{
	return (struct machine_shape){ .vcpus = vcpus,
				       .cpu_template = CPU_TEMPLATE_HOST,
				       .memory_size = memory_mib * MIB };
}

void harness_configure(struct harness *harness, const struct machine_shape *shape, uint32_t min, uint32_t max)
{
	struct pool_shape_limits limits = { .min = min, .max = max, .refill_concurrency = 2 };
	struct error_detail detail = { "" };

	cr_assert_eq(pool_configure(harness->pool, shape, &limits, &detail), 0, "%s", detail.text);
}

struct finding {
	const struct machine_shape *shape;
	struct pool_shape_status status;
};

static void find_shape(void *opaque, const struct pool_shape_status *status)
{
	struct finding *finding = opaque;

	if (machine_shape_equal(&status->shape, finding->shape))
		finding->status = *status;
}

struct pool_shape_status harness_status(struct harness *harness, const struct machine_shape *shape)
{
	struct finding finding = { .shape = shape };

	pool_each_shape(harness->pool, find_shape, &finding);
	return finding.status;
}

void harness_wait_warm(struct harness *harness, const struct machine_shape *shape, uint32_t count)
{
	uint64_t until = monotonic_ns() + PATIENCE_NS;

	while (harness_status(harness, shape).warm != count && monotonic_ns() < until)
		harness_turn(harness, 5);
	cr_assert_eq(harness_status(harness, shape).warm, count, "last error: %s", harness->last_error);
}

static bool has_title(int pid, const char *title)
{
	char path[64], text[64] = "";
	FILE *arguments;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	arguments = fopen(path, "r");
	if (!arguments)
		return false;
	text[fread(text, 1, sizeof(text) - 1, arguments)] = '\0';
	(void)fclose(arguments);
	return strcmp(text, title) == 0;
}

pid_t harness_child(const char *title)
{
	char path[64];
	FILE *children;
	int pid, found = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	children = fopen(path, "r");
	cr_assert_not_null(children);
	while (found == 0 && fscanf(children, "%d", &pid) == 1) {
		if (has_title(pid, title))
			found = pid;
	}
	(void)fclose(children);
	return found;
}

int harness_file(const void *data, size_t size)
{
	int file = memfd_create("test", MFD_CLOEXEC);

	cr_assert_geq(file, 0);
	cr_assert_eq(write(file, data, size), (ssize_t)size);
	return file;
}

static void on_signalled(void *opaque, uint8_t number, uint64_t count, uint64_t first_ns, uint64_t last_ns)
{
	struct started_vm *vm = opaque;

	(void)first_ns;
	(void)last_ns;
	vm->signals[number] = (unsigned)count;
}

static void on_output(void *opaque)
{
	struct started_vm *vm = opaque;

	vm->outputs++;
}

static void on_vsock_connect(void *opaque, uint32_t port, uint64_t cookie)
{
	struct started_vm *vm = opaque;

	vm->connects++;
	vm->connect_port = port;
	vm->connect_cookie = cookie;
}

static void on_exited(void *opaque, const struct message_exited *exited)
{
	struct started_vm *vm = opaque;

	vm->exited = true;
	vm->exit = *exited;
}

static void on_gone(void *opaque, const char *reason, const char *detail)
{
	struct started_vm *vm = opaque;

	(void)detail;
	cr_assert_not(vm->gone, "a VM is gone twice");
	vm->gone = true;
	vm->vm = NULL;
	(void)snprintf(vm->reason, sizeof(vm->reason), "%s", reason);
}

static void on_started(void *opaque, const struct pool_result *result, struct pool_vm *vm,
		       const struct pool_started *started)
{
	struct started_vm *start = opaque;

	cr_assert_not(start->answered, "a request is answered twice");
	start->answered = true;
	start->result = *result;
	start->vm = vm;
	if (started)
		start->started = *started;
}

struct pool_request *harness_start(struct harness *harness, const struct pool_start *start, struct started_vm *vm)
{
	struct pool_start copy = *start;
	struct pool_request *request;

	memset(vm, 0, sizeof(*vm));
	copy.callbacks = (struct pool_vm_callbacks){
		.opaque = vm,
		.signalled = on_signalled,
		.output = on_output,
		.vsock_connect = on_vsock_connect,
		.exited = on_exited,
		.gone = on_gone,
	};
	request = pool_vm_start(harness->pool, &copy, on_started, vm);
	cr_assert_not_null(request);
	return request;
}

struct pool_request *harness_boot(struct harness *harness, const struct machine_shape *shape,
				  enum pool_temperature temperature, uint64_t deadline_ns, struct started_vm *vm)
{
	struct pool_start start = {
		.temperature = temperature,
		.shape = *shape,
		.deadline_ns = deadline_ns,
		.entry = ENTRY_LONG,
		.image = harness_file(hello_long_image, hello_long_image_size),
		.memory = -1,
		.state = -1,
	};
	struct pool_request *request = harness_start(harness, &start, vm);

	(void)close(start.image);
	return request;
}

void harness_boot_image(struct harness *harness, const struct machine_shape *shape, const struct pool_devices *devices,
			const uint8_t *image, size_t size, struct started_vm *vm)
{
	struct pool_start start = {
		.shape = *shape,
		.entry = ENTRY_LONG,
		.image = harness_file(image, size),
		.devices = devices,
	};

	(void)harness_start(harness, &start, vm);
	(void)close(start.image);
	harness_wait(harness, &vm->answered);
}

void harness_wait_signal(struct harness *harness, struct started_vm *vm, uint8_t number, unsigned count)
{
	uint64_t until = monotonic_ns() + PATIENCE_NS;

	while (vm->signals[number] < count && monotonic_ns() < until) {
		harness_turn(harness, 2);
		for (int i = 100; i < 256; i++)
			cr_assert_eq(vm->signals[i], 0, "step %d", i - 100);
		cr_assert_not(vm->gone, "%s; %s", vm->reason, harness->last_error);
	}
	cr_assert_geq(vm->signals[number], count, "signal %u", number);
}

void harness_snapshot(struct harness *harness, struct pool_vm *vm, const int files[2], int overlay)
{
	struct pool_snapshot snapshot = {
		.state_file = files[0], .memory_file = files[1], .resume = true, .overlays = { overlay }
	};
	static struct asked asked;

	memset(&asked, 0, sizeof(asked));
	pool_vm_snapshot(vm, &snapshot, NULL, asked_snapshot, &asked);
	harness_wait(harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_OK, "%s", asked.result.detail.text);
	cr_assert(overlay < 0 || asked.snapshot.overlays_ns > 0);
}

int harness_load(struct harness *harness, const int files[2])
{
	static struct asked asked;

	memset(&asked, 0, sizeof(asked));
	cr_assert_eq(pool_load(harness->pool, files[0], files[1], true, NULL, asked_load, &asked), 0);
	harness_wait(harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_OK, "%s", asked.result.detail.text);
	return asked.state;
}

void asked_done(void *opaque, const struct pool_result *result)
{
	struct asked *asked = opaque;

	cr_assert_not(asked->answered, "an operation is answered twice");
	asked->answered = true;
	asked->result = *result;
}

void asked_read(void *opaque, const struct pool_result *result, uint64_t offset, uint64_t dropped, const uint8_t *data,
		uint32_t size)
{
	struct asked *asked = opaque;

	(void)dropped;
	asked_done(asked, result);
	asked->offset = offset;
	asked->size = size;
	if (size > 0)
		memcpy(asked->data, data, size);
}

void asked_snapshot(void *opaque, const struct pool_result *result, const struct message_snapshot_done *times)
{
	struct asked *asked = opaque;

	asked_done(asked, result);
	if (times)
		asked->snapshot = *times;
}

void asked_balloon(void *opaque, const struct pool_result *result, const struct message_balloon_status *status)
{
	struct asked *asked = opaque;

	asked_done(asked, result);
	if (status)
		asked->balloon = *status;
}

void asked_load(void *opaque, const struct pool_result *result, int state, const struct message_loaded *loaded)
{
	struct asked *asked = opaque;

	asked_done(asked, result);
	asked->state = state;
	if (loaded)
		asked->loaded = *loaded;
}

void asked_kernel(void *opaque, const struct pool_result *result, const struct message_kernel_loaded *loaded)
{
	struct asked *asked = opaque;

	asked_done(asked, result);
	if (loaded)
		asked->kernel = *loaded;
}

void asked_progress(void *opaque, uint64_t done, uint64_t total)
{
	struct asked *asked = opaque;

	cr_assert_leq(done, total);
	asked->steps++;
}

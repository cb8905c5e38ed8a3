/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives of VMs, one process each.
 *
 * The path is the one that the daemon takes: a publication gives out two files, the machine's process fills them, the
 * commit names them; then the folder is opened safely, state.json is read into a memory file, checked against the host,
 * memory.snap is verified, and both are injected.
 */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "scratch.h"
#include "snapshot/check.h"
#include "snapshot/folder.h"
#include "snapshot/publish.h"

#define MEMORY_SIZE (UINT64_C(4) << 20)

static struct scratch scratch;

void fixture_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)fprintf(stderr, "%s:%d: ", file, line);
	(void)vfprintf(stderr, format, arguments);
	(void)fputc('\n', stderr);
	va_end(arguments);
	_exit(1);
}

void fixture_setup(void)
{
	if (getenv("EMBER_NO_KVM")) {
		(void)fprintf(stderr, "skipped, as EMBER_NO_KVM is set: %s::%s\n", criterion_current_test->category,
			      criterion_current_test->name);
		cr_skip_test("needs KVM, and EMBER_NO_KVM is set");
	}
	scratch_make(&scratch);
}

void fixture_teardown(void)
{
	if (scratch.path[0])
		scratch_remove(&scratch);
}

void *fixture_share(size_t size)
{
	void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(shared, MAP_FAILED);
	return shared;
}

pid_t fixture_fork(void)
{
	pid_t parent = getpid();
	pid_t child;

	(void)fflush(NULL);
	child = fork();
	cr_assert_geq(child, 0);
	/* A test that runs out of time must not leave a VM behind. */
	if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(1);

	return child;
}

void fixture_in_process(const char *what, void (*body)(void *opaque), void *opaque)
{
	int status = 0;
	pid_t child = fixture_fork();

	if (child == 0) {
		body(opaque);
		_exit(0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0, "%s: %s", what,
		     WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "failed, see above");
}

const struct kvm_host *fixture_host(void)
{
	static struct kvm_host host;
	static bool probed;

	if (!probed)
		CHECK_OK(host_probe(&host, &detail));
	probed = true;
	return &host;
}

static void on_signalled(void *opaque, uint8_t number, const struct signal_record *record)
{
	struct vm_life *life = opaque;

	(void)record;
	(void)pthread_mutex_lock(&life->lock);
	life->signals[number]++;
	(void)pthread_cond_broadcast(&life->changed);
	(void)pthread_mutex_unlock(&life->lock);
}

static void on_exited(void *opaque, const struct machine_exit_info *info)
{
	struct vm_life *life = opaque;

	(void)pthread_mutex_lock(&life->lock);
	life->exits++;
	life->exit = *info;
	(void)pthread_cond_broadcast(&life->changed);
	(void)pthread_mutex_unlock(&life->lock);
}

void fixture_build(struct vm_life *life, const struct machine_shape *shape)
{
	const struct machine_callbacks callbacks = { .opaque = life, .signalled = on_signalled, .exited = on_exited };

	memset(life, 0, sizeof(*life));
	CHECK_EQ(pthread_mutex_init(&life->lock, NULL), 0);
	CHECK_EQ(pthread_cond_init(&life->changed, NULL), 0);
	CHECK_OK(machine_create(fixture_host(), shape, &callbacks, &life->machine, NULL, &detail));
}

void fixture_boot(struct vm_life *life, uint32_t vcpus, const uint8_t *image, size_t size)
{
	const struct machine_shape shape = { .vcpus = vcpus,
					     .cpu_template = CPU_TEMPLATE_HOST,
					     .memory_size = MEMORY_SIZE };
	int file = memfd_create("image", MFD_CLOEXEC);

	fixture_build(life, &shape);
	CHECK_EQ(write(file, image, size), size);
	CHECK_OK(machine_boot_image(life->machine, file, ENTRY_LONG, &detail));
	(void)close(file);
}

void fixture_run(struct vm_life *life)
{
	CHECK_EQ(machine_run(life->machine), 0);
}

void fixture_wait(struct vm_life *life, uint8_t number, uint64_t count)
{
	(void)pthread_mutex_lock(&life->lock);
	while (life->signals[number] < count && life->exits == 0 && life->signals[EVENT_FAULT] == 0)
		(void)pthread_cond_wait(&life->changed, &life->lock);
	if (life->signals[EVENT_FAULT])
		fixture_fail(__FILE__, __LINE__, "the guest took exception %ju at %#jx",
			     (uintmax_t)fixture_report(life)->values[0], (uintmax_t)fixture_report(life)->values[1]);
	if (life->signals[number] < count)
		fixture_fail(__FILE__, __LINE__, "the guest ended before event %u: %s, code %#jx, at %#jx", number,
			     machine_exit_name(life->exit.reason), (uintmax_t)life->exit.stop.code,
			     (uintmax_t)life->exit.stop.rip);
	(void)pthread_mutex_unlock(&life->lock);
}

void fixture_run_until_ready(struct vm_life *life)
{
	fixture_run(life);
	fixture_wait(life, SIGNAL_READY, 1);
	machine_pause(life->machine);
}

void fixture_publish(struct vm_life *life, const char *name)
{
	const struct guest_memory *memory = &life->machine->vm.memory;
	struct snapshot_metadata metadata = { .ember_version = EMBER_VERSION,
					      .host_tsc_khz = fixture_host()->tsc_khz,
					      .host_xsave_size = fixture_host()->xsave_size };
	struct memory_checksums *checksums = calloc(1, sizeof(*checksums));
	struct publication publication;
	uint64_t crc;

	CHECK(checksums);
	CHECK_OK(publication_begin(scratch.fd, name, true, &publication, &detail));
	CHECK_OK(memory_file_write(publication.memory, memory->host, memory->size, NULL, checksums, NULL, &detail));
	CHECK_OK(state_json_write(publication.state, life->state, &metadata, checksums, &crc, &detail));
	CHECK_OK(publication_commit(&publication, &detail));
	free(checksums);
}

void fixture_save(struct vm_life *life, const char *name)
{
	if (!life->state)
		life->state = malloc(sizeof(*life->state));
	CHECK(life->state);
	CHECK_OK(snapshot_capture(life->machine, life->state, NULL, &detail));
	fixture_publish(life, name);
}

void fixture_load(const char *name, struct vm_state **ret_state, int *ret_memory)
{
	struct memory_checksums *checksums = calloc(1, sizeof(*checksums));
	int file = memfd_create("state", MFD_CLOEXEC);
	struct snapshot_metadata metadata;
	struct snapshot_files files;
	struct vm_state *state;

	CHECK(checksums);
	CHECK_OK(snapshot_files_open(scratch.fd, name, &files, &detail));
	CHECK_EQ(ftruncate(file, sizeof(*state)), 0);
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(state != MAP_FAILED);
	CHECK_OK(state_json_load(files.state, state, &metadata, checksums, &detail));
	CHECK_OK(snapshot_check_host(fixture_host(), state, &detail));
	CHECK_OK(memory_file_verify(files.memory, state->memory_size, checksums, NULL, &detail));

	*ret_memory = fcntl(files.memory, F_DUPFD_CLOEXEC, 0);
	*ret_state = state;
	snapshot_files_close(&files);
	(void)close(file);
	free(checksums);
}

void fixture_restore(struct vm_life *life, const char *name)
{
	fixture_restore_with(life, name, NULL);
}

void fixture_restore_with(struct vm_life *life, const char *name, const struct inject_options *options)
{
	struct machine_shape shape;
	struct vm_state *state;
	int memory;

	fixture_load(name, &state, &memory);
	vm_state_shape(state, &shape);
	fixture_build(life, &shape);
	CHECK_OK(snapshot_inject(life->machine, state, memory, options, NULL, &detail));
	(void)close(memory);
	life->state = malloc(sizeof(*state));
	CHECK(life->state);
	memcpy(life->state, state, sizeof(*state));
	(void)munmap(state, sizeof(*state));
}

struct report *fixture_report(struct vm_life *life)
{
	uint8_t *host = NULL;

	CHECK_EQ(guest_memory_range(&life->machine->vm.memory, REPORT_GPA, sizeof(struct report), &host), 0);
	return (struct report *)host;
}

void fixture_finish(struct vm_life *life)
{
	fixture_report(life)->go = 1;
	fixture_run(life);
	fixture_wait(life, EVENT_DONE, 1);
	machine_pause(life->machine);
}

void fixture_end(struct vm_life *life)
{
	life->machine = machine_free(life->machine);
	free(life->state);
	life->state = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader: from a snapshot's files to a state that workers can map. (From a kernel's file to what the store keeps of it:
 * loader_kernel.c.)
 *
 * It is confined before it reads the first byte: a file that takes over its parser finds a process that can do nothing but answer. What it
 * makes is sealed, so that it cannot be changed once others have checked it.
 */
#include "pool/process/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/cleanup.h"
#include "kvm/file_status.h"
#include "kvm/linux/unpack.h"
#include "pool/process/child.h"
#include "pool/process/exit_status.h"
#include "snapshot/check.h"
#include "snapshot/folder.h"
#include "snapshot/memory_file.h"
#include "snapshot/state.h"
#include "snapshot/state_json.h"

/* The largest file that it may write: a kernel, or its ELF. */
#define FILE_SIZE_MAX KERNEL_UNPACKED_MAX
_Static_assert(sizeof(struct vm_state) <= FILE_SIZE_MAX, "a state is written, too");

static const struct sandbox_rule loader_rules[] = {
	SANDBOX_ALLOW(recvmsg),
	SANDBOX_ALLOW(sendmsg),
	SANDBOX_ALLOW(pread64),
	SANDBOX_ALLOW(read),
	SANDBOX_ALLOW(write),
	SANDBOX_ALLOW(lseek),
	SANDBOX_ALLOW(fstat),
	SANDBOX_ALLOW(close),
	SANDBOX_ALLOW(ftruncate),
	SANDBOX_ALLOW(memfd_create),
	SANDBOX_ALLOW_INT(fcntl, 1, F_ADD_SEALS),
};
static const struct sandbox_rule_set loader_rule_set = SANDBOX_RULE_SET("loader", loader_rules);

const struct sandbox_rule_set *const loader_rule_sets[] = {
	&sandbox_rules_runtime,
	&loader_rule_set,
#ifdef EMBER_SANITIZE
	&sandbox_rules_sanitizer,
	&sandbox_rules_sanitizer_report,
#endif
};
const size_t loader_rule_set_count = sizeof(loader_rule_sets) / sizeof(loader_rule_sets[0]);

/* A memory file for the state, mapped for writing. */
static int make_state(int *ret_file, struct vm_state **ret_state)
{
	cleanup_close int file = memfd_create("ember-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *mapped;

	if (file < 0 || ftruncate(file, sizeof(struct vm_state)) < 0)
		return -errno;
	mapped = mmap(NULL, sizeof(struct vm_state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (mapped == MAP_FAILED)
		return -errno;

	*ret_state = mapped;
	*ret_file = steal_fd(&file);
	return 0;
}

static int seal(int file)
{
	return fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ? -errno : 0;
}

static int parse(const struct child_setup *setup, int state_file, struct vm_state *ret_state,
		 struct memory_checksums *ret_checksums, struct message_loaded *ret_loaded, struct error_detail *detail)
{
	struct snapshot_metadata metadata;
	struct machine_shape shape;
	int result;

	result = state_json_load(state_file, ret_state, &metadata, ret_checksums, detail);
	if (result == 0)
		result = snapshot_check_host(setup->host, ret_state, detail);
	if (result < 0)
		return result;

	vm_state_shape(ret_state, &shape);
	ret_loaded->state_crc64 = metadata.state_crc64;
	ret_loaded->vcpus = shape.vcpus;
	ret_loaded->cpu_template = (uint32_t)shape.cpu_template;
	ret_loaded->memory_size = shape.memory_size;
	ret_loaded->disks = shape.disks;
	ret_loaded->rngs = shape.rngs;
	ret_loaded->vsocks = shape.vsocks;
	ret_loaded->nets = shape.nets;
	ret_loaded->balloons = shape.balloons;
	ret_loaded->no_pit_reinject = shape.no_pit_reinject;
	ret_loaded->created_unix_ns = ret_state->created_unix_ns;
	ret_loaded->chunk_count = ret_checksums->count;
	return 0;
}

static int check_memory(const struct child_setup *setup, const struct message *message,
			const struct message_loaded *loaded, const struct memory_checksums *checksums,
			struct error_detail *detail)
{
	struct child_progress progress = { .channel = setup->channel, .request = message->header.request };
	struct memory_progress memory_progress = { .opaque = &progress, .advanced = child_advanced };
	struct stat status;

	if (message->payload.load.verify_memory)
		return memory_file_verify(message->fds[1], loaded->memory_size, checksums, &memory_progress, detail);
	if (file_status(message->fds[1], &status) < 0)
		return -errno;
	if ((uint64_t)status.st_size != loaded->memory_size) {
		error_detail_set(detail, "%s: its size is %lld bytes, %s says %llu", SNAPSHOT_MEMORY_FILE,
				 (long long)status.st_size, SNAPSHOT_STATE_FILE,
				 (unsigned long long)loaded->memory_size);
		return -EBADMSG;
	}
	return 0;
}

static int load(const struct child_setup *setup, const struct message *message, int *ret_file,
		struct message_loaded *ret_loaded, enum reason_deed *ret_deed, struct error_detail *detail)
{
	cleanup_free struct memory_checksums *checksums = calloc(1, sizeof(*checksums));
	cleanup_close int file = -1;
	struct vm_state *state = NULL;
	struct stat status;
	int result;

	*ret_deed = DEED_CAPTURE;
	if (!checksums)
		return -ENOMEM;
	result = make_state(&file, &state);
	if (!state) {
		error_detail_set(detail, "no memory file for the state: %s", strerrordesc_np(-result));
		return result;
	}
	*ret_deed = DEED_LOAD_SNAPSHOT;
	result = parse(setup, message->fds[0], state, checksums, ret_loaded, detail);
	(void)munmap(state, sizeof(*state));
	if (result == 0)
		result = check_memory(setup, message, ret_loaded, checksums, detail);
	if (result == 0)
		result = seal(file);
	if (result < 0)
		return result;

	if (file_status(message->fds[1], &status) == 0)
		ret_loaded->data_bytes = (uint64_t)status.st_blocks * 512;
	*ret_file = steal_fd(&file);
	return 0;
}

static void serve_load(const struct child_setup *setup, const struct message *message)
{
	struct error_detail detail = { "" };
	struct message_loaded loaded = { 0 };
	cleanup_close int file = -1;
	enum reason_deed deed;
	int result;

	result = load(setup, message, &file, &loaded, &deed, &detail);
	if (result < 0)
		child_refuse(setup->channel, message->header.request, deed, result, detail.text);
	else
		child_answer(setup->channel, MESSAGE_LOADED, message->header.request, &loaded, &file);
}

static void serve_kernel_load(const struct child_setup *setup, const struct message *message)
{
	struct error_detail detail = { "" };
	struct message_kernel_loaded loaded = { 0 };
	enum reason_deed deed;
	int result = loader_load_kernel(setup, message, &loaded, &deed, &detail);

	if (result < 0)
		child_refuse(setup->channel, message->header.request, deed, result, detail.text);
	else
		child_answer(setup->channel, MESSAGE_KERNEL_LOADED, message->header.request, &loaded, NULL);
}

_Noreturn void loader_main(const struct child_setup *setup)
{
	const int keep[] = { setup->channel };
	const struct sandbox_limit limits[] = { { RLIMIT_FSIZE, FILE_SIZE_MAX } };
	const struct sandbox_policy policy = {
		.role = "loader",
		.uid = setup->uid,
		.gid = setup->gid,
		.parent = setup->parent,
		.keep = keep,
		.keep_count = 1,
		.limits = limits,
		.limit_count = 1,
		.filter = setup->filter,
	};
	struct sandbox sandbox;
	struct message message;

	(void)prctl(PR_SET_NAME, "ember-loader");
	sandbox_init(&sandbox, &policy);
	child_advance(&sandbox, SANDBOX_STAGE_LAST, setup->channel);
	child_answer(setup->channel, MESSAGE_LOADER_READY, 0, NULL, NULL);

	child_receive(setup->channel, &message);
	if (message.header.type == MESSAGE_STOP)
		_exit(EXIT_STATUS_STOPPED);
	if (message.header.type == MESSAGE_LOAD)
		serve_load(setup, &message);
	else if (message.header.type == MESSAGE_KERNEL_LOAD)
		serve_kernel_load(setup, &message);
	else
		_exit(EXIT_STATUS_CHANNEL_LOST);
	_exit(EXIT_STATUS_STOPPED); /* whatever the files have done to this process ends with it */
}

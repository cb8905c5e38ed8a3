/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.boot: the demo guest, a flat image, or a Linux kernel of the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/devices/record.h"
#include "server/server.h"
#include "server/start/private.h"
#include "server/start/start.h"

#define MIB_SHIFT 20

static int too_large(struct rpc_error *error, const char *member, const char *what, uint64_t bytes,
		     uint64_t memory_size)
{
	int number = rpc_error_set_reason(error, REASON_TOO_LARGE,
					  "the %s has %" PRIu64 " bytes, and the VM %" PRIu64 " MiB of memory", what,
					  bytes, memory_size >> MIB_SHIFT);

	rpc_error_add_field(error, member);
	return number;
}

/* A file that the guest's memory is to hold. */
static int open_file(const char *path, const char *member, const char *what, uint64_t memory_size, int *ret_file,
		     struct rpc_error *error)
{
	cleanup_close int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	int failed = 0;

	if (file < 0 || fstat(file, &status))
		failed = -errno;
	else if (!S_ISREG(status.st_mode))
		failed = -EINVAL;
	else if ((uint64_t)status.st_size > memory_size)
		return too_large(error, member, what, (uint64_t)status.st_size, memory_size);
	if (failed) {
		(void)rpc_error_set_reason(error, reason_of_errno(DEED_OPEN_PATH, failed),
					   "the %s cannot be opened: %s", what,
					   failed == -EINVAL ? "it is not a regular file" : strerrordesc_np(-failed));
		rpc_error_add_field(error, member);
		return failed;
	}

	*ret_file = steal_fd(&file);
	return 0;
}

bool boot_has_files(const struct start *start)
{
	return !start->wanted.restore && (param_given(start->params, "image") || param_given(start->params, "initrd"));
}

int boot_open_files(struct start *start, struct rpc_error *error)
{
	const char *image = param_string(start->params, "image"), *initrd = param_string(start->params, "initrd");
	uint64_t memory_size = start->wanted.shape.memory_size;
	int failed = 0;

	if (image)
		failed = open_file(image, "image", "image", memory_size, &start->image, error);
	if (image && !failed)
		start->wanted.image = start->image;
	if (initrd && !failed)
		failed = open_file(initrd, "initrd", "initial file system", memory_size, &start->wanted_kernel.initrd,
				   error);
	return failed;
}

static int set_image(struct start *start, const char *entry, struct rpc_error *error)
{
	start->wanted.image = start->server->demo_image;
	start->wanted.entry = ENTRY_LONG;
	if (entry && entry_mode_parse(entry, &start->wanted.entry))
		return rpc_error_set_field(error, "entry", "an image is entered in real, protected or long mode");
	return 0;
}

static int set_entry(const struct start *start, const char *entry, struct pool_kernel *kernel, struct rpc_error *error)
{
	const char *name = param_string(start->params, "kernel");
	int number;

	kernel->entry = kernel_default_entry(start->kernel);
	if (entry && kernel_entry_parse(entry, &kernel->entry))
		return rpc_error_set_field(error, "entry", "a kernel is entered as bzimage, elf64 or pvh");
	kernel->image = kernel_descriptor(start->kernel, kernel->entry);
	if (kernel->image >= 0)
		return 0;

	number = rpc_error_set(error, RPC_INVALID_ARGUMENT, "the kernel %s cannot be entered as %s", name, entry);
	rpc_error_add_field(error, "entry");
	return number;
}

/* What the kernel says of itself, against what is asked for. */
static int check_kernel(const struct start *start, const struct pool_kernel *wanted, struct rpc_error *error)
{
	const struct kernel_record *record = kernel_record(start->kernel);
	uint64_t memory_size = start->wanted.shape.memory_size;
	uint32_t limit = kernel_record_cmdline_max(record, wanted->entry);
	size_t length = strlen(wanted->cmdline);
	bool in_elf;
	int number;

	if (length > limit) {
		number = rpc_error_set_reason(error, REASON_TOO_LARGE,
					      "the command line has %zu bytes; this kernel takes %" PRIu32 " at most",
					      length, limit);
		rpc_error_add_field(error, "cmdline");
		return number;
	}
	/* Of a bzImage's ELF it is not known by itself. */
	if (kernel_record_has_entry(record, wanted->entry, &in_elf) && !in_elf && record->memory_size > memory_size) {
		number = rpc_error_set_reason(
			error, REASON_TOO_LARGE,
			"the kernel %s needs %" PRIu64 " MiB before it starts, and the VM has %" PRIu64, record->name,
			(record->memory_size + (1 << MIB_SHIFT) - 1) >> MIB_SHIFT, memory_size >> MIB_SHIFT);
		rpc_error_add_field(error, "memory_mib");
		return number;
	}

	return 0;
}

static int set_kernel(struct start *start, const char *name, const char *entry, struct rpc_error *error)
{
	const char *cmdline = param_string(start->params, "cmdline");
	struct pool_kernel *wanted = &start->wanted_kernel;
	struct kernel *kernel = kernels_find(start->server->kernels, name);
	int number;

	if (!kernel) {
		number = rpc_error_set(error, RPC_NOT_FOUND, "there is no kernel named %s", name);
		rpc_error_add_field(error, "kernel");
		return number;
	}
	if (kernel_hold(kernel, start->holder))
		return rpc_error_set(error, RPC_INTERNAL, "the daemon is out of memory");
	start->kernel = kernel;
	number = set_entry(start, entry, wanted, error);
	if (number)
		return number;

	(void)snprintf(wanted->cmdline, sizeof(wanted->cmdline), "%s",
		       cmdline ? cmdline : kernel_record(kernel)->cmdline);
	number = check_kernel(start, wanted, error);
	if (number)
		return number;
	start->wanted.kernel = wanted;
	return 0;
}

void start_boot(struct call *call)
{
	const char *kernel = param_string(call->params, "kernel"), *entry = param_string(call->params, "entry");
	struct start *start = start_new(call);
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *record = NULL;
	int failed;

	if (!start)
		return;

	start->wanted.shape.vcpus = (uint32_t)param_int(call->params, "vcpus", 1);
	start->wanted.shape.memory_size = (uint64_t)param_int(call->params, "memory_mib", 1) << MIB_SHIFT;
	(void)cpu_template_parse(param_string(call->params, "cpu_template"), &start->wanted.shape.cpu_template);
	start->wanted.shape.no_pit_reinject = !param_bool(call->params, "pit_reinject");
	if (entry && !kernel && !param_given(call->params, "image"))
		failed = rpc_error_set_field(&error, "entry", "the demo guest has but one entry");
	else
		failed = kernel ? set_kernel(start, kernel, entry, &error) : set_image(start, entry, &error);
	if (!failed)
		failed = record_for_boot(call->params, &record, &error);
	if (failed)
		start_fail(start, &error);
	else
		start_with_devices(start, record, NULL);
}

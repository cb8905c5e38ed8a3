/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.*: the kernel store as clients see it. Adding one:
 *
 *	begin    file thread   the file opened; a temporary folder with empty files beside where the kernel will be
 *	load     loader        copies, hashes and checks the file, and takes its ELF out
 *	commit   file thread   kernel.json written, the files opened for later, fsync, rename: the name appears
 *	insert                 into the table
 *
 * A call that is abandoned before the commit leaves nothing behind; from the commit on the kernel stands, and the answer
 * alone is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvm/linux/unpack.h"
#include "pool/pool.h"
#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/file_thread.h"
#include "server/kernels.h"
#include "server/log.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/snapshot_load.h"
#include "server/workers.h"
#include "snapshot/publish.h"

/* Fail a call for the parameter "name". */
static void fail_name(struct call *call, enum rpc_code code, const char *message, const char *name)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, code, "%s %s", message, name);
	rpc_error_add_field(&error, "name");
	call_fail(call, &error);
}

/* The kernel that the call's "name" names; where there is none, the call is answered and NULL returned. */
static struct kernel *kernel_of_call(struct call *call)
{
	const char *name = param_string(call->params, "name");
	struct kernel *kernel = kernels_find(call->server->kernels, name);

	if (!kernel)
		fail_name(call, RPC_NOT_FOUND, "there is no kernel named", name);
	return kernel;
}

void method_kernel_list(struct call *call)
{
	const struct kernels *kernels = call->server->kernels;
	cleanup_json json_t *list = json_array();

	for (size_t i = 0; i < kernels_count(kernels); i++) {
		const struct kernel *kernel = kernels_at(kernels, i);

		if (!kernel_is_being_removed(kernel) &&
		    json_array_append_new(list, kernel_to_json(call->server, kernel, false))) {
			call_reply(call, NULL);
			return;
		}
	}
	call_reply(call, json_pack("{s:O}", "kernels", list));
}

void method_kernel_inspect(struct call *call)
{
	const struct kernel *kernel = kernel_of_call(call);

	if (kernel)
		call_reply(call, kernel_to_json(call->server, kernel, true));
}

/* ---- add ---- */

struct adding {
	struct server *server;
	struct call *call; /* NULL: abandoned */
	char *path;
	struct kernel_record record;
	int source; /* the file, open for reading; -1: not yet, or not any more */
	struct publication publication;
	bool is_open; /* the publication has begun and not ended */
	struct kernel *kernel;
	char *text; /* kernel.json */
	size_t text_size;
	const char *field;          /* the parameter that a failure is the fault of; NULL: none */
	struct rpc_error error;     /* what it failed with */
	struct error_detail detail; /* written by the file thread, as is_open, source and field */
};

static void free_adding(struct adding *adding)
{
	if (adding->source >= 0)
		(void)close(adding->source);
	(void)kernel_free(adding->kernel);
	free(adding->text);
	free(adding->path);
	free(adding);
}

/* The end of one that failed: whoever is told so finds nothing left. */
static void finish_failed(struct adding *adding)
{
	struct rpc_error error = adding->error;
	struct call *call = adding->call;

	if (adding->field)
		rpc_error_add_field(&error, adding->field);
	log_info("kernel not added", log_text("kernel", adding->record.name), log_text("path", adding->path),
		 log_text("detail", error.message));
	kernels_unreserve(adding->server->kernels);
	free_adding(adding);
	if (call)
		call_fail(call, &error);
	else
		rpc_error_release(&error);
}

/* On the file thread. */
static int abort_publication(void *opaque)
{
	struct adding *adding = opaque;

	publication_abort(&adding->publication);
	return 0;
}

static void on_aborted(void *opaque, int result)
{
	(void)result;
	finish_failed(opaque);
}

/* Undo what was begun, then answer with adding->error, if anybody still waits. */
static void give_up(struct adding *adding)
{
	if (!adding->is_open) {
		finish_failed(adding);
		return;
	}
	if (file_thread_submit_undo(adding->server->files, abort_publication, on_aborted, adding)) {
		/* The daemon stops: rather wait than leave the files. */
		(void)abort_publication(adding);
		finish_failed(adding);
	}
}

static void fail_file(struct adding *adding, int number)
{
	bool opened = adding->field && strcmp(adding->field, "path") == 0;

	(void)rpc_error_set_errno(&adding->error, opened ? DEED_OPEN_PATH : DEED_PUBLISH, number, adding->detail.text);
	if (number == -EEXIST)
		adding->field = "name";
	give_up(adding);
}

static void fail_abandoned(struct adding *adding)
{
	(void)rpc_error_set(&adding->error, RPC_CANCELLED, "nobody waits for it any more");
	give_up(adding);
}

static void on_abandoned(void *opaque, struct rpc_error *error)
{
	struct adding *adding = opaque;

	(void)error;
	adding->call = NULL;
	pool_load_cancel(adding->server->pool, adding);
}

/* ---- add: commit, insert ---- */

/* On the file thread. */
static int commit(void *opaque)
{
	struct adding *adding = opaque;
	struct publication *publication = &adding->publication;
	int result =
		publication_write(publication, KERNEL_FILE_RECORD, adding->text, adding->text_size, &adding->detail);

	if (result == 0)
		result = kernel_open_files(adding->kernel, publication->folder, adding->record.name, &adding->detail);
	if (result < 0)
		return result;

	adding->is_open = false;
	return publication_commit(publication, &adding->detail);
}

static void on_committed(void *opaque, int result)
{
	struct adding *adding = opaque;
	struct server *server = adding->server;
	const struct kernel *kernel = adding->kernel;
	struct call *call = adding->call;

	if (result) {
		fail_file(adding, result);
		return;
	}

	kernels_insert(server->kernels, steal_pointer(adding->kernel));
	log_info("kernel added", log_text("kernel", adding->record.name), log_text("path", adding->path),
		 log_text("version", adding->record.version), log_text("sha256", adding->record.sha256));
	event_bus_publish(&server->events, EVENT_KERNEL,
			  json_pack("{s:s, s:s}", "event", "added", "name", adding->record.name));
	free_adding(adding);
	if (call)
		call_reply(call, kernel_to_json(server, kernel, true));
}

/* ---- add: load ---- */

static void on_progress(void *opaque, uint64_t done, uint64_t total)
{
	const struct adding *adding = opaque;

	if (adding->call)
		call_progress(adding->call, "load", done, total, "bytes");
}

/* Does the default command line suit the kernel? */
static int check_cmdline(struct adding *adding)
{
	size_t length = strlen(adding->record.cmdline);

	if (length <= adding->record.cmdline_max)
		return 0;
	adding->field = "cmdline";
	return rpc_error_set(&adding->error, RPC_INVALID_ARGUMENT,
			     "the command line has %zu bytes; this kernel takes %u at most", length,
			     adding->record.cmdline_max);
}

static int prepare_commit(struct adding *adding)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	adding->record.added_unix_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
	if (kernel_record_to_text(&adding->record, &adding->text, &adding->text_size) < 0 ||
	    kernel_new(&adding->record, &adding->kernel) < 0)
		return -ENOMEM;

	return file_thread_submit(adding->server->files, commit, on_committed, adding);
}

static void on_loaded(void *opaque, const struct pool_result *result, const struct message_kernel_loaded *loaded)
{
	struct adding *adding = opaque;
	int failed;

	if (result->status != POOL_OK) {
		(void)workers_error(result, &adding->error);
		adding->field = adding->error.code == RPC_INVALID_ARGUMENT ? "path" : NULL;
		give_up(adding);
		return;
	}
	if (!adding->call) {
		fail_abandoned(adding);
		return;
	}

	kernel_record_set(&adding->record, loaded);
	if (check_cmdline(adding)) {
		give_up(adding);
		return;
	}
	failed = prepare_commit(adding);
	if (failed)
		fail_file(adding, failed);
}

/* ---- add: begin ---- */

/* On the file thread. */
static int begin(void *opaque)
{
	struct adding *adding = opaque;
	uint64_t size;
	int result;

	adding->field = "path";
	result = folder_open_file(AT_FDCWD, adding->path, NULL, KERNEL_UNPACKED_MAX, &adding->source, &size,
				  &adding->detail);
	if (result < 0)
		return result;
	adding->field = NULL;
	result = publication_begin(kernels_folder(adding->server->kernels), adding->record.name, &kernel_folder_form,
				   false, &adding->publication, &adding->detail);
	adding->is_open = result == 0;
	return result;
}

static void on_begun(void *opaque, int result)
{
	struct adding *adding = opaque;
	const int *files = adding->publication.files;
	int failed = result;

	if (!failed && !adding->call) {
		fail_abandoned(adding);
		return;
	}
	if (!failed)
		failed = pool_kernel_load(adding->server->pool, adding->source, files[KERNEL_FILE_IMAGE],
					  files[KERNEL_FILE_ELF], on_progress, on_loaded, adding);
	if (failed)
		fail_file(adding, failed);
}

static struct adding *adding_new(struct call *call)
{
	const char *cmdline = param_string(call->params, "cmdline");
	struct adding *adding = calloc(1, sizeof(*adding));

	if (!adding)
		return NULL;
	adding->server = call->server;
	adding->call = call;
	adding->source = -1;
	adding->error = (struct rpc_error)RPC_ERROR_INIT;
	adding->path = strdup(param_string(call->params, "path"));
	(void)snprintf(adding->record.name, sizeof(adding->record.name), "%s", param_string(call->params, "name"));
	(void)snprintf(adding->record.cmdline, sizeof(adding->record.cmdline), "%s", cmdline ? cmdline : "");
	if (!adding->path) {
		free_adding(adding);
		return NULL;
	}
	return adding;
}

void method_kernel_add(struct call *call)
{
	const char *name = param_string(call->params, "name"), *cmdline = param_string(call->params, "cmdline");
	struct kernels *kernels = call->server->kernels;
	struct rpc_error error = RPC_ERROR_INIT;
	struct adding *adding;
	int failed;

	if (cmdline && !kernel_cmdline_is_valid(cmdline)) {
		(void)rpc_error_set_field(&error, "cmdline", "cmdline must be printable ASCII");
		call_fail(call, &error);
		return;
	}
	/* Said again when it gets its name; said now it saves reading the file. */
	if (kernels_find_any(kernels, name)) {
		fail_name(call, RPC_ALREADY_EXISTS, "there is a kernel named", name);
		return;
	}
	if (kernels_reserve(kernels)) {
		call_fail_with(call, RPC_RESOURCE_EXHAUSTED, "the store has room for %d kernels", KERNELS_MAX);
		return;
	}
	adding = adding_new(call);
	if (!adding) {
		kernels_unreserve(kernels);
		call_reply(call, NULL);
		return;
	}

	call_on_abandon(call, on_abandoned, adding);
	failed = file_thread_submit(call->server->files, begin, on_begun, adding);
	if (failed)
		fail_file(adding, failed);
}

/* ---- remove ---- */

struct removal {
	struct server *server;
	struct call *call; /* NULL: abandoned */
	struct kernel *kernel;
	struct error_detail detail; /* written by the file thread */
};

static void on_removal_abandoned(void *opaque, struct rpc_error *error)
{
	struct removal *removal = opaque;

	(void)error;
	removal->call = NULL;
}

/* On the file thread. */
static int remove_files(void *opaque)
{
	struct removal *removal = opaque;

	return publish_remove(kernels_folder(removal->server->kernels), kernel_record(removal->kernel)->name,
			      &kernel_folder_form, &removal->detail);
}

static void fail_removal(struct removal *removal, int number)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct call *call = removal->call;

	(void)rpc_error_set_errno(&error, DEED_PUBLISH, number, removal->detail.text);
	kernel_keep(removal->kernel);
	free(removal);
	if (call)
		call_fail(call, &error);
	else
		rpc_error_release(&error);
}

static void on_removed(void *opaque, int result)
{
	struct removal *removal = opaque;
	const char *name = kernel_record(removal->kernel)->name;
	struct call *call = removal->call;
	json_t *answer;

	/* Somebody else has removed them: that is what was wanted. */
	if (result && result != -ENOENT) {
		fail_removal(removal, result);
		return;
	}

	log_info("kernel removed", log_text("kernel", name));
	event_bus_publish(&removal->server->events, EVENT_KERNEL,
			  json_pack("{s:s, s:s}", "event", "removed", "name", name));
	answer = json_pack("{s:s, s:b}", "name", name, "removed", 1);
	kernels_drop(removal->server->kernels, removal->kernel);
	free(removal);
	if (call)
		call_reply(call, answer);
	else
		json_decref(answer);
}

static void fail_in_use(struct call *call, const struct kernel *kernel)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, RPC_KERNEL_IN_USE, "VMs run the kernel %s", kernel_record(kernel)->name);
	(void)rpc_error_add_extra(&error, "holders", kernel_users(call->server, kernel));
	call_fail(call, &error);
}

void method_kernel_remove(struct call *call)
{
	struct kernel *kernel = kernel_of_call(call);
	struct removal *removal;
	int failed;

	if (!kernel)
		return;
	if (kernel_begin_removal(kernel)) {
		fail_in_use(call, kernel);
		return;
	}
	removal = calloc(1, sizeof(*removal));
	if (!removal) {
		kernel_keep(kernel);
		call_reply(call, NULL);
		return;
	}

	*removal = (struct removal){ .server = call->server, .call = call, .kernel = kernel };
	call_on_abandon(call, on_removal_abandoned, removal);
	failed = file_thread_submit(call->server->files, remove_files, on_removed, removal);
	if (failed)
		fail_removal(removal, failed);
}

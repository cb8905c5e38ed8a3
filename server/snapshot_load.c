/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon opens, the loader reads: no byte of a snapshot's files is looked at in this process. Opening may block (a
 * network file system), so it is the file thread's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pool.h"
#include "proto/reason.h"
#include "server/file_thread.h"
#include "server/server.h"
#include "server/snapshot_load.h"
#include "server/workers.h"
#include "snapshot/folder.h"

struct snapshot_load {
	struct server *server;
	struct snapshot_load_options options; /* path is our own */
	bool forgotten;
	struct snapshot_files files;
	struct catalog_folder folder; /* its descriptor is that of files */
	struct error_detail detail;
};

int snapshot_file_error(int number, const struct error_detail *detail, bool known, struct rpc_error *error)
{
	return rpc_error_set_errno(error, known ? DEED_KNOWN_FILES : DEED_OPEN_SNAPSHOT, number,
				   detail ? detail->text : NULL);
}

static void free_load(struct snapshot_load *load)
{
	snapshot_files_close(&load->files);
	free((char *)load->options.path);
	free(load);
}

void snapshot_loaded_close(struct snapshot_loaded *loaded)
{
	int i;

	if (loaded->memory >= 0)
		(void)close(loaded->memory);
	if (loaded->state >= 0)
		(void)close(loaded->state);
	for (i = 0; i < SNAPSHOT_OVERLAYS; i++)
		if (loaded->overlays[i] >= 0)
			(void)close(loaded->overlays[i]);
	if (loaded->folder.fd >= 0)
		(void)close(loaded->folder.fd);
	snapshot_loaded_forget(loaded);
}

void snapshot_loaded_forget(struct snapshot_loaded *loaded)
{
	loaded->memory = loaded->state = loaded->folder.fd = -1;
	memset(loaded->overlays, -1, sizeof(loaded->overlays));
}

struct catalog_registration snapshot_loaded_registration(const struct snapshot_loaded *loaded, const char *name,
							 const char *path, json_t *devices)
{
	return (struct catalog_registration){ .name = name,
					      .path = path,
					      .devices = devices,
					      .memory = loaded->memory,
					      .state = loaded->state,
					      .overlays = loaded->overlays,
					      .folder = loaded->folder,
					      .summary = loaded->summary };
}

static void finish(struct snapshot_load *load, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	load->options.done(load->options.opaque, error, loaded);
	free_load(load);
}

static void on_progress(void *opaque, uint64_t done, uint64_t total)
{
	struct snapshot_load *load = opaque;

	if (!load->forgotten && load->options.progress)
		load->options.progress(load->options.opaque, done, total);
}

static void on_loaded(void *opaque, const struct pool_result *result, int state, const struct message_loaded *loaded)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct snapshot_load *load = opaque;
	struct snapshot_loaded found;

	if (load->forgotten) {
		if (state >= 0)
			(void)close(state);
		free_load(load);
		return;
	}
	if (result->status != POOL_OK) {
		(void)workers_error(result, &error);
		finish(load, &error, NULL);
		rpc_error_release(&error);
		return;
	}

	found = (struct snapshot_loaded){
		.memory = load->files.memory,
		.state = state,
		.folder = load->folder,
		.summary = { .data_bytes = loaded->data_bytes,
			     .created_unix_ns = loaded->created_unix_ns,
			     .state_crc64 = loaded->state_crc64,
			     .chunk_count = loaded->chunk_count },
	};
	message_loaded_shape(loaded, &found.summary.shape);
	memcpy(found.overlays, load->files.overlays, sizeof(found.overlays));
	load->files.memory = load->files.folder = -1;
	memset(load->files.overlays, -1, sizeof(load->files.overlays));
	finish(load, NULL, &found);
}

/* On the file thread. */
static int open_files(void *opaque)
{
	struct snapshot_load *load = opaque;
	struct stat status;
	int r = snapshot_files_open(load->options.folder, load->options.path, &load->files, &load->detail);

	if (r < 0)
		return r;
	if (fstat(load->files.folder, &status))
		return -errno;
	load->folder =
		(struct catalog_folder){ .fd = load->files.folder, .device = status.st_dev, .inode = status.st_ino };
	return 0;
}

static void on_opened(void *opaque, int result)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct snapshot_load *load = opaque;
	int failed = result;

	if (load->forgotten) {
		free_load(load);
		return;
	}
	if (!failed && load->options.opened && load->options.opened(load->options.opaque, &load->folder, &error)) {
		finish(load, &error, NULL);
		rpc_error_release(&error);
		return;
	}
	if (!failed)
		failed = pool_load(load->server->pool, load->files.state, load->files.memory, load->options.verify,
				   on_progress, on_loaded, load);
	if (failed) {
		(void)snapshot_file_error(failed, &load->detail, load->options.known, &error);
		finish(load, &error, NULL);
		rpc_error_release(&error);
	}
}

int snapshot_load_begin(struct server *server, const struct snapshot_load_options *options,
			struct snapshot_load **ret_load)
{
	struct snapshot_load *load = calloc(1, sizeof(*load));
	char *path = strdup(options->path);
	int error = -ENOMEM;

	if (!load || !path)
		goto failed;
	load->server = server;
	load->options = *options;
	load->options.path = path;
	load->files = SNAPSHOT_FILES_NONE;
	error = file_thread_submit(server->files, open_files, on_opened, load);
	if (error)
		goto failed;

	*ret_load = load;
	return 0;

failed:
	free(path);
	free(load);
	return error;
}

void snapshot_load_cancel(struct snapshot_load *load)
{
	pool_load_cancel(load->server->pool, load);
}

void snapshot_load_forget(struct snapshot_load *load)
{
	load->forgotten = true;
	snapshot_load_cancel(load);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between the catalog (plain data) and the daemon (files, events, VMs).
 *
 * The state folder is locked, so that two daemons do not write one catalog. Its file holds names, ids, paths, and what was
 * behind a snapshot's devices: at a start each snapshot is opened and loaded again, one after the other, before the first
 * client is served (snapshot_tries.c). Checksums of memory are not read again then; snapshot.verify does that.
 *
 * An entry is held by numbers. A VM holds it by its own, a start in progress by a number with the top bit set: the VM
 * that will come of it has none yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/devices/record.h"
#include "server/file_thread.h"
#include "server/guest.h"
#include "server/log.h"
#include "server/server.h"
#include "server/snapshot_tries.h"
#include "server/snapshots.h"
#include "server/workers.h"
#include "snapshot/publish.h"
#include "snapshot/time_text.h"

#define START_HOLDER (UINT64_C(1) << 63)

struct snapshots {
	struct server *server;
	struct catalog *catalog;
	int state_dir; /* locked */
	int folder;    /* STATE_DIR/snapshots */
	uint64_t last_start;
	struct snapshot_locks locks;
	struct snapshot_tries *tries;
	LIST_HEAD(, snapshot_watch) watches;
	LIST_HEAD(, snapshot_watch) freed;
	struct event *tell_freed; /* activated by hand */
};

static int step_failed(struct error_detail *detail, const char *what, const char *path)
{
	int error = -errno;

	error_detail_set(detail, "cannot %s %.150s: %s", what, path, strerrordesc_np(-error));
	return error;
}

static int open_folder(int at, const char *path, int *ret_fd, struct error_detail *detail)
{
	cleanup_close int fd = -1;

	if (mkdirat(at, path, 0700) && errno != EEXIST)
		return step_failed(detail, "make the folder", path);
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return step_failed(detail, "open the folder", path);

	*ret_fd = steal_fd(&fd);
	return 0;
}

static int lock_folder(int fd, const char *path, struct error_detail *detail)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return step_failed(detail, "lock", path);
	error_detail_set(detail, "another emberd uses the state folder %.150s", path);
	return -EBUSY;
}

/* A record of devices that is invalid is as if there were none: a restore must then be told what is behind the devices. */
static void check_devices(struct catalog_line *line)
{
	struct error_detail detail = { "" };

	if (!line->devices || record_check(line->devices, &detail) == 0)
		return;
	log_error("devices of a snapshot not known", log_text("snapshot", line->name), log_text("detail", detail.text));
	line->devices = NULL;
}

static int add_line(void *opaque, const struct catalog_line *line, const struct catalog_line *next)
{
	struct snapshots *snapshots = opaque;
	struct catalog_line checked;
	struct error_detail detail = { "" };
	int r = 0;

	if (line) {
		checked = *line;
		check_devices(&checked);
		r = catalog_add_line(snapshots->catalog, &checked, &detail);
	}
	if (r == 0 && next) {
		checked = *next;
		check_devices(&checked);
		r = catalog_intend(snapshots->catalog, &checked, &detail);
	}
	if (r < 0 && r != -ENOMEM) {
		log_error("snapshot not loaded", log_text("snapshot", line ? line->name : next->name),
			  log_text("detail", detail.text));
		r = 0;
	}
	return r;
}

static int read_catalog(struct snapshots *snapshots, struct error_detail *detail)
{
	cleanup_close int file = openat(snapshots->state_dir, CATALOG_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	cleanup_free char *text = NULL;
	struct stat status;
	ssize_t got;

	if (file < 0)
		return errno == ENOENT ? 0 : step_failed(detail, "open", CATALOG_FILE);
	if (fstat(file, &status))
		return step_failed(detail, "look at", CATALOG_FILE);
	if (!S_ISREG(status.st_mode) || status.st_size < 0 || (uint64_t)status.st_size > CATALOG_TEXT_MAX) {
		error_detail_set(detail, "%s is not a catalog", CATALOG_FILE);
		return -EINVAL;
	}

	text = malloc((size_t)status.st_size + 1);
	if (!text)
		return -ENOMEM;
	got = pread(file, text, (size_t)status.st_size, 0);
	if (got < 0)
		return step_failed(detail, "read", CATALOG_FILE);
	return catalog_from_text(text, (size_t)got, add_line, snapshots, detail);
}

/* The catalog is about to free an entry: those who wait for that are told from the loop. */
static void on_entry_gone(void *opaque, const struct catalog_entry *entry)
{
	struct snapshots *snapshots = opaque;
	struct snapshot_watch *watch, *next;

	for (watch = LIST_FIRST(&snapshots->watches); watch; watch = next) {
		next = LIST_NEXT(watch, link);
		if (watch->entry != entry)
			continue;
		LIST_REMOVE(watch, link);
		watch->entry = NULL;
		LIST_INSERT_HEAD(&snapshots->freed, watch, link);
		event_active(snapshots->tell_freed, EV_TIMEOUT, 0);
	}
}

static void on_tell_freed(evutil_socket_t fd, short events, void *opaque)
{
	struct snapshots *snapshots = opaque;
	struct snapshot_watch *watch;

	(void)fd;
	(void)events;
	while ((watch = LIST_FIRST(&snapshots->freed)) != NULL) {
		LIST_REMOVE(watch, link);
		watch->freed(watch);
	}
}

void snapshots_load(struct snapshots *snapshots, void (*loaded)(struct server *server))
{
	snapshot_tries_start(snapshots->tries, loaded);
}

static int make_parts(struct snapshots *snapshots, struct error_detail *detail)
{
	const char *state_dir = snapshots->server->config.state_dir;
	struct event_base *base = snapshots->server->base;
	unsigned int removed = 0;
	int error;

	snapshots->tell_freed = event_new(base, -1, 0, on_tell_freed, snapshots);
	if (!snapshots->tell_freed || snapshot_tries_new(snapshots->server, &snapshots->tries) ||
	    catalog_new(on_entry_gone, snapshots, &snapshots->catalog))
		return -ENOMEM;

	error = open_folder(AT_FDCWD, state_dir, &snapshots->state_dir, detail);
	if (!error)
		error = lock_folder(snapshots->state_dir, state_dir, detail);
	if (!error)
		error = open_folder(snapshots->state_dir, SNAPSHOTS_FOLDER, &snapshots->folder, detail);
	if (!error)
		error = read_catalog(snapshots, detail);
	if (error)
		return error;

	if (publish_sweep(snapshots->folder, &snapshot_folder_form, &removed) == 0 && removed > 0)
		log_info("swept what an earlier daemon left", log_number("folders", removed));
	return 0;
}

int snapshots_open(struct server *server, struct snapshots **ret_snapshots, struct error_detail *detail)
{
	struct snapshots *snapshots = calloc(1, sizeof(*snapshots));
	int error;

	if (!snapshots)
		return -ENOMEM;

	snapshots->server = server;
	snapshots->state_dir = -1;
	snapshots->folder = -1;
	LIST_INIT(&snapshots->locks);
	LIST_INIT(&snapshots->watches);
	LIST_INIT(&snapshots->freed);
	error = make_parts(snapshots, detail);
	if (error) {
		(void)snapshots_close(snapshots);
		return error;
	}

	*ret_snapshots = snapshots;
	return 0;
}

struct snapshots *snapshots_close(struct snapshots *snapshots)
{
	if (!snapshots)
		return NULL;

	(void)snapshot_tries_free(snapshots->tries);
	(void)catalog_free(snapshots->catalog);
	if (snapshots->tell_freed)
		event_free(snapshots->tell_freed);
	if (snapshots->folder >= 0)
		(void)close(snapshots->folder);
	if (snapshots->state_dir >= 0)
		(void)close(snapshots->state_dir);
	free(snapshots);
	return NULL;
}

struct catalog *snapshots_catalog(struct snapshots *snapshots)
{
	return snapshots->catalog;
}

struct snapshot_locks *snapshots_locks(struct snapshots *snapshots)
{
	return &snapshots->locks;
}

int snapshots_open_folder(const struct snapshots *snapshots, const char *name, int *ret_fd, struct error_detail *detail)
{
	return open_folder(snapshots->state_dir, name, ret_fd, detail);
}

int snapshots_folder(const struct snapshots *snapshots)
{
	return snapshots->folder;
}

void snapshots_path(const struct snapshots *snapshots, const char *name, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/%s/%s", snapshots->server->config.state_dir, SNAPSHOTS_FOLDER, name);
}

/* ---- the catalog's file ---- */

struct save {
	int state_dir;
	char *text;
	size_t size;
	struct error_detail detail;
	void (*done)(void *opaque, int result, const struct error_detail *detail);
	void *opaque;
};

static int write_catalog(void *opaque)
{
	struct save *save = opaque;

	return publish_file(save->state_dir, CATALOG_FILE, save->text, save->size, &save->detail);
}

static void on_written(void *opaque, int result)
{
	struct save *save = opaque;

	if (result)
		log_error("catalog not saved", log_errno(result), log_text("detail", save->detail.text));
	save->done(save->opaque, result, &save->detail);
	free(save->text);
	free(save);
}

int snapshots_save(struct snapshots *snapshots,
		   void (*done)(void *opaque, int result, const struct error_detail *detail), void *opaque)
{
	struct save *save = calloc(1, sizeof(*save));
	int error = -ENOMEM;

	if (!save || catalog_to_text(snapshots->catalog, &save->text, &save->size))
		goto failed;
	save->state_dir = snapshots->state_dir;
	save->done = done;
	save->opaque = opaque;
	error = file_thread_submit(snapshots->server->files, write_catalog, on_written, save);
	if (error)
		goto failed;
	return 0;

failed:
	if (save)
		free(save->text);
	free(save);
	return error;
}

/* ---- holders ---- */

uint64_t snapshots_start_holder(struct snapshots *snapshots)
{
	return START_HOLDER | ++snapshots->last_start;
}

void snapshot_release(struct server *server, struct catalog_entry *entry, uint64_t holder)
{
	(void)catalog_release(server->snapshots->catalog, entry, holder);
}

uint64_t snapshot_hand_over(struct server *server, struct catalog_entry *entry, uint64_t start, uint64_t vm)
{
	if (catalog_hold(entry, vm))
		return start;

	snapshot_release(server, entry, start);
	return vm;
}

void snapshot_watch_add(struct snapshots *snapshots, struct snapshot_watch *watch)
{
	LIST_INSERT_HEAD(&snapshots->watches, watch, link);
}

void snapshot_watch_remove(struct snapshot_watch *watch)
{
	LIST_REMOVE(watch, link);
}

bool snapshot_is_watched(const struct snapshots *snapshots, const struct catalog_entry *entry)
{
	const struct snapshot_watch *watch;

	LIST_FOREACH(watch, &snapshots->watches, link)
		if (watch->entry == entry)
			return true;
	return false;
}

/* ---- records ---- */

const char *snapshot_text(const struct catalog_entry *entry)
{
	const char *name = catalog_entry_name(entry);

	return name ? name : catalog_entry_path(entry);
}

static const char *holder_text(const struct server *server, uint64_t holder, char *text)
{
	const struct guest *vm;

	if (!(holder & START_HOLDER))
		return guest_id_text(holder, text);
	TAILQ_FOREACH(vm, &server->vms, link)
		if (vm->holder == holder)
			return vm->id;
	return "starting";
}

json_t *holders_to_json(const struct server *server, const uint64_t *holders, size_t count)
{
	cleanup_json json_t *users = json_array();
	char text[GUEST_ID_SIZE];
	size_t i;

	for (i = 0; i < count; i++)
		if (json_array_append_new(users, json_string(holder_text(server, holders[i], text))))
			return NULL;
	return steal_pointer(users);
}

json_t *snapshot_users(const struct server *server, const struct catalog_entry *entry)
{
	size_t count;
	const uint64_t *holders = catalog_entry_holders(entry, &count);

	return holders_to_json(server, holders, count);
}

/* What the files say; where they have not been read, that is not known. */
static int add_summary(json_t *json, const struct catalog_summary *summary)
{
	static const char *const unknown[] = { "created",      "state_crc64",  "shape",  "vcpus",
					       "memory_mib",   "cpu_template", "drives", "net",
					       "pit_reinject", "vsock",        "rng",    "balloon" };
	char created[TIME_TEXT_SIZE], crc[17];
	json_t *members;

	if (!summary) {
		for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
			if (json_object_set_new(json, unknown[i], json_null()))
				return -ENOMEM;
		return 0;
	}
	time_to_text(summary->created_unix_ns, created);
	(void)snprintf(crc, sizeof(crc), "%016" PRIx64, summary->state_crc64);
	members = json_pack("{s:s, s:s}", "created", created, "state_crc64", crc);
	if (!members || json_object_update_new(json, members))
		return -ENOMEM;
	return shape_to_json(&summary->shape, json);
}

json_t *snapshot_to_json(const char *name, const char *path, const struct catalog_entry *entry,
			 const struct catalog_summary *summary, json_t *users)
{
	cleanup_json json_t *json =
		json_pack("{s:s?, s:s?, s:s, s:o}", "name", name, "id", entry ? catalog_entry_id(entry) : NULL, "path",
			  path, "users", users ? users : json_array());

	return json && add_summary(json, summary) == 0 ? steal_pointer(json) : NULL;
}

json_t *snapshot_entry_to_json(const struct server *server, const struct catalog_entry *entry)
{
	cleanup_json json_t *json = snapshot_to_json(
		catalog_entry_name(entry), catalog_entry_path(entry), entry,
		catalog_entry_is_complete(entry) ? catalog_entry_summary(entry) : NULL, snapshot_users(server, entry));
	json_t *state = json_pack("{s:s, s:s?}", "state", catalog_status_name(catalog_entry_status(entry)), "reason",
				  catalog_entry_reason(entry));

	return json && state && json_object_update_new(json, state) == 0 ? steal_pointer(json) : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of names, and one try at a time.
 *
 *	what was about to take the name  loaded; if it is what was meant, it has the name, else it is forgotten
 *	an entry that is not available   loaded; available, or unavailable with the reason
 *	an entry that is available       its folder is looked at; unavailable where it is not at its path any more
 *
 * A round puts every name into the queue; the next one begins ten seconds after the last ended. Names that a call works on are
 * left alone: that call knows better.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include <event2/event.h>

#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/file_thread.h"
#include "server/log.h"
#include "server/server.h"
#include "server/snapshot_tries.h"
#include "server/snapshots.h"

#define ROUND_PAUSE_MS 10000

struct
try {
	STAILQ_ENTRY(try) link;
	struct snapshot_tries *tries;
	bool is_next; /* what was about to take the name is being loaded */
	char name[CATALOG_NAME_MAX + 1];
	char id[CATALOG_ID_SIZE]; /* of the entry that is tried */
	struct snapshot_load *load;
	/* for the file thread: */
	char *path;
	uint64_t device;
	uint64_t inode;
};

struct snapshot_tries {
	struct server *server;
	STAILQ_HEAD(, try) queue; /* the first is in progress */
	void (*all_tried)(struct server *server);
	struct event *next;  /* activated by hand */
	struct event *round; /* a timer */
};

static struct catalog *catalog_of(const struct snapshot_tries *tries)
{
	return snapshots_catalog(tries->server->snapshots);
}

static void free_try(struct try *try)
{
	free(try->path);
	free(try);
}

/* ---- what a load means for its entry ---- */

static void mark(struct catalog_entry *entry, const char *reason)
{
	if (catalog_entry_status(entry) != CATALOG_UNAVAILABLE)
		log_error("snapshot not loaded", log_text("snapshot", catalog_entry_name(entry)),
			  log_text("path", catalog_entry_path(entry)), log_text("detail", reason));
	catalog_mark_unavailable(entry, reason);
}

struct catalog_entry *snapshot_tried(struct server *server, const char *name, const char *id,
				     const struct rpc_error *error, struct snapshot_loaded *loaded,
				     struct rpc_error *ret_error)
{
	struct catalog *catalog = snapshots_catalog(server->snapshots);
	struct catalog_entry *entry = catalog_find_any(catalog, name);
	struct catalog_registration files;
	struct error_detail detail = { "" };
	bool was_unavailable;
	int failed;

	if (!entry || strcmp(catalog_entry_id(entry), id) != 0) {
		if (!error)
			snapshot_loaded_close(loaded);
		(void)rpc_error_set(ret_error, RPC_ABORTED, "the snapshot %s was removed or replaced meanwhile", name);
		return NULL;
	}
	if (error) {
		mark(entry, error->message);
		(void)rpc_error_set_like(ret_error, error, "the snapshot %s is unavailable: %s", name, error->message);
		return NULL;
	}

	was_unavailable = catalog_entry_status(entry) == CATALOG_UNAVAILABLE;
	files = snapshot_loaded_registration(loaded, name, catalog_entry_path(entry), NULL);
	failed = catalog_revive(catalog, entry, &files, &entry, &detail);
	if (failed) {
		snapshot_loaded_close(loaded);
		if (failed == -ESTALE)
			mark(entry, detail.text);
		(void)rpc_error_set(ret_error,
				    failed == -ESTALE  ? RPC_SNAPSHOT_DAMAGED
				    : failed == -EBUSY ? RPC_ABORTED
						       : RPC_INTERNAL,
				    "the snapshot %s is unavailable: %s", name,
				    detail.text[0] ? detail.text : strerrordesc_np(-failed));
		return NULL;
	}

	if (was_unavailable)
		log_info("snapshot available again", log_text("snapshot", name),
			 log_text("path", catalog_entry_path(entry)));
	return entry;
}

/* ---- one try ---- */

static void finish(struct try *try)
{
	struct snapshot_tries *tries = try->tries;

	STAILQ_REMOVE_HEAD(&tries->queue, link);
	free_try(try);
	event_active(tries->next, EV_TIMEOUT, 0);
}

static void on_entry_loaded(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	struct rpc_error ignored = RPC_ERROR_INIT;
	struct try *try = opaque;

	try->load = NULL;
	(void)snapshot_tried(try->tries->server, try->name, try->id, error, loaded, &ignored);
	rpc_error_release(&ignored);
	finish(try);
}

static void begin_load(struct try *try, const char *path, bool known,
		       void (*done)(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded))
{
	const struct snapshot_load_options options = {
		.folder = AT_FDCWD, .path = path, .known = known, .opaque = try, .done = done
	};

	if (snapshot_load_begin(try->tries->server, &options, &try->load)) {
		try->load = NULL;
		finish(try);
	}
}

/* On the file thread. */
static int look_at_folder(void *opaque)
{
	const struct try *try = opaque;
	struct stat status;

	if (fstatat(AT_FDCWD, try->path, &status, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return status.st_dev == try->device && status.st_ino == try->inode ? 0 : -ESTALE;
}

static void on_looked(void *opaque, int result)
{
	struct try *try = opaque;
	struct catalog_entry *entry = catalog_find(catalog_of(try->tries), try->name);
	char reason[300];

	if (result && entry && !strcmp(catalog_entry_id(entry), try->id) &&
	    !snapshot_name_is_locked(snapshots_locks(try->tries->server->snapshots), try->name)) {
		(void)snprintf(reason, sizeof(reason), "its folder is not at %.180s any more: %s", try->path,
			       result == -ESTALE ? "another is" : strerrordesc_np(-result));
		mark(entry, reason);
	}
	finish(try);
}

static void try_entry(struct try *try)
{
	const struct catalog_entry *entry = catalog_find(catalog_of(try->tries), try->name);

	if (!entry) {
		finish(try);
		return;
	}
	memcpy(try->id, catalog_entry_id(entry), sizeof(try->id));
	if (catalog_entry_status(entry) != CATALOG_AVAILABLE) {
		begin_load(try, catalog_entry_path(entry), true, on_entry_loaded);
		return;
	}

	try->path = strdup(catalog_entry_path(entry));
	try->device = catalog_entry_folder(entry)->device;
	try->inode = catalog_entry_folder(entry)->inode;
	if (!try->path || file_thread_submit(try->tries->server->files, look_at_folder, on_looked, try))
		finish(try);
}

/* ---- what was about to take the name ---- */

/* Is this what was meant? The inode decides where the CRC does not tell it from what has the name. */
static bool is_meant(struct catalog *catalog, const struct catalog_line *next, const struct snapshot_loaded *loaded)
{
	const struct catalog_entry *entry = catalog_find_any(catalog, next->name);
	const struct catalog_line *line = entry ? catalog_entry_line(entry) : NULL;

	if (loaded->summary.state_crc64 != next->state_crc64)
		return false;
	return loaded->folder.inode == next->inode ||
	       (line && line->is_known && line->state_crc64 != next->state_crc64);
}

static void settle_next(struct try *try, struct snapshot_loaded *loaded)
{
	struct catalog *catalog = catalog_of(try->tries);
	const struct catalog_line *next = catalog_intention(catalog, try->name);
	struct catalog_registration registration;
	struct error_detail detail = { "" };

	if (!next || !is_meant(catalog, next, loaded)) {
		snapshot_loaded_close(loaded);
	} else {
		registration = snapshot_loaded_registration(loaded, next->name, next->path, next->devices);
		registration.id = next->id;
		if (catalog_register(catalog, &registration, true, NULL, &detail)) {
			log_error("snapshot not loaded", log_text("snapshot", next->name),
				  log_text("detail", detail.text));
			snapshot_loaded_close(loaded);
		}
	}
	catalog_forget_intention(catalog, try->name);
	try_entry(try);
}

static void on_next_loaded(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	struct try *try = opaque;
	struct catalog *catalog = catalog_of(try->tries);
	const struct catalog_line *next = catalog_intention(catalog, try->name);
	struct error_detail detail = { "" };
	struct catalog_entry *entry;

	try->load = NULL;
	if (!error) {
		settle_next(try, loaded);
		return;
	}
	if (error->code == RPC_NOT_FOUND) {
		catalog_forget_intention(catalog, try->name);
		try_entry(try);
		return;
	}

	/* It cannot be told which of the two is there: both records stay. */
	entry = catalog_find_any(catalog, try->name);
	if (!entry && next && catalog_add_line(catalog, next, &detail) == 0) {
		catalog_forget_intention(catalog, try->name);
		entry = catalog_find_any(catalog, try->name);
	}
	if (entry)
		mark(entry, error->message);
	finish(try);
}

/* ---- the queue ---- */

static void end_round(struct snapshot_tries *tries)
{
	const struct timeval pause = clock_timeval(ROUND_PAUSE_MS);
	void (*all_tried)(struct server * server) = tries->all_tried;

	(void)event_add(tries->round, &pause);
	tries->all_tried = NULL;
	if (all_tried)
		all_tried(tries->server);
}

static void on_next(evutil_socket_t fd, short events, void *opaque)
{
	struct snapshot_tries *tries = opaque;
	struct try *try = STAILQ_FIRST(&tries->queue);
	const struct catalog_line *next;

	(void)fd;
	(void)events;
	if (!try) {
		end_round(tries);
		return;
	}
	next = catalog_intention(catalog_of(tries), try->name);
	if (snapshot_name_is_locked(snapshots_locks(tries->server->snapshots), try->name))
		finish(try);
	else if (next)
		begin_load(try, next->path, false, on_next_loaded);
	else
		try_entry(try);
}

static void add_try(struct snapshot_tries *tries, const char *name)
{
	struct try *try = calloc(1, sizeof(*try));

	/* Out of memory: the next round tries it. */
	if (!try)
		return;
	try->tries = tries;
	(void)snprintf(try->name, sizeof(try->name), "%s", name);
	STAILQ_INSERT_TAIL(&tries->queue, try, link);
}

static void on_round(evutil_socket_t fd, short events, void *opaque)
{
	struct snapshot_tries *tries = opaque;
	const struct catalog *catalog = catalog_of(tries);
	const struct catalog_line *next;
	size_t i;

	(void)fd;
	(void)events;
	for (i = 0; i < catalog_count(catalog); i++)
		add_try(tries, catalog_entry_name(catalog_at(catalog, i)));
	for (i = 0; (next = catalog_intention_at(catalog, i)) != NULL; i++)
		if (!catalog_knows(catalog, next->name))
			add_try(tries, next->name);
	event_active(tries->next, EV_TIMEOUT, 0);
}

void snapshot_tries_start(struct snapshot_tries *tries, void (*all_tried)(struct server *server))
{
	tries->all_tried = all_tried;
	event_active(tries->round, EV_TIMEOUT, 0);
}

int snapshot_tries_new(struct server *server, struct snapshot_tries **ret_tries)
{
	struct snapshot_tries *tries = calloc(1, sizeof(*tries));

	if (!tries)
		return -ENOMEM;
	tries->server = server;
	STAILQ_INIT(&tries->queue);
	tries->next = event_new(server->base, -1, 0, on_next, tries);
	tries->round = event_new(server->base, -1, 0, on_round, tries);
	if (!tries->next || !tries->round) {
		(void)snapshot_tries_free(tries);
		return -ENOMEM;
	}

	*ret_tries = tries;
	return 0;
}

struct snapshot_tries *snapshot_tries_free(struct snapshot_tries *tries)
{
	struct try *try;

	if (!tries)
		return NULL;
	while ((try = STAILQ_FIRST(&tries->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&tries->queue, link);
		free_try(try);
	}
	if (tries->next)
		event_free(tries->next);
	if (tries->round)
		event_free(tries->round);
	free(tries);
	return NULL;
}

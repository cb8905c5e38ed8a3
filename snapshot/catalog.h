/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshots that a daemon knows, and who uses them: plain data in memory, with a text to keep it by.
 *
 * An entry owns the descriptors that restores hand to workers, so that a snapshot stays usable whatever becomes of its
 * name or its files. It knows its holders (VMs), and is freed when it was removed and the last of them is gone. One
 * thread uses a catalog; nothing here waits for anything.
 *
 * A snapshot's identity is its id, which is drawn when it is registered, and its folder, which an available entry holds
 * open: device and inode say whether two paths lead to one folder. An entry whose files cannot be read stays, with its
 * reason, and keeps its record until it is removed or its files are back.
 */
#ifndef EMBER_SNAPSHOT_CATALOG_H
#define EMBER_SNAPSHOT_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "devices/machine.h"
#include "kvm/error_detail.h"

#define CATALOG_NAME_MAX 64             /* characters of a name: [A-Za-z0-9][A-Za-z0-9._-]* */
#define CATALOG_FILE     "catalog.json" /* where the catalog's text is kept */
#define CATALOG_TEXT_MAX (UINT64_C(64) << 20)

#define CATALOG_ID_SIZE 33 /* an id: 32 hexadecimal digits and the terminator */

#define CATALOG_OVERLAYS    MACHINE_DISKS_MAX
#define CATALOG_DEVICES_MAX 262144

/* What the loader said of a snapshot: its own words about a hostile file, in bounds. */
struct catalog_summary {
	struct machine_shape shape;
	uint64_t data_bytes; /* of the memory, that are not holes */
	uint64_t created_unix_ns;
	uint64_t state_crc64;
	uint32_t chunk_count;
};

enum catalog_status {
	CATALOG_AVAILABLE = 0,
	CATALOG_LOADING,     /* known from the catalog's text; its files have not been read yet */
	CATALOG_UNAVAILABLE, /* its files cannot be read: catalog_entry_reason() */
};

/* A folder, whatever its name: open for reading, so that its inode is not given to another. */
struct catalog_folder {
	int fd; /* -1: not open */
	uint64_t device;
	uint64_t inode;
};

/* What the catalog's text says of one snapshot. */
struct catalog_line {
	const char *id; /* NULL: a text of format 1 gives none */
	const char *name;
	const char *path;
	json_t *devices; /* see struct catalog_registration */
	bool is_known;   /* state_crc64 and inode are: not so in format 1 */
	uint64_t state_crc64;
	uint64_t inode; /* of the folder */
};

struct catalog;       /* opaque */
struct catalog_entry; /* opaque */

struct catalog_registration {
	const char *id;   /* NULL: one is drawn */
	const char *name; /* NULL: anonymous, not kept when the last holder is gone */
	const char *path; /* the snapshot's folder, absolute; UTF-8 */
	/*
	 * What was behind its devices, and is known from nowhere else: a JSON object, at most CATALOG_DEVICES_MAX bytes as
	 * text, that the catalog keeps as it is; NULL: nothing is known. A reference is taken.
	 */
	json_t *devices;
	int memory; /* memory.snap, open for reading */
	int state;  /* sealed struct vm_state */
	const int *
		overlays; /* CATALOG_OVERLAYS: of each disk, what the snapshot keeps of it, open for reading, or -1; NULL: none */
	struct catalog_folder folder; /* owned as the descriptors are */
	struct catalog_summary summary;
};

/* Is it a name for a snapshot? */
bool catalog_name_is_valid(const char *name);

/*
 * Make an empty catalog.
 *
 * gone  called just before an entry is freed, whether by catalog_remove() or by the last catalog_release(): the last
 *       chance to look at it. Must not change the catalog. Not called by catalog_free(). May be NULL
 *
 * Returns 0 or -ENOMEM. The caller ends it with catalog_free().
 */
int catalog_new(void (*gone)(void *opaque, const struct catalog_entry *entry), void *opaque,
		struct catalog **ret_catalog);

/* Free all entries, held or not. Takes NULL; returns NULL. */
struct catalog *catalog_free(struct catalog *catalog);

/*
 * Put a snapshot in, with its files: it is available. An anonymous entry that holds the same folder gets the name, so that
 * who holds it holds the snapshot of that name; the registration's descriptors are closed then.
 *
 * registration  strings are copied; on success the catalog owns the descriptors, on failure they stay the caller's
 * replace       an entry of that name makes way: it is found no more, and freed when its last holder is gone
 * ret_entry     may be NULL
 *
 * Returns 0; -EINVAL (name, path or devices: detail); -EEXIST (the name is taken, and replace is false); -EBUSY (that entry is
 * being removed); -ENOMEM.
 */
int catalog_register(struct catalog *catalog, const struct catalog_registration *registration, bool replace,
		     struct catalog_entry **ret_entry, struct error_detail *detail);

/*
 * Put in what the catalog's text says, before its files are read: an entry in the state CATALOG_LOADING.
 *
 * Returns 0; -EINVAL, -EEXIST, -ENOMEM as catalog_register().
 */
int catalog_add_line(struct catalog *catalog, const struct catalog_line *line, struct error_detail *detail);

/*
 * Give an entry the files that were read for it, so that it is available; its id, name, path and devices stay.
 *
 * Where the folder is the one that it holds already, its own descriptors stay. Where it is another (the files were
 * copied back), another entry takes its place, and the old one stays for its holders. On success the descriptors are
 * the catalog's, on failure they stay the caller's.
 *
 * files      name, path, id and devices are not looked at
 * ret_entry  the entry from here on
 *
 * Returns 0; -ESTALE (the folder holds another snapshot than the one that was registered: detail); -EBUSY (it is being
 * removed); -ENOMEM.
 */
int catalog_revive(struct catalog *catalog, struct catalog_entry *entry, const struct catalog_registration *files,
		   struct catalog_entry **ret_entry, struct error_detail *detail);

/* Its files cannot be read: say so with the reason, which is copied and may be cut. */
void catalog_mark_unavailable(struct catalog_entry *entry, const char *reason);

/*
 * The next entry after `after` (NULL: the first) that holds this folder, named ones first; one that was replaced is left out.
 * Returns NULL where there is none.
 */
struct catalog_entry *catalog_find_folder(const struct catalog *catalog, uint64_t device, uint64_t inode,
					  const struct catalog_entry *after);

/*
 * Note what is about to take a name: the catalog's text says so from then on, beside what has the name still. A daemon that
 * is killed between the text and the folder's rename, or after it, finds by state_crc64 and inode which of the two there is.
 *
 * line  copied; one of that name makes way
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int catalog_intend(struct catalog *catalog, const struct catalog_line *line, struct error_detail *detail);

/* What is about to take the name, or NULL; valid until it is forgotten. */
const struct catalog_line *catalog_intention(const struct catalog *catalog, const char *name);
const struct catalog_line *catalog_intention_at(const struct catalog *catalog, size_t index);
void catalog_forget_intention(struct catalog *catalog, const char *name);

/* The entry of that name that can be used, or NULL: one that is being removed is not found. */
struct catalog_entry *catalog_find(struct catalog *catalog, const char *name);

/* The entry of that name even while it is being removed, or NULL. */
struct catalog_entry *catalog_find_any(struct catalog *catalog, const char *name);

/* Is there a line for the name in the catalog's text: an entry of that name that is not being removed? */
bool catalog_knows(const struct catalog *catalog, const char *name);

/* Entries with names, in order of name, those that are being removed included. */
size_t catalog_count(const struct catalog *catalog);
struct catalog_entry *catalog_at(const struct catalog *catalog, size_t index);

const char *catalog_entry_id(const struct catalog_entry *entry); /* never NULL */
enum catalog_status catalog_entry_status(const struct catalog_entry *entry);
const char *catalog_status_name(enum catalog_status status);
const char *catalog_entry_reason(const struct catalog_entry *entry); /* NULL unless it is unavailable */
const struct catalog_folder *catalog_entry_folder(const struct catalog_entry *entry);
const struct catalog_line *catalog_entry_line(const struct catalog_entry *entry); /* what is expected of it */
bool catalog_entry_is_complete(const struct catalog_entry *entry); /* its summary and descriptors are known */
const char *catalog_entry_name(const struct catalog_entry *entry); /* NULL: anonymous */
const char *catalog_entry_path(const struct catalog_entry *entry);
int catalog_entry_memory(const struct catalog_entry *entry); /* descriptors stay the entry's */
int catalog_entry_state(const struct catalog_entry *entry);
const int *catalog_entry_overlays(const struct catalog_entry *entry);   /* CATALOG_OVERLAYS; -1: none */
const json_t *catalog_entry_devices(const struct catalog_entry *entry); /* NULL: nothing is known */
const struct catalog_summary *catalog_entry_summary(const struct catalog_entry *entry);
bool catalog_entry_is_being_removed(const struct catalog_entry *entry);
bool catalog_entry_was_replaced(const struct catalog_entry *entry);

/* Who holds it, in the order of their coming; valid until the next change. */
const uint64_t *catalog_entry_holders(const struct catalog_entry *entry, size_t *ret_count);

/*
 * Note that a VM uses a snapshot, until catalog_release(). A VM holds an entry once.
 *
 * Returns 0, -EEXIST (it holds it already), -ESHUTDOWN (it is being removed), or -ENOMEM.
 */
int catalog_hold(struct catalog_entry *entry, uint64_t holder);

/*
 * Note that it does not any more. Frees the entry if it was the last holder of one that is anonymous, replaced or being
 * removed.
 *
 * Returns 0, or -ENOENT (it did not hold it).
 */
int catalog_release(struct catalog *catalog, struct catalog_entry *entry, uint64_t holder);

/*
 * Take an entry out.
 *
 * when_free  where it is held: hand it out no more, and free it with its last holder
 *
 * Returns 0 (it is freed); -EBUSY (it is held: see catalog_entry_holders()); -EINPROGRESS (it is held, and will go;
 * also where that was asked for already).
 */
int catalog_remove(struct catalog *catalog, struct catalog_entry *entry, bool when_free);

/* Change one's mind about an entry that is being removed: it can be used again. */
void catalog_keep(struct catalog_entry *entry);

/*
 * The catalog as text: ids, names, paths, devices and what is expected of the files, of what has a name and is not being
 * removed, and what is about to take a name.
 *
 * ret_text  from malloc(3), the caller's; for publish_file()
 *
 * Returns 0 or -ENOMEM.
 */
int catalog_to_text(const struct catalog *catalog, char **ret_text, size_t *ret_size);

/*
 * Read such a text, of this format or of format 1: calls visit for each snapshot, after all of it was checked. Strings are
 * valid during the call; devices (NULL: it has none) is an object, looked at no further, that may be kept by a reference.
 *
 * line  what has the name; NULL: nothing had, next is given
 * next  what was about to take it; NULL: nothing was
 *
 * Returns 0, -EINVAL (no catalog: detail says why), -EFBIG, -ENOMEM, or what visit returned where it was not 0: then no
 * more follow.
 */
int catalog_from_text(const char *text, size_t size,
		      int (*visit)(void *opaque, const struct catalog_line *line, const struct catalog_line *next),
		      void *opaque, struct error_detail *detail);

#endif

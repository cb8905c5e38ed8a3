/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share. One of them a kind of device; devices.c joins them.
 */
#ifndef EMBER_SERVER_DEVICES_PRIVATE_H
#define EMBER_SERVER_DEVICES_PRIVATE_H

#include <sys/queue.h>
#include <sys/types.h>

#include "server/devices/devices.h"
#include "server/unix_listener.h"

#define VSOCK_PATH_SIZE 108 /* bytes of a socket's address, with the terminating NUL; unix(7) */

/* What an image was when it was opened. */
struct image_mark {
	bool is_known;
	dev_t device; /* 0: not known, and not compared */
	ino_t inode;
	int64_t size;       /* bytes */
	int64_t changed_ns; /* of the last modification, since the epoch; -1: not known, and not compared */
};

struct drive {
	bool in_place;              /* written without an overlay */
	bool made_overlay;          /* a named overlay that did not exist before */
	bool was_elsewhere;         /* the request says where the image is now: its time means nothing */
	struct image_mark expected; /* restore */
	struct image_mark found;
};

struct devices {
	LIST_ENTRY(devices) link; /* of the server's, while its CID is taken */
	struct server *server;
	uint32_t references; /* the loop's */
	json_t *record;
	bool restore;
	bool settled;
	struct pool_devices pool;
	struct drive drives[MACHINE_DISKS_MAX];
	bool tap_was_passed[MACHINE_NETS_MAX];
	char vsock_path[VSOCK_PATH_SIZE];
	struct unix_listener *listener;
};

/* The item of an array of the record. */
const json_t *device_record_item(const struct devices *devices, const char *kind, uint32_t index);

/* "drives[1].path" as an error's field. */
void device_error_field(struct rpc_error *error, const char *kind, uint32_t index, const char *member);

struct rate_limit_options device_limit(const json_t *limit); /* NULL: none */

/* drives.c */
void drives_plan(struct devices *devices, const json_t *images, const int *bases);
int drives_open(struct devices *devices, struct rpc_error *error);
bool drives_are_open(const struct devices *devices);
void drives_close(struct devices *devices); /* and remove what was made for a VM that was not started; blocks */
int drives_remember(const struct devices *devices, json_t *images, struct rpc_error *error);

/* nets.c */
int nets_plan(struct devices *devices, struct devices_taps *taps, struct rpc_error *error);
int nets_open(struct devices *devices, struct rpc_error *error);
void nets_close(struct devices *devices);

/* vsock.c */
int vsock_plan(struct devices *devices, struct rpc_error *error);
int vsock_open(struct devices *devices, struct rpc_error *error);
void vsock_close(struct devices *devices);

#endif

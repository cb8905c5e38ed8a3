/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives: an image each, and where a VM's writes go.
 *
 *	read_only              the image, shared
 *	overlay                the image, shared, and a file of that name that is the VM's alone
 *	overlay_folder         the image, shared, and a file without a name, which is gone with the VM
 *	none of them           the image alone, written in place, the VM's alone
 *
 * What may be written is locked exclusively (flock(2)), what is read is locked shared, so that no image changes under who
 * reads it. The locks are of the open files: they end when the last descriptor of them does, the worker's.
 *
 * A restored VM's disk is what its snapshot's was: the image as it was then (its size and its time are compared), over
 * it the overlay that the snapshot has kept, and over that a new overlay. A name for it must be new: an overlay that
 * exists holds something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/blk/disk.h"
#include "proto/method.h"
#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/devices/private.h"
#include "server/devices/record.h"

#define NANOSECONDS_PER_SECOND INT64_C(1000000000)
#define MIB_SHIFT              20
#define COMMON_FLAGS           (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

static void set_mark(const struct stat *status, struct image_mark *ret_mark)
{
	*ret_mark = (struct image_mark){
		.is_known = true,
		.device = status->st_dev,
		.inode = status->st_ino,
		.size = status->st_size,
		.changed_ns = status->st_mtim.tv_sec * NANOSECONDS_PER_SECOND + status->st_mtim.tv_nsec,
	};
}

static bool has_overlay(const json_t *drive)
{
	return param_given(drive, "overlay") || param_given(drive, "overlay_folder");
}

static void plan_drive(struct devices *devices, uint32_t index, const json_t *image, int base)
{
	const json_t *wanted = device_record_item(devices, "drives", index);
	const char *serial = param_string(wanted, "serial");
	struct pool_drive *pool_drive = &devices->pool.drives[index];
	struct drive *drive = &devices->drives[index];

	*pool_drive = (struct pool_drive){
		.image = -1,
		.base = base,
		.overlay = -1,
		.overlay_limit = (uint64_t)param_int(wanted, "overlay_mib", 0) << MIB_SHIFT,
		.read_only = param_bool(wanted, "read_only"),
		.limit = device_limit(param_object(wanted, "limit")),
	};
	(void)snprintf(pool_drive->serial, sizeof(pool_drive->serial), "%s", serial ? serial : "");
	drive->in_place = !pool_drive->read_only && !has_overlay(wanted);
	if (!image)
		return;
	drive->expected = (struct image_mark){
		.is_known = true,
		.size = json_integer_value(json_object_get(image, RECORD_IMAGE_SIZE)),
		.changed_ns = json_is_integer(json_object_get(image, RECORD_IMAGE_CHANGED))
				      ? json_integer_value(json_object_get(image, RECORD_IMAGE_CHANGED))
				      : -1,
	};
}

void drives_plan(struct devices *devices, const json_t *images, const int *bases)
{
	uint32_t count = (uint32_t)json_array_size(param_array(devices->record, "drives")), i;

	devices->pool.drive_count = count;
	for (i = 0; i < count; i++)
		plan_drive(devices, i, json_array_get(images, i), bases ? bases[i] : -1);
}

/* What open(2) or the like said, about the file that a parameter names. */
static int fail_open(struct rpc_error *error, uint32_t index, const char *member, const char *what, int number)
{
	(void)rpc_error_set_reason(error, reason_of_errno(DEED_OPEN_PATH, number), "the %s cannot be opened: %s", what,
				   strerrordesc_np(-number));
	device_error_field(error, "drives", index, member);
	return number;
}

static int fail_with(struct rpc_error *error, enum rpc_code code, uint32_t index, const char *member, const char *text)
{
	int number = rpc_error_set(error, code, "%s", text);

	device_error_field(error, "drives", index, member);
	return number;
}

static int lock_file(int file, int operation, uint32_t index, const char *member, const char *what,
		     struct rpc_error *error)
{
	char text[RPC_MESSAGE_SIZE];

	if (flock(file, operation | LOCK_NB) == 0)
		return 0;
	(void)snprintf(text, sizeof(text), "the %s %s", what, errno == EWOULDBLOCK ? "is in use" : "cannot be locked");
	return fail_with(error, RPC_FAILED_PRECONDITION, index, member, text);
}

/* Is the image what it was? */
static int compare(const struct image_mark *expected, const struct image_mark *found, uint32_t index, const char *since,
		   struct rpc_error *error)
{
	char text[RPC_MESSAGE_SIZE];

	if (!expected->is_known)
		return 0;
	if (expected->inode && (expected->inode != found->inode || expected->device != found->device))
		return fail_with(error, RPC_FAILED_PRECONDITION, index, "path", "another image has taken its place");
	if (expected->size == found->size && (expected->changed_ns < 0 || expected->changed_ns == found->changed_ns))
		return 0;

	(void)snprintf(text, sizeof(text), "the image has changed since %s", since);
	return fail_with(error, RPC_FAILED_PRECONDITION, index, "path", text);
}

static int open_image(struct devices *devices, uint32_t index, struct rpc_error *error)
{
	const char *path = param_string(device_record_item(devices, "drives", index), "path");
	struct drive *drive = &devices->drives[index];
	cleanup_close int file = open(path, (drive->in_place ? O_RDWR : O_RDONLY) | COMMON_FLAGS);
	struct stat status;
	int failed;

	if (file < 0 || fstat(file, &status))
		return fail_open(error, index, "path", "image", -errno);
	if (!S_ISREG(status.st_mode))
		return fail_with(error, RPC_INVALID_ARGUMENT, index, "path", "the image is not a regular file");
	if (status.st_size < DISK_SECTOR || status.st_size % DISK_SECTOR != 0)
		return fail_with(error, RPC_INVALID_ARGUMENT, index, "path",
				 "the image is not a whole number of sectors of 512 bytes, one or more");

	failed = lock_file(file, drive->in_place ? LOCK_EX : LOCK_SH, index, "path", "image", error);
	/* Under the lock: nobody of ours writes to it any more. */
	if (!failed && fstat(file, &status))
		failed = fail_open(error, index, "path", "image", -errno);
	if (failed)
		return failed;
	set_mark(&status, &drive->found);
	failed = compare(&drive->expected, &drive->found, index, "the snapshot", error);
	if (failed)
		return failed;

	devices->pool.drives[index].image = steal_fd(&file);
	return 0;
}

/* An overlay that another VM has left, to go on with. */
static int check_old_overlay(int file, uint32_t index, struct rpc_error *error)
{
	struct stat status;

	if (fstat(file, &status))
		return fail_open(error, index, "overlay", "overlay", -errno);
	if (!S_ISREG(status.st_mode))
		return fail_with(error, RPC_INVALID_ARGUMENT, index, "overlay", "the overlay is not a regular file");
	if (status.st_size == 0)
		return fail_with(error, RPC_INVALID_ARGUMENT, index, "overlay",
				 "the overlay is an empty file, which was not made by a VM");
	return 0;
}

static int open_named_overlay(struct devices *devices, uint32_t index, const char *path, struct rpc_error *error)
{
	cleanup_close int file = open(path, O_RDWR | O_CREAT | O_EXCL | COMMON_FLAGS, 0600);
	bool made = file >= 0;
	int failed = 0;

	if (!made && errno == EEXIST && devices->restore)
		return fail_with(error, RPC_ALREADY_EXISTS, index, "overlay",
				 "the overlay of a restored VM must be a new file");
	if (!made && errno == EEXIST)
		file = open(path, O_RDWR | COMMON_FLAGS);
	if (file < 0)
		return fail_open(error, index, "overlay", "overlay", -errno);

	devices->drives[index].made_overlay = made;
	if (!made)
		failed = check_old_overlay(file, index, error);
	if (!failed)
		failed = lock_file(file, LOCK_EX, index, "overlay", "overlay", error);
	if (!failed || made)
		devices->pool.drives[index].overlay = steal_fd(&file);
	return failed;
}

static int open_overlay(struct devices *devices, uint32_t index, struct rpc_error *error)
{
	const json_t *drive = device_record_item(devices, "drives", index);
	const char *path = param_string(drive, "overlay"), *folder = param_string(drive, "overlay_folder");
	int file;

	if (path)
		return open_named_overlay(devices, index, path, error);
	if (!folder)
		return 0;

	file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0)
		return fail_open(error, index, "overlay_folder",
				 errno == EOPNOTSUPP ? "file system has no unnamed files; an overlay" : "overlay",
				 -errno);
	devices->pool.drives[index].overlay = file;
	return 0;
}

int drives_open(struct devices *devices, struct rpc_error *error)
{
	int failed = 0;
	uint32_t i;

	for (i = 0; !failed && i < devices->pool.drive_count; i++) {
		failed = open_image(devices, i, error);
		if (!failed)
			failed = open_overlay(devices, i, error);
	}
	return failed;
}

/* An overlay that was made for a VM that was not started. */
static void remove_overlay(const struct devices *devices, uint32_t index)
{
	const char *path = param_string(device_record_item(devices, "drives", index), "overlay");
	struct stat ours, there;

	if (path && fstat(devices->pool.drives[index].overlay, &ours) == 0 && lstat(path, &there) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
		(void)unlink(path);
}

bool drives_are_open(const struct devices *devices)
{
	uint32_t i;

	for (i = 0; i < devices->pool.drive_count; i++)
		if (devices->pool.drives[i].image >= 0 || devices->pool.drives[i].overlay >= 0)
			return true;
	return false;
}

void drives_close(struct devices *devices)
{
	uint32_t i;

	for (i = 0; i < devices->pool.drive_count; i++) {
		struct pool_drive *drive = &devices->pool.drives[i];

		if (drive->overlay >= 0 && devices->drives[i].made_overlay && !devices->settled)
			remove_overlay(devices, i);
		if (drive->image >= 0)
			(void)close(drive->image);
		if (drive->overlay >= 0)
			(void)close(drive->overlay);
		drive->image = drive->base = drive->overlay = -1;
	}
}

bool devices_has_overlay(const struct devices *devices, uint32_t drive)
{
	return drive < devices->pool.drive_count && has_overlay(device_record_item(devices, "drives", drive));
}

int devices_in_place(const struct devices *devices)
{
	uint32_t i;

	for (i = 0; i < devices->pool.drive_count; i++)
		if (devices->drives[i].in_place)
			return (int)i;
	return -1;
}

static int remember(const struct devices *devices, uint32_t index, json_t *images, struct rpc_error *error)
{
	const char *path = param_string(device_record_item(devices, "drives", index), "path");
	const struct drive *drive = &devices->drives[index];
	struct image_mark expected = drive->found, found;
	struct stat status;

	if (lstat(path, &status))
		return fail_open(error, index, "path", "image", -errno);
	set_mark(&status, &found);
	/* What is written in place has changed by its own VM, which stands still now. */
	if (drive->in_place)
		expected.changed_ns = -1;
	if (compare(&expected, &found, index, "the VM was started", error))
		return -ESTALE;

	return json_array_append_new(images, json_pack("{s:I, s:I}", RECORD_IMAGE_SIZE, (json_int_t)found.size,
						       RECORD_IMAGE_CHANGED, (json_int_t)found.changed_ns))
		       ? rpc_error_set(error, RPC_INTERNAL, "the daemon is out of memory")
		       : 0;
}

int drives_remember(const struct devices *devices, json_t *images, struct rpc_error *error)
{
	int failed = 0;
	uint32_t i;

	for (i = 0; !failed && i < devices->pool.drive_count; i++)
		failed = remember(devices, i, images, error);
	return failed;
}

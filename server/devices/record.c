/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records are JSON from the first to the last: parameters in, catalog out, and the same tables check both.
 *
 * For a restore, a drive's place for writes is taken from the record as follows, where the request says nothing of it:
 *
 *	recorded           restored with
 *	read_only          read_only
 *	overlay            overlay_folder, the folder that the overlay was in: its name is the other VM's
 *	overlay_folder     the same
 *	in place           in place: under its lock, and only while the image is what it was
 */
#include "server/devices/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/method.h"
#include "server/cleanup.h"

#define BOOT_METHOD "vm.boot"

static const char *const members[] = { "drives", "net", "vsock", "rng", "balloon", NULL };

static int out_of_memory(struct rpc_error *error)
{
	(void)rpc_error_set(error, RPC_INTERNAL, "the daemon is out of memory");
	return -ENOMEM;
}

static int fail_at(struct rpc_error *error, enum rpc_code code, const char *kind, size_t index, const char *member,
		   const char *text)
{
	int number = rpc_error_set(error, code, "%s", text);
	char field[RPC_FIELD_SIZE];

	(void)snprintf(field, sizeof(field), "%s[%zu].%s", kind, index, member);
	rpc_error_add_field(error, field);
	return number;
}

/* ---- what must be so of every drive ---- */

static int check_drive(const json_t *drive, size_t index, struct rpc_error *error)
{
	static const char *const overlays[] = { "overlay", "overlay_folder", NULL };
	bool has_overlay = param_given(drive, "overlay") || param_given(drive, "overlay_folder");
	int i;

	for (i = 0; overlays[i]; i++)
		if (param_bool(drive, "read_only") && param_given(drive, overlays[i]))
			return fail_at(error, RPC_INVALID_PARAMS, "drives", index, overlays[i],
				       "a drive that is only read has no overlay");
	if (param_given(drive, "overlay_mib") && !has_overlay)
		return fail_at(error, RPC_INVALID_PARAMS, "drives", index, "overlay_mib",
			       "the drive has no overlay to be limited");
	return 0;
}

static int check_drives(const json_t *record, struct rpc_error *error)
{
	const json_t *drives = param_array(record, "drives");
	int failed = 0;
	size_t i;

	for (i = 0; !failed && i < json_array_size(drives); i++)
		failed = check_drive(json_array_get(drives, i), i, error);
	return failed;
}

int record_for_boot(const json_t *params, json_t **ret_record, struct rpc_error *error)
{
	cleanup_json json_t *record = json_object();
	int i, failed;

	for (i = 0; members[i]; i++) {
		json_t *value = json_object_get(params, members[i]);

		if (value && json_object_set_new(record, members[i], json_deep_copy(value)))
			return out_of_memory(error);
	}
	/* A Linux guest cannot do without entropy. */
	if (param_given(params, "kernel") && !param_given(params, "rng") &&
	    json_object_set_new(record, "rng", json_object()))
		return out_of_memory(error);
	if (!record)
		return out_of_memory(error);
	failed = check_drives(record, error);
	if (failed)
		return failed;

	*ret_record = steal_pointer(record);
	return 0;
}

/* ---- restore ---- */

/* The request's list, as far as it goes, over the record's; the record is given as many as the snapshot has. */
static json_t *begin_list(const json_t *recorded, uint32_t count)
{
	cleanup_json json_t *list = json_array();
	uint32_t i;

	for (i = 0; list && i < count; i++) {
		const json_t *item = json_array_get(recorded, i);

		if (json_array_append_new(list, item ? json_deep_copy(item) : json_object()))
			return NULL;
	}
	return steal_pointer(list);
}

/* Of two members that say the same in different ways, the request's takes the place of the record's. */
static void drop_rival(json_t *item, const json_t *override, const char *one, const char *other)
{
	if (param_given(override, one))
		(void)json_object_del(item, other);
	if (param_given(override, other))
		(void)json_object_del(item, one);
}

static int check_count(const char *kind, const char *what, size_t given, uint32_t has, struct rpc_error *error)
{
	if (given <= has)
		return 0;
	return rpc_error_set_field(error, kind, "the snapshot has %u %s, and the request speaks of %zu", has, what,
				   given);
}

static int fail_unknown(const char *kind, const char *what, uint32_t count, struct rpc_error *error)
{
	int number = rpc_error_set(
		error, RPC_FAILED_PRECONDITION,
		"the snapshot has %u %s, and it is not known here what was behind them: the request must say so, in %s",
		count, what, kind);

	rpc_error_add_field(error, kind);
	return number;
}

/* A named overlay is the VM's that the snapshot was taken of: a new one has its folder. */
static int forget_overlay(json_t *drive)
{
	const char *overlay = param_string(drive, "overlay");
	const char *slash = overlay ? strrchr(overlay, '/') : NULL;
	size_t length;

	if (!slash)
		return 0;
	length = slash == overlay ? 1 : (size_t)(slash - overlay);
	if (json_object_set_new(drive, "overlay_folder", json_stringn(overlay, length)))
		return -ENOMEM;
	return json_object_del(drive, "overlay");
}

static int restore_drive(json_t *drive, const json_t *override, size_t index, bool is_known, bool has_base,
			 struct rpc_error *error)
{
	if (is_known && param_given(override, "read_only") &&
	    param_bool(override, "read_only") != param_bool(drive, "read_only"))
		return fail_at(error, RPC_INVALID_PARAMS, "drives", index, "read_only",
			       "the guest knows the drive otherwise");
	if (forget_overlay(drive))
		return out_of_memory(error);
	drop_rival(drive, override, "overlay", "overlay_folder");
	if (override && json_object_update(drive, (json_t *) override))
		return out_of_memory(error);
	if (!param_given(drive, "read_only") && json_object_set_new(drive, "read_only", json_false()))
		return out_of_memory(error);

	if (!param_given(drive, "path"))
		return fail_at(error, RPC_FAILED_PRECONDITION, "drives", index, "path",
			       "it is not known here where the drive's image is: the request must say so");
	if (has_base && !param_given(drive, "overlay") && !param_given(drive, "overlay_folder"))
		return fail_at(error, RPC_FAILED_PRECONDITION, "drives", index, "overlay_folder",
			       "the snapshot has kept what was written over the image: the drive needs an overlay");
	return check_drive(drive, index, error);
}

/* The image is where the request says: its time may be another, its size may not. */
static void relax_image(json_t *images, size_t index)
{
	json_t *image = json_array_get(images, index);

	if (image)
		(void)json_object_del(image, RECORD_IMAGE_CHANGED);
}

static int restore_drives(json_t *record, const json_t *recorded, json_t *images, uint32_t count, unsigned int has_base,
			  const json_t *overrides, struct rpc_error *error)
{
	json_t *drives = begin_list(recorded, count);
	int failed = check_count("drives", "drives", json_array_size(overrides), count, error);
	uint32_t i;

	if (json_object_set_new(record, "drives", drives))
		return out_of_memory(error);
	if (!failed && count > 0 && !recorded && !overrides)
		failed = fail_unknown("drives", "drives", count, error);
	for (i = 0; !failed && i < count; i++) {
		const json_t *override = json_array_get(overrides, i);

		failed = restore_drive(json_array_get(drives, i), override, i, recorded, has_base >> i & 1, error);
		if (param_given(override, "path"))
			relax_image(images, i);
	}
	return failed;
}

static int restore_net(json_t *net, const json_t *override, size_t index, struct rpc_error *error)
{
	if (param_given(net, "tap_fd"))
		(void)json_object_del(net, "tap_fd");
	drop_rival(net, override, "tap", "tap_fd");
	if (override && json_object_update(net, (json_t *) override))
		return out_of_memory(error);
	if (!param_given(net, "offloads") && json_object_set_new(net, "offloads", json_true()))
		return out_of_memory(error);

	if (!param_given(net, "tap") && !param_given(net, "tap_fd"))
		return fail_at(error, RPC_FAILED_PRECONDITION, "net", index, "tap",
			       "no name of a TAP device is known here: the request must give one, or a descriptor");
	return 0;
}

static int restore_nets(json_t *record, const json_t *recorded, uint32_t count, const json_t *overrides,
			struct rpc_error *error)
{
	json_t *nets = begin_list(recorded, count);
	int failed = check_count("net", "network interfaces", json_array_size(overrides), count, error);
	uint32_t i;

	if (json_object_set_new(record, "net", nets))
		return out_of_memory(error);
	if (!failed && count > 0 && !recorded && !overrides)
		failed = fail_unknown("net", "network interfaces", count, error);
	for (i = 0; !failed && i < count; i++)
		failed = restore_net(json_array_get(nets, i), json_array_get(overrides, i), i, error);
	return failed;
}

/* A CID and a path are one VM's: the request's, or new ones. */
static int restore_vsock(json_t *record, uint32_t count, const json_t *override, struct rpc_error *error)
{
	if (override && count == 0)
		return rpc_error_set_field(error, "vsock", "the snapshot has no vsock device");
	if (count > 0 && json_object_set_new(record, "vsock", override ? json_deep_copy(override) : json_object()))
		return out_of_memory(error);
	return 0;
}

/* What the request cannot change, and what it would be by itself. */
static int restore_other(json_t *record, const json_t *parameters, const struct machine_shape *shape,
			 struct rpc_error *error)
{
	json_t *rng = json_object_get(parameters, "rng"), *balloon = json_object_get(parameters, "balloon");

	if (shape->rngs > 0 && json_object_set_new(record, "rng", rng ? json_deep_copy(rng) : json_object()))
		return out_of_memory(error);
	if (shape->balloons > 0 &&
	    json_object_set_new(record, "balloon",
				balloon ? json_deep_copy(balloon)
					: json_pack("{s:b, s:b}", "deflate_on_oom", 1, "free_page_reporting", 1)))
		return out_of_memory(error);
	return 0;
}

/* Devices that are known to be others than the snapshot's are not known. */
static const json_t *parameters_of(const json_t *memory, const struct machine_shape *shape)
{
	const json_t *parameters = json_object_get(memory, "parameters");

	if (json_array_size(json_object_get(parameters, "drives")) != shape->disks ||
	    json_array_size(json_object_get(parameters, "net")) != shape->nets)
		return NULL;
	return parameters;
}

int record_for_restore(const json_t *memory, const struct machine_shape *shape, unsigned int has_base,
		       const json_t *params, json_t **ret_record, json_t **ret_images, struct rpc_error *error)
{
	const json_t *parameters = parameters_of(memory, shape);
	cleanup_json json_t *images = parameters ? json_deep_copy(json_object_get(memory, "images")) : NULL;
	cleanup_json json_t *record = json_object();
	int failed = record ? 0 : out_of_memory(error);

	if (!failed)
		failed = restore_drives(record, param_array(parameters, "drives"), images, shape->disks, has_base,
					param_array(params, "drives"), error);
	if (!failed)
		failed = restore_nets(record, param_array(parameters, "net"), shape->nets, param_array(params, "net"),
				      error);
	if (!failed)
		failed = restore_vsock(record, shape->vsocks, param_object(params, "vsock"), error);
	if (!failed)
		failed = restore_other(record, parameters, shape, error);
	if (failed)
		return failed;

	*ret_record = steal_pointer(record);
	*ret_images = steal_pointer(images);
	return 0;
}

/* ---- what a snapshot remembers ---- */

json_t *record_memory(const json_t *record, json_t *images)
{
	return json_pack("{s:o, s:O}", "parameters", json_deep_copy(record), "images", images);
}

static int check_images(const json_t *images, size_t count, struct error_detail *detail)
{
	const json_t *image;
	size_t i;

	if (json_array_size(images) != count) {
		error_detail_set(detail, "there are not as many images as drives");
		return -EINVAL;
	}
	json_array_foreach(images, i, image)
		if (json_object_size(image) != 2 || !json_is_integer(json_object_get(image, RECORD_IMAGE_SIZE)) ||
		    !json_is_integer(json_object_get(image, RECORD_IMAGE_CHANGED))) {
			error_detail_set(detail, "images[%zu] must be a size and a time", i);
			return -EINVAL;
		}
	return 0;
}

int record_check(const json_t *memory, struct error_detail *detail)
{
	const json_t *parameters = json_object_get(memory, "parameters"), *images = json_object_get(memory, "images");
	cleanup_json json_t *checked = NULL;
	struct rpc_error error = RPC_ERROR_INIT;
	int failed;

	if (json_object_size(memory) != 2 || !json_is_object(parameters) || !json_is_array(images)) {
		error_detail_set(detail, "devices must be parameters and images, and nothing else");
		return -EINVAL;
	}
	failed = method_validate(method_find(BOOT_METHOD), parameters, &checked, &error);
	if (!failed)
		failed = check_drives(checked, &error);
	if (failed) {
		error_detail_set(detail, "%s: %s", error.field, error.message);
		rpc_error_release(&error);
		return -EINVAL;
	}
	return check_images(images, json_array_size(param_array(checked, "drives")), detail);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a guest's devices.
 *
 * Those of drives and of network interfaces exist twice: for a boot, which needs to be told where a device's data
 * lives, and for a restore, where every member overrides what the snapshot says. What both share is a macro, so that
 * neither can learn a member that the other lacks.
 */
#include "proto/device_params.h"

#include <stddef.h>

#define SERIAL_MAX_BYTES    20 /* virtio 1.2, 5.2.6: VIRTIO_BLK_ID_BYTES */
#define INTERFACE_MAX_BYTES 15 /* IFNAMSIZ less the terminator */
#define MAC_BYTES           17 /* "02:00:00:00:00:01" */
#define TAP_FD_MAX          15
#define CID_MIN             3 /* virtio 1.2, 5.10.4: 0 to 2 are reserved, and so is what lies above CID_MAX */
#define CID_MAX             INT64_C(4294967294)
#define OVERLAY_MAX_MIB     2097152

const struct param limit_members[] = {
	{ .name = "bytes_per_second",
	  .type = PARAM_INT,
	  .maximum = INT64_MAX,
	  .unit = "bytes",
	  .description = "Bytes in a second; 0 or absent: no limit" },
	{ .name = "bytes_burst",
	  .type = PARAM_INT,
	  .maximum = INT64_MAX,
	  .unit = "bytes",
	  .description = "Bytes at once after a pause; 0 or absent: as many as in a second" },
	{ .name = "ops_per_second",
	  .type = PARAM_INT,
	  .maximum = INT64_MAX,
	  .description = "Requests in a second; 0 or absent: no limit" },
	{ .name = "ops_burst",
	  .type = PARAM_INT,
	  .maximum = INT64_MAX,
	  .description = "Requests at once after a pause; 0 or absent: as many as in a second" },
	PARAMS_END,
};

#define LIMIT(member, what)                                                                             \
	{                                                                                               \
		.name = (member), .type = PARAM_OBJECT, .members = limit_members, .description = (what) \
	}

#define DRIVE_MEMBERS(needed, is_read_only)                                                                            \
	{ .name = "path",                                                                                              \
	  .type = PARAM_STRING,                                                                                        \
	  .kind = STRING_PATH,                                                                                         \
	  .required = (needed),                                                                                        \
	  .role = ROLE_ADMIN,                                                                                          \
	  .minimum = 1,                                                                                                \
	  .maximum = PATH_MAX_BYTES,                                                                                   \
	  .description = "The file with the disk's content" },                                                         \
		{ .name = "read_only",                                                                                 \
		  .type = PARAM_BOOL,                                                                                  \
		  .default_json = (is_read_only),                                                                      \
		  .description = "Let the guest only read" },                                                          \
		{ .name = "overlay",                                                                                   \
		  .type = PARAM_STRING,                                                                                \
		  .kind = STRING_PATH,                                                                                 \
		  .role = ROLE_ADMIN,                                                                                  \
		  .minimum = 1,                                                                                        \
		  .maximum = PATH_MAX_BYTES,                                                                           \
		  .description = "The file for what this VM writes, made where there is none; path stays as it is" },  \
		{ .name = "overlay_folder",                                                                            \
		  .type = PARAM_STRING,                                                                                \
		  .kind = STRING_PATH,                                                                                 \
		  .role = ROLE_ADMIN,                                                                                  \
		  .minimum = 1,                                                                                        \
		  .maximum = PATH_MAX_BYTES,                                                                           \
		  .description = "The folder of an unnamed file for what this VM writes, which is gone with the VM" }, \
		{ .name = "overlay_mib",                                                                               \
		  .type = PARAM_INT,                                                                                   \
		  .minimum = 1,                                                                                        \
		  .maximum = OVERLAY_MAX_MIB,                                                                          \
		  .unit = "MiB",                                                                                       \
		  .description = "The most that the overlay may hold; absent: as much as the disk" },                  \
		{ .name = "serial",                                                                                    \
		  .type = PARAM_STRING,                                                                                \
		  .kind = STRING_PRINTABLE,                                                                            \
		  .minimum = 1,                                                                                        \
		  .maximum = SERIAL_MAX_BYTES,                                                                         \
		  .description = "The disk's serial number, as the guest sees it" },                                   \
		LIMIT("limit", "How fast the disk is at most"), PARAMS_END

const struct param drive_members[] = { DRIVE_MEMBERS(true, "false") };
const struct param restore_drive_members[] = { DRIVE_MEMBERS(false, NULL) };
const struct param_rule drive_rules[] = {
	{ .type = RULE_AT_MOST_ONE, .first = "overlay", .second = "overlay_folder" },
	RULES_END,
};

#define NET_MEMBERS(has_offloads)                                                                           \
	{ .name = "tap",                                                                                    \
	  .type = PARAM_STRING,                                                                             \
	  .kind = STRING_INTERFACE,                                                                         \
	  .role = ROLE_ADMIN,                                                                               \
	  .minimum = 1,                                                                                     \
	  .maximum = INTERFACE_MAX_BYTES,                                                                   \
	  .description = "The name of a TAP device on the host" },                                          \
		{ .name = "tap_fd",                                                                         \
		  .type = PARAM_INT,                                                                        \
		  .maximum = TAP_FD_MAX,                                                                    \
		  .description = "Which of the descriptors that came with the request is the TAP device" }, \
		{ .name = "mac",                                                                            \
		  .type = PARAM_STRING,                                                                     \
		  .kind = STRING_MAC,                                                                       \
		  .minimum = MAC_BYTES,                                                                     \
		  .maximum = MAC_BYTES,                                                                     \
		  .description = "The guest's MAC address" },                                               \
		{ .name = "offloads",                                                                       \
		  .type = PARAM_BOOL,                                                                       \
		  .default_json = (has_offloads),                                                           \
		  .description = "Leave checksums and segmentation to the host" },                          \
		LIMIT("to_guest", "How fast the guest receives at most"),                                   \
		LIMIT("from_guest", "How fast the guest sends at most"), PARAMS_END

const struct param net_members[] = { NET_MEMBERS("true") };
const struct param restore_net_members[] = { NET_MEMBERS(NULL) };
const struct param_rule net_rules[] = {
	{ .type = RULE_EXACTLY_ONE, .first = "tap", .second = "tap_fd" },
	RULES_END,
};
const struct param_rule restore_net_rules[] = {
	{ .type = RULE_AT_MOST_ONE, .first = "tap", .second = "tap_fd" },
	RULES_END,
};

const struct param vsock_members[] = {
	{ .name = "cid",
	  .type = PARAM_INT,
	  .minimum = CID_MIN,
	  .maximum = CID_MAX,
	  .description = "The guest's context id; absent: the daemon chooses a free one" },
	{ .name = "path",
	  .type = PARAM_STRING,
	  .kind = STRING_PATH,
	  .role = ROLE_ADMIN,
	  .minimum = 1,
	  .maximum = PATH_MAX_BYTES,
	  .description = "The host side's socket; absent: one beside the daemon's own, which the answer tells" },
	PARAMS_END,
};

const struct param balloon_members[] = {
	{ .name = "deflate_on_oom",
	  .type = PARAM_BOOL,
	  .default_json = "true",
	  .description = "Let the guest take memory back before it runs out" },
	{ .name = "free_page_reporting",
	  .type = PARAM_BOOL,
	  .default_json = "true",
	  .description = "Let the guest report pages that it does not use, whose memory the host takes" },
	{ .name = "target_mib",
	  .type = PARAM_INT,
	  .maximum = MEMORY_MAX_MIB,
	  .default_json = "0",
	  .unit = "MiB",
	  .description = "How much the guest is to give back" },
	PARAMS_END,
};

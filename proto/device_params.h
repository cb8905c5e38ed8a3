/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a Linux guest as parameters: objects that vm.boot and vm.restore share.
 *
 * A row takes them by their macros: "PARAM_DRIVES, PARAM_NET, PARAM_VSOCK, ...". A restore takes PARAM_RESTORE_DRIVES
 * and PARAM_RESTORE_NET, which override the snapshot's by position: the same members, but nothing is required, nothing
 * has a default, and an empty object leaves a device as the snapshot has it.
 */
#ifndef EMBER_PROTO_DEVICE_PARAMS_H
#define EMBER_PROTO_DEVICE_PARAMS_H

#include "proto/method.h"

#define MEMORY_MAX_MIB     3072 /* of a guest; server/ asserts that it is what kvm/ allows */
#define DRIVES_MAX         8
#define NET_MAX            4
#define METADATA_MAX_BYTES 3000 /* as compact JSON */

#define PATH_MAX_BYTES 4000 /* room for a file's name after it within PATH_MAX */

#define PARAMS_END           \
	{                    \
		.name = NULL \
	}
#define RULES_END             \
	{                     \
		.first = NULL \
	}

extern const struct param drive_members[], restore_drive_members[];
extern const struct param_rule drive_rules[];
extern const struct param net_members[], restore_net_members[];
extern const struct param_rule net_rules[], restore_net_rules[];
extern const struct param vsock_members[];
extern const struct param limit_members[]; /* an rng is nothing but its limit */
extern const struct param balloon_members[];

#define PARAM_DRIVES                                                                                           \
	{                                                                                                      \
		.name = "drives", .type = PARAM_OBJECT_ARRAY, .maximum = DRIVES_MAX, .members = drive_members, \
		.rules = drive_rules, .description = "Disks, in the guest's order"                             \
	}
#define PARAM_RESTORE_DRIVES                                                                                           \
	{                                                                                                              \
		.name = "drives", .type = PARAM_OBJECT_ARRAY, .maximum = DRIVES_MAX, .members = restore_drive_members, \
		.rules = drive_rules,                                                                                  \
		.description = "What is other than in the snapshot, disk by disk; {}: nothing of this one"             \
	}
#define PARAM_NET                                                                                      \
	{                                                                                              \
		.name = "net", .type = PARAM_OBJECT_ARRAY, .maximum = NET_MAX, .members = net_members, \
		.rules = net_rules, .description = "Network interfaces, in the guest's order"          \
	}
#define PARAM_RESTORE_NET                                                                                            \
	{                                                                                                            \
		.name = "net", .type = PARAM_OBJECT_ARRAY, .maximum = NET_MAX, .members = restore_net_members,       \
		.rules = restore_net_rules,                                                                          \
		.description = "What is other than in the snapshot, interface by interface; {}: nothing of this one" \
	}
#define PARAM_VSOCK                                                               \
	{                                                                         \
		.name = "vsock", .type = PARAM_OBJECT, .members = vsock_members,  \
		.description = "A vsock device, whose host side are Unix sockets" \
	}
#define PARAM_RNG                                                                   \
	{                                                                           \
		.name = "rng", .type = PARAM_OBJECT, .members = limit_members,      \
		.description = "A source of entropy, and how much it gives at most" \
	}
#define PARAM_BALLOON                                                                \
	{                                                                            \
		.name = "balloon", .type = PARAM_OBJECT, .members = balloon_members, \
		.description = "A balloon, by which the guest gives memory back"     \
	}
#define PARAM_METADATA                                                                                                \
	{                                                                                                             \
		.name = "metadata", .type = PARAM_JSON, .minimum = 2, .maximum = METADATA_MAX_BYTES, .unit = "bytes", \
		.description = "A document that the guest can read"                                                   \
	}

#endif

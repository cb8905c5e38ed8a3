/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network interfaces: a TAP device each, by name or as a descriptor that the client passed, and a MAC address.
 *
 * A name that no interface has makes one, which is gone with the VM; of one that exists the VM is a queue until then. A
 * descriptor may be anything: its device number is looked at before an ioctl(2) is tried on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#include "devices/virtio/net/net.h"
#include "proto/method.h"
#include "server/cleanup.h"
#include "server/devices/private.h"

#define TUN_PATH      "/dev/net/tun"
#define TUN_MAJOR     10 /* Documentation/admin-guide/devices.txt */
#define TUN_MINOR     200
#define MAC_SIZE      6
#define MAC_TEXT_SIZE 18

static int fail_with(struct rpc_error *error, enum rpc_code code, uint32_t index, const char *member, const char *text)
{
	int number = rpc_error_set(error, code, "%s", text);

	device_error_field(error, "net", index, member);
	return number;
}

/* ---- descriptors that came with the request ---- */

static int take_tap(const struct connection *connection, const json_t *net, uint32_t index, struct devices_taps *taps,
		    struct rpc_error *error)
{
	int64_t place = param_int(net, "tap_fd", -1);
	char text[RPC_MESSAGE_SIZE];
	int file;

	if (place < 0)
		return 0;
	file = connection ? connection_passed_file(connection, (uint32_t)place) : -1;
	if (file < 0) {
		(void)snprintf(text, sizeof(text), "no descriptor %d came with the request", (int)place);
		return fail_with(error, RPC_INVALID_PARAMS, index, "tap_fd", text);
	}

	taps->files[index] = fcntl(file, F_DUPFD_CLOEXEC, 0);
	return taps->files[index] < 0
		       ? fail_with(error, RPC_RESOURCE_EXHAUSTED, index, "tap_fd", "the daemon has too many files open")
		       : 0;
}

static int check_places(const json_t *nets, struct rpc_error *error)
{
	size_t i, j;

	for (i = 0; i < json_array_size(nets); i++)
		for (j = 0; j < i; j++) {
			int64_t place = param_int(json_array_get(nets, i), "tap_fd", -1);

			if (place >= 0 && place == param_int(json_array_get(nets, j), "tap_fd", -1))
				return fail_with(error, RPC_INVALID_PARAMS, (uint32_t)i, "tap_fd",
						 "another interface has the same descriptor");
		}
	return 0;
}

int devices_take_taps(const struct connection *connection, const json_t *params, struct devices_taps *ret_taps,
		      struct rpc_error *error)
{
	const json_t *nets = param_array(params, "net");
	int failed = check_places(nets, error);
	size_t i;

	*ret_taps = DEVICES_TAPS_NONE;
	for (i = 0; !failed && i < json_array_size(nets); i++)
		failed = take_tap(connection, json_array_get(nets, i), (uint32_t)i, ret_taps, error);
	return failed;
}

void devices_drop_taps(struct server *server, struct devices_taps *taps)
{
	uint32_t i;

	for (i = 0; i < MACHINE_NETS_MAX; i++)
		if (taps->files[i] >= 0)
			connection_close_files(server, &taps->files[i], 1);
	*taps = DEVICES_TAPS_NONE;
}

/* ---- plan ---- */

/* A validated text, "02:00:00:00:00:01". */
static void parse_mac(const char *text, uint8_t mac[static MAC_SIZE])
{
	int i;

	for (i = 0; i < MAC_SIZE; i++)
		mac[i] = (uint8_t)strtoul(text + 3 * (ptrdiff_t)i, NULL, 16);
}

/* One of those that anybody may use: locally administered, of one station. */
static int choose_mac(json_t *net, uint8_t mac[static MAC_SIZE])
{
	char text[MAC_TEXT_SIZE];

	if (getrandom(mac, MAC_SIZE, 0) != MAC_SIZE)
		return -EIO;
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
	(void)snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		       mac[5]);
	return json_object_set_new(net, "mac", json_string(text));
}

int nets_plan(struct devices *devices, struct devices_taps *taps, struct rpc_error *error)
{
	const json_t *nets = param_array(devices->record, "net");
	int failed = 0;
	uint32_t i;

	devices->pool.net_count = (uint32_t)json_array_size(nets);
	for (i = 0; i < devices->pool.net_count; i++) {
		json_t *net = json_array_get(nets, i);
		struct pool_net *pool_net = &devices->pool.nets[i];

		*pool_net = (struct pool_net){
			.tap = taps->files[i],
			.offloads = param_bool(net, "offloads"),
			.to_guest = device_limit(param_object(net, "to_guest")),
			.from_guest = device_limit(param_object(net, "from_guest")),
		};
		devices->tap_was_passed[i] = taps->files[i] >= 0;
		taps->files[i] = -1;
		if (param_given(net, "mac"))
			parse_mac(param_string(net, "mac"), pool_net->mac);
		else if (choose_mac(net, pool_net->mac))
			failed = rpc_error_set(error, RPC_INTERNAL, "no MAC address could be chosen");
	}
	return failed;
}

/* ---- open ---- */

static int set_header(int tap, uint32_t index, const char *member, struct rpc_error *error)
{
	int size = NET_HEADER;

	if (ioctl(tap, TUNSETVNETHDRSZ, &size) < 0)
		return fail_with(error, RPC_FAILED_PRECONDITION, index, member,
				 "the TAP device does not take the frames of virtio");
	return 0;
}

static int fail_attach(struct rpc_error *error, uint32_t index, const char *name, int number)
{
	char text[RPC_MESSAGE_SIZE];
	const char *why = strerrordesc_np(-number);

	if (number == -EBUSY)
		why = "it is in use";
	else if (number == -EPERM)
		why = "this daemon may neither make nor use it";
	else if (number == -EINVAL)
		why = "it is no TAP device, or one of several queues";
	(void)snprintf(text, sizeof(text), "the TAP device %s cannot be used: %s", name, why);
	return fail_with(error, RPC_FAILED_PRECONDITION, index, "tap", text);
}

static int attach_tap(uint32_t index, const char *name, int *ret_tap, struct rpc_error *error)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	cleanup_close int tap = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int failed;

	if (tap < 0) {
		char text[RPC_MESSAGE_SIZE];

		(void)snprintf(text, sizeof(text), "%s cannot be opened: %s", TUN_PATH, strerrordesc_np(errno));
		return fail_with(error, RPC_FAILED_PRECONDITION, index, "tap", text);
	}
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(tap, TUNSETIFF, &request) < 0)
		return fail_attach(error, index, name, -errno);
	failed = set_header(tap, index, "tap", error);
	if (failed)
		return failed;

	*ret_tap = steal_fd(&tap);
	return 0;
}

static int check_passed_tap(int tap, uint32_t index, struct rpc_error *error)
{
	const short needed = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq request = { .ifr_flags = 0 };
	struct stat status;
	int flags;

	if (fstat(tap, &status) || !S_ISCHR(status.st_mode) || status.st_rdev != makedev(TUN_MAJOR, TUN_MINOR) ||
	    ioctl(tap, TUNGETIFF, &request) < 0 || !(request.ifr_flags & IFF_TAP))
		return fail_with(error, RPC_INVALID_ARGUMENT, index, "tap_fd", "the descriptor is no TAP device");
	if ((request.ifr_flags & needed) != needed)
		return fail_with(error, RPC_INVALID_ARGUMENT, index, "tap_fd",
				 "the TAP device was not made with IFF_NO_PI and IFF_VNET_HDR");
	flags = fcntl(tap, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || fcntl(tap, F_SETFL, flags | O_NONBLOCK) < 0)
		return fail_with(error, RPC_INVALID_ARGUMENT, index, "tap_fd",
				 "the TAP device is not open for reading and writing");
	return set_header(tap, index, "tap_fd", error);
}

int nets_open(struct devices *devices, struct rpc_error *error)
{
	int failed = 0;
	uint32_t i;

	for (i = 0; !failed && i < devices->pool.net_count; i++) {
		const char *name = param_string(device_record_item(devices, "net", i), "tap");
		int *tap = &devices->pool.nets[i].tap;

		failed =
			devices->tap_was_passed[i] ? check_passed_tap(*tap, i, error) : attach_tap(i, name, tap, error);
	}
	return failed;
}

void nets_close(struct devices *devices)
{
	uint32_t i;

	for (i = 0; i < devices->pool.net_count; i++) {
		int *tap = &devices->pool.nets[i].tap;

		if (*tap >= 0 && devices->tap_was_passed[i])
			connection_close_files(devices->server, tap, 1);
		else if (*tap >= 0)
			(void)close(*tap);
		*tap = -1;
	}
}

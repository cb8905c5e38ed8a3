/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface's address and flags, by the ioctls that ifconfig uses (netdevice(7)). The kernel answers pings; the
 * agent takes connections.
 */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arguments.h"

#define INTERFACE "eth0"
#define NETMASK   "255.255.255.0"

static int set_address(int socket, unsigned long request, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct ifreq interface = { .ifr_name = INTERFACE };

	if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
		return -EINVAL;
	memcpy(&interface.ifr_addr, &in, sizeof(in));
	return ioctl(socket, request, &interface) < 0 ? -errno : 0;
}

static int bring_up(const char *address)
{
	struct ifreq interface = { .ifr_name = INTERFACE };
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result;

	if (control < 0)
		return -errno;
	result = set_address(control, SIOCSIFADDR, address);
	if (result == 0)
		result = set_address(control, SIOCSIFNETMASK, NETMASK);
	interface.ifr_flags = IFF_UP | IFF_RUNNING;
	if (result == 0 && ioctl(control, SIOCSIFFLAGS, &interface) < 0)
		result = -errno;
	(void)close(control);
	return result;
}

void guest_network(void)
{
	char address[INET_ADDRSTRLEN];
	int result;

	guest_argument("ember.net", address, sizeof(address));
	result = bring_up(address);
	printf("guest: " INTERFACE " %s: %s\n", address, result < 0 ? strerror(-result) : "up");
	(void)fflush(stdout);
}

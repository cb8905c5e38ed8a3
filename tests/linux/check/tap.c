/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP devices by ioctl (Documentation/networking/tuntap.rst, netdevice(7)), and ICMP echo (RFC 792).
 *
 * Several devices have the same network, because clones have the address of their original: so everything that is sent
 * is bound to a device.
 */
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#define NETMASK     "255.255.255.0"
#define HEADER_SIZE 12 /* struct virtio_net_hdr_v1, which comes with every frame */
#define PINGS       3
#define PING_MS     1000
#define PING_BYTES  56

static void request(int fd, unsigned long number, void *argument, const char *what)
{
	if (ioctl(fd, number, argument) < 0)
		fail("%s: %s", what, strerror(errno));
}

static void set_address(int control, struct ifreq *interface, unsigned long number, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
		fail("%s is no address", address);
	memcpy(&interface->ifr_addr, &in, sizeof(in));
	request(control, number, interface, address);
}

void tap_make(const char *name, const char *address)
{
	struct ifreq interface = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC), control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (tap < 0 || control < 0 || strlen(name) >= sizeof(interface.ifr_name))
		fail("%s: %s", name, strerror(errno));
	(void)memcpy(interface.ifr_name, name, strlen(name) + 1);
	request(tap, TUNSETIFF, &interface, name);
	if (ioctl(tap, TUNSETPERSIST, 1) < 0)
		fail("%s: %s", name, strerror(errno));
	set_address(control, &interface, SIOCSIFADDR, address);
	set_address(control, &interface, SIOCSIFNETMASK, NETMASK);
	interface.ifr_flags = IFF_UP | IFF_RUNNING;
	request(control, SIOCSIFFLAGS, &interface, name);
	(void)close(control);
	(void)close(tap);
}

/* The Internet checksum (RFC 1071). */
static uint16_t checksum(const uint8_t *bytes, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void send_ping(int socket, const struct sockaddr_in *to, uint16_t sequence)
{
	uint8_t packet[sizeof(struct icmphdr) + PING_BYTES] = { 0 };
	struct icmphdr header = { .type = ICMP_ECHO };

	header.un.echo.id = htons((uint16_t)getpid());
	header.un.echo.sequence = htons(sequence);
	memcpy(packet, &header, sizeof(header));
	memset(packet + sizeof(header), 'e', PING_BYTES);
	header.checksum = checksum(packet, sizeof(packet));
	memcpy(packet, &header, sizeof(header));
	if (sendto(socket, packet, sizeof(packet), 0, (const struct sockaddr *)to, sizeof(*to)) < 0)
		fail("ping: %s", strerror(errno));
}

/* Is there an answer with this sequence number within the time? */
static bool receive_pong(int socket, uint16_t sequence)
{
	struct pollfd wait = { .fd = socket, .events = POLLIN };
	uint8_t packet[512];
	struct icmphdr header;

	while (poll(&wait, 1, PING_MS) > 0) {
		ssize_t got = recv(socket, packet, sizeof(packet), 0);

		if (got < (ssize_t)(sizeof(struct iphdr) + sizeof(header) + PING_BYTES))
			continue;
		memcpy(&header, packet + sizeof(struct iphdr), sizeof(header));
		if (header.type == ICMP_ECHOREPLY && header.un.echo.id == htons((uint16_t)getpid()) &&
		    header.un.echo.sequence == htons(sequence))
			return true;
	}
	return false;
}

void tap_ping(const char *name, const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	unsigned int answered = 0;

	if (raw < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    setsockopt(raw, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) < 0)
		fail("ping: %s", strerror(errno));
	for (uint16_t sequence = 1; answered < PINGS && sequence <= WAIT_MS / PING_MS; sequence++) {
		send_ping(raw, &to, sequence);
		answered += receive_pong(raw, sequence);
	}
	EXPECT(answered == PINGS, "%d answers to pings of %s on %s, got %u", PINGS, address, name, answered);
	(void)close(raw);
}

void check_tap(int argc, char **argv)
{
	(void)argc;
	tap_make(argv[0], argv[1]);
}

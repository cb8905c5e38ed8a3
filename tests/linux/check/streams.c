/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loop serves all streams, so that each is full in both directions whenever it can be.
 *
 * What a stream carries is cut from one pattern of random bytes, whose length is a prime, from a place that depends on
 * the stream's number: what comes back is compared with what must be at that place.
 */
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#define STREAMS_MAX 256
#define PATTERN     65521
#define STEP        7919 /* between two streams' places in the pattern */
#define CHUNK       16384

struct stream {
	int fd; /* -1: it is done */
	uint64_t sent;
	uint64_t received;
};

struct streams {
	unsigned int count;
	uint64_t bytes; /* each */
	uint64_t received;
	unsigned int open;
	struct stream items[STREAMS_MAX];
	struct pollfd polls[STREAMS_MAX];
};

static uint8_t pattern[PATTERN];

static void make_pattern(void)
{
	if (getrandom(pattern, sizeof(pattern), 0) != (ssize_t)sizeof(pattern))
		fail("getrandom: %s", strerror(errno));
}

/* What a stream carries at an offset: at most *size bytes, which are cut to what lies in one piece. */
static const uint8_t *piece(unsigned int stream, uint64_t offset, size_t *size)
{
	size_t place = (size_t)((offset + (uint64_t)stream * STEP) % PATTERN);

	if (*size > PATTERN - place)
		*size = PATTERN - place;
	return &pattern[place];
}

static void open_streams(struct streams *streams, const struct agent *agent)
{
	for (unsigned int i = 0; i < streams->count; i++) {
		int fd = agent_open(agent, "echo");

		if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			fail("fcntl: %s", strerror(errno));
		streams->items[i] = (struct stream){ .fd = fd };
	}
	streams->open = streams->count;
}

static void send_some(struct streams *streams, unsigned int number)
{
	struct stream *stream = &streams->items[number];
	size_t size = streams->bytes - stream->sent < CHUNK ? (size_t)(streams->bytes - stream->sent) : CHUNK;
	const uint8_t *bytes = piece(number, stream->sent, &size);
	ssize_t sent = send(stream->fd, bytes, size, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		fail("expected stream %u to take bytes after %llu, got: %s", number, (unsigned long long)stream->sent,
		     strerror(errno));
	if (sent > 0)
		stream->sent += (uint64_t)sent;
	if (stream->sent == streams->bytes && shutdown(stream->fd, SHUT_WR) < 0)
		fail("shutdown: %s", strerror(errno));
}

static void compare(unsigned int number, uint64_t offset, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		size_t length = size;
		const uint8_t *expected = piece(number, offset, &length);

		for (size_t i = 0; i < length; i++)
			EXPECT(bytes[i] == expected[i], "0x%02x at %llu of stream %u, got 0x%02x", expected[i],
			       (unsigned long long)(offset + i), number, bytes[i]);
		bytes += length;
		offset += length;
		size -= length;
	}
}

static void receive_some(struct streams *streams, unsigned int number)
{
	struct stream *stream = &streams->items[number];
	uint8_t chunk[CHUNK];
	ssize_t got = recv(stream->fd, chunk, sizeof(chunk), 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		EXPECT(got == 0 && stream->received == streams->bytes,
		       "stream %u to end after %llu bytes, got %llu and: %s", number,
		       (unsigned long long)streams->bytes, (unsigned long long)stream->received,
		       got < 0 ? strerror(errno) : "its end");
		(void)close(stream->fd);
		stream->fd = -1;
		streams->open--;
		return;
	}
	EXPECT(stream->received + (uint64_t)got <= stream->sent, "stream %u to echo %llu bytes so far, got more",
	       number, (unsigned long long)stream->sent);
	compare(number, stream->received, chunk, (size_t)got);
	stream->received += (uint64_t)got;
	streams->received += (uint64_t)got;
}

static void serve_streams(struct streams *streams)
{
	for (unsigned int i = 0; i < streams->count; i++) {
		const struct stream *stream = &streams->items[i];

		streams->polls[i] = (struct pollfd){
			.fd = stream->fd,
			.events = (short)(POLLIN | (stream->sent < streams->bytes ? POLLOUT : 0)),
		};
	}
	if (poll(streams->polls, streams->count, WAIT_MS) <= 0)
		fail("expected streams to go on, %u of %u are open after %llu bytes", streams->open, streams->count,
		     (unsigned long long)streams->received);
	for (unsigned int i = 0; i < streams->count; i++) {
		if (streams->polls[i].revents & (POLLIN | POLLHUP | POLLERR))
			receive_some(streams, i);
		if ((streams->polls[i].revents & POLLOUT) && streams->items[i].fd >= 0)
			send_some(streams, i);
	}
}

void streams_echo(const struct agent *agent, unsigned int count, uint64_t bytes, void (*half_way)(void *opaque),
		  void *opaque)
{
	struct streams *streams = calloc(1, sizeof(*streams));
	bool told = half_way == NULL;

	if (!streams || count > STREAMS_MAX)
		fail("so many streams cannot be");
	streams->count = count;
	streams->bytes = bytes;
	make_pattern();
	open_streams(streams, agent);
	while (streams->open > 0) {
		serve_streams(streams);
		if (!told && streams->received >= count * bytes / 2) {
			half_way(opaque);
			told = true;
		}
	}
	free(streams);
}

void check_streams(int argc, char **argv)
{
	const struct agent agent = { .path = argv[0] };
	unsigned int count = (unsigned int)parse_number(argv[1], 1, STREAMS_MAX);
	uint64_t bytes = (uint64_t)parse_number(argv[2], 1, 1048576) * 1024;
	int64_t started = monotonic_ns();

	(void)argc;
	streams_echo(&agent, count, bytes, NULL, NULL);
	printf("%u streams echoed %llu bytes each in %lld ms\n", count, (unsigned long long)bytes,
	       (long long)((monotonic_ns() - started) / 1000000));
}

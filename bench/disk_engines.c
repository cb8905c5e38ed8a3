/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk-engines: what a disk's thread would gain by io_uring.
 *
 *   disk-engines [FOLDER]     a temporary file of 64 MiB is made there; /var/tmp if none is named
 *
 * The thread of a disk carries out one request after another with pread(2) and pwrite(2). This program runs the same
 * streams of requests through those (by the functions that the device calls) and through an io_uring of a thread's own,
 * with one request in the ring and with eight: sequential and random, reads from the page cache and from the disk below
 * it, and writes, which go to the page cache. The engines take turns, each first as often as second, and all is one
 * run; a figure is the median of the passes, in microseconds a request. A ratio above 1 says that io_uring was faster.
 *
 * The ring is used as a worker could use it: plain reads and writes, completions run by the thread that waits for them.
 * Buffers are not registered: the kernel would pin them, and a guest's memory is to stay private and reclaimable.
 */
#include "devices/virtio/blk/file.h"
#include "kvm/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_BYTES   (UINT64_C(64) << 20)
#define PASS_BYTES   (UINT64_C(32) << 20) /* that a pass moves at most */
#define REQUESTS_MAX 1024                 /* and in at most so many requests */
#define REQUEST_MAX  (UINT32_C(256) << 10)
#define DEPTH_MAX    8
#define PASSES       12 /* of each engine; even, so that each is first in half of them */

enum kind { READ_CACHED, READ_COLD, WRITE, KIND_COUNT };

static const char *const kind_names[KIND_COUNT] = { "read, cached", "read, cold", "write" };

struct stream {
	enum kind kind;
	bool random;
	uint32_t size;  /* bytes of a request */
	uint32_t depth; /* requests in the ring at once */
	uint32_t count;
	uint64_t offsets[REQUESTS_MAX];
};

/* A ring as the kernel shares it; see io_uring_setup(2). */
struct ring {
	int file;
	void *memory;
	size_t memory_size;
	struct io_uring_sqe *requests;
	size_t requests_size;
	uint32_t *submit_tail;
	uint32_t *submit_index;
	uint32_t submit_mask;
	uint32_t *complete_head;
	uint32_t *complete_tail;
	uint32_t complete_mask;
	struct io_uring_cqe *completions;
};

static int file;
static uint8_t *buffers[DEPTH_MAX];
static struct ring ring;

static void *ring_at(uint32_t offset)
{
	return (uint8_t *)ring.memory + offset;
}

static int map_ring(const struct io_uring_params *params)
{
	size_t submit_end = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
	size_t complete_end = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);

	ring.memory_size = submit_end > complete_end ? submit_end : complete_end;
	ring.memory = mmap(NULL, ring.memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.file, IORING_OFF_SQ_RING);
	if (ring.memory == MAP_FAILED)
		return -errno;
	ring.requests_size = params->sq_entries * sizeof(struct io_uring_sqe);
	ring.requests = mmap(NULL, ring.requests_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.file, IORING_OFF_SQES);
	if (ring.requests == MAP_FAILED)
		return -errno;

	ring.submit_tail = ring_at(params->sq_off.tail);
	ring.submit_index = ring_at(params->sq_off.array);
	ring.submit_mask = *(uint32_t *)ring_at(params->sq_off.ring_mask);
	ring.complete_head = ring_at(params->cq_off.head);
	ring.complete_tail = ring_at(params->cq_off.tail);
	ring.complete_mask = *(uint32_t *)ring_at(params->cq_off.ring_mask);
	ring.completions = ring_at(params->cq_off.cqes);
	return 0;
}

/* Ends with the process. */
static int open_ring(void)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };

	ring.file = (int)syscall(SYS_io_uring_setup, DEPTH_MAX, &params);
	if (ring.file < 0 && errno == EINVAL) {
		params = (struct io_uring_params){ 0 }; /* before Linux 6.1 */
		ring.file = (int)syscall(SYS_io_uring_setup, DEPTH_MAX, &params);
	}
	if (ring.file < 0)
		return -errno;

	return params.features & IORING_FEAT_SINGLE_MMAP ? map_ring(&params) : -EOPNOTSUPP;
}

/* Put a request into the ring, to be given to the kernel by the next io_uring_enter(2). */
static void queue_request(const struct stream *stream, uint32_t request, uint32_t buffer)
{
	uint32_t tail = *ring.submit_tail;
	uint32_t slot = tail & ring.submit_mask;

	ring.requests[slot] = (struct io_uring_sqe){
		.opcode = stream->kind == WRITE ? IORING_OP_WRITE : IORING_OP_READ,
		.fd = file,
		.off = stream->offsets[request],
		.addr = (uint64_t)(uintptr_t)buffers[buffer],
		.len = stream->size,
		.user_data = buffer,
	};
	ring.submit_index[slot] = slot;
	__atomic_store_n(ring.submit_tail, tail + 1, __ATOMIC_RELEASE);
}

/* Take what is complete: how many, or -errno. The buffers that they used are free again. */
static int reap(const struct stream *stream, uint32_t *free_buffers, uint32_t free_count)
{
	uint32_t head = *ring.complete_head;
	int reaped = 0;
	int r = 0;

	for (; head != __atomic_load_n(ring.complete_tail, __ATOMIC_ACQUIRE); head++) {
		const struct io_uring_cqe *completion = &ring.completions[head & ring.complete_mask];

		if (completion->res != (int32_t)stream->size)
			r = completion->res < 0 ? completion->res : -EIO;
		free_buffers[free_count++] = (uint32_t)completion->user_data;
		reaped++;
	}
	__atomic_store_n(ring.complete_head, head, __ATOMIC_RELEASE);
	return r < 0 ? r : reaped;
}

static int run_ring(const struct stream *stream)
{
	uint32_t free_buffers[DEPTH_MAX];
	uint32_t free_count = stream->depth;
	uint32_t next = 0;

	for (uint32_t i = 0; i < stream->depth; i++)
		free_buffers[i] = i;
	for (uint32_t done = 0; done < stream->count;) {
		uint32_t queued = 0;
		long taken;
		int reaped;

		for (; free_count > 0 && next < stream->count; queued++)
			queue_request(stream, next++, free_buffers[--free_count]);
		taken = syscall(SYS_io_uring_enter, ring.file, queued, 1, IORING_ENTER_GETEVENTS, NULL, 0);
		if (taken != queued)
			return taken < 0 ? -errno : -EIO;
		reaped = reap(stream, free_buffers, free_count);
		if (reaped < 0)
			return reaped;
		free_count += (uint32_t)reaped;
		done += (uint32_t)reaped;
	}

	return 0;
}

static int run_calls(const struct stream *stream)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < stream->count; i++) {
		uint8_t *buffer = buffers[i % stream->depth];

		r = stream->kind == WRITE ? file_write(file, stream->offsets[i], buffer, stream->size)
					  : file_read(file, stream->offsets[i], buffer, stream->size);
	}
	return r;
}

static int (*const engines[2])(const struct stream *stream) = { run_calls, run_ring };

static void make_stream(struct stream *stream)
{
	uint64_t places = FILE_BYTES / stream->size;
	uint64_t random = 1;

	stream->count = (uint32_t)(PASS_BYTES / stream->size);
	if (stream->count > REQUESTS_MAX)
		stream->count = REQUESTS_MAX;
	for (uint64_t i = 0; i < stream->count; i++) {
		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		stream->offsets[i] = (stream->random ? (random >> 33) % places : i) * stream->size;
	}
}

/* Nothing dirty is left, and of what is read cold nothing is in memory. */
static int settle(const struct stream *stream)
{
	int r = file_sync(file);

	if (r == 0 && stream->kind == READ_COLD)
		r = -posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	for (uint64_t at = 0; r == 0 && stream->kind != READ_COLD && at < FILE_BYTES; at += REQUEST_MAX)
		r = file_read(file, at, buffers[0], REQUEST_MAX);
	return r;
}

static int compare_times(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return (difference > 0) - (difference < 0);
}

static double median(double *values)
{
	qsort(values, PASSES, sizeof(*values), compare_times);
	return (values[PASSES / 2 - 1] + values[PASSES / 2]) / 2;
}

/* Run a stream through both engines and print a line. Returns 0 or -errno. */
static int measure(struct stream *stream, double *ret_ratio)
{
	double times[2][PASSES]; /* microseconds a request */
	double medians[2];

	make_stream(stream);
	for (int pass = 0; pass < PASSES; pass++) {
		for (int turn = 0; turn < 2; turn++) {
			int engine = (pass + turn) % 2;
			int r = settle(stream);
			uint64_t since = monotonic_ns();

			if (r == 0)
				r = engines[engine](stream);
			if (r < 0)
				return r;
			times[engine][pass] = (double)monotonic_lap(&since) / 1000 / stream->count;
		}
	}

	for (int engine = 0; engine < 2; engine++)
		medians[engine] = median(times[engine]);
	*ret_ratio = medians[0] / medians[1];
	printf("%-12s  %-10s  %7u  %5u  %12.2f  %12.2f  %5.2f\n", kind_names[stream->kind],
	       stream->random ? "random" : "sequential", stream->size >> 10, stream->depth, medians[0], medians[1],
	       *ret_ratio);
	return 0;
}

/* Every stream of a kind and a depth; then the geometric mean of their ratios. */
static int measure_kind(enum kind kind, uint32_t depth)
{
	static const uint32_t sizes[] = { UINT32_C(4) << 10, UINT32_C(32) << 10, REQUEST_MAX };
	static struct stream stream;
	const size_t count = 2 * sizeof(sizes) / sizeof(sizes[0]);
	double logs = 0;

	for (size_t i = 0; i < count; i++) {
		double ratio;
		int r;

		stream.kind = kind;
		stream.depth = depth;
		stream.random = i % 2;
		stream.size = sizes[i / 2];
		r = measure(&stream, &ratio);
		if (r < 0)
			return r;
		logs += log(ratio);
	}

	printf("%-12s  %-10s  %7s  %5u  %12s  %12s  %5.2f\n", kind_names[kind], "all", "", depth, "", "",
	       exp(logs / (double)count));
	return 0;
}

static int prepare(const char *folder)
{
	int r = 0;

	file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0)
		return -errno;
	for (int i = 0; i < DEPTH_MAX; i++) {
		buffers[i] = aligned_alloc(4096, REQUEST_MAX);
		if (!buffers[i])
			return -ENOMEM;
		memset(buffers[i], i + 1, REQUEST_MAX);
	}
	for (uint64_t at = 0; r == 0 && at < FILE_BYTES; at += REQUEST_MAX)
		r = file_write(file, at, buffers[0], REQUEST_MAX);
	return r;
}

static int fail(const char *step, int error)
{
	fprintf(stderr, "disk-engines: %s: %s\n", step, strerror(-error));
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const uint32_t depths[] = { 1, DEPTH_MAX };
	const char *folder = argc > 1 ? argv[1] : "/var/tmp";
	int r = prepare(folder);

	if (r < 0)
		return fail(folder, r);
	r = open_ring();
	if (r < 0)
		return fail("io_uring", r);

	printf("%-12s  %-10s  %7s  %5s  %12s  %12s  %5s\n", "requests", "order", "KiB", "depth", "calls, us",
	       "io_uring, us", "ratio");
	for (int kind = 0; kind < KIND_COUNT; kind++) {
		for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
			r = measure_kind((enum kind)kind, depths[i]);
			if (r < 0)
				return fail(kind_names[kind], r);
		}
	}
	return fflush(stdout) == 0 ? EXIT_SUCCESS : fail("standard output", -errno);
}

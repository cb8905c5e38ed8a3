/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking the ELF out of a bzImage.
 *
 * The kernel's build packs vmlinux with one of several programs and, for all but gzip (whose format holds it already),
 * appends the unpacked size as four little-endian bytes (scripts/Makefile.lib, size_append). Each unpacker here pulls
 * input through a struct flow and pushes output through it: the flow holds both bounds, so that no unpacker can read
 * past the payload or write more than the caller allows. A stream that ends early, or leaves more than that size behind
 * it, is an error; so is a size that is not what came out.
 */
#include "kvm/linux/unpack.h"

#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "kvm/cleanup.h"

#define INPUT_CHUNK   ((size_t)64 << 10)
#define OUTPUT_CHUNK  ((size_t)256 << 10)
#define SIZE_TRAILER  sizeof(uint32_t)
#define XZ_MEMORY_MAX (UINT64_C(160) << 20)
#define ZSTD_WINDOW   27                /* log2: what zstd --ultra -22 needs, and the kernel's build uses */
#define GZIP_WINDOW   (MAX_WBITS + 16)  /* the gzip format alone: zlib.h, inflateInit2 */
#define LZ4_BLOCK     ((size_t)8 << 20) /* of the legacy frame: lz4_Frame_format.md */

struct flow {
	const struct image_source *source;
	const struct unpack_sink *sink;
	uint64_t begin;    /* of the payload, in the source */
	uint64_t position; /* in the source */
	uint64_t end;      /* of the payload, in the source */
	uint64_t written;
	uint64_t max_size;
	uint8_t input[INPUT_CHUNK];
	uint8_t output[OUTPUT_CHUNK];
};

static uint64_t flow_left(const struct flow *flow)
{
	return flow->end - flow->position;
}

/* Exactly length bytes. Returns 0, -ENODATA past the payload's end, or -errno. */
static int flow_read(struct flow *flow, void *ret_data, size_t length)
{
	int result;

	if (length > flow_left(flow))
		return -ENODATA;
	result = image_source_read(flow->source, flow->position, ret_data, length);
	if (result == 0)
		flow->position += length;
	return result;
}

/* The next chunk into flow->input. *ret_length is 0 at the payload's end. */
static int flow_fill(struct flow *flow, size_t *ret_length)
{
	size_t length = flow_left(flow) < INPUT_CHUNK ? (size_t)flow_left(flow) : INPUT_CHUNK;
	int result = flow_read(flow, flow->input, length);

	if (result == 0)
		*ret_length = length;
	return result;
}

/* The unpacker ended before the last so many bytes of the chunk. */
static void flow_unread(struct flow *flow, size_t length)
{
	flow->position -= length;
}

static int flow_write(struct flow *flow, const uint8_t *data, size_t length)
{
	int result;

	if (length > flow->max_size - flow->written)
		return -EFBIG;
	if (length == 0)
		return 0;
	result = flow->sink->write(flow->sink->opaque, data, length);
	if (result < 0)
		return result;
	flow->written += length;
	if (flow->sink->advanced)
		flow->sink->advanced(flow->sink->opaque, flow->position - flow->begin, flow->end - flow->begin);
	return 0;
}

static int unpack_none(struct flow *flow)
{
	size_t length = 0;
	int result;

	do {
		result = flow_fill(flow, &length);
		if (result == 0)
			result = flow_write(flow, flow->input, length);
	} while (result == 0 && length > 0);

	return result;
}

static int errno_of_zlib(int status)
{
	switch (status) {
	case Z_OK:
	case Z_STREAM_END:
		return 0;
	case Z_MEM_ERROR:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

static int run_gzip(struct flow *flow, z_stream *stream)
{
	int status = Z_OK;
	int result = 0;

	while (result == 0 && status != Z_STREAM_END) {
		if (stream->avail_in == 0) {
			size_t length = 0;

			result = flow_fill(flow, &length);
			if (result < 0)
				return result;
			if (length == 0)
				return -ENODATA;
			stream->next_in = flow->input;
			stream->avail_in = (unsigned int)length;
		}
		stream->next_out = flow->output;
		stream->avail_out = OUTPUT_CHUNK;
		status = inflate(stream, Z_NO_FLUSH);
		result = errno_of_zlib(status);
		if (result == 0)
			result = flow_write(flow, flow->output, OUTPUT_CHUNK - stream->avail_out);
	}

	if (result == 0)
		flow_unread(flow, stream->avail_in);
	return result;
}

static int unpack_gzip(struct flow *flow)
{
	z_stream stream = { 0 };
	int result = errno_of_zlib(inflateInit2(&stream, GZIP_WINDOW));

	if (result < 0)
		return result;
	result = run_gzip(flow, &stream);
	(void)inflateEnd(&stream);
	return result;
}

static int errno_of_lzma(lzma_ret status)
{
	switch (status) {
	case LZMA_OK:
	case LZMA_STREAM_END:
		return 0;
	case LZMA_MEM_ERROR:
	case LZMA_MEMLIMIT_ERROR:
		return -ENOMEM;
	case LZMA_OPTIONS_ERROR:
		return -EOPNOTSUPP;
	default:
		return -EBADMSG;
	}
}

static int run_xz(struct flow *flow, lzma_stream *stream)
{
	lzma_ret status = LZMA_OK;
	int result = 0;

	while (result == 0 && status != LZMA_STREAM_END) {
		if (stream->avail_in == 0) {
			result = flow_fill(flow, &stream->avail_in);
			if (result < 0)
				return result;
			if (stream->avail_in == 0)
				return -ENODATA;
			stream->next_in = flow->input;
		}
		stream->next_out = flow->output;
		stream->avail_out = OUTPUT_CHUNK;
		status = lzma_code(stream, LZMA_RUN);
		result = errno_of_lzma(status);
		if (result == 0)
			result = flow_write(flow, flow->output, OUTPUT_CHUNK - stream->avail_out);
	}

	if (result == 0)
		flow_unread(flow, stream->avail_in);
	return result;
}

static int unpack_xz(struct flow *flow)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	int result = errno_of_lzma(lzma_stream_decoder(&stream, XZ_MEMORY_MAX, 0));

	if (result == 0)
		result = run_xz(flow, &stream);
	lzma_end(&stream);
	return result;
}

static int run_zstd(struct flow *flow, ZSTD_DCtx *context)
{
	ZSTD_inBuffer input = { .src = flow->input };
	bool is_more_inside = false; /* the output chunk came out full: the decoder may hold more without more input */
	size_t hint = 1;             /* 0: the frame has ended and all of it is out */
	int result = 0;

	while (result == 0 && hint != 0) {
		ZSTD_outBuffer output = { .dst = flow->output, .size = OUTPUT_CHUNK };

		if (input.pos == input.size && !is_more_inside) {
			result = flow_fill(flow, &input.size);
			if (result < 0)
				return result;
			if (input.size == 0)
				return -ENODATA;
			input.pos = 0;
		}
		hint = ZSTD_decompressStream(context, &output, &input);
		if (ZSTD_isError(hint))
			return -EBADMSG;
		is_more_inside = output.pos == output.size;
		result = flow_write(flow, flow->output, output.pos);
	}

	if (result == 0)
		flow_unread(flow, input.size - input.pos);
	return result;
}

static int unpack_zstd(struct flow *flow)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	int result;

	if (!context)
		return -ENOMEM;
	if (ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW)))
		result = -EINVAL;
	else
		result = run_zstd(flow, context);
	(void)ZSTD_freeDCtx(context);
	return result;
}

/*
 * The legacy frame: a magic number, then blocks of at most 8 MiB unpacked, each behind its packed size. Only the size
 * trailer follows.
 */
static int unpack_lz4(struct flow *flow)
{
	const size_t packed_max = (size_t)LZ4_COMPRESSBOUND(LZ4_BLOCK);
	cleanup_free uint8_t *packed = malloc(packed_max);
	cleanup_free char *block = malloc(LZ4_BLOCK);
	uint32_t magic, packed_size;
	int result;

	if (!packed || !block)
		return -ENOMEM;
	result = flow_read(flow, &magic, sizeof(magic));

	while (result == 0 && flow_left(flow) > SIZE_TRAILER) {
		int unpacked;

		result = flow_read(flow, &packed_size, sizeof(packed_size));
		if (result < 0)
			break;
		if (packed_size == 0 || packed_size > packed_max)
			return -EBADMSG;
		result = flow_read(flow, packed, packed_size);
		if (result < 0)
			break;
		unpacked = LZ4_decompress_safe((const char *)packed, block, (int)packed_size, (int)LZ4_BLOCK);
		if (unpacked < 0)
			return -EBADMSG;
		result = flow_write(flow, (const uint8_t *)block, (size_t)unpacked);
	}

	return result;
}

/* What follows a stream: nothing, or the size of what came out of it. */
static int check_trailer(struct flow *flow, struct error_detail *detail)
{
	uint32_t claimed;
	int result;

	if (flow_left(flow) == 0)
		return 0;
	if (flow_left(flow) != SIZE_TRAILER) {
		error_detail_set(detail, "kernel: %" PRIu64 " bytes follow its packed ELF inside the payload",
				 flow_left(flow));
		return -EBADMSG;
	}
	result = flow_read(flow, &claimed, sizeof(claimed));
	if (result < 0)
		return result;
	if (claimed != flow->written) {
		error_detail_set(detail, "kernel: its packed ELF is %" PRIu64 " bytes, but says %" PRIu32,
				 flow->written, claimed);
		return -EBADMSG;
	}

	return 0;
}

static void explain(int result, const struct kernel_bzimage *bzimage, uint64_t max_size, struct error_detail *detail)
{
	const char *packing = kernel_packing_name(bzimage->packing);

	switch (result) {
	case -ENODATA:
		error_detail_set(detail, "kernel: its %s payload is truncated", packing);
		break;
	case -EBADMSG:
		error_detail_set(detail, "kernel: its %s payload is corrupt", packing);
		break;
	case -EFBIG:
		error_detail_set(detail, "kernel: its %s payload unpacks to more than %" PRIu64 " bytes", packing,
				 max_size);
		break;
	default:
		error_detail_set(detail, "kernel: unpacking its %s payload: %s", packing, strerrordesc_np(-result));
		break;
	}
}

static int unpack(struct flow *flow, enum kernel_packing packing)
{
	switch (packing) {
	case KERNEL_PACKING_NONE:
		return unpack_none(flow);
	case KERNEL_PACKING_GZIP:
		return unpack_gzip(flow);
	case KERNEL_PACKING_XZ:
		return unpack_xz(flow);
	case KERNEL_PACKING_ZSTD:
		return unpack_zstd(flow);
	case KERNEL_PACKING_LZ4:
		return unpack_lz4(flow);
	case KERNEL_PACKING_BZIP2:
	case KERNEL_PACKING_LZMA:
	case KERNEL_PACKING_LZO:
	case KERNEL_PACKING_UNKNOWN:
	case KERNEL_PACKING_COUNT:
		break;
	}

	return -EOPNOTSUPP;
}

int kernel_unpack(const struct image_source *source, const struct kernel_bzimage *bzimage, uint64_t max_size,
		  const struct unpack_sink *sink, uint64_t *ret_size, struct error_detail *detail)
{
	cleanup_free struct flow *flow = NULL;
	int result;

	if (bzimage->payload_size == 0) {
		error_detail_set(detail, "kernel: its header names no payload (boot protocol before 2.08?)");
		return -ENODATA;
	}
	if (bzimage->packing > KERNEL_PACKING_LZ4) {
		error_detail_set(detail,
				 "kernel: its payload is packed with %s; gzip, xz, zstd and lz4 can be unpacked",
				 kernel_packing_name(bzimage->packing));
		return -EOPNOTSUPP;
	}

	flow = malloc(sizeof(*flow));
	if (!flow)
		return -ENOMEM;
	flow->source = source;
	flow->sink = sink;
	flow->begin = bzimage->payload_offset;
	flow->position = bzimage->payload_offset;
	flow->end = bzimage->payload_offset + bzimage->payload_size;
	flow->written = 0;
	flow->max_size = max_size;

	result = unpack(flow, bzimage->packing);
	if (result < 0) {
		explain(result, bzimage, max_size, detail);
		return result;
	}
	result = check_trailer(flow, detail);
	if (result < 0)
		return result;

	*ret_size = flow->written;
	return 0;
}

static int write_to_file(void *opaque, const uint8_t *data, size_t length)
{
	const int *fd = opaque;

	while (length > 0) {
		ssize_t put = write(*fd, data, length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		data += put;
		length -= (size_t)put;
	}

	return 0;
}

struct unpack_sink unpack_sink_to_file(const int *fd)
{
	return (struct unpack_sink){ .opaque = (void *)fd, .write = write_to_file };
}

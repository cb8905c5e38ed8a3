/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing AML.
 *
 * Every block begins with its own length, in one to four bytes that count themselves (ACPI 6.4, 20.2.4), and is written
 * before that length is known: aml_end() makes room for the length where the block starts and moves the content up.
 * Tables are a few KiB, and are written once a boot.
 *
 * A resource template is a Buffer (20.2.5.4): its length, then its size as an integer object, then descriptors, closed
 * by an end tag. Both numbers are put in front by aml_end(), too.
 */
#include "kvm/acpi/aml.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define OP_NAME       0x08
#define OP_BYTE       0x0a
#define OP_WORD       0x0b
#define OP_DWORD      0x0c
#define OP_STRING     0x0d
#define OP_QWORD      0x0e
#define OP_SCOPE      0x10
#define OP_BUFFER     0x11
#define OP_PACKAGE    0x12
#define OP_METHOD     0x14
#define OP_DUAL_NAME  0x2e
#define OP_MULTI_NAME 0x2f
#define OP_EXTENDED   0x5b
#define OP_DEVICE     0x82 /* after OP_EXTENDED */
#define OP_ARG0       0x68
#define OP_NOTIFY     0x86
#define OP_EQUAL      0x93
#define OP_IF         0xa0

#define METHOD_SERIALIZED 0x08
#define ARGUMENTS_MAX     7U
#define SEGMENT           4U /* characters of a name */
#define SEGMENTS_MAX      8U
#define INTEGER_MAX       9U /* bytes of an integer object */

#define TAG_PORTS          0x47
#define TAG_END            0x79
#define TAG_MEMORY32_FIXED 0x86
#define TAG_INTERRUPT      0x89
#define PORTS_DECODE_16    0x01
#define MEMORY_WRITABLE    0x01
#define INTERRUPT_FLAGS    0x03 /* resource consumer, edge; not active low, not shared */

void aml_init(struct aml *aml, uint8_t *bytes, size_t capacity)
{
	*aml = (struct aml){ .bytes = bytes, .capacity = capacity };
}

int aml_finish(const struct aml *aml, size_t *ret_size)
{
	if (aml->error < 0)
		return aml->error;
	if (aml->depth > 0)
		return -EINVAL;

	*ret_size = aml->size;
	return 0;
}

static void fail(struct aml *aml, int error)
{
	if (aml->error == 0)
		aml->error = error;
}

/* Make room for length bytes at a place that has been written past, and fill it. */
static void insert(struct aml *aml, size_t at, const uint8_t *bytes, size_t length)
{
	if (aml->error < 0)
		return;
	if (length > aml->capacity - aml->size) {
		fail(aml, -ENOSPC);
		return;
	}

	memmove(aml->bytes + at + length, aml->bytes + at, aml->size - at);
	memcpy(aml->bytes + at, bytes, length);
	aml->size += length;
}

static void put(struct aml *aml, const uint8_t *bytes, size_t length)
{
	insert(aml, aml->size, bytes, length);
}

static void put_byte(struct aml *aml, uint8_t byte)
{
	put(aml, &byte, 1);
}

/* The low bytes of a value, least significant first. */
static void put_value(struct aml *aml, uint64_t value, size_t length)
{
	put(aml, (const uint8_t *)&value, length);
}

static bool is_name_character(char character, bool is_first)
{
	return (character >= 'A' && character <= 'Z') || character == '_' ||
	       (!is_first && character >= '0' && character <= '9');
}

/* One name of a path, padded. Returns what follows it, or NULL. */
static const char *take_segment(const char *path, uint8_t ret_segment[SEGMENT])
{
	size_t length = 0;

	memset(ret_segment, '_', SEGMENT);
	while (length < SEGMENT && is_name_character(path[length], length == 0)) {
		ret_segment[length] = (uint8_t)path[length];
		length++;
	}

	return length > 0 ? path + length : NULL;
}

/* ACPI 6.4, 20.2.2: prefixes, then one name, two after their own prefix, or more after a count. */
static void put_path(struct aml *aml, const char *path)
{
	uint8_t segments[SEGMENTS_MAX][SEGMENT];
	uint8_t count = 0;

	while (*path == '\\' || *path == '^')
		put_byte(aml, (uint8_t)*path++);

	do {
		if (count == SEGMENTS_MAX) {
			fail(aml, -EINVAL);
			return;
		}
		path = take_segment(path, segments[count++]);
	} while (path && *path++ == '.');
	if (!path || path[-1] != '\0') {
		fail(aml, -EINVAL);
		return;
	}

	if (count == 2) {
		put_byte(aml, OP_DUAL_NAME);
	} else if (count > 2) {
		put_byte(aml, OP_MULTI_NAME);
		put_byte(aml, count);
	}
	put(aml, segments[0], (size_t)count * SEGMENT);
}

static void begin(struct aml *aml, bool is_resources)
{
	if (aml->depth == AML_DEPTH_MAX) {
		fail(aml, -E2BIG);
		return;
	}

	aml->blocks[aml->depth++] = (struct aml_block){ .start = aml->size, .is_resources = is_resources };
}

/* The shortest form of an integer object. Returns its bytes. */
static size_t encode_integer(uint64_t value, uint8_t ret_bytes[INTEGER_MAX])
{
	size_t length;

	if (value <= 1) { /* ZeroOp and OneOp are their own values */
		ret_bytes[0] = (uint8_t)value;
		return 1;
	}

	if (value <= UINT8_MAX) {
		ret_bytes[0] = OP_BYTE;
		length = sizeof(uint8_t);
	} else if (value <= UINT16_MAX) {
		ret_bytes[0] = OP_WORD;
		length = sizeof(uint16_t);
	} else if (value <= UINT32_MAX) {
		ret_bytes[0] = OP_DWORD;
		length = sizeof(uint32_t);
	} else {
		ret_bytes[0] = OP_QWORD;
		length = sizeof(uint64_t);
	}
	memcpy(ret_bytes + 1, &value, length);
	return 1 + length;
}

/*
 * ACPI 6.4, 20.2.4: the length counts its own bytes. One byte holds 6 bits; of more, the first holds 4 and how many
 * follow.
 */
static size_t encode_length(size_t content, uint8_t ret_bytes[4])
{
	for (size_t extra = 0; extra < 4; extra++) {
		size_t length = content + 1 + extra;
		size_t bits = extra == 0 ? 6 : 4 + 8 * extra;

		if (length >> bits != 0)
			continue;
		if (extra == 0) {
			ret_bytes[0] = (uint8_t)length;
			return 1;
		}
		ret_bytes[0] = (uint8_t)((extra << 6) | (length & 0xf));
		for (size_t i = 1; i <= extra; i++)
			ret_bytes[i] = (uint8_t)(length >> (8 * i - 4));
		return 1 + extra;
	}

	return 0;
}

void aml_end(struct aml *aml)
{
	uint8_t bytes[INTEGER_MAX];
	struct aml_block block;
	size_t length;

	if (aml->error < 0)
		return;
	if (aml->depth == 0) {
		fail(aml, -EINVAL);
		return;
	}

	block = aml->blocks[--aml->depth];
	if (block.is_resources) {
		put_byte(aml, TAG_END);
		put_byte(aml, 0); /* no checksum */
		length = encode_integer(aml->size - block.start, bytes);
		insert(aml, block.start, bytes, length);
	}
	length = encode_length(aml->size - block.start, bytes);
	if (length == 0)
		fail(aml, -E2BIG);
	else
		insert(aml, block.start, bytes, length);
}

void aml_scope_begin(struct aml *aml, const char *path)
{
	put_byte(aml, OP_SCOPE);
	begin(aml, false);
	put_path(aml, path);
}

void aml_device_begin(struct aml *aml, const char *path)
{
	put_byte(aml, OP_EXTENDED);
	put_byte(aml, OP_DEVICE);
	begin(aml, false);
	put_path(aml, path);
}

void aml_method_begin(struct aml *aml, const char *path, unsigned int argument_count)
{
	if (argument_count > ARGUMENTS_MAX)
		fail(aml, -EINVAL);
	put_byte(aml, OP_METHOD);
	begin(aml, false);
	put_path(aml, path);
	put_byte(aml, (uint8_t)(argument_count | METHOD_SERIALIZED));
}

void aml_if_argument_is_begin(struct aml *aml, unsigned int argument, uint64_t value)
{
	if (argument >= ARGUMENTS_MAX)
		fail(aml, -EINVAL);
	put_byte(aml, OP_IF);
	begin(aml, false);
	put_byte(aml, OP_EQUAL);
	put_byte(aml, (uint8_t)(OP_ARG0 + argument));
	aml_integer(aml, value);
}

void aml_package_begin(struct aml *aml, unsigned int element_count)
{
	if (element_count > UINT8_MAX)
		fail(aml, -EINVAL);
	put_byte(aml, OP_PACKAGE);
	begin(aml, false);
	put_byte(aml, (uint8_t)element_count);
}

void aml_name(struct aml *aml, const char *path)
{
	put_byte(aml, OP_NAME);
	put_path(aml, path);
}

void aml_integer(struct aml *aml, uint64_t value)
{
	uint8_t bytes[INTEGER_MAX];

	put(aml, bytes, encode_integer(value, bytes));
}

void aml_string(struct aml *aml, const char *text)
{
	for (const char *character = text; *character; character++) {
		if (!isascii(*character))
			fail(aml, -EINVAL);
	}

	put_byte(aml, OP_STRING);
	put(aml, (const uint8_t *)text, strlen(text) + 1);
}

/* Three letters of five bits each, then four hexadecimal digits, most significant byte first: ACPI 6.4, 19.3.4. */
void aml_eisa_id(struct aml *aml, const char *id)
{
	uint32_t value = 0;

	if (strlen(id) != 7) {
		fail(aml, -EINVAL);
		return;
	}
	for (size_t i = 0; i < 3; i++) {
		if (id[i] < 'A' || id[i] > 'Z')
			fail(aml, -EINVAL);
		value = (value << 5) | ((uint32_t)(id[i] - 'A' + 1) & 0x1f);
	}
	for (size_t i = 3; i < 7; i++) {
		bool is_digit = id[i] >= '0' && id[i] <= '9';

		if (!is_digit && (id[i] < 'A' || id[i] > 'F'))
			fail(aml, -EINVAL);
		value = (value << 4) | ((uint32_t)(is_digit ? id[i] - '0' : id[i] - 'A' + 10) & 0xf);
	}

	put_byte(aml, OP_DWORD);
	put_value(aml, __builtin_bswap32(value), sizeof(value));
}

void aml_notify(struct aml *aml, const char *path, uint64_t value)
{
	put_byte(aml, OP_NOTIFY);
	put_path(aml, path);
	aml_integer(aml, value);
}

void aml_resources_begin(struct aml *aml)
{
	put_byte(aml, OP_BUFFER);
	begin(aml, true);
}

/* ACPI 6.4, 6.4.2.5. */
void aml_resource_ports(struct aml *aml, uint16_t base, uint8_t count)
{
	put_byte(aml, TAG_PORTS);
	put_byte(aml, PORTS_DECODE_16);
	put_value(aml, base, sizeof(base)); /* least */
	put_value(aml, base, sizeof(base)); /* greatest */
	put_byte(aml, 1);                   /* alignment */
	put_byte(aml, count);
}

/* ACPI 6.4, 6.4.3.4. */
void aml_resource_memory(struct aml *aml, uint32_t base, uint32_t size)
{
	put_byte(aml, TAG_MEMORY32_FIXED);
	put_value(aml, 1 + sizeof(base) + sizeof(size), sizeof(uint16_t));
	put_byte(aml, MEMORY_WRITABLE);
	put_value(aml, base, sizeof(base));
	put_value(aml, size, sizeof(size));
}

/* ACPI 6.4, 6.4.3.6. */
void aml_resource_interrupt(struct aml *aml, uint32_t gsi)
{
	put_byte(aml, TAG_INTERRUPT);
	put_value(aml, 2 + sizeof(gsi), sizeof(uint16_t));
	put_byte(aml, INTERRUPT_FLAGS);
	put_byte(aml, 1); /* how many */
	put_value(aml, gsi, sizeof(gsi));
}

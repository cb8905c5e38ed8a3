/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.json: what is written is read back bit for bit, and whatever deviates is refused by name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "sample.h"
#include "scratch.h"
#include "snapshot/folder.h"

static struct sample back;
static struct error_detail detail;

static int read_text(const char *text, size_t size)
{
	return sample_read(text, size, &back, &detail);
}

Test(state_json, comes_back_bit_for_bit)
{
	for (uint32_t vcpus = 1; vcpus <= MACHINE_VCPUS_MAX; vcpus++) {
		struct sample *sample = sample_new(vcpus, vcpus * 7);
		size_t size;
		char *text = sample_text(sample, &size);

		cr_assert_eq(read_text(text, size), 0, "%s", detail.text);
		sample_expect_same(&back, sample);
		free(text);
		free(sample);
	}
}

Test(state_json, the_greatest_state_fits)
{
	struct sample *sample = sample_new(MACHINE_VCPUS_MAX, 1000);
	char *text;
	size_t size;

	sample->state.memory_size = GUEST_MEMORY_SIZE_MAX;
	sample->checksums.count = MEMORY_CHUNKS_MAX;
	for (uint32_t i = 0; i < MACHINE_VCPUS_MAX; i++)
		sample->state.vcpus[i].xsave_size = VCPU_XSAVE_MAX;
	text = sample_text(sample, &size);
	cr_assert_lt(size, SNAPSHOT_STATE_SIZE_MAX / 4);
	cr_assert_eq(read_text(text, size), 0, "%s", detail.text);
	sample_expect_same(&back, sample);
	free(text);
	free(sample);
}

Test(state_json, is_json_and_for_people)
{
	struct sample *sample = sample_new(1, 3);
	size_t size;
	char *text = sample_text(sample, &size);
	json_t *document = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	size_t longest = 0;

	cr_assert_not_null(document);
	cr_assert_str_eq(json_string_value(json_object_get(document, "magic")), "EMBERSNP");
	cr_assert_str_eq(json_string_value(json_object_get(document, "created")), "2025-01-02T03:04:05.000000006Z");
	cr_assert_str_eq(json_string_value(json_object_get(document, "cpu_template")), "portable");
	cr_assert(strstr(text, "\"name\": \"IA32_"), "MSRs go by their names");
	cr_assert_eq(text[size - 1], '\n');
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		longest = strlen(line) > longest ? strlen(line) : longest;
	cr_assert_leq(longest, 220, "%zu", longest);
	json_decref(document);
	free(text);
	free(sample);
}

/* On is what it was before there was the option: nothing is written, so that such a state is what it always was. */
Test(state_json, pit_reinject_is_said_where_it_is_off)
{
	struct sample *sample = sample_new(1, 3);
	struct vm_state *state = calloc(1, sizeof(*state));
	struct memory_checksums *checksums = calloc(1, sizeof(*checksums));
	struct snapshot_metadata metadata;
	size_t size;
	char *text;

	cr_assert(state && checksums);
	text = sample_text(sample, &size);
	cr_assert_null(memmem(text, size, "pit_reinject", 12));
	cr_assert_eq(state_json_read(text, size, state, &metadata, checksums, &detail), 0, "%s", detail.text);
	cr_assert_eq(state->no_pit_reinject, 0);
	free(text);

	sample->state.no_pit_reinject = 1;
	text = sample_text(sample, &size);
	cr_assert_not_null(memmem(text, size, "\"pit_reinject\": false", 21));
	cr_assert_eq(state_json_read(text, size, state, &metadata, checksums, &detail), 0, "%s", detail.text);
	cr_assert_eq(state->no_pit_reinject, 1);
	free(text);
	free(checksums);
	free(state);
	free(sample);
}

Test(state_json, no_state_at_all)
{
	char *oversized = calloc(1, SNAPSHOT_STATE_SIZE_MAX + 1);

	cr_assert_not_null(oversized);
	cr_assert_eq(read_text("", 0), -ENODATA);
	cr_assert_eq(read_text(oversized, SNAPSHOT_STATE_SIZE_MAX + 1), -EFBIG);
	cr_assert(strstr(detail.text, "16777217"), "%s", detail.text);
	cr_assert_eq(read_text(oversized, SNAPSHOT_STATE_SIZE_MAX), -EBADMSG);
	cr_assert_eq(read_text("{}", 2), -EBADMSG);
	cr_assert_eq(read_text("{\"magic\": \"EMBERSNQ\", \"format\": 1, \"crc64\": \"0000000000000000\",\n", 64),
		     -EBADMSG);
	cr_assert(strstr(detail.text, "EMBERSNP"), "%s", detail.text);
	free(oversized);
}

Test(state_json, other_formats_are_told_before_anything_else)
{
	static const char *const formats[] = { "0", "2", "37", "9999" };

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		char text[128];
		int length = snprintf(text, sizeof(text),
				      "{\"magic\": \"EMBERSNP\", \"format\": %s, \"crc64\": \"0123456789abcdef\",\n???",
				      formats[i]);

		cr_assert_eq(read_text(text, (size_t)length), -EPROTONOSUPPORT, "%s", formats[i]);
		cr_assert(strstr(detail.text, formats[i]) && strstr(detail.text, "reads format 1"), "%s", detail.text);
	}
}

Test(state_json, every_truncation_is_refused)
{
	struct sample *sample = sample_new(1, 3);
	size_t size;
	char *text = sample_text(sample, &size);

	for (size_t length = 0; length < size; length += length < 200 || size - length < 200 ? 1 : 97)
		cr_assert_lt(read_text(text, length), 0, "%zu of %zu bytes", length, size);
	free(text);
	free(sample);
}

Test(state_json, every_flipped_bit_is_refused)
{
	struct sample *sample = sample_new(1, 1);
	size_t size;
	char *text = sample_text(sample, &size);

	for (size_t i = 0; i < size; i += i < 100 ? 1 : 61)
		for (unsigned bit = 0; bit < 8; bit++) {
			((uint8_t *)text)[i] ^= (uint8_t)(1U << bit);
			cr_assert_lt(read_text(text, size), 0, "byte %zu, bit %u", i, bit);
			((uint8_t *)text)[i] ^= (uint8_t)(1U << bit);
		}
	cr_assert_eq(read_text(text, size), 0, "%s", detail.text);
	free(text);
	free(sample);
}

/* Texts whose CRC is right: what only the parser can refuse, or should not get to see. */
static void expect_refused(const char *body, size_t size, const char *why)
{
	size_t sealed_size;
	char *text = sample_seal_text(body, size, &sealed_size);

	cr_assert_eq(read_text(text, sealed_size), -EINVAL, "%s", why);
	cr_assert(strstr(detail.text, why), "wanted \"%s\", got \"%s\"", why, detail.text);
	free(text);
}

Test(state_json, hostile_texts_with_a_right_crc)
{
	static char deep[64];
	size_t many_size = 600000;
	char *many = malloc(many_size);

	expect_refused("}", 1, "state.json, line");
	expect_refused("\"a\": 1} x", 9, "state.json, line");
	expect_refused("\"a\": 1, \"a\": 2}", 15, "duplicate");
	expect_refused("\"magic\": 1}", 11, "duplicate");
	expect_refused("\"a\": \"\xff\xfe\"}", 10, "unable to decode byte 0xff");
	expect_refused("\"a\\u0000b\": 1}", 14, "state.json, line");
	expect_refused("\"a\0b\": 1}", 9, "state.json, line");
	expect_refused("\"a\": 123456789012345678901234567890}", 36, "too big");
	expect_refused("\"surprise\\n\": 1}", 16, "unknown member \"surprise?\"");

	memset(deep, '[', sizeof(deep));
	expect_refused(deep, sizeof(deep), "nests too deep");
	cr_assert_not_null(many);
	memset(many, ',', many_size);
	expect_refused(many, many_size, "too many values");
	/* Brackets inside strings count for nothing. */
	expect_refused("\"a\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\": 1}", 39, "unknown member");
	free(many);
}

Test(state_json, from_a_file)
{
	struct sample *sample = sample_new(2, 4);
	size_t size;
	char *text = sample_text(sample, &size);
	int file = memfd_create("state.json", MFD_CLOEXEC);

	cr_assert_eq(state_json_load(file, &back.state, &back.metadata, &back.checksums, &detail), -ENODATA);
	cr_assert_eq(write(file, text, size), (ssize_t)size);
	cr_assert_eq(state_json_load(file, &back.state, &back.metadata, &back.checksums, &detail), 0, "%s",
		     detail.text);
	sample_expect_same(&back, sample);
	cr_assert_eq(ftruncate(file, (off_t)size - 1), 0);
	cr_assert_eq(state_json_load(file, &back.state, &back.metadata, &back.checksums, &detail), -EBADMSG);
	cr_assert_eq(ftruncate(file, (off_t)SNAPSHOT_STATE_SIZE_MAX + 1), 0);
	cr_assert_eq(state_json_load(file, &back.state, &back.metadata, &back.checksums, &detail), -EFBIG);
	cr_assert_eq(ftruncate(file, (off_t)1 << 40), 0);
	cr_assert_eq(state_json_load(file, &back.state, &back.metadata, &back.checksums, &detail), -EFBIG);
	(void)close(file);
	cr_assert_eq(state_json_load(-1, &back.state, &back.metadata, &back.checksums, &detail), -EBADF);
	free(text);
	free(sample);
}

Test(state_json, a_full_disk_is_an_error)
{
	struct sample *sample = sample_new(2, 4);
	struct scratch small;
	uint64_t crc;
	int file;

	if (!scratch_make_small(&small, 16384))
		cr_skip_test("mounting a tmpfs needs root");
	file = openat(small.fd, "state.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(state_json_write(file, &sample->state, &sample->metadata, &sample->checksums, &crc, &detail),
		     -ENOSPC);
	cr_assert(strstr(detail.text, "state.json"), "%s", detail.text);
	(void)close(file);
	scratch_remove(&small);
	free(sample);
}

Test(state_json, what_does_not_hold_together_is_not_written)
{
	struct sample *sample = sample_new(1, 1);
	int file = memfd_create("state.json", MFD_CLOEXEC);
	uint64_t crc;

	sample->checksums.count = 2;
	cr_assert_eq(state_json_write(file, &sample->state, &sample->metadata, &sample->checksums, &crc, &detail),
		     -EINVAL);
	sample->checksums.count = 3;
	sample->state.vcpus[0].sregs.cs.dpl = 4;
	cr_assert_eq(state_json_write(file, &sample->state, &sample->metadata, &sample->checksums, &crc, &detail),
		     -EINVAL);
	cr_assert(strstr(detail.text, "vcpus[0].sregs.cs.dpl"), "%s", detail.text);
	cr_assert_eq(lseek(file, 0, SEEK_END), 0);
	(void)close(file);
	free(sample);
}

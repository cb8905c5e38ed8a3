/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting a machine from a flat image.
 *
 * The image is a file of a client's, which the client may go on writing to and cutting while we read. So it is never
 * mapped: its size is taken once, checked against the memory that there is, and exactly so many bytes are read.
 */
#include "devices/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/file_status.h"

/* How many bytes the image has, if it is one that fits into `room` bytes. */
static int image_size(int image, uint64_t room, uint64_t *ret_size, struct error_detail *detail)
{
	struct stat status;

	if (file_status(image, &status) < 0) {
		int r = -errno;

		error_detail_set(detail, "image: fstat: %s", strerrordesc_np(-r));
		return r;
	}
	if (!S_ISREG(status.st_mode)) {
		error_detail_set(detail, "image: not a regular file");
		return -EINVAL;
	}
	if (status.st_size <= 0) {
		error_detail_set(detail, "image: empty");
		return -EINVAL;
	}
	if ((uint64_t)status.st_size > room) {
		error_detail_set(detail, "image: %" PRIu64 " bytes, but there is room for %" PRIu64 " in memory",
				 (uint64_t)status.st_size, room);
		return -EFBIG;
	}

	*ret_size = (uint64_t)status.st_size;
	return 0;
}

/* Read exactly size bytes: whoever holds the file may change it meanwhile, and gets no say in how many. */
static int read_image(int image, uint8_t *memory, uint64_t size, struct error_detail *detail)
{
	uint64_t done = 0;

	while (done < size) {
		ssize_t count = pread(image, memory + done, size - done, (off_t)done);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0) {
			int r = -errno;

			error_detail_set(detail, "image: pread: %s", strerrordesc_np(-r));
			return r;
		}
		if (count == 0) {
			error_detail_set(detail,
					 "image: it got shorter while it was read: %" PRIu64 " bytes of %" PRIu64, done,
					 size);
			return -ENODATA;
		}
		done += (uint64_t)count;
	}

	return 0;
}

int machine_boot_image(struct machine *machine, int image, enum entry_mode mode, struct error_detail *detail)
{
	struct guest_memory *memory = &machine->vm.memory;
	uint64_t gpa;
	uint64_t size = 0;
	uint8_t *host;
	int r;

	if (machine->started) {
		error_detail_set(detail, "the machine has run");
		return -EBUSY;
	}
	if (!entry_mode_name(mode)) {
		error_detail_set(detail, "entry: %u is none", (unsigned int)mode);
		return -EINVAL;
	}

	gpa = entry_image_gpa(mode);
	r = image_size(image, gpa < memory->size ? memory->size - gpa : 0, &size, detail);
	if (r < 0)
		return r;

	r = guest_memory_lay_anonymous(memory);
	if (r < 0) {
		error_detail_set(detail, "memory: %s", strerrordesc_np(-r));
		return r;
	}
	r = guest_memory_range(memory, gpa, size, &host);
	if (r < 0)
		return r;
	r = read_image(image, host, size, detail);
	if (r < 0)
		return r;

	return entry_prepare(memory, machine->vcpus[0], mode, machine->shape.vcpus, detail);
}

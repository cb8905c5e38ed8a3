/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware files come from the module qemu_fw_cfg, which asks the device at every read. The generation ID's place in
 * memory is known here, because this kernel has no driver that would find it through ACPI.
 */
#include "firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GENERATION_ID_GPA 0xff000 /* LINUX_GENERATION_ID_GPA of the host's loader */
#define PAGE              4096

long firmware_read(const char *name, void *bytes, size_t size)
{
	char path[160];
	size_t done = 0;
	ssize_t got = 0;
	int file;

	(void)snprintf(path, sizeof(path), "/sys/firmware/qemu_fw_cfg/by_name/%s/raw", name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	while (done < size && (got = read(file, (char *)bytes + done, size - done)) > 0)
		done += (size_t)got;
	(void)close(file);
	return got < 0 ? -errno : (long)done;
}

int firmware_generation_id(uint8_t ret_id[GENERATION_ID_SIZE])
{
	int memory = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	void *page;

	if (memory < 0)
		return -errno;
	page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, memory, GENERATION_ID_GPA);
	(void)close(memory);
	if (page == MAP_FAILED)
		return -errno;
	memcpy(ret_id, page, GENERATION_ID_SIZE);
	(void)munmap(page, PAGE);
	return 0;
}

unsigned long firmware_events(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	unsigned long sum = 0;
	char line[1024];

	while (file && fgets(line, sizeof(line), file)) {
		char *field = strchr(line, ':'), *end;

		if (!field || !strstr(line, "ACPI:Ged"))
			continue;
		for (field++;; field = end) {
			unsigned long value = strtoul(field, &end, 10);

			if (end == field)
				break;
			sum += value;
		}
	}
	if (file)
		(void)fclose(file);
	return sum;
}

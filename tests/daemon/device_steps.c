/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See device_steps.h. As everything of this harness, these functions assert.
 */
#include "device_steps.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 10

const char *path_in(const struct daemon *daemon, const char *name)
{
	static char paths[8][256];
	static unsigned int next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", daemon->folder, name);
	return path;
}

void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file, "%s", path);
	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	cr_assert_eq(fclose(file), 0);
}

void write_disk(const char *path)
{
	static unsigned char bytes[DISK_SECTORS * SECTOR_SIZE];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i / SECTOR_SIZE + 1);
	write_file(path, bytes, sizeof(bytes));
}

int sector_of(const char *path, int sector)
{
	FILE *file = fopen(path, "re");
	int byte;

	cr_assert_not_null(file, "%s", path);
	cr_assert_eq(fseek(file, (long)sector * SECTOR_SIZE, SEEK_SET), 0);
	byte = fgetc(file);
	(void)fclose(file);
	return byte;
}

bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

void wait_gone(const char *path)
{
	int64_t until = now_ms() + WAIT_MS;

	while (exists(path)) {
		cr_assert_lt(now_ms(), until, "%s is still there", path);
		sleep_ms(POLL_MS);
	}
}

json_t *boot_image(const struct daemon *daemon, struct ember *client, const uint8_t *image, size_t size,
		   json_t *devices)
{
	const char *path = path_in(daemon, "guest-image");
	struct ember_error error = { 0 };
	json_t *params = json_pack("{s:s, s:s, s:i}", "image", path, "entry", "long", "memory_mib", DEVICE_MIB);
	json_t *started = NULL;

	write_file(path, image, size);
	cr_assert_eq(json_object_update_new(params, devices), 0);
	cr_assert_eq(ember_call(client, "vm.boot", params, WAIT_MS, &started, &error), 0, "%s: %s (%s)",
		     json_dumps(params, 0), error.message, error.data ? json_dumps(error.data, 0) : "");
	json_decref(params);
	return started;
}

int64_t event_count(struct ember *client, const char *vm, int event)
{
	json_t *info = call(client, "vm.info", "{s:s}", "vm", vm);
	const json_t *item;
	int64_t count = 0;
	size_t i;

	json_array_foreach(json_object_get(info, "events"), i, item)
		if (int_at(item, "event") == event)
			count = int_at(item, "count");
	json_decref(info);
	return count;
}

void wait_event(struct ember *client, const char *vm, int event, int64_t count)
{
	if (event == 0)
		perform(client, "vm.wait", "{s:s, s:s}", "vm", vm, "for", "ready");
	else
		perform(client, "vm.wait", "{s:s, s:s, s:i, s:I}", "vm", vm, "for", "event", "event", event, "after",
			(json_int_t)(count - 1));
}

void release_vm(struct ember *client, const char *vm)
{
	perform(client, "vm.release", "{s:s}", "vm", vm);
}

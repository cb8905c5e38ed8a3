/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flat images by path: each entry mode, and files that are no images.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "steps.h"

DAEMON_AND_CLIENT(NULL);

/*
 * Programs that write one letter to COM1, report event 7, and pulse the reset line. "inc eax" of 32-bit code is a
 * prefix in 64-bit code, so that each mode writes a letter of its own; code for 16 bits is nonsense in 32, and the
 * other way round.
 */
static const unsigned char code16[] = {
	0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
	0xb0, 'R',        /* mov al, 'R' */
	0xee,             /* out dx, al */
	0xba, 0xe0, 0x05, /* mov dx, 0x5e0 */
	0xb0, 0x07,       /* mov al, 7 */
	0xee,             /* out dx, al */
	0xb0, 0xfe,       /* mov al, 0xfe */
	0xe6, 0x64,       /* out 0x64, al */
	0xf4,             /* hlt */
};
static const unsigned char code32_or_64[] = {
	0x31, 0xc0,             /* xor eax, eax */
	0x40, 0x90,             /* inc eax, nop; in 64-bit code: nop */
	0x04, 'L',              /* add al, 'L': 'M' with 32 bits, 'L' with 64 */
	0x66, 0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
	0xee,                   /* out dx, al */
	0x66, 0xba, 0xe0, 0x05, /* mov dx, 0x5e0 */
	0xb0, 0x07,             /* mov al, 7 */
	0xee,                   /* out dx, al */
	0xb0, 0xfe,             /* mov al, 0xfe */
	0xe6, 0x64,             /* out 0x64, al */
	0xf4,                   /* hlt */
};

static void path_of(const char *name, char path[256])
{
	(void)snprintf(path, 256, "%s/%s", daemon_under_test.folder, name);
}

static void write_image(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	cr_assert_eq(fclose(file), 0);
}

static void expect_letter(const char *entry, const void *code, size_t size, int memory_mib, const char *letter)
{
	json_t *started, *result;
	char path[256];

	path_of("image", path);
	write_image(path, code, size);
	started = call(client, "vm.boot", "{s:s, s:s, s:i}", "image", path, "entry", entry, "memory_mib", memory_mib);
	result = call(client, "vm.wait", "{s:s, s:s}", "vm", text_at(started, "vm"), "for", "exit");
	cr_expect_str_eq(text_at(result, "exit_reason"), "reset", "%s: %s", entry, json_dumps(result, 0));
	json_decref(result);
	result = call(client, "vm.console", "{s:s, s:s}", "vm", text_at(started, "vm"), "action", "read");
	cr_expect_str_eq(text_at(result, "data"), letter);
	json_decref(result);
	result = call(client, "vm.wait", "{s:s, s:s, s:i}", "vm", text_at(started, "vm"), "for", "event", "event", 7);
	cr_expect_eq(int_at(result, "count"), 1);
	json_decref(result);
	perform(client, "vm.release", "{s:s}", "vm", text_at(started, "vm"));
	json_decref(started);
}

DAEMON_TEST(vm_images, real_mode)
{
	expect_letter("real", code16, sizeof(code16), 1, "R");
}

DAEMON_TEST(vm_images, protected_mode)
{
	expect_letter("protected", code32_or_64, sizeof(code32_or_64), 2, "M");
}

DAEMON_TEST(vm_images, long_mode)
{
	expect_letter("long", code32_or_64, sizeof(code32_or_64), 2, "L");
}

DAEMON_TEST(vm_images, the_entry_goes_with_the_image)
{
	char path[256];

	path_of("image", path);
	write_image(path, code16, sizeof(code16));
	refused(client, RPC_INVALID_PARAMS, "entry", "vm.boot", "{s:s}", "image", path);
	refused(client, RPC_INVALID_PARAMS, "entry", "vm.boot", "{s:s}", "entry", "real");
	refused(client, RPC_INVALID_PARAMS, "entry", "vm.boot", "{s:s, s:s}", "image", path, "entry", "virtual");
	refused(client, RPC_INVALID_PARAMS, "image", "vm.boot", "{s:s, s:s}", "image", "image", "entry", "real");
}

static void expect_no_image(int code, const char *named, const char *path, const char *entry, int memory_mib)
{
	refused(client, code, named, "vm.boot", "{s:s, s:s, s:i}", "image", path, "entry", entry, "memory_mib",
		memory_mib);
}

DAEMON_TEST(vm_images, what_is_no_image)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[256], other[256];
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);

	path_of("missing", path);
	expect_no_image(RPC_NOT_FOUND, "image", path, "real", 1);
	path_of("empty", path);
	write_image(path, "", 0);
	expect_no_image(RPC_INVALID_ARGUMENT, "empty", path, "real", 1);
	path_of("folder", path);
	cr_assert_eq(mkdir(path, 0700), 0);
	expect_no_image(RPC_INVALID_ARGUMENT, "image", path, "real", 1);
	path_of("fifo", path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	expect_no_image(RPC_INVALID_ARGUMENT, "image", path, "real", 1);
	path_of("socket", path);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	expect_no_image(RPC_INVALID_ARGUMENT, "image", path, "real", 1);
	expect_no_image(RPC_INVALID_ARGUMENT, "image", "/dev/zero", "real", 1);

	path_of("real-image", other);
	write_image(other, code16, sizeof(code16));
	path_of("link", path);
	cr_assert_eq(symlink(other, path), 0);
	expect_no_image(RPC_INVALID_ARGUMENT, "image", path, "real", 1);

	cr_expect_str_eq(guest_ask(&guest, "echo unharmed"), "unharmed");
	guest_release(&guest);
	(void)close(listener);
}

DAEMON_TEST(vm_images, an_image_that_does_not_fit)
{
	char path[256];

	path_of("image", path);
	write_image(path, code16, sizeof(code16));
	/* 1 MiB of memory ends where protected mode's image begins. */
	expect_no_image(RPC_INVALID_ARGUMENT, "image", path, "protected", 1);
	expect_no_image(RPC_INVALID_ARGUMENT, "image", path, "long", 1);
	cr_assert_eq(truncate(path, 1048576), 0);
	expect_no_image(RPC_INVALID_ARGUMENT, "image", path, "real", 1);
	/* The slots that refused are replaced. */
	expect_letter("real", code16, sizeof(code16), 1, "R");
	pool_settle(client, 0, 0);
}

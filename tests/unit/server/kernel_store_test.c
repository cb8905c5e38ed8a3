/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel store by itself, on a state folder that the test fills.
 */
#include "server/kernels.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/method.h"
#include "server/log.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/snapshots.h"
#include "snapshot/publish.h"

static struct server server;
static struct error_detail detail;

static void open_store(void)
{
	cr_assert_eq(snapshots_open(&server, &server.snapshots, &detail), 0, "%s", detail.text);
	cr_assert_eq(kernels_open(&server, &server.kernels, &detail), 0, "%s", detail.text);
}

static void close_store(void)
{
	server.kernels = kernels_close(server.kernels);
	server.snapshots = snapshots_close(server.snapshots);
}

static void set_up(void)
{
	(void)snprintf(server.config.state_dir, sizeof(server.config.state_dir), "/tmp/ember-store-XXXXXX");
	cr_assert_not_null(mkdtemp(server.config.state_dir));
	server.base = event_base_new();
	TAILQ_INIT(&server.vms);
	event_bus_init(&server.events);
	open_store();
}

static void tear_down(void)
{
	char command[PATH_MAX];

	close_store();
	event_base_free(server.base);
	(void)snprintf(command, sizeof(command), "rm -r %s", server.config.state_dir);
	cr_expect_eq(system(command), 0); // NOLINT(cert-env33-c): a folder of the test's own
}

TestSuite(kernel_store, .init = set_up, .fini = tear_down);

/* Publish a kernel of these entries, whose files are their own names. */
static void publish(const char *name, enum kernel_format format, uint32_t entries, bool has_elf)
{
	struct kernel_record record = { .format = format,
					.entries = entries,
					.image_size = strlen("image"),
					.elf_size = has_elf ? strlen("vmlinux") : 0,
					.sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" };
	struct publication publication;
	char *text;
	size_t size;

	(void)snprintf(record.name, sizeof(record.name), "%s", name);
	cr_assert_eq(kernel_record_to_text(&record, &text, &size), 0);
	cr_assert_eq(publication_begin(kernels_folder(server.kernels), name, &kernel_folder_form, false, &publication,
				       &detail),
		     0, "%s", detail.text);
	cr_assert_eq(publication_write(&publication, KERNEL_FILE_IMAGE, "image", record.image_size, &detail), 0);
	cr_assert_eq(publication_write(&publication, KERNEL_FILE_ELF, "vmlinux", record.elf_size, &detail), 0);
	cr_assert_eq(publication_write(&publication, KERNEL_FILE_RECORD, text, size, &detail), 0);
	cr_assert_eq(publication_commit(&publication, &detail), 0, "%s", detail.text);
	free(text);
}

static void open_again(void)
{
	close_store();
	open_store();
}

static void expect_descriptor(const char *name, enum kernel_entry entry, const char *content)
{
	const struct kernel *kernel = kernels_find(server.kernels, name);
	char found[16] = "";
	int fd;

	cr_assert_not_null(kernel, "%s", name);
	fd = kernel_descriptor(kernel, entry);
	if (!content) {
		cr_assert_eq(fd, -1, "%s has %s", name, kernel_entry_name(entry));
		return;
	}
	cr_assert_eq(pread(fd, found, sizeof(found), 0), (ssize_t)strlen(content));
	cr_assert_str_eq(found, content);
	cr_assert_lt(write(fd, "x", 1), 0, "nobody writes to it");
}

Test(kernel_store, entries_lead_to_files)
{
	const uint32_t bzimage = 1U << KERNEL_ENTRY_BZIMAGE, elf64 = 1U << KERNEL_ENTRY_ELF64,
		       pvh = 1U << KERNEL_ENTRY_PVH;

	publish("whole", KERNEL_BZIMAGE, bzimage | elf64 | pvh, true);
	publish("packed", KERNEL_BZIMAGE, bzimage, false);
	publish("bare", KERNEL_ELF, elf64, false);
	open_again();

	expect_descriptor("whole", KERNEL_ENTRY_BZIMAGE, "image");
	expect_descriptor("whole", KERNEL_ENTRY_ELF64, "vmlinux");
	expect_descriptor("whole", KERNEL_ENTRY_PVH, "vmlinux");
	expect_descriptor("packed", KERNEL_ENTRY_BZIMAGE, "image");
	expect_descriptor("packed", KERNEL_ENTRY_ELF64, NULL);
	expect_descriptor("packed", KERNEL_ENTRY_PVH, NULL);
	expect_descriptor("bare", KERNEL_ENTRY_BZIMAGE, NULL);
	expect_descriptor("bare", KERNEL_ENTRY_ELF64, "image");
	expect_descriptor("bare", KERNEL_ENTRY_PVH, NULL);
	expect_descriptor("bare", KERNEL_ENTRY_COUNT, NULL);
	cr_assert_eq(kernel_default_entry(kernels_find(server.kernels, "whole")), KERNEL_ENTRY_PVH);
	cr_assert_eq(kernel_default_entry(kernels_find(server.kernels, "packed")), KERNEL_ENTRY_BZIMAGE);
	cr_assert_eq(kernel_default_entry(kernels_find(server.kernels, "bare")), KERNEL_ENTRY_ELF64);

	cr_assert_eq(kernels_count(server.kernels), 3);
	cr_assert_str_eq(kernel_record(kernels_at(server.kernels, 0))->name, "bare");
	cr_assert_str_eq(kernel_record(kernels_at(server.kernels, 1))->name, "packed");
	cr_assert_str_eq(kernel_record(kernels_at(server.kernels, 2))->name, "whole");
}

static struct rpc_error answered;

static void take_answer(void *opaque, const json_t *result, const struct rpc_error *error, const struct undo *undo)
{
	(void)undo;
	(void)opaque;
	cr_assert_null(result);
	answered = *error;
	answered.extra = json_incref(error->extra);
}

static void ignore_begun(void *opaque, struct call *call)
{
	(void)opaque;
	(void)call;
}

/* Ask for the removal of a kernel that is held: answered at once. Returns the holders; the caller drops them. */
static json_t *holders_that_refuse(const char *name)
{
	static const struct call_origin_ops ops = { .begun = ignore_begun, .answer = take_answer };
	const struct peer peer = { 0 };
	const struct call_origin origin = { .ops = &ops, .peer = &peer };
	struct call *call;

	answered = (struct rpc_error)RPC_ERROR_INIT;
	cr_assert_eq(call_new(&server, method_find("kernel.remove"), json_pack("{s:s}", "name", name), &origin,
			      ROLE_ADMIN, -1, &call),
		     0);
	method_kernel_remove(call);
	cr_assert_eq(answered.code, RPC_KERNEL_IN_USE, "%d", answered.code);
	return answered.extra;
}

Test(kernel_store, one_that_is_held_stays)
{
	struct kernel *kernel;
	json_t *extra, *expected;
	uint64_t start = snapshots_start_holder(server.snapshots);

	publish("debian", KERNEL_ELF, 1U << KERNEL_ENTRY_PVH, false);
	open_again();
	kernel = kernels_find(server.kernels, "debian");
	cr_assert_eq(kernel_hold(kernel, 7), 0);
	cr_assert_eq(kernel_hold(kernel, 7), -EEXIST);
	cr_assert_eq(kernel_hold(kernel, start), 0);

	extra = holders_that_refuse("debian");
	expected = json_pack("{s:[s, s]}", "holders", "vm-7", "starting");
	cr_assert(json_equal(extra, expected));
	json_decref(extra);
	json_decref(expected);
	cr_assert_eq(kernels_find(server.kernels, "debian"), kernel);

	cr_assert_eq(kernel_release(kernel, 7), 0);
	cr_assert_eq(kernel_begin_removal(kernel), -EBUSY);
	cr_assert_eq(kernel_release(kernel, start), 0);
	cr_assert_eq(kernel_release(kernel, start), -ENOENT);
	cr_assert_eq(kernel_begin_removal(kernel), 0);
	cr_assert_eq(kernel_begin_removal(kernel), -EALREADY);
	cr_assert_eq(kernel_hold(kernel, 8), -ESHUTDOWN);
	cr_assert_null(kernels_find(server.kernels, "debian"));
	cr_assert_eq(kernels_find_any(server.kernels, "debian"), kernel);
	kernel_keep(kernel);
	cr_assert_eq(kernels_find(server.kernels, "debian"), kernel);
	kernels_drop(server.kernels, kernel);
	cr_assert_null(kernels_find_any(server.kernels, "debian"));
}

Test(kernel_store, has_room_for_so_many)
{
	publish("one", KERNEL_ELF, 1U << KERNEL_ENTRY_PVH, false);
	open_again();
	for (int i = 1; i < KERNELS_MAX; i++)
		cr_assert_eq(kernels_reserve(server.kernels), 0);
	cr_assert_eq(kernels_reserve(server.kernels), -ENOSPC);
	kernels_unreserve(server.kernels);
	cr_assert_eq(kernels_reserve(server.kernels), 0);
}

Test(kernel_store, more_than_there_is_room_for_are_left_out)
{
	char name[16];

	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_JSON);
	for (int i = 0; i < KERNELS_MAX + 2; i++) {
		(void)snprintf(name, sizeof(name), "k%d", i);
		publish(name, KERNEL_ELF, 1U << KERNEL_ENTRY_PVH, false);
	}
	open_again();
	cr_assert_eq(kernels_count(server.kernels), KERNELS_MAX);
}

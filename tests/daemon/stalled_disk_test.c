/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that does not answer: a file system of the test's own, frozen (fsfreeze) while VMs use it. They wait for it and do not die of it,
 * nobody else notices, and they can be ended at any moment.
 *
 * Each test has a mount namespace of its own, so these tests run as root. A child thaws the file system when the test ends in
 * whatever way, since what waits for it could not be ended otherwise.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device_steps.h"
#include "guest.h"

GUEST_IMAGE(virtio_copy);

/* Less patience than the tests have. */
#define CONFIG "{\"pool\": {\"reply_timeout_ms\": 300, \"stop_grace_ms\": 100}}"

static struct daemon daemon_under_test;
static struct ember *client;
static char folder[64];  /* the test's, with the file system's image */
static char mounted[80]; /* the file system */
static char disk[96];    /* a drive's image on it */
static pid_t guardian;
static int guardian_pipe[2];

/* Thaw the file system when the pipe's other end is closed. */
_Noreturn static void guard(int file_system)
{
	char byte;

	(void)close(guardian_pipe[1]);
	while (read(guardian_pipe[0], &byte, 1) > 0)
		;
	(void)ioctl(file_system, FITHAW, 0);
	_exit(0);
}

static void start_guardian(void)
{
	int file_system = open(mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert_geq(file_system, 0);
	cr_assert_eq(pipe2(guardian_pipe, O_CLOEXEC), 0);
	guardian = fork();
	cr_assert_geq(guardian, 0);
	if (guardian == 0)
		guard(file_system);
	(void)close(guardian_pipe[0]);
	(void)close(file_system);
}

static void make_file_system(void)
{
	char output[4096];

	cr_assert_eq(unshare(CLONE_NEWNS), 0, "a mount namespace takes root");
	cr_assert_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(folder, sizeof(folder), "/tmp/ember-stalled-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(mounted, sizeof(mounted), "%s/mounted", folder);
	if (run_program(output, sizeof(output),
			"truncate -s 32M %s/image && mkfs.ext4 -q %s/image && mkdir %s && mount -o loop %s/image %s",
			folder, folder, mounted, folder, mounted) != 0)
		cr_skip_test("no file system can be mounted from a file here: %s", output);
	(void)snprintf(disk, sizeof(disk), "%s/disk", mounted);
	write_disk(disk);
}

static void start(void)
{
	if (getenv("EMBER_NO_KVM"))
		cr_skip_test("needs KVM, and EMBER_NO_KVM is set");
	make_file_system();
	start_guardian();
	daemon_start(&daemon_under_test, CONFIG);
	client = daemon_connect(&daemon_under_test);
}

static void freeze(void)
{
	int file_system = open(mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert_eq(ioctl(file_system, FIFREEZE, 0), 0);
	(void)close(file_system);
}

static void thaw(void)
{
	int status;

	(void)close(guardian_pipe[1]);
	cr_assert_eq(waitpid(guardian, &status, 0), guardian);
}

static void stop(void)
{
	char output[4096];

	if (daemon_under_test.pid) {
		perform(client, "server.ping", NULL);
		daemon_stop(&daemon_under_test);
	}
	(void)ember_free(client);
	cr_expect_eq(umount2(mounted, MNT_DETACH), 0);
	(void)run_program(output, sizeof(output), "rm -rf %s", folder);
}

/* Has a process a thread in uninterruptible sleep? */
static bool is_held(pid_t pid)
{
	char path[64], text[512];
	const struct dirent *thread;
	bool held = false;
	DIR *threads;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	while (threads && (thread = readdir(threads))) {
		FILE *file;

		(void)snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", (int)pid, thread->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		(void)fclose(file);
		held = held || strstr(text, ") D ");
	}
	if (threads)
		(void)closedir(threads);
	return held;
}

/* Boot a guest that copies on its disk for ever, freeze the disk under it, and wait until it hangs there. Returns its VM. */
static json_t *boot_held(void)
{
	json_t *started, *info;
	pid_t pid;

	started = boot_image(&daemon_under_test, client, virtio_copy_image, virtio_copy_image_size,
			     json_pack("{s:[{s:s}], s:{}, s:b}", "drives", "path", disk, "rng", "detach", 1));
	wait_event(client, text_at(started, "vm"), 2, 1);
	info = call(client, "vm.info", "{s:s}", "vm", text_at(started, "vm"));
	pid = (pid_t)int_at(info, "pid");
	json_decref(info);
	freeze();
	while (!is_held(pid))
		sleep_ms(5);
	return started;
}

static void wait_abandoned(int64_t count)
{
	int64_t until = now_ms() + WAIT_MS, seen;

	do {
		json_t *status = call(client, "pool.status", NULL);

		seen = int_at(status, "abandoned");
		json_decref(status);
		cr_assert_lt(now_ms(), until, "%ld are abandoned", (long)seen);
		sleep_ms(5);
	} while (seen != count);
}

DAEMON_TEST(stalled_disk, a_vm_waits_for_its_disk_and_goes_on)
{
	json_t *started = boot_held(), *info;
	const char *vm = text_at(started, "vm");
	struct open_call pause_;
	struct guest guest;

	open_call_begin(&pause_, client, "vm.pause", "{s:s}", "vm", vm);
	/* Its answer is overdue, and it lives. */
	daemon_wait_log_count(&daemon_under_test, "worker_waits", 1);
	info = call(client, "vm.info", "{s:s}", "vm", vm);
	cr_expect_str_eq(text_at(info, "state"), "busy");
	cr_expect_str_eq(text_at(info, "waits.for"), "disk");
	cr_expect_geq(int_at(info, "waits.since_ms"), 300);
	json_decref(info);
	guest_boot(&guest, client, 1, GUEST_MIB);
	guest_release(&guest);
	sleep_ms(1000); /* more replies overdue */
	cr_expect_not(pause_.answered);

	thaw();
	cr_expect_eq(open_call_wait(&pause_, client), 0, "%s", pause_.message);
	cr_expect_str_eq(text_at(pause_.result, "state"), "paused");
	info = call(client, "vm.info", "{s:s}", "vm", vm);
	cr_expect(json_is_null(at(info, "waits")));
	json_decref(info);
	perform(client, "vm.resume", "{s:s}", "vm", vm);
	wait_event(client, vm, 2, event_count(client, vm, 2) + 1);
	cr_expect_eq(event_count(client, vm, 3), 0, "its disk is as it left it");
	release_vm(client, vm);
	open_call_end(&pause_);
	json_decref(started);
}

DAEMON_TEST(stalled_disk, a_call_ends_with_its_deadline_and_the_vm_lives)
{
	json_t *started = boot_held();
	const char *vm = text_at(started, "vm");

	refused(client, RPC_DEADLINE_EXCEEDED, NULL, "vm.pause", "{s:s, s:i}", "vm", vm, "deadline_ms", 100);
	daemon_wait_log_count(&daemon_under_test, "worker_waits", 1);
	json_decref(call(client, "vm.info", "{s:s}", "vm", vm));
	thaw();
	release_vm(client, vm);
	json_decref(started);
}

DAEMON_TEST(stalled_disk, a_vm_that_waits_can_be_ended)
{
	json_t *started = boot_held();
	const char *vm = text_at(started, "vm");

	perform(client, "vm.kill", "{s:s}", "vm", vm);
	refused(client, RPC_NOT_FOUND, vm, "vm.info", "{s:s}", "vm", vm);
	wait_abandoned(1);
	cr_expect_eq(daemon_count_log(&daemon_under_test, "worker_abandoned"), 1);
	/* It has a place in no table any more. */
	cr_expect_eq(count_workers(client, "stopping"), 0);
	thaw();
	wait_abandoned(0);
	json_decref(started);
}

DAEMON_TEST(stalled_disk, a_vm_that_waits_can_be_released)
{
	json_t *started = boot_held();

	release_vm(client, text_at(started, "vm"));
	wait_abandoned(1);
	thaw();
	wait_abandoned(0);
	json_decref(started);
}

DAEMON_TEST(stalled_disk, a_daemon_ends_over_a_vm_that_waits)
{
	json_t *started = boot_held();

	daemon_signal(&daemon_under_test, SIGTERM);
	cr_expect_eq(daemon_wait_end(&daemon_under_test), 0);
	/* Nor is its successor kept out. */
	daemon_start_again(&daemon_under_test);
	(void)ember_free(client);
	client = daemon_connect(&daemon_under_test);
	thaw();
	json_decref(started);
}

DAEMON_TEST(stalled_disk, one_that_waits_for_no_disk_is_killed)
{
	struct open_call pause_;
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	cr_assert_eq(kill(guest.pid, SIGSTOP), 0);
	open_call_begin(&pause_, client, "vm.pause", "{s:s}", "vm", guest.vm);
	cr_expect_eq(open_call_wait(&pause_, client), RPC_WORKER_DIED, "%s", pause_.message);
	open_call_end(&pause_);
	thaw();
}

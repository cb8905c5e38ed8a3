/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A zygote whose workers and loader lie, each in one way that the environment names: what the pool must survive.
 *
 * EMBER_IMPOSTOR is a list of ways, "worker=floods loader=unsealed zygote=deaf"; who is not named is honest, as far as that goes without
 * a machine.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm/linux/unpack.h"
#include "kvm/monotonic.h"
#include "pool/channel.h"
#include "pool/process/zygote.h"
#include "snapshot/state.h"

static bool is(const char *way)
{
	const char *ways = getenv("EMBER_IMPOSTOR");

	return ways && strstr(ways, way);
}

static void say(int channel, enum message_type type, uint64_t request, const void *payload)
{
	if (channel_send(channel, type, request, payload, NULL, true) < 0)
		_exit(1);
}

_Noreturn static void say_forever(int channel, enum message_type type, uint64_t request, const void *payload)
{
	for (;;)
		say(channel, type, request, payload);
}

static void hear(int channel, struct message *ret_message)
{
	struct error_detail detail;

	if (channel_receive(channel, ret_message, true, &detail) < 0 || ret_message->header.type == MESSAGE_STOP)
		_exit(0);
}

_Noreturn static void sleep_forever(void)
{
	for (;;)
		(void)pause();
}

/* A packet that channel_send() would not make: a header of our choice, and some descriptors. */
static void send_raw(int channel, const void *bytes, size_t size, unsigned fd_count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * 64)];
	} control = { 0 };
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
	int *fds = (int *)(void *)CMSG_DATA(&control.header);

	if (fd_count > 0) {
		packet.msg_control = control.space;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		for (unsigned i = 0; i < fd_count; i++)
			fds[i] = channel;
	}
	(void)sendmsg(channel, &packet, MSG_NOSIGNAL);
}

static void no_phases(struct message_phases *phases)
{
	*phases = (struct message_phases){ 0 };
	for (int i = 0; i < MESSAGE_PHASE_COUNT; i++)
		phases->phases_ns[i] = MESSAGE_PHASE_NONE;
}

/* ---- the worker ---- */

static void lie_while_building(int channel)
{
	struct message_phases phases;
	struct message_text text = { .error = -5, .stage = "machine", .text = "\033[2J\xff went \nwrong" };
	struct message_header header = { .magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION, .type = MESSAGE_WARM };

	no_phases(&phases);
	if (is("worker=silent"))
		sleep_forever();
	if (is("worker=closes")) {
		(void)close(channel);
		sleep_forever();
	}
	if (is("worker=garbage"))
		send_raw(channel, "nonsense", 8, 0);
	if (is("worker=short"))
		send_raw(channel, &header, sizeof(header), 0);
	if (is("worker=gives_files"))
		send_raw(channel, &header, sizeof(header), 64);
	if (is("worker=starts_unasked"))
		say(channel, MESSAGE_STARTED, 0, &phases);
	if (is("worker=fails_forever"))
		say_forever(channel, MESSAGE_FAILED, 0, &text);
	if (is("worker=slow_clock"))
		phases.phases_ns[MESSAGE_PHASE_VM_CREATE] = UINT64_MAX / 2;
	say(channel, MESSAGE_WARM, 0, &phases);
	if (is("worker=ends_when_warm"))
		_exit(7);
	if (is("worker=leaves_when_warm")) {
		(void)kill(getpid(), SIGSTOP);
		_exit(7);
	}
	if (is("worker=warm_twice"))
		say(channel, MESSAGE_WARM, 0, &phases);
}

static void lie_while_starting(int channel)
{
	struct message_phases phases;
	struct message message;

	no_phases(&phases);
	do {
		hear(channel, &message);
		message_close_fds(&message);
	} while (message.header.type != MESSAGE_BOOT && message.header.type != MESSAGE_RESTORE);
	if (is("worker=never_starts"))
		sleep_forever();
	if (is("worker=starts_another"))
		message.header.request++;
	phases.injected_ns = monotonic_ns();
	if (is("worker=starts_tomorrow"))
		phases.injected_ns += UINT64_C(86400000000000);
	if (is("worker=starts_yesterday"))
		phases.injected_ns = 1;
	say(channel, MESSAGE_STARTED, message.header.request, &phases);
}

static void lie_unasked(int channel)
{
	struct message_signalled signalled = { .number = 7, .count = 1 };
	struct message_exited exited = { .reason = 0 };
	struct message_loaded loaded = { 0 };
	struct message_vsock_connect connect = { .port = 1 };

	if (is("worker=connects_and_connects"))
		say_forever(channel, MESSAGE_VSOCK_CONNECT, 0, &connect);
	if (is("worker=connects_without_vsock"))
		say(channel, MESSAGE_VSOCK_CONNECT, 0, &connect);
	if (is("worker=tells_its_balloon"))
		say(channel, MESSAGE_BALLOON_STATUS, 0, &(struct message_balloon_status){ 0 });
	if (is("worker=floods"))
		say_forever(channel, MESSAGE_SIGNALLED, 0, &signalled);
	if (is("worker=output_floods"))
		say_forever(channel, MESSAGE_OUTPUT, 0, NULL);
	if (is("worker=signals_256")) {
		signalled.number = 256;
		say(channel, MESSAGE_SIGNALLED, 0, &signalled);
	}
	if (is("worker=answers_unasked"))
		say(channel, MESSAGE_DONE, 1, NULL);
	if (is("worker=exits_twice")) {
		say(channel, MESSAGE_EXITED, 0, &exited);
		say(channel, MESSAGE_EXITED, 0, &exited);
	}
	if (is("worker=exits_oddly")) {
		exited.reason = 12345;
		say(channel, MESSAGE_EXITED, 0, &exited);
	}
	if (is("worker=is_a_loader"))
		send_raw(channel, &loaded, sizeof(loaded), 1);
	if (is("worker=deaf"))
		sleep_forever();
}

static void answer_snapshot(int channel, uint64_t request)
{
	struct message_snapshot_done done = { .memory_bytes = 16 << 20, .data_bytes = 4096 };
	struct message_progress progress = { .done = 0, .total = 16 << 20 };

	if (is("worker=stands_still"))
		for (;; (void)usleep(10000))
			say(channel, MESSAGE_PROGRESS, request, &progress);
	if (is("worker=goes_back")) {
		progress.done = 8192;
		say(channel, MESSAGE_PROGRESS, request, &progress);
		progress.done = 4096;
		say(channel, MESSAGE_PROGRESS, request, &progress);
	}
	if (is("worker=has_more_to_do")) {
		progress.total++;
		say(channel, MESSAGE_PROGRESS, request, &progress);
	}
	if (is("worker=has_no_end")) {
		progress.total = UINT64_MAX;
		say(channel, MESSAGE_PROGRESS, request, &progress);
	}
	if (is("worker=goes_on"))
		done.running = 1;
	if (is("worker=writes_much"))
		done.data_bytes = UINT64_MAX;
	/* Honest, and slower than a reply may be: every step says that it lives. */
	if (is("worker=slow"))
		for (unsigned i = 1; i <= 16; i++) {
			(void)usleep(50000);
			progress.done = (uint64_t)i << 20;
			say(channel, MESSAGE_PROGRESS, request, &progress);
		}
	say(channel, MESSAGE_SNAPSHOT_DONE, request, &done);
}

static void answer_balloon(int channel, const struct message *message)
{
	struct message_balloon_status status = {
		.target_bytes = (uint64_t)message->payload.balloon_ask.target_mib << 20,
		.actual_bytes = UINT64_C(1) << 40, /* a guest may say so */
	};

	if (is("worker=wants_more_than_there_is"))
		status.target_bytes = UINT64_C(17) << 20;
	if (is("worker=has_more_pages_than_fit"))
		status.actual_bytes = UINT64_MAX;
	if (is("worker=knows_tomorrow"))
		status.statistics_ns = monotonic_ns() + UINT64_C(86400000000000);
	if (is("worker=knows_an_eleventh"))
		status.statistics_known = 1U << MESSAGE_BALLOON_STATISTICS;
	say(channel, MESSAGE_BALLOON_STATUS, message->header.request, &status);
}

static void answer(int channel, const struct message *message)
{
	struct message_console_data data = { .size = 1 };
	struct message_console_written written = { .written = message->payload.console_write.size };

	switch (message->header.type) {
	case MESSAGE_CONSOLE_READ:
		if (is("worker=reads_much"))
			data.size = UINT32_MAX;
		if (is("worker=reads_more"))
			data.size = message->payload.console_read.max + 1;
		if (is("worker=reads_far"))
			data.offset = UINT64_MAX;
		say(channel, MESSAGE_CONSOLE_DATA, message->header.request, &data);
		break;
	case MESSAGE_CONSOLE_WRITE:
		if (is("worker=takes_more"))
			written.written++;
		say(channel, MESSAGE_CONSOLE_WRITTEN, message->header.request, &written);
		break;
	case MESSAGE_BALLOON_ASK:
		answer_balloon(channel, message);
		break;
	case MESSAGE_SNAPSHOT_OVERLAY:
		break;
	case MESSAGE_SNAPSHOT:
		answer_snapshot(channel, message->header.request);
		break;
	default:
		say(channel, is("worker=answers_oddly") ? MESSAGE_EXITED : MESSAGE_DONE, message->header.request,
		    &(struct message_exited){ .reason = 999 });
		break;
	}
}

_Noreturn static void be_worker(int channel)
{
	lie_while_building(channel);
	lie_while_starting(channel);
	lie_unasked(channel);
	for (;;) {
		struct message message;

		hear(channel, &message);
		answer(channel, &message);
		message_close_fds(&message);
	}
}

/* ---- the loader ---- */

static void answer_load(int channel, const struct message *message)
{
	struct message_loaded loaded = { .vcpus = 1, .memory_size = 16 << 20 };
	struct message_progress progress = { .total = UINT64_MAX };
	int state = memfd_create("state", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	if (is("loader=creeps"))
		for (;; (void)usleep(1000)) {
			progress.done++;
			say(channel, MESSAGE_PROGRESS, message->header.request, &progress);
		}
	if (is("loader=dies"))
		_exit(3);
	if (is("loader=shapeless"))
		loaded.memory_size = 0;
	if (ftruncate(state, sizeof(struct vm_state)) < 0)
		_exit(4);
	if (!is("loader=unsealed"))
		(void)fcntl(state, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	(void)channel_send(channel, MESSAGE_LOADED, message->header.request + (is("loader=answers_another") ? 1 : 0),
			   &loaded, &state, true);
	(void)close(state);
}

/* One byte in each file, and an answer that is right but for one thing. */
static void answer_kernel_load(int channel, const struct message *message)
{
	struct message_kernel_loaded loaded = { .format = KERNEL_BZIMAGE,
						.packing = KERNEL_PACKING_ZSTD,
						.entries = 1U << KERNEL_ENTRY_BZIMAGE | 1U << KERNEL_ENTRY_PVH,
						.protocol = 0x20f,
						.cmdline_max = 2047,
						.image_size = 1,
						.elf_size = 1,
						.memory_size = 16 << 20,
						.version = "6.1\033[2J\n" };

	if (write(message->fds[1], "x", 1) != 1 || write(message->fds[2], "x", 1) != 1)
		_exit(4);
	if (is("kernel=formless"))
		loaded.format = KERNEL_FORMAT_COUNT;
	if (is("kernel=oddly_packed"))
		loaded.packing = KERNEL_PACKING_COUNT;
	if (is("kernel=without_entries"))
		loaded.entries = 0;
	if (is("kernel=with_more_entries"))
		loaded.entries |= 1U << KERNEL_ENTRY_COUNT;
	if (is("kernel=elf_in_elf"))
		loaded.format = KERNEL_ELF;
	if (is("kernel=pvh_without_elf") && ftruncate(message->fds[2], 0) == 0)
		loaded.elf_size = 0;
	if (is("kernel=unwritten"))
		loaded.image_size = 2;
	if (is("kernel=elf_unwritten"))
		loaded.elf_size = 2;
	if (is("kernel=empty") && ftruncate(message->fds[1], 0) == 0)
		loaded.image_size = 0;
	if (is("kernel=too_large") && ftruncate(message->fds[2], (off_t)KERNEL_UNPACKED_MAX + 1) == 0)
		loaded.elf_size = KERNEL_UNPACKED_MAX + 1;
	if (is("kernel=wants_all_memory"))
		loaded.memory_size = UINT64_MAX;
	if (is("kernel=takes_any_cmdline"))
		loaded.cmdline_max = UINT32_MAX;
	if (is("kernel=endless_version"))
		memset(loaded.version, 'v', sizeof(loaded.version));
	if (is("kernel=is_a_state")) {
		struct message state = { .header = message->header };

		answer_load(channel, &state);
	}
	say(channel, MESSAGE_KERNEL_LOADED, message->header.request, &loaded);
}

_Noreturn static void be_loader(int channel)
{
	struct message_text text = { .error = -5, .text = "no" };

	if (is("loader=silent"))
		sleep_forever();
	if (is("loader=fails_forever"))
		say_forever(channel, MESSAGE_FAILED, 0, &text);
	if (is("loader=ready_forever"))
		say_forever(channel, MESSAGE_LOADER_READY, 0, NULL);
	say(channel, MESSAGE_LOADER_READY, 0, NULL);
	for (;;) {
		struct message message;

		hear(channel, &message);
		if (message.header.type == MESSAGE_LOAD && is("loader=is_a_kernel"))
			say(channel, MESSAGE_KERNEL_LOADED, message.header.request,
			    &(struct message_kernel_loaded){ 0 });
		else if (message.header.type == MESSAGE_KERNEL_LOAD)
			answer_kernel_load(channel, &message);
		else
			answer_load(channel, &message);
		message_close_fds(&message);
	}
}

/* ---- the zygote ---- */

static void fork_child(const struct message *message)
{
	struct clone_args arguments = { .flags = CLONE_PARENT };
	struct message_forked forked = { 0 };
	long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(ZYGOTE_CHANNEL);
		if (message->payload.fork.role == MESSAGE_ROLE_LOADER)
			be_loader(message->fds[0]);
		be_worker(message->fds[0]);
	}
	forked.pid = is("zygote=names_nobody") ? -1 : (int32_t)pid;
	say(ZYGOTE_CHANNEL, MESSAGE_FORKED, message->header.request, &forked);
	if (is("zygote=says_twice"))
		say(ZYGOTE_CHANNEL, MESSAGE_FORKED, message->header.request, &forked);
}

int main(void)
{
	struct message_host host = { .api_version = 12 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (is("zygote=counts_much"))
		host.capability_count = UINT32_MAX;
	say(ZYGOTE_CHANNEL, MESSAGE_HOST, 0, &host);
	if (is("zygote=ends"))
		_exit(1);
	for (;;) {
		struct message message;

		hear(ZYGOTE_CHANNEL, &message);
		if (is("zygote=deaf") && message.payload.fork.role == MESSAGE_ROLE_WORKER)
			sleep_forever();
		if (is("zygote=dies") && message.payload.fork.role == MESSAGE_ROLE_WORKER)
			_exit(1);
		fork_child(&message);
		message_close_fds(&message);
	}
}

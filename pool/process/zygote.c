/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zygote.
 *
 * Probes KVM once and builds the syscall filters once; its children inherit both. It forks with CLONE_PARENT, so that
 * they are children of the supervisor, which reaps them and whose death ends them. (fork(2) has no such flag; the raw call leaves
 * glibc's cached thread id of the child's main thread stale, which matters only to error-checking mutexes, and Ember has none.)
 * It stays single-threaded, so that a child finds no lock held by a thread that it does not have.
 *
 * It listens to nobody but the supervisor, and ends when its channel does.
 */
#include "pool/process/zygote.h"

#include <errno.h>
#include <linux/sched.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/channel.h"
#include "pool/pool.h"
#include "pool/process/exit_status.h"
#include "pool/process/loader.h"
#include "pool/process/worker.h"
#include "signals/signals.h"

const char pool_zygote_argument[] = "--ember-zygote";

struct zygote {
	struct kvm_host host;
	struct sandbox_filter *worker_filters[WORKER_KIND_COUNT];
	struct sandbox_filter *loader_filter;
	pid_t parent;
	uid_t uid;
	gid_t gid;
	char *title; /* argv[0], and the bytes of all arguments, which lie one after the other */
	size_t title_size;
};

_Noreturn static void fail(int error, const char *stage, const char *text)
{
	struct message_text message = { .error = error };

	(void)snprintf(message.stage, sizeof(message.stage), "%s", stage);
	(void)snprintf(message.text, sizeof(message.text), "%s", text);
	(void)channel_send(ZYGOTE_CHANNEL, MESSAGE_FAILED, 0, &message, NULL, true);
	_exit(EXIT_STATUS_STAGE_FAILED);
}

static void build_filters(struct zygote *zygote)
{
	struct sandbox_error error = { "" };
	int result = 0;

	for (int kind = 0; kind < WORKER_KIND_COUNT && result == 0; kind++) {
		const struct worker_rules *rules = &worker_rules_of[kind];

		result = sandbox_filter_build(rules->sets, rules->set_count, rules->ioctls, rules->ioctl_count,
					      &zygote->worker_filters[kind], &error);
	}
	if (result == 0)
		result = sandbox_filter_build(loader_rule_sets, loader_rule_set_count, NULL, 0, &zygote->loader_filter,
					      &error);
	if (result < 0)
		fail(result, "filter", error.text);
}

static void send_host(const struct kvm_host *host)
{
	struct message_host message = {
		.api_version = host->api_version,
		.xsave_size = host->xsave_size,
		.tsc_khz = host->tsc_khz,
		.tsc_control = host->tsc_control,
		.tsc_settable = host->tsc_settable,
		.tsc_advances = host->tsc_advances,
		.tsc_rate_wrong = host->tsc_rate_wrong,
		.tsc_measured_khz = host->tsc_measured_khz,
		.max_vcpus = host->max_vcpus,
		.msr_count = host->msrs.count,
		.cpuid_count = host->supported_cpuid.count,
		.capability_count = (uint32_t)host_capability_count,
	};

	memcpy(message.capability_values, host->capability_values, sizeof(message.capability_values));
	if (channel_send(ZYGOTE_CHANNEL, MESSAGE_HOST, 0, &message, NULL, true) < 0)
		_exit(EXIT_STATUS_CHANNEL_LOST);
}

/* What ps(1) shows: a name of the zygote's own length over the first argument, nothing over the others. */
static void set_title(const struct zygote *zygote, const char *title)
{
	_Static_assert(sizeof("ember-worker") == sizeof(ZYGOTE_TITLE), "the titles have one length");
	_Static_assert(sizeof("ember-loader") == sizeof(ZYGOTE_TITLE), "the titles have one length");

	if (strcmp(zygote->title, ZYGOTE_TITLE) != 0)
		return;
	memset(zygote->title, 0, zygote->title_size);
	memcpy(zygote->title, title, sizeof(ZYGOTE_TITLE));
}

_Noreturn static void be_child(const struct zygote *zygote, const struct message_fork *fork, int channel)
{
	struct child_setup setup = {
		.host = &zygote->host,
		.channel = channel,
		.parent = zygote->parent,
		.uid = zygote->uid,
		.gid = zygote->gid,
		.fork = *fork,
	};

	(void)close(ZYGOTE_CHANNEL);
	set_title(zygote, fork->role == MESSAGE_ROLE_LOADER ? "ember-loader" : "ember-worker");
	if (fork->role == MESSAGE_ROLE_LOADER) {
		setup.filter = zygote->loader_filter;
		loader_main(&setup);
	}
	setup.filter = zygote->worker_filters[worker_kind_of(fork)];
	worker_main(&setup);
}

static void refuse(uint64_t request, int error, const char *text)
{
	struct message_text message = { .error = error };

	(void)snprintf(message.stage, sizeof(message.stage), "fork");
	(void)snprintf(message.text, sizeof(message.text), "%s", text);
	if (channel_send(ZYGOTE_CHANNEL, MESSAGE_REFUSED, request, &message, NULL, true) < 0)
		_exit(EXIT_STATUS_CHANNEL_LOST);
}

static void fork_child(const struct zygote *zygote, struct message *message)
{
	struct clone_args arguments = { .flags = CLONE_PARENT };
	struct message_forked forked = { 0 };
	int channel = message->fds[0];
	long pid;
	char text[MESSAGE_TEXT_MAX];

	pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (pid == 0)
		be_child(zygote, &message->payload.fork, channel);
	if (pid < 0) {
		int error = errno;

		(void)snprintf(text, sizeof(text), "a worker cannot be forked: %s", strerror(error));
		refuse(message->header.request, -error, text);
		return;
	}

	forked.pid = (int32_t)pid;
	if (channel_send(ZYGOTE_CHANNEL, MESSAGE_FORKED, message->header.request, &forked, NULL, true) < 0)
		_exit(EXIT_STATUS_CHANNEL_LOST);
}

static long number_argument(const char *text)
{
	char *end = NULL;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || number < 0)
		fail(-EINVAL, "arguments", "the zygote's arguments are not numbers");
	return number;
}

/*
 * For the children: all threads of a worker share one arena of malloc(3). The first time that an arena of a thread's own
 * could shrink, glibc reads /proc/sys/vm/overcommit_memory to find out whether it may, and no filter lets a worker open
 * anything: a guest that ended enough streams at once would end its worker.
 */
static void share_one_arena(void)
{
#ifndef EMBER_SANITIZE /* whose allocator has no arenas, and takes no options */
	if (mallopt(M_ARENA_MAX, 1) == 0)
		fail(-EINVAL, "malloc", "the allocator does not take one arena");
#endif
}

int pool_zygote_main(int argc, char **argv)
{
	static struct zygote zygote;
	struct error_detail detail = { "" };
	int result;

	signals_prepare(SIGNALS_OF_CHILD);
	if (argc != 5)
		return EXIT_STATUS_STAGE_FAILED;
	zygote.parent = (pid_t)number_argument(argv[2]);
	zygote.uid = (uid_t)number_argument(argv[3]);
	zygote.gid = (gid_t)number_argument(argv[4]);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != zygote.parent)
		return EXIT_STATUS_CHANNEL_LOST;
	share_one_arena();
	zygote.title = argv[0];
	zygote.title_size = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]);
	(void)prctl(PR_SET_NAME, ZYGOTE_TITLE);

	result = host_probe(&zygote.host, &detail);
	if (result < 0)
		fail(result, "probe", detail.text);
	build_filters(&zygote);
	send_host(&zygote.host);

	for (;;) {
		struct message message;

		result = channel_receive(ZYGOTE_CHANNEL, &message, true, &detail);
		if (result == -EPIPE)
			_exit(EXIT_STATUS_STOPPED);
		if (result < 0 || (message.header.type != MESSAGE_FORK && message.header.type != MESSAGE_STOP))
			_exit(EXIT_STATUS_CHANNEL_LOST);
		if (message.header.type == MESSAGE_STOP)
			_exit(EXIT_STATUS_STOPPED);
		fork_child(&zygote, &message);
		message_close_fds(&message);
	}
}

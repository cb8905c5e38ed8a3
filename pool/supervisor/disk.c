/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that a disk holds up.
 *
 * A frozen or hung file system keeps who writes, syncs or reads there in the kernel for as long as its owner likes. That is no fault of the
 * worker's, and no reason to end its VM. Whether it is so is asked of the kernel, by /proc, when an answer is overdue: the worker is
 * not asked, and what it could do to look that way (it would have to be held by a file system) keeps nothing alive but itself.
 *
 *   - A thread in uninterruptible sleep (state D) waits for a block device, a frozen file system, a network file system, or a page of a file.
 *   - A thread in interruptible sleep (state S) may wait for the server of a FUSE file system, which the kernel does not let it say by
 *     its state. There the system call that it is in says so: one that works on files and blocks for no other reason.
 *     Where the supervisor may not see that (it needs CAP_SYS_PTRACE, as workers are not dumpable), a thread in state S is taken to wait
 *     for a disk if what it was asked for writes or reads files by its nature: snapshots and loads.
 *
 * A process that is held so when it is killed ends when the disk answers, or never. After a grace of time nobody waits for it: its owner is told that it
 * is gone, and its pidfd is kept so that it can be reaped, and counted until then.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/supervisor/internal.h"

#define THREADS_MAX 256 /* of a process that are looked at; an honest one has far fewer */

enum held {
	HELD_NOT = 0,
	HELD_PERHAPS, /* it sleeps, and we may not see in which call */
	HELD,
};

/* A small file of /proc, terminated. Returns its length or -errno. */
static int read_text(int folder, const char *thread, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t length;
	int file;

	(void)snprintf(path, sizeof(path), "%.32s/%s", thread, name);
	file = openat(folder, path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	length = read(file, text, size - 1);
	if (length < 0)
		length = -errno;
	else
		text[length] = '\0';
	(void)close(file);
	return (int)length;
}

/* Calls that work on files, and that wait for nothing else. */
static bool is_file_call(long number)
{
	switch (number) {
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_preadv:
	case SYS_pwritev:
	case SYS_preadv2:
	case SYS_pwritev2:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_fstat:
	case SYS_newfstatat:
	case SYS_lseek:
	case SYS_copy_file_range:
	case SYS_close:
		return true;
	default:
		return false;
	}
}

static enum held thread_is_held(int folder, const char *thread)
{
	char text[512];
	const char *state;
	char *end;
	long number;

	if (read_text(folder, thread, "stat", text, sizeof(text)) < 0)
		return HELD_NOT;
	/* The name before the state may hold anything, parentheses too; what follows it does not. */
	state = strrchr(text, ')');
	if (!state || state[1] != ' ')
		return HELD_NOT;
	if (state[2] == 'D')
		return HELD;
	if (state[2] != 'S')
		return HELD_NOT;

	if (read_text(folder, thread, "syscall", text, sizeof(text)) < 0)
		return HELD_PERHAPS;
	number = strtol(text, &end, 10);
	return end != text && is_file_call(number) ? HELD : HELD_NOT;
}

static enum held is_held(pid_t pid)
{
	enum held held = HELD_NOT;
	const struct dirent *thread;
	char path[32];
	DIR *threads;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	if (!threads)
		return HELD_NOT;
	for (int i = 0; i < THREADS_MAX && held != HELD && (thread = readdir(threads)); i++) {
		enum held one = thread->d_name[0] == '.' ? HELD_NOT : thread_is_held(dirfd(threads), thread->d_name);

		if (one > held)
			held = one;
	}
	(void)closedir(threads);
	return held;
}

bool disk_holds(pid_t pid)
{
	return is_held(pid) == HELD;
}

/* Does what the process is at write or read files by its nature? */
static bool works_on_files(const struct process *process)
{
	const struct operation *operation = TAILQ_FIRST(&process->operations);

	return operation && (operation->asked == MESSAGE_SNAPSHOT || operation->asked == MESSAGE_LOAD ||
			     operation->asked == MESSAGE_KERNEL_LOAD);
}

static bool is_held_up(const struct process *process)
{
	enum held held = process_alive(process) ? is_held(process->pid) : HELD_NOT;

	return held == HELD || (held == HELD_PERHAPS && works_on_files(process));
}

bool disk_excuses(struct process *process)
{
	uint64_t patience_ns = (uint64_t)process->pool->options.reply_timeout_ms * 1000000;
	struct operation *operation;

	if (!is_held_up(process))
		return false;

	TAILQ_FOREACH(operation, &process->operations, link)
		operation->deadline_ns = monotonic_ns() + patience_ns;
	process_set_timer(process, patience_ns);
	return true;
}

bool pool_vm_waits(const struct pool_vm *vm, uint64_t *ret_since_ns)
{
	const struct process *process = &vm->slot->process;

	if (TAILQ_EMPTY(&process->operations) || !is_held_up(process))
		return false;
	*ret_since_ns = process->heard_ns;
	return true;
}

/* ---- those that do not end ---- */

static void forget(struct abandoned *abandoned)
{
	LIST_REMOVE(abandoned, link);
	abandoned->pool->abandoned_count--;
	event_free(abandoned->ended);
	(void)close(abandoned->pidfd);
	free(abandoned);
}

static void on_ended(int fd, short events, void *opaque)
{
	siginfo_t info;

	(void)events;
	(void)waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
	forget(opaque);
}

bool disk_abandons(struct process *process)
{
	static const char text[] = "a disk holds it in the kernel, and it does not end: nobody waits for it any longer";
	struct pool *pool = process->pool;
	struct abandoned *abandoned;

	if (!disk_holds(process->pid))
		return false;
	abandoned = calloc(1, sizeof(*abandoned));
	if (!abandoned)
		return false;
	abandoned->pool = pool;
	abandoned->ended = event_new(pool->options.base, process->pidfd, EV_READ | EV_PERSIST, on_ended, abandoned);
	if (!abandoned->ended || event_add(abandoned->ended, NULL) < 0) {
		if (abandoned->ended)
			event_free(abandoned->ended);
		free(abandoned);
		return false;
	}

	abandoned->pidfd = process->pidfd;
	process->pidfd = -1;
	LIST_INSERT_HEAD(&pool->abandoned, abandoned, link);
	pool->abandoned_count++;
	pool_report(pool,
		    &(struct pool_event){
			    .kind = POOL_EVENT_WORKER_ABANDONED, .is_error = true, .pid = process->pid, .text = text });
	process_release(process);
	process->reaped(process->owner, "worker_killed", text, false);
	return true;
}

uint32_t pool_abandoned(const struct pool *pool)
{
	return pool->abandoned_count;
}

void disk_forget_abandoned(struct pool *pool)
{
	struct abandoned *abandoned;

	while ((abandoned = LIST_FIRST(&pool->abandoned)))
		forget(abandoned);
}

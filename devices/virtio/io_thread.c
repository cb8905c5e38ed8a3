/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's own thread.
 *
 * It sleeps in ppoll(2) on an eventfd. The same eventfd serves everybody who has something for it: KVM, for the guest's
 * notifications (ioeventfd), and us, for everything else. What is to be done is not in the event but under the lock, so
 * that an event too many does no harm: the thread looks, finds nothing, and sleeps again.
 *
 * Whoever needs the thread at rest (a reset, a snapshot) waits for `rested`, and while anybody waits nothing new is
 * begun. A waiter who has no use for what is being done also counts itself in `cancels`, which the thread looks at
 * between pieces of work, without the lock. So it may look at `held`: a pause has use for what is being done, but not
 * now.
 */
#include "devices/virtio/io_thread.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "kvm/monotonic.h"

#define STACK_SIZE ((size_t)512 * 1024) /* reserved, not used: AddressSanitizer's frames are large */
#define SECOND_NS  UINT64_C(1000000000)

/* Sleep until woken, until something that is watched happens, or until a time comes. */
static void sleep_until(const struct io_thread *thread, uint64_t deadline, unsigned int watch_count)
{
	struct pollfd own = { .fd = thread->wake_fd, .events = POLLIN };
	struct pollfd *watches = watch_count > 0 ? thread->watches : &own;
	struct timespec timeout = { 0 };
	uint64_t count;

	if (deadline != IO_THREAD_NEVER) {
		uint64_t now = monotonic_ns();
		uint64_t left = deadline > now ? deadline - now : 0;

		timeout.tv_sec = (time_t)(left / SECOND_NS);
		timeout.tv_nsec = (long)(left % SECOND_NS);
	}

	watches[0] = own;
	(void)ppoll(watches, watch_count > 0 ? watch_count : 1, deadline == IO_THREAD_NEVER ? NULL : &timeout, NULL);
	(void)!read(thread->wake_fd, &count, sizeof(count)); /* does not block: empty means the time has come */
}

static void *run(void *opaque)
{
	struct io_thread *thread = opaque;
	uint64_t deadline = IO_THREAD_NEVER;
	unsigned int watch_count = 0;

	(void)prctl(PR_SET_NAME, thread->name);
	pthread_mutex_lock(thread->lock);
	thread->started = true;
	pthread_cond_broadcast(&thread->rested);
	while (!thread->stopping) {
		pthread_mutex_unlock(thread->lock);
		sleep_until(thread, deadline, watch_count);
		pthread_mutex_lock(thread->lock);

		/* Who may not serve does not watch either: what happens is seen by the first look afterwards. */
		deadline = IO_THREAD_NEVER;
		watch_count = 0;
		if (!io_thread_may_serve(thread))
			continue;
		thread->busy = true;
		deadline = thread->serve(thread->opaque);
		watch_count = thread->watch_count;
		thread->busy = false;
		pthread_cond_broadcast(&thread->rested);
	}
	pthread_mutex_unlock(thread->lock);

	return NULL;
}

/*
 * Signals are for the threads that expect them, but for those that an instruction raises: blocked, they would kill
 * the process where a handler could say why (a file behind guest memory was cut).
 */
static void mask_signals(sigset_t *ret_before)
{
	static const int raised[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT };
	sigset_t all;

	(void)sigfillset(&all);
	for (size_t i = 0; i < sizeof(raised) / sizeof(raised[0]); i++)
		(void)sigdelset(&all, raised[i]);
	(void)pthread_sigmask(SIG_SETMASK, &all, ret_before);
}

static int create_thread(struct io_thread *thread)
{
	pthread_attr_t attributes;
	sigset_t before;
	int error;

	error = pthread_attr_init(&attributes);
	if (error != 0)
		return -error;

	(void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
	mask_signals(&before);
	error = pthread_create(&thread->thread, &attributes, run, thread);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attributes);
	return -error;
}

int io_thread_start(struct io_thread *thread, pthread_mutex_t *lock, const char *name, uint64_t (*serve)(void *opaque),
		    void *opaque)
{
	int r;

	*thread = (struct io_thread){ .lock = lock, .name = name, .serve = serve, .opaque = opaque, .held = true };
	thread->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (thread->wake_fd < 0)
		return -errno;

	pthread_cond_init(&thread->rested, NULL);
	r = create_thread(thread);
	if (r < 0) {
		pthread_cond_destroy(&thread->rested);
		(void)close(thread->wake_fd);
		return r;
	}

	pthread_mutex_lock(lock);
	while (!thread->started)
		pthread_cond_wait(&thread->rested, lock);
	pthread_mutex_unlock(lock);
	return 0;
}

void io_thread_wake(struct io_thread *thread)
{
	const uint64_t one = 1;

	/* Fails when the counter is full: then the thread is woken already. */
	(void)!write(thread->wake_fd, &one, sizeof(one));
}

bool io_thread_may_serve(const struct io_thread *thread)
{
	return !io_thread_is_held(thread) && !thread->stopping && thread->waits == 0;
}

bool io_thread_is_cancelled(const struct io_thread *thread)
{
	return atomic_load_explicit(&thread->cancels, memory_order_relaxed) > 0;
}

bool io_thread_is_held(const struct io_thread *thread)
{
	return atomic_load_explicit(&thread->held, memory_order_relaxed);
}

void io_thread_quiesce(struct io_thread *thread, bool cancel)
{
	thread->waits++;
	if (cancel)
		atomic_fetch_add(&thread->cancels, 1);
	while (thread->busy)
		pthread_cond_wait(&thread->rested, thread->lock);
	if (cancel)
		atomic_fetch_sub(&thread->cancels, 1);
	thread->waits--;

	/* What woke the thread meanwhile found it barred. It gets to look once we drop the lock. */
	if (thread->waits == 0)
		io_thread_wake(thread);
}

void io_thread_hold(struct io_thread *thread)
{
	atomic_store(&thread->held, true);
}

void io_thread_release(struct io_thread *thread)
{
	atomic_store(&thread->held, false);
	io_thread_wake(thread);
}

void io_thread_stop(struct io_thread *thread)
{
	if (!thread->started)
		return;

	pthread_mutex_lock(thread->lock);
	thread->stopping = true;
	atomic_fetch_add(&thread->cancels, 1);
	pthread_mutex_unlock(thread->lock);
	io_thread_wake(thread);
	(void)pthread_join(thread->thread, NULL);

	pthread_cond_destroy(&thread->rested);
	(void)close(thread->wake_fd);
	thread->started = false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's own thread: waits to be woken, serves, and can be held at rest.
 *
 * The thread is made with its device, before a worker is confined, and ends with it. All of its state is guarded by the
 * device's lock.
 */
#ifndef EMBER_DEVICES_VIRTIO_IO_THREAD_H
#define EMBER_DEVICES_VIRTIO_IO_THREAD_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define IO_THREAD_NEVER UINT64_MAX

struct io_thread {
	pthread_t thread;
	int wake_fd; /* an eventfd; who writes to it wakes the thread: io_thread_wake(), or KVM for an ioeventfd */
	pthread_mutex_t *lock;
	pthread_cond_t rested;
	const char *name;
	bool started;
	atomic_bool held;    /* serve nothing: the machine does not run; changed with the lock, read without it too */
	bool busy;           /* within serve() */
	bool stopping;       /* the thread is to end */
	unsigned int waits;  /* how many wait in io_thread_quiesce() */
	atomic_uint cancels; /* who waits for the thread to give up what it does; read without the lock */
	/*
	 * Do what there is to do. Called with the lock held, returns with it held, and may drop it meanwhile. To look
	 * at io_thread_may_serve() before each new piece of work. Returns when to be called again although nobody wakes
	 * the thread: CLOCK_MONOTONIC in nanoseconds, or IO_THREAD_NEVER.
	 */
	uint64_t (*serve)(void *opaque);
	void *opaque;
	/*
	 * Set by serve(), for the sleep after it: what wakes the thread besides wake_fd. watches[0] is the thread's
	 * own; serve() fills those from 1 up to watch_count, and finds there what became of them. NULL and 0: nothing.
	 */
	struct pollfd *watches;
	unsigned int watch_count;
};

/*
 * Start a thread, held. Returns when it has done all that a thread's start asks of the kernel, so that a syscall filter
 * may follow.
 *
 * lock  of the device; outlives the thread
 * name  as ps(1) shows it: up to 15 bytes of static text
 *
 * Returns 0 or -errno, with nothing to end.
 */
int io_thread_start(struct io_thread *thread, pthread_mutex_t *lock, const char *name, uint64_t (*serve)(void *opaque),
		    void *opaque);

/* Wake the thread from any thread, with the lock held or not. */
void io_thread_wake(struct io_thread *thread);

/* With the lock held, on the thread itself: may another piece of work be begun? */
bool io_thread_may_serve(const struct io_thread *thread);

/*
 * Without the lock, on the thread itself: is what it does not wanted any more? Should it stop, where what it does can be
 * done again later?
 */
bool io_thread_is_cancelled(const struct io_thread *thread);
bool io_thread_is_held(const struct io_thread *thread);

/*
 * With the lock held (dropped while waiting), not on the thread itself: wait until the thread is not serving. It begins
 * nothing new before this returns; afterwards it does when it is woken.
 *
 * cancel  true: what is being done is given up at the next occasion; false: it is finished
 */
void io_thread_quiesce(struct io_thread *thread, bool cancel);

/*
 * With the lock held. Hold: begin nothing new until io_thread_release(), which also wakes the thread. Does not wait for
 * what is being done; io_thread_quiesce() does.
 */
void io_thread_hold(struct io_thread *thread);
void io_thread_release(struct io_thread *thread);

/*
 * Without the lock: end the thread, giving up what it does, and close wake_fd. Takes one that was never started, in
 * zeroed memory.
 */
void io_thread_stop(struct io_thread *thread);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread for file work that blocks (fsync, rename, unlink, reading a configuration), so that the event loop never
 * does.
 */
#ifndef EMBER_SERVER_FILE_THREAD_H
#define EMBER_SERVER_FILE_THREAD_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

struct file_thread;

/*
 * Start the thread.
 *
 * base        whose loop gets the completions; must outlive the thread
 * jobs_max    jobs that may wait or run at one time
 * ret_thread  the caller ends it with file_thread_free()
 *
 * Returns 0 or -errno.
 */
int file_thread_start(struct event_base *base, size_t jobs_max, struct file_thread **ret_thread);

/*
 * Queue a job. Jobs run one at a time in the order in which they came.
 *
 * work  runs on the thread; must touch nothing that the loop touches meanwhile; its result is handed to done
 * done  runs in the loop, exactly once, after work has
 *
 * Returns 0; -EAGAIN (jobs_max are waiting, or the thread is being stopped) or -ENOMEM: nothing is called then.
 */
int file_thread_submit(struct file_thread *thread, int (*work)(void *opaque), void (*done)(void *opaque, int result),
		       void *opaque);

/*
 * Queue a job that undoes what an earlier one has done (closes, removes): as file_thread_submit(), but jobs_max is no bound. There are
 * no more of them than of the jobs that were admitted.
 *
 * Returns 0; -EAGAIN (the thread is being stopped) or -ENOMEM.
 */
int file_thread_submit_undo(struct file_thread *thread, int (*work)(void *opaque),
			    void (*done)(void *opaque, int result), void *opaque);

/*
 * Finish what is queued, deliver its completions, and end the thread. What is submitted from then on is refused. Takes NULL.
 *
 * patience_ms  how long to wait for it
 *
 * Returns 0; or -ETIMEDOUT: a file system hangs, and the thread with it. It can then neither be stopped nor freed: all that is left
 * is to end the process.
 */
int file_thread_stop(struct file_thread *thread, uint32_t patience_ms);

/* Takes NULL, and one that was not stopped, which is waited for. Returns NULL. */
struct file_thread *file_thread_free(struct file_thread *thread);

#endif

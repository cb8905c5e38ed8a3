/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread for file work that blocks (fsync, rename, unlink, reading a configuration), so that the event loop never
 * does.
 */
#ifndef EMBER_SERVER_FILE_THREAD_H
#define EMBER_SERVER_FILE_THREAD_H

#include <stddef.h>

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
 * Finish what is queued, deliver its completions, and end the thread: blocks as long as that takes. What is submitted
 * from then on is refused. Takes NULL.
 */
void file_thread_stop(struct file_thread *thread);

/* Takes NULL, and one that was not stopped. Returns NULL. */
struct file_thread *file_thread_free(struct file_thread *thread);

#endif

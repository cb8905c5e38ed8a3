/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the supervisor's half of the pool share. Nothing outside this folder includes it.
 */
#ifndef EMBER_POOL_SUPERVISOR_INTERNAL_H
#define EMBER_POOL_SUPERVISOR_INTERNAL_H

#include <sys/queue.h>

#include "kvm/monotonic.h"
#include "pool/channel.h"
#include "pool/pool.h"

#define POOL_SLOTS_MAX        4096 /* rows of the slot table: workers_max and those that are still being reaped */
#define POOL_SHAPES_MAX       64 /* rows of shapes that are configured, and as many before idle ones make room for new ones */
#define POOL_OPERATIONS_MAX   32 /* unanswered messages a worker may have */
#define POOL_BACKOFF_MIN_MS   100
#define POOL_BACKOFF_MAX_MS   30000
#define POOL_FAILURES_TO_TELL 3  /* consecutive failures of a shape after which waiting requests are told */
#define POOL_MESSAGES_A_TURN  16 /* messages read from one process before others get a turn */

struct slot;

/* One message to a worker or the loader that is not answered yet. */
struct operation {
	TAILQ_ENTRY(operation) link;
	struct pool *pool;
	uint64_t id;
	enum message_type asked;
	uint64_t deadline_ns;
	void *opaque;
	struct pool_result result; /* for completions that wait for the loop */
	uint64_t progress_done;
	uint64_t progress_total;    /* 0: none was told yet */
	uint64_t progress_credited; /* the progress that last moved deadlines */
	uint32_t console_size;      /* MESSAGE_CONSOLE_READ, _WRITE: bytes asked for, or offered */
	bool may_run;               /* MESSAGE_SNAPSHOT: the VM is to go on afterwards */
	uint32_t overlay_count;     /* MESSAGE_SNAPSHOT: of drives whose overlays are copied */
	pool_vm_done done;
	void (*progress)(void *opaque, uint64_t done, uint64_t total);
	void (*snapshot_done)(void *opaque, const struct pool_result *result,
			      const struct message_snapshot_done *times);
	void (*console_read_done)(void *opaque, const struct pool_result *result, uint64_t offset, uint64_t dropped,
				  const uint8_t *data, uint32_t size);
	void (*console_written_done)(void *opaque, const struct pool_result *result, uint32_t written);
	void (*balloon_done)(void *opaque, const struct pool_result *result,
			     const struct message_balloon_status *status);
	void (*load_done)(void *opaque, const struct pool_result *result, int state,
			  const struct message_loaded *loaded);
	void (*kernel_done)(void *opaque, const struct pool_result *result, const struct message_kernel_loaded *loaded);
	int files[MESSAGE_FDS_MAX]; /* for the loader: what its message brings; else -1 */
	bool verify_memory;
};
TAILQ_HEAD(operation_list, operation);

/* A child process on the other end of a channel: worker, loader or zygote. */
struct process {
	struct pool *pool;
	pid_t pid;
	int pidfd;   /* -1: none */
	int channel; /* -1: none */
	struct event *readable;
	struct event *ended;
	struct event *timer;
	struct operation_list operations;
	uint32_t operation_count;
	uint32_t tokens; /* messages that it may send unasked */
	uint64_t tokens_at_ns;
	uint32_t stop_step; /* 0: not being stopped; 1: asked; 2: SIGTERM; 3: SIGKILL */
	uint64_t heard_ns;  /* when it was first asked for something, or last answered or told its progress */
	bool told_waiting;  /* that it waits for a disk has been reported */
	void *owner;
	void (*received)(void *owner, struct message *message); /* takes or leaves the descriptors */
	void (*lied)(void *owner, const char *text);
	void (*stalled)(void *owner);
	void (*reaped)(void *owner, const char *reason, const char *text, bool clean);
};

/* A process that was killed and has not ended: a disk holds it in the kernel. */
struct abandoned {
	LIST_ENTRY(abandoned) link;
	struct pool *pool;
	int pidfd;
	struct event *ended;
};

struct shape {
	TAILQ_ENTRY(shape) link;
	struct machine_shape machine;
	struct pool_shape_limits limits;
	bool configured;  /* by pool_configure(), else brought by a request */
	bool retired;     /* its row goes with its last worker and request, unless a request brings it again */
	uint64_t used_at; /* which use of any shape was the last one of this: the least was unused longest */
	uint32_t counts[SLOT_STATE_COUNT];
	uint32_t queued;
	uint32_t waiting; /* of them those that any warm slot can serve: all but cold starts */
	uint32_t passed;  /* of these, how many the balancing in progress has come to */
	uint64_t failures;
	uint32_t consecutive_failures;
	uint64_t backoff_until_ns; /* 0: none */
	uint32_t unused_deaths;    /* of workers that were warm and had no request, in a row */
	uint64_t refill_after_ns;  /* 0: at once; nothing is built ahead of requests before */
	uint64_t build_ns;         /* how long builds took lately: a moving average; 0: none yet */
	char last_failure[MESSAGE_TEXT_MAX];
};

TAILQ_HEAD(shape_list, shape);

struct slot {
	enum slot_state state;
	uint32_t number; /* of the worker in it: 1, 2, ... never reused */
	struct shape *shape;
	struct process process;
	uint64_t forked_ns;
	struct pool_request *request; /* reserved for (forking, building) or being served (starting) */
	struct pool_vm *vm;
	uint64_t built_phases_ns[MESSAGE_PHASE_COUNT];
	uint64_t warm_ns;               /* since when it was built; 0: it is not yet */
	bool served;                    /* it was given a request: its death says nothing of its shape */
	bool misbehaved;                /* it lied or hung: it is killed for that */
	bool stop_asked;                /* its end was wanted: not a failure */
	char failure[MESSAGE_TEXT_MAX]; /* what its FAILED message said, or what it lied about */
};

struct pool_vm {
	uint64_t number;
	struct slot *slot;
	enum pool_vm_state state;
	enum pool_vm_state state_before; /* a busy VM: what it was */
	uint64_t state_changes;
	uint64_t balloon_changes;
	struct pool_vm_callbacks callbacks;
	struct pool_blame blame;
	const char *stop_reason;
};

struct pool_request {
	TAILQ_ENTRY(pool_request) link;
	struct pool *pool;
	struct pool_start start;
	struct shape *shape;
	struct slot *slot; /* once it has one */
	bool queued;
	bool gives_way; /* workers of its kind keep dying: others are served first */
	bool finished;  /* its callback waits for the loop */
	uint64_t requested_ns;
	uint64_t assigned_ns;
	struct event *deadline;
	struct pool_result result; /* for a completion that waits for the loop */
	void (*done)(void *opaque, const struct pool_result *result, struct pool_vm *vm,
		     const struct pool_started *started);
	void *opaque;
};
TAILQ_HEAD(request_list, pool_request);

struct pool {
	struct pool_options options;
	struct message_host host;
	bool stopping;
	void (*stopped)(void *opaque);
	void *stopped_opaque;

	struct process zygote;
	struct event *zygote_retry;
	uint32_t zygote_failures; /* in a row */
	uint32_t forks_pending;   /* forks that the zygote was asked for and has not answered */

	struct process loader;
	struct event *loader_retry;
	struct operation_list loads; /* waiting for the loader */
	uint32_t loader_failures;
	bool zygote_ready; /* it has told what its probe found */
	bool loader_ready; /* it has entered its sandbox, and has not been used */
	bool loader_spent; /* it has answered: its end is no failure */

	struct slot slots[POOL_SLOTS_MAX];
	uint32_t slots_used; /* rows that have ever been used: scans stop here */
	uint32_t next_worker;
	uint32_t counts[SLOT_STATE_COUNT]; /* of all shapes */
	struct shape_list shapes;
	uint32_t shape_count;
	uint64_t shape_uses;
	struct crash_table *crashes;

	LIST_HEAD(, abandoned) abandoned;
	uint32_t abandoned_count;
	uint64_t end_by_ns; /* while the pool is being freed: until when processes are waited for; else 0 */

	struct request_list queue;
	uint32_t queue_length;
	bool delivering;              /* callbacks of finished and completed are being called */
	struct request_list finished; /* requests and operations whose callback waits for the loop */
	struct operation_list completed;
	struct event *deliver;
	struct event *balance;
	struct event *backoff; /* balance again, without anything having changed */
	uint64_t begun_ns;     /* when a request was last sent to a worker */
	uint64_t next_vm;
	uint64_t next_operation;
};

struct timeval pool_timeval(uint64_t nanoseconds);

/* pool.c */
void pool_report(struct pool *pool, const struct pool_event *event);
void pool_deliver_soon(struct pool *pool);

/* shapes.c */
/* The row of a shape that a request brings, made where there is none. NULL: out of memory. */
struct shape *shape_use(struct pool *pool, const struct machine_shape *machine);
void shapes_set_default_limits(struct pool *pool);
void shapes_sweep(struct pool *pool);    /* free the rows of retired shapes that nothing uses any more */
void shapes_free_all(struct pool *pool); /* no slot and no request has one any more */

/* process.c: channel, pidfd and stopping of any child */
/*
 * Watch a child. It owns the channel from here on. Where it cannot be watched it is killed and reaped at once, which waits for the kernel:
 * -errno of pidfd_open(2), -ENOMEM.
 */
int process_start(struct process *process, int channel, pid_t pid);
bool process_alive(const struct process *process);
int process_send(struct process *process, enum message_type type, uint64_t request, const void *payload,
		 const int *fds);
void process_stop(struct process *process, bool kill);
void process_end_now(
	struct process *process); /* kill, reap and release, waiting for the kernel: a grace of time at most */
void process_release(struct process *process);
bool process_floods(struct process *process); /* takes a token for a message unasked; true where there is none */
void process_watch(struct process *process);  /* set the timer to the earliest deadline of its operations */
void process_set_timer(struct process *process, uint64_t after_ns);
void process_heard(struct process *process); /* it has answered, or made progress */

/* disk.c: processes that a disk holds up */
bool disk_holds(pid_t pid); /* as the kernel has it: does one of its threads wait for a file system? */
/* An answer is overdue. Where a disk holds the process up, its deadlines are moved along, and true is returned. */
bool disk_excuses(struct process *process);
/* Killed in vain: where a disk holds it, it is let go of, and its owner told as if it had been reaped. */
bool disk_abandons(struct process *process);
void disk_forget_abandoned(struct pool *pool); /* nobody is to hear of them any more */

/* operation.c */
struct operation *operation_new(struct pool *pool, enum message_type asked, void *opaque);
void operation_free(struct operation *operation); /* without an answer */
void operation_add(struct process *process, struct operation *operation);
struct operation *operation_find(struct process *process, uint64_t id);
/* Notes and passes on how far an operation is. Returns false where that cannot be true. */
bool operation_progressed(struct process *process, struct operation *operation,
			  const struct message_progress *progress);
void operation_take(struct process *process, struct operation *operation);
void operation_finish(struct operation *operation, const struct pool_result *result, struct message *answer);
void operation_finish_later(struct operation *operation, enum pool_status status, int error, const char *text);
void operations_fail(struct process *process, enum pool_status status, const char *text);

/* zygote.c */
#define POOL_RETRIES_TO_TELL 3 /* starts of the zygote or the loader that fail before those who wait are told */
void retry_later(struct event *timer, uint32_t failures);
int zygote_start(struct pool *pool, struct error_detail *detail);
void zygote_retry(int fd, short events, void *opaque);
int zygote_fork(struct pool *pool, uint64_t request, const struct message_fork *fork, int channel);
void zygote_watch(struct pool *pool); /* set the timer of the answer that it owes */
void zygote_lied(void *owner, const char *text);
void zygote_end_now(struct pool *pool); /* and all that it has forked; waits for the kernel */

/* loader.c */
int loader_start(struct pool *pool);
void loader_start_or_retry(struct pool *pool);
void loader_retry(int fd, short events, void *opaque);
void loads_fail_all(struct pool *pool, enum pool_status status, const char *text);
void loader_forked(struct pool *pool, const struct message *message);
void loader_not_forked(struct pool *pool, const char *text);
#define LOADER_FORK_REQUEST UINT64_MAX

/* slots.c */
struct slot *slot_fork(struct pool *pool, struct shape *shape, struct pool_request *request);
void slot_forked(struct pool *pool, uint64_t number, const struct message *message);
void slot_not_forked(struct pool *pool, uint64_t number, int error, const char *text);
void slot_become(struct slot *slot, enum slot_state state);
void slot_stop(struct slot *slot, bool kill);
void slot_give_up(struct slot *slot, const char *text); /* its process is of no use: it is killed */
void slots_forking_failed(struct pool *pool, const char *text);

/* refill.c */
struct slot *find_warm(struct pool *pool, const struct shape *shape);
void pool_balance_soon(struct pool *pool);
void pool_balance_now(int fd, short events, void *opaque);
void pool_backoff_over(int fd, short events, void *opaque);
void shape_failed(struct pool *pool, struct shape *shape, const char *text);
void shape_succeeded(struct shape *shape, uint64_t build_ns);
void shape_lost_unused(struct pool *pool, struct shape *shape, uint64_t lived_ns, const char *text);
void shape_served(struct shape *shape); /* one of its workers has started a VM */

/* crashes.c: which snapshots, images and owners have workers that die */
struct crash_table *crash_table_new(void);                       /* NULL: out of memory */
struct crash_table *crash_table_free(struct crash_table *table); /* takes NULL; returns NULL */
/* A worker died that nobody had asked to end. own_fault: it crashed, lied or hung; else somebody killed it. */
void crashes_note(struct crash_table *table, const struct pool_blame *blame, bool own_fault, uint64_t now_ns);
/* How long a start must wait, in nanoseconds; 0: not at all. ret_owner: it is for the owner's crashes, else for the source's. */
uint64_t crashes_wait_ns(const struct crash_table *table, const struct pool_blame *blame, uint64_t now_ns,
			 bool *ret_owner);
/* Do workers like this one die so often that others are served first? */
bool crashes_give_way(const struct crash_table *table, const struct pool_blame *blame, uint64_t now_ns);

/* start.c */
int start_check(const struct pool_start *start, struct error_detail *detail); /* 0 or -EINVAL */
/* Copy a start that was checked, with its descriptors. Returns 0 or -errno; else to be ended by start_release(). */
int start_copy(const struct pool_start *start, struct pool_start *ret_copy);
void start_release(struct pool_start *start); /* a copy; takes one without anything in it: descriptors of -1 */
/* Send a copy to a warm worker. Returns 0 or -errno; ret_partly: it was sent a part then. */
int start_tell(const struct pool_start *start, struct process *process, uint64_t request, bool *ret_partly);

/* request.c */
/*
 * Send the start to a warm slot. Returns false where its worker is gone: the request then is where it was. A worker that can be sent a part
 * of it only, for want of something of our own, is given up, since it cannot serve anybody else; the request fails.
 */
bool request_begin(struct pool_request *request, struct slot *slot);
void request_finish(struct pool_request *request, const struct pool_result *result, struct pool_vm *vm,
		    const struct pool_started *started);
void request_fail(struct pool_request *request, enum pool_status status, int error, const char *text);
void request_fail_later(struct pool_request *request, enum pool_status status, int error, const char *text);
bool request_times_can_be(const struct slot *slot, const struct message *message); /* WARM, STARTED */
void request_started(struct slot *slot, const struct message *message);
void request_refused(struct slot *slot, const struct message *message);
void requests_fail_queued(struct pool *pool, enum pool_status status, const char *text);
void requests_fail_all(struct pool *pool, enum pool_status status, const char *text);

/* vm.c */
struct pool_vm *vm_new(struct slot *slot, uint64_t number, const struct pool_start *start);
void vm_received(struct slot *slot, struct message *message);
void vm_gone(struct pool_vm *vm, const char *reason, const char *text);

#endif

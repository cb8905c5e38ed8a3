/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: warm machines in worker processes, and the VMs that clients have leased from it.
 *
 * Lives in the supervisor's event loop and never blocks it. Every operation that a worker or the loader must carry out is
 * asynchronous: it returns at once and ends in exactly one call of its callback, from the loop, never from within
 * the call that started it. (One exception: where there is no memory to remember an operation on a VM by, its callback is called at
 * once, with POOL_REFUSED and -ENOMEM.) Callbacks may call anything here but pool_free(). What workers say is checked on
 * arrival; one that lies, floods or stalls is killed, and whoever waited for it is told.
 */
#ifndef EMBER_POOL_POOL_H
#define EMBER_POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>

#include "devices/machine.h"
#include "kvm/entry.h"
#include "pool/devices.h"
#include "pool/message.h"
#include "pool/slot.h"
#include "proto/reason.h"
#include "snapshot/capture.h"

struct pool;
struct pool_vm;
struct pool_request;

/* How an operation ended. */
enum pool_status {
	POOL_OK = 0,
	/*
	 * No slot, and the queue is full or the request would not wait; or a resource of the supervisor's own is short (error says which).
	 * For a start retry_after_ms is set.
	 */
	POOL_EXHAUSTED,
	POOL_DEADLINE, /* the deadline passed before the request had a slot: retry_after_ms is set */
	POOL_REFUSED, /* the worker or loader looked and said no, or cannot be asked now: reason, error and text say why; the VM is unharmed */
	POOL_WRONG_STATE, /* the VM is not in a state in which this can be done */
	POOL_WORKER_DIED, /* the process that was serving this died or was killed: text says how */
	POOL_SHAPE_FAILING, /* workers of this shape cannot be built, or none can be forked: text says why; retry_after_ms is set */
	POOL_CRASHING, /* workers that ran the same, or of the same owner, crash too often: text says which; retry_after_ms is set */
	POOL_SHUTTING_DOWN, /* the pool is being stopped */
	POOL_CANCELLED,     /* pool_request_cancel() */
};

struct pool_result {
	enum pool_status status;
	enum reason reason;      /* POOL_REFUSED: what the process gave; else REASON_NONE */
	int error;               /* negative errno where the cause has one; else 0 */
	uint32_t retry_after_ms; /* 0: no advice */
	struct error_detail detail;
};

/* What a shape is to have ready. */
struct pool_shape_limits {
	uint32_t min;                /* slots kept warm */
	uint32_t max;                /* workers of this shape altogether, leased ones included; at least min */
	uint32_t refill_concurrency; /* workers built at one time, at least 1 */
};

/* Something that an operator should know of; the server logs it and counts it. */
enum pool_event_kind {
	POOL_EVENT_WORKER_FORKED,
	POOL_EVENT_WORKER_WARM,
	POOL_EVENT_WORKER_FAILED,  /* it could not be built: text has the stage and the reason */
	POOL_EVENT_WORKER_ENDED,   /* reaped; text says how it died where that was not asked for */
	POOL_EVENT_WORKER_LIED,    /* a message that no honest process sends: it is killed; text says what */
	POOL_EVENT_WORKER_STALLED, /* no answer in time: it is killed */
	POOL_EVENT_WORKER_WAITS,   /* no answer in time, since it waits for a disk: it is left to do so */
	POOL_EVENT_WORKER_ABANDONED, /* a disk holds it, and it does not end when it is killed: nobody waits for it any longer */
	POOL_EVENT_SHAPE_BACKOFF, /* text has the delay, and whether it is for all builds or for those ahead of requests */
	POOL_EVENT_LOADER_ENDED,
	POOL_EVENT_ZYGOTE_ENDED, /* a new one is started */
};
struct pool_event {
	enum pool_event_kind kind;
	bool is_error;
	uint32_t worker; /* the worker's number; 0: the zygote or the loader */
	pid_t pid;
	uint64_t vm;                       /* the VM's number, or 0 */
	const struct machine_shape *shape; /* or NULL */
	const char *text;
};
const char *pool_event_name(enum pool_event_kind kind); /* "worker_forked", ... */

struct pool_options {
	struct event_base *base;
	const char *executable; /* what the zygote is: exec'd with pool_zygote_argument as argv[1]; "/proc/self/exe" */
	uid_t worker_uid;       /* what workers become where the supervisor is root; ignored elsewhere */
	gid_t worker_gid;
	uint32_t workers_max; /* of all shapes together, leased included */
	uint32_t queue_limit; /* requests waiting for a slot, of all shapes together */
	uint32_t
		reply_timeout_ms; /* how long a process that waits for no disk may take over one message, or a step of its progress, before it is killed */
	uint32_t
		stop_grace_ms; /* how long each step of stopping a worker may take: message, SIGTERM, SIGKILL; then one that a disk holds is abandoned */
	struct pool_shape_limits default_limits; /* for a shape that a request brings and nobody configured */
	void *opaque;
	void (*event)(void *opaque, const struct pool_event *event);
	uint64_t (*vm_number)(void *opaque); /* the next VM's number; 0: there is none now. NULL: 1, 2, ... */
};

/* argv[1] of the zygote; main() hands over to pool_zygote_main() when it sees it, before doing anything else. */
extern const char pool_zygote_argument[];
int pool_zygote_main(int argc, char **argv);

/*
 * Start the zygote, wait for its host probe (the one blocking call, before the loop runs), and start the loader.
 *
 * options  copied; strings must outlive the pool
 *
 * Returns 0, or -errno with a sentence in detail (no /dev/kvm, no permission, a missing capability, a sandbox stage that fails).
 */
int pool_new(const struct pool_options *options, struct pool **ret_pool, struct error_detail *detail);

/* What the zygote's probe found. Valid as long as the pool. */
const struct message_host *pool_host(const struct pool *pool);

/* Change queue_limit, workers_max, default_limits, reply_timeout_ms and stop_grace_ms (a reload). */
void pool_set_limits(struct pool *pool, const struct pool_options *options);

/*
 * Set a shape's targets; the pool refills or retires towards them. A max of 0 forgets the shape: nothing is kept warm for it, and when its
 * last worker has gone it is as if nobody had configured it.
 *
 * Returns 0, -EINVAL (detail: the field), -ENOSPC (too many shapes are configured; detail says so) or -ENOMEM.
 */
int pool_configure(struct pool *pool, const struct machine_shape *shape, const struct pool_shape_limits *limits,
		   struct error_detail *detail);

/* The shape is as if a request had brought it: default_limits are its targets from here on. */
void pool_unconfigure(struct pool *pool, const struct machine_shape *shape);

/*
 * Kill every worker, the loader and the zygote. Requests, loads and operations in progress end with POOL_SHUTTING_DOWN, VMs with
 * "shutdown_of_daemon".
 *
 * done  called from the loop when all of them are reaped and everyone has been told: the last callback of the pool, which may free it
 */
void pool_stop(struct pool *pool, void (*done)(void *opaque), void *opaque);

/*
 * From pool_stop()'s done or after it; or where the loop will not run again: then processes are killed and reaped here, and who waits is
 * told from here. Takes NULL; returns NULL.
 */
struct pool *pool_free(struct pool *pool);

/* ---- status ---- */

struct pool_shape_status {
	struct machine_shape shape;
	struct pool_shape_limits limits;
	uint32_t warm;
	uint32_t building;
	uint32_t leased;
	uint32_t stopping;
	uint32_t queued;
	uint64_t failures;        /* workers that could not be built, ever */
	uint32_t backoff_ms;      /* until the next try; 0: none pending */
	const char *last_failure; /* or "" */
};
/* Calls back for each shape, worker. */
void pool_each_shape(struct pool *pool, void (*visit)(void *opaque, const struct pool_shape_status *status),
		     void *opaque);
struct pool_worker_status {
	uint32_t worker;
	pid_t pid;
	enum slot_state state;
	const struct machine_shape *shape;
	uint64_t vm; /* 0: none */
};
void pool_each_worker(struct pool *pool, void (*visit)(void *opaque, const struct pool_worker_status *status),
		      void *opaque);

/* Processes that were killed, and have not ended yet since a disk holds them in the kernel. */
uint32_t pool_abandoned(const struct pool *pool);

/* ---- starting VMs ---- */

enum pool_temperature {
	POOL_TEMPERATURE_ANY = 0, /* a warm slot where there is one, else the next that is built */
	POOL_TEMPERATURE_WARM,    /* a slot that is warm now, else POOL_EXHAUSTED */
	POOL_TEMPERATURE_COLD,    /* a worker forked and built for this request: the baseline */
};

/* Told of a VM's own doings, from the loop. */
struct pool_vm_callbacks {
	void *opaque;
	/* CLOCK_MONOTONIC. A restored VM that was ready (number 0) in its snapshot says so once, with times of 0. */
	void (*signalled)(void *opaque, uint8_t number, uint64_t count, uint64_t first_ns, uint64_t last_ns);
	void (*output)(void *opaque); /* there is console output that was not there before */
	/*
	 * The guest connects to a port of the host's; to be answered by pool_vm_vsock_connected(), now or later. NULL: nobody is there,
	 * whatever the port. A guest may give up, and may ask as often as its worker lets it.
	 */
	void (*vsock_connect)(void *opaque, uint32_t port, uint64_t cookie);
	void (*exited)(void *opaque,
		       const struct message_exited
			       *exited); /* the machine ended by itself; the VM stays until it is stopped */
	/*
	 * The VM is no more (and the pointer invalid after this): stopped as asked, or its worker died. The last call, after those of the
	 * operations that its worker had not answered.
	 */
	void (*gone)(void *opaque, const char *reason, const char *detail);
};

#define POOL_SOURCE_SIZE 128

/* Who a worker's crash is held against, so that what crashes again and again is slowed down, and nothing else. */
struct pool_blame {
	char source
		[POOL_SOURCE_SIZE]; /* what the VM runs ("snapshot base"); terminated; "": unknown, nothing is counted */
	bool has_owner;
	uid_t owner; /* of the client */
};

struct pool_start {
	bool restore; /* else boot */
	bool paused;  /* do not let it run yet */
	enum pool_temperature temperature;
	struct machine_shape shape;
	uint64_t deadline_ns;             /* CLOCK_MONOTONIC; 0: none */
	enum entry_mode entry;            /* boot of a flat image */
	int image;                        /* boot: the flat image; duplicated; not looked at where there is a kernel */
	const struct pool_kernel *kernel; /* boot: a Linux kernel instead of a flat image; copied; NULL: none */
	int memory;                       /* restore: memory.snap; duplicated */
	int state;                        /* restore: sealed struct vm_state; duplicated */
	enum inject_clock clock;          /* restore */
	const struct pool_devices *devices; /* what the shape says, as many of each kind; copied; NULL: none */
	struct pool_blame blame;
	struct pool_vm_callbacks callbacks;
};

/* CLOCK_MONOTONIC nanoseconds of each phase that this start paid for; MESSAGE_PHASE_NONE where it did not. */
struct pool_started {
	bool cold; /* the worker was forked after the request came */
	uint64_t phases_ns[MESSAGE_PHASE_COUNT];
	uint64_t requested_ns;
	uint64_t injected_ns;
	uint64_t entered_ns; /* 0 where paused */
};

/*
 * Lease a slot and start a VM in it.
 *
 * done  on success vm is valid until its gone callback; on failure vm is NULL and none of start->callbacks is ever called
 *
 * A shape that cannot be ends in POOL_REFUSED with -EINVAL, as do devices that are not as many as the shape says. What a device or a kernel
 * is refused for says its worker, by name: "drives[1]: overlay: ...", "net[0]: ...", "vsock: ...", "initrd: ...".
 *
 * Returns the request, valid until done is called; NULL only where memory is short (done is not called).
 */
struct pool_request *pool_vm_start(struct pool *pool, const struct pool_start *start,
				   void (*done)(void *opaque, const struct pool_result *result, struct pool_vm *vm,
						const struct pool_started *started),
				   void *opaque);

/* Give up: done is called with POOL_CANCELLED, or with what the request had ended in already; a VM that was about to start is stopped. */
void pool_request_cancel(struct pool_request *request);

/* ---- VMs ---- */

uint64_t pool_vm_number(const struct pool_vm *vm); /* 1, 2, ... never reused */
uint32_t pool_vm_worker(const struct pool_vm *vm);
pid_t pool_vm_pid(const struct pool_vm *vm);
enum pool_vm_state {
	POOL_VM_RUNNING,
	POOL_VM_PAUSED,
	POOL_VM_BUSY,   /* pausing, resuming or being snapshotted */
	POOL_VM_EXITED, /* the machine ended by itself; console output can still be read */
	POOL_VM_STOPPING,
};
enum pool_vm_state pool_vm_state(const struct pool_vm *vm);
const char *pool_vm_state_name(enum pool_vm_state state);
/*
 * How often the VM's run state was changed, or was about to be (by a pause, a resume, a snapshot, its exit), and how often its
 * balloon's target was set. Two counts that are equal tell that nobody has done so in between.
 */
uint64_t pool_vm_state_changes(const struct pool_vm *vm);
uint64_t pool_vm_balloon_changes(const struct pool_vm *vm);
const struct machine_shape *pool_vm_shape(const struct pool_vm *vm);

/*
 * Is there something that the VM was asked for and has not answered, since it waits for a disk? Asks the kernel, not the worker.
 *
 * ret_since_ns  CLOCK_MONOTONIC: when something was last heard of it
 */
bool pool_vm_waits(const struct pool_vm *vm, uint64_t *ret_since_ns);

typedef void (*pool_vm_done)(void *opaque, const struct pool_result *result);

/* Each ends in one call of done, also where the VM dies meanwhile. A VM carries out one of pause, resume and snapshot at a time: others get POOL_WRONG_STATE. */
void pool_vm_pause(struct pool_vm *vm, pool_vm_done done, void *opaque);
void pool_vm_resume(struct pool_vm *vm, pool_vm_done done, void *opaque);

struct pool_snapshot {
	int state_file;  /* open for writing, empty; duplicated */
	int memory_file; /* likewise */
	bool resume;     /* let a VM that was running go on (a paused one stays paused) */
	/*
	 * Of each disk of the VM's shape: an empty file, open for both, for what base and overlay hold together (see disk_copy_overlay());
	 * duplicated; -1: it is not kept. What comes after the shape's disks is not looked at.
	 */
	int overlays[MACHINE_DISKS_MAX];
};
/* progress: bytes of guest memory and of overlays done so far, of both together. times: nanoseconds by phase, on success. */
void pool_vm_snapshot(struct pool_vm *vm, const struct pool_snapshot *snapshot,
		      void (*progress)(void *opaque, uint64_t done, uint64_t total),
		      void (*done)(void *opaque, const struct pool_result *result,
				   const struct message_snapshot_done *times),
		      void *opaque);

/* Console output from an absolute offset (see serial_read_output()); data is valid in the callback only. max at most MESSAGE_CONSOLE_MAX. */
void pool_vm_console_read(struct pool_vm *vm, uint64_t offset, uint32_t max,
			  void (*done)(void *opaque, const struct pool_result *result, uint64_t offset,
				       uint64_t dropped, const uint8_t *data, uint32_t size),
			  void *opaque);
/* Console input; written: bytes taken. size at most MESSAGE_CONSOLE_MAX. */
void pool_vm_console_write(struct pool_vm *vm, const uint8_t *data, uint32_t size,
			   void (*done)(void *opaque, const struct pool_result *result, uint32_t written),
			   void *opaque);

/* Press the power button. What the guest does of it is its own: it may end in an exit "power_off", or in nothing. */
void pool_vm_press_power_button(struct pool_vm *vm, pool_vm_done done, void *opaque);

/*
 * Ask the guest for so much memory in its balloon, and tell how it is: what is known now. New statistics are asked for each time, and are there
 * when its driver has got to it.
 *
 * target_mib  at most the guest's memory; NULL: leave it as it is
 * done        status on success, else NULL. A VM without a balloon ends in POOL_REFUSED with -ENODEV
 */
void pool_vm_balloon(struct pool_vm *vm, const uint32_t *target_mib,
		     void (*done)(void *opaque, const struct pool_result *result,
				  const struct message_balloon_status *status),
		     void *opaque);

/*
 * The answer to a vsock_connect() callback. A cookie that nobody waits for any more is no error: the worker closes the socket.
 *
 * socket  a connected stream socket, duplicated: the caller closes its own. -1: the guest is refused
 *
 * Returns 0; or -errno: the socket was not passed on, for want of room or because the worker is gone. The guest is refused then; where even
 * that cannot be said, its attempt ends by its own patience, and its place in the device by the device's.
 */
int pool_vm_vsock_connected(struct pool_vm *vm, uint64_t cookie, int socket);

/* End the VM; its gone callback tells when. kill: SIGKILL at once, else message, SIGTERM, SIGKILL. reason is what gone will say ("released", ...): it
 * must outlive the VM; the first one holds. */
void pool_vm_stop(struct pool_vm *vm, bool kill, const char *reason);

/* ---- the loader ---- */

/*
 * Parse, check and (verify_memory) checksum a snapshot's files in the loader process.
 *
 * state_file   state.json, memory_file memory.snap: both open for reading; duplicated
 * progress     bytes of memory checked so far; may be NULL
 * done         on success state is a sealed memory file of struct vm_state (the callee owns it) and loaded its summary; else state is -1
 *
 * Loads take their turn, however many there are: each holds some files open, so it is for the caller to admit no more than it can have,
 * and to cancel those that nobody waits for.
 *
 * Returns 0 or -errno (nothing is called then).
 */
int pool_load(struct pool *pool, int state_file, int memory_file, bool verify_memory,
	      void (*progress)(void *opaque, uint64_t done, uint64_t total),
	      void (*done)(void *opaque, const struct pool_result *result, int state,
			   const struct message_loaded *loaded),
	      void *opaque);

/* A load (of a kernel, too) with this opaque that still waits for its turn ends with POOL_CANCELLED, from the loop. One that has had it goes on. */
void pool_load_cancel(struct pool *pool, const void *opaque);

/*
 * Copy, hash and check a kernel's file in the loader process, and take the ELF out of a bzImage.
 *
 * source    the kernel's file, open for reading; image, elf: empty files, open for reading and writing; all duplicated
 * progress  bytes that were read so far, of the file and once more while it is unpacked; may be NULL
 * done      on success loaded is what the kernel is: image holds what was hashed and checked, elf the ELF that came out of it
 *           (empty where none did: it cannot be unpacked, or the file is one itself)
 *
 * It waits in the queue of pool_load(), and returns likewise.
 */
int pool_kernel_load(struct pool *pool, int source, int image, int elf,
		     void (*progress)(void *opaque, uint64_t done, uint64_t total),
		     void (*done)(void *opaque, const struct pool_result *result,
				  const struct message_kernel_loaded *loaded),
		     void *opaque);

/* How long a client should wait before it asks for this shape again, from how long builds took lately. */
uint32_t pool_retry_after_ms(const struct pool *pool, const struct machine_shape *shape);

#endif

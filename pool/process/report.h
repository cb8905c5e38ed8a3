/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker says unasked: signals, output, connections, exit. Called from vCPU threads and a device's, sent without ever
 * waiting there.
 */
#ifndef EMBER_POOL_PROCESS_REPORT_H
#define EMBER_POOL_PROCESS_REPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/machine.h"

#define REPORT_SIGNALS  256
#define REPORT_CONNECTS 256 /* that wait to be told of: as many as a vsock has room for */

/* A guest asks for a connection to a port of the host's. */
struct report_connect {
	uint64_t cookie;
	uint32_t port;
};

struct report {
	int channel;
	int wake; /* eventfd: report_flush() has something to do */
	pthread_mutex_t lock;
	bool open; /* MESSAGE_STARTED is on its way: reports may follow it */
	bool signal_pending[REPORT_SIGNALS];
	struct signal_record signals[REPORT_SIGNALS];
	uint32_t pending_count;
	bool output_announced; /* and nobody has read to the end since */
	bool output_pending;
	struct report_connect connects[REPORT_CONNECTS]; /* a ring of those that have not been told of */
	uint32_t connect_first;
	uint32_t connect_count;
	bool exited;
	bool exit_sent;
	struct machine_exit_info exit;
	uint32_t tokens; /* messages that may go at once */
	uint64_t tokens_at_ns;
};

/* Make it. Returns 0 or -errno of eventfd(2). */
int report_init(struct report *report, int channel);

/* Callbacks for struct machine_callbacks; opaque is the report. */
void report_signalled(void *opaque, uint8_t number, const struct signal_record *record);
void report_output(void *opaque);
void report_exited(void *opaque, const struct machine_exit_info *info);

/*
 * The guest of a vsock asks for a connection. Any thread.
 *
 * Returns false where too many wait already: it will not be told of.
 */
bool report_vsock_connect(struct report *report, uint32_t port, uint64_t cookie);

/* From here on reports are sent; what has gathered goes at once. */
void report_open(struct report *report);

/* A reader is about to read to the end of the output: what comes after that is news again. */
void report_output_read(struct report *report);

/* Send what could not be sent before. Returns milliseconds until it should be called again, or -1. */
int report_flush(struct report *report);

/* Has the machine ended by itself, and has that not been taken before? */
bool report_take_exit(struct report *report, struct machine_exit_info *ret_info);

#endif

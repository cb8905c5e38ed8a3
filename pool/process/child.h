/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker and the loader do alike: their stages, and answering.
 */
#ifndef EMBER_POOL_PROCESS_CHILD_H
#define EMBER_POOL_PROCESS_CHILD_H

#include "pool/channel.h"
#include "pool/process/worker.h"
#include "proto/reason.h"

/* Say which stage failed and why, and end. */
_Noreturn void child_fail(int channel, const char *stage, int error, const char *text);

/* Enter stages up to `stage`, or child_fail(). */
void child_advance(struct sandbox *sandbox, enum sandbox_stage stage, int channel);

/* Wait for a message; ends the process where there will be none or it is malformed. */
void child_receive(int channel, struct message *ret_message);

/* Answer, or end the process where nobody listens. */
void child_answer(int channel, enum message_type type, uint64_t request, const void *payload, const int *fds);

/* Answer that it could not be done: with the reason that the errno is for the deed. text NULL or "": the errno's own. */
void child_refuse(int channel, uint64_t request, enum reason_deed deed, int error, const char *text);

/* Tells the asker of a request how far it is, now and then. */
struct child_progress {
	int channel;
	uint64_t request;
	uint64_t sent_ns;
};

/* For struct memory_progress: opaque is a struct child_progress. Returns 0. */
int child_advanced(void *opaque, uint64_t done, uint64_t total);

#endif

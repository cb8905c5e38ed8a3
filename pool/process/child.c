/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common part of the zygote's children. Without the supervisor they have no purpose: whatever breaks the channel ends the process.
 */
#include "pool/process/child.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvm/monotonic.h"
#include "pool/process/exit_status.h"

#define PROGRESS_EVERY_NS UINT64_C(50000000)

static void fill_text(struct message_text *message, int error, const char *stage, const char *text)
{
	*message = (struct message_text){ .error = error, .reason = REASON_FAILED };
	(void)snprintf(message->stage, sizeof(message->stage), "%s", stage);
	(void)snprintf(message->text, sizeof(message->text), "%s", text);
}

_Noreturn void child_fail(int channel, const char *stage, int error, const char *text)
{
	struct message_text message;

	fill_text(&message, error, stage, text);
	(void)channel_send(channel, MESSAGE_FAILED, 0, &message, NULL, true);
	_exit(EXIT_STATUS_STAGE_FAILED);
}

void child_advance(struct sandbox *sandbox, enum sandbox_stage stage, int channel)
{
	struct sandbox_error error = { "" };
	int result = sandbox_advance(sandbox, stage, &error);

	if (result < 0)
		child_fail(channel, sandbox_stage_name(sandbox->failed), result, error.text);
}

void child_receive(int channel, struct message *ret_message)
{
	struct error_detail detail;
	int result = channel_receive(channel, ret_message, true, &detail);

	if (result < 0)
		_exit(EXIT_STATUS_CHANNEL_LOST);
}

void child_answer(int channel, enum message_type type, uint64_t request, const void *payload, const int *fds)
{
	if (channel_send(channel, type, request, payload, fds, true) < 0)
		_exit(EXIT_STATUS_CHANNEL_LOST);
}

void child_refuse(int channel, uint64_t request, enum reason_deed deed, int error, const char *text)
{
	struct message_text message;

	fill_text(&message, error, "", text && text[0] != '\0' ? text : strerror(-error));
	message.reason = reason_of_errno(deed, error);
	child_answer(channel, MESSAGE_REFUSED, request, &message, NULL);
}

int child_advanced(void *opaque, uint64_t done, uint64_t total)
{
	struct child_progress *progress = opaque;
	struct message_progress message = { .done = done, .total = total };
	uint64_t now = monotonic_ns();

	if (done < total && now - progress->sent_ns < PROGRESS_EVERY_NS)
		return 0;
	progress->sent_ns = now;
	child_answer(progress->channel, MESSAGE_PROGRESS, progress->request, &message, NULL);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports from vCPU threads and devices to the supervisor.
 *
 * A guest decides how often it signals, so the rate must not be its to choose: each report costs a token, and
 * without one (or where the socket is full) only the newest record of each number is kept for the main thread to
 * send when there are tokens again. So a flood costs the supervisor a bounded number of messages, and no number is lost.
 *
 * Connections that a guest asks for cost tokens, too, and wait in a ring of bounded length, behind signals and output. What
 * the ring has no room for is the guest's loss.
 */
#include "pool/process/report.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kvm/monotonic.h"
#include "pool/channel.h"

#define TOKENS_MAX     64
#define TOKEN_EVERY_NS UINT64_C(1000000)
#define FLUSH_AGAIN_MS 10

int report_init(struct report *report, int channel)
{
	memset(report, 0, sizeof(*report));
	report->channel = channel;
	report->tokens = TOKENS_MAX;
	report->tokens_at_ns = monotonic_ns();
	report->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (report->wake < 0)
		return -errno;
	return -pthread_mutex_init(&report->lock, NULL);
}

static void wake(const struct report *report)
{
	const uint64_t one = 1;

	/* Full means that it is awake already. */
	if (write(report->wake, &one, sizeof(one)) < 0)
		return;
}

static void refill_tokens(struct report *report)
{
	uint64_t earned = (monotonic_ns() - report->tokens_at_ns) / TOKEN_EVERY_NS;

	if (earned == 0)
		return;
	report->tokens_at_ns += earned * TOKEN_EVERY_NS;
	report->tokens = report->tokens + earned > TOKENS_MAX ? TOKENS_MAX : report->tokens + (uint32_t)earned;
}

static bool send_report(struct report *report, enum message_type type, const void *payload)
{
	if (!report->open)
		return false;
	if (report->tokens == 0)
		refill_tokens(report);
	if (report->tokens == 0 || channel_send(report->channel, type, 0, payload, NULL, false) < 0)
		return false;

	report->tokens--;
	return true;
}

static bool send_signal(struct report *report, uint8_t number)
{
	const struct signal_record *record = &report->signals[number];
	struct message_signalled message = {
		.number = number,
		.count = record->count,
		.first_ns = record->first_ns,
		.last_ns = record->last_ns,
	};

	return send_report(report, MESSAGE_SIGNALLED, &message);
}

void report_signalled(void *opaque, uint8_t number, const struct signal_record *record)
{
	struct report *report = opaque;
	bool late = false;

	(void)pthread_mutex_lock(&report->lock);
	/* Two vCPUs may come here in another order than they signalled in. */
	if (record->count > report->signals[number].count)
		report->signals[number] = *record;
	if (!report->signal_pending[number] && !send_signal(report, number)) {
		report->signal_pending[number] = true;
		late = report->pending_count++ == 0 && report->open;
	}
	(void)pthread_mutex_unlock(&report->lock);

	if (late)
		wake(report);
}

void report_output(void *opaque)
{
	struct report *report = opaque;
	bool late = false;

	(void)pthread_mutex_lock(&report->lock);
	if (!report->output_announced) {
		report->output_announced = true;
		report->output_pending = !send_report(report, MESSAGE_OUTPUT, NULL);
		late = report->output_pending && report->open;
	}
	(void)pthread_mutex_unlock(&report->lock);

	if (late)
		wake(report);
}

/* Tell of those that have waited longest, as far as tokens go: a guest that floods with them does not keep its signals from being told. */
static void send_connects(struct report *report)
{
	while (report->connect_count > 0 && report->pending_count == 0 && !report->output_pending) {
		const struct report_connect *connect = &report->connects[report->connect_first];
		const struct message_vsock_connect message = { .cookie = connect->cookie, .port = connect->port };

		if (!send_report(report, MESSAGE_VSOCK_CONNECT, &message))
			return;
		report->connect_first = (report->connect_first + 1) % REPORT_CONNECTS;
		report->connect_count--;
	}
}

bool report_vsock_connect(struct report *report, uint32_t port, uint64_t cookie)
{
	bool taken, late;

	(void)pthread_mutex_lock(&report->lock);
	taken = report->connect_count < REPORT_CONNECTS;
	if (taken) {
		uint32_t last = (report->connect_first + report->connect_count++) % REPORT_CONNECTS;

		report->connects[last] = (struct report_connect){ .cookie = cookie, .port = port };
		send_connects(report);
	}
	late = report->connect_count == 1 && report->open; /* the first that has to wait: later ones find it awake */
	(void)pthread_mutex_unlock(&report->lock);

	if (late)
		wake(report);
	return taken;
}

void report_exited(void *opaque, const struct machine_exit_info *info)
{
	struct report *report = opaque;

	(void)pthread_mutex_lock(&report->lock);
	report->exited = true;
	report->exit = *info;
	(void)pthread_mutex_unlock(&report->lock);
	wake(report);
}

void report_open(struct report *report)
{
	(void)pthread_mutex_lock(&report->lock);
	report->open = true;
	(void)pthread_mutex_unlock(&report->lock);
	wake(report);
}

void report_output_read(struct report *report)
{
	(void)pthread_mutex_lock(&report->lock);
	report->output_announced = false;
	report->output_pending = false;
	(void)pthread_mutex_unlock(&report->lock);
}

int report_flush(struct report *report)
{
	uint64_t count;
	int again = -1;

	if (read(report->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return FLUSH_AGAIN_MS;

	(void)pthread_mutex_lock(&report->lock);
	refill_tokens(report);
	for (unsigned number = 0; number < REPORT_SIGNALS && report->pending_count > 0; number++) {
		if (!report->signal_pending[number])
			continue;
		if (!send_signal(report, (uint8_t)number))
			break;
		report->signal_pending[number] = false;
		report->pending_count--;
	}
	if (report->output_pending)
		report->output_pending = !send_report(report, MESSAGE_OUTPUT, NULL);
	send_connects(report);
	if (report->open && (report->pending_count > 0 || report->output_pending || report->connect_count > 0))
		again = FLUSH_AGAIN_MS;
	(void)pthread_mutex_unlock(&report->lock);

	return again;
}

bool report_take_exit(struct report *report, struct machine_exit_info *ret_info)
{
	bool take;

	(void)pthread_mutex_lock(&report->lock);
	/* What the guest signalled before it ended is told first. */
	take = report->open && report->exited && !report->exit_sent && report->pending_count == 0;
	if (take) {
		report->exit_sent = true;
		*ret_info = report->exit;
	}
	(void)pthread_mutex_unlock(&report->lock);

	return take;
}

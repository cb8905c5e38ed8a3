/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper's life: receive a job, run it, answer, close what the job brought, say that it is idle.
 *
 * It has the daemon's rights and none of its descriptors but the log. It ends with the daemon, by PR_SET_PDEATHSIG and by the
 * end of its channel, and at anything that it does not understand.
 */
#include "server/jobs/helper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/jobs/packet.h"
#include "signals/signals.h"

const char jobs_helper_argument[] = "--ember-helper";

static void close_all(const int *files, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (files[i] >= 0)
			(void)close(files[i]);
}

static int answer_job(enum job_kind kind, int result, struct job_answer *answer)
{
	static char text[JOB_TEXT_MAX];
	struct packet_header header = { .type = PACKET_ANSWER, .kind = (uint16_t)kind, .result = result };
	size_t size = answer->output ? json_dumpb(answer->output, text, sizeof(text), JSON_COMPACT) : 0;

	if (size > sizeof(text)) {
		header.result = -EMSGSIZE;
		size = 0;
	}
	header.text_size = (uint32_t)size;
	header.file_count = answer->file_count;
	return packet_send(HELPER_CHANNEL, &header, text, answer->files, 0);
}

/* Returns whether the daemon still listens. */
static int do_job(struct packet *packet)
{
	const struct packet_header idle = { .type = PACKET_IDLE };
	enum job_kind kind = (enum job_kind)packet->header.kind;
	cleanup_json json_t *input = json_loadb(packet->text, packet->header.text_size, JSON_REJECT_DUPLICATES, NULL);
	struct job_answer answer = { .file_count = 0 };
	int result = input ? job_kinds[kind].run(input, packet->files, packet->header.file_count, &answer) : -EBADMSG;

	result = answer_job(kind, result, &answer);
	json_decref(answer.output);
	if (result)
		return result;
	close_all(answer.files, answer.file_count);
	close_all(answer.closed_late, answer.closed_late_count);
	close_all(packet->files, packet->header.file_count);
	return packet_send(HELPER_CHANNEL, &idle, NULL, NULL, 0);
}

static int wait_for_go(void)
{
	static struct packet go;
	int result = packet_receive(HELPER_CHANNEL, &go, 0);

	return result == 0 && go.header.type != PACKET_GO ? -EBADMSG : result;
}

int jobs_helper_main(int argc, char **argv)
{
	static struct packet packet;

	signals_prepare(SIGNALS_OF_CHILD);
	if (argc != 3 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != (pid_t)strtol(argv[2], NULL, 10))
		return EXIT_FAILURE;
	(void)prctl(PR_SET_NAME, HELPER_TITLE);

	while (packet_receive(HELPER_CHANNEL, &packet, 0) == 0) {
		if (packet.header.type != PACKET_JOB || wait_for_go() || do_job(&packet))
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

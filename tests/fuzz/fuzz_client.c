/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libember against a daemon that says anything: three requests are open, the input is all that the daemon sends before
 * it closes. Each request must be completed once, whatever came.
 */
#include "fuzz.h"
#include "proto/client/ember.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUESTS  3
#define INPUT_MAX 65536 /* less than a socket's buffer, so that one send takes it */

static void note(void *context, uint64_t id, int result, json_t *reply, const struct ember_error *error)
{
	FUZZ_CHECK(id >= 1 && id <= REQUESTS);
	FUZZ_CHECK((result == 0) == (reply != NULL) && (result == 0) == (error == NULL));
	FUZZ_CHECK(result == 0 || error->message[0] != '\0' || result == -EREMOTEIO);
	((int *)context)[id - 1]++;
}

static void ignore(void *context, const char *method, json_t *params)
{
	(void)context;
	FUZZ_CHECK(method);
	FUZZ_CHECK(!params || json_typeof(params) <= JSON_NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int ends[2], completions[REQUESTS] = { 0 };
	struct ember *client;

	if (size > INPUT_MAX)
		return 0;

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	FUZZ_CHECK(ember_connect_fd(ends[0], &client) == 0);
	FUZZ_CHECK(ember_set_max_reply(client, 4096) == 0);
	ember_on_notification(client, ignore, NULL);
	for (int i = 0; i < REQUESTS; i++)
		FUZZ_CHECK(ember_send(client, "server.ping", NULL, note, completions, NULL) == 0);
	FUZZ_CHECK(send(ends[1], data, size, MSG_NOSIGNAL) == (ssize_t)size);
	FUZZ_CHECK(shutdown(ends[1], SHUT_WR) == 0);
	while (ember_dispatch(client, -1) >= 0)
		;
	FUZZ_CHECK(ember_failure(client)[0] != '\0' || ember_dispatch(client, 0) == -EREMOTEIO);
	FUZZ_CHECK(ember_in_flight(client) == 0);
	for (int i = 0; i < REQUESTS; i++)
		FUZZ_CHECK(completions[i] == 1);
	(void)ember_free(client);
	(void)close(ends[1]);

	return 0;
}

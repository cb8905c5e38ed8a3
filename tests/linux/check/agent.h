/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of a guest (../guest/agent.h), from its host.
 */
#ifndef EMBER_TESTS_LINUX_CHECK_AGENT_H
#define EMBER_TESTS_LINUX_CHECK_AGENT_H

#include <jansson.h>

/* Where an agent is: behind a vsock path; or, where that is NULL, at an address on an interface. */
struct agent {
	const char *path;
	const char *address;
	const char *interface;
};

/*
 * Connect and send a request, a line without its end.
 *
 * Returns a blocking socket that the answer comes on, or fails.
 */
int agent_open(const struct agent *agent, const char *request);

/* As agent_open(), or -errno where the guest does not take the connection (-ECONNRESET, -ECONNREFUSED). */
int agent_try_open(const struct agent *agent, const char *request);

/* The whole answer to a request, as text; the caller frees it. */
char *agent_ask_text(const struct agent *agent, const char *request);

/* An answer that is a JSON object; one with a member "error" fails. The caller drops it. */
json_t *agent_ask(const struct agent *agent, const char *request);

/*
 * Lines of the guest's kernel log since a time of its clock that tell of something wrong: errors, and warnings of what
 * a bad restore brings. They are printed. Returns how many there were.
 */
unsigned int agent_count_complaints(const struct agent *agent, int64_t since_us);

#endif

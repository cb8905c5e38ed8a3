/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to a guest's agent, for scripts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "agent.h"
#include "check.h"

void check_ask(int argc, char **argv)
{
	const struct agent agent = { .path = argv[0] };
	char *text = agent_ask_text(&agent, argv[1]);

	(void)argc;
	(void)fputs(text, stdout);
	free(text);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

#define CMDLINE_MAX 4096

void guest_argument(const char *key, char *ret_value, size_t size)
{
	static char cmdline[CMDLINE_MAX];
	FILE *file = fopen("/proc/cmdline", "r");
	size_t length = file ? fread(cmdline, 1, sizeof(cmdline) - 1, file) : 0;
	char *word, *rest = cmdline;

	ret_value[0] = '\0';
	cmdline[length] = '\0';
	if (file)
		(void)fclose(file);
	while ((word = strsep(&rest, " \n")))
		if (strncmp(word, key, strlen(key)) == 0 && word[strlen(key)] == '=')
			(void)snprintf(ret_value, size, "%s", word + strlen(key) + 1);
}

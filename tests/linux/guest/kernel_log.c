/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record of /dev/kmsg is "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT\n" and lines that begin with a space, which tell of
 * the device (Documentation/ABI/testing/dev-kmsg). A read gives one record; EPIPE says that some were overwritten.
 */
#include "kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX 8192
#define LINE_MAX   200

static void give_record(char *record, int level, void (*line)(void *opaque, const char *text), void *opaque)
{
	unsigned long long sequence, microseconds;
	char *text = strchr(record, ';');
	char formatted[LINE_MAX];
	unsigned int priority;

	if (!text || sscanf(record, "%u,%llu,%llu", &priority, &sequence, &microseconds) != 3 || // NOLINT(cert-err34-c)
	    (int)(priority & 7) > level)
		return;
	text++;
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(formatted, sizeof(formatted), "%u %llu %s", priority & 7, microseconds, text);
	line(opaque, formatted);
}

int kernel_log_read(int level, void (*line)(void *opaque, const char *text), void *opaque)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[RECORD_MAX];
	ssize_t got;

	if (log < 0)
		return -errno;
	while ((got = read(log, record, sizeof(record) - 1)) > 0 || (got < 0 && errno == EPIPE)) {
		record[got > 0 ? got : 0] = '\0';
		give_record(record, level, line, opaque);
	}
	got = got < 0 && errno != EAGAIN ? -errno : 0;
	(void)close(log);
	return (int)got;
}

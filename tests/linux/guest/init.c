/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The init of test guests: linked statically, alone in its initramfs but for kernel modules.
 *
 * It loads the modules that "ember.modules=a,b" on the kernel's command line names (/modules/a.ko, or a.builtin where
 * there is nothing to load), reports what it sees, does the jobs that "ember.do=a,b" names, and ends as "ember.end="
 * asks (see end.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent.h"
#include "arguments.h"
#include "disk.h"
#include "end.h"
#include "events.h"
#include "network.h"
#include "work.h"

static void say_error(const char *what)
{
	printf("guest: %s: %s\n", what, strerror(errno));
}

static void mount_all(void)
{
	if (mount("proc", "/proc", "proc", 0, NULL) < 0)
		say_error("/proc");
	if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		say_error("/sys");
	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0 && errno != EBUSY)
		say_error("/dev");
}

static void load_module(const char *name)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "/modules/%s.builtin", name);
	if (access(path, F_OK) == 0)
		return;
	(void)snprintf(path, sizeof(path), "/modules/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
		say_error(path);
	if (fd >= 0)
		(void)close(fd);
}

static void load_modules(void)
{
	char names[512];
	char *name, *rest = names;

	guest_argument("ember.modules", names, sizeof(names));
	while ((name = strsep(&rest, ",")))
		if (*name)
			load_module(name);
}

/* "ember.do=a,b": in that order. */
static void do_jobs(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} jobs[] = {
		{ "work", guest_work },           { "disk", guest_disk },
		{ "button", guest_power_button }, { "generation", guest_generation_id },
		{ "entropy", guest_entropy },     { "network", guest_network },
		{ "agent", guest_agent },
	};
	char names[128];
	char *name, *rest = names;

	guest_argument("ember.do", names, sizeof(names));
	while ((name = strsep(&rest, ",")))
		for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
			if (strcmp(name, jobs[i].name) == 0)
				jobs[i].run();
}

int main(void)
{
	struct utsname kernel;
	char end[32];

	mount_all();
	load_modules();
	(void)uname(&kernel);
	printf("guest: ready release=%s cpus=%d pid=%d\n", kernel.release, get_nprocs(), (int)getpid());
	(void)fflush(stdout);

	do_jobs();
	guest_argument("ember.end", end, sizeof(end));
	guest_end(end);
}

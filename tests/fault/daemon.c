/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting, stopping and looking at an emberd-fault.
 */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS   5
#define STILL_MS  500 /* without a change: it has come to rest */
#define NAMES_MAX 65536

int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(long ms)
{
	const struct timespec delay = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&delay, NULL);
}

static _Noreturn void give_up(const char *what)
{
	perror(what);
	exit(2); // NOLINT(concurrency-mt-unsafe)
}

void complain(struct daemon *daemon, const char *format, ...)
{
	va_list arguments;

	if (daemon->complaint[0])
		return;
	va_start(arguments, format);
	(void)vsnprintf(daemon->complaint, sizeof(daemon->complaint), format, arguments);
	va_end(arguments);
}

/* ---- its files ---- */

static void write_config(const struct daemon *daemon)
{
	FILE *file = fopen(daemon->config_path, "we");

	if (!file)
		give_up(daemon->config_path);
	(void)fprintf(
		file,
		"{\"socket\": \"%s\", \"http_socket\": \"%s\", \"state_dir\": \"%s\", \"socket_mode\": \"0666\",\n"
		" \"log\": {\"level\": \"debug\", \"format\": \"json\"}, \"drain_timeout_ms\": 0,\n"
		" \"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 8}],\n"
		"  \"reply_timeout_ms\": 30000, \"stop_grace_ms\": 2000}}\n",
		daemon->socket_path, daemon->http_path, daemon->state_dir);
	if (fclose(file) != 0)
		give_up(daemon->config_path);
}

static struct fault_page *make_page(const char *path)
{
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *mapped;

	if (file < 0 || ftruncate(file, sizeof(struct fault_page)) < 0)
		give_up(path);
	mapped = mmap(NULL, sizeof(struct fault_page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (mapped == MAP_FAILED)
		give_up("mmap");
	(void)close(file);
	return mapped;
}

void daemon_prepare(struct daemon *daemon, const char *program, uint32_t frames)
{
	char path[96];

	*daemon = (struct daemon){ .folder = "/tmp/ember-fault-XXXXXX", .program = program };
	if (!mkdtemp(daemon->folder) || chmod(daemon->folder, 0755) < 0)
		give_up(daemon->folder);
	(void)snprintf(daemon->socket_path, sizeof(daemon->socket_path), "%s/ember.sock", daemon->folder);
	(void)snprintf(daemon->http_path, sizeof(daemon->http_path), "%s/http.sock", daemon->folder);
	(void)snprintf(daemon->state_dir, sizeof(daemon->state_dir), "%s/state", daemon->folder);
	(void)snprintf(daemon->config_path, sizeof(daemon->config_path), "%s/emberd.json", daemon->folder);
	(void)snprintf(daemon->log_path, sizeof(daemon->log_path), "%s/log", daemon->folder);
	(void)snprintf(path, sizeof(path), "%s/page", daemon->folder);
	write_config(daemon);
	daemon->page = make_page(path);
	daemon->page->frames = frames;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

static int remove_remainder(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return strstr(path, ".tmp-") || strstr(path, "/v.sock") ? remove(path) : 0;
}

void daemon_remove_remainders(const struct daemon *daemon)
{
	(void)nftw(daemon->folder, remove_remainder, 16, FTW_DEPTH | FTW_PHYS);
}

void daemon_discard(struct daemon *daemon)
{
	(void)nftw(daemon->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	(void)munmap(daemon->page, sizeof(*daemon->page));
	free(daemon->names);
	daemon->names = NULL;
}

/* The log's last bytes, terminated. */
static void read_log_end(const struct daemon *daemon, char *text, size_t size)
{
	FILE *file = fopen(daemon->log_path, "re");
	size_t length = 0;

	if (file) {
		if (fseek(file, -(long)(size - 1), SEEK_END) < 0)
			(void)fseek(file, 0, SEEK_SET);
		length = fread(text, 1, size - 1, file);
		(void)fclose(file);
	}
	text[length] = '\0';
}

void daemon_print_log(const struct daemon *daemon)
{
	char text[6000];

	read_log_end(daemon, text, sizeof(text));
	(void)printf("%s\n", text);
}

/* ---- its processes ---- */

static bool read_parent(pid_t pid, pid_t *ret_parent, char *ret_state)
{
	char path[64], text[512];
	const char *after;
	size_t length;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	length = fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	text[length] = '\0';
	after = strrchr(text, ')');
	return after && sscanf(after, ") %c %d", ret_state, ret_parent) == 2; // NOLINT(cert-err34-c)
}

static size_t children_of(pid_t parent, pid_t *pids)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	size_t count = 0;

	if (!proc)
		give_up("/proc");
	while ((entry = readdir(proc)) != NULL) { // NOLINT(concurrency-mt-unsafe)
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), of = 0;
		char state;

		if (pid > 0 && read_parent(pid, &of, &state) && of == parent && count < CHILDREN_MAX)
			pids[count++] = pid;
	}
	(void)closedir(proc);
	return count;
}

void daemon_kill_child(const struct daemon *daemon, const char *name, int number)
{
	pid_t pids[CHILDREN_MAX];
	size_t count = children_of(daemon->pid, pids);
	char path[64], comm[32];

	for (size_t i = 0; i < count; i++) {
		FILE *file;

		(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pids[i]);
		file = fopen(path, "re");
		if (!file)
			continue;
		comm[0] = '\0';
		(void)!fgets(comm, sizeof(comm), file);
		(void)fclose(file);
		comm[strcspn(comm, "\n")] = '\0';
		if (!strcmp(comm, name))
			(void)kill(pids[i], number);
	}
}

static size_t count_files(pid_t pid)
{
	char path[64];
	size_t count = 0;
	DIR *folder;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	if (!folder)
		return 0;
	while (readdir(folder)) // NOLINT(concurrency-mt-unsafe)
		count++;
	(void)closedir(folder);
	return count;
}

/* ---- its life ---- */

static void be_daemon(const struct daemon *daemon, pid_t parent)
{
	char page[96];
	int log;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(page, sizeof(page), "%s/page", daemon->folder);
	(void)setenv(FAULT_PAGE_VARIABLE, page, 1); // NOLINT(concurrency-mt-unsafe)
	log = open(daemon->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (getppid() != parent || log < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0)
		_exit(99);
	(void)execl(daemon->program, "emberd", "--config", daemon->config_path, (char *)NULL);
	_exit(98);
}

static bool serves(const struct daemon *daemon)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected;

	memcpy(address.sun_path, daemon->socket_path, strlen(daemon->socket_path));
	connected = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	(void)close(fd);
	return connected;
}

/* It has ended: as a daemon may that says why? */
static void check_end(struct daemon *daemon, int status, bool may_fail)
{
	char text[700];

	daemon->pid = 0;
	read_log_end(daemon, text, sizeof(text));
	if (WIFSIGNALED(status))
		complain(daemon, "the daemon was ended by signal %d; its log: %s", WTERMSIG(status), text);
	else if (WEXITSTATUS(status) > 1 || (WEXITSTATUS(status) == 1 && !may_fail))
		complain(daemon, "the daemon ended with status %d; its log: %s", WEXITSTATUS(status), text);
	else if (WEXITSTATUS(status) == 1 && !strstr(text, "cannot") && !strstr(text, "emberd: "))
		complain(daemon, "the daemon ended with status 1 and does not say why; its log: %s", text);
}

bool daemon_start(struct daemon *daemon)
{
	int64_t until = now_ms() + WAIT_MS;
	pid_t parent = getpid();
	int status;

	daemon->pid = fork();
	if (daemon->pid < 0)
		give_up("fork");
	if (daemon->pid == 0)
		be_daemon(daemon, parent);
	while (!serves(daemon)) {
		if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid) {
			check_end(daemon, status, true);
			if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
				complain(daemon, "the daemon ended with status 0 at its start");
			return false;
		}
		if (now_ms() > until) {
			complain(daemon, "the daemon neither serves nor ends");
			daemon_kill(daemon);
			return false;
		}
		sleep_ms(POLL_MS);
	}
	return true;
}

bool daemon_lives(struct daemon *daemon)
{
	int status;

	if (daemon->pid == 0)
		return false;
	if (waitpid(daemon->pid, &status, WNOHANG) != daemon->pid)
		return true;
	check_end(daemon, status, false);
	complain(daemon, "the daemon ended by itself with status %d", WEXITSTATUS(status));
	return false;
}

void daemon_kill(struct daemon *daemon)
{
	int status;

	if (daemon->pid == 0)
		return;
	(void)kill(daemon->pid, SIGKILL);
	(void)waitpid(daemon->pid, &status, 0);
	daemon->pid = 0;
}

void daemon_stop(struct daemon *daemon)
{
	int64_t until = now_ms() + WAIT_MS;
	pid_t children[CHILDREN_MAX];
	size_t count;
	int status;

	if (!daemon_lives(daemon))
		return;
	count = children_of(daemon->pid, children);
	(void)kill(daemon->pid, SIGTERM);
	while (waitpid(daemon->pid, &status, WNOHANG) != daemon->pid) {
		if (now_ms() > until) {
			complain(daemon, "the daemon does not stop");
			daemon_kill(daemon);
			return;
		}
		sleep_ms(POLL_MS);
	}
	check_end(daemon, status, true);
	for (size_t i = 0; i < count; i++) {
		while (kill(children[i], 0) == 0 && now_ms() < until)
			sleep_ms(POLL_MS);
		if (kill(children[i], 0) == 0)
			complain(daemon, "process %d outlives the daemon", (int)children[i]);
	}
}

/* ---- as it was before ---- */

static int compare_names(const struct dirent **left, const struct dirent **right)
{
	return strcmp((*left)->d_name, (*right)->d_name);
}

/* Add what is in the folder to the text, a path a line, in a fixed order. */
static void list_names(const char *folder, char *text)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, NULL, compare_names);

	for (int i = 0; i < count; i++) {
		char path[512];
		size_t length = strlen(text);

		(void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0) {
			(void)snprintf(text + length, NAMES_MAX - length, "%s\n", path);
			if (entries[i]->d_type == DT_DIR)
				list_names(path, text);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

static char *names_of(const struct daemon *daemon)
{
	char *text = calloc(1, NAMES_MAX);

	if (!text)
		give_up("calloc");
	list_names(daemon->folder, text);
	return text;
}

/* The first line of one text that is not in the other. */
static void find_difference(const char *before, const char *now, char why[COMPLAINT_MAX])
{
	while (*before && *before == *now) {
		before++;
		now++;
	}
	(void)snprintf(why, COMPLAINT_MAX, "files differ: there was ...%.200s, there is ...%.200s", before, now);
}

bool daemon_is_as_before(const struct daemon *daemon, char ret_why[COMPLAINT_MAX])
{
	pid_t children[CHILDREN_MAX];
	size_t count = children_of(daemon->pid, children), files = count_files(daemon->pid);
	char *names = NULL;
	bool same = true;

	if (count != daemon->children) {
		(void)snprintf(ret_why, COMPLAINT_MAX, "it has %zu children, not %zu", count, daemon->children);
		return false;
	}
	if (files != daemon->files) {
		(void)snprintf(ret_why, COMPLAINT_MAX, "it has %zu descriptors, not %zu", files, daemon->files);
		return false;
	}
	names = names_of(daemon);
	same = !strcmp(names, daemon->names);
	if (!same)
		find_difference(daemon->names, names, ret_why);
	free(names);
	return same;
}

void daemon_remember(struct daemon *daemon)
{
	int64_t until = now_ms() + WAIT_MS;
	char why[COMPLAINT_MAX];
	int still_ms;

	do {
		pid_t children[CHILDREN_MAX];

		daemon->files = count_files(daemon->pid);
		daemon->children = children_of(daemon->pid, children);
		free(daemon->names);
		daemon->names = names_of(daemon);
		for (still_ms = 0; still_ms < STILL_MS && daemon_is_as_before(daemon, why); still_ms += POLL_MS)
			sleep_ms(POLL_MS);
	} while (still_ms < STILL_MS && now_ms() < until);
}

/* ---- faults ---- */

void daemon_arm(struct daemon *daemon, uint64_t key, int error, int calls)
{
	atomic_store(&daemon->page->failed, 0);
	atomic_store(&daemon->page->error, error);
	atomic_store(&daemon->page->calls, calls);
	atomic_store(&daemon->page->target, key);
}

bool daemon_disarm(struct daemon *daemon)
{
	atomic_store(&daemon->page->target, 0);
	return atomic_load(&daemon->page->failed) > 0;
}

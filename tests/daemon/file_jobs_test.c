/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors whose closing waits for whoever passed them: sockets that linger over bytes that nobody reads, and files of a file
 * system that the test serves and that never answers FLUSH. The daemon must serve everybody else, and end when it is told to.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device_steps.h"

#define CONFIG  "{\"roles\": {\"run\": {\"users\": [20002]}}, \"limits\": {\"file_jobs\": 4, \"file_job_ms\": 100}}"
#define PATIENT "{\"roles\": {\"run\": {\"users\": [20002]}}, \"limits\": {\"file_jobs\": 4}}"
#define RUN_UID 20002
#define PASSED  16 /* more than the lanes of one peer have helpers, and than may wait */

static struct daemon daemon_under_test;
static struct ember *client;

/* A socket whose last close waits for ten minutes. */
static int lingering_socket(void)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 600 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	static const char bytes[65536];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), file;

	cr_assert_eq(bind(listener, (const struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(file, (const struct sockaddr *)&address, size), 0);
	cr_assert_geq(accept4(listener, NULL, NULL, SOCK_CLOEXEC), 0);
	(void)close(listener);
	cr_assert_eq(setsockopt(file, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(file, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return file;
}

/* Send a line with a descriptor. */
static void pass_file(int socket, int file)
{
	static char line[] = "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"server.ping\"}\n";
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { 0 };
	struct iovec part = { .iov_base = line, .iov_len = strlen(line) };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &file, sizeof(file));
	cr_assert_eq(sendmsg(socket, &message, MSG_NOSIGNAL), (ssize_t)part.iov_len);
}

/* Other clients, and their file work. */
static void expect_service(void)
{
	static unsigned int count;
	char name[16];
	json_t *started;

	(void)snprintf(name, sizeof(name), "s%u", count++);
	perform(client, "server.ping", NULL);
	write_disk(path_in(&daemon_under_test, "disk"));
	started = call(client, "vm.boot", "{s:i, s:[{s:s, s:b}]}", "memory_mib", 8, "drives", "path",
		       path_in(&daemon_under_test, "disk"), "read_only", 1);
	perform(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(started, "vm"), "name", name);
	perform(client, "snapshot.remove", "{s:s}", "name", name);
	json_decref(started);
}

static int64_t helpers(const char *member)
{
	json_t *info = call(client, "server.info", NULL);
	int64_t value = json_integer_value(json_object_get(json_object_get(info, "helpers"), member));

	json_decref(info);
	return value;
}

static void wait_helpers(const char *member, int64_t wanted)
{
	int64_t until = now_ms() + WAIT_MS;

	while (helpers(member) < wanted) {
		cr_assert_lt(now_ms(), until, "%s: %jd, not %jd", member, (intmax_t)helpers(member), (intmax_t)wanted);
		sleep_ms(10);
	}
}

/* Each on a connection of its own: one connection waits for its own descriptors. */
static void pass_to_all(struct raw *raws, int (*make)(void))
{
	for (int i = 0; i < PASSED; i++) {
		int file = make();

		raw_connect_as(&raws[i], daemon_under_test.socket_path, RUN_UID, RUN_UID);
		pass_file(raws[i].fd, file);
		(void)close(file);
	}
}

static void begin(const char *config)
{
	daemon_start(&daemon_under_test, config);
	client = daemon_connect(&daemon_under_test);
}

Test(file_jobs, what_lingers_holds_up_nobody_else)
{
	struct raw raws[PASSED];

	begin(PATIENT);
	pass_to_all(raws, lingering_socket);
	wait_helpers("running", 2);
	expect_service();
	/* Unread descriptors go with their connections. */
	for (int i = 0; i < PASSED; i++)
		raw_close(&raws[i]);
	expect_service();
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

Test(file_jobs, what_takes_too_long_is_given_up)
{
	struct raw raw;

	begin(CONFIG);
	raw_connect_as(&raw, daemon_under_test.socket_path, RUN_UID, RUN_UID);
	for (int i = 0; i < PASSED; i++) {
		int file = lingering_socket();

		pass_file(raw.fd, file);
		(void)close(file);
		json_decref(raw_receive_answer(&raw));
	}
	wait_helpers("given_up", PASSED);
	daemon_wait_log(&daemon_under_test, "file work given up");
	expect_service();
	raw_close(&raw);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

/* ---- a file system that never answers FLUSH ---- */

static int fuse_device = -1;
static char fuse_folder[64];
static char fuse_file[80];

static void reply(uint64_t unique, int error, const void *bytes, size_t size)
{
	struct fuse_out_header header = { (uint32_t)(sizeof(header) + size), error, unique };
	char text[256];

	memcpy(text, &header, sizeof(header));
	if (size > 0)
		memcpy(text + sizeof(header), bytes, size);
	(void)!write(fuse_device, text, header.len);
}

static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){ .ino = node,
				   .mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666,
				   .nlink = 1 };
}

static void serve_one(const struct fuse_in_header *in)
{
	const struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 65536 };
	const struct fuse_entry_out entry = {
		.nodeid = 2, .entry_valid = 3600, .attr_valid = 3600, .attr = attributes(2)
	};
	const struct fuse_attr_out attr = { .attr_valid = 3600, .attr = attributes(in->nodeid) };
	const struct fuse_open_out opened = { .fh = 1 };

	switch (in->opcode) {
	case FUSE_INIT:
		reply(in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		reply(in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		reply(in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		reply(in->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_FLUSH: /* never */
	case FUSE_FORGET:
		break;
	default:
		reply(in->unique, -ENOSYS, NULL, 0);
		break;
	}
}

static void *serve_fuse(void *opaque)
{
	static union {
		struct fuse_in_header header;
		char bytes[1 << 17];
	} request;

	(void)opaque;
	while (read(fuse_device, &request, sizeof(request)) > 0)
		serve_one(&request.header);
	return NULL;
}

static void mount_fuse(void)
{
	char options[96];
	pthread_t thread;

	fuse_device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse_device < 0)
		cr_skip_test("there is no FUSE here: %s", strerror(errno));
	(void)snprintf(fuse_folder, sizeof(fuse_folder), "/tmp/ember-fuse-XXXXXX");
	cr_assert_not_null(mkdtemp(fuse_folder));
	(void)snprintf(fuse_file, sizeof(fuse_file), "%s/file", fuse_folder);
	(void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse_device);
	if (mount("ember", fuse_folder, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		(void)rmdir(fuse_folder);
		cr_skip_test("no FUSE can be mounted here: %s", strerror(errno));
	}
	cr_assert_eq(pthread_create(&thread, NULL, serve_fuse, NULL), 0);
	(void)pthread_detach(thread);
}

/* The end of the connection, and of everyone who waits for it. */
static void unmount_fuse(void)
{
	(void)umount2(fuse_folder, MNT_FORCE | MNT_DETACH);
	(void)rmdir(fuse_folder);
}

/* A child sends it: the test's own close would wait, too. */
static void pass_fuse_file(void)
{
	struct raw raw;
	pid_t child;

	raw_connect_as(&raw, daemon_under_test.socket_path, RUN_UID, RUN_UID);
	child = fork();
	if (child == 0) {
		/* The file system is to end with the test, however that ends. */
		(void)close(fuse_device);
		pass_file(raw.fd, open(fuse_file, O_RDONLY | O_CLOEXEC));
		for (;;)
			(void)pause();
	}
	/* The child lives on: it hangs in its end as the helper does, until the file system goes. */
	json_decref(raw_receive_answer(&raw));
	(void)kill(child, SIGKILL);
	raw_close(&raw);
}

Test(file_jobs, a_flush_that_is_never_answered_holds_up_nobody_and_no_end)
{
	mount_fuse();
	begin(CONFIG);
	pass_fuse_file();
	wait_helpers("stuck", 1);
	daemon_wait_log(&daemon_under_test, "file work given up");
	pass_fuse_file();
	wait_helpers("stuck", 2);
	expect_service();
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_expect_eq(daemon_wait_end(&daemon_under_test), 0);

	/* The helpers are still there; they hold nothing that a new daemon needs. */
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	expect_service();
	(void)ember_free(client);
	unmount_fuse();
	daemon_stop(&daemon_under_test);
}

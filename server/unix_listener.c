/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How two daemons do not share one path, and a dead one does not block it for ever:
 *
 * The owner holds an flock(2) on PATH.lock for as long as it lives; the kernel drops the lock with the process. Under
 * the lock, a socket that is there already is probed with connect(2): one that answers belongs to somebody who knows
 * no lock, one that refuses is stale and is unlinked. The lock file is removed at the end, so whoever takes the lock
 * checks that the file it locked is still the one at the path.
 *
 * The socket is bound with a mode that lets nobody in, and gets its group and mode before its owner calls listen(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/config.h"
#include "server/unix_listener.h"

#define LOCK_TRIES 16

struct unix_listener {
	char path[CONFIG_PATH_MAX];
	char lock_path[CONFIG_PATH_MAX + 8];
	int lock;
	int socket;
	struct stat bound; /* the socket file that is ours */
};

static int fail(struct error_detail *detail, const char *what, const char *path)
{
	int error = -errno;

	error_detail_set(detail, "%s %.150s: %s", what, path, strerrordesc_np(-error));
	return error;
}

static int make_folder(const char *path, struct error_detail *detail)
{
	char folder[CONFIG_PATH_MAX];
	char *slash;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;

	*slash = '\0';
	if (mkdir(folder, 0755) && errno != EEXIST)
		return fail(detail, "cannot make the folder", folder);
	return 0;
}

/* Is the file at the path the one that was locked? */
static bool same_file(int fd, const char *path)
{
	struct stat locked, there;

	return fstat(fd, &locked) == 0 && lstat(path, &there) == 0 && locked.st_dev == there.st_dev &&
	       locked.st_ino == there.st_ino;
}

static int take_lock(struct unix_listener *listener, struct error_detail *detail)
{
	int tries;

	for (tries = 0; tries < LOCK_TRIES; tries++) {
		cleanup_close int lock =
			open(listener->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

		if (lock < 0)
			return fail(detail, "cannot open", listener->lock_path);
		if (flock(lock, LOCK_EX | LOCK_NB)) {
			if (errno != EWOULDBLOCK)
				return fail(detail, "cannot lock", listener->lock_path);
			break;
		}
		if (same_file(lock, listener->lock_path)) {
			listener->lock = steal_fd(&lock);
			return 0;
		}
	}

	error_detail_set(detail, "another emberd serves %.200s", listener->path);
	return -EADDRINUSE;
}

static int remove_stale(const struct unix_listener *listener, const struct sockaddr_un *address,
			struct error_detail *detail)
{
	cleanup_close int probe = -1;
	struct stat there;

	if (lstat(listener->path, &there))
		return errno == ENOENT ? 0 : fail(detail, "cannot look at", listener->path);
	if (!S_ISSOCK(there.st_mode)) {
		error_detail_set(detail, "%.200s exists and is not a socket", listener->path);
		return -EEXIST;
	}

	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return fail(detail, "cannot make a socket for", listener->path);
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN) {
		error_detail_set(detail, "another process serves %.200s", listener->path);
		return -EADDRINUSE;
	}
	if (errno != ECONNREFUSED)
		return fail(detail, "cannot probe", listener->path);
	if (unlink(listener->path) && errno != ENOENT)
		return fail(detail, "cannot remove the stale", listener->path);
	return 0;
}

static int bind_socket(struct unix_listener *listener, const struct sockaddr_un *address, uint32_t mode, uint32_t gid,
		       struct error_detail *detail)
{
	listener->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->socket < 0)
		return fail(detail, "cannot make a socket for", listener->path);

	/* Of the socket, which bind(2) gives to its file: a umask would be one for all threads. */
	if (fchmod(listener->socket, 0))
		return fail(detail, "cannot set the mode of", listener->path);
	if (bind(listener->socket, (const struct sockaddr *)address, sizeof(*address)))
		return fail(detail, "cannot bind", listener->path);
	if (lstat(listener->path, &listener->bound))
		return fail(detail, "cannot look at", listener->path);
	if (gid != CONFIG_NO_ID && lchown(listener->path, (uid_t)-1, gid))
		return fail(detail, "cannot set the group of", listener->path);
	if (chmod(listener->path, mode))
		return fail(detail, "cannot set the mode of", listener->path);
	return 0;
}

int unix_listener_open(const char *path, uint32_t mode, uint32_t gid, struct unix_listener **ret_listener,
		       struct error_detail *detail)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct unix_listener *listener;
	int error;

	if (strlen(path) >= sizeof(address.sun_path)) {
		error_detail_set(detail, "a socket's path must be shorter than %zu bytes: %.150s",
				 sizeof(address.sun_path), path);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));

	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->lock = -1;
	listener->socket = -1;
	(void)snprintf(listener->path, sizeof(listener->path), "%s", path);
	(void)snprintf(listener->lock_path, sizeof(listener->lock_path), "%s.lock", path);

	error = make_folder(path, detail);
	if (!error)
		error = take_lock(listener, detail);
	if (!error)
		error = remove_stale(listener, &address, detail);
	if (!error)
		error = bind_socket(listener, &address, mode, gid, detail);
	if (error) {
		(void)unix_listener_close(listener);
		return error;
	}

	*ret_listener = listener;
	return 0;
}

int unix_listener_fd(const struct unix_listener *listener)
{
	return listener->socket;
}

struct unix_listener *unix_listener_close(struct unix_listener *listener)
{
	struct stat there;

	if (!listener)
		return NULL;

	if (listener->bound.st_ino && lstat(listener->path, &there) == 0 && there.st_ino == listener->bound.st_ino &&
	    there.st_dev == listener->bound.st_dev)
		(void)unlink(listener->path);
	if (listener->socket >= 0)
		(void)close(listener->socket);
	if (listener->lock >= 0) {
		(void)unlink(listener->lock_path);
		(void)close(listener->lock);
	}
	free(listener);
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that takes any answer, and the steps.
 */
#include "script.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest.h"
#include "image_builder.h"
#include "proto/client/ember.h"
#include "proto/method.h"

#define PATH_TEXT    128
#define DISK_SECTORS 64
#define READY_MS     10000 /* for a guest that may never be ready */

GUEST_IMAGE(virtio_use);

struct script {
	struct daemon *daemon;
	struct ember *client;
	bool strict;
	unsigned int lost;
	char vm[64];  /* of the step's first start; empty: it failed */
	char tap[16]; /* a name that nobody else has */
	char disk[PATH_TEXT], overlays[PATH_TEXT], image[PATH_TEXT], kernel[PATH_TEXT], kept[PATH_TEXT],
		sock[PATH_TEXT];
};

/* ---- requests ---- */

static bool connect_again(struct script *script)
{
	int64_t until = now_ms() + WAIT_MS;

	script->client = ember_free(script->client);
	while (daemon_lives(script->daemon)) {
		if (ember_connect(script->daemon->socket_path, WAIT_MS, &script->client) == 0)
			return true;
		if (now_ms() > until) {
			complain(script->daemon, "no connection can be made");
			return false;
		}
		sleep_ms(5);
	}
	return false;
}

static bool is_documented(const char *method, int code)
{
	const enum rpc_code *lists[] = { method_find(method)->errors, method_common_errors() };

	for (size_t i = 0; i < 2; i++)
		for (const enum rpc_code *known = lists[i]; known && *known != RPC_OK; known++)
			if ((int)*known == code)
				return true;
	return false;
}

static void check_result(struct script *script, const char *method, const json_t *result)
{
	struct rpc_error mismatch = RPC_ERROR_INIT;

	if (method_check_result(method_find(method), result, &mismatch) < 0)
		complain(script->daemon, "%s: its result is not what the protocol says: %s", method, mismatch.message);
	rpc_error_release(&mismatch);
}

static void check_error(struct script *script, const char *method, int failed, const struct ember_error *error)
{
	if (failed == -ETIMEDOUT)
		complain(script->daemon, "%s is not answered", method);
	else if (failed != -EREMOTEIO || error->code == 0)
		script->lost++;
	else if (!is_documented(method, error->code))
		complain(script->daemon, "%s: an error that it may not give: %d %s: %s", method, error->code,
			 error->status, error->message);
	if (script->strict)
		complain(script->daemon, "%s fails afterwards: %s %s", method, error->status,
			 error->message[0] ? error->message : strerror(-failed));
}

/* Ask for something. Returns the result, a new reference, or NULL. Takes the parameters. */
static json_t *ask(struct script *script, const char *method, json_t *params)
{
	struct ember_error error = { 0 };
	json_t *result = NULL;
	int failed = -ENOTCONN;

	if (script->client) {
		failed = ember_call(script->client, method, params, WAIT_MS, &result, &error);
		if (failed == 0)
			check_result(script, method, result);
		else
			check_error(script, method, failed, &error);
		if (ember_failure(script->client)[0])
			(void)connect_again(script);
	}
	json_decref(params);
	ember_error_release(&error);
	return result;
}

static void perform(struct script *script, const char *method, json_t *params)
{
	json_decref(ask(script, method, params));
}

static void perform_on(struct script *script, const char *method, const char *vm)
{
	if (vm[0])
		perform(script, method, json_pack("{s:s}", "vm", vm));
}

/* Start a VM. Its id, or "" */
static const char *start(struct script *script, const char *method, json_t *params, char vm[64])
{
	json_t *result = ask(script, method, params);
	const char *id = json_string_value(json_object_get(result, "vm"));

	(void)snprintf(vm, 64, "%s", id ? id : "");
	json_decref(result);
	return vm;
}

static void wait_for(struct script *script, const char *vm, int event)
{
	if (!vm[0])
		return;
	if (event == 0)
		perform(script, "vm.wait",
			json_pack("{s:s, s:s, s:i}", "vm", vm, "for", "ready", "deadline_ms", READY_MS));
	else
		perform(script, "vm.wait",
			json_pack("{s:s, s:s, s:i, s:i}", "vm", vm, "for", "event", "event", event, "deadline_ms",
				  READY_MS));
}

static const char *boot(struct script *script, const char *temperature)
{
	start(script, "vm.boot", json_pack("{s:i, s:s, s:b}", "memory_mib", 8, "temperature", temperature, "detach", 1),
	      script->vm);
	wait_for(script, script->vm, 0);
	return script->vm;
}

/* ---- HTTP ---- */

static void http(struct script *script, const char *request)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval timeout = { .tv_sec = WAIT_MS / 1000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t total = 0;
	ssize_t received;
	char text[65536] = "";

	memcpy(address.sun_path, script->daemon->http_path, strlen(script->daemon->http_path));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		complain(script->daemon, "HTTP takes no connection: %s", strerror(errno));
		(void)close(fd);
		return;
	}
	/* One that has been closed again meanwhile shows when the answer is read. */
	(void)send(fd, request, strlen(request), MSG_NOSIGNAL);
	do {
		received = recv(fd, text + total, sizeof(text) - 1 - total, 0);
		if (received > 0)
			total += (size_t)received;
	} while (received > 0 && total < sizeof(text) - 1);
	if (received < 0 && errno == EAGAIN)
		complain(script->daemon, "HTTP is not answered: %.40s", request);
	if (strncmp(text, "HTTP/1.1 ", 9) != 0)
		script->lost++;
	if (script->strict && strncmp(text, "HTTP/1.1 2", 10) != 0)
		complain(script->daemon, "HTTP fails afterwards: %.40s: %.80s", request, text);
	(void)close(fd);
}

/* ---- steps ---- */

static void look(struct script *script)
{
	static const char *const methods[] = { "server.ping", "server.info", "pool.status",  "snapshot.list",
					       "kernel.list", "vm.list",     "rpc.discover", "events.subscribe" };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		perform(script, methods[i], NULL);
	/* The subscription ends with its connection. */
	script->client = ember_free(script->client);
	(void)connect_again(script);
	http(script, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

static void use_vm(struct script *script)
{
	const char *vm = boot(script, "any");

	if (!vm[0])
		return;
	perform(script, "vm.console", json_pack("{s:s, s:s}", "vm", vm, "action", "read"));
	perform(script, "vm.console", json_pack("{s:s, s:s, s:s}", "vm", vm, "action", "write", "data", "echo a\\n"));
	perform_on(script, "vm.pause", vm);
	perform_on(script, "vm.resume", vm);
	perform_on(script, "vm.info", vm);
	perform_on(script, "vm.power_button", vm);
	perform_on(script, "vm.release", vm);
	boot(script, "cold");
	perform_on(script, "vm.kill", script->vm);
}

static json_t *removal(const char *name)
{
	return json_pack("{s:s, s:b}", "name", name, "files", 1);
}

static void snapshot_by_name(struct script *script)
{
	static const char *const temperatures[] = { "any", "cold" };
	json_t *name = json_pack("{s:s}", "name", "one");
	char clone[64];

	boot(script, "any");
	if (script->vm[0]) {
		perform(script, "vm.snapshot", json_pack("{s:s, s:s}", "vm", script->vm, "name", "one"));
		perform(script, "vm.snapshot",
			json_pack("{s:s, s:s, s:b}", "vm", script->vm, "name", "one", "overwrite", 1));
	}
	perform_on(script, "vm.release", script->vm);
	perform(script, "snapshot.list", NULL);
	perform(script, "snapshot.inspect", json_incref(name));
	perform(script, "snapshot.verify", json_incref(name));
	for (size_t i = 0; i < 2; i++) {
		start(script, "vm.restore",
		      json_pack("{s:s, s:s, s:b}", "snapshot", "one", "temperature", temperatures[i], "detach", 1),
		      clone);
		perform_on(script, "vm.release", clone);
	}
	perform(script, "snapshot.remove", removal("one"));
	json_decref(name);
}

/* What a snapshot by path has left, where it was not registered. */
static void remove_kept(const struct script *script)
{
	static const char *const names[] = { "state.json", "memory.snap" };
	char path[PATH_TEXT + 16];

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", script->kept, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(script->kept);
}

static void snapshot_by_path(struct script *script)
{
	char clone[64];

	boot(script, "any");
	if (script->vm[0])
		perform(script, "vm.snapshot",
			json_pack("{s:s, s:s, s:b}", "vm", script->vm, "path", script->kept, "overwrite", 1));
	perform_on(script, "vm.release", script->vm);
	start(script, "vm.restore", json_pack("{s:s, s:b}", "snapshot_path", script->kept, "detach", 1), clone);
	perform_on(script, "vm.release", clone);
	perform(script, "snapshot.register", json_pack("{s:s, s:s}", "name", "two", "path", script->kept));
	start(script, "vm.restore", json_pack("{s:s, s:b}", "snapshot", "two", "detach", 1), clone);
	perform_on(script, "vm.release", clone);
	perform(script, "snapshot.remove", removal("two"));
	remove_kept(script);
}

/* A guest that uses its disk and its source of entropy. */
static json_t *disk_and_rng(const struct script *script)
{
	return json_pack("{s:s, s:s, s:i, s:b, s:[{s:s, s:s, s:s}], s:{}}", "image", script->image, "entry", "long",
			 "memory_mib", 16, "detach", 1, "drives", "path", script->disk, "serial", "test",
			 "overlay_folder", script->overlays, "rng");
}

/* One that has the others. */
static json_t *other_devices(const struct script *script)
{
	return json_pack("{s:i, s:b, s:{s:i, s:s}, s:{}, s:[{s:s}], s:{s:s}}", "memory_mib", 8, "detach", 1, "vsock",
			 "cid", 77, "path", script->sock, "balloon", "net", "tap", script->tap, "metadata", "a", "b");
}

/* Say to a vsock's socket what its clients say. */
static void call_vsock(const struct script *script)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, script->sock, strlen(script->sock));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		(void)send(fd, "CONNECT 1\n", 10, MSG_NOSIGNAL);
	(void)close(fd);
}

static void use_devices(struct script *script, json_t *params, int event, const char *name)
{
	char clone[64];

	start(script, "vm.boot", params, script->vm);
	wait_for(script, script->vm, event);
	call_vsock(script);
	if (script->vm[0] && event == 0)
		perform(script, "vm.balloon", json_pack("{s:s, s:i}", "vm", script->vm, "target_mib", 1));
	if (script->vm[0])
		perform(script, "vm.snapshot", json_pack("{s:s, s:s}", "vm", script->vm, "name", name));
	perform_on(script, "vm.release", script->vm);
	start(script, "vm.restore", json_pack("{s:s, s:b}", "snapshot", name, "detach", 1), clone);
	call_vsock(script);
	perform_on(script, "vm.release", clone);
	perform(script, "snapshot.remove", removal(name));
}

static void use_disk(struct script *script)
{
	use_devices(script, disk_and_rng(script), 1, "three");
}

static void use_others(struct script *script)
{
	use_devices(script, other_devices(script), 0, "four");
}

static void use_kernel(struct script *script)
{
	json_t *name = json_pack("{s:s}", "name", "linux");

	perform(script, "kernel.add", json_pack("{s:s, s:s}", "name", "linux", "path", script->kernel));
	perform(script, "kernel.list", NULL);
	perform(script, "kernel.inspect", json_incref(name));
	start(script, "vm.boot",
	      json_pack("{s:s, s:s, s:i, s:b}", "kernel", "linux", "initrd", script->disk, "memory_mib", 64, "detach",
			1),
	      script->vm);
	if (script->vm[0])
		json_decref(ask(script, "vm.list", NULL));
	perform_on(script, "vm.kill", script->vm);
	perform(script, "kernel.remove", json_incref(name));
	json_decref(name);
}

static void configure(struct script *script)
{
	for (int min = 2; min >= 1; min--) {
		perform(script, "pool.configure",
			json_pack("{s:i, s:i, s:i, s:i}", "vcpus", 1, "memory_mib", 8, "min", min, "max", 8));
		(void)script_settle(script, false);
	}
	if (daemon_lives(script->daemon))
		(void)kill(script->daemon->pid, SIGHUP);
	perform(script, "server.ping", NULL);
}

static void replace_zygote(struct script *script)
{
	daemon_kill_child(script->daemon, "ember-loader", SIGKILL);
	daemon_kill_child(script->daemon, "ember-zygote", SIGKILL);
	perform(script, "server.ping", NULL);
}

static void put(struct script *script, const char *target)
{
	char body[256], request[512];

	(void)snprintf(body, sizeof(body), "{\"snapshot_path\": \"%s\"}", script->kept);
	(void)snprintf(request, sizeof(request),
		       "PUT %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
		       "Content-Length: %zu\r\n\r\n%s",
		       target, strlen(body), body);
	http(script, request);
}

static void use_http(struct script *script)
{
	boot(script, "any");
	put(script, "/snapshot/create");
	perform_on(script, "vm.kill", script->vm);
	put(script, "/snapshot/load");
	remove_kept(script);
}

const struct step script_steps[] = {
	{ "start", NULL },
	{ "look", look },
	{ "use_vm", use_vm },
	{ "snapshot_by_name", snapshot_by_name },
	{ "snapshot_by_path", snapshot_by_path },
	{ "use_disk", use_disk },
	{ "use_others", use_others },
	{ "use_kernel", use_kernel },
	{ "use_http", use_http },
	{ "configure", configure },
	{ "replace_zygote", replace_zygote },
	{ "stop", NULL },
};
const size_t script_step_count = sizeof(script_steps) / sizeof(script_steps[0]);

void script_run(struct script *script, size_t step, bool strict)
{
	script->strict = strict;
	script->vm[0] = '\0';
	atomic_store(&script->daemon->page->step, (uint32_t)step);
	if (script_steps[step].run)
		script_steps[step].run(script);
	script->strict = false;
}

unsigned int script_lost(const struct script *script)
{
	return script->lost;
}

/* ---- between steps ---- */

static bool is_idle(struct script *script, char why[COMPLAINT_MAX])
{
	json_t *status = ask(script, "pool.status", NULL), *worker;
	size_t workers = 0, warm = 0, i;
	json_int_t wanted =
		json_integer_value(json_object_get(json_array_get(json_object_get(status, "shapes"), 0), "min"));

	json_array_foreach(json_object_get(status, "workers"), i, worker) {
		const char *state = json_string_value(json_object_get(worker, "state"));

		workers++;
		warm += state && !strcmp(state, "warm");
	}
	(void)snprintf(why, COMPLAINT_MAX, "%zu workers, %zu of them warm, not %lld", workers, warm, (long long)wanted);
	json_decref(status);
	return status && workers == warm && warm == (size_t)wanted;
}

bool script_settle(struct script *script, bool as_before)
{
	int64_t until = now_ms() + WAIT_MS;
	char why[COMPLAINT_MAX] = "";

	while (!is_idle(script, why) || (as_before && !daemon_is_as_before(script->daemon, why))) {
		if (!daemon_lives(script->daemon))
			return false;
		if (now_ms() > until) {
			complain(script->daemon, "it does not come to rest: %s", why);
			return false;
		}
		sleep_ms(5);
	}
	return true;
}

/* Call a method for each member of a list. */
static void for_each(struct script *script, const char *list_method, const char *list, const char *member,
		     const char *method)
{
	json_t *result = ask(script, list_method, NULL), *item;
	size_t i;

	json_array_foreach(json_object_get(result, list), i, item) {
		json_t *params = json_pack("{s:O}", member, json_object_get(item, member));

		if (!strcmp(method, "snapshot.remove"))
			(void)json_object_set_new(params, "files", json_true());
		perform(script, method, params);
	}
	json_decref(result);
}

/* A snapshot whose removal failed has its files, and no name: it can be given one, and removed again. */
static void remove_nameless(struct script *script)
{
	static const char *const names[] = { "one", "two", "three", "four" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[PATH_TEXT + 32];

		(void)snprintf(path, sizeof(path), "%s/snapshots/%s", script->daemon->state_dir, names[i]);
		if (access(path, F_OK) != 0)
			continue;
		perform(script, "snapshot.register", json_pack("{s:s, s:s}", "name", names[i], "path", path));
		perform(script, "snapshot.remove", removal(names[i]));
	}
	remove_kept(script);
}

void script_end_vms(struct script *script)
{
	if (!daemon_lives(script->daemon) || (!script->client && !connect_again(script)))
		return;
	for_each(script, "vm.list", "vms", "vm", "vm.kill");
	(void)script_settle(script, false);
}

void script_tidy(struct script *script)
{
	if (!daemon_lives(script->daemon))
		return;
	if (!script->client && !connect_again(script))
		return;
	for_each(script, "vm.list", "vms", "vm", "vm.kill");
	for_each(script, "snapshot.list", "snapshots", "name", "snapshot.remove");
	for_each(script, "kernel.list", "kernels", "name", "kernel.remove");
	remove_nameless(script);
	perform(script, "pool.configure",
		json_pack("{s:i, s:i, s:i, s:i}", "vcpus", 1, "memory_mib", 8, "min", 1, "max", 8));
	(void)script_settle(script, script->daemon->names != NULL);
}

/* ---- files ---- */

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "we");

	if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
		perror(path);
		exit(2); // NOLINT(concurrency-mt-unsafe)
	}
}

static void write_files(struct script *script)
{
	const char *folder = script->daemon->folder;
	struct built_image kernel = build_elf();
	static uint8_t disk[DISK_SECTORS * 512];

	(void)snprintf(script->tap, sizeof(script->tap), "ef%s", strrchr(folder, '-') + 1);
	(void)snprintf(script->disk, PATH_TEXT, "%s/disk", folder);
	(void)snprintf(script->overlays, PATH_TEXT, "%s/overlays", folder);
	(void)snprintf(script->image, PATH_TEXT, "%s/image", folder);
	(void)snprintf(script->kernel, PATH_TEXT, "%s/vmlinux", folder);
	(void)snprintf(script->kept, PATH_TEXT, "%s/kept", folder);
	(void)snprintf(script->sock, PATH_TEXT, "%s/v.sock", folder);
	for (size_t i = 0; i < sizeof(disk); i++)
		disk[i] = (uint8_t)(i / 512 + 1);
	write_file(script->disk, disk, sizeof(disk));
	write_file(script->image, virtio_use_image, virtio_use_image_size);
	write_file(script->kernel, kernel.bytes, kernel.size);
	built_free(&kernel);
	(void)mkdir(script->overlays, 0700);
}

struct script *script_new(struct daemon *daemon)
{
	struct script *script = calloc(1, sizeof(*script));

	if (!script)
		return NULL;
	script->daemon = daemon;
	write_files(script);
	return connect_again(script) ? script : script_free(script);
}

struct script *script_free(struct script *script)
{
	if (script)
		(void)ember_free(script->client);
	free(script);
	return NULL;
}

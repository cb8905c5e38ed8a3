/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.console: a VM's serial port, by absolute offset, so that readers do not take each other's output.
 *
 * The pool carries MESSAGE_CONSOLE_MAX bytes at a time; a call that wants more asks again until it has enough or there
 * is no more. UTF-8 is not cut within a character: the rest comes with the next read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/text_encoding.h"
#include "server/cleanup.h"
#include "server/guest.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/workers.h"

struct console {
	struct server *server;
	struct call *call; /* NULL: abandoned */
	char vm[GUEST_ID_SIZE];
	bool base64;
	uint8_t *data;
	uint32_t size;

	/* reading */
	struct guest_waiter waiter;
	bool is_waiting; /* the waiter is on the VM's list */
	bool wait;
	bool asked;      /* the pool has a question of ours */
	bool more_came;  /* output was announced while it had */
	uint64_t wanted; /* offset that the client asked for */
	uint64_t offset; /* of the first byte in data */
	uint32_t max;

	/* writing */
	uint32_t written;
};

static void free_console(struct console *console)
{
	free(console->data);
	free(console);
}

static void on_abandoned(void *opaque, struct rpc_error *error)
{
	struct console *console = opaque;

	(void)error;
	console->call = NULL;
	if (console->is_waiting)
		guest_waiter_remove(&console->waiter);
	console->is_waiting = false;
	if (!console->asked)
		free_console(console);
}

static struct console *console_new(struct call *call, const struct guest *vm)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return NULL;

	console->server = call->server;
	console->call = call;
	console->base64 = !strcmp(param_string(call->params, "encoding"), "base64");
	(void)guest_id_text(vm->number, console->vm);
	return console;
}

static void fail_console(struct console *console, const struct pool_result *result)
{
	struct call *call = console->call;

	free_console(console);
	if (call)
		workers_fail(call, result);
}

/* ---- reading ---- */

static void read_more(struct console *console, struct guest *vm);

static void stop_waiting(struct console *console)
{
	if (console->is_waiting)
		guest_waiter_remove(&console->waiter);
	console->is_waiting = false;
}

/* Bytes that can be given now: for UTF-8, whole characters, unless no more will come. */
static uint32_t deliverable(const struct console *console, const struct guest *vm)
{
	if (console->base64 || !vm || vm->exited || console->size == console->max)
		return console->size;
	return (uint32_t)utf8_complete_length(console->data, console->size);
}

static void answer_read(struct console *console, const struct guest *vm)
{
	uint32_t size = deliverable(console, vm);
	struct call *call = console->call;
	cleanup_free char *text = NULL;
	uint64_t dropped = console->offset > console->wanted ? console->offset - console->wanted : 0;
	uint64_t next;
	int failed;

	stop_waiting(console);
	next = console->offset + size;
	failed = console->base64 ? base64_encode(console->data, size, &text)
				 : utf8_lossy(console->data, size, &text, NULL);
	call_reply(call, failed ? NULL
				: json_pack("{s:I, s:I, s:I, s:s, s:s}", "offset", (json_int_t)console->offset,
					    "next_offset", (json_int_t)next, "dropped", (json_int_t)dropped, "data",
					    text, "encoding", console->base64 ? "base64" : "utf8"));
	free_console(console);
}

static void on_read(void *opaque, const struct pool_result *result, uint64_t offset, uint64_t dropped,
		    const uint8_t *data, uint32_t size)
{
	struct console *console = opaque;
	struct guest *vm = guest_find(console->server, console->vm);
	bool first = console->size == 0, may_answer;

	(void)dropped;
	console->asked = false;
	if (!console->call) {
		free_console(console);
		return;
	}
	if (result->status != POOL_OK || !vm) {
		stop_waiting(console);
		fail_console(console, result);
		return;
	}

	/* Output that was dropped between two pieces: give the first, the next read tells of the gap. */
	if (!first && offset != console->offset + console->size) {
		answer_read(console, vm);
		return;
	}
	if (first)
		console->offset = offset;
	if (size > console->max - console->size)
		size = console->max - console->size;
	memcpy(console->data + console->size, data, size);
	console->size += size;

	may_answer = !console->wait || deliverable(console, vm) > 0 || vm->exited;
	if ((size > 0 && console->size < console->max) || (!may_answer && console->more_came))
		read_more(console, vm);
	else if (may_answer)
		answer_read(console, vm);
}

static void read_more(struct console *console, struct guest *vm)
{
	uint64_t offset = console->size ? console->offset + console->size : console->wanted;
	uint32_t left = console->max - console->size;

	console->asked = true;
	console->more_came = false;
	pool_vm_console_read(vm->pool_vm, offset, left < MESSAGE_CONSOLE_MAX ? left : MESSAGE_CONSOLE_MAX, on_read,
			     console);
}

static void on_news(struct guest_waiter *waiter, struct guest *vm, enum guest_news news)
{
	struct console *console = // NOLINT(bugprone-casting-through-void)
		(void *)((char *)waiter - offsetof(struct console, waiter));

	if (news == GUEST_NEWS_SIGNAL)
		return;
	if (news == GUEST_NEWS_GONE)
		console->is_waiting = false;
	if (console->asked)
		console->more_came = true;
	else if (news == GUEST_NEWS_GONE)
		answer_read(console, NULL);
	else
		read_more(console, vm);
}

static void begin_read(struct call *call, struct guest *vm)
{
	struct console *console = console_new(call, vm);

	if (console) {
		console->max = (uint32_t)param_int(call->params, "max_bytes", 1);
		console->data = malloc(console->max);
	}
	if (!console || !console->data) {
		free(console);
		call_reply(call, NULL);
		return;
	}

	console->wanted = (uint64_t)param_int(call->params, "offset", 0);
	console->wait = param_bool(call->params, "wait");
	call_on_abandon(call, on_abandoned, console);
	if (console->wait) {
		console->waiter.heard = on_news;
		guest_waiter_add(vm, &console->waiter);
		console->is_waiting = true;
	}
	read_more(console, vm);
}

/* ---- writing ---- */

static void write_more(struct console *console, const struct guest *vm);

static void on_written(void *opaque, const struct pool_result *result, uint32_t written)
{
	struct console *console = opaque;
	const struct guest *vm = guest_find(console->server, console->vm);
	uint32_t left = console->size - console->written;
	uint32_t offered = left < MESSAGE_CONSOLE_MAX ? left : MESSAGE_CONSOLE_MAX;
	struct call *call = console->call;

	console->asked = false;
	if (!call) {
		free_console(console);
		return;
	}
	if (result->status != POOL_OK || !vm) {
		fail_console(console, result);
		return;
	}

	console->written += written < offered ? written : offered;
	/* The port takes no more for now: the client is told how far it came. */
	if (written < offered || console->written == console->size) {
		json_t *answer = json_pack("{s:I}", "written", (json_int_t)console->written);

		free_console(console);
		call_reply(call, answer);
		return;
	}
	write_more(console, vm);
}

static void write_more(struct console *console, const struct guest *vm)
{
	uint32_t left = console->size - console->written;

	console->asked = true;
	pool_vm_console_write(vm->pool_vm, console->data + console->written,
			      left < MESSAGE_CONSOLE_MAX ? left : MESSAGE_CONSOLE_MAX, on_written, console);
}

/* The bytes that the client gave. Returns 0, or -errno when the call was answered. */
static int decode(struct call *call, bool base64, uint8_t **ret_data, uint32_t *ret_size)
{
	const char *text = param_string(call->params, "data");
	struct rpc_error error = RPC_ERROR_INIT;
	size_t length = strlen(text);
	int failed = 0;

	if (base64) {
		failed = base64_decode(text, length, ret_data, &length);
	} else {
		*ret_data = malloc(length + 1);
		if (*ret_data)
			memcpy(*ret_data, text, length + 1);
		else
			failed = -ENOMEM;
	}
	if (failed == -EBADMSG) {
		(void)rpc_error_set_field(&error, "data", "data must be base64");
		call_fail(call, &error);
	} else if (failed) {
		call_reply(call, NULL);
	}
	*ret_size = (uint32_t)length;
	return failed;
}

static void begin_write(struct call *call, const struct guest *vm)
{
	struct console *console = console_new(call, vm);

	if (!console) {
		call_reply(call, NULL);
		return;
	}
	if (decode(call, console->base64, &console->data, &console->size)) {
		free_console(console);
		return;
	}
	if (console->size == 0) {
		free_console(console);
		call_reply(call, json_pack("{s:i}", "written", 0));
		return;
	}

	call_on_abandon(call, on_abandoned, console);
	write_more(console, vm);
}

void method_vm_console(struct call *call)
{
	bool read = !strcmp(param_string(call->params, "action"), "read");
	struct guest *vm = guest_of_call(call);

	if (!vm)
		return;
	if (read)
		begin_read(call, vm);
	else
		begin_write(call, vm);
}

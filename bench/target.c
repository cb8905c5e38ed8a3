/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as a client sees them: sent over libember, timed from the moment they were due to the moment their answer
 * had been read.
 *
 * The daemon reports its own phases in the answer. What is left of the round trip, the sockets, the wake-ups and the
 * supervisor between phases, is recorded as the phase "rpc", so that the phases add up to the whole. A boot is done
 * when the guest says so: that wait is the phase "guest". Time by which an open-loop request left late is "late".
 */
#include "bench/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CONNECT_TIMEOUT_MS 5000
#define CALL_TIMEOUT_MS    60000
#define SETTLE_TIMEOUT_NS  UINT64_C(10000000000)
#define SETTLE_PAUSE_NS    2000000

/* When the parts of one request began and ended. */
struct timing {
	uint64_t due_ns, sent_ns, answered_ns, done_ns;
};

uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int target_connect(struct target *target, const char *socket_path)
{
	return ember_connect(socket_path, CONNECT_TIMEOUT_MS, &target->client);
}

void target_close(struct target *target)
{
	ember_error_release(&target->error);
	target->client = ember_free(target->client);
}

/* params is taken over; NULL there is -ENOMEM. */
static int call(struct target *target, const char *method, json_t *params, json_t **ret_result)
{
	int result;

	if (params == NULL)
		return -ENOMEM;
	result = ember_call(target->client, method, params, CALL_TIMEOUT_MS, ret_result, &target->error);
	json_decref(params);
	return result;
}

/* A failure that the connection survived: the daemon said no, or took too long. */
static bool is_answer(const struct target *target, int result)
{
	return (result == -ETIMEDOUT || result == -EREMOTEIO) && *ember_failure(target->client) == '\0';
}

int target_adopt_shape(struct target *target)
{
	json_t *record = NULL;
	int result;

	result = call(target, "snapshot.inspect", json_pack("{s:s}", "name", target->snapshot), &record);
	if (result < 0)
		return result;
	target->boot_shape.vcpus = json_integer_value(json_object_get(record, "vcpus"));
	target->boot_shape.memory_mib = json_integer_value(json_object_get(record, "memory_mib"));
	snprintf(target->boot_shape.cpu_template, sizeof(target->boot_shape.cpu_template), "%s",
		 json_string_value(json_object_get(record, "cpu_template")));
	json_decref(record);
	return 0;
}

static json_t *boot_params(const struct target *target, const struct series *series)
{
	const struct boot_shape *shape = &target->boot_shape;

	if (shape->vcpus == 0)
		return json_pack("{s:s}", "temperature", series->temperature);
	return json_pack("{s:s, s:I, s:I, s:s}", "temperature", series->temperature, "vcpus", shape->vcpus,
			 "memory_mib", shape->memory_mib, "cpu_template", shape->cpu_template);
}

/* Send the request and wait until it has done what it is for. */
static int perform(struct target *target, const struct series *series, struct timing *timing, json_t **ret_reply)
{
	json_t *reply = NULL;
	int result;

	timing->sent_ns = monotonic_ns();
	if (timing->due_ns == 0)
		timing->due_ns = timing->sent_ns;
	if (series->operation == OPERATION_PING)
		result = call(target, "server.ping", json_object(), &reply);
	else if (series->operation == OPERATION_BOOT)
		result = call(target, "vm.boot", boot_params(target, series), &reply);
	else
		result = call(target, "vm.restore",
			      json_pack("{s:s, s:s}", "snapshot", target->snapshot, "temperature", series->temperature),
			      &reply);
	timing->answered_ns = timing->done_ns = monotonic_ns();
	*ret_reply = reply;
	if (result < 0 || series->operation != OPERATION_BOOT)
		return result;

	result = call(target, "vm.wait", json_pack("{s:O, s:s}", "vm", json_object_get(reply, "vm"), "for", "ready"),
		      NULL);
	timing->done_ns = monotonic_ns();
	return result;
}

static int record_phases(struct measurement *measurement, const struct series *series, const struct timing *timing,
			 const json_t *reply)
{
	uint64_t in_phases = 0, round_trip = timing->answered_ns - timing->sent_ns;
	const char *name, *previous = NULL;
	json_t *duration;
	int result = 0;

	if (timing->sent_ns > timing->due_ns)
		result = measurement_record_phase(measurement, "late", timing->sent_ns - timing->due_ns, &previous);
	json_object_foreach(json_object_get(reply, "phases_us"), name, duration) {
		uint64_t nanoseconds = (uint64_t)(json_number_value(duration) * 1e3);

		if (result == 0)
			result = measurement_record_phase(measurement, name, nanoseconds, &previous);
		in_phases += nanoseconds;
	}
	if (result == 0 && series->operation != OPERATION_PING)
		result = measurement_record_phase(
			measurement, "rpc", round_trip - (in_phases < round_trip ? in_phases : round_trip), &previous);
	if (result == 0 && series->operation == OPERATION_BOOT)
		result = measurement_record_phase(measurement, "guest", timing->done_ns - timing->answered_ns,
						  &previous);
	return result == -ENOSPC ? 0 : result;
}

static int record(struct measurement *measurement, const struct series *series, const struct timing *timing,
		  const json_t *reply)
{
	const char *temperature = json_string_value(json_object_get(reply, "temperature"));

	histogram_record(&measurement->total, timing->done_ns - timing->due_ns);
	if (temperature != NULL && strcmp(temperature, "warm") == 0)
		measurement->served_warm++;
	return record_phases(measurement, series, timing, reply);
}

static void record_failure(const struct target *target, struct measurement *measurement, int result)
{
	if (measurement == NULL)
		return;
	if (result == -EREMOTEIO)
		measurement_record_error(measurement, target->error.status);
	else
		measurement_record_error(measurement, result == -ETIMEDOUT ? "TIMEOUT" : "CONNECTION");
}

/* Is the shape as it will stay without requests: as many warm as it wants, nothing being built or closed? */
static bool is_at_rest(const json_t *status, const char *shape)
{
	const json_t *row;
	size_t index;

	json_array_foreach(json_object_get(status, "shapes"), index, row) {
		const char *name = json_string_value(json_object_get(row, "shape"));

		if (name == NULL || strcmp(name, shape) != 0)
			continue;
		return json_integer_value(json_object_get(row, "building")) == 0 &&
		       json_integer_value(json_object_get(row, "closing")) == 0 &&
		       json_integer_value(json_object_get(row, "warm")) >=
			       json_integer_value(json_object_get(row, "min"));
	}
	return true;
}

static int settle(struct target *target)
{
	const struct timespec pause = { .tv_nsec = SETTLE_PAUSE_NS };
	uint64_t give_up_ns = monotonic_ns() + SETTLE_TIMEOUT_NS;
	bool at_rest = false;

	while (!at_rest) {
		json_t *status = NULL;
		int result = call(target, "pool.status", json_object(), &status);

		if (result < 0)
			return result;
		at_rest = is_at_rest(status, target->shape);
		json_decref(status);
		if (!at_rest && monotonic_ns() > give_up_ns)
			return -ETIMEDOUT;
		if (!at_rest)
			nanosleep(&pause, NULL);
	}
	return 0;
}

/* End the VM that the reply tells of. */
static int clear_away(struct target *target, const json_t *reply)
{
	const char *shape = json_string_value(json_object_get(reply, "shape"));
	int result;

	snprintf(target->shape, sizeof(target->shape), "%s", shape == NULL ? "" : shape);
	result = call(target, "vm.release", json_pack("{s:O}", "vm", json_object_get(reply, "vm")), NULL);
	if (result == 0 && target->settle)
		result = settle(target);
	return result;
}

int target_run(struct target *target, const struct series *series, uint64_t due_ns, struct measurement *measurement)
{
	struct timing timing = { .due_ns = due_ns };
	json_t *reply = NULL;
	int result, cleared = 0;

	result = perform(target, series, &timing, &reply);
	if (result < 0)
		record_failure(target, measurement, result);
	else if (measurement != NULL)
		result = record(measurement, series, &timing, reply);
	if (json_object_get(reply, "vm") != NULL)
		cleared = clear_away(target, reply);
	if (cleared < 0 && result == 0) {
		record_failure(target, measurement, cleared);
		result = cleared;
	}
	json_decref(reply);
	return result < 0 && !is_answer(target, result) ? result : 0;
}

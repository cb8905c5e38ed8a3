/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shells and the recorder behind the tests of kvm/.
 *
 * Every test runs in a process of its own, so the host is probed once a test. Waiting is by condition variable and
 * without a time limit: a test that would wait for ever is ended by the test runner's own limit.
 */
#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

const struct kvm_host *test_host(void)
{
	static struct kvm_host host;
	static bool probed;
	struct error_detail detail = { 0 };

	if (!probed) {
		int result;

		if (getenv("EMBER_NO_KVM"))
			cr_skip_test("needs KVM, and EMBER_NO_KVM is set");
		result = host_probe(&host, &detail);
		cr_assert_eq(result, 0, "host_probe: %s", detail.text);
		probed = true;
	}

	return &host;
}

uint8_t mmio_pattern(uint64_t address)
{
	return (uint8_t)(0xa0 + (address & 0x3f) * 3);
}

static uint64_t value_of(const uint8_t *data, size_t length)
{
	uint64_t value = 0;

	memcpy(&value, data, length);
	return value;
}

static void record(struct record *records, size_t *count, uint64_t address, const uint8_t *data, size_t length)
{
	if (*count < RECORDS_MAX)
		records[*count] = (struct record){ address, value_of(data, length), length };
	(*count)++;
}

static enum vcpu_handler_result port_read(void *opaque, uint16_t port, uint8_t *data, size_t length)
{
	struct recorder *recorder = opaque;

	memset(data, 0xff, length);
	pthread_mutex_lock(&recorder->lock);
	if (port == PORT_COUNTER) {
		memcpy(data, &recorder->counter, length);
		recorder->counter++;
	}
	if (recorder->pause_at_port_read)
		vcpu_request_pause(recorder->pause_at_port_read);
	pthread_mutex_unlock(&recorder->lock);
	return VCPU_HANDLER_CONTINUE;
}

static enum vcpu_handler_result port_write(void *opaque, uint16_t port, const uint8_t *data, size_t length)
{
	struct recorder *recorder = opaque;

	if (port == PORT_STOP)
		return VCPU_HANDLER_STOP;
	if (port != PORT_REPORT)
		return VCPU_HANDLER_CONTINUE;

	pthread_mutex_lock(&recorder->lock);
	record(recorder->reports, &recorder->report_count, port, data, length);
	if (recorder->pause_at_report &&
	    (recorder->pause_at_report_count == 0 || recorder->pause_at_report_count == recorder->report_count))
		vcpu_request_pause(recorder->pause_at_report);
	pthread_cond_broadcast(&recorder->changed);
	pthread_mutex_unlock(&recorder->lock);
	return VCPU_HANDLER_CONTINUE;
}

static enum vcpu_handler_result mmio_read(void *opaque, uint64_t gpa, uint8_t *data, size_t length)
{
	struct recorder *recorder = opaque;

	for (size_t i = 0; i < length; i++)
		data[i] = mmio_pattern(gpa + i);
	pthread_mutex_lock(&recorder->lock);
	recorder->mmio_read_count++;
	if (recorder->pause_at_mmio_read)
		vcpu_request_pause(recorder->pause_at_mmio_read);
	pthread_mutex_unlock(&recorder->lock);
	return VCPU_HANDLER_CONTINUE;
}

static enum vcpu_handler_result mmio_write(void *opaque, uint64_t gpa, const uint8_t *data, size_t length)
{
	struct recorder *recorder = opaque;

	pthread_mutex_lock(&recorder->lock);
	record(recorder->mmio_writes, &recorder->mmio_write_count, gpa, data, length);
	pthread_mutex_unlock(&recorder->lock);
	return VCPU_HANDLER_CONTINUE;
}

static void stopped(void *opaque, uint32_t index, const struct vcpu_stop_info *info)
{
	struct recorder *recorder = opaque;

	pthread_mutex_lock(&recorder->lock);
	recorder->stop_count++;
	recorder->stop_index = index;
	recorder->stop = *info;
	pthread_cond_broadcast(&recorder->changed);
	pthread_mutex_unlock(&recorder->lock);
}

struct shell *shell_new_with_template(uint32_t vcpus, uint64_t memory_size, enum cpu_template cpu_template)
{
	const struct kvm_host *host = test_host();
	struct shell *shell = calloc(1, sizeof(*shell));
	struct error_detail detail = { 0 };
	struct vcpu_handlers handlers = {
		.port_read = port_read,
		.port_write = port_write,
		.mmio_read = mmio_read,
		.mmio_write = mmio_write,
		.stopped = stopped,
	};
	int result;

	cr_assert_not_null(shell);
	pthread_mutex_init(&shell->recorder.lock, NULL);
	pthread_cond_init(&shell->recorder.changed, NULL);
	handlers.opaque = &shell->recorder;
	shell->vcpu_count = vcpus;

	result = vm_create(host, memory_size, &shell->vm, NULL, &detail);
	cr_assert_eq(result, 0, "vm_create: %s", detail.text);
	result = guest_memory_lay_anonymous(&shell->vm.memory);
	cr_assert_eq(result, 0);
	for (uint32_t i = 0; i < vcpus; i++) {
		result = cpuid_for_vcpu(&host->supported_cpuid, cpu_template, i, vcpus, &shell->cpuid[i]);
		cr_assert_eq(result, 0);
		result = vcpu_create(&shell->vm, i, &shell->cpuid[i], &handlers, &shell->vcpus[i], NULL, &detail);
		cr_assert_eq(result, 0, "vcpu_create: %s", detail.text);
	}

	return shell;
}

struct shell *shell_new(uint32_t vcpus, uint64_t memory_size)
{
	return shell_new_with_template(vcpus, memory_size, CPU_TEMPLATE_HOST);
}

void shell_free(struct shell *shell)
{
	for (uint32_t i = 0; i < shell->vcpu_count; i++)
		vcpu_request_pause(shell->vcpus[i]);
	for (uint32_t i = 0; i < shell->vcpu_count; i++)
		vcpu_close(shell->vcpus[i]);
	vm_close(&shell->vm);
	pthread_mutex_destroy(&shell->recorder.lock);
	pthread_cond_destroy(&shell->recorder.changed);
	free(shell);
}

void shell_load(struct shell *shell, struct guest_code code, enum entry_mode mode)
{
	struct error_detail detail = { 0 };
	size_t size = (size_t)(code.end - code.start);
	int result;

	result = guest_memory_write(&shell->vm.memory, entry_image_gpa(mode), code.start, size);
	cr_assert_eq(result, 0);
	result = entry_prepare(&shell->vm.memory, shell->vcpus[0], mode, shell->vcpu_count, &detail);
	cr_assert_eq(result, 0, "entry_prepare: %s", detail.text);
}

struct vcpu_stop_info shell_wait_stop(struct shell *shell, unsigned int nth)
{
	struct recorder *recorder = &shell->recorder;
	struct vcpu_stop_info stop;
	uint32_t index;

	pthread_mutex_lock(&recorder->lock);
	while (recorder->stop_count < nth)
		pthread_cond_wait(&recorder->changed, &recorder->lock);
	stop = recorder->stop;
	index = recorder->stop_index;
	pthread_mutex_unlock(&recorder->lock);

	vcpu_pause(shell->vcpus[index]);
	return stop;
}

struct vcpu_stop_info shell_run_to_stop(struct shell *shell)
{
	unsigned int before;
	int result;

	pthread_mutex_lock(&shell->recorder.lock);
	before = shell->recorder.stop_count;
	pthread_mutex_unlock(&shell->recorder.lock);
	result = vcpu_run(shell->vcpus[0]);
	cr_assert_eq(result, 0);
	return shell_wait_stop(shell, before + 1);
}

void shell_wait_reports(struct shell *shell, size_t count)
{
	struct recorder *recorder = &shell->recorder;

	pthread_mutex_lock(&recorder->lock);
	while (recorder->report_count < count && recorder->stop_count == 0)
		pthread_cond_wait(&recorder->changed, &recorder->lock);
	cr_assert_geq(recorder->report_count, count, "vCPU %u stopped for %s at 0x%llx after %zu reports",
		      recorder->stop_index, vcpu_stop_name(recorder->stop.stop), (unsigned long long)recorder->stop.rip,
		      recorder->report_count);
	pthread_mutex_unlock(&recorder->lock);
}

size_t shell_report_count(struct shell *shell)
{
	size_t count;

	pthread_mutex_lock(&shell->recorder.lock);
	count = shell->recorder.report_count;
	pthread_mutex_unlock(&shell->recorder.lock);
	return count;
}

uint64_t shell_report(struct shell *shell, size_t nth)
{
	uint64_t value;

	cr_assert_lt(nth, RECORDS_MAX);
	pthread_mutex_lock(&shell->recorder.lock);
	cr_assert_lt(nth, shell->recorder.report_count, "report %zu of %zu", nth, shell->recorder.report_count);
	value = shell->recorder.reports[nth].value;
	pthread_mutex_unlock(&shell->recorder.lock);
	return value;
}

void shell_copy(struct shell *from, struct shell *to)
{
	struct vcpu_state *state = malloc(sizeof(*state));
	struct error_detail detail = { 0 };
	int result;

	cr_assert_not_null(state);
	result = guest_memory_write(&to->vm.memory, 0, from->vm.memory.host, from->vm.memory.size);
	cr_assert_eq(result, 0);
	result = vcpu_get_state(from->vcpus[0], state, &detail);
	cr_assert_eq(result, 0, "vcpu_get_state: %s", detail.text);
	result = vcpu_set_state(to->vcpus[0], state, &detail);
	cr_assert_eq(result, 0, "vcpu_set_state: %s", detail.text);
	free(state);
}

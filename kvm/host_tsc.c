/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host's KVM does about a guest's TSC.
 *
 * Settable: does a write move it? A software backend lets guests read the host's TSC, takes the write, and goes on. A
 * step of 2^40 cycles is minutes: no delay between the write and the read can be taken for it.
 *
 * Its offset: KVM_VCPU_TSC_OFFSET (Linux 5.16), where it holds what it is given.
 *
 * Its rate: KVM notes the TSC's rate when it is loaded, and gives it to every vCPU. A kernel that cannot ask the processor
 * for the rate guesses it at boot and refines the guess a second later. Where KVM was loaded between the two and the guess
 * was off by more than 250 ppm, KVM_CREATE_VCPU finds that the vCPU's rate is not the host's and scales; without hardware
 * for that, the vCPU "catches up" at each entry, and its TSC deadline timers fire late by its whole TSC: guests halt for
 * ever. It is told by the TSC's rate against the kernel's clock, which goes by the refined rate.
 */
#include "kvm/host_tsc.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <time.h>
#include <x86intrin.h>

#include "kvm/msr.h"

#define STEP           (UINT64_C(1) << 40)
#define MEASURE_NS     20000000L
#define READINGS       64
#define TOLERANCE_PPM  UINT64_C(250)
#define NANOSECONDS_MS UINT64_C(1000000)

struct reading {
	uint64_t cycles;
	uint64_t ns;
	uint64_t width_ns; /* between a look at the clock before and one after */
};

static uint64_t clock_ns(void)
{
	struct timespec now;

	/* Not slewed by NTP. */
	(void)clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000 * NANOSECONDS_MS + (uint64_t)now.tv_nsec;
}

/* TSC and clock at one time: the best of several, as this thread may lose its processor in any of them. */
static struct reading read_both(void)
{
	struct reading best = { .width_ns = UINT64_MAX };

	for (int i = 0; i < READINGS; i++) {
		uint64_t before = clock_ns();
		uint64_t cycles = __rdtsc();
		uint64_t width = clock_ns() - before;

		if (width < best.width_ns)
			best = (struct reading){ .cycles = cycles, .ns = before + width / 2, .width_ns = width };
	}

	return best;
}

static struct tsc_measurement measure(void)
{
	const struct timespec pause = { .tv_nsec = MEASURE_NS };
	struct reading first = read_both(), last;

	(void)nanosleep(&pause, NULL);
	last = read_both();
	return (struct tsc_measurement){
		.cycles = last.cycles - first.cycles,
		.elapsed_ns = last.ns > first.ns ? last.ns - first.ns : 1,
		.uncertainty_ns = (first.width_ns + last.width_ns) / 2 + 1,
	};
}

uint32_t tsc_measured_khz(const struct tsc_measurement *measurement)
{
	/* 128 bits: a host may have been suspended in between. */
	unsigned __int128 khz = (unsigned __int128)measurement->cycles * NANOSECONDS_MS / measurement->elapsed_ns;

	return khz < UINT32_MAX ? (uint32_t)khz : UINT32_MAX;
}

bool tsc_rate_differs(const struct tsc_measurement *measurement, uint32_t khz)
{
	uint64_t measured = tsc_measured_khz(measurement);
	uint64_t difference = measured > khz ? measured - khz : khz - measured;
	uint64_t doubt_ppm = measurement->uncertainty_ns * NANOSECONDS_MS / measurement->elapsed_ns;

	return difference * NANOSECONDS_MS > (TOLERANCE_PPM + doubt_ppm) * khz;
}

static int read_tsc(int vcpu, uint64_t *ret_tsc, struct error_detail *detail)
{
	struct msr_table tsc = { .count = 1, .entries = { { .index = MSR_INDEX_TSC } } };
	int result = msr_get(vcpu, &tsc, detail);

	if (result == 0)
		*ret_tsc = tsc.entries[0].data;
	return result;
}

static bool takes_offset(int vcpu)
{
	uint64_t offset = 0, again = 0;
	struct kvm_device_attr attribute = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uint64_t)(uintptr_t)&offset,
	};

	if (ioctl(vcpu, KVM_HAS_DEVICE_ATTR, &attribute) < 0 || ioctl(vcpu, KVM_GET_DEVICE_ATTR, &attribute) < 0)
		return false;
	offset += STEP;
	if (ioctl(vcpu, KVM_SET_DEVICE_ATTR, &attribute) < 0)
		return false;
	attribute.addr = (uint64_t)(uintptr_t)&again;
	return ioctl(vcpu, KVM_GET_DEVICE_ATTR, &attribute) == 0 && again == offset;
}

int host_probe_tsc(struct kvm_host *host, int vcpu, struct error_detail *detail)
{
	struct msr_table moved = { .count = 1, .entries = { { .index = MSR_INDEX_TSC } } };
	struct tsc_measurement measurement;
	uint64_t before = 0, after = 0;
	int result;

	result = read_tsc(vcpu, &before, detail);
	if (result < 0)
		return result;
	measurement = measure();
	result = read_tsc(vcpu, &after, detail);
	if (result < 0)
		return result;
	host->tsc_advances = after != before && measurement.cycles > 0;
	host->tsc_measured_khz = tsc_measured_khz(&measurement);
	host->tsc_rate_wrong = tsc_rate_differs(&measurement, host->tsc_khz);

	moved.entries[0].data = after + STEP;
	result = msr_set(vcpu, &moved, detail);
	if (result < 0)
		return result;
	result = read_tsc(vcpu, &before, detail);
	if (result < 0)
		return result;
	host->tsc_settable = before - after >= STEP;
	host->tsc_offset = takes_offset(vcpu);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts under way: none is lost between one process and the next, and none comes twice.
 */
#include "guests/pending.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "fixture.h"

TestSuite(pending, .init = fixture_setup, .fini = fixture_teardown);

static void type(struct vm_life *life, const char *text)
{
	CHECK_EQ(serial_write_input(life->machine->serial, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void boot(struct vm_life *life, enum pending_kind kind)
{
	FIXTURE_BOOT(life, 1, pending);
	fixture_report(life)->mode = kind;
}

/* Run the rest of the guest, typing when it asks, and see how many interrupts it took at each step. */
static void finish(struct vm_life *life, uint64_t taken, bool types, uint64_t taken_later)
{
	const struct report *report = fixture_report(life);

	fixture_report(life)->go = 1;
	fixture_run(life);
	if (types) {
		fixture_wait(life, EVENT_TYPE, 1);
		type(life, "2");
	}
	fixture_wait(life, EVENT_DONE, 1);
	machine_pause(life->machine);
	CHECK_EQ(report->values[0], taken);
	CHECK_EQ(report->values[1], taken_later);
	fixture_end(life);
}

/* ---- raised while the guest stood still with interrupts off ---- */

static void raise_and_save(void *opaque)
{
	struct vm_life life;

	boot(&life, *(const enum pending_kind *)opaque);
	fixture_run_until_ready(&life);
	type(&life, "1");
	fixture_save(&life, "pending");
	fixture_end(&life);
}

static void take_once(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	fixture_restore(&life, "pending");
	finish(&life, 1, true, 2);
}

static void raised_before(enum pending_kind kind)
{
	fixture_in_process("source", raise_and_save, &kind);
	fixture_in_process("target", take_once, NULL);
}

Test(pending, raised_at_the_pic)
{
	raised_before(PENDING_SERIAL_PIC);
}

Test(pending, raised_at_the_ioapic)
{
	raised_before(PENDING_SERIAL_IOAPIC);
}

/* ---- raised in the machine that was restored, before it runs ---- */

static void save_quiet(void *opaque)
{
	struct vm_life life;

	boot(&life, *(const enum pending_kind *)opaque);
	fixture_run_until_ready(&life);
	fixture_save(&life, "pending");
	fixture_end(&life);
}

static void type_and_take_once(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	fixture_restore(&life, "pending");
	type(&life, "1");
	finish(&life, 1, true, 2);
}

static void raised_after(enum pending_kind kind)
{
	fixture_in_process("source", save_quiet, &kind);
	fixture_in_process("target", type_and_take_once, NULL);
}

Test(pending, raised_at_the_pic_after_the_restore)
{
	raised_after(PENDING_SERIAL_PIC);
}

Test(pending, raised_at_the_ioapic_after_the_restore)
{
	raised_after(PENDING_SERIAL_IOAPIC);
}

/* ---- served before, with the line still high: bringing the line back must not look like a new edge ---- */

static void serve_and_save(void *opaque)
{
	struct vm_life life;

	boot(&life, *(const enum pending_kind *)opaque);
	fixture_run(&life);
	fixture_wait(&life, EVENT_TYPE, 1);
	type(&life, "1");
	fixture_wait(&life, EVENT_READY, 1);
	machine_pause(life.machine);
	fixture_save(&life, "pending");
	fixture_end(&life);
}

static void served_before(enum pending_kind kind)
{
	fixture_in_process("source", serve_and_save, &kind);
	fixture_in_process("target", take_once, NULL);
}

Test(pending, served_by_the_pic)
{
	served_before(PENDING_SERVED_PIC);
}

Test(pending, served_by_the_ioapic)
{
	served_before(PENDING_SERVED_IOAPIC);
}

/* ---- inside the vCPU ---- */

static void save_self_ipi(void *opaque)
{
	enum pending_kind kind = PENDING_SELF_IPI;

	(void)opaque;
	save_quiet(&kind);
}

static void take_self_ipi(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	fixture_restore(&life, "pending");
	finish(&life, 1, false, 0);
}

Test(pending, an_interrupt_in_the_lapic)
{
	fixture_in_process("source", save_self_ipi, NULL);
	fixture_in_process("target", take_self_ipi, NULL);
}

static void save_nmi(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	boot(&life, PENDING_EVENT);
	fixture_run_until_ready(&life);
	CHECK_EQ(ioctl(vcpu_fd(life.machine->vcpus[0]), KVM_NMI), 0);
	fixture_save(&life, "pending");
	CHECK_EQ(life.state->vcpus[0].events.nmi.pending, 1);
	fixture_end(&life);
}

static void save_exception(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	boot(&life, PENDING_EVENT);
	fixture_run_until_ready(&life);
	fixture_save(&life, "pending");
	life.state->vcpus[0].events.exception.injected = 1;
	life.state->vcpus[0].events.exception.nr = 6;
	fixture_publish(&life, "pending");
	fixture_end(&life);
}

static void take_vector(void *opaque)
{
	unsigned vector = *(const unsigned *)opaque;
	struct vm_life life;

	fixture_restore(&life, "pending");
	CHECK_EQ(fixture_report(&life)->interrupts[vector], 0);
	fixture_finish(&life);
	CHECK_EQ(fixture_report(&life)->interrupts[vector], 1);
	fixture_end(&life);
}

Test(pending, an_nmi)
{
	unsigned vector = 2;

	fixture_in_process("source", save_nmi, NULL);
	fixture_in_process("target", take_vector, &vector);
}

Test(pending, an_exception)
{
	unsigned vector = 6;

	fixture_in_process("source", save_exception, NULL);
	fixture_in_process("target", take_vector, &vector);
}

/* ---- a guest that sleeps ---- */

/* Between its signal and its halt the guest has a few instructions to go. */
static void pause_when_halted(struct vm_life *life)
{
	struct kvm_mp_state state = { 0 };

	for (;;) {
		machine_pause(life->machine);
		CHECK_EQ(ioctl(vcpu_fd(life->machine->vcpus[0]), KVM_GET_MP_STATE, &state), 0);
		if (state.mp_state == KVM_MP_STATE_HALTED)
			return;
		fixture_run(life);
		(void)usleep(1000);
	}
}

static void save_halted(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	boot(&life, PENDING_HALTED);
	fixture_run(&life);
	fixture_wait(&life, EVENT_READY, 1);
	pause_when_halted(&life);
	fixture_save(&life, "pending");
	CHECK_EQ(life.state->vcpus[0].mp_state.mp_state, KVM_MP_STATE_HALTED);
	fixture_end(&life);
}

static void wake(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	fixture_restore(&life, "pending");
	fixture_run(&life);
	type(&life, "w");
	fixture_wait(&life, EVENT_DONE, 1);
	machine_pause(life.machine);
	CHECK_EQ(fixture_report(&life)->values[0], 'w');
	CHECK_EQ(fixture_report(&life)->interrupts[VECTOR_PIC + 4], 1);
	fixture_end(&life);
}

Test(pending, a_halted_guest_wakes)
{
	fixture_in_process("source", save_halted, NULL);
	fixture_in_process("target", wake, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that KVM gives out, against what it gives out after a restore in another process: with something
 * distinctive put, through KVM's setters, where a guest cannot reach or this host's guests cannot (the XSAVE area, MSRs
 * of the machine-check banks, events under way, ...).
 */
#include <string.h>

#include <criterion/criterion.h>

#include "fixture.h"
#include "kvm/msr.h"
#include "snapshot/fields.h"
#include "snapshot/state_tables.h"

#define LAPIC_TIMER_CURRENT 0x390

TestSuite(state, .init = fixture_setup, .fini = fixture_teardown);

/* ---- comparison ---- */

static void compare(const json_t *left, const json_t *right, struct json_path *path);

static void compare_children(const json_t *left, const json_t *right, struct json_path *path)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach((json_t *)left, key, value) {
		size_t outside = json_path_enter_member(path, key);

		compare(value, json_object_get(right, key), path);
		json_path_leave(path, outside);
	}
	json_array_foreach(left, i, value) {
		size_t outside = json_path_enter_element(path, i);

		compare(value, json_array_get(right, i), path);
		json_path_leave(path, outside);
	}
}

static void compare(const json_t *left, const json_t *right, struct json_path *path)
{
	char *texts[2];

	if (json_equal(left, right))
		return;
	compare_children(left, right, path);
	texts[0] = json_dumps(left, JSON_ENCODE_ANY);
	texts[1] = json_dumps(right, JSON_ENCODE_ANY);
	fixture_fail(__FILE__, __LINE__, "%s: %s became %s", path->text, texts[0] ? texts[0] : "nothing",
		     texts[1] ? texts[1] : "nothing");
}

static void compare_tables(const struct state_field *fields, const void *left, const void *right, const char *name)
{
	struct json_path path = { .length = 0 };
	json_t *objects[2];

	(void)json_path_enter_member(&path, name);
	CHECK_EQ(fields_to_json(fields, left, &objects[0]), 0);
	CHECK_EQ(fields_to_json(fields, right, &objects[1]), 0);
	compare(objects[0], objects[1], &path);
	json_decref(objects[0]);
	json_decref(objects[1]);
}

/* What goes on by itself. */
static void blank_time(struct vm_state *state)
{
	state->created_unix_ns = 0;
	memset(&state->clock, 0, sizeof(state->clock));
	for (unsigned i = 0; i < 3; i++)
		state->irqchip.pit.channels[i].count_load_time = 0;
	for (uint32_t i = 0; i < state->vcpu_count; i++) {
		struct vcpu_state *vcpu = &state->vcpus[i];

		memset(vcpu->lapic.regs + LAPIC_TIMER_CURRENT, 0, 4);
		for (uint32_t j = 0; j < vcpu->msrs.count; j++)
			if (vcpu->msrs.entries[j].index == MSR_INDEX_TSC)
				vcpu->msrs.entries[j].data = 0;
	}
}

static bool same_bytes(const void *left, const void *right, size_t size)
{
	return memcmp(left, right, size) == 0;
}

static void compare_states(struct vm_state *left, struct vm_state *right)
{
	blank_time(left);
	blank_time(right);
	compare_tables(irqchip_state_fields, &left->irqchip, &right->irqchip, "irqchip");
	for (uint32_t i = 0; i < left->vcpu_count; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "vcpus[%u]", i);
		compare_tables(vcpu_state_fields, &left->vcpus[i], &right->vcpus[i], name);
	}
	/* And bit for bit: the tables leave nothing out that KVM gives. */
	CHECK(same_bytes(left, right, sizeof(*left)));
}

/* ---- something distinctive ---- */

/* Values that depend on what else KVM finds, or that would make it write to memory. */
static bool is_left_alone(uint32_t index)
{
	return index == MSR_INDEX_TSC || index == MSR_INDEX_TSC_DEADLINE || (index >> 8) == 0x4b564d || index == 0x11 ||
	       index == 0x12;
}

/* Change each MSR by the lowest bit that KVM lets be changed. Returns how many it could change. */
static unsigned change_msrs(struct vcpu *vcpu, const struct msr_table *msrs)
{
	unsigned changed = 0;

	for (uint32_t i = 0; i < msrs->count; i++) {
		struct msr_table one = { .count = 1, .entries = { msrs->entries[i] } };
		struct msr_table seen = one;
		unsigned bit = 0;
		bool done = false;

		for (; bit < 64 && !done && !is_left_alone(msrs->entries[i].index); bit++) {
			one.entries[0].data = msrs->entries[i].data ^ UINT64_C(1) << bit;
			done = msr_set(vcpu_fd(vcpu), &one, NULL) == 0 && msr_get(vcpu_fd(vcpu), &seen, NULL) == 0 &&
			       seen.entries[0].data == one.entries[0].data;
		}
		changed += done;
	}

	return changed;
}

static void change_xsave(struct vcpu_state *state)
{
	static const uint8_t head[] = { 0x7f, 0x02, 0x00, 0x38, 0xff, 0x00, 0x34, 0x02 }; /* FCW FSW FTW FOP */
	uint32_t mxcsr = 0x1fa0;
	uint64_t features = 3;

	if (state->xsave_size == 0) {
		memset(state->fpu.xmm, 0x5a, sizeof(state->fpu.xmm));
		state->fpu.fcw = 0x027f;
		return;
	}
	memcpy(state->xsave, head, sizeof(head));
	memcpy(state->xsave + 24, &mxcsr, sizeof(mxcsr));
	for (size_t i = 0; i < 8; i++)
		memset(state->xsave + 32 + 16 * i, (int)(0x80 + i), 10);
	for (size_t i = 0; i < 16; i++)
		memset(state->xsave + 160 + 16 * i, (int)(0x10 + i), 16);
	/* With AVX, also the upper halves (Intel SDM volume 1, 13.4). */
	if (state->xcrs.nr_xcrs > 0 && (state->xcrs.xcrs[0].value & 4)) {
		memset(state->xsave + 576, 0xab, 256);
		features |= 4;
	}
	memcpy(state->xsave + 512, &features, sizeof(features));
}

static void set_lapic(struct kvm_lapic_state *lapic, unsigned reg, uint32_t value)
{
	memcpy(lapic->regs + reg, &value, sizeof(value));
}

static void change_lapic(struct kvm_lapic_state *lapic)
{
	set_lapic(lapic, 0x080, 0x50);       /* TPR */
	set_lapic(lapic, 0x0d0, 0x5a000000); /* LDR */
	set_lapic(lapic, 0x0e0, 0xffffffff); /* DFR: flat */
	set_lapic(lapic, 0x0f0, 0x1e7);      /* spurious vector, enabled */
	set_lapic(lapic, 0x130, 0x00000040); /* ISR: 0x66 */
	set_lapic(lapic, 0x1b0, 0x00800000); /* TMR: 0x77 is level-triggered */
	set_lapic(lapic, 0x230, 0x00800000); /* IRR: 0x77 */
	set_lapic(lapic, 0x280, 0x20);       /* ESR */
	set_lapic(lapic, 0x300, 0x000000c3); /* ICR */
	set_lapic(lapic, 0x310, 0x03000000);
	set_lapic(lapic, 0x320, 0x10041); /* LVTs, masked */
	set_lapic(lapic, 0x330, 0x10042);
	set_lapic(lapic, 0x340, 0x10043);
	set_lapic(lapic, 0x350, 0x10044);
	set_lapic(lapic, 0x360, 0x10045);
	set_lapic(lapic, 0x370, 0x10046);
	set_lapic(lapic, 0x3e0, 0x9); /* divide by 64 */
}

static void change_vcpu(struct vcpu *vcpu, uint32_t index)
{
	struct vcpu_state *state = calloc(1, sizeof(*state));

	CHECK(state);
	CHECK(change_msrs(vcpu, &fixture_host()->msrs) > fixture_host()->msrs.count / 2);
	CHECK_OK(vcpu_get_state(vcpu, state, &detail));
	if (state->xcrs.nr_xcrs > 0) {
		const struct cpuid_table *cpuid = &state->cpuid;

		for (uint32_t i = 0; i < cpuid->count; i++)
			if (cpuid->entries[i].function == 0xd && cpuid->entries[i].index == 0)
				state->xcrs.xcrs[0].value = cpuid->entries[i].eax & 7;
		state->sregs.cr4 |= 1U << 18; /* OSXSAVE */
	}
	change_xsave(state);
	change_lapic(&state->lapic);
	state->debugregs.db[index] = 0x1234;
	state->debugregs.dr6 = 0xffff4ff1;
	state->sregs.cr2 = 0x9999000 + index;
	state->events.nmi.pending = 1;
	state->events.nmi.masked = 1;
	state->events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	state->events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	state->events.exception.injected = 1;
	state->events.exception.nr = 14;
	state->events.exception.has_error_code = 1;
	state->events.exception.error_code = 7;
	if (index == 1)
		state->mp_state.mp_state = KVM_MP_STATE_HALTED;
	CHECK_OK(vcpu_set_state(vcpu, state, &detail));
	free(state);
}

static void change_irqchip(const struct vm *vm)
{
	struct irqchip_state chips;

	CHECK_OK(vm_get_irqchip(vm, &chips, &detail));
	for (unsigned i = 0; i < sizeof(struct kvm_pic_state); i++) {
		((uint8_t *)&chips.pic_master.chip.pic)[i] = (uint8_t)(0x11 * i + 1);
		((uint8_t *)&chips.pic_slave.chip.pic)[i] = (uint8_t)(0x0d * i + 2);
	}
	chips.pic_master.chip.pic.elcr_mask = 0xf8;
	chips.pic_slave.chip.pic.elcr_mask = 0xde;
	chips.ioapic.chip.ioapic.id = 5;
	chips.ioapic.chip.ioapic.ioregsel = 0x12;
	for (unsigned i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		chips.ioapic.chip.ioapic.redirtbl[i].bits =
			UINT64_C(0x0100000000010000) * (i % 8 + 1) | 0x10000 | (0x30 + i) | (i % 2) << 15;
	for (unsigned i = 0; i < 3; i++) {
		struct kvm_pit_channel_state *channel = &chips.pit.channels[i];

		channel->count = 1000 + i;
		channel->latched_count = (uint16_t)(0x1234 + i);
		channel->count_latched = 3;
		channel->status_latched = 1;
		channel->status = (uint8_t)(0x30 + i);
		channel->read_state = 3;
		channel->write_state = 4;
		channel->write_latch = (uint8_t)(0x77 + i);
		channel->rw_mode = 3;
		channel->mode = (uint8_t)(2 + i);
		channel->gate = i != 2;
	}
	chips.pit.flags = KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	CHECK_OK(vm_set_irqchip(vm, &chips, &detail));
}

static void source(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	FIXTURE_BOOT(&life, 2, still);
	fixture_run_until_ready(&life);
	change_irqchip(&life.machine->vm);
	for (uint32_t i = 0; i < 2; i++)
		change_vcpu(life.machine->vcpus[i], i);
	fixture_save(&life, "state");
	fixture_end(&life);
}

/* How much of a state is not as a fresh machine has it: else the comparison would show little. */
static void check_is_distinctive(const struct vm_state *state)
{
	const struct msr_table *fresh = &fixture_host()->msrs;
	unsigned different = 0;

	for (uint32_t i = 0; i < state->vcpus[1].msrs.count; i++) {
		const struct kvm_msr_entry *entry = msr_find(fresh, state->vcpus[1].msrs.entries[i].index);

		different += entry && entry->data != state->vcpus[1].msrs.entries[i].data;
	}
	CHECK(different > fresh->count / 2);
	CHECK_EQ(state->vcpus[1].mp_state.mp_state, KVM_MP_STATE_HALTED);
	CHECK_EQ(state->vcpus[0].events.nmi.pending, 1);
	CHECK_EQ(state->vcpus[0].events.nmi.masked, 1);
	CHECK_EQ(state->vcpus[0].events.exception.injected, 1);
	CHECK_EQ(state->vcpus[0].events.exception.nr, 14);
	CHECK_EQ(state->vcpus[0].debugregs.db[0], 0x1234);
	CHECK_EQ((uint8_t)state->vcpus[1].lapic.regs[0x80], 0x50);
	if (fixture_host()->xsave_size > 0)
		CHECK(state->vcpus[0].xcrs.xcrs[0].value > 1);
	CHECK_EQ(state->irqchip.pic_master.chip.pic.irq_base, 0x11 * offsetof(struct kvm_pic_state, irq_base) + 1);
	CHECK_EQ(state->irqchip.pic_slave.chip.pic.irq_base, 0x0d * offsetof(struct kvm_pic_state, irq_base) + 2);
	CHECK_EQ(state->irqchip.ioapic.chip.ioapic.id, 5);
	CHECK_EQ(state->irqchip.pit.channels[2].latched_count, 0x1236);
}

static void target(void *opaque)
{
	struct vm_state *again = calloc(1, sizeof(*again));
	struct vm_life life;

	(void)opaque;
	CHECK(again);
	fixture_restore(&life, "state");
	check_is_distinctive(life.state);
	CHECK_OK(snapshot_capture(life.machine, again, NULL, &detail));
	compare_states(life.state, again);
	free(again);
	fixture_end(&life);
}

Test(state, getters_give_what_they_gave)
{
	fixture_in_process("source", source, NULL);
	fixture_in_process("target", target, NULL);
}

static void source_plain(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	FIXTURE_BOOT(&life, 1, still);
	fixture_run_until_ready(&life);
	fixture_save(&life, "plain");
	fixture_end(&life);
}

static void count_msrs(void *opaque)
{
	struct vm_state *state;
	int memory;

	(void)opaque;
	fixture_load("plain", &state, &memory);
	for (uint32_t i = 0; i < fixture_host()->msrs.count; i++) {
		uint32_t index = fixture_host()->msrs.entries[i].index;

		CHECK(msr_find(&state->vcpus[0].msrs, index) || !msr_has_feature(index, &state->vcpus[0].cpuid));
	}
	CHECK(state->vcpus[0].msrs.count >= 37);
}

Test(state, has_every_msr_of_the_guest)
{
	fixture_in_process("source", source_plain, NULL);
	fixture_in_process("count", count_msrs, NULL);
}

/* The fresh machine's state is the hardest to see missing, and the easiest to leave out by mistake. */
static void target_plain(void *opaque)
{
	struct vm_state *again = calloc(1, sizeof(*again));
	struct vm_life life;

	(void)opaque;
	CHECK(again);
	fixture_restore(&life, "plain");
	CHECK_OK(snapshot_capture(life.machine, again, NULL, &detail));
	compare_states(life.state, again);
	fixture_finish(&life);
	CHECK_EQ(fixture_report(&life)->values[0], 1);
	free(again);
	fixture_end(&life);
}

Test(state, an_unremarkable_guest_goes_on)
{
	fixture_in_process("source", source_plain, NULL);
	fixture_in_process("target", target_plain, NULL);
}

/* A snapshot of a restored machine, of that again, and so on: the guest counts its lives. */
static void next_generation(void *opaque)
{
	unsigned generation = *(const unsigned *)opaque;
	struct vm_life life;

	fixture_restore(&life, "plain");
	fixture_finish(&life);
	CHECK_EQ(fixture_report(&life)->values[0], generation);
	fixture_save(&life, "plain");
	fixture_end(&life);
}

Test(state, a_snapshot_of_a_restored_machine)
{
	fixture_in_process("source", source_plain, NULL);
	for (unsigned generation = 1; generation <= 4; generation++)
		fixture_in_process("next generation", next_generation, &generation);
}

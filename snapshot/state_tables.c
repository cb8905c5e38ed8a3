/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's state structures (linux/kvm.h and asm/kvm.h), member by member.
 *
 * Every member is here but padding and reserved space, which KVM neither reads nor fills; a test holds that against
 * what KVM gives out. Bounds are those that KVM itself demands where it would refuse the state (Linux,
 * arch/x86/kvm/x86.c), so that a damaged file is refused when it is loaded and not when it is injected. Registers have
 * no bounds: KVM knows them best.
 */
#include "snapshot/state_tables.h"

#include "kvm/msr.h"
#include "kvm/vcpu_state.h"

/* Names of members cannot stand in parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define REGISTER(member) STATE_FIELD(struct kvm_regs, member, FIELD_U64)

static const struct state_field regs_fields[] = {
	REGISTER(rax), REGISTER(rbx), REGISTER(rcx), REGISTER(rdx),    REGISTER(rsi),    REGISTER(rdi), REGISTER(rsp),
	REGISTER(rbp), REGISTER(r8),  REGISTER(r9),  REGISTER(r10),    REGISTER(r11),    REGISTER(r12), REGISTER(r13),
	REGISTER(r14), REGISTER(r15), REGISTER(rip), REGISTER(rflags), STATE_FIELDS_END,
};

static const struct state_field segment_fields[] = {
	STATE_FIELD(struct kvm_segment, base, FIELD_U64),
	STATE_FIELD(struct kvm_segment, limit, FIELD_HEX32),
	STATE_FIELD(struct kvm_segment, selector, FIELD_U16),
	STATE_FIELD_MAX(struct kvm_segment, type, FIELD_U8, 15),
	STATE_FIELD_MAX(struct kvm_segment, present, FIELD_U8, 1),
	STATE_FIELD_MAX(struct kvm_segment, dpl, FIELD_U8, 3),
	STATE_FIELD_MAX(struct kvm_segment, db, FIELD_U8, 1),
	STATE_FIELD_MAX(struct kvm_segment, s, FIELD_U8, 1),
	STATE_FIELD_MAX(struct kvm_segment, l, FIELD_U8, 1),
	STATE_FIELD_MAX(struct kvm_segment, g, FIELD_U8, 1),
	STATE_FIELD_MAX(struct kvm_segment, avl, FIELD_U8, 1),
	STATE_FIELD_MAX(struct kvm_segment, unusable, FIELD_U8, 1),
	STATE_FIELDS_END,
};

static const struct state_field table_register_fields[] = {
	STATE_FIELD(struct kvm_dtable, base, FIELD_U64),
	STATE_FIELD(struct kvm_dtable, limit, FIELD_U16),
	STATE_FIELDS_END,
};

#define SEGMENT(member) STATE_STRUCTS(struct kvm_sregs, member, 1, segment_fields, sizeof(struct kvm_segment))
#define TABLE_REGISTER(member) \
	STATE_STRUCTS(struct kvm_sregs, member, 1, table_register_fields, sizeof(struct kvm_dtable))
#define SYSTEM_REGISTER(member) STATE_FIELD(struct kvm_sregs, member, FIELD_U64)

static const struct state_field sregs_fields[] = {
	SEGMENT(cs),
	SEGMENT(ds),
	SEGMENT(es),
	SEGMENT(fs),
	SEGMENT(gs),
	SEGMENT(ss),
	SEGMENT(tr),
	SEGMENT(ldt),
	TABLE_REGISTER(gdt),
	TABLE_REGISTER(idt),
	SYSTEM_REGISTER(cr0),
	SYSTEM_REGISTER(cr2),
	SYSTEM_REGISTER(cr3),
	SYSTEM_REGISTER(cr4),
	SYSTEM_REGISTER(cr8),
	SYSTEM_REGISTER(efer),
	SYSTEM_REGISTER(apic_base),
	STATE_ARRAY(struct kvm_sregs, interrupt_bitmap, FIELD_U64, (KVM_NR_INTERRUPTS + 63) / 64),
	STATE_FIELDS_END,
};

static const struct state_field fpu_fields[] = {
	STATE_FIELD(struct kvm_fpu, fcw, FIELD_U16),        STATE_FIELD(struct kvm_fpu, fsw, FIELD_U16),
	STATE_FIELD(struct kvm_fpu, ftwx, FIELD_U8),        STATE_FIELD(struct kvm_fpu, last_opcode, FIELD_U16),
	STATE_FIELD(struct kvm_fpu, last_ip, FIELD_U64),    STATE_FIELD(struct kvm_fpu, last_dp, FIELD_U64),
	STATE_FIELD(struct kvm_fpu, mxcsr, FIELD_HEX32),    STATE_ARRAY(struct kvm_fpu, fpr, FIELD_BYTES, 128),
	STATE_ARRAY(struct kvm_fpu, xmm, FIELD_BYTES, 256), STATE_FIELDS_END,
};

static const struct state_field xcr_fields[] = {
	STATE_FIELD(struct kvm_xcr, xcr, FIELD_U32),
	STATE_FIELD(struct kvm_xcr, value, FIELD_U64),
	STATE_FIELDS_END,
};

static const struct state_field xcrs_fields[] = {
	STATE_FIELD(struct kvm_xcrs, flags, FIELD_HEX32),
	STATE_ROWS(struct kvm_xcrs, xcrs, nr_xcrs, KVM_MAX_XCRS, xcr_fields, sizeof(struct kvm_xcr)),
	STATE_FIELDS_END,
};

/*
 * The members of kvm_vcpu_events are structures without names of their own: their offsets count from the first of each.
 */
#define EVENT(group, member, field_type, greatest)                                    \
	{                                                                             \
		.name = #member, .type = (field_type), .count = 1, .max = (greatest), \
		.offset = (uint32_t)(offsetof(struct kvm_vcpu_events, group.member) - \
				     offsetof(struct kvm_vcpu_events, group))         \
	}
#define EVENT_GROUP(group, members) \
	STATE_STRUCTS(struct kvm_vcpu_events, group, 1, members, sizeof(((struct kvm_vcpu_events *)0)->group))

static const struct state_field exception_fields[] = {
	EVENT(exception, injected, FIELD_U8, 1),      EVENT(exception, pending, FIELD_U8, 1),
	EVENT(exception, nr, FIELD_U8, 31),           EVENT(exception, has_error_code, FIELD_U8, 1),
	EVENT(exception, error_code, FIELD_HEX32, 0), STATE_FIELDS_END,
};

static const struct state_field interrupt_fields[] = {
	EVENT(interrupt, injected, FIELD_U8, 1),
	EVENT(interrupt, nr, FIELD_U8, 0),
	EVENT(interrupt, soft, FIELD_U8, 1),
	EVENT(interrupt, shadow, FIELD_U8, KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI),
	STATE_FIELDS_END,
};

static const struct state_field nmi_fields[] = {
	EVENT(nmi, injected, FIELD_U8, 1),
	EVENT(nmi, pending, FIELD_U8, 0), /* a count: KVM queues up to two */
	EVENT(nmi, masked, FIELD_U8, 1),
	STATE_FIELDS_END,
};

static const struct state_field smi_fields[] = {
	EVENT(smi, smm, FIELD_U8, 1),
	EVENT(smi, pending, FIELD_U8, 1),
	EVENT(smi, smm_inside_nmi, FIELD_U8, 1),
	EVENT(smi, latched_init, FIELD_U8, 1),
	STATE_FIELDS_END,
};

static const struct state_field triple_fault_fields[] = {
	EVENT(triple_fault, pending, FIELD_U8, 1),
	STATE_FIELDS_END,
};

static const struct state_field events_fields[] = {
	STATE_FIELD(struct kvm_vcpu_events, flags, FIELD_HEX32),
	EVENT_GROUP(exception, exception_fields),
	STATE_FIELD_MAX(struct kvm_vcpu_events, exception_has_payload, FIELD_U8, 1),
	STATE_FIELD(struct kvm_vcpu_events, exception_payload, FIELD_U64),
	EVENT_GROUP(interrupt, interrupt_fields),
	EVENT_GROUP(nmi, nmi_fields),
	EVENT_GROUP(smi, smi_fields),
	EVENT_GROUP(triple_fault, triple_fault_fields),
	STATE_FIELD(struct kvm_vcpu_events, sipi_vector, FIELD_HEX32),
	STATE_FIELDS_END,
};

static const struct state_field debugregs_fields[] = {
	STATE_ARRAY(struct kvm_debugregs, db, FIELD_U64, 4),
	STATE_FIELD(struct kvm_debugregs, dr6, FIELD_U64),
	STATE_FIELD(struct kvm_debugregs, dr7, FIELD_U64),
	STATE_FIELD(struct kvm_debugregs, flags, FIELD_U64),
	STATE_FIELDS_END,
};

static const char *msr_label(const void *entry)
{
	const char *name = msr_name(((const struct kvm_msr_entry *)entry)->index);

	return name ? name : "unknown";
}

static const struct state_field msr_fields[] = {
	STATE_FIELD(struct kvm_msr_entry, index, FIELD_HEX32),
	{ .name = "name", .type = FIELD_LABEL, .label = msr_label },
	{ .name = "value", .type = FIELD_U64, .offset = (uint32_t)offsetof(struct kvm_msr_entry, data), .count = 1 },
	STATE_FIELDS_END,
};

static const struct state_field cpuid_fields[] = {
	STATE_FIELD(struct kvm_cpuid_entry2, function, FIELD_HEX32),
	STATE_FIELD(struct kvm_cpuid_entry2, index, FIELD_U32),
	STATE_FIELD(struct kvm_cpuid_entry2, flags, FIELD_U32),
	STATE_FIELD(struct kvm_cpuid_entry2, eax, FIELD_HEX32),
	STATE_FIELD(struct kvm_cpuid_entry2, ebx, FIELD_HEX32),
	STATE_FIELD(struct kvm_cpuid_entry2, ecx, FIELD_HEX32),
	STATE_FIELD(struct kvm_cpuid_entry2, edx, FIELD_HEX32),
	STATE_FIELDS_END,
};

/* A member of struct vcpu_state that is a structure, or a table of rows with its count. */
#define VCPU_PART(member, fields) \
	STATE_STRUCTS(struct vcpu_state, member, 1, fields, sizeof(((struct vcpu_state *)0)->member))
#define VCPU_TABLE(member, elements, members, bytes)                                              \
	{                                                                                         \
		.name = #member, .type = FIELD_ROWS, .count = (elements), .fields = (members),    \
		.offset = (uint32_t)offsetof(struct vcpu_state, member.entries), .size = (bytes), \
		.length_offset = (uint32_t)offsetof(struct vcpu_state, member.count)              \
	}

const struct state_field vcpu_state_fields[] = {
	{ .name = "mp_state",
	  .type = FIELD_U32,
	  .offset = (uint32_t)offsetof(struct vcpu_state, mp_state.mp_state),
	  .count = 1,
	  .max = KVM_MP_STATE_SUSPENDED },
	STATE_FIELD(struct vcpu_state, tsc_khz, FIELD_U32),
	VCPU_PART(regs, regs_fields),
	VCPU_PART(sregs, sregs_fields),
	VCPU_PART(events, events_fields),
	VCPU_PART(debugregs, debugregs_fields),
	VCPU_PART(xcrs, xcrs_fields),
	VCPU_TABLE(msrs, VCPU_MSRS_MAX, msr_fields, sizeof(struct kvm_msr_entry)),
	VCPU_TABLE(cpuid, CPUID_ENTRIES_MAX, cpuid_fields, sizeof(struct kvm_cpuid_entry2)),
	STATE_ARRAY(struct vcpu_state, lapic, FIELD_BYTES, KVM_APIC_REG_SIZE),
	VCPU_PART(fpu, fpu_fields),
	STATE_BLOB(struct vcpu_state, xsave, xsave_size, VCPU_XSAVE_MAX),
	STATE_FIELDS_END,
};

static const struct state_field pit_channel_fields[] = {
	STATE_FIELD_MAX(struct kvm_pit_channel_state, count, FIELD_U32, 65536),
	STATE_FIELD(struct kvm_pit_channel_state, latched_count, FIELD_U16),
	STATE_FIELD(struct kvm_pit_channel_state, count_latched, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, status_latched, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, status, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, read_state, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, write_state, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, write_latch, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, rw_mode, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, mode, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, bcd, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, gate, FIELD_U8),
	STATE_FIELD(struct kvm_pit_channel_state, count_load_time, FIELD_U64),
	STATE_FIELDS_END,
};

static const struct state_field pit_fields[] = {
	STATE_STRUCTS(struct kvm_pit_state2, channels, 3, pit_channel_fields, sizeof(struct kvm_pit_channel_state)),
	STATE_FIELD(struct kvm_pit_state2, flags, FIELD_HEX32),
	STATE_FIELDS_END,
};

#define CHIP(member)                                                            \
	{                                                                       \
		.name = #member, .type = FIELD_BYTES, .count = 512,             \
		.offset = (uint32_t)offsetof(struct irqchip_state, member.chip) \
	}
_Static_assert(sizeof(((struct kvm_irqchip *)0)->chip) == 512, "a chip's state is a blob of 512 bytes");

const struct state_field irqchip_state_fields[] = {
	CHIP(pic_master), CHIP(pic_slave),
	CHIP(ioapic),     STATE_STRUCTS(struct irqchip_state, pit, 1, pit_fields, sizeof(struct kvm_pit_state2)),
	STATE_FIELDS_END,
};

const struct state_field clock_state_fields[] = {
	STATE_FIELD(struct kvm_clock_data, clock, FIELD_U64),
	STATE_FIELD(struct kvm_clock_data, flags, FIELD_HEX32),
	STATE_FIELD(struct kvm_clock_data, realtime, FIELD_U64),
	STATE_FIELD(struct kvm_clock_data, host_tsc, FIELD_U64),
	STATE_FIELDS_END,
};
/* NOLINTEND(bugprone-macro-parentheses) */

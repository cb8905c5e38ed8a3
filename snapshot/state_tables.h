/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of fields of what KVM keeps: how a vCPU, the interrupt chips and the clock look in state.json.
 */
#ifndef EMBER_SNAPSHOT_STATE_TABLES_H
#define EMBER_SNAPSHOT_STATE_TABLES_H

#include "devices/device.h"

extern const struct state_field vcpu_state_fields[];    /* of struct vcpu_state */
extern const struct state_field irqchip_state_fields[]; /* of struct irqchip_state, but for the chips' numbers */
extern const struct state_field clock_state_fields[];   /* of struct kvm_clock_data */

#endif

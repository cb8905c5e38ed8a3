/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files that make ACPI tables: not for callers outside kvm/acpi.
 */
#ifndef EMBER_KVM_ACPI_ACPI_PARTS_H
#define EMBER_KVM_ACPI_ACPI_PARTS_H

#include "kvm/acpi/aml.h"
#include "kvm/acpi/tables.h"

/* The code of the DSDT, after its header. */
void acpi_write_dsdt(struct aml *aml, const struct acpi_machine *machine);

#endif

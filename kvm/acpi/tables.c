/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables, one after another: RSDP, XSDT, FADT, MADT, DSDT. Each begins on 16 bytes and carries a checksum that
 * makes its bytes sum to zero.
 *
 * The machine is hardware-reduced (ACPI 6.4, 4.1): no SCI, no PM timer, no fixed buttons; it is put to sleep through
 * the sleep control register and reset through the reset register. Interrupts need no overrides: each GSI is the IOAPIC
 * pin of its number, edge-triggered and active high unless a device's resources say otherwise, and KVM has the PIT on
 * pin 0 where no override would look for it.
 */
#include "kvm/acpi/tables.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/acpi/acpi_parts.h"
#include "kvm/cleanup.h"

#define TABLE_ALIGN      16U
#define OEM_ID           "EMBER "
#define OEM_TABLE_ID     "EMBERVM "
#define CREATOR_ID       "EMBR"
#define REVISION         1
#define SPACE_PORTS      1 /* generic address: system I/O */
#define ACCESS_BYTE      1
#define LAPIC_GPA        0xfee00000U
#define IOAPIC_GPA       0xfec00000U
#define LAPIC_ENABLED    1U
#define ALL_PROCESSORS   0xff
#define LINT_NMI         1
#define MADT_PCAT_COMPAT 1U /* there are PICs, too */

#define FADT_REVISION       6
#define FADT_MINOR_REVISION 4
#define FADT_WBINVD         (1U << 0)
#define FADT_NO_PWR_BUTTON  (1U << 4) /* no fixed one */
#define FADT_NO_SLP_BUTTON  (1U << 5)
#define FADT_RESET_REG      (1U << 10)
#define FADT_HEADLESS       (1U << 12)
#define FADT_HW_REDUCED     (1U << 20)

#define BOOT_NO_VGA  (1U << 2)
#define BOOT_NO_MSI  (1U << 3)
#define BOOT_NO_ASPM (1U << 4)
#define BOOT_NO_RTC  (1U << 5)

struct rsdp { /* ACPI 6.4, 5.2.5.3 */
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_gpa;
	uint32_t length;
	uint64_t xsdt_gpa;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct rsdp) == 36, "the RSDP");

struct header { /* 5.2.6 */
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
static_assert(sizeof(struct header) == 36, "a table's header");

struct xsdt { /* 5.2.8 */
	struct header header;
	uint64_t tables[2];
} __attribute__((packed));

struct generic_address { /* 5.2.3.2 */
	uint8_t space;
	uint8_t bits;
	uint8_t bit_offset;
	uint8_t access;
	uint64_t address;
} __attribute__((packed));

struct fadt { /* 5.2.9; what a hardware-reduced machine ignores is reserved here */
	struct header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved_1[65];
	uint16_t boot_architecture;
	uint8_t reserved_2;
	uint32_t flags;
	struct generic_address reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_architecture;
	uint8_t minor_revision;
	uint64_t x_facs;
	uint64_t x_dsdt;
	uint8_t reserved_3[96];
	struct generic_address sleep_control;
	struct generic_address sleep_status;
	char hypervisor_id[8];
} __attribute__((packed));
static_assert(sizeof(struct fadt) == 276, "the FADT of ACPI 6.4");
static_assert(offsetof(struct fadt, flags) == 112 && offsetof(struct fadt, x_dsdt) == 140 &&
		      offsetof(struct fadt, sleep_control) == 244,
	      "its fields have their places");

struct madt_lapic { /* 5.2.12.2 */
	uint8_t type;
	uint8_t length;
	uint8_t processor;
	uint8_t apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic { /* 5.2.12.3 */
	uint8_t type;
	uint8_t length;
	uint8_t id;
	uint8_t reserved;
	uint32_t gpa;
	uint32_t first_gsi;
} __attribute__((packed));

struct madt_lapic_nmi { /* 5.2.12.7 */
	uint8_t type;
	uint8_t length;
	uint8_t processor;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

struct madt { /* 5.2.12 */
	struct header header;
	uint32_t lapic_gpa;
	uint32_t flags;
	struct madt_ioapic ioapic;
	struct madt_lapic_nmi nmi;
	struct madt_lapic lapics[ACPI_VCPUS_MAX]; /* as many as there are vCPUs */
} __attribute__((packed));

/* The bytes so far. */
struct builder {
	const struct acpi_machine *machine;
	uint8_t *bytes;
	size_t size;
};

static uint8_t checksum(const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + byte[i]);
	return (uint8_t)(0 - sum);
}

static struct header make_header(const char signature[4], uint8_t revision, size_t length)
{
	struct header header = {
		.length = (uint32_t)length,
		.revision = revision,
		.oem_revision = REVISION,
		.creator_revision = REVISION,
	};

	memcpy(header.signature, signature, sizeof(header.signature));
	memcpy(header.oem_id, OEM_ID, sizeof(header.oem_id));
	memcpy(header.oem_table_id, OEM_TABLE_ID, sizeof(header.oem_table_id));
	memcpy(header.creator_id, CREATOR_ID, sizeof(header.creator_id));
	return header;
}

/* Take length bytes for the next table; what is skipped to align it is zero. NULL: no room. */
static void *take(struct builder *builder, size_t length)
{
	size_t start = (builder->size + TABLE_ALIGN - 1) / TABLE_ALIGN * TABLE_ALIGN;

	if (start > builder->machine->tables_size || length > builder->machine->tables_size - start)
		return NULL;
	memset(builder->bytes + builder->size, 0, start + length - builder->size);
	builder->size = start + length;
	return builder->bytes + start;
}

/* Add a whole table, whose checksum is still 0. */
static int add(struct builder *builder, const void *table, size_t length, uint64_t *ret_gpa)
{
	struct header *placed = take(builder, length);

	if (!placed)
		return -ENOSPC;
	memcpy(placed, table, length);
	placed->checksum = checksum(placed, length);
	*ret_gpa = builder->machine->tables_gpa + (uint64_t)((uint8_t *)placed - builder->bytes);
	return 0;
}

static int add_dsdt(struct builder *builder, uint64_t *ret_gpa)
{
	struct header *placed = take(builder, sizeof(*placed));
	struct aml aml;
	size_t size;
	int result;

	if (!placed)
		return -ENOSPC;
	aml_init(&aml, builder->bytes + builder->size, builder->machine->tables_size - builder->size);
	acpi_write_dsdt(&aml, builder->machine);
	result = aml_finish(&aml, &size);
	if (result < 0)
		return result;

	builder->size += size;
	*placed = make_header("DSDT", 2, sizeof(*placed) + size); /* 2: integers are 64 bits */
	placed->checksum = checksum(placed, placed->length);
	*ret_gpa = builder->machine->tables_gpa + (uint64_t)((uint8_t *)placed - builder->bytes);
	return 0;
}

static struct generic_address byte_port(uint16_t port)
{
	return (struct generic_address){ .space = SPACE_PORTS, .bits = 8, .access = ACCESS_BYTE, .address = port };
}

static int add_fadt(struct builder *builder, uint64_t dsdt_gpa, uint64_t *ret_gpa)
{
	const struct acpi_machine *machine = builder->machine;
	const struct fadt fadt = {
		.header = make_header("FACP", FADT_REVISION, sizeof(fadt)),
		.dsdt = (uint32_t)dsdt_gpa,
		.x_dsdt = dsdt_gpa,
		.boot_architecture = BOOT_NO_VGA | BOOT_NO_MSI | BOOT_NO_ASPM | BOOT_NO_RTC,
		.flags = FADT_WBINVD | FADT_NO_PWR_BUTTON | FADT_NO_SLP_BUTTON | FADT_RESET_REG | FADT_HEADLESS |
			 FADT_HW_REDUCED,
		.reset_register = byte_port(machine->reset_port),
		.reset_value = machine->reset_value,
		.minor_revision = FADT_MINOR_REVISION,
		.sleep_control = byte_port(machine->sleep_port),
		.sleep_status = byte_port((uint16_t)(machine->sleep_port + 1)),
		.hypervisor_id = "EMBER",
	};

	return add(builder, &fadt, sizeof(fadt), ret_gpa);
}

static int add_madt(struct builder *builder, uint64_t *ret_gpa)
{
	uint32_t vcpus = builder->machine->vcpus;
	size_t length = offsetof(struct madt, lapics) + vcpus * sizeof(struct madt_lapic);
	struct madt madt = {
		.header = make_header("APIC", 5, length),
		.lapic_gpa = LAPIC_GPA,
		.flags = MADT_PCAT_COMPAT,
		.ioapic = { .type = 1, .length = sizeof(madt.ioapic), .gpa = IOAPIC_GPA },
		.nmi = { .type = 4, .length = sizeof(madt.nmi), .processor = ALL_PROCESSORS, .lint = LINT_NMI },
	};

	for (uint32_t i = 0; i < vcpus; i++)
		madt.lapics[i] = (struct madt_lapic){
			.length = sizeof(struct madt_lapic),
			.processor = (uint8_t)i,
			.apic_id = (uint8_t)i,
			.flags = LAPIC_ENABLED,
		};
	return add(builder, &madt, length, ret_gpa);
}

static int add_xsdt(struct builder *builder, uint64_t fadt_gpa, uint64_t madt_gpa, uint64_t *ret_gpa)
{
	const struct xsdt xsdt = {
		.header = make_header("XSDT", REVISION, sizeof(xsdt)),
		.tables = { fadt_gpa, madt_gpa },
	};

	return add(builder, &xsdt, sizeof(xsdt), ret_gpa);
}

static struct rsdp make_rsdp(uint64_t xsdt_gpa)
{
	struct rsdp rsdp = { .revision = 2, .length = sizeof(rsdp), .xsdt_gpa = xsdt_gpa };

	memcpy(rsdp.signature, "RSD PTR ", sizeof(rsdp.signature));
	memcpy(rsdp.oem_id, OEM_ID, sizeof(rsdp.oem_id));
	rsdp.checksum = checksum(&rsdp, offsetof(struct rsdp, length));
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	return rsdp;
}

static int check_gsi(const char *member, uint32_t gsi, struct error_detail *detail)
{
	if (gsi <= ACPI_GSI_MAX)
		return 0;
	error_detail_set(detail, "%s: %" PRIu32 " is not 0 to %d", member, gsi, ACPI_GSI_MAX);
	return -EINVAL;
}

static int check_virtio(const struct acpi_machine *machine, struct error_detail *detail)
{
	int result = 0;

	if (machine->virtio_count > ACPI_VIRTIO_MAX) {
		error_detail_set(detail, "virtio_count: %" PRIu32 " is more than %d", machine->virtio_count,
				 ACPI_VIRTIO_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < machine->virtio_count && result == 0; i++) {
		result = check_gsi("virtio.gsi", machine->virtio[i].gsi, detail);
		if (result == 0 && (machine->virtio[i].size == 0 ||
				    machine->virtio[i].size - 1 > UINT32_MAX - machine->virtio[i].gpa)) {
			error_detail_set(detail, "virtio: 0x%" PRIx32 " bytes at 0x%" PRIx32 " are empty or wrap",
					 machine->virtio[i].size, machine->virtio[i].gpa);
			result = -EINVAL;
		}
	}

	return result;
}

static int check_machine(const struct acpi_machine *machine, struct error_detail *detail)
{
	int result;

	if (machine->vcpus < 1 || machine->vcpus > ACPI_VCPUS_MAX) {
		error_detail_set(detail, "vcpus: %" PRIu32 " is not 1 to %d", machine->vcpus, ACPI_VCPUS_MAX);
		return -EINVAL;
	}
	if (machine->tables_gpa % TABLE_ALIGN != 0 || machine->tables_gpa > UINT32_MAX ||
	    machine->tables_size > UINT32_MAX - machine->tables_gpa) {
		error_detail_set(detail, "tables_gpa: 0x%" PRIx64 " is not on 16 bytes below 4 GiB",
				 machine->tables_gpa);
		return -EINVAL;
	}
	if (machine->sleep_port == 0 || machine->sleep_port == UINT16_MAX || machine->reset_port == 0) {
		error_detail_set(detail, "sleep_port and reset_port: a machine has to have both");
		return -EINVAL;
	}

	result = check_gsi("com1_gsi", machine->com1_gsi, detail);
	if (result == 0)
		result = check_gsi("power_button_gsi", machine->power_button_gsi, detail);
	if (result == 0)
		result = check_gsi("generation_id_gsi", machine->generation_id_gsi, detail);
	return result == 0 ? check_virtio(machine, detail) : result;
}

int acpi_build_tables(const struct acpi_machine *machine, uint8_t *ret_bytes, size_t *ret_size,
		      struct error_detail *detail)
{
	struct builder builder = { .machine = machine, .bytes = ret_bytes };
	uint64_t dsdt_gpa = 0, fadt_gpa = 0, madt_gpa = 0, xsdt_gpa = 0;
	struct rsdp *rsdp;
	int result;

	result = check_machine(machine, detail);
	if (result < 0)
		return result;

	rsdp = take(&builder, sizeof(*rsdp));
	result = rsdp ? add_dsdt(&builder, &dsdt_gpa) : -ENOSPC;
	if (result == 0)
		result = add_fadt(&builder, dsdt_gpa, &fadt_gpa);
	if (result == 0)
		result = add_madt(&builder, &madt_gpa);
	if (result == 0)
		result = add_xsdt(&builder, fadt_gpa, madt_gpa, &xsdt_gpa);
	if (result < 0) {
		error_detail_set(detail, "ACPI tables: %s", strerrordesc_np(-result));
		return result;
	}

	*rsdp = make_rsdp(xsdt_gpa);
	*ret_size = builder.size;
	return 0;
}

int acpi_write_tables(struct guest_memory *memory, const struct acpi_machine *machine, struct error_detail *detail)
{
	cleanup_free uint8_t *bytes = malloc(machine->tables_size);
	size_t size;
	int result;

	if (!bytes)
		return -ENOMEM;
	result = acpi_build_tables(machine, bytes, &size, detail);
	if (result < 0)
		return result;

	result = guest_memory_write(memory, machine->tables_gpa, bytes, size);
	if (result < 0)
		error_detail_set(detail, "ACPI tables: no memory at 0x%" PRIx64, machine->tables_gpa);
	return result;
}

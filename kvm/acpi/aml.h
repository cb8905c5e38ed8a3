/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing AML, the byte code of ACPI tables: ACPI 6.4, chapter 20.
 *
 * A writer keeps its first error and does nothing after it, so that only aml_finish() need be asked. Blocks (devices,
 * methods, packages, ...) nest between a *_begin() and aml_end().
 */
#ifndef EMBER_KVM_ACPI_AML_H
#define EMBER_KVM_ACPI_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH_MAX 8

struct aml_block {
	size_t start; /* of what its length counts */
	bool is_resources;
};

struct aml {
	uint8_t *bytes;
	size_t capacity;
	size_t size; /* bytes in use */
	int error;   /* 0, or the first -errno */
	size_t depth;
	struct aml_block blocks[AML_DEPTH_MAX];
};

/* Write to a buffer of capacity bytes, which stays the caller's. */
void aml_init(struct aml *aml, uint8_t *bytes, size_t capacity);

/*
 * Returns 0; -ENOSPC (the buffer is too small); -EINVAL (a name or a string that AML cannot hold, or a block that was
 * not ended or not begun); -E2BIG (blocks nest too deep, or one is longer than AML can say). ret_size is how many bytes
 * were written.
 */
int aml_finish(const struct aml *aml, size_t *ret_size);

/*
 * Blocks. A path is as in ASL: "\\_SB", "GED0", "\\_SB.PWRB", "^PWRB"; names of fewer than four characters are padded
 * with '_'.
 *
 * argument_count  0 .. 7
 * element_count   how many objects follow in the package, at most 255
 */
void aml_scope_begin(struct aml *aml, const char *path);
void aml_device_begin(struct aml *aml, const char *path);
void aml_method_begin(struct aml *aml, const char *path, unsigned int argument_count);
void aml_if_argument_is_begin(struct aml *aml, unsigned int argument, uint64_t value); /* If (ArgN == value) */
void aml_package_begin(struct aml *aml, unsigned int element_count);
void aml_end(struct aml *aml);

/* Name (path, ...): one object follows. */
void aml_name(struct aml *aml, const char *path);

/* Objects. */
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text); /* ASCII */
void aml_eisa_id(struct aml *aml, const char *id);  /* "PNP0501" */

/* Notify (path, value), in a method. */
void aml_notify(struct aml *aml, const char *path, uint64_t value);

/*
 * A resource template as an object: descriptors until aml_end(). ACPI 6.4, 6.4. Interrupts are edge-triggered, active
 * high, and not shared.
 */
void aml_resources_begin(struct aml *aml);
void aml_resource_ports(struct aml *aml, uint16_t base, uint8_t count);
void aml_resource_memory(struct aml *aml, uint32_t base, uint32_t size);
void aml_resource_interrupt(struct aml *aml, uint32_t gsi);

#endif

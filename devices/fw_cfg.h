/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files from the host that a guest can read: a QEMU firmware configuration device (QEMU, docs/specs/fw_cfg.rst),
 * read-only and without DMA, at two I/O ports.
 *
 * Linux shows them below /sys/firmware/qemu_fw_cfg/by_name/ (module qemu_fw_cfg).
 */
#ifndef EMBER_DEVICES_FW_CFG_H
#define EMBER_DEVICES_FW_CFG_H

#include "devices/device.h"
#include "devices/generation_id.h"

#define FW_CFG_PORT       0x510 /* the selector, 16 bits; data follows it, a byte at a time */
#define FW_CFG_PORT_COUNT 2

/*
 * A document that the VM's request gives, zero-padded to this size: a guest's driver reads sizes once, and so a clone
 * finds another document where it found the first.
 */
#define FW_CFG_METADATA_FILE "opt/ember/metadata"
#define FW_CFG_METADATA_SIZE 3072

/* The VM generation ID, as it is now; GENERATION_ID_SIZE bytes. */
#define FW_CFG_GENERATION_ID_FILE "opt/ember/generation_id"

struct fw_cfg; /* begins with a struct device */

extern const struct device_ops fw_cfg_ops;

/*
 * Make the device, with empty metadata. Register device offset 0 at FW_CFG_PORT, FW_CFG_PORT_COUNT ports.
 *
 * generation  outlives the device
 *
 * Returns 0 or -ENOMEM. The caller (a bus) ends it through its ops.
 */
int fw_cfg_new(struct generation_id *generation, struct fw_cfg **ret_device);
struct device *fw_cfg_device(struct fw_cfg *fw_cfg);

/*
 * Give the guest a document, instead of what it had. Any thread; to be done before a boot, or after a restore, which
 * brings back the snapshot's, and before the run, so that nobody reads half of each.
 *
 * bytes  copied; any bytes, size of them, at most FW_CFG_METADATA_SIZE
 *
 * Returns 0 or -EFBIG.
 */
int fw_cfg_set_metadata(struct fw_cfg *fw_cfg, const void *bytes, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of every format that there has been must keep loading. golden/format-N/state.json is of a real VM of two
 * vCPUs whose guest had put patterns into its registers (tests/kvm/snapshot/guests/registers.h); it is never written
 * anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "kvm/msr.h"
#include "snapshot/state_json.h"

static struct vm_state state;
static struct snapshot_metadata metadata;
static struct memory_checksums checksums;
static struct error_detail detail;

static int open_golden(const char *format)
{
	char path[512];
	int file;

	(void)snprintf(path, sizeof(path), GOLDEN_FOLDER "/%s/state.json", format);
	file = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(file, 0, "%s: %s", path, strerror(errno));
	return file;
}

static void load_golden(int file)
{
	cr_assert_eq(state_json_load(file, &state, &metadata, &checksums, &detail), 0, "%s", detail.text);
}

Test(golden, format_1_loads)
{
	int file = open_golden("format-1");
	const struct vcpu_state *vcpu = &state.vcpus[0];

	load_golden(file);
	cr_assert_str_eq(metadata.ember_version, "0.1.0");
	cr_assert_eq(state.vcpu_count, 2);
	cr_assert_eq(state.memory_size, 4 << 20);
	cr_assert_eq(state.cpu_template, CPU_TEMPLATE_HOST);
	cr_assert_eq(checksums.count, 4);
	cr_assert_eq(checksums.values[3], 0);
	cr_assert_neq(checksums.values[0], 0);

	cr_assert_eq(vcpu->regs.rax, UINT64_C(0xa0a1a2a3a4a5a600));
	cr_assert_eq(vcpu->regs.r15, UINT64_C(0x111111111111110f));
	cr_assert_eq(vcpu->regs.rflags & 0x240400, 0x240400);
	cr_assert_eq(vcpu->sregs.cr2, UINT64_C(0xdeadbeef5000));
	cr_assert_eq(vcpu->sregs.fs.base, UINT64_C(0x1f1f1f1f1f10));
	cr_assert_eq(vcpu->sregs.tr.selector, 0x28);
	cr_assert_eq(vcpu->debugregs.db[3], UINT64_C(0xd00d00003000));
	cr_assert_eq(msr_find(&vcpu->msrs, 0xc0000082)->data, UINT64_C(0xffff800082828282));
	cr_assert_eq(vcpu->xcrs.nr_xcrs, 1);
	cr_assert_eq(vcpu->xsave_size, metadata.host_xsave_size);
	cr_assert_eq(vcpu->lapic.regs[0x80], 0x70, "TPR follows CR8");
	cr_assert_eq(state.vcpus[1].mp_state.mp_state, KVM_MP_STATE_UNINITIALIZED);
	cr_assert_eq(state.irqchip.pic_master.chip.pic.irq_base, 0x20);
	cr_assert_eq(state.irqchip.ioapic.chip.ioapic.base_address, UINT64_C(0xfec00000));
	cr_assert_eq(state.device_count, 3);
	cr_assert_str_eq(state.devices[0].name, "serial");
	(void)close(file);
}

/* While format 1 is the newest: what is written of it is the same text, byte for byte. */
Test(golden, format_1_is_what_is_written)
{
	int file = open_golden("format-1");
	int again = memfd_create("again", MFD_CLOEXEC);
	struct stat status;
	char *texts[2];
	uint64_t crc;

	load_golden(file);
	cr_assert_eq(state_json_write(again, &state, &metadata, &checksums, &crc, &detail), 0, "%s", detail.text);
	cr_assert_eq(crc, metadata.state_crc64);
	cr_assert_eq(fstat(file, &status), 0);
	cr_assert_eq(lseek(again, 0, SEEK_END), status.st_size);
	for (size_t i = 0; i < 2; i++) {
		texts[i] = malloc((size_t)status.st_size);
		cr_assert_not_null(texts[i]);
		cr_assert_eq(pread(i ? again : file, texts[i], (size_t)status.st_size, 0), status.st_size);
	}
	cr_assert_arr_eq(texts[0], texts[1], (size_t)status.st_size);
	free(texts[0]);
	free(texts[1]);
	(void)close(file);
	(void)close(again);
}

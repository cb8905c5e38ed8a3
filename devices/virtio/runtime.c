/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What virtio devices ask of the kernel beyond kvm_runtime_syscalls[], once they are made: to be configured, to serve,
 * to rest, and to end. For a worker's syscall filter; kept beside the code that needs it.
 */
#include <sys/syscall.h>

#include "devices/virtio/virtio.h"

const int virtio_runtime_syscalls[] = {
	SYS_ppoll,                     /* a device's thread waits; io_thread.c */
	SYS_read,      SYS_write,      /* eventfds: wake-ups, interrupts */
	SYS_getrandom,                 /* rng.c */
	SYS_fstat,     SYS_newfstatat, /* images and overlays, when a disk is configured; blk/disk.c, blk/overlay.c */
	SYS_ftruncate,                 /* a new overlay */
	SYS_pread64,   SYS_pwrite64,   /* blk/file.c, as what follows */
	SYS_preadv,    SYS_pwritev,    SYS_fallocate, SYS_fdatasync, SYS_close, /* files, at the end of a disk */
};

const size_t virtio_runtime_syscall_count = sizeof(virtio_runtime_syscalls) / sizeof(virtio_runtime_syscalls[0]);

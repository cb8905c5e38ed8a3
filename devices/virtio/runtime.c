/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What virtio devices ask of the kernel beyond kvm_runtime_syscalls[], once they are made: to be configured, to serve,
 * to rest, and to end. For a worker's syscall filter; kept beside the code that needs it.
 */
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "devices/virtio/virtio.h"

const int virtio_runtime_syscalls[] = {
	SYS_ppoll,                                  /* a device's thread waits; io_thread.c */
	SYS_read,      SYS_write,                   /* eventfds: wake-ups, interrupts */
	SYS_getrandom,                              /* rng.c */
	SYS_fstat,     SYS_ftruncate,               /* images and overlays, when a disk is configured or kept */
	SYS_pread64,   SYS_pwrite64,                /* blk/file.c */
	SYS_preadv,    SYS_pwritev,                 /* the same, for guest memory */
	SYS_fallocate, SYS_fdatasync,               /* zeros and discards; flushes */
	SYS_accept4,   SYS_shutdown,                /* vsock/ */
	SYS_sendto,    SYS_recvfrom,                /* the same */
	SYS_recvmsg,   SYS_sched_yield,             /* the same, for guest memory; between two rounds */
	SYS_ioctl,     SYS_readv,       SYS_writev, /* net/: virtio_runtime_ioctls[]; frames */
	SYS_close,                                  /* files and sockets, when they are done with */
};

const size_t virtio_runtime_syscall_count = sizeof(virtio_runtime_syscalls) / sizeof(virtio_runtime_syscalls[0]);

const unsigned long virtio_runtime_ioctls[] = {
	TUNSETOFFLOAD, /* what a network driver has negotiated; net/net.c */
};

const size_t virtio_runtime_ioctl_count = sizeof(virtio_runtime_ioctls) / sizeof(virtio_runtime_ioctls[0]);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the test program and the processes of emberd-fault share: a file in memory that all of them have mapped. The processes
 * record there which call sites they come by; the test names the one that is to fail.
 *
 * A site is a place in a kind of process that calls a function of functions.h. The place is the return addresses of the
 * frames above the call that are emberd's own, so many as the test asks for: with one, a call in a helper function is one site
 * whoever calls the helper. What a library allocates counts as its caller's. Calls that one place makes for several
 * purposes (ioctl(2), fcntl(2), prctl(2), syscall(2)) are told apart by their number.
 */
#ifndef EMBER_TESTS_FAULT_PAGE_H
#define EMBER_TESTS_FAULT_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

#define FAULT_PAGE_VARIABLE "EMBER_FAULT_PAGE" /* the path of the file */
#define FAULT_SITES_MAX     16384              /* a power of two; the table is open addressed */
#define FAULT_FRAMES_MAX    4
#define FAULT_KIND_MAX      16

struct fault_site {
	_Atomic uint64_t key; /* 0: free */
	uint32_t function;    /* index in FUNCTIONS */
	uint32_t step;        /* of the script, at the first call */
	uint64_t number;      /* of the ioctl, the system call, ...; 0: of no interest */
	uint64_t frames[FAULT_FRAMES_MAX];
	char kind[FAULT_KIND_MAX]; /* the process's name: "emberd", "ember-worker", ... */
	_Atomic uint32_t complete; /* the members above are filled */
};

struct fault_page {
	uint32_t frames;          /* how many make a site: 1 to FAULT_FRAMES_MAX */
	_Atomic uint32_t step;    /* what the script is at */
	_Atomic uint64_t target;  /* the key of the site that fails; 0: none */
	_Atomic int32_t error;    /* with which errno(3) */
	_Atomic int32_t calls;    /* to let pass before */
	_Atomic uint32_t failed;  /* calls that were made to fail */
	_Atomic uint32_t dropped; /* sites that found no room */
	struct fault_site sites[FAULT_SITES_MAX];
};

#endif

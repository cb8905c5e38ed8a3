/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam: what stands in the place of every function of functions.h in emberd-fault.
 *
 * The linker turns each call of NAME in our objects into one of __wrap_NAME, which is a few instructions that keep all
 * arguments, ask seam_call() and then either go on in NAME itself or return a failure. So no function's type matters here, nor
 * how many arguments it takes. The libraries that take an allocator are given the wrapped one; their other calls are not ours.
 *
 * This runs in confined processes, in threads and right after a fork: it makes no system call, takes no lock and
 * allocates nothing. The page is mapped before main().
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include "functions.h"
#include "page.h"

#define STACK_MAX 64 /* frames that are looked at */

/* How a failure is told. */
enum seam_way {
	WAY_MINUS_ONE,   /* -1 and errno; MAP_FAILED is the same */
	WAY_NULL,        /* NULL and errno */
	WAY_NUMBER,      /* the errno itself */
	WAY_MINUS_ERROR, /* the errno itself, negative */
	WAY_ZERO,        /* 0 */
	WAY_MINUS_FOUR,  /* Z_MEM_ERROR */
	WAY_FIVE,        /* LZMA_MEM_ERROR */
	WAY_AFTER,       /* -1 and errno, but done all the same: a descriptor that close(2) complains of is closed */
};

/* The general registers of a call, as the trampoline saved them. */
struct seam_call {
	uint64_t rax, r9, r8, rcx, rdx, rsi, rdi;
};

struct seam_answer {
	uint64_t fail; /* 1: return the value; 0: go on */
	int64_t value;
};

/* Called by the trampolines. */
struct seam_answer seam_call(uint64_t function, const struct seam_call *call, uint64_t return_address);

int __real_close(int file);
int __real_munmap(void *start, size_t size);

extern const char __executable_start[]; /* of the linker, as is etext */
extern const char etext[];

#define INDEX(name, ...) INDEX_##name,
enum { FUNCTIONS(INDEX) FUNCTION_COUNT };
#undef INDEX

#define WAY(name, way, ...) way,
static const uint8_t ways[] = { FUNCTIONS(WAY) };
#undef WAY

static struct fault_page *page;
static char kind[FAULT_KIND_MAX] = "emberd";
static __thread bool busy;

/* ---- trampolines ---- */

/* On the stack from rsp on: what struct seam_call says, one word of padding, the floating-point arguments, rbp, where to return. */
__asm__(".text\n"
	".macro trampoline name, index\n"
	".globl __wrap_\\name\n"
	".type __wrap_\\name, @function\n"
	"__wrap_\\name:\n"
	".cfi_startproc\n"
	"	endbr64\n"
	"	pushq %rbp\n"
	".cfi_def_cfa_offset 16\n"
	".cfi_offset %rbp, -16\n"
	"	movq %rsp, %rbp\n"
	".cfi_def_cfa_register %rbp\n"
	"	subq $136, %rsp\n"
	"	movups %xmm0, (%rsp)\n"
	"	movups %xmm1, 16(%rsp)\n"
	"	movups %xmm2, 32(%rsp)\n"
	"	movups %xmm3, 48(%rsp)\n"
	"	movups %xmm4, 64(%rsp)\n"
	"	movups %xmm5, 80(%rsp)\n"
	"	movups %xmm6, 96(%rsp)\n"
	"	movups %xmm7, 112(%rsp)\n"
	"	pushq %rdi\n"
	"	pushq %rsi\n"
	"	pushq %rdx\n"
	"	pushq %rcx\n"
	"	pushq %r8\n"
	"	pushq %r9\n"
	"	pushq %rax\n"
	"	movl $\\index, %edi\n"
	"	movq %rsp, %rsi\n"
	"	movq 8(%rbp), %rdx\n"
	"	call seam_call\n"
	"	testq %rax, %rax\n"
	"	jne 1f\n"
	"	popq %rax\n"
	"	popq %r9\n"
	"	popq %r8\n"
	"	popq %rcx\n"
	"	popq %rdx\n"
	"	popq %rsi\n"
	"	popq %rdi\n"
	"	movups (%rsp), %xmm0\n"
	"	movups 16(%rsp), %xmm1\n"
	"	movups 32(%rsp), %xmm2\n"
	"	movups 48(%rsp), %xmm3\n"
	"	movups 64(%rsp), %xmm4\n"
	"	movups 80(%rsp), %xmm5\n"
	"	movups 96(%rsp), %xmm6\n"
	"	movups 112(%rsp), %xmm7\n"
	".cfi_remember_state\n"
	"	leave\n"
	".cfi_def_cfa %rsp, 8\n"
	"	jmp __real_\\name@PLT\n"
	"1:\n"
	".cfi_restore_state\n"
	"	movq %rdx, %rax\n"
	"	leave\n"
	".cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".size __wrap_\\name, . - __wrap_\\name\n"
	".endm\n"
	".set seam_index, 0\n"
#define TRAMPOLINE(name, ...)                 \
	".altmacro\n"                         \
	"trampoline " #name ", %seam_index\n" \
	".noaltmacro\n"                       \
	".set seam_index, seam_index + 1\n"
	FUNCTIONS(TRAMPOLINE));

/* ---- sites ---- */

struct walk {
	uint64_t return_address; /* of the call; 0: passed */
	uint64_t *frames;
	uint32_t wanted;
	uint32_t found;
	uint32_t seen;
};

static bool is_ours(uint64_t address)
{
	return address >= (uint64_t)__executable_start && address < (uint64_t)etext;
}

static _Unwind_Reason_Code walk_frame(struct _Unwind_Context *context, void *opaque)
{
	struct walk *walk = opaque;
	uint64_t address = _Unwind_GetIP(context);

	if (++walk->seen > STACK_MAX)
		return _URC_END_OF_STACK;
	if (address == walk->return_address)
		walk->return_address = 0; /* those below are our own */
	if (walk->return_address == 0 && is_ours(address))
		walk->frames[walk->found++] = address - (uint64_t)__executable_start;
	return walk->found == walk->wanted ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

/* What tells purposes of one call apart. */
static uint64_t number_of(uint64_t function, const struct seam_call *call)
{
	switch (function) {
	case INDEX_syscall:
	case INDEX_prctl:
		return call->rdi & UINT32_MAX;
	case INDEX_ioctl:
	case INDEX_fcntl:
		return call->rsi & UINT32_MAX;
	default:
		return 0;
	}
}

static void identify(uint64_t function, const struct seam_call *call, uint64_t return_address,
		     struct fault_site *ret_site)
{
	struct walk walk = { .return_address = return_address, .frames = ret_site->frames, .wanted = page->frames };
	uint64_t hash = function + 1;

	(void)_Unwind_Backtrace(walk_frame, &walk);
	ret_site->function = (uint32_t)function;
	ret_site->number = number_of(function, call);
	memcpy(ret_site->kind, kind, sizeof(kind));
	hash = mix(hash, ret_site->number);
	for (uint32_t i = 0; i < FAULT_FRAMES_MAX; i++)
		hash = mix(hash, ret_site->frames[i]);
	for (size_t i = 0; i < sizeof(kind); i++)
		hash = mix(hash, (uint8_t)kind[i]);
	ret_site->key = hash != 0 ? hash : 1;
}

static void record(const struct fault_site *seen)
{
	for (uint32_t i = 0; i < FAULT_SITES_MAX; i++) {
		struct fault_site *site = &page->sites[(seen->key + i) % FAULT_SITES_MAX];
		uint64_t key = atomic_load(&site->key);

		if (key == 0 && atomic_compare_exchange_strong(&site->key, &key, seen->key)) {
			site->function = seen->function;
			site->number = seen->number;
			site->step = atomic_load(&page->step);
			memcpy(site->frames, seen->frames, sizeof(site->frames));
			memcpy(site->kind, seen->kind, sizeof(site->kind));
			atomic_store(&site->complete, 1);
			return;
		}
		if (key == seen->key)
			return;
	}
	atomic_fetch_add(&page->dropped, 1);
}

/* A process is of the kind that it calls itself. */
static void learn_kind(const struct seam_call *call)
{
	const char *name = (const char *)call->rsi;

	if ((int)call->rdi == PR_SET_NAME && !strncmp(name, "ember-", 6))
		strncpy(kind, name, sizeof(kind) - 1);
}

/*
 * Of what is never made to fail: a wake-up of waiters in this process, by a futex or an eventfd. Nobody else writes eight
 * bytes; an eventfd takes them until 2^64 - 1 have not been read.
 */
static bool cannot_fail(uint64_t function, const struct seam_call *call)
{
	if (function == INDEX_write && call->rdx == sizeof(uint64_t))
		return true;
	return function == INDEX_syscall && call->rdi == SYS_futex && ((int)call->rdx & FUTEX_CMD_MASK) == FUTEX_WAKE;
}

static struct seam_answer fail(uint64_t function, const struct seam_call *call)
{
	int error = atomic_load(&page->error);
	struct seam_answer answer = { .fail = 1, .value = -1 };

	atomic_fetch_add(&page->failed, 1);
	switch ((enum seam_way)ways[function]) {
	case WAY_NUMBER:
		answer.value = error;
		return answer;
	case WAY_MINUS_ERROR:
		answer.value = -error;
		return answer;
	case WAY_MINUS_FOUR:
		answer.value = -4;
		return answer;
	case WAY_FIVE:
		answer.value = 5;
		return answer;
	case WAY_NULL:
	case WAY_ZERO:
		answer.value = 0;
		break;
	case WAY_AFTER:
		if (function == INDEX_close)
			(void)__real_close((int)call->rdi);
		else
			(void)__real_munmap((void *)call->rdi, call->rsi);
		break;
	case WAY_MINUS_ONE:
		break;
	}
	errno = error;
	return answer;
}

struct seam_answer seam_call(uint64_t function, const struct seam_call *call, uint64_t return_address)
{
	struct fault_site seen = { 0 };
	struct seam_answer answer = { 0 };
	int error = errno;

	if (!page || busy)
		return answer;
	if (function == INDEX_prctl)
		learn_kind(call);
	if (cannot_fail(function, call))
		return answer;
	busy = true;
	identify(function, call, return_address, &seen);
	record(&seen);
	errno = error;
	if (atomic_load(&page->target) == seen.key && atomic_fetch_sub(&page->calls, 1) == 0)
		answer = fail(function, call);
	busy = false;
	return answer;
}

__attribute__((constructor)) static void map_page(void)
{
	const char *path = getenv(FAULT_PAGE_VARIABLE);
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped;

	if (file < 0)
		return;
	mapped = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	(void)__real_close(file);
	if (mapped == MAP_FAILED)
		return;
	event_set_mem_functions(malloc, realloc, free);
	json_set_alloc_funcs(malloc, free);
	page = mapped;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which finding of registers.c is in which place of the report, and what is in it.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_REGISTERS_H
#define EMBER_TESTS_KVM_SNAPSHOT_REGISTERS_H

/*
 * General registers: RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 .. R15. AL and DX are such that "out %al, %dx" signals
 * ready.
 */
#define PATTERN_RAX  0xa0a1a2a3a4a5a600
#define PATTERN_RBX  0xb0b1b2b3b4b5b6b7
#define PATTERN_RCX  0xc0c1c2c3c4c5c6c7
#define PATTERN_RDX  0xd0d1d2d3d4d505e0
#define PATTERN_RSI  0x5051525354555657
#define PATTERN_RDI  0xd1d1d2d2d3d3d4d4
#define PATTERN_RBP  0xbababababababab0
#define PATTERN_RSP  0x0000123456789ab8
#define PATTERN_R(n) (0x1111111111111100 + (n))

#define RFLAGS_HELD 0x240400 /* ID, AC and DF: what no instruction of the loop touches */

#define AT_RAX    0
#define AT_RBX    1
#define AT_RCX    2
#define AT_RDX    3
#define AT_RSI    4
#define AT_RDI    5
#define AT_RBP    6
#define AT_RSP    7
#define AT_R8     8 /* and so on to 15 */
#define AT_RFLAGS 16
#define AT_HELD   17 /* how many the assembly writes */

#define AT_CR0       17
#define AT_CR2       18
#define AT_CR3       19
#define AT_CR4       20
#define AT_CR8       21
#define AT_EFER      22
#define AT_GDT_BASE  23
#define AT_GDT_LIMIT 24
#define AT_IDT_BASE  25
#define AT_IDT_LIMIT 26
#define AT_TR        27
#define AT_LDTR      28
#define AT_DS        29
#define AT_ES        30
#define AT_FS        31
#define AT_GS        32
#define AT_SS        33
#define AT_CS        34
#define AT_FS_BASE   35
#define AT_GS_BASE   36
#define AT_DR0       37 /* to DR3 at 40 */
#define AT_DR6       41
#define AT_DR7       42
#define AT_TSC       43
#define AT_COUNT     44

#define PATTERN_CR2       0x0000deadbeef5000
#define PATTERN_CR8       7
#define PATTERN_FS_BASE   0x00001f1f1f1f1f10
#define PATTERN_GS_BASE   0x00002e2e2e2e2e20
#define PATTERN_DR(n)     (0x0000d00d00000000 + ((n) << 12))
#define PATTERN_DR7       0x00330400 /* lengths and kinds of break point 0 and 1; none enabled */
#define PATTERN_GDT_LIMIT 0x4f
#define SELECTOR_DATA     0x10
#define SELECTOR_TSS      0x28
#define SELECTOR_LDT      0x38

#endif

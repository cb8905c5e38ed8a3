/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills its memory from FILL_GPA with the word that the test leaves in `mode`, checks that nobody else's word shows up
 * in it, and goes on until it has done so many times.
 */
#include "writer.h"

#include "base.h"

void guest_main(void)
{
	volatile uint64_t *words = (volatile uint64_t *)FILL_GPA;

	for (unsigned page = 0; page < FILL_PAGES; page++)
		words[page * 512] = FILL_FIRST;
	stand_still();
	for (unsigned page = 0; page < FILL_PAGES; page++)
		report()->values[0] += words[page * 512] == FILL_FIRST;
	for (unsigned round = 0; round < FILL_ROUNDS; round++)
		for (unsigned page = 0; page < FILL_PAGES; page++) {
			report()->values[1] += round > 0 && words[page * 512] != report()->mode + round - 1;
			words[page * 512] = report()->mode + round;
		}
}

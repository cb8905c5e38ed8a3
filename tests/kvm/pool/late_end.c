/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that ends in the moment between a request and the pause that it asks for: in a zygote that is linked with
 * machine_pause() wrapped, each pause lets the guest go to its end first. The worker's thread, which is here, has not
 * heard of it then.
 */
#include <sched.h>

#include "devices/machine.h"
#include "late_end.h"

void __real_machine_pause(struct machine *machine);
void __wrap_machine_pause(struct machine *machine);

void __wrap_machine_pause(struct machine *machine)
{
	if (machine->running) {
		__atomic_store_n(machine->vm.memory.host + LATE_END_FLAG, 1, __ATOMIC_SEQ_CST);
		while (!machine_has_exited(machine))
			(void)sched_yield();
	}
	__real_machine_pause(machine);
}

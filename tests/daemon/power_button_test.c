/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.power_button: the guest is told, as often as it is pressed, and nobody who is not there.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "device_steps.h"
#include "guest.h"

#define PRESSED 22 /* the event that the guest reports */

GUEST_IMAGE(devices_button);

DAEMON_AND_CLIENT(NULL);

static json_t *boot(void)
{
	json_t *started =
		boot_image(&daemon_under_test, client, devices_button_image, devices_button_image_size, json_object());

	perform(client, "vm.wait", "{s:s, s:s}", "vm", text_at(started, "vm"), "for", "ready");
	return started;
}

DAEMON_TEST(power_button, a_guest_is_told_each_time)
{
	json_t *started = boot(), *answer;
	const char *vm = text_at(started, "vm");

	answer = call(client, "vm.power_button", "{s:s}", "vm", vm);
	cr_expect_str_eq(text_at(answer, "state"), "running");
	json_decref(answer);
	wait_event(client, vm, PRESSED, 1);
	perform(client, "vm.power_button", "{s:s}", "vm", vm);
	wait_event(client, vm, PRESSED, 2);
	release_vm(client, vm);
	json_decref(started);
}

/* A VM that stands still finds it pressed when it goes on. */
DAEMON_TEST(power_button, a_paused_guest_is_told_when_it_goes_on)
{
	json_t *started = boot(), *answer;
	const char *vm = text_at(started, "vm");

	perform(client, "vm.pause", "{s:s}", "vm", vm);
	answer = call(client, "vm.power_button", "{s:s}", "vm", vm);
	cr_expect_str_eq(text_at(answer, "state"), "paused");
	json_decref(answer);
	cr_expect_eq(event_count(client, vm, PRESSED), 0);
	perform(client, "vm.resume", "{s:s}", "vm", vm);
	wait_event(client, vm, PRESSED, 1);
	release_vm(client, vm);
	json_decref(started);
}

DAEMON_TEST(power_button, a_vm_that_is_not_there_is_named)
{
	refused(client, RPC_NOT_FOUND, "vm-77", "vm.power_button", "{s:s}", "vm", "vm-77");
}

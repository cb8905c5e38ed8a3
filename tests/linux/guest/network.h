/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test guest's network interface.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_NETWORK_H
#define EMBER_TESTS_LINUX_GUEST_NETWORK_H

/* Give eth0 the address that "ember.net=ADDRESS" names, in a network of 24 bits, and bring it up. */
void guest_network(void);

#endif

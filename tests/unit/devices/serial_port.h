/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serial port under test, with an interrupt line that counts its edges.
 */
#ifndef EMBER_TESTS_UNIT_DEVICES_SERIAL_PORT_H
#define EMBER_TESTS_UNIT_DEVICES_SERIAL_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/serial.h"

#define RBR 0
#define THR 0
#define IER 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

#define MCR_OUT2     0x08
#define MCR_LOOPBACK 0x10

struct serial_port {
	struct serial *serial;
	bool line;                  /* the interrupt line's level */
	unsigned int rises;         /* how often it went from low to high */
	unsigned int sets;          /* how often it was set at all */
	unsigned int announcements; /* calls of output_ready */
};

void serial_port_open(struct serial_port *port, enum serial_overflow overflow);
void serial_port_close(struct serial_port *port);

uint8_t serial_port_get(struct serial_port *port, uint64_t offset);
void serial_port_put(struct serial_port *port, uint64_t offset, uint8_t value);

/* Offer a string from the host; returns how much of it was taken. */
size_t serial_port_type(struct serial_port *port, const char *text);

/* Rises of the line since the last call. */
unsigned int serial_port_new_rises(struct serial_port *port);

/* Save, check against the table of fields, and restore into another port. */
void serial_port_clone(struct serial_port *from, struct serial_port *to);

#endif

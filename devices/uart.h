/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UART chip behind a serial port: its registers, its FIFO, and the wire that input waits on. Not thread-safe:
 * serial.c holds the lock.
 */
#ifndef EMBER_DEVICES_UART_H
#define EMBER_DEVICES_UART_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/byte_queue.h"
#include "devices/device.h"
#include "devices/serial.h"

/* The bits that the registers keep (table II of the data sheet). */
#define UART_IER_TRANSMITTER 0x02
#define UART_IER_BITS        0x0f
#define UART_FCR_ENABLE      0x01
#define UART_FCR_BITS        0xc1 /* enable and trigger level */
#define UART_MCR_BITS        0x1f
#define UART_MSR_DELTAS      0x0f

struct uart {
	struct irq_line irq;
	bool irq_level; /* what the line was last set to */
	uint8_t ier;
	uint8_t fcr; /* UART_FCR_BITS; 0 without FIFOs */
	uint8_t lcr;
	uint8_t mcr;
	uint8_t scr;
	uint16_t divisor;
	uint8_t msr_deltas; /* the inputs' levels follow from mcr */
	bool overrun;
	bool thre_pending;       /* the transmitter's interrupt; never while UART_IER_TRANSMITTER is clear */
	struct byte_queue fifo;  /* received; of capacity 1 without FIFOs: the receiver buffer */
	struct byte_queue input; /* offered by the host, not arrived yet */
	uint8_t fifo_bytes[SERIAL_FIFO_SIZE];
	uint8_t input_bytes[SERIAL_INPUT_SIZE];
};

/* Wire a zeroed UART and bring it to power-on. The line is low. */
void uart_init(struct uart *uart, const struct irq_line *irq);

/* Back to power-on; what waits on the wire is lost. */
void uart_reset(struct uart *uart);

/* A guest's access to the register at offset 0 .. 7. */
uint8_t uart_read(struct uart *uart, uint64_t offset);

/* The same. Returns whether value left through the transmitter. */
bool uart_write(struct uart *uart, uint64_t offset, uint8_t value);

/* Put input on the wire. Returns the number of bytes that it had room for. */
size_t uart_offer_input(struct uart *uart, const uint8_t *data, size_t size);

/* How many characters the receiver holds, with an FCR like this one. */
uint32_t uart_fifo_capacity(uint8_t fcr);

/*
 * After the members were set from a snapshot: bring FIFO and interrupt line in accord with them, the line even if it
 * seems to be so already.
 */
void uart_restored(struct uart *uart);

#endif

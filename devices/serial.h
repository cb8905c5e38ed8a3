/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART: what the guest calls COM1, and the VM's console.
 */
#ifndef EMBER_DEVICES_SERIAL_H
#define EMBER_DEVICES_SERIAL_H

#include <stddef.h>
#include <stdint.h>

#include "devices/device.h"

#define SERIAL_PORT_COM1   0x3f8
#define SERIAL_PORT_COUNT  8
#define SERIAL_IRQ_COM1    4
#define SERIAL_FIFO_SIZE   16
#define SERIAL_INPUT_SIZE  1024    /* bytes of input that the host may have queued ahead of the FIFO */
#define SERIAL_OUTPUT_SIZE 65536UL /* bytes of output kept for readers */

/* What to do with output when nobody has read it and the buffer is full. */
enum serial_overflow {
	SERIAL_DROP_OLDEST = 0, /* keep the most recent SERIAL_OUTPUT_SIZE bytes */
	SERIAL_DROP_NEWEST,     /* keep the first bytes that fit */
};

struct serial; /* begins with a struct device */

struct serial_options {
	struct irq_line irq;
	enum serial_overflow overflow;
	/*
	 * Called, without locks held, on the vCPU's thread that sent the byte, when there is output again after a
	 * serial_read_output() that reached the end of the stream (at first: when there is any). May be NULL.
	 */
	void (*output_ready)(void *opaque);
	void *opaque;
};

extern const struct device_ops serial_ops;

/*
 * Make a UART. Register device offset 0 at eight consecutive ports.
 *
 * options  copied
 *
 * Returns 0 or -ENOMEM. The caller (a bus) ends it through its ops.
 */
int serial_new(const struct serial_options *options, struct serial **ret_serial);
struct device *serial_device(struct serial *serial);

/*
 * Read output from an absolute position in the stream of all that the guest has sent since this VM started. Reading
 * does not consume: several readers may follow one stream. A reset or a restore begins a new stream at position 0.
 * Any thread.
 *
 * offset       position wanted; one that was dropped already moves up to the oldest byte kept
 * size         bytes of room in ret_data
 * ret_offset   position of the first byte returned (= end of stream where nothing is returned)
 * ret_dropped  bytes lost to overflow so far
 *
 * Returns the number of bytes copied.
 */
size_t serial_read_output(struct serial *serial, uint64_t offset, uint8_t *ret_data, size_t size, uint64_t *ret_offset,
			  uint64_t *ret_dropped);

/*
 * Offer input from the host. Goes to the receive FIFO as the guest drains it, from a bounded queue of
 * SERIAL_INPUT_SIZE bytes, which a snapshot keeps. Any thread.
 *
 * Returns the number of bytes taken, from the front of data: 0 when the queue is full.
 */
size_t serial_write_input(struct serial *serial, const uint8_t *data, size_t size);

#endif

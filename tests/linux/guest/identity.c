/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a guest, and the seeding of its random generator that a new one asks for.
 *
 * A kernel with a vmgenid driver would seed by itself when the ACPI notification comes; this one has none, so the
 * generation ID is looked at before anything random is given away. The seed comes from the entropy device. The first
 * bytes that it gives were fetched before the snapshot, and are the same in every clone: the driver and the core hold
 * 64 each. So more are read, and all of them are fed to the generator.
 */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <linux/vm_sockets.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "firmware.h"
#include "hex.h"

#define GENERATION_ID_FILE "opt/ember/generation_id"
#define METADATA_FILE      "opt/ember/metadata"
#define METADATA_MAX       4096
#define RANDOM_SIZE        16
#define SEED_SIZE          512
#define SEED_BITS          256 /* of entropy, that are claimed for it */

struct seed {
	int entropy_count; /* a struct rand_pool_info, with its buffer */
	int buf_size;
	uint8_t bytes[SEED_SIZE];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t generation[GENERATION_ID_SIZE]; /* in which the random generator was seeded last */
static unsigned int reseeds;

static int read_all(const char *path, uint8_t *bytes, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t got = 1;

	if (file < 0)
		return -errno;
	while (done < size && (got = read(file, bytes + done, size - done)) > 0)
		done += (size_t)got;
	(void)close(file);
	if (got < 0)
		return -errno;
	return done == size ? 0 : -EIO;
}

static int reseed(void)
{
	struct seed seed = { .entropy_count = SEED_BITS, .buf_size = SEED_SIZE };
	int result = read_all("/dev/hwrng", seed.bytes, SEED_SIZE);
	int random;

	if (result < 0)
		return result;
	random = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (random < 0)
		return -errno;
	if (ioctl(random, RNDADDENTROPY, &seed) < 0 || ioctl(random, RNDRESEEDCRNG) < 0)
		result = -errno;
	(void)close(random);
	if (result == 0)
		reseeds++;
	return result;
}

void identity_begin(void)
{
	(void)firmware_generation_id(generation);
}

/* Returns 0, or -errno with the step that failed. */
static int enter_generation(uint8_t ret_id[GENERATION_ID_SIZE], const char **ret_step)
{
	int result = firmware_generation_id(ret_id);

	*ret_step = "generation ID";
	if (result < 0 || memcmp(ret_id, generation, GENERATION_ID_SIZE) == 0)
		return result;
	*ret_step = "reseeding";
	result = reseed();
	if (result == 0)
		memcpy(generation, ret_id, GENERATION_ID_SIZE);
	return result;
}

static unsigned int own_cid(void)
{
	int device = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
	unsigned int cid = VMADDR_CID_ANY;

	if (device >= 0) {
		(void)ioctl(device, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid);
		(void)close(device);
	}
	return cid;
}

/* "null", or the address as a JSON text. */
static void describe_mac(char *text, size_t size)
{
	FILE *file = fopen("/sys/class/net/eth0/address", "re");
	char address[32] = "";

	if (file && fgets(address, sizeof(address), file)) {
		address[strcspn(address, "\n")] = '\0';
		(void)snprintf(text, size, "\"%s\"", address);
	} else {
		(void)snprintf(text, size, "null");
	}
	if (file)
		(void)fclose(file);
}

/* As the host wrote it: JSON, zeroes after it. */
static void describe_metadata(char text[METADATA_MAX])
{
	long got = firmware_read(METADATA_FILE, text, METADATA_MAX - 1);

	text[got > 0 ? got : 0] = '\0';
	if (text[0] == '\0')
		(void)strcpy(text, "null"); // NOLINT(clang-analyzer-security.insecureAPI.strcpy): it has room
}

/* The firmware's file, in hexadecimal; empty where there is none. */
static void describe_generation_file(char *text)
{
	uint8_t id[GENERATION_ID_SIZE];

	text[0] = '\0';
	if (firmware_read(GENERATION_ID_FILE, id, sizeof(id)) == (long)sizeof(id))
		(void)hex_text(id, sizeof(id), text);
}

static unsigned long long clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (unsigned long long)now.tv_sec * 1000000000U + (unsigned long long)now.tv_nsec;
}

size_t identity_describe(char text[IDENTITY_TEXT_MAX])
{
	char file_id[2 * GENERATION_ID_SIZE + 1], memory_id[2 * GENERATION_ID_SIZE + 1], random[2 * RANDOM_SIZE + 1];
	uint8_t id[GENERATION_ID_SIZE], bytes[RANDOM_SIZE];
	char mac[40], metadata[METADATA_MAX];
	const char *step;
	int result, length;

	(void)pthread_mutex_lock(&lock);
	result = enter_generation(id, &step);
	if (result == 0) {
		step = "/dev/urandom";
		result = read_all(step, bytes, sizeof(bytes));
	}
	(void)pthread_mutex_unlock(&lock);
	if (result < 0)
		return (size_t)snprintf(text, IDENTITY_TEXT_MAX, "{\"error\": \"%s: %s\"}\n", step, strerror(-result));

	describe_mac(mac, sizeof(mac));
	describe_metadata(metadata);
	describe_generation_file(file_id);
	length = snprintf(text, IDENTITY_TEXT_MAX,
			  "{\"generation_id\": \"%s\", \"generation_id_memory\": \"%s\", \"events\": %lu, "
			  "\"cid\": %u, \"mac\": %s, \"uptime_ns\": %llu, \"realtime_ns\": %llu, "
			  "\"random\": \"%s\", \"reseeds\": %u, \"metadata\": %s}\n",
			  file_id, hex_text(id, sizeof(id), memory_id), firmware_events(), own_cid(), mac,
			  clock_ns(CLOCK_BOOTTIME), clock_ns(CLOCK_REALTIME), hex_text(bytes, sizeof(bytes), random),
			  reseeds, metadata);
	return (size_t)length;
}

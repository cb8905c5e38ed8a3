/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zygote of the pool's tests, where the daemon would exec itself.
 */
#include "pool/pool.h"

int main(int argc, char **argv)
{
	return pool_zygote_main(argc, argv);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stages themselves, for sandbox.c alone. Each returns 0 or -errno, with the reason in error.
 */
#ifndef EMBER_SANDBOX_STAGES_H
#define EMBER_SANDBOX_STAGES_H

#include "sandbox/sandbox.h"

int stage_descriptors(const struct sandbox_policy *policy, struct sandbox_error *error);
int stage_limits(const struct sandbox_policy *policy, struct sandbox_error *error);
int stage_bounding_set(const struct sandbox_policy *policy, struct sandbox_error *error);
int stage_identity(const struct sandbox_policy *policy, struct sandbox_error *error);
int stage_capabilities(const struct sandbox_policy *policy, struct sandbox_error *error);
int stage_process(const struct sandbox_policy *policy, struct sandbox_error *error);
int stage_no_new_privileges(const struct sandbox_policy *policy, struct sandbox_error *error);
int stage_filter(const struct sandbox_policy *policy, struct sandbox_error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What documents say of parameters, in words. For this folder's documents alone.
 */
#ifndef EMBER_PROTO_PARAM_DOCUMENT_H
#define EMBER_PROTO_PARAM_DOCUMENT_H

#include "proto/method.h"

#include <stdio.h>

/* A sentence for each rule, each after a space: " At most one of a and b may be given." rules may be NULL. */
void param_describe_rules(const struct param_rule *rules, FILE *out);

/* What a value may be: "1 to 8", "true or false", "path". */
void param_describe_values(const struct param *param, FILE *out);

#endif

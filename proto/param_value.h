/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of parameters and the paths that name them in errors. For this folder's validation alone.
 */
#ifndef EMBER_PROTO_PARAM_VALUE_H
#define EMBER_PROTO_PARAM_VALUE_H

#include "proto/method.h"

/*
 * Has a value the type, the size and the form that its row asks for? Members of objects are not looked at.
 *
 * path   what errors call the value: "drives[1].path"
 * error  RPC_INVALID_PARAMS with that path as its field; may be NULL
 *
 * Returns 0, the errno of RPC_INVALID_PARAMS, or -ENOMEM (error is set to RPC_INTERNAL_ERROR).
 */
int param_value_check(const struct param *param, const char *path, const json_t *value, struct rpc_error *error);

/* Say that memory is short. Returns -ENOMEM. */
int param_out_of_memory(struct rpc_error *error);

/* A path, as long as an error's field has room for. */
struct param_path {
	char text[RPC_FIELD_SIZE];
};

/* "drives[1].path" of a member of an object; the member's name where object is NULL. */
struct param_path param_member_path(const char *object, const char *member);

/* "drives[1]" of an item of an array. */
struct param_path param_item_path(const char *array, size_t index);

#endif

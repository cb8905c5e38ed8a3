/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods as an OpenRPC document (https://spec.open-rpc.org, version 1.3.2): rpc.discover's answer.
 */
#ifndef EMBER_PROTO_OPENRPC_H
#define EMBER_PROTO_OPENRPC_H

#include "proto/method.h"

#include <jansson.h>

#define OPENRPC_VERSION "1.3.2"

/*
 * Build the document.
 *
 * version       of the API: Ember's own version
 * ret_document  a new reference; the same content at every call, so a server may keep it
 *
 * Returns 0 or -ENOMEM.
 */
int openrpc_document(const char *version, json_t **ret_document);

/*
 * One method as the document shows it, whether or not the table has it.
 *
 * ret_document  a new reference
 *
 * Returns 0 or -ENOMEM.
 */
int openrpc_method_document(const struct method *method, json_t **ret_document);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request's name and parameters to the function that serves it.
 */
#ifndef EMBER_SERVER_DISPATCH_H
#define EMBER_SERVER_DISPATCH_H

#include <jansson.h>

#include "kvm/error_detail.h"
#include "server/call.h"

/* Serves a call: ends it, or keeps it and ends it later (see call.h). */
typedef void dispatch_method(struct call *call);

/*
 * Does the table of implementations hold exactly the methods that the protocol's table names?
 *
 * Returns 0, or -ENOSYS with the first method that is missing on either side.
 */
int dispatch_check(struct error_detail *detail);

/*
 * Serve one request: find the method, check role, parameters and deadline, and call the implementation. Ends, now or
 * later, in exactly one origin->ops->answer().
 *
 * method  as the client sent it
 * params  as the client sent them, or NULL; not consumed
 */
void dispatch(struct server *server, const struct call_origin *origin, const char *method, const json_t *params);

#endif

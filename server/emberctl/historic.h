/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_HISTORIC_H
#define EMBERCTL_HISTORIC_H

#include "emberctl/session.h"

/*
 * "emberctl --snapshot PATH [--vm ID]": snapshot a VM into the folder PATH.
 *
 * vm  NULL: the only VM there is; where there are several they are listed, and nothing is done
 */
enum exit_status historic_snapshot(struct session *session, const char *path, const char *vm);

/* "emberctl --restore PATH": start a VM, detached, from the snapshot in the folder PATH. */
enum exit_status historic_restore(struct session *session, const char *path);

#endif

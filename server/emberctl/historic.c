/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two spellings from before there were commands. Each is one call, made of a path; a snapshot's VM is looked up
 * where it was not named.
 */
#include "emberctl/historic.h"

#include "emberctl/command.h"
#include "emberctl/render.h"
#include "proto/cleanup.h"

#include <stdio.h>

static enum exit_status absolute_path(const char *path, char **ret_path)
{
	if (*path != '\0' && command_absolute_path(path, ret_path) == 0)
		return STATUS_OK;
	fprintf(stderr, "emberctl: \"%s\" is not a path that can be used here\n", path);
	return STATUS_USAGE;
}

static enum exit_status call_and_print(struct session *session, const char *method, const json_t *params)
{
	cleanup_json json_t *result = NULL;
	enum exit_status status;

	if (params == NULL) {
		fprintf(stderr, "emberctl: the path is not UTF-8\n");
		return STATUS_USAGE;
	}
	status = session_call(session, method, params, &result);
	return status == STATUS_OK ? session_print(session, result) : status;
}

/* The id of the only VM, a new reference. */
static enum exit_status find_only_vm(struct session *session, json_t **ret_vm)
{
	cleanup_json json_t *result = NULL;
	enum exit_status status;
	const json_t *vms;

	status = session_call(session, "vm.list", NULL, &result);
	if (status != STATUS_OK)
		return status;
	vms = json_object_get(result, "vms");
	if (json_array_size(vms) == 1) {
		*ret_vm = json_incref(json_object_get(json_array_get(vms, 0), "vm"));
		return STATUS_OK;
	}
	if (json_array_size(vms) == 0) {
		fprintf(stderr, "emberctl: no VM is running: start one with \"emberctl vm boot\"\n");
	} else {
		fprintf(stderr, "emberctl: %zu VMs are running: choose one with --vm\n", json_array_size(vms));
		render_result(result, stderr, false);
	}
	return STATUS_FAILED;
}

enum exit_status historic_snapshot(struct session *session, const char *path, const char *vm)
{
	cleanup_json json_t *params = NULL, *chosen = NULL;
	cleanup_free char *absolute = NULL;
	enum exit_status status;

	status = absolute_path(path, &absolute);
	if (status != STATUS_OK)
		return status;
	if (vm != NULL)
		chosen = json_string(vm);
	else
		status = find_only_vm(session, &chosen);
	if (status != STATUS_OK)
		return status;
	params = json_pack("{s:O, s:s}", "vm", chosen, "path", absolute);
	return call_and_print(session, "vm.snapshot", params);
}

enum exit_status historic_restore(struct session *session, const char *path)
{
	cleanup_json json_t *params = NULL;
	cleanup_free char *absolute = NULL;
	enum exit_status status;

	status = absolute_path(path, &absolute);
	if (status != STATUS_OK)
		return status;
	params = json_pack("{s:s, s:b}", "snapshot_path", absolute, "detach", 1);
	return call_and_print(session, "vm.restore", params);
}

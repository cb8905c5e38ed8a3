/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a page to a list. addr2line(1) names the places; where the build has no line numbers, it says the functions.
 */
#include "sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS(name, way, ...) static const int errors_of_##name[] = { __VA_ARGS__ };
FUNCTIONS(ERRORS)
#undef ERRORS

#define ROW(name, ...) { #name, errors_of_##name, sizeof(errors_of_##name) / sizeof(int) },
const struct function functions[] = { FUNCTIONS(ROW) };
#undef ROW
const size_t function_count = sizeof(functions) / sizeof(functions[0]);

static int compare(const void *left_opaque, const void *right_opaque)
{
	const struct site *left = left_opaque, *right = right_opaque;
	int result = strcmp(left->kind, right->kind);

	if (result == 0 && left->function != right->function)
		result = left->function < right->function ? -1 : 1;
	if (result == 0)
		result = memcmp(left->frames, right->frames, sizeof(left->frames));
	if (result == 0 && left->number != right->number)
		result = left->number < right->number ? -1 : 1;
	return result;
}

/* ---- names ---- */

static void add_text(struct site *site, const char *before, const char *text, const char *after)
{
	size_t length = strlen(site->text);

	(void)snprintf(site->text + length, sizeof(site->text) - length, "%s%s%s", before, text, after);
}

static FILE *open_addresses(const struct site *sites, size_t count, const char *program, char *list)
{
	char command[512];
	FILE *file;
	int fd = mkstemp(list);

	file = fd >= 0 ? fdopen(fd, "we") : NULL;
	if (!file)
		return NULL;
	/* A return address is the instruction after the call, which may be of the next line. */
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < FAULT_FRAMES_MAX && sites[i].frames[j] != 0; j++)
			(void)fprintf(file, "0x%llx\n", (unsigned long long)(sites[i].frames[j] - 1));
	(void)fclose(file);
	(void)snprintf(command, sizeof(command), "addr2line -f -s -e '%s' <'%s' 2>/dev/null", program, list);
	return popen(command, "re"); // NOLINT(cert-env33-c)
}

static void name_places(struct site *sites, size_t count, const char *program)
{
	char list[] = "/tmp/ember-fault-addresses-XXXXXX", function[256], line[256];
	FILE *names = open_addresses(sites, count, program, list);

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < FAULT_FRAMES_MAX && sites[i].frames[j] != 0; j++) {
			if (!names || !fgets(function, sizeof(function), names) || !fgets(line, sizeof(line), names))
				break;
			function[strcspn(function, "\n")] = line[strcspn(line, "\n")] = '\0';
			add_text(&sites[i], j == 0 ? " in " : " < ", function, "");
			if (line[0] != '?')
				add_text(&sites[i], " (", line, ")");
		}
	}
	if (names)
		(void)pclose(names);
	(void)remove(list);
}

size_t sites_read(const struct fault_page *page, const char *program, struct site **ret_sites)
{
	struct site *sites = calloc(FAULT_SITES_MAX, sizeof(*sites));
	size_t count = 0;

	for (size_t i = 0; sites && i < FAULT_SITES_MAX; i++) {
		const struct fault_site *from = &page->sites[i];
		struct site *site = &sites[count];

		if (!atomic_load(&from->complete) || from->function >= function_count)
			continue;
		site->key = atomic_load(&from->key);
		site->function = from->function;
		site->step = from->step;
		site->number = from->number;
		memcpy(site->frames, from->frames, sizeof(site->frames));
		memcpy(site->kind, from->kind, sizeof(site->kind));
		(void)snprintf(site->text, sizeof(site->text), "%s: %s", site->kind, functions[site->function].name);
		if (site->number != 0)
			(void)snprintf(site->text, sizeof(site->text), "%s: %s(%#llx)", site->kind,
				       functions[site->function].name, (unsigned long long)site->number);
		count++;
	}
	if (sites) {
		qsort(sites, count, sizeof(*sites), compare);
		name_places(sites, count, program);
	}
	*ret_sites = sites;
	return count;
}

void sites_print_counts(const struct site *sites, size_t count, FILE *file)
{
	size_t end;

	(void)fprintf(file, "%zu sites\n", count);
	for (size_t i = 0; i < count; i = end) {
		size_t same;

		for (end = i; end < count && !strcmp(sites[end].kind, sites[i].kind);)
			end++;
		(void)fprintf(file, "  %s: %zu:", sites[i].kind, end - i);
		for (size_t j = i; j < end; j = same) {
			for (same = j; same < end && sites[same].function == sites[j].function;)
				same++;
			(void)fprintf(file, " %s %zu", functions[sites[j].function].name, same - j);
		}
		(void)fprintf(file, "\n");
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of parameters in words, for the OpenRPC document and the README.
 */
#include "proto/param_document.h"

#include <inttypes.h>

static void describe_rule(FILE *out, const struct param_rule *rule)
{
	const char *is = rule->value ? " is " : " is given", *value = rule->value ? rule->value : "";

	switch (rule->type) {
	case RULE_EXACTLY_ONE:
		(void)fprintf(out, " Exactly one of %s and %s must be given.", rule->first, rule->second);
		break;
	case RULE_AT_MOST_ONE:
		(void)fprintf(out, " At most one of %s and %s may be given.", rule->first, rule->second);
		break;
	case RULE_NEEDED:
		(void)fprintf(out, " %s must be given when %s%s%s.", rule->first, rule->second, is, value);
		break;
	case RULE_ONLY:
		(void)fprintf(out, " %s may be given only when %s%s%s.", rule->first, rule->second, is, value);
		break;
	}
}

void param_describe_rules(const struct param_rule *rules, FILE *out)
{
	for (const struct param_rule *rule = rules; rule && rule->first; rule++)
		describe_rule(out, rule);
}

static const char *kind_name(enum string_kind kind)
{
	switch (kind) {
	case STRING_TEXT:
		return "text";
	case STRING_NAME:
		return "name";
	case STRING_PATH:
		return "path";
	case STRING_VM_ID:
		return "VM's id";
	case STRING_MAC:
		return "MAC address";
	case STRING_INTERFACE:
		return "interface's name";
	case STRING_PRINTABLE:
		return "printable ASCII without spaces";
	case STRING_CMDLINE:
		return "printable ASCII";
	}

	return "text";
}

/* "1 to 8", "1 to 3072 MiB", "0 or more" */
static void describe_range(const struct param *param, const char *unit, FILE *out)
{
	(void)fprintf(out, "%" PRId64, param->minimum);
	if (param->maximum == INT64_MAX)
		(void)fprintf(out, "%s%s or more", unit ? " " : "", unit ? unit : "");
	else
		(void)fprintf(out, " to %" PRId64 "%s%s", param->maximum, unit ? " " : "", unit ? unit : "");
}

void param_describe_values(const struct param *param, FILE *out)
{
	switch (param->type) {
	case PARAM_BOOL:
		(void)fputs("true or false", out);
		break;
	case PARAM_INT:
		describe_range(param, param->unit, out);
		break;
	case PARAM_STRING:
		(void)fputs(kind_name(param->kind), out);
		if (param->kind == STRING_MAC)
			break;
		(void)fputs(" of ", out);
		describe_range(param, "bytes", out);
		break;
	case PARAM_ENUM:
	case PARAM_ENUM_ARRAY:
		for (size_t i = 0; param->values[i]; i++)
			(void)fprintf(out, "%s%s", i > 0 ? ", " : "", param->values[i]);
		break;
	case PARAM_ID:
		(void)fputs("text or number", out);
		break;
	case PARAM_OBJECT:
		(void)fputs("object", out);
		break;
	case PARAM_OBJECT_ARRAY:
		describe_range(param, "objects", out);
		break;
	case PARAM_JSON:
		(void)fputs("object of ", out);
		describe_range(param, "bytes", out);
		break;
	}
}

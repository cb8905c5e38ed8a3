/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of ember-bench.
 *
 * A scenario is a list of series, the defaults of their load, and which options it takes; all scenarios run through the
 * same load. Series of one run take turns, so that a disturbance of the machine hits all of them.
 */
#include "bench/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Which options a scenario takes, beyond those of every scenario. */
enum takes {
	TAKES_SNAPSHOT = 1 << 0, /* and needs it */
	TAKES_TEMPERATURE = 1 << 1,
	TAKES_LOAD = 1 << 2, /* clients, rate, arrivals, settle */
};

struct scenario {
	const char *name;
	unsigned int takes;
	enum operation operation; /* of scenarios that have a series for each temperature */
	uint64_t count;           /* requests of each series, where nothing bounds them */
	uint64_t warm_up;
	const char *summary;
};

static const struct scenario scenarios[] = {
	{ "restore", TAKES_SNAPSHOT | TAKES_TEMPERATURE | TAKES_LOAD, OPERATION_RESTORE, 200, 2,
	  "restore a snapshot, again and again" },
	{ "boot", TAKES_TEMPERATURE | TAKES_LOAD, OPERATION_BOOT, 50, 1,
	  "boot the demo guest until it is ready, again and again" },
	{ "compare", TAKES_SNAPSHOT, OPERATION_RESTORE, 50, 2,
	  "cold boot, cold restore and warm restore in turn, each from a pool at rest" },
	{ "ping", TAKES_LOAD, OPERATION_PING, 2000, 20, "the least that any call costs" },
};

static const struct series compared[] = {
	{ "cold_boot", OPERATION_BOOT, "cold" },
	{ "cold_restore", OPERATION_RESTORE, "cold" },
	{ "warm_restore", OPERATION_RESTORE, "warm" },
};

static const char *const temperatures[] = { "any", "warm", "cold" };

enum flag {
	FLAG_SOCKET = 256,
	FLAG_JSON,
	FLAG_SNAPSHOT,
	FLAG_TEMPERATURE,
	FLAG_CLIENTS,
	FLAG_RATE,
	FLAG_ARRIVALS,
	FLAG_DURATION,
	FLAG_COUNT,
	FLAG_WARM_UP,
	FLAG_SETTLE,
	FLAG_SEED,
	FLAG_HELP,
	FLAG_VERSION,
};

static const struct option flags[] = {
	{ "socket", required_argument, NULL, FLAG_SOCKET },
	{ "json", required_argument, NULL, FLAG_JSON },
	{ "snapshot", required_argument, NULL, FLAG_SNAPSHOT },
	{ "temperature", required_argument, NULL, FLAG_TEMPERATURE },
	{ "clients", required_argument, NULL, FLAG_CLIENTS },
	{ "rate", required_argument, NULL, FLAG_RATE },
	{ "arrivals", required_argument, NULL, FLAG_ARRIVALS },
	{ "duration", required_argument, NULL, FLAG_DURATION },
	{ "count", required_argument, NULL, FLAG_COUNT },
	{ "warm-up", required_argument, NULL, FLAG_WARM_UP },
	{ "settle", no_argument, NULL, FLAG_SETTLE },
	{ "seed", required_argument, NULL, FLAG_SEED },
	{ "help", no_argument, NULL, FLAG_HELP },
	{ "version", no_argument, NULL, FLAG_VERSION },
	{ NULL, 0, NULL, 0 },
};

/* What was given, before it is known for which scenario. */
struct given {
	const char *temperatures;
	bool clients, arrivals, settle, warm_up;
	uint64_t client_count, count, warm_up_count;
	double duration_s;
};

void options_usage(FILE *out)
{
	fputs("Usage: ember-bench [--socket PATH] [--json FILE] SCENARIO [OPTION]...\n"
	      "\n"
	      "Measures emberd as its clients see it.\n"
	      "\n"
	      "Scenarios:\n",
	      out);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		fprintf(out, "  %-10s %s\n", scenarios[i].name, scenarios[i].summary);
	fputs("\n"
	      "Options:\n"
	      "  --socket PATH       the daemon's socket (EMBER_SOCKET; else " EMBER_DEFAULT_SOCKET ")\n"
	      "  --json FILE         write the figures as JSON; \"-\": to standard output, instead of the tables\n"
	      "  --snapshot NAME     restore, compare: the snapshot\n"
	      "  --temperature LIST  restore, boot: any, warm or cold, or several of them in turn: warm,cold\n"
	      "  --count N           requests of each kind (restore 200, boot 50, compare 50, ping 2000)\n"
	      "  --duration S        seconds after which no request is sent\n"
	      "  --warm-up N         rounds that are not measured, before the others (restore, compare 2, boot 1, ping 20)\n"
	      "  --clients N         connections; each sends its next request when the last one is done (1)\n"
	      "  --rate R            open loop: R requests a second, whatever the answers take; latency counts from when a\n"
	      "                      request was due. --clients then bounds the requests in progress (64)\n"
	      "  --arrivals KIND     open loop: poisson (random gaps) or even (poisson)\n"
	      "  --seed N            of the random gaps (1)\n"
	      "  --settle            closed loop: after each VM, wait until the pool is at rest\n"
	      "  --version           print the version\n"
	      "\n"
	      "Exit status: 0 done, 1 some requests failed, 2 a mistake in the command line, 3 the daemon cannot be reached.\n",
	      out);
}

__attribute__((format(printf, 2, 3))) static int complain(char *detail, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(detail, OPTIONS_DETAIL_SIZE, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int parse_count(const char *name, const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_value,
		       char *detail)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno == ERANGE || value < minimum || value > maximum)
		return complain(detail, "--%s takes a number from %llu to %llu, not \"%s\"", name,
				(unsigned long long)minimum, (unsigned long long)maximum, text);
	*ret_value = value;
	return 0;
}

static int parse_positive(const char *name, const char *text, double *ret_value, char *detail)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !isfinite(value) || value <= 0 || value > 1e6)
		return complain(detail, "--%s takes a number above 0 and up to a million, not \"%s\"", name, text);
	*ret_value = value;
	return 0;
}

static int parse_arrivals(const char *text, bool *ret_even, char *detail)
{
	*ret_even = strcmp(text, "even") == 0;
	if (!*ret_even && strcmp(text, "poisson") != 0)
		return complain(detail, "--arrivals is poisson or even, not \"%s\"", text);
	return 0;
}

/* One flag into options and given. Returns 0 or -EINVAL. */
static int parse_flag(int flag, const char *text, struct options *options, struct given *given, char *detail)
{
	struct schedule_plan *plan = &options->load.plan;

	switch (flag) {
	case FLAG_SOCKET:
		options->load.socket_path = text;
		return 0;
	case FLAG_JSON:
		options->json_path = text;
		return 0;
	case FLAG_SNAPSHOT:
		options->load.snapshot = text;
		return 0;
	case FLAG_TEMPERATURE:
		given->temperatures = text;
		return 0;
	case FLAG_CLIENTS:
		given->clients = true;
		return parse_count("clients", text, 1, LOAD_CLIENTS_MAX, &given->client_count, detail);
	case FLAG_RATE:
		return parse_positive("rate", text, &plan->rate, detail);
	case FLAG_ARRIVALS:
		given->arrivals = true;
		return parse_arrivals(text, &plan->even, detail);
	case FLAG_DURATION:
		return parse_positive("duration", text, &given->duration_s, detail);
	case FLAG_COUNT:
		return parse_count("count", text, 1, 1000000000, &given->count, detail);
	case FLAG_WARM_UP:
		given->warm_up = true;
		return parse_count("warm-up", text, 0, 1000000, &given->warm_up_count, detail);
	case FLAG_SETTLE:
		given->settle = true;
		return 0;
	case FLAG_SEED:
		return parse_count("seed", text, 0, UINT64_MAX, &plan->seed, detail);
	case FLAG_HELP:
		options->help = true;
		return 0;
	case FLAG_VERSION:
		options->version = true;
		return 0;
	default:
		return complain(detail, "see \"ember-bench --help\"");
	}
}

static const struct scenario *find_scenario(const char *name)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	}
	return NULL;
}

/* A series for each temperature of the list. */
static int add_temperatures(struct load *load, const struct scenario *scenario, const char *list, char *detail)
{
	while (*list != '\0') {
		size_t length = strcspn(list, ","), i;

		for (i = 0; i < sizeof(temperatures) / sizeof(temperatures[0]); i++) {
			if (strlen(temperatures[i]) == length && strncmp(temperatures[i], list, length) == 0)
				break;
		}
		if (i == sizeof(temperatures) / sizeof(temperatures[0]) || load->series_count == LOAD_SERIES_MAX)
			return complain(detail, "--temperature is any, warm or cold, or several with commas between");
		load->series[load->series_count++] =
			(struct series){ temperatures[i], scenario->operation, temperatures[i] };
		list += length + (list[length] == ',');
	}
	return load->series_count > 0 ? 0 : complain(detail, "--temperature is empty");
}

static int add_series(struct load *load, const struct scenario *scenario, const struct given *given, char *detail)
{
	if ((scenario->takes & TAKES_TEMPERATURE) != 0)
		return add_temperatures(load, scenario, given->temperatures == NULL ? "any" : given->temperatures,
					detail);
	if (scenario->operation == OPERATION_PING) {
		load->series[load->series_count++] = (struct series){ "ping", OPERATION_PING, NULL };
		return 0;
	}
	memcpy(load->series, compared, sizeof(compared));
	load->series_count = sizeof(compared) / sizeof(compared[0]);
	load->equal_shapes = true;
	load->settle = true;
	return 0;
}

/* Options that the scenario does not know, or that contradict each other. */
static int check_given(const struct scenario *scenario, const struct options *options, const struct given *given,
		       char *detail)
{
	double rate = options->load.plan.rate;

	if ((scenario->takes & TAKES_SNAPSHOT) != 0 && options->load.snapshot == NULL)
		return complain(detail, "%s needs --snapshot NAME", scenario->name);
	if ((scenario->takes & TAKES_SNAPSHOT) == 0 && options->load.snapshot != NULL)
		return complain(detail, "%s takes no --snapshot", scenario->name);
	if ((scenario->takes & TAKES_TEMPERATURE) == 0 && given->temperatures != NULL)
		return complain(detail, "%s takes no --temperature", scenario->name);
	if ((scenario->takes & TAKES_LOAD) == 0 && (given->clients || given->settle || rate > 0))
		return complain(detail, "%s takes no --clients, --rate and --settle", scenario->name);
	if (given->arrivals && !(rate > 0))
		return complain(detail, "--arrivals goes with --rate");
	if (given->settle && rate > 0)
		return complain(detail, "--settle waits for the pool, and --rate waits for nothing: choose one");
	return 0;
}

static int complete(struct options *options, const struct given *given, char *detail)
{
	const struct scenario *scenario = find_scenario(options->scenario);
	struct load *load = &options->load;
	uint64_t count;
	int result;

	if (scenario == NULL)
		return complain(detail, "there is no scenario \"%s\": see \"ember-bench --help\"", options->scenario);
	result = check_given(scenario, options, given, detail);
	if (result == 0)
		result = add_series(load, scenario, given, detail);
	if (result < 0)
		return result;

	load->settle = load->settle || given->settle;
	load->clients = given->clients ? (unsigned int)given->client_count : load->plan.rate > 0 ? 64 : 1;
	load->warm_up = given->warm_up ? given->warm_up_count : scenario->warm_up;
	count = given->count > 0 || given->duration_s > 0 ? given->count : scenario->count;
	load->plan.count = count * load->series_count;
	load->plan.duration_ns = (uint64_t)(given->duration_s * 1e9);
	return 0;
}

int options_parse(int argc, char **argv, const char *socket_path, struct options *ret_options, char *detail)
{
	struct options options = { .load = { .socket_path = socket_path, .plan = { .seed = 1 } } };
	struct given given = { 0 };
	int flag, result = 0;

	*detail = '\0';
	optind = 0; /* start over: GNU's way, for callers that parse more than once */
	while (result == 0 && (flag = getopt_long(argc, argv, "", flags, NULL)) != -1)
		result = parse_flag(flag, optarg, &options, &given, detail);
	if (result < 0)
		return result;

	if (!options.help && !options.version) {
		if (optind != argc - 1)
			return complain(detail, "name one scenario: see \"ember-bench --help\"");
		options.scenario = argv[optind];
		result = complete(&options, &given, detail);
		if (result < 0)
			return result;
	}
	*ret_options = options;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run found, as tables and as JSON.
 *
 * The phases of all series share one table, so that what one of them does not pay stands out as a dash. Its rows are
 * in the order of a request: each series is walked, and a name that the table lacks goes after the one before it.
 */
#include "bench/report.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define LABEL_WIDTH 20
#define CELL_WIDTH  10

/* Rows of the table of phases. */
struct rows {
	const char *names[MEASUREMENT_PHASES_MAX];
	size_t count;
};

static size_t find_row(const struct rows *rows, const char *name)
{
	size_t i;

	for (i = 0; i < rows->count; i++) {
		if (strcmp(rows->names[i], name) == 0)
			break;
	}
	return i;
}

static void insert_row(struct rows *rows, size_t place, const char *name)
{
	if (rows->count == MEASUREMENT_PHASES_MAX)
		return;
	memmove(&rows->names[place + 1], &rows->names[place], (rows->count - place) * sizeof(rows->names[0]));
	rows->names[place] = name;
	rows->count++;
}

static void collect_rows(const struct load *load, const struct load_result *result, struct rows *rows)
{
	for (size_t i = 0; i < load->series_count; i++) {
		const struct measurement *measurement = &result->measurements[i];
		size_t next = 0;

		for (size_t j = 0; j < measurement->phase_count; j++) {
			size_t place = find_row(rows, measurement->phases[j].name);

			if (place == rows->count) {
				place = next;
				insert_row(rows, place, measurement->phases[j].name);
			}
			next = place + 1;
		}
	}
}

static double milliseconds(uint64_t nanoseconds)
{
	return (double)nanoseconds / 1e6;
}

/* "cold_restore" as a person writes it. */
static void print_name(const char *name, int width, FILE *out)
{
	char text[MEASUREMENT_NAME_SIZE];

	snprintf(text, sizeof(text), "%s", name);
	for (char *byte = text; *byte != '\0'; byte++) {
		if (*byte == '_')
			*byte = ' ';
	}
	fprintf(out, "%*s", width, text);
}

static void print_time(const struct histogram *histogram, double quantile, FILE *out)
{
	if (histogram == NULL || histogram->count == 0)
		fprintf(out, "%*s", CELL_WIDTH, "-");
	else
		fprintf(out, "%*.3f", CELL_WIDTH, milliseconds(histogram_quantile(histogram, quantile)));
}

static double per_second(const struct load_result *result, const struct measurement *measurement)
{
	return result->elapsed_ns == 0 ? 0.0 : (double)measurement->total.count * 1e9 / (double)result->elapsed_ns;
}

static void print_summary(const struct load *load, const struct load_result *result, FILE *out)
{
	static const char *const titles[] = { "p50", "p90", "p99", "p99.9", "max", "mean", "count", "errors", "per s" };
	static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999, 1.0 };

	fprintf(out, "%-*s", LABEL_WIDTH, "");
	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		fprintf(out, "%*s", CELL_WIDTH, titles[i]);
	fputc('\n', out);
	for (size_t i = 0; i < load->series_count; i++) {
		const struct measurement *measurement = &result->measurements[i];
		const struct histogram *total = &measurement->total;

		print_name(load->series[i].name, -LABEL_WIDTH, out);
		for (size_t j = 0; j < sizeof(quantiles) / sizeof(quantiles[0]); j++)
			print_time(total, quantiles[j], out);
		if (total->count == 0)
			fprintf(out, "%*s", CELL_WIDTH, "-");
		else
			fprintf(out, "%*.3f", CELL_WIDTH, histogram_mean(total) / 1e6);
		fprintf(out, "%*llu%*llu%*.1f\n", CELL_WIDTH, (unsigned long long)total->count, CELL_WIDTH,
			(unsigned long long)measurement->error_count, CELL_WIDTH, per_second(result, measurement));
	}
}

/* What the rows mean that are not the daemon's own. */
static void print_notes(const struct rows *rows, FILE *out)
{
	static const struct {
		const char *row, *meaning;
	} notes[] = {
		{ "late", "late: how long after it was due a request was sent" },
		{ "rpc", "rpc: sockets, wake-ups, and the daemon between phases" },
		{ "guest", "guest: from the daemon's answer until the guest said that it was ready" },
	};

	fputc('\n', out);
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		if (find_row(rows, notes[i].row) < rows->count)
			fprintf(out, "%s\n", notes[i].meaning);
	}
}

static void print_phase_titles(const struct load *load, FILE *out)
{
	fprintf(out, "%-*s", LABEL_WIDTH, "");
	for (size_t i = 0; i < load->series_count; i++)
		print_name(load->series[i].name, 2 * CELL_WIDTH, out);
	fprintf(out, "\n%-*s", LABEL_WIDTH, "");
	for (size_t i = 0; i < load->series_count; i++)
		fprintf(out, "%*s%*s", CELL_WIDTH, "p50", CELL_WIDTH, "p99");
	fputc('\n', out);
}

static void print_phases(const struct load *load, const struct load_result *result, FILE *out)
{
	struct rows rows = { .count = 0 };

	collect_rows(load, result, &rows);
	if (rows.count == 0)
		return;
	fputc('\n', out);
	print_phase_titles(load, out);
	fprintf(out, "%-*s", LABEL_WIDTH, "total");
	for (size_t i = 0; i < load->series_count; i++) {
		print_time(&result->measurements[i].total, 0.5, out);
		print_time(&result->measurements[i].total, 0.99, out);
	}
	fputc('\n', out);
	for (size_t row = 0; row < rows.count; row++) {
		fprintf(out, "  %-*s", LABEL_WIDTH - 2, rows.names[row]);
		for (size_t i = 0; i < load->series_count; i++) {
			const struct measurement *measurement = &result->measurements[i];
			size_t place = measurement_find_phase(measurement, rows.names[row]);
			const struct histogram *histogram =
				place == MEASUREMENT_PHASES_MAX ? NULL : measurement->phases[place].histogram;

			print_time(histogram, 0.5, out);
			print_time(histogram, 0.99, out);
		}
		fputc('\n', out);
	}
	print_notes(&rows, out);
}

/* "warm restore, p50: 7.2 times as fast as cold restore": the fastest against each of the others. */
static void print_ratios(const struct load *load, const struct load_result *result, FILE *out)
{
	double best = INFINITY;
	size_t fastest = 0;

	for (size_t i = 0; i < load->series_count; i++) {
		double p50 = (double)histogram_quantile(&result->measurements[i].total, 0.5);

		if (p50 > 0 && p50 < best) {
			best = p50;
			fastest = i;
		}
	}
	for (size_t i = 0; i < load->series_count; i++) {
		double p50 = (double)histogram_quantile(&result->measurements[i].total, 0.5);

		if (i == fastest || p50 <= 0)
			continue;
		print_name(load->series[fastest].name, 0, out);
		fprintf(out, ", p50: %.1f times as fast as ", p50 / best);
		print_name(load->series[i].name, 0, out);
		fputc('\n', out);
	}
}

static void print_errors(const struct load *load, const struct load_result *result, FILE *out)
{
	for (size_t i = 0; i < load->series_count; i++) {
		const struct measurement *measurement = &result->measurements[i];

		for (size_t j = 0; j < measurement->error_kinds; j++) {
			print_name(load->series[i].name, 0, out);
			fprintf(out, ": %llu failed with %s\n", (unsigned long long)measurement->errors[j].count,
				measurement->errors[j].status);
		}
	}
}

/* How often a request that took whatever there was found a warm slot. */
static void print_served_warm(const struct load *load, const struct load_result *result, FILE *out)
{
	for (size_t i = 0; i < load->series_count; i++) {
		const struct measurement *measurement = &result->measurements[i];
		const char *temperature = load->series[i].temperature;

		if (temperature == NULL || strcmp(temperature, "any") != 0 || measurement->total.count == 0)
			continue;
		print_name(load->series[i].name, 0, out);
		fprintf(out, ": %.1f %% served by a warm slot\n",
			100.0 * (double)measurement->served_warm / (double)measurement->total.count);
	}
}

void report_text(const struct load *load, const struct load_result *result, FILE *out)
{
	fputs("Milliseconds, as a client sees them.\n\n", out);
	print_summary(load, result, out);
	print_phases(load, result, out);
	print_ratios(load, result, out);
	print_served_warm(load, result, out);
	print_errors(load, result, out);
}

static json_t *microseconds(double nanoseconds)
{
	return json_real(round(nanoseconds / 100.0) / 10.0);
}

static json_t *quantile_json(const struct histogram *histogram, double quantile)
{
	return microseconds((double)histogram_quantile(histogram, quantile));
}

static json_t *phases_json(const struct measurement *measurement, double quantile)
{
	json_t *phases = json_object();

	for (size_t i = 0; i < measurement->phase_count; i++)
		json_object_set_new(phases, measurement->phases[i].name,
				    quantile_json(measurement->phases[i].histogram, quantile));
	return phases;
}

static json_t *errors_json(const struct measurement *measurement)
{
	json_t *errors = json_object();

	for (size_t i = 0; i < measurement->error_kinds; i++)
		json_object_set_new(errors, measurement->errors[i].status,
				    json_integer((json_int_t)measurement->errors[i].count));
	return errors;
}

/* NULL where there is no memory: json_pack() takes over what it is given and fails as a whole. */
static json_t *series_json(const struct load_result *result, const struct measurement *measurement)
{
	const struct histogram *total = &measurement->total;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:f, s:I, s:o, s:I, s:o, s:o}", "p50_us",
			 quantile_json(total, 0.5), "p90_us", quantile_json(total, 0.9), "p99_us",
			 quantile_json(total, 0.99), "p999_us", quantile_json(total, 0.999), "max_us",
			 quantile_json(total, 1.0), "mean_us", microseconds(histogram_mean(total)), "count",
			 (json_int_t)total->count, "per_second", per_second(result, measurement), "errors",
			 (json_int_t)measurement->error_count, "errors_by_status", errors_json(measurement),
			 "served_warm", (json_int_t)measurement->served_warm, "phases_us",
			 phases_json(measurement, 0.5), "phases_p99_us", phases_json(measurement, 0.99));
}

int report_json(const struct load *load, const struct load_result *result, json_t **ret_json)
{
	json_t *report = json_object();

	if (report == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < load->series_count; i++) {
		if (json_object_set_new(report, load->series[i].name, series_json(result, &result->measurements[i])) <
		    0) {
			json_decref(report);
			return -ENOMEM;
		}
	}
	*ret_json = report;
	return 0;
}

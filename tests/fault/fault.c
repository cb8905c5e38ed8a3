/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_injection: every call site of emberd-fault fails once, under a fixed script of requests.
 *
 * First the script runs without a fault, and the processes record the sites that they come by. Then, site by site, the step of the
 * script that came by it runs with the site failing once; each request must be answered. Afterwards the daemon must be there,
 * come to rest with the descriptors, processes and files that it had before, and serve the same step without an error.
 * A site of a start or a stop has a daemon of its own for that, which may give up with a status and a reason.
 *
 * Usage: fault_injection [OPTION]...
 *   --all           with every error that functions.h has for the function, not with the first alone
 *   --site KEY      that site alone (as a failure prints it)
 *   --errno NUMBER  with that error alone
 *   --kind NAME     sites of that kind of process alone: emberd, ember-zygote, ember-worker, ember-loader
 *   --step NAME     sites of that step of the script alone
 *   --calls N       let N calls of the site pass before it fails
 *   --frames N      how many of our frames make a site (1 to 4; 1): more tell apart who calls a helper function
 *   --jobs N        daemons at one time (2)
 *   --every N       each Nth site alone
 *   --program FILE  another emberd-fault than the build's
 *   --list          print the sites and end
 *   --verbose       print what is tried, and the daemon's log where it fails
 *
 * Exit status: 0: nothing was wrong; 1: something was; 2: it could not be tried. 77: there is no KVM to try it on.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "script.h"
#include "sites.h"

#define STEP_OF_WORKER 2
#define STEP_OF_LOADER 3
#define TRIES          3  /* for a site that is not come by in every run */
#define SITES_A_LIFE   40 /* before a daemon is stopped, and what it leaked is told by a sanitizer */
#define EXIT_NO_KVM    77
#define JOBS_MAX       16

struct options {
	bool all, list, verbose;
	uint64_t site;
	int error;
	const char *kind;
	const char *step;
	const char *program;
	int calls;
	uint32_t frames;
	unsigned int jobs, every;
};

/* Shared by the jobs. */
struct totals {
	_Atomic uint32_t next;   /* site to take */
	_Atomic uint32_t done;   /* faults that were made */
	_Atomic uint32_t missed; /* sites that were not come by again */
	_Atomic uint32_t wrong;
	_Atomic uint32_t lost; /* connections that broke */
};

struct job {
	const struct options *options;
	struct totals *totals;
	struct daemon daemon;
	struct script *script;
	unsigned int age; /* sites since the daemon's start */
};

/* ---- a daemon ---- */

static bool begin(struct job *job)
{
	if (!daemon_start(&job->daemon)) {
		complain(&job->daemon, "the daemon does not start");
		return false;
	}
	job->script = script_new(&job->daemon);
	if (!job->script)
		return false;
	job->age = 0;
	/* What is made once and stays is there after the first time. */
	for (size_t i = 0; i < script_step_count; i++) {
		script_run(job->script, i, true);
		script_tidy(job->script);
	}
	daemon_remember(&job->daemon);
	return job->daemon.complaint[0] == '\0';
}

static void end(struct job *job)
{
	if (job->script)
		atomic_fetch_add(&job->totals->lost, script_lost(job->script));
	job->script = script_free(job->script);
	daemon_stop(&job->daemon);
	daemon_kill(&job->daemon);
	free(job->daemon.names);
	job->daemon.names = NULL;
}

/* Nothing of a daemon that was wrong may be taken for the next one's. */
static void start_afresh(struct job *job)
{
	end(job);
	daemon_discard(&job->daemon);
	daemon_prepare(&job->daemon, job->options->program, job->options->frames);
}

/* Report what is wrong. Returns whether something is. */
static bool report(struct job *job, const struct site *site, int error)
{
	struct daemon *daemon = &job->daemon;

	if (!daemon->complaint[0])
		return false;
	atomic_fetch_add(&job->totals->wrong, 1);
	(void)printf("WRONG %s: %s\n      --site %llx --errno %d: %s\n", script_steps[site->step].name, site->text,
		     (unsigned long long)site->key, error, daemon->complaint);
	if (job->options->verbose)
		daemon_print_log(daemon);
	(void)fflush(stdout);
	daemon->complaint[0] = '\0';
	return true;
}

/* ---- one fault ---- */

static bool is_of_life(const struct site *site)
{
	bool early = strcmp(site->kind, "emberd") == 0 || strcmp(site->kind, "ember-zygote") == 0;

	return site->step == script_step_count - 1 || (site->step == 0 && early);
}

/* A fault in a start or a stop: in a daemon of its own. Returns whether it was come by. */
static bool try_life(struct job *job, const struct site *site, int error)
{
	struct daemon *daemon = &job->daemon;
	bool stop = site->step != 0, failed = false;

	end(job);
	if (!stop)
		daemon_arm(daemon, site->key, error, job->options->calls);
	if (daemon_start(daemon)) {
		job->script = script_new(daemon);
		if (job->script) {
			script_tidy(job->script);
			failed = daemon_disarm(daemon);
			script_run(job->script, STEP_OF_WORKER, true);
			script_tidy(job->script);
		}
	}
	if (stop)
		daemon_arm(daemon, site->key, error, job->options->calls);
	end(job);
	return daemon_disarm(daemon) || failed;
}

/* Where removing something fails, it is still there. */
static bool is_of_removal(const struct site *site)
{
	const char *name = functions[site->function].name;

	return !strncmp(name, "unlink", 6) || !strcmp(name, "lstat");
}

/* The step that comes by a site while the daemon runs: whatever is built at its start is built again when it is used up. */
static size_t step_of(const struct site *site)
{
	if (site->step != 0)
		return site->step;
	return !strcmp(site->kind, "ember-loader") ? STEP_OF_LOADER : STEP_OF_WORKER;
}

/* A fault at what is come by once in a daemon's life (what it keeps from then on): in a new one. */
static bool try_once(struct job *job, const struct site *site, int error)
{
	bool failed = false;

	end(job);
	if (!daemon_start(&job->daemon))
		return false;
	job->script = script_new(&job->daemon);
	if (job->script) {
		daemon_arm(&job->daemon, site->key, error, job->options->calls);
		for (size_t i = 0; i < script_step_count; i++) {
			script_run(job->script, i, false);
			script_tidy(job->script);
		}
		failed = daemon_disarm(&job->daemon);
		daemon_remove_remainders(&job->daemon);
		script_tidy(job->script);
		script_run(job->script, step_of(site), true);
	}
	end(job);
	return failed;
}

/* A fault in a step of the script. Returns whether it was come by. */
static bool try_step(struct job *job, const struct site *site, int error)
{
	size_t step = step_of(site);
	bool failed;

	if (!job->script && !begin(job))
		return false;
	daemon_arm(&job->daemon, site->key, error, job->options->calls);
	script_run(job->script, step, false);
	if (atomic_load(&job->daemon.page->failed) == 0)
		script_end_vms(job->script); /* the site may be on their way out */
	failed = daemon_disarm(&job->daemon);
	if (failed && is_of_removal(site))
		daemon_remove_remainders(&job->daemon);
	script_tidy(job->script);
	if (failed && !job->daemon.complaint[0]) {
		script_run(job->script, step, true);
		script_tidy(job->script);
	}
	return failed;
}

static void try_site(struct job *job, const struct site *site, int error)
{
	bool failed = false;

	if (job->options->verbose)
		(void)printf("%s %s: %s, %llx\n", script_steps[site->step].name, site->text, strerrorname_np(error),
			     (unsigned long long)site->key);
	for (int i = 0; i < TRIES && !failed; i++) {
		if (is_of_life(site))
			failed = try_life(job, site, error);
		else
			failed = (i < TRIES - 1 ? try_step : try_once)(job, site, error);
		if (report(job, site, error)) {
			start_afresh(job);
			break;
		}
	}
	atomic_fetch_add(failed ? &job->totals->done : &job->totals->missed, 1);
	if (!failed && job->options->verbose)
		(void)printf("      not come by\n");
	if (++job->age >= SITES_A_LIFE && job->script) {
		end(job);
		if (report(job, site, error))
			(void)printf("      (this one or one of the %u before it)\n", job->age);
	}
}

/* ---- all of them ---- */

static bool is_chosen(const struct options *options, const struct site *site)
{
	return (options->site == 0 || options->site == site->key) &&
	       (!options->kind || !strcmp(options->kind, site->kind)) &&
	       (!options->step || !strcmp(options->step, script_steps[site->step].name));
}

static void work(const struct options *options, struct totals *totals, const struct site *sites, size_t count)
{
	struct job job = { .options = options, .totals = totals };

	daemon_prepare(&job.daemon, options->program, options->frames);
	for (;;) {
		const struct site *site;
		uint32_t index = atomic_fetch_add(&totals->next, 1);

		if (index >= count)
			break;
		site = &sites[index];
		if (options->error != 0) {
			try_site(&job, site, options->error);
			continue;
		}
		for (size_t i = 0; i < (options->all ? functions[site->function].error_count : 1); i++)
			try_site(&job, site, functions[site->function].errors[i]);
	}
	end(&job);
	if (job.daemon.complaint[0]) {
		atomic_fetch_add(&totals->wrong, 1);
		(void)printf("WRONG at the end: %s\n", job.daemon.complaint);
	}
	daemon_discard(&job.daemon);
	(void)fflush(stdout);
}

/* The sites that the script comes by. */
static size_t find_sites(const struct options *options, struct totals *totals, struct site **ret_sites)
{
	struct job job = { .options = options, .totals = totals };
	size_t count;

	daemon_prepare(&job.daemon, options->program, options->frames);
	for (int i = 0; i < 2; i++) {
		(void)begin(&job);
		atomic_store(&job.daemon.page->step, (uint32_t)script_step_count - 1);
		end(&job);
		atomic_store(&job.daemon.page->step, 0);
	}
	if (job.daemon.complaint[0]) {
		(void)printf("without any fault: %s\n", job.daemon.complaint);
		daemon_print_log(&job.daemon);
		exit(2); // NOLINT(concurrency-mt-unsafe)
	}
	if (atomic_load(&job.daemon.page->dropped) > 0)
		(void)printf("there are more sites than the page holds\n");
	count = sites_read(job.daemon.page, options->program, ret_sites);
	daemon_discard(&job.daemon);
	return count;
}

/* Keep those that are to be tried: first those that share a daemon. */
static size_t choose(const struct options *options, struct site *sites, size_t count)
{
	struct site *of_life = calloc(count + 1, sizeof(*of_life));
	size_t chosen = 0, lives = 0, seen = 0;

	if (!of_life)
		exit(2); // NOLINT(concurrency-mt-unsafe)
	for (size_t i = 0; i < count; i++) {
		if (!is_chosen(options, &sites[i]) || seen++ % options->every != 0)
			continue;
		if (is_of_life(&sites[i]))
			of_life[lives++] = sites[i];
		else
			sites[chosen++] = sites[i];
	}
	memcpy(&sites[chosen], of_life, lives * sizeof(*sites));
	free(of_life);
	return chosen + lives;
}

static void run_jobs(const struct options *options, struct totals *totals, const struct site *sites, size_t count)
{
	pid_t pids[JOBS_MAX];
	int status;

	for (unsigned int i = 0; i < options->jobs; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			work(options, totals, sites, count);
			_exit(0);
		}
	}
	for (unsigned int i = 0; i < options->jobs; i++) {
		if (pids[i] < 0 || waitpid(pids[i], &status, 0) < 0 || status != 0) {
			(void)printf("WRONG: a job of this program did not end well\n");
			atomic_fetch_add(&totals->wrong, 1);
		}
	}
}

static struct options parse(int argc, char **argv)
{
	static const struct option names[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "site", required_argument, NULL, 's' },
		{ "errno", required_argument, NULL, 'e' },
		{ "kind", required_argument, NULL, 'k' },
		{ "step", required_argument, NULL, 't' },
		{ "calls", required_argument, NULL, 'c' },
		{ "frames", required_argument, NULL, 'f' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "every", required_argument, NULL, 'n' },
		{ "program", required_argument, NULL, 'p' },
		{ "list", no_argument, NULL, 'l' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .frames = 1, .jobs = 2, .every = 1, .program = EMBERD_FAULT_PATH };
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) { // NOLINT(concurrency-mt-unsafe)
		unsigned long number = optarg ? strtoul(optarg, NULL, option == 's' ? 16 : 10) : 0;

		switch (option) {
		case 'a':
			options.all = true;
			break;
		case 's':
			options.site = number;
			break;
		case 'e':
			options.error = (int)number;
			break;
		case 'k':
			options.kind = optarg;
			break;
		case 't':
			options.step = optarg;
			break;
		case 'c':
			options.calls = (int)number;
			break;
		case 'f':
			options.frames = (uint32_t)number;
			break;
		case 'j':
			options.jobs = (unsigned int)number;
			break;
		case 'n':
			options.every = (unsigned int)number;
			break;
		case 'p':
			options.program = optarg;
			break;
		case 'l':
			options.list = true;
			break;
		case 'v':
			options.verbose = true;
			break;
		default:
			exit(2); // NOLINT(concurrency-mt-unsafe)
		}
	}
	if (options.frames < 1 || options.frames > FAULT_FRAMES_MAX || options.jobs < 1 || options.jobs > JOBS_MAX ||
	    options.every < 1) {
		(void)fprintf(stderr, "fault_injection: a number is out of range\n");
		exit(2); // NOLINT(concurrency-mt-unsafe)
	}
	return options;
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);
	struct totals *totals = mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct site *sites = NULL;
	size_t count;

	if (getenv("EMBER_NO_KVM")) // NOLINT(concurrency-mt-unsafe)
		return EXIT_NO_KVM;
	if (totals == MAP_FAILED)
		return 2;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	count = find_sites(&options, totals, &sites);
	sites_print_counts(sites, count, stdout);
	count = choose(&options, sites, count);
	if (options.list) {
		for (size_t i = 0; i < count; i++)
			(void)printf("%llx %s %s\n", (unsigned long long)sites[i].key, script_steps[sites[i].step].name,
				     sites[i].text);
		free(sites);
		return 0;
	}
	(void)fflush(stdout);
	run_jobs(&options, totals, sites, count);
	free(sites);
	(void)printf("%u faults, %u sites not come by again, %u connections broke, %u wrong\n", totals->done,
		     totals->missed, totals->lost, totals->wrong);
	return totals->wrong > 0 ? 1 : 0;
}

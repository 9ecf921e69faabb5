// SPDX-License-Identifier: GPL-2.0
/* kcolod: between a pair of kcolo and its QEMU. */

#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "../kcolo/nl.h"
#include "kcolod.h"

struct sd_event *loop;

/* What the netlink part of the tool wants to know. */
struct options opts;

static const char usage[] =
"Usage: kcolod run NAME\n"
"       kcolod status NAME\n"
"       kcolod { start | checkpoint | failover } NAME\n"
"       kcolod help\n"
"\n"
"NAME stands for /etc/kcolo/NAME.kcolod\n"
"run         connect QEMU's monitor and migration channel to the pair\n"
"status      what the daemon knows, as JSON\n"
"start       let the primary's QEMU begin: copy the guest, then COLO\n"
"checkpoint  take one now\n"
"failover    the guest on this host survives\n";

static int tick(sd_event_source *source, uint64_t usec, void *data)
{
	(void)data;
	(void)usec;
	qmp_tick();
	relay_tick();
	vm_tick();
	sd_event_source_set_time_relative(source, TICK_MS * 1000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int loop_open(void)
{
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sd_event_default(&loop) < 0 ||
	    sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL) < 0 ||
	    sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL) < 0 ||
	    sd_event_add_time_relative(loop, NULL, CLOCK_MONOTONIC, 0, 1000, tick, NULL) < 0 ||
	    sd_event_set_watchdog(loop, true) < 0) {
		fputs("Error: kcolod: no event loop\n", stderr);
		return RC_KERNEL;
	}
	return RC_OK;
}

/* The pair is made before by kcolo@NAME: without one there is nothing to do. */
static int run(const char *name)
{
	struct pair pair;
	int rc;

	rc = conf_read(name);
	if (!rc)
		rc = loop_open();
	if (!rc)
		rc = pair_read(&pair);
	if (rc)
		return rc;
	vm_start(pair.role);
	rc = pair_watch(vm_look);
	if (!rc)
		rc = ctl_open();
	if (!rc)
		rc = relay_open(pair.role);
	if (rc)
		return rc;
	sd_notify(0, "READY=1");
	return sd_event_loop(loop) < 0 ? RC_KERNEL : RC_OK;
}

int main(int argc, char **argv)
{
	static const char *const words[] = { "status", "start", "checkpoint", "failover" };
	const char *word = argc > 1 ? argv[1] : "";
	size_t i;

	if (!strcmp(word, "help") || !strcmp(word, "-h") || !strcmp(word, "--help")) {
		fputs(usage, stdout);
		return RC_OK;
	}
	if (argc == 3 && !strcmp(word, "run"))
		return run(argv[2]);
	for (i = 0; argc == 3 && i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return ctl_client(word, argv[2]);
	fputs(usage, stderr);
	return RC_USAGE;
}

// SPDX-License-Identifier: GPL-2.0
/* The commands that the file names, run by a shell. */

#define _GNU_SOURCE
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcolod.h"

sd_event_source *shell_run(const char *command, const char *role, const char *why,
			   sd_event_child_handler_t fn)
{
	const char *const argv[] = {
		"sh", "-c", command, "kcolod", conf.name, role, why, NULL,
	};
	sd_event_source *source = NULL;
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int err;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	err = posix_spawn(&pid, "/bin/sh", NULL, &attr, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attr);
	if (!err)
		err = -sd_event_add_child(loop, &source, pid, WEXITED, fn, NULL);
	if (err)
		say(SD_ERR "%s: %s", command, strerror(err));
	return source;
}

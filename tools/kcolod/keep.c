// SPDX-License-Identifier: GPL-2.0
/*
 * What outlives the daemon: all that a restarted one has to know stands in a memfd,
 * which systemd keeps with the two sockets. A daemon that is killed does not end the
 * channel.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay.h"

/* Of this layout, which the daemon before may not have had. */
#define MAGIC	(0x6b636f6d ^ (uint32_t)sizeof(struct channel))

static const char *const names[] = { "qemu", "peer", "state" };

static int memfd = -1;

void keep(const char *name, int fd)
{
	char state[64];

	snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	sd_pid_notify_with_fds(0, 0, state, &fd, 1);
}

void unkeep(const char *name)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

static int channel_map(int fd)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st) || st.st_size != sizeof(*relay.ch))
		return -EINVAL;
	at = mmap(NULL, sizeof(*relay.ch), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	relay.ch = at;
	memfd = fd;
	return 0;
}

int channel_new(void)
{
	int fd = memfd_create("kcolod", MFD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = ftruncate(fd, sizeof(*relay.ch)) ? -errno : channel_map(fd);
	if (err) {
		close(fd);
		return err;
	}
	keep("state", fd);
	relay.ch->magic = MAGIC;
	relay.ch->role = relay.role;
	relay.ch->stage = STAGE_HELLO;
	return 0;
}

void channel_end(void)
{
	if (!relay.ch)
		return;
	unkeep("state");
	munmap(relay.ch, sizeof(*relay.ch));
	close(memfd);
	relay.ch = NULL;
	memfd = -1;
}

static bool whole(const int *fds)
{
	return fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0 && !channel_map(fds[2]) &&
	       relay.ch->magic == MAGIC && relay.ch->role == relay.role &&
	       relay.ch->stage >= STAGE_MIGRATION;
}

/* Returns how many there are. */
static int kept(int *fds)
{
	char **which = NULL;
	int n, i;
	size_t k;

	n = sd_listen_fds_with_names(1, &which);
	for (i = 0; i < n; i++) {
		for (k = 0; k < ARRAY_SIZE(names); k++)
			if (!strcmp(which[i], names[k]))
				fds[k] = SD_LISTEN_FDS_START + i;
		free(which[i]);
	}
	free(which);
	return n;
}

bool channel_back(int *qemu, int *peer)
{
	int fds[] = { -1, -1, -1 };
	size_t k;

	if (kept(fds) <= 0)
		return false;
	if (whole(fds)) {
		*qemu = fds[0];
		*peer = fds[1];
		return true;
	}
	say(SD_WARNING "the channel of before is not whole, and ended");
	if (relay.ch)
		fds[2] = -1;
	channel_end();
	for (k = 0; k < ARRAY_SIZE(names); k++) {
		unkeep(names[k]);
		if (fds[k] >= 0)
			close(fds[k]);
	}
	return false;
}

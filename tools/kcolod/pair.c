// SPDX-License-Identifier: GPL-2.0
/* The pair in the kernel. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <linux/genetlink.h>
#include <linux/kcolo.h>

#include "../kcolo/nl.h"
#include "kcolod.h"

static struct io events;

static struct nlmsghdr *request(uint8_t cmd)
{
	struct nlmsghdr *req = nl_request(cmd);

	mnl_attr_put_strz(req, KCOLO_A_PAIR, conf.pair);
	return req;
}

static int take(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *attr;
	struct pair *pair = data;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attr)) {
		case KCOLO_A_ROLE:
			pair->role = mnl_attr_get_u32(attr);
			break;
		case KCOLO_A_STATE:
			pair->state = mnl_attr_get_u32(attr);
			break;
		case KCOLO_A_EPOCH:
			pair->epoch = mnl_attr_get_u32(attr);
			break;
		case KCOLO_A_REQUEST:
			pair->wanted = true;
			break;
		}
	}
	return RC_OK;
}

int pair_read(struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	return nl_do(request(KCOLO_CMD_PAIR_GET), take, pair);
}

static int step(uint32_t action)
{
	struct nlmsghdr *req = request(KCOLO_CMD_CHECKPOINT);

	mnl_attr_put_u32(req, KCOLO_A_ACTION, action);
	return nl_do(req, NULL, NULL);
}

int pair_begin(void)
{
	return step(KCOLO_ACTION_BEGIN);
}

int pair_abort(void)
{
	return step(KCOLO_ACTION_ABORT);
}

int pair_commit(uint32_t epoch)
{
	struct nlmsghdr *req = request(KCOLO_CMD_CHECKPOINT);

	mnl_attr_put_u32(req, KCOLO_A_ACTION, KCOLO_ACTION_COMMIT);
	mnl_attr_put_u32(req, KCOLO_A_EPOCH, epoch);
	return nl_do(req, NULL, NULL);
}

int pair_failover(uint32_t action)
{
	struct nlmsghdr *req = request(KCOLO_CMD_FAILOVER);

	if (action != NO_ACTION)
		mnl_attr_put_u32(req, KCOLO_A_ACTION, action);
	return nl_do(req, NULL, NULL);
}

/*
 * What an event says is not read: it only is a reason to ask the kernel, so
 * that one that was lost (ENOBUFS) is as good as any (C5).
 */
static int heard(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	char buffer[65536] __aligned_nl;
	void (*fn)(void) = data;

	(void)source;
	(void)revents;
	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
		;
	fn();
	return 0;
}

int pair_watch(void (*fn)(void))
{
	static const char *const groups[] = { KCOLO_MCGRP_MISCOMPARE, KCOLO_MCGRP_PAIR };
	struct mnl_socket *sock;
	size_t i;
	int rc;

	sock = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!sock || mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		say(SD_ERR "cannot open a netlink socket: %s", strerror(errno));
		return RC_KERNEL;
	}
	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		rc = nl_join(sock, groups[i]);
		if (rc)
			return rc;
	}
	return io_open(&events, mnl_socket_get_fd(sock), heard, fn) < 0 ?
	       RC_KERNEL : RC_OK;
}

// SPDX-License-Identifier: GPL-2.0
/* Generic netlink: the family, requests and dumps. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/kcolo.h>

#include "kcolo.h"
#include "nl.h"
#include "nl_error.h"

#define NETNS_DIR	"/run/netns"

/* The kernel fills as much as it is offered; its largest dump part is 32 KiB */
#define NL_BUFFER	65536

struct nl_group {
	char name[GENL_NAMSIZ];
	uint32_t id;
};

struct nl_family {
	uint16_t id;
	unsigned int n_groups;
	struct nl_group groups[16];
};

/* All messages of a dump; they are shown only once it is known to be whole. */
struct nl_dump {
	char *data;
	size_t len;
	size_t room;
};

static struct mnl_socket *nl_sock;
static uint32_t nl_seq;
static struct nl_family nl_family;

/* The buffer for whatever is received. */
static char nl_buffer[NL_BUFFER] __aligned_nl;

static int nl_fail(const char *what)
{
	fprintf(stderr, "Error: kcolo: %s: %s\n", what, strerror(errno));
	return RC_KERNEL;
}

struct nlmsghdr *nl_request(uint8_t cmd)
{
	static char buffer[NL_REQUEST_MAX] __aligned_nl;
	struct nlmsghdr *nlh;
	struct genlmsghdr *genl;

	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_flags = NLM_F_REQUEST;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = KCOLO_FAMILY_VERSION;
	return nlh;
}

/*
 * Handles a control message. Returns 1 when the answer is complete, 0 when it
 * goes on, or a negative errno, for which @error has what the kernel said.
 */
static int nl_control(const struct nlmsghdr *nlh, struct nl_error *error)
{
	int err;

	switch (nlh->nlmsg_type) {
	case NLMSG_ERROR:
		err = nl_error_read(error, nlh);
		return err ? err : 1;
	case NLMSG_DONE:
		err = nl_error_read_done(error, nlh);
		return err ? err : 1;
	default:
		return 0;
	}
}

/**
 * struct nl_answer - an answer that is being read
 * @req: what was asked
 * @fn: called for each message, or NULL
 * @data: its argument
 * @interrupted: the dump may be inconsistent
 * @rc: what @fn returned
 */
struct nl_answer {
	const struct nlmsghdr *req;
	nl_fn fn;
	void *data;
	bool interrupted;
	int rc;
};

/* Handles the messages in the buffer. Returns whether they were the last. */
static bool nl_answer_part(struct nl_answer *answer, int len)
{
	const struct nlmsghdr *nlh = (struct nlmsghdr *)nl_buffer;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		struct nl_error error = { 0 };
		int done;

		if (nlh->nlmsg_seq != answer->req->nlmsg_seq)
			continue;
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			answer->interrupted = true;
		done = nl_control(nlh, &error);
		if (done < 0)
			answer->rc = nl_error_print(&error, answer->req, -done);
		else if (done)
			nl_error_warn(&error);
		if (done)
			return true;
		if (answer->fn && nlh->nlmsg_type >= NLMSG_MIN_TYPE &&
		    answer->rc == RC_OK)
			answer->rc = answer->fn(nlh, answer->data);
	}
	return false;
}

static int nl_talk(struct nlmsghdr *req, uint16_t flags,
		   struct nl_answer *answer)
{
	ssize_t len;

	req->nlmsg_seq = ++nl_seq;
	req->nlmsg_flags = NLM_F_REQUEST | flags;
	if (mnl_socket_sendto(nl_sock, req, req->nlmsg_len) < 0)
		return nl_fail("cannot send to the kernel");
	answer->req = req;
	do {
		len = mnl_socket_recvfrom(nl_sock, nl_buffer,
					  sizeof(nl_buffer));
		if (len < 0 && errno != EINTR)
			return nl_fail("cannot read the kernel's answer");
	} while (len < 0 || !nl_answer_part(answer, len));
	return answer->rc;
}

static int netns_enter(const char *name)
{
	char path[sizeof(NETNS_DIR) + NAME_MAX + 1];
	int fd, err;

	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return nl_fail(path);
	err = setns(fd, CLONE_NEWNET);
	close(fd);
	return err ? nl_fail(path) : RC_OK;
}

static int nl_socket_open(void)
{
	int on = 1;

	nl_sock = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!nl_sock || mnl_socket_bind(nl_sock, 0, MNL_SOCKET_AUTOPID) < 0)
		return nl_fail("cannot open a netlink socket");
	/* Best effort: these only make refusals clearer. */
	mnl_socket_setsockopt(nl_sock, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl_sock, NETLINK_CAP_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl_sock, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return RC_OK;
}

static void group_read(struct nl_family *family, const struct nlattr *nest)
{
	struct nl_group *group = &family->groups[family->n_groups];
	const struct nlattr *attr;

	if (family->n_groups == ARRAY_SIZE(family->groups))
		return;
	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_NAME)
			snprintf(group->name, sizeof(group->name), "%s",
				 mnl_attr_get_str(attr));
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID)
			group->id = mnl_attr_get_u32(attr);
	}
	family->n_groups++;
}

static int family_read(const struct nlmsghdr *nlh, void *data)
{
	struct nl_family *family = data;
	const struct nlattr *attr, *nest;

	family->n_groups = 0;
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			family->id = mnl_attr_get_u16(attr);
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GROUPS)
			mnl_attr_for_each_nested(nest, attr)
				group_read(family, nest);
	}
	return RC_OK;
}

static int nl_family_find(void)
{
	struct nl_answer answer = { .fn = family_read, .data = &nl_family };
	char buffer[128] __aligned_nl;
	struct genlmsghdr *genl;
	struct nlmsghdr *req;

	req = mnl_nlmsg_put_header(buffer);
	req->nlmsg_type = GENL_ID_CTRL;
	genl = mnl_nlmsg_put_extra_header(req, sizeof(*genl));
	genl->cmd = CTRL_CMD_GETFAMILY;
	genl->version = 1;
	mnl_attr_put_strz(req, CTRL_ATTR_FAMILY_NAME, KCOLO_FAMILY_NAME);
	return nl_talk(req, NLM_F_ACK, &answer);
}

/* The first request opens the socket, so that help and errors need none. */
static int nl_open(void)
{
	int rc;

	if (nl_sock)
		return RC_OK;
	if (opts.netns) {
		rc = netns_enter(opts.netns);
		if (rc)
			return rc;
	}
	rc = nl_socket_open();
	if (!rc)
		rc = nl_family_find();
	if (rc)
		nl_close();
	return rc;
}

void nl_close(void)
{
	if (nl_sock)
		mnl_socket_close(nl_sock);
	nl_sock = NULL;
}

struct mnl_socket *nl_take(void)
{
	struct mnl_socket *sock = nl_open() ? NULL : nl_sock;

	nl_sock = NULL;
	return sock;
}

uint16_t nl_family_id(void)
{
	return nl_family.id;
}

int nl_join(struct mnl_socket *sock, const char *name)
{
	unsigned int i;

	if (nl_open())
		return RC_KERNEL;
	for (i = 0; i < nl_family.n_groups; i++) {
		if (strcmp(nl_family.groups[i].name, name))
			continue;
		if (mnl_socket_setsockopt(sock, NETLINK_ADD_MEMBERSHIP,
					  &nl_family.groups[i].id,
					  sizeof(nl_family.groups[i].id)))
			return nl_fail("cannot listen to events");
		return RC_OK;
	}
	fprintf(stderr, "Error: kcolo: the module has no events \"%s\"\n",
		name);
	return RC_KERNEL;
}

int nl_do(struct nlmsghdr *req, nl_fn fn, void *data)
{
	struct nl_answer answer = { .fn = fn, .data = data };
	int rc = nl_open();

	req->nlmsg_type = nl_family.id;
	return rc ? rc : nl_talk(req, NLM_F_ACK, &answer);
}

static int dump_collect(const struct nlmsghdr *nlh, void *data)
{
	size_t len = NLMSG_ALIGN(nlh->nlmsg_len);
	struct nl_dump *dump = data;

	if (dump->len + len > dump->room) {
		size_t room = 2 * (dump->room + len);
		char *more = realloc(dump->data, room);

		if (!more)
			return nl_fail("cannot keep the kernel's answer");
		dump->data = more;
		dump->room = room;
	}
	memcpy(dump->data + dump->len, nlh, nlh->nlmsg_len);
	dump->len += len;
	return RC_OK;
}

static int dump_show(const struct nl_dump *dump, nl_fn fn, void *data)
{
	size_t at;
	int rc;

	for (at = 0; at < dump->len;) {
		const struct nlmsghdr *nlh = (void *)(dump->data + at);

		rc = fn(nlh, data);
		if (rc)
			return rc;
		at += NLMSG_ALIGN(nlh->nlmsg_len);
	}
	return RC_OK;
}

int nl_dump(struct nlmsghdr *req, nl_fn fn, void *data)
{
	struct nl_dump dump = { 0 };
	struct nl_answer answer;
	int tries = 2;
	int rc;

	rc = nl_open();
	if (rc)
		return rc;
	req->nlmsg_type = nl_family.id;
	do {
		dump.len = 0;
		answer = (struct nl_answer){ .fn = dump_collect, .data = &dump };
		rc = nl_talk(req, NLM_F_DUMP, &answer);
	} while (!rc && answer.interrupted && --tries);
	if (!rc && answer.interrupted)
		fputs("Warning: kcolo: the list changed while it was read\n",
		      stderr);
	if (!rc)
		rc = dump_show(&dump, fn, data);
	free(dump.data);
	return rc;
}

// SPDX-License-Identifier: GPL-2.0
/* kcolo monitor: events as they come, one a line. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/kcolo.h>

#include "cmd.h"
#include "nl.h"
#include "out.h"

#define EVENT_ROOM	(4 << 20)

/* The name alone, behind an event that is called after the object. */
static void text_pair_name(const json_t *record)
{
	out_sep();
	text_plain(json_object_get(record, "pair"));
}

static const struct field miscompare_fields[] = {
	FIELD(PAIR, "pair", "pair", string, .flags = FIELD_NULL),
	FIELD(EPOCH, "epoch", "epoch", u32, .flags = FIELD_NULL),
	{ .text = text_tuple },
	FIELD(VLAN, "vlan", "vlan", u16),
	FIELD(VLAN_PROTO, "vlan_proto", "vlan-proto", tag, .flags = FIELD_JSON),
	FIELD(CVLAN, "cvlan", "cvlan", u16),
	FIELD(CVLAN_PROTO, "cvlan_proto", "cvlan-proto", tag,
	      .flags = FIELD_JSON),
	FIELD(REASON, "reason", "reason", enum, .flags = FIELD_NULL,
	      .names = &names_reason),
	FIELD(PROTO, "proto", "proto", proto, .flags = FIELD_NULL | FIELD_JSON),
	FIELD(SRC, "src", "src", addr, .flags = FIELD_NULL | FIELD_JSON),
	FIELD(SPORT, "sport", "sport", u16, .flags = FIELD_NULL | FIELD_JSON),
	FIELD(DST, "dst", "dst", addr, .flags = FIELD_NULL | FIELD_JSON),
	FIELD(DPORT, "dport", "dport", u16, .flags = FIELD_NULL | FIELD_JSON),
	FIELD(SEQ, "seq", "seq", u32, .flags = FIELD_NULL),
	FIELD(STREAM_OFFSET, "stream_offset", "stream-offset", u64,
	      .flags = FIELD_NULL),
	FIELD(PRIMARY, "primary", "primary", hex, .flags = FIELD_NULL),
	FIELD(SECONDARY, "secondary", "secondary", hex, .flags = FIELD_NULL),
	{ 0 }
};

static const struct field checkpoint_fields[] = {
	FIELD(PAIR, "pair", "pair", string),
	FIELD(ACTION, "action", "action", enum, .names = &names_action),
	FIELD(EPOCH, "epoch", "epoch", u32),
	FIELD(CAUSE, "cause", "cause", enum, .names = &names_cause),
	{ 0 }
};

/* An event has a cause, what is told after an overrun a request. */
static const struct field pair_fields[] = {
	FIELD(PAIR, "pair", "pair", string, .text = text_pair_name),
	FIELD(ROLE, "role", "role", enum, .names = &names_role),
	FIELD(VM, "vm", "vm", string),
	FIELD(PEER, "peer", "peer", string),
	FIELD(STATE, "state", "state", enum, .names = &names_state),
	FIELD(EPOCH, "epoch", "epoch", u32),
	FIELD(CAUSE, "cause", "cause", enum, .names = &names_cause),
	FIELD(REQUEST, "request", "request", enum, .names = &names_reason),
	{ 0 }
};

/* All that is known of an event that is not known. */
static const struct field other_fields[] = {
	FIELD(PAIR, "pair", "pair", string),
	{ 0 }
};

static const struct event {
	const char *name;
	const struct field *fields;
} events[] = {
	[KCOLO_CMD_MISCOMPARE_NTF] = { "miscompare", miscompare_fields },
	[KCOLO_CMD_CHECKPOINT_NTF] = { "checkpoint", checkpoint_fields },
	[KCOLO_CMD_PAIR_NTF] = { "pair", pair_fields },
	[KCOLO_CMD_PAIR_DEL_NTF] = { "pair-del", pair_fields },
	[KCOLO_CMD_FLOW_NTF] = { "flow", flow_fields },
};

static const char *const groups[] = {
	KCOLO_MCGRP_MISCOMPARE,
	KCOLO_MCGRP_CHECKPOINT,
	KCOLO_MCGRP_PAIR,
	KCOLO_MCGRP_FLOW,
};

/* As "ip monitor" does it. */
static void text_timestamp(void)
{
	struct timeval now;
	struct tm tm;
	char s[40];

	gettimeofday(&now, NULL);
	localtime_r(&now.tv_sec, &tm);
	if (opts.timestamp == TS_SHORT) {
		strftime(s, sizeof(s), "%Y-%m-%dT%H:%M:%S", &tm);
		printf("[%s.%06ld] ", s, (long)now.tv_usec);
	} else if (opts.timestamp == TS_LONG) {
		strftime(s, sizeof(s), "%a %b %e %H:%M:%S %Y", &tm);
		printf("Timestamp: %s %ld usec\n", s, (long)now.tv_usec);
	}
}

/* For programs: the same with the offset from UTC, "+01:00". */
json_t *json_timestamp(void)
{
	struct timeval now;
	char s[40], zone[8];
	struct tm tm;

	gettimeofday(&now, NULL);
	localtime_r(&now.tv_sec, &tm);
	strftime(s, sizeof(s), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	return json_sprintf("%s.%06ld%.3s:%s", s, (long)now.tv_usec, zone,
			    zone + 3);
}

/* Prints an event and drops the record. */
static int event_print(const char *name, const struct field *fields,
		       json_t *record)
{
	if (opts.json) {
		json_t *line = json_need(json_object());

		json_object_set_new(line, "timestamp",
				    json_need(json_timestamp()));
		json_object_set_new(line, "event",
				    json_need(json_string(name)));
		json_object_update(line, record);
		out_line(line);
	} else {
		text_timestamp();
		out_sep();
		printf("%s", name);
		fields_text(fields, record);
		out_newline();
	}
	json_decref(record);
	return out_flush();
}

/* An event, also one that this tool does not know yet. */
static int event_show(const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct event *event = NULL;
	char name[16];

	if (genl->cmd < ARRAY_SIZE(events) && events[genl->cmd].name) {
		event = &events[genl->cmd];
		return event_print(event->name, event->fields,
				   fields_get(event->fields, nlh));
	}
	snprintf(name, sizeof(name), "event-%u", genl->cmd);
	return event_print(name, other_fields, fields_get(other_fields, nlh));
}

/* Nothing will ever come again once the family is gone. */
static int family_check(const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (genl->cmd != CTRL_CMD_DELFAMILY)
		return RC_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*genl)) {
		if (mnl_attr_get_type(attr) != CTRL_ATTR_FAMILY_ID ||
		    mnl_attr_get_u16(attr) != nl_family_id())
			continue;
		fputs("Error: kcolo: the kernel module was unloaded\n",
		      stderr);
		return RC_KERNEL;
	}
	return RC_OK;
}

static int events_show(const void *buffer, int len)
{
	const struct nlmsghdr *nlh = buffer;
	int rc = RC_OK;

	for (; !rc && mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct genlmsghdr))
			continue;
		if (nlh->nlmsg_type == nl_family_id())
			rc = event_show(nlh);
		else if (nlh->nlmsg_type == GENL_ID_CTRL)
			rc = family_check(nlh);
	}
	return rc;
}

/**
 * struct monitor - what is listened to
 * @sock: where events come
 * @group: the only group, NULL for all
 * @behind: some were lost; those that were not are still to be read
 */
struct monitor {
	struct mnl_socket *sock;
	const char *group;
	bool behind;
};

static int resync_pair(const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	return event_print("resync", pair_fields, fields_pick(pair_fields, nlh));
}

static int resync_flow(const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	return event_print("resync", flow_fields, fields_get(flow_fields, nlh));
}

/* All that was left has been read: now say how things are. */
static int resync(struct monitor *monitor)
{
	int rc;

	monitor->behind = false;
	rc = nl_dump(nl_request(KCOLO_CMD_PAIR_GET), resync_pair, NULL);
	if (!rc && monitor->group &&
	    !strcmp(monitor->group, KCOLO_MCGRP_FLOW))
		rc = nl_dump(nl_request(KCOLO_CMD_FLOW_GET), resync_flow, NULL);
	return rc;
}

static int events_read(struct monitor *monitor)
{
	static char buffer[65536] __aligned_nl;
	ssize_t len;

	len = mnl_socket_recvfrom(monitor->sock, buffer, sizeof(buffer));
	if (len >= 0)
		return events_show(buffer, len);
	switch (errno) {
	case ENOBUFS: /* the kernel found no room and dropped some */
		monitor->behind = true;
		return event_print("overrun", other_fields,
				   json_need(json_object()));
	case EAGAIN:
		return monitor->behind ? resync(monitor) : RC_OK;
	case EINTR:
		return RC_OK;
	default:
		fprintf(stderr, "Error: kcolo: cannot read events: %s\n",
			strerror(errno));
		return RC_KERNEL;
	}
}

static int events_wait(struct monitor *monitor, int stop)
{
	struct pollfd fds[] = {
		{ .fd = mnl_socket_get_fd(monitor->sock), .events = POLLIN },
		{ .fd = stop, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	int rc = RC_OK;

	while (!rc) {
		if (poll(fds, ARRAY_SIZE(fds), monitor->behind ? 0 : -1) < 0)
			continue;
		if (fds[0].revents || monitor->behind)
			rc = events_read(monitor);
		if (fds[1].revents)
			return read(stop, &info, sizeof(info)) < 0 ?
			       RC_KERNEL : rc;
	}
	return rc;
}

/* SIGINT and SIGTERM are the way to end it, and no error. */
static int events_loop(struct monitor *monitor)
{
	sigset_t blocked, old;
	int stop, rc;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &old);
	stop = signalfd(-1, &blocked, SFD_CLOEXEC);
	if (stop < 0) {
		perror("Error: kcolo: signalfd");
		rc = RC_KERNEL;
	} else {
		rc = events_wait(monitor, stop);
		close(stop);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/*
 * The group that tells when the module goes comes last: who looks into
 * /proc/net/netlink and finds its bit there knows that the others are joined.
 */
static int groups_join(struct monitor *monitor)
{
	int room = EVENT_ROOM, ctrl = GENL_ID_CTRL;
	struct mnl_socket *sock = monitor->sock;
	int fd = mnl_socket_get_fd(sock);
	size_t i;
	int rc;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	/* The larger one needs CAP_NET_ADMIN of the first namespace. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		if (monitor->group && strcmp(monitor->group, groups[i]))
			continue;
		rc = nl_join(sock, groups[i]);
		if (rc)
			return rc;
	}
	mnl_socket_setsockopt(sock, NETLINK_ADD_MEMBERSHIP, &ctrl,
			      sizeof(ctrl));
	return RC_OK;
}

static bool group_known(const char *word)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		if (!strcmp(word, groups[i]))
			return true;
	return false;
}

static int monitor_run(struct args *args)
{
	const char *group = args_next(args);
	struct monitor monitor = { 0 };
	int rc;

	if (group && is_help(group))
		return RC_HELP;
	if (group && !strcmp(group, "all"))
		group = NULL;
	if (group && !group_known(group))
		return bad_usage("what is \"%s\"?", group);
	rc = args_end(args);
	if (rc)
		return rc;
	monitor.group = group;
	monitor.sock = nl_take();
	if (!monitor.sock)
		return RC_KERNEL;
	rc = groups_join(&monitor);
	if (!rc)
		rc = events_loop(&monitor);
	mnl_socket_close(monitor.sock);
	return rc;
}

const struct object object_monitor = {
	.name = "monitor",
	.usage =
"       kcolo monitor [ all | miscompare | checkpoint | pair | flow ]\n",
	.run = monitor_run,
};

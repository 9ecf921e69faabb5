// SPDX-License-Identifier: GPL-2.0
/* What the kernel says about a request: an errno and a sentence. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <linux/genetlink.h>
#include <linux/kcolo.h>
#include <linux/netlink.h>

#include "kcolo.h"
#include "names.h"
#include "nl_error.h"

#define NOT_LOADED \
	"Error: kcolo: the kernel module is not loaded: modprobe kcolo, or insmod kcolo.ko\n"

/* How a module's sentences may begin, and those of this tool do. */
#define PREFIX	"kcolo: "

static uint64_t attr_u64(const struct nlattr *attr)
{
	uint64_t value = 0;

	if (mnl_attr_get_payload_len(attr) == sizeof(value))
		memcpy(&value, mnl_attr_get_payload(attr), sizeof(value));
	return value;
}

static void policy_read(struct nl_error *error, const struct nlattr *nest)
{
	const struct nlattr *attr;

	error->has_policy = true;
	mnl_attr_for_each_nested(attr, nest) {
		switch (mnl_attr_get_type(attr)) {
		case NL_POLICY_TYPE_ATTR_MIN_VALUE_U:
			error->has_min = true;
			error->min = attr_u64(attr);
			break;
		case NL_POLICY_TYPE_ATTR_MAX_VALUE_U:
			error->has_max = true;
			error->max = attr_u64(attr);
			break;
		case NL_POLICY_TYPE_ATTR_MAX_LENGTH:
			error->max_len = mnl_attr_get_u32(attr);
			break;
		}
	}
}

static void extack_read(struct nl_error *error, const struct nlmsghdr *nlh,
			unsigned int offset)
{
	const struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	mnl_attr_for_each(attr, nlh, offset) {
		switch (mnl_attr_get_type(attr)) {
		case NLMSGERR_ATTR_MSG:
			snprintf(error->text, sizeof(error->text), "%.*s",
				 mnl_attr_get_payload_len(attr),
				 mnl_attr_get_str(attr));
			break;
		case NLMSGERR_ATTR_OFFS:
			error->offset = mnl_attr_get_u32(attr);
			break;
		case NLMSGERR_ATTR_POLICY:
			policy_read(error, attr);
			break;
		}
	}
}

int nl_error_read(struct nl_error *error, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *msg = mnl_nlmsg_get_payload(nlh);
	unsigned int offset = sizeof(*msg);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*msg))
		return -EBADMSG;
	/* Without NETLINK_CAP_ACK the request itself comes in between. */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		offset += msg->msg.nlmsg_len - sizeof(msg->msg);
	extack_read(error, nlh, offset);
	return msg->error > 0 ? -msg->error : msg->error;
}

int nl_error_read_done(struct nl_error *error, const struct nlmsghdr *nlh)
{
	int err;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(err))
		return 0;
	memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
	extack_read(error, nlh, sizeof(err));
	return err < 0 ? err : 0;
}

/* The name of the attribute that the kernel points at. */
static const char *attr_name(const struct nl_error *error,
			     const struct nlmsghdr *req)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, req, sizeof(struct genlmsghdr))
		if ((char *)attr - (char *)req == error->offset)
			return names_get(&names_kcolo_attrs,
					 mnl_attr_get_type(attr));
	return NULL;
}

/*
 * The module's own sentences say all. Those of the kernel's policy check, as
 * "integer out of range", do not even name the attribute.
 */
static void policy_print(const struct nl_error *error,
			 const struct nlmsghdr *req)
{
	const char *name = attr_name(error, req);

	if (name)
		fprintf(stderr, ": %s", name);
	if (error->has_min && error->has_max)
		fprintf(stderr, " (%llu to %llu)",
			(unsigned long long)error->min,
			(unsigned long long)error->max);
	else if (error->max_len)
		fprintf(stderr, " (at most %u characters)", error->max_len);
}

static const char *prefix(const struct nl_error *error)
{
	return strncmp(error->text, PREFIX, strlen(PREFIX)) ? PREFIX : "";
}

int nl_error_print(const struct nl_error *error, const struct nlmsghdr *req,
		   int err)
{
	if (req->nlmsg_type == GENL_ID_CTRL && err == ENOENT) {
		fputs(NOT_LOADED, stderr);
		return RC_KERNEL;
	}
	fprintf(stderr, "Error: %s%s", prefix(error),
		*error->text ? error->text : strerror(err));
	if (error->has_policy)
		policy_print(error, req);
	putc('\n', stderr);
	return RC_KERNEL;
}

void nl_error_warn(const struct nl_error *error)
{
	if (*error->text)
		fprintf(stderr, "Warning: %s%s\n", prefix(error), error->text);
}

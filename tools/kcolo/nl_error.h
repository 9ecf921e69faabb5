/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel says about a request: an errno and a sentence. */
#ifndef KCOLO_NL_ERROR_H
#define KCOLO_NL_ERROR_H

#include <stdint.h>

#include <libmnl/libmnl.h>

/**
 * struct nl_error - what an extended ACK has
 * @text: the kernel's sentence, empty without one
 * @offset: where in the request the attribute stands that it is about, or 0
 * @has_policy: it is the policy that the attribute does not meet
 * @has_min: the policy names a least value
 * @has_max: the policy names a greatest value
 * @min: the least value
 * @max: the greatest value
 * @max_len: the greatest length, or 0
 */
struct nl_error {
	char text[256];
	uint32_t offset;
	bool has_policy;
	bool has_min;
	bool has_max;
	uint64_t min;
	uint64_t max;
	uint32_t max_len;
};

/* Reads NLMSG_ERROR or NLMSG_DONE. Returns the errno, 0 or negative. */
int nl_error_read(struct nl_error *error, const struct nlmsghdr *nlh);
int nl_error_read_done(struct nl_error *error, const struct nlmsghdr *nlh);

/* Prints why the kernel refused @req. Returns RC_KERNEL. */
int nl_error_print(const struct nl_error *error, const struct nlmsghdr *req,
		   int err);

/* Prints what the kernel said although it did what was asked. */
void nl_error_warn(const struct nl_error *error);

#endif

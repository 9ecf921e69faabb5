/* SPDX-License-Identifier: GPL-2.0 */
/* Requests to the kernel and what comes back. */
#ifndef KCOLO_NL_H
#define KCOLO_NL_H

#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

/*
 * Strings come from outside: they may fill a request up to here. What is
 * behind is room for the rest, of which there is little.
 */
#define NL_STRINGS_MAX	4096
#define NL_REQUEST_MAX	(NL_STRINGS_MAX + 1024)

/* Returns RC_OK, or RC_KERNEL to stop. */
typedef int (*nl_fn)(const struct nlmsghdr *nlh, void *data);

/* An empty request in a buffer of its own, valid until the next one. */
struct nlmsghdr *nl_request(uint8_t cmd);

/*
 * Sends @req and calls @fn, which may be NULL, for each message of the answer.
 * Returns RC_OK or RC_KERNEL; what the kernel had to say has been printed.
 */
int nl_do(struct nlmsghdr *req, nl_fn fn, void *data);
int nl_dump(struct nlmsghdr *req, nl_fn fn, void *data);

/*
 * A socket that is the caller's from now on, to hear events on; requests go on
 * with another one. NULL: the reason has been printed.
 */
struct mnl_socket *nl_take(void);
uint16_t nl_family_id(void);

/* Lets @sock hear a multicast group of the family. Returns RC_OK or RC_KERNEL. */
int nl_join(struct mnl_socket *sock, const char *group);

void nl_close(void);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Before 6.3 an extack could carry no text of its own. The only user holds
 * genl_mutex while it writes, so one buffer will do.
 */
#ifndef _KCOLO_COMPAT_LINUX_NETLINK_H
#define _KCOLO_COMPAT_LINUX_NETLINK_H

#include_next <linux/netlink.h>

#define NL_SET_ERR_MSG_FMT(extack, fmt, ...)				\
do {									\
	static char __text[80];						\
									\
	scnprintf(__text, sizeof(__text), fmt, ##__VA_ARGS__);		\
	(extack)->_msg = __text;					\
} while (0)

#endif

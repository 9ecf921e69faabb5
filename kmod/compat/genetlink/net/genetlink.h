/* SPDX-License-Identifier: GPL-2.0 */
/* Before 6.6 a dump had its own kind of info; the member attrs is the same. */
#ifndef _KCOLO_COMPAT_NET_GENETLINK_H
#define _KCOLO_COMPAT_NET_GENETLINK_H

#include_next <net/genetlink.h>

#define genl_info_dump(cb) genl_dumpit_info(cb)

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Before 6.5 what it declares was in linux/netdevice.h. */
#ifndef _KCOLO_COMPAT_NET_GSO_H
#define _KCOLO_COMPAT_NET_GSO_H

#include <linux/netdevice.h>

#endif

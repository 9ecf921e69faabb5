/* SPDX-License-Identifier: GPL-2.0 */
/* Before 6.10 the reference counting of fragments was in this header. */
#include <linux/skbuff.h>

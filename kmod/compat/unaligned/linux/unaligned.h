/* SPDX-License-Identifier: GPL-2.0 */
/* Before 6.12 the accessors were an architecture's header. */
#include <asm/unaligned.h>

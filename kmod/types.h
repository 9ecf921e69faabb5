/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the pure parts (pkt, compare) need: kernel types in the kernel, the same
 * names from the kernel's tools/include in user space, where they are fuzzed.
 */
#ifndef _KCOLO_TYPES_H
#define _KCOLO_TYPES_H

#include <linux/types.h>
#include <linux/list.h>
#include <linux/rbtree.h>

#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <stddef.h>
#include <string.h>
#endif

/* Serial number arithmetic (RFC 1982), never '<', on sequence numbers. */
static inline bool seq_before(u32 a, u32 b)
{
	return (s32)(a - b) < 0;
}

static inline bool seq_after(u32 a, u32 b)
{
	return seq_before(b, a);
}

static inline u32 seq_min(u32 a, u32 b)
{
	return seq_before(a, b) ? a : b;
}

static inline u32 seq_max(u32 a, u32 b)
{
	return seq_before(a, b) ? b : a;
}

#endif

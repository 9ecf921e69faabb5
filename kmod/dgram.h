/* SPDX-License-Identifier: GPL-2.0 */
/* The comparison of one flow's datagrams: whatever is not TCP (R8, R12). */
#ifndef _KCOLO_DGRAM_H
#define _KCOLO_DGRAM_H

#include "compare.h"
#include "pkt.h"

/* Datagrams of one side that one of theirs may be ahead of or behind its partner. */
#define KCOLO_DGRAM_WINDOW 256

/* Bytes of a datagram in which something may be masked. */
#define KCOLO_DGRAM_HEAD 32

/**
 * struct kcolo_dgram - a datagram of one side
 * @node: in &struct kcolo_dgrams.open, .lost or .ready
 * @all: in &struct kcolo_dgrams.all, if it is the primary's
 * @since: time of its arrival, ns
 * @order: number of its arrival, on its side
 * @len: bytes from the transport header on
 * @head: the first of them, masked; zero behind @len
 * @matched: its partner was found
 */
struct kcolo_dgram {
	struct list_head node;
	struct list_head all;
	u64 since;
	u32 order;
	u32 len;
	u8 head[KCOLO_DGRAM_HEAD];
	bool matched;
};

/**
 * struct kcolo_dgrams - comparison of the datagrams of one flow
 * @open: of each side, without a partner yet, by order
 * @lost: of each side, without a partner, passed by the window's number
 * @ready: the primary's that have a partner and wait for their turn, by order
 * @all: the primary's that have not left, by order
 * @next: of each side, number of the next one
 * @top: of each side, number behind the furthest that had a partner
 */
struct kcolo_dgrams {
	struct list_head open[2];
	struct list_head lost[2];
	struct list_head ready;
	struct list_head all;
	u32 next[2];
	u32 top[2];
};

/**
 * enum kcolo_dgram_kind - how a datagram is treated
 * @KCOLO_DGRAM_COMPARED: it leaves when the other side has said the same
 * @KCOLO_DGRAM_TIMED: it depends on a timer of the guest's own
 */
enum kcolo_dgram_kind {
	KCOLO_DGRAM_COMPARED,
	KCOLO_DGRAM_TIMED,
};

/**
 * typedef kcolo_dgram_equal_t - compare two datagrams of equal length
 * @p: one of them
 * @s: the other one
 * @off: first byte to compare, from the transport header on
 *
 * Return: equal bytes from @off on, up to the end if they do not differ.
 */
typedef u32 (*kcolo_dgram_equal_t)(const struct kcolo_dgram *p,
				   const struct kcolo_dgram *s, u32 off);

enum kcolo_dgram_kind kcolo_dgram_read(struct kcolo_dgram *dg,
				       struct kcolo_tuple *tuple);
void kcolo_dgrams_init(struct kcolo_dgrams *d);
void kcolo_dgram_number(struct kcolo_dgrams *d, enum kcolo_side side,
			struct kcolo_dgram *dg);
struct kcolo_dgram *kcolo_dgram_meet(struct kcolo_dgrams *d,
				     enum kcolo_side side,
				     struct kcolo_dgram *dg,
				     kcolo_dgram_equal_t equal);
void kcolo_dgram_queue(struct kcolo_dgrams *d, enum kcolo_side side,
		       struct kcolo_dgram *dg);
void kcolo_dgram_remove(enum kcolo_side side, struct kcolo_dgram *dg);
bool kcolo_dgram_may_leave(const struct kcolo_dgrams *d, u64 now, u64 window);
struct kcolo_dgram *kcolo_dgram_leave(struct kcolo_dgrams *d, u64 now,
				      u64 window);
struct kcolo_dgram *kcolo_dgram_oldest(const struct kcolo_dgrams *d,
				       enum kcolo_side side);
bool kcolo_dgram_differ(const struct kcolo_dgrams *d, u64 now, u64 window);
bool kcolo_dgram_deadline(const struct kcolo_dgrams *d, u64 now, u64 window,
			  u64 *at);
u32 kcolo_dgram_difference(const struct kcolo_dgram *p,
			   const struct kcolo_dgram *s,
			   kcolo_dgram_equal_t equal);

#endif

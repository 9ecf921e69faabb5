// SPDX-License-Identifier: GPL-2.0
/*
 * Compares datagrams of two sides; pure, also for user space (R8, R12).
 *
 * Each of P's seeks an equal one among those of S that have none yet, and the
 * other way round. Both may come out of order, but no further than the window: one
 * whose side has found partners for datagrams KCOLO_DGRAM_WINDOW later than it will
 * find none any more. What has one leaves in P's order; it waits for an earlier
 * one without only as long as that is in the window, by number and by time.
 */
#include "dgram.h"

#define PROTO_ICMP	1
#define PROTO_IGMP	2
#define PROTO_UDP	17
#define PROTO_DCCP	33
#define PROTO_ICMPV6	58
#define PROTO_SCTP	132
#define PROTO_UDPLITE	136

#define QUOTED		8	/* where an ICMP error quotes a packet */

static void mask(u8 *head, u32 off, u32 len)
{
	memset(head + off, 0, len);
}

/* Types of ICMP that carry an identifier: echo, timestamp, information, mask. */
static bool icmp_has_id(u8 type)
{
	return type == 0 || type == 8 || (type >= 13 && type <= 18);
}

static bool icmp_quotes(u8 type)
{
	return (type >= 3 && type <= 5) || type == 11 || type == 12;
}

static void read_icmp(u8 *head, struct kcolo_tuple *tuple)
{
	u8 *quoted = head + QUOTED;

	mask(head, 2, 2);
	if (icmp_has_id(head[0]))
		memcpy(&tuple->sport, head + 4, 2);
	if (!icmp_quotes(head[0]) || quoted[0] >> 4 != 4)
		return;
	mask(quoted, 4, 2);	/* id */
	mask(quoted, 8, 1);	/* TTL */
	mask(quoted, 10, 2);	/* checksum */
}

/* MLD and neighbour discovery follow the guest's own timers. */
static enum kcolo_dgram_kind read_icmp6(u8 *head, struct kcolo_tuple *tuple)
{
	u8 *quoted = head + QUOTED;

	if ((head[0] >= 130 && head[0] <= 137) || head[0] == 143)
		return KCOLO_DGRAM_TIMED;
	mask(head, 2, 2);
	if (head[0] == 128 || head[0] == 129)
		memcpy(&tuple->sport, head + 4, 2);
	if (head[0] < 128 && quoted[0] >> 4 == 6)
		mask(quoted, 7, 1);	/* hop limit */
	return KCOLO_DGRAM_COMPARED;
}

static void read_ports(const u8 *head, struct kcolo_tuple *tuple)
{
	memcpy(&tuple->sport, head, 2);
	memcpy(&tuple->dport, head + 2, 2);
}

/**
 * kcolo_dgram_read() - mask what may differ, find what tells flows apart (R8)
 * @dg: its @head is as on the wire and becomes masked
 * @tuple: its ports are filled in; of ICMP, sport is the identifier
 *
 * Checksums are not compared: they follow from what is, and may not be filled in.
 * Fragments are compared as they are; their flow is their place in the datagram.
 * Return: enum kcolo_dgram_kind.
 */
enum kcolo_dgram_kind kcolo_dgram_read(struct kcolo_dgram *dg,
				       struct kcolo_tuple *tuple)
{
	u8 *head = dg->head;

	if (tuple->frag)	/* who knows what this is a part of */
		return KCOLO_DGRAM_COMPARED;
	switch (tuple->proto) {
	case PROTO_ICMP:
		if (!tuple->v6)
			read_icmp(head, tuple);
		break;
	case PROTO_ICMPV6:
		if (tuple->v6)
			return read_icmp6(head, tuple);
		break;
	case PROTO_IGMP:
		return KCOLO_DGRAM_TIMED;
	case PROTO_UDP:
	case PROTO_UDPLITE:
	case PROTO_DCCP:
		read_ports(head, tuple);
		mask(head, 6, 2);
		break;
	case PROTO_SCTP:
		read_ports(head, tuple);
		mask(head, 8, 4);
		break;
	}
	return KCOLO_DGRAM_COMPARED;
}

/**
 * kcolo_dgrams_init() - make an empty comparison
 * @d: result
 */
void kcolo_dgrams_init(struct kcolo_dgrams *d)
{
	memset(d, 0, sizeof(*d));
	INIT_LIST_HEAD(&d->open[KCOLO_P]);
	INIT_LIST_HEAD(&d->open[KCOLO_S]);
	INIT_LIST_HEAD(&d->lost[KCOLO_P]);
	INIT_LIST_HEAD(&d->lost[KCOLO_S]);
	INIT_LIST_HEAD(&d->ready);
	INIT_LIST_HEAD(&d->all);
}

/**
 * kcolo_dgram_number() - a datagram has arrived
 * @d: comparison
 * @side: who said it
 * @dg: datagram
 */
void kcolo_dgram_number(struct kcolo_dgrams *d, enum kcolo_side side,
			struct kcolo_dgram *dg)
{
	dg->order = d->next[side]++;
}

/* Passed by the number of the window: no partner will be found any more. */
static bool passed(const struct kcolo_dgrams *d, enum kcolo_side side,
		   const struct kcolo_dgram *dg)
{
	return (s32)(d->top[side] - dg->order) > KCOLO_DGRAM_WINDOW;
}

static bool in_window(const struct kcolo_dgrams *d, enum kcolo_side side,
		      const struct kcolo_dgram *dg, u64 now, u64 window)
{
	return !passed(d, side, dg) && (s64)(now - dg->since) <= (s64)window;
}

/* A partner was found for @dg: those too far behind it are lost. */
static void move_on(struct kcolo_dgrams *d, enum kcolo_side side,
		    const struct kcolo_dgram *dg)
{
	struct kcolo_dgram *at, *next;

	d->top[side] = seq_max(d->top[side], dg->order + 1);
	list_for_each_entry_safe(at, next, &d->open[side], node) {
		if (!passed(d, side, at))
			return;
		list_move_tail(&at->node, &d->lost[side]);
	}
}

static bool same(const struct kcolo_dgram *a, const struct kcolo_dgram *b,
		 kcolo_dgram_equal_t equal)
{
	if (a->len != b->len || memcmp(a->head, b->head, sizeof(a->head)))
		return false;
	return a->len <= KCOLO_DGRAM_HEAD ||
	       equal(a, b, KCOLO_DGRAM_HEAD) == a->len - KCOLO_DGRAM_HEAD;
}

static void make_ready(struct kcolo_dgrams *d, struct kcolo_dgram *p)
{
	struct kcolo_dgram *at;

	p->matched = true;
	list_for_each_entry_reverse(at, &d->ready, node)
		if (!seq_after(at->order, p->order))
			break;
	list_add(&p->node, &at->node);
}

/**
 * kcolo_dgram_meet() - seek the partner of a datagram
 * @d: comparison
 * @side: who said it
 * @dg: datagram, numbered and in no list
 * @equal: compares
 *
 * If there is one, both are done with: a partner of S is in no list any more, one
 * of P is ready, see kcolo_dgram_leave(). If @dg is P's it is marked and either
 * leaves at once, if kcolo_dgram_may_leave(), or is queued.
 * Return: the partner, or NULL.
 */
struct kcolo_dgram *kcolo_dgram_meet(struct kcolo_dgrams *d,
				     enum kcolo_side side,
				     struct kcolo_dgram *dg,
				     kcolo_dgram_equal_t equal)
{
	enum kcolo_side other = side == KCOLO_P ? KCOLO_S : KCOLO_P;
	unsigned int left = KCOLO_DGRAM_WINDOW;
	struct kcolo_dgram *at;

	list_for_each_entry(at, &d->open[other], node) {
		if (!left--)
			return NULL;
		if (!same(dg, at, equal))
			continue;
		list_del(&at->node);
		dg->matched = true;
		if (other == KCOLO_P)
			make_ready(d, at);
		move_on(d, other, at);
		move_on(d, side, dg);
		return at;
	}
	return NULL;
}

/**
 * kcolo_dgram_queue() - keep a datagram
 * @d: comparison
 * @side: who said it
 * @dg: datagram, numbered and in no list, the last of its side; it has a partner
 *	only if it is P's
 */
void kcolo_dgram_queue(struct kcolo_dgrams *d, enum kcolo_side side,
		       struct kcolo_dgram *dg)
{
	if (side == KCOLO_P)
		list_add_tail(&dg->all, &d->all);
	if (dg->matched)
		list_add_tail(&dg->node, &d->ready);
	else
		list_add_tail(&dg->node, &d->open[side]);
}

/**
 * kcolo_dgram_remove() - forget a datagram
 * @side: who said it
 * @dg: datagram that was queued
 */
void kcolo_dgram_remove(enum kcolo_side side, struct kcolo_dgram *dg)
{
	list_del(&dg->node);
	if (side == KCOLO_P)
		list_del(&dg->all);
}

/**
 * kcolo_dgram_may_leave() - may one of P that has a partner leave as it comes (R12)
 * @d: comparison, in which it is not queued
 * @now: time, ns
 * @window: how long to wait for an earlier one, ns
 *
 * Return: true if nothing earlier is to be waited for.
 */
bool kcolo_dgram_may_leave(const struct kcolo_dgrams *d, u64 now, u64 window)
{
	return list_empty(&d->ready) &&
	       (list_empty(&d->all) ||
		!in_window(d, KCOLO_P,
			   list_last_entry(&d->all, struct kcolo_dgram, all),
			   now, window));
}

/*
 * The datagram that the first ready one waits for, NULL if it need not. All before
 * the first ready one have no partner; the nearest is the last to leave the window.
 */
static struct kcolo_dgram *blocker(const struct kcolo_dgrams *d, u64 now,
				   u64 window)
{
	struct kcolo_dgram *first, *before;

	first = list_first_entry(&d->ready, struct kcolo_dgram, node);
	if (first->all.prev == &d->all)
		return NULL;
	before = list_prev_entry(first, all);
	return in_window(d, KCOLO_P, before, now, window) ? before : NULL;
}

/**
 * kcolo_dgram_leave() - the next one of P that may leave (R12)
 * @d: comparison
 * @now: time, ns
 * @window: how long to wait for an earlier one, ns
 *
 * Return: a datagram, in no list any more, or NULL.
 */
struct kcolo_dgram *kcolo_dgram_leave(struct kcolo_dgrams *d, u64 now,
				      u64 window)
{
	struct kcolo_dgram *first;

	if (list_empty(&d->ready) || blocker(d, now, window))
		return NULL;
	first = list_first_entry(&d->ready, struct kcolo_dgram, node);
	kcolo_dgram_remove(KCOLO_P, first);
	return first;
}

/**
 * kcolo_dgram_oldest() - the oldest one without a partner
 * @d: comparison
 * @side: whose
 *
 * Return: a datagram or NULL.
 */
struct kcolo_dgram *kcolo_dgram_oldest(const struct kcolo_dgrams *d,
				       enum kcolo_side side)
{
	if (!list_empty(&d->lost[side]))
		return list_first_entry(&d->lost[side], struct kcolo_dgram, node);
	if (!list_empty(&d->open[side]))
		return list_first_entry(&d->open[side], struct kcolo_dgram, node);
	return NULL;
}

/**
 * kcolo_dgram_differ() - do both sides have one that matches nothing (R8)
 * @d: comparison
 * @now: time, ns
 * @window: how long to wait for a partner, ns
 *
 * Return: true if the window has passed over the oldest of both.
 */
bool kcolo_dgram_differ(const struct kcolo_dgrams *d, u64 now, u64 window)
{
	struct kcolo_dgram *p = kcolo_dgram_oldest(d, KCOLO_P);
	struct kcolo_dgram *s = kcolo_dgram_oldest(d, KCOLO_S);

	return p && s && !in_window(d, KCOLO_P, p, now, window) &&
	       !in_window(d, KCOLO_S, s, now, window);
}

/* When the window will have passed over both sides' oldest. */
static u64 differ_at(const struct kcolo_dgrams *d, const struct kcolo_dgram *p,
		     const struct kcolo_dgram *s, u64 now, u64 window)
{
	u64 p_at = passed(d, KCOLO_P, p) ? now : p->since + window;
	u64 s_at = passed(d, KCOLO_S, s) ? now : s->since + window;

	return (s64)(p_at - s_at) > 0 ? p_at : s_at;
}

/**
 * kcolo_dgram_deadline() - when will time alone change something
 * @d: comparison; what may leave has left
 * @now: time, ns
 * @window: as for kcolo_dgram_leave() and kcolo_dgram_differ()
 * @at: result, ns; what is due happens after it
 *
 * Return: false if never.
 */
bool kcolo_dgram_deadline(const struct kcolo_dgrams *d, u64 now, u64 window,
			  u64 *at)
{
	struct kcolo_dgram *p = kcolo_dgram_oldest(d, KCOLO_P);
	struct kcolo_dgram *s = kcolo_dgram_oldest(d, KCOLO_S);
	struct kcolo_dgram *before = NULL;
	bool both = p && s && !kcolo_dgram_differ(d, now, window);

	if (both)
		*at = differ_at(d, p, s, now, window);
	if (!list_empty(&d->ready))
		before = blocker(d, now, window);
	if (before && (!both || (s64)(before->since + window - *at) < 0))
		*at = before->since + window;
	return both || before;
}

/**
 * kcolo_dgram_difference() - where two datagrams differ
 * @p: one of them
 * @s: the other one
 * @equal: compares
 *
 * Return: first byte that differs, from the transport header on; the shorter
 * length if there is none.
 */
u32 kcolo_dgram_difference(const struct kcolo_dgram *p,
			   const struct kcolo_dgram *s,
			   kcolo_dgram_equal_t equal)
{
	u32 len = p->len < s->len ? p->len : s->len;
	u32 i;

	for (i = 0; i < len && i < KCOLO_DGRAM_HEAD; i++)
		if (p->head[i] != s->head[i])
			return i;
	return i < len ? i + equal(p, s, i) : len;
}

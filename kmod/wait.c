// SPDX-License-Identifier: GPL-2.0
/*
 * What waits in a TCP flow of the primary until the other side has said the same, and
 * how it leaves (R1, R5, R7).
 *
 * The guest's packets (P) are in flow->held. Bytes that are not compared yet wait in the
 * comparison; behind them comes the ACK gate (flow->gated); resets wait in flow->resets
 * for the other side's. The secondary's (S) wait in flow->queued, those of another epoch
 * in flow->early. What may leave moves to flow->outbox and is sent after the flow's lock
 * is dropped.
 */

#include "kcolo.h"
#include "trace.h"
#include "wait.h"

/**
 * kcolo_wait_let_out() - a held packet of P may leave
 * @flow: locked by the caller, who drains it
 * @held: waits for nothing any more
 */
void kcolo_wait_let_out(struct kcolo_flow *flow, struct kcolo_held *held)
{
	/* Nobody makes a checksum for bytes that may be wrong. */
	if (unlikely(held->gone) && !seq_after(held->seg.end, flow->cmp.cmp))
		kcolo_lower_cut(held, flow->tuple.v6);
	kcolo_wait_note_out(flow, &held->seg, held->skb, held->l4, held->data,
			    held->win);
	kcolo_clock_leaves(flow, held);
	kcolo_flow_let_out(flow, held);
}

/* Sorted by ack, so that those whose ack may leave are always in front. */
static void gate(struct kcolo_flow *flow, struct kcolo_held *held)
{
	struct kcolo_held *at;

	if (!(held->seg.flags & KCOLO_TCP_ACK)) {
		list_add(&held->seg.gated, &flow->gated);
		return;
	}
	list_for_each_entry_reverse(at, &flow->gated, seg.gated)
		if (!(at->seg.flags & KCOLO_TCP_ACK) ||
		    !seq_after(at->seg.ack, held->seg.ack))
			break;
	list_add(&held->seg.gated, &at->seg.gated);
}

/* R1 (a) holds; leave at once if (b) does, too. */
static void settle(struct kcolo_flow *flow, struct kcolo_held *held)
{
	if (kcolo_cmp_gate(&flow->cmp, &held->seg))
		kcolo_wait_let_out(flow, held);
	else
		gate(flow, held);
}

/**
 * kcolo_wait_unhold() - take a held packet of P out, whatever it waits for
 * @flow: locked by the caller
 * @held: the caller's from now on
 */
void kcolo_wait_unhold(struct kcolo_flow *flow, struct kcolo_held *held)
{
	if (held->seg.queued)
		kcolo_cmp_remove(&flow->cmp, KCOLO_P, &held->seg);
	else
		list_del(&held->seg.gated);
	list_del(&held->list);
}

/**
 * kcolo_wait_drop_queued() - forget what S has said and nobody compared
 * @flow: locked by the caller
 * @why: the counter
 */
void kcolo_wait_drop_queued(struct kcolo_flow *flow, int why)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->queued, list) {
		kcolo_cmp_remove(&flow->cmp, KCOLO_S, &held->seg);
		list_del(&held->list);
		this_cpu_inc(flow->pair->stats->v[why]);
		kcolo_hold_drop(flow->pair, held);
	}
}

/**
 * kcolo_wait_drop_reset() - drop a packet of a connection that is no more (R5)
 * @flow: locked by the caller
 * @held: in no list
 */
void kcolo_wait_drop_reset(struct kcolo_flow *flow, struct kcolo_held *held)
{
	kcolo_count_drop(flow->pair, DROPPED_RESET, held->skb);
	kcolo_hold_drop(flow->pair, held);
}

/**
 * kcolo_wait_drop_held() - what a dead connection wanted to say dies with it (R4)
 * @flow: locked by the caller
 */
void kcolo_wait_drop_held(struct kcolo_flow *flow)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->held, list) {
		kcolo_wait_unhold(flow, held);
		kcolo_wait_drop_reset(flow, held);
	}
}

/**
 * kcolo_wait_drop_early() - forget what S said ahead of a commit (C4)
 * @flow: locked by the caller
 * @tag: of which epoch; 0: of all
 */
void kcolo_wait_drop_early(struct kcolo_flow *flow, u8 tag)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->early, list) {
		if (tag && held->tag != tag)
			continue;
		list_del(&held->list);
		kcolo_count(flow->pair, SECONDARY_STALE);
		kcolo_hold_drop(flow->pair, held);
	}
}

/* R5: RST has met RST. Bytes that only one side said will never be equal. */
static void leave_resets(struct kcolo_flow *flow)
{
	struct kcolo_held *held, *next;
	bool left = false;

	list_for_each_entry_safe(held, next, &flow->resets, seg.gated) {
		if (!kcolo_cmp_gate(&flow->cmp, &held->seg))
			continue;
		list_del(&held->seg.gated);
		kcolo_wait_let_out(flow, held);
		left = true;
	}
	if (!left)
		return;
	list_for_each_entry_safe(held, next, &flow->held, list) {
		if (!held->seg.queued)
			continue;
		kcolo_wait_unhold(flow, held);
		kcolo_wait_drop_reset(flow, held);
	}
	kcolo_wait_drop_queued(flow, KCOLO_A_STATS_SECONDARY_DROPPED);
}

/**
 * kcolo_wait_ask() - ask for a checkpoint and say why (R7)
 * @flow: locked by the caller
 * @reason: enum kcolo_reason
 * @seq: where, in P's numbers
 * @p: P's packet there or NULL
 * @s: S's packet there or NULL
 */
void kcolo_wait_ask(struct kcolo_flow *flow, u8 reason, u32 seq,
		    const struct kcolo_seg *p, const struct kcolo_seg *s)
{
	struct kcolo_cmp *c = &flow->cmp;
	struct kcolo_miscompare what = {
		.tuple = flow->tuple,
		.reason = reason,
		.seq = seq,
		.stream = c->stream + (s32)(seq - c->cmp),
		.stream_ok = c->stream_ok,
	};

	if (p)
		what.p_len = kcolo_payload_copy(p, seq, what.p);
	if (s)
		what.s_len = kcolo_payload_copy(s, seq, what.s);
	if (p && s)	/* it is equal; whose packet has more of it? */
		what.before_len = kcolo_payload_before(seq_before(p->seq, s->seq) ?
						       p : s, seq, what.before);
	kcolo_request(flow->pair, &what);
}

/**
 * kcolo_wait_differs() - the sides differ; the cure is a checkpoint (R7)
 * @flow: locked by the caller
 * @reason: enum kcolo_reason
 * @seq: where, in P's numbers
 * @p: P's packet there or NULL
 * @s: S's packet there or NULL
 */
void kcolo_wait_differs(struct kcolo_flow *flow, u8 reason, u32 seq,
			const struct kcolo_seg *p, const struct kcolo_seg *s)
{
	kcolo_count(flow->pair, MISCOMPARES);
	trace_compare_miscompare(flow->pair);
	kcolo_wait_ask(flow, reason, seq, p, s);
}

/* What the comparison has found since it had compared @before bytes. */
static void found(struct kcolo_flow *flow, u64 before, enum kcolo_diff diff,
		  const struct kcolo_seg *p, const struct kcolo_seg *s, u64 now)
{
	struct kcolo_cmp *c = &flow->cmp;

	if (c->compared != before) {
		flow->cmp_moved = now;
		kcolo_count_n(flow->pair, COMPARED_BYTES, c->compared - before);
	}
	if (likely(diff == KCOLO_DIFF_NONE)) {
		if (c->compared != before)
			trace_compare_main(flow->pair, "same");
		return;
	}
	trace_compare_main(flow->pair, "different");
	kcolo_wait_differs(flow, diff == KCOLO_DIFF_FIN ? KCOLO_REASON_FIN :
					   KCOLO_REASON_PAYLOAD, c->cmp, p, s);
}

static void compare(struct kcolo_flow *flow, u64 now)
{
	u64 before = flow->cmp.compared;
	struct kcolo_seg *p, *s;
	enum kcolo_diff diff;

	diff = kcolo_cmp_run(&flow->cmp, kcolo_payload_equal, &p, &s);
	found(flow, before, diff, p, s, now);
}

/**
 * kcolo_wait_meet() - compare a packet with what waits, without keeping it
 * @flow: locked by the caller
 * @side: whose packet it is
 * @seg: what it says
 * @pkt: where its headers are
 * @skb: the packet
 * @now: nanoseconds, of the fast monotonic clock
 *
 * It takes no room that others wait for (R10).
 *
 * Return: true if all of it was compared.
 */
bool kcolo_wait_meet(struct kcolo_flow *flow, enum kcolo_side side,
		     const struct kcolo_seg *seg, const struct kcolo_pkt *pkt,
		     struct sk_buff *skb, u64 now)
{
	const struct kcolo_seg *other = kcolo_cmp_meets(&flow->cmp, side, seg);
	bool p = side == KCOLO_P;
	struct kcolo_held held;
	enum kcolo_diff diff;
	u64 before;

	if (!other)
		return false;
	held.seg = *seg;
	held.skb = skb;
	held.l4 = pkt->l4;
	held.data = pkt->data;
	before = flow->cmp.compared;
	diff = kcolo_cmp_meet(&flow->cmp, side, &held.seg, other,
			      kcolo_payload_equal);
	found(flow, before, diff, p ? &held.seg : other, p ? other : &held.seg, now);
	/* What its side has said behind it. */
	if (kcolo_cmp_waits(&flow->cmp, side))
		compare(flow, now);
	return diff == KCOLO_DIFF_NONE;
}

/**
 * kcolo_wait_release() - let out what may leave, as far as both sides are compared (R1)
 * @flow: locked by the caller, who drains it
 * @now: nanoseconds, of the fast monotonic clock
 */
void kcolo_wait_release(struct kcolo_flow *flow, u64 now)
{
	struct kcolo_seg *seg, *p = NULL, *s = NULL;
	struct kcolo_held *held, *next;

	while (kcolo_cmp_waits(&flow->cmp, KCOLO_P) &&
	       (seg = kcolo_cmp_pop(&flow->cmp, KCOLO_P, &p))) {
		held = kcolo_held_of(seg);
		kcolo_histogram_add(flow->pair, KCOLO_HISTOGRAM_LAG,
				    now - held->since);
		settle(flow, held);
	}
	while (kcolo_cmp_waits(&flow->cmp, KCOLO_S) &&
	       (seg = kcolo_cmp_pop(&flow->cmp, KCOLO_S, &s))) {
		held = kcolo_held_of(seg);
		list_del(&held->list);
		kcolo_count(flow->pair, SECONDARY_HEARD);
		kcolo_hold_drop(flow->pair, held);
	}
	list_for_each_entry_safe(held, next, &flow->gated, seg.gated) {
		if (!kcolo_cmp_gate(&flow->cmp, &held->seg))
			break;
		list_del(&held->seg.gated);
		kcolo_clock_echo(flow, held);
		kcolo_wait_let_out(flow, held);
	}
	if (kcolo_cmp_rst_met(&flow->cmp))
		leave_resets(flow);
	if (list_empty(&flow->held))
		flow->asked = false;
}

/**
 * kcolo_wait_advance() - compare as far as both have spoken, let out what may leave
 * @flow: locked by the caller, who drains it
 * @now: nanoseconds, of the fast monotonic clock
 */
void kcolo_wait_advance(struct kcolo_flow *flow, u64 now)
{
	compare(flow, now);
	kcolo_wait_release(flow, now);
}

/**
 * kcolo_wait_place() - put a packet of P where it has to wait
 * @flow: locked by the caller
 * @held: the packet
 * @fate: what the comparison said of it
 *
 * Return: false if it has to wait nowhere; it is the caller's then.
 */
bool kcolo_wait_place(struct kcolo_flow *flow, struct kcolo_held *held,
		      enum kcolo_fate fate)
{
	list_add_tail(&held->list, &flow->held);
	switch (fate) {
	case KCOLO_FATE_QUEUED:
		kcolo_cmp_queue(&flow->cmp, KCOLO_P, &held->seg);
		return true;
	case KCOLO_FATE_COVERED:
		gate(flow, held);
		return true;
	case KCOLO_FATE_RST:
		list_add_tail(&held->seg.gated, &flow->resets);
		return true;
	default:
		list_del(&held->list);
		return false;
	}
}

/**
 * kcolo_wait_refuse_far() - count a packet of P that is out of all reason (R11)
 * @flow: locked by the caller
 * @seg: what it says
 * @skb: the packet, for the caller to drop
 */
void kcolo_wait_refuse_far(struct kcolo_flow *flow, const struct kcolo_seg *seg,
			   const struct sk_buff *skb)
{
	kcolo_count_drop(flow->pair, MALFORMED, skb);
	trace_proxy_main(flow->pair, "sequence number out of all reason");
	kcolo_wait_ask(flow, KCOLO_REASON_MALFORMED, seg->seq, NULL, NULL);
}

/**
 * kcolo_primary_let_go() - let all of a flow's packets leave, forget it (F2, F4)
 * @flow: not locked by the caller
 * @data: not used
 */
void kcolo_primary_let_go(struct kcolo_flow *flow, void *data)
{
	struct kcolo_held *held, *next;

	spin_lock(&flow->lock);
	if (!kcolo_flow_is_tcp(flow)) {
		kcolo_dflow_let_go(flow);
	} else if (!flow->dead) {
		/* Nothing is clamped any more. */
		kcolo_window_commit(&flow->win);
		list_for_each_entry_safe(held, next, &flow->held, list) {
			kcolo_wait_unhold(flow, held);
			INIT_LIST_HEAD(&held->list);
			kcolo_wait_let_out(flow, held);
		}
		kcolo_wait_drop_queued(flow, KCOLO_A_STATS_SECONDARY_DROPPED);
		kcolo_wait_drop_early(flow, 0);
		kcolo_flow_remove(flow);
	}
	kcolo_flow_unlock(flow);
}

/**
 * kcolo_primary_purge() - drop a flow's packets, a device or the pair goes away
 * @flow: not locked by the caller
 * @dev: struct net_device whose packets go; NULL: all, and the flow, too
 */
void kcolo_primary_purge(struct kcolo_flow *flow, void *dev)
{
	struct kcolo_held *held, *next;
	LIST_HEAD(gone);

	spin_lock(&flow->lock);
	if (!kcolo_flow_is_tcp(flow)) {
		kcolo_dflow_purge(flow, dev, &gone);
		goto unlock;
	}
	list_for_each_entry_safe(held, next, &flow->held, list) {
		if (!kcolo_hold_is_of(held, dev))
			continue;
		kcolo_wait_unhold(flow, held);
		list_add_tail(&held->list, &gone);
	}
	kcolo_hold_purge(flow->pair, &flow->outbox, dev);
	if (!dev && !flow->dead) {
		kcolo_wait_drop_queued(flow, KCOLO_A_STATS_SECONDARY_DROPPED);
		kcolo_wait_drop_early(flow, 0);
		kcolo_flow_remove(flow);
	}
unlock:
	spin_unlock(&flow->lock);
	kcolo_hold_purge(flow->pair, &gone, NULL);
}

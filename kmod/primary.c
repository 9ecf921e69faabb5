// SPDX-License-Identifier: GPL-2.0
/*
 * The primary host: what the guest (P) says leaves when the secondary (S) has
 * said the same (R1-R12).
 *
 * A packet of P is parsed, finds its flow, is heard by the comparison and waits
 * in flow->held. Bytes that are not compared yet wait in the comparison; behind
 * them comes the ACK gate (flow->gated); resets wait in flow->resets for the
 * other side's. What may leave moves to flow->outbox and is sent after the
 * flow's lock is dropped.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/timekeeping.h>
#include <net/tcp.h>
#include <linux/unaligned.h>

#include "kcolo.h"
#include "trace.h"
#include "translate.h"

#define IDLE_OPENING	(120 * HZ)
#define IDLE_CLOSED	(60 * HZ)		/* a Linux guest's TIME_WAIT */
#define IDLE_CLOSING	(3UL * 3600 * HZ)	/* W7: more than keepalive's two hours */
#define IDLE_OPEN	(5UL * 24 * 3600 * HZ)	/* W7: as conntrack's */

static void fill_seg(struct kcolo_seg *seg, const struct kcolo_pkt *pkt)
{
	seg->seq = pkt->seq;
	seg->end = pkt->seq_end;
	seg->ack = pkt->ack;
	seg->flags = pkt->flags;
	seg->queued = false;
}

/* A packet leaves, with the smaller window (R3); remember what the client is told. */
static void note_out(struct kcolo_flow *flow, const struct kcolo_seg *seg,
		     struct sk_buff *skb, u32 l4, u32 data, u16 win)
{
	if (!(seg->flags & KCOLO_TCP_ACK) || seg->flags & KCOLO_TCP_RST)
		return;
	kcolo_clamp_leave(flow, seg, skb, l4, data, win);
	flow->seq_out = flow->out_ok ? seq_max(flow->seq_out, seg->end) :
				       seg->end;
	flow->ack_out = flow->out_ok ? seq_max(flow->ack_out, seg->ack) :
				       seg->ack;
	flow->out_ok = true;
}

static void let_out(struct kcolo_flow *flow, struct kcolo_held *held)
{
	note_out(flow, &held->seg, held->skb, held->l4, held->data,
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
		let_out(flow, held);
	else
		gate(flow, held);
}

/* Forget a held packet of P, whatever it waits for. */
static void unhold(struct kcolo_flow *flow, struct kcolo_held *held)
{
	if (held->seg.queued)
		kcolo_cmp_remove(&flow->cmp, KCOLO_P, &held->seg);
	else
		list_del(&held->seg.gated);
	list_del(&held->list);
}

static void drop_queued(struct kcolo_flow *flow)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->queued, list) {
		kcolo_cmp_remove(&flow->cmp, KCOLO_S, &held->seg);
		list_del(&held->list);
		kcolo_hold_drop(flow->pair, held);
	}
}

static void drop_reset(struct kcolo_flow *flow, struct kcolo_held *held)
{
	kcolo_count_drop(flow->pair, DROPPED_RESET, held->skb);
	kcolo_hold_drop(flow->pair, held);
}

/* The old connection is dead; what it still wanted to say dies with it. */
static void drop_held(struct kcolo_flow *flow)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->held, list) {
		unhold(flow, held);
		drop_reset(flow, held);
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
		let_out(flow, held);
		left = true;
	}
	if (!left)
		return;
	list_for_each_entry_safe(held, next, &flow->held, list) {
		if (!held->seg.queued)
			continue;
		unhold(flow, held);
		drop_reset(flow, held);
	}
	drop_queued(flow);
}

static void ask(struct kcolo_flow *flow, u8 reason, u32 seq,
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

/* The sides differ; the cure is a checkpoint (R7). */
static void differs(struct kcolo_flow *flow, u8 reason, u32 seq,
		    const struct kcolo_seg *p, const struct kcolo_seg *s)
{
	kcolo_count(flow->pair, MISCOMPARES);
	trace_compare_miscompare(flow->pair);
	ask(flow, reason, seq, p, s);
}

static void compare(struct kcolo_flow *flow, u64 now)
{
	struct kcolo_cmp *c = &flow->cmp;
	u64 before = c->compared;
	struct kcolo_seg *p, *s;
	enum kcolo_diff diff;

	diff = kcolo_cmp_run(c, kcolo_payload_equal, &p, &s);
	if (c->compared != before) {
		flow->cmp_moved = now;
		kcolo_count_n(flow->pair, COMPARED_BYTES, c->compared - before);
	}
	if (diff == KCOLO_DIFF_NONE) {
		if (c->compared != before)
			trace_compare_main(flow->pair, "same");
		return;
	}
	trace_compare_main(flow->pair, "different");
	differs(flow, diff == KCOLO_DIFF_FIN ? KCOLO_REASON_FIN :
					   KCOLO_REASON_PAYLOAD, c->cmp, p, s);
}

/*
 * A packet that the other side's can be compared with at once need not be kept: it takes
 * no room that others wait for (R10).
 */
static bool meet(struct kcolo_flow *flow, enum kcolo_side side,
		 const struct kcolo_seg *seg, const struct kcolo_pkt *pkt,
		 struct sk_buff *skb, u64 now)
{
	struct kcolo_held held;

	if (!kcolo_cmp_meets(&flow->cmp, side, seg))
		return false;
	held.seg = *seg;
	held.skb = skb;
	held.l4 = pkt->l4;
	held.data = pkt->data;
	if (!kcolo_cmp_queue(&flow->cmp, side, &held.seg))
		return false;
	compare(flow, now);
	kcolo_cmp_remove(&flow->cmp, side, &held.seg);
	return !seq_after(seg->end, flow->cmp.cmp);
}

/* Let out what may leave, as far as both sides are compared. */
static void release(struct kcolo_flow *flow, u64 now)
{
	struct kcolo_seg *seg, *p = NULL, *s = NULL;
	struct kcolo_held *held, *next;

	while ((seg = kcolo_cmp_pop(&flow->cmp, KCOLO_P, &p))) {
		held = kcolo_held_of(seg);
		kcolo_histogram_add(flow->pair, KCOLO_HISTOGRAM_LAG,
				    now - held->since);
		settle(flow, held);
	}
	while ((seg = kcolo_cmp_pop(&flow->cmp, KCOLO_S, &s))) {
		held = kcolo_held_of(seg);
		list_del(&held->list);
		kcolo_hold_drop(flow->pair, held);
	}
	list_for_each_entry_safe(held, next, &flow->gated, seg.gated) {
		if (!kcolo_cmp_gate(&flow->cmp, &held->seg))
			break;
		list_del(&held->seg.gated);
		kcolo_clock_echo(flow, held);
		let_out(flow, held);
	}
	if (kcolo_cmp_rst_met(&flow->cmp))
		leave_resets(flow);
	if (list_empty(&flow->held))
		flow->asked = false;
}

/* Compare as far as both have spoken and let out what may leave. */
static void advance(struct kcolo_flow *flow, u64 now)
{
	compare(flow, now);
	release(flow, now);
}

/* Drops what S said early, of one epoch or (0) of all. */
static void drop_early(struct kcolo_flow *flow, u8 tag)
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

/* R4: what the primary agreed on with the client would not be kept by S. */
static void syn_differs(struct kcolo_flow *flow, const u8 *p, u32 p_len,
			const u8 *s, u32 s_len)
{
	struct kcolo_miscompare what = {
		.tuple = flow->tuple,
		.reason = KCOLO_REASON_SYN_OPTIONS,
		.seq = flow->cmp.side[KCOLO_P].isn,
		.p_len = min_t(u32, p_len, sizeof(what.p)),
		.s_len = min_t(u32, s_len, sizeof(what.s)),
	};

	memcpy(what.p, p, what.p_len);
	memcpy(what.s, s, what.s_len);
	kcolo_count(flow->pair, MISCOMPARES);
	trace_compare_miscompare(flow->pair);
	kcolo_request(flow->pair, &what);
}

/* Takes a new SYN's options in; whichever side's comes second is compared (R4). */
static void hear_options(struct kcolo_flow *flow, enum kcolo_side side,
			 const u8 *th, u32 hlen)
{
	const u8 *mine = th + sizeof(struct tcphdr), *other = flow->syn;
	u32 mine_len = hlen - sizeof(struct tcphdr), other_len = flow->syn_len;
	bool p = side == KCOLO_P;
	struct kcolo_tcp_opts opts;

	kcolo_tcp_opts(&opts, th, hlen);
	kcolo_window_syn(&flow->win, side, opts.wscale);
	if (!kcolo_cmp_offset_ok(&flow->cmp)) {
		flow->syn_len = mine_len;
		memcpy(flow->syn, mine, mine_len);
		return;
	}
	kcolo_count(flow->pair, FLOWS_OPENED);
	if (kcolo_syn_match(p ? mine : other, p ? mine_len : other_len,
			    p ? other : mine, p ? other_len : mine_len,
			    flow->tuple.v6))
		return;
	kcolo_cmp_refuse(&flow->cmp);
	syn_differs(flow, p ? mine : other, p ? mine_len : other_len,
		    p ? other : mine, p ? other_len : mine_len);
}

/* A SYN may start the connection afresh (R4); says whether it did. */
static bool hear_syn(struct kcolo_flow *flow, enum kcolo_side side,
		     const struct kcolo_seg *seg, const u8 *th, u32 hlen)
{
	struct kcolo_cmp *c = &flow->cmp;

	if (!(seg->flags & KCOLO_TCP_SYN) || !kcolo_cmp_is_new_syn(c, side, seg))
		return false;
	drop_queued(flow);
	if (side == KCOLO_P) {
		drop_held(flow);
		memset(&flow->client, 0, sizeof(flow->client));
		flow->opened_by_vm = !(seg->flags & KCOLO_TCP_ACK);
	}
	kcolo_cmp_syn(c, side, seg);
	hear_options(flow, side, th, hlen);
	return true;
}

static bool hear_held_syn(struct kcolo_flow *flow, enum kcolo_side side,
			  const struct kcolo_held *held)
{
	return hear_syn(flow, side, &held->seg, held->skb->data + held->l4,
			held->data - held->l4);
}

/*
 * What is made in P's name must not be older than what P has sent (PAWS), and P
 * may sign what it sends. Says whether this packet is older than what the client
 * was sent.
 */
static bool note_p_options(struct kcolo_flow *flow, const struct kcolo_pkt *pkt,
			   const struct sk_buff *skb)
{
	const u8 *th = skb->data + pkt->l4;
	struct kcolo_tcp_opts opts;
	u32 tsval;

	if (pkt->flags & KCOLO_TCP_SYN) {
		flow->p_ts_ok = false;
		flow->p_sig = false;
	}
	if (pkt->data - pkt->l4 == sizeof(struct tcphdr))
		return false;
	kcolo_tcp_opts(&opts, th, pkt->data - pkt->l4);
	flow->p_sig |= opts.sig;
	if (!opts.ts)
		return false;
	tsval = get_unaligned_be32(th + opts.ts);
	if (!flow->p_ts_ok || !seq_before(tsval, ntohl(flow->p_tsval)))
		flow->p_tsval = htonl(tsval);
	flow->p_ts_ok = true;
	return flow->ts_out_ok && seq_before(tsval, flow->ts_out);
}

/* Put a held packet of P where it has to wait. Returns false if nowhere. */
static bool place(struct kcolo_flow *flow, struct kcolo_held *held,
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

/* R11: a sequence number out of all reason. */
static void refuse_far(struct kcolo_flow *flow, const struct kcolo_seg *seg,
		       const struct sk_buff *skb)
{
	kcolo_count_drop(flow->pair, MALFORMED, skb);
	trace_proxy_main(flow->pair, "sequence number out of all reason");
	ask(flow, KCOLO_REASON_MALFORMED, seg->seq, NULL, NULL);
}

static void count_s(struct kcolo_pair *pair, const struct kcolo_seg *seg,
		    enum kcolo_fate fate)
{
	if (fate == KCOLO_FATE_COVERED && seg->seq != seg->end)
		kcolo_count(pair, SECONDARY_COVERED);
	else if (fate == KCOLO_FATE_FAR)
		kcolo_count(pair, SECONDARY_MALFORMED);
	else if (fate == KCOLO_FATE_UNKNOWN)
		kcolo_count(pair, SECONDARY_UNMATCHED);
}

/* R3: what a side offers, and since when S takes nothing while P does. */
static void note_window(struct kcolo_flow *flow, enum kcolo_side side,
			const struct kcolo_seg *seg, u16 win)
{
	kcolo_window_hear(&flow->win, side, seg, win);
	if (!kcolo_window_shut(&flow->win))
		flow->shut_since = 0;
	else if (!flow->shut_since)
		flow->shut_since = ktime_get_mono_fast_ns();
}

/* Hear a segment of S and keep it if it is to be compared. */
static void take_s(struct kcolo_flow *flow, struct kcolo_held *held)
{
	struct kcolo_pair *pair = flow->pair;

	bool new = hear_held_syn(flow, KCOLO_S, held);
	enum kcolo_fate fate;

	note_window(flow, KCOLO_S, &held->seg, held->win);
	fate = kcolo_cmp_put(&flow->cmp, KCOLO_S, &held->seg);
	if (fate == KCOLO_FATE_QUEUED &&
	    kcolo_cmp_queue(&flow->cmp, KCOLO_S, &held->seg)) {
		list_add_tail(&held->list, &flow->queued);
		return;
	}
	if (!new)
		count_s(pair, &held->seg, fate);
	kcolo_hold_drop(pair, held);
}

/* S has spoken in the new epoch before the commit reached this host (C4). */
static void take_early(struct kcolo_flow *flow, u8 tag)
{
	struct kcolo_held *held, *next;
	LIST_HEAD(early);

	list_splice_init(&flow->early, &early);
	list_for_each_entry_safe(held, next, &early, list) {
		list_del(&held->list);
		if (held->tag == tag) {
			take_s(flow, held);
		} else {
			kcolo_count(flow->pair, SECONDARY_STALE);
			kcolo_hold_drop(flow->pair, held);
		}
	}
}

/* C0: a connection that was here before the pair is known from a commit on. */
static bool adopt_unknown(struct kcolo_flow *flow, const struct kcolo_seg *seg)
{
	if (flow->cmp.state != KCOLO_CMP_NONE ||
	    !READ_ONCE(flow->pair->adopting) || seg->flags & KCOLO_TCP_RST)
		return false;
	kcolo_cmp_adopt(&flow->cmp, seg->seq, false);
	kcolo_count(flow->pair, FLOWS_ADOPTED);
	return true;
}

/* C2: packets before the barrier leave, the later ones are put in again. */
static void cut_at_barrier(struct kcolo_flow *flow, u32 gen,
			   struct list_head *later)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->held, list) {
		unhold(flow, held);
		if (held->gen == gen) {
			list_add_tail(&held->list, later);
			continue;
		}
		INIT_LIST_HEAD(&held->list);
		let_out(flow, held);
	}
}

/* What P said after the barrier is not in the copied state. */
static void back_to_barrier(struct kcolo_flow *flow)
{
	struct kcolo_stream *p = &flow->cmp.side[KCOLO_P];
	struct kcolo_cmp *c = &flow->cmp;

	bool same = p->isn == flow->p_begin.isn &&
		    p->isn_ok == flow->p_begin.isn_ok;

	*p = flow->p_begin;
	p->segs = RB_ROOT;	/* the caller has emptied it */
	c->state = flow->state_begin;
	c->nxt = flow->nxt_begin;
	if (same)
		return;
	/* The tuple was opened anew meanwhile; it will be, again. */
	p->syn_new = false;
	c->cmp = c->nxt;
	c->stream_ok = false;
}

/* C2: what came before the barrier was compared, what S said is stale. */
static void carry_commit(struct kcolo_flow *flow, struct kcolo_phase phase)
{
	struct kcolo_cmp *c = &flow->cmp;
	struct kcolo_held *held, *next;
	LIST_HEAD(later);

	flow->epoch = phase.epoch;
	flow->asked = false;
	flow->frozen = false;
	flow->shut_since = 0;
	kcolo_window_commit(&flow->win);
	list_for_each_entry(held, &flow->queued, list)
		kcolo_count(flow->pair, SECONDARY_STALE);
	drop_queued(flow);
	cut_at_barrier(flow, phase.gen, &later);
	if (flow->gen == phase.gen)
		back_to_barrier(flow);
	if (c->state == KCOLO_CMP_NONE)
		memset(c, 0, sizeof(*c));
	else
		kcolo_cmp_adopt(c, c->nxt, c->state != KCOLO_CMP_ADOPT);
	flow->lossy = false;

	list_for_each_entry_safe(held, next, &later, list) {
		list_del(&held->list);
		hear_held_syn(flow, KCOLO_P, held);
		note_window(flow, KCOLO_P, &held->seg, held->win);
		adopt_unknown(flow, &held->seg);
		if (place(flow, held, kcolo_cmp_put(c, KCOLO_P, &held->seg)))
			continue;
		refuse_far(flow, &held->seg, held->skb);
		kcolo_hold_drop(flow->pair, held);
	}
	take_early(flow, kcolo_tag(phase.epoch));
	advance(flow, ktime_get_mono_fast_ns());
}

/**
 * kcolo_primary_resume() - go on after an abort, as if nothing had been (C3)
 * @flow: locked by the caller, who drains it
 * @phase: of the pair
 */
void kcolo_primary_resume(struct kcolo_flow *flow, struct kcolo_phase phase)
{
	if (!kcolo_flow_is_tcp(flow)) {
		kcolo_dflow_resume(flow, phase);
		return;
	}
	flow->frozen = false;
	if (flow->cmp.state != KCOLO_CMP_NONE)
		take_early(flow, kcolo_tag(phase.epoch));
	advance(flow, ktime_get_mono_fast_ns());
}

/**
 * kcolo_primary_sync() - carry a commit or an abort through in one flow (C2, C3)
 * @flow: locked by the caller
 * @phase: of the pair
 *
 * Done by whoever touches the flow first after it, the checkpoint's own walk at the
 * latest. The caller drains the flow.
 */
void kcolo_primary_sync(struct kcolo_flow *flow, struct kcolo_phase phase)
{
	if (unlikely(flow->epoch != phase.epoch)) {
		if (kcolo_flow_is_tcp(flow))
			carry_commit(flow, phase);
		else
			kcolo_dflow_sync(flow, phase);
	} else if (unlikely(flow->frozen) &&
		   phase.state == KCOLO_STATE_RUNNING) {
		kcolo_primary_resume(flow, phase);
	}
}

/* C1: remember where P stood at the barrier, before its first packet after it. */
static void note_barrier(struct kcolo_flow *flow, struct kcolo_phase phase)
{
	if (flow->gen == phase.gen)
		return;
	flow->gen = phase.gen;
	flow->state_begin = flow->cmp.state;
	flow->nxt_begin = flow->cmp.nxt;
	flow->p_begin = flow->cmp.side[KCOLO_P];
}

/* What may begin a flow: a SYN, or the refusal of one. */
static bool starts_flow(const struct kcolo_pkt *pkt)
{
	if (pkt->flags & KCOLO_TCP_SYN)
		return true;
	return pkt->flags & KCOLO_TCP_RST && pkt->flags & KCOLO_TCP_ACK &&
	       !pkt->seq;
}

/**
 * kcolo_primary_refuse() - drop a new packet of P; what is held stays (R10)
 * @pair: pair
 * @tuple: of its flow
 * @skb: the packet
 * @err: -ENOSPC at a limit, for which a checkpoint is asked; -ENOMEM
 *
 * Return: a verdict.
 */
unsigned int kcolo_primary_refuse(struct kcolo_pair *pair,
				  const struct kcolo_tuple *tuple,
				  const struct sk_buff *skb, int err)
{
	struct kcolo_miscompare what = {
		.tuple = *tuple,
		.reason = KCOLO_REASON_OVERFLOW,
	};

	if (err == -ENOMEM) {
		kcolo_count_drop(pair, NOMEM, skb);
		return NF_DROP;
	}
	kcolo_count_drop(pair, OVERFLOW, skb);
	trace_overflow(pair, KCOLO_P, tuple);
	kcolo_request(pair, &what);
	return NF_DROP;
}

/* Nothing is about to leave that a packet could overtake. */
static bool idle(const struct kcolo_flow *flow)
{
	return list_empty(&flow->outbox) && !flow->releasing &&
	       !READ_ONCE(flow->pair->flushing);
}

/* Nothing stands between this packet and the client. */
static bool leaves_at_once(struct kcolo_flow *flow, struct kcolo_phase phase,
			   const struct kcolo_seg *seg, enum kcolo_fate fate)
{
	if (fate == KCOLO_FATE_RST &&
	    (!kcolo_cmp_rst_met(&flow->cmp) || !list_empty(&flow->held) ||
	     !list_empty(&flow->queued)))
		return false;
	return (fate == KCOLO_FATE_COVERED || fate == KCOLO_FATE_RST) &&
	       phase.state != KCOLO_STATE_CHECKPOINT &&
	       kcolo_cmp_gate(&flow->cmp, seg) && list_empty(&flow->resets) &&
	       idle(flow);
}

/* Unlocks a flow, sends what may leave, tells if its state has changed. */
static void unlock_flow(struct kcolo_flow *flow)
	__releases(&flow->lock)
{
	u8 state = kcolo_flow_state(flow);
	bool changed = flow->told != state;

	flow->told = state;
	kcolo_flow_unlock(flow);
	if (unlikely(changed))
		kcolo_event_flow(flow);
}

/* A verdict that has to wait until the flow is unlocked. */
#define PASS_BEHIND (NF_MAX_VERDICT + 1)

/* S has said it before, and all before it has left. */
static bool said_before(struct kcolo_flow *flow, const struct kcolo_seg *seg,
			const struct kcolo_pkt *pkt, struct sk_buff *skb)
{
	if (list_empty(&flow->queued) || kcolo_unlist(skb, pkt) ||
	    skb_orphan_frags_rx(skb, GFP_ATOMIC) ||
	    !meet(flow, KCOLO_P, seg, pkt, skb, flow->p_heard))
		return false;
	kcolo_histogram_add(flow->pair, KCOLO_HISTOGRAM_LAG, 0);
	release(flow, flow->p_heard);
	return true;
}

/* S has said nothing that a new packet of P could be compared with. */
static bool only_waits(const struct kcolo_flow *flow, enum kcolo_fate fate)
{
	return fate == KCOLO_FATE_QUEUED && list_empty(&flow->queued) &&
	       flow->cmp.state == KCOLO_CMP_RUN;
}

/* The locked part of kcolo_primary_vm(). */
static unsigned int take_p(struct kcolo_flow *flow, struct kcolo_phase phase,
			   const struct kcolo_pkt *pkt, struct sk_buff *skb,
			   const struct nf_hook_state *state)
{
	struct kcolo_pair *pair = flow->pair;
	struct kcolo_held *held;
	struct kcolo_seg seg;
	enum kcolo_fate fate;
	bool late;

	if (phase.state == KCOLO_STATE_BYPASS)
		return PASS_BEHIND;
	kcolo_primary_sync(flow, phase);
	note_barrier(flow, phase);
	flow->used = jiffies;
	flow->p_heard = ktime_get_mono_fast_ns();
	fill_seg(&seg, pkt);
	late = note_p_options(flow, pkt, skb);
	flow->p_ttl = pkt->tuple.v6 ? ipv6_hdr(skb)->hop_limit :
				      ip_hdr(skb)->ttl;
	if (hear_syn(flow, KCOLO_P, &seg, skb->data + pkt->l4,
		     pkt->data - pkt->l4)) {
		drop_early(flow, kcolo_tag(phase.epoch));
		flow->out_ok = false;
		flow->lossy = false;
		flow->ts_out_ok = false;
		flow->s_ts_ok = false;
	}
	note_window(flow, KCOLO_P, &seg, pkt->win);
	if (adopt_unknown(flow, &seg))
		take_early(flow, kcolo_tag(phase.epoch));
	fate = kcolo_cmp_put(&flow->cmp, KCOLO_P, &seg);
	if (fate == KCOLO_FATE_FAR) {
		refuse_far(flow, &seg, skb);
		return NF_DROP;
	}
	if (fate == KCOLO_FATE_UNKNOWN)
		return PASS_BEHIND;
	if (fate == KCOLO_FATE_QUEUED && phase.state == KCOLO_STATE_RUNNING &&
	    list_empty(&flow->held) && said_before(flow, &seg, pkt, skb))
		fate = KCOLO_FATE_COVERED;
	if (!late && leaves_at_once(flow, phase, &seg, fate)) {
		note_out(flow, &seg, skb, pkt->l4, pkt->data, pkt->win);
		kcolo_clock_left(flow);
		kcolo_count(pair, PASSED);
		return NF_ACCEPT;
	}
	if (!kcolo_hold_room(pair, true, skb->truesize))
		return kcolo_primary_refuse(pair, &flow->tuple, skb, -ENOSPC);
	/* What is made of a held packet has one header only. */
	held = kcolo_unlist(skb, pkt) ? NULL :
	       kcolo_hold(pair, skb, state, true, flow->p_heard);
	if (!held)
		return kcolo_primary_refuse(pair, &flow->tuple, skb, -ENOMEM);
	kcolo_count(pair, HOLD);
	held->seg = seg;
	held->data = pkt->data;
	held->l4 = pkt->l4;
	held->win = pkt->win;
	held->gen = phase.gen;
	held->order = flow->order++;
	trace_hold(pair, held);
	place(flow, held, fate);
	if (phase.state == KCOLO_STATE_CHECKPOINT)
		flow->frozen = true;
	else if (!only_waits(flow, fate))
		advance(flow, flow->p_heard);
	return NF_STOLEN;
}

/**
 * kcolo_primary_vm() - a packet of the guest
 * @pair: a primary pair
 * @skb: at the end of PRE_ROUTING
 * @state: the hook's
 *
 * Return: a verdict.
 */
unsigned int kcolo_primary_vm(struct kcolo_pair *pair, struct sk_buff *skb,
			      const struct nf_hook_state *state)
{
	struct kcolo_phase phase = kcolo_phase(pair);
	struct kcolo_flow *flow;
	struct kcolo_pkt pkt;
	unsigned int verdict;
	bool make;

	kcolo_count(pair, PRIMARY_PACKETS);
	kcolo_count_n(pair, PRIMARY_BYTES, skb->len);
	if (phase.state == KCOLO_STATE_BYPASS) {
		kcolo_count(pair, UNCOMPARED_BYPASS);
		return kcolo_hold_behind(pair, skb, state);
	}
	switch (kcolo_pkt_parse_skb(&pkt, skb, state->pf == NFPROTO_IPV6)) {
	case KCOLO_PKT_TCP:
		if (!kcolo_rule_bypass(pair, &pkt.tuple)) {
			if (pkt.flags & KCOLO_TCP_SYN && !kcolo_observes(pair))
				kcolo_strip(pair, skb, &pkt);
			break;
		}
		kcolo_count(pair, UNCOMPARED_RULE);
		return kcolo_hold_behind(pair, skb, state);
	case KCOLO_PKT_DGRAM:
		return kcolo_dflow_vm(pair, &pkt, skb, state);
	case KCOLO_PKT_OTHER:
		/* What comes to the IP hooks is put together, what is in tags is not. */
		if (!nf_bridge_info_exists(skb) && netif_is_bridge_port(skb->dev))
			return kcolo_dflow_vm(pair, &pkt, skb, state);
		kcolo_count(pair, UNCOMPARED_PROTO);
		return kcolo_hold_behind(pair, skb, state);
	default:
		kcolo_count_drop(pair, MALFORMED, skb);
		trace_proxy_main(pair, "malformed packet of the primary");
		return NF_DROP;
	}

	make = starts_flow(&pkt) || READ_ONCE(pair->adopting);
again:
	flow = make ? kcolo_flow_get(pair, &pkt.tuple) :
		      kcolo_flow_find(pair, &pkt.tuple);
	if (IS_ERR(flow))
		return kcolo_primary_refuse(pair, &pkt.tuple, skb,
					    PTR_ERR(flow));
	if (!flow) {
		kcolo_count(pair, UNCOMPARED_MIDSTREAM);
		return kcolo_hold_behind(pair, skb, state);
	}
	spin_lock(&flow->lock);
	if (unlikely(flow->dead)) {	/* and out of the table by now */
		spin_unlock(&flow->lock);
		goto again;
	}
	/* Under the lock it can only have moved on. */
	verdict = take_p(flow, kcolo_phase(pair), &pkt, skb, state);
	unlock_flow(flow);
	if (verdict == PASS_BEHIND) {
		kcolo_count(pair, UNCOMPARED_MIDSTREAM);
		return kcolo_hold_behind(pair, skb, state);
	}
	return verdict;
}

/*
 * R15: S repeats what the client has acknowledged; its copy of that ACK was lost
 * on the mirror. So was a window update if S probes, with a number that the client
 * has acknowledged and no data. A SYN may be in S's own space, so only its place
 * counts.
 */
static bool client_has(const struct kcolo_flow *flow,
		       const struct kcolo_seg *seg)
{
	const struct kcolo_cmp *c = &flow->cmp;
	u32 end = seg->end;

	if (seg->flags & KCOLO_TCP_RST || !flow->client.ok ||
	    c->state != KCOLO_CMP_RUN || c->side[KCOLO_P].syn_new ||
	    c->side[KCOLO_S].syn_new)
		return false;
	if (seg->flags & KCOLO_TCP_SYN && !kcolo_cmp_offset_ok(c))
		return false;
	if (seg->flags & KCOLO_TCP_SYN)
		end = c->side[KCOLO_P].isn + 1;
	else if (seg->seq == seg->end)
		end++;
	return !seq_after(end, flow->client.ack);
}

static bool repeats(const struct kcolo_flow *flow, const struct kcolo_seg *seg)
{
	return seg->seq != seg->end && !seq_after(seg->end, flow->cmp.cmp) &&
	       !(seg->flags & (KCOLO_TCP_SYN | KCOLO_TCP_RST));
}

/*
 * R15: bytes of S were lost on their way here, and the client has acknowledged all
 * that came before them. Earlier, an ACK would make S repeat those, too.
 */
static void tell_hole(const struct kcolo_flow *flow, struct kcolo_ack *ack)
{
	const struct kcolo_cmp *c = &flow->cmp;
	u32 max = ARRAY_SIZE(ack->edges) / 2;

	if (!flow->client.ok || flow->client.ack != c->cmp ||
	    c->state != KCOLO_CMP_RUN)
		return;
	/* Three is what fits behind a timestamp. */
	ack->islands = kcolo_cmp_islands(c, ack->edges,
					 flow->client.has_ts ? max - 1 : max);
	if (ack->islands)
		ack->client = flow->client;
}

/* Does this packet show that S has lost something on its way here? */
static bool shows_loss(const struct kcolo_flow *flow, const struct kcolo_seg *seg,
		       bool again)
{
	const struct kcolo_cmp *c = &flow->cmp;
	u32 hole[2];

	return again || (c->state == KCOLO_CMP_RUN &&
			 seq_after(seg->seq, c->cmp) &&
			 kcolo_cmp_islands(c, hole, 1));
}

/*
 * R1: where the streams are cut differently and S sends little at a time, since it
 * has lost something, compared bytes do not wait for the rest of their packet if
 * the client has nothing else to acknowledge: S may wait for that, too.
 */
static struct sk_buff *make_head(struct kcolo_flow *flow, kcolo_okfn_t *okfn)
{
	if (!flow->lossy || !flow->out_ok || !flow->client.ok ||
	    flow->cmp.state != KCOLO_CMP_RUN ||
	    flow->client.ack != flow->seq_out || !idle(flow))
		return NULL;
	return kcolo_lower_head(flow, flow->seq_out, okfn);
}

/* R1: what S repeats, the client lacks. */
static struct sk_buff *repeat_head(struct kcolo_flow *flow,
				   const struct kcolo_seg *seg,
				   kcolo_okfn_t *okfn)
{
	u32 from = flow->client.ok ? flow->client.ack : seg->seq;

	return idle(flow) ? kcolo_lower_head(flow, from, okfn) : NULL;
}

/* Keeps a packet of S until it can be compared, if there is room (R10). */
static struct kcolo_held *keep_s(struct kcolo_flow *flow,
				 const struct kcolo_seg *seg,
				 const struct kcolo_pkt *pkt, u8 tag,
				 struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	struct kcolo_pair *pair = flow->pair;
	struct kcolo_held *held;

	if (!kcolo_hold_room(pair, false, skb->truesize)) {
		kcolo_count(pair, SECONDARY_REFUSED);
		trace_overflow(pair, KCOLO_S, &flow->tuple);
		ask(flow, KCOLO_REASON_OVERFLOW, flow->cmp.cmp, NULL, NULL);
		return NULL;
	}
	held = kcolo_hold(pair, skb, state, false, flow->s_heard);
	if (!held) {
		kcolo_count(pair, NOMEM);
		return NULL;
	}
	held->seg = *seg;
	held->data = pkt->data;
	held->l4 = pkt->l4;
	held->win = pkt->win;
	held->tag = tag;
	return held;
}

/**
 * enum heard - what has become of a packet of the secondary
 * @HEARD: it was not needed
 * @HEARD_COMPARED: it was compared, all of it
 * @HEARD_KEPT: it was kept, the skb is not the caller's any more
 */
enum heard {
	HEARD,
	HEARD_COMPARED,
	HEARD_KEPT,
};

/* The locked part of kcolo_primary_peer(). */
static enum heard hear_s(struct kcolo_flow *flow, struct kcolo_phase phase,
			 const struct kcolo_pkt *pkt, struct sk_buff *skb,
			 const struct nf_hook_state *state, u8 tag)
{
	bool early = tag != kcolo_tag(phase.epoch);
	enum kcolo_fate fate = KCOLO_FATE_QUEUED;
	struct kcolo_pair *pair = flow->pair;
	u32 sack = flow->cmp.side[KCOLO_S].ack;
	struct kcolo_held *held;
	struct kcolo_seg seg;

	flow->used = jiffies;
	flow->s_heard = ktime_get_mono_fast_ns();
	fill_seg(&seg, pkt);
	if (!early) {
		bool new = hear_syn(flow, KCOLO_S, &seg, skb->data + pkt->l4,
				    pkt->data - pkt->l4);

		fate = kcolo_cmp_put(&flow->cmp, KCOLO_S, &seg);
		note_window(flow, KCOLO_S, &seg, pkt->win);
		if (new)
			return HEARD;
		if (sack != flow->cmp.side[KCOLO_S].ack)
			flow->ack_moved = flow->s_heard;
	}
	/* C0: S may speak first after a commit that adopts the connection. */
	if (fate == KCOLO_FATE_UNKNOWN && READ_ONCE(pair->adopting) &&
	    !(seg.flags & KCOLO_TCP_SYN))
		early = true;
	if (!early && fate != KCOLO_FATE_QUEUED) {
		count_s(pair, &seg, fate);
		return HEARD;
	}
	if (!early && phase.state == KCOLO_STATE_RUNNING &&
	    meet(flow, KCOLO_S, &seg, pkt, skb, flow->s_heard))
		return HEARD_COMPARED;
	held = keep_s(flow, &seg, pkt, tag, skb, state);
	if (!held)
		return HEARD;
	if (early) {
		list_add_tail(&held->list, &flow->early);
	} else if (kcolo_cmp_queue(&flow->cmp, KCOLO_S, &held->seg)) {
		list_add_tail(&held->list, &flow->queued);
	} else {
		kcolo_count(pair, SECONDARY_COVERED);
		kcolo_hold_drop(pair, held);
	}
	return HEARD_KEPT;
}

/**
 * kcolo_primary_tag_fits() - is a packet of the secondary of this epoch (C4)
 * @pair: a primary pair
 * @phase: of the pair
 * @tag: that the packet carries
 *
 * Return: true if it may be heard, else it is counted; only during a checkpoint
 * may another epoch be the next one.
 */
bool kcolo_primary_tag_fits(struct kcolo_pair *pair, struct kcolo_phase phase,
			    u8 tag)
{
	if (phase.state == KCOLO_STATE_BYPASS) {
		kcolo_count(pair, SECONDARY_BYPASS);
		return false;
	}
	if (tag == kcolo_tag(phase.epoch)) {
		if (atomic_read(&pair->foreign))
			atomic_set(&pair->foreign, 0);
		return true;
	}
	if (phase.state == KCOLO_STATE_CHECKPOINT)
		return true;
	atomic_inc(&pair->foreign);
	kcolo_count(pair, SECONDARY_STALE);
	return false;
}

static void hear_peer(struct kcolo_pair *pair, const struct kcolo_pkt *pkt,
		      struct sk_buff *skb, const struct nf_hook_state *state,
		      u8 tag)
{
	bool make = starts_flow(pkt) || READ_ONCE(pair->adopting);
	struct kcolo_lowered note;
	struct kcolo_ack ack;
	struct sk_buff *made = NULL;
	struct kcolo_phase phase;
	struct kcolo_flow *flow;
	struct kcolo_seg seg;
	kcolo_okfn_t okfn;
	bool kept, running, again;
	enum heard heard;

retry:
	flow = make ? kcolo_flow_get(pair, &pkt->tuple) :
		      kcolo_flow_find(pair, &pkt->tuple);
	if (IS_ERR_OR_NULL(flow)) {
		if (flow == ERR_PTR(-ENOMEM))
			kcolo_count(pair, NOMEM);
		else
			kcolo_count(pair, SECONDARY_UNMATCHED);
		consume_skb(skb);
		return;
	}
	spin_lock(&flow->lock);
	if (unlikely(flow->dead)) {
		spin_unlock(&flow->lock);
		goto retry;
	}
	phase = kcolo_phase(pair);	/* under the lock it can only have moved on */
	kcolo_primary_sync(flow, phase);
	if (!kcolo_primary_tag_fits(pair, phase, tag)) {
		unlock_flow(flow);
		consume_skb(skb);
		return;
	}
	fill_seg(&seg, pkt);
	running = phase.state == KCOLO_STATE_RUNNING;
	ack.like = *eth_hdr(skb);
	ack.islands = 0;
	ack.client.ok = false;
	if (running && client_has(flow, &seg))
		ack.client = flow->client;
	note.ok = false;
	if (running && (!list_empty(&flow->held) ||
			kcolo_window_tight(&flow->win)))
		kcolo_lower_note(&note, pkt, skb);
	kcolo_clock_heard(flow, &note);
	if (flow->lossy)
		kcolo_clock_follow(flow, &note);
	heard = hear_s(flow, phase, pkt, skb, state, tag);
	kept = heard == HEARD_KEPT;
	flow->frozen |= !running;
	if (running) {
		if (heard == HEARD_COMPARED)
			release(flow, flow->s_heard);
		else
			advance(flow, flow->s_heard);
		again = heard == HEARD && repeats(flow, &seg);
		if (!flow->lossy && shows_loss(flow, &seg, again)) {
			flow->lossy = true;
			kcolo_clock_follow(flow, &note);
		}
		if (!ack.client.ok)
			made = again ? repeat_head(flow, &seg, &okfn) :
				       make_head(flow, &okfn);
		if (!made && note.ok && idle(flow))
			made = kcolo_lower_ack(flow, &note, &okfn);
		if (flow->lossy && !ack.client.ok && seg.seq != seg.end)
			tell_hole(flow, &ack);
		if (!made && !kept && !READ_ONCE(pair->flushing)) {
			okfn = state->okfn;
			made = kcolo_clamp_update(flow, &note, skb, &okfn);
		}
	}
	unlock_flow(flow);
	if (made)
		okfn(pair->net, NULL, made);
	if (ack.client.ok)
		kcolo_resend_ack(pair, &pkt->tuple, &ack);
	if (!kept)
		consume_skb(skb);
}

/**
 * kcolo_primary_peer() - a packet of the secondary, consumed whatever it is (S1)
 * @pair: a primary pair
 * @skb: at PRE_ROUTING, before conntrack
 * @state: the hook's
 *
 * Return: a verdict, never NF_ACCEPT.
 */
unsigned int kcolo_primary_peer(struct kcolo_pair *pair, struct sk_buff *skb,
				const struct nf_hook_state *state)
{
	bool v6 = state->pf == NFPROTO_IPV6;
	enum kcolo_pkt_verdict verdict;
	struct kcolo_pkt pkt;
	u8 tag;

	kcolo_count(pair, SECONDARY_PACKETS);
	kcolo_count_n(pair, SECONDARY_BYTES, skb->len);
	verdict = kcolo_pkt_parse_skb(&pkt, skb, v6);
	switch (verdict) {
	case KCOLO_PKT_TCP:
	case KCOLO_PKT_DGRAM:
		break;
	case KCOLO_PKT_OTHER:
		if (!nf_bridge_info_exists(skb))
			break;
		kcolo_count(pair, SECONDARY_IGNORED);
		return NF_DROP;
	default:
		kcolo_count(pair, SECONDARY_MALFORMED);
		trace_proxy_main(pair, "malformed packet of the secondary");
		return NF_DROP;
	}
	if (verdict != KCOLO_PKT_TCP)
		return kcolo_dflow_peer(pair, &pkt, skb, state);
	tag = v6 ? ipv6_hdr(skb)->hop_limit : ip_hdr(skb)->ttl;
	if (kcolo_rule_bypass(pair, &pkt.tuple)) {
		kcolo_count(pair, SECONDARY_RULE);
		return NF_DROP;
	}
	if (!kcolo_primary_tag_fits(pair, kcolo_phase(pair), tag))
		return NF_DROP;
	hear_peer(pair, &pkt, skb, state, tag);
	return NF_STOLEN;
}

/*
 * Does the guest heed a segment (RFC 9293, 3.10.7.4)? Anybody can send in the client's
 * name; what lies outside the guest's window, or acknowledges what the guest has not
 * said, is thrown away there and must not count here.
 */
static bool guest_heeds(const struct kcolo_flow *flow, const struct kcolo_pkt *pkt)
{
	const struct kcolo_cmp *c = &flow->cmp;
	const struct kcolo_stream *p = &c->side[KCOLO_P];
	u32 window = (u32)U16_MAX << (p->isn_ok ? flow->win.p_scale :
					  TCP_MAX_WSCALE);
	/* What an adopted connection has said before is not known. */
	u32 unseen = c->stream_ok || c->compared ? 0 : KCOLO_CMP_WINDOW / 2;

	if (c->state == KCOLO_CMP_NONE)
		return false;
	if (p->ack_ok && (seq_before(pkt->seq_end, p->ack) ||
			  seq_after(pkt->seq, p->ack + window)))
		return false;
	return !(pkt->flags & KCOLO_TCP_ACK) ||
	       !seq_after(pkt->ack, c->nxt + unseen);
}

static void note_client(struct kcolo_flow *flow, const struct kcolo_pkt *pkt,
			const struct sk_buff *skb)
{
	const struct kcolo_stream *p = &flow->cmp.side[KCOLO_P];
	struct kcolo_client *client = &flow->client;
	const u8 *th = skb->data + pkt->l4;
	struct kcolo_tcp_opts opts;

	if (!guest_heeds(flow, pkt))
		return;
	/* RFC 5961: the guest heeds a reset only at the very next number. */
	if (pkt->flags & KCOLO_TCP_RST &&
	    (client->ok ? pkt->seq == client->seq :
			  p->ack_ok && pkt->seq == p->ack))
		client->rst = true;
	if (pkt->flags & KCOLO_TCP_FIN)
		client->fin = true;
	kcolo_tcp_opts(&opts, th, pkt->data - pkt->l4);
	/* Scaling is on only if both ends want it. */
	if (pkt->flags & KCOLO_TCP_SYN && pkt->flags & KCOLO_TCP_ACK &&
	    flow->opened_by_vm && !client->ok && !opts.scaled)
		kcolo_window_unscaled(&flow->win);
	if (pkt->flags & (KCOLO_TCP_SYN | KCOLO_TCP_RST) ||
	    !(pkt->flags & KCOLO_TCP_ACK))
		return;
	if (client->ok && (seq_before(pkt->ack, client->ack) ||
			   seq_before(pkt->seq_end, client->seq)))
		return;
	client->seq = pkt->seq_end;
	client->ack = pkt->ack;
	client->win = pkt->win;
	client->ok = true;
	client->has_ts = opts.ts;
	if (opts.ts) {
		client->tsval = get_unaligned((__be32 *)(th + opts.ts));
		client->tsecr = get_unaligned((__be32 *)(th + opts.ts + 4));
	}
}

/* R4: a SYN is stripped before it is mirrored, so both guests see the same. */
static void strip_client(struct kcolo_pair *pair, struct sk_buff *skb,
			 const struct kcolo_pkt *pkt,
			 const struct kcolo_tuple *tuple)
{
	if (kcolo_state(pair) != KCOLO_STATE_BYPASS && !kcolo_observes(pair) &&
	    !kcolo_rule_bypass(pair, tuple))
		kcolo_strip(pair, skb, pkt);
}

/**
 * kcolo_primary_client() - a packet to the guest: note the client's ACK (R15)
 * @pair: a primary pair
 * @skb: at POST_ROUTING of the guest's port; may be reallocated
 * @v6: IPv6
 */
void kcolo_primary_client(struct kcolo_pair *pair, struct sk_buff *skb, bool v6)
{
	struct sk_buff *made = NULL;
	struct kcolo_phase phase;
	struct kcolo_tuple tuple;
	struct kcolo_ack ack;
	struct kcolo_flow *flow;
	struct kcolo_pkt pkt;
	kcolo_okfn_t okfn;
	bool running;
	u32 acked;

	if (kcolo_pkt_parse_skb(&pkt, skb, v6) != KCOLO_PKT_TCP)
		return;
	kcolo_tuple_reverse(&tuple, &pkt.tuple);
	if (pkt.flags & KCOLO_TCP_SYN)
		strip_client(pair, skb, &pkt, &tuple);
	if (!atomic_read(&pair->flow_n))
		return;
	flow = kcolo_flow_find(pair, &tuple);
	if (!flow)
		return;
	spin_lock(&flow->lock);
	if (unlikely(flow->dead)) {
		spin_unlock(&flow->lock);
		return;
	}
	/* A commit may not have come to this flow yet (C4). */
	phase = kcolo_phase(pair);
	kcolo_primary_sync(flow, phase);
	running = phase.state == KCOLO_STATE_RUNNING;
	flow->used = jiffies;
	acked = flow->client.ack;
	ack.islands = 0;
	ack.client.ok = false;
	note_client(flow, &pkt, skb);
	if (flow->client.ok && kcolo_cmp_acked(&flow->cmp, flow->client.ack) &&
	    running)
		advance(flow, ktime_get_mono_fast_ns());
	if (flow->lossy && flow->client.ack != acked && running) {
		made = make_head(flow, &okfn);
		/* What is routed is no frame yet; the secondary's next packet will do. */
		if (netif_is_bridge_port(skb->dev))
			tell_hole(flow, &ack);
	}
	unlock_flow(flow);
	if (made)
		okfn(pair->net, NULL, made);
	if (ack.client.ok) {
		ether_addr_copy(ack.like.h_source, eth_hdr(skb)->h_dest);
		ether_addr_copy(ack.like.h_dest, eth_hdr(skb)->h_source);
		kcolo_resend_ack(pair, &tuple, &ack);
	}
}

/* Packets go on coming while the scan is under way, since @now. */
static bool longer_ago(u64 then, u64 now, u32 ms)
{
	return (s64)(now - then) > (s64)ms * NSEC_PER_MSEC;
}

/* R9: has the oldest packet of a list waited longer than @ms? */
static struct kcolo_held *waits_since(struct list_head *list, u64 now, u32 ms)
{
	struct kcolo_held *held;

	held = list_first_entry_or_null(list, struct kcolo_held, list);
	return held && longer_ago(held->since, now, ms) ? held : NULL;
}

/*
 * R5: one side has reset the connection and the other one has not. Both do so at
 * a time of their own; it counts as a difference once the other side is seen to
 * go on, or has been silent for the whole timeout.
 */
static bool rst_unmet(struct kcolo_flow *flow, u64 now)
{
	const struct kcolo_config *cfg = &flow->pair->cfg;
	const struct kcolo_stream *side = flow->cmp.side;

	if (side[KCOLO_P].rst == side[KCOLO_S].rst)
		return false;
	if (side[KCOLO_P].rst)
		return waits_since(&flow->held, now, cfg->timeout) ||
		       (!list_empty(&flow->queued) &&
			waits_since(&flow->held, now, cfg->scan));
	return waits_since(&flow->held, now, cfg->scan) ||
	       longer_ago(flow->s_heard, now, cfg->timeout);
}

/*
 * The client has reset the connection, or has both sent a FIN and acknowledged all
 * there is: nobody waits for what is left, and the guests end each at a place of
 * their own. Had they not heeded the reset they would repeat it.
 */
static bool over(const struct kcolo_flow *flow)
{
	const struct kcolo_client *client = &flow->client;

	return client->rst ||
	       (client->fin && client->ok && flow->cmp.side[KCOLO_P].fin &&
		!seq_before(client->ack, flow->cmp.nxt));
}

static void bury(struct kcolo_flow *flow, u64 now, u32 ms)
{
	struct kcolo_held *held;

	while ((held = waits_since(&flow->held, now, ms))) {
		unhold(flow, held);
		drop_reset(flow, held);
	}
	if (waits_since(&flow->queued, now, ms))
		drop_queued(flow);
}

/*
 * While the secondary catches up, with bytes or with what the mirror has lost and
 * the client repeats segment by segment, it is not overdue.
 */
static bool catches_up(const struct kcolo_flow *flow,
		       const struct kcolo_held *held, u64 now)
{
	return !longer_ago(held->seg.queued ? flow->cmp_moved : flow->ack_moved,
			   now, flow->pair->cfg.timeout);
}

/* R3: the secondary takes nothing more of what the client may still send. */
static bool shut(const struct kcolo_flow *flow)
{
	return flow->shut_since && !flow->client.fin;
}

/* What it takes nothing of it does not acknowledge: the shut window is the reason. */
static bool waits_for_room(const struct kcolo_flow *flow,
			   const struct kcolo_held *held)
{
	return shut(flow) && !held->seg.queued;
}

static void seek_partner(struct kcolo_flow *flow, u64 now)
{
	const struct kcolo_config *cfg = &flow->pair->cfg;
	struct kcolo_held *held;
	u8 reason;

	if (flow->asked || flow->cmp.state == KCOLO_CMP_DIFF)
		return;
	if (over(flow)) {
		bury(flow, now, cfg->scan);
		return;
	}
	if (rst_unmet(flow, now)) {
		differs(flow, KCOLO_REASON_RST, flow->cmp.cmp, NULL, NULL);
		flow->asked = true;
		return;
	}
	if (shut(flow) && longer_ago(flow->shut_since, now, cfg->timeout)) {
		flow->shut_since = now;
		differs(flow, KCOLO_REASON_WINDOW, flow->cmp.cmp, NULL, NULL);
		flow->asked = true;
		return;
	}
	held = waits_since(&flow->held, now, cfg->timeout);
	if (held && (catches_up(flow, held, now) || waits_for_room(flow, held)))
		return;
	if (held) {
		reason = held->seg.queued && flow->s_heard > held->since ?
			 KCOLO_REASON_LENGTH : KCOLO_REASON_TIMEOUT;
	} else {
		held = waits_since(&flow->queued, now, cfg->timeout) ?:
		       waits_since(&flow->early, now, cfg->timeout);
		if (!held)
			return;
		reason = flow->p_heard > held->since ? KCOLO_REASON_LENGTH :
						       KCOLO_REASON_TIMEOUT;
	}
	kcolo_count(flow->pair, TIMEOUTS);
	trace_old_packet_check_found(flow->pair, held);
	ask(flow, reason, held->seg.queued ? flow->cmp.cmp : held->seg.seq,
	    NULL, NULL);
	flow->asked = true;
}

static bool idle_too_long(const struct kcolo_flow *flow)
{
	unsigned long idle = jiffies - flow->used;

	switch (kcolo_flow_state(flow)) {
	case KCOLO_FLOW_STATE_CLOSED:
		return idle > IDLE_CLOSED;
	case KCOLO_FLOW_STATE_OPENING:
		return idle > IDLE_OPENING;
	case KCOLO_FLOW_STATE_CLOSING:
		return idle > IDLE_CLOSING;
	default:
		return idle > IDLE_OPEN;
	}
}

/*
 * Most connections wait for nothing. A look without the lock: what it misses the next
 * scan will see.
 */
static bool quiet(const struct kcolo_flow *flow)
{
	const struct kcolo_stream *side = flow->cmp.side;

	return kcolo_flow_is_tcp(flow) &&
	       flow->epoch == kcolo_phase(flow->pair).epoch &&
	       list_empty(&flow->held) && list_empty(&flow->queued) &&
	       list_empty(&flow->early) && !flow->shut_since &&
	       side[KCOLO_P].rst == side[KCOLO_S].rst && !idle_too_long(flow);
}

static void scan_flow(struct kcolo_flow *flow, void *now)
{
	struct kcolo_pair *pair = flow->pair;
	struct kcolo_phase phase;

	if (quiet(flow))
		return;
	spin_lock(&flow->lock);
	if (flow->dead)
		goto unlock;
	phase = kcolo_phase(pair);
	kcolo_primary_sync(flow, phase);
	if (!kcolo_flow_is_tcp(flow)) {
		kcolo_dflow_scan(flow, *(u64 *)now);
		goto unlock;
	}
	if (phase.state == KCOLO_STATE_RUNNING)
		seek_partner(flow, *(u64 *)now);
	if (idle_too_long(flow) && list_empty(&flow->held) &&
	    list_empty(&flow->outbox) && !flow->releasing) {
		drop_queued(flow);
		drop_early(flow, 0);
		kcolo_count(pair, FLOWS_CLOSED);
		kcolo_flow_remove(flow);
	}
unlock:
	kcolo_flow_unlock(flow);
}

/**
 * kcolo_primary_scan() - look for packets without partner and for old flows
 * @pair: a primary pair
 *
 * Context: process.
 */
void kcolo_primary_scan(struct kcolo_pair *pair)
{
	u64 now = ktime_get_mono_fast_ns();

	kcolo_flow_walk(pair, scan_flow, &now);
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
			unhold(flow, held);
			INIT_LIST_HEAD(&held->list);
			let_out(flow, held);
		}
		drop_queued(flow);
		drop_early(flow, 0);
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
		unhold(flow, held);
		list_add_tail(&held->list, &gone);
	}
	kcolo_hold_purge(flow->pair, &flow->outbox, dev);
	if (!dev && !flow->dead) {
		drop_queued(flow);
		drop_early(flow, 0);
		kcolo_flow_remove(flow);
	}
unlock:
	spin_unlock(&flow->lock);
	kcolo_hold_purge(flow->pair, &gone, NULL);
}

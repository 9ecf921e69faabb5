// SPDX-License-Identifier: GPL-2.0
/* Carries a checkpoint through in one TCP flow of the primary (C0-C4). */

#include "kcolo.h"
#include "wait.h"

/**
 * kcolo_epoch_mark_barrier() - remember where P stands (C1)
 * @flow: locked by the caller
 * @phase: of the pair
 */
void kcolo_epoch_mark_barrier(struct kcolo_flow *flow, struct kcolo_phase phase)
{
	flow->gen = phase.gen;
	flow->state_begin = flow->cmp.state;
	flow->nxt_begin = flow->cmp.nxt;
	flow->p_begin = flow->cmp.side[KCOLO_P];
}

static bool hear_held_syn(struct kcolo_flow *flow, enum kcolo_side side,
			  const struct kcolo_held *held)
{
	return kcolo_hear_syn(flow, side, &held->seg, held->skb->data + held->l4,
			      held->data - held->l4);
}

/* Hear a segment of S and keep it if it is to be compared. */
static void take_s(struct kcolo_flow *flow, struct kcolo_held *held)
{
	struct kcolo_pair *pair = flow->pair;

	bool new = hear_held_syn(flow, KCOLO_S, held);
	enum kcolo_fate fate;

	kcolo_hear_window(flow, KCOLO_S, &held->seg, held->win);
	fate = kcolo_cmp_put(&flow->cmp, KCOLO_S, &held->seg);
	if (fate == KCOLO_FATE_QUEUED &&
	    kcolo_cmp_queue(&flow->cmp, KCOLO_S, &held->seg)) {
		list_add_tail(&held->list, &flow->queued);
		return;
	}
	if (new)
		kcolo_count(pair, SECONDARY_HEARD);
	else
		kcolo_hear_count_s(pair, &held->seg, fate);
	kcolo_hold_drop(pair, held);
}

/* What S said in another epoch than that of @tag. */
static void drop_stale(struct kcolo_flow *flow, u8 tag)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->early, list) {
		if (held->tag == tag)
			continue;
		list_del(&held->list);
		kcolo_count(flow->pair, SECONDARY_STALE);
		kcolo_hold_drop(flow->pair, held);
	}
}

/**
 * kcolo_epoch_take_early() - hear what S said before the commit reached this host (C4)
 * @flow: locked by the caller
 * @tag: of the epoch that is heard; the others are stale
 */
void kcolo_epoch_take_early(struct kcolo_flow *flow, u8 tag)
{
	struct kcolo_held *held, *next;
	LIST_HEAD(early);

	drop_stale(flow, tag);
	list_splice_init(&flow->early, &early);
	list_for_each_entry_safe(held, next, &early, list) {
		list_del(&held->list);
		take_s(flow, held);
	}
}

/**
 * kcolo_epoch_adopt_unknown() - kcolo_epoch_adopt() of a connection that is not known yet
 * @flow: locked by the caller
 * @seg: P's first packet after the commit
 *
 * Return: true if it is known from this packet on.
 */
bool kcolo_epoch_adopt_unknown(struct kcolo_flow *flow,
			       const struct kcolo_seg *seg)
{
	if (!READ_ONCE(flow->pair->adopting) || seg->flags & KCOLO_TCP_RST)
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
		kcolo_wait_unhold(flow, held);
		if (held->gen == gen) {
			list_add_tail(&held->list, later);
			continue;
		}
		INIT_LIST_HEAD(&held->list);
		kcolo_wait_let_out(flow, held);
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
	kcolo_wait_drop_queued(flow, KCOLO_A_STATS_SECONDARY_STALE);
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
		kcolo_hear_window(flow, KCOLO_P, &held->seg, held->win);
		kcolo_epoch_adopt(flow, &held->seg);
		if (kcolo_wait_place(flow, held, kcolo_cmp_put(c, KCOLO_P, &held->seg)))
			continue;
		/* R11: near to what was compared, far from the barrier. */
		kcolo_wait_ask(flow, KCOLO_REASON_MALFORMED, held->seg.seq, NULL, NULL);
		kcolo_wait_drop_reset(flow, held);
	}
	/* C0: of a connection that is not known yet P's first packet adopts it. */
	if (c->state == KCOLO_CMP_NONE)
		drop_stale(flow, kcolo_tag(phase.epoch));
	else
		kcolo_epoch_take_early(flow, kcolo_tag(phase.epoch));
	kcolo_wait_advance(flow, ktime_get_mono_fast_ns());
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
		kcolo_epoch_take_early(flow, kcolo_tag(phase.epoch));
	kcolo_wait_advance(flow, ktime_get_mono_fast_ns());
}

/**
 * kcolo_primary_carry() - kcolo_primary_sync() of a flow that has not seen it yet
 * @flow: locked by the caller
 * @phase: of the pair
 */
void kcolo_primary_carry(struct kcolo_flow *flow, struct kcolo_phase phase)
{
	if (flow->epoch == phase.epoch)
		kcolo_primary_resume(flow, phase);
	else if (kcolo_flow_is_tcp(flow))
		carry_commit(flow, phase);
	else
		kcolo_dflow_sync(flow, phase);
}

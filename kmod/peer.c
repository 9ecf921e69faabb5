// SPDX-License-Identifier: GPL-2.0
/* A packet of the secondary: it is compared with the guest's and never leaves (S1, R1, R12). */
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "kcolo.h"
#include "trace.h"
#include "wait.h"

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

/* Does this packet show that S has lost something on its way here? */
static bool shows_loss(const struct kcolo_flow *flow,
		       const struct kcolo_seg *seg, bool again)
{
	const struct kcolo_cmp *c = &flow->cmp;
	u32 hole[2];

	return again || (c->state == KCOLO_CMP_RUN &&
			 seq_after(seg->seq, c->cmp) &&
			 kcolo_cmp_islands(c, hole, 1));
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
		kcolo_wait_ask(flow, KCOLO_REASON_OVERFLOW, flow->cmp.cmp, NULL, NULL);
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
			 const struct kcolo_seg *seg,
			 const struct kcolo_pkt *pkt, struct sk_buff *skb,
			 const struct nf_hook_state *state, u8 tag)
{
	bool early = tag != kcolo_tag(phase.epoch);
	enum kcolo_fate fate = KCOLO_FATE_QUEUED;
	struct kcolo_pair *pair = flow->pair;
	u32 sack = flow->cmp.side[KCOLO_S].ack;
	struct kcolo_held *held;

	flow->used = jiffies;
	flow->s_heard = ktime_get_mono_fast_ns();
	if (!early) {
		bool new = kcolo_hear_syn(flow, KCOLO_S, seg, skb->data + pkt->l4,
				    pkt->data - pkt->l4);

		fate = kcolo_cmp_put(&flow->cmp, KCOLO_S, seg);
		kcolo_hear_window(flow, KCOLO_S, seg, pkt->win);
		if (new) {
			kcolo_count(pair, SECONDARY_HEARD);
			return HEARD;
		}
		if (sack != flow->cmp.side[KCOLO_S].ack)
			flow->ack_moved = flow->s_heard;
	}
	/* C0: S may speak first after a commit that adopts the connection. */
	if (fate == KCOLO_FATE_UNKNOWN && READ_ONCE(pair->adopting) &&
	    !(seg->flags & KCOLO_TCP_SYN))
		early = true;
	if (!early && fate != KCOLO_FATE_QUEUED) {
		kcolo_hear_count_s(pair, seg, fate);
		return HEARD;
	}
	if (!early && phase.state == KCOLO_STATE_RUNNING &&
	    kcolo_wait_meet(flow, KCOLO_S, seg, pkt, skb, flow->s_heard)) {
		kcolo_count(pair, SECONDARY_HEARD);
		return HEARD_COMPARED;
	}
	held = keep_s(flow, seg, pkt, tag, skb, state);
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

/**
 * struct answer - what a packet of S leads to once its flow is unlocked
 * @made: a packet for the client, or NULL
 * @okfn: how to send that
 * @ack: what S lacks, if @ack.client.ok
 */
struct answer {
	struct sk_buff *made;
	kcolo_okfn_t okfn;
	struct kcolo_ack ack;
};

/* Finds out whether S or the client has to be told something (R1, R3, R15). */
static void find_answer(struct kcolo_flow *flow, const struct kcolo_seg *seg,
			struct kcolo_lowered *note, enum heard heard,
			struct sk_buff *skb, const struct nf_hook_state *state,
			struct answer *a)
{
	bool again = heard == HEARD && repeats(flow, seg);

	if (!flow->lossy && shows_loss(flow, seg, again)) {
		flow->lossy = true;
		kcolo_clock_follow(flow, note);
	}
	if (again && !a->ack.client.ok)
		a->made = kcolo_lossy_repeat_head(flow, &a->okfn);
	else if (!a->ack.client.ok)
		a->made = kcolo_idle_head(flow, &a->okfn);
	if (!a->made && note->ok && kcolo_wait_idle(flow))
		a->made = kcolo_lower_ack(flow, note, &a->okfn);
	if (flow->lossy && !a->ack.client.ok && seg->seq != seg->end)
		kcolo_lossy_tell_hole(flow, &a->ack);
	if (unlikely(kcolo_window_tight(&flow->win)) && !a->made &&
	    heard != HEARD_KEPT && !READ_ONCE(flow->pair->flushing)) {
		a->okfn = state->okfn;
		a->made = kcolo_clamp_update(flow, note, skb, &a->okfn);
	}
}

/* The flow is locked and the packet of the epoch that is heard. */
static enum heard take_peer(struct kcolo_flow *flow, struct kcolo_phase phase,
			    const struct kcolo_pkt *pkt, struct sk_buff *skb,
			    const struct nf_hook_state *state, u8 tag,
			    struct answer *a)
{
	bool running = phase.state == KCOLO_STATE_RUNNING;
	struct kcolo_lowered note;
	struct kcolo_seg seg;
	enum heard heard;

	kcolo_seg_fill(&seg, pkt);
	a->ack.like = *eth_hdr(skb);
	if (running && client_has(flow, &seg))
		a->ack.client = flow->client;
	note.ok = false;
	if (running && (!list_empty(&flow->held) ||
			kcolo_window_tight(&flow->win)))
		kcolo_lower_note(&note, pkt, skb);
	kcolo_clock_heard(flow, &note);
	if (flow->lossy)
		kcolo_clock_follow(flow, &note);
	heard = hear_s(flow, phase, &seg, pkt, skb, state, tag);
	flow->frozen |= !running;
	if (!running)
		return heard;
	if (!kcolo_client_confirmed(flow) && heard == HEARD_COMPARED)
		kcolo_wait_release(flow, flow->s_heard);
	else
		kcolo_wait_advance(flow, flow->s_heard);
	find_answer(flow, &seg, &note, heard, skb, state, a);
	return heard;
}

/* The flow of a packet of S; that there is none is counted. */
static struct kcolo_flow *find_flow(struct kcolo_pair *pair,
				    const struct kcolo_pkt *pkt)
{
	struct kcolo_flow *flow;

	if (kcolo_starts_flow(pkt) || READ_ONCE(pair->adopting))
		flow = kcolo_flow_get(pair, &pkt->tuple);
	else
		flow = kcolo_flow_find(pair, &pkt->tuple);
	if (!IS_ERR_OR_NULL(flow))
		return flow;
	if (flow == ERR_PTR(-ENOMEM))
		kcolo_count(pair, NOMEM);
	else
		kcolo_count(pair, SECONDARY_UNMATCHED);
	return NULL;
}

/* Consumes the packet. */
static void hear_peer(struct kcolo_pair *pair, const struct kcolo_pkt *pkt,
		      struct sk_buff *skb, const struct nf_hook_state *state,
		      u8 tag)
{
	enum heard heard = HEARD;
	struct kcolo_phase phase;
	struct kcolo_flow *flow;
	struct answer a;
	u64 now = 0;

	a.made = NULL;
	a.ack.islands = 0;
	a.ack.client.ok = false;
again:
	flow = find_flow(pair, pkt);
	if (!flow)
		goto out;
	spin_lock(&flow->lock);
	if (unlikely(flow->dead)) {	/* and out of the table by now */
		spin_unlock(&flow->lock);
		goto again;
	}
	phase = kcolo_phase(pair);	/* under the lock it can only have moved on */
	kcolo_primary_sync(flow, phase);
	if (kcolo_primary_tag_fits(pair, phase, tag)) {
		heard = take_peer(flow, phase, pkt, skb, state, tag, &a);
		now = flow->s_heard;
	}
	kcolo_wait_unlock(flow, now);
	if (a.made)
		a.okfn(pair->net, NULL, a.made);
	if (a.ack.client.ok)
		kcolo_resend_ack(pair, &pkt->tuple, &a.ack);
out:
	if (heard != HEARD_KEPT)
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

// SPDX-License-Identifier: GPL-2.0
/*
 * The primary host: what the guest (P) says leaves when the secondary (S) has
 * said the same (R1-R12).
 *
 * A packet of P is parsed, finds its flow, is heard by the comparison and leaves
 * or waits (wait.c). What S says comes in by peer.c, what clients say by client.c.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "kcolo.h"
#include "trace.h"
#include "translate.h"
#include "wait.h"

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
	       kcolo_wait_idle(flow);
}

/* A verdict that has to wait until the flow is unlocked. */
#define PASS_BEHIND (NF_MAX_VERDICT + 1)

/* S has said it before, and all before it has left. */
static bool said_before(struct kcolo_flow *flow, const struct kcolo_seg *seg,
			const struct kcolo_pkt *pkt, struct sk_buff *skb)
{
	if (list_empty(&flow->queued) || kcolo_unlist(skb, pkt) ||
	    skb_orphan_frags_rx(skb, GFP_ATOMIC) ||
	    !kcolo_wait_meet(flow, KCOLO_P, seg, pkt, skb, flow->p_heard))
		return false;
	kcolo_histogram_add(flow->pair, KCOLO_HISTOGRAM_LAG, 0);
	kcolo_wait_release(flow, flow->p_heard);
	return true;
}

/* S has said nothing that a new packet of P could be compared with. */
static bool only_waits(const struct kcolo_flow *flow, enum kcolo_fate fate)
{
	return fate == KCOLO_FATE_QUEUED && list_empty(&flow->queued) &&
	       flow->cmp.state == KCOLO_CMP_RUN;
}

/*
 * Note the newest timestamp of P, and whether it signs. What is made in P's name must
 * not be older than what P has sent (PAWS). Says whether this packet is older than what
 * the client was sent.
 */
static bool note_options(struct kcolo_flow *flow, const struct kcolo_pkt *pkt,
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

/**
 * struct made - a packet that has been made
 * @skb: the packet, or NULL
 * @okfn: how to send it, once its flow is unlocked
 */
struct made {
	struct sk_buff *skb;
	kcolo_okfn_t okfn;
};

/* The locked part of kcolo_primary_vm(). */
static unsigned int take_p(struct kcolo_flow *flow, struct kcolo_phase phase,
			   const struct kcolo_pkt *pkt, struct sk_buff *skb,
			   const struct nf_hook_state *state, struct made *made)
{
	struct kcolo_pair *pair = flow->pair;
	struct kcolo_held *held;
	struct kcolo_seg seg;
	enum kcolo_fate fate;
	bool late;

	if (phase.state == KCOLO_STATE_BYPASS)
		return PASS_BEHIND;
	kcolo_primary_sync(flow, phase);
	kcolo_epoch_note_barrier(flow, phase);
	flow->used = jiffies;
	flow->p_heard = ktime_get_mono_fast_ns();
	kcolo_seg_fill(&seg, pkt);
	late = note_options(flow, pkt, skb);
	flow->p_ttl = pkt->tuple.v6 ? ipv6_hdr(skb)->hop_limit :
				      ip_hdr(skb)->ttl;
	if (kcolo_hear_syn(flow, KCOLO_P, &seg, skb->data + pkt->l4,
			   pkt->data - pkt->l4)) {
		kcolo_wait_drop_early(flow, kcolo_tag(phase.epoch));
		flow->out_ok = false;
		flow->lossy = false;
		flow->ts_out_ok = false;
		flow->s_ts_ok = false;
	}
	kcolo_hear_window(flow, KCOLO_P, &seg, pkt->win);
	if (kcolo_epoch_adopt(flow, &seg))
		kcolo_epoch_take_early(flow, kcolo_tag(phase.epoch));
	fate = kcolo_cmp_put(&flow->cmp, KCOLO_P, &seg);
	if (fate == KCOLO_FATE_FAR) {
		kcolo_wait_refuse_far(flow, &seg, skb);
		return NF_DROP;
	}
	if (fate == KCOLO_FATE_UNKNOWN)
		return PASS_BEHIND;
	if (fate == KCOLO_FATE_QUEUED && phase.state == KCOLO_STATE_RUNNING &&
	    list_empty(&flow->held) && said_before(flow, &seg, pkt, skb))
		fate = KCOLO_FATE_COVERED;
	if (!late && leaves_at_once(flow, phase, &seg, fate)) {
		kcolo_wait_note_out(flow, &seg, skb, pkt->l4, pkt->data, pkt->win);
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
	kcolo_wait_place(flow, held, fate);
	if (phase.state == KCOLO_STATE_CHECKPOINT) {
		flow->frozen = true;
	} else if (kcolo_client_confirmed(flow) || !only_waits(flow, fate)) {
		kcolo_wait_advance(flow, flow->p_heard);
		made->skb = kcolo_idle_head(flow, &made->okfn);
	}
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
	struct made made = { .skb = NULL };
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

	make = kcolo_starts_flow(&pkt) || READ_ONCE(pair->adopting);
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
	verdict = take_p(flow, kcolo_phase(pair), &pkt, skb, state, &made);
	kcolo_wait_unlock(flow, 0);
	if (made.skb)
		made.okfn(pair->net, NULL, made.skb);
	if (verdict == PASS_BEHIND) {
		kcolo_count(pair, UNCOMPARED_MIDSTREAM);
		return kcolo_hold_behind(pair, skb, state);
	}
	return verdict;
}

// SPDX-License-Identifier: GPL-2.0
/* A packet to the primary's guest: what its client has said (R15). */
#include <linux/unaligned.h>
#include <net/tcp.h>

#include "kcolo.h"
#include "wait.h"

#define MAX_WINDOW ((u32)U16_MAX << TCP_MAX_WSCALE)

/* Does the guest heed an acknowledgment (RFC 9293, 3.10.7.3; RFC 5961, 5.2)? */
static bool guest_heeds_ack(const struct kcolo_flow *flow, u32 ack)
{
	const struct kcolo_client *client = &flow->client;
	const struct kcolo_cmp *c = &flow->cmp;
	const struct kcolo_stream *p = &c->side[KCOLO_P];
	/* What an adopted connection has said before is not known. */
	u32 unseen = c->stream_ok ? 0 : KCOLO_CMP_WINDOW / 2;

	/* So far there is nothing but its SYN to acknowledge. */
	if (p->isn_ok && c->nxt == p->isn + 1)
		return ack == c->nxt;
	return !seq_after(ack, c->nxt + unseen) &&
	       !(client->ok && seq_before(ack, client->ack - MAX_WINDOW));
}

/*
 * Does the guest heed a segment (RFC 9293, 3.10.7.4)? Anybody can send in the client's
 * name; what lies outside the guest's window, or acknowledges what the guest has not
 * said, is thrown away there and must not count here.
 */
static bool guest_heeds(const struct kcolo_flow *flow, const struct kcolo_pkt *pkt)
{
	const struct kcolo_stream *p = &flow->cmp.side[KCOLO_P];
	u32 window = p->isn_ok ? (u32)U16_MAX << flow->win.p_scale : MAX_WINDOW;

	if (flow->cmp.state == KCOLO_CMP_NONE)
		return false;
	/* Without ACK, or as an answer to its SYN, nothing else counts. */
	if (!(pkt->flags & (KCOLO_TCP_SYN | KCOLO_TCP_RST)) &&
	    (!p->ack_ok || !(pkt->flags & KCOLO_TCP_ACK)))
		return false;
	if (p->ack_ok && (seq_before(pkt->seq_end, p->ack) ||
			  seq_after(pkt->seq, p->ack + window)))
		return false;
	return !(pkt->flags & KCOLO_TCP_ACK) || guest_heeds_ack(flow, pkt->ack);
}

/*
 * RFC 5961: the guest heeds a reset only at the very next number, which it may not have
 * acknowledged yet.
 */
static bool guest_heeds_rst(const struct kcolo_flow *flow, u32 seq)
{
	const struct kcolo_stream *p = &flow->cmp.side[KCOLO_P];
	const struct kcolo_client *client = &flow->client;

	return p->ack_ok && (seq == p->ack || (client->ok && seq == client->seq));
}

/**
 * kcolo_client_fin() - has the client ended its stream
 * @flow: locked by the caller
 *
 * A FIN may lie behind missing bytes, or be forged: the guest has taken it when it has
 * acknowledged it.
 *
 * Return: true if it has.
 */
bool kcolo_client_fin(const struct kcolo_flow *flow)
{
	const struct kcolo_stream *p = &flow->cmp.side[KCOLO_P];

	return flow->client.fin && p->ack_ok &&
	       !seq_before(p->ack, flow->client.fin_end);
}

/**
 * kcolo_client_confirm() - kcolo_client_confirmed() of a claim
 * @flow: locked by the caller; its client.claimed
 *
 * Return: true if it counts by now.
 */
bool kcolo_client_confirm(struct kcolo_flow *flow)
{
	struct kcolo_client *client = &flow->client;

	if (!kcolo_cmp_confirms(&flow->cmp, client->claim)) {
		/* What was compared meanwhile need not be claimed. */
		client->claimed = seq_after(client->claim, flow->cmp.cmp);
		return false;
	}
	client->claimed = false;
	client->ack = client->claim;
	client->ok = true;
	return true;
}

/*
 * Of an adopted connection the client may have more than the primary was seen to say. Or
 * somebody says so: it is a claim (C0), and takes nothing back that the client has said.
 */
static void note_client(struct kcolo_flow *flow, const struct kcolo_pkt *pkt,
			const struct sk_buff *skb)
{
	const struct kcolo_stream *p = &flow->cmp.side[KCOLO_P];
	struct kcolo_client *client = &flow->client;
	const u8 *th = skb->data + pkt->l4;
	struct kcolo_tcp_opts opts;

	if (!guest_heeds(flow, pkt))
		return;
	if (pkt->flags & KCOLO_TCP_RST && guest_heeds_rst(flow, pkt->seq))
		client->rst = true;
	if (pkt->flags & KCOLO_TCP_FIN && !kcolo_client_fin(flow)) {
		client->fin = true;
		client->fin_end = pkt->seq_end;
	}
	kcolo_tcp_opts(&opts, th, pkt->data - pkt->l4);
	/* Scaling is on only if both ends want it. */
	if (pkt->flags & KCOLO_TCP_SYN && pkt->flags & KCOLO_TCP_ACK &&
	    flow->opened_by_vm && !p->ack_ok && !opts.scaled)
		kcolo_window_unscaled(&flow->win);
	if (pkt->flags & (KCOLO_TCP_SYN | KCOLO_TCP_RST) ||
	    !(pkt->flags & KCOLO_TCP_ACK))
		return;
	if (client->ok && (seq_before(pkt->ack, client->ack) ||
			   seq_before(pkt->seq_end, client->seq)))
		return;
	client->claimed = seq_after(pkt->ack, flow->cmp.nxt);
	if (client->claimed)
		client->claim = pkt->ack;
	if (client->claimed && client->ok)
		return;
	/* Bytes ahead of what is missing are kept there, an ACK ahead of them says no number. */
	if (pkt->seq != pkt->seq_end ||
	    !seq_after(pkt->seq, client->ok ? seq_max(client->seq, p->ack) : p->ack))
		client->seq = pkt->seq_end;
	else if (!client->ok)
		client->seq = p->ack;
	client->ack = pkt->ack;
	client->win = pkt->win;
	client->ok = !client->claimed;
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
	bool own, running, moved;
	kcolo_okfn_t okfn;
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
	/* A socket of this host says it, and is locked: nothing must come to it from here. */
	own = !skb->skb_iif;
	flow->used = jiffies;
	acked = flow->client.ack;
	ack.islands = 0;
	ack.client.ok = false;
	note_client(flow, &pkt, skb);
	moved = flow->client.ok && kcolo_cmp_acked(&flow->cmp, flow->client.ack);
	if (running && (kcolo_client_confirmed(flow) || moved))
		kcolo_wait_advance(flow, ktime_get_mono_fast_ns());
	flow->out_later = own && !list_empty(&flow->outbox);
	if (flow->client.ack != acked && running) {
		/* As for its own: the secondary's next packet will do. */
		made = own ? NULL : kcolo_idle_head(flow, &okfn);
		/* What is routed is no frame yet; the secondary's next packet will do. */
		if (flow->lossy && netif_is_bridge_port(skb->dev))
			kcolo_lossy_tell_hole(flow, &ack);
	}
	kcolo_wait_unlock(flow, 0);
	if (made)
		okfn(pair->net, NULL, made);
	if (ack.client.ok) {
		ether_addr_copy(ack.like.h_source, eth_hdr(skb)->h_dest);
		ether_addr_copy(ack.like.h_dest, eth_hdr(skb)->h_source);
		kcolo_resend_ack(pair, &tuple, &ack);
	}
}

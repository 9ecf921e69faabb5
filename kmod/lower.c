// SPDX-License-Identifier: GPL-2.0
/*
 * Tells the client what both sides have acknowledged, while the primary has
 * acknowledged more (R1).
 *
 * The secondary may lack a long piece of what the client sent: lost on the mirror,
 * or beyond its window. Every packet of the primary carries an ACK behind that
 * piece and is held. If the client heard nothing it would repeat the first
 * segment of the piece for ever. So, when the secondary acknowledges part of it and no
 * packet of the primary may leave because of that, one ACK is made of a held
 * packet: it acknowledges as much as the secondary does. It is news to the client, not
 * a duplicate. Its window ends where the secondary's does, but never moves left.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

#include "kcolo.h"

/* A pure ACK is the better model, it is small. */
static struct kcolo_held *choose(struct kcolo_flow *flow)
{
	struct kcolo_held *held;

	list_for_each_entry(held, &flow->gated, seg.gated)
		if (held->seg.seq == held->seg.end)
			return held;
	return list_first_entry_or_null(&flow->gated, struct kcolo_held,
					seg.gated);
}

static u16 window(const struct kcolo_flow *flow, u32 ack)
{
	u32 edge = seq_max(flow->edge_out, flow->s_edge);
	u32 space = edge - ack;

	if ((s32)space <= 0)
		return 0;
	return min_t(u32, U16_MAX, DIV_ROUND_UP(space, 1U << flow->p_scale));
}

static void fix_ip(struct sk_buff *skb, bool v6)
{
	if (v6) {
		ipv6_hdr(skb)->payload_len = htons(skb->len -
						   sizeof(struct ipv6hdr));
	} else {
		ip_hdr(skb)->tot_len = htons(skb->len);
		ip_send_check(ip_hdr(skb));
	}
}

static void fix_tcp(struct sk_buff *skb, u32 l4, bool v6, u32 ack, u16 win)
{
	struct tcphdr *th = (struct tcphdr *)(skb->data + l4);
	u32 i, len = skb->len - l4;
	struct kcolo_tcp_opts opts;
	__wsum sum;

	th->ack_seq = htonl(ack);
	th->window = htons(win);
	th->fin = 0;
	th->psh = 0;
	/* Its SACK blocks speak of data that the secondary may lack. */
	kcolo_tcp_opts(&opts, (u8 *)th, len);
	for (i = 0; i < opts.sacks; i++)
		memset((u8 *)th + opts.sack[i] - 2, TCPOPT_NOP,
		       2 + 8 * opts.sack_blocks[i]);
	th->check = 0;
	sum = csum_partial(th, len, 0);
	if (v6)
		th->check = csum_ipv6_magic(&ipv6_hdr(skb)->saddr,
					    &ipv6_hdr(skb)->daddr, len,
					    IPPROTO_TCP, sum);
	else
		th->check = csum_tcpudp_magic(ip_hdr(skb)->saddr,
					      ip_hdr(skb)->daddr, len,
					      IPPROTO_TCP, sum);
	skb->ip_summed = CHECKSUM_NONE;
}

/**
 * kcolo_lower_ack() - make an ACK of what both sides have acknowledged
 * @flow: locked by the caller; nothing of it is about to leave
 * @okfn: where the ACK is to go on
 *
 * Return: the ACK; NULL if it would tell the client nothing new, or without
 * memory: the secondary's next ACK is the next chance.
 */
struct sk_buff *kcolo_lower_ack(struct kcolo_flow *flow, kcolo_okfn_t *okfn)
{
	const struct kcolo_stream *s = &flow->cmp.side[KCOLO_S];
	bool v6 = flow->tuple.v6;
	struct kcolo_held *held;
	struct sk_buff *skb;

	if (!s->ack_ok || !flow->out_ok || !flow->s_edge_ok ||
	    !seq_after(s->ack, flow->ack_out))
		return NULL;
	held = choose(flow);
	if (!held)
		return NULL;
	skb = skb_copy(held->skb, GFP_ATOMIC);
	if (!skb)
		return NULL;
	/* The copy shares the bridge's notes with the model; each needs its own. */
	if (!skb_ext_add(skb, SKB_EXT_BRIDGE_NF)) {
		kfree_skb(skb);
		return NULL;
	}
	skb_trim(skb, held->data);
	skb_gso_reset(skb);
	fix_ip(skb, v6);
	fix_tcp(skb, held->l4, v6, s->ack, window(flow, s->ack));
	flow->ack_out = s->ack;
	flow->edge_out = seq_max(flow->edge_out, flow->s_edge);
	kcolo_count(flow->pair, ACKS_LOWERED);
	*okfn = held->okfn;
	return skb;
}

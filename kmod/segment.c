// SPDX-License-Identifier: GPL-2.0
/*
 * Takes super-packets of datagrams apart (R8).
 *
 * A guest, or the network card on the way, may put many datagrams into one
 * packet, and the other side's may come in other portions. TCP is compared as a
 * stream and stays whole; datagrams are compared one by one.
 */
#include <linux/netdevice.h>
#include <net/gso.h>

#include "kcolo.h"

/* What a device could do later need not be done now. */
#define FEATURES (NETIF_F_SG | NETIF_F_HW_CSUM)

/**
 * kcolo_segment_needed() - is a packet made of many datagrams
 * @skb: packet
 *
 * One large datagram that a card will cut into fragments is not.
 * Return: true if so.
 */
bool kcolo_segment_needed(const struct sk_buff *skb)
{
	return skb_is_gso(skb) && skb_shinfo(skb)->gso_type &
				  (SKB_GSO_UDP_L4 | SKB_GSO_SCTP);
}

static void count_malformed(struct kcolo_pair *pair, enum kcolo_side side)
{
	if (side == KCOLO_P)
		kcolo_count(pair, MALFORMED);
	else
		kcolo_count(pair, SECONDARY_MALFORMED);
}

static void take(struct kcolo_pair *pair, struct sk_buff *skb,
		 const struct nf_hook_state *state, kcolo_take_t fn,
		 enum kcolo_side side)
{
	struct kcolo_pkt pkt;
	unsigned int verdict = NF_DROP;

	if (!kcolo_own_notes(skb))
		kcolo_count(pair, NOMEM);
	else if (kcolo_pkt_parse_skb(&pkt, skb, state->pf == NFPROTO_IPV6) ==
		 KCOLO_PKT_DGRAM)
		verdict = fn(pair, &pkt, skb, state);
	else
		count_malformed(pair, side);
	if (verdict == NF_ACCEPT)
		state->okfn(state->net, state->sk, skb);
	else if (verdict == NF_DROP)
		kfree_skb(skb);
}

/**
 * kcolo_segment() - take a super-packet apart
 * @pair: pair
 * @skb: at PRE_ROUTING, skb->data is the IP header
 * @state: the hook's
 * @fn: is given each datagram
 * @side: whose it is; it is one in the counter of that side's packets
 *
 * Return: a verdict, NF_STOLEN if it was taken apart.
 */
unsigned int kcolo_segment(struct kcolo_pair *pair, struct sk_buff *skb,
			   const struct nf_hook_state *state, kcolo_take_t fn,
			   enum kcolo_side side)
{
	unsigned int mac = skb_network_header(skb) - skb_mac_header(skb);
	struct sk_buff *segs, *seg, *next;
	u64 n = 0;

	__skb_push(skb, mac);
	segs = skb_gso_segment(skb, FEATURES);
	__skb_pull(skb, mac);
	if (IS_ERR_OR_NULL(segs)) {
		count_malformed(pair, side);
		return NF_DROP;
	}
	consume_skb(skb);
	skb_list_walk_safe(segs, seg, next) {
		skb_mark_not_on_list(seg);
		__skb_pull(seg, skb_network_offset(seg));
		take(pair, seg, state, fn, side);
		n++;
	}
	if (side == KCOLO_P)
		kcolo_count_n(pair, PRIMARY_PACKETS, n - 1);
	else
		kcolo_count_n(pair, SECONDARY_PACKETS, n - 1);
	return NF_STOLEN;
}

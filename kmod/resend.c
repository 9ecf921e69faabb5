// SPDX-License-Identifier: GPL-2.0
/*
 * ACKs to the secondary in the client's name (R15): the client's newest one, when
 * the mirror has lost it; the same with SACK blocks of what the secondary has said
 * since, when packets of its own are lost on their way to the primary. Their bytes
 * never reach the client, so nobody else could tell the secondary: it would repeat
 * each after a timeout of its own. A SACKed byte is not freed by the
 * secondary, so a failover loses nothing.
 */
#include <linux/etherdevice.h>

#include "vlan.h"

#define TTL 64

/**
 * kcolo_resend_ack() - send the secondary an ACK of the client
 * @pair: a primary pair
 * @tuple: of the flow, as the secondary's packets have it
 * @ack: what to say, in the primary's sequence space
 *
 * Takes the way of a mirrored frame, so the secondary host translates it.
 * Context: RCU, bottom halves off, no lock of ours.
 */
void kcolo_resend_ack(struct kcolo_pair *pair, const struct kcolo_tuple *tuple,
		      const struct kcolo_ack *ack)
{
	const struct kcolo_client *client = &ack->client;
	struct kcolo_ack_head head = {
		.seq = client->seq,
		.ack = client->ack,
		.win = client->win,
		.ttl = TTL,
		.has_ts = client->has_ts,
		.tsval = client->tsval,
		.tsecr = client->tsecr,
		.edges = ack->edges,
		.islands = ack->islands,
	};
	struct kcolo_tuple back;
	struct net_device *dev;
	struct sk_buff *skb;

	dev = dev_get_by_index_rcu(pair->net, READ_ONCE(pair->peer.ifindex));
	if (!dev)
		return;
	skb = alloc_skb(LL_MAX_HEADER + KCOLO_ACK_ROOM, GFP_ATOMIC);
	if (!skb) {
		kcolo_count(pair, NOMEM);
		return;
	}
	skb_reserve(skb, LL_MAX_HEADER);
	kcolo_tuple_reverse(&back, tuple);
	kcolo_ack_put(skb, &back, &head);
	kcolo_vlan_push(skb, ack->like.h_source, ack->like.h_dest, tuple);
	skb->dev = dev;
	if (ack->islands)
		kcolo_count(pair, SACKS_MADE);
	else
		kcolo_count(pair, ACKS_RESENT);
	dev_queue_xmit(skb);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * ACKs to the secondary in the client's name (R15): the client's newest one, when
 * the mirror has lost it; the same with SACK blocks of what the secondary has said
 * since, when packets of its own are lost on their way to the primary. Their bytes
 * never reach the client, so nobody else could tell the secondary: it would repeat
 * each after a timeout of its own. A SACKed byte is not freed by the
 * secondary, so a failover loses nothing.
 */
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/unaligned.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

#include "kcolo.h"

#define TTL 64

/* Same two ends as the secondary's packet, the other way round. */
static void put_ip(struct sk_buff *skb, const struct kcolo_tuple *t, u32 tcp_len)
{
	if (t->v6) {
		struct ipv6hdr *ip6 = skb_put_zero(skb, sizeof(*ip6));

		ip6->version = 6;
		ip6->payload_len = htons(tcp_len);
		ip6->nexthdr = IPPROTO_TCP;
		ip6->hop_limit = TTL;
		memcpy(&ip6->saddr, &t->dst, sizeof(ip6->saddr));
		memcpy(&ip6->daddr, &t->src, sizeof(ip6->daddr));
	} else {
		struct iphdr *ip = skb_put_zero(skb, sizeof(*ip));

		ip->version = 4;
		ip->ihl = 5;
		ip->tot_len = htons(sizeof(*ip) + tcp_len);
		ip->frag_off = htons(IP_DF);
		ip->ttl = TTL;
		ip->protocol = IPPROTO_TCP;
		ip->saddr = t->dst.w[0];
		ip->daddr = t->src.w[0];
		ip_send_check(ip);
	}
}

static u32 put_options(u8 *to, const struct kcolo_ack *ack)
{
	u32 n = 0, i;

	if (ack->client.has_ts) {
		put_unaligned_be32(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 |
				   TCPOPT_TIMESTAMP << 8 | TCPOLEN_TIMESTAMP, to);
		memcpy(to + 4, &ack->client.tsval, 4);
		memcpy(to + 8, &ack->client.tsecr, 4);
		n = TCPOLEN_TSTAMP_ALIGNED;
	}
	if (!ack->islands)
		return n;
	put_unaligned_be32(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 |
			   TCPOPT_SACK << 8 |
			   (TCPOLEN_SACK_BASE +
			    ack->islands * TCPOLEN_SACK_PERBLOCK), to + n);
	n += TCPOLEN_SACK_BASE_ALIGNED;
	for (i = 0; i < 2 * ack->islands; i++, n += 4)
		put_unaligned_be32(ack->edges[i], to + n);
	return n;
}

static void put_tcp(struct sk_buff *skb, const struct kcolo_tuple *t,
		    const struct kcolo_client *client, const u8 *options,
		    u32 tcp_len)
{
	struct tcphdr *th = skb_put_zero(skb, sizeof(*th));
	__wsum sum;

	skb_put_data(skb, options, tcp_len - sizeof(*th));
	th->source = t->dport;
	th->dest = t->sport;
	th->seq = htonl(client->seq);
	th->ack_seq = htonl(client->ack);
	th->doff = tcp_len / 4;
	th->ack = 1;
	th->window = htons(client->win);
	sum = csum_partial(th, tcp_len, 0);
	if (t->v6)
		th->check = csum_ipv6_magic((struct in6_addr *)&t->dst,
					    (struct in6_addr *)&t->src,
					    tcp_len, IPPROTO_TCP, sum);
	else
		th->check = csum_tcpudp_magic(t->dst.w[0], t->src.w[0], tcp_len,
					      IPPROTO_TCP, sum);
}

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
	u8 options[MAX_TCP_OPTION_SPACE];
	u32 tcp_len = sizeof(struct tcphdr) + put_options(options, ack);
	struct net_device *dev;
	struct sk_buff *skb;
	struct ethhdr *eth;

	dev = dev_get_by_index_rcu(pair->net, READ_ONCE(pair->peer.ifindex));
	if (!dev)
		return;
	skb = alloc_skb(LL_MAX_HEADER + sizeof(struct ipv6hdr) + tcp_len,
			GFP_ATOMIC);
	if (!skb) {
		kcolo_count(pair, NOMEM);
		return;
	}
	skb_reserve(skb, LL_MAX_HEADER);
	skb_reset_network_header(skb);
	put_ip(skb, tuple, tcp_len);
	skb_set_transport_header(skb, skb->len);
	put_tcp(skb, tuple, &ack->client, options, tcp_len);
	eth = skb_push(skb, ETH_HLEN);
	skb_reset_mac_header(skb);
	ether_addr_copy(eth->h_dest, ack->like.h_source);
	ether_addr_copy(eth->h_source, ack->like.h_dest);
	eth->h_proto = tuple->v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	skb->protocol = eth->h_proto;
	skb->dev = dev;
	if (ack->islands)
		kcolo_count(pair, SACKS_MADE);
	else
		kcolo_count(pair, ACKS_RESENT);
	dev_queue_xmit(skb);
}

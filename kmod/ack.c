// SPDX-License-Identifier: GPL-2.0
/* Writes the headers of a bare ACK that one of the two ends did not send itself. */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/unaligned.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

#include "kcolo.h"

static void put_ip(struct sk_buff *skb, const struct kcolo_tuple *t, u8 ttl,
		   u32 tcp_len)
{
	if (t->v6) {
		struct ipv6hdr *ip6 = skb_put_zero(skb, sizeof(*ip6));

		ip6->version = 6;
		ip6->payload_len = htons(tcp_len);
		ip6->nexthdr = IPPROTO_TCP;
		ip6->hop_limit = ttl;
		memcpy(&ip6->saddr, &t->src, sizeof(ip6->saddr));
		memcpy(&ip6->daddr, &t->dst, sizeof(ip6->daddr));
	} else {
		struct iphdr *ip = skb_put_zero(skb, sizeof(*ip));

		ip->version = 4;
		ip->ihl = 5;
		ip->tot_len = htons(sizeof(*ip) + tcp_len);
		ip->frag_off = htons(IP_DF);
		ip->ttl = ttl;
		ip->protocol = IPPROTO_TCP;
		ip->saddr = t->src.w[0];
		ip->daddr = t->dst.w[0];
		ip_send_check(ip);
	}
}

static void put_timestamps(struct sk_buff *skb, const struct kcolo_ack_head *head)
{
	put_unaligned_be32(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 |
			   TCPOPT_TIMESTAMP << 8 | TCPOLEN_TIMESTAMP,
			   skb_put(skb, 4));
	skb_put_data(skb, &head->tsval, 4);
	skb_put_data(skb, &head->tsecr, 4);
}

static void put_sack(struct sk_buff *skb, const struct kcolo_ack_head *head)
{
	u32 i, len = TCPOLEN_SACK_BASE + head->islands * TCPOLEN_SACK_PERBLOCK;

	put_unaligned_be32(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 |
			   TCPOPT_SACK << 8 | len, skb_put(skb, 4));
	for (i = 0; i < 2 * head->islands; i++)
		put_unaligned_be32(head->edges[i], skb_put(skb, 4));
}

static u32 tcp_len(const struct kcolo_ack_head *head)
{
	u32 len = sizeof(struct tcphdr);

	if (head->has_ts)
		len += TCPOLEN_TSTAMP_ALIGNED;
	if (head->islands)
		len += TCPOLEN_SACK_BASE_ALIGNED +
		       head->islands * TCPOLEN_SACK_PERBLOCK;
	return len;
}

/**
 * kcolo_ack_put() - write the headers
 * @skb: empty, with room for KCOLO_ACK_ROOM bytes; the network header begins here
 * @t: from whom to whom
 * @head: what to say
 */
void kcolo_ack_put(struct sk_buff *skb, const struct kcolo_tuple *t,
		   const struct kcolo_ack_head *head)
{
	u32 len = tcp_len(head);
	struct tcphdr *th;
	__wsum sum;

	skb_reset_network_header(skb);
	put_ip(skb, t, head->ttl, len);
	skb_set_transport_header(skb, skb->len);
	th = skb_put_zero(skb, sizeof(*th));
	th->source = t->sport;
	th->dest = t->dport;
	th->seq = htonl(head->seq);
	th->ack_seq = htonl(head->ack);
	th->doff = len / 4;
	th->ack = 1;
	th->window = htons(head->win);
	if (head->has_ts)
		put_timestamps(skb, head);
	if (head->islands)
		put_sack(skb, head);
	sum = csum_partial(th, len, 0);
	if (t->v6)
		th->check = csum_ipv6_magic((struct in6_addr *)&t->src,
					    (struct in6_addr *)&t->dst, len,
					    IPPROTO_TCP, sum);
	else
		th->check = csum_tcpudp_magic(t->src.w[0], t->dst.w[0], len,
					      IPPROTO_TCP, sum);
}

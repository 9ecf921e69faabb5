// SPDX-License-Identifier: GPL-2.0
/*
 * Rewrites TCP numbers in place (W1).
 *
 * A mirrored frame shares its data with the original: it is made writable first,
 * and every pointer is taken after that. The checksum follows each change; the
 * helper knows what CHECKSUM_PARTIAL and CHECKSUM_COMPLETE need. Only the headers
 * change, so a super-packet stays one; but one whose segments have kept headers of
 * their own (rx-gro-list) takes those of the first from then on.
 */
#include <linux/icmp.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/swab.h>
#include <linux/tcp.h>
#include <linux/unaligned.h>
#include <net/checksum.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

#include "translate.h"

/* Makes the headers writable and returns the TCP header, NULL without memory. */
static struct tcphdr *writable_tcp(struct sk_buff *skb,
				   const struct kcolo_pkt *pkt)
{
	if (skb_ensure_writable(skb, pkt->data))
		return NULL;
	return (struct tcphdr *)(skb->data + pkt->l4);
}

/*
 * Adds to a number at any offset of the header. At an odd one its bytes stand in
 * the other halves of the 16-bit words that the checksum adds up.
 */
static void add_at(struct sk_buff *skb, struct tcphdr *th, u32 off, u32 add)
{
	u8 *p = (u8 *)th + off;
	u32 from = get_unaligned_be32(p), to = from + add;

	put_unaligned_be32(to, p);
	if (off & 1) {
		from = swahb32(from);
		to = swahb32(to);
	}
	inet_proto_csum_replace4(&th->check, skb, htonl(from), htonl(to), false);
}

/**
 * kcolo_unlist_segments() - kcolo_unlist() of such a list
 * @skb: skb->data is the IP header; its header may be reallocated
 * @pkt: the parsed packet
 *
 * Return: 0 or -ENOMEM, then nothing was changed.
 */
int kcolo_unlist_segments(struct sk_buff *skb, const struct kcolo_pkt *pkt)
{
	u32 len = pkt->end - pkt->l4;
	struct tcphdr *th;

	if (skb_unclone(skb, GFP_ATOMIC))
		return -ENOMEM;
	th = (struct tcphdr *)(skb->data + pkt->l4);
	if (!skb_partial_csum_set(skb, pkt->l4, offsetof(struct tcphdr, check)))
		return -ENOMEM;
	skb_shinfo(skb)->gso_type &= ~SKB_GSO_FRAGLIST;
	if (pkt->tuple.v6)
		th->check = ~csum_ipv6_magic((struct in6_addr *)&pkt->tuple.src,
					     (struct in6_addr *)&pkt->tuple.dst,
					     len, IPPROTO_TCP, 0);
	else
		th->check = ~csum_tcpudp_magic(pkt->tuple.src.w[0],
					       pkt->tuple.dst.w[0], len,
					       IPPROTO_TCP, 0);
	return 0;
}

/* At an even offset; the caller sees to the checksum. */
static __wsum add_even(struct tcphdr *th, u32 off, u32 add, __wsum diff)
{
	__be32 *p = (__be32 *)((u8 *)th + off);
	__be32 from = get_unaligned(p), to = htonl(ntohl(from) + add);

	put_unaligned(to, p);
	return csum_add(diff, csum_sub((__force __wsum)to, (__force __wsum)from));
}

/* As kcolo_shift_changes() says of a header without or with the common options. */
static void translate_common(struct sk_buff *skb, struct tcphdr *th,
			     const struct kcolo_shift *shift, u32 ts)
{
	__wsum diff = 0;

	if (shift->seq)
		diff = add_even(th, offsetof(struct tcphdr, seq), shift->seq, diff);
	if (shift->ack)
		diff = add_even(th, offsetof(struct tcphdr, ack_seq), shift->ack,
				diff);
	if (ts && shift->tsval)
		diff = add_even(th, ts, shift->tsval, diff);
	if (ts && shift->tsecr)
		diff = add_even(th, ts + 4, shift->tsecr, diff);
	/* All of it in one step: the difference of what was and what is. */
	inet_proto_csum_replace4(&th->check, skb, 0, (__force __be32)diff, false);
}

/* Segments with other options than timestamps. */
static noinline void translate_any(struct sk_buff *skb, struct tcphdr *th, u32 hlen,
				   const struct kcolo_shift *shift)
{
	struct kcolo_change change[KCOLO_CHANGES];
	u32 n, i;

	n = kcolo_shift_changes(shift, (u8 *)th, hlen, change);
	for (i = 0; i < n; i++)
		add_at(skb, th, change[i].off, change[i].add);
}

/**
 * kcolo_translate() - add to the numbers of a segment
 * @skb: skb->data is the IP header; may be reallocated
 * @pkt: the parsed packet
 * @shift: what to add
 *
 * Return: 0 or -ENOMEM, then nothing was changed.
 */
int kcolo_translate(struct sk_buff *skb, const struct kcolo_pkt *pkt,
		    const struct kcolo_shift *shift)
{
	struct tcphdr *th = writable_tcp(skb, pkt);
	u32 hlen = pkt->data - pkt->l4;

	if (!th)
		return -ENOMEM;
	if (hlen == sizeof(*th))
		translate_common(skb, th, shift, 0);
	else if (kcolo_ts_alone((u8 *)th, hlen))
		translate_common(skb, th, shift, KCOLO_TS_ALONE);
	else
		translate_any(skb, th, hlen, shift);
	return 0;
}

/* As add_at(), in a header that an error quotes. */
static void add_quoted(struct sk_buff *skb, u8 *icmp, u8 *th, u32 off, u32 add,
		       bool has_check)
{
	__sum16 *sum = (__sum16 *)(icmp + offsetof(struct icmphdr, checksum));
	__sum16 *quoted = (__sum16 *)(th + offsetof(struct tcphdr, check));
	u32 from = get_unaligned_be32(th + off), to = from + add;
	__sum16 check = 0;

	put_unaligned_be32(to, th + off);
	if (off & 1) {
		from = swahb32(from);
		to = swahb32(to);
	}
	inet_proto_csum_replace4(sum, skb, htonl(from), htonl(to), false);
	if (!has_check)
		return;
	/* The guest may look at the quoted checksum as well. */
	check = *quoted;
	csum_replace4(quoted, htonl(from), htonl(to));
	inet_proto_csum_replace2(sum, skb, (__force __be16)check,
				 (__force __be16)*quoted, false);
}

/**
 * kcolo_translate_quote() - add to the numbers that an error quotes
 * @skb: skb->data is the IP header; may be reallocated
 * @quote: what it quotes
 * @shift: what to add
 *
 * Return: 0 or -ENOMEM, then nothing was changed.
 */
int kcolo_translate_quote(struct sk_buff *skb, const struct kcolo_quote *quote,
			  const struct kcolo_shift *shift)
{
	struct kcolo_change change[KCOLO_CHANGES];
	bool has_check = quote->hlen >= offsetofend(struct tcphdr, check);
	u8 *icmp, *th;
	u32 n, i;

	if (skb_ensure_writable(skb, quote->l4 + quote->hlen))
		return -ENOMEM;
	icmp = skb->data + quote->icmp;
	th = skb->data + quote->l4;
	n = kcolo_shift_changes(shift, th, quote->hlen, change);
	for (i = 0; i < n; i++)
		add_quoted(skb, icmp, th, change[i].off, change[i].add,
			   has_check);
	return 0;
}

/**
 * kcolo_set_ttl() - set TTL or hop limit (C4)
 * @skb: skb->data is the IP header; may be reallocated
 * @v6: IPv6
 * @ttl: new value
 *
 * Return: 0 or -ENOMEM.
 */
int kcolo_set_ttl(struct sk_buff *skb, bool v6, u8 ttl)
{
	struct iphdr *ip;

	if (skb_ensure_writable(skb, v6 ? sizeof(struct ipv6hdr) :
					  sizeof(struct iphdr)))
		return -ENOMEM;
	if (v6) {
		((struct ipv6hdr *)skb->data)->hop_limit = ttl;
		return 0;
	}
	ip = (struct iphdr *)skb->data;
	csum_replace2(&ip->check, htons(ip->ttl << 8), htons(ttl << 8));
	ip->ttl = ttl;
	return 0;
}

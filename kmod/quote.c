// SPDX-License-Identifier: GPL-2.0
/* Finds the TCP header that an ICMP or ICMPv6 error quotes; pure, also for user space. */
#include "pkt.h"

#define IP4_MIN		20
#define IP6_MIN		40
#define PROTO_ICMP	1
#define PROTO_TCP	6
#define PROTO_ICMP6	58
#define EXT_HOPOPTS	0
#define EXT_ROUTING	43
#define EXT_FRAGMENT	44
#define EXT_AUTH	51
#define EXT_DSTOPTS	60
#define EXT_MAX		8

#define ICMP_MIN	8
#define ICMP_UNREACH	3
#define ICMP_QUENCH	4
#define ICMP_EXCEEDED	11
#define ICMP_PARAMETER	12
#define ICMP6_ERRORS	4	/* types 1 to 4 */
#define TCP_MIN		8	/* what an error quotes at least */
#define TCP_FULL	20
#define TCP_DOFF	12

static u16 get16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

/**
 * struct header - an IP header with all that comes before the next protocol
 * @end: offset behind the packet, as far as it says
 * @next: offset behind the headers
 * @proto: what is there
 * @whole: not a fragment, or the first one
 */
struct header {
	u32 end;
	u32 next;
	u8 proto;
	bool whole;
};

static bool read_ip4(struct header *h, const u8 *ip, u32 avail)
{
	if (avail < IP4_MIN || ip[0] >> 4 != 4)
		return false;
	h->next = (ip[0] & 0xf) * 4;
	h->end = get16(ip + 2);
	h->proto = ip[9];
	h->whole = !(get16(ip + 6) & 0x1fff);
	return h->next >= IP4_MIN && h->next <= avail;
}

static bool read_ip6(struct header *h, const u8 *ip, u32 avail)
{
	int exts;

	if (avail < IP6_MIN || ip[0] >> 4 != 6)
		return false;
	h->next = IP6_MIN;
	h->end = get16(ip + 4) + IP6_MIN;
	h->proto = ip[6];
	h->whole = true;
	for (exts = 0; exts < EXT_MAX; exts++) {
		const u8 *ext = ip + h->next;
		u32 size;

		if (h->proto != EXT_HOPOPTS && h->proto != EXT_ROUTING &&
		    h->proto != EXT_AUTH && h->proto != EXT_DSTOPTS &&
		    h->proto != EXT_FRAGMENT)
			return true;
		if (avail - h->next < 8)
			return false;
		size = (ext[1] + 1) * 8;
		if (h->proto == EXT_AUTH)
			size = (ext[1] + 2) * 4;
		if (h->proto == EXT_FRAGMENT) {
			size = 8;
			h->whole = !(get16(ext + 2) & 0xfff8);
		}
		if (size > avail - h->next)
			return false;
		h->proto = ext[0];
		h->next += size;
	}
	return false;
}

static bool read_ip(struct header *h, const u8 *ip, u32 avail, bool v6)
{
	return v6 ? read_ip6(h, ip, avail) : read_ip4(h, ip, avail);
}

static bool is_error(const struct header *h, u8 type, bool v6)
{
	if (v6)
		return h->proto == PROTO_ICMP6 && type &&
		       type <= ICMP6_ERRORS;
	return h->proto == PROTO_ICMP &&
	       (type == ICMP_UNREACH || type == ICMP_QUENCH ||
		type == ICMP_EXCEEDED || type == ICMP_PARAMETER);
}

static void fill_tuple(struct kcolo_tuple *tuple, const u8 *ip, const u8 *th,
		       bool v6)
{
	memset(tuple, 0, sizeof(*tuple));
	tuple->v6 = v6;
	tuple->proto = PROTO_TCP;
	memcpy(&tuple->src, ip + (v6 ? 8 : 12), v6 ? 16 : 4);
	memcpy(&tuple->dst, ip + (v6 ? 24 : 16), v6 ? 16 : 4);
	memcpy(&tuple->sport, th, 2);
	memcpy(&tuple->dport, th + 2, 2);
}

/**
 * kcolo_pkt_quote() - find the TCP header that an error quotes
 * @quote: result
 * @ip: the IP header of the error
 * @avail: bytes readable at @ip; what is beyond is not looked for
 * @len: bytes of the packet from @ip on
 * @v6: IPv6
 *
 * The quoted packet is cut off: its own lengths mean nothing, all that counts is
 * how much of it is there.
 *
 * Return: false if the packet is no error, or quotes no TCP.
 */
bool kcolo_pkt_quote(struct kcolo_quote *quote, const u8 *ip, u32 avail,
		     u32 len, bool v6)
{
	struct header outer, inner;
	u32 at, doff;

	if (avail > len)
		avail = len;
	if (!read_ip(&outer, ip, avail, v6) || !outer.whole)
		return false;
	if (avail > outer.end)
		avail = outer.end;	/* what follows is Ethernet's padding */
	at = outer.next + ICMP_MIN;
	if (avail < at || !is_error(&outer, ip[outer.next], v6))
		return false;
	if (!read_ip(&inner, ip + at, avail - at, v6) || !inner.whole ||
	    inner.proto != PROTO_TCP)
		return false;
	quote->icmp = outer.next;
	quote->l4 = at + inner.next;
	if (avail - quote->l4 < TCP_MIN)
		return false;
	quote->hlen = avail - quote->l4;
	doff = TCP_FULL;
	if (quote->hlen > TCP_DOFF)
		doff = (ip[quote->l4 + TCP_DOFF] >> 4) * 4;
	if (doff < TCP_FULL)
		doff = TCP_FULL;
	if (quote->hlen > doff)
		quote->hlen = doff;
	fill_tuple(&quote->tuple, ip + at, ip + quote->l4, v6);
	return true;
}

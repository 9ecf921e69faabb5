// SPDX-License-Identifier: GPL-2.0
/* Parses IPv4, IPv6 and TCP headers out of a buffer; pure, also for user space. */
#include "pkt.h"

#define IP4_MIN		20
#define IP6_MIN		40
#define IP6_FRAGMENT	8	/* its header */
#define TCP_MIN		20
#define TCP_SEQ		4	/* offsets in its header */
#define TCP_ACK		8
#define PROTO_TCP	6
#define EXT_HOPOPTS	0
#define EXT_ROUTING	43
#define EXT_FRAGMENT	44
#define EXT_AUTH	51
#define EXT_DSTOPTS	60
#define EXT_MAX		8	/* a chain longer than that is nobody's traffic */

#define OPT_EOL		0
#define OPT_NOP		1
#define OPT_WSCALE	3
#define OPT_WSCALE_LEN	3
#define OPT_SACK	5
#define OPT_TS		8
#define OPT_TS_LEN	10
#define OPT_MD5		19
#define OPT_AO		29
#define WSCALE_MAX	14	/* RFC 7323 */

static u16 get16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

static u32 get32(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

/* Whether @limit bytes can be read; if not, says how many must be. */
static bool readable(struct kcolo_pkt *pkt, u32 avail, u32 limit)
{
	if (limit <= avail)
		return true;
	pkt->need = limit;
	return false;
}

static enum kcolo_pkt_verdict more_or_bad(const struct kcolo_pkt *pkt, u32 len)
{
	return pkt->need <= len ? KCOLO_PKT_MORE : KCOLO_PKT_BAD;
}

static enum kcolo_pkt_verdict parse_tcp(struct kcolo_pkt *pkt, const u8 *ip,
					u32 avail)
{
	const u8 *th = ip + pkt->l4;
	u32 hlen;

	if (!readable(pkt, avail, pkt->l4 + TCP_MIN))
		return more_or_bad(pkt, pkt->end);
	hlen = (th[12] >> 4) * 4;
	if (hlen < TCP_MIN)
		return KCOLO_PKT_BAD;
	if (!readable(pkt, avail, pkt->l4 + hlen))
		return more_or_bad(pkt, pkt->end);

	memcpy(&pkt->tuple.sport, th, 2);
	memcpy(&pkt->tuple.dport, th + 2, 2);
	pkt->seq = get32(th + 4);
	pkt->ack = get32(th + 8);
	pkt->flags = th[13];
	pkt->win = get16(th + 14);
	pkt->data = pkt->l4 + hlen;
	pkt->seq_end = pkt->seq + (pkt->end - pkt->data) +
		       !!(pkt->flags & KCOLO_TCP_SYN) +
		       !!(pkt->flags & KCOLO_TCP_FIN);
	return KCOLO_PKT_TCP;
}

static enum kcolo_pkt_verdict parse_ip4(struct kcolo_pkt *pkt, const u8 *ip,
					u32 avail, u32 len)
{
	u32 total, frag;

	if (!readable(pkt, avail, IP4_MIN))
		return more_or_bad(pkt, len);
	pkt->l4 = (ip[0] & 0xf) * 4;
	total = get16(ip + 2);
	/* A super-packet of 64 KiB or more cannot say its length. */
	pkt->end = total ? total : len;
	if (ip[0] >> 4 != 4 || pkt->l4 < IP4_MIN || pkt->end < pkt->l4 ||
	    pkt->end > len)
		return KCOLO_PKT_BAD;
	if (avail > pkt->end)
		avail = pkt->end;	/* what follows is Ethernet's padding */

	memcpy(&pkt->tuple.src.w[0], ip + 12, 4);
	memcpy(&pkt->tuple.dst.w[0], ip + 16, 4);
	pkt->tuple.proto = ip[9];
	frag = get16(ip + 6) & KCOLO_FRAG_MASK;
	if (frag) {	/* more fragments, or not the first */
		pkt->tuple.frag = KCOLO_FRAGMENT | frag;
		return KCOLO_PKT_OTHER;
	}
	if (ip[9] != PROTO_TCP)
		return KCOLO_PKT_DGRAM;
	return parse_tcp(pkt, ip, avail);
}

/* Even a whole packet in one fragment (RFC 6946) is one. */
static enum kcolo_pkt_verdict parse_fragment6(struct kcolo_pkt *pkt,
					      const u8 *ip, u32 avail)
{
	const u8 *fh = ip + pkt->l4;

	if (!readable(pkt, avail, pkt->l4 + IP6_FRAGMENT))
		return more_or_bad(pkt, pkt->end);
	pkt->tuple.proto = fh[0];
	pkt->tuple.frag = KCOLO_FRAGMENT | get16(fh + 2) >> 3 | (fh[3] & 1) << 13;
	pkt->l4 += IP6_FRAGMENT;
	return KCOLO_PKT_OTHER;
}

static enum kcolo_pkt_verdict parse_ip6(struct kcolo_pkt *pkt, const u8 *ip,
					u32 avail, u32 len)
{
	u32 off = IP6_MIN, total;
	int exts;
	u8 next;

	if (!readable(pkt, avail, IP6_MIN))
		return more_or_bad(pkt, len);
	total = get16(ip + 4);
	pkt->end = total ? total + IP6_MIN : len;
	if (ip[0] >> 4 != 6 || pkt->end > len)
		return KCOLO_PKT_BAD;
	if (avail > pkt->end)
		avail = pkt->end;	/* what follows is Ethernet's padding */

	memcpy(&pkt->tuple.src, ip + 8, 16);
	memcpy(&pkt->tuple.dst, ip + 24, 16);
	next = ip[6];
	for (exts = 0; next != PROTO_TCP; exts++) {
		pkt->tuple.proto = next;
		pkt->l4 = off;
		if (next == EXT_FRAGMENT)
			return parse_fragment6(pkt, ip, avail);
		if (next != EXT_HOPOPTS && next != EXT_ROUTING &&
		    next != EXT_AUTH && next != EXT_DSTOPTS)
			return KCOLO_PKT_DGRAM;
		if (exts == EXT_MAX)
			return KCOLO_PKT_BAD;
		if (!readable(pkt, avail, off + 8))
			return more_or_bad(pkt, pkt->end);
		total = next == EXT_AUTH ? (ip[off + 1] + 2) * 4 :
					   (ip[off + 1] + 1) * 8;
		next = ip[off];
		off += total;
		if (off > pkt->end)
			return KCOLO_PKT_BAD;
	}
	pkt->tuple.proto = PROTO_TCP;
	pkt->l4 = off;
	return parse_tcp(pkt, ip, avail);
}

/**
 * kcolo_pkt_parse() - parse the headers of an IP packet (R11)
 * @pkt: filled in as far as the verdict says
 * @ip: the IP header
 * @avail: bytes readable at @ip
 * @len: bytes of the whole packet from @ip on, not all need be readable
 * @v6: the packet came as IPv6
 *
 * Context: any; touches only @avail bytes of @ip.
 * Return: enum kcolo_pkt_verdict.
 */
enum kcolo_pkt_verdict kcolo_pkt_parse(struct kcolo_pkt *pkt, const u8 *ip,
				       u32 avail, u32 len, bool v6)
{
	*pkt = (struct kcolo_pkt){ .tuple.v6 = v6 };
	return v6 ? parse_ip6(pkt, ip, avail, len) :
		    parse_ip4(pkt, ip, avail, len);
}

/**
 * kcolo_tcp_opts() - find SACK blocks and timestamps in a TCP header
 * @opts: result; a malformed option ends the search, what was found stays
 * @th: the TCP header
 * @hlen: its length with options, at least 20, all readable
 */
void kcolo_tcp_opts(struct kcolo_tcp_opts *opts, const u8 *th, u32 hlen)
{
	u32 off = TCP_MIN;

	memset(opts, 0, sizeof(*opts));
	if (kcolo_ts_alone(th, hlen)) {
		opts->ts = KCOLO_TS_ALONE;
		return;
	}
	while (off < hlen) {
		u8 kind = th[off], len;

		if (kind == OPT_EOL)
			return;
		if (kind == OPT_NOP) {
			off++;
			continue;
		}
		if (off + 2 > hlen)
			return;
		len = th[off + 1];
		if (len < 2 || off + len > hlen)
			return;
		if (kind == OPT_SACK && len % 8 == 2 && len > 2 &&
		    opts->sacks < KCOLO_SACKS) {
			opts->sack[opts->sacks] = off + 2;
			opts->sack_blocks[opts->sacks++] = (len - 2) / 8;
		} else if (kind == OPT_WSCALE && len == OPT_WSCALE_LEN) {
			opts->wscale = th[off + 2] < WSCALE_MAX ? th[off + 2] :
								  WSCALE_MAX;
			opts->scaled = true;
		} else if (kind == OPT_TS && len == OPT_TS_LEN) {
			opts->ts = off + 2;
		} else if (kind == OPT_MD5 || kind == OPT_AO) {
			opts->sig = true;
		}
		off += len;
	}
}

/**
 * kcolo_shift_changes() - where a TCP header has to be changed, and how
 * @shift: what is to be added
 * @th: the TCP header, readable as far as @hlen
 * @hlen: its length with options; less if it is cut off, but at least 8
 * @change: result, places that do not overlap and end before @hlen
 *
 * The first SACK block may be a D-SACK (RFC 2883); its edges are like the others'.
 *
 * Return: number of changes.
 */
u32 kcolo_shift_changes(const struct kcolo_shift *shift, const u8 *th, u32 hlen,
			struct kcolo_change change[KCOLO_CHANGES])
{
	struct kcolo_tcp_opts opts = {};
	u32 n = 0, i, j;

	if (shift->seq)
		change[n++] = (struct kcolo_change){ shift->seq, TCP_SEQ };
	if (shift->ack && hlen >= TCP_ACK + 4)
		change[n++] = (struct kcolo_change){ shift->ack, TCP_ACK };
	if (hlen > TCP_MIN)
		kcolo_tcp_opts(&opts, th, hlen);
	for (i = 0; shift->ack && i < opts.sacks; i++)
		for (j = 0; j < 2U * opts.sack_blocks[i]; j++)
			change[n++] = (struct kcolo_change){
				shift->ack, opts.sack[i] + 4 * j };
	if (shift->tsval && opts.ts)
		change[n++] = (struct kcolo_change){ shift->tsval, opts.ts };
	if (shift->tsecr && opts.ts)
		change[n++] = (struct kcolo_change){ shift->tsecr, opts.ts + 4 };
	return n;
}

/**
 * kcolo_tuple_reverse() - the same connection seen from the other end
 * @to: result
 * @from: must not be @to
 */
void kcolo_tuple_reverse(struct kcolo_tuple *to, const struct kcolo_tuple *from)
{
	*to = *from;
	to->src = from->dst;
	to->dst = from->src;
	to->sport = from->dport;
	to->dport = from->sport;
}

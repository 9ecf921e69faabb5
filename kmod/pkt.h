/* SPDX-License-Identifier: GPL-2.0 */
/* Packet headers, parsed once, every length bounded (R11). */
#ifndef _KCOLO_PKT_H
#define _KCOLO_PKT_H

#include "types.h"

#define KCOLO_TCP_FIN	0x01
#define KCOLO_TCP_SYN	0x02
#define KCOLO_TCP_RST	0x04
#define KCOLO_TCP_ACK	0x10

/**
 * enum kcolo_pkt_verdict - what a packet turned out to be
 * @KCOLO_PKT_TCP: a whole TCP segment; all of struct kcolo_pkt is valid
 * @KCOLO_PKT_DGRAM: a whole packet of another protocol; addresses, protocol, @l4
 *	and @end are valid
 * @KCOLO_PKT_OTHER: a fragment; addresses, protocol, @l4 and @end are valid
 * @KCOLO_PKT_MORE: @need bytes of header must be readable, ask again
 * @KCOLO_PKT_BAD: lengths contradict each other or the packet's end
 */
enum kcolo_pkt_verdict {
	KCOLO_PKT_TCP,
	KCOLO_PKT_DGRAM,
	KCOLO_PKT_OTHER,
	KCOLO_PKT_MORE,
	KCOLO_PKT_BAD,
};

/**
 * struct kcolo_addr - an IPv4 or IPv6 address
 * @w: network order; IPv4 uses the first word, the others are zero
 */
struct kcolo_addr {
	__be32 w[4];
};

#define KCOLO_FRAGMENT	0x8000
#define KCOLO_FRAG_MASK	0x3fff	/* as in IPv4's header */

#define KCOLO_VLAN_VID	0x0fff
#define KCOLO_VLAN_AD	0x1000	/* tag of 802.1ad, else of 802.1Q */
#define KCOLO_VLAN_BITS	16	/* of a tag */

/**
 * struct kcolo_tuple - a connection as seen in packets of the guest
 * @src: the guest's address
 * @dst: the client's address
 * @sport: the guest's port, network order
 * @dport: the client's port, network order
 * @vlan: the innermost tag in the low bits, above it the outer one, 0 where there
 *	is none; as in packets of the guest
 * @v6: IPv6
 * @proto: transport protocol
 * @frag: of a fragment KCOLO_FRAGMENT, its place and whether more follow, else 0: equal
 *	bytes at two places are not one another's
 * @pad: zero
 *
 * It is hashed and compared as memory, in words of 64 bits.
 */
struct kcolo_tuple {
	struct kcolo_addr src;
	struct kcolo_addr dst;
	__be16 sport;
	__be16 dport;
	u32 vlan;
	u8 v6;
	u8 proto;
	u16 frag;
	u32 pad;
} __attribute__((aligned(8)));

/* The outer one of two tags, or the only one. */
static inline u32 kcolo_vlan_outer(u32 vlan)
{
	return vlan >> KCOLO_VLAN_BITS ?: vlan;
}

/* The inner one, 0 if there are not two. */
static inline u32 kcolo_vlan_inner(u32 vlan)
{
	return vlan >> KCOLO_VLAN_BITS ?
	       vlan & ((1U << KCOLO_VLAN_BITS) - 1) : 0;
}

/**
 * struct kcolo_pkt - a parsed packet
 * @tuple: addresses and ports as on the wire
 * @l4: offset of the transport header from the IP header
 * @data: offset of the payload from the IP header
 * @end: offset of the end of the packet from the IP header, padding excluded
 * @need: with KCOLO_PKT_MORE, header bytes that must be readable
 * @seq: first sequence number, host order
 * @seq_end: sequence number behind the segment, SYN and FIN counting one each
 * @ack: acknowledgment number, host order; valid if @flags has ACK
 * @win: window as on the wire, not scaled
 * @flags: KCOLO_TCP_*
 */
struct kcolo_pkt {
	struct kcolo_tuple tuple;
	u32 l4;
	u32 data;
	u32 end;
	u32 need;
	u32 seq;
	u32 seq_end;
	u32 ack;
	u16 win;
	u8 flags;
};

#define KCOLO_SACKS 4	/* more SACK options do not fit into a header */

/**
 * struct kcolo_tcp_opts - the TCP options that carry numbers
 * @sack: offset of the first edge of each SACK option from the TCP header;
 *	senders use one option, but receivers may take any
 * @sack_blocks: its complete blocks of two edges
 * @sacks: SACK options
 * @ts: offset of TSval from the TCP header, 0 if none
 * @wscale: window scale of a SYN, 0 if none
 * @scaled: a window scale was there
 * @sig: a signature (MD5, TCP-AO) covers the header
 */
struct kcolo_tcp_opts {
	u8 sack[KCOLO_SACKS];
	u8 sack_blocks[KCOLO_SACKS];
	u8 sacks;
	u8 ts;
	u8 wscale;
	bool scaled;
	bool sig;
};

/**
 * struct kcolo_shift - what is added to the numbers of a TCP header (W1, W5)
 * @seq: to the sequence number
 * @ack: to the acknowledgment number and every SACK edge
 * @tsval: to TSval
 * @tsecr: to TSecr
 */
struct kcolo_shift {
	u32 seq;
	u32 ack;
	u32 tsval;
	u32 tsecr;
};

#define KCOLO_CHANGES 10	/* seq, ack, and eight in 40 bytes of options */

/**
 * struct kcolo_change - one number of a TCP header
 * @add: what is added to it
 * @off: its place, from the header's start
 */
struct kcolo_change {
	u32 add;
	u8 off;
};

u32 kcolo_shift_changes(const struct kcolo_shift *shift, const u8 *th, u32 hlen,
			struct kcolo_change change[KCOLO_CHANGES]);
/**
 * struct kcolo_quote - the TCP header quoted in an ICMP or ICMPv6 error
 * @tuple: of the quoted packet, as it was on the wire
 * @icmp: offset of the ICMP header from the IP header
 * @l4: offset of the quoted TCP header from the IP header
 * @hlen: bytes of the quoted TCP header that are there, at least 8
 */
struct kcolo_quote {
	struct kcolo_tuple tuple;
	u32 icmp;
	u32 l4;
	u32 hlen;
};

bool kcolo_pkt_quote(struct kcolo_quote *quote, const u8 *ip, u32 avail,
		     u32 len, bool v6);
enum kcolo_pkt_verdict kcolo_pkt_parse(struct kcolo_pkt *pkt, const u8 *ip,
				       u32 avail, u32 len, bool v6);
void kcolo_tcp_opts(struct kcolo_tcp_opts *opts, const u8 *th, u32 hlen);
void kcolo_tuple_reverse(struct kcolo_tuple *to,
			 const struct kcolo_tuple *from);

#define KCOLO_TS_ALONE 24	/* where TSval is then */

/* Are the options NOP, NOP, timestamps, as of most segments (RFC 7323, appendix A)? */
static inline bool kcolo_ts_alone(const u8 *th, u32 hlen)
{
	return hlen == KCOLO_TS_ALONE + 8 && !memcmp(th + 20, "\1\1\10\12", 4);
}

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * Packets made in the primary's name, of what both sides have said, where a whole
 * packet of the primary must not leave (R1).
 *
 * The secondary may lack a long piece of what the client sent: lost on the mirror,
 * or beyond its window. Every packet of the primary carries an ACK behind that
 * piece and is held. If the client heard nothing it would repeat the first
 * segment of the piece for ever. So the secondary's ACKs are what it hears: for each
 * that no packet of the primary may leave for, one is made, in the primary's name.
 * The primary has all that it speaks of. It is honest news, or an honest duplicate
 * for a segment that came out of order; the client's fast retransmit works as
 * ever. Its window ends where both sides' do (R3).
 *
 * And where the two cut their streams differently the primary holds a long packet of
 * which only the head is compared. The client hears none of it, so the secondary,
 * which sends no more than its congestion window until that is acknowledged, may never
 * come to the rest. So compared bytes leave as packets of their own where the client
 * waits for some, and when the secondary repeats them.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/skbuff_ref.h>
#include <linux/tcp.h>
#include <linux/unaligned.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

#include "kcolo.h"
#include "wait.h"

#define OPTIONS_MAX 40

/* So many held packets are looked at for a model; any will do. */
#define CHOOSE_MAX 32

/*
 * The address in the IP header is the one that TCP's checksum covers; behind a routing
 * header or a source route it may be another.
 */
static bool plain(const struct kcolo_held *held, bool v6)
{
	return held->l4 == (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
}

/* The newest pure ACK is the best model: small, with the newest timestamp. */
static struct kcolo_held *choose(struct kcolo_flow *flow)
{
	struct kcolo_held *held;
	u32 looked = 0;

	list_for_each_entry_reverse(held, &flow->gated, seg.gated) {
		if (held->seg.seq == held->seg.end)
			return held;
		if (++looked == CHOOSE_MAX)
			break;
	}
	return list_empty(&flow->gated) ? NULL :
	       list_last_entry(&flow->gated, struct kcolo_held, seg.gated);
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

/* The options of an ACK: the primary's clock, and what the secondary says. */
static u32 put_options(const struct kcolo_flow *flow, u8 *to, const u8 *th,
		       u32 len, const struct kcolo_lowered *note)
{
	struct kcolo_tcp_opts opts;
	u32 n = 0, sack;

	kcolo_tcp_opts(&opts, th, len);
	if (opts.ts && note->has_ts) {
		put_unaligned_be32(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 |
				   TCPOPT_TIMESTAMP << 8 | TCPOLEN_TIMESTAMP, to);
		memcpy(to + 4, &flow->p_tsval, 4);
		memcpy(to + 8, &note->tsecr, 4);
		n = TCPOLEN_TSTAMP_ALIGNED;
	}
	sack = min_t(u32, note->sack_len, (OPTIONS_MAX - n - 4) & ~7U);
	if (sack) {
		put_unaligned_be32(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 |
				   TCPOPT_SACK << 8 | (sack + 2), to + n);
		memcpy(to + n + 4, note->sack, sack);
		n += 4 + sack;
	}
	return n;
}

static void fix_tcp(struct sk_buff *skb, u32 l4, bool v6, u32 ack, u16 win)
{
	struct tcphdr *th = (struct tcphdr *)(skb->data + l4);
	u32 len = skb->len - l4;
	__wsum sum;

	th->ack_seq = htonl(ack);
	th->window = htons(win);
	th->doff = len / 4;
	th->fin = 0;
	th->psh = 0;
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
 * kcolo_lower_note() - note what an ACK of the secondary says
 * @note: result; only if it has become ok the rest of it is valid
 * @pkt: the secondary's packet, parsed
 * @skb: that packet
 */
void kcolo_lower_note(struct kcolo_lowered *note, const struct kcolo_pkt *pkt,
		      const struct sk_buff *skb)
{
	const u8 *th = skb->data + pkt->l4;
	struct kcolo_tcp_opts opts;

	if (!(pkt->flags & KCOLO_TCP_ACK) ||
	    pkt->flags & (KCOLO_TCP_SYN | KCOLO_TCP_RST))
		return;
	kcolo_tcp_opts(&opts, th, pkt->data - pkt->l4);
	note->ok = true;
	note->ack = pkt->ack;
	note->pure = pkt->seq == pkt->seq_end;
	note->has_ts = opts.ts;
	note->sack_len = 0;
	if (opts.ts) {
		memcpy(&note->tsval, th + opts.ts, 4);
		memcpy(&note->tsecr, th + opts.ts + 4, 4);
	}
	if (opts.sacks) {
		note->sack_len = min_t(u32, 8 * opts.sack_blocks[0],
				       sizeof(note->sack));
		memcpy(note->sack, th + opts.sack[0], note->sack_len);
	}
}

/* Is it news for the client, or a duplicate that it should hear? */
static bool worth_telling(const struct kcolo_flow *flow,
			  const struct kcolo_lowered *note)
{
	/* Of one who signs the client believes nothing that is not signed. */
	if (flow->p_sig || !flow->win.s_ok ||
	    note->ack != flow->cmp.side[KCOLO_S].ack)
		return false;
	/* C0: what a connection that is older than the pair was told is not known. */
	if (!flow->out_ok)
		return true;
	return seq_after(note->ack, flow->ack_out) ||
	       (note->pure && note->ack == flow->ack_out);
}

/* The first that the client is told here; what is held now has not left. */
static void begin_out(struct kcolo_flow *flow)
{
	const struct kcolo_held *oldest;

	oldest = list_first_entry(&flow->held, struct kcolo_held, list);
	flow->seq_out = oldest->seg.seq;
	if (flow->client.ok)
		flow->seq_out = seq_max(flow->seq_out, flow->client.ack);
	flow->data_out = flow->seq_out;
	flow->out_ok = true;
}

/**
 * kcolo_lower_ack() - make an ACK of what both sides have acknowledged
 * @flow: locked by the caller; nothing of it is about to leave
 * @note: what the secondary's ACK says
 * @okfn: where the ACK is to go on
 *
 * Return: the ACK; NULL if the client need not hear it, or without memory: the
 * secondary's next ACK is the next chance.
 */
struct sk_buff *kcolo_lower_ack(struct kcolo_flow *flow,
				const struct kcolo_lowered *note,
				kcolo_okfn_t *okfn)
{
	u8 options[OPTIONS_MAX];
	bool v6 = flow->tuple.v6;
	struct kcolo_held *held;
	struct sk_buff *skb;
	struct tcphdr *th;
	u32 len;

	held = worth_telling(flow, note) ? choose(flow) : NULL;
	if (!held || !plain(held, v6))
		return NULL;
	skb = skb_copy_expand(held->skb, skb_headroom(held->skb), OPTIONS_MAX,
			      GFP_ATOMIC);
	if (!skb)
		return NULL;
	if (!kcolo_own_notes(skb)) {
		kfree_skb(skb);
		return NULL;
	}
	len = put_options(flow, options, skb->data + held->l4,
			  held->data - held->l4, note);
	skb_trim(skb, held->l4 + sizeof(struct tcphdr));
	skb_put_data(skb, options, len);
	skb_gso_reset(skb);
	fix_ip(skb, v6);
	th = (struct tcphdr *)(skb->data + held->l4);
	/* The client throws away what lies before that. */
	th->seq = htonl(held->seg.seq + held->gone);
	fix_tcp(skb, held->l4, v6, note->ack,
		kcolo_window_make(&flow->win, note->ack));
	kcolo_clock_left(flow);
	if (!flow->out_ok)
		begin_out(flow);
	flow->ack_out = note->ack;
	kcolo_count(flow->pair, ACKS_LOWERED);
	*okfn = held->okfn;
	return skb;
}

/* The device or the stack finishes a checksum that covers the pseudo header. */
static bool late_checksum(struct sk_buff *skb, u32 l4, bool v6)
{
	struct tcphdr *th = (struct tcphdr *)(skb->data + l4);
	u32 len = skb->len - l4;

	if (v6)
		th->check = ~csum_ipv6_magic(&ipv6_hdr(skb)->saddr,
					     &ipv6_hdr(skb)->daddr, len,
					     IPPROTO_TCP, 0);
	else
		th->check = ~csum_tcpudp_magic(ip_hdr(skb)->saddr,
					       ip_hdr(skb)->daddr, len,
					       IPPROTO_TCP, 0);
	return skb_partial_csum_set(skb, l4, offsetof(struct tcphdr, check));
}

/*
 * The newest clock and echo; and no SACK blocks: they may be of data that the secondary
 * lacks, or that is acknowledged by now.
 */
static void mend_options(const struct kcolo_flow *flow, struct tcphdr *th, u32 len)
{
	u8 *head = (u8 *)th;
	struct kcolo_tcp_opts opts;
	u32 i;

	kcolo_tcp_opts(&opts, head, len);
	if (opts.ts) {
		memcpy(head + opts.ts, &flow->p_tsval, 4);
		if (flow->s_ts_ok &&
		    seq_after(flow->s_tsecr,
			      get_unaligned_be32(head + opts.ts + 4)))
			put_unaligned_be32(flow->s_tsecr, head + opts.ts + 4);
	}
	for (i = 0; i < opts.sacks; i++)
		memset(head + opts.sack[i] - 2, TCPOPT_NOP,
		       2 + 8 * opts.sack_blocks[i]);
}

/* A copy with headers of its own; payload pages are shared, a list of packets is not. */
static struct sk_buff *copy_headers(struct sk_buff *from)
{
	struct sk_buff *skb;

	skb = skb_has_frag_list(from) ? skb_copy(from, GFP_ATOMIC) :
	      __pskb_copy(from, skb_headroom(from), GFP_ATOMIC);
	if (!skb)
		return NULL;
	memcpy(skb_mac_header(skb), skb_mac_header(from),
	       from->data - skb_mac_header(from));
	if (kcolo_own_notes(skb))
		return skb;
	kfree_skb(skb);
	return NULL;
}

/* Take bytes out behind the headers of a packet that shares neither with another. */
static void cut_front(struct sk_buff *skb, u32 headers, u32 n)
{
	u32 linear = min(n, skb_headlen(skb) - headers);
	struct skb_shared_info *info = skb_shinfo(skb);
	u32 gone = 0;

	memmove(skb->data + headers, skb->data + headers + linear,
		skb_headlen(skb) - headers - linear);
	skb->tail -= linear;
	skb->len -= n;
	n -= linear;
	skb->data_len -= n;
	while (gone < info->nr_frags && n >= skb_frag_size(&info->frags[gone])) {
		n -= skb_frag_size(&info->frags[gone]);
		skb_frag_unref(skb, gone++);
	}
	info->nr_frags -= gone;
	memmove(info->frags, info->frags + gone,
		info->nr_frags * sizeof(info->frags[0]));
	if (n) {
		skb_frag_off_add(&info->frags[0], n);
		skb_frag_size_sub(&info->frags[0], n);
	}
}

/*
 * Make a packet right again of whose payload only some is left; it had @paged bytes in
 * pages. A socket that gets it does not pay for those that have gone.
 */
static bool fix_cut(struct sk_buff *skb, const struct kcolo_held *held, bool v6,
		    u32 paged)
{
	struct skb_shared_info *info = skb_shinfo(skb);
	u32 len = skb->len - held->data;

	paged -= skb->data_len;
	if (skb->truesize >= SKB_TRUESIZE(skb_end_offset(skb)) + paged)
		skb->truesize -= paged;
	if (skb_is_gso(skb) && len <= info->gso_size)
		skb_gso_reset(skb);
	else if (skb_is_gso(skb))
		info->gso_segs = DIV_ROUND_UP(len, info->gso_size);
	fix_ip(skb, v6);
	return late_checksum(skb, held->l4, v6);
}

/**
 * kcolo_lower_cut() - a held packet leaves without what has left before it
 * @held: its head has left
 * @v6: IPv6
 *
 * The client would have to keep it twice, in memory that its window does not speak
 * of, and throw packets away. Without memory the packet stays as it is.
 */
void kcolo_lower_cut(struct kcolo_held *held, bool v6)
{
	const struct kcolo_seg *seg = &held->seg;
	u32 len = seg->end - seg->seq - !!(seg->flags & KCOLO_TCP_FIN);
	struct sk_buff *skb = held->skb;
	u32 paged = skb->data_len;
	struct tcphdr *th;

	/* BIG TCP says its length in another way. */
	if (skb_has_frag_list(skb) || skb->len > U16_MAX ||
	    skb_unclone(skb, GFP_ATOMIC) || pskb_trim(skb, held->data + len))
		return;
	th = (struct tcphdr *)(skb->data + held->l4);
	/* Its pointer counts from the sequence number. */
	if (th->urg)
		return;
	cut_front(skb, held->data, held->gone);
	held->seg.seq += held->gone;
	th->seq = htonl(held->seg.seq);
	fix_cut(skb, held, v6, paged);
}

/**
 * kcolo_lower_head() - make a packet of compared bytes of a held one
 * @flow: locked by the caller
 * @from: the first byte that the client may lack
 * @okfn: where the packet is to go on
 *
 * It acknowledges what both sides have by now (R1). The held packet's own number may be
 * more than the secondary has, or so old that the client throws the packet away
 * (RFC 5961, 5.2).
 *
 * Return: the packet, NULL if there are no such bytes, or without memory.
 */
struct sk_buff *kcolo_lower_head(struct kcolo_flow *flow, u32 from,
				 kcolo_okfn_t *okfn)
{
	const struct kcolo_stream *p = &flow->cmp.side[KCOLO_P];
	const struct kcolo_stream *s = &flow->cmp.side[KCOLO_S];
	struct kcolo_seg *seg = kcolo_cmp_straddler(&flow->cmp);
	bool v6 = flow->tuple.v6;
	struct kcolo_held *held;
	struct sk_buff *skb;
	struct tcphdr *th;
	u32 skip, len, ack, paged;

	if (kcolo_observes(flow->pair) || !seg || flow->p_sig ||
	    seg->flags & KCOLO_TCP_SYN || !p->ack_ok || p->syn_new ||
	    !s->ack_ok || s->syn_new)
		return NULL;
	held = kcolo_held_of(seg);
	from = seq_max(from, seg->seq);
	if (!seq_before(from, flow->cmp.cmp) || !plain(held, v6))
		return NULL;
	skip = from - seg->seq;
	/* More than the IP header can say would be one of BIG TCP. */
	len = min(flow->cmp.cmp - from, U16_MAX - held->data);
	skb = copy_headers(held->skb);
	if (!skb)
		return NULL;
	paged = skb->data_len;
	if (pskb_trim(skb, held->data + skip + len))
		goto drop;
	if (skip)
		cut_front(skb, held->data, skip);
	th = (struct tcphdr *)(skb->data + held->l4);
	th->seq = htonl(from);
	th->fin = 0;
	th->psh = 0;
	/* Its pointer counts from the sequence number. */
	if (skip)
		th->urg = 0;
	ack = seq_min(p->ack, s->ack);
	th->ack_seq = htonl(ack);
	th->window = htons(kcolo_window_make(&flow->win, ack));
	mend_options(flow, th, held->data - held->l4);
	if (!fix_cut(skb, held, v6, paged))
		goto drop;
	kcolo_wait_shown(flow, from + len, ack, true);
	kcolo_clock_left(flow);
	kcolo_count(flow->pair, HEADS_LEFT);
	held->gone = skip + len;
	*okfn = held->okfn;
	return skb;
drop:
	kfree_skb(skb);
	return NULL;
}

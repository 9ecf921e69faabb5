// SPDX-License-Identifier: GPL-2.0
/*
 * What a side of a TCP flow says of itself on the primary: a SYN's options (R4), its
 * window (R3), its timestamps.
 */
#include <linux/unaligned.h>
#include <net/tcp.h>

#include "kcolo.h"
#include "trace.h"
#include "wait.h"

/* R4: what the primary agreed on with the client would not be kept by S. */
static void syn_differs(struct kcolo_flow *flow, const u8 *p, u32 p_len,
			const u8 *s, u32 s_len)
{
	struct kcolo_miscompare what = {
		.tuple = flow->tuple,
		.reason = KCOLO_REASON_SYN_OPTIONS,
		.seq = flow->cmp.side[KCOLO_P].isn,
		.p_len = min_t(u32, p_len, sizeof(what.p)),
		.s_len = min_t(u32, s_len, sizeof(what.s)),
	};

	memcpy(what.p, p, what.p_len);
	memcpy(what.s, s, what.s_len);
	kcolo_count(flow->pair, MISCOMPARES);
	trace_compare_miscompare(flow->pair);
	kcolo_request(flow->pair, &what);
}

/* Takes a new SYN's options in; whichever side's comes second is compared (R4). */
static void hear_options(struct kcolo_flow *flow, enum kcolo_side side,
			 const u8 *th, u32 hlen)
{
	const u8 *mine = th + sizeof(struct tcphdr), *other = flow->syn;
	u32 mine_len = hlen - sizeof(struct tcphdr), other_len = flow->syn_len;
	bool p = side == KCOLO_P;
	struct kcolo_tcp_opts opts;

	kcolo_tcp_opts(&opts, th, hlen);
	kcolo_window_syn(&flow->win, side, opts.wscale);
	if (!kcolo_cmp_offset_ok(&flow->cmp)) {
		flow->syn_len = mine_len;
		memcpy(flow->syn, mine, mine_len);
		return;
	}
	kcolo_count(flow->pair, FLOWS_OPENED);
	if (kcolo_syn_match(p ? mine : other, p ? mine_len : other_len,
			    p ? other : mine, p ? other_len : mine_len,
			    flow->tuple.v6))
		return;
	kcolo_cmp_refuse(&flow->cmp);
	syn_differs(flow, p ? mine : other, p ? mine_len : other_len,
		    p ? other : mine, p ? other_len : mine_len);
}

/**
 * kcolo_hear_syn() - a SYN may start the connection afresh (R4)
 * @flow: locked by the caller
 * @side: whose it is
 * @seg: what it says
 * @th: its TCP header, linear
 * @hlen: length of that, with options
 *
 * Return: true if it is the first one of a connection.
 */
bool kcolo_hear_syn(struct kcolo_flow *flow, enum kcolo_side side,
		    const struct kcolo_seg *seg, const u8 *th, u32 hlen)
{
	struct kcolo_cmp *c = &flow->cmp;

	if (!(seg->flags & KCOLO_TCP_SYN) || !kcolo_cmp_is_new_syn(c, side, seg))
		return false;
	kcolo_wait_drop_queued(flow);
	if (side == KCOLO_P) {
		kcolo_wait_drop_held(flow);
		memset(&flow->client, 0, sizeof(flow->client));
		flow->opened_by_vm = !(seg->flags & KCOLO_TCP_ACK);
	}
	kcolo_cmp_syn(c, side, seg);
	hear_options(flow, side, th, hlen);
	return true;
}

/**
 * kcolo_hear_held_syn() - kcolo_hear_syn() of a packet that was kept
 * @flow: locked by the caller
 * @side: whose it is
 * @held: the packet
 *
 * Return: true if it is the first one of a connection.
 */
bool kcolo_hear_held_syn(struct kcolo_flow *flow, enum kcolo_side side,
			 const struct kcolo_held *held)
{
	return kcolo_hear_syn(flow, side, &held->seg, held->skb->data + held->l4,
			      held->data - held->l4);
}

/**
 * kcolo_hear_p_options() - note the newest timestamp of P, and whether it signs
 * @flow: locked by the caller
 * @pkt: where the headers are
 * @skb: a packet of P
 *
 * What is made in P's name must not be older than what P has sent (PAWS).
 *
 * Return: true if this packet is older than what the client was sent.
 */
bool kcolo_hear_p_options(struct kcolo_flow *flow, const struct kcolo_pkt *pkt,
			  const struct sk_buff *skb)
{
	const u8 *th = skb->data + pkt->l4;
	struct kcolo_tcp_opts opts;
	u32 tsval;

	if (pkt->flags & KCOLO_TCP_SYN) {
		flow->p_ts_ok = false;
		flow->p_sig = false;
	}
	if (pkt->data - pkt->l4 == sizeof(struct tcphdr))
		return false;
	kcolo_tcp_opts(&opts, th, pkt->data - pkt->l4);
	flow->p_sig |= opts.sig;
	if (!opts.ts)
		return false;
	tsval = get_unaligned_be32(th + opts.ts);
	if (!flow->p_ts_ok || !seq_before(tsval, ntohl(flow->p_tsval)))
		flow->p_tsval = htonl(tsval);
	flow->p_ts_ok = true;
	return flow->ts_out_ok && seq_before(tsval, flow->ts_out);
}

/**
 * kcolo_hear_window() - what a side offers, and since when S takes nothing while P does (R3)
 * @flow: locked by the caller
 * @side: whose packet it is
 * @seg: what it says
 * @win: its window as on the wire
 */
void kcolo_hear_window(struct kcolo_flow *flow, enum kcolo_side side,
		       const struct kcolo_seg *seg, u16 win)
{
	kcolo_window_hear(&flow->win, side, seg, win);
	if (!kcolo_window_shut(&flow->win))
		flow->shut_since = 0;
	else if (!flow->shut_since)
		flow->shut_since = ktime_get_mono_fast_ns();
}

/**
 * kcolo_hear_count_s() - count a packet of S that is not compared
 * @pair: whose
 * @seg: what it says
 * @fate: what the comparison said of it
 */
void kcolo_hear_count_s(struct kcolo_pair *pair, const struct kcolo_seg *seg,
			enum kcolo_fate fate)
{
	if (fate == KCOLO_FATE_COVERED && seg->seq != seg->end)
		kcolo_count(pair, SECONDARY_COVERED);
	else if (fate == KCOLO_FATE_FAR)
		kcolo_count(pair, SECONDARY_MALFORMED);
	else if (fate == KCOLO_FATE_UNKNOWN)
		kcolo_count(pair, SECONDARY_UNMATCHED);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * The primary's clock as the client sees it never goes back.
 *
 * Packets leave in another order than the guest sent them: a retransmission or a
 * packet made in the primary's name overtakes those that are held (R1, R12). A
 * client that has seen the newer timestamp drops the older ones that come after
 * (RFC 7323, PAWS). They left now, so they may say so: a timestamp older than one
 * that has left becomes that one.
 */
#include <linux/unaligned.h>
#include <net/tcp.h>

#include "translate.h"

/* The timestamps of a held packet, NULL if it has none. */
static const u8 *stamps(const struct kcolo_held *held)
{
	const u8 *th = held->skb->data + held->l4;
	struct kcolo_tcp_opts opts;

	if (held->data - held->l4 == sizeof(struct tcphdr))
		return NULL;
	kcolo_tcp_opts(&opts, th, held->data - held->l4);
	return opts.ts ? th + opts.ts : NULL;
}

/* Without memory a packet leaves as it is. */
static void change(struct kcolo_held *held, const struct kcolo_shift *shift)
{
	struct kcolo_pkt pkt = { .l4 = held->l4, .data = held->data };

	kcolo_translate(held->skb, &pkt, shift);
}

/**
 * kcolo_clock_leaves() - a held packet of the primary is about to leave
 * @flow: locked by the caller
 * @held: packet
 */
void kcolo_clock_leaves(struct kcolo_flow *flow, struct kcolo_held *held)
{
	const u8 *ts = stamps(held);
	struct kcolo_shift shift = {};
	u32 tsval;

	if (!ts)
		return;
	tsval = get_unaligned_be32(ts);
	if (flow->ts_out_ok && seq_before(tsval, flow->ts_out)) {
		shift.tsval = flow->ts_out - tsval;
		change(held, &shift);
		return;
	}
	flow->ts_out = tsval;
	flow->ts_out_ok = true;
}

/**
 * kcolo_clock_left() - a packet with the primary's newest timestamp leaves
 * @flow: locked by the caller
 */
void kcolo_clock_left(struct kcolo_flow *flow)
{
	u32 tsval = ntohl(flow->p_tsval);

	if (!flow->p_ts_ok || (flow->ts_out_ok && seq_before(tsval, flow->ts_out)))
		return;
	flow->ts_out = tsval;
	flow->ts_out_ok = true;
}

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

/**
 * kcolo_clock_leaves() - a held packet of the primary is about to leave
 * @flow: locked by the caller
 * @held: packet; without memory it leaves as it is
 */
void kcolo_clock_leaves(struct kcolo_flow *flow, struct kcolo_held *held)
{
	struct kcolo_pkt pkt = { .l4 = held->l4, .data = held->data };
	const u8 *th = held->skb->data + held->l4;
	struct kcolo_shift shift = {};
	struct kcolo_tcp_opts opts;
	u32 tsval;

	if (held->data - held->l4 == sizeof(struct tcphdr))
		return;
	kcolo_tcp_opts(&opts, th, held->data - held->l4);
	if (!opts.ts)
		return;
	tsval = get_unaligned_be32(th + opts.ts);
	if (flow->ts_out_ok && seq_before(tsval, flow->ts_out)) {
		shift.tsval = flow->ts_out - tsval;
		kcolo_translate(held->skb, &pkt, &shift);
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

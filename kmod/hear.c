// SPDX-License-Identifier: GPL-2.0
/* A SYN of either side of a TCP flow on the primary, and whether their options agree (R4). */
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
 * kcolo_hear_first_syn() - kcolo_hear_syn() of a SYN
 * @flow: locked by the caller
 * @side: whose it is
 * @seg: what it says
 * @th: its TCP header, linear
 * @hlen: length of that, with options
 *
 * Return: true if it is the first one of a connection, which starts afresh (R4).
 */
bool kcolo_hear_first_syn(struct kcolo_flow *flow, enum kcolo_side side,
			  const struct kcolo_seg *seg, const u8 *th, u32 hlen)
{
	struct kcolo_cmp *c = &flow->cmp;

	if (!kcolo_cmp_is_new_syn(c, side, seg))
		return false;
	kcolo_wait_drop_queued(flow, KCOLO_A_STATS_SECONDARY_DROPPED);
	if (side == KCOLO_P) {
		kcolo_wait_drop_held(flow);
		memset(&flow->client, 0, sizeof(flow->client));
		flow->opened_by_vm = !(seg->flags & KCOLO_TCP_ACK);
	}
	kcolo_cmp_syn(c, side, seg);
	hear_options(flow, side, th, hlen);
	return true;
}

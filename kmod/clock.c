// SPDX-License-Identifier: GPL-2.0
/*
 * Timestamps of packets of the primary that leave late.
 *
 * The primary's clock must not go back. Packets leave in another order than the
 * guest sent them: a retransmission or a packet made in the primary's name
 * overtakes those that are held (R1, R12). A client that has seen the newer
 * timestamp drops the older ones that come after (RFC 7323, PAWS). They left now,
 * so they may say so: a timestamp older than one that has left becomes that one.
 *
 * The echo must be of what the ACK waited for. An ACK leaves when the secondary has
 * the data, too, which may take a retransmission of the client that the primary did
 * not need. With the primary's echo of the first transmission the client would
 * conclude that its timeout was a mistake and stop to retransmit (RFC 3522). So
 * the secondary's echo counts, if it is newer.
 *
 * And the stamp must be of what the packet waited for. Bytes that leave because the
 * secondary has repeated them carry, with the primary's stamp, a time before that
 * repetition; the client echoes it, and now it is the secondary that concludes that
 * its timeout was a mistake. So while the secondary recovers from a loss its clock
 * counts, if it is ahead; it is translated, so both clocks are one.
 */
#include <linux/unaligned.h>
#include <net/tcp.h>

#include "translate.h"

/* Two minutes, if the tick is a millisecond; more is no clock of a replica. */
#define LEAD_MAX 131072

/* The timestamps of a held packet, NULL if it has none or they are signed. */
static const u8 *stamps(const struct kcolo_flow *flow,
			const struct kcolo_held *held)
{
	const u8 *th = held->skb->data + held->l4;
	u32 hlen = held->data - held->l4;
	struct kcolo_tcp_opts opts;

	if (flow->p_sig || hlen == sizeof(struct tcphdr))
		return NULL;
	if (kcolo_ts_alone(th, hlen))
		return th + KCOLO_TS_ALONE;
	kcolo_tcp_opts(&opts, th, hlen);
	return opts.ts ? th + opts.ts : NULL;
}

/* Without memory a packet leaves as it is. */
static noinline void change(struct kcolo_held *held, u32 tsval, u32 tsecr)
{
	struct kcolo_pkt pkt = { .l4 = held->l4, .data = held->data };
	struct kcolo_shift shift = { .tsval = tsval, .tsecr = tsecr };

	kcolo_translate(held->skb, &pkt, &shift);
}

/**
 * kcolo_clock_leaves() - a held packet of the primary is about to leave
 * @flow: locked by the caller
 * @held: packet
 */
void kcolo_clock_leaves(struct kcolo_flow *flow, struct kcolo_held *held)
{
	const u8 *ts = stamps(flow, held);
	u32 tsval;

	if (!ts)
		return;
	tsval = get_unaligned_be32(ts);
	if (flow->ts_out_ok && seq_before(tsval, flow->ts_out)) {
		change(held, flow->ts_out - tsval, 0);
		return;
	}
	flow->ts_out = tsval;
	flow->ts_out_ok = true;
}

/**
 * kcolo_clock_heard() - the secondary has acknowledged something
 * @flow: locked by the caller
 * @note: what its ACK says, if there was one
 */
void kcolo_clock_heard(struct kcolo_flow *flow,
		       const struct kcolo_lowered *note)
{
	u32 tsecr;

	if (!note->ok || !note->has_ts)
		return;
	tsecr = ntohl(note->tsecr);
	if (flow->s_ts_ok && seq_before(tsecr, flow->s_tsecr))
		return;
	flow->s_tsecr = tsecr;
	flow->s_ts_ok = true;
}

/**
 * kcolo_clock_follow() - the secondary repeats what was lost
 * @flow: locked by the caller
 * @note: what its packet says, if it has an ACK
 */
void kcolo_clock_follow(struct kcolo_flow *flow,
			const struct kcolo_lowered *note)
{
	u32 tsval;

	if (!note->ok || !note->has_ts || !flow->p_ts_ok)
		return;
	tsval = ntohl(note->tsval);
	if (tsval - ntohl(flow->p_tsval) > LEAD_MAX)
		return;
	flow->p_tsval = note->tsval;
	if (flow->ts_out_ok && seq_before(tsval, flow->ts_out))
		return;
	flow->ts_out = tsval;
	flow->ts_out_ok = true;
}

/**
 * kcolo_clock_echo() - a packet has waited for the secondary's acknowledgment
 * @flow: locked by the caller
 * @held: packet
 */
void kcolo_clock_echo(struct kcolo_flow *flow, struct kcolo_held *held)
{
	const u8 *ts = flow->s_ts_ok ? stamps(flow, held) : NULL;
	u32 by;

	if (!ts || !(held->seg.flags & KCOLO_TCP_ACK))
		return;
	by = flow->s_tsecr - get_unaligned_be32(ts + 4);
	if ((s32)by > 0)
		change(held, 0, by);
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

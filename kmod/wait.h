/* SPDX-License-Identifier: GPL-2.0 */
/* A TCP flow of the primary, as primary.c, peer.c, client.c and scan.c see it. */
#ifndef KCOLO_WAIT_H
#define KCOLO_WAIT_H

#include "kcolo.h"

static inline void kcolo_seg_fill(struct kcolo_seg *seg,
				  const struct kcolo_pkt *pkt)
{
	seg->seq = pkt->seq;
	seg->end = pkt->seq_end;
	seg->ack = pkt->ack;
	seg->flags = pkt->flags;
	seg->queued = false;
}

/* What may begin a flow: a SYN, or the refusal of one. */
static inline bool kcolo_starts_flow(const struct kcolo_pkt *pkt)
{
	if (pkt->flags & KCOLO_TCP_SYN)
		return true;
	return pkt->flags & KCOLO_TCP_RST && pkt->flags & KCOLO_TCP_ACK &&
	       !pkt->seq;
}

/**
 * kcolo_wait_shown() - remember what the client is shown
 * @flow: locked by the caller
 * @end: where the packet ends
 * @ack: what it acknowledges
 * @data: it carries bytes
 */
static inline void kcolo_wait_shown(struct kcolo_flow *flow, u32 end, u32 ack,
				    bool data)
{
	if (unlikely(!flow->out_ok)) {
		flow->seq_out = end;
		flow->data_out = data || !flow->client.ok ?
				 end : seq_min(end, flow->client.ack);
		flow->ack_out = ack;
		flow->out_ok = true;
		return;
	}
	flow->seq_out = seq_max(flow->seq_out, end);
	flow->ack_out = seq_max(flow->ack_out, ack);
	if (data)
		flow->data_out = seq_max(flow->data_out, end);
}

/**
 * kcolo_wait_note_out() - a packet leaves: with the smaller window (R3), and remembered
 * @flow: locked by the caller
 * @seg: what it says
 * @skb: the packet, writable
 * @l4: offset of its TCP header
 * @data: offset of its payload
 * @win: its window as on the wire
 */
static inline void kcolo_wait_note_out(struct kcolo_flow *flow, const struct kcolo_seg *seg,
				       struct sk_buff *skb, u32 l4, u32 data, u16 win)
{
	if (!(seg->flags & KCOLO_TCP_ACK) || seg->flags & KCOLO_TCP_RST)
		return;
	kcolo_clamp_leave(flow, seg, skb, l4, data, win);
	kcolo_wait_shown(flow, seg->end, seg->ack, seg->seq != seg->end);
}

/**
 * kcolo_wait_idle() - is nothing about to leave that a packet could overtake
 * @flow: locked by the caller
 *
 * Return: true if a packet may leave past the outbox.
 */
static inline bool kcolo_wait_idle(const struct kcolo_flow *flow)
{
	return list_empty(&flow->outbox) && !flow->releasing &&
	       !READ_ONCE(flow->pair->flushing);
}

/**
 * kcolo_wait_unlock() - unlock a flow, send what may leave, tell if its state has changed
 * @flow: locked by the caller
 * @now: monotonic ns, 0 if the caller has not asked for the time
 */
static inline void kcolo_wait_unlock(struct kcolo_flow *flow, u64 now)
	__releases(&flow->lock)
{
	u8 state = kcolo_flow_state(flow);
	bool changed = flow->told != state;

	flow->told = state;
	kcolo_flow_unlock_at(flow, now);
	if (unlikely(changed))
		kcolo_event_flow(flow);
}

/**
 * kcolo_hear_window() - what a side offers, and since when S takes nothing while P does (R3)
 * @flow: locked by the caller
 * @side: whose packet it is
 * @seg: what it says
 * @win: its window as on the wire
 */
static inline void kcolo_hear_window(struct kcolo_flow *flow, enum kcolo_side side,
				     const struct kcolo_seg *seg, u16 win)
{
	kcolo_window_hear(&flow->win, side, seg, win);
	if (!kcolo_window_shut(&flow->win))
		flow->shut_since = 0;
	else if (!flow->shut_since)
		flow->shut_since = ktime_get_mono_fast_ns();
}

/**
 * kcolo_hear_count_s() - count a packet of S that is not kept
 * @pair: whose
 * @seg: what it says
 * @fate: what the comparison said of it
 */
static inline void kcolo_hear_count_s(struct kcolo_pair *pair, const struct kcolo_seg *seg,
				      enum kcolo_fate fate)
{
	if (fate == KCOLO_FATE_FAR)
		kcolo_count(pair, SECONDARY_MALFORMED);
	else if (fate == KCOLO_FATE_UNKNOWN)
		kcolo_count(pair, SECONDARY_UNMATCHED);
	else if (fate != KCOLO_FATE_RST && seg->seq != seg->end)
		kcolo_count(pair, SECONDARY_COVERED);
	else
		kcolo_count(pair, SECONDARY_HEARD);
}

/* wait.c */
void kcolo_wait_let_out(struct kcolo_flow *flow, struct kcolo_held *held);
void kcolo_wait_unhold(struct kcolo_flow *flow, struct kcolo_held *held);
void kcolo_wait_drop_queued(struct kcolo_flow *flow, int why);
void kcolo_wait_drop_reset(struct kcolo_flow *flow, struct kcolo_held *held);
void kcolo_wait_drop_held(struct kcolo_flow *flow);
void kcolo_wait_drop_early(struct kcolo_flow *flow, u8 tag);
void kcolo_wait_ask(struct kcolo_flow *flow, u8 reason, u32 seq,
		    const struct kcolo_seg *p, const struct kcolo_seg *s);
void kcolo_wait_differs(struct kcolo_flow *flow, u8 reason, u32 seq,
			const struct kcolo_seg *p, const struct kcolo_seg *s);
bool kcolo_wait_meet(struct kcolo_flow *flow, enum kcolo_side side,
		     const struct kcolo_seg *seg, const struct kcolo_pkt *pkt,
		     struct sk_buff *skb, u64 now);
void kcolo_wait_release(struct kcolo_flow *flow, u64 now);
void kcolo_wait_advance(struct kcolo_flow *flow, u64 now);
bool kcolo_wait_place(struct kcolo_flow *flow, struct kcolo_held *held,
		      enum kcolo_fate fate);
void kcolo_wait_refuse_far(struct kcolo_flow *flow, const struct kcolo_seg *seg,
			   const struct sk_buff *skb);

/* hear.c */
bool kcolo_hear_first_syn(struct kcolo_flow *flow, enum kcolo_side side,
			  const struct kcolo_seg *seg, const u8 *th, u32 hlen);

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
static inline bool kcolo_hear_syn(struct kcolo_flow *flow, enum kcolo_side side,
				  const struct kcolo_seg *seg, const u8 *th,
				  u32 hlen)
{
	return unlikely(seg->flags & KCOLO_TCP_SYN) &&
	       kcolo_hear_first_syn(flow, side, seg, th, hlen);
}

/* client.c */
bool kcolo_client_fin(const struct kcolo_flow *flow);
bool kcolo_client_confirm(struct kcolo_flow *flow);

/**
 * kcolo_client_confirmed() - does what the client claims to have count by now (C0)
 * @flow: locked by the caller
 *
 * Return: true if it has not up to now, and does; cmp may have moved.
 */
static inline bool kcolo_client_confirmed(struct kcolo_flow *flow)
{
	return unlikely(flow->client.claimed) && kcolo_client_confirm(flow);
}

/* epoch.c */
void kcolo_epoch_mark_barrier(struct kcolo_flow *flow, struct kcolo_phase phase);
void kcolo_epoch_take_early(struct kcolo_flow *flow, u8 tag);
bool kcolo_epoch_adopt_unknown(struct kcolo_flow *flow,
			       const struct kcolo_seg *seg);

/**
 * kcolo_epoch_note_barrier() - remember where P stood, before its first packet after a begin (C1)
 * @flow: locked by the caller
 * @phase: of the pair
 */
static inline void kcolo_epoch_note_barrier(struct kcolo_flow *flow,
					    struct kcolo_phase phase)
{
	if (unlikely(flow->gen != phase.gen))
		kcolo_epoch_mark_barrier(flow, phase);
}

/**
 * kcolo_epoch_adopt() - a connection that was here before the pair is known from a commit on (C0)
 * @flow: locked by the caller
 * @seg: P's first packet after it
 *
 * Return: true if it is known from this packet on.
 */
static inline bool kcolo_epoch_adopt(struct kcolo_flow *flow,
				     const struct kcolo_seg *seg)
{
	return unlikely(flow->cmp.state == KCOLO_CMP_NONE) &&
	       kcolo_epoch_adopt_unknown(flow, seg);
}

/* lossy.c */
void kcolo_lossy_tell_hole(const struct kcolo_flow *flow, struct kcolo_ack *ack);
struct sk_buff *kcolo_held_head(struct kcolo_flow *flow, kcolo_okfn_t *okfn);
struct sk_buff *kcolo_lossy_repeat_head(struct kcolo_flow *flow,
					kcolo_okfn_t *okfn);

/**
 * kcolo_idle_head() - kcolo_held_head() of any flow
 * @flow: locked by the caller
 * @okfn: how to send it
 *
 * Return: a packet to send or NULL.
 */
static inline struct sk_buff *kcolo_idle_head(struct kcolo_flow *flow,
					      kcolo_okfn_t *okfn)
{
	return list_empty(&flow->held) ? NULL : kcolo_held_head(flow, okfn);
}

#endif

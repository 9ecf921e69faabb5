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

/* wait.c */
void kcolo_wait_note_out(struct kcolo_flow *flow, const struct kcolo_seg *seg,
			 struct sk_buff *skb, u32 l4, u32 data, u16 win);
void kcolo_wait_let_out(struct kcolo_flow *flow, struct kcolo_held *held);
void kcolo_wait_unhold(struct kcolo_flow *flow, struct kcolo_held *held);
void kcolo_wait_drop_queued(struct kcolo_flow *flow);
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
bool kcolo_wait_idle(const struct kcolo_flow *flow);
void kcolo_wait_unlock(struct kcolo_flow *flow) __releases(&flow->lock);

/* hear.c */
bool kcolo_hear_syn(struct kcolo_flow *flow, enum kcolo_side side,
		    const struct kcolo_seg *seg, const u8 *th, u32 hlen);
bool kcolo_hear_held_syn(struct kcolo_flow *flow, enum kcolo_side side,
			 const struct kcolo_held *held);
bool kcolo_hear_p_options(struct kcolo_flow *flow, const struct kcolo_pkt *pkt,
			  const struct sk_buff *skb);
void kcolo_hear_window(struct kcolo_flow *flow, enum kcolo_side side,
		       const struct kcolo_seg *seg, u16 win);
void kcolo_hear_count_s(struct kcolo_pair *pair, const struct kcolo_seg *seg,
			enum kcolo_fate fate);

/* epoch.c */
void kcolo_epoch_note_barrier(struct kcolo_flow *flow, struct kcolo_phase phase);
void kcolo_epoch_take_early(struct kcolo_flow *flow, u8 tag);
bool kcolo_epoch_adopt(struct kcolo_flow *flow, const struct kcolo_seg *seg);

/* lossy.c */
bool kcolo_lossy_client_has(const struct kcolo_flow *flow,
			    const struct kcolo_seg *seg);
bool kcolo_lossy_repeats(const struct kcolo_flow *flow,
			 const struct kcolo_seg *seg);
void kcolo_lossy_tell_hole(const struct kcolo_flow *flow, struct kcolo_ack *ack);
bool kcolo_lossy_shows(const struct kcolo_flow *flow,
		       const struct kcolo_seg *seg, bool again);
struct sk_buff *kcolo_lossy_head(struct kcolo_flow *flow, kcolo_okfn_t *okfn);
struct sk_buff *kcolo_lossy_repeat_head(struct kcolo_flow *flow,
					const struct kcolo_seg *seg,
					kcolo_okfn_t *okfn);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* The comparison of one connection's two byte streams, by sequence number. */
#ifndef _KCOLO_COMPARE_H
#define _KCOLO_COMPARE_H

#include "types.h"

/* Segments further than this from the compared position are not believed. */
#define KCOLO_CMP_WINDOW 0x40000000U

enum kcolo_side { KCOLO_P, KCOLO_S };

/**
 * struct kcolo_seg - a TCP segment of one side
 * @node: in &struct kcolo_stream.segs while @queued
 * @gated: for the owner, while not @queued: waits for R1 (b)
 * @seq: first sequence number
 * @end: behind the last one, SYN and FIN counting one each
 * @ack: acknowledgment number, if @flags has ACK
 * @flags: KCOLO_TCP_*
 * @queued: part of it lies beyond the compared position
 */
struct kcolo_seg {
	union {
		struct rb_node node;
		struct list_head gated;
	};
	u32 seq;
	u32 end;
	u32 ack;
	u8 flags;
	bool queued;
};

/**
 * struct kcolo_stream - what one side has said
 * @segs: segments not wholly compared, by @seq
 * @isn: its initial sequence number, if @isn_ok
 * @ack: highest acknowledgment it sent, if @ack_ok (R1: pack, sack)
 * @isn_ok: a SYN was seen
 * @syn_new: that SYN has not met the other side's yet
 * @ack_ok: an ACK was seen
 * @fin: a FIN was seen
 * @rst: a RST was seen, and the side has not spoken on
 */
struct kcolo_stream {
	struct rb_root segs;
	u32 isn;
	u32 ack;
	bool isn_ok;
	bool syn_new;
	bool ack_ok;
	bool fin;
	bool rst;
};

/**
 * enum kcolo_cmp_state - how far the comparison of a connection is
 * @KCOLO_CMP_NONE: nothing seen that starts a stream
 * @KCOLO_CMP_SYN: the guest's SYN waits for its partner
 * @KCOLO_CMP_RUN: comparing
 * @KCOLO_CMP_ADOPT: adopted at a commit, the first ACK of the secondary opens
 *	the gate (C0)
 * @KCOLO_CMP_DIFF: the sides differ, nothing more is compared (R7)
 */
enum kcolo_cmp_state {
	KCOLO_CMP_NONE,
	KCOLO_CMP_SYN,
	KCOLO_CMP_RUN,
	KCOLO_CMP_ADOPT,
	KCOLO_CMP_DIFF,
};

/**
 * struct kcolo_cmp - comparison of one direction of a connection
 * @side: primary and secondary
 * @cmp: everything before it was found equal
 * @nxt: highest sequence number that the primary has reached
 * @said: highest one that the secondary has reached since they were made equal, if
 *	@said_ok
 * @stream: data bytes between the guest's first one and @cmp, if @stream_ok
 * @compared: bytes found equal
 * @state: enum kcolo_cmp_state
 * @stream_ok: the start of the stream was seen
 * @said_ok: the secondary has spoken
 */
struct kcolo_cmp {
	struct kcolo_stream side[2];
	u32 cmp;
	u32 nxt;
	u32 said;
	u64 stream;
	u64 compared;
	u8 state;
	bool stream_ok;
	bool said_ok;
};

/**
 * enum kcolo_fate - what becomes of a segment that was put in
 * @KCOLO_FATE_QUEUED: keep it with kcolo_cmp_queue(), it waits to be compared
 * @KCOLO_FATE_COVERED: compared before, or carries no bytes
 * @KCOLO_FATE_RST: a reset, see kcolo_cmp_rst_met()
 * @KCOLO_FATE_FAR: sequence number out of all reason
 * @KCOLO_FATE_UNKNOWN: the start of this stream was not seen
 */
enum kcolo_fate {
	KCOLO_FATE_QUEUED,
	KCOLO_FATE_COVERED,
	KCOLO_FATE_RST,
	KCOLO_FATE_FAR,
	KCOLO_FATE_UNKNOWN,
};

/**
 * enum kcolo_diff - why the streams differ
 * @KCOLO_DIFF_NONE: they do not, as far as both have spoken
 * @KCOLO_DIFF_PAYLOAD: a byte differs
 * @KCOLO_DIFF_FIN: one side ends where the other has data
 */
enum kcolo_diff {
	KCOLO_DIFF_NONE,
	KCOLO_DIFF_PAYLOAD,
	KCOLO_DIFF_FIN,
};

/**
 * typedef kcolo_equal_t - compare payload of two segments
 * @p: segment of the primary
 * @p_off: first byte of its payload to compare
 * @s: segment of the secondary
 * @s_off: first byte of its payload to compare
 * @len: bytes to compare
 *
 * Return: equal bytes before the first difference, @len if there is none.
 */
typedef u32 (*kcolo_equal_t)(const struct kcolo_seg *p, u32 p_off,
			     const struct kcolo_seg *s, u32 s_off, u32 len);

bool kcolo_cmp_is_new_syn(const struct kcolo_cmp *c, enum kcolo_side side,
			  const struct kcolo_seg *seg);
void kcolo_cmp_syn(struct kcolo_cmp *c, enum kcolo_side side,
		   const struct kcolo_seg *seg);
void kcolo_cmp_refuse(struct kcolo_cmp *c);
void kcolo_cmp_adopt(struct kcolo_cmp *c, u32 cmp, bool gate_open);
enum kcolo_fate kcolo_cmp_put(struct kcolo_cmp *c, enum kcolo_side side,
			      const struct kcolo_seg *seg);
bool kcolo_cmp_queue(struct kcolo_cmp *c, enum kcolo_side side,
		     struct kcolo_seg *seg);
enum kcolo_diff kcolo_cmp_run(struct kcolo_cmp *c, kcolo_equal_t equal,
			      struct kcolo_seg **p, struct kcolo_seg **s);
struct kcolo_seg *kcolo_cmp_meets(struct kcolo_cmp *c, enum kcolo_side side,
				  const struct kcolo_seg *seg);
enum kcolo_diff kcolo_cmp_meet(struct kcolo_cmp *c, enum kcolo_side side,
			       const struct kcolo_seg *seg,
			       const struct kcolo_seg *other,
			       kcolo_equal_t equal);
struct kcolo_seg *kcolo_cmp_pop(struct kcolo_cmp *c, enum kcolo_side side,
				struct kcolo_seg **at);
struct kcolo_seg *kcolo_cmp_straddler(struct kcolo_cmp *c);
u32 kcolo_cmp_islands(const struct kcolo_cmp *c, u32 *edges, u32 max);
bool kcolo_cmp_acked(struct kcolo_cmp *c, u32 ack);
bool kcolo_cmp_confirms(struct kcolo_cmp *c, u32 claim);
void kcolo_cmp_remove(struct kcolo_cmp *c, enum kcolo_side side,
		      struct kcolo_seg *seg);
bool kcolo_cmp_gate(const struct kcolo_cmp *c, const struct kcolo_seg *seg);

/* Has a side said something that is not wholly compared? */
static inline bool kcolo_cmp_waits(const struct kcolo_cmp *c,
				   enum kcolo_side side)
{
	return !RB_EMPTY_ROOT(&c->side[side].segs);
}

/* Both sides have reset the connection (R5). */
static inline bool kcolo_cmp_rst_met(const struct kcolo_cmp *c)
{
	return c->side[KCOLO_P].rst && c->side[KCOLO_S].rst;
}

/* Whether the streams' offset is known: secondary_isn - primary_isn. */
static inline bool kcolo_cmp_offset_ok(const struct kcolo_cmp *c)
{
	return c->side[KCOLO_P].isn_ok && c->side[KCOLO_S].isn_ok &&
	       !c->side[KCOLO_P].syn_new && !c->side[KCOLO_S].syn_new;
}

/* secondary_isn - primary_isn, if kcolo_cmp_offset_ok(). */
static inline u32 kcolo_cmp_offset(const struct kcolo_cmp *c)
{
	return c->side[KCOLO_S].isn - c->side[KCOLO_P].isn;
}

#endif

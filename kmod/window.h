/* SPDX-License-Identifier: GPL-2.0 */
/* The window that the client sees: never above either replica's (R3). */
#ifndef _KCOLO_WINDOW_H
#define _KCOLO_WINDOW_H

#include "compare.h"

/**
 * struct kcolo_window - what both sides offer and what the client was told
 * @p_edge: right edge of the primary's newest window, if @p_ok
 * @p_ack: its acknowledgment
 * @s_edge: right edge of the secondary's newest window, if @s_ok
 * @s_ack: its acknowledgment
 * @s_seq: sequence number of the segment that said so
 * @out_edge: furthest right edge that the client was told, if @out_ok
 * @meant_edge: furthest one that packets had which have left, if @out_ok
 * @p_scale: the primary's window scale, if @scaled
 * @s_scale: the secondary's, if @scaled
 * @scaled: the scales are known; else nothing is clamped
 * @p_ok: the primary has offered a window
 * @s_ok: the secondary has, since its SYN or the last commit
 * @out_ok: the client was told one
 */
struct kcolo_window {
	u32 p_edge;
	u32 p_ack;
	u32 s_edge;
	u32 s_ack;
	u32 s_seq;
	u32 out_edge;
	u32 meant_edge;
	u8 p_scale;
	u8 s_scale;
	bool scaled;
	bool p_ok;
	bool s_ok;
	bool out_ok;
};

void kcolo_window_syn(struct kcolo_window *w, enum kcolo_side side, u8 scale);
void kcolo_window_unscaled(struct kcolo_window *w);
void kcolo_window_commit(struct kcolo_window *w);
void kcolo_window_hear(struct kcolo_window *w, enum kcolo_side side,
		       const struct kcolo_seg *seg, u16 win);
u16 kcolo_window_leave(struct kcolo_window *w, const struct kcolo_seg *seg,
		       u16 win);
void kcolo_window_left(struct kcolo_window *w, const struct kcolo_seg *seg,
		       u16 win);
u16 kcolo_window_make(struct kcolo_window *w, u32 ack);
bool kcolo_window_loosened(const struct kcolo_window *w, u32 ack);

/* The client was told less than the primary wanted to tell it, and still does. */
static inline bool kcolo_window_tight(const struct kcolo_window *w)
{
	return w->scaled && w->out_ok && w->p_ok &&
	       seq_before(w->out_edge, seq_min(w->meant_edge, w->p_edge));
}

/* The secondary takes nothing more, the primary does. */
static inline bool kcolo_window_shut(const struct kcolo_window *w)
{
	return w->s_ok && w->p_ok && !seq_after(w->s_edge, w->s_ack) &&
	       seq_after(w->p_edge, w->p_ack);
}

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * The arithmetic of two windows (R3); pure, also for user space.
 *
 * All is reckoned in right edges, ack + window: the two sides acknowledge at
 * times of their own, so their windows cannot be compared, but the furthest byte
 * that each will take can. What is told to the client ends where the nearer edge
 * is. An edge once told stays: where the multiple of the scale that fits would lie
 * before it, the next one is told.
 */
#include "pkt.h"
#include "window.h"

#define LARGEST 0xffffU

/* The largest window that does not end behind @limit, but ends not before @keep. */
static u16 fit(u32 ack, u8 scale, u32 limit, u32 keep)
{
	u32 n = seq_after(limit, ack) ? (limit - ack) >> scale : 0;

	if (seq_after(keep, ack + (n << scale)))
		n = (keep - ack + (1U << scale) - 1) >> scale;
	return n < LARGEST ? n : LARGEST;
}

/* Where both sides take a byte, as far as P said @p_edge. */
static u32 nearer(const struct kcolo_window *w, u32 p_edge)
{
	return w->s_ok ? seq_min(p_edge, w->s_edge) : p_edge;
}

/* The client is told @edge where the primary meant @meant. */
static void tell(struct kcolo_window *w, u32 edge, u32 meant)
{
	w->out_edge = w->out_ok ? seq_max(w->out_edge, edge) : edge;
	w->meant_edge = w->out_ok ? seq_max(w->meant_edge, meant) : meant;
	w->out_ok = true;
}

/**
 * kcolo_window_syn() - a new connection
 * @w: windows
 * @side: who sent a SYN with another ISN
 * @scale: its window scale
 */
void kcolo_window_syn(struct kcolo_window *w, enum kcolo_side side, u8 scale)
{
	if (side == KCOLO_P) {
		w->p_scale = scale;
		w->p_ok = false;
		w->out_ok = false;
		w->scaled = true;
	} else {
		w->s_scale = scale;
		w->s_ok = false;
	}
}

/**
 * kcolo_window_unscaled() - the other end of the connection does not scale
 * @w: windows
 */
void kcolo_window_unscaled(struct kcolo_window *w)
{
	w->p_scale = 0;
	w->s_scale = 0;
}

/**
 * kcolo_window_commit() - the secondary holds what the primary does (C2)
 * @w: windows
 *
 * Its window is the primary's until it says something.
 */
void kcolo_window_commit(struct kcolo_window *w)
{
	w->s_scale = w->p_scale;
	w->s_ok = false;
}

/* S's packets may come late; a larger window is believed of any, else the newest. */
static void hear_s(struct kcolo_window *w, const struct kcolo_seg *seg, u32 edge)
{
	if (w->s_ok && (seq_before(seg->ack, w->s_ack) ||
			(seg->ack == w->s_ack && seq_before(seg->seq, w->s_seq) &&
			 !seq_after(edge, w->s_edge))))
		return;
	w->s_edge = edge;
	w->s_ack = seg->ack;
	w->s_seq = seg->seq;
	w->s_ok = true;
}

/**
 * kcolo_window_hear() - a side has offered a window
 * @w: windows
 * @side: who
 * @seg: its segment
 * @win: the window as on the wire
 */
void kcolo_window_hear(struct kcolo_window *w, enum kcolo_side side,
		       const struct kcolo_seg *seg, u16 win)
{
	u8 scale = side == KCOLO_P ? w->p_scale : w->s_scale;
	u32 edge;

	if (!(seg->flags & KCOLO_TCP_ACK) || seg->flags & KCOLO_TCP_RST)
		return;
	/* The window of a SYN is not scaled. */
	edge = seg->ack + ((u32)win << (seg->flags & KCOLO_TCP_SYN ? 0 : scale));
	if (side == KCOLO_S) {
		hear_s(w, seg, edge);
	} else if (!w->p_ok || !seq_before(seg->ack, w->p_ack)) {
		w->p_edge = edge;
		w->p_ack = seg->ack;
		w->p_ok = true;
	}
}

/**
 * kcolo_window_leave() - a segment of the primary leaves
 * @w: windows
 * @seg: the segment, has ACK
 * @win: its window as on the wire
 *
 * Return: the window that it has to leave with.
 */
u16 kcolo_window_leave(struct kcolo_window *w, const struct kcolo_seg *seg,
		       u16 win)
{
	u8 scale = seg->flags & KCOLO_TCP_SYN ? 0 : w->p_scale;
	u32 mine = seg->ack + ((u32)win << scale);

	if (w->scaled)
		win = fit(seg->ack, scale, nearer(w, mine),
			  w->out_ok ? seq_min(mine, w->out_edge) : seg->ack);
	tell(w, seg->ack + ((u32)win << scale), mine);
	return win;
}

/**
 * kcolo_window_left() - it has left with its own window after all
 * @w: windows
 * @seg: the segment, has ACK
 * @win: its window as on the wire
 */
void kcolo_window_left(struct kcolo_window *w, const struct kcolo_seg *seg,
		       u16 win)
{
	u32 mine = seg->ack + ((u32)win << (seg->flags & KCOLO_TCP_SYN ?
					    0 : w->p_scale));

	tell(w, mine, mine);
}

/**
 * kcolo_window_make() - a segment is made in the primary's name
 * @w: windows; the primary has spoken
 * @ack: its acknowledgment
 *
 * Return: the window that it has to carry.
 */
u16 kcolo_window_make(struct kcolo_window *w, u32 ack)
{
	u32 edge;
	u16 win;

	/*
	 * C0: nobody knows the scale, so nobody knows P's edge at another ack than
	 * its own. S is a copy, with the same scale, and takes back no edge that the
	 * client was told before. It may not have spoken yet; then P's own will do.
	 */
	if (!w->scaled)
		win = w->s_ok ? w->s_edge - w->s_ack : w->p_edge - w->p_ack;
	else
		win = fit(ack, w->p_scale, nearer(w, w->p_edge),
			  w->out_ok ? seq_min(w->p_edge, w->out_edge) : ack);

	edge = ack + ((u32)win << w->p_scale);
	tell(w, edge, edge);
	return win;
}

/**
 * kcolo_window_loosened() - should the client be told of more room
 * @w: windows
 * @ack: what it would be told with
 *
 * Return: true if a packet of the primary had to leave with less than it said, and
 * the secondary now has room for more.
 */
bool kcolo_window_loosened(const struct kcolo_window *w, u32 ack)
{
	struct kcolo_window told;

	/* Of what the secondary has acknowledged first, the primary's ACK will tell. */
	if (!kcolo_window_tight(w) || !w->s_ok || seq_after(w->s_ack, w->p_ack))
		return false;
	told = *w;
	kcolo_window_make(&told, ack);
	return seq_after(told.out_edge, w->out_edge) &&
	       !seq_after(told.out_edge, nearer(w, w->p_edge));
}

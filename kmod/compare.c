// SPDX-License-Identifier: GPL-2.0
/*
 * Compares two TCP byte streams by sequence number (R1, R4-R6); pure, knows no
 * packet, no lock and no clock, also compiled and checked in user space.
 *
 * Both sides put their segments in, in any order and segmentation. Wherever
 * both have spoken, kcolo_cmp_run() compares and moves the position `cmp`; what
 * lies before it comes out again through kcolo_cmp_pop().
 */
#include "compare.h"
#include "pkt.h"

static struct kcolo_seg *seg_of(struct rb_node *node)
{
	return node ? rb_entry(node, struct kcolo_seg, node) : NULL;
}

static struct kcolo_seg *first_seg(struct kcolo_cmp *c, enum kcolo_side side)
{
	return seg_of(rb_first(&c->side[side].segs));
}

/**
 * kcolo_cmp_is_new_syn() - does a SYN start the connection afresh (R4)
 * @c: comparison
 * @side: who sent it
 * @seg: a segment with SYN
 *
 * A repeated SYN does not. The secondary's comes in its own sequence space
 * until its offset has been learnt, and in the primary's afterwards.
 *
 * Return: true if it does.
 */
bool kcolo_cmp_is_new_syn(const struct kcolo_cmp *c, enum kcolo_side side,
			  const struct kcolo_seg *seg)
{
	const struct kcolo_stream *p = &c->side[KCOLO_P], *st = &c->side[side];

	if (seg->flags & KCOLO_TCP_RST || (st->isn_ok && st->isn == seg->seq))
		return false;
	return side == KCOLO_P || !st->isn_ok || st->syn_new || p->syn_new ||
	       !p->isn_ok || p->isn != seg->seq;
}

/*
 * A side that speaks on has not ended the connection with its RST: that was the answer
 * to a segment of another one (RFC 9293, 3.5.1), and so was the secondary's that it has
 * met. What the secondary said before its RST may come behind it, but for a SYN.
 */
static void speaks_on(struct kcolo_cmp *c, enum kcolo_side side)
{
	if (side == KCOLO_P && kcolo_cmp_rst_met(c))
		c->side[KCOLO_S].rst = false;
	c->side[side].rst = false;
}

/**
 * kcolo_cmp_syn() - take a new SYN (R4: another ISN is normal)
 * @c: comparison
 * @side: who sent it
 * @seg: a segment for which kcolo_cmp_is_new_syn() was true
 *
 * The caller has emptied the side's stream before. The other side's SYN may be
 * here already, or still to come; streams are compared once both are.
 */
void kcolo_cmp_syn(struct kcolo_cmp *c, enum kcolo_side side,
		   const struct kcolo_seg *seg)
{
	struct kcolo_stream *p = &c->side[KCOLO_P], *s = &c->side[KCOLO_S];
	struct kcolo_stream *st = &c->side[side];

	st->isn = seg->seq;
	st->isn_ok = true;
	st->syn_new = true;
	st->ack_ok = false;
	st->fin = false;
	speaks_on(c, side);
	if (side == KCOLO_P) {
		/* What S said on the last connection says nothing about this one. */
		if (c->state != KCOLO_CMP_NONE && !s->syn_new) {
			s->ack_ok = false;
			s->fin = false;
			s->rst = false;
		}
		c->cmp = seg->seq;
		c->nxt = seg->seq;
		c->state = KCOLO_CMP_SYN;
		c->stream = 0;
		c->stream_ok = false;
	}
	if (!p->syn_new || !s->syn_new)
		return;
	p->syn_new = false;
	s->syn_new = false;
	c->cmp = p->isn + 1;
	c->state = KCOLO_CMP_RUN;
	c->stream = 0;
	c->stream_ok = true;
}

/**
 * kcolo_cmp_refuse() - two SYNs have met and promise different things (R4)
 * @c: comparison; the SYN of one side was just taken and met the other's
 *
 * It is as if they had not met: the primary's is not compared and stays where
 * it is, until the sides are made equal or another SYN comes.
 */
void kcolo_cmp_refuse(struct kcolo_cmp *c)
{
	c->side[KCOLO_P].syn_new = true;
	c->cmp = c->side[KCOLO_P].isn;
	c->state = KCOLO_CMP_DIFF;
	c->stream_ok = false;
}

/* Is it the primary's SYN that kcolo_cmp_refuse() has been about? */
static bool refused_syn(const struct kcolo_cmp *c, const struct kcolo_seg *seg)
{
	return c->state == KCOLO_CMP_DIFF && c->side[KCOLO_P].syn_new &&
	       seg->seq == c->cmp;
}

/**
 * kcolo_cmp_adopt() - go on from a state that both sides share (C0, C2)
 * @c: comparison, its streams empty
 * @cmp: the primary's position
 * @gate_open: the secondary holds what the primary has acknowledged; else its
 *	first ACK tells
 */
void kcolo_cmp_adopt(struct kcolo_cmp *c, u32 cmp, bool gate_open)
{
	struct kcolo_stream *p = &c->side[KCOLO_P], *s = &c->side[KCOLO_S];

	if (c->stream_ok) {
		c->stream += cmp - c->cmp;
	} else if (p->isn_ok) {
		c->stream = cmp - p->isn - 1;
		c->stream_ok = p->syn_new;	/* its SYN is all there was */
	}
	c->cmp = cmp;
	c->nxt = cmp;
	s->isn = p->isn;
	s->isn_ok = p->isn_ok;
	s->syn_new = false;
	p->syn_new = false;
	s->fin = p->fin;
	s->rst = p->rst;
	if (gate_open) {
		s->ack = p->ack;
		s->ack_ok = p->ack_ok;
		c->said_ok = false;
	}
	c->state = gate_open || s->ack_ok ? KCOLO_CMP_RUN : KCOLO_CMP_ADOPT;
}

/* W3: what a side says about the client's data is in the shared space. */
static void note_ack(struct kcolo_stream *st, const struct kcolo_seg *seg)
{
	if (!(seg->flags & KCOLO_TCP_ACK))
		return;
	st->ack = st->ack_ok ? seq_max(st->ack, seg->ack) : seg->ack;
	st->ack_ok = true;
}

/* Where the secondary stands, even if the start of the stream is not known yet. */
static void note_said(struct kcolo_cmp *c, const struct kcolo_seg *seg)
{
	c->said = c->said_ok ? seq_max(c->said, seg->end) : seg->end;
	c->said_ok = true;
}

/**
 * kcolo_cmp_put() - hear what a segment says
 * @c: comparison
 * @side: who sent it
 * @seg: the segment; a new SYN has gone through kcolo_cmp_syn() before
 *
 * Return: what becomes of it. Only with KCOLO_FATE_QUEUED it has to be kept and
 * given to kcolo_cmp_queue().
 */
enum kcolo_fate kcolo_cmp_put(struct kcolo_cmp *c, enum kcolo_side side,
			      const struct kcolo_seg *seg)
{
	struct kcolo_stream *st = &c->side[side];

	note_ack(st, seg);
	if (c->state == KCOLO_CMP_ADOPT && side == KCOLO_S && st->ack_ok)
		c->state = KCOLO_CMP_RUN;
	if (seg->flags & KCOLO_TCP_RST) {
		st->rst = true;
		return KCOLO_FATE_RST;
	}
	if (unlikely(st->rst) && (side == KCOLO_P || seg->flags & KCOLO_TCP_SYN))
		speaks_on(c, side);
	if (unlikely(!c->stream_ok) && side == KCOLO_S &&
	    !(seg->flags & KCOLO_TCP_SYN))
		note_said(c, seg);
	if (seg->seq == seg->end)
		return KCOLO_FATE_COVERED;
	if (c->state == KCOLO_CMP_NONE)
		return KCOLO_FATE_UNKNOWN;
	/* Its SYN may still be in its own space, and is met by meeting. */
	if (side == KCOLO_S && (seg->flags & KCOLO_TCP_SYN))
		return KCOLO_FATE_COVERED;
	if (seg->end - c->cmp + KCOLO_CMP_WINDOW > 2 * KCOLO_CMP_WINDOW ||
	    seg->seq - c->cmp + KCOLO_CMP_WINDOW > 2 * KCOLO_CMP_WINDOW)
		return KCOLO_FATE_FAR;
	/* A SYN lies before everything that is compared. */
	if (seg->flags & KCOLO_TCP_SYN && c->state != KCOLO_CMP_SYN &&
	    !seq_before(seg->seq, c->cmp) && !refused_syn(c, seg))
		return KCOLO_FATE_FAR;
	if (seg->flags & KCOLO_TCP_FIN)
		st->fin = true;
	if (side == KCOLO_P)
		c->nxt = seq_max(c->nxt, seg->end);
	return seq_after(seg->end, c->cmp) ? KCOLO_FATE_QUEUED :
					     KCOLO_FATE_COVERED;
}

/**
 * kcolo_cmp_queue() - keep a segment until it is compared
 * @c: comparison
 * @side: who sent it
 * @seg: the segment; stays in the stream until kcolo_cmp_pop() or
 *	kcolo_cmp_remove()
 *
 * Sorted by seq, equals in order of arrival.
 *
 * Return: false if the secondary has said all of it before and it need not be
 * kept. What the primary repeats has to leave, too, and is always kept.
 */
bool kcolo_cmp_queue(struct kcolo_cmp *c, enum kcolo_side side,
		     struct kcolo_seg *seg)
{
	struct rb_node **link = &c->side[side].segs.rb_node, *parent = NULL;

	while (*link) {
		struct kcolo_seg *at = seg_of(*link);

		parent = *link;
		if (side == KCOLO_S && at->seq == seg->seq &&
		    !seq_after(seg->end, at->end))
			return false;
		link = seq_before(seg->seq, at->seq) ? &(*link)->rb_left :
						       &(*link)->rb_right;
	}
	rb_link_node(&seg->node, parent, link);
	rb_insert_color(&seg->node, &c->side[side].segs);
	seg->queued = true;
	return true;
}

/*
 * The segment of a side that holds the position cmp, if it has come. The search
 * goes on where the last one ended: nothing before it reaches beyond cmp.
 */
static struct kcolo_seg *at_cmp(struct kcolo_cmp *c, enum kcolo_side side,
				struct kcolo_seg *seg)
{
	for (seg = seg ?: first_seg(c, side); seg;
	     seg = seg_of(rb_next(&seg->node))) {
		if (seq_after(seg->seq, c->cmp))
			return NULL;	/* a hole, wait until it is filled */
		if (seq_after(seg->end, c->cmp))
			return seg;
	}
	return NULL;
}

/* Data bytes of a segment from cmp on, FIN not counted. */
static u32 data_left(const struct kcolo_cmp *c, const struct kcolo_seg *seg)
{
	return seg->end - c->cmp - !!(seg->flags & KCOLO_TCP_FIN);
}

/* Offset into the payload at which cmp lies. */
static u32 data_off(const struct kcolo_cmp *c, const struct kcolo_seg *seg)
{
	return c->cmp - seg->seq - !!(seg->flags & KCOLO_TCP_SYN);
}

static void advance(struct kcolo_cmp *c, u32 bytes)
{
	c->cmp += bytes;
	c->stream += bytes;
	c->compared += bytes;
}

/* One step: the bytes that the two segments share from cmp on, or a FIN. */
static enum kcolo_diff step(struct kcolo_cmp *c, kcolo_equal_t equal,
			    const struct kcolo_seg *p, const struct kcolo_seg *s)
{
	u32 pn = data_left(c, p), sn = data_left(c, s);
	u32 len = pn < sn ? pn : sn, same;

	if (len) {
		same = equal(p, data_off(c, p), s, data_off(c, s), len);
		advance(c, same);
		return same == len ? KCOLO_DIFF_NONE : KCOLO_DIFF_PAYLOAD;
	}
	if (pn || sn)
		return KCOLO_DIFF_FIN;
	c->cmp++;	/* both FIN, one sequence number (R5) */
	return KCOLO_DIFF_NONE;
}

/**
 * kcolo_cmp_run() - compare wherever both sides have spoken (R6)
 * @c: comparison
 * @equal: compares payload
 * @p: with a difference, the primary's segment at cmp
 * @s: with a difference, the secondary's segment at cmp
 *
 * With a difference cmp is the sequence number of the first byte that differs,
 * and nothing more is compared until kcolo_cmp_adopt() (R7).
 *
 * Return: enum kcolo_diff.
 */
enum kcolo_diff kcolo_cmp_run(struct kcolo_cmp *c, kcolo_equal_t equal,
			      struct kcolo_seg **p, struct kcolo_seg **s)
{
	enum kcolo_diff diff;

	*p = NULL;
	*s = NULL;
	while (c->state == KCOLO_CMP_RUN || c->state == KCOLO_CMP_ADOPT) {
		*p = at_cmp(c, KCOLO_P, *p);
		*s = *p ? at_cmp(c, KCOLO_S, *s) : NULL;
		if (!*s)
			break;
		diff = step(c, equal, *p, *s);
		if (diff != KCOLO_DIFF_NONE) {
			c->state = KCOLO_CMP_DIFF;
			return diff;
		}
	}
	return KCOLO_DIFF_NONE;
}

/**
 * kcolo_cmp_meets() - can all of a segment be compared now
 * @c: comparison
 * @side: whose
 * @seg: the segment, not queued
 *
 * Then it need not be kept.
 *
 * Return: the segment of the other side to compare it with: @seg begins at or before cmp,
 * nothing else of its side holds cmp, and the other one reaches as far. NULL if there is
 * none.
 */
struct kcolo_seg *kcolo_cmp_meets(struct kcolo_cmp *c, enum kcolo_side side,
				  const struct kcolo_seg *seg)
{
	struct kcolo_seg *other;

	if ((c->state != KCOLO_CMP_RUN && c->state != KCOLO_CMP_ADOPT) ||
	    seq_after(seg->seq, c->cmp) ||
	    (kcolo_cmp_waits(c, side) && at_cmp(c, side, NULL)))
		return NULL;
	other = at_cmp(c, !side, NULL);
	return other && !seq_after(seg->end, other->end) ? other : NULL;
}

/**
 * kcolo_cmp_meet() - compare a segment without queueing it
 * @c: comparison
 * @side: whose
 * @seg: the segment, it ends behind cmp
 * @other: of kcolo_cmp_meets()
 * @equal: compares payload
 *
 * Without a difference kcolo_cmp_run() may find more to compare behind it.
 *
 * Return: enum kcolo_diff, as of kcolo_cmp_run().
 */
enum kcolo_diff kcolo_cmp_meet(struct kcolo_cmp *c, enum kcolo_side side,
			       const struct kcolo_seg *seg,
			       const struct kcolo_seg *other,
			       kcolo_equal_t equal)
{
	const struct kcolo_seg *p = side == KCOLO_P ? seg : other;
	const struct kcolo_seg *s = side == KCOLO_P ? other : seg;
	enum kcolo_diff diff;

	do {
		diff = step(c, equal, p, s);
	} while (diff == KCOLO_DIFF_NONE && c->cmp != seg->end);
	if (diff != KCOLO_DIFF_NONE)
		c->state = KCOLO_CMP_DIFF;
	return diff;
}

/**
 * kcolo_cmp_pop() - take out a segment that lies at or below cmp
 * @c: comparison
 * @side: whose
 * @at: where to go on; NULL before the first call
 *
 * Return: a segment that satisfies R1 (a), or NULL; not in order of arrival.
 */
struct kcolo_seg *kcolo_cmp_pop(struct kcolo_cmp *c, enum kcolo_side side,
				struct kcolo_seg **at)
{
	struct kcolo_seg *seg = *at ?: first_seg(c, side), *next;

	for (; seg && seq_before(seg->seq, c->cmp); seg = next) {
		next = seg_of(rb_next(&seg->node));
		if (!seq_after(seg->end, c->cmp)) {
			kcolo_cmp_remove(c, side, seg);
			*at = next;
			return seg;
		}
	}
	return NULL;
}

/**
 * kcolo_cmp_acked() - the client has acknowledged what the primary said
 * @c: comparison
 * @ack: the client's acknowledgment
 *
 * An adopted connection may begin with a repetition of what the client has
 * (a keepalive, a lost ACK) and the secondary never repeats: it needs no
 * partner. Only until the first bytes were compared.
 *
 * Return: true if cmp has moved.
 */
bool kcolo_cmp_acked(struct kcolo_cmp *c, u32 ack)
{
	if (c->stream_ok || c->compared || !seq_after(ack, c->cmp) ||
	    (c->state != KCOLO_CMP_RUN && c->state != KCOLO_CMP_ADOPT))
		return false;
	c->cmp = ack;
	c->nxt = seq_max(c->nxt, ack);
	return true;
}

/* So many segments are looked at; more would be slow, and fewer are no lie. */
#define LOOK_SEGS 128

/* Has the primary left something out and gone on at @seq, or behind it? */
static bool jumps(struct kcolo_cmp *c, u32 seq)
{
	const struct kcolo_seg *seg;
	u32 end = c->cmp, n = 0;

	for (seg = first_seg(c, KCOLO_P); seg && n < LOOK_SEGS;
	     seg = seg_of(rb_next(&seg->node)), n++) {
		if (seq_after(seg->seq, end) && !seq_before(seg->seq, seq))
			return true;
		end = seq_max(end, seg->end);
	}
	return false;
}

/* Does something of the secondary wait that lies between cmp and @seq? */
static bool says_before(struct kcolo_cmp *c, u32 seq)
{
	const struct kcolo_seg *seg = first_seg(c, KCOLO_S);

	while (seg && !seq_after(seg->end, c->cmp))
		seg = seg_of(rb_next(&seg->node));
	return seg && seq_before(seg->seq, seq);
}

/**
 * kcolo_cmp_confirms() - does a side stand behind what the client claims to have (C0)
 * @c: comparison
 * @claim: the client's acknowledgment of more than the primary has said here
 *
 * What a guest says for the first time it says in order, and none of its packets is lost
 * on the way here: if the primary has left something out and goes on there, it has said
 * all before that before the connection was adopted. A secondary that is there and says
 * nothing of it has heeded the client's ACK and never repeats it.
 *
 * Return: true if one does; everything before @claim counts as compared.
 */
bool kcolo_cmp_confirms(struct kcolo_cmp *c, u32 claim)
{
	if (c->stream_ok || !seq_after(claim, c->cmp) ||
	    (c->state != KCOLO_CMP_RUN && c->state != KCOLO_CMP_ADOPT))
		return false;
	if ((seq_after(claim, c->nxt) || !jumps(c, claim)) &&
	    (!c->said_ok || seq_after(claim, c->said) || says_before(c, claim)))
		return false;
	c->cmp = claim;
	c->nxt = seq_max(c->nxt, claim);
	return true;
}

/**
 * kcolo_cmp_straddler() - the primary's segment that lies on both sides of cmp
 * @c: comparison
 *
 * Return: the one that begins first, or NULL.
 */
struct kcolo_seg *kcolo_cmp_straddler(struct kcolo_cmp *c)
{
	struct kcolo_seg *seg = at_cmp(c, KCOLO_P, NULL);

	return seg && seq_before(seg->seq, c->cmp) ? seg : NULL;
}

/**
 * kcolo_cmp_islands() - what the secondary said behind bytes that are missing
 * @c: comparison
 * @edges: result, pairs of first sequence number and the one behind the last
 * @max: room for so many pairs
 *
 * Return: the number of pairs, 0 if nothing is missing at cmp.
 */
u32 kcolo_cmp_islands(const struct kcolo_cmp *c, u32 *edges, u32 max)
{
	const struct rb_node *node = rb_first(&c->side[KCOLO_S].segs);
	u32 n = 0, looked;

	for (looked = 0; node && looked < LOOK_SEGS; looked++) {
		const struct kcolo_seg *seg =
			rb_entry(node, struct kcolo_seg, node);

		if (!n && !seq_after(seg->seq, c->cmp))
			return 0;
		if (n && !seq_after(seg->seq, edges[2 * n - 1])) {
			edges[2 * n - 1] = seq_max(edges[2 * n - 1], seg->end);
		} else if (n < max) {
			edges[2 * n] = seg->seq;
			edges[2 * n + 1] = seg->end;
			n++;
		} else {
			break;
		}
		node = rb_next(node);
	}
	return n;
}

/**
 * kcolo_cmp_remove() - take a queued segment out of its stream
 * @c: comparison
 * @side: whose
 * @seg: must be queued
 */
void kcolo_cmp_remove(struct kcolo_cmp *c, enum kcolo_side side,
		      struct kcolo_seg *seg)
{
	rb_erase(&seg->node, &c->side[side].segs);
	seg->queued = false;
}

/**
 * kcolo_cmp_gate() - R1 (b): may a segment's acknowledgment leave
 * @c: comparison
 * @seg: a segment of the primary
 *
 * A client frees what is acknowledged; the secondary must have it, else it is
 * lost at failover. No ACK of the secondary yet means no.
 *
 * Return: true if it may.
 */
bool kcolo_cmp_gate(const struct kcolo_cmp *c, const struct kcolo_seg *seg)
{
	const struct kcolo_stream *p = &c->side[KCOLO_P], *s = &c->side[KCOLO_S];

	if (!(seg->flags & KCOLO_TCP_ACK))
		return true;
	/* Between two SYNs it is not clear which connection an ACK speaks of. */
	return s->ack_ok && !p->syn_new && !s->syn_new &&
	       !seq_after(seg->ack, s->ack);
}

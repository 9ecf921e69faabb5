// SPDX-License-Identifier: GPL-2.0
/*
 * Drives the comparison as kmod/primary.c, peer.c, wait.c, hear.c and epoch.c do. A
 * function that has the name of one there, less its prefix, does the same; what differs
 * is that packets belong to the caller.
 */
#include "drive.h"

static struct packet *packet_of(const struct kcolo_seg *seg)
{
	return (struct packet *)((char *)seg - offsetof(struct packet, seg));
}

static void fault(struct flow *flow, const char *what)
{
	if (!flow->fault)
		flow->fault = what;
}

/* As kcolo_payload_equal(); here nothing outside of a payload may be asked for. */
static u32 payload_equal(const struct kcolo_seg *p, u32 p_off,
			 const struct kcolo_seg *s, u32 s_off, u32 len)
{
	const struct packet *a = packet_of(p), *b = packet_of(s);
	u32 i;

	if ((u64)p_off + len > a->len || (u64)s_off + len > b->len) {
		fault(a->flow, "compares bytes that are not payload");
		return len;
	}
	for (i = 0; i < len && a->data[p_off + i] == b->data[s_off + i]; i++)
		;
	return i;
}

static void let_out(struct flow *flow, struct packet *pkt)
{
	struct packet *at;

	list_del(&pkt->list);
	list_for_each_entry_reverse(at, &flow->outbox, list)
		if ((s32)(at->order - pkt->order) < 0)
			break;
	list_add(&pkt->list, &at->list);
	pkt->fate = FATE_LEFT;
}

static void gate(struct flow *flow, struct packet *pkt)
{
	struct packet *at;

	if (!(pkt->seg.flags & KCOLO_TCP_ACK)) {
		list_add(&pkt->seg.gated, &flow->gated);
		return;
	}
	list_for_each_entry_reverse(at, &flow->gated, seg.gated)
		if (!(at->seg.flags & KCOLO_TCP_ACK) ||
		    !seq_after(at->seg.ack, pkt->seg.ack))
			break;
	list_add(&pkt->seg.gated, &at->seg.gated);
}

static void settle(struct flow *flow, struct packet *pkt)
{
	if (seq_after(pkt->seg.end, flow->cmp.cmp))
		fault(flow, "R1 (a): popped a segment that is not compared");
	if (kcolo_cmp_gate(&flow->cmp, &pkt->seg))
		let_out(flow, pkt);
	else
		gate(flow, pkt);
}

static void unhold(struct flow *flow, struct packet *pkt)
{
	if (pkt->seg.queued)
		kcolo_cmp_remove(&flow->cmp, KCOLO_P, &pkt->seg);
	else
		list_del(&pkt->seg.gated);
	list_del(&pkt->list);
}

static void drop(struct packet *pkt)
{
	pkt->fate = FATE_DROPPED;
}

static void drop_queued(struct flow *flow)
{
	struct packet *pkt, *next;

	list_for_each_entry_safe(pkt, next, &flow->queued, list) {
		kcolo_cmp_remove(&flow->cmp, KCOLO_S, &pkt->seg);
		list_del(&pkt->list);
		drop(pkt);
	}
}

static void drop_held(struct flow *flow, bool only_queued)
{
	struct packet *pkt, *next;

	list_for_each_entry_safe(pkt, next, &flow->held, list) {
		if (only_queued && !pkt->seg.queued)
			continue;
		unhold(flow, pkt);
		drop(pkt);
	}
}

static void leave_resets(struct flow *flow)
{
	struct packet *pkt, *next;
	bool left = false;

	list_for_each_entry_safe(pkt, next, &flow->resets, seg.gated) {
		if (!kcolo_cmp_gate(&flow->cmp, &pkt->seg))
			continue;
		list_del(&pkt->seg.gated);
		let_out(flow, pkt);
		left = true;
	}
	if (!left)
		return;
	drop_held(flow, true);
	drop_queued(flow);
}

static void found(struct flow *flow, enum kcolo_diff diff, const struct kcolo_seg *p, const struct kcolo_seg *s)
{
	struct kcolo_cmp *c = &flow->cmp;

	if (diff == KCOLO_DIFF_NONE)
		return;
	flow->diff = diff;
	flow->miscompares++;
	if (seq_after(p->seq, c->cmp) || !seq_after(p->end, c->cmp) ||
	    seq_after(s->seq, c->cmp) || !seq_after(s->end, c->cmp))
		fault(flow, "R7: the difference is not in the segments told");
}

static void compare(struct flow *flow)
{
	struct kcolo_seg *p, *s;
	enum kcolo_diff diff;

	diff = kcolo_cmp_run(&flow->cmp, payload_equal, &p, &s);
	found(flow, diff, p, s);
}

/* As kcolo_wait_meet(): what the other side has said before need not be kept. */
static bool meet(struct flow *flow, enum kcolo_side side, struct packet *pkt)
{
	struct kcolo_cmp *c = &flow->cmp;
	const struct kcolo_seg *other = kcolo_cmp_meets(c, side, &pkt->seg);
	bool p = side == KCOLO_P;
	enum kcolo_diff diff;

	if (!other)
		return false;
	diff = kcolo_cmp_meet(c, side, &pkt->seg, other, payload_equal);
	found(flow, diff, p ? &pkt->seg : other, p ? other : &pkt->seg);
	if (seq_after(pkt->seg.end, c->cmp) && c->state != KCOLO_CMP_DIFF)
		fault(flow, "it meets, but was not compared");
	compare(flow);
	return diff == KCOLO_DIFF_NONE;
}

static void release(struct flow *flow)
{
	struct kcolo_seg *seg, *p = NULL, *s = NULL;
	struct packet *pkt, *next;

	while ((seg = kcolo_cmp_pop(&flow->cmp, KCOLO_P, &p)))
		settle(flow, packet_of(seg));
	while ((seg = kcolo_cmp_pop(&flow->cmp, KCOLO_S, &s))) {
		pkt = packet_of(seg);
		list_del(&pkt->list);
		drop(pkt);
	}
	list_for_each_entry_safe(pkt, next, &flow->gated, seg.gated) {
		if (!kcolo_cmp_gate(&flow->cmp, &pkt->seg))
			break;
		list_del(&pkt->seg.gated);
		let_out(flow, pkt);
	}
	if (kcolo_cmp_rst_met(&flow->cmp))
		leave_resets(flow);
}

static void advance(struct flow *flow)
{
	compare(flow);
	release(flow);
}

/* As only_waits() has it: nothing can be compared with a new packet of P. */
static bool only_waits(const struct flow *flow, enum kcolo_fate fate)
{
	return fate == KCOLO_FATE_QUEUED && list_empty(&flow->queued) &&
	       flow->cmp.state == KCOLO_CMP_RUN;
}

static void drop_early(struct flow *flow)
{
	struct packet *pkt, *next;

	list_for_each_entry_safe(pkt, next, &flow->early, list) {
		list_del(&pkt->list);
		drop(pkt);
	}
}

static bool hear_syn(struct flow *flow, enum kcolo_side side,
		     const struct kcolo_seg *seg)
{
	struct kcolo_cmp *c = &flow->cmp;

	if (!(seg->flags & KCOLO_TCP_SYN) || !kcolo_cmp_is_new_syn(c, side, seg))
		return false;
	drop_queued(flow);
	if (side == KCOLO_P) {
		drop_held(flow, false);
		drop_early(flow);
	}
	kcolo_cmp_syn(c, side, seg);
	if (side == KCOLO_P || !c->side[KCOLO_S].syn_new)
		flow->start = c->cmp;
	return true;
}

static void take_s(struct flow *flow, struct packet *pkt)
{
	hear_syn(flow, KCOLO_S, &pkt->seg);
	if (kcolo_cmp_put(&flow->cmp, KCOLO_S, &pkt->seg) ==
	    KCOLO_FATE_QUEUED &&
	    kcolo_cmp_queue(&flow->cmp, KCOLO_S, &pkt->seg))
		list_add_tail(&pkt->list, &flow->queued);
	else
		drop(pkt);
}

static void take_early(struct flow *flow)
{
	struct packet *pkt, *next;
	LIST_HEAD(early);

	list_splice_init(&flow->early, &early);
	list_for_each_entry_safe(pkt, next, &early, list) {
		list_del(&pkt->list);
		take_s(flow, pkt);
	}
}

static void place(struct flow *flow, struct packet *pkt, enum kcolo_fate fate)
{
	pkt->fate = FATE_WAITS;
	list_add_tail(&pkt->list, &flow->held);
	switch (fate) {
	case KCOLO_FATE_QUEUED:
		if (!kcolo_cmp_queue(&flow->cmp, KCOLO_P, &pkt->seg))
			fault(flow, "R6: a segment of P was not kept");
		break;
	case KCOLO_FATE_COVERED:
		gate(flow, pkt);
		break;
	case KCOLO_FATE_RST:
		list_add_tail(&pkt->seg.gated, &flow->resets);
		break;
	default:
		list_del(&pkt->list);
		pkt->fate = FATE_REFUSED;
	}
}

static void cut_at_barrier(struct flow *flow, struct list_head *later)
{
	struct packet *pkt, *next;

	list_for_each_entry_safe(pkt, next, &flow->held, list) {
		unhold(flow, pkt);
		if (pkt->gen == flow->gen) {
			list_add_tail(&pkt->list, later);
			continue;
		}
		INIT_LIST_HEAD(&pkt->list);
		let_out(flow, pkt);
	}
}

static void back_to_barrier(struct flow *flow)
{
	struct kcolo_stream *p = &flow->cmp.side[KCOLO_P];
	struct kcolo_cmp *c = &flow->cmp;
	bool same = p->isn == flow->p_begin.isn &&
		    p->isn_ok == flow->p_begin.isn_ok;

	*p = flow->p_begin;
	p->segs = RB_ROOT;
	c->state = flow->state_begin;
	c->nxt = flow->nxt_begin;
	if (same)
		return;
	p->syn_new = false;
	c->cmp = c->nxt;
	c->stream_ok = false;
}

static void note_barrier(struct flow *flow)
{
	if (flow->gen_noted == flow->gen)
		return;
	flow->gen_noted = flow->gen;
	flow->state_begin = flow->cmp.state;
	flow->nxt_begin = flow->cmp.nxt;
	flow->p_begin = flow->cmp.side[KCOLO_P];
}

/* As kcolo_client_confirmed(). */
static bool confirmed(struct flow *flow)
{
	bool yes = flow->claimed && kcolo_cmp_confirms(&flow->cmp, flow->claim);

	flow->claimed = flow->claimed && !yes &&
			seq_after(flow->claim, flow->cmp.cmp);
	return yes;
}

static void hear_p(struct flow *flow, const struct kcolo_seg *seg)
{
	hear_syn(flow, KCOLO_P, seg);
	if (flow->cmp.state != KCOLO_CMP_NONE || !flow->adopting ||
	    seg->flags & KCOLO_TCP_RST)
		return;
	kcolo_cmp_adopt(&flow->cmp, seg->seq, false);
	flow->start = seg->seq;
	take_early(flow);
}

static bool leaves_at_once(struct flow *flow, const struct kcolo_seg *seg,
			   enum kcolo_fate fate)
{
	if (fate == KCOLO_FATE_RST &&
	    (!kcolo_cmp_rst_met(&flow->cmp) || !list_empty(&flow->held) ||
	     !list_empty(&flow->queued)))
		return false;
	return (fate == KCOLO_FATE_COVERED || fate == KCOLO_FATE_RST) &&
	       !flow->checkpoint && kcolo_cmp_gate(&flow->cmp, seg) && list_empty(&flow->resets) &&
	       list_empty(&flow->outbox);
}

/**
 * flow_init() - a connection that was not seen before
 * @flow: result
 */
void flow_init(struct flow *flow)
{
	memset(flow, 0, sizeof(*flow));
	INIT_LIST_HEAD(&flow->held);
	INIT_LIST_HEAD(&flow->gated);
	INIT_LIST_HEAD(&flow->resets);
	INIT_LIST_HEAD(&flow->queued);
	INIT_LIST_HEAD(&flow->early);
	INIT_LIST_HEAD(&flow->outbox);
}

/**
 * flow_p() - a packet of the primary, as take_p() does it
 * @flow: flow
 * @pkt: must stay until it has another fate than FATE_WAITS
 */
void flow_p(struct flow *flow, struct packet *pkt)
{
	struct kcolo_cmp *c = &flow->cmp;
	enum kcolo_fate fate;

	pkt->flow = flow;
	pkt->gen = flow->gen;
	note_barrier(flow);
	hear_p(flow, &pkt->seg);
	fate = kcolo_cmp_put(c, KCOLO_P, &pkt->seg);
	pkt->order = flow->order++;
	pkt->fate = fate == KCOLO_FATE_FAR ? FATE_REFUSED :
		    fate == KCOLO_FATE_UNKNOWN ? FATE_PASSED : FATE_WAITS;
	if (pkt->fate != FATE_WAITS)
		return;
	if (fate == KCOLO_FATE_QUEUED && !flow->checkpoint &&
	    list_empty(&flow->held) && meet(flow, KCOLO_P, pkt)) {
		fate = KCOLO_FATE_COVERED;
		release(flow);
	}
	if (leaves_at_once(flow, &pkt->seg, fate)) {
		INIT_LIST_HEAD(&pkt->list);
		let_out(flow, pkt);
		return;
	}
	place(flow, pkt, fate);
	if (flow->checkpoint)
		return;
	if (confirmed(flow) || !only_waits(flow, fate))
		advance(flow);
}

/**
 * flow_s() - a packet of the secondary, as hear_s() does it
 * @flow: flow
 * @pkt: must stay until it has another fate than FATE_WAITS
 *
 * All of S's packets are of the current epoch.
 */
void flow_s(struct flow *flow, struct packet *pkt)
{
	bool new = hear_syn(flow, KCOLO_S, &pkt->seg), met = false;
	enum kcolo_fate fate;

	pkt->flow = flow;
	pkt->fate = FATE_WAITS;
	fate = kcolo_cmp_put(&flow->cmp, KCOLO_S, &pkt->seg);
	if (!new && fate == KCOLO_FATE_UNKNOWN && flow->adopting &&
	    !(pkt->seg.flags & KCOLO_TCP_SYN))
		list_add_tail(&pkt->list, &flow->early);
	else if (!new && fate == KCOLO_FATE_QUEUED && !flow->checkpoint &&
		 meet(flow, KCOLO_S, pkt))
		met = true;
	else if (!new && fate == KCOLO_FATE_QUEUED &&
		 kcolo_cmp_queue(&flow->cmp, KCOLO_S, &pkt->seg))
		list_add_tail(&pkt->list, &flow->queued);
	else
		drop(pkt);
	if (met)
		drop(pkt);
	if (flow->checkpoint)
		return;
	if (!confirmed(flow) && met)
		release(flow);
	else
		advance(flow);
}

/**
 * flow_client() - the client acknowledges, as kcolo_primary_client() does it
 * @flow: flow
 * @ack: up to here
 */
void flow_client(struct flow *flow, u32 ack)
{
	bool moved = false;

	flow->claim = ack;
	flow->claimed = seq_after(ack, flow->cmp.nxt);
	if (!flow->claimed)
		moved = kcolo_cmp_acked(&flow->cmp, ack);
	if (!flow->checkpoint && (confirmed(flow) || moved))
		advance(flow);
}

/**
 * flow_begin() - set the barrier of a checkpoint, or move it to now (C1)
 * @flow: flow
 */
void flow_begin(struct flow *flow)
{
	flow->checkpoint = true;
	flow->gen++;
}

/**
 * flow_commit() - S is a copy of P, as kcolo_primary_sync() does it (C2)
 * @flow: flow
 */
void flow_commit(struct flow *flow)
{
	struct kcolo_cmp *c = &flow->cmp;
	struct packet *pkt, *next;
	LIST_HEAD(later);

	flow->checkpoint = false;
	flow->adopting = true;
	drop_queued(flow);
	drop_early(flow);	/* their epoch is over */
	cut_at_barrier(flow, &later);
	if (flow->gen_noted == flow->gen)
		back_to_barrier(flow);
	if (c->state == KCOLO_CMP_NONE)
		memset(c, 0, sizeof(*c));
	else
		kcolo_cmp_adopt(c, c->nxt, c->state != KCOLO_CMP_ADOPT);
	flow->start = c->cmp;
	list_for_each_entry_safe(pkt, next, &later, list) {
		list_del(&pkt->list);
		hear_p(flow, &pkt->seg);
		place(flow, pkt, kcolo_cmp_put(c, KCOLO_P, &pkt->seg));
	}
	advance(flow);
}

/**
 * flow_abort() - as if begin had not happened, as kcolo_primary_resume() (C3)
 * @flow: flow
 */
void flow_abort(struct flow *flow)
{
	flow->checkpoint = false;
	if (flow->cmp.state != KCOLO_CMP_NONE)
		take_early(flow);
	advance(flow);
}

/**
 * flow_outbox() - the next packet on its way to the client
 * @flow: flow
 *
 * Return: packet, NULL if there is none.
 */
struct packet *flow_outbox(struct flow *flow)
{
	struct packet *pkt;

	if (list_empty(&flow->outbox))
		return NULL;
	pkt = list_first_entry(&flow->outbox, struct packet, list);
	list_del(&pkt->list);
	return pkt;
}

/* Walks a stream: sorted, nothing in it that should have come out. */
static unsigned int check_stream(struct flow *flow, enum kcolo_side side,
				 bool *at_cmp)
{
	struct kcolo_cmp *c = &flow->cmp;
	const struct kcolo_seg *seg, *prev = NULL;
	struct rb_node *node;
	unsigned int n = 0;

	*at_cmp = false;
	for (node = rb_first(&c->side[side].segs); node; node = rb_next(node)) {
		seg = rb_entry(node, struct kcolo_seg, node);
		if (!seg->queued)
			fault(flow, "in a stream without being queued");
		if (prev && seq_before(seg->seq, prev->seq))
			fault(flow, "a stream is not sorted");
		if (!seq_after(seg->end, c->cmp) && !flow->checkpoint)
			fault(flow, "compared, and still in its stream");
		if (!seq_after(seg->seq, c->cmp) && seq_after(seg->end, c->cmp))
			*at_cmp = true;
		prev = seg;
		n++;
	}
	return n;
}

static unsigned int check_gated(struct flow *flow)
{
	struct packet *pkt, *prev = NULL;
	unsigned int n = 0;

	list_for_each_entry(pkt, &flow->gated, seg.gated) {
		if (pkt->seg.queued)
			fault(flow, "both gated and queued");
		if (kcolo_cmp_gate(&flow->cmp, &pkt->seg) && !flow->checkpoint)
			fault(flow, "R2: waits although the gate is open");
		if (prev && seq_before(pkt->seg.ack, prev->seg.ack))
			fault(flow, "gated packets are not sorted");
		if (pkt->seg.flags & KCOLO_TCP_ACK)
			prev = pkt;
		n++;
	}
	return n;
}

static unsigned int length(const struct list_head *list)
{
	const struct list_head *at;
	unsigned int n = 0;

	for (at = list->next; at != list; at = at->next)
		n++;
	return n;
}

/**
 * flow_check() - what must be true between any two packets
 * @flow: flow
 *
 * Return: what is not true, NULL if all is well.
 */
const char *flow_check(struct flow *flow)
{
	bool p, s;
	unsigned int n = check_stream(flow, KCOLO_P, &p);

	if (n + check_gated(flow) + length(&flow->resets) != length(&flow->held))
		fault(flow, "a held packet waits for nothing");
	if (check_stream(flow, KCOLO_S, &s) != length(&flow->queued))
		fault(flow, "queued packets and their stream differ");
	if (p && s && !flow->checkpoint && (flow->cmp.state == KCOLO_CMP_RUN ||
		       flow->cmp.state == KCOLO_CMP_ADOPT))
		fault(flow, "R6: both have spoken, and it was not compared");
	return flow->fault;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/compare.c with any segments in any order: no side needs to make sense or to
 * agree with itself. Each operation is six bytes, see struct op.
 *
 * What leaves must be what S has said, whatever happened, through an open gate;
 * which bytes is the business of the model.
 */
#include "drive.h"
#include "fuzz.h"

#define OPS	64
#define LEN_MAX	40

/**
 * struct op - as it stands in the input
 * @what: 0-5 a segment of P, 6-11 of S, 12 begin, 13 commit, 14 abort; bit 4: SYN,
 *	5: FIN, 6: RST, 7: no ACK
 * @base: where @seq is counted from: cmp, nxt, an ISN, 0; and what @seq and @ack are
 *	multiplied by
 * @seq: sequence number
 * @len: payload
 * @ack: acknowledgment number
 * @salt: payload: 0 as always, else other bytes
 */
struct op {
	u8 what;
	u8 base;
	s8 seq;
	u8 len;
	s8 ack;
	u8 salt;
};

struct span {
	u32 from;
	u32 to;
};

struct state {
	struct flow flow;
	struct packet packet[OPS];
	u8 *data[OPS];
	struct span said[OPS];	/* by S */
	int said_n;
	int n;
};

static u32 base(const struct state *st, const struct op *op)
{
	const struct kcolo_cmp *c = &st->flow.cmp;

	switch (op->base & 3) {
	case 0:
		return c->cmp;
	case 1:
		return c->nxt;
	case 2:
		return c->side[op->base >> 2 & 1].isn;
	default:
		return 0;
	}
}

static void fill(struct state *st, struct packet *pkt, const struct op *op)
{
	struct kcolo_seg *seg = &pkt->seg;
	u32 i;

	seg->flags = op->what & 0x80 ? 0 : KCOLO_TCP_ACK;
	seg->flags |= op->what & 0x10 ? KCOLO_TCP_SYN : 0;
	seg->flags |= op->what & 0x20 ? KCOLO_TCP_FIN : 0;
	seg->flags |= op->what & 0x40 ? KCOLO_TCP_RST : 0;
	seg->seq = base(st, op) + ((u32)op->seq << (op->base >> 3 & 3) * 8);
	pkt->len = op->len % LEN_MAX;
	seg->end = seg->seq + pkt->len + !!(op->what & 0x10) +
		   !!(op->what & 0x20);
	/* Serial numbers have no order where they lie 2^31 apart. */
	seg->ack = (u32)op->ack << (op->base >> 5 & 3) * 7;
	st->data[st->n] = malloc(pkt->len);
	for (i = 0; i < pkt->len; i++)
		st->data[st->n][i] = seg->seq + i + op->salt;
	pkt->data = st->data[st->n];
}

static bool has_said(const struct state *st, u32 seq)
{
	int i;

	for (i = 0; i < st->said_n; i++)
		if (!seq_before(seq, st->said[i].from) &&
		    seq_before(seq, st->said[i].to))
			return true;
	return false;
}

static void check_left(struct state *st, const struct packet *pkt)
{
	const struct kcolo_seg *seg = &pkt->seg;
	u32 seq;

	must(kcolo_cmp_gate(&st->flow.cmp, seg), "left through a closed gate");
	if (seg->flags & KCOLO_TCP_RST) {
		must(kcolo_cmp_rst_met(&st->flow.cmp), "a RST met no RST");
		return;
	}
	for (seq = seg->seq; seq != seg->end; seq++)
		must(seq_before(seq, st->flow.start) || has_said(st, seq),
		     "left, and S had not said it");
}

static void empty_outbox(struct state *st, bool check)
{
	struct packet *pkt;

	while ((pkt = flow_outbox(&st->flow)))
		if (check)
			check_left(st, pkt);
}

static void segment(struct state *st, const struct op *op, bool of_s)
{
	struct packet *pkt = &st->packet[st->n];

	fill(st, pkt, op);
	if (!of_s) {
		flow_p(&st->flow, pkt);
		return;
	}
	flow_s(&st->flow, pkt);
	if (!(pkt->seg.flags & (KCOLO_TCP_SYN | KCOLO_TCP_RST)))
		st->said[st->said_n++] = (struct span) {
			pkt->seg.seq, pkt->seg.end
		};
}

static void commit(struct state *st)
{
	flow_commit(&st->flow);
	/* What is held from before the barrier leaves; the rest is for the model. */
	empty_outbox(st, false);
}

static void run_op(struct state *st, const struct op *op)
{
	unsigned int what = op->what & 15;

	if (what == 12)
		flow_begin(&st->flow);
	else if (what == 13 && st->flow.checkpoint)
		commit(st);
	else if (what == 14 && st->flow.checkpoint)
		flow_abort(&st->flow);
	else
		segment(st, op, what >= 6);
	empty_outbox(st, true);
	must(!flow_check(&st->flow), st->flow.fault);
	st->n++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state st;
	struct op op;

	memset(&st, 0, sizeof(st));
	flow_init(&st.flow);
	for (; size >= sizeof(op) && st.n < OPS; size -= sizeof(op)) {
		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		run_op(&st, &op);
	}
	while (st.n)
		free(st.data[--st.n]);
	return 0;
}

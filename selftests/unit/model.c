// SPDX-License-Identifier: GPL-2.0
/*
 * Checks kmod/compare.c against a model of one direction of a connection that is
 * too simple to be wrong, over random schedules: two sides that say the same, or
 * nearly, in segments of any size, lost, repeated, cut differently, out of order.
 *
 *   model [--schedules N] [--seed S]
 *
 * Schedule i is made from seed S + i alone. A schedule that fails is made smaller
 * as long as it still fails, and printed.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "drive.h"

#define FIN		KCOLO_TCP_FIN
#define SYN		KCOLO_TCP_SYN
#define RST		KCOLO_TCP_RST
#define ACK		KCOLO_TCP_ACK

#define LEN_MAX		96		/* data bytes of a stream */
#define POS_MAX		(LEN_MAX + 2)	/* SYN is at 0, FIN at len + 1 */
#define EVENTS		96
#define NONE		(-1)
#define SYMBOL_SYN	256
#define SYMBOL_FIN	257

/* What a side says, from its first byte on. */
struct text {
	int len;
	u8 byte[LEN_MAX];
};

/**
 * struct conn - a connection of the tuple
 * @isn: initial sequence numbers of P and S
 * @client: initial sequence number of the client
 * @active: P and S open it: their SYNs acknowledge nothing
 * @text: of P and S
 * @text_copied: of S, once it is a copy of P (C2)
 */
struct conn {
	u32 isn[2];
	u32 client;
	bool active;
	struct text text[2];
	struct text text_copied;
};

enum kind { SEGMENT, BEGIN, COMMIT, ABORT };

/**
 * struct event - a segment that arrives, or a step of a checkpoint
 * @kind: if not SEGMENT, the rest does not matter
 * @off: left out while a schedule is made smaller
 * @side: KCOLO_P, KCOLO_S
 * @conn: which connection
 * @flags: ACK, RST; SYN and FIN follow from the place
 * @raw: a SYN of S, not translated
 * @from: position of the first byte
 * @to: position behind the last one
 * @ack: position in the client's stream
 * @far: moved away by as much
 */
struct event {
	enum kind kind;
	bool off;
	u8 side;
	u8 conn;
	u8 flags;
	bool raw;
	int from;
	int to;
	u32 ack;
	u32 far;
};

struct schedule {
	struct conn conn[2];
	struct event event[EVENTS];
	int n;
	bool midstream;		/* of the first connection no SYN is seen (C0) */
};

static struct stats {
	unsigned long events;
	unsigned long left;
	unsigned long diffs;
	unsigned long commits;
	unsigned long aborts;
	unsigned long resets;
} stats;

/*
 * The model. Positions are counted from P's SYN on and never wrap.
 */

/**
 * struct model - what has been said, and what follows from it
 * @conn: connection that each side is in, NONE before its first SYN
 * @started: P's first segment was seen
 * @copied: S is a copy of P since the last commit
 * @begin: everything before it was not to be compared (adopted, committed)
 * @cmp: everything before it is equal
 * @nxt: highest position that P has reached
 * @diff: the sides differ at @cmp
 * @said: positions that S has said and that wait for P
 * @ever: positions that S has said in this connection
 * @pack: highest position acknowledged by P, NONE if no ACK was seen
 * @sack: the same of S
 * @rst: who has reset the connection
 */
struct model {
	int conn[2];
	bool started;
	bool copied;
	int begin;
	int cmp;
	int nxt;
	bool diff;
	bool said[POS_MAX + 1];
	bool ever[POS_MAX + 1];
	s64 pack;
	s64 sack;
	bool rst[2];
};

struct run {
	const struct schedule *sch;
	struct model m;
	struct model barrier;	/* as it was at the last begin */
	int barrier_at;
	bool checkpoint;
	struct flow flow;
	struct packet packet[EVENTS];
	struct event event[EVENTS];
	bool waits[EVENTS];	/* P's segments that have not left, for the model */
	bool shared;		/* S's numbers are translated by now */
	int at;
	const char *wrong;
};

static int symbol(const struct text *text, int pos)
{
	if (pos == 0)
		return SYMBOL_SYN;
	return pos <= text->len ? text->byte[pos - 1] : SYMBOL_FIN;
}

static const struct text *text_of(const struct run *r, int side, int conn)
{
	if (side == KCOLO_S && r->m.copied)
		return &r->sch->conn[conn].text_copied;
	return &r->sch->conn[conn].text[side];
}

/* Both sides are in the same connection. */
static bool met(const struct model *m)
{
	return m->started && m->conn[KCOLO_P] == m->conn[KCOLO_S];
}

static bool both_reset(const struct model *m)
{
	return met(m) && m->rst[KCOLO_P] && m->rst[KCOLO_S];
}

/* Does P have a segment waiting that says this? */
static bool p_says(const struct run *r, int pos)
{
	const struct event *e;
	int i;

	for (i = 0; i <= r->at; i++) {
		e = &r->event[i];
		if (r->waits[i] && !(e->flags & RST) && e->from <= pos &&
		    pos < e->to)
			return true;
	}
	return false;
}

/* R1, R5-R7: go on as long as both have spoken and have said the same. */
static void model_compare(struct run *r)
{
	struct model *m = &r->m;
	int conn = m->conn[KCOLO_P];

	while (met(m) && !m->diff && m->said[m->cmp] && p_says(r, m->cmp)) {
		if (symbol(text_of(r, KCOLO_P, conn), m->cmp) !=
		    symbol(text_of(r, KCOLO_S, conn), m->cmp))
			m->diff = true;
		else
			m->cmp++;
	}
}

/* R1 (b) */
static bool model_gate(const struct model *m, const struct event *e)
{
	return !(e->flags & ACK) ||
	       (met(m) && m->sack != NONE && e->ack <= m->sack);
}

/* R1, R2, R5 */
static bool model_may_leave(const struct run *r, const struct event *e)
{
	const struct model *m = &r->m;

	if (!model_gate(m, e))
		return false;
	if (e->flags & RST)
		return both_reset(m);
	return e->to <= m->cmp || e->from == e->to;
}

static void forget_waiting(struct run *r)
{
	memset(r->waits, 0, sizeof(r->waits));
}

static bool is_syn(const struct event *e)
{
	return e->from == 0 && e->to > 0 && !(e->flags & RST);
}

/* R5: who speaks on has not ended the connection; what S says may come late. */
static void model_speaks_on(struct model *m, const struct event *e)
{
	if (e->flags & RST || (e->side == KCOLO_S && !is_syn(e)))
		return;
	if (e->side == KCOLO_P && m->rst[KCOLO_P] && m->rst[KCOLO_S])
		m->rst[KCOLO_S] = false;
	m->rst[e->side] = false;
}

/* R4 */
static void model_syn(struct run *r, const struct event *e)
{
	struct model *m = &r->m;

	memset(m->said, 0, sizeof(m->said));
	m->conn[e->side] = e->conn;
	model_speaks_on(m, e);
	if (e->side == KCOLO_S) {
		m->copied = false;
		m->sack = NONE;
		memset(m->ever, 0, sizeof(m->ever));
	} else {
		forget_waiting(r);
		m->started = true;
		m->pack = NONE;
		m->diff = false;
		m->nxt = 0;
		m->cmp = 0;
		m->begin = 0;
	}
	if (met(m)) {
		m->cmp = 1;
		m->begin = 1;
	}
}

/* C0 */
static void model_adopt(struct model *m, const struct event *e)
{
	m->started = true;
	m->conn[KCOLO_P] = e->conn;
	m->cmp = e->from;
	m->nxt = e->from;
	m->begin = e->from;
}

static void model_p(struct run *r, const struct event *e, int i)
{
	struct model *m = &r->m;

	if (e->ack > m->pack && e->flags & ACK)
		m->pack = e->ack;
	model_speaks_on(m, e);
	if (e->far)
		return;
	r->waits[i] = true;
	if (e->flags & RST)
		m->rst[KCOLO_P] = true;
	else if (e->to > m->nxt && e->from < e->to)
		m->nxt = e->to;
}

static void model_s(struct run *r, const struct event *e)
{
	struct model *m = &r->m;
	int i;

	if (e->ack > m->sack && e->flags & ACK)
		m->sack = e->ack;
	model_speaks_on(m, e);
	if (e->flags & RST)
		m->rst[KCOLO_S] = true;
	if (e->flags & RST || e->far || e->from == 0)
		return;
	for (i = e->from; i < e->to; i++) {
		m->said[i] = true;
		m->ever[i] = true;
	}
}

/* C2: S is a copy of P as it was at the barrier. */
static void model_copy(struct run *r)
{
	const struct kcolo_stream *s = &r->flow.cmp.side[KCOLO_S];
	const struct model *then = &r->barrier;
	struct model *m = &r->m;
	int first = r->sch->midstream ? 0 : NONE;

	memset(m->said, 0, sizeof(m->said));
	m->diff = false;
	m->started = then->started;
	m->conn[KCOLO_P] = then->conn[KCOLO_P];
	m->conn[KCOLO_S] = then->started ? then->conn[KCOLO_P] : first;
	m->copied = then->started;
	m->begin = then->nxt;
	m->cmp = then->nxt;
	m->nxt = then->nxt;
	m->pack = then->pack;
	m->sack = then->started ? then->pack : NONE;
	m->rst[KCOLO_P] = then->started && then->rst[KCOLO_P];
	m->rst[KCOLO_S] = m->rst[KCOLO_P];
	/* Whether the first ACK of an adopted flow must still come is left open. */
	if (m->started && r->sch->midstream && m->conn[KCOLO_P] == 0)
		m->sack = s->ack_ok ? (s64)(s->ack - r->sch->conn[0].client) :
				      NONE;
}

/*
 * Running a schedule.
 */

/* A SYN that starts a connection: the network keeps those of a tuple apart. */
static bool may_begin(const struct run *r, const struct event *e)
{
	int conn = r->m.conn[e->side], other = r->m.conn[!e->side];

	if (r->sch->midstream && e->side == KCOLO_S)
		return other == e->conn;
	return other <= conn || other == e->conn;
}

/* Whether the network and the sides behave so. */
static bool possible(const struct run *r, const struct event *e)
{
	const struct model *m = &r->m;
	int conn = m->conn[e->side];

	if (e->kind != SEGMENT)
		return e->kind == BEGIN || r->checkpoint;
	if (is_syn(e) && e->conn == 0 && r->sch->midstream)
		return false;
	if (is_syn(e) && e->conn > conn)
		return may_begin(r, e);
	if (r->sch->midstream && !m->started)
		return e->conn == 0 && !(e->flags & RST) && !e->far;
	if (e->conn != conn)
		return false;
	if (both_reset(m))
		return e->side == KCOLO_S && e->from == e->to &&
		       !(e->flags & RST);
	/* P's RST has met S's before the client may begin anew. */
	if (e->side == KCOLO_S && e->conn < m->conn[KCOLO_P] && e->flags & RST)
		return false;
	/* S answers a client that has heard P's SYN. */
	return e->side == KCOLO_P || is_syn(e) || e->conn <= m->conn[KCOLO_P];
}

static u32 seq_of(const struct run *r, const struct event *e, int pos)
{
	const struct conn *conn = &r->sch->conn[e->conn];
	bool own = is_syn(e) && e->side == KCOLO_S && !r->m.copied &&
		   (e->raw || !r->shared);

	return conn->isn[own ? KCOLO_S : KCOLO_P] + pos + e->far;
}

/* Fills in the segment that an event stands for. */
static void fill(struct run *r, struct packet *pkt, const struct event *e)
{
	const struct text *text = text_of(r, e->side, e->conn);
	int from = e->from ?: 1, to = e->to;

	memset(pkt, 0, sizeof(*pkt));
	pkt->seg.flags = e->flags & (ACK | RST);
	pkt->seg.seq = seq_of(r, e, e->from);
	pkt->seg.end = pkt->seg.seq + (e->to - e->from);
	if (e->flags & ACK)
		pkt->seg.ack = r->sch->conn[e->conn].client + e->ack;
	if (e->from == e->to)
		return;
	if (is_syn(e))
		pkt->seg.flags |= SYN;
	if (e->to == text->len + 2) {
		pkt->seg.flags |= FIN;
		to--;
	}
	pkt->data = &text->byte[from - 1];
	pkt->len = to > from ? to - from : 0;
}

static void wrong(struct run *r, const char *what)
{
	if (!r->wrong)
		r->wrong = what;
}

/* Safety, without cmp: S has said every byte that leaves. */
static void check_said(struct run *r, const struct event *e)
{
	int pos;

	for (pos = e->from; pos < e->to; pos++) {
		if (pos < r->m.begin)
			continue;
		if (!r->m.ever[pos] ||
		    symbol(text_of(r, KCOLO_P, e->conn), pos) !=
		    symbol(text_of(r, KCOLO_S, e->conn), pos))
			wrong(r, "a byte left that S has not said");
	}
}

/* Connections differ, and S has begun the new one: the old one is over. */
static bool old_news(const struct model *m)
{
	return m->conn[KCOLO_S] > m->conn[KCOLO_P];
}

static void check_left(struct run *r, int i)
{
	const struct event *e = &r->event[i];

	stats.left++;
	if (!r->waits[i])
		return;		/* at a commit */
	r->waits[i] = false;
	if (r->checkpoint)
		wrong(r, "C1: left during a checkpoint");
	if (old_news(&r->m)) {
		if (!(e->flags & RST) && e->from < e->to && e->to > r->m.cmp)
			wrong(r, "left although the connection is over");
		return;
	}
	if (!model_may_leave(r, e))
		wrong(r, "left although R1 forbids it");
	if (!(e->flags & RST))
		check_said(r, e);
}

static void check_outbox(struct run *r)
{
	struct packet *pkt;
	int last = -1, i;

	while ((pkt = flow_outbox(&r->flow))) {
		i = pkt - r->packet;
		if (i < last)
			wrong(r, "R12: left out of P's order");
		last = i;
		check_left(r, i);
	}
}

static void check_waiting(struct run *r)
{
	int i;

	if (r->checkpoint || old_news(&r->m))
		return;
	for (i = 0; i <= r->at; i++) {
		if (!r->waits[i])
			continue;
		if (model_may_leave(r, &r->event[i]))
			wrong(r, "waits although R1 lets it leave");
		if (r->packet[i].fate == FATE_DROPPED)
			r->waits[i] = false;
		if (r->packet[i].fate == FATE_DROPPED && !both_reset(&r->m))
			wrong(r, "dropped although its connection lives");
	}
}

static void check_diff(struct run *r, unsigned int miscompares)
{
	const struct model *m = &r->m;
	int conn = m->conn[KCOLO_P];
	bool fin;

	if ((r->flow.cmp.state == KCOLO_CMP_DIFF) != m->diff)
		wrong(r, m->diff ? "R7: difference not seen" :
				   "R7: difference where there is none");
	if (r->flow.miscompares == miscompares)
		return;
	stats.diffs++;
	fin = symbol(text_of(r, KCOLO_P, conn), m->cmp) == SYMBOL_FIN ||
	      symbol(text_of(r, KCOLO_S, conn), m->cmp) == SYMBOL_FIN;
	if (r->flow.diff != (fin ? KCOLO_DIFF_FIN : KCOLO_DIFF_PAYLOAD))
		wrong(r, "R5: wrong kind of difference");
	if (r->flow.miscompares > miscompares + 1)
		wrong(r, "R7: a difference is told twice");
}

static void check_state(struct run *r)
{
	const struct kcolo_cmp *c = &r->flow.cmp;
	const struct model *m = &r->m;
	int conn = m->conn[KCOLO_P];
	u32 isn;

	if (!m->started)
		return;
	isn = r->sch->conn[conn].isn[KCOLO_P];
	if (c->cmp != isn + m->cmp)
		wrong(r, "compared up to another place");
	if (c->nxt != isn + m->nxt)
		wrong(r, "P has reached another place");
	if (met(m) && c->stream_ok != !(r->sch->midstream && conn == 0))
		wrong(r, "start of the stream is (not) known");
	if (met(m) && c->stream_ok &&
	    m->cmp <= text_of(r, KCOLO_P, conn)->len + 1 &&
	    c->stream != (u64)(m->cmp - 1))
		wrong(r, "stream offset");
}

static void check_all(struct run *r)
{
	check_outbox(r);
	check_waiting(r);
	check_state(r);
	if (flow_check(&r->flow) && !old_news(&r->m))
		wrong(r, r->flow.fault);
	r->flow.fault = NULL;
}

static void do_begin(struct run *r)
{
	flow_begin(&r->flow);
	r->checkpoint = true;
	r->barrier = r->m;
	r->barrier_at = r->at;
}

static void do_abort(struct run *r)
{
	unsigned int miscompares = r->flow.miscompares;

	stats.aborts++;
	flow_abort(&r->flow);
	r->checkpoint = false;
	model_compare(r);
	check_diff(r, miscompares);
	check_all(r);
}

/* P's segment, for the model: the first that is seen may start the connection. */
static void model_hears_p(struct run *r, int i)
{
	const struct event *e = &r->event[i];

	if (is_syn(e) && e->conn > r->m.conn[KCOLO_P])
		model_syn(r, e);
	else if (!r->m.started && !(e->flags & RST))
		model_adopt(&r->m, e);
	model_p(r, e, i);
}

static void do_commit(struct run *r)
{
	bool later[EVENTS];
	int i;

	stats.commits++;
	flow_commit(&r->flow);
	r->checkpoint = false;
	memcpy(later, r->waits, sizeof(later));
	model_copy(r);
	for (i = 0; i < r->at; i++) {
		r->waits[i] = false;
		if (later[i] && i > r->barrier_at)
			model_hears_p(r, i);
		else if (later[i] && r->packet[i].fate != FATE_LEFT)
			wrong(r, "C2: stayed though it came before the barrier");
	}
	check_all(r);
}

/* A part of a longer text, had S one before the commit. */
static void clip(const struct run *r, struct event *e)
{
	int end = text_of(r, e->side, e->conn)->len + 2;

	if (e->to > end)
		e->to = end;
	if (e->from > e->to)
		e->from = e->to;
}

static void do_segment(struct run *r)
{
	unsigned int miscompares = r->flow.miscompares;
	struct packet *pkt = &r->packet[r->at];
	struct event *e = &r->event[r->at];
	struct model *m = &r->m;

	clip(r, e);
	r->shared = met(m) && e->conn == m->conn[e->side];
	if (e->side == KCOLO_P)
		model_hears_p(r, r->at);
	else if (is_syn(e) && e->conn > m->conn[KCOLO_S])
		model_syn(r, e);
	fill(r, pkt, e);
	if (e->side == KCOLO_P) {
		flow_p(&r->flow, pkt);
	} else {
		flow_s(&r->flow, pkt);
		model_s(r, e);
	}
	if ((pkt->fate == FATE_REFUSED) != (e->far && e->side == KCOLO_P) ||
	    pkt->fate == FATE_PASSED)
		wrong(r, "R11: believed, or not");
	if (!r->checkpoint)
		model_compare(r);
	check_diff(r, miscompares);
	check_all(r);
}

static void run_init(struct run *r, const struct schedule *sch)
{
	memset(&r->m, 0, sizeof(r->m));
	memset(r->waits, 0, sizeof(r->waits));
	memcpy(r->event, sch->event, sch->n * sizeof(*r->event));
	r->checkpoint = false;
	r->sch = sch;
	r->wrong = NULL;
	r->m.conn[KCOLO_P] = NONE;
	r->m.conn[KCOLO_S] = sch->midstream ? 0 : NONE;
	r->m.pack = NONE;
	r->m.sack = NONE;
	flow_init(&r->flow);
	r->flow.adopting = sch->midstream;
}

/* Returns what went wrong, NULL if nothing did. */
static const char *run_schedule(struct run *r, const struct schedule *sch)
{
	static void (*const step[])(struct run *r) = {
		[SEGMENT] = do_segment,
		[BEGIN] = do_begin,
		[COMMIT] = do_commit,
		[ABORT] = do_abort,
	};
	const struct event *e;

	run_init(r, sch);
	for (r->at = 0; r->at < sch->n && !r->wrong; r->at++) {
		e = &r->event[r->at];
		if (e->off || !possible(r, e))
			continue;
		stats.events++;
		step[e->kind](r);
	}
	stats.resets += both_reset(&r->m);
	return r->wrong;
}

/*
 * Making schedules.
 */

static u64 rng;

static u64 next_random(void)	/* splitmix64 */
{
	u64 z = rng += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static u32 below(u32 n)
{
	return next_random() % n;
}

static bool percent(u32 n)
{
	return below(100) < n;
}

static u32 any_isn(void)
{
	switch (below(4)) {
	case 0:
		return -below(POS_MAX);
	case 1:
		return 0x80000000 - below(POS_MAX);
	case 2:
		return below(3) - 1;
	default:
		return next_random();
	}
}

static u32 any_offset(void)
{
	switch (below(4)) {
	case 0:
		return 0;
	case 1:
		return below(2 * POS_MAX) - POS_MAX;
	case 2:
		return 0x80000000 + below(5) - 2;
	default:
		return next_random();
	}
}

static void any_text(struct text *text, int len)
{
	int i;

	text->len = len;
	for (i = 0; i < LEN_MAX; i++)
		text->byte[i] = next_random();
}

static void flip(struct text *text)
{
	if (text->len)
		text->byte[below(text->len)] ^= 1 << below(8);
}

static void make_conn(struct conn *conn)
{
	int limit = percent(60) ? 20 : LEN_MAX;

	conn->isn[KCOLO_P] = any_isn();
	conn->isn[KCOLO_S] = conn->isn[KCOLO_P] + any_offset();
	conn->client = any_isn();
	conn->active = percent(30);
	any_text(&conn->text[KCOLO_P], below(limit + 1));
	conn->text[KCOLO_S] = conn->text[KCOLO_P];
	conn->text_copied = conn->text[KCOLO_P];
	if (percent(25))
		flip(&conn->text[KCOLO_S]);
	if (percent(10))
		conn->text[KCOLO_S].len = below(limit + 1);
	if (percent(25))
		flip(&conn->text_copied);
}

/* Another connection has other numbers, as far as anybody could tell. */
static void make_conns(struct schedule *sch)
{
	struct conn *old = &sch->conn[0], *new = &sch->conn[1];

	make_conn(old);
	do {
		make_conn(new);
		if (percent(30))
			new->isn[KCOLO_P] = old->isn[KCOLO_P] + below(200);
		if (percent(30))
			new->isn[KCOLO_S] = new->isn[KCOLO_P];
	} while (new->isn[KCOLO_P] == old->isn[KCOLO_P] ||
		 new->isn[KCOLO_S] == old->isn[KCOLO_P] ||
		 new->isn[KCOLO_S] == old->isn[KCOLO_S]);
}

/**
 * struct side - a sender
 * @conn: its connection
 * @begun: it has sent its first segment
 * @nxt: position of what it says next
 * @ack: what it has received of the client's stream
 */
struct side {
	int conn;
	bool begun;
	int nxt;
	u32 ack;
};

static int end_of(const struct schedule *sch, const struct side *s, int side)
{
	return sch->conn[s->conn].text[side].len + 2;
}

static int lower(int a, int b)
{
	return a < b ? a : b;
}

/* The next part, the same again, cut differently, or something ahead. */
static void any_place(struct event *e, struct side *s, int end)
{
	u32 kind = below(100);

	e->from = s->nxt;
	if (kind < 25)
		e->from = below(s->nxt + 1);
	else if (kind < 35)
		e->from = lower(s->nxt + below(10), end);
	else if (kind < 50)
		return (void)(e->to = e->from);
	e->to = lower(e->from + 1 + below(percent(80) ? 12 : LEN_MAX), end);
	if (e->from == 0)
		e->from = percent(70);
	if (e->to > s->nxt)
		s->nxt = e->to;
}

/* Both sides answer the same SYN of the client, which may carry data. */
static void any_ack(const struct conn *conn, struct event *e, struct side *s,
		    u32 scale)
{
	if (percent(50))
		s->ack += below(scale);
	e->ack = percent(90) ? s->ack : s->ack - below(s->ack + 1);
	if (is_syn(e))
		e->ack = 1 + percent(10) * below(scale);
	if (is_syn(e) ? !conn->active : !(e->flags & RST && percent(30)))
		e->flags |= ACK;
}

static void any_segment(const struct schedule *sch, struct event *e,
			struct side *s)
{
	int end = end_of(sch, s, e->side);

	e->conn = s->conn;
	e->raw = percent(50);
	any_place(e, s, end);
	if (percent(1)) {
		e->flags |= RST;
		e->from = s->nxt;
		e->to = s->nxt;
	}
	if (percent(2) && e->from < e->to && e->from && !(e->flags & RST))
		e->far = 0x40001000 + below(0x7fffe000);
}

/* A SYN, sometimes of P's with data; or where the first segment is seen. */
static void begin_conn(const struct schedule *sch, struct event *e,
		       struct side *s)
{
	int end = end_of(sch, s, e->side);

	s->begun = true;
	e->conn = s->conn;
	e->raw = true;
	if (sch->midstream && s->conn == 0) {
		e->from = lower(1 + below(10), end);
		e->to = lower(e->from + below(10), end);
	} else {
		e->to = 1;
		if (e->side == KCOLO_P && percent(10))
			e->to = lower(1 + below(10), end);
	}
	s->nxt = e->to;
}

static void make_event(struct schedule *sch, struct side sides[2], u32 scale)
{
	struct event *e = &sch->event[sch->n++];
	struct side *s;

	memset(e, 0, sizeof(*e));
	e->kind = below(100) < 6 ? 1 + below(3) : SEGMENT;
	e->side = percent(50);
	s = &sides[e->side];
	if (e->kind != SEGMENT)
		return;
	if (!s->begun)
		begin_conn(sch, e, s);
	else
		any_segment(sch, e, s);
	any_ack(&sch->conn[s->conn], e, s, scale);
	if (percent(e->side == KCOLO_S ? 15 : 5))
		sch->n--;	/* lost */
}

/* In the end everything is said again, and acknowledged. */
static void make_end(struct schedule *sch, struct side sides[2])
{
	u32 ack = seq_max(sides[0].ack, sides[1].ack);
	struct event *e;
	int i, at, step = 1 + below(LEN_MAX), end;

	for (i = 0; i < 2; i++) {
		end = end_of(sch, &sides[i], i);
		for (at = 0; at < end && sch->n < EVENTS; at = e->to) {
			e = &sch->event[sch->n++];
			memset(e, 0, sizeof(*e));
			e->side = i;
			e->conn = sides[i].conn;
			e->from = at;
			e->to = lower(at ? at + step : 1, end);
			any_ack(&sch->conn[e->conn], e, &sides[i], 1);
			if (at)
				e->ack = ack;
		}
	}
}

static void make_schedule(struct schedule *sch, u64 seed)
{
	struct side sides[2] = {};
	int n, i;
	u32 scale;

	rng = seed;
	sch->n = 0;
	sch->midstream = percent(10);
	make_conns(sch);
	scale = percent(70) ? 4 : 1 << 24;
	n = 5 + below(EVENTS - 40);
	while (sch->n < n) {
		make_event(sch, sides, scale);
		i = below(2);
		if (!sides[i].conn && sides[i].begun && percent(2)) {
			memset(&sides[i], 0, sizeof(sides[i]));
			sides[i].conn = 1;
		}
	}
	if (percent(50))
		make_end(sch, sides);
}

/*
 * Telling about it.
 */

static void make_smaller(struct run *r, struct schedule *sch)
{
	bool again = true;
	int i;

	while (again) {
		again = false;
		for (i = 0; i < sch->n; i++) {
			if (sch->event[i].off)
				continue;
			sch->event[i].off = true;
			if (run_schedule(r, sch))
				again = true;
			else
				sch->event[i].off = false;
		}
	}
}

static void print_text(const char *name, const struct text *text)
{
	int i;

	printf("#   %s %2d bytes ", name, text->len);
	for (i = 0; i < text->len; i++)
		printf("%02x", text->byte[i]);
	printf("\n");
}

static void print_conn(const struct conn *conn, int i)
{
	printf("# connection %d: isn P %#x S %#x client %#x\n", i,
	       conn->isn[KCOLO_P], conn->isn[KCOLO_S], conn->client);
	print_text("P          ", &conn->text[KCOLO_P]);
	print_text("S          ", &conn->text[KCOLO_S]);
	print_text("S if copied", &conn->text_copied);
}

static void print_event(const struct event *e)
{
	static const char *const name[] = { "", "begin", "commit", "abort" };

	if (e->kind != SEGMENT) {
		printf("#   %s\n", name[e->kind]);
		return;
	}
	printf("#   %c%d [%d, %d)%s%s%s", "PS"[e->side], e->conn, e->from, e->to,
	       is_syn(e) ? " SYN" : "", e->flags & RST ? " RST" : "",
	       is_syn(e) && e->side == KCOLO_S && e->raw ? " raw" : "");
	if (e->flags & ACK)
		printf(" ack %u", e->ack);
	if (e->far)
		printf(" far %#x", e->far);
	printf("\n");
}

static void tell(struct run *r, struct schedule *sch, u64 seed)
{
	int i;

	make_smaller(r, sch);
	run_schedule(r, sch);
	printf("# seed %llu: %s\n", (unsigned long long)seed, r->wrong);
	printf("# P is%s adopted in mid-stream\n", sch->midstream ? "" : " not");
	print_conn(&sch->conn[0], 0);
	print_conn(&sch->conn[1], 1);
	for (i = 0; i < r->at; i++)
		if (!sch->event[i].off)
			print_event(&sch->event[i]);
	printf("# in the end: cmp P's isn + %d, kcolo %#x, state %u\n", r->m.cmp,
	       r->flow.cmp.cmp, r->flow.cmp.state);
	printf("# again: model --schedules 1 --seed %llu\n",
	       (unsigned long long)seed);
}

static void usage(void)
{
	fprintf(stderr, "usage: model [--schedules N] [--seed S]\n");
	exit(2);
}

static void options(int argc, char **argv, u64 *n, u64 *seed)
{
	static const struct option longs[] = {
		{ "schedules", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{}
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "n:s:", longs, NULL)) != -1) {
		if (opt != 'n' && opt != 's')
			usage();
		*(opt == 'n' ? n : seed) = strtoull(optarg, NULL, 0);
	}
	if (optind < argc)
		usage();
}

int main(int argc, char **argv)
{
	static struct schedule sch;
	static struct run r;
	u64 n = 200000, seed = 1, i;

	options(argc, argv, &n, &seed);
	printf("1..1\n");
	for (i = 0; i < n; i++) {
		make_schedule(&sch, seed + i);
		if (run_schedule(&r, &sch))
			break;
	}
	printf("# %lu events, %lu segments left by R1, %lu differences, %lu resets, %lu commits, %lu aborts\n",
	       stats.events, stats.left, stats.diffs, stats.resets,
	       stats.commits, stats.aborts);
	if (i < n)
		tell(&r, &sch, seed + i);
	printf("%s 1 model.r1_r7_same_verdicts_as_the_model # %llu schedules from seed %llu\n",
	       i < n ? "not ok" : "ok", (unsigned long long)i,
	       (unsigned long long)seed);
	return i < n;
}

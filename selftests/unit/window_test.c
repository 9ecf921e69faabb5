// SPDX-License-Identifier: GPL-2.0
/*
 * R3: the window that the client sees. A table, and random connections of two
 * receivers against what the rule says, in numbers that do not wrap.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kselftest.h"
#include "pkt.h"
#include "window.h"

#define ROUNDS	20000
#define STEPS	60
#define ACK	KCOLO_TCP_ACK

static u32 base;

static void hear(struct kcolo_window *w, enum kcolo_side side, u64 seq, u64 ack,
		 u16 win)
{
	struct kcolo_seg seg = { .flags = ACK, .seq = seq, .ack = base + ack };

	kcolo_window_hear(w, side, &seg, win);
}

static u16 leave(struct kcolo_window *w, u64 ack, u16 win)
{
	struct kcolo_seg seg = { .flags = ACK, .ack = base + ack };

	kcolo_window_hear(w, KCOLO_P, &seg, win);
	return kcolo_window_leave(w, &seg, win);
}

static struct kcolo_window scaled(u8 scale)
{
	struct kcolo_window w = {};

	kcolo_window_syn(&w, KCOLO_P, scale);
	kcolo_window_syn(&w, KCOLO_S, scale);
	return w;
}

/*
 * Two steps of P with one of S before each: what the client is told.
 */
static const struct row {
	const char *name;
	u8 scale;
	struct step {
		u32 s_ack;
		u16 s_win;
		u32 p_ack;
		u16 p_win;
		u16 told;
	} step[2];
} rows[] = {
	{ "equal", 0, { { 0, 500, 0, 500, 500 }, { 9, 491, 9, 491, 491 } } },
	{ "the secondary's is smaller", 0,
	  { { 0, 300, 0, 500, 300 }, { 0, 400, 0, 500, 400 } } },
	{ "the primary's is smaller", 0,
	  { { 0, 500, 0, 300, 300 }, { 0, 500, 0, 100, 100 } } },
	{ "the secondary has acknowledged more", 0,
	  { { 100, 300, 0, 500, 400 }, { 200, 300, 100, 500, 400 } } },
	{ "the edge stays where the secondary takes its own back", 0,
	  { { 0, 300, 0, 500, 300 }, { 100, 50, 100, 500, 200 } } },
	{ "the primary may take its own back", 0,
	  { { 0, 500, 0, 500, 500 }, { 100, 400, 100, 50, 50 } } },
	{ "both take back, the primary more", 0,
	  { { 0, 500, 0, 500, 500 }, { 0, 10, 0, 20, 20 } } },
	{ "shut", 0, { { 0, 0, 0, 500, 0 }, { 0, 1, 0, 500, 1 } } },
	{ "both shut", 0, { { 0, 0, 0, 0, 0 }, { 0, 0, 0, 0, 0 } } },
	{ "scaled", 7, { { 0, 3, 0, 5, 3 }, { 128, 3, 128, 5, 3 } } },
	{ "rounded down", 7,
	  { { 10, 3, 0, 5, 3 }, { 127, 3, 0, 5, 3 } } },
	{ "not rounded down across an edge that was told", 7,
	  { { 0, 3, 0, 5, 3 }, { 1, 2, 1, 5, 3 } } },
	{ "rounded to what fits", 7,
	  { { 0, 3, 0, 9, 3 }, { 100, 4, 1, 9, 4 } } },
	{ "the largest scale", 14,
	  { { 0, 65535, 0, 65535, 65535 }, { 5, 65535, 5, 1, 1 } } },
};

static bool good(const struct row *r)
{
	struct kcolo_window w = scaled(r->scale);
	const struct step *s;
	u16 told;

	for (s = r->step; s < r->step + 2; s++) {
		hear(&w, KCOLO_S, 0, s->s_ack, s->s_win);
		told = leave(&w, s->p_ack, s->p_win);
		if (told != s->told) {
			printf("# step %zd: %u\n", s - r->step, told);
			return false;
		}
	}
	return true;
}

static u64 min64(u64 a, u64 b)
{
	return a < b ? a : b;
}

static u64 max64(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* One receiver: it takes its edge back only by what rounding makes it. */
struct receiver {
	u64 ack;
	u64 edge;	/* as told */
	u16 win;
	bool shrinks;
};

static void go_on(struct receiver *r, u64 sent, u8 scale)
{
	u64 unit = 1ULL << scale, edge = r->edge;

	if (sent > r->ack && rand() % 3)
		r->ack += rand() % (min64(sent, r->edge) - r->ack + 1);
	if (rand() % 2)
		edge += rand() % (8 * unit + 3000);
	if (r->shrinks && rand() % 4 == 0)
		edge = r->ack + rand() % (edge - r->ack + 1);
	edge = max64(edge, r->ack);
	r->win = min64(0xffff, (edge - r->ack) / unit);
	r->edge = r->ack + r->win * unit;
}

/* The rule for a packet that was told @win with @ack; @own: P's edge, @s: S's. */
static bool lawful(u64 ack, u16 win, u64 unit, u64 own, u64 s, u64 told,
		   bool made)
{
	u64 edge = ack + win * unit, keep = min64(told, own);
	u64 slack = made ? unit - 1 : 0;	/* P's edge fits P's ack only */

	if (edge > own + slack || (edge < keep && win != 0xffff))
		return false;
	/* Above the secondary's only as far as an edge told before asks for. */
	if (edge > s && (edge < unit || edge - unit >= keep))
		return false;
	/* Not less than there is room for. */
	return win == 0xffff || edge + unit > min64(own, s);
}

static bool connection(u8 scale, bool shrinks)
{
	struct kcolo_window w = scaled(scale);
	struct receiver p = { .shrinks = shrinks }, s = p;
	u64 unit = 1ULL << scale, told = 0, sent = 0, out = 0, seq = 0, ack, edge;
	bool loosened;
	u16 win;
	int i;

	base = (u32)rand() << 16 ^ rand();
	hear(&w, KCOLO_S, 0, 0, 0);
	for (i = 0; i < STEPS; i++) {
		sent = max64(sent, sent + rand() % (max64(told, sent) - sent + 1));
		if (rand() & 1) {
			go_on(&s, sent, scale);
			/* A segment that comes late says nothing new. */
			hear(&w, KCOLO_S, ++seq, s.ack, s.win);
			loosened = kcolo_window_loosened(&w, base + out);
			if (!loosened)
				continue;
			if (!kcolo_window_tight(&w))
				return false;
			edge = told;
			win = kcolo_window_make(&w, base + out);
			if (!lawful(out, win, unit, p.edge, s.edge, told, true))
				return false;
			told = max64(told, out + win * unit);
			if (told <= edge || told > s.edge)
				return false;
			continue;
		}
		go_on(&p, min64(sent, s.ack), scale);
		ack = p.ack;
		edge = ack + p.win * unit;
		win = leave(&w, ack, p.win);
		if (!lawful(ack, win, unit, edge, s.edge, told, false))
			return false;
		told = max64(told, ack + win * unit);
		out = max64(out, ack);
		if (w.out_edge != (u32)(base + told))
			return false;
		if (kcolo_window_shut(&w) !=
		    (s.edge == s.ack && p.edge > p.ack))
			return false;
	}
	return true;
}

static bool random_connections(bool shrinks)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		srand(i);
		if (!connection(i % 15, shrinks)) {
			printf("# seed %d\n", i);
			return false;
		}
	}
	return true;
}

/* Late packets of S: older ones say nothing, but more room is believed of any. */
static bool late(void)
{
	struct kcolo_window w = scaled(0);

	hear(&w, KCOLO_S, 10, 100, 500);
	hear(&w, KCOLO_S, 5, 50, 10);
	hear(&w, KCOLO_S, 5, 100, 10);
	if (w.s_edge != base + 600)
		return false;
	hear(&w, KCOLO_S, 5, 100, 501);
	if (w.s_edge != base + 601)
		return false;
	hear(&w, KCOLO_S, 10, 100, 7);
	return w.s_edge == base + 107;
}

/* A SYN's window is not scaled, nor anything before the secondary has spoken. */
static bool handshake(void)
{
	struct kcolo_seg syn = { .flags = ACK | KCOLO_TCP_SYN, .ack = base };
	struct kcolo_window w = scaled(7);

	if (leave(&w, 0, 700) != 700)
		return false;
	w = scaled(7);
	kcolo_window_hear(&w, KCOLO_P, &syn, 600);
	kcolo_window_hear(&w, KCOLO_S, &syn, 500);
	if (kcolo_window_leave(&w, &syn, 600) != 500 ||
	    w.out_edge != base + 500)
		return false;
	/* 4 * 128 is the first multiple that is not before the edge. */
	if (leave(&w, 0, 100) != 4)
		return false;
	kcolo_window_unscaled(&w);
	hear(&w, KCOLO_S, 1, 0, 600);
	return leave(&w, 0, 700) == 600;
}

/* C2: the secondary's is the primary's. C0: scales not known, nothing is clamped. */
static bool commit(void)
{
	struct kcolo_window w = scaled(3);

	hear(&w, KCOLO_S, 0, 0, 5);
	if (leave(&w, 0, 50) != 5 || !kcolo_window_tight(&w))
		return false;
	kcolo_window_commit(&w);
	if (kcolo_window_loosened(&w, base) || leave(&w, 0, 50) != 50 ||
	    kcolo_window_tight(&w))
		return false;
	memset(&w, 0, sizeof(w));
	hear(&w, KCOLO_S, 0, 0, 5);
	return leave(&w, 0, 50) == 50 && !kcolo_window_tight(&w);
}

/* It could not be written into the packet. */
static bool left(void)
{
	struct kcolo_seg seg = { .flags = ACK, .ack = base };
	struct kcolo_window w = scaled(3);

	hear(&w, KCOLO_S, 0, 0, 5);
	if (leave(&w, 0, 50) != 5)
		return false;
	kcolo_window_left(&w, &seg, 50);
	return w.out_edge == base + 400 && !kcolo_window_tight(&w);
}

static bool shut(void)
{
	struct kcolo_window w = scaled(0);

	hear(&w, KCOLO_S, 0, 10, 0);
	if (kcolo_window_shut(&w))
		return false;
	leave(&w, 10, 5);
	if (!kcolo_window_shut(&w))
		return false;
	leave(&w, 15, 0);
	if (kcolo_window_shut(&w))
		return false;
	hear(&w, KCOLO_S, 1, 15, 3);
	leave(&w, 15, 5);
	return !kcolo_window_shut(&w);
}

/* What is made speaks for the primary as it is now. */
static bool made(void)
{
	struct kcolo_window w = scaled(0);

	hear(&w, KCOLO_S, 0, 1000, 65535);
	if (leave(&w, 1000, 65535) != 65535 ||
	    kcolo_window_make(&w, base + 900) != 65535)
		return false;
	/* An old segment comes again, then the primary takes its edge back. */
	leave(&w, 900, 10);
	if (w.p_edge != base + 66535)
		return false;
	leave(&w, 1000, 100);
	if (kcolo_window_make(&w, base + 1000) != 100)
		return false;
	/* No room at all. */
	hear(&w, KCOLO_S, 1, 1001, 0);
	w.out_edge = base + 900;
	return kcolo_window_make(&w, base + 1050) == 0;
}

/* C0: of unknown scale; the secondary's, or the primary's before it has spoken. */
static bool made_unscaled(void)
{
	struct kcolo_window w = { 0 };

	hear(&w, KCOLO_P, 0, 1000, 500);
	if (kcolo_window_make(&w, base + 900) != 500)
		return false;
	hear(&w, KCOLO_S, 0, 900, 70);
	return kcolo_window_make(&w, base + 900) == 70;
}

/* Only rounding would tell more: that is no news. */
static bool no_news(void)
{
	struct kcolo_window w = scaled(7);

	hear(&w, KCOLO_S, 0, 0, 3);
	leave(&w, 0, 5);
	hear(&w, KCOLO_S, 1, 1, 2);
	hear(&w, KCOLO_P, 0, 1, 5);
	if (!kcolo_window_tight(&w) || kcolo_window_loosened(&w, base + 1))
		return false;
	hear(&w, KCOLO_S, 2, 2, 4);
	if (kcolo_window_loosened(&w, base + 1))
		return false;
	hear(&w, KCOLO_P, 0, 2, 5);
	if (!kcolo_window_loosened(&w, base + 1))
		return false;
	return kcolo_window_loosened(&w, base + 1) &&
	       kcolo_window_make(&w, base + 1) == 4 &&
	       !kcolo_window_loosened(&w, base + 1);
}

int main(void)
{
	const struct row *r;

	ksft_print_header();
	ksft_set_plan(sizeof(rows) / sizeof(rows[0]) + 10);
	for (r = rows; r < rows + sizeof(rows) / sizeof(rows[0]); r++)
		ksft_test_result(good(r), "r3 %s\n", r->name);
	ksft_test_result(late(), "r3 late packets of the secondary\n");
	ksft_test_result(handshake(), "r3 handshake\n");
	ksft_test_result(commit(), "r3 commit, unknown scale\n");
	ksft_test_result(left(), "r3 not clamped after all\n");
	ksft_test_result(shut(), "r3 shut\n");
	ksft_test_result(made(), "r3 what is made\n");
	ksft_test_result(made_unscaled(), "c0 r3 what is made, unknown scale\n");
	ksft_test_result(no_news(), "r3 rounding is no news\n");
	ksft_test_result(random_connections(false), "r3 random connections\n");
	ksft_test_result(random_connections(true),
			 "r3 random connections, edges taken back\n");
	ksft_finished();
}

// SPDX-License-Identifier: GPL-2.0
/* R4: which options of two SYNs come to the same. */
#include <stdio.h>
#include <stdlib.h>

#include "kselftest.h"
#include "syn.h"

#define MSS(n)		2, 4, (n) >> 8, (n) & 0xff
#define WSCALE(n)	3, 3, (n)
#define SACK_OK		4, 2
#define TS(n)		8, 10, 0, 0, 0, (n), 0, 0, 0, 0
#define LINUX(ts)	MSS(1460), SACK_OK, TS(ts), 1, WSCALE(7)
#define OPTS(...)	(const u8[]){ __VA_ARGS__ }, sizeof((u8[]){ __VA_ARGS__ })
#define NONE		NULL, 0

static const struct row {
	const char *name;
	const u8 *p;
	u32 p_len;
	const u8 *s;
	u32 s_len;
	bool match4;
	bool match6;
} rows[] = {
	{ "nothing", NONE, NONE, true, true },
	{ "the same", OPTS(LINUX(1)), OPTS(LINUX(1)), true, true },
	{ "clocks differ", OPTS(LINUX(1)), OPTS(LINUX(2)), true, true },
	{ "another order and padding", OPTS(LINUX(1)),
	  OPTS(WSCALE(7), 1, TS(9), 1, 1, SACK_OK, MSS(1460), 0, 1, 1),
	  true, true },
	{ "after the end of the list nothing counts", OPTS(MSS(1460), 0),
	  OPTS(MSS(1460), 0, SACK_OK, WSCALE(3)), true, true },

	{ "MSS smaller", OPTS(MSS(1460)), OPTS(MSS(1459)), false, false },
	{ "MSS larger", OPTS(MSS(1460)), OPTS(MSS(1461)), true, true },
	{ "MSS of many bytes", OPTS(MSS(0xff00)), OPTS(MSS(0x00ff)),
	  false, false },
	{ "MSS only of the primary", OPTS(MSS(1460)), NONE, false, false },
	{ "MSS only of the secondary", NONE, OPTS(MSS(1460)), true, true },
	{ "MSS of the default, left out", OPTS(MSS(536)), NONE, true, true },
	{ "MSS of the default of IPv6, left out", OPTS(MSS(1220)), NONE,
	  false, true },
	{ "MSS below the default of IPv6", NONE, OPTS(MSS(536)), true, false },
	{ "MSS twice, the last counts", OPTS(MSS(500), MSS(1460)),
	  OPTS(MSS(1460)), true, true },

	{ "scale larger", OPTS(WSCALE(7)), OPTS(WSCALE(8)), false, false },
	{ "scale smaller", OPTS(WSCALE(7)), OPTS(WSCALE(6)), false, false },
	{ "scale only of the primary", OPTS(WSCALE(7)), NONE, false, false },
	{ "scale only of the secondary", NONE, OPTS(WSCALE(7)), false, false },
	{ "scale 0 is not none", OPTS(WSCALE(0)), NONE, false, false },
	{ "none is not scale 0", NONE, OPTS(WSCALE(0)), false, false },
	{ "scale beyond 14 is 14", OPTS(WSCALE(14)), OPTS(WSCALE(255)),
	  true, true },

	{ "SACK only of the primary", OPTS(SACK_OK), NONE, false, false },
	{ "SACK only of the secondary", NONE, OPTS(SACK_OK), false, false },
	{ "timestamps only of the primary", OPTS(TS(1)), NONE, false, false },
	{ "timestamps only of the secondary", NONE, OPTS(TS(1)), false, false },

	{ "unknown, equal", OPTS(253, 4, 1, 2), OPTS(1, 253, 4, 1, 2),
	  true, true },
	{ "unknown, other contents", OPTS(253, 4, 1, 2), OPTS(253, 4, 1, 3),
	  false, false },
	{ "unknown, other length", OPTS(253, 4, 1, 2), OPTS(253, 3, 1),
	  false, false },
	{ "unknown, only of the primary", OPTS(34, 2), NONE, false, false },
	{ "unknown, only of the secondary", NONE, OPTS(34, 2), false, false },
	{ "unknown, another order", OPTS(253, 3, 1, 254, 3, 2),
	  OPTS(254, 3, 2, 253, 3, 1), true, true },
	{ "unknown, as many but others", OPTS(253, 3, 1, 253, 3, 1, 254, 2),
	  OPTS(253, 3, 1, 254, 2, 254, 2), false, false },
	{ "known kind of another length is unknown", OPTS(3, 4, 7, 7),
	  OPTS(WSCALE(7)), false, false },
	{ "the same, cut off", OPTS(MSS(1460), 8, 10, 1), OPTS(MSS(1460), 8, 10, 1),
	  true, true },
	{ "cut off, other contents", OPTS(MSS(1460), 8, 10, 1),
	  OPTS(MSS(1460), 8, 10, 2), false, false },
	{ "cut off after the kind", OPTS(253), OPTS(254), false, false },
	{ "length 0 and 1", OPTS(253, 0, 1), OPTS(253, 1, 1), false, false },
};

static const struct strip {
	const char *name;
	const u8 *from;
	u32 len;
	const u8 *to;
	u32 to_len;
	u32 n;
} strips[] = {
	{ "nothing", NONE, NONE, 0 },
	{ "nothing to strip", OPTS(LINUX(1)), OPTS(LINUX(1)), 0 },
	{ "MPTCP", OPTS(MSS(1460), 30, 4, 0, 1, SACK_OK),
	  OPTS(MSS(1460), 1, 1, 1, 1, SACK_OK), 1 },
	{ "Fast Open, twice", OPTS(34, 2, 34, 4, 7, 7), OPTS(1, 1, 1, 1, 1, 1), 2 },
	{ "Fast Open as an experiment", OPTS(254, 4, 0xf9, 0x89),
	  OPTS(1, 1, 1, 1), 1 },
	{ "another experiment", OPTS(254, 4, 0xf9, 0x88),
	  OPTS(254, 4, 0xf9, 0x88), 0 },
	{ "an experiment cut short", OPTS(254, 3, 0xf9),
	  OPTS(254, 3, 0xf9), 0 },
	{ "cut off", OPTS(1, 30, 12, 0), OPTS(1, 1, 1, 1), 1 },
	{ "after the end of the list", OPTS(0, 34, 2), OPTS(0, 34, 2), 0 },
};

/* As match(): in a place of its own. */
static bool strip(const struct strip *t)
{
	u8 *a = malloc(t->len ?: 1);
	bool good;

	if (t->len)
		memcpy(a, t->from, t->len);
	good = kcolo_syn_strip(a, t->len) == t->n &&
	       (!t->len || !memcmp(a, t->to, t->len));
	free(a);
	return good;
}

/* Exactly as long as it is told, so that a byte too many is noticed. */
static bool match(const u8 *p, u32 p_len, const u8 *s, u32 s_len, bool v6)
{
	u8 *a = malloc(p_len ?: 1), *b = malloc(s_len ?: 1);
	bool got;

	if (p_len)
		memcpy(a, p, p_len);
	if (s_len)
		memcpy(b, s, s_len);
	got = kcolo_syn_match(p_len ? a : NULL, p_len, s_len ? b : NULL, s_len,
			      v6);
	free(a);
	free(b);
	return got;
}

/* Garbage: it always matches itself, and one more option never. */
static bool garbage(void)
{
	u8 opts[KCOLO_OPTIONS_MAX + 4];
	u32 round, i, n;

	for (round = 0; round < 200000; round++) {
		n = rand() % (KCOLO_OPTIONS_MAX + 1);
		for (i = 0; i < n; i++)
			opts[i] = rand() & 1 ? rand() % 12 : rand();
		if (!match(opts, n, opts, n, round & 1))
			return false;
		memmove(opts + 4, opts, n);
		memcpy(opts, (u8[]){ 253, 4, 0, 1 }, 4);
		if (match(opts, n + 4, opts + 4, n, round & 1) ||
		    match(opts + 4, n, opts, n + 4, round & 1))
			return false;
	}
	return true;
}

int main(void)
{
	const struct strip *t;
	const struct row *r;

	ksft_print_header();
	ksft_set_plan(sizeof(rows) / sizeof(rows[0]) +
		      sizeof(strips) / sizeof(strips[0]) + 1);
	for (r = rows; r < rows + sizeof(rows) / sizeof(rows[0]); r++)
		ksft_test_result(match(r->p, r->p_len, r->s, r->s_len, false) ==
				 r->match4 &&
				 match(r->p, r->p_len, r->s, r->s_len, true) ==
				 r->match6, "r4 %s\n", r->name);
	for (t = strips; t < strips + sizeof(strips) / sizeof(strips[0]); t++)
		ksft_test_result(strip(t), "r4 stripped: %s\n", t->name);
	ksft_test_result(garbage(), "r4 garbage matches only itself\n");
	ksft_finished();
}

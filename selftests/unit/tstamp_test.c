// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/tstamp.c against two simulated clocks (W5): whatever the clocks, the delays
 * and the rate, a client that checks PAWS sees none go back at a failover, and the
 * secondary gets no echo of what it has not said.
 */
#include <stdlib.h>

#include "kselftest_harness.h"
#include "pkt.h"
#include "tstamp.h"

#define RUNS	20000
#define STEPS	60

static u32 seed;

static u32 any(u32 n)
{
	seed = seed * 1664525 + 1013904223;
	return n ? (seed >> 8) % n : 0;
}

static u32 any32(void)
{
	static const u32 edges[] = { 0, 1, -1U, 1U << 31, (1U << 31) - 1 };

	return any(3) ? any(1 << 24) << 8 | any(256) : edges[any(5)];
}

/**
 * struct world - two guests and a client; the time is in ticks
 * @p: the primary's clock at time 0
 * @s: the secondary's
 * @now: time
 * @rtt: from the primary to the client and back
 * @seen: time of the primary's newest packet that the client has seen
 * @said: the secondary's newest TSval
 */
struct world {
	u32 p;
	u32 s;
	u32 now;
	u32 rtt;
	u32 seen;
	u32 said;
	struct kcolo_ts ts;
};

static void open_world(struct world *w, u32 late)
{
	*w = (struct world){ .p = any32(), .s = any32(), .rtt = 1 + any(150) };
	w->said = w->s + late;
	w->ts.newest = w->said;
	w->now = late + 1;
	kcolo_ts_learn(&w->ts, w->p);
}

/* A round: the primary speaks, the client echoes, the secondary speaks. */
static void step(struct world *w)
{
	w->now += any(100);
	w->seen = w->now;
	w->now += w->rtt;
	kcolo_ts_hear_client(&w->ts, w->p + w->seen);
	if (any(4)) {
		w->now += any(40);
		w->said = w->s + w->now;
		kcolo_ts_hear_vm(&w->ts, w->said);
	}
}

TEST(w5_offset_is_exact)
{
	struct world w;
	int i;

	for (i = 0; i < RUNS; i++) {
		open_world(&w, 0);
		ASSERT_EQ(w.s - w.p, w.ts.off);
		ASSERT_EQ(w.p + 77, kcolo_ts_to_client(&w.ts, w.s + 77));
		kcolo_ts_hear_vm(&w.ts, w.s + 5000);
		ASSERT_EQ(w.s + 4000, kcolo_ts_to_vm(&w.ts, w.p + 4000));
		ASSERT_EQ(w.s + 5000, kcolo_ts_to_vm(&w.ts, w.p + 5001));
	}
}

TEST(w5_no_echo_of_the_future)
{
	struct world w;
	int i, j;

	for (i = 0; i < RUNS; i++) {
		open_world(&w, any(3000));
		for (j = 0; j < 10; j++) {
			u32 echo = w.p + w.now + any(1 << 20);

			step(&w);
			ASSERT_FALSE(seq_after(kcolo_ts_to_vm(&w.ts, echo),
					       w.said));
		}
	}
}

TEST(w5_a_failover_never_goes_back)
{
	struct world w;
	int i, j;

	for (i = 0; i < RUNS; i++) {
		u32 last;

		open_world(&w, any(2000));
		for (j = any(STEPS) + 2; j; j--)
			step(&w);
		/* The primary's last packet, a round trip after what was echoed. */
		w.said = w.s + w.now;
		kcolo_ts_hear_vm(&w.ts, w.said);
		last = w.p + w.now;
		w.now += any(300);
		kcolo_ts_hear_vm(&w.ts, w.s + w.now);
		kcolo_ts_take_over(&w.ts);
		ASSERT_FALSE(seq_before(kcolo_ts_to_client(&w.ts, w.s + w.now),
					last)) TH_LOG("run %d", i);
	}
}

TEST(w5_jumps_are_no_larger_than_they_must_be)
{
	struct world w;
	int i, j;

	for (i = 0; i < RUNS; i++) {
		u32 late = any(2000), jump;

		open_world(&w, late);
		for (j = 0; j < 30; j++)
			step(&w);
		kcolo_ts_hear_vm(&w.ts, w.s + w.now);
		kcolo_ts_take_over(&w.ts);
		jump = kcolo_ts_to_client(&w.ts, w.s) - w.p;
		ASSERT_LE(jump, KCOLO_TS_GUARD + 0U);
	}
}

TEST(w5_the_lag_has_no_upper_bit)
{
	struct kcolo_ts ts = {};
	int i;

	for (i = 0; i < 100 * RUNS; i++) {
		if (any(2))
			kcolo_ts_hear_client(&ts, any32());
		else
			kcolo_ts_hear_vm(&ts, any32());
		ASSERT_EQ(0, ts.lag >> 31);
		ASSERT_LE(ts.lag & 0xffff, 0x7fff);
	}
}

/* A header of its own for each run, so that the sanitizer sees its end. */
TEST(w1_changes_stay_in_the_header)
{
	struct kcolo_change change[KCOLO_CHANGES];
	int i;

	for (i = 0; i < 20 * RUNS; i++) {
		struct kcolo_shift shift = { any(2), any(2), any(2), any(2) };
		u32 hlen = any(8) ? 20 + 4 * any(11) : 8 + any(13), n, a, b;
		static const u8 kinds[] = { 0, 1, 5, 5, 8, 8, 2, 10, 18, 26 };
		u8 *th = malloc(hlen);

		for (a = 0; a < hlen; a++)
			th[a] = any(3) ? kinds[any(sizeof(kinds))] : any(256);
		n = kcolo_shift_changes(&shift, th, hlen, change);
		ASSERT_LE(n, KCOLO_CHANGES + 0U);
		for (a = 0; a < n; a++) {
			ASSERT_LE(change[a].off + 4, hlen);
			for (b = 0; b < a; b++)
				ASSERT_GE(abs(change[a].off - change[b].off), 4);
		}
		free(th);
	}
}

TEST_HARNESS_MAIN

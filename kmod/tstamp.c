// SPDX-License-Identifier: GPL-2.0
/*
 * Translates TCP timestamps between two guests, and sees to it that none goes back
 * when the secondary takes over (W5); pure, also for user space.
 *
 * The first echo of the primary's clock gives the offset, too large by the time
 * that the secondary took longer for its SYN. The difference matters only when the
 * secondary takes over: then the client has seen the primary's clock, and what
 * comes after with an older one it drops (RFC 7323, PAWS). What the client echoes
 * when the secondary speaks bounds the offset from above: the primary's clock is
 * that far at least. Only sums and differences, so the rate of the clocks does not
 * matter.
 */
#include "tstamp.h"

#define HALF_MAX	0x7fffU	/* leaves the uppermost bit of lag clear */

static u32 excess(const struct kcolo_ts *ts)
{
	return ts->lag >> 16;
}

static u32 ahead(const struct kcolo_ts *ts)
{
	return ts->lag & 0xffff;
}

static void set_lag(struct kcolo_ts *ts, u32 excess, u32 ahead)
{
	ts->lag = excess << 16 | ahead;
}

/**
 * kcolo_ts_learn() - the handshake names both clocks
 * @ts: @newest is of the secondary's SYN
 * @tsecr: the client's echo of the primary's SYN
 */
void kcolo_ts_learn(struct kcolo_ts *ts, u32 tsecr)
{
	ts->off = ts->newest - tsecr;
	ts->lag = 0;
}

/**
 * kcolo_ts_hear_client() - the client echoes the primary's clock
 * @ts: timestamps
 * @tsecr: echo, as the client sent it
 */
void kcolo_ts_hear_client(struct kcolo_ts *ts, u32 tsecr)
{
	u32 by = tsecr + ts->off - ts->newest;

	if ((s32)by <= 0)
		return;
	by = by < HALF_MAX ? by : HALF_MAX;
	if (by > ahead(ts))
		set_lag(ts, excess(ts), by);
}

/**
 * kcolo_ts_hear_vm() - the secondary shows its clock
 * @ts: timestamps
 * @tsval: as the guest sent it
 */
void kcolo_ts_hear_vm(struct kcolo_ts *ts, u32 tsval)
{
	u32 gone = tsval - ts->newest, left;

	if ((s32)gone < 0)
		return;
	ts->newest = tsval;
	left = gone < ahead(ts) ? ahead(ts) - gone : 0;
	set_lag(ts, left > excess(ts) ? left : excess(ts), left);
}

/**
 * kcolo_ts_to_vm() - translate the client's echo for the secondary
 * @ts: timestamps
 * @tsecr: as the client sent it
 *
 * Return: the echo; never what the secondary has not said yet, it could not take
 * it for a round trip.
 */
u32 kcolo_ts_to_vm(const struct kcolo_ts *ts, u32 tsecr)
{
	return seq_min(tsecr + ts->off, ts->newest);
}

/**
 * kcolo_ts_to_client() - translate the secondary's clock for the client
 * @ts: timestamps
 * @tsval: as the guest sent it
 *
 * Return: the primary's clock.
 */
u32 kcolo_ts_to_client(const struct kcolo_ts *ts, u32 tsval)
{
	return tsval - ts->off;
}

/**
 * kcolo_ts_take_over() - from now on the client sees the secondary's clock
 * @ts: timestamps; once in their life
 *
 * Call after kcolo_ts_hear_vm() for the guest's first packet. The client's clock
 * of us may jump forward, it never goes back.
 */
void kcolo_ts_take_over(struct kcolo_ts *ts)
{
	ts->off -= excess(ts) + KCOLO_TS_GUARD;
	ts->lag = 0;
}

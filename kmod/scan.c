// SPDX-License-Identifier: GPL-2.0
/* Looks for packets without partner (R5, R9) and for flows that are over (W7). */

#include "kcolo.h"
#include "trace.h"
#include "wait.h"

#define IDLE_OPENING	(120 * HZ)
#define IDLE_CLOSED	(60 * HZ)		/* a Linux guest's TIME_WAIT */
#define IDLE_CLOSING	(3UL * 3600 * HZ)	/* W7: more than keepalive's two hours */
#define IDLE_OPEN	(5UL * 24 * 3600 * HZ)	/* W7: as conntrack's */

/* Packets go on coming while the scan is under way, since @now. */
static bool longer_ago(u64 then, u64 now, u32 ms)
{
	return (s64)(now - then) > (s64)ms * NSEC_PER_MSEC;
}

/* R9: has the oldest packet of a list waited longer than @ms? */
static struct kcolo_held *kcolo_waits_since(struct list_head *list, u64 now, u32 ms)
{
	struct kcolo_held *held;

	held = list_first_entry_or_null(list, struct kcolo_held, list);
	return held && longer_ago(held->since, now, ms) ? held : NULL;
}

/*
 * R5: one side has reset the connection and the other one has not. Both do so at
 * a time of their own; it counts as a difference once the other side is seen to
 * go on, or has been silent for the whole timeout.
 */
static bool rst_unmet(struct kcolo_flow *flow, u64 now)
{
	const struct kcolo_config *cfg = &flow->pair->cfg;
	const struct kcolo_stream *side = flow->cmp.side;

	if (side[KCOLO_P].rst == side[KCOLO_S].rst)
		return false;
	if (side[KCOLO_P].rst)
		return kcolo_waits_since(&flow->held, now, cfg->timeout) ||
		       (!list_empty(&flow->queued) &&
			kcolo_waits_since(&flow->held, now, cfg->scan));
	return kcolo_waits_since(&flow->held, now, cfg->scan) ||
	       longer_ago(flow->s_heard, now, cfg->timeout);
}

/*
 * The client has reset the connection, or has both sent a FIN and acknowledged all
 * there is: nobody waits for what is left, and the guests end each at a place of
 * their own. Had they not heeded the reset they would repeat it. In mode observe the
 * client has not waited for the secondary, and what that says later is looked at (R14).
 */
static bool over(const struct kcolo_flow *flow)
{
	const struct kcolo_client *client = &flow->client;
	const struct kcolo_cmp *c = &flow->cmp;

	return client->rst ||
	       (kcolo_client_fin(flow) && client->ok && c->side[KCOLO_P].fin &&
		!seq_before(client->ack, c->nxt) &&
		(!kcolo_observes(flow->pair) || c->cmp == c->nxt));
}

static void bury(struct kcolo_flow *flow, u64 now, u32 ms)
{
	struct kcolo_held *held;

	while ((held = kcolo_waits_since(&flow->held, now, ms))) {
		kcolo_wait_unhold(flow, held);
		kcolo_wait_drop_reset(flow, held);
	}
	if (kcolo_waits_since(&flow->queued, now, ms))
		kcolo_wait_drop_queued(flow, KCOLO_A_STATS_SECONDARY_DROPPED);
}

/*
 * While the secondary catches up, with bytes or with what the mirror has lost and
 * the client repeats segment by segment, it is not overdue.
 */
static bool catches_up(const struct kcolo_flow *flow,
		       const struct kcolo_held *held, u64 now)
{
	return !longer_ago(held->seg.queued ? flow->cmp_moved : flow->ack_moved,
			   now, flow->pair->cfg.timeout);
}

/* R3: the secondary takes nothing more of what the client may still send. */
static bool shut(const struct kcolo_flow *flow)
{
	return flow->shut_since && !kcolo_client_fin(flow);
}

/* What it takes nothing of it does not acknowledge: the shut window is the reason. */
static bool waits_for_room(const struct kcolo_flow *flow,
			   const struct kcolo_held *held)
{
	return shut(flow) && !held->seg.queued;
}

static void seek_partner(struct kcolo_flow *flow, u64 now)
{
	const struct kcolo_config *cfg = &flow->pair->cfg;
	struct kcolo_held *held;
	u8 reason;

	if (flow->asked || flow->cmp.state == KCOLO_CMP_DIFF)
		return;
	if (over(flow)) {
		bury(flow, now, cfg->scan);
		return;
	}
	if (rst_unmet(flow, now)) {
		kcolo_wait_differs(flow, KCOLO_REASON_RST, flow->cmp.cmp, NULL, NULL);
		flow->asked = true;
		return;
	}
	if (shut(flow) && longer_ago(flow->shut_since, now, cfg->timeout)) {
		flow->shut_since = now;
		kcolo_wait_differs(flow, KCOLO_REASON_WINDOW, flow->cmp.cmp, NULL, NULL);
		flow->asked = true;
		return;
	}
	held = kcolo_waits_since(&flow->held, now, cfg->timeout);
	if (held && (catches_up(flow, held, now) || waits_for_room(flow, held)))
		return;
	if (held) {
		reason = held->seg.queued && flow->s_heard > held->since ?
			 KCOLO_REASON_LENGTH : KCOLO_REASON_TIMEOUT;
	} else {
		held = kcolo_waits_since(&flow->queued, now, cfg->timeout) ?:
		       kcolo_waits_since(&flow->early, now, cfg->timeout);
		if (!held)
			return;
		reason = flow->p_heard > held->since ? KCOLO_REASON_LENGTH :
						       KCOLO_REASON_TIMEOUT;
	}
	kcolo_count(flow->pair, TIMEOUTS);
	trace_old_packet_check_found(flow->pair, held);
	kcolo_wait_ask(flow, reason,
		       held->seg.queued ? flow->cmp.cmp : held->seg.seq,
		       NULL, NULL);
	flow->asked = true;
}

static bool idle_too_long(const struct kcolo_flow *flow)
{
	unsigned long idle = jiffies - flow->used;

	switch (kcolo_flow_state(flow)) {
	case KCOLO_FLOW_STATE_CLOSED:
		return idle > IDLE_CLOSED;
	case KCOLO_FLOW_STATE_OPENING:
		return idle > IDLE_OPENING;
	case KCOLO_FLOW_STATE_CLOSING:
		return idle > IDLE_CLOSING;
	default:
		return idle > IDLE_OPEN;
	}
}

/*
 * Most connections wait for nothing. A look without the lock: what it misses the next
 * scan will see.
 */
static bool quiet(const struct kcolo_flow *flow)
{
	const struct kcolo_stream *side = flow->cmp.side;

	return kcolo_flow_is_tcp(flow) &&
	       flow->epoch == kcolo_phase(flow->pair).epoch &&
	       list_empty(&flow->held) && list_empty(&flow->queued) &&
	       list_empty(&flow->early) && !flow->shut_since &&
	       side[KCOLO_P].rst == side[KCOLO_S].rst && !idle_too_long(flow);
}

static void scan_flow(struct kcolo_flow *flow, void *now)
{
	struct kcolo_pair *pair = flow->pair;
	struct kcolo_phase phase;

	if (quiet(flow))
		return;
	spin_lock(&flow->lock);
	if (flow->dead)
		goto unlock;
	phase = kcolo_phase(pair);
	kcolo_primary_sync(flow, phase);
	if (!kcolo_flow_is_tcp(flow)) {
		kcolo_dflow_scan(flow, *(u64 *)now);
		goto unlock;
	}
	if (phase.state == KCOLO_STATE_RUNNING)
		seek_partner(flow, *(u64 *)now);
	if (idle_too_long(flow) && list_empty(&flow->held) &&
	    list_empty(&flow->outbox) && !flow->releasing) {
		kcolo_wait_drop_queued(flow, KCOLO_A_STATS_SECONDARY_DROPPED);
		kcolo_wait_drop_early(flow, 0);
		kcolo_count(pair, FLOWS_CLOSED);
		kcolo_flow_remove(flow);
	}
unlock:
	kcolo_flow_unlock(flow);
}

/**
 * kcolo_primary_scan() - look for packets without partner and for old flows
 * @pair: a primary pair
 *
 * Context: process.
 */
void kcolo_primary_scan(struct kcolo_pair *pair)
{
	u64 now = ktime_get_mono_fast_ns();

	kcolo_flow_walk(pair, scan_flow, &now);
}

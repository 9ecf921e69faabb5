// SPDX-License-Identifier: GPL-2.0
/*
 * The primary host, whatever is not TCP: what the guest (P) says leaves when the
 * secondary (S) has said the same (R8-R10, R12).
 *
 * A datagram of P waits in flow->held, one of S in flow->queued, until
 * dgram.c finds them equal; then S's is freed and P's moves to flow->outbox. Time
 * alone changes something only where datagrams came in another order or differ: such
 * flows are looked at again by kcolo_pair.late_work.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/ktime.h>

#include "kcolo.h"
#include "trace.h"

#define IDLE		(10 * HZ)
#define WINDOW_PART	16	/* R8: the window is this part of the timeout */
#define LATE_BURST	64	/* flows between two chances to reschedule */

/* Verdicts that have to wait until the flow is unlocked. */
#define PASS_BEHIND	(NF_MAX_VERDICT + 1)
#define PASS_BYPASS	(NF_MAX_VERDICT + 2)

static struct kcolo_held *held_of(const struct kcolo_dgram *dg)
{
	return container_of(dg, struct kcolo_held, dg);
}

static u64 timeout_ns(const struct kcolo_flow *flow)
{
	return (u64)READ_ONCE(flow->pair->cfg.timeout) * NSEC_PER_MSEC;
}

static u64 window(const struct kcolo_flow *flow)
{
	return timeout_ns(flow) / WINDOW_PART;
}

static u32 equal(const struct kcolo_dgram *p, const struct kcolo_dgram *s,
		 u32 off)
{
	const struct kcolo_held *ph = held_of(p), *sh = held_of(s);

	return kcolo_payload_same(ph->skb, ph->l4 + off, sh->skb, sh->l4 + off,
				  min(p->len, s->len) - off);
}

/* @held need not be a held packet yet; returns false if it cannot be read. */
static bool read(struct kcolo_held *held, struct kcolo_tuple *tuple,
		 const struct kcolo_pkt *pkt, struct sk_buff *skb,
		 enum kcolo_dgram_kind *kind)
{
	struct kcolo_dgram *dg = &held->dg;

	held->skb = skb;
	held->l4 = pkt->l4;
	dg->len = pkt->end - pkt->l4;
	dg->since = ktime_get_mono_fast_ns();
	if (skb_copy_bits(skb, pkt->l4, dg->head,
			  min_t(u32, dg->len, KCOLO_DGRAM_HEAD)))
		return false;
	*tuple = pkt->tuple;
	*kind = kcolo_dgram_read(dg, tuple);
	return true;
}

/* The bytes in front of @at as they are compared, say without the checksum. */
static u8 peek_before(const struct kcolo_dgram *p, u32 at, u8 *buf)
{
	u32 len = min_t(u32, at, KCOLO_BEFORE_MAX), from = at - len, i;

	len = kcolo_payload_peek(held_of(p)->skb, held_of(p)->l4 + from, len,
				 buf);
	for (i = 0; i < len && from + i < KCOLO_DGRAM_HEAD; i++)
		buf[i] = p->head[from + i];
	return len;
}

static void ask(struct kcolo_flow *flow, u8 reason, struct kcolo_dgram *p,
		struct kcolo_dgram *s)
{
	struct kcolo_miscompare what = {
		.tuple = flow->tuple,
		.reason = reason,
	};
	u32 at;

	flow->asked = true;
	if (p && s) {
		at = kcolo_dgram_difference(p, s, equal);
		what.before_len = peek_before(p, at, what.before);
		what.p_len = kcolo_payload_peek(held_of(p)->skb,
						held_of(p)->l4 + at,
						p->len - at, what.p);
		what.s_len = kcolo_payload_peek(held_of(s)->skb,
						held_of(s)->l4 + at,
						s->len - at, what.s);
	}
	kcolo_request(flow->pair, &what);
}

/* R10: what S says finds no room. */
static void refuse_s(struct kcolo_pair *pair, const struct kcolo_tuple *tuple)
{
	struct kcolo_miscompare what = {
		.tuple = *tuple,
		.reason = KCOLO_REASON_OVERFLOW,
	};

	kcolo_count(pair, SECONDARY_REFUSED);
	trace_overflow(pair, KCOLO_S, tuple);
	kcolo_request(pair, &what);
}

static void drop_s(struct kcolo_flow *flow, struct kcolo_held *held)
{
	list_del(&held->list);
	kcolo_hold_drop(flow->pair, held);
}

/* R14: where nothing is held no checkpoint makes the sides equal; go on. */
static void give_up(struct kcolo_flow *flow, struct kcolo_dgram *p,
		    struct kcolo_dgram *s)
{
	flow->asked = false;
	kcolo_dgram_remove(KCOLO_P, p);
	kcolo_flow_let_out(flow, held_of(p));
	if (!s)
		return;
	kcolo_dgram_remove(KCOLO_S, s);
	kcolo_count(flow->pair, SECONDARY_HEARD);
	drop_s(flow, held_of(s));
}

static void trace_difference(const struct kcolo_flow *flow,
			     const struct kcolo_dgram *p,
			     const struct kcolo_dgram *s)
{
	trace_compare_miscompare(flow->pair);
	switch (flow->tuple.proto) {
	case IPPROTO_UDP:
		trace_compare_udp_miscompare(flow->pair, "primary", p->len);
		trace_compare_udp_miscompare(flow->pair, "secondary", s->len);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		trace_compare_icmp_miscompare(flow->pair, "primary", p->len);
		trace_compare_icmp_miscompare(flow->pair, "secondary", s->len);
		break;
	}
}

/* R8: the first of each side that have no partner. */
static void ask_differ(struct kcolo_flow *flow)
{
	struct kcolo_dgram *p = kcolo_dgram_oldest(&flow->dgrams, KCOLO_P);
	struct kcolo_dgram *s = kcolo_dgram_oldest(&flow->dgrams, KCOLO_S);

	kcolo_count(flow->pair, MISCOMPARES);
	trace_difference(flow, p, s);
	ask(flow, p->len == s->len ? KCOLO_REASON_PAYLOAD :
				     KCOLO_REASON_LENGTH, p, s);
	if (kcolo_observes(flow->pair))
		give_up(flow, p, s);
}

/* Time will change something at @at, ns. */
static void look_again(struct kcolo_flow *flow, u64 now, u64 at)
{
	struct kcolo_pair *pair = flow->pair;
	u64 wait = (s64)(at - now) > 0 ? at - now : 0;
	unsigned long when = jiffies + nsecs_to_jiffies(wait) + 1;

	spin_lock(&pair->out_lock);
	if (list_empty(&flow->late))
		list_add_tail(&flow->late, &pair->late);
	if (!READ_ONCE(pair->dead) &&
	    (!delayed_work_pending(&pair->late_work) ||
	     time_before(when, pair->late_at))) {
		pair->late_at = when;
		mod_delayed_work(system_wq, &pair->late_work, when - jiffies);
	}
	spin_unlock(&pair->out_lock);
}

/* Let out what may leave, see whether the sides differ. */
static void advance(struct kcolo_flow *flow)
{
	struct kcolo_dgrams *d = &flow->dgrams;
	u64 now = ktime_get_mono_fast_ns();
	struct kcolo_dgram *p;
	u64 at;

	while ((p = kcolo_dgram_leave(d, now, window(flow))))
		kcolo_flow_let_out(flow, held_of(p));
	if (list_empty(&flow->held))
		flow->asked = false;
	while (!flow->asked && kcolo_dgram_differ(d, now, window(flow)))
		ask_differ(flow);
	if (kcolo_dgram_deadline(d, now, window(flow), &at))
		look_again(flow, now, at);
}

static void found(struct kcolo_flow *flow, const struct kcolo_dgram *p,
		  const struct kcolo_dgram *s)
{
	flow->cmp.compared += p->len;
	kcolo_histogram_add(flow->pair, KCOLO_HISTOGRAM_LAG,
			    s->since - p->since);
	kcolo_count(flow->pair, SECONDARY_HEARD);
	kcolo_count(flow->pair, COMPARED_DATAGRAMS);
	kcolo_count_n(flow->pair, COMPARED_BYTES, p->len);
}

/* Compare a datagram of S that is not compared with any yet. */
static void take_s(struct kcolo_flow *flow, struct kcolo_held *held)
{
	struct kcolo_dgram *p;

	p = kcolo_dgram_meet(&flow->dgrams, KCOLO_S, &held->dg, equal);
	if (p) {
		found(flow, p, &held->dg);
		kcolo_hold_drop(flow->pair, held);
		return;
	}
	kcolo_dgram_queue(&flow->dgrams, KCOLO_S, &held->dg);
	list_add_tail(&held->list, &flow->queued);
}

/* What S said in another epoch than that of @tag is stale (C4). */
static void take_early(struct kcolo_flow *flow, u8 tag)
{
	struct kcolo_held *held, *next;
	LIST_HEAD(early);

	list_splice_init(&flow->early, &early);
	list_for_each_entry_safe(held, next, &early, list) {
		list_del(&held->list);
		if (held->tag == tag) {
			kcolo_dgram_number(&flow->dgrams, KCOLO_S, &held->dg);
			take_s(flow, held);
		} else {
			kcolo_count(flow->pair, SECONDARY_STALE);
			kcolo_hold_drop(flow->pair, held);
		}
	}
}

static void drop_queued(struct kcolo_flow *flow, int why)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->queued, list) {
		kcolo_dgram_remove(KCOLO_S, &held->dg);
		this_cpu_inc(flow->pair->stats->v[why]);
		drop_s(flow, held);
	}
}

static void drop_early(struct kcolo_flow *flow)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->early, list) {
		kcolo_count(flow->pair, SECONDARY_STALE);
		drop_s(flow, held);
	}
}

/**
 * kcolo_dflow_sync() - carry a commit through in one flow of datagrams (C2)
 * @flow: locked by the caller, who drains it
 * @phase: of the pair
 */
void kcolo_dflow_sync(struct kcolo_flow *flow, struct kcolo_phase phase)
{
	struct kcolo_held *held, *next;

	flow->epoch = phase.epoch;
	flow->asked = false;
	flow->frozen = false;
	drop_queued(flow, KCOLO_A_STATS_SECONDARY_STALE);
	/* What came after the barrier has not been compared with anything yet. */
	list_for_each_entry_safe(held, next, &flow->held, list) {
		if (held->gen == phase.gen)
			continue;
		kcolo_dgram_remove(KCOLO_P, &held->dg);
		kcolo_flow_let_out(flow, held);
	}
	take_early(flow, kcolo_tag(phase.epoch));
	advance(flow);
}

/**
 * kcolo_dflow_resume() - go on after an abort, as if nothing had been (C3)
 * @flow: locked by the caller, who drains it
 * @phase: of the pair
 */
void kcolo_dflow_resume(struct kcolo_flow *flow, struct kcolo_phase phase)
{
	struct kcolo_held *held, *next;
	LIST_HEAD(queued);

	flow->frozen = false;
	list_splice_init(&flow->queued, &queued);
	list_for_each_entry(held, &queued, list)
		kcolo_dgram_remove(KCOLO_S, &held->dg);
	list_for_each_entry_safe(held, next, &queued, list) {
		list_del(&held->list);
		take_s(flow, held);
	}
	take_early(flow, kcolo_tag(phase.epoch));
	advance(flow);
}

static struct kcolo_held *hold(struct kcolo_pair *pair,
			       const struct kcolo_held *as, struct sk_buff *skb,
			       const struct nf_hook_state *state, bool forward)
{
	struct kcolo_held *held = kcolo_hold(pair, skb, state, forward,
					     ktime_get_mono_fast_ns());

	if (!held) {
		kcolo_count(pair, NOMEM);
		return NULL;
	}
	held->dg = as->dg;
	held->l4 = as->l4;
	return held;
}

/* Nothing stands between a compared datagram and the client (R12). */
static bool leaves_at_once(const struct kcolo_flow *flow,
			   const struct kcolo_dgram *dg)
{
	return dg->matched && list_empty(&flow->outbox) && !flow->releasing &&
	       !READ_ONCE(flow->pair->flushing) &&
	       kcolo_dgram_may_leave(&flow->dgrams, dg->since, window(flow));
}

/* The locked part of kcolo_dflow_vm(). */
static unsigned int take_p(struct kcolo_flow *flow, struct kcolo_phase phase,
			   struct kcolo_held *as, struct sk_buff *skb,
			   const struct nf_hook_state *state)
{
	bool running = phase.state == KCOLO_STATE_RUNNING;
	struct kcolo_pair *pair = flow->pair;
	struct kcolo_dgram *s = NULL;
	struct kcolo_held *held;

	if (phase.state == KCOLO_STATE_BYPASS)
		return PASS_BYPASS;
	kcolo_primary_sync(flow, phase);
	flow->used = jiffies;
	kcolo_dgram_number(&flow->dgrams, KCOLO_P, &as->dg);
	if (running)
		s = kcolo_dgram_meet(&flow->dgrams, KCOLO_P, &as->dg, equal);
	else
		flow->frozen = true;
	if (s) {
		found(flow, &as->dg, s);
		drop_s(flow, held_of(s));
	}
	if (leaves_at_once(flow, &as->dg)) {
		kcolo_count(pair, PASSED);
		return NF_ACCEPT;
	}
	if (!kcolo_hold_room(pair, true, skb->truesize)) {
		if (as->dg.matched)
			return PASS_BEHIND;
		return kcolo_primary_refuse(pair, &flow->tuple, skb, -ENOSPC);
	}
	held = hold(pair, as, skb, state, true);
	if (!held)
		return NF_DROP;
	kcolo_count(pair, HOLD);
	held->gen = phase.gen;
	held->order = flow->order++;
	trace_hold(pair, held);
	list_add_tail(&held->list, &flow->held);
	kcolo_dgram_queue(&flow->dgrams, KCOLO_P, &held->dg);
	if (running)
		advance(flow);
	return NF_STOLEN;
}

/**
 * kcolo_dflow_vm() - a datagram of the guest
 * @pair: a primary pair
 * @pkt: the datagram, parsed
 * @skb: at the end of PRE_ROUTING
 * @state: the hook's
 *
 * Return: a verdict.
 */
unsigned int kcolo_dflow_vm(struct kcolo_pair *pair,
			    const struct kcolo_pkt *pkt, struct sk_buff *skb,
			    const struct nf_hook_state *state)
{
	struct kcolo_held as = {};
	enum kcolo_dgram_kind kind;
	struct kcolo_tuple tuple;
	struct kcolo_flow *flow;
	unsigned int verdict;

	if (unlikely(kcolo_segment_needed(skb)))
		return kcolo_segment(pair, skb, state, kcolo_dflow_vm, KCOLO_P);
	if (!read(&as, &tuple, pkt, skb, &kind)) {
		kcolo_count_drop(pair, MALFORMED, skb);
		return NF_DROP;
	}
	if (kind == KCOLO_DGRAM_TIMED) {
		kcolo_count(pair, UNCOMPARED_TIMED);
		return kcolo_hold_behind(pair, skb, state);
	}
	if (kcolo_rule_bypass(pair, &tuple)) {
		kcolo_count(pair, UNCOMPARED_RULE);
		return kcolo_hold_behind(pair, skb, state);
	}
again:
	flow = kcolo_flow_get(pair, &tuple);
	if (IS_ERR(flow))
		return kcolo_primary_refuse(pair, &tuple, skb, PTR_ERR(flow));
	spin_lock(&flow->lock);
	if (unlikely(flow->dead)) {	/* and out of the table by now */
		spin_unlock(&flow->lock);
		goto again;
	}
	/* Under the lock it can only have moved on. */
	verdict = take_p(flow, kcolo_phase(pair), &as, skb, state);
	kcolo_flow_unlock(flow);
	if (verdict == PASS_BYPASS)
		kcolo_count(pair, UNCOMPARED_BYPASS);
	if (verdict == PASS_BYPASS || verdict == PASS_BEHIND)
		return kcolo_hold_behind(pair, skb, state);
	return verdict;
}

/* The locked part of kcolo_dflow_peer(); returns whether the skb was kept. */
static bool hear_s(struct kcolo_flow *flow, struct kcolo_phase phase,
		   struct kcolo_held *as, struct sk_buff *skb,
		   const struct nf_hook_state *state, u8 tag)
{
	bool early = tag != kcolo_tag(phase.epoch);
	struct kcolo_dgrams *d = &flow->dgrams;
	struct kcolo_pair *pair = flow->pair;
	struct kcolo_dgram *p = NULL;
	struct kcolo_held *held;

	flow->used = jiffies;
	if (!early)
		kcolo_dgram_number(d, KCOLO_S, &as->dg);
	if (phase.state == KCOLO_STATE_RUNNING)
		p = kcolo_dgram_meet(d, KCOLO_S, &as->dg, equal);
	else
		flow->frozen = true;
	if (p) {
		found(flow, p, &as->dg);
		advance(flow);
		return false;
	}
	if (!kcolo_hold_room(pair, false, skb->truesize)) {
		refuse_s(pair, &flow->tuple);
		return false;
	}
	held = hold(pair, as, skb, state, false);
	if (!held)
		return false;
	held->tag = tag;
	if (early) {
		list_add_tail(&held->list, &flow->early);
		return true;
	}
	list_add_tail(&held->list, &flow->queued);
	kcolo_dgram_queue(d, KCOLO_S, &held->dg);
	if (phase.state == KCOLO_STATE_RUNNING)
		advance(flow);
	return true;
}

/* R10: the secondary must not fill the table with flows that are its own. */
static struct kcolo_flow *flow_for_s(struct kcolo_pair *pair,
				     const struct kcolo_tuple *tuple)
{
	if (atomic_read(&pair->flow_n) < READ_ONCE(pair->cfg.max_flows) / 2)
		return kcolo_flow_get(pair, tuple);
	return kcolo_flow_find(pair, tuple);
}

/**
 * kcolo_dflow_peer() - a datagram of the secondary, consumed whatever it is (S1)
 * @pair: a primary pair
 * @pkt: the datagram, parsed
 * @skb: at PRE_ROUTING, before conntrack
 * @state: the hook's
 *
 * Return: a verdict, never NF_ACCEPT.
 */
unsigned int kcolo_dflow_peer(struct kcolo_pair *pair,
			      const struct kcolo_pkt *pkt, struct sk_buff *skb,
			      const struct nf_hook_state *state)
{
	struct kcolo_held as = {};
	enum kcolo_dgram_kind kind;
	struct kcolo_phase phase;
	struct kcolo_tuple tuple;
	struct kcolo_flow *flow;
	bool kept = false;
	u8 tag;

	if (unlikely(kcolo_segment_needed(skb)))
		return kcolo_segment(pair, skb, state, kcolo_dflow_peer,
				     KCOLO_S);
	if (!read(&as, &tuple, pkt, skb, &kind)) {
		kcolo_count(pair, SECONDARY_MALFORMED);
		return NF_DROP;
	}
	if (kind == KCOLO_DGRAM_TIMED) {
		kcolo_count(pair, SECONDARY_IGNORED);
		return NF_DROP;
	}
	if (kcolo_rule_bypass(pair, &tuple)) {
		kcolo_count(pair, SECONDARY_RULE);
		return NF_DROP;
	}
	tag = pkt->tuple.v6 ? ipv6_hdr(skb)->hop_limit : ip_hdr(skb)->ttl;
	if (!kcolo_primary_tag_fits(pair, kcolo_phase(pair), tag))
		return NF_DROP;
again:
	flow = flow_for_s(pair, &tuple);
	if (IS_ERR_OR_NULL(flow)) {
		if (flow == ERR_PTR(-ENOMEM))
			kcolo_count(pair, NOMEM);
		else
			refuse_s(pair, &tuple);
		return NF_DROP;
	}
	spin_lock(&flow->lock);
	if (unlikely(flow->dead)) {
		spin_unlock(&flow->lock);
		goto again;
	}
	phase = kcolo_phase(pair);	/* under the lock it can only have moved on */
	kcolo_primary_sync(flow, phase);
	if (kcolo_primary_tag_fits(pair, phase, tag))
		kept = hear_s(flow, phase, &as, skb, state, tag);
	kcolo_flow_unlock(flow);
	if (!kept)
		consume_skb(skb);
	return NF_STOLEN;
}

/* Takes an empty flow out of the table. */
static void forget(struct kcolo_flow *flow)
{
	struct kcolo_pair *pair = flow->pair;

	spin_lock(&pair->out_lock);
	list_del_init(&flow->late);
	spin_unlock(&pair->out_lock);
	kcolo_flow_remove(flow);
}

/* R8: what P never says ages out. */
static void drop_surplus(struct kcolo_flow *flow, u64 now)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->queued, list) {
		if ((s64)(now - held->since) <= (s64)timeout_ns(flow))
			return;
		kcolo_count(flow->pair, SECONDARY_SURPLUS);
		kcolo_dgram_remove(KCOLO_S, &held->dg);
		drop_s(flow, held);
	}
}

/* R9: P's oldest, if it has found no partner in time. */
static struct kcolo_dgram *overdue(const struct kcolo_flow *flow, u64 now)
{
	struct kcolo_dgram *p = kcolo_dgram_oldest(&flow->dgrams, KCOLO_P);

	return p && (s64)(now - p->since) > (s64)timeout_ns(flow) ? p : NULL;
}

static void seek_partner(struct kcolo_flow *flow, u64 now)
{
	struct kcolo_dgram *p = overdue(flow, now);

	if (flow->asked || !p)
		return;
	kcolo_count(flow->pair, TIMEOUTS);
	trace_old_packet_check_found(flow->pair, held_of(p));
	ask(flow, KCOLO_REASON_TIMEOUT, p, NULL);
	for (; p && kcolo_observes(flow->pair); p = overdue(flow, now))
		give_up(flow, p, NULL);
}

/* A flow is only needed while it has datagrams; a full table needs the room. */
static bool idle_too_long(const struct kcolo_flow *flow)
{
	const struct kcolo_pair *pair = flow->pair;

	return atomic_read(&pair->flow_n) > READ_ONCE(pair->cfg.max_flows) / 4 ||
	       time_after(jiffies, flow->used + IDLE);
}

/**
 * kcolo_dflow_scan() - look for datagrams without partner, end an old flow
 * @flow: locked by the caller, who drains it; alive
 * @now: when the scan began, ns
 */
void kcolo_dflow_scan(struct kcolo_flow *flow, u64 now)
{
	if (kcolo_state(flow->pair) == KCOLO_STATE_RUNNING) {
		advance(flow);	/* the timeout may have been set anew */
		seek_partner(flow, now);
		drop_surplus(flow, now);
	}
	if (list_empty(&flow->held) && list_empty(&flow->queued) &&
	    list_empty(&flow->early) && list_empty(&flow->outbox) &&
	    !flow->releasing && idle_too_long(flow))
		forget(flow);
}

/**
 * kcolo_dflow_let_go() - let all of a flow's datagrams leave, forget it (F2, F4)
 * @flow: locked by the caller, who drains it
 */
void kcolo_dflow_let_go(struct kcolo_flow *flow)
{
	struct kcolo_held *held, *next;

	if (flow->dead)
		return;
	list_for_each_entry_safe(held, next, &flow->held, list) {
		kcolo_dgram_remove(KCOLO_P, &held->dg);
		kcolo_flow_let_out(flow, held);
	}
	drop_queued(flow, KCOLO_A_STATS_SECONDARY_DROPPED);
	drop_early(flow);
	forget(flow);
}

/**
 * kcolo_dflow_purge() - drop a flow's datagrams, a device or the pair goes away
 * @flow: locked by the caller
 * @dev: whose datagrams go; NULL: all, and the flow, too
 * @gone: the datagrams, for kcolo_hold_purge()
 */
void kcolo_dflow_purge(struct kcolo_flow *flow, const struct net_device *dev,
		       struct list_head *gone)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, &flow->held, list) {
		if (!kcolo_hold_is_of(held, dev))
			continue;
		kcolo_dgram_remove(KCOLO_P, &held->dg);
		list_move_tail(&held->list, gone);
	}
	kcolo_hold_purge(flow->pair, &flow->outbox, dev);
	if (dev || flow->dead)
		return;
	drop_queued(flow, KCOLO_A_STATS_SECONDARY_DROPPED);
	drop_early(flow);
	forget(flow);
}

static struct kcolo_flow *next_late(struct kcolo_pair *pair,
				    struct list_head *list)
{
	struct kcolo_flow *flow;

	spin_lock(&pair->out_lock);
	flow = list_first_entry_or_null(list, struct kcolo_flow, late);
	if (flow)
		list_del_init(&flow->late);
	spin_unlock(&pair->out_lock);
	return flow;
}

static void look_late(struct kcolo_flow *flow)
{
	struct kcolo_phase phase;

	spin_lock(&flow->lock);
	if (!flow->dead) {
		/* A commit or an abort may not have come to this flow yet. */
		phase = kcolo_phase(flow->pair);
		kcolo_primary_sync(flow, phase);
		if (phase.state == KCOLO_STATE_RUNNING)
			advance(flow);
	}
	kcolo_flow_unlock(flow);
}

/* Returns false after the last flow of the list. */
static bool late_one(struct kcolo_pair *pair, struct list_head *list)
{
	struct kcolo_flow *flow;

	local_bh_disable();
	rcu_read_lock();
	flow = next_late(pair, list);
	if (flow)
		look_late(flow);
	rcu_read_unlock();
	local_bh_enable();
	return flow;
}

static void late_work(struct work_struct *work)
{
	struct kcolo_pair *pair = container_of(to_delayed_work(work),
					       struct kcolo_pair, late_work);
	unsigned int n = 0;
	LIST_HEAD(list);

	spin_lock_bh(&pair->out_lock);
	list_splice_init(&pair->late, &list);
	spin_unlock_bh(&pair->out_lock);
	while (late_one(pair, &list))
		if (++n % LATE_BURST == 0)
			cond_resched();
}

/**
 * kcolo_dflow_setup() - prepare a new pair
 * @pair: pair
 */
void kcolo_dflow_setup(struct kcolo_pair *pair)
{
	INIT_LIST_HEAD(&pair->late);
	INIT_DELAYED_WORK(&pair->late_work, late_work);
}

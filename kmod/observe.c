// SPDX-License-Identifier: GPL-2.0
/*
 * Mode observe: copies are compared, nothing is held (R14).
 *
 * A copy takes the way of the packet itself, but where that would go on it ends.
 * So nothing that a client sees depends on the secondary. There is nothing that a
 * checkpoint would release: instead of opening a request each difference is told, and
 * what differed is forgotten.
 */
#include <linux/slab.h>

#include "kcolo.h"

#define REPORTS_MAX 1024	/* differences that are not told yet */

/**
 * struct report - a difference that is to be told
 * @list: in kcolo_pair.reports
 * @what: it
 */
struct report {
	struct list_head list;
	struct kcolo_miscompare what;
};

static int sink(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	consume_skb(skb);
	return 0;
}

/**
 * kcolo_observe_vm() - a packet of the guest
 * @pair: a primary pair in mode observe
 * @skb: at the end of PRE_ROUTING
 * @state: the hook's
 *
 * Return: NF_ACCEPT, whatever becomes of the copy.
 */
unsigned int kcolo_observe_vm(struct kcolo_pair *pair, struct sk_buff *skb,
			      const struct nf_hook_state *state)
{
	struct sk_buff *copy = skb_clone(skb, GFP_ATOMIC);
	struct nf_hook_state ends = *state;

	if (!copy) {
		kcolo_count(pair, NOMEM);
		return NF_ACCEPT;
	}
	ends.okfn = sink;
	if (kcolo_primary_vm(pair, copy, &ends) != NF_STOLEN)
		consume_skb(copy);
	return NF_ACCEPT;
}

/* A limit is reached by many packets at once; once a scan says it all. */
static bool told_already(struct kcolo_pair *pair,
			 const struct kcolo_miscompare *what)
{
	unsigned long again = pair->overflow_told +
			      msecs_to_jiffies(READ_ONCE(pair->cfg.scan));

	if (what->reason != KCOLO_REASON_OVERFLOW)
		return false;
	if (pair->overflow_told && time_before(jiffies, again))
		return true;
	pair->overflow_told = jiffies | 1;
	return false;
}

/**
 * kcolo_observe_report() - tell a difference
 * @pair: pair, its request is locked
 * @what: the difference
 *
 * Context: any.
 */
void kcolo_observe_report(struct kcolo_pair *pair,
			  const struct kcolo_miscompare *what)
{
	struct report *report;

	if (told_already(pair, what))
		return;
	report = pair->report_n < REPORTS_MAX ?
		 kmalloc(sizeof(*report), GFP_ATOMIC) : NULL;
	if (!report) {
		kcolo_count(pair, EVENTS_LOST);
		return;
	}
	report->what = *what;
	pair->report_n++;
	list_add_tail(&report->list, &pair->reports);
	if (!READ_ONCE(pair->dead))
		queue_work(system_wq, &pair->report_work);
}

static struct report *next_report(struct kcolo_pair *pair)
{
	struct report *report;

	spin_lock_bh(&pair->request.lock);
	report = list_first_entry_or_null(&pair->reports, struct report, list);
	if (report) {
		list_del(&report->list);
		pair->report_n--;
	}
	spin_unlock_bh(&pair->request.lock);
	return report;
}

static void report_work(struct work_struct *work)
{
	struct kcolo_pair *pair = container_of(work, struct kcolo_pair,
					       report_work);
	struct report *report;

	while ((report = next_report(pair))) {
		kcolo_event_miscompare(pair, &report->what);
		kfree(report);
		cond_resched();
	}
}

/* Copies of what differed or found no partner would wait for ever. */
static void give_up(struct kcolo_flow *flow, void *data)
{
	bool over;

	spin_lock(&flow->lock);
	over = flow->asked || flow->cmp.state == KCOLO_CMP_DIFF;
	spin_unlock(&flow->lock);
	if (over)
		kcolo_primary_let_go(flow, data);
}

/**
 * kcolo_observe_scan() - forget connections that differ
 * @pair: a primary pair in mode observe
 *
 * Context: process.
 */
void kcolo_observe_scan(struct kcolo_pair *pair)
{
	kcolo_flow_walk(pair, give_up, NULL);
}

/**
 * kcolo_observe_set() - hold from now on, or observe
 * @pair: pair
 * @mode: enum kcolo_mode
 *
 * What a primary holds leaves, in order. The connections are forgotten: the client
 * may have been told what the secondary has not said (observe), or has not heard
 * of what is held (hold).
 * Context: process, kcolo_net.cfg held.
 */
void kcolo_observe_set(struct kcolo_pair *pair, u32 mode)
{
	if (pair->cfg.mode == mode)
		return;
	if (pair->role != KCOLO_ROLE_PRIMARY) {
		WRITE_ONCE(pair->cfg.mode, mode);
		return;
	}
	kcolo_hold_flush_begin(pair);
	WRITE_ONCE(pair->cfg.mode, mode);
	synchronize_rcu_expedited();
	kcolo_flow_walk(pair, kcolo_primary_let_go, NULL);
	kcolo_hold_flush_end(pair);
	kcolo_request_drop(pair);
}

/**
 * kcolo_observe_setup() - prepare a new pair
 * @pair: pair
 */
void kcolo_observe_setup(struct kcolo_pair *pair)
{
	INIT_LIST_HEAD(&pair->reports);
	INIT_WORK(&pair->report_work, report_work);
}

/**
 * kcolo_observe_end() - nothing more is told, the pair goes
 * @pair: pair, nobody uses it any more
 */
void kcolo_observe_end(struct kcolo_pair *pair)
{
	struct report *report;

	cancel_work_sync(&pair->report_work);
	while ((report = next_report(pair)))
		kfree(report);
}

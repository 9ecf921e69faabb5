// SPDX-License-Identifier: GPL-2.0
/* Checkpoint, bypass and failover: what a pair as a whole does (C0-C6, F1-F4). */
#include <linux/rcupdate.h>
#include <net/netlink.h>

#include "kcolo.h"
#include "trace.h"

/*
 * Packets that read the old phase are through when this returns, so the caller's
 * walk over the flows misses none of them.
 */
static void set_phase(struct kcolo_pair *pair, struct kcolo_phase phase)
{
	atomic64_set(&pair->phase, (u64)phase.epoch << 32 |
				   (u64)(phase.gen & KCOLO_GEN_MASK) << 8 |
				   phase.state);
	WRITE_ONCE(pair->phase_since, jiffies);
	trace_epoch(pair, &phase);
	synchronize_rcu_expedited();
}

static void sync_flow(struct kcolo_flow *flow, void *data)
{
	struct kcolo_phase *phase = data;

	spin_lock(&flow->lock);
	if (!flow->dead)
		kcolo_primary_sync(flow, *phase);
	kcolo_flow_unlock(flow);
}

static void resume_flow(struct kcolo_flow *flow, void *data)
{
	struct kcolo_phase *phase = data;

	spin_lock(&flow->lock);
	if (!flow->dead)
		kcolo_primary_resume(flow, *phase);
	kcolo_flow_unlock(flow);
}

/* C1, C6: what was sent until now belongs to the copied state. */
static void begin(struct kcolo_pair *pair)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	if (phase.state != KCOLO_STATE_CHECKPOINT)
		pair->before = phase.state;
	phase.state = KCOLO_STATE_CHECKPOINT;
	phase.gen++;
	set_phase(pair, phase);
	if (pair->role == KCOLO_ROLE_SECONDARY)
		kcolo_hold_back(pair);
	kcolo_request_begin(pair);
	kcolo_event_checkpoint(pair, KCOLO_ACTION_BEGIN, KCOLO_CAUSE_USER);
}

/* C2: the secondary holds the primary's state. */
static void commit(struct kcolo_pair *pair, u32 epoch)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	phase.epoch = epoch;
	phase.state = KCOLO_STATE_RUNNING;
	WRITE_ONCE(pair->adopting, true);
	atomic_set(&pair->foreign, 0);
	kcolo_hold_flush_begin(pair);
	set_phase(pair, phase);
	if (pair->role == KCOLO_ROLE_SECONDARY)
		kcolo_secondary_committed(pair);
	kcolo_flow_walk(pair, sync_flow, &phase);
	kcolo_hold_flush_end(pair);
	kcolo_count(pair, CHECKPOINTS);
	kcolo_request_end(pair, true);
	kcolo_event_checkpoint(pair, KCOLO_ACTION_COMMIT, KCOLO_CAUSE_USER);
}

/* F2, F4: everything held leaves in order; nothing is compared any more. */
static void bypass(struct kcolo_pair *pair)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	phase.state = KCOLO_STATE_BYPASS;
	kcolo_hold_flush_begin(pair);
	set_phase(pair, phase);
	kcolo_flow_walk(pair, kcolo_primary_let_go, NULL);
	kcolo_hold_flush_end(pair);
	kcolo_request_end(pair, true);
}

/* C3: as if begin had not happened. */
static void abort_checkpoint(struct kcolo_pair *pair, u8 cause)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	if (pair->before == KCOLO_STATE_BYPASS) {
		bypass(pair);
	} else {
		phase.state = pair->before;
		kcolo_hold_flush_begin(pair);
		set_phase(pair, phase);
		kcolo_flow_walk(pair, resume_flow, &phase);
		kcolo_hold_flush_end(pair);
		kcolo_request_end(pair, false);
	}
	kcolo_count(pair, ABORTS);
	kcolo_event_checkpoint(pair, KCOLO_ACTION_ABORT, cause);
}

/**
 * kcolo_checkpoint() - one step of a checkpoint
 * @pair: pair
 * @action: enum kcolo_action
 * @epoch: number of the commit, NULL for the next one
 * @extack: tells why not
 *
 * Context: process, kcolo_net.cfg held.
 * Return: 0 or -EINVAL.
 */
int kcolo_checkpoint(struct kcolo_pair *pair, u8 action, const u32 *epoch,
		     struct netlink_ext_ack *extack)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	if (phase.state == KCOLO_STATE_FAILOVER) {
		NL_SET_ERR_MSG(extack,
			       "the pair has failed over and has no primary to copy: delete it");
		return -EINVAL;
	}
	if (action == KCOLO_ACTION_BEGIN) {
		begin(pair);
		return 0;
	}
	/* C4: a repeated commit was carried out before and changes nothing. */
	if (action == KCOLO_ACTION_COMMIT && epoch && *epoch == phase.epoch)
		return 0;
	if (phase.state != KCOLO_STATE_CHECKPOINT) {
		NL_SET_ERR_MSG(extack,
			       "no checkpoint is under way: begin one first");
		return -EINVAL;
	}
	if (action == KCOLO_ACTION_COMMIT)
		commit(pair, epoch ? *epoch : phase.epoch + 1);
	else
		abort_checkpoint(pair, KCOLO_CAUSE_USER);
	return 0;
}

/* F1: the guest here serves the clients from now on. */
static int take_over(struct kcolo_pair *pair, const u32 *action,
		     struct netlink_ext_ack *extack)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	if (phase.state == KCOLO_STATE_FAILOVER)
		return 0;
	if (phase.state == KCOLO_STATE_CHECKPOINT) {
		if (!action || *action == KCOLO_ACTION_BEGIN) {
			NL_SET_ERR_MSG(extack,
				       "a checkpoint is under way: say commit if the secondary has loaded the primary's state, else abort");
			return -EINVAL;
		}
		if (*action == KCOLO_ACTION_COMMIT)
			commit(pair, phase.epoch + 1);
		else
			abort_checkpoint(pair, KCOLO_CAUSE_USER);
		phase = kcolo_phase(pair);
	}
	phase.state = KCOLO_STATE_FAILOVER;
	atomic_inc(&kcolo_net(pair->net)->failed_over);
	set_phase(pair, phase);
	return 0;
}

/**
 * kcolo_failover() - this side survives (F1, F2)
 * @pair: pair
 * @action: commit or abort, what becomes of a checkpoint under way (C3); NULL if
 *	the caller did not say. Does not matter to a primary.
 * @extack: tells why not
 *
 * Context: process, kcolo_net.cfg held.
 * Return: 0 or -EINVAL.
 */
int kcolo_failover(struct kcolo_pair *pair, const u32 *action,
		   struct netlink_ext_ack *extack)
{
	int err = 0;

	if (pair->role == KCOLO_ROLE_SECONDARY)
		err = take_over(pair, action, extack);
	else
		bypass(pair);
	if (!err)
		kcolo_event_pair(pair, KCOLO_CMD_PAIR_NTF, KCOLO_CAUSE_USER);
	return err;
}

/**
 * kcolo_checkpoint_watch() - end what nobody else ends (C3, F4)
 * @pair: pair
 *
 * Context: process, kcolo_net.cfg held.
 */
void kcolo_checkpoint_watch(struct kcolo_pair *pair)
{
	unsigned long limit = 10 * msecs_to_jiffies(pair->cfg.timeout);
	u32 state = kcolo_state(pair);

	if (state == KCOLO_STATE_CHECKPOINT &&
	    time_after(jiffies, pair->phase_since + limit)) {
		pr_warn("kcolo: pair %s: checkpoint neither committed nor aborted, aborted\n",
			pair->name);
		abort_checkpoint(pair, KCOLO_CAUSE_EXPIRED);
	} else if (state == KCOLO_STATE_RUNNING &&
		   pair->role == KCOLO_ROLE_PRIMARY &&
		   kcolo_request_unanswered(pair)) {
		pr_warn("kcolo: pair %s: request for a checkpoint unanswered, going to bypass\n",
			pair->name);
		bypass(pair);
		kcolo_event_pair(pair, KCOLO_CMD_PAIR_NTF,
				 KCOLO_CAUSE_UNANSWERED);
	}
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Events by netlink. Nothing is built unless somebody listens; an event that cannot be
 * built or delivered is counted, what it says can be seen by `pair show`.
 */
#include "nl.h"

static struct sk_buff *event_new(struct kcolo_pair *pair, int group, u8 cmd,
				 gfp_t gfp, void **hdr)
{
	struct sk_buff *msg;

	if (!genl_has_listeners(&kcolo_nl_family, pair->net, group))
		return NULL;
	msg = genlmsg_new(NLMSG_DEFAULT_SIZE, gfp);
	if (msg) {
		*hdr = genlmsg_put(msg, 0, 0, &kcolo_nl_family, 0, cmd);
		if (*hdr && !kcolo_nl_put_name(msg, pair))
			return msg;
		nlmsg_free(msg);
	}
	kcolo_count(pair, EVENTS_LOST);
	return NULL;
}

static bool event_send(struct kcolo_pair *pair, int group, struct sk_buff *msg,
		       void *hdr, gfp_t gfp, bool full)
{
	int err;

	if (full) {
		nlmsg_free(msg);
		kcolo_count(pair, EVENTS_LOST);
		return false;
	}
	genlmsg_end(msg, hdr);
	err = genlmsg_multicast_netns(&kcolo_nl_family, pair->net, msg, 0,
				      group, gfp);
	/* -ESRCH: who listens does so in another namespace. */
	if (err && err != -ESRCH)
		kcolo_count(pair, EVENTS_LOST);
	return !err;
}

/**
 * kcolo_event_miscompare() - tell that a checkpoint is wanted
 * @pair: pair
 * @what: why
 *
 * Context: process.
 * Return: true if somebody was listening.
 */
bool kcolo_event_miscompare(struct kcolo_pair *pair,
			    const struct kcolo_miscompare *what)
{
	struct sk_buff *msg;
	bool full;
	void *hdr;

	msg = event_new(pair, KCOLO_NLGRP_MISCOMPARE, KCOLO_CMD_MISCOMPARE_NTF,
			GFP_KERNEL, &hdr);
	if (!msg)
		return false;
	full = nla_put_u32(msg, KCOLO_A_EPOCH, kcolo_phase(pair).epoch) ||
	       kcolo_nl_put_miscompare(msg, what);
	return event_send(pair, KCOLO_NLGRP_MISCOMPARE, msg, hdr, GFP_KERNEL,
			  full);
}

/**
 * kcolo_event_checkpoint() - tell that a checkpoint began or ended
 * @pair: pair
 * @action: enum kcolo_action
 * @cause: enum kcolo_cause
 *
 * Context: process.
 */
void kcolo_event_checkpoint(struct kcolo_pair *pair, u8 action, u8 cause)
{
	struct sk_buff *msg;
	bool full;
	void *hdr;

	msg = event_new(pair, KCOLO_NLGRP_CHECKPOINT, KCOLO_CMD_CHECKPOINT_NTF,
			GFP_KERNEL, &hdr);
	if (!msg)
		return;
	full = nla_put_u32(msg, KCOLO_A_EPOCH, kcolo_phase(pair).epoch) ||
	       nla_put_u32(msg, KCOLO_A_ACTION, action) ||
	       nla_put_u32(msg, KCOLO_A_CAUSE, cause);
	event_send(pair, KCOLO_NLGRP_CHECKPOINT, msg, hdr, GFP_KERNEL, full);
}

/**
 * kcolo_event_pair() - tell that a pair came, changed or went
 * @pair: pair
 * @cmd: KCOLO_CMD_PAIR_NTF or KCOLO_CMD_PAIR_DEL_NTF
 * @cause: enum kcolo_cause
 *
 * Context: process.
 */
void kcolo_event_pair(struct kcolo_pair *pair, u8 cmd, u8 cause)
{
	struct kcolo_phase phase = kcolo_phase(pair);
	struct sk_buff *msg;
	bool full;
	void *hdr;

	msg = event_new(pair, KCOLO_NLGRP_PAIR, cmd, GFP_KERNEL, &hdr);
	if (!msg)
		return;
	full = nla_put_u32(msg, KCOLO_A_CAUSE, cause);
	if (cmd == KCOLO_CMD_PAIR_NTF)
		full = full || kcolo_nl_put_ports(msg, pair) ||
		       nla_put_u32(msg, KCOLO_A_ROLE, pair->role) ||
		       nla_put_u32(msg, KCOLO_A_STATE, phase.state) ||
		       nla_put_u32(msg, KCOLO_A_EPOCH, phase.epoch);
	event_send(pair, KCOLO_NLGRP_PAIR, msg, hdr, GFP_KERNEL, full);
}

/**
 * kcolo_event_flow() - tell that a connection changed its state
 * @flow: not locked by the caller
 *
 * Context: RCU, any.
 */
void kcolo_event_flow(struct kcolo_flow *flow)
{
	struct kcolo_pair *pair = flow->pair;
	struct kcolo_tuple tuple;
	struct sk_buff *msg;
	bool full;
	void *hdr;

	msg = event_new(pair, KCOLO_NLGRP_FLOW, KCOLO_CMD_FLOW_NTF, GFP_ATOMIC,
			&hdr);
	if (!msg)
		return;
	spin_lock_bh(&flow->lock);
	kcolo_flow_tuple(flow, &tuple);
	full = kcolo_nl_put_tuple(msg, &tuple) ||
	       nla_put_u32(msg, KCOLO_A_FLOW_STATE, kcolo_flow_state(flow)) ||
	       (kcolo_cmp_offset_ok(&flow->cmp) &&
		nla_put_u32(msg, KCOLO_A_OFFSET, kcolo_cmp_offset(&flow->cmp)));
	spin_unlock_bh(&flow->lock);
	event_send(pair, KCOLO_NLGRP_FLOW, msg, hdr, GFP_ATOMIC, full);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * All connections of a pair on the secondary host: shown, restored (F3), counted, and
 * the module kept while one of them is translated (S5, W7).
 */
#include <linux/tcp.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_l4proto.h>
#include <net/netfilter/nf_conntrack_seqadj.h>

#include "conn.h"
#include "known.h"
#include "secondary.h"
#include "zone.h"

#define COUNT_PERIOD	(10 * HZ)	/* between two walks through conntrack */

static enum kcolo_flow_state flow_state(const struct nf_conn *ct)
{
	switch (READ_ONCE(ct->proto.tcp.state)) {
	case TCP_CONNTRACK_SYN_SENT:
	case TCP_CONNTRACK_SYN_SENT2:
	case TCP_CONNTRACK_SYN_RECV:
		return KCOLO_FLOW_STATE_OPENING;
	case TCP_CONNTRACK_ESTABLISHED:
		return KCOLO_FLOW_STATE_ESTABLISHED;
	case TCP_CONNTRACK_FIN_WAIT:
	case TCP_CONNTRACK_CLOSE_WAIT:
	case TCP_CONNTRACK_LAST_ACK:
		return KCOLO_FLOW_STATE_CLOSING;
	default:
		return KCOLO_FLOW_STATE_CLOSED;
	}
}

/* Describes a conntrack of the pair, in the direction of its opener. */
static bool describe(const struct kcolo_pair *pair, struct nf_conn *ct,
		     struct kcolo_secondary_flow *info)
{
	const struct nf_conntrack_tuple *t =
		&ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple;
	u32 epoch = kcolo_phase(pair).epoch & KCOLO_CONN_EPOCH;
	const struct kcolo_zone *zone;
	unsigned long keep, left;
	struct kcolo_conn conn;

	zone = kcolo_zone_of(ct);
	if (!net_eq(nf_ct_net(ct), pair->net) || !zone || zone->pair != pair ||
	    nf_ct_is_expired(ct) || !kcolo_conn_peek(&conn, ct))
		return false;
	memset(info, 0, sizeof(*info));
	info->tuple.vlan = zone->vlan;
	info->tuple.v6 = nf_ct_l3num(ct) == NFPROTO_IPV6;
	info->tuple.proto = IPPROTO_TCP;
	memcpy(&info->tuple.src, &t->src.u3, sizeof(info->tuple.src));
	memcpy(&info->tuple.dst, &t->dst.u3, sizeof(info->tuple.dst));
	info->tuple.sport = t->src.u.tcp.port;
	info->tuple.dport = t->dst.u.tcp.port;
	info->state = flow_state(ct);
	info->from_vm = conn.in == IP_CT_DIR_REPLY;
	info->offset_ok = true;
	info->dormant_ok = conn.flags & KCOLO_CONN_DORMANT;
	info->dormant = conn.dormant;
	info->ts_dormant = conn.ts_dormant;
	info->translated = kcolo_conn_to_come(&conn) ||
			   (info->dormant_ok &&
			    info->state != KCOLO_FLOW_STATE_CLOSED);
	if (conn.epoch != epoch)
		return true;	/* reset by its next packet */
	info->offset = conn.offset;
	info->offset_ok = conn.state >= KCOLO_CONN_LEARNT;
	info->tsoffset = conn.ts.off;
	/* After a reset nobody knows yet whether timestamps are in use. */
	info->tsoffset_ok = kcolo_conn_ts_ok(&conn);
	info->translated |= kcolo_conn_translated(&conn) &&
			    info->state != KCOLO_FLOW_STATE_CLOSED;
	keep = kcolo_conn_keep_for(ct, kcolo_conn_to_come(&conn));
	left = nf_ct_expires(ct);
	info->idle_ok = info->translated && left <= keep * HZ;
	info->idle = jiffies_to_msecs(keep * HZ - left);
	return true;
}

/* One bucket of conntrack; its lock is held. */
static int walk_bucket(struct kcolo_pair *pair, struct kcolo_cursor *at,
		       int (*fn)(const struct kcolo_secondary_flow *, void *),
		       void *data)
{
	struct nf_conntrack_tuple_hash *h;
	struct kcolo_secondary_flow info;
	struct hlist_nulls_node *n;
	unsigned int seen = 0;
	int err;

	if (at->bucket >= nf_conntrack_htable_size)	/* it has shrunk */
		return 0;
	hlist_nulls_for_each_entry(h, n, &nf_conntrack_hash[at->bucket],
				   hnnode) {
		if (NF_CT_DIRECTION(h) != IP_CT_DIR_ORIGINAL ||
		    !describe(pair, nf_ct_tuplehash_to_ctrack(h), &info) ||
		    seen++ < at->index)
			continue;
		err = fn(&info, data);
		if (err)
			return err;
		at->index = seen;
	}
	return 0;
}

/**
 * kcolo_secondary_walk() - do something with every connection of a pair
 * @pair: a secondary pair
 * @at: where to begin; where it ended
 * @fn: called with a lock held and bottom halves off; not 0 ends the walk
 * @data: for @fn
 *
 * Context: process.
 * Return: what @fn returned last; the walk can go on with the same connection.
 */
int kcolo_secondary_walk(struct kcolo_pair *pair, struct kcolo_cursor *at,
			 int (*fn)(const struct kcolo_secondary_flow *, void *),
			 void *data)
{
	int err, i;

	for (; at->bucket < nf_conntrack_htable_size; at->bucket++) {
		i = at->bucket % CONNTRACK_LOCKS;
		local_bh_disable();
		nf_conntrack_lock(&nf_conntrack_locks[i]);
		__acquire(&nf_conntrack_locks[i]);
		err = walk_bucket(pair, at, fn, data);
		spin_unlock(&nf_conntrack_locks[i]);
		local_bh_enable();
		if (err)
			return err;
		at->index = 0;
		if (at->bucket % 1024 == 0)
			cond_resched();
	}
	return 0;
}

/* Writes what is to come into a connection that is not translated here. */
static int set_dormant(struct kcolo_pair *pair, struct nf_conn *ct,
		       enum ip_conntrack_dir in,
		       const struct kcolo_secondary_flow *info)
{
	struct kcolo_conn conn;
	int err = -ENOENT;

	spin_lock_bh(&ct->lock);
	if (!kcolo_conn_load(&conn, ct, in))
		goto unlock;
	err = -EOPNOTSUPP;
	if (info->tsoffset && !conn.ts_room)
		goto unlock;
	err = -EEXIST;
	if (conn.state != KCOLO_CONN_NEW && conn.epoch ==
	    (kcolo_phase(pair).epoch & KCOLO_CONN_EPOCH) &&
	    (conn.state < KCOLO_CONN_FIXED || conn.offset))
		goto unlock;
	if (!(conn.flags & KCOLO_CONN_DORMANT)) {
		kcolo_conn_reset(pair, &conn, kcolo_phase(pair).epoch);
		conn.flags |= KCOLO_CONN_DORMANT;
	}
	conn.dormant = info->offset;
	conn.ts_dormant = info->tsoffset;
	kcolo_conn_store(&conn);
	err = 0;
unlock:
	spin_unlock_bh(&ct->lock);
	return err;
}

/**
 * kcolo_secondary_restore() - take over a translation that another host made (F3)
 * @pair: a secondary pair that has not failed over
 * @info: tuple, opener and offsets
 *
 * It belongs to a connection that the guest gets with the next commit, is dormant
 * until this host fails over, and dies when the guest opens the tuple anew.
 *
 * Context: process, kcolo_net.cfg held.
 * Return: 0; -EEXIST if the connection was opened anew; -ENOSPC at max-flows;
 * -EOPNOTSUPP if this kernel has no room for timestamps; -ENOMEM.
 */
int kcolo_secondary_restore(struct kcolo_pair *pair,
			    const struct kcolo_secondary_flow *info)
{
	struct kcolo_tuple guest = info->tuple;
	enum ip_conntrack_dir dir;
	struct nf_conn *ct;
	int err, tries;

	if (!info->from_vm)
		kcolo_tuple_reverse(&guest, &info->tuple);
	/* Mirrored packets may have made a conntrack without room for state. */
	for (tries = 0; tries < 8; tries++) {
		ct = kcolo_conn_get(pair, &guest, &dir);
		if (ct) {
			err = set_dormant(pair, ct, !dir, info);
			if (err == -ENOENT)
				nf_ct_delete(ct, 0, 0);
			nf_ct_put(ct);
			if (err != -ENOENT)
				break;
		}
		err = -ENOSPC;
		if (atomic_read(&pair->flow_n) >= READ_ONCE(pair->cfg.max_flows))
			break;
		ct = kcolo_conn_make(pair, &info->tuple, info->from_vm);
		err = PTR_ERR_OR_ZERO(ct);
		if (err == -EEXIST)
			continue;
		if (err)
			break;
		err = set_dormant(pair, ct, info->from_vm ? IP_CT_DIR_REPLY :
				  IP_CT_DIR_ORIGINAL, info);
		if (err)
			nf_ct_delete(ct, 0, 0);
		else
			atomic_inc(&pair->flow_n);
		nf_ct_put(ct);
		break;
	}
	if (err)
		return err;
	kcolo_known_add(pair, &guest);
	kcolo_secondary_pin(pair);
	return 0;
}

/**
 * struct census - what a walk counts
 * @pair: whose
 * @live: connections that are not closed, or are to come
 * @translated: those of them that are translated
 * @note: note them as known
 */
struct census {
	struct kcolo_pair *pair;
	u32 live;
	u32 translated;
	bool note;
};

static int count_one(const struct kcolo_secondary_flow *info, void *data)
{
	struct census *n = data;
	struct kcolo_tuple tuple;

	n->live += info->state != KCOLO_FLOW_STATE_CLOSED || info->translated;
	n->translated += info->translated;
	if (!n->note || !info->translated)
		return 0;
	if (info->from_vm)
		tuple = info->tuple;
	else
		kcolo_tuple_reverse(&tuple, &info->tuple);
	kcolo_known_add(n->pair, &tuple);
	return 0;
}

/**
 * kcolo_secondary_count() - count the live translated connections (S5, W7)
 * @pair: a secondary pair
 *
 * Context: process.
 * Return: their number.
 */
u32 kcolo_secondary_count(struct kcolo_pair *pair)
{
	struct census n = { .pair = pair };
	struct kcolo_cursor at = {};

	kcolo_secondary_walk(pair, &at, count_one, &n);
	return n.translated;
}

/**
 * kcolo_secondary_committed() - nothing is translated any more (C2)
 * @pair: a secondary pair
 *
 * Context: process.
 */
void kcolo_secondary_committed(struct kcolo_pair *pair)
{
	kcolo_known_clear(pair);
}

/**
 * kcolo_secondary_pin() - keep the module while connections are translated (S5)
 * @pair: a secondary pair
 */
void kcolo_secondary_pin(struct kcolo_pair *pair)
{
	if (!test_bit(0, &pair->pinned) &&
	    !test_and_set_bit(0, &pair->pinned))
		__module_get(THIS_MODULE);
}

/**
 * kcolo_secondary_unpin() - undo kcolo_secondary_pin()
 * @pair: a secondary pair
 */
void kcolo_secondary_unpin(struct kcolo_pair *pair)
{
	if (test_and_clear_bit(0, &pair->pinned))
		module_put(THIS_MODULE);
}

/**
 * kcolo_secondary_scan() - count what lives; let the module go when nothing is
 *	translated any more
 * @pair: a secondary pair
 *
 * Context: process.
 */
void kcolo_secondary_scan(struct kcolo_pair *pair)
{
	bool full = atomic_read(&pair->flow_n) >= READ_ONCE(pair->cfg.max_flows);
	struct census n = { .pair = pair, .note = true };
	struct kcolo_cursor at = {};
	bool pinned;

	if (!atomic_read(&pair->flow_n) ||
	    (!full && time_before(jiffies, pair->walked + COUNT_PERIOD)))
		return;
	pair->walked = jiffies;
	/* Keep the reference while counting; who learns meanwhile takes its own. */
	pinned = test_and_clear_bit(0, &pair->pinned);
	kcolo_known_begin(pair);
	kcolo_secondary_walk(pair, &at, count_one, &n);
	kcolo_known_end(pair);
	atomic_set(&pair->flow_n, n.live);
	if (!pinned || (n.translated && !test_and_set_bit(0, &pair->pinned)))
		return;
	module_put(THIS_MODULE);
}

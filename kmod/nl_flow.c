// SPDX-License-Identifier: GPL-2.0
/* Flows by netlink: dumps, and connections that another host has translated before (F3). */
#include <net/netfilter/nf_conntrack.h>

#include "nl.h"
#include "secondary.h"

#define BUCKETS_AT_ONCE 1024	/* of a dump, between two chances to reschedule */

/**
 * struct flow_dump - a dump of flows under way
 * @skb: message
 * @cb: callback; args[1] bucket, args[2] flows of it done
 * @pair: pair
 * @at: the same as args[1] and args[2], of a secondary
 * @bucket: of the flow that was put last, -1 at first
 * @mark: length of @skb in front of the first flow of @bucket
 * @index: args[2] at that place
 *
 * A bucket is put as a whole wherever a message has room for it: between two
 * messages its flows may change, and counting them would be wrong then.
 */
struct flow_dump {
	struct sk_buff *skb;
	struct netlink_callback *cb;
	struct kcolo_pair *pair;
	struct kcolo_cursor at;
	long bucket;
	unsigned int mark;
	long index;
};

/* Before a flow is put that is number @index of its bucket. */
static void enter_bucket(struct flow_dump *d, long bucket, long index)
{
	if (bucket == d->bucket)
		return;
	d->bucket = bucket;
	d->mark = d->skb->len;
	d->index = index;
}

/* The message is full in @bucket: says with which of its flows the next begins. */
static long leave_bucket(struct flow_dump *d, long bucket, long index)
{
	if (bucket != d->bucket || !d->mark)
		return index;
	nlmsg_trim(d->skb, d->skb->data + d->mark);
	return d->index;
}

static bool addr_matches(struct nlattr *want, const struct kcolo_addr *a, bool v6)
{
	return !want || (nla_len(want) == (v6 ? 16 : 4) &&
			 !memcmp(nla_data(want), a, nla_len(want)));
}

static bool tag_matches(struct nlattr *want, u32 tag)
{
	return !want || nla_get_u16(want) == (tag & KCOLO_VLAN_VID);
}

static bool flow_wanted(struct netlink_callback *cb,
			const struct kcolo_tuple *t)
{
	struct nlattr **attrs = genl_info_dump(cb)->attrs;

	return addr_matches(attrs[KCOLO_A_SRC], &t->src, t->v6) &&
	       addr_matches(attrs[KCOLO_A_DST], &t->dst, t->v6) &&
	       (!attrs[KCOLO_A_PROTO] ||
		nla_get_u8(attrs[KCOLO_A_PROTO]) == t->proto) &&
	       (!attrs[KCOLO_A_SPORT] ||
		nla_get_u16(attrs[KCOLO_A_SPORT]) == ntohs(t->sport)) &&
	       (!attrs[KCOLO_A_DPORT] ||
		nla_get_u16(attrs[KCOLO_A_DPORT]) == ntohs(t->dport)) &&
	       tag_matches(attrs[KCOLO_A_VLAN], kcolo_vlan_outer(t->vlan)) &&
	       tag_matches(attrs[KCOLO_A_CVLAN], kcolo_vlan_inner(t->vlan));
}

static void *flow_hdr(struct flow_dump *d, const struct kcolo_tuple *t, u8 state)
{
	void *hdr = kcolo_nl_dump_hdr(d->skb, d->cb, KCOLO_CMD_FLOW_GET);

	if (!hdr)
		return NULL;
	if (kcolo_nl_put_name(d->skb, d->pair) || kcolo_nl_put_tuple(d->skb, t) ||
	    nla_put_u32(d->skb, KCOLO_A_FLOW_STATE, state)) {
		genlmsg_cancel(d->skb, hdr);
		return NULL;
	}
	return hdr;
}

static int put_flow(struct sk_buff *msg, const struct kcolo_flow *flow)
{
	struct kcolo_held *held;
	u32 n = 0;
	u64 bytes = 0;

	list_for_each_entry(held, &flow->held, list) {
		n++;
		bytes += held->skb->len;
	}
	if (kcolo_cmp_offset_ok(&flow->cmp) &&
	    nla_put_u32(msg, KCOLO_A_OFFSET, kcolo_cmp_offset(&flow->cmp)))
		return -EMSGSIZE;
	if (nla_put_u32(msg, KCOLO_A_HELD, n) ||
	    kcolo_put_u64(msg, KCOLO_A_HELD_BYTES, bytes) ||
	    kcolo_put_u64(msg, KCOLO_A_IDLE,
			  jiffies_to_msecs(jiffies - flow->used)) ||
	    kcolo_put_u64(msg, KCOLO_A_COMPARED, flow->cmp.compared))
		return -EMSGSIZE;
	return 0;
}

static int dump_flow(struct flow_dump *d, struct kcolo_flow *flow)
{
	struct kcolo_tuple tuple;
	int err = 0;
	void *hdr;

	spin_lock(&flow->lock);
	kcolo_flow_tuple(flow, &tuple);
	if (flow->dead || !flow_wanted(d->cb, &tuple))
		goto unlock;
	hdr = flow_hdr(d, &tuple, kcolo_flow_state(flow));
	err = hdr ? put_flow(d->skb, flow) : -EMSGSIZE;
	if (!err)
		genlmsg_end(d->skb, hdr);
	else if (hdr)
		genlmsg_cancel(d->skb, hdr);
unlock:
	spin_unlock(&flow->lock);
	return err;
}

static int dump_primary(struct flow_dump *d)
{
	struct kcolo_pair *pair = d->pair;
	struct kcolo_flow *flow;
	long index, *bucket = &d->cb->args[1];
	int err = 0;

	for (; *bucket <= pair->flow_mask; ++*bucket) {
		if (*bucket % BUCKETS_AT_ONCE == 0)
			cond_resched();
		index = 0;
		local_bh_disable();
		rcu_read_lock();
		hlist_for_each_entry_rcu(flow, &pair->flows[*bucket], node) {
			if (index++ < d->cb->args[2])
				continue;
			enter_bucket(d, *bucket, d->cb->args[2]);
			err = dump_flow(d, flow);
			if (err)
				break;
			d->cb->args[2] = index;
		}
		rcu_read_unlock();
		local_bh_enable();
		if (err) {
			d->cb->args[2] = leave_bucket(d, *bucket,
						      d->cb->args[2]);
			return err;
		}
		d->cb->args[2] = 0;
	}
	return 0;
}

static int dump_secondary_one(const struct kcolo_secondary_flow *info,
			      void *data)
{
	struct flow_dump *d = data;
	void *hdr;

	if (!flow_wanted(d->cb, &info->tuple))
		return 0;
	enter_bucket(d, d->at.bucket, d->at.index);
	hdr = flow_hdr(d, &info->tuple, info->state);
	if (!hdr)
		return -EMSGSIZE;
	if ((info->offset_ok &&
	     nla_put_u32(d->skb, KCOLO_A_OFFSET, info->offset)) ||
	    (info->tsoffset_ok &&
	     nla_put_s32(d->skb, KCOLO_A_TSOFFSET, info->tsoffset)) ||
	    (info->from_vm && nla_put_flag(d->skb, KCOLO_A_ACTIVE_OPEN)) ||
	    (info->dormant_ok &&
	     (nla_put_u32(d->skb, KCOLO_A_DORMANT_OFFSET, info->dormant) ||
	      nla_put_s32(d->skb, KCOLO_A_DORMANT_TSOFFSET,
			  info->ts_dormant))) ||
	    (info->idle_ok &&
	     kcolo_put_u64(d->skb, KCOLO_A_IDLE, info->idle))) {
		genlmsg_cancel(d->skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(d->skb, hdr);
	return 0;
}

static int dump_secondary(struct flow_dump *d)
{
	int err;

	d->at = (struct kcolo_cursor){ d->cb->args[1], d->cb->args[2] };
	err = kcolo_secondary_walk(d->pair, &d->at, dump_secondary_one, d);
	if (err)
		d->at.index = leave_bucket(d, d->at.bucket, d->at.index);
	d->cb->args[1] = d->at.bucket;
	d->cb->args[2] = d->at.index;
	return err;
}

static int check_addr(struct netlink_callback *cb, int attr)
{
	struct nlattr *addr = genl_info_dump(cb)->attrs[attr];

	if (!addr || nla_len(addr) == 4 || nla_len(addr) == 16)
		return 0;
	NL_SET_ERR_MSG_ATTR(cb->extack, addr,
			    "an address has 4 bytes (IPv4) or 16 (IPv6)");
	return -EINVAL;
}

static int dump_flows(struct sk_buff *skb, struct netlink_callback *cb,
		      struct kcolo_pair *pair)
{
	struct flow_dump d = { .skb = skb, .cb = cb, .pair = pair, .bucket = -1 };

	return pair->role == KCOLO_ROLE_PRIMARY ? dump_primary(&d) :
						  dump_secondary(&d);
}

int kcolo_nl_flow_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	int err = check_addr(cb, KCOLO_A_SRC) ?: check_addr(cb, KCOLO_A_DST);

	if (err)
		return err;
	/* Buckets of a secondary are conntrack's, whose number may change. */
	return kcolo_nl_dump(skb, cb, nf_conntrack_htable_size, dump_flows);
}

static int refuse(struct genl_info *info, int attr, int err, const char *why)
{
	if (info->attrs[attr])
		NL_SET_BAD_ATTR(info->extack, info->attrs[attr]);
	NL_SET_ERR_MSG_FMT(info->extack, "%s", why);
	return err;
}

static int read_addr(struct genl_info *info, int attr, struct kcolo_addr *to,
		     bool v6)
{
	struct nlattr *addr = info->attrs[attr];

	if (!addr || nla_len(addr) != (v6 ? 16 : 4))
		return refuse(info, attr, -EINVAL,
			      "src and dst are both needed, as 4 bytes (IPv4) or as 16 (IPv6)");
	memcpy(to, nla_data(addr), nla_len(addr));
	return 0;
}

static int read_port(struct genl_info *info, int attr, __be16 *to)
{
	u16 port = info->attrs[attr] ? nla_get_u16(info->attrs[attr]) : 0;

	if (!port)
		return refuse(info, attr, -EINVAL,
			      "sport and dport are both needed, from 1 to 65535");
	*to = htons(port);
	return 0;
}

/* Adds a tag to those that are outside of it. */
static int read_tag(struct genl_info *info, int attr, int proto_attr, u32 *vlan)
{
	struct nlattr *proto = info->attrs[proto_attr];
	u16 type = proto ? nla_get_u16(proto) : ETH_P_8021Q;

	if (type != ETH_P_8021Q && type != ETH_P_8021AD)
		return refuse(info, proto_attr, -EINVAL,
			      "the Ethernet type of a VLAN tag is 0x8100 or 0x88a8");
	if (proto && !info->attrs[attr])
		return refuse(info, proto_attr, -EINVAL,
			      "the Ethernet type of a VLAN tag needs its number: say vlan or cvlan, too");
	if (attr == KCOLO_A_CVLAN && info->attrs[attr] && !*vlan)
		return refuse(info, attr, -EINVAL,
			      "cvlan is the tag inside of another: say vlan, too");
	if (info->attrs[attr])
		*vlan = *vlan << KCOLO_VLAN_BITS |
			(type == ETH_P_8021AD ? KCOLO_VLAN_AD : 0) |
			nla_get_u16(info->attrs[attr]);
	return 0;
}

/* What a request to restore says; nothing of it is carried out yet. */
static int read_restore(struct genl_info *info,
			struct kcolo_secondary_flow *flow)
{
	struct nlattr **attrs = info->attrs;
	struct kcolo_tuple *t = &flow->tuple;
	int err;

	if (attrs[KCOLO_A_PROTO] &&
	    nla_get_u8(attrs[KCOLO_A_PROTO]) != IPPROTO_TCP)
		return refuse(info, KCOLO_A_PROTO, -EINVAL,
			      "only TCP connections are translated: say proto 6 or nothing");
	if (!attrs[KCOLO_A_OFFSET])
		return refuse(info, KCOLO_A_OFFSET, -EINVAL,
			      "offset is missing: say what flow save wrote");
	t->proto = IPPROTO_TCP;
	t->v6 = attrs[KCOLO_A_SRC] && nla_len(attrs[KCOLO_A_SRC]) == 16;
	err = read_addr(info, KCOLO_A_SRC, &t->src, t->v6) ?:
	      read_addr(info, KCOLO_A_DST, &t->dst, t->v6) ?:
	      read_port(info, KCOLO_A_SPORT, &t->sport) ?:
	      read_port(info, KCOLO_A_DPORT, &t->dport) ?:
	      read_tag(info, KCOLO_A_VLAN, KCOLO_A_VLAN_PROTO, &t->vlan) ?:
	      read_tag(info, KCOLO_A_CVLAN, KCOLO_A_CVLAN_PROTO, &t->vlan);
	flow->from_vm = attrs[KCOLO_A_ACTIVE_OPEN];
	flow->offset = nla_get_u32(attrs[KCOLO_A_OFFSET]);
	if (attrs[KCOLO_A_TSOFFSET])
		flow->tsoffset = nla_get_s32(attrs[KCOLO_A_TSOFFSET]);
	return err;
}

static int take_flow(struct kcolo_pair *pair, struct genl_info *info,
		     const struct kcolo_secondary_flow *flow)
{
	int err;

	if (pair->role != KCOLO_ROLE_SECONDARY)
		return refuse(info, KCOLO_A_PAIR, -EINVAL,
			      "the pair is a primary: restore on the host of its new secondary");
	if (kcolo_state(pair) == KCOLO_STATE_FAILOVER)
		return refuse(info, KCOLO_A_PAIR, -EINVAL,
			      "the pair has failed over: restore into a secondary that has not");
	err = kcolo_secondary_restore(pair, flow);
	switch (err) {
	case -EEXIST:
		return refuse(info, KCOLO_A_SRC, err,
			      "the connection was opened anew here and has an offset of its own: leave it out");
	case -ENOSPC:
		return refuse(info, KCOLO_A_PAIR, err,
			      "max-flows is reached: raise it with pair set");
	case -EOPNOTSUPP:
		return refuse(info, KCOLO_A_TSOFFSET, err,
			      "this kernel lacks CONFIG_NETFILTER_SYNPROXY and cannot translate timestamps");
	default:
		return err;
	}
}

int kcolo_nl_flow_restore_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct kcolo_secondary_flow flow = {};
	struct kcolo_pair *pair;
	int err;

	err = read_restore(info, &flow);
	if (err)
		return err;
	pair = kcolo_nl_lock_pair(info);
	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = take_flow(pair, info, &flow);
	kcolo_nl_unlock_pair(info);
	return err;
}

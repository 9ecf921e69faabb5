// SPDX-License-Identifier: GPL-2.0
/* The netlink family: requests in, dumps and events out. */
#include <linux/module.h>
#include <linux/rtnetlink.h>
#include <net/genetlink.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/sock.h>

#include "kcolo.h"
#include "nl_gen.h"
#include "secondary.h"

#define NO_SUCH_PAIR "no pair of this name: see pair show"
#define BUCKETS_AT_ONCE 1024	/* of a dump, between two chances to reschedule */

static struct genl_family kcolo_nl_family __ro_after_init = {
	.name = KCOLO_FAMILY_NAME,
	.version = KCOLO_FAMILY_VERSION,
	.maxattr = ARRAY_SIZE(kcolo_nl_policy) - 1,
	.policy = kcolo_nl_policy,
	.netnsok = true,
	.module = THIS_MODULE,
	.small_ops = kcolo_nl_ops,
	.n_small_ops = ARRAY_SIZE(kcolo_nl_ops),
	.mcgrps = kcolo_nl_mcgrps,
	.n_mcgrps = ARRAY_SIZE(kcolo_nl_mcgrps),
};

/* The pair that a request names; takes kcolo_net.cfg if it is there. */
static struct kcolo_pair *lock_pair(struct genl_info *info)
{
	struct kcolo_net *kn = kcolo_net(genl_info_net(info));
	struct kcolo_pair *pair;

	if (!info->attrs[KCOLO_A_PAIR]) {
		NL_SET_ERR_MSG(info->extack, "pair is missing: name one");
		return ERR_PTR(-EINVAL);
	}
	mutex_lock(&kn->cfg);
	pair = kcolo_pair_find(kn, nla_data(info->attrs[KCOLO_A_PAIR]));
	if (pair)
		return pair;
	mutex_unlock(&kn->cfg);
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[KCOLO_A_PAIR],
			    NO_SUCH_PAIR);
	return ERR_PTR(-ENOENT);
}

static void unlock_pair(struct genl_info *info)
{
	mutex_unlock(&kcolo_net(genl_info_net(info))->cfg);
}

int kcolo_nl_pair_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	int err;

	if (!info->attrs[KCOLO_A_PAIR]) {
		NL_SET_ERR_MSG(info->extack,
			       "pair is missing: give the new pair a name");
		return -EINVAL;
	}
	rtnl_lock();	/* the devices must not go while they become ports */
	mutex_lock(&kcolo_net(net)->cfg);
	err = kcolo_pair_add(net, info->attrs, info->extack);
	mutex_unlock(&kcolo_net(net)->cfg);
	rtnl_unlock();
	return err;
}

int kcolo_nl_pair_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct kcolo_pair *pair;
	int err;

	rtnl_lock();
	pair = lock_pair(info);
	err = PTR_ERR_OR_ZERO(pair);
	if (!err) {
		err = kcolo_pair_set(pair, info->attrs, info->extack);
		unlock_pair(info);
	}
	rtnl_unlock();
	return err;
}

int kcolo_nl_pair_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct kcolo_pair *pair = lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_pair_del(pair, info->attrs[KCOLO_A_FORCE], info->extack);
	unlock_pair(info);
	return err;
}

int kcolo_nl_failover_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *attr = info->attrs[KCOLO_A_ACTION];
	u32 action = attr ? nla_get_u32(attr) : 0;
	struct kcolo_pair *pair = lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_failover(pair, attr ? &action : NULL, info->extack);
	unlock_pair(info);
	return err;
}

static int put_pair_name(struct sk_buff *msg, const struct kcolo_pair *pair)
{
	return nla_put_string(msg, KCOLO_A_PAIR, pair->name);
}

static int put_ports(struct sk_buff *msg, const struct kcolo_pair *pair)
{
	if (pair->vm.ifindex && nla_put_string(msg, KCOLO_A_VM, pair->vm.name))
		return -EMSGSIZE;
	if (pair->peer.ifindex &&
	    nla_put_string(msg, KCOLO_A_PEER, pair->peer.name))
		return -EMSGSIZE;
	return 0;
}

static int put_addr(struct sk_buff *msg, int attr, const struct kcolo_addr *a,
		    bool v6)
{
	return nla_put(msg, attr, v6 ? 16 : 4, a);
}

static int put_tag(struct sk_buff *msg, int attr, int proto_attr, u32 tag)
{
	u16 proto = tag & KCOLO_VLAN_AD ? ETH_P_8021AD : ETH_P_8021Q;

	if (tag && (nla_put_u16(msg, attr, tag & KCOLO_VLAN_VID) ||
		    nla_put_u16(msg, proto_attr, proto)))
		return -EMSGSIZE;
	return 0;
}

static int put_tuple(struct sk_buff *msg, const struct kcolo_tuple *t)
{
	if (nla_put_u8(msg, KCOLO_A_PROTO, t->proto) ||
	    put_addr(msg, KCOLO_A_SRC, &t->src, t->v6) ||
	    put_addr(msg, KCOLO_A_DST, &t->dst, t->v6))
		return -EMSGSIZE;
	/* A protocol without has none. */
	if ((t->sport || t->dport) &&
	    (nla_put_u16(msg, KCOLO_A_SPORT, ntohs(t->sport)) ||
	     nla_put_u16(msg, KCOLO_A_DPORT, ntohs(t->dport))))
		return -EMSGSIZE;
	return put_tag(msg, KCOLO_A_VLAN, KCOLO_A_VLAN_PROTO,
		       kcolo_vlan_outer(t->vlan)) ?:
	       put_tag(msg, KCOLO_A_CVLAN, KCOLO_A_CVLAN_PROTO,
		       kcolo_vlan_inner(t->vlan));
}

static int put_miscompare(struct sk_buff *msg,
			  const struct kcolo_miscompare *what)
{
	if (nla_put_u32(msg, KCOLO_A_REASON, what->reason))
		return -EMSGSIZE;
	if (!what->tuple.proto)
		return 0;
	if (put_tuple(msg, &what->tuple) ||
	    (what->tuple.proto == IPPROTO_TCP &&
	     nla_put_u32(msg, KCOLO_A_SEQ, what->seq)) ||
	    nla_put(msg, KCOLO_A_PRIMARY, what->p_len, what->p) ||
	    nla_put(msg, KCOLO_A_SECONDARY, what->s_len, what->s))
		return -EMSGSIZE;
	if (!what->stream_ok)
		return 0;
	return kcolo_put_u64(msg, KCOLO_A_STREAM_OFFSET, what->stream);
}

/* What a checkpoint was asked for, also after it. */
static int put_last(struct sk_buff *msg, struct kcolo_pair *pair)
{
	struct kcolo_miscompare what;
	struct nlattr *nest;
	u32 epoch;
	u64 ago;

	if (!kcolo_request_last(pair, &what, &epoch, &ago))
		return 0;
	nest = nla_nest_start(msg, KCOLO_A_LAST_MISCOMPARE);
	if (!nest ||
	    kcolo_put_u64(msg, KCOLO_A_AGO, ago) ||
	    nla_put_u32(msg, KCOLO_A_EPOCH, epoch) ||
	    put_miscompare(msg, &what) ||
	    nla_put(msg, KCOLO_A_BEFORE, what.before_len, what.before))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int fill_pair(struct sk_buff *msg, struct kcolo_pair *pair)
{
	const struct kcolo_config *cfg = &pair->cfg;
	struct kcolo_phase phase = kcolo_phase(pair);
	struct kcolo_miscompare what;

	if (put_pair_name(msg, pair) || put_ports(msg, pair) ||
	    nla_put_u32(msg, KCOLO_A_ROLE, pair->role) ||
	    nla_put_u32(msg, KCOLO_A_MODE, cfg->mode) ||
	    nla_put_u32(msg, KCOLO_A_TIMEOUT, cfg->timeout) ||
	    nla_put_u32(msg, KCOLO_A_SCAN, cfg->scan) ||
	    nla_put_u32(msg, KCOLO_A_MAX_PACKETS, cfg->max_packets) ||
	    nla_put_u32(msg, KCOLO_A_MAX_BYTES, cfg->max_bytes) ||
	    nla_put_u32(msg, KCOLO_A_MAX_FLOWS, cfg->max_flows) ||
	    nla_put_u32(msg, KCOLO_A_MIN_INTERVAL, cfg->min_interval) ||
	    nla_put_u32(msg, KCOLO_A_STATE, phase.state) ||
	    nla_put_u32(msg, KCOLO_A_EPOCH, phase.epoch))
		return -EMSGSIZE;
	if (kcolo_request_open(pair, &what) &&
	    nla_put_u32(msg, KCOLO_A_REQUEST, what.reason))
		return -EMSGSIZE;
	if (pair->role == KCOLO_ROLE_SECONDARY &&
	    nla_put_u32(msg, KCOLO_A_TRANSLATED, kcolo_secondary_count(pair)))
		return -EMSGSIZE;
	return put_last(msg, pair);
}

static int fill_stats(struct sk_buff *msg, struct kcolo_pair *pair)
{
	if (put_pair_name(msg, pair) ||
	    nla_put_u32(msg, KCOLO_A_ROLE, pair->role))
		return -EMSGSIZE;
	return kcolo_stats_put(msg, pair) ?: kcolo_histograms_put(msg, pair);
}

static int fill_checkpoint(struct sk_buff *msg, struct kcolo_pair *pair)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	if (put_pair_name(msg, pair) ||
	    nla_put_u32(msg, KCOLO_A_EPOCH, phase.epoch) ||
	    nla_put_u32(msg, KCOLO_A_STATE, phase.state))
		return -EMSGSIZE;
	return 0;
}

typedef int (*fill_t)(struct sk_buff *msg, struct kcolo_pair *pair);

/* Answers a request about one pair, whose lock is held. */
static int reply(struct genl_info *info, struct kcolo_pair *pair, u8 cmd,
		 fill_t fill)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	void *hdr;

	if (!msg)
		return -ENOMEM;
	hdr = genlmsg_put_reply(msg, info, &kcolo_nl_family, 0, cmd);
	if (!hdr || fill(msg, pair)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

static int get_one(struct genl_info *info, u8 cmd, fill_t fill)
{
	struct kcolo_pair *pair = lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = reply(info, pair, cmd, fill);
	unlock_pair(info);
	return err;
}

int kcolo_nl_pair_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	return get_one(info, KCOLO_CMD_PAIR_GET, fill_pair);
}

int kcolo_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	return get_one(info, KCOLO_CMD_STATS_GET, fill_stats);
}

int kcolo_nl_checkpoint_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *epoch = info->attrs[KCOLO_A_EPOCH];
	u32 n = epoch ? nla_get_u32(epoch) : 0;
	struct kcolo_pair *pair;
	int err;

	if (!info->attrs[KCOLO_A_ACTION]) {
		NL_SET_ERR_MSG(info->extack,
			       "action is missing: say begin, commit or abort");
		return -EINVAL;
	}
	pair = lock_pair(info);
	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_checkpoint(pair, nla_get_u32(info->attrs[KCOLO_A_ACTION]),
			       epoch ? &n : NULL, info->extack);
	if (!err)
		err = reply(info, pair, KCOLO_CMD_CHECKPOINT, fill_checkpoint);
	unlock_pair(info);
	return err;
}

static bool wanted(const struct kcolo_pair *pair, struct nlattr *name)
{
	return !name || !nla_strcmp(name, pair->name);
}

static int check_pair(struct kcolo_net *kn, struct netlink_callback *cb,
		      struct nlattr *name)
{
	if (!name || cb->args[0] || kcolo_pair_find(kn, nla_data(name)))
		return 0;
	NL_SET_ERR_MSG_ATTR(cb->extack, name, NO_SUCH_PAIR);
	return -ENOENT;
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

/* args[0]: pairs done */
static int dump_pairs(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd,
		      fill_t fill)
{
	struct nlattr *name = genl_info_dump(cb)->attrs[KCOLO_A_PAIR];
	struct kcolo_net *kn = kcolo_net(sock_net(skb->sk));
	struct kcolo_pair *pair;
	long i = 0;
	void *hdr;
	int err;

	mutex_lock(&kn->cfg);
	cb->seq = kn->generation;
	err = check_pair(kn, cb, name);
	if (err) {
		mutex_unlock(&kn->cfg);
		return err;
	}
	list_for_each_entry(pair, &kn->pairs, list) {
		if (i++ < cb->args[0] || !wanted(pair, name))
			continue;
		hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				  cb->nlh->nlmsg_seq, &kcolo_nl_family,
				  NLM_F_MULTI, cmd);
		if (!hdr)
			break;
		genl_dump_check_consistent(cb, hdr);
		if (fill(skb, pair)) {
			genlmsg_cancel(skb, hdr);
			break;
		}
		genlmsg_end(skb, hdr);
		cb->args[0] = i;
	}
	mutex_unlock(&kn->cfg);
	return skb->len;
}

int kcolo_nl_pair_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_pairs(skb, cb, KCOLO_CMD_PAIR_GET, fill_pair);
}

int kcolo_nl_stats_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_pairs(skb, cb, KCOLO_CMD_STATS_GET, fill_stats);
}

/**
 * struct flow_dump - a dump of flows under way
 * @skb: message
 * @cb: callback; args[0] pairs done, args[1] bucket, args[2] flows of it done
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
	void *hdr = genlmsg_put(d->skb, NETLINK_CB(d->cb->skb).portid,
				d->cb->nlh->nlmsg_seq, &kcolo_nl_family,
				NLM_F_MULTI, KCOLO_CMD_FLOW_GET);

	if (!hdr)
		return NULL;
	genl_dump_check_consistent(d->cb, hdr);
	if (put_pair_name(d->skb, d->pair) || put_tuple(d->skb, t) ||
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
	pair = lock_pair(info);
	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = take_flow(pair, info, &flow);
	unlock_pair(info);
	return err;
}

int kcolo_nl_flow_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr *name = genl_info_dump(cb)->attrs[KCOLO_A_PAIR];
	struct kcolo_net *kn = kcolo_net(sock_net(skb->sk));
	struct flow_dump d = { .skb = skb, .cb = cb, .bucket = -1 };
	long i = 0;
	int err = 0;

	mutex_lock(&kn->cfg);
	/* Buckets of a secondary are conntrack's, whose number may change. */
	cb->seq = kn->generation + nf_conntrack_htable_size;
	err = check_pair(kn, cb, name) ?: check_addr(cb, KCOLO_A_SRC) ?:
					  check_addr(cb, KCOLO_A_DST);
	if (err) {
		mutex_unlock(&kn->cfg);
		return err;
	}
	list_for_each_entry(d.pair, &kn->pairs, list) {
		if (i++ < cb->args[0] || !wanted(d.pair, name))
			continue;
		err = d.pair->role == KCOLO_ROLE_PRIMARY ? dump_primary(&d) :
							   dump_secondary(&d);
		if (err)
			break;
		cb->args[0] = i;
		cb->args[1] = 0;
		cb->args[2] = 0;
		d.bucket = -1;
	}
	mutex_unlock(&kn->cfg);
	return skb->len;
}

int kcolo_nl_rule_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct kcolo_pair *pair = lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_rule_add(pair, info->attrs, info->extack);
	unlock_pair(info);
	return err;
}

int kcolo_nl_rule_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct kcolo_pair *pair = lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_rule_del(pair, info->attrs, info->extack);
	unlock_pair(info);
	return err;
}

static int dump_rule(struct sk_buff *skb, struct netlink_callback *cb,
		     struct kcolo_pair *pair, const struct kcolo_rule *rule)
{
	void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				cb->nlh->nlmsg_seq, &kcolo_nl_family,
				NLM_F_MULTI, KCOLO_CMD_RULE_GET);

	if (!hdr)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, hdr);
	if (put_pair_name(skb, pair) || kcolo_rule_put(skb, rule)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* args[1]: id of the last rule that is through */
static int dump_rules(struct sk_buff *skb, struct netlink_callback *cb,
		      struct kcolo_pair *pair)
{
	struct kcolo_rule *rule;
	int err;

	list_for_each_entry(rule, &pair->rules, list) {
		if (rule->id <= cb->args[1])
			continue;
		err = dump_rule(skb, cb, pair, rule);
		if (err)
			return err;
		cb->args[1] = rule->id;
	}
	return 0;
}

/* args[0]: pairs done */
int kcolo_nl_rule_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr *name = genl_info_dump(cb)->attrs[KCOLO_A_PAIR];
	struct kcolo_net *kn = kcolo_net(sock_net(skb->sk));
	struct kcolo_pair *pair;
	long i = 0;
	int err;

	mutex_lock(&kn->cfg);
	cb->seq = kn->generation;
	err = check_pair(kn, cb, name);
	if (err) {
		mutex_unlock(&kn->cfg);
		return err;
	}
	list_for_each_entry(pair, &kn->pairs, list) {
		if (i++ < cb->args[0] || !wanted(pair, name))
			continue;
		if (dump_rules(skb, cb, pair))
			break;
		cb->args[0] = i;
		cb->args[1] = 0;
	}
	mutex_unlock(&kn->cfg);
	return skb->len;
}

/*
 * Events. Nothing is built unless somebody listens; an event that cannot be
 * built or delivered is counted, what it says can be seen by `pair show`.
 */
static struct sk_buff *event_new(struct kcolo_pair *pair, int group, u8 cmd,
				 gfp_t gfp, void **hdr)
{
	struct sk_buff *msg;

	if (!genl_has_listeners(&kcolo_nl_family, pair->net, group))
		return NULL;
	msg = genlmsg_new(NLMSG_DEFAULT_SIZE, gfp);
	if (msg) {
		*hdr = genlmsg_put(msg, 0, 0, &kcolo_nl_family, 0, cmd);
		if (*hdr && !put_pair_name(msg, pair))
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
	       put_miscompare(msg, what);
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
		full = full || put_ports(msg, pair) ||
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
	full = put_tuple(msg, &tuple) ||
	       nla_put_u32(msg, KCOLO_A_FLOW_STATE, kcolo_flow_state(flow)) ||
	       (kcolo_cmp_offset_ok(&flow->cmp) &&
		nla_put_u32(msg, KCOLO_A_OFFSET, kcolo_cmp_offset(&flow->cmp)));
	spin_unlock_bh(&flow->lock);
	event_send(pair, KCOLO_NLGRP_FLOW, msg, hdr, GFP_ATOMIC, full);
}

int __init kcolo_nl_init(void)
{
	return genl_register_family(&kcolo_nl_family);
}

void kcolo_nl_exit(void)
{
	genl_unregister_family(&kcolo_nl_family);
}

// SPDX-License-Identifier: GPL-2.0
/* The netlink family: requests about pairs and rules, and what a dump begins with. */
#include <linux/module.h>
#include <linux/rtnetlink.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "nl.h"

#define NO_SUCH_PAIR "no pair of this name: see pair show"

struct genl_family kcolo_nl_family __ro_after_init = {
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

/**
 * kcolo_nl_lock_pair() - the pair that a request names
 * @info: request
 *
 * Return: the pair, with kcolo_net.cfg taken; -EINVAL or -ENOENT as an error pointer,
 * and the request knows why.
 */
struct kcolo_pair *kcolo_nl_lock_pair(struct genl_info *info)
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

/**
 * kcolo_nl_unlock_pair() - undo kcolo_nl_lock_pair()
 * @info: request
 */
void kcolo_nl_unlock_pair(struct genl_info *info)
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
	pair = kcolo_nl_lock_pair(info);
	err = PTR_ERR_OR_ZERO(pair);
	if (!err) {
		err = kcolo_pair_set(pair, info->attrs, info->extack);
		kcolo_nl_unlock_pair(info);
	}
	rtnl_unlock();
	return err;
}

int kcolo_nl_pair_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct kcolo_pair *pair = kcolo_nl_lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_pair_del(pair, info->attrs[KCOLO_A_FORCE], info->extack);
	kcolo_nl_unlock_pair(info);
	return err;
}

int kcolo_nl_failover_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *attr = info->attrs[KCOLO_A_ACTION];
	u32 action = attr ? nla_get_u32(attr) : 0;
	struct kcolo_pair *pair = kcolo_nl_lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_failover(pair, attr ? &action : NULL, info->extack);
	kcolo_nl_unlock_pair(info);
	return err;
}

/**
 * kcolo_nl_put_name() - say which pair it is about
 * @msg: message
 * @pair: pair
 *
 * Return: 0 or -EMSGSIZE.
 */
int kcolo_nl_put_name(struct sk_buff *msg, const struct kcolo_pair *pair)
{
	return nla_put_string(msg, KCOLO_A_PAIR, pair->name);
}

/**
 * kcolo_nl_put_ports() - say which ports a pair has
 * @msg: message
 * @pair: pair
 *
 * Return: 0 or -EMSGSIZE.
 */
int kcolo_nl_put_ports(struct sk_buff *msg, const struct kcolo_pair *pair)
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

/**
 * kcolo_nl_put_tuple() - say which flow it is about
 * @msg: message
 * @t: the flow's
 *
 * Return: 0 or -EMSGSIZE.
 */
int kcolo_nl_put_tuple(struct sk_buff *msg, const struct kcolo_tuple *t)
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

/**
 * kcolo_nl_put_miscompare() - say why a checkpoint was asked for
 * @msg: message
 * @what: the cause
 *
 * Return: 0 or -EMSGSIZE.
 */
int kcolo_nl_put_miscompare(struct sk_buff *msg,
			    const struct kcolo_miscompare *what)
{
	if (nla_put_u32(msg, KCOLO_A_REASON, what->reason))
		return -EMSGSIZE;
	if (!what->tuple.proto)
		return 0;
	if (kcolo_nl_put_tuple(msg, &what->tuple) ||
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
	    kcolo_nl_put_miscompare(msg, &what) ||
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

	if (kcolo_nl_put_name(msg, pair) || kcolo_nl_put_ports(msg, pair) ||
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
	if (kcolo_nl_put_name(msg, pair) ||
	    nla_put_u32(msg, KCOLO_A_ROLE, pair->role))
		return -EMSGSIZE;
	return kcolo_stats_put(msg, pair) ?: kcolo_histograms_put(msg, pair);
}

static int fill_checkpoint(struct sk_buff *msg, struct kcolo_pair *pair)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	if (kcolo_nl_put_name(msg, pair) ||
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
	struct kcolo_pair *pair = kcolo_nl_lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = reply(info, pair, cmd, fill);
	kcolo_nl_unlock_pair(info);
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
	pair = kcolo_nl_lock_pair(info);
	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_checkpoint(pair, nla_get_u32(info->attrs[KCOLO_A_ACTION]),
			       epoch ? &n : NULL, info->extack);
	if (!err)
		err = reply(info, pair, KCOLO_CMD_CHECKPOINT, fill_checkpoint);
	kcolo_nl_unlock_pair(info);
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

/**
 * kcolo_nl_dump() - dump all pairs, or the one that is named, as far as there is room
 * @skb: message
 * @cb: callback; args[0] pairs done, the others are @one's and 0 for each new pair
 * @also: what else the dump is inconsistent by if it changes
 * @one: puts what is to be said of a pair; an error if there was no room for all of it
 *
 * Return: as a dump.
 */
int kcolo_nl_dump(struct sk_buff *skb, struct netlink_callback *cb,
		  unsigned int also,
		  int (*one)(struct sk_buff *skb, struct netlink_callback *cb,
			     struct kcolo_pair *pair))
{
	struct nlattr *name = genl_info_dump(cb)->attrs[KCOLO_A_PAIR];
	struct kcolo_net *kn = kcolo_net(sock_net(skb->sk));
	struct kcolo_pair *pair;
	long i = 0;
	int err;

	mutex_lock(&kn->cfg);
	cb->seq = kn->generation + also;
	err = check_pair(kn, cb, name);
	if (err) {
		mutex_unlock(&kn->cfg);
		return err;
	}
	list_for_each_entry(pair, &kn->pairs, list) {
		if (i++ < cb->args[0] || !wanted(pair, name))
			continue;
		if (one(skb, cb, pair))
			break;
		cb->args[0] = i;
		cb->args[1] = 0;
		cb->args[2] = 0;
	}
	mutex_unlock(&kn->cfg);
	return skb->len;
}

/**
 * kcolo_nl_dump_hdr() - begin a message of a dump
 * @skb: the dump
 * @cb: callback
 * @cmd: of the message
 *
 * Return: its header; NULL if there is no room.
 */
void *kcolo_nl_dump_hdr(struct sk_buff *skb, struct netlink_callback *cb,
			u8 cmd)
{
	void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				cb->nlh->nlmsg_seq, &kcolo_nl_family,
				NLM_F_MULTI, cmd);

	if (hdr)
		genl_dump_check_consistent(cb, hdr);
	return hdr;
}

static int dump_one(struct sk_buff *skb, struct netlink_callback *cb,
		    struct kcolo_pair *pair, u8 cmd, fill_t fill)
{
	void *hdr = kcolo_nl_dump_hdr(skb, cb, cmd);

	if (!hdr)
		return -EMSGSIZE;
	if (fill(skb, pair)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

static int dump_pair(struct sk_buff *skb, struct netlink_callback *cb,
		     struct kcolo_pair *pair)
{
	return dump_one(skb, cb, pair, KCOLO_CMD_PAIR_GET, fill_pair);
}

static int dump_stats(struct sk_buff *skb, struct netlink_callback *cb,
		      struct kcolo_pair *pair)
{
	return dump_one(skb, cb, pair, KCOLO_CMD_STATS_GET, fill_stats);
}

int kcolo_nl_pair_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return kcolo_nl_dump(skb, cb, 0, dump_pair);
}

int kcolo_nl_stats_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return kcolo_nl_dump(skb, cb, 0, dump_stats);
}

int kcolo_nl_rule_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct kcolo_pair *pair = kcolo_nl_lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_rule_add(pair, info->attrs, info->extack);
	kcolo_nl_unlock_pair(info);
	return err;
}

int kcolo_nl_rule_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct kcolo_pair *pair = kcolo_nl_lock_pair(info);
	int err;

	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_rule_del(pair, info->attrs, info->extack);
	kcolo_nl_unlock_pair(info);
	return err;
}

static int dump_rule(struct sk_buff *skb, struct netlink_callback *cb,
		     struct kcolo_pair *pair, const struct kcolo_rule *rule)
{
	void *hdr = kcolo_nl_dump_hdr(skb, cb, KCOLO_CMD_RULE_GET);

	if (!hdr)
		return -EMSGSIZE;
	if (kcolo_nl_put_name(skb, pair) || kcolo_rule_put(skb, rule)) {
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

int kcolo_nl_rule_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return kcolo_nl_dump(skb, cb, 0, dump_rules);
}

int __init kcolo_nl_init(void)
{
	return genl_register_family(&kcolo_nl_family);
}

void kcolo_nl_exit(void)
{
	genl_unregister_family(&kcolo_nl_family);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Rules: named flows that leave uncompared, for protocols that never match (R13).
 *
 * The first rule of a pair that matches a packet decides; without one it is
 * compared. Rules are read under RCU and changed under kcolo_net.cfg.
 */
#include <linux/in.h>
#include <linux/slab.h>
#include <net/netlink.h>

#include "kcolo.h"

#define RULES_MAX 256	/* each packet walks the list */

static bool has_ports(u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		return true;
	default:
		return false;
	}
}

static __be32 mask_word(int bits)
{
	if (bits <= 0)
		return 0;
	return bits >= 32 ? ~(__be32)0 : htonl(~0U << (32 - bits));
}

static bool in_prefix(const struct kcolo_prefix *prefix,
		      const struct kcolo_addr *addr)
{
	int i;

	for (i = 0; i < prefix->len; i += 32)
		if ((prefix->addr.w[i / 32] ^ addr->w[i / 32]) &
		    mask_word(prefix->len - i))
			return false;
	return true;
}

/* @id: 0 stands for any VLAN, and for none. */
static bool in_vlan(u16 id, u32 tag)
{
	return !id || id == (tag & KCOLO_VLAN_VID);
}

static bool matches(const struct kcolo_rule *rule, const struct kcolo_tuple *t)
{
	if (rule->proto && rule->proto != t->proto)
		return false;
	if (!in_vlan(rule->vlan, kcolo_vlan_outer(t->vlan)) ||
	    !in_vlan(rule->cvlan, kcolo_vlan_inner(t->vlan)))
		return false;
	if ((rule->src.ok || rule->dst.ok) && rule->v6 != t->v6)
		return false;
	if (rule->src.ok && !in_prefix(&rule->src, &t->src))
		return false;
	if (rule->dst.ok && !in_prefix(&rule->dst, &t->dst))
		return false;
	if (!rule->has_sport && !rule->has_dport)
		return true;
	return has_ports(t->proto) &&
	       (!rule->has_sport || rule->sport == t->sport) &&
	       (!rule->has_dport || rule->dport == t->dport);
}

static struct kcolo_rule *find(const struct kcolo_pair *pair,
			       const struct kcolo_tuple *tuple)
{
	struct kcolo_rule *rule;

	list_for_each_entry_rcu(rule, &pair->rules, list)
		if (matches(rule, tuple))
			return rule;
	return NULL;
}

/**
 * kcolo_rule_says_bypass() - is a flow to be left alone
 * @pair: pair
 * @tuple: as in packets of the guest
 *
 * Context: RCU.
 * Return: true if a rule says so.
 */
bool kcolo_rule_says_bypass(const struct kcolo_pair *pair,
			    const struct kcolo_tuple *tuple)
{
	const struct kcolo_rule *rule;

	if (list_empty(&pair->rules))
		return false;
	rule = find(pair, tuple);
	return rule && rule->action == KCOLO_RULE_ACTION_BYPASS;
}

/**
 * kcolo_rule_matches_bypass() - kcolo_rule_bypass() where there are rules
 * @pair: pair
 * @tuple: of the packet, as in packets of the guest
 *
 * Context: RCU.
 * Return: true if a rule says so.
 */
bool kcolo_rule_matches_bypass(struct kcolo_pair *pair,
			       const struct kcolo_tuple *tuple)
{
	struct kcolo_rule *rule = find(pair, tuple);

	if (!rule)
		return false;
	atomic64_inc(&rule->packets);
	return rule->action == KCOLO_RULE_ACTION_BYPASS;
}

static int refuse(struct netlink_ext_ack *extack, struct nlattr *attr,
		  const char *why)
{
	NL_SET_BAD_ATTR(extack, attr);
	extack->_msg = why;
	return -EINVAL;
}

static int read_prefix(struct kcolo_rule *rule, struct kcolo_prefix *prefix,
		       struct nlattr *addr, struct nlattr *len,
		       struct netlink_ext_ack *extack)
{
	u32 bytes;
	bool v6;

	if (!addr && len)
		return refuse(extack, len,
			      "a prefix length without an address: give the address, too");
	if (!addr)
		return 0;
	bytes = nla_len(addr);
	if (bytes != 4 && bytes != 16)
		return refuse(extack, addr,
			      "an address has 4 bytes (IPv4) or 16 (IPv6)");
	v6 = bytes == 16;
	prefix->len = len ? nla_get_u8(len) : 8 * bytes;
	if (prefix->len > 8 * bytes)
		return refuse(extack, len,
			      "the prefix is longer than the address: at most 32 (IPv4) or 128 (IPv6)");
	if ((rule->src.ok || rule->dst.ok) && rule->v6 != v6)
		return refuse(extack, addr,
			      "src and dst are of different IP versions: make two rules");
	memcpy(&prefix->addr, nla_data(addr), bytes);
	rule->v6 = v6;
	prefix->ok = true;
	return 0;
}

static int read_rule(struct kcolo_rule *rule, struct nlattr **attrs,
		     struct netlink_ext_ack *extack)
{
	struct nlattr *port = attrs[KCOLO_A_SPORT] ?: attrs[KCOLO_A_DPORT];
	int err;

	if (!attrs[KCOLO_A_RULE_ACTION]) {
		NL_SET_ERR_MSG(extack,
			       "action is missing: say action bypass or action compare");
		return -EINVAL;
	}
	rule->action = nla_get_u32(attrs[KCOLO_A_RULE_ACTION]);
	if (attrs[KCOLO_A_PROTO]) {
		rule->proto = nla_get_u8(attrs[KCOLO_A_PROTO]);
		if (!rule->proto)
			return refuse(extack, attrs[KCOLO_A_PROTO],
				      "protocol 0 is none: leave proto out to match all");
	}
	if (port && rule->proto && !has_ports(rule->proto))
		return refuse(extack, port,
			      "the protocol has no ports: leave sport and dport out");
	err = read_prefix(rule, &rule->src, attrs[KCOLO_A_SRC],
			  attrs[KCOLO_A_SRC_LEN], extack);
	err = err ?: read_prefix(rule, &rule->dst, attrs[KCOLO_A_DST],
				 attrs[KCOLO_A_DST_LEN], extack);
	if (err)
		return err;
	rule->has_sport = attrs[KCOLO_A_SPORT];
	rule->has_dport = attrs[KCOLO_A_DPORT];
	if (rule->has_sport)
		rule->sport = htons(nla_get_u16(attrs[KCOLO_A_SPORT]));
	if (rule->has_dport)
		rule->dport = htons(nla_get_u16(attrs[KCOLO_A_DPORT]));
	if (attrs[KCOLO_A_VLAN])
		rule->vlan = nla_get_u16(attrs[KCOLO_A_VLAN]);
	if (attrs[KCOLO_A_CVLAN])
		rule->cvlan = nla_get_u16(attrs[KCOLO_A_CVLAN]);
	return 0;
}

static void let_go(struct kcolo_flow *flow, void *data)
{
	if (kcolo_rule_says_bypass(flow->pair, &flow->tuple))
		kcolo_primary_let_go(flow, data);
}

/**
 * kcolo_rule_add() - add a rule behind the others
 * @pair: pair
 * @attrs: attributes of the request
 * @extack: tells why not
 *
 * What is held of flows that it lets pass leaves.
 * Context: process, kcolo_net.cfg held.
 * Return: 0 or a negative errno, then nothing has changed.
 */
int kcolo_rule_add(struct kcolo_pair *pair, struct nlattr **attrs,
		   struct netlink_ext_ack *extack)
{
	struct kcolo_rule *rule;
	int err;

	if (pair->rule_n >= RULES_MAX) {
		NL_SET_ERR_MSG(extack,
			       "the pair has 256 rules and can have no more: delete one, or use prefixes");
		return -ENOSPC;
	}
	rule = kzalloc(sizeof(*rule), GFP_KERNEL_ACCOUNT);
	if (!rule)
		return -ENOMEM;
	err = read_rule(rule, attrs, extack);
	if (err) {
		kfree(rule);
		return err;
	}
	rule->id = ++pair->rule_id;
	kcolo_net(pair->net)->generation++;
	pair->rule_n++;
	if (pair->role != KCOLO_ROLE_PRIMARY) {
		list_add_tail_rcu(&rule->list, &pair->rules);
		return 0;
	}
	kcolo_hold_flush_begin(pair);
	list_add_tail_rcu(&rule->list, &pair->rules);
	synchronize_rcu_expedited();
	kcolo_flow_walk(pair, let_go, NULL);
	kcolo_hold_flush_end(pair);
	return 0;
}

static void drop(struct kcolo_pair *pair, struct kcolo_rule *rule)
{
	list_del_rcu(&rule->list);
	pair->rule_n--;
	kfree_rcu(rule, rcu);
}

/**
 * kcolo_rule_del() - delete a rule
 * @pair: pair
 * @attrs: attributes of the request
 * @extack: tells why not
 *
 * Context: process, kcolo_net.cfg held.
 * Return: 0, -EINVAL or -ENOENT.
 */
int kcolo_rule_del(struct kcolo_pair *pair, struct nlattr **attrs,
		   struct netlink_ext_ack *extack)
{
	struct nlattr *id = attrs[KCOLO_A_RULE_ID];
	struct kcolo_rule *rule;

	if (!id) {
		NL_SET_ERR_MSG(extack,
			       "id is missing: name the rule, see rule show");
		return -EINVAL;
	}
	list_for_each_entry(rule, &pair->rules, list) {
		if (rule->id != nla_get_u32(id))
			continue;
		drop(pair, rule);
		kcolo_net(pair->net)->generation++;
		return 0;
	}
	NL_SET_ERR_MSG_ATTR(extack, id,
			    "the pair has no rule of this id: see rule show");
	return -ENOENT;
}

/**
 * kcolo_rule_purge() - delete all rules of a pair that goes
 * @pair: pair
 */
void kcolo_rule_purge(struct kcolo_pair *pair)
{
	struct kcolo_rule *rule, *next;

	list_for_each_entry_safe(rule, next, &pair->rules, list)
		drop(pair, rule);
}

static int put_prefix(struct sk_buff *msg, int addr, int len,
		      const struct kcolo_rule *rule,
		      const struct kcolo_prefix *prefix)
{
	if (!prefix->ok)
		return 0;
	if (nla_put(msg, addr, rule->v6 ? 16 : 4, &prefix->addr) ||
	    nla_put_u8(msg, len, prefix->len))
		return -EMSGSIZE;
	return 0;
}

/**
 * kcolo_rule_put() - put a rule into a message
 * @msg: message
 * @rule: rule
 *
 * Return: 0 or -EMSGSIZE.
 */
int kcolo_rule_put(struct sk_buff *msg, const struct kcolo_rule *rule)
{
	if (nla_put_u32(msg, KCOLO_A_RULE_ID, rule->id) ||
	    (rule->proto && nla_put_u8(msg, KCOLO_A_PROTO, rule->proto)) ||
	    put_prefix(msg, KCOLO_A_SRC, KCOLO_A_SRC_LEN, rule, &rule->src) ||
	    put_prefix(msg, KCOLO_A_DST, KCOLO_A_DST_LEN, rule, &rule->dst) ||
	    (rule->has_sport &&
	     nla_put_u16(msg, KCOLO_A_SPORT, ntohs(rule->sport))) ||
	    (rule->has_dport &&
	     nla_put_u16(msg, KCOLO_A_DPORT, ntohs(rule->dport))) ||
	    (rule->vlan && nla_put_u16(msg, KCOLO_A_VLAN, rule->vlan)) ||
	    (rule->cvlan && nla_put_u16(msg, KCOLO_A_CVLAN, rule->cvlan)) ||
	    nla_put_u32(msg, KCOLO_A_RULE_ACTION, rule->action) ||
	    kcolo_put_u64(msg, KCOLO_A_PACKETS, atomic64_read(&rule->packets)))
		return -EMSGSIZE;
	return 0;
}

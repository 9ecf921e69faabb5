// SPDX-License-Identifier: GPL-2.0
/*
 * Where packets come in: finds the port, calls what the role wants.
 *
 *	prio	hook	role, port		does
 *	-401	PRE	both			a zone of its own per pair (S3)
 *	-401	PRE	primary, peer		hears the secondary, consumes
 *	-301	PRE	primary, vm		no zone any more, for conntrack
 *	-301	PRE	primary, peer		as above, of what came in fragments
 *	-300	BR_PRE	primary, peer		drops what is not IP (S1)
 *	-199	PRE	secondary		gives new connections an extension
 *	MAX	PRE	primary, vm		holds the guest's packets
 *	MAX	PRE	secondary		gate during a checkpoint (C6)
 *	301	POST	primary, vm		notes the client's ACK (R15)
 *	301	POST	secondary		translates and tags
 *	MAX	BR_PRE	all			all of that, for what is in VLAN tags
 *	MAX - 1	BR_POST	all			and does not reach the IP hooks
 *	MAX	BR_PRE	both			notes what they should see and don't
 *
 * The hooks exist only in namespaces with a pair, those of one role only where there is
 * one of that role: packets of all other ports run through them, too, and leave before
 * anything is done, or put on the stack. The port of a bridged packet is in its bridge
 * information; state->in and skb->dev are the bridge. A routed one has none: its port
 * is the device that it came through.
 */
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <net/ip.h>
#include <net/netfilter/ipv4/nf_defrag_ipv4.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_zones.h>

#include "secondary.h"
#include "trace.h"
#include "vlan.h"
#include "zone.h"

struct hlist_head *kcolo_port_bucket(struct kcolo_net *kn, int ifindex)
{
	return &kn->ports[(u32)ifindex % KCOLO_PORT_HASH];
}

/* F3: a device may have two, the one of a pair that has failed over being below. */
static struct kcolo_port *find_port(struct kcolo_net *kn, int ifindex, bool below)
{
	struct kcolo_port *port, *other = NULL;

	hlist_for_each_entry_rcu(port, kcolo_port_bucket(kn, ifindex), node,
				 lockdep_is_held(&kn->cfg)) {
		if (port->ifindex != ifindex)
			continue;
		if ((kcolo_state(port->pair) == KCOLO_STATE_FAILOVER) == below)
			return port;
		other = port;
	}
	return below ? NULL : other;
}

/* What most packets come here for: no port of ours at all. */
static __always_inline bool no_port(struct kcolo_net *kn, int ifindex)
{
	return hlist_empty(kcolo_port_bucket(kn, ifindex));
}

static __always_inline struct kcolo_port *port_of(struct kcolo_net *kn, int ifindex)
{
	if (likely(no_port(kn, ifindex)))
		return NULL;
	return ifindex ? find_port(kn, ifindex, false) : NULL;
}

/**
 * kcolo_port_find() - the port of a device
 * @kn: namespace
 * @ifindex: device
 *
 * Context: RCU or kcolo_net.cfg.
 * Return: the port or NULL; that of a pair that has failed over only if there is
 * no other one.
 */
struct kcolo_port *kcolo_port_find(struct kcolo_net *kn, int ifindex)
{
	return find_port(kn, ifindex, false);
}

/**
 * kcolo_pkt_parse_skb() - parse the headers of a packet, pulling what is needed
 * @pkt: result
 * @skb: of a bridge, skb->data is the IP header; may be reallocated
 * @v6: IPv6
 *
 * Return: enum kcolo_pkt_verdict, never KCOLO_PKT_MORE.
 */
enum kcolo_pkt_verdict kcolo_pkt_parse_skb(struct kcolo_pkt *pkt,
					   struct sk_buff *skb, bool v6)
{
	enum kcolo_pkt_verdict verdict;
	u32 vlan = kcolo_vlan(skb);

	for (;;) {
		verdict = kcolo_pkt_parse(pkt, skb->data, skb_headlen(skb),
					  skb->len, v6);
		pkt->tuple.vlan = vlan;
		if (verdict != KCOLO_PKT_MORE)
			return verdict;
		if (!pskb_may_pull(skb, pkt->need))
			return KCOLO_PKT_BAD;
	}
}

/*
 * Before routing: where a packet came in. That is what it was last received by; most
 * leave by that, without a look at the bridge's notes, which are farther away.
 */
static __always_inline struct kcolo_port *port_in(struct kcolo_net *kn,
						  const struct sk_buff *skb,
						  const struct nf_hook_state *state)
{
	if (likely(no_port(kn, skb->skb_iif)))
		return NULL;
	return port_of(kn, nf_bridge_get_physinif(skb) ?: state->in->ifindex);
}

/*
 * F3: the guest that has failed over may be a primary now. Its old connections
 * keep their translation below: what leaves was held before, what comes is
 * translated before the new pair sees it.
 */
static struct kcolo_pair *pair_below(struct kcolo_net *kn, int ifindex)
{
	struct kcolo_port *port;

	if (!ifindex || !atomic_read(&kn->failed_over))
		return NULL;
	port = find_port(kn, ifindex, true);
	return port && port->is_vm ? port->pair : NULL;
}

/*
 * Can a packet reach the guest of a pair? After a failover the clients' frames come
 * through any port of the guest's new bridge, or this host routes them to the guest:
 * those that are no bridge's, and those that a bridge hands to its own host. What
 * belongs to a connection of the pair is in the pair's zone; all others are as if
 * there were no pair (F1). What a next secondary says comes through another bridge
 * (S1, S3).
 */
static bool can_reach(const struct kcolo_pair *pair, const struct sk_buff *skb,
		      const struct nf_hook_state *state)
{
	const struct net_device *dev, *bridge = state->in;

	/* To the bridge's own hooks a port is the device. */
	if (netif_is_bridge_port(bridge))
		bridge = netdev_master_upper_dev_get_rcu(state->in);
	else if (!nf_bridge_info_exists(skb))
		return true;
	if (!bridge)
		return false;
	dev = dev_get_by_index_rcu(state->net, READ_ONCE(pair->vm.ifindex));
	return (dev && netdev_master_upper_dev_get_rcu((struct net_device *)dev) == bridge) ||
	       ether_addr_equal(eth_hdr(skb)->h_dest, bridge->dev_addr);
}

static struct kcolo_pair *pair_by_conntrack(struct sk_buff *skb,
					    const struct nf_hook_state *state)
{
	struct nf_conntrack_tuple_hash *h;
	struct nf_conntrack_tuple tuple;
	struct kcolo_zone *zone;
	struct kcolo_pair *pair;

	if (!nf_ct_get_tuplepr(skb, skb_network_offset(skb), state->pf,
			       state->net, &tuple))
		return NULL;
	list_for_each_entry_rcu(pair, &kcolo_net(state->net)->pairs, list) {
		if (kcolo_state(pair) != KCOLO_STATE_FAILOVER ||
		    !can_reach(pair, skb, state))
			continue;
		zone = kcolo_zone_find(pair, false, kcolo_vlan(skb));
		h = zone ? nf_conntrack_find_get(state->net,
						 nf_ct_zone(zone->tmpl),
						 &tuple) : NULL;
		if (!h)
			continue;
		nf_ct_put(nf_ct_tuplehash_to_ctrack(h));
		return pair;
	}
	return NULL;
}

/* What cannot be a fragment, told by the first header alone. */
static bool no_fragment(const struct sk_buff *skb, bool v6)
{
	u8 next;

	if (!v6)
		return !ip_is_fragment(ip_hdr(skb));
	next = ipv6_hdr(skb)->nexthdr;
	return next == IPPROTO_TCP || next == IPPROTO_UDP ||
	       next == IPPROTO_ICMPV6;
}

static unsigned int enter(struct kcolo_pair *pair, struct sk_buff *skb, bool vm)
{
	if (skb_nfct(skb))
		return NF_ACCEPT;
	return kcolo_zone_enter(pair, skb, vm, kcolo_vlan(skb)) ? NF_ACCEPT :
								  NF_DROP;
}

/*
 * Fragments of two guests with equal addresses are not put together (S3). What is whole
 * needs no zone: the primary's guest shares its zone with its clients, and what the
 * secondary says ends here, before conntrack.
 */
static unsigned int enter_primary(struct kcolo_port *port, struct sk_buff *skb,
				  const struct nf_hook_state *state)
{
	if (!no_fragment(skb, state->pf == NFPROTO_IPV6))
		return enter(port->pair, skb, port->is_vm);
	return port->is_vm ? NF_ACCEPT :
			     kcolo_primary_peer(port->pair, skb, state);
}

static noinline unsigned int find_zone(struct kcolo_net *kn, struct sk_buff *skb,
				       const struct nf_hook_state *state)
{
	struct kcolo_port *port = port_in(kn, skb, state);
	struct kcolo_pair *pair = port ? port->pair : NULL, *old;

	/* Connections from before it became a primary are in another zone (F3). */
	if (pair && pair->role == KCOLO_ROLE_PRIMARY) {
		old = port->is_vm && pair_below(kn, port->ifindex) ?
		      pair_by_conntrack(skb, state) : NULL;
		if (!old)
			return enter_primary(port, skb, state);
		pair = old;
	} else if (atomic_read(&kn->failed_over) &&
		   (!pair || kcolo_state(pair) == KCOLO_STATE_FAILOVER)) {
		pair = pair_by_conntrack(skb, state);
	}
	return pair ? enter(pair, skb, false) : NF_ACCEPT;
}

static unsigned int pre_zone(void *priv, struct sk_buff *skb,
			     const struct nf_hook_state *state)
{
	struct kcolo_net *kn = priv;

	if (likely(no_port(kn, skb->skb_iif) && !atomic_read(&kn->failed_over)))
		return NF_ACCEPT;
	return find_zone(kn, skb, state);
}

/*
 * What came in fragments is whole by now and still in the zone that it was put together
 * in. To conntrack the primary's guest is in the same zone as its clients; what the
 * secondary says ends here.
 */
static noinline unsigned int take_whole(struct kcolo_net *kn, struct sk_buff *skb,
					const struct nf_hook_state *state)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);
	struct kcolo_zone *zone = kcolo_zone_of(ct);
	struct kcolo_port *port;

	if (zone && zone->vm)
		nf_reset_ct(skb);
	port = port_in(kn, skb, state);
	if (!port || port->is_vm || port->pair->role != KCOLO_ROLE_PRIMARY)
		return NF_ACCEPT;
	return kcolo_primary_peer(port->pair, skb, state);
}

static unsigned int pre_primary(void *priv, struct sk_buff *skb,
				const struct nf_hook_state *state)
{
	if (likely(!skb_nfct(skb)))
		return NF_ACCEPT;
	return take_whole(priv, skb, state);
}

static unsigned int pre_track(void *priv, struct sk_buff *skb,
			      const struct nf_hook_state *state)
{
	struct kcolo_port *port;

	if (likely(!kcolo_secondary_new(skb)))
		return NF_ACCEPT;
	port = port_in(priv, skb, state);
	/* F1: after the failover new connections are not touched. */
	if (port && port->pair->role == KCOLO_ROLE_SECONDARY &&
	    kcolo_state(port->pair) != KCOLO_STATE_FAILOVER)
		return kcolo_secondary_track(port->pair, skb, state,
					     port->is_vm);
	return NF_ACCEPT;
}

/* Where the stack takes a routed packet on; so does what is made in the guest's name. */
static void note_routed(struct kcolo_pair *pair, const struct nf_hook_state *state)
{
	kcolo_okfn_t *okfn = &pair->routed[state->pf == NFPROTO_IPV6];

	if (READ_ONCE(*okfn) != state->okfn)
		WRITE_ONCE(*okfn, state->okfn);
}

/* The last step of a packet that comes in through a port. */
static unsigned int hold(struct kcolo_port *port, struct sk_buff *skb,
			 const struct nf_hook_state *state)
{
	if (port->pair->role == KCOLO_ROLE_SECONDARY)
		return kcolo_secondary_gate(port->pair, skb, state,
					    port->is_vm);
	if (!netif_is_bridge_master(state->in) && !netif_is_bridge_port(state->in))
		note_routed(port->pair, state);
	if (kcolo_observes(port->pair))
		return kcolo_observe_vm(port->pair, skb, state);
	return kcolo_primary_vm(port->pair, skb, state);
}

static unsigned int pre_hold(void *priv, struct sk_buff *skb,
			     const struct nf_hook_state *state)
{
	struct kcolo_port *port = port_in(priv, skb, state);

	return port ? hold(port, skb, state) : NF_ACCEPT;
}

static unsigned int leave_port(struct kcolo_net *kn, struct sk_buff *skb, bool v6,
			       int in_index, struct kcolo_port *in,
			       int out_index, struct kcolo_port *out)
{
	unsigned int verdict = NF_ACCEPT;
	struct kcolo_pair *from, *to;

	from = pair_below(kn, in_index);
	if (!from && in && in->is_vm && in->pair->role == KCOLO_ROLE_SECONDARY)
		from = in->pair;
	/* Two guests that have both failed over may talk to each other. */
	if (from)
		verdict = kcolo_secondary_post(from, skb, v6, true,
					       out && out->pair == from);
	to = pair_below(kn, out_index);
	if (!to && out && out->is_vm && out->pair->role == KCOLO_ROLE_SECONDARY)
		to = out->pair;
	if (to && verdict == NF_ACCEPT)
		verdict = kcolo_secondary_post(to, skb, v6, false, false);
	if (verdict == NF_ACCEPT && out && out->is_vm &&
	    out->pair->role == KCOLO_ROLE_PRIMARY)
		kcolo_primary_client(out->pair, skb, v6);
	return verdict;
}

/* A packet that came in through one port leaves through another one. */
static unsigned int leave(struct kcolo_net *kn, struct sk_buff *skb, bool v6,
			  int in_index, int out_index)
{
	struct kcolo_port *in = port_of(kn, in_index);
	struct kcolo_port *out = port_of(kn, out_index);
	unsigned int verdict;

	if (!in && !out)
		return NF_ACCEPT;
	/* What a primary's guest says to clients was held before. */
	if (!out && in->pair->role == KCOLO_ROLE_PRIMARY &&
	    !atomic_read(&kn->failed_over))
		return NF_ACCEPT;
	/* What this host itself says comes from a process. */
	local_bh_disable();
	verdict = leave_port(kn, skb, v6, in_index, in, out_index, out);
	local_bh_enable();
	return verdict;
}

static unsigned int post(void *priv, struct sk_buff *skb,
			 const struct nf_hook_state *state)
{
	int in = nf_bridge_get_physinif(skb) ?: skb->skb_iif;
	int out = nf_bridge_get_physoutif(skb) ?: state->out->ifindex;

	if (likely(no_port(priv, in) && no_port(priv, out)))
		return NF_ACCEPT;
	return leave(priv, skb, state->pf == NFPROTO_IPV6, in, out);
}

static bool is_plain_ip(const struct sk_buff *skb)
{
	return !skb_vlan_tag_present(skb) &&
	       (skb->protocol == htons(ETH_P_IP) ||
		skb->protocol == htons(ETH_P_IPV6));
}

/*
 * S1: what is not IP, in tags or not, ends here. C6: neither does it cross a
 * secondary host during a checkpoint.
 */
static noinline unsigned int not_plain(struct kcolo_port *port, struct sk_buff *skb)
{
	bool v6;

	if (kcolo_vlan_depth(skb, &v6) >= 0)
		return NF_ACCEPT;
	if (port->pair->role == KCOLO_ROLE_PRIMARY) {
		if (port->is_vm)
			return NF_ACCEPT;
		kcolo_count(port->pair, SECONDARY_PACKETS);
		kcolo_count_n(port->pair, SECONDARY_BYTES, skb->len);
		kcolo_count(port->pair, SECONDARY_IGNORED);
		return NF_DROP;
	}
	if (kcolo_state(port->pair) != KCOLO_STATE_CHECKPOINT)
		return NF_ACCEPT;
	if (port->is_vm)
		kcolo_count_drop(port->pair, GATED, skb);
	else
		kcolo_count_drop(port->pair, WAIT_DROPPED, skb);
	return NF_DROP;
}

static unsigned int bridge_pre(void *priv, struct sk_buff *skb,
			       const struct nf_hook_state *state)
{
	struct kcolo_port *port;

	if (is_plain_ip(skb))
		return NF_ACCEPT;
	port = port_of(priv, state->in->ifindex);
	return port ? not_plain(port, skb) : NF_ACCEPT;
}

/*
 * A plain IP packet that br_netfilter has not taken: its bridge does not show its
 * packets to the IP hooks. What the primary says leaves uncompared, or is translated
 * by nobody; that must not go unnoticed. S1: the secondary's ends here.
 */
static unsigned int unseen(struct kcolo_port *port)
{
	kcolo_count(port->pair, UNSEEN);
	if (!READ_ONCE(port->pair->unseen))
		WRITE_ONCE(port->pair->unseen, true);
	return port->pair->role == KCOLO_ROLE_PRIMARY && !port->is_vm ?
	       NF_DROP : NF_ACCEPT;
}

/* What the IP hooks do with a packet of a secondary, or of its clients (F1). */
static unsigned int track_tagged(struct kcolo_pair *pair, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	unsigned int verdict = enter(pair, skb, false);

	return verdict == NF_ACCEPT ? nf_conntrack_in(skb, state) : verdict;
}

static unsigned int take_tagged(struct kcolo_net *kn, struct kcolo_port *port,
				struct sk_buff *skb,
				const struct nf_hook_state *state)
{
	struct kcolo_pair *pair = port ? port->pair : NULL, *old = NULL;
	unsigned int verdict = NF_ACCEPT;
	bool failed_over = pair && kcolo_state(pair) == KCOLO_STATE_FAILOVER;

	if (pair && pair->role == KCOLO_ROLE_PRIMARY && !port->is_vm)
		return kcolo_primary_peer(pair, skb, state);
	if (atomic_read(&kn->failed_over) &&
	    (!pair || failed_over || pair->role == KCOLO_ROLE_PRIMARY))
		old = pair_by_conntrack(skb, state);
	if (old)
		verdict = track_tagged(old, skb, state);
	else if (pair && pair->role == KCOLO_ROLE_SECONDARY && !failed_over)
		verdict = track_tagged(pair, skb, state);
	if (verdict == NF_ACCEPT && pair && kcolo_secondary_new(skb) &&
	    pair->role == KCOLO_ROLE_SECONDARY && !failed_over)
		verdict = kcolo_secondary_track(pair, skb, state, port->is_vm);
	return verdict == NF_ACCEPT && pair ? hold(port, skb, state) : verdict;
}

static noinline unsigned int open_tagged(struct kcolo_net *kn, struct kcolo_port *port,
					 struct sk_buff *skb,
					 const struct nf_hook_state *state)
{
	struct nf_hook_state ip;
	unsigned int verdict;
	int depth;
	bool v6;

	depth = kcolo_vlan_depth(skb, &v6);
	if (depth < 0)
		return NF_ACCEPT;
	kcolo_vlan_state(&ip, state, v6);
	kcolo_vlan_open(skb, depth);
	verdict = take_tagged(kn, port, skb, &ip);
	if (verdict == NF_ACCEPT)
		kcolo_vlan_close(skb);
	return verdict;
}

/* What br_netfilter has left over: IP packets in tags, or all of them. */
static unsigned int bridge_left(void *priv, struct sk_buff *skb,
				const struct nf_hook_state *state)
{
	struct kcolo_net *kn = priv;
	struct kcolo_port *port;

	if (nf_bridge_info_exists(skb))
		return NF_ACCEPT;
	port = port_of(kn, state->in->ifindex);
	if (!port && !atomic_read(&kn->failed_over))
		return NF_ACCEPT;
	if (is_plain_ip(skb))
		return port ? unseen(port) : NF_ACCEPT;
	return open_tagged(kn, port, skb, state);
}

/* A conntrack of ours that no IP hook will confirm. */
static unsigned int confirm(struct sk_buff *skb)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	return ct && !nf_ct_is_template(ct) && kcolo_zone_of(ct) ?
	       nf_conntrack_confirm(skb) : NF_ACCEPT;
}

/*
 * A packet without a tag that no IP hook has seen had one where it came in, and the
 * bridge has taken it off: a client's, that comes to a guest. On a secondary all are
 * for the guest as they came; there it is the bridge that does not show its packets.
 */
static bool from_vlan(const struct kcolo_port *out)
{
	return out && (out->pair->role == KCOLO_ROLE_PRIMARY ||
		       kcolo_state(out->pair) == KCOLO_STATE_FAILOVER);
}

/*
 * The port that a frame came in through, if it was bridged from there. What this host
 * has routed has passed the IP hooks with that port.
 */
static int bridged_from(const struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct net_device *in = dev_get_by_index_rcu(state->net, skb->skb_iif);

	return in && netdev_master_upper_dev_get_rcu(in) ==
		     netdev_master_upper_dev_get_rcu(state->out) ? in->ifindex : 0;
}

static noinline unsigned int leave_tagged(struct kcolo_net *kn, struct sk_buff *skb,
					  const struct nf_hook_state *state)
{
	struct kcolo_port *in, *out;
	unsigned int verdict;
	int depth, from;
	bool v6;

	from = bridged_from(skb, state);
	in = port_of(kn, from);
	out = port_of(kn, state->out->ifindex);
	if (is_plain_ip(skb) ? !from_vlan(out) : !in && !out)
		return NF_ACCEPT;
	depth = kcolo_vlan_depth(skb, &v6);
	if (depth < 0)
		return NF_ACCEPT;
	kcolo_vlan_open(skb, depth);
	verdict = leave(kn, skb, v6, from, state->out->ifindex);
	if (verdict == NF_ACCEPT)
		verdict = confirm(skb);
	if (verdict == NF_ACCEPT)
		kcolo_vlan_close(skb);
	return verdict;
}

static unsigned int bridge_post(void *priv, struct sk_buff *skb,
				const struct nf_hook_state *state)
{
	if (nf_bridge_get_physoutif(skb))	/* the IP hooks will see it */
		return NF_ACCEPT;
	if (likely(no_port(priv, skb->skb_iif) && no_port(priv, state->out->ifindex)))
		return NF_ACCEPT;
	return leave_tagged(priv, skb, state);
}

/* First those of both roles. */
static const struct nf_hook_ops hook_ops[] = {
	{
		.hook = pre_zone,
		.pf = NFPROTO_INET,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_CONNTRACK_DEFRAG - 1,
	},
	{
		.hook = pre_hold,
		.pf = NFPROTO_INET,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = INT_MAX,
	},
	{
		.hook = post,
		.pf = NFPROTO_INET,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = 301,
	},
	{
		.hook = bridge_pre,
		.pf = NFPROTO_BRIDGE,
		.hooknum = NF_BR_PRE_ROUTING,
		.priority = NF_BR_PRI_NAT_DST_BRIDGED,
	},
	{
		.hook = bridge_left,
		.pf = NFPROTO_BRIDGE,
		.hooknum = NF_BR_PRE_ROUTING,
		.priority = INT_MAX,
	},
	{
		.hook = bridge_post,
		.pf = NFPROTO_BRIDGE,
		.hooknum = NF_BR_POST_ROUTING,
		.priority = NF_BR_PRI_LAST - 1,
	},
	{
		.hook = pre_primary,
		.pf = NFPROTO_INET,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_RAW - 1,
	},
	{
		.hook = pre_track,
		.pf = NFPROTO_INET,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_CONNTRACK + 1,
	},
};

static int defrag_get(struct net *net)
{
	int err = nf_defrag_ipv4_enable(net);

	if (err)
		return err;
	err = nf_defrag_ipv6_enable(net);
	if (err)
		nf_defrag_ipv4_disable(net);
	return err;
}

static void defrag_put(struct net *net)
{
	nf_defrag_ipv6_disable(net);
	nf_defrag_ipv4_disable(net);
}

#define HOOKS_BOTH	(KCOLO_HOOKS - 2)

/* The hooks that only pairs of a role need. */
static struct nf_hook_ops *hook_of(struct kcolo_net *kn, u8 role)
{
	return &kn->ops[HOOKS_BOTH + (role == KCOLO_ROLE_SECONDARY)];
}

/**
 * kcolo_hooks_init() - the hooks of a new namespace, not registered
 * @kn: namespace
 */
void kcolo_hooks_init(struct kcolo_net *kn)
{
	int i;

	BUILD_BUG_ON(ARRAY_SIZE(hook_ops) != KCOLO_HOOKS);
	memcpy(kn->ops, hook_ops, sizeof(hook_ops));
	for (i = 0; i < KCOLO_HOOKS; i++)
		kn->ops[i].priv = kn;
}

static int hooks_on(struct net *net, u8 role)
{
	struct kcolo_net *kn = kcolo_net(net);
	int err;

	if (!kn->users[0] && !kn->users[1]) {
		err = nf_register_net_hooks(net, kn->ops, HOOKS_BOTH);
		if (err)
			return err;
	}
	if (!kn->users[role]) {
		err = nf_register_net_hook(net, hook_of(kn, role));
		if (err)
			goto err_both;
	}
	kn->users[role]++;
	return 0;

err_both:
	if (!kn->users[0] && !kn->users[1])
		nf_unregister_net_hooks(net, kn->ops, HOOKS_BOTH);
	return err;
}

static void hooks_off(struct net *net, u8 role)
{
	struct kcolo_net *kn = kcolo_net(net);

	/* The namespace may have gone ahead. */
	if (!kn->users[role])
		return;
	if (!--kn->users[role])
		nf_unregister_net_hook(net, hook_of(kn, role));
	if (!kn->users[0] && !kn->users[1])
		nf_unregister_net_hooks(net, kn->ops, HOOKS_BOTH);
}

/**
 * kcolo_hooks_get() - switch on what a new pair needs
 * @net: namespace
 * @role: of the pair; a secondary needs conntrack, a primary whole datagrams
 *
 * Context: process, kcolo_net.cfg held.
 * Return: 0 or a negative errno.
 */
int kcolo_hooks_get(struct net *net, u8 role)
{
	int err;

	err = role == KCOLO_ROLE_SECONDARY ?
	      nf_ct_netns_get(net, NFPROTO_INET) : defrag_get(net);
	if (err)
		return err;
	err = hooks_on(net, role);
	if (!err)
		return 0;
	if (role == KCOLO_ROLE_SECONDARY)
		nf_ct_netns_put(net, NFPROTO_INET);
	else
		defrag_put(net);
	return err;
}

/**
 * kcolo_hooks_put() - undo kcolo_hooks_get()
 * @net: namespace
 * @role: of the pair that goes
 *
 * Hooks may still run until a grace period.
 * Context: process, kcolo_net.cfg held.
 */
void kcolo_hooks_put(struct net *net, u8 role)
{
	hooks_off(net, role);
	if (role == KCOLO_ROLE_SECONDARY)
		nf_ct_netns_put(net, NFPROTO_INET);
	else
		defrag_put(net);
}

/**
 * kcolo_hooks_off() - no packet comes in any more, after a grace period
 * @net: namespace
 */
void kcolo_hooks_off(struct net *net)
{
	struct kcolo_net *kn = kcolo_net(net);
	u8 role;

	for (role = 0; role < ARRAY_SIZE(kn->users); role++) {
		kn->users[role] = min(kn->users[role], 1U);
		hooks_off(net, role);
	}
}

// SPDX-License-Identifier: GPL-2.0
/*
 * IP packets inside VLAN tags, one or two, 802.1Q or 802.1ad.
 *
 * br_netfilter shows packets with one tag to the IP hooks only where
 * bridge-nf-filter-vlan-tagged is set, and those with two never. So the bridge's own
 * hooks (hook.c) take what it leaves over, and here the packet is made to look as the
 * IP hooks would see it: skb->data is the IP header, what is before it stays. The outer
 * tag is in the skb, the inner one in front of the IP header.
 *
 * Such packets are not put together out of fragments: each is compared by itself (R8).
 */
#include <linux/if_vlan.h>
#include <linux/netfilter_bridge.h>

#include "vlan.h"

#define TAGS_MAX 2

/* br_handle_frame_finish(), which the bridge does not declare to others. */
static kcolo_okfn_t bridge_okfn;

/* VLAN 0 is none, it only carries a priority. */
static u32 add_tag(u32 vlan, __be16 proto, u16 tci)
{
	u32 vid = tci & VLAN_VID_MASK;

	if (!vid)
		return vlan;
	if (proto == htons(ETH_P_8021AD))
		vid |= KCOLO_VLAN_AD;
	return vlan << KCOLO_VLAN_BITS | vid;
}

/**
 * kcolo_vlan() - the VLAN of a bridged packet
 * @skb: skb->data is the IP header
 *
 * Return: as in &struct kcolo_tuple.
 */
u32 kcolo_vlan(const struct sk_buff *skb)
{
	const struct vlan_hdr *tag;
	__be16 proto;
	u32 vlan = 0;
	const u8 *at;

	if (skb_vlan_tag_present(skb))
		vlan = add_tag(vlan, skb->vlan_proto, skb_vlan_tag_get(skb));
	/* This host's own, on its way to a guest that it routes to, is no frame yet. */
	if (!skb_mac_header_was_set(skb))
		return vlan;
	at = skb_mac_header(skb) + ETH_HLEN;
	proto = eth_hdr(skb)->h_proto;
	for (; eth_type_vlan(proto) && at + VLAN_HLEN <= skb->data;
	     at += VLAN_HLEN) {
		tag = (const struct vlan_hdr *)at;
		vlan = add_tag(vlan, proto, ntohs(tag->h_vlan_TCI));
		proto = tag->h_vlan_encapsulated_proto;
	}
	return vlan;
}

/**
 * kcolo_vlan_depth() - find the IP header behind a frame's tags
 * @skb: at a hook of the bridge; may be reallocated
 * @v6: result
 *
 * Return: bytes of tags in front of it; -1 if the frame is not IP or has too many.
 */
int kcolo_vlan_depth(struct sk_buff *skb, bool *v6)
{
	int tags = skb_vlan_tag_present(skb), depth = 0;
	__be16 proto = skb->protocol;

	while (eth_type_vlan(proto)) {
		if (++tags > TAGS_MAX || !pskb_may_pull(skb, depth + VLAN_HLEN))
			return -1;
		proto = ((struct vlan_hdr *)(skb->data + depth))->h_vlan_encapsulated_proto;
		depth += VLAN_HLEN;
	}
	*v6 = proto == htons(ETH_P_IPV6);
	return *v6 || proto == htons(ETH_P_IP) ? depth : -1;
}

/**
 * kcolo_vlan_open() - make a frame look as the IP hooks would see it
 * @skb: at a hook of the bridge
 * @depth: of kcolo_vlan_depth()
 */
void kcolo_vlan_open(struct sk_buff *skb, int depth)
{
	skb_pull_rcsum(skb, depth);
	skb_reset_network_header(skb);
}

/**
 * kcolo_vlan_close() - undo kcolo_vlan_open()
 * @skb: frame
 */
void kcolo_vlan_close(struct sk_buff *skb)
{
	skb_push_rcsum(skb, skb->data - skb_mac_header(skb) - ETH_HLEN);
	skb_reset_network_header(skb);
}

/* Where such a packet goes on; its port may have left the bridge meanwhile. */
static int go_on(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	if (!netif_is_bridge_port(skb->dev)) {
		kfree_skb(skb);
		return 0;
	}
	kcolo_vlan_close(skb);
	return READ_ONCE(bridge_okfn)(net, sk, skb);
}

/**
 * kcolo_vlan_state() - the hook's state as the IP hooks would see it
 * @to: result
 * @state: of a hook of the bridge at PRE_ROUTING
 * @v6: IPv6
 */
void kcolo_vlan_state(struct nf_hook_state *to,
		      const struct nf_hook_state *state, bool v6)
{
	if (READ_ONCE(bridge_okfn) != state->okfn)
		WRITE_ONCE(bridge_okfn, state->okfn);
	*to = *state;
	to->pf = v6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	to->okfn = go_on;
}

/* The Ethernet type of a tag. */
static __be16 tag_proto(u32 tag)
{
	return tag & KCOLO_VLAN_AD ? htons(ETH_P_8021AD) : htons(ETH_P_8021Q);
}

/**
 * kcolo_vlan_push() - put Ethernet header and tags in front of an IP packet
 * @skb: skb->data is the IP header, room in front of it
 * @dst: hardware address
 * @src: hardware address
 * @tuple: of the packet's flow
 */
void kcolo_vlan_push(struct sk_buff *skb, const u8 *dst, const u8 *src,
		     const struct kcolo_tuple *tuple)
{
	u32 inner = kcolo_vlan_inner(tuple->vlan);
	u32 outer = kcolo_vlan_outer(tuple->vlan);
	struct vlan_hdr *tag;
	struct ethhdr *eth;

	skb->protocol = tuple->v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	if (inner) {
		tag = skb_push(skb, VLAN_HLEN);
		tag->h_vlan_TCI = htons(inner & KCOLO_VLAN_VID);
		tag->h_vlan_encapsulated_proto = skb->protocol;
		skb->protocol = tag_proto(inner);
	}
	eth = skb_push(skb, ETH_HLEN);
	skb_reset_mac_header(skb);
	ether_addr_copy(eth->h_dest, dst);
	ether_addr_copy(eth->h_source, src);
	eth->h_proto = skb->protocol;
	if (outer)
		__vlan_hwaccel_put_tag(skb, tag_proto(outer),
				       outer & KCOLO_VLAN_VID);
}

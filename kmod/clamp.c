// SPDX-License-Identifier: GPL-2.0
/*
 * The window that the client sees is the smaller one (R3): window.c reckons, this
 * writes it into the primary's packets. When the secondary makes room that the
 * primary has offered before, nothing of the primary need ever follow; so a
 * window update is made in its name, out of the secondary's packet that tells of
 * it: the same two ends, and the same way through the bridge.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/netfilter_bridge.h>
#include <linux/tcp.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/tcp.h>

#include "kcolo.h"

/*
 * R12: other packets have overtaken this one, and the client has been told so much more
 * since that it throws away what comes with so old an acknowledgment, its data, too:
 * it allows for the largest window that it was told (RFC 5961, 5.2), which is not
 * less than the present one.
 */
static bool too_old(const struct kcolo_flow *flow, const struct kcolo_seg *seg)
{
	u32 behind = flow->ack_out - seg->ack;

	return unlikely(flow->out_ok && (s32)behind > 0) &&
	       behind > flow->win.out_edge - flow->ack_out &&
	       seg->seq != seg->end && !(seg->flags & KCOLO_TCP_SYN);
}

static void put_byte(struct sk_buff *skb, struct tcphdr *th, u32 off, u8 to)
{
	u8 *p = (u8 *)th + off;
	u32 shift = off & 1 ? 0 : 8;	/* its place in the checksum's words */

	inet_proto_csum_replace2(&th->check, skb, htons(*p << shift),
				 htons(to << shift), false);
	*p = to;
}

/* Blocks below the acknowledgment would be taken for duplicates (RFC 2883). */
static void drop_sacks(struct sk_buff *skb, struct tcphdr *th)
{
	struct kcolo_tcp_opts opts;
	u32 i, off, end;

	kcolo_tcp_opts(&opts, (u8 *)th, th->doff * 4);
	for (i = 0; i < opts.sacks; i++) {
		off = opts.sack[i] - 2;
		end = opts.sack[i] + 8 * opts.sack_blocks[i];
		while (off < end)
			put_byte(skb, th, off++, TCPOPT_NOP);
	}
}

static void tell_newest(struct kcolo_flow *flow, const struct kcolo_seg *seg,
			struct sk_buff *skb, struct tcphdr *th)
{
	u16 win = kcolo_window_make(&flow->win, flow->ack_out);

	inet_proto_csum_replace4(&th->check, skb, htonl(seg->ack),
				 htonl(flow->ack_out), false);
	inet_proto_csum_replace2(&th->check, skb, th->window, htons(win), false);
	th->ack_seq = htonl(flow->ack_out);
	th->window = htons(win);
	drop_sacks(skb, th);
}

/**
 * kcolo_clamp_leave() - a packet of the primary leaves with the smaller window
 * @flow: locked by the caller
 * @seg: the segment, has ACK
 * @skb: its packet, skb->data is the IP header; may be reallocated
 * @l4: offset of the TCP header
 * @data: offset of what is behind it
 * @win: its window as on the wire
 *
 * Without memory it leaves as it is: the secondary drops what it has no room for. So it
 * does in mode observe, where nothing depends on the secondary (R14), and if its header
 * is signed.
 */
void kcolo_clamp_leave(struct kcolo_flow *flow, const struct kcolo_seg *seg,
		       struct sk_buff *skb, u32 l4, u32 data, u16 win)
{
	bool late = too_old(flow, seg);
	u16 to = kcolo_window_leave(&flow->win, seg, win);
	struct tcphdr *th;

	if (likely(to == win && !late))
		return;
	if (flow->p_sig)
		kcolo_count(flow->pair, SIGNED);
	if (flow->p_sig || kcolo_observes(flow->pair) ||
	    skb_ensure_writable(skb, data)) {
		kcolo_window_left(&flow->win, seg, win);
		return;
	}
	th = (struct tcphdr *)(skb->data + l4);
	if (late) {
		tell_newest(flow, seg, skb, th);
		return;
	}
	inet_proto_csum_replace2(&th->check, skb, htons(win), htons(to), false);
	th->window = htons(to);
	kcolo_count(flow->pair, WINDOWS_CLAMPED);
}

/* As if this host had been asked to route it. */
static bool to_this_host(struct kcolo_pair *pair, struct sk_buff *skb,
			 struct net_device *vm, bool v6, kcolo_okfn_t *okfn)
{
	*okfn = READ_ONCE(pair->routed[v6]);
	skb->dev = vm;
	skb->skb_iif = vm->ifindex;
	skb->protocol = v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	skb->pkt_type = PACKET_HOST;
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
	return *okfn;
}

/* As if it had come in through the guest's port; RCU. */
static bool through_vm_port(struct kcolo_flow *flow, struct sk_buff *skb,
			    const struct sk_buff *like, kcolo_okfn_t *okfn)
{
	const struct nf_bridge_info *notes = nf_bridge_info_get(like);
	struct kcolo_pair *pair = flow->pair;
	struct nf_bridge_info *info;
	struct net_device *vm;

	vm = dev_get_by_index_rcu(pair->net, READ_ONCE(pair->vm.ifindex));
	if (vm && !netif_is_bridge_port(vm))
		return to_this_host(pair, skb, vm, flow->tuple.v6, okfn);
	/* Only br_netfilter makes the bridge look like the device. */
	skb->dev = vm && notes ? netdev_master_upper_dev_get_rcu(vm) : vm;
	if (!skb->dev)
		return false;
	if (notes) {
		info = skb_ext_add(skb, SKB_EXT_BRIDGE_NF);
		if (!info)
			return false;
		*info = *notes;
		info->physinif = vm->ifindex;
	}
	skb->skb_iif = vm->ifindex;
	skb->protocol = like->protocol;
	__vlan_hwaccel_copy_tag(skb, like);
	skb->pkt_type = like->pkt_type;
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
	return true;
}

/**
 * kcolo_clamp_update() - make a window update if the clamp has loosened
 * @flow: locked by the caller
 * @note: what the secondary's segment says
 * @like: the secondary's packet, at PRE_ROUTING of its bridge
 * @okfn: where @like would have gone on; then, where the update is to
 *
 * As a packet of the primary's.
 *
 * Return: the packet; NULL if there is no news, or without memory: the
 * secondary's next packet is the next chance.
 */
struct sk_buff *kcolo_clamp_update(struct kcolo_flow *flow,
				   const struct kcolo_lowered *note,
				   const struct sk_buff *like,
				   kcolo_okfn_t *okfn)
{
	u32 mac_len = like->data - skb_mac_header(like);
	struct kcolo_ack_head head;
	struct sk_buff *skb;

	if (!note->ok || flow->p_sig || kcolo_observes(flow->pair) ||
	    !kcolo_window_loosened(&flow->win, flow->ack_out))
		return NULL;
	head = (struct kcolo_ack_head){
		.seq = flow->seq_out,
		.ack = flow->ack_out,
		.ttl = flow->p_ttl,
		.has_ts = note->has_ts && flow->p_ts_ok,
		.tsval = flow->p_tsval,
		.tsecr = note->tsecr,
	};
	skb = alloc_skb(LL_MAX_HEADER + mac_len + KCOLO_ACK_ROOM, GFP_ATOMIC);
	if (!skb)
		return NULL;
	skb_reserve(skb, LL_MAX_HEADER);
	skb_put_data(skb, skb_mac_header(like), mac_len);
	skb_reset_mac_header(skb);
	__skb_pull(skb, mac_len);
	skb_reset_network_header(skb);
	skb_reset_mac_len(skb);
	if (!through_vm_port(flow, skb, like, okfn)) {
		kfree_skb(skb);
		return NULL;
	}
	head.win = kcolo_window_make(&flow->win, flow->ack_out);
	kcolo_ack_put(skb, &flow->tuple, &head);
	kcolo_clock_left(flow);
	kcolo_count(flow->pair, WINDOWS_UPDATED);
	return skb;
}

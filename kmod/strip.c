// SPDX-License-Identifier: GPL-2.0
/*
 * Takes options out of SYNs that two guests can never agree on (R4): syn.c says
 * which. Nobody is told: the guest and its client agree on TCP without.
 */
#include <linux/tcp.h>
#include <net/checksum.h>

#include "kcolo.h"
#include "syn.h"

/**
 * kcolo_strip() - take out of a SYN what two guests cannot agree on
 * @pair: pair
 * @skb: skb->data is the IP header; may be reallocated
 * @pkt: the parsed packet, a SYN
 *
 * Without memory, or signed, it stays as it is, and the comparison refuses it.
 */
void kcolo_strip(struct kcolo_pair *pair, struct sk_buff *skb,
		 const struct kcolo_pkt *pkt)
{
	u32 at = pkt->l4 + sizeof(struct tcphdr), len = pkt->data - at;
	struct kcolo_tcp_opts known;
	u8 opts[KCOLO_OPTIONS_MAX];
	struct tcphdr *th;
	__wsum diff;

	if (!len)
		return;
	memcpy(opts, skb->data + at, len);
	if (!kcolo_syn_strip(opts, len))
		return;
	kcolo_tcp_opts(&known, skb->data + pkt->l4, pkt->data - pkt->l4);
	if (known.sig) {
		kcolo_count(pair, SIGNED);
		return;
	}
	/* The other copies of the packet stay as they are. */
	if (skb_ensure_writable(skb, pkt->data)) {
		kcolo_count(pair, NOMEM);
		return;
	}
	diff = csum_sub(csum_partial(opts, len, 0),
			csum_partial(skb->data + at, len, 0));
	memcpy(skb->data + at, opts, len);
	th = (struct tcphdr *)(skb->data + pkt->l4);
	/* What is filled in later covers what is there then. */
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		csum_replace_by_diff(&th->check, diff);
	kcolo_count(pair, OPTIONS_STRIPPED);
}

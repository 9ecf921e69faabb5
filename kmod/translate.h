/* SPDX-License-Identifier: GPL-2.0 */
/* In-place translation of TCP numbers (W1). */
#ifndef _KCOLO_TRANSLATE_H
#define _KCOLO_TRANSLATE_H

#include "kcolo.h"

int kcolo_unlist_segments(struct sk_buff *skb, const struct kcolo_pkt *pkt);
int kcolo_translate(struct sk_buff *skb, const struct kcolo_pkt *pkt,
		    const struct kcolo_shift *shift);
int kcolo_translate_quote(struct sk_buff *skb, const struct kcolo_quote *quote,
			  const struct kcolo_shift *shift);
int kcolo_set_ttl(struct sk_buff *skb, bool v6, u8 ttl);

/**
 * kcolo_unlist() - make a list of whole segments an ordinary super-packet
 * @skb: skb->data is the IP header; its header may be reallocated
 * @pkt: the parsed packet
 *
 * Else what is done to its header would be done to its first segment only.
 *
 * Return: 0 or -ENOMEM, then nothing was changed.
 */
static inline int kcolo_unlist(struct sk_buff *skb, const struct kcolo_pkt *pkt)
{
	return unlikely(skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST) ?
	       kcolo_unlist_segments(skb, pkt) : 0;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* In-place translation of TCP numbers (W1). */
#ifndef _KCOLO_TRANSLATE_H
#define _KCOLO_TRANSLATE_H

#include "kcolo.h"

int kcolo_unlist(struct sk_buff *skb, const struct kcolo_pkt *pkt);
int kcolo_translate(struct sk_buff *skb, const struct kcolo_pkt *pkt,
		    const struct kcolo_shift *shift);
int kcolo_translate_quote(struct sk_buff *skb, const struct kcolo_quote *quote,
			  const struct kcolo_shift *shift);
int kcolo_set_ttl(struct sk_buff *skb, bool v6, u8 ttl);

#endif

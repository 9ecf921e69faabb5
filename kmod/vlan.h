/* SPDX-License-Identifier: GPL-2.0 */
/* IP packets inside VLAN tags. */
#ifndef _KCOLO_VLAN_H
#define _KCOLO_VLAN_H

#include "kcolo.h"

u32 kcolo_vlan(const struct sk_buff *skb);
int kcolo_vlan_depth(struct sk_buff *skb, bool *v6);
void kcolo_vlan_open(struct sk_buff *skb, int depth);
void kcolo_vlan_close(struct sk_buff *skb);
void kcolo_vlan_state(struct nf_hook_state *to,
		      const struct nf_hook_state *state, bool v6);
void kcolo_vlan_push(struct sk_buff *skb, const u8 *dst, const u8 *src,
		     const struct kcolo_tuple *tuple);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Conntrack zones of a pair (S3). */
#ifndef _KCOLO_ZONE_H
#define _KCOLO_ZONE_H

#include <net/netfilter/nf_conntrack.h>

#include "kcolo.h"

/**
 * struct kcolo_zone - where packets of one side of a pair and one VLAN are tracked
 * @pair: whose
 * @vlan: as in &struct kcolo_tuple
 * @id: conntrack's number of it
 * @vm: of the primary's guest, only for fragments
 * @tmpl: template conntrack that puts packets into it
 * @rcu: delayed free
 */
struct kcolo_zone {
	struct kcolo_pair *pair;
	u32 vlan;
	u32 id;
	bool vm;
	struct nf_conn *tmpl;
	struct rcu_head rcu;
};

int kcolo_zone_setup(struct kcolo_pair *pair);
void kcolo_zone_end(struct kcolo_pair *pair);
struct kcolo_zone *kcolo_zone_find(struct kcolo_pair *pair, bool vm, u32 vlan);
struct kcolo_zone *kcolo_zone_get(struct kcolo_pair *pair, bool vm, u32 vlan);
struct kcolo_zone *kcolo_zone_of(const struct nf_conn *ct);
bool kcolo_zone_has(const struct kcolo_pair *pair, const struct nf_conn *ct);
bool kcolo_zone_enter(struct kcolo_pair *pair, struct sk_buff *skb, bool vm,
		      u32 vlan);

#endif

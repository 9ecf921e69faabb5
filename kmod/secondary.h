/* SPDX-License-Identifier: GPL-2.0 */
/* The secondary's connections, for dumps. */
#ifndef _KCOLO_SECONDARY_H
#define _KCOLO_SECONDARY_H

#include <net/netfilter/nf_conntrack.h>

#include "kcolo.h"

/**
 * struct kcolo_secondary_flow - a connection in conntrack
 * @tuple: from its opener to the other end
 * @offset: secondary_isn - primary_isn, if @offset_ok
 * @tsoffset: the secondary's timestamps minus the primary's, if @tsoffset_ok
 * @dormant: offset that comes into force at the failover, if @dormant_ok (F3)
 * @ts_dormant: the same of the timestamps
 * @idle: milliseconds since its last packet, if @idle_ok
 * @state: enum kcolo_flow_state
 * @from_vm: the guest is the opener
 * @translated: it lives and its numbers are translated
 * @offset_ok: the offset is known
 * @tsoffset_ok: timestamps are in use and their offset is known
 * @dormant_ok: @dormant is valid
 * @idle_ok: @idle is valid
 */
struct kcolo_secondary_flow {
	struct kcolo_tuple tuple;
	u32 offset;
	u32 tsoffset;
	u32 dormant;
	u32 ts_dormant;
	u32 idle;
	u8 state;
	bool from_vm;
	bool translated;
	bool offset_ok;
	bool tsoffset_ok;
	bool dormant_ok;
	bool idle_ok;
};

/**
 * struct kcolo_cursor - a place in conntrack's table
 * @bucket: bucket
 * @index: connections of the pair in it that are done
 */
struct kcolo_cursor {
	unsigned int bucket;
	unsigned int index;
};

/**
 * kcolo_secondary_new() - may this packet begin a connection
 * @skb: at PRE_ROUTING, just behind conntrack
 *
 * Return: true if its conntrack is new and TCP's; all others need no extension.
 */
static inline bool kcolo_secondary_new(const struct sk_buff *skb)
{
	enum ip_conntrack_info ctinfo;
	const struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	return ct && unlikely(ctinfo == IP_CT_NEW) && !nf_ct_is_confirmed(ct) &&
	       !nf_ct_is_template(ct) && nf_ct_protonum(ct) == IPPROTO_TCP;
}

int kcolo_secondary_restore(struct kcolo_pair *pair,
			    const struct kcolo_secondary_flow *info);
int kcolo_secondary_walk(struct kcolo_pair *pair, struct kcolo_cursor *at,
			 int (*fn)(const struct kcolo_secondary_flow *, void *),
			 void *data);

#endif

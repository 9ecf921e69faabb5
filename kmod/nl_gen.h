/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/kcolo.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_KCOLO_GEN_H
#define _LINUX_KCOLO_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/kcolo.h>

/* Global operation policy for kcolo */
extern const struct nla_policy kcolo_nl_policy[KCOLO_A_CVLAN_PROTO + 1];

/* Ops table for kcolo */
extern const struct genl_small_ops kcolo_nl_ops[12];
extern const struct genl_multicast_group kcolo_nl_mcgrps[4];

int kcolo_nl_pair_add_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_pair_set_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_pair_del_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_pair_get_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_pair_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int kcolo_nl_checkpoint_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_failover_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_flow_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int kcolo_nl_rule_add_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_rule_del_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_rule_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int kcolo_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info);
int kcolo_nl_stats_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int kcolo_nl_flow_restore_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	KCOLO_NLGRP_MISCOMPARE,
	KCOLO_NLGRP_CHECKPOINT,
	KCOLO_NLGRP_PAIR,
	KCOLO_NLGRP_FLOW,
};

#endif /* _LINUX_KCOLO_GEN_H */

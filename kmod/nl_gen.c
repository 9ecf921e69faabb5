// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/kcolo.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "nl_gen.h"

#include <uapi/linux/kcolo.h>

/* Integer value ranges */
static struct netlink_range_validation kcolo_a_timeout_range = {
	.min	= 10ULL,
	.max	= 600000ULL,
};

static struct netlink_range_validation kcolo_a_scan_range = {
	.min	= 10ULL,
	.max	= 600000ULL,
};

static struct netlink_range_validation kcolo_a_max_packets_range = {
	.min	= 1ULL,
	.max	= 1048576ULL,
};

static struct netlink_range_validation kcolo_a_max_bytes_range = {
	.min	= 65536ULL,
	.max	= 1073741824ULL,
};

static struct netlink_range_validation kcolo_a_max_flows_range = {
	.min	= 1ULL,
	.max	= 4194304ULL,
};

static struct netlink_range_validation kcolo_a_min_interval_range = {
	.max	= 600000ULL,
};

/* Global operation policy for kcolo */
const struct nla_policy kcolo_nl_policy[KCOLO_A_CVLAN_PROTO + 1] = {
	[KCOLO_A_PAIR] = { .type = NLA_NUL_STRING, .len = KCOLO_NAME_MAX, },
	[KCOLO_A_ROLE] = NLA_POLICY_MAX(NLA_U32, 1),
	[KCOLO_A_VM] = { .type = NLA_NUL_STRING, .len = 15, },
	[KCOLO_A_PEER] = { .type = NLA_NUL_STRING, .len = 15, },
	[KCOLO_A_MODE] = NLA_POLICY_MAX(NLA_U32, 1),
	[KCOLO_A_TIMEOUT] = NLA_POLICY_FULL_RANGE(NLA_U32, &kcolo_a_timeout_range),
	[KCOLO_A_SCAN] = NLA_POLICY_FULL_RANGE(NLA_U32, &kcolo_a_scan_range),
	[KCOLO_A_MAX_PACKETS] = NLA_POLICY_FULL_RANGE(NLA_U32, &kcolo_a_max_packets_range),
	[KCOLO_A_MAX_BYTES] = NLA_POLICY_FULL_RANGE(NLA_U32, &kcolo_a_max_bytes_range),
	[KCOLO_A_MAX_FLOWS] = NLA_POLICY_FULL_RANGE(NLA_U32, &kcolo_a_max_flows_range),
	[KCOLO_A_MIN_INTERVAL] = NLA_POLICY_FULL_RANGE(NLA_U32, &kcolo_a_min_interval_range),
	[KCOLO_A_FORCE] = { .type = NLA_FLAG, },
	[KCOLO_A_ACTION] = NLA_POLICY_MAX(NLA_U32, 2),
	[KCOLO_A_EPOCH] = { .type = NLA_U32, },
	[KCOLO_A_PROTO] = { .type = NLA_U8, },
	[KCOLO_A_SRC] = { .type = NLA_BINARY, },
	[KCOLO_A_DST] = { .type = NLA_BINARY, },
	[KCOLO_A_SPORT] = { .type = NLA_U16, },
	[KCOLO_A_DPORT] = { .type = NLA_U16, },
	[KCOLO_A_OFFSET] = { .type = NLA_U32, },
	[KCOLO_A_TSOFFSET] = { .type = NLA_S32, },
	[KCOLO_A_RULE_ID] = { .type = NLA_U32, },
	[KCOLO_A_RULE_ACTION] = NLA_POLICY_MAX(NLA_U32, 1),
	[KCOLO_A_SRC_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
	[KCOLO_A_DST_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
	[KCOLO_A_ACTIVE_OPEN] = { .type = NLA_FLAG, },
	[KCOLO_A_VLAN] = NLA_POLICY_RANGE(NLA_U16, 1, 4094),
	[KCOLO_A_VLAN_PROTO] = { .type = NLA_U16, },
	[KCOLO_A_CVLAN] = NLA_POLICY_RANGE(NLA_U16, 1, 4094),
	[KCOLO_A_CVLAN_PROTO] = { .type = NLA_U16, },
};

/* Ops table for kcolo */
const struct genl_small_ops kcolo_nl_ops[12] = {
	{
		.cmd	= KCOLO_CMD_PAIR_ADD,
		.doit	= kcolo_nl_pair_add_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_PAIR_SET,
		.doit	= kcolo_nl_pair_set_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_PAIR_DEL,
		.doit	= kcolo_nl_pair_del_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_PAIR_GET,
		.doit	= kcolo_nl_pair_get_doit,
		.dumpit	= kcolo_nl_pair_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_CHECKPOINT,
		.doit	= kcolo_nl_checkpoint_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_FAILOVER,
		.doit	= kcolo_nl_failover_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_FLOW_GET,
		.dumpit	= kcolo_nl_flow_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_RULE_ADD,
		.doit	= kcolo_nl_rule_add_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_RULE_DEL,
		.doit	= kcolo_nl_rule_del_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_RULE_GET,
		.dumpit	= kcolo_nl_rule_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_STATS_GET,
		.doit	= kcolo_nl_stats_get_doit,
		.dumpit	= kcolo_nl_stats_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= KCOLO_CMD_FLOW_RESTORE,
		.doit	= kcolo_nl_flow_restore_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
};

const struct genl_multicast_group kcolo_nl_mcgrps[] = {
	[KCOLO_NLGRP_MISCOMPARE] = { .name = "miscompare", .flags = GENL_MCAST_CAP_NET_ADMIN, },
	[KCOLO_NLGRP_CHECKPOINT] = { .name = "checkpoint", .flags = GENL_MCAST_CAP_NET_ADMIN, },
	[KCOLO_NLGRP_PAIR] = { .name = "pair", .flags = GENL_MCAST_CAP_NET_ADMIN, },
	[KCOLO_NLGRP_FLOW] = { .name = "flow", .flags = GENL_MCAST_CAP_NET_ADMIN, },
};

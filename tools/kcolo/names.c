// SPDX-License-Identifier: GPL-2.0
/* Do not edit: made by spec-names.py from the YNL spec. */

#include <stddef.h>

#include <linux/kcolo.h>

#include "names.h"

static const char *const role[] = {
	"primary",
	"secondary",
};

const struct names names_role = {
	.n = sizeof(role) / sizeof(*role),
	.name = role,
};

static const char *const mode[] = {
	"hold",
	"observe",
};

const struct names names_mode = {
	.n = sizeof(mode) / sizeof(*mode),
	.name = mode,
};

static const char *const state[] = {
	"running",
	"checkpoint",
	"bypass",
	"failover",
};

const struct names names_state = {
	.n = sizeof(state) / sizeof(*state),
	.name = state,
};

static const char *const reason[] = {
	"payload",
	"length",
	"syn-options",
	"fin",
	"rst",
	"window",
	"timeout",
	"overflow",
	"malformed",
	"lost",
};

const struct names names_reason = {
	.n = sizeof(reason) / sizeof(*reason),
	.name = reason,
};

static const char *const action[] = {
	"begin",
	"commit",
	"abort",
};

const struct names names_action = {
	.n = sizeof(action) / sizeof(*action),
	.name = action,
};

static const char *const rule_action[] = {
	"bypass",
	"compare",
};

const struct names names_rule_action = {
	.n = sizeof(rule_action) / sizeof(*rule_action),
	.name = rule_action,
};

static const char *const cause[] = {
	"user",
	"expired",
	"unanswered",
	"port-gone",
	"epoch",
	"unseen",
};

const struct names names_cause = {
	.n = sizeof(cause) / sizeof(*cause),
	.name = cause,
};

static const char *const flow_state[] = {
	"opening",
	"established",
	"adopting",
	"closing",
	"closed",
	"miscompared",
};

const struct names names_flow_state = {
	.n = sizeof(flow_state) / sizeof(*flow_state),
	.name = flow_state,
};

static const char *const kcolo_attrs[] = {
	NULL,
	"pad",
	"pair",
	"role",
	"vm",
	"peer",
	"mode",
	"timeout",
	"scan",
	"max-packets",
	"max-bytes",
	"max-flows",
	"min-interval",
	"force",
	"action",
	"epoch",
	"state",
	"request",
	"translated",
	"stats",
	"cause",
	"reason",
	"proto",
	"src",
	"dst",
	"sport",
	"dport",
	"flow-state",
	"offset",
	"held",
	"held-bytes",
	"idle",
	"compared",
	"seq",
	"stream-offset",
	"primary",
	"secondary",
	"tsoffset",
	"rule-id",
	"rule-action",
	"src-len",
	"dst-len",
	"packets",
	"active-open",
	"dormant-offset",
	"dormant-tsoffset",
	"last-miscompare",
	"before",
	"ago",
	"hold-times",
	"compare-lag",
	"vlan",
	"vlan-proto",
	"cvlan",
	"cvlan-proto",
};

const struct names names_kcolo_attrs = {
	.n = sizeof(kcolo_attrs) / sizeof(*kcolo_attrs),
	.name = kcolo_attrs,
};

_Static_assert(KCOLO_A_MAX == 54,
	       "run spec-names.py: the spec has changed");

static const char *const stats_attrs[] = {
	NULL,
	"pad",
	"held",
	"held-bytes",
	"queued",
	"queued-bytes",
	"flows",
	"primary-packets",
	"primary-bytes",
	"secondary-packets",
	"secondary-bytes",
	"passed",
	"hold",
	"released",
	"released-bytes",
	"flushed",
	"dropped-reset",
	"compared-bytes",
	"compared-datagrams",
	"uncompared-midstream",
	"uncompared-proto",
	"uncompared-timed",
	"uncompared-rule",
	"uncompared-bypass",
	"unseen",
	"malformed",
	"secondary-malformed",
	"secondary-covered",
	"secondary-unmatched",
	"secondary-surplus",
	"secondary-stale",
	"secondary-refused",
	"secondary-ignored",
	"secondary-rule",
	"secondary-bypass",
	"overflow",
	"nomem",
	"miscompares",
	"timeouts",
	"requests",
	"checkpoints",
	"aborts",
	"acks-resent",
	"sacks-made",
	"acks-lowered",
	"heads-left",
	"windows-clamped",
	"windows-updated",
	"flows-opened",
	"flows-adopted",
	"flows-closed",
	"flows-refused",
	"to-vm",
	"from-vm",
	"translated-in",
	"translated-out",
	"translated-errors",
	"learnt",
	"reset",
	"untracked",
	"lost",
	"timestamps-untranslated",
	"foreign",
	"gated",
	"waited",
	"wait-dropped",
	"wait-flushed",
	"untranslatable",
	"events-lost",
	"options-stripped",
	"signed",
	"secondary-heard",
	"secondary-dropped",
};

const struct names names_stats_attrs = {
	.n = sizeof(stats_attrs) / sizeof(*stats_attrs),
	.name = stats_attrs,
};

_Static_assert(KCOLO_A_STATS_MAX == 72,
	       "run spec-names.py: the spec has changed");

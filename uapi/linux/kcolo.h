/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/kcolo.yaml */
/* YNL-GEN uapi header */

#ifndef _UAPI_LINUX_KCOLO_H
#define _UAPI_LINUX_KCOLO_H

#define KCOLO_FAMILY_NAME	"kcolo"
#define KCOLO_FAMILY_VERSION	1

#define KCOLO_NAME_MAX		31
#define KCOLO_SNIPPET_MAX	32

/**
 * enum kcolo_role - which replica lives on this host
 */
enum kcolo_role {
	KCOLO_ROLE_PRIMARY,
	KCOLO_ROLE_SECONDARY,
};

/**
 * enum kcolo_mode - what a primary does with its guest's packets
 * @KCOLO_MODE_HOLD: a packet leaves when the secondary has said the same
 * @KCOLO_MODE_OBSERVE: packets leave at once, copies are compared, differences
 *   are told
 */
enum kcolo_mode {
	KCOLO_MODE_HOLD,
	KCOLO_MODE_OBSERVE,
};

/**
 * enum kcolo_state - what a pair is doing
 * @KCOLO_STATE_RUNNING: comparing (primary) or translating for a mirrored
 *   guest (secondary)
 * @KCOLO_STATE_CHECKPOINT: between begin and commit or abort
 * @KCOLO_STATE_BYPASS: primary only, nothing is held or compared until a
 *   commit
 * @KCOLO_STATE_FAILOVER: secondary only, this side serves the clients
 */
enum kcolo_state {
	KCOLO_STATE_RUNNING,
	KCOLO_STATE_CHECKPOINT,
	KCOLO_STATE_BYPASS,
	KCOLO_STATE_FAILOVER,
};

/**
 * enum kcolo_reason - why a checkpoint is asked for
 * @KCOLO_REASON_PAYLOAD: the two sides differ in a byte
 * @KCOLO_REASON_LENGTH: one side said more than the other, which is alive
 * @KCOLO_REASON_SYN_OPTIONS: the options of the handshake differ in effect
 * @KCOLO_REASON_FIN: one side ended its stream where the other goes on
 * @KCOLO_REASON_RST: one side reset the connection, the other goes on
 * @KCOLO_REASON_WINDOW: the secondary's window stays shut
 * @KCOLO_REASON_TIMEOUT: a packet of one side found no partner in time
 * @KCOLO_REASON_OVERFLOW: a limit of the pair was reached
 * @KCOLO_REASON_MALFORMED: a packet could not be parsed
 * @KCOLO_REASON_LOST: conntrack has lost a translated connection (secondary,
 *   W7)
 */
enum kcolo_reason {
	KCOLO_REASON_PAYLOAD,
	KCOLO_REASON_LENGTH,
	KCOLO_REASON_SYN_OPTIONS,
	KCOLO_REASON_FIN,
	KCOLO_REASON_RST,
	KCOLO_REASON_WINDOW,
	KCOLO_REASON_TIMEOUT,
	KCOLO_REASON_OVERFLOW,
	KCOLO_REASON_MALFORMED,
	KCOLO_REASON_LOST,
};

/**
 * enum kcolo_action - the steps of a checkpoint
 * @KCOLO_ACTION_BEGIN: freeze comparing, set the barrier
 * @KCOLO_ACTION_COMMIT: the secondary now is a copy of the primary
 * @KCOLO_ACTION_ABORT: as if begin had not happened
 */
enum kcolo_action {
	KCOLO_ACTION_BEGIN,
	KCOLO_ACTION_COMMIT,
	KCOLO_ACTION_ABORT,
};

/**
 * enum kcolo_rule_action - what becomes of packets that a rule matches
 * @KCOLO_RULE_ACTION_BYPASS: they leave uncompared, the secondary's are not
 *   translated
 * @KCOLO_RULE_ACTION_COMPARE: they are compared, whatever later rules say
 */
enum kcolo_rule_action {
	KCOLO_RULE_ACTION_BYPASS,
	KCOLO_RULE_ACTION_COMPARE,
};

/**
 * enum kcolo_cause - why a pair changed
 * @KCOLO_CAUSE_USER: a command
 * @KCOLO_CAUSE_EXPIRED: a begin saw neither commit nor abort in time
 * @KCOLO_CAUSE_UNANSWERED: a request for a checkpoint stayed without answer
 * @KCOLO_CAUSE_PORT_GONE: a port was deleted
 * @KCOLO_CAUSE_EPOCH: many packets of a foreign epoch in a row
 * @KCOLO_CAUSE_UNSEEN: packets pass that the bridge does not show to the IP
 *   hooks
 */
enum kcolo_cause {
	KCOLO_CAUSE_USER,
	KCOLO_CAUSE_EXPIRED,
	KCOLO_CAUSE_UNANSWERED,
	KCOLO_CAUSE_PORT_GONE,
	KCOLO_CAUSE_EPOCH,
	KCOLO_CAUSE_UNSEEN,
};

/**
 * enum kcolo_flow_state - where a connection stands
 * @KCOLO_FLOW_STATE_OPENING: handshake not complete on both sides
 * @KCOLO_FLOW_STATE_ESTABLISHED: both sides are compared (primary) or
 *   translated (secondary)
 * @KCOLO_FLOW_STATE_ADOPTING: taken over at a commit, the secondary has not
 *   spoken yet
 * @KCOLO_FLOW_STATE_CLOSING: a FIN was seen
 * @KCOLO_FLOW_STATE_CLOSED: both FINs acked or reset
 * @KCOLO_FLOW_STATE_MISCOMPARED: the sides differ, held until a checkpoint
 */
enum kcolo_flow_state {
	KCOLO_FLOW_STATE_OPENING,
	KCOLO_FLOW_STATE_ESTABLISHED,
	KCOLO_FLOW_STATE_ADOPTING,
	KCOLO_FLOW_STATE_CLOSING,
	KCOLO_FLOW_STATE_CLOSED,
	KCOLO_FLOW_STATE_MISCOMPARED,
};

enum {
	KCOLO_A_PAD = 1,
	KCOLO_A_PAIR,
	KCOLO_A_ROLE,
	KCOLO_A_VM,
	KCOLO_A_PEER,
	KCOLO_A_MODE,
	KCOLO_A_TIMEOUT,
	KCOLO_A_SCAN,
	KCOLO_A_MAX_PACKETS,
	KCOLO_A_MAX_BYTES,
	KCOLO_A_MAX_FLOWS,
	KCOLO_A_MIN_INTERVAL,
	KCOLO_A_FORCE,
	KCOLO_A_ACTION,
	KCOLO_A_EPOCH,
	KCOLO_A_STATE,
	KCOLO_A_REQUEST,
	KCOLO_A_TRANSLATED,
	KCOLO_A_STATS,
	KCOLO_A_CAUSE,
	KCOLO_A_REASON,
	KCOLO_A_PROTO,
	KCOLO_A_SRC,
	KCOLO_A_DST,
	KCOLO_A_SPORT,
	KCOLO_A_DPORT,
	KCOLO_A_FLOW_STATE,
	KCOLO_A_OFFSET,
	KCOLO_A_HELD,
	KCOLO_A_HELD_BYTES,
	KCOLO_A_IDLE,
	KCOLO_A_COMPARED,
	KCOLO_A_SEQ,
	KCOLO_A_STREAM_OFFSET,
	KCOLO_A_PRIMARY,
	KCOLO_A_SECONDARY,
	KCOLO_A_TSOFFSET,
	KCOLO_A_RULE_ID,
	KCOLO_A_RULE_ACTION,
	KCOLO_A_SRC_LEN,
	KCOLO_A_DST_LEN,
	KCOLO_A_PACKETS,

	__KCOLO_A_MAX,
	KCOLO_A_MAX = (__KCOLO_A_MAX - 1)
};

enum {
	KCOLO_A_STATS_PAD = 1,
	KCOLO_A_STATS_HELD,
	KCOLO_A_STATS_HELD_BYTES,
	KCOLO_A_STATS_QUEUED,
	KCOLO_A_STATS_QUEUED_BYTES,
	KCOLO_A_STATS_FLOWS,
	KCOLO_A_STATS_PRIMARY_PACKETS,
	KCOLO_A_STATS_PRIMARY_BYTES,
	KCOLO_A_STATS_SECONDARY_PACKETS,
	KCOLO_A_STATS_SECONDARY_BYTES,
	KCOLO_A_STATS_PASSED,
	KCOLO_A_STATS_HOLD,
	KCOLO_A_STATS_RELEASED,
	KCOLO_A_STATS_RELEASED_BYTES,
	KCOLO_A_STATS_FLUSHED,
	KCOLO_A_STATS_DROPPED_RESET,
	KCOLO_A_STATS_COMPARED_BYTES,
	KCOLO_A_STATS_COMPARED_DATAGRAMS,
	KCOLO_A_STATS_UNCOMPARED_MIDSTREAM,
	KCOLO_A_STATS_UNCOMPARED_PROTO,
	KCOLO_A_STATS_UNCOMPARED_TIMED,
	KCOLO_A_STATS_UNCOMPARED_RULE,
	KCOLO_A_STATS_UNCOMPARED_BYPASS,
	KCOLO_A_STATS_UNSEEN,
	KCOLO_A_STATS_MALFORMED,
	KCOLO_A_STATS_SECONDARY_MALFORMED,
	KCOLO_A_STATS_SECONDARY_COVERED,
	KCOLO_A_STATS_SECONDARY_UNMATCHED,
	KCOLO_A_STATS_SECONDARY_SURPLUS,
	KCOLO_A_STATS_SECONDARY_STALE,
	KCOLO_A_STATS_SECONDARY_REFUSED,
	KCOLO_A_STATS_SECONDARY_IGNORED,
	KCOLO_A_STATS_SECONDARY_RULE,
	KCOLO_A_STATS_SECONDARY_BYPASS,
	KCOLO_A_STATS_OVERFLOW,
	KCOLO_A_STATS_NOMEM,
	KCOLO_A_STATS_MISCOMPARES,
	KCOLO_A_STATS_TIMEOUTS,
	KCOLO_A_STATS_REQUESTS,
	KCOLO_A_STATS_CHECKPOINTS,
	KCOLO_A_STATS_ABORTS,
	KCOLO_A_STATS_ACKS_RESENT,
	KCOLO_A_STATS_SACKS_MADE,
	KCOLO_A_STATS_ACKS_LOWERED,
	KCOLO_A_STATS_HEADS_LEFT,
	KCOLO_A_STATS_WINDOWS_CLAMPED,
	KCOLO_A_STATS_WINDOWS_UPDATED,
	KCOLO_A_STATS_FLOWS_OPENED,
	KCOLO_A_STATS_FLOWS_ADOPTED,
	KCOLO_A_STATS_FLOWS_CLOSED,
	KCOLO_A_STATS_FLOWS_REFUSED,
	KCOLO_A_STATS_TO_VM,
	KCOLO_A_STATS_FROM_VM,
	KCOLO_A_STATS_TRANSLATED_IN,
	KCOLO_A_STATS_TRANSLATED_OUT,
	KCOLO_A_STATS_TRANSLATED_ERRORS,
	KCOLO_A_STATS_LEARNT,
	KCOLO_A_STATS_RESET,
	KCOLO_A_STATS_UNTRACKED,
	KCOLO_A_STATS_LOST,
	KCOLO_A_STATS_TIMESTAMPS_UNTRANSLATED,
	KCOLO_A_STATS_FOREIGN,
	KCOLO_A_STATS_GATED,
	KCOLO_A_STATS_WAITED,
	KCOLO_A_STATS_WAIT_DROPPED,
	KCOLO_A_STATS_WAIT_FLUSHED,
	KCOLO_A_STATS_UNTRANSLATABLE,
	KCOLO_A_STATS_EVENTS_LOST,

	__KCOLO_A_STATS_MAX,
	KCOLO_A_STATS_MAX = (__KCOLO_A_STATS_MAX - 1)
};

enum {
	KCOLO_CMD_PAIR_ADD = 1,
	KCOLO_CMD_PAIR_SET,
	KCOLO_CMD_PAIR_DEL,
	KCOLO_CMD_PAIR_GET,
	KCOLO_CMD_CHECKPOINT,
	KCOLO_CMD_FAILOVER,
	KCOLO_CMD_FLOW_GET,
	KCOLO_CMD_RULE_ADD,
	KCOLO_CMD_RULE_DEL,
	KCOLO_CMD_RULE_GET,
	KCOLO_CMD_STATS_GET,
	KCOLO_CMD_MISCOMPARE_NTF,
	KCOLO_CMD_CHECKPOINT_NTF,
	KCOLO_CMD_PAIR_NTF,
	KCOLO_CMD_PAIR_DEL_NTF,
	KCOLO_CMD_FLOW_NTF,

	__KCOLO_CMD_MAX,
	KCOLO_CMD_MAX = (__KCOLO_CMD_MAX - 1)
};

#define KCOLO_MCGRP_MISCOMPARE	"miscompare"
#define KCOLO_MCGRP_CHECKPOINT	"checkpoint"
#define KCOLO_MCGRP_PAIR	"pair"
#define KCOLO_MCGRP_FLOW	"flow"

#endif /* _UAPI_LINUX_KCOLO_H */

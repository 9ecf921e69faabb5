/* SPDX-License-Identifier: GPL-2.0 */
/* What the primary does with the comparison, without packets, locks and clocks. */
#ifndef UNIT_DRIVE_H
#define UNIT_DRIVE_H

#include "compare.h"
#include "pkt.h"

/**
 * enum fate - where a packet is
 * @FATE_NEW: not given to the flow yet
 * @FATE_WAITS: held (P) or queued (S)
 * @FATE_LEFT: P: left for the client; in the outbox until flow_outbox()
 * @FATE_PASSED: P: left uncompared, its flow is not known
 * @FATE_REFUSED: P: sequence number out of all reason
 * @FATE_DROPPED: P: its connection is dead; S: consumed
 */
enum fate {
	FATE_NEW,
	FATE_WAITS,
	FATE_LEFT,
	FATE_PASSED,
	FATE_REFUSED,
	FATE_DROPPED,
};

/* The caller fills in all of @seg but its links, @data and @len. */
struct packet {
	struct kcolo_seg seg;
	struct list_head list;
	struct flow *flow;
	const u8 *data;
	u32 len;		/* of the payload */
	u32 order;
	u32 gen;
	enum fate fate;
};

struct flow {
	struct kcolo_cmp cmp;
	struct list_head held;
	struct list_head gated;
	struct list_head resets;
	struct list_head queued;
	struct list_head early;
	struct list_head outbox;
	u32 order;
	bool adopting;
	bool checkpoint;	/* between begin and commit or abort */
	u32 gen;		/* begins so far */
	u32 gen_noted;		/* the rest is of this begin */
	u8 state_begin;
	u32 nxt_begin;
	struct kcolo_stream p_begin;
	u32 claim;		/* of the client, if claimed */
	bool claimed;
	u32 start;		/* cmp when comparing last started */
	enum kcolo_diff diff;	/* of the last miscompare */
	unsigned int miscompares;
	const char *fault;	/* the first rule of the interface that was broken */
};

void flow_init(struct flow *flow);
void flow_p(struct flow *flow, struct packet *pkt);
void flow_s(struct flow *flow, struct packet *pkt);
void flow_client(struct flow *flow, u32 ack);
void flow_begin(struct flow *flow);
void flow_commit(struct flow *flow);
void flow_abort(struct flow *flow);
struct packet *flow_outbox(struct flow *flow);
const char *flow_check(struct flow *flow);

#endif

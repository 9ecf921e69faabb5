// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/compare.c: what both sides say, step by step, and what leaves. Every case
 * is run with initial sequence numbers all over the place.
 */
#include <time.h>

#include "drive.h"
#include "kselftest_harness.h"

#define FIN	KCOLO_TCP_FIN
#define SYN	KCOLO_TCP_SYN
#define RST	KCOLO_TCP_RST
#define ACK	KCOLO_TCP_ACK
#define RAW	0x100	/* of S: in its own sequence space, not translated */
#define FAR	0x200	/* P's is refused */
#define PASS	0x400	/* P's leaves uncompared, its connection is not known */

#define STEPS	24

/**
 * struct step - a packet, or a commit
 * @who: P, S, K (the client acknowledges @seq), B (begin), C (commit), A (abort),
 *	O (from now on, flows not seen are adopted)
 * @flags: KCOLO_TCP_*, RAW, FAR, PASS
 * @seq: from P's initial sequence number, of S if RAW
 * @data: payload
 * @ack: from the client's initial sequence number
 * @leaves: P's packets that leave now, in that order; P's first one is "a"
 */
struct step {
	char who;
	u32 flags;
	u32 seq;
	const char *data;
	u32 ack;
	const char *leaves;
};

#define P(flags, seq, data, ack, leaves) { 'P', flags, seq, data, ack, leaves }
#define S(flags, seq, data, ack, leaves) { 'S', flags, seq, data, ack, leaves }
#define CLIENT(ack, leaves) { 'K', 0, ack, "", 0, leaves }
#define BEGIN { 'B', 0, 0, "", 0, "" }
#define COMMIT(leaves) { 'C', 0, 0, "", 0, leaves }
#define ABORT(leaves) { 'A', 0, 0, "", 0, leaves }
#define ADOPTING { 'O', 0, 0, "", 0, "" }

/* P's first two packets, both have left: its SYN-ACK and a pure ACK. */
#define OPEN(ack) P(SYN | ACK, 0, "", 1, ""), S(SYN | ACK | RAW, 0, "", 1, "a"), \
	S(ACK, 1, "", ack, ""), P(ACK, 1, "", ack, "b")

FIXTURE(run) {
	struct flow flow;
	struct packet packets[STEPS];
	u32 p_isn;
	u32 s_isn;
	u32 client;
	unsigned int p_n;
	char leaves[STEPS + 1];
};

/**
 * struct run_case - what is said
 * @steps: in this order
 * @cmp: in the end, compared up to here
 * @diff: what differs, if anything does
 * @no_offset: S's initial sequence numbers are P's
 */
FIXTURE_VARIANT(run) {
	struct step steps[STEPS];
	u32 cmp;
	enum kcolo_diff diff;
	bool no_offset;
};

static void fill(FIXTURE_DATA(run) *self, struct packet *pkt,
		 const struct step *step)
{
	struct kcolo_seg *seg = &pkt->seg;
	u32 isn = step->flags & RAW ? self->s_isn : self->p_isn;

	memset(pkt, 0, sizeof(*pkt));
	pkt->len = strlen(step->data);
	pkt->data = (const u8 *)step->data;
	seg->flags = step->flags;
	seg->seq = isn + step->seq;
	seg->end = seg->seq + pkt->len + !!(step->flags & SYN) +
		   !!(step->flags & FIN);
	seg->ack = step->flags & ACK ? self->client + step->ack : 0;
}

static void do_step(FIXTURE_DATA(run) *self, unsigned int i,
		    const struct step *step)
{
	struct packet *pkt = &self->packets[i];

	switch (step->who) {
	case 'P':
		fill(self, pkt, step);
		pkt->order = self->p_n++;
		flow_p(&self->flow, pkt);
		break;
	case 'S':
		fill(self, pkt, step);
		flow_s(&self->flow, pkt);
		break;
	case 'K':
		flow_client(&self->flow, self->p_isn + step->seq);
		break;
	case 'B':
		flow_begin(&self->flow);
		break;
	case 'A':
		flow_abort(&self->flow);
		break;
	case 'C':
		flow_commit(&self->flow);
		break;
	case 'O':
		self->flow.adopting = true;
		break;
	}
}

/* Names of what has left since the last step. */
static const char *left(FIXTURE_DATA(run) *self)
{
	struct packet *pkt;
	char *at = self->leaves;

	while ((pkt = flow_outbox(&self->flow)))
		*at++ = 'a' + pkt->order;
	*at = 0;
	return self->leaves;
}

static enum fate expected_fate(const struct step *step)
{
	return step->flags & FAR ? FATE_REFUSED :
	       step->flags & PASS ? FATE_PASSED : FATE_NEW;
}

/* Returns what went wrong, NULL if nothing did. */
static const char *step_fails(FIXTURE_DATA(run) *self, unsigned int i,
			      const struct step *step)
{
	struct packet *pkt = &self->packets[i];

	do_step(self, i, step);
	if (strcmp(left(self), step->leaves))
		return "these left instead";
	if (step->who == 'P' && (step->flags & (FAR | PASS) ||
				 pkt->fate >= FATE_PASSED) &&
	    pkt->fate != expected_fate(step))
		return "a packet has the wrong fate";
	return flow_check(&self->flow);
}

static bool run(struct __test_metadata *_metadata, FIXTURE_DATA(run) *self,
		const FIXTURE_VARIANT(run) *variant)
{
	const char *wrong = NULL;
	unsigned int i;

	flow_init(&self->flow);
	self->p_n = 0;
	for (i = 0; i < STEPS && variant->steps[i].who && !wrong; i++)
		wrong = step_fails(self, i, &variant->steps[i]);
	if (!wrong && self->flow.cmp.state != KCOLO_CMP_NONE &&
	    variant->cmp != self->flow.cmp.cmp - self->p_isn)
		wrong = "compared up to another place";
	if (!wrong && (self->flow.cmp.state == KCOLO_CMP_DIFF ?
		       self->flow.diff : KCOLO_DIFF_NONE) != variant->diff)
		wrong = "another difference";
	EXPECT_EQ(NULL, wrong) {
		TH_LOG("isn %#x, secondary %#x, client %#x, step %u: %s",
		       self->p_isn, self->s_isn, self->client, i - 1, wrong);
		TH_LOG("left: \"%s\", compared to %u, difference %u",
		       self->leaves, self->flow.cmp.cmp - self->p_isn,
		       self->flow.diff);
	}
	return !wrong;
}

FIXTURE_SETUP(run)
{
}

FIXTURE_TEARDOWN(run)
{
}

static const u32 isns[] = {
	0x20000000, 0, 0xffffffff, 0xfffffffe, 0xfffffffa, 0x7ffffffe,
	0x80000000,
};

static const u32 offsets[] = {
	0x12345678, 0, 1, 0xffffffff, 100, 0x7fffffff, 0x80000000, 0x80000001,
};

static const u32 clients[] = { 0x30000000, 0xfffffffe, 0x7ffffffe, 0 };

TEST_F(run, steps)
{
	unsigned int i, k, l;

	for (i = 0; i < ARRAY_SIZE(isns); i++) {
		for (k = 0; k < ARRAY_SIZE(offsets); k++) {
			for (l = 0; l < ARRAY_SIZE(clients); l++) {
				self->p_isn = isns[i];
				self->s_isn = isns[i];
				if (!variant->no_offset)
					self->s_isn += offsets[k];
				self->client = clients[l];
				if (!run(_metadata, self, variant))
					return;
			}
		}
	}
}

#define CASE(name, up_to, ...) FIXTURE_VARIANT_ADD(run, name) \
	{ .cmp = (up_to), .steps = { __VA_ARGS__ } }
#define DIFFERS(name, up_to, what, ...) FIXTURE_VARIANT_ADD(run, name) \
	{ .cmp = (up_to), .diff = KCOLO_DIFF_##what, .steps = { __VA_ARGS__ } }
#define UNSHIFTED(name, up_to, ...) FIXTURE_VARIANT_ADD(run, name) \
	{ .cmp = (up_to), .no_offset = true, .steps = { __VA_ARGS__ } }

/* R1 (a): sequence space */
CASE(r1_data_waits_for_the_same_data, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"));
CASE(r1_data_that_was_said_before_leaves_at_once, 4, OPEN(1),
     S(ACK, 1, "abc", 1, ""), P(ACK, 1, "abc", 1, "c"));
CASE(r1_partly_said_waits, 3, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "ab", 1, ""));
CASE(r1_nothing_leaves_without_the_secondary, 0,
     P(SYN | ACK, 0, "", 1, ""), P(ACK, 1, "abc", 1, ""));

/* R1 (b): the gate; B1-B4 are QEMU's bugs (peers.md 2.3) */
CASE(r1_gate_holds_what_the_secondary_has_not_acked, 4, OPEN(1),
     P(ACK, 1, "abc", 11, ""), S(ACK, 1, "abc", 10, ""),
     S(ACK, 4, "", 11, "c"));
CASE(r1_gate_closed_before_the_first_ack, 4,
     P(SYN, 0, "", 0, ""), S(SYN | RAW, 0, "", 0, "a"),
     P(ACK, 1, "abc", 1, ""), S(0, 1, "abc", 0, ""), S(ACK, 4, "", 1, "b"));
CASE(r1_gate_passes_what_has_no_ack, 1,
     P(SYN, 0, "", 0, ""), S(SYN | RAW, 0, "", 0, "a"), P(SYN, 0, "", 0, "b"));
CASE(r1_b1_highest_ack_counts_not_the_last, 1, OPEN(2000),
     S(ACK, 1, "", 1000, ""), P(ACK, 1, "", 2000, "c"));
CASE(r1_b1_reset_without_ack_does_not_lower_it, 1, OPEN(2000),
     S(RST, 1, "", 0, ""), P(ACK, 1, "", 2000, "c"));
CASE(r1_b2_ack_far_apart_is_serial, 1, OPEN(1),
     P(ACK, 1, "", 0x70000000, ""), S(ACK, 1, "", 0x6fffffff, ""),
     S(ACK, 1, "", 0x70000000, "c"));
CASE(r1_b3_gate_applies_to_equal_segments, 4, OPEN(1),
     S(ACK, 1, "abc", 1, ""), P(ACK, 1, "abc", 2, ""), S(ACK, 4, "", 2, "c"));
CASE(r1_b3_gate_applies_to_pure_acks, 1, OPEN(1),
     P(ACK, 1, "", 2, ""), S(ACK, 1, "", 2, "c"));
CASE(r1_b4_waiting_for_an_ack_is_no_difference, 4, OPEN(1),
     P(ACK, 1, "abc", 500, ""), S(ACK, 1, "abc", 1, ""),
     S(ACK, 4, "", 499, ""));
CASE(r1_gate_applies_to_fin, 2, OPEN(1),
     P(FIN | ACK, 1, "", 9, ""), S(FIN | ACK, 1, "", 8, ""),
     S(ACK, 2, "", 9, "c"));
CASE(r1_gate_applies_to_syn_ack, 1,
     P(SYN | ACK, 0, "", 1, ""), S(SYN | ACK | RAW, 0, "", 0, ""),
     S(ACK, 1, "", 1, "a"));

/* R2 */
CASE(r2_pure_ack_needs_no_partner, 1, OPEN(10),
     P(ACK, 1, "", 5, "c"), P(ACK, 1, "", 10, "d"), P(ACK, 1, "", 10, "e"));
CASE(r2_pure_ack_behind_held_data_leaves, 1, OPEN(10),
     P(ACK, 1, "abc", 1, ""), P(ACK, 4, "", 10, "d"));
CASE(r2_ack_on_data_of_the_secondary_wakes, 1, OPEN(1),
     P(ACK, 1, "", 7, ""), S(ACK, 3, "later", 7, "c"));
CASE(r2_ack_on_repeated_data_of_the_secondary_wakes, 4, OPEN(1),
     S(ACK, 1, "abc", 1, ""), P(ACK, 1, "abc", 1, "c"), P(ACK, 4, "", 7, ""),
     S(ACK, 1, "abc", 7, "d"));
CASE(r2_keep_alive_probe, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"),
     P(ACK, 3, "", 1, "d"), P(ACK, 3, "c", 1, "e"));

/* R4 */
CASE(r4_syn_waits_for_its_partner, 1,
     P(SYN, 0, "", 0, ""), S(SYN | RAW, 0, "", 0, "a"));
CASE(r4_secondary_first, 1,
     S(SYN | ACK | RAW, 0, "", 1, ""), P(SYN | ACK, 0, "", 1, "a"));
CASE(r4_repeated_syn_waits_too, 1,
     P(SYN, 0, "", 0, ""), P(SYN, 0, "", 0, ""), S(SYN | RAW, 0, "", 0, "ab"));
CASE(r4_repeated_syn_starts_nothing, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), P(SYN | ACK, 0, "", 1, "d"),
     S(ACK, 1, "abc", 1, "c"));
CASE(r4_secondary_repeats_its_own_syn, 4, OPEN(1),
     S(ACK, 1, "abc", 1, ""), S(SYN | ACK | RAW, 0, "", 1, ""),
     P(ACK, 1, "abc", 1, "c"));
CASE(r4_secondary_repeats_its_syn_translated, 4, OPEN(1),
     S(ACK, 1, "abc", 1, ""), S(SYN | ACK, 0, "", 1, ""),
     P(ACK, 1, "abc", 1, "c"));
CASE(r4_secondary_syn_twice_before_the_primary, 1,
     S(SYN | RAW, 0, "", 0, ""), S(SYN | RAW, 0, "", 0, ""),
     P(SYN, 0, "", 0, "a"));
CASE(r4_secondary_syn_replaced_before_the_primary, 1,
     S(SYN | RAW, 5000, "", 0, ""), S(SYN | RAW, 0, "", 0, ""),
     P(SYN, 0, "", 0, "a"));
CASE(r4_another_isn_starts_afresh, 100004, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "ab", 1, ""),
     P(SYN | ACK, 100000, "", 1, ""),
     S(SYN | ACK | RAW, 200000, "", 1, "d"),
     P(ACK, 100001, "xyz", 1, ""), S(ACK, 100001, "xyz", 1, "e"));
CASE(r4_afresh_secondary_first, 100004, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(SYN | ACK | RAW, 200000, "", 1, ""),
     P(SYN | ACK, 100000, "", 1, "d"),
     P(ACK, 100001, "xyz", 1, ""), S(ACK, 100001, "xyz", 1, "e"));
CASE(r4_afresh_twice, 200001, OPEN(1),
     P(SYN, 100000, "", 0, ""), P(SYN, 200000, "", 0, ""),
     S(SYN | RAW, 300000, "", 0, "d"));
CASE(r4_afresh_after_fin, 100001, OPEN(1),
     P(FIN | ACK, 1, "", 1, ""), S(FIN | ACK, 1, "", 1, "c"),
     P(SYN | ACK, 100000, "", 1, ""),
     S(SYN | ACK | RAW, 200000, "", 1, "d"));
/* w4: an offset of 0 is an offset like any other */
UNSHIFTED(r4_w4_afresh_with_an_offset_of_0, 100004, OPEN(1),
	  P(SYN | ACK, 100000, "", 1, ""), S(SYN | ACK | RAW, 100000, "", 1, "c"),
	  P(ACK, 100001, "xyz", 1, ""), S(ACK, 100001, "xyz", 1, "d"));
UNSHIFTED(r4_w4_afresh_with_an_offset_of_0_secondary_first, 100004, OPEN(1),
	  S(SYN | ACK | RAW, 100000, "", 1, ""), P(SYN | ACK, 100000, "", 1, "c"),
	  P(ACK, 100001, "xyz", 1, ""), S(ACK, 100001, "xyz", 1, "d"));
CASE(r4_b6_afresh_forgets_what_was_compared, 1, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"),
     P(SYN | ACK, (u32)-1000, "", 1, ""),
     S(SYN | ACK | RAW, (u32)-9000, "", 1, "d"),
     P(ACK, (u32)-999, "xyz", 1, ""),
     P(SYN | ACK, 0, "", 1, ""), S(SYN | ACK | RAW, 7, "", 1, "f"),
     P(ACK, 1, "abc", 1, ""));
CASE(r4_afresh_forgets_what_the_secondary_had_said, 100001, OPEN(1),
     S(ACK, 100001, "xyz", 1, ""), P(SYN | ACK, 100000, "", 1, ""),
     S(SYN | ACK | RAW, 200000, "", 1, "c"), P(ACK, 100001, "xyz", 1, ""));
CASE(r4_afresh_forgets_what_the_secondary_had_acked, 100000, OPEN(50),
     P(SYN | ACK, 100000, "", 20, ""), P(ACK, 100001, "", 20, ""));
CASE(r4_stale_segment_of_the_secondary_before_its_syn, 100001, OPEN(1),
     P(SYN | ACK, 100000, "", 1, ""), S(ACK, 1, "old", 1, ""),
     S(ACK, 100001, "old", 1, ""), S(SYN | ACK | RAW, 200000, "", 1, "c"),
     P(ACK, 100001, "new", 1, ""));

/* R5 */
CASE(r5_fin_meets_fin, 5, OPEN(1),
     P(FIN | ACK, 1, "abc", 1, ""), S(FIN | ACK, 1, "abc", 1, "c"));
CASE(r5_fin_alone_meets_fin_with_data, 5, OPEN(1),
     P(ACK, 1, "abc", 1, ""), P(FIN | ACK, 4, "", 1, ""),
     S(FIN | ACK, 1, "abc", 1, "cd"));
CASE(r5_fin_waits_for_fin, 4, OPEN(1),
     P(FIN | ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, ""));
CASE(r5_fin_before_its_data, 4, OPEN(1),
     P(FIN | ACK, 3, "", 1, ""), S(FIN | ACK, 3, "", 1, ""),
     P(ACK, 1, "ab", 1, ""), S(ACK, 1, "ab", 1, "cd"));
DIFFERS(r5_fin_meets_data, 4, FIN, OPEN(1),
	P(FIN | ACK, 1, "abc", 1, ""), S(ACK, 1, "abcd", 1, ""));
DIFFERS(r5_data_meets_fin, 4, FIN, OPEN(1),
	P(ACK, 1, "abcd", 1, ""), S(FIN | ACK, 1, "abc", 1, ""));
DIFFERS(r5_lone_fin_meets_data, 1, FIN, OPEN(1),
	P(FIN | ACK, 1, "", 1, ""), S(ACK, 1, "a", 1, ""));
CASE(r5_repeated_fin_leaves, 2, OPEN(1),
     P(FIN | ACK, 1, "", 1, ""), S(FIN | ACK, 1, "", 1, "c"),
     P(FIN | ACK, 1, "", 1, "d"));
CASE(r5_fin_does_not_meet_an_ack, 1, OPEN(1),
     P(FIN | ACK, 1, "", 1, ""), S(ACK, 1, "", 2, ""));
CASE(r5_b5_rst_does_not_meet_an_ack, 1, OPEN(1),
     P(RST | ACK, 1, "", 1, ""), S(ACK, 1, "", 5, ""));
CASE(r5_rst_meets_rst, 1, OPEN(1),
     P(RST | ACK, 1, "", 1, ""), S(RST | ACK, 1, "", 1, "c"));
CASE(r5_rst_meets_rst_secondary_first, 1, OPEN(1),
     S(RST, 1, "", 0, ""), P(RST, 1, "", 0, "c"));
CASE(r5_rst_is_gated, 1, OPEN(1),
     P(RST | ACK, 1, "", 9, ""), S(RST, 1, "", 0, ""), S(ACK, 1, "", 9, "c"));
CASE(r5_rst_overtakes_data_that_nobody_else_said, 1, OPEN(1),
     P(ACK, 1, "abc", 1, ""), P(RST, 4, "", 0, ""), S(RST, 1, "", 0, "d"));
CASE(r5_refusal_meets_refusal, 0,
     P(RST | ACK, 0, "", 1, ""), S(RST | ACK, 0, "", 1, "a"));
CASE(r5_rst_of_the_last_connection_meets_nothing, 100000, OPEN(1),
     P(RST | ACK, 1, "", 1, ""), S(RST | ACK, 1, "", 1, "c"),
     P(SYN | ACK, 100000, "", 1, ""), P(RST, 100001, "", 0, ""));
CASE(r5_rst_of_the_last_connection_meets_nothing_after_syn, 100001, OPEN(1),
     P(RST | ACK, 1, "", 1, ""), S(RST | ACK, 1, "", 1, "c"),
     P(SYN | ACK, 100000, "", 1, ""), S(SYN | ACK | RAW, 200000, "", 1, "d"),
     P(RST, 100001, "", 0, ""), S(RST, 100001, "", 0, "e"));

/* R6 */
CASE(r6_shorter_then_the_rest, 7, OPEN(1),
     P(ACK, 1, "abc", 1, ""), P(ACK, 4, "def", 1, ""),
     S(ACK, 1, "abcd", 1, "c"), S(ACK, 5, "ef", 1, "d"));
CASE(r6_primary_in_small_parts, 7, OPEN(1),
     S(ACK, 1, "abcdef", 1, ""), P(ACK, 1, "a", 1, "c"), P(ACK, 2, "bc", 1, "d"),
     P(ACK, 4, "def", 1, "e"));
CASE(r6_super_packet_against_small_ones, 7, OPEN(1),
     P(ACK, 1, "abcdef", 1, ""), S(ACK, 1, "ab", 1, ""), S(ACK, 3, "cd", 1, ""),
     S(ACK, 5, "ef", 1, "c"));
CASE(r6_retransmission_leaves, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"), P(ACK, 1, "abc", 1, "d"),
     P(ACK, 2, "b", 1, "e"));
CASE(r6_retransmission_is_gated, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"), P(ACK, 1, "abc", 5, ""),
     S(ACK, 4, "", 5, "d"));
CASE(r6_retransmission_that_straddles_is_trimmed, 7, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"),
     P(ACK, 1, "abcdef", 1, ""), S(ACK, 4, "def", 1, "d"));
CASE(r6_b8_both_straddle, 8, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"),
     P(ACK, 3, "cdefg", 1, ""), S(ACK, 2, "bcd", 1, ""),
     S(ACK, 1, "abcdefg", 1, "d"));
DIFFERS(r6_difference_behind_a_straddle, 5, PAYLOAD, OPEN(1),
	P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"),
	P(ACK, 2, "bcdef", 1, ""), S(ACK, 3, "cdXf", 1, ""));
CASE(r6_retransmission_while_waiting_is_held_too, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), P(ACK, 1, "abc", 1, ""), P(ACK, 1, "a", 1, ""),
     S(ACK, 1, "a", 1, "e"), S(ACK, 2, "bc", 1, "cd"));
CASE(r6_primary_out_of_order, 7, OPEN(1),
     P(ACK, 4, "def", 1, ""), S(ACK, 1, "abcdef", 1, ""),
     P(ACK, 1, "abc", 1, "cd"));
CASE(r6_secondary_out_of_order, 7, OPEN(1),
     P(ACK, 1, "abcdef", 1, ""), S(ACK, 5, "ef", 1, ""), S(ACK, 3, "cd", 1, ""),
     S(ACK, 1, "ab", 1, "c"));
CASE(r6_hole_is_not_compared_across, 3, OPEN(1),
     P(ACK, 1, "ab", 1, ""), P(ACK, 5, "ef", 1, ""), S(ACK, 1, "ab", 1, "c"),
     S(ACK, 5, "ef", 1, ""), S(ACK, 4, "d", 1, ""));
CASE(r6_overlapping_segments_of_the_secondary, 9, OPEN(1),
     S(ACK, 2, "bcd", 1, ""), S(ACK, 2, "bcdef", 1, ""), S(ACK, 2, "b", 1, ""),
     S(ACK, 4, "defgh", 1, ""), S(ACK, 1, "a", 1, ""),
     P(ACK, 1, "abcdefgh", 1, "c"));
CASE(r6_repeated_by_the_secondary, 4, OPEN(1),
     S(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, ""), P(ACK, 1, "abc", 1, "c"),
     S(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, ""));
CASE(r6_data_on_the_syn, 5,
     P(SYN, 0, "abc", 0, ""), S(SYN | RAW, 0, "", 0, ""), P(SYN, 0, "", 0, "b"),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abcd", 1, "ac"),
     P(ACK, 4, "d", 1, "d"));

/* R7 */
DIFFERS(r7_first_byte, 1, PAYLOAD, OPEN(1),
	P(ACK, 1, "abc", 1, ""), S(ACK, 1, "xbc", 1, ""));
DIFFERS(r7_last_byte, 3, PAYLOAD, OPEN(1),
	P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abx", 1, ""));
DIFFERS(r7_what_lies_before_it_leaves, 4, PAYLOAD, OPEN(1),
	P(ACK, 1, "ab", 1, ""), P(ACK, 3, "cd", 1, ""), S(ACK, 1, "abcX", 1, "c"));
DIFFERS(r7_nothing_behind_it_leaves, 2, PAYLOAD, OPEN(1),
	P(ACK, 1, "ab", 1, ""), S(ACK, 1, "aX", 1, ""), P(ACK, 3, "cd", 1, ""),
	S(ACK, 3, "cd", 1, ""), S(ACK, 1, "ab", 1, ""));
DIFFERS(r7_retransmissions_before_it_leave, 3, PAYLOAD, OPEN(1),
	P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abX", 1, ""), P(ACK, 1, "ab", 1, "d"),
	P(ACK, 4, "", 1, "e"));
DIFFERS(r7_difference_out_of_order_waits_its_turn, 3, PAYLOAD, OPEN(1),
	P(ACK, 3, "cd", 1, ""), S(ACK, 3, "Xd", 1, ""), P(ACK, 1, "ab", 1, ""),
	S(ACK, 1, "ab", 1, "d"));
CASE(r7_difference_ends_with_the_connection, 100001, OPEN(1),
     P(ACK, 1, "a", 1, ""), S(ACK, 1, "X", 1, ""),
     P(SYN | ACK, 100000, "", 1, ""), S(SYN | ACK | RAW, 200000, "", 1, "d"));

/* R11 */
CASE(r11_far_ahead, 1, OPEN(1),
     P(ACK | FAR, 0x40000002, "a", 1, ""), S(ACK, 0x40000002, "a", 1, ""));
CASE(r11_far_behind, 1, OPEN(1),
     P(ACK | FAR, (u32)-0x40000000, "a", 1, ""),
     S(ACK, (u32)-0x40000000, "a", 1, ""));
CASE(r11_opposite, 1, OPEN(1), P(ACK | FAR, 0x80000001, "a", 1, ""));
CASE(r11_just_not_too_far, 1, OPEN(1),
     P(ACK, 0x40000000, "a", 1, ""), S(ACK, 0x40000000, "a", 1, ""),
     P(ACK, 1 - 0x40000000, "a", 1, "d"));
CASE(r11_far_bytes_are_not_compared, 2, OPEN(1),
     S(ACK, 0x80000001, "Xyz", 1, ""), P(ACK, 1, "a", 1, ""),
     S(ACK, 1, "a", 1, "c"));
CASE(r11_syn_and_rst_is_no_syn, 0,
     P(SYN | RST | ACK, 0, "", 1, ""), P(SYN | ACK, 0, "", 1, ""));
CASE(r11_far_pure_ack_carries_no_bytes, 1, OPEN(9),
     P(ACK, 0x80000001, "", 9, "c"));

/* R12 */
CASE(r12_retransmission_overtakes_held_data, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"), P(ACK, 4, "def", 1, ""),
     P(ACK, 1, "abc", 1, "e"));
CASE(r12_gated_ones_leave_in_order, 1, OPEN(1),
     P(ACK, 1, "", 9, ""), P(ACK, 1, "", 7, ""), P(ACK, 1, "", 8, ""),
     S(ACK, 1, "", 8, "de"), S(ACK, 1, "", 9, "c"));
CASE(r12_gated_and_compared_leave_in_order, 4, OPEN(1),
     P(ACK, 1, "abc", 5, ""), P(ACK, 4, "", 6, ""), P(ACK, 1, "a", 4, ""),
     S(ACK, 1, "abc", 6, "cde"));

/* C0, C2 */
CASE(c0_midstream_passes, 0, P(ACK | PASS, 50, "abc", 1, ""),
     P(FIN | ACK | PASS, 53, "", 1, ""));
CASE(c0_adopts, 56, ADOPTING,
     P(ACK, 50, "abc", 1, ""), S(ACK, 50, "abc", 1, "a"),
     P(ACK, 53, "def", 1, ""), S(ACK, 53, "def", 1, "b"));
CASE(c0_adopted_needs_the_first_ack, 53, ADOPTING,
     P(ACK, 53, "", 2, ""), P(ACK, 50, "abc", 1, ""),
     S(ACK, 53, "", 1, "b"), S(ACK, 53, "", 2, "a"));
CASE(c0_acks_since_the_commit_count, 53, ADOPTING,
     S(ACK, 50, "", 2, ""), P(ACK, 53, "", 2, "a"), P(ACK, 53, "", 3, ""));
CASE(c0_secondary_speaks_first, 53, ADOPTING,
     S(ACK, 50, "abc", 1, ""), S(ACK, 60, "", 2, ""), P(ACK, 50, "abc", 2, "a"));
CASE(c0_acks_before_the_commit_do_not_count, 53,
     S(ACK, 50, "", 2, ""), BEGIN, COMMIT(""), P(ACK, 53, "", 2, ""));
CASE(c0_first_ack_may_come_on_data, 53, ADOPTING,
     P(ACK, 50, "abc", 1, ""), S(ACK, 50, "abc", 1, "a"));
DIFFERS(c0_adopted_differs, 51, PAYLOAD, ADOPTING,
	P(ACK, 50, "abc", 1, ""), S(ACK, 50, "aX", 1, ""));
CASE(c2_what_is_held_leaves_in_order, 7, OPEN(1),
     P(ACK, 4, "def", 1, ""), P(ACK, 1, "abc", 9, ""), P(ACK, 1, "", 8, ""),
     BEGIN, COMMIT("cde"));
CASE(c2_gate_opens_as_far_as_the_primary_acked, 4, OPEN(1),
     P(ACK, 1, "abc", 9, ""), BEGIN, COMMIT("c"), P(ACK, 4, "", 9, "d"),
     P(ACK, 4, "", 10, ""));
CASE(c2_goes_on_where_the_primary_was, 10, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "X", 1, ""), BEGIN, COMMIT("c"),
     P(ACK, 4, "def", 1, ""), S(ACK, 4, "def", 1, "d"),
     S(ACK, 7, "ghi", 1, ""), P(ACK, 7, "ghi", 1, "e"));
CASE(c2_drops_what_the_secondary_said, 4, OPEN(1),
     S(ACK, 4, "Xef", 1, ""), P(ACK, 1, "abc", 1, ""), BEGIN, COMMIT("c"),
     P(ACK, 4, "def", 1, ""));
CASE(c2_retransmission_after_it_leaves, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), BEGIN, COMMIT("c"), P(ACK, 1, "abc", 1, "d"));
CASE(c2_half_open, 4, P(SYN | ACK, 0, "", 1, ""), BEGIN, COMMIT("a"),
     P(SYN | ACK, 0, "", 1, "b"), S(SYN | ACK, 0, "", 1, ""),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"));
CASE(c2_new_connection_after_it, 100001, OPEN(1), BEGIN, COMMIT(""),
     P(SYN | ACK, 100000, "", 1, ""), S(SYN | ACK | RAW, 200000, "", 1, "c"));

CASE(c0_what_the_client_has_needs_no_partner, 60, ADOPTING,
     P(ACK, 49, "k", 1, ""), S(ACK, 60, "", 1, ""), CLIENT(50, "a"),
     P(ACK, 55, "fghij", 1, ""), CLIENT(60, "b"));
CASE(c0_only_until_something_was_compared, 53, ADOPTING,
     P(ACK, 50, "abc", 1, ""), S(ACK, 50, "abc", 1, "a"),
     P(ACK, 53, "def", 1, ""), CLIENT(56, ""));
CASE(c0_client_claims_what_nobody_has_said, 53, ADOPTING,
     P(ACK, 50, "abc", 1, ""), S(ACK, 50, "", 1, ""), CLIENT(70, ""),
     S(ACK, 50, "abc", 1, "a"));
CASE(c0_secondary_confirms_what_the_client_has, 71, ADOPTING,
     P(ACK, 50, "abc", 1, ""), S(ACK, 70, "", 1, ""), CLIENT(70, "a"),
     P(ACK, 53, "def", 1, "b"), P(ACK, 70, "x", 1, ""), S(ACK, 70, "x", 1, "c"));
CASE(c0_secondary_confirms_later, 71, ADOPTING,
     P(ACK, 50, "abc", 1, ""), S(ACK, 50, "", 1, ""), CLIENT(70, ""),
     P(ACK, 53, "def", 1, ""), S(ACK, 70, "x", 1, "ab"), P(ACK, 70, "x", 1, "c"));
CASE(c0_primary_confirms_what_the_client_has, 71, ADOPTING,
     P(ACK, 50, "", 1, ""), S(ACK, 50, "abc", 1, "a"), CLIENT(70, ""),
     P(ACK, 70, "x", 1, ""), S(ACK, 70, "x", 1, "b"));
CASE(c0_client_answers_what_was_repeated, 71, ADOPTING,
     P(ACK, 50, "abc", 1, ""), S(ACK, 50, "abc", 1, "a"), CLIENT(70, ""),
     P(ACK, 70, "x", 1, ""), S(ACK, 70, "x", 1, "b"));
CASE(c0_what_the_primary_says_now_is_not_claimed, 50, ADOPTING,
     P(ACK, 50, "", 1, ""), S(ACK, 50, "", 1, "a"), CLIENT(62, ""),
     P(ACK, 60, "abc", 1, ""), P(ACK, 63, "def", 1, ""));
CASE(c0_primary_repeats_before_it_goes_on, 61, ADOPTING,
     P(ACK, 50, "ab", 1, ""), S(ACK, 50, "", 1, ""), CLIENT(60, ""),
     P(ACK, 55, "cd", 1, ""), P(ACK, 60, "x", 1, "ab"), S(ACK, 60, "x", 1, "c"));
CASE(c0_lost_on_the_way_is_no_confirmation, 50, ADOPTING,
     P(ACK, 50, "", 1, ""), S(ACK, 50, "", 1, "a"), CLIENT(56, ""),
     P(ACK, 50, "abcdefghi", 1, ""), S(ACK, 53, "defghi", 1, ""));
CASE(c0_what_the_secondary_says_now_does_not_confirm, 56, ADOPTING,
     S(ACK, 50, "abcdef", 1, ""), P(ACK, 50, "", 1, "a"), CLIENT(56, ""),
     P(ACK, 50, "abcdef", 1, "b"));
DIFFERS(c0_what_is_claimed_differs, 51, PAYLOAD, ADOPTING,
	S(ACK, 50, "abc", 1, ""), P(ACK, 50, "", 1, "a"), CLIENT(53, ""),
	P(ACK, 50, "aX", 1, ""));
CASE(c0_client_of_a_connection_whose_start_was_seen, 1, OPEN(1),
     P(ACK, 1, "abc", 1, ""), CLIENT(4, ""));

/* C1-C3: what comes behind the barrier */
CASE(c2_later_packets_stay_held, 7, OPEN(1),
     P(ACK, 1, "abc", 1, ""), BEGIN, P(ACK, 4, "def", 1, ""),
     P(ACK, 7, "", 1, ""), COMMIT("ce"), S(ACK, 4, "def", 1, "d"));
CASE(c1_repeated_begin_moves_the_barrier, 10, OPEN(1),
     BEGIN, P(ACK, 1, "abc", 1, ""), BEGIN, P(ACK, 4, "def", 1, ""),
     BEGIN, P(ACK, 7, "ghi", 1, ""), COMMIT("cd"), S(ACK, 7, "ghi", 1, "e"));
CASE(c1_freezes, 4, OPEN(1),
     P(ACK, 1, "abc", 1, ""), BEGIN, S(ACK, 1, "abc", 1, ""),
     P(ACK, 1, "", 1, ""), ABORT("cd"));
CASE(c3_abort_goes_on, 7, OPEN(1),
     P(ACK, 1, "abc", 1, ""), BEGIN, P(ACK, 4, "def", 1, ""),
     S(ACK, 1, "abcde", 1, ""), ABORT("c"), S(ACK, 6, "f", 1, "d"));
CASE(c2_later_ack_does_not_open_the_gate, 1, OPEN(1),
     P(ACK, 1, "", 5, ""), BEGIN, P(ACK, 1, "", 9, ""), COMMIT("c"),
     P(ACK, 1, "", 5, "e"), S(ACK, 1, "", 9, "d"));
CASE(c2_first_ack_behind_the_barrier_does_not_open_the_gate, 1,
     P(SYN, 0, "", 0, ""), S(SYN | RAW, 0, "", 0, "a"), BEGIN,
     P(ACK, 1, "", 1, ""), COMMIT(""), S(ACK, 1, "", 1, "b"));
CASE(c2_later_rst_waits_for_rst, 1, OPEN(1), BEGIN, P(RST | ACK, 1, "", 1, ""),
     COMMIT(""), S(RST | ACK, 1, "", 1, "c"));
CASE(c2_later_fin_waits_for_fin, 2, OPEN(1), BEGIN, P(FIN | ACK, 1, "", 1, ""),
     COMMIT(""), S(FIN | ACK, 1, "", 1, "c"));
CASE(c2_later_syn_starts_the_connection, 1, BEGIN, P(SYN | ACK, 0, "", 1, ""),
     COMMIT(""), S(SYN | ACK | RAW, 0, "", 1, "a"));
CASE(c2_later_syn_starts_afresh, 100001, OPEN(1),
     P(ACK, 1, "abc", 1, ""), S(ACK, 1, "abc", 1, "c"), BEGIN,
     P(SYN | ACK, 100000, "", 1, ""), COMMIT(""),
     S(SYN | ACK | RAW, 200000, "", 1, "d"));
CASE(c0_later_packet_of_a_flow_not_seen_is_adopted, 53, ADOPTING, BEGIN,
     P(ACK, 50, "abc", 1, ""), COMMIT(""), S(ACK, 50, "abc", 1, "a"));

/* The rest of the interface. */
static void seg(struct kcolo_seg *seg, u8 flags, u32 seq, u32 len, u32 ack)
{
	memset(seg, 0, sizeof(*seg));
	seg->flags = flags;
	seg->seq = seq;
	seg->end = seq + len;
	seg->ack = ack;
}

TEST(w4_offset_is_known_when_both_syns_have_met)
{
	struct kcolo_cmp c = {};
	struct kcolo_seg p, s;

	seg(&p, SYN, 1000, 1, 0);
	seg(&s, SYN, 5, 1, 0);
	EXPECT_FALSE(kcolo_cmp_offset_ok(&c));
	kcolo_cmp_syn(&c, KCOLO_P, &p);
	EXPECT_FALSE(kcolo_cmp_offset_ok(&c));
	kcolo_cmp_syn(&c, KCOLO_S, &s);
	EXPECT_TRUE(kcolo_cmp_offset_ok(&c));
	EXPECT_EQ((u32)-995, kcolo_cmp_offset(&c));
	kcolo_cmp_adopt(&c, 1001, true);
	EXPECT_TRUE(kcolo_cmp_offset_ok(&c));
	EXPECT_EQ(0, kcolo_cmp_offset(&c));
}

TEST(r4_refused_syn_waits_until_a_commit_or_another_syn)
{
	struct kcolo_cmp c = {};
	struct kcolo_seg p, s, data;

	seg(&p, SYN, 1000, 1, 0);
	seg(&s, SYN, 5, 1, 0);
	kcolo_cmp_syn(&c, KCOLO_P, &p);
	EXPECT_EQ(KCOLO_FATE_QUEUED, kcolo_cmp_put(&c, KCOLO_P, &p));
	kcolo_cmp_syn(&c, KCOLO_S, &s);
	kcolo_cmp_refuse(&c);
	EXPECT_EQ(1000, c.cmp);
	EXPECT_FALSE(kcolo_cmp_offset_ok(&c));
	/* Neither side's repetition is taken for another SYN. */
	EXPECT_FALSE(kcolo_cmp_is_new_syn(&c, KCOLO_P, &p));
	EXPECT_FALSE(kcolo_cmp_is_new_syn(&c, KCOLO_S, &s));
	EXPECT_EQ(KCOLO_FATE_QUEUED, kcolo_cmp_put(&c, KCOLO_P, &p));
	EXPECT_EQ(KCOLO_FATE_COVERED, kcolo_cmp_put(&c, KCOLO_S, &s));
	seg(&data, SYN, 1001, 1, 0);
	EXPECT_EQ(KCOLO_FATE_FAR, kcolo_cmp_put(&c, KCOLO_P, &data));
	/* Another SYN of the secondary meets the primary's. */
	seg(&s, SYN, 77, 1, 0);
	EXPECT_TRUE(kcolo_cmp_is_new_syn(&c, KCOLO_S, &s));
	kcolo_cmp_syn(&c, KCOLO_S, &s);
	EXPECT_EQ(KCOLO_CMP_RUN, c.state);
	EXPECT_EQ(1001, c.cmp);
	/* Or a commit makes the sides equal; the start of the stream is known. */
	kcolo_cmp_refuse(&c);
	kcolo_cmp_adopt(&c, 1001, true);
	EXPECT_EQ(KCOLO_CMP_RUN, c.state);
	EXPECT_TRUE(c.stream_ok);
	EXPECT_EQ(0, c.stream);
	EXPECT_EQ(0, kcolo_cmp_offset(&c));
}

TEST(r7_stream_offset_counts_data_bytes)
{
	struct kcolo_cmp c = {};
	struct kcolo_seg p, s;

	seg(&p, SYN, 0xfffffffe, 1, 0);
	seg(&s, SYN, 5, 1, 0);
	kcolo_cmp_syn(&c, KCOLO_P, &p);
	EXPECT_FALSE(c.stream_ok);
	kcolo_cmp_syn(&c, KCOLO_S, &s);
	EXPECT_TRUE(c.stream_ok);
	EXPECT_EQ(0, c.stream);
	kcolo_cmp_adopt(&c, 0xffffffff + 100, true);
	EXPECT_TRUE(c.stream_ok);
	EXPECT_EQ(100, c.stream);
	kcolo_cmp_adopt(&c, 0xffffffff + 100 + 0xf0000000, true);
	kcolo_cmp_adopt(&c, 0xffffffff + 100 + 2 * 0xf0000000, true);
	EXPECT_EQ(100 + 2 * 0xf0000000ULL, c.stream);
}

TEST(c0_stream_offset_of_an_adopted_flow_is_not_known)
{
	struct kcolo_cmp c = {};

	kcolo_cmp_adopt(&c, 1234, false);
	EXPECT_FALSE(c.stream_ok);
	EXPECT_EQ(KCOLO_CMP_ADOPT, c.state);
	EXPECT_FALSE(kcolo_cmp_offset_ok(&c));
}

TEST(c0_first_ack_of_the_secondary_ends_adopting)
{
	struct kcolo_cmp c = {};
	struct kcolo_seg p, s;

	kcolo_cmp_adopt(&c, 1000, false);
	seg(&p, ACK, 1000, 0, 1);
	kcolo_cmp_put(&c, KCOLO_P, &p);
	EXPECT_EQ(KCOLO_CMP_ADOPT, c.state);
	seg(&s, 0, 1000, 0, 0);
	kcolo_cmp_put(&c, KCOLO_S, &s);
	EXPECT_EQ(KCOLO_CMP_ADOPT, c.state);
	seg(&s, ACK, 1000, 0, 1);
	kcolo_cmp_put(&c, KCOLO_S, &s);
	EXPECT_EQ(KCOLO_CMP_RUN, c.state);
}

TEST(r5_fin_is_remembered_until_the_next_connection)
{
	struct kcolo_cmp c = {};
	struct kcolo_seg p, fin;

	seg(&p, SYN, 1000, 1, 0);
	kcolo_cmp_syn(&c, KCOLO_P, &p);
	EXPECT_FALSE(c.side[KCOLO_P].fin);
	seg(&fin, FIN | ACK, 1001, 1, 1);
	kcolo_cmp_put(&c, KCOLO_P, &fin);
	kcolo_cmp_put(&c, KCOLO_S, &fin);
	EXPECT_TRUE(c.side[KCOLO_P].fin);
	EXPECT_TRUE(c.side[KCOLO_S].fin);
	seg(&p, SYN, 5000, 1, 0);
	kcolo_cmp_syn(&c, KCOLO_P, &p);
	EXPECT_FALSE(c.side[KCOLO_P].fin);
	EXPECT_FALSE(c.side[KCOLO_S].fin);
}

/* R10: what the secondary says twice takes no room; P's all must leave. */
TEST(r6_only_the_primary_is_kept_twice)
{
	struct kcolo_seg first, same, longer, shorter;
	struct kcolo_cmp c = {};

	kcolo_cmp_adopt(&c, 0, true);
	seg(&first, ACK, 10, 5, 1);
	seg(&same, ACK, 10, 5, 1);
	seg(&shorter, ACK, 10, 4, 1);
	seg(&longer, ACK, 10, 6, 1);
	EXPECT_TRUE(kcolo_cmp_queue(&c, KCOLO_S, &first));
	EXPECT_FALSE(kcolo_cmp_queue(&c, KCOLO_S, &same));
	EXPECT_FALSE(kcolo_cmp_queue(&c, KCOLO_S, &shorter));
	EXPECT_FALSE(shorter.queued);
	EXPECT_TRUE(kcolo_cmp_queue(&c, KCOLO_S, &longer));
	kcolo_cmp_remove(&c, KCOLO_S, &longer);
	EXPECT_FALSE(longer.queued);
	EXPECT_TRUE(kcolo_cmp_queue(&c, KCOLO_P, &same));
	EXPECT_TRUE(kcolo_cmp_queue(&c, KCOLO_P, &shorter));
}

TEST(r1_straddler_begins_before_cmp_and_ends_behind_it)
{
	struct kcolo_seg below, at, over, wide, ahead;
	struct kcolo_cmp c = {};

	kcolo_cmp_adopt(&c, 1, true);
	EXPECT_EQ(NULL, kcolo_cmp_straddler(&c));
	seg(&ahead, ACK, 2, 10, 1);
	seg(&at, ACK, 1, 10, 1);
	kcolo_cmp_queue(&c, KCOLO_P, &ahead);
	EXPECT_EQ(NULL, kcolo_cmp_straddler(&c));
	kcolo_cmp_queue(&c, KCOLO_P, &at);
	EXPECT_EQ(NULL, kcolo_cmp_straddler(&c));
	seg(&below, ACK, (u32)-9, 10, 1);
	kcolo_cmp_queue(&c, KCOLO_P, &below);
	EXPECT_EQ(NULL, kcolo_cmp_straddler(&c));
	seg(&over, ACK, 0, 2, 1);
	kcolo_cmp_queue(&c, KCOLO_P, &over);
	EXPECT_EQ(&over, kcolo_cmp_straddler(&c));
	seg(&wide, ACK, (u32)-5, 20, 1);
	kcolo_cmp_queue(&c, KCOLO_P, &wide);
	EXPECT_EQ(&wide, kcolo_cmp_straddler(&c));
}

TEST(r15_islands_are_what_the_secondary_said_behind_a_hole)
{
	struct kcolo_seg first, over, next, far, end, at;
	struct kcolo_cmp c = {};
	u32 edges[6];

	kcolo_cmp_adopt(&c, (u32)-20, true);
	EXPECT_EQ(0, kcolo_cmp_islands(&c, edges, 3));
	seg(&first, ACK, (u32)-10, 20, 1);
	seg(&over, ACK, (u32)-5, 5, 1);
	seg(&next, ACK, 10, 10, 1);
	seg(&far, ACK, 30, 10, 1);
	seg(&end, ACK, 50, 10, 1);
	kcolo_cmp_queue(&c, KCOLO_S, &first);
	kcolo_cmp_queue(&c, KCOLO_S, &over);
	kcolo_cmp_queue(&c, KCOLO_S, &next);
	kcolo_cmp_queue(&c, KCOLO_S, &far);
	kcolo_cmp_queue(&c, KCOLO_S, &end);
	EXPECT_EQ(3, kcolo_cmp_islands(&c, edges, 3));
	EXPECT_EQ((u32)-10, edges[0]);
	EXPECT_EQ(20, edges[1]);
	EXPECT_EQ(30, edges[2]);
	EXPECT_EQ(40, edges[3]);
	EXPECT_EQ(50, edges[4]);
	EXPECT_EQ(60, edges[5]);
	EXPECT_EQ(2, kcolo_cmp_islands(&c, edges, 2));
	EXPECT_EQ(40, edges[3]);
	seg(&at, ACK, (u32)-25, 10, 1);
	kcolo_cmp_queue(&c, KCOLO_S, &at);
	EXPECT_EQ(0, kcolo_cmp_islands(&c, edges, 3));
}

static u32 all_equal(const struct kcolo_seg *p, u32 p_off,
		     const struct kcolo_seg *s, u32 s_off, u32 len)
{
	(void)p;
	(void)p_off;
	(void)s;
	(void)s_off;
	return len;
}

#define MANY 65536	/* max-packets of a pair */

/*
 * R10: as many packets as a pair may hold wait behind one that was lost, and are
 * compared in one softirq.
 */
TEST(r10_many_segments_behind_a_hole)
{
	struct kcolo_seg *segs = calloc(2 * MANY, sizeof(*segs)), *at, *p, *s;
	struct kcolo_cmp c = {};
	struct timespec from, to;
	struct kcolo_seg *cursor = NULL;
	unsigned int i, side, n = 0;

	kcolo_cmp_adopt(&c, 0, true);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (i = 2 * MANY; i--;) {
		side = i & 1 ? KCOLO_S : KCOLO_P;
		seg(&segs[i], ACK, i / 2 * 100, 100, 1);
		ASSERT_EQ(KCOLO_FATE_QUEUED, kcolo_cmp_put(&c, side, &segs[i]));
		ASSERT_TRUE(kcolo_cmp_queue(&c, side, &segs[i]));
	}
	EXPECT_EQ(KCOLO_DIFF_NONE, kcolo_cmp_run(&c, all_equal, &p, &s));
	EXPECT_EQ(MANY * 100, c.cmp);
	while ((at = kcolo_cmp_pop(&c, KCOLO_P, &cursor)))
		n++;
	EXPECT_EQ(MANY, n);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	EXPECT_LT(to.tv_sec - from.tv_sec, 3);
	free(segs);
}

TEST_HARNESS_MAIN

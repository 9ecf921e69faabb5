// SPDX-License-Identifier: GPL-2.0
/*
 * The secondary host: keeps the guest's connections in step with the clients by
 * translating between its sequence space and the primary's (W1-W7, C4, C6).
 *
 *	offset = secondary_isn - primary_isn
 *	tsoff = secondary's clock - primary's clock
 *	towards the guest:	ack += offset, TSecr += tsoff
 *	from the guest:		seq -= offset, TSval -= tsoff
 *
 * The state of a connection lives in its conntrack (conn.c).
 */
#include <linux/tcp.h>
#include <linux/unaligned.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_l4proto.h>
#include <net/netfilter/nf_conntrack_seqadj.h>

#include "conn.h"
#include "known.h"
#include "secondary.h"
#include "trace.h"
#include "translate.h"
#include "zone.h"

#define QUOTE_MAX	512		/* headers before the end of a quoted one */
#define OLD_SEQ		0xffff		/* how old a client's segment may be */
#define BEYOND		(-(1U << 30))	/* see open_beyond() */

/**
 * struct stamps - the timestamps of a segment
 * @val: TSval
 * @ecr: TSecr; means nothing without ACK
 * @ok: the segment has the option
 * @sig: the header is signed
 */
struct stamps {
	u32 val;
	u32 ecr;
	bool ok;
	bool sig;
};

static struct stamps stamps_of(const struct kcolo_pkt *pkt,
			       const struct sk_buff *skb)
{
	const u8 *th = skb->data + pkt->l4;
	u32 hlen = pkt->data - pkt->l4;
	struct kcolo_tcp_opts opts;
	struct stamps ts = {};
	u8 at = KCOLO_TS_ALONE;

	if (hlen == sizeof(struct tcphdr))
		return ts;
	if (!kcolo_ts_alone(th, hlen)) {
		kcolo_tcp_opts(&opts, th, hlen);
		ts.sig = opts.sig;
		at = opts.ts;
	}
	if (!at)
		return ts;
	ts.ok = true;
	ts.val = get_unaligned_be32(th + at);
	ts.ecr = get_unaligned_be32(th + at + 4);
	return ts;
}

/* Does a rule name the connection of a segment (R13)? */
static bool left_alone(struct kcolo_pair *pair, const struct kcolo_pkt *pkt,
		       bool from_vm)
{
	struct kcolo_tuple reverse;

	if (from_vm)
		return kcolo_rule_bypass(pair, &pkt->tuple);
	kcolo_tuple_reverse(&reverse, &pkt->tuple);
	return kcolo_rule_bypass(pair, &reverse);
}

/**
 * kcolo_secondary_track() - give a new connection room for its offset
 * @pair: a secondary pair
 * @skb: at PRE_ROUTING, just behind conntrack; kcolo_secondary_new() was true
 * @state: the hook's
 * @from_vm: comes from the guest's port, else from the peer's
 *
 * Extensions can only be added to a conntrack that nobody else sees yet, so the
 * SYN is the one chance. The handshake's ACK is in the primary's space; the
 * window tracker must not judge it.
 *
 * Return: a verdict; at a limit new connections are refused, those that live are
 * not touched (W7).
 */
unsigned int kcolo_secondary_track(struct kcolo_pair *pair, struct sk_buff *skb,
				   const struct nf_hook_state *state,
				   bool from_vm)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);
	struct kcolo_pkt pkt;
	int room;

	if (kcolo_pkt_parse_skb(&pkt, skb, state->pf == NFPROTO_IPV6) !=
	    KCOLO_PKT_TCP || !(pkt.flags & KCOLO_TCP_SYN))
		return NF_ACCEPT;
	if (left_alone(pair, &pkt, from_vm))
		return NF_ACCEPT;
	if (atomic_read(&pair->flow_n) >= READ_ONCE(pair->cfg.max_flows)) {
		kcolo_count(pair, FLOWS_REFUSED);
		return NF_DROP;
	}
	room = kcolo_conn_attach(ct, from_vm, kcolo_phase(pair).epoch);
	if (room == -EBUSY) {
		kcolo_count(pair, FOREIGN);
		return NF_ACCEPT;
	}
	if (room < 0) {
		kcolo_count(pair, NOMEM);
		return NF_DROP;
	}
	if (!room && stamps_of(&pkt, skb).ok)
		kcolo_count(pair, TIMESTAMPS_UNTRANSLATED);
	atomic_inc(&pair->flow_n);
	nf_ct_set_tcp_be_liberal(ct);
	return NF_ACCEPT;
}

static void hear_vm_clock(struct kcolo_conn *conn, u32 tsval)
{
	if (!conn->ts_room)
		return;
	if (conn->flags & KCOLO_CONN_TS_HEARD) {
		kcolo_ts_hear_vm(&conn->ts, tsval);
		return;
	}
	/* W5: off where the handshake did not have timestamps. */
	if (conn->state != KCOLO_CONN_SYN && !(conn->flags & KCOLO_CONN_TS_LEARNT))
		return;
	conn->ts.newest = tsval;
	conn->flags |= KCOLO_CONN_TS_HEARD;
}

/*
 * F1: the guest was opening a connection when the host failed over, and the other
 * end may have got the primary's SYN; its answer was lost on the mirror. Two guests
 * of one origin choose numbers close together, and what comes with another ISN
 * inside of the window resets a handshake. So the guest's SYN is moved out of any
 * window, and behind what is left of an older connection: the other end then says
 * in an ACK what it knows.
 */
static void open_beyond(struct kcolo_conn *conn, const struct kcolo_pkt *pkt,
			const struct stamps *ts)
{
	u8 flags = pkt->flags & (KCOLO_TCP_SYN | KCOLO_TCP_ACK);

	if (conn->state == KCOLO_CONN_SYN && conn->in == IP_CT_DIR_REPLY &&
	    flags == KCOLO_TCP_SYN && !ts->sig)
		conn->offset = BEYOND;
}

/* W5: the client echoes what the primary's SYN said; the guest's newest is that of its own. */
static void learn_clock(struct kcolo_conn *conn, const struct stamps *ts)
{
	if (!ts->ok || !(conn->flags & KCOLO_CONN_TS_HEARD))
		return;
	kcolo_ts_learn(&conn->ts, ts->ecr);
	conn->flags |= KCOLO_CONN_TS_LEARNT;
}

/*
 * Takes such an ACK for the primary's ISN, until a SYN-ACK comes. Where it is the
 * answer to a SYN with that very number it is of an older connection, which the
 * guest is to reset (RFC 9293, 3.5.1). Linux resets for an echo that is not its own, too,
 * and that would be the handshake that it is to join.
 */
static void open_as_primary(struct kcolo_conn *conn, u32 offset,
			    const struct stamps *ts)
{
	conn->offset = conn->offset == offset ? BEYOND : offset;
	learn_clock(conn, ts);
}

/* From the guest: its SYN or SYN-ACK names its ISN, a later byte ends learning. */
static void hear_vm(struct kcolo_conn *conn, const struct kcolo_pkt *pkt,
		    const struct stamps *ts, bool failed_over)
{
	/* W4: only another ISN starts afresh, whoever asked for it. */
	if (pkt->flags & KCOLO_TCP_SYN &&
	    (conn->state == KCOLO_CONN_NEW || conn->isn != pkt->seq ||
	     conn->flags & KCOLO_CONN_DORMANT)) {
		conn->isn = pkt->seq;
		conn->state = KCOLO_CONN_SYN;
		conn->flags = 0;
		conn->offset = 0;
		/* What the guest expects of the client, until the offset is known. */
		conn->ts = (struct kcolo_ts){};
		if (pkt->flags & KCOLO_TCP_ACK)
			conn->ts.off = pkt->ack;
		if (failed_over)
			conn->flags = KCOLO_CONN_TOOK_OVER;
	} else if (conn->state == KCOLO_CONN_LEARNT &&
		   pkt->seq_end != pkt->seq &&
		   seq_after(pkt->seq_end, conn->isn + 1)) {
		conn->state = KCOLO_CONN_FIXED;
	}
	if (ts->ok)
		hear_vm_clock(conn, ts->val);
	if (!failed_over || conn->flags & KCOLO_CONN_TOOK_OVER)
		return;
	conn->flags |= KCOLO_CONN_TOOK_OVER;
	open_beyond(conn, pkt, ts);
	/* A handshake that is not complete yet will name the right offset. */
	if (kcolo_conn_ts_ok(conn))
		kcolo_ts_take_over(&conn->ts);
}

/*
 * Is a client's segment in the guest's window, as far as conntrack knows? In a
 * handshake a forged SYN tells conntrack another window; then what the guest has
 * said in its SYN-ACK counts.
 */
static bool in_window(const struct kcolo_conn *conn, u32 seq)
{
	const struct ip_ct_tcp_state *client =
		&conn->ct->proto.tcp.seen[conn->in];

	if (conn->state == KCOLO_CONN_SYN && conn->ts_room && conn->ts.off &&
	    !(conn->flags & KCOLO_CONN_TS_LEARNT))
		return seq - (conn->ts.off - 1) <= OLD_SEQ;
	return !seq_before(seq, client->td_end - OLD_SEQ) &&
	       !seq_after(seq, client->td_maxend + 1);
}

/* Names a connection as packets of the guest do. */
static void guest_tuple(struct kcolo_tuple *to, const struct kcolo_pkt *pkt,
			bool from_vm)
{
	if (from_vm)
		*to = pkt->tuple;
	else
		kcolo_tuple_reverse(to, &pkt->tuple);
}

static void learn(struct kcolo_pair *pair, struct kcolo_conn *conn,
		  const struct kcolo_pkt *pkt, u32 offset,
		  const struct stamps *ts)
{
	struct ip_ct_tcp_state *client = &conn->ct->proto.tcp.seen[conn->in];
	struct kcolo_tuple tuple;

	if (conn->state == KCOLO_CONN_SYN) {
		conn->ts.off = 0;
		conn->flags &= ~KCOLO_CONN_TS_LEARNT;
	}
	conn->state = KCOLO_CONN_LEARNT;
	conn->offset = offset;
	/*
	 * W7: conntrack has read this ACK without the offset. A reset of the guest
	 * has to be at the number that it remembers.
	 */
	client->td_maxack = conn->isn + 1;
	client->flags |= IP_CT_TCP_FLAG_MAXACK_SET;
	kcolo_count(pair, LEARNT);
	learn_clock(conn, ts);
	if (!kcolo_conn_translated(conn))
		return;
	guest_tuple(&tuple, pkt, false);
	kcolo_known_add(pair, &tuple);
}

/* Towards the guest: an ACK, or a server's SYN-ACK, names the primary's ISN. */
static void hear_client(struct kcolo_pair *pair, struct kcolo_conn *conn,
			const struct kcolo_pkt *pkt, const struct stamps *ts)
{
	u32 offset = conn->isn - (pkt->ack - 1);
	/* The other end's first word to a guest that opens. */
	bool answer = pkt->flags & (KCOLO_TCP_SYN | KCOLO_TCP_RST) &&
		      conn->in == IP_CT_DIR_REPLY;

	if (!(pkt->flags & KCOLO_TCP_ACK))
		return;
	/* W4: anybody can send a SYN-ACK, and the first one says it all. */
	if (pkt->flags & (KCOLO_TCP_SYN | KCOLO_TCP_RST) &&
	    conn->state != KCOLO_CONN_SYN)
		return;
	/* Of resets only the refusal of the guest's SYN names a number. */
	if (pkt->flags & KCOLO_TCP_RST && !answer)
		return;
	if (!(pkt->flags & KCOLO_TCP_SYN) && !answer &&
	    conn->state == KCOLO_CONN_SYN && conn->offset) {
		open_as_primary(conn, offset, ts);
		return;
	}
	if (!answer && !in_window(conn, pkt->seq))
		return;
	/* W4: not held back, a later ack may cover data of the primary. */
	if (conn->state == KCOLO_CONN_SYN ||
	    (conn->state == KCOLO_CONN_LEARNT && offset != conn->offset &&
	     !kcolo_observes(pair)))
		learn(pair, conn, pkt, offset, ts);
	else if (ts->ok && kcolo_conn_ts_ok(conn))
		kcolo_ts_hear_client(&conn->ts, ts->ecr);
}

/* What is to be added to the numbers of a segment. */
static void find_shift(const struct kcolo_conn *conn,
		       const struct kcolo_pkt *pkt, const struct stamps *ts,
		       bool from_vm, struct kcolo_shift *shift)
{
	/* The guard alone is no reason to break a signature. */
	bool stamped = ts->ok && !ts->sig && kcolo_conn_ts_ok(conn);

	if (from_vm) {
		shift->seq = -conn->offset;
		if (stamped)
			shift->tsval = kcolo_ts_to_client(&conn->ts, ts->val) -
				       ts->val;
		return;
	}
	if (!(pkt->flags & KCOLO_TCP_ACK))
		return;
	shift->ack = conn->offset;
	if (stamped)
		shift->tsecr = kcolo_ts_to_vm(&conn->ts, ts->ecr) - ts->ecr;
}

/* The locked part of follow(). */
static void take(struct kcolo_pair *pair, struct kcolo_conn *conn,
		 const struct kcolo_pkt *pkt, const struct stamps *ts,
		 bool from_vm, struct kcolo_shift *shift)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	if (conn->epoch != (phase.epoch & KCOLO_CONN_EPOCH))
		kcolo_conn_reset(pair, conn, phase.epoch);
	if (phase.state == KCOLO_STATE_FAILOVER)
		kcolo_conn_wake(conn);
	if (from_vm)
		hear_vm(conn, pkt, ts, phase.state == KCOLO_STATE_FAILOVER);
	else
		hear_client(pair, conn, pkt, ts);
	/* In a handshake it may answer a forged ACK, and mean nothing. */
	if (from_vm && pkt->flags & KCOLO_TCP_RST &&
	    conn->state == KCOLO_CONN_FIXED &&
	    !kcolo_conn_to_come(conn))
		kcolo_conn_over(conn);
	if (kcolo_conn_translated(conn)) {
		kcolo_secondary_pin(pair);
		kcolo_conn_keep(conn);
	} else if (kcolo_conn_ts_ok(conn) && !(conn->flags & KCOLO_CONN_TOOK_OVER)) {
		/* W5: the guard will translate it at the failover. */
		kcolo_conn_keep(conn);
	}
	find_shift(conn, pkt, ts, from_vm, shift);
}

/*
 * A segment of a connection without state. If there was one, it was deleted behind
 * our back, and only a checkpoint brings the guest back into step (W7).
 */
static void miss(struct kcolo_pair *pair, const struct kcolo_pkt *pkt,
		 bool from_vm)
{
	struct kcolo_miscompare what = { .reason = KCOLO_REASON_LOST };

	if (left_alone(pair, pkt, from_vm)) {
		kcolo_count(pair, UNCOMPARED_RULE);
		return;
	}
	kcolo_count(pair, UNTRACKED);
	guest_tuple(&what.tuple, pkt, from_vm);
	if (!kcolo_known_take(pair, &what.tuple))
		return;
	what.seq = pkt->seq;
	kcolo_count(pair, LOST);
	if (kcolo_state(pair) != KCOLO_STATE_FAILOVER)
		kcolo_request(pair, &what);
}

/*
 * Takes a segment into account and says how it is to be translated; false if its
 * connection is not followed.
 */
static bool follow(struct kcolo_pair *pair, struct sk_buff *skb,
		   const struct kcolo_pkt *pkt, const struct stamps *ts,
		   bool from_vm, struct kcolo_shift *shift)
{
	struct nf_conn *ct, *found = NULL;
	enum ip_conntrack_dir dir;
	struct kcolo_conn conn;
	bool ok = false;

	ct = kcolo_conn_of(pair, skb, &dir);
	/*
	 * What conntrack calls invalid (a reset for an old segment, odd flags) came
	 * without; W2 wants it translated.
	 */
	if (!ct) {
		found = kcolo_conn_get(pair, &pkt->tuple, &dir);
		ct = found;
	}
	if (ct) {
		spin_lock(&ct->lock);
		ok = kcolo_conn_load(&conn, ct, from_vm ? !dir : dir);
		if (ok) {
			take(pair, &conn, pkt, ts, from_vm, shift);
			kcolo_conn_store(&conn);
		}
		spin_unlock(&ct->lock);
	}
	if (found)
		nf_ct_put(found);
	if (!ok)
		miss(pair, pkt, from_vm);
	return ok;
}

static int translate(struct kcolo_pair *pair, struct sk_buff *skb,
		     const struct kcolo_pkt *pkt, bool from_vm)
{
	struct stamps ts = stamps_of(pkt, skb);
	struct kcolo_shift shift = {};

	trace_rewriter_pkt_info(pair, pkt, from_vm);
	if (follow(pair, skb, pkt, &ts, from_vm, &shift) &&
	    pkt->flags & KCOLO_TCP_SYN && !kcolo_observes(pair))
		kcolo_strip(pair, skb, pkt);
	if (!shift.seq && !shift.ack && !shift.tsval && !shift.tsecr) {
		trace_rewriter_debug(pair, "no offset");
		return 0;
	}
	/* The other end would take it for forged; only a checkpoint helps. */
	if (ts.sig)
		return -EKEYREJECTED;
	trace_rewriter_conn_offset(pair, from_vm ? -shift.seq : shift.ack);
	if (from_vm)
		kcolo_count(pair, TRANSLATED_OUT);
	else
		kcolo_count(pair, TRANSLATED_IN);
	return kcolo_translate(skb, pkt, &shift);
}

/*
 * What a commit and the failover have made of a connection of which no segment has come
 * since (F3). Nothing is stored: an error may be forged.
 */
static void look_ahead(const struct kcolo_pair *pair, struct kcolo_conn *conn)
{
	struct kcolo_phase phase = kcolo_phase(pair);

	if (conn->epoch != (phase.epoch & KCOLO_CONN_EPOCH)) {
		conn->offset = 0;
		conn->flags &= KCOLO_CONN_DORMANT;
	}
	if (phase.state == KCOLO_STATE_FAILOVER)
		kcolo_conn_wake(conn);
}

/*
 * What is to be added to a quoted number of the primary's. Who refuses its SYN by an
 * error names its ISN, as a reset does.
 */
static u32 quoted_offset(const struct kcolo_pair *pair,
			 const struct kcolo_conn *conn, u32 seq)
{
	if (conn->state == KCOLO_CONN_SYN && conn->in == IP_CT_DIR_REPLY &&
	    kcolo_state(pair) != KCOLO_STATE_FAILOVER)
		return conn->isn - seq;
	return conn->offset;
}

/*
 * An error towards the guest quotes what the primary sent: it becomes what the
 * guest sent, or the guest would not take it for its own. An error of the guest
 * quotes what it received.
 */
static void find_quoted_shift(struct kcolo_pair *pair,
			      const struct kcolo_tuple *tuple, u32 seq,
			      bool from_vm, struct kcolo_shift *shift)
{
	enum ip_conntrack_dir dir;
	struct kcolo_conn conn;
	struct nf_conn *ct;
	u32 tsoff;

	ct = kcolo_conn_get(pair, tuple, &dir);
	if (!ct)
		return;
	spin_lock_bh(&ct->lock);
	if (kcolo_conn_load(&conn, ct, from_vm ? dir : !dir)) {
		look_ahead(pair, &conn);
		tsoff = kcolo_conn_ts_ok(&conn) ? conn.ts.off : 0;
		if (from_vm)
			*shift = (struct kcolo_shift){ .ack = -conn.offset,
						       .tsecr = -tsoff };
		else
			*shift = (struct kcolo_shift){ .seq = quoted_offset(pair, &conn, seq),
						       .tsval = tsoff };
	}
	spin_unlock_bh(&ct->lock);
	nf_ct_put(ct);
}

/* The header quoted in an ICMP or ICMPv6 error; path MTU discovery needs it. */
static int translate_error(struct kcolo_pair *pair, struct sk_buff *skb,
			   const struct kcolo_pkt *pkt, bool from_vm)
{
	u32 want = min_t(u32, skb->len, QUOTE_MAX);
	struct kcolo_shift shift = {};
	struct kcolo_quote quote;

	if (pkt->tuple.proto != (pkt->tuple.v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return 0;
	if (!pskb_may_pull(skb, want) ||
	    !kcolo_pkt_quote(&quote, skb->data, want, skb->len,
			     pkt->tuple.v6))
		return 0;
	quote.tuple.vlan = pkt->tuple.vlan;
	find_quoted_shift(pair, &quote.tuple,
			  get_unaligned_be32(skb->data + quote.l4 + 4), from_vm,
			  &shift);
	if (!shift.seq && !shift.ack && !shift.tsval && !shift.tsecr)
		return 0;
	kcolo_count(pair, TRANSLATED_ERRORS);
	return kcolo_translate_quote(skb, &quote, &shift);
}

/**
 * kcolo_secondary_post() - translate and tag a packet on its way out
 * @pair: a secondary pair
 * @skb: at POST_ROUTING, before conntrack confirms; may be reallocated
 * @v6: IPv6
 * @from_vm: the guest sent it, else it goes to the guest
 * @to_peer: it leaves through the peer port
 *
 * Return: a verdict.
 */
unsigned int kcolo_secondary_post(struct kcolo_pair *pair, struct sk_buff *skb,
				  bool v6, bool from_vm, bool to_peer)
{
	struct kcolo_phase phase = kcolo_phase(pair);
	struct kcolo_pkt pkt;
	int err = 0;

	if (from_vm)
		kcolo_count(pair, FROM_VM);
	else
		kcolo_count(pair, TO_VM);
	switch (kcolo_pkt_parse_skb(&pkt, skb, v6)) {
	case KCOLO_PKT_TCP:
		err = kcolo_unlist(skb, &pkt) ?:
		      translate(pair, skb, &pkt, from_vm);
		break;
	case KCOLO_PKT_DGRAM:
	case KCOLO_PKT_OTHER:
		err = translate_error(pair, skb, &pkt, from_vm);
		break;
	default:
		kcolo_count_drop(pair, MALFORMED, skb);
		return NF_DROP;
	}
	/* C4: a client never sees the tag. */
	if (!err && from_vm && to_peer && phase.state != KCOLO_STATE_FAILOVER)
		err = kcolo_set_ttl(skb, v6, kcolo_tag(phase.epoch));
	if (!err)
		return NF_ACCEPT;
	if (err == -EKEYREJECTED)
		kcolo_count_drop(pair, SIGNED, skb);
	else
		kcolo_count_drop(pair, UNTRANSLATABLE, skb);
	return NF_DROP;
}

/*
 * Each segment of a connection that began before the pair has a new conntrack of its
 * own, until the first one is confirmed on its way out. Of those that wait only one
 * could be, the others would be dropped for it. They need none (W6).
 */
static void untrack_midstream(struct sk_buff *skb)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	if (!ct || nf_ct_is_confirmed(ct) || nf_ct_is_template(ct) ||
	    nf_ct_protonum(ct) != IPPROTO_TCP || nfct_seqadj(ct))
		return;
	nf_reset_ct(skb);
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
}

/* C6: a frame that must not be translated before it is known how. */
static unsigned int wait_for_end(struct kcolo_pair *pair, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	struct kcolo_held *held;

	if (!kcolo_hold_room(pair, true, skb->truesize)) {
		kcolo_count_drop(pair, WAIT_DROPPED, skb);
		return NF_DROP;
	}
	held = kcolo_hold(pair, skb, state, true, ktime_get_mono_fast_ns());
	if (!held) {
		kcolo_count_drop(pair, NOMEM, skb);
		return NF_DROP;
	}
	kcolo_count(pair, WAITED);
	trace_hold(pair, held);
	spin_lock(&pair->out_lock);
	list_add_tail(&held->list, &pair->wait);
	spin_unlock(&pair->out_lock);
	return NF_STOLEN;
}

/**
 * kcolo_secondary_gate() - nothing passes during a checkpoint (C6)
 * @pair: a secondary pair
 * @skb: at the end of PRE_ROUTING
 * @state: the hook's
 * @from_vm: comes from the guest's port, else from the peer's
 *
 * Return: a verdict.
 */
unsigned int kcolo_secondary_gate(struct kcolo_pair *pair, struct sk_buff *skb,
				  const struct nf_hook_state *state,
				  bool from_vm)
{
	bool checkpoint = kcolo_phase(pair).state == KCOLO_STATE_CHECKPOINT;

	if (!from_vm) {
		if (checkpoint || READ_ONCE(pair->flushing))
			untrack_midstream(skb);
		return checkpoint ? wait_for_end(pair, skb, state) :
				    kcolo_hold_behind(pair, skb, state);
	}
	if (!checkpoint)
		return NF_ACCEPT;
	kcolo_count_drop(pair, GATED, skb);
	return NF_DROP;
}

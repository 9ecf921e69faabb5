// SPDX-License-Identifier: GPL-2.0
/*
 * The secondary host: keeps the guest's connections in step with the clients by
 * translating between its sequence space and the primary's (W1-W7, C4, C6).
 *
 *	offset = secondary_isn - primary_isn
 *	towards the guest:	ack += offset
 *	from the guest:		seq -= offset
 *
 * The state of a connection lives in its conntrack, in the sequence adjustment
 * extension, and dies with it. IPS_SEQ_ADJUST stays clear, so the core does not
 * rewrite anything; its window tracker reads the offset all the same. With
 * `out` the guest's direction and `in` the client's, the extension holds
 *
 *	out.offset_before, out.offset_after	-offset
 *	out.correction_pos			mark, state, epoch
 *	in.offset_before, in.offset_after	0, nothing is added to client data
 *	in.correction_pos			secondary_isn
 *
 * and is read and written under ct->lock.
 */
#include <linux/tcp.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_l4proto.h>
#include <net/netfilter/nf_conntrack_seqadj.h>
#include <net/netfilter/nf_conntrack_zones.h>

#include "kcolo.h"
#include "secondary.h"
#include "translate.h"

#define MARK		0xc7000000	/* tells our extension from another's */
#define MARK_MASK	0xff000000
#define STATE_SHIFT	20
#define STATE_MASK	0x00f00000
#define EPOCH_MASK	0x000fffff
#define COUNT_PERIOD	(10 * HZ)	/* between two walks through conntrack */
#define OLD_SEQ		0xffff		/* how old a client's segment may be */

/**
 * enum learn_state - what is known of the offset (W4)
 * @ST_NEW: nothing
 * @ST_SYN: the secondary's ISN
 * @ST_LEARNT: the offset, learnt anew from each ACK in the window
 * @ST_FIXED: the guest has sent a byte after its SYN, the offset stays
 */
enum learn_state { ST_NEW, ST_SYN, ST_LEARNT, ST_FIXED };

/**
 * struct conn - a connection, while its conntrack is locked
 * @ct: its conntrack
 * @out: extension, the guest's direction
 * @in: extension, the client's direction
 * @in_dir: the client's direction
 * @state: enum learn_state
 */
struct conn {
	struct nf_conn *ct;
	struct nf_ct_seqadj *out;
	struct nf_ct_seqadj *in;
	enum ip_conntrack_dir in_dir;
	enum learn_state state;
};

static u32 pack(enum learn_state state, u32 epoch)
{
	return MARK | state << STATE_SHIFT | (epoch & EPOCH_MASK);
}

static enum learn_state state_of(const struct nf_ct_seqadj *out)
{
	return (out->correction_pos & STATE_MASK) >> STATE_SHIFT;
}

static bool is_ours(const struct nf_ct_seqadj *out)
{
	return (out->correction_pos & MARK_MASK) == MARK;
}

static u32 offset_of(const struct nf_ct_seqadj *out)
{
	return -(u32)out->offset_before;
}

static void set_offset(struct conn *conn, u32 offset)
{
	conn->out->offset_before = -offset;
	conn->out->offset_after = -offset;
}

/* Our extension of a conntrack, NULL if it has none or another module uses it. */
static struct nf_conn_seqadj *our_ext(const struct nf_conn *ct,
				      enum ip_conntrack_dir out_dir)
{
	struct nf_conn_seqadj *adj = nfct_seqadj(ct);

	if (!adj || test_bit(IPS_SEQ_ADJUST_BIT, &ct->status) ||
	    !is_ours(&adj->seq[out_dir]))
		return NULL;
	return adj;
}

/**
 * kcolo_secondary_track() - give a new connection room for its offset
 * @pair: a secondary pair
 * @skb: at PRE_ROUTING, just behind conntrack
 * @state: the hook's
 * @from_vm: comes from the guest's port, else from the peer's
 *
 * Extensions can only be added to a conntrack that nobody else sees yet, so the
 * SYN is the one chance. The handshake's ACK is in the primary's space; the
 * window tracker must not judge it.
 */
void kcolo_secondary_track(struct kcolo_pair *pair, struct sk_buff *skb,
			   const struct nf_hook_state *state, bool from_vm)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);
	struct nf_conn_seqadj *adj;
	struct kcolo_pkt pkt;

	if (!ct || ctinfo != IP_CT_NEW || nf_ct_is_confirmed(ct) ||
	    nf_ct_is_template(ct) || nf_ct_protonum(ct) != IPPROTO_TCP)
		return;
	if (kcolo_pkt_parse_skb(&pkt, skb, state->pf == NFPROTO_IPV6) !=
	    KCOLO_PKT_TCP || !(pkt.flags & KCOLO_TCP_SYN))
		return;
	if (nfct_seqadj(ct) || refcount_read(&ct->ct_general.use) != 1) {
		kcolo_count(pair, FOREIGN);
		return;
	}
	adj = nfct_seqadj_ext_add(ct);
	if (!adj) {
		kcolo_count(pair, NOMEM);
		return;
	}
	adj->seq[from_vm ? IP_CT_DIR_ORIGINAL : IP_CT_DIR_REPLY].correction_pos =
		pack(ST_NEW, kcolo_phase(pair).epoch);
	nf_ct_set_tcp_be_liberal(ct);
}

/* C2: with the commit the guest holds the primary's connection, offset 0. */
static void reset(struct kcolo_pair *pair, struct conn *conn)
{
	if (conn->state >= ST_LEARNT)
		kcolo_count(pair, RESET);
	conn->state = ST_FIXED;
	set_offset(conn, 0);
	conn->ct->proto.tcp.seen[0].td_maxwin = 0;
	conn->ct->proto.tcp.seen[1].td_maxwin = 0;
}

/* From the guest: its SYN or SYN-ACK names its ISN, a later byte ends learning. */
static void hear_vm(struct conn *conn, const struct kcolo_pkt *pkt)
{
	u32 isn = conn->in->correction_pos;

	if (pkt->flags & KCOLO_TCP_SYN) {
		/* W4: only another ISN starts afresh, whoever asked for it. */
		if (conn->state != ST_NEW && isn == pkt->seq)
			return;
		conn->in->correction_pos = pkt->seq;
		conn->state = ST_SYN;
		set_offset(conn, 0);
	} else if (conn->state == ST_LEARNT && pkt->seq_end != pkt->seq &&
		   seq_after(pkt->seq_end, isn + 1)) {
		conn->state = ST_FIXED;
	}
}

/* Is a client's segment in the guest's window, as far as conntrack knows? */
static bool in_window(const struct conn *conn, u32 seq)
{
	const struct ip_ct_tcp_state *client =
		&conn->ct->proto.tcp.seen[conn->in_dir];

	return !seq_before(seq, client->td_end - OLD_SEQ) &&
	       !seq_after(seq, client->td_maxend + 1);
}

/* Towards the guest: an ACK, or a server's SYN-ACK, names the primary's ISN. */
static void hear_client(struct kcolo_pair *pair, struct conn *conn,
			const struct kcolo_pkt *pkt)
{
	bool syn = pkt->flags & KCOLO_TCP_SYN;
	u32 offset;

	if (conn->state != ST_SYN && conn->state != ST_LEARNT)
		return;
	if (!(pkt->flags & KCOLO_TCP_ACK) || pkt->flags & KCOLO_TCP_RST)
		return;
	if (!syn && !in_window(conn, pkt->seq))
		return;
	offset = conn->in->correction_pos - (pkt->ack - 1);
	if (conn->state == ST_LEARNT && offset == offset_of(conn->out))
		return;
	conn->state = ST_LEARNT;
	set_offset(conn, offset);
	kcolo_count(pair, LEARNT);
	if (offset)
		kcolo_secondary_pin(pair);
}

/*
 * The conntrack of a segment. One that conntrack calls invalid (a reset for an old
 * segment, odd flags) came without: it is looked up, W2 wants it translated.
 */
static struct nf_conn *get_conntrack(struct kcolo_pair *pair,
				     struct sk_buff *skb, bool v6,
				     enum ip_conntrack_dir *dir)
{
	struct nf_conntrack_tuple_hash *h;
	struct nf_conntrack_tuple tuple;
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	/* Another pair's guest may have sent it, in that pair's zone. */
	if (ct && !nf_ct_is_template(ct) && nf_ct_zone(ct)->id == pair->zone) {
		*dir = CTINFO2DIR(ctinfo);
		nf_conntrack_get(&ct->ct_general);
		return ct;
	}
	if (!nf_ct_get_tuplepr(skb, skb_network_offset(skb),
			       v6 ? NFPROTO_IPV6 : NFPROTO_IPV4, pair->net,
			       &tuple))
		return NULL;
	h = nf_conntrack_find_get(pair->net, nf_ct_zone(pair->tmpl), &tuple);
	if (!h)
		return NULL;
	*dir = NF_CT_DIRECTION(h);
	return nf_ct_tuplehash_to_ctrack(h);
}

/*
 * Takes a segment into account and says by how much it is to be translated.
 * Returns false if there is nothing to translate.
 */
static bool find_offset(struct kcolo_pair *pair, struct sk_buff *skb,
			const struct kcolo_pkt *pkt, bool from_vm, u32 *offset)
{
	u32 epoch = kcolo_phase(pair).epoch;
	enum ip_conntrack_dir dir;
	struct nf_conn_seqadj *adj;
	struct conn conn;

	conn.ct = get_conntrack(pair, skb, pkt->tuple.v6, &dir);
	if (!conn.ct)
		goto untracked;
	conn.in_dir = from_vm ? !dir : dir;
	adj = our_ext(conn.ct, !conn.in_dir);
	if (!adj)
		goto put;
	conn.out = &adj->seq[!conn.in_dir];
	conn.in = &adj->seq[conn.in_dir];

	spin_lock_bh(&conn.ct->lock);
	conn.state = state_of(conn.out);
	if ((conn.out->correction_pos ^ epoch) & EPOCH_MASK)
		reset(pair, &conn);
	if (from_vm)
		hear_vm(&conn, pkt);
	else
		hear_client(pair, &conn, pkt);
	conn.out->correction_pos = pack(conn.state, epoch);
	*offset = offset_of(conn.out);
	spin_unlock_bh(&conn.ct->lock);
	nf_ct_put(conn.ct);
	return conn.state >= ST_LEARNT && *offset;

put:
	nf_ct_put(conn.ct);
untracked:
	kcolo_count(pair, UNTRACKED);
	return false;
}

static int translate(struct kcolo_pair *pair, struct sk_buff *skb,
		     const struct kcolo_pkt *pkt, bool from_vm)
{
	u32 offset;

	if (!find_offset(pair, skb, pkt, from_vm, &offset))
		return 0;
	if (from_vm) {
		kcolo_count(pair, TRANSLATED_OUT);
		return kcolo_translate_seq(skb, pkt, -offset);
	}
	if (!(pkt->flags & KCOLO_TCP_ACK))
		return 0;
	kcolo_count(pair, TRANSLATED_IN);
	return kcolo_translate_ack(skb, pkt, offset);
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

	if (from_vm)
		kcolo_count(pair, FROM_VM);
	else
		kcolo_count(pair, TO_VM);
	switch (kcolo_pkt_parse_skb(&pkt, skb, v6)) {
	case KCOLO_PKT_TCP:
		if (translate(pair, skb, &pkt, from_vm))
			goto drop;
		break;
	case KCOLO_PKT_OTHER:
		break;
	default:
		kcolo_count(pair, MALFORMED);
		return NF_DROP;
	}
	/* C4: a client never sees the tag. */
	if (from_vm && to_peer && phase.state != KCOLO_STATE_FAILOVER &&
	    kcolo_set_ttl(skb, v6, kcolo_tag(phase.epoch)))
		goto drop;
	return NF_ACCEPT;
drop:
	kcolo_count(pair, UNTRANSLATABLE);
	return NF_DROP;
}

/* C6: a frame that must not be translated before it is known how. */
static unsigned int wait_for_end(struct kcolo_pair *pair, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	struct kcolo_held *held;

	if (!kcolo_hold_room(pair, true, skb->truesize)) {
		kcolo_count(pair, WAIT_DROPPED);
		return NF_DROP;
	}
	held = kcolo_hold(pair, skb, state, true);
	if (!held) {
		kcolo_count(pair, NOMEM);
		return NF_DROP;
	}
	kcolo_count(pair, WAITED);
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

	if (!from_vm)
		return checkpoint ? wait_for_end(pair, skb, state) :
				    kcolo_hold_behind(pair, skb, state);
	if (!checkpoint)
		return NF_ACCEPT;
	kcolo_count(pair, GATED);
	return NF_DROP;
}

static enum kcolo_flow_state flow_state(const struct nf_conn *ct)
{
	switch (READ_ONCE(ct->proto.tcp.state)) {
	case TCP_CONNTRACK_SYN_SENT:
	case TCP_CONNTRACK_SYN_SENT2:
	case TCP_CONNTRACK_SYN_RECV:
		return KCOLO_FLOW_STATE_OPENING;
	case TCP_CONNTRACK_ESTABLISHED:
		return KCOLO_FLOW_STATE_ESTABLISHED;
	case TCP_CONNTRACK_FIN_WAIT:
	case TCP_CONNTRACK_CLOSE_WAIT:
	case TCP_CONNTRACK_LAST_ACK:
		return KCOLO_FLOW_STATE_CLOSING;
	default:
		return KCOLO_FLOW_STATE_CLOSED;
	}
}

/* An ISN may look like our mark; the client's side never has an offset. */
static const struct nf_ct_seqadj *guest_side(const struct nf_conn_seqadj *adj)
{
	const struct nf_ct_seqadj *reply = &adj->seq[IP_CT_DIR_REPLY];
	const struct nf_ct_seqadj *orig = &adj->seq[IP_CT_DIR_ORIGINAL];

	if (is_ours(reply) && is_ours(orig))
		return orig->offset_before ? orig : reply;
	return is_ours(reply) ? reply : orig;
}

/* Describes a conntrack of the pair, in the direction of its opener. */
static bool describe(const struct kcolo_pair *pair, const struct nf_conn *ct,
		     struct kcolo_secondary_flow *info)
{
	const struct nf_conntrack_tuple *t =
		&ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple;
	u32 epoch = kcolo_phase(pair).epoch;
	const struct nf_ct_seqadj *out;
	struct nf_conn_seqadj *adj;

	if (!net_eq(nf_ct_net(ct), pair->net) ||
	    nf_ct_zone(ct)->id != pair->zone || nf_ct_is_expired(ct))
		return false;
	adj = our_ext(ct, IP_CT_DIR_REPLY) ?: our_ext(ct, IP_CT_DIR_ORIGINAL);
	if (!adj)
		return false;
	out = guest_side(adj);
	memset(info, 0, sizeof(*info));
	info->tuple.v6 = nf_ct_l3num(ct) == NFPROTO_IPV6;
	info->tuple.proto = IPPROTO_TCP;
	memcpy(&info->tuple.src, &t->src.u3, sizeof(info->tuple.src));
	memcpy(&info->tuple.dst, &t->dst.u3, sizeof(info->tuple.dst));
	info->tuple.sport = t->src.u.tcp.port;
	info->tuple.dport = t->dst.u.tcp.port;
	info->state = flow_state(ct);
	info->offset_ok = true;
	if ((out->correction_pos ^ epoch) & EPOCH_MASK)
		return true;	/* reset by its next packet */
	info->offset = offset_of(out);
	info->offset_ok = state_of(out) >= ST_LEARNT;
	return true;
}

/* One bucket of conntrack; its lock is held. */
static int walk_bucket(struct kcolo_pair *pair, struct kcolo_cursor *at,
		       int (*fn)(const struct kcolo_secondary_flow *, void *),
		       void *data)
{
	struct nf_conntrack_tuple_hash *h;
	struct kcolo_secondary_flow info;
	struct hlist_nulls_node *n;
	unsigned int seen = 0;
	int err;

	if (at->bucket >= nf_conntrack_htable_size)	/* it has shrunk */
		return 0;
	hlist_nulls_for_each_entry(h, n, &nf_conntrack_hash[at->bucket],
				   hnnode) {
		if (NF_CT_DIRECTION(h) != IP_CT_DIR_ORIGINAL ||
		    !describe(pair, nf_ct_tuplehash_to_ctrack(h), &info) ||
		    seen++ < at->index)
			continue;
		err = fn(&info, data);
		if (err)
			return err;
		at->index = seen;
	}
	return 0;
}

/**
 * kcolo_secondary_walk() - do something with every connection of a pair
 * @pair: a secondary pair
 * @at: where to begin; where it ended
 * @fn: called with a lock held and bottom halves off; not 0 ends the walk
 * @data: for @fn
 *
 * Context: process.
 * Return: what @fn returned last; the walk can go on with the same connection.
 */
int kcolo_secondary_walk(struct kcolo_pair *pair, struct kcolo_cursor *at,
			 int (*fn)(const struct kcolo_secondary_flow *, void *),
			 void *data)
{
	int err, i;

	for (; at->bucket < nf_conntrack_htable_size; at->bucket++) {
		i = at->bucket % CONNTRACK_LOCKS;
		local_bh_disable();
		nf_conntrack_lock(&nf_conntrack_locks[i]);
		__acquire(&nf_conntrack_locks[i]);
		err = walk_bucket(pair, at, fn, data);
		spin_unlock(&nf_conntrack_locks[i]);
		local_bh_enable();
		if (err)
			return err;
		at->index = 0;
		if (at->bucket % 1024 == 0)
			cond_resched();
	}
	return 0;
}

static int count_one(const struct kcolo_secondary_flow *info, void *n)
{
	if (info->offset_ok && info->offset &&
	    info->state != KCOLO_FLOW_STATE_CLOSED)
		++*(u32 *)n;
	return 0;
}

/**
 * kcolo_secondary_count() - count the live translated connections (S5, W7)
 * @pair: a secondary pair
 *
 * Context: process.
 * Return: their number.
 */
u32 kcolo_secondary_count(struct kcolo_pair *pair)
{
	struct kcolo_cursor at = {};
	u32 n = 0;

	kcolo_secondary_walk(pair, &at, count_one, &n);
	return n;
}

/**
 * kcolo_secondary_pin() - keep the module while connections are translated (S5)
 * @pair: a secondary pair
 */
void kcolo_secondary_pin(struct kcolo_pair *pair)
{
	if (!test_and_set_bit(0, &pair->pinned))
		__module_get(THIS_MODULE);
}

/**
 * kcolo_secondary_unpin() - undo kcolo_secondary_pin()
 * @pair: a secondary pair
 */
void kcolo_secondary_unpin(struct kcolo_pair *pair)
{
	if (test_and_clear_bit(0, &pair->pinned))
		module_put(THIS_MODULE);
}

/**
 * kcolo_secondary_scan() - let the module go when nothing is translated any more
 * @pair: a secondary pair
 *
 * Context: process.
 */
void kcolo_secondary_scan(struct kcolo_pair *pair)
{
	if (!test_bit(0, &pair->pinned) ||
	    time_before(jiffies, pair->walked + COUNT_PERIOD))
		return;
	pair->walked = jiffies;
	/* Keep the reference while counting; who learns meanwhile takes its own. */
	clear_bit(0, &pair->pinned);
	if (kcolo_secondary_count(pair) && !test_and_set_bit(0, &pair->pinned))
		return;
	module_put(THIS_MODULE);
}

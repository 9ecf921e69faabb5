// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps the state of the secondary's connections in conntrack, where it dies with
 * them.
 *
 * Two extensions hold it, as plain data. Nobody else reads them: no SYNPROXY rule
 * may see these connections, and IPS_SEQ_ADJUST stays clear, so the core rewrites
 * nothing. Its window tracker reads the offset all the same. With `out` the guest's
 * direction and `in` the client's:
 *
 *	seqadj	out.offset_before, out.offset_after	-offset
 *		out.correction_pos			mark, flags, state, epoch
 *		in.offset_before, in.offset_after	0, client data stays
 *		in.correction_pos			ts.lag, or the ISN if
 *							there is no synproxy
 *	synproxy
 *		isn					the guest's ISN
 *		its					ts.newest
 *		tsoff					ts.off; before that is
 *							known, the acknowledgment
 *							of the guest's SYN-ACK
 *
 * A connection that another host translated before (F3) is past its SYN, and its
 * ts.off is 0 as long as that is dormant: isn and tsoff hold what is to come.
 *
 * They are read and written under ct->lock. On a kernel without SYNPROXY sequence
 * numbers are translated, timestamps are not.
 */
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_seqadj.h>
#include <net/netfilter/nf_conntrack_synproxy.h>
#include <net/netfilter/nf_conntrack_zones.h>

#include "conn.h"
#include "zone.h"

#define MARK		0xc4000000	/* ts.lag never looks like it */
#define MARK_MASK	0xfc000000
#define FLAGS_SHIFT	22
#define FLAGS_MASK	0xf
#define STATE_SHIFT	20
#define STATE_MASK	3

static bool is_ours(const struct nf_ct_seqadj *out)
{
	return (out->correction_pos & MARK_MASK) == MARK;
}

static u32 pack(const struct kcolo_conn *conn)
{
	return MARK | conn->flags << FLAGS_SHIFT |
	       conn->state << STATE_SHIFT | (conn->epoch & KCOLO_CONN_EPOCH);
}

/**
 * kcolo_conn_attach() - give a new connection room for its state
 * @ct: unconfirmed, so nobody else sees it; the only time when this can be done
 * @from_vm: the guest opens it
 * @epoch: of the pair
 *
 * Return: 1; 0 if timestamps found no room; -EBUSY if another module translates
 * the connection; -ENOMEM.
 */
int kcolo_conn_attach(struct nf_conn *ct, bool from_vm, u32 epoch)
{
	struct kcolo_conn conn = { .epoch = epoch };
	struct nf_conn_seqadj *adj;

	if (nfct_seqadj(ct) || nfct_synproxy(ct) ||
	    refcount_read(&ct->ct_general.use) > 1)
		return -EBUSY;
	if (!nfct_seqadj_ext_add(ct))
		return -ENOMEM;
	/* The second may move the first. */
	conn.ts_room = !!nfct_synproxy_ext_add(ct);
	adj = nfct_seqadj(ct);
	adj->seq[from_vm ? IP_CT_DIR_ORIGINAL : IP_CT_DIR_REPLY].correction_pos =
		pack(&conn);
	return conn.ts_room;
}

/**
 * kcolo_conn_load() - read the state of a connection
 * @conn: result
 * @ct: conntrack, locked by the caller
 * @in: the client's direction
 *
 * Return: false if it has none, or another module translates it.
 */
bool kcolo_conn_load(struct kcolo_conn *conn, struct nf_conn *ct,
		     enum ip_conntrack_dir in)
{
	struct nf_conn_synproxy *sp = nfct_synproxy(ct);
	struct nf_conn_seqadj *adj = nfct_seqadj(ct);
	u32 word;

	lockdep_assert_held(&ct->lock);
	if (!adj || test_bit(IPS_SEQ_ADJUST_BIT, &ct->status) ||
	    !is_ours(&adj->seq[!in]))
		return false;
	word = adj->seq[!in].correction_pos;
	conn->ct = ct;
	conn->adj = adj;
	conn->sp = sp;
	conn->in = in;
	conn->epoch = word & KCOLO_CONN_EPOCH;
	conn->state = word >> STATE_SHIFT & STATE_MASK;
	conn->flags = word >> FLAGS_SHIFT & FLAGS_MASK;
	conn->offset = -(u32)adj->seq[!in].offset_before;
	conn->isn = sp ? sp->isn : adj->seq[in].correction_pos;
	conn->ts_room = !!sp;
	conn->ts.newest = sp ? sp->its : 0;
	conn->ts.off = sp ? sp->tsoff : 0;
	conn->ts.lag = sp ? adj->seq[in].correction_pos : 0;
	conn->dormant = 0;
	conn->ts_dormant = 0;
	if (conn->flags & KCOLO_CONN_DORMANT) {
		swap(conn->isn, conn->dormant);
		swap(conn->ts.off, conn->ts_dormant);
	}
	return true;
}

/**
 * kcolo_conn_store() - write the state of a connection back
 * @conn: of kcolo_conn_load(), still locked, changed
 */
void kcolo_conn_store(struct kcolo_conn *conn)
{
	struct nf_conn_synproxy *sp = conn->sp;
	struct nf_conn_seqadj *adj = conn->adj;
	struct nf_ct_seqadj *out = &adj->seq[!conn->in];
	bool dormant = conn->flags & KCOLO_CONN_DORMANT;
	u32 isn = dormant ? conn->dormant : conn->isn;

	lockdep_assert_held(&conn->ct->lock);
	out->correction_pos = pack(conn);
	out->offset_before = -conn->offset;
	out->offset_after = -conn->offset;
	adj->seq[conn->in].correction_pos = sp ? conn->ts.lag : isn;
	if (!sp)
		return;
	sp->isn = isn;
	sp->its = conn->ts.newest;
	sp->tsoff = dormant ? conn->ts_dormant : conn->ts.off;
}

/**
 * kcolo_conn_peek() - read the state of a connection, to show it
 * @conn: result
 * @ct: conntrack
 *
 * Return: false if it has none.
 */
bool kcolo_conn_peek(struct kcolo_conn *conn, struct nf_conn *ct)
{
	bool ok;

	if (!nfct_seqadj(ct))
		return false;
	spin_lock_bh(&ct->lock);
	ok = kcolo_conn_load(conn, ct, IP_CT_DIR_ORIGINAL);
	/* Without synproxy an ISN may look like the mark; it comes without offset. */
	if (!ok || (!conn->ts_room && !conn->offset && !conn->dormant))
		ok |= kcolo_conn_load(conn, ct, IP_CT_DIR_REPLY);
	spin_unlock_bh(&ct->lock);
	return ok;
}

/**
 * kcolo_conn_keep_for() - how long a translated connection may be idle (W7)
 * @ct: conntrack
 * @to_come: the guest does not have the connection yet, what it says of it does not
 *	count (F3)
 *
 * Return: seconds; 0: what conntrack says is right, the connection is over or has
 * not begun.
 */
u32 kcolo_conn_keep_for(const struct nf_conn *ct, bool to_come)
{
	if (to_come)
		return KCOLO_KEEP_OPEN;
	switch (READ_ONCE(ct->proto.tcp.state)) {
	case TCP_CONNTRACK_ESTABLISHED:
		return KCOLO_KEEP_OPEN;
	case TCP_CONNTRACK_FIN_WAIT:
	case TCP_CONNTRACK_CLOSE_WAIT:
		return KCOLO_KEEP_CLOSING;
	case TCP_CONNTRACK_LAST_ACK:
		return KCOLO_KEEP_LAST_ACK;
	default:
		return 0;
	}
}

/**
 * kcolo_conn_keep() - let the state live as long as its connection can (W7)
 * @conn: connection, whose conntrack has taken a packet into account
 *
 * Conntrack has just set a timeout of its own, a minute for half a connection.
 */
void kcolo_conn_keep(const struct kcolo_conn *conn)
{
	struct nf_conn *ct = conn->ct;
	u32 until = nfct_time_stamp +
		    kcolo_conn_keep_for(ct, kcolo_conn_to_come(conn)) * HZ;

	/* A timeout is relative until the conntrack is confirmed. */
	if (nf_ct_is_confirmed(ct) &&
	    (s32)(until - READ_ONCE(ct->timeout)) > 0)
		WRITE_ONCE(ct->timeout, until);
}

/**
 * kcolo_conn_reset() - with the commit the guest holds the primary's connection, offsets 0 (C2)
 * @pair: a secondary pair
 * @conn: loaded; the caller stores it
 * @epoch: of the commit
 */
void kcolo_conn_reset(struct kcolo_pair *pair, struct kcolo_conn *conn,
		      u32 epoch)
{
	if (conn->state >= KCOLO_CONN_LEARNT)
		kcolo_count(pair, RESET);
	conn->epoch = epoch & KCOLO_CONN_EPOCH;
	conn->state = KCOLO_CONN_FIXED;
	conn->flags = KCOLO_CONN_TS_LEARNT | (conn->flags & KCOLO_CONN_DORMANT ?
					      KCOLO_CONN_DORMANT | KCOLO_CONN_GIVEN : 0);
	conn->offset = 0;
	conn->ts = (struct kcolo_ts){};
	/*
	 * What the guest said of it before it had the connection is void: of one
	 * that it did not know (F3), or that it alone has reset (R5).
	 */
	if (conn->flags & KCOLO_CONN_DORMANT ||
	    conn->ct->proto.tcp.state == TCP_CONNTRACK_CLOSE)
		conn->ct->proto.tcp.state = TCP_CONNTRACK_ESTABLISHED;
	conn->ct->proto.tcp.seen[0].td_maxwin = 0;
	conn->ct->proto.tcp.seen[1].td_maxwin = 0;
}

/**
 * kcolo_conn_over() - the guest has reset the connection (W7)
 * @conn: connection, locked
 *
 * Conntrack takes a reset for a forged one unless it is where the client has
 * acknowledged to, which a commit changes. This one comes from the guest's port,
 * and no guest resets what it keeps.
 */
void kcolo_conn_over(const struct kcolo_conn *conn)
{
	struct nf_conn *ct = conn->ct;
	const struct nf_tcp_net *tn = nf_tcp_pernet(nf_ct_net(ct));

	lockdep_assert_held(&ct->lock);
	if (!nf_ct_is_confirmed(ct) ||
	    ct->proto.tcp.state == TCP_CONNTRACK_CLOSE)
		return;
	ct->proto.tcp.state = TCP_CONNTRACK_CLOSE;
	WRITE_ONCE(ct->timeout,
		   nfct_time_stamp + tn->timeouts[TCP_CONNTRACK_CLOSE]);
}

/**
 * kcolo_conn_wake() - what was dormant is in force from now on (F3)
 * @conn: the host has failed over
 */
void kcolo_conn_wake(struct kcolo_conn *conn)
{
	if (!(conn->flags & KCOLO_CONN_DORMANT))
		return;
	conn->offset += conn->dormant;
	conn->ts.off += conn->ts_dormant;
	conn->flags &= ~(KCOLO_CONN_DORMANT | KCOLO_CONN_GIVEN);
}

static void fill_tuple(struct nf_conntrack_tuple *to, const struct kcolo_tuple *t)
{
	memset(to, 0, sizeof(*to));
	to->src.l3num = t->v6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	memcpy(&to->src.u3, &t->src, sizeof(to->src.u3));
	memcpy(&to->dst.u3, &t->dst, sizeof(to->dst.u3));
	to->src.u.tcp.port = t->sport;
	to->dst.u.tcp.port = t->dport;
	to->dst.protonum = IPPROTO_TCP;
}

/**
 * kcolo_conn_make() - make the conntrack of a connection in midstream (F3)
 * @pair: a secondary pair
 * @t: from its opener to the other end
 * @from_vm: the guest is the opener
 *
 * Context: process.
 * Return: the conntrack, with room for state, to be put; ERR_PTR(-EEXIST) if there
 * is one already, -ENOSPC or -ENOMEM.
 */
struct nf_conn *kcolo_conn_make(struct kcolo_pair *pair,
				const struct kcolo_tuple *t, bool from_vm)
{
	struct nf_conntrack_tuple orig, reply;
	const struct kcolo_zone *zone;
	struct nf_conn *ct;
	int err;

	zone = kcolo_zone_get(pair, false, t->vlan);
	if (!zone)
		return ERR_PTR(-ENOMEM);
	fill_tuple(&orig, t);
	nf_ct_invert_tuple(&reply, &orig);
	ct = nf_conntrack_alloc(pair->net, nf_ct_zone(zone->tmpl), &orig,
				&reply, GFP_KERNEL);
	if (IS_ERR(ct))
		return ct;
	err = kcolo_conn_attach(ct, from_vm, kcolo_phase(pair).epoch);
	if (err < 0)
		goto free;
	memset(&ct->proto, 0, sizeof(ct->proto));
	ct->proto.tcp.state = TCP_CONNTRACK_ESTABLISHED;
	nf_ct_set_tcp_be_liberal(ct);
	ct->status |= IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED;
	WRITE_ONCE(ct->timeout, nfct_time_stamp + KCOLO_KEEP_OPEN * HZ);
	err = nf_conntrack_hash_check_insert(ct);
	if (!err)
		return ct;
free:
	nf_conntrack_free(ct);
	return ERR_PTR(err);
}

/**
 * kcolo_conn_get() - the conntrack of a connection
 * @pair: a secondary pair
 * @t: addresses and ports of a segment of it
 * @dir: result, direction of that segment
 *
 * Return: the conntrack, to be put; NULL if there is none.
 */
struct nf_conn *kcolo_conn_get(struct kcolo_pair *pair,
			       const struct kcolo_tuple *t,
			       enum ip_conntrack_dir *dir)
{
	const struct kcolo_zone *zone = kcolo_zone_find(pair, false, t->vlan);
	struct nf_conntrack_tuple_hash *h;
	struct nf_conntrack_tuple tuple;

	if (!zone)
		return NULL;
	fill_tuple(&tuple, t);
	h = nf_conntrack_find_get(pair->net, nf_ct_zone(zone->tmpl), &tuple);
	if (!h)
		return NULL;
	*dir = NF_CT_DIRECTION(h);
	return nf_ct_tuplehash_to_ctrack(h);
}

/**
 * kcolo_conn_of() - the conntrack that a segment came with
 * @pair: a secondary pair
 * @skb: segment
 * @dir: result, direction of the segment
 *
 * Return: the conntrack, which the segment keeps; NULL if there is none, or one of
 * another pair, whose guest has sent it: then it may be found by kcolo_conn_get().
 */
struct nf_conn *kcolo_conn_of(const struct kcolo_pair *pair,
			      const struct sk_buff *skb,
			      enum ip_conntrack_dir *dir)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	if (!ct || nf_ct_is_template(ct) || !kcolo_zone_has(pair, ct))
		return NULL;
	*dir = CTINFO2DIR(ctinfo);
	return ct;
}

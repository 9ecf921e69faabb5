/* SPDX-License-Identifier: GPL-2.0 */
/* What the secondary host remembers of a connection, kept in its conntrack. */
#ifndef _KCOLO_CONN_H
#define _KCOLO_CONN_H

#include <net/netfilter/nf_conntrack.h>

#include "kcolo.h"
#include "tstamp.h"

/**
 * enum kcolo_conn_state - what is known of the offset (W4)
 * @KCOLO_CONN_NEW: nothing
 * @KCOLO_CONN_SYN: the secondary's ISN
 * @KCOLO_CONN_LEARNT: the offset, learnt anew from each ACK in the window
 * @KCOLO_CONN_FIXED: the guest has sent a byte after its SYN, the offset stays
 */
enum kcolo_conn_state {
	KCOLO_CONN_NEW,
	KCOLO_CONN_SYN,
	KCOLO_CONN_LEARNT,
	KCOLO_CONN_FIXED,
};

#define KCOLO_CONN_TS_HEARD	1	/* ts.newest is valid */
#define KCOLO_CONN_TS_LEARNT	2	/* ts.off is valid */
#define KCOLO_CONN_DORMANT	8	/* @dormant comes into force at the failover */
#define KCOLO_CONN_TS (KCOLO_CONN_TS_HEARD | KCOLO_CONN_TS_LEARNT)
#define KCOLO_CONN_TOOK_OVER	4	/* the guest has spoken to the client itself */
#define KCOLO_CONN_GIVEN	4	/* while dormant: a commit has given it to the guest */

/**
 * struct kcolo_conn - a connection while its conntrack is locked
 * @ct: its conntrack
 * @adj: where most of it is kept
 * @sp: where the rest is kept, NULL if there is no room for @ts
 * @in: the client's direction
 * @epoch: KCOLO_CONN_EPOCH bits of the epoch that it has gone through
 * @isn: the guest's initial sequence number
 * @offset: secondary_isn - primary_isn
 * @ts: timestamps
 * @dormant: offset of a translation that another host made before (F3)
 * @ts_dormant: its ts.off
 * @state: enum kcolo_conn_state
 * @flags: KCOLO_CONN_*
 * @ts_room: there is room to keep @ts
 */
struct kcolo_conn {
	struct nf_conn *ct;
	struct nf_conn_seqadj *adj;
	struct nf_conn_synproxy *sp;
	enum ip_conntrack_dir in;
	u32 epoch;
	u32 isn;
	u32 offset;
	struct kcolo_ts ts;
	u32 dormant;
	u32 ts_dormant;
	u8 state;
	u8 flags;
	bool ts_room;
};

#define KCOLO_CONN_EPOCH 0xfffff

int kcolo_conn_attach(struct nf_conn *ct, bool from_vm, u32 epoch);
bool kcolo_conn_load(struct kcolo_conn *conn, struct nf_conn *ct,
		     enum ip_conntrack_dir in);
void kcolo_conn_store(struct kcolo_conn *conn);
bool kcolo_conn_peek(struct kcolo_conn *conn, struct nf_conn *ct);
struct nf_conn *kcolo_conn_make(struct kcolo_pair *pair,
				const struct kcolo_tuple *t, bool from_vm);
void kcolo_conn_reset(struct kcolo_pair *pair, struct kcolo_conn *conn,
		      u32 epoch);
void kcolo_conn_wake(struct kcolo_conn *conn);
struct nf_conn *kcolo_conn_get(struct kcolo_pair *pair,
			       const struct kcolo_tuple *t,
			       enum ip_conntrack_dir *dir);
struct nf_conn *kcolo_conn_of(const struct kcolo_pair *pair,
			      const struct sk_buff *skb,
			      enum ip_conntrack_dir *dir);

#define KCOLO_KEEP_OPEN		(5U * 24 * 3600)	/* seconds, as conntrack's */
#define KCOLO_KEEP_CLOSING	(3U * 3600)	/* more than keepalive's two hours */
#define KCOLO_KEEP_LAST_ACK	(20U * 60)	/* more than a guest repeats its FIN */

u32 kcolo_conn_keep_for(const struct nf_conn *ct, bool to_come);
void kcolo_conn_keep(const struct kcolo_conn *conn);
void kcolo_conn_over(const struct kcolo_conn *conn);

/* Are timestamps in use and both clocks known? */
static inline bool kcolo_conn_ts_ok(const struct kcolo_conn *conn)
{
	return (conn->flags & KCOLO_CONN_TS) == KCOLO_CONN_TS;
}

/* Restored, and the guest does not have it before the next commit (F3). */
static inline bool kcolo_conn_to_come(const struct kcolo_conn *conn)
{
	return (conn->flags & (KCOLO_CONN_DORMANT | KCOLO_CONN_GIVEN)) ==
	       KCOLO_CONN_DORMANT;
}

static inline bool kcolo_conn_translated(const struct kcolo_conn *conn)
{
	return conn->flags & KCOLO_CONN_DORMANT ||
	       (conn->state >= KCOLO_CONN_LEARNT &&
		(conn->offset || (kcolo_conn_ts_ok(conn) && conn->ts.off)));
}

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kcolo: the objects of the module and who may touch them when.
 *
 * Way of a packet, each step in the file of its name:
 *
 *	hook -> pkt -> flow -> compare | translate -> hold, release -> event
 *
 * Lock order, outermost first:
 *
 *	RTNL			(mutex) devices become ports, devices go
 *	kcolo_net.cfg		(mutex) pairs come, change, go; checkpoints
 *	kcolo_flow.lock		(spin)	one connection's comparison and queues
 *	kcolo_pair.flow_lock	(spin)	the table of connections
 *	kcolo_pair.out_lock	(spin)	packets on their way out, waiting frames
 *	kcolo_request.lock	(spin)	the open request
 *	nf_conn.lock		(spin)	only around writes to its extension
 *
 * The last three are leaves. No packet is sent and okfn never called with any of
 * them held. Hooks run with bottom halves off under RCU; everything they reach
 * through a port is freed only after a grace period.
 */
#ifndef _KCOLO_H
#define _KCOLO_H

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/if_ether.h>
#include <linux/list.h>
#include <linux/math64.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/netfilter_bridge.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/net_namespace.h>
#include <net/netlink.h>
#include <net/netns/generic.h>
#include <uapi/linux/kcolo.h>

#include "compare.h"
#include "dgram.h"
#include "pkt.h"
#include "syn.h"
#include "window.h"

struct kcolo_pair;
struct kcolo_zone;

/* Where a packet goes on after the hooks. */
typedef int (*kcolo_okfn_t)(struct net *net, struct sock *sk,
			    struct sk_buff *skb);

#define KCOLO_BURST	64	/* packets that may leave out of one softirq */
#define KCOLO_PORT_HASH	32	/* buckets of the table of ports */
#define KCOLO_HOOKS	8

/* Counter NAME of the spec's set `stats`, one more. */
#define kcolo_count(pair, name) kcolo_count_n(pair, name, 1)
#define kcolo_count_n(pair, name, n) \
	this_cpu_add((pair)->stats->v[KCOLO_A_STATS_##name], (n))

/**
 * enum kcolo_histogram - what a pair has histograms of
 * @KCOLO_HISTOGRAM_HOLD: times from hold to release
 * @KCOLO_HISTOGRAM_LAG: times until the secondary had said the same
 * @KCOLO_HISTOGRAMS: their number
 */
enum kcolo_histogram {
	KCOLO_HISTOGRAM_HOLD,
	KCOLO_HISTOGRAM_LAG,
	KCOLO_HISTOGRAMS,
};

/**
 * struct kcolo_stats - counters of a pair, one set a CPU
 * @v: by number of the attribute; those that are a level stay zero here
 * @histogram: element n has times below 2^n us that no smaller one has
 */
struct kcolo_stats {
	u64 v[KCOLO_A_STATS_MAX + 1];
	u64 histogram[KCOLO_HISTOGRAMS][KCOLO_HISTOGRAM_LEN];
};

/**
 * struct kcolo_port - one of the two ports of a pair
 * @node: in kcolo_net.ports, RCU, changed under kcolo_net.cfg
 * @pair: whose port
 * @ifindex: device, 0 when it is gone
 * @is_vm: the guest's port, not the one towards the other host
 * @name: for people
 */
struct kcolo_port {
	struct hlist_node node;
	struct kcolo_pair *pair;
	int ifindex;
	bool is_vm;
	char name[IFNAMSIZ];
};

/**
 * struct kcolo_phase - what decides about a packet, read in one go
 * @epoch: number of the last commit (C4)
 * @gen: counts begins; packets held under another one are before the
 *	barrier (C1)
 * @state: enum kcolo_state
 */
struct kcolo_phase {
	u32 epoch;
	u32 gen;
	u8 state;
};

#define KCOLO_GEN_MASK 0xffffff

/**
 * struct kcolo_config - settings of a pair, written under kcolo_net.cfg
 * @timeout: R9, ms
 * @scan: R9, ms
 * @max_packets: R10, for each side
 * @max_bytes: R10, for each side
 * @max_flows: R10
 * @min_interval: C5, ms
 * @mode: enum kcolo_mode
 */
struct kcolo_config {
	u32 timeout;
	u32 scan;
	u32 max_packets;
	u32 max_bytes;
	u32 max_flows;
	u32 min_interval;
	u32 mode;
};

/**
 * struct kcolo_miscompare - what a request says about its cause
 * @tuple: the connection; its proto is 0 if there is none
 * @seq: first sequence number that differs or waits
 * @stream: bytes since the guest's first data byte, if @stream_ok
 * @reason: enum kcolo_reason
 * @stream_ok: @stream is valid
 * @before_len: bytes in @before
 * @p_len: bytes in @p
 * @s_len: bytes in @s
 * @before: what both said right before @seq
 * @p: what the primary said at @seq
 * @s: what the secondary said at @seq
 */
struct kcolo_miscompare {
	struct kcolo_tuple tuple;
	u32 seq;
	u64 stream;
	u8 reason;
	bool stream_ok;
	u8 before_len;
	u8 p_len;
	u8 s_len;
	u8 before[KCOLO_BEFORE_MAX];
	u8 p[KCOLO_SNIPPET_MAX];
	u8 s[KCOLO_SNIPPET_MAX];
};

/**
 * struct kcolo_request - the wish for a checkpoint, a level (C5, R7)
 * @lock: protects the rest
 * @what: why, of the first cause since it was opened; stays when it is closed, and
 *	has a reason for being there if @known
 * @when: jiffies, when @what happened
 * @epoch: in which it happened
 * @raised: jiffies, when it was opened
 * @told: jiffies, when user space was last told
 * @serial: counts the requests
 * @open: a checkpoint is wanted
 * @heard: somebody was listening when it was told
 * @answered: a begin came after it
 * @ever: @told is valid
 * @known: @what, @when and @epoch are valid
 */
struct kcolo_request {
	spinlock_t lock;
	struct kcolo_miscompare what;
	unsigned long when;
	u32 epoch;
	unsigned long raised;
	unsigned long told;
	u32 serial;
	bool open;
	bool heard;
	bool answered;
	bool ever;
	bool known;
};

/**
 * struct kcolo_prefix - addresses that a rule matches
 * @addr: the first of them
 * @len: bits that they have in common
 * @ok: there is such a condition
 */
struct kcolo_prefix {
	struct kcolo_addr addr;
	u8 len;
	bool ok;
};

/**
 * struct kcolo_rule - flows that leave uncompared, or do not (R13)
 * @list: in kcolo_pair.rules, RCU, changed under kcolo_net.cfg
 * @rcu: delayed free
 * @id: unique in the pair
 * @packets: that it matched
 * @src: the guest's addresses
 * @dst: the clients' addresses
 * @sport: the guest's port, network order, if @has_sport
 * @dport: the client's port, network order, if @has_dport
 * @has_sport: @sport is a condition
 * @has_dport: @dport is a condition
 * @vlan: id of the outer tag, or of the only one, 0 for all and for none
 * @cvlan: id of the inner tag, 0 for all and for none
 * @v6: of @src and @dst
 * @proto: protocol, 0 for all
 * @action: enum kcolo_rule_action
 */
struct kcolo_rule {
	struct list_head list;
	struct rcu_head rcu;
	u32 id;
	atomic64_t packets;
	struct kcolo_prefix src;
	struct kcolo_prefix dst;
	__be16 sport;
	__be16 dport;
	bool has_sport;
	bool has_dport;
	u16 vlan;
	u16 cvlan;
	bool v6;
	u8 proto;
	u8 action;
};

/**
 * struct kcolo_pair - two replicas, this host's end
 * @list: in kcolo_net.pairs
 * @net: network namespace, no reference: the pair dies with it
 * @name: unique in @net
 * @role: enum kcolo_role
 * @zone: conntrack zones of its own (S3): of the secondary's packets; of the primary's
 *	guest, NULL on a secondary
 * @vlans: the same for each VLAN that was seen, by &struct kcolo_tuple.vlan
 * @vlan_n: their number
 * @routed: where packets of a routed guest go on, by IP version; NULL before the first
 * @vm: the guest's port
 * @peer: the port towards the other host
 * @cfg: settings
 * @phase: struct kcolo_phase, packed; written under kcolo_net.cfg
 * @phase_since: jiffies, when @phase changed
 * @before: enum kcolo_state before the checkpoint that is under way
 * @adopting: a commit has been seen, unknown connections are adopted (C0)
 * @dead: being removed; requests and works must not start again
 * @pinned: bit 0: holds a reference on the module (S5)
 * @bounded: of a user namespace, shares a bound of memory with its like (S4)
 * @stats: counters
 * @flows: table of connections (primary)
 * @flow_mask: buckets of @flows, less one
 * @flow_n: connections in @flows; of a secondary, those that live in conntrack,
 *	as of the last walk and those that came since
 * @flow_lock: protects insertion into and removal from @flows
 * @held_n: packets of the guest held, waiting frames included
 * @held_bytes: their memory
 * @queued_n: packets of the secondary queued (primary)
 * @queued_bytes: their memory
 * @out_lock: protects @outbox, @wait, @flushing and @late
 * @outbox: packets that leave in order from @out_work
 * @wait: mirrored frames that wait for the end of a checkpoint (C6)
 * @flushing: all packets go through @outbox, so that none overtakes
 * @hold_out: @out_work must not start yet, @outbox is being sorted
 * @out_work: sends @outbox
 * @scan_work: timeouts, old connections, requests
 * @tell_work: tells user space about an open request
 * @request: the open request
 * @reports: differences to be told (R14), under @request.lock
 * @report_n: their number
 * @report_work: tells them
 * @overflow_told: jiffies, when a limit was last told (R14), 0 if never
 * @rules: R13, in order
 * @rule_n: their number
 * @rule_id: that of the newest
 * @late: flows in which a datagram's window passes soon, under @out_lock
 * @late_at: jiffies, when @late_work runs, if it is pending
 * @late_work: looks at @late
 * @foreign: packets of a foreign epoch in a row (C4)
 * @walked: jiffies of the last walk through conntrack (secondary)
 * @unseen: IP packets have passed that the IP hooks did not see
 * @unseen_told: jiffies, never 0, when that was told last
 * @known: which connections were translated, two maps (secondary, known.c)
 * @known_bits: bits in each
 * @known_half: the one that is complete
 * @rcu: delayed free
 */
struct kcolo_pair {
	struct list_head list;
	struct net *net;
	char name[KCOLO_NAME_MAX + 1];
	u8 role;
	struct kcolo_zone *zone[2];
	struct xarray vlans[2];
	atomic_t vlan_n;
	kcolo_okfn_t routed[2];
	struct kcolo_port vm;
	struct kcolo_port peer;
	struct kcolo_config cfg;
	atomic64_t phase;
	unsigned long phase_since;
	u8 before;
	bool adopting;
	bool dead;
	unsigned long pinned;
	bool bounded;
	struct kcolo_stats __percpu *stats;

	struct hlist_head *flows;
	u32 flow_mask;
	atomic_t flow_n;
	spinlock_t flow_lock;

	atomic_t held_n;
	atomic_long_t held_bytes;
	atomic_t queued_n;
	atomic_long_t queued_bytes;

	spinlock_t out_lock;
	struct list_head outbox;
	struct list_head wait;
	bool flushing;
	bool hold_out;
	struct work_struct out_work;
	struct delayed_work scan_work;
	struct delayed_work tell_work;
	struct kcolo_request request;
	struct list_head reports;
	u32 report_n;
	struct work_struct report_work;
	unsigned long overflow_told;
	struct list_head rules;
	u32 rule_n;
	u32 rule_id;
	struct list_head late;
	unsigned long late_at;
	struct delayed_work late_work;
	atomic_t foreign;
	unsigned long walked;
	bool unseen;
	unsigned long unseen_told;
	unsigned long *known;
	u32 known_bits;
	bool known_half;
	struct rcu_head rcu;
};

/**
 * struct kcolo_net - a network namespace
 * @cfg: serialises all configuration
 * @pairs: all pairs, RCU, changed under @cfg
 * @ports: ports by ifindex, RCU, changed under @cfg
 * @generation: changes with @pairs, for dumps
 * @failed_over: pairs whose guest serves the clients from here
 * @users: pairs of each role, for the hooks
 * @ops: the hooks, which know the namespace
 */
struct kcolo_net {
	struct mutex cfg;
	struct list_head pairs;
	struct hlist_head ports[KCOLO_PORT_HASH];
	unsigned int generation;
	atomic_t failed_over;
	unsigned int users[2];
	struct nf_hook_ops ops[KCOLO_HOOKS];
};

/**
 * struct kcolo_client - the client's newest ACK as delivered to PVM (R15)
 * @seq: its next sequence number
 * @ack: what it has acknowledged, as far as PVM was seen to say it
 * @claim: what it has acknowledged beyond that, if @claimed
 * @fin_end: behind its FIN, if @fin
 * @tsval: its timestamp, network order, if @has_ts
 * @tsecr: the echoed timestamp, network order, if @has_ts
 * @win: its window as on the wire
 * @ok: an ACK was seen
 * @fin: a FIN was seen; kcolo_client_fin() tells whether it is one
 * @rst: its RST was seen
 * @has_ts: timestamps are in use
 * @claimed: the connection is adopted, and neither side has confirmed @claim yet
 */
struct kcolo_client {
	u32 seq;
	u32 ack;
	u32 claim;
	u32 fin_end;
	__be32 tsval;
	__be32 tsecr;
	u16 win;
	bool ok;
	bool fin;
	bool rst;
	bool has_ts;
	bool claimed;
};

/**
 * struct kcolo_ack - an ACK to send to the secondary in the client's name (R15)
 * @client: what the client has said, if @client.ok
 * @like: of the secondary's packet, for the addresses
 * @edges: pairs of what the secondary has said behind missing bytes
 * @islands: number of pairs
 */
struct kcolo_ack {
	struct kcolo_client client;
	struct ethhdr like;
	u32 edges[8];
	u32 islands;
};

/* The longest bare ACK: headers and all options that fit. */
#define KCOLO_ACK_ROOM	100

/**
 * struct kcolo_ack_head - what a bare ACK says
 * @seq: sequence number
 * @ack: acknowledgment
 * @tsval: timestamp, if @has_ts
 * @tsecr: its echo, if @has_ts
 * @edges: the SACK blocks' numbers, in pairs
 * @islands: number of pairs
 * @win: window as on the wire
 * @ttl: TTL or hop limit
 * @has_ts: timestamps are on
 */
struct kcolo_ack_head {
	u32 seq;
	u32 ack;
	__be32 tsval;
	__be32 tsecr;
	const u32 *edges;
	u32 islands;
	u16 win;
	u8 ttl;
	bool has_ts;
};

/**
 * struct kcolo_flow - one connection on the primary, or one flow of datagrams
 * @node: in kcolo_pair.flows, RCU, changed under kcolo_pair.flow_lock
 * @tuple: as in packets of the guest
 * @pair: whose
 * @lock: protects the rest
 * @epoch: the flow has gone through this commit
 * @gen: the flow has seen packets after this begin, @nxt_begin is valid
 * @order: arrivals so far
 * @used: jiffies of the last packet
 * @cmp: the comparison, of TCP
 * @held: the guest's packets, in order of arrival
 * @queued: the secondary's packets that wait to be compared
 * @early: the secondary's packets of an epoch that is not this one
 * @outbox: packets on their way out
 * @gated: TCP: those of @held at or below cmp that wait for R1 (b), by ack
 * @resets: TCP: those of @held with RST that wait for the other side's (R5)
 * @client: the client's newest ACK
 * @win: both sides' windows and what the client knows of them
 * @p_begin: the primary's side of @cmp at that begin
 * @nxt_begin: cmp.nxt at that begin
 * @state_begin: cmp.state at that begin
 * @late: in kcolo_pair.late, under kcolo_pair.out_lock
 * @dgrams: the comparison, of datagrams
 * @out_n: packets in @outbox
 * @seq_out: highest sequence number that the client was shown, if @out_ok
 * @data_out: behind the last byte that the client was sent, if @out_ok; an ACK may
 *	have overtaken what is held
 * @ack_out: highest acknowledgment that the client was sent, if @out_ok
 * @p_tsval: the primary's newest timestamp, network order, if @p_ts_ok
 * @ts_out: the newest timestamp that the client was sent, if @ts_out_ok
 * @s_tsecr: the client's newest timestamp that the secondary echoed, if @s_ts_ok
 * @shut_since: monotonic ns, when the secondary's window closed while the
 *	primary's was open; 0 if they are not so
 * @p_heard: monotonic ns, last packet of the primary
 * @s_heard: monotonic ns, last packet of the secondary
 * @rcu: delayed free, instead of @p_heard and @s_heard
 * @cmp_moved: monotonic ns, when bytes were last found equal
 * @ack_moved: monotonic ns, when the secondary last acknowledged something new
 * @syn: options of the SYN that has come first, until the other side's comes
 * @syn_len: bytes in @syn
 * @p_ttl: TTL or hop limit of the primary's newest packet
 * @told: state of the last event
 * @out_mixed: they may not be in order of arrival
 * @out_later: a worker must send them
 * @out_ok: an ACK has left since the SYN
 * @lossy: packets of the secondary were lost on their way here
 * @p_ts_ok: the primary sends timestamps
 * @p_sig: the primary signs its segments: none must be written
 * @s_ts_ok: the secondary has echoed one since the SYN
 * @ts_out_ok: one has left since the SYN
 * @opened_by_vm: the guest sent the first SYN
 * @releasing: somebody is sending @outbox; others only append (R12)
 * @asked: this flow has asked for a checkpoint for want of a partner
 * @frozen: packets came during a checkpoint and are not compared yet (C1, C3)
 * @dead: removed from the table
 *
 * From @gated to @state_begin only TCP has it, @late and @dgrams only the others.
 */
struct kcolo_flow {
	struct hlist_node node;
	struct kcolo_tuple tuple;
	struct kcolo_pair *pair;
	spinlock_t lock;
	u32 epoch;
	u32 gen;
	u32 order;
	unsigned long used;
	struct kcolo_cmp cmp;
	struct list_head held;
	struct list_head queued;
	struct list_head early;
	struct list_head outbox;
	union {
		struct {
			struct list_head gated;
			struct list_head resets;
			struct kcolo_client client;
			struct kcolo_window win;
			u32 nxt_begin;
			struct kcolo_stream p_begin;
		};
		struct {
			struct list_head late;
			struct kcolo_dgrams dgrams;
		};
	};
	u32 out_n;
	u32 seq_out;
	u32 data_out;
	u32 ack_out;
	__be32 p_tsval;
	u32 ts_out;
	u32 s_tsecr;
	u8 state_begin;
	u64 shut_since;
	union {
		struct {
			u64 p_heard;
			u64 s_heard;
		};
		struct rcu_head rcu;
	};
	u64 cmp_moved;
	u64 ack_moved;
	u8 syn[KCOLO_OPTIONS_MAX];
	u8 syn_len;
	u8 p_ttl;
	u8 told;
	bool out_mixed;
	bool out_later;
	bool out_ok;
	bool lossy;
	bool p_ts_ok;
	bool p_sig;
	bool s_ts_ok;
	bool ts_out_ok;
	bool opened_by_vm;
	bool releasing;
	bool asked;
	bool frozen;
	bool dead;
};

/**
 * struct kcolo_held - a packet that kcolo owns for a while
 * @seg: the segment, for the comparison of TCP
 * @dg: the datagram, for the comparison of all others
 * @list: in one of the lists of its flow or pair
 * @skb: the packet; skb->data is the IP header
 * @okfn: where it goes on, NULL for a packet of the secondary
 * @since: monotonic ns of its arrival
 * @size: its memory, as it was counted
 * @gen: kcolo_phase.gen when it came
 * @order: arrival number in its flow
 * @data: offset of the payload in @skb, of TCP
 * @l4: offset of the transport header in @skb
 * @gone: bytes of its payload that have left as heads, see kcolo_lower_head()
 * @win: window as on the wire
 * @tag: epoch tag of a packet of the secondary (C4)
 */
struct kcolo_held {
	union {
		struct kcolo_seg seg;
		struct kcolo_dgram dg;
	};
	struct list_head list;
	struct sk_buff *skb;
	kcolo_okfn_t okfn;
	u64 since;
	u32 size;
	u32 gen;
	u32 order;
	u32 data;
	u32 l4;
	u32 gone;
	u16 win;
	u8 tag;
};

/**
 * struct kcolo_lowered - what an ACK of the secondary says
 * @ack: acknowledgment number
 * @tsval: its timestamp, in the primary's clock, network order, if @has_ts
 * @tsecr: the client's timestamp that it echoes, network order, if @has_ts
 * @sack: its SACK blocks, network order
 * @sack_len: their bytes
 * @has_ts: @tsval and @tsecr are valid
 * @pure: the packet carries nothing else
 * @ok: there is an ACK
 */
struct kcolo_lowered {
	u32 ack;
	__be32 tsval;
	__be32 tsecr;
	u8 sack[32];
	u8 sack_len;
	bool has_ts;
	bool pure;
	bool ok;
};

extern unsigned int kcolo_net_id;

static inline struct kcolo_net *kcolo_net(struct net *net)
{
	return net_generic(net, kcolo_net_id);
}

static inline struct kcolo_phase kcolo_phase(const struct kcolo_pair *pair)
{
	u64 v = atomic64_read(&pair->phase);

	return (struct kcolo_phase){
		.epoch = v >> 32,
		.gen = v >> 8 & KCOLO_GEN_MASK,
		.state = v & 0xff,
	};
}

/* C4: the epoch as the secondary's packets carry it. */
static inline u8 kcolo_tag(u32 epoch)
{
	return 1 + epoch % 255;
}

static inline u32 kcolo_state(const struct kcolo_pair *pair)
{
	return kcolo_phase(pair).state;
}

static inline struct kcolo_held *kcolo_held_of(const struct kcolo_seg *seg)
{
	return container_of(seg, struct kcolo_held, seg);
}

/* One more time of @ns in a histogram; a clock that stood still is no time. */
static inline void kcolo_histogram_add(struct kcolo_pair *pair,
				       enum kcolo_histogram which, s64 ns)
{
	u64 us = ns > 0 ? div_u64(ns, NSEC_PER_USEC) : 0;

	this_cpu_inc(pair->stats->histogram[which]
		     [min(fls64(us), KCOLO_HISTOGRAM_LEN - 1)]);
}

/* R14: copies are compared, nothing is held. */
static inline bool kcolo_observes(const struct kcolo_pair *pair)
{
	return READ_ONCE(pair->cfg.mode) == KCOLO_MODE_OBSERVE;
}

static inline bool kcolo_flow_is_tcp(const struct kcolo_flow *flow)
{
	return flow->tuple.proto == IPPROTO_TCP && !flow->tuple.frag;
}

/* What is made of a packet shares the bridge's notes with it; each needs its own. */
static inline bool kcolo_own_notes(struct sk_buff *skb)
{
	return !nf_bridge_info_exists(skb) ||
	       skb_ext_add(skb, SKB_EXT_BRIDGE_NF);
}

/* hook.c */
void kcolo_hooks_init(struct kcolo_net *kn);
int kcolo_hooks_get(struct net *net, u8 role);
void kcolo_hooks_put(struct net *net, u8 role);
void kcolo_hooks_off(struct net *net);
struct kcolo_port *kcolo_port_find(struct kcolo_net *kn, int ifindex);
struct hlist_head *kcolo_port_bucket(struct kcolo_net *kn, int ifindex);
enum kcolo_pkt_verdict kcolo_pkt_parse_skb(struct kcolo_pkt *pkt,
					   struct sk_buff *skb, bool v6);

/* hold.c */
int kcolo_hold_init(void);
void kcolo_hold_exit(void);
void kcolo_hold_setup(struct kcolo_pair *pair);
bool kcolo_hold_room(const struct kcolo_pair *pair, bool vm, unsigned int size);
struct kcolo_held *kcolo_hold(struct kcolo_pair *pair, struct sk_buff *skb,
			      const struct nf_hook_state *state, bool forward,
			      u64 now);
void kcolo_hold_drop(struct kcolo_pair *pair, struct kcolo_held *held);
bool kcolo_hold_is_of(const struct kcolo_held *held,
		      const struct net_device *dev);
void kcolo_hold_purge(struct kcolo_pair *pair, struct list_head *list,
		      const struct net_device *dev);
void kcolo_hold_send(struct kcolo_pair *pair, struct list_head *list, u64 now);
void kcolo_hold_send_later(struct kcolo_pair *pair, struct list_head *list);
unsigned int kcolo_hold_behind(struct kcolo_pair *pair, struct sk_buff *skb,
			       const struct nf_hook_state *state);
void kcolo_hold_back(struct kcolo_pair *pair);
void kcolo_hold_flush_begin(struct kcolo_pair *pair);
void kcolo_hold_flush_end(struct kcolo_pair *pair);

/* flow.c */
int kcolo_flow_init(void);
void kcolo_flow_exit(void);
int kcolo_flow_table(struct kcolo_pair *pair);
struct kcolo_flow *kcolo_flow_find(struct kcolo_pair *pair,
				   const struct kcolo_tuple *tuple);
struct kcolo_flow *kcolo_flow_get(struct kcolo_pair *pair,
				  const struct kcolo_tuple *tuple);
void kcolo_flow_walk(struct kcolo_pair *pair,
		     void (*fn)(struct kcolo_flow *flow, void *data),
		     void *data);
void kcolo_flow_remove(struct kcolo_flow *flow);
void kcolo_flow_let_out(struct kcolo_flow *flow, struct kcolo_held *held);
void kcolo_flow_drain(struct kcolo_flow *flow, u64 now) __releases(&flow->lock);
void kcolo_flow_tuple(const struct kcolo_flow *flow, struct kcolo_tuple *to);
enum kcolo_flow_state kcolo_flow_state(const struct kcolo_flow *flow);

/**
 * kcolo_flow_unlock_at() - unlock a connection and send what has become releasable
 * @flow: locked by the caller
 * @now: monotonic ns, 0 if the caller has not asked for the time
 *
 * Context: bottom halves off, RCU, no other lock of ours.
 */
static inline void kcolo_flow_unlock_at(struct kcolo_flow *flow, u64 now)
	__releases(&flow->lock)
{
	/* One sends, the others leave their packets to it (R12). */
	if (flow->releasing || list_empty(&flow->outbox))
		spin_unlock(&flow->lock);
	else
		kcolo_flow_drain(flow, now);
}

/* kcolo_flow_unlock_at() of who needs no time. */
static inline void kcolo_flow_unlock(struct kcolo_flow *flow)
	__releases(&flow->lock)
{
	kcolo_flow_unlock_at(flow, 0);
}

/* payload.c */
u32 kcolo_payload_equal(const struct kcolo_seg *p, u32 p_off,
			const struct kcolo_seg *s, u32 s_off, u32 len);
u32 kcolo_payload_same(struct sk_buff *a, u32 a_off, struct sk_buff *b,
		       u32 b_off, u32 len);
u8 kcolo_payload_peek(const struct sk_buff *skb, u32 off, u32 len, u8 *buf);
u8 kcolo_payload_copy(const struct kcolo_seg *seg, u32 seq, u8 *buf);
u8 kcolo_payload_before(const struct kcolo_seg *seg, u32 seq, u8 *buf);

/* primary.c */
unsigned int kcolo_primary_vm(struct kcolo_pair *pair, struct sk_buff *skb,
			      const struct nf_hook_state *state);
unsigned int kcolo_primary_refuse(struct kcolo_pair *pair,
				  const struct kcolo_tuple *tuple,
				  const struct sk_buff *skb, int err);

/* peer.c */
unsigned int kcolo_primary_peer(struct kcolo_pair *pair, struct sk_buff *skb,
				const struct nf_hook_state *state);
bool kcolo_primary_tag_fits(struct kcolo_pair *pair, struct kcolo_phase phase,
			    u8 tag);

/* client.c */
void kcolo_primary_client(struct kcolo_pair *pair, struct sk_buff *skb,
			  bool v6);

/* epoch.c */
void kcolo_primary_carry(struct kcolo_flow *flow, struct kcolo_phase phase);
void kcolo_primary_resume(struct kcolo_flow *flow, struct kcolo_phase phase);

/**
 * kcolo_primary_sync() - carry a commit or an abort through in one flow (C2, C3)
 * @flow: locked by the caller
 * @phase: of the pair
 *
 * Done by whoever touches the flow first after it, the checkpoint's own walk at the
 * latest. The caller drains the flow.
 */
static inline void kcolo_primary_sync(struct kcolo_flow *flow,
				      struct kcolo_phase phase)
{
	if (unlikely(flow->epoch != phase.epoch ||
		     (flow->frozen && phase.state == KCOLO_STATE_RUNNING)))
		kcolo_primary_carry(flow, phase);
}

/* scan.c */
void kcolo_primary_scan(struct kcolo_pair *pair);

/* wait.c */
void kcolo_primary_let_go(struct kcolo_flow *flow, void *data);
void kcolo_primary_purge(struct kcolo_flow *flow, void *dev);

/* dflow.c */
void kcolo_dflow_setup(struct kcolo_pair *pair);
unsigned int kcolo_dflow_vm(struct kcolo_pair *pair,
			    const struct kcolo_pkt *pkt, struct sk_buff *skb,
			    const struct nf_hook_state *state);
unsigned int kcolo_dflow_peer(struct kcolo_pair *pair,
			      const struct kcolo_pkt *pkt, struct sk_buff *skb,
			      const struct nf_hook_state *state);
void kcolo_dflow_sync(struct kcolo_flow *flow, struct kcolo_phase phase);
void kcolo_dflow_resume(struct kcolo_flow *flow, struct kcolo_phase phase);
void kcolo_dflow_scan(struct kcolo_flow *flow, u64 now);
void kcolo_dflow_let_go(struct kcolo_flow *flow);
void kcolo_dflow_purge(struct kcolo_flow *flow, const struct net_device *dev,
		       struct list_head *gone);

/* segment.c */
typedef unsigned int (*kcolo_take_t)(struct kcolo_pair *pair,
				     const struct kcolo_pkt *pkt,
				     struct sk_buff *skb,
				     const struct nf_hook_state *state);
bool kcolo_segment_needed(const struct sk_buff *skb);
unsigned int kcolo_segment(struct kcolo_pair *pair, struct sk_buff *skb,
			   const struct nf_hook_state *state, kcolo_take_t fn,
			   enum kcolo_side side);

/* strip.c */
void kcolo_strip(struct kcolo_pair *pair, struct sk_buff *skb,
		 const struct kcolo_pkt *pkt);

/* lower.c */
void kcolo_lower_note(struct kcolo_lowered *note, const struct kcolo_pkt *pkt,
		      const struct sk_buff *skb);
struct sk_buff *kcolo_lower_ack(struct kcolo_flow *flow,
				const struct kcolo_lowered *note,
				kcolo_okfn_t *okfn);

void kcolo_lower_cut(struct kcolo_held *held, bool v6);
struct sk_buff *kcolo_lower_head(struct kcolo_flow *flow, u32 from,
				 kcolo_okfn_t *okfn);

/* clock.c */
void kcolo_clock_leaves(struct kcolo_flow *flow, struct kcolo_held *held);
void kcolo_clock_left(struct kcolo_flow *flow);
void kcolo_clock_heard(struct kcolo_flow *flow,
		       const struct kcolo_lowered *note);
void kcolo_clock_follow(struct kcolo_flow *flow,
			const struct kcolo_lowered *note);
void kcolo_clock_echo(struct kcolo_flow *flow, struct kcolo_held *held);

/* clamp.c */
void kcolo_clamp_leave(struct kcolo_flow *flow, const struct kcolo_seg *seg,
		       struct sk_buff *skb, u32 l4, u32 data, u16 win);
struct sk_buff *kcolo_clamp_update(struct kcolo_flow *flow,
				   const struct kcolo_lowered *note,
				   const struct sk_buff *like,
				   kcolo_okfn_t *okfn);

/* ack.c */
void kcolo_ack_put(struct sk_buff *skb, const struct kcolo_tuple *t,
		   const struct kcolo_ack_head *head);

/* resend.c */
void kcolo_resend_ack(struct kcolo_pair *pair, const struct kcolo_tuple *tuple,
		      const struct kcolo_ack *ack);

/* secondary.c */
unsigned int kcolo_secondary_track(struct kcolo_pair *pair, struct sk_buff *skb,
				   const struct nf_hook_state *state,
				   bool from_vm);
unsigned int kcolo_secondary_gate(struct kcolo_pair *pair, struct sk_buff *skb,
				  const struct nf_hook_state *state,
				  bool from_vm);
unsigned int kcolo_secondary_post(struct kcolo_pair *pair, struct sk_buff *skb,
				  bool v6, bool from_vm, bool to_peer);

/* conns.c */
void kcolo_secondary_committed(struct kcolo_pair *pair);
u32 kcolo_secondary_count(struct kcolo_pair *pair);
void kcolo_secondary_scan(struct kcolo_pair *pair);
void kcolo_secondary_pin(struct kcolo_pair *pair);
void kcolo_secondary_unpin(struct kcolo_pair *pair);

/* checkpoint.c */
int kcolo_checkpoint(struct kcolo_pair *pair, u8 action, const u32 *epoch,
		     struct netlink_ext_ack *extack);
int kcolo_failover(struct kcolo_pair *pair, const u32 *action,
		   struct netlink_ext_ack *extack);
void kcolo_checkpoint_watch(struct kcolo_pair *pair);

/* request.c */
void kcolo_request(struct kcolo_pair *pair,
		   const struct kcolo_miscompare *what);
void kcolo_request_setup(struct kcolo_pair *pair);
void kcolo_request_begin(struct kcolo_pair *pair);
void kcolo_request_end(struct kcolo_pair *pair, bool committed);
void kcolo_request_drop(struct kcolo_pair *pair);
bool kcolo_request_open(struct kcolo_pair *pair,
			struct kcolo_miscompare *what);
bool kcolo_request_unanswered(struct kcolo_pair *pair);
bool kcolo_request_last(struct kcolo_pair *pair, struct kcolo_miscompare *what,
			u32 *epoch, u64 *ago);

/* pair.c */
extern struct pernet_operations kcolo_net_ops;
int kcolo_pair_init(void);
void kcolo_pair_exit(void);
struct kcolo_pair *kcolo_pair_find(struct kcolo_net *kn, const char *name);
int kcolo_pair_add(struct net *net, struct nlattr **attrs,
		   struct netlink_ext_ack *extack);
int kcolo_pair_set(struct kcolo_pair *pair, struct nlattr **attrs,
		   struct netlink_ext_ack *extack);
int kcolo_pair_del(struct kcolo_pair *pair, bool force,
		   struct netlink_ext_ack *extack);

/* observe.c */
unsigned int kcolo_observe_vm(struct kcolo_pair *pair, struct sk_buff *skb,
			      const struct nf_hook_state *state);
void kcolo_observe_report(struct kcolo_pair *pair,
			  const struct kcolo_miscompare *what);
void kcolo_observe_scan(struct kcolo_pair *pair);
void kcolo_observe_set(struct kcolo_pair *pair, u32 mode);
void kcolo_observe_setup(struct kcolo_pair *pair);
void kcolo_observe_end(struct kcolo_pair *pair);

/* rule.c */
bool kcolo_rule_says_bypass(const struct kcolo_pair *pair,
			    const struct kcolo_tuple *tuple);
bool kcolo_rule_matches_bypass(struct kcolo_pair *pair,
			       const struct kcolo_tuple *tuple);

/**
 * kcolo_rule_bypass() - is a packet to be left alone, counted by its rule
 * @pair: pair
 * @tuple: of the packet, as in packets of the guest
 *
 * Context: RCU.
 * Return: true if a rule says so.
 */
static inline bool kcolo_rule_bypass(struct kcolo_pair *pair,
				     const struct kcolo_tuple *tuple)
{
	return !list_empty(&pair->rules) &&
	       kcolo_rule_matches_bypass(pair, tuple);
}

int kcolo_rule_add(struct kcolo_pair *pair, struct nlattr **attrs,
		   struct netlink_ext_ack *extack);
int kcolo_rule_del(struct kcolo_pair *pair, struct nlattr **attrs,
		   struct netlink_ext_ack *extack);
void kcolo_rule_purge(struct kcolo_pair *pair);
int kcolo_rule_put(struct sk_buff *msg, const struct kcolo_rule *rule);

/*
 * Not nla_put_u64_64bit(): the padding that it puts where a CPU wants its words
 * aligned is nothing that the kernel's YNL client can read. Readers copy.
 */
static inline int kcolo_put_u64(struct sk_buff *msg, int attr, u64 value)
{
	return nla_put(msg, attr, sizeof(value), &value);
}

/* stats.c */
u64 kcolo_stats_flushed(struct kcolo_pair *pair);
int kcolo_stats_put(struct sk_buff *msg, struct kcolo_pair *pair);
int kcolo_histograms_put(struct sk_buff *msg, struct kcolo_pair *pair);

/* nl.c */
int kcolo_nl_init(void);
void kcolo_nl_exit(void);

/* event.c */
bool kcolo_event_miscompare(struct kcolo_pair *pair,
			    const struct kcolo_miscompare *what);
void kcolo_event_checkpoint(struct kcolo_pair *pair, u8 action, u8 cause);
void kcolo_event_pair(struct kcolo_pair *pair, u8 cmd, u8 cause);
void kcolo_event_flow(struct kcolo_flow *flow);

#endif

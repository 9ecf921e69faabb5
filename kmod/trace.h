/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints, system kcolo; Documentation/tracing.rst shows how to use them.
 *
 * The first eleven tell what the trace events of QEMU's COLO proxy tell and have
 * their fields. All arguments are pointers or numbers that are at hand: what an
 * event records is worked out in TP_fast_assign only, so that an event that is off
 * costs one jump that is patched out. Texts are arrays of fixed size, since
 * the macros for strings differ between kernels.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kcolo

#if !defined(_KCOLO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _KCOLO_TRACE_H

#include <linux/in6.h>
#include <linux/tracepoint.h>

#include "kcolo.h"

#define KCOLO_TRACE_PAIR	(KCOLO_NAME_MAX + 1)
#define KCOLO_TRACE_TEXT	48
#define KCOLO_TRACE_ADDR	sizeof(struct sockaddr_in6)

/* As enum kcolo_reason, enum kcolo_state, enum kcolo_side and counters are shown. */
#define KCOLO_TRACE_REASONS						\
	EM(KCOLO_REASON_PAYLOAD,	"payload")			\
	EM(KCOLO_REASON_LENGTH,		"length")			\
	EM(KCOLO_REASON_SYN_OPTIONS,	"syn-options")			\
	EM(KCOLO_REASON_FIN,		"fin")				\
	EM(KCOLO_REASON_RST,		"rst")				\
	EM(KCOLO_REASON_WINDOW,		"window")			\
	EM(KCOLO_REASON_TIMEOUT,	"timeout")			\
	EM(KCOLO_REASON_OVERFLOW,	"overflow")			\
	EMe(KCOLO_REASON_MALFORMED,	"malformed")

#define KCOLO_TRACE_STATES						\
	EM(KCOLO_STATE_RUNNING,		"running")			\
	EM(KCOLO_STATE_CHECKPOINT,	"checkpoint")			\
	EM(KCOLO_STATE_BYPASS,		"bypass")			\
	EMe(KCOLO_STATE_FAILOVER,	"failover")

#define KCOLO_TRACE_SIDES						\
	EM(KCOLO_P,			"primary")			\
	EMe(KCOLO_S,			"secondary")

#define KCOLO_TRACE_DROPS						\
	EM(KCOLO_A_STATS_DROPPED_RESET,	"dropped-reset")		\
	EM(KCOLO_A_STATS_MALFORMED,	"malformed")			\
	EM(KCOLO_A_STATS_OVERFLOW,	"overflow")			\
	EM(KCOLO_A_STATS_NOMEM,		"nomem")			\
	EM(KCOLO_A_STATS_GATED,		"gated")			\
	EM(KCOLO_A_STATS_WAIT_DROPPED,	"wait-dropped")			\
	EM(KCOLO_A_STATS_UNTRANSLATABLE, "untranslatable")		\
	EMe(KCOLO_A_STATS_SIGNED,	"signed")

/* First for tools that read records themselves, then as texts. */
#undef EM
#undef EMe
#define EM(v, text)	TRACE_DEFINE_ENUM(v);
#define EMe(v, text)	TRACE_DEFINE_ENUM(v);
KCOLO_TRACE_REASONS
KCOLO_TRACE_STATES
KCOLO_TRACE_SIDES
KCOLO_TRACE_DROPS
#undef EM
#undef EMe
#define EM(v, text)	{ v, text },
#define EMe(v, text)	{ v, text }

/* Counter NAME one more, for a packet of or to the guest that is dropped. */
#define kcolo_count_drop(pair, name, skb)				\
do {									\
	struct kcolo_pair *__pair = (pair);				\
									\
	kcolo_count(__pair, name);					\
	trace_drop(__pair, skb, KCOLO_A_STATS_##name);			\
} while (0)

DECLARE_EVENT_CLASS(kcolo_text,
	TP_PROTO(const struct kcolo_pair *pair, const char *chr),
	TP_ARGS(pair, chr),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__array(char, chr, KCOLO_TRACE_TEXT)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		strscpy(__entry->chr, chr, KCOLO_TRACE_TEXT);
	),
	TP_printk("pair=%s : %s", __entry->pair, __entry->chr)
);

/**
 * proxy_main - a packet or connection never got as far as the comparison
 * @pair: pair
 * @chr: why
 */
DEFINE_EVENT(kcolo_text, proxy_main,
	TP_PROTO(const struct kcolo_pair *pair, const char *chr),
	TP_ARGS(pair, chr)
);

/**
 * compare_main - both sides have spoken and were compared
 * @pair: pair
 * @chr: what came out
 */
DEFINE_EVENT(kcolo_text, compare_main,
	TP_PROTO(const struct kcolo_pair *pair, const char *chr),
	TP_ARGS(pair, chr)
);

/**
 * rewriter_debug - a segment of a connection of the secondary's guest goes on
 *	untranslated
 * @pair: pair
 * @chr: why
 */
DEFINE_EVENT(kcolo_text, rewriter_debug,
	TP_PROTO(const struct kcolo_pair *pair, const char *chr),
	TP_ARGS(pair, chr)
);

DECLARE_EVENT_CLASS(kcolo_size,
	TP_PROTO(const struct kcolo_pair *pair, const char *sta, u32 size),
	TP_ARGS(pair, sta, size),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__array(char, sta, KCOLO_TRACE_TEXT)
		__field(int, size)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		strscpy(__entry->sta, sta, KCOLO_TRACE_TEXT);
		__entry->size = size;
	),
	TP_printk("pair=%s : %s = %d", __entry->pair, __entry->sta,
		  __entry->size)
);

/**
 * compare_udp_miscompare - one of two datagrams of UDP that differ
 * @pair: pair
 * @sta: whose
 * @size: bytes from the transport header on
 */
DEFINE_EVENT(kcolo_size, compare_udp_miscompare,
	TP_PROTO(const struct kcolo_pair *pair, const char *sta, u32 size),
	TP_ARGS(pair, sta, size)
);

/**
 * compare_icmp_miscompare - one of two messages of ICMP or ICMPv6 that differ
 * @pair: pair
 * @sta: whose
 * @size: bytes
 */
DEFINE_EVENT(kcolo_size, compare_icmp_miscompare,
	TP_PROTO(const struct kcolo_pair *pair, const char *sta, u32 size),
	TP_ARGS(pair, sta, size)
);

/**
 * compare_ip_info - two packets are about to be compared
 * @p: the primary's
 * @s: the secondary's
 */
TRACE_EVENT(compare_ip_info,
	TP_PROTO(const struct kcolo_held *p, const struct kcolo_held *s),
	TP_ARGS(p, s),
	TP_STRUCT__entry(
		__field(int, psize)
		__array(__u8, sta, KCOLO_TRACE_ADDR)
		__array(__u8, stb, KCOLO_TRACE_ADDR)
		__field(int, ssize)
		__array(__u8, stc, KCOLO_TRACE_ADDR)
		__array(__u8, std, KCOLO_TRACE_ADDR)
	),
	TP_fast_assign(
		__entry->psize = p->skb->len;
		__entry->ssize = s->skb->len;
		trace_put_skb(__entry->sta, __entry->stb, p->skb, 0);
		trace_put_skb(__entry->stc, __entry->std, s->skb, 0);
	),
	TP_printk("ppkt size = %d, ip_src = %pISc, ip_dst = %pISc, spkt size = %d, ip_src = %pISc, ip_dst = %pISc",
		  __entry->psize, __entry->sta, __entry->stb,
		  __entry->ssize, __entry->stc, __entry->std)
);

/**
 * compare_tcp_info - one of the two segments that are about to be compared
 * @side: KCOLO_P or KCOLO_S
 * @held: the segment
 * @from: first byte of its payload that is compared
 */
TRACE_EVENT(compare_tcp_info,
	TP_PROTO(enum kcolo_side side, const struct kcolo_held *held, u32 from),
	TP_ARGS(side, held, from),
	TP_STRUCT__entry(
		__array(char, pkt, 4)
		__field(u32, seq)
		__field(u32, ack)
		__field(int, hdlen)
		__field(int, pdlen)
		__field(int, offset)
		__field(int, flags)
	),
	TP_fast_assign(
		const struct kcolo_seg *seg = &held->seg;

		strscpy(__entry->pkt, side == KCOLO_P ? "pri" : "sec", 4);
		__entry->seq = seg->seq;
		__entry->ack = seg->ack;
		__entry->hdlen = held->data;
		__entry->pdlen = seg->end - seg->seq -
				 !!(seg->flags & KCOLO_TCP_SYN) -
				 !!(seg->flags & KCOLO_TCP_FIN);
		__entry->offset = from;
		__entry->flags = seg->flags;
	),
	TP_printk("%s: seq/ack= %u/%u hdlen= %d pdlen= %d offset= %d flags=%d",
		  __entry->pkt, __entry->seq, __entry->ack, __entry->hdlen,
		  __entry->pdlen, __entry->offset, __entry->flags)
);

/**
 * compare_miscompare - the two sides differ
 * @pair: pair
 *
 * The event miscompare, which follows it, says where.
 */
TRACE_EVENT(compare_miscompare,
	TP_PROTO(const struct kcolo_pair *pair),
	TP_ARGS(pair),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
	),
	TP_printk("pair=%s", __entry->pair)
);

/**
 * old_packet_check_found - a packet has found no partner in time
 * @pair: pair
 * @held: the oldest one of its connection
 *
 * old_time is when it came, in milliseconds of the monotonic clock.
 */
TRACE_EVENT(old_packet_check_found,
	TP_PROTO(const struct kcolo_pair *pair, const struct kcolo_held *held),
	TP_ARGS(pair, held),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__field(s64, old_time)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		__entry->old_time = div_u64(held->since, NSEC_PER_MSEC);
	),
	TP_printk("pair=%s old_time=%lld", __entry->pair, __entry->old_time)
);

/**
 * rewriter_pkt_info - a TCP segment on the secondary's host, before translation
 * @pair: pair
 * @pkt: the segment, parsed
 * @from_vm: the guest sent it, else it goes to the guest
 */
TRACE_EVENT(rewriter_pkt_info,
	TP_PROTO(const struct kcolo_pair *pair, const struct kcolo_pkt *pkt,
		 bool from_vm),
	TP_ARGS(pair, pkt, from_vm),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__array(char, func, 8)
		__array(__u8, src, KCOLO_TRACE_ADDR)
		__array(__u8, dst, KCOLO_TRACE_ADDR)
		__field(u32, seq)
		__field(u32, ack)
		__field(u32, flag)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		strscpy(__entry->func, from_vm ? "from_vm" : "to_vm", 8);
		trace_put_ends(__entry->src, __entry->dst, &pkt->tuple);
		__entry->seq = pkt->seq;
		__entry->ack = pkt->ack;
		__entry->flag = pkt->flags;
	),
	TP_printk("pair=%s %s: src/dst: %pISpc/%pISpc p: seq/ack=%u/%u flags=0x%x",
		  __entry->pair, __entry->func, __entry->src, __entry->dst,
		  __entry->seq, __entry->ack, __entry->flag)
);

/**
 * rewriter_conn_offset - a segment is translated
 * @pair: pair
 * @offset: secondary_isn - primary_isn of its connection
 */
TRACE_EVENT(rewriter_conn_offset,
	TP_PROTO(const struct kcolo_pair *pair, u32 offset),
	TP_ARGS(pair, offset),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__field(u32, offset)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		__entry->offset = offset;
	),
	TP_printk("pair=%s : offset=%u", __entry->pair, __entry->offset)
);

DECLARE_EVENT_CLASS(kcolo_held,
	TP_PROTO(const struct kcolo_pair *pair, const struct kcolo_held *held),
	TP_ARGS(pair, held),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__field(const void *, skbaddr)
		__array(__u8, src, KCOLO_TRACE_ADDR)
		__array(__u8, dst, KCOLO_TRACE_ADDR)
		__field(u32, len)
		__field(u32, seq)
		__field(u32, end)
		__field(u32, ack)
		__field(u32, flags)
		__field(u64, waited)
	),
	TP_fast_assign(
		bool tcp = held->data;	/* of others no payload is noted */

		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		__entry->skbaddr = held->skb;
		trace_put_skb(__entry->src, __entry->dst, held->skb,
			      tcp ? held->l4 : 0);
		__entry->len = held->skb->len;
		__entry->seq = tcp ? held->seg.seq : 0;
		__entry->end = tcp ? held->seg.end : 0;
		__entry->ack = tcp ? held->seg.ack : 0;
		__entry->flags = tcp ? held->seg.flags : 0;
		__entry->waited = ktime_get_mono_fast_ns() - held->since;
	),
	TP_printk("pair=%s skbaddr=%p src=%pISpc dst=%pISpc len=%u seq=%u end=%u ack=%u flags=0x%x waited=%llu",
		  __entry->pair, __entry->skbaddr, __entry->src, __entry->dst,
		  __entry->len, __entry->seq, __entry->end, __entry->ack,
		  __entry->flags, __entry->waited)
);

/**
 * hold - a packet is held
 * @pair: pair
 * @held: the packet; seq to flags are zero if it is not a segment of TCP
 */
DEFINE_EVENT(kcolo_held, hold,
	TP_PROTO(const struct kcolo_pair *pair, const struct kcolo_held *held),
	TP_ARGS(pair, held)
);

/**
 * release - a held packet goes on
 * @pair: pair
 * @held: the packet; it has waited for so many nanoseconds
 */
DEFINE_EVENT(kcolo_held, release,
	TP_PROTO(const struct kcolo_pair *pair, const struct kcolo_held *held),
	TP_ARGS(pair, held)
);

/**
 * flush - a held packet is dropped: a port, bridge, pair or the module goes away
 * @pair: pair
 * @held: the packet
 */
DEFINE_EVENT(kcolo_held, flush,
	TP_PROTO(const struct kcolo_pair *pair, const struct kcolo_held *held),
	TP_ARGS(pair, held)
);

/**
 * drop - a packet of or to the guest is dropped, not flushed
 * @pair: pair
 * @skb: the packet
 * @reason: number of the counter that has counted it
 *
 * On the primary all packets of the secondary end there; they are not traced.
 */
TRACE_EVENT(drop,
	TP_PROTO(const struct kcolo_pair *pair, const struct sk_buff *skb,
		 u32 reason),
	TP_ARGS(pair, skb, reason),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__field(const void *, skbaddr)
		__field(u32, len)
		__field(u16, protocol)
		__array(__u8, src, KCOLO_TRACE_ADDR)
		__array(__u8, dst, KCOLO_TRACE_ADDR)
		__field(u32, reason)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		__entry->skbaddr = skb;
		__entry->len = skb->len;
		__entry->protocol = ntohs(skb->protocol);
		trace_put_skb(__entry->src, __entry->dst, skb, 0);
		__entry->reason = reason;
	),
	TP_printk("pair=%s skbaddr=%p len=%u protocol=0x%04x src=%pISc dst=%pISc reason=%s",
		  __entry->pair, __entry->skbaddr, __entry->len,
		  __entry->protocol, __entry->src, __entry->dst,
		  __print_symbolic(__entry->reason, KCOLO_TRACE_DROPS))
);

/**
 * miscompare - a checkpoint is asked for
 * @pair: pair
 * @what: why; one that is asked for already is traced, too
 *
 * stream is -1 if the start of the guest's stream was not seen.
 */
TRACE_EVENT(miscompare,
	TP_PROTO(const struct kcolo_pair *pair,
		 const struct kcolo_miscompare *what),
	TP_ARGS(pair, what),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__field(u32, epoch)
		__field(u32, reason)
		__field(u32, proto)
		__array(__u8, src, KCOLO_TRACE_ADDR)
		__array(__u8, dst, KCOLO_TRACE_ADDR)
		__field(u32, seq)
		__field(s64, stream)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		__entry->epoch = kcolo_phase(pair).epoch;
		__entry->reason = what->reason;
		__entry->proto = what->tuple.proto;
		trace_put_ends(__entry->src, __entry->dst, &what->tuple);
		__entry->seq = what->seq;
		__entry->stream = what->stream_ok ? (s64)what->stream : -1;
	),
	TP_printk("pair=%s epoch=%u reason=%s proto=%u src=%pISpc dst=%pISpc seq=%u stream=%lld",
		  __entry->pair, __entry->epoch,
		  __print_symbolic(__entry->reason, KCOLO_TRACE_REASONS), __entry->proto,
		  __entry->src, __entry->dst, __entry->seq, __entry->stream)
);

/**
 * overflow - a packet is refused because a limit is reached
 * @pair: pair
 * @side: KCOLO_P or KCOLO_S, who sent it
 * @tuple: its connection
 */
TRACE_EVENT(overflow,
	TP_PROTO(const struct kcolo_pair *pair, enum kcolo_side side,
		 const struct kcolo_tuple *tuple),
	TP_ARGS(pair, side, tuple),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__field(u32, side)
		__array(__u8, src, KCOLO_TRACE_ADDR)
		__array(__u8, dst, KCOLO_TRACE_ADDR)
		__field(u32, packets)
		__field(u64, bytes)
		__field(u32, flows)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		__entry->side = side;
		trace_put_ends(__entry->src, __entry->dst, tuple);
		__entry->packets = side == KCOLO_P ?
				   atomic_read(&pair->held_n) :
				   atomic_read(&pair->queued_n);
		__entry->bytes = side == KCOLO_P ?
				 atomic_long_read(&pair->held_bytes) :
				 atomic_long_read(&pair->queued_bytes);
		__entry->flows = atomic_read(&pair->flow_n);
	),
	TP_printk("pair=%s side=%s src=%pISpc dst=%pISpc packets=%u bytes=%llu flows=%u",
		  __entry->pair,
		  __print_symbolic(__entry->side, KCOLO_TRACE_SIDES),
		  __entry->src, __entry->dst, __entry->packets, __entry->bytes,
		  __entry->flows)
);

/**
 * epoch - a pair changes its state: begin, commit, abort, bypass, failover
 * @pair: pair
 * @phase: what it is from now on
 */
TRACE_EVENT(epoch,
	TP_PROTO(const struct kcolo_pair *pair, const struct kcolo_phase *phase),
	TP_ARGS(pair, phase),
	TP_STRUCT__entry(
		__array(char, pair, KCOLO_TRACE_PAIR)
		__field(u32, epoch)
		__field(u32, begins)
		__field(u32, state)
	),
	TP_fast_assign(
		strscpy(__entry->pair, pair->name, KCOLO_TRACE_PAIR);
		__entry->epoch = phase->epoch;
		__entry->begins = phase->gen;
		__entry->state = phase->state;
	),
	TP_printk("pair=%s epoch=%u begins=%u state=%s", __entry->pair,
		  __entry->epoch, __entry->begins,
		  __print_symbolic(__entry->state, KCOLO_TRACE_STATES))
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

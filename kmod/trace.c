// SPDX-License-Identifier: GPL-2.0
/* The tracepoints' own code, and how addresses get into their records. */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "kcolo.h"

/* As printk's %pIS reads it; kept in a record as bytes. */
static void put_addr(u8 *to, bool v6, const void *addr, __be16 port)
{
	struct sockaddr_in6 *in6 = (void *)to;
	struct sockaddr_in *in = (void *)to;

	memset(to, 0, sizeof(*in6));
	if (v6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port;
		memcpy(&in6->sin6_addr, addr, sizeof(in6->sin6_addr));
	} else {
		in->sin_family = AF_INET;
		in->sin_port = port;
		memcpy(&in->sin_addr, addr, sizeof(in->sin_addr));
	}
}

static void trace_put_ends(u8 *src, u8 *dst, const struct kcolo_tuple *t)
{
	put_addr(src, t->v6, &t->src, t->sport);
	put_addr(dst, t->v6, &t->dst, t->dport);
}

/* The addresses of any packet, none if it is not IP; ports of TCP at @l4. */
static void trace_put_skb(u8 *src, u8 *dst, const struct sk_buff *skb, u32 l4)
{
	struct kcolo_tuple t = { .v6 = skb->protocol == htons(ETH_P_IPV6) };

	if (t.v6 && skb_headlen(skb) >= sizeof(struct ipv6hdr)) {
		memcpy(&t.src, skb->data + offsetof(struct ipv6hdr, saddr), 16);
		memcpy(&t.dst, skb->data + offsetof(struct ipv6hdr, daddr), 16);
	} else if (!t.v6 && skb->protocol == htons(ETH_P_IP) &&
		   skb_headlen(skb) >= sizeof(struct iphdr)) {
		memcpy(&t.src, skb->data + offsetof(struct iphdr, saddr), 4);
		memcpy(&t.dst, skb->data + offsetof(struct iphdr, daddr), 4);
	} else {
		memset(src, 0, sizeof(struct sockaddr_in6));
		memset(dst, 0, sizeof(struct sockaddr_in6));
		return;
	}
	if (l4) {
		memcpy(&t.sport, skb->data + l4, sizeof(t.sport));
		memcpy(&t.dport, skb->data + l4 + 2, sizeof(t.dport));
	}
	trace_put_ends(src, dst, &t);
}

#define CREATE_TRACE_POINTS
#include "trace.h"

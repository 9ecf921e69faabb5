// SPDX-License-Identifier: GPL-2.0
/*
 * packets primary|secondary SECONDS SEED EPOCH-FILE - a packet fuzzer on the ports of a host with a pair.
 *
 * Plays the clients, the primary's guest and the secondary's with flows that are valid (TCP with options, SACK and
 * timestamps, UDP, ICMP, fragments, extension headers, super-packets), and spoils a part of the frames: bits, lengths,
 * numbers, truncations, repetitions, other ports. packets.py makes the host and looks at the counters.
 *
 * It fails by itself (S1, C4) if a client sees a frame of the secondary, or if such a frame comes to the primary host
 * without the tag. Frames of the secondary have a source address of their own; only an ACK without data may be made
 * of one (R3). EPOCH-FILE: two bytes, the tag that is right and the one before; 0: nobody knows.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define FLOWS 24
#define FRAME_MAX 66000
#define KEPT 64
#define VNET 10

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };
enum who { C, P, S };	/* client, the primary's guest, the secondary's */

/* virtio_net_hdr, packed as the socket wants it. */
struct vnet {
	u8 flags, gso_type;
	u16 hdr_len, gso_size, csum_start, csum_offset;
};

struct frame {
	u8 b[VNET + FRAME_MAX];
	u32 len;		/* without the virtio header */
	u32 ip, l4;		/* offsets, 0 if there is no such header */
	u8 proto;
	bool v6;
};

struct flow {
	bool v6, ts, sack, by_vm, ext;
	u8 scale[3], state;
	u16 cport, gport;
	u32 isn[3], nxt[3], acked, clock[3], fin[3];
};

struct port {
	const char *name;
	int fd;
};

static struct port ports[3];
static bool primary;
static const volatile u8 *tags;
static struct flow flows[FLOWS];
static struct frame kept[KEPT], out;
static u64 sent, refused, spoilt, received, state;

static u32 rnd(void)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33;
}

static u32 below(u32 n)
{
	return rnd() % n;
}

static bool percent(u32 n)
{
	return below(100) < n;
}

static void put16(u8 *p, u16 v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void put32(u8 *p, u32 v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static u16 get16(const u8 *p)
{
	return p[0] << 8 | p[1];
}

static u32 get32(const u8 *p)
{
	return (u32)get16(p) << 16 | get16(p + 2);
}

static u32 add(u32 sum, const u8 *p, u32 n)
{
	u64 s = sum;

	for (; n > 1; n -= 2, p += 2)
		s += get16(p);
	if (n)
		s += *p << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static u8 *data(struct frame *f)
{
	return f->b + VNET;
}

static struct vnet *vnet(struct frame *f)
{
	return (struct vnet *)f->b;
}

/* --- frames that are right ---------------------------------------------------------------------------------------- */

static void addresses(u8 *to, bool v6, enum who src)
{
	static const u8 net6[15] = { 0xfd };
	bool client = src == C;
	u32 n = v6 ? 16 : 4;

	if (v6) {
		memcpy(to, net6, 15);
		memcpy(to + 16, net6, 15);
	} else {
		put32(to, 0x0a000000);
		put32(to + 4, 0x0a000000);
	}
	to[n - 1] = client ? 1 : 2;
	to[2 * n - 1] = client ? 2 : 1;
}

static void start(struct frame *f, bool v6, enum who src, u16 type)
{
	static const u8 macs[3] = { 1, 2, 3 };
	u8 *p = data(f);

	memset(f->b, 0, VNET);
	f->v6 = v6;
	f->l4 = 0;
	f->proto = 0;
	memset(p, 0, 12);
	p[0] = p[6] = 2;
	p[5] = src == C ? 2 : 1;
	p[11] = macs[src];
	f->len = 12;
	if (percent(2)) {	/* a VLAN's */
		put16(p + f->len, percent(80) ? 0x8100 : 0x88a8);
		put16(p + f->len + 2, below(4096));
		f->len += 4;
	}
	put16(p + f->len, type);
	f->len += 2;
	f->ip = f->len;
}

static u8 ttl_of(enum who src)
{
	if (src == S && primary && !percent(3))
		return tags[0];
	return percent(95) ? 64 : below(256);
}

/* Extension headers; returns the number of the first. */
static u8 extend(struct frame *f, u8 proto)
{
	static const u8 kinds[] = { 0, 60, 43, 60, 44, 51, 135 };
	u8 *p = data(f) + f->len, first = proto, *last = NULL;
	u32 n = 1 + below(3), i, kind, words;

	for (i = 0; i < n; i++) {
		kind = i ? kinds[1 + below(6)] : kinds[below(7)];
		words = kind == 44 ? 0 : below(3);
		memset(p, 0, 8 + 8 * words);
		if (kind == 0 || kind == 60) {
			p[2] = 1;	/* PadN */
			p[3] = 4 + 8 * words;
		}
		p[0] = proto;
		p[1] = kind == 51 ? 2 * words : words;
		if (kind == 44)
			put32(p + 4, rnd());
		if (last)
			*last = kind;
		else
			first = kind;
		last = p;
		f->len += 8 + 8 * words;
		p += 8 + 8 * words;
	}
	return first;
}

/* An IP header without lengths and checksums; finish() puts them in. */
static void put_ip(struct frame *f, enum who src, u8 proto, bool ext)
{
	u8 *p = data(f) + f->ip;
	u32 opts = 0;

	f->proto = proto;
	if (f->v6) {
		memset(p, 0, 8);
		p[0] = 0x60;
		p[7] = ttl_of(src);
		addresses(p + 8, true, src);
		f->len += 40;
		p[6] = ext ? extend(f, proto) : proto;
	} else {
		if (ext) {
			opts = 4 * (1 + below(10));
			memset(p + 20, 1, opts);
		}
		memset(p, 0, 12);
		p[0] = 0x45 + opts / 4;
		put16(p + 4, rnd());
		put16(p + 6, 0x4000);
		p[8] = ttl_of(src);
		p[9] = proto;
		addresses(p + 12, false, src);
		f->len += 20 + opts;
	}
	f->l4 = f->len;
}

static void sum_ip(struct frame *f)
{
	u8 *p = data(f) + f->ip;
	u32 n = (p[0] & 15) * 4;

	if (f->v6 || f->ip + n > f->len || n < 20)
		return;
	put16(p + 10, 0);
	put16(p + 10, ~add(0, p, n));
}

/* The checksum of what is above IP; partial: that of the pseudo header only. */
static void sum_l4(struct frame *f, bool partial)
{
	static const u8 at[256] = { [1] = 2, [6] = 16, [17] = 6, [58] = 2 };
	u32 n = f->len - f->l4, sum = 0, off = at[f->proto];
	u8 *ip = data(f) + f->ip, *p = data(f) + f->l4;

	if (!off || f->len < f->l4 + off + 2)
		return;
	if (f->proto != 1) {
		sum = f->v6 ? add(0, ip + 8, 32) : add(0, ip + 12, 8);
		sum = add(sum, (u8[4]){ n >> 24, n >> 16, n >> 8, n }, 4) + f->proto;
	}
	put16(p + off, 0);
	sum = partial ? add(sum, p, 0) : (u16)~add(sum, p, n);
	put16(p + off, sum & 0xffff);
}

static void finish(struct frame *f)
{
	u8 *p = data(f) + f->ip;

	put16(p + (f->v6 ? 4 : 2), f->len - f->ip - (f->v6 ? 40 : 0));
	sum_ip(f);
}

static void keep(const struct frame *f)
{
	struct frame *k = &kept[below(KEPT)];

	if (f->len > 2000)
		return;
	memcpy(k->b, f->b, VNET + f->len);
	k->len = f->len;
	k->ip = f->ip;
	k->l4 = f->l4;
	k->v6 = f->v6;
	k->proto = f->proto;
}

static int port_of(enum who src)
{
	if (primary)
		return src;
	return src == C ? 0 : 1;	/* the mirror's clients, the secondary's guest */
}

static void spoil(struct frame *f);

static void emit(struct frame *f, enum who src)
{
	int port = port_of(src);

	keep(f);
	if (percent(25)) {
		spoil(f);
		spoilt++;
		if (percent(3))
			port = below(primary ? 3 : 2);
	}
	if (f->len < 14)
		f->len = 14;
	/* Whose it is must be seen at the other end. */
	memset(data(f) + 6, 0, 6);
	data(f)[6] = 2;
	data(f)[11] = primary ? port + 1 : port ? 3 : 1;
	if (send(ports[port].fd, f->b, VNET + f->len, 0) < 0)
		refused++;
	else
		sent++;
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

static u8 stream_byte(const struct flow *w, enum who who, u32 at)
{
	u32 x = (at >> 2) * 2654435761U + w->cport + (who == C);

	return x >> (8 * (at & 3));
}

static u32 tcp_options(const struct flow *w, enum who who, u8 flags, u8 *o)
{
	u32 n = 0, i, blocks, at;

	if (flags & SYN) {
		memcpy(o, "\2\4\5\xb4", 4);
		n = 4;
		if (w->scale[who]) {
			memcpy(o + n, "\1\3\3", 3);
			o[n + 3] = w->scale[who];
			n += 4;
		}
		if (w->sack) {
			memcpy(o + n, "\1\1\4\2", 4);
			n += 4;
		}
	}
	if (w->ts && !(flags & RST && percent(50))) {
		memcpy(o + n, percent(95) ? "\1\1\10\12" : "\10\12\0\0", 4);
		put32(o + n + 4, w->clock[who]);
		put32(o + n + 8, flags & ACK ? w->clock[who == C ? P : C] : 0);
		n += 12;
	}
	if (w->sack && !(flags & SYN) && percent(15)) {
		blocks = 1 + below(w->ts ? 3 : 4);
		if (percent(90)) {
			o[n++] = 1;
			o[n++] = 1;
		}
		o[n++] = 5;
		o[n++] = 2 + 8 * blocks;
		for (i = 0; i < blocks; i++, n += 8) {
			at = (who == C ? w->isn[P] : w->isn[C]) + 1 + w->acked + below(4000);
			put32(o + n, at);
			put32(o + n + 4, at + 1 + below(3000));
		}
	}
	while (n & 3)
		o[n++] = 0;
	return n;
}

/* What C has in P's numbers S has in its own on the secondary host. */
static u32 base_of(const struct flow *w, enum who who, u8 flags)
{
	if (who == S && primary && !(flags & SYN))
		return w->isn[P];
	return w->isn[who];
}

static void segment(struct flow *w, enum who who, u8 flags, u32 at, u32 len, u32 ack)
{
	struct frame *f = &out;
	u32 i, n, opts, base = base_of(w, who, flags);
	bool partial = percent(20) || len > 1460;
	u8 *p;

	start(f, w->v6, who, w->v6 ? 0x86dd : 0x0800);
	put_ip(f, who, 6, w->ext && percent(50));
	p = data(f) + f->l4;
	memset(p, 0, 20);
	put16(p, who == C ? w->cport : w->gport);
	put16(p + 2, who == C ? w->gport : w->cport);
	put32(p + 4, base + 1 + at);
	if (flags & ACK)
		put32(p + 8, (who == C ? w->isn[P] : w->isn[C]) + 1 + ack);
	opts = tcp_options(w, who, flags, p + 20);
	n = 20 + opts;
	p[12] = n / 4 << 4;
	p[13] = flags;
	put16(p + 14, percent(95) ? 0x2000 + below(8) * 0x1000 : below(3));
	for (i = 0; i < len; i++)
		p[n + i] = stream_byte(w, who, at + i);
	if (who == S && percent(2) && len)
		p[n + below(len)] ^= 1 << below(8);
	f->len += n + len;
	finish(f);
	if (partial) {
		vnet(f)->flags = 1;
		vnet(f)->csum_start = f->l4;
		vnet(f)->csum_offset = 16;
	}
	if (len > 1460) {
		vnet(f)->gso_type = w->v6 ? 4 : 1;
		vnet(f)->hdr_len = f->l4 + n;
		vnet(f)->gso_size = 500 + below(960);
	}
	sum_l4(f, partial);
	emit(f, who);
}

static void open_flow(struct flow *w)
{
	int i;

	memset(w, 0, sizeof(*w));
	w->v6 = percent(50);
	w->ts = percent(60);
	w->sack = percent(70);
	w->ext = percent(20);
	w->by_vm = percent(25);
	w->cport = 10000 + below(400);
	w->gport = 80 + below(3);
	for (i = 0; i < 3; i++) {
		w->isn[i] = percent(20) ? -below(3000) : rnd() * 2 + below(2);
		w->clock[i] = percent(20) ? -below(300) : rnd();
		w->scale[i] = 7;
	}
	if (percent(20))
		w->isn[S] = w->isn[P] + below(3) - 1;
	if (percent(10))
		w->scale[S] = below(16);
}

/* Each side goes on with its handshake; roughly in order, so that most are good. */
static void handshake(struct flow *w)
{
	enum who vm = percent(50) ? P : S;

	if (!primary)
		vm = S;
	switch (w->state) {
	case 0:
		segment(w, w->by_vm ? vm : C, SYN, -1, 0, 0);
		if (w->by_vm && primary)
			segment(w, vm == P ? S : P, SYN, -1, 0, 0);
		break;
	case 1:
		if (w->by_vm)
			segment(w, C, SYN | ACK, -1, 0, 0);
		else
			segment(w, vm, SYN | ACK, -1, 0, 0);
		if (!w->by_vm && primary)
			segment(w, vm == P ? S : P, SYN | ACK, -1, 0, 0);
		break;
	default:
		segment(w, w->by_vm ? vm : C, ACK, 0, 0, 0);
		if (w->by_vm && primary)
			segment(w, vm == P ? S : P, ACK, 0, 0, 0);
	}
	w->state++;
}

static u32 lowest(const struct flow *w)
{
	if (!primary)
		return w->nxt[S];
	return (int)(w->nxt[P] - w->nxt[S]) < 0 ? w->nxt[P] : w->nxt[S];
}

static u32 size(void)
{
	if (percent(8))
		return 1461 + below(percent(20) ? 60000 : 8000);
	return percent(30) ? 0 : below(percent(50) ? 100 : 1461);
}

static void talk(struct flow *w)
{
	enum who who = primary ? below(3) : percent(50) ? C : S;
	u32 n = size(), at = w->nxt[who], other = who == P ? S : P;
	u8 flags = ACK | (percent(30) ? PSH : 0) | (percent(2) ? URG : 0);

	w->clock[who] += below(3);
	/* The two guests say the same, one ahead of the other by not too much. */
	if (primary && who != C && (int)(at - w->nxt[other]) > 20000)
		n = 0;
	if (percent(10) && at)
		at -= below(at < 4000 ? at : 4000);	/* again */
	else if (percent(5))
		at += below(3000);			/* something was lost */
	if (percent(2))
		flags |= FIN;
	if (percent(1))
		flags = percent(50) ? RST : RST | ACK;
	if (who == C) {
		if (percent(80))
			w->acked = lowest(w);
		if (n > 1460)
			n = below(1460);
	}
	segment(w, who, flags, at, n, who == C ? w->acked : w->nxt[C] - (percent(10) ? below(100) : 0));
	if ((int)(at + n - w->nxt[who]) > 0)
		w->nxt[who] = at + n;
	if (flags & FIN && percent(80))
		w->nxt[who]++;
}

/* --- the others --------------------------------------------------------------------------------------------------- */

static void fragments(struct frame *whole, enum who src)
{
	u32 head = whole->v6 ? 40 : 20, at, n, end = whole->len - whole->l4;
	u32 id = percent(80) ? whole->l4 * 7 + end : rnd();
	static struct frame f;
	u8 *p;

	if (whole->l4 != whole->ip + head)
		return;
	for (at = 0; at < end; at += n) {
		n = 8 * (1 + below(180));
		if (percent(3))
			continue;			/* lost */
		if (n > end - at)
			n = end - at;
		memcpy(f.b, whole->b, VNET + whole->l4);
		memset(f.b, 0, VNET);
		f.ip = whole->ip;
		f.v6 = whole->v6;
		f.proto = 0;
		f.len = whole->l4;
		p = data(&f) + f.ip;
		if (f.v6) {
			data(&f)[f.len] = p[6];
			p[6] = 44;
			data(&f)[f.len + 1] = 0;
			put16(data(&f) + f.len + 2, (at & ~7) | (at + n < end));
			put32(data(&f) + f.len + 4, id);
			f.len += 8;
		} else {
			put16(p + 4, id);
			put16(p + 6, at / 8 | (at + n < end ? 0x2000 : 0));
		}
		f.l4 = f.len;
		memcpy(data(&f) + f.len, data(whole) + whole->l4 + at, n);
		f.len += n;
		finish(&f);
		emit(&f, src);
		if (percent(3))
			n = n > 16 ? n - 8 : n;		/* the next one overlaps */
	}
}

static void datagram_of(enum who src, u32 salt, bool v6)
{
	static const u8 protos[] = { 17, 17, 17, 17, 132, 136, 33, 47, 50, 253 };
	struct frame *f = &out;
	u32 i, n, kind = salt % 10;
	u8 *p, proto = protos[kind];

	n = salt % 7 == 0 ? 1500 + salt % 6000 : salt % 1400;
	start(f, v6, src, v6 ? 0x86dd : 0x0800);
	put_ip(f, src, proto, salt % 11 == 0 && n < 1400);
	p = data(f) + f->l4;
	put16(p, src == C ? 5000 + salt % 5 : 53);
	put16(p + 2, src == C ? 53 : 5000 + salt % 5);
	put16(p + 4, 8 + n);
	put16(p + 6, 0);
	for (i = 0; i < n; i++)
		p[8 + i] = (salt + i) * 31 >> 3;
	f->len += 8 + n;
	finish(f);
	sum_l4(f, false);
	if (proto == 17 && n > 1400 && percent(40)) {
		vnet(f)->flags = 1;
		vnet(f)->csum_start = f->l4;
		vnet(f)->csum_offset = 6;
		vnet(f)->gso_type = percent(80) ? 5 : 3;
		vnet(f)->hdr_len = f->l4 + 8;
		vnet(f)->gso_size = 100 + salt % 1200;
		sum_l4(f, true);
		emit(f, src);
	} else if (n > 1400) {
		fragments(f, src);
	} else {
		emit(f, src);
	}
}

static void datagrams(void)
{
	u32 salt[4], i, n = 1 + below(4), order = rnd();
	bool v6 = percent(50);

	for (i = 0; i < n; i++)
		salt[i] = rnd() & 0xffffff;
	for (i = 0; i < n; i++) {
		if (percent(20))
			datagram_of(C, salt[i], v6);
		if (primary)
			datagram_of(P, salt[i], v6);
		if (primary && percent(90))
			datagram_of(S, salt[(i + order) % n], v6);
		else if (!primary)
			datagram_of(S, salt[i], v6);
	}
}

static void icmp(void)
{
	bool v6 = percent(50), echo = percent(50);
	enum who src = primary ? below(3) : percent(50) ? C : S;
	struct frame *k = &kept[below(KEPT)], *f = &out;
	u32 n, id = rnd();
	u8 *p;

again:
	start(f, v6, src, v6 ? 0x86dd : 0x0800);
	put_ip(f, src, v6 ? 58 : 1, percent(10));
	p = data(f) + f->l4;
	memset(p, 0, 8);
	if (echo) {
		p[0] = v6 ? 128 + below(2) : below(2) * 8;
		put32(p + 4, id % 50);
		n = id % 200;
		memset(p + 8, id, n);
	} else {
		/* An error that quotes what was said before. */
		p[0] = v6 ? 1 + below(4) : percent(50) ? 3 : 11 + below(2);
		p[1] = below(8);
		put16(p + 6, 1200 + below(300));
		n = k->len > k->ip ? k->len - k->ip : 0;
		if (n > 1200)
			n = 1200;
		if (percent(70) && n > 20)
			n = 20 + below(n - 20);
		memcpy(p + 8, data(k) + k->ip, n);
	}
	f->len += 8 + n;
	finish(f);
	sum_l4(f, false);
	emit(f, src);
	if (echo && primary && src == P) {
		src = S;
		goto again;
	}
}

static void other(void)
{
	static const u16 types[] = { 0x0806, 0x88cc, 0x8035, 0x8863, 0x0004, 0x8847, 0x86dd, 0x0800 };
	enum who src = primary ? below(3) : percent(50) ? C : S;
	struct frame *f = &out;
	u32 i, n = below(300), group = below(5);
	u8 *p;

	if (percent(50)) {	/* neighbour discovery, MLD, IGMP */
		bool v6 = percent(70);

		start(f, v6, src, v6 ? 0x86dd : 0x0800);
		put_ip(f, src, v6 ? 58 : 2, percent(30));
		p = data(f) + f->l4;
		memset(p, 0, 64);
		p[0] = v6 ? (percent(70) ? 133 + below(5) : 130 + below(14)) : 0x11 + below(0x12);
		f->len += 8 + 8 * below(7);
		finish(f);
		sum_l4(f, false);
	} else {
		start(f, false, src, types[below(8)]);
		for (i = 0; i < n; i++)
			data(f)[f->len++] = rnd();
	}
	if (group == 0)
		memset(data(f), 0xff, 6);
	else if (group == 1)
		memcpy(data(f), "\x33\x33\0\0\0\1", 6);
	else if (group == 2)
		memcpy(data(f), "\1\x80\xc2\0\0\16", 6);
	emit(f, src);
}

/* --- spoiling ----------------------------------------------------------------------------------------------------- */

static u32 odd_number(void)
{
	static const u32 odd[] = { 0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 19, 20, 21, 39, 40, 41, 59, 60, 61, 127, 128, 255,
		256, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff };

	return percent(70) ? odd[below(sizeof(odd) / sizeof(odd[0]))] : rnd();
}

static void spoil_tcp(struct frame *f)
{
	u8 *p = data(f) + f->l4;
	u32 hlen, at;

	if (f->proto != 6 || f->len < f->l4 + 20)
		return;
	hlen = (p[12] >> 4) * 4;
	switch (below(8)) {
	case 0:
		p[12] = odd_number() << 4;
		break;
	case 1:
		put32(p + 4, get32(p + 4) + odd_number() * (percent(50) ? 1 : -1));
		break;
	case 2:
		put32(p + 8, get32(p + 8) + odd_number() * (percent(50) ? 1 : -1));
		break;
	case 3:
		p[13] = rnd();
		break;
	case 4:
		put16(p + 14 + 4 * below(2), odd_number());
		break;
	default:		/* an option's kind or length, or anything in it */
		if (hlen <= 20 || f->len < f->l4 + hlen)
			return;
		at = 20 + below(hlen - 20);
		p[at] = percent(50) ? below(10) : odd_number();
	}
}

static void spoil_length(struct frame *f)
{
	u8 *p = data(f) + f->ip;

	if (f->len < f->ip + 40)
		return;
	if (f->v6)
		put16(p + 4, percent(50) ? odd_number() : get16(p + 4) + below(20) - 10);
	else if (percent(50))
		put16(p + 2, percent(50) ? odd_number() : get16(p + 2) + below(20) - 10);
	else
		p[0] = 0x40 | below(16);
}

static void spoil_once(struct frame *f)
{
	u32 room = f->len < 120 ? f->len : 120, at, n;
	u8 *p = data(f);

	switch (below(12)) {
	case 0:
		p[below(room)] ^= 1 << below(8);
		break;
	case 1:
		p[12 + below(room - 12)] = odd_number();
		break;
	case 2:
		at = 12 + below(room - 13);
		put16(p + at, odd_number());
		break;
	case 3:
		f->len = 14 + below(f->len - 13);
		break;
	case 4:
		n = below(200);
		if (f->len + n > FRAME_MAX)
			return;
		for (at = 0; at < n; at++)
			p[f->len + at] = rnd();
		f->len += n;
		break;
	case 5:
	case 6:
		spoil_length(f);
		break;
	case 7:
		if (f->ip && f->len > f->ip + 8)
			put16(p + f->ip + 6, rnd());	/* fragment, or the next header */
		break;
	case 8:
		vnet(f)->flags = below(4);
		vnet(f)->gso_type = below(7) | (percent(10) ? 0x80 : 0);
		vnet(f)->gso_size = odd_number();
		vnet(f)->hdr_len = odd_number();
		vnet(f)->csum_start = percent(50) ? f->l4 : odd_number();
		vnet(f)->csum_offset = percent(50) ? 16 : odd_number();
		break;
	default:
		spoil_tcp(f);
	}
}

static void spoil(struct frame *f)
{
	u32 n = 1 + below(3);

	if (percent(10) && kept[0].len) {	/* an old one in its place */
		const struct frame *k = &kept[below(KEPT)];

		if (k->len) {
			memcpy(f->b, k->b, VNET + k->len);
			f->len = k->len;
			f->ip = k->ip;
			f->l4 = k->l4;
			f->v6 = k->v6;
			f->proto = k->proto;
		}
	}
	while (n--)
		if (f->len > 30)
			spoil_once(f);
	if (percent(85) && f->ip + 60 < f->len)
		sum_ip(f);
	if (percent(60) && f->l4 && f->l4 < f->len && !vnet(f)->flags)
		sum_l4(f, false);
}

/* --- what comes out ----------------------------------------------------------------------------------------------- */

static void wrong(const char *what, const char *port, const u8 *p, int n)
{
	int i;

	printf("WRONG %s at %s (tags %d, %d):", what, port, tags[0], tags[1]);
	for (i = 0; i < n && i < 96; i++)
		printf("%s%02x", i % 2 ? "" : " ", p[i]);
	printf(" (%d bytes)\n", n);
	fflush(stdout);
	exit(1);
}

/* R3: a window update is made in the primary's name of the secondary's frame. */
static bool bare_ack(const u8 *p, int n)
{
	bool v6 = get16(p + 12) == 0x86dd;
	u32 l4 = v6 ? 54 : 34, end = v6 ? 54 + get16(p + 18) : 14 + get16(p + 16);

	return n >= (int)l4 + 20 && (v6 ? p[20] == 6 : p[14] == 0x45 && p[23] == 6) && p[l4 + 13] == ACK &&
	       end == l4 + (p[l4 + 12] >> 4) * 4;
}

/* A frame came out; tagged: with a VLAN's tag, which the kernel has put aside. */
static void look(int i, const u8 *p, int n, bool tagged)
{
	u8 ttl, now;

	received++;
	if (n < 34 || memcmp(p + 6, "\2\0\0\0\0\3", 6))
		return;
	if (primary) {
		if (i != 2 && !bare_ack(p, n))
			wrong("S1: a frame of the secondary", ports[i].name, p, n);
		return;
	}
	if (i == 2)
		wrong("S1: a frame of the secondary", ports[i].name, p, n);
	now = tags[0];	/* once: another process changes it */
	if (i != 0 || tagged || !now || (get16(p + 12) != 0x0800 && get16(p + 12) != 0x86dd))
		return;
	ttl = get16(p + 12) == 0x0800 ? p[22] : p[21];
	/* A commit may just be on its way. */
	if (ttl != now && ttl != tags[1] && ttl != now % 255 + 1)
		wrong("C4: a frame without its tag", ports[i].name, p, n);
}

static bool has_tag(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	struct tpacket_auxdata aux;

	if (!c || c->cmsg_type != PACKET_AUXDATA)
		return false;
	memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	return aux.tp_status & TP_STATUS_VLAN_VALID;
}

static void drain(void)
{
	static u8 buf[VNET + FRAME_MAX + 4096];
	static u8 control[256];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int i, n;

	for (i = 0; i < 3; i++) {
		for (;;) {
			msg.msg_control = control;
			msg.msg_controllen = sizeof(control);
			n = recvmsg(ports[i].fd, &msg, MSG_DONTWAIT);
			if (n <= 0)
				break;
			look(i, buf + VNET, n - VNET, has_tag(&msg));
		}
	}
}

static void open_port(struct port *port, const char *ns, const char *dev)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(3) };
	int one = 1, size = 1 << 24, fd;
	char path[64];

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET)) {
		perror(path);
		exit(2);
	}
	close(fd);
	port->name = ns;
	port->fd = socket(AF_PACKET, SOCK_RAW, 0);
	setsockopt(port->fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
	setsockopt(port->fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one));
	setsockopt(port->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(port->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	to.sll_ifindex = if_nametoindex(dev);
	if (bind(port->fd, (struct sockaddr *)&to, sizeof(to))) {
		perror(dev);
		exit(2);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void step(void)
{
	struct flow *w = &flows[below(FLOWS)];

	if (percent(70)) {
		if (!w->cport || percent(1))
			open_flow(w);
		if (w->state < 3)
			handshake(w);
		else
			talk(w);
	} else if (percent(50)) {
		datagrams();
	} else if (percent(70)) {
		icmp();
	} else {
		other();
	}
}

int main(int argc, char **argv)
{
	static const char *const ends[2][3][2] = {
		{ { "sp", "sp0" }, { "sv", "sv0" }, { "sl", "sl0" } },
		{ { "lan", "lan0" }, { "pv", "pv0" }, { "ps", "ps0" } },
	};
	double end;
	int i, fd;
	u32 n;

	if (argc != 5) {
		fprintf(stderr, "packets primary|secondary SECONDS SEED EPOCH-FILE\n");
		return 2;
	}
	primary = !strcmp(argv[1], "primary");
	state = strtoull(argv[3], NULL, 0) * 2654435761U + primary;
	fd = open(argv[4], O_RDONLY);
	tags = mmap(NULL, 2, PROT_READ, MAP_SHARED, fd, 0);
	if (tags == MAP_FAILED) {
		perror(argv[4]);
		return 2;
	}
	for (i = 0; i < 3; i++)
		open_port(&ports[i], ends[primary][i][0], ends[primary][i][1]);
	end = now() + atof(argv[2]);
	for (n = 0; n % 64 || now() < end; n++) {
		step();
		if (n % 16 == 0)
			drain();
	}
	usleep(100000);
	drain();
	printf("%llu sent, %llu of them spoilt, %llu refused by the socket, %llu received\n",
	       (unsigned long long)sent, (unsigned long long)spoilt, (unsigned long long)refused,
	       (unsigned long long)received);
	return 0;
}

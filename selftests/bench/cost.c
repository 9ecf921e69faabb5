// SPDX-License-Identifier: GPL-2.0
/*
 * cost: what a packet costs on each path through the two hosts.
 *
 *   cost foreign|secondary|primary|alone|drop ROUNDS OFFSET [FLOWS]
 *   cost rate ROUNDS OFFSET CLIENT
 *
 * Speaks for clients, both guests and the other host by packet sockets at the far ends of the ports, one packet at a time:
 * send() returns when the packet has been delivered, held or dropped. Interfaces: c, v: clients and guest of the primary
 * host; q: the other end of its peer port; e, w: other end of the peer port and guest of the secondary host; x, y: foreign
 * ports of the bridge of the guest; m, n: of another bridge. OFFSET is what the secondary's guest adds to its sequence
 * numbers. With FLOWS, so many connections are open on the primary host and the packets go to them in turn. rate is for several
 * processes at once, each with the connection of its own CLIENT.
 *
 * Prints a line for each path: its name, the median and the least of ROUNDS rounds in ns, which are instructions in a guest
 * whose time is counted so; rate prints how long a round of a request, its answer and the other guest's answer took on average.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIN		TH_FIN
#define SYN		TH_SYN
#define ACK		TH_ACK
#define CLIENT_ISN	1000
#define GUEST_ISN	0x10000000
#define TTL		64
#define TAG		1	/* the secondary's packets in epoch 0 */

enum dev { C, V, Q, E, W, X, Y, M, N, DEVS };

static const char names[] = "cvqewxymn";
static const uint8_t mac[][6] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 }, { 2, 0, 0, 0, 0, 3 }, { 2, 0, 0, 0, 0, 4 } };

static int sock;
static struct sockaddr_ll to[DEVS];

/* What one side of a connection says next. */
struct end {
	uint32_t seq, ack, tsval, tsecr;
};

struct frame {
	struct ether_header eth;
	struct iphdr ip;
	union {
		struct {
			struct tcphdr tcp;
			uint8_t options[12];
			uint8_t data[1448];
		};
		struct {
			struct udphdr udp;
			uint8_t datagram[64];
		};
	};
} __attribute__((packed));

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint32_t add_up(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;

	for (; len > 1; p += 2, len -= 2)
		sum += p[0] << 8 | p[1];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

/* The client is mac[0], the guest mac[1]; the client's connection has a port of its own. */
static void head(struct frame *f, bool from_guest, uint8_t proto, size_t len, uint8_t ttl, uint32_t client)
{
	uint32_t ends[2] = { htonl(0x0a000000 + 256 + (client >> 15)), htonl(0x0a000002) };

	memcpy(f->eth.ether_shost, mac[from_guest], 6);
	memcpy(f->eth.ether_dhost, mac[!from_guest], 6);
	f->eth.ether_type = htons(ETHERTYPE_IP);
	f->ip = (struct iphdr){ .version = 4, .ihl = 5, .tot_len = htons(sizeof(f->ip) + len), .ttl = ttl,
				.protocol = proto, .frag_off = htons(IP_DF), .saddr = ends[from_guest],
				.daddr = ends[!from_guest] };
	f->ip.check = htons(fold(add_up(&f->ip, sizeof(f->ip), 0)));
}

/* Returns what the packet has cost. */
static uint64_t put(enum dev dev, const struct frame *f, size_t len)
{
	uint64_t t = now();

	if (sendto(sock, f, len, 0, (struct sockaddr *)&to[dev], sizeof(to[dev])) != (ssize_t)len)
		die("sendto");
	return now() - t;
}

static uint64_t say(enum dev dev, uint32_t client, struct end *end, uint8_t flags, uint32_t len)
{
	/* Of a SYN: MSS 1460, SACK, timestamps, scale 7. */
	static const uint8_t syn[8] = { 2, 4, 5, 0xb4, 1, 3, 3, 7 };
	bool from_guest = dev == V || dev == Q || dev == W;
	uint32_t more = flags & SYN ? sizeof(syn) : 0;
	uint32_t ts[2] = { htonl(end->tsval), htonl(end->tsecr) };
	struct frame f = {};
	size_t tcp = sizeof(f.tcp) + 12 + more + len;
	uint16_t port = htons(1024 + client % 32768);

	head(&f, from_guest, IPPROTO_TCP, tcp, dev == Q ? TAG : TTL, client);
	f.tcp.th_sport = from_guest ? htons(80) : port;
	f.tcp.th_dport = from_guest ? port : htons(80);
	f.tcp.th_seq = htonl(end->seq);
	f.tcp.th_ack = htonl(end->ack);
	f.tcp.th_off = (sizeof(f.tcp) + 12 + more) / 4;
	f.tcp.th_flags = flags;
	f.tcp.th_win = htons(flags & SYN ? 65535 : 8192);
	memcpy(f.options, "\1\1\10\12", 4);
	memcpy(f.options + 4, ts, 8);
	memcpy(f.data, syn, more);
	memset(f.data + more, 'x', len);
	end->seq += len + !!(flags & SYN) + !!(flags & FIN);
	return put(dev, &f, offsetof(struct frame, tcp) + tcp);
}

static uint64_t datagram(enum dev dev, bool from_guest, const uint8_t *src, const uint8_t *dst)
{
	struct frame f = {};

	head(&f, from_guest, IPPROTO_UDP, sizeof(f.udp) + 64, TTL, 0);
	memcpy(f.eth.ether_shost, src, 6);
	memcpy(f.eth.ether_dhost, dst, 6);
	f.udp.uh_sport = f.udp.uh_dport = htons(7);
	f.udp.uh_ulen = htons(sizeof(f.udp) + 64);
	return put(dev, &f, offsetof(struct frame, datagram) + 64);
}

/* ---- figures */

static uint32_t rounds, offset;

struct path {
	const char *name;
	uint64_t *cost;
};

static struct path path(const char *name)
{
	return (struct path){ name, calloc(rounds, sizeof(uint64_t)) };
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void report(struct path *p)
{
	qsort(p->cost, rounds, sizeof(uint64_t), by_size);
	printf("%s %llu %llu\n", p->name, (unsigned long long)p->cost[rounds / 2], (unsigned long long)p->cost[0]);
}

static unsigned long received(enum dev dev)
{
	char file[64];
	unsigned long n = 0;
	FILE *f;

	snprintf(file, sizeof(file), "/sys/class/net/%c/statistics/rx_packets", names[dev]);
	f = fopen(file, "r");
	if (!f || fscanf(f, "%lu", &n) != 1)
		die(file);
	fclose(f);
	return n;
}

/* Figures of packets that went another way than they should are worth nothing. */
static void expect(enum dev dev, unsigned long before, unsigned long n)
{
	unsigned long came = received(dev) - before;

	if (came == n)
		return;
	fprintf(stderr, "cost: %lu packets came out at %c, not %lu\n", came, names[dev], n);
	exit(1);
}

/* ---- what is measured */

static void foreign(const char *name, enum dev from, enum dev dev)
{
	unsigned long before;
	struct path p = path(name);

	datagram(dev, true, mac[3], mac[2]);
	before = received(dev);
	for (uint32_t i = 0; i < rounds; i++)
		p.cost[i] = datagram(from, false, mac[2], mac[3]);
	expect(dev, before, rounds);
	report(&p);
}

/* The secondary host: a request from the primary's side, and its guest's answer. */
static void secondary(void)
{
	struct end c = { .seq = CLIENT_ISN, .tsval = 5000 }, s = { .seq = GUEST_ISN + offset, .tsval = 9000 };
	struct path in = path("rewrite-in"), out = path("rewrite-out"), to = path("datagram-in"), from = path("datagram-out");
	unsigned long before[2] = { received(W), received(E) };

	say(E, 0, &c, SYN, 0);
	s.ack = c.seq, s.tsecr = c.tsval;
	say(W, 0, &s, SYN | ACK, 0);
	c.ack = GUEST_ISN + 1, c.tsecr = 7000;
	say(E, 0, &c, ACK, 0);
	for (uint32_t i = 0; i < rounds; i++) {
		in.cost[i] = say(E, 0, &c, ACK, 64);
		s.ack = c.seq, s.tsecr = c.tsval++, s.tsval++;
		out.cost[i] = say(W, 0, &s, ACK, 64);
		c.ack = s.seq - offset, c.tsecr++;
	}
	for (uint32_t i = 0; i < rounds; i++) {
		to.cost[i] = datagram(E, false, mac[0], mac[1]);
		from.cost[i] = datagram(W, true, mac[1], mac[0]);
	}
	expect(W, before[0], 2 * rounds + 2);
	expect(E, before[1], 2 * rounds + 1);
	report(&in);
	report(&out);
	report(&to);
	report(&from);
}

/* A connection as the primary host sees it: the client, the guest and the other guest, whose numbers are translated. */
struct conn {
	struct end c, p, s;
	uint32_t client;
};

static uint64_t open_conn(struct conn *n, uint32_t client, bool other)
{
	uint64_t cost;

	*n = (struct conn){ .c = { .seq = CLIENT_ISN, .tsval = 5000 }, .p = { .seq = GUEST_ISN, .tsval = 7000 },
			    .s = { .seq = GUEST_ISN + offset, .tsval = 7000 }, .client = client };
	cost = say(C, client, &n->c, SYN, 0);
	n->p.ack = n->s.ack = n->c.seq, n->p.tsecr = n->s.tsecr = n->c.tsval;
	cost += say(V, client, &n->p, SYN | ACK, 0);
	if (other)
		cost += say(Q, client, &n->s, SYN | ACK, 0);
	n->s.seq = n->p.seq, n->c.ack = n->p.seq, n->c.tsecr = n->p.tsval;
	return cost + say(C, client, &n->c, ACK, 0);
}

static uint64_t ask(struct conn *n, uint32_t len)
{
	uint64_t cost = say(C, n->client, &n->c, ACK, len);

	n->p.ack = n->s.ack = n->c.seq;
	n->p.tsecr = n->s.tsecr = n->c.tsval++;
	return cost;
}

static uint64_t answer(struct conn *n, uint8_t flags, uint32_t len, bool other)
{
	uint64_t cost = say(V, n->client, &n->p, flags, len);

	if (other)
		cost += say(Q, n->client, &n->s, flags, len);
	n->c.ack = n->p.seq, n->c.tsecr = n->p.tsval++;
	n->s.tsval++;
	return cost;
}

static void primary(bool other, uint32_t flows)
{
	struct path client = path("client"), large = path("hold-1448"), small = path("hold-8"), ack = path("hold-ack"),
		    whole = path("connection");
	struct conn *conns = calloc(flows, sizeof(*conns)), last;
	unsigned long before;

	for (uint32_t i = 0; i < flows; i++)
		open_conn(&conns[i], i, other);
	before = received(C);
	for (uint32_t i = 0; i < rounds; i++) {
		struct conn *n = &conns[i * (uint64_t)flows / rounds];

		client.cost[i] = ask(n, 64);
		large.cost[i] = answer(n, ACK, 1448, other);
		ask(n, 64);
		small.cost[i] = answer(n, ACK, 8, other);
		ask(n, 64);
		ack.cost[i] = answer(n, ACK, 0, other);
	}
	expect(C, before, 3 * rounds);
	for (uint32_t i = 0; i < rounds; i++) {
		whole.cost[i] = open_conn(&last, flows + i, other);
		whole.cost[i] += ask(&last, 64) + answer(&last, ACK, 64, other) + answer(&last, FIN | ACK, 0, other);
		whole.cost[i] += say(C, last.client, &last.c, FIN | ACK, 0);
		last.p.ack = last.s.ack = last.c.seq;
		whole.cost[i] += answer(&last, ACK, 0, other);
	}
	expect(C, before, 7 * rounds);
	report(&client);
	report(&large);
	report(&small);
	report(&ack);
	report(&whole);
}

static void rate(uint32_t client)
{
	struct conn n;
	uint64_t start;

	open_conn(&n, client, true);
	start = now();
	for (uint32_t i = 0; i < rounds; i++) {
		ask(&n, 64);
		answer(&n, ACK, 8, true);
	}
	printf("rate %llu\n", (unsigned long long)(now() - start) / rounds);
}

/* What the other guest says, thrown away by whoever does so. */
static void thrown_away(void)
{
	static const uint32_t lens[] = { 1448, 8, 0 };
	struct path paths[] = { path("other-1448"), path("other-8"), path("other-ack") };
	struct end s = { .seq = GUEST_ISN };

	for (int k = 0; k < 3; k++) {
		for (uint32_t i = 0; i < rounds; i++)
			paths[k].cost[i] = say(Q, 0, &s, ACK, lens[k]);
		report(&paths[k]);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[1] : "";
	uint32_t flows = argc > 4 ? atoi(argv[4]) : 1; /* rate: the client */

	if (argc < 4) {
		fprintf(stderr, "cost: see the top of cost.c\n");
		return 2;
	}
	rounds = atoi(argv[2]);
	offset = strtoul(argv[3], NULL, 0);
	sock = socket(AF_PACKET, SOCK_RAW, 0);
	for (int i = 0; i < DEVS; i++) {
		char name[2] = { names[i] };

		to[i] = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(name), .sll_halen = 6 };
		if (sock < 0 || !to[i].sll_ifindex)
			die(name);
	}
	if (!strcmp(what, "foreign")) {
		foreign("foreign-port", X, Y);
		foreign("foreign-bridge", M, N);
	} else if (!strcmp(what, "secondary")) {
		secondary();
	} else if (!strcmp(what, "primary") || !strcmp(what, "alone")) {
		primary(*what == 'p', flows);
	} else if (!strcmp(what, "rate")) {
		rate(flows);
	} else {
		thrown_away();
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * bench: the server and the client of the measurements.
 *
 *   bench server PORT STATS [quickack]
 *   bench client ADDR PORT WORKLOAD CONNECTIONS WARMUP-MS MS MB
 *
 * A connection begins with what it is for (struct hello). Then each REQ bytes are answered with RESP bytes, whose
 * values depend on their place in the stream only: two servers say the same. STATS is a file of three 64 bit numbers,
 * the server's connections, bytes received and bytes sent. The client prints one JSON object. Downloads are measured
 * whole, MB altogether; all else for MS milliseconds. Of the connections of workload idle 16 at a time are in use, in turn.
 * A datagram is answered with itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS		256
#define PERIOD		65536
#define STALL_NS	(5 * 1000000000ULL)
#define IN_USE		16

struct hello {
	uint64_t req, resp;
	uint64_t once;		/* the server closes after one answer */
};

struct conn {
	int fd;
	bool open;		/* client: connected; server: said hello */
	uint32_t events;
	struct hello hello;
	uint64_t got, pos;	/* bytes of the present request; bytes sent */
	uint64_t owed;		/* server: bytes to send */
	uint64_t todo;		/* client: bytes of requests to send */
	bool flying;		/* client: the answer is not complete */
	bool ready;		/* client, idle: the first answer has come */
	uint64_t since;
};

static uint8_t pattern[2 * PERIOD], sink[262144];
static int ep;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct conn *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (c->events == events)
		return;
	epoll_ctl(ep, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e);
	c->events = events;
}

static void set(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

/* Send up to @n bytes of the stream; return what the socket took. */
static uint64_t give(struct conn *c, uint64_t n)
{
	uint64_t done = 0;

	while (done < n) {
		size_t part = n - done < PERIOD ? n - done : PERIOD;
		ssize_t k = send(c->fd, pattern + c->pos % PERIOD, part, MSG_NOSIGNAL);

		if (k <= 0)
			break;
		c->pos += k;
		done += k;
		if ((size_t)k < part)
			break;
	}
	return done;
}

/* ---- server */

static struct stats {
	uint64_t conns, in, out;
} *stats;

static bool quickack;

static int listen_on(int family, int type, uint16_t port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	err = family == AF_INET6 ? bind(fd, (struct sockaddr *)&a6, sizeof(a6)) : bind(fd, (struct sockaddr *)&a4, sizeof(a4));
	if (fd < 0 || err || (type == SOCK_STREAM && listen(fd, 4096)))
		die("listen");
	return fd;
}

static void server_close(struct conn *c)
{
	close(c->fd);
	free(c);
}

/* Return false at the end of the connection. */
static bool server_read(struct conn *c)
{
	ssize_t n;

	if (!c->open) {
		n = recv(c->fd, &c->hello, sizeof(c->hello), MSG_PEEK);
		if (n < (ssize_t)sizeof(c->hello))
			return n > 0 || (n < 0 && errno == EAGAIN);
		recv(c->fd, &c->hello, sizeof(c->hello), 0);
		c->open = true;
	}
	n = recv(c->fd, sink, sizeof(sink), 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if (quickack)
		set(c->fd, IPPROTO_TCP, TCP_QUICKACK, 1);
	stats->in += n;
	c->got += n;
	for (; c->got >= c->hello.req; c->got -= c->hello.req)
		c->owed += c->hello.resp;
	return true;
}

static void server_step(struct conn *c, uint32_t events)
{
	uint64_t n;

	if (events & (EPOLLERR | EPOLLHUP) || (events & EPOLLIN && !server_read(c))) {
		server_close(c);
		return;
	}
	n = give(c, c->owed);
	c->owed -= n;
	stats->out += n;
	if (c->pos && !c->owed && c->hello.once)
		server_close(c);
	else
		watch(c, c->owed ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void server_accept(struct conn *listener)
{
	int fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		c->fd = fd;
		set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		stats->conns++;
		watch(c, EPOLLIN);
	}
}

static void server_datagrams(struct conn *c)
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(c->fd, sink, sizeof(sink), 0, (struct sockaddr *)&from, &len)) >= 0) {
		stats->in += n;
		if (sendto(c->fd, sink, n, 0, (struct sockaddr *)&from, len) == n)
			stats->out += n;
		len = sizeof(from);
	}
}

static _Noreturn void server(int argc, char **argv)
{
	static struct conn listener[4];
	struct epoll_event e[EVENTS];
	int fd = open(argv[3], O_RDWR | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || ftruncate(fd, sizeof(*stats)))
		die(argv[3]);
	stats = mmap(NULL, sizeof(*stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	quickack = argc > 4 && !strcmp(argv[4], "quickack");
	for (int i = 0; i < 4; i++) {
		listener[i].fd = listen_on(i % 2 ? AF_INET6 : AF_INET, i < 2 ? SOCK_STREAM : SOCK_DGRAM, atoi(argv[2]));
		watch(&listener[i], EPOLLIN);
	}
	for (;;) {
		int n = epoll_wait(ep, e, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = e[i].data.ptr;

			if (c == &listener[0] || c == &listener[1])
				server_accept(c);
			else if (c == &listener[2] || c == &listener[3])
				server_datagrams(c);
			else
				server_step(c, e[i].events);
		}
	}
}

/* ---- client */

static struct workload {
	const char *name;
	uint64_t req, resp;
	bool once, up, down, idle, udp;
} workloads[] = {
	{ .name = "down", .req = 64, .once = true, .down = true },
	{ .name = "up", .req = UINT64_MAX, .up = true },
	{ .name = "rr64", .req = 64, .resp = 64 },
	{ .name = "rr16k", .req = 64, .resp = 16384 },
	{ .name = "idle", .req = 64, .resp = 64, .idle = true },
	{ .name = "udp", .req = 64, .resp = 64, .udp = true },
	{ .name = "crr", .req = 64, .resp = 64, .once = true },
	{ }
};

static struct workload *work;
static struct addrinfo *server_addr;
static uint64_t begin, end, progress, ops, bytes, errors;
static uint32_t *latency;
static size_t latencies, room;
static unsigned int alive;
static struct conn *conns;
static int n_conns, flying, opened;
static uint64_t warm_ns, run_ns;

static bool measuring(uint64_t t)
{
	return t >= begin && t < end;
}

static void note(uint64_t t, uint64_t since)
{
	if (!measuring(t))
		return;
	ops++;
	if (latencies == room) {
		room = room ? 2 * room : 65536;
		latency = realloc(latency, room * sizeof(*latency));
	}
	latency[latencies++] = t - since;
}

static void client_open(struct conn *c)
{
	*c = (struct conn){ .hello = { work->req, work->resp, work->once }, .since = now() };
	c->fd = socket(server_addr->ai_family, server_addr->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (!work->udp)
		set(c->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (connect(c->fd, server_addr->ai_addr, server_addr->ai_addrlen) && errno != EINPROGRESS)
		die("connect");
	watch(c, EPOLLOUT);
	alive++;
}

static void client_close(struct conn *c, bool error)
{
	errors += error;
	close(c->fd);
	alive--;
	if (work->once && !work->down && !error && now() < end)
		client_open(c);
	else
		c->fd = -1;
}

static void client_connected(struct conn *c)
{
	struct { struct hello hello; uint8_t first[64]; } start = { .hello = c->hello };

	c->open = true;
	c->pos = 0;
	if (work->udp) {
		c->flying = true;
		give(c, c->hello.req);
		return;
	}
	if (work->up) {
		send(c->fd, &start.hello, sizeof(start.hello), MSG_NOSIGNAL);
		c->flying = true;
		return;
	}
	/* The first request goes with the hello, as it would with HTTP. */
	memcpy(start.first, pattern, sizeof(start.first));
	c->pos = sizeof(start.first);
	send(c->fd, &start, sizeof(start), MSG_NOSIGNAL);
	c->flying = true;
}

/* Ask on the next connection that waits for nothing, if not enough are in use. */
static void client_next(uint64_t t)
{
	static int at;

	for (int i = 0; i < n_conns && flying < IN_USE && t < end; i++) {
		struct conn *c = &conns[at++ % n_conns];

		if (!c->open || c->fd < 0 || c->flying)
			continue;
		c->flying = true;
		c->since = t;
		c->todo = c->hello.req;
		c->todo -= give(c, c->todo);
		flying++;
	}
}

/* A first answer opens a connection; when all are open the time begins. */
static void client_rests(struct conn *c, uint64_t t)
{
	c->flying = false;
	if (c->ready) {
		note(t, c->since);
		flying--;
	} else {
		c->ready = true;
		if (++opened == n_conns) {
			begin = t + warm_ns;
			end = begin + run_ns;
		}
	}
	if (opened == n_conns)
		client_next(t);
}

/* Take what came; a whole answer asks for the next one. Return false at the end. */
static bool client_read(struct conn *c)
{
	ssize_t n = recv(c->fd, sink, sizeof(sink), 0);
	uint64_t t = now();

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n < 0 || (!n && c->flying))
		errors++;
	if (n <= 0)
		return false;
	progress = t;
	if (measuring(t))
		bytes += n;
	c->got += n;
	if (!c->flying || c->got < c->hello.resp)
		return true;
	c->got = 0;
	if (work->idle) {
		client_rests(c, t);
		return true;
	}
	note(t, c->since);
	c->flying = t < end && !work->once;
	c->todo = c->flying ? c->hello.req : 0;
	c->since = t;
	return true;
}

/* The data that the other side has acknowledged. */
static uint64_t acked(const struct conn *c)
{
	int queued = 0;

	ioctl(c->fd, SIOCOUTQ, &queued);
	return c->pos > (uint64_t)queued ? c->pos - queued : 0;
}

static void client_step(struct conn *c, uint32_t events)
{
	bool done;

	if (events & EPOLLERR) {
		client_close(c, true);
		return;
	}
	if (!c->open)
		client_connected(c);
	if (events & EPOLLIN && !client_read(c)) {
		client_close(c, false);
		return;
	}
	if (work->up && now() < end) {
		if (give(c, 4 * PERIOD))
			progress = now();
		watch(c, EPOLLIN | EPOLLOUT);
		return;
	}
	if (work->up) {
		c->flying = false;
		shutdown(c->fd, SHUT_WR);
		watch(c, EPOLLIN);
		return;
	}
	c->todo -= give(c, c->todo);
	done = !c->flying && !work->once && (!work->idle || now() >= end);
	if (done)
		client_close(c, false);
	else
		watch(c, c->todo ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t quantile(double q)
{
	return latencies ? latency[(size_t)(q * (latencies - 1))] : 0;
}

static uint64_t all_acked(const struct conn *conns, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		if (conns[i].fd >= 0)
			sum += acked(&conns[i]);
	return sum;
}

static int client(char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	int n = atoi(argv[5]);
	struct epoll_event e[EVENTS];
	uint64_t first = 0, last = 0, started = now(), stopped = 0;
	bool began = false;

	for (work = workloads; work->name && strcmp(work->name, argv[4]); work++)
		;
	if (!work->name || getaddrinfo(argv[2], argv[3], &hints, &server_addr))
		return 2;
	server_addr->ai_socktype = work->udp ? SOCK_DGRAM : SOCK_STREAM;
	conns = calloc(n, sizeof(*conns));
	n_conns = n;
	warm_ns = atoi(argv[6]) * 1000000ULL;
	run_ns = atoi(argv[7]) * 1000000ULL;
	begin = work->idle ? UINT64_MAX : started + warm_ns;
	end = work->idle ? UINT64_MAX : begin + run_ns;
	if (work->down) {
		work->resp = atoi(argv[8]) * 1000000ULL / n;
		begin = started;
		end = UINT64_MAX;
	}
	progress = started;
	for (int i = 0; i < n; i++)
		client_open(&conns[i]);
	while (alive) {
		int got = epoll_wait(ep, e, EVENTS, 20);
		uint64_t t = now();

		if (work->up && !began && t >= begin) {
			first = all_acked(conns, n);
			began = true;
			begin = t;
		}
		if (work->up && !stopped && t >= end) {
			last = all_acked(conns, n);
			stopped = t;
			for (int i = 0; i < n; i++)
				if (conns[i].fd >= 0)
					client_step(&conns[i], 0);
		}
		for (int i = 0; i < got; i++) {
			struct conn *c = e[i].data.ptr;

			if (c->fd >= 0)
				client_step(c, e[i].events);
		}
		if (work->idle && t >= end)
			break;
		if (t > progress + STALL_NS) {
			errors += alive;
			break;
		}
	}
	if (work->up) {
		bytes = last - first;
		end = stopped ? stopped : now();
	}
	if (work->down)
		end = progress;
	qsort(latency, latencies, sizeof(*latency), by_size);
	printf("{\"ns\":%llu,\"bytes\":%llu,\"ops\":%llu,\"p50\":%llu,\"p99\":%llu,\"p999\":%llu,\"errors\":%llu}\n",
	       (unsigned long long)(end - begin), (unsigned long long)bytes, (unsigned long long)ops,
	       (unsigned long long)quantile(0.5), (unsigned long long)quantile(0.99),
	       (unsigned long long)quantile(0.999), (unsigned long long)errors);
	return 0;
}

int main(int argc, char **argv)
{
	const struct rlimit files = { 65536, 65536 };

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (i % PERIOD) * 2654435761u >> 13;
	ep = epoll_create1(EPOLL_CLOEXEC);
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	if (argc >= 4 && !strcmp(argv[1], "server"))
		server(argc, argv);
	if (argc == 9 && !strcmp(argv[1], "client"))
		return client(argv);
	fprintf(stderr, "bench: see the top of bench.c\n");
	return 2;
}

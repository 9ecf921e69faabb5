// SPDX-License-Identifier: GPL-2.0
/* The server: one thread, one poll loop, and a control socket that can freeze, dump and load it. */
#include "replica.h"

#include <errno.h>
#include <getopt.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_CONNS	1024
#define DUMP_MAGIC	0x6b636f6c6f313030ULL

static struct {
	int listen[2], ctl;
	struct conn *conn[MAX_CONNS];
	unsigned int conns;
	uint64_t accepted, wrong;
	bool frozen, banner;
	enum fault fault;
	uint64_t fault_at;
} srv = { .ctl = -1 };

static void conn_close(unsigned int i)
{
	close(srv.conn[i]->fd);
	free(srv.conn[i]);
	srv.conn[i] = srv.conn[--srv.conns];
}

static void conn_reset(unsigned int i)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(srv.conn[i]->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	conn_close(i);
}

static void accept_all(void)
{
	for (int l = 0; l < 2; l++) {
		int fd;

		while (srv.conns < MAX_CONNS && (fd = accept4(srv.listen[l], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
			struct conn *c = calloc(1, sizeof(*c));

			c->fd = fd;
			set_nodelay(fd);
			c->app.greet = srv.banner ? strlen(BANNER) : 0;
			srv.conn[srv.conns++] = c;
			srv.accepted++;
		}
	}
}

static bool parse_request(struct app *a)
{
	unsigned long long down, up;
	unsigned int flags, chunk;

	a->in[a->in_len] = 0;
	if (!strcmp(a->in, "echo\n")) {
		a->state = APP_ECHO;
		return true;
	}
	if (sscanf(a->in, "stream %llu %llu %u %u", &down, &up, &flags, &chunk) != 4)
		return false;
	a->state = APP_STREAM;
	a->down = down;
	a->up = up;
	a->flags = flags;
	a->chunk = chunk;
	return true;
}

/* Take what the client sent. Return -1 when the connection is of no more use, 0 when there is nothing to read now. */
static int conn_read(struct conn *c)
{
	struct app *a = &c->app;
	static uint8_t buf[65536];
	size_t room = sizeof(buf), good;
	ssize_t n;
	char *end;

	if (a->state == APP_REQUEST)
		room = sizeof(a->in) - 1 - a->in_len;
	else if (a->state == APP_ECHO)
		room = sizeof(a->out) - a->out_len;
	if (!room)
		return a->state == APP_REQUEST ? -1 : 0;

	n = recv(c->fd, buf, room, a->state == APP_REQUEST ? MSG_PEEK : 0);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (!n) {
		a->fin_seen = true;
		return a->state == APP_STREAM && a->received < a->up ? -1 : 0;
	}

	switch (a->state) {
	case APP_REQUEST:
		end = memchr(buf, '\n', n);
		n = recv(c->fd, a->in + a->in_len, end ? end + 1 - (char *)buf : n, 0);
		a->in_len += n;
		if (end && !parse_request(a))
			return -1;
		break;
	case APP_ECHO:
		memcpy(a->out + a->out_len, buf, n);
		a->out_len += n;
		a->received += n;
		break;
	case APP_STREAM:
		good = stream_check(buf, a->received, n, SEED_UP);
		if (good < (size_t)n || a->received + n > a->up) {
			srv.wrong++;
			fprintf(stderr, "replica: wrong byte %llu from the client\n", (unsigned long long)(a->received + good));
			return -1;
		}
		a->received += n;
		break;
	}
	return n;
}

/* Which position of the stream this server stops at, with the fault it was started with. */
static uint64_t stream_end(const struct app *a, enum fault fault)
{
	switch (fault) {
	case FAULT_STOP:
	case FAULT_FIN:
	case FAULT_RST:
		return srv.fault_at < a->down ? srv.fault_at : a->down;
	case FAULT_MORE:
		return a->down + srv.fault_at;
	default:
		return a->down;
	}
}

static enum fault fault_of(const struct app *a)
{
	return a->flags & FLAG_FAULT ? srv.fault : FAULT_NONE;
}

/* What to send next: into buf, or 0 if there is nothing. */
static size_t next_bytes(const struct app *a, uint8_t *buf, size_t size)
{
	enum fault fault = fault_of(a);
	uint64_t left;

	if (a->greet) {
		memcpy(buf, BANNER + strlen(BANNER) - a->greet, a->greet);
		return a->greet;
	}
	if (a->state == APP_ECHO) {
		memcpy(buf, a->out, a->out_len);
		return a->out_len;
	}
	if (a->state != APP_STREAM)
		return 0;
	left = stream_end(a, fault) - a->sent;
	if (a->chunk && size > a->chunk)
		size = a->chunk;
	if (size > left)
		size = left;
	stream_fill(buf, a->sent, size, SEED_DOWN);
	if (fault == FAULT_FLIP && a->sent <= srv.fault_at && srv.fault_at < a->sent + size)
		buf[srv.fault_at - a->sent] ^= 1;
	return size;
}

static void sent_bytes(struct app *a, size_t n)
{
	if (a->greet) {
		a->greet -= n;
	} else if (a->state == APP_ECHO) {
		memmove(a->out, a->out + n, a->out_len - n);
		a->out_len -= n;
		a->sent += n;
	} else {
		a->sent += n;
	}
}

/* Send what there is. Return -1 when the connection is of no more use, 0 when it can take no more now. */
static int conn_write(struct conn *c)
{
	static uint8_t buf[65536];
	size_t len = next_bytes(&c->app, buf, sizeof(buf));
	ssize_t n;

	if (!len)
		return 0;
	n = send(c->fd, buf, len, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	sent_bytes(&c->app, n);
	return n;
}

/* Whether the server's side of the stream has ended. */
static bool all_said(const struct app *a)
{
	enum fault fault = fault_of(a);

	if (a->greet || a->out_len)
		return false;
	if (a->state != APP_STREAM)
		return a->fin_seen;
	if (a->sent < stream_end(a, fault) || fault == FAULT_STOP || fault == FAULT_RST)
		return false;
	return fault == FAULT_FIN || a->flags & FLAG_EARLY_FIN || a->received == a->up;
}

/* All that comes before the reset has left: its sequence number is then the next. */
static bool wants_reset(const struct conn *c)
{
	int unsent = 1;

	return c->app.state == APP_STREAM && fault_of(&c->app) == FAULT_RST && c->app.sent == stream_end(&c->app, FAULT_RST) &&
	       !ioctl(c->fd, SIOCOUTQNSD, &unsent) && !unsent;
}

/* Return false if the connection is gone, and another one is at its index. */
static bool conn_step(unsigned int i, short events)
{
	struct conn *c = srv.conn[i];
	struct app *a = &c->app;
	int round, got, put;

	if (events & POLLERR)
		goto reset;
	for (round = 0; round < 16; round++) {
		got = a->fin_seen ? 0 : conn_read(c);
		put = a->fin_sent ? 0 : conn_write(c);
		if (got < 0 || put < 0)
			goto reset;
		if (!got && !put)
			break;
	}
	if (wants_reset(c))
		goto reset;
	if (!a->fin_sent && all_said(a)) {
		shutdown(c->fd, SHUT_WR);
		a->fin_sent = true;
	}
	if (!a->fin_sent || !a->fin_seen)
		return true;
	conn_close(i);
	return false;
reset:
	conn_reset(i);
	return false;
}

static int dump(const char *path)
{
	uint64_t head[4] = { DUMP_MAGIC, 0, srv.accepted, srv.wrong };
	FILE *f = fopen(path, "w");
	int err = f ? 0 : -errno;

	accept_all();
	head[1] = srv.conns;
	if (f)
		fwrite(head, sizeof(head), 1, f);
	for (unsigned int i = 0; !err && i < srv.conns; i++)
		err = conn_dump(srv.conn[i], f);
	if (f && fclose(f) && !err)
		err = -errno;
	return err;
}

static int load(const char *path)
{
	uint64_t head[4];
	FILE *f = fopen(path, "r");
	int err = 0;

	if (!f)
		return -errno;
	if (fread(head, sizeof(head), 1, f) != 1 || head[0] != DUMP_MAGIC || head[1] > MAX_CONNS)
		err = -EINVAL;
	accept_all();
	for (; !err && srv.conns; srv.conns--, free(srv.conn[srv.conns]))
		err = conn_drop(srv.conn[srv.conns - 1]);
	for (unsigned int i = 0; !err && i < head[1]; i++) {
		struct conn *c = calloc(1, sizeof(*c));

		err = conn_load(c, f);
		if (err)
			free(c);
		else
			srv.conn[srv.conns++] = c;
	}
	srv.accepted = head[2];
	srv.wrong = head[3];
	fclose(f);
	return err;
}

static void control(void)
{
	int fd = accept(srv.ctl, NULL, NULL), err = 0;
	char line[512], cmd[16] = "", file[256] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

	if (n > 0) {
		line[n] = 0;
		sscanf(line, "%15s %255s", cmd, file);
	}
	if (!strcmp(cmd, "freeze"))
		srv.frozen = true;
	else if (!strcmp(cmd, "thaw"))
		srv.frozen = false;
	else if (!strcmp(cmd, "dump"))
		err = srv.frozen ? dump(file) : -EBUSY;
	else if (!strcmp(cmd, "load"))
		err = srv.frozen ? load(file) : -EBUSY;
	else if (strcmp(cmd, "stat"))
		err = -EINVAL;
	if (fd < 0)
		return;
	dprintf(fd, "%s%s conns %u accepted %llu wrong %llu\n", err ? "error: " : "ok", err ? strerror(-err) : "",
		srv.conns, (unsigned long long)srv.accepted, (unsigned long long)srv.wrong);
	close(fd);
}

static void serve(void)
{
	static struct pollfd p[MAX_CONNS + 3];

	for (;;) {
		unsigned int i, conns = srv.frozen ? 0 : srv.conns;
		int timeout = -1;

		p[0] = (struct pollfd){ .fd = srv.ctl, .events = POLLIN };
		for (i = 0; i < 2; i++)
			p[1 + i] = (struct pollfd){ .fd = srv.frozen ? -1 : srv.listen[i], .events = POLLIN };
		for (i = 0; i < conns; i++) {
			struct conn *c = srv.conn[i];
			uint8_t byte[1];

			p[3 + i] = (struct pollfd){ .fd = c->fd };
			if (!c->app.fin_seen && !(c->app.state == APP_ECHO && c->app.out_len == sizeof(c->app.out)))
				p[3 + i].events |= POLLIN;
			if (!c->app.fin_sent && next_bytes(&c->app, byte, sizeof(byte)))
				p[3 + i].events |= POLLOUT;
			if (c->app.state == APP_STREAM && fault_of(&c->app) == FAULT_RST)
				timeout = 5;
		}
		if (poll(p, 3 + conns, timeout) < 0 && errno != EINTR)
			return;
		/* From the end, because one that goes is replaced by the last. */
		for (i = conns; i-- > 0;)
			if (p[3 + i].revents || timeout > 0)
				conn_step(i, p[3 + i].revents);
		if (!srv.frozen)
			accept_all();
		if (p[0].revents)
			control();
	}
}

static int listen_on(int family, uint16_t port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, err;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	err = family == AF_INET6 ? bind(fd, (struct sockaddr *)&a6, sizeof(a6)) : bind(fd, (struct sockaddr *)&a4, sizeof(a4));
	if (fd < 0 || err || listen(fd, 128)) {
		perror("replica: listen");
		exit(RES_USAGE);
	}
	return fd;
}

static int unix_socket(const char *path, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(addr->sun_path)) {
		fprintf(stderr, "replica: path too long: %s\n", path);
		exit(RES_USAGE);
	}
	strcpy(addr->sun_path, path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void control_on(const char *path)
{
	struct sockaddr_un addr;

	srv.ctl = unix_socket(path, &addr);
	unlink(path);
	if (bind(srv.ctl, (struct sockaddr *)&addr, sizeof(addr)) || listen(srv.ctl, 8)) {
		perror(path);
		exit(RES_USAGE);
	}
}

static void set_fault(const char *s)
{
	static const char * const name[] = { "", "flip@", "stop@", "more@", "fin@", "rst@" };

	for (int i = FAULT_FLIP; i <= FAULT_RST; i++) {
		if (strncmp(s, name[i], strlen(name[i])))
			continue;
		srv.fault = i;
		srv.fault_at = number(s + strlen(name[i]), "--fault");
		return;
	}
	fprintf(stderr, "replica: no such fault: %s\n", s);
	exit(RES_USAGE);
}

int server_main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "ctl", required_argument, NULL, 'c' },
		{ "banner", no_argument, NULL, 'b' },
		{ "fault", required_argument, NULL, 'f' },
		{ }
	};
	uint16_t port = 7000;
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) >= 0) {
		switch (o) {
		case 'p': port = number(optarg, "--port"); break;
		case 'c': control_on(optarg); break;
		case 'b': srv.banner = true; break;
		case 'f': set_fault(optarg); break;
		default: return RES_USAGE;
		}
	}
	srv.listen[0] = listen_on(AF_INET, port);
	srv.listen[1] = listen_on(AF_INET6, port);
	serve();
	perror("replica: poll");
	return RES_WRONG;
}

/* Send one command to a server's control socket and print its answer. */
int ctl_main(int argc, char **argv)
{
	struct sockaddr_un addr;
	int fd = unix_socket(argv[0], &addr);
	char line[512] = "";
	ssize_t n;

	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		perror(argv[0]);
		return RES_CONNECT;
	}
	dprintf(fd, "%s %s\n", argv[1], argc > 2 ? argv[2] : "");
	n = read(fd, line, sizeof(line) - 1);
	if (n <= 0)
		return RES_SHORT;
	fputs(line, stdout);
	return strncmp(line, "ok", 2) ? RES_WRONG : RES_OK;
}

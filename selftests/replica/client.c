// SPDX-License-Identifier: GPL-2.0
/* The client: checks every byte, and says what it saw in one line and in its exit status. */
#include "replica.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct {
	const char *host, *port;
	bool echo, banner, half_close, abort;
	uint64_t down, up;
	uint64_t lines, interval;	/* of echo */
	uint64_t chunk, rate, repeat, pause, abort_at, line_size, timeout;
	uint32_t flags;
	uint16_t sport;
} opt = { .repeat = 1, .line_size = 64, .timeout = 20 };

static volatile sig_atomic_t hurried;

static struct {
	uint64_t down, up, conns, stall, started;
	uint64_t progress, progress_at;
	int64_t wrong_at;
} seen = { .wrong_at = -1 };

/* Note that the connection got on; return false when it has not for too long. */
static bool progress(uint64_t now_at)
{
	uint64_t now = now_ms(), idle = now - seen.progress_at;

	if (idle > seen.stall)
		seen.stall = idle;
	if (now_at != seen.progress) {
		seen.progress = now_at;
		seen.progress_at = now;
	}
	return idle < opt.timeout * 1000;
}

/* SIGUSR1: no more pauses, no more repetitions, come to an end. */
static void hurry(int sig)
{
	(void)sig;
	opt.rate = 0;
	opt.interval = 0;
	hurried = 1;
}

/* SIGUSR2: only stalls that end from now on are of interest. */
static void forget_stall(int sig)
{
	(void)sig;
	seen.stall = 0;
}

static enum result connect_result(void)
{
	return errno == ECONNRESET || errno == ECONNREFUSED ? RES_RESET : RES_CONNECT;
}

/* Connect without blocking, so that the time limit holds here too. */
static enum result open_connection(int *fd)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;
	socklen_t len = sizeof(errno);
	int one = 1;

	if (getaddrinfo(opt.host, opt.port, &hints, &ai)) {
		fprintf(stderr, "replica: not an address and port: %s %s\n", opt.host, opt.port);
		return RES_USAGE;
	}
	*fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (opt.sport) {
		struct sockaddr_in6 a = { .sin6_family = ai->ai_family, .sin6_port = htons(opt.sport) };

		setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(*fd, (struct sockaddr *)&a, ai->ai_addrlen)) {
			perror("replica: bind");
			return RES_USAGE;
		}
	}
	set_nodelay(*fd);
	if (connect(*fd, ai->ai_addr, ai->ai_addrlen) && errno != EINPROGRESS)
		return connect_result();
	freeaddrinfo(ai);
	while (!poll(&(struct pollfd){ .fd = *fd, .events = POLLOUT }, 1, 50))
		if (!progress(seen.progress))
			return RES_TIMEOUT;
	getsockopt(*fd, SOL_SOCKET, SO_ERROR, &errno, &len);
	return errno ? connect_result() : RES_OK;
}

/* Send all of a short text, or receive exactly LEN bytes. */
static enum result talk(int fd, char *buf, size_t len, bool send_it)
{
	size_t done = 0;

	while (done < len) {
		struct pollfd p = { .fd = fd, .events = send_it ? POLLOUT : POLLIN };
		ssize_t n;

		poll(&p, 1, 50);
		n = send_it ? send(fd, buf + done, len - done, MSG_NOSIGNAL) : recv(fd, buf + done, len - done, 0);
		if (!n && !send_it)
			return RES_SHORT;
		if (n < 0 && errno != EAGAIN)
			return errno == ECONNRESET || errno == EPIPE ? RES_RESET : RES_TIMEOUT;
		done += n > 0 ? n : 0;
		if (!progress(seen.progress + (n > 0)))
			return RES_TIMEOUT;
	}
	return RES_OK;
}

static enum result run_echo(int fd)
{
	char *line = malloc(opt.line_size + 32), *back = malloc(opt.line_size + 32);
	enum result res = RES_OK;

	for (uint64_t i = 0; i < opt.lines && !res; i++) {
		size_t len = sprintf(line, "%" PRIu64 " ", i);

		while (len < opt.line_size - 1)
			line[len] = 'a' + (i + len) % 26, len++;
		line[len++] = '\n';
		res = talk(fd, line, len, true);
		if (!res)
			res = talk(fd, back, len, false);
		if (!res && memcmp(line, back, len)) {
			seen.wrong_at = seen.down;
			res = RES_WRONG;
		}
		if (!res) {
			seen.up += len;
			seen.down += len;
		}
		usleep(opt.interval * 1000);
		seen.progress_at = now_ms();
	}
	free(line);
	free(back);
	return res;
}

static enum result run_stream(int fd)
{
	uint64_t sent = 0, received = 0, started = now_ms();
	static uint8_t buf[65536];
	/* At a given rate: twenty portions a second. */
	size_t most = opt.rate && opt.rate / 20 < sizeof(buf) ? opt.rate / 20 + 1 : sizeof(buf);
	bool fin_sent = false, ended = false;

	for (;;) {
		size_t give = opt.up - sent;
		struct pollfd p = { .fd = fd };
		uint64_t rate = opt.rate, due = rate ? rate * (now_ms() - started) / 1000 : UINT64_MAX;
		bool paused = received > due, full = sent > due;
		int unacked = 0, wait = 50;
		ssize_t n;

		/* The server has ended its side, this one goes on. */
		if (ended && !give)
			return RES_OK;
		if (!paused && !ended)
			p.events |= POLLIN;
		if (give && !full)
			p.events |= POLLOUT;
		/* Until one of the two may go on. */
		if (paused || full) {
			uint64_t ahead = (paused && (!full || received < sent) ? received : sent) - due;

			wait = ahead * 1000 / rate < 50 ? ahead * 1000 / rate + 1 : 50;
		}
		poll(&p, 1, wait);

		if (opt.abort && received + sent >= opt.abort_at) {
			struct linger linger = { .l_onoff = 1 };

			setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
			return RES_OK;
		}
		if (give && p.revents & (POLLOUT | POLLERR)) {
			if (give > most)
				give = most;
			if (opt.chunk && give > opt.chunk)
				give = opt.chunk;
			stream_fill(buf, sent, give, SEED_UP);
			n = send(fd, buf, give, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN)
				return RES_RESET;
			if (n > 0) {
				sent += n;
				seen.up += n;
			}
		}
		if (sent == opt.up && opt.half_close && !fin_sent) {
			shutdown(fd, SHUT_WR);
			fin_sent = true;
		}
		if (!paused && !ended && p.revents & (POLLIN | POLLERR | POLLHUP)) {
			n = recv(fd, buf, most, 0);
			if (n < 0 && errno != EAGAIN)
				return RES_RESET;
			if (n > 0) {
				size_t good = stream_check(buf, received, n, SEED_DOWN);

				if (good < (size_t)n || received + n > opt.down) {
					seen.wrong_at = received + good;
					return RES_WRONG;
				}
				received += n;
				seen.down += n;
			}
			if (!n && received < opt.down)
				return RES_SHORT;
			ended = !n;
		}
		ioctl(fd, TIOCOUTQ, &unacked);
		if (!progress(received + sent - unacked))
			return RES_TIMEOUT;
	}
}

/* Wait until the other side has seen our end, so that a reset which comes late is not missed. */
static enum result finish(int fd)
{
	char byte;

	shutdown(fd, SHUT_WR);
	for (;;) {
		ssize_t n;

		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 50);
		n = recv(fd, &byte, 1, 0);
		if (!n)
			return RES_OK;
		if (n > 0)
			return RES_WRONG;
		if (errno != EAGAIN)
			return RES_RESET;
		if (!progress(seen.progress))
			return RES_TIMEOUT;
	}
}

static enum result run_one(void)
{
	char text[128];
	enum result res;
	int fd = -1;

	seen.progress_at = now_ms();
	res = open_connection(&fd);
	if (!res && opt.banner) {
		res = talk(fd, text, strlen(BANNER), false);
		if (!res && memcmp(text, BANNER, strlen(BANNER)))
			res = RES_WRONG;
	}
	if (!res) {
		int n = opt.echo ? sprintf(text, "echo\n") :
			sprintf(text, "stream %" PRIu64 " %" PRIu64 " %u %" PRIu64 "\n", opt.down, opt.up, opt.flags, opt.chunk);

		res = talk(fd, text, n, true);
	}
	if (!res)
		res = opt.echo ? run_echo(fd) : run_stream(fd);
	if (!res && !opt.abort)
		res = finish(fd);
	seen.conns += !res;
	if (fd >= 0)
		close(fd);
	return res;
}

static void parse_options(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "chunk", required_argument, NULL, 'c' },
		{ "rate", required_argument, NULL, 'r' },
		{ "repeat", required_argument, NULL, 'n' },
		{ "pause", required_argument, NULL, 'p' },
		{ "sport", required_argument, NULL, 's' },
		{ "size", required_argument, NULL, 'z' },
		{ "rst-at", required_argument, NULL, 'a' },
		{ "banner", no_argument, NULL, 'b' },
		{ "early-fin", no_argument, NULL, 'e' },
		{ "half-close", no_argument, NULL, 'h' },
		{ "fault", no_argument, NULL, 'f' },
		{ }
	};
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) >= 0) {
		switch (o) {
		case 't': opt.timeout = number(optarg, "--timeout"); break;
		case 'c': opt.chunk = number(optarg, "--chunk"); break;
		case 'r': opt.rate = number(optarg, "--rate"); break;
		case 'n': opt.repeat = number(optarg, "--repeat"); break;
		case 'p': opt.pause = number(optarg, "--pause"); break;
		case 's': opt.sport = number(optarg, "--sport"); break;
		case 'z': opt.line_size = number(optarg, "--size"); break;
		case 'a': opt.abort_at = number(optarg, "--rst-at"); opt.abort = true; break;
		case 'b': opt.banner = true; break;
		case 'e': opt.flags |= FLAG_EARLY_FIN; break;
		case 'h': opt.half_close = true; break;
		case 'f': opt.flags |= FLAG_FAULT; break;
		default: exit(RES_USAGE);
		}
	}
}

/* argv: client ADDR PORT MODE NUMBER [NUMBER] [OPTIONS] */
int client_main(int argc, char **argv)
{
	static const char * const name[] = { "ok", "wrong", "usage", "reset", "timeout", "connect", "short" };
	const char *mode = argv[3];
	uint64_t a, b = 0;
	int used = 5;
	enum result res = RES_OK;

	opt.host = argv[1];
	opt.port = argv[2];
	a = number(argv[4], mode);
	if (!strcmp(mode, "both") || !strcmp(mode, "echo")) {
		if (argc < 6)
			return RES_USAGE;
		b = number(argv[5], mode);
		used = 6;
	}
	if (!strcmp(mode, "get")) {
		opt.down = a;
	} else if (!strcmp(mode, "put")) {
		opt.up = a;
	} else if (!strcmp(mode, "both")) {
		opt.down = a;
		opt.up = b;
	} else if (!strcmp(mode, "echo")) {
		opt.echo = true;
		opt.lines = a;
		opt.interval = b;
	} else {
		return RES_USAGE;
	}
	parse_options(argc - used + 1, argv + used - 1);

	signal(SIGUSR1, hurry);
	signal(SIGUSR2, forget_stall);
	seen.started = now_ms();
	for (uint64_t i = 0; i < opt.repeat && !res && !hurried; i++) {
		res = run_one();
		usleep(opt.pause * 1000);
	}
	printf("result=%s down=%" PRIu64 " up=%" PRIu64 " conns=%" PRIu64 " ms=%" PRIu64 " stall_ms=%" PRIu64,
	       name[res], seen.down, seen.up, seen.conns, now_ms() - seen.started, seen.stall);
	if (seen.wrong_at >= 0)
		printf(" wrong_at=%" PRId64, seen.wrong_at);
	putchar('\n');
	return res;
}

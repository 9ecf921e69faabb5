// SPDX-License-Identifier: GPL-2.0
/* replica - a server whose output is a function of its input, and its client. */
#include "replica.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint8_t stream_byte(uint64_t pos, uint64_t seed)
{
	return mix((pos / 8) ^ (seed << 40)) >> (8 * (pos % 8));
}

void stream_fill(uint8_t *buf, uint64_t pos, size_t len, uint64_t seed)
{
	size_t i = 0;

	while (i < len && (pos + i) % 8)
		buf[i] = stream_byte(pos + i, seed), i++;
	for (; i + 8 <= len; i += 8) {
		uint64_t word = mix(((pos + i) / 8) ^ (seed << 40));

		memcpy(buf + i, &word, 8);
	}
	for (; i < len; i++)
		buf[i] = stream_byte(pos + i, seed);
}

/* Return how many bytes are right before the first wrong one. */
size_t stream_check(const uint8_t *buf, uint64_t pos, size_t len, uint64_t seed)
{
	uint8_t want[4096];
	size_t done, i, n;

	for (done = 0; done < len; done += n) {
		n = len - done < sizeof(want) ? len - done : sizeof(want);
		stream_fill(want, pos + done, n, seed);
		if (!memcmp(want, buf + done, n))
			continue;
		for (i = 0; want[i] == buf[done + i]; i++)
			;
		return done + i;
	}
	return len;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

int set_nodelay(int fd)
{
	int one = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* A number with an optional k or M behind it. */
uint64_t number(const char *s, const char *what)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(s, &end, 0);
	if (*end == 'k')
		n <<= 10, end++;
	else if (*end == 'M')
		n <<= 20, end++;
	if (errno || end == s || *end) {
		fprintf(stderr, "replica: %s: not a number: %s\n", what, s);
		exit(RES_USAGE);
	}
	return n;
}

static void usage(void)
{
	fputs("usage: replica server [--port N] [--ctl PATH] [--banner] [--fault KIND@OFFSET]\n"
	      "       replica client ADDR PORT { get N | put N | both DOWN UP | echo COUNT INTERVAL_MS } [OPTIONS]\n"
	      "       replica ctl PATH { freeze | dump FILE | load FILE | thaw | stat }\n"
	      "KIND: flip, stop, more, fin, rst\n"
	      "OPTIONS: --timeout S  --chunk BYTES  --rate BYTES_PER_S  --repeat N  --pause MS  --sport N  --size BYTES_PER_LINE\n"
	      "         --banner  --early-fin  --half-close  --fault  --rst-at BYTES\n"
	      "exit: 0 ok, 1 wrong bytes, 2 usage, 3 reset, 4 time limit, 5 no connection, 6 short\n", stderr);
	exit(RES_USAGE);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		usage();
	if (!strcmp(argv[1], "server"))
		return server_main(argc - 1, argv + 1);
	if (!strcmp(argv[1], "client") && argc >= 6)
		return client_main(argc - 1, argv + 1);
	if (!strcmp(argv[1], "ctl") && argc >= 4)
		return ctl_main(argc - 2, argv + 2);
	usage();
}

/* SPDX-License-Identifier: GPL-2.0 */
#ifndef REPLICA_H
#define REPLICA_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

/*
 * The first line of a client says what it wants:
 *
 *   stream DOWN UP FLAGS CHUNK\n   then both sides send that many bytes
 *   echo\n                         then every line comes back
 *
 * What is sent at a position depends on the position only, so that two
 * servers say the same and every byte can be checked.
 */
#define FLAG_EARLY_FIN	1	/* the server ends its side after DOWN, not after UP too */
#define FLAG_FAULT	2	/* the fault that the server was started with is for me */

#define SEED_DOWN	0x646f776eULL
#define SEED_UP		0x7570ULL

#define BANNER		"220 replica ready\n"

enum result {
	RES_OK,
	RES_WRONG,
	RES_USAGE,
	RES_RESET,
	RES_TIMEOUT,
	RES_CONNECT,
	RES_SHORT,
};

enum fault {
	FAULT_NONE,
	FAULT_FLIP,	/* one bit of the byte at the offset differs */
	FAULT_STOP,	/* nothing from the offset on, the connection stays */
	FAULT_MORE,	/* bytes after the end: the offset says how many */
	FAULT_FIN,	/* the stream ends at the offset */
	FAULT_RST,	/* the connection is reset once all before the offset has left */
};

/* What the server must know of a connection besides the socket: all of it goes into a dump. */
struct app {
	enum { APP_REQUEST, APP_STREAM, APP_ECHO } state;
	uint64_t down, up;		/* bytes to send and to receive */
	uint64_t sent, received;
	uint32_t flags, chunk;
	uint8_t greet;			/* bytes of the banner still to send */
	bool fin_sent, fin_seen;
	uint32_t in_len, out_len;
	char in[256];			/* a request that has not ended yet */
	char out[65536];		/* an echo that has not left yet */
};

struct conn {
	int fd;
	struct app app;
};

void stream_fill(uint8_t *buf, uint64_t pos, size_t len, uint64_t seed);
size_t stream_check(const uint8_t *buf, uint64_t pos, size_t len, uint64_t seed);
uint64_t now_ms(void);
int set_nodelay(int fd);
uint64_t number(const char *s, const char *what);

int server_main(int argc, char **argv);
int client_main(int argc, char **argv);
int ctl_main(int argc, char **argv);

int conn_dump(const struct conn *c, FILE *f);
int conn_load(struct conn *c, FILE *f);
int conn_drop(struct conn *c);

#endif

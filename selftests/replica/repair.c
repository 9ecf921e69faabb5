// SPDX-License-Identifier: GPL-2.0
/*
 * A connection into a file and out of it again, with TCP_REPAIR: what a checkpoint of a virtual machine does with the guest's
 * memory. The network must stand still meanwhile. Segments that arrived out of order are not part of it: the
 * client sends them again, unless it was told by SACK that they arrived.
 */
#include "replica.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SEGMENT_MAX 65536

struct saved {
	struct app app;
	struct sockaddr_in6 local, peer;	/* large enough for both families */
	struct tcp_repair_window window;
	struct tcp_repair_opt opt[4];
	uint32_t opts, timestamp;
	uint32_t send_seq, recv_seq;		/* of the first byte in each queue */
	uint32_t send_len, unsent_len, recv_len;
};

#define TRY(call) do { if ((call) < 0) { err = -errno; perror("replica: " #call); goto out; } } while (0)

static int set_int(int fd, int opt, uint32_t val)
{
	return setsockopt(fd, IPPROTO_TCP, opt, &val, sizeof(val));
}

static int get_int(int fd, int opt, uint32_t *val)
{
	socklen_t len = sizeof(*val);

	return getsockopt(fd, IPPROTO_TCP, opt, val, &len);
}

static int get_options(int fd, struct saved *s)
{
	struct tcp_info info = { };
	socklen_t len = sizeof(info);
	uint32_t mss;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) || get_int(fd, TCP_MAXSEG, &mss))
		return -1;
	if (info.tcpi_state != 1 /* ESTABLISHED */) {
		errno = EBUSY;
		return -1;
	}
	s->opt[s->opts++] = (struct tcp_repair_opt){ TCPOPT_MAXSEG, mss };
	if (info.tcpi_options & TCPI_OPT_WSCALE)
		s->opt[s->opts++] = (struct tcp_repair_opt){ TCPOPT_WINDOW, info.tcpi_snd_wscale | info.tcpi_rcv_wscale << 16 };
	if (info.tcpi_options & TCPI_OPT_SACK)
		s->opt[s->opts++] = (struct tcp_repair_opt){ TCPOPT_SACK_PERMITTED, 0 };
	if (info.tcpi_options & TCPI_OPT_TIMESTAMPS)
		s->opt[s->opts++] = (struct tcp_repair_opt){ TCPOPT_TIMESTAMP, 0 };
	return 0;
}

/*
 * Copy a queue without taking anything out of it; the sequence number read is that of its end. The kernel keeps a segment
 * until all of it is acknowledged, so a send queue may begin with bytes that are not wanted.
 */
static int get_queue(int fd, int queue, uint32_t len, uint32_t *seq, uint8_t **data)
{
	ssize_t n;

	*data = malloc(len + SEGMENT_MAX);
	if (!*data || set_int(fd, TCP_REPAIR_QUEUE, queue) || get_int(fd, TCP_QUEUE_SEQ, seq))
		return -1;
	*seq -= len;
	if (!len)
		return 0;
	n = recv(fd, *data, len + SEGMENT_MAX, MSG_PEEK | MSG_DONTWAIT);
	if (n >= (ssize_t)len) {
		memmove(*data, *data + n - len, len);
		return 0;
	}
	if (n >= 0) {
		fprintf(stderr, "replica: queue %d: %zd bytes instead of %u\n", queue, n, len);
		errno = EIO;
	}
	return -1;
}

int conn_dump(const struct conn *c, FILE *f)
{
	struct saved s = { .app = c->app };
	uint8_t *send_data = NULL, *recv_data = NULL;
	socklen_t len = sizeof(s.local);
	int fd = c->fd, err = 0;

	TRY(set_int(fd, TCP_REPAIR, TCP_REPAIR_ON));
	TRY(getsockname(fd, (struct sockaddr *)&s.local, &len));
	len = sizeof(s.peer);
	TRY(getpeername(fd, (struct sockaddr *)&s.peer, &len));
	TRY(get_options(fd, &s));
	TRY(get_int(fd, TCP_TIMESTAMP, &s.timestamp));
	len = sizeof(s.window);
	TRY(getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &s.window, &len));
	TRY(ioctl(fd, SIOCINQ, &s.recv_len));
	TRY(ioctl(fd, SIOCOUTQ, &s.send_len));
	TRY(ioctl(fd, SIOCOUTQNSD, &s.unsent_len));
	TRY(get_queue(fd, TCP_SEND_QUEUE, s.send_len, &s.send_seq, &send_data));
	TRY(get_queue(fd, TCP_RECV_QUEUE, s.recv_len, &s.recv_seq, &recv_data));
	if (fwrite(&s, sizeof(s), 1, f) != 1 || fwrite(send_data, 1, s.send_len, f) != s.send_len ||
	    fwrite(recv_data, 1, s.recv_len, f) != s.recv_len)
		err = -EIO;
out:
	free(send_data);
	free(recv_data);
	/* The socket lives on and must not say a thing about this. */
	set_int(fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
	set_int(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
	return err;
}

static int put_bytes(int fd, const uint8_t *data, uint32_t len)
{
	for (ssize_t n; len; data += n, len -= n) {
		n = send(fd, data, len < 32768 ? len : 32768, MSG_NOSIGNAL);
		if (n <= 0)
			return -1;
	}
	return 0;
}

static int set_buffer(int fd, int opt, uint32_t len)
{
	int size = len < (4 << 20) ? 4 << 20 : len;

	return setsockopt(fd, SOL_SOCKET, opt, &size, sizeof(size));
}

static int restore(struct conn *c, const struct saved *s, const uint8_t *send_data, const uint8_t *recv_data)
{
	bool v6 = s->local.sin6_family == AF_INET6;
	socklen_t alen = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int fd, err = 0;

	c->app = s->app;
	TRY(fd = c->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	TRY(set_int(fd, TCP_REPAIR, TCP_REPAIR_ON));
	TRY(set_buffer(fd, SO_SNDBUFFORCE, s->send_len * 2));
	TRY(set_buffer(fd, SO_RCVBUFFORCE, s->recv_len * 2));
	TRY(bind(fd, (struct sockaddr *)&s->local, alen));
	TRY(set_int(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	TRY(set_int(fd, TCP_QUEUE_SEQ, s->send_seq));
	TRY(set_int(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE));
	TRY(set_int(fd, TCP_QUEUE_SEQ, s->recv_seq));
	TRY(connect(fd, (struct sockaddr *)&s->peer, alen));
	TRY(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, s->opt, s->opts * sizeof(s->opt[0])));
	TRY(set_int(fd, TCP_TIMESTAMP, s->timestamp));
	TRY(put_bytes(fd, recv_data, s->recv_len));
	TRY(set_int(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	TRY(put_bytes(fd, send_data, s->send_len - s->unsent_len));
	TRY(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &s->window, sizeof(s->window)));
	TRY(set_int(fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE));
	TRY(set_int(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP));
	TRY(set_nodelay(fd));
	TRY(put_bytes(fd, send_data + s->send_len - s->unsent_len, s->unsent_len));
	TRY(ioctl(fd, FIONBIO, &(int){ 1 }));
out:
	return err;
}

int conn_load(struct conn *c, FILE *f)
{
	uint8_t *send_data = NULL, *recv_data = NULL;
	struct saved s;
	int err = -EINVAL;

	if (fread(&s, sizeof(s), 1, f) != 1)
		return err;
	send_data = malloc(s.send_len + 1);
	recv_data = malloc(s.recv_len + 1);
	if (fread(send_data, 1, s.send_len, f) == s.send_len && fread(recv_data, 1, s.recv_len, f) == s.recv_len)
		err = restore(c, &s, send_data, recv_data);
	free(send_data);
	free(recv_data);
	return err;
}

/* Forget a connection without a word to the other side. */
int conn_drop(struct conn *c)
{
	int err = set_int(c->fd, TCP_REPAIR, TCP_REPAIR_ON) ? -errno : 0;

	close(c->fd);
	return err;
}

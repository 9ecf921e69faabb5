// SPDX-License-Identifier: GPL-2.0
/*
 * The relay of the migration channel. The daemon on the primary's host is what
 * the primary's QEMU connects to, the one on the secondary's host connects to the
 * secondary's QEMU; between them goes one TCP connection with frames in it. What
 * the secondary says is read message by message, and waits for the fences of
 * kcolo before it goes on: no byte of a message leaves before its fence is done.
 *
 * All that a restarted daemon has to know stands in a memfd, which systemd keeps
 * with the two sockets: a daemon that is killed does not end the channel.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/kcolo.h>

#include "kcolod.h"

/* Of this layout, which the daemon before may not have had. */
#define MAGIC		(0x6b636f6c ^ (uint32_t)sizeof(struct channel))
#define VERSION		1
#define CHUNK		32768
#define BUF_SIZE	(4 * CHUNK)
#define NAME_ROOM	64

/* Frames between the daemons: a header, then its payload. */
enum frame_type { FRAME_HELLO = 1, FRAME_DATA, FRAME_REQUEST, FRAME_BYE, FRAME_PING };

struct frame {
	uint8_t type;
	uint8_t arg;
	uint16_t len;
} __attribute__((packed));

struct hello {
	uint32_t version;
	uint32_t epoch;
	char pair[NAME_ROOM];
} __attribute__((packed));

struct buf {
	uint32_t start;
	uint32_t end;
	uint8_t data[BUF_SIZE];
};

/**
 * struct channel - what outlives the daemon
 * @magic: MAGIC
 * @role: of this side
 * @stage: how far the channel has come
 * @epoch: of the newest fence that was a commit, on both hosts
 * @last: the newest number
 * @head: the header or the number that is being received
 * @head_len: what is there of it
 * @payload: what is still to come of a message of the return path
 * @said: by the secondary, and not yet taken
 * @from_peer: frames
 * @to_peer: frames
 * @to_qemu: bytes
 */
struct channel {
	uint32_t magic;
	uint32_t role;
	uint32_t stage;
	uint32_t epoch;
	uint32_t last;
	uint8_t head[4];
	uint32_t head_len;
	uint32_t payload;
	struct buf said;
	struct buf from_peer;
	struct buf to_peer;
	struct buf to_qemu;
};

static struct {
	uint32_t role;
	struct io listen;
	struct io qemu;
	struct io peer;
	struct channel *ch;
	int memfd;
	bool connecting;
	bool unlinked;		/* the peer is given up, QEMU may still say something */
	bool ended;		/* QEMU has nothing to say any more */
	uint64_t since;
	uint64_t heard;
	uint64_t pinged;
} relay = { .memfd = -1 };

/* ---- buffers */

static size_t buf_len(const struct buf *buf)
{
	return buf->end - buf->start;
}

static size_t buf_room(const struct buf *buf)
{
	return BUF_SIZE - buf_len(buf);
}

static void buf_add(struct buf *buf, const void *data, size_t len)
{
	if (BUF_SIZE - buf->end < len) {
		size_t had = buf_len(buf);

		memmove(buf->data, buf->data + buf->start, had);
		buf->start = 0;
		buf->end = had;
	}
	memcpy(buf->data + buf->end, data, len);
	buf->end += len;
}

static void buf_drop(struct buf *buf, size_t len)
{
	buf->start += len;
	if (buf->start == buf->end) {
		buf->start = 0;
		buf->end = 0;
	}
}

/* Returns 0 or a negative errno. */
static int buf_send(struct buf *buf, int fd)
{
	while (buf_len(buf)) {
		ssize_t n = send(fd, buf->data + buf->start, buf_len(buf),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		buf_drop(buf, n);
	}
	return 0;
}

static void frame_add(enum frame_type type, uint8_t arg, const void *data, size_t len)
{
	struct frame frame = { type, arg, htons(len) };

	buf_add(&relay.ch->to_peer, &frame, sizeof(frame));
	if (len)
		buf_add(&relay.ch->to_peer, data, len);
}

/* ---- what outlives the daemon */

static void keep(const char *name, int fd)
{
	char state[64];

	snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	sd_pid_notify_with_fds(0, 0, state, &fd, 1);
}

static void unkeep(const char *name)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

static int channel_map(int fd)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st) || st.st_size != sizeof(*relay.ch))
		return -EINVAL;
	at = mmap(NULL, sizeof(*relay.ch), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	relay.ch = at;
	relay.memfd = fd;
	return 0;
}

static int channel_new(void)
{
	int fd = memfd_create("kcolod", MFD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = ftruncate(fd, sizeof(*relay.ch)) ? -errno : channel_map(fd);
	if (err) {
		close(fd);
		return err;
	}
	keep("state", fd);
	relay.ch->magic = MAGIC;
	relay.ch->role = relay.role;
	relay.ch->stage = STAGE_HELLO;
	relay.unlinked = false;
	relay.ended = false;
	relay.since = now_us();
	relay.heard = relay.since;
	return 0;
}

static void peer_close(void)
{
	if (relay.peer.source)
		unkeep("peer");
	io_close(&relay.peer);
	relay.connecting = false;
}

void relay_close(void)
{
	peer_close();
	if (relay.qemu.source)
		unkeep("qemu");
	io_close(&relay.qemu);
	if (!relay.ch)
		return;
	unkeep("state");
	munmap(relay.ch, sizeof(*relay.ch));
	close(relay.memfd);
	relay.ch = NULL;
	relay.memfd = -1;
}

enum stage relay_stage(void)
{
	return relay.ch ? relay.ch->stage : STAGE_NONE;
}

uint32_t relay_last(void)
{
	return relay.ch ? relay.ch->last : 0;
}

uint32_t relay_epoch(void)
{
	return relay.ch ? relay.ch->epoch : 0;
}

/* ---- ends */

static void broken(const char *why)
{
	say(SD_ERR "migration channel: %s", why);
	vm_channel_lost(why);
}

/* The other daemon, or the link to it, is gone. */
static void peer_end(enum bye word, const char *why)
{
	bool colo = relay_stage() == STAGE_COLO;

	peer_close();
	say(colo ? SD_ERR "peer: %s" : SD_WARNING "peer: %s", why);
	vm_peer_lost(word, why);
}

/* What was received of a message when the channel ended says whether it was cut. */
static void qemu_end(const char *why)
{
	struct channel *ch = relay.ch;

	relay.ended = true;
	if (ch->head_len || ch->payload)
		say(SD_WARNING "migration channel: ends inside a message");
	vm_channel_lost(why);
}

void relay_unlink(enum bye word)
{
	if (!relay.ch || relay.unlinked)
		return;
	relay.unlinked = true;
	if (relay.peer.source && !relay.connecting) {
		if (word != BYE_NONE && buf_room(&relay.ch->to_peer) >= sizeof(struct frame))
			frame_add(FRAME_BYE, word, NULL, 0);
		buf_send(&relay.ch->to_peer, relay.peer.fd);
	}
	peer_close();
	/* What has arrived may be all that QEMU waits for. */
	if (relay.qemu.source) {
		buf_send(&relay.ch->to_qemu, relay.qemu.fd);
		shutdown(relay.qemu.fd, SHUT_WR);
	}
}

/* ---- messages of the secondary */

static void pass(const void *data, size_t len)
{
	if (relay.role == KCOLO_ROLE_PRIMARY)
		buf_add(&relay.ch->to_qemu, data, len);
	else if (!relay.unlinked)
		frame_add(FRAME_DATA, 0, data, len);
}

static bool in_order(uint32_t number, uint32_t last)
{
	switch (number) {
	case COLO_REPLY:
		return last == COLO_READY || last == COLO_LOADED;
	case COLO_RECEIVED:
		return last == COLO_REPLY;
	case COLO_LOADED:
		return last == COLO_RECEIVED;
	default:
		return false;
	}
}

/* Each number has its fence; what counts epochs is the same number on both hosts. */
static bool take_number(uint32_t number, bool again)
{
	struct channel *ch = relay.ch;
	bool first = ch->stage == STAGE_MIGRATION;
	uint32_t epoch = ch->epoch;

	if (!first && !in_order(number, ch->last)) {
		say(SD_ERR "migration channel: number %u after %u", number, ch->last);
		broken("messages out of order");
		return false;
	}
	if (first || number == COLO_RECEIVED)
		epoch++;
	vm_fence(number, epoch, again);
	ch->epoch = epoch;
	ch->last = number;
	ch->stage = STAGE_COLO;
	return true;
}

/*
 * Takes a complete header or number. Its type in front tells a message of the
 * return path; READY is four zeros where such a type would be.
 */
static bool take_head(bool again)
{
	struct channel *ch = relay.ch;
	uint16_t type, len;
	uint32_t number;

	memcpy(&number, ch->head, sizeof(number));
	memcpy(&type, ch->head, sizeof(type));
	memcpy(&len, ch->head + sizeof(type), sizeof(len));
	if (ch->stage == STAGE_MIGRATION && type) {
		ch->payload = ntohs(len);
	} else if (ch->stage == STAGE_MIGRATION && len) {
		broken("a message that is none");
		return false;
	} else if (!take_number(ntohl(number), again)) {
		return false;
	}
	ch->head_len = 0;
	pass(ch->head, sizeof(ch->head));
	return true;
}

static void flush_all(void);

/*
 * What is taken is out of @said before it acts and goes on: a daemon that is
 * killed in between must not find it twice.
 */
static void take_piece(struct channel *ch)
{
	size_t n = ch->payload ? ch->payload : sizeof(ch->head) - ch->head_len;
	const uint8_t *data = ch->said.data + ch->said.start;

	if (n > buf_len(&ch->said))
		n = buf_len(&ch->said);
	if (ch->payload) {
		pass(data, n);
		ch->payload -= n;
	} else {
		memcpy(ch->head + ch->head_len, data, n);
		ch->head_len += n;
	}
	buf_drop(&ch->said, n);
}

static void take_said(void)
{
	struct channel *ch = relay.ch;

	while (relay.ch && buf_len(&ch->said)) {
		take_piece(ch);
		if (ch->head_len == sizeof(ch->head) && !take_head(false))
			return;
		if (ch->stage != STAGE_COLO || ch->head_len)
			continue;
		flush_all();
		if (relay.ch)
			vm_forwarded(ch->last);
	}
}

/* ---- frames */

static void greet(uint32_t epoch)
{
	struct hello hello = { .version = htonl(VERSION), .epoch = htonl(epoch) };

	snprintf(hello.pair, sizeof(hello.pair), "%s", conf.pair);
	frame_add(FRAME_HELLO, 0, &hello, sizeof(hello));
}

/* C4: both count on from the greater of the two epochs. */
static bool take_hello(const uint8_t *data, size_t len)
{
	struct channel *ch = relay.ch;
	struct hello hello;
	struct pair pair;

	if (ch->stage != STAGE_HELLO || len != sizeof(hello))
		return false;
	memcpy(&hello, data, sizeof(hello));
	if (ntohl(hello.version) != VERSION ||
	    strncmp(hello.pair, conf.pair, sizeof(hello.pair)))
		return false;
	if (pair_read(&pair))
		return false;
	ch->epoch = ntohl(hello.epoch);
	if (ch->epoch < pair.epoch)
		ch->epoch = pair.epoch;
	if (relay.role == KCOLO_ROLE_SECONDARY) {
		/* Answered when QEMU is there. */
		vm_prepare();
		return true;
	}
	ch->stage = STAGE_MIGRATION;
	vm_synchronizing();
	return true;
}

static void take_bye(uint8_t word)
{
	static const char *const why[] = {
		[BYE_DEAD] = "its guest is of no use any more",
		[BYE_ALIVE] = "its guest goes on alone",
		[BYE_TAKEN] = "its guest has taken over",
	};

	if (word < ARRAY_SIZE(why) && why[word])
		peer_end(word, why[word]);
	else
		peer_end(BYE_NONE, "said a farewell that is none");
}

/* Returns false if the channel has ended by it. */
static bool take_frame(const struct frame *frame, const uint8_t *data, size_t len)
{
	struct channel *ch = relay.ch;

	switch (frame->type) {
	case FRAME_HELLO:
		if (take_hello(data, len))
			break;
		peer_end(BYE_NONE, "no daemon for this pair, or of another version");
		break;
	case FRAME_DATA:
		buf_add(relay.role == KCOLO_ROLE_PRIMARY ? &ch->said : &ch->to_qemu, data, len);
		break;
	case FRAME_REQUEST:
		vm_wanted();
		break;
	case FRAME_BYE:
		take_bye(frame->arg);
		break;
	case FRAME_PING:
		break;
	default:
		peer_end(BYE_NONE, "speaks another language");
	}
	return relay.ch && relay.peer.source;
}

/* A frame stays where it is until it was taken: only then it is dropped. */
static void take_frames(void)
{
	struct channel *ch = relay.ch;
	struct buf *buf = &ch->from_peer;

	while (buf_len(buf) >= sizeof(struct frame)) {
		struct frame frame;
		size_t len;

		memcpy(&frame, buf->data + buf->start, sizeof(frame));
		len = ntohs(frame.len);
		if (len > CHUNK) {
			peer_end(BYE_NONE, "a frame that is too long");
			return;
		}
		if (buf_len(buf) < sizeof(frame) + len || buf_room(&ch->to_qemu) < len + 4)
			return;
		if (!take_frame(&frame, buf->data + buf->start + sizeof(frame), len))
			return;
		buf_drop(buf, sizeof(frame) + len);
		take_said();
		if (!relay.ch || !relay.peer.source)
			return;
	}
}

/* ---- sockets */

static void want(void)
{
	struct channel *ch = relay.ch;
	uint32_t in;

	if (!ch)
		return;
	/* What is read fits wherever it goes. */
	in = ch->stage != STAGE_HELLO && !relay.ended &&
	     buf_room(&ch->to_peer) >= CHUNK + 8 * sizeof(struct frame) ? EPOLLIN : 0;
	if (buf_len(&ch->to_qemu) && !relay.ended)
		in |= EPOLLOUT;
	io_want(&relay.qemu, in);
	in = buf_room(&ch->from_peer) ? EPOLLIN : 0;
	if (relay.connecting)
		in = 0;
	io_want(&relay.peer, in | (relay.connecting || buf_len(&ch->to_peer) ? EPOLLOUT : 0));
}

static void flush_all(void)
{
	int err = 0;

	if (!relay.ch)
		return;
	if (relay.peer.source && !relay.connecting)
		err = buf_send(&relay.ch->to_peer, relay.peer.fd);
	if (err) {
		peer_end(BYE_NONE, strerror(-err));
		return;
	}
	if (relay.qemu.source)
		err = buf_send(&relay.ch->to_qemu, relay.qemu.fd);
	/* The end is noticed when all is read that was said before it. */
	if (err)
		buf_drop(&relay.ch->to_qemu, buf_len(&relay.ch->to_qemu));
	want();
}

/*
 * What did not fit before may fit now; and after it has gone out, more. Nobody wakes
 * us for what is here already: so the last turn takes nothing, right after all was sent
 * that could be, and whoever sends to QEMU ends here.
 */
static void take_rest(void)
{
	size_t had;

	do {
		flush_all();
		if (!relay.ch || !relay.peer.source || relay.connecting)
			return;
		had = buf_len(&relay.ch->from_peer);
		take_frames();
	} while (relay.ch && buf_len(&relay.ch->from_peer) < had);
}

static void qemu_read(int fd)
{
	static uint8_t data[CHUNK];
	/* Each number makes a frame of its own. */
	size_t most = relay.role == KCOLO_ROLE_PRIMARY ? CHUNK : CHUNK / 4;
	ssize_t n = recv(fd, data, most, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		qemu_end(n ? strerror(errno) : "QEMU has closed it");
	else if (relay.role == KCOLO_ROLE_SECONDARY)
		buf_add(&relay.ch->said, data, n);
	else if (!relay.unlinked)
		frame_add(FRAME_DATA, 0, data, n);
	if (relay.ch)
		take_said();
}

static int qemu_ready(sd_event_source *source, int fd, uint32_t revents, void *unused)
{
	(void)source;
	(void)unused;
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		qemu_read(fd);
	take_rest();
	return 0;
}

static void peer_connected(void)
{
	socklen_t len = sizeof(int);
	struct pair pair;
	int err = 0;

	getsockopt(relay.peer.fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		peer_end(BYE_NONE, strerror(err));
		return;
	}
	relay.connecting = false;
	if (pair_read(&pair))
		relay_close();
	else
		greet(pair.epoch);
}

static void peer_read(int fd)
{
	struct channel *ch = relay.ch;
	static uint8_t data[BUF_SIZE];
	ssize_t n = recv(fd, data, buf_room(&ch->from_peer), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		peer_end(BYE_NONE, n ? strerror(errno) : "has closed the connection");
		return;
	}
	relay.heard = now_us();
	buf_add(&ch->from_peer, data, n);
	take_frames();
}

static int peer_ready(sd_event_source *source, int fd, uint32_t revents, void *unused)
{
	(void)source;
	(void)unused;
	if (relay.connecting)
		peer_connected();
	else if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		peer_read(fd);
	take_rest();
	return 0;
}

void relay_go(bool ready)
{
	struct channel *ch = relay.ch;
	int fd;

	if (!ch || ch->stage != STAGE_HELLO || relay.qemu.source)
		return;
	fd = ready ? unix_connect(conf.migration) : -ENOTCONN;
	if (fd < 0) {
		say(SD_ERR "%s: %s", conf.migration, strerror(-fd));
		relay_close();
		return;
	}
	io_open(&relay.qemu, fd, qemu_ready, NULL);
	keep("qemu", fd);
	greet(ch->epoch);
	ch->stage = STAGE_MIGRATION;
	vm_synchronizing();
	flush_all();
}

/* A second one would be another guest, or another primary. */
static bool may_begin(int fd)
{
	const char *why = NULL;

	if (relay.ch)
		why = "there is a channel already";
	else if (relay.role == KCOLO_ROLE_SECONDARY && !tcp_from(fd, conf.peer))
		why = "it does not come from the peer";
	else if (channel_new())
		why = "no memory";
	if (why)
		say(SD_WARNING "connection refused: %s", why);
	return !why;
}

static int qemu_came(int fd)
{
	int peer = tcp_connect(conf.peer, conf.peer_port);

	if (peer < 0) {
		say(SD_ERR "peer %s: %s", conf.peer, strerror(-peer));
		close(fd);
		relay_close();
		return 0;
	}
	io_open(&relay.qemu, fd, qemu_ready, NULL);
	keep("qemu", fd);
	relay.connecting = true;
	io_open(&relay.peer, peer, peer_ready, NULL);
	tcp_tune(peer);
	keep("peer", peer);
	want();
	return 0;
}

static int came(sd_event_source *source, int fd, uint32_t revents, void *unused)
{
	int new = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	(void)source;
	(void)revents;
	(void)unused;
	if (new < 0)
		return 0;
	if (!may_begin(new)) {
		close(new);
		return 0;
	}
	if (relay.role == KCOLO_ROLE_PRIMARY)
		return qemu_came(new);
	tcp_tune(new);
	io_open(&relay.peer, new, peer_ready, NULL);
	keep("peer", new);
	return 0;
}

void relay_tick(void)
{
	uint64_t now = now_us();

	if (!relay.ch || relay.unlinked)
		return;
	if (relay_stage() == STAGE_HELLO) {
		if (now - relay.since > HELLO_MS * 1000ULL)
			peer_end(BYE_NONE, "did not answer");
		return;
	}
	/* Who does not listen, because QEMU does not, cannot complain of silence. */
	if (buf_len(&relay.ch->from_peer) > CHUNK)
		relay.heard = now;
	if (now - relay.heard > conf.silence_ms * 1000ULL) {
		peer_end(BYE_NONE, "is silent");
		return;
	}
	if (now - relay.pinged > conf.silence_ms * 1000ULL / 4 &&
	    buf_room(&relay.ch->to_peer) >= 4 * sizeof(struct frame)) {
		relay.pinged = now;
		frame_add(FRAME_PING, 0, NULL, 0);
	}
	take_rest();
}

void relay_request(void)
{
	if (relay_stage() != STAGE_COLO || relay.unlinked)
		return;
	if (buf_room(&relay.ch->to_peer) >= 4 * sizeof(struct frame))
		frame_add(FRAME_REQUEST, 0, NULL, 0);
	want();
}

/* ---- start, or start again */

static void take_back(int qemu, int peer, int state)
{
	if (qemu < 0 || peer < 0 || state < 0 || channel_map(state) ||
	    relay.ch->magic != MAGIC || relay.ch->role != relay.role ||
	    relay.ch->stage < STAGE_MIGRATION) {
		say(SD_WARNING "the channel of before is not whole, and ended");
		relay_close();
		sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=qemu");
		sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=peer");
		sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=state");
		if (qemu >= 0)
			close(qemu);
		if (peer >= 0)
			close(peer);
		return;
	}
	relay.since = now_us();
	relay.heard = relay.since;
	io_open(&relay.qemu, qemu, qemu_ready, NULL);
	io_open(&relay.peer, peer, peer_ready, NULL);
	say(SD_NOTICE "the channel of before goes on");
	vm_restored();
	/* A message that was received but not passed on. */
	if (relay.ch->head_len == sizeof(relay.ch->head))
		take_head(true);
	if (relay.ch)
		take_said();
	if (relay.ch && relay.peer.source)
		take_frames();
	take_rest();
}

static void restore(void)
{
	int n, i, qemu = -1, peer = -1, state = -1;
	char **names = NULL;

	n = sd_listen_fds_with_names(1, &names);
	for (i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		int *to = !strcmp(names[i], "qemu") ? &qemu :
			  !strcmp(names[i], "peer") ? &peer : &state;

		*to = fd;
		free(names[i]);
	}
	free(names);
	if (n > 0)
		take_back(qemu, peer, state);
}

int relay_open(uint32_t role)
{
	const char *where = conf.migration;
	int fd;

	relay.role = role;
	if (role == KCOLO_ROLE_SECONDARY && !conf.listen) {
		say(SD_ERR "listen is missing, and the pair is a secondary");
		return RC_USAGE;
	}
	if (role == KCOLO_ROLE_PRIMARY) {
		fd = unix_listen(where);
	} else {
		where = conf.listen;
		fd = tcp_listen(where, conf.listen_port);
	}
	if (fd < 0) {
		say(SD_ERR "%s: %s", where, strerror(-fd));
		return RC_KERNEL;
	}
	if (io_open(&relay.listen, fd, came, NULL) < 0)
		return RC_KERNEL;
	restore();
	return RC_OK;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * The relay of the migration channel. The daemon on the primary's host is what
 * the primary's QEMU connects to, the one on the secondary's host connects to the
 * secondary's QEMU; between them goes one TCP connection with frames in it. What
 * the secondary says is read message by message, and waits for the fences of
 * kcolo before it goes on: no byte of a message leaves before its fence is done.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/kcolo.h>

#include "relay.h"

struct relay relay;

/* ---- the channel */

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
	channel_end();
}

enum stage relay_stage(void)
{
	return relay.ch ? relay.ch->stage : STAGE_NONE;
}

uint32_t relay_last(void)
{
	return relay.ch ? relay.ch->stream.last : 0;
}

uint32_t relay_epoch(void)
{
	return relay.ch ? relay.ch->epoch : 0;
}

static void begun(void)
{
	relay.unlinked = false;
	relay.ended = false;
	relay.since = now_us();
	relay.heard = relay.since;
}

/* ---- ends */

static void broken(const char *why)
{
	say(SD_ERR "migration channel: %s", why);
	vm_channel_lost(why);
}

/* The other daemon, or the link to it, is gone. */
void peer_end(enum bye word, const char *why)
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
	if (!stream_between(&ch->stream))
		say(SD_WARNING "migration channel: ends inside a message");
	vm_channel_lost(why);
}

void relay_unlink(enum bye word)
{
	if (!relay.ch || relay.unlinked)
		return;
	relay.unlinked = true;
	if (relay.peer.source && !relay.connecting) {
		if (word != BYE_NONE && frame_fits())
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

static void flush_all(void);

static void pass(const void *data, size_t len)
{
	if (relay.role == KCOLO_ROLE_PRIMARY)
		buf_add(&relay.ch->to_qemu, data, len);
	else if (!relay.unlinked)
		frame_add(FRAME_DATA, 0, data, len);
}

/*
 * Each number has its fence; what counts epochs is the same number on both hosts.
 * @again: the daemon before this one may have done it.
 */
static void take_number(uint32_t number, bool again)
{
	struct channel *ch = relay.ch;
	uint32_t epoch = ch->epoch;

	if (!ch->stream.colo || number == COLO_RECEIVED)
		epoch++;
	vm_fence(number, epoch, again);
	ch->epoch = epoch;
}

/* Takes a header or a number, if it is complete. Returns false if the channel is broken. */
static bool take_head(bool again)
{
	struct channel *ch = relay.ch;
	uint32_t number = 0;
	enum word word = stream_head(&ch->stream, &number);

	switch (word) {
	case WORD_NONE:
		return true;
	case WORD_BAD:
		broken("a message that is none");
		return false;
	case WORD_ORDER:
		say(SD_ERR "migration channel: number %u after %u", number, ch->stream.last);
		broken("messages out of order");
		return false;
	case WORD_NUMBER:
		take_number(number, again);
		ch->stage = STAGE_COLO;
		break;
	case WORD_HEADER:
		break;
	}
	stream_done(&ch->stream, word, number);
	pass(ch->stream.head, sizeof(ch->stream.head));
	return true;
}

/*
 * What is taken is out of @said before it acts and goes on: a daemon that is
 * killed in between must not find it twice.
 */
static void take_piece(struct channel *ch)
{
	size_t n = stream_piece(&ch->stream, buf_len(&ch->said));
	const uint8_t *data = buf_first(&ch->said);

	if (stream_put(&ch->stream, data, n))
		pass(data, n);
	buf_drop(&ch->said, n);
}

void take_said(void)
{
	struct channel *ch = relay.ch;

	while (relay.ch && buf_len(&ch->said)) {
		take_piece(ch);
		if (!take_head(false))
			return;
		if (!ch->stream.colo || !stream_between(&ch->stream))
			continue;
		flush_all();
		if (relay.ch)
			vm_forwarded(ch->stream.last);
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
	else
		begun();
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
	    frame_fits()) {
		relay.pinged = now;
		frame_add(FRAME_PING, 0, NULL, 0);
	}
	take_rest();
}

void relay_request(void)
{
	if (relay_stage() != STAGE_COLO || relay.unlinked)
		return;
	if (frame_fits())
		frame_add(FRAME_REQUEST, 0, NULL, 0);
	want();
}

/* ---- start, or start again */

static void take_back(int qemu, int peer)
{
	begun();
	io_open(&relay.qemu, qemu, qemu_ready, NULL);
	io_open(&relay.peer, peer, peer_ready, NULL);
	say(SD_NOTICE "the channel of before goes on");
	vm_restored();
	/* A message that was received but not passed on. */
	take_head(true);
	if (relay.ch)
		take_said();
	if (relay.ch && relay.peer.source)
		take_frames();
	take_rest();
}

int relay_open(uint32_t role)
{
	const char *where = conf.migration;
	int fd, qemu, peer;

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
	if (channel_back(&qemu, &peer))
		take_back(qemu, peer);
	return RC_OK;
}

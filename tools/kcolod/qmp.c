// SPDX-License-Identifier: GPL-2.0
/* QEMU's monitor: a JSON object in each line, of any length. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "kcolod.h"

#define PENDING_MAX	32
#define AGAIN_US	500000
/* The number of what QEMU says without being asked. */
#define GREETING	(-1)
/* Where a line is longer than this, it is no QEMU that we talk to. */
#define LINE_MAX_BYTES	(256u << 20)
#define LINE_WORTH_BYTES	(1024u << 10)

struct pending {
	json_int_t id;
	const char *command;
	uint64_t since;
	qmp_fn fn;
	void *data;
};

struct text {
	char *data;
	size_t len;
	size_t room;
};

static struct {
	struct io io;
	bool ready;
	bool gone;
	bool told;		/* that it cannot be reached */
	uint64_t next_try;
	json_int_t id;
	struct pending pending[PENDING_MAX];
	unsigned int n_pending;
	struct text in;
	size_t scanned;		/* of @in, without the end of a line */
	struct text out;
} qmp;

static bool text_add(struct text *text, const char *data, size_t len)
{
	if (text->len + len > text->room) {
		size_t room = 2 * (text->room + len);
		char *more = realloc(text->data, room);

		if (!more)
			return false;
		text->data = more;
		text->room = room;
	}
	memcpy(text->data + text->len, data, len);
	text->len += len;
	return true;
}

static void text_drop(struct text *text, size_t len)
{
	memmove(text->data, text->data + len, text->len - len);
	text->len -= len;
}

bool qmp_ready(void)
{
	return qmp.ready;
}

bool qmp_gone(void)
{
	return qmp.gone;
}

/* Takes the command out before it is told, since that may send the next one. */
static void answer(unsigned int i, const json_t *ret, const char *error)
{
	struct pending p = qmp.pending[i];

	qmp.pending[i] = qmp.pending[--qmp.n_pending];
	if (error)
		say(SD_WARNING "QEMU, %s: %s", p.command, error);
	if (p.fn)
		p.fn(ret, error, p.data);
}

static void disconnect(const char *why)
{
	if (qmp.io.source)
		say(SD_WARNING "QEMU's monitor: %s", why);
	io_close(&qmp.io);
	qmp.ready = false;
	qmp.in.len = 0;
	qmp.out.len = 0;
	qmp.scanned = 0;
	qmp.next_try = now_us() + AGAIN_US;
	while (qmp.n_pending)
		answer(qmp.n_pending - 1, NULL, "the connection was lost");
}

static void flush_out(void)
{
	ssize_t n = 0;

	while (qmp.out.len && n >= 0) {
		n = send(qmp.io.fd, qmp.out.data, qmp.out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			text_drop(&qmp.out, n);
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* The end is noticed, and told, by who reads. */
		qmp.out.len = 0;
		return;
	}
	io_want(&qmp.io, EPOLLIN | (qmp.out.len ? EPOLLOUT : 0));
}

void qmp_send(const char *command, json_t *args, qmp_fn fn, void *data)
{
	struct pending *p = &qmp.pending[qmp.n_pending];
	const char *error = NULL;
	json_t *message;
	char *line;

	if (!qmp.io.source)
		error = "not connected";
	else if (qmp.n_pending == PENDING_MAX)
		error = "too many commands without an answer";
	if (error) {
		json_decref(args);
		say(SD_WARNING "QEMU, %s: %s", command, error);
		if (fn)
			fn(NULL, error, data);
		return;
	}
	message = json_pack("{s:s, s:I, s:o*}", "execute", command, "id", ++qmp.id,
			    "arguments", args);
	line = message ? json_dumps(message, JSON_COMPACT) : NULL;
	json_decref(message);
	*p = (struct pending){ qmp.id, command, now_us(), fn, data };
	qmp.n_pending++;
	if (!line || !text_add(&qmp.out, line, strlen(line)) ||
	    !text_add(&qmp.out, "\n", 1)) {
		free(line);
		answer(qmp.n_pending - 1, NULL, "no memory");
		return;
	}
	free(line);
	flush_out();
}

static void negotiated(const json_t *ret, const char *error, void *data)
{
	(void)ret;
	(void)data;
	if (error)
		return;
	qmp.ready = true;
	qmp.gone = false;
	qmp.told = false;
	say(SD_INFO "QEMU's monitor: connected");
	vm_qmp_ready();
}

/* An answer to something that was never asked, or was given up, is no answer. */
static void take_answer(const json_t *message, const json_t *ret, const json_t *error)
{
	json_int_t id = json_integer_value(json_object_get(message, "id"));
	const char *desc = json_string_value(json_object_get(error, "desc"));
	unsigned int i;

	for (i = 0; i < qmp.n_pending; i++) {
		if (qmp.pending[i].id != id)
			continue;
		answer(i, ret, error ? desc ? desc : "refused" : NULL);
		return;
	}
	say(SD_NOTICE "QEMU's monitor: an answer to no question");
}

/* Once, and in front of all else. */
static void greeted(void)
{
	if (!qmp.n_pending || qmp.pending[0].id != GREETING)
		return;
	answer(0, NULL, NULL);
	qmp_send("qmp_capabilities", NULL, negotiated, NULL);
}

static void take_message(const json_t *message)
{
	const json_t *event = json_object_get(message, "event");
	const json_t *ret = json_object_get(message, "return");
	const json_t *error = json_object_get(message, "error");

	if (json_object_get(message, "QMP"))
		greeted();
	else if (json_is_string(event))
		vm_qmp_event(json_string_value(event), json_object_get(message, "data"));
	else if (ret || error)
		take_answer(message, ret, error);
	else
		say(SD_NOTICE "QEMU's monitor: a message of no known kind");
}

static void take_line(const char *line, size_t len)
{
	json_error_t error;
	json_t *message;

	message = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(message))
		take_message(message);
	else
		say(SD_WARNING "QEMU's monitor: a line of %zu bytes that is no JSON object: %s",
		    len, message ? "something else" : error.text);
	json_decref(message);
}

/* A message may end the connection, and with it the buffer. */
static void take_lines(void)
{
	char *end;

	while (qmp.io.source &&
	       (end = memchr(qmp.in.data + qmp.scanned, '\n', qmp.in.len - qmp.scanned))) {
		size_t len = end - qmp.in.data;
		char *line;

		/* Nothing that is meant for us is so long, and parsing it takes long. */
		if (len > LINE_WORTH_BYTES) {
			say(SD_WARNING "QEMU's monitor: a line of %zu bytes is not looked at", len);
			text_drop(&qmp.in, len + 1);
			qmp.scanned = 0;
			continue;
		}
		line = malloc(len + 1);
		if (!line) {
			disconnect("no memory");
			return;
		}
		memcpy(line, qmp.in.data, len);
		text_drop(&qmp.in, len + 1);
		qmp.scanned = 0;
		while (len && line[len - 1] == '\r')
			len--;
		if (len)
			take_line(line, len);
		free(line);
	}
	qmp.scanned = qmp.in.len;
	if (qmp.in.len > LINE_MAX_BYTES)
		disconnect("a line without an end");
}

static int ready_fn(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	static char buffer[65536];
	ssize_t n;

	(void)source;
	(void)data;
	if (revents & EPOLLOUT)
		flush_out();
	if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		qmp.gone = true;
		disconnect(n ? strerror(errno) : "QEMU has closed it");
	} else if (!text_add(&qmp.in, buffer, n)) {
		disconnect("no memory");
	} else {
		take_lines();
	}
	return 0;
}

static void reconnect(void)
{
	int fd = unix_connect(conf.qmp);

	qmp.next_try = now_us() + AGAIN_US;
	if (fd >= 0 && io_open(&qmp.io, fd, ready_fn, NULL) >= 0) {
		/* The greeting has a time limit as an answer has. */
		qmp.pending[0] = (struct pending){ GREETING, "greeting", now_us(), NULL, NULL };
		qmp.n_pending = 1;
		return;
	}
	/* Nobody listens there any more. */
	if (fd == -ECONNREFUSED || fd == -ENOENT)
		qmp.gone = true;
	if (!qmp.told)
		say(SD_NOTICE "QEMU's monitor %s: %s", conf.qmp, strerror(-fd));
	qmp.told = true;
}

void qmp_tick(void)
{
	uint64_t now = now_us();
	unsigned int i;

	if (!qmp.io.source) {
		if (now >= qmp.next_try)
			reconnect();
		return;
	}
	for (i = 0; i < qmp.n_pending; i++) {
		if (now - qmp.pending[i].since < conf.answer_ms * 1000ULL)
			continue;
		/* What comes after it would be as late: begin anew. */
		say(SD_WARNING "QEMU, %s: no answer in %u ms", qmp.pending[i].command,
		    conf.answer_ms);
		disconnect("QEMU hangs");
		return;
	}
}

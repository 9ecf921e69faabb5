// SPDX-License-Identifier: GPL-2.0
/* Orders from outside: a word comes in, a line of JSON goes out. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kcolod.h"

#define WORD_MAX	64
/* Longer than any time limit of the daemon's own. */
#define CLIENT_WAIT_S	60

struct client {
	struct io io;
	char word[WORD_MAX];
	size_t len;
};

static struct io listener;

static void path_of(char *path, size_t size, const char *name)
{
	const char *dir = getenv("KCOLO_RUN");

	snprintf(path, size, "%s/%s.sock", dir ? dir : RUN_DIR, name);
}

static void answer(struct client *client, json_t *what)
{
	char *line = json_dumps(what, JSON_COMPACT);

	json_decref(what);
	if (line) {
		send(client->io.fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
		send(client->io.fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	free(line);
	io_close(&client->io);
	free(client);
}

static void ordered(const json_t *ret, const char *error, void *data)
{
	(void)ret;
	answer(data, error ? json_pack("{s:s}", "error", error) : json_object());
}

static void take_word(struct client *client)
{
	client->word[strcspn(client->word, "\r\n")] = '\0';
	/* Whoever asked waits: nothing more is read. */
	io_want(&client->io, 0);
	if (!strcmp(client->word, "status"))
		answer(client, vm_status());
	else
		vm_order(client->word, ordered, client);
}

static int client_ready(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct client *client = data;
	ssize_t n;

	(void)source;
	(void)revents;
	n = recv(fd, client->word + client->len, WORD_MAX - 1 - client->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || client->len + n == WORD_MAX - 1) {
		io_close(&client->io);
		free(client);
		return 0;
	}
	client->len += n;
	if (memchr(client->word, '\n', client->len))
		take_word(client);
	return 0;
}

static int came(sd_event_source *source, int fd, uint32_t revents, void *unused)
{
	struct client *client = calloc(1, sizeof(*client));
	int new = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	(void)source;
	(void)revents;
	(void)unused;
	if (client && new >= 0 && io_open(&client->io, new, client_ready, client) >= 0)
		return 0;
	if (new >= 0)
		close(new);
	free(client);
	return 0;
}

int ctl_open(void)
{
	char path[256];
	int fd;

	mkdir(RUN_DIR, 0755);
	path_of(path, sizeof(path), conf.name);
	fd = unix_listen(path);
	if (fd < 0) {
		say(SD_ERR "%s: %s", path, strerror(-fd));
		return RC_KERNEL;
	}
	return io_open(&listener, fd, came, NULL) < 0 ? RC_KERNEL : RC_OK;
}

static int client_fail(const char *what, int err)
{
	fprintf(stderr, "Error: kcolod: %s: %s\n", what, strerror(err));
	return RC_KERNEL;
}

/* Prints the answer to @word. Returns an exit status. */
int ctl_client(const char *word, const char *name)
{
	struct timeval limit = { .tv_sec = CLIENT_WAIT_S };
	char path[256], text[4096];
	size_t len = 0;
	ssize_t n;
	int fd;

	path_of(path, sizeof(path), name);
	fd = unix_connect(path);
	if (fd < 0)
		return client_fail(path, -fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	/* The daemon may wait for QEMU. */
	fcntl(fd, F_SETFL, 0);
	dprintf(fd, "%s\n", word);
	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	if (n < 0 || !len)
		return client_fail("no answer", n < 0 ? errno : EPIPE);
	if (!strncmp(text, "{\"error\":", 9)) {
		fprintf(stderr, "Error: kcolod: %.*s\n", (int)len - 13, text + 10);
		return RC_KERNEL;
	}
	if (!strcmp(word, "status"))
		fputs(text, stdout);
	return RC_OK;
}

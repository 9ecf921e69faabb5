// SPDX-License-Identifier: GPL-2.0
/* Sockets, the clock, the journal. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "kcolod.h"

/* The level in front is for the journal alone. */
void say(const char *fmt, ...)
{
	va_list args;

	if (fmt[0] == '<' && !getenv("JOURNAL_STREAM"))
		fmt += 3;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

int io_open(struct io *io, int fd, sd_event_io_handler_t fn, void *data)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	io->fd = fd;
	return sd_event_add_io(loop, &io->source, fd, EPOLLIN, fn, data);
}

/* A socket that nobody wants anything of must not wake us with its end. */
void io_want(struct io *io, uint32_t events)
{
	if (!io->source)
		return;
	sd_event_source_set_io_events(io->source, events);
	sd_event_source_set_enabled(io->source, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

void io_close(struct io *io)
{
	if (!io->source)
		return;
	sd_event_source_disable_unref(io->source);
	close(io->fd);
	io->source = NULL;
	io->fd = -1;
}

static int unix_addr(struct sockaddr_un *addr, const char *path)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memcpy(addr->sun_path, path, strlen(path));
	return 0;
}

int unix_listen(const char *path)
{
	struct sockaddr_un addr;
	struct stat st;
	mode_t mask;
	int fd, err;

	err = unix_addr(&addr, path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* One that was left behind, and nothing else. */
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		unlink(path);
	mask = umask(0177);
	err = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8) ?
	      -errno : 0;
	umask(mask);
	if (err)
		close(fd);
	return err ? err : fd;
}

/* A queue that is full answers at once, too: nobody waits here. */
int unix_connect(const char *path)
{
	struct sockaddr_un addr;
	int fd, err;

	err = unix_addr(&addr, path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* The messages of a checkpoint have four bytes: none may wait for another one. */
void tcp_tune(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static struct addrinfo *resolve(const char *addr, const char *port, int flags)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICHOST,
	};
	struct addrinfo *found = NULL;
	int err;

	err = getaddrinfo(addr, port, &hints, &found);
	if (err) {
		say(SD_ERR "%s %s: %s", addr, port, gai_strerror(err));
		return NULL;
	}
	return found;
}

int tcp_listen(const char *addr, const char *port)
{
	struct addrinfo *found = resolve(addr, port, AI_PASSIVE);
	int fd, err = 0, on = 1;

	if (!found)
		return -EINVAL;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 8))
		err = -errno;
	if (err && fd >= 0)
		close(fd);
	freeaddrinfo(found);
	return err ? err : fd;
}

int tcp_connect(const char *addr, const char *port)
{
	struct addrinfo *found = resolve(addr, port, 0);
	int fd, err = 0;

	if (!found)
		return -EINVAL;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || (connect(fd, found->ai_addr, found->ai_addrlen) &&
		       errno != EINPROGRESS))
		err = -errno;
	if (err && fd >= 0)
		close(fd);
	freeaddrinfo(found);
	return err ? err : fd;
}

bool tcp_from(int fd, const char *addr)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	struct addrinfo *want;
	bool same = false;

	want = resolve(addr, NULL, 0);
	if (!want || getpeername(fd, (struct sockaddr *)&from, &len))
		return false;
	if (from.ss_family == want->ai_family && from.ss_family == AF_INET)
		same = !memcmp(&((struct sockaddr_in *)&from)->sin_addr,
			       &((struct sockaddr_in *)want->ai_addr)->sin_addr,
			       sizeof(struct in_addr));
	if (from.ss_family == want->ai_family && from.ss_family == AF_INET6)
		same = !memcmp(&((struct sockaddr_in6 *)&from)->sin6_addr,
			       &((struct sockaddr_in6 *)want->ai_addr)->sin6_addr,
			       sizeof(struct in6_addr));
	freeaddrinfo(want);
	return same;
}

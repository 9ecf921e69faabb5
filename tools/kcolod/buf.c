// SPDX-License-Identifier: GPL-2.0
/* Bytes that wait to be taken or sent. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "buf.h"

void buf_add(struct buf *buf, const void *data, size_t len)
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

void buf_drop(struct buf *buf, size_t len)
{
	buf->start += len;
	if (buf->start == buf->end) {
		buf->start = 0;
		buf->end = 0;
	}
}

int buf_send(struct buf *buf, int fd)
{
	while (buf_len(buf)) {
		ssize_t n = send(fd, buf_first(buf), buf_len(buf),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		buf_drop(buf, n);
	}
	return 0;
}

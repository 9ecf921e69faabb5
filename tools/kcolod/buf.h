/* SPDX-License-Identifier: GPL-2.0 */
/* Bytes that wait, in memory that may outlive the daemon. */
#ifndef KCOLOD_BUF_H
#define KCOLOD_BUF_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK		32768
#define BUF_SIZE	(4 * CHUNK)

struct buf {
	uint32_t start;
	uint32_t end;
	uint8_t data[BUF_SIZE];
};

static inline size_t buf_len(const struct buf *buf)
{
	return buf->end - buf->start;
}

static inline size_t buf_room(const struct buf *buf)
{
	return BUF_SIZE - buf_len(buf);
}

static inline const uint8_t *buf_first(const struct buf *buf)
{
	return buf->data + buf->start;
}

/* There has to be room for it. */
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_drop(struct buf *buf, size_t len);
/* Sends what @fd takes. Returns 0 or a negative errno. */
int buf_send(struct buf *buf, int fd);

#endif

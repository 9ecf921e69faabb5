/* SPDX-License-Identifier: GPL-2.0 */
/* What the secondary's QEMU says on the migration channel. */
#ifndef KCOLOD_STREAM_H
#define KCOLOD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers with which it answers. */
enum {
	COLO_READY	= 0,
	COLO_REPLY	= 2,
	COLO_RECEIVED	= 5,
	COLO_LOADED	= 6,
};

/**
 * struct stream - how far it is understood
 * @colo: READY was said; from then on there are numbers alone
 * @last: the newest number
 * @head: the header or the number that is being received
 * @head_len: what is there of it
 * @payload: what is still to come of a message of the return path
 */
struct stream {
	uint32_t colo;
	uint32_t last;
	uint8_t head[4];
	uint32_t head_len;
	uint32_t payload;
};

/* enum word - what a head is */
enum word {
	WORD_NONE,	/* not complete */
	WORD_HEADER,	/* of a message of the return path */
	WORD_NUMBER,
	WORD_BAD,	/* neither */
	WORD_ORDER,	/* a number that does not follow the one before */
};

/* Whether what has been received ends between two messages. */
bool stream_between(const struct stream *stream);
/* How many of the @len bytes that have come belong together. */
size_t stream_piece(const struct stream *stream, size_t len);
/* Takes such a piece. Returns whether it was payload, which means nothing here. */
bool stream_put(struct stream *stream, const uint8_t *data, size_t len);
/* What the head is, which stays until stream_done(); @number is set if there are four bytes. */
enum word stream_head(const struct stream *stream, uint32_t *number);
void stream_done(struct stream *stream, enum word word, uint32_t number);

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * The secondary's side of the migration channel: first messages of the return path,
 * each with a header of four bytes, type and length; then READY, which is four zeros
 * where such a header would be, and numbers of four bytes ever after.
 *
 * Nothing here has an effect; a head can be looked at again by a daemon that was
 * killed before it had one.
 */

#include <arpa/inet.h>
#include <string.h>

#include "stream.h"

bool stream_between(const struct stream *stream)
{
	return !stream->head_len && !stream->payload;
}

size_t stream_piece(const struct stream *stream, size_t len)
{
	size_t most = stream->payload ? stream->payload :
					sizeof(stream->head) - stream->head_len;

	return len < most ? len : most;
}

bool stream_put(struct stream *stream, const uint8_t *data, size_t len)
{
	if (stream->payload) {
		stream->payload -= len;
		return true;
	}
	memcpy(stream->head + stream->head_len, data, len);
	stream->head_len += len;
	return false;
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

enum word stream_head(const struct stream *stream, uint32_t *number)
{
	uint16_t type;

	if (stream->head_len < sizeof(stream->head))
		return WORD_NONE;
	memcpy(number, stream->head, sizeof(*number));
	memcpy(&type, stream->head, sizeof(type));
	*number = ntohl(*number);
	if (stream->colo)
		return in_order(*number, stream->last) ? WORD_NUMBER : WORD_ORDER;
	if (type)
		return WORD_HEADER;
	return *number == COLO_READY ? WORD_NUMBER : WORD_BAD;
}

void stream_done(struct stream *stream, enum word word, uint32_t number)
{
	stream->head_len = 0;
	if (word == WORD_HEADER) {
		stream->payload = number & 0xffff;
		return;
	}
	stream->colo = true;
	stream->last = number;
}

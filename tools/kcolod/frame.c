// SPDX-License-Identifier: GPL-2.0
/* What the two daemons say to each other: a header, then its payload. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <linux/kcolo.h>

#include "relay.h"

#define VERSION		1
#define NAME_ROOM	64

struct hello {
	uint32_t version;
	uint32_t epoch;
	char pair[NAME_ROOM];
} __attribute__((packed));

bool frame_fits(void)
{
	return buf_room(&relay.ch->to_peer) >= 4 * sizeof(struct frame);
}

void frame_add(enum frame_type type, uint8_t arg, const void *data, size_t len)
{
	struct frame frame = { type, arg, htons(len) };

	buf_add(&relay.ch->to_peer, &frame, sizeof(frame));
	if (len)
		buf_add(&relay.ch->to_peer, data, len);
}

void greet(uint32_t epoch)
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
void take_frames(void)
{
	struct channel *ch = relay.ch;
	struct buf *buf = &ch->from_peer;

	while (buf_len(buf) >= sizeof(struct frame)) {
		struct frame frame;
		size_t len;

		memcpy(&frame, buf_first(buf), sizeof(frame));
		len = ntohs(frame.len);
		if (len > CHUNK) {
			peer_end(BYE_NONE, "a frame that is too long");
			return;
		}
		if (buf_len(buf) < sizeof(frame) + len || buf_room(&ch->to_qemu) < len + 4)
			return;
		if (!take_frame(&frame, buf_first(buf) + sizeof(frame), len))
			return;
		buf_drop(buf, sizeof(frame) + len);
		take_said();
		if (!relay.ch || !relay.peer.source)
			return;
	}
}

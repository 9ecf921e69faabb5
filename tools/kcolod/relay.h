/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the relay share: relay.c, frame.c, keep.c. */
#ifndef KCOLOD_RELAY_H
#define KCOLOD_RELAY_H

#include "buf.h"
#include "kcolod.h"
#include "stream.h"

/**
 * struct channel - what outlives the daemon
 * @magic: of this layout
 * @role: of this side
 * @stage: how far the channel has come
 * @epoch: of the newest fence that was a commit, on both hosts
 * @stream: what the secondary says
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
	struct stream stream;
	struct buf said;
	struct buf from_peer;
	struct buf to_peer;
	struct buf to_qemu;
};

/**
 * struct relay - the channel and its sockets
 * @role: of this side
 * @listen: the primary's QEMU comes here, or the primary's daemon
 * @qemu: to QEMU
 * @peer: to the other daemon
 * @ch: NULL if there is none
 * @connecting: to the other daemon
 * @unlinked: the peer is given up, QEMU may still say something
 * @ended: QEMU has nothing to say any more
 * @since: when the channel began here
 * @heard: when the peer said something
 * @pinged: when it was told that we live
 */
struct relay {
	uint32_t role;
	struct io listen;
	struct io qemu;
	struct io peer;
	struct channel *ch;
	bool connecting;
	bool unlinked;
	bool ended;
	uint64_t since;
	uint64_t heard;
	uint64_t pinged;
};

extern struct relay relay;

/* Ends the link to the other daemon; @why is for the journal. */
void peer_end(enum bye word, const char *why);
/* Takes what the secondary has said, with its fences. */
void take_said(void);

/* ---- frame.c */

enum frame_type { FRAME_HELLO = 1, FRAME_DATA, FRAME_REQUEST, FRAME_BYE, FRAME_PING };

struct frame {
	uint8_t type;
	uint8_t arg;
	uint16_t len;
} __attribute__((packed));

/* Whether there is room for a frame without a payload, and for what is under way. */
bool frame_fits(void);
void frame_add(enum frame_type type, uint8_t arg, const void *data, size_t len);
/* The first frame: which pair, and its epoch. */
void greet(uint32_t epoch);
/* Takes the frames that are there, as long as what is in them fits. */
void take_frames(void);

/* ---- keep.c */

/* Gives @fd to systemd, which gives it to the next daemon; and takes it back. */
void keep(const char *name, int fd);
void unkeep(const char *name);
/* A channel, kept. Returns 0 or a negative errno. */
int channel_new(void);
void channel_end(void);
/*
 * What the daemon before has left: the channel and its two sockets. Returns false if
 * that was nothing, or not whole, and ends it.
 */
bool channel_back(int *qemu, int *peer);

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/dgram.c with any two sides, against a model too simple to be wrong: an
 * array of what each side has said, searched from its start each time.
 *
 * Two bytes are a step: P or S says a datagram, time passes, or one or both say a
 * burst of datagrams that are said only there.
 */
#include <stdio.h>
#include <string.h>

#include "dgram.h"
#include "fuzz.h"

#define WINDOW	1000	/* ns */
#define MAX	16384	/* datagrams of a side */
#define SIZE	48

struct said {
	struct kcolo_dgram dg;
	u8 bytes[SIZE + 1];
	u32 id;
	u64 since;
	bool met;
	bool left;
};

static struct said side[2][MAX];
static u32 n[2], top[2];
static u64 now;
static struct kcolo_dgrams d;

static struct said *said_of(const struct kcolo_dgram *dg)
{
	return (struct said *)((char *)dg - offsetof(struct said, dg));
}

static u32 equal(const struct kcolo_dgram *p, const struct kcolo_dgram *s,
		 u32 off)
{
	u32 len = p->len < s->len ? p->len : s->len, i = off;

	must(off <= len, "beyond the end");
	while (i < len && said_of(p)->bytes[i] == said_of(s)->bytes[i])
		i++;
	return i - off;
}

/* They differ in the head, early or late, or behind it, some in their length. */
static void fill(struct said *at, u32 id)
{
	static const u8 where[] = { 4, 20, 40 };

	memset(at, 0, sizeof(*at));
	at->id = id;
	at->since = now;
	memcpy(at->bytes + where[id % 3], &id, sizeof(id));
	at->dg.len = SIZE + id % 4 / 3;
	at->dg.since = now;
	memcpy(at->dg.head, at->bytes, KCOLO_DGRAM_HEAD);
}

/* The model: what may be met still, what is waited for. */
static bool passed(int who, u32 i)
{
	return top[who] > i + KCOLO_DGRAM_WINDOW;
}

static bool in_window(int who, u32 i)
{
	return !passed(who, i) && now - side[who][i].since <= WINDOW;
}

static struct said *model_meet(int who, u32 me)
{
	u32 i, left = KCOLO_DGRAM_WINDOW;

	for (i = 0; i < n[!who] && left; i++) {
		if (side[!who][i].met || passed(!who, i))
			continue;
		left--;
		if (side[!who][i].id != side[who][me].id)
			continue;
		side[!who][i].met = true;
		side[who][me].met = true;
		if (top[!who] < i + 1)
			top[!who] = i + 1;
		if (top[who] < me + 1)
			top[who] = me + 1;
		return &side[!who][i];
	}
	return NULL;
}

/* May it leave, if it has met? */
static bool model_free(u32 me)
{
	u32 i;

	for (i = 0; i < me; i++)
		if (!side[KCOLO_P][i].left &&
		    (side[KCOLO_P][i].met || in_window(KCOLO_P, i)))
			return false;
	return side[KCOLO_P][me].met;
}

static bool model_differ(void)
{
	u32 i[2];
	int who;

	for (who = 0; who < 2; who++) {
		for (i[who] = 0; i[who] < n[who]; i[who]++)
			if (!side[who][i[who]].met)
				break;
		if (i[who] == n[who] || in_window(who, i[who]))
			return false;
	}
	return true;
}

static unsigned int leave(void)
{
	struct kcolo_dgram *dg;
	unsigned int left = 0;
	u32 i;

	for (i = 0; i < n[KCOLO_P]; i++) {
		if (side[KCOLO_P][i].left || !model_free(i))
			continue;
		dg = kcolo_dgram_leave(&d, now, WINDOW);
		must(dg == &side[KCOLO_P][i].dg, "not the one that leaves");
		side[KCOLO_P][i].left = true;
		left++;
	}
	must(!kcolo_dgram_leave(&d, now, WINDOW), "one too many leaves");
	return left;
}

static void say(int who, u32 id)
{
	u32 me = n[who]++;
	struct said *at = &side[who][me];
	struct kcolo_dgram *found;
	struct said *want;

	fill(at, id);
	kcolo_dgram_number(&d, who, &at->dg);
	must(at->dg.order == me, "number");
	want = model_meet(who, me);
	found = kcolo_dgram_meet(&d, who, &at->dg, equal);
	must(found == (want ? &want->dg : NULL), "partner");
	if (found)
		must(kcolo_dgram_difference(&at->dg, found, equal) ==
		     at->dg.len, "a difference between equal ones");
	if (who == KCOLO_P && found &&
	    kcolo_dgram_may_leave(&d, now, WINDOW)) {
		must(model_free(me), "may not leave at once");
		at->left = true;
	} else if (who == KCOLO_P || !found) {
		must(!found || !model_free(me), "might leave at once");
		kcolo_dgram_queue(&d, who, &at->dg);
	}
}

/* Nothing happens before the time that it says, something does after it. */
static void check_deadline(void)
{
	u64 at, then = now;
	bool differs = model_differ();
	u32 i, waiting = 0;

	for (i = 0; i < n[KCOLO_P]; i++)
		waiting += side[KCOLO_P][i].met && !side[KCOLO_P][i].left;
	if (!kcolo_dgram_deadline(&d, now, WINDOW, &at)) {
		must(!waiting, "something waits for ever");
		now += 10 * WINDOW;
		must(model_differ() == differs, "a difference is not noticed");
		now = then;
		return;
	}
	must(at >= now, "a deadline that has passed");
	now = at;
	for (i = 0; i < n[KCOLO_P]; i++)
		must(side[KCOLO_P][i].left || !model_free(i), "too late");
	must(model_differ() == differs, "too late to differ");
	now = at + 1;
	waiting = 0;
	for (i = 0; i < n[KCOLO_P]; i++)
		waiting += !side[KCOLO_P][i].left && model_free(i);
	must(waiting || model_differ() != differs, "too early");
	now = then;
}

static void step(u8 kind, u8 arg)
{
	static u32 fresh;
	u32 i;

	switch (kind % 8) {
	case 0:
	case 1:
	case 2:
		say(KCOLO_P, arg % 16);
		break;
	case 3:
	case 4:
	case 5:
		say(KCOLO_S, arg % 16);
		break;
	case 6:
		now += arg * 8;
		break;
	case 7:
		for (i = 0; i < arg; i++) {
			say(kind & 8 ? KCOLO_P : KCOLO_S, 1000 + ++fresh);
			if (kind & 48)
				say(kind & 8 ? KCOLO_S : KCOLO_P, 1000 + fresh);
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const u8 protos[] = { 1, 2, 6, 17, 33, 47, 58, 132, 136 };
	struct kcolo_tuple tuple = {};
	struct kcolo_dgram dg = {};
	u8 once[KCOLO_DGRAM_HEAD];
	size_t i;

	if (size < 2)
		return 0;
	tuple.v6 = data[0] & 1;
	tuple.proto = protos[data[1] % sizeof(protos)];
	memcpy(dg.head, data + 2, size - 2 < sizeof(once) ? size - 2 :
							    sizeof(once));
	kcolo_dgram_read(&dg, &tuple);
	memcpy(once, dg.head, sizeof(once));
	kcolo_dgram_read(&dg, &tuple);
	must(!memcmp(once, dg.head, sizeof(once)), "masked twice");

	memset(top, 0, sizeof(top));
	memset(n, 0, sizeof(n));
	now = 1;
	kcolo_dgrams_init(&d);
	for (i = 0; i + 1 < size; i += 2) {
		if (n[KCOLO_P] + 256 > MAX || n[KCOLO_S] + 256 > MAX)
			break;
		step(data[i], data[i + 1]);
		leave();
		must(kcolo_dgram_differ(&d, now, WINDOW) == model_differ(),
		     "differ");
		check_deadline();
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Remembers which connections were translated, so that the loss of one is noticed
 * (W7): somebody may empty conntrack's table behind our back.
 *
 * Two bits of a large map for each. The map is made anew at every walk through
 * conntrack, in its other half. A bit may be set by another connection: then a
 * checkpoint is asked for in vain.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/siphash.h>

#include "known.h"

#define BITS_MIN	65536U
#define BITS_MAX	2097152U
#define BITS_PER_FLOW	8

static siphash_aligned_key_t key;

struct place {
	u32 bit[2];
};

static struct place place_of(const struct kcolo_pair *pair,
			     const struct kcolo_tuple *tuple)
{
	u64 hash = siphash(tuple, sizeof(*tuple), &key);
	u32 mask = pair->known_bits - 1;

	return (struct place){ { hash & mask, hash >> 32 & mask } };
}

/**
 * kcolo_known_setup() - make the map of a new pair
 * @pair: a secondary pair; its cfg.max_flows decides about the size
 *
 * Context: process.
 * Return: 0 or -ENOMEM.
 */
int kcolo_known_setup(struct kcolo_pair *pair)
{
	get_random_once(&key, sizeof(key));
	pair->known_bits = roundup_pow_of_two(clamp(pair->cfg.max_flows,
						    BITS_MIN / BITS_PER_FLOW,
						    BITS_MAX / BITS_PER_FLOW)) *
			   BITS_PER_FLOW;
	pair->known = kvcalloc(2 * BITS_TO_LONGS(pair->known_bits),
			       sizeof(long), GFP_KERNEL_ACCOUNT);
	return pair->known ? 0 : -ENOMEM;
}

static unsigned long *half(struct kcolo_pair *pair, unsigned int n)
{
	return pair->known + n * BITS_TO_LONGS(pair->known_bits);
}

/**
 * kcolo_known_add() - remember a connection
 * @pair: a secondary pair
 * @tuple: as in packets of the guest
 */
void kcolo_known_add(struct kcolo_pair *pair, const struct kcolo_tuple *tuple)
{
	struct place place = place_of(pair, tuple);
	int i, n;

	for (n = 0; n < 2; n++)
		for (i = 0; i < 2; i++)
			set_bit(place.bit[i], half(pair, n));
}

/**
 * kcolo_known_take() - was this connection translated? Then forget it
 * @pair: a secondary pair
 * @tuple: as in packets of the guest
 *
 * Return: true if it was; the next call says no, so each loss counts once.
 */
bool kcolo_known_take(struct kcolo_pair *pair, const struct kcolo_tuple *tuple)
{
	struct place place = place_of(pair, tuple);
	unsigned long *now = half(pair, READ_ONCE(pair->known_half));
	int i, n;

	if (!test_bit(place.bit[0], now) || !test_bit(place.bit[1], now))
		return false;
	for (n = 0; n < 2; n++)
		for (i = 0; i < 2; i++)
			clear_bit(place.bit[i], half(pair, n));
	return true;
}

/**
 * kcolo_known_begin() - a walk begins; it adds all that live
 * @pair: a secondary pair
 */
void kcolo_known_begin(struct kcolo_pair *pair)
{
	bitmap_zero(half(pair, !pair->known_half), pair->known_bits);
}

/**
 * kcolo_known_end() - the walk is over; what it did not add is forgotten
 * @pair: a secondary pair
 */
void kcolo_known_end(struct kcolo_pair *pair)
{
	WRITE_ONCE(pair->known_half, !pair->known_half);
}

/**
 * kcolo_known_clear() - no connection is translated any more (C2)
 * @pair: a secondary pair
 */
void kcolo_known_clear(struct kcolo_pair *pair)
{
	bitmap_zero(half(pair, 0), pair->known_bits);
	bitmap_zero(half(pair, 1), pair->known_bits);
}

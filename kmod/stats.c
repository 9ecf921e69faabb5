// SPDX-License-Identifier: GPL-2.0
/* Adds up the counters and histograms of a pair and puts them into a message. */
#include <net/netlink.h>

#include "kcolo.h"

static u64 level(struct kcolo_pair *pair, int attr)
{
	switch (attr) {
	case KCOLO_A_STATS_HELD:
		return atomic_read(&pair->held_n);
	case KCOLO_A_STATS_HELD_BYTES:
		return atomic_long_read(&pair->held_bytes);
	case KCOLO_A_STATS_QUEUED:
		return atomic_read(&pair->queued_n);
	case KCOLO_A_STATS_QUEUED_BYTES:
		return atomic_long_read(&pair->queued_bytes);
	case KCOLO_A_STATS_FLOWS:
		return atomic_read(&pair->flow_n);
	default:
		return 0;
	}
}

static u64 sum(struct kcolo_pair *pair, int attr)
{
	u64 n = level(pair, attr);
	int cpu;

	for_each_possible_cpu(cpu)
		n += READ_ONCE(per_cpu_ptr(pair->stats, cpu)->v[attr]);
	return n;
}

/**
 * kcolo_stats_flushed() - packets dropped because something went away
 * @pair: pair
 *
 * Return: their number since the pair was made.
 */
u64 kcolo_stats_flushed(struct kcolo_pair *pair)
{
	return sum(pair, KCOLO_A_STATS_FLUSHED) +
	       sum(pair, KCOLO_A_STATS_WAIT_FLUSHED);
}

/**
 * kcolo_stats_put() - put all counters of a pair into a message
 * @msg: message
 * @pair: pair
 *
 * Return: 0 or -EMSGSIZE.
 */
int kcolo_stats_put(struct sk_buff *msg, struct kcolo_pair *pair)
{
	struct nlattr *nest = nla_nest_start(msg, KCOLO_A_STATS);
	int attr;

	if (!nest)
		return -EMSGSIZE;
	for (attr = KCOLO_A_STATS_PAD + 1; attr <= KCOLO_A_STATS_MAX; attr++) {
		if (kcolo_put_u64(msg, attr, sum(pair, attr))) {
			nla_nest_cancel(msg, nest);
			return -EMSGSIZE;
		}
	}
	nla_nest_end(msg, nest);
	return 0;
}

static int put_histogram(struct sk_buff *msg, struct kcolo_pair *pair, int attr,
			 enum kcolo_histogram which)
{
	u64 total[KCOLO_HISTOGRAM_LEN] = {};
	int cpu, i;

	for_each_possible_cpu(cpu) {
		const struct kcolo_stats *stats = per_cpu_ptr(pair->stats, cpu);

		for (i = 0; i < KCOLO_HISTOGRAM_LEN; i++)
			total[i] += READ_ONCE(stats->histogram[which][i]);
	}
	return nla_put(msg, attr, sizeof(total), total);
}

/**
 * kcolo_histograms_put() - put the histograms of a pair into a message
 * @msg: message
 * @pair: a primary pair; a secondary has none
 *
 * Return: 0 or -EMSGSIZE.
 */
int kcolo_histograms_put(struct sk_buff *msg, struct kcolo_pair *pair)
{
	if (pair->role != KCOLO_ROLE_PRIMARY)
		return 0;
	return put_histogram(msg, pair, KCOLO_A_HOLD_TIMES,
			     KCOLO_HISTOGRAM_HOLD) ?:
	       put_histogram(msg, pair, KCOLO_A_COMPARE_LAG,
			     KCOLO_HISTOGRAM_LAG);
}

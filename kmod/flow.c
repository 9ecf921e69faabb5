// SPDX-License-Identifier: GPL-2.0
/* The table of connections of a pair on the primary, and their release order. */
#include <linux/list_sort.h>
#include <linux/mm.h>
#include <linux/percpu_counter.h>
#include <linux/slab.h>

#include "kcolo.h"
#include "trace.h"
#include "wait.h"

#define BUCKETS_MIN	1024
#define BUCKETS_MAX	1048576
#define WALK_CHUNK	256	/* buckets between two chances to reschedule */

static struct kmem_cache *flow_cache;

#define HASHED (sizeof(struct kcolo_tuple) / sizeof(u32))

static u64 flow_key[HASHED + 1] __ro_after_init;

/* All pairs of user namespaces together get an eighth of the memory (S4). */
static struct percpu_counter total;
static s64 total_max;

/* Two words more of what is hashed, with the key's next two. */
static u64 mix(u64 sum, const u64 *key, u32 a, u32 b)
{
	return sum + (key[0] + a) * (key[1] + b);
}

/*
 * Clients choose ports and addresses, so it takes a key that they do not know: of two
 * connections, however chosen, chance alone says whether they share a bucket (pairs are
 * multiplied, the upper half counts: strongly universal). Short, each packet needs it;
 * what is left out of the short form is zero in all that take it.
 */
static struct hlist_head *bucket(const struct kcolo_pair *pair,
				 const struct kcolo_tuple *t)
{
	const u32 *word = (const u32 *)t;
	u64 sum = flow_key[HASHED];
	unsigned int i;

	if (t->v6 || t->vlan) {
		for (i = 0; i < HASHED; i += 2)
			sum = mix(sum, &flow_key[i], word[i], word[i + 1]);
	} else {
		sum = mix(sum, &flow_key[0], (__force u32)t->src.w[0],
			  (__force u32)t->dst.w[0]);
		sum = mix(sum, &flow_key[2],
			  (__force u32)t->sport << 16 | (__force u32)t->dport,
			  (u32)t->frag << 16 | t->proto);
	}
	return &pair->flows[sum >> 32 & pair->flow_mask];
}

static bool same(const struct kcolo_tuple *a, const struct kcolo_tuple *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;

	BUILD_BUG_ON(sizeof(*a) != 6 * sizeof(u64));
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) |
		 (x[4] ^ y[4]) | (x[5] ^ y[5]));
}

/**
 * kcolo_flow_find() - look a connection up
 * @pair: pair
 * @tuple: as in packets of the guest
 *
 * Context: RCU. The flow may be dead; look again under its lock.
 * Return: the flow or NULL.
 */
struct kcolo_flow *kcolo_flow_find(struct kcolo_pair *pair,
				   const struct kcolo_tuple *tuple)
{
	struct kcolo_flow *flow;

	hlist_for_each_entry_rcu(flow, bucket(pair, tuple), node)
		if (same(&flow->tuple, tuple))
			return flow;
	return NULL;
}

static struct kcolo_flow *flow_alloc(struct kcolo_pair *pair,
				     const struct kcolo_tuple *tuple)
{
	struct kcolo_flow *flow = kmem_cache_zalloc(flow_cache, GFP_ATOMIC);

	if (!flow)
		return NULL;
	flow->pair = pair;
	flow->tuple = *tuple;
	flow->epoch = kcolo_phase(pair).epoch;
	flow->gen = kcolo_phase(pair).gen;
	flow->used = jiffies;
	spin_lock_init(&flow->lock);
	INIT_LIST_HEAD(&flow->held);
	INIT_LIST_HEAD(&flow->queued);
	INIT_LIST_HEAD(&flow->early);
	INIT_LIST_HEAD(&flow->outbox);
	if (kcolo_flow_is_tcp(flow)) {
		INIT_LIST_HEAD(&flow->gated);
		INIT_LIST_HEAD(&flow->resets);
		return flow;
	}
	INIT_LIST_HEAD(&flow->late);
	kcolo_dgrams_init(&flow->dgrams);
	/* Datagrams are shown as in packets of the guest. */
	flow->opened_by_vm = true;
	return flow;
}

/**
 * kcolo_flow_get() - look a connection up, make it if it is new
 * @pair: pair
 * @tuple: as in packets of the guest
 *
 * Context: RCU, bottom halves off.
 * Return: the flow; -ENOSPC at max-flows (R10), counted; -ENOMEM.
 */
struct kcolo_flow *kcolo_flow_get(struct kcolo_pair *pair,
				  const struct kcolo_tuple *tuple)
{
	struct kcolo_flow *flow = kcolo_flow_find(pair, tuple), *new;

	if (flow)
		return flow;
	if (atomic_read(&pair->flow_n) >= READ_ONCE(pair->cfg.max_flows) ||
	    (pair->bounded && percpu_counter_read(&total) >= total_max)) {
		kcolo_count(pair, FLOWS_REFUSED);
		trace_proxy_main(pair, "too many connections");
		return ERR_PTR(-ENOSPC);
	}
	new = flow_alloc(pair, tuple);
	if (!new)
		return ERR_PTR(-ENOMEM);
	spin_lock(&pair->flow_lock);
	flow = kcolo_flow_find(pair, tuple);
	if (!flow) {
		hlist_add_head_rcu(&new->node, bucket(pair, tuple));
		atomic_inc(&pair->flow_n);
		if (pair->bounded)
			percpu_counter_inc(&total);
	}
	spin_unlock(&pair->flow_lock);
	if (flow)
		kmem_cache_free(flow_cache, new);
	return flow ?: new;
}

/**
 * kcolo_flow_walk() - do something with every connection
 * @pair: pair
 * @fn: called under RCU with bottom halves off
 * @data: for @fn
 *
 * Context: process. Connections that come or go meanwhile may be missed.
 */
void kcolo_flow_walk(struct kcolo_pair *pair,
		     void (*fn)(struct kcolo_flow *flow, void *data),
		     void *data)
{
	struct kcolo_flow *flow;
	u32 i;

	if (!pair->flows || !atomic_read(&pair->flow_n))
		return;
	for (i = 0; i <= pair->flow_mask; i++) {
		if (!hlist_empty(&pair->flows[i])) {
			local_bh_disable();
			rcu_read_lock();
			/* A flow that fn removes stays readable under RCU. */
			hlist_for_each_entry_rcu(flow, &pair->flows[i], node)
				fn(flow, data);
			rcu_read_unlock();
			local_bh_enable();
		}
		if (i % WALK_CHUNK == 0)
			cond_resched();
	}
}

static void flow_free(struct rcu_head *rcu)
{
	kmem_cache_free(flow_cache, container_of(rcu, struct kcolo_flow, rcu));
}

/**
 * kcolo_flow_remove() - take a connection out of the table
 * @flow: locked by the caller, all its lists empty, alive
 */
void kcolo_flow_remove(struct kcolo_flow *flow)
{
	struct kcolo_pair *pair = flow->pair;

	lockdep_assert_held(&flow->lock);
	flow->dead = true;
	spin_lock(&pair->flow_lock);
	hlist_del_rcu(&flow->node);
	spin_unlock(&pair->flow_lock);
	atomic_dec(&pair->flow_n);
	if (pair->bounded)
		percpu_counter_dec(&total);
	call_rcu(&flow->rcu, flow_free);
}

/**
 * kcolo_flow_let_out() - a packet may leave
 * @flow: locked by the caller, who unlocks it with kcolo_flow_unlock()
 * @held: in one of its lists or in none
 *
 * Packets that leave together leave in the guest's order (R12): kcolo_flow_drain()
 * sorts them.
 */
void kcolo_flow_let_out(struct kcolo_flow *flow, struct kcolo_held *held)
{
	struct kcolo_held *last;

	last = list_empty(&flow->outbox) ? NULL :
	       list_last_entry(&flow->outbox, struct kcolo_held, list);
	if (last && (s32)(last->order - held->order) > 0)
		flow->out_mixed = true;
	list_move_tail(&held->list, &flow->outbox);
	flow->out_n++;
}

static int by_order(void *priv, const struct list_head *a,
		    const struct list_head *b)
{
	const struct kcolo_held *x = list_entry(a, struct kcolo_held, list);
	const struct kcolo_held *y = list_entry(b, struct kcolo_held, list);

	return (s32)(x->order - y->order) > 0;
}

/**
 * kcolo_flow_drain() - unlock a connection with packets in its outbox and send them
 * @flow: locked by the caller, nobody is sending
 * @now: monotonic ns, 0 if the caller has not asked for the time
 *
 * One sends, the others leave their packets to it: order is kept whichever CPU
 * releases them (R12).
 *
 * Context: bottom halves off, RCU, no other lock of ours.
 */
void kcolo_flow_drain(struct kcolo_flow *flow, u64 now)
	__releases(&flow->lock)
{
	bool later = false, mixed;
	LIST_HEAD(list);

	flow->releasing = true;
	do {
		list_splice_init(&flow->outbox, &list);
		later |= flow->out_later || flow->out_n > KCOLO_BURST;
		mixed = flow->out_mixed;
		flow->out_n = 0;
		flow->out_mixed = false;
		flow->out_later = false;
		spin_unlock(&flow->lock);
		if (mixed)
			list_sort(NULL, &list, by_order);
		if (later)
			kcolo_hold_send_later(flow->pair, &list);
		else
			kcolo_hold_send(flow->pair, &list, now);
		now = 0;	/* the next ones have come later */
		spin_lock(&flow->lock);
	} while (!list_empty(&flow->outbox));
	flow->releasing = false;
	spin_unlock(&flow->lock);
}

/**
 * kcolo_flow_state() - the state of a connection, for people
 * @flow: locked by the caller
 *
 * Return: enum kcolo_flow_state.
 */
enum kcolo_flow_state kcolo_flow_state(const struct kcolo_flow *flow)
{
	const struct kcolo_cmp *c = &flow->cmp;

	if (!kcolo_flow_is_tcp(flow))
		return flow->asked ? KCOLO_FLOW_STATE_MISCOMPARED :
				     KCOLO_FLOW_STATE_ESTABLISHED;
	if (c->state == KCOLO_CMP_DIFF)
		return KCOLO_FLOW_STATE_MISCOMPARED;
	if (kcolo_cmp_rst_met(c) || flow->client.rst ||
	    (c->side[KCOLO_P].fin && kcolo_client_fin(flow)))
		return KCOLO_FLOW_STATE_CLOSED;
	if (c->side[KCOLO_P].fin || kcolo_client_fin(flow))
		return KCOLO_FLOW_STATE_CLOSING;
	/* A client that never completes the handshake must not be kept for long. */
	if (c->state == KCOLO_CMP_RUN && c->stream_ok && !flow->opened_by_vm &&
	    !flow->client.ok)
		return KCOLO_FLOW_STATE_OPENING;
	if (c->state == KCOLO_CMP_RUN)
		return KCOLO_FLOW_STATE_ESTABLISHED;
	return c->state == KCOLO_CMP_ADOPT ? KCOLO_FLOW_STATE_ADOPTING :
					     KCOLO_FLOW_STATE_OPENING;
}

/**
 * kcolo_flow_tuple() - a connection as people read it, from its opener on
 * @flow: locked by the caller
 * @to: result
 */
void kcolo_flow_tuple(const struct kcolo_flow *flow, struct kcolo_tuple *to)
{
	if (flow->opened_by_vm)
		*to = flow->tuple;
	else
		kcolo_tuple_reverse(to, &flow->tuple);
}

/**
 * kcolo_flow_table() - make the table of a new pair
 * @pair: its cfg.max_flows decides about the size
 *
 * Return: 0 or -ENOMEM.
 */
int kcolo_flow_table(struct kcolo_pair *pair)
{
	u32 n = clamp_t(u32, pair->cfg.max_flows, BUCKETS_MIN, BUCKETS_MAX);

	n = roundup_pow_of_two(n);
	pair->flows = kvcalloc(n, sizeof(*pair->flows), GFP_KERNEL_ACCOUNT);
	pair->flow_mask = n - 1;
	spin_lock_init(&pair->flow_lock);
	return pair->flows ? 0 : -ENOMEM;
}

int __init kcolo_flow_init(void)
{
	get_random_bytes(&flow_key, sizeof(flow_key));
	total_max = div_u64((u64)totalram_pages() * PAGE_SIZE / 8,
			    sizeof(struct kcolo_flow));
	flow_cache = KMEM_CACHE(kcolo_flow, 0);
	if (!flow_cache)
		return -ENOMEM;
	if (percpu_counter_init(&total, 0, GFP_KERNEL)) {
		kmem_cache_destroy(flow_cache);
		return -ENOMEM;
	}
	return 0;
}

void kcolo_flow_exit(void)
{
	rcu_barrier();
	percpu_counter_destroy(&total);
	kmem_cache_destroy(flow_cache);
}

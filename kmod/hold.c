// SPDX-License-Identifier: GPL-2.0
/*
 * Owns stolen packets: holds them, sends them on, drops them.
 *
 * A held packet goes on where the bridge would have taken it: okfn, with bottom
 * halves off, under RCU and no lock of ours. Normally the flow whose packets
 * became releasable sends them (kcolo_flow_drain()). At a commit, failover or
 * bypass everything goes through the pair's outbox instead, sorted by arrival
 * and sent by one worker that lets others run in between, else the receiver's
 * backlog overflows (R12).
 */
#include <linux/list_sort.h>
#include <linux/mm.h>
#include <linux/percpu_counter.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <net/dst.h>

#include "kcolo.h"
#include "trace.h"

static struct kmem_cache *held_cache;
static struct workqueue_struct *out_wq;

/* All pairs of user namespaces together get a quarter of the memory (S4). */
static struct percpu_counter total;
static s64 total_max;

static void account(struct kcolo_pair *pair, const struct kcolo_held *held,
		    int sign)
{
	if (held->okfn) {
		atomic_add(sign, &pair->held_n);
		atomic_long_add(sign * (long)held->size, &pair->held_bytes);
	} else {
		atomic_add(sign, &pair->queued_n);
		atomic_long_add(sign * (long)held->size, &pair->queued_bytes);
	}
	if (pair->bounded)
		percpu_counter_add(&total, sign * (s64)held->size);
}

/**
 * kcolo_hold_room() - is there room for one more packet (R10)
 * @pair: pair
 * @vm: for a packet of the guest, not of the secondary
 * @size: its memory in bytes
 *
 * Return: true if it may be held.
 */
bool kcolo_hold_room(const struct kcolo_pair *pair, bool vm, unsigned int size)
{
	int n = atomic_read(vm ? &pair->held_n : &pair->queued_n);
	long bytes = atomic_long_read(vm ? &pair->held_bytes :
					   &pair->queued_bytes);

	return n < READ_ONCE(pair->cfg.max_packets) &&
	       bytes + size <= READ_ONCE(pair->cfg.max_bytes) &&
	       (!pair->bounded || percpu_counter_read(&total) < total_max);
}

/**
 * kcolo_hold() - take a packet from the stack
 * @pair: pair
 * @skb: at PRE_ROUTING; the hook returns NF_STOLEN after that
 * @state: the hook's
 * @forward: it will go on one day; false for a packet of the secondary, which
 *	is only compared
 * @now: monotonic ns
 *
 * Return: the held packet, NULL if memory is short; then the skb is still the
 * caller's.
 */
struct kcolo_held *kcolo_hold(struct kcolo_pair *pair, struct sk_buff *skb,
			      const struct nf_hook_state *state, bool forward,
			      u64 now)
{
	struct kcolo_held *held;

	/* Pages that the sender may still write to must not be compared. */
	if (skb_orphan_frags_rx(skb, GFP_ATOMIC))
		return NULL;
	held = kmem_cache_zalloc(held_cache, GFP_ATOMIC);
	if (!held)
		return NULL;
	/* R10: it may wait for long and must not use up its sender's quota. */
	skb_orphan(skb);
	held->skb = skb;
	held->since = now;
	held->size = skb->truesize;
	if (forward) {
		held->okfn = state->okfn;
		dev_hold(skb->dev);
	} else {
		nf_reset_ct(skb);
		skb_dst_drop(skb);
		skb->dev = NULL;
	}
	account(pair, held, 1);
	return held;
}

/**
 * kcolo_hold_drop() - free a held packet
 * @pair: pair
 * @held: in no list; the caller counts it by reason
 */
void kcolo_hold_drop(struct kcolo_pair *pair, struct kcolo_held *held)
{
	account(pair, held, -1);
	dev_put(held->skb->dev);
	if (held->okfn)
		kfree_skb(held->skb);
	else
		consume_skb(held->skb);
	kmem_cache_free(held_cache, held);
}

/**
 * kcolo_hold_is_of() - does a held packet go with a device
 * @held: packet of the guest, or a frame that waits
 * @dev: device, NULL for all
 *
 * What is in VLAN tags holds its port, all other packets their bridge.
 * Context: RCU.
 * Return: true if the packet came through it, be it a port or a bridge.
 */
bool kcolo_hold_is_of(const struct kcolo_held *held,
		      const struct net_device *dev)
{
	struct net_device *own = held->skb->dev;

	return !dev || own == dev ||
	       netdev_master_upper_dev_get_rcu(own) == dev;
}

/**
 * kcolo_hold_purge() - drop packets because something goes away
 * @pair: pair
 * @list: packets in no other structure
 * @dev: only those of this device, NULL for all
 *
 * Context: RCU.
 */
void kcolo_hold_purge(struct kcolo_pair *pair, struct list_head *list,
		      const struct net_device *dev)
{
	struct kcolo_held *held, *next;

	list_for_each_entry_safe(held, next, list, list) {
		if (!kcolo_hold_is_of(held, dev))
			continue;
		list_del(&held->list);
		trace_flush(pair, held);
		if (held->okfn && pair->role == KCOLO_ROLE_PRIMARY)
			kcolo_count(pair, FLUSHED);
		else if (held->okfn)
			kcolo_count(pair, WAIT_FLUSHED);
		kcolo_hold_drop(pair, held);
	}
}

/* Bottom halves off, RCU, no lock. */
static void send_one(struct kcolo_pair *pair, struct kcolo_held *held, u64 now)
{
	struct sk_buff *skb = held->skb;
	struct net_device *dev = skb->dev;

	trace_release(pair, held);
	kcolo_count(pair, RELEASED);
	kcolo_count_n(pair, RELEASED_BYTES, skb->len);
	if (pair->role == KCOLO_ROLE_PRIMARY)
		kcolo_histogram_add(pair, KCOLO_HISTOGRAM_HOLD,
				    now - held->since);
	account(pair, held, -1);
	held->okfn(pair->net, NULL, skb);
	dev_put(dev);
	kmem_cache_free(held_cache, held);
}

/**
 * kcolo_hold_send() - let packets go on, in the order of the list
 * @pair: pair
 * @list: packets in no other structure, empty afterwards
 * @now: monotonic ns, 0 if the caller has not asked for the time
 *
 * Context: bottom halves off, RCU, no lock of ours.
 */
void kcolo_hold_send(struct kcolo_pair *pair, struct list_head *list, u64 now)
{
	struct kcolo_held *held, *next;

	if (READ_ONCE(pair->flushing)) {
		spin_lock(&pair->out_lock);
		if (pair->flushing)
			list_splice_tail_init(list, &pair->outbox);
		spin_unlock(&pair->out_lock);
	}
	if (list_empty(list))
		return;
	if (!now)	/* once for all that leave together */
		now = ktime_get_mono_fast_ns();
	list_for_each_entry_safe(held, next, list, list)
		send_one(pair, held, now);
	INIT_LIST_HEAD(list);
}

/**
 * kcolo_hold_send_later() - let many packets go on, from the worker
 * @pair: pair
 * @list: packets in no other structure, empty afterwards; those that their flow
 *	sent before are through
 *
 * Context: bottom halves off, no lock of ours.
 */
void kcolo_hold_send_later(struct kcolo_pair *pair, struct list_head *list)
{
	spin_lock(&pair->out_lock);
	WRITE_ONCE(pair->flushing, true);
	list_splice_tail_init(list, &pair->outbox);
	spin_unlock(&pair->out_lock);
	queue_work(out_wq, &pair->out_work);
}

/**
 * kcolo_hold_behind() - let a packet go on, but not before those that must leave
 *	first
 * @pair: pair
 * @skb: at PRE_ROUTING
 * @state: the hook's
 *
 * Return: a verdict.
 */
unsigned int kcolo_hold_behind(struct kcolo_pair *pair, struct sk_buff *skb,
			       const struct nf_hook_state *state)
{
	struct kcolo_held *held;
	LIST_HEAD(list);

	if (!READ_ONCE(pair->flushing)) {
		if (pair->role == KCOLO_ROLE_PRIMARY)
			kcolo_count(pair, PASSED);
		return NF_ACCEPT;
	}
	if (!kcolo_hold_room(pair, true, skb->truesize)) {
		if (pair->role == KCOLO_ROLE_PRIMARY)
			kcolo_count_drop(pair, OVERFLOW, skb);
		else
			kcolo_count_drop(pair, WAIT_DROPPED, skb);
		return NF_DROP;
	}
	held = kcolo_hold(pair, skb, state, true, ktime_get_mono_fast_ns());
	if (!held) {
		kcolo_count_drop(pair, NOMEM, skb);
		return NF_DROP;
	}
	if (pair->role == KCOLO_ROLE_PRIMARY)
		kcolo_count(pair, HOLD);
	else
		kcolo_count(pair, WAITED);
	trace_hold(pair, held);
	list_add(&held->list, &list);
	kcolo_hold_send(pair, &list, 0);
	return NF_STOLEN;
}

static void out_work(struct work_struct *work)
{
	struct kcolo_pair *pair = container_of(work, struct kcolo_pair, out_work);
	struct kcolo_held *held;
	unsigned int sent = 0;

	for (;;) {
		spin_lock_bh(&pair->out_lock);
		held = NULL;
		if (!pair->hold_out) {
			held = list_first_entry_or_null(&pair->outbox,
							struct kcolo_held, list);
			if (held)
				list_del(&held->list);
			else
				WRITE_ONCE(pair->flushing, false);
		}
		spin_unlock_bh(&pair->out_lock);
		if (!held)
			return;
		local_bh_disable();
		rcu_read_lock();
		send_one(pair, held, ktime_get_mono_fast_ns());
		rcu_read_unlock();
		local_bh_enable();
		if (++sent % KCOLO_BURST == 0)
			cond_resched();
	}
}

/**
 * kcolo_hold_back() - what has not left yet waits again (C6)
 * @pair: a secondary pair, whose checkpoint has just begun
 *
 * Nothing more leaves once this returns.
 * Context: process, kcolo_net.cfg held.
 */
void kcolo_hold_back(struct kcolo_pair *pair)
{
	spin_lock_bh(&pair->out_lock);
	list_splice_init(&pair->outbox, &pair->wait);
	spin_unlock_bh(&pair->out_lock);
	/* The worker may have one in its hands. */
	flush_work(&pair->out_work);
}

/**
 * kcolo_hold_flush_begin() - from now on everything leaves through the outbox
 * @pair: pair
 *
 * Nothing is sent until kcolo_hold_flush_end().
 * Context: process, kcolo_net.cfg held.
 */
void kcolo_hold_flush_begin(struct kcolo_pair *pair)
{
	spin_lock_bh(&pair->out_lock);
	WRITE_ONCE(pair->flushing, true);
	pair->hold_out = true;
	spin_unlock_bh(&pair->out_lock);
}

static int by_arrival(void *priv, const struct list_head *a,
		      const struct list_head *b)
{
	const struct kcolo_held *x = list_entry(a, struct kcolo_held, list);
	const struct kcolo_held *y = list_entry(b, struct kcolo_held, list);

	return (s64)(x->since - y->since) > 0;
}

/**
 * kcolo_hold_flush_end() - start sending what has gathered, in order (R12, C6)
 * @pair: pair; a grace period has passed since kcolo_hold_flush_begin(), so
 *	that no flow is still sending on its own
 *
 * Context: process, kcolo_net.cfg held.
 */
void kcolo_hold_flush_end(struct kcolo_pair *pair)
{
	LIST_HEAD(list);

	spin_lock_bh(&pair->out_lock);
	list_splice_init(&pair->outbox, &list);
	list_splice_init(&pair->wait, &list);
	spin_unlock_bh(&pair->out_lock);

	list_sort(NULL, &list, by_arrival);

	spin_lock_bh(&pair->out_lock);
	list_splice(&list, &pair->outbox);
	pair->hold_out = false;
	spin_unlock_bh(&pair->out_lock);
	queue_work(out_wq, &pair->out_work);
}

/**
 * kcolo_hold_setup() - prepare a new pair
 * @pair: pair
 */
void kcolo_hold_setup(struct kcolo_pair *pair)
{
	spin_lock_init(&pair->out_lock);
	INIT_LIST_HEAD(&pair->outbox);
	INIT_LIST_HEAD(&pair->wait);
	INIT_WORK(&pair->out_work, out_work);
}

int __init kcolo_hold_init(void)
{
	total_max = (s64)totalram_pages() * PAGE_SIZE / 4;
	held_cache = KMEM_CACHE(kcolo_held, 0);
	if (!held_cache)
		return -ENOMEM;
	out_wq = alloc_workqueue("kcolo", WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!out_wq)
		goto err_cache;
	if (percpu_counter_init(&total, 0, GFP_KERNEL))
		goto err_wq;
	return 0;

err_wq:
	destroy_workqueue(out_wq);
err_cache:
	kmem_cache_destroy(held_cache);
	return -ENOMEM;
}

void kcolo_hold_exit(void)
{
	percpu_counter_destroy(&total);
	destroy_workqueue(out_wq);
	kmem_cache_destroy(held_cache);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Conntrack zones: neither two pairs, nor the two sides of one, nor two VLANs share
 * a conntrack or a queue of fragments, although their addresses are equal (S3).
 *
 * A zone is made with its pair, or when the first packet of a VLAN comes; it goes
 * with the pair. Its number says whose it is.
 */
#include <linux/slab.h>
#include <linux/xarray.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_zones.h>

#include "kcolo.h"
#include "zone.h"

#define ZONE_FIRST	0x8000	/* away from the small numbers that people use */
#define ZONE_VLANS	0xa000	/* those before are for pairs, whoever uses VLANs (S4) */
#define ZONE_LAST	0xfffe
#define ZONES_MAX	1024	/* of a pair; a guest may use any VLAN it likes */

static DEFINE_XARRAY_FLAGS(ids, XA_FLAGS_ALLOC | XA_FLAGS_LOCK_BH);

static void free_zone(struct kcolo_zone *zone)
{
	xa_erase_bh(&ids, zone->id);
	nf_ct_put(zone->tmpl);
	kfree_rcu(zone, rcu);
}

static struct kcolo_zone *make_zone(struct kcolo_pair *pair, bool vm, u32 vlan,
				    gfp_t gfp)
{
	struct kcolo_zone *zone = kzalloc(sizeof(*zone), gfp | __GFP_ACCOUNT);
	struct nf_conntrack_zone ct_zone;

	if (!zone)
		return NULL;
	zone->pair = pair;
	zone->vlan = vlan;
	zone->vm = vm;
	if (xa_alloc_bh(&ids, &zone->id, zone,
			XA_LIMIT(vlan ? ZONE_VLANS : ZONE_FIRST, ZONE_LAST), gfp)) {
		kfree(zone);
		return NULL;
	}
	nf_ct_zone_init(&ct_zone, zone->id, NF_CT_DEFAULT_ZONE_DIR, 0);
	zone->tmpl = nf_ct_tmpl_alloc(pair->net, &ct_zone, gfp);
	if (!zone->tmpl) {
		xa_erase_bh(&ids, zone->id);
		kfree_rcu(zone, rcu);
		return NULL;
	}
	__set_bit(IPS_CONFIRMED_BIT, &zone->tmpl->status);
	return zone;
}

/**
 * kcolo_zone_find() - the zone of a pair's side and VLAN
 * @pair: pair
 * @vm: of the primary's guest, else of the secondary's
 * @vlan: as in &struct kcolo_tuple
 *
 * Context: RCU.
 * Return: the zone; NULL if no packet has needed it yet.
 */
struct kcolo_zone *kcolo_zone_find(struct kcolo_pair *pair, bool vm, u32 vlan)
{
	return vlan ? xa_load(&pair->vlans[vm], vlan) : pair->zone[vm];
}

/**
 * kcolo_zone_get() - find the zone of a pair's side and VLAN, make it if it is new
 * @pair: pair
 * @vm: of the primary's guest, else of the secondary's
 * @vlan: as in &struct kcolo_tuple
 *
 * Context: RCU, any.
 * Return: the zone; NULL without memory or with too many VLANs, counted.
 */
struct kcolo_zone *kcolo_zone_get(struct kcolo_pair *pair, bool vm, u32 vlan)
{
	struct kcolo_zone *zone = kcolo_zone_find(pair, vm, vlan), *new, *old;

	if (likely(zone))
		return zone;
	if (atomic_inc_return(&pair->vlan_n) > ZONES_MAX) {
		atomic_dec(&pair->vlan_n);
		kcolo_count(pair, FLOWS_REFUSED);
		return NULL;
	}
	new = make_zone(pair, vm, vlan, GFP_ATOMIC);
	old = new ? xa_cmpxchg_bh(&pair->vlans[vm], vlan, NULL, new,
				  GFP_ATOMIC) : NULL;
	if (new && !old)
		return new;
	atomic_dec(&pair->vlan_n);
	if (new)
		free_zone(new);
	if (old && !xa_is_err(old))
		return old;
	kcolo_count(pair, NOMEM);
	return NULL;
}

/**
 * kcolo_zone_of() - whose zone is a conntrack in
 * @ct: conntrack
 *
 * Context: RCU.
 * Return: the zone, NULL if it is none of ours.
 */
struct kcolo_zone *kcolo_zone_of(const struct nf_conn *ct)
{
	return xa_load(&ids, nf_ct_zone(ct)->id);
}

/**
 * kcolo_zone_has() - is a conntrack in a zone of a pair
 * @pair: pair
 * @ct: conntrack
 *
 * Context: RCU.
 * Return: true if so.
 */
bool kcolo_zone_has(const struct kcolo_pair *pair, const struct nf_conn *ct)
{
	const struct kcolo_zone *zone;

	if (likely(nf_ct_zone(ct)->id == pair->zone[0]->id))
		return true;
	zone = kcolo_zone_of(ct);
	return zone && zone->pair == pair;
}

/**
 * kcolo_zone_enter() - let conntrack and defragmentation take a packet into a zone
 * @pair: pair
 * @skb: packet without conntrack
 * @vm: it is of the primary's guest
 * @vlan: as in &struct kcolo_tuple
 *
 * Return: false if there is no zone for it.
 */
bool kcolo_zone_enter(struct kcolo_pair *pair, struct sk_buff *skb, bool vm,
		      u32 vlan)
{
	struct kcolo_zone *zone = kcolo_zone_get(pair, vm, vlan);

	if (!zone)
		return false;
	nf_conntrack_get(&zone->tmpl->ct_general);
	nf_ct_set(skb, zone->tmpl, IP_CT_NEW);
	return true;
}

/**
 * kcolo_zone_setup() - make the zones that a new pair has from the beginning
 * @pair: pair, its role is set
 *
 * Return: 0 or -ENOMEM.
 */
int kcolo_zone_setup(struct kcolo_pair *pair)
{
	int vm;

	for (vm = 0; vm < 2; vm++)
		xa_init_flags(&pair->vlans[vm], XA_FLAGS_LOCK_BH);
	for (vm = 0; vm < 2; vm++) {
		if (vm && pair->role != KCOLO_ROLE_PRIMARY)
			break;
		pair->zone[vm] = make_zone(pair, vm, 0, GFP_KERNEL);
		if (pair->zone[vm])
			continue;
		kcolo_zone_end(pair);
		return -ENOMEM;
	}
	return 0;
}

static int in_zones(struct nf_conn *ct, void *pair)
{
	struct kcolo_zone *zone;
	bool ours;

	rcu_read_lock();
	zone = kcolo_zone_of(ct);
	ours = zone && zone->pair == pair;
	rcu_read_unlock();
	return ours;
}

/**
 * kcolo_zone_end() - free a pair's zones
 * @pair: pair, nobody uses it any more
 *
 * The next pair that gets one of the numbers must not find old offsets in it.
 * Context: process.
 */
void kcolo_zone_end(struct kcolo_pair *pair)
{
	struct nf_ct_iter_data iter = { .net = pair->net, .data = pair };
	struct kcolo_zone *zone;
	unsigned long vlan;
	int vm;

	nf_ct_iterate_cleanup_net(in_zones, &iter);
	for (vm = 0; vm < 2; vm++) {
		xa_for_each(&pair->vlans[vm], vlan, zone)
			free_zone(zone);
		xa_destroy(&pair->vlans[vm]);
		if (pair->zone[vm])
			free_zone(pair->zone[vm]);
	}
}

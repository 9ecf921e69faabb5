/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included in front of every file of kmod (see faults): each call that may want memory can be made to fail, and knows
 * how often it was reached and failed. So what happens without memory is tried where it matters, in kcolo, and not in
 * whatever else the kernel does meanwhile; and on the packet path, too, that of a copy or of a header made writable.
 */
#ifndef _KCOLO_FAULTS_H
#define _KCOLO_FAULTS_H

#include <linux/idr.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/netfilter.h>
#include <linux/percpu.h>
#include <linux/percpu_counter.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/stringify.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <net/gso.h>
#include <net/netfilter/ipv4/nf_defrag_ipv4.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_seqadj.h>
#include <net/netfilter/nf_conntrack_synproxy.h>

struct kcolo_fault_site {
	const char *call;
	const char *function;
	const char *file;
	int line;
	struct list_head list;
	unsigned int reached;
	unsigned int failed;
};

bool kcolo_fault(struct kcolo_fault_site *site);

/* Its symbol tells of a site that is never reached. */
#define FAULT(what)							\
({									\
	static struct kcolo_fault_site kcolo_fault_site			\
		asm("kcolo_fault." KBUILD_BASENAME "." __stringify(__LINE__) "." #what) = { \
		.call = #what, .function = __func__,			\
		.file = KBUILD_BASENAME, .line = __LINE__ };		\
	kcolo_fault(&kcolo_fault_site);					\
})

/* A macro of that name would call itself. */
#define WRAP(type, name, declare, pass)					\
static inline type fault_##name declare { return name pass; }

WRAP(struct kmem_cache *, kmem_cache_create,
     (const char *n, unsigned int s, unsigned int a, slab_flags_t f, void (*c)(void *)), (n, s, a, f, c))
WRAP(void *, kmem_cache_zalloc, (struct kmem_cache *c, gfp_t f), (c, f))
WRAP(void *, kzalloc, (size_t n, gfp_t f), (n, f))
WRAP(void *, kmalloc, (size_t n, gfp_t f), (n, f))
WRAP(void *, kvcalloc, (size_t n, size_t s, gfp_t f), (n, s, f))
WRAP(int, percpu_counter_init, (struct percpu_counter *c, s64 n, gfp_t f), (c, n, f))
WRAP(int, ida_alloc_range, (struct ida *i, unsigned int a, unsigned int b, gfp_t f), (i, a, b, f))
WRAP(struct sk_buff *, alloc_skb, (unsigned int n, gfp_t f), (n, f))
WRAP(struct sk_buff *, skb_clone, (struct sk_buff *s, gfp_t f), (s, f))
WRAP(struct sk_buff *, skb_copy_expand, (const struct sk_buff *s, int h, int t, gfp_t f), (s, h, t, f))
WRAP(struct sk_buff *, __pskb_copy, (struct sk_buff *s, int h, gfp_t f), (s, h, f))
WRAP(int, skb_ensure_writable, (struct sk_buff *s, unsigned int n), (s, n))
WRAP(int, skb_unclone, (struct sk_buff *s, gfp_t f), (s, f))
WRAP(int, skb_orphan_frags_rx, (struct sk_buff *s, gfp_t f), (s, f))
WRAP(bool, pskb_may_pull, (struct sk_buff *s, unsigned int n), (s, n))
WRAP(int, pskb_trim, (struct sk_buff *s, unsigned int n), (s, n))
WRAP(void *, skb_ext_add, (struct sk_buff *s, enum skb_ext_id i), (s, i))
WRAP(struct sk_buff *, skb_gso_segment, (struct sk_buff *s, netdev_features_t f), (s, f))
WRAP(struct sk_buff *, genlmsg_new, (size_t n, gfp_t f), (n, f))
WRAP(struct nf_conn *, nf_ct_tmpl_alloc, (struct net *n, const struct nf_conntrack_zone *z, gfp_t f), (n, z, f))
WRAP(struct nf_conn *, nf_conntrack_alloc,
     (struct net *n, const struct nf_conntrack_zone *z, const struct nf_conntrack_tuple *o,
      const struct nf_conntrack_tuple *r, gfp_t f), (n, z, o, r, f))
WRAP(int, nf_conntrack_hash_check_insert, (struct nf_conn *c), (c))
WRAP(void *, nfct_seqadj_ext_add, (struct nf_conn *c), (c))
WRAP(void *, nfct_synproxy_ext_add, (struct nf_conn *c), (c))
WRAP(int, nf_ct_netns_get, (struct net *n, u8 p), (n, p))
WRAP(int, nf_defrag_ipv4_enable, (struct net *n), (n))
WRAP(int, nf_defrag_ipv6_enable, (struct net *n), (n))
WRAP(int, nf_register_net_hooks, (struct net *n, const struct nf_hook_ops *o, unsigned int c), (n, o, c))
WRAP(int, register_pernet_subsys, (struct pernet_operations *o), (o))
WRAP(int, register_netdevice_notifier, (struct notifier_block *b), (b))
WRAP(int, register_module_notifier, (struct notifier_block *b), (b))
WRAP(int, genl_register_family, (struct genl_family *f), (f))

#undef kmem_cache_create
#undef kmem_cache_zalloc
#undef kzalloc
#undef kmalloc
#undef kvcalloc
#undef alloc_percpu_gfp
#undef alloc_workqueue
#undef percpu_counter_init
#undef ida_alloc_range
#undef alloc_skb
#undef skb_clone
#undef skb_copy_expand
#undef __pskb_copy
#undef genlmsg_new
#undef KMEM_CACHE

#define OR_NULL(name, ...)	(FAULT(name) ? NULL : fault_##name(__VA_ARGS__))
#define OR_ERROR(name, ...)	(FAULT(name) ? -ENOMEM : fault_##name(__VA_ARGS__))

#define kmem_cache_create(...)	OR_NULL(kmem_cache_create, __VA_ARGS__)
#define KMEM_CACHE(type, flags)						\
	kmem_cache_create(#type, sizeof(struct type), __alignof__(struct type), flags, NULL)
#define kmem_cache_zalloc(...)	OR_NULL(kmem_cache_zalloc, __VA_ARGS__)
#define kzalloc(...)		OR_NULL(kzalloc, __VA_ARGS__)
#define kmalloc(...)		OR_NULL(kmalloc, __VA_ARGS__)
#define kvcalloc(...)		OR_NULL(kvcalloc, __VA_ARGS__)
#define alloc_percpu_gfp(type, f)					\
	(FAULT(alloc_percpu_gfp) ? NULL :				\
	 (typeof(type) __percpu *)__alloc_percpu_gfp(sizeof(type), __alignof__(type), f))
#ifdef alloc_workqueue_noprof
#define alloc_workqueue(...)	(FAULT(alloc_workqueue) ? NULL : alloc_workqueue_noprof(__VA_ARGS__))
#else
#define alloc_workqueue(...)	(FAULT(alloc_workqueue) ? NULL : (alloc_workqueue)(__VA_ARGS__))
#endif
#define percpu_counter_init(...) OR_ERROR(percpu_counter_init, __VA_ARGS__)
#define ida_alloc_range(...)	OR_ERROR(ida_alloc_range, __VA_ARGS__)
#define alloc_skb(...)		OR_NULL(alloc_skb, __VA_ARGS__)
#define skb_clone(...)		OR_NULL(skb_clone, __VA_ARGS__)
#define skb_copy_expand(...)	OR_NULL(skb_copy_expand, __VA_ARGS__)
#define __pskb_copy(...)	OR_NULL(__pskb_copy, __VA_ARGS__)
#define skb_ensure_writable(...) OR_ERROR(skb_ensure_writable, __VA_ARGS__)
#define skb_unclone(...)	OR_ERROR(skb_unclone, __VA_ARGS__)
#define skb_orphan_frags_rx(...) OR_ERROR(skb_orphan_frags_rx, __VA_ARGS__)
#define pskb_may_pull(...)	(!FAULT(pskb_may_pull) && fault_pskb_may_pull(__VA_ARGS__))
#define pskb_trim(...)		OR_ERROR(pskb_trim, __VA_ARGS__)
#define skb_ext_add(...)	OR_NULL(skb_ext_add, __VA_ARGS__)
#define skb_gso_segment(...)	(FAULT(skb_gso_segment) ? ERR_PTR(-ENOMEM) : fault_skb_gso_segment(__VA_ARGS__))
#define genlmsg_new(...)	OR_NULL(genlmsg_new, __VA_ARGS__)
#define nf_ct_tmpl_alloc(...)	OR_NULL(nf_ct_tmpl_alloc, __VA_ARGS__)
#define nf_conntrack_alloc(...)	(FAULT(nf_conntrack_alloc) ? ERR_PTR(-ENOMEM) : fault_nf_conntrack_alloc(__VA_ARGS__))
#define nf_conntrack_hash_check_insert(...) OR_ERROR(nf_conntrack_hash_check_insert, __VA_ARGS__)
#define nfct_seqadj_ext_add(...) OR_NULL(nfct_seqadj_ext_add, __VA_ARGS__)
#define nfct_synproxy_ext_add(...) OR_NULL(nfct_synproxy_ext_add, __VA_ARGS__)
#define nf_ct_netns_get(...)	OR_ERROR(nf_ct_netns_get, __VA_ARGS__)
#define nf_defrag_ipv4_enable(...) OR_ERROR(nf_defrag_ipv4_enable, __VA_ARGS__)
#define nf_defrag_ipv6_enable(...) OR_ERROR(nf_defrag_ipv6_enable, __VA_ARGS__)
#define nf_register_net_hooks(...) OR_ERROR(nf_register_net_hooks, __VA_ARGS__)
#define register_pernet_subsys(...) OR_ERROR(register_pernet_subsys, __VA_ARGS__)
#define register_netdevice_notifier(...) OR_ERROR(register_netdevice_notifier, __VA_ARGS__)
#define register_module_notifier(...) OR_ERROR(register_module_notifier, __VA_ARGS__)
#define genl_register_family(...) OR_ERROR(genl_register_family, __VA_ARGS__)

#endif

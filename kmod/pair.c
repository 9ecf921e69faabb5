// SPDX-License-Identifier: GPL-2.0
/* Pairs: made, changed, deleted; what happens when a device or namespace goes. */
#include <linux/if_bridge.h>
#include <linux/module.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>
#include <net/inet_frag.h>
#include <net/netlink.h>

#include "known.h"
#include "zone.h"

#define FOREIGN_MANY	64	/* packets of a foreign epoch in a row */
#define UNSEEN_AGAIN	(60 * HZ)	/* between two warnings */

unsigned int kcolo_net_id __read_mostly;

static const struct kcolo_config defaults = {
	.timeout = 3000,
	.scan = 1000,
	.max_packets = 65536,
	.max_bytes = 64 << 20,
	.max_flows = 262144,
	.min_interval = 500,
};

/**
 * kcolo_pair_find() - look a pair up by name
 * @kn: namespace
 * @name: name
 *
 * Context: kcolo_net.cfg held.
 * Return: the pair or NULL.
 */
struct kcolo_pair *kcolo_pair_find(struct kcolo_net *kn, const char *name)
{
	struct kcolo_pair *pair;

	lockdep_assert_held(&kn->cfg);
	list_for_each_entry(pair, &kn->pairs, list)
		if (!strcmp(pair->name, name))
			return pair;
	return NULL;
}

static void read_config(struct kcolo_config *cfg, struct nlattr **attrs)
{
	const struct {
		int attr;
		u32 *to;
	} map[] = {
		{ KCOLO_A_TIMEOUT, &cfg->timeout },
		{ KCOLO_A_SCAN, &cfg->scan },
		{ KCOLO_A_MAX_PACKETS, &cfg->max_packets },
		{ KCOLO_A_MAX_BYTES, &cfg->max_bytes },
		{ KCOLO_A_MAX_FLOWS, &cfg->max_flows },
		{ KCOLO_A_MIN_INTERVAL, &cfg->min_interval },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(map); i++)
		if (attrs[map[i].attr])
			WRITE_ONCE(*map[i].to, nla_get_u32(attrs[map[i].attr]));
}

static void unlink_port(struct kcolo_port *port)
{
	if (!port->ifindex)
		return;
	hlist_del_rcu(&port->node);
	WRITE_ONCE(port->ifindex, 0);
}

static void link_port(struct kcolo_pair *pair, struct kcolo_port *port,
		      const struct net_device *dev)
{
	port->pair = pair;
	strscpy(port->name, dev->name, sizeof(port->name));
	WRITE_ONCE(port->ifindex, dev->ifindex);
	hlist_add_head_rcu(&port->node,
			   kcolo_port_bucket(kcolo_net(pair->net), dev->ifindex));
}

/* Readers that still follow the old place of the node must be through. */
static void relink_port(struct kcolo_pair *pair, struct kcolo_port *port,
			const struct net_device *dev)
{
	if (port->ifindex == dev->ifindex)
		return;
	if (port->ifindex) {
		unlink_port(port);
		synchronize_net();
	}
	link_port(pair, port, dev);
}

/*
 * Is it a device that this host routes to the guest? Only a guest that speaks to
 * clients is routed to; a secondary gets copies of frames, as they are.
 */
static bool may_route(const struct kcolo_pair *pair, struct net_device *dev)
{
	return (pair->role == KCOLO_ROLE_PRIMARY ||
		kcolo_state(pair) == KCOLO_STATE_FAILOVER) &&
	       !netdev_master_upper_dev_get(dev) &&
	       !netif_is_bridge_master(dev) && !(dev->flags & IFF_LOOPBACK);
}

/* The device that an attribute names, if it may become a port. */
static struct net_device *port_dev(struct kcolo_pair *pair, struct nlattr *attr,
				   bool vm, struct netlink_ext_ack *extack)
{
	struct net *net = pair->net;
	struct kcolo_port *used;
	struct net_device *dev;

	dev = __dev_get_by_name(net, nla_data(attr));
	if (!dev) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "no such device: name one in this network namespace");
		return ERR_PTR(-ENODEV);
	}
	if (!netif_is_bridge_port(dev) && !(vm && may_route(pair, dev))) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "the device is not a port of a bridge: ip link set DEV master BRIDGE first (only the guest of a primary may be routed to)");
		return ERR_PTR(-EINVAL);
	}
	used = kcolo_port_find(kcolo_net(net), dev->ifindex);
	/* F3: the ports of a pair that has failed over may serve another one, too. */
	if (used && used->pair != pair &&
	    kcolo_state(used->pair) != KCOLO_STATE_FAILOVER) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "the device already belongs to another pair: delete that one or name another device");
		return ERR_PTR(-EBUSY);
	}
	return dev;
}

static int ports_of(struct net_device *bridge)
{
	struct net_device *lower;
	struct list_head *iter;
	int n = 0;

	netdev_for_each_lower_dev(bridge, lower, iter)
		n++;
	return n;
}

/* S1 decides where the ports have to be. */
static int check_bridges(u8 role, struct net_device *vm, struct net_device *peer,
			 struct netlink_ext_ack *extack)
{
	struct net_device *vm_br, *peer_br;

	vm_br = vm ? netdev_master_upper_dev_get(vm) : NULL;
	peer_br = peer ? netdev_master_upper_dev_get(peer) : NULL;
	if (vm && vm == peer) {
		NL_SET_ERR_MSG(extack,
			       "vm and peer are the same device: name two");
		return -EINVAL;
	}
	if (role == KCOLO_ROLE_SECONDARY && vm && peer && vm_br != peer_br) {
		NL_SET_ERR_MSG(extack,
			       "vm and peer of a secondary must be ports of the same bridge");
		return -EINVAL;
	}
	if (role == KCOLO_ROLE_PRIMARY && peer_br && ports_of(peer_br) != 1) {
		NL_SET_ERR_MSG(extack,
			       "the peer port of a primary must be alone in a bridge of its own");
		return -EINVAL;
	}
	return 0;
}

/* Links the ports that attributes name; changes nothing on error. */
static int set_ports(struct kcolo_pair *pair, struct nlattr **attrs,
		     struct netlink_ext_ack *extack)
{
	struct net_device *vm, *peer;
	int err = 0;

	if (!attrs[KCOLO_A_VM] && !attrs[KCOLO_A_PEER])
		return 0;
	if (attrs[KCOLO_A_VM])
		vm = port_dev(pair, attrs[KCOLO_A_VM], true, extack);
	else
		vm = __dev_get_by_index(pair->net, pair->vm.ifindex);
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	if (attrs[KCOLO_A_PEER])
		peer = port_dev(pair, attrs[KCOLO_A_PEER], false, extack);
	else
		peer = __dev_get_by_index(pair->net, pair->peer.ifindex);
	if (IS_ERR(peer))
		return PTR_ERR(peer);
	/* A takeover has moved the guest's port to the clients' bridge. */
	if (kcolo_state(pair) != KCOLO_STATE_FAILOVER)
		err = check_bridges(pair->role, vm, peer, extack);
	if (err)
		return err;
	if (attrs[KCOLO_A_VM])
		relink_port(pair, &pair->vm, vm);
	if (attrs[KCOLO_A_PEER])
		relink_port(pair, &pair->peer, peer);
	return 0;
}

static void purge_list(struct kcolo_pair *pair, struct list_head *list,
		       const struct net_device *dev)
{
	rcu_read_lock();
	spin_lock_bh(&pair->out_lock);
	kcolo_hold_purge(pair, list, dev);
	spin_unlock_bh(&pair->out_lock);
	rcu_read_unlock();
}

/* Drops what is held, because @dev (or, if NULL, all of it) goes away with @what. */
static void purge(struct kcolo_pair *pair, struct net_device *dev,
		  const char *what)
{
	u64 n = kcolo_stats_flushed(pair);

	kcolo_flow_walk(pair, kcolo_primary_purge, dev);
	purge_list(pair, &pair->outbox, dev);
	purge_list(pair, &pair->wait, dev);
	n = kcolo_stats_flushed(pair) - n;
	if (n)
		pr_warn("kcolo: pair %s: %s goes away, %llu held packets are dropped\n",
			pair->name, what, n);
}

/* The packets that a pair is about pass beside it: nothing works, nothing tells. */
static void tell_unseen(struct kcolo_pair *pair)
{
	if (pair->unseen_told &&
	    time_before(jiffies, pair->unseen_told + UNSEEN_AGAIN))
		return;
	WRITE_ONCE(pair->unseen, false);
	pair->unseen_told = jiffies | 1;
	pr_warn("kcolo: pair %s: packets pass unseen: set nf_call_iptables 1 nf_call_ip6tables 1 on its bridges\n",
		pair->name);
	kcolo_event_pair(pair, KCOLO_CMD_PAIR_NTF, KCOLO_CAUSE_UNSEEN);
}

static void scan(struct work_struct *work)
{
	struct kcolo_pair *pair = container_of(to_delayed_work(work),
					       struct kcolo_pair, scan_work);
	struct kcolo_net *kn = kcolo_net(pair->net);

	if (pair->role == KCOLO_ROLE_PRIMARY)
		kcolo_primary_scan(pair);
	else
		kcolo_secondary_scan(pair);
	if (kcolo_observes(pair))
		kcolo_observe_scan(pair);
	if (atomic_read(&pair->foreign) >= FOREIGN_MANY) {
		atomic_set(&pair->foreign, 0);
		kcolo_event_pair(pair, KCOLO_CMD_PAIR_NTF, KCOLO_CAUSE_EPOCH);
	}
	if (READ_ONCE(pair->unseen))
		tell_unseen(pair);
	/* Who holds it may be waiting for this work; the next scan will do. */
	if (mutex_trylock(&kn->cfg)) {
		if (!pair->dead)
			kcolo_checkpoint_watch(pair);
		mutex_unlock(&kn->cfg);
	}
	if (!READ_ONCE(pair->dead))
		queue_delayed_work(system_wq, &pair->scan_work,
				   msecs_to_jiffies(READ_ONCE(pair->cfg.scan)));
}

static struct kcolo_pair *alloc_pair(struct net *net, struct nlattr **attrs)
{
	struct kcolo_pair *pair = kzalloc(sizeof(*pair), GFP_KERNEL_ACCOUNT);
	int err = -ENOMEM;

	if (!pair)
		return ERR_PTR(-ENOMEM);
	pair->net = net;
	nla_strscpy(pair->name, attrs[KCOLO_A_PAIR], sizeof(pair->name));
	pair->role = nla_get_u32(attrs[KCOLO_A_ROLE]);
	pair->cfg = defaults;
	read_config(&pair->cfg, attrs);
	if (attrs[KCOLO_A_MODE])
		pair->cfg.mode = nla_get_u32(attrs[KCOLO_A_MODE]);
	pair->vm.is_vm = true;
	INIT_LIST_HEAD(&pair->rules);
	pair->bounded = net->user_ns != &init_user_ns;
	pair->phase_since = jiffies;
	pair->walked = jiffies;
	kcolo_hold_setup(pair);
	kcolo_request_setup(pair);
	kcolo_dflow_setup(pair);
	kcolo_observe_setup(pair);
	INIT_DELAYED_WORK(&pair->scan_work, scan);
	pair->stats = alloc_percpu_gfp(struct kcolo_stats, GFP_KERNEL_ACCOUNT);
	if (!pair->stats)
		goto err_free;
	if (pair->role == KCOLO_ROLE_PRIMARY)
		err = kcolo_flow_table(pair);
	else
		err = kcolo_known_setup(pair);
	if (err)
		goto err_stats;
	err = kcolo_zone_setup(pair);
	if (err)
		goto err_table;
	return pair;

err_table:
	kvfree(pair->flows);
	kvfree(pair->known);
err_stats:
	free_percpu(pair->stats);
err_free:
	kfree(pair);
	return ERR_PTR(err);
}

/* Nobody finds the pair any more and a grace period has passed. */
static void free_pair(struct kcolo_pair *pair)
{
	kcolo_zone_end(pair);
	kcolo_rule_purge(pair);
	kvfree(pair->flows);
	kvfree(pair->known);
	free_percpu(pair->stats);
	kfree(pair);
}

static int check_new(struct kcolo_net *kn, struct nlattr **attrs,
		     struct netlink_ext_ack *extack)
{
	const char *name = nla_data(attrs[KCOLO_A_PAIR]);

	if (!*name || strpbrk(name, "/ \t\n")) {
		NL_SET_ERR_MSG_ATTR(extack, attrs[KCOLO_A_PAIR],
				    "the pair's name is empty or has a space or slash: choose another");
		return -EINVAL;
	}
	if (kcolo_pair_find(kn, name)) {
		NL_SET_ERR_MSG_ATTR(extack, attrs[KCOLO_A_PAIR],
				    "a pair of this name exists: choose another name or use pair set");
		return -EEXIST;
	}
	if (!attrs[KCOLO_A_ROLE]) {
		NL_SET_ERR_MSG(extack,
			       "role is missing: say role primary or role secondary");
		return -EINVAL;
	}
	if (!attrs[KCOLO_A_VM] || !attrs[KCOLO_A_PEER]) {
		NL_SET_ERR_MSG(extack,
			       "a port is missing: say vm DEV and peer DEV");
		return -EINVAL;
	}
	return 0;
}

/*
 * S3: the queues of the two sides are apart, but the kernel counts fragments by their
 * source, which is one for both, and gives up a datagram when too many others have come
 * between two of its own.
 */
static void check_fragments(const struct kcolo_pair *pair,
			    struct netlink_ext_ack *extack)
{
	if (pair->role == KCOLO_ROLE_PRIMARY &&
	    READ_ONCE(pair->net->ipv4.fqdir->max_dist))
		NL_SET_ERR_MSG(extack,
			       "datagrams in many IPv4 fragments may be lost: set net.ipv4.ipfrag_max_dist to 0");
}

/**
 * kcolo_pair_add() - make a pair
 * @net: namespace
 * @attrs: attributes of the request
 * @extack: tells why not; or what the host lacks
 *
 * Context: process, RTNL and kcolo_net.cfg held.
 * Return: 0 or a negative errno, then nothing has changed.
 */
int kcolo_pair_add(struct net *net, struct nlattr **attrs,
		   struct netlink_ext_ack *extack)
{
	struct kcolo_net *kn = kcolo_net(net);
	struct kcolo_pair *pair;
	int err;

	err = check_new(kn, attrs, extack);
	if (err)
		return err;
	pair = alloc_pair(net, attrs);
	if (IS_ERR(pair))
		return PTR_ERR(pair);
	err = kcolo_hooks_get(net, pair->role);
	if (err) {
		NL_SET_ERR_MSG(extack,
			       "could not register the netfilter hooks: is memory short?");
		goto err_free;
	}
	err = set_ports(pair, attrs, extack);
	if (err)
		goto err_hooks;
	list_add_tail_rcu(&pair->list, &kn->pairs);
	kn->generation++;
	queue_delayed_work(system_wq, &pair->scan_work,
			   msecs_to_jiffies(pair->cfg.scan));
	kcolo_event_pair(pair, KCOLO_CMD_PAIR_NTF, KCOLO_CAUSE_USER);
	check_fragments(pair, extack);
	return 0;

err_hooks:
	kcolo_hooks_put(net, pair->role);
	synchronize_net();
err_free:
	free_pair(pair);
	return err;
}

/**
 * kcolo_pair_set() - change a pair
 * @pair: pair
 * @attrs: attributes of the request
 * @extack: tells why not
 *
 * Context: process, RTNL and kcolo_net.cfg held.
 * Return: 0 or a negative errno, then nothing has changed.
 */
int kcolo_pair_set(struct kcolo_pair *pair, struct nlattr **attrs,
		   struct netlink_ext_ack *extack)
{
	int err;

	if (attrs[KCOLO_A_ROLE]) {
		NL_SET_ERR_MSG_ATTR(extack, attrs[KCOLO_A_ROLE],
				    "the role of a pair cannot change: delete it and add a new one");
		return -EINVAL;
	}
	err = set_ports(pair, attrs, extack);
	if (err)
		return err;
	read_config(&pair->cfg, attrs);
	if (attrs[KCOLO_A_MODE])
		kcolo_observe_set(pair, nla_get_u32(attrs[KCOLO_A_MODE]));
	if (attrs[KCOLO_A_SCAN])
		mod_delayed_work(system_wq, &pair->scan_work,
				 msecs_to_jiffies(pair->cfg.scan));
	kcolo_event_pair(pair, KCOLO_CMD_PAIR_NTF, KCOLO_CAUSE_USER);
	return 0;
}

/*
 * In three steps: nobody finds it, nobody uses it, nothing is left. After the
 * grace period no hook knows the pair; the works are the last who do.
 */
static void remove_pair(struct kcolo_pair *pair)
{
	struct net *net = pair->net;

	WRITE_ONCE(pair->dead, true);
	unlink_port(&pair->vm);
	unlink_port(&pair->peer);
	list_del_rcu(&pair->list);
	kcolo_net(net)->generation++;
	if (kcolo_state(pair) == KCOLO_STATE_FAILOVER)
		atomic_dec(&kcolo_net(net)->failed_over);
	kcolo_hooks_put(net, pair->role);

	synchronize_net();
	cancel_delayed_work_sync(&pair->scan_work);
	cancel_delayed_work_sync(&pair->tell_work);
	cancel_delayed_work_sync(&pair->late_work);
	cancel_work_sync(&pair->out_work);
	kcolo_observe_end(pair);

	purge(pair, NULL, "the pair");
	kcolo_secondary_unpin(pair);
	kcolo_event_pair(pair, KCOLO_CMD_PAIR_DEL_NTF, KCOLO_CAUSE_USER);
	free_pair(pair);
}

/**
 * kcolo_pair_del() - delete a pair
 * @pair: pair, freed on success
 * @force: although translated connections live (S5)
 * @extack: tells why not
 *
 * Context: process, kcolo_net.cfg held.
 * Return: 0 or -EBUSY.
 */
int kcolo_pair_del(struct kcolo_pair *pair, bool force,
		   struct netlink_ext_ack *extack)
{
	u32 n = 0;

	if (pair->role == KCOLO_ROLE_SECONDARY && !force)
		n = kcolo_secondary_count(pair);
	if (n) {
		NL_SET_ERR_MSG_FMT(extack,
				   "%u translated connections live and would break: wait for their end or use force",
				   n);
		return -EBUSY;
	}
	remove_pair(pair);
	return 0;
}

/* A port's device is gone: its guest or the other host with it. */
static void port_gone(struct kcolo_pair *pair, struct kcolo_port *port)
{
	unlink_port(port);
	synchronize_net();
	if (port->is_vm)
		purge(pair, NULL, port->name);
	pr_info("kcolo: pair %s: port %s is gone\n", pair->name, port->name);
	kcolo_event_pair(pair, KCOLO_CMD_PAIR_NTF, KCOLO_CAUSE_PORT_GONE);
}

static void dev_goes(struct kcolo_pair *pair, struct net_device *dev,
		     unsigned long event)
{
	purge(pair, dev, dev->name);
	if (event != NETDEV_UNREGISTER)
		return;
	if (pair->vm.ifindex == dev->ifindex)
		port_gone(pair, &pair->vm);
	if (pair->peer.ifindex == dev->ifindex)
		port_gone(pair, &pair->peer);
}

static void dev_renamed(struct kcolo_pair *pair, const struct net_device *dev)
{
	if (pair->vm.ifindex == dev->ifindex)
		strscpy(pair->vm.name, dev->name, IFNAMSIZ);
	if (pair->peer.ifindex == dev->ifindex)
		strscpy(pair->peer.name, dev->name, IFNAMSIZ);
}

/* What is held in VLAN tags would go on through the bridge that its port leaves. */
static void left_bridge(struct net_device *port,
			const struct netdev_notifier_changeupper_info *info)
{
	struct kcolo_net *kn = kcolo_net(dev_net(port));
	struct kcolo_pair *pair;

	if (info->linking || !info->master)
		return;
	mutex_lock(&kn->cfg);
	list_for_each_entry(pair, &kn->pairs, list)
		purge(pair, port, info->upper_dev->name);
	mutex_unlock(&kn->cfg);
}

/* Held packets keep a reference on the bridge or the port they came through. */
static int netdev_event(struct notifier_block *nb, unsigned long event,
			void *ptr)
{
	struct net_device *dev = netdev_notifier_info_to_dev(ptr);
	struct kcolo_net *kn = kcolo_net(dev_net(dev));
	struct kcolo_pair *pair;

	if (event == NETDEV_CHANGEUPPER)
		left_bridge(dev, ptr);
	if (event != NETDEV_GOING_DOWN && event != NETDEV_UNREGISTER &&
	    event != NETDEV_CHANGENAME)
		return NOTIFY_DONE;
	mutex_lock(&kn->cfg);
	list_for_each_entry(pair, &kn->pairs, list) {
		if (event == NETDEV_CHANGENAME)
			dev_renamed(pair, dev);
		else
			dev_goes(pair, dev, event);
	}
	mutex_unlock(&kn->cfg);
	return NOTIFY_DONE;
}

/* okfn is in br_netfilter, which we can hold no reference on. */
static int module_event(struct notifier_block *nb, unsigned long event,
			void *module)
{
	struct kcolo_pair *pair;
	struct kcolo_net *kn;
	struct net *net;

	if (event != MODULE_STATE_GOING ||
	    strcmp(((struct module *)module)->name, "br_netfilter"))
		return NOTIFY_DONE;
	down_read(&net_rwsem);
	for_each_net(net) {
		kn = kcolo_net(net);
		mutex_lock(&kn->cfg);
		list_for_each_entry(pair, &kn->pairs, list) {
			/* First nothing more is put into the outbox. */
			spin_lock_bh(&pair->out_lock);
			WRITE_ONCE(pair->flushing, false);
			spin_unlock_bh(&pair->out_lock);
			cancel_work_sync(&pair->out_work);
			synchronize_net();
			purge(pair, NULL, "br_netfilter");
		}
		mutex_unlock(&kn->cfg);
	}
	up_read(&net_rwsem);
	pr_warn("kcolo: br_netfilter is gone: no packet of a bridge is seen any more\n");
	return NOTIFY_DONE;
}

static struct notifier_block netdev_nb = { .notifier_call = netdev_event };
static struct notifier_block module_nb = { .notifier_call = module_event };

static int __net_init net_init(struct net *net)
{
	struct kcolo_net *kn = kcolo_net(net);
	int i;

	mutex_init(&kn->cfg);
	kn->generation = 1;	/* 0 would switch the check off */
	INIT_LIST_HEAD(&kn->pairs);
	for (i = 0; i < KCOLO_PORT_HASH; i++)
		INIT_HLIST_HEAD(&kn->ports[i]);
	kcolo_hooks_init(kn);
	return 0;
}

static void __net_exit net_pre_exit(struct net *net)
{
	struct kcolo_net *kn = kcolo_net(net);

	mutex_lock(&kn->cfg);
	kcolo_hooks_off(net);
	mutex_unlock(&kn->cfg);
}

static void net_exit(struct net *net)
{
	struct kcolo_net *kn = kcolo_net(net);
	struct kcolo_pair *pair, *next;

	mutex_lock(&kn->cfg);
	list_for_each_entry_safe(pair, next, &kn->pairs, list)
		remove_pair(pair);
	mutex_unlock(&kn->cfg);
}

struct pernet_operations kcolo_net_ops = {
	.init = net_init,
	.pre_exit = net_pre_exit,
	.exit = net_exit,
	.id = &kcolo_net_id,
	.size = sizeof(struct kcolo_net),
};

int __init kcolo_pair_init(void)
{
	int err = register_netdevice_notifier(&netdev_nb);

	if (err)
		return err;
	err = register_module_notifier(&module_nb);
	if (err)
		unregister_netdevice_notifier(&netdev_nb);
	return err;
}

/*
 * The core replays the end of every device to a notifier that it takes off: by then
 * no pair must be left. A namespace that is on its way out is in no list any more; its
 * pairs go with it, and until then its bridges need the notifier.
 */
void kcolo_pair_exit(void)
{
	struct net *net;

	down_read(&net_rwsem);
	for_each_net(net)
		net_exit(net);
	up_read(&net_rwsem);
	unregister_module_notifier(&module_nb);
	unregister_netdevice_notifier(&netdev_nb);
}

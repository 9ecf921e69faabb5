// SPDX-License-Identifier: GPL-2.0
/* Brings the parts up and down, in order. */
#include <linux/module.h>

#include "kcolo.h"

static int __init kcolo_init(void)
{
	int err;

	err = kcolo_hold_init();
	if (err)
		return err;
	err = kcolo_flow_init();
	if (err)
		goto err_hold;
	err = register_pernet_subsys(&kcolo_net_ops);
	if (err)
		goto err_flow;
	err = kcolo_pair_init();
	if (err)
		goto err_net;
	err = kcolo_nl_init();
	if (err)
		goto err_pair;
	return 0;

err_pair:
	kcolo_pair_exit();
err_net:
	unregister_pernet_subsys(&kcolo_net_ops);
err_flow:
	kcolo_flow_exit();
err_hold:
	kcolo_hold_exit();
	return err;
}

/* First nobody can make a pair, then none is left, then nothing of them. */
static void __exit kcolo_exit(void)
{
	kcolo_nl_exit();
	kcolo_pair_exit();	/* notifiers look into the namespaces' data */
	unregister_pernet_subsys(&kcolo_net_ops);
	kcolo_flow_exit();
	kcolo_hold_exit();
}

module_init(kcolo_init);
module_exit(kcolo_exit);

MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
MODULE_DESCRIPTION("COLO proxy: compares, holds and translates the packets of two replicas");
MODULE_SOFTDEP("pre: br_netfilter");
MODULE_ALIAS("net-pf-16-proto-16-family-kcolo");

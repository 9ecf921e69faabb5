/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the netlink family share. */
#ifndef KCOLO_NL_H
#define KCOLO_NL_H

#include <net/genetlink.h>

#include "kcolo.h"
#include "nl_gen.h"

extern struct genl_family kcolo_nl_family;

struct kcolo_pair *kcolo_nl_lock_pair(struct genl_info *info);
void kcolo_nl_unlock_pair(struct genl_info *info);
int kcolo_nl_put_name(struct sk_buff *msg, const struct kcolo_pair *pair);
int kcolo_nl_put_ports(struct sk_buff *msg, const struct kcolo_pair *pair);
int kcolo_nl_put_tuple(struct sk_buff *msg, const struct kcolo_tuple *t);
int kcolo_nl_put_miscompare(struct sk_buff *msg,
			    const struct kcolo_miscompare *what);
int kcolo_nl_dump(struct sk_buff *skb, struct netlink_callback *cb,
		  unsigned int also,
		  int (*one)(struct sk_buff *skb, struct netlink_callback *cb,
			     struct kcolo_pair *pair));
void *kcolo_nl_dump_hdr(struct sk_buff *skb, struct netlink_callback *cb,
			u8 cmd);

#endif

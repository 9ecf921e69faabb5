// SPDX-License-Identifier: GPL-2.0
/* kcolo rule: flows that leave uncompared. */

#include <stdio.h>

#include <linux/kcolo.h>

#include "cmd.h"
#include "nl.h"
#include "out.h"

static const struct field rule_fields[] = {
	FIELD(PAIR, "pair", "pair", string,
	      .flags = FIELD_ADD | FIELD_NEEDED | FIELD_FILTER),
	FIELD(RULE_ID, "id", "id", u32),
	FIELD(PROTO, "proto", "proto", proto, .flags = FIELD_ADD),
	FIELD(SRC, "src", "src", prefix, .flags = FIELD_ADD),
	FIELD(SRC_LEN, "src_len", "src-len", u16),
	FIELD(DST, "dst", "dst", prefix, .flags = FIELD_ADD),
	FIELD(DST_LEN, "dst_len", "dst-len", u16),
	FIELD(SPORT, "sport", "sport", u16, .flags = FIELD_ADD),
	FIELD(DPORT, "dport", "dport", u16, .flags = FIELD_ADD),
	FIELD(VLAN, "vlan", "vlan", u16, .flags = FIELD_ADD),
	FIELD(CVLAN, "cvlan", "cvlan", u16, .flags = FIELD_ADD),
	FIELD(RULE_ACTION, "action", "action", enum,
	      .flags = FIELD_ADD | FIELD_NEEDED, .names = &names_rule_action),
	FIELD(PACKETS, "packets", "packets", u64),
	{ 0 }
};

static const struct field rule_del_fields[] = {
	FIELD(PAIR, "pair", "pair", string, .flags = FIELD_ADD | FIELD_NEEDED),
	FIELD(RULE_ID, "id", "id", u32, .flags = FIELD_ADD | FIELD_NEEDED),
	{ 0 }
};

static int rule_change(uint8_t cmd, const struct field *fields,
		       struct args *args)
{
	struct nlmsghdr *req = nl_request(cmd);
	int rc;

	rc = fields_put(fields, FIELD_ADD, args, req);
	return rc ? rc : nl_do(req, NULL, NULL);
}

static int rule_add(struct args *args)
{
	return rule_change(KCOLO_CMD_RULE_ADD, rule_fields, args);
}

static int rule_del(struct args *args)
{
	return rule_change(KCOLO_CMD_RULE_DEL, rule_del_fields, args);
}

/* An address and its length are one value to people. */
static void prefix_join(json_t *record, const char *addr, const char *len)
{
	json_t *a = json_object_get(record, addr);
	json_t *n = json_object_get(record, len);

	if (!json_is_string(a) || !json_is_integer(n))
		return;
	a = json_sprintf("%s/%d", json_string_value(a),
			 (int)json_integer_value(n));
	json_object_set_new(record, addr, json_need(a));
	json_object_del(record, len);
}

static int rule_show_one(const struct nlmsghdr *nlh, void *data)
{
	json_t *record = fields_get(rule_fields, nlh);

	(void)data;
	prefix_join(record, "src", "src_len");
	prefix_join(record, "dst", "dst_len");
	out_record(rule_fields, record);
	return RC_OK;
}

static int rule_show(struct args *args)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_RULE_GET);
	int rc;

	rc = fields_put(rule_fields, FIELD_FILTER, args, req);
	if (rc)
		return rc;
	rc = nl_dump(req, rule_show_one, NULL);
	out_end(rc);
	return rc;
}

static const struct command rule_commands[] = {
	{ "show",	rule_show },
	{ "add",	rule_add },
	{ "del",	rule_del },
	{ 0 }
};

const struct object object_rule = {
	.name = "rule",
	.usage =
"       kcolo rule add pair NAME [ proto P ] [ src PREFIX ] [ dst PREFIX ]\n"
"             [ sport N ] [ dport N ] [ vlan N ] [ cvlan N ]\n"
"             action { bypass | compare }\n"
"       kcolo rule del pair NAME id N\n"
"       kcolo rule show [ pair NAME ]\n",
	.commands = rule_commands,
};

// SPDX-License-Identifier: GPL-2.0
/* kcolo flow: the connections of pairs. */

#include <linux/kcolo.h>

#include "cmd.h"
#include "nl.h"
#include "out.h"

const struct field flow_fields[] = {
	{ .text = text_tuple },
	FIELD(VLAN, "vlan", "vlan", u16, .flags = FIELD_FILTER),
	FIELD(VLAN_PROTO, "vlan_proto", "vlan-proto", tag,
	      .flags = FIELD_DETAIL),
	FIELD(CVLAN, "cvlan", "cvlan", u16, .flags = FIELD_FILTER),
	FIELD(CVLAN_PROTO, "cvlan_proto", "cvlan-proto", tag,
	      .flags = FIELD_DETAIL),
	FIELD(PAIR, "pair", "pair", string, .flags = FIELD_FILTER),
	FIELD(PROTO, "proto", "proto", proto,
	      .flags = FIELD_JSON | FIELD_FILTER),
	FIELD(SRC, "src", "src", addr, .flags = FIELD_JSON | FIELD_FILTER),
	FIELD(SPORT, "sport", "sport", u16, .flags = FIELD_JSON | FIELD_FILTER),
	FIELD(DST, "dst", "dst", addr, .flags = FIELD_JSON | FIELD_FILTER),
	FIELD(DPORT, "dport", "dport", u16, .flags = FIELD_JSON | FIELD_FILTER),
	FIELD(FLOW_STATE, "state", "state", enum, .names = &names_flow_state),
	FIELD(OFFSET, "offset", "offset", u32),
	FIELD(TSOFFSET, "tsoffset", "tsoffset", s32),
	FIELD(ACTIVE_OPEN, "active_open", "active-open", u32,
	      .flags = FIELD_JSON),
	FIELD(DORMANT_OFFSET, "dormant_offset", "dormant", u32),
	FIELD(DORMANT_TSOFFSET, "dormant_tsoffset", "dormant-tsoffset", s32,
	      .flags = FIELD_JSON),
	FIELD(HELD, "held", "held", u32),
	FIELD(HELD_BYTES, "held_bytes", "held-bytes", u64,
	      .flags = FIELD_DETAIL),
	FIELD(COMPARED, "compared_bytes", "compared-bytes", u64,
	      .flags = FIELD_DETAIL),
	FIELD(IDLE, "idle_ms", "idle", idle),
	{ 0 }
};

static int flow_show_one(const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	out_record(flow_fields, fields_get(flow_fields, nlh));
	return RC_OK;
}

static int flow_show(struct args *args)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_FLOW_GET);
	int rc;

	rc = fields_put(flow_fields, FIELD_FILTER, args, req);
	if (rc)
		return rc;
	rc = nl_dump(req, flow_show_one, NULL);
	out_end(rc);
	return rc;
}

static const struct command flow_commands[] = {
	{ "show", flow_show },
	{ "save", flow_save },
	{ "restore", flow_restore },
	{ 0 }
};

const struct object object_flow = {
	.name = "flow",
	.usage =
"       kcolo [ -s ] flow show [ pair NAME ] [ src A ] [ dst A ] [ sport N ]\n"
"             [ dport N ] [ proto P ] [ vlan N ] [ cvlan N ]\n"
"       kcolo flow save pair NAME > FILE\n"
"       kcolo flow restore pair NAME < FILE\n",
	.commands = flow_commands,
};

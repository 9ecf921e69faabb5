// SPDX-License-Identifier: GPL-2.0
/* kcolo pair: make, change, show and drive pairs of replicas. */

#include <string.h>

#include <linux/kcolo.h>

#include "cmd.h"
#include "nl.h"
#include "out.h"

static const struct field pair_fields[] = {
	FIELD(PAIR, "pair", "NAME", string, .text = text_pair_head),
	FIELD(ROLE, "role", "role", enum, .flags = FIELD_ADD | FIELD_NEEDED,
	      .names = &names_role),
	FIELD(VM, "vm", "vm", string, .flags = FIELD_CONFIG | FIELD_NEEDED),
	FIELD(PEER, "peer", "peer", string,
	      .flags = FIELD_CONFIG | FIELD_NEEDED),
	FIELD(MODE, "mode", "mode", enum, .flags = FIELD_CONFIG,
	      .names = &names_mode),
	FIELD(STATE, "state", "state", enum, .names = &names_state),
	FIELD(EPOCH, "epoch", "epoch", u32),
	FIELD(TIMEOUT, "timeout_ms", "timeout", u32, .flags = FIELD_CONFIG),
	FIELD(SCAN, "scan_ms", "scan", u32, .flags = FIELD_CONFIG),
	FIELD(MAX_PACKETS, "max_packets", "max-packets", u32,
	      .flags = FIELD_CONFIG),
	FIELD(MAX_BYTES, "max_bytes", "max-bytes", u32, .flags = FIELD_CONFIG),
	FIELD(MAX_FLOWS, "max_flows", "max-flows", u32, .flags = FIELD_CONFIG),
	FIELD(MIN_INTERVAL, "min_interval_ms", "min-interval", u32,
	      .flags = FIELD_CONFIG),
	FIELD(REQUEST, "request", "request", enum, .names = &names_reason),
	FIELD(TRANSLATED, "translated", "translated", u32),
	FIELD(LAST_MISCOMPARE, "last_miscompare", NULL, record,
	      .fields = last_fields, .text = text_last_miscompare),
	FIELD(STATS, "stats", NULL, nest, .flags = FIELD_DETAIL,
	      .names = &names_stats_attrs, .text = text_stats_block),
	{ 0 }
};

static const struct field checkpoint_fields[] = {
	FIELD(PAIR, "pair", "NAME", string, .text = text_pair_head),
	FIELD(EPOCH, "epoch", "epoch", u32, .flags = FIELD_SET),
	FIELD(STATE, "state", "state", enum, .names = &names_state),
	{ 0 }
};

/* Reads the name of a pair into @req. */
static int name_put(struct args *args, struct nlmsghdr *req)
{
	const char *name = args_next(args);

	if (!name)
		return bad_usage("NAME is missing");
	if (is_help(name))
		return RC_HELP;
	return type_string.put(&pair_fields[0], req, name);
}

static int pair_add(struct args *args)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_PAIR_ADD);
	int rc;

	rc = name_put(args, req);
	if (!rc)
		rc = fields_put(pair_fields, FIELD_ADD, args, req);
	return rc ? rc : nl_do(req, NULL, NULL);
}

static int pair_set(struct args *args)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_PAIR_SET);
	int rc;

	rc = name_put(args, req);
	if (rc)
		return rc;
	if (!args->argc)
		return bad_usage("nothing to set");
	rc = fields_put(pair_fields, FIELD_SET, args, req);
	return rc ? rc : nl_do(req, NULL, NULL);
}

static int pair_del(struct args *args)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_PAIR_DEL);
	const char *word;
	int rc;

	rc = name_put(args, req);
	if (rc)
		return rc;
	word = args_next(args);
	if (word && is_help(word))
		return RC_HELP;
	if (word && strcmp(word, "force"))
		return bad_usage("what is \"%s\"?", word);
	if (word)
		mnl_attr_put(req, KCOLO_A_FORCE, 0, NULL);
	rc = args_end(args);
	return rc ? rc : nl_do(req, NULL, NULL);
}

static int pair_show_one(const struct nlmsghdr *nlh, void *data)
{
	json_t *record = fields_get(pair_fields, nlh);
	json_t *name = json_object_get(record, "pair");
	json_t *stats = NULL;

	if (json_is_string(name))
		stats = json_object_get(json_object_get(data,
							json_string_value(name)),
					"stats");
	if (stats)
		json_object_set(record, "stats", stats);
	out_record(pair_fields, record);
	return RC_OK;
}

static int pair_show_request(const char *name, json_t *stats)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_PAIR_GET);
	int rc;

	if (!name)
		return nl_dump(req, pair_show_one, stats);
	rc = type_string.put(&pair_fields[0], req, name);
	return rc ? rc : nl_do(req, pair_show_one, stats);
}

static int pair_show(struct args *args)
{
	const char *name = args_next(args);
	json_t *stats;
	int rc;

	if (name && is_help(name))
		return RC_HELP;
	rc = args_end(args);
	if (rc)
		return rc;
	stats = json_need(json_object());
	if (opts.stats)
		rc = stats_read(name, stats);
	if (!rc)
		rc = pair_show_request(name, stats);
	json_decref(stats);
	out_end(rc);
	return rc;
}

static int checkpoint_show(const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	out_record(checkpoint_fields, fields_get(checkpoint_fields, nlh));
	return RC_OK;
}

/* One step; @args may have more to say about it. A commit tells the epoch. */
static int checkpoint_step(const char *name, unsigned int action,
			   struct args *args)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_CHECKPOINT);
	bool commit = action == KCOLO_ACTION_COMMIT;
	int rc;

	rc = type_string.put(&pair_fields[0], req, name);
	if (rc)
		return rc;
	mnl_attr_put_u32(req, KCOLO_A_ACTION, action);
	if (commit)
		rc = fields_put(checkpoint_fields, FIELD_SET, args, req);
	else
		rc = args_end(args);
	if (rc)
		return rc;
	rc = nl_do(req, commit ? checkpoint_show : NULL, NULL);
	if (commit)
		out_end(rc);
	return rc;
}

/* Begin and commit. A commit that is refused leaves nothing begun behind. */
static int checkpoint_whole(const char *name)
{
	struct args none = { 0 };
	int rc;

	rc = checkpoint_step(name, KCOLO_ACTION_BEGIN, &none);
	if (rc)
		return rc;
	rc = checkpoint_step(name, KCOLO_ACTION_COMMIT, &none);
	if (rc)
		checkpoint_step(name, KCOLO_ACTION_ABORT, &none);
	return rc;
}

/* The action called @word, or -1. */
static int action_find(const char *word)
{
	unsigned int i;

	for (i = 0; i < names_action.n; i++)
		if (!strcmp(word, names_action.name[i]))
			return i;
	return -1;
}

static int pair_checkpoint(struct args *args)
{
	const char *name = args_next(args);
	const char *word = args_next(args);
	int action;

	if (!name)
		return bad_usage("NAME is missing");
	if (is_help(name) || (word && is_help(word)))
		return RC_HELP;
	if (!word)
		return checkpoint_whole(name);
	action = action_find(word);
	if (action < 0)
		return bad_usage("what is \"%s\"?", word);
	return checkpoint_step(name, action, args);
}

static int pair_failover(struct args *args)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_FAILOVER);
	const char *word;
	int action, rc;

	rc = name_put(args, req);
	if (rc)
		return rc;
	word = args_next(args);
	if (word && is_help(word))
		return RC_HELP;
	if (word) {
		action = action_find(word);
		if (action < 0 || action == KCOLO_ACTION_BEGIN)
			return bad_usage("what is \"%s\"?", word);
		mnl_attr_put_u32(req, KCOLO_A_ACTION, action);
	}
	rc = args_end(args);
	return rc ? rc : nl_do(req, NULL, NULL);
}

static const struct command pair_commands[] = {
	{ "show",	pair_show },
	{ "add",	pair_add },
	{ "set",	pair_set },
	{ "del",	pair_del },
	{ "checkpoint",	pair_checkpoint },
	{ "failover",	pair_failover },
	{ 0 }
};

const struct object object_pair = {
	.name = "pair",
	.usage =
"       kcolo pair add NAME role { primary | secondary } vm DEV peer DEV\n"
"             [ mode { hold | observe } ] [ timeout MS ] [ scan MS ]\n"
"             [ max-packets N ] [ max-bytes N ] [ max-flows N ]\n"
"             [ min-interval MS ]\n"
"       kcolo pair set NAME [ vm DEV ] [ peer DEV ] [ mode { hold | observe } ]\n"
"             [ timeout MS ] [ scan MS ] [ max-packets N ] [ max-bytes N ]\n"
"             [ max-flows N ] [ min-interval MS ]\n"
"       kcolo pair del NAME [ force ]\n"
"       kcolo [ -s ] pair show [ NAME ]\n"
"       kcolo pair checkpoint NAME [ begin | commit [ epoch N ] | abort ]\n"
"       kcolo pair failover NAME [ commit | abort ]\n",
	.commands = pair_commands,
};

// SPDX-License-Identifier: GPL-2.0
/* kcolo stats: the counters of pairs. */

#include <stdio.h>
#include <string.h>

#include <linux/kcolo.h>

#include "cmd.h"
#include "hist.h"
#include "nl.h"
#include "out.h"

#define BLOCK_WIDTH	78

static const struct field stats_fields[] = {
	FIELD(PAIR, "pair", "pair", string, .flags = FIELD_FILTER,
	      .text = text_pair_head),
	FIELD(ROLE, "role", "role", enum, .flags = FIELD_JSON,
	      .names = &names_role),
	FIELD(STATS, "stats", NULL, nest, .names = &names_stats_attrs,
	      .text = text_stats_list),
	FIELD(HOLD_TIMES, "hold_times", "hold-times", hist,
	      .flags = FIELD_JSON),
	FIELD(COMPARE_LAG, "compare_lag", "compare-lag", hist,
	      .flags = FIELD_JSON),
	{ 0 }
};

static void text_hold_times(const json_t *record)
{
	text_hist("hold-times", json_object_get(record, "hold_times"));
}

static void text_compare_lag(const json_t *record)
{
	text_hist("compare-lag", json_object_get(record, "compare_lag"));
}

static const struct field histogram_fields[] = {
	FIELD(PAIR, "pair", "pair", string, .text = text_pair_head),
	FIELD(ROLE, "role", "role", enum, .flags = FIELD_JSON,
	      .names = &names_role),
	FIELD(STATS, "stats", NULL, nest, .flags = FIELD_JSON,
	      .names = &names_stats_attrs),
	FIELD(HOLD_TIMES, "hold_times", NULL, hist, .text = text_hold_times),
	FIELD(COMPARE_LAG, "compare_lag", NULL, hist, .text = text_compare_lag),
	{ 0 }
};

void text_pair_head(const json_t *record)
{
	const json_t *name = json_object_get(record, "pair");

	out_sep();
	printf("pair ");
	if (json_is_string(name))
		text_plain(name);
	putchar(':');
}

void text_stats_list(const json_t *record)
{
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(record, "stats"), key, value) {
		printf("\n    ");
		text_key(key);
		putchar(' ');
		text_plain(value);
	}
}

void text_stats_block(const json_t *record)
{
	int column = BLOCK_WIDTH;
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(record, "stats"), key, value) {
		char digits[24];
		int width;

		width = snprintf(digits, sizeof(digits),
				 "%" JSON_INTEGER_FORMAT,
				 json_integer_value(value));
		width += strlen(key) + 2;
		if (column + width > BLOCK_WIDTH) {
			printf("\n   ");
			column = 3;
		}
		column += width;
		putchar(' ');
		text_key(key);
		putchar(' ');
		text_plain(value);
	}
}

static int stats_show_one(const struct nlmsghdr *nlh, void *data)
{
	json_t *record = fields_get(stats_fields, nlh);

	(void)data;
	if (opts.json) {
		/* In JSON the counters stand beside the name of the pair. */
		json_object_update(record, json_object_get(record, "stats"));
		json_object_del(record, "stats");
	}
	out_record(stats_fields, record);
	return RC_OK;
}

/* The counters of one pair if the request has a name, else of all. */
static int stats_request(struct nlmsghdr *req, bool one, nl_fn fn, void *data)
{
	return one ? nl_do(req, fn, data) : nl_dump(req, fn, data);
}

static int stats_show_with(struct args *args, nl_fn fn)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_STATS_GET);
	bool one = args->argc;
	int rc;

	rc = fields_put(stats_fields, FIELD_FILTER, args, req);
	if (rc)
		return rc;
	rc = stats_request(req, one, fn, NULL);
	out_end(rc);
	return rc;
}

static int stats_show(struct args *args)
{
	return stats_show_with(args, stats_show_one);
}

static int stats_histogram_one(const struct nlmsghdr *nlh, void *data)
{
	json_t *record = fields_get(histogram_fields, nlh);

	(void)data;
	json_object_del(record, "stats");
	out_record(histogram_fields, record);
	return RC_OK;
}

static int stats_histogram(struct args *args)
{
	return stats_show_with(args, stats_histogram_one);
}

static int stats_read_one(const struct nlmsghdr *nlh, void *data)
{
	json_t *record = fields_get(stats_fields, nlh);
	json_t *name = json_object_get(record, "pair");

	if (json_is_string(name))
		json_object_set(data, json_string_value(name), record);
	json_decref(record);
	return RC_OK;
}

int stats_read(const char *name, json_t *pairs)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_STATS_GET);
	int rc = RC_OK;

	if (name)
		rc = type_string.put(&stats_fields[0], req, name);
	return rc ? rc : stats_request(req, name, stats_read_one, pairs);
}

static const struct command stats_commands[] = {
	{ "show", stats_show },
	{ "histogram", stats_histogram },
	{ 0 }
};

const struct object object_stats = {
	.name = "stats",
	.usage =
"       kcolo stats show [ pair NAME ]\n"
"       kcolo stats histogram [ pair NAME ]\n",
	.commands = stats_commands,
};

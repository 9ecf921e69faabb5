// SPDX-License-Identifier: GPL-2.0
/* Tables of fields: from attributes to records, to text, from arguments. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/genetlink.h>
#include <linux/kcolo.h>

#include "field.h"
#include "out.h"

json_t *json_need(json_t *value)
{
	if (value)
		return value;
	fputs("Error: kcolo: out of memory\n", stderr);
	exit(RC_KERNEL);
}

static void record_set(json_t *record, const char *key, json_t *value)
{
	if (json_object_set_new(record, key, json_need(value)))
		json_need(NULL);
}

/* Attributes behind each other, of a message or of a nest. */
struct attrs {
	const void *data;
	size_t len;
};

static bool attr_in(const struct attrs *attrs, const struct nlattr *attr)
{
	const char *end = (const char *)attrs->data + attrs->len;

	return mnl_attr_ok(attr, end - (const char *)attr);
}

static const struct nlattr *attr_find(const struct attrs *attrs, uint16_t type)
{
	const struct nlattr *attr;

	for (attr = attrs->data; attr_in(attrs, attr);
	     attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == type)
			return attr;
	return NULL;
}

static bool attr_known(const struct field *field, uint16_t type)
{
	if (type == KCOLO_A_PAD)
		return true;
	for (; field->key || field->text; field++)
		if (field->attr == type)
			return true;
	return false;
}

/* What a newer kernel says and this tool has no name for is shown, too. */
static void get_unknown(const struct field *fields, const struct attrs *attrs,
			json_t *record)
{
	const struct nlattr *attr;
	char key[16];

	for (attr = attrs->data; attr_in(attrs, attr);
	     attr = mnl_attr_next(attr)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (attr_known(fields, type))
			continue;
		snprintf(key, sizeof(key), "attr_%u", type);
		record_set(record, key, type_u64.get(NULL, attr));
	}
}

static json_t *record_get(const struct field *fields, const struct attrs *attrs)
{
	json_t *record = json_need(json_object());
	const struct field *field;

	for (field = fields; field->key || field->text; field++) {
		const struct nlattr *attr = NULL;

		if (!field->attr)
			continue;
		attr = attr_find(attrs, field->attr);
		if (attr)
			record_set(record, field->key,
				   field->type->get(field, attr));
		else if (field->flags & FIELD_NULL)
			record_set(record, field->key, json_null());
	}
	get_unknown(fields, attrs, record);
	return record;
}

json_t *fields_get(const struct field *fields, const struct nlmsghdr *nlh)
{
	struct attrs attrs = {
		mnl_nlmsg_get_payload_offset(nlh, sizeof(struct genlmsghdr)),
		mnl_nlmsg_get_payload_len(nlh) - sizeof(struct genlmsghdr),
	};

	return record_get(fields, &attrs);
}

json_t *fields_pick(const struct field *fields, const struct nlmsghdr *nlh)
{
	json_t *all = fields_get(fields, nlh);
	json_t *record = json_need(json_object());
	const struct field *field;

	for (field = fields; field->key; field++) {
		json_t *value = json_object_get(all, field->key);

		if (value)
			json_object_set(record, field->key, value);
	}
	json_decref(all);
	return record;
}

static json_t *nested_get(const struct field *field, const struct nlattr *attr)
{
	struct attrs attrs = {
		mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr),
	};

	return record_get(field->fields, &attrs);
}

const struct type type_record = { .get = nested_get };

void text_key(const char *key)
{
	for (; *key; key++)
		putchar(*key == '_' ? '-' : *key);
}

void text_plain(const json_t *value)
{
	if (json_is_string(value))
		out_string(json_string_value(value));
	else if (json_is_true(value))
		printf("on");
	else
		printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

static void text_field(const struct field *field, const json_t *record)
{
	const json_t *value;

	if (field->flags & FIELD_JSON ||
	    (field->flags & FIELD_DETAIL && !opts.stats))
		return;
	if (field->text) {
		field->text(record);
		return;
	}
	value = json_object_get(record, field->key);
	if (!value || json_is_null(value))
		return;
	out_sep();
	printf("%s ", field->word);
	if (field->type->text)
		field->type->text(value);
	else
		text_plain(value);
}

void fields_text(const struct field *fields, const json_t *record)
{
	const char *key;
	json_t *value;

	for (; fields->key || fields->text; fields++)
		text_field(fields, record);
	json_object_foreach((json_t *)record, key, value) {
		if (strncmp(key, "attr_", 5))
			continue;
		out_sep();
		text_key(key);
		putchar(' ');
		text_plain(value);
	}
}

static const struct field *field_find(const struct field *field,
				      unsigned int flag, const char *word)
{
	for (; field->key || field->text; field++)
		if (field->flags & flag && !strcmp(field->word, word))
			return field;
	return NULL;
}

static int needed_check(const struct field *fields, unsigned int flag,
			uint64_t seen)
{
	const struct field *field;

	if (flag != FIELD_ADD)
		return RC_OK;
	for (field = fields; field->key || field->text; field++)
		if (field->flags & FIELD_NEEDED &&
		    !(seen & 1ull << (field - fields)))
			return bad_usage("\"%s\" is missing", field->word);
	return RC_OK;
}

int fields_put(const struct field *fields, unsigned int flag,
	       struct args *args, struct nlmsghdr *req)
{
	uint64_t seen = 0;
	const char *word;

	while ((word = args_next(args))) {
		const struct field *field = field_find(fields, flag, word);
		const char *value;
		uint64_t bit;
		int rc;

		if (!field && is_help(word))
			return RC_HELP;
		if (!field)
			return bad_usage("what is \"%s\"?", word);
		bit = 1ull << (field - fields);
		if (seen & bit)
			return bad_usage("\"%s\" is there twice", word);
		seen |= bit;
		value = args_next(args);
		if (!value)
			return bad_usage("\"%s\" needs a value", word);
		rc = field->type->put(field, req, value);
		if (rc)
			return rc;
	}
	return needed_check(fields, flag, seen);
}

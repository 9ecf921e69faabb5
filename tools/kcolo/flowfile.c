// SPDX-License-Identifier: GPL-2.0
/*
 * kcolo flow save, kcolo flow restore: what a host translates, as a file (F3).
 *
 * The file is one JSON object. Its version changes with its meaning; what this
 * program does not know it refuses, before anything is changed.
 */

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/kcolo.h>

#include "cmd.h"
#include "names.h"
#include "nl.h"

#define FORMAT	"kcolo-flows"
#define VERSION	1

/* "pair NAME" and nothing else. */
static int pair_arg(struct args *args, const char **name)
{
	const char *word = args_next(args);

	if (word && is_help(word))
		return RC_HELP;
	if (!word || strcmp(word, "pair"))
		return bad_usage("say pair NAME");
	*name = args_next(args);
	if (!*name)
		return bad_usage("NAME is missing");
	if (strlen(*name) > KCOLO_NAME_MAX)
		return bad_usage("NAME is too long");
	return args_end(args);
}

static const struct field role_fields[] = {
	FIELD(ROLE, "role", "role", enum, .names = &names_role),
	{ 0 }
};

static int is_primary(const struct nlmsghdr *nlh, void *data)
{
	json_t *record = fields_get(role_fields, nlh);
	const char *role = json_string_value(json_object_get(record, "role"));

	*(bool *)data = role && !strcmp(role, "primary");
	json_decref(record);
	return RC_OK;
}

static json_int_t number(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

/* One connection as it goes into the file, NULL if it is not translated. */
static json_t *entry(const json_t *record)
{
	static const char *const same[] = { "proto", "src", "sport", "dst",
					    "dport", "vlan", "vlan_proto",
					    "cvlan", "cvlan_proto" };
	uint32_t offset = number(record, "offset") +
			  number(record, "dormant_offset");
	int32_t tsoffset = (uint32_t)number(record, "tsoffset") +
			   (uint32_t)number(record, "dormant_tsoffset");
	bool ts = json_object_get(record, "tsoffset") || tsoffset;
	const char *state = json_string_value(json_object_get(record, "state"));
	json_t *out;
	size_t i;

	if ((!offset && !tsoffset) || (state && !strcmp(state, "closed")))
		return NULL;
	out = json_need(json_object());
	for (i = 0; i < ARRAY_SIZE(same); i++)
		if (json_object_get(record, same[i]))
			json_object_set(out, same[i],
					json_object_get(record, same[i]));
	json_object_set_new(out, "active_open",
			    json_boolean(json_object_get(record,
							 "active_open")));
	json_object_set_new(out, "offset", json_need(json_integer(offset)));
	json_object_set_new(out, "tsoffset",
			    ts ? json_need(json_integer(tsoffset)) :
				 json_null());
	return out;
}

static int save_one(const struct nlmsghdr *nlh, void *data)
{
	json_t *record = fields_get(flow_fields, nlh);
	json_t *out = entry(record);

	if (out)
		json_array_append_new(data, out);
	json_decref(record);
	return RC_OK;
}

/* A connection a line, for people and for diff. */
static void print_file(const json_t *flows)
{
	const json_t *flow;
	size_t i;

	printf("{\"format\": \"%s\", \"version\": %d, \"flows\": [", FORMAT,
	       VERSION);
	json_array_foreach(flows, i, flow) {
		fputs(i ? ",\n" : "\n", stdout);
		json_dumpf(flow, stdout, 0);
	}
	puts("\n]}");
}

int flow_save(struct args *args)
{
	struct nlmsghdr *req;
	bool primary = false;
	const char *name;
	json_t *flows;
	int rc;

	rc = pair_arg(args, &name);
	if (rc)
		return rc;
	req = nl_request(KCOLO_CMD_PAIR_GET);
	mnl_attr_put_strz(req, KCOLO_A_PAIR, name);
	rc = nl_do(req, is_primary, &primary);
	if (rc)
		return rc;
	if (primary) {
		fprintf(stderr, "Error: kcolo: pair %s is a primary and translates nothing: ",
			name);
		fputs("name the secondary that has failed over\n", stderr);
		return RC_KERNEL;
	}
	flows = json_need(json_array());
	req = nl_request(KCOLO_CMD_FLOW_GET);
	mnl_attr_put_strz(req, KCOLO_A_PAIR, name);
	rc = nl_dump(req, save_one, flows);
	if (!rc)
		print_file(flows);
	json_decref(flows);
	return rc;
}

static int __printf(1, 2) bad_file(const char *fmt, ...)
{
	va_list ap;

	fputs("Error: kcolo: the file is refused, nothing was changed: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
	return RC_KERNEL;
}

/* Whether an object has the first @needed of these keys and no others than these. */
static int check_keys(const json_t *object, const char *const *keys, size_t n,
		      size_t needed, const char *what)
{
	const char *key;
	json_t *value;
	size_t i;

	if (!json_is_object(object))
		return bad_file("%s is not an object", what);
	for (i = 0; i < needed; i++)
		if (!json_object_get(object, keys[i]))
			return bad_file("%s has no \"%s\"", what, keys[i]);
	json_object_foreach((json_t *)object, key, value) {
		for (i = 0; i < n && strcmp(key, keys[i]); i++)
			;
		if (i == n)
			return bad_file("%s has an unknown \"%s\"", what, key);
	}
	return RC_OK;
}

/**
 * struct flow - a connection of the file
 * @src: address, 4 or 16 bytes
 * @dst: address
 * @len: bytes of each address
 * @sport: port
 * @dport: port
 * @tag: VLAN tags, from the outermost on; id 0 is none
 * @active: the guest opened it
 * @offset: to be restored
 * @tsoffset: to be restored, if @ts
 * @ts: there is one
 */
struct flow {
	unsigned char src[16];
	unsigned char dst[16];
	size_t len;
	uint16_t sport;
	uint16_t dport;
	struct tag {
		uint16_t id;
		uint16_t proto;
	} tag[2];
	bool active;
	uint32_t offset;
	int32_t tsoffset;
	bool ts;
};

static int get_number(const json_t *object, const char *key, json_int_t min,
		      json_int_t max, const char *what, json_int_t *to)
{
	const json_t *value = json_object_get(object, key);

	*to = json_integer_value(value);
	if (!json_is_integer(value) || *to < min || *to > max)
		return bad_file("%s: \"%s\" is not a number from %lld to %lld",
				what, key, (long long)min, (long long)max);
	return RC_OK;
}

/* Bytes of the address, 0 if it is none. */
static size_t get_addr(const json_t *object, const char *key, void *to)
{
	const char *s = json_string_value(json_object_get(object, key));

	if (s && inet_pton(AF_INET, s, to) == 1)
		return 4;
	return s && inet_pton(AF_INET6, s, to) == 1 ? 16 : 0;
}

static int get_tag(const json_t *object, const char *key, const char *proto_key,
		   const char *what, struct tag *tag)
{
	const json_t *proto = json_object_get(object, proto_key);
	const char *name = json_string_value(proto);
	json_int_t n;
	int rc;

	tag->proto = name && !strcmp(name, TAG_AD_NAME) ? TAG_AD : TAG_Q;
	if (proto && (!name || (tag->proto == TAG_Q && strcmp(name, TAG_Q_NAME))))
		return bad_file("%s: \"%s\" is neither \"%s\" nor \"%s\"", what,
				proto_key, TAG_Q_NAME, TAG_AD_NAME);
	if (!json_object_get(object, key))
		return proto ? bad_file("%s: \"%s\" without \"%s\"", what,
					proto_key, key) :
			       RC_OK;
	rc = get_number(object, key, 1, 4094, what, &n);
	tag->id = n;
	return rc;
}

static int read_flow(const json_t *object, const char *what, struct flow *flow)
{
	static const char *const keys[] = { "proto", "src", "sport", "dst",
					    "dport", "active_open", "offset",
					    "tsoffset", "vlan", "vlan_proto",
					    "cvlan", "cvlan_proto" };
	const json_t *ts = json_object_get(object, "tsoffset");
	const json_t *active = json_object_get(object, "active_open");
	const char *proto;
	json_int_t n;
	int rc;

	memset(flow, 0, sizeof(*flow));
	rc = check_keys(object, keys, ARRAY_SIZE(keys), 8, what);
	if (rc)
		return rc;
	proto = json_string_value(json_object_get(object, "proto"));
	if (!proto || strcmp(proto, "tcp"))
		return bad_file("%s: \"proto\" is not \"tcp\"", what);
	flow->len = get_addr(object, "src", flow->src);
	if (!flow->len || flow->len != get_addr(object, "dst", flow->dst))
		return bad_file("%s: \"src\" and \"dst\" are not two addresses of one kind",
				what);
	if (!json_is_boolean(active))
		return bad_file("%s: \"active_open\" is not true or false", what);
	flow->active = json_is_true(active);
	rc = get_number(object, "sport", 1, UINT16_MAX, what, &n);
	flow->sport = n;
	if (!rc)
		rc = get_number(object, "dport", 1, UINT16_MAX, what, &n);
	flow->dport = n;
	if (!rc)
		rc = get_tag(object, "vlan", "vlan_proto", what, &flow->tag[0]);
	if (!rc)
		rc = get_tag(object, "cvlan", "cvlan_proto", what,
			     &flow->tag[1]);
	if (!rc && flow->tag[1].id && !flow->tag[0].id)
		rc = bad_file("%s: \"cvlan\" without \"vlan\"", what);
	if (!rc)
		rc = get_number(object, "offset", 0, UINT32_MAX, what, &n);
	flow->offset = n;
	flow->ts = !json_is_null(ts);
	if (!rc && flow->ts)
		rc = get_number(object, "tsoffset", INT32_MIN, INT32_MAX, what,
				&n);
	flow->tsoffset = n;
	return rc;
}

/* Checks everything but the connections, and returns them. */
static int read_head(const json_t *file, json_t **flows)
{
	static const char *const keys[] = { "format", "version", "flows" };
	const char *format;
	json_int_t version;
	int rc;

	rc = check_keys(file, keys, ARRAY_SIZE(keys), ARRAY_SIZE(keys), "it");
	if (rc)
		return rc;
	format = json_string_value(json_object_get(file, "format"));
	if (!format || strcmp(format, FORMAT))
		return bad_file("\"format\" is not \"%s\"", FORMAT);
	rc = get_number(file, "version", VERSION, VERSION, "it", &version);
	if (rc)
		return rc;
	*flows = json_object_get(file, "flows");
	return json_is_array(*flows) ? RC_OK :
				       bad_file("\"flows\" is not a list");
}

static void put_tag(struct nlmsghdr *req, uint16_t attr, uint16_t proto_attr,
		    const struct tag *tag)
{
	if (!tag->id)
		return;
	mnl_attr_put_u16(req, attr, tag->id);
	mnl_attr_put_u16(req, proto_attr, tag->proto);
}

static int restore_one(const char *name, const struct flow *flow)
{
	struct nlmsghdr *req = nl_request(KCOLO_CMD_FLOW_RESTORE);

	mnl_attr_put_strz(req, KCOLO_A_PAIR, name);
	mnl_attr_put(req, KCOLO_A_SRC, flow->len, flow->src);
	mnl_attr_put(req, KCOLO_A_DST, flow->len, flow->dst);
	mnl_attr_put_u16(req, KCOLO_A_SPORT, flow->sport);
	mnl_attr_put_u16(req, KCOLO_A_DPORT, flow->dport);
	put_tag(req, KCOLO_A_VLAN, KCOLO_A_VLAN_PROTO, &flow->tag[0]);
	put_tag(req, KCOLO_A_CVLAN, KCOLO_A_CVLAN_PROTO, &flow->tag[1]);
	if (flow->active)
		mnl_attr_put(req, KCOLO_A_ACTIVE_OPEN, 0, NULL);
	mnl_attr_put_u32(req, KCOLO_A_OFFSET, flow->offset);
	if (flow->ts)
		mnl_attr_put_u32(req, KCOLO_A_TSOFFSET, flow->tsoffset);
	return nl_do(req, NULL, NULL);
}

/* First all of the file is read, then the kernel is told. */
static int restore_all(const char *name, const json_t *file)
{
	json_t *flows, *object;
	bool checked = false;
	struct flow flow;
	char what[40];
	size_t i;
	int rc;

	rc = read_head(file, &flows);
	if (rc)
		return rc;
again:
	json_array_foreach(flows, i, object) {
		snprintf(what, sizeof(what), "connection %zu", i + 1);
		rc = read_flow(object, what, &flow);
		if (!rc && checked)
			rc = restore_one(name, &flow);
		if (!rc)
			continue;
		if (checked)
			fprintf(stderr,
				"Error: kcolo: that was %s of %zu, those before are restored\n",
				what, json_array_size(flows));
		return rc;
	}
	if (checked)
		return RC_OK;
	checked = true;
	goto again;
}

int flow_restore(struct args *args)
{
	json_error_t error;
	const char *name;
	json_t *file;
	int rc;

	rc = pair_arg(args, &name);
	if (rc)
		return rc;
	file = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
	if (!file)
		return bad_file("line %d: %s", error.line, error.text);
	rc = restore_all(name, file);
	json_decref(file);
	return rc;
}

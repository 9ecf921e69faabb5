// SPDX-License-Identifier: GPL-2.0
/* The types of values: netlink, JSON, text and command line. */

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/kcolo.h>

#include "field.h"
#include "nl.h"
#include "out.h"

static const char hex_digits[] = "0123456789abcdef";

static json_t *hex_get(const struct field *field, const struct nlattr *attr)
{
	const unsigned char *p = mnl_attr_get_payload(attr);
	size_t i, len = mnl_attr_get_payload_len(attr);
	json_t *value;
	char *s;

	(void)field;
	s = malloc(2 * len + 1);
	if (!s)
		return NULL;
	for (i = 0; i < len; i++) {
		s[2 * i] = hex_digits[p[i] >> 4];
		s[2 * i + 1] = hex_digits[p[i] & 15];
	}
	value = json_stringn_nocheck(s, 2 * len);
	free(s);
	return value;
}

/* An unsigned number of any width; what is none is shown in hex. */
static json_t *uint_get(const struct field *field, const struct nlattr *attr)
{
	uint64_t v64;
	uint32_t v32;

	switch (mnl_attr_get_payload_len(attr)) {
	case 0: /* a flag */
		return json_true();
	case 1:
		return json_integer(mnl_attr_get_u8(attr));
	case 2:
		return json_integer(mnl_attr_get_u16(attr));
	case 4:
		v32 = mnl_attr_get_u32(attr);
		return json_integer(v32);
	case 8:
		memcpy(&v64, mnl_attr_get_payload(attr), sizeof(v64));
		return json_integer(v64);
	default:
		return hex_get(field, attr);
	}
}

static json_t *s32_get(const struct field *field, const struct nlattr *attr)
{
	if (mnl_attr_get_payload_len(attr) != sizeof(int32_t))
		return hex_get(field, attr);
	return json_integer((int32_t)mnl_attr_get_u32(attr));
}

/* JSON is UTF-8: bytes of a name that are not become "\xNN". */
static json_t *string_escaped(const char *s, size_t len)
{
	json_t *value;
	char *out;
	size_t i;

	out = malloc(4 * len + 1);
	if (!out)
		return NULL;
	out[0] = '\0';
	for (i = 0; i < len; i++) {
		unsigned char c = s[i];

		sprintf(out + strlen(out), c < 0x80 ? "%c" : "\\x%02x", c);
	}
	value = json_string(out);
	free(out);
	return value;
}

static json_t *string_get(const struct field *field, const struct nlattr *attr)
{
	const char *s = mnl_attr_get_payload(attr);
	size_t len = strnlen(s, mnl_attr_get_payload_len(attr));
	json_t *value = json_stringn(s, len);

	(void)field;
	return value ? value : string_escaped(s, len);
}

static json_t *enum_get(const struct field *field, const struct nlattr *attr)
{
	json_t *number = uint_get(field, attr);
	const char *name = NULL;
	json_t *value;

	if (json_is_integer(number))
		name = names_get(field->names, json_integer_value(number));
	if (name)
		value = json_string(name);
	else
		value = json_sprintf("unknown-%" JSON_INTEGER_FORMAT,
				     json_integer_value(number));
	json_decref(number);
	return value;
}

static json_t *addr_get(const struct field *field, const struct nlattr *attr)
{
	const void *p = mnl_attr_get_payload(attr);
	char s[INET6_ADDRSTRLEN];

	switch (mnl_attr_get_payload_len(attr)) {
	case 4:
		return json_string(inet_ntop(AF_INET, p, s, sizeof(s)));
	case 16:
		return json_string(inet_ntop(AF_INET6, p, s, sizeof(s)));
	default:
		return hex_get(field, attr);
	}
}

/* Not from /etc/protocols: the same packet has the same name everywhere. */
static const struct {
	unsigned char number;
	const char *name;
} protos[] = {
	{ 1,	"icmp" },
	{ 2,	"igmp" },
	{ 6,	"tcp" },
	{ 17,	"udp" },
	{ 33,	"dccp" },
	{ 47,	"gre" },
	{ 50,	"esp" },
	{ 51,	"ah" },
	{ 58,	"icmpv6" },
	{ 132,	"sctp" },
	{ 136,	"udplite" },
};

static json_t *proto_get(const struct field *field, const struct nlattr *attr)
{
	unsigned char number;
	size_t i;

	if (mnl_attr_get_payload_len(attr) != sizeof(number))
		return hex_get(field, attr);
	number = mnl_attr_get_u8(attr);
	for (i = 0; i < ARRAY_SIZE(protos); i++)
		if (protos[i].number == number)
			return json_string(protos[i].name);
	return json_sprintf("%u", number);
}

/* The Ethernet type of a VLAN tag. */
static json_t *tag_get(const struct field *field, const struct nlattr *attr)
{
	if (mnl_attr_get_payload_len(attr) != sizeof(uint16_t))
		return hex_get(field, attr);
	switch (mnl_attr_get_u16(attr)) {
	case TAG_Q:
		return json_string(TAG_Q_NAME);
	case TAG_AD:
		return json_string(TAG_AD_NAME);
	default:
		return uint_get(field, attr);
	}
}

static json_t *nest_get(const struct field *field, const struct nlattr *nest)
{
	json_t *record = json_need(json_object());
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		uint16_t type = mnl_attr_get_type(attr);
		const char *name = names_get(field->names, type);
		char key[64], *p;

		if (name && !strcmp(name, "pad"))
			continue;
		if (name)
			snprintf(key, sizeof(key), "%s", name);
		else
			snprintf(key, sizeof(key), "attr-%u", type);
		while ((p = strchr(key, '-')))
			*p = '_';
		if (json_object_set_new(record, key, uint_get(field, attr)))
			json_need(NULL);
	}
	return record;
}

/* Seconds are what a reader can grasp; JSON has the milliseconds. */
static void idle_text(const json_t *value)
{
	json_int_t ms = json_integer_value(value);

	printf("%" JSON_INTEGER_FORMAT ".%ds", ms / 1000,
	       (int)(ms % 1000 / 100));
}

/* Nothing said is something, too. */
static void hex_text(const json_t *value)
{
	printf("%s", json_string_length(value) ? json_string_value(value) : "-");
}

/* Decimal digits and nothing else, at most @max. */
static int number_parse(const struct field *field, const char *arg,
			unsigned long max, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(arg, &end, 10);
	if (!*arg || arg[strspn(arg, "0123456789")] || errno || *end)
		return bad_usage("%s \"%s\" is not a number", field->word, arg);
	if (*number > max)
		return bad_usage("%s %s is more than %lu", field->word, arg,
				 max);
	return RC_OK;
}

static int u16_put(const struct field *field, struct nlmsghdr *req,
		   const char *arg)
{
	unsigned long number;
	int rc;

	rc = number_parse(field, arg, UINT16_MAX, &number);
	if (!rc)
		mnl_attr_put_u16(req, field->attr, number);
	return rc;
}

static int u32_put(const struct field *field, struct nlmsghdr *req,
		   const char *arg)
{
	unsigned long number;
	int rc;

	rc = number_parse(field, arg, UINT32_MAX, &number);
	if (!rc)
		mnl_attr_put_u32(req, field->attr, number);
	return rc;
}

static int string_put(const struct field *field, struct nlmsghdr *req,
		      const char *arg)
{
	if (!mnl_attr_put_strz_check(req, NL_STRINGS_MAX, field->attr, arg))
		return bad_usage("%s is too long", field->word);
	return RC_OK;
}

static int enum_put(const struct field *field, struct nlmsghdr *req,
		    const char *arg)
{
	unsigned int i;

	for (i = 0; i < field->names->n; i++) {
		if (strcmp(arg, field->names->name[i]))
			continue;
		mnl_attr_put_u32(req, field->attr, i);
		return RC_OK;
	}
	return bad_usage("%s cannot be \"%s\"", field->word, arg);
}

static int addr_put(const struct field *field, struct nlmsghdr *req,
		    const char *arg)
{
	unsigned char addr[16];
	size_t len;

	if (inet_pton(AF_INET, arg, addr) == 1)
		len = 4;
	else if (inet_pton(AF_INET6, arg, addr) == 1)
		len = 16;
	else
		return bad_usage("%s \"%s\" is not an address", field->word,
				 arg);
	mnl_attr_put(req, field->attr, len, addr);
	return RC_OK;
}

/* Without a length only that address. */
static int prefix_put(const struct field *field, struct nlmsghdr *req,
		      const char *arg)
{
	int n = strcspn(arg, "/");
	char addr[INET6_ADDRSTRLEN];
	unsigned long len;
	int rc;

	if (n >= (int)sizeof(addr))
		return bad_usage("%s \"%s\" is not a prefix", field->word, arg);
	snprintf(addr, sizeof(addr), "%.*s", n, arg);
	rc = addr_put(field, req, addr);
	if (rc || !arg[n])
		return rc;
	rc = number_parse(field, arg + n + 1, strchr(addr, ':') ? 128 : 32,
			  &len);
	if (!rc)
		mnl_attr_put_u8(req, field->attr == KCOLO_A_SRC ?
				     KCOLO_A_SRC_LEN : KCOLO_A_DST_LEN, len);
	return rc;
}

static int proto_put(const struct field *field, struct nlmsghdr *req,
		     const char *arg)
{
	unsigned long number = 0;
	size_t i;
	int rc;

	for (i = 0; i < ARRAY_SIZE(protos); i++)
		if (!strcmp(protos[i].name, arg))
			number = protos[i].number;
	if (!number) {
		rc = number_parse(field, arg, UINT8_MAX, &number);
		if (rc)
			return rc;
	}
	mnl_attr_put_u8(req, field->attr, number);
	return RC_OK;
}

const struct type type_string = { .get = string_get, .put = string_put };
const struct type type_u16 = { .get = uint_get, .put = u16_put };
const struct type type_u32 = { .get = uint_get, .put = u32_put };
const struct type type_s32 = { .get = s32_get };
const struct type type_u64 = { .get = uint_get };
const struct type type_idle = { .get = uint_get, .text = idle_text };
const struct type type_enum = { .get = enum_get, .put = enum_put };
const struct type type_proto = { .get = proto_get, .put = proto_put };
const struct type type_addr = { .get = addr_get, .put = addr_put };
const struct type type_prefix = { .get = addr_get, .put = prefix_put };
const struct type type_tag = { .get = tag_get };
const struct type type_hex = { .get = hex_get, .text = hex_text };
const struct type type_nest = { .get = nest_get };

static void text_end(const json_t *addr, const json_t *port)
{
	const char *s = json_string_value(addr);

	if (!json_is_integer(port))
		out_string(s ? s : "?");
	else
		printf(s && strchr(s, ':') ? "[%s]:%d" : "%s:%d", s ? s : "?",
		       (int)json_integer_value(port));
}

void text_tuple(const json_t *record)
{
	const json_t *src = json_object_get(record, "src");
	const json_t *dst = json_object_get(record, "dst");
	const json_t *proto = json_object_get(record, "proto");

	if (!json_is_string(proto))
		return;
	out_sep();
	text_plain(proto);
	if (!json_is_string(src) && !json_is_string(dst))
		return;
	out_sep();
	text_end(src, json_object_get(record, "sport"));
	printf(" > ");
	text_end(dst, json_object_get(record, "dport"));
}

// SPDX-License-Identifier: GPL-2.0
/* The newest miscompare of a pair, after the fact. */

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <linux/kcolo.h>

#include "cmd.h"
#include "out.h"

#define ROW	16	/* bytes in a row */
#define AROUND	32	/* bytes of a side around the difference */

const struct field last_fields[] = {
	FIELD(AGO, "ago_ms", "ago", idle, .flags = FIELD_JSON),
	FIELD(EPOCH, "epoch", "epoch", u32),
	{ .text = text_tuple },
	FIELD(VLAN, "vlan", "vlan", u16),
	FIELD(VLAN_PROTO, "vlan_proto", "vlan-proto", tag, .flags = FIELD_JSON),
	FIELD(CVLAN, "cvlan", "cvlan", u16),
	FIELD(CVLAN_PROTO, "cvlan_proto", "cvlan-proto", tag,
	      .flags = FIELD_JSON),
	FIELD(REASON, "reason", "reason", enum, .names = &names_reason),
	FIELD(PROTO, "proto", "proto", proto, .flags = FIELD_JSON),
	FIELD(SRC, "src", "src", addr, .flags = FIELD_JSON),
	FIELD(SPORT, "sport", "sport", u16, .flags = FIELD_JSON),
	FIELD(DST, "dst", "dst", addr, .flags = FIELD_JSON),
	FIELD(DPORT, "dport", "dport", u16, .flags = FIELD_JSON),
	FIELD(SEQ, "seq", "seq", u32),
	FIELD(STREAM_OFFSET, "stream_offset", "stream-offset", u64),
	FIELD(BEFORE, "before", "before", hex, .flags = FIELD_JSON),
	FIELD(PRIMARY, "primary", "primary", hex, .flags = FIELD_JSON),
	FIELD(SECONDARY, "secondary", "secondary", hex, .flags = FIELD_JSON),
	{ 0 }
};

/* One row: bytes in hex, and as text where they are some. */
static void text_row(const char *name, const char *hex, int n)
{
	unsigned int byte;
	char text[ROW + 1];
	int i;

	printf("\n        %-9s", name);
	for (i = 0; i < n && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++) {
		printf(" %02x", byte);
		text[i] = isascii(byte) && isprint(byte) ? byte : '.';
	}
	text[i] = '\0';
	printf("%*s  %s", 3 * (ROW - i), "", text);
}

static const char *hex_of(const json_t *last, const char *key)
{
	const char *hex = json_string_value(json_object_get(last, key));

	return hex ? hex : "";
}

/* At most @n bytes of what is called @key. */
static void text_bytes(const json_t *last, const char *key, int n)
{
	const char *name = key, *hex = hex_of(last, key);

	for (; *hex && n > 0; n -= ROW, name = "") {
		text_row(name, hex, n < ROW ? n : ROW);
		hex += strnlen(hex, 2 * ROW);
	}
}

void text_last_miscompare(const json_t *record)
{
	const json_t *last = json_object_get(record, "last_miscompare");
	int after;

	if (!last)
		return;
	printf("\n    last miscompare ");
	type_idle.text(json_object_get(last, "ago_ms"));
	printf(" ago:");
	fields_text(last_fields, last);
	after = AROUND - strlen(hex_of(last, "before")) / 2;
	text_bytes(last, "before", ROW);
	text_bytes(last, "primary", after);
	text_bytes(last, "secondary", after);
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An object is a table of fields. The same table makes a record out of the
 * kernel's attributes, prints it as text, and reads the command line.
 */
#ifndef KCOLO_FIELD_H
#define KCOLO_FIELD_H

#include <stdint.h>

#include <jansson.h>
#include <libmnl/libmnl.h>

#include "kcolo.h"
#include "names.h"

#define TAG_Q		0x8100
#define TAG_Q_NAME	"802.1Q"
#define TAG_AD		0x88a8
#define TAG_AD_NAME	"802.1ad"

struct field;

/**
 * struct type - how a value looks in netlink, in JSON and in text
 * @get: a new JSON value from an attribute
 * @put: append an argument of the command line; RC_OK or RC_USAGE
 * @text: print the value where its JSON form will not do
 */
struct type {
	json_t *(*get)(const struct field *field, const struct nlattr *attr);
	int (*put)(const struct field *field, struct nlmsghdr *req,
		   const char *arg);
	void (*text)(const json_t *value);
};

extern const struct type type_string;
extern const struct type type_u16;
extern const struct type type_u32;
extern const struct type type_s32;
extern const struct type type_u64;
extern const struct type type_idle;
extern const struct type type_enum;
extern const struct type type_proto;
extern const struct type type_addr;
extern const struct type type_prefix;
extern const struct type type_tag;
extern const struct type type_hex;
extern const struct type type_nest;
extern const struct type type_record;
extern const struct type type_hist;

enum {
	FIELD_JSON	= 1 << 0,	/* not in text */
	FIELD_DETAIL	= 1 << 1,	/* in text only with -s */
	FIELD_NULL	= 1 << 2,	/* null in JSON when absent */
	FIELD_ADD	= 1 << 3,	/* word of "add" */
	FIELD_SET	= 1 << 4,	/* word of "set" */
	FIELD_FILTER	= 1 << 5,	/* word of "show" */
	FIELD_NEEDED	= 1 << 6,	/* "add" cannot do without */

	FIELD_CONFIG	= FIELD_ADD | FIELD_SET,
};

/**
 * struct field - one value of an object
 * @attr: its attribute, 0 if it only is text made from other fields
 * @flags: FIELD_*
 * @key: its name in JSON
 * @word: its name in text and on the command line
 * @type: its type
 * @names: its values, if they have names; of a nest, its attributes
 * @fields: of a record within a record, its fields
 * @text: prints it from the whole record, instead of "word value"
 *
 * A table is closed by an entry without key and text.
 */
struct field {
	uint16_t attr;
	uint16_t flags;
	const char *key;
	const char *word;
	const struct type *type;
	const struct names *names;
	const struct field *fields;
	void (*text)(const json_t *record);
};

#define FIELD(a, k, w, t, ...) {	\
	.attr = KCOLO_A_##a,		\
	.key = k,			\
	.word = w,			\
	.type = &type_##t,		\
	__VA_ARGS__			\
}

/* A record from the attributes of a message, in the order of the table. */
json_t *fields_get(const struct field *fields, const struct nlmsghdr *nlh);

/* The same, of these fields only: what else there is, is none of the caller's business. */
json_t *fields_pick(const struct field *fields, const struct nlmsghdr *nlh);

/* Prints a record as text, without the newline. */
void fields_text(const struct field *fields, const json_t *record);

/*
 * Reads "WORD VALUE" pairs up to the end into @req, where @flag says which
 * fields are allowed. Returns RC_OK, RC_USAGE or RC_HELP.
 */
int fields_put(const struct field *fields, unsigned int flag,
	       struct args *args, struct nlmsghdr *req);

/* Exits when memory is short, so that nobody else needs to look. */
json_t *json_need(json_t *value);

/* The text of a key: "held_bytes" as "held-bytes". */
void text_key(const char *key);

/* A value that only its JSON form tells about. */
void text_plain(const json_t *value);

/* "proto src:sport > dst:dport", as far as known. */
void text_tuple(const json_t *record);

#endif

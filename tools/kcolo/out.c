// SPDX-License-Identifier: GPL-2.0
/* Standard output: text, or JSON. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "field.h"
#include "kcolo.h"
#include "out.h"

static bool array_open;
static bool in_line;

void out_sep(void)
{
	if (in_line)
		putchar(' ');
	in_line = true;
}

void out_newline(void)
{
	putchar('\n');
	in_line = false;
}

void out_record(const struct field *fields, json_t *record)
{
	if (opts.json) {
		putchar(array_open ? ',' : '[');
		array_open = true;
		json_dumpf(record, stdout,
			   opts.pretty ? JSON_INDENT(4) : JSON_COMPACT);
	} else {
		fields_text(fields, record);
		out_newline();
	}
	json_decref(record);
}

void out_end(int rc)
{
	/* A command that failed at once leaves no empty array behind. */
	if (opts.json && (array_open || rc == RC_OK))
		puts(array_open ? "]" : "[]");
	array_open = false;
}

void out_line(json_t *record)
{
	json_dumpf(record, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(record);
}

void out_string(const char *s)
{
	for (; *s; s++) {
		unsigned char c = *s;

		if (c < ' ' || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

int out_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return RC_OK;
	fprintf(stderr, "Error: kcolo: cannot write: %s\n", strerror(errno));
	clearerr(stdout);
	return RC_KERNEL;
}

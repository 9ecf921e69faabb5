/* SPDX-License-Identifier: GPL-2.0 */
/* Standard output: text, or JSON. */
#ifndef KCOLO_OUT_H
#define KCOLO_OUT_H

#include <jansson.h>

struct field;

/* Prints one record, in JSON as element of an array, and drops it. */
void out_record(const struct field *fields, json_t *record);

/* After the last record of a command that returns @rc. */
void out_end(int rc);

/* Prints one record as JSON object on a line of its own and drops it. */
void out_line(json_t *record);

/* A space, but not at the start of a line; a newline. */
void out_sep(void);
void out_newline(void);

/* Text in which control characters cannot do harm. */
void out_string(const char *s);

/* Returns RC_KERNEL if something could not be written. */
int out_flush(void);

#endif

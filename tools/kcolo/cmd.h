/* SPDX-License-Identifier: GPL-2.0 */
/* What the commands share. */
#ifndef KCOLO_CMD_H
#define KCOLO_CMD_H

#include "field.h"
#include "kcolo.h"

extern const struct field flow_fields[];

int flow_save(struct args *args);
int flow_restore(struct args *args);

/* The time for programs, with its offset from UTC. */
json_t *json_timestamp(void);

/* "pair NAME:" in front of a record's text. */
void text_pair_head(const json_t *record);

/* The counters of a record in "stats", in lines of several or one a line. */
void text_stats_block(const json_t *record);
void text_stats_list(const json_t *record);

/* The newest miscompare of a record, in lines of its own. */
void text_last_miscompare(const json_t *record);
extern const struct field last_fields[];

/*
 * What "stats show" knows about the pair called @name, or about all, as an
 * object for each pair under its name, the counters in "stats". Returns RC_OK or
 * RC_KERNEL.
 */
int stats_read(const char *name, json_t *pairs);

#endif

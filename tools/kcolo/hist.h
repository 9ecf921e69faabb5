/* SPDX-License-Identifier: GPL-2.0 */
/* Histograms of times: element n counts those below 2^n microseconds. */
#ifndef KCOLO_HIST_H
#define KCOLO_HIST_H

#include "field.h"

/**
 * struct hist - a histogram; the last element counts all longer times
 * @n: elements
 * @bucket: them
 */
struct hist {
	unsigned int n;
	uint64_t bucket[64];
};

uint64_t hist_count(const struct hist *hist);

/* Microseconds; within a bucket times are taken to be spread evenly. */
uint64_t hist_percentile(const struct hist *hist, unsigned int percent);

/* From the JSON that type_hist makes. */
void hist_read(struct hist *hist, const json_t *value);

/* Prints a picture of it. */
void text_hist(const char *name, const json_t *value);

/* "210us", "1.6ms", "12s" */
int text_us(char *to, size_t room, uint64_t us);

#endif

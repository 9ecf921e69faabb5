/* SPDX-License-Identifier: GPL-2.0 */
/* How long something took, the last times. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stdint.h>

#include <jansson.h>

#define SAMPLES	1024

/**
 * struct samples - the newest durations
 * @us: in microseconds, a ring
 * @n: how many there have been, all in all
 */
struct samples {
	uint32_t us[SAMPLES];
	uint32_t n;
};

void samples_add(struct samples *samples, uint64_t us);
/* Number, median and maximum. */
json_t *samples_json(const struct samples *samples);

#endif

// SPDX-License-Identifier: GPL-2.0
/* The median and the maximum of how long something took. */

#include <stdlib.h>
#include <string.h>

#include "samples.h"

void samples_add(struct samples *samples, uint64_t us)
{
	samples->us[samples->n++ % SAMPLES] = us > UINT32_MAX ? UINT32_MAX : us;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

json_t *samples_json(const struct samples *samples)
{
	uint32_t n = samples->n < SAMPLES ? samples->n : SAMPLES;
	uint32_t sorted[SAMPLES];

	memcpy(sorted, samples->us, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_size);
	return json_pack("{s:I,s:I,s:I}", "n", (json_int_t)samples->n,
			 "median", (json_int_t)(n ? sorted[n / 2] : 0),
			 "max", (json_int_t)(n ? sorted[n - 1] : 0));
}

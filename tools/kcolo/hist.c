// SPDX-License-Identifier: GPL-2.0
/* Histograms of times: element n counts those below 2^n microseconds. */

#include <stdio.h>
#include <string.h>

#include <linux/kcolo.h>

#include "hist.h"
#include "out.h"

#define BAR_WIDTH	40

uint64_t hist_count(const struct hist *hist)
{
	uint64_t count = 0;
	unsigned int i;

	for (i = 0; i < hist->n; i++)
		count += hist->bucket[i];
	return count;
}

static uint64_t below_us(unsigned int i)
{
	return 1ull << i;
}

static uint64_t from_us(unsigned int i)
{
	return i ? below_us(i - 1) : 0;
}

uint64_t hist_percentile(const struct hist *hist, unsigned int percent)
{
	uint64_t count = hist_count(hist);
	uint64_t rank = count - count * (100 - percent) / 100;
	unsigned int i;

	for (i = 0; i + 1 < hist->n && rank > hist->bucket[i]; i++)
		rank -= hist->bucket[i];
	/* Above the last bucket nothing is known but that it was longer. */
	if (!count || i + 1 == hist->n)
		return count ? from_us(i) : 0;
	return from_us(i) + (below_us(i) - from_us(i)) * rank / hist->bucket[i];
}

void hist_read(struct hist *hist, const json_t *value)
{
	const json_t *buckets = json_object_get(value, "buckets");
	const json_t *bucket;
	size_t i;

	memset(hist, 0, sizeof(*hist));
	json_array_foreach(buckets, i, bucket) {
		if (i == ARRAY_SIZE(hist->bucket))
			break;
		hist->bucket[i] = json_integer_value(json_object_get(bucket,
								     "count"));
		hist->n = i + 1;
	}
}

static json_t *hist_json(const struct hist *hist)
{
	json_t *buckets = json_need(json_array());
	unsigned int i;

	for (i = 0; i < hist->n; i++) {
		json_t *below = i + 1 < hist->n ? json_integer(below_us(i)) :
						  json_null();

		json_array_append_new(buckets,
				      json_need(json_pack("{s:o, s:I}",
							  "below_us", below,
							  "count", (json_int_t)
							  hist->bucket[i])));
	}
	return json_pack("{s:I, s:I, s:I, s:o}",
			 "count", (json_int_t)hist_count(hist),
			 "p50_us", (json_int_t)hist_percentile(hist, 50),
			 "p99_us", (json_int_t)hist_percentile(hist, 99),
			 "buckets", buckets);
}

/* A newer kernel may have more buckets. */
static json_t *hist_get(const struct field *field, const struct nlattr *attr)
{
	size_t n = mnl_attr_get_payload_len(attr) / sizeof(uint64_t);
	struct hist hist = { 0 };

	(void)field;
	hist.n = n < ARRAY_SIZE(hist.bucket) ? n : ARRAY_SIZE(hist.bucket);
	memcpy(hist.bucket, mnl_attr_get_payload(attr),
	       hist.n * sizeof(uint64_t));
	return hist_json(&hist);
}

const struct type type_hist = { .get = hist_get };

int text_us(char *to, size_t room, uint64_t us)
{
	static const char *const unit[] = { "us", "ms", "s" };
	unsigned int i = 0;
	double t = us;

	for (; t >= 1000 && i + 1 < ARRAY_SIZE(unit); i++)
		t /= 1000;
	return snprintf(to, room, i && t < 10 ? "%.1f%s" : "%.0f%s", t, unit[i]);
}

static void text_bucket(const struct hist *hist, unsigned int i, uint64_t most)
{
	unsigned int bar = (hist->bucket[i] * BAR_WIDTH + most - 1) / most;
	char from[16], below[16] = "";

	text_us(from, sizeof(from), from_us(i));
	if (i + 1 < hist->n)
		text_us(below, sizeof(below), below_us(i));
	printf("\n      %6s .. %-6s %10llu |%.*s%*s|", from, below,
	       (unsigned long long)hist->bucket[i], (int)bar,
	       "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@",
	       (int)(BAR_WIDTH - bar), "");
}

void text_hist(const char *name, const json_t *value)
{
	unsigned int i, first, last;
	uint64_t most = 0;
	struct hist hist;
	char p50[16], p99[16];

	if (!value)
		return;
	hist_read(&hist, value);
	text_us(p50, sizeof(p50), hist_percentile(&hist, 50));
	text_us(p99, sizeof(p99), hist_percentile(&hist, 99));
	printf("\n    %s: count %llu p50 %s p99 %s", name,
	       (unsigned long long)hist_count(&hist), p50, p99);
	first = hist.n;
	last = 0;
	for (i = 0; i < hist.n; i++) {
		if (!hist.bucket[i])
			continue;
		first = first < i ? first : i;
		last = i;
		most = most > hist.bucket[i] ? most : hist.bucket[i];
	}
	for (i = first; i <= last; i++)
		text_bucket(&hist, i, most);
}

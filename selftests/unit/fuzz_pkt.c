// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/pkt.c with any bytes. The first byte says IPv4 or IPv6 and how much of the
 * packet can be read at first; memory ends where that ends.
 */
#include <string.h>

#include "fuzz.h"
#include "pkt.h"

static enum kcolo_pkt_verdict parse(struct kcolo_pkt *pkt, const u8 *data,
				    u32 avail, u32 len, bool v6)
{
	enum kcolo_pkt_verdict verdict;
	u8 *copy = malloc(avail);

	memcpy(copy, data, avail);
	verdict = kcolo_pkt_parse(pkt, copy, avail, len, v6);
	free(copy);
	return verdict;
}

static void check_opts(const u8 *th, u32 hlen)
{
	struct kcolo_tcp_opts opts;
	u8 *copy = malloc(hlen);
	unsigned int i;

	memcpy(copy, th, hlen);
	kcolo_tcp_opts(&opts, copy, hlen);
	must(opts.sacks <= KCOLO_SACKS, "number of SACK options");
	for (i = 0; i < opts.sacks; i++) {
		must(opts.sack[i] >= 22, "SACK option in the header");
		must(opts.sack[i] + 8U * opts.sack_blocks[i] <= hlen,
		     "SACK blocks beyond the end");
	}
	must(!opts.ts || (opts.ts >= 22 && opts.ts + 8U <= hlen),
	     "timestamps beyond the end");
	must(opts.wscale <= 14, "window scale");
	free(copy);
}

static void check_tcp(const struct kcolo_pkt *pkt, const u8 *data, u32 len)
{
	struct kcolo_tuple to, back;

	must(pkt->l4 + 20 <= pkt->data, "TCP header too short");
	must(pkt->data - pkt->l4 <= 60, "TCP header too long");
	must(pkt->data <= pkt->end && pkt->end <= len, "beyond the end");
	must(pkt->seq_end - pkt->seq - (pkt->end - pkt->data) <= 2, "seq_end");
	must(pkt->tuple.proto == 6 && !pkt->tuple.frag, "tuple");
	check_opts(data + pkt->l4, pkt->data - pkt->l4);
	kcolo_tuple_reverse(&to, &pkt->tuple);
	kcolo_tuple_reverse(&back, &to);
	must(!memcmp(&back, &pkt->tuple, sizeof(back)), "reverse");
}

/* The header that an error quotes lies in what can be read. */
static void check_quote(const u8 *data, u32 avail, u32 len, bool v6)
{
	struct kcolo_shift shift = { 1, 1, 1, 1 };
	struct kcolo_change change[KCOLO_CHANGES];
	struct kcolo_quote quote;
	u8 *copy = malloc(avail);
	u32 n;

	memcpy(copy, data, avail);
	if (kcolo_pkt_quote(&quote, copy, avail, len, v6)) {
		must(quote.hlen >= 8 && quote.hlen <= 60, "quoted length");
		must(quote.l4 + quote.hlen <= avail, "quote beyond the end");
		must(quote.icmp + 8 < quote.l4, "quote in the error's header");
		n = kcolo_shift_changes(&shift, copy + quote.l4, quote.hlen,
					change);
		while (n--)
			must(change[n].off + 4U <= quote.hlen, "change");
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum kcolo_pkt_verdict verdict;
	struct kcolo_pkt pkt, whole;
	u32 len, avail;
	bool v6;

	if (size < 1)
		return 0;
	v6 = data[0] & 1;
	avail = data[0] >> 1;
	data++;
	len = size - 1;
	if (avail > len)
		avail = len;
	check_quote(data, avail, len, v6);
	check_quote(data, len, len, v6);
	while ((verdict = parse(&pkt, data, avail, len, v6)) ==
	       KCOLO_PKT_MORE) {
		must(pkt.need > avail && pkt.need <= len, "need");
		avail = pkt.need;
	}
	must(parse(&whole, data, len, len, v6) == verdict,
	     "the verdict depends on what is readable");
	if (verdict == KCOLO_PKT_DGRAM)
		must(pkt.l4 <= pkt.end && pkt.end <= len, "beyond the end");
	if (verdict != KCOLO_PKT_TCP)
		return 0;
	check_tcp(&pkt, data, len);
	pkt.need = 0;
	must(!memcmp(&pkt, &whole, sizeof(pkt)),
	     "the result depends on what is readable");
	return 0;
}

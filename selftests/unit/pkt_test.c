// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/pkt.c: every length is bounded by the IP header (R11), options are found
 * wherever they are (W1). Each case is parsed with every number of readable
 * bytes, out of memory that ends there.
 */
#include "pkt.h"
#include "kselftest_harness.h"

#define FIN	KCOLO_TCP_FIN
#define SYN	KCOLO_TCP_SYN
#define ACK	KCOLO_TCP_ACK

#define PACKET_MAX	70000

struct packet {
	u8 b[PACKET_MAX];
	u32 len;
};

static void put8(struct packet *pkt, u8 v)
{
	pkt->b[pkt->len++] = v;
}

static void put16(struct packet *pkt, u16 v)
{
	put8(pkt, v >> 8);
	put8(pkt, v);
}

static void put32(struct packet *pkt, u32 v)
{
	put16(pkt, v >> 16);
	put16(pkt, v);
}

static void fill(struct packet *pkt, u8 v, u32 n)
{
	while (n--)
		put8(pkt, v);
}

FIXTURE(parse) {
	struct packet pkt;
};

/**
 * struct parse_case - a packet, right where nothing else is said, and its verdict
 * @v6: IPv6
 * @version: of IP, if not the right one
 * @ihl: IPv4: header length in words, if not the right one
 * @total: length in the IP header, if not the right one; -1: zero
 * @frag: IPv4: flags and fragment offset
 * @proto: if not TCP
 * @opts: bytes of IPv4 options
 * @ext: IPv6: extension headers, three numbers each: kind, length field, bytes
 * @doff: TCP header length in words, if not the right one
 * @tcp_opts: bytes of TCP options
 * @payload: bytes behind the headers
 * @padding: bytes behind the packet (Ethernet)
 * @cut: bytes missing at its end
 * @seq: sequence number
 * @flags: of TCP
 */
FIXTURE_VARIANT(parse) {
	bool v6;
	u8 version;
	u8 ihl;
	s32 total;
	u16 frag;
	u8 proto;
	u32 opts;
	const char *ext;
	u32 n_ext;
	u8 doff;
	u32 tcp_opts;
	u32 payload;
	u32 padding;
	u32 cut;
	u32 seq;
	u8 flags;

	enum kcolo_pkt_verdict verdict;
	u32 l4;
	u32 data;
	u32 end;
	u32 seq_end;
};

#define EXT(s) .ext = (s), .n_ext = sizeof(s) - 1

#define BAD .verdict = KCOLO_PKT_BAD
#define OTHER .verdict = KCOLO_PKT_OTHER
#define DGRAM(where, ends) .verdict = KCOLO_PKT_DGRAM, .l4 = (where), \
	.end = (ends)
#define TCP(where, payload_at, ends) .verdict = KCOLO_PKT_TCP, \
	.l4 = (where), .data = (payload_at), .end = (ends)

static void put_ip4(struct packet *pkt, const FIXTURE_VARIANT(parse) *v)
{
	put8(pkt, (v->version ?: 4) << 4 |
		  (v->ihl ? v->ihl & 15 : 5 + v->opts / 4));
	put8(pkt, 0);
	put16(pkt, 0);
	put16(pkt, 0x1234);
	put16(pkt, v->frag);
	put8(pkt, 64);
	put8(pkt, v->proto ?: 6);
	put16(pkt, 0);
	put32(pkt, 0xc0000201);
	put32(pkt, 0xc6336402);
	fill(pkt, 1, v->opts);
}

/* Kinds are chained: each header names the one behind it. */
static void put_ip6(struct packet *pkt, const FIXTURE_VARIANT(parse) *v)
{
	u8 last = v->proto ?: 6;
	u32 i;

	put8(pkt, (v->version ?: 6) << 4);
	fill(pkt, 0, 5);
	put8(pkt, v->n_ext ? v->ext[0] : last);
	put8(pkt, 64);
	fill(pkt, 0x20, 16);
	fill(pkt, 0x30, 16);
	for (i = 0; i < v->n_ext; i += 3) {
		put8(pkt, i + 3 < v->n_ext ? v->ext[i + 3] : last);
		put8(pkt, v->ext[i + 1]);
		fill(pkt, 0, (u8)v->ext[i + 2] - 2);
	}
}

static void put_tcp(struct packet *pkt, const FIXTURE_VARIANT(parse) *v)
{
	put16(pkt, 80);
	put16(pkt, 40000);
	put32(pkt, v->seq);
	put32(pkt, 0x01020304);
	put8(pkt, (v->doff ?: 5 + v->tcp_opts / 4) << 4);
	put8(pkt, v->flags);
	put16(pkt, 0xabcd);
	put32(pkt, 0);
	fill(pkt, 1, v->tcp_opts);
}

static void put_total(struct packet *pkt, const FIXTURE_VARIANT(parse) *v)
{
	u32 total = pkt->len - (v->v6 ? 40 : 0), at = v->v6 ? 4 : 2;

	if (v->total)
		total = v->total < 0 ? 0 : v->total;
	pkt->b[at] = total >> 8;
	pkt->b[at + 1] = total;
}

FIXTURE_SETUP(parse)
{
	struct packet *pkt = &self->pkt;

	if (variant->v6)
		put_ip6(pkt, variant);
	else
		put_ip4(pkt, variant);
	put_tcp(pkt, variant);
	fill(pkt, 'x', variant->payload);
	put_total(pkt, variant);
	fill(pkt, 0xee, variant->padding);
	pkt->len -= variant->cut;
}

FIXTURE_TEARDOWN(parse)
{
}

/* Parses with @avail readable bytes; one more cannot be read without ASan. */
static enum kcolo_pkt_verdict parse(struct kcolo_pkt *pkt,
				    const struct packet *from, u32 avail,
				    bool v6)
{
	enum kcolo_pkt_verdict verdict;
	u8 *copy = malloc(avail);

	memcpy(copy, from->b, avail);
	verdict = kcolo_pkt_parse(pkt, copy, avail, from->len, v6);
	free(copy);
	return verdict;
}

TEST_F(parse, verdict)
{
	struct kcolo_pkt pkt;

	ASSERT_EQ(variant->verdict,
		  parse(&pkt, &self->pkt, self->pkt.len, variant->v6));
	if (variant->verdict == KCOLO_PKT_TCP ||
	    variant->verdict == KCOLO_PKT_DGRAM) {
		EXPECT_EQ(variant->l4, pkt.l4);
		EXPECT_EQ(variant->end, pkt.end);
	}
	if (variant->verdict != KCOLO_PKT_TCP)
		return;
	EXPECT_EQ(variant->data, pkt.data);
	EXPECT_EQ(variant->seq, pkt.seq);
	EXPECT_EQ(variant->seq_end, pkt.seq_end);
	EXPECT_EQ(0x01020304, pkt.ack);
	EXPECT_EQ(0xabcd, pkt.win);
	EXPECT_EQ(variant->flags, pkt.flags);
}

TEST_F(parse, tuple)
{
	struct kcolo_tuple want = { .v6 = variant->v6 };
	struct kcolo_pkt pkt;

	if (parse(&pkt, &self->pkt, self->pkt.len, variant->v6) ==
	    KCOLO_PKT_BAD)
		return;
	memcpy(&want.src, self->pkt.b + (variant->v6 ? 8 : 12),
	       variant->v6 ? 16 : 4);
	memcpy(&want.dst, self->pkt.b + (variant->v6 ? 24 : 16),
	       variant->v6 ? 16 : 4);
	want.proto = variant->proto ?: 6;
	if (variant->verdict == KCOLO_PKT_OTHER)
		want.frag = KCOLO_FRAGMENT | variant->frag;
	if (variant->verdict == KCOLO_PKT_TCP)
		memcpy(&want.sport, "\0\x50\x9c\x40", 4);
	EXPECT_EQ(0, memcmp(&want, &pkt.tuple, sizeof(want)));
}

/* However few bytes are readable: asks for more, and says the same in the end. */
TEST_F(parse, piecemeal)
{
	u32 n = self->pkt.len < 400 ? self->pkt.len : 400, avail, at;
	enum kcolo_pkt_verdict verdict;
	struct kcolo_pkt pkt;

	for (avail = 0; avail <= n; avail++) {
		for (at = avail;; at = pkt.need) {
			verdict = parse(&pkt, &self->pkt, at, variant->v6);
			if (verdict != KCOLO_PKT_MORE)
				break;
			ASSERT_LT(at, pkt.need);
			ASSERT_LE(pkt.need, self->pkt.len);
		}
		ASSERT_EQ(variant->verdict, verdict) {
			TH_LOG("with %u bytes", avail);
		}
	}
}

#define CASE(name, ...) FIXTURE_VARIANT_ADD(parse, name) { __VA_ARGS__ }

/* IPv4 */
CASE(r11_v4, .flags = ACK, .payload = 7, .seq = 5, .seq_end = 12,
     TCP(20, 40, 47));
CASE(r11_v4_no_payload, .flags = ACK, TCP(20, 40, 40));
CASE(r11_v4_options, .opts = 4, .payload = 3, .seq_end = 3, TCP(24, 44, 47));
CASE(r11_v4_most_options, .opts = 40, .payload = 3, .seq_end = 3,
     TCP(60, 80, 83));
CASE(r11_v4_options_on_both, .opts = 40, .tcp_opts = 40, .payload = 1,
     .seq_end = 1, TCP(60, 120, 121));
CASE(r11_v4_padding_is_no_payload, .flags = ACK, .padding = 6,
     TCP(20, 40, 40));
CASE(r11_v4_padding_and_payload, .payload = 2, .padding = 4, .seq_end = 2,
     TCP(20, 40, 42));
CASE(r11_v4_total_shorter_than_payload, .payload = 10, .total = 45,
     .seq_end = 5, TCP(20, 40, 45));
CASE(r11_v4_total_beyond_packet, .payload = 10, .total = 51, BAD);
CASE(r11_v4_payload_cut_off, .payload = 10, .cut = 1, BAD);
CASE(r11_v4_ihl_4, .ihl = 4, BAD);
CASE(r11_v4_ihl_3_though_doff_would_fit, .ihl = 3, .seq = 0x50000000,
     .payload = 20, BAD);
CASE(r11_v4_ihl_0, .ihl = 16, BAD);
CASE(r11_v4_ihl_beyond_total, .ihl = 15, .total = 40, BAD);
CASE(r11_v4_ihl_leaves_no_tcp, .ihl = 6, .total = 40, BAD);
CASE(r11_v4_total_within_ip_header, .total = 19, BAD);
CASE(r11_v4_total_ends_before_tcp, .total = 20, BAD);
CASE(r11_v4_total_within_tcp_header, .total = 39, BAD);
CASE(r11_v4_total_within_tcp_options, .tcp_opts = 12, .total = 51, BAD);
CASE(r11_v4_cut_in_ip_header, .cut = 21, BAD);
CASE(r11_v4_empty, .cut = 40, BAD);
CASE(r11_v4_is_version_6, .version = 6, BAD);
CASE(r11_v4_doff_0, .doff = 16, BAD);
CASE(r11_v4_doff_4, .doff = 4, .payload = 20, BAD);
CASE(r11_v4_doff_beyond_end, .doff = 6, BAD);
CASE(r11_v4_doff_into_padding, .doff = 6, .padding = 6, BAD);
CASE(r11_v4_doff_takes_payload, .doff = 15, .payload = 40, TCP(20, 80, 80));
CASE(r11_v4_df, .frag = 0x4000, TCP(20, 40, 40));
CASE(r8_v4_first_fragment, .frag = 0x2000, .payload = 9, OTHER);
CASE(r8_v4_last_fragment, .frag = 0x0001, .payload = 9, OTHER);
CASE(r8_v4_far_fragment, .frag = 0x1fff, .payload = 9, OTHER);
CASE(r8_v4_udp, .proto = 17, DGRAM(20, 40));
CASE(r8_v4_icmp, .proto = 1, DGRAM(20, 40));
CASE(r11_v4_udp_of_no_length, .proto = 17, .total = 20, DGRAM(20, 20));
/* As skb_ip_totlen(): only a super-packet comes here without a length. */
CASE(w1_v4_super_packet, .payload = 65535, .total = -1, .seq_end = 65535,
     TCP(20, 40, 65575));

/* IPv6 */
CASE(r11_v6, .v6 = true, .flags = ACK, .payload = 7, .seq = 5, .seq_end = 12,
     TCP(40, 60, 67));
CASE(r11_v6_padding_is_no_payload, .v6 = true, .padding = 6, TCP(40, 60, 60));
CASE(r11_v6_hop_by_hop, .v6 = true, EXT("\x00\x00\x08"), TCP(48, 68, 68));
CASE(r11_v6_routing, .v6 = true, EXT("\x2b\x02\x18"), TCP(64, 84, 84));
CASE(r11_v6_destination, .v6 = true, EXT("\x3c\x00\x08"), TCP(48, 68, 68));
CASE(r11_v6_auth_counts_words, .v6 = true, EXT("\x33\x04\x18"),
     TCP(64, 84, 84));
CASE(r11_v6_all_extensions, .v6 = true, .payload = 2, .seq_end = 2,
     EXT("\x00\x00\x08\x3c\x01\x10\x2b\x00\x08\x33\x01\x0c\x3c\x00\x08"),
     TCP(92, 112, 114));
CASE(r11_v6_longest_extension, .v6 = true, EXT("\x3c\x1e\xf8"),
     TCP(288, 308, 308));
CASE(r11_v6_8_extensions, .v6 = true,
     EXT("\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08"),
     TCP(104, 124, 124));
CASE(r11_v6_9_extensions, .v6 = true,
     EXT("\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08\x3c\0\x08"),
     BAD);
CASE(r11_v6_extension_beyond_end, .v6 = true, EXT("\x3c\x04\x08"), BAD);
CASE(r11_v6_extension_of_2048, .v6 = true, EXT("\x3c\xff\x08"), .payload = 90,
     BAD);
CASE(r11_v6_extension_cut_off, .v6 = true, EXT("\x3c\x00\x08"), .cut = 21, BAD);
CASE(r11_v6_extension_in_padding, .v6 = true, .total = 4, EXT("\x3c\x00\x08"),
     BAD);
CASE(r11_v6_ends_behind_extension, .v6 = true, .total = 8, EXT("\x3c\x00\x08"),
     BAD);
CASE(r11_v6_total_beyond_packet, .v6 = true, .total = 21, BAD);
CASE(r11_v6_total_within_tcp_header, .v6 = true, .total = 19, BAD);
CASE(r11_v6_cut_in_ip_header, .v6 = true, .cut = 21, BAD);
CASE(r11_v6_empty, .v6 = true, .cut = 60, BAD);
CASE(r11_v6_is_version_4, .v6 = true, .version = 4, BAD);
CASE(r11_v6_doff_4, .v6 = true, .doff = 4, .payload = 20, BAD);
CASE(r11_v6_doff_beyond_end, .v6 = true, .doff = 6, BAD);
CASE(r8_v6_fragment, .v6 = true, EXT("\x2c\x00\x08"), OTHER);
CASE(r8_v6_fragment_behind_extension, .v6 = true,
     EXT("\x3c\x00\x08\x2c\x00\x08"), OTHER);
CASE(r8_v6_udp, .v6 = true, .proto = 17, DGRAM(40, 60));
CASE(r8_v6_udp_behind_extension, .v6 = true, .proto = 17,
     EXT("\x00\x00\x08"), DGRAM(48, 68));
CASE(r8_v6_esp, .v6 = true, .proto = 50, DGRAM(40, 60));
CASE(r8_v6_no_next_header, .v6 = true, .proto = 59, DGRAM(40, 60));
CASE(w1_v6_super_packet, .v6 = true, .payload = 65535, .total = -1,
     .seq_end = 65535, TCP(40, 60, 65595));

/* R1: SYN and FIN count one each */
CASE(r1_syn_counts_one, .flags = SYN, .seq = 9, .seq_end = 10, TCP(20, 40, 40));
CASE(r1_syn_with_data, .flags = SYN, .payload = 5, .seq_end = 6,
     TCP(20, 40, 45));
CASE(r1_fin_counts_one, .flags = FIN | ACK, .payload = 5, .seq_end = 6,
     TCP(20, 40, 45));
CASE(r1_syn_and_fin, .flags = SYN | FIN, .seq_end = 2, TCP(20, 40, 40));
CASE(r1_wraps, .flags = FIN, .payload = 5, .seq = 0xfffffffd, .seq_end = 3,
     TCP(20, 40, 45));
CASE(r1_other_flags_count_nothing, .flags = 0xfc, TCP(20, 40, 40));

FIXTURE(opts) {
};

FIXTURE_VARIANT(opts) {
	const char *bytes;
	u32 n;
	struct kcolo_tcp_opts want;
};

FIXTURE_SETUP(opts)
{
}

FIXTURE_TEARDOWN(opts)
{
}

TEST_F(opts, found)
{
	struct kcolo_tcp_opts opts;
	u8 *th = calloc(1, 20 + variant->n);

	memcpy(th + 20, variant->bytes, variant->n);
	kcolo_tcp_opts(&opts, th, 20 + variant->n);
	free(th);
	EXPECT_EQ(variant->want.sacks, opts.sacks);
	EXPECT_EQ(0, memcmp(variant->want.sack, opts.sack, KCOLO_SACKS));
	EXPECT_EQ(0, memcmp(variant->want.sack_blocks, opts.sack_blocks,
			    KCOLO_SACKS));
	EXPECT_EQ(variant->want.ts, opts.ts);
	EXPECT_EQ(variant->want.wscale, opts.wscale);
	EXPECT_EQ(variant->want.scaled, opts.scaled);
}

/* However long the header: nothing outside of it is named or read. */
TEST_F(opts, bounded)
{
	struct kcolo_tcp_opts opts;
	u32 hlen, i;
	u8 *th;

	for (hlen = 20; hlen <= 20 + variant->n; hlen++) {
		th = calloc(1, hlen);
		memcpy(th + 20, variant->bytes, hlen - 20);
		kcolo_tcp_opts(&opts, th, hlen);
		free(th);
		ASSERT_LE(opts.sacks, KCOLO_SACKS);
		for (i = 0; i < opts.sacks; i++)
			EXPECT_LE((u32)(opts.sack[i] + 8 * opts.sack_blocks[i]),
				  hlen);
		EXPECT_LE((u32)(opts.ts ? opts.ts + 8 : 0), hlen);
	}
}

#define OPTS(name, s, ...) FIXTURE_VARIANT_ADD(opts, name) \
	{ .bytes = (s), .n = sizeof(s) - 1, .want = { __VA_ARGS__ } }
#define FOUND(n, ...) .sacks = (n), .sack = { __VA_ARGS__ }
#define BLOCKS(...) .sack_blocks = { __VA_ARGS__ }
#define TS "\x08\x0a" "TTTTtttt"
#define SACK(n) "\x05" n
#define BLOCK "LLLLRRRR"
#define NOP "\x01"
#define EOL "\0"

OPTS(w1_none, "");
OPTS(w1_ts_as_linux_sends, NOP NOP TS, .ts = 24);
OPTS(w1_ts_first, TS NOP NOP, .ts = 22);
OPTS(w1_sack_1, NOP NOP SACK("\x0a") BLOCK, FOUND(1, 24), BLOCKS(1));
OPTS(w1_sack_2, SACK("\x12") BLOCK BLOCK NOP NOP, FOUND(1, 22), BLOCKS(2));
OPTS(w1_sack_4, NOP NOP SACK("\x22") BLOCK BLOCK BLOCK BLOCK, FOUND(1, 24),
     BLOCKS(4));
OPTS(w1_ts_and_sack_3, NOP NOP TS NOP NOP SACK("\x1a") BLOCK BLOCK BLOCK,
     .ts = 24, FOUND(1, 36), BLOCKS(3));
OPTS(w1_sack_then_ts, SACK("\x0a") BLOCK TS, FOUND(1, 22), BLOCKS(1), .ts = 32);
OPTS(w1_sack_twice, SACK("\x0a") BLOCK NOP SACK("\x12") BLOCK BLOCK,
     FOUND(2, 22, 33), BLOCKS(1, 2));
OPTS(w1_sack_as_often_as_it_fits, SACK("\x0a") BLOCK SACK("\x0a") BLOCK
     SACK("\x0a") BLOCK SACK("\x0a") BLOCK, FOUND(4, 22, 32, 42, 52),
     BLOCKS(1, 1, 1, 1));
OPTS(w1_sack_without_blocks, SACK("\x02") SACK("\x02") SACK("\x02") SACK("\x02")
     SACK("\x0a") BLOCK, FOUND(1, 30), BLOCKS(1));
OPTS(w1_syn_options, "\x02\x04\x05\xb4\x04\x02" TS NOP "\x03\x03\x07",
     .ts = 28, .wscale = 7, .scaled = true);
OPTS(r3_wscale_at_most_14, "\x03\x03\xff" NOP, .wscale = 14,
     .scaled = true);
OPTS(r3_wscale_14, "\x03\x03\x0e" NOP, .wscale = 14, .scaled = true);
OPTS(r3_wscale_0, "\x03\x03\x00" NOP, .scaled = true);
OPTS(r3_wscale_of_another_length, "\x03\x04\x07\x07" TS, .ts = 26);
OPTS(w1_unknown_options_are_stepped_over, "\xfe\x06" "abcd" TS, .ts = 28);
OPTS(w1_eol_ends, NOP EOL TS);
OPTS(r11_length_0, "\xfe\x00" TS);
OPTS(r11_length_1, "\xfe\x01" TS);
OPTS(r11_length_missing, NOP NOP NOP "\x08");
OPTS(r11_wscale_cut_off, NOP NOP "\x03\x03");
OPTS(r11_option_beyond_end, NOP NOP "\x08\x0a" "TTTTttt");
OPTS(r11_option_beyond_end_keeps_what_was_found, TS "\x05\x12" BLOCK, .ts = 22);
OPTS(r11_length_255, "\x05\xff" BLOCK);
OPTS(r11_sack_not_of_blocks, SACK("\x09") "LLLLRRR" TS, .ts = 31);
OPTS(r11_ts_too_short, "\x08\x06" "TTTT" TS, .ts = 28);
OPTS(r11_ts_too_long, "\x08\x0b" "TTTTttttx" NOP);

TEST(tuple_reverse)
{
	struct kcolo_tuple from, to, back;

	memset(&from, 0, sizeof(from));
	memcpy(&from.src, "sssssssssssssss!", 16);
	memcpy(&from.dst, "ddddddddddddddd?", 16);
	from.sport = 1;
	from.dport = 2;
	from.v6 = 1;
	from.proto = 6;
	kcolo_tuple_reverse(&to, &from);
	EXPECT_EQ(0, memcmp(&to.src, &from.dst, 16));
	EXPECT_EQ(0, memcmp(&to.dst, &from.src, 16));
	EXPECT_EQ(2, to.sport);
	EXPECT_EQ(1, to.dport);
	kcolo_tuple_reverse(&back, &to);
	EXPECT_EQ(0, memcmp(&back, &from, sizeof(from)));
}

TEST(tuple_has_no_holes)
{
	EXPECT_EQ(48, sizeof(struct kcolo_tuple));
}

TEST_HARNESS_MAIN

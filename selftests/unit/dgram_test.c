// SPDX-License-Identifier: GPL-2.0
/* kmod/dgram.c: what is masked (R8), and random schedules against fuzz_dgram.c's model. */
#include "dgram.h"
#include "fuzz.h"
#include "kselftest_harness.h"

#ifndef SCHEDULES
#define SCHEDULES 5000	/* the fuzzer has more time */
#endif

FIXTURE(read) {
	struct kcolo_dgram dg;
	struct kcolo_tuple tuple;
};

/**
 * struct read_case - a header of which every byte is 0x41 but for @first
 * @v6: IPv6
 * @proto: protocol
 * @first: of the header
 * @n_first: their number
 * @masked: offsets that become zero, closed by 0xff
 * @ports: bytes of sport and dport that are filled in
 * @ports_at: where they come from
 * @kind: enum kcolo_dgram_kind
 */
FIXTURE_VARIANT(read) {
	bool v6;
	u8 proto;
	const char *first;
	u8 n_first;
	const char *masked;
	u8 ports;
	u8 ports_at;
	enum kcolo_dgram_kind kind;
};

FIXTURE_SETUP(read)
{
	memset(self, 0, sizeof(*self));
	memset(self->dg.head, 0x41, sizeof(self->dg.head));
	memcpy(self->dg.head, variant->first, variant->n_first);
	memcpy(self->dg.head + 4, "\1\2", 2);
	self->tuple.v6 = variant->v6;
	self->tuple.proto = variant->proto;
}

FIXTURE_TEARDOWN(read)
{
}

#define FIRST(s) .first = (s), .n_first = sizeof(s) - 1

#define CASE(name, ...) FIXTURE_VARIANT_ADD(read, name) { __VA_ARGS__ }

/* The quoted header begins at 8. */
#define ERROR(type) FIRST(type "\x41\x41\x41\1\2\x41\x41\x45")
#define ERROR6(type) FIRST(type "\x41\x41\x41\1\2\x41\x41\x60")
#define QUOTE4 .masked = "\2\3\x0c\x0d\x10\x12\x13\xff"

CASE(r8_udp, .proto = 17, FIRST("\0\x35\x9c\x40"), .masked = "\6\7\xff",
     .ports = 4);
CASE(r8_udp6, .v6 = true, .proto = 17, FIRST("\0\x35\x9c\x40"),
     .masked = "\6\7\xff", .ports = 4);
CASE(r8_udplite, .proto = 136, FIRST("\0\x35\x9c\x40"), .masked = "\6\7\xff",
     .ports = 4);
CASE(r8_dccp, .proto = 33, FIRST("\0\x35\x9c\x40"), .masked = "\6\7\xff",
     .ports = 4);
CASE(r8_sctp, .proto = 132, FIRST("\0\x35\x9c\x40"),
     .masked = "\x08\x09\x0a\x0b\xff", .ports = 4);
CASE(r8_gre, .proto = 47, FIRST("\0"), .masked = "\xff");
CASE(r8_esp, .proto = 50, FIRST("\0"), .masked = "\xff");
CASE(r8_igmp, .proto = 2, FIRST("\x16"), .masked = "\xff",
     .kind = KCOLO_DGRAM_TIMED);
CASE(r8_echo_reply, .proto = 1, FIRST("\0"), .masked = "\2\3\xff", .ports = 2,
     .ports_at = 4);
CASE(r8_echo, .proto = 1, FIRST("\x08"), .masked = "\2\3\xff", .ports = 2,
     .ports_at = 4);
CASE(r8_unreachable, .proto = 1, ERROR("\3"), QUOTE4);
CASE(r8_quench, .proto = 1, ERROR("\4"), QUOTE4);
CASE(r8_redirect, .proto = 1, ERROR("\5"), QUOTE4);
CASE(r8_exceeded, .proto = 1, ERROR("\x0b"), QUOTE4);
CASE(r8_parameter, .proto = 1, ERROR("\x0c"), QUOTE4);
CASE(r8_advertisement, .proto = 1, ERROR("\x09"), .masked = "\2\3\xff");
CASE(r8_icmp_in_v6, .v6 = true, .proto = 1, ERROR("\3"), .masked = "\xff");
CASE(r8_icmp6_in_v4, .proto = 58, ERROR6("\1"), .masked = "\xff");
CASE(r8_echo6, .v6 = true, .proto = 58, FIRST("\x80"), .masked = "\2\3\xff",
     .ports = 2, .ports_at = 4);
CASE(r8_echo_reply6, .v6 = true, .proto = 58, FIRST("\x81"),
     .masked = "\2\3\xff", .ports = 2, .ports_at = 4);
CASE(r8_unreachable6, .v6 = true, .proto = 58, ERROR6("\1"),
     .masked = "\2\3\x0f\xff");
CASE(r8_too_big6, .v6 = true, .proto = 58, ERROR6("\2"),
     .masked = "\2\3\x0f\xff");
CASE(r8_quote_of_another_version, .v6 = true, .proto = 58, ERROR("\2"),
     .masked = "\2\3\xff");
CASE(r8_node_information, .v6 = true, .proto = 58, FIRST("\x8b"),
     .masked = "\2\3\xff");
CASE(r8_mld_query, .v6 = true, .proto = 58, FIRST("\x82"), .masked = "\xff",
     .kind = KCOLO_DGRAM_TIMED);
CASE(r8_redirect6, .v6 = true, .proto = 58, FIRST("\x89"), .masked = "\xff",
     .kind = KCOLO_DGRAM_TIMED);
CASE(r8_renumbering, .v6 = true, .proto = 58, FIRST("\x8a"),
     .masked = "\2\3\xff");
CASE(r8_mld2_report, .v6 = true, .proto = 58, FIRST("\x8f"),
     .masked = "\xff", .kind = KCOLO_DGRAM_TIMED);

TEST_F(read, masks)
{
	const char *at = variant->masked;
	struct kcolo_dgram was = self->dg;
	struct kcolo_tuple want = self->tuple;
	u32 i;

	memcpy(&want.sport, was.head + variant->ports_at, variant->ports);
	ASSERT_EQ(variant->kind, kcolo_dgram_read(&self->dg, &self->tuple));
	for (i = 0; i < KCOLO_DGRAM_HEAD; i++) {
		if ((u8)*at == i) {
			EXPECT_EQ(0, self->dg.head[i]);
			at++;
		} else {
			EXPECT_EQ(was.head[i], self->dg.head[i]);
		}
	}
	EXPECT_EQ(0, memcmp(&want, &self->tuple, sizeof(want)));
}

FIXTURE(schedules) {};
FIXTURE_SETUP(schedules) {}
FIXTURE_TEARDOWN(schedules) {}

/* Four seconds on a machine that does nothing else. */
TEST_F_TIMEOUT(schedules, r8_random_schedules, 600)
{
	u8 input[160];
	unsigned int i, k;

	srandom(1);
	for (i = 0; i < SCHEDULES; i++) {
		for (k = 0; k < sizeof(input); k++)
			input[k] = random() >> 8;
		/* Bursts are rare; of two kinds, those long enough to matter. */
		for (k = 0; k < sizeof(input); k += 2)
			if (input[k] % 8 == 7 && random() % 4)
				input[k]--;
		LLVMFuzzerTestOneInput(input, random() % sizeof(input));
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * tools/kcolod/stream.c: what the secondary's QEMU says on the migration channel is
 * the same in whatever pieces it comes, and a number that is none, or out of order, is
 * found.
 */
#include <arpa/inet.h>

#include "kselftest_harness.h"
#include "stream.h"

#define RUNS	20000
#define MOST	64

static uint32_t seed;

static uint32_t any(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return n ? (seed >> 8) % n : 0;
}

/**
 * struct heard - what came out
 * @headers: messages of the return path
 * @payload: bytes in them
 * @numbers: as they came
 * @count: of them
 * @end: WORD_NONE, or what was wrong
 */
struct heard {
	uint32_t headers;
	size_t payload;
	uint32_t numbers[MOST];
	uint32_t count;
	enum word end;
};

static void take(struct stream *stream, struct heard *heard)
{
	uint32_t number;
	enum word word = stream_head(stream, &number);

	switch (word) {
	case WORD_NONE:
		return;
	case WORD_HEADER:
		heard->headers++;
		break;
	case WORD_NUMBER:
		heard->numbers[heard->count++] = number;
		break;
	default:
		heard->end = word;
		return;
	}
	stream_done(stream, word, number);
}

/* Pieces of at most @most bytes; @most 0: of any size. */
static void hear(struct heard *heard, const uint8_t *data, size_t len, uint32_t most)
{
	struct stream stream = {};

	*heard = (struct heard){};
	while (len && heard->end == WORD_NONE) {
		size_t part = 1 + any(most ? most : len);
		size_t n = stream_piece(&stream, part < len ? part : len);

		if (stream_put(&stream, data, n))
			heard->payload += n;
		take(&stream, heard);
		data += n;
		len -= n;
	}
}

static size_t put_number(uint8_t *at, uint32_t number)
{
	number = htonl(number);
	memcpy(at, &number, sizeof(number));
	return sizeof(number);
}

static size_t put_message(uint8_t *at, uint16_t type, uint16_t len)
{
	/* What is in it looks like numbers, which must not matter. */
	memset(at + 4, 0, len);
	type = htons(type);
	memcpy(at, &type, sizeof(type));
	at[2] = len >> 8;
	at[3] = len;
	return 4 + len;
}

TEST(whole_channel_in_any_pieces)
{
	static const uint32_t round[] = { COLO_LOADED, COLO_REPLY, COLO_RECEIVED };
	static uint8_t data[MOST * 600];
	struct heard heard;
	int run, i;

	for (run = 0; run < RUNS; run++) {
		uint32_t messages = any(4), rounds = any(6), payload = 0, n;
		size_t len = 0;

		for (n = 0; n < messages; n++) {
			uint16_t size = any(3) ? any(500) : 0;

			len += put_message(data + len, 1 + any(8), size);
			payload += size;
		}
		len += put_number(data + len, COLO_READY);
		for (n = 0; n < rounds; n++) {
			len += put_number(data + len, COLO_REPLY);
			len += put_number(data + len, COLO_RECEIVED);
			len += put_number(data + len, COLO_LOADED);
		}
		hear(&heard, data, len, any(2) ? 5 : 0);
		ASSERT_EQ(heard.end, WORD_NONE);
		ASSERT_EQ(heard.headers, messages);
		ASSERT_EQ(heard.payload, payload);
		ASSERT_EQ(heard.count, 1 + 3 * rounds);
		for (i = 1; i < (int)heard.count; i++)
			ASSERT_EQ(heard.numbers[i], round[i % 3]);
	}
}

TEST(only_one_number_may_follow)
{
	static const uint32_t order[] = { COLO_READY, COLO_REPLY, COLO_RECEIVED, COLO_LOADED, COLO_REPLY };
	uint32_t before, number;

	for (before = 1; before < 5; before++) {
		for (number = 0; number < 300; number++) {
			uint8_t data[MOST];
			struct heard heard;
			size_t len = 0;
			uint32_t i;

			for (i = 0; i < before; i++)
				len += put_number(data + len, order[i]);
			len += put_number(data + len, number);
			hear(&heard, data, len, 3);
			EXPECT_EQ(heard.end, number == order[before] ? WORD_NONE : WORD_ORDER);
			EXPECT_EQ(heard.count, before + (number == order[before]));
		}
	}
}

TEST(a_number_before_ready_is_none)
{
	struct heard heard;
	uint8_t data[4];

	put_number(data, COLO_RECEIVED);
	hear(&heard, data, sizeof(data), 0);
	EXPECT_EQ(heard.end, WORD_BAD);
}

TEST(an_end_inside_a_message_is_known)
{
	struct stream stream = {};
	uint8_t data[16];
	uint32_t number;
	enum word word;

	EXPECT_TRUE(stream_between(&stream));
	put_message(data, 1, 8);
	stream_put(&stream, data, 2);
	EXPECT_FALSE(stream_between(&stream));
	EXPECT_EQ(stream_head(&stream, &number), WORD_NONE);
	EXPECT_EQ(stream_piece(&stream, 100), 2);
	stream_put(&stream, data + 2, 2);
	word = stream_head(&stream, &number);
	EXPECT_EQ(word, WORD_HEADER);
	stream_done(&stream, word, number);
	EXPECT_FALSE(stream_between(&stream));
	EXPECT_EQ(stream_piece(&stream, 100), 8);
	stream_put(&stream, data + 4, 8);
	EXPECT_TRUE(stream_between(&stream));
}

TEST_HARNESS_MAIN

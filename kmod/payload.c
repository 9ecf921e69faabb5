// SPDX-License-Identifier: GPL-2.0
/* Compares payload where it lies, without a copy and whatever its fragments. */
#include <linux/unaligned.h>

#include "kcolo.h"
#include "trace.h"

#define BLOCK	(8 * sizeof(u64))

static u64 unlike(const u8 *a, const u8 *b)
{
	return get_unaligned((const u64 *)a) ^ get_unaligned((const u64 *)b);
}

/* The equal blocks in front, in half of the time that memcmp() takes. */
static u32 equal_blocks(const u8 *a, const u8 *b, u32 len)
{
	const u8 *start = a, *last = a + len - len % BLOCK;

	while (a != last) {
		if (unlike(a, b) | unlike(a + 8, b + 8) |
		    unlike(a + 16, b + 16) | unlike(a + 24, b + 24) |
		    unlike(a + 32, b + 32) | unlike(a + 40, b + 40) |
		    unlike(a + 48, b + 48) | unlike(a + 56, b + 56))
			break;
		a += BLOCK;
		b += BLOCK;
	}
	return a - start;
}

static u32 first_difference(const u8 *a, const u8 *b, u32 len)
{
	u32 i = equal_blocks(a, b, len);

	if (!memcmp(a + i, b + i, len - i))
		return len;
	/* bounded: a guest that writes to its pages may have made them equal */
	for (; i < len && a[i] == b[i]; i++)
		;
	return i;
}

/* Piece by piece, each as long as both are contiguous. */
static u32 equal_paged(struct sk_buff *a, u32 a_off, struct sk_buff *b,
		       u32 b_off, u32 len)
{
	struct skb_seq_state as, bs;
	const u8 *ap, *bp;
	u32 done = 0, n, same;

	skb_prepare_seq_read(a, a_off, a_off + len, &as);
	skb_prepare_seq_read(b, b_off, b_off + len, &bs);
	while (done < len) {
		u32 an = skb_seq_read(done, &ap, &as);
		u32 bn = skb_seq_read(done, &bp, &bs);

		n = min3(an, bn, len - done);
		if (!n)
			break;	/* unreadable memory counts as a difference */
		same = first_difference(ap, bp, n);
		done += same;
		if (same < n)
			break;
	}
	skb_abort_seq_read(&bs);
	skb_abort_seq_read(&as);
	return done;
}

/**
 * kcolo_payload_same() - how many bytes of two packets are equal
 * @a: a packet
 * @a_off: first byte of it to compare
 * @b: another packet
 * @b_off: first byte of it to compare
 * @len: bytes to compare, both have them
 *
 * Return: equal bytes before the first difference, @len if there is none.
 */
u32 kcolo_payload_same(struct sk_buff *a, u32 a_off, struct sk_buff *b,
		       u32 b_off, u32 len)
{
	if (a_off + len <= skb_headlen(a) && b_off + len <= skb_headlen(b))
		return first_difference(a->data + a_off, b->data + b_off, len);
	return equal_paged(a, a_off, b, b_off, len);
}

/**
 * kcolo_payload_equal() - how many payload bytes of two packets are equal
 * @p: segment of the primary, in a held packet
 * @p_off: first byte of its payload to compare
 * @s: segment of the secondary, in a held packet
 * @s_off: first byte of its payload to compare
 * @len: bytes to compare, both payloads have them
 *
 * Return: equal bytes before the first difference, @len if there is none.
 */
u32 kcolo_payload_equal(const struct kcolo_seg *p, u32 p_off,
			const struct kcolo_seg *s, u32 s_off, u32 len)
{
	const struct kcolo_held *ph = kcolo_held_of(p), *sh = kcolo_held_of(s);

	trace_compare_ip_info(ph, sh);
	trace_compare_tcp_info(KCOLO_P, ph, p_off);
	trace_compare_tcp_info(KCOLO_S, sh, s_off);
	return kcolo_payload_same(ph->skb, ph->data + p_off,
				  sh->skb, sh->data + s_off, len);
}

/**
 * kcolo_payload_peek() - copy some bytes of a packet for an event
 * @skb: packet
 * @off: first byte
 * @len: bytes that it has from there on
 * @buf: KCOLO_SNIPPET_MAX bytes
 *
 * Return: bytes copied.
 */
u8 kcolo_payload_peek(const struct sk_buff *skb, u32 off, u32 len, u8 *buf)
{
	len = min_t(u32, len, KCOLO_SNIPPET_MAX);
	if (!len || skb_copy_bits(skb, off, buf, len))
		return 0;
	return len;
}

/**
 * kcolo_payload_copy() - copy some payload for an event
 * @seg: segment, in a held packet
 * @seq: sequence number to begin at, within the segment
 * @buf: KCOLO_SNIPPET_MAX bytes
 *
 * Return: bytes copied.
 */
u8 kcolo_payload_copy(const struct kcolo_seg *seg, u32 seq, u8 *buf)
{
	const struct kcolo_held *held = kcolo_held_of(seg);
	u32 off = seq - seg->seq - !!(seg->flags & KCOLO_TCP_SYN);
	u32 len = seg->end - seq - !!(seg->flags & KCOLO_TCP_FIN);

	return kcolo_payload_peek(held->skb, held->data + off, len, buf);
}

/**
 * kcolo_payload_before() - copy the payload in front of a sequence number
 * @seg: segment, in a held packet
 * @seq: sequence number to end at, within the segment
 * @buf: KCOLO_BEFORE_MAX bytes
 *
 * Return: bytes copied, as many as this segment has.
 */
u8 kcolo_payload_before(const struct kcolo_seg *seg, u32 seq, u8 *buf)
{
	const struct kcolo_held *held = kcolo_held_of(seg);
	u32 off = seq - seg->seq - !!(seg->flags & KCOLO_TCP_SYN);
	u32 len = min_t(u32, off, KCOLO_BEFORE_MAX);

	return kcolo_payload_peek(held->skb, held->data + off - len, len, buf);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Compares the options of two SYNs (R4); pure, also for user space.
 *
 * What the client was told are the primary's options; after a failover it is the
 * secondary that has to live with what the client makes of them:
 *
 *	window scale	the client shifts the secondary's windows by the primary's
 *			number: must be there on both or on none, and equal
 *	SACK, time-	the client sends what was agreed on, and expects it: must be
 *	stamps		there on both or on none; the clocks' values differ rightly
 *	MSS		the client's segments are as long as the primary allowed: the
 *			secondary must take them, so its MSS must not be smaller
 *	others		nobody here knows what they do: the same ones, byte by byte
 *
 * Order and padding do not matter.
 *
 * Two of the others are taken out before anybody sees them, since two guests never
 * agree on them, and TCP goes on without: MPTCP (random keys) and TCP Fast Open
 * (cookies of the guest's own key, and data that may or may not count).
 */
#include "syn.h"

#define OPT_EOL		0
#define OPT_NOP		1
#define OPT_MSS		2
#define OPT_WSCALE	3
#define OPT_SACK_OK	4
#define OPT_TS		8
#define OPT_MPTCP	30
#define OPT_TFO		34
#define OPT_EXP		254	/* RFC 6994: two more bytes say whose experiment */
#define TFO_EXP_1	0xf9	/* RFC 7413, before it had a number */
#define TFO_EXP_2	0x89
#define WSCALE_MAX	14	/* RFC 7323: more counts as that */
#define MSS_DEFAULT_4	536	/* RFC 9293, without the option */
#define MSS_DEFAULT_6	1220

/**
 * struct options - what the options of a SYN say
 * @mss: longest segment that the sender takes
 * @wscale: window scale, -1 if it does not scale
 * @sack_ok: takes SACK
 * @ts: has timestamps
 * @others: options that are none of these
 */
struct options {
	u32 mss;
	int wscale;
	bool sack_ok;
	bool ts;
	u32 others;
};

/* Bytes of the option at @opt; one that is cut off reaches to the end. */
static u32 option_len(const u8 *opt, u32 left)
{
	if (opt[0] == OPT_NOP)
		return 1;
	if (left < 2 || opt[1] < 2 || opt[1] > left)
		return left;
	return opt[1];
}

/* Takes one option in; returns false if its meaning is not known. */
static bool known(struct options *o, const u8 *opt, u32 len)
{
	switch (opt[0]) {
	case OPT_NOP:
		return true;
	case OPT_MSS:
		if (len != 4)
			return false;
		o->mss = (u32)opt[2] << 8 | opt[3];
		return true;
	case OPT_WSCALE:
		if (len != 3)
			return false;
		o->wscale = opt[2] < WSCALE_MAX ? opt[2] : WSCALE_MAX;
		return true;
	case OPT_SACK_OK:
		if (len != 2)
			return false;
		o->sack_ok = true;
		return true;
	case OPT_TS:
		if (len != 10)
			return false;
		o->ts = true;
		return true;
	default:
		return false;
	}
}

static struct options parse(const u8 *opts, u32 len, bool v6)
{
	struct options o = {
		.mss = v6 ? MSS_DEFAULT_6 : MSS_DEFAULT_4,
		.wscale = -1,
	};
	u32 at, n;

	for (at = 0; at < len && opts[at] != OPT_EOL; at += n) {
		n = option_len(opts + at, len - at);
		if (!known(&o, opts + at, n))
			o.others++;
	}
	return o;
}

static bool is_stripped(const u8 *opt, u32 len)
{
	switch (opt[0]) {
	case OPT_MPTCP:
	case OPT_TFO:
		return true;
	case OPT_EXP:
		return len >= 4 && opt[2] == TFO_EXP_1 && opt[3] == TFO_EXP_2;
	default:
		return false;
	}
}

/**
 * kcolo_syn_strip() - take out of a SYN what two guests cannot agree on (R4)
 * @opts: its options, as on the wire; what is taken out becomes padding
 * @len: their bytes
 *
 * Return: number of options taken out.
 */
u32 kcolo_syn_strip(u8 *opts, u32 len)
{
	u32 at, n, found = 0;

	for (at = 0; at < len && opts[at] != OPT_EOL; at += n) {
		n = option_len(opts + at, len - at);
		if (!is_stripped(opts + at, n))
			continue;
		memset(opts + at, OPT_NOP, n);
		found++;
	}
	return found;
}

/* How often an option stands among others. */
static u32 count(const u8 *opts, u32 len, const u8 *opt, u32 opt_len)
{
	u32 at, n, found = 0;

	for (at = 0; at < len && opts[at] != OPT_EOL; at += n) {
		n = option_len(opts + at, len - at);
		if (n == opt_len && !memcmp(opts + at, opt, n))
			found++;
	}
	return found;
}

/* Both have as many; is each of @p's as often in @s? */
static bool others_match(const u8 *p, u32 p_len, const u8 *s, u32 s_len)
{
	struct options unused = {};
	u32 at, n;

	for (at = 0; at < p_len && p[at] != OPT_EOL; at += n) {
		n = option_len(p + at, p_len - at);
		if (!known(&unused, p + at, n) &&
		    count(p, p_len, p + at, n) != count(s, s_len, p + at, n))
			return false;
	}
	return true;
}

/**
 * kcolo_syn_match() - may the secondary go on with the primary's handshake (R4)
 * @p: options of the primary's SYN or SYN-ACK, as on the wire
 * @p_len: their bytes
 * @s: options of the secondary's
 * @s_len: their bytes
 * @v6: IPv6, has another MSS where there is no option
 *
 * Return: false if the connection would break at a failover.
 */
bool kcolo_syn_match(const u8 *p, u32 p_len, const u8 *s, u32 s_len, bool v6)
{
	struct options po = parse(p, p_len, v6), so = parse(s, s_len, v6);

	return so.mss >= po.mss && so.wscale == po.wscale &&
	       so.sack_ok == po.sack_ok && so.ts == po.ts &&
	       so.others == po.others && others_match(p, p_len, s, s_len);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * What keeps a secondary going that waits for an acknowledgment, or has missed packets,
 * of the mirror or on its way here: compared bytes ahead of the rest of their packet, the
 * holes in what it has said (R1, R15).
 */
#include "kcolo.h"
#include "wait.h"

/*
 * Below the first window of most guests (RFC 3390, 6928). One that has a smaller one
 * waits for its timer once; what it repeats then shows that it waits.
 */
#define DARES		4096

/**
 * kcolo_lossy_tell_hole() - S has to repeat bytes that were lost on their way here (R15)
 * @flow: locked by the caller
 * @ack: filled in if the client has acknowledged all that came before them; earlier, an
 *	ACK would make S repeat those, too
 */
void kcolo_lossy_tell_hole(const struct kcolo_flow *flow, struct kcolo_ack *ack)
{
	const struct kcolo_cmp *c = &flow->cmp;
	u32 max = ARRAY_SIZE(ack->edges) / 2;

	if (!flow->client.ok || flow->client.ack != c->cmp ||
	    c->state != KCOLO_CMP_RUN)
		return;
	/* Three is what fits behind a timestamp. */
	ack->islands = kcolo_cmp_islands(c, ack->edges,
					 flow->client.has_ts ? max - 1 : max);
	if (ack->islands)
		ack->client = flow->client;
}

/**
 * kcolo_held_head() - compared bytes that need not wait for the rest of their packet (R1)
 * @flow: locked by the caller, who has heard of something new; P's packets are held
 * @okfn: how to send it
 *
 * Where the two cut their streams differently they leave if the client has nothing
 * else to acknowledge: S may have sent all that it dares to before that, and would be
 * silent until its timer for repetitions.
 *
 * Return: a packet to send or NULL.
 */
struct sk_buff *kcolo_held_head(struct kcolo_flow *flow, kcolo_okfn_t *okfn)
{
	if (!flow->out_ok || !flow->client.ok ||
	    flow->cmp.state != KCOLO_CMP_RUN ||
	    seq_before(flow->client.ack, flow->data_out) || !kcolo_wait_idle(flow))
		return NULL;
	if (!flow->lossy && !seq_after(flow->cmp.cmp, flow->client.ack + DARES))
		return NULL;
	return kcolo_lower_head(flow, flow->client.ack, okfn);
}

/**
 * kcolo_lossy_repeat_head() - what S repeats, the client lacks (R1)
 * @flow: locked by the caller
 * @okfn: how to send it
 *
 * Return: a packet to send or NULL.
 */
struct sk_buff *kcolo_lossy_repeat_head(struct kcolo_flow *flow,
					kcolo_okfn_t *okfn)
{
	const struct kcolo_seg *seg = kcolo_cmp_straddler(&flow->cmp);

	if (!seg || !kcolo_wait_idle(flow))
		return NULL;
	return kcolo_lower_head(flow, flow->client.ok ? flow->client.ack : seg->seq,
				okfn);
}

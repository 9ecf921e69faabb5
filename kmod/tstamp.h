/* SPDX-License-Identifier: GPL-2.0 */
/* The offset between two guests' TCP timestamps; pure, also for user space (W5). */
#ifndef _KCOLO_TSTAMP_H
#define _KCOLO_TSTAMP_H

#include "types.h"

#define KCOLO_TS_GUARD	200	/* ticks, of a millisecond in most guests */

/**
 * struct kcolo_ts - the timestamps of a connection
 * @off: the secondary's clock minus the primary's, as far as known
 * @newest: the secondary's newest TSval
 * @lag: in the upper half by how much @off has turned out too large, in the lower
 *	half how far the client's newest echo is ahead of @newest
 */
struct kcolo_ts {
	u32 off;
	u32 newest;
	u32 lag;
};

void kcolo_ts_learn(struct kcolo_ts *ts, u32 tsecr);
void kcolo_ts_hear_client(struct kcolo_ts *ts, u32 tsecr);
void kcolo_ts_hear_vm(struct kcolo_ts *ts, u32 tsval);
u32 kcolo_ts_to_vm(const struct kcolo_ts *ts, u32 tsecr);
u32 kcolo_ts_to_client(const struct kcolo_ts *ts, u32 tsval);
void kcolo_ts_take_over(struct kcolo_ts *ts);

#endif

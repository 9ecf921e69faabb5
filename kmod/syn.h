/* SPDX-License-Identifier: GPL-2.0 */
/* Do the options of two SYNs come to the same (R4)? */
#ifndef _KCOLO_SYN_H
#define _KCOLO_SYN_H

#include "types.h"

#define KCOLO_OPTIONS_MAX 40	/* bytes of options in a TCP header */

u32 kcolo_syn_strip(u8 *opts, u32 len);
bool kcolo_syn_match(const u8 *p, u32 p_len, const u8 *s, u32 s_len, bool v6);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Which connections were translated, to notice the loss of one (W7). */
#ifndef _KCOLO_KNOWN_H
#define _KCOLO_KNOWN_H

#include "kcolo.h"

int kcolo_known_setup(struct kcolo_pair *pair);
void kcolo_known_add(struct kcolo_pair *pair, const struct kcolo_tuple *tuple);
bool kcolo_known_take(struct kcolo_pair *pair, const struct kcolo_tuple *tuple);
void kcolo_known_begin(struct kcolo_pair *pair);
void kcolo_known_end(struct kcolo_pair *pair);
void kcolo_known_clear(struct kcolo_pair *pair);

#endif

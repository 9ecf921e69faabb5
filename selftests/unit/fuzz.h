/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UNIT_FUZZ_H
#define UNIT_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(int is, const char *what)
{
	if (is)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

#endif

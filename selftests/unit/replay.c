// SPDX-License-Identifier: GPL-2.0
/* replay NAME FILE...: feeds a fuzzer's inputs to it without libFuzzer. */
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <sys/stat.h>

#pragma weak __sanitizer_set_death_callback

#include "fuzz.h"

static const char *now;

static void died(void)
{
	printf("# %s\n", now);
	fflush(stdout);
}

static void aborted(int sig)
{
	died();
	signal(sig, SIG_DFL);
}

static void replay(const char *name)
{
	FILE *file = fopen(name, "rb");
	struct stat st;
	uint8_t *data;

	if (!file || fstat(fileno(file), &st)) {
		perror(name);
		exit(1);
	}
	data = malloc(st.st_size);
	must(fread(data, 1, st.st_size, file) == (size_t)st.st_size, name);
	fclose(file);
	now = name;
	LLVMFuzzerTestOneInput(data, st.st_size);
	free(data);
}

int main(int argc, char **argv)
{
	int i;

	if (argc < 3) {
		fprintf(stderr, "usage: replay NAME FILE...\n");
		return 2;
	}
	signal(SIGABRT, aborted);
	/* Not where it was built without: for other machines. */
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(died);
	printf("1..1\n");
	for (i = 2; i < argc; i++)
		replay(argv[i]);
	printf("ok 1 %s.corpus # %d inputs\n", argv[1], argc - 2);
	return 0;
}

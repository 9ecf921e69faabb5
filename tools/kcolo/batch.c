// SPDX-License-Identifier: GPL-2.0
/* Commands from a file, a line each. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcolo.h"
#include "out.h"

#define BLANKS		" \t\r\n"
#define WORDS_MAX	128

/* A file of commands and where in it reading has come to. */
struct batch {
	FILE *file;
	const char *path;
	char *line;
	size_t room;
	unsigned int number;
	unsigned int first;
	int error;
};

/* Appends the lines that a backslash at the end asks for. */
static ssize_t line_continue(struct batch *batch, ssize_t len)
{
	char *next = NULL;
	size_t room = 0;
	ssize_t more;

	while (len > 1 && !strcmp(batch->line + len - 2, "\\\n")) {
		char *joined;

		more = getline(&next, &room, batch->file);
		if (more < 0)
			break;
		batch->number++;
		joined = realloc(batch->line, len + more + 1);
		if (!joined) {
			fputs("Error: kcolo: out of memory\n", stderr);
			exit(RC_KERNEL); /* half a command is not to be run */
		}
		batch->line = joined;
		batch->room = len + more + 1;
		joined[len - 2] = ' ';
		memcpy(joined + len - 1, next, more + 1);
		len += more - 1;
	}
	free(next);
	return len;
}

static bool line_read(struct batch *batch)
{
	ssize_t len;

	len = getline(&batch->line, &batch->room, batch->file);
	if (len < 0) {
		batch->error = feof(batch->file) ? 0 : errno;
		return false;
	}
	batch->first = ++batch->number;
	line_continue(batch, len);
	return true;
}

/*
 * Cuts a line into words at blanks outside of quotes; a word that begins with
 * # and all behind it is a comment. Returns the number of words, or -1.
 */
static int line_split(char *line, char **words)
{
	int n = 0;

	for (;;) {
		char quote = 0, *end;

		line += strspn(line, BLANKS);
		if (!*line || *line == '#')
			return n;
		if (n == WORDS_MAX)
			return -1;
		if (*line == '"' || *line == '\'')
			quote = *line++;
		words[n++] = line;
		end = quote ? strchr(line, quote) : strpbrk(line, BLANKS);
		if (quote && !end)
			return -1;
		if (!end)
			return n;
		*end = '\0';
		line = end + 1;
	}
}

static int line_run(struct batch *batch)
{
	char *words[WORDS_MAX];
	int n, rc;

	n = line_split(batch->line, words);
	if (!n)
		return RC_OK;
	if (n < 0)
		rc = bad_usage("a quote is not closed, or the line too long");
	else
		rc = command_run(n, words);
	if (!rc)
		rc = out_flush();
	if (rc)
		fprintf(stderr, "Command failed %s:%u\n", batch->path,
			batch->first);
	return rc;
}

int batch_run(const char *path)
{
	bool is_stdin = !strcmp(path, "-");
	struct batch batch = { .path = is_stdin ? "stdin" : path };
	int first_rc = RC_OK;

	batch.file = is_stdin ? stdin : fopen(path, "re");
	if (!batch.file) {
		fprintf(stderr, "Error: kcolo: cannot open \"%s\": %s\n", path,
			strerror(errno));
		return RC_USAGE;
	}
	while (line_read(&batch)) {
		int rc = line_run(&batch);

		if (rc && !first_rc)
			first_rc = rc;
		if (rc && !opts.force)
			break;
	}
	if (batch.error) {
		fprintf(stderr, "Error: kcolo: cannot read \"%s\": %s\n", path,
			strerror(batch.error));
		first_rc = first_rc ?: RC_USAGE;
	}
	free(batch.line);
	if (!is_stdin)
		fclose(batch.file);
	return first_rc;
}

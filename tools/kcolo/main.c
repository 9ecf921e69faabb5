// SPDX-License-Identifier: GPL-2.0
/* kcolo: options, objects, help. */

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kcolo.h"
#include "nl.h"
#include "out.h"

struct options opts;

static const struct object *const objects[] = {
	&object_pair,
	&object_flow,
	&object_rule,
	&object_stats,
	&object_monitor,
	&object_top,
};

static const char usage_head[] =
"Usage: kcolo [ OPTIONS ] OBJECT [ COMMAND | help ]\n"
"       kcolo [ OPTIONS ] [ -force ] -batch FILE\n"
"       kcolo help\n"
"where  OBJECT  := { pair | flow | rule | stats | monitor | top }\n"
"       OPTIONS := { -V[ersion] | -s[tatistics] | -j[son] | -p[retty] |\n"
"                    -t[imestamp] | -ts[hort] | -n[etns] NETNS | -b[atch] FILE |\n"
"                    -force }\n";

static void usage_all(FILE *to)
{
	size_t i;

	fputs(usage_head, to);
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		fputs(objects[i]->usage, to);
}

/* The lines of @object's grammar, the first one led by "Usage:". */
static void usage_object(const struct object *object, FILE *to)
{
	fprintf(to, "Usage:%s", object->usage + strlen("Usage:"));
}

const char *args_next(struct args *args)
{
	if (!args->argc)
		return NULL;
	args->argc--;
	return *args->argv++;
}

int args_end(struct args *args)
{
	const char *word = args_next(args);

	if (!word)
		return RC_OK;
	return is_help(word) ? RC_HELP : bad_usage("what is \"%s\"?", word);
}

int bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("Error: kcolo: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
	return RC_USAGE;
}

bool is_help(const char *word)
{
	return !strcmp(word, "help");
}

static int object_run(const struct object *object, struct args *args)
{
	const struct command *command = object->commands;
	const char *word;

	if (object->run)
		return object->run(args);
	word = args_next(args);
	if (!word)
		word = "show";
	if (is_help(word))
		return RC_HELP;
	for (; command->name; command++)
		if (!strcmp(command->name, word))
			return command->run(args);
	return bad_usage("what is \"%s\"?", word);
}

int command_run(int argc, char **argv)
{
	struct args args = { argc - 1, argv + 1 };
	size_t i;
	int rc;

	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		if (strcmp(objects[i]->name, argv[0]))
			continue;
		rc = object_run(objects[i], &args);
		if (rc == RC_USAGE)
			usage_object(objects[i], stderr);
		if (rc == RC_HELP)
			usage_object(objects[i], stdout);
		return rc == RC_HELP ? RC_OK : rc;
	}
	if (is_help(argv[0])) {
		usage_all(stdout);
		return RC_OK;
	}
	bad_usage("what is \"%s\"?", argv[0]);
	usage_all(stderr);
	return RC_USAGE;
}

/* What the file holds, without the newline; empty if there is none. */
static void line_read(const char *path, char *line, int room)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(line, room, file))
		line[0] = '\0';
	if (file)
		fclose(file);
	line[strcspn(line, "\n")] = '\0';
}

static void version_print(void)
{
	const char *module = "not loaded";
	char version[32];

	line_read("/sys/module/kcolo/version", version, sizeof(version));
	if (*version)
		module = version;
	else if (!access("/sys/module/kcolo", F_OK))
		module = "of unknown version";
	printf("kcolo %s, module %s\n", KCOLO_VERSION, module);
}

static bool option_is(const char *word, const char *letters, const char *full)
{
	return !strcmp(word, letters) || !strcmp(word, full);
}

static bool option_flag(const char *word)
{
	if (option_is(word, "j", "json"))
		opts.json = true;
	else if (option_is(word, "p", "pretty"))
		opts.pretty = true;
	else if (option_is(word, "s", "statistics"))
		opts.stats = true;
	else if (option_is(word, "t", "timestamp"))
		opts.timestamp = TS_LONG;
	else if (option_is(word, "ts", "tshort"))
		opts.timestamp = TS_SHORT;
	else if (!strcmp(word, "force"))
		opts.force = true;
	else
		return false;
	return true;
}

static int option_value(const char *word, struct args *args)
{
	const char **value;

	if (option_is(word, "n", "netns"))
		value = &opts.netns;
	else if (option_is(word, "b", "batch"))
		value = &opts.batch;
	else
		return bad_usage("there is no option \"-%s\"", word);
	*value = args_next(args);
	if (!*value)
		return bad_usage("\"-%s\" needs a value", word);
	if (value == &opts.netns &&
	    (strchr(*value, '/') || strlen(*value) > NAME_MAX))
		return bad_usage("\"%s\" is no name of a network namespace",
				 *value);
	return RC_OK;
}

/* Reads the options in front of the object. */
static int options_read(struct args *args)
{
	while (args->argc && args->argv[0][0] == '-' && args->argv[0][1]) {
		const char *word = args_next(args) + 1;
		int rc;

		word += *word == '-';
		if (!*word) /* "--" */
			return RC_OK;
		if (option_is(word, "h", "help")) {
			usage_all(stdout);
			exit(out_flush());
		}
		if (option_is(word, "V", "Version")) {
			version_print();
			exit(out_flush());
		}
		if (option_flag(word))
			continue;
		rc = option_value(word, args);
		if (rc)
			return rc;
	}
	return RC_OK;
}

static int run(struct args *args)
{
	int rc;

	rc = options_read(args);
	if (!rc && !args->argc && !opts.batch)
		rc = bad_usage("there is no object");
	if (!rc && opts.batch)
		rc = args_end(args);
	if (rc) {
		usage_all(stderr);
		return RC_USAGE;
	}
	if (opts.batch)
		return batch_run(opts.batch);
	return command_run(args->argc, args->argv);
}

int main(int argc, char **argv)
{
	struct args args = { argc ? argc - 1 : 0, argv + 1 };
	int rc, written;

	rc = run(&args);
	nl_close();
	written = out_flush();
	return rc ? rc : written;
}

/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the tool share: options, arguments, commands. */
#ifndef KCOLO_TOOL_H
#define KCOLO_TOOL_H

#include <stdbool.h>

#define KCOLO_VERSION	"0.1.0"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof(*(a)))

#define __aligned(x)	__attribute__((__aligned__(x)))
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))

/* Netlink messages are read in place. */
#define __aligned_nl	__aligned(__alignof__(struct nlmsghdr))

/**
 * enum - what a command returns; all but RC_HELP are exit statuses
 * @RC_OK: done
 * @RC_USAGE: the command line is wrong; the reason has been printed
 * @RC_KERNEL: the kernel refused; the reason has been printed
 * @RC_HELP: the command line asks for the grammar
 */
enum {
	RC_OK		= 0,
	RC_USAGE	= 1,
	RC_KERNEL	= 2,
	RC_HELP		= 3,
};

enum timestamp { TS_NONE, TS_LONG, TS_SHORT };

struct options {
	bool json;
	bool pretty;
	bool stats;
	bool force;
	enum timestamp timestamp;
	const char *netns;
	const char *batch;
};

extern struct options opts;

/* The words of a command line that are still to be read. */
struct args {
	int argc;
	char **argv;
};

const char *args_next(struct args *args);
int args_end(struct args *args);

/* Prints why a command line is wrong. Returns RC_USAGE. */
int __printf(1, 2) bad_usage(const char *fmt, ...);
bool is_help(const char *word);

struct command {
	const char *name;
	int (*run)(struct args *args);
};

/**
 * struct object - first word of a command line
 * @name: the word
 * @usage: its grammar, every line indented as it is printed
 * @commands: what can be done to it, closed by an entry without name
 * @run: for an object without commands
 */
struct object {
	const char *name;
	const char *usage;
	const struct command *commands;
	int (*run)(struct args *args);
};

extern const struct object object_pair;
extern const struct object object_flow;
extern const struct object object_rule;
extern const struct object object_stats;
extern const struct object object_monitor;
extern const struct object object_top;

int command_run(int argc, char **argv);
int batch_run(const char *path);

#endif

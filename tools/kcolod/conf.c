// SPDX-License-Identifier: GPL-2.0
/* The file of a virtual machine: a keyword and its value in each line. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcolod.h"

#define CONF_DIR	"/etc/kcolo"

struct conf conf = {
	.delay_ms = 100000000,
	.silence_ms = 3000,
	.answer_ms = 10000,
	.checkpoint_ms = 30000,
};

static const char *conf_path;
static unsigned int conf_line;

static int __printf(1, 2) bad(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "Error: kcolod: %s:%u: ", conf_path, conf_line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return RC_USAGE;
}

static int put_text(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
	return *to ? RC_OK : bad("no memory");
}

static int put_ms(uint32_t *to, const char *value)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || *end || value[0] == '-' || !n || n > INT32_MAX)
		return bad("\"%s\" is no number of milliseconds", value);
	*to = n;
	return RC_OK;
}

/* "ADDR PORT" */
static int put_place(char **addr, char **port, char *value)
{
	char *second = strpbrk(value, " \t");
	int rc;

	if (!second)
		return bad("the port is missing");
	*second++ = '\0';
	second += strspn(second, " \t");
	rc = put_text(addr, value);
	return rc ? rc : put_text(port, second);
}

static int put_policy(char *value)
{
	char *rest = strpbrk(value, " \t");

	if (!strcmp(value, "manual")) {
		conf.policy = POLICY_MANUAL;
		return RC_OK;
	}
	if (!strcmp(value, "auto")) {
		conf.policy = POLICY_AUTO;
		return RC_OK;
	}
	if (strncmp(value, "script", 6) || !rest || rest != value + 6)
		return bad("failover: manual, auto, or script COMMAND");
	conf.policy = POLICY_SCRIPT;
	return put_text(&conf.script, rest + strspn(rest, " \t"));
}

static int put(const char *key, char *value)
{
	if (!strcmp(key, "pair"))
		return put_text(&conf.pair, value);
	if (!strcmp(key, "qmp"))
		return put_text(&conf.qmp, value);
	if (!strcmp(key, "migration"))
		return put_text(&conf.migration, value);
	if (!strcmp(key, "peer"))
		return put_place(&conf.peer, &conf.peer_port, value);
	if (!strcmp(key, "listen"))
		return put_place(&conf.listen, &conf.listen_port, value);
	if (!strcmp(key, "failover"))
		return put_policy(value);
	if (!strcmp(key, "takeover"))
		return put_text(&conf.takeover, value);
	if (!strcmp(key, "checkpoint-delay"))
		return put_ms(&conf.delay_ms, value);
	if (!strcmp(key, "peer-silence"))
		return put_ms(&conf.silence_ms, value);
	if (!strcmp(key, "qmp-timeout"))
		return put_ms(&conf.answer_ms, value);
	if (!strcmp(key, "checkpoint-timeout"))
		return put_ms(&conf.checkpoint_ms, value);
	return bad("what is \"%s\"?", key);
}

static int read_line(char *line)
{
	char *key = line + strspn(line, " \t");
	char *end = key + strcspn(key, "\n");
	char *value;

	conf_line++;
	while (end > key && strchr(" \t\r", end[-1]))
		end--;
	*end = '\0';
	if (!*key || *key == '#')
		return RC_OK;
	value = key + strcspn(key, " \t");
	if (!*value)
		return bad("\"%s\" needs a value", key);
	*value++ = '\0';
	return put(key, value + strspn(value, " \t"));
}

static int check(void)
{
	if (!conf.pair)
		conf.pair = strdup(conf.name);
	if (!conf.qmp)
		return bad("qmp is missing");
	if (!conf.migration)
		return bad("migration is missing");
	if (!conf.peer)
		return bad("peer is missing");
	return RC_OK;
}

int conf_read(const char *name)
{
	const char *slash = strrchr(name, '/');
	char *line = NULL;
	int rc = RC_OK;
	char path[4096];
	size_t room = 0;
	FILE *file;

	if (slash)
		snprintf(path, sizeof(path), "%s", name);
	else
		snprintf(path, sizeof(path), CONF_DIR "/%s.kcolod", name);
	conf.name = strdup(slash ? slash + 1 : name);
	conf_path = path;
	file = fopen(path, "re");
	if (!file || !conf.name) {
		fprintf(stderr, "Error: kcolod: %s: %s\n", path, strerror(errno));
		return RC_USAGE;
	}
	if (slash)
		*strchrnul((char *)conf.name, '.') = '\0';
	while (!rc && getline(&line, &room, file) >= 0)
		rc = read_line(line);
	free(line);
	fclose(file);
	return rc ? rc : check();
}

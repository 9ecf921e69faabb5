// SPDX-License-Identifier: GPL-2.0
/* kcolo top: pairs and connections, again and again. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <linux/kcolo.h>

#include "cmd.h"
#include "hist.h"
#include "nl.h"
#include "out.h"

#define INTERVAL_MIN	100
#define INTERVAL_MAX	3600000
#define ROWS		24	/* of a terminal that does not tell */

static const struct field pair_fields[] = {
	FIELD(PAIR, "pair", NULL, string),
	FIELD(ROLE, "role", NULL, enum, .names = &names_role),
	FIELD(STATE, "state", NULL, enum, .names = &names_state),
	FIELD(EPOCH, "epoch", NULL, u32),
	FIELD(REQUEST, "request", NULL, enum, .names = &names_reason),
	{ 0 }
};

/**
 * struct top - what is shown, and how
 * @pair: the only pair, NULL for all
 * @interval: milliseconds between two pictures
 * @count: pictures that are still to come, 0: no end
 * @screen: pictures overwrite each other
 * @stop: descriptor that becomes readable when it shall end
 */
struct top {
	const char *pair;
	unsigned long interval;
	unsigned long count;
	bool screen;
	int stop;
};

/**
 * struct sample - what the kernel said at one time
 * @ms: monotonic time
 * @pairs: array of pairs
 * @stats: counters and histograms by the name of the pair
 * @flows: array of connections
 * @compared: bytes compared of each, by what it is called
 */
struct sample {
	uint64_t ms;
	json_t *pairs;
	json_t *stats;
	json_t *flows;
	json_t *compared;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static json_int_t number(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

static const char *string(const json_t *record, const char *key)
{
	const char *s = json_string_value(json_object_get(record, key));

	return s ? s : "-";
}

static int add_pair(const struct nlmsghdr *nlh, void *data)
{
	struct sample *sample = data;

	json_array_append_new(sample->pairs, fields_pick(pair_fields, nlh));
	return RC_OK;
}

static json_t *flow_name(const json_t *flow)
{
	return json_sprintf("%s %s %s %lld %s %lld", string(flow, "pair"),
			    string(flow, "proto"), string(flow, "src"),
			    (long long)number(flow, "sport"),
			    string(flow, "dst"),
			    (long long)number(flow, "dport"));
}

static int add_flow(const struct nlmsghdr *nlh, void *data)
{
	struct sample *sample = data;
	json_t *flow = fields_get(flow_fields, nlh);
	json_t *name = json_need(flow_name(flow));

	json_object_set(sample->compared, json_string_value(name),
			json_object_get(flow, "compared_bytes"));
	json_decref(name);
	json_array_append_new(sample->flows, flow);
	return RC_OK;
}

static struct nlmsghdr *request(const struct top *top, uint8_t cmd)
{
	struct nlmsghdr *req = nl_request(cmd);

	if (top->pair)
		mnl_attr_put_strz(req, KCOLO_A_PAIR, top->pair);
	return req;
}

static int sample_take(struct sample *sample, const struct top *top)
{
	int rc;

	sample->ms = now_ms();
	sample->pairs = json_need(json_array());
	sample->stats = json_need(json_object());
	sample->flows = json_need(json_array());
	sample->compared = json_need(json_object());
	rc = nl_dump(request(top, KCOLO_CMD_PAIR_GET), add_pair, sample);
	if (!rc)
		rc = stats_read(top->pair, sample->stats);
	if (!rc)
		rc = nl_dump(request(top, KCOLO_CMD_FLOW_GET), add_flow,
			     sample);
	return rc;
}

static void sample_drop(struct sample *sample)
{
	json_decref(sample->pairs);
	json_decref(sample->stats);
	json_decref(sample->flows);
	json_decref(sample->compared);
	memset(sample, 0, sizeof(*sample));
}

/* A second's share of what has come since the last sample. */
static json_int_t rate(json_int_t now, json_int_t before, uint64_t ms)
{
	return now > before && ms ? (now - before) * 1000 / (json_int_t)ms : 0;
}

static json_int_t packets(const json_t *stats)
{
	return number(stats, "primary_packets") + number(stats, "to_vm") +
	       number(stats, "from_vm");
}

/* Times of packets that have left since the last sample. */
static void set_hold_times(json_t *pair, const json_t *now, const json_t *old)
{
	const json_t *value = json_object_get(now, "hold_times");
	struct hist hist, before;
	unsigned int i;

	if (!value)
		return;
	hist_read(&hist, value);
	hist_read(&before, json_object_get(old, "hold_times"));
	for (i = 0; i < hist.n; i++)
		if (hist.bucket[i] >= before.bucket[i])
			hist.bucket[i] -= before.bucket[i];
	if (!hist_count(&hist))
		return;
	json_object_set_new(pair, "hold_p50_us",
			    json_integer(hist_percentile(&hist, 50)));
	json_object_set_new(pair, "hold_p99_us",
			    json_integer(hist_percentile(&hist, 99)));
}

static void set_pair(json_t *pair, const struct sample *now,
		     const struct sample *old)
{
	static const char *const levels[] = {
		"held", "held_bytes", "flows", "miscompares",
	};
	const char *name = string(pair, "pair");
	const json_t *record = json_object_get(now->stats, name);
	const json_t *before = json_object_get(old->stats, name);
	const json_t *stats = json_object_get(record, "stats");
	uint64_t ms = now->ms - old->ms;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(levels); i++)
		json_object_set(pair, levels[i],
				json_object_get(stats, levels[i]));
	set_hold_times(pair, record, before);
	before = json_object_get(before, "stats");
	json_object_set_new(pair, "packets_per_s",
			    json_integer(rate(packets(stats), packets(before),
					      ms)));
	json_object_set_new(pair, "compared_bytes_per_s",
			    json_integer(rate(number(stats, "compared_bytes"),
					      number(before, "compared_bytes"),
					      ms)));
}

static void set_flow(json_t *flow, const struct sample *now,
		     const struct sample *old)
{
	json_t *name = json_need(flow_name(flow));
	json_int_t before = number(old->compared, json_string_value(name));
	json_int_t bytes = number(flow, "compared_bytes");

	json_decref(name);
	json_object_set_new(flow, "compared_bytes_per_s",
			    json_integer(rate(bytes, before,
					      now->ms - old->ms)));
}

/* Who holds most comes first, then who talks most, then who did so last. */
static int by_weight(const void *a, const void *b)
{
	static const char *const keys[] = {
		"held", "compared_bytes_per_s",
	};
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		json_int_t n = number(x, keys[i]), m = number(y, keys[i]);

		if (n != m)
			return n < m ? 1 : -1;
	}
	return number(x, "idle_ms") < number(y, "idle_ms") ? -1 :
	       number(x, "idle_ms") > number(y, "idle_ms");
}

/* The @most heaviest connections, in order. */
static json_t *heaviest(const json_t *flows, size_t most)
{
	size_t i, n = json_array_size(flows);
	json_t *out = json_need(json_array());
	json_t **list = calloc(n + 1, sizeof(*list));

	json_need((json_t *)list);
	for (i = 0; i < n; i++)
		list[i] = json_array_get(flows, i);
	qsort(list, n, sizeof(*list), by_weight);
	for (i = 0; i < n && i < most; i++)
		json_array_append(out, list[i]);
	free(list);
	return out;
}

/* "1234", "12.3k", "123M" */
static const char *scaled(char *to, size_t room, json_int_t n)
{
	static const char unit[] = " kMGTPE";
	double x = n;
	int i = 0;

	for (; x >= 10000 && unit[i + 1]; i++)
		x /= 1000;
	if (i)
		snprintf(to, room, x < 100 ? "%.1f%c" : "%.0f%c", x, unit[i]);
	else
		snprintf(to, room, "%.0f", x);
	return to;
}

static const char *line_end(const struct top *top)
{
	return top->screen ? "\033[K" : "";
}

static void text_pair(const json_t *pair, const struct top *top)
{
	char bytes[16], pps[16], bps[16], p50[16] = "-", p99[16] = "-";

	if (json_object_get(pair, "hold_p50_us")) {
		text_us(p50, sizeof(p50), number(pair, "hold_p50_us"));
		text_us(p99, sizeof(p99), number(pair, "hold_p99_us"));
	}
	out_string(string(pair, "pair"));
	printf("%*s %-9s %-10s %6lld %6lld %6s %6lld %6s %6s %6s %6s %6lld %s%s",
	       (int)(12 - strnlen(string(pair, "pair"), 12)), "",
	       string(pair, "role"), string(pair, "state"),
	       (long long)number(pair, "epoch"),
	       (long long)number(pair, "held"),
	       scaled(bytes, sizeof(bytes), number(pair, "held_bytes")),
	       (long long)number(pair, "flows"),
	       scaled(pps, sizeof(pps), number(pair, "packets_per_s")),
	       scaled(bps, sizeof(bps), number(pair, "compared_bytes_per_s")),
	       p50, p99, (long long)number(pair, "miscompares"),
	       string(pair, "request"), line_end(top));
	out_newline();
}

static void text_flow(const json_t *flow, const struct top *top)
{
	char bytes[16], bps[16];
	char idle[16];

	text_us(idle, sizeof(idle), number(flow, "idle_ms") * 1000);
	printf("%6lld %6s %6s %6s %-11s ", (long long)number(flow, "held"),
	       scaled(bytes, sizeof(bytes), number(flow, "held_bytes")),
	       scaled(bps, sizeof(bps), number(flow, "compared_bytes_per_s")),
	       idle, string(flow, "state"));
	text_tuple(flow);
	printf(" pair ");
	out_string(string(flow, "pair"));
	printf("%s", line_end(top));
	out_newline();
}

static size_t rows(const struct top *top)
{
	struct winsize size;

	if (top->screen && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) &&
	    size.ws_row)
		return size.ws_row;
	return ROWS;
}

static void text_all(const json_t *pairs, const json_t *flows,
		     const struct top *top)
{
	const char *end = line_end(top);
	json_t *value;
	size_t i;

	if (top->screen)
		printf("\033[H");
	printf("%-12s %-9s %-10s %6s %6s %6s %6s %6s %6s %6s %6s %6s %s%s\n",
	       "PAIR", "ROLE", "STATE", "EPOCH", "HELD", "BYTES", "FLOWS",
	       "PKT/S", "CMP/S", "P50", "P99", "DIFFER", "REQUEST", end);
	json_array_foreach(pairs, i, value)
		text_pair(value, top);
	printf("%s\n%6s %6s %6s %6s %-11s %s%s\n", end, "HELD", "BYTES",
	       "CMP/S", "IDLE", "STATE", "CONNECTION", end);
	json_array_foreach(flows, i, value)
		text_flow(value, top);
	printf(top->screen ? "\033[J" : "\n");
}

static void show(const struct sample *now, const struct sample *old,
		 const struct top *top)
{
	size_t head = json_array_size(now->pairs) + 4, most = rows(top);
	json_t *flows, *value;
	size_t i;

	json_array_foreach(now->pairs, i, value)
		set_pair(value, now, old);
	json_array_foreach(now->flows, i, value)
		set_flow(value, now, old);
	flows = heaviest(now->flows, most > head ? most - head : 0);
	if (opts.json) {
		json_int_t ms = now->ms - old->ms;

		out_line(json_need(json_pack("{s:o, s:I, s:O, s:O}",
					     "timestamp",
					     json_need(json_timestamp()),
					     "interval_ms", ms,
					     "pairs", now->pairs,
					     "flows", flows)));
	} else {
		text_all(now->pairs, flows, top);
	}
	json_decref(flows);
}

/* Waits for the next picture. Returns false if somebody wants an end. */
static bool wait_next(const struct top *top)
{
	struct pollfd fds[] = {
		{ .fd = top->stop, .events = POLLIN },
		{ .fd = top->screen ? STDIN_FILENO : -1, .events = POLLIN },
	};
	uint64_t end = now_ms() + top->interval, now;
	char key;

	while ((now = now_ms()) < end) {
		if (poll(fds, ARRAY_SIZE(fds), end - now) < 0)
			continue;
		if (fds[0].revents)
			return false;
		if (!fds[1].revents)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1)
			fds[1].fd = -1;
		else if (key == 'q')
			return false;
	}
	return true;
}

static int top_loop(struct top *top)
{
	struct sample old, now = { 0 };
	int rc = sample_take(&now, top);

	while (!rc && wait_next(top)) {
		old = now;
		rc = sample_take(&now, top);
		if (!rc) {
			show(&now, &old, top);
			rc = out_flush();
		}
		sample_drop(&old);
		if (top->count && !--top->count)
			break;
	}
	sample_drop(&now);
	return rc;
}

/* Keys come one by one, and are not shown. */
static int top_screen(struct top *top)
{
	struct termios before, keys;
	int rc;

	if (!top->screen || tcgetattr(STDIN_FILENO, &before))
		return top_loop(top);
	keys = before;
	keys.c_lflag &= ~(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &keys);
	printf("\033[2J");
	rc = top_loop(top);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return rc;
}

/* SIGINT and SIGTERM are the way to end it, and no error. */
static int top_start(struct top *top)
{
	sigset_t blocked, old;
	int rc = RC_KERNEL;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &old);
	top->stop = signalfd(-1, &blocked, SFD_CLOEXEC);
	if (top->stop < 0) {
		perror("Error: kcolo: signalfd");
	} else {
		struct signalfd_siginfo info;

		rc = top_screen(top);
		/* Else it would come again once it is not blocked. */
		while (poll(&(struct pollfd){ top->stop, POLLIN, 0 }, 1, 0) > 0)
			if (read(top->stop, &info, sizeof(info)) < 0)
				break;
		close(top->stop);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static int read_number(const char *word, const char *arg, unsigned long low,
		       unsigned long high, unsigned long *to)
{
	errno = 0;
	*to = strtoul(arg, NULL, 10);
	if (!*arg || arg[strspn(arg, "0123456789")] || errno || *to < low ||
	    *to > high)
		return bad_usage("%s \"%s\" is not a number from %lu to %lu",
				 word, arg, low, high);
	return RC_OK;
}

static int read_word(struct top *top, const char *word, const char *arg)
{
	if (!strcmp(word, "interval"))
		return read_number(word, arg, INTERVAL_MIN, INTERVAL_MAX,
				   &top->interval);
	if (!strcmp(word, "count"))
		return read_number(word, arg, 1, UINT32_MAX, &top->count);
	if (strlen(arg) > KCOLO_NAME_MAX)
		return bad_usage("pair is too long");
	top->pair = arg;
	return RC_OK;
}

static int top_run(struct args *args)
{
	static const char *const words[] = { "pair", "interval", "count" };
	struct top top = { .interval = 1000 };
	bool seen[ARRAY_SIZE(words)] = { 0 };
	const char *word, *arg;
	size_t i;
	int rc;

	while ((word = args_next(args))) {
		if (is_help(word))
			return RC_HELP;
		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (!strcmp(words[i], word))
				break;
		if (i == ARRAY_SIZE(words))
			return bad_usage("what is \"%s\"?", word);
		if (seen[i])
			return bad_usage("\"%s\" is there twice", word);
		seen[i] = true;
		arg = args_next(args);
		if (!arg)
			return bad_usage("\"%s\" needs a value", word);
		rc = read_word(&top, word, arg);
		if (rc)
			return rc;
	}
	top.screen = !opts.json && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
	return top_start(&top);
}

const struct object object_top = {
	.name = "top",
	.usage =
"       kcolo top [ pair NAME ] [ interval MS ] [ count N ]\n",
	.run = top_run,
};

// SPDX-License-Identifier: GPL-2.0
/*
 * The wish for a checkpoint (R7, R9, R10, C5): a level, opened by the first cause,
 * told to user space once, shown by `pair show` until a checkpoint is begun and
 * committed. If nobody listened it is told again.
 */
#include "kcolo.h"
#include "trace.h"

static void tell_later(struct kcolo_pair *pair, unsigned long delay)
{
	if (!READ_ONCE(pair->dead))
		mod_delayed_work(system_wq, &pair->tell_work, delay);
}

/* How long to wait until the pair may ask again (C5). */
static unsigned long ask_delay(struct kcolo_pair *pair)
{
	struct kcolo_request *req = &pair->request;
	unsigned long at = req->told +
			   msecs_to_jiffies(READ_ONCE(pair->cfg.min_interval));

	return req->ever && time_before(jiffies, at) ? at - jiffies : 0;
}

static void open_request(struct kcolo_pair *pair)
{
	struct kcolo_request *req = &pair->request;

	req->serial++;
	req->open = true;
	req->heard = false;
	req->answered = false;
	req->raised = jiffies;
	tell_later(pair, ask_delay(pair));
}

/* What `pair show` tells after the fact; under the request's lock. */
static void keep(struct kcolo_pair *pair, const struct kcolo_miscompare *what)
{
	struct kcolo_request *req = &pair->request;

	req->what = *what;
	req->when = jiffies;
	req->epoch = kcolo_phase(pair).epoch;
	req->known = true;
}

/**
 * kcolo_request() - ask for a checkpoint
 * @pair: pair
 * @what: the cause; only that of the first request is kept until it is answered
 *
 * Context: any, under a flow's lock.
 */
void kcolo_request(struct kcolo_pair *pair, const struct kcolo_miscompare *what)
{
	struct kcolo_request *req = &pair->request;

	trace_miscompare(pair, what);
	spin_lock_bh(&req->lock);
	if (kcolo_observes(pair)) {
		keep(pair, what);
		kcolo_observe_report(pair, what);
		spin_unlock_bh(&req->lock);
		return;
	}
	/* A cause that came after begin asks again after the commit (C5). */
	if (!req->open || req->answered) {
		keep(pair, what);
		open_request(pair);
	}
	spin_unlock_bh(&req->lock);
}

/**
 * kcolo_request_begin() - a checkpoint answers the request
 * @pair: pair
 */
void kcolo_request_begin(struct kcolo_pair *pair)
{
	spin_lock_bh(&pair->request.lock);
	pair->request.answered = true;
	spin_unlock_bh(&pair->request.lock);
}

/**
 * kcolo_request_end() - a checkpoint has ended
 * @pair: pair
 * @committed: it has made the sides equal; else the wish is as it was
 */
void kcolo_request_end(struct kcolo_pair *pair, bool committed)
{
	struct kcolo_request *req = &pair->request;

	spin_lock_bh(&req->lock);
	if (req->open && req->answered && !committed)
		open_request(pair);
	else if (req->answered || kcolo_state(pair) == KCOLO_STATE_BYPASS)
		req->open = false;
	req->answered = false;
	spin_unlock_bh(&req->lock);
}

/**
 * kcolo_request_drop() - no checkpoint is wanted any more
 * @pair: pair, that observes or has observed until now
 */
void kcolo_request_drop(struct kcolo_pair *pair)
{
	spin_lock_bh(&pair->request.lock);
	pair->request.open = false;
	spin_unlock_bh(&pair->request.lock);
}

/**
 * kcolo_request_open() - is a checkpoint wanted
 * @pair: pair
 * @what: the cause, if so
 *
 * Return: true if one is wanted and none is under way.
 */
bool kcolo_request_open(struct kcolo_pair *pair, struct kcolo_miscompare *what)
{
	struct kcolo_request *req = &pair->request;
	bool open;

	spin_lock_bh(&req->lock);
	open = req->open && !req->answered;
	if (open)
		*what = req->what;
	spin_unlock_bh(&req->lock);
	return open;
}

/**
 * kcolo_request_unanswered() - has a request waited for too long (F4)
 * @pair: pair
 *
 * Return: true after ten timeouts.
 */
bool kcolo_request_unanswered(struct kcolo_pair *pair)
{
	struct kcolo_request *req = &pair->request;
	unsigned long limit = 10 * msecs_to_jiffies(pair->cfg.timeout);
	bool late;

	spin_lock_bh(&req->lock);
	late = req->open && !req->answered &&
	       time_after(jiffies, req->raised + limit);
	spin_unlock_bh(&req->lock);
	return late;
}

/**
 * kcolo_request_last() - what a checkpoint was last asked for, open or not
 * @pair: pair
 * @what: the cause
 * @epoch: in which it happened
 * @ago: milliseconds since then
 *
 * Return: false if there never was a cause.
 */
bool kcolo_request_last(struct kcolo_pair *pair, struct kcolo_miscompare *what,
			u32 *epoch, u64 *ago)
{
	struct kcolo_request *req = &pair->request;
	bool known;

	spin_lock_bh(&req->lock);
	known = req->known;
	if (known) {
		*what = req->what;
		*epoch = req->epoch;
		*ago = jiffies_to_msecs(jiffies - req->when);
	}
	spin_unlock_bh(&req->lock);
	return known;
}

static void tell(struct work_struct *work)
{
	struct kcolo_pair *pair = container_of(to_delayed_work(work),
					       struct kcolo_pair, tell_work);
	struct kcolo_request *req = &pair->request;
	struct kcolo_miscompare what;
	bool heard, first, same;
	u32 serial;

	spin_lock_bh(&req->lock);
	if (!req->open || req->answered || req->heard) {
		spin_unlock_bh(&req->lock);
		return;
	}
	what = req->what;
	serial = req->serial;
	first = !req->ever || time_before(req->told, req->raised);
	req->told = jiffies;
	req->ever = true;
	spin_unlock_bh(&req->lock);

	if (first)
		kcolo_count(pair, REQUESTS);
	heard = kcolo_event_miscompare(pair, &what);

	/* Who heard it may have answered already, and a new one be open. */
	spin_lock_bh(&req->lock);
	same = req->serial == serial;
	if (same)
		req->heard = heard;
	spin_unlock_bh(&req->lock);
	if (same && !heard)
		tell_later(pair, msecs_to_jiffies(READ_ONCE(pair->cfg.scan)));
}

/**
 * kcolo_request_setup() - prepare a new pair
 * @pair: pair
 */
void kcolo_request_setup(struct kcolo_pair *pair)
{
	spin_lock_init(&pair->request.lock);
	INIT_DELAYED_WORK(&pair->tell_work, tell);
}

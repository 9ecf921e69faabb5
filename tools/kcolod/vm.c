// SPDX-License-Identifier: GPL-2.0
/*
 * One virtual machine and its pair: what follows from what the kernel, QEMU and
 * the other daemon say. The epochs change where both guests stand still (C1-C6):
 *
 *   number         secondary's host          primary's host
 *   READY     0    commit                    begin, commit
 *   REPLY     2    begin: its guest stands   begin
 *   RECEIVED  5    commit                    begin: its guest stands; commit
 *   LOADED    6
 *
 * RECEIVED is what a commit waits for: QEMU has the whole state then and loads it
 * whatever happens to the channel. The packets of a guest that runs again before
 * its LOADED has come round find the new epoch.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/kcolo.h>

#include "kcolod.h"
#include "samples.h"
#include "stream.h"

enum phase {
	PHASE_ALONE,		/* no COLO */
	PHASE_SYNC,		/* the first copy is being made */
	PHASE_COLO,
	PHASE_SETTLE,		/* the peer is lost, QEMU may have its state yet */
	PHASE_LOST,		/* somebody has to decide */
	PHASE_SURVIVED,		/* the secondary has taken over */
};

static const char *const phase_names[] = {
	"alone", "sync", "colo", "settle", "lost", "survived",
};

static struct {
	uint32_t role;
	enum phase phase;
	uint64_t phase_since;
	const char *why;	/* the peer was lost */
	bool ordered;		/* a failover */
	bool peer_wants;	/* a checkpoint */
	bool asked;
	uint64_t asked_at;
	bool busy;		/* a checkpoint is under way */
	uint64_t busy_since;
	uint64_t begun_at;
	uint64_t looked_at;
	uint64_t fence_us;
	bool left;		/* QEMU has ended the channel */
	uint64_t left_at;
	bool heartbeat_due;
	struct samples fences;
	struct samples checkpoints;
	uint32_t failed_steps;
	sd_event_source *child;
} vm;

static void survive(void);

static bool is_primary(void)
{
	return vm.role == KCOLO_ROLE_PRIMARY;
}

static void set_phase(enum phase phase)
{
	if (vm.phase != phase)
		say(SD_INFO "%s: %s", conf.name, phase_names[phase]);
	vm.phase = phase;
	vm.phase_since = now_us();
	sd_notifyf(0, "STATUS=%s", phase_names[phase]);
}

static void step_failed(const char *step)
{
	vm.failed_steps++;
	say(SD_ERR "pair %s: %s failed", conf.pair, step);
}

/* ---- the wish for a checkpoint (C5) */

static void asked(const json_t *ret, const char *error, void *data)
{
	(void)ret;
	(void)data;
	if (error)
		vm.asked = false;
}

/*
 * QEMU forgets what it is asked while a checkpoint runs: so it is not asked then,
 * and asked again if no checkpoint begins.
 */
static void ask(void)
{
	uint64_t now = now_us();

	if (vm.busy || !qmp_ready() ||
	    (vm.asked && now - vm.asked_at < ASK_AGAIN_MS * 1000ULL))
		return;
	vm.asked = true;
	vm.asked_at = now;
	qmp_send("migrate-set-parameters",
		 json_pack("{s:I}", "x-checkpoint-delay", (json_int_t)conf.delay_ms),
		 asked, NULL);
}

void vm_look(void)
{
	struct pair pair;

	vm.looked_at = now_us();
	if (vm.phase != PHASE_COLO || vm.left || pair_read(&pair))
		return;
	if (!is_primary() && pair.wanted)
		relay_request();
	else if (is_primary() && (pair.wanted || vm.peer_wants ||
				  pair.state == KCOLO_STATE_BYPASS))
		ask();
}

void vm_wanted(void)
{
	vm.peer_wants = true;
	vm_look();
}

/* ---- fences */

/* What the daemon before may have done: a commit that is repeated is none. */
static bool committed(uint32_t epoch)
{
	struct pair pair;

	return !pair_read(&pair) && pair.epoch == epoch;
}

static void commit(uint32_t epoch)
{
	if (pair_commit(epoch) && (pair_begin() || pair_commit(epoch)))
		step_failed("commit");
}

static void begin(void)
{
	if (pair_begin())
		step_failed("begin");
	vm.begun_at = now_us();
}

static void fence(uint32_t number, uint32_t epoch, bool again)
{
	switch (number) {
	case COLO_REPLY:
		begin();
		break;
	case COLO_READY:
	case COLO_RECEIVED:
		if (again && committed(epoch))
			break;
		if (is_primary())
			begin();
		commit(epoch);
		break;
	}
}

void vm_fence(uint32_t number, uint32_t epoch, bool again)
{
	uint64_t start = now_us();

	if (number == COLO_REPLY) {
		vm.busy = true;
		vm.busy_since = start;
		vm.asked = false;
		vm.peer_wants = false;
		vm.fence_us = 0;
	}
	fence(number, epoch, again);
	vm.fence_us += now_us() - start;
	if (number == COLO_READY)
		set_phase(PHASE_COLO);
	if (number == COLO_LOADED) {
		vm.busy = false;
		samples_add(&vm.fences, vm.fence_us);
		samples_add(&vm.checkpoints, now_us() - vm.busy_since);
	}
}

void vm_forwarded(uint32_t number)
{
	if (number == COLO_LOADED || number == COLO_READY)
		vm_look();
}

/* ---- the first copy */

static void prepared(const json_t *ret, const char *error, void *data)
{
	(void)ret;
	(void)data;
	relay_go(!error);
}

static json_t *capabilities(void)
{
	return json_pack("{s:[{s:s,s:b},{s:s,s:b},{s:s,s:b}]}", "capabilities",
			 "capability", "return-path", "state", 1,
			 "capability", "x-colo", "state", 1,
			 "capability", "events", "state", 1);
}

void vm_prepare(void)
{
	qmp_send("migrate-set-capabilities", capabilities(), prepared, NULL);
}

/* Until the secondary runs, nothing may reach it (C6). */
void vm_synchronizing(void)
{
	set_phase(PHASE_SYNC);
	vm.left = false;
	vm.ordered = false;
	vm.why = NULL;
	if (!is_primary())
		begin();
}

/* ---- loss */

static void close_channel(void)
{
	relay_close();
	vm.left = false;
	vm.busy = false;
	vm.asked = false;
	vm.peer_wants = false;
}

/* C3: the secondary's guest has loaded the primary's state, or it never will. */
static void abort_open(void)
{
	struct pair pair;

	if (!pair_read(&pair) && pair.state == KCOLO_STATE_CHECKPOINT && pair_abort())
		step_failed("abort");
}

static void announced(const json_t *ret, const char *error, void *data)
{
	(void)ret;
	(void)data;
	if (!error)
		say(SD_NOTICE "%s: QEMU has told where the guest is", conf.name);
}

static int taken_over(sd_event_source *source, const siginfo_t *info, void *data)
{
	(void)source;
	(void)data;
	vm.child = sd_event_source_unref(vm.child);
	if (info->si_code != CLD_EXITED || info->si_status)
		say(SD_ERR "takeover: failed, status %d", info->si_status);
	qmp_send("announce-self",
		 json_pack("{s:i,s:i,s:i,s:i}", "initial", 50, "max", 550, "rounds", 5,
			   "step", 100),
		 announced, NULL);
	return 0;
}

static int decided(sd_event_source *source, const siginfo_t *info, void *data)
{
	(void)source;
	(void)data;
	vm.child = sd_event_source_unref(vm.child);
	if (vm.phase != PHASE_LOST)
		return 0;
	if (info->si_code == CLD_EXITED && !info->si_status)
		survive();
	else
		say(SD_WARNING "failover: the script says no, status %d", info->si_status);
	return 0;
}

/* What the command hears are its arguments: the name, the role, and why. */
static void run(const char *command, sd_event_child_handler_t fn)
{
	vm.child = shell_run(command, is_primary() ? "primary" : "secondary",
			     vm.why ? vm.why : "ordered", fn);
}

static void resumed(const json_t *ret, const char *error, void *data)
{
	(void)ret;
	(void)data;
	if (!error)
		say(SD_NOTICE "%s: QEMU goes on alone", conf.name);
}

static void lost_heartbeat(void)
{
	vm.heartbeat_due = !qmp_ready();
	if (qmp_ready())
		qmp_send("x-colo-lost-heartbeat", NULL, resumed, NULL);
}

/* F1, F2: in this order no packet meets a proxy that is still in the way. */
static void survive(void)
{
	uint64_t start = now_us();

	say(SD_NOTICE "%s: this side survives", conf.name);
	if (!is_primary())
		abort_open();
	if (pair_failover(NO_ACTION))
		step_failed("failover");
	lost_heartbeat();
	if (is_primary()) {
		set_phase(PHASE_ALONE);
	} else {
		set_phase(PHASE_SURVIVED);
		if (conf.takeover)
			run(conf.takeover, taken_over);
	}
	say(SD_INFO "%s: failover took %llu us", conf.name,
	    (unsigned long long)(now_us() - start));
}

static void by_policy(void)
{
	if (!qmp_ready()) {
		say(SD_ERR "%s: the peer is lost, and QEMU here does not answer", conf.name);
		return;
	}
	if (vm.ordered || conf.policy == POLICY_AUTO)
		survive();
	else if (conf.policy == POLICY_SCRIPT)
		run(conf.script, decided);
	else
		say(SD_ALERT "%s: the peer is lost: \"kcolod failover\" if this side survives",
		    conf.name);
}

static void lost(void)
{
	close_channel();
	if (!is_primary())
		abort_open();
	set_phase(PHASE_LOST);
	by_policy();
}

/* Nothing came of the first copy. */
static void sync_failed(void)
{
	close_channel();
	if (!is_primary())
		abort_open();
	set_phase(PHASE_ALONE);
}

static void give_up(enum bye word)
{
	relay_unlink(word);
	close_channel();
	if (!is_primary())
		abort_open();
	set_phase(PHASE_ALONE);
}

/* Somebody else has taken over from this guest: it must not go on. */
static void replaced(void)
{
	say(SD_ALERT "%s: the secondary has taken over, the guest here is stopped", conf.name);
	qmp_send("stop", NULL, NULL, NULL);
	close_channel();
	set_phase(PHASE_ALONE);
}

/* Whether QEMU may still load the state, or has left COLO, shows within a moment. */
static void settle(void)
{
	bool open = !is_primary() && vm.busy && relay_last() == COLO_REPLY;

	if (open && !vm.left && now_us() - vm.phase_since < SETTLE_MS * 1000ULL)
		return;
	if (open && !vm.left)
		say(SD_WARNING "%s: QEMU does not notice the end of its channel", conf.name);
	lost();
}

void vm_peer_lost(enum bye word, const char *why)
{
	vm.why = why;
	if (vm.phase == PHASE_SYNC)
		sync_failed();
	else if (vm.phase != PHASE_COLO && vm.phase != PHASE_SETTLE)
		relay_close();
	if (vm.phase != PHASE_COLO)
		return;
	if (word == BYE_TAKEN && is_primary()) {
		replaced();
		return;
	}
	if (word == BYE_ALIVE) {
		give_up(BYE_NONE);
		return;
	}
	/* Who is told that the other guest is gone risks nothing by serving on. */
	if (word == BYE_DEAD && is_primary())
		vm.ordered = true;
	relay_unlink(BYE_NONE);
	set_phase(PHASE_SETTLE);
	settle();
}

void vm_channel_lost(const char *why)
{
	if (vm.phase == PHASE_SYNC) {
		relay_unlink(BYE_DEAD);
		sync_failed();
	} else if (vm.phase != PHASE_COLO && vm.phase != PHASE_SETTLE) {
		relay_close();
	} else if (!vm.left) {
		vm.why = why;
		vm.left = true;
		vm.left_at = now_us();
		vm_tick();
	}
}

/* QEMU has left COLO by itself: is it dead, or does it live on? */
static void leave(void)
{
	bool alive = qmp_ready();

	if (alive && now_us() - vm.left_at < GRACE_MS * 1000ULL)
		return;
	say(SD_ERR "%s: QEMU here has ended the channel and %s", conf.name,
	    alive ? "lives" : "is gone");
	if (alive && is_primary()) {
		relay_unlink(BYE_ALIVE);
		close_channel();
		survive();
		return;
	}
	/* A QEMU that hangs is not known to be dead. */
	give_up(alive || qmp_gone() ? BYE_DEAD : BYE_NONE);
}

/* ---- QEMU's monitor */

static void migration_known(const json_t *ret, const char *error, void *data)
{
	const char *status = json_string_value(json_object_get(ret, "status"));
	bool colo = status && !strcmp(status, "colo");
	struct pair pair;

	(void)data;
	if (error || vm.phase != PHASE_ALONE || pair_read(&pair))
		return;
	if (colo) {
		vm.why = "the channel has ended while no daemon was there";
		lost();
	} else if (is_primary() && pair.state == KCOLO_STATE_RUNNING) {
		/* Without a secondary nothing is to be held. */
		pair_failover(NO_ACTION);
	}
}

void vm_qmp_ready(void)
{
	if (vm.heartbeat_due)
		lost_heartbeat();
	else if (vm.phase == PHASE_LOST && !vm.child)
		by_policy();
	else if (relay_stage() == STAGE_NONE)
		qmp_send("query-migrate", NULL, migration_known, NULL);
	vm_look();
}

void vm_qmp_event(const char *name, const json_t *data)
{
	const char *reason = json_string_value(json_object_get(data, "reason"));

	if (!strcmp(name, "RESUME") && is_primary())
		vm_look();
	if (strcmp(name, "COLO_EXIT"))
		return;
	say(SD_NOTICE "%s: COLO_EXIT, %s", conf.name, reason ? reason : "no reason");
	if (vm.phase == PHASE_SETTLE) {
		vm.left = true;
		settle();
	} else if (vm.phase == PHASE_COLO) {
		vm_channel_lost("COLO_EXIT");
	}
}

/* ---- time */

void vm_tick(void)
{
	uint64_t now = now_us();
	bool filling = vm.phase == PHASE_SYNC || (vm.busy && relay_last() == COLO_REPLY);

	if (vm.phase == PHASE_SETTLE) {
		settle();
		return;
	}
	if (vm.left && (vm.phase == PHASE_COLO || vm.phase == PHASE_SYNC)) {
		leave();
		return;
	}
	if (vm.phase == PHASE_COLO && vm.busy &&
	    now - vm.busy_since > conf.checkpoint_ms * 1000ULL) {
		say(SD_ERR "%s: a checkpoint takes more than %u ms", conf.name,
		    conf.checkpoint_ms);
		vm_peer_lost(BYE_NONE, "checkpoint-timeout");
		return;
	}
	/* C3: the kernel gives up a begin without an end; a begin may be repeated. */
	if (filling && !is_primary() && now - vm.begun_at > 1000000)
		begin();
	if (vm.phase == PHASE_COLO && now - vm.looked_at > ASK_AGAIN_MS * 1000ULL)
		vm_look();
}

/* ---- orders */

struct order {
	qmp_fn fn;
	void *data;
};

static void order_end(struct order *order, const char *error)
{
	order->fn(NULL, error, order->data);
	free(order);
}

static void migrating(const json_t *ret, const char *error, void *data)
{
	(void)ret;
	order_end(data, error);
}

static void ready_to_migrate(const json_t *ret, const char *error, void *data)
{
	char uri[4096];

	(void)ret;
	if (error) {
		order_end(data, error);
		return;
	}
	snprintf(uri, sizeof(uri), "unix:%s", conf.migration);
	qmp_send("migrate", json_pack("{s:s}", "uri", uri), migrating, data);
}

static void able(const json_t *ret, const char *error, void *data)
{
	(void)ret;
	if (error) {
		order_end(data, error);
		return;
	}
	qmp_send("migrate-set-parameters",
		 json_pack("{s:I}", "x-checkpoint-delay", (json_int_t)conf.delay_ms),
		 ready_to_migrate, data);
}

static const char *order_start(struct order *order)
{
	if (!is_primary())
		return "start is for the primary's host";
	if (vm.phase != PHASE_ALONE && vm.phase != PHASE_LOST)
		return "COLO is under way";
	set_phase(PHASE_ALONE);
	qmp_send("migrate-set-capabilities", capabilities(), able, order);
	return NULL;
}

static const char *order_failover(struct order *order)
{
	if (vm.phase == PHASE_LOST) {
		survive();
	} else if (vm.phase == PHASE_COLO && is_primary()) {
		relay_unlink(BYE_ALIVE);
		close_channel();
		survive();
	} else if (vm.phase == PHASE_COLO) {
		vm.ordered = true;
		vm.why = "ordered";
		relay_unlink(BYE_TAKEN);
		set_phase(PHASE_SETTLE);
		settle();
	} else if (vm.phase != PHASE_SURVIVED) {
		return "there is nothing to survive";
	}
	order_end(order, NULL);
	return NULL;
}

static const char *order_checkpoint(struct order *order)
{
	if (vm.phase != PHASE_COLO)
		return "there is no COLO";
	if (is_primary())
		vm_wanted();
	else
		relay_request();
	order_end(order, NULL);
	return NULL;
}

void vm_order(const char *word, qmp_fn fn, void *data)
{
	struct order *order = malloc(sizeof(*order));
	const char *error = "there is no such order";

	if (!order) {
		fn(NULL, "no memory", data);
		return;
	}
	*order = (struct order){ fn, data };
	if (!strcmp(word, "start"))
		error = order_start(order);
	else if (!strcmp(word, "failover"))
		error = order_failover(order);
	else if (!strcmp(word, "checkpoint"))
		error = order_checkpoint(order);
	if (error)
		order_end(order, error);
}

/* ---- status */

json_t *vm_status(void)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:I,s:I,s:I,s:s,s:o,s:o}",
			 "name", conf.name, "pair", conf.pair,
			 "role", is_primary() ? "primary" : "secondary",
			 "phase", phase_names[vm.phase],
			 "qmp", qmp_ready(), "asked", vm.asked, "checkpoint", vm.busy,
			 "epoch", (json_int_t)relay_epoch(),
			 "last", (json_int_t)relay_last(),
			 "failed_steps", (json_int_t)vm.failed_steps,
			 "lost", vm.why ? vm.why : "",
			 "fence_us", samples_json(&vm.fences),
			 "checkpoint_us", samples_json(&vm.checkpoints));
}

void vm_start(uint32_t role)
{
	vm.role = role;
	set_phase(PHASE_ALONE);
}

void vm_restored(void)
{
	bool colo = relay_stage() == STAGE_COLO;

	set_phase(colo ? PHASE_COLO : PHASE_SYNC);
	vm.busy = colo && (relay_last() == COLO_REPLY || relay_last() == COLO_RECEIVED);
	vm.busy_since = now_us();
	vm_look();
}

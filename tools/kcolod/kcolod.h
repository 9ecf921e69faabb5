/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the daemon share. */
#ifndef KCOLOD_H
#define KCOLOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "../kcolo/kcolo.h"

#define RUN_DIR		"/run/kcolo"
#define TICK_MS		100
#define HELLO_MS	5000
/* How long QEMU may take to notice that its channel has ended. */
#define SETTLE_MS	1000
/* How long a QEMU whose channel has ended may take to end its monitor too. */
#define GRACE_MS	300
#define ASK_AGAIN_MS	500

enum policy { POLICY_MANUAL, POLICY_AUTO, POLICY_SCRIPT };

/**
 * struct conf - what the file of a virtual machine says
 * @name: of the virtual machine
 * @pair: of kcolo
 * @qmp: socket of QEMU's monitor, for the daemon alone
 * @migration: socket of the migration channel: on the primary's host the daemon
 *	listens there, on the secondary's QEMU
 * @peer: address of the other daemon
 * @peer_port: its port
 * @listen: address at which the secondary's daemon listens
 * @listen_port: its port
 * @policy: who decides about a failover
 * @script: decides, with POLICY_SCRIPT
 * @takeover: moves the guest to the clients, on the secondary's host
 * @delay_ms: a checkpoint at least so often
 * @silence_ms: a peer that says nothing for so long is lost
 * @answer_ms: QEMU has to answer within it
 * @checkpoint_ms: a checkpoint has to end within it
 */
struct conf {
	const char *name;
	char *pair;
	char *qmp;
	char *migration;
	char *peer;
	char *peer_port;
	char *listen;
	char *listen_port;
	enum policy policy;
	char *script;
	char *takeover;
	uint32_t delay_ms;
	uint32_t silence_ms;
	uint32_t answer_ms;
	uint32_t checkpoint_ms;
};

extern struct conf conf;
extern struct sd_event *loop;

/* Reads the file called @name. Returns RC_OK or RC_USAGE; the reason has been printed. */
int conf_read(const char *name);

/* Writes to the journal, with one of SD_ERR and the like in front of @fmt. */
void __printf(1, 2) say(const char *fmt, ...);
uint64_t now_us(void);

/* A socket that the event loop watches. */
struct io {
	int fd;
	sd_event_source *source;
};

/* Watches @fd, which becomes non-blocking. Returns 0 or a negative errno. */
int io_open(struct io *io, int fd, sd_event_io_handler_t fn, void *data);
void io_want(struct io *io, uint32_t events);
void io_close(struct io *io);

int unix_listen(const char *path);
int unix_connect(const char *path);
int tcp_listen(const char *addr, const char *port);
/* Begins to connect. Returns the socket or a negative errno. */
int tcp_connect(const char *addr, const char *port);
void tcp_tune(int fd);
/* Whether @fd comes from @addr. */
bool tcp_from(int fd, const char *addr);

/**
 * struct pair - what the kernel says about the pair
 * @role: enum kcolo_role
 * @state: enum kcolo_state
 * @epoch: number of the newest commit
 * @wanted: a checkpoint is asked for
 */
struct pair {
	uint32_t role;
	uint32_t state;
	uint32_t epoch;
	bool wanted;
};

#define NO_ACTION	UINT32_MAX

/* Each returns RC_OK or RC_KERNEL; the reason has been printed. */
int pair_read(struct pair *pair);
int pair_begin(void);
int pair_commit(uint32_t epoch);
int pair_abort(void);
/* @action: enum kcolo_action, or NO_ACTION */
int pair_failover(uint32_t action);
/* Calls @fn when something about pairs has changed. */
int pair_watch(void (*fn)(void));

/*
 * Has a shell run @command, which gets the name of the virtual machine, @role and @why as its
 * arguments, and calls @fn when it has ended. Returns what waits for that, or NULL; the reason
 * has been printed.
 */
sd_event_source *shell_run(const char *command, const char *role, const char *why,
			   sd_event_child_handler_t fn);

/* What becomes of a command: @error is NULL, or says why it failed. */
typedef void (*qmp_fn)(const json_t *ret, const char *error, void *data);

/* QEMU's monitor: connects, and again after it was lost. */
void qmp_tick(void);
bool qmp_ready(void);
/* Whether QEMU has closed its monitor, as it does when it ends. */
bool qmp_gone(void);
/* @args is taken over and may be NULL, as @fn may be. */
void qmp_send(const char *command, json_t *args, qmp_fn fn, void *data);

/* enum bye - the last word of a daemon */
enum bye {
	BYE_NONE,	/* none was heard */
	BYE_DEAD,	/* the guest here is of no use any more */
	BYE_ALIVE,	/* the guest here goes on, alone */
	BYE_TAKEN,	/* the guest here has taken over */
};

enum stage { STAGE_NONE, STAGE_HELLO, STAGE_MIGRATION, STAGE_COLO };

/* The relay of the migration channel. */
int relay_open(uint32_t role);
void relay_tick(void);
enum stage relay_stage(void);
/* The newest of QEMU's numbers, and the epoch that it stands for. */
uint32_t relay_last(void);
uint32_t relay_epoch(void);
/* Tells the other daemon that a checkpoint is wanted here. */
void relay_request(void);
/* Ends the link to the other daemon, not yet QEMU's channel: what QEMU still says is heard. */
void relay_unlink(enum bye word);
void relay_close(void);
/* The secondary's QEMU is ready to be connected to, or not. */
void relay_go(bool ready);

/* What the relay and the monitor tell. */
void vm_start(uint32_t role);
/* The channel of a daemon before this one goes on. */
void vm_restored(void);
void vm_tick(void);
void vm_look(void);
void vm_prepare(void);
void vm_synchronizing(void);
void vm_fence(uint32_t number, uint32_t epoch, bool again);
void vm_forwarded(uint32_t number);
void vm_wanted(void);
void vm_peer_lost(enum bye word, const char *why);
void vm_channel_lost(const char *why);
void vm_qmp_ready(void);
void vm_qmp_event(const char *name, const json_t *data);
json_t *vm_status(void);
/* Orders; @fn tells what became of them. */
void vm_order(const char *word, qmp_fn fn, void *data);

int ctl_open(void);
int ctl_client(const char *word, const char *name);

#endif

# SPDX-License-Identifier: GPL-2.0
"""W7: a translated connection is remembered as long as it can live, no longer, and its loss is noticed."""

import time

from harness import check, case, equal, flush_conntrack, netns, sysctl, SCALE

TIMEOUTS = ('established', 'fin_wait', 'close_wait', 'last_ack', 'unacknowledged', 'max_retrans')
SECOND = 1.3 * SCALE


def short_timeouts(f):
    """Conntrack forgets everything that is left alone for a second."""
    with netns(f.host):
        for name in TIMEOUTS:
            sysctl('net/netfilter/nf_conntrack_tcp_timeout_' + name, 1)
    f.spoilt = True


def close_half(c, who):
    if who == 'vm':
        c.svm('FA')
        c.mirror('A')
    else:
        c.mirror('FA')
        c.svm('A')


@case('secondary')
def w7_idle_connection_is_kept(f):
    c = f.open()
    c.talk()
    short_timeouts(f)
    c.talk()
    time.sleep(SECOND)
    c.talk()
    equal(f.pair()['translated'], 1)


@case('secondary')
def w7_unacknowledged_data_is_kept(f):
    """SVM has said something that the client has not got: conntrack gives it five minutes."""
    c = f.open()
    c.talk()
    short_timeouts(f)
    c.svm('PA', 10)
    c.svm('PA', 10, at=c.s_nxt - 10)
    time.sleep(SECOND)
    c.svm('PA', 10, at=c.s_nxt - 10)
    c.mirror('A')


@case('secondary', each={'vm': 'vm', 'client': 'client'})
def w7_half_closed_is_kept(f, who):
    """One side has said its FIN, the other one goes on, after a long time."""
    c = f.open()
    c.talk()
    short_timeouts(f)
    close_half(c, who)
    for n in range(2):
        time.sleep(SECOND)
        equal(c.flow()['flow_state'], 'closing')
        if who == 'vm':
            c.mirror('PA', 100)
            c.svm('A')
        else:
            c.svm('PA', 100)
            c.mirror('A')


@case('secondary', each={'vm': 'vm', 'client': 'client'})
def w7_last_ack_is_kept(f, who):
    """Both have said FIN, one is not acknowledged yet, the guest repeats it ever more slowly."""
    c = f.open()
    c.talk()
    short_timeouts(f)
    close_half(c, who)
    (c.mirror if who == 'vm' else c.svm)('FA')
    time.sleep(SECOND)
    if who == 'vm':
        c.mirror('FA', at=c.c_nxt - 1)
        c.svm('A')
    else:
        c.svm('FA', at=c.s_nxt - 1)
        c.mirror('A')


@case('secondary')
def w7_after_failover_too(f):
    c = f.open()
    c.talk()
    f.fail_over()
    short_timeouts(f)
    close_half(c, 'client')
    time.sleep(SECOND)
    c.svm('PA', 100)
    c.mirror('A')


@case('secondary', each={'rst': 'rst', 'fins': 'fins'})
def w7_what_is_over_is_forgotten(f, how):
    """A reset, or both FINs acknowledged: conntrack's own timeout is right, and nothing is counted as live."""
    with netns(f.host):
        for name in 'close', 'time_wait':
            sysctl('net/netfilter/nf_conntrack_tcp_timeout_' + name, 1)
    f.spoilt = True
    c = f.open()
    c.talk()
    if how == 'rst':
        c.svm('RA')
    else:
        close_half(c, 'client')
        c.svm('FA')
        c.mirror('A')
    equal(f.pair()['translated'], 0)
    time.sleep(SECOND)
    equal(f.flows(), [], 'flows')
    f.cli('pair', 'del', 'p')
    f.add()


# Where the number that conntrack has read as the primary's is, as seen from the guest's.
NEAR = {'ahead': 1000, 'behind': -1000, 'far_ahead': 0x70000000, 'far_behind': -0x70000000}


@case('secondary', each=NEAR)
def w7_reset_after_the_handshake(f, offset):
    """Conntrack reads the first ACK before anybody knows the offset; all the same it knows the right reset."""
    for flags in 'R', 'RA':
        c = f.open(offset=offset)
        c.svm(flags)
        equal(c.flow()['flow_state'], 'closed', flags)


@case('secondary', each=NEAR)
def w7_reset_of_a_guest_that_has_opened(f, offset):
    c = f.conn(offset=offset)
    c.svm('S')
    c.known = c.offset
    c.mirror('SA')
    c.svm('A')
    c.svm('RA')
    equal(c.flow()['flow_state'], 'closed')


@case('secondary', each=NEAR)
def w7_reset_after_a_commit(f, offset):
    """All numbers are others then, and what conntrack remembers of the old ones is void."""
    for talks in False, True:
        c = f.open(offset=offset)
        c.talk()
        f.begin()
        f.commit()
        c.actual = c.known = 0
        if talks:
            c.talk()
        c.svm('RA')
        equal(c.flow()['flow_state'], 'closed', 'after talking' if talks else 'at once')


@case('secondary')
def w7_reset_that_a_commit_undoes(f):
    """The guest alone has reset it; then it becomes a copy of the primary, which has not."""
    c = f.open()
    c.talk()
    c.svm('RA')
    equal(c.flow()['flow_state'], 'closed')
    f.begin()
    f.commit()
    c.actual = c.known = 0
    c.s_nxt = 100
    c.talk()
    equal(c.flow()['flow_state'], 'established')


@case('secondary')
def w7_reset_with_data_under_way(f):
    """Not where the client has acknowledged to: conntrack would take it for forged, and keep the connection."""
    c = f.open()
    c.talk()
    with netns(f.host):
        sysctl('net/netfilter/nf_conntrack_tcp_timeout_close', 1)
    f.spoilt = True
    c.svm('PA', 10)
    c.mirror('PA', 10, ack=c.s_nxt - 10)
    c.svm('RA')
    equal(c.flow()['flow_state'], 'closed')
    time.sleep(SECOND)
    equal(f.flows(), [])


@case('secondary')
def w7_untranslated_connections_are_conntracks_own(f):
    """Offset 0, no timestamps: nothing would be lost, so nothing is kept."""
    c = f.open(offset=0)
    short_timeouts(f)
    c.talk()
    time.sleep(SECOND)
    equal(f.flows(), [], 'flows')


@case('secondary')
def w7_idle_time_is_told(f):
    c = f.open()
    c.talk()
    time.sleep(0.3)
    idle = c.flow()['idle']
    check(250 <= idle <= 300 + 2000 * SCALE, 'idle for %d ms', idle)


# --- loss ---

@case('secondary')
def w7_loss_is_noticed(f):
    """conntrack -F: one event and one count for each connection, and nothing is translated wrongly."""
    c, d = f.open(), f.open()
    c.talk()
    d.talk()
    flush_conntrack(f.host)
    equal(f.pair()['translated'], 0)
    c.known = 0
    c.mirror('A')
    e = f.expect_event('miscompare', reason='lost')
    equal((e['proto'], e['sport'], e['dport']), (6, c.gport, c.cport))
    f.wait_stats(lost=1)
    c.svm('PA', 10)
    c.mirror('A')
    f.wait_stats(lost=1)
    equal(f.pair()['request'], 'lost')
    d.known = 0
    d.svm('A')
    f.wait_stats(lost=2)
    f.begin()
    f.commit()
    c.actual = d.actual = 0
    f.again(e)
    c.talk()
    d.talk()
    check('request' not in f.pair(), 'the request is still open')
    equal(f.state(), 'running')


@case('secondary', timeout=20, scan=10)
def w7_loss_never_leads_to_bypass(f):
    """Nobody answers: this side holds nothing, so there is nothing to let go."""
    c = f.open()
    c.talk()
    flush_conntrack(f.host)
    c.known = 0
    c.svm('A')
    e = f.expect_event('miscompare', reason='lost')
    f.expect_no_event_but(e, 0.3)
    equal(f.state(), 'running')


@case('secondary')
def w7_no_loss_of_what_was_not_translated(f):
    """Offset 0, a connection whose start was not seen, one that ended, and all of them after a commit."""
    zero, c = f.open(offset=0), f.open()
    mid = f.conn(offset=0)
    zero.talk()
    mid.c_nxt = mid.s_nxt = 5000
    mid.mirror('PA', 100)
    f.begin()
    f.commit()
    c.actual = c.known = 0
    flush_conntrack(f.host)
    for x in zero, mid, c:
        x.mirror('A')
        x.svm('A')
    f.wait_stats(lost=0)
    f.expect_no_event()


@case('secondary')
def w7_loss_after_a_failover_is_counted(f):
    c = f.open()
    c.talk()
    f.fail_over()
    flush_conntrack(f.host)
    c.known = 0
    c.svm('A')
    f.wait_stats(lost=1)
    f.expect_no_event()


# --- limits ---

@case('secondary', max_flows=3, scan=20)
def w7_at_the_limit(f):
    """New connections are refused and counted, those that live go on; the end of one makes room."""
    f.allow.add('flows_refused')
    conns = [f.open() for n in range(3)]
    late = f.conn()
    late.mirror('S', deliver=False)
    late.mirror('S', at=-1, deliver=False)
    f.wait_stats(flows_refused=2, flows=3)
    f.expect_nothing('sv')
    for c in conns:
        c.talk()
    conns[0].svm('RA')
    f.wait_stats(flows=2)
    late.c_nxt = -1
    late.open()
    late.talk()
    for c in conns[1:]:
        c.talk()


@case('secondary', scan=20)
def w7_many_connections_leave_nothing(f):
    """Opened and closed in every way."""
    with netns(f.host):
        for name in 'close', 'time_wait', 'last_ack', 'syn_recv', 'syn_sent':
            sysctl('net/netfilter/nf_conntrack_tcp_timeout_' + name, 1)
    f.spoilt = True
    for n in range(25):
        c = f.open()
        (c.svm if n % 2 else c.mirror)('RA')
        c = f.open()
        c.talk()
        close_half(c, 'vm' if n % 2 else 'client')
        (c.mirror if n % 2 else c.svm)('FA')
        (c.svm if n % 2 else c.mirror)('A')
        c = f.conn()
        c.mirror('S')
        if n % 2:
            c.svm('SA')
    time.sleep(SECOND)
    equal(f.flows(), [], 'flows')
    equal(f.pair()['translated'], 0)

# SPDX-License-Identifier: GPL-2.0
"""C3, F1, F2, F4: one side dies, or nobody answers."""

import time

from harness import LIMIT, Genl, case, check, equal


# --- F2: the primary survives ---

@case()
def f2_everything_held_leaves(f):
    c, d = f.open(), f.open()
    c.request()
    p = [c.pvm('PA', 100), d.pvm('PA', 100), c.pvm('PA', 50), d.pvm('FA'), c.pvm('A')]
    c.out(p.pop())
    f.held(4)
    f.failover()
    f.expect_order('lan', *p)
    equal(f.state(), 'bypass')
    f.wait_stats(held=0)


@case()
def f2_bypass(f):
    """Afterwards nothing is held, and nothing that the secondary says matters."""
    c = f.open()
    f.failover()
    c.client('PA', 100)
    c.out(c.pvm('PA', 100))
    c.out(c.pvm('FA'))
    c.svm('PA', b'?' * 100)
    c.svm('RA')
    f.wait_stats(uncompared_bypass=2, secondary_bypass=2, held=0, queued=0)
    d = f.conn()
    d.client('S')
    d.out(d.pvm('SA'))
    d.client('A')
    d.out(d.pvm('PA', 10))
    f.expect_nothing()


@case()
def f2_difference_then_failover(f):
    """The lying secondary is given up: what was held leaves as the primary said it."""
    c = f.open()
    p = [c.pvm('PA', b'true'), c.pvm('PA', b'word')]
    c.svm('PA', b'lies')
    e = f.expect_event('miscompare', reason='payload')
    f.held(2)
    f.failover()
    f.again(e)
    c.out(*p)
    f.expect_no_event()
    check('request' not in f.pair(), 'a request is open in bypass')


@case()
def f2_repeated(f):
    c = f.open()
    f.failover()
    f.failover()
    equal(f.state(), 'bypass')
    c.out(c.pvm('PA', 10))


@case()
def f2_only_a_commit_leaves_bypass(f):
    """With a new secondary: begin, then commit; all connections are compared again."""
    c = f.open()
    f.failover()
    c.out(c.pvm('PA', 100))
    f.commit(rc=2)
    f.abort(rc=2)
    f.set(timeout=20000)
    equal(f.state(), 'bypass')
    f.begin()
    p = c.pvm('PA', 100)
    f.commit()
    equal(f.state(), 'running')
    f.pump(0.01)
    held = f.stats()['held']
    if held:
        c.svm('PA', 100, at=100)
    c.out(p)
    c.s_nxt = c.p_nxt
    c.client('PA', 10)
    p = c.pvm('PA', 100)
    f.held(1)
    c.svm('PA', 100)
    c.out(p)
    d = f.open()
    d.request()
    d.both('PA', 10)


@case()
def f2_abort_in_bypass_stays_in_bypass(f):
    c = f.open()
    f.failover()
    f.begin()
    f.abort()
    equal(f.state(), 'bypass')
    c.out(c.pvm('PA', 10))


@case()
def f2_bypass_in_the_handshake(f):
    c = f.conn()
    c.client('S')
    p = c.pvm('SA')
    f.held(1)
    f.failover()
    c.out(p)
    c.client('A')
    c.out(c.pvm('PA', 10))


# --- C3: failover in a checkpoint ---

@case()
def c3_primary_need_not_say_which(f):
    """Whether the secondary had loaded matters to the secondary only: here everything leaves."""
    c = f.open()
    p = [c.pvm('PA', 10)]
    f.begin()
    p.append(c.pvm('PA', 10))
    f.held(2)
    f.failover()
    c.out(*p)
    equal(f.state(), 'bypass')


@case(each={'abort': 'abort', 'commit': 'commit'})
def c3_primary_survives_a_checkpoint(f, action):
    c = f.open()
    p = [c.pvm('PA', 10)]
    c.svm('PA', b'?' * 10)
    f.again(f.expect_event('miscompare'))
    f.begin()
    p.append(c.pvm('PA', 10))
    f.held(2)
    f.failover(action)
    c.out(*p)
    equal(f.state(), 'bypass')
    f.pump(0)
    f.events = [e for e in f.events if e['event'] != 'miscompare_ntf']


# --- F4 ---

@case(timeout=40, scan=10)
def f4_unanswered_request(f):
    """Nobody makes a checkpoint: after 10 x timeout the pair gives up waiting, and says so."""
    c, d = f.open(), f.open()
    p = [c.pvm('PA', b'x'), d.pvm('PA', 10)]
    t = time.monotonic()
    c.svm('PA', b'y')
    p.append(c.pvm('PA', 20))
    e = f.expect_event('miscompare')
    f.held(3)
    f.expect_event('pair', cause='unanswered', state='bypass')
    took = time.monotonic() - t
    check(0.35 < took < 0.4 + LIMIT / 2, 'gave up after %.2f s', took)
    f.expect_order('lan', *p)
    f.again(e)
    f.events = [e for e in f.events if e['event'] != 'miscompare_ntf']
    equal(f.state(), 'bypass')
    c.out(c.pvm('PA', 10))


@case(timeout=40, scan=10)
def f4_nobody_listens(f):
    """As above, with nobody in the event group of this namespace: never a stall without end."""
    f.hang_up()
    f.call_up(listen=False)
    elsewhere = Genl()
    elsewhere.join()
    c = f.open()
    p = c.pvm('PA', b'x')
    c.svm('PA', b'y')
    c.out(p)
    equal(f.state(), 'bypass')
    elsewhere.close()
    f.call_up()


@case(timeout=200, scan=10)
def f4_answer_in_time(f):
    """A begin stops the clock of the request, which would be over after ten timeouts; its own has not run out then."""
    c = f.open()
    p = c.pvm('PA', b'x')
    c.svm('PA', b'y')
    e = f.expect_event('miscompare')
    f.expect_no_event_but(e, 1.0)
    f.begin()
    f.again(e)
    f.expect_no_event(1.4)
    f.commit()
    c.out(p)
    equal(f.state(), 'running')


# --- F1: the secondary survives ---

@case(role='secondary', each={'0': 0, '1': 1, 'big': 0x89abcdef, 'm1': -1})
def f1_connection_lives_on(f, offset):
    """The same connection, now with the client itself, in both directions, through to its end."""
    c = f.open(offset=offset)
    c.talk()
    f.fail_over()
    equal(f.state(), 'failover')
    c.talk(1000)
    c.mirror('PA', 1000)
    c.svm('PA', 1400, at=0, ttl=63)
    c.svm('FA')
    c.mirror('A')
    c.mirror('FA')
    c.svm('A')
    c.mirror('FA', at=c.c_nxt - 1)
    c.svm('A')


@case(role='secondary')
def f1_ttl_is_the_guests(f):
    """No tag after failover: a client sees the guest's own TTL."""
    c = f.open()
    f.fail_over()
    for ttl in 1, 64, 128, 255:
        c.svm('PA', 10, ttl=ttl)


@case(role='secondary')
def f1_new_connections_are_untouched(f):
    old = f.open()
    learnt = f.stats()['learnt']
    f.fail_over()
    c = f.conn(offset=0)
    c.mirror('S')
    c.svm('SA')
    c.mirror('A')
    c.svm('PA', 10)
    c.mirror('PA', 10)
    d = f.conn(offset=0)
    d.svm('S')
    d.mirror('SA')
    d.svm('PA', 10)
    equal(f.stats()['learnt'], learnt, 'learnt')
    equal(f.pair()['translated'], 1, 'translated connections')
    old.talk()


@case(role='secondary')
def f1_half_open_is_translated(f):
    """The client's ACK of the primary's SYN-ACK comes after the failover."""
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    f.fail_over()
    c.known = c.offset
    c.mirror('A')
    c.talk()


@case(role='secondary')
def f1_idle_tuple_reused_is_new(f):
    """A new SYN on the tuple of a closed translated connection: nobody translates the new one."""
    c = f.open()
    c.talk()
    f.fail_over()
    c.svm('FA')
    c.mirror('FA')
    c.svm('A')
    d = f.conn(sport=c.cport, offset=0)
    d.mirror('S')
    d.svm('SA')
    d.mirror('A')
    d.svm('PA', 100)
    d.mirror('A')


@case(role='secondary')
def c3_secondary_must_say_which(f):
    c = f.open()
    f.begin()
    f.failover(rc=2)
    equal(f.state(), 'checkpoint')
    f.abort()
    c.talk()


@case(role='secondary')
def c3_secondary_had_not_loaded(f):
    """Failover with abort: SVM is the old one, its connections keep their offsets."""
    c = f.open()
    c.talk()
    f.begin()
    f.fail_over('abort')
    equal(f.state(), 'failover')
    c.talk()


@case(role='secondary')
def c3_secondary_had_loaded(f):
    """Failover with commit: SVM is a copy of the primary, with its numbers."""
    c = f.open()
    c.talk()
    f.begin()
    f.fail_over('commit')
    equal(f.state(), 'failover')
    c.actual = c.known = 0
    c.talk()


@case(role='secondary')
def f1_failover_ends_the_wait(f):
    """C6: what waited during the checkpoint is delivered, in order, in the numbers then in force."""
    c = f.open()
    c.talk()
    f.begin()
    waiting = [c.mirror('PA', 100, deliver=False) for n in range(3)]
    f.expect_nothing('sv')
    f.failover('abort')
    f.expect_order('sv', *waiting)
    f.move('br0')
    f.front = 'sl'
    c.talk()

# SPDX-License-Identifier: GPL-2.0
"""R14: mode observe compares copies and never holds: what a client sees does not depend on the secondary."""

import time

from dgram import Talk, talk
from fragment import Fragments
from harness import SCALE, case, check, equal, stream

OBSERVE = {'mode': 'observe'}


def opened(f):
    """A connection whose client never waited for the secondary."""
    c = f.conn()
    c.client('S')
    c.out(c.pvm('SA'))
    c.svm('SA')
    c.client('A')
    return c


@case(**OBSERVE)
def r14_tcp_leaves_at_once(f):
    c = opened(f)
    for n in range(5):
        c.out(c.pvm('PA', 100))
    f.wait_stats(held=5)                # the copies
    for n in range(5):
        c.svm('PA', 100)
    f.wait_stats(held=0, queued=0, compared_bytes=500, miscompares=0)
    c.client('A')
    f.expect_no_event()


@case(**OBSERVE)
def r14_datagrams_leave_at_once(f):
    t, frag = Talk(f), Fragments(f)
    for n in range(3):
        t.out(t.pvm(n))
    for n in 2, 0, 1:
        t.svm(n)
    data = stream(0, 5000)
    frag.say('pv', data)
    frag.out(data)
    frag.say('ps', data)
    t.svm(9)
    t.out(t.pvm(9))
    f.wait_stats(held=0, queued=0, compared_datagrams=5, miscompares=0)


@case(scan=30, **OBSERVE)
def r14_tcp_difference_is_told(f):
    """Once for each connection; the client goes on, the pair runs."""
    for n in range(2):
        c = opened(f)
        c.out(c.pvm('PA', b'the primary'))
        c.svm('PA', b'the second.')
        e = f.expect_event('miscompare', reason='payload', dport=c.cport)
        equal((e['primary'], e['secondary'], e['stream_offset']), (b'primary', b'second.', 4))
        c.out(c.pvm('PA', b'goes on'))
        c.client('A')
    f.wait_stats(held=0, queued=0, miscompares=2, requests=0)
    equal((f.state(), f.pair().get('request')), ('running', None))
    f.expect_no_event()
    opened(f)


@case(scan=20, each={'same': b'of the', 'differs': b'of THE'}, **OBSERVE)
def r14_secondary_speaks_when_the_client_has_gone(f, middle):
    """The client has acknowledged all the primary says, and closed: what a late secondary says is looked at all the same."""
    c = opened(f)
    c.out(c.pvm('PA', b'the end of the story'))
    c.out(c.pvm('FA'))
    c.client('FA')
    c.out(c.pvm('A'))
    f.pump(0.2 * SCALE)                 # ten scans
    c.svm('PA', b'the end ' + middle + b' story')
    c.bare_ack(21)                      # R15
    if middle == b'of the':
        c.svm('FA')
        c.bare_ack(21)
        c.svm('A')
        f.wait_stats(held=0, queued=0, compared_bytes=20, dropped_reset=0)
        f.expect_no_event()
        return
    e = f.expect_event('miscompare', reason='payload', dport=c.cport)
    equal(e['stream_offset'], 11)
    f.wait_stats(held=0, queued=0)


@case(timeout=160, **OBSERVE)
def r14_every_datagram_that_differs_is_told(f):
    t = Talk(f)
    for n in range(5):
        t.out(t.pvm(b'p%d' % n))
        t.svm(b's%d' % n)
        e = f.expect_event('miscompare', reason='payload')
        equal((e['primary'], e['secondary']), (b'p%d' % n, b's%d' % n))
        t.out(t.pvm(n))
        t.svm(n)
    f.wait_stats(held=0, queued=0, miscompares=5, compared_datagrams=5)


@case(timeout=60, scan=20, **OBSERVE)
def r14_secondary_is_dead(f):
    """It is told, and that is all: no bypass, nothing piles up."""
    t, c = Talk(f), opened(f)
    t.out(t.pvm(1))
    t.out(t.pvm(2))
    c.out(c.pvm('PA', 100))
    f.expect_event('miscompare', reason='timeout', proto=17)
    f.expect_event('miscompare', reason='timeout', proto=6)
    f.wait_stats(held=0)
    end = time.monotonic() + 1.0 * SCALE          # longer than ten timeouts
    while time.monotonic() < end:
        f.pump(0.05)
    equal(f.state(), 'running')
    c.out(c.pvm('PA', 100))
    f.pump(0)
    f.events = [e for e in f.events if e.get('reason') != 'timeout']


@case(timeout=100, scan=20, max_packets=16, **OBSERVE)
def r14_secondary_floods(f):
    f.allow |= {'secondary_refused', 'overflow'}
    c = opened(f)
    for n in range(100):
        c.svm('PA', 10)
        Talk(f).svm(n)
    for n in range(40):
        c.out(c.pvm('PA', b'x' * 10, at=10 * n))
    f.expect_event('miscompare', reason='overflow')
    f.wait_stats(held=0, queued=0)
    equal(f.state(), 'running')
    f.events.clear()


@case(**OBSERVE)
def r14_malformed_leaves(f):
    """Counted; but what leaves does not depend on us."""
    f.allow |= {'malformed'}
    c = opened(f)
    p = c.pvm('PA', b'x' * 20, doff=4)
    f.expect('lan', lambda got: got.raw == p.raw)
    f.wait_stats(malformed=1)


@case(**OBSERVE)
def r14_checkpoint(f):
    """begin holds copies only; comparing goes on in the new epoch."""
    t = Talk(f)
    f.begin()
    t.out(t.pvm(1))
    f.commit()
    t.svm(1)
    t.out(t.pvm(2))
    t.svm(2)
    f.wait_stats(held=0, queued=0, compared_datagrams=2)


@case()
def r14_set_mode(f):
    """To observe: what is held leaves, in order. Back: from now on it is held again."""
    t = Talk(f)
    c = f.open()
    frames = [t.pvm(0), c.pvm('PA', 10), t.pvm(1), c.pvm('PA', 10)]
    f.held(4)
    f.set(mode='observe')
    f.expect_order('lan', *frames)
    equal(f.pair()['mode'], 'observe')
    t.out(t.pvm(2))
    c.out(c.pvm('PA', 10))
    f.wait_stats(held=1)
    f.set(mode='hold')
    f.wait_stats(held=0)
    p = t.pvm(3)
    f.held(1)
    t.svm(3)
    t.out(p)
    f.open().both('PA', 10)


@case(timeout=50, scan=20)
def r14_set_mode_ends_a_request(f):
    t = Talk(f)
    p = t.pvm(0)
    e = f.expect_event('miscompare', reason='timeout')
    f.set(mode='observe')
    t.out(p)
    f.again(e)
    equal(f.pair().get('request'), None)
    f.pump(0.8 * SCALE)
    equal(f.state(), 'running')


@case(**OBSERVE)
def r14_pair_goes_with_copies(f):
    """Deleted while copies wait, and differences are being told."""
    t = Talk(f)
    for n in range(50):
        t.out(t.pvm(n))
    f.cli('pair', 'del', 'p')
    t.out(t.pvm(1))


@case('secondary', **OBSERVE)
def r14_secondary_learns_once(f):
    """W4: nobody holds the primary's bytes back, so a later ack of the client may cover some."""
    c = f.open()
    f.wait_stats(learnt=1)
    c.mirror('A', ack=500)
    c.mirror('A', ack=0)
    c.talk()
    f.wait_stats(learnt=1)
    check(c.flow()['offset'] == c.offset, 'another offset')

# SPDX-License-Identifier: GPL-2.0
"""C0 to C5: begin, commit, abort and the epoch, on the primary."""

import threading
import time

from dgram import Talk
from harness import LIMIT, SCALE, case, check, equal, tag


class Meanwhile:
    """Both guests go on saying the same while something else is being done."""

    def __init__(self, f, talks):
        self.f, self.done = f, False
        self.frames = [(t.frame(b'meanwhile').raw, t.frame(b'meanwhile', ttl=tag(f.epoch)).raw) for t in talks]
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done:
            for p, s in self.frames:
                self.f.ports['pv'].send(p)
                self.f.ports['ps'].send(s)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.done = True
        self.thread.join()


@case()
def c1_begin_freezes(f):
    """After begin nothing is compared and nothing leaves, though it is equal."""
    c = f.open()
    c.request()
    p = [c.pvm('PA', 100)]
    f.begin()
    equal(f.state(), 'checkpoint')
    c.svm('PA', 100)
    p.append(c.pvm('PA', 50))
    c.svm('PA', 50)
    p.append(c.pvm('A'))
    f.held(3)
    f.abort()
    c.out(*p)
    equal(f.state(), 'running')


@case()
def c2_out_of_all_reason_after_the_commit(f):
    """A repeat that is near the compared bytes may be far from what a commit goes on with: dropped, and accounted for once."""
    f.expect_queued = None
    c = f.open()
    c.both('PA', 100)
    early = c.pvm('PA', 100, at=0x30000000)
    f.held(1)
    f.begin()
    c.pvm('PA', 100, at=-0x20000000)
    f.held(2)
    f.commit()
    c.out(early)
    f.expect_event('miscompare', reason='malformed')
    f.wait_stats(held=0, dropped_reset=1, malformed=0)


@case()
def c1_client_packets_pass(f):
    """Towards the guests everything passes, and is mirrored."""
    c = f.open()
    f.begin()
    c.client('PA', 1000)
    c.client('A', 1000)
    d = f.conn()
    d.client('S')
    f.abort()


@case()
def c2_commit_releases_up_to_the_barrier(f):
    c = f.open()
    c.request()
    p = [c.pvm('PA', 100), c.pvm('PA', 200)]
    f.begin()
    q = [c.pvm('PA', 300), c.pvm('A')]
    f.held(4)
    f.commit()
    equal((f.state(), f.epoch), ('running', 1))
    # A pure ACK after the barrier acks nothing new (sack := pack): it may leave as well, once comparing goes on.
    c.out(p[0], p[1], q[1])
    f.held(1)
    # SVM is a copy of PVM now: it goes on after what was sent before the barrier.
    c.svm('PA', 300, at=300)
    c.out(q[0])
    c.both('PA', 100)


@case()
def c2_the_last_begin_counts(f):
    c = f.open()
    f.begin()
    p = [c.pvm('PA', 100), c.pvm('PA', 100)]
    f.held(2)
    f.begin()
    q = c.pvm('PA', 100)
    f.held(3)
    f.commit()
    equal(f.epoch, 1)
    c.out(*p)
    f.held(1)
    c.svm('PA', 100, at=200)
    c.out(q)


@case()
def c2_numbers_after_a_commit(f):
    """cmp is what was sent before the barrier, sack is pack: what is below leaves at once, what is new does not."""
    c = f.open()
    c.client('PA', 500)
    p = [c.pvm('PA', 100), c.pvm('A', ack=500)]
    f.held(2)
    f.checkpoint()
    c.out(*p)
    c.out(c.pvm('PA', 100, at=0))
    c.out(c.pvm('A', ack=500))
    c.client('PA', 100)
    q = c.pvm('A')
    f.held(1)
    c.svm('A', at=100)
    c.out(q)
    c.client('A')
    c.s_nxt = 100
    c.both('PA', 1000)
    f.wait_stats(queued=0)


@case()
def c2_old_words_of_the_secondary_are_dropped(f):
    c = f.open()
    c.svm('PA', b'old' * 10)
    f.wait_stats(queued=1)
    f.begin()
    c.svm('PA', b'old' * 20)
    f.commit()
    f.wait_stats(queued=0)
    p = c.pvm('PA', 100)
    f.held(1)
    c.svm('PA', 100, at=0)
    c.out(p)


@case()
def c4_late_words_of_the_secondary_are_dropped(f):
    """Packets of the old epoch that arrive after the commit match nothing."""
    c = f.open()
    c.client('PA', 100)
    f.checkpoint()
    p = c.pvm('PA', 100)
    c.svm('PA', 100, epoch=0)
    c.svm('A', epoch=0)
    c.svm('PA', b'!' * 100, at=0, epoch=0)
    c.svm('RA', at=0, epoch=0)
    f.wait_stats(secondary_stale=4)
    f.held(1)
    f.expect_no_event()
    c.svm('PA', 100, at=0)
    c.out(p)


@case()
def c4_words_of_the_new_epoch_come_early(f):
    """The secondary host has committed, we have not yet: its packets are kept, and used then."""
    c = f.open()
    c.both('PA', 50)
    f.begin()
    q = c.pvm('PA', 100)
    c.client('PA', 10)
    c.svm('PA', 100, epoch=1)
    f.held(1)
    f.commit()
    c.out(q)
    f.wait_stats(queued=0, secondary_stale=0)
    c.both('PA', 50)


@case()
def c4_words_of_the_new_epoch_after_an_abort(f):
    """They were kept for a commit that did not come: no use for them now."""
    c = f.open()
    f.begin()
    p = c.pvm('PA', 100)
    c.svm('PA', b'!' * 100, epoch=1)
    f.held(1)
    f.abort()
    f.held(1)
    f.expect_no_event()
    c.svm('PA', 100, at=0)
    c.out(p)
    f.wait_stats(queued=0)


@case()
def c4_foreign_epoch_is_never_compared(f):
    c = f.open()
    p = c.pvm('PA', 100)
    for n in 1, 2, 100, 253:
        c.svm('PA', b'!' * 100, at=0, epoch=n)
    f.wait_stats(secondary_stale=4)
    c.svm('A', 100, at=0, ttl=64)
    c.svm('A', 100, at=0, ttl=255)
    f.held(1)
    f.expect_no_event()
    c.svm('PA', 100, at=0)
    c.out(p)


@case()
def c4_many_foreign_tags_make_an_event(f):
    c = f.open()
    for n in range(300):
        c.svm('A', epoch=7)
        f.pump(0)
        if any(e.get('cause') == 'epoch' for e in f.events):
            break
    e = f.expect_event('pair', cause='epoch')
    f.again(e)
    c.both('PA', 10)
    f.events = [e for e in f.events if e.get('cause') != 'epoch']


@case(each={'253': 253, '254': 254, '255': 255, 'max': 2**32 - 1}, ip=(4,))
def c4_commit_names_the_epoch(f, epoch):
    """The tag is 1 + epoch mod 255, whatever the number."""
    c = f.open()
    f.begin()
    f.commit(epoch)
    equal(f.epoch, epoch)
    c.s_nxt = c.p_nxt
    for n in range(3):
        p = c.pvm('PA', 10)
        c.svm('PA', 10)
        c.out(p)
        if n < 2:
            f.checkpoint()
    f.wait_stats(secondary_stale=0)


@case()
def c4_commit_is_idempotent(f):
    """A repeated commit for the epoch that the pair is in changes nothing."""
    c = f.open()
    p = c.pvm('PA', 10)
    f.begin()
    f.commit(5)
    c.out(p)
    q = c.pvm('PA', 10)
    f.commit(5)
    equal(f.epoch, 5)
    f.wait_stats(checkpoints=1)
    f.held(1)
    c.s_nxt = 10
    c.svm('PA', 10)
    c.out(q)


@case()
def c4_commit_without_begin_is_refused(f):
    c = f.open()
    p = c.pvm('PA', 10)
    f.commit(rc=2)
    f.commit(7, rc=2)
    equal((f.state(), f.epoch), ('running', 0))
    f.held(1)
    c.svm('PA', 10)
    c.out(p)


@case()
def c3_abort_without_begin_is_refused(f):
    f.abort(rc=2)
    equal(f.state(), 'running')


@case()
def c3_abort_is_as_if_nothing_had_been(f):
    c, d = f.open(), f.open()
    c.request()
    p = [c.pvm('PA', 100)]
    d.svm('PA', 100)
    f.begin()
    c.svm('PA', 150)
    p.append(c.pvm('PA', 100))
    q = d.pvm('PA', 60)
    c.client('A')
    f.held(3)
    f.abort()
    c_done = p[0]
    f.expect_order('lan', c_done, q)
    f.held(1)
    c.svm('PA', 50)
    c.out(p[1])
    d.out(d.pvm('PA', 40))
    equal(f.pair()['epoch'], 0)
    f.wait_stats(aborts=1, checkpoints=0)


@case()
def c3_abort_finds_the_difference(f):
    """A difference that arrived during the checkpoint is found after the abort."""
    c = f.open()
    f.begin()
    p = c.pvm('PA', b'abc')
    c.svm('PA', b'abd')
    f.held(1)
    f.expect_no_event()
    f.abort()
    e = f.expect_event('miscompare', reason='payload', **c.key())
    equal(e['stream_offset'], 2)
    f.again(e)
    f.flush(p)


# A checkpoint ends by itself after ten timeouts; slow kernels take seconds for so many packets.
@case(timeout=int(2000 * SCALE), scan=10, max_packets=1 << 20, max_bytes=1 << 30)
def c3_abort_under_traffic(f):
    """Equal datagrams that wait in the checkpoint for longer than their window are equal after the abort, whatever comes to their
    flows while it goes from flow to flow (R8). There are many, so that it takes its time."""
    talks = [Talk(f) for _ in range(50)]
    for _ in range(3):
        f.begin()
        for t in talks:
            for n in range(100):
                t.pvm(n)
                t.svm(n)
        f.wait_stats(held=5000, queued=5000)
        with Meanwhile(f, talks):
            f.abort()
        f.wait_stats(held=0, queued=0, miscompares=0)
        f.pump(0)
        f.ports['lan'].queue.clear()


@case()
def c5_request_survives_an_abort(f):
    """A request is a level: a checkpoint that came to nothing leaves it to be asked again."""
    c = f.open()
    p = c.pvm('PA', b'abc')
    c.svm('PA', b'abd')
    e = f.expect_event('miscompare', reason='payload')
    f.begin()
    f.again(e)
    f.abort()
    f.again(f.expect_event('miscompare', reason='payload'))
    f.begin()
    f.pump(0)
    f.events = [x for x in f.events if x['event'] != 'miscompare_ntf']
    f.commit()
    c.out(p)
    f.expect_no_event()


@case(scan=10)
def c3_begin_expires(f):
    """Neither commit nor abort within 10 x timeout: as an abort, with an event."""
    c = f.open()
    t = time.monotonic()
    f.begin()
    c.svm('PA', 100)
    p = c.pvm('PA', 100)
    f.held(1)
    f.set(timeout=30)
    f.expect_event('checkpoint', cause='expired', within=0.3 + LIMIT)
    took = time.monotonic() - t
    check(0.29 < took < 0.3 + LIMIT / 2, 'expired after %.2f s', took)
    c.out(p)
    equal(f.state(), 'running')
    f.wait_stats(aborts=1)
    f.commit(rc=2)


@case()
def c1_begin_closes_the_request(f):
    c = f.open()
    p = c.pvm('PA', b'x')
    c.svm('PA', b'y')
    e = f.expect_event('miscompare')
    equal(f.pair().get('request'), 'payload')
    f.begin()
    check('request' not in f.pair(), 'still open: %r', f.pair())
    f.again(e)
    f.commit()
    c.out(p)


@case()
def c2_events(f):
    """Every step is told."""
    f.events.clear()
    f.begin()
    f.expect_event('checkpoint', action='begin', cause='user')
    f.begin()
    f.expect_event('checkpoint', action='begin')
    f.commit()
    equal(f.expect_event('checkpoint', action='commit')['epoch'], 1)
    f.begin()
    f.expect_event('checkpoint', action='begin')
    f.abort()
    f.expect_event('checkpoint', action='abort', cause='user')


@case()
def c0_commit_adopts(f):
    """A connection older than the pair is compared after the first commit."""
    c = f.conn()
    c.c_nxt = c.p_nxt = c.s_nxt = c.c_ack = 7000
    c.client('PA', 100)
    c.out(c.pvm('PA', 100))
    f.checkpoint()
    c.s_nxt = c.p_nxt
    p = c.pvm('PA', 100)
    f.held(1)
    c.svm('PA', 100)
    c.out(p)
    f.wait_stats(flows_adopted=1, uncompared_midstream=1)
    c.client('PA', 100)
    p = c.pvm('A')
    f.held(1)
    c.svm('A')
    c.out(p)
    p = c.pvm('PA', b'abc')
    c.svm('PA', b'abd')
    e = f.expect_event('miscompare', reason='payload', **c.key())
    equal(e['seq'], c.stream_seq(7202))
    check(e.get('stream_offset') is None, 'stream offset %r though its start was not seen', e.get('stream_offset'))
    f.again(e)
    f.flush(p)


@case()
def c0_commit_adopts_secondary_first(f):
    """After a commit the secondary may be the first to say something."""
    c = f.conn()
    c.c_nxt = c.p_nxt = c.s_nxt = c.c_ack = 7000
    c.client('PA', 100)
    c.out(c.pvm('A'))
    f.checkpoint()
    c.svm('PA', 100)
    f.expect_nothing('lan')
    p = c.pvm('PA', 100)
    # It may have been too early for us: then it is repeated.
    c.svm('PA', 100, at=c.s_nxt - 100)
    c.out(p)
    c.both('PA', 50)


@case(each={'after': False, 'before': True})
def c0_secondary_in_the_new_epoch(f, early):
    """It says what the primary has not said yet, before or after the commit has come to this host: it is kept for it."""
    f.checkpoint()
    c = f.conn()
    c.c_nxt = c.p_nxt = c.s_nxt = c.c_ack = 0
    f.begin()
    if early:
        c.svm('PA', 100, epoch=2)
    f.commit()
    if not early:
        c.svm('PA', 100, epoch=2)
    c.out(c.pvm('PA', 100))


@case()
def c0_adopts_what_was_never_seen(f):
    """A connection that was silent until the commit."""
    c = f.conn()
    f.checkpoint()
    c.c_nxt = c.p_nxt = c.s_nxt = c.c_ack = 7000
    c.client('PA', 100)
    p = c.pvm('A')
    f.wait_stats(held=1)
    c.svm('A')
    c.out(p)
    p = c.pvm('PA', 100)
    f.held(1)
    c.svm('PA', 60)
    c.svm('PA', 40)
    c.out(p)


@case()
def c2_half_open_at_the_commit(f):
    """The SYN-ACK is held at the barrier: it leaves, and SVM now has the primary's ISN."""
    c = f.conn()
    c.client('S')
    p = c.pvm('SA')
    f.checkpoint()
    c.out(p)
    c.svm('SA', base=c.pisn)
    c.client('A')
    c.both('PA', 100)


@case()
def c2_syn_ack_after_the_barrier(f):
    c = f.conn()
    c.client('S')
    f.begin()
    p = c.pvm('SA')
    f.held(1)
    f.commit()
    f.held(1)
    c.svm('SA', base=c.pisn)
    c.out(p)
    c.client('A')
    c.both('PA', 100)


@case()
def c2_fin_before_the_barrier(f):
    c = f.open()
    c.request()
    p = [c.pvm('PA', 10), c.pvm('FA')]
    f.held(2)
    f.checkpoint()
    c.out(*p)
    c.s_nxt = c.p_nxt
    c.client('FA')
    p = c.pvm('A')
    f.wait_stats(held=1)
    c.svm('A')
    c.out(p)


@case()
def c2_fin_after_the_barrier(f):
    c = f.open()
    f.begin()
    p = c.pvm('FPA', 10)
    f.commit()
    f.held(1)
    c.svm('FPA', 10)
    c.out(p)


@case()
def c2_rst_before_the_barrier(f):
    c = f.open()
    c.request()
    p = c.pvm('RA')
    f.held(1)
    f.checkpoint()
    c.out(p)
    d = f.open(sport=c.cport)
    d.both('PA', 10)


@case(each={'without_ack': 'R', 'with_ack': 'RA'})
def c2_rst_after_the_barrier(f, flags):
    """The copied state does not know of it: it waits for the secondary's like any other."""
    c = f.open()
    c.request()
    f.begin()
    p = c.pvm(flags)
    f.held(1)
    f.commit()
    f.held(1)
    c.svm(flags)
    c.out(p)


@case()
def c2_ack_after_the_barrier_is_gated(f):
    """sack := what the primary had acked at the barrier, not what it has acked since."""
    c = f.open()
    c.client('PA', 500)
    p = c.pvm('A', ack=500)
    f.begin()
    c.client('PA', 100)
    q = c.pvm('A', ack=600)
    f.held(2)
    f.commit()
    c.out(p)
    f.held(1)
    c.svm('A', ack=500, at=0)
    f.expect_lowered(c, 500)
    f.held(1)
    c.svm('A', ack=600, at=0)
    c.out(q)


@case()
def c2_retransmission_in_a_checkpoint(f):
    """What was sent before the barrier is sent again after it, straddling it or not."""
    c = f.open()
    c.both('PA', 100)
    p = [c.pvm('PA', 100)]
    f.begin()
    q = [c.pvm('PA', 100, at=0), c.pvm('PA', 100, at=100), c.pvm('PA', 150, at=100)]
    f.held(4)
    f.commit()
    c.out(p[0], q[0], q[1])
    f.held(1)
    c.svm('PA', 50, at=200)
    c.out(q[2])


@case()
def c2_tuple_reused_in_a_checkpoint(f):
    """Both ends were done before the barrier; the tuple is opened anew between begin and commit."""
    c = f.open()
    c.both('FPA', 100)
    c.client('FA')
    p = c.pvm('A')
    c.svm('A')
    c.out(p)
    f.begin()
    d = f.conn(sport=c.cport)
    d.client('S')
    p = d.pvm('SA')
    f.held(1)
    f.commit()
    f.held(1)
    d.svm('SA', base=d.pisn + 12345)
    d.out(p)
    d.client('A')
    d.both('PA', 100)


@case()
def c2_new_connections_after_a_commit(f):
    f.checkpoint()
    c = f.open()
    c.request()
    c.both('PA', 100)
    p = c.pvm('PA', b'abc')
    c.svm('PA', b'xbc')
    f.again(f.expect_event('miscompare', reason='payload', epoch=1, stream_offset=100))
    f.flush(p)


@case()
def c2_twenty_checkpoints(f):
    """Under load: at each, something is before the barrier, between, and after."""
    c = f.open(pisn=-2000)
    c.request()
    for n in range(20):
        p = [c.pvm('PA', 100)]
        c.svm('PA', 30)
        f.begin()
        p.append(c.pvm('PA', 100))
        if n & 1:
            f.begin()
            q = c.pvm('PA', 100)
            f.commit()
            c.out(*p)
            c.s_nxt = c.p_nxt - 100
            p = [q]
        else:
            f.commit()
            c.out(p.pop(0))
            c.s_nxt = c.p_nxt - 100
        c.svm('PA', 100)
        c.out(*p)
        c.client('A')
    equal(f.epoch, 20)
    f.wait_stats(queued=0, checkpoints=20, miscompares=0)


@case()
def c1_many_held_in_a_checkpoint(f):
    """Two connections, each with packets on both sides of the barrier."""
    c, d = f.open(), f.open()
    before = [x.pvm('A', 10) for n in range(40) for x in (c, d)]
    f.begin()
    after = [x.pvm('A', 10) for n in range(40) for x in (c, d)]
    f.wait_stats(held=160)
    f.commit()
    f.expect_order('lan', *before)
    f.held(80)
    for x in c, d:
        x.svm('A', 400, at=400)
    c.f.wait_stats(held=0)
    got = [f.expect('lan', lambda p: True) for n in range(80)]
    for x in c, d:
        equal([p.raw for p in got if p.dport == x.cport], [p.raw for p in after if p.raw in
              {q.raw for q in got if q.dport == x.cport}], 'order')

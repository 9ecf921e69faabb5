# SPDX-License-Identifier: GPL-2.0
"""R5, R7, R8, R9: real differences at random places of random protocols: each is found, with the right reason.

KCOLO_TEST_INJECTIONS says how many (60)."""

import os
import time

import dgram
import harness
from fragment import Fragments
from harness import case, check, equal, stream
from packet import ETH_QINQ, ETH_VLAN, options

INJECTIONS = int(os.environ.get('KCOLO_TEST_INJECTIONS', '60'))
TAGS = (), (), ((ETH_VLAN, 5),), ((ETH_QINQ, 100), (ETH_VLAN, 7))
TIMEOUT = int(50 * harness.SCALE)   # ms
LATE = 0.6 * TIMEOUT / 1000         # s; a test that was late itself cannot say which reason is right


class Injector:
    """One difference after the other, each on a flow of its own, each followed by a checkpoint."""

    def __init__(self, f):
        self.f, self.r = f, f.rand
        self.count = {}

    def event(self, *reasons):
        """The difference is told, for one of these reasons."""
        took = time.monotonic() - self.start
        e = self.f.expect_event('miscompare')
        late = took > LATE
        check(late or e['reason'] in reasons, '%s told as %r, not %r', self.what, e['reason'], reasons)
        return e, late

    def both_ways(self, *says):
        """What the guests say, in either order; returns whether the primary was first."""
        p, s = says
        first = self.r.random() < 0.5
        for say in (p, s) if first else (s, p):
            say()
        return first

    # TCP

    def connection(self):
        c = self.f.open()
        c.request(self.r.randrange(1, 100))
        n = self.r.randrange(0, 3000)
        for _ in range(self.r.randrange(3)):
            c.both('PA', n)
        self.before = c.p_nxt
        return c

    def tcp_byte(self):
        c, n = self.connection(), self.r.randrange(1, 1400)
        at = self.r.randrange(n)
        data = stream(c.p_nxt, n)
        other = data[:at] + bytes([data[at] ^ 1 << self.r.randrange(8)]) + data[at + 1:]
        self.both_ways(lambda: c.pvm('PA', data), lambda: c.svm('PA', other))
        e, late = self.event('payload')
        check(late or e['stream_offset'] == self.before + at, 'byte %d differs, told at %r', self.before + at, e)

    def tcp_shorter(self):
        """The secondary stops in the middle of what the primary says."""
        c, n = self.connection(), self.r.randrange(2, 1400)
        data = stream(c.p_nxt, n)
        cut = self.r.randrange(1, n)
        first = self.both_ways(lambda: c.pvm('PA', data), lambda: c.svm('PA', data[:cut]))
        e, late = self.event('length' if first else 'timeout')
        check(late or e['stream_offset'] == self.before + cut, 'it ends at %d, told at %r', self.before + cut, e)

    def tcp_missing(self):
        """A segment of the secondary's never comes."""
        c = self.connection()
        sizes = [self.r.randrange(1, 700) for _ in range(3)]
        missing = self.r.randrange(3)
        at = c.p_nxt
        for k, n in enumerate(sizes):
            c.pvm('PA', n)
            if k != missing:
                c.svm('PA', n, at=at)
            at += n
        self.event('timeout', 'length')

    def tcp_silent(self):
        c = self.connection()
        c.pvm('PA', self.r.randrange(1, 1400))
        self.event('timeout')

    def tcp_extra(self):
        """The secondary says what the primary does not."""
        c = self.connection()
        n = self.r.randrange(1, 700)
        if self.r.random() < 0.5:
            c.svm('PA', n)
            self.event('timeout')
            return
        c.svm('PA', n + self.r.randrange(1, 700))
        c.pvm('PA', n)
        self.event('length')

    def tcp_no_ack(self):
        """The secondary does not acknowledge what the primary does."""
        c = self.connection()
        c.client('PA', self.r.randrange(1, 700))
        c.pvm('A')
        self.event('timeout')

    def tcp_fin(self):
        c = self.connection()
        n = self.r.randrange(1, 700)
        self.both_ways(lambda: c.pvm('PA', n + 1), lambda: c.svm('FPA', n))
        self.event('fin')

    def tcp_rst(self):
        """One resets, the other one goes on."""
        c = self.connection()
        c.svm('RA')
        c.pvm('PA', self.r.randrange(1, 700))
        self.event('rst')

    def tcp_options(self):
        c = self.f.conn()
        mss, scale, sack, ts = (2, b'\5\xb4'), (3, b'\7'), (4, b''), (8, bytes(8))
        mine, theirs = self.r.choice((((mss,), ((2, b'\4\0'),)), ((scale,), ((3, b'\5'),)), ((scale,), ()), ((sack,), ()),
                                      ((), (sack,)), ((ts,), ()), ((mss, sack, scale), (mss, sack, ts, scale))))
        c.client('S', opts=options(*mine))
        self.both_ways(lambda: c.pvm('SA', opts=options(*mine)), lambda: c.svm('SA', opts=options(*theirs)))
        self.event('syn-options')

    # All else

    def flow(self):
        t = dgram.talk(self.f, self.r.choice(dgram.PROTOS))
        for n in range(self.r.randrange(4)):
            t.both(b'the same %d' % n)
        return t, self.r.randbytes(self.r.randrange(40, 1400))

    def datagram_byte(self):
        t, data = self.flow()
        at = self.r.randrange(36, len(data))        # an ICMP error says a different thing in what it quotes
        other = data[:at] + bytes([data[at] ^ 1 << self.r.randrange(8)]) + data[at + 1:]
        self.both_ways(lambda: t.pvm(data), lambda: t.svm(other))
        self.event('payload')

    def datagram_length(self):
        t, data = self.flow()
        longer = data + self.r.randbytes(self.r.randrange(1, 50))
        mine, theirs = self.r.sample((data, longer), 2)
        self.both_ways(lambda: t.pvm(mine), lambda: t.svm(theirs))
        self.event('length')

    def datagram_missing(self):
        t, data = self.flow()
        for n in range(3):
            t.pvm(data + b'%d' % n)
        for n in self.r.sample(range(3), 2):
            t.svm(data + b'%d' % n)
        self.event('timeout')

    def datagram_late(self):
        """The secondary says it too late: more than a window of others came before."""
        t, data = self.flow()
        t.pvm(data)
        for n in range(dgram.WINDOW + 2):
            t.pvm(b'%d' % n)
            t.svm(b'%d' % n)
        t.svm(data)
        self.event('payload')

    # Datagrams in fragments; the two sides need not cut alike

    def fragments(self):
        t = Fragments(self.f, self.r.choice((dgram.UDP, dgram.ICMP6 if self.f.v6 else dgram.ICMP)))
        return t, self.r.randbytes(self.r.randrange(2000, 9000))

    def fragments_byte(self):
        t, data = self.fragments()
        at = self.r.randrange(len(data))
        other = data[:at] + bytes([data[at] ^ 1 << self.r.randrange(8)]) + data[at + 1:]
        self.both_ways(lambda: t.say('pv', data), lambda: t.say('ps', other, size=self.r.choice((1448, 1000))))
        self.event('payload')

    def fragments_length(self):
        t, data = self.fragments()
        mine, theirs = self.r.sample((data, data[:-self.r.randrange(1, 500)]), 2)
        self.both_ways(lambda: t.say('pv', mine), lambda: t.say('ps', theirs))
        self.event('length')

    def fragments_missing(self):
        """One fragment of the secondary's is lost, and the datagram with it."""
        t, data = self.fragments()
        t.say('pv', data)
        n = -(-len(t.body(data)) // 1448)
        t.say('ps', data, order=self.r.sample(range(n), n - 1))
        self.event('timeout')

    def forget(self):
        """What was released has left, but it may be some time before all of it has come."""
        came = -1
        while came != (came := sum(len(port.queue) for port in self.f.ports.values())):
            self.f.pump(harness.QUIET)
        for port in self.f.ports.values():
            port.queue.clear()
        self.f.events.clear()

    def run(self, n):
        kinds = [name for name in dir(self) if name.startswith(('tcp_', 'datagram_', 'fragments_'))]
        for k in range(n):
            # The last one is expensive.
            self.what = 'datagram_late' if k % 40 == 39 else self.r.choice([x for x in kinds if x != 'datagram_late'])
            self.f.tag(*(() if self.what.startswith('fragments_') else self.r.choice(TAGS)))
            self.start = time.monotonic()
            getattr(self, self.what)()
            self.count[self.what] = self.count.get(self.what, 0) + 1
            self.f.begin()
            self.f.commit()
            self.f.wait_stats(held=0)
            self.forget()


@case(timeout=TIMEOUT, scan=10)
def r7_injected_differences_are_found(f):
    """Nothing else is told: each difference is one event, and none comes from what is equal."""
    f.expect_queued = None
    i = Injector(f)
    i.run((INJECTIONS + 1) // 2)
    s = f.stats()
    equal(s['miscompares'] + s['timeouts'] >= sum(i.count.values()), True, 'all told')
    f.tag()

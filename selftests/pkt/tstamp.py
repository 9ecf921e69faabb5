# SPDX-License-Identifier: GPL-2.0
"""W5: the timestamps of a translated connection, and that none goes back when the secondary takes over."""

import time

from harness import SecondaryConn, Sent, case, check, equal, stream
from lifetime import SECOND, short_timeouts
from packet import M32, options, sack, timestamps

GUARD = 200         # KCOLO_TS_GUARD
CLOCKS = {'0': 0, '1': 1, 'm1': -1, '50': 50, 'm50': -50, '1000': 1000, '2p24': 1 << 24, '2p31m1': (1 << 31) - 1,
          '2p31': 1 << 31, 'any': 0x9e3779b9}


def signed(x):
    x &= M32
    return x - (1 << 32) if x >> 31 else x


class Stamped(SecondaryConn):
    """A connection with timestamps.  p0, s0: what the guests' clocks show at time 0; off: what kcolo makes of it."""

    def __init__(self, f, p0=0x10000000, s0=0x10000000, c0=77, layout=None, **kw):
        super().__init__(f, **kw)
        self.p0, self.s0, self.c0 = p0, s0, c0
        self.layout = layout or (lambda ts: options(1, 1, ts))
        self.off = None
        self.newest = None

    def pair_of(self, sent, want):
        """One value for the frame that is sent, another one for what comes out."""
        values = iter((self.layout(timestamps(*sent)), self.layout(timestamps(*want))))
        return lambda base: next(values)

    def say(self, t, flags='A', data=b'', **kw):
        """SVM speaks at time t."""
        val = (self.s0 + t) & M32
        self.newest = val
        self.c_val = self.c0 + t
        return self.svm(flags, data, opts=self.pair_of((val, self.c_val), (val - (self.off or 0), self.c_val)), **kw)

    def hear(self, t, echo, flags='A', data=b'', got=None, **kw):
        """The client speaks at time t and echoes what the primary said at time echo."""
        ecr = (self.p0 + echo) & M32
        if got is None:
            got = ecr + (self.off or 0)
            if self.off is not None and self.newest is not None and signed(got - self.newest) > 0:
                got = self.newest
        return self.mirror(flags, data, opts=self.pair_of((self.c0 + t, ecr), (self.c0 + t, got)), **kw)

    def shake(self, p_at=0, s_at=0):
        """The guests say SYN-ACK, each at a time of its own."""
        opts = options((2, b'\x05\xb4'), (4, b''), timestamps(self.c0, 0), 1, (3, b'\7'))
        self.mirror('S', opts=opts)
        self.say(s_at, 'SA')
        self.known = self.offset
        self.off = (self.s0 + s_at - self.p0 - p_at) & M32
        self.hear(s_at + 1, p_at)

    def takes_over(self, excess=0):
        self.off = (self.off - excess - GUARD) & M32

    def tsoffset(self):
        return self.flow().get('tsoffset')


def conn(f, **kw):
    return Stamped(f, **kw)


@case('secondary', each=CLOCKS)
def w5_any_offset(f, clock):
    """TSval out -= tsoff, TSecr in += tsoff, from the very packet that teaches it; the client's TSval stays."""
    c = conn(f, s0=0x10000000 + clock)
    c.shake()
    equal(c.tsoffset(), signed(clock), 'tsoffset')
    c.hear(10, 5, 'PA', 100)
    c.say(12)
    c.say(13, 'PA', 100)
    c.hear(20, 13)
    c.say(30, 'FA')
    c.hear(31, 30)
    c.hear(32, 30, 'FA')
    c.say(33)


@case('secondary', each={'p%d_s%d' % (p, s): (p, s) for p in (0, -1, -20) for s in (0, -1, -15)}, ip=(4,))
def w5_clocks_wrap(f, p0, s0):
    c = conn(f, p0=p0, s0=s0)
    c.shake()
    for t in range(1, 60, 7):
        c.say(t, 'PA', 10)
        c.hear(t + 2, t, 'PA', 10)


@case('secondary')
def w5_handshakes_at_different_times(f):
    """The echo of the primary's SYN-ACK meets the secondary's own one, whenever that was."""
    c = conn(f, s0=0x70000000)
    c.shake(p_at=0, s_at=40)
    equal(c.tsoffset(), 0x70000000 - 0x10000000 + 40)
    d = conn(f, s0=0x70000000)
    d.shake(p_at=30, s_at=10)
    equal(d.tsoffset(), 0x70000000 - 0x10000000 - 20)


@case('secondary')
def w5_syn_ack_repeated(f):
    """The newest one counts."""
    c = conn(f, s0=500)
    c.mirror('S', opts=options(1, 1, timestamps(c.c0, 0)))
    c.say(0, 'SA')
    c.say(1000, 'SA', at=-1)
    c.known = c.offset
    c.off = (c.s0 - c.p0) & M32
    c.hear(1001, 1000)
    equal(c.tsoffset(), signed(c.off))


@case('secondary')
def w5_echo_never_beyond_what_svm_said(f):
    """The primary is ahead: SVM would take an echo of the future for a round trip of weeks."""
    c = conn(f, s0=0x60000000)
    c.shake()
    for ahead in 1, 100, 10000, 1 << 30:
        c.hear(3, ahead, got=c.newest)
    c.say(50)
    c.hear(60, 51, got=c.newest)
    c.hear(60, 50)
    c.hear(60, 49)
    c.hear(60, -10)


@case('secondary')
def w5_off_where_not_negotiated(f):
    """SVM's SYN-ACK came without: what looks like timestamps later is not touched."""
    c = conn(f)
    c.mirror('S', opts=options(1, 1, timestamps(5, 0)))
    c.svm('SA')
    c.known = c.offset
    for n in range(3):
        c.mirror('PA', 10, opts=options(1, 1, timestamps(7, 8)))
        c.svm('PA', 10, opts=options(1, 1, timestamps(9, 10)))
    equal(c.tsoffset(), None, 'tsoffset')
    f.fail_over()
    c.svm('PA', 10, opts=options(1, 1, timestamps(9, 10)))


@case('secondary')
def w5_active_open(f):
    """SVM's SYN names its clock, the server's SYN-ACK echoes the primary's; SVM would refuse any other echo."""
    c = conn(f, s0=0x55555555, dport=4321)
    c.say(0, 'S')
    c.known = c.offset
    c.off = (c.s0 - c.p0) & M32
    c.c_nxt = -1
    c.hear(5, 0, 'SA', at=-1)
    c.say(6)
    equal(c.tsoffset(), signed(c.off))
    c.say(7, 'PA', 100)
    c.hear(9, 7, 'PA', 50)
    c.say(10)


LAYOUTS = {
    'aligned': lambda ts: options(1, 1, ts),
    'at_once': lambda ts: options(ts),
    'odd': lambda ts: options(1, ts),
    'odd_three': lambda ts: options(1, 1, 1, ts),
    'after_unknown': lambda ts: options((253, b'abc'), ts),
    'before_eol': lambda ts: options(ts, 0),
    'with_sack_permitted': lambda ts: options((4, b''), ts),
}


@case('secondary', each=LAYOUTS)
def w5_layout(f, layout):
    """Wherever the option stands, the checksum is right."""
    c = conn(f, s0=0x12345678, layout=layout)
    c.shake()
    for n in 0, 1, 99:
        c.say(n + 2, 'PA', n)
        c.hear(n + 3, n, 'PA', n)


@case('secondary', each={
    'short': options(1, 1, (8, b'\1\2\3\4\5\6\7')), 'long': options(1, (8, b'\1\2\3\4\5\6\7\0\1')),
    'cut': bytes([1, 1, 8, 10, 0, 0, 0, 7]), 'after_eol': options(1, 0) + options(timestamps(7, 8)),
    'length_0': bytes([8, 0]) + bytes(10), 'behind_nonsense': bytes([77, 1]) + options(timestamps(7, 8))})
def w5_malformed(f, opts):
    c = conn(f, s0=0x12345678)
    c.shake()
    c.mirror('PA', 10, opts=opts)
    c.svm('PA', 10, opts=opts)
    c.say(5)
    c.hear(6, 5)


@case('secondary')
def w5_with_sack(f):
    """Timestamps and SACK edges in one header."""
    c = conn(f, s0=0x12345678)
    c.shake()
    c.say(5, 'PA', 1000)
    edges = lambda base: sack((base + 1 + 500, base + 1 + 800), (base + 1 + 900, base + 1 + 1000))
    echo = iter((c.p0 + 5, c.p0 + 5 + c.off))
    c.mirror('A', ack=100, opts=lambda base: options(1, 1, timestamps(88, next(echo)), 1, 1, edges(base)))


@case('secondary')
def w5_gso(f):
    """One option for the whole super-packet."""
    c = conn(f, s0=0x12345678)
    c.shake()
    c.say(5, 'PA', 30000, mss=1448)
    c.hear(6, 5, 'PA', 30000, mss=1448)
    c.say(7, 'PA', 100, partial=True)
    c.hear(8, 7, 'A', partial=True)


@case('secondary')
def w5_rst(f):
    """TSval of a reset is SVM's clock as well; TSecr says nothing without ACK."""
    for flags in 'RA', 'R':
        c = conn(f, s0=0x12345678)
        c.shake()
        c.say(5, flags)
        c = conn(f, s0=0x12345678)
        c.shake()
        c.hear(5, 3, flags, got=None if flags == 'RA' else c.p0 + 3)


@case('secondary')
def w5_offset_is_provisional(f):
    """Learnt together with the numbers, and again with them."""
    c = conn(f, s0=0x12345678)
    c.mirror('S', opts=options(1, 1, timestamps(c.c0, 0)))
    c.say(0, 'SA')
    c.mirror('A', ack=777, known=c.offset - 777, opts=c.pair_of((1, 999), (1, c.s0)))
    equal(c.tsoffset(), signed(c.s0 - 999))
    c.known = c.offset
    c.off = (c.s0 - c.p0) & M32
    c.hear(1, 0)
    c.say(2, 'PA', 10)
    c.hear(4, 2)


@case('secondary')
def w5_commit_zeroes(f):
    """C2: SVM is a copy of the primary, clocks included."""
    c = conn(f, s0=0x22222222)
    c.shake()
    c.say(5, 'PA', 10)
    f.begin()
    f.commit()
    c.actual = c.known = c.off = 0
    c.newest = None
    c.s0 = c.p0
    c.hear(100, 50, 'PA', 10)
    c.say(101)
    equal(c.tsoffset(), 0)
    c.hear(102, 101)
    equal(f.pair()['translated'], 0)


@case('secondary')
def w5_abort_keeps(f):
    c = conn(f, s0=0x22222222)
    c.shake()
    f.begin()
    f.abort()
    c.say(5, 'PA', 10)
    c.hear(6, 5)


@case('secondary')
def w5_only_the_clock_differs(f):
    """Offset 0 and another clock: a translated connection all the same (S5)."""
    c = conn(f, offset=0, s0=0x22222222)
    c.shake()
    equal(f.pair()['translated'], 1)
    f.cli('pair', 'del', 'p', rc=2)
    c.say(5, 'PA', 10)
    c.hear(6, 5)


@case('secondary')
def w5_reused_tuple_starts_afresh(f):
    c = conn(f, s0=0x22222222)
    c.shake()
    c.say(5, 'FA')
    c.hear(6, 5, 'FA')
    c.say(7)
    d = conn(f, sport=c.cport, cisn=c.cisn + 100000, s0=0x33333333)
    d.shake()
    equal(d.tsoffset(), signed(d.s0 - d.p0))
    d.say(5, 'PA', 10)
    d.hear(6, 5)


# --- PAWS at failover: time t is the same for both clocks, T = P - S is what they really differ by ---

class Client:
    """Checks PAWS strictly: what comes must not be older than what came."""

    def __init__(self, recent):
        self.recent = recent & M32

    def sees(self, val):
        check(signed(val - self.recent) >= 0, 'TSval goes back by %d', signed(self.recent - val))
        self.recent = val & M32


@case('secondary', each=CLOCKS)
def w5_failover_never_goes_back(f, clock):
    """SVM was half a second late in the handshake; the echoes show it, the guard covers the last round trip."""
    c = conn(f, s0=0x10000000 + clock)
    c.shake(p_at=0, s_at=500)
    c.hear(1010, 1000, 'PA', 10)
    c.say(1012)
    client = Client(c.p0 + 1012)        # the primary's last words
    f.fail_over()
    c.takes_over(excess=488)
    for t in 1013, 1020, 9000:
        c.say(t, 'PA', 10)
        client.sees(c.s0 + t - c.off)
        c.hear(t + 3, 0, got=c.p0 + c.off)
    equal(c.tsoffset(), signed(c.off))


@case('secondary', each=CLOCKS)
def w5_failover_as_a_strict_client_sees_it(f, clock):
    """Nothing is known of the numbers but what a client sees: no TSval is older than the one before."""
    c = conn(f, s0=0x10000000 + clock)
    c.shake(p_at=0, s_at=500)
    c.hear(1010, 1000, 'PA', 10)
    c.say(1012)
    client = Client(c.p0 + 1190)        # the primary's last words; no echo of them has come
    f.fail_over()
    for t in 1192, 1193, 1500, 9000:
        c.say(t, 'PA', 10, deliver=False)
        p = f.expect(f.front, sport=c.gport)
        client.sees(int.from_bytes(p.opts[4:8], 'big'))


@case('secondary')
def w5_failover_while_svm_lags(f):
    """The client's newest echo came after SVM's last word: it counts when SVM speaks."""
    c = conn(f, s0=0x10000000)
    c.shake(p_at=0, s_at=700)
    c.say(710, 'PA', 10)
    c.hear(1500, 1490)
    client = Client(c.p0 + 1495)
    f.fail_over()
    c.off = (c.off - (1490 + 700 - 1510) - GUARD) & M32
    c.say(1510, 'PA', 10)
    client.sees(c.s0 + 1510 - c.off)


@case('secondary')
def w5_failover_guard_is_added_once(f):
    c = conn(f, s0=0x22222222)
    c.shake()
    f.fail_over()
    f.fail_over()
    c.takes_over()
    for t in range(10, 20):
        c.say(t, 'PA', 10)
        c.hear(t + 1, t + c.p0 - c.p0)


@case('secondary')
def w5_failover_after_a_commit(f):
    """The copy runs some time after the original: its clock lags, and is moved forward (T is 0 until then)."""
    c = conn(f, s0=0x10000000)
    c.shake()
    f.begin()
    f.commit()
    c.actual = c.known = c.off = 0
    c.s0 = c.p0 - 300
    c.newest = None
    c.hear(1010, 1000, 'PA', 10)
    c.say(1010)
    c.hear(1020, 1015)
    c.say(1021, 'PA', 10)
    client = Client(c.p0 + 1020)
    f.fail_over()
    c.takes_over(excess=294)
    c.say(1022, 'PA', 10)
    client.sees(c.s0 + 1022 - c.off)
    equal(f.pair()['translated'], 1)


@case('secondary')
def w5_half_closed_after_a_commit(f):
    """The offset is 0, but the guest's clock lags: that is not forgotten before half of the connection is over (W7)."""
    c = conn(f)
    c.shake()
    f.begin()
    f.commit()
    c.actual = c.known = c.off = 0
    c.s0 = c.p0 - 1300                  # the time that the copy has taken
    c.newest = None
    c.hear(1010, 1000, 'PA', 10)
    c.say(1010)
    c.hear(1020, 1015)
    c.say(1021, 'PA', 10)
    short_timeouts(f)
    c.hear(1030, 1021, 'FA', got=c.newest)
    c.say(1031)
    time.sleep(SECOND)
    for t in range(70000, 70050, 10):
        c.say(t, 'PA', 10, deliver=False)
        f.expect(f.front, sport=c.gport)
        c.hear(t + 5, t + 4, deliver=False)
        f.expect('sv', dport=c.gport)
    client = Client(c.p0 + 70055)
    f.fail_over()
    c.say(70060, 'PA', 10, deliver=False)
    client.sees(int.from_bytes(f.expect(f.front, sport=c.gport).opts[4:8], 'big'))


@case('secondary')
def w5_failover_half_open(f):
    """The client's ACK comes after the failover: it names the clocks then, no guard is needed."""
    c = conn(f, s0=0x33333333)
    c.mirror('S', opts=options(1, 1, timestamps(c.c0, 0)))
    c.say(10, 'SA')
    f.fail_over()
    c.say(1010, 'SA', at=-1)
    c.known = c.offset
    c.off = (c.s0 + 1010 - c.p0) & M32
    c.hear(1020, 0)
    c.say(1021, 'PA', 10)


@case('secondary', each={'in_window': True, 'out_of_window': False})
def w5_forged_echo_is_bounded(f, inside):
    """An echo of the far future moves the clock by half a minute at most; one out of the window, not at all."""
    c = conn(f, s0=0x33333333)
    c.shake()
    c.hear(5, 1 << 29, at=0 if inside else 1 << 20, got=c.newest)
    c.c_nxt = 0
    c.say(6, 'PA', 10)
    f.fail_over()
    c.takes_over(excess=0x7fff - 6 if inside else 0)
    c.say(7, 'PA', 10)
    c.hear(8, 7)


# --- the primary: what leaves later than newer packets must not look older ---

def stamped(val, ecr=7):
    return options(1, 1, timestamps(val, ecr))


def held_packet(c, n, val, later, **kw):
    """PVM says n bytes at time val.  Returns what the client must see if it leaves at time later."""
    at = c.p_nxt
    sent = c.pvm('PA', n, opts=stamped(val), **kw)
    frame, vnet = c.frame(False, c.pisn, c.cisn, 'PA', at, c.c_nxt, stream(at, n), opts=stamped(later), ipid=c.ipid, **kw)
    return Sent(frame, vnet, sent.end)


@case(each={'any': 0, 'wrap': -300})
def w5_what_a_repetition_lets_out_says_when(f, t):
    """SVM's timeout repeats lost bytes; the echo of a time before it would say that the timeout was a mistake."""
    c = f.open()
    p = held_packet(c, 200, t + 100, later=t + 350)
    c.svm('A', 100, at=100, opts=stamped(t + 102))
    c.sack(0, (100, 200))
    c.svm('A', 100, at=0, opts=stamped(t + 350))
    c.out(p)
    # And the primary's clock does not go back, whether its packet is held or not.
    p = held_packet(c, 10, t + 120, later=t + 350)
    c.svm('A', 10, at=200)
    c.out(p)
    c.out(held_packet(c, 0, t + 130, later=t + 350))
    # A clock that is no replica's is not followed.
    p = held_packet(c, 10, t + 400, later=t + 400)
    c.svm('A', 10, at=210, opts=stamped(t + 400 + (1 << 18)))
    c.out(p)


@case(each={'plain': {}, 'partial': {'partial': True}, 'gso': {'mss': 1000}})
def w5_a_held_packet_is_not_older_than_what_left(f, kw):
    """A retransmission has overtaken it (R12)."""
    c = f.open(opts=stamped(1))
    first = c.pvm('PA', 100, opts=stamped(5))
    c.svm('PA', 100)
    c.out(first)
    held = held_packet(c, 3000 if 'mss' in kw else 100, 10, 20, **kw)
    f.expect_nothing('lan')
    c.out(c.pvm('PA', 100, at=0, opts=stamped(20)))
    c.svm('PA', c.p_nxt - 100)
    c.out(held)
    last = c.pvm('PA', 100, opts=stamped(25))
    c.svm('PA', 100)
    c.out(last)


@case()
def w5_order_of_time_is_not_touched(f):
    """Held packets that leave in their order keep their timestamps, those that a commit lets out as well."""
    c = f.open(opts=stamped(-5))
    p = [c.pvm('PA', 10, opts=stamped(val)) for val in (-2, -1, 0, 1, 1, 1 << 20)]
    f.held(6)
    c.svm('PA', 20)
    c.out(*p[:2])
    f.checkpoint()
    c.out(*p[2:])


@case()
def w5_a_made_ack_is_not_newer_than_what_follows(f):
    """R1: the ACK made in the primary's name has its newest clock; the held packets leave later."""
    c = f.open(opts=stamped(1))
    c.client('PA', 200)
    held = held_packet(c, 50, 10, 30)
    second = c.pvm('A', opts=stamped(30))
    c.svm('A', ack=100, opts=stamped(500, 7))
    p = f.expect_lowered(c, 100)
    equal(p.opts, stamped(30, 7), 'options')
    c.svm('PA', 50, ack=200)
    c.out(held, second)


@case()
def w5_a_new_connection_has_its_own_clock(f):
    """The same tuple again, with an older clock."""
    c = f.open(opts=stamped(1000))
    c.both('RA')
    d = f.conn(sport=c.cport, cisn=c.cisn + 70000)
    d.open(stamped(10))
    held = d.pvm('PA', 10, opts=stamped(11))
    d.svm('PA', 10)
    d.out(held)


@case(each={'newer': (90, 90), 'older': (40, 50)})
def w5_an_ack_echoes_what_it_waited_for(f, theirs, seen):
    """The secondary needed a retransmission: the first one's echo would tell the client that it was a mistake."""
    c = f.open(opts=stamped(1))
    c.client('PA', 200)
    sent = c.pvm('A', opts=stamped(10, 50))
    f.held(1)
    c.svm('A', opts=stamped(500, theirs))
    want = Sent(*c.frame(False, c.pisn, c.cisn, 'A', 0, 200, b'', opts=stamped(10, seen), ipid=c.ipid), sent.end)
    c.out(want)


@case()
def w5_the_echo_of_what_did_not_wait_for_an_ack_stays(f):
    c = f.open(opts=stamped(1))
    held = c.pvm('PA', 100, opts=stamped(10, 50))
    f.held(1)
    c.svm('PA', 100, opts=stamped(500, 90))
    c.out(held)

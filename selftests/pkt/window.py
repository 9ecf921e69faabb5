# SPDX-License-Identifier: GPL-2.0
"""R3: the window that the client sees is never above either replica's, and its right edge never moves left."""

import struct

import packet
from harness import Port, Sent, case, check, equal, until

U = 7               # the scale of most cases here
SCALED = packet.options((3, bytes([U])), 1)


def opened(f, n=5000, opts=b''):
    """A connection whose SYN-ACK allowed nothing; the client sends n bytes all the same, which the guests have yet to
    acknowledge."""
    c = f.conn()
    c.client('S', opts=opts)
    p = c.pvm('SA', win=0, opts=opts)
    c.svm('SA', win=0, opts=opts)
    c.out(p)
    c.client('PA', n)
    return c


def with_window(f, p, win):
    """The frame, but with another window."""
    at = 14 + (40 if f.v6 else 20)
    old, check_at = struct.unpack_from('!H', p.raw, at + 14)[0], at + 16
    total = struct.unpack_from('!H', p.raw, check_at)[0]
    partial = p.vnet != packet.VNET_NONE
    if not partial:
        total = packet.csum(struct.pack('!HHH', total ^ 0xffff, old ^ 0xffff, win)) ^ 0xffff
    return Sent(p.raw[:at + 14] + struct.pack('!HH', win, total) + p.raw[at + 18:], p.vnet, p.end)


def leaves(f, c, p, win):
    c.out(with_window(f, p, win))


def update(f, c, win, opts=b'', ack=None, seq=None):
    """A window update made in the primary's name."""
    q = f.expect('lan', lambda p: p.dport == c.cport)
    equal((q.flags, q.data, q.win, q.opts, q.ttl), (16, b'', win, opts, 64), 'flags, data, window, options, ttl of %r' % q)
    equal(q.ack, (c.cisn + 1 + (c.c_nxt if ack is None else ack)) & packet.M32, 'ack')
    equal(q.seq, c.stream_seq(c.p_nxt if seq is None else seq), 'seq')
    return q


@case(each={'secondary_smaller': (300, 700, 300), 'primary_smaller': (700, 300, 300), 'equal': (500, 500, 500),
            'secondary_shut': (0, 700, 0), 'both_shut': (0, 0, 0), 'one': (1, 65535, 1), 'most': (65534, 65535, 65534)})
def r3_the_smaller_window_leaves(f, s, p, told):
    """Of a pure ACK, of data that waited, and of data that leaves at once."""
    c = opened(f)
    c.svm('A', win=s)
    leaves(f, c, c.pvm('A', win=p), told)
    q = c.pvm('PA', 10, win=p)
    f.held(1)
    c.svm('PA', 10, win=s)
    leaves(f, c, q, told)
    leaves(f, c, c.pvm('PA', 10, at=0, win=p), told)
    f.wait_stats(windows_clamped=3 if told != p else 0)


@case(each={'0': 0, '1': 1, '7': 7, '14': 14})
def r3_scaled(f, shift):
    c = opened(f, opts=packet.options((3, bytes([shift])), 1))
    c.svm('A', win=1000)
    leaves(f, c, c.pvm('A', win=2000), 1000)
    # The secondary is ahead: its edge counts, not its number.
    while c.c_nxt < 5000 + (1 << shift):
        c.client('A', min(8000, 5000 + (1 << shift) - c.c_nxt))
    c.svm('A', win=1500)
    leaves(f, c, c.pvm('A', ack=5000, win=2000), 1501)


@case()
def r3_not_of_a_syn(f):
    """The window of a SYN-ACK is not scaled, but clamped."""
    c = f.conn()
    c.client('S')
    p = c.pvm('SA', win=1000, opts=SCALED)
    c.svm('SA', win=900, opts=SCALED)
    leaves(f, c, p, 900)
    c.client('A')
    c.client('PA', 10)
    c.svm('A', win=100)
    leaves(f, c, c.pvm('A', win=200), 100)


@case()
def r3_super_packet(f):
    """A GSO packet of the primary stays one."""
    c = opened(f)
    p = c.pvm('PA', 20000, mss=1448, win=1000)
    c.svm('PA', 20000, mss=1000, win=900)
    leaves(f, c, p, 900)


@case()
def r3_others_see_the_packet_as_it_was(f):
    """A capture on the guest's port shares the packet's data."""
    c = opened(f)
    c.svm('A', win=100)
    tap = Port('tap', f.host, 'vm')
    p = c.pvm('A', win=200)
    leaves(f, c, p, 100)
    until(lambda: tap.read() or tap.queue, 'captured')
    seen = [q for q in tap.queue if q.sport == c.gport]
    tap.close()
    check(len(seen) == 1 and p.matches(seen[0]), 'captured: %r', seen)


@case()
def r3_edge_stays_where_the_secondary_shrinks(f):
    c = opened(f)
    c.svm('A', win=1000)
    leaves(f, c, c.pvm('A', win=2000), 1000)
    c.client('PA', 100)
    c.svm('A', win=10)
    leaves(f, c, c.pvm('A', win=2000), 900)
    # What the primary itself takes back, it may.
    c.out(c.pvm('A', win=20))
    c.client('PA', 890)
    c.svm('A', win=50)
    leaves(f, c, c.pvm('A', win=2000), 50)


@case()
def r3_edge_stays_whatever_the_rounding(f):
    """The secondary acknowledges other multiples than the primary: no edge is told that lies before an earlier one, and
    none that is a whole unit above the nearer one of the two, but for that."""
    c = opened(f, 0, opts=SCALED)
    unit, told, p_edge, s_edge = 1 << U, 0, 0, 0
    s_ack = p_ack = 0
    for n in range(60):
        c.client('A', f.rand.randrange(1, 300))
        s_ack = f.rand.randrange(s_ack, c.c_nxt + 1)
        s_edge = max(s_edge, s_ack) + f.rand.randrange(300)
        s_win = -(-(s_edge - s_ack) // unit)
        s_edge = s_ack + s_win * unit
        c.svm('A', ack=s_ack, win=s_win)
        f.wait_stats(secondary_packets=n + 2)
        f.pump(0)
        if p_ack > s_ack:
            continue
        p_ack = f.rand.randrange(p_ack, s_ack + 1)
        p_edge = max(p_edge, p_ack) + f.rand.randrange(800)
        p_win = -(-(p_edge - p_ack) // unit)
        p_edge = p_ack + p_win * unit
        c.pvm('A', ack=p_ack, win=p_win)
        f.wait_for(lambda: f.ports['lan'].queue or None, 'the ACK')
        f.pump(0)
        for q in f.ports['lan'].queue:
            edge = ((q.ack - c.cisn - 1) & packet.M32) + q.win * unit
            check(not q.errors, '%r', q)
            check(edge >= told, 'edge %d, was %d (n=%d)', edge, told, n)
            check(edge < max(told, min(p_edge, s_edge) + 1) + unit, 'edge %d: P %d, S %d, told %d', edge, p_edge, s_edge,
                  told)
            check(edge <= p_edge, 'edge %d above P %d', edge, p_edge)
            told = edge
        f.ports['lan'].queue.clear()
    f.ports['lan'].queue.clear()
    check(f.count('windows_clamped') > 5, 'too few were clamped')


@case(each={'': b'', 'with_timestamps': packet.options(1, 1, packet.timestamps(77, 88))})
def r3_update_when_the_clamp_loosens(f, ts):
    """The secondary has made room; the primary offered it long ago and has nothing more to say."""
    mine = packet.options(1, 1, packet.timestamps(55, 66)) if ts else b''
    told = packet.options(1, 1, packet.timestamps(55, 88)) if ts else b''
    c = opened(f)
    c.svm('A', win=0, opts=ts)
    leaves(f, c, c.pvm('A', win=3000, opts=mine), 0)
    c.svm('A', win=1000, opts=ts)
    update(f, c, 1000, told)
    c.svm('A', win=1000, opts=ts)
    f.expect_nothing('lan')
    c.svm('A', win=5000, opts=ts)
    update(f, c, 3000, told)
    c.svm('A', win=9000, opts=ts)
    f.expect_nothing('lan')
    f.wait_stats(windows_updated=2, windows_clamped=1)
    c.client('PA', 10)
    c.svm('A', win=9000)
    c.out(c.pvm('A', win=3000))


@case()
def r3_update_comes_after_what_has_left(f):
    """Its number is that behind the primary's last byte that the client may have."""
    c = opened(f)
    c.svm('PA', 100, win=50)
    leaves(f, c, c.pvm('PA', 100, win=500), 50)
    p = c.pvm('PA', 100, win=500)
    f.held(1)
    c.svm('A', win=400, at=100)
    update(f, c, 400, seq=100)
    c.svm('PA', 100, win=400, at=100)
    leaves(f, c, p, 400)
    c.svm('A', win=500)
    update(f, c, 500)


@case()
def r3_no_update_that_a_packet_brings(f):
    """Where the secondary's packet lets one of the primary leave, that tells the news."""
    c = opened(f)
    c.svm('A', win=50)
    leaves(f, c, c.pvm('A', win=500), 50)
    p = c.pvm('PA', 100, win=500)
    f.held(1)
    c.svm('PA', 100, win=300)
    leaves(f, c, p, 300)
    c.client('PA', 100)
    p = c.pvm('A', win=500)
    f.held(1)
    c.svm('A', win=400)
    leaves(f, c, p, 400)
    f.wait_stats(windows_updated=0)


@case()
def r3_no_update_of_what_the_primary_took_back(f):
    c = opened(f)
    c.svm('A', win=50)
    leaves(f, c, c.pvm('A', win=500), 50)
    c.out(c.pvm('A', win=20))
    c.svm('A', win=400)
    f.expect_nothing('lan')
    f.wait_stats(windows_updated=0)


@case()
def r3_no_update_in_a_checkpoint(f):
    """And after it the secondary's window is the primary's, until it speaks (C2)."""
    c = opened(f)
    c.svm('A', win=50)
    leaves(f, c, c.pvm('A', win=500), 50)
    f.begin()
    c.svm('A', win=400)
    f.expect_nothing('lan')
    f.commit()
    c.out(c.pvm('A', win=500))
    c.svm('A', win=100)
    c.client('PA', 400)
    p = c.pvm('A', win=500)
    c.svm('A', win=200)
    leaves(f, c, p, 200)


@case(timeout=100, scan=20)
def r3_shut_for_long_asks(f):
    c = opened(f)
    c.svm('A', win=0)
    leaves(f, c, c.pvm('A', win=500), 0)
    e = f.expect_event('miscompare', reason='window', **c.key())
    equal(f.pair()['request'], 'window', 'request')
    f.again(e)
    f.checkpoint()
    c.both('A', win=500)
    f.expect_no_event_but(e, 0.25)
    equal(f.pair().get('request'), None, 'request')


@case(timeout=100, scan=20)
def r3_shut_is_the_reason_of_what_waits(f):
    """The client goes on, the primary takes it and acknowledges what the secondary has no room for."""
    c = opened(f)
    c.svm('A', win=100)
    leaves(f, c, c.pvm('A', win=500), 100)
    c.client('PA', 100)
    p = c.pvm('A', win=500)
    f.held(1)
    c.svm('A', ack=5050, win=50)
    f.expect_lowered(c, 5050, win=50)
    c.svm('A', ack=5060, win=0)
    f.expect_lowered(c, 5060, win=40)
    e = f.expect_event('miscompare', **c.key())
    equal(e['reason'], 'window')
    f.held(1)
    f.again(e)
    f.flush(p)


@case(timeout=100, scan=20, each={'both': (0, 0), 'primary': (500, 0), 'open': (1, 500)})
def r3_an_applications_right(f, s, p):
    """Shut on both sides, or on the primary alone, or not quite."""
    c = opened(f)
    c.svm('A', win=s)
    leaves(f, c, c.pvm('A', win=p), min(s, p))
    f.expect_no_event(0.3)
    f.wait_stats(miscompares=0)


@case(timeout=200, scan=20)
def r3_shut_for_a_short_time(f):
    c = opened(f)
    for n in range(3):
        c.svm('A', win=0)
        c.pvm('A', win=500)
        f.expect_no_event(0.09)
        c.svm('A', win=500)
        f.expect_no_event(0.05)
        f.ports['lan'].queue.clear()
        c.client('PA', 500)
    f.expect_no_event(0.3)
    f.ports['lan'].queue.clear()


@case(timeout=100, scan=20)
def r3_shut_after_the_clients_fin(f):
    """Nothing more comes that one could take."""
    c = opened(f)
    c.client('FA')
    c.svm('A', win=0)
    leaves(f, c, c.pvm('A', win=500), 0)
    f.expect_no_event(0.3)


@case()
def r3_server_does_not_scale(f):
    """The guest offers a scale, the server has none: windows are what they say."""
    c = f.conn()
    first = c.pvm('S', opts=SCALED)
    c.svm('S', opts=SCALED)
    c.out(first)
    c.sisn = c.pisn
    c.client('SA')
    c.svm('A', win=1000)
    leaves(f, c, c.pvm('A', win=2000), 1000)
    c.client('PA', 300)
    c.svm('A', win=800)
    leaves(f, c, c.pvm('A', win=2000), 800)
    c.svm('A', win=801)
    update(f, c, 801)


@case()
def r3_adopted_without_a_scale(f):
    """C0: what the windows mean is not known, they leave as they are."""
    f.checkpoint()
    c = f.conn(offset=0)
    c.c_nxt = c.p_nxt = c.s_nxt = 0
    p = c.pvm('A', win=500)
    f.held(1)
    c.svm('A', win=100)
    c.out(p)
    p = c.pvm('PA', 10, win=500)
    c.svm('PA', 10, win=100)
    c.out(p)
    f.wait_stats(windows_clamped=0, windows_updated=0)


@case()
def r3_secondary_dead(f):
    """F2: nobody's window stands in the way any more."""
    c = opened(f)
    c.svm('A', win=50)
    leaves(f, c, c.pvm('A', win=500), 50)
    p = c.pvm('PA', 10, win=500)
    f.held(1)
    f.flush(p)

# SPDX-License-Identifier: GPL-2.0
"""R1 (b), R2, R15: no ack leaves that the secondary has not reached."""

import time

import harness
import packet
from harness import GUEST, case, check, equal, gather, stream, until


@case()
def r1_ack_ahead_is_held(f):
    """Equal bytes, but the primary acks data that the secondary has not got: held, no miscompare (peers B3, B4)."""
    c = f.open()
    c.client('PA', 100)
    p = c.pvm('PA', 50)
    c.svm('PA', 50, ack=0)
    f.held(1)
    f.expect_no_event()
    f.wait_stats(queued=0, miscompares=0, requests=0)
    c.svm('A', ack=99)
    f.expect_lowered(c, 99)
    f.held(1)
    c.svm('A', ack=100)
    c.out(p)


@case()
def r1_bytes_ahead_are_held(f):
    """The other half of the rule: the ack is good, the bytes are not there yet."""
    c = f.open()
    c.client('PA', 100)
    p = c.pvm('PA', 50)
    c.svm('A')
    f.held(1)
    c.svm('PA', 50)
    c.out(p)


@case(each={'wrap': -60, 'wrap_after': -101, 'zero': -1, 'half': 2**31 - 50})
def r1_gate_across_the_wrap(f, cisn):
    """QEMU's gate opens at each 4 GiB (peers B2)."""
    c = f.open(cisn=cisn)
    c.client('PA', 100)
    p = c.pvm('PA', 50)
    c.svm('PA', 50, ack=0)
    f.held(1)
    c.svm('A', ack=59)
    f.expect_lowered(c, 59)
    f.held(1)
    c.svm('A', ack=100)
    c.out(p)
    c.client('A', 5000)
    p = c.pvm('A')
    f.held(1)
    c.svm('A', ack=4999)
    f.expect_lowered(c, 4999)
    f.held(1)
    c.svm('A', ack=5000 + 100)
    c.out(p)


@case()
def r1_highest_ack_counts_not_the_last(f):
    """Old acks of the secondary come late (peers B1)."""
    c = f.open()
    c.client('PA', 300)
    c.svm('A', ack=200)
    c.svm('A', ack=100)
    c.svm('PA', 10, ack=50)
    p = c.pvm('PA', 10, ack=200)
    c.out(p)
    q = c.pvm('A', ack=300)
    f.held(1)
    c.svm('A', ack=300)
    c.out(q)


@case()
def r1_old_ack_of_the_primary_leaves(f):
    """An ack that is not the primary's newest leaves as soon as the secondary has reached it."""
    c = f.open()
    c.client('PA', 300)
    p = c.pvm('A', ack=300)
    q = c.pvm('A', ack=100)
    f.held(2)
    c.svm('A', ack=150)
    c.out(q)
    f.held(1)
    c.svm('A', ack=300)
    c.out(p)


@case()
def r1_ack_of_the_secondary_ahead(f):
    """min(pack, sack): the secondary being ahead lets nothing wrong out and holds nothing up."""
    c = f.open()
    c.client('PA', 300)
    c.svm('A', ack=300)
    f.expect_nothing('lan')
    c.out(c.pvm('A', ack=100))
    c.out(c.pvm('A', ack=300))


@case()
def r1_rst_without_ack_does_not_lower_the_ack(f):
    """It has no ack; QEMU reads 0 (peers B1)."""
    c = f.open()
    c.client('PA', 100)
    c.svm('PA', 10, ack=100)
    c.svm('R', rawack=0)
    c.out(c.pvm('PA', 10))
    c.out(c.pvm('R'))


@case()
def r1_rst_with_ack_is_gated(f):
    c = f.open()
    c.client('PA', 100)
    p = c.pvm('RA', ack=100)
    c.svm('R')
    f.held(1)
    c.svm('A', ack=100, at=0)
    c.out(p)


@case()
def r1_fin_is_gated(f):
    """The client's FIN counts one in the ack."""
    c = f.open()
    c.client('FPA', 100)
    p = c.pvm('FA')
    c.svm('FA', ack=100)
    f.expect_lowered(c, 100, seq=0)
    f.held(1)
    c.svm('A', ack=101)
    c.out(p)


@case()
def r1_retransmission_is_gated(f):
    """Bytes compared long ago, sent again with a newer ack."""
    c = f.open()
    c.both('PA', 100)
    c.client('PA', 50)
    p = c.pvm('PA', 100, at=0)
    f.held(1)
    c.svm('A')
    c.out(p)


@case()
def r1_syn_ack_is_gated(f):
    """A SYN-ACK that acks data in the SYN, which the secondary's does not."""
    c = f.conn()
    c.client('S', 10)
    p = c.pvm('SA', ack=10)
    c.svm('SA', ack=0)
    f.held(1)
    c.svm('A', ack=10)
    c.out(p)


@case()
def r1_upload(f):
    """An upload in steps: every ack waits for the slower guest."""
    c = f.open(cisn=-5000)
    for n in range(10):
        c.client('A', 1400)
        if n & 1:
            p = c.pvm('A')
            f.wait_stats(held=1)
            f.expect_nothing('lan', wait=0)
            c.svm('A')
            c.out(p)
        else:
            c.svm('A')
            c.out(c.pvm('A'))


@case()
def r1_waits_are_woken_together(f):
    """One ack of the secondary frees all that waited for it, in the guest's order."""
    c = f.open()
    c.client('A', 1000)
    p = [c.pvm('A', ack=n) for n in (100, 500, 900)]
    c.svm('PA', 30, ack=0)
    p.append(c.pvm('PA', 30, ack=900))
    p.append(c.pvm('A', ack=1000))
    f.held(5)
    c.svm('A', ack=950)
    c.out(*p[:4])
    f.held(1)
    c.svm('A', ack=1000)
    c.out(p[4])


@case()
def r2_pure_ack_waits_for_the_gate(f):
    c = f.open()
    c.client('A', 100)
    p = c.pvm('A')
    f.held(1)
    c.svm('A')
    c.out(p)


@case()
def r2_pure_ack_needs_no_partner(f):
    """The secondary's ack came with data, or long ago: the primary's leaves at once (peers B14)."""
    c = f.open()
    c.client('A', 100)
    c.svm('PA', 10)
    c.out(c.pvm('A'))
    c.out(c.pvm('A'))
    c.out(c.pvm('PA', 10))
    c.out(c.pvm('A'))
    f.wait_stats(queued=0)


@case()
def r2_window_update_leaves_at_once(f):
    c = f.open()
    c.request()
    c.svm('A', win=65535)
    for win in 100, 0, 65535:
        c.out(c.pvm('A', win=win))


@case(timeout=100, scan=20)
def r2_lone_ack_of_the_secondary_is_consumed(f):
    """It is not kept, and never expires into a checkpoint (peers B13)."""
    c = f.open()
    c.client('A', 100)
    for ack in 50, 100, 100, 10:
        c.svm('A', ack=ack)
    f.wait_stats(secondary_packets=5, queued=0)
    f.expect_no_event(0.25)
    f.expect_nothing('lan')
    c.out(c.pvm('A'))


@case(timeout=100, scan=20)
def r9_covered_data_of_the_secondary_never_asks(f):
    c = f.open()
    c.both('PA', 1000)
    before = f.count('secondary_covered')
    for n in range(3):
        c.svm('PA', 1000, at=0)
    c.svm('PA', 10, at=990)
    f.wait_stats(queued=0, secondary_covered=before + 4)
    f.expect_no_event(0.25)


@case(timeout=100, scan=20)
def r1_wait_too_long_asks(f):
    """A secondary that never acks is not stalled for ever: after the timeout a checkpoint is asked for."""
    c = f.open()
    c.client('A', 100)
    p = c.pvm('A')
    e = f.expect_event('miscompare', **c.key())
    equal(e['reason'], 'timeout')
    f.held(1)
    f.again(e)
    f.flush(p)


@case()
def r1_sack_blocks_with_an_ack_that_may_leave(f):
    """Options in a pure ACK are nobody's business but the client's."""
    c = f.open()
    c.client('A', 100)
    c.svm('A')
    c.client('A', 100, at=300)
    base = c.cisn + 1
    c.svm('A', ack=100)
    c.out(c.pvm('A', ack=100, opts=packet.options(1, 1, packet.sack((base + 300, base + 400)))))


# --- R1: the ack that both have sent ---

@case()
def r1_what_both_acked_is_told(f):
    """The secondary lacks a long piece and acks it bit by bit: the client hears each step, and duplicates as well (its
    fast retransmit lives on them), but nothing that is old."""
    c = f.open()
    c.client('A', 1000)
    c.client('A', 1000)
    p = c.pvm('A')
    f.held(1)
    for ack in 100, 300, 1999:
        c.svm('A', ack=ack)
        f.expect_lowered(c, ack, seq=0)
        c.svm('A', ack=ack - 1)
        f.held(1)
        c.svm('A', ack=ack)
        f.expect_lowered(c, ack, seq=0)
        f.held(1)
    f.wait_stats(acks_lowered=6)
    c.svm('A')
    c.out(p)
    f.wait_stats(acks_lowered=6)


@case()
def r1_lowered_ack_of_a_hole(f):
    """The secondary misses a segment that the primary has: its duplicates and SACK blocks reach the client."""
    c = f.open()
    c.request(100)
    for n in range(4):
        c.client('A', 1000)
    p = c.pvm('A')
    base = c.cisn + 101
    for n in range(1, 4):
        opts = packet.options(1, 1, packet.sack((base + 1000, base + 1000 * (n + 1))))
        c.svm('A', ack=100, opts=opts)
        q = f.expect_lowered(c, 100, seq=0)
        equal(q.opts, opts, 'options')
    f.held(1)
    c.svm('A')
    c.out(p)


@case()
def r1_lowered_ack_is_not_made_of_data(f):
    """A duplicate ack that comes with data of the secondary is no duplicate ACK."""
    c = f.open()
    c.client('A', 1000)
    q = c.pvm('A')
    c.svm('PA', 100, ack=0)
    f.held(1)
    c.svm('PA', 100, ack=1)
    f.expect_lowered(c, 1)
    p = c.pvm('PA', 200)
    f.held(2)
    c.svm('A')
    c.out(q, p)


@case(each={'pure_ack': 0, 'data': 1, 'fin': 2})
def r1_lowered_ack_of(f, what):
    """The model is held data, a FIN or an ACK: what is made of it carries none of its bytes, flags or SACK blocks, but
    the primary's clock, and what the secondary echoes and has."""
    c = f.open()
    c.client('A', 1000)
    base = c.cisn + 1
    theirs = packet.sack((base + 2000, base + 3000))
    mine = packet.sack(*[(base + n, base + n + 50) for n in (600, 700, 800, 900)])
    opts = packet.options(1, 1, packet.timestamps(1, 100), 1, 1, theirs)
    n = 700 if what == 1 else 0
    p = c.pvm('FPA' if what == 2 else 'PA', n, opts=opts)
    c.svm('FPA' if what == 2 else 'PA', n, ack=0)
    if what == 0:
        f.expect_lowered(c, 0)
    f.held(1)
    three = packet.sack(*[(base + n, base + n + 50) for n in (600, 700, 800)])
    for ack, said, told in ((100, b'', b''),
                            (200, packet.options(1, 1, packet.timestamps(77, 88)),
                             packet.options(1, 1, packet.timestamps(1, 88))),
                            (300, packet.options(1, 1, mine), packet.options(1, 1, mine)),
                            (400, packet.options(packet.timestamps(77, 89), 1, 1, three),
                             packet.options(1, 1, packet.timestamps(1, 89), 1, 1, three))):
        c.svm('A', ack=ack, at=0, opts=said)
        q = f.expect_lowered(c, ack, seq=0)
        equal(q.opts, told, 'options')
    f.held(1)
    c.svm('A', at=c.s_nxt)
    c.out(p)


@case()
def r1_lowered_ack_of_gso(f):
    c = f.open()
    c.client('A', 1000)
    p = c.pvm('PA', 20000, mss=1448)
    c.svm('PA', 20000, ack=0, mss=1000)
    c.svm('A', ack=1)
    q = f.expect_lowered(c, 1, seq=0)
    equal(q.gso_size, 0, 'GSO size')
    f.held(1)
    c.svm('A')
    c.out(p)


@case()
def r1_lowered_window(f):
    """It ends where the secondary's ends, and the right edge that the client knows never moves left."""
    c = f.open()
    c.request(100)
    c.svm('A', win=40000)
    c.out(c.pvm('A', win=40000))
    c.client('A', 1000)
    p = c.pvm('A', win=50000)
    c.svm('A', ack=600, win=300)
    f.expect_lowered(c, 600, win=39500)
    c.svm('A', ack=700, win=45000)
    f.expect_lowered(c, 700, win=45000)
    c.svm('A', ack=800, win=100)
    f.expect_lowered(c, 800, win=44900)
    c.svm('A', win=50000)
    c.out(p)


@case(each={'0': 0, '7': 7, '14': 14})
def r1_lowered_window_is_scaled(f, shift):
    """Rounded so that the edge does not move left."""
    c = f.open(opts=packet.options((3, bytes([shift])), 1))
    c.request(100)
    c.client('A', 1000)
    p = c.pvm('A', win=60000)
    c.svm('A', ack=101, win=40000)
    f.expect_lowered(c, 101, win=40000)
    c.svm('A', ack=102, win=1)
    edge = 101 + (40000 << shift)
    q = f.expect_lowered(c, 102)
    now = 102 + (q.win << shift)
    check(edge <= now < edge + (1 << shift), 'right edge %d, was %d', now, edge)
    c.svm('A', win=60000)
    c.out(p)


@case()
def r1_no_lowered_ack_where_a_packet_leaves(f):
    """Data that may leave carries the news itself."""
    c = f.open()
    c.client('A', 1000)
    p = c.pvm('PA', 10, ack=300)
    q = c.pvm('A', ack=1000)
    c.svm('PA', 10, ack=400)
    c.out(p)
    c.svm('A', ack=350, at=0)
    f.held(1)
    f.wait_stats(acks_lowered=0)
    c.svm('A', ack=500)
    f.expect_lowered(c, 500)
    c.svm('A')
    c.out(q)


# --- R1: the head that both have said ---

def head(f, c, at, n, ack=None, gso=0, flags='A'):
    """A packet made of the compared head of a held one."""
    q = f.expect('lan', lambda p: p.dport == c.cport)
    equal((q.flags, q.seq, q.data, q.gso_size), (packet.bits(flags), c.stream_seq(at), stream(at, n), gso),
          'flags, seq, data and GSO size of %r' % q)
    equal(q.ack, (c.cisn + 1 + (c.c_nxt if ack is None else ack)) & packet.M32, 'ack')
    return q


def rest(f, c, at, n, gso=0, flags='PA', ack=None):
    """What leaves of a held packet behind its head."""
    q = head(f, c, at, n, ack=ack, gso=gso, flags=flags)
    c.c_ack = at + n + ('F' in flags)
    return q


@case()
def r1_head_leaves_for_a_secondary_that_repeats(f):
    """The streams are cut differently and the secondary's second segment is lost: both would repeat the first for
    ever.  What is compared of the primary's packet leaves, once for each time that the secondary asks."""
    c = f.open()
    c.request()
    c.pvm('PA', 1000)
    c.svm('A', 400)
    f.held(1)
    for n in range(2):
        c.svm('A', 400, at=0)
        head(f, c, 0, 400)
        f.held(1)
    c.svm('A', 100, at=100)
    head(f, c, 0, 400)
    f.wait_stats(heads_left=3)
    # The client has it: now it is the client's ACK that the secondary lacks.
    c.client('A', ack=400)
    c.svm('A', 400, at=0)
    c.bare_ack(400)
    f.held(1)
    c.svm('PA', 600, at=400)
    rest(f, c, 400, 600)
    f.wait_stats(heads_left=3, queued=0)


@case()
def r1_head_of_a_straddling_retransmission(f):
    c = f.open()
    c.both('PA', 1000)
    c.pvm('PA', 1000, at=500)
    f.held(1)
    c.svm('PA', 300, at=700)
    head(f, c, 500, 500)
    c.svm('PA', 500)
    rest(f, c, 1000, 500)


@case()
def r1_head_of_a_fin(f):
    """The data is compared, the FIN is not: it does not leave with it."""
    c = f.open()
    c.pvm('FPA', 500)
    c.svm('PA', 500)
    f.held(1)
    c.svm('PA', 500, at=0)
    head(f, c, 0, 500)
    f.held(1)
    c.svm('FPA', 500, at=0)
    rest(f, c, 500, 0, flags='FPA')


@case(each={'many': 5000, 'one': 1448, 'less': 1000})
def r1_head_of_gso(f, n):
    c = f.open()
    c.both('A', 100)
    c.pvm('PA', 20000, mss=1448)
    c.svm('A', n)
    c.svm('A', n, at=100)
    head(f, c, 100, n, gso=1448 if n > 1448 else 0)
    f.held(1)
    c.svm('PA', 20000 - n, mss=1448)
    rest(f, c, 100 + n, 20000 - n, gso=1448)


@case(each={'secondary': 'sp', 'primary': 'ps'})
def r1_head_for_a_client_that_waits(f, order):
    """The secondary may have sent all that it dares to; whoever speaks last, what is compared leaves, once."""
    c = f.open()
    for who in order:
        if who == 's':
            c.svm('A', 5000, mss=1448)
        else:
            c.pvm('PA', 20000, mss=1448)
    head(f, c, 0, 5000, gso=1448)
    c.svm('A', 1000)
    f.held(1)
    c.client('A', ack=5000)
    f.held(1)
    c.svm('A', 5000, mss=1448)
    head(f, c, 5000, 6000, gso=1448)
    c.client('A', ack=11000)
    c.svm('PA', 9000, mss=1448)
    rest(f, c, 11000, 9000, gso=1448)
    f.wait_stats(heads_left=2)


@case(each={'fin': 'FPA', 'plain': 'PA'})
def r1_head_of_all_but_a_little(f, flags):
    """What is left of a super-packet is one segment, and not the device's to cut."""
    c = f.open()
    c.pvm(flags, 20000, mss=1448)
    c.svm('A', 19000, mss=1448)
    head(f, c, 0, 19000, gso=1448)
    c.svm(flags, 1000)
    rest(f, c, 19000, 1000, flags=flags)


@case()
def r1_head_for_a_client_that_has_acknowledged(f):
    c = f.open()
    c.both('A', 100)
    c.pvm('PA', 20000, mss=1448)
    c.svm('A', 5000, mss=1448)
    f.held(1)
    c.client('A', ack=100)
    head(f, c, 100, 5000, gso=1448)
    c.svm('PA', 15000, mss=1448)
    rest(f, c, 5100, 15000, gso=1448)


@case(each={'opened': False, 'adopted': True})
def r1_head_behind_an_ack(f, adopted):
    """The guest's ACK has overtaken what is held.  The client has nothing to acknowledge."""
    c = older(f) if adopted else f.open()
    at = c.p_nxt
    c.pvm('PA', 20000, mss=1448)
    c.client('PA', 100)
    ack = c.pvm('A')
    c.svm('A', 5000, mss=1448)
    c.out(ack)
    c.svm('A', 1000)
    head(f, c, at, 6000, gso=1448)
    c.svm('PA', 14000, mss=1448)
    rest(f, c, at + 6000, 14000, gso=1448, ack=c.c_nxt - 100)


@case()
def r1_head_for_a_client_that_was_never_heard(f):
    """The secondary repeats the last of what it has said; the client may lack all of it."""
    c = older(f)
    c.pvm('PA', 20000, mss=1448)
    c.svm('A', 5000, mss=1448)
    f.held(1)
    c.svm('A', 1000, at=11000)
    head(f, c, 7000, 5000, gso=1448)
    c.svm('PA', 15000, mss=1448)
    rest(f, c, 12000, 15000, gso=1448)


@case()
def r7_rest_that_differs(f):
    """What is let out uncompared leaves as it came: nobody makes a checksum for bytes that may be wrong."""
    c = f.open()
    p = c.pvm('PA', 1000)
    c.svm('A', 400)
    c.svm('A', 400, at=0)
    head(f, c, 0, 400)
    c.svm('A', b'?' * 100)
    e = f.expect_event('miscompare', reason='payload')
    f.held(1)
    f.again(e)
    f.flush(p)


@case(ip=(6,))
def r1_no_head_behind_a_routing_header(f):
    """TCP's checksum covers another address than the one in the IP header."""
    c = f.open()
    route = (43, b'\2\0\0\0\0\0\0' + GUEST[True])
    p = c.pvm('PA', 1000, ext=[route])
    c.svm('A', 400)
    c.svm('A', 400, at=0)
    f.held(1)
    c.svm('PA', 600, at=400)
    c.out(p)
    f.wait_stats(heads_left=0)


@case()
def r1_no_head_during_a_checkpoint(f):
    c = f.open()
    c.svm('A', 5000, mss=1448)
    f.begin()
    p = c.pvm('PA', 20000, mss=1448)
    f.held(1)
    f.commit()
    f.held(1)
    c.svm('PA', 20000, at=0, mss=1448)
    c.out(p)


@case()
def r1_head_with_a_lowered_ack(f):
    """The packet acks what the secondary has not: neither does its head, nor its SACK blocks."""
    c = f.open()
    c.client('PA', 100)
    base = c.cisn + 1
    sack = packet.sack((base + 200, base + 300))
    c.pvm('PA', 1000, opts=packet.options(1, 1, packet.timestamps(1, 2), 1, 1, sack))
    c.svm('A', 400, ack=50)
    f.held(1)
    c.svm('A', 400, at=0, ack=50)
    q = head(f, c, 0, 400, ack=50)
    equal(q.opts, packet.options(1, 1, packet.timestamps(1, 2)) + b'\1' * 12, 'options')
    f.held(1)
    c.svm('PA', 600, at=400)
    q = rest(f, c, 400, 600)
    equal(q.opts, packet.options(1, 1, packet.timestamps(1, 2), 1, 1, sack), 'options')


@case()
def r1_lowered_ack_behind_a_head(f):
    """An ACK with the number of what the client has by now would be thrown away."""
    c = f.open()
    c.client('PA', 200)
    c.pvm('PA', 20000, mss=1448)
    c.svm('A', 5000, mss=1448, ack=100)
    head(f, c, 0, 5000, gso=1448, ack=100)
    c.client('A', ack=5000)
    c.svm('PA', 15000, mss=1448, ack=100)
    f.held(1)
    c.svm('A', ack=100)
    f.expect_lowered(c, 100, seq=5000)
    c.svm('A', ack=200)
    rest(f, c, 5000, 15000, gso=1448)


@case()
def r1_head_acknowledges_what_both_have(f):
    """The packet waits since before that; the client would throw away what acknowledges so little, with its data."""
    c = f.open()
    base = c.cisn + 1
    def opts(val, ecr):
        return packet.options(1, 1, packet.timestamps(val, ecr))
    p = c.pvm('PA', 1000, opts=opts(1, 2) + packet.options(1, 1, packet.sack((base + 50, base + 100))), win=500)
    c.client('PA', 100)
    ack = c.pvm('A', at=1000, opts=opts(2, 5), win=700)
    f.held(2)
    c.svm('A', 400, at=0, ack=100, opts=opts(9, 5))
    c.out(ack)
    c.svm('A', 400, at=0, ack=100, opts=opts(9, 5))
    q = head(f, c, 0, 400, ack=100)
    equal((q.opts, q.win), (opts(9, 5) + b'\1' * 12, 700), 'options and window')
    f.held(1)
    c.svm('A', 600, at=400, opts=opts(9, 5))
    q = f.expect('lan', lambda q: q.dport == c.cport)
    equal((q.seq, q.data), (c.stream_seq(400), stream(400, 600)), 'seq and data')


@case(each={'plain': {}, 'partial': {'partial': True}})
def r12_overtaken_data_says_the_newest_ack(f, how):
    """An ACK has overtaken it; what is much older than that the client throws away, with the data (RFC 5961)."""
    c = f.open()
    base = c.cisn + 1
    p = c.pvm('PA', 1000, opts=packet.options(1, packet.sack((base + 50, base + 100)), 1), win=500, **how)
    c.client('PA', 20000, mss=1448)
    ack = c.pvm('A', at=1000, win=50)
    f.held(2)
    c.svm('A', at=0, ack=20000)
    c.out(ack)
    c.svm('PA', 1000, at=0)
    q = f.expect('lan', lambda q: q.dport == c.cport)
    equal((q.flags, q.seq, q.data), (packet.bits('PA'), c.stream_seq(0), stream(0, 1000)), 'flags, seq and data')
    equal((q.ack, q.win, q.opts), ((base + 20000) & packet.M32, 50, b'\1' * 12), 'ack, window and options')


@case()
def r1_made_packets_carry_the_newest_timestamp(f):
    """Else the client's PAWS check drops them; and so do those that they have overtaken."""
    def stamp(val):
        return packet.options(1, 1, packet.timestamps(val, 7))
    c = f.open()
    c.client('PA', 100)
    p = [c.pvm('PA', 1000, opts=stamp(10)), c.pvm('PA', 100, opts=stamp(20)), c.pvm('A', opts=stamp(30))]
    f.held(3)
    c.svm('A', 400, ack=0)
    c.svm('A', ack=50, opts=stamp(5))
    q = f.expect_lowered(c, 50)
    equal(q.opts, stamp(30), 'options')
    c.svm('A', 400, at=0, ack=50)
    q = head(f, c, 0, 400, ack=50)
    equal(q.opts, stamp(30), 'options')
    f.held(3)
    c.svm('PA', 700, at=400)
    for at, held in (400, p[0]), (1000, p[1]), (1100, p[2]):
        q = f.expect('lan', lambda q: q.dport == c.cport)
        equal((q.seq, q.opts), (c.stream_seq(at), stamp(30)), 'seq and options')
        check(held.raw.endswith(q.data), 'other bytes: %r', q)


@case()
def r1_no_head_before_it_is_asked_for(f):
    c = f.open()
    p = c.pvm('PA', 1000)
    c.svm('A', 400)
    f.held(1)
    c.svm('A', at=400)
    c.svm('A', 200, at=400)
    f.held(1)
    c.svm('A', 400, at=600)
    c.out(p)
    f.wait_stats(heads_left=0)


@case()
def r1_heads_when_the_secondary_has_lost_something(f):
    """It sends little at a time then, and waits for the client, which gets all that is compared."""
    c = f.open()
    c.pvm('PA', 1000)
    c.svm('A', 100)
    f.held(1)
    c.svm('A', 100, at=200)
    head(f, c, 0, 100)
    f.expect_nothing()
    c.client('A', ack=100)
    c.sack(100, (200, 300))
    c.svm('A', 100, at=100)
    head(f, c, 100, 200)
    c.svm('A', 100, at=300)
    f.held(1)
    # Not before the client has acknowledged what it was sent.
    f.expect_nothing()
    c.client('A', ack=300)
    head(f, c, 300, 100)
    c.svm('A', 600, at=400)
    rest(f, c, 400, 600)
    f.wait_stats(heads_left=3, sacks_made=1)


@case(each={'one': 1000, 'many': 5000})
def r1_head_out_of_the_middle_of_gso(f, n):
    c = f.open()
    c.pvm('PA', 60000, mss=1448)
    c.svm('A', 30000, mss=1448)
    c.svm('A', 1000, at=50000)
    head(f, c, 0, 30000, gso=1448)
    c.svm('A', n, at=30000)
    c.client('A', ack=30000)
    head(f, c, 30000, n, gso=1448 if n > 1448 else 0)
    c.svm('A', 60000 - 30000 - n, at=30000 + n, mss=1448)
    rest(f, c, 30000 + n, 30000 - n, gso=1448)


@case()
def r1_head_out_of_the_middle_of_a_list(f):
    """The packet is a list of the segments that came in, as a device that gathers them makes it."""
    conns = [f.open() for n in range(10)]
    gather(f, 'vm')
    for c in conns:
        before = f.stats()
        for n in range(3):
            c.pvm('A', 1000)
        until(lambda: f.stats()['primary_bytes'] >= before['primary_bytes'] + 3000, 'they have come in')
        time.sleep(0.1)
        if f.stats()['held'] == 1:
            break
        c.svm('A', 3000)
        f.wait_stats(held=0)
        f.pump(harness.QUIET)
        f.ports['lan'].queue.clear()
    f.held(1)
    c.svm('A', 1500)
    c.svm('A', 500, at=2500)
    head(f, c, 0, 1500, gso=1000)
    c.svm('A', 700, at=1500)
    c.client('A', ack=1500)
    head(f, c, 1500, 700)
    c.svm('A', 300, at=2200)
    q = f.expect('lan', lambda q: q.dport == c.cport)
    equal((q.seq, q.data, q.gso_size), (c.stream_seq(0), stream(0, 3000), 1000), 'seq, data and GSO size')


@case()
def r1_head_with_an_urgent_pointer(f):
    """It counts from the packet's own sequence number."""
    c = f.open()
    p = c.pvm('PAU', 1000, urg=500)
    c.svm('A', 100)
    c.svm('A', 100, at=200)
    head(f, c, 0, 100, flags='AU')
    c.client('A', ack=100)
    c.sack(100, (200, 300))
    c.svm('A', 100, at=100)
    head(f, c, 100, 200)
    c.svm('A', 700, at=300)
    c.out(p)


@case()
def r7_no_head_behind_a_difference(f):
    c = f.open()
    p = c.pvm('PA', 1000)
    c.svm('A', 100, at=500)
    c.sack(0, (500, 600))
    c.svm('A', stream(0, 100) + 50 * b'?', at=0)
    f.expect_event('miscompare', reason='payload')
    c.client('A')
    f.held(1)
    f.expect_nothing()
    f.flush(p)


# --- R15 ---

@case()
def r15_syn_ack_repeated(f):
    """The client's ACK was lost on the mirror; the guest speaks first, and nothing more will come from the client."""
    c = f.open()
    for n in range(2):
        c.svm('SA', at=-1)
        c.bare_ack(0)
    f.expect_nothing()
    f.wait_stats(acks_resent=2)
    c.both('PA', 100)


@case()
def r15_syn_ack_repeated_in_the_primarys_numbers(f):
    """As it comes when the secondary host has learnt the offset but SVM has not got the ACK."""
    c = f.open()
    c.svm('SA', at=-1, base=c.pisn)
    c.bare_ack(0)
    f.expect_nothing()


@case()
def r15_data_repeated(f):
    c = f.open()
    ts = packet.options(1, 1, packet.timestamps(1000, 77))
    c.both('PA', 100)
    c.both('PA', 100)
    c.client('A', ack=100)
    c.client('A', win=1234, opts=ts)
    c.svm('PA', 100, at=0)
    c.bare_ack(200, win=1234, opts=ts)
    f.expect_nothing()
    c.svm('PA', 200, at=0)
    c.bare_ack(200, win=1234, opts=ts)
    f.expect_nothing()
    f.wait_stats(acks_resent=2)


@case()
def r15_fin_repeated(f):
    c = f.open()
    c.request()
    c.both('FA')
    c.client('A')
    c.svm('FA', at=0)
    c.bare_ack(1)
    f.expect_nothing()


@case()
def r15_not_what_the_client_has_not_acked(f):
    c = f.open()
    c.both('PA', 100)
    c.client('A', ack=50)
    c.svm('PA', 100, at=0)
    c.svm('PA', 50, at=50)
    c.svm('A')
    f.expect_nothing()
    c.svm('PA', 50, at=0)
    c.bare_ack(50)
    f.wait_stats(acks_resent=1)


@case()
def r15_not_for_new_data(f):
    c = f.open()
    for n in range(3):
        c.both('PA', 100)
        c.client('A')
    f.expect_nothing()
    f.wait_stats(acks_resent=0)


@case()
def r15_window_probe_of_the_secondary(f):
    """The client's window update was lost on the mirror: SVM probes and is told."""
    c = f.open()
    c.both('PA', 100)
    c.client('A', win=0)
    c.client('A', win=5000)
    c.svm('A', at=99)
    c.bare_ack(100, win=5000)
    f.expect_nothing()
    c.svm('A')
    f.expect_nothing()
    f.wait_stats(acks_resent=1)


@case()
def r15_across_the_wrap(f):
    c = f.open(pisn=-51, cisn=-2)
    c.both('PA', 100)
    c.client('PA', 10)
    c.svm('PA', 100, at=0)
    c.bare_ack(100)
    p = c.pvm('A')
    c.svm('A')
    c.out(p)


@case()
def r15_the_newest_ack_not_the_last(f):
    """The client's packets may be reordered on their way."""
    c = f.open()
    c.both('PA', 100)
    c.client('A')
    c.client('A', ack=20)
    c.svm('PA', 100, at=0)
    c.bare_ack(100)


@case()
def r15_packet_of_the_secondary_lost(f):
    """The client has acknowledged all that came before the hole: SVM is told what came behind it, and of what comes next."""
    c = f.open()
    c.both('PA', 100)
    c.client('A', win=1234)
    c.svm('PA', 100, at=200)
    c.sack(100, (200, 300), win=1234)
    c.svm('PA', 100, at=300)
    c.sack(100, (200, 400))
    c.svm('PA', 100, at=500)
    c.sack(100, (200, 400), (500, 600))
    f.wait_stats(sacks_made=3, acks_resent=0)
    p = [c.pvm('PA', 100) for n in range(5)]
    c.svm('PA', 100, at=100)
    c.out(*p[:3])
    c.svm('PA', 100, at=400)
    c.out(*p[3:])
    f.expect_nothing()


@case()
def r15_no_sack_before_the_client_has_acked(f):
    """SVM would repeat what the client has not acknowledged yet."""
    c = f.open()
    c.both('PA', 100)
    c.svm('PA', 100, at=200)
    f.expect_nothing()
    c.client('A')
    c.sack(100, (200, 300))
    p = [c.pvm('PA', 100) for n in range(2)]
    c.svm('PA', 100, at=100)
    c.out(*p)


@case()
def r15_no_sack_without_a_hole(f):
    """SVM is ahead of PVM, nothing is lost."""
    c = f.open()
    c.both('PA', 100)
    c.client('A')
    c.svm('PA', 100, at=100)
    c.svm('PA', 100, at=200)
    c.svm('A')
    f.expect_nothing()
    f.wait_stats(sacks_made=0)
    p = [c.pvm('PA', 100) for n in range(2)]
    c.out(*p)


@case()
def r15_as_many_sack_blocks_as_fit(f):
    """Four, or three behind a timestamp."""
    c = f.open()
    ts = packet.options(1, 1, packet.timestamps(1000, 77))
    c.both('PA', 100)
    c.client('A')
    for n in range(5):
        c.svm('PA', 10, at=200 + 20 * n)
        c.sack(100, *((200 + 20 * i, 210 + 20 * i) for i in range(min(n + 1, 4))))
    c.client('A', opts=ts)
    c.svm('PA', 10, at=300)
    c.sack(100, (200, 210), (220, 230), (240, 250), opts=ts)
    p = c.pvm('PA', 210)
    c.svm('PA', 210, at=100)
    c.out(p)


@case()
def r15_sack_across_the_wrap(f):
    c = f.open(pisn=-151)
    c.both('PA', 100)
    c.client('A')
    c.svm('PA', 100, at=110)
    c.sack(100, (110, 210))
    p = c.pvm('PA', 110)
    c.svm('PA', 10, at=100)
    c.out(p)


# --- what is sent in the client's name ---

def forge(c, flags='A', data=b'', at=None, **kw):
    """A packet of somebody who knows the ports, not the numbers.  It goes to the guests like all others."""
    nxt = c.c_nxt
    c.client(flags, data, at=nxt if at is None else at, **kw)
    c.c_nxt = nxt


@case(each={'far': (0, 5000), 'next': (0, 101), 'outside': (1 << 29, 100), 'before': (-1 << 20, 100)})
def r15_forged_ack(f, at, ack):
    """The guest throws away what is out of its window, and what acknowledges bytes it has not said."""
    c = f.open()
    c.both('PA', 100)
    c.client('A')
    forge(c, at=at, ack=ack, win=7)
    c.svm('PA', 100, at=0)
    c.bare_ack(100, win=0x7210)
    c.both('PA', 100)
    c.client('A')
    c.svm('PA', 100, at=100)
    c.bare_ack(200)


@case(timeout=150, scan=30)
def r9_forged_end(f):
    """Nobody but the client ends the wait for a partner."""
    c = f.open()
    c.request()
    forge(c, at=1 << 29)
    forge(c, 'R', at=1 << 29)
    forge(c, 'FA', at=1 << 29)
    p = c.pvm('PA', 10)
    f.expect_event('miscompare', reason='timeout')
    f.held(1)
    f.wait_stats(dropped_reset=0)
    f.flush(p)


def older(f):
    """A connection that is older than the pair; the guest's next packet adopts it."""
    c = f.conn()
    f.checkpoint()
    c.c_nxt = c.p_nxt = c.s_nxt = c.c_ack = 7000
    return c


@case()
def c0_forged_ack_of_an_adopted_connection(f):
    """What the guest says next is still believed."""
    c = older(f)
    p = c.pvm('A')
    c.svm('A')
    c.out(p)
    forge(c, ack=7000 + 0x50000000)
    c.both('PA', 100)
    c.client('PA', 100)
    c.both('PA', 100)


@case()
def c0_forged_ack_does_not_stand_for_the_comparison(f):
    """Of an adopted connection the client may have more than was seen here, but not what the guest says next."""
    c = older(f)
    p = c.pvm('A')
    c.svm('A')
    c.out(p)
    q = c.pvm('PA', 100)
    forge(c, ack=7000 + 0x1fffffff)
    f.held(1)
    c.svm('PA', 100)
    c.out(q)
    f.wait_stats(compared_bytes=100)
    p = c.pvm('PA', b'abc')
    c.svm('PA', b'abd')
    e = f.expect_event('miscompare', reason='payload')
    f.held(1)
    f.again(e)
    f.flush(p)


@case(each={'secondary_is_there': 0, 'secondary_comes': 1, 'secondary_goes_on': 2})
def c0_client_has_more_than_was_seen(f, late):
    """The guest repeats what the client has, as far as was said before the pair; the secondary never repeats."""
    c = older(f)
    c.svm('A', at=7000 if late else 7500)
    p = c.pvm('PA', 100)
    f.held(1)
    c.client('A', ack=7500)
    if not late:
        c.out(p)
    # Lost on its way to the guest.
    q = c.pvm('PA', 200)
    if late:
        f.held(2)
        c.svm(*('PA', 100) if late == 2 else 'A', at=7500)
        c.out(p)
    c.out(q)
    if late == 2:
        c.out(c.pvm('PA', 100, at=7500))
    else:
        c.both('PA', 100, at=7500)
    f.wait_stats(compared_bytes=100, miscompares=0)


@case(each={'some': 100, 'more': 600})
def c0_only_the_secondary_repeats_what_the_client_has(f, n):
    c = older(f)
    p = c.pvm('A')
    c.svm('A', at=7000)
    c.out(p)
    c.client('A', ack=7500)
    data = bytes(n % 251 for n in range(600))
    c.svm('PA', data[:n], at=7000)
    p = c.pvm('PA', data[500:], at=7500)
    if n == 100:
        f.held(1)
        c.svm('PA', data[500:], at=7500)
    c.out(p)
    f.wait_stats(compared_bytes=100, miscompares=0)


@case()
def c0_both_repeat_what_the_client_has(f):
    """Not the same; the rest is never said again."""
    c = older(f)
    c.svm('A', at=7000)
    p = [c.pvm('PA', 100)]
    c.client('A', ack=7500)
    p.append(c.pvm('PA', 100))
    c.svm('PA', 100, at=7100)
    f.held(2)
    q = c.pvm('PA', 100, at=7500)
    c.out(*p)
    f.held(1)
    c.svm('PA', 100, at=7500)
    c.out(q)
    f.wait_stats(compared_bytes=100, miscompares=0)


@case()
def c0_client_answers_what_was_repeated(f):
    """What it has was not known before."""
    c = older(f)
    c.both('PA', 100)
    c.client('A', ack=7500)
    c.both('PA', 100, at=7500)
    f.wait_stats(compared_bytes=200, miscompares=0)


@case()
def c0_head_for_a_client_that_has_more_than_was_seen(f):
    """It begins with what the client lacks."""
    c = older(f)
    c.svm('A', at=7500)
    p = c.pvm('PA', 100)
    f.held(1)
    c.client('A', ack=7500)
    c.out(p)
    c.pvm('PA', 20000, at=7500, mss=1448)
    c.svm('A', 5000, at=7500, mss=1448)
    head(f, c, 7500, 5000, gso=1448)
    c.svm('PA', 15000, at=12500, mss=1448)
    rest(f, c, 12500, 15000, gso=1448)


@case(each={'secondary_lags': False, 'secondary_first': True})
def c0_adopted_connection_that_lacks_a_piece(f, first):
    """The mirror lost what the client sent while the guests stood still, and nothing has left here since the pair is: the
    client hears the secondary's ACKs all the same, with its window, since nobody knows the scale."""
    f.checkpoint()
    c = f.conn(offset=0)
    c.c_nxt = c.p_nxt = c.s_nxt = c.c_ack = 7000
    for n in range(3):
        c.client('A', 1000)
    if first:
        c.svm('A', ack=7000, win=300)
        f.wait_stats(secondary_packets=1)
    c.pvm('A', win=50)
    f.held(1)
    c.svm('A', ack=7000, win=300)
    f.expect_lowered(c, 7000, win=300, seq=7000)
    c.client('A', 1000, at=7000)
    c.svm('A', ack=8000, win=4000)
    f.expect_lowered(c, 8000, win=4000, seq=7000)
    c.svm('A', ack=7000, win=300)
    p = c.pvm('PA', 100, win=50)
    f.held(2)
    c.svm('PA', 100, ack=8001, win=290)
    f.expect_lowered(c, 8001, win=290)
    # Both have all of it.
    c.svm('A', ack=10000, win=300)
    f.expect('lan', lambda q: q.ack == c.cisn + 10001 and not q.data)
    c.out(p)


@case(timeout=150, scan=30)
def r15_adopted_and_nobody_else_speaks(f):
    """The client's last word came before anything of the connection was seen, and was lost on the mirror: the secondary goes
    on repeating, and in the end a checkpoint tells it."""
    f.checkpoint()
    c = f.conn(offset=0)
    c.c_nxt = c.c_ack = 0
    c.p_nxt = c.s_nxt = 7000
    c.client('A', ack=7000)
    for n in range(3):
        c.svm('PA', 100, at=6900)
    e = f.expect_event('miscompare', reason='timeout')
    f.checkpoint()
    f.again(e)
    c.both('PA', 100)

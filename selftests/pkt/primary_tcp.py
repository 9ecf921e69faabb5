# SPDX-License-Identifier: GPL-2.0
"""R4, R5, R6, C0: one connection on the primary, from its SYN to its end."""

import packet
from harness import CLIENT, GUEST, CLIENT_MAC, GUEST_MAC, case, check, equal, stream, tag

OFFSETS = {'0': 0, '1': 1, '2p31m1': 2**31 - 1, '2p31': 2**31, 'm1': -1}


# --- R4: the handshake ---

@case()
def r4_syn_ack_waits_for_the_secondary(f):
    c = f.conn()
    c.client('S')
    p = c.pvm('SA')
    f.held(1)
    c.svm('SA')
    c.out(p)
    c.client('A')
    f.wait_stats(flows_opened=1, flows=1)


@case()
def r4_syn_ack_of_the_secondary_first(f):
    c = f.conn()
    c.client('S')
    c.svm('SA')
    f.wait_stats(secondary_packets=1)
    f.expect_nothing('lan')
    c.out(c.pvm('SA'))
    c.client('A')
    c.both('PA', 100)


@case()
def r4_lone_syn_ack_does_not_leave_for_an_ack(f):
    """QEMU lets any packet of the secondary release a SYN-ACK."""
    c = f.conn()
    c.client('S')
    p = c.pvm('SA')
    c.svm('A', at=0)
    f.held(1)
    c.s_nxt = -1
    c.svm('SA')
    c.out(p)


@case()
def r4_syn_ack_repeated_while_held(f):
    c = f.conn()
    c.client('S')
    p = [c.pvm('SA'), c.pvm('SA', at=-1)]
    f.held(2)
    c.svm('SA')
    c.out(*p)
    p = c.pvm('SA', at=-1)
    c.out(p)
    c.client('A')
    c.both('PA', 10)


@case()
def r4_syn_repeated_does_not_start_afresh(f):
    """Our SYN-ACK or the client's ACK was lost: SYN and SYN-ACK come again, the primary's leaves at once."""
    c = f.conn()
    c.client('S')
    p = c.pvm('SA')
    c.svm('SA')
    c.out(p)
    c.client('S', at=-1)
    c.out(c.pvm('SA', at=-1))
    f.wait_stats(flows_opened=1)
    c.client('A')
    c.both('PA', 10)


@case()
def r4_syn_ack_of_the_secondary_lost(f):
    """It is lost on the peer link: what waits for it leaves when it is repeated."""
    c = f.conn()
    c.client('S')
    p = [c.pvm('SA')]
    f.held(1)
    c.client('S', at=-1)
    p.append(c.pvm('SA', at=-1))
    f.held(2)
    c.svm('SA')
    c.out(*p)


@case(each=OFFSETS)
def r4_any_isn(f, offset):
    c = f.conn(offset=offset)
    c.open()
    equal(c.flow()['offset'], offset & packet.M32, 'offset')
    c.request()
    c.both('PA', 1000)
    c.client('A')
    p = c.pvm('PA', 1000)
    f.held(1)
    c.svm('PA', 400)
    c.svm('PA', 600)
    c.out(p)


@case(each={'%s_%s' % (a, b): (x, y) for a, x in (('p0', 0), ('pm1', -1), ('pm2', -2), ('p2p31', 2**31))
            for b, y in (('s0', 0), ('sm1', -1))}, ip=(4,))
def r4_isn_at_the_wrap(f, pisn, sisn):
    c = f.conn(pisn=pisn, offset=sisn - pisn, cisn=-1)
    c.open()
    c.request(3)
    for n in 1, 1, 2, 500:
        c.both('PA', n)
    c.client('A')
    c.both('FA')


@case(each={'higher': 5000, 'lower': -70000, 'far': 2**31 + 5})
def r4_reused_tuple_starts_afresh(f, step):
    """A closed tuple used again with another ISN is compared from its start, wherever the old one stood (QEMU
    releases different bytes uncompared for half of all ISNs)."""
    c = f.open()
    c.request()
    c.both('PA', 3000)
    c.client('FA')
    p = c.pvm('FA')
    c.svm('FA')
    c.out(p)
    c.client('A')
    d = f.conn(sport=c.cport, pisn=c.pisn + step, cisn=c.cisn + step)
    d.client('S')
    p = d.pvm('SA')
    f.held(1)
    d.svm('SA')
    d.out(p)
    d.client('A')
    equal(d.flow()['offset'], d.offset, 'offset')
    p = d.pvm('PA', 100)
    f.held(1)
    d.svm('PA', stream(0, 99) + b'!')
    e = f.expect_event('miscompare', reason='payload')
    equal(e['stream_offset'], 99)
    f.held(1)
    f.flush(p)


@case()
def r4_new_syn_of_the_client_on_a_live_tuple(f):
    """The client lost its state and uses the tuple again; both guests answer with a challenge ACK, are reset and
    accept the new SYN."""
    c = f.open()
    c.both('PA', 300)
    d = f.conn(sport=c.cport)
    d.client('S')
    p = c.pvm('A')
    c.svm('A')
    c.out(p)
    c.client('R', at=c.c_nxt)
    d.client('S', at=-1)
    p = d.pvm('SA')
    f.held(1)
    d.svm('SA')
    d.out(p)
    d.client('A')
    d.both('PA', 300)


@case()
def r4_new_connection_drops_what_the_old_one_held(f):
    """What a dead connection still wanted to say is dropped and counted."""
    c = f.open()
    c.pvm('PA', 100)
    c.svm('PA', b'?' * 50, at=200)
    c.sack(0, (200, 250))
    f.held(1)
    c.client('R')
    d = f.conn(sport=c.cport)
    d.client('S')
    p = d.pvm('SA')
    f.held(1)
    f.wait_stats(dropped_reset=1, queued=0)
    d.svm('SA')
    d.out(p)
    d.client('A')
    d.both('PA', 100)


# --- C0 ---

@case()
def c0_midstream_leaves_uncompared(f):
    c = f.conn()
    c.c_nxt = c.p_nxt = c.s_nxt = c.c_ack = 5000
    c.client('PA', 10)
    c.out(c.pvm('PA', 100))
    c.svm('PA', b'x' * 100)
    f.wait_stats(uncompared_midstream=1, secondary_unmatched=1, hold=0)
    c.out(c.pvm('FA'))
    f.wait_stats(uncompared_midstream=2)


# --- R6: the stream, not the packets ---

@case()
def r6_same_segments(f):
    c = f.open()
    c.request()
    p = c.pvm('PA', 1000)
    f.held(1)
    c.svm('PA', 1000)
    c.out(p)
    f.wait_stats(compared_bytes=1000)
    c.svm('PA', 1000)
    f.wait_stats(queued=1)
    f.expect_nothing()
    c.out(c.pvm('PA', 1000))
    f.wait_stats(compared_bytes=2000, queued=0)
    equal(c.flow()['compared'], 2000)


@case()
def r6_one_against_many(f):
    c = f.open()
    p = c.pvm('PA', 1400)
    for n in 1, 99, 1000, 299:
        c.svm('A', n)
    f.held(1)
    c.svm('PA', 1)
    c.out(p)


@case()
def r6_many_against_one(f):
    c = f.open()
    p = [c.pvm('A', n) for n in (1, 99, 1000, 299, 1)]
    f.held(5)
    c.svm('PA', 1400)
    c.out(*p)


@case()
def r6_secondary_ahead(f):
    c = f.open()
    for n in 600, 1400, 1000:
        c.svm('A', n)
    c.out(c.pvm('A', 500))
    c.out(c.pvm('A', 1000))
    c.out(c.pvm('A', 1))
    c.out(c.pvm('A', 1499))
    f.wait_stats(compared_bytes=3000)


@case(each={str(n): n for n in range(4)})
def r6_any_segmentation(f, seed):
    """Random cuts on both sides, across the wrap, in any interleaving; what may leave leaves at once."""
    r = f.rand
    total = 30000
    c = f.open(pisn=-r.randrange(total))
    cut = {'p': 0, 's': 0}
    waiting = []
    while waiting or min(cut.values()) < total:
        who = r.choice('ps')
        if cut[who] == total:
            who = 'p' if who == 's' else 's'
        if cut[who] < total:
            n = min(r.choice((1, 2, 3, 100, 536, 1448)), total - cut[who])
            cut[who] += n
            if who == 'p':
                waiting.append(c.pvm('A', n))
            else:
                c.svm('A', n)
        ready = [p for p in waiting if p.end <= cut['s']]
        waiting = waiting[len(ready):]
        if ready:
            c.out(*ready)
            c.client('A')
    f.wait_stats(compared_bytes=total)


@case()
def r6_gso_super_packets(f):
    """The client has still something to acknowledge, so nothing leaves before the whole."""
    c = f.open()
    c.both('A', 100)
    p = c.pvm('PA', 40000, mss=1448)
    f.held(1)
    for n in range(27):
        c.svm('A', 1448)
    f.held(1)
    c.svm('PA', 40000 - 27 * 1448)
    c.out(p)
    c.client('A')
    c.svm('PA', 30000, mss=1000)
    c.svm('PA', 10000, mss=1400)
    p = [c.pvm('A', 1448) for n in range(27)]
    p.append(c.pvm('PA', 40000 - 27 * 1448))
    c.out(*p)


@case()
def r11_header_in_pieces(f):
    """The sender of a super-packet says how much of it is header, and may say too little: options are elsewhere."""
    c = f.open()
    nops = b'\1' * 40
    p = c.pvm('PA', 20000, mss=1448, linear=1, opts=nops)
    f.held(1)
    c.svm('PA', 20000, mss=1448, linear=1, opts=nops)
    c.out(p)
    equal(f.count('malformed') + f.count('secondary_malformed'), 0, 'malformed')


@case()
def r6_gso_difference(f):
    c = f.open()
    c.both('A', 100)
    data = bytearray(stream(100, 60000))
    data[54321] ^= 1
    p = c.pvm('PA', 60000, mss=1448)
    c.svm('A', bytes(data[:30000]), mss=1448)
    c.svm('A', bytes(data[30000:]), mss=1000)
    e = f.expect_event('miscompare', reason='payload')
    equal((e['seq'], e['stream_offset']), (c.stream_seq(54421), 54421))
    f.held(1)
    f.flush(p)


@case()
def r6_retransmission_leaves_at_once(f):
    c = f.open()
    c.request()
    c.both('PA', 500)
    for at, n in (0, 500), (100, 200), (499, 1):
        c.out(c.pvm('PA', n, at=at))
    f.wait_stats(hold=3)
    n = f.count('secondary_covered')
    c.svm('PA', 500, at=0)
    f.wait_stats(secondary_covered=n + 1)
    c.both('PA', 10)


@case(each={'primary': 0, 'secondary': 1, 'both': 2})
def r6_straddling_retransmission(f, who):
    c = f.open()
    c.both('PA', 1000)
    p = c.pvm('PA', 1000, at=500 if who != 1 else 1000)
    f.held(1)
    c.svm('PA', 1000, at=500 if who else 1000)
    if who == 1:
        f.held(1)
        c.svm('A', 500)
    c.out(p)
    if who == 0:
        c.out(c.pvm('PA', 500))


@case()
def r6_straddling_difference(f):
    """Only what is new is compared, and the difference is reported where it is."""
    c = f.open()
    c.both('PA', 1000)
    p = c.pvm('PA', b'#' * 500 + stream(1000, 500), at=500)
    c.svm('PA', stream(1000, 499) + b'!')
    e = f.expect_event('miscompare', reason='payload')
    equal((e['seq'], e['stream_offset']), (c.stream_seq(1499), 1499))
    f.held(1)
    f.flush(p)


@case()
def r6_primary_out_of_order(f):
    """The hole is filled late: all leave together, as the guest sent them."""
    c = f.open()
    second = c.pvm('A', 100, at=100)
    c.svm('A', 200)
    f.held(1)
    first = c.pvm('A', 100, at=0)
    c.client('A', ack=0)
    c.out(second, first)


@case()
def r6_primary_hole_and_secondary_late(f):
    c = f.open()
    p = [c.pvm('A', 100, at=200), c.pvm('A', 100, at=100)]
    c.svm('A', 100)
    f.held(2)
    p.append(c.pvm('A', 100, at=0))
    c.out(p.pop())
    c.svm('A', 200)
    c.out(*p)


@case()
def r6_secondary_out_of_order(f):
    c = f.open()
    p = [c.pvm('A', 100) for n in range(3)]
    c.svm('A', 100, at=200)
    c.sack(0, (200, 300))
    c.svm('A', 100, at=100)
    c.sack(0, (100, 300))
    f.held(3)
    c.svm('A', 100, at=0)
    c.out(*p)


@case()
def r6_secondary_hole_filled_by_an_overlap(f):
    c = f.open()
    p = c.pvm('A', 300)
    c.svm('A', 100, at=150)
    c.sack(0, (150, 250))
    c.svm('A', 50, at=250)
    c.sack(0, (150, 300))
    f.held(1)
    c.svm('A', 200, at=0)
    c.out(p)


@case()
def r6_duplicates(f):
    c = f.open()
    p = [c.pvm('A', 100, at=0), c.pvm('A', 100, at=0), c.pvm('A', 200, at=0)]
    f.held(3)
    c.svm('A', 100, at=0)
    c.out(*p[:2])
    # The secondary waits for the client: what is compared of the third leaves, too.
    c.svm('A', 100, at=0)
    q = f.expect('lan', lambda t: t.dport == c.cport)
    equal((q.seq, q.data), (c.stream_seq(0), stream(0, 100)), 'its head')
    f.held(1)
    c.svm('A', 100, at=100)
    q = f.expect('lan', lambda t: t.dport == c.cport)
    equal((q.seq, q.data), (c.stream_seq(100), stream(100, 100)), 'the rest')
    c.svm('A', 200, at=0)
    f.wait_stats(queued=0)


@case()
def r6_duplicate_of_the_secondary_ahead(f):
    c = f.open()
    for n in range(3):
        c.svm('A', 100, at=0)
    c.svm('A', 100, at=50)
    c.out(c.pvm('A', 150))
    f.wait_stats(queued=0)


@case()
def r6_headers_do_not_count(f):
    """What is not the stream may differ: IP id, TOS, PSH, URG, window, options, their size."""
    c = f.open()
    c.request()
    ts = packet.options(1, 1, packet.timestamps(1, 2))
    p = c.pvm('PA', 100, opts=ts, tos=4, ipid=77, win=1000)
    c.svm('A', 100, opts=packet.options(packet.sack((1, 2)), 1, 1), tos=0x10, win=20000)
    c.out(p)
    p = c.pvm('A', 100)
    c.svm('PA', 100, opts=ts)
    c.out(p)


@case(ip=(4,))
def r6_ip_options(f):
    c = f.open()
    p = c.pvm('PA', 100, ipopts=b'\x94\x04\x00\x00')
    c.svm('PA', 100)
    c.out(p)
    p = c.pvm('PA', 100)
    c.svm('PA', 100, ipopts=b'\x01' * 8)
    c.out(p)


@case(ip=(6,))
def r6_extension_headers(f):
    c = f.open()
    hop = (0, b'\0\1\4\0\0\0\0')
    dest = (60, b'\1' + b'\1\14' + b'\0' * 12)
    p = c.pvm('PA', 100, ext=[hop, dest])
    f.held(1)
    c.svm('PA', 100, ext=[dest])
    c.out(p)
    p = c.pvm('PA', 100)
    c.svm('PA', 100, ext=[hop])
    c.out(p)


@case()
def r6_keepalive_and_window_probe(f):
    """A segment below cmp leaves at once: without data, or with the last byte again."""
    c = f.open()
    c.request()
    c.both('PA', 50)
    c.client('A', win=0)
    for n in 0, 1:
        c.out(c.pvm('A', n, at=49))
    f.wait_stats(queued=0)
    # A probe with one new byte waits like any data.
    p = c.pvm('A', 1, at=50)
    f.held(1)
    c.svm('A', 1, at=50)
    c.out(p)
    # The client's keepalive, and the answer to it.
    c.client('A', at=c.c_nxt - 1)
    c.out(c.pvm('A'))
    # Our window shut, the client's probe, and the answer.
    c.svm('A', win=0)
    c.out(c.pvm('A', win=0))
    c.client('A', 1)
    c.out(c.pvm('A', win=0, ack=c.c_nxt - 1))
    c.c_nxt -= 1


# --- R5: FIN ---

@case()
def r5_fin_meets_fin(f):
    c = f.open()
    c.both('PA', 100)
    p = c.pvm('FA')
    c.svm('A')
    f.held(1)
    c.svm('FA')
    c.out(p)
    f.wait_stats(queued=0)


@case()
def r5_fin_of_the_secondary_first(f):
    c = f.open()
    c.svm('FPA', 100)
    f.wait_stats(queued=1)
    c.out(c.pvm('PA', 100))
    f.expect_nothing()
    c.out(c.pvm('FA'))


@case(each={'primary': True, 'secondary': False})
def r5_fin_with_data_or_apart(f, together):
    c = f.open()
    if together:
        p = [c.pvm('FPA', 100)]
        c.svm('PA', 100)
        f.held(1)
        c.svm('FA')
    else:
        p = [c.pvm('PA', 100), c.pvm('FA')]
        c.svm('PA', 50)
        f.held(2)
        c.svm('FPA', 50)
    c.out(*p)


@case()
def r5_fin_repeated(f):
    c = f.open()
    p = [c.pvm('FPA', 100), c.pvm('FPA', 100, at=0), c.pvm('FA', at=100)]
    f.held(3)
    c.svm('FPA', 100)
    c.out(*p)
    for at, n in (0, 100), (50, 50), (100, 0):
        c.out(c.pvm('FPA', n, at=at))
    c.svm('FA', at=100)
    f.wait_stats(queued=0)


@case()
def r5_fin_lost(f):
    """The secondary's FIN is lost on the link, and again, and then comes."""
    c = f.open()
    c.both('PA', 10)
    p = [c.pvm('FA', at=10) for n in range(3)]
    f.held(3)
    c.svm('FA')
    c.out(*p)
    c.client('FA')
    c.svm('A')
    c.out(c.pvm('A'))


@case()
def r5_orderly_close(f):
    c = f.open()
    c.request()
    c.both('FPA', 100)
    c.client('A')
    c.client('FA')
    p = c.pvm('A')
    f.held(1)
    c.svm('A')
    c.out(p)
    until_closed(f, c)


def until_closed(f, c):
    fl = c.flow()
    check(fl is None or fl['flow_state'] in ('closing', 'closed'), 'the flow is %r', fl)


@case()
def r5_client_closes_first(f):
    c = f.open()
    c.request()
    c.client('FA')
    p = c.pvm('A')
    f.held(1)
    c.svm('A')
    c.out(p)
    c.both('PA', 10)
    c.both('FA')
    c.client('A')
    until_closed(f, c)


@case()
def r5_half_close_with_data(f):
    """The client ends its side; the download goes on, and ends."""
    c = f.open()
    c.client('FPA', 100)
    p = c.pvm('A')
    c.svm('A')
    c.out(p)
    for n in range(5):
        p = c.pvm('A', 1400)
        f.wait_stats(held=1)
        c.svm('A', 1400)
        c.out(p)
        c.client('A')
    c.both('FA')
    c.client('A')


@case()
def r5_half_close_by_the_guest(f):
    """The guest ends its side; the upload goes on, and is acked when both have it."""
    c = f.open()
    c.both('FA')
    c.client('A')
    for n in range(5):
        c.client('A', 1000)
        p = c.pvm('A')
        f.wait_stats(held=1)
        c.svm('A')
        c.out(p)
    c.client('FA')
    p = c.pvm('A')
    c.svm('A')
    c.out(p)


@case(each={'secondary_too': True, 'primary_only': False})
def r5_simultaneous_close(f, both):
    """FINs cross; the secondary may see another order of things than the primary."""
    c = f.open()
    c.both('PA', 10)
    p = c.pvm('FA')
    c.client('FA', ack=10)
    q = c.pvm('A')
    f.held(2)
    if both:
        c.svm('FA', ack=c.c_nxt - 1)
        c.out(p)
        f.held(1)
        c.svm('A')
        c.out(q)
    else:
        c.svm('A')
        c.out(q)
        f.held(1)
        c.svm('FA')
        c.out(p)
    c.client('A')
    until_closed(f, c)


# --- R5: RST ---

@case(each={'without_ack': 'R', 'with_ack': 'RA'})
def r5_rst_meets_rst(f, flags):
    c = f.open()
    c.request()
    p = c.pvm(flags)
    c.svm('A')
    f.held(1)
    c.svm(flags)
    c.out(p)
    f.wait_stats(queued=0)


@case(each={'without_ack': 'R', 'with_ack': 'RA'})
def r5_rst_of_the_secondary_first(f, flags):
    c = f.open()
    c.request()
    c.svm(flags)
    f.expect_nothing('lan')
    c.out(c.pvm(flags))
    f.wait_stats(queued=0)


@case()
def r5_rst_with_against_without_ack(f):
    c = f.open()
    c.request()
    p = c.pvm('RA')
    c.svm('R')
    c.out(p)


@case()
def r5_rst_after_different_progress(f):
    """RST meets RST though one guest had said more: what was never compared is dropped, not sent."""
    c = f.open()
    c.request()
    c.both('PA', 100)
    c.pvm('PA', 500)
    p = c.pvm('RA')
    f.held(2)
    c.svm('RA')
    c.out(p)
    f.wait_stats(dropped_reset=1, held=0)
    f.expect_nothing('lan')


@case()
def r5_rst_after_different_progress_of_the_secondary(f):
    """What the secondary alone had said is forgotten."""
    c = f.open()
    c.request()
    c.svm('PA', 500)
    c.svm('RA')
    c.out(c.pvm('RA'))
    f.wait_stats(queued=0, queued_bytes=0)


@case()
def r5_rst_of_a_refused_connection(f):
    """Both guests refuse the SYN: the RST has seq 0 and leaves when both have said it."""
    c = f.conn(pisn=-1, offset=0)
    c.client('S')
    p = c.pvm('RA', at=0)
    f.held(1)
    c.svm('RA', at=0)
    c.out(p)


@case()
def r5_rst_in_the_handshake(f):
    """Refused after the SYN-ACK left."""
    c = f.open()
    p = c.pvm('R')
    f.held(1)
    c.svm('R')
    c.out(p)


@case()
def r5_rst_of_the_client(f):
    """The client's RST goes to both guests and ends the flow; the tuple can be used again."""
    c = f.open()
    c.request()
    c.both('PA', 100)
    c.client('RA')
    d = f.open(sport=c.cport)
    d.both('PA', 100)


@case()
def r5_rst_repeated(f):
    """A reset guest answers whatever still comes with an RST."""
    c = f.open()
    c.request()
    p = c.pvm('RA')
    c.svm('RA')
    c.out(p)
    c.client('A', 10)
    p = c.pvm('R', at=0)
    c.svm('R', at=0)
    c.out(p)


# --- others ---

@case()
def r6_two_connections_do_not_mix(f):
    c, d = f.open(), f.open()
    p, q = c.pvm('PA', 100), d.pvm('PA', 200)
    f.held(2)
    d.svm('PA', 200)
    d.out(q)
    f.held(1)
    c.svm('PA', 100)
    c.out(p)


@case()
def r6_client_data_is_not_touched(f):
    """Towards the guests nothing is held or changed, whatever it is."""
    c = f.open()
    for flags, n in ('PA', 1400), ('A', 0), ('PAU', 3), ('A', 1):
        c.client(flags, n, opts=packet.options(1, 1, packet.timestamps(5, 6)))
    c.client('A', 40000, mss=1448)
    p = c.pvm('A')
    c.svm('A')
    c.out(p)
    f.wait_stats(hold=2)


@case()
def r8_frames_that_are_not_ip_leave_at_once(f):
    frame = packet.arp(1, GUEST_MAC, GUEST[False], b'\0' * 6, CLIENT[False])
    f.ports['pv'].send(frame)
    f.expect('lan', frame)
    f.ports['ps'].send(frame)
    f.wait_stats(secondary_ignored=1)
    f.expect_nothing('lan')

# SPDX-License-Identifier: GPL-2.0
"""W1 to W6, C2, C4, C6: the secondary host rewrites what its guest says and hears."""

import itertools

import packet
from harness import CLIENT, GUEST, CLIENT_MAC, GUEST_MAC, Port, Sent, case, check, equal, gather, tag
from packet import M32, options, sack, timestamps
from primary_tcp import OFFSETS


# --- W4: learning ---

@case('secondary', each=OFFSETS)
def w4_any_offset(f, offset):
    """Passive open: learnt from the SYN-ACK and the client's first ACK, which is translated already."""
    c = f.open(offset=offset)
    c.talk()
    c.mirror('PA', 1400)
    c.svm('PA', 1400)
    f.wait_stats(learnt=1)
    equal(f.pair()['translated'], 1 if offset else 0, 'translated connections')
    fl = c.flow()
    equal((fl['offset'], fl['flow_state']), (offset & M32, 'established'))


@case('secondary', each={'%s_%s' % (a, b): (x, y) for (a, x), (b, y) in itertools.product(
    (('p0', 0), ('pm1', -1), ('pm100', -100)), (('s0', 0), ('sm1', -1), ('sm150', -150)))}, ip=(4,))
def w4_across_the_wrap(f, pisn, sisn):
    """Either side's numbers pass 2^32 while data flows."""
    c = f.open(pisn=pisn, offset=sisn - pisn, cisn=-20)
    for n in 1, 1, 30, 100, 1000:
        c.talk(n)
    base = lambda isn: options(1, 1, sack((isn + 1 + 1132, isn + 1 + 1200)))
    c.svm('A', 100)
    c.mirror('A', ack=1132, opts=base)


@case('secondary')
def w4_nothing_is_learnt_before_the_ack(f):
    c = f.conn()
    c.mirror('S')
    for n in range(3):
        c.svm('SA', at=-1)
    equal(c.flow()['flow_state'], 'opening')
    check('offset' not in c.flow(), 'an offset in %r', c.flow())
    equal(f.pair()['translated'], 0)


@case('secondary')
def w4_first_ack_carries_data(f):
    """The bare ACK was lost on the mirror, the request was not (peers R7)."""
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    c.known = c.offset
    c.mirror('PA', 500)
    c.svm('A')
    c.talk()


@case('secondary')
def w4_later_ack_is_the_first(f):
    """The bare ACK and the first data segment were lost on the mirror."""
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    c.known = c.offset
    c.mirror('PA', 500, at=500)
    c.svm('A', ack=0)
    c.mirror('PA', 500, at=0)
    c.svm('A')
    c.talk()


@case('secondary')
def w4_syn_ack_repeated(f):
    """Before the ACK in SVM's numbers, after it in the primary's (W2)."""
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    c.svm('SA', at=-1)
    c.known = c.offset
    c.mirror('A')
    c.svm('SA', at=-1)
    c.mirror('A')
    c.talk()


@case('secondary')
def w4_duplicate_syn_does_not_disturb(f):
    """(peers R5)"""
    c = f.open()
    c.mirror('S', at=-1)
    c.talk()
    c.mirror('S', at=-1)
    c.svm('A')
    c.talk()


@case('secondary')
def w4_forged_syn_does_not_disturb(f):
    """Another ISN out of nowhere: SVM answers with a challenge ACK, which is translated, and all goes on."""
    c = f.open()
    c.talk()
    d = f.conn(sport=c.cport)
    d.mirror('S')
    c.svm('A')
    c.talk()
    d.mirror('S', at=-1)
    c.talk()


@case('secondary')
def w4_forged_syn_in_the_handshake(f):
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    d = f.conn(sport=c.cport)
    d.mirror('S')
    c.known = c.offset
    c.mirror('A')
    c.talk()


@case('secondary')
def w4_forged_ack_out_of_window_is_ignored(f):
    """An ACK whose seq cannot be the client's teaches nothing."""
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    for at in -100000, 2**31, 200000:
        c.mirror('A', at=at, ack=12345, deliver=False)
    c.c_nxt = 0
    f.pump(0.01)
    f.ports['sv'].queue.clear()
    check('offset' not in c.flow(), 'an offset in %r', c.flow())
    c.known = c.offset
    c.mirror('A')
    c.talk()


@case('secondary')
def w4_offset_is_provisional(f):
    """Learnt from a wrong ACK in the window, and learnt again from the next, until SVM has sent a byte."""
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    c.mirror('A', ack=777, known=c.offset - 777)
    c.known = c.offset
    c.mirror('A')
    c.mirror('PA', 10)
    c.svm('A')
    c.svm('PA', 100)
    # Now it stands: an ack that covers data is just an ack.
    c.mirror('A', ack=50)
    c.mirror('A', ack=100)
    c.talk()


@case('secondary')
def w4_offset_stands_after_the_first_byte(f):
    c = f.open()
    c.svm('PA', 100)
    c.mirror('A', ack=10)
    c.svm('PA', 100, at=0)
    c.mirror('A', ack=100)
    equal(c.flow()['offset'], c.offset)


@case('secondary')
def w4_many_connections(f):
    """Each has its own offset."""
    conns = [f.open() for n in range(10)]
    for c in conns:
        c.talk(10)
    equal(f.pair()['translated'], 10)


# --- W6 ---

@case('secondary')
def w6_midstream_is_untouched(f):
    c = f.conn(offset=0)
    c.c_nxt = c.s_nxt = 5000
    c.mirror('PA', 100)
    c.svm('PA', 100)
    c.mirror('A')
    check(f.stats()['untracked'] > 0, 'untracked is 0')
    equal(f.pair()['translated'], 0)


@case('secondary')
def w6_a_deleted_pair_leaves_nothing_behind(f):
    """The offsets of a pair die with it: the next one, with another guest, must not go on with them."""
    c = f.open()
    c.talk()
    f.cli('pair', 'del', 'p', 'force')
    f.add()
    equal(f.pair()['translated'], 0, 'translated connections')
    equal(f.flows(), [], 'flows')
    c.actual = c.known = 0
    c.talk()


@case('secondary')
def w6_pair_comes_later(f):
    """A connection opened before the pair was made."""
    f.cli('pair', 'del', 'p', 'force')
    c = f.conn(offset=0)
    for flags in 'S', 'A':
        at, data, _ = c.place('c', flags, b'', None)
        frame = Sent(*c.frame(True, c.cisn, c.pisn, flags, at, 0, data))
        f.ports['sp'].send(frame.raw)
        f.expect('sv', frame)
        if flags == 'S':
            at, data, _ = c.place('s', 'SA', b'', None)
            frame = Sent(*c.frame(False, c.pisn, c.cisn, 'SA', at, 0, data))
            f.ports['sv'].send(frame.raw)
            f.expect('sp', frame)
    f.add()
    c.talk()
    equal(f.pair()['translated'], 0)


# --- W1: what is rewritten ---

SACKS = {
    'one': lambda i: options(1, 1, sack((i + 1001, i + 2001))),
    'two': lambda i: options(1, 1, sack((i + 1001, i + 2001), (i + 3001, i + 4001))),
    'three': lambda i: options(1, 1, sack((i + 1001, i + 2001), (i + 3001, i + 4001), (i + 5001, i + 6001))),
    'four': lambda i: options(1, 1, sack(*[(i + n, i + n + 10) for n in (100, 200, 300, 400)])),
    'with_timestamps': lambda i: options(1, 1, timestamps(7, 8), 1, 1, sack((i + 1, i + 2), (i + 5, i + 9))),
    'after_timestamps': lambda i: options(timestamps(7, 8), sack((i + 1, i + 2))),
    'odd': lambda i: options(1, sack((i + 1001, i + 2001))),
    'not_aligned': lambda i: options(sack((i + 1001, i + 2001))),
    'odd_three': lambda i: options(1, 1, 1, sack((i + 1001, i + 2001), (i + 9, i + 10))),
    'twice': lambda i: options(sack((i + 1, i + 2)), sack((i + 3, i + 4))),
    'dsack': lambda i: options(1, 1, sack((i - 500, i - 400), (i + 2, i + 900))),
    'unknown_before': lambda i: options((253, b'abc'), sack((i + 3, i + 4))),
    'after_eol': lambda i: options(1, 0) + options(sack((1000, 2000))),
    'length_0': lambda i: bytes([5, 0]) + b'\1' * 10,
    'length_1': lambda i: bytes([5, 1]) + b'\1' * 10,
    'length_beyond': lambda i: bytes([1, 1, 5, 18]) + b'\7' * 8,
    'length_odd': lambda i: bytes([1, 1, 5, 11]) + b'\7' * 9,
    'empty': lambda i: bytes([1, 1, 5, 2]),
    'unknown_length_0': lambda i: bytes([77, 0]) + options(sack((1000, 2000))),
    'unknown_beyond': lambda i: bytes([77, 99]) + options(sack((1000, 2000))),
    'no_length': lambda i: options(1, 1, 1) + bytes([5]),
}


@case('secondary', each=SACKS)
def w1_sack(f, opts):
    """SACK edges towards SVM are translated, malformed options left alone, the checksum right."""
    c = f.open(pisn=-600, offset=0x12345678)
    c.svm('A', 1000)
    c.mirror('A', ack=10, opts=opts)
    c.mirror('PA', 333, ack=10, opts=opts)


@case('secondary')
def w3_sack_of_svm_is_not_touched(f):
    """What SVM says about client data is in the shared space."""
    c = f.open()
    c.mirror('PA', 100, at=500)
    opts = options(1, 1, sack((c.cisn + 501, c.cisn + 601)))
    c.svm('A', ack=0, opts=opts)
    c.svm('PA', 99, ack=0, opts=options(1, 1, timestamps(5, 6)) + opts)


@case('secondary', ip=(4,), each={
    'rr': b'\x07\x0b\x04' + b'\0' * 9, 'alert': b'\x94\x04\0\0', 'nops': b'\1' * 40})
def w1_ip_options(f, ipopts):
    """(peers R9)"""
    c = f.open()
    for n in 0, 1, 100:
        c.mirror('PA', n, ipopts=ipopts)
        c.svm('PA', n, ipopts=ipopts)


EXT = {'hop': [(0, b'\0\1\4\0\0\0\0')], 'dest': [(60, b'\0\1\4\0\0\0\0')],
       'many': [(0, b'\0\1\4\0\0\0\0'), (60, b'\2' + b'\1\24' + b'\0' * 20), (60, b'\0\1\4\0\0\0\0')]}


@case('secondary', ip=(6,), each=EXT)
def w1_extension_headers(f, ext):
    c = f.open()
    for n in 0, 1, 100:
        c.mirror('PA', n, ext=ext)
        c.svm('PA', n, ext=ext)


@case('secondary')
def w1_payload_sizes(f):
    """No byte of the payload changes, whatever its length; the frame's padding is not the packet's."""
    c = f.open()
    for n in 1, 2, 3, 5, 1399, 1400:
        c.talk(n)
    c.mirror('A', win=0, urg=0)
    c.svm('PAU', 10, urg=5)
    c.mirror('PAU', 10, urg=5)


@case('secondary')
def w1_checksum_partial(f):
    """A guest with checksum offload: the pseudo checksum does not cover the numbers."""
    c = f.open()
    c.svm('PA', 100, partial=True)
    c.mirror('PA', 100, partial=True)
    c.svm('A', partial=True)
    c.mirror('A', partial=True, opts=SACKS['two'])


@case('secondary')
def r11_header_in_pieces_is_translated(f):
    """The sender of a super-packet says how much of it is header, and may say too little: options are elsewhere."""
    c = f.open()
    nops = b'\1' * 40
    c.svm('PA', 30000, mss=1448, linear=1, opts=nops)
    c.mirror('PA', 30000, mss=1448, linear=1, opts=nops)


@case('secondary')
def w1_gso_stays_gso(f):
    """A super-packet leaves as one super-packet."""
    c = f.open()
    c.svm('PA', 30000, mss=1448)
    c.mirror('PA', 30000, mss=1448)
    c.svm('A', 2000, mss=1000)
    c.mirror('A', ack=5, opts=SACKS['one'], data=b'x' * 5000, mss=1400)


@case('secondary')
def w1_bad_checksum_stays_bad(f):
    """A packet damaged on its way must not be mended by us."""
    c = f.open()
    c.svm('PA', 100, bad_sum=True, deliver=False)
    f.pump(0.01)
    for p in f.ports['sp'].queue:
        check('TCP checksum' in p.errors, 'came out right: %r', p)
    f.ports['sp'].queue.clear()
    c.s_nxt -= 100
    c.svm('PA', 100)
    c.talk()


@case('secondary')
def w1_copies_are_not_written(f):
    """A sniffer at the port sees each packet as it came, though what goes on is rewritten: the data is shared."""
    c = f.open()
    for dev, say in ('peer', c.mirror), ('vm', c.svm):
        tap = Port('tap', f.host, dev)
        try:
            for n in 0, 100, 1400:
                say('PA', n)
                tap.read()
            check(len(tap.queue) == 3, 'the sniffer saw %r', tap.queue)
            for p in tap.queue:
                check(not p.errors, 'the sniffer saw %r', p)
                base = c.pisn if dev == 'peer' else c.sisn
                if dev == 'peer':
                    equal(p.ack, (base + 1) & M32, 'ack of the copy')
                else:
                    check((p.seq - base - 1) & M32 < 2000, 'seq of the copy: %r', p)
        finally:
            tap.close()


# --- W2: whatever its flags ---

@case('secondary')
def w2_every_combination_of_flags(f):
    """Of a translated connection no segment is left untranslated: neither from SVM nor to it."""
    c = f.open()
    c.talk()
    sets = [''.join(x) for n in range(7) for x in itertools.combinations('FPAUEC', n)]
    sets.sort(key=lambda s: 'F' in s)
    for flags in sets:
        must = 'A' in flags
        c.s_nxt = c.c_nxt = 100
        seen(f, 'sp', c.svm(flags, rawack=77, deliver=False) if not must else c.svm(flags, deliver=False), must, flags)
        c.s_nxt = c.c_nxt = 100
        seen(f, 'sv', c.mirror(flags, deliver=False), must, flags)


@case('secondary')
def w2_every_rst(f):
    """With every other flag; each on a connection of its own."""
    for flags in [''.join(x) + 'R' for n in range(5) for x in itertools.combinations('PAUE', n)]:
        for who in 'svm', 'mirror':
            c = f.open()
            c.talk()
            want = getattr(c, who)(flags, deliver=False)
            seen(f, 'sp' if who == 'svm' else 'sv', want, flags in ('R', 'AR', 'PAR'), flags)


def seen(f, port, want, must, flags):
    """The frame came as wanted, or - where the host may drop nonsense - not at all."""
    queue = f.ports[port].queue
    f.pump(0)
    if must and not queue:
        f.pump(0.05)
    check(queue or not must, 'flags %s: nothing at %s', flags, port)
    for p in queue:
        check(want.matches(p), 'flags %s at %s: %r, not %r', flags, port, p, want)
    queue.clear()


@case('secondary', each=OFFSETS)
def w2_rst_without_ack(f, offset):
    """Its seq comes from the translated ack of what it answers: translated back (peers R6)."""
    c = f.open(offset=offset)
    c.talk()
    c.svm('R')


@case('secondary', each=OFFSETS)
def w2_rst_without_ack_to_an_old_packet(f, offset):
    """It answers a late packet, so its seq is below what the client has acked since."""
    c = f.open(offset=offset)
    c.talk()
    c.svm('R', at=50)


@case('secondary', each=OFFSETS)
def w2_rst_with_ack(f, offset):
    c = f.open(offset=offset)
    c.talk()
    c.svm('RA')


@case('secondary')
def w2_rst_of_the_client(f):
    c = f.open()
    c.talk()
    c.mirror('RA')
    c.svm('R', deliver=False)
    f.pump(0.01)
    f.ports['sp'].queue.clear()


@case('secondary')
def w2_rst_with_seq_0_before_learning(f):
    """SVM refuses the SYN: there is nothing to translate."""
    c = f.conn(pisn=-1, offset=0)
    c.mirror('S')
    c.svm('RA', at=0)


@case('secondary')
def w2_rst_with_seq_0_after_learning(f):
    """On a translated connection seq 0 is a number like any other."""
    c = f.open(pisn=0x1000, offset=-0x1001 - 500)
    c.svm('A', 500)
    c.svm('RA', at=500)


@case('secondary')
def w2_until_the_end(f):
    """FIN, the last ACK, and repetitions after it."""
    c = f.open()
    c.talk()
    c.svm('FPA', 10)
    c.mirror('A')
    c.mirror('PA', 10)
    c.svm('A')
    c.mirror('FA')
    c.svm('A')
    c.svm('FA', at=c.s_nxt - 1)
    c.mirror('FA', at=c.c_nxt - 1)
    c.svm('A')


@case('secondary')
def w2_client_closes_first(f):
    c = f.open()
    c.mirror('FPA', 10)
    c.svm('A')
    for n in range(3):
        c.svm('PA', 1000)
        c.mirror('A')
    c.svm('FA')
    c.mirror('A')
    c.mirror('A')
    c.svm('FA', at=c.s_nxt - 1)


@case('secondary')
def w2_simultaneous_close(f):
    c = f.open()
    c.svm('FA')
    c.mirror('FA', ack=c.s_nxt - 1)
    c.svm('A')
    c.mirror('A')


# --- reuse ---

@case('secondary', each={'fin': 'fin', 'rst': 'rst'})
def w7_reused_tuple_starts_afresh(f, how):
    c = f.open()
    c.talk()
    if how == 'fin':
        c.svm('FA')
        c.mirror('FA')
        c.svm('A')
    else:
        c.mirror('RA')
    d = f.conn(sport=c.cport, cisn=c.cisn + 100000)
    d.mirror('S')
    d.svm('SA')
    d.known = d.offset
    d.mirror('A')
    d.talk()


@case('secondary')
def w7_reused_in_time_wait(f):
    """SVM closed first and waits; a SYN with a higher number opens the tuple anew."""
    c = f.open()
    c.svm('FA')
    c.mirror('A')
    c.mirror('FA')
    c.svm('A')
    d = f.conn(sport=c.cport, cisn=c.cisn + 70000, offset=5)
    d.mirror('S')
    d.svm('SA')
    d.known = 5
    d.mirror('A')
    d.talk()


@case('secondary')
def w7_client_reset_and_came_back(f):
    """The client lost its state: SYN, challenge ACK, RST, SYN."""
    c = f.open()
    c.talk()
    d = f.conn(sport=c.cport)
    d.mirror('S')
    c.svm('A')
    c.mirror('R', at=c.c_nxt)
    d.mirror('S', at=-1)
    d.svm('SA')
    d.known = d.offset
    d.mirror('A')
    d.talk()


# --- C2, C3, C4, C6 ---

@case('secondary')
def c2_commit_zeroes_offsets(f):
    """SVM is a copy of the primary now: connections, open and half open, have its numbers."""
    c, h = f.open(), f.conn()
    c.talk()
    h.mirror('S')
    h.svm('SA')
    f.begin()
    f.commit()
    equal(f.epoch, 1)
    c.actual = c.known = h.actual = h.known = 0
    c.talk()
    h.svm('SA', at=-1)
    h.mirror('A')
    h.talk()
    equal(f.pair()['translated'], 0)
    d = f.open()
    d.talk()
    c.talk()
    equal(f.pair()['translated'], 1)


@case('secondary')
def c2_twenty_commits(f):
    """Each with a connection of its own; the old ones stay at 0, the tag follows the epoch."""
    old = []
    for n in range(20):
        c = f.open()
        c.talk(10)
        for o in old[-3:]:
            o.talk(10)
        f.begin()
        f.commit()
        c.actual = c.known = 0
        old.append(c)
        c.talk(10)
    equal(f.epoch, 20)


@case('secondary', each={'0': 0, '62': 62, '254': 254, '255': 255, '256': 256}, ip=(4,))
def c4_tag(f, epoch):
    """TTL = 1 + epoch mod 255 in all IP that SVM says, and in nothing else."""
    if epoch:
        f.begin()
        f.commit(epoch)
    c = f.open()
    for ttl in 1, 64, 255:
        c.svm('PA', 10, ttl=ttl)
        c.mirror('A', ttl=ttl)
    frame = packet.udp(GUEST[False], CLIENT[False], 53, 4000, b'hello', macs=(CLIENT_MAC, GUEST_MAC))
    f.ports['sv'].send(frame)
    p = f.expect('sp', lambda p: p.proto == 17)
    equal(p.ttl, tag(epoch), 'TTL of UDP')


@case('secondary')
def c3_abort_keeps_offsets(f):
    c = f.open()
    c.talk()
    f.begin()
    f.abort()
    c.talk()
    equal(f.epoch, 0)
    equal(c.flow()['offset'], c.offset)


@case('secondary')
def c6_nothing_of_svm_leaves_in_a_checkpoint(f):
    c = f.open()
    c.talk()
    f.begin()
    for n in range(3):
        c.svm('PA', 100, at=100, deliver=False)
    d = f.conn()
    d.svm('SA', deliver=False)
    f.wait_stats(gated=4)
    f.expect_nothing('sp')
    f.abort()
    c.svm('PA', 100, at=100)


@case('secondary', each={'commit': True, 'abort': False})
def c6_mirrored_frames_wait(f, commit):
    """They are translated when they are delivered, by the offsets then in force, and keep their order."""
    c = f.open()
    c.talk()
    f.begin()
    if commit:
        c.actual = c.known = 0
    waiting = [c.mirror('PA', 100, deliver=False) for n in range(5)]
    d = f.conn()
    waiting.append(d.mirror('S', deliver=False))
    waiting.append(c.mirror('A', deliver=False))
    f.wait_stats(waited=7)
    f.expect_nothing('sv')
    if commit:
        f.commit()
    else:
        f.abort()
    f.expect_order('sv', *waiting)
    c.talk()
    d.svm('SA')
    d.known = d.offset
    d.mirror('A')
    d.talk()


@case('secondary', each={'commit': True, 'abort': False})
def c6_frames_in_midstream_wait(f, commit):
    """Those of connections that are older than the pair as well, all of them."""
    c, d = f.conn(offset=0), f.conn(offset=0)
    for e in c, d:
        e.c_nxt = e.s_nxt = 5000
    f.begin()
    waiting = [e.mirror('PA', 100, deliver=False) for n in range(4) for e in (c, d)]
    f.wait_stats(waited=8)
    if commit:
        f.commit()
    else:
        f.abort()
    f.expect_order('sv', *waiting)
    for e in c, d:
        e.svm('PA', 100)
        e.mirror('PA', 100)


@case('secondary', max_packets=16)
def c6_waiting_is_capped(f):
    f.allow.add('wait_dropped')
    c = f.open()
    f.begin()
    waiting = [c.mirror('PA', 10, deliver=False) for n in range(24)]
    f.wait_stats(waited=16, wait_dropped=8)
    f.abort()
    f.expect_order('sv', *waiting[:16])
    c.talk()


@case('secondary', timeout=30, scan=10)
def c3_begin_expires_on_the_secondary(f):
    c = f.open()
    c.talk()
    f.begin()
    w = c.mirror('PA', 10, deliver=False)
    f.expect_event('checkpoint', cause='expired')
    f.expect('sv', w)
    equal(f.state(), 'running')
    c.talk()


@case('secondary')
def c6_second_begin(f):
    """A repeated begin changes nothing on this side; the commit of the epoch that is in force neither."""
    c = f.open()
    f.begin()
    c.actual = c.known = 0
    w = c.mirror('PA', 10, deliver=False)
    f.begin()
    f.expect_nothing('sv')
    f.commit(3)
    f.expect('sv', w)
    f.commit(3)
    equal((f.epoch, f.state()), (3, 'running'))
    f.commit(4, rc=2)
    c.talk()


@case('secondary')
def c2_commit_before_the_first_ack(f):
    """The half-open handshake is forgotten; a client's ACK that comes later teaches nothing."""
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    f.begin()
    f.commit()
    c.actual = 0
    c.mirror('A')
    c.talk()
    equal(f.pair()['translated'], 0)


@case('secondary')
def w6_other_protocols_pass(f):
    """They are mirrored and go to the primary host as they are."""
    for n, v6 in enumerate((False, True)):
        frame = packet.udp(CLIENT[v6], GUEST[v6], 4000, 53, b'question', macs=(GUEST_MAC, CLIENT_MAC))
        f.ports['sp'].send(frame)
        f.expect('sv', frame)
    frame = packet.arp(1, CLIENT_MAC, CLIENT[False], b'\0' * 6, GUEST[False])
    f.ports['sp'].send(frame)
    f.expect('sv', frame)


@case('secondary')
def s5_pair_del_is_refused_while_connections_live(f):
    c = f.open()
    p = f.cli('pair', 'del', 'p', rc=2)
    check('1' in p.stderr, 'it does not say how many: %s', p.stderr)
    c.talk()
    f.cli('pair', 'del', 'p', 'force')
    f.add()


@case('secondary')
def s5_pair_del_without_connections(f):
    f.cli('pair', 'del', 'p')
    f.add()


@case('secondary')
def w1_list_of_segments(f):
    """Each segment has headers of its own; all are translated and tagged, not only the first one's."""
    c = f.open()
    c.talk()
    f.begin()
    f.commit(epoch=7)
    d = f.open()
    gather(f, 'peer', 'vm')
    gathered = set()
    for n in range(50):
        before, ack = f.stats(), d.s_nxt
        f.expect_order('sv', *[d.mirror('A', 1000, ack=ack, ipid=i, deliver=False) for i in range(3)])
        f.expect_order('sp', *[d.svm('A', 1000, deliver=False) for i in range(3)])
        after = f.stats()
        gathered |= {way for way in ('to_vm', 'from_vm') if after[way] < before[way] + 3}
        if len(gathered) == 2:
            break
    check(len(gathered) == 2, 'packets were gathered only in %r', gathered)

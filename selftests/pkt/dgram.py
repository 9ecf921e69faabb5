# SPDX-License-Identifier: GPL-2.0
"""R8, R12: datagrams, whatever is not TCP: held, compared, released; what may differ and what may not."""

import os
import struct
import time

import harness
import packet
from harness import CLIENT, CLIENT_MAC, GUEST, GUEST_MAC, SCALE, Sent, case, check, equal, stream, tag
from packet import eth, ip4, ip6

WINDOW = 256                # KCOLO_DGRAM_WINDOW
UDP, ICMP, ICMP6, SCTP, GRE, DCCP, UDPLITE, IGMP = 17, 1, 58, 132, 47, 33, 136, 2


def ip(v6, proto, body, ttl=64, ipid=0, tos=0, src=None, dst=None, ext=(), opts=b'', frag=0x4000, macs=None, pad=0):
    """A frame of the guest's."""
    src, dst = src or GUEST[v6], dst or CLIENT[v6]
    if v6:
        out = ip6(src, dst, proto, body, ttl=ttl, tos=tos, ext=ext)
    else:
        out = ip4(src, dst, proto, body, ttl=ttl, ipid=ipid, tos=tos, opts=opts, frag=frag)
    return eth(*(macs or (CLIENT_MAC, GUEST_MAC)), packet.ETH_IP6 if v6 else packet.ETH_IP, out) + b'\xee' * pad


def udp(v6, sport, dport, data, checksum=True):
    h = struct.pack('!HHHH', sport, dport, 8 + len(data), 0)
    check_sum = packet.csum(h + data, packet.pseudo(GUEST[v6], CLIENT[v6], UDP, len(h) + len(data))) ^ 0xffff or 0xffff
    return h[:6] + struct.pack('!H', check_sum if checksum else 0) + data


def icmp(v6, kind, code, rest, data=b''):
    """rest: the four bytes behind the checksum."""
    h = bytes([kind, code, 0, 0]) + rest + data
    start = packet.pseudo(GUEST[v6], CLIENT[v6], ICMP6, len(h)) if v6 else 0
    return h[:2] + struct.pack('!H', packet.csum(h, start) ^ 0xffff) + h[4:]


def sctp(v6, sport, dport, data, check_sum=0):
    return struct.pack('!HHII', sport, dport, 0x1234, check_sum) + data


class Talk:
    """What both guests say with one protocol.  make(v6, data, number) builds what is behind the IP header."""

    def __init__(self, f, proto=UDP, make=None, **kw):
        self.f, self.proto, self.kw = f, proto, kw
        self.number = f.port_number()
        self.make = make or (lambda v6, data, n: udp(v6, 53, n, data))
        self.ipid = 0

    def frame(self, data, **kw):
        if isinstance(data, int):
            data = b'#%d#' % data
        return Sent(ip(self.f.v6, self.proto, self.make(self.f.v6, data, self.number), **{**self.kw, **kw}))

    def pvm(self, data, **kw):
        self.ipid += 1
        frame = self.frame(data, **{'ipid': self.ipid, **kw})
        self.f.ports['pv'].send(frame.raw)
        return frame

    def svm(self, data, epoch=None, **kw):
        kw = {'ttl': tag(self.f.epoch if epoch is None else epoch), 'ipid': 0x7000 + self.ipid, **kw}
        frame = self.frame(data, **kw)
        self.f.ports['ps'].send(frame.raw)
        return frame

    def out(self, *frames):
        self.f.expect_order('lan', *frames)

    def both(self, data, **kw):
        p = self.pvm(data, **kw)
        self.svm(data, **kw)
        self.out(p)


def make_icmp(kind, kind6):
    return lambda v6, data, n: icmp(v6, kind6 if v6 else kind, 0, struct.pack('!HH', n, 1), data)


def talk(f, what):
    """One of PROTOS."""
    if what == 'udp':
        return Talk(f)
    if what == 'ping':
        return Talk(f, ICMP6 if f.v6 else ICMP, make_icmp(0, 129))
    if what == 'unreachable':
        return Talk(f, ICMP6 if f.v6 else ICMP, make_error)
    if what == 'sctp':
        return Talk(f, SCTP, lambda v6, data, n: sctp(v6, 9, n, data))
    if what == 'dccp':
        return Talk(f, DCCP, lambda v6, data, n: struct.pack('!HHBBHI', 9, n, 4, 0, 0, 7) + data)
    if what == 'udplite':
        return Talk(f, UDPLITE, lambda v6, data, n: struct.pack('!HHHH', 9, n, 8, 0x1111) + data)
    return Talk(f, {'gre': GRE, 'proto253': 253}[what], lambda v6, data, n: struct.pack('!HH', 0, 0x800) + data)


PROTOS = ('udp', 'ping', 'unreachable', 'sctp', 'dccp', 'udplite', 'gre', 'proto253')
EACH = {p: (p,) for p in PROTOS}


def quote(v6, n, data, ipid=1, ttl=64):
    """A packet of the client's as an ICMP error quotes it."""
    h = struct.pack('!HHHH', n, 53, 8 + len(data), 0x4242) + data
    if v6:
        return ip6(CLIENT[v6], GUEST[v6], UDP, h, ttl=ttl)
    return ip4(CLIENT[v6], GUEST[v6], UDP, h, ipid=ipid, ttl=ttl)


def make_error(v6, data, n, **kw):
    return icmp(v6, 1 if v6 else 3, 4 if v6 else 3, b'\0' * 4, quote(v6, n, data, **kw))


# --- R8: what is the same leaves ---

@case(each=EACH)
def r8_leaves_with_its_partner(f, what):
    t = talk(f, what)
    p = t.pvm(b'hello')
    f.held(1)
    t.svm(b'hello')
    t.out(p)
    f.wait_stats(held=0, queued=0, compared_datagrams=1, uncompared_proto=0)


@case(each=EACH)
def r8_secondary_first(f, what):
    t = talk(f, what)
    t.svm(b'hello')
    f.wait_stats(queued=1)
    p = t.pvm(b'hello')
    t.out(p)
    f.wait_stats(held=0, queued=0, hold=0, passed=1)


@case(each=EACH, timeout=480)
def r8_a_byte_differs(f, what):
    t = talk(f, what)
    t.pvm(b'hello hello hello hello hello hello hello primary')
    t.svm(b'hello hello hello hello hello hello hello sEcondary')
    e = f.expect_event('miscompare', reason='length')
    f.wait_stats(held=1, miscompares=1)
    f.begin()
    f.commit()
    f.expect('lan', lambda p: b'primary' in p.raw)
    t.pvm(b'hello hello hello hello hello hello hello Primary')
    t.svm(b'hello hello hello hello hello hello hello primary')
    e = f.expect_event('miscompare', reason='payload')
    equal((e['primary'][:8], e['secondary'][:8]), (b'Primary', b'primary'))
    check('seq' not in e and 'stream_offset' not in e, 'a datagram has no sequence number: %r', e)
    equal((e['src'], e['dst'], e['proto']), (GUEST[f.v6], CLIENT[f.v6], t.proto))
    f.again(e)
    f.begin()
    f.commit()
    f.expect('lan', lambda p: b'Primary' in p.raw)


BYTES = {'first': 0, 'short': 1, 'in_head': 20, 'behind_head': 40, 'last': 999}


@case(each=BYTES)
def r8_differing_byte_of_udp(f, at):
    f.set(timeout=160)
    t = Talk(f)
    n = 1000 if at > 1 else at + 1
    data = stream(0, n)
    t.pvm(data)
    t.svm(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    e = f.expect_event('miscompare', reason='payload')
    equal(e['primary'], data[at:at + 32], 'snippet')
    f.begin()
    f.commit()
    f.expect('lan', lambda p: True)


@case(each={'ttl': dict(ttl=3), 'tos': dict(tos=0x48), 'ipid': dict(ipid=77), 'df': dict(frag=0),
            'padding': dict(pad=9)})
def r8_ip_fields_may_differ(f, kw):
    t = Talk(f)
    p = t.pvm(b'x', **kw)
    t.svm(b'x')
    f.expect('lan', lambda got: got.raw[:len(p.raw) - kw.get('pad', 0)] == p.raw[:len(p.raw) - kw.get('pad', 0)])
    kw.pop('ttl', None)
    p = t.pvm(b'y')
    t.svm(b'y', **kw)
    t.out(p)


@case()
def r8_extension_headers_and_options_may_differ(f):
    t = Talk(f)
    more = {'ext': [(60, b'\0\1\4\0\0\0\0')]} if f.v6 else {'opts': b'\1\1\1\1'}
    p = t.pvm(b'x', **more)
    t.svm(b'x')
    t.out(p)


@case()
def r8_checksums_are_not_compared(f):
    """A guest may leave a checksum to its card, or use none."""
    t = Talk(f, make=lambda v6, data, n: udp(v6, 53, n, data))
    u = Talk(f, make=lambda v6, data, n: udp(v6, 53, t.number, data, checksum=False))
    p = t.pvm(b'x' * 50)
    u.svm(b'x' * 50)
    t.out(p)
    a = Talk(f, SCTP, lambda v6, data, n: sctp(v6, 9, 7777, data, 0x11111111))
    b = Talk(f, SCTP, lambda v6, data, n: sctp(v6, 9, 7777, data, 0x22222222))
    p = a.pvm(b'x' * 50)
    b.svm(b'x' * 50)
    a.out(p)


@case()
def r8_quoted_header_may_differ(f):
    """(peers: the id of the packet that an ICMP error quotes)"""
    a = Talk(f, ICMP6 if f.v6 else ICMP, lambda v6, data, n: make_error(v6, data, 4000, ipid=1, ttl=64))
    b = Talk(f, ICMP6 if f.v6 else ICMP, lambda v6, data, n: make_error(v6, data, 4000, ipid=2, ttl=63))
    p = a.pvm(b'quoted')
    b.svm(b'quoted')
    a.out(p)
    f.set(timeout=160)
    c = Talk(f, ICMP6 if f.v6 else ICMP, lambda v6, data, n: make_error(v6, data, 4001))
    a.pvm(b'quoted')
    c.svm(b'quoted')
    f.expect_event('miscompare', reason='payload')
    f.begin()
    f.commit()
    f.expect('lan', lambda p: True)


@case(timeout=160)
def r8_transport_header_differs(f):
    """The same payload with another ICMP code, or another verification tag, is another packet."""
    a = Talk(f, ICMP6 if f.v6 else ICMP, lambda v6, data, n: icmp(v6, 1 if v6 else 3, 3, b'\0' * 4, data))
    b = Talk(f, ICMP6 if f.v6 else ICMP, lambda v6, data, n: icmp(v6, 1 if v6 else 3, 1, b'\0' * 4, data))
    a.pvm(b'x')
    b.svm(b'x')
    f.expect_event('miscompare', reason='payload')
    f.begin()
    f.commit()
    f.expect('lan', lambda p: True)


@case()
def r8_flows_do_not_mix(f):
    """Another port, another identifier: another flow, although the bytes are equal."""
    for what in 'udp', 'ping', 'sctp':
        a, b = talk(f, what), talk(f, what)
        p = a.pvm(b'same')
        b.svm(b'same')
        f.held(1)
        a.svm(b'same')
        a.out(p)
        p = b.pvm(b'same')
        b.out(p)


@case()
def r8_flow_show(f):
    t = Talk(f)
    t.both(b'x' * 100)
    t.pvm(b'y' * 10)
    f.wait_stats(held=1)
    (fl,) = f.flows()
    equal((fl['proto'], fl['src'], fl['sport'], fl['dst'], fl['dport'], fl['held'], fl['flow_state'], fl['compared']),
          (UDP, GUEST[f.v6], 53, CLIENT[f.v6], t.number, 1, 'established', 108))
    text = f.cli('flow', 'show').stdout
    check(text.startswith('udp ') and ':53 > ' in text, 'flow show: %s', text)
    t.svm(b'y' * 10)
    f.expect('lan', lambda p: True)
    g = talk(f, 'gre')
    p = g.pvm(b'z')
    g.svm(b'z')
    g.out(p)
    (fl,) = f.flows(proto=GRE)
    check('sport' not in fl, 'a port of GRE: %r', fl)


@case()
def r8_hostile_lengths(f):
    """R11: headers cut short, lengths that lie: compared byte by byte, nothing is read beyond the packet."""
    n = 0
    for proto in UDP, ICMP6 if f.v6 else ICMP, SCTP, DCCP, UDPLITE, GRE, 0xfd, 59:
        for length in range(0, 34):
            body = stream(proto * 100, length)
            if proto == ICMP6:
                body = b'\3' + body[1:] if length else b''
            t = Talk(f, proto, lambda v6, data, n: body)
            p = t.pvm(b'')
            t.svm(b'')
            f.expect('lan', lambda got: got.raw[:len(p.raw)] == p.raw)
            n += 1
    f.wait_stats(compared_datagrams=n, held=0, queued=0)
    t = Talk(f, make=lambda v6, data, n: struct.pack('!HHHH', 53, n, 0xffff, 0) + data)
    p = t.pvm(b'a lie')
    t.svm(b'a lie')
    f.expect('lan', lambda got: got.raw == p.raw)


# --- R8, R12: order ---

@case()
def r8_reordered_within_the_window(f):
    """(peers B11: P1 P2 S1 was a miscompare)  Both orders are right; what leaves, leaves in the primary's."""
    t = Talk(f)
    p = [t.pvm(n) for n in range(3)]
    t.svm(0)
    t.out(p[0])
    t.svm(2)
    f.held(2)
    t.svm(1)
    t.out(p[1], p[2])
    for n in 5, 4, 3:
        t.svm(n)
    f.wait_stats(queued=3)
    for n in 3, 4, 5:
        t.out(t.pvm(n))
    f.wait_stats(held=0, queued=0, miscompares=0)


@case()
def r8_shuffled(f):
    """Both sides shuffle, within the window."""
    t = Talk(f)
    order = list(range(1000))
    want, sent = [], {}
    for k in range(0, 1000, 100):
        mine, theirs = order[k:k + 100], order[k:k + 100]
        f.rand.shuffle(mine)
        f.rand.shuffle(theirs)
        for a, b in zip(mine, theirs):
            sent[a] = t.pvm(a)
            want.append(sent[a])
            t.svm(b)
    t.out(*want)
    f.wait_stats(held=0, queued=0, miscompares=0, timeouts=0, compared_datagrams=1000)


@case()
def r8_duplicates(f):
    """Equal datagrams are as many as there are."""
    t = Talk(f)
    p = [t.pvm(b'same') for _ in range(3)]
    t.svm(b'same')
    t.out(p[0])
    f.held(2)
    t.svm(b'same')
    t.svm(b'same')
    t.out(p[1], p[2])


@case()
def r8_beyond_the_window(f):
    """One that the others overtake by more than the window finds no partner any more."""
    t = Talk(f)
    first = t.pvm(b'late')
    rest = [t.pvm(n) for n in range(WINDOW)]
    for n in range(WINDOW - 1):
        t.svm(n)
    f.held(WINDOW + 1)
    t.svm(WINDOW - 1)
    t.out(*rest)                        # R12: they do not wait for it any longer
    t.svm(b'late')
    f.set(timeout=160)
    f.expect_event('miscompare', reason='payload')
    f.begin()
    f.commit()
    t.out(first)


@case(timeout=1600)
def r12_waits_for_an_earlier_one_within_the_window(f):
    """100 ms here: a compared datagram stays behind one that is not, but not for ever."""
    t = Talk(f)
    first, second, third = t.pvm(1), t.pvm(2), t.pvm(3)
    t0 = time.monotonic()
    t.svm(2)
    t.svm(3)
    f.expect_nothing('lan', wait=0.02)
    t.out(second, third)
    took = time.monotonic() - t0
    check(0.07 < took < 0.4 * SCALE + 0.4, 'it waited %.3f s', took)
    fourth = t.pvm(4)
    t.svm(4)
    t.out(fourth)                       # nobody waits for the first one any more
    t.svm(1)
    t.out(first)
    f.wait_stats(miscompares=0, timeouts=0)


@case()
def r12_other_flows_do_not_wait(f):
    a, b = Talk(f), Talk(f)
    p = a.pvm(1)
    b.both(2)
    a.svm(1)
    a.out(p)


@case(timeout=150, scan=30)
def r8_timeout(f):
    """The secondary says nothing: the reason is that, and the datagram leaves with the commit."""
    t = Talk(f)
    p = t.pvm(1)
    e = f.expect_event('miscompare', reason='timeout')
    equal((e['proto'], e['sport'], e['dport']), (UDP, 53, t.number))
    f.wait_stats(timeouts=1, miscompares=0, held=1)
    f.again(e)
    f.begin()
    f.commit()
    t.out(p)


@case(timeout=150, scan=30)
def r8_surplus_ages_out(f):
    """What only the secondary says is no reason to ask for anything."""
    t = Talk(f)
    t.svm(1)
    t.svm(2)
    f.wait_stats(secondary_surplus=2, queued=0)
    f.expect_no_event()
    t.both(3)


@case(timeout=150, scan=30)
def r9_after_a_miscompare_other_datagrams_go_on(f):
    t, u = Talk(f), Talk(f)
    bad = t.pvm(b'P')
    t.svm(b'S')
    e = f.expect_event('miscompare', reason='payload')
    for n in range(3):
        t.both(n)
        u.both(n)
    f.again(e)
    f.begin()
    f.commit()
    t.out(bad)
    t.both(9)


# --- super-packets ---

def super_packet(t, data, mss, who, pad=0):
    """Datagrams of mss bytes each, in one packet, as a guest's card gives them away."""
    n = 8 + len(data)
    h = struct.pack('!HHHH', 53, t.number, n, packet.pseudo(GUEST[t.f.v6], CLIENT[t.f.v6], UDP, n))
    raw = ip(t.f.v6, UDP, h + data, ttl=64 if who == 'pv' else tag(t.f.epoch), ipid=5)
    at = len(raw) - 8 - len(data)
    t.f.ports[who].send(raw + bytes(pad), packet.VNET.pack(packet.NEEDS_CSUM, packet.GSO_UDP_L4, at + 8, mss, at, 6))


def arrive(t, data, mss):
    for at in range(0, len(data), mss):
        p = t.f.expect('lan', lambda p: p.proto == UDP)
        equal(p.body[8:], data[at:at + mss], 'datagram at %d' % at)


def has_uso():
    return tuple(map(int, os.uname().release.split('.')[:2])) >= (6, 2)


@case(each={'both': (True, True), 'mine': (True, False), 'theirs': (False, True)})
def r8_super_packets(f, mine, theirs):
    """Many datagrams in one packet are compared one by one, whatever portions the other side's come in."""
    if not has_uso():
        return                          # a raw socket of this kernel cannot say it
    t, data = Talk(f), stream(0, 10050)

    def say(who, whole):
        if whole:
            return super_packet(t, data, 1000, who)
        for at in range(0, len(data), 1000):
            (t.pvm if who == 'pv' else t.svm)(data[at:at + 1000])
    say('pv', mine)
    f.held(11)
    say('ps', theirs)
    arrive(t, data, 1000)
    say('ps', theirs)
    f.wait_stats(queued=11)
    say('pv', mine)
    arrive(t, data, 1000)
    f.wait_stats(compared_datagrams=22, primary_packets=22, secondary_packets=22, hold=11, passed=11)


@case(timeout=320)
def r8_super_packet_differs(f):
    if not has_uso():
        return
    t, data = Talk(f), stream(0, 5000)
    super_packet(t, data, 1000, 'pv')
    super_packet(t, data[:2500] + b'!' + data[2501:], 1000, 'ps')
    e = f.expect_event('miscompare', reason='payload')
    equal((e['primary'], e['secondary']), (data[2500:2532], b'!' + data[2501:2532]))
    f.begin()
    f.commit()
    for _ in range(5):
        f.expect('lan', lambda p: p.proto == UDP)


@case()
def r11_super_packet_of_less_than_one(f):
    """Most of it is padding, so there is nothing to take apart: counted by whose it is."""
    if not has_uso():
        return
    f.allow |= {'malformed', 'secondary_malformed'}
    t = Talk(f)
    super_packet(t, stream(0, 300), 1000, 'ps', pad=3000)
    f.wait_stats(secondary_packets=1, secondary_malformed=1, malformed=0)
    super_packet(t, stream(0, 300), 1000, 'pv', pad=3000)
    f.wait_stats(primary_packets=1, secondary_malformed=1, malformed=1)
    f.expect_nothing('lan')
    t.both(9)


# --- what depends on a guest's own timers ---

def timed(v6):
    """Protocol, bytes, hop limit."""
    if not v6:
        return [(IGMP, b'\x16\0\0\0\xe0\0\0\xfb', 1), (IGMP, b'\x22\0\0\0' + b'\0' * 4, 1)]
    kinds = 130, 131, 132, 133, 134, 135, 136, 137, 143
    return [(ICMP6, icmp(True, kind, 0, b'\0' * 4, b'\0' * 16), 255) for kind in kinds]


@case()
def r8_timers_of_the_guest(f):
    """Neighbour discovery, MLD, IGMP leave at once; the secondary's are dropped, counted."""
    frames = timed(f.v6)
    for proto, body, ttl in frames:
        p = Talk(f, proto, lambda v6, data, n: body).pvm(b'', ttl=ttl)
        f.expect('lan', lambda got: got.raw[:len(p.raw)] == p.raw)
        Talk(f, proto, lambda v6, data, n: body).svm(b'')
    f.wait_stats(uncompared_timed=len(frames), secondary_ignored=len(frames), held=0, queued=0)


# --- checkpoint, failover ---

@case()
def r8_checkpoint(f):
    """C1, C2: what came before the barrier leaves with the commit, what came after it is compared in the new epoch."""
    t = Talk(f)
    before = [t.pvm(n) for n in range(3)]
    t.svm(7)
    f.begin()
    between = t.pvm(3)
    f.begin()
    after = t.pvm(4)
    t.svm(4)                            # of the old epoch: does not count
    f.wait_stats(held=5)
    f.expect_nothing('lan')
    f.commit()
    t.out(*before, between)
    f.held(1)
    f.wait_stats(queued=0, secondary_stale=2)
    t.svm(4)
    t.out(after)


@case()
def r8_secondary_early_in_the_new_epoch(f):
    """C4: the secondary speaks in the new epoch before the commit reaches this host."""
    t = Talk(f)
    f.begin()
    p = t.pvm(1)
    t.svm(1, epoch=1)
    t.svm(2, epoch=1)
    t.svm(1, epoch=77)
    f.expect_nothing('lan')
    f.commit()
    t.out(p)
    f.wait_stats(queued=1, secondary_stale=1)
    t.out(t.pvm(2))


@case()
def r8_abort(f):
    """C3: as if begin had not been."""
    t = Talk(f)
    p = [t.pvm(0)]
    f.begin()
    p.append(t.pvm(1))
    t.svm(1)
    t.svm(0)
    t.svm(2)
    t.svm(9, epoch=1)
    f.expect_nothing('lan')
    f.abort()
    t.out(*p)
    t.out(t.pvm(2))
    f.wait_stats(secondary_stale=1, queued=0)


@case()
def r8_stale_epoch(f):
    t = Talk(f)
    f.checkpoint()
    p = t.pvm(1)
    t.svm(1, epoch=0)
    f.wait_stats(secondary_stale=1)
    f.held(1)
    t.svm(1)
    t.out(p)


@case()
def r8_failover(f):
    """F2: all leaves, in order, over all flows; then nothing is compared."""
    a, b = Talk(f), talk(f, 'ping')
    frames = []
    for n in range(5):
        frames += [a.pvm(n), b.pvm(n)]
    a.svm(3)
    f.wait_stats(held=10)
    f.flush(*frames)
    p = a.pvm(7)
    a.out(p)
    a.svm(7)
    f.wait_stats(uncompared_bypass=1, secondary_bypass=1)
    f.begin()
    f.commit()
    a.both(8)


@case(timeout=50, scan=20)
def r8_unanswered(f):
    """F4: nobody answers: bypass, and all leaves."""
    t = Talk(f)
    p = t.pvm(1)
    e = f.expect_event('miscompare', reason='timeout')
    t.out(p)
    f.expect_event('pair', state='bypass', cause='unanswered')
    f.again(e)


@case()
def r8_many_leave_in_order(f):
    """More than may leave out of one softirq."""
    t = Talk(f)
    first = t.pvm(b'first')
    rest = [t.pvm(n) for n in range(200)]
    for n in range(200):
        t.svm(n)
    f.wait_stats(held=201)
    t.svm(b'first')
    t.out(first, *rest)
    t.both(b'then')


# --- caps, things that go away ---

@case(max_packets=8)
def r10_datagrams_beyond_a_limit_are_dropped(f):
    """As many as the counter says; what is held stays."""
    t = Talk(f)
    p = [t.pvm(n) for n in range(12)]
    e = f.expect_event('miscompare', reason='overflow')
    f.wait_stats(held=8, overflow=4)
    for n in range(8):
        t.svm(n)
    t.out(*p[:8])
    t.both(20)
    f.again(e)
    f.allow |= {'overflow'}
    f.begin()
    f.commit()


@case(max_packets=8)
def r10_secondary_only_talks(f):
    f.allow |= {'secondary_refused'}
    t = Talk(f)
    for n in range(12):
        t.svm(n)
    e = f.expect_event('miscompare', reason='overflow')
    f.wait_stats(queued=8, secondary_refused=4)
    for n in range(8):
        t.out(t.pvm(n))
    f.again(e)
    f.begin()
    f.commit()


@case(max_flows=8)
def r10_flows_of_the_secondary_leave_room(f):
    f.allow |= {'secondary_refused'}
    for _ in range(8):
        Talk(f).svm(1)
    e = f.expect_event('miscompare', reason='overflow')
    f.wait_stats(flows=4, secondary_refused=4)
    Talk(f).both(1)
    f.again(e)
    f.begin()
    f.commit()


@case(max_flows=8, scan=30, timeout=60)
def r10_flows_of_datagrams_make_room(f):
    """Where a table is full of flows that hold nothing, they go with the next scan."""
    for _ in range(3):
        for _ in range(6):
            Talk(f).both(1)
        f.wait_stats(flows=2)


@case(each={'port': ('vm',), 'bridge': ('br0',)})
def l_datagrams_and_a_device_that_goes(f, dev):
    f.allow.add('flushed')
    f.spoilt = True
    t = Talk(f)
    for n in range(5):
        t.pvm(n)
    t.svm(3)
    f.held(5)
    harness.run('ip', '-n', f.host, 'link', 'del', dev)
    f.wait_stats(held=0, flushed=5)
    f.pump(0)
    f.events.clear()
    for p in f.ports.values():
        p.queue.clear()


@case(pair=False)
def l_datagrams_and_a_pair_that_goes(f):
    """While datagrams wait for time to pass, the pair is deleted; and the module with it."""
    for _ in range(3):
        f.add(timeout=160000)
        t = Talk(f)
        t.pvm(1)
        t.pvm(2)
        t.svm(2)
        t.svm(3)
        f.held(2)
        f.cli('pair', 'del', 'p')
        f.expect_nothing('lan')
    f.hang_up()
    harness.rmmod()
    harness.insmod()
    f.call_up()


@case(timeout=320)
def trace_datagrams(f):
    """Traffic for trace.sh: held, released, different."""
    for what in 'udp', 'ping', 'gre':
        t = talk(f, what)
        for n in range(5):
            p = t.pvm(n)
            f.wait_stats(held=1)
            t.svm(n)
            t.out(p)
        t.pvm(b'p')
        t.svm(b's')
        f.again(f.expect_event('miscompare', reason='payload'))
        f.begin()
        f.commit()
        f.expect('lan', lambda p: True)

# SPDX-License-Identifier: GPL-2.0
"""S1, S3, R11: whatever the secondary says, it does not reach a client; whatever anybody says, nothing breaks."""

import fcntl
import os
import socket
import struct
import zlib

import harness
import packet
from harness import CLIENT, GUEST, CLIENT_MAC, GUEST_MAC, Port, Sent, case, check, equal, run, stream, tag
from packet import BROADCAST, eth, ip4, ip6

STP_MAC, LLDP_MAC = bytes.fromhex('0180c2000000'), bytes.fromhex('0180c200000e')
ALL_NODES, MLD_MAC = bytes.fromhex('333300000001'), bytes.fromhex('333300000016')
MDNS_MAC = bytes.fromhex('01005e0000fb')


def icmp6(src, dst, kind, body, ttl=255, ext=()):
    h = bytes([kind, 0, 0, 0]) + body
    check = packet.csum(h, packet.pseudo(src, dst, 58, len(h))) ^ 0xffff
    return ip6(src, dst, 58, h[:2] + struct.pack('!H', check) + h[4:], ttl=ttl, ext=ext)


def zoo(dst):
    """Frames of every kind that a guest may say."""
    g4, g6, c4, c6 = GUEST[False], GUEST[True], CLIENT[False], CLIENT[True]
    all6 = socket.inet_pton(socket.AF_INET6, 'ff02::1')
    mld = socket.inet_pton(socket.AF_INET6, 'ff02::16')
    seg, _ = packet.tcp(g4, c4, 80, 4000, 1, 1, 'PA', b'SVM!', macs=(dst, GUEST_MAC), ttl=1)
    seg6, _ = packet.tcp(g6, c6, 80, 4000, 1, 1, 'PA', b'SVM!', macs=(dst, GUEST_MAC), ttl=1)
    syn, _ = packet.tcp(g4, c4, 81, 4000, 1, 1, 'S', macs=(dst, GUEST_MAC), ttl=1)
    vlan = lambda f, tpid=0x8100, vid=5: f[:12] + struct.pack('!HH', tpid, vid) + f[12:]
    yield 'arp request', packet.arp(1, GUEST_MAC, g4, b'\0' * 6, c4, dst)
    yield 'arp reply', packet.arp(2, GUEST_MAC, g4, CLIENT_MAC, c4, dst)
    yield 'gratuitous arp', packet.arp(1, GUEST_MAC, g4, b'\0' * 6, g4)
    yield 'rarp', eth(dst, GUEST_MAC, 0x8035, b'\0' * 46)
    yield 'tcp4', seg
    yield 'tcp6', seg6
    yield 'syn', syn
    yield 'udp4', packet.udp(g4, c4, 53, 5353, b'SVM!', macs=(dst, GUEST_MAC), ttl=1)
    yield 'udp6', packet.udp(g6, c6, 53, 5353, b'SVM!', macs=(dst, GUEST_MAC), ttl=1)
    yield 'dhcp', packet.udp(b'\0' * 4, b'\xff' * 4, 68, 67, b'SVM!' * 80, macs=(dst, GUEST_MAC), ttl=1)
    yield 'icmp', eth(dst, GUEST_MAC, 0x0800, ip4(g4, c4, 1, b'\x08\0\xf7\xff\0\0\0\0', ttl=1))
    yield 'igmp', eth(dst, GUEST_MAC, 0x0800, ip4(g4, b'\xe0\0\0\x16', 2, b'\x22\0\xdd\xff' + b'\0' * 4, ttl=1))
    yield 'sctp', eth(dst, GUEST_MAC, 0x0800, ip4(g4, c4, 132, b'\0' * 32, ttl=1))
    yield 'gre', eth(dst, GUEST_MAC, 0x0800, ip4(g4, c4, 47, b'\0\0\x08\0' + seg[14:], ttl=1))
    yield 'fragment', eth(dst, GUEST_MAC, 0x0800, ip4(g4, c4, 17, b'x' * 64, ipid=9, frag=0x2000))
    yield 'neighbour solicitation', eth(dst, GUEST_MAC, 0x86dd, icmp6(g6, all6, 135, b'\0' * 4 + c6))
    yield 'neighbour advertisement', eth(dst, GUEST_MAC, 0x86dd, icmp6(g6, all6, 136, b'\x20\0\0\0' + g6))
    yield 'router solicitation', eth(dst, GUEST_MAC, 0x86dd, icmp6(g6, all6, 133, b'\0' * 4))
    yield 'mld', eth(dst, GUEST_MAC, 0x86dd, icmp6(g6, mld, 143, b'\0\0\0\1' + b'\4\0\0\0' + all6, ttl=1,
                                                 ext=[(0, b'\0\5\2\0\0\1\0')]))
    yield 'vlan tcp', vlan(seg)
    yield 'vlan 0 tcp', vlan(seg, vid=0)
    yield 'qinq', vlan(vlan(seg), 0x88a8)
    yield 'three tags', vlan(vlan(vlan(seg)), 0x88a8)
    yield 'vlan arp', vlan(packet.arp(1, GUEST_MAC, g4, b'\0' * 6, c4, dst))
    yield 'lldp', eth(dst, GUEST_MAC, 0x88cc, b'\x02\x07\x04' + GUEST_MAC + b'\0' * 40)
    yield 'stp', dst + GUEST_MAC + struct.pack('!H', 38) + b'\x42\x42\x03' + b'\0' * 43
    yield 'pppoe', eth(dst, GUEST_MAC, 0x8864, b'\x11\0\0\1\0\x16\0\x21' + seg[14:])
    yield 'pause', eth(dst, GUEST_MAC, 0x8808, b'\0\1\0\0' + b'\0' * 42)
    yield 'ipx', eth(dst, GUEST_MAC, 0x8137, b'\xff' * 46)
    yield 'type 0', eth(dst, GUEST_MAC, 0, b'\0' * 46)
    yield 'unknown type', eth(dst, GUEST_MAC, 0x88b5, b'SVM!' * 12)
    yield 'empty', eth(dst, GUEST_MAC, 0x0800, b'')
    yield 'one byte', eth(dst, GUEST_MAC, 0x86dd, b'\x60')
    yield 'cut off', seg[:40]
    yield 'cut off 6', seg6[:60]
    yield 'ip version 0', eth(dst, GUEST_MAC, 0x0800, b'\0' * 60)
    yield 'ip version 6 in 4', eth(dst, GUEST_MAC, 0x0800, seg6[14:])
    yield 'ihl 15', eth(dst, GUEST_MAC, 0x0800, b'\x4f' + seg[15:])
    yield 'ihl 4', eth(dst, GUEST_MAC, 0x0800, b'\x44' + seg[15:])
    yield 'proto 255', eth(dst, GUEST_MAC, 0x0800, ip4(g4, c4, 255, b'x'))
    yield 'from the client', packet.tcp(c4, g4, 4000, 80, 1, 1, 'PA', b'SVM!', macs=(GUEST_MAC, CLIENT_MAC), ttl=1)[0]


DESTINATIONS = (CLIENT_MAC, GUEST_MAC, BROADCAST, STP_MAC, LLDP_MAC, ALL_NODES, MLD_MAC, MDNS_MAC)


def say_all(f):
    n = 0
    for dst in DESTINATIONS:
        for _, frame in zoo(dst):
            f.ports['ps'].send(frame)
            n += 1
        f.expect_nothing('lan', 'pv', wait=0)
    f.expect_nothing()
    return n


@case(ip=(4,))
def s1_nothing_of_the_secondary_passes(f):
    """Frames of every kind, to every kind of address: not one comes out, all are counted."""
    f.allow |= {'secondary_malformed'}
    f.expect_queued = None
    c = f.open()
    n = say_all(f)
    s = f.stats()
    check(s['secondary_ignored'] > n / 3, 'only %d of %d counted as ignored', s['secondary_ignored'], n)
    f.expect_no_event()
    c.both('PA', 100)


@case(ip=(4,))
def s1_nothing_passes_into_the_clients_bridge(f):
    """The peer's port has got into the bridge of the clients, which would forward all to them."""
    f.allow |= {'secondary_malformed'}
    f.expect_queued = None
    with harness.netns(f.host):
        run('ip', 'link', 'set', 'dev', 'peer', 'master', 'br0')
        try:
            say_all(f)
        finally:
            run('ip', 'link', 'set', 'dev', 'peer', 'master', 'brp')


@case(ip=(4,))
def s1_nothing_passes_in_any_state(f):
    f.allow |= {'secondary_malformed'}
    f.expect_queued = None
    f.begin()
    say_all(f)
    f.commit()
    say_all(f)
    f.failover()
    say_all(f)
    f.pump(0)
    f.events = [e for e in f.events if e.get('cause') != 'epoch']


@case(ip=(4,), pair=False)
def s1_nothing_passes_without_a_pair(f):
    say_all(f)


@case(ip=(4,))
def s1_pairs_come_and_go(f):
    """While the secondary talks, pairs are made and deleted and the module is taken out and put in."""
    f.expect_queued = None
    f.allow |= {'secondary_malformed'}
    frames = [frame for _, frame in zoo(CLIENT_MAC)] + [frame for _, frame in zoo(BROADCAST)]

    def talk():
        for frame in frames:
            f.ports['ps'].send(frame)
        f.expect_nothing('lan', 'pv', wait=0)
    for n in range(3):
        talk()
        f.cli('pair', 'del', 'p', 'force')
        talk()
        f.hang_up()
        harness.rmmod()
        talk()
        harness.insmod()
        f.call_up()
        talk()
        f.add()
    f.expect_nothing()
    f.pump(0)
    f.events.clear()
    f.open().both('PA', 10)


@case(ip=(4,))
def s1_other_ports_are_left_alone(f):
    """Frames of the guest that are not IP, in tags or not, leave at once; nothing is changed in them."""
    for dst in CLIENT_MAC, BROADCAST, ALL_NODES:
        for name, frame in zoo(dst):
            if name.split()[0] in ('arp', 'gratuitous', 'rarp', 'lldp', 'unknown', 'pppoe', 'ipx') or \
                    name in ('vlan arp', 'three tags'):
                f.ports['pv'].send(frame)
                p = f.expect('lan', lambda p: True)
                equal(p.raw.hex(), frame.hex(), name)


@case(ip=(4,))
def s1_vlan_of_the_secondary_is_counted(f):
    """In tags IP goes to the comparison, what is not IP is dropped in front of it."""
    for name, frame in zoo(CLIENT_MAC):
        if name.startswith(('vlan', 'qinq', 'three')):
            f.ports['ps'].send(frame)
    f.wait_stats(secondary_ignored=2, secondary_packets=5, secondary_unmatched=3)
    f.expect_nothing()


# --- S3 ---

def fragments(v6, src, dst, proto, payload, ipid, macs, ttl, cut=800):
    """An IP packet in two fragments."""
    if v6:
        def one(part, off, more):
            return ip6(src, dst, proto, part, ttl=ttl, ext=[(44, b'\0' + struct.pack('!HI', off | more, ipid))])
    else:
        def one(part, off, more):
            return ip4(src, dst, proto, part, ttl=ttl, ipid=ipid & 0xffff, frag=off >> 3 | (0x2000 if more else 0))
    etype = packet.ETH_IP6 if v6 else packet.ETH_IP
    return [eth(*macs, etype, one(payload[:cut], 0, 1)), eth(*macs, etype, one(payload[cut:], cut, 0))]


def no_secondary(f, mark):
    f.pump(harness.QUIET)
    for p in f.ports['lan'].queue:
        check(mark not in p.raw, 'bytes of the secondary at the client: %r', p)
    return f.ports['lan'].queue


@case(each={'primary_first': 'p1 s2 p2 s1', 'secondary_first': 's1 p2 p1 s2', 'halves': 'p1 s2', 'other_halves': 's1 p2',
            'nested': 's1 p1 p2 s2'})
def s3_fragments_do_not_mix(f, order):
    """Both guests send fragments with the same id: one's half never completes the other's datagram."""
    g, c = GUEST[f.v6], CLIENT[f.v6]
    head = struct.pack('!HHHH', 53, 4000, 1408, 0)
    ipid = zlib.crc32(order.encode()) & 0xffff      # a half of the case before may still wait
    frames = {}
    for who, byte, ttl in ('p', b'P', 64), ('s', b'S', 1):
        body = head + byte * 1400
        check_sum = packet.csum(body, packet.pseudo(g, c, 17, len(body))) ^ 0xffff
        body = body[:6] + struct.pack('!H', check_sum) + body[8:]
        for n, frame in enumerate(fragments(f.v6, g, c, 17, body, ipid, (CLIENT_MAC, GUEST_MAC), ttl), 1):
            frames[who + str(n)] = frame
    for step in order.split():
        f.ports['pv' if step[0] == 'p' else 'ps'].send(frames[step])
    no_secondary(f, b'SSSS')
    whole = 'p1' in order and 'p2' in order
    f.wait_stats(held=int(whole))
    f.failover()
    f.wait_stats(held=0)
    got = no_secondary(f, b'SSSS')
    total = sum(p.raw.count(b'P') for p in got)
    if whole:
        check(total >= 1400, 'the primary\'s datagram did not leave whole: %r', got)
    got.clear()
    f.ports['pv'].queue.clear()


@case()
def s3_tcp_fragments_do_not_mix(f):
    """A TCP segment in fragments, the same from both but for its bytes: no byte of the secondary's leaves, and the
    difference is not hidden by mixing halves."""
    f.expect_held = f.expect_queued = None
    f.allow |= {'malformed', 'secondary_malformed'}
    c = f.open()
    g, cl = GUEST[f.v6], CLIENT[f.v6]
    frames = {}
    for who, byte, ttl in ('p', b'P', 64), ('s', b'S', 1):
        h = packet.tcp_header(g, cl, 80, c.cport, c.stream_seq(0), c.cisn + 1, 'PA', byte * 1200)
        for n, frame in enumerate(fragments(f.v6, g, cl, 6, h + byte * 1200, 4712, (CLIENT_MAC, GUEST_MAC), ttl), 1):
            frames[who + str(n)] = frame
    for step in 'p1', 's2', 's1', 'p2':
        f.ports['pv' if step[0] == 'p' else 'ps'].send(frames[step])
        no_secondary(f, b'SSSS').clear()
    f.failover()
    f.wait_stats(held=0)
    no_secondary(f, b'SSSS').clear()
    f.events.clear()


# --- R11 ---

@case()
def r11_ethernet_padding_is_not_payload(f):
    """(peers B10)"""
    c = f.open()
    c.request()
    short = lambda want: lambda p: p.raw[:len(want.raw) - 6] == want.raw[:-6]
    p = c.pvm('A', pad=6)
    f.expect('lan', short(p))
    p = c.pvm('PA', 3, pad=6)
    f.held(1)
    c.svm('PA', 3, pad=2)
    f.expect('lan', short(p))
    c.svm('A', pad=30)
    f.wait_stats(queued=0)
    p = c.pvm('PA', 3)
    c.svm('PA', 3, pad=6)
    c.out(p)
    f.expect_no_event()


HOSTILE = {
    'doff_0': dict(doff=0), 'doff_4': dict(doff=4), 'doff_15': dict(doff=15), 'doff_beyond': dict(doff=10, data=b'x' * 16),
}


@case(each=HOSTILE)
def r11_tcp_header_length(f, kw):
    """A TCP header shorter than its least or longer than its packet (peers B9): counted, dropped, no harm."""
    f.allow |= {'malformed', 'secondary_malformed'}
    c = f.open()
    c.request()
    c.pvm('PA', at=0, **kw)
    f.wait_stats(malformed=1)
    c.svm('PA', at=0, **kw)
    f.wait_stats(secondary_malformed=1)
    f.expect_nothing('lan')
    c.p_nxt = c.s_nxt = 0
    c.both('PA', 100)
    f.wait_stats(queued=0)


@case()
def r11_tcp_header_cut_off(f):
    """The IP packet ends within the TCP header."""
    f.allow |= {'malformed', 'secondary_malformed'}
    c = f.open()
    for n in 0, 1, 4, 8, 13, 19:
        for port, ttl in ('pv', 64), ('ps', tag(0)):
            frame = Sent(*c.frame(False, c.pisn, c.cisn, 'PA', 0, 0, b''))
            h = frame.raw[-20:][:n]
            body = (ip6 if f.v6 else ip4)(GUEST[f.v6], CLIENT[f.v6], 6, h, ttl=ttl)
            f.ports[port].send(eth(CLIENT_MAC, GUEST_MAC, 0x86dd if f.v6 else 0x0800, body))
            f.ports[port].send(eth(CLIENT_MAC, GUEST_MAC, 0x86dd if f.v6 else 0x0800, body) + frame.raw[-20:])
    f.expect_nothing('lan')
    f.wait_stats(held=0)
    c.both('PA', 100)


@case()
def r11_ip_length_and_frame_disagree(f):
    """Longer than the frame: never read beyond it.  Shorter: only what the IP header covers."""
    f.allow |= {'malformed', 'secondary_malformed'}
    c = f.open()
    head = 20 if f.v6 else 40
    for extra in 1, 100, 1400, 65535 - head - 10:
        total = head + 10 + extra
        c.pvm('PA', 10, at=0, total=total)
        c.svm('PA', 10, at=0, total=total)
    f.expect_nothing('lan')
    f.wait_stats(held=0, queued=0)
    # Both say "0123456789", but the IP length of each covers five: those are compared, and leave.
    c.p_nxt = c.s_nxt = 0
    data = stream(0, 10)
    whole = c.frame(False, c.pisn, c.cisn, 'PA', 0, 0, data[:5], ipid=9)[0]
    c.f.ports['pv'].send(whole + data[5:])
    f.held(1)
    c.svm('PA', data[:5], at=0)
    p = f.expect('lan', lambda p: p.seq == c.stream_seq(0))
    equal(p.data, data[:5])
    c.p_nxt = 5
    c.both('PA', 10)


@case(ip=(4,))
def r11_ip_header_length(f):
    f.allow |= {'malformed', 'secondary_malformed'}
    c = f.open()
    for ihl in 0, 4, 6, 15:
        c.pvm('PA', 4, at=0, ihl=ihl)
        c.svm('PA', 4, at=0, ihl=ihl)
    c.pvm('PA', 4, at=0, ip_bad_sum=True)
    c.svm('PA', 4, at=0, ip_bad_sum=True)
    f.expect_nothing('lan')
    c.p_nxt = c.s_nxt = 0
    f.wait_stats(held=0, queued=0)
    c.both('PA', 100)


@case(ip=(6,))
def r11_extension_headers(f):
    """Chains that do not end within the packet, or say so."""
    f.allow |= {'malformed', 'secondary_malformed'}
    c = f.open()
    g, cl = GUEST[True], CLIENT[True]
    for first, body in ((0, b''), (0, b'\6'), (0, b'\6\xff' + b'\0' * 6), (60, b'\6\x10' + b'\0' * 14), (43, b'\6'),
                        (44, b'\6\0\0'), (60, b'\x3c\0' + b'\1\4\0\0\0\0'), (51, b'\6\xff\0\0'),
                        (60, (b'\x3c\0\1\4\0\0\0\0') * 60 + b'\6\0\1\4\0\0\0\0'), (135, b'\6')):
        for port, ttl in ('pv', 64), ('ps', tag(0)):
            f.ports[port].send(eth(CLIENT_MAC, GUEST_MAC, 0x86dd, ip6(g, cl, first, body, ttl=ttl)))
    f.pump(0.01)
    f.ports['lan'].queue.clear()
    f.wait_stats(queued=0, held=0)
    c.both('PA', 100)


@case()
def r11_tcp_options(f):
    """Malformed options are the client's affair: the segment is compared and leaves as it is."""
    c = f.open()
    for opts in (b'\2\0\0\0', b'\3\1\0\0', b'\x08\xff\0\0', b'\1\1\1\5', b'\5\2\0\0', b'\2\4\5', b'\0\xff\xff\xff'):
        c.both('PA', 10, opts=opts)
        c.client('PA', 10, opts=opts)
        p = c.pvm('A')
        c.svm('A')
        c.out(p)


@case()
def r11_fuzz(f):
    """Random damage to frames of both guests, the client, and nothing bad comes of it: no byte of the secondary at the
    client, no lost packet in the accounts."""
    f.expect_held = f.expect_queued = None
    f.allow |= {'malformed', 'secondary_malformed'}
    r = f.rand
    c = f.open()
    mark = b'SECONDARY'
    for n in range(600):
        who = r.choice('pppssc')
        data = mark * 3 if who == 's' else r.randbytes(r.randrange(40))
        flags = r.choice(('PA', 'PA', 'A', 'FA', 'R', 'RA', 'S', 'SA', r.randrange(256)))
        frame = bytearray(c.frame(who == 'c', c.cisn if who == 'c' else c.pisn, c.pisn if who == 'c' else c.cisn, flags,
                                  r.randrange(-2, 200), r.randrange(-2, 200), data, ttl=1 if who == 's' else 64)[0])
        for k in range(r.choice((0, 0, 1, 1, 2, 5))):
            frame[r.randrange(12, len(frame) - len(data))] = r.choice((0, 255, r.randrange(256)))
        if r.random() < 0.2:
            del frame[r.randrange(15, len(frame)):]
        f.ports[{'p': 'pv', 's': 'ps', 'c': 'lan'}[who]].send(bytes(frame))
        if n % 50 == 0:
            f.pump(0)
    f.pump(harness.QUIET)
    for p in f.ports['lan'].queue:
        check(mark not in p.raw, 'bytes of the secondary at the client: %r', p)
    f.failover()
    f.wait_stats(held=0)
    f.pump(harness.QUIET)
    for p in f.ports['lan'].queue:
        check(mark not in p.raw, 'bytes of the secondary at the client: %r', p)
    s = f.stats()
    equal(s['held'], 0, 'held in bypass')
    for p in f.ports.values():
        p.queue.clear()
    f.events.clear()


@case('secondary')
def r11_fuzz_secondary(f):
    """The same where the rewriting is done; a good connection beside it goes on."""
    f.expect_queued = f.expect_held = None
    f.allow |= {'malformed', 'untranslatable', 'foreign'}
    r = f.rand
    good, c = f.open(), f.open()
    for n in range(600):
        client = r.random() < 0.5
        data = r.randbytes(r.randrange(40))
        flags = r.choice(('PA', 'PA', 'A', 'FA', 'R', 'RA', 'S', 'SA', r.randrange(256)))
        opts = r.randbytes(r.choice((0, 0, 4, 12, 40)))
        frame = bytearray(c.frame(client, c.cisn if client else c.sisn, c.pisn if client else c.cisn, flags,
                                  r.randrange(-2, 200), r.randrange(-2, 200), data, opts=opts)[0])
        for k in range(r.choice((0, 0, 1, 1, 2, 5))):
            frame[r.randrange(12, len(frame) - len(data))] = r.choice((0, 255, r.randrange(256)))
        if r.random() < 0.2:
            del frame[r.randrange(15, len(frame)):]
        f.ports['sp' if client else 'sv'].send(bytes(frame))
        if n % 50 == 0:
            f.pump(0)
    f.pump(harness.QUIET)
    for p in f.ports.values():
        p.queue.clear()
    f.events.clear()
    good.talk()


@case('secondary', each=HOSTILE)
def r11_tcp_header_length_on_the_secondary(f, kw):
    f.allow |= {'malformed'}
    c = f.open()
    c.talk()
    c.svm('PA', at=100, deliver=False, **kw)
    c.mirror('PA', at=100, deliver=False, **kw)
    f.pump(harness.QUIET)
    for p in f.ports['sp'].queue:
        check(p.seq is None or p.seq != (c.sisn + 101) & packet.M32, 'untranslated: %r', p)
    for p in f.ports.values():
        p.queue.clear()
    c.s_nxt = c.c_nxt = 100
    c.talk()


@case('secondary')
def r11_padding_on_the_secondary(f):
    c = f.open()
    for say, port in (c.mirror, 'sv'), (c.svm, 'sp'):
        for n in 0, 3:
            want = say('PA' if n else 'A', n, pad=6, deliver=False)
            p = f.expect(port, lambda p: True)
            equal(p.raw[:len(want.raw) - 6], want.raw[:-6])


@case(max_packets=8)
def r10_packet_limit(f):
    """At a limit: a checkpoint is asked for, new packets of the guest are dropped and counted, what is held stays, and
    no byte is lost."""
    f.allow |= {'overflow', 'secondary_refused'}
    c = f.open()
    p = [c.pvm('A', 10) for n in range(12)]
    e = f.expect_event('miscompare', reason='overflow')
    f.wait_stats(held=8, overflow=4)
    f.again(e)
    f.begin()
    f.commit()
    c.out(*p[:8])
    c.s_nxt = 80
    c.p_nxt = 80
    for n in range(4):
        c.both('A', 10)
    f.pump(0)
    f.events = [e for e in f.events if e.get('cause') != 'overflow' and e.get('reason') != 'overflow']


@case(max_packets=8)
def r10_secondary_is_refused_first(f):
    f.allow |= {'overflow', 'secondary_refused'}
    c, d = f.open(), f.open()
    for n in range(12):
        c.svm('A', 10)
    f.wait_stats(secondary_refused=4)
    check(f.stats()['queued'] <= 8, 'queued beyond the limit')
    e = f.expect_event('miscompare', reason='overflow')
    f.again(e)
    # The others are not touched: a repetition by the secondary mends it.
    for n in range(8):
        c.out(c.pvm('A', 10))
    c.p_nxt = c.s_nxt = 80
    c.both('A', 10)
    d.both('PA', 10)
    f.again(e)


@case(scan=30)
def s1_bridge_does_not_show_its_packets(f):
    """The guest's leave uncompared, the secondary's go nowhere; both are counted, and told once in a while."""
    c = f.open()

    def show(bridge, yes):
        run('ip', '-n', f.host, 'link', 'set', bridge, 'type', 'bridge', 'nf_call_iptables', yes, 'nf_call_ip6tables', yes)
    c.both('PA', 10)
    f.wait_stats(unseen=0)
    show('br0', '0')
    for n in range(3):
        c.out(c.pvm('PA', 10))
    f.expect_event('pair', cause='unseen')
    f.wait_stats(unseen=3, held=0)
    show('brp', '0')
    c.svm('PA', 10)
    f.wait_stats(unseen=4, queued=0)
    f.expect_no_event(0.1)
    show('br0', '1')
    show('brp', '1')
    d = f.open()
    d.both('PA', 10)
    f.wait_stats(unseen=4)


@case('secondary', scan=30)
def s1_secondarys_bridge_does_not_show_its_packets(f):
    c = f.open()
    bridge = ['ip', '-n', f.host, 'link', 'set', 'br1', 'type', 'bridge']
    run(*bridge, 'nf_call_iptables', '0', 'nf_call_ip6tables', '0')
    c.mirror('PA', 10, known=0)
    f.expect_event('pair', cause='unseen')
    f.wait_stats(unseen=1)
    run(*bridge, 'nf_call_iptables', '1', 'nf_call_ip6tables', '1')


class Tap:
    """A port of the host whose far end is a file, as a virtual machine's."""

    def __init__(self, f, name):
        if not os.path.exists('/dev/net/tun'):
            run('modprobe', 'tun')
        with harness.netns(f.host):
            self.fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(self.fd, 0x400454ca, struct.pack('16sH14x', name.encode(), 0x1002))    # TUNSETIFF, TAP | NO_PI
        fcntl.ioctl(self.fd, 0x400454d4, struct.pack('i', 8192))                               # TUNSETSNDBUF

    def send(self, frame):
        os.write(self.fd, frame)


@case(ip=(4,), pair=False, each={'untagged': b'', 'tagged': b'\x81\0\0\5'})
def r10_held_packets_use_up_no_quota(f, tags):
    """A guest's port has a quota of what is under way; what is held is not: 200 packets where 8 KiB may be."""
    tap = Tap(f, 'tap0')
    try:
        run('ip', '-n', f.host, '-batch', '-', stdin='link set tap0 master br0 up\n')
        harness.until(lambda: 'forwarding' in [line for line in run('bridge', '-n', f.host, 'link').stdout.split('\n')
                                               if 'tap0' in line][0], 'the tap forwards')
        f.add(vm='tap0')
        for n in range(200):
            frame = packet.udp(GUEST[False], CLIENT[False], 53, 4000, b'%d' % n * 100, macs=(CLIENT_MAC, GUEST_MAC))
            tap.send(frame[:12] + tags + frame[12:])
        f.wait_stats(held=200)
        f.cli('pair', 'del', 'p', 'force')
    finally:
        os.close(tap.fd)
        f.spoilt = True


# --- S4, R10: other pairs ---

class Bad:
    """A guest next door, of pair q on the same host, and its secondary: what they can do to be a nuisance."""

    limits = {'max_packets': 200, 'max_bytes': 1 << 20, 'max_flows': 100}

    def __init__(self, f):
        self.f, self.n = f, 0
        run('ip', '-n', f.host, '-batch', '-', stdin='\n'.join(
            ['link add vm9 type veth peer name g9', 'link add peer9 type veth peer name s9'] + f.bridge('br9', 'vm9') +
            f.bridge('brp9', 'peer9') + ['link set dev g9 up', 'link set dev s9 up']))
        f.nl.call('pair_add', pair='q', role='primary', vm='vm9', peer='peer9', timeout=100, scan=10, **self.limits)
        self.guest, self.secondary = Port('g9', f.host, 'g9'), Port('s9', f.host, 's9')

    def say(self, flags, data=b'', **kw):
        self.n += 1
        return packet.tcp(GUEST[False], CLIENT[False], 80, 1024 + self.n % 60000, self.n << 16, 1, flags, data,
                          macs=(CLIENT_MAC, GUEST_MAC), **kw)[0]

    def flood(self):
        """Datagrams in flows of their own, which nobody answers."""
        self.n += 1
        self.guest.send(packet.udp(GUEST[False], CLIENT[False], 53, 1024 + self.n % 60000, bytes(1000),
                                   macs=(CLIENT_MAC, GUEST_MAC)))

    def forget(self):
        """Connections that are opened and never used, by both sides."""
        frame = self.say('SA')
        self.guest.send(frame)
        self.secondary.send(frame[:22] + b'\x01' + frame[23:])

    def malformed(self):
        kind = self.n % 4
        self.guest.send(self.say('A', bytes(50), **({'ihl': 4}, {'total': 30}, {'doff': 15}, {'doff': 2})[kind]))

    def differ(self):
        self.guest.send(self.say('S'))
        self.secondary.send(packet.udp(GUEST[False], CLIENT[False], 53, 1024 + self.n % 60000, bytes(900), ttl=1,
                                       macs=(CLIENT_MAC, GUEST_MAC)))

    def restart(self):
        """The guest reboots while it has packets held: its port goes and comes."""
        for _ in range(10):
            self.flood()
            self.forget()
        self.f.set_up(self.f.host, 'vm9', False)
        self.f.set_up(self.f.host, 'vm9', True)

    def leave(self):
        self.f.nl.call('pair_del', pair='q', force=True)
        self.guest.close()
        self.secondary.close()
        for dev in 'vm9', 'peer9', 'br9', 'brp9':
            run('ip', '-n', self.f.host, 'link', 'del', dev)


class Host:
    """What the host says to itself."""

    def __init__(self, f):
        f.set_up(f.host, 'lo')
        with harness.netns(f.host):
            self.ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) for _ in range(2)]
        for s in self.ends:
            s.bind(('127.0.0.1', 0))
            s.settimeout(harness.LIMIT)

    def says(self, what):
        for a, b in self.ends, self.ends[::-1]:
            a.sendto(what, b.getsockname())
            equal(b.recv(100), what, 'what the host hears')


@case(ip=(4,), each={k: k for k in ('flood', 'forget', 'malformed', 'differ', 'restart')})
def s4_a_bad_guest_disturbs_no_other_pair(f, what):
    """Its limits are its own; the neighbour's packets leave as soon as ever, and the host hears what it says to itself."""
    bad = Bad(f)
    try:
        c = f.open()
        host = Host(f)
        for n in range(10):
            for _ in range(1 if what == 'restart' else 100):
                getattr(bad, what)()
            p = c.pvm('PA', 100)
            c.svm('PA', 100)
            c.out(p)
            c.client()
            host.says(b'%d' % n)
        s = f.stats('q')
        check(s['held'] <= bad.limits['max_packets'], 'it holds %d packets', s['held'])
        check(s['held_bytes'] <= bad.limits['max_bytes'], 'it holds %d bytes', s['held_bytes'])
        check(s['flows'] <= bad.limits['max_flows'], 'it has %d flows', s['flows'])
        if what in ('flood', 'forget'):
            check(s['overflow'], 'nothing overflows')
        if what == 'restart':
            check(s['hold'], 'it had nothing held')
        equal(s['primary_packets'], s['passed'] + s['hold'] + s['malformed'] + s['overflow'] + s['nomem'],
              'its packets')
        mine = f.stats()
        equal((mine['miscompares'], mine['timeouts'], mine['requests'], mine['hold']), (0, 0, 0, mine['released']))
    finally:
        bad.leave()
        f.pump(0)
        f.events = [e for e in f.events if e.get('pair') != 'q']

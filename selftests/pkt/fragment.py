# SPDX-License-Identifier: GPL-2.0
"""R8, S3: IP fragments of both families are compared as the datagram that they are of."""

import struct

import harness
import packet
from caps import second_pair
from dgram import ICMP, ICMP6, UDP, Talk, make_icmp, udp
from harness import CLIENT, CLIENT_MAC, GUEST, GUEST_MAC, case, check, equal, stream, tag
from packet import eth, ip4, ip6


def pieces(v6, proto, body, size, ipid, ttl=64):
    """The frames of a datagram of the guest's in fragments of at most size bytes of payload."""
    out = []
    for at in range(0, len(body), size):
        part, more = body[at:at + size], at + size < len(body)
        if v6:
            ext = [(44, b'\0' + struct.pack('!HI', at | more, ipid))]
            body_of = ip6(GUEST[v6], CLIENT[v6], proto, part, ttl=ttl, ext=ext)
        else:
            body_of = ip4(GUEST[v6], CLIENT[v6], proto, part, ttl=ttl, ipid=ipid & 0xffff,
                          frag=at >> 3 | (0x2000 if more else 0))
        out.append(eth(CLIENT_MAC, GUEST_MAC, packet.ETH_IP6 if v6 else packet.ETH_IP, body_of))
    return out


class Fragments:
    """Datagrams of both guests in fragments."""

    def __init__(self, f, proto=UDP):
        self.f, self.proto = f, proto
        self.number = f.port_number()

    def body(self, data):
        if self.proto == UDP:
            return udp(self.f.v6, 53, self.number, data)
        return make_icmp(0, 129)(self.f.v6, data, self.number)

    def say(self, who, data, size=1448, order=None, ipid=None, ttl=None):
        ipid = self.f.rand.getrandbits(16) if ipid is None else ipid
        ttl = ttl or (64 if who == 'pv' else tag(self.f.epoch))
        frames = pieces(self.f.v6, self.proto, self.body(data), size, ipid, ttl)
        for n in order or range(len(frames)):
            self.f.ports[who].send(frames[n])

    def out(self, data, size=1448):
        """The datagram arrives at the client, in fragments no longer than the guest's."""
        want, got, longest = self.body(data), {}, 0
        end = None
        while end is None or sum(map(len, got.values())) < end:
            p = self.f.expect('lan', lambda p: p.proto == self.proto)
            at = p.frag & 0xfff8 if self.f.v6 else (p.frag & 0x1fff) * 8
            more = p.frag & 1 if self.f.v6 else p.frag & 0x2000
            got[at] = p.body
            longest = max(longest, len(p.body))
            if not more:
                end = at + len(p.body)
        equal(b''.join(got[at] for at in sorted(got)), want, 'the datagram')
        check(longest <= size, 'a fragment of %d bytes, the guest sent at most %d', longest, size)
        if len(want) > size:
            check(len(got) > 1, 'it left in one piece')


SIZES = {'2000': (2000,), '9000': (9000,), '65000': (65000,)}


@case(each=SIZES)
def r8_fragments(f, n):
    """Both sides cut alike; what leaves is cut as the guest did."""
    t = Fragments(f)
    data = stream(0, n)
    t.say('pv', data)
    f.held(1)
    t.say('ps', data)
    t.out(data)
    t.say('ps', data)
    f.wait_stats(queued=1)
    t.say('pv', data)
    t.out(data)
    f.wait_stats(compared_datagrams=2, uncompared_proto=0, malformed=0, secondary_malformed=0)


@case(each={'otherwise': (1448, 800, None), 'backwards': (1448, 1448, -1), 'shuffled': (512, 1024, 1)})
def r8_fragments_cut(f, mine, theirs, order):
    """Cut otherwise, or come out of order: the datagram is the same."""
    t = Fragments(f)
    data = stream(0, 5000)
    n = -(-5008 // theirs)
    seq = list(range(n))
    if order == -1:
        seq.reverse()
    elif order:
        f.rand.shuffle(seq)
    t.say('pv', data, mine)
    t.say('ps', data, theirs, seq)
    t.out(data, mine)


@case()
def s3_fragments_far_apart(f):
    """Many fragments of the secondary's come between two of the primary's, from the same address."""
    t = Fragments(f)
    mine, others = stream(0, 5000), [stream(n, 5000) for n in range(1, 30)]
    t.say('pv', mine, order=[0, 1], ipid=1)
    for data in others:
        t.say('ps', data)
    f.wait_stats(queued=29)
    t.say('pv', mine, order=[2, 3], ipid=1)
    f.held(1)
    t.say('ps', mine)
    t.out(mine)
    for data in others:
        t.say('pv', data)
        t.out(data)


@case(timeout=320)
def r8_fragments_differ(f):
    """A byte in the last fragment."""
    t = Fragments(f)
    data = stream(0, 5000)
    t.say('pv', data)
    t.say('ps', data[:-1] + b'!')
    e = f.expect_event('miscompare', reason='payload')
    equal((e['primary'], e['secondary']), (data[-1:], b'!'))
    f.expect_nothing('lan')
    f.begin()
    f.commit()
    t.out(data)


@case(timeout=150, scan=30)
def r8_fragment_lost(f):
    """One fragment of the secondary's is lost on the link."""
    t = Fragments(f)
    data = stream(0, 5000)
    t.say('pv', data)
    t.say('ps', data, order=[0, 1, 3])
    e = f.expect_event('miscompare', reason='timeout')
    f.again(e)
    f.begin()
    f.commit()
    t.out(data)


@case(each={'mine': (True,), 'theirs': (False,)})
def r8_fragments_of_one_side_only(f, mine):
    """Whole on one side, in fragments on the other."""
    t, whole = Fragments(f), Talk(f)
    whole.number = t.number
    data = stream(0, 3000)
    if mine:
        t.say('pv', data)
        whole.svm(data)
        t.out(data)
    else:
        p = whole.pvm(data)
        t.say('ps', data)
        f.expect('lan', p)


@case()
def r8_ping_9000(f):
    t = Fragments(f, ICMP6 if f.v6 else ICMP)
    data = stream(0, 9000)
    t.say('pv', data)
    f.held(1)
    t.say('ps', data)
    t.out(data)


@case()
def r8_fragments_at_failover(f):
    """F2: what is held in one piece leaves in fragments."""
    t = Fragments(f)
    data = stream(0, 9000)
    t.say('pv', data)
    f.held(1)
    f.failover()
    t.out(data)
    t.say('pv', data)
    t.out(data)


@case()
def s3_fragments_of_two_pairs(f):
    """Two guests with equal addresses and equal ids, on bridges of their own: no half is mixed with another's."""
    second_pair(f)
    a = Fragments(f)
    body = {'pv': a.body(b'P' * 2000), 'pv2': a.body(b'Q' * 2000)}
    frames = {who: pieces(f.v6, UDP, b, 1448, 99) for who, b in body.items()}
    for n in 0, 1:
        f.ports['pv'].send(frames['pv'][n])
        f.ports['pv2'].send(frames['pv2'][1 - n])
    f.wait_stats(held=1)
    harness.until(lambda: f.stats('q')['held'] == 1, 'the other pair holds one')
    for name, mine, other in ('p', b'P', b'Q'), ('q', b'Q', b'P'):
        f.nl.call('failover', pair=name)
        port = f.ports['lan' if name == 'p' else 'lan2']
        f.expect(port.name, lambda p: mine * 500 in p.raw)
        f.pump(harness.QUIET)
        check(not any(other * 8 in p.raw for p in port.queue), 'bytes of the other guest: %r', port.queue)
        check(sum(p.raw.count(mine) for p in port.queue) >= 500, 'half of it is missing')
        port.queue.clear()
    f.nl.call('pair_del', pair='q')
    f.pump(0)
    f.events.clear()

# SPDX-License-Identifier: GPL-2.0
"""W7, C2: many connections, opened and closed in every way, and many checkpoints, among a few that live.

KCOLO_TEST_CHURN says how many connections (10000), KCOLO_TEST_CHECKPOINTS how many checkpoints (300)."""

import os
import time

import packet
from harness import SCALE, Sent, case, check, equal, netns, sysctl, tag, until

CHURN = int(os.environ.get('KCOLO_TEST_CHURN', '10000'))
CHECKPOINTS = int(os.environ.get('KCOLO_TEST_CHECKPOINTS', '300'))
GPORT = 80
# The ports of those that come and go.
FIRST, PORTS = 20000, 40000
# How conntrack forgets what is over, in seconds.
OVER = {'close': 1, 'time_wait': 1, 'last_ack': 1, 'syn_recv': 1, 'syn_sent': 1}

# Who says what: c the client, s SVM; then the flags. Each is one connection, from its first to its last segment.
WAYS = {
    'client closes': 'cS sSA cA sPA cA cFA sA sFA cA',
    'guest closes': 'cS sSA cA cPA sA sFA cA cFA sA',
    'guest says all at once': 'cS sSA cPA sFPA cFA sA',
    'both close at once': 'cS sSA cA sFA cFA sA cA',
    'client resets': 'cS sSA cA sPA cRA',
    'client resets without ACK': 'cS sSA cA cR',
    'guest resets': 'cS sSA cA cPA sRA',
    'guest resets without ACK': 'cS sSA cA sR',
    'guest refuses': 'cS sRA',
    'nobody answers the client': 'cS cS',
    'the handshake is left': 'cS sSA sSA',
    'guest opens, guest closes': 'sS cSA sA sPA cA sFA cA cFA sA',
    'guest opens, client closes': 'sS cSA sA cPA sA cFA sA sFA cA',
    'guest opens, is refused': 'sS cRA',
    'guest opens, resets': 'sS cSA sA sRA',
    'nobody answers the guest': 'sS sS',
    'both open at once': 'sS cS sSA cSA sA cFA sFA sA cA',
}


class Short:
    """One connection, as raw frames; numbers as in both ends' eyes do not matter here, the kernel's do."""

    def __init__(self, f, way, port):
        self.f, self.way, self.port = f, way, port
        r = f.rand
        self.c, self.p = r.getrandbits(32), r.getrandbits(32)
        self.offset = r.getrandbits(32)

    def play(self):
        f, a, b = self.f, packet.CLIENT[self.f.v6], packet.GUEST[self.f.v6]
        said = {'c': 0, 's': 0}
        front, back = f.ports['sp'].sock, f.ports['sv'].sock
        none, n = packet.VNET_NONE, 0
        for word in WAYS[self.way].split():
            who, flags = word[0], word[1:]
            other = 's' if who == 'c' else 'c'
            data = b'x' * 10 if 'P' in flags else b''
            at = 0 if 'S' in flags else said[who]
            if who == 'c':
                seq, ack = self.c + at, self.p + said[other]
            else:
                seq, ack = self.p + self.offset + at, self.c + said[other]
            said[who] = max(said[who], at + len(data) + ('S' in flags) + ('F' in flags))
            if 'A' not in flags:
                ack = 0
            if who == 'c':
                frame, _ = packet.tcp(a, b, self.port, GPORT, seq, ack, flags, data, macs=(packet.GUEST_MAC, packet.CLIENT_MAC))
                front.send(none + frame)
            else:
                frame, _ = packet.tcp(b, a, GPORT, self.port, seq, ack, flags, data)
                back.send(none + frame)
            n += 1
        return n


def drain(f):
    """What came out; nobody looks at it here."""
    n = 0
    for p in f.ports.values():
        while True:
            try:
                p.sock.recv(2048, 0x40)
                n += 1
            except BlockingIOError:
                break
    return n


def forgotten(f, live, n):
    """Wait until only those are left that live; else tell the others, and in which way each went."""
    ways, known = list(WAYS), {c.cport for c in live}

    def left():
        found = [(x['sport'] if x['dport'] == GPORT else x['dport'], x) for x in f.flows()]
        return [(port, x) for port, x in found if port not in known]

    def tell():
        return 'forgotten: ' + '; '.join('%s: %s' % (ways[(n - (n + FIRST - port) % PORTS) % len(ways)], x) for port, x in left())

    until(lambda: not left(), tell, limit=30 * SCALE, pause=0.2)
    equal(len(f.flows()), len(live), 'flows')


@case('secondary', ip=(4, 6), scan=200)
def w7_churn(f):
    """Nothing is left of them, none is refused, and those that live go on."""
    with netns(f.host):
        for name, seconds in OVER.items():
            sysctl('net/netfilter/nf_conntrack_tcp_timeout_' + name, seconds)
    f.spoilt = True
    live = [f.open() for n in range(5)]
    for c in live:
        c.talk()
    ways, sent, out = list(WAYS), 0, 0
    for n in range(CHURN // 2):
        sent += Short(f, ways[n % len(ways)], FIRST + n % PORTS).play()
        if n % 32 == 31:
            out += drain(f)
        if n % 1000 == 999:
            for c in live:
                c.talk()
            # No tuple is used again before its connection is forgotten.
            if n % 10000 == 9999:
                forgotten(f, live, n)
    f.pump(0.02)
    out += drain(f)
    for p in f.ports.values():
        p.queue.clear()
    equal(f.count('flows_refused'), 0, 'refused')
    forgotten(f, live, n)
    for c in live:
        c.talk()
    equal(f.pair()['translated'], len(live))
    check(f.count('learnt') >= CHURN // 2 * 11 // len(ways), 'only %d were translated', f.count('learnt'))


@case('secondary', ip=(4,))
def c2_many_checkpoints_of_a_secondary(f):
    """Under way, half open, and idle, one checkpoint after the other, a third of them given up."""
    live = [f.open() for n in range(3)]
    for n in range(CHECKPOINTS):
        live[n % 3].talk(10)
        new = f.conn(sport=20000 + n % 20000)
        new.mirror('S')
        new.svm('SA')
        f.begin()
        if n % 3 == 1:
            f.abort()
            new.known = new.offset
        else:
            f.commit()
            # The guest is a copy now: all numbers are the primary's.
            for c in live + [new]:
                c.actual = c.known = 0
        new.mirror('A')
        new.talk(10)
        new.svm('RA')
    equal(f.pair()['epoch'], CHECKPOINTS - (CHECKPOINTS + 1) // 3)
    for c in live:
        c.talk()
    f.expect_no_event()


@case(ip=(4,))
def c2_many_checkpoints_of_a_primary(f):
    live = [f.open() for n in range(3)]
    for n in range(CHECKPOINTS):
        c, d = live[n % 3], live[(n + 1) % 3]
        p = [c.pvm('PA', 10), d.pvm('PA', 10)]
        f.begin()
        if n % 3 == 1:
            f.abort()
            c.svm('PA', 10, at=c.p_nxt - 10)
            d.svm('PA', 10, at=d.p_nxt - 10)
        else:
            f.commit()
        c.out(p[0])
        d.out(p[1])
        for x in c, d:
            x.s_nxt = x.p_nxt
            x.client('A')
    equal(f.pair()['epoch'], CHECKPOINTS - (CHECKPOINTS + 1) // 3)
    for c in live:
        c.both('PA', 10)
    f.expect_no_event()

# SPDX-License-Identifier: GPL-2.0
"""A guest that its host routes to: its port is in no bridge, its packets come to the IP hooks as they are."""

import socket
import struct

import packet
from harness import (CLIENT, DEFAULTS, GUEST, PAIR, ROLES, Primary, PrimaryConn, Secondary, SecondaryConn, Sent, case, check,
                     equal, netns, run, stream, sysctl, tag, until)
from dgram import UDP, ip, udp
from packet import CLIENT_MAC, GUEST_MAC
from window import opened

# The host's, towards the clients and towards the guest.
UP_MAC, VM_MAC = bytes.fromhex('020000000011'), bytes.fromhex('020000000012')
HOPS = 63                   # what one router leaves of a TTL


def mac(m):
    return m.hex(':')


class Router:
    """What makes a router of a fixture's host."""

    def route(self, *devices):
        with netns(self.host):
            sysctl('net/ipv4/ip_forward', 1)
            sysctl('net/ipv6/conf/all/disable_ipv6', 0)
            sysctl('net/ipv6/conf/all/forwarding', 1)
            # What the host says itself would be in the way: it has the neighbours' addresses.
            run('nft', '-f', '-', stdin='table ip6 quiet {\nchain out {\ntype filter hook output priority 0;\n'
                'icmpv6 type { 133, 134, 135, 136, 143 } drop\n}\n}\n')
        for dev in devices:
            self.route_by(dev)

    def route_by(self, dev):
        addresses, far, near = ((CLIENT, CLIENT_MAC, UP_MAC) if dev == 'up' else (GUEST, GUEST_MAC, VM_MAC))
        with netns(self.host):
            sysctl('net/ipv6/conf/%s/disable_ipv6' % dev, 0)
        lines = ['link set dev %s addrgenmode none address %s up' % (dev, mac(near))]
        for v6 in False, True:
            at = (socket.inet_ntop(socket.AF_INET6, addresses[v6]) if v6 else
                  socket.inet_ntoa(addresses[v6]))
            lines += ['route replace %s dev %s' % (at, dev),
                      'neigh replace %s lladdr %s dev %s nud permanent' % (at, mac(far), dev)]
        run('ip', '-n', self.host, '-batch', '-', stdin='\n'.join(lines))


class RoutedPrimary(Router, Primary):
    host = 'prh'
    ends = {'lan': ('rlan', 'lan0', 'up'), 'pv': ('rpv', 'pv0', 'vm'), 'ps': ('rps', 'ps0', 'peer')}

    def build_host(self):
        run('ip', '-n', self.host, '-batch', '-', stdin='\n'.join(
            self.bridge('brp', 'peer') + ['link set dev brp arp off']))
        self.route('up', 'vm')
        run('tc', '-n', self.host, '-batch', '-', stdin='qdisc add dev vm clsact\nfilter add dev vm egress matchall '
            'action mirred egress mirror dev peer\n')

    def forwarding(self):
        return 'state forwarding' in run('bridge', '-n', self.host, 'link', 'show').stdout

    def conn(self, **kw):
        return RoutedConn(self, **kw)


class RoutedConn(PrimaryConn):
    def client(self, flags='A', data=b'', at=None, ack=None, deliver=True, **kw):
        at, data, end = self.place('c', flags, data, at)
        numbers = self.cisn, self.pisn, flags, at, self.c_ack if ack is None else ack, data
        sent = Sent(*self.frame(True, *numbers, macs=(UP_MAC, CLIENT_MAC), **kw))
        self.f.ports['lan'].send(sent.raw, sent.vnet)
        want = Sent(*self.frame(True, *numbers, macs=(GUEST_MAC, VM_MAC), ttl=HOPS, **kw), end)
        if deliver:
            self.f.expect('pv', want)
            self.f.expect('ps', want)
        return want

    def pvm(self, flags='A', data=b'', at=None, ack=None, **kw):
        """Returns what a client will see of it."""
        at, data, end = self.place('p', flags, data, at)
        self.ipid += 1
        kw.setdefault('ipid', self.ipid)
        numbers = self.pisn, self.cisn, flags, at, self.c_nxt if ack is None else ack, data
        sent = Sent(*self.frame(False, *numbers, macs=(VM_MAC, GUEST_MAC), **kw))
        self.f.ports['pv'].send(sent.raw, sent.vnet)
        return Sent(*self.frame(False, *numbers, macs=(CLIENT_MAC, UP_MAC), ttl=HOPS, **kw), end)

    def svm(self, *args, **kw):
        return super().svm(*args, macs=(VM_MAC, GUEST_MAC), **kw)

    def bare_ack(self, ack, **kw):
        self.f.expect('ps', lambda p: p.flags == 16 and not p.data and p.ack == self.stream_seq(ack) and
                      p.raw[:12] == GUEST_MAC + VM_MAC and all(getattr(p, k) == v for k, v in kw.items()))


class OwnConn(RoutedConn):
    """The client is a socket of the primary's host."""

    homes = {False: '192.0.2.1/32', True: '2001:db8::1/128'}

    def __init__(self, f):
        home = self.homes[f.v6].split('/')[0]
        family = socket.AF_INET6 if f.v6 else socket.AF_INET
        run('ip', '-n', f.host, 'addr', 'replace', self.homes[f.v6], 'dev', 'vm', *(['nodad'] if f.v6 else []))
        # A worker of IPv6 may say later than this command that the address is here.
        until(lambda: home in run('ip', '-n', f.host, '-6' if f.v6 else '-4', 'route', 'show', 'table', 'local').stdout, 'the address')
        with netns(f.host):
            self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.bind((home, 0))
        self.sock.setblocking(False)
        self.sock.connect_ex((socket.inet_ntop(family, GUEST[f.v6]), 80))
        syn = f.expect('pv', flags=packet.bits('S'))
        f.expect('ps', flags=packet.bits('S'))
        super().__init__(f, cisn=syn.seq, sport=syn.sport)
        self.caddr = socket.inet_pton(family, home)
        self.c_nxt = 0
        mss = packet.options(b'\2\4\5\xb4')
        self.pvm('SA', opts=mss)
        self.svm('SA', opts=mss)
        self.acks(0)
        self.sock.setblocking(True)
        self.sock.settimeout(5)
        # What it gets is acknowledged by its timer, which locks the socket.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)

    def acks(self, n):
        """The host's socket acknowledges n bytes."""
        for port in 'pv', 'ps':
            self.f.expect(port, flags=packet.bits('A'), ack=self.stream_seq(n), data=b'')

    def end(self, n):
        """It has read n bytes, which are right, and resets the connection."""
        got = b''
        while len(got) < n:
            got += self.sock.recv(n - len(got))
        equal(got, stream(0, n), 'what the socket has read')
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.sock.close()
        for port in 'pv', 'ps':
            self.f.expect(port, lambda p: p.flags & packet.bits('R'))
            # It may have repeated itself before.
            self.f.ports[port].queue.clear()


class RoutedSecondary(Router, Secondary):
    """Until the failover a bridge like any other secondary's; then its host routes to the guest."""

    host = 'srh'
    ends = {'sp': ('rsp', 'sp0', 'peer'), 'sv': ('rsv', 'sv0', 'vm'), 'sl': ('rsl', 'sl0', 'up')}

    def build_host(self):
        run('ip', '-n', self.host, '-batch', '-', stdin='\n'.join(
            self.bridge('br1', 'peer', 'vm') + ['link set dev br1 address 02:00:00:00:00:13']))
        self.route('up')
        self.moved = False

    def forwarding(self):
        return run('bridge', '-n', self.host, 'link', 'show').stdout.count('state forwarding') == (1 if self.moved else 2)

    def move(self, bridge):
        moved = bridge != 'br1'
        if moved == self.moved:
            return
        run('ip', '-n', self.host, 'link', 'set', 'dev', 'vm', *(['nomaster'] if moved else ['master', bridge]))
        self.moved = moved
        if moved:
            self.route_by('vm')
        until(self.forwarding, 'all ports forward')
        self.pump(0)

    def conn(self, **kw):
        return RoutedSecondaryConn(self, **kw)


class RoutedSecondaryConn(SecondaryConn):
    legs = iter(())

    def frame(self, *args, **kw):
        return super().frame(*args, **{**kw, **next(self.legs, {})})

    def mirror(self, *args, **kw):
        if self.f.front == 'sl':
            self.legs = iter(({'macs': (UP_MAC, CLIENT_MAC)}, {'macs': (GUEST_MAC, VM_MAC), 'ttl': HOPS}))
        return super().mirror(*args, **kw)

    def svm(self, *args, **kw):
        if self.f.front == 'sl':
            self.legs = iter(({'macs': (VM_MAC, GUEST_MAC)}, {'macs': (CLIENT_MAC, UP_MAC), 'ttl': HOPS}))
        return super().svm(*args, **kw)


ROLES.update({'routed': RoutedPrimary, 'routed-secondary': RoutedSecondary})


# --- the primary ---

@case('routed')
def r1_routed_guest(f):
    """Held as any other's: bytes by what the secondary says, ACKs by what it has."""
    c = f.open()
    c.request()
    p = c.pvm('PA', 1000)
    f.held(1)
    c.svm('PA', 400)
    f.held(1)
    c.svm('PA', 600)
    c.out(p)
    c.client('PA', 100)
    p = c.pvm('A')
    f.held(1)
    c.svm('A')
    c.out(p)
    c.both('FA')
    c.client('FA')
    c.both('A')


@case('routed')
def r1_routed_super_packet(f):
    c = f.open()
    p = c.pvm('PA', 20000, mss=1448)
    f.held(1)
    c.svm('PA', 20000, mss=1000)
    c.out(p)


@case('routed')
def r1_routed_lowered(f):
    """R1: an ACK made of a held packet takes the same way."""
    c = f.open()
    c.client('PA', 200)
    p = c.pvm('A')
    f.held(1)
    c.svm('A', ack=100)
    got = f.expect_lowered(c, 100)
    equal(got.raw[:12], CLIENT_MAC + UP_MAC, 'addresses')
    c.svm('A')
    c.out(p)


@case('routed')
def r1_no_head_into_a_socket_that_is_locked(f):
    """A socket of this host acknowledges all that it has, and its own ACK would let a head out, to it."""
    c = OwnConn(f)
    c.pvm('A', 100)
    c.svm('A', 100)
    c.pvm('PA', 20000, mss=1448)
    c.svm('A', 5000, mss=1448)
    c.acks(100)
    # Where the timer was faster than this test the head has left already.
    c.svm('A', 5000, at=100, mss=1448)
    c.acks(5100)
    c.svm('PA', 15000, mss=1448)
    c.acks(20100)
    c.end(20100)


@case('routed', pair=False)
def c0_nothing_leaves_into_a_socket_that_is_locked(f):
    """A socket of this host repeats itself and says by that that it has what is held."""
    c = OwnConn(f)
    c.pvm('A', 100)
    c.acks(100)
    f.nl.call('pair_add', pair=PAIR, role=f.role, vm='vm', peer='peer', **DEFAULTS)
    f.checkpoint()
    c.sock.send(b'x' * 10)
    c.pvm('A', 100, at=0, ack=0)
    c.s_nxt = 100
    c.svm('A', ack=0)
    f.wait_stats(hold=1, released=1)
    c.pvm('A', ack=10)
    c.svm('A', ack=10)
    f.wait_stats(hold=2, released=2)
    c.end(100)


@case('routed')
def r3_routed_window_update(f):
    """It is made in the guest's name, and this host routes it."""
    c = opened(f)
    c.svm('A', win=100)
    p = c.pvm('A', win=200)
    got = f.expect('lan', lambda q: q.dport == c.cport)
    equal((got.win, got.raw[:12]), (100, p.raw[:12]), 'window and addresses')
    c.svm('A', win=150)
    got = f.expect('lan', lambda q: q.dport == c.cport)
    equal((got.win, got.ack, got.raw[:12]), (150, (c.cisn + 1 + c.c_nxt) & packet.M32, p.raw[:12]), 'window, ack and addresses')
    f.wait_stats(windows_updated=1)


@case('routed')
def r7_routed_difference(f):
    c = f.open()
    p = c.pvm('PA', b'true')
    c.svm('PA', b'lies')
    e = f.expect_event('miscompare', reason='payload')
    f.held(1)
    f.checkpoint()
    f.again(e)
    c.out(p)


@case('routed')
def r8_routed_datagrams(f):
    """Whole ones and fragments; two guests' fragments with one id are not mixed."""
    n = f.port_number()
    macs, seen = (VM_MAC, GUEST_MAC), (CLIENT_MAC, UP_MAC)
    one = udp(f.v6, 53, n, stream(0, 100))
    f.ports['pv'].send(ip(f.v6, UDP, one, ipid=7, macs=macs))
    f.held(1)
    f.ports['ps'].send(ip(f.v6, UDP, one, ipid=9, ttl=tag(0), macs=macs))
    f.expect('lan', ip(f.v6, UDP, one, ipid=7, ttl=HOPS, macs=seen))
    if f.v6:
        return
    two = udp(False, 53, n, stream(50, 2000))
    for at, more in (0, 0x2000), (1008, 0):
        part = two[at:at + 1008]
        for port, ttl in ('pv', 64), ('ps', tag(0)):
            f.ports[port].send(ip(False, UDP, part, ipid=8, ttl=ttl, frag=more | at // 8, macs=macs))
    for at, more in (0, 0x2000), (1008, 0):
        f.expect('lan', lambda p, at=at: two[at:at + 1008] in p.raw)


@case('routed')
def r15_routed_ack(f):
    c = f.open()
    c.both('PA', 100)
    c.client('A', ack=100)
    c.svm('PA', 100, at=0)
    c.bare_ack(100)
    f.wait_stats(acks_resent=1)


@case('routed', ip=(4,))
def r11_host_itself_talks_to_the_guest(f):
    """What the host sends the guest has no Ethernet header yet where it is looked at."""
    with netns(f.host):
        run('ip', 'address', 'add', '10.0.0.250/32', 'dev', 'lo')
        for kind, port in ((socket.SOCK_DGRAM, 9), (socket.SOCK_STREAM, 80)):
            s = socket.socket(socket.AF_INET, kind)
            s.setblocking(False)
            try:
                s.connect((socket.inet_ntoa(GUEST[False]), port))
                s.send(b'from the host')
            except BlockingIOError:
                pass
            f.expect('pv', lambda p: p.raw[:12] == GUEST_MAC + VM_MAC)
            s.close()
        run('ip', 'address', 'del', '10.0.0.250/32', 'dev', 'lo')
    f.pump(0)
    f.ports['pv'].queue.clear()
    f.ports['ps'].queue.clear()


@case('routed')
def c2_routed_commit(f):
    """What was before the barrier leaves, in order; the connection goes on being compared."""
    c = f.open()
    p = [c.pvm('PA', 10), c.pvm('PA', 20)]
    f.held(2)
    f.checkpoint()
    c.out(*p)
    c.s_nxt = c.p_nxt
    q = c.pvm('PA', 10)
    f.held(1)
    c.svm('PA', 10)
    c.out(q)


@case('routed')
def f2_routed(f):
    c = f.open()
    p = [c.pvm('PA', 10), c.pvm('PA', 20), c.pvm('FA')]
    f.held(3)
    f.flush(*p)


@case('routed', mode='observe')
def r14_routed(f):
    c = f.conn()
    c.client('S')
    c.out(c.pvm('SA'))
    c.svm('SA')
    c.client('A')
    c.out(c.pvm('PA', b'true'))
    c.svm('PA', b'lies')
    f.expect_event('miscompare', reason='payload')
    f.expect_held = f.expect_queued = None


@case('routed')
def l_routed_port_goes_down(f):
    """Nothing that it has said leaves afterwards."""
    f.allow.add('flushed')
    c = f.open()
    c.pvm('PA', 10)
    c.pvm('PA', 10)
    f.held(2)
    f.set_up(f.host, 'vm', False)
    f.wait_stats(held=0, flushed=2)
    f.expect_nothing('lan')
    f.spoilt = True


@case('routed', ip=(4,))
def nl_routed_ports(f):
    """Only the primary's guest may be routed to; each refusal says why."""
    f.cli('pair', 'add', 'q', 'role', 'primary', 'vm', 'up', 'peer', 'vm', rc=2)
    f.cli('pair', 'add', 'q', 'role', 'primary', 'vm', 'up', 'peer', 'up', rc=2)
    f.cli('pair', 'add', 'q', 'role', 'primary', 'vm', 'brp', 'peer', 'peer', rc=2)
    f.cli('pair', 'add', 'q', 'role', 'primary', 'vm', 'lo', 'peer', 'peer', rc=2)
    f.cli('pair', 'add', 'q', 'role', 'secondary', 'vm', 'up', 'peer', 'peer', rc=2)
    f.cli('pair', 'set', 'p', 'peer', 'up', rc=2)
    f.cli('pair', 'set', 'p', 'vm', 'up')
    f.cli('pair', 'set', 'p', 'vm', 'vm')
    f.open().both('PA', 10)


# --- the secondary, once its host routes to the guest ---

@case('routed-secondary')
def f1_routed_takeover(f):
    """What was translated in a bridge is translated by the router; new connections are not."""
    c, a = f.open(), f.conn()
    c.talk()
    a.svm('S')
    a.known = a.offset
    a.mirror('SA', ack=0)
    a.svm('A')
    f.fail_over()
    for x in c, a:
        x.talk()
        x.svm('PA', 1400)
        x.mirror('FA')
        x.svm('FA')
        x.mirror('A')
    new = f.conn(offset=0)
    new.mirror('S')
    new.svm('SA')
    new.mirror('A')
    new.talk()


@case('routed-secondary')
def w2_routed_reset(f):
    c = f.open()
    c.talk()
    f.fail_over()
    c.svm('RA')


@case('routed-secondary')
def w1_routed_super_packet(f):
    c = f.open()
    f.fail_over()
    c.svm('PA', 20000, mss=1448)
    c.mirror('A')


@case('routed-secondary')
def s3_another_bridge_of_the_host(f):
    """A frame with the same addresses in a bridge that does not lead to the guest is none of the pair's."""
    c = f.open()
    c.talk()
    f.fail_over()
    n = f.count('to_vm')
    c.f.front = 'sp'
    c.mirror('A', deliver=False)
    f.pump(0.02)
    equal(f.count('to_vm'), n)
    f.front = 'sl'
    c.talk()

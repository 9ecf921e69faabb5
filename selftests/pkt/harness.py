# SPDX-License-Identifier: GPL-2.0
"""Network namespaces with a kcolo pair in the middle, and the tests at every end of it.

A case plays the client, the primary's guest (PVM) and the secondary's (SVM), frame by frame:

    Primary                                           Secondary
        lan --- up [br0] vm --- pv (PVM)                  sp --- peer [br1] vm --- sv (SVM)
                         | mirror                                              |
        ps ---- peer [brp] <+                             sl --- up [br0] <----+ at failover
        (what the secondary host sends and gets)          (sp: what the primary host gets and sends)

Every frame that arrives anywhere must have been expected by the case, every checksum must be right, every event must
have been expected, and at the end of each case what was held must have left, or been dropped, or still be there.
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import random
import re
import select
import socket
import struct
import subprocess
import time

import packet
from genl import Genl, Refused
from packet import CLIENT, CLIENT_MAC, GUEST, GUEST_MAC, Packet

SCALE = float(os.environ.get('KCOLO_TEST_SCALE', '1'))
QUIET = 0.015 * SCALE       # how long nothing must come
LIMIT = 4.0 * SCALE         # how long something may take; never waited for in a good run
PAIR = 'p'
# KCOLO_TEST_TAGS='88a8:100 8100:7': all cases inside these VLANs.
EVERY_TAG = [tuple(int(n, base) for n, base in zip(t.split(':'), (16, 10)))
             for t in os.environ.get('KCOLO_TEST_TAGS', '').split()]
DEFAULTS = {'timeout': 30000, 'min_interval': 0}     # of the pair that each case gets

libc = ctypes.CDLL(None, use_errno=True)
root_ns = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)


class Fail(Exception):
    pass


def check(condition, text, *args):
    if not condition:
        raise Fail(text % args if args else text)


def equal(seen, expected, what=''):
    check(seen == expected, '%s is %r, not %r', what or 'it', seen, expected)


@contextlib.contextmanager
def netns(name):
    fd = os.open('/run/netns/' + name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), 'setns ' + name)
        yield
    finally:
        libc.setns(root_ns, 0x40000000)
        os.close(fd)


def run(*argv, stdin=None, ok=True):
    p = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    check(not ok or p.returncode == 0, '%s: exit %d: %s', ' '.join(argv), p.returncode, p.stderr.strip())
    return p


def sysctl(path, value):
    with contextlib.suppress(FileNotFoundError):
        with open('/proc/sys/' + path, 'w') as f:
            f.write(str(value))


def until(condition, what, limit=LIMIT, pause=0.002):
    """Wait for a condition; what: a text, or a function that makes one. Time in which the machine stood still does not count."""
    left = limit
    while True:
        got = condition()
        if got:
            return got
        check(left > 0, 'after %.1f s not: %s', limit, what() if callable(what) else what)
        start = time.monotonic()
        time.sleep(pause)
        left -= min(time.monotonic() - start, 10 * pause)


# --- the kernel -------------------------------------------------------------------------------------------------------

# Of data races (KCSAN) only those in kcolo.
BAD_KMSG = re.compile(r'WARNING:|BUG:(?! KCSAN: (?!.*\[kcolo\]))|Oops|KASAN|UBSAN|refcount_t|general protection|'
                      r'suspicious RCU|circular locking|unregister_netdevice: waiting|blocked for more|ODEBUG|Objects remaining')


class Kmsg:
    def __init__(self):
        self.fd = os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self.fd, 0, os.SEEK_END)

    def news(self):
        out = []
        while True:
            try:
                out.append(os.read(self.fd, 8192).decode(errors='replace').partition(';')[2].partition('\n')[0])
            except BlockingIOError:
                return out
            except OSError as e:
                if e.errno != errno.EPIPE:
                    raise

    def complaints(self):
        return [line for line in self.news() if BAD_KMSG.search(line)]


def module_loaded(name='kcolo'):
    return os.path.isdir('/sys/module/' + name)


def insmod():
    if not module_loaded('br_netfilter'):
        run('modprobe', 'br_netfilter')
    if not module_loaded():
        with open(os.environ['KCOLO_KO']) as ko:
            if libc.syscall(SYS_FINIT_MODULE, ko.fileno(), b'', 0) and ctypes.get_errno() != errno.ENOENT:
                raise OSError(ctypes.get_errno(), 'insmod')
        if not module_loaded():             # what it needs is not there yet
            for need in run('modinfo', '-F', 'depends', os.environ['KCOLO_KO']).stdout.strip().split(','):
                run('modprobe', need)
            run('insmod', os.environ['KCOLO_KO'])


SYS_FINIT_MODULE, SYS_DELETE_MODULE = 313, 176
loads = 0                   # how often the module was taken out; the netlink family's number changes with it


def rmmod(name='kcolo', busy=False):
    """busy: it must be refused."""
    global loads
    loads += 1
    error = libc.syscall(SYS_DELETE_MODULE, name.encode(), os.O_NONBLOCK) and ctypes.get_errno()
    check(bool(error) == busy, 'rmmod %s: %s', name, os.strerror(error))


def gather(f, *devices):
    """From now on what comes in close together becomes one packet, a list of whole segments, where a kernel has that
    for TCP (6.10), and leaves in segments again."""
    for dev in devices:
        at = '/sys/class/net/%s/' % dev
        run('ip', 'netns', 'exec', f.host, 'sh', '-ec',
            'ethtool -K %s gro on rx-gro-list on gso on tx off tx-gso-list off >/dev/null; '
            'echo 50000000 >%sgro_flush_timeout; echo 1 >%snapi_defer_hard_irqs' % (dev, at, at))
    f.spoilt = True


def flush_conntrack(ns):
    """What conntrack -F does."""
    if not module_loaded('nf_conntrack_netlink'):
        run('modprobe', 'nf_conntrack_netlink')
    with netns(ns), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
        s.bind((0, 0))
        s.send(struct.pack('=IHHIIBBH', 20, 1 << 8 | 2, 5, 1, 0, 0, 0, 0))
        error = struct.unpack_from('=i', s.recv(4096), 16)[0]
        check(not error, 'flushing conntrack: %d', error)


# --- ports ------------------------------------------------------------------------------------------------------------

SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
TP_STATUS_VLAN_VALID = 1 << 4


class Port:
    """The far end of a port: all that comes out of it, and a way in."""

    def __init__(self, name, ns, dev):
        self.name, self.ns, self.dev = name, ns, dev
        self.queue = []
        self.tags = b''             # VLAN tags around all that the case sends and expects
        with netns(ns):
            s = self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
            s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)      # SO_RCVBUFFORCE
            s.bind((dev, 3))

    def send(self, frame, vnet=packet.VNET_NONE):
        n = len(self.tags)
        if n and vnet != packet.VNET_NONE:
            flags, kind, head, size, start, off = packet.VNET.unpack(vnet)
            vnet = packet.VNET.pack(flags, kind, head and head + n, size, start + n, off)
        self.sock.send(vnet + frame[:12] + self.tags + frame[12:])

    def read(self):
        while True:
            try:
                data, control, _, _ = self.sock.recvmsg(1 << 17, 256, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as e:
                if e.errno in (errno.ENETDOWN, errno.ENXIO, errno.ENODEV):
                    return
                raise
            vnet, raw = data[:packet.VNET.size], data[packet.VNET.size:]
            for level, kind, body in control:
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    status, _, _, _, _, tci, tpid = struct.unpack('=IIIHHHH', body)
                    if status & TP_STATUS_VLAN_VALID:
                        raw = raw[:12] + struct.pack('!HH', tpid or packet.ETH_VLAN, tci) + raw[12:]
            here = raw[12:12 + len(self.tags)] == self.tags
            if here:
                raw = raw[:12] + raw[12 + len(self.tags):]
            self.queue.append(Packet(raw, vnet))
            if not here:
                self.queue[-1].errors.append('not in its VLAN')

    def close(self):
        self.sock.close()


class Sent:
    """A frame as it was sent, or as it is expected."""

    def __init__(self, frame, vnet=packet.VNET_NONE, end=None):
        self.raw, self.vnet, self.end = frame, vnet, end
        self.gso_size = packet.VNET.unpack(vnet)[3]

    def matches(self, p):
        return p.raw == self.raw and p.gso_size == self.gso_size

    def __repr__(self):
        return repr(Packet(self.raw, self.vnet))


# What becomes of a packet: of the guest and of the secondary on the primary's host, of a client on the secondary's.
GUEST_FATES = ('passed', 'hold', 'malformed', 'overflow')
HELD_FATES = ('released', 'flushed', 'dropped_reset', 'held')
SECONDARY_FATES = tuple('secondary_' + name for name in (
    'heard', 'covered', 'unmatched', 'surplus', 'stale', 'refused', 'ignored', 'rule', 'bypass', 'malformed',
    'dropped')) + ('queued',)
WAIT_FATES = ('released', 'wait_flushed', 'held')


def balance(s, role):
    """Each packet is somewhere, and but once; nomem has, besides packets, what could not be made or copied."""
    fates = {'waited': WAIT_FATES} if role == 'secondary' else \
        {'primary_packets': GUEST_FATES, 'secondary_packets': SECONDARY_FATES, 'hold': HELD_FATES}
    for name, parts in fates.items():
        lost = s[name] - sum(s[part] for part in parts)
        check(0 <= lost <= (0 if name == 'hold' else s['nomem']), '%s: %d, of which nobody knows of %d: %r', name, s[name], lost,
              {part: s[part] for part in (*parts, 'nomem')})


def tag(epoch):
    """The TTL with which the secondary host marks the epoch of what it sends (C4)."""
    return 1 + epoch % 255


STREAM = random.Random(1).randbytes(1 << 16) * 3


def stream(at, n, salt=0):
    """n bytes of a stream that repeats itself every 64 KiB only."""
    at = (at + salt * 7919) % 65536
    return STREAM[at:at + n]


# --- fixtures ---------------------------------------------------------------------------------------------------------

class Fixture:
    """A host with a pair, and the ends of its ports.  Subclasses say how it looks."""

    role = host = None
    ends = {}                   # port here: (namespace, device, device in the host)
    spoilt = False              # a case sets this where the next one needs a new fixture

    def __init__(self):
        self.ports = {}
        self.v6 = False
        self.rand = random.Random(0)
        self.next_port = 10000
        self.nl = self.listener = self.poller = None
        self.loads = loads
        self.build()

    # Building and taking down

    def namespaces(self):
        return [self.host] + [ns for ns, _, _ in self.ends.values()]

    def build(self):
        old = [n for n in self.namespaces() if os.path.exists('/run/netns/' + n)]
        if old:
            run('ip', '-batch', '-', stdin=''.join('netns del %s\n' % n for n in old))
        run('ip', '-batch', '-', stdin=''.join('netns add %s\n' % n for n in self.namespaces()))
        for n in self.namespaces():
            with netns(n):
                for which in 'default', 'all', 'lo':
                    sysctl('net/ipv6/conf/%s/disable_ipv6' % which, 1)
                for what in 'iptables', 'ip6tables', 'arptables':
                    sysctl('net/bridge/bridge-nf-call-' + what, 0)
        # Where both ends of a veth have one number the kernel takes a second to see the carrier.
        run('ip', '-n', self.host, '-batch', '-', stdin='\n'.join(
            ['link add dev %s index %d mtu 9000 type veth peer name %s mtu 9000 netns %s' % (dev, 100 + i, end, ns)
             for i, (ns, end, dev) in enumerate(self.ends.values())]))
        for ns, end, _ in self.ends.values():
            self.set_up(ns, end)
        self.build_host()
        until(self.forwarding, 'all ports forward')
        for name, (ns, end, _) in self.ends.items():
            self.ports[name] = Port(name, ns, end)
        self.pump(0)

    def set_up(self, ns, dev, up=True):
        with netns(ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            request = bytearray(struct.pack('16sH14x', dev.encode(), 0))
            fcntl.ioctl(s, 0x8913, request)
            flags = struct.unpack_from('H', request, 16)[0] & ~1 | (1 if up else 0)
            fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', dev.encode(), flags))

    @staticmethod
    def bridge(name, *ports):
        return (['link add %s type bridge mcast_snooping 0 nf_call_iptables 1 nf_call_ip6tables 1' % name] +
                ['link set dev %s master %s' % (p, name) for p in ports] +
                ['link set dev %s up' % p for p in (name,) + ports])

    def forwarding(self):
        out = run('bridge', '-n', self.host, 'link', 'show').stdout
        return out.count('state forwarding') == len(self.ends)

    def destroy(self):
        self.hang_up()
        self.close_ports()
        run('ip', '-batch', '-', ok=False, stdin=''.join(
            'netns del %s\n' % n for n in self.namespaces() if os.path.exists('/run/netns/' + n)))

    def close_ports(self):
        for p in self.ports.values():
            p.close()
        self.ports = {}
        self.poller = None

    def hang_up(self):
        """Close the netlink sockets."""
        for s in self.nl, self.listener:
            if s:
                s.close()
        self.nl = self.listener = self.poller = None

    def call_up(self, listen=True):
        if self.loads != loads:
            self.hang_up()
            self.loads = loads
        with netns(self.host):
            if not self.nl:
                self.nl = Genl()
            if listen and not self.listener:
                self.listener = Genl()
                self.listener.join()
                self.poller = None

    # Around each case

    def start(self, name, v6, options, pair=True):
        self.v6 = v6
        self.rand = random.Random(name)
        self.expect_held = self.expect_queued = 0
        self.allow = set()
        self.seen_events = []
        self.epoch = 0
        self.events = []
        self.call_up()
        self.pump(0)
        self.tag(*EVERY_TAG)
        self.events = []
        for p in self.ports.values():
            check(not p.queue, 'after the last case at %s: %r', p.name, p.queue)
        if pair:
            self.nl.call('pair_add', pair=PAIR, role=self.role, vm='vm', peer='peer', **{**DEFAULTS, **options})

    def finish(self):
        """What must be true after every case."""
        self.pump(QUIET)
        for p in self.ports.values():
            check(not p.queue, 'unexpected at %s: %r', p.name, p.queue)
        for e in self.events:
            check(not self.alarming(e), 'unexpected event: %r', e)
        if self.nl and self.exists():
            self.account()

    @staticmethod
    def alarming(event):
        return event['event'] == 'miscompare_ntf' or event.get('cause', 'user') != 'user'

    def account(self):
        reply = self.nl.call('stats_get', pair=PAIR)[0]
        s = reply['stats']
        equal(sum(reply.get('hold_times', [s['released']])), s['released'], 'hold times of what was released')
        balance(s, self.role)
        if self.expect_held is not None:
            equal(s['held'], self.expect_held, 'held at the end')
            if not self.expect_held:
                equal(s['held_bytes'], 0, 'held-bytes at the end')
        if self.expect_queued is not None:
            equal(s['queued'], self.expect_queued, 'queued at the end')
        for name in {'nomem', 'overflow', 'malformed', 'secondary_malformed', 'secondary_refused', 'flushed',
                     'events_lost', 'untranslatable', 'foreign', 'wait_dropped', 'wait_flushed',
                     'flows_refused'} - self.allow:
            equal(s[name], 0, name)

    def stop(self):
        if self.nl and self.exists():
            self.nl.call('pair_del', pair=PAIR, force=True)

    def describe(self):
        """For a failed case: how things stand."""
        out = []
        for p in self.ports.values():
            out += ['%s got %r' % (p.name, q) for q in p.queue[:8]]
        out += ['event %r' % e for e in self.events if self.alarming(e)][:8]
        if self.nl and module_loaded() and self.exists():
            out.append('pair %r' % self.pair())
            out.append('stats ' + ' '.join('%s=%d' % kv for kv in self.stats().items() if kv[1]))
            out += ['flow %r' % f for f in self.flows()[:3]]
        return out

    # Frames

    def tag(self, *tags, ports=()):
        """From now on all frames (at these ports) are in these VLANs, the outermost first: (Ethernet type, id)."""
        for name, p in self.ports.items():
            if not ports or name in ports:
                p.tags = b''.join(struct.pack('!HH', *t) for t in tags)

    def poll(self, seconds):
        """Wait for frames and events and read them; returns whether there were any."""
        if not self.poller:
            self.poller = select.poll()
            self.readers = {p.sock.fileno(): p.read for p in self.ports.values()}
            if self.listener:
                self.readers[self.listener.fileno()] = self.read_events
            for fd in self.readers:
                self.poller.register(fd, select.POLLIN)
        got = self.poller.poll(seconds * 1000)
        for fd, _ in got:
            self.readers[fd]()
        return bool(got)

    def pump(self, wait):
        """Read all that arrives in some seconds; the last look is after them."""
        end = time.monotonic() + wait
        while self.poll(max(0.0, end - time.monotonic())) or time.monotonic() < end:
            pass

    def read_events(self):
        self.events += self.listener.events()

    def wait_for(self, find, what, limit=LIMIT):
        got = find()
        if got is not None:
            return got
        end = time.monotonic() + limit
        while self.poll(max(0.0, end - time.monotonic())) or time.monotonic() < end:
            got = find()
            if got is not None:
                return got
        raise Fail('after %.1f s not %s' % (limit, what))

    def expect(self, port, what=None, within=LIMIT, **fields):
        """Take the frame that matches from a port's queue.  what: a Sent, bytes, a function, or None and fields."""
        queue = self.ports[port].queue
        if isinstance(what, bytes):
            what = Sent(what)

        def find():
            for i, p in enumerate(queue):
                if isinstance(what, Sent):
                    good = what.matches(p)
                elif what:
                    good = what(p)
                else:
                    good = all(getattr(p, k) == v for k, v in fields.items())
                if good:
                    check(not p.errors, 'at %s: %r', port, p)
                    return queue.pop(i)
            return None
        return self.wait_for(find, 'at %s: %r' % (port, what or fields), within)

    def expect_order(self, port, *frames, within=LIMIT):
        """These frames come, in this order, and no other between them."""
        queue = self.ports[port].queue
        self.wait_for(lambda: len(queue) >= len(frames) or None, '%d frames at %s' % (len(frames), port), within)
        for i, want in enumerate(frames):
            got = queue.pop(0)
            check(want.matches(got), 'frame %d at %s is %r, not %r', i, port, got, want)
            check(not got.errors, 'at %s: %r', port, got)

    def expect_nothing(self, *ports, wait=None):
        self.pump(QUIET if wait is None else wait)
        for name in ports or self.ports:
            check(not self.ports[name].queue, 'unexpected at %s: %r', name, self.ports[name].queue)

    # Events

    def expect_event(self, event, within=LIMIT, **fields):
        """Take an event; its repetitions until the checkpoint are one with it."""
        def find():
            for e in self.events:
                if e['event'] == event + '_ntf' and all(e.get(k) == v for k, v in fields.items()):
                    return e
            return None
        got = self.wait_for(find, 'event %s %r' % (event, fields), within)
        self.events = [e for e in self.events if e != got]
        return got

    def again(self, event):
        """Take the repetitions of an event."""
        self.pump(0)
        n = len(self.events)
        self.events = [e for e in self.events if e != event]
        return n - len(self.events)

    def expect_no_event(self, wait=None):
        self.pump(QUIET if wait is None else wait)
        bad = [e for e in self.events if self.alarming(e)]
        check(not bad, 'unexpected events: %r', bad)

    def expect_no_event_but(self, event, wait):
        self.again(event)
        end = time.monotonic() + wait
        while time.monotonic() < end:
            self.pump(end - time.monotonic())
            self.again(event)
        self.expect_no_event(0)

    # Control

    def cli(self, *args, rc=0):
        with netns(self.host):
            p = run('kcolo', *map(str, args), ok=False)
        check(p.returncode == rc, 'kcolo %s: exit %d, not %d: %s', ' '.join(map(str, args)), p.returncode, rc,
              (p.stderr + p.stdout).strip())
        check(rc == 0 or p.stderr.strip(), 'kcolo %s: exit %d without a word', ' '.join(map(str, args)), rc)
        return p

    def add(self, name=PAIR, vm='vm', peer='peer', rc=0, **options):
        settings = [x for k, v in {**DEFAULTS, **options}.items() for x in (k.replace('_', '-'), v)]
        return self.cli('pair', 'add', name, 'role', self.role, 'vm', vm, 'peer', peer, *settings, rc=rc)

    def exists(self, name=PAIR):
        if not module_loaded():
            return False
        self.call_up(listen=False)
        try:
            self.nl.call('pair_get', pair=name)
            return True
        except Refused:
            return False

    def pair(self, name=PAIR):
        return self.nl.call('pair_get', pair=name)[0]

    def state(self):
        return self.pair()['state']

    def stats(self, name=PAIR):
        return self.nl.call('stats_get', pair=name)[0]['stats']

    def flows(self, name=PAIR, **fields):
        return self.nl.call('flow_get', dump=True, pair=name, **fields)

    def count(self, name):
        return self.stats()[name]

    def wait_stats(self, within=LIMIT, **counters):
        """Wait until the counters have these values."""
        seen = {}

        def good():
            s = self.stats()
            seen.update((k, s[k]) for k in counters)
            return all(s[k] == v for k, v in counters.items())
        until(good, lambda: '%r, but %r' % (counters, seen), within)

    def command(self, cmd, rc=0, **fields):
        """Do something by netlink, or (rc) have it refused with a sentence."""
        try:
            self.nl.call(cmd, pair=PAIR, **fields)
        except Refused as e:
            check(rc and e.text, '%s %r: %s', cmd, fields, e)
        else:
            check(not rc, '%s %r was not refused', cmd, fields)

    def begin(self, **kw):
        self.command('checkpoint', action='begin', **kw)

    def commit(self, epoch=None, **kw):
        self.command('checkpoint', action='commit', **({} if epoch is None else {'epoch': epoch}), **kw)
        self.epoch = self.pair()['epoch']

    def abort(self, **kw):
        self.command('checkpoint', action='abort', **kw)

    def failover(self, action=None, **kw):
        self.command('failover', **({'action': action} if action else {}), **kw)

    def set(self, **fields):
        self.command('pair_set', **fields)

    def port_number(self):
        self.next_port += 1
        return self.next_port


class Conn:
    """One TCP connection: numbers are offsets in the streams, 0 the first byte of data, -1 the SYN."""

    def __init__(self, f, cisn=None, pisn=None, offset=None, sport=None, dport=80):
        self.f, self.v6 = f, f.v6
        self.cport = f.port_number() if sport is None else sport
        self.gport = dport
        self.caddr = CLIENT[self.v6]
        self.cisn = f.rand.getrandbits(32) if cisn is None else cisn & packet.M32
        self.pisn = f.rand.getrandbits(32) if pisn is None else pisn & packet.M32
        offset = f.rand.getrandbits(32) if offset is None else offset
        self.offset = offset & packet.M32
        self.sisn = (self.pisn + offset) & packet.M32
        self.c_nxt = self.p_nxt = self.s_nxt = -1
        self.c_ack = -1                         # what the client has got, and acks
        self.ipid = 0

    def frame(self, client, base, ack_base, flags, at, ack, data, opts=b'', **kw):
        a, b = self.caddr, GUEST[self.v6]
        ports = self.cport, self.gport
        macs = GUEST_MAC, CLIENT_MAC
        if not client:
            a, b, ports, macs = b, a, ports[::-1], macs[::-1]
        rawack = kw.pop('rawack', 0)
        if packet.bits(flags) & 16:
            rawack = ack_base + 1 + ack
        return packet.tcp(a, b, *ports, base + 1 + at, rawack, flags, data, macs=kw.pop('macs', macs), opts=opts, **kw)

    def place(self, who, flags, data, at):
        """Where a segment stands, what is in it, and where it ends."""
        nxt = getattr(self, who + '_nxt')
        if at is None:
            at = nxt
        if isinstance(data, int):
            data = stream(at, data, salt=1 if who == 'c' else 0)
        end = at + len(data) + bool(packet.bits(flags) & 2) + bool(packet.bits(flags) & 1)
        setattr(self, who + '_nxt', max(nxt, end))
        return at, data, end

    def key(self):
        return {'proto': 6, 'src': GUEST[self.v6], 'sport': self.gport, 'dst': CLIENT[self.v6], 'dport': self.cport}

    def flow(self):
        """The kernel's record of this connection."""
        for fl in self.f.flows():
            ends = {(fl['src'], fl['sport']), (fl['dst'], fl['dport'])}
            if ends == {(CLIENT[self.v6], self.cport), (GUEST[self.v6], self.gport)}:
                return fl
        return None


class Primary(Fixture):
    role, host = 'primary', 'ph'
    ends = {'lan': ('lan', 'lan0', 'up'), 'pv': ('pv', 'pv0', 'vm'), 'ps': ('ps', 'ps0', 'peer')}

    def build_host(self):
        with netns(self.host):
            sysctl('net/ipv4/ipfrag_max_dist', 0)
        # Each CPU has a queue of its own for what is sent to a veth; of several a flush's order would say nothing.
        run('ip', 'netns', 'exec', 'lan', 'sh', '-c', 'echo 1 >/sys/class/net/lan0/queues/rx-0/rps_cpus', ok=False)
        run('ip', '-n', self.host, '-batch', '-', stdin='\n'.join(
            self.bridge('br0', 'up', 'vm') + self.bridge('brp', 'peer') + ['link set dev brp arp off']))
        run('bridge', '-n', self.host, 'link', 'set', 'dev', 'peer', 'learning', 'off', 'flood', 'off', 'mcast_flood',
            'off', 'bcast_flood', 'off')
        run('tc', '-n', self.host, '-batch', '-', stdin='qdisc add dev vm clsact\nfilter add dev vm egress matchall '
            'action mirred egress mirror dev peer\n')

    def conn(self, **kw):
        return PrimaryConn(self, **kw)

    def open(self, opts=b'', **kw):
        c = self.conn(**kw)
        c.open(opts)
        return c

    def expect_lowered(self, c, ack, win=None, seq=None):
        """R1: an ACK made of a held packet, of what both sides have acknowledged."""
        p = self.expect('lan', lambda p: p.dport == c.cport)
        equal((p.flags, p.data, p.ack), (16, b'', (c.cisn + 1 + ack) & packet.M32), 'flags, data and ack of %r' % p)
        if win is not None:
            equal(p.win, win, 'window')
        if seq is not None:
            equal(p.seq, c.stream_seq(seq), 'seq')
        return p

    def held(self, n):
        """n packets are held, and nothing comes out."""
        self.wait_stats(held=n)
        self.expect_nothing('lan')

    def flush(self, *frames):
        """End a case that leaves packets held: they leave, in this order."""
        self.failover()
        self.expect_order('lan', *frames)

    def checkpoint(self):
        self.begin()
        self.commit()


class PrimaryConn(Conn):
    """The connection as the primary host sees it: all in the primary's numbers, but for SVM's SYN-ACK."""

    def client(self, flags='A', data=b'', at=None, ack=None, deliver=True, **kw):
        at, data, end = self.place('c', flags, data, at)
        frame = Sent(*self.frame(True, self.cisn, self.pisn, flags, at, self.c_ack if ack is None else ack, data, **kw),
                     end)
        self.f.ports['lan'].send(frame.raw, frame.vnet)
        if deliver:
            self.f.expect('pv', frame)
            self.f.expect('ps', frame)
        return frame

    def pvm(self, flags='A', data=b'', at=None, ack=None, **kw):
        at, data, end = self.place('p', flags, data, at)
        self.ipid += 1
        kw.setdefault('ipid', self.ipid)
        ack = self.c_nxt if ack is None else ack
        frame = Sent(*self.frame(False, self.pisn, self.cisn, flags, at, ack, data, **kw), end)
        self.f.ports['pv'].send(frame.raw, frame.vnet)
        return frame

    def svm(self, flags='A', data=b'', at=None, ack=None, base=None, epoch=None, **kw):
        at, data, end = self.place('s', flags, data, at)
        if base is None:
            base = self.sisn if packet.bits(flags) & 2 else self.pisn
        kw.setdefault('ipid', 0x5000 + self.ipid)
        kw.setdefault('ttl', tag(self.f.epoch if epoch is None else epoch))
        ack = self.c_nxt if ack is None else ack
        frame = Sent(*self.frame(False, base, self.cisn, flags, at, ack, data, **kw), end)
        self.f.ports['ps'].send(frame.raw, frame.vnet)
        return frame

    def out(self, *frames, within=LIMIT):
        """These frames of PVM reach the client, in this order."""
        self.f.expect_order('lan', *frames, within=within)
        self.c_ack = max([self.c_ack] + [f.end for f in frames if f.end is not None])

    def bare_ack(self, ack, **kw):
        """What kcolo sends SVM in the client's name."""
        def good(p):
            return (p.seq is not None and p.flags == 16 and not p.data and p.sport == self.cport and
                    p.dport == self.gport and p.seq == (self.cisn + 1 + self.c_nxt) & packet.M32 and
                    p.ack == self.stream_seq(ack) and p.raw[:12] == packet.GUEST_MAC + packet.CLIENT_MAC and
                    all(getattr(p, k) == v for k, v in kw.items()))
        self.f.expect('ps', good)

    def sack(self, ack, *ranges, opts=b'', **kw):
        """Such an ACK, of what came behind lost packets of SVM."""
        blocks = [(self.stream_seq(a), self.stream_seq(b)) for a, b in ranges]
        self.bare_ack(ack, opts=opts + packet.options(1, 1, packet.sack(*blocks)), **kw)

    def both(self, flags='A', data=b'', **kw):
        """Both guests say the same, the primary first; it leaves."""
        p = self.pvm(flags, data, **kw)
        self.svm(flags, data, **kw)
        self.out(p)
        return p

    def open(self, opts=b''):
        self.client('S', opts=opts)
        p = self.pvm('SA', opts=opts)
        self.svm('SA', opts=opts)
        self.out(p)
        self.client('A')

    def request(self, n=100):
        """The client sends n bytes, both guests ack them."""
        self.client('PA', n)
        p = self.pvm('A')
        self.svm('A')
        self.out(p)

    def stream_seq(self, at):
        return (self.pisn + 1 + at) & packet.M32


class Secondary(Fixture):
    role, host = 'secondary', 'sh'
    ends = {'sp': ('sp', 'sp0', 'peer'), 'sv': ('sv', 'sv0', 'vm'), 'sl': ('sl', 'sl0', 'up')}

    def build_host(self):
        run('ip', '-n', self.host, '-batch', '-', stdin='\n'.join(
            self.bridge('br1', 'peer', 'vm') + self.bridge('br0', 'up')))
        self.moved = False

    def start(self, *args, **kw):
        self.move('br1')
        super().start(*args, **kw)
        self.front = 'sp'           # where SVM's packets come out and the clients' come in

    def stop(self):
        super().stop()
        if self.nl:
            flush_conntrack(self.host)

    def move(self, bridge):
        """Move SVM's port to a bridge."""
        moved = bridge == 'br0'
        if moved != self.moved:
            run('ip', '-n', self.host, 'link', 'set', 'dev', 'vm', 'master', bridge)
            until(self.forwarding, 'all ports forward')
            self.moved = moved
            self.pump(0)

    def fail_over(self, *action):
        self.failover(*action)
        self.move('br0')
        self.front = 'sl'

    def conn(self, **kw):
        return SecondaryConn(self, **kw)

    def open(self, **kw):
        c = self.conn(**kw)
        c.open()
        return c


class SecondaryConn(Conn):
    """The connection as the secondary host sees it: the mirrored client in the primary's numbers, SVM in its own.
    known: what this connection's offset now is to kcolo, None while it has none."""

    known = None

    def pick(self, opts, base):
        return opts(base) if callable(opts) else opts

    def mirror(self, flags='A', data=b'', at=None, ack=None, deliver=True, opts=b'', known=True, **kw):
        """A client's packet arrives by the mirror and is delivered to SVM, translated.  opts: bytes, or a function
        of the guest's ISN."""
        at, data, end = self.place('c', flags, data, at)
        ack = self.s_nxt if ack is None else ack
        sent = Sent(*self.frame(True, self.cisn, self.pisn, flags, at, ack, data, opts=self.pick(opts, self.pisn),
                                **kw))
        base = self.pisn + (self.known or 0 if known is True else known)
        want = Sent(*self.frame(True, self.cisn, base, flags, at, ack, data, opts=self.pick(opts, base), **kw))
        self.f.ports[self.f.front].send(sent.raw, sent.vnet)
        if deliver:
            self.f.expect('sv', want)
        return want

    def svm(self, flags='A', data=b'', at=None, ack=None, deliver=True, opts=b'', ttl=64, known=True, **kw):
        """SVM says something, which leaves towards the primary, translated and tagged."""
        at, data, end = self.place('s', flags, data, at)
        ack = self.c_nxt if ack is None else ack
        self.ipid += 1
        kw.setdefault('ipid', self.ipid)
        base = self.pisn + self.actual
        sent = Sent(*self.frame(False, base, self.cisn, flags, at, ack, data, opts=self.pick(opts, base), ttl=ttl, **kw))
        out = ttl if self.f.front == 'sl' else tag(self.f.epoch)
        base -= self.known or 0 if known is True else known
        want = Sent(*self.frame(False, base, self.cisn, flags, at, ack, data, opts=self.pick(opts, base), ttl=out, **kw))
        self.f.ports['sv'].send(sent.raw, sent.vnet)
        if deliver:
            self.f.expect(self.f.front, want)
        return want

    @functools.cached_property
    def actual(self):
        """SVM's numbers minus the primary's, as they are."""
        return self.offset

    def open(self, opts=b''):
        self.mirror('S', opts=opts)
        self.svm('SA', opts=opts)
        self.known = self.offset
        self.mirror('A')

    def talk(self, n=100):
        """Some data in both directions, all translated."""
        self.mirror('PA', n)
        self.svm('A')
        self.svm('PA', n)
        self.mirror('A')


ROLES = {'primary': Primary, 'secondary': Secondary}       # what a case may run in; a topic may add its own


# --- cases ------------------------------------------------------------------------------------------------------------

class Case:
    def __init__(self, function, name, topic, role, v6, pair, options):
        self.function, self.name, self.topic, self.role = function, name, topic, role
        self.v6, self.pair, self.options = v6, pair, options


CASES = []


def case(role='primary', ip=(4, 6), each=None, pair=True, **options):
    """Register a case, once for each IP version.  each: {name suffix: arguments} for a family of cases.  options: of
    the pair that the case gets."""
    def register(function):
        topic = function.__module__
        for suffix, args in (each or {'': ()}).items():
            for version in ip:
                name = '_'.join([function.__name__] + [suffix] * bool(suffix) + ['v%d' % version] * (len(ip) > 1))
                CASES.append(Case(functools.partial(run_case, function, args), name, topic, role, version == 6, pair,
                                  options))
        return function
    return register


def run_case(function, args, f):
    return function(f, *(args if isinstance(args, tuple) else (args,)))

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""stress.py [--seconds N] [--seed N] - everything comes and goes under traffic, several at a time, in a VM.

Processes of their own, each with a random order of its own: pairs are added, changed and deleted, checkpoints begun and
ended, sides fail over, rules and modes change; ports, bridges and links are taken away and put back; namespaces are made
and killed; kcolo and br_netfilter are unloaded and loaded again; conntrack is emptied.  Nothing that is asked for need
succeed.  It is a fault if the kernel complains, if somebody waits for longer than LIMIT, or if something is left
behind."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import fuzzer                                                           # noqa: E402
import harness                                                          # noqa: E402
import lifecycle                                                        # noqa: E402
import packet                                                           # noqa: E402
from genl import Genl, Refused                                          # noqa: E402
from harness import SCALE, check, libc, module_loaded, netns, run, until        # noqa: E402

HOSTS = ('s0', 's1', 's2')
LIMIT = 20 * SCALE          # nothing that is done here takes so long


def host(n):
    """A namespace with a primary's ports and a secondary's, and the far ends of them."""
    links = ['link add %s type veth peer name %s' % (a, b) for a, b in
             (('vm', 'pv'), ('up', 'lan'), ('peer', 'ps'), ('svm', 'sv'), ('speer', 'sp'))]
    bridges = (harness.Fixture.bridge('br0', 'up', 'vm') + harness.Fixture.bridge('brp', 'peer') +
               harness.Fixture.bridge('br1', 'svm', 'speer'))
    ups = ['link set dev %s up' % d for d in ('pv', 'lan', 'ps', 'sv', 'sp')]
    run('ip', 'netns', 'add', n, ok=False)
    run('ip', '-n', n, '-batch', '-', stdin='\n'.join(links + bridges + ups), ok=False)


class Actor:
    """One process; do() is called again and again."""

    def __init__(self, seed):
        self.rand = random.Random('%s %d' % (type(self).__name__, seed))

    def pause(self):
        time.sleep(self.rand.choice((0, 0.001, 0.01, 0.05)))

    def quietly(self, *argv):
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def where(self):
        return self.rand.choice(HOSTS)


class Traffic(Actor):
    """Both guests and a client say something, at the far ends of the ports."""

    def __init__(self, seed):
        super().__init__(seed)
        self.frames = 0

    def frame(self, src):
        r = self.rand
        v6, n = r.random() < 0.3, r.randrange(900)
        a, b = harness.CLIENT[v6], harness.GUEST[v6]
        sport, dport = 10000 + r.randrange(40), 80
        macs = packet.GUEST_MAC, packet.CLIENT_MAC
        if src not in ('lan', 'sp'):
            a, b, sport, dport, macs = b, a, dport, sport, macs[::-1]
        if r.random() < 0.3:
            return packet.udp(a, b, sport, dport, bytes(n), macs=macs, ttl=r.choice((64, 1, 2)))
        flags = r.choice(('S', 'SA', 'A', 'PA', 'PA', 'PA', 'FA', 'R'))
        return packet.tcp(a, b, sport, dport, 1000 + r.randrange(3000) * ('S' not in flags), 1001, flags,
                          bytes(n) if 'P' in flags else b'', macs=macs, ttl=r.choice((64, 1, 2)))[0]

    def do(self):
        n = self.where()
        with contextlib.suppress(OSError), netns(n), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            end = self.rand.choice(('pv', 'lan', 'ps', 'sv', 'sp'))
            s.bind((end, 0))
            for _ in range(self.rand.randrange(60)):
                s.send(self.frame(end))


class Config(Actor):
    """Whatever can be asked of the family."""

    def ask(self, g):
        r = self.rand
        pair = r.choice('pq')
        ports = {'p': {'role': 'primary', 'vm': 'vm', 'peer': 'peer'},
                 'q': {'role': 'secondary', 'vm': 'svm', 'peer': 'speer'}}[pair]
        what = r.randrange(14)
        if what < 4:
            g.call('pair_add', pair=pair, timeout=r.choice((10, 100)), scan=10, **ports)
        elif what == 4:
            g.call('pair_del', pair=pair, force=True)
        elif what == 5:
            port = r.choice(('vm', 'peer'))
            g.call('pair_set', pair=pair, **{port: r.choice((ports[port], 'vm', 'peer', 'svm', 'speer'))})
        elif what == 6:
            g.call('pair_set', pair=pair, mode=r.choice(('hold', 'observe')), scan=r.choice((10, 20)),
                   max_packets=r.choice((10, 10000)))
        elif what < 10:
            g.call('checkpoint', pair=pair, action=r.choice(('begin', 'commit', 'abort')))
        elif what == 10:
            g.call('failover', pair=pair, action='abort')
        elif what == 11:
            g.call('rule_add', pair=pair, rule_action=r.choice(('bypass', 'compare')), sport=80)
        elif what == 12:
            g.call('rule_del', pair=pair, rule_id=r.randrange(5))
        else:
            for cmd in 'pair_get', 'flow_get', 'rule_get', 'stats_get':
                g.call(cmd, dump=True)

    def do(self):
        with contextlib.suppress(OSError), netns(self.where()):
            g = Genl()
            try:
                if self.rand.random() < 0.3:
                    g.join()
                for _ in range(self.rand.randrange(20)):
                    with contextlib.suppress(Refused):
                        self.ask(g)
            except (Refused, KeyError, TypeError, OSError):
                pass                    # the module is gone
            finally:
                g.close()


class Links(Actor):
    """Ports, bridges and links go away, change and come back."""

    def do(self):
        r, n = self.rand, self.where()
        dev = r.choice(('vm', 'peer', 'up', 'svm', 'speer'))
        home = {'vm': 'br0', 'up': 'br0', 'peer': 'brp', 'svm': 'br1', 'speer': 'br1'}[dev]
        what = r.randrange(8)
        if what == 0:
            self.quietly('ip', '-n', n, 'link', 'del', dev)
            host(n)
        elif what == 1:
            self.quietly('ip', '-n', n, 'link', 'del', home)
            host(n)
        elif what == 2:
            self.quietly('ip', '-n', n, 'link', 'set', dev, 'nomaster')
            self.quietly('ip', '-n', n, 'link', 'set', dev, 'master', home)
        elif what == 3:
            self.quietly('ip', '-n', n, 'link', 'set', dev, 'master', r.choice(('br0', 'brp', 'br1')))
            self.quietly('ip', '-n', n, 'link', 'set', dev, 'master', home)
        elif what == 4:
            for how in 'down', 'up':
                self.quietly('ip', '-n', n, 'link', 'set', r.choice((dev, home)), how)
            self.quietly('ip', '-n', n, '-batch', '-')
            host(n)
        elif what == 5:
            self.quietly('ip', '-n', n, 'link', 'set', dev, 'name', dev + 'x')
            self.quietly('ip', '-n', n, 'link', 'set', dev + 'x', 'name', dev)
        elif what == 6:
            there = self.where()
            self.quietly('ip', '-n', n, 'link', 'set', dev, 'netns', there)
            host(n)
        else:
            with contextlib.suppress(harness.Fail, OSError):
                harness.flush_conntrack(n)


class Namespaces(Actor):
    def do(self):
        n = self.where()
        self.quietly('ip', 'netns', 'del', n)
        if self.rand.random() < 0.5:
            self.pause()
        host(n)
        time.sleep(self.rand.random() * 0.3)


class Modules(Actor):
    def do(self):
        name = self.rand.choices(('kcolo', 'br_netfilter'), (4, 1))[0]
        libc.syscall(harness.SYS_DELETE_MODULE, name.encode(), os.O_NONBLOCK)
        self.pause()
        with contextlib.suppress(harness.Fail, OSError):
            harness.insmod()
        time.sleep(self.rand.random() * 0.3)


class Ends(Actor):
    """A namespace of its own, in which packets are held when several things end at once."""

    names = ('s8', 's9')

    def __init__(self, seed):
        super().__init__(seed)
        self.name = self.names[seed % 2]

    def hold(self):
        with netns(self.name):
            g = Genl()
            try:
                g.call('pair_add', pair='p', role='primary', vm='vm', peer='peer', timeout=60000)
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
                    s.bind(('pv', 0))
                    for n in range(10):
                        s.send(packet.udp(harness.GUEST[False], harness.CLIENT[False], 53, 1000 + n, b'held',
                                          macs=(packet.CLIENT_MAC, packet.GUEST_MAC)))
            finally:
                g.close()

    def end(self, what):
        if what == 'module':
            libc.syscall(harness.SYS_DELETE_MODULE, b'kcolo', os.O_NONBLOCK)
        elif what == 'bridge module':
            libc.syscall(harness.SYS_DELETE_MODULE, b'br_netfilter', os.O_NONBLOCK)
        else:
            command = ['ip', 'netns', 'del', self.name]
            if what != 'namespace':
                command = ['ip', '-n', self.name, 'link', 'del', what]
            p = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            if self.rand.random() < 0.7:
                p.wait()

    def do(self):
        host(self.name)
        with contextlib.suppress(harness.Fail, OSError):
            harness.insmod()
        with contextlib.suppress(Refused, KeyError, TypeError, OSError):
            self.hold()
        ends = ['namespace', 'module', 'bridge module', 'br0', 'vm', 'peer']
        if self.rand.random() < 0.4:    # what takes longest comes first
            ends = ends[:2]
        else:
            ends = self.rand.sample(ends, self.rand.randrange(1, 4))
        for what in ends:
            self.end(what)
            time.sleep(self.rand.random() * 0.04)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


ACTORS = (Ends, Ends, Traffic, Config, Config, Links, Namespaces, Modules)


def act(actor, beat, index):
    """The life of a process: a beat after each step, so that the parent sees who is stuck."""
    libc.prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        try:
            actor.do()
        except (OSError, harness.Fail, ctypes.ArgumentError):
            pass
        beat[index] += 1
        actor.pause()


def stuck(pid):
    """What a process waits for in the kernel, and its children."""
    out = []
    for p in [pid] + run('pgrep', '-P', str(pid), ok=False).stdout.split():
        with contextlib.suppress(OSError):
            command = open('/proc/%s/cmdline' % p).read().replace('\0', ' ')
            stack = open('/proc/%s/stack' % p).read().replace('\n', ' ')
            out.append('%s: %s' % (command[-60:], stack))
    return '; '.join(out)


def stress(seconds, seed):
    import mmap
    import struct

    class Beat:
        def __init__(self, n):
            self.m = mmap.mmap(-1, 8 * n)

        def __getitem__(self, i):
            return struct.unpack_from('=Q', self.m, 8 * i)[0]

        def __setitem__(self, i, v):
            struct.pack_into('=Q', self.m, 8 * i, v)

    beat, pids = Beat(len(ACTORS)), []
    for n in HOSTS:
        host(n)
    for i, kind in enumerate(ACTORS):
        pid = os.fork()
        if not pid:
            act(kind(seed + i), beat, i)
        pids.append(pid)
    seen = [(0, time.monotonic())] * len(ACTORS)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(0.2)
            for i, pid in enumerate(pids):
                if beat[i] != seen[i][0]:
                    seen[i] = beat[i], time.monotonic()
                if time.monotonic() > seen[i][1] + LIMIT:
                    raise harness.Fail('%s is stuck: %s' % (ACTORS[i].__name__, stuck(pid)))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    for i, pid in enumerate(pids):
        until(lambda: os.waitpid(pid, os.WNOHANG)[0], lambda: '%s ends: %s' % (ACTORS[i].__name__, stuck(pid)), LIMIT)
    print('# ' + ' '.join('%s=%d' % (k.__name__.lower(), beat[i]) for i, k in enumerate(ACTORS)))


def clean():
    """Nothing is left behind."""
    time.sleep(1)                       # an "ip" that has lost its parent
    for n in HOSTS + Ends.names:
        run('ip', 'netns', 'del', n, ok=False)
    harness.insmod()
    until(lambda: open('/sys/module/kcolo/refcnt').read().strip() == '0', 'no reference to the module', LIMIT)
    harness.rmmod()
    check(not module_loaded(), 'the module is still there')
    check(not lifecycle.slabs(), 'slab caches are left: %r', lifecycle.slabs())
    harness.insmod()
    f = harness.Primary()
    f.start('after', False, {})
    f.open().both('PA', 1000)
    f.finish()
    f.stop()
    f.destroy()


def main():
    args = fuzzer.options(__doc__).parse_args()
    return fuzzer.main([('stress', lambda: stress(args.seconds, args.seed)), ('clean_after_it', clean)], args.seed, stop=True)


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""faults.py [--seconds N] [--seed N] - no memory, at each place in turn, in a VM with the module of ./faults.

 load      the module is loaded, and each call for memory that it makes fails once: it is refused, nothing is left
 config    each operation, and each call of kcolo and (fail-nth) of the core fails once: either it is carried out or
           nothing has changed, and the next time it works
 first_packets  the first packets of a flow, and each call on their way fails once
 traffic   under the packet fuzzer each site fails again and again
 cases     under the packet tests, too
"""

import contextlib
import mmap
import os
import random
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import fuzzer                                                           # noqa: E402
import harness                                                          # noqa: E402
import lifecycle                                                        # noqa: E402
import packets                                                          # noqa: E402
from dgram import Talk                                                  # noqa: E402
from genl import Refused                                                # noqa: E402
from harness import check, equal, libc                                  # noqa: E402

PARAMETERS = '/sys/module/kcolo/parameters/'
sites = {}                  # FILE.LINE.CALL: [function, reached, failed]


def parameter(name, value):
    with open(PARAMETERS + name, 'w') as f:
        f.write(str(value))


def pending():
    with open(PARAMETERS + 'fault_nth') as f:
        return int(f.read())


def gather():
    """What the module has counted since it was loaded."""
    with open(PARAMETERS + 'fault_sites') as f:
        for line in f.read().splitlines():
            site, function, reached, failed = line.split()
            seen = sites.setdefault(site, [function, 0, 0])
            seen[1] += int(reached)
            seen[2] += int(failed)


def load():
    harness.insmod()            # what it needs is there
    harness.rmmod()
    with open(os.environ['KCOLO_KO']) as ko:
        for n in range(1, 100):
            if not libc.syscall(harness.SYS_FINIT_MODULE, ko.fileno(), b'fault_nth=%d' % n, 0):
                break
            check(not harness.module_loaded(), 'it has failed and is there')
            check(not lifecycle.slabs(), 'call %d failed, slab caches are left: %r', n, lifecycle.slabs())
    print('# %d calls fail when it is loaded' % (n - 1))
    check(5 < n < 99, 'the module was loaded when call %d failed', n)
    equal(pending() > 0, True, 'a failure is pending')
    parameter('fault_nth', 0)
    gather()
    for seen in sites.values():     # the counts of those that failed went with the module
        seen[2] = 1
    harness.rmmod()


class Core:
    """fail-nth: an allocation of this thread, in whatever code."""

    def __init__(self):
        # Opened once, since opening wants memory, too.
        self.fd = os.open('/proc/thread-self/fail-nth', os.O_RDWR)
        for which in 'failslab', 'fail_page_alloc':
            with contextlib.suppress(OSError), open('/sys/kernel/debug/%s/ignore-gfp-wait' % which, 'w') as f:
                f.write('N')
            with contextlib.suppress(OSError), open('/sys/kernel/debug/%s/verbose' % which, 'w') as f:
                f.write('0')

    def arm(self, n):
        os.pwrite(self.fd, b'%d' % n, 0)

    def missed(self):
        left = int(os.pread(self.fd, 20, 0).rstrip(b'\0\n') or 0)
        self.arm(0)
        return left > 0


class Own:
    def arm(self, n):
        parameter('fault_nth', n)

    def missed(self):
        left = pending()
        parameter('fault_nth', 0)
        return left > 0


def told(f):
    """What an operation may have changed."""
    return ([{k: v for k, v in p.items() if k != 'request'} for p in f.nl.call('pair_get', dump=True)],
            f.nl.call('rule_get', dump=True))


ADD = {'primary': {'role': 'primary', 'vm': 'vm', 'peer': 'peer'},
       'secondary': {'role': 'secondary', 'vm': 'vm', 'peer': 'peer'}}
RESTORE = {'src': harness.CLIENT[False], 'dst': harness.GUEST[False], 'sport': 1000, 'dport': 80, 'offset': 1,
           'tsoffset': 2}


def operations(role):
    """(request, request that undoes it or None); each is tried until no call of it is left to fail."""
    p = harness.PAIR
    yield ('pair_add', {'pair': p, **ADD[role]}), ('pair_del', {'pair': p, 'force': True})
    yield None, ('pair_add', {'pair': p, **ADD[role]})
    yield ('pair_set', {'pair': p, 'vm': 'vm', 'peer': 'peer', 'timeout': 1000}), ('pair_set', {'pair': p, 'timeout': 30000})
    yield ('pair_set', {'pair': p, 'mode': 'observe'}), ('pair_set', {'pair': p, 'mode': 'hold'})
    yield ('rule_add', {'pair': p, 'rule_action': 'bypass', 'sport': 9}), None
    yield ('pair_get', {'pair': p}), None
    yield ('stats_get', {'pair': p}), None
    if role == 'secondary':
        yield ('flow_restore', {'pair': p, **RESTORE}), None
    yield ('checkpoint', {'pair': p, 'action': 'begin'}), None
    yield ('checkpoint', {'pair': p, 'action': 'commit', 'epoch': 7}), None
    yield ('pair_del', {'pair': p, 'force': True}), ('pair_add', {'pair': p, **ADD[role]})


def one(f, how, request, undo):
    cmd, fields = request
    n = 0
    while True:
        n += 1
        check(n < 400, '%s has no end', cmd)
        before = told(f)
        how.arm(n)
        try:
            f.nl.call(cmd, **fields)
            refused = None
        except (Refused, OSError) as e:
            refused = e
        missed = how.missed()
        f.nl.sock.close()               # an answer that could not be sent
        f.nl = None
        f.call_up(listen=False)
        if missed:
            check(not refused, '%s with nothing failing: %s', cmd, refused)
            return n - 1
        if told(f) == before:
            continue
        # It was carried out although something has failed; or it says that it failed, since no answer could be sent.
        with contextlib.suppress(Refused):
            if undo:
                f.nl.call(undo[0], **undo[1])


def config(role):
    f = {'primary': harness.Primary, 'secondary': harness.Secondary}[role]()
    f.hang_up()
    f.call_up(listen=False)
    for how in Own(), Core():
        failed = 0
        for request, undo in operations(role):
            if request:
                failed += one(f, how, request, undo)
            if undo and not (request and request[0] == 'pair_del'):
                f.nl.call(undo[0], **undo[1])
        equal(f.nl.call('pair_get', dump=True), [], 'pairs that are left')
        print('# %s: %d calls of %s failed' % (role, failed, 'kcolo' if isinstance(how, Own) else 'the core'))
    gather()
    f.hang_up()
    harness.rmmod()
    harness.insmod()
    f.destroy()


def traffic(role, seconds, seed, program):
    f = {'primary': harness.Primary, 'secondary': harness.Secondary}[role]()
    rand = random.Random(seed)
    with tempfile.NamedTemporaryFile() as shared:
        shared.write(b'\1\1')
        shared.flush()
        tags = mmap.mmap(shared.fileno(), 2)
        f.start('faults', False, {'timeout': 200, 'scan': 50})
        for p in f.ports.values():
            p.close()
        control = packets.Control(f, rand, tags)
        p = subprocess.Popen([program, role, str(seconds), str(seed), shared.name], stdout=subprocess.PIPE, text=True)
        try:
            while p.poll() is None:
                parameter('fault_every', rand.choice((0, 2, 3, 5, 7, 23)))
                time.sleep(rand.random() * 0.3)
                with contextlib.suppress(Refused, OSError):
                    control.step()
                f.nl.sock.close()
                f.nl = None
                f.call_up(listen=False)
                # Whatever the answer was: it may have been carried out.
                parameter('fault_every', 0)
                control.epoch()
        finally:
            p.kill()
            parameter('fault_every', 0)
        said = p.stdout.read().strip()
        check(p.returncode == 0, 'the fuzzer: exit %d: %s', p.returncode, said)
    s = f.stats()
    harness.balance(s, role)
    print('# %s: %s; nomem=%d untranslatable=%d' % (role, said[:100], s['nomem'], s['untranslatable']))
    gather()
    f.stop()
    f.ports = {}
    f.destroy()


def first_packets():
    """Whatever fails on the way of a packet that begins a flow, the packet is counted once (R10)."""
    f = harness.Primary()
    f.start('first', False, {})
    for make in lambda: Talk(f).pvm(b'x'), lambda: f.conn().pvm('S'):
        n, missed = 0, False
        while not missed:
            n += 1
            parameter('fault_nth', n)
            make()
            missed = Own().missed()
            packets.account(f, nomem=True)
        print('# %d calls fail on the way of a first packet' % (n - 1))
        check(n > 2, 'nothing has failed')
    equal(f.stats()['overflow'], 0, 'overflow')
    gather()
    f.stop()
    f.ports = {}
    f.destroy()


# What the packet fuzzer comes to seldom.
SELDOM = ('observe/', 'window/', 'ack_gate/', 'syn_options/', 'vlan/', 'restore/', 'order/', 'quoted/')


def cases(seconds, seed):
    """Some of the packet tests, which fail; nothing else may come of it."""
    runner = os.path.join(fuzzer.HERE, '../pkt/run.py')
    env = dict(os.environ, KCOLO_TEST_SCALE='0.1')          # nobody waits for long
    every = subprocess.check_output([runner, '--list'], env=env, text=True).split()
    rand = random.Random(seed)
    names = []
    for topic in SELDOM:
        some = [n for n in every if n.startswith(topic)]
        names += rand.sample(some, min(len(some), int(seconds / 4 / len(SELDOM)) or 1))
    p = subprocess.Popen([runner] + [w for n in names for w in ('-k', n)], env=env, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + seconds
    while p.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            parameter('fault_every', rand.choice((0, 0, 0, 3, 7, 23)))
        time.sleep(rand.random() * 0.1)
    p.terminate()
    out = p.communicate()[0]
    parameter('fault_every', 0)
    gather()
    print('# %d packet tests of %d, %d of them failed' %
          (len(re.findall('^(?:not )?ok ', out, re.M)), len(names), len(re.findall('^not ok ', out, re.M))))
    check(not re.search('^Traceback', out, re.M), out[-1000:])
    for f in harness.Primary(), harness.Secondary():        # in the place of what is left
        f.destroy()


def reached():
    """Of all sites most have failed; those that have not are printed."""
    out = subprocess.run(['nm', os.environ['KCOLO_KO']], stdout=subprocess.PIPE, text=True, check=True).stdout
    every = {line.partition('kcolo_fault.')[2] for line in out.splitlines() if 'kcolo_fault.' in line}
    failed = [k for k, v in sites.items() if v[2]]
    print('# %d sites, %d reached, %d failed, %d failures' %
          (len(every), len(sites), len(failed), sum(v[2] for v in sites.values())))
    for k, (function, n, bad) in sorted(sites.items()):
        if not bad:
            print('# reached %d times, never failed: %s in %s' % (n, k, function))
    for k in sorted(every - set(sites)):
        print('# never reached: ' + k)
    equal(sorted(set(sites) - every), [], 'sites that nobody knows')
    check(len(failed) >= 0.7 * len(every), 'only %d of %d sites have failed', len(failed), len(every))


def main():
    args = fuzzer.options(__doc__).parse_args()
    program = fuzzer.compile_packets()
    return fuzzer.main(
        [('load', load), ('config_primary', lambda: config('primary')), ('config_secondary', lambda: config('secondary')),
         ('first_packets', first_packets),
         ('traffic_primary', lambda: traffic('primary', args.seconds, args.seed, program)),
         ('traffic_secondary', lambda: traffic('secondary', args.seconds, args.seed, program)),
         ('cases', lambda: cases(2 * args.seconds, args.seed)),
         ('works_after_primary', lambda: packets.works('primary')),
         ('works_after_secondary', lambda: packets.works('secondary')), ('reached', reached)], args.seed)


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""packets.py [--seconds N] [--seed N] [--role primary|secondary] - the packet fuzzer against a real pair, in a VM.

While packets.c sends, checkpoints, rules, limits and modes change at random times.  Besides what packets.c sees for
itself (S1, C4) it is a fault if the kernel complains, if packets of the guest are not accounted for one by one, or if
the pair does not do its work afterwards.  The seed is printed; the same seed sends the same frames, though not at the
same times."""

import contextlib
import functools
import mmap
import random
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import fuzzer                                                           # noqa: E402
import harness                                                          # noqa: E402
from genl import Refused                                                # noqa: E402
from harness import check, equal, tag, until                            # noqa: E402

# The last value is that to which a setting goes back.
SETTINGS = {'timeout': (50, 1000, 30000, 200), 'scan': (10, 1000, 50), 'max_packets': (1, 50, 10000),
            'max_bytes': (70000, 1 << 20, 1 << 24), 'max_flows': (4, 64, 10000), 'min_interval': (1000, 0)}


class Control:
    """What somebody does to the pair meanwhile."""

    def __init__(self, f, rand, tags):
        self.f, self.rand, self.tags = f, rand, tags
        self.rules = []
        self.done = 0
        self.last = []

    def epoch(self):
        """Tell the fuzzer which tag is right now, and which was right just before."""
        t = tag(self.f.pair()['epoch'])
        if t != self.tags[0]:
            self.tags[0:2] = bytes((t, self.tags[0]))

    def call(self, cmd, **fields):
        with contextlib.suppress(Refused):
            self.f.nl.call(cmd, pair=harness.PAIR, **fields)
        self.done += 1

    def checkpoint(self):
        for _ in range(self.rand.choice((1, 1, 2))):
            self.call('checkpoint', action='begin')
        time.sleep(self.rand.choice((0, 0.01, 0.1)))
        self.call('checkpoint', action=self.rand.choice(('commit', 'commit', 'abort')))
        self.epoch()

    def setting(self):
        name = self.rand.choice(list(SETTINGS))
        self.call('pair_set', **{name: self.rand.choice(SETTINGS[name])})
        if self.rand.random() < 0.7:    # most of the time there is room
            time.sleep(self.rand.random() * 0.1)
            self.call('pair_set', **{name: SETTINGS[name][-1]})

    def mode(self):
        self.call('pair_set', mode=self.rand.choice(('hold', 'hold', 'observe')))

    def rule(self):
        if len(self.rules) < 4:
            self.call('rule_add', rule_action=self.rand.choice(('bypass', 'compare')),
                      **self.rand.choice(({'proto': 17}, {'sport': 81}, {'dport': 10000 + self.rand.randrange(400)},
                                          {'src': harness.GUEST[False], 'src_len': self.rand.randrange(33)})))
        self.rules = [r['rule_id'] for r in self.f.nl.call('rule_get', dump=True, pair=harness.PAIR)]
        if self.rules and self.rand.random() < 0.7:
            self.call('rule_del', rule_id=self.rules.pop(self.rand.randrange(len(self.rules))))

    def look(self):
        self.f.flows()
        self.f.stats()
        self.f.pair()

    def bypass(self):
        """A primary survives (F2); a checkpoint makes it a pair again."""
        if self.f.role == 'primary':
            self.call('failover')
        self.checkpoint()

    def restore(self):
        """Take over what this host translates itself, or something near it (F3)."""
        if self.f.role != 'secondary':
            return
        for flow in self.f.flows()[:self.rand.randrange(20)]:
            self.call('flow_restore', **{k: flow[k] for k in ('src', 'dst', 'sport', 'dport')},
                      offset=self.rand.choice((0, 1, 1 << 31, self.rand.getrandbits(32))),
                      tsoffset=self.rand.getrandbits(31))

    def flush(self):
        if self.f.role == 'secondary':
            harness.flush_conntrack(self.f.host)

    def step(self):
        what = self.rand.choices((self.checkpoint, self.setting, self.mode, self.rule, self.look, self.bypass,
                                  self.restore, self.flush), (6, 4, 1, 2, 4, 1, 2, 0.3))[0]
        self.last = self.last[-5:] + [what.__name__]
        what()

    def settle(self):
        """Put everything back, so that what is held can leave."""
        for r in self.f.nl.call('rule_get', dump=True, pair=harness.PAIR):
            self.call('rule_del', rule_id=r['rule_id'])
        self.call('pair_set', mode='hold', timeout=30000, scan=50, max_packets=10000, max_bytes=1 << 24,
                  max_flows=10000, min_interval=0)
        self.call('checkpoint', action='begin')
        self.call('checkpoint', action='commit')


def account(f, nomem=False):
    """Each packet is somewhere."""
    s = f.stats()
    harness.balance(s, f.role)
    if not nomem:
        equal(s['nomem'], 0, 'nomem')
    return s


def fuzz(role, seconds, seed, program):
    f = {'primary': harness.Primary, 'secondary': harness.Secondary}[role]()
    rand = random.Random(seed)
    with tempfile.NamedTemporaryFile() as shared:
        shared.write(b'\1\1')
        shared.flush()
        tags = mmap.mmap(shared.fileno(), 2)
        f.start('fuzz', False, {'timeout': 200, 'scan': 50})
        for p in f.ports.values():      # the fuzzer reads for itself
            p.close()
        control = Control(f, rand, tags)
        p = subprocess.Popen([program, role, str(seconds), str(seed), shared.name], stdout=subprocess.PIPE, text=True)
        try:
            while p.poll() is None:
                time.sleep(rand.random() * 0.1)
                control.step()
        finally:
            p.kill()
        said = p.stdout.read().strip()
        check(p.returncode == 0, 'the fuzzer: exit %d: %s; before: %s', p.returncode, said, ' '.join(control.last))
    s = account(f)
    control.settle()
    f.failover(action='commit') if role == 'primary' else None
    until(lambda: f.stats()['held'] == 0, lambda: 'nothing is held: %r' % f.stats()['held'])
    account(f)
    print('# %s: %s; %d commands' % (role, said, control.done))
    print('# %s: %s' % (role, ' '.join('%s=%d' % kv for kv in s.items() if kv[1])))
    f.stop()
    f.ports = {}
    f.destroy()


def works(role):
    """A new pair does what it should."""
    f = {'primary': harness.Primary, 'secondary': harness.Secondary}[role]()
    f.start('after', False, {})
    c = f.open()
    if role == 'primary':
        c.both('PA', 1000)
    else:
        c.talk()
    f.finish()
    f.stop()
    f.destroy()


def main():
    a = fuzzer.options(__doc__)
    a.add_argument('--role', action='append')
    args = a.parse_args()
    program = fuzzer.compile_packets()
    tests = []
    for role in args.role or ('primary', 'secondary'):
        tests += [('fuzz_' + role, functools.partial(fuzz, role, args.seconds, args.seed, program)),
                  ('works_after_' + role, functools.partial(works, role))]
    return fuzzer.main(tests, args.seed)


if __name__ == '__main__':
    sys.exit(main())

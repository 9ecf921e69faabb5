#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""run.py [--list] [-k PATTERN]... [-x] - packet-level tests of kcolo, to be run in a VM (selftests/vm/run).

Needs $KCOLO_KO (the module) and kcolo in PATH.  Prints KTAP, exits 1 if a case failed.
  --list      name the cases
  -k PATTERN  only the cases whose topic/name holds PATTERN; several: any of them; !PATTERN: but not these
  -x          stop at the first failure
KCOLO_TEST_SCALE=N makes every wait N times as long, for slow kernels."""

import argparse
import importlib
import os
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness                                                          # noqa: E402

TOPICS = ('primary_tcp', 'ack_gate', 'miscompare', 'order', 'dgram', 'fragment', 'rule', 'observe', 'checkpoint',
          'failover', 'secondary', 'tstamp', 'lifetime', 'active', 'quoted', 'restore', 'safety', 'netlink', 'lifecycle',
          'trace', 'syn_options', 'window', 'show', 'vlan', 'ynl', 'strict', 'stray', 'inject', 'caps', 'routed', 'churn')


STILL = 0.1 * max(1, harness.SCALE)    # s; a thread that wakes every 10 ms is never that late where a case has the processor


class Watch(threading.Thread):
    """Notes for how long the machine has stood still: what a case then says of times is of the machine, not of kcolo."""

    def __init__(self):
        super().__init__(daemon=True)
        self.longest = 0.0
        self.start()

    def run(self):
        last = time.monotonic()
        while True:
            time.sleep(0.01)
            now = time.monotonic()
            self.longest = max(self.longest, now - last)
            last = now


def wanted(case, patterns):
    name = case.topic + '/' + case.name
    yes = [p for p in patterns if not p.startswith('!')]
    no = [p[1:] for p in patterns if p.startswith('!')]
    return (not yes or any(p in name for p in yes)) and not any(p in name for p in no)


class Runner:
    fixtures = {}
    roles = harness.ROLES

    def fixture(self, role):
        if role not in self.fixtures:
            self.fixtures[role] = self.roles[role]()
        return self.fixtures[role]

    def drop(self, role):
        f = self.fixtures.pop(role, None)
        if f:
            f.destroy()

    def run(self, case, kmsg, watch):
        """None if it is good, else what was wrong. A case that failed while the machine stood still is run again, but not for ever."""
        for _ in range(3):
            watch.longest = 0.0
            problem, complaints = self.once(case, kmsg)
            if not problem or complaints or watch.longest < STILL:
                break
            print('# %s: the machine stood still for %.2f s: %s' % (case.name, watch.longest, problem[0][:300]))
        return problem

    def once(self, case, kmsg):
        """What was wrong, or None, and whether it was the kernel that complained."""
        problem, f = None, None
        try:
            harness.insmod()
            if case.role is None:
                case.function(self)
            else:
                f = self.fixture(case.role)
                f.start(case.name, case.v6, case.options, case.pair)
                case.function(f)
                f.finish()
        except harness.Fail as e:
            where = [t for t in traceback.extract_tb(e.__traceback__)
                     if t.name[:3] != 'run' and 'harness' not in t.filename]
            problem = ['%s%s' % (e, ''.join(' (line %d)' % t.lineno for t in where[-2:]))]
        except Exception:
            problem = traceback.format_exc().splitlines()
        if f:
            try:
                if problem:
                    problem += f.describe()
                f.stop()
            except Exception:
                problem = (problem or []) + ['afterwards: ' + line for line in traceback.format_exc().splitlines()]
            if problem or not f.ports or f.spoilt:
                self.drop(case.role)
        complaints = ['kernel: ' + line for line in kmsg.complaints()]
        return (problem or []) + complaints or None, bool(complaints)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument('--list', action='store_true')
    p.add_argument('-k', action='append', default=[])
    p.add_argument('-x', action='store_true')
    args = p.parse_args()
    for topic in TOPICS:
        importlib.import_module(topic)
    cases = [c for c in harness.CASES if wanted(c, args.k)]
    if args.list:
        print('\n'.join(c.topic + '/' + c.name for c in cases))
        return 0
    if 'KCOLO_KO' not in os.environ:
        sys.exit('run.py: no $KCOLO_KO: run this in a VM, see selftests/vm/run')
    names = [c.name for c in cases]
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    kmsg, watch = harness.Kmsg(), Watch()
    runner = Runner()
    bad = 0
    print('KTAP version 1\n1..%d' % len(cases))
    for n, case in enumerate(cases, 1):
        t0 = time.monotonic()
        problem = runner.run(case, kmsg, watch)
        print('%s %d %s # %.2fs' % ('not ok' if problem else 'ok', n, case.name, time.monotonic() - t0))
        for line in problem or ():
            print('#   ' + line[:600])
        sys.stdout.flush()
        if problem:
            bad += 1
            if args.x:
                break
    print('# %d passed, %d failed' % (n - bad if cases else 0, bad))
    for role in list(runner.fixtures):
        runner.drop(role)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0
"""What the fuzzers that run in a VM have in common: their options, their tests one after the other, the KTAP of it."""

import argparse
import os
import random
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '../pkt')]
import harness                                                          # noqa: E402


def options(doc):
    a = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--seconds', type=float, default=10)
    a.add_argument('--seed', type=int, default=random.SystemRandom().getrandbits(31))
    return a


def compile_packets():
    """Build packets.c and return its path."""
    program = os.path.join(tempfile.mkdtemp(), 'packets')
    harness.run('cc', '-O1', '-g', '-Wall', '-o', program, os.path.join(HERE, 'packets.c'))
    return program


def main(tests, seed, stop=False):
    """Run tests, pairs of a name and a function; stop: after the first that fails none is tried.  Return the status."""
    print('KTAP version 1\n1..%d\n# seed %d' % (len(tests), seed), flush=True)
    kmsg, bad = harness.Kmsg(), 0
    for n, (name, what) in enumerate(tests, 1):
        said = []
        try:
            if bad and stop:
                raise harness.Fail('not tried')
            harness.insmod()
            what()
        except harness.Fail as e:
            said.append(str(e))
        said += ['kernel: ' + line for line in kmsg.complaints()]
        print('%s %d %s' % ('not ok' if said else 'ok', n, name))
        for line in said:
            print('#   ' + line[:3000])
        sys.stdout.flush()
        bad += bool(said)
    return bad > 0

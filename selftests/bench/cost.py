#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""cost.py COST REFERENCE [--update]: what kcolo adds to a packet on each path, and whether it is more than it was.

A path's figure is what it costs above br_netfilter and conntrack, as a share of what these and the rest of the way cost in
the same boot. A share that has risen by more than 3 % fails. What two packets have caused is counted against what the
guest's packet costs alone, and the other guest's where it is thrown away when it comes in, less the rule that does so.
The figures are those of the cheapest round: some of the others are interrupted.
"""
import json
import sys

RISE = 1.03
NOISE = 64  # instructions: a longer hash chain in one boot than in another
# Path, how it is called, and the other guest's packets in it.
PATHS = {
    'foreign-port': ('a port beside the guest', {}),
    'foreign-bridge': ('a port of another bridge', {}),
    'datagram-in': ('secondary, a datagram to the guest', {}),
    'datagram-out': ('secondary, a datagram of the guest', {}),
    'rewrite-in': ('secondary, a segment to the guest', {}),
    'rewrite-out': ('secondary, a segment of the guest', {}),
    'client': ('primary, a segment to the guest', {}),
    'hold-1448': ('primary, hold, compare, release 1448 bytes', {'other-1448': 1}),
    'hold-8': ('primary, hold, compare, release 8 bytes', {'other-8': 1}),
    'hold-ack': ('primary, hold, release an ACK', {'other-ack': 1}),
    'connection': ('primary, a connection of 7 packets', {'other-8': 3, 'other-ack': 1}),
}


def read(name):
    """Return {config: {path: instructions}}."""
    figures = {}
    with open(name) as f:
        for line in f:
            config, path, _, least = line.split()
            figures.setdefault(config, {})[path] = int(least)
    return figures


def added(figures):
    """Return {path: {base, added}} in instructions."""
    base, kcolo = figures['base'], figures['kcolo']
    rule = figures['rule']['foreign-port'] - base['foreign-port']
    return {path: {'base': base[path],
                   'added': kcolo[path] - base[path] - sum(n * (base[other] - rule) for other, n in others.items())}
            for path, (_, others) in PATHS.items()}


def main():
    result = added(read(sys.argv[1]))
    if sys.argv[3:] == ['--update']:
        with open(sys.argv[2], 'w') as f:
            f.write(json.dumps(result, indent=1) + '\n')
    with open(sys.argv[2]) as f:
        reference = json.load(f)
    print('KTAP version 1')
    failed = False
    for n, (path, now) in enumerate(result.items(), 1):
        was = reference[path]
        most = was['added'] / was['base'] * now['base']
        bad = now['added'] > max(RISE * most, most + NOISE)
        failed |= bad
        print(f"{'not ok' if bad else 'ok'} {n} - {PATHS[path][0]}: {now['added']} instructions above {now['base']}, reference {most:.0f}")
    print(f'1..{len(result)}')
    print(f"# of 1440 bytes more the comparison costs {result['hold-1448']['added'] - result['hold-8']['added']}")
    return failed


if __name__ == '__main__':
    sys.exit(main())

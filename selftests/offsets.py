#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""offsets.py FLOWS PRIMARY SECONDARY CONNECTIONS BARE: does "kcolo -j -s flow show" tell what the two guests have chosen?

PRIMARY and SECONDARY are tcpdump's lines of each guest's SYNs and SYN-ACKs. There have to be so many CONNECTIONS, BARE of them
without timestamps; offsets of all others are in both numbers, and most of them are not near to zero."""

import json
import re
import sys

LINE = re.compile(r'IP6? (\S+)\.(\d+) > (\S+)\.(\d+): .* seq (\d+),.*?(?:TS val (\d+)|$)')
# Ticks of 1 ms: how much later one guest may have answered than the other.
LATE = 30000
NEAR = 1 << 24


def signed(n):
    return (n + (1 << 31)) % (1 << 32) - (1 << 31)


def numbers(path):
    """Return of each connection, by who and with whom, the first sequence number and timestamp."""
    found = {}
    with open(path) as f:
        for m in filter(None, map(LINE.match, f)):
            found.setdefault(m.groups()[:4], (int(m[5]), m[6] and int(m[6])))
    return found


def wrong(flow, primary, secondary):
    """Return what is not right about it."""
    offset, tsoffset = flow['offset'], flow.get('tsoffset')
    if offset != (secondary[0] - primary[0]) % (1 << 32):
        return 'offset'
    if (tsoffset is None) != (primary[1] is None) or (tsoffset is None) != (secondary[1] is None):
        return 'timestamps'
    if tsoffset is not None and abs(signed(tsoffset - secondary[1] + primary[1])) > LATE:
        return 'tsoffset'
    return offset == 0 and 'no offset' or tsoffset == 0 and 'no tsoffset'


def main():
    with open(sys.argv[1]) as f:
        flows = [x for x in json.load(f) if x['proto'] == 'tcp']
    primary, secondary = numbers(sys.argv[2]), numbers(sys.argv[3])
    bad = far = 0
    for flow in flows:
        ends = [flow['src'], str(flow['sport']), flow['dst'], str(flow['dport'])]
        key = tuple(ends if flow.get('active_open') else ends[2:] + ends[:2])
        p, s = primary.get(key), secondary.get(key)
        fault = wrong(flow, p, s) if p and s else 'handshake not seen'
        print(*key, 'primary', p, 'secondary', s, 'offset', flow['offset'], 'tsoffset', flow.get('tsoffset'), fault or '')
        bad += bool(fault)
        far += abs(signed(flow['offset'])) > NEAR
    bare = sum(flow.get('tsoffset') is None for flow in flows)
    print(f'{len(flows)} connections, {bare} without timestamps, {far} with a large offset')
    sys.exit(bad > 0 or [len(flows), bare] != [int(n) for n in sys.argv[4:6]] or far * 2 < len(flows))


if __name__ == '__main__':
    main()

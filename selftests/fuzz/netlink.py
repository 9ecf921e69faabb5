#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""netlink.py [--seconds N] [--seed N] - messages of every operation of the spec, many of them spoilt, in a VM.

A message is made of the attributes that Documentation/netlink/specs/kcolo.yaml gives its operation, with values that
make sense now and then; then a part of them is spoilt: an attribute left out, doubled, of another length, type or
operation, a number at its edge, a header that lies, a dump that nobody reads.  Packets pass meanwhile.  It is a fault if
the kernel complains, if a refusal of a message that is well formed comes without a sentence, or if the module cannot be
taken out afterwards."""

import errno
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time

import yaml

sys.dont_write_bytecode = True
import fuzzer                                                           # noqa: E402
import genl                                                             # noqa: E402
import harness                                                          # noqa: E402
from harness import check                                               # noqa: E402

SPEC = os.path.join(genl.SOURCE, 'Documentation/netlink/specs/kcolo.yaml')
EDGES = (0, 1, 2, 3, 9, 10, 255, 256, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff)
NAMES = ('p', 'q', 'r', 'a' * 31, 'no')
PORTS = ('vm', 'peer', 'up', 'x0', 'x1', 'br0', 'lo', 'none', 'b' * 15)
# So often an attribute that the operation knows is there; a pair without name or role is soon refused.
LIKELY = {'pair': 0.95, 'role': 0.9, 'vm': 0.8, 'peer': 0.8, 'action': 0.95, 'force': 0.8, 'rule-action': 0.9,
          'offset': 0.8, 'rule-id': 0.9}
RARE = {'pair-del': 0.2, 'failover': 0.2}


class Spec:
    def __init__(self):
        with open(SPEC) as f:
            spec = yaml.safe_load(f)
        main = next(s for s in spec['attribute-sets'] if s['name'] == 'kcolo')
        self.attributes = {a['name']: a for a in main['attributes']}
        self.number = {name: genl.A[name.replace('-', '_')] for name in self.attributes}
        enums = {d['name']: d['entries'] for d in spec['definitions'] if d['type'] == 'enum'}
        self.enum = {a['name']: len(enums[a['enum']]) for a in main['attributes'] if 'enum' in a}
        self.requests = []              # (command, attributes, is a dump)
        for op in spec['operations']['list']:
            number = genl.CMD[op['name'].replace('-', '_')]
            for how in 'do', 'dump':
                if how in op:
                    attributes = op[how].get('request', {}).get('attributes', [])
                    self.requests.append((op['name'], number, attributes, how == 'dump'))


class Fuzzer:
    def __init__(self, rand):
        self.rand, self.spec = rand, Spec()
        self.weights = [RARE.get(op, 1) for op, _, _, _ in self.spec.requests]
        self.sockets = []
        self.family = 0
        self.count = {}
        self.sent = self.spoilt = self.good = self.refused = 0
        self.nameless = []
        self.sequence = 0

    # Values

    def number(self, a):
        r, checks = self.rand, a.get('checks', {})
        if a['name'] in self.spec.enum:
            return r.randrange(self.spec.enum[a['name']] + (r.random() < 0.05))
        if a['name'] == 'rule-id':
            return r.randrange(12)
        if r.random() < 0.03:
            return r.choice(EDGES)
        low, high = checks.get('min', 0), checks.get('max', r.choice((10, 65535, 0xffffffff)))
        if a['name'] in ('timeout', 'scan', 'min-interval'):
            high = 200                  # so that something happens
        if a['name'] == 'max-flows':
            high = r.choice((10, 10000, high))
        if r.random() < 0.05:
            return r.choice((low - 1 & 0xffffffff, high + 1 & 0xffffffff))
        return r.choice((low, high, r.randint(low, high)))

    def value(self, name):
        r, a = self.rand, self.spec.attributes[name]
        kind = a['type']
        if name == 'pair':
            return r.choices(NAMES, (10, 10, 10, 2, 1))[0].encode() + b'\0'
        if name in ('vm', 'peer'):
            good = {'vm': ('vm', 'x0'), 'peer': ('peer', 'x1')}[name]
            return r.choice(good if r.random() < 0.8 else PORTS).encode() + b'\0'
        if name in ('src', 'dst'):
            return r.choice((harness.CLIENT, harness.GUEST))[r.random() < 0.5]
        if kind == 'flag':
            return b''
        if kind == 'nest':
            return b''.join(genl.attr(r.randrange(80), r.randbytes(8)) for _ in range(r.randrange(4)))
        if kind in ('string', 'binary', 'pad'):
            return r.randbytes(r.randrange(40))
        size = {'u8': 1, 'u16': 2, 'u32': 4, 's32': 4, 'u64': 8}[kind]
        return (self.number(a) & (1 << 8 * size) - 1).to_bytes(size, sys.byteorder)

    def attributes(self, names):
        """Mostly such as fit together: p is a primary on vm and peer, q a secondary on x0 and x1."""
        fit = {}
        if self.rand.random() < 0.8:
            fit = self.rand.choice(({'pair': b'p\0', 'role': bytes(4), 'vm': b'vm\0', 'peer': b'peer\0'},
                                    {'pair': b'q\0', 'role': struct.pack('=I', 1), 'vm': b'x0\0', 'peer': b'x1\0'}))
        return [[self.spec.number[n], fit.get(n) or self.value(n)] for n in names
                if self.rand.random() < LIKELY.get(n, 0.3)]

    # Spoiling

    def spoil_attributes(self, out):
        r = self.rand
        if not out or r.random() < 0.2:
            name = r.choice(list(self.spec.attributes))
            out.append([self.spec.number[name], self.value(name)])
            return
        i = r.randrange(len(out))
        what = r.randrange(8)
        if what == 0:
            del out[i]
        elif what == 1:
            out.insert(r.randrange(len(out) + 1), [out[i][0], self.value(r.choice(list(self.spec.attributes)))])
        elif what == 2:
            out[i][1] = out[i][1][:r.randrange(len(out[i][1]) + 1)]
        elif what == 3:
            out[i][1] += r.randbytes(r.choice((1, 3, 4, 100, 5000)))
        elif what == 4:
            out[i][0] ^= r.choice((genl.NLA_NESTED, 0x4000, 1, 64))
        elif what == 5:
            out[i][0] = r.choice((0, len(self.spec.attributes) + 1, 200, 0x3fff))
        elif what == 6:
            out[i][1] = r.randbytes(len(out[i][1]))
        else:
            r.shuffle(out)

    def message(self):
        r = self.rand
        op, cmd, names, dump = r.choices(self.spec.requests, self.weights)[0]
        out = self.attributes(names)
        flags = genl.NLM_F_REQUEST | (genl.NLM_F_DUMP if dump else genl.NLM_F_ACK)
        bad = r.random() < 0.5
        if bad:
            self.spoilt += 1
            for _ in range(r.randrange(1, 4)):
                self.spoil_attributes(out)
        body = b''.join(genl.attr(*a) for a in out)
        kind, version, length = self.family, 1, None
        if bad and r.random() < 0.2:
            what = r.randrange(6)
            if what == 0:
                flags = r.getrandbits(16)
            elif what == 1:
                version = r.randrange(256)
            elif what == 2:
                cmd = r.randrange(256)
            elif what == 3:
                length = r.choice(EDGES) & 0xffffffff
            elif what == 4:
                body = body[:r.randrange(len(body) + 1)]
            else:
                at = r.randrange(len(body) + 1)
                body = body[:at] + r.randbytes(r.randrange(20)) + body[at:]
        body = struct.pack('=BBH', cmd & 255, version, 0) + body
        self.sequence += 1
        self.count[op] = self.count.get(op, 0) + 1
        length = 16 + len(body) if length is None else length
        return struct.pack('=IHHII', length, kind, flags, self.sequence, 0) + body, bad, op

    # Talking

    def open(self):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        s.bind((0, 0))
        s.setsockopt(genl.SOL_NETLINK, genl.NETLINK_EXT_ACK, 1)
        if self.rand.random() < 0.7:
            s.setsockopt(genl.SOL_NETLINK, genl.NETLINK_GET_STRICT_CHK, 1)
        if self.rand.random() < 0.3:
            for group in self.groups.values():
                s.setsockopt(genl.SOL_NETLINK, genl.NETLINK_ADD_MEMBERSHIP, group)
        if self.rand.random() < 0.2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        return s

    def answers(self, s, bad, op):
        """What came back; a refusal of a message that is well formed says why."""
        while True:
            try:
                data = s.recv(1 << 17, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:             # more than there was room for
                continue
            if len(data) < 20:
                continue
            _, kind, flags, sequence, _ = struct.unpack_from('=IHHII', data)
            error = struct.unpack_from('=i', data, 16)[0] if kind == genl.NLMSG_ERROR else 0
            if not error:
                self.good += 1
                continue
            self.refused += 1
            text, _ = genl.Genl.extack(genl.NLMSG_ERROR, flags, data[16:])
            # What the core says of a socket that has not read what it asked for before is not ours.
            if not (bad or text or -error in (errno.EBUSY, errno.ENOBUFS)) and sequence == self.sequence:
                self.nameless.append('%s: error %d' % (op, -error))

    def step(self):
        r = self.rand
        if len(self.sockets) < 4 or r.random() < 0.01:
            self.sockets.append(self.open())
        if len(self.sockets) > 8:
            self.sockets.pop(r.randrange(8)).close()
        s = r.choice(self.sockets)
        message, bad, op = self.message()
        if bad and r.random() < 0.1:    # several at once
            for _ in range(r.randrange(3)):
                message += bytes(-len(message) % 4) + self.message()[0]
        try:
            s.send(message)
            self.sent += 1
        except OSError:
            pass
        if r.random() < 0.9:
            self.answers(s, bad, op)

    def run(self, seconds):
        g = genl.Genl()
        g.resolve()
        self.family, self.groups = g.family, g.groups
        g.close()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(50):
                self.step()
        for s in self.sockets:
            s.close()


def fuzz(seconds, seed):
    f = harness.Primary()
    f.call_up()
    with harness.netns(f.host):         # ports for a secondary
        harness.run('ip', '-batch', '-', stdin='\n'.join(
            ['link add x0 type veth peer name y0', 'link add x1 type veth peer name y1'] + f.bridge('brx', 'x0', 'x1')))
    program = fuzzer.compile_packets()
    for p in f.ports.values():
        p.close()
    f.ports = {}
    with tempfile.NamedTemporaryFile() as tags:
        tags.write(b'\1\1')
        tags.flush()
        # A pair's ports may become another one's: what a client sees is none of this test's business.
        traffic = subprocess.Popen([program, 'primary', str(seconds), str(seed), tags.name], stdout=subprocess.DEVNULL)
        try:
            with harness.netns(f.host):
                z = Fuzzer(random.Random(seed))
                z.run(seconds)
        finally:
            traffic.kill()
            traffic.wait()
    print('# %d messages, %d of them spoilt: %d carried out, %d refused' % (z.sent, z.spoilt, z.good, z.refused))
    print('# ' + ' '.join('%s=%d' % kv for kv in z.count.items()))
    check(not z.nameless, '%d refusals without a sentence: %s', len(z.nameless), ', '.join(sorted(set(z.nameless))[:20]))
    check(z.good > z.sent / 10, 'hardly anything was carried out: %d of %d', z.good, z.sent)
    return f


def unload(f):
    """All goes away, whatever was there."""
    f.call_up()
    for p in f.nl.call('pair_get', dump=True):
        f.nl.call('pair_del', pair=p['pair'], force=True)
    f.hang_up()
    harness.until(lambda: open('/sys/module/kcolo/refcnt').read().strip() == '0', 'no reference to the module')
    harness.rmmod()
    harness.insmod()
    f.destroy()


def main():
    args = fuzzer.options(__doc__).parse_args()
    fixture = []
    return fuzzer.main([('fuzz_netlink', lambda: fixture.append(fuzz(args.seconds, args.seed))),
                        ('unload_after_it', lambda: unload(*fixture))], args.seed, stop=True)


if __name__ == '__main__':
    sys.exit(main())

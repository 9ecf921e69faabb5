# SPDX-License-Identifier: GPL-2.0
"""What the netlink family takes: each attribute of each request missing, short, long, out of range, unknown, twice,
nested wrongly; dumps of more flows than any message holds.  Nothing changes by what is refused."""

import errno
import struct

import packet
from genl import A, BINARY, CMD, FLAGS, FORMAT, NLA_NESTED, NLM_F_ACK, NLM_F_DUMP, STRINGS, Refused, attr, encode
from harness import CLIENT_MAC, GUEST, GUEST_MAC, SCALE, Fail, case, check, equal, tag

# A request of each kind that is right but for what a case does to it, and changes nothing: the pair "q" is not there, and
# is looked up when all else has been read.
PLAIN = {
    'pair_add': dict(role='primary', vm='vm', peer='peer', mode='hold', timeout=1000, scan=100, max_packets=10,
                     max_bytes=70000, max_flows=10, min_interval=0),
    'pair_set': dict(vm='vm', peer='peer', mode='hold', timeout=1000, scan=100, max_packets=10, max_bytes=70000,
                     max_flows=10, min_interval=0),
    'pair_del': dict(force=True),
    'pair_get': {},
    'checkpoint': dict(action='begin', epoch=1),
    'failover': dict(action='commit'),
    'rule_add': dict(proto=17, src=b'\1\2\3\4', src_len=8, dst=b'\1\2\3\4', dst_len=32, sport=1, dport=2,
                     vlan=100, cvlan=7, rule_action='bypass'),
    'rule_del': dict(rule_id=1),
    'stats_get': {},
    'flow_restore': dict(proto=6, src=b'\1\2\3\4', dst=b'\1\2\3\5', sport=1, dport=2, active_open=True, offset=5,
                         tsoffset=-6),
}
DUMPS = {
    'pair_get': {},
    'flow_get': dict(proto=6, src=b'\1\2\3\4', dst=b'\1\2\3\4', sport=1, dport=2),
    'rule_get': {},
    'stats_get': {},
}
HIGHEST = {'role': 1, 'mode': 1, 'action': 2, 'rule_action': 1, 'src_len': 128, 'dst_len': 128, 'timeout': 600000,
           'scan': 600000, 'max_packets': 1 << 20, 'max_bytes': 1 << 30, 'max_flows': 1 << 22, 'min_interval': 600000,
           'vlan': 4094, 'cvlan': 4094}
LOWEST = {'vlan': 1, 'cvlan': 1, 'timeout': 10, 'scan': 10, 'max_packets': 1, 'max_bytes': 65536, 'max_flows': 1}
ANY = 'epoch', 'proto', 'sport', 'dport', 'rule_id', 'offset', 'tsoffset'        # every value is one
NEEDED = {'pair_add': ('role', 'vm', 'peer'), 'checkpoint': ('action',), 'rule_add': ('rule_action',),
          'rule_del': ('rule_id',), 'flow_restore': ('src', 'dst', 'sport', 'dport', 'offset')}
EINVAL, ERANGE, ENOENT = errno.EINVAL, errno.ERANGE, errno.ENOENT


def wrong(name):
    """What an attribute must not be, each as one attribute and the errors that it may get."""
    n = A[name]
    if name in STRINGS:
        most = 31 if name == 'pair' else 15
        yield 'empty', attr(n, b''), (EINVAL, ERANGE)
        yield 'no zero at the end', attr(n, b'p'), (EINVAL,)
        yield 'long', attr(n, b'p' * (most + 1) + b'\0'), (ERANGE, EINVAL)
        yield 'very long', attr(n, b'p' * 4000 + b'\0'), (ERANGE, EINVAL)
    elif name in FLAGS:
        yield 'long', attr(n, b'\0'), (ERANGE, EINVAL)
    elif name in BINARY:
        for size in 17, 400, 0, 1, 3, 5, 15:
            yield '%d bytes' % size, attr(n, b'\1' * size), (EINVAL, ERANGE)
    else:
        size = struct.calcsize('=' + FORMAT.get(name, 'I'))
        for bad in 0, size - 1, size + 1, 2 * size, 400:
            yield '%d bytes' % bad, attr(n, b'\1' * bad), (EINVAL, ERANGE)
        if name not in ANY:
            high, low = HIGHEST[name], LOWEST.get(name, 0)
            values = {high + 1, (1 << 8 * size) - 1, 1 << 8 * size - 1} | ({low - 1, 0} if low else set())
            for value in (v for v in values if not low <= v <= high):
                yield 'value %d' % value, attr(n, value.to_bytes(size, 'little')), (ERANGE, EINVAL)
    good = encode(name, True) if name in FLAGS else encode(name, PLAIN_VALUE[name])
    yield 'marked as a nest', good[:2] + struct.pack('=H', n | NLA_NESTED) + good[4:], (EINVAL,)
    yield 'in a nest', attr(n | NLA_NESTED, good), (EINVAL, ERANGE)


PLAIN_VALUE = {k: v for request in (*DUMPS.values(), *PLAIN.values()) for k, v in request.items()}
PLAIN_VALUE['pair'] = 'q'


def requests():
    for cmd, fields in PLAIN.items():
        yield cmd, fields, NLM_F_ACK
    for cmd, fields in DUMPS.items():
        yield cmd, fields, NLM_F_DUMP


def payload(fields):
    return b''.join(encode(k, v) for k, v in fields.items())


class Strict:
    """Sends requests that must be refused, and looks whether anything has changed."""

    def __init__(self, f):
        self.f = f
        f.nl.resolve()
        self.before = self.now()

    def now(self):
        call = self.f.nl.call
        return [call(cmd, dump=True) for cmd in ('pair_get', 'rule_get', 'flow_get')]

    def refused(self, what, cmd, data, flags, numbers):
        try:
            got = self.f.nl.request(self.f.nl.family, CMD[cmd], data, flags)
        except Refused as e:
            check(e.errno in numbers, '%s, %s: %s', cmd, what, e)
            check(e.text, '%s, %s: no word about it', cmd, what)
            return
        raise Fail('%s, %s: taken (%r)' % (cmd, what, got))

    def unchanged(self):
        equal(self.now(), self.before, 'pairs, rules and flows afterwards')


@case(ip=(4,))
def strict_each_attribute_wrong(f):
    f.cli('rule', 'add', 'pair', 'p', 'proto', 'udp', 'action', 'bypass')
    s = Strict(f)
    number = 0
    for cmd, fields, flags in requests():
        for name in 'pair', *fields:
            # Whether an address is IPv4 or IPv6 is only looked at when all else is right.
            whole = {'pair': 'p' if name in BINARY else 'q', **fields}
            rest = payload({k: v for k, v in whole.items() if k != name})
            for what, bad, numbers in wrong(name):
                s.refused('%s: %s' % (name, what), cmd, rest + bad, flags, numbers)
                s.refused('%s first: %s' % (name, what), cmd, bad + rest, flags, numbers)
                number += 2
    check(number > 900, 'only %d', number)
    s.unchanged()


@case(ip=(4,))
def strict_each_attribute_missing(f):
    s = Strict(f)
    for cmd, fields, flags in requests():
        whole = {'pair': 'p', **fields}
        if flags == NLM_F_ACK:
            s.refused('no pair', cmd, payload(fields), flags, (EINVAL,))
            s.refused('nothing', cmd, b'', flags, (EINVAL,))
            for name in NEEDED.get(cmd, ()):
                pair = {'pair': 'q'} if cmd == 'pair_add' else {}
                rest = {k: v for k, v in whole.items() if k != name}
                s.refused('no ' + name, cmd, payload({**rest, **pair}), flags, (EINVAL,))
    s.unchanged()


@case(ip=(4,))
def strict_unknown_attributes(f):
    """Those of a reply and those of nobody, by any command."""
    s = Strict(f)
    known = {A[name] for fields in (*PLAIN.values(), *DUMPS.values()) for name in fields} | {A['pair']}
    highest = max(A.values())
    for cmd, fields, flags in requests():
        whole = payload({'pair': 'q', **fields})
        for n in set(range(0, highest + 3)) - known | {200, 0x3fff}:
            for body in b'', b'\0\0\0\0':
                s.refused('attribute %d' % n, cmd, whole + attr(n, body), flags, (EINVAL, errno.EOPNOTSUPP))
    s.unchanged()


@case(ip=(4,))
def strict_garbage_behind_the_attributes(f):
    s = Strict(f)
    for cmd, fields, flags in requests():
        whole = payload({'pair': 'q', **fields})
        for rest in b'\1\0\1\0', b'\3\0\0\0', b'\xff\xff\1\0', b'\5\0', b'\1':
            s.refused('%r behind' % rest, cmd, whole + rest, flags, (EINVAL,))
    s.unchanged()


@case(ip=(4,))
def strict_twice(f):
    """As everywhere in netlink the last of two counts, and both have to be right."""
    s = Strict(f)
    for cmd, fields, flags in requests():
        whole = {'pair': 'q', **fields}
        for name in whole:
            twice = encode(name, whole[name])
            # How long an address may be only the command knows, which is shown the last.
            bad = next(wrong(name))[1] if name not in BINARY else attr(A[name] | NLA_NESTED, b'')
            s.refused('%s wrong, then right' % name, cmd, bad + payload(whole), flags, (EINVAL, ERANGE))
            s.refused('%s right, then wrong' % name, cmd, payload(whole) + bad, flags, (EINVAL, ERANGE))
            if flags == NLM_F_ACK and cmd != 'pair_add':
                s.refused('%s twice, of no pair' % name, cmd, payload(whole) + twice, flags, (ENOENT, EINVAL))
    s.unchanged()
    f.nl.call('pair_set', pair='p', timeout=1111, raw=encode('timeout', 2222))
    equal(f.pair()['timeout'], 2222, 'timeout')


@case(ip=(4,))
def strict_random_bytes(f):
    """Attributes of any kind with anything in them: what is taken is still a right pair, and the module lives."""
    f.nl.resolve()
    taken = 0
    for n in range(4000):
        data = b''
        for _ in range(f.rand.randrange(1, 6)):
            kind = f.rand.choice((f.rand.randrange(0, 70), *A.values())) | f.rand.choice((0, 0, 0, NLA_NESTED))
            data += attr(kind, f.rand.randbytes(f.rand.choice((0, 1, 2, 4, 4, 4, 8, 16, 40))))
        if f.rand.random() < 0.5:
            data = encode('pair', 'nobody') + data
        if f.rand.random() < 0.1:
            data = data[:-f.rand.randrange(1, 8)]
        cmd = f.rand.choice([c for c in CMD.values()])
        try:
            f.nl.request(f.nl.family, cmd, data, f.rand.choice((NLM_F_ACK, NLM_F_DUMP)))
            taken += 1
        except Refused as e:
            check(e.errno in (EINVAL, ERANGE, ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.EEXIST), '%r: %s', data, e)
    equal([x['pair'] for x in f.nl.call('pair_get', dump=True)], ['p'])
    f.open().both('PA', 10)


# --- dumps ---

FLOWS = 100000 if SCALE < 2 else 10000      # a slow kernel would be at it for minutes

def open_many(f, ports, address):
    """Connections of which only the secondary's SYN-ACK was seen: nothing is held for them."""
    frame, vnet = packet.tcp(GUEST[False], bytes((10, 0, address, 1)), 80, 1, 1, 1, 'SA', macs=(CLIENT_MAC, GUEST_MAC),
                             ttl=tag(f.epoch))
    for n in ports:
        f.ports['ps'].sock.send(vnet + frame[:36] + struct.pack('!H', n) + frame[38:])


class Slow:
    """A socket on which something happens before each message."""

    def __init__(self, sock, between):
        self.sock, self.between = sock, between

    def send(self, *args):
        return self.sock.send(*args)

    def recv(self, *args):
        self.between()
        return self.sock.recv(*args)


def keys(flows):
    return [(x['src'], x['dst'], x['sport'], x['dport']) for x in flows]


@case(ip=(4,), max_flows=200000)
def strict_dump_of_100000_flows(f):
    for address in 1, 2:
        open_many(f, range(10000, 10000 + FLOWS // 2), address)
    f.wait_stats(flows=FLOWS, within=30)
    got = f.nl.call('flow_get', dump=True, pair='p')
    equal(len(got), FLOWS)
    equal(len(set(keys(got))), FLOWS, 'different ones')
    equal(len(f.flows(sport=12345)), 2, 'by port')
    text = f.cli('flow', 'show', 'pair', 'p').stdout
    equal(text.count('\n'), FLOWS, 'lines of the tool')


@case(ip=(4,), max_flows=1024)
def strict_dump_while_flows_come(f):
    """What was there all the while is there once, wherever in its bucket the newer ones are put."""
    f.set(max_flows=200000)             # the table keeps its size: many in a bucket
    many = FLOWS * 3 // 10
    open_many(f, range(10000, 10000 + many), 1)
    f.wait_stats(flows=many, within=30)
    before = set(keys(f.flows()))
    equal(len(before), many)
    fresh = iter(range(10000, 10000 + FLOWS // 2, 500))

    def more():
        start = next(fresh, None)
        if start:
            open_many(f, range(start, start + 500), 2)
    real = f.nl.sock
    f.nl.sock = Slow(real, more)
    try:
        got = keys(f.nl.call('flow_get', dump=True, pair='p'))
    finally:
        f.nl.sock = real
    equal(len([k for k in got if k in before]), many, 'of those that were there')
    equal(len(set(got)), len(got), 'different ones')
    check(len(f.flows()) > many + 2000, 'hardly any came')

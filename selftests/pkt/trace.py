# SPDX-License-Identifier: GPL-2.0
"""Tracepoints: each event is fired where Documentation/tracing.rst says, with its fields."""

import contextlib
import os
import re
import socket

from harness import case, check, equal, stream, until
from packet import CLIENT, GUEST

TRACEFS = '/sys/kernel/tracing'
INSTANCE = TRACEFS + '/instances/kcolo-pkt'
LINE = re.compile(r' \d+\.\d+: (\w+): ?(.*)$')
FIELD = re.compile(r'(\w+)=(\S+)')
SEEDS = {
    'proxy_main': {'chr'}, 'compare_main': {'chr'},
    'compare_ip_info': {'psize', 'sta', 'stb', 'ssize', 'stc', 'std'}, 'old_packet_check_found': {'old_time'},
    'compare_miscompare': set(), 'compare_tcp_info': {'pkt', 'seq', 'ack', 'hdlen', 'pdlen', 'offset', 'flags'},
    'rewriter_debug': set(), 'rewriter_pkt_info': {'func', 'src', 'dst', 'seq', 'ack', 'flag'},
    'rewriter_conn_offset': {'offset'},
}


def put(name, text):
    with open(os.path.join(INSTANCE, name), 'w') as f:
        f.write(text)


class Trace:
    """What was traced since; each look takes what is new."""

    def __init__(self):
        self.seen = []

    def read(self):
        with open(INSTANCE + '/trace') as f:
            lines = [LINE.search(line) for line in f if not line.startswith('#')]
        self.seen = [(m.group(1), m.group(2)) for m in lines if m]
        return self.seen

    def expect(self, event, text=None, n=1, **fields):
        """n events with this text or these fields come, and not more; returns the fields of the last."""
        want = {k: str(v) for k, v in fields.items()}

        def find():
            return [dict(FIELD.findall(t)) for e, t in self.read() if e == event and (text is None or text in t) and
                    want.items() <= dict(FIELD.findall(t)).items()]
        until(lambda: len(find()) >= n, lambda: '%d of %s %s %r, but %r' % (n, event, text or '', want, self.seen))
        got = find()
        equal(len(got), n, '%s %s %r in %r' % (event, text or '', want, self.seen))
        return got[-1] if got else None

    def order(self, *events):
        """Among these events, that is the order in which they came."""
        equal([e for e, _ in self.read() if e in events], list(events), 'order')


@contextlib.contextmanager
def trace(*events):
    """All events of kcolo, or only these, in an instance of their own."""
    os.mkdir(INSTANCE)
    try:
        put('buffer_size_kb', '256')
        for e in events or ['']:
            put('events/kcolo/%s/enable' % e, '1')
        yield Trace()
    finally:
        os.rmdir(INSTANCE)


def end(f, addr, port=None):
    text = socket.inet_ntop(socket.AF_INET6 if f.v6 else socket.AF_INET, addr)
    if port is None:
        return text
    return '[%s]:%d' % (text, port) if f.v6 else '%s:%d' % (text, port)


def ends(f, c):
    return {'src': end(f, GUEST[f.v6], c.gport), 'dst': end(f, CLIENT[f.v6], c.cport)}


@case(ip=(4,))
def trace_fields_of_the_seeds(f):
    """Every event that concerns COLO is there, with its fields."""
    for event, fields in SEEDS.items():
        with open('%s/events/kcolo/%s/format' % (TRACEFS, event)) as form:
            have = set(re.findall(r'field:[^;]*?(\w+)(?:\[[^;]*)?;', form.read()))
        check(fields <= have, '%s has %r, lacks %r', event, have, fields - have)


@case()
def trace_hold_compare_release(f):
    c = f.open()
    c.client('PA', 7)
    with trace() as t:
        p = c.pvm('PA', 100)
        seg = dict(seq=c.stream_seq(0), end=c.stream_seq(100), ack=(c.cisn + 8) & 0xffffffff, flags='0x18')
        t.expect('hold', pair='p', len=len(p.raw) - 14, **seg, **ends(f, c))
        t.expect('compare_main', n=0)
        c.svm('A', 40)
        head = 60 if f.v6 else 40
        a, b = end(f, GUEST[f.v6]), end(f, CLIENT[f.v6])
        t.expect('compare_ip_info', 'ppkt size = %d, ip_src = %s, ip_dst = %s, spkt size = %d, ip_src = %s, ip_dst = %s' %
                 (head + 100, a, b, head + 40, a, b))
        info = '%s: seq/ack= %d/%d hdlen= %d pdlen= %d offset= %d flags=%d'
        ack = (c.cisn + 8) & 0xffffffff
        t.expect('compare_tcp_info', info % ('pri', c.stream_seq(0), ack, head, 100, 0, 24))
        t.expect('compare_tcp_info', info % ('sec', c.stream_seq(0), ack, head, 40, 0, 16))
        t.expect('compare_main', 'same')
        t.expect('release', n=0)
        c.svm('PA', 60)
        c.out(p)
        t.expect('compare_tcp_info', info % ('pri', c.stream_seq(0), ack, head, 100, 40, 24))
        t.expect('compare_tcp_info', info % ('sec', c.stream_seq(40), ack, head, 60, 0, 24))
        t.expect('compare_main', 'same', n=2)
        got = t.expect('release', pair='p', **seg, **ends(f, c))
        check(0 < int(got['waited']) < 10**10, 'waited %s ns', got['waited'])
        for event in 'compare_miscompare', 'miscompare', 'drop', 'flush', 'overflow', 'epoch', 'old_packet_check_found':
            t.expect(event, n=0)


@case()
def trace_off_is_off(f):
    """Only what is enabled is traced."""
    c = f.open()
    with trace('release') as t:
        c.both('PA', 10)
        t.expect('release')
        equal(len(t.seen), 1, 'events')


@case()
def trace_miscompare_and_epoch(f):
    c = f.open()
    c.both('PA', 1000)
    with trace() as t:
        p = c.pvm('PA', 10)
        c.svm('PA', stream(1000, 4) + b'x' + stream(1005, 5))
        e = f.expect_event('miscompare', reason='payload')
        t.expect('compare_main', 'different')
        t.expect('compare_miscompare', pair='p')
        t.expect('miscompare', pair='p', epoch=0, reason='payload', proto=6, seq=e['seq'], stream=1004, **ends(f, c))
        t.expect('release', n=0)
        f.checkpoint()
        c.out(p)
        t.order('compare_main', 'compare_miscompare', 'miscompare', 'epoch', 'epoch', 'release')
        t.expect('epoch', pair='p', epoch=0, state='checkpoint')
        t.expect('epoch', pair='p', epoch=1, state='running')
        f.failover()
        t.expect('epoch', pair='p', epoch=1, state='bypass')


@case(timeout=100, scan=20)
def trace_old_packet(f):
    c = f.open()
    with trace() as t:
        p = c.pvm('PA', 10)
        e = f.expect_event('miscompare', reason='timeout')
        with open('/proc/uptime') as up:
            now = float(up.read().split()[0]) * 1000
        got = t.expect('old_packet_check_found', pair='p')
        check(now - 5000 < int(got['old_time']) < now, 'old time is %s, now is %d', got['old_time'], now)
        t.expect('miscompare', reason='timeout')
        t.expect('compare_miscompare', n=0)
        f.again(e)
    f.flush(p)


@case(max_packets=2, max_flows=2)
def trace_limits(f):
    f.allow |= {'overflow', 'secondary_refused', 'flows_refused'}
    c, d = f.open(), f.open()
    x = f.conn()
    with trace() as t:
        p = [c.pvm('A', 10) for n in range(3)]
        t.expect('overflow', pair='p', side='primary', packets=2, flows=2, **ends(f, c))
        t.expect('drop', pair='p', reason='overflow', src=end(f, GUEST[f.v6]), dst=end(f, CLIENT[f.v6]))
        for n in range(3):
            d.svm('A', 10)
        t.expect('overflow', pair='p', side='secondary', packets=2, **ends(f, d))
        x.client('S')
        x.pvm('SA')
        t.expect('proxy_main', 'too many connections')
        t.expect('overflow', side='primary', **ends(f, x))
        e = f.expect_event('miscompare', reason='overflow')
        f.again(e)
    f.flush(*p[:2])


@case()
def trace_malformed(f):
    f.allow |= {'malformed', 'secondary_malformed'}
    c = f.open()
    with trace() as t:
        c.pvm('PA', at=0, doff=4)
        t.expect('proxy_main', 'malformed packet of the primary', pair='p')
        t.expect('drop', reason='malformed', pair='p')
        c.svm('PA', at=0, doff=4)
        t.expect('proxy_main', 'malformed packet of the secondary', pair='p')
        c.pvm('PA', 10, at=2**31)
        t.expect('proxy_main', 'sequence number out of all reason')
        t.expect('miscompare', reason='malformed')
        e = f.expect_event('miscompare', reason='malformed')
        f.again(e)


@case()
def trace_drop_at_a_reset(f):
    c = f.open()
    with trace() as t:
        c.pvm('PA', 10)
        c.pvm('S', at=5000)
        f.wait_stats(dropped_reset=1)
        t.expect('drop', pair='p', reason='dropped-reset', protocol='0x86dd' if f.v6 else '0x0800',
                 src=end(f, GUEST[f.v6]), dst=end(f, CLIENT[f.v6]))
        t.expect('hold', n=2)
    f.failover()
    f.expect('lan', lambda p: p.flags == 2)


@case()
def trace_flush_of_a_pair(f):
    c = f.open()
    with trace() as t:
        c.pvm('PA', 10)
        f.wait_stats(held=1)
        f.cli('pair', 'del', 'p', 'force')
        t.expect('flush', pair='p', seq=c.stream_seq(0), **ends(f, c))


@case('secondary')
def trace_rewriter(f):
    c = f.conn(offset=305419896)
    with trace() as t:
        c.mirror('S')
        c.svm('SA')
        t.expect('rewriter_debug', 'no offset', n=2, pair='p')
        c.known = c.offset
        c.mirror('A')
        t.expect('rewriter_conn_offset', pair='p', offset=305419896)
        c.svm('PA', 10)
        t.expect('rewriter_conn_offset', pair='p', offset=305419896, n=2)
        a, b = end(f, GUEST[f.v6], c.gport), end(f, CLIENT[f.v6], c.cport)
        t.expect('rewriter_pkt_info', 'to_vm: src/dst: %s/%s p: seq/ack=%d/0 flags=0x2' % (b, a, c.cisn), pair='p')
        t.expect('rewriter_pkt_info', 'from_vm: src/dst: %s/%s p: seq/ack=%d/%d flags=0x18' %
                 (a, b, (c.sisn + 1) & 0xffffffff, (c.cisn + 1) & 0xffffffff), pair='p')
        t.expect('rewriter_debug', n=2)


@case('secondary')
def trace_gate_of_a_checkpoint(f):
    c = f.open()
    with trace() as t:
        f.begin()
        w = c.mirror('PA', 10, deliver=False)
        t.expect('hold', pair='p', len=len(w.raw) - 14, src=end(f, CLIENT[f.v6], 0), dst=end(f, GUEST[f.v6], 0))
        c.svm('A', deliver=False)
        t.expect('drop', reason='gated')
        f.abort()
        f.expect('sv', w)
        t.expect('release', pair='p')
        t.expect('epoch', n=2)

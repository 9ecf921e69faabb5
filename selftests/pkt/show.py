# SPDX-License-Identifier: GPL-2.0
"""What is kept for the user to look at afterwards: the last miscompare, histograms of times."""

import json
import time

from harness import CLIENT, SCALE, case, check, equal, stream, until
from dgram import Talk


def last(f, name='p'):
    return f.pair(name).get('last_miscompare')


def changed(data, at):
    return data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1:]


def shown(f):
    """The same, as `kcolo pair show` says it: text and JSON."""
    return f.cli('pair', 'show', 'p').stdout, json.loads(f.cli('-j', 'pair', 'show', 'p').stdout)[0]['last_miscompare']


@case(each={'first': 0, 'fifth': 5, 'middle': 70})
def show_last_miscompare(f, at):
    """32 bytes of each side around the difference, before and after the checkpoint."""
    c = f.open()
    equal(last(f), None)
    check('miscompare' not in f.cli('pair', 'show', 'p').stdout, 'one is shown')
    c.both('PA', 100)
    data = b'The quick brown fox jumps over the lazy dog.' + stream(44, 100)
    p = c.pvm('PA', data)
    c.svm('PA', changed(data, at))
    e = f.expect_event('miscompare')
    want = {k: e[k] for k in ('epoch', 'reason', 'proto', 'src', 'dst', 'sport', 'dport', 'seq', 'stream_offset', 'primary',
                              'secondary')}
    before = data[max(0, at - 16):at]
    for n in range(2):
        got = last(f)
        check(got.pop('ago') < 30000 * SCALE, 'how long ago')
        equal(got, dict(want, before=before))
        text, line = shown(f)
        equal((line['reason'], line['seq'], line['stream_offset'], line['epoch']), ('payload', e['seq'], 100 + at, 0))
        equal((line['before'], line['primary'], line['secondary']),
              (before.hex(), data[at:at + 32].hex(), changed(data, at)[at:at + 32].hex()))
        check('reason payload seq %d stream-offset %d\n' % (e['seq'], 100 + at) in text, 'not in %s', text)
        rows = {k: [] for k in ('before', 'primary', 'secondary')}
        name = None
        for row in text.splitlines()[2:]:
            name = row[8:18].strip() or name
            rows[name].append((row[18:65].split(), row[67:]))
        for k, v in ('before', before), ('primary', data[at:]), ('secondary', changed(data, at)[at:]):
            v = v if k == 'before' else v[:32 - len(before)]
            equal([int(x, 16) for r in rows[k] for x in r[0]], list(v), k)
            equal(''.join(r[1] for r in rows[k]),
                  ''.join(chr(x) if 32 <= x < 127 else '.' for x in v), 'text of ' + k)
        if not n:
            f.again(e)
            f.checkpoint()
            c.out(p)
    equal(f.pair().get('request'), None)


@case(ip=(4,))
def show_last_miscompare_in_other_segments(f):
    """The bytes before the difference come from the side whose packet has more of them."""
    c = f.open()
    data = stream(0, 60)
    p = [c.pvm('A', data[:40]), c.pvm('PA', data[40:])]
    c.svm('PA', changed(data, 43))
    e = f.expect_event('miscompare')
    c.out(p[0])
    equal(last(f)['before'], data[27:43])
    f.again(e)
    f.flush(p[1])


@case(ip=(4,), min_interval=0)
def show_last_miscompare_is_the_newest(f):
    """A difference while a request is open is part of it; one after the commit replaces what is shown."""
    c, d = f.open(), f.open()
    p = [c.pvm('PA', b'one'), d.pvm('PA', b'two')]
    c.svm('PA', b'onE')
    e = f.expect_event('miscompare')
    d.svm('PA', b'twO')
    f.wait_stats(miscompares=2)
    equal(last(f)['dport'], c.cport)
    f.again(e)
    f.checkpoint()
    f.expect_order('lan', *p)
    p = d.pvm('PA', b'three')
    d.svm('PA', b'threE')
    e = f.expect_event('miscompare')
    got = last(f)
    equal((got['dport'], got['epoch'], got['before'], got['primary'], got['secondary']),
          (d.cport, 1, b'thre', b'e', b'E'))
    f.again(e)
    f.flush(p)


@case(ip=(4,), timeout=100, scan=20)
def show_last_miscompare_without_bytes(f):
    """A timeout has none to show."""
    c = f.open()
    p = c.pvm('PA', 10)
    e = f.expect_event('miscompare', reason='timeout')
    got = last(f)
    equal((got['reason'], got['before'], got['primary'], got['secondary']), ('timeout', b'', b'', b''))
    check(shown(f)[0].count('\n') == 2, 'rows in %s', shown(f)[0])
    f.again(e)
    f.flush(p)


@case(ip=(4,))
def show_last_miscompare_of_datagrams(f):
    """The header in front of it as it is compared: without the checksum, which differs rightly."""
    t = Talk(f)
    f.set(timeout=160, scan=20)
    p = t.pvm(b'a question')
    t.svm(b'an answer!')
    e = f.expect_event('miscompare')
    got = last(f)
    equal(got['before'][6:], b'\0\0a', 'checksum and payload before')
    equal((got['primary'][:1], got['secondary'][:1]), (b' ', b'n'))
    f.again(e)
    f.flush(p)


def histogram(f, name):
    return f.nl.call('stats_get', pair='p')[0][name]


def low(n):
    """Microseconds from which on bucket n counts."""
    return 2 ** (n - 1) if n else 0


@case(ip=(4,))
def show_hold_times(f):
    """Each packet is counted once, where its time belongs."""
    c = f.open()
    equal(sum(histogram(f, 'hold_times')), f.count('released'), 'hold times')
    before = histogram(f, 'hold_times')
    t0 = time.monotonic()
    p = [c.pvm('PA', 10) for n in range(3)]
    f.held(3)
    t1 = time.monotonic()
    time.sleep(0.05)
    t2 = time.monotonic()
    c.svm('PA', 30)
    c.out(*p)
    t3 = time.monotonic()
    new = [a - b for a, b in zip(histogram(f, 'hold_times'), before)]
    equal(sum(new), 3, 'times')
    for n, count in enumerate(new):
        if count:
            check(low(n) <= (t3 - t0) * 1e6 and 2 ** n > (t2 - t1) * 1e6, 'bucket %d has %d', n, count)
    lag = histogram(f, 'compare_lag')
    check(sum(lag[n] for n in range(28) if 2 ** n > (t2 - t1) * 1e6) >= 3, 'lag %r', lag)


@case(ip=(4,))
def show_compare_lag_of_a_secondary_that_is_first(f):
    c = f.open()
    before = sum(histogram(f, 'compare_lag')[:12])
    c.svm('PA', 10)
    f.wait_stats(queued=1)
    time.sleep(0.05 * SCALE)
    c.out(c.pvm('PA', 10))
    equal(sum(histogram(f, 'compare_lag')[:12]), before + 1, 'lag of less than 2 ms')


@case(ip=(4,))
def show_compare_lag_of_datagrams(f):
    t = Talk(f)
    p = t.pvm(b'x')
    f.held(1)
    time.sleep(0.02)
    t.svm(b'x')
    f.expect('lan', p)
    lag = histogram(f, 'compare_lag')
    equal((sum(lag), sum(lag[:15])), (1, 0), 'lag, and lag of less than 16 ms')
    t.svm(b'y')
    f.wait_stats(queued=1)
    f.expect('lan', t.pvm(b'y'))
    equal(histogram(f, 'compare_lag')[0], 1, 'lag of none')


@case(ip=(4,))
def show_gate_is_hold_time_but_no_lag(f):
    """R1: a packet that waits for the secondary's acknowledgment alone has been compared."""
    c = f.open()
    c.client('PA', 10)
    p = c.pvm('PA', 10)
    c.svm('PA', 10, ack=0)
    f.wait_stats(compared_bytes=10)
    lag = sum(histogram(f, 'compare_lag'))
    held = sum(histogram(f, 'hold_times'))
    c.svm('A')
    c.out(p)
    equal((sum(histogram(f, 'compare_lag')), sum(histogram(f, 'hold_times'))), (lag, held + 1), 'lags and times')


@case(ip=(4,))
def show_histogram_in_json_and_as_a_picture(f):
    c = f.open()
    c.both('PA', 10)
    raw = f.nl.call('stats_get', pair='p')[0]
    for args in ('stats', 'histogram'), ('stats', 'histogram', 'pair', 'p'), ('stats', 'show'):
        got = json.loads(f.cli('-j', *args).stdout)
        equal(len(got), 1, 'pairs')
        for name in 'hold_times', 'compare_lag':
            h = got[0][name]
            equal([b['count'] for b in h['buckets']], raw[name], name)
            equal([b['below_us'] for b in h['buckets']], [2 ** n for n in range(27)] + [None], 'bounds')
            equal(h['count'], sum(raw[name]), 'count')
            middle = [n for n in range(28) if sum(raw[name][:n + 1]) * 2 >= h['count']][0]
            check(low(middle) <= h['p50_us'] <= 2 ** middle, 'p50 %d is not in bucket %d', h['p50_us'], middle)
            check(h['p50_us'] <= h['p99_us'], 'percentiles %r', h)
    text = f.cli('stats', 'histogram').stdout
    for name in 'hold-times', 'compare-lag':
        check('\n    %s: count ' % name in text, 'no %s in %s', name, text)
    bars = [line.split('|')[1] for line in text.splitlines() if '|' in line]
    check(all(len(b) == 40 and set(b) <= set('@ ') for b in bars), 'bars %r', bars)
    check(any(b == '@' * 40 for b in bars), 'none has the full length: %r', bars)
    equal(sum(int(line.split('|')[0].split()[-1]) for line in text.splitlines() if '|' in line),
          sum(raw['hold_times'] + raw['compare_lag']), 'numbers shown')


@case('secondary', ip=(4,))
def show_secondary_has_no_histograms(f):
    check('hold_times' not in f.nl.call('stats_get', pair='p')[0], 'it has')
    equal(f.cli('stats', 'histogram').stdout, 'pair p:\n')

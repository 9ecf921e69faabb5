# SPDX-License-Identifier: GPL-2.0
"""R5, R7, R9: what is a difference, what is said about it, and what happens then."""

import json
import socket
import subprocess
import time

from harness import CLIENT, GUEST, LIMIT, SCALE, case, check, equal, netns, stream, until


def changed(data, at):
    out = bytearray(data)
    out[at] ^= 0x20
    return bytes(out)


def differs(f, c, at, reason='payload'):
    """The event of a difference, checked in full."""
    e = f.expect_event('miscompare', pair='p', reason=reason, **c.key())
    equal(e['seq'], c.stream_seq(at), 'seq')
    equal(e['stream_offset'], at, 'stream offset')
    equal(e['epoch'], f.epoch, 'epoch')
    equal(f.pair()['request'], reason, 'request')
    return e


def other_flows_go_on(f, d):
    d.request(50)
    d.both('PA', 200)
    d.client('A')


@case(each={'first': 0, 'middle': 512, 'last': 999})
def r7_byte_differs(f, at):
    c, d = f.open(), f.open()
    c.request()
    c.both('PA', 2000)
    data = stream(2000, 1000)
    p = c.pvm('PA', data)
    f.held(1)
    c.svm('PA', changed(data, at))
    e = differs(f, c, 2000 + at)
    equal(e['primary'], data[at:][:len(e['primary'])], 'primary')
    equal(e['secondary'], changed(data, at)[at:][:len(e['secondary'])], 'secondary')
    check(0 < len(e['primary']) <= 32 and len(e['primary']) == len(e['secondary']), 'bytes shown: %r', e)
    f.held(1)
    equal(c.flow()['flow_state'], 'miscompared')
    other_flows_go_on(f, d)
    f.held(1)
    f.wait_stats(miscompares=1, requests=1)
    f.again(e)
    f.flush(p)


@case(each={'primary_first': True, 'secondary_first': False})
def r7_first_byte_of_the_stream_differs(f, primary_first):
    c = f.open()
    if primary_first:
        p = c.pvm('PA', b'hello')
        c.svm('PA', b'Hello')
    else:
        c.svm('PA', b'Hello')
        f.wait_stats(queued=1)
        p = c.pvm('PA', b'hello')
    e = differs(f, c, 0)
    equal((e['primary'], e['secondary']), (b'hello', b'Hello'))
    f.flush(p)


@case()
def r7_difference_after_the_wrap(f):
    c = f.open(pisn=-1001)
    c.both('PA', 900)
    data = stream(900, 1000)
    p = c.pvm('PA', data)
    c.svm('PA', changed(data, 150))
    differs(f, c, 1050)
    f.held(1)
    f.flush(p)


@case()
def r7_difference_in_other_segments(f):
    """What is equal leaves; the difference is found by position, not by packet."""
    c = f.open()
    data = changed(stream(0, 3000), 1700)
    p = [c.pvm('A', 500) for n in range(6)]
    f.held(6)
    for n in range(0, 3000, 750):
        c.svm('A', data[n:n + 750])
    c.out(*p[:3])
    e = differs(f, c, 1700)
    f.held(3)
    f.again(e)
    f.flush(*p[3:])


@case()
def r7_first_difference_is_told(f):
    c = f.open()
    data = stream(0, 1000)
    p = c.pvm('PA', data)
    c.svm('PA', changed(changed(changed(data, 900), 400), 401))
    differs(f, c, 400)
    f.flush(p)


@case()
def r7_one_byte_in_a_retransmission(f):
    """The difference is in bytes that one side sent twice: what the primary says first and last both stay."""
    c = f.open()
    p = [c.pvm('PA', b'aaaa'), c.pvm('PA', b'aaaa', at=0)]
    c.svm('PA', b'aaba')
    e = differs(f, c, 2)
    p.append(c.pvm('PA', b'aaaa', at=0))
    f.held(3)
    f.again(e)
    f.flush(*p)


@case()
def r7_held_while_others_go_on(f):
    """The connection that differs is stopped where it differs: below, it still answers."""
    c, d = f.open(), f.open()
    c.request()
    c.both('PA', 100)
    p = c.pvm('PA', b'x' * 100)
    c.svm('PA', b'y' * 100)
    e = differs(f, c, 100)
    c.out(c.pvm('PA', 100, at=0))
    c.client('PA', 10)
    q = c.pvm('A', at=100)
    f.held(2)
    c.svm('A', at=200)
    c.out(q)
    other_flows_go_on(f, d)
    f.again(e)
    f.flush(p)


@case()
def r7_one_event_until_the_checkpoint(f):
    """A second difference, in another connection, is not told before the checkpoint is done; then it is."""
    c, d = f.open(), f.open()
    p = [c.pvm('PA', b'x')]
    c.svm('PA', b'y')
    e = differs(f, c, 0)
    p.append(d.pvm('PA', b'x'))
    d.svm('PA', b'z')
    f.held(2)
    f.again(e)
    f.expect_no_event()
    f.wait_stats(requests=1)
    f.begin()
    f.again(e)
    f.commit()
    f.expect_order('lan', *p)
    p = d.pvm('PA', b'again')
    d.svm('PA', b'Again', at=1)
    equal(f.epoch, 1)
    differs(f, d, 1)
    f.flush(p)


@case(scan=20)
def r7_event_is_repeated_if_nobody_heard_it(f):
    """A request is a level, not an edge: who comes late is told, once."""
    f.hang_up()
    f.call_up(listen=False)
    c = f.open()
    p = c.pvm('PA', b'x')
    c.svm('PA', b'y')
    f.wait_stats(requests=1)
    equal(f.pair()['request'], 'payload', 'request')
    f.call_up()
    differs(f, c, 0)
    f.expect_no_event(0.1)
    f.begin()
    check('request' not in f.pair(), 'a request is open after begin')
    f.expect_no_event(0.1)
    f.commit()
    f.expect_order('lan', p)


@case(min_interval=600)
def c5_min_interval(f):
    """Requests come no faster than min-interval allows, and are not lost."""
    c, d = f.open(), f.open()
    p = c.pvm('PA', b'x')
    c.svm('PA', b'y')
    t = time.monotonic()
    e = differs(f, c, 0)
    f.begin()
    f.commit()
    f.again(e)
    f.expect_order('lan', p)
    p = d.pvm('PA', b'x')
    d.svm('PA', b'z')
    f.held(1)
    if time.monotonic() - t < 0.4:
        f.expect_no_event()
    differs(f, d, 0)
    check(time.monotonic() - t > 0.5, 'the second request came after %.2f s', time.monotonic() - t)
    f.flush(p)


@case()
def r7_monitor_shows_it(f):
    """What kcolo -j monitor prints."""
    c = f.open()
    with netns(f.host):
        m = subprocess.Popen(['kcolo', '-j', 'monitor', 'miscompare'], stdout=subprocess.PIPE, text=True)
    try:
        def ready():
            with netns(f.host), open('/proc/thread-self/net/netlink') as table:
                return any(x.split()[2] == str(m.pid) and int(x.split()[3], 16) for x in table.readlines()[1:])
        until(ready, 'the monitor listens')
        data = stream(0, 100)
        p = c.pvm('PA', data)
        c.svm('PA', changed(data, 70))
        e = differs(f, c, 70)
        got = json.loads(m.stdout.readline())
    finally:
        m.kill()
        m.communicate()
    family = socket.AF_INET6 if f.v6 else socket.AF_INET
    text = {'event': 'miscompare', 'pair': 'p', 'epoch': 0, 'reason': 'payload', 'proto': 'tcp',
            'src': socket.inet_ntop(family, GUEST[f.v6]), 'sport': 80, 'dst': socket.inet_ntop(family, CLIENT[f.v6]),
            'dport': c.cport, 'seq': c.stream_seq(70), 'stream_offset': 70, 'primary': e['primary'].hex(),
            'secondary': e['secondary'].hex()}
    for k, v in text.items():
        equal(got.get(k), v, k)
    check('timestamp' in got, 'no timestamp in %r', got)
    f.again(e)
    f.flush(p)


# --- length ---

@case(timeout=150, scan=30)
def r9_primary_said_more(f):
    """The secondary is alive, but does not say it: length."""
    c, d = f.open(), f.open()
    c.both('PA', 100)
    p = c.pvm('PA', 110)
    c.svm('PA', 100)
    f.expect_no_event(0.05)
    e = f.expect_event('miscompare', **c.key())
    equal((e['reason'], e['seq'], e['stream_offset']), ('length', c.stream_seq(200), 200))
    f.held(1)
    other_flows_go_on(f, d)
    f.again(e)
    f.flush(p)


@case(timeout=150, scan=30)
def r9_secondary_silent(f):
    """Nothing comes from the secondary any more: timeout."""
    c, d = f.open(), f.open()
    c.both('PA', 100)
    p = c.pvm('PA', 10)
    e = f.expect_event('miscompare', **c.key())
    equal((e['reason'], e['seq'], e['stream_offset']), ('timeout', c.stream_seq(100), 100))
    f.held(1)
    other_flows_go_on(f, d)
    f.again(e)
    f.flush(p)


@case(timeout=150, scan=30)
def r9_secondary_said_more(f):
    c = f.open()
    c.request()
    c.svm('PA', 110)
    c.out(c.pvm('PA', 100))
    e = f.expect_event('miscompare', **c.key())
    equal((e['reason'], e['seq'], e['stream_offset']), ('length', c.stream_seq(100), 100))
    f.again(e)
    f.failover()


@case(timeout=150, scan=30)
def r9_primary_silent(f):
    c = f.open()
    c.request()
    c.both('PA', 100)
    c.svm('PA', 10)
    e = f.expect_event('miscompare', **c.key())
    equal((e['reason'], e['seq'], e['stream_offset']), ('timeout', c.stream_seq(100), 100))
    f.again(e)
    f.failover()


@case(timeout=300, scan=50)
def r9_not_before_the_timeout(f):
    c = f.open()
    t = time.monotonic()
    p = c.pvm('PA', 10)
    e = f.expect_event('miscompare', reason='timeout')
    took = time.monotonic() - t
    check(0.29 <= took < 0.3 + 0.05 + LIMIT / 4, 'asked after %.3f s', took)
    f.again(e)
    f.flush(p)


@case(timeout=200, scan=30)
def r9_progress_is_no_timeout(f):
    """A slow secondary that comes in time is waited for; the clock is each packet's own."""
    c = f.open()
    for n in range(5):
        p = c.pvm('PA', 100)
        f.expect_no_event(0.08)
        c.svm('PA', 100)
        c.out(p)


@case(timeout=200, scan=30)
def r9_catching_up_is_no_timeout(f):
    """A secondary that is behind for longer than the timeout, but comes nearer all the time, is waited for: with bytes,
    and with acks."""
    c = f.open()
    p = [c.pvm('PA', 100) for n in range(7)]
    for n in range(7):
        f.expect_no_event(0.06)
        c.svm('PA', 100)
        c.out(p[n])
    c.client('A', 1000)
    q = c.pvm('A')
    for n in range(6):
        f.expect_no_event(0.06)
        c.svm('A', ack=100 * n + 1)
        f.expect_lowered(c, 100 * n + 1)
    e = f.expect_event('miscompare', reason='timeout', **c.key())
    f.again(e)
    f.flush(q)


@case(timeout=150, scan=30)
def r9_syn_ack_of_the_secondary_never_comes(f):
    c = f.conn()
    c.client('S')
    p = c.pvm('SA')
    e = f.expect_event('miscompare', **c.key())
    equal(e['reason'], 'timeout')
    f.again(e)
    f.flush(p)


# --- FIN and RST ---

@case()
def r5_fin_of_the_primary_against_data(f):
    c, d = f.open(), f.open()
    c.both('PA', 100)
    p = c.pvm('FA')
    f.held(1)
    c.svm('PA', 10)
    e = differs(f, c, 100, 'fin')
    f.held(1)
    other_flows_go_on(f, d)
    f.again(e)
    f.flush(p)


@case()
def r5_fin_of_the_secondary_against_data(f):
    c, d = f.open(), f.open()
    c.both('PA', 100)
    c.svm('FA')
    p = c.pvm('PA', 10)
    e = differs(f, c, 100, 'fin')
    f.held(1)
    other_flows_go_on(f, d)
    f.again(e)
    f.flush(p)


@case()
def r5_fin_within_a_segment(f):
    """FIN after byte 50 on one side, 51 bytes on the other."""
    c = f.open()
    p = c.pvm('FPA', 50)
    c.svm('PA', 51)
    e = differs(f, c, 50, 'fin')
    f.held(1)
    f.again(e)
    f.flush(p)


@case()
def r5_fin_does_not_meet_an_ack(f):
    """A FIN is not released by anything but a FIN (peers B5)."""
    c = f.open()
    c.both('PA', 100)
    p = c.pvm('FA')
    for n in range(3):
        c.svm('A')
    c.svm('PA', 100, at=0)
    f.held(1)
    f.expect_no_event()
    c.svm('FA', at=100)
    c.out(p)


@case(timeout=150, scan=30)
def r5_lone_fin_times_out(f):
    c = f.open()
    c.both('PA', 100)
    p = c.pvm('FA')
    e = f.expect_event('miscompare', **c.key())
    equal((e['reason'], e['stream_offset']), ('timeout', 100))
    f.held(1)
    f.again(e)
    f.flush(p)


@case(each={'without_ack': 'R', 'with_ack': 'RA'}, scan=20)
def r5_rst_of_the_primary_against_data(f, flags):
    c, d = f.open(), f.open()
    c.request()
    c.both('PA', 100)
    p = c.pvm(flags)
    f.held(1)
    c.svm('PA', 10)
    e = differs(f, c, 100, 'rst')
    f.held(1)
    other_flows_go_on(f, d)
    f.again(e)
    f.flush(p)


@case(each={'without_ack': 'R', 'with_ack': 'RA'}, scan=20)
def r5_rst_of_the_secondary_against_data(f, flags):
    c, d = f.open(), f.open()
    c.request()
    c.both('PA', 100)
    c.svm(flags)
    p = c.pvm('PA', 10)
    e = differs(f, c, 100, 'rst')
    f.held(1)
    other_flows_go_on(f, d)
    f.again(e)
    f.flush(p)


@case(scan=20)
def r5_rst_against_fin(f):
    c = f.open()
    c.request()
    p = c.pvm('RA')
    c.svm('FA')
    e = differs(f, c, 0, 'rst')
    f.held(1)
    f.again(e)
    f.flush(p)


@case(timeout=150, scan=30)
def r5_rst_does_not_meet_an_ack(f):
    """Nothing but an RST releases an RST (peers B5); alone it asks after the timeout."""
    c = f.open()
    c.request()
    c.both('PA', 100)
    p = c.pvm('R')
    c.svm('A')
    c.svm('PA', 100, at=0)
    f.held(1)
    e = f.expect_event('miscompare', **c.key())
    check(e['reason'] in ('timeout', 'rst', 'length'), 'reason %s', e['reason'])
    f.held(1)
    f.again(e)
    f.flush(p)


@case(timeout=150, scan=30)
def r5_lone_rst_of_the_secondary(f):
    """The secondary's connection is gone, the primary's lives on in silence: after failover the client would hear
    nothing but a reset."""
    c = f.open()
    c.request()
    c.svm('RA')
    e = f.expect_event('miscompare', **c.key())
    check(e['reason'] in ('timeout', 'rst'), 'reason %s', e['reason'])
    f.again(e)
    f.failover()


@case(timeout=int(300 * SCALE), scan=20)
def r5_rst_of_the_client_buries(f):
    """Both guests dropped the connection, each where it was: what one had said more needs no checkpoint."""
    c, d = f.open(), f.open()
    c.request()
    d.request()
    c.pvm('PA', 100)
    d.svm('PA', 100)
    f.held(1)
    c.client('RA')
    d.client('R')
    f.wait_stats(held=0, queued=0, dropped_reset=1)
    f.expect_no_event(0.1)


@case(timeout=100, scan=20, each={'before': -1, 'behind': 1, 'far': 2**31})
def r5_forged_rst_of_the_client_buries_nothing(f, where):
    """Not at the very next number: the guests do not heed it."""
    c = f.open()
    c.request()
    p = c.pvm('PA', 100)
    nxt = c.c_nxt
    c.client('R', at=nxt + where)
    c.c_nxt = nxt
    e = f.expect_event('miscompare', reason='timeout', **c.key())
    f.expect_no_event_but(e, 0.15)
    f.held(1)
    f.flush(p)


@case()
def r7_checkpoint_mends_it(f):
    """After begin and commit what was held leaves, and comparing goes on from there."""
    c = f.open()
    c.request()
    p = [c.pvm('PA', b'x' * 100), c.pvm('PA', 300)]
    c.svm('PA', b'y' * 100)
    e = differs(f, c, 0)
    f.begin()
    f.again(e)
    f.held(2)
    f.commit()
    c.out(*p)
    check('request' not in f.pair(), 'the request is still open')
    p = c.pvm('PA', 100)
    f.held(1)
    c.svm('PA', 100, at=400)
    c.out(p)
    p = c.pvm('PA', b'x')
    c.svm('PA', b'y')
    differs(f, c, 500)
    f.flush(p)

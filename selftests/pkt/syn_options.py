# SPDX-License-Identifier: GPL-2.0
"""R4: the options of SYN and SYN-ACK must come to the same on both sides."""

import struct

import packet
from harness import case, equal, stream


def syn(mss=1460, scale=7, sack=True, ts=1, *more):
    """Options of a SYN; None leaves one out."""
    parts = [(2, struct.pack('!H', mss))] if mss is not None else []
    parts += [(4, b'')] * sack
    parts += [packet.timestamps(ts, 9)] if ts is not None else []
    parts += [1, (3, bytes([scale]))] if scale is not None else []
    return packet.options(*parts, *more)


COOKIE = (34, b'12345678')
DIFFERENT = {
    'mss': (syn(), syn(mss=1400)),
    'no_mss': (syn(), syn(mss=None)),
    'scale': (syn(scale=7), syn(scale=8)),
    'no_scale': (syn(), syn(scale=None)),
    'scale_of_the_secondary': (syn(scale=None), syn(scale=0)),
    'no_sack': (syn(), syn(sack=False)),
    'sack_of_the_secondary': (syn(sack=False), syn()),
    'no_timestamps': (syn(), syn(ts=None)),
    'timestamps_of_the_secondary': (syn(ts=None), syn()),
    'unknown': (packet.options(syn(), COOKIE), packet.options(syn(), (34, b'12345679'))),
    'no_unknown': (packet.options(COOKIE, 1, 1), b''),
}
SAME = {
    'clock': (syn(ts=1), syn(ts=0x80000001)),
    'order': (syn(), packet.options((3, b'\7'), 1, packet.timestamps(7, 0), 1, 1, (4, b''), (2, b'\5\xb4'))),
    'mss_above': (syn(mss=1400), syn(mss=1460)),
    'unknown': (packet.options(COOKIE, 1, 1, 253, 3, 1, 1), packet.options(253, 3, 1, COOKIE, 0)),
    'none': (b'', b''),
    'padding': (b'', b'\1\1\1\1'),
}


def refused(f, c, p, s):
    """The event, and all that it tells."""
    e = f.expect_event('miscompare', pair='p', reason='syn-options', **c.key())
    equal(e['seq'], c.pisn, 'seq')
    equal(e.get('stream_offset'), None, 'stream offset')
    equal((e.get('primary', b''), e.get('secondary', b'')), ((p + b'\0' * (-len(p) % 4))[:32],
                                                            (s + b'\0' * (-len(s) % 4))[:32]), 'options')
    equal(f.pair()['request'], 'syn-options', 'request')
    equal(c.flow()['flow_state'], 'miscompared')
    return e


@case(each=DIFFERENT)
def r4_options_differ(f, p, s):
    """The primary's SYN-ACK is held, other connections go on; at the commit it leaves, and the connection goes on."""
    d = f.open()
    c = f.conn()
    c.client('S')
    syn_ack = [c.pvm('SA', opts=p)]
    f.held(1)
    c.svm('SA', opts=s)
    e = refused(f, c, p, s)
    f.held(1)
    syn_ack.append(c.pvm('SA', at=-1, opts=p))
    c.svm('SA', at=-1, opts=s)
    f.held(2)
    f.wait_stats(miscompares=1, requests=1)
    d.both('PA', 10)
    f.again(e)
    f.checkpoint()
    c.out(*syn_ack)
    c.client('A')
    c.both('PA', 100)
    p = c.pvm('PA', 10)
    c.svm('PA', stream(100, 9) + b'!')
    e = f.expect_event('miscompare', reason='payload')
    equal(e['stream_offset'], 109, 'stream offset')
    f.again(e)
    f.flush(p)


@case(each={'mss': DIFFERENT['mss'], 'scale': DIFFERENT['scale']})
def r4_options_differ_secondary_first(f, p, s):
    c = f.conn()
    c.client('S')
    c.svm('SA', opts=s)
    f.wait_stats(secondary_packets=1)
    syn_ack = c.pvm('SA', opts=p)
    e = refused(f, c, p, s)
    f.held(1)
    f.again(e)
    f.flush(syn_ack)


@case(each={'mss': DIFFERENT['mss'], 'no_sack': DIFFERENT['no_sack']})
def r4_options_of_an_active_open_differ(f, p, s):
    """The guest is the client."""
    c = f.conn()
    first = c.pvm('S', opts=p)
    f.held(1)
    c.svm('S', opts=s)
    e = refused(f, c, p, s)
    f.held(1)
    f.again(e)
    f.flush(first)


@case(each=SAME)
def r4_options_come_to_the_same(f, p, s):
    c = f.conn()
    c.client('S')
    syn_ack = c.pvm('SA', opts=p)
    c.svm('SA', opts=s)
    c.out(syn_ack)
    c.client('A')
    c.both('PA', 100)
    d = f.conn()
    d.svm('S', opts=s)
    f.wait_stats(secondary_packets=3)
    d.out(d.pvm('S', opts=p))
    f.wait_stats(miscompares=0, flows_opened=2)


@case()
def r4_another_syn_of_the_secondary_may_match(f):
    """It has given up and opens anew."""
    c = f.conn()
    c.client('S')
    syn_ack = c.pvm('SA', opts=syn())
    c.svm('SA', opts=syn(scale=2))
    e = refused(f, c, syn(), syn(scale=2))
    f.held(1)
    c.sisn = (c.sisn + 77777) & packet.M32
    c.svm('SA', at=-1, opts=syn())
    c.out(syn_ack)
    c.client('A')
    c.both('PA', 100)
    f.again(e)


@case()
def r4_another_syn_of_the_primary_is_compared_anew(f):
    """The old one is dropped, the new one waits for its partner."""
    c = f.conn()
    c.client('S')
    c.pvm('SA', opts=syn())
    c.svm('SA', opts=syn(scale=2))
    e = refused(f, c, syn(), syn(scale=2))
    d = f.conn(sport=c.cport)
    d.client('S')
    p = d.pvm('SA', opts=syn())
    f.held(1)
    f.wait_stats(dropped_reset=1)
    d.svm('SA', opts=syn())
    d.out(p)
    d.client('A')
    d.both('PA', 10)
    f.again(e)


@case()
def r4_options_differ_and_abort(f):
    """After an abort all is as before."""
    c = f.conn()
    c.client('S')
    p = c.pvm('SA', opts=syn())
    c.svm('SA', opts=syn(ts=None))
    e = refused(f, c, syn(), syn(ts=None))
    f.begin()
    f.abort()
    f.held(1)
    refused(f, c, syn(), syn(ts=None))
    f.again(e)
    f.flush(p)


@case()
def r4_options_before_a_commit(f):
    """C4: the secondary's SYN-ACK of the new epoch came before the commit did."""
    f.open()
    f.begin()
    c = f.conn(offset=0)
    c.client('S')
    p = c.pvm('SA', opts=syn())
    c.svm('SA', opts=syn(mss=1400), epoch=1)
    f.held(1)
    f.commit()
    e = refused(f, c, syn(), syn(mss=1400))
    f.held(1)
    f.again(e)
    f.flush(p)

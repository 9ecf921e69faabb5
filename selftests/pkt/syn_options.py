# SPDX-License-Identifier: GPL-2.0
"""R4: the options of SYN and SYN-ACK must come to the same on both sides; MPTCP and TCP Fast Open are taken out of them,
and what is signed (MD5, TCP-AO) is never written."""

import struct

import packet
from harness import Port, Sent, case, check, equal, stream, until


def syn(mss=1460, scale=7, sack=True, ts=1, *more):
    """Options of a SYN; None leaves one out."""
    parts = [(2, struct.pack('!H', mss))] if mss is not None else []
    parts += [(4, b'')] * sack
    parts += [packet.timestamps(ts, 9)] if ts is not None else []
    parts += [1, (3, bytes([scale]))] if scale is not None else []
    return packet.options(*parts, *more)


COOKIE = (253, b'12345678')
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
    'unknown': (packet.options(syn(), COOKIE), packet.options(syn(), (253, b'12345679'))),
    'no_unknown': (packet.options(COOKIE, 1, 1), b''),
}
SAME = {
    'clock': (syn(ts=1), syn(ts=0x80000001)),
    'order': (syn(), packet.options((3, b'\7'), 1, packet.timestamps(7, 0), 1, 1, (4, b''), (2, b'\5\xb4'))),
    'mss_above': (syn(mss=1400), syn(mss=1460)),
    'unknown': (packet.options(COOKIE, 1, 1, 254, 3, 1, 1), packet.options(254, 3, 1, COOKIE, 0)),
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


# --- what is taken out ---

STRIPPED = {
    'mptcp': packet.options((30, b'\0\1abcdefgh')),
    'mptcp_join': packet.options((30, b'\x10\1abcdefgh')),
    'tfo_request': packet.options((34, b'')),
    'tfo_cookie': packet.options((34, b'12345678')),
    'tfo_experiment': packet.options((254, b'\xf9\x891234')),
    'odd': packet.options(1, (30, b'\0\1abcdefghi')),
    'both': packet.options((30, b'\0\1ab'), (34, b'1234')),
}
KEPT = {'experiment': packet.options((254, b'\xf9\x88')), 'unknown': packet.options((253, b'ab')), 'behind_the_end': b'\0' + packet.options((34, b'ab'))}


def around(*more):
    """Options of a SYN with others before and behind."""
    return packet.options((2, b'\5\xb4'), (4, b''), *more, 1, (3, b'\7'))


def padding(option):
    return b'\1' * len(option)


def stripped_frame(c, client, flags, option, opts=around, **kw):
    """A SYN as it is sent and as it comes out."""
    ends = (c.cisn, c.pisn) if client else (c.pisn, c.cisn)
    return [Sent(*c.frame(client, *ends, flags, -1, 0 if 'A' in flags else -1, b'', opts=opts(o), **kw))
            for o in (option, padding(option))]


@case(each=STRIPPED)
def r4_stripped(f, option):
    """Neither guest hears of it, neither does the client: there is nothing to differ in."""
    for partial in False, True:
        c = f.conn()
        syn, want = stripped_frame(c, True, 'S', option, partial=partial)
        f.ports['lan'].send(syn.raw, syn.vnet)
        f.expect('pv', want)
        f.expect('ps', want)
        c.c_nxt = 0
        syn, want = stripped_frame(c, False, 'SA', option, ipid=9, partial=partial)
        f.ports['pv'].send(syn.raw, syn.vnet)
        f.held(1)
        c.p_nxt = c.c_ack = 0
        c.svm('SA', opts=around(padding(option)))
        c.out(want)
        c.client('A')
        c.both('PA', 100)
    f.wait_stats(options_stripped=4, miscompares=0)


@case(each={'mptcp': STRIPPED['mptcp'], 'tfo_cookie': STRIPPED['tfo_cookie']})
def r4_stripped_of_an_active_open(f, option):
    c = f.conn()
    syn, want = stripped_frame(c, False, 'S', option, ipid=9)
    f.ports['pv'].send(syn.raw, syn.vnet)
    c.p_nxt = 0
    f.held(1)
    c.svm('S', opts=around(padding(option)))
    c.out(want)
    f.wait_stats(options_stripped=1, miscompares=0)


@case()
def r4_stripped_copies_stay(f):
    """A capture before it was stripped shares the packet's data."""
    c = f.conn()
    tap = Port('tap', f.host, 'up')
    syn, want = stripped_frame(c, True, 'S', STRIPPED['mptcp'])
    f.ports['lan'].send(syn.raw, syn.vnet)
    f.expect('pv', want)
    f.expect('ps', want)
    until(lambda: tap.read() or tap.queue, 'captured')
    seen = [q for q in tap.queue if q.dport == c.gport]
    tap.close()
    check(len(seen) == 1 and syn.matches(seen[0]), 'captured: %r', seen)


@case(each=KEPT)
def r4_not_stripped(f, option):
    c = f.conn()
    c.client('S', opts=around(option))
    p = c.pvm('SA', opts=around(option))
    c.svm('SA', opts=around(option))
    c.out(p)
    c.client('A')
    c.client('PA', 10, opts=around(STRIPPED['mptcp']))
    f.wait_stats(options_stripped=0)


@case(each={'rule': False, 'bypass': True})
def r4_not_stripped_where_nothing_is_compared(f, bypass):
    c = f.conn()
    if bypass:
        f.failover()
    else:
        f.cli('rule', 'add', 'pair', 'p', 'dport', str(c.cport), 'action', 'bypass')
    c.client('S', opts=around(STRIPPED['mptcp']))
    c.out(c.pvm('SA', opts=around(STRIPPED['mptcp'])))
    f.wait_stats(options_stripped=0)


@case(mode=1)
def r4_not_stripped_in_mode_observe(f):
    """R14: what passes is as it was."""
    c = f.conn()
    c.client('S', opts=around(STRIPPED['mptcp']))
    p = c.pvm('SA', opts=around(STRIPPED['mptcp']))
    c.out(p)
    c.svm('SA', opts=around(STRIPPED['mptcp']))
    f.wait_stats(options_stripped=0, flows_opened=1)


@case('secondary', each={'mptcp': STRIPPED['mptcp'], 'odd': STRIPPED['odd'], 'tfo_cookie': STRIPPED['tfo_cookie']})
def r4_stripped_on_the_secondary(f, option):
    """What its guest says, and what the primary's host has let pass; but nothing of what is new after a failover (F1)."""
    c = f.conn(offset=5)
    syn, want = stripped_frame(c, True, 'S', option)
    f.ports['sp'].send(syn.raw, syn.vnet)
    f.expect('sv', want)
    c.c_nxt = 0
    frames = [Sent(*c.frame(False, base, c.cisn, 'SA', -1, 0, b'', opts=around(o), ipid=7, ttl=ttl))
              for base, o, ttl in ((c.pisn + 5, option, 64), (c.pisn + 5, padding(option), 1))]
    f.ports['sv'].send(frames[0].raw)
    f.expect('sp', frames[1])
    c.s_nxt = 0
    c.known = 5
    c.mirror('A')
    c.talk()
    f.wait_stats(options_stripped=2)
    f.fail_over()
    c.talk()
    d = f.conn()
    d.mirror('S', opts=around(option), known=0)
    d.svm('SA', opts=around(option), known=0)
    f.wait_stats(options_stripped=2)


# --- what is signed ---

SIGNED = {'md5': (19, b'0123456789abcdef'), 'ao': (29, b'\1\1' + b'0123456789ab')}


def signed(n, kind):
    code, body = SIGNED[kind]
    return packet.options((code, bytes([n]) + body[1:]), 1, 1)


@case(each={kind: kind for kind in SIGNED})
def w2_signed_connection(f, kind):
    """The signatures of two handshakes differ; after the commit the guests sign the same, and no packet is changed: not its
    window, not its clock, and none is made in the primary's name."""
    c = f.conn(offset=0)
    c.client('S', opts=signed(1, kind))
    p = c.pvm('SA', win=2000, opts=signed(2, kind))
    c.svm('SA', win=2000, opts=signed(3, kind))
    e = f.expect_event('miscompare', pair='p', reason='syn-options', **c.key())
    f.held(1)
    f.begin()
    f.commit()
    c.out(p)
    f.again(e)
    c.client('A', opts=signed(4, kind))
    c.client('PA', 3000, opts=signed(5, kind))
    c.svm('A', win=100, opts=signed(6, kind))
    c.out(c.pvm('A', win=2000, opts=signed(6, kind)))
    f.wait_stats(signed=1, windows_clamped=0)
    # The secondary lacks a piece.
    c.client('A', 1000, opts=signed(7, kind))
    p = c.pvm('A', win=2000, opts=signed(8, kind))
    c.svm('A', ack=3500, win=100, opts=signed(9, kind))
    f.held(1)
    c.svm('A', win=2000, opts=signed(8, kind))
    c.out(p)
    f.wait_stats(acks_lowered=0, windows_clamped=0, windows_updated=0)


@case('secondary', each={kind: kind for kind in SIGNED})
def w2_signed_is_not_translated(f, kind):
    """It would be taken for forged: dropped until a commit, then as it is."""
    c = f.conn(offset=1000)
    c.mirror('S', opts=signed(1, kind))
    c.svm('SA', opts=signed(2, kind))
    c.mirror('A', opts=signed(3, kind), deliver=False)
    c.svm('PA', 10, opts=signed(4, kind), deliver=False)
    f.wait_stats(signed=2, untranslatable=0)
    f.expect_nothing('sp')
    f.expect_nothing('sv')
    f.begin()
    f.commit()
    c.actual = c.known = 0
    c.s_nxt = 0
    c.mirror('PA', 10, opts=signed(5, kind))
    c.svm('PA', 10, opts=signed(6, kind))
    f.fail_over()
    c.svm('PA', 10, opts=signed(7, kind))
    f.wait_stats(signed=2)

# SPDX-License-Identifier: GPL-2.0
"""Segments of another connection, or forged: what the guests throw away does not count here either (R5, R15, F4)."""

from harness import case, equal

SLOW = dict(timeout=150, scan=30)


def both_reset(f, ack=900000):
    """The guest opens; the server has an old half-open connection: its ACK, RST of both guests, the SYN again, established."""
    c = f.conn(dport=4321)
    p = c.pvm('S')
    c.svm('S')
    c.out(p)
    c.client('A', at=70000, ack=ack)
    p = c.pvm('R', at=ack)
    c.svm('R', at=ack)
    c.out(p)
    c.c_nxt = c.c_ack = -1
    c.p_nxt = c.s_nxt = 0
    p = c.pvm('S', at=-1)
    c.svm('S', at=-1)
    c.out(p)
    established(c)
    return c


def established(c):
    c.c_ack = 0
    c.client('SA', at=-1)
    p = c.pvm('A')
    c.svm('A')
    c.out(p)
    c.both('PA', 100)


def bogus_ack(f):
    """The client sends a wrong ACK right behind its SYN; both guests answer that with a RST, and go on."""
    c = f.conn()
    c.client('S')
    c.client('A', ack=777777)
    p = c.pvm('SA', ack=0)
    c.svm('SA', ack=0)
    c.out(p)
    p = c.pvm('R', at=777777)
    c.svm('R', at=777777)
    c.out(p)
    c.p_nxt = c.s_nxt = c.c_ack = 0
    c.client('A')
    c.request()
    c.both('PA', 100)
    return c


@case(each={'active': both_reset, 'passive': bogus_ack}, **SLOW)
def r5_both_reset_and_go_on(f, begin):
    """A RST of both that has not ended the connection is no RST any more."""
    c = begin(f)
    equal(c.flow()['flow_state'], 'established')
    p = c.pvm('RA')
    f.held(1)
    e = f.expect_event('miscompare', **c.key())
    f.again(e)
    f.flush(p)


@case(**SLOW)
def r5_both_reset_then_the_secondary(f):
    c = both_reset(f)
    c.svm('RA')
    e = f.expect_event('miscompare', reason='rst', **c.key())
    f.again(e)
    f.failover()


@case(timeout=3000, scan=50)
def r5_port_closed_then_open(f):
    """Both have refused; the same ends again, and only the primary has answered so far: that is no difference yet."""
    c = f.conn()
    c.client('S')
    p = c.pvm('RA', at=-1 - c.pisn)
    c.svm('RA', at=-1 - c.pisn)
    f.expect_order('lan', p)
    d = f.conn(sport=c.cport, cisn=c.cisn + 100000)
    d.client('S')
    p = d.pvm('SA')
    f.expect_no_event(0.6)
    d.svm('SA')
    d.out(p)


@case(each={'ahead': 900000, 'behind': -900000})
def r15_stray_ack_is_not_the_client(f, ack):
    """In SYN-SENT only the answer to the SYN counts: what came before it does not spoil the ACK that S may lack."""
    c = both_reset(f, ack)
    c.client('A')
    c.svm('PA', 100, at=0)
    c.bare_ack(100)


@case(**SLOW)
def r5_client_resets_after_a_stray_ack(f):
    c = both_reset(f, -900000)
    c.client('A')
    c.pvm('PA', 50)
    f.held(1)
    c.client('RA')
    f.wait_stats(held=0, dropped_reset=1)
    f.expect_no_event(0.3)


@case(each={'no_ack': ('F', 0, 0), 'old_ack': ('FA', -(1 << 30) - 70000, 0), 'ahead': ('FA', 0, 5000)}, **SLOW)
def f4_forged_fin(f, flags, ack, ahead):
    """P has closed and hears on: while the client may send, an ACK of P alone asks for a checkpoint."""
    c = f.open()
    c.request()
    nxt = c.c_nxt
    c.client(flags, at=nxt + ahead, ack=ack)
    c.c_nxt = nxt
    c.both('FA')
    c.client('A')
    equal(c.flow()['flow_state'], 'closing')
    c.client('PA', 100)
    p = c.pvm('A')
    e = f.expect_event('miscompare', **c.key())
    f.held(1)
    f.again(e)
    f.flush(p)


@case(**SLOW)
def f4_forged_reset(f):
    """An ACK ahead of what the guest has, and a RST at the same number: the guest heeds the RST at its own next number only."""
    c = f.open()
    c.request()
    nxt = c.c_nxt
    c.client('A', at=nxt + 1000)
    c.client('R', at=nxt + 1000)
    c.c_nxt = nxt
    equal(c.flow()['flow_state'], 'established')
    c.both('A')                                 # the challenge ACK
    p = c.pvm('PA', 100)
    e = f.expect_event('miscompare', reason='timeout', **c.key())
    f.held(1)
    f.again(e)
    f.flush(p)


@case(**SLOW)
def r5_client_resets_what_it_has_just_sent(f):
    """The guest has not acknowledged the client's last bytes yet: a RST behind them counts."""
    c = f.open()
    c.request()
    c.client('PA', 100)
    c.client('RA')
    c.pvm('PA', 50)
    f.held(1)
    f.wait_stats(held=0, dropped_reset=1)
    f.expect_no_event(0.3)

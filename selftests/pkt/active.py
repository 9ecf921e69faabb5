# SPDX-License-Identifier: GPL-2.0
"""W4, W5: connections that the guest opens; the first packet that comes back already needs its ack translated."""

from harness import case, equal
from primary_tcp import OFFSETS


def open_by_vm(f, **kw):
    """SVM's SYN names its ISN, the server's SYN-ACK the primary's."""
    c = f.conn(**kw)
    c.svm('S')
    c.known = c.offset
    c.mirror('SA', ack=0)
    c.svm('A')
    return c


@case('secondary', each=OFFSETS)
def w4_active_open(f, offset):
    c = open_by_vm(f, offset=offset)
    equal(c.flow()['flow_state'], 'established')
    c.talk()
    c.svm('PA', 1400)
    c.mirror('PA', 1400)
    f.wait_stats(learnt=1)
    equal(f.pair()['translated'], 1 if c.offset else 0)
    fl = c.flow()
    equal((fl['src'], fl['sport'], fl['dport']), (c.key()['src'], c.gport, c.cport), 'from its opener on')


@case('secondary')
def w4_active_open_data_first(f):
    """The guest's request comes with its ACK."""
    c = f.conn()
    c.svm('S')
    c.known = c.offset
    c.mirror('SA', ack=0)
    c.svm('PA', 300)
    c.mirror('A')
    c.talk()


@case('secondary')
def w4_active_open_repeated(f):
    """SYN and SYN-ACK may come again."""
    c = f.conn()
    c.svm('S')
    c.svm('S', at=-1)
    c.known = c.offset
    c.mirror('SA', ack=0)
    c.mirror('SA', at=-1, ack=0)
    c.svm('A')
    c.mirror('SA', at=-1, ack=0)
    c.svm('A')
    c.talk()


@case('secondary')
def w4_active_open_syn_ack_lost(f):
    """On the mirror, at first."""
    c = f.conn()
    c.svm('S')
    for n in range(2):
        c.svm('S', at=-1)
    equal('offset' in c.flow(), False, 'an offset')
    c.known = c.offset
    c.mirror('SA', ack=0)
    c.svm('A')
    c.talk()


@case('secondary', each={'far': (1 << 24, 7777), 'wrap': (-(1 << 20), -5)})
def w4_active_open_forged_syn_ack(f, where, ack):
    """Out of the guest's window: it changes nothing, although the guest has not said a byte yet."""
    c = open_by_vm(f)
    c.mirror('SA', at=where, ack=ack)
    c.c_nxt = 0
    c.svm('A')
    c.talk()
    c.mirror('SA', at=where, ack=ack)
    c.c_nxt = 100
    c.talk()
    f.wait_stats(learnt=1)


@case('secondary', each={'syn': 'S', 'syn_ack': 'SA', 'ack': 'A'})
def w4_forged_to_a_server(f, flags):
    """Before the handshake's end, and after it, with numbers that the guest does not expect: the offset stays unknown, or as it is."""
    c = f.conn()
    c.mirror('S')
    c.svm('SA')
    c.mirror(flags, at=1 << 24, ack=7777)
    c.c_nxt = 0
    c.known = c.offset
    c.mirror('A')
    c.mirror(flags, at=1 << 24, ack=7777)
    c.c_nxt = 0
    c.talk()
    f.wait_stats(learnt=1)


@case('secondary')
def w4_active_open_another_isn(f):
    """The guest gave up and tries again: its new SYN counts."""
    c = f.conn()
    c.svm('S')
    d = f.conn(sport=c.cport)
    d.svm('S')
    d.known = d.offset
    d.mirror('SA', ack=0)
    d.svm('A')
    d.talk()


@case('secondary', each=OFFSETS)
def w2_active_open_refused(f, offset):
    """The server's reset acknowledges the primary's SYN; SVM would ignore it untranslated."""
    c = f.conn(cisn=-1, offset=offset)
    c.svm('S')
    c.known = c.offset
    c.mirror('RA', at=0, ack=0)
    d = open_by_vm(f, sport=c.cport, cisn=1000)
    d.talk()


@case('secondary')
def w2_active_open_until_the_end(f):
    c = open_by_vm(f)
    c.talk()
    c.svm('FA')
    c.mirror('A')
    c.mirror('PA', 100)
    c.svm('A')
    c.mirror('FA')
    c.svm('A')
    c.mirror('FA', at=c.c_nxt - 1)
    c.svm('A')


@case('secondary')
def w2_active_open_reset(f):
    for flags in 'R', 'RA':
        c = open_by_vm(f)
        c.talk()
        c.svm(flags)


@case('secondary')
def f1_active_open_lives_on(f):
    c = open_by_vm(f)
    c.talk()
    f.fail_over()
    c.talk()
    c.svm('FA')
    c.mirror('FA')
    c.svm('A')


@case('secondary')
def f1_active_open_in_the_handshake(f):
    c = f.conn()
    c.svm('S')
    f.fail_over()
    c.known = c.offset
    c.mirror('SA', ack=0)
    c.svm('A')
    c.talk()


@case('secondary')
def c2_active_open_across_a_commit(f):
    c = open_by_vm(f)
    c.talk()
    h = f.conn()
    h.svm('S')
    f.begin()
    f.commit()
    c.actual = c.known = h.actual = h.known = 0
    c.talk()
    h.mirror('SA', ack=0)
    h.svm('A')
    h.talk()

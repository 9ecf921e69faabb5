# SPDX-License-Identifier: GPL-2.0
"""W4, W5: connections that the guest opens; the first packet that comes back already needs its ack translated."""

from harness import case, equal
from packet import M32, options
from primary_tcp import OFFSETS
from quoted import quote, to_vm
from tstamp import conn as stamped


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


# By what the guest's SYN is moved where the other end may know the primary's.
BEYOND = -(1 << 30)
CLOSE = {'0': 0, '1': 1, 'm1': -1, 'window': 64000, 'mwindow': -64000, 'far': 0x89abcdef}


def interrupted(f, **kw):
    """The failover comes while the guest opens a connection; its next SYN is moved."""
    c = f.conn(**kw)
    c.svm('S')
    f.fail_over()
    c.svm('S', at=-1, known=BEYOND)
    return c


@case('secondary', each=CLOSE)
def f1_active_open_interrupted(f, offset):
    """The server has got PVM's SYN, and says so in an ACK: the guest's next SYN has that number, also when it comes again."""
    c = interrupted(f, offset=offset)
    c.svm('S', at=-1, known=BEYOND)
    c.known = c.offset
    c.mirror('A', at=0, ack=0)
    for n in range(2):
        c.svm('S', at=-1)
    c.mirror('SA', at=-1, ack=0)
    c.svm('A')
    c.talk()
    f.wait_stats(learnt=1)


@case('secondary', each=CLOSE)
def f1_active_open_interrupted_syn_ack(f, offset):
    """The server repeats its SYN-ACK before it answers the SYN, whose answer is then an ACK like any other."""
    c = interrupted(f, offset=offset)
    c.known = c.offset
    c.mirror('SA', ack=0)
    c.mirror('A', ack=0)
    c.svm('A')
    c.talk()
    f.wait_stats(learnt=1)


@case('secondary', each={'accepted': 'SA', 'refused': 'RA'})
def f1_active_open_interrupted_unheard(f, answer):
    """PVM's SYN never arrived: the server answers the moved one."""
    c = interrupted(f, offset=BEYOND)
    c.known = c.offset
    if answer == 'RA':
        c.mirror('RA', at=0, ack=0)
        return
    c.mirror('SA', ack=0)
    c.svm('A')
    c.talk()
    c.svm('FA')
    c.mirror('FA')
    c.svm('A')


@case('secondary')
def f1_active_open_interrupted_older_connection(f):
    """The server's ACK is of a connection that is over; the guest resets that, as it would alone, and tries again."""
    c = interrupted(f)
    c.mirror('A', at=0, ack=0, known=c.offset)
    c.svm('S', at=-1, known=c.offset)
    c.mirror('A', at=0, ack=0, known=BEYOND)
    c.actual = BEYOND
    c.svm('R', at=0, ack=-1, known=BEYOND)
    c.actual = c.offset
    c.svm('S', at=-1)
    c.pisn = c.sisn
    c.actual = c.known = 0
    c.c_nxt = -1
    c.mirror('SA', ack=0)
    c.svm('A')
    c.talk()


@case('secondary', each={'0': 0, 'behind': -2000, 'ahead': 2000, 'any': 0x9e3779b9})
def f1_active_open_interrupted_clocks(f, clock):
    """W5: the server's ACK echoes PVM's clock. SVM would reset the server's handshake for an echo that is not its own,
    and the server would take SVM's SYN for an old one if that showed a clock behind PVM's."""
    c = stamped(f, s0=0x10000000 + clock)
    c.say(0, 'S')
    f.fail_over()
    c.say(1000, 'S', at=-1, known=BEYOND)
    c.known = c.offset
    c.off = (c.s0 + 1000 - c.p0) & M32
    c.hear(1001, 0, at=0, ack=0)
    c.say(3000, 'S', at=-1)
    c.off = (c.s0 + 3000 - c.p0) & M32
    c.hear(3001, 0, 'SA', at=-1, ack=0)
    c.say(3002)
    c.hear(3003, 2, 'PA', 100)
    c.say(3004, 'PA', 100)


@case('secondary')
def f1_active_open_interrupted_clock_not_agreed(f):
    """W5: off where the server's SYN-ACK came without timestamps, whatever an ACK before it had."""
    c = stamped(f, s0=0x20000000)
    c.say(0, 'S')
    f.fail_over()
    c.say(1000, 'S', at=-1, known=BEYOND)
    c.known = c.offset
    c.off = (c.s0 + 1000 - c.p0) & M32
    c.hear(1001, 0, at=0, ack=0)
    c.say(3000, 'S', at=-1)
    c.mirror('SA', at=-1, ack=0)
    c.off = None
    c.say(3001)


@case('secondary', each=CLOSE)
def f1_active_open_interrupted_acks_at_once(f, offset):
    """Two moved SYNs, two ACKs: the guest resets the server's handshake and opens a new one, in its own numbers."""
    c = interrupted(f, offset=offset)
    c.svm('S', at=-1, known=BEYOND)
    c.mirror('A', at=0, ack=0, known=c.offset)
    if not c.offset:            # nothing to reset: the number is right
        c.known = 0
        c.mirror('A', at=0, ack=0)
    else:
        c.mirror('A', at=0, ack=0, known=BEYOND)
        c.actual = BEYOND
        c.svm('R', at=0, ack=-1, known=BEYOND)
        c.actual = c.offset
    c.pisn = c.sisn
    c.actual = c.known = 0
    c.svm('S', at=-1)
    c.c_nxt = -1
    c.mirror('SA', ack=0)
    c.svm('A')
    c.talk()


@case('secondary')
def f1_active_open_interrupted_both_open(f):
    """The other end opens, too: the guest's SYN-ACK has the number of its SYN."""
    c = interrupted(f)
    c.mirror('S', at=-1)
    c.known = BEYOND
    c.svm('SA', at=-1)
    c.actual = BEYOND
    c.pisn = (c.sisn - BEYOND) & M32
    c.mirror('SA', at=-1, ack=0)
    c.svm('A')
    c.talk()


@case('secondary')
def f1_active_open_interrupted_given_up(f):
    """The guest tries again from the same port: with what it says then."""
    c = interrupted(f)
    d = f.conn(sport=c.cport, offset=0, cisn=c.cisn)
    for n in range(2):
        d.svm('S', at=-1, known=0)
    d.known = 0
    d.mirror('SA', ack=0)
    d.svm('A')
    d.talk()


@case('secondary')
def f1_active_open_interrupted_error(f):
    """What an error quotes of the moved SYN is the guest's own."""
    c = interrupted(f)
    sent, want = (quote(c, False, base, c.cisn, flags='S', at=-1, data=b'') for base in (c.sisn - BEYOND, c.sisn))
    to_vm(f, c, sent, want, kind=(1, 4) if f.v6 else (3, 3))


@case('secondary')
def f1_active_open_interrupted_signed(f):
    """A signed SYN cannot be moved."""
    c = f.conn()
    signature = options(1, 1, bytes([19, 18]) + b's' * 16)
    c.svm('S', opts=signature)
    f.fail_over()
    c.svm('S', at=-1, opts=signature)


@case('secondary', each={'syn_ack': 'SA', 'syn': 'S'})
def f1_handshake_of_a_client_is_not_moved(f, flags):
    c = f.conn()
    c.mirror('S')
    c.svm(flags)
    f.fail_over()
    c.svm(flags, at=-1)


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

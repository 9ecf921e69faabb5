# SPDX-License-Identifier: GPL-2.0
"""R12: who overtakes whom, and who does not."""

from harness import case, equal


@case()
def r12_retransmission_overtakes(f):
    """What is compared already leaves at once, behind data that waits: else two lossy links lock each other out."""
    c = f.open()
    c.both('PA', 1000)
    p = [c.pvm('A', 1000) for n in range(3)]
    f.held(3)
    c.out(c.pvm('PA', 1000, at=0))
    c.out(c.pvm('PA', 500, at=500))
    f.held(3)
    c.svm('A', 3000)
    c.out(*p)


@case()
def r12_pure_ack_overtakes(f):
    c = f.open()
    p = [c.pvm('A', 1000) for n in range(3)]
    c.client('A', 100)
    c.svm('A', at=0)
    f.held(3)
    c.out(c.pvm('A', at=3000))
    c.out(c.pvm('A', at=0))
    f.held(3)
    c.svm('A', 3000, at=0)
    c.out(*p)


@case()
def r12_ack_that_must_wait_lets_data_pass(f):
    """The other way round: data that may leave behind an ack that may not."""
    c = f.open()
    c.client('A', 100)
    q = c.pvm('A')
    f.held(1)
    p = c.pvm('PA', 50, ack=0)
    c.svm('PA', 50, ack=0)
    c.out(p)
    f.held(1)
    c.svm('A')
    c.out(q)


@case()
def r12_together_in_order(f):
    c = f.open()
    p = [c.pvm('A', 10 + n) for n in range(20)]
    f.held(20)
    c.svm('A', c.p_nxt)
    c.out(*p)


@case()
def r12_partly_in_order(f):
    """Each step of the secondary frees the next ones, in order, with retransmissions and acks between them."""
    c = f.open()
    p = []
    for n in range(10):
        p.append(c.pvm('A', 100))
        c.out(c.pvm('A'))
        if n > 2:
            p.append(c.pvm('A', 100, at=(n - 2) * 100))
    f.wait_stats(held=len(p))
    for n in range(4):
        c.svm('A', 250)
        ready = [x for x in p if x.end <= c.s_nxt]
        p = [x for x in p if x.end > c.s_nxt]
        c.out(*ready)
    equal(p, [], 'what is left')


@case(ip=(4,))
def r12_many_held_leave_in_order(f):
    """More than one round of whoever releases."""
    c = f.open()
    p = [c.pvm('A', 100) for n in range(300)]
    f.wait_stats(held=300)
    c.svm('A', 30000, mss=1448)
    c.out(*p)


@case(each={'commit': 'commit', 'bypass': 'bypass'}, ip=(4,))
def r12_flush_in_order(f, how):
    """Everything held leaves, each connection's packets in its order, and all of them in the guest's."""
    conns = [f.open() for n in range(5)]
    p = []
    for n in range(60):
        for c in conns:
            p.append(c.pvm('A', 50))
    f.wait_stats(held=300)
    f.expect_nothing('lan')
    if how == 'commit':
        f.checkpoint()
    else:
        f.failover()
    f.wait_stats(held=0, released=300 + len(conns))
    f.wait_for(lambda: len(f.ports['lan'].queue) >= 300 or None, 'all 300')
    for c in conns:
        mine = [x for x in f.ports['lan'].queue if x.dport == c.cport]
        equal([x.raw for x in mine], [x.raw for x in p if x.raw in {y.raw for y in mine}], 'order of one connection')
    f.expect_order('lan', *p)


@case()
def r12_new_packets_do_not_overtake_a_flush(f):
    """What the guest says while held packets leave comes after them."""
    c = f.open()
    p = [c.pvm('A', 100) for n in range(200)]
    f.wait_stats(held=200)
    f.failover()
    p += [c.pvm('A', 100) for n in range(50)]
    c.out(*p)


@case()
def r12_connections_do_not_wait_for_each_other(f):
    conns = [f.open() for n in range(10)]
    p = [c.pvm('PA', 100) for c in conns]
    f.held(10)
    for n in reversed(range(10)):
        conns[n].svm('PA', 100)
        conns[n].out(p[n])

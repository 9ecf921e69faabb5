# SPDX-License-Identifier: GPL-2.0
"""R10: limits are reached: what is held stays, what is dropped is counted, nobody else is touched, and it ends by itself."""

import harness
from dgram import Talk
from harness import Port, case, check, equal, run

PACKETS = 200


def second_pair(f):
    """Another guest of this host, on bridges of its own: its ports are lan2, pv2 and ps2."""
    f.spoilt = True
    ends = {'lan2': ('lan', 'lan1', 'up2'), 'pv2': ('pv', 'pv1', 'vm2'), 'ps2': ('ps', 'ps1', 'peer2')}
    run('ip', '-n', f.host, '-batch', '-', stdin='\n'.join(
        ['link add dev %s mtu 9000 type veth peer name %s mtu 9000 netns %s' % (dev, end, ns)
         for ns, end, dev in ends.values()] +
        f.bridge('br2', 'up2', 'vm2') + f.bridge('brp2', 'peer2')))
    for ns, end, _ in ends.values():
        f.set_up(ns, end)
    harness.until(lambda: run('bridge', '-n', f.host, 'link', 'show').stdout.count('state forwarding') == 6,
                  'all ports forward')
    for name, (ns, end, _) in ends.items():
        f.ports[name] = Port(name, ns, end)
    f.poller = None
    f.pump(0)
    for p in f.ports.values():
        p.queue.clear()
    f.nl.call('pair_add', pair='q', role='primary', vm='vm2', peer='peer2', timeout=30000)
    f.pump(0)
    f.events = [e for e in f.events if e.get('pair') != 'q']


def other_pair_goes_on(f, t):
    """What the second guest says leaves as soon as its secondary has said it."""
    for n in range(3):
        frame = t.frame(b'the other pair %d' % n)
        f.ports['pv2'].send(frame.raw)
        f.ports['ps2'].send(t.frame(b'the other pair %d' % n, ttl=1).raw)
        f.expect('lan2', frame)


def within(f, **caps):
    s = f.stats()
    for name, cap in caps.items():
        check(s[name] <= cap, '%s is %d, the limit %d', name, s[name], cap)
    return s


def told_once(f, e):
    """One event, however much is dropped."""
    f.pump(0)
    equal([x for x in f.events if x['event'] == 'miscompare_ntf' and x != e], [], 'more events')
    f.again(e)


@case(ip=(4,), max_flows=64, min_interval=500)
def r10_flood_of_flows(f):
    """The guest begins hundreds of flows and the secondary is dead: as many as there may be are held, the lost datagrams equal
    the counter; an older connection and another pair go on; with a commit all is well."""
    f.allow |= {'overflow', 'flows_refused'}
    second_pair(f)
    other = Talk(f)
    c = f.open()
    c.request()
    flood = [Talk(f) for _ in range(PACKETS)]
    frames = [t.pvm(b'flood') for t in flood]
    e = f.expect_event('miscompare', pair='p', reason='overflow')
    f.wait_stats(held=63, overflow=PACKETS - 63, flows_refused=PACKETS - 63, flows=64)
    within(f, flows=64)
    c.both('PA', 100)
    other_pair_goes_on(f, other)
    told_once(f, e)
    f.begin()
    f.commit()
    f.expect_order('lan', *frames[:63])
    equal(PACKETS - 63, f.count('overflow'), 'lost')
    c.both('PA', 100)
    # Where the table is full, those that hold nothing go with the next scan.
    harness.until(lambda: f.count('flows') < 32, 'there is room again', 3 * harness.LIMIT)
    flood[-1].both(b'again')
    f.nl.call('pair_del', pair='q')


@case(max_bytes=300000, min_interval=500)
def r10_dead_secondary(f):
    """A download goes on until the limit and then stands still; the client loses no byte of it, whatever was dropped."""
    f.allow |= {'overflow'}
    c, d = f.open(), f.open()
    c.request()
    d.request()
    sent = []
    while not f.count('overflow'):
        for _ in range(20):
            sent.append(c.pvm('A', 1400))
        f.wait_stats(primary_packets=4 + len(sent))
    e = f.expect_event('miscompare', reason='overflow')
    s = within(f, held_bytes=300000)
    held = s['held']
    equal(held + s['overflow'], len(sent), 'held and dropped')
    told_once(f, e)
    f.expect_nothing('lan')
    f.begin()
    f.commit()
    c.out(*sent[:held])
    # The guest repeats what was dropped, as TCP does.
    c.s_nxt = c.p_nxt = 1400 * held
    for _ in range(len(sent) - held):
        c.both('A', 1400)
    equal(c.c_ack, 1400 * len(sent), 'bytes that the client has')
    d.both('PA', 100)
    f.wait_stats(held=0)


@case(max_bytes=300000, min_interval=500)
def r10_secondary_that_only_talks(f):
    """The secondary's packets are refused first: the guest's own limit is not touched, and other connections go on."""
    f.allow |= {'secondary_refused'}
    c, d = f.open(), f.open()
    c.request()
    d.request()
    n = 0
    while not f.count('secondary_refused'):
        for _ in range(20):
            c.svm('A', 1400)
            n += 1
        f.wait_stats(secondary_packets=4 + n)
    e = f.expect_event('miscompare', reason='overflow')
    s = within(f, queued_bytes=300000)
    equal(s['queued'] + s['secondary_refused'], n, 'queued and refused')
    told_once(f, e)
    # An acknowledgment is not kept, so it needs no room; nor does what the primary has said before.
    p = d.pvm('PA', 100)
    f.held(1)
    d.svm('PA', 100)
    d.out(p)
    queued = s['queued']
    for k in range(queued):
        c.out(c.pvm('A', 1400, at=1400 * k))
    f.wait_stats(queued=0)
    c.s_nxt = c.p_nxt
    for _ in range(n - queued):
        c.both('A', 1400)
    f.again(e)
    equal(f.count('overflow'), 0, 'overflow')

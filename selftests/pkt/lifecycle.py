# SPDX-License-Identifier: GPL-2.0
"""What is held when something goes away: ports, bridges, namespaces, pairs, modules.

The runner looks at the kernel's log after each case; slab counts are looked at here."""

import contextlib
import functools
import json
import os
import time

import harness
from harness import LIMIT, case, check, equal, insmod, module_loaded, rmmod, run, until
from packet import ETH_QINQ, ETH_VLAN

TAGS = {'tagged': ((ETH_VLAN, 5),), 'qinq': ((ETH_QINQ, 100), (ETH_VLAN, 7))}


def hold_some(f, n=5):
    """Packets held in two connections; the secondary's waiting in a third."""
    c, d, e = f.open(), f.open(), f.open()
    p = [x.pvm('PA', 100) for x in (c, d) for _ in range(n)]
    e.svm('PA', 500)
    f.wait_stats(held=2 * n, queued=1)
    f.expect_nothing('lan')
    if os.path.exists('/proc/slabinfo'):
        equal(sorted(name for name, n in slabs().items() if n), ['kcolo_flow', 'kcolo_held'], 'slab caches in use')
    return p


@contextlib.contextmanager
def tells(what, n=10):
    """The kernel's log says what went away, and how much with it."""
    log, said = harness.Kmsg(), []
    line = 'kcolo: pair p: %s goes away, %d held packets are dropped' % (what, n)

    def heard():
        said.extend(log.news())
        return line in said
    try:
        yield
        until(heard, lambda: '%r in %r' % (line, said), 6 * LIMIT)
    finally:
        os.close(log.fd)


def slabs():
    """Objects in the module's slab caches."""
    out = {}
    try:
        with open('/proc/slabinfo') as table:
            names = [line.split()[0] for line in table if line.startswith('kcolo')]
        for name in names:
            # What lies in a CPU's own slab counts as in use, until it is flushed.
            with contextlib.suppress(OSError), open('/sys/kernel/slab/%s/shrink' % name, 'w') as f:
                f.write('1')
        with open('/proc/slabinfo') as table:
            out = {line.split()[0]: int(line.split()[1]) for line in table if line.startswith('kcolo')}
    except OSError:
        pass
    return out


@functools.cache
def quarantined():
    """KASAN keeps what is freed for a while; then only the end of a cache tells that it was empty."""
    with open('/proc/kallsyms') as symbols:
        return any(' kasan_report\n' in line for line in symbols)


def no_objects(limit=LIMIT):
    if not quarantined():
        until(lambda: not any(slabs().values()), lambda: 'slab caches empty: %r' % slabs(), limit)


def unloads(f):
    """The module goes, and comes again."""
    f.hang_up()
    until(lambda: open('/sys/module/kcolo/refcnt').read().strip() == '0', 'no reference to the module', 6 * LIMIT)
    rmmod()
    check(not slabs(), 'slab caches are left: %r', slabs())
    insmod()


@case(ip=(4,))
def l_pair_del_force_with_packets_held(f):
    hold_some(f)
    t = time.monotonic()
    with tells('the pair'):
        f.cli('pair', 'del', 'p', 'force')
    check(time.monotonic() - t < 1 * harness.SCALE, 'it took %.2f s', time.monotonic() - t)
    f.expect_event('pair_del', pair='p')
    f.expect_nothing('lan')
    no_objects()
    # Without a pair the guest talks to the client, and nobody is in between.
    c = f.conn()
    c.client('S')
    c.out(c.pvm('SA'))
    f.add()
    f.open().both('PA', 10)


@case(ip=(4,))
def l_rmmod_with_packets_held(f):
    hold_some(f)
    f.hang_up()
    t = time.monotonic()
    with tells('the pair'):
        rmmod()
    check(time.monotonic() - t < 2 * harness.SCALE, 'it took %.2f s', time.monotonic() - t)
    f.expect_nothing('lan')
    check(not slabs(), 'slab caches are left: %r', slabs())
    c = f.conn()
    c.client('S')
    c.out(c.pvm('SA'))
    insmod()
    f.call_up()
    f.add()
    f.open().both('PA', 10)


@case(ip=(4,))
def l_rmmod_br_netfilter_with_packets_held(f):
    """Nothing pins it, and what we hold would go on into its code."""
    hold_some(f)
    with tells('br_netfilter'):
        rmmod('br_netfilter')
    f.wait_stats(held=0)
    f.pump(harness.QUIET)
    f.ports['lan'].queue.clear()
    s = f.stats()
    equal(s['hold'], s['released'] + s['flushed'] + s['dropped_reset'])
    f.allow.add('flushed')
    run('modprobe', 'br_netfilter')
    f.pump(0)
    f.events.clear()
    f.spoilt = True


@case(ip=(4,))
def l_vm_port_deleted_with_packets_held(f):
    hold_some(f)
    with tells('vm'):
        gone(f, 'vm', expect_event=True)


@case(ip=(4,))
def l_peer_port_deleted_with_packets_held(f):
    hold_some(f)
    gone(f, 'peer', expect_event=True)


@case(ip=(4,))
def l_bridge_deleted_with_packets_held(f):
    hold_some(f)
    with tells('br0'):
        gone(f, 'br0')


@case(ip=(4,), each=TAGS)
def l_bridge_deleted_with_tagged_packets_held(f, *tags):
    f.tag(*tags)
    hold_some(f)
    with tells('br0'):
        gone(f, 'br0')


@case(ip=(4,), each=TAGS)
def l_bridge_down_with_tagged_packets_held(f, *tags):
    """As those without a tag they are gone, and not let out when the bridge is up again."""
    f.tag(*tags)
    hold_some(f)
    f.allow.add('flushed')
    f.expect_queued = None
    with tells('br0'):
        f.set_up(f.host, 'br0', False)
    f.wait_stats(held=0, flushed=10)
    f.set_up(f.host, 'br0', True)
    until(f.forwarding, 'all ports forward')
    f.expect_nothing('lan')
    f.events.clear()
    f.open().both('PA', 10)


@case(ip=(4,))
def l_other_bridge_deleted(f):
    hold_some(f)
    gone(f, 'brp')


def gone(f, dev, expect_event=False):
    """Delete a device: at once, with a word about it, and with nothing left behind."""
    t = time.monotonic()
    run('ip', '-n', f.host, 'link', 'del', 'dev', dev)
    took = time.monotonic() - t
    check(took < 1.5 * harness.SCALE, 'deleting %s took %.2f s', dev, took)
    if expect_event:
        f.again(f.expect_event('pair', cause='port-gone'))
    f.pump(harness.QUIET)
    if f.exists():
        s = f.stats()
        equal(s['hold'], s['released'] + s['flushed'] + s['dropped_reset'] + s['held'])
        f.cli('pair', 'del', 'p', 'force')
    no_objects()
    unloads(f)
    f.destroy()


@case(ip=(4,))
def l_vm_port_leaves_the_bridge(f):
    """Taken out of its bridge and put back, with packets held."""
    hold_some(f)
    f.expect_held = f.expect_queued = None
    f.allow.add('flushed')
    run('ip', '-n', f.host, 'link', 'set', 'dev', 'vm', 'nomaster')
    run('ip', '-n', f.host, 'link', 'set', 'dev', 'vm', 'master', 'br0')
    until(f.forwarding, 'all ports forward')
    f.pump(harness.QUIET)
    for p in f.ports.values():
        p.queue.clear()
    f.events.clear()
    if f.exists():
        f.open().both('PA', 10)
        f.failover()
        f.pump(harness.QUIET)
        f.ports['lan'].queue.clear()
        equal(f.stats()['held'], 0)


@case(ip=(4,))
def l_bridge_down_and_up(f):
    hold_some(f)
    f.expect_held = f.expect_queued = None
    f.allow.add('flushed')
    f.set_up(f.host, 'br0', False)
    f.set_up(f.host, 'br0', True)
    until(f.forwarding, 'all ports forward')
    f.pump(harness.QUIET)
    for p in f.ports.values():
        p.queue.clear()
    f.events.clear()
    f.open().both('PA', 10)
    f.failover()
    f.pump(harness.QUIET)
    f.ports['lan'].queue.clear()
    equal(f.stats()['held'], 0)


@case(ip=(4,))
def l_ports_renamed(f):
    """The pair says their new names, and goes on."""
    def rename(port, name):
        f.set_up(f.host, port, False)
        run('ip', '-n', f.host, 'link', 'set', 'dev', port, 'name', name)
        f.set_up(f.host, name, True)
        until(f.forwarding, 'all ports forward')

    def shown():
        pair, = json.loads(f.cli('-j', 'pair', 'show', 'p').stdout)
        return pair['vm'], pair['peer']
    ports = ('vm', 'peer')
    for port in ports:
        rename(port, port + 'new')
    try:
        equal(shown(), ('vmnew', 'peernew'))
        f.open().both('PA', 10)
    finally:
        for port in ports:
            rename(port + 'new', port)
    equal(shown(), ports)
    f.open().both('PA', 10)


@case(ip=(4,))
def l_namespace_deleted_with_packets_held(f):
    hold_some(f)
    f.hang_up()
    f.close_ports()
    with tells('br0'):
        run('ip', 'netns', 'del', f.host)
    no_objects(6 * LIMIT)
    unloads(f)
    f.destroy()


@case(ip=(4,))
def l_namespace_and_module_deleted_with_packets_held(f):
    """At the same time: the end of the one must not wait for packets that the other one holds."""
    for n in range(8):
        if n:
            f.build()
            f.call_up()
            f.add()
        hold_some(f)
        f.hang_up()
        f.close_ports()
        run('ip', 'netns', 'del', f.host)
        time.sleep(n * 0.004)
        rmmod()
        insmod()
    f.destroy()


@case(ip=(4,), timeout=40, scan=10)
def l_peer_port_down(f):
    """The link to the secondary is cut: a request, no answer, bypass; all that was held leaves."""
    c = f.open()
    p = [c.pvm('PA', 100) for n in range(3)]
    f.held(3)
    f.set_up(f.host, 'peer', False)
    try:
        c.out(*p)
        equal(f.state(), 'bypass')
        c.out(c.pvm('PA', 10))
    finally:
        f.set_up(f.host, 'peer', True)
        until(f.forwarding, 'all ports forward')
        f.pump(0)
        f.events.clear()


@case(ip=(4,), pair=False)
def l_insmod_rmmod_100_times(f):
    f.hang_up()
    for n in range(100):
        rmmod()
        check(not slabs(), 'slab caches are left: %r', slabs())
        insmod()


@case(ip=(4,))
def l_pairs_come_and_go_under_traffic(f):
    """Ten times a pair with packets held is deleted, every other time with the module."""
    for n in range(10):
        c, d = f.open(), f.open()
        p = [x.pvm('PA', 100) for x in (c, d) for _ in range(5)]
        c.svm('PA', 450)
        c.out(*p[:4])
        d.svm('PA', b'?' * 100)
        f.wait_stats(held=6)
        if n & 1:
            f.hang_up()
            rmmod()
            insmod()
            f.call_up()
        else:
            f.cli('pair', 'del', 'p', 'force')
        f.add()
        f.pump(0)
        f.events.clear()
    f.expect_nothing('lan')


def hooks(ns):
    """The module's netfilter hooks in a namespace; None where the kernel does not tell."""
    if run('modprobe', 'nfnetlink_hook', ok=False).returncode:
        return None
    with harness.netns(ns):
        return [line for line in run('nft', 'list', 'hooks').stdout.splitlines() if '[kcolo]' in line]


@case(ip=(4,), pair=False)
def l_no_hooks_before_the_first_pair(f):
    """Other people's packets meet no hook, and are not tracked, because the module is there; neither in another
    namespace than the pair's, nor when it is gone."""
    def pays_nothing(ns):
        check(not hooks(ns), 'hooks in %s: %r', ns, hooks(ns))
    with harness.netns(f.host):
        def count():
            return int(open('/proc/sys/net/netfilter/nf_conntrack_count').read())
        before = count()
        c = f.conn()
        c.client('S')
        c.out(c.pvm('SA'))
        c.client('A')
        equal(count(), before, 'tracked connections')
    pays_nothing(f.host)
    f.add()
    check(hooks(f.host) is None or len(hooks(f.host)) >= 11, 'hooks of a pair: %r', hooks(f.host))
    pays_nothing('lan')
    f.cli('pair', 'del', 'p')
    pays_nothing(f.host)


@case('secondary', ip=(4,))
def s5_module_stays_while_connections_are_translated(f):
    """Their numbers would change under them: rmmod is refused, and says so by its exit status."""
    c = f.open()
    c.talk()
    rmmod(busy=True)
    check(module_loaded(), 'the module went')
    c.talk()
    f.cli('pair', 'del', 'p', 'force')
    unloads(f)
    f.call_up()
    f.add()


@case()
def c4_module_reloaded_on_the_primary(f):
    """What was held is lost, as by a cable, and repeated; nothing is compared until the next commit, then all is."""
    c = f.open()
    c.both('PA', 10)
    c.pvm('PA', 100)
    f.held(1)
    f.hang_up()
    rmmod()
    insmod()
    f.call_up()
    f.add()
    c.out(c.pvm('PA', 100, at=c.p_nxt - 100))
    f.wait_stats(uncompared_midstream=1)
    f.checkpoint()
    c.s_nxt = c.p_nxt
    p = c.pvm('PA', 100)
    f.held(1)
    c.svm('PA', 100)
    c.out(p)
    p = c.pvm('PA', b'abc')
    c.svm('PA', b'abd')
    f.again(f.expect_event('miscompare', reason='payload', **c.key()))
    f.flush(p)


@case('secondary')
def c4_module_reloaded_on_the_secondary(f):
    """Its pair must go first, which says what that costs: until the next commit nobody translates the connection."""
    c = f.open()
    c.talk()
    f.cli('pair', 'del', 'p', 'force')
    unloads(f)
    f.call_up()
    f.add()
    f.begin()
    f.commit()
    c.actual = c.known = 0
    c.s_nxt = c.p_nxt = max(c.s_nxt, c.p_nxt)
    c.talk()


@case('secondary', ip=(4,))
def l_secondary_ports_go_away(f):
    """With frames waiting in a checkpoint."""
    c = f.open()
    f.begin()
    for n in range(5):
        c.mirror('PA', 10, deliver=False)
    f.wait_stats(waited=5)
    with tells('vm', 5):
        gone(f, 'vm', expect_event=True)


@case('secondary', ip=(4,))
def l_secondary_pair_del_in_a_checkpoint(f):
    c = f.open()
    f.begin()
    for n in range(5):
        c.mirror('PA', 10, deliver=False)
    f.cli('pair', 'del', 'p', 'force')
    f.pump(harness.QUIET)
    f.ports['sv'].queue.clear()
    no_objects()
    unloads(f)
    f.call_up()
    f.add()


@case('secondary', ip=(4,))
def l_secondary_namespace_deleted(f):
    c = f.open()
    c.talk()
    f.begin()
    c.mirror('PA', 10, deliver=False)
    f.hang_up()
    f.close_ports()
    run('ip', 'netns', 'del', f.host)
    no_objects(6 * LIMIT)
    unloads(f)
    f.destroy()


@case('secondary', ip=(4,))
def l_secondary_rmmod_br_netfilter(f):
    c = f.open()
    f.begin()
    for n in range(5):
        c.mirror('PA', 10, deliver=False)
    f.wait_stats(waited=5)
    rmmod('br_netfilter')
    f.pump(harness.QUIET)
    run('modprobe', 'br_netfilter')
    for p in f.ports.values():
        p.queue.clear()
    f.allow |= {'wait_flushed'}
    f.events.clear()
    f.abort()
    f.spoilt = True

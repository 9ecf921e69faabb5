# SPDX-License-Identifier: GPL-2.0
"""The netlink family and the tool: what is refused, how that is said, and that nothing changes by it."""

import errno
import json
import os
import subprocess

import genl
import harness
from genl import Genl, Refused, attr
from harness import Fail, case, check, equal, netns, run


def refused(f, call, number=None, **kw):
    """A raw request fails with a sentence, and changes nothing."""
    before = f.nl.call('pair_get', dump=True)
    try:
        call()
    except Refused as e:
        check(number is None or e.errno in (number if isinstance(number, tuple) else (number,)), 'refused with %s', e)
        check(e.text and len(e.text) > 5, 'refused without a sentence: %s', e)
        equal(f.nl.call('pair_get', dump=True), before, 'pairs afterwards')
        return e
    raise Fail('not refused')


def extra_devices(f, n):
    run('ip', '-n', f.host, '-batch', '-', stdin=''.join(
        'link add dev x%d type dummy\nlink set dev x%d master br0\n' % (i, i) for i in range(n)))


def drop_devices(f, n):
    run('ip', '-n', f.host, '-batch', '-', stdin=''.join('link del dev x%d\n' % i for i in range(n)))


@case(ip=(4,), pair=False)
def nl_unknown_device(f):
    for vm, peer in ('nowhere', 'peer'), ('vm', 'nowhere'):
        refused(f, lambda: f.nl.call('pair_add', pair='q', role='primary', vm=vm, peer=peer), errno.ENODEV)
        p = f.add('q', vm=vm, peer=peer, rc=2)
        check('nowhere' in p.stderr or 'device' in p.stderr, 'it says: %s', p.stderr)


@case(ip=(4,))
def nl_device_used_already(f):
    extra_devices(f, 1)
    try:
        for vm, peer in ('vm', 'x0'), ('x0', 'peer'), ('peer', 'x0'), ('x0', 'vm'):
            refused(f, lambda: f.nl.call('pair_add', pair='q', role='primary', vm=vm, peer=peer),
                    (errno.EBUSY, errno.EEXIST))
            f.add('q', vm=vm, peer=peer, rc=2)
    finally:
        drop_devices(f, 1)


@case(ip=(4,), pair=False)
def nl_vm_and_peer_are_one(f):
    refused(f, lambda: f.nl.call('pair_add', pair='q', role='primary', vm='vm', peer='vm'))
    f.add('q', vm='vm', peer='vm', rc=2)


@case(ip=(4,))
def nl_name_used_already(f):
    extra_devices(f, 2)
    try:
        refused(f, lambda: f.nl.call('pair_add', pair='p', role='primary', vm='x0', peer='x1'), errno.EEXIST)
        f.add('p', vm='x0', peer='x1', rc=2)
    finally:
        drop_devices(f, 2)


@case(ip=(4,), pair=False)
def nl_missing_attribute(f):
    whole = dict(pair='q', role='primary', vm='vm', peer='peer')
    for name in whole:
        part = {k: v for k, v in whole.items() if k != name}
        refused(f, lambda: f.nl.call('pair_add', **part), (errno.EINVAL, errno.ENODATA))
    for cmd in 'pair_set', 'pair_del', 'checkpoint', 'failover', 'stats_get':
        refused(f, lambda: f.nl.call(cmd), (errno.EINVAL, errno.ENODATA))


@case(ip=(4,))
def nl_missing_action(f):
    refused(f, lambda: f.nl.call('checkpoint', pair='p'), (errno.EINVAL, errno.ENODATA))
    equal(f.state(), 'running')


@case(ip=(4,))
def nl_wrong_type(f):
    for raw in (attr(genl.A['timeout'], b'\1'), attr(genl.A['timeout'], b'\1' * 3), attr(genl.A['role'], b'')):
        refused(f, lambda: f.nl.call('pair_set', pair='p', raw=raw), (errno.EINVAL, errno.ERANGE))
    refused(f, lambda: f.nl.call('pair_del', raw=attr(genl.A['pair'], b'p')), errno.EINVAL)
    refused(f, lambda: f.nl.call('pair_del', raw=attr(genl.A['pair'], b'\0')), None)
    refused(f, lambda: f.nl.call('pair_get', raw=attr(genl.A['pair'], b'')), None)
    refused(f, lambda: f.nl.call('pair_set', pair='p', raw=attr(200, b'\0\0\0\0')), errno.EINVAL)
    refused(f, lambda: f.nl.call('pair_set', pair='p', raw=b'\1\0\1\0'), errno.EINVAL)


RANGES = dict(timeout=(10, 600000), scan=(10, 600000), max_packets=(1, 1 << 20), max_bytes=(65536, 1 << 30),
              max_flows=(1, 1 << 22), min_interval=(0, 600000))


@case(ip=(4,))
def nl_out_of_range(f):
    for name, (low, high) in RANGES.items():
        for value in ([low - 1] if low else []) + [high + 1, 2**32 - 1]:
            refused(f, lambda: f.nl.call('pair_set', pair='p', **{name: value}), (errno.ERANGE, errno.EINVAL))
            f.cli('pair', 'set', 'p', name.replace('_', '-'), value, rc=2)
        for value in low, high:
            f.nl.call('pair_set', pair='p', **{name: value})
            equal(f.pair()[name], value, name)
        f.nl.call('pair_set', pair='p', **{name: max(low, 3000)})
    for name, value in ('role', 2), ('mode', 2), ('mode', 2**32 - 1):
        refused(f, lambda: f.nl.call('pair_set', pair='p', **{name: value}), (errno.ERANGE, errno.EINVAL))
    refused(f, lambda: f.nl.call('checkpoint', pair='p', action=3), (errno.ERANGE, errno.EINVAL))


@case(ip=(4,), pair=False)
def nl_names(f):
    longest = 'n' * 31
    refused(f, lambda: f.nl.call('pair_add', pair=longest + 'n', role='primary', vm='vm', peer='peer'),
            (errno.ERANGE, errno.EINVAL))
    refused(f, lambda: f.nl.call('pair_add', pair='q', role='primary', vm='v' * 16, peer='peer'),
            (errno.ERANGE, errno.EINVAL))
    f.add(longest)
    equal(f.pair(longest)['vm'], 'vm')
    f.cli('pair', 'del', longest)


@case(ip=(4,))
def nl_unknown_pair(f):
    calls = dict(pair_set={}, pair_del={}, pair_get={}, checkpoint=dict(action='begin'), failover={}, stats_get={})
    for cmd, fields in calls.items():
        refused(f, lambda: f.nl.call(cmd, pair='nobody', **fields), errno.ENOENT)
    for cmd in 'flow_get', 'pair_get', 'stats_get':
        refused(f, lambda: f.nl.call(cmd, dump=True, pair='nobody'), errno.ENOENT)
    for args in (('pair', 'del', 'nobody'), ('pair', 'show', 'nobody'), ('pair', 'set', 'nobody', 'timeout', 100),
                 ('pair', 'checkpoint', 'nobody', 'begin'), ('pair', 'failover', 'nobody'),
                 ('stats', 'show', 'pair', 'nobody'), ('flow', 'show', 'pair', 'nobody')):
        f.cli(*args, rc=2)


@case(ip=(4,))
def nl_role_does_not_change(f):
    refused(f, lambda: f.nl.call('pair_set', pair='p', role='secondary'))
    equal(f.pair()['role'], 'primary')


@case(ip=(4,))
def nl_unknown_command(f):
    f.nl.resolve()
    for cmd in 0, 99, genl.CMD['miscompare_ntf'], genl.CMD['pair_ntf']:
        try:
            f.nl.request(f.nl.family, cmd, genl.encode('pair', 'p'))
            raise Fail('command %d not refused' % cmd)
        except Refused as e:
            equal(e.errno, errno.EOPNOTSUPP)


def unprivileged(f, script):
    """Run python code as nobody, in the host's namespace. What it imports nobody may not be able to read."""
    me = os.path.dirname(os.path.abspath(harness.__file__))
    head = """import os, sys
sys.path.insert(0, %r)
from genl import *
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
n = Genl()
""" % me
    with netns(f.host):
        p = subprocess.run(['/usr/bin/python3', '-B', '-c', head + script], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
    equal(p.returncode, 0, 'exit status (%s)' % p.stdout.strip())
    return p.stdout.split()


@case(ip=(4,))
def nl_no_permission(f):
    before = f.nl.call('pair_get', dump=True)
    got = unprivileged(f, '''
for cmd, dump, fields in (('pair_get', 0, {}), ('pair_get', 1, {}), ('stats_get', 0, {}), ('stats_get', 1, {}),
                          ('flow_get', 1, {}), ('pair_set', 0, {'timeout': 100}), ('pair_del', 0, {}),
                          ('checkpoint', 0, {'action': 'begin'}), ('failover', 0, {}), ('rule_get', 1, {}),
                          ('rule_add', 0, {'rule_action': 'bypass'}), ('rule_del', 0, {'rule_id': 1}),
                          ('flow_restore', 0, {'offset': 1}),
                          ('pair_add', 0, dict(role='primary', vm='vm', peer='peer'))):
    try:
        n.call(cmd, dump=dump, pair='p', **fields)
        print(cmd, 0)
    except Refused as e:
        print(cmd, e.errno)
for g in n.groups:
    try:
        n.join(g)
        print(g, 0)
    except OSError as e:
        print(g, e.errno)
''')
    for what, number in zip(got[::2], got[1::2]):
        equal(int(number), errno.EPERM, what)
    equal(len(got), 2 * (14 + 4))
    equal(f.nl.call('pair_get', dump=True), before)
    with netns(f.host):
        p = run('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'kcolo', 'pair', 'del', 'p', ok=False)
    equal(p.returncode, 2, 'exit status')
    check(p.stderr.strip(), 'no word')


@case(ip=(4,), pair=False)
def s4_root_of_a_user_namespace(f):
    """In its own network namespace it may have pairs; it cannot see or touch others'."""
    f.add()
    p = run('unshare', '-Urn', 'sh', '-c', '''set -e
        ip link add br0 type bridge
        ip link add vm type dummy; ip link add peer type dummy
        ip link add br1 type bridge
        ip link set vm master br0; ip link set peer master br1
        kcolo pair add mine role primary vm vm peer peer
        kcolo -j pair show
        ! kcolo pair show p 2>/dev/null
        kcolo pair del mine''')
    equal([x['pair'] if 'pair' in x else x['name'] for x in json.loads(p.stdout)], ['mine'])
    equal(f.state(), 'running')


@case(ip=(4,))
def nl_settings(f):
    """What is set is shown, by netlink and by the tool."""
    f.cli('pair', 'set', 'p', 'timeout', 1234, 'scan', 99, 'max-packets', 77, 'max-bytes', 70000, 'max-flows', 55,
          'min-interval', 44)
    want = dict(pair='p', role='primary', vm='vm', peer='peer', mode='hold', timeout=1234, scan=99, max_packets=77,
                max_bytes=70000, max_flows=55, min_interval=44, state='running', epoch=0)
    got = f.pair()
    for k, v in want.items():
        equal(got.get(k), v, k)
    f.expect_event('pair')


@case(ip=(4,), pair=False)
def nl_defaults(f):
    f.nl.call('pair_add', pair='p', role='primary', vm='vm', peer='peer')
    got = f.pair()
    equal((got['timeout'], got['scan'], got['mode']), (3000, 1000, 'hold'))


@case(ip=(4,))
def nl_other_namespaces_see_nothing(f):
    with netns('lan'):
        n = Genl()
    try:
        equal(n.call('pair_get', dump=True), [])
        equal(n.call('flow_get', dump=True), [])
        try:
            n.call('pair_get', pair='p')
            raise Fail('seen')
        except Refused as e:
            equal(e.errno, errno.ENOENT)
    finally:
        n.close()


@case(ip=(4,))
def nl_same_name_in_two_namespaces(f):
    """Two pairs that know nothing of each other; one goes with its namespace, the other one stays."""
    run('ip', 'netns', 'add', 'twin')
    try:
        run('ip', '-n', 'twin', '-batch', '-', stdin='''link add br0 type bridge
            link add brp type bridge
            link add vm type dummy
            link add peer type dummy
            link set vm master br0
            link set peer master brp''')
        with netns('twin'):
            other = Genl()
        other.call('pair_add', pair='p', role='primary', vm='vm', peer='peer', timeout=1234)
        other.call('rule_add', pair='p', rule_action='bypass')
        f.open().both('PA', 10)
        for n in range(2):
            equal((f.pair()['timeout'], other.call('pair_get', pair='p')[0]['timeout']), (30000, 1234 + n), 'timeouts')
            equal((len(f.flows()), other.call('flow_get', dump=True)), (1, []), 'flows')
            equal((f.nl.call('rule_get', dump=True), len(other.call('rule_get', dump=True))), ([], 1), 'rules')
            equal(other.call('stats_get', pair='p')[0]['stats']['released'], 0, 'released there')
            other.call('pair_set', pair='p', timeout=1235)
            other.call('checkpoint', pair='p', action='begin')
            other.call('checkpoint', pair='p', action='commit', epoch=9)
        other.join()
        f.set(scan=500)
        equal((f.pair()['epoch'], f.state(), other.events()), (0, 'running', []), 'epoch and state here, events there')
        other.close()
    finally:
        run('ip', 'netns', 'del', 'twin')
    f.open().both('PA', 10)
    equal(len(f.nl.call('pair_get', dump=True)), 1, 'pairs')


@case(ip=(4,))
def nl_flow_dump_and_filter(f):
    """More flows than one message holds."""
    conns = []
    for n in range(300):
        f.v6 = bool(n & 1)
        c = f.conn()
        conns.append(c)
        c.client('S')
        p = c.pvm('SA')
        c.svm('SA')
        c.out(p)
    got = f.flows()
    ports = sorted(x['dport'] if x['sport'] == 80 else x['sport'] for x in got)
    equal(ports, sorted(c.cport for c in conns), 'ports')
    for c in conns[:4]:
        equal(c.flow()['offset'], c.offset, 'offset')
        mine = c.flow()
        equal(len(f.flows(sport=mine['sport'], dport=mine['dport'])), 1, 'by ports')
    equal(len(f.flows(src=got[0]['src'])), len([x for x in got if x['src'] == got[0]['src']]), 'by source')
    equal(len(f.flows(proto=6)), 300)
    equal(len(f.flows(proto=17)), 0)
    f.wait_stats(flows=300, flows_opened=300)


@case(ip=(4,))
def nl_address_of_wrong_length(f):
    for name in 'src', 'dst':
        for address in b'', b'\1\2\3', b'\1' * 15, b'\1' * 17:
            refused(f, lambda: f.flows(**{name: address}), (errno.EINVAL, errno.ERANGE))


@case(ip=(4,))
def nl_events_of_a_pairs_life(f):
    f.expect_event('pair', pair='p', role='primary', vm='vm', peer='peer', state='running')
    f.cli('pair', 'set', 'p', 'timeout', 500)
    f.expect_event('pair', pair='p')
    f.failover()
    f.expect_event('pair', pair='p', state='bypass')
    f.cli('pair', 'del', 'p')
    f.expect_event('pair_del', pair='p')


@case(ip=(4,))
def nl_flow_events(f):
    c = f.open()
    f.expect_event('flow', proto=6, **{k: v for k, v in c.key().items() if k in ('pair',)})


@case(max_flows=2)
def nl_max_flows(f):
    """R10: beyond the limit a new connection is refused and counted, and a checkpoint asked for; those that live are
    untouched."""
    f.allow |= {'flows_refused', 'overflow'}
    c, d = f.open(), f.open()
    x = f.conn()
    x.client('S')
    x.pvm('SA')
    e = f.expect_event('miscompare', reason='overflow', **x.key())
    equal((f.count('flows_refused'), f.count('overflow')), (1, 1), 'refused and overflow')
    f.expect_nothing('lan')
    for y in c, d:
        y.both('PA', 10)
    f.again(e)


# --- the tool ---

@case(ip=(4,))
def cli_usage_errors(f):
    for args in (['nonsense'], ['pair', 'nonsense'], ['pair', 'add'], ['pair', 'add', 'q'],
                 ['pair', 'add', 'q', 'role', 'tertiary', 'vm', 'vm', 'peer', 'peer'], ['pair', 'del'],
                 ['pair', 'set', 'p', 'timeout'], ['pair', 'set', 'p', 'timeout', 'soon'],
                 ['pair', 'set', 'p', 'colour', 'red'], ['pair', 'checkpoint', 'p', 'perhaps'], ['pair', 'failover'],
                 ['flow', 'show', 'src', 'nobody'], ['-Z']):
        p = f.cli(*args, rc=1)
        check(p.stderr.strip(), 'no word about %s', args)
    equal(len(f.nl.call('pair_get', dump=True)), 1)


@case(ip=(4,))
def cli_json_tells_what_netlink_tells(f):
    c = f.open()
    c.request()
    c.both('PA', 10)
    p = c.pvm('PA', 10)
    f.held(1)
    pair = json.loads(f.cli('-j', 'pair', 'show', 'p').stdout)
    stats = json.loads(f.cli('-j', 'stats', 'show', 'pair', 'p').stdout)
    flow = json.loads(f.cli('-j', 'flow', 'show', 'pair', 'p').stdout)
    for x in pair, stats, flow:
        check(isinstance(x, list) and len(x) == 1, 'not a list of one: %r', x)
    s = f.stats()
    shown = stats[0].get('stats', stats[0])
    for k, v in s.items():
        if k not in ('idle',):
            equal(shown.get(k), v, k)
    equal(flow[0]['offset'], c.offset, 'offset')
    equal(flow[0]['held'], 1, 'held')
    check('idle_ms' in flow[0], 'no idle_ms in %r', flow[0])
    equal(pair[0]['epoch'], 0)
    c.svm('PA', 10)
    c.out(p)


@case(ip=(4,))
def cli_steps(f):
    """Each command that changes something, as a user types it."""
    c = f.open()
    p = [c.pvm('PA', 10)]
    f.cli('pair', 'checkpoint', 'p', 'begin')
    equal(f.state(), 'checkpoint')
    f.cli('pair', 'checkpoint', 'p', 'abort')
    equal(f.state(), 'running')
    f.cli('pair', 'checkpoint', 'p', 'commit', rc=2)
    f.cli('pair', 'checkpoint', 'p', 'begin')
    f.cli('pair', 'checkpoint', 'p', 'commit', 'epoch', 9)
    f.cli('pair', 'checkpoint', 'p', 'commit', 'epoch', 9)
    c.out(*p)
    equal(f.pair()['epoch'], 9, 'epoch')
    f.cli('pair', 'checkpoint', 'p')
    equal((f.pair()['epoch'], f.state()), (10, 'running'), 'epoch and state')
    f.cli('pair', 'failover', 'p')
    equal(f.state(), 'bypass')
    f.cli('pair', 'set', 'p', 'timeout', 77)
    equal(f.pair()['timeout'], 77, 'timeout')
    f.cli('pair', 'del', 'p')
    check(not f.exists(), 'the pair is still there')
    f.add(timeout=99)
    equal(f.pair()['timeout'], 99, 'timeout')
    f.cli('pair', 'del', 'p', 'force')


@case(ip=(4,))
def cli_help_touches_nothing(f):
    for args in ['help'], ['pair', 'help'], ['flow', 'help'], ['stats', 'help'], ['monitor', 'help'], ['-V']:
        with netns(f.host):
            p = run('kcolo', *args, ok=False)
        check(p.returncode == 0 and (p.stdout + p.stderr).strip(), 'kcolo %s: exit %d, %r', args, p.returncode, p.stderr)

# SPDX-License-Identifier: GPL-2.0
"""VLAN and QinQ tags are part of a flow's key (W1, S1, S3), and what is in them is treated as what is in none.

The bridge shows what has one tag to the IP hooks only if it is told to (bridge-nf-filter-vlan-tagged), and what has two
never.  KCOLO_TEST_TAGS (harness.py) runs all other cases in tags, too; some of them are repeated here."""

import functools
import json

import ack_gate
import checkpoint
import dgram
import failover
import harness
import miscompare
import primary_tcp
import quoted
import restore
import secondary
import tstamp
import window
from dgram import Talk
from fragment import Fragments, pieces
from harness import CASES, Case, case, check, equal, netns, run, stream, sysctl, tag
from packet import ETH_QINQ, ETH_VLAN

ONE, TWO, AD = ((ETH_VLAN, 5),), ((ETH_QINQ, 100), (ETH_VLAN, 7)), ((ETH_QINQ, 5),)

AGAIN = {
    ack_gate: ('r1_upload', 'r1_lowered_ack_of_a_hole', 'r1_head_leaves_for_a_secondary_that_repeats', 'r1_head_of_gso_3000',
               'r15_data_repeated', 'r15_packet_of_the_secondary_lost'),
    checkpoint: ('c2_numbers_after_a_commit', 'c3_abort_is_as_if_nothing_had_been'),
    dgram: ('r8_leaves_with_its_partner_udp', 'r8_leaves_with_its_partner_ping', 'r8_a_byte_differs_udp'),
    failover: ('f1_connection_lives_on_big', 'f2_everything_held_leaves', 'f1_new_connections_are_untouched'),
    miscompare: ('r7_one_byte',),
    primary_tcp: ('r4_syn_ack_waits_for_the_secondary', 'r6_any_segmentation_0', 'r6_gso_super_packets', 'r5_orderly_close'),
    quoted: ('w1_error_to_the_guest_big', 'w1_error_of_the_guest'),
    secondary: ('w4_any_offset_big', 'w1_gso_stays_gso', 'w1_checksum_partial', 'w7_reused_in_time_wait',
                'c6_mirrored_frames_wait_commit', 'c2_commit_zeroes_offsets', 'w2_until_the_end'),
    tstamp: ('w5_any_offset_big', 'w5_failover_never_goes_back_big'),
    window: ('r3_the_smaller_window_leaves_smaller', 'r3_update_when_the_clamp_loosens_plain'),
}


def show_tagged(f, yes):
    with netns(f.host):
        sysctl('net/bridge/bridge-nf-filter-vlan-tagged', yes)


def inside(tags, shown, function, f):
    """A case of another topic, in these tags; shown: the IP hooks see them."""
    show_tagged(f, int(shown))
    try:
        f.tag(*tags)
        function(f)
        f.finish()
    finally:
        show_tagged(f, 0)


def repeat():
    for how, tags, shown in (('shown', ONE, True), ('qinq', TWO, False)):
        for c in list(CASES):
            topic = next((m for m in AGAIN if m.__name__ == c.topic), None)
            if topic and c.name.removesuffix('_v4').removesuffix('_v6') in AGAIN[topic]:
                CASES.append(Case(functools.partial(inside, tags, shown, c.function), '%s_%s' % (c.name, how), 'vlan',
                                  c.role, c.v6, c.pair, c.options))


repeat()


# --- the primary ---

KINDS = {'tagged': (ONE, {'vlan': 5, 'vlan_proto': ETH_VLAN}), '802_1ad': (AD, {'vlan': 5, 'vlan_proto': ETH_QINQ}),
         'qinq': (TWO, {'vlan': 100, 'vlan_proto': ETH_QINQ, 'cvlan': 7, 'cvlan_proto': ETH_VLAN}),
         'q_in_q': (((ETH_VLAN, 7), (ETH_VLAN, 100)),
                    {'vlan': 7, 'vlan_proto': ETH_VLAN, 'cvlan': 100, 'cvlan_proto': ETH_VLAN})}
KEYS = 'vlan', 'vlan_proto', 'cvlan', 'cvlan_proto'


def keys_of(record):
    return {k: record[k] for k in KEYS if k in record}


@case(each=KINDS)
def r7_vlan_in_flow_and_event(f, tags, keys):
    f.tag(*tags)
    c = f.open()
    equal(keys_of(c.flow()), keys, 'the flow')
    c.request()
    p = c.pvm('PA', b'primary')
    c.svm('PA', b'another')
    e = f.expect_event('miscompare', reason='payload')
    equal(keys_of(e), keys, 'the event')
    words = 'vlan %d' % keys['vlan'] + (' cvlan %d' % keys['cvlan'] if 'cvlan' in keys else '')
    check(' %s pair p ' % words in f.cli('flow', 'show').stdout, 'flow show does not say %r', words)
    name = {ETH_VLAN: '802.1Q', ETH_QINQ: '802.1ad'}
    told = {k: name.get(v, v) for k, v in keys.items()}
    equal(keys_of(json.loads(f.cli('-j', 'flow', 'show', 'vlan', keys['vlan']).stdout)[0]), told, 'flow show vlan')
    equal(json.loads(f.cli('-j', 'flow', 'show', 'vlan', 9).stdout), [], 'flow show of another VLAN')
    equal(len(json.loads(f.cli('-j', 'flow', 'show', 'cvlan', 7).stdout)), int(keys.get('cvlan') == 7), 'flow show cvlan 7')
    f.again(e)
    f.flush(p)
    f.again(e)


@case(each={'tagged': (ONE, ((ETH_VLAN, 6),)), 'and_untagged': (ONE, ()), 'protocols': (ONE, AD), 'inner': (TWO, TWO[:1]),
            'inner_other': (TWO, ((ETH_QINQ, 100), (ETH_VLAN, 8))), 'swapped': (TWO, TWO[::-1])})
def s3_vlans_do_not_mix(f, one, other):
    """Two connections of the same addresses, ports and numbers; what the secondary says in one VLAN counts in no other."""
    n = f.port_number()
    f.tag(*one)
    a = f.open(sport=n, cisn=1000, pisn=2000, offset=3000)
    f.tag(*other)
    b = f.open(sport=n, cisn=1000, pisn=2000, offset=3000)
    equal(len(f.flows()), 2, 'flows')
    f.tag(*one)
    p = a.pvm('PA', 100)
    f.held(1)
    f.tag(*other)
    b.svm('PA', 100)
    f.wait_stats(queued=1)
    f.held(1)
    b.out(b.pvm('PA', 100))
    f.tag(*one)
    a.svm('PA', 100)
    a.out(p)


@case(ip=(4,))
def r8_datagrams_of_two_vlans_do_not_mix(f):
    t = Talk(f)
    f.tag(*ONE)
    p = t.pvm(b'hello')
    f.held(1)
    f.tag((ETH_VLAN, 6))
    t.svm(b'hello')
    f.held(1)
    f.wait_stats(queued=1)
    f.tag(*ONE)
    t.svm(b'hello')
    t.out(p)
    f.expect_queued = 1


@case()
def r8_priority_tag_is_no_vlan(f):
    """VLAN 0 says what priority a frame has; its packets are of the untagged flow."""
    c = f.open()
    c.request()
    f.tag((ETH_VLAN, 5 << 13), ports=('pv', 'lan'))
    p = c.pvm('PA', 100)
    f.held(1)
    c.svm('PA', 100)
    c.out(p)
    f.tag((ETH_VLAN, 3 << 13 | 5))
    c = f.open()
    f.tag((ETH_VLAN, 5), ports=('ps',))
    c.pvm('A')          # the priority is not compared
    f.wait_stats(held=0)
    f.expect('lan', lambda p: p.dport == c.cport)
    check(keys_of(c.flow()) == {'vlan': 5, 'vlan_proto': ETH_VLAN}, 'flow %r', c.flow())


@case(each={'tagged': (ONE,), 'qinq': (TWO,)})
def r8_fragments_in_tags(f, tags):
    """Each fragment is compared by itself: it leaves as it came, and not for one of another place."""
    f.tag(*tags)
    t = Fragments(f)
    body = t.body(stream(0, 4000))
    frames = pieces(f.v6, t.proto, body, 1448, 77)
    theirs = pieces(f.v6, t.proto, body, 1448, 99, ttl=tag(0))
    for frame in frames:
        f.ports['pv'].send(frame)
    f.held(3)
    for n in 2, 0, 1:
        f.ports['ps'].send(theirs[n])
        f.expect('lan', harness.Sent(frames[n]))
    f.wait_stats(held=0, queued=0, compared_datagrams=3, uncompared_proto=0)
    zero = pieces(f.v6, t.proto, t.body(bytes(2896 * 2 - 8)), 2896, 78)
    same = pieces(f.v6, t.proto, bytes(2896 * 3), 2896, 98, ttl=tag(0))
    f.ports['pv'].send(zero[1])
    f.ports['ps'].send(same[0])
    f.held(1)
    f.ports['ps'].send(pieces(f.v6, t.proto, t.body(bytes(2896 * 2 - 8)), 2896, 97, ttl=tag(0))[1])
    f.expect('lan', harness.Sent(zero[1]))
    f.expect_queued = 1


@case()
def r8_fragments_in_a_tag_that_the_ip_hooks_see(f):
    show_tagged(f, 1)
    try:
        f.tag(*ONE)
        t = Fragments(f)
        t.say('pv', stream(0, 9000))
        f.held(1)
        t.say('ps', stream(0, 9000), size=1000)
        t.out(stream(0, 9000))
        # The same ids in another VLAN are another datagram's.
        one, other = (pieces(f.v6, t.proto, t.body(bytes([n]) * 2000), 1448, 4711) for n in (1, 2))
        f.ports['pv'].send(one[0])
        f.tag((ETH_VLAN, 6))
        f.ports['pv'].send(other[1])
        f.expect_nothing('lan')
        f.wait_stats(held=0)
    finally:
        show_tagged(f, 0)


@case(ip=(4,))
def r8_three_tags_are_not_ip(f):
    f.tag((ETH_QINQ, 1), (ETH_VLAN, 2), (ETH_VLAN, 3))
    frame = Talk(f).frame(b'far inside')
    f.ports['pv'].send(frame.raw)
    f.expect('lan', frame)
    f.ports['ps'].send(frame.raw)
    f.wait_stats(secondary_ignored=1, secondary_packets=1)


def trunk(f, bridge, yes):
    """The guest's port is in VLAN 10 untagged, the clients' is a trunk."""
    with netns(f.host):
        run('ip', 'link', 'set', bridge, 'type', 'bridge', 'vlan_filtering', str(int(yes)))
        if yes:
            run('bridge', 'vlan', 'add', 'dev', 'up', 'vid', '10')
            run('bridge', 'vlan', 'add', 'dev', 'vm', 'vid', '10', 'pvid', 'untagged')
        else:
            run('bridge', 'vlan', 'add', 'dev', 'vm', 'vid', '1', 'pvid', 'untagged')
            run('bridge', 'vlan', 'del', 'dev', 'vm', 'vid', '10')
            run('bridge', 'vlan', 'del', 'dev', 'up', 'vid', '10')


@case(each={'hidden': 0, 'shown': 1})
def r15_access_port_behind_a_trunk(f, shown):
    """The bridge takes the tag off: the guest's flow has none, and the client's ACK is noted all the same."""
    trunk(f, 'br0', True)
    show_tagged(f, shown)
    try:
        f.tag((ETH_VLAN, 10), ports=('lan',))
        c = f.open()
        equal(keys_of(c.flow()), {}, 'the flow')
        c.request()
        c.both('PA', 100)
        c.client('A', ack=100)
        c.svm('PA', at=0, data=100)
        c.bare_ack(100)
    finally:
        trunk(f, 'br0', False)
        show_tagged(f, 0)


# --- the secondary ---

@case('secondary', each={'tagged': (ONE, ((ETH_VLAN, 6),)), 'and_untagged': (ONE, ()), 'qinq': (TWO, TWO[:1])})
def s3_offsets_of_two_vlans(f, one, other):
    """Two connections of the same addresses and ports, each with its own offset, until after the failover."""
    n = f.port_number()
    f.tag(*one)
    a = f.conn(sport=n, offset=0x1234567)
    a.open()
    f.tag(*other)
    b = f.conn(sport=n, offset=0x89abcdef)
    b.open()
    b.talk()
    f.tag(*one)
    a.talk()
    equal(sorted(fl['offset'] for fl in f.flows()), [0x1234567, 0x89abcdef])
    f.fail_over()
    a.talk()
    f.tag(*other)
    b.talk()


@case('secondary', each={'tagged': (ONE,), 'qinq': (TWO,)})
def w7_vlan_connections_end(f, tags):
    """Conntrack follows both directions, after the failover, too: what is closed counts no more (S5)."""
    f.tag(*tags)
    c = f.open()
    c.talk()
    f.fail_over()
    c.svm('FA')
    c.mirror('FA')
    c.svm('A')
    harness.until(lambda: all(fl['flow_state'] in ('closing', 'closed') for fl in f.flows()), lambda: repr(f.flows()))
    c.mirror('RA', deliver=False)
    f.pump(harness.QUIET)
    f.ports['sv'].queue.clear()
    f.nl.call('pair_del', pair='p')


@case('secondary', each={'tagged': (ONE,), 'qinq': (TWO,)})
def f3_saved_with_its_vlan(f, tags):
    f.tag(*tags)
    c = tstamp.conn(f)
    c.open()
    c.talk()
    f.fail_over()
    text = restore.save(f)
    flow = json.loads(text)['flows'][0]
    equal((flow['vlan'], flow['vlan_proto'], flow.get('cvlan')),
          (100, '802.1ad', 7) if tags == TWO else (5, '802.1Q', None), 'saved')
    f.stop()
    f.move('br1')
    f.front = 'sp'
    f.add()
    restore.load(f, text)
    record = f.flows()[0]
    equal((record['vlan'], record.get('cvlan'), record['dormant_offset']), (flow['vlan'], flow.get('cvlan'), flow['offset']))
    for bad in ('"vlan": 5', '"vlan": 4095'), ('"vlan_proto": "802.1Q"', '"vlan_proto": "802.1x"'):
        if bad[0] in text:
            restore.load(f, text.replace(*bad), rc=2)


@case('secondary', each={'hidden': 0, 'shown': 1})
def f1_guest_joins_a_trunk(f, shown):
    """At the failover the guest's untagged port joins a bridge whose clients are in a VLAN."""
    c = f.open()
    c.talk()
    try:
        f.failover()
        f.move('br0')
        f.front = 'sl'
        trunk(f, 'br0', True)
        show_tagged(f, shown)
        f.tag((ETH_VLAN, 10), ports=('sl',))
        c.talk()
    finally:
        trunk(f, 'br0', False)
        show_tagged(f, 0)

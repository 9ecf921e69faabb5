# SPDX-License-Identifier: GPL-2.0
"""R13: rules let named flows leave uncompared, and leave them alone on the secondary."""

import json
import socket

from dgram import SCTP, UDP, Talk, talk
from harness import CLIENT, GUEST, case, check, equal
from packet import ETH_QINQ, ETH_VLAN


def add(f, action='bypass', pair='p', rc=0, **fields):
    words = [x for k, v in fields.items() for x in (k, v)]
    return f.cli('rule', 'add', 'pair', pair, *words, 'action', action, rc=rc)


def rules(f, name='p'):
    return f.nl.call('rule_get', dump=True, pair=name)


def text(addr):
    return socket.inet_ntop(socket.AF_INET6 if len(addr) == 16 else socket.AF_INET, addr)


def passes(f, t, data=b'x'):
    """The guest's leaves at once, the secondary's is dropped."""
    before = f.stats()
    p = t.pvm(data)
    t.out(p)
    t.svm(data)
    # It may have had to wait behind what the new rule lets go, not for the secondary.
    f.wait_stats(uncompared_rule=before['uncompared_rule'] + 1, secondary_rule=before['secondary_rule'] + 1,
                 held=before['held'], queued=0)


@case()
def r13_protocol(f):
    add(f, proto='udp')
    passes(f, Talk(f))
    for what in 'ping', 'sctp':
        t = talk(f, what)
        p = t.pvm(b'x')
        f.held(1)
        t.svm(b'x')
        t.out(p)
    equal([r['packets'] for r in rules(f)], [2])


@case()
def r13_nothing_said_matches_all(f):
    add(f)
    for what in 'udp', 'ping', 'sctp', 'gre':
        passes(f, talk(f, what))
    c = f.conn()
    c.client('S')
    c.out(c.pvm('SA'))


def prefixes(v6):
    g, c = text(GUEST[v6]), text(CLIENT[v6])
    other = 'fd00::8000' if v6 else '10.0.128.2'
    yes = [{'src': g}, {'dst': c}, {'src': g, 'dst': c}, {'src': g + ('/128' if v6 else '/32')}, {'src': g + '/0'}]
    yes += [{'src': 'fd00::/16'}, {'dst': 'fd00::/113'}] if v6 else [{'src': '10.0.0.0/8'}, {'dst': '10.0.0.0/17'}]
    no = [{'dst': g}, {'src': c}, {'src': g, 'dst': g}, {'src': other}, {'src': other + ('/113' if v6 else '/17')}]
    no += [{'src': '::1/128' if v6 else '10.0.0.3/32'}, {'src': '0.0.0.0/0' if v6 else '::/0'}]
    return yes, no


@case()
def r13_prefixes(f):
    """An IPv4 prefix matches no IPv6 packet, however short it is."""
    yes, no = prefixes(f.v6)
    for n, fields in enumerate(yes + no):
        add(f, **fields)
        t = Talk(f)
        if fields in yes:
            passes(f, t)
        else:
            p = t.pvm(n)
            f.held(1)
            t.svm(n)
            t.out(p)
        f.cli('rule', 'del', 'pair', 'p', 'id', n + 1)
    equal(rules(f), [])


@case()
def r13_ports(f):
    """Ports are of protocols that have them; src and dst are as in the guest's packets."""
    t, u, ping = Talk(f), Talk(f), talk(f, 'ping')
    add(f, dport=t.number)
    passes(f, t)
    add(f, proto='sctp', sport=9)
    passes(f, talk(f, 'sctp'))
    add(f, sport=ping.number)
    for x in u, ping:
        p = x.pvm(b'x')
        f.held(1)
        x.svm(b'x')
        x.out(p)


ONE, OTHER, TWO = ((ETH_VLAN, 5),), ((ETH_VLAN, 6),), ((ETH_QINQ, 5), (ETH_VLAN, 7))
VLANS = {'outer': (dict(vlan=5), (ONE, TWO), ((), OTHER)), 'inner': (dict(cvlan=7), (TWO,), ((), ONE)),
         'both': (dict(vlan=5, cvlan=7), (TWO,), ((), ONE, ((ETH_QINQ, 6), (ETH_VLAN, 7)))),
         'any': ({}, ((), ONE, TWO), ())}


@case(each=VLANS)
def r13_vlan(f, words, yes, no):
    """vlan is the outer tag or the only one, cvlan the inner one; without them a rule matches in all VLANs."""
    add(f, proto='udp', **words)
    t = Talk(f)
    for tags in yes:
        f.tag(*tags)
        passes(f, t)
    for tags in no:
        f.tag(*tags)
        p = t.pvm(b'compared')
        f.held(1)
        t.svm(b'compared')
        t.out(p)
    got = {k: v for k, v in rules(f)[0].items() if k in ('vlan', 'cvlan')}
    equal(got, words, 'the rule')


@case()
def r13_vlan_held_leaves(f):
    """A rule that comes later lets go what is held in its VLAN, and nothing else."""
    t = Talk(f)
    frames = {}
    for tags in ONE, OTHER:
        f.tag(*tags)
        frames[tags] = t.pvm(b'x')
    f.held(2)
    add(f, vlan=5)
    f.tag(*ONE)
    t.out(frames[ONE])
    f.held(1)
    f.tag(*OTHER)
    t.svm(b'x')
    t.out(frames[OTHER])


@case()
def r13_first_match_decides(f):
    t, u = Talk(f), Talk(f)
    add(f, 'compare', proto='udp', dport=t.number)
    add(f, 'bypass', proto='udp')
    p = t.pvm(b'x')
    f.held(1)
    t.svm(b'x')
    t.out(p)
    passes(f, u)
    equal([(r['rule_action'], r['packets']) for r in rules(f)], [('compare', 2), ('bypass', 2)])
    f.cli('rule', 'del', 'pair', 'p', 'id', 1)
    passes(f, t)


@case()
def r13_tcp(f):
    """From its SYN on a connection leaves uncompared; others are compared."""
    add(f, proto='tcp', sport=8080)
    c = f.conn(dport=8080)
    c.client('S')
    c.out(c.pvm('SA'))
    c.svm('SA')
    c.client('A')
    for n in range(3):
        c.out(c.pvm('PA', 100))
        c.svm('PA', 77)
    f.wait_stats(uncompared_rule=4, secondary_rule=4, hold=0, flows=0)
    f.open().both('PA', 100)


@case()
def r13_what_is_held_leaves(f):
    """A rule that comes later lets go what is held of its flows, in order, and nothing else."""
    t, other = Talk(f), talk(f, 'sctp')
    c = f.open()
    frames = [t.pvm(0), c.pvm('PA', 100), t.pvm(1), c.pvm('PA', 100)]
    p = other.pvm(b'x')
    f.held(5)
    add(f, proto='tcp')
    f.expect_order('lan', frames[1], frames[3])
    add(f, proto='udp')
    f.expect_order('lan', frames[0], frames[2])
    f.held(1)
    other.svm(b'x')
    other.out(p)


@case()
def r13_during_a_checkpoint(f):
    """C1 holds what is compared; a rule's flows go on."""
    add(f, proto='udp')
    f.begin()
    passes(f, Talk(f))
    t = talk(f, 'sctp')
    p = t.pvm(b'x')
    f.held(1)
    f.commit()
    f.held(1)
    t.svm(b'x')
    t.out(p)


@case(ip=(4,))
def r13_show(f):
    add(f, proto='udp', src='10.0.0.0/8', dport=53)
    add(f, 'compare', dst='fd00::1', sport=1)
    out = f.cli('rule', 'show').stdout.splitlines()
    equal(out, ['pair p id 1 proto udp src 10.0.0.0/8 dport 53 action bypass packets 0',
                'pair p id 2 dst fd00::1/128 sport 1 action compare packets 0'])
    got = json.loads(f.cli('-j', 'rule', 'show', 'pair', 'p').stdout)
    equal(got[0], {'pair': 'p', 'id': 1, 'proto': 'udp', 'src': '10.0.0.0/8', 'dport': 53, 'action': 'bypass',
                   'packets': 0})
    f.cli('rule', 'show', 'pair', 'nosuch', rc=2)


@case(ip=(4,))
def r13_refusals(f):
    """Bad input is refused with a sentence and changes nothing."""
    for fields in (dict(proto=0, rule_action='bypass'), dict(), dict(proto=1, sport=5, rule_action='bypass'),
                   dict(src=b'123', rule_action='bypass'), dict(src=b'', rule_action='bypass'),
                   dict(src_len=5, rule_action='bypass'), dict(src=b'\0' * 4, src_len=33, rule_action='bypass'),
                   dict(src=b'\0' * 4, dst=b'\0' * 16, rule_action='bypass'),
                   dict(dst=b'\0' * 17, rule_action='bypass')):
        f.command('rule_add', rc=1, **fields)
    f.command('rule_del', rc=1)
    f.command('rule_del', rc=1, rule_id=1)
    equal(rules(f), [])
    for words in ('proto', 'nosuch'), ('src', '1.2.3'), ('src', '1.2.3.4/33'), ('src', '1.2.3.4/'), ('dst', '::/129'), \
            ('sport', 65536), ('src', 'x' * 200):
        f.cli('rule', 'add', 'pair', 'p', *words, 'action', 'bypass', rc=1)
    f.cli('rule', 'add', 'pair', 'p', rc=1)
    f.cli('rule', 'del', 'pair', 'p', rc=1)
    for n in range(256):
        f.command('rule_add', rule_action='compare', sport=n)
    f.command('rule_add', rc=1, rule_action='compare')
    equal(len(rules(f)), 256)
    Talk(f).both(b'x')


@case('secondary')
def r13_secondary_leaves_it_alone(f):
    """Not translated, whatever is learnt elsewhere; others are."""
    add(f, proto='tcp', sport=8080)
    c = f.conn(dport=8080)
    c.mirror('S')
    c.svm('SA')
    c.mirror('A')
    c.mirror('PA', 50)
    c.svm('PA', 50)
    f.wait_stats(uncompared_rule=5, untracked=0, learnt=0, translated_in=0, translated_out=0)
    check(not f.flows(), 'a translated connection: %r', f.flows())
    f.open().talk()


@case('secondary')
def r13_secondary_vlan(f):
    """The connection in the rule's VLAN is left alone; the one of the same addresses without a tag is translated."""
    add(f, vlan=5)
    n = f.port_number()
    f.tag(*ONE)
    c = f.conn(sport=n)
    c.mirror('S')
    c.svm('SA')
    c.mirror('A')
    f.wait_stats(uncompared_rule=3, learnt=0, translated_in=0, translated_out=0)
    f.tag()
    d = f.conn(sport=n)
    d.open()
    d.talk()
    f.wait_stats(uncompared_rule=3)


@case('secondary')
def r13_secondary_active_open(f):
    """src and dst are as the guest says them, whoever opens the connection."""
    add(f, proto='tcp', dport=9999, dst=text(CLIENT[f.v6]))
    c = f.conn(dport=7, sport=9999)
    c.svm('S')
    c.mirror('SA', ack=-1)
    f.wait_stats(uncompared_rule=2, untracked=0)


@case('secondary')
def r13_secondary_rule_comes_later(f):
    """A connection that is translated stays so for its whole life (F1)."""
    c = f.open()
    add(f)
    c.talk()
    f.wait_stats(untracked=0)

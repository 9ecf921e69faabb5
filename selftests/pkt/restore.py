# SPDX-License-Identifier: GPL-2.0
"""F3: what one host translated goes to the next one, and comes into force there at its own failover."""

import json
import time

import harness
from harness import case, check, equal, netns, sysctl
from lifetime import SECOND
from packet import M32
from quoted import quote, to_vm
from tstamp import GUARD, conn, signed


def ends(c):
    """As flow show tells it: from the client to the guest."""
    k = c.key()
    return {'src': k['dst'], 'sport': k['dport'], 'dst': k['src'], 'dport': k['sport']}


def restore(f, c, offset, rc=0, **kw):
    f.command('flow_restore', rc=rc, **{**ends(c), 'offset': offset & M32, **kw})


def old(f, offset, **kw):
    """A connection of the time before: SVM gets it with a commit, its numbers are what the mirror says."""
    c = f.conn(offset=0, **kw)
    c.c_nxt = c.s_nxt = c.c_ack = 0
    c.actual = c.known = 0
    c.outside = (c.pisn - offset) & M32
    return c


def wake(f, c):
    """This host fails over: the client itself speaks now, in the numbers of the first primary."""
    c.actual = c.known = (c.pisn - c.outside) & M32
    c.pisn = c.outside


def save(f, name='p', rc=0):
    return f.cli('flow', 'save', 'pair', name, rc=rc).stdout


def load(f, text, rc=0, name='p'):
    with netns(f.host):
        p = harness.run('kcolo', 'flow', 'restore', 'pair', name, stdin=text, ok=False)
    check(p.returncode == rc, 'flow restore: exit %d, not %d: %s', p.returncode, rc, p.stderr)
    check(rc == 0 or p.stderr.strip(), 'exit %d without a word', rc)
    return p.stderr


@case('secondary', each={'0': 0, '1': 1, 'm1': -1, '2p31': 1 << 31, 'any': 0x89abcdef})
def f3_dormant_until_failover(f, offset):
    c = old(f, offset)
    restore(f, c, offset)
    fl = c.flow()
    equal((fl['offset'], fl['dormant_offset'], fl['flow_state']), (0, offset & M32, 'established'))
    f.begin()
    f.commit()
    c.talk()
    f.begin()
    f.commit()
    c.talk()
    equal(c.flow()['dormant_offset'], offset & M32)
    f.fail_over()
    wake(f, c)
    c.talk()
    c.svm('PA', 1400)
    c.mirror('FA')
    c.svm('A')
    c.svm('FA')
    c.mirror('A')


@case('secondary', each={'heard': True, 'idle': False})
def f3_error_before_anything_else(f, heard):
    """After the failover the first thing that comes is an error about a packet of the first primary's."""
    c = old(f, 500)
    restore(f, c, 500)
    f.begin()
    f.commit()
    if heard:
        c.talk()
    f.fail_over()
    to_vm(f, c, quote(c, False, c.outside, c.cisn), quote(c, False, c.pisn, c.cisn))
    wake(f, c)
    c.talk()


@case('secondary')
def f3_mirrored_packets_came_first(f):
    """They made a conntrack without room, and the guest, that has no such connection yet, resets it."""
    c = old(f, 500)
    c.talk()
    restore(f, c, 500)
    c.mirror('PA', 10)
    c.svm('RA')
    f.begin()
    f.commit()
    c.talk()
    equal(c.flow()['flow_state'], 'established')
    f.fail_over()
    wake(f, c)
    c.talk()


@case('secondary')
def f3_in_the_checkpoint(f):
    c = old(f, 500)
    f.begin()
    restore(f, c, 500)
    f.commit()
    c.talk()
    f.fail_over()
    wake(f, c)
    c.talk()


@case('secondary')
def f3_repeated_and_changed(f):
    c = old(f, 700)
    for offset in 500, 500, 700:
        restore(f, c, offset)
        equal(c.flow()['dormant_offset'], offset)
    equal(len(f.flows()), 1)
    f.fail_over()
    wake(f, c)
    c.talk()


@case('secondary')
def f3_active_open(f):
    """The guest had opened it: the other way round in conntrack."""
    c = old(f, 500)
    f.command('flow_restore', offset=500, active_open=True, **{k: v for k, v in c.key().items()})
    check(c.flow()['active_open'], 'not told as opened by the guest')
    c.talk()
    f.fail_over()
    wake(f, c)
    c.talk()


@case('secondary', each={'50': 50, 'm50': -50, 'big': 0x7654321})
def f3_timestamps(f, tsoff):
    """They are dormant, too; what the copy's clock lags meanwhile is added to them."""
    c = conn(f, offset=0, s0=0x10000000)
    c.c_nxt = c.s_nxt = c.c_ack = 0
    c.actual = c.known = c.off = 0
    c.outside = (c.pisn - 4000) & M32
    restore(f, c, 4000, tsoffset=tsoff)
    f.begin()
    f.commit()
    c.s0 = c.p0 - 300
    c.hear(10, 10, 'PA', 10)
    c.say(10)
    c.hear(1010, 1000)
    c.say(1012, 'PA', 10)
    equal(c.tsoffset(), 0)
    equal(c.flow()['dormant_tsoffset'], tsoff)
    f.fail_over()
    wake(f, c)
    c.off = (tsoff - 288 - GUARD) & M32
    c.p0 = (c.p0 - tsoff) & M32
    c.say(1015, 'PA', 10)
    equal(c.tsoffset(), signed(c.off))
    c.hear(1020, 1010)


@case('secondary')
def f3_dies_at_a_new_syn(f):
    """The tuple is opened anew: the new connection has nothing to do with the old one."""
    c = old(f, 500)
    restore(f, c, 500)
    d = f.conn(sport=c.cport)
    d.mirror('S')
    d.svm('SA')
    d.known = d.offset
    d.mirror('A')
    d.talk()
    check('dormant_offset' not in d.flow(), 'still there: %r', d.flow())
    f.fail_over()
    d.talk()


@case('secondary')
def f3_a_forged_syn_does_not_kill_it(f):
    c = old(f, 500)
    restore(f, c, 500)
    f.begin()
    f.commit()
    c.talk()
    f.conn(sport=c.cport).mirror('S')
    c.svm('A')
    f.fail_over()
    wake(f, c)
    c.talk()


@case('secondary')
def f3_is_kept_and_missed(f):
    """S5, W7: the pair is not deleted, the loss is noticed."""
    c = old(f, 500)
    restore(f, c, 500)
    equal(f.pair()['translated'], 1)
    f.cli('pair', 'del', 'p', rc=2)
    harness.flush_conntrack(f.host)
    c.mirror('A')
    f.again(f.expect_event('miscompare', reason='lost'))


@case('secondary', each={'fins': False, 'rst': True})
def f3_over_before_the_failover(f, reset):
    """A restored connection that the guest has got and ended is translated no more (W7), and does not keep the pair (S5)."""
    with netns(f.host):
        for name in 'close', 'time_wait':
            sysctl('net/netfilter/nf_conntrack_tcp_timeout_' + name, 1)
    f.spoilt = True
    c = old(f, 500)
    restore(f, c, 500)
    f.begin()
    f.commit()
    c.talk()
    equal(f.pair()['translated'], 1)
    if reset:
        c.svm('RA')
    else:
        c.mirror('FA')
        c.svm('A')
        c.svm('FA')
        c.mirror('A')
    equal(f.pair()['translated'], 0)
    time.sleep(SECOND)
    equal(f.flows(), [])


@case('secondary', max_flows=2)
def f3_at_the_limit(f):
    f.allow.add('flows_refused')
    conns = [old(f, 500) for n in range(3)]
    for c in conns[:2]:
        restore(f, c, 500)
    restore(f, conns[2], 500, rc=2)
    equal(len(f.flows()), 2)


@case('secondary')
def f3_refused(f):
    """Bad input changes nothing, and each refusal says what to do."""
    c = f.open()
    c.talk()
    restore(f, c, 500, rc=2)
    c.talk()
    d = old(f, 500)
    for bad in {'proto': 17}, {'src': b'\1\2\3'}, {'dst': b'\0' * (4 if f.v6 else 16)}, {'sport': 0}, {'dport': 0}, {'cvlan': 7}, \
            {'vlan_proto': 0x8100}, {'vlan': 5, 'cvlan_proto': 0x8100}:
        restore(f, d, 500, rc=2, **bad)
    for missing in 'src', 'dst', 'sport', 'dport', 'offset':
        fields = {**ends(d), 'offset': 500}
        del fields[missing]
        f.command('flow_restore', rc=2, **fields)
    equal(d.flow(), None, 'flow')
    f.fail_over()
    restore(f, d, 500, rc=2)
    equal(d.flow(), None, 'flow')


# --- the file ---

@case('secondary')
def f3_save_and_restore(f):
    """All that a host translates, on the next host."""
    c, d, zero, over = f.open(), conn(f, s0=0x12345678), f.open(offset=0), f.open()
    d.shake()
    a = f.conn()
    a.svm('S')
    a.known = a.offset
    a.mirror('SA', ack=0)
    a.svm('A')
    over.svm('RA')
    f.fail_over()
    for x in c, a, zero:
        x.talk()
    d.takes_over()
    d.say(100, 'PA', 10)
    d.hear(110, 100, 'PA', 10)
    text = save(f)
    doc = json.loads(text)
    equal((doc['format'], doc['version'], len(doc['flows'])), ('kcolo-flows', 1, 3))
    equal({(x['offset'], x['tsoffset'], x['active_open']) for x in doc['flows']},
          {(c.offset, None, False), (a.offset, None, True), (d.offset, signed(d.off), False)})

    f.cli('pair', 'del', 'p', 'force')
    f.move('br1')
    f.front = 'sp'
    f.add()
    equal(f.flows(), [])
    load(f, text)
    load(f, text)
    equal(len(f.flows()), 3)
    f.begin()
    f.commit()
    again = json.loads(save(f))
    key = lambda x: x['sport']
    want = [{**x, 'tsoffset': x['tsoffset'] or 0} for x in sorted(doc['flows'], key=key)]
    equal([{**x, 'tsoffset': x['tsoffset'] or 0} for x in sorted(again['flows'], key=key)], want)
    f.fail_over()
    for x in c, a, zero:
        x.talk()


@case('secondary', ip=(4,))
def f3_bad_files(f):
    """Whatever is wrong with the file, nothing of it is restored, the good connections in it neither."""
    good = {'proto': 'tcp', 'src': '10.0.0.1', 'sport': 1, 'dst': '10.0.0.2', 'dport': 2, 'active_open': False,
            'offset': 5, 'tsoffset': None}
    head = {'format': 'kcolo-flows', 'version': 1}
    bad = ['', '{', '[]', '{}', 'null', '"kcolo-flows"', '{"format": "kcolo-flows", "format": "kcolo-flows"}']
    bad += [json.dumps(x) for x in (
        {**head, 'version': 2, 'flows': [good]}, {**head, 'version': '1', 'flows': [good]},
        {**head, 'format': 'x', 'flows': [good]}, {**head, 'flows': {}}, {**head, 'flows': [good], 'more': 1},
        {'flows': [good]}, head, {**head, 'flows': [good, 7]}, {**head, 'flows': [good, []]})]
    for key, values in {'proto': ['udp', 6, None], 'src': ['10.0.0', 'fd00::1', 7, ''], 'dst': ['x', None],
                        'sport': [0, 65536, -1, '1', 1.5], 'dport': [0, None], 'active_open': [0, 'no', None],
                        'offset': [-1, 1 << 32, '5', None, 0.5], 'tsoffset': [1 << 31, '5', -(1 << 31) - 1, False]}.items():
        for value in values:
            bad.append(json.dumps({**head, 'flows': [good, {**good, key: value}]}))
        less = dict(good)
        del less[key]
        bad.append(json.dumps({**head, 'flows': [good, less]}))
    for more in {'window': 3}, {'cvlan': 7}, {'vlan_proto': '802.1Q'}, {'vlan': 5, 'cvlan_proto': '802.1Q'}, {'vlan': 0}:
        bad.append(json.dumps({**head, 'flows': [good, {**good, **more}]}))
    for text in bad:
        load(f, text, rc=2)
        equal(f.flows(), [], 'flows after %s' % text)
    load(f, json.dumps({**head, 'flows': []}))
    load(f, json.dumps({**head, 'flows': [good]}))
    equal(len(f.flows()), 1)
    load(f, json.dumps({**head, 'flows': [good]}), rc=2, name='nobody')
    f.cli('flow', 'save', rc=1)
    f.cli('flow', 'save', 'pair', rc=1)
    f.cli('flow', 'save', 'pair', 'p', 'x', rc=1)
    f.cli('flow', 'save', 'pair', 'nobody', rc=2)
    for verb in 'save', 'restore':
        f.cli('flow', verb, 'pair', 'x' * 100000, rc=1)


@case('secondary', ip=(4,))
def f3_cut_in_the_middle(f):
    """The writer died: nothing of the rest of a file is taken. The reader died: the whole file again completes it."""
    conns = [old(f, 500 + n) for n in range(4)]
    rows = [{'proto': 'tcp', 'src': '10.0.0.1', 'sport': c.cport, 'dst': '10.0.0.2', 'dport': c.gport, 'active_open': False,
             'offset': 500 + n, 'tsoffset': None} for n, c in enumerate(conns)]
    text = json.dumps({'format': 'kcolo-flows', 'version': 1, 'flows': rows})
    for n in range(1, len(text), 7):
        load(f, text[:n], rc=2)
    equal(f.flows(), [])
    for n in 1, 2:
        restore(f, conns[n], 500 + n)
    load(f, text)
    equal(sorted(x['dormant_offset'] for x in f.flows()), [500, 501, 502, 503])
    f.begin()
    f.commit()
    f.fail_over()
    for c in conns:
        wake(f, c)
        c.talk()


@case(ip=(4,))
def f3_a_primary_has_nothing_to_save(f):
    save(f, rc=2)
    load(f, json.dumps({'format': 'kcolo-flows', 'version': 1, 'flows': [
        {'proto': 'tcp', 'src': '10.0.0.1', 'sport': 1, 'dst': '10.0.0.2', 'dport': 2, 'active_open': False, 'offset': 5,
         'tsoffset': None}]}), rc=2)

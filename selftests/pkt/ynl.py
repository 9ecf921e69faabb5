# SPDX-License-Identifier: GPL-2.0
"""The kernel's own YNL client (tools/net/ynl) knows the family from the spec alone: every operation, every notification.

The client is that of linux-source-6.12, as it is; what it says is compared with what genl.py, which knows the header, says."""

import contextlib
import functools
import os
import socket
import subprocess
import sys

from genl import SOURCE
from harness import CLIENT, GUEST, case, check, equal, netns, until

SPEC = os.path.join(SOURCE, 'Documentation/netlink/specs/kcolo.yaml')
used = set()                # operations of the spec


@functools.cache
def library():
    linux = subprocess.run([os.path.join(SOURCE, 'selftests/vm/kernel'), 'source'], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.strip()
    sys.path.insert(0, os.path.join(linux, 'tools/net/ynl'))
    import lib
    return lib, os.path.join(linux, 'Documentation/netlink/genetlink-legacy.yaml')


class Client:
    """The client, in the host's namespace; it says which operations it was used for."""

    def __init__(self, ns):
        lib, schema = library()
        lib.ynl.genl_family_name_to_id = None           # the module may have been loaded anew
        with netns(ns):
            self.ynl = lib.YnlFamily(SPEC, schema)
        self.error = lib.NlError

    def close(self):
        self.ynl.sock.close()

    def declared(self, op, part, reply):
        """What comes is what the spec says that may come."""
        yaml = self.ynl.ops[op].yaml if op in self.ynl.ops else self.ynl.msgs[op].yaml
        where = yaml['event'] if part == 'event' else yaml[part]['reply']
        for r in reply if isinstance(reply, list) else [reply]:
            extra = set(r) - set(where['attributes'])
            check(not extra, '%s says %r, of which the spec knows nothing', op, extra)

    def do(self, op, **attrs):
        used.add((op, 'do'))
        reply = self.ynl.do(op, {k.replace('_', '-'): v for k, v in attrs.items()})
        if reply is not None:
            self.declared(op, 'do', reply)
        return reply

    def dump(self, op, **attrs):
        used.add((op, 'dump'))
        reply = self.ynl.dump(op, {k.replace('_', '-'): v for k, v in attrs.items()})
        self.declared(op, 'dump', reply)
        return reply

    def events(self):
        self.ynl.check_ntf()
        out, self.ynl.async_msg_queue = self.ynl.async_msg_queue, []
        for e in out:
            used.add((e['name'], 'event'))
            self.declared(e['name'], 'event', e['msg'])
        return out


@contextlib.contextmanager
def client(f):
    c = Client(f.host)
    try:
        yield c
    finally:
        c.close()


def same(ynl, ours, **differs):
    """One record of the client against the same of genl.py."""
    equal({k.replace('-', '_') for k in ynl}, set(ours), 'attributes')
    for k, v in ynl.items():
        k = k.replace('-', '_')
        if isinstance(v, dict):
            same(v, ours[k], **differs)
        elif k not in differs:
            equal(list(v) if isinstance(v, (list, tuple)) else v, ours[k], k)


@case(pair=False)
def ynl_operations_of_a_primary(f):
    with client(f) as y:
        y.do('pair-add', pair='p', role='primary', vm='vm', peer='peer', timeout=30000, min_interval=0)
        y.do('pair-set', pair='p', scan=500)
        y.do('rule-add', pair='p', proto=17, sport=443, src=GUEST[f.v6].hex(), src_len=64 if f.v6 else 24,
             rule_action='bypass')
        c = f.open()
        p = c.pvm('PA', b'GET one')
        c.svm('PA', b'GET two')
        e = f.expect_event('miscompare')
        flows = y.dump('flow-get', pair='p', proto=6, src=CLIENT[f.v6].hex(), sport=c.cport, dst=GUEST[f.v6].hex(), dport=80)
        equal((len(flows), flows[0]['flow-state'], flows[0]['held']), (1, 'miscompared', 1))
        same(flows[0], c.flow(), idle=True)
        same(y.do('pair-get', pair='p'), f.pair(), ago=True)
        equal(y.do('pair-get', pair='p')['last-miscompare']['before'], b'GET ')
        equal(len(y.dump('pair-get')), 1)
        same(y.do('stats-get', pair='p'), f.nl.call('stats_get', pair='p')[0])
        same(y.dump('stats-get')[0], f.nl.call('stats_get', pair='p')[0])
        rules = y.dump('rule-get')
        equal((len(rules), rules[0]['rule-action'], rules[0]['src-len']), (1, 'bypass', 64 if f.v6 else 24))
        y.do('rule-del', pair='p', rule_id=rules[0]['rule-id'])
        equal(y.dump('rule-get', pair='p'), [])
        equal(y.do('checkpoint', pair='p', action='begin')['state'], 'checkpoint')
        equal(y.do('checkpoint', pair='p', action='commit', epoch=7), {'pair': 'p', 'epoch': 7, 'state': 'running'})
        c.out(p)
        f.again(e)
        y.do('failover', pair='p')
        equal(f.state(), 'bypass')
        y.do('pair-del', pair='p', force=True)
        equal(y.dump('pair-get'), [])


@case('secondary')
def ynl_operations_of_a_secondary(f):
    with client(f) as y:
        c = f.open()
        c.talk()
        flow = y.dump('flow-get', pair='p')
        equal(len(flow), 1)
        same(flow[0], f.flows()[0], idle=True)
        y.do('flow-restore', pair='p', src=CLIENT[f.v6].hex(), dst=GUEST[f.v6].hex(), sport=1, dport=2, offset=3, tsoffset=-4)
        same(y.do('pair-get', pair='p'), f.pair())
        same(y.do('stats-get', pair='p'), f.nl.call('stats_get', pair='p')[0])
        try:
            y.do('pair-del', pair='p')
            check(False, 'deleted although a connection lives')
        except y.error as e:
            check('force' in e.nl_msg.extack['msg'], 'it says %r', e.nl_msg.extack)
        y.do('pair-del', pair='p', force=True)


@case(ip=(4,), pair=False)
def ynl_refusals_name_the_attribute(f):
    with client(f) as y:
        for attrs, want in ({'pair': 'p', 'timeout': 1}, '.timeout'), ({'pair': 'n' * 40}, '.pair'), ({'pair': 'q'}, '.pair'):
            try:
                y.do('pair-set', **attrs)
                check(False, '%r not refused', attrs)
            except y.error as e:
                equal(e.nl_msg.extack.get('bad-attr'), want, 'attribute blamed for %r' % attrs)


@case(ip=(4,), pair=False)
def ynl_notifications(f):
    """A client hears one group."""
    with contextlib.ExitStack() as stack:
        heard = {}
        for group in 'miscompare', 'checkpoint', 'pair', 'flow':
            heard[group] = stack.enter_context(client(f))
            heard[group].ynl.ntf_subscribe(group)
        f.add()
        c = f.open()
        p = c.pvm('PA', b'one')
        c.svm('PA', b'two')
        e = f.expect_event('miscompare')
        f.checkpoint()
        c.out(p)
        f.again(e)
        f.cli('pair', 'del', 'p')
        seen = {group: [] for group in heard}

        def all_there():
            for group, y in heard.items():
                seen[group] += y.events()
            return any(x['name'] == 'pair-del-ntf' for x in seen['pair'])
        until(all_there, lambda: 'the last event, but %r' % seen)
    equal({group: {x['name'] for x in seen[group]} for group in seen},
          {'miscompare': {'miscompare-ntf'}, 'checkpoint': {'checkpoint-ntf'}, 'pair': {'pair-ntf', 'pair-del-ntf'},
           'flow': {'flow-ntf'}})
    same(seen['miscompare'][0]['msg'], {k: v for k, v in e.items() if k != 'event'})
    check(any(x['msg'].get('flow-state') == 'established' for x in seen['flow']), 'flows: %r', seen['flow'])
    equal([x['msg']['action'] for x in seen['checkpoint']], ['begin', 'commit'])


@case(ip=(4,), pair=False)
def ynl_nothing_is_left_out(f):
    """Comes last: what the cases before have not used is in the spec for nobody."""
    with client(f) as y:
        want = {(m.name, part) for m in y.ynl.msgs.values() for part in ('do', 'dump', 'event') if part in m.yaml}
    equal(want - used, set(), 'never used')

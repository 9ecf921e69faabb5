# SPDX-License-Identifier: GPL-2.0
"""W1: the TCP header that an ICMP or ICMPv6 error quotes."""

import struct

import packet
from harness import Sent, case, tag
from packet import CLIENT, CLIENT_MAC, GUEST, GUEST_MAC, csum, options, pseudo, sack, timestamps
from tstamp import conn

ROUTER = {False: bytes([10, 0, 0, 254]), True: bytes.fromhex('fd0000000000000000000000000000fe')}


def error(v6, src, dst, quoted, kind=None, macs=None, bad_sum=False, **kw):
    """An error that quotes this packet: "too big" if nothing else is said."""
    kind = kind or ((2, 0) if v6 else (3, 4))
    body = bytes(kind) + b'\0\0' + struct.pack('!I', 1400) + quoted
    check = csum(body, pseudo(src, dst, 58, len(body)) if v6 else 0) ^ 0xffff ^ (0x5555 if bad_sum else 0)
    body = body[:2] + struct.pack('!H', check) + body[4:]
    if v6:
        return packet.eth(*macs, packet.ETH_IP6, packet.ip6(src, dst, 58, body, **kw))
    return packet.eth(*macs, packet.ETH_IP, packet.ip4(src, dst, 1, body, **kw))


def quote(c, client, base, ack_base, cut=None, flags='PA', at=0, ack=0, data=b'q' * 300, **kw):
    """The start of a packet of the connection."""
    frame, _ = c.frame(client, base, ack_base, flags, at, ack, data, **kw)
    return frame[14:] if cut is None else frame[14:14 + cut]


def to_vm(f, c, sent, want, **kw):
    """A router's error about what the primary sent, mirrored to SVM."""
    e = [error(f.v6, ROUTER[f.v6], GUEST[f.v6], q, macs=(GUEST_MAC, CLIENT_MAC), **kw) for q in (sent, want)]
    f.ports[f.front].send(e[0])
    f.expect('sv', Sent(e[1]))


def from_vm(f, c, sent, want, **kw):
    """SVM's error about what it received."""
    e = [error(f.v6, GUEST[f.v6], CLIENT[f.v6], q, macs=(CLIENT_MAC, GUEST_MAC), ttl=ttl, **kw)
         for q, ttl in ((sent, 64), (want, tag(f.epoch)))]
    f.ports['sv'].send(e[0])
    f.expect(f.front, Sent(e[1]))


def cuts(v6):
    """All that is quoted; the TCP header; without its checksum; ports, seq and nothing more."""
    ip = 40 if v6 else 20
    return None, ip + 20, ip + 16, ip + 15, ip + 8


@case('secondary', each={'0': 0, '1': 1, 'big': 0x89abcdef, 'm1': -1})
def w1_error_to_the_guest(f, offset):
    """Fragmentation needed: the quoted seq becomes SVM's."""
    c = f.open(offset=offset)
    c.talk()
    for cut in cuts(f.v6):
        to_vm(f, c, quote(c, False, c.pisn, c.cisn, cut), quote(c, False, c.sisn, c.cisn, cut))
    f.wait_stats(translated_errors=5 if c.offset else 0)
    c.talk()


@case('secondary')
def w1_error_of_the_guest(f):
    """SVM's own error quotes the client's packet as SVM got it: the ack becomes the primary's again."""
    c = f.open()
    c.talk()
    for cut in cuts(f.v6):
        from_vm(f, c, quote(c, True, c.cisn, c.sisn, cut, ack=10), quote(c, True, c.cisn, c.pisn, cut, ack=10))


@case('secondary')
def w1_error_with_options(f):
    """SACK edges and timestamps in the quoted header."""
    c = conn(f, s0=0x12345678)
    c.shake()
    stamp = lambda val, ecr: options(1, 1, timestamps(val, ecr))
    to_vm(f, c, quote(c, False, c.pisn, c.cisn, opts=stamp(c.p0 + 5, 77)),
          quote(c, False, c.sisn, c.cisn, opts=stamp(c.s0 + 5, 77)))
    edges = lambda base: options(1, 1, sack((base + 11, base + 21)))
    from_vm(f, c, quote(c, True, c.cisn, c.sisn, opts=stamp(77, c.s0 + 5) + edges(c.sisn)),
            quote(c, True, c.cisn, c.pisn, opts=stamp(77, c.p0 + 5) + edges(c.pisn)))


@case('secondary', each={'unreachable': True, 'exceeded': False})
def w1_every_error(f, unreachable):
    c = f.open()
    kind = {(True, True): (1, 4), (True, False): (3, 0), (False, True): (3, 3), (False, False): (11, 0)}
    kind = kind[f.v6, unreachable]
    to_vm(f, c, quote(c, False, c.pisn, c.cisn, 60), quote(c, False, c.sisn, c.cisn, 60), kind=kind)


@case('secondary')
def w1_error_after_failover(f):
    """It comes from the clients' network now."""
    c = f.open()
    c.talk()
    f.fail_over()
    to_vm(f, c, quote(c, False, c.pisn, c.cisn), quote(c, False, c.sisn, c.cisn))
    c.talk()


@case('secondary')
def w1_error_on_an_active_open(f):
    c = f.conn()
    c.svm('S')
    c.known = c.offset
    c.mirror('SA', ack=0)
    c.svm('A')
    to_vm(f, c, quote(c, False, c.pisn, c.cisn), quote(c, False, c.sisn, c.cisn))


@case('secondary')
def w1_error_that_is_not_ours(f):
    """Of another connection, of UDP, of a later fragment, an echo, and nonsense: nothing is touched."""
    c = f.open()
    other = f.conn()
    ours = quote(c, False, c.pisn, c.cisn)
    q = [quote(other, False, other.pisn, other.cisn),
         packet.udp(GUEST[f.v6], CLIENT[f.v6], c.gport, c.cport, b'x' * 50)[14:],
         ours[:40 if f.v6 else 20], ours[:47 if f.v6 else 27], ours[:7], b'']
    if not f.v6:
        q += [ours[:6] + b'\0\1' + ours[8:], b'\x41' + ours[1:], b'\x4f' + ours[1:40]]
    for x in q:
        to_vm(f, c, x, x)
    to_vm(f, c, ours, ours, kind=(128, 0) if f.v6 else (8, 0))
    f.wait_stats(translated_errors=0)


@case('secondary')
def w1_error_refuses_the_syn(f):
    """The primary's SYN is quoted: it is the answer to the guest's, too, whose number it becomes."""
    c = f.conn(offset=12345, dport=4321)
    c.svm('S')
    to_vm(f, c, quote(c, False, c.pisn, c.cisn, flags='S', at=-1, data=b''),
          quote(c, False, c.sisn, c.cisn, flags='S', at=-1, data=b''))


@case('secondary')
def w1_error_after_a_commit(f):
    c = f.open()
    f.begin()
    f.commit()
    to_vm(f, c, quote(c, False, c.pisn, c.cisn), quote(c, False, c.pisn, c.cisn))


@case('secondary', ip=(4,))
def w1_error_with_ip_options(f):
    """In the quoted header and in the error's own."""
    c = f.open()
    for kw in {'ipopts': b'\1' * 8}, {'ipopts': b'\x94\x04\0\0'}:
        to_vm(f, c, quote(c, False, c.pisn, c.cisn, 60, **kw), quote(c, False, c.sisn, c.cisn, 60, **kw), opts=b'\1' * 4)


@case('secondary', ip=(6,))
def w1_error_with_extension_headers(f):
    c = f.open()
    for ext in [(60, b'\0\1\4\0\0\0\0')], [(0, b'\0\1\4\0\0\0\0'), (60, b'\0\1\4\0\0\0\0')]:
        to_vm(f, c, quote(c, False, c.pisn, c.cisn, 100, ext=ext), quote(c, False, c.sisn, c.cisn, 100, ext=ext))

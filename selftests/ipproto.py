#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""ipproto.py echo PROTO                    - echo packets of an IP protocol, of both families
ipproto.py ask HOST PROTO COUNT SIZE     - COUNT packets of SIZE bytes must come back, each once, unaltered
ipproto.py group PORT                    - answer to 224.0.0.251 and ff02::fb what is asked there, as mDNS does
ipproto.py query FAMILY PORT COUNT       - ask there; each answer must come once
ipproto.py trace HOST HOPS               - one probe for each TTL; prints who answers, and what
ipproto.py mdns FAMILY NAME TYPE         - ask the group for a DNS record; an answer must come to the group, which is printed in hex
ipproto.py sctp-serve HOST PORT          - echo what comes through SCTP associations
ipproto.py sctp-ask HOST PORT COUNT SIZE - COUNT messages of SIZE bytes must come back in one association
ipproto.py path HOST SIZE                - send datagrams that must not be cut; prints the MTU that an error tells"""

import errno
import ipaddress
import random
import socket
import struct
import sys

GROUP = {socket.AF_INET: '224.0.0.251', socket.AF_INET6: 'ff02::fb'}
IP_MTU_DISCOVER, IP_RECVERR, IPV6_MTU_DISCOVER, IPV6_RECVERR, PROBE = 10, 11, 23, 25, 3
V4, V6 = socket.AF_INET, socket.AF_INET6
SO_RCVBUFFORCE = 33
AT_ONCE = 16


def family(host):
    return V6 if ipaddress.ip_address(host).version == 6 else V4


def raw(af, proto):
    s = socket.socket(af, socket.SOCK_RAW, int(proto))
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)     # what one guest alone drops makes a difference
    s.settimeout(10)
    return s


def body(af, data):
    """What is behind the IPv4 header, which only that family's raw sockets show."""
    return data[(data[0] & 15) * 4:] if af == V4 else data


def echo(proto):
    import select
    sockets = {s.fileno(): (af, s) for af, s in ((af, raw(af, proto)) for af in (V4, V6))}
    while True:
        for fd in select.select(list(sockets), [], [])[0]:
            af, s = sockets[fd]
            data, peer = s.recvfrom(65536)
            if body(af, data)[:1] == b'?':
                s.sendto(b'!' + body(af, data)[1:], peer)


def ask(host, proto, count, size):
    af = family(host)
    s = raw(af, proto)
    s.connect((host, 0))
    for start in range(0, int(count), AT_ONCE):
        sent = []
        for n in range(start, min(int(count), start + AT_ONCE)):
            sent.append(b'%d ' % n + random.randbytes(int(size) - 8))
            s.send(b'?' + sent[-1])
        again = False
        while sent:
            try:
                got = body(af, s.recv(65536))
            except TimeoutError:
                # Nobody repeats a datagram that a stack on the way has lost; of two in one lot it is no accident.
                if again or len(sent) > 1:
                    raise
                again = True
                print('lost, asked again: %r' % sent[0][:8], file=sys.stderr)
                s.send(b'?' + sent[0])
                continue
            if got[:1] == b'!':
                sent.remove(got[1:])


def member(af, port):
    s = socket.socket(af, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', int(port)))
    group, index = socket.inet_pton(af, GROUP[af]), socket.if_nametoindex('eth0')
    if af == V4:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack('=4s4si', group, b'\0' * 4, index))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack('=4s4si', b'\0' * 4, b'\0' * 4, index))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    else:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack('=16si', group, index))
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    return s


def group(port):
    import select
    sockets = {s.fileno(): (af, s) for af, s in ((V4, member(V4, port)), (V6, socket_v6_only(port)))}
    while True:
        for fd in select.select(list(sockets), [], [])[0]:
            af, s = sockets[fd]
            data = s.recv(65536)
            if data[:1] == b'?':
                s.sendto(b'!' + data[1:] * 3, (GROUP[af], int(port)))


def socket_v6_only(port):
    real = socket.socket

    def only(af, *args):
        s = real(af, *args)
        if af == V6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return s
    socket.socket = only
    try:
        return member(V6, port)
    finally:
        socket.socket = real


def query(version, port, count):
    af = V6 if version == '6' else V4
    s = socket_v6_only(port) if af == V6 else member(af, port)
    s.settimeout(60)
    for n in range(int(count)):
        q = b'question %d of %s' % (n, version.encode())
        s.sendto(b'?' + q, (GROUP[af], int(port)))
        got = s.recv(65536)
        if got != b'!' + q * 3:
            sys.exit('%r' % got)


def mdns(version, name, kind):
    s = socket_v6_only(5353) if version == '6' else member(V4, 5353)
    s.settimeout(10)
    label = b''.join(bytes([len(x)]) + x.encode() for x in name.split('.')) + b'\0'
    s.sendto(struct.pack('!6H', 0, 0, 1, 0, 0, 0) + label + struct.pack('!2H', int(kind), 1),
             (GROUP[V6 if version == '6' else V4], 5353))
    got = s.recv(65536)
    _, flags, _, answers, _, _ = struct.unpack_from('!6H', got)
    if not flags & 0x8000 or not answers or label not in got:
        sys.exit('no answer: %r' % got)
    print(got.hex())


def sctp_socket(host):
    s = socket.socket(family(host), socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    s.settimeout(60)
    return s


def sctp_serve(host, port):
    s = sctp_socket(host)
    s.settimeout(None)
    s.bind((host, int(port)))
    s.listen(5)
    while True:
        c = s.accept()[0]
        data = c.recv(65536)
        while data:
            c.sendall(data)
            data = c.recv(65536)
        c.close()


def sctp_ask(host, port, count, size):
    s = sctp_socket(host)
    s.connect((host, int(port)))
    for _ in range(int(count)):
        data = random.randbytes(int(size))
        s.sendall(data)
        got = b''
        while len(got) < len(data):
            got += s.recv(65536) or sys.exit('the association is at its end')
        if got != data:
            sys.exit('not what was sent')
    s.close()


def prober(host, port):
    af = family(host)
    s = socket.socket(af, socket.SOCK_DGRAM)
    s.settimeout(30)
    if af == V4:
        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PROBE)
    else:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PROBE)
    s.connect((host, port))
    return af, s


def error(s):
    """(who, type, code, info) of the ICMP error that a datagram has met."""
    try:
        s.recv(1)
    except OSError as e:
        if e.errno not in (errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EMSGSIZE, errno.ENETUNREACH, errno.EACCES):
            raise
    _, control, _, _ = s.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    for level, kind, data in control:
        if (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            _, _, icmp, code, _, info, _ = struct.unpack_from('=IBBBBII', data)
            name = data[20:24] if level == socket.IPPROTO_IP else data[24:40]
            return ipaddress.ip_address(name), icmp, code, info
    sys.exit('no error')


def trace(host, hops):
    for ttl in range(1, int(hops) + 1):
        af, s = prober(host, 33434 + ttl)
        if af == V4:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        s.send(b'probe %d' % ttl)
        print('%s %d/%d' % error(s)[:3])


def path(host, size):
    _, s = prober(host, 9)
    s.send(bytes(int(size)))
    print('%s mtu %d' % (error(s)[0::3]))


if __name__ == '__main__':
    words = {'echo': echo, 'ask': ask, 'group': group, 'query': query, 'trace': trace, 'path': path, 'mdns': mdns,
             'sctp-serve': sctp_serve, 'sctp-ask': sctp_ask}
    if len(sys.argv) < 3 or sys.argv[1] not in words:
        sys.exit(__doc__)
    words[sys.argv[1]](*sys.argv[2:])

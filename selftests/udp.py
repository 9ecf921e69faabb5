#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""udp.py serve PORT                       - echo datagrams; to "burst N SIZE" answer with N datagrams out of one packet
udp.py ask HOST PORT COUNT SIZE         - COUNT datagrams of SIZE bytes, 16 at a time, must come back, each once, unaltered
udp.py burst HOST PORT COUNT N SIZE     - COUNT bursts
udp.py refused HOST PORT                - an ICMP error must say that nobody listens"""

import random
import socket
import sys

UDP_SEGMENT = 103
SO_RCVBUFFORCE = 33
ROOM = 8 << 20              # a request that one guest alone drops makes a difference
AT_ONCE = 16


def serve(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    s.bind(('::', int(port)))
    while True:
        data, peer = s.recvfrom(65536)
        word = data.split()
        if word[:1] == [b'burst']:
            n, size = int(word[1]), int(word[2])
            s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
            s.sendto(b''.join(bytes([i]) * size for i in range(n)), peer)
            s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
        else:
            s.sendto(data, peer)


def client(host, port):
    family, kind, proto, _, addr = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
    s = socket.socket(family, kind, proto)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    s.settimeout(60)
    s.connect(addr)
    return s


def ask(host, port, count, size):
    s = client(host, port)
    count, size = int(count), int(size)
    for start in range(0, count, AT_ONCE):
        sent = [b'%d %s' % (n, random.randbytes(size - 9)) for n in range(start, min(count, start + AT_ONCE))]
        for data in sent:
            s.send(data)
        for _ in range(len(sent)):
            sent.remove(s.recv(65536))


def burst(host, port, count, n, size):
    s = client(host, port)
    n, size = int(n), int(size)
    for _ in range(int(count)):
        s.send(b'burst %d %d' % (n, size))
        got = sorted(s.recv(65536) for _ in range(n))
        if got != [bytes([i]) * size for i in range(n)]:
            sys.exit('not what was asked for')


def refused(host, port):
    s = client(host, port)
    s.send(b'is anybody there?')
    try:
        s.recv(100)
    except ConnectionRefusedError:
        return
    sys.exit('somebody is')


if __name__ == '__main__':
    words = dict(serve=serve, ask=ask, burst=burst, refused=refused)
    if len(sys.argv) < 3 or sys.argv[1] not in words:
        sys.exit(__doc__)
    words[sys.argv[1]](*sys.argv[2:])

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""sink.py serve PORT RATE ROOM   - take what comes, RATE bytes a second (0: all at once), with ROOM bytes of buffer; answer its digest
sink.py put HOST PORT SIZE    - send SIZE bytes, compare the digest, print the seconds that it took"""

import hashlib
import random
import socket
import sys
import time


def take(conn, rate):
    digest, start, n = hashlib.sha256(), time.monotonic(), 0
    while True:
        data = conn.recv(4096 if rate else 65536)
        if not data:
            break
        digest.update(data)
        n += len(data)
        if rate:
            time.sleep(max(0.0, start + n / rate - time.monotonic()))
    conn.sendall(digest.digest())


def serve(port, rate, room):
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(room))
    s.bind(('::', int(port)))
    s.listen()
    while True:
        conn, _ = s.accept()
        with conn:
            take(conn, int(rate))


def put(host, port, size):
    data = random.randbytes(int(size))
    start = time.monotonic()
    with socket.create_connection((host, int(port)), 60) as s:
        s.settimeout(60)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = s.recv(100)
    if got != hashlib.sha256(data).digest():
        sys.exit('the server received something else')
    print('%.3f' % (time.monotonic() - start))


if __name__ == '__main__':
    words = dict(serve=serve, put=put)
    if len(sys.argv) < 3 or sys.argv[1] not in words:
        sys.exit(__doc__)
    words[sys.argv[1]](*sys.argv[2:])

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""client.py ADDR FILE [SECONDS] - what a client of colo.sh's guest has of it: short requests, one after the other, for
SECONDS, then downloads of FILE for as long, every one on a connection of its own. Prints one line of JSON.

Without SECONDS: one download. A connection is lost if it is refused, reset, silent for ten seconds, or if its bytes are wrong.
"""
import json
import socket
import sys
import time

SILENCE = 10


def get(addr, path):
    """Returns the body of the answer."""
    with socket.create_connection((addr, 80), timeout=SILENCE) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        parts = []
        while part := sock.recv(262144):
            parts.append(part)
    return b"".join(parts).partition(b"\r\n\r\n")[2]


class Series:
    """Requests for one path, one after the other."""

    def __init__(self, addr, path, wanted, seconds):
        self.times, self.lost = [], 0
        began = start = time.monotonic()
        while not self.times and not self.lost or start - began < seconds:
            try:
                if get(addr, path) == wanted:
                    self.times.append(time.monotonic() - start)
                else:
                    self.lost += 1
            except OSError:
                self.lost += 1
            start = time.monotonic()
        self.bytes_a_second = len(self.times) * len(wanted) / (start - began)

    def quantile(self, part):
        times = sorted(self.times)
        return round(times[int(part * (len(times) - 1))] * 1000, 1) if times else None


def main():
    addr, name = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0
    with open(name, "rb") as file:
        wanted = file.read()
    result = {"lost": 0}
    if seconds:
        short = Series(addr, "/small", b"a small answer\n", seconds)
        result.update(requests=len(short.times), median_ms=short.quantile(0.5), p99_ms=short.quantile(0.99), lost=short.lost)
    long = Series(addr, "/file", wanted, seconds)
    result.update(downloads=len(long.times), kb_s=round(long.bytes_a_second / 1000), lost=result["lost"] + long.lost)
    print(json.dumps(result))


main()

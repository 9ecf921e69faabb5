#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""noise.py DEV MARK [SECONDS] - send one frame of every kind out of DEV, each with MARK in it, again and again."""
import os
import socket
import struct
import sys
import time

GUEST, CLIENT = bytes.fromhex('525400000002'), bytes.fromhex('525400000001')
OTHER, BROADCAST = bytes.fromhex('525400000099'), b'\xff' * 6
IP4 = {'guest': socket.inet_aton('10.0.0.2'), 'client': socket.inet_aton('10.0.0.1')}
IP6 = {'guest': socket.inet_pton(socket.AF_INET6, 'fd00::2'), 'client': socket.inet_pton(socket.AF_INET6, 'fd00::1')}


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip4(proto, payload, src=IP4['guest'], dst=IP4['client'], frag=0):
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(payload), 1, frag, 64, proto, 0, src, dst)
    return b'\x08\x00' + head[:10] + struct.pack('!H', checksum(head)) + head[12:] + payload


def ip6(proto, payload, dst=IP6['client'], hop=64, extra=b''):
    return b'\x86\xdd' + struct.pack('!IHBB16s16s', 6 << 28, len(extra + payload), 0 if extra else proto, hop, IP6['guest'], dst) \
        + extra + payload


def icmp6(kind, body, dst, **how):
    data = struct.pack('!BBH', kind, 0, 0) + body
    pseudo = IP6['guest'] + dst + struct.pack('!II', len(data), 58)
    return ip6(58, data[:2] + struct.pack('!H', checksum(pseudo + data)) + data[4:], dst, **how)


def tcp(sport, dport, flags, mark):
    return struct.pack('!HHIIBBHHH', sport, dport, 12345, 67890, 0x50, flags, 1000, 0, 0) + mark


def frames(mark):
    arp = struct.pack('!HHBBH', 1, 0x800, 6, 4, 2) + GUEST + IP4['guest'] + BROADCAST + IP4['guest'] + mark
    all_nodes = socket.inet_pton(socket.AF_INET6, 'ff02::1')
    mld = struct.pack('!HH', 0, 1) + b'\x04\0\0\0' + all_nodes
    udp = struct.pack('!HHHH', 53, 5353, 8 + len(mark), 0) + mark
    packets = [
        b'\x08\x06' + arp,
        b'\x08\x06' + arp.replace(GUEST, OTHER),
        b'\x81\x00\x00\x07\x08\x06' + arp,
        b'\x81\x00\x00\x07' + ip4(17, udp),
        b'\x88\xa8\x00\x08\x81\x00\x00\x07' + ip6(17, udp),
        b'\x88\xcc' + b'\x02\x07\x04' + GUEST + mark,              # LLDP
        b'\x88\xb5' + mark,                                        # local experimental
        struct.pack('!H', len(mark) + 3) + b'\x42\x42\x03' + mark,  # 802.3 with LLC: spanning tree
        b'\x88\x08\x00\x01\xff\xff' + mark,                        # pause
        b'\x88\x63' + mark,                                        # PPPoE
        icmp6(143, mld + mark, socket.inet_pton(socket.AF_INET6, 'ff02::16'), hop=1, extra=b'\x3a\0\x05\x02\0\0\x01\0'),
        icmp6(136, b'\x20\0\0\0' + IP6['guest'] + b'\x02\x01' + GUEST + mark, all_nodes, hop=255),
        icmp6(134, b'\x40\0\x07\x08' + b'\0' * 8 + mark, all_nodes, hop=255),
        ip4(2, b'\x16\0\0\0' + socket.inet_aton('224.0.0.5') + mark, dst=socket.inet_aton('224.0.0.22')),
        ip4(17, udp),
        ip4(17, udp, dst=socket.inet_aton('255.255.255.255')),
        ip4(17, udp, frag=0x2000),
        ip4(17, udp, frag=0x0100),
        ip4(1, b'\x08\0' + struct.pack('!H', checksum(b'\x08\0\0\0' + mark)) + mark),
        ip4(132, mark), ip4(47, mark), ip4(6, mark), ip4(6, tcp(7000, 40000, 0x10, mark)), ip4(6, tcp(7000, 40000, 0x04, mark)),
        ip4(6, tcp(40001, 7000, 0x02, mark)),
        ip6(17, udp), ip6(6, tcp(7000, 40000, 0x18, mark)), ip6(44, b'\x11\0\0\x01\0\0\0\x01' + udp), ip6(59, mark),
        b'\x08\x00' + mark, b'\x86\xdd' + mark,
    ]
    for packet in packets:
        for dst in CLIENT, BROADCAST, bytes.fromhex('0180c2000000'), bytes.fromhex('333300000001'), OTHER, GUEST:
            for src in GUEST, OTHER:
                yield (dst + src + packet).ljust(60, b'\0')
    for size in 15, 20, 34, 54, 1514:
        yield (CLIENT + GUEST + os.urandom(1) * 2 + mark + os.urandom(size))[:1514]


def main():
    dev, mark = sys.argv[1], sys.argv[2].encode()
    end = time.monotonic() + float(sys.argv[3] if len(sys.argv) > 3 else 0)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((dev, 0))
    sent = 0
    while True:
        for frame in frames(mark):
            try:
                sent += s.send(frame) > 0
                time.sleep(0.001)               # leave room for others
            except OSError:                     # the device is down for a moment
                time.sleep(0.01)
        if time.monotonic() >= end:
            break
    print(sent)


main()

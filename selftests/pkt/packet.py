# SPDX-License-Identifier: GPL-2.0
"""Build and take apart Ethernet frames, without any library."""

import socket
import struct

FLAGS = 'FSRPAUEC'
ETH_IP, ETH_IP6, ETH_ARP, ETH_VLAN, ETH_QINQ = 0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8
M32 = 0xffffffff

CLIENT_MAC = bytes.fromhex('020000000001')
GUEST_MAC = bytes.fromhex('020000000002')
BROADCAST = b'\xff' * 6
CLIENT = {False: socket.inet_aton('10.0.0.1'), True: socket.inet_pton(socket.AF_INET6, 'fd00::1')}
GUEST = {False: socket.inet_aton('10.0.0.2'), True: socket.inet_pton(socket.AF_INET6, 'fd00::2')}

# virtio_net_hdr, as AF_PACKET shows it: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset.
VNET = struct.Struct('=BBHHHH')
VNET_NONE = bytes(VNET.size)
NEEDS_CSUM, GSO_TCP4, GSO_TCP6, GSO_UDP_L4 = 1, 1, 4, 5


def bits(flags):
    return flags if isinstance(flags, int) else sum(1 << FLAGS.index(c) for c in flags)


def csum(data, start=0):
    """The ones' complement sum, folded, not inverted."""
    if len(data) & 1:
        data += b'\0'
    n = start + sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while n >> 16:
        n = (n & 0xffff) + (n >> 16)
    return n


def pseudo(src, dst, proto, length):
    return csum(src + dst + struct.pack('!II', length, proto))


def eth(dst, src, etype, payload):
    return dst + src + struct.pack('!H', etype) + payload


def ip4(src, dst, proto, payload, ttl=64, ipid=0, tos=0, frag=0x4000, opts=b'', total=None, ihl=None, bad_sum=False):
    words = 5 + len(opts) // 4
    if total is None:
        total = words * 4 + len(payload)
    h = struct.pack('!BBHHHBBH4s4s', 0x40 | (words if ihl is None else ihl), tos, total, ipid, frag, ttl, proto, 0,
                    src, dst) + opts
    check = csum(h) ^ 0xffff ^ (0x5555 if bad_sum else 0)
    return h[:10] + struct.pack('!H', check) + h[12:] + payload


def ip6(src, dst, proto, payload, ttl=64, tos=0, ext=(), total=None):
    """ext: (protocol number, body without its first byte) of each extension header, outermost first."""
    protos = [p for p, _ in ext] + [proto]
    chain = b''.join(bytes([protos[i + 1]]) + body for i, (_, body) in enumerate(ext))
    body = chain + payload
    return struct.pack('!IHBB16s16s', 6 << 28 | tos << 20, len(body) if total is None else total, protos[0], ttl,
                       src, dst) + body


def tcp_header(src, dst, sport, dport, seq, ack, flags, data=b'', win=0x7210, opts=b'', urg=0, doff=None,
               partial=False, bad_sum=False, reserved=0):
    opts += b'\0' * (-len(opts) % 4)
    words = 5 + len(opts) // 4
    h = struct.pack('!HHIIBBHHH', sport, dport, seq & M32, ack & M32, (words if doff is None else doff) << 4 | reserved,
                    bits(flags), win, 0, urg) + opts
    length = len(h) + len(data)
    check = pseudo(src, dst, 6, length)
    if not partial:
        check = csum(h + data, check) ^ 0xffff
    if bad_sum:
        check ^= 0x5555
    return h[:16] + struct.pack('!H', check) + h[18:]


def tcp(src, dst, sport, dport, seq, ack, flags, data=b'', macs=None, ttl=64, ipid=0, tos=0, ipopts=b'', ext=(),
        mss=None, linear=None, partial=False, total=None, ihl=None, pad=0, frag=0x4000, ip_bad_sum=False, **kw):
    """One frame with TCP in it.  mss: a GSO packet; linear: so much of it is said to be header.
    pad: Ethernet padding after the IP packet.
    Returns (frame, virtio header)."""
    v6 = len(src) == 16
    partial = partial or mss is not None
    h = tcp_header(src, dst, sport, dport, seq, ack, flags, data, partial=partial, **kw)
    if v6:
        packet = ip6(src, dst, 6, h + data, ttl=ttl, tos=tos, ext=ext, total=total)
    else:
        packet = ip4(src, dst, 6, h + data, ttl=ttl, ipid=ipid, tos=tos, opts=ipopts, total=total, ihl=ihl, frag=frag,
                     bad_sum=ip_bad_sum)
    frame = eth(*(macs or (CLIENT_MAC, GUEST_MAC)), ETH_IP6 if v6 else ETH_IP, packet) + b'\xee' * pad
    vnet = VNET_NONE
    if partial:
        start = len(frame) - pad - len(h) - len(data)
        vnet = VNET.pack(NEEDS_CSUM, (GSO_TCP6 if v6 else GSO_TCP4) if mss else 0, (linear or start + len(h)) if mss else 0,
                         mss or 0, start, 16)
    return frame, vnet


def udp(src, dst, sport, dport, data, macs=None, ttl=64, ipid=0):
    h = struct.pack('!HHHH', sport, dport, 8 + len(data), 0)
    check = csum(h + data, pseudo(src, dst, 17, len(h) + len(data))) ^ 0xffff or 0xffff
    body = h[:6] + struct.pack('!H', check) + data
    v6 = len(src) == 16
    packet = ip6(src, dst, 17, body, ttl=ttl) if v6 else ip4(src, dst, 17, body, ttl=ttl, ipid=ipid)
    return eth(*(macs or (CLIENT_MAC, GUEST_MAC)), ETH_IP6 if v6 else ETH_IP, packet)


def arp(op, sha, spa, tha, tpa, dst=BROADCAST):
    return eth(dst, sha, ETH_ARP, struct.pack('!HHBBH6s4s6s4s', 1, ETH_IP, 6, 4, op, sha, spa, tha, tpa)).ljust(60, b'\0')


def options(*parts):
    """TCP options: a part is bytes, a kind alone (0 EOL, 1 NOP), or (kind, body)."""
    out = b''
    for p in parts:
        if isinstance(p, int):
            out += bytes([p])
        elif isinstance(p, bytes):
            out += p
        else:
            out += bytes([p[0], 2 + len(p[1])]) + p[1]
    return out


def sack(*blocks):
    return 5, b''.join(struct.pack('!II', a & M32, b & M32) for a, b in blocks)


def timestamps(val, ecr):
    return 8, struct.pack('!II', val & M32, ecr & M32)


class Packet:
    """A captured frame.  Fields that it does not have are None; errors says what is wrong with it."""

    def __init__(self, raw, vnet=VNET_NONE):
        self.raw, self.vnet = raw, vnet
        self.vflags, self.gso_type, _, self.gso_size, _, _ = VNET.unpack(vnet)
        self.errors = []
        self.seq = self.ack = self.flags = self.data = self.sport = self.dport = self.win = self.opts = self.urg = None
        self.ttl = self.proto = self.src = self.dst = self.ipid = self.frag = self.l4 = None
        self.etype = struct.unpack_from('!H', raw, 12)[0] if len(raw) >= 14 else None
        try:
            self.parse()
        except (struct.error, IndexError):
            self.errors.append('truncated')

    def parse(self):
        raw = self.raw
        if self.etype == ETH_IP:
            vihl, self.tos, total, self.ipid, self.frag, self.ttl, self.proto, _, self.src, self.dst = \
                struct.unpack_from('!BBHHHBBH4s4s', raw, 14)
            ihl = (vihl & 15) * 4
            at, end = 14 + ihl, 14 + total
            if csum(raw[14:at]) != 0xffff:
                self.errors.append('IP checksum')
        elif self.etype == ETH_IP6:
            _, length, self.proto, self.ttl, self.src, self.dst = struct.unpack_from('!IHBB16s16s', raw, 14)
            at, end = 54, 54 + length
            self.frag = 0
            while self.proto in (0, 43, 44, 60):
                nxt, hl = raw[at], raw[at + 1]
                if self.proto == 44:
                    self.frag = struct.unpack_from('!H', raw, at + 2)[0]
                    hl = 0
                self.proto, at = nxt, at + 8 + hl * 8
                if self.frag & 0xfff8:
                    break
        else:
            return
        self.l4 = at
        if len(raw) < end:
            self.errors.append('IP length beyond the frame')
            return
        self.body = raw[at:end]
        if self.proto != 6 or (self.etype == ETH_IP and self.frag & 0x3fff) or (self.etype == ETH_IP6 and self.frag):
            return
        self.sport, self.dport, self.seq, self.ack, off, self.flags, self.win, check, self.urg = \
            struct.unpack_from('!HHIIBBHHH', raw, at)
        hl = (off >> 4) * 4
        self.opts = raw[at + 20:at + hl]
        self.data = raw[at + hl:end]
        want = pseudo(self.src, self.dst, 6, end - at)
        if self.vflags & NEEDS_CSUM:
            if check != want:
                self.errors.append('TCP pseudo checksum %04x, not %04x' % (check, want))
        elif csum(raw[at:end], want) != 0xffff:
            self.errors.append('TCP checksum')

    def __repr__(self):
        s = '%d bytes' % len(self.raw)
        if self.seq is not None:
            family = socket.AF_INET6 if len(self.src) == 16 else socket.AF_INET
            flags = ''.join(c for i, c in enumerate(FLAGS) if self.flags >> i & 1)
            s = '%s.%d > %s.%d [%s] seq %u ack %u win %d len %d ttl %d' % (
                socket.inet_ntop(family, self.src), self.sport, socket.inet_ntop(family, self.dst), self.dport,
                flags, self.seq, self.ack, self.win, len(self.data), self.ttl)
            if self.opts:
                s += ' opts ' + self.opts.hex()
        elif self.etype is not None:
            s += ' type %04x %s' % (self.etype, self.raw[14:60].hex())
        if self.gso_size:
            s += ' gso %d' % self.gso_size
        return '<%s%s>' % (s, ''.join(' BAD ' + e for e in self.errors))

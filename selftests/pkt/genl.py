# SPDX-License-Identifier: GPL-2.0
"""A generic netlink client for the kcolo family.  Numbers come from the uapi header."""

import os
import re
import socket
import struct

SOURCE = os.environ.get('KCOLO_SRC') or os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..')
HEADER = os.path.join(SOURCE, 'uapi/linux/kcolo.h')

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_NESTED = 0x8000
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 1, 11, 12
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS = 16, 3, 1, 2, 7

CMD, A, STATS, ENUMS = {}, {}, {}, {}


def read_header():
    text = re.sub(r'/\*.*?\*/', '', open(HEADER).read(), flags=re.S)
    for name, body in re.findall(r'enum\s*(\w*)\s*\{(.*?)\}', text, re.S):
        value, names = -1, {}
        for item in body.split(','):
            m = re.match(r'\s*(\w+)\s*(?:=\s*(\w+))?', item)
            if not m or m.group(1).startswith('__') or m.group(1).endswith('_MAX'):
                continue
            value = int(m.group(2)) if m.group(2) else value + 1
            names[m.group(1)] = value
        if name:
            prefix = name.upper() + '_'
            ENUMS[name[6:]] = {k[len(prefix):].lower().replace('_', '-'): v for k, v in names.items()}
        else:
            for k, v in names.items():
                for prefix, table in (('KCOLO_A_STATS_', STATS), ('KCOLO_A_', A), ('KCOLO_CMD_', CMD)):
                    if k.startswith(prefix):
                        table[k[len(prefix):].lower()] = v
                        break


read_header()
A_NAME = {v: k for k, v in A.items()}
STATS_NAME = {v: k for k, v in STATS.items()}
CMD_NAME = {v: k for k, v in CMD.items()}
ENUM_OF = {'role': 'role', 'mode': 'mode', 'state': 'state', 'request': 'reason', 'reason': 'reason', 'cause': 'cause',
           'action': 'action', 'flow_state': 'flow_state', 'rule_action': 'rule_action'}
FORMAT = {'proto': 'B', 'tsoffset': 'i', 'dormant_tsoffset': 'i', 'sport': 'H', 'dport': 'H', 'held_bytes': 'Q',
          'idle': 'Q', 'compared': 'Q', 'stream_offset': 'Q', 'packets': 'Q', 'src_len': 'B', 'dst_len': 'B', 'ago': 'Q',
          'vlan': 'H', 'vlan_proto': 'H', 'cvlan': 'H', 'cvlan_proto': 'H'}
FLAGS = {'force', 'active_open'}
STRINGS, BINARY = {'pair', 'vm', 'peer'}, {'src', 'dst', 'primary', 'secondary', 'before'}
HISTOGRAMS = {'hold_times', 'compare_lag'}


class Refused(Exception):
    def __init__(self, errno, text, where=None):
        super().__init__('%s: %s' % (os.strerror(errno), text))
        self.errno, self.text, self.where = errno, text, where


def attr(number, payload):
    return struct.pack('=HH', 4 + len(payload), number) + payload + b'\0' * (-len(payload) % 4)


def attrs_of(data):
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from('=HH', data, at)
        yield kind & 0x3fff, data[at + 4:at + length]
        at += (length + 3) & ~3


def encode(name, value):
    if name in STRINGS:
        payload = value.encode() + b'\0'
    elif name in FLAGS:
        payload = b''
    elif isinstance(value, bytes):
        payload = value
    else:
        if isinstance(value, str):
            value = ENUMS[ENUM_OF[name]][value]
        payload = struct.pack('=' + FORMAT.get(name, 'I'), value)
    return attr(A[name], payload)


def decode(data):
    out = {}
    for kind, payload in attrs_of(data):
        name = A_NAME.get(kind, kind)
        if name == 'stats':
            out[name] = {STATS_NAME.get(k, k): struct.unpack('=Q', p)[0] for k, p in attrs_of(payload)
                         if STATS_NAME.get(k) != 'pad'}
        elif name == 'last_miscompare':
            out[name] = decode(payload)
        elif name in HISTOGRAMS:
            out[name] = list(struct.unpack('=%dQ' % (len(payload) // 8), payload))
        elif name in STRINGS:
            out[name] = payload.rstrip(b'\0').decode()
        elif name in FLAGS:
            out[name] = True
        elif name in BINARY or isinstance(name, int):
            out[name] = payload
        elif name != 'pad':
            value = struct.unpack('=' + FORMAT.get(name, 'I'), payload)[0]
            if name in ENUM_OF:
                value = next((k for k, v in ENUMS[ENUM_OF[name]].items() if v == value), value)
            out[name] = value
    return out


class Genl:
    """One socket, in the network namespace of its making."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 16)
        self.sock.bind((0, 0))
        self.sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 10, 0))
        self.sequence = 0
        self.family = None
        self.groups = {}

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def resolve(self):
        for payload in self.request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attr(CTRL_ATTR_FAMILY_NAME, b'kcolo\0')):
            for kind, data in attrs_of(payload):
                if kind == CTRL_ATTR_FAMILY_ID:
                    self.family = struct.unpack('=H', data)[0]
                elif kind == CTRL_ATTR_MCAST_GROUPS:
                    for _, group in attrs_of(data):
                        fields = dict(attrs_of(group))
                        self.groups[fields[1].rstrip(b'\0').decode()] = struct.unpack('=I', fields[2])[0]

    def join(self, *names):
        if self.family is None:
            self.resolve()
        for name in names or self.groups:
            self.sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, self.groups[name])

    def request(self, family, cmd, payload=b'', flags=NLM_F_ACK):
        self.sequence += 1
        msg = struct.pack('=BBH', cmd, 1, 0) + payload
        self.sock.send(struct.pack('=IHHII', 16 + len(msg), family, flags | NLM_F_REQUEST, self.sequence, 0) + msg)
        out = []
        while True:
            data = self.sock.recv(1 << 17)
            at = 0
            while at + 16 <= len(data):
                length, kind, mflags, seq, _ = struct.unpack_from('=IHHII', data, at)
                body = data[at + 16:at + length]
                at += (length + 3) & ~3
                if seq != self.sequence:
                    continue
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    error = struct.unpack_from('=i', body)[0] if len(body) >= 4 else 0
                    if error:
                        raise Refused(-error, *self.extack(kind, mflags, body))
                    return out
                out.append(body[4:])

    @staticmethod
    def extack(kind, flags, body):
        text = where = None
        if flags & NLM_F_ACK_TLVS:
            skip = 4
            if kind == NLMSG_ERROR:
                skip += 16 if flags & NLM_F_CAPPED else (struct.unpack_from('=I', body, 4)[0] + 3) & ~3
            for number, payload in attrs_of(body[skip:]):
                if number == 1:
                    text = payload.rstrip(b'\0').decode()
                elif number == 2:
                    where = struct.unpack('=I', payload)[0]
        return text, where

    def call(self, cmd, dump=False, raw=b'', **fields):
        if self.family is None:
            self.resolve()
        payload = b''.join(encode(k, v) for k, v in fields.items()) + raw
        return [decode(p) for p in self.request(self.family, CMD[cmd], payload, NLM_F_DUMP if dump else NLM_F_ACK)]

    def events(self):
        """What has arrived in the groups so far."""
        out = []
        while True:
            try:
                data = self.sock.recv(1 << 17, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return out
            at = 0
            while at + 20 <= len(data):
                length, kind = struct.unpack_from('=IH', data, at)
                if kind == self.family:
                    event = decode(data[at + 20:at + length])
                    event['event'] = CMD_NAME.get(data[at + 16], '?')
                    out.append(event)
                at += (length + 3) & ~3

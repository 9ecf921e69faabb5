#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""qmp.py PRIMARY SECONDARY MIGRATION LOG - begin COLO between two QEMUs without kcolod, as QEMU's own documentation does it.

PRIMARY and SECONDARY are sockets of monitors. Writes into LOG "colo" when COLO has begun, then each event of the
primary's with its time in seconds, until it is killed: a checkpoint is a STOP and a RESUME.
"""
import json
import socket
import sys
import time


class Monitor:
    """A connection to a monitor; what comes in between an answer is an event."""

    def __init__(self, path, event=lambda message: None):
        self.event = event
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")
        json.loads(self.file.readline())
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        text = json.dumps({"execute": command, "arguments": arguments})
        self.sock.sendall(text.encode())
        while True:
            message = json.loads(self.file.readline())
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise RuntimeError(f"{command}: {message['error']['desc']}")
            self.event(message)

    def listen(self):
        for line in self.file:
            self.event(json.loads(line))


def main():
    primary_path, secondary_path, channel, log_name = sys.argv[1:]
    with open(log_name, "w", encoding="ascii", buffering=1) as log:
        def event(message):
            log.write(f"{time.monotonic():.3f} {message['event']}\n")

        primary, secondary = Monitor(primary_path, event), Monitor(secondary_path)
        on = [{"capability": name, "state": True} for name in ("return-path", "x-colo", "events")]
        secondary.do("migrate-set-capabilities", capabilities=on)
        primary.do("migrate-set-capabilities", capabilities=on)
        primary.do("migrate-set-parameters", **{"x-checkpoint-delay": 100000000})
        primary.do("migrate", uri=channel)
        while primary.do("query-migrate").get("status") != "colo":
            time.sleep(0.2)
        log.write("colo\n")
        primary.listen()


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""played_qemu.py ph|sh - one QEMU of a COLO pair, as far as kcolod can tell, until it is killed.

Its guests are servers that are equal from the beginning, so there is nothing to copy.
"""
import os
import socket
import sys
import threading

from kcolod import READY, TMP, Monitor


class Qemu:
    """A monitor, and one end of the migration channel."""

    def __init__(self, host):
        self.monitor, self.mode = Monitor(host), "primary" if host == "ph" else "secondary"
        self.monitor.on_migrate = self.migrate

    def migrate(self, uri):
        channel = socket.socket(socket.AF_UNIX)
        channel.connect(uri.removeprefix("unix:"))
        threading.Thread(target=self.colo, args=(channel,), daemon=True).start()

    def incoming(self, path):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        channel, _ = listener.accept()
        channel.sendall(READY)
        self.colo(channel)

    def colo(self, channel):
        self.monitor.status = "colo"
        while channel.recv(4096):
            pass
        self.monitor.status = "none"
        self.monitor.event("COLO_EXIT", mode=self.mode, reason="error")


def main():
    qemu = Qemu(sys.argv[1])
    if sys.argv[1] == "sh":
        path = f"{TMP}/sh.mig"
        if os.path.exists(path):
            os.unlink(path)
        qemu.incoming(path)
    threading.Event().wait()


main()

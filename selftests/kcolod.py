#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""kcolod on two hosts, with a QEMU on each that the tests play: its monitor, and its end of the migration channel.

Started by kcolod.sh, which makes the hosts.  A test is a function test_NAME; -k WORD runs those with WORD in their name.
"""
import array
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

TMP, PAIR, SELFTESTS = os.environ["TMP"], os.environ["PAIR"], os.environ["SELFTESTS"]
SCALE = float(os.environ.get("KCOLO_TEST_SCALE", "1"))
READY, REQUEST, REPLY, RECEIVED, LOADED = (struct.pack(">I", n) for n in (0, 1, 2, 5, 6))
HOSTS = ("ph", "sh")
ADDR = {"ph": "192.0.2.1", "sh": "192.0.2.2"}


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.stderr}{done.stdout}")
    return done.stdout


def kcolo(host, *words, check=True):
    return run("kcolo", "-n", host, *words, check=check)


def pair(host):
    out = json.loads(kcolo(host, "-j", "pair", "show", PAIR))
    return out[0] if isinstance(out, list) else out


def until(what, fn, limit=10.0):
    """Looks are counted: the clock goes on while the machine stands still."""
    for _ in range(int(limit * SCALE * 100)):
        value = fn()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("waited too long: " + what)


def equal(got, want, what):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, should be {want!r}")


def end(sock, *threads):
    """Close a socket that threads may wait for. One that is about to read would else read what gets its number next."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(5 * SCALE)
    sock.close()


class Monitor:
    """The monitor of one QEMU; answers what it is asked and remembers it."""

    def __init__(self, host):
        self.host, self.path = host, f"{TMP}/{host}.qmp"
        self.asked, self.client, self.hang, self.status = [], None, False, "none"
        self.on_migrate = None
        self.garbage = b""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.client = client
            client.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
            with contextlib.suppress(OSError, ValueError):
                self.talk(client)
            client.close()

    def talk(self, client):
        for line in client.makefile("rb"):
            message = json.loads(line)
            self.asked.append((message["execute"], message.get("arguments", {})))
            if self.hang:
                continue
            if self.garbage:
                client.sendall(self.garbage)
            answer = {"return": {}, "id": message["id"]}
            if message["execute"] == "query-migrate":
                answer["return"] = {"status": self.status}
            client.sendall(json.dumps(answer).encode() + b"\r\n")
            if message["execute"] == "migrate" and self.on_migrate:
                self.on_migrate(message["arguments"]["uri"])

    def event(self, name, **data):
        text = json.dumps({"event": name, "data": data, "timestamp": {}}).encode() + b"\r\n"
        with contextlib.suppress(OSError, AttributeError):
            self.client.sendall(text)

    def count(self, command):
        return sum(1 for name, _ in self.asked if name == command)

    def die(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        if self.client:
            with contextlib.suppress(OSError):
                self.client.shutdown(socket.SHUT_RDWR)
        end(self.listener, self.thread)


class Daemon:
    """kcolod on a host, under something that keeps file descriptors as systemd does."""

    def __init__(self, host, **conf):
        self.host, self.kept, self.proc, self.log = host, {}, None, f"{TMP}/{host}.log"
        self.conf = {
            "pair": PAIR, "qmp": f"{TMP}/{host}.qmp", "migration": f"{TMP}/{host}.mig",
            "peer": ADDR["sh" if host == "ph" else "ph"] + " 7010", "failover": "auto",
            "peer-silence": str(int(4000 * SCALE)), "qmp-timeout": str(int(3000 * SCALE)),
        }
        if host == "sh":
            self.conf["listen"] = ADDR["sh"] + " 7010"
            self.conf["takeover"] = f"echo taken $1 $2 >>{TMP}/taken"
        self.conf.update(conf)
        self.name = f"{TMP}/{host}.conf"
        with open(self.name, "w", encoding="ascii") as file:
            file.writelines(f"{key.replace('_', '-')} {value}\n" for key, value in self.conf.items())
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify_path = f"{TMP}/{host}.notify"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.notify_path)
        self.notify.bind(self.notify_path)
        self.thread = threading.Thread(target=self.keep, daemon=True)
        self.thread.start()
        with open(self.log, "wb"):
            pass
        self.start()

    def keep(self):
        while True:
            try:
                data, anc, _, _ = self.notify.recvmsg(4096, 1024)
            except OSError:
                return
            if not data:
                return
            words = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
            name = words.get("FDNAME")
            if "FDSTOREREMOVE" in words:
                if name in self.kept:
                    os.close(self.kept.pop(name))
            elif "FDSTORE" in words:
                for _, _, raw in anc:
                    self.kept[name] = array.array("i", raw)[0]

    def start(self):
        names = list(self.kept)
        env = dict(os.environ, NOTIFY_SOCKET=self.notify_path, KCOLO_RUN=TMP)
        script = f"exec ip netns exec {self.host} kcolod run {self.name}"
        if names:
            script = f"export LISTEN_PID=$$ LISTEN_FDS={len(names)} LISTEN_FDNAMES={':'.join(names)}; {script}"
        kept = [os.dup(self.kept[name]) for name in names]

        def place():
            high = [os.dup2(fd, 100 + i) for i, fd in enumerate(kept)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
                os.close(fd)

        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(["sh", "-c", script], env=env, stdout=log, stderr=log, close_fds=not names,
                                         preexec_fn=place if names else None)  # pylint: disable=subprocess-popen-preexec-fn
        for fd in kept:
            os.close(fd)
        until("kcolod starts", lambda: self.status(check=False))

    def restart(self, sig=signal.SIGKILL):
        time.sleep(0.05)
        self.proc.send_signal(sig)
        self.proc.wait()
        self.start()

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        end(self.notify, self.thread)
        for fd in self.kept.values():
            os.close(fd)
        self.kept.clear()

    def order(self, word, check=True):
        env = dict(os.environ, KCOLO_RUN=TMP)
        done = subprocess.run(["kcolod", word, self.host], env=env, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode and check:
            raise AssertionError(f"kcolod {word}: {done.stderr}")
        return None if done.returncode else done.stdout or "done"

    def status(self, check=True):
        out = self.order("status", check)
        return json.loads(out) if out else None

    def phase(self):
        return self.status()["phase"]

    def says(self, words):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return words in file.read()


class World:
    """A pair, a daemon on each host, a QEMU on each."""

    def __init__(self, primary=None, secondary=None, timeout=1000):
        for host in HOSTS:
            kcolo(host, "pair", "del", PAIR, "force", check=False)
        kcolo("ph", "pair", "add", PAIR, "role", "primary", "vm", "vm", "peer", "peer", "timeout", str(timeout),
              "scan", "100", "min-interval", "10")
        kcolo("sh", "pair", "add", PAIR, "role", "secondary", "vm", "vm", "peer", "peer")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{TMP}/taken")
        self.qmp = {host: Monitor(host) for host in HOSTS}
        self.pri = self.sec = None
        self.threads = []
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{TMP}/sh.mig")
        self.incoming = socket.socket(socket.AF_UNIX)
        self.incoming.bind(f"{TMP}/sh.mig")
        self.incoming.listen()
        self.incoming.settimeout(5 * SCALE)
        self.qmp["ph"].on_migrate = self.migrate
        self.d = {"ph": Daemon("ph", **(primary or {})), "sh": Daemon("sh", **(secondary or {}))}
        for host in HOSTS:
            until("QMP", lambda h=host: self.d[h].status()["qmp"])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            for host in HOSTS:
                with open(self.d[host].log, encoding="utf-8", errors="replace") as file:
                    print("".join(f"# {host}: {line[:200].rstrip()}\n" for line in file.readlines()[-15:]), end="")
                print(f"# {host}: {pair(host)}")
        for host in HOSTS:
            self.d[host].stop()
            self.qmp[host].die()
        for sock in (self.pri, self.sec, self.incoming):
            if sock:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for sock in (self.pri, self.sec, self.incoming):
            if sock:
                end(sock, *self.threads)
        run("ip", "-n", "ph", "link", "set", "mig", "up")

    def migrate(self, uri):
        pri = socket.socket(socket.AF_UNIX)
        pri.connect(uri.removeprefix("unix:"))
        pri.settimeout(5 * SCALE)
        self.pri = pri

    def connect(self):
        self.d["ph"].order("start")
        until("migrate", lambda: self.pri)
        self.sec, _ = self.incoming.accept()
        self.sec.settimeout(5 * SCALE)

    def colo(self):
        self.connect()
        self.say(READY)
        return self

    def say(self, data):
        """The secondary says it, the primary hears it."""
        self.sec.sendall(data)
        equal(recv(self.pri, len(data)), data, "what the primary hears")

    def checkpoint(self, upto=LOADED):
        self.pri.sendall(REQUEST)
        equal(recv(self.sec, 4), REQUEST, "request")
        for number in (REPLY, RECEIVED, LOADED):
            self.say(number)
            if number == upto:
                break

    def epochs(self):
        return tuple(pair(host)["epoch"] for host in HOSTS)

    def states(self):
        return tuple(pair(host)["state"] for host in HOSTS)

    def die(self, host):
        """QEMU is killed: monitor and channel end at once."""
        self.qmp[host].die()
        end(self.pri if host == "ph" else self.sec, *self.threads)
        if host == "ph":
            self.pri = None
        else:
            self.sec = None

    def aside(self, fn, *args):
        """Does this in a thread of its own."""
        self.threads.append(threading.Thread(target=fn, args=args, daemon=True))
        self.threads[-1].start()

    def notice(self):
        """What the other QEMU does when its channel ends."""
        for host, sock in (("ph", self.pri), ("sh", self.sec)):
            if not sock:
                continue
            with contextlib.suppress(OSError):
                while sock.recv(65536):
                    pass
            self.qmp[host].event("COLO_EXIT", mode="primary" if host == "ph" else "secondary", reason="error")


def recv(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise AssertionError(f"the channel ended after {len(data)} of {size} bytes")
        data += part
    return data


class Liar:
    """Two guests that answer a datagram, each with its own words."""

    def __init__(self):
        self.procs = []
        code = ("import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(('10.0.0.2',9))\n"
                "while 1:\n d,a=s.recvfrom(99)\n s.sendto(d+sys.argv[1].encode(),a)\n")
        for ns in ("pv", "sv"):
            self.procs.append(subprocess.Popen(["ip", "netns", "exec", ns, sys.executable, "-c", code, ns]))
            until("the guest listens", lambda ns=ns: run("ss", "-N", ns, "-Hlun", "sport = :9").strip())
        self.ask_code = ("import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                         "s.sendto(b'who',('10.0.0.2',9))\ns.settimeout(float(sys.argv[1]))\n"
                         "sys.stdout.write(s.recv(99).decode())\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for proc in self.procs:
            proc.kill()
            proc.wait()

    def ask(self):
        return subprocess.Popen(["ip", "netns", "exec", "cl", sys.executable, "-c", self.ask_code, str(20 * SCALE)],
                                stdout=subprocess.PIPE, text=True)


# ---- the channel

def test_c2_first_copy_is_a_commit_on_both():
    """C2: the first copy is a checkpoint: before it nothing is held, after it both are in one epoch."""
    with World() as w:
        until("bypass without a secondary", lambda: pair("ph")["state"] == "bypass")
        w.connect()
        until("C6: closed while the copy is made", lambda: pair("sh")["state"] == "checkpoint")
        bulk = os.urandom(20000001)
        # A limit for all of it, on a busy machine; a pause is noticed by who reads.
        w.pri.settimeout(60 * SCALE)
        w.aside(w.pri.sendall, bulk)
        equal(recv(w.sec, len(bulk)) == bulk, True, "20 MB of state arrive, without a pause")
        path = struct.pack(">HHI", 3, 4, 0) + struct.pack(">HH", 1, 300) + bytes(300) + struct.pack(">HH", 2, 0)
        for i in range(0, len(path), 7):
            w.sec.sendall(path[i:i + 7])
        equal(recv(w.pri, len(path)), path, "messages of the return path")
        equal(w.states(), ("bypass", "checkpoint"), "states before READY")
        w.say(READY)
        equal(w.states(), ("running", "running"), "states after READY")
        equal(w.epochs(), (1, 1), "epochs")


def test_c2_a_secondary_that_reads_in_pieces():
    """C2: the first copy goes on after a pause of QEMU's, even if the socket had room for less than epoll tells of."""
    with World() as w:
        w.connect()
        bulk = os.urandom(8000001)
        w.pri.settimeout(60 * SCALE)
        w.aside(w.pri.sendall, bulk)
        got = b""
        w.sec.settimeout(5 * SCALE)
        for piece in (100000, 20000, 60000, 140000):
            # Until everything is full; then the daemon looks again.
            time.sleep(0.4 * SCALE)
            got += recv(w.sec, piece)
        time.sleep(0.4 * SCALE)
        got += recv(w.sec, len(bulk) - len(got))
        equal(got == bulk, True, "8 MB of state arrive")


def test_c4_epochs_begin_at_the_greater():
    """C4: hosts whose epochs differ agree on one."""
    with World() as w:
        for _ in range(3):
            kcolo("sh", "pair", "checkpoint", PAIR)
        w.colo()
        equal(w.epochs(), (4, 4), "epochs")


def test_c1_c6_fences():
    """C1, C2, C6: at each message, as soon as the primary hears it, both hosts are where they must be; 20 times."""
    with World() as w:
        w.colo()
        for n in range(1, 21):
            w.pri.sendall(REQUEST)
            recv(w.sec, 4)
            equal(w.states(), ("running", "running"), "before REPLY")
            w.say(REPLY)
            equal(w.states(), ("checkpoint", "checkpoint"), "at REPLY")
            equal(w.epochs(), (n, n), "epochs at REPLY")
            w.pri.sendall(b"state" * 2000)
            recv(w.sec, 10000)
            w.sec.sendall(RECEIVED[:2])
            equal(w.epochs(), (n, n), "half a number is none")
            w.sec.sendall(RECEIVED[2:])
            equal(recv(w.pri, 4), RECEIVED, "RECEIVED")
            equal(w.epochs(), (n + 1, n + 1), "epochs at RECEIVED")
            equal(w.states(), ("running", "running"), "at RECEIVED")
            w.say(LOADED)
        status = w.d["ph"].status()
        equal(status["failed_steps"], 0, "failed steps")
        equal(status["checkpoint_us"]["n"], 20, "checkpoints counted")
        print(f"# primary: fences of a checkpoint {status['fence_us']}, secondary: {w.d['sh'].status()['fence_us']}")


def test_messages_at_once_and_in_pieces():
    """A channel is a stream: several numbers in one segment, or one in four."""
    with World() as w:
        w.colo()
        w.say(REPLY + RECEIVED + LOADED)
        equal(w.epochs(), (2, 2), "epochs")
        for byte in REPLY + RECEIVED + LOADED:
            w.sec.sendall(bytes([byte]))
            time.sleep(0.01)
        equal(recv(w.pri, 12), REPLY + RECEIVED + LOADED, "pieces")
        equal(w.epochs(), (3, 3), "epochs")


def test_disorder_ends_the_channel():
    """A number out of order ends the channel; the primary goes on alone."""
    for wrong in (LOADED, struct.pack(">I", 77)):
        with World() as w:
            w.colo()
            w.sec.sendall(wrong)
            until("primary alone", lambda: pair("ph")["state"] == "bypass")
            equal(os.path.exists(f"{TMP}/taken"), False, "the secondary takes over")


def test_one_channel_and_only_from_the_peer():
    """A second primary, and anybody else, is refused while a channel is there."""
    with World() as w:
        w.colo()
        other = subprocess.run(["ip", "netns", "exec", "ph", sys.executable, "-c",
                                "import socket\ns=socket.create_connection(('192.0.2.2',7010),3)\n"
                                "s.settimeout(3)\nprint(s.recv(9))"], capture_output=True, text=True, check=False)
        equal(other.stdout.strip(), "b''", "a second connection")
        w.checkpoint()
        equal(w.epochs(), (2, 2), "epochs")


# ---- requests

def asks(w):
    return w.qmp["ph"].count("migrate-set-parameters")


def test_c5_miscompare_asks_until_answered():
    """C5: a miscompare asks QEMU, again and again until a checkpoint comes, and not after it."""
    with World() as w, Liar() as liar:
        w.colo()
        before = asks(w)
        client = liar.ask()
        until("asked", lambda: asks(w) > before)
        until("asked again: the first was forgotten", lambda: asks(w) > before + 1)
        w.checkpoint()
        equal(client.communicate(timeout=10 * SCALE)[0], "whopv", "the client hears the primary")
        time.sleep(0.1)
        after = asks(w)
        time.sleep(1.2 * SCALE)
        equal(asks(w), after, "asked without a reason")


def test_c5_not_while_a_checkpoint_runs():
    """C5: a request that is made while a checkpoint runs is asked for after it."""
    with World() as w:
        w.colo()
        w.checkpoint(upto=REPLY)
        before = asks(w)
        w.d["ph"].order("checkpoint")
        w.d["sh"].order("checkpoint")
        time.sleep(0.7 * SCALE)
        equal(asks(w), before, "asked while QEMU forgets")
        w.say(RECEIVED)
        w.say(LOADED)
        w.qmp["ph"].event("RESUME")
        until("asked after it", lambda: asks(w) > before)


def test_w7_the_secondary_asks_too():
    """W7: what the secondary's pair asks for reaches the primary's QEMU."""
    with World() as w:
        w.colo()
        before = asks(w)
        w.d["sh"].order("checkpoint")
        until("asked", lambda: asks(w) > before)


def test_c5_restart_with_an_open_request():
    """C5: a daemon that was away when the request came asks for it."""
    with World(secondary={"peer-silence": 9000}, timeout=3000) as w, Liar() as liar:
        w.colo()
        time.sleep(0.05)
        w.d["ph"].proc.kill()
        w.d["ph"].proc.wait()
        client = liar.ask()
        until("the kernel asks", lambda: pair("ph").get("request"))
        before = asks(w)
        w.d["ph"].start()
        until("asked", lambda: asks(w) > before)
        w.checkpoint()
        equal(client.communicate(timeout=10 * SCALE)[0], "whopv", "the client hears the primary")


def test_f4_no_daemon_no_stall():
    """F4: where no daemon answers, the kernel says so and lets go."""
    with World(secondary={"peer-silence": 60000}, timeout=150) as w, Liar() as liar:
        w.colo()
        # What QEMU has heard may not be noted as sent yet.
        time.sleep(0.05)
        w.d["ph"].proc.kill()
        w.d["ph"].proc.wait()
        client = liar.ask()
        equal(client.communicate(timeout=10 * SCALE)[0], "whopv", "the client hears the primary")
        equal(pair("ph")["state"], "bypass", "state")
        # Back again, it asks for the checkpoint that ends the bypass.
        before = asks(w)
        w.d["ph"].start()
        until("asked", lambda: asks(w) > before)
        w.checkpoint()
        equal(w.states(), ("running", "running"), "states")


# ---- the monitor

def test_qmp_garbage():
    """Broken JSON, other JSON, an answer to nothing, a line of 20 MB, a message in pieces: logged, and on it goes."""
    with World() as w:
        w.colo()
        client = w.qmp["ph"].client
        client.sendall(b'}{\r\n\r\n[1, 2]\n"x"\n{"return": {}, "id": 999}\n{"no": 1}\n\xff\xfe\n{"event": 5}\n')
        client.sendall(b'{"event": "HUGE", "data": {"x": "' + b"y" * 20000000 + b'"}}\n')
        for byte in b'{"event": "RESUME", "data": {}}\r\n':
            client.sendall(bytes([byte]))
        before = asks(w)
        w.d["ph"].order("checkpoint")
        until("asked", lambda: asks(w) > before)
        equal(w.d["ph"].says("no JSON object"), True, "it is logged")
        equal(w.d["ph"].says("is not looked at"), True, "so is what is too long")
        w.qmp["ph"].garbage = b"{{{{\n"
        before = asks(w)
        until("asked, with garbage before each answer", lambda: asks(w) > before)
        w.checkpoint()
        equal(w.epochs(), (2, 2), "epochs")


def test_qmp_hangs_and_comes_back():
    """A QEMU that does not answer is asked on a new connection; the channel is not touched."""
    with World(primary={"qmp-timeout": int(700 * SCALE)}) as w:
        w.colo()
        w.qmp["ph"].hang = True
        w.d["ph"].order("checkpoint")
        until("given up", lambda: w.d["ph"].says("no answer in"), 5)
        w.qmp["ph"].hang = False
        before = asks(w)
        until("connected again", lambda: w.d["ph"].status()["qmp"], 5)
        until("asked again", lambda: asks(w) > before, 5)
        w.checkpoint()
        equal(w.epochs(), (2, 2), "epochs")


def test_checkpoint_that_hangs():
    """A checkpoint that does not end is a peer that is lost."""
    with World(primary={"checkpoint-timeout": 500, "failover": "auto"}) as w:
        w.colo()
        w.checkpoint(upto=REPLY)
        until("primary alone", lambda: pair("ph")["state"] == "bypass")
        until("QEMU told", lambda: w.qmp["ph"].count("x-colo-lost-heartbeat"))


# ---- deaths

STEPS = ("READY", "REQUEST", "half REPLY", "REPLY", "half RECEIVED", "RECEIVED", "LOADED")
NUMBERS = {"REPLY": REPLY, "RECEIVED": RECEIVED, "LOADED": LOADED}


def go_to(w, step):
    """Where a checkpoint stands when somebody dies. Returns the epoch."""
    w.colo()
    if step == "READY":
        return 1
    w.pri.sendall(REQUEST)
    recv(w.sec, 4)
    if step == "REQUEST":
        return 1
    for name, number in NUMBERS.items():
        if step == "half " + name:
            w.sec.sendall(number[:2])
            time.sleep(0.05)
            return 1
        w.say(number)
        if step == name:
            break
    return 1 if step == "REPLY" else 2


def rest_of(step):
    """What the secondary has still to say."""
    if step == "REQUEST":
        return REPLY + RECEIVED + LOADED
    rest = b"".join(NUMBERS.values())
    name = step.removeprefix("half ")
    rest = rest[list(NUMBERS).index(name) * 4:]
    return rest[2 if name != step else 4:]


def secondary_took_over(w, epoch):
    until("failover", lambda: pair("sh")["state"] == "failover")
    equal(pair("sh")["epoch"], epoch, "epoch of the failover")
    until("QEMU told", lambda: w.qmp["sh"].count("x-colo-lost-heartbeat"))
    until("takeover", lambda: os.path.exists(f"{TMP}/taken"))
    until("announced", lambda: w.qmp["sh"].count("announce-self"))
    equal(w.d["sh"].phase(), "survived", "phase")


def death(who, step):
    quick = {"peer-silence": int(3000 * SCALE)} if who == "link" else {}
    with World(primary=quick, secondary=quick) as w:
        epoch = go_to(w, step)
        if who == "link":
            run("ip", "-n", "ph", "link", "set", "mig", "down")
        else:
            w.die(who)
        w.aside(w.notice)
        if who == "sh":
            until("bypass", lambda: pair("ph")["state"] == "bypass")
            until("QEMU told", lambda: w.qmp["ph"].count("x-colo-lost-heartbeat"))
            equal(w.d["ph"].phase(), "alone", "phase")
            equal(os.path.exists(f"{TMP}/taken"), False, "a dead secondary takes over")
        else:
            secondary_took_over(w, epoch)
            equal(os.path.getsize(f"{TMP}/taken") > 0, True, "takeover ran")


def make_death(who, step, n):
    def test():
        death(who, step)
    test.__doc__ = f"{'F2' if who == 'sh' else 'F1'}: {who} dies after {step}"
    globals()[f"test_death_{who}_{n}"] = test


for number, at in enumerate(STEPS):
    make_death("ph", at, number)
    make_death("sh", at, number)
    if at in ("READY", "REPLY"):
        make_death("link", at, number)


def test_c3_state_arrives_although_the_primary_dies():
    """C3: the primary dies, QEMU has the whole state already and loads it: a commit, whenever it says so."""
    with World() as w:
        w.colo()
        w.checkpoint(upto=REPLY)
        w.pri.sendall(b"the whole state")
        w.die("ph")
        equal(recv(w.sec, 15), b"the whole state", "what was sent before the death arrives")
        time.sleep(0.2)
        w.sec.sendall(RECEIVED)
        w.qmp["sh"].event("COLO_EXIT", mode="secondary", reason="error")
        secondary_took_over(w, 2)


def test_policy_manual():
    """Manual: nothing happens until somebody says so, then at once."""
    with World(secondary={"failover": "manual"}) as w:
        w.colo()
        w.die("ph")
        until("lost", lambda: w.d["sh"].phase() == "lost")
        time.sleep(0.5)
        equal(pair("sh")["state"], "running", "state")
        w.d["sh"].order("failover")
        secondary_took_over(w, 1)


def test_policy_script():
    """Script: its exit status decides, and it is told about whom, and why."""
    with World(secondary={"failover": f"script echo $* >{TMP}/why; test -e {TMP}/yes"}) as w:
        w.colo()
        w.die("ph")
        until("the script says no", lambda: w.d["sh"].says("the script says no"))
        equal(w.d["sh"].phase(), "lost", "phase")
        with open(f"{TMP}/why", encoding="ascii") as file:
            equal(file.read().split()[:2], ["sh", "secondary"], "words")
    with open(f"{TMP}/yes", "w", encoding="ascii"):
        pass
    with World(secondary={"failover": f"script test -e {TMP}/yes"}) as w:
        w.colo()
        w.die("ph")
        secondary_took_over(w, 1)


def test_no_two_survivors():
    """A primary that leaves COLO but lives says so: the secondary does not take over."""
    with World() as w:
        w.colo()
        w.qmp["ph"].event("COLO_EXIT", mode="primary", reason="error")
        until("primary alone", lambda: pair("ph")["state"] == "bypass")
        time.sleep(0.5)
        equal(os.path.exists(f"{TMP}/taken"), False, "the secondary takes over")
        equal(pair("sh")["state"], "running", "state of the secondary")


def test_ordered_failover_stops_the_other():
    """A failover by order on the secondary stops the primary that still lives."""
    with World() as w:
        w.colo()
        w.d["sh"].order("failover")
        secondary_took_over(w, 1)
        until("stopped", lambda: w.qmp["ph"].count("stop"))


def test_no_takeover_before_colo():
    """A primary that dies during the first copy leaves nobody to take over."""
    with World() as w:
        w.connect()
        w.pri.sendall(bytes(100000))
        w.die("ph")
        until("alone", lambda: w.d["sh"].phase() == "alone")
        equal(os.path.exists(f"{TMP}/taken"), False, "takeover")
        equal(pair("sh")["state"], "running", "state")


def test_orphaned_colo():
    """Without its kept descriptors a daemon finds a QEMU that has lost its channel, and decides by policy."""
    with World() as w:
        w.colo()
        w.qmp["sh"].status = "colo"
        for host in HOSTS:
            w.d[host].proc.kill()
            w.d[host].proc.wait()
            for fd in w.d[host].kept.values():
                os.close(fd)
            w.d[host].kept.clear()
        w.d["sh"].start()
        secondary_took_over(w, 1)


# ---- a daemon that is killed and started again

def restart(host, step):
    with World() as w:
        go_to(w, step)
        w.d[host].restart()
        if step == "READY":
            w.checkpoint()
        else:
            w.sec.sendall(rest_of(step))
            want = (b"\0\0" if "half" in step else b"") + rest_of(step)
            equal(recv(w.pri, len(want)), want, "the rest of the checkpoint")
        until("epochs", lambda: w.epochs() == (2, 2))
        w.checkpoint()
        equal(w.epochs(), (3, 3), "epochs after another checkpoint")
        equal(w.states(), ("running", "running"), "states")


def make_restart(host, step, n):
    def test():
        restart(host, step)
    test.__doc__ = f"kcolod of {host} is killed after {step} and goes on where it was"
    globals()[f"test_restart_{host}_{n}"] = test


for number, at in enumerate(STEPS):
    make_restart("ph", at, number)
    make_restart("sh", at, number)


def test_configuration():
    """What is wrong in the file is told with its line."""
    for text, words in (("qmp\n", "needs a value"), ("nonsense 1\n", "what is"), ("peer-silence -1\n", "no number"),
                        ("qmp x\n", "migration is missing"), ("peer 192.0.2.1\n", "port is missing")):
        path = f"{TMP}/bad.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        done = subprocess.run(["kcolod", "run", path], capture_output=True, text=True, check=False, timeout=5)
        equal((done.returncode, words in done.stderr), (1, True), f"{text!r}: {done.stderr!r}")


def main():
    word = sys.argv[2] if len(sys.argv) > 2 and sys.argv[1] == "-k" else ""
    tests = [(name, fn) for name, fn in globals().items() if name.startswith("test_") and re.search(word, name)]
    print("KTAP version 1", flush=True)
    failed = 0
    for n, (name, fn) in enumerate(tests, 1):
        start = time.monotonic()
        try:
            fn()
            result = "ok"
        except Exception:  # pylint: disable=broad-except
            failed += 1
            result = "not ok"
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()[-8:]), end="")
        print(f"{result} {n} - {name}: {fn.__doc__}", flush=True)
        print(f"# {time.monotonic() - start:.2f} s", flush=True)
    print(f"1..{len(tests)}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

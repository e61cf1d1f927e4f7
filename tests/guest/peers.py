# SPDX-License-Identifier: Apache-2.0
"""The ungoverned world around a session: peers that listen and record, a helper that passes descriptors, and callers."""

import array
import contextlib
import os
import selectors
import socket
import threading
import time

IPPROTO_UDPLITE, IPPROTO_SCTP = 136, 132
TCP_PORTS = (80, 7001, 7002, 7003, 7004)
UDP_PORTS = (7001, 7002, 7003, 7004)


class Peers:
    """Listens on every address of the playground, records what arrives and answers ACK."""

    def __init__(self, run_directory, secret_file):
        self.received = []
        self.missing = []  # kinds of sockets that this kernel does not have
        self._secret_file = secret_file
        self._selector = selectors.DefaultSelector()
        self._passed = []
        for port in TCP_PORTS:
            self._stream(socket.AF_INET, ("0.0.0.0", port))
            self._stream(socket.AF_INET6, ("::", port))
        for port in UDP_PORTS:
            self._datagram(socket.AF_INET, ("0.0.0.0", port))
            self._datagram(socket.AF_INET6, ("::", port))
        self._optional("UDP-Lite", lambda: self._datagram(socket.AF_INET, ("0.0.0.0", 7002), IPPROTO_UDPLITE))
        self._optional("SCTP", lambda: self._stream(socket.AF_INET, ("0.0.0.0", 7002), IPPROTO_SCTP))
        for name in ("ok.sock", "docker.sock", "decoy.sock"):
            self._stream(socket.AF_UNIX, os.path.join(run_directory, name))
        self._stream(socket.AF_UNIX, "\0lictor-denied")
        self._stream(socket.AF_UNIX, "\0lictor-ok")
        self._datagram(socket.AF_UNIX, os.path.join(run_directory, "denied.dgram"))
        self._listen(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), os.path.join(run_directory, "packets.sock"), self._accept)
        self._listen(socket.socket(socket.AF_UNIX), os.path.join(run_directory, "helper.sock"), self._help)
        threading.Thread(target=self._serve, name="peers", daemon=True).start()

    def got(self, token):
        """Whether the token arrived; waits a moment, for what is still on its way."""
        deadline = time.monotonic() + 0.3
        while True:
            if any(token in data for data in list(self.received)):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)

    def _optional(self, name, start):
        try:
            start()
        except OSError as error:
            self.missing.append(f"{name}: {error}")

    def _listen(self, sock, address, handler):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sock.family != socket.AF_UNIX and sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        if isinstance(address, str) and not address.startswith("\0"):
            os.chmod(address, 0o777)
        if sock.type != socket.SOCK_DGRAM:
            sock.listen(64)
            if sock.family != socket.AF_UNIX and sock.proto in (0, socket.IPPROTO_TCP):
                # Bytes in the first packet are accepted: without this the fast-open attacks would not be what they say.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, handler)

    def _stream(self, family, address, protocol=0):
        self._listen(socket.socket(family, socket.SOCK_STREAM, protocol), address, self._accept)

    def _datagram(self, family, address, protocol=0):
        self._listen(socket.socket(family, socket.SOCK_DGRAM, protocol), address, self._answer_datagram)

    def _serve(self):
        while True:
            for key, _ in self._selector.select():
                try:
                    key.data(key.fileobj)
                except OSError:
                    # A peer that goes away in the middle is what a refused attack looks like from here. What listens stays.
                    if key.data == self._answer_stream:
                        self._forget(key.fileobj)

    def _forget(self, sock):
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        sock.close()

    def _accept(self, listener):
        connection, _ = listener.accept()
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, self._answer_stream)

    def _answer_stream(self, connection):
        data = connection.recv(4096)
        if data:
            self.received.append(data)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n" if data.startswith(b"POST") else b"ACK\n")
        else:
            self._forget(connection)

    def _answer_datagram(self, sock):
        data, sender = sock.recvfrom(4096)
        self.received.append(data)
        if sender:
            sock.sendto(b"ACK\n", sender)

    def _help(self, listener):
        connection, _ = listener.accept()
        connection.settimeout(3)
        with connection:
            wish = connection.recv(64)
            if wish == b"file":
                fd = os.open(self._secret_file, os.O_RDONLY)
                self._pass(connection, fd)
                os.close(fd)
            else:
                family, host = (socket.AF_INET6, "2001:db8::1") if wish == b"socket6" else (socket.AF_INET, "10.0.1.1")
                passed = socket.socket(family)
                passed.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    passed.connect((host, 7002))
                self._passed = [passed]  # kept open until the next one: the receiver may still use its copy
                self._pass(connection, passed.fileno())

    @staticmethod
    def _pass(connection, fd):
        connection.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


class Caller:
    """Tries to come in at a port until it is served or told to stop."""

    def __init__(self, protocol, port):
        self.served = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._call, args=(protocol, port), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _call(self, protocol, port):
        while not self._stop.wait(0.05):
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "10.0.1.1"), (socket.AF_INET6, "::1")):
                kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
                with socket.socket(family, kind) as sock, contextlib.suppress(OSError):
                    sock.settimeout(1)
                    sock.connect((host, port))
                    sock.sendall(b"knock")
                    if protocol == "tcp" and sock.recv(16):
                        self.served = True
                        return

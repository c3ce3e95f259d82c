"""Slow and hostile HTTP clients: each is answered or cut off in time, and an agent beside them does not notice."""

import json
import pathlib
import socket
import tempfile
import threading
import time

import server as under_test
from measure import percentiles, usage, wait_for

# docs/architecture.md, "Limits of the server": a header within 10 s, a request within 30 s.
HEADER_S, REQUEST_S, LATE_S = 10, 30, 15
POST = b"POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def talk(port, *parts, pause=0.0, patience=60):
    """Sends the parts, `pause` seconds apart, and reads to the end. (first line of the answer, seconds); the line is "" when there was
    none."""
    begun = time.monotonic()
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                if pause:
                    connection.settimeout(pause)
                    try:
                        if not (piece := connection.recv(65536)):
                            break
                        received += piece
                    except TimeoutError:
                        pass
                if time.monotonic() - begun > patience:
                    break
            connection.settimeout(patience)
            while piece := connection.recv(65536):
                received += piece
        except OSError:
            pass
    return received.split(b"\r\n", 1)[0].decode(errors="replace"), time.monotonic() - begun


def is_cut(answer, within):
    """Refused or cut off, and in time."""
    line, seconds = answer
    assert not line or line.split()[1] in ("400", "408", "413", "414", "431"), line
    assert seconds < within, f"{seconds:.0f} s"
    return line or "cut off"


def byte_a_second(port):
    request = POST + b"Content-Length: 20\r\n\r\n" + b" " * 20
    return is_cut(talk(port, *(request[i:i + 1] for i in range(len(request))), pause=1), HEADER_S + LATE_S)


def slow_body(port):
    request = [POST + b"Content-Length: 100\r\n\r\n", *[b" "] * 100]
    return is_cut(talk(port, *request, pause=1), REQUEST_S + LATE_S)


def endless_headers(port):
    return is_cut(talk(port, b"GET / HTTP/1.1\r\n", *(b"X-%d: %s\r\n" % (i, b"x" * 1000) for i in range(2000))), HEADER_S + LATE_S)


def long_header(port):
    return is_cut(talk(port, b"GET / HTTP/1.1\r\nX: ", *[b"x" * 65536] * 200), HEADER_S + LATE_S)


def endless_first_line(port):
    return is_cut(talk(port, b"GET /", *[b"x" * 65536] * 200), HEADER_S + LATE_S)


def broken_chunks(port):
    lines = []
    for body in (b"zz\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\nhello\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel"):
        lines.append(is_cut(talk(port, POST + b"Transfer-Encoding: chunked\r\n\r\n" + body), REQUEST_S + LATE_S))
    return lines


def endless_chunks(port):
    return is_cut(talk(port, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 400),
                  REQUEST_S + LATE_S)


def pipelined(port):
    """A hundred requests in one go: a hundred answers, in order."""
    request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request * 100)
        received = b""
        while received.count(b"HTTP/1.1 200") < 100:
            piece = connection.recv(65536)
            assert piece, f"{received.count(b'HTTP/1.1 200')} answers of 100"
            received += piece
    return "100 answers of 100"


def garbage(port):
    for data in (b"\x00" * 1000, b"\xff\xfe\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5000, b"\x16\x03\x01\x02\x00\x01"):
        line, seconds = talk(port, data + b"\r\n\r\n", patience=HEADER_S + LATE_S)
        assert not line or line.split()[1][0] in "45", line
        assert seconds < HEADER_S + LATE_S
    return "refused or cut off"


def thousand_connections(port):
    """Open and silent; those that the server has a place for stay open, the others are told so, and all of them cost nobody's time."""
    connections = []
    for _ in range(1000):
        try:
            connections.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        except OSError:
            break
    opened = len(connections)
    time.sleep(2)
    line, _ = talk(port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    for connection in connections:
        connection.close()
    assert opened == 1000 and line.startswith("HTTP/1.1 200"), (opened, line)
    return "1000 open, 200 beside them"


ATTACKS = (endless_headers, long_header, endless_first_line, broken_chunks, endless_chunks, pipelined, garbage)
SLOW_ATTACKS = (byte_a_second, slow_body)


class Neighbour(threading.Thread):
    """An agent that edits ten times a second meanwhile."""

    def __init__(self, session):
        super().__init__(daemon=True)
        self.session, self.times, self.wrong, self.ended = session, [], [], threading.Event()
        self.first = session.region()[0] - 1

    def run(self):
        while not self.ended.wait(0.1):
            begun = time.perf_counter()
            answer = self.session.edit(op="insert", after_line=self.first, content=f"-- {len(self.times)}")
            self.times.append((time.perf_counter() - begun) * 1e3)
            if answer.status != 200:
                self.wrong.append(answer.text)


def note(figures, attack, port):
    """What became of it, or the AssertionError that says what should not have."""
    try:
        figures[attack.__name__] = attack(port)
    except AssertionError as error:
        figures[attack.__name__] = error


def run(slow=True):
    figures = {}
    with tempfile.TemporaryDirectory(prefix="bitloop-clients-") as folder:
        with under_test.Server(pathlib.Path(folder) / "workspace") as server:
            neighbour = Neighbour(server.session())
            neighbour.start()
            attacks = [threading.Thread(target=note, args=(figures, attack, server.port))
                       for attack in ATTACKS + (SLOW_ATTACKS if slow else ())]
            for attack in attacks:
                attack.start()
            for attack in attacks:
                attack.join()
            note(figures, thousand_connections, server.port)
            for name, outcome in figures.items():
                assert not isinstance(outcome, AssertionError), f"{name}: {outcome}"
            neighbour.ended.set()
            neighbour.join()
            assert not neighbour.wrong, neighbour.wrong[:3]
            # All connections are let go of; files that are kept for events (harness/journal/spare_files.h) are 64.
            wait_for(lambda: usage(server.process.pid)["descriptors"] < 64 + 60, "descriptors are kept", 60)
            figures["edits_beside_ms"] = percentiles(neighbour.times)
            assert server.stop() == 0
    return figures


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))

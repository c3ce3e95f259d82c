"""A reader of server-sent events, written from the HTML standard's rules, on a bare socket: tests see each byte that comes."""

import json
import socket


class Event:
    def __init__(self, kind, data, last_id, has_id):
        self.kind, self.data, self.last_id, self.has_id = kind, data, last_id, has_id
        self.json = json.loads(data) if data else None

    def __repr__(self):
        return f"{self.kind}:{self.data}"


class Stream:
    """One connection to an event stream. Iterate to get events; `ended` tells whether the server ended it as HTTP wants."""

    def __init__(self, host, path, last=None, headers=(), timeout=60, receive_buffer=None):
        self.connection = socket.socket()
        if receive_buffer:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.connection.settimeout(timeout)
        self.connection.connect(("127.0.0.1", host.port))
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Accept: text/event-stream", *headers]
        if last is not None:
            lines.append(f"Last-Event-ID: {last}")
        self.connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.pending, self.text, self.ended = b"", "", False
        self.last_id, self.retry, self.comments = "", None, []
        self.headers = None

    def open(self):
        """Reads the response's head."""
        if self.headers is None:
            while b"\r\n\r\n" not in self.pending:
                self.receive()
            head, self.pending = self.pending.split(b"\r\n\r\n", 1)
            first, *lines = head.decode().split("\r\n")
            self.status = int(first.split()[1])
            self.headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        return self

    def receive(self):
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        self.pending += data

    def chunk(self):
        while b"\r\n" not in self.pending:
            self.receive()
        size, self.pending = self.pending.split(b"\r\n", 1)
        size = int(size, 16)
        while len(self.pending) < size + 2:
            self.receive()
        data, self.pending = self.pending[:size], self.pending[size + 2:]
        return data

    def __iter__(self):
        self.open()
        assert self.status == 200, self.status
        while True:
            while "\n\n" not in self.text:
                data = self.chunk()
                if not data:
                    self.ended = True
                    return
                self.text += data.decode()
            block, self.text = self.text.split("\n\n", 1)
            kind, lines, has_id = "message", [], False
            for line in block.split("\n"):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "":
                    self.comments.append(value)
                elif name == "id":
                    self.last_id, has_id = value, True
                elif name == "event":
                    kind = value
                elif name == "data":
                    lines.append(value)
                elif name == "retry":
                    self.retry = int(value)
            if lines:
                yield Event(kind, "\n".join(lines), self.last_id, has_id)

    def until(self, kind):
        """Events up to the first of this kind."""
        seen = []
        for event in self:
            seen.append(event)
            if event.kind == kind:
                return seen
        raise AssertionError(f"no {kind} among {seen}")

    def close(self):
        self.connection.close()

"""An agent as a client: it edits, undoes, checks, tests, reads and submits, one call at a time, and writes down every answer."""

import http.client
import json
import random
import threading
import time

from server import SCRIPT

CUT_SHORT = (OSError, http.client.HTTPException)  # what a client meets when the server dies before, or within, an answer
_ENVELOPE = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
             "io.modelcontextprotocol/clientInfo": {"name": "reliability", "version": "1"}}
# How often each call is made, of 100. `refused` is a request that must get a 4xx.
MIX = {"edit": 30, "view": 20, "undo": 8, "poll": 12, "results": 5, "history": 5, "mcp": 8, "test": 4, "check": 2, "refused": 6}


class Agent:
    def __init__(self, number, port, mix=None, seed=0):
        self.number, self.port, self.random = number, port, random.Random(1000 * seed + number)
        self.kinds, self.weights = zip(*(mix or MIX).items())
        self.connection = None
        self.session = None
        self.keys = 0
        self.pending = None       # (method, path, body, key): sent, and not answered
        self.acknowledged = {}    # {session: [commit, ...]} in the order of the answers
        self.tests = {}           # {session: number of tests that were answered 202}
        self.times = {}           # {kind: [ms, ...]}
        self.wrong = []           # answers that should not have been
        self.calls = 0

    # HTTP

    def call(self, method, path, body=None, headers=None, expect=(200, 201, 202), kind=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        begun = time.perf_counter()
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body),
                                    {"Content-Type": "application/json", **(headers or {})})
            answer = self.connection.getresponse()
            text = answer.read()
        except BaseException:
            self.close()
            raise
        self.times.setdefault(kind or method, []).append((time.perf_counter() - begun) * 1e3)
        self.calls += 1
        document = json.loads(text) if "json" in answer.headers.get("Content-Type", "") and text[:1] in b"{[" else {}
        if answer.status not in expect:
            self.wrong.append(f"{method} {path}: {answer.status} {text[:200]!r}")
            document = None
        return document

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def change(self, kind, path, body):
        """A change under an Idempotency-Key: what was sent and not answered is sent again by settle()."""
        self.keys += 1
        self.pending = (kind, path, body, f"agent-{self.number}-{self.keys}")
        return self.settle()

    def settle(self):
        """Sends what waits for an answer, under its key, and writes the answer down."""
        if self.pending is None:
            return None
        kind, path, body, key = self.pending
        document = self.call("POST", path, body, {"Idempotency-Key": key}, kind=kind)
        self.pending = None
        if document is None:
            return None
        if kind == "session":
            self.begin(document)
        elif kind in ("edit", "undo"):
            self.acknowledged[self.session].append(document["commit"])
            self.edits += 1 if kind == "edit" else -1
        elif kind == "test":
            self.acknowledged[self.session].append(document["commit"])
            self.running, self.left = document["test"], document["tests_left"]
            self.tests[self.session] += 1
        return document

    # What an agent does

    def begin(self, document):
        self.session = document["id"]
        self.path = f"/v1/sessions/{self.session}"
        self.first = document["files"][0]["editable"][0][0]
        self.left, self.edits, self.running = document["tests_left"], 0, None
        self.acknowledged[self.session], self.tests[self.session] = [], 0

    def step(self):
        """One call."""
        if self.pending is not None:
            return self.settle()
        if self.session is None:
            return self.change("session", "/v1/sessions", {"task": "quick", "agent": f"agent {self.number}"})
        if not self.edits and not self.running:
            return self.edit(SCRIPT)
        kind = self.random.choices(self.kinds, self.weights)[0]
        if self.running is not None and kind in ("edit", "undo", "test", "refused"):
            kind = "poll"  # while it is tested the candidate does not change
        return getattr(self, "do_" + kind)()

    def edit(self, content):
        return self.change("edit", self.path + "/edits",
                           {"op": "insert", "path": "candidate.lua", "after_line": self.first - 1, "content": content})

    def do_edit(self):
        self.edit(f"-- {self.number}.{self.keys} {'x' * self.random.randrange(60)}")

    def do_view(self):
        self.call("GET", self.path + "/files/candidate.lua", kind="view")

    def do_undo(self):
        if self.edits > 1:
            return self.change("undo", self.path + "/undo", {})
        return self.do_edit()

    def do_check(self):
        self.call("POST", self.path + "/checks", {}, kind="check", expect=(200, 429))  # 429: too many at a time

    def do_test(self):
        if self.left == 0:  # all used: a session of its own for the next idea
            self.session = None
            return self.step()
        return self.change("test", self.path + "/tests", {"description": f"idea {self.keys}"})

    def do_poll(self):
        if self.running is None:
            return self.do_view()
        document = self.call("GET", f"{self.path}/tests/{self.running}?wait=1", kind="poll")
        if document and document["status"] != "running":
            self.running, self.left = None, document["tests_left"]

    def do_results(self):
        self.call("GET", "/v1/results?limit=20", kind="results")

    def do_history(self):
        self.call("GET", self.path + "?limit=20", kind="history")

    def do_mcp(self):
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"name": "view", "arguments": {"session": self.session}, "_meta": _ENVELOPE}}
        document = self.call("POST", "/mcp", body, {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "view"},
                             kind="mcp")
        if document and document["result"]["isError"]:
            self.wrong.append(f"MCP view: {document}")

    def do_refused(self):
        path, body, status = self.random.choice([
            ("/edits", {"op": "replace", "path": "candidate.lua", "start_line": 1, "end_line": 1, "content": "x"}, 422),
            ("/edits", {"op": "insert", "path": "candidate.lua", "after_line": self.first, "content": "x", "wrong": 1}, 422),
            ("/revert", {"test": 99}, 404), ("/no-such-call", {}, 404)])
        self.call("POST", self.path + path, body, expect=(status,), kind="refused")


class Crowd:
    """Agents at work at the same time, each on a thread, `rate` calls a second each (None: as fast as they are answered)."""

    def __init__(self, agents, rate=None):
        self.agents, self.rate, self.ended, self.threads = agents, rate, threading.Event(), []

    def start(self):
        self.ended.clear()
        self.threads = [threading.Thread(target=self._work, args=(agent,), daemon=True) for agent in self.agents]
        for thread in self.threads:
            thread.start()

    def _work(self, agent):
        begin = time.perf_counter() + (agent.random.random() / self.rate if self.rate else 0)  # spread, as independent agents are
        for i in range(10**9):
            if self.rate and self.ended.wait(max(0.0, begin + i / self.rate - time.perf_counter())):
                return
            if self.ended.is_set():
                return
            try:
                agent.step()
            except CUT_SHORT as error:
                if not self.ended.is_set():
                    agent.wrong.append(f"cut short: {error!r}")
                return

    def end(self):
        """After the agents' present calls."""
        self.ended.set()
        for thread in self.threads:
            thread.join()

"""A client of bitloop written against its contract alone: the standard library, no code of ours."""

import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = pathlib.Path(os.environ.get("BITLOOP_BIN", ROOT / "build" / "bin"))
FAKE = str(HERE / "fake_supervisor.py")


class Answer:
    def __init__(self, status, headers, data):
        self.status, self.headers, self.text = status, headers, data.decode()
        is_json = "json" in headers.get("Content-Type", "") and "ndjson" not in headers.get("Content-Type", "")
        self.json = json.loads(self.text) if is_json else None

    def __getitem__(self, name):
        return self.json[name]


class Host:
    """A running `bitloop serve`, gone after a `with` however that ends; kill() and start() are for tests of faults."""

    def __init__(self, workspace, fake=True, ready=0, files=None, options=(), **environment):
        self.options = options  # more of the command line
        self.token = None  # sent with every call
        self.api = None  # the paths of openapi.json, once a problem was met
        self.files = files  # how many the server may have open
        self.ready = ready  # trainers kept ready for checks: processes that tests would have to tell from leftovers
        self.workspace = pathlib.Path(workspace)
        self.environment = {**os.environ, **environment}
        if fake:
            self.environment["BITLOOP_SUPERVISOR"] = FAKE
        self.process = None
        self.start()

    def start(self, port=0):
        # Sessions rest soon, so that every test also tries that nobody sees it.
        rest = [] if "--rest-after" in self.options else ["--rest-after", "1"]
        self.process = subprocess.Popen(
            [BIN / "bitloop", "serve", "--port", str(port), "--workspace", self.workspace, "--allow-degraded", "--ready-checks", str(self.ready),
             *rest, *self.options],
            stdout=subprocess.PIPE, stderr=open(self.workspace.parent / "host.log", "a"), text=True, env=self.environment,
            preexec_fn=self.files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))))
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            self.kill()
            raise AssertionError(line)
        self.url = line.split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def call(self, method, path, body=None, headers=None, raw=None, timeout=90):
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = dict(headers or {})
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            answer = Answer(error.code, error.headers, error.read())
        self.check_documented(method, path, headers.get("Authorization"), answer)
        return answer

    def check_documented(self, method, path, authorization, answer):
        """A problem is one that openapi.json names for the call: every test that meets one tries that."""
        if not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
            return
        if self.api is None:
            ask = urllib.request.Request(self.url + "/openapi.json", headers={"Authorization": authorization} if authorization else {})
            try:
                self.api = json.load(urllib.request.urlopen(ask, timeout=30))["paths"]
            except OSError:
                return  # a stranger to it, or it is just about to end
        for template, operations in self.api.items():
            operation = operations.get({"HEAD": "GET"}.get(method, method).lower())
            pattern = re.sub(r"\{path\}", ".*", re.sub(r"\{(?!path)\w+\}", "[^/]*", template))
            if operation and re.fullmatch(pattern, path.split("?")[0]):
                named = operation["responses"].get(str(answer.status), {"content": {}})["content"].get("application/problem+json")
                assert named and answer["code"] in named["examples"], f"{method} {template}: {answer.status} {answer['code']} is not in openapi.json"

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, body, **more)

    def raw(self, data, shutdown=False):
        """Bytes to the socket as they are; what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(data)
            if shutdown:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while chunk := connection.recv(65536):
                    received += chunk
                    if b"\r\n\r\n" in received and len(received) > 200:
                        break
            except TimeoutError:
                pass
            return received.decode(errors="replace")

    def session(self, task="quick", **more):
        created = self.post("/v1/sessions", {"task": task, **more})
        assert created.status == 201, created.text
        return Session(self, created["id"])

    def git(self, *words):
        done = subprocess.run(["git", "-C", self.workspace / "journal.git", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self):
        text = (self.workspace / "results.tsv").read_text()
        assert text.endswith("\n")
        header, *lines = [line.split("\t") for line in text.splitlines()]
        assert all(len(line) == len(header) for line in lines)
        return [dict(zip(header, line)) for line in lines]


class Session:
    def __init__(self, host, name):
        self.host, self.id, self.path = host, name, f"/v1/sessions/{name}"

    def get(self, path="", **more):
        return self.host.get(self.path + path, **more)

    def post(self, path, body=None, **more):
        return self.host.post(self.path + path, body, **more)

    def edit(self, **fields):
        return self.post("/edits", {"path": "candidate.lua", **fields})

    def say(self, words):
        """Puts words for the fake supervisor into the candidate."""
        answer = self.edit(op="insert", after_line=self.region()[0] - 1, content=f"-- {words}")
        assert answer.status == 200, answer.text
        return answer

    def region(self, index=0):
        return self.get("/files/candidate.lua")["editable"][index]

    def head(self):
        return self.host.git("rev-parse", f"sessions/{self.id}").strip()

    def events(self):
        return [item["event"] for item in self.get()["history"]]

    def wait(self, number, seconds=900):
        deadline = time.time() + seconds
        while time.time() < deadline:
            answer = self.get(f"/tests/{number}?wait=30")
            if answer["status"] != "running":
                return answer
        raise AssertionError("the test does not end")

    def test(self, **fields):
        started = self.post("/tests", fields)
        assert started.status == 202, started.text
        return self.wait(started["test"])

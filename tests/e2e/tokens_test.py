"""Tokens: who is let in, and what each role may see and do, on every call of the API."""

import concurrent.futures
import json
import os
import re
import socket
import stat
import subprocess

import pytest

import browser as browsers
from bitloop import BIN, Host
from events import Stream

OPEN = {"/healthz", "/", "/static/{file}"}
SHARED = {"/openapi.json", "/v1/tasks", "/v1/tasks/{task}", "/v1/sessions", "/v1/results", "/v1/results.tsv", "/v1/events"}
REVIEW = {"/v1/sessions/{id}/verification"}  # reviewers' alone
STREAMS = {"/v1/events", "/v1/sessions/{id}/events"}


def bitloop(*words, **environment):
    return subprocess.run([BIN / "bitloop", *map(str, words)], capture_output=True, text=True, env={**os.environ, **environment})


def add(workspace, name, role="agent"):
    done = bitloop("token", "add", name, "--role", role, "--workspace", workspace)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Guarded:
    """A host with the agents ada and bob and the reviewer eve; ada has a session with one test."""

    def __init__(self, folder):
        self.workspace = folder / "workspace"
        self.tokens = {name: add(self.workspace, name, role) for name, role in (("ada", "agent"), ("bob", "agent"), ("eve", "reviewer"))}
        self.host = Host(self.workspace)
        self.host.token = self.tokens["ada"]
        self.session = self.host.session()
        self.session.test()
        self.host.token = None

    def call(self, who, method, path, body=None, **more):
        headers = {"Authorization": f"Bearer {self.tokens.get(who, who)}"} if who else {}
        return self.host.call(method, path, body, headers={**headers, **more.pop("headers", {})}, **more)

    def status(self, who, method, path):
        """Of any call; of a stream only the head is read."""
        if path.split("?")[0].endswith("/events") and method == "GET":
            stream = Stream(self.host, path, headers=[f"Authorization: Bearer {self.tokens.get(who, who)}"] if who else [])
            try:
                return stream.open().status
            finally:
                stream.close()
        body = {} if method != "GET" else None
        if path == "/mcp" and method == "POST":
            body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}
        return self.call(who, method, path, body).status


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    made = Guarded(tmp_path_factory.mktemp("tokens"))
    yield made
    if made.host.process.poll() is None:
        assert made.host.stop() == 0


def operations(guarded):
    """(method, pattern, path) of every call that the server says it has."""
    document = guarded.call("eve", "GET", "/openapi.json").json
    values = {"{id}": guarded.session.id, "{n}": "1", "{path}": "candidate.lua", "{task}": "quick", "{file}": "main.js"}
    for pattern, methods in document["paths"].items():
        path = re.sub(r"\{\w+\}", lambda match: values.get(match.group(), "x"), pattern)
        for method in methods:
            yield method.upper(), pattern, path


def test_every_call_and_every_caller(guarded):
    seen = list(operations(guarded))
    assert len(seen) > 20
    for method, pattern, path in seen:
        case = f"{method} {pattern}"
        for who in (None, "wrong", "bl_" + "0" * 64):
            assert (guarded.status(who, method, path) == 401) == (pattern not in OPEN), f"{case} by {who}"
        if pattern in OPEN or pattern == "/mcp":
            assert guarded.status("eve", method, path) not in (401, 403), case
            continue
        reviewer = guarded.status("eve", method, path)
        assert (reviewer == 403) == (method != "GET" and pattern not in REVIEW), f"{case} by the reviewer: {reviewer}"
        if pattern in REVIEW:
            assert [guarded.status(who, method, path) for who in ("ada", "bob")] == [403, 403], case
            continue
        other = guarded.status("bob", method, path)
        if pattern in SHARED:
            assert other not in (401, 403, 404), f"{case} by another agent: {other}"
        else:
            assert other == (404 if "{id}" in pattern else 403), f"{case} by another agent: {other}"
        if method == "GET":
            owner = guarded.status("ada", method, path)
            assert owner == (200 if pattern in SHARED or "{id}" in pattern else 403), f"{case} by its agent: {owner}"
    assert guarded.call("ada", "GET", guarded.session.path)["tests_left"] == 2


def test_a_refusal_says_what_to_do(guarded):
    none = guarded.call(None, "GET", "/v1/tasks")
    assert none.status == 401 and none["code"] == "token_missing" and "bitloop token add" in none["detail"]
    assert none.headers["WWW-Authenticate"] == 'Bearer realm="bitloop"'
    assert none.headers["Content-Type"] == "application/problem+json"
    wrong = guarded.call("wrong", "GET", "/v1/tasks")
    assert wrong["code"] == "token_unknown" and 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    basic = guarded.host.get("/v1/tasks", headers={"Authorization": "Basic YTpi"})
    assert basic["code"] == "token_missing"
    role = guarded.call("eve", "POST", "/v1/sessions", {"task": "quick"})
    assert role["code"] == "role_not_allowed" and "eve" in role["detail"]
    assert guarded.host.get("/nowhere").status == 401
    assert guarded.call("ada", "GET", "/nowhere").status == 404
    # A session that is somebody else's and one that does not exist are told apart by nothing.
    theirs = guarded.call("bob", "GET", guarded.session.path)
    assert theirs["detail"].replace(guarded.session.id, "X") == guarded.call("bob", "GET", "/v1/sessions/none")["detail"].replace("none", "X")


def test_nothing_shows_a_token(guarded):
    secrets = list(guarded.tokens.values())
    assert all(re.fullmatch(r"bl_[0-9a-f]{64}", token) for token in secrets)
    file = guarded.workspace / "tokens.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = file.read_text() + (guarded.workspace.parent / "host.log").read_text()
    kept += guarded.host.git("log", "--all", "--format=%B") + guarded.call("eve", "GET", guarded.session.path).text
    assert not any(token in kept or token[3:] in kept for token in secrets)
    assert [token["name"] for token in json.loads(file.read_text())["tokens"]] == ["ada", "bob", "eve"]


def test_a_session_says_who_made_it(guarded):
    shown = guarded.call("ada", "GET", guarded.session.path)
    assert shown["agent"] == "ada" and shown["token"] == "ada"
    trailers = guarded.host.git("log", "--format=%(trailers)", f"sessions/{guarded.session.id}")
    assert "Bitloop-Token: ada" in trailers
    state = json.loads(guarded.host.git("show", f"sessions/{guarded.session.id}:session.json"))
    assert state["token"] == "ada"


def test_each_sees_its_own_of_the_lists(guarded):
    ids = {who: [session["id"] for session in guarded.call(who, "GET", "/v1/sessions")["sessions"]] for who in guarded.tokens}
    assert guarded.session.id in ids["ada"] and guarded.session.id in ids["eve"] and guarded.session.id not in ids["bob"]
    rows = {who: guarded.call(who, "GET", "/v1/results")["results"] for who in guarded.tokens}
    lines = {who: guarded.call(who, "GET", "/v1/results.tsv").text.splitlines() for who in guarded.tokens}
    for who, expected in (("ada", 1), ("eve", 1), ("bob", 0)):
        assert len([row for row in rows[who] if row["session"] == guarded.session.id]) == expected
        assert len([line for line in lines[who] if guarded.session.id in line]) == expected
        assert lines[who][0].startswith("time\t")


def test_a_stream_of_all_sessions_has_the_callers_alone(guarded):
    mine = guarded.call("bob", "POST", "/v1/sessions", {"task": "quick"})["id"]
    stream = Stream(guarded.host, "/v1/events", headers=[f"Authorization: Bearer {guarded.tokens['bob']}"])
    event = next(iter(stream))
    assert event.json["session"] == mine
    stream.close()
    everything = Stream(guarded.host, "/v1/events", headers=[f"Authorization: Bearer {guarded.tokens['eve']}"])
    assert next(iter(everything)).json["session"] == guarded.session.id
    everything.close()


def test_a_key_of_one_is_no_key_of_another(guarded):
    made = [guarded.call(who, "POST", "/v1/sessions", {"task": "quick"}, headers={"Idempotency-Key": "k"})["id"]
            for who in ("ada", "bob", "ada", "bob")]
    assert made[0] == made[2] and made[1] == made[3] and made[0] != made[1]
    guarded.host.stop()
    guarded.host.start()
    again = [guarded.call(who, "POST", "/v1/sessions", {"task": "quick"}, headers={"Idempotency-Key": "k"})["id"] for who in ("ada", "bob")]
    assert again == made[:2]


def mcp(guarded, who, tool, arguments, **headers):
    envelope = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments, "_meta": envelope}}
    return guarded.call(who, "POST", "/mcp", body, headers={
        "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool, **headers})["result"]


def test_the_same_over_mcp(guarded):
    name = guarded.session.id
    assert mcp(guarded, "ada", "view", {"session": name})["isError"] is False
    assert mcp(guarded, "eve", "view", {"session": name})["isError"] is False
    for tool, arguments in (("view", {}), ("begin", {}), ("edit", {"op": "insert", "after_line": 13, "content": "x"}), ("undo", {}),
                            ("revert", {"test": 1}), ("check", {}), ("test", {}), ("test", {"n": 1}), ("submit", {"n": 1}), ("results", {})):
        theirs = mcp(guarded, "bob", tool, {"session": name, **arguments})
        assert theirs["isError"] and theirs["_meta"]["bitloop/code"] == "session_not_found", tool
    for tool, arguments in (("edit", {"op": "insert", "after_line": 13, "content": "x"}), ("undo", {}), ("check", {}), ("test", {}),
                            ("submit", {"n": 1})):
        refused = mcp(guarded, "eve", tool, {"session": name, **arguments})
        assert refused["isError"] and refused["_meta"]["bitloop/code"] == "role_not_allowed", tool
    begun = mcp(guarded, "bob", "begin", {"task": "quick"})["structuredContent"]
    assert begun["state"]["agent"] == "bob"
    listed = mcp(guarded, "bob", "results", {})["structuredContent"]
    assert begun["session"] in [session["id"] for session in listed["sessions"]]
    assert name not in json.dumps(listed)


def test_an_mcp_connection_belongs_to_its_token(guarded):
    def send(who, method, params, **headers):
        return guarded.call(who, "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, headers=headers)

    opened = send("ada", "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
    connection = {"Mcp-Session-Id": opened.headers["Mcp-Session-Id"]}
    assert send("ada", "ping", {}, **connection).status == 200
    assert send("bob", "ping", {}, **connection).status == 404
    uri = f"bitloop://sessions/{guarded.session.id}/candidate.lua"
    assert "result" in send("ada", "resources/read", {"uri": uri}, **connection).json
    other = send("bob", "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
    connection = {"Mcp-Session-Id": other.headers["Mcp-Session-Id"]}
    assert "error" in send("bob", "resources/read", {"uri": uri}, **connection).json
    ledger = send("bob", "resources/read", {"uri": "bitloop://results.tsv"}, **connection).text
    assert guarded.session.id not in ledger
    completed = send("bob", "completion/complete", {"ref": {"type": "ref/resource", "uri": "x"}, "argument": {"name": "session", "value": ""}}, **connection)
    assert guarded.session.id not in completed.text


def test_the_bridge_takes_the_token_from_the_environment(guarded):
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}) + "\n"

    def bridged(token):
        return subprocess.run([BIN / "bitloop", "mcp", "--url", guarded.host.url], input=line, capture_output=True, text=True,
                              env={**os.environ, "BITLOOP_TOKEN": token}, timeout=60)

    assert "result" in json.loads(bridged(guarded.tokens["ada"]).stdout)
    assert "401" in json.loads(bridged("wrong").stdout)["error"]["message"]
    bad = bridged("a\nb")
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1


def test_the_document_of_the_api_says_it(guarded):
    document = guarded.call("ada", "GET", "/openapi.json").json
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["security"] == [{"token": []}]
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in document["paths"]["/v1/results"]["get"]


def test_tokens_come_and_go_while_the_server_runs(host):
    assert host.get("/v1/tasks").status == 200
    assert "securitySchemes" not in host.get("/openapi.json")["components"]
    carol = {"Authorization": f"Bearer {add(host.workspace, 'carol')}"}
    assert host.get("/v1/tasks").status == 401
    assert host.get("/v1/tasks", headers=carol).status == 200
    stream = Stream(host, "/v1/events", headers=[f"Authorization: {carol['Authorization']}"]).open()
    removed = bitloop("token", "remove", "carol", "--workspace", host.workspace)
    assert removed.returncode == 0 and "lets nobody in" in removed.stderr
    assert host.get("/v1/tasks", headers=carol)["code"] == "token_unknown"
    with pytest.raises(EOFError):
        while True:
            stream.receive()
    (host.workspace / "tokens.json").unlink()
    assert host.get("/v1/tasks").status == 401
    (host.workspace / "tokens.json").write_text("{")
    assert host.get("/v1/tasks").status == 401 and host.get("/healthz").status == 200


def test_the_commands(tmp_path):
    add(tmp_path, "ada")
    add(tmp_path, "eve", "reviewer")
    listed = json.loads(bitloop("token", "list", "--json", "--workspace", tmp_path).stdout)
    assert [(token["name"], token["role"]) for token in listed["tokens"]] == [("ada", "agent"), ("eve", "reviewer")]
    assert "eve" in bitloop("token", "list", "--workspace", tmp_path).stdout
    for words in (("add", "ada", "--role", "agent"), ("add", "a b", "--role", "agent"), ("add", "", "--role", "agent"),
                  ("add", "x" * 65, "--role", "agent"), ("add", "x", "--role", "king"), ("add", "x"), ("remove", "nobody")):
        done = bitloop("token", *words, "--workspace", tmp_path)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stdout == "", words
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add(tmp_path, f"n{i}"), range(16)))
    assert len(json.loads((tmp_path / "tokens.json").read_text())["tokens"]) == 18


def test_the_tests_of_a_token_are_one_budget(tmp_path):
    workspace = tmp_path / "workspace"
    ada, bob = add(workspace, "ada"), add(workspace, "bob")
    host = Host(workspace)
    host.token = ada
    first, second = host.session(), host.session()
    first.test()
    second.say("FAKE_STATUS=infrastructure")
    assert second.test()["tests_left"] == 2  # given back
    second.post("/undo")
    answer = second.post("/tests", headers={"Idempotency-Key": "t"})
    assert answer["tests_left"] == 1
    second.wait(answer["test"])
    assert first.get()["tests_left"] == 1 and host.session().get()["tests_left"] == 1
    host.kill()
    host.start()
    assert first.get()["tests_left"] == 1
    assert "(0 tests remaining; submit is now mandatory" in first.test()["message"]
    assert second.post("/tests", headers={"Idempotency-Key": "t"}).json == answer.json  # as it was answered then
    refused = second.post("/tests")
    assert refused.status == 409 and refused["code"] == "no_tests_left" and "ada" in refused["detail"]
    assert host.session().get()["tests_left"] == 0
    assert host.session(task="tiny").get()["tests_left"] > 0
    host.token = bob
    assert host.session().get()["tests_left"] == 3
    assert host.stop() == 0


def test_beyond_this_machine_only_with_tokens(tmp_path):
    workspace = tmp_path / "workspace"
    for address in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        refused = bitloop("serve", "--host", address, "--workspace", workspace, "--allow-degraded")
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "bitloop token add" in refused.stderr, address
        assert refused.stdout == ""
    token = add(workspace, "ada")
    host = Host(workspace, options=["--host", "0.0.0.0", "--allow-host", "lab.example"])
    host.url = f"http://127.0.0.1:{host.port}"
    assert host.get("/v1/tasks").status == 401
    host.token = token
    for name, status in (("127.0.0.1", 200), ("192.0.2.7:80", 200), ("[2001:db8::1]:80", 200), ("lab.example", 200), ("LAB.example:99", 200),
                         ("evil.example", 403), ("lab.example.evil", 403), ("[::1", 403)):
        assert host.get("/v1/tasks", headers={"Host": name}).status == status, name
    assert host.get("/v1/tasks", headers={"Origin": "https://lab.example"}).status == 200
    assert host.get("/v1/tasks", headers={"Origin": "https://evil.example"}).status == 403
    assert host.stop() == 0


def test_the_dashboard_asks_for_a_token(guarded):
    browser = browsers.Browser()
    page = browser.page(guarded.host, allowed=("401",))
    page.wait_for_selector('h1:has-text("A token, please")')
    page.fill('input[name="token"]', "wrong")
    page.get_by_role("button", name="Enter").click()
    page.wait_for_selector('.notice:has-text("not one of the server")')
    page.fill('input[name="token"]', guarded.tokens["ada"])
    page.get_by_role("button", name="Enter").click()
    page.wait_for_selector(f'a[href="#/sessions/{guarded.session.id}"]')
    page.wait_for_selector('#connection[data-state="live"]')
    made = guarded.call("ada", "POST", "/v1/sessions", {"task": "quick", "agent": "a newcomer"})["id"]
    page.wait_for_selector(f'a[href="#/sessions/{made}"]')
    page.go("#/ledger")
    with page.expect_download() as download:
        page.get_by_role("link", name="All as results.tsv").click()
    assert guarded.session.id in open(download.value.path()).read()
    assert not any(guarded.tokens["ada"] in url for url in page.requests)
    page.reload()
    page.wait_for_selector('#connection[data-state="live"]')  # kept for the tab
    page.close()
    browser.close()


def test_a_server_that_wants_if_match(tmp_path):
    host = Host(tmp_path / "workspace", options=["--require-if-match"])
    session = host.session()
    body = {"op": "insert", "path": "candidate.lua", "after_line": session.region()[0] - 1, "content": "-- a"}
    refused = session.post("/edits", body)
    assert refused.status == 428 and refused["code"] == "if_match_missing"
    edited = session.post("/edits", body, headers={"If-Match": session.get().headers["ETag"]})
    assert edited.status == 200
    assert session.post("/tests", headers={"If-Match": edited.headers["ETag"]}).status == 202
    assert session.post("/tests", headers={"If-Match": edited.headers["ETag"]}).status in (409, 412)
    assert host.stop() == 0


def test_more_calls_at_a_time_than_are_allowed(tmp_path):
    host = Host(tmp_path / "workspace", options=["--max-calls", "2"])
    session = host.session()
    session.say("FAKE_SLEEP=3")
    session.post("/tests")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: session.get("/tests/1?wait=30"), range(8)))
    refused = [answer for answer in answers if answer.status == 429]
    assert 1 <= len(refused) < 8
    assert all(answer["code"] == "too_many_calls" and int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert host.stop() == 0


def test_lists_come_in_pages(host):
    ids = [host.session().id for _ in range(5)]
    assert [session["id"] for session in host.get("/v1/sessions")["sessions"]] == ids and "Link" not in host.get("/v1/sessions").headers
    seen, path = [], "/v1/sessions?limit=2"
    while path:
        answer = host.get(path)
        seen += [session["id"] for session in answer["sessions"]]
        following = re.search(r'<([^>]*)>; rel="next"', answer.headers["Link"])
        path = following and following.group(1)
    assert seen == ids
    assert host.get("/v1/results?limit=2")["results"] == []
    assert len(host.get(f"/v1/sessions/{ids[0]}?limit=1")["history"]) == 1
    assert host.get("/v1/sessions?limit=0").status == 422 and host.get("/v1/sessions?offset=-1").status == 422


def test_a_client_of_one_byte_a_second_is_cut_off(host):
    with socket.create_connection(("127.0.0.1", host.port), timeout=30) as connection:
        received = b""
        connection.settimeout(1)
        for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 60:
            connection.sendall(bytes([byte]))
            try:
                received = connection.recv(65536)
                break
            except TimeoutError:
                continue
    assert received.startswith(b"HTTP/1.1 408")


def test_a_fork_shares_the_budget_and_is_made_by_who_sees_its_parent(tmp_path):
    guarded = Guarded(tmp_path)
    parent = f"{guarded.session.id}/1"
    stranger = guarded.call("bob", "POST", "/v1/sessions", {"from": parent})
    nobody = guarded.call("bob", "POST", "/v1/sessions", {"from": "calm-crane-0000/1"})
    assert stranger.status == nobody.status == 404
    assert stranger["detail"].replace(guarded.session.id, "calm-crane-0000") == nobody["detail"]

    fork = guarded.call("ada", "POST", "/v1/sessions", {"from": parent})
    assert fork.status == 201 and fork["forked_from"] == parent and fork["tests_left"] == 2
    for _ in range(2):
        started = guarded.call("ada", "POST", f"/v1/sessions/{fork['id']}/tests", {})
        assert started.status == 202, started.text
        assert guarded.call("ada", "GET", f"/v1/sessions/{fork['id']}/tests/{started['test']}?wait=30")["status"] == "ok"
    for session in (fork["id"], guarded.session.id):
        refused = guarded.call("ada", "POST", f"/v1/sessions/{session}/tests", {})
        assert refused.status == 409 and refused["code"] == "no_tests_left", refused.text
    again = guarded.call("ada", "POST", "/v1/sessions", {"from": parent})
    summary = guarded.call("ada", "GET", f"/v1/sessions/{again['id']}/summary")
    assert again["tests_left"] == summary["tests_left"] == 0 and "used up" in summary["next"]
    assert guarded.call("bob", "GET", f"/v1/sessions/{again['id']}/summary").status == 404
    guarded.host.stop()


def test_a_warning_never_tells_what_another_token_tried(tmp_path):
    guarded = Guarded(tmp_path)
    guarded.host.token = guarded.tokens["bob"]
    session = guarded.host.session()
    first, _ = session.region()
    words = {"op": "insert", "after_line": first - 1, "content": "local q = 1"}
    assert session.edit(**words)["warnings"] == []
    back = session.edit(op="str_replace", old_str="local q = 1\n", new_str="")  # the text that ada tested
    assert back.status == 200 and back["warnings"] == [], back.text
    guarded.host.token = guarded.tokens["ada"]
    own = guarded.host.session()
    own.edit(**words)
    assert len(own.edit(op="str_replace", old_str="local q = 1\n", new_str="")["warnings"]) == 1
    guarded.host.stop()

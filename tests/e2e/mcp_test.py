"""MCP as the official Python SDK sees it: both transports, both eras of the protocol, whole sessions (design, section 6)."""

import json
import os
import re
import subprocess
import threading
import time

import pytest
from bitloop import BIN, FAKE, HERE, Host
from packages import python

TOOLS = {"begin", "view", "edit", "undo", "revert", "check", "test", "submit", "results", "summary"}


class McpClient:
    """A connected client of the SDK, gone after the `with` however that ends; every method is one request."""

    def __init__(self, mode, *target, **environment):
        self.process = subprocess.Popen(
            [python(), "-W", "ignore", HERE / "mcp_client.py", mode, *map(str, target)], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env={**os.environ, **environment})

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        try:
            self.process.stdin.close()
            code = self.process.wait(timeout=60)
            assert failure or code == 0
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def do(self, what, **more):
        self.process.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def tool(self, tool, progress=False, touch=None, **arguments):
        """touch: a file that is written when the first progress is heard."""
        return self.do("tool", name=tool, arguments=arguments, progress=progress, touch=touch and str(touch))

    def done(self, tool, **arguments):
        """The structured content of a call that is not refused."""
        answer = self.tool(tool, **arguments)
        assert answer.get("isError") is False, answer
        return answer["structuredContent"]

    def refused(self, tool, **arguments):
        """The sentence of a call that is refused, and its code."""
        answer = self.tool(tool, **arguments)
        assert answer.get("isError") is True, answer
        return answer["content"][0]["text"], answer["_meta"]["bitloop/code"]


def stdio(workspace, *more):
    return [BIN / "bitloop", "mcp", "--workspace", workspace, "--allow-degraded", "--ready-checks", "0", *more]


def until(path, words=""):
    """Waits for a file, and for words in it."""
    while not path.exists() or words not in path.read_text():
        time.sleep(0.02)


def hold(client, session):
    """The session's test stops half-way until the workspace has the file `go`."""
    client.done("edit", session=session, op="rewrite", region="config", content="local CONFIG_OVERRIDES = {}  -- FAKE_HOLD=go")


@pytest.fixture(params=["http auto", "http legacy", "stdio auto", "stdio legacy", "bridge auto", "bridge legacy"])
def client(request, tmp_path):
    transport, mode = request.param.split()
    if transport == "stdio":
        with McpClient(mode, *stdio(tmp_path / "workspace"), BITLOOP_SUPERVISOR=FAKE) as connected:
            yield connected
        return
    with Host(tmp_path / "workspace") as host:
        target = [host.url + "/mcp"] if transport == "http" else [BIN / "bitloop", "mcp", "--url", host.url]
        with McpClient(mode, *target) as connected:
            yield connected
        assert host.stop() == 0


def test_a_whole_session(client, tmp_path):
    hello = client.do("hello")
    assert hello["version"] in ("2026-07-28", "2025-11-25") and hello["server"] == "bitloop"
    assert set(hello["capabilities"]) >= {"tools", "resources", "prompts"}
    assert {tool["name"] for tool in client.do("tools")["tools"]} == TOOLS

    begun = client.tool("begin", task="quick", quantizer="ternary", tests=2)
    session, text = begun["structuredContent"]["session"], begun["content"][0]["text"]
    assert f'begin(session="{session}")' in text and "[Current file: candidate.lua | editable: " in text
    assert begun["structuredContent"]["state"]["agent"] == "mcp"  # the SDK's own name
    assert begun["structuredContent"]["task"]["allowed_config"]["beta1"] == [0, 0.999]

    view = client.done("view", session=session, filename="candidate.lua", start_line=1, end_line=14)
    first, last = view["editable"][0]
    assert "     1| " in view["view"] and view["path"] == "candidate.lua"
    assert client.done("view", session=session, path="lua.md")["editable"] == []

    edited = client.tool("edit", session=session, op="insert", after_line=first - 1, content="-- FAKE_HOLD=stop\n")
    assert edited["content"][0]["text"].startswith(
        f"OK: Inserted 1 line(s) after line {first - 1} in candidate.lua. Editable range: {first}–{last + 1}, ")
    sentence, code = client.refused("edit", session=session, op="replace", start_line=1, end_line=2, content="")
    assert sentence.startswith(f"ERROR: Lines 1..2 exceed the editable range. You may only edit lines {first}–{last + 1}, ")
    assert code == "edit_out_of_range"
    client.done("edit", session=session, op="str_replace", old_str="-- FAKE_HOLD=stop", new_str="-- FAKE_HOLD=go")
    client.done("edit", session=session, op="insert", after_line=first - 1, content="-- a line too many\n")
    client.done("undo", session=session, n=1)
    (tmp_path / "workspace" / "go").touch()
    checked = client.tool("check", session=session)
    assert checked["structuredContent"]["ok"] is True and checked["content"][0]["text"].startswith("[check] ok")

    (tmp_path / "workspace" / "go").unlink()
    assert client.done("test", session=session, description="the idea", wait=0)["status"] == "running"
    until(tmp_path / "workspace" / "runs" / f"{session}-1" / "events.jsonl", '"step"')
    tested = client.tool("test", session=session, n=1, progress=True, touch=tmp_path / "workspace" / "go")
    assert tested["content"][0]["text"].splitlines()[:2] == [
        "[Test #1] (1 test remaining; call submit(n=N) to choose which test result to submit as final)", "### train (quick)"]
    assert tested["structuredContent"]["metrics"]["val_loss"] == 2.3178
    done = [step for step, _, _ in tested["progress"]]
    assert done and done == sorted(set(done)) and {total for _, total, _ in tested["progress"]} == {401}
    assert all(re.match(r"step \d+ of 400, train_loss=|evaluating", message) for _, _, message in tested["progress"])

    client.done("revert", session=session, n=1)
    results = client.tool("results", session=session)
    assert [event["event"] for event in results["structuredContent"]["history"]] == [
        "session", "edit", "edit", "edit", "undo", "check", "test-started", "test-finished", "revert"]
    assert results["structuredContent"]["results"][0]["description"] == "the idea"
    assert client.tool("submit", session=session, n=1)["content"][0]["text"] == "[submit] Submitting result from test #1 as final."
    assert client.refused("undo", session=session)[1] == "session_closed"


def test_a_long_test_is_polled(client, tmp_path):
    session = client.done("begin", task="quick")["session"]
    hold(client, session)
    started = client.tool("test", session=session, wait=0)
    assert started["structuredContent"]["status"] == "running" and started["structuredContent"]["metrics"] is None
    assert "call test(n=1) to wait for its end" in started["content"][0]["text"]
    assert client.refused("edit", session=session, op="rewrite", region="config", content="")[1] == "test_running"
    (tmp_path / "workspace" / "go").touch()
    assert client.done("test", session=session, n=1)["status"] == "ok"
    assert client.done("results", session=session)["state"]["tests_left"] == 2


def test_a_failed_test_is_a_result_and_not_an_error(client):
    session = client.done("begin", task="quick")["session"]
    client.done("edit", session=session, op="rewrite", region="config",
                content="local CONFIG_OVERRIDES = {}  -- FAKE_STATUS=script_error")
    assert client.done("check", session=session)["ok"] is False
    failed = client.tool("test", session=session)
    assert failed["isError"] is False and failed["structuredContent"]["status"] == "script_error"
    assert "[FAILED script_error] candidate.lua:17: weight_quant must return codes, scale" in failed["content"][0]["text"]
    assert client.refused("submit", session=session, test=1)[1] == "test_failed"


def test_what_is_wrong_is_said_so_that_it_can_be_mended(client):
    assert "Unknown tool: fly" in client.tool("fly")["error"]["message"]
    session = client.done("begin", task="quick")["session"]
    for tool, arguments, code in [
            ("begin", {}, "missing_field"), ("begin", {"task": "none"}, "task_not_found"),
            ("begin", {"task": "quick", "tests": 9}, "too_many_tests"), ("begin", {"session": "none"}, "session_not_found"),
            ("view", {"path": "none.lua"}, "file_not_found"), ("view", {"start_line": 0}, "invalid_value"),
            ("edit", {"op": "fly"}, "unknown_op"), ("edit", {}, "missing_field"),
            ("edit", {"op": "replace", "content": ""}, "missing_field"), ("edit", {"op": "insert", "line": 3}, "unknown_field"),
            ("undo", {"n": "all"}, "invalid_type"), ("undo", {"n": 5}, "nothing_to_undo"), ("revert", {}, "missing_field"),
            ("test", {"n": 7}, "test_not_found"), ("submit", {"n": 7}, "test_not_found"), ("submit", {}, "missing_field")]:
        named = arguments if tool == "begin" else {"session": session, **arguments}
        sentence, got = client.refused(tool, **named)
        assert got == code and len(sentence) > 20 and "/v1" not in sentence, (tool, arguments, sentence)


def test_resources_and_the_prompt(client):
    uris = [resource["uri"] for resource in client.do("resources")["resources"]]
    assert uris[:3] == ["bitloop://files/program.md", "bitloop://files/lua.md", "bitloop://files/model.md"]
    for uri in uris:
        assert client.do("read", uri=uri)["contents"][0]["text"]
    assert json.loads(client.do("read", uri="bitloop://tasks/quick")["contents"][0]["text"])["budget"]["tests"] == 3
    assert client.do("read", uri="bitloop://files/none")["error"]["code"] in (-32002, -32602)
    assert len(client.do("templates")["resourceTemplates"]) == 2
    assert [prompt["name"] for prompt in client.do("prompts")["prompts"]] == ["program"]
    prompt = client.do("prompt", name="program", arguments={"task": "tiny"})
    assert prompt["messages"][0]["content"]["text"].startswith("# Your program")
    assert 'begin(task="tiny")' in prompt["messages"][0]["content"]["text"]
    assert client.do("prompt", name="program", arguments={"task": "none"})["error"]["code"] == -32602


def test_a_connection_remembers_its_session_and_no_other(host):
    url = host.url + "/mcp"
    with McpClient("legacy", url) as mine, McpClient("legacy", url) as other:
        first = mine.done("begin", task="quick")["session"]
        assert mine.done("view")["session"] == first
        sentence, code = other.refused("undo")
        assert code == "session_unclear" and "begin(task=…)" in sentence and first not in sentence
        second = other.done("begin", task="quick")["session"]
        assert other.done("view")["session"] == second and mine.done("view")["session"] == first
        mine.done("begin", session=second)  # now it has two, and must say which
        assert mine.refused("undo")[1] == "session_unclear"
        assert mine.done("view", session=first)["session"] == first


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_goes_on_after_a_restart_with_its_session_alone(tmp_path, mode):
    with Host(tmp_path / "workspace") as host:
        with McpClient(mode, host.url + "/mcp") as client:
            session = client.done("begin", task="quick")["session"]
            hold(client, session)
            client.done("test", session=session, wait=0)
        host.kill()
        host.start()
        (host.workspace / "go").touch()
        with McpClient(mode, host.url + "/mcp") as client:
            again = client.tool("begin", session=session)
            assert again["structuredContent"]["state"]["tests"][0]["test"] == 1
            assert client.done("test", session=session, n=1)["status"] == "ok"
            assert client.done("submit", session=session, n=1)["status"] == "ok"
        assert host.stop() == 0


def test_a_connection_that_the_server_forgot_is_told_so(host):
    headers = {"Accept": "application/json, text/event-stream"}
    ask = lambda method, params, **more: host.post(
        "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, headers={**headers, **more})
    opened = ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}})
    name = opened.headers["Mcp-Session-Id"]
    assert opened["result"]["protocolVersion"] == "2025-06-18" and re.fullmatch(r"[0-9a-f]{32}", name)
    assert ask("ping", {}, **{"Mcp-Session-Id": name})["result"] == {}
    assert host.call("DELETE", "/mcp", headers={"Mcp-Session-Id": name}).status == 204
    gone = ask("ping", {}, **{"Mcp-Session-Id": name})
    assert gone.status == 404 and "initialize" in gone["error"]["message"]
    assert ask("ping", {}).status == 400
    assert host.get("/mcp").status == 405


def test_the_bridge_opens_a_forgotten_connection_again(tmp_path):
    with Host(tmp_path / "workspace") as host:
        with McpClient("legacy", BIN / "bitloop", "mcp", "--url", host.url) as client:
            session = client.done("begin", task="quick")["session"]
            host.kill()
            assert "is `bitloop serve` running there?" in client.tool("view")["error"]["message"]
            host.start(port=host.port)
            assert client.refused("view")[1] == "session_unclear"
            assert client.done("begin", session=session)["session"] == session
            assert client.done("view")["session"] == session
        assert host.stop() == 0


def test_a_call_that_the_client_gave_up_leaves_the_test_running(client, tmp_path):
    session = client.done("begin", task="quick")["session"]
    hold(client, session)
    given_up = client.do("tool", name="test", arguments={"session": session, "wait": 60}, progress=True, timeout=2)
    assert "error" in given_up or given_up.get("timeout"), given_up
    assert client.done("results", session=session)["state"]["state"] == "testing"
    (tmp_path / "workspace" / "go").touch()
    assert client.done("test", session=session, n=1)["status"] == "ok"
    assert client.done("results", session=session)["state"]["tests_left"] == 2


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_server_that_ends_answers_who_waits(tmp_path, mode):
    with Host(tmp_path / "workspace") as host, McpClient(mode, host.url + "/mcp") as client:
        session = client.done("begin", task="quick")["session"]
        hold(client, session)
        heard = tmp_path / "heard"

        def end_while_it_waits():
            until(heard)
            host.process.terminate()

        threading.Thread(target=end_while_it_waits, daemon=True).start()
        waited = client.tool("test", session=session, progress=True, wait=60, touch=heard)
        assert waited["structuredContent"]["status"] == "running", waited
        assert host.process.wait(timeout=30) == 0
        (host.workspace / "go").touch()


def test_the_documents_of_the_benchmarks_are_named_on_stdio_too(tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "piqa.jsonl").write_text("{}\n")
    server = stdio(tmp_path / "workspace", "--benchmarks", tmp_path / "documents")
    with McpClient("auto", *server, BITLOOP_SUPERVISOR=FAKE) as client:
        session = client.done("begin", task="small")["session"]
        assert client.done("test", session=session)["status"] == "ok"
    job = json.loads((tmp_path / "workspace" / "runs" / f"{session}-1" / "job.json").read_text())
    assert job["benchmarks"]["documents"]["piqa.jsonl"]["file"] == str(tmp_path / "documents" / "piqa.jsonl")
    both = subprocess.run([BIN / "bitloop", "mcp", "--url", "http://127.0.0.1:1", "--benchmarks", tmp_path], capture_output=True, text=True)
    assert both.returncode == 2 and "--benchmarks" in both.stderr


def test_a_workspace_that_is_served_is_named_with_the_way_out(host):
    refused = subprocess.run(stdio(host.workspace), input="", capture_output=True, text=True)
    assert refused.returncode == 3 and refused.stdout == ""
    assert "bitloop mcp --url http://127.0.0.1:PORT" in refused.stderr and refused.stderr.count("\n") == 1
    wrong = subprocess.run([BIN / "bitloop", "mcp", "--url", "somewhere"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "http://127.0.0.1:8321" in wrong.stderr


def test_standard_output_carries_messages_alone(tmp_path):
    lines = [{"jsonrpc": "2.0", "id": 1, "method": "initialize",
              "params": {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}},
             {"jsonrpc": "2.0", "method": "notifications/initialized"},
             [{"jsonrpc": "2.0", "id": 2, "method": "ping"}, {"jsonrpc": "2.0", "id": 3, "method": "tools/list"}]]
    done = subprocess.run(stdio(tmp_path / "workspace"), input="".join(json.dumps(line) + "\n" for line in lines) + "nonsense\n",
                          capture_output=True, text=True, env={**os.environ, "BITLOOP_SUPERVISOR": FAKE})
    assert done.returncode == 0
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[0]["id"] == 1 and [answer["id"] for answer in answers[1]] == [2, 3]
    assert answers[2]["error"]["code"] == -32700

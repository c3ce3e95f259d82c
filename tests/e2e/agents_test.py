"""Agents of others and of our own work on a session, each with a model that follows a script (docs/agents.md)."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading

import pytest
from bitloop import ROOT
from packages import python

AGENT = ROOT / "docs" / "agent.py"


class ScriptedChat(http.server.ThreadingHTTPServer):
    """An OpenAI-style chat endpoint that says the given replies one after the other and keeps what it was asked."""

    def __init__(self, replies):
        super().__init__(("127.0.0.1", 0), ScriptedAnswer)
        self.replies, self.asked = list(replies), []
        self.url = f"http://127.0.0.1:{self.server_port}/v1/chat/completions"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class ScriptedAnswer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"key": self.headers.get("Authorization"), **body})
        reply = {"role": "assistant", "content": self.server.replies.pop(0)}
        data = json.dumps({"choices": [{"index": 0, "message": reply}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def say(tool, **arguments):
    return json.dumps({"tool": tool, "arguments": arguments})


def run_agent(host, chat, *more, **environment):
    return subprocess.run([sys.executable, "-B", AGENT, host.url, chat.url, "scripted", *more], capture_output=True, text=True,
                          timeout=120, env={**os.environ, **environment})


def test_the_example_agent_is_short():
    assert AGENT.read_text().count("\n") <= 60


def test_the_example_agent_works_until_it_submits(host):
    replies = [
        "Let me look first.",
        'I will read the file:\n```json\n' + say("view", path="lua.md", end_line=5) + "\n```",
        say("edit", op="replace", start_line=1, end_line=1, content=""),
        say("edit", op="rewrite", region="config", content="local CONFIG_OVERRIDES = {}  -- FAKE_LOSS=2.25"),
        say("fly"),
        say("check"),
        say("test", description="a better idea"),
        say("submit", n=2),
        say("submit", n=1),
    ]
    with ScriptedChat(replies) as chat:
        done = run_agent(host, chat, CHAT_API_KEY="secret")
    assert done.returncode == 0, done.stderr
    assert chat.replies == []
    assert {(asked["model"], asked["key"]) for asked in chat.asked} == {("scripted", "Bearer secret")}
    system, first = chat.asked[0]["messages"]
    assert system["content"].startswith("# Your program") and "\nedit: " in system["content"]
    assert "[Current file: candidate.lua | editable: " in first["content"]
    heard = [asked["messages"][-1]["content"] for asked in chat.asked[1:]]
    assert heard[0].startswith("Answer with one JSON object")
    assert heard[1].startswith("[Current file: lua.md")
    assert heard[2].startswith("ERROR: Lines 1..1 exceed the editable range.")
    assert heard[3].startswith("OK: ") and heard[4].startswith("Answer with one JSON object") and heard[5].startswith("[check] ok")
    assert heard[6].startswith("[Test #1] (2 tests remaining; ")
    assert " has no test #2; it has 1 test(s) so far." in heard[7]
    assert done.stdout.rstrip().endswith("[submit] Submitting result from test #1 as final.")
    row = host.rows()[0]
    assert (row["agent"], row["description"], row["val_loss"], row["submitted"]) == ("agent.py scripted", "a better idea", "2.25", "true")


def test_the_example_agent_goes_on_with_a_session(host):
    session = host.session()
    session.test(description="before")
    with ScriptedChat([say("submit", n=1)]) as chat:
        done = run_agent(host, chat, session.id)
    assert done.returncode == 0, done.stderr
    assert "test #1: ok, val_loss=2.3178" in chat.asked[0]["messages"][1]["content"]
    assert session.get()["submitted"] == 1
    with ScriptedChat([]) as chat:
        refused = run_agent(host, chat, "no-such-session")
    assert refused.returncode == 1 and "There is no session 'no-such-session'" in refused.stderr


def test_mini_swe_agent_works_with_curl(host, tmp_path):
    """What an agent does that has a shell and program.md: every command is one of a model's turns."""
    api = f"{host.url}/v1"
    path = '"$(cat session)"'
    commands = [
        f"curl -s {api}/tasks/quick | head -c 200",
        f"curl -s --json '{{\"task\": \"quick\", \"agent\": \"mini\"}}' {api}/sessions | python3 -c "
        f"'import json, sys; print(json.load(sys.stdin)[\"id\"])' | tee session",
        f"curl -s {api}/sessions/{path}/files/candidate.lua | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"view\"])'",
        f"curl -s --json '{{\"op\": \"rewrite\", \"filename\": \"candidate.lua\", \"region\": \"config\", \"content\": "
        f"\"local CONFIG_OVERRIDES = {{}}  -- FAKE_LOSS=2.2\"}}' {api}/sessions/{path}/edits",
        f"curl -s --json '{{\"op\": \"replace\", \"filename\": \"candidate.lua\", \"start_line\": 1, \"end_line\": 1, "
        f"\"content\": \"\"}}' {api}/sessions/{path}/edits",
        f"curl -s -X POST {api}/sessions/{path}/checks",
        f"curl -s --json '{{\"description\": \"by mini\"}}' {api}/sessions/{path}/tests",
        f"curl -s '{api}/sessions/'{path}'/tests/1?wait=30'",
        f"curl -s --json '{{\"n\": 1}}' {api}/sessions/{path}/submission",
        "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; cat session",
    ]
    order = {"task": (ROOT / "program.md").read_text(), "commands": commands, "folder": str(tmp_path)}
    done = subprocess.run([python(), ROOT / "tests/e2e/mini_agent.py"], input=json.dumps(order), capture_output=True, text=True,
                          timeout=300, env={**os.environ, "MSWEA_SILENT_STARTUP": "1", "MSWEA_GLOBAL_CONFIG_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    conversation = json.loads(done.stdout)
    assert conversation["end"]["exit_status"] == "Submitted"
    session = conversation["end"]["submission"].strip()
    assert re.fullmatch(r"\w+-\w+-[0-9a-f]{4}", session)
    said = "\n".join(conversation["messages"])
    for words in ["[Current file: candidate.lua | editable: ", "OK: Replaced lines ", "exceed the editable range. You may only edit",
                  '"ok":true', "[Test #1] (2 tests remaining; call submit(n=N)", "[submit] Submitting result from test #1 as final."]:
        assert words in said, words
    row = host.rows()[0]
    assert (row["session"], row["agent"], row["val_loss"], row["submitted"]) == (session, "mini", "2.2", "true")


@pytest.mark.parametrize("language, read", [("json", json.loads), ("toml", __import__("tomllib").loads)])
def test_the_configurations_are_what_they_say(language, read):
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/agents.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        assert "bitloop" in next(iter(read(block).values()))

"""The API keeps what /openapi.json says: Schemathesis makes calls of it, good and bad ones, and compares every answer."""

import json
import subprocess

import pytest

from bitloop import Host
from packages import python
from tokens_test import add

# Event streams do not end, and have tests of their own (events_test.py).
LEFT_OUT = ["GET /v1/events", "GET /v1/sessions/{id}/events"]
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "negative_data_rejection", "allow_header_conformance"]


def schemathesis(host, folder, token=None, phases="coverage,fuzzing,stateful", **parameters):
    """Schemathesis with a fixed seed; `parameters` of paths have this value always. The caller's folder is its working folder."""
    lines = [f'"path.{name}" = {json.dumps(value)}' for name, value in parameters.items()]
    (folder / "schemathesis.toml").write_text("\n".join(["[parameters]", *lines]) + "\n")
    words = [python(), "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", f"{host.url}/openapi.json", "--seed", "1",
             "--max-examples", "8", "--phases", phases, "--checks", ",".join(CHECKS), "--generation-database", "none", "--no-color",
             "--no-shrink", "--continue-on-failure", "--request-timeout", "20", "--warnings", "off"]
    words += [word for name in LEFT_OUT for word in ("--exclude-name", name)]
    words += ["--header", f"Authorization: Bearer {token}"] if token else []
    done = subprocess.run(list(map(str, words)), text=True, capture_output=True, timeout=600, cwd=folder)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert host.process.poll() is None


def test_whatever_is_asked(host, tmp_path):
    schemathesis(host, tmp_path)


@pytest.mark.parametrize("role", ["agent", "reviewer"])
def test_a_session_and_a_token(tmp_path, role):
    """Trainings are the fake supervisor's, which takes no time."""
    workspace = tmp_path / "workspace"
    tokens = {name: add(workspace, name, name) for name in ("agent", "reviewer")}
    with Host(workspace) as host:
        host.token = tokens["agent"]
        session = host.session()
        session.test()
        schemathesis(host, tmp_path, tokens[role], "coverage,fuzzing", id=session.id, n="1", task="quick", path="candidate.lua", file="main.js")
        assert session.get().status == 200
        assert host.stop() == 0


# Pages, streams and JSON-RPC have no document of their own.
NO_DOCUMENT = {"/", "/static/{file}", "/mcp", "/openapi.json", "/v1/events", "/v1/sessions/{id}/events"}
VALIDATE = """
import json, jsonschema, sys
api = json.load(sys.stdin)
for schema, example in api["pairs"]:
    jsonschema.validate(example, {**schema, "components": api["components"]}, cls=jsonschema.Draft202012Validator)
"""


def test_every_call_and_every_problem_has_a_schema_and_an_example(host):
    api = host.get("/openapi.json").json
    pairs, problems, named = [], api["components"]["examples"], set()
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            errors = {status: answer["content"].get("application/problem+json", {"examples": {}})["examples"]
                      for status, answer in operation["responses"].items() if not status.startswith("2")}
            for status, examples in errors.items():
                for code, example in examples.items():
                    assert example == {"$ref": f"#/components/examples/{code}"} and problems[code]["value"]["status"] == int(status)
                    named.add(code)
            answers = [answer for status, answer in operation["responses"].items() if status.startswith("2") and "content" in answer]
            bodies = [*answers, *([operation["requestBody"]] if "requestBody" in operation else [])]
            for body in bodies if path not in NO_DOCUMENT else []:
                (content,) = body["content"].values()
                assert "example" in content, f"{method} {path}"
                pairs.append((content["schema"], content["example"]))
            if path not in NO_DOCUMENT and "application/json" in answers[0]["content"]:
                assert "$ref" in answers[0]["content"]["application/json"]["schema"], f"{method} {path}"
    codes = api["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert list(problems) == codes and len(codes) == len(set(codes)) > 60
    # A method that a path does not take is no call of the document, nor are limits of a server's start.
    assert set(codes) - named == {"method_not_allowed"}
    for code, example in problems.items():
        assert example["value"]["code"] == code and example["summary"] and example["value"]["status"] >= 400
        pairs.append(({"$ref": "#/components/schemas/Problem"}, example["value"]))
    assert len(pairs) > 100
    given = json.dumps({"pairs": pairs, "components": api["components"]})
    done = subprocess.run([python(), "-c", VALIDATE], input=given, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_real_answers_are_as_their_schemas_say(host, session):
    """Those that a session gives from its beginning to its end; Schemathesis seldom gets so far."""
    assert session.test()["status"] == "ok"
    api = host.get("/openapi.json").json
    schema = lambda name: {"$ref": f"#/components/schemas/{name}"}
    pairs = [(schema(name), host.get(path).json) for name, path in [
        ("Health", "/healthz"), ("Tasks", "/v1/tasks"), ("Task", "/v1/tasks/tiny"), ("Results", "/v1/results"), ("Sessions", "/v1/sessions"),
        ("Session", session.path), ("Summary", session.path + "/summary"), ("File", session.path + "/files/candidate.lua"),
        ("Diff", session.path + "/diff"), ("Test", session.path + "/tests/1")]]
    edit = session.say("-- one more")
    pairs += [(schema("Edit"), edit.json), (schema("Edit"), session.post("/undo", {}).json), (schema("Check"), session.post("/checks", {}).json),
              (schema("Tags"), session.post("/tags", {"tag": "t"}).json), (schema("Test"), session.post("/submission", {"test": 1}).json),
              (schema("Verification"), session.post("/verification", {}).json),
              (schema("NewSession"), host.post("/v1/sessions", {"task": "quick"}).json)]
    done = subprocess.run([python(), "-c", VALIDATE], input=json.dumps({"pairs": pairs, "components": api["components"]}), text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_an_unreadable_request_is_the_last_of_its_connection(host):
    """What comes after a request line that could not be read is not taken for another request."""
    for first, status in (("QUERY /healthz HTTP/1.1", "405"), ("QUERY /nowhere HTTP/1.1", "404"), ("NONSENSE", "400")):
        answer = host.raw(f"{first}\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert answer.split()[1] == status and answer.count("HTTP/1.1 ") == 1, answer
        assert "Connection: close" in answer
    answer = host.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\nGET /v1/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.split()[1] == "200" and answer.count("HTTP/1.1 ") == 1 and "Connection: close" in answer, answer
    for type, status in (("multipart/form-data", "415"), ("multipart/form-data; boundary=x", "415"), ("application/json", "400")):
        more = "Content-Encoding: gzip\r\n" if status == "400" else ""
        answer = host.raw(f"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: {type}\r\n{more}Content-Length: 29\r\n\r\n"
                          "GET /v1/tasks HTTP/1.1\r\nA: b\r\nHost: localhost\r\n\r\n".encode())
        assert answer.split()[1] == status and answer.count("HTTP/1.1 ") == 1 and "Connection: close" in answer, answer
    assert "Allow: GET, HEAD" in host.raw(b"QUERY /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")

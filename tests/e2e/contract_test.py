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


def test_an_unreadable_request_is_the_last_of_its_connection(host):
    """What comes after a request line that could not be read is not taken for another request."""
    for first, status in (("QUERY /healthz HTTP/1.1", "405"), ("QUERY /nowhere HTTP/1.1", "404"), ("NONSENSE", "400")):
        answer = host.raw(f"{first}\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert answer.split()[1] == status and answer.count("HTTP/1.1 ") == 1, answer
        assert "Connection: close" in answer
    answer = host.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\nGET /v1/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.split()[1] == "200" and answer.count("HTTP/1.1 ") == 1 and "Connection: close" in answer, answer
    assert "Allow: GET, HEAD" in host.raw(b"QUERY /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")

"""Idempotency-Key and If-Match: a request that comes twice is done once, also when the host was killed in between."""

import os
import subprocess
import time

import pytest

from bitloop import BIN, FAKE, ROOT, Session

KEY = {"Idempotency-Key": "retry-1"}
BODY = {"task": "quick", "agent": "tester"}


def essence(answer):
    return answer.status, answer.json, answer.headers["Location"], answer.headers["ETag"]


def test_a_session_is_made_once(host):
    first = host.post("/v1/sessions", BODY, headers=KEY)
    host.kill()
    host.start()
    assert essence(host.post("/v1/sessions", BODY, headers=KEY)) == essence(first)
    other = host.post("/v1/sessions", {"task": "quick"}, headers=KEY)
    assert (other.status, other["code"]) == (422, "key_reused")
    assert essence(host.post("/v1/sessions", BODY, headers=KEY)) == essence(first)  # also after the refusal
    assert len(host.get("/v1/sessions")["sessions"]) == 1
    assert "Bitloop-Idempotency-Key: retry-1" in host.git("log", "--all", "--format=%(trailers)")


def test_each_request_is_done_once(host):
    session = Session(host, host.post("/v1/sessions", BODY, headers=KEY)["id"])
    line = session.region()[0]
    requests = [  # the same key may be used for another call
        ("/edits", {"op": "insert", "path": "candidate.lua", "after_line": line - 1, "content": "-- FAKE_SLEEP=0.3"}),
        ("/checks", {}),
        ("/tests", {"description": "one\ntwo"}),
        ("/undo", {}),
        ("/revert", {"test": 1}),
        ("/submission", {"test": 1}),
    ]
    asked = lambda: [event for event in session.events() if event != "test-finished"]  # that one comes when it comes
    for path, body in requests:
        first = session.post(path, body, headers=KEY)
        assert first.status in (200, 202), first.text
        events = asked()
        if path == "/tests":  # a host that dies before the run has begun gives the test back
            while not (host.workspace / "runs" / f"{session.id}-1" / "events.jsonl").exists():
                time.sleep(0.01)
        for fresh in (False, True):
            if fresh:
                host.kill()
                host.start()
            again = session.post(path, body, headers=KEY)
            assert essence(again) == essence(first), path
            other = session.post(path, raw=b'{"n": 1 }' if path != "/checks" else b"{ }", headers=KEY)
            assert (other.status, other["code"]) == (422, "key_reused") or other["code"] in ("unknown_field", "missing_field")
        if path == "/tests":
            assert session.wait(1)["status"] == "ok"
        assert asked() == events
    assert session.get()["tests_left"] == 2
    assert [row["test"] for row in host.rows()] == ["1"]
    host.git("fsck", "--strict")


@pytest.mark.parametrize("key", ["k" * 256, "a b", "caf\u00e9", "a\tb"])
def test_a_key_that_cannot_be_kept(session, key):
    answer = session.post("/undo", {}, headers={"Idempotency-Key": key})
    assert (answer.status, answer["code"]) == (422, "invalid_idempotency_key")


def test_every_write_honours_if_match(session):
    session.say("here")
    session.test()
    before = session.head()
    line = session.region()[0]
    for path, body in (("/edits", {"op": "insert", "path": "candidate.lua", "after_line": line - 1, "content": "x"}),
                       ("/undo", {}), ("/revert", {"test": 1}), ("/checks", {}), ("/tests", {}), ("/submission", {"test": 1})):
        answer = session.post(path, body, headers={"If-Match": '"0123456789012345678901234567890123456789"'})
        assert (answer.status, answer["code"]) == (412, "commit_mismatch"), path
    assert session.head() == before
    tag = session.get("/files/candidate.lua").headers["ETag"]
    assert session.post("/checks", {}, headers={"If-Match": f'"older", {tag}'}).status == 200


def test_the_session_of_the_command_line_is_read_only(host):
    assert host.stop() == 0
    done = subprocess.run([BIN / "bitloop", "train", ROOT / "quantizers" / "ternary.lua", "--allow-degraded"],
                          capture_output=True, text=True, timeout=120,
                          env={**os.environ, "BITLOOP_SUPERVISOR": FAKE, "BITLOOP_WORKSPACE": str(host.workspace)})
    assert done.returncode == 0, done.stderr
    host.start()
    local = Session(host, "local")
    before = local.head()
    assert local.get()["tests"][0]["status"] == "ok"
    assert local.get("/files/candidate.lua").status == 200 and local.get("/tests/1/log.tsv").status == 200
    for path, body in (("/edits", {"op": "rewrite", "path": "candidate.lua", "region": "quantizer", "content": "x"}),
                       ("/undo", {}), ("/revert", {"test": 1}), ("/revert", {"commit": before}), ("/checks", {}),
                       ("/tests", {}), ("/submission", {"test": 1})):
        answer = local.post(path, body)
        assert (answer.status, answer["code"]) == (403, "session_read_only"), path
    assert local.head() == before

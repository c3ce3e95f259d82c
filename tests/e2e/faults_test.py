"""kill -9 at any moment, then a restart: nothing committed is lost, the budget is right, runs that live are adopted."""

import concurrent.futures
import http.client
import os
import signal
import subprocess
import time

import pytest

from bitloop import BIN, Host

CUT_SHORT = (OSError, http.client.HTTPException)  # what a client meets when the server dies: before, or within, an answer


def check_workspace(host):
    host.git("fsck", "--strict")
    rows = host.rows()
    finished = [line for line in host.git("log", "--all", "--format=%(trailers:key=Bitloop-Event,valueonly)").split()
                if line == "test-finished"]
    assert len(rows) == len(finished)


@pytest.mark.parametrize("after", [0.05, 0.2, 0.35])
def test_killed_during_edits(host, after):
    sessions = [host.session() for _ in range(3)]
    done = {session.id: [] for session in sessions}

    def edits(session):
        first = session.region()[0]
        for i in range(1000):
            try:
                answer = session.edit(op="insert", after_line=first - 1, content=f"-- edit {i}")
            except CUT_SHORT:
                return
            done[session.id].append((i, answer["commit"]))

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        running = [pool.submit(edits, session) for session in sessions]
        time.sleep(after)
        host.kill()
        for future in running:
            future.result()
    host.start()
    for session in sessions:
        content = session.get("/files/candidate.lua")["content"]
        commits = host.git("log", "--format=%H", f"sessions/{session.id}").split()
        for i, commit in done[session.id]:  # whatever was answered is there
            assert f"-- edit {i}\n" in content and commit in commits
        assert session.edit(op="insert", after_line=session.region()[0] - 1, content="-- after").status == 200
    check_workspace(host)


def test_killed_during_a_run_which_is_adopted(host, session):
    session.say("FAKE_SLEEP=2")
    assert session.post("/tests", {"description": "lives on"}).status == 202
    time.sleep(0.4)
    host.kill()
    time.sleep(0.2)
    host.start()
    assert session.get()["state"] == "testing" and session.get()["tests_left"] == 2
    ended = session.wait(1)
    assert ended["status"] == "ok" and ended["tests_left"] == 2
    assert [row["description"] for row in host.rows()] == ["lives on"]
    assert session.events().count("test-started") == session.events().count("test-finished") == 1
    check_workspace(host)


def test_a_run_that_ended_while_no_host_lived(host, session):
    session.say("FAKE_SLEEP=0.5")
    session.post("/tests", {})
    time.sleep(0.2)
    host.kill()
    time.sleep(1.5)
    host.start()
    assert session.wait(1)["status"] == "ok"
    check_workspace(host)


def test_a_run_that_died_with_its_host_is_given_back(host, session):
    session.say("FAKE_SLEEP=30")
    session.post("/tests", {})
    time.sleep(0.4)
    host.kill()
    run = host.workspace / "runs" / f"{session.id}-1"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
        except OSError:
            continue
        if str(run).encode() in words:
            os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.2)
    host.start()
    ended = session.wait(1)
    assert ended["status"] == "infrastructure" and ended["tests_left"] == 3
    assert session.get()["state"] == "open"
    check_workspace(host)


def test_killed_with_a_queue(host):
    """One runs, two wait: the one lives on, the waiting ones never started and are given back."""
    sessions = [host.session() for _ in range(3)]
    for session in sessions:
        session.say("FAKE_SLEEP=1.5")
        session.post("/tests", {})
    time.sleep(0.5)
    host.kill()
    host.start()
    statuses = [session.wait(1)["status"] for session in sessions]
    assert statuses == ["ok", "infrastructure", "infrastructure"]
    assert [session.get()["tests_left"] for session in sessions] == [2, 3, 3]
    check_workspace(host)


@pytest.mark.parametrize("after", [0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.12])
def test_killed_around_a_start(host, session, after):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        def start():
            try:
                return session.post("/tests", {}).status
            except CUT_SHORT:
                return None
        started = pool.submit(start)
        time.sleep(after)
        host.kill()
        status = started.result()
    host.start()
    tests = session.get()["tests"]
    assert len(tests) <= 1 and (status != 202 or len(tests) == 1)
    if tests:
        ended = session.wait(1)
        assert ended["status"] in ("ok", "infrastructure")
        assert ended["tests_left"] == (3 if ended["status"] == "infrastructure" else 2)
    check_workspace(host)


def test_a_supervisor_that_ends_without_a_verdict(session):
    session.say("FAKE_DIE")
    ended = session.test()
    assert ended["status"] == "infrastructure" and ended["tests_left"] == 3
    session.post("/undo", {})
    assert session.test()["test"] == 2


def test_the_ledger_is_rebuilt_from_the_journal(host, session):
    session.test(description="first")
    session.test(description="second")
    session.post("/submission", {"test": 2})
    table = host.workspace / "results.tsv"
    whole = table.read_bytes()
    for damage in (whole[:-20], b"", None, b"my own notes\n"):
        assert host.stop() == 0
        table.unlink()
        if damage is not None:
            table.write_bytes(damage)
        host.start()
        assert table.read_bytes() == whole
    assert (host.workspace / "results.tsv.unreadable").read_bytes() == b"my own notes\n"


def test_sigterm_ends_long_polls_and_leaves_the_run(host, session):
    session.say("FAKE_SLEEP=2")
    session.post("/tests", {})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        poll = pool.submit(session.get, "/tests/1?wait=60")
        time.sleep(0.3)
        begun = time.time()
        assert host.stop() == 0
        assert poll.result()["status"] == "running"
        assert time.time() - begun < 30  # far below the wait of 60 s: it was woken
    host.start()
    assert session.wait(1)["status"] == "ok"


def test_one_host_a_workspace(host):
    second = subprocess.run([BIN / "bitloop", "serve", "--workspace", host.workspace, "--allow-degraded"],
                            capture_output=True, text=True, timeout=30)
    assert second.returncode == 3 and second.stdout == ""
    assert len(second.stderr.splitlines()) == 1 and "bitloop: " in second.stderr


def test_long_polls_leave_room_for_edits(host, session):
    session.say("FAKE_SLEEP=4")
    other = host.session()
    session.post("/tests", {})
    with concurrent.futures.ThreadPoolExecutor(120) as pool:
        polls = [pool.submit(session.get, "/tests/1?wait=60") for _ in range(100)]
        time.sleep(1)
        assert not any(poll.done() for poll in polls)
        for i in range(10):
            assert other.say(f"edit {i}").status == 200
        assert not any(poll.done() for poll in polls)  # the edits did not wait for them
        assert {poll.result()["status"] for poll in polls} == {"ok"}


def test_a_workspace_from_an_earlier_host_is_whole(tmp_path):
    with Host(tmp_path / "workspace") as host:
        session = host.session(agent="first")
        session.say("kept")
        session.test(description="d")
        before = (session.get().json, host.get("/v1/results").json)
        assert host.stop() == 0
        host.start()
        assert (session.get().json, host.get("/v1/results").json) == before
        assert session.post("/undo", {}).status == 200
        assert "-- kept" not in session.get("/files/candidate.lua")["content"]
        host.stop()

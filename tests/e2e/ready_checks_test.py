"""Checks with a trainer that was kept ready: they say what a cold one says, to the letter; nothing is carried from one to the
next; and whatever becomes of the trainer that waits, the check is answered and nothing is left."""

import concurrent.futures
import json
import os
import signal
import subprocess
import time

import pytest

import machine
from bitloop import BIN, Host
from escapes.attempt import Paths, candidate_region
from escapes.limits import C, D
from escapes.system import A
from escapes.values import E, G
from escapes_test import TEMPLATE, check, judge, put, put_attempt
from small import make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")

QUANTIZERS = ("ternary", "lsq", "quest_2bit", "flat_group_soft", "float")


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    return make_share(tmp_path_factory.mktemp("share") / "share")


@pytest.fixture
def host(tmp_path, share):
    machine.adopt_orphans()
    with Host(tmp_path / "workspace", fake=False, ready=2, BITLOOP_SHARE=str(share)) as running:
        yield running
        if running.process.poll() is None:
            assert running.stop() == 0
        wait_for(lambda: machine.collect_orphans({running.process.pid}) or not machine.descendants(), "processes are left")
        assert machine.workspace_surplus(running.workspace) == set()


@pytest.fixture
def session(host):
    return host.session()


def wait_for(condition, what, seconds=120):
    deadline = time.time() + seconds
    while not (found := condition()):
        assert time.time() < deadline, what
        time.sleep(0.01)
    return found


class Waiting:
    """A trainer that waits. Its records stay readable when its folder is gone."""

    def __init__(self, folder):
        self.folder = folder
        self.events = open(folder / "events.jsonl")

    def has_loaded(self):
        self.events.seek(0)
        return "candidate_loaded" in self.events.read()

    def processes(self):
        """(supervisor, init, trainer)"""
        for pid in machine.descendants():
            if str(self.folder).encode() in open(f"/proc/{pid}/cmdline", "rb").read():
                below = machine.descendants(pid)
                trainer = next(child for child, name in below.items() if name.startswith("bitloop-train"))
                return pid, machine.processes()[trainer][0], trainer
        raise AssertionError("it has no processes")


def find_waiting(host, task="quick"):
    for folder in (host.workspace / "runs").glob("check-*"):
        try:
            job = json.loads((folder / "job.json").read_text())
            if job["candidate"] is None and job["preset"]["name"] == task and '"warm"' in (folder / "events.jsonl").read_text():
                waiting = Waiting(folder)
                if not waiting.has_loaded():
                    return waiting
        except (OSError, ValueError):
            pass
    return None


def waiting(host, task="quick"):
    return wait_for(lambda: find_waiting(host, task), "no trainer waits")


def warm_check(session):
    """The answer of a check that took the trainer that waited."""
    ready = waiting(session.host)
    answer = session.post("/checks")
    assert answer.status == 200, answer.text
    assert ready.has_loaded()
    return answer


def without_time(answer):
    document = dict(answer.json)
    assert document.pop("ms") >= 0
    return json.dumps(document)


def test_a_warm_check_says_what_a_cold_one_says(tmp_path, host, share):
    with Host(tmp_path / "cold", fake=False, BITLOOP_SHARE=str(share)) as cold:
        for name in QUANTIZERS:
            answers = [warm_check(host.session(quantizer=name)), cold.session(quantizer=name).post("/checks")]
            assert without_time(answers[0]) == without_time(answers[1])
            assert answers[0]["ok"] == (name != "quest_2bit"), answers[0].text  # its blocks do not divide this width
        assert cold.stop() == 0


def test_nothing_is_kept_ready_before_a_session_is_opened(tmp_path, share):
    with Host(tmp_path / "workspace", fake=False, ready=2, BITLOOP_SHARE=str(share)) as first:
        session = first.session()
        waiting(first)
        assert first.stop() == 0
        first.start()  # it knows the session, which nobody uses yet
        assert first.get(session.path)["state"] == "open"
        assert machine.descendants(first.process.pid) == {}
        session.edit(op="rewrite", region="config", content="local CONFIG_OVERRIDES = {}")
        waiting(first)
        assert first.stop() == 0


@pytest.mark.parametrize("place", ["load", "weight", "activation"])
def test_what_a_candidate_leaves_behind_is_not_there_for_the_next(session, place):
    leave = "\n".join(f"pcall(function() {name}left = 1 end)" for name in ("", "math.", "torch.", "string."))
    put(session, candidate_region(leave, place)[0])
    first = waiting(session.host).processes()
    warm_check(session)
    look = 'for _, place in ipairs{_ENV, math, torch, string} do for name in pairs(place) do assert(name ~= "left") end end'
    put(session, candidate_region(look, "load")[0])
    assert set(waiting(session.host).processes()).isdisjoint(first)
    assert warm_check(session)["ok"]


# One or more of each group; all of them meet a cold check in escapes_test.py.
HOSTILE = [attempt for group, count in ((A, 4), (C, 6), (D, 8), (E, 4), (G, 8)) for attempt in group[:count]]


def test_hostile_candidates_end_as_in_a_cold_check(tmp_path, session):
    paths = Paths(tmp_path)
    for attempt in HOSTILE:
        line = put_attempt(session, attempt, paths.fill(attempt.code))
        ready = waiting(session.host)
        judge(attempt, *check(session), line)
        assert ready.has_loaded(), attempt
    put(session, TEMPLATE)
    assert warm_check(session)["ok"]


def test_the_deadline_counts_from_the_candidate(host):
    session = host.session("hasty")  # 3 s
    put(session, candidate_region("for i = 1, 20000000 do end", "weight")[0])
    ready = waiting(host, "hasty")
    time.sleep(3.5)
    assert not ready.has_loaded()
    answer = session.post("/checks")
    assert ready.has_loaded()
    assert not answer["ok"] and "Bitloop-Status: timeout" in host.git("log", "-1", session.head())


def test_parallel_checks_all_answer(host):
    sessions = [host.session() for _ in range(4)]
    waiting(host)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda session: session.post("/checks"), sessions))
    assert len({without_time(answer) for answer in answers}) == 1 and answers[0]["ok"]
    assert warm_check(sessions[0])["ok"]


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["supervisor", "init", "trainer"])
def test_a_check_after_the_one_that_waited_was_killed(session, victim):
    ready = waiting(session.host)
    os.kill(ready.processes()[victim], signal.SIGKILL)
    answer = session.post("/checks")
    assert answer.status == 200 and answer["ok"], answer.text
    assert not ready.has_loaded()


def test_a_check_waits_for_a_trainer_that_was_stopped(session):
    ready = waiting(session.host)
    supervisor, _, trainer = ready.processes()
    os.kill(trainer, signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(session.post, "/checks", timeout=120)
            time.sleep(0.5)
            assert not answer.done()
            os.kill(trainer, signal.SIGCONT)
            assert answer.result()["ok"]
    finally:
        if trainer in machine.descendants():
            os.kill(trainer, signal.SIGCONT)


def test_a_killed_host_leaves_no_process_and_the_next_no_folder(host, session):
    waiting(host)
    host.kill()
    wait_for(lambda: machine.collect_orphans({host.process.pid}) or not machine.descendants(), "processes are left")
    host.start()
    assert machine.workspace_surplus(host.workspace) == set()
    assert session.post("/checks")["ok"]


def test_a_host_that_is_killed_while_one_is_prepared(host, session):
    wait_for(lambda: list((host.workspace / "runs").glob("check-*/launch.lock")), "nothing is prepared")
    host.kill()
    wait_for(lambda: machine.collect_orphans({host.process.pid}) or not machine.descendants(), "processes are left")
    host.start()
    assert machine.workspace_surplus(host.workspace) == set()


def test_a_changed_preset_is_not_checked_with_the_old_one(tmp_path, tmp_path_factory):
    share = make_share(tmp_path / "share")
    with Host(tmp_path / "workspace", fake=False, ready=2, BITLOOP_SHARE=str(share)) as host:
        session = host.session()
        ready = waiting(host)
        preset = json.loads((share / "presets" / "quick.json").read_text())
        preset["model"].update(layers=1)
        (share / "presets" / "quick.json").write_text(json.dumps(preset))
        levels = lambda answer: next(finding["detail"] for finding in answer["findings"] if finding["rule"] == "levels")
        assert "of 4 layers" in levels(session.post("/checks"))
        assert not ready.has_loaded()
        wait_for(lambda: not ready.folder.exists(), "the old one still waits")
        assert "of 4 layers" in levels(warm_check(session))
        assert host.stop() == 0


def test_the_command_refuses_a_number_that_is_none(tmp_path):
    done = subprocess.run([BIN / "bitloop", "serve", "--workspace", tmp_path, "--ready-checks", "-1"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode != 0 and "--ready-checks" in done.stderr

"""kill -9 during a real test, in the real jail: of the host, of the supervisor, of the trainer and of the jail's init. After the
restarted host has adopted or ended the run nothing of it is left, and the budget is right."""

import os
import signal
import subprocess
import time

import pytest

import machine
from bitloop import BIN, Host
from small import make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")


@pytest.fixture
def host(tmp_path):
    machine.adopt_orphans()
    (tmp_path / "tmp").mkdir()
    with Host(tmp_path / "workspace", fake=False, TMPDIR=str(tmp_path / "tmp"),
              BITLOOP_SHARE=str(make_share(tmp_path / "share", steps=200))) as running:
        yield running
        assert running.stop() == 0
        assert list((tmp_path / "tmp").iterdir()) == []


def wait_for(condition, what, seconds=120):
    deadline = time.time() + seconds
    while not (found := condition()):
        assert time.time() < deadline, what
        time.sleep(0.02)
    return found


def run_processes(host):
    """(supervisor, jail's init, trainer) of the run: each the child of the one before; the jail's two are not below the host
    once it died, but below this process, which adopts orphans."""
    for pid in machine.descendants():
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
        except OSError:
            continue
        if b"supervise" in words and str(host.workspace).encode() in b" ".join(words):
            below = machine.descendants(pid)
            trainers = [child for child, name in below.items() if name.startswith("bitloop-train")]
            inits = [machine.processes()[child][0] for child in trainers if child in machine.processes()]
            if trainers and inits and inits[0] in below:
                return pid, inits[0], trainers[0]
    return None


def start_and_train(host, session):
    """Starts a test and waits until it trains; its processes."""
    assert session.post("/tests", {"description": "to be killed"}).status == 202
    wait_for(lambda: '"type":"step"' in session.get("/tests/1/events.jsonl").text, "it does not train")
    return wait_for(lambda: run_processes(host), "its processes are not found")


def check_nothing_is_left(host, session, before, supervisor):
    wait_for(lambda: machine.collect_orphans({host.process.pid}) or machine.descendants() == {host.process.pid: "bitloop"},
             f"left: {machine.descendants()}")
    assert (machine.mounts(), machine.temporary_files()) == before
    assert machine.workspace_surplus(host.workspace) == set()
    assert session.post("/checks")["ok"]  # a later run works, and clears the control group of a supervisor that was killed
    assert machine.control_groups_of([supervisor]) == set()
    host.git("fsck", "--strict")
    assert session.events().count("test-started") == session.events().count("test-finished") == 1
    assert [row["test"] for row in host.rows()] == ["1"]


@pytest.mark.parametrize("victims", [["host"], ["supervisor"], ["trainer"], ["init"], ["host", "supervisor"],
                                     ["host", "trainer"]], ids="+".join)
def test_killed_while_it_trains(host, victims):
    session = host.session()
    assert session.post("/checks")["ok"]
    before = machine.mounts(), machine.temporary_files()
    supervisor, init, trainer = start_and_train(host, session)
    processes = {"supervisor": supervisor, "init": init, "trainer": trainer}
    if "host" in victims:
        host.kill()
        assert set(processes.values()) <= set(machine.descendants())  # the run lives on
    for victim in victims:
        if victim != "host":
            os.kill(processes[victim], signal.SIGKILL)
    if "host" not in victims:
        ended = session.wait(1)
        host.kill()
    host.start()
    if "host" in victims:
        ended = session.wait(1)
    killed = victims != ["host"]
    assert ended["status"] == ("infrastructure" if killed else "ok"), ended["message"]
    assert session.get()["tests_left"] == ended["tests_left"] == (3 if killed else 2)
    assert (ended["metrics"]["val_loss"] is None) == killed
    check_nothing_is_left(host, session, before, supervisor)


def test_a_killed_supervisors_run_has_its_files_back(host):
    session = host.session()
    supervisor, _, _ = start_and_train(host, session)
    os.kill(supervisor, signal.SIGKILL)
    assert session.wait(1)["status"] == "infrastructure"
    assert machine.owned_by_others(host.workspace) == set()


def test_a_check_whose_host_is_killed(host):
    """A check has no other supervisor than the host's child; its folder is removed by the next start."""
    session = host.session()
    before = machine.mounts(), machine.temporary_files()
    loop = "function Q.init(layer) while true do end end\n"
    edited = session.edit(op="insert", after_line=session.region()[1] - 1, content=loop)
    assert edited.status == 200, edited.text
    waiting = subprocess.Popen(["curl", "-s", "-X", "POST", host.url + session.path + "/checks"], stdout=subprocess.DEVNULL)
    supervisor, _, _ = wait_for(lambda: run_processes(host), "the check does not start")
    host.kill()
    waiting.wait()
    wait_for(lambda: machine.collect_orphans(set()) or not machine.descendants(), f"left: {machine.descendants()}")
    host.start()
    assert machine.workspace_surplus(host.workspace) == set()
    session.post("/undo", {})
    assert session.post("/checks")["ok"] and session.get()["tests_left"] == 3
    assert (machine.mounts(), machine.temporary_files()) == before
    assert machine.control_groups_of([supervisor]) == set()
    host.git("fsck", "--strict")

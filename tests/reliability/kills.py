"""kill -9 of the server at random moments under load, over and over. After each: a start, what was not answered is asked again under
its Idempotency-Key, and the journal is looked at with plain git."""

import contextlib
import os
import pathlib
import random
import signal
import tempfile
import threading
import time

import server as under_test
from agent import MIX, Agent, Crowd
from journal import Journal, fsck
from measure import percentiles, wait_for

import machine  # of tests/e2e

AGENTS = 6
# More tests than an agent makes: runs that execute and wait are what a kill should meet.
KILL_MIX = {**MIX, "test": 20, "check": 3, "edit": 35}
LONGEST_S = 0.5  # from the start of the process to its death
ROUNDS_OF_ONE_WORKSPACE = 100
LOOK_DEEP_EVERY = 10


class Siege:
    """One workspace, killed again and again."""

    def __init__(self, folder, seed, rounds, deadline):
        self.deadline = deadline
        self.folder, self.rounds, self.random = pathlib.Path(folder), rounds, random.Random(seed)
        self.workspace = self.folder / "workspace"
        self.counts = {"kills": 0, "kills_of_supervisors": 0, "acknowledged": 0, "events": 0, "tests": 0, "given_back": 0, "packs": 0}
        self.starts_ms = []
        self.supervisors = set()
        # 200 loose objects: the kills meet packing, too.
        self.server = under_test.Server(self.workspace, options=("--jobs", "2", "--pack-after", "200"))
        self.journal = Journal(self.workspace)
        self.agents = [Agent(i, self.server.port, KILL_MIX, seed) for i in range(AGENTS)]
        self.before = set(machine.mounts().splitlines())

    def restart(self):
        begun = time.perf_counter()
        self.server.start()
        self.starts_ms.append((time.perf_counter() - begun) * 1e3)
        for agent in self.agents:
            agent.close()
            agent.port = self.server.port

    def kill_under_load(self):
        for agent in self.agents:
            agent.close()  # the server does not keep idle connections for ever
        crowd = Crowd(self.agents)
        crowd.start()
        time.sleep(self.random.uniform(0, LONGEST_S))
        self.note_supervisors()
        crowd.ended.set()  # from here on a call that is cut short is no fault
        self.server.kill()
        if self.random.random() < 0.1:
            for pid in self.note_supervisors():
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(pid, signal.SIGKILL)
                self.counts["kills_of_supervisors"] += 1
        crowd.end()
        self.counts["kills"] += 1

    def kill_at_start(self):
        """Within what the server does before it listens."""
        killer = threading.Timer(self.random.uniform(0, 0.08), lambda: self.server.process.kill())
        killer.start()
        try:
            self.server.start()
        except AssertionError:  # it did not come to say that it listens
            pass
        killer.join()
        self.server.process.kill()
        self.server.process.wait()
        self.counts["kills"] += 1

    def note_supervisors(self):
        """The runs' supervisors that live now."""
        found = []
        for pid in machine.descendants():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"supervise" in words and str(self.workspace).encode() in words:
                found.append(pid)
        self.supervisors.update(found)
        return found

    def settle(self):
        for agent in self.agents:
            try:
                agent.settle()
            except OSError as error:
                agent.wrong.append(f"not answered after the restart: {error!r}")
            assert not agent.wrong, agent.wrong[:3]

    def look(self):
        """What must hold at any moment after a restart."""
        self.journal.read()
        self.journal.check_keys()
        for agent in self.agents:
            for session, commits in agent.acknowledged.items():
                self.journal.check_acknowledged(session, commits)

    def look_deep(self):
        """What must hold once all tests have ended."""
        self.server.wait_idle()
        self.look()
        fsck(self.workspace)
        for agent in self.agents:
            for session, started in agent.tests.items():
                told = self.journal.tests_of(session)
                assert len(told) == started, f"{session}: {len(told)} tests, {started} acknowledged"
                self.journal.check_state(session)
                left = self.server.get(f"/v1/sessions/{session}")["tests_left"]
                assert left == 3 - self.journal.charged(session), f"{session}: {left} tests left, {told}"
            if agent.session:  # what the agent last heard of a test may be older than the crash
                agent.left = self.server.get(agent.path)["tests_left"]
                agent.running = None
        self.journal.check_table()
        self.check_nothing_is_left()

    def check_nothing_is_left(self):
        process = self.server.process.pid
        wait_for(lambda: machine.collect_orphans({process}) or machine.descendants() == {process: "bitloop"}, "processes are left")
        fresh = set(machine.mounts().splitlines()) - self.before
        assert not {line for line in fresh if str(self.folder) in line or "jail" in line}, f"mounts are left: {fresh}"
        surplus = machine.workspace_surplus(self.workspace)
        assert not {name for name in surplus if "runs/" not in name or "/" in name[5:]}, f"files are left: {surplus}"

    def check_end(self):
        """A run of the server after all kills clears what killed supervisors left of control groups."""
        session = self.server.ready_session()
        assert session.test()["status"] == "ok"
        assert machine.control_groups_of(self.supervisors) == set()
        self.server.stop()
        wait_for(lambda: machine.collect_orphans(set()) or not machine.descendants(), "processes are left at the end")

    def run(self):
        for number in range(1, self.rounds + 1):
            last = number == self.rounds or time.monotonic() > self.deadline
            self.kill_under_load()
            if number % 20 == 0:
                self.kill_at_start()
            self.restart()
            self.settle()
            if number % LOOK_DEEP_EVERY == 0 or last:
                self.look_deep()
            else:
                self.look()
            if last:
                break
        self.counts["acknowledged"] = sum(len(commits) for agent in self.agents for commits in agent.acknowledged.values())
        self.counts["events"] = self.journal.count()
        self.counts["tests"] = self.journal.check_table()
        self.counts["given_back"] = sum(event["status"] == "infrastructure" and event["event"] == "test-finished"
                                        for events in self.journal.events.values() for event in events)
        self.counts["packs"] = len(list((self.workspace / "journal.git" / "objects" / "pack").glob("*.pack")))
        self.check_end()


def run(kills=1000, seed=1, minutes=60.0):
    """So many kills, or as many as fit into the minutes."""
    deadline = time.monotonic() + 60 * minutes
    machine.adopt_orphans()
    total, starts, done = {}, [], 0
    while done < kills and time.monotonic() < deadline:
        with tempfile.TemporaryDirectory(prefix="bitloop-kills-") as folder:
            siege = Siege(folder, seed, min(ROUNDS_OF_ONE_WORKSPACE, kills - done), deadline)
            with siege.server:
                siege.run()
        done += siege.counts["kills"]
        seed += 1
        starts += siege.starts_ms
        total = {name: total.get(name, 0) + count for name, count in siege.counts.items()}
        print(f"  {total}", flush=True)
    return {**total, "start_ms": percentiles(starts)}

"""Many agents at their usual pace: no wrong answer, how long calls take beside the disk's own time, and whether memory grows."""

import http.client
import json
import pathlib
import tempfile
import threading
import time

import server as under_test
from agent import Agent, Crowd
from journal import Journal, fsck, size_mb
from measure import DiskProbe, percentiles, usage

import machine  # of tests/e2e

LISTENERS = 4
SLACK_MB = 32  # of memory between the second and the last sixth of the time: what an allocator keeps or a list of sessions needs


class Listener(threading.Thread):
    """Hears all sessions' events and keeps the commits, as they came."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.request("GET", "/v1/events")
        self.answer, self.commits = self.connection.getresponse(), []

    def run(self):
        try:
            for line in self.answer:
                if line.startswith(b"id: "):
                    self.commits.append(line[4:].strip().decode())
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass  # the server ended, and the stream with it


class Watch(threading.Thread):
    """Memory, threads and descriptors of the server, once a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.samples, self.ended = pid, [], threading.Event()

    def run(self):
        while not self.ended.wait(1):
            self.samples.append(usage(self.pid))

    def stop(self):
        self.ended.set()
        self.join()
        return self.samples


def middle(samples, name):
    return sorted(sample[name] for sample in samples)[len(samples) // 2]


def run(agents=64, rate=2.0, seconds=600.0, pack_after=5000):
    machine.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="bitloop-load-") as folder:
        workspace = pathlib.Path(folder) / "workspace"
        with under_test.Server(workspace, options=("--jobs", "2", "--pack-after", str(pack_after))) as server:
            first = usage(server.process.pid)
            listeners = [Listener(server.port) for _ in range(LISTENERS)]
            watch, probe = Watch(server.process.pid), DiskProbe(folder)
            crowd = Crowd([Agent(i, server.port) for i in range(agents)], rate)
            for thread in (*listeners, watch, probe):
                thread.start()
            crowd.start()
            time.sleep(seconds)
            crowd.end()
            samples, disk = watch.stop(), probe.stop()
            wrong = [text for agent in crowd.agents for text in agent.wrong]
            assert not wrong, f"{len(wrong)} wrong answers, such as {wrong[:3]}"
            server.wait_idle()
            journal = Journal(workspace)
            journal.read()
            journal.check_keys()
            journal.check_table()
            for agent in crowd.agents:
                for session, commits in agent.acknowledged.items():
                    journal.check_acknowledged(session, commits)
            check_heard(listeners, journal)
            fsck(workspace)
            times = {}
            for agent in crowd.agents:
                for kind, some in agent.times.items():
                    times.setdefault(kind, []).extend(some)
            packs = len(list((workspace / "journal.git" / "objects" / "pack").glob("*.pack")))
            figures = {
                "agents": agents, "calls_a_second_each": rate, "seconds": seconds, "calls": sum(agent.calls for agent in crowd.agents),
                "wrong_answers": 0, "events": journal.count(), "tests": sum(len(journal.tests_of(name)) for name in journal.events),
                "sessions": len(journal.events), "packs_made": packs, "journal_mb": size_mb(workspace / "journal.git"),
                "calls_ms": {kind: percentiles(some) for kind, some in sorted(times.items())}, "disk_ms": percentiles(disk),
                "memory": {"before": first, "second_sixth": sample_of(samples, 1), "last_sixth": sample_of(samples, 5)}}
            check_memory(figures)
            assert server.stop() == 0
    return figures


def sample_of(samples, sixth):
    part = samples[len(samples) * sixth // 6:len(samples) * (sixth + 1) // 6] or samples
    return {name: middle(part, name) for name in part[0]}


def check_heard(listeners, journal):
    """Every listener hears every event, each once."""
    all_events = {event["id"] for events in journal.events.values() for event in events}
    for listener in listeners:
        deadline = time.monotonic() + 20
        while len(listener.commits) < len(all_events) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(listener.commits) == len(set(listener.commits)), "an event was heard twice"
        assert set(listener.commits) == all_events, f"{len(all_events - set(listener.commits))} events were not heard"


def check_memory(figures):
    memory = figures["memory"]
    grown = memory["last_sixth"]["rss_mb"] - memory["second_sixth"]["rss_mb"]
    if grown >= SLACK_MB:
        error = AssertionError(f"memory grew by {grown} MiB: {json.dumps(memory)}")
        error.figures = figures  # what else was measured stands all the same
        raise error

"""Many agents at their usual pace: no wrong answer, how long calls take beside the disk's own time, and whether memory grows."""

import http.client
import json
import pathlib
import statistics
import tempfile
import threading
import time

import server as under_test
from agent import Agent, Crowd
from journal import Journal, fsck, size_mb
from measure import DiskProbe, percentiles, usage

import machine  # of tests/e2e

LISTENERS = 4
REST_AFTER_S = 60  # --rest-after: from then on a session is on disk alone
# What may stay in memory of an event for good: its place in the feed, its part of its session's card, and of its test's row and marks.
BYTES_AN_EVENT = 160
WARM_EVENTS = 4000
EDIT_OVER_DISK_MS = 5.0
NOISE_MB = 2       # of what an allocator holds, over half of the time


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
    """Memory, threads and descriptors of the server, and how many events there were, once a second."""

    def __init__(self, pid, events):
        super().__init__(daemon=True)
        self.pid, self.events, self.samples, self.ended = pid, events, [], threading.Event()

    def run(self):
        while not self.ended.wait(1):
            self.samples.append({**usage(self.pid), "events": self.events()})

    def stop(self):
        self.ended.set()
        self.join()
        return self.samples


def middle(samples, name):
    return sorted(sample[name] for sample in samples)[len(samples) // 2]


def run(agents=64, rate=2.0, seconds=600.0, pack_after=5000, rest_after=REST_AFTER_S):
    machine.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="bitloop-load-") as folder:
        workspace = pathlib.Path(folder) / "workspace"
        with under_test.Server(workspace, options=("--jobs", "2", "--pack-after", str(pack_after),
                                                      "--rest-after", str(rest_after))) as server:
            first = usage(server.process.pid)
            listeners = [Listener(server.port) for _ in range(LISTENERS)]
            watch, probe = Watch(server.process.pid, lambda: len(listeners[0].commits)), DiskProbe(folder)
            crowd = Crowd([Agent(i, server.port) for i in range(agents)], rate)
            for thread in (*listeners, watch, probe):
                thread.start()
            crowd.start()
            time.sleep(seconds)
            crowd.end()
            samples, disk = watch.stop(), probe.stop()
            ended = time.monotonic()
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
            # Each session rests once nobody asks for it, and the look after that gives its memory back.
            time.sleep(max(0.0, ended + 1.5 * rest_after + 1 - time.monotonic()))
            idle = usage(server.process.pid)
            figures = {
                "agents": agents, "calls_a_second_each": rate, "seconds": seconds, "calls": sum(agent.calls for agent in crowd.agents),
                "wrong_answers": 0, "events": journal.count(), "tests": sum(len(journal.tests_of(name)) for name in journal.events),
                "sessions": len(journal.events), "packs_made": packs, "journal_mb": size_mb(workspace / "journal.git"),
                "calls_ms": {kind: percentiles(some) for kind, some in sorted(times.items())}, "disk_ms": percentiles(disk),
                "memory": {"before": first, "second_sixth": sample_of(samples, 1), "last_sixth": sample_of(samples, 5), "idle": idle,
                           "second_half": growth(samples[len(samples) // 2:])}}
            # Before, sessions that nobody asks for any more are still awake, and caches fill that hold so many answers and events.
            if seconds >= 600:
                check_edits(figures)
            if seconds >= 4 * rest_after and samples[len(samples) // 2]["events"] >= WARM_EVENTS:
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


def growth(samples):
    """{events, mb, bytes_an_event}: own memory over these samples, as the straight line through them has it."""
    events, own = [sample["events"] for sample in samples], [sample["own_mb"] for sample in samples]
    many = events[-1] - events[0]
    line = statistics.linear_regression(events, own) if many else None
    mb = line.slope * many if line else 0.0
    return {"events": many, "mb": round(mb, 2), "bytes_an_event": round(mb * 2**20 / many) if many else 0}


def check_edits(figures):
    """An edit's p99 is that of the disk and little more (on a machine with nothing else to do)."""
    edit, disk = figures["calls_ms"]["edit"]["p99"], figures["disk_ms"]["p99"]
    if edit >= disk + EDIT_OVER_DISK_MS:
        error = AssertionError(f"an edit's p99 is {edit} ms where the disk's is {disk}: asked are {EDIT_OVER_DISK_MS} above it")
        error.figures = figures
        raise error


def check_memory(figures):
    """Flat: what is held is bounded by the sessions at work, and by so many bytes for each event that ever was."""
    grown = figures["memory"]["second_half"]
    allowed = NOISE_MB + BYTES_AN_EVENT * grown["events"] / 2**20
    if grown["mb"] >= allowed:
        error = AssertionError(f"memory grew by {grown['mb']} MiB where {allowed:.1f} are allowed: {json.dumps(figures['memory'])}")
        error.figures = figures  # what else was measured stands all the same
        raise error

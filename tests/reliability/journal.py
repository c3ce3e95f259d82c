"""Is the workspace what was acknowledged? Looks with plain git and at plain files, and shares no code with bitloop."""

import csv
import json
import os
import subprocess
from collections import Counter

SEPARATOR, END = "\x1f", "\x1e"
TRAILERS = ("Event", "Test", "Status", "Val-Loss", "Idempotency-Key")


def git(workspace, *words, stdin=None):
    done = subprocess.run(["git", "-C", workspace / "journal.git", "-c", "safe.directory=*", *words], capture_output=True, text=True,
                          input=stdin)
    assert done.returncode == 0, f"git {words[0]}: {done.stderr}"
    return done.stdout


def fsck(workspace):
    for attempt in range(3):
        said = subprocess.run(["git", "-C", workspace / "journal.git", "-c", "safe.directory=*", "fsck", "--strict", "--full",
                               "--no-dangling", "--no-progress"], capture_output=True, text=True)
        words = said.stdout + said.stderr
        # git lists the loose objects first and opens them later: one that was packed between the two it calls missing.
        if said.returncode == 0 or "unable to mmap" not in words:
            break
    assert said.returncode == 0 and "error" not in words and "warning" not in words, words


def heads(workspace):
    """{session: commit}"""
    lines = git(workspace, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/heads/sessions").split("\n")
    return dict(line.split() for line in lines if line)


class Journal:
    """The events of all sessions, read on from where the last look ended: {session: [{id, parent, event, test, ...}]}, oldest first.
    A branch that does not go on from where it was has lost what was acknowledged."""

    def __init__(self, workspace):
        self.workspace, self.events, self.heads, self.keys = workspace, {}, {}, Counter()

    def read(self):
        now = heads(self.workspace)
        lost = set(self.heads) - set(now)
        assert not lost, f"sessions are gone: {lost}"
        words = SEPARATOR.join(["%H", "%P"] + [f"%(trailers:key=Bitloop-{name},valueonly,separator=%x20)" for name in TRAILERS])
        moved = {name: head for name, head in now.items() if self.heads.get(name) != head}
        if moved:
            text = git(self.workspace, "log", "--stdin", f"--format={words}{END}",
                       stdin="".join([f"{head}\n" for head in moved.values()] + [f"^{head}\n" for head in self.heads.values()]))
            fresh = {}
            for entry in filter(None, (entry.strip("\n") for entry in text.split(END))):
                commit, parent, *values = entry.split(SEPARATOR)
                fresh[commit] = {"id": commit, "parent": parent, **dict(zip(map(str.lower, TRAILERS), values))}
            for session, head in moved.items():
                self._append(session, head, fresh)
        self.heads = now

    def _append(self, session, head, fresh):
        known, added = self.heads.get(session, ""), []
        while head != known:
            assert head in fresh, f"{session} does not go on from {known}, where it was acknowledged to be"
            added.append(fresh[head])
            head = fresh[head]["parent"]
        self.events.setdefault(session, []).extend(reversed(added))
        self.keys.update(event["idempotency-key"] for event in added if event["idempotency-key"])

    def check_keys(self):
        doubled = [key for key, count in self.keys.items() if count > 1]
        assert not doubled, f"done twice under one Idempotency-Key: {doubled[:5]}"

    def check_acknowledged(self, session, commits):
        """All of these are there, once, in this order."""
        place = {}
        for i, event in enumerate(self.events.get(session, [])):
            assert event["id"] not in place
            place[event["id"]] = i
        missing = [commit for commit in commits if commit not in place]
        assert not missing, f"{session}: acknowledged and not in the journal: {missing[:3]}"
        places = [place[commit] for commit in commits]
        assert places == sorted(places), f"{session}: not in the order in which they were acknowledged"

    def tests_of(self, session):
        """{test: status}, "running" for one that has not ended; no test begins or ends twice."""
        tests = {}
        for event in self.events[session]:
            number = event["test"]
            if event["event"] == "test-started":
                assert number not in tests, f"{session}: test {number} was started twice"
                tests[number] = "running"
            elif event["event"] == "test-finished":
                assert tests.get(number) == "running", f"{session}: test {number} ended as {tests.get(number)} and again"
                tests[number] = event["status"]
        return tests

    def charged(self, session):
        return sum(status != "infrastructure" for status in self.tests_of(session).values())

    def check_table(self):
        """results.tsv has one row for each finished test, with its score and status."""
        text = (self.workspace / "results.tsv").read_text()
        assert text.endswith("\n"), "results.tsv ends within a line"
        rows = {}
        for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
            key = row["session"], row["test"]
            assert key not in rows, f"results.tsv has {key} twice"
            rows[key] = row["status"], row["val_loss"]
        told = {(session, event["test"]): (event["status"], event["val-loss"])
                for session, events in self.events.items() for event in events if event["event"] == "test-finished"}
        assert rows == told, f"results.tsv differs from the journal in {sorted(set(rows.items()) ^ set(told.items()))[:4]}"
        return len(rows)

    def check_state(self, session):
        """session.json, which the next server goes by, counts the tests that the commits tell of."""
        state = json.loads(git(self.workspace, "show", f"{self.heads[session]}:session.json"))
        assert len(state["tests"]) == len(self.tests_of(session)), f"{session}: session.json has other tests than the journal"

    def count(self):
        return sum(map(len, self.events.values()))


def size_mb(folder):
    return round(sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(folder) for name in names) / 2**20, 1)

"""Native payloads end to end: the real host, its real supervisor and the real jail, with a trainer that plays the candidate as
a script of attempts in machine code (tests/harness/jobs/fake_trainer.cpp)."""

import json
import os
import pathlib

from bitloop import ROOT, Host
from small import make_share

BUILD = pathlib.Path(os.environ.get("BITLOOP_BUILD", ROOT / "build" / "release"))
PLAYER = BUILD / "tests" / "bitloop_fake_trainer"
LOSS = 2.5
GOOD = json.dumps({"type": "result", "status": "ok", "message": "done", "stages": [], "flags": [], "findings": [],
                   "metrics": {"first_losses": [5.5, 5.25], "val_loss": LOSS, "bits_per_weight": 1.585}})


def native_host(folder, **environment):
    """A host whose task `quick` has small limits and whose trainer is the player."""
    share = folder / "share"
    if not share.exists():
        make_share(share)
        preset = json.loads((share / "presets" / "quick.json").read_text())
        preset["limits"] = {"deadline_s": 60, "memory_mb": 128, "threads": 2, "output_mb": 4}
        (share / "presets" / "quick.json").write_text(json.dumps(preset))
    (folder / "tmp").mkdir(exist_ok=True)
    running = Host(folder / "workspace", fake=False, BITLOOP_SHARE=str(share), TMPDIR=str(folder / "tmp"),
                   BITLOOP_TRAINER=str(PLAYER), **environment)
    running.tmp = folder / "tmp"
    return running


def put(session, *lines):
    answer = session.edit(op="rewrite", region="quantizer", content="\n".join(lines))
    assert answer.status == 200, answer.text


class Played:
    """A test of these lines, ended: what the agent is told, the row, the verdict and what the payload said."""

    def __init__(self, host, session, *lines):
        put(session, *lines)
        self.answer = session.test()
        run = host.workspace / "runs" / f"{session.id}-{self.answer['test']}"
        self.verdict = json.loads((run / "verdict.json").read_text())
        self.said = (run / "output.txt").read_text()
        self.row = next(row for row in host.rows() if (row["session"], row["test"]) == (session.id, str(self.answer["test"])))
        self.status = self.answer["status"]
        assert self.row["status"] == self.verdict["status"] == self.status


class Player:
    """Plays lines in sessions of a host, three a session as the budget allows."""

    def __init__(self, host):
        self.host, self.session = host, None

    def __call__(self, *lines):
        if self.session is None or self.session.get()["tests_left"] == 0:
            self.session = self.host.session()
        return Played(self.host, self.session, *lines)

    def to_the_end(self, *lines):
        """As a trainer that reports a good result when the lines did not stop it."""
        return self(*lines, "weights", f"result {GOOD}")

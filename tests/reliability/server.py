"""A `bitloop serve` under test. Tests are scored by the real supervisor in the real jail, but by a trainer that takes milliseconds
(tests/harness/jobs/fake_trainer.cpp): it plays the candidate's lines as a script, and passes over what is Lua."""

import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import bitloop  # noqa: E402  the client and Host of the end-to-end tests
from measure import wait_for  # noqa: E402

BIN = bitloop.BIN
FAKE_TRAINER = pathlib.Path(os.environ.get("BITLOOP_BUILD", BIN.parent)) / "tests" / "bitloop_fake_trainer"

_RESULT = json.dumps({"type": "result", "status": "ok", "message": "val_loss 2.5",
                      "stages": [{"name": "train", "metrics": None, "failure": None}],
                      "metrics": {"first_losses": [5.5], "val_loss": 2.5, "bits_per_weight": 1.585}, "flags": [], "findings": []})
# What a candidate says to the fake trainer: one step, then the score. (`--` would make it a comment to Lua, and a word that the
# trainer does not know to it; nobody runs this candidate as Lua.)
SCRIPT = f"step 1 5.5\nweights\nloaded\nresult {_RESULT}"


class Server(bitloop.Host):
    """`options`: more of the command line. Environment as keywords."""

    def __init__(self, workspace, options=(), **more):
        more.setdefault("BITLOOP_TRAINER", str(FAKE_TRAINER))
        super().__init__(workspace, fake=False, options=options, **more)

    def ready_session(self, **more):
        """A session whose candidate the fake trainer scores."""
        session = self.session(**more)
        answer = session.edit(op="insert", after_line=session.region()[0] - 1, content=SCRIPT)
        assert answer.status == 200, answer.text
        return session

    def wait_idle(self, seconds=60):
        """Until no test runs or waits."""
        wait_for(lambda: all(session["state"] != "testing" for session in self.get("/v1/sessions")["sessions"]), "a test does not end",
                 seconds)


def problem(answer, status, code):
    """The answer is this refusal, in the form that the API promises."""
    assert (answer.status, answer.json and answer.json.get("code")) == (status, code), answer.text
    assert answer.json["detail"]

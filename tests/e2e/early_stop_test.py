"""Hopeless tests that a task ends early, and the curves that it knows them by."""

import json
import subprocess

import pytest

from bitloop import BIN, ROOT, Host
from small import make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

STEPS, EVERY = 12, 3
# Nothing is learned at this rate.
HOPELESS = "local CONFIG_OVERRIDES = {learning_rate = 1e-5, min_lr = 0}"


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    """A share folder whose `quick` has a rule, and limits from curves that the command recorded."""
    folder = make_share(tmp_path_factory.mktemp("early-stop") / "share", steps=STEPS)
    task = json.loads((folder / "tasks" / "quick.json").read_text())
    task["early_stop"] = {"baseline": "binary", "noises": 1, "from": 0.3, "consecutive": 2}
    (folder / "tasks" / "quick.json").write_text(json.dumps(task))
    for old in (folder / "baselines").glob("quick*"):
        old.unlink()
    quantizers = ROOT / "quantizers"
    done = subprocess.run(
        [BIN / "bitloop", "baseline", quantizers / "binary.lua", quantizers / "ternary.lua", "--seeds", "2", "--output", folder / "baselines",
         "--workspace", folder.parent / "recorded", "--allow-degraded"],
        text=True, capture_output=True, timeout=300, env={"BITLOOP_SHARE": str(folder), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert "Early stop: of 4 recorded runs " in done.stdout
    return folder


@pytest.fixture
def host(share, tmp_path):
    with Host(tmp_path / "workspace", fake=False, BITLOOP_SHARE=str(share)) as host:
        yield host


def test_curves_are_recorded_for_every_evaluation(share):
    _, header, *lines = (share / "baselines" / "quick-curves.tsv").read_text().splitlines()
    assert header.split("\t") == ["name", "seed", "val_loss", *(f"at_{step}" for step in range(EVERY, STEPS + 1, EVERY))]
    assert sorted(line.split("\t")[0] for line in lines) == ["binary", "binary", "ternary", "ternary"]


def test_the_task_shows_limits_and_how_often_they_err(host):
    shown = host.get("/v1/tasks/quick")["early_stop"]
    assert [limit["step"] for limit in shown["limits"]] == [6, 9]
    assert all(limit["val_loss"] > limit["baseline"] for limit in shown["limits"])
    assert shown["recorded"]["runs"] == 4 and shown["recorded"]["false_stops"] <= shown["recorded"]["stopped"]
    assert host.get("/v1/tasks/tiny-mls")["early_stop"] is None


def test_a_hopeless_test_ends_early_is_charged_and_says_why(host):
    session = host.session()
    assert session.edit(op="rewrite", region="config", content=HOPELESS).status == 200
    ended = session.test(description="patience")
    assert ended["status"] == "stopped_early", ended.text
    assert ended["tests_left"] == 2
    assert "TRAIN_METRICS: step=9, train_loss=" in ended["message"]
    assert f"[FAILED stopped_early] stopped early at step 9 of {STEPS}: val_loss " in ended["message"]
    (row,) = host.rows()
    assert row["status"] == "stopped_early" and row["val_loss"] == ""
    tokens = {int(line.split("\t")[0]) for line in session.get("/tests/1/log.tsv").text.splitlines()[1:]}
    assert max(tokens) <= 9  # the rest was saved
    refused = session.post("/submission", {"test": 1})
    assert refused.status == 409 and refused["code"] == "test_failed", refused.text


def test_what_is_no_worse_goes_on_to_its_end(host):
    ended = host.session().test()
    assert ended["status"] == "ok", ended.text


def test_runs_of_the_command_line_go_on_to_their_end(share, tmp_path):
    candidate = tmp_path / "hopeless.lua"
    candidate.write_text((ROOT / "quantizers" / "ternary.lua").read_text().replace("local CONFIG_OVERRIDES = {}", HOPELESS))
    done = subprocess.run([BIN / "bitloop", "train", candidate, "--workspace", tmp_path / "workspace", "--allow-degraded", "--json"],
                          text=True, capture_output=True, timeout=300, env={"BITLOOP_SHARE": str(share), "PATH": "/usr/bin:/bin"})
    assert json.loads(done.stdout)["status"] == "ok", done.stdout + done.stderr

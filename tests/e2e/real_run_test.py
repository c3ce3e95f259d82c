"""The loop with nothing faked: an HTTP edit becomes a jailed training run, a score, a commit and a row. The task is `quick`
cut to a few steps, in a share folder of the test's own."""

import json
import shutil

import pytest

from bitloop import BIN, Host

TRAINER = BIN / "bitloop-trainer"
SHARE = BIN.parent / "share" / "bitloop"

pytestmark = pytest.mark.skipif(not TRAINER.exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    share = folder / "share"
    shutil.copytree(SHARE, share, symlinks=True, ignore=shutil.ignore_patterns("data"))
    (share / "data").symlink_to((SHARE / "data").resolve())
    preset = json.loads((share / "presets" / "quick.json").read_text())
    preset["train"].update(steps=6, warmup_iters=2)
    preset["eval"].update(every=3, batches=2, log_every=2)
    (share / "presets" / "quick.json").write_text(json.dumps(preset))
    running = Host(folder / "workspace", fake=False, BITLOOP_SHARE=str(share))
    yield running
    assert running.stop() == 0


def test_edit_check_test_submit(host):
    session = host.session()
    edited = session.edit(op="str_replace", old_str="w:abs():mean()", new_str="(w:abs():mean() * 0.9)")
    assert edited.status == 200, edited.text
    checked = session.post("/checks")
    assert checked.status == 200 and checked["ok"], checked.text
    assert 1.5 < checked["bits_per_weight"] < 1.7
    ended = session.test(description="real")
    assert ended["status"] == "ok", ended["message"]
    assert 0 < ended["metrics"]["val_loss"] < 6
    lines = ended["message"].splitlines()
    assert lines[1:3] == ["### train (quick)", "Training metrics (last steps):"]
    assert lines[3].startswith("TRAIN_METRICS: step=6, train_loss=")
    header, *steps = [line.split("\t") for line in session.get("/tests/1/log.tsv").text.splitlines()]
    assert header[:3] == ["step", "lambda", "train_loss"] and steps
    assert session.post("/submission", {"test": 1}).status == 200
    row = host.rows()[0]
    assert row["val_loss"] and row["bits_per_weight"] and row["device"] and row["submitted"] == "true"


@pytest.mark.parametrize("old, new, status", [
    ("local Q = {", "local Q = {{", "script_error"),
    ("return (w / scale):round():clamp{min = -1, max = 1}, scale", "return (w / scale)", "script_error"),
    ("return (w / scale):round():clamp{min = -1, max = 1}, scale", "return w, scale", "rejected"),
    ("local scale = w:abs():mean():clamp{min = 1e-5}", "while true do end", "timeout"),
    ("local scale = w:abs():mean():clamp{min = 1e-5}", 'local scale = string.rep("x", 1000000000)', "out_of_memory"),
])
def test_a_candidate_that_fails_is_charged_and_the_next_is_clean(host, old, new, status):
    session = host.session()
    assert session.edit(op="str_replace", old_str=old, new_str=new).status == 200
    assert session.post("/checks")["ok"] is False
    ended = session.test()
    assert ended["status"] == status, ended["message"]
    assert f"[FAILED {status}] " in ended["message"] and ended["tests_left"] == 2
    session.post("/undo", {})
    assert session.post("/checks")["ok"] is True


def test_look_ahead_is_rejected_on_quick_and_flagged_on_quick_mls(host):
    """One activation scale for all rows of the batch: every position sees the ones behind it."""
    old, new = "x:abs():amax{dim = -1, keepdim = true}:clamp", "x:abs():amax():clamp"
    strict = host.session("quick")
    assert strict.edit(op="str_replace", old_str=old, new_str=new).status == 200
    assert strict.post("/checks")["ok"] is False
    paper = host.session("quick-mls")
    assert paper.edit(op="str_replace", old_str=old, new_str=new).status == 200
    assert paper.post("/checks")["ok"] is True
    ended = paper.test()
    assert ended["status"] == "ok", ended["message"]
    assert "leaks" in [row for row in host.rows() if row["session"] == paper.id][0]["flags"].split(",")

"""`bitloop baseline` and `bitloop compare` from the outside: the files they write, kill -9 in the middle, failures, and one
small run with nothing faked."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from bitloop import BIN, FAKE, ROOT
from small import make_share

TERNARY = ROOT / "quantizers" / "ternary.lua"


@pytest.fixture
def zoo(tmp_path):
    """Writes quantizers whose results the fake supervisor makes up; their paths."""
    def write(**words):
        folder = tmp_path / "zoo"
        folder.mkdir(exist_ok=True)
        for name, said in words.items():
            (folder / f"{name}.lua").write_text(f"-- {said}\n" + TERNARY.read_text())
        return [folder / f"{name}.lua" for name in words]
    return write


@pytest.fixture
def settings(tmp_path):
    settings = {**os.environ, "BITLOOP_SUPERVISOR": FAKE, "BITLOOP_WORKSPACE": str(tmp_path / "workspace")}
    settings.pop("BITLOOP_SHARE", None)
    return settings


@pytest.fixture
def bitloop(tmp_path, settings):
    def run(*words, **environment):
        return subprocess.run([BIN / "bitloop", *map(str, words), "--allow-degraded"], capture_output=True, text=True,
                              env={**settings, **environment}, cwd=tmp_path, timeout=300)
    return run


def read_table(path):
    header, *lines = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {line[0]: dict(zip(header, line)) for line in lines}


def journal(workspace):
    done = subprocess.run(["git", "-C", workspace / "journal.git", "log", "--format=%s", "sessions/baseline"],
                          capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def one_sentence(text):
    assert text.startswith("bitloop: ") and text.count("\n") == 1, text
    return text


ZOO = {"float": "FAKE_BITS=32 FAKE_LOSS=1.6", "ternary": "FAKE_BITS=1.585 FAKE_LOSS=1.78",
       "two": "FAKE_BITS=2 FAKE_LOSS=1.72", "worse": "FAKE_BITS=2 FAKE_LOSS=1.75", "bad": "FAKE_STATUS=diverged"}


def test_a_table_a_plot_and_ledger_rows(bitloop, zoo, tmp_path):
    done = bitloop("baseline", *zoo(**ZOO), "--seeds", 2, "--workspace", tmp_path / "w")
    assert done.returncode == 0, done.stderr
    assert "[K" not in done.stderr and re.search(r"^10/10  bad  seed 43  diverged$", done.stderr, re.M)
    table = read_table(tmp_path / "quick.tsv")
    assert list(table) == ["ternary", "two", "worse", "float", "bad"]
    assert [name for name, row in table.items() if row["pareto"] == "true"] == ["ternary", "two", "float"]
    assert table["two"]["val_losses"] == "1.72,1.721" and table["two"]["to_ternary"] == "-0.06"
    assert table["bad"]["val_loss"] == table["bad"]["bits_per_weight"] == "" and table["bad"]["statuses"] == "diverged:2"
    svg = (tmp_path / "quick.svg").read_text()
    assert ">two<" in svg and "float, 32 bits: 1.6005" in svg
    assert re.search(r"^\* two +2\.000 +1\.7205", done.stdout, re.M) and "quick.svg" in done.stdout
    rows = json.loads(bitloop_results(tmp_path / "w"))["results"]
    assert {(row["type"], row["session"], row["task"]) for row in rows} == {("baseline", "baseline", "quick")}
    assert sorted((row["quantizer"], row["seed"]) for row in rows) == sorted((name, seed) for name in ZOO for seed in (42, 43))


def bitloop_results(workspace):
    return subprocess.run([BIN / "bitloop", "results", "--workspace", workspace, "--json"], capture_output=True, text=True,
                          check=True).stdout


def test_done_runs_are_not_repeated_and_more_seeds_go_on(bitloop, zoo, tmp_path):
    files = zoo(**ZOO)
    once = bitloop("baseline", *files, "--seeds", 1, "--output", "out")
    assert once.returncode == 0, once.stderr
    plan = bitloop("baseline", *files, "--seeds", 2, "--output", "out", "--dry-run")
    assert plan.stdout.endswith("10 runs, 5 of them to do.\n") and "bad  seed 42  diverged" in plan.stdout
    plan = json.loads(bitloop("baseline", *files, "--seeds", 2, "--output", "out", "--dry-run", "--json").stdout)
    assert plan["left"] == 5 and {"name": "bad", "seed": 42, "status": "diverged"} in plan["runs"]
    assert {"name": "bad", "seed": 43, "status": None} in plan["runs"]
    again = bitloop("baseline", *files, "--seeds", 2, "--output", "out", "--json")
    document = json.loads(again.stdout)
    assert again.stderr.startswith("5 of 10 runs were done before.\n")
    assert document["seeds"] == [42, 43] and len(document["baselines"]) == 5 and document["plot"].endswith("quick.svg")
    workspace = tmp_path / "workspace" / "baseline-runs"  # beside the default workspace's own journal
    assert sum("Started test" in line for line in journal(workspace)) == 10
    text = (tmp_path / "out" / "quick.tsv").read_text()
    (tmp_path / "out" / "quick.tsv").unlink()
    report = bitloop("baseline", *files, "--seeds", 2, "--output", "out", "--report")
    assert report.returncode == 0 and (tmp_path / "out" / "quick.tsv").read_text() == text
    assert sum("Started test" in line for line in journal(workspace)) == 10


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle_it_goes_on(bitloop, zoo, settings, tmp_path, signal_):
    files = zoo(first="FAKE_LOSS=1.5", slow="FAKE_SLEEP=2 FAKE_LOSS=1.6", last="FAKE_LOSS=1.7")
    words = ["baseline", *map(str, files), "--seeds", "1", "--workspace", str(tmp_path / "w")]
    process = subprocess.Popen([BIN / "bitloop", *words, "--allow-degraded"], cwd=tmp_path, env=settings,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 60
    while not (tmp_path / "w" / "runs" / "baseline-2" / "events.jsonl").exists():
        assert time.time() < deadline
        time.sleep(0.01)
    process.send_signal(signal_)
    assert process.wait(timeout=60) == -signal_
    if signal_ == signal.SIGTERM:
        assert "Interrupted with 1 of 3 runs done" in process.stderr.read()
    assert not (tmp_path / "quick.tsv").exists()
    done = bitloop(*words)
    assert done.returncode == 0, done.stderr
    assert {name: row["val_loss"] for name, row in read_table(tmp_path / "quick.tsv").items()} == {
        "first": "1.5", "slow": "1.6", "last": "1.7"}
    started = sum("Started test" in line for line in journal(tmp_path / "w"))
    # Of a killed host the run lives on and is adopted; an interrupted one is cancelled and trained anew.
    assert started == (3 if signal_ == signal.SIGKILL else 4)


def test_runs_side_by_side(bitloop, zoo, tmp_path):
    done = bitloop("baseline", *zoo(a="FAKE_SLEEP=0.5 FAKE_LOSS=1", b="FAKE_LOSS=2", c="FAKE_LOSS=3"), "--seeds", 1, "--jobs", 3)
    assert done.returncode == 0, done.stderr
    assert {name: row["val_loss"] for name, row in read_table(tmp_path / "quick.tsv").items()} == {"a": "1", "b": "2", "c": "3"}


def test_in_a_checkout_the_table_goes_to_results_baselines(bitloop, zoo, tmp_path):
    (tmp_path / "results" / "baselines").mkdir(parents=True)
    assert bitloop("baseline", *zoo(a="FAKE_LOSS=1"), "--seeds", 1).returncode == 0
    assert list(read_table(tmp_path / "quick.tsv")) == ["a"]  # a few files are no table of the preset
    assert list((tmp_path / "results" / "baselines").iterdir()) == []
    assert bitloop("baseline", "--seeds", 1).returncode == 0
    assert sorted(path.name for path in (tmp_path / "results" / "baselines").iterdir()) == ["quick.svg", "quick.tsv"]
    assert set(read_table(tmp_path / "results" / "baselines" / "quick.tsv")) == {
        path.stem for path in (ROOT / "quantizers").glob("*.lua")}


def test_without_gnuplot_the_table_is_written(bitloop, zoo, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to("/usr/bin/python3")
    done = bitloop("baseline", *zoo(a="FAKE_LOSS=1"), "--seeds", 1, "--json", PATH=str(tmp_path / "bin"))
    assert done.returncode == 0 and json.loads(done.stdout)["plot"] is None
    assert "gnuplot-nox" in one_sentence(done.stderr.splitlines(keepends=True)[-1])
    assert (tmp_path / "quick.tsv").exists()


@pytest.mark.parametrize("words, what", [
    (["nowhere.lua"], "nowhere.lua"), ([TERNARY, "--preset", "nope"], "nope"), ([TERNARY, "--seeds", "0"], "--seeds"),
    ([TERNARY, "--steps", "10"], "--output"), ([TERNARY, "--set", "train.nope=1", "--output", "x"], "train.nope"),
])
def test_wrong_usage_starts_nothing(bitloop, tmp_path, words, what):
    done = bitloop("baseline", *words)
    assert done.returncode == 2 and done.stdout == "" and what in one_sentence(done.stderr)
    assert not (tmp_path / "workspace").exists()


def test_a_machine_that_fails_ends_it_with_3(bitloop, zoo, tmp_path):
    files = zoo(good="FAKE_LOSS=1", dies="FAKE_DIE")
    done = bitloop("baseline", *files, "--seeds", 1)
    assert done.returncode == 3 and "dies with seed 42 failed 2 times" in done.stderr
    assert not (tmp_path / "quick.tsv").exists()
    zoo(dies="FAKE_LOSS=2")
    again = bitloop("baseline", *files, "--seeds", 1)
    assert again.returncode == 0 and again.stderr.startswith("1 of 2 runs were done before.")


def test_a_table_that_cannot_be_written(bitloop, zoo, tmp_path):
    (tmp_path / "file").write_text("")
    done = bitloop("baseline", *zoo(a="FAKE_LOSS=1"), "--seeds", 1, "--output", "file/below")
    assert done.returncode == 3 and "file/below" in done.stderr


# compare

def test_compare(bitloop, zoo, tmp_path):
    a, b = zoo(a="FAKE_LOSS=1.78", b="FAKE_LOSS=1.76")
    done = bitloop("compare", a, b, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "better" and document["difference"]["pairs"] == 3
    assert abs(document["difference"]["val_loss"] + 0.02) < 1e-9 and document["a"]["val_losses"] == [1.78, 1.781, 1.782]
    assert document["message"].startswith("b is better than a: ")
    again = bitloop("compare", b, a)
    assert again.returncode == 0 and again.stderr == ""  # all of it is there
    assert again.stdout.splitlines()[-1].startswith("a is worse than b: its val_loss is 0.0200 nats higher")
    rows = json.loads(bitloop_results(tmp_path / "workspace"))["results"]
    assert len(rows) == 6 and {row["type"] for row in rows} == {"local"}


def test_compare_takes_the_runs_of_train(bitloop, zoo):
    a, b = zoo(a="FAKE_LOSS=1.78 FAKE_BITS=2", b="FAKE_LOSS=1.76 FAKE_BITS=3")
    assert bitloop("train", a, "--seed", 42).returncode == 0
    done = bitloop("compare", a, b, "--seeds", 2)
    assert done.stderr.startswith("1 of 4 runs were done before.\n")
    assert "trades bits for loss" in done.stdout and "with 1.000 more bits per weight" in done.stdout


def test_compare_with_itself_and_with_a_file_of_the_same_name(bitloop, zoo, tmp_path):
    (a,) = zoo(a="FAKE_LOSS=1.78")
    same = json.loads(bitloop("compare", a, a, "--json").stdout)
    assert same["verdict"] == "inside_noise" and same["difference"]["p_value"] == 1
    (tmp_path / "a.lua").write_text("-- FAKE_LOSS=1.6\n" + TERNARY.read_text())
    other = json.loads(bitloop("compare", a, tmp_path / "a.lua", "--json").stdout)
    assert other["verdict"] == "better" and other["a"]["name"] != other["b"]["name"]


def test_compare_when_one_fails(bitloop, zoo):
    a, b = zoo(a="FAKE_LOSS=1.78", b="FAKE_STATUS=diverged")
    done = bitloop("compare", a, b)
    assert done.returncode == 1 and "diverged" in done.stdout
    assert one_sentence(done.stderr.splitlines(keepends=True)[-1]) == "bitloop: b failed: diverged:3\n"
    assert "cannot be compared" in done.stdout.splitlines()[-1]


def test_compare_of_one_pair_decides_nothing(bitloop, zoo):
    document = json.loads(bitloop("compare", *zoo(a="FAKE_LOSS=1.78", b="FAKE_LOSS=1"), "--seeds", 1, "--json").stdout)
    assert document["verdict"] == "undecided" and document["difference"]["p_value"] is None


@pytest.mark.parametrize("words", [["nowhere.lua", TERNARY], [TERNARY], [TERNARY, TERNARY, "--seeds", "x"]])
def test_compare_wrong_usage(bitloop, words):
    done = bitloop("compare", *words)
    assert done.returncode == 2 and done.stdout == ""
    one_sentence(done.stderr)


# What people are told about noise

def test_train_and_results_tell_of_the_noise(bitloop, zoo, tmp_path):
    share = make_share(tmp_path / "share")
    (share / "baselines" / "quick.tsv").write_text(
        "name\tbits_per_weight\tval_loss\tval_loss_sd\tseeds\nternary\t1.585\t2.3\t0.003\t3\n")
    words = {"BITLOOP_SHARE": str(share)}
    (mine,) = zoo(mine="FAKE_LOSS=2.2")
    said = bitloop("train", mine, **words).stdout.splitlines()[-1]
    assert said == "val_loss is 0.1000 below ternary's 2.3000 (3 seeds): beyond the noise of ±0.0149."  # 4.3027 * 0.003464
    assert "ternary" not in bitloop("train", mine, "--steps", 3, **words).stdout
    document = json.loads(bitloop("train", mine, "--json", **words).stdout)
    assert "noise" not in json.dumps(document)
    results = subprocess.run([BIN / "bitloop", "results", "--workspace", tmp_path / "workspace"], capture_output=True, text=True,
                             env={**os.environ, **words}, check=True).stdout
    assert results.splitlines()[-1].startswith("Noise of quick: ")


# Nothing faked

@pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")
def test_a_real_baseline_killed_and_resumed_equals_one_that_was_not(tmp_path):
    share = make_share(tmp_path / "share", steps=30)
    environment = {**os.environ, "BITLOOP_SHARE": str(share)}
    environment.pop("BITLOOP_SUPERVISOR", None)
    diverging = TERNARY.read_text().replace("return (w / scale):round():clamp{min = -1, max = 1}, scale",
                                            "return {codes = (w / scale):round():clamp{min = -1, max = 1}, scale = scale, "
                                            "surrogate = w * (0 / 0)}")
    (tmp_path / "wild.lua").write_text(diverging)
    quantizers = ROOT / "quantizers"
    def words(name):
        return [BIN / "bitloop", "baseline", quantizers / "ternary.lua", quantizers / "float.lua", tmp_path / "wild.lua", "--seeds",
                "2", "--workspace", tmp_path / name, "--output", tmp_path / f"{name}-out", "--allow-degraded", "--json"]
    process = subprocess.Popen(words("killed"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.time() + 300
    while not (tmp_path / "killed" / "runs" / "baseline-2" / "events.jsonl").exists():
        assert time.time() < deadline and process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.kill()
    process.wait()
    tables = {}
    for name in ("killed", "whole"):
        done = subprocess.run(words(name), env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        tables[name] = {row["name"]: row for row in json.loads(done.stdout)["baselines"]}
    for name in ("ternary", "float", "wild"):
        for column in ("val_losses", "bits_per_weight", "statuses", "pareto"):
            assert tables["killed"][name][column] == tables["whole"][name][column], (name, column)
    assert tables["whole"]["wild"]["statuses"] == "diverged:2" and tables["whole"]["wild"]["val_loss"] is None
    assert tables["whole"]["ternary"]["statuses"] == "ok:2" and tables["whole"]["ternary"]["to_float"] is not None

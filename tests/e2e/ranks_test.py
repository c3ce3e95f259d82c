"""Processes that train together: they compute what one computes, they end together and for a reason that is told, and a run goes on
in another number of them. On one machine in one jail, and as torchrun and srun start them."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest

import machine
from bitloop import BIN, ROOT
from kill_test import wait_for
from resume_test import STATEFUL, Runs, curve, tensors
from small import make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")

TERNARY = ROOT / "quantizers" / "ternary.lua"
FLOAT = 'local Q = {name = "float"}\nreturn Q\n'
STEPS, BATCH, RATE = 10, 16, 2e-3


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    folder = make_share(tmp_path_factory.mktemp("share") / "share", steps=STEPS)
    preset = json.loads((folder / "presets" / "quick.json").read_text())
    preset["eval"].update(log_every=1)
    (folder / "presets" / "quick.json").write_text(json.dumps(preset))
    return folder


@pytest.fixture
def runs(tmp_path, share):
    return Runs(tmp_path, share)


def exact(ranks, threads=None):
    """Ranks with one thread each and the same passes, whatever their number."""
    return ("--ranks", ranks, "--set", "train.precision=float32", "--set", "train.micro_batch=4",
            "--set", f"limits.threads={threads or ranks}")


def ranks_of(runs, test):
    return json.loads((runs.folder(test) / "verdict.json").read_text())["result"]["metrics"]["ranks"]


def losses(runs, test):
    return [record["train_loss"] for record in runs.records(test, "step")]


# How far the losses may be apart. A gradient is the sum of n = 4 passes' float32 gradients, which are the same bits in every process; two
# orders of adding them differ by at most d = 2 (n - 1) 2^-24 times the sum of their magnitudes (tests/trainer/distributed has that bound
# exactly). AdamW turns a gradient g into a step of at most the rate, and a relative error e of g (of its moments) into one of at most
# 2 e of the step. With magnitudes at most k times |g| each of N weights moves by at most 2 k d x rate otherwise per step, and the loss by
# at most |dL/dw|_1 <= sqrt(N) |dL/dw|_2 times that. The norm is at most 4 here in the first ten steps, k = 100 leaves room for sums
# that cancel; what a step made different adds up over the steps.
def bound(step, parameters, norm=4.0, k=100):
    d = 2 * 3 * 2.0**-24
    return step * 2 * k * d * RATE * parameters**0.5 * norm


@pytest.mark.parametrize("quantizer", ["float", "ternary"])
def test_one_two_and_four_ranks_train_the_same(runs, tmp_path, quantizer):
    file = TERNARY
    if quantizer == "float":
        file = tmp_path / "float.lua"
        file.write_text(FLOAT)
    done = {}
    for test, ranks in enumerate((1, 2, 4), start=1):
        result = json.loads(runs(file, *exact(ranks)).stdout)
        assert result["status"] == "ok", result["message"]
        assert ranks_of(runs, test) == ranks
        done[ranks] = losses(runs, test)
        assert len(done[ranks]) == STEPS
    assert done[1][0] > done[1][-1]  # it learns
    for ranks in (2, 4):
        # The same weights and passes: only the order of adding 4 losses in double precision is another.
        assert done[ranks][0] == pytest.approx(done[1][0], abs=1e-14)
        for step, (one, several) in enumerate(zip(done[1], done[ranks])):
            assert abs(one - several) <= max(1e-14, bound(step, result["metrics"]["params"])), (ranks, step)


def test_a_repeated_run_is_the_same_bits(runs):
    # bfloat16 and fused, as runs are by default; each also repeats its own first steps (`determinism`).
    for test in (1, 2):
        assert json.loads(runs(TERNARY, "--ranks", 2).stdout)["status"] == "ok"
        assert ranks_of(runs, test) == 2
    assert curve(runs.folder(1)) == curve(runs.folder(2))
    for name in ("weights.safetensors", "packed.safetensors"):
        assert tensors(runs.folder(1) / "output" / name) == tensors(runs.folder(2) / "output" / name)
    verdict = json.loads((runs.folder(1) / "verdict.json").read_text())
    (finding,) = [finding for finding in verdict["result"]["findings"] if finding["rule"] == "determinism"]
    assert finding["ok"]
    # One set of records: rank 0's.
    assert [record["type"] for record in runs.records(1)].count("header") == 1


def rank_processes(runs, count):
    """The processes of the run's ranks, rank 0 first: children of one init, made in their order."""
    def find():
        ours = [pid for pid, name in machine.descendants().items() if name.startswith("bitloop-train")]
        everything = machine.processes()
        inits = {everything[pid][0] for pid in ours if pid in everything}
        below = sorted(pid for pid in ours if pid in everything and everything[pid][0] in inits)
        # The init has the program's name, too, until it is the parent of the others.
        below = [pid for pid in below if pid not in inits]
        return below if len(below) == count else None
    return wait_for(find, "the ranks are not found")


def wait_for_steps(runs, process):
    events = runs.folder(1) / "events.jsonl"
    wait_for(lambda: process.poll() is not None or (events.exists() and '"type":"step"' in events.read_text()), "it does not train")
    assert process.poll() is None, process.communicate()


class Training:
    """A run of so many steps that only a fault ends it."""

    def __init__(self, runs, *words, ranks=2):
        self.runs = runs
        self.process = subprocess.Popen(
            runs.words(TERNARY, "--steps", 1_000_000, "--ranks", ranks, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=runs.environment)
        wait_for_steps(runs, self.process)
        self.ranks = rank_processes(runs, ranks)

    def end(self, within):
        """Its result, and the seconds since now."""
        start = time.time()
        out, _ = self.process.communicate(timeout=within)
        assert not [name for name in machine.descendants().values() if name.startswith("bitloop-train")]
        return json.loads(out), time.time() - start


def test_the_death_of_a_rank_ends_the_run_at_once(runs):
    training = Training(runs, ranks=4)
    os.kill(training.ranks[1], signal.SIGKILL)
    result, seconds = training.end(within=30)
    assert result["status"] == "infrastructure" and seconds < 15
    assert "rank 1 of the trainer was ended by SIGKILL" in result["message"]


def test_the_death_of_rank_0_ends_the_others(runs):
    training = Training(runs)
    os.kill(training.ranks[0], signal.SIGKILL)
    result, seconds = training.end(within=30)
    assert result["status"] == "infrastructure" and seconds < 15
    assert "ended by SIGKILL" in result["message"]


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_rank_that_stands_still_ends_the_run_after_the_time_that_is_set(runs, stopped):
    training = Training(runs, "--set", "limits.rank_wait_s=3")
    os.kill(training.ranks[stopped], signal.SIGSTOP)
    result, seconds = training.end(within=60)
    assert result["status"] == "infrastructure" and 2 < seconds < 40
    said = result["message"] + (runs.folder(1) / "output.txt").read_text()
    assert f"rank {stopped} did not come within {3 if stopped else 8} s of the others" in said


def test_what_one_rank_can_not_do_is_the_runs_status(runs, tmp_path):
    # What it complains of depends on the data, so it comes to one rank first.
    file = tmp_path / "picky.lua"
    file.write_text(TERNARY.read_text().replace(
        "function Q.activation_quant(x, ctx)",
        "function Q.activation_quant(x, ctx)\n"
        "  if ctx.training and ctx.step >= 3 and x:mean() > 0 then error('not this number') end", 1))
    result = json.loads(runs(file, "--ranks", 4, "--set", "limits.threads=4", code=1).stdout)
    assert result["status"] == "script_error" and "not this number" in result["message"]


def test_ranks_that_diverge_say_so(runs, tmp_path):
    file = tmp_path / "infinite.lua"
    file.write_text(TERNARY.read_text().replace(
        "return Q", "function Q.regularizer(w, value, ctx) return (w:abs() * 1e30 * 1e30):sum() end\nreturn Q"))
    result = json.loads(runs(file, "--ranks", 2, code=1).stdout)
    assert result["status"] == "diverged"


def test_numbers_of_ranks_that_do_not_fit(runs):
    assert "train.ranks must divide train.batch (16 sequences a step)" in runs(TERNARY, "--ranks", 3, code=2).stderr
    assert "--ranks" in runs(TERNARY, "--ranks", 17, code=2).stderr
    assert "--ranks" in runs(TERNARY, "--ranks", 0, code=2).stderr


def test_a_run_goes_on_in_as_many_ranks_or_in_others(tmp_path, share):
    long = make_share(tmp_path / "share", steps=300)
    runs = Runs(tmp_path, long)
    file = tmp_path / "stateful.lua"
    file.write_text(STATEFUL)
    settings = ("--ranks", 2, "--set", "checkpoint.every=30")
    whole = json.loads(runs(file, *settings).stdout)
    assert whole["status"] == "ok"
    ended = {}
    for test, ranks in ((2, None), (3, 1), (4, 4)):
        runs.killed(test, file, *settings, at=60)
        again = json.loads(runs("--resume", test, *(() if ranks is None else ("--ranks", ranks))).stdout)
        assert again["status"] == "ok", again["message"]
        assert ranks_of(runs, test) == ranks or ranks is None
        (resumed,) = runs.records(test, "resumed")
        assert resumed["step"] >= 60 and resumed["notes"] == []
        ended[ranks] = again["metrics"]["val_loss"]
    assert curve(runs.folder(2)) == curve(runs.folder(1))
    assert ended[None] == whole["metrics"]["val_loss"]
    # Sums of other orders, over hundreds of steps: as far apart as two seeds at most (0.05 here), and the same task solved as well.
    for ranks in (1, 4):
        assert abs(ended[ranks] - whole["metrics"]["val_loss"]) < 0.05
    assert "must divide train.batch" in subprocess.run(
        runs.words(file, "--ranks", 5), text=True, capture_output=True, env=runs.environment).stderr


@pytest.mark.parametrize("names", [{"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
                                   {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": "7"}])
def test_a_launcher_does_not_resume(runs, names):
    done = subprocess.run(runs.words("--resume", "1"), text=True, capture_output=True, env={**runs.environment, **names})
    assert done.returncode == 2 and done.stdout == ""
    assert "this one is rank 1 of 2, says its environment" in done.stderr and done.stderr.count("\n") == 1
    assert not runs.workspace.exists()


def test_a_folder_has_one_run(runs):
    training = Training(runs)
    second = subprocess.run([BIN / "bitloop", "supervise", runs.folder(1)], text=True, capture_output=True, timeout=60)
    assert second.returncode == 1 and "another supervisor has this run" in second.stderr
    training.process.send_signal(signal.SIGINT)
    result, _ = training.end(within=60)
    assert result["status"] == "cancelled"


# As launchers start them: each process is one rank.


def free_ports():
    """Two in a row."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            try:
                second.bind(("127.0.0.1", first.getsockname()[1] + 1))
            except OSError:
                continue
            return first.getsockname()[1]


class Launched:
    """`bitloop train` in several processes that find each other by the environment."""

    def __init__(self, folder, share, words, count=2, slurm=False, extra=lambda rank: ()):
        machine.adopt_orphans()
        port = free_ports()
        self.runs = [Runs(folder / str(rank), share) for rank in range(count)]
        self.processes = []
        for rank, runs in enumerate(self.runs):
            names = {"SLURM_PROCID": rank, "SLURM_STEP_NUM_TASKS": count, "SLURM_STEP_NODELIST": "localhost"} if slurm else {
                "RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "localhost"}
            environment = {**runs.environment, **{name: str(value) for name, value in names.items()}, "MASTER_PORT": str(port)}
            self.processes.append(subprocess.Popen(
                runs.words(*words, *extra(rank)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment))

    def results(self, within=240):
        return [(json.loads(out) if out else err, process.returncode)
                for process in self.processes for out, err in [process.communicate(timeout=within)]]


@pytest.mark.parametrize("slurm", [False, True])
def test_ranks_of_a_launcher_train_as_those_of_one_jail(tmp_path, share, slurm):
    alone = Runs(tmp_path / "alone", share)
    settings = ("--set", "train.precision=float32", "--set", "train.micro_batch=4", "--set", "limits.rank_wait_s=60")
    json.loads(alone(TERNARY, "--ranks", 2, *settings, "--set", "limits.threads=2").stdout)
    launched = Launched(tmp_path, share, (TERNARY, *settings, "--set", "limits.threads=1"), slurm=slurm)
    (first, code), (second, other) = launched.results()
    assert (code, other) == (0, 0), (first, second)
    assert first["status"] == second["status"] == "ok"
    assert ranks_of(launched.runs[0], 1) == 2 and "score" in second["message"]
    # Two numbers have one sum, whichever way they come.
    assert losses(launched.runs[0], 1) == losses(alone, 1)
    verdict = json.loads((launched.runs[0].folder(1) / "verdict.json").read_text())
    assert "degraded" in verdict["flags"]
    (layer,) = [layer["state"] for layer in verdict["jail"]["layers"] if layer["layer"] == "net_namespace"]
    assert layer == "missing: ranks on several machines need the network"
    # The others keep nothing.
    assert not (launched.runs[1].workspace / "results.tsv").exists()


def test_the_death_of_a_launched_rank_ends_the_others(tmp_path, share):
    launched = Launched(tmp_path, share, (TERNARY, "--steps", 1_000_000, "--set", "limits.rank_wait_s=30"))
    wait_for_steps(launched.runs[0], launched.processes[0])
    below = machine.descendants(launched.processes[1].pid)
    for pid in sorted(pid for pid, name in below.items() if name.startswith("bitloop-train")):
        os.kill(pid, signal.SIGKILL)
    start = time.time()
    (first, code), (second, other) = launched.results(within=60)
    assert time.time() - start < 40
    assert code == other == 3
    assert first["status"] == "infrastructure" and "a rank has ended or did not come in time" in first["message"]


def test_ranks_of_different_commands_do_not_train(tmp_path, share):
    launched = Launched(tmp_path, share, (TERNARY, "--set", "limits.rank_wait_s=60"), extra=lambda rank: ("--seed", 5 + rank))
    for result, code in launched.results():
        assert code == 3
        assert "rank 1 was started with another candidate, preset or seed than rank 0" in str(result)


def test_what_a_launcher_may_say(runs, share):
    def refused(*words, **environment):
        command = [word for word in runs.words(TERNARY, *words) if word != "--allow-degraded" or "whole" not in environment]
        environment.pop("whole", None)
        done = subprocess.run(command, text=True, capture_output=True, timeout=60, env={**runs.environment, **environment})
        assert done.returncode == 2, done.stderr
        return done.stderr

    ranks = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    assert "--allow-degraded" in refused(whole="", **ranks)
    assert "leave out one of the two" in refused("--ranks", "2", **ranks)
    assert "3 ranks must divide" in refused(**{**ranks, "WORLD_SIZE": "3"})
    assert "RANK is '2'" in refused(**{**ranks, "RANK": "2"})
    assert "RANK is ''" in refused(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
    assert "WORLD_SIZE is 'two'" in refused(**{**ranks, "WORLD_SIZE": "two"})
    assert "MASTER_ADDR is missing" in refused(RANK="1", WORLD_SIZE="2")
    assert "no address is found for 'no.such.host.invalid'" in refused(**{**ranks, "MASTER_ADDR": "no.such.host.invalid"})
    assert "MASTER_PORT is '0'" in refused(**{**ranks, "MASTER_PORT": "0"})

"""A run that is killed goes on from its newest checkpoint, to the same bits: started by `bitloop train` and resumed by hand, and
started by a server that starts again or whose supervisor is killed."""

import json
import os
import pathlib
import re
import signal
import struct
import subprocess

import pytest

import machine
from bitloop import BIN, ROOT, Host
from kill_test import run_processes, wait_for
from small import make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")

STEPS, EVERY = 400, 30
# A learned scale, a state that changes after each step, and codes that are kept for some steps: all that a checkpoint must have.
STATEFUL = """
local Q = {name = "stateful", levels = {-1, 0, 1}, requantize_every = 4}
function Q.init(layer)
  return {params = {s = {value = torch.full({1}, 0.02)}}, state = {mean = torch.full({1}, 0.02)}}
end
function Q.weight_quant(w, ctx)
  local scale = ctx.state.mean:clamp{min = 1e-5}
  return (w / scale):round():clamp{min = -1, max = 1}, scale
end
function Q.row_bias(w, codes, ctx) return ctx.params.s * codes:mean{dim = 1} end
function Q.after_step(layer, ctx)
  return {mean = ctx.state.mean * 0.9 + layer.codes:abs():mean() * 0.003}
end
function Q.activation_quant(x, ctx)
  local scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  return (x / scale):round():clamp{min = -128, max = 127}, scale
end
return Q
"""


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    return make_share(tmp_path_factory.mktemp("share") / "share", steps=STEPS)


def end(pid):
    """kill -9 of an orphan, which this process has adopted."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: machine.collect_orphans([]) or not pathlib.Path(f"/proc/{pid}").exists(), "it lives on")


class Runs:
    def __init__(self, folder, share):
        machine.adopt_orphans()
        self.workspace, self.environment = folder / "workspace", {**os.environ, "BITLOOP_SHARE": str(share)}

    def words(self, *words):
        return [BIN / "bitloop", "train", *map(str, words), "--workspace", self.workspace, "--allow-degraded", "--json"]

    def __call__(self, *words, code=0):
        done = subprocess.run(self.words(*words), text=True, capture_output=True, timeout=300, env=self.environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def folder(self, test):
        return self.workspace / "runs" / f"local-{test}"

    def records(self, test, kind=None):
        lines = (self.folder(test) / "events.jsonl").read_text().splitlines(keepends=True)
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [record for record in records if kind is None or record["type"] == kind]

    def checkpoint_after(self, test, step):
        file = self.folder(test) / "events.jsonl"
        return file.exists() and any(record["step"] >= step and record["ok"] for record in self.records(test, "checkpoint"))

    def killed(self, test, *words, at):
        """A run that was killed with all its processes once it had written a checkpoint of that step or a later one."""
        process = subprocess.Popen(self.words(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment)
        wait_for(lambda: process.poll() is not None or self.checkpoint_after(test, at), "there is no checkpoint")
        assert process.poll() is None, "it was too quick to be killed"
        supervisor = wait_for(lambda: run_processes(self), "its supervisor is not found")[0]
        process.kill()
        process.communicate()
        end(supervisor)


@pytest.fixture
def runs(tmp_path, share):
    return Runs(tmp_path, share)


def curve(folder):
    """log.tsv without the times, which no two runs share."""
    rows = [line.split("\t") for line in (folder / "log.tsv").read_text().splitlines()]
    time_column = rows[0].index("time_s")
    return [row[:time_column] + row[time_column + 1:] for row in rows]


def tensors(path):
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    return whole[8 + length:]


@pytest.mark.parametrize("quantizer", ["ternary", "stateful"])
def test_a_killed_run_goes_on_to_the_same_bits(runs, tmp_path, quantizer):
    file = ROOT / "quantizers" / f"{quantizer}.lua"
    if quantizer == "stateful":
        file = tmp_path / "stateful.lua"
        file.write_text(STATEFUL)
    settings = ("--set", f"checkpoint.every={EVERY}")
    whole = json.loads(runs(file, *settings).stdout)
    assert whole["status"] == "ok"
    assert not list((runs.folder(1) / "output").glob("checkpoint-*"))  # it needs none any more
    runs.killed(2, file, *settings, at=2 * EVERY)
    refused = subprocess.run(runs.words("--resume", "1"), text=True, capture_output=True, env=runs.environment)
    assert refused.returncode == 2 and "has ended as ok" in refused.stderr
    again = json.loads(runs("--resume", "2").stdout)
    assert again["status"] == "ok"
    (resumed,) = runs.records(2, "resumed")
    assert resumed["step"] >= 2 * EVERY and resumed["notes"] == []
    assert curve(runs.folder(2)) == curve(runs.folder(1))
    for name in ("val_loss", "train_loss", "bits_per_weight", "tokens"):
        assert again["metrics"].get(name) == whole["metrics"].get(name)
    for name in ("weights.safetensors", "packed.safetensors"):
        assert tensors(runs.folder(2) / "output" / name) == tensors(runs.folder(1) / "output" / name)
    assert [record["type"] for record in runs.records(2)].count("header") == 1


@pytest.mark.parametrize("quantizer", ["ternary_qat", "nativebit"])
def test_a_killed_run_that_began_with_a_model_goes_on_to_the_same_bits(runs, quantizer):
    """Where lambda stands, and learned codebooks with their averages, come back, too; the model is not begun with again."""
    file = ROOT / "quantizers" / f"{quantizer}.lua"
    runs(ROOT / "quantizers" / "float.lua", "--steps", "60")
    settings = ("--init-from", "local/1", "--set", f"checkpoint.every={EVERY}", "--set", "qat.lambda=plateau", "--set", "qat.every=20", "--set",
                "qat.max=0.8", "--set", "train.learning_rate=0.0005")
    whole = json.loads(runs(file, *settings).stdout)
    assert whole["status"] == "ok"
    runs.killed(3, file, *settings, at=2 * EVERY)
    again = json.loads(runs("--resume", "3").stdout)
    assert again["status"] == "ok"
    (resumed,) = runs.records(3, "resumed")
    assert resumed["step"] >= 2 * EVERY and resumed["notes"] == []
    assert curve(runs.folder(3)) == curve(runs.folder(2))
    lambdas = {record["lambda"] for record in runs.records(3, "step")}
    assert len(lambdas) > 5 and max(lambdas) == pytest.approx(0.8)
    (look,) = runs.records(3, "init_eval")
    assert look["float_val_loss"] == runs.records(2, "init_eval")[0]["float_val_loss"]
    for name in ("val_loss", "train_loss", "first_losses", "quant_err_rms", "dead_frac"):
        assert again["metrics"].get(name) == whole["metrics"].get(name)
    for name in ("weights.safetensors", "packed.safetensors"):
        assert tensors(runs.folder(3) / "output" / name) == tensors(runs.folder(2) / "output" / name)


def test_a_torn_checkpoint_is_named_and_the_one_before_it_is_used(runs):
    file, settings = ROOT / "quantizers" / "ternary.lua", ("--set", f"checkpoint.every={EVERY}")
    runs.killed(1, file, *settings, at=3 * EVERY)
    files = sorted((runs.folder(1) / "output").glob("checkpoint-*.safetensors"))
    assert len(files) == 3

    def header(path):
        whole = path.read_bytes()
        (length,) = struct.unpack("<Q", whole[:8])
        return json.loads(whole[8:8 + length])["__metadata__"]

    steps = {int(header(path)["step"]): path for path in files if path.stat().st_size > 8}
    newest, before = sorted(steps)[-1], sorted(steps)[-2]
    steps[newest].write_bytes(steps[newest].read_bytes()[:-1] + b"?")
    live = subprocess.run([word for word in runs.words("--resume", "1") if word != "--json"], text=True, capture_output=True, timeout=300,
                          env=runs.environment)
    assert live.returncode == 0, live.stdout + live.stderr
    assert re.search(rf"^{steps[newest].name} is damaged: .*$", live.stdout, re.M)
    (resumed,) = runs.records(1, "resumed")
    assert resumed["step"] == before
    assert any(re.fullmatch(rf"{steps[newest].name} is damaged: .*", note) for note in resumed["notes"])


def test_without_a_checkpoint_it_begins_anew(runs):
    file, settings = ROOT / "quantizers" / "ternary.lua", ("--set", f"checkpoint.every={EVERY}")
    runs.killed(1, file, *settings, at=EVERY)
    for path in (runs.folder(1) / "output").glob("checkpoint-*"):
        path.write_bytes(b"")
    done = json.loads(runs("--resume", "1").stdout)
    assert done["status"] == "ok" and runs.records(1, "resumed")[0]["step"] == 0
    runs(file, *settings)
    assert curve(runs.folder(1)) == curve(runs.folder(2))


def test_a_run_without_checkpoints_is_not_resumed(runs):
    file = ROOT / "quantizers" / "ternary.lua"
    process = subprocess.Popen(runs.words(file), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=runs.environment)
    supervisor = wait_for(lambda: run_processes(runs), "it does not train")[0]
    process.kill()
    process.wait()
    end(supervisor)
    assert "has ended as infrastructure" in runs("--resume", "1", code=2).stderr
    assert "FILE is required" in runs(code=2).stderr
    assert "excludes --resume" in runs(file, "--resume", "1", code=2).stderr
    assert "leave out" in runs("--resume", "1", "--seed", "3", code=2).stderr


@pytest.mark.parametrize("victims", ["supervisor", "supervisor and server", "supervisor by SIGTERM"])
def test_a_server_lets_its_runs_go_on(tmp_path, share, victims):
    machine.adopt_orphans()
    preset = json.loads((share / "presets" / "quick.json").read_text())
    preset["checkpoint"] = {"every": EVERY, "keep": 2}
    own = tmp_path / "share"
    make_share(own, steps=STEPS)
    (own / "presets" / "quick.json").write_text(json.dumps(preset))
    with Host(tmp_path / "workspace", fake=False, BITLOOP_SHARE=str(own)) as host:
        session = host.session()
        assert session.post("/tests", {}).status == 202

        def records(kind):
            text = session.get("/tests/1/events.jsonl").text
            return [record for record in map(json.loads, text.splitlines()) if record["type"] == kind]

        wait_for(lambda: records("checkpoint"), "there is no checkpoint")
        supervisor = run_processes(host)[0]
        if "server" in victims:
            host.kill()
        if "server" in victims:
            end(supervisor)
            host.start()
        else:  # SIGTERM: as when the machine is shut down
            os.kill(supervisor, signal.SIGTERM if "SIGTERM" in victims else signal.SIGKILL)
        answer = wait_for(lambda: (found := session.get("/tests/1?wait=30").json)["status"] != "running" and found, "it does not end")
        assert answer["status"] == "ok", answer["message"]
        assert len(records("resumed")) == 1 and records("resumed")[0]["step"] >= EVERY
        assert session.get().json["tests_left"] == 2  # charged once
        assert host.git("log", "--format=%s", "--grep=test-finished", f"sessions/{session.id}").count("Finished test") == 1
        # One that is cancelled does not go on.
        assert session.post("/tests", {}).status == 202
        wait_for(lambda: '"checkpoint"' in session.get("/tests/2/events.jsonl").text, "there is no checkpoint")
        assert host.call("DELETE", session.path + "/tests/2").status < 300
        assert session.get("/tests/2?wait=30").json["status"] == "cancelled"
        assert host.stop() == 0

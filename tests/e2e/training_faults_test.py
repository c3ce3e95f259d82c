"""What goes wrong in a long training says so in words, blames nobody who is not to blame, and leaves the last good checkpoint."""

import array
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

import machine
from bitloop import BIN, ROOT
from kill_test import wait_for
from ranks_test import rank_processes
from resume_test import Runs, curve, end, tensors
from small import SHARE, make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")

TERNARY = ROOT / "quantizers" / "ternary.lua"


def command(folder, *words):
    return [BIN / "bitloop", "train", *map(str, words), "--workspace", folder / "workspace", "--allow-degraded", "--json"]


def records(folder, kind):
    file = folder / "workspace" / "runs" / "local-1" / "events.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [record for record in (json.loads(line) for line in lines if line.endswith("\n")) if record["type"] == kind]


def test_nan_in_a_gradient_ends_as_diverged_and_leaves_the_checkpoint_before_it(tmp_path):
    """The loss of step 41 is finite, its gradient is not."""
    share = make_share(tmp_path / "share", steps=60)
    file = tmp_path / "nan.lua"
    file.write_text(TERNARY.read_text().replace(
        "return (w / scale):round():clamp{min = -1, max = 1}, scale",
        "local codes = (w / scale):round():clamp{min = -1, max = 1}\n"
        "  if ctx.training and ctx.step == 40 then return {codes = codes, scale = scale, surrogate = w * (0 / 0)} end\n"
        "  return codes, scale", 1))
    assert "surrogate" in file.read_text()
    done = subprocess.run(command(tmp_path, file, "--set", "checkpoint.every=15"), text=True, capture_output=True, timeout=300,
                          env={**os.environ, "BITLOOP_SHARE": str(share)})
    assert done.returncode == 1, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "diverged" and "a gradient of step 41 is not finite" in answer["message"]
    run = tmp_path / "workspace" / "runs" / "local-1"
    assert [record["step"] for record in records(tmp_path, "checkpoint") if record["ok"]] == [15, 30]
    whole = [path for path in (run / "output").glob("checkpoint-*.safetensors") if path.stat().st_size > 0]
    assert len(whole) == 2
    for path in whole:  # every tensor of it is finite
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8:8 + length])
        assert int(header.pop("__metadata__")["step"]) in (15, 30)
        for name, tensor in header.items():
            begin, end = (8 + length + offset for offset in tensor["data_offsets"])
            if tensor["dtype"] == "F32":
                numbers = array.array("f", content[begin:end])
                assert all(number - number == 0 for number in numbers), name
    refused = subprocess.run([BIN / "bitloop", "train", "--resume", "1", "--workspace", tmp_path / "workspace", "--allow-degraded"],
                             text=True, capture_output=True, env={**os.environ, "BITLOOP_SHARE": str(share)})
    assert refused.returncode == 2 and "has ended as diverged; only a run that was killed" in refused.stderr


STEPS, EVERY = 400, 30


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path, make_share(tmp_path / "share", steps=STEPS))


def rows(runs):
    lines = [line.split("\t") for line in (runs.workspace / "results.tsv").read_text().splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def failed(runs, test, *words, victim, ranks):
    """A run that ended as infrastructure: one of its processes was killed once it had a checkpoint."""
    process = subprocess.Popen(runs.words(TERNARY, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=runs.environment)
    wait_for(lambda: process.poll() is not None or runs.checkpoint_after(test, 2 * EVERY), "there is no checkpoint")
    assert process.poll() is None, "it was too quick to be killed"
    os.kill(rank_processes(runs, ranks)[victim], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3 and json.loads(out)["status"] == "infrastructure", out + err
    assert (runs.folder(test) / "verdict.json").exists()


def same_as(runs, test, whole):
    """The resumed run is the one that nothing disturbed, bit by bit."""
    assert curve(runs.folder(test)) == curve(runs.folder(whole))
    for name in ("weights.safetensors", "packed.safetensors"):
        assert tensors(runs.folder(test) / "output" / name) == tensors(runs.folder(whole) / "output" / name)
    done, wanted = ({row["test"]: row for row in rows(runs)}[str(number)] for number in (test, whole))
    assert done["status"] == "ok"
    for name in ("val_loss", "bits_per_weight", "tokens"):
        assert done[name] == wanted[name]


@pytest.mark.parametrize("victim, ranks", [(0, 1), (1, 2)])
def test_a_run_one_of_whose_processes_died_goes_on_to_the_same_bits(runs, victim, ranks):
    settings = ("--ranks", ranks, "--set", f"checkpoint.every={EVERY}")
    assert json.loads(runs(TERNARY, *settings).stdout)["status"] == "ok"
    failed(runs, 2, *settings, victim=victim, ranks=ranks)
    assert [row["status"] for row in rows(runs)] == ["ok", "infrastructure"]
    assert json.loads(runs("--resume", "2").stdout)["status"] == "ok"
    (resumed,) = runs.records(2, "resumed")
    assert resumed["step"] >= 2 * EVERY and resumed["notes"] == []
    same_as(runs, 2, 1)
    assert [row["status"] for row in rows(runs)] == ["ok", "ok"]
    assert json.loads((runs.folder(2) / "verdict-1.json").read_text())["status"] == "infrastructure"
    story = subprocess.run(["git", "-C", runs.workspace / "journal.git", "log", "--format=%s", "sessions/local"], text=True,
                           capture_output=True, check=True).stdout.splitlines()
    assert story[1] == "Resumed test #2, which had ended as infrastructure" and story[0].startswith("Finished test #2: ok")
    assert "has ended as ok" in runs("--resume", "2", code=2).stderr


def supervisors(runs):
    found = []
    for pid in machine.descendants():
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read()
        except OSError:
            continue
        if b"\0supervise\0" in words and str(runs.workspace).encode() in words:
            found.append(pid)
    return found


def end_supervisors(runs):
    for pid in supervisors(runs):
        with contextlib.suppress(ProcessLookupError):  # its jail's processes have its words at first, and end with it
            end(pid)


def test_killed_at_any_moment_while_it_is_resumed_it_goes_on_all_the_same(runs):
    settings = ("--set", f"checkpoint.every={EVERY}")
    assert json.loads(runs(TERNARY, *settings).stdout)["status"] == "ok"
    failed(runs, 2, *settings, victim=0, ranks=1)
    for milliseconds in (2, 5, 8, 12, 18, 25, 35, 50, 80, 150):
        process = subprocess.Popen(runs.words("--resume", "2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=runs.environment)
        time.sleep(milliseconds / 1000)
        process.kill()
        # Or it was killed too often, has ended as infrastructure for that, and may be resumed once more; or what the last one began was not
        # seen yet when it was looked for, and runs.
        if process.wait() != -signal.SIGKILL:
            out, err = (text.decode() for text in process.communicate())
            # Or it was killed between the journal and the verdict's new name, and is told to have ended while that is written down.
            assert "started again 3 times" in out or "is running" in err or "is being written down" in err, out + err
        end_supervisors(runs)
    time.sleep(1)
    end_supervisors(runs)
    for _ in range(20):
        last = subprocess.run(runs.words("--resume", "2"), text=True, capture_output=True, timeout=300, env=runs.environment)
        if "is being written down" not in last.stderr:
            break
        time.sleep(0.2)
    assert last.returncode == 0 or "started again 3 times" in last.stdout, last.stdout + last.stderr
    if last.returncode != 0:
        runs("--resume", "2")
    same_as(runs, 2, 1)
    assert [row["status"] for row in rows(runs)] == ["ok", "ok"]


def small_words(folder):
    """`small`, shrunk, with enough steps to be met while it trains."""
    tokens = array.array("H", ((i * i * 31 + i * 7) % 50257 for i in range(400_000))).tobytes()
    for name in ("train.bin", "val.bin"):
        (folder / name).write_bytes(tokens)
    settings = {"model.layers": 1, "model.width": 32, "model.heads": 2, "model.context": 64, "train.batch": 2, "train.micro_batch": 2,
                "train.warmup_iters": 1, "limits.threads": 2, "limits.memory_mb": 4096, "eval.log_every": 1, "train.device": "cpu",
                "data.path": folder / "train.bin", "data.val_path": folder / "val.bin"}
    return [TERNARY, "--preset", "small", "--steps", "3000", "--eval-every", "3000",
            *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


@pytest.mark.parametrize("change", ["written to", "cut short"])
def test_a_shard_that_changes_under_the_run(tmp_path, change):
    process = subprocess.Popen(command(tmp_path, *small_words(tmp_path)), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: process.poll() is not None or len(records(tmp_path, "step")) > 3, "it does not train")
    assert process.poll() is None
    shard = tmp_path / "train.bin"
    if change == "cut short":
        os.truncate(shard, 4096)
    else:
        with open(shard, "r+b") as file:
            file.write(b"\1\0")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3, out + err
    answer = json.loads(out)
    assert answer["status"] == "infrastructure"  # the candidate is not to blame, and in a session the test is given back
    if change == "cut short" and "changed while" not in answer["message"]:
        assert "a data file was cut short while the run read it" in answer["message"]
    else:
        assert f"{shard} changed while the run read it" in answer["message"]
    assert "let nothing write to data that is in use" in answer["message"]


def test_two_runs_in_one_folder(tmp_path):
    """A second supervisor of a folder that has one does nothing, in words; the first one's run goes on."""
    process = subprocess.Popen(command(tmp_path, *small_words(tmp_path)), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: process.poll() is not None or records(tmp_path, "step"), "it does not train")
    run = tmp_path / "workspace" / "runs" / "local-1"
    before = len(records(tmp_path, "header"))
    second = subprocess.run([BIN / "bitloop", "supervise", run], text=True, capture_output=True, timeout=30)
    assert second.returncode == 1 and second.stdout == ""
    assert f"{run}: another supervisor has this run" in second.stderr
    seen = len(records(tmp_path, "step"))
    wait_for(lambda: process.poll() is not None or len(records(tmp_path, "step")) > seen, "it does not go on")
    assert len(records(tmp_path, "header")) == before
    process.send_signal(2)
    assert json.loads(process.communicate(timeout=60)[0])["status"] == "cancelled"


def fake_driver(folder, version):
    source = folder / "driver.c"
    source.write_text(f"int cuInit(unsigned f) {{ return {0 if version else 100}; }}\n"
                      f"int cuDriverGetVersion(int* v) {{ *v = {version or 13000}; return 0; }}\n"
                      "int cuDeviceGetCount(int* n) { *n = 0; return 0; }\nint cuDeviceGet(int* d, int i) { return 101; }\n"
                      "int cuDeviceGetName(char* n, int l, int d) { return 101; }\n"
                      "int cuDeviceTotalMem_v2(unsigned long* b, int d) { return 101; }\n")
    subprocess.run([shutil.which("cc") or "gcc", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source], check=True)
    return folder


@pytest.mark.parametrize("driver, sentence", [
    ("none", "this machine has no NVIDIA driver that can be opened ("),
    (12020, "the NVIDIA driver is for CUDA 12.2, and CUDA 13.0 is needed: install a newer driver, or stay on the CPU (train.device=cpu)"),
    (13000, "the NVIDIA driver shows no GPU: look at nvidia-smi and at CUDA_VISIBLE_DEVICES"),
    (0, "the NVIDIA driver finds no GPU that it can use (its error is 100): look at nvidia-smi"),
])
def test_a_driver_that_is_missing_or_too_old(tmp_path, driver, sentence):
    """The trainer itself, without its jail: what it says is what the run's message becomes."""
    if driver == "none" and any(pathlib.Path(folder, "libcuda.so.1").exists() for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64")):
        pytest.skip("there is a driver here")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path if driver == "none" else fake_driver(tmp_path, driver))}
    preset = json.loads((SHARE / "presets" / "quick.json").read_text())
    preset["train"]["device"] = "cuda"
    job = {"schema_version": 1, "kind": "train", "nonce": "n", "seed": 1, "candidate": {"path": "c.lua", "content": TERNARY.read_text()},
           "preset": preset, "data_dir": str(SHARE / "data")}
    (tmp_path / "job.json").write_text(json.dumps(job))
    (tmp_path / "output").mkdir()
    with open(tmp_path / "job.json") as job_file, open(tmp_path / "events", "w") as events:
        done = subprocess.run([BIN / "bitloop-trainer", "--job-fd", str(job_file.fileno()), "--event-fd", str(events.fileno())],
                              pass_fds=(job_file.fileno(), events.fileno()), cwd=tmp_path, env=environment, text=True,
                              capture_output=True, timeout=120)
    assert done.returncode == 3
    assert sentence in done.stderr and done.stderr.strip().count("\n") == 0


def test_without_the_device_files_the_run_says_so(tmp_path):
    """In the jail, before the trainer: the same as a sentence of the command."""
    if pathlib.Path("/dev/nvidiactl").exists():
        pytest.skip("there is a driver here")
    done = subprocess.run(command(tmp_path, TERNARY, "--device", "cuda"), text=True, capture_output=True, timeout=60)
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and "stay on the CPU" in done.stderr

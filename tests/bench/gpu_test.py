"""bench/gpu.sh without a GPU: a make-believe bundle whose programs say known numbers, fail or hang, and the table that comes of it."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
import gpu  # noqa: E402  (bench/gpu.py)

# Every program and nvidia-smi: does what faults.json says of it, else what a good one does.
FAKE = r'''
import json, os, pathlib, sys, time
root, name, words = pathlib.Path(__file__).resolve().parents[DEPTH], pathlib.Path(__file__).name, sys.argv[1:]
option = lambda wanted, default=None: words[words.index(wanted) + 1] if wanted in words else default
kind = " ".join([name, *words])
with open(root / "calls", "a") as calls:
    calls.write(kind + "\n")
for part, fault in json.loads((root / "faults.json").read_text()).items():
    if all(word in kind.split() for word in part.split()):
        if fault == "hang":
            time.sleep(1000)
        print(fault.get("out", ""))
        print(fault.get("err", ""), file=sys.stderr)
        sys.exit(fault.get("code", 0))
say = lambda **document: print(json.dumps(document))
if name == "nvidia-smi":
    print("NVIDIA H200, 580.1")
elif name.endswith("_tests"):
    print("[==========] 12 tests from 1 test suite ran.\n[  PASSED  ] 11 tests.\n[  SKIPPED ] 1 test.")
elif name == "nanogpt_bitlinear_gpu.py":
    say(tokens_per_s=110000 if "float" in words else 100000)
elif name == "bitloop_bench_gpu" and "--products" in words:
    say(square_8192=815.0)
elif name == "bitloop_bench_gpu":
    say(tokens_per_s=300000.4 if "--integer" in words else 230000 if "float" in words else 240000, quantise_weights_ms=2.5, optimiser_ms=6.04,
        peak_memory_gb=35.25 if "32" in words else 67.7)
elif "prepare" in words:
    say(train_tokens=1000)
elif "generate" in words:
    print(json.dumps({"speed": {"new_tokens": 50, "new_s": 0.5}}, indent=1))
elif "train" in words:
    run = pathlib.Path(option("--workspace")) / "runs/local-1"
    run.mkdir(parents=True, exist_ok=True)
    ranks, events = int(option("--ranks", 1)), open(run / "events.jsonl", "a", buffering=1)
    record = lambda **fields: events.write(json.dumps(fields) + "\n")
    again, every = "--resume" in words, [int(word.split("=")[1]) for word in words if word.startswith("checkpoint.every=")]
    if again:
        record(type="resumed", step=2)
    for step in range(3 if again else 1, 9):
        record(type="step", step=step, time_s=step * (1.04 if ranks == 2 else 1.0), train_loss=11 - step / 10)
        if step == 2 and every[0]:
            record(type="checkpoint", step=2, ok=True)
            time.sleep(1000)
    layers = [{"layer": "seccomp", "state": "active"}, {"layer": "cgroup", "state": "unavailable"}]
    (run / "verdict.json").write_text(json.dumps({"jail": {"layers": layers}}))
    say(status="ok", message="", metrics={"val_loss": 10.25, "bits_per_weight": 1.585})
'''


class Bundle:
    def __init__(self, folder):
        self.root = folder / "bundle"
        for name in gpu.NEEDED:
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if name.startswith("bench/") and "peers" not in name:
                shutil.copy(ROOT / name, file)
            elif name.startswith("bin/") or name == gpu.PEER:
                self.program(file, len(pathlib.Path(name).parents) - 1)
            elif name == "tests/e2e/gpu_test.py":
                file.write_text("def test_nothing():\n    pass\n")
            else:
                file.write_text(f"bytes of {name}\n")
        self.program(folder / "path" / "bundle" / "nvidia-smi", 0)
        (folder / "python" / "torch").mkdir(parents=True)
        (folder / "python" / "torch" / "__init__.py").write_text("raise ImportError('it is looked for and not loaded')\n")
        self.path, self.python = folder / "path" / "bundle", folder / "python"
        (self.path / "faults.json").write_text("{}")

    def program(self, file, depth):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!{sys.executable} -S\n" + FAKE.replace("DEPTH", str(depth)))
        file.chmod(0o755)

    def run(self, *options, faults=None, cards=1, torch=True, visible=None):
        (self.root / "faults.json").write_text(json.dumps(faults or {}))
        (self.path / "faults.json").write_text(json.dumps({"nvidia-smi": {"out": "\n".join(["NVIDIA H200, 580.1"] * cards)}}))
        environment = {**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}", "PYTHONPATH": str(self.python) if torch else ""}
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        if visible:
            environment["CUDA_VISIBLE_DEVICES"] = visible
        self.done = subprocess.run([self.root / "bench/gpu.sh", self.root / "logs", *options], text=True, capture_output=True, timeout=100, env=environment)
        lines = [re.split(r"(?<!\\) *\| *", line.strip("| ")) for line in self.done.stdout.splitlines() if line.startswith("|")]
        self.rows = {line[0]: (line[1], *line[2:]) for line in lines[2:]}
        return self.done


@pytest.fixture
def bundle(tmp_path):
    return Bundle(tmp_path)


def fails(bundle, *names):
    """The rows that failed are these."""
    return sorted(name for name, cells in bundle.rows.items() if cells[0].startswith("failed: ")) == sorted(names)


def left(bundle):
    """Processes that still run with a path of the bundle in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if str(bundle.root).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() and int(pid) != os.getpid():
                found.append(pid)
        except OSError:
            pass
    return found


def test_the_table(bundle):
    done = bundle.run()
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["| what | measured | wanted |", "|---|---|---|"]
    rows = bundle.rows
    assert rows["GPU"][0] == "NVIDIA H200, 580.1"
    assert rows["tests of the kernels"][0] == "11 passed, 1 skipped"
    assert rows["ternary, bf16, tokens/s"] == ("240,000, not reached", "at least 250,000")
    assert rows["ternary, 64 x 1024, peak memory, GB"] == ("67.7", "under 80")
    assert rows["ternary, 32 x 1024, peak memory, GB"] == ("35.2", "under 40")
    assert rows["ternary, int8 forward, tokens/s"] == ("300,000", "at least 290,000")
    assert rows["ternary over the compiled peer's"] == ("2.40", "at least 1.50")
    assert rows["ternary over float"] == ("1.04", "at least 1")
    assert rows["`medium` in the jail, tokens/s"][0] == "262,144"
    assert rows["the same after kill -9"][0] == "went on from step 2 of 20; loss 10.90 to 10.20, scored 10.25 at 1.58 bits; the jail lacked cgroup"
    assert rows["what a second rank costs each, %"] == ("not measured: it needs two GPUs", "under 5")
    assert rows["1.1 billion packed ternary weights, new tokens/s"][0] == "100"
    assert rows["product of 8,192 cubed, bf16, TFLOP/s"][0] == "815"
    assert {"data preparation, tokens/s", "its peak memory, MB", "tests of whole runs", "peer: compiled PyTorch, float, tokens/s"} <= set(rows)
    assert left(bundle) == [] and not list((bundle.root / "logs").glob("tmp*"))


def test_every_program_that_is_called_is_packed(bundle):
    bundle.run()
    called = {line.split()[0] for line in (bundle.root / "calls").read_text().splitlines()}
    assert {f"bin/{name}" for name in called - {"nanogpt_bitlinear_gpu.py"}} == {name for name in gpu.NEEDED if name.startswith("bin/")} - {"bin/bitloop-trainer"}


def test_two_gpus(bundle):
    assert bundle.run(cards=2).returncode == 0
    assert bundle.rows["GPU"][0] == "NVIDIA H200, 580.1, one of 2"
    assert bundle.rows["what a second rank costs each, %"] == ("3.85", "under 5")
    bundle.run(cards=2, visible="1")
    assert bundle.rows["what a second rank costs each, %"][0] == "not measured: it needs two GPUs"


def test_what_fails_is_named_and_the_rest_goes_on(bundle):
    traceback = "Traceback (most recent call last):\n  File x\nRuntimeError: CUDA out of memory | all of it\n"
    done = bundle.run(faults={"bitloop_bench_gpu --integer": {"code": 1, "err": "UserWarning: old\ngpu_step: no int8 here\nmore"},
                              "nanogpt_bitlinear_gpu.py float": {"code": 1, "err": traceback}, "bitloop_bench_gpu 32": {"out": "nothing"},
                              "bitloop_bench_gpu --products": {"out": '{"error": "the driver vanished"}'}, "bitloop generate": {"out": "{}"},
                              "bitloop_cuda_tests": {"out": "there is no GPU here\n[  PASSED  ] 3 tests.\n[  SKIPPED ] 12 tests."},
                              "bitloop_device_tests": {"code": 1, "out": "x.cu:7: Failure\n[  FAILED  ] A.B"}})
    assert done.returncode == 1
    assert fails(bundle, "ternary, int8 forward, tokens/s", "ternary, int8 forward and for inputs' gradients, tokens/s",
                 "peer: compiled PyTorch, float, tokens/s", "ternary, 32 x 1024, peak memory, GB",
                 "product of 8,192 cubed, bf16, TFLOP/s", "1.1 billion packed ternary weights, new tokens/s", "tests of the kernels", "tests of devices")
    said = {name: cells[0] for name, cells in bundle.rows.items()}
    assert said["ternary, int8 forward, tokens/s"] == "failed: gpu_step: no int8 here"
    assert said["peer: compiled PyTorch, float, tokens/s"] == "failed: RuntimeError: CUDA out of memory \\| all of it"
    assert said["ternary, 32 x 1024, peak memory, GB"] == "failed: it printed no JSON"
    assert said["product of 8,192 cubed, bf16, TFLOP/s"] == "failed: the driver vanished"
    assert said["tests of the kernels"] == "failed: 12 tests were skipped: there is no GPU here"
    assert said["tests of devices"] == "failed: x.cu:7: Failure"
    assert bundle.rows["ternary, int8 forward, tokens/s"][1] == "at least 290,000"


def test_a_ratio_of_what_failed_fails(bundle):
    assert bundle.run(faults={"nanogpt_bitlinear_gpu.py": {"code": 1, "err": "no"}}).returncode == 1
    assert bundle.rows["ternary over the compiled peer's"] == ("failed: there is no 'peer: compiled PyTorch, ternary, tokens/s'", "at least 1.50")
    assert bundle.rows["ternary over float"][0] == "1.04"


@pytest.mark.parametrize("fault, said", [({"bitloop train --preset": {"code": 2, "out": '{"status": "refused", "message": "### train (medium)\\n[FAILED] no jail here"}'}}, "[FAILED] no jail here"),
                                         ({"bitloop train --resume": {"code": 1, "out": '{"status": "diverged", "message": "not finite"}'}}, "not finite"),
                                         ({"bitloop train --preset": {"out": "{}"}}, "it ended before its first checkpoint was written")])
def test_a_run_that_fails(bundle, fault, said):
    assert bundle.run(faults=fault).returncode == 1
    assert fails(bundle, "`medium` in the jail, tokens/s", "the same after kill -9")
    assert bundle.rows["the same after kill -9"][0] == f"failed: {said}" and left(bundle) == []


def test_one_deadline_bounds_everything(bundle):
    begun = time.monotonic()
    done = bundle.run("--seconds", "3", faults={"bitloop_bench_gpu --integer": "hang"})
    assert done.returncode == 1 and time.monotonic() - begun < 60
    rows = {name: cells[0] for name, cells in bundle.rows.items()}
    if not rows["ternary, int8 forward, tokens/s"].startswith("failed: no time"):  # on a machine so busy that it came to it late
        assert re.fullmatch(r"failed: it did not end within [0-3] s", rows["ternary, int8 forward, tokens/s"])
    for name in ("peer: compiled PyTorch, ternary, tokens/s", "`medium` in the jail, tokens/s", "data preparation, tokens/s"):
        assert rows[name] == "failed: no time was left for it"
    assert left(bundle) == []


def test_a_run_that_hangs_is_ended_with_all_its_processes(bundle):
    done = bundle.run("--seconds", "20", faults={"bitloop train": "hang"})
    assert done.returncode == 1 and bundle.rows["the same after kill -9"][0].startswith("failed: there was no checkpoint within")
    assert left(bundle) == []


def test_without_pytorch_or_with_half_a_bundle_it_says_so(bundle):
    done = bundle.run(torch=False)
    assert done.returncode == 3 and "no PyTorch" in done.stderr and done.stdout == ""
    (bundle.root / "quantizers/float.lua").unlink()
    done = bundle.run()
    assert done.returncode == 3 and "quantizers/float.lua" in done.stderr and done.stdout == ""
    said = subprocess.run([sys.executable, "-B", bundle.root / "bench/gpu.py", "--missing"], text=True, capture_output=True)
    assert (said.returncode, said.stdout) == (0, "quantizers/float.lua")

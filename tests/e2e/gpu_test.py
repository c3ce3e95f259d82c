"""Training on a GPU as a user starts it: in the jail, by the fused step and operation by operation, scored, repeated and packed;
killed and resumed. Needs an NVIDIA GPU, LibTorch's CUDA libraries (scripts/setup --cuda) and build/lib/libbitloop_cuda.so."""

import json
import os
import pathlib
import subprocess

import pytest

from bitloop import BIN, ROOT
from small import make_share

pytestmark = [
    pytest.mark.skipif(not pathlib.Path("/dev/nvidiactl").exists(), reason="there is no GPU here"),
    pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)"),
]


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    return make_share(tmp_path_factory.mktemp("share") / "share", steps=40)


def train(share, workspace, quantizer, *options):
    done = subprocess.run([BIN / "bitloop", "train", ROOT / f"quantizers/{quantizer}.lua", "--preset", "quick", "--workspace", workspace,
                           "--json", "--allow-degraded", "--set", "train.device=cuda", *options],
                          capture_output=True, text=True, timeout=600, env={**os.environ, "BITLOOP_SHARE": str(share)})
    assert done.stdout, done.stderr
    return json.loads(done.stdout), (newest_run(workspace) / "output.txt").read_text()


def newest_run(workspace):
    return max((workspace / "runs").iterdir(), key=lambda run: run.stat().st_mtime)


@pytest.mark.parametrize("quantizer", ["float", "ternary", "group64", "int4"])
def test_a_run_in_the_jail_is_the_fused_one_and_scores_like_the_processor(share, tmp_path, quantizer):
    there, said = train(share, tmp_path / "there", quantizer)
    assert there["status"] == "ok", (there["message"], said)
    assert "operation by operation" not in said
    assert there["metrics"]["device"] != "cpu"
    here, _ = train(share, tmp_path / "here", quantizer, "--set", "train.device=cpu")
    # Rounding differs from the first step on; after 40 steps the losses are alike, and bits the same.
    assert abs(there["metrics"]["val_loss"] - here["metrics"]["val_loss"]) < 0.05
    assert there["metrics"]["bits_per_weight"] == here["metrics"]["bits_per_weight"]


def test_operation_by_operation_is_there_for_what_the_kernels_do_not_know(share, tmp_path):
    eager, _ = train(share, tmp_path / "eager", "ternary", "--set", "train.execution=eager")
    assert eager["status"] == "ok", eager["message"]
    soft, said = train(share, tmp_path / "soft", "quest_ternary")
    assert soft["status"] == "ok", (soft["message"], said)
    assert "operation by operation" in said


def test_a_packed_model_says_on_the_gpu_what_it_says_on_the_processor(share, tmp_path):
    train(share, tmp_path, "ternary")
    run = newest_run(tmp_path)
    subprocess.run([BIN / "bitloop", "pack", run, "--output", tmp_path / "packed.safetensors", "--allow-degraded"], check=True, timeout=300)
    for model in (run, tmp_path / "packed.safetensors"):
        said = {}
        for device in ("cpu", "cuda"):
            done = subprocess.run([BIN / "bitloop", "generate", model, "--prompt", "To be", "--temperature", "0",
                                   "--max-new-tokens", "30", "--device", device, "--json", "--allow-degraded"], capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            said[device] = json.loads(done.stdout)
        assert said["cuda"]["device"] != "cpu"
        assert [each["tokens"] for each in said["cuda"]["generations"]] == [each["tokens"] for each in said["cpu"]["generations"]]


def test_two_runs_have_the_same_bits(share, tmp_path):
    losses = [train(share, tmp_path / name, "ternary")[0]["metrics"]["val_loss"] for name in ("one", "two")]
    assert losses[0] == losses[1]

"""quantizers/nativebit.lua in whole trainings: against NativeBit in PyTorch (nativebit_peer.py), what its records say, and that
neither evaluation nor a packed model ever has codes of an earlier step."""

import json
import math
import struct
import subprocess

import pytest

from bitloop import BIN, HERE
from packages import python
from qat_test import QUANTIZERS, Bench, safetensors, weights_of

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

MASK = (1 << 64) - 1
STEPS, ENTRIES, BLOCK = 4, 8, 64
TRAINING = {"train.learning_rate": 1e-3, "train.min_lr": 1e-4, "train.warmup_iters": 2, "train.weight_decay": 0.01, "train.batch": 4,
            "train.micro_batch": 4, "train.precision": "float32", "train.execution": "eager"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("nativebit"))


def sized(bench, entries, block, every=10, name="nativebit"):
    text = (QUANTIZERS / f"{name}.lua").read_text()
    for old, new in [("ENTRIES, BLOCK = 8, 128", f"ENTRIES, BLOCK = {entries}, {block}"), ("requantize_every = 10", f"requantize_every = {every}")]:
        assert old in text
        text = text.replace(old, new)
    file = bench.folder / f"{name}.lua"
    file.write_text(text)
    return file


def train(bench, file, *more, settings=()):
    done = bench.run("train", file, "--workspace", bench.workspace, "--json", "--init-from", "local/1", *more,
                     *(word for key, value in dict(settings).items() for word in ("--set", f"{key}={value}")))
    assert done.returncode == 0, done.stdout + done.stderr
    number = max(int(path.name.split("-")[1]) for path in (bench.workspace / "runs").iterdir())
    return number, bench.records(number), json.loads(done.stdout)["metrics"]


def mix(x):
    x = (x + 0x9e3779b97f4a7c15) & MASK
    x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & MASK
    x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & MASK
    return x ^ (x >> 31)


def batches(share, steps, rows, length, seed=42):
    """The training text, in windows at places drawn from seed, step and row."""
    files = sorted((share / "data" / "shakespeare").iterdir())
    text = b"".join(path.read_bytes() for i, path in enumerate(files) if not (i >= 3 and (i - 3) % 10 == 0))
    found = []
    for step in range(steps):
        places = [mix(mix(mix(seed) ^ step) ^ row) % (len(text) - length) for row in range(rows)]
        found.append([list(text[place:place + length + 1]) for place in places])
    return found


def numbers(path, name):
    header, data = safetensors(path)
    begin, end = header[name]["data_offsets"]
    return struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])


@pytest.mark.parametrize("every", [1, 3])
def test_steps_are_those_of_nativebit_in_pytorch(bench, every):
    number, records, _ = train(bench, sized(bench, ENTRIES, BLOCK, every), "--steps", STEPS, settings={**TRAINING, "eval.log_every": 1})
    rates = [record["lr"] for record in records if record["type"] == "step"]
    job = {"weights": str(weights_of(bench.folder_of(1))), "layers": 2, "heads": 2, "entries": ENTRIES, "block": BLOCK, "average": 0.99,
           "commitment": 1.0, "commitment_warmup": 200, "requantize_every": every, "rates": rates, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.95,
           "grad_clip": 1.0, "batches": batches(bench.share, STEPS, 4, 128)}
    done = subprocess.run([python(), HERE / "nativebit_peer.py"], input=json.dumps(job), text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    peer = json.loads(done.stdout)
    losses = [record["train_loss"] for record in records if record["type"] == "step"]
    # The first loss is of the same codes; later ones differ where a weight is near the middle of two entries.
    assert losses[0] == pytest.approx(peer["losses"][0], abs=2e-5)
    assert losses == pytest.approx(peer["losses"], abs=2e-3)
    path = weights_of(bench.folder_of(number))
    for name, wanted in peer["weights"].items():
        layer = name.removesuffix(".weight")
        size = math.sqrt(sum(w * w for w in wanted) / len(wanted))
        for key, theirs, within in [(name, wanted, 0.02), (f"{layer}.state.codebook", peer["codebooks"][name], 0.02)]:
            ours = numbers(path, key)
            assert len(ours) == len(theirs)
            apart = math.sqrt(sum((a - b) ** 2 for a, b in zip(ours, theirs)) / len(ours))
            assert apart < within * size, (key, apart, size)
        counts = numbers(path, f"{layer}.state.count")
        assert counts == pytest.approx(peer["counts"][name], abs=0.1)
        assert sum(counts) == pytest.approx(len(wanted), rel=1e-4)


def test_records_say_how_well_the_codebooks_serve(bench):
    _, records, metrics = train(bench, sized(bench, 8, 64))
    with_codes = [record for record in records if record["type"] in ("init_eval", "step", "val")]
    assert {record["type"] for record in with_codes} == {"init_eval", "step", "val"}
    for record in with_codes:
        assert 0 < record["quant_err_rms"] < 0.1
        assert 0.5 < record["cb_utilization"] <= 1 and 0 <= record["dead_frac"] < 0.2
    assert metrics["bits_per_weight"] == pytest.approx(3 + 8 * 16 / 64)
    assert metrics["packed_bits_per_weight"] == pytest.approx(metrics["bits_per_weight"], rel=0.011)
    _, ternary, _ = train(bench, QUANTIZERS / "ternary.lua")
    assert not any("dead_frac" in record for record in ternary)


def test_nothing_stale_is_scored_saved_or_packed(bench):
    """Codes are kept for 1,000 steps, so all that training made at its first step would still be in use at the end."""
    number, records, metrics = train(bench, sized(bench, 8, 64, 1000), settings={"train.learning_rate": 0.01, "train.min_lr": 0.01,
                                                                                 "train.schedule": "constant"})
    folder = bench.folder_of(number)
    # A packed model's codes are the nearest entries to the weights that were trained, not to the first ones.
    packed = bench.run("export", folder, "--to", bench.folder / "values")
    assert packed.returncode == 0, packed.stderr
    header, data = safetensors(bench.folder / "values" / "model.safetensors")
    name = "h.0.mlp.c_fc"
    begin, end = header[f"transformer.{name}.weight"]["data_offsets"]
    columns, rows = header[f"transformer.{name}.weight"]["shape"]  # (in, out)
    values = struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])
    latent = numbers(weights_of(folder), f"{name}.weight")
    first = numbers(weights_of(bench.folder_of(1)), f"{name}.weight")
    book = numbers(weights_of(folder), f"{name}.state.codebook")
    stale = 0
    for row in range(0, rows, 7):
        entries = [struct.unpack("<e", struct.pack("<e", value))[0] for value in book[row * 8:row * 8 + 8]]
        for column in range(columns):
            value, w, old = values[column * rows + row], latent[row * columns + column], first[row * columns + column]
            assert abs(w - value) <= min(abs(w - entry) for entry in entries) + 1e-6
            stale += abs(old - value) > min(abs(old - entry) for entry in entries) + 1e-6
    assert stale > 50  # so the codes of the first step are others
    (last,) = [record for record in records if record["type"] == "val" and record["step"] == 12]
    assert last["quant_err_rms"] == pytest.approx(metrics["quant_err_rms"], rel=1e-6)


@pytest.mark.parametrize("entries", [2, 256])
def test_any_number_of_entries(bench, entries):
    _, records, metrics = train(bench, sized(bench, entries, 64), "--steps", 2)
    assert metrics["bits_per_weight"] == pytest.approx(math.log2(entries) + entries * 16 / 64)
    dead = [record["dead_frac"] for record in records if record["type"] == "val"]
    assert dead[-1] == pytest.approx(0, abs=0.05) if entries == 2 else dead[-1] > 0.7


def test_a_killed_run_goes_on_to_the_same_bits(bench):
    """Only where codes are made anew is there a checkpoint; the averages come back from it."""
    _, _, whole = train(bench, sized(bench, 8, 64, 3), settings={"checkpoint.every": 4})
    _, _, again = train(bench, sized(bench, 8, 64, 3))
    assert whole["val_loss"] == again["val_loss"]


def test_one_entry_is_refused(bench):
    done = bench.run("train", sized(bench, 1, 64), "--workspace", bench.workspace, "--json", "--init-from", "local/1")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["status"] == "script_error" and "entries must be a whole number from 2 to 65536" in document["message"]


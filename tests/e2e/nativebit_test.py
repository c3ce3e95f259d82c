"""quantizers/nativebit.lua in whole trainings: against NativeBit in PyTorch (golden/nativebit.json, which nativebit_peer.py made),
what its records say, and that neither evaluation nor a packed model ever has codes of an earlier step.

PYTHON-WITH-TORCH tests/e2e/nativebit_peer.py makes the table anew."""

import json
import math
import struct

import pytest

from bitloop import BIN, HERE
from nativebit_model import BLOCK, ENTRIES, SHOWN, STEPS, TRAINING, write_huggingface
from qat_test import QUANTIZERS, Bench, safetensors, weights_of

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

GOLDEN = json.loads((HERE / "golden" / "nativebit.json").read_text())


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
    more = more if "--init-from" in more else ("--init-from", "local/1", *more)
    done = bench.run("train", file, "--workspace", bench.workspace, "--json", *more,
                     *(word for key, value in dict(settings).items() for word in ("--set", f"{key}={value}")))
    assert done.returncode == 0, done.stdout + done.stderr
    number = max(int(path.name.split("-")[1]) for path in (bench.workspace / "runs").iterdir())
    return number, bench.records(number), json.loads(done.stdout)["metrics"]


def numbers(path, name):
    header, data = safetensors(path)
    begin, end = header[name]["data_offsets"]
    return struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])


@pytest.mark.parametrize("every", [1, 3])
def test_steps_are_those_of_nativebit_in_pytorch(bench, every):
    peer = GOLDEN[str(every)]
    write_huggingface(bench.folder / "formula")
    number, records, _ = train(bench, sized(bench, ENTRIES, BLOCK, every), "--init-from", "formula", "--steps", STEPS,
                               settings={**TRAINING, "eval.log_every": 1})
    steps = [record for record in records if record["type"] == "step"]
    assert [record["lr"] for record in steps] == pytest.approx(peer["rates"])
    losses = [record["train_loss"] for record in steps]
    # The first loss is of the same codes; later ones differ where a weight is near the middle of two entries.
    assert losses[0] == pytest.approx(peer["losses"][0], abs=2e-5)
    assert losses == pytest.approx(peer["losses"], abs=2e-3)
    path = weights_of(bench.folder_of(number))
    size = math.sqrt(sum(value * value for value in peer["codebook"]) / len(peer["codebook"]))
    codebook, counts = numbers(path, f"{SHOWN}.state.codebook"), numbers(path, f"{SHOWN}.state.count")
    apart = math.sqrt(sum((a - b) ** 2 for a, b in zip(codebook, peer["codebook"], strict=True)) / len(codebook))
    assert apart < 1e-3 * size, (apart, size)
    assert counts == pytest.approx(peer["count"], abs=0.1)
    moved = math.sqrt(sum((a - b) ** 2 for a, b in zip(codebook, peer["first_codebook"])) / len(codebook))
    assert moved > 5 * apart  # training has moved the entries further than the two are apart
    weights = numbers(path, f"{SHOWN}.weight")[::37]
    assert weights == pytest.approx(peer["weights"], abs=2e-4)


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
    number, records, _ = train(bench, sized(bench, 8, 64, 1000), settings={"train.learning_rate": 0.01, "train.min_lr": 0.01,
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
    (result,) = [record for record in records if record["type"] == "result"]
    assert last["quant_err_rms"] == pytest.approx(result["metrics"]["quant_err_rms"], rel=1e-6)


@pytest.mark.parametrize("entries", [2, 256])
def test_any_number_of_entries(bench, entries):
    _, records, metrics = train(bench, sized(bench, entries, 64), "--steps", 2)
    assert metrics["bits_per_weight"] == pytest.approx(math.log2(entries) + entries * 16 / 64)
    dead = [record["dead_frac"] for record in records if record["type"] == "val"]
    assert dead[-1] == pytest.approx(0, abs=0.05) if entries == 2 else dead[-1] > 0.7


def test_checkpoints_in_between_change_no_bit(bench):
    """They are written only where codes are made anew."""
    _, _, with_them = train(bench, sized(bench, 8, 64, 3), settings={"checkpoint.every": 4})
    _, _, without = train(bench, sized(bench, 8, 64, 3))
    assert with_them["val_loss"] == without["val_loss"]


def test_one_entry_is_refused(bench):
    done = bench.run("train", sized(bench, 1, 64), "--workspace", bench.workspace, "--json", "--init-from", "local/1")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["status"] == "script_error" and "entries must be a whole number from 2 to 65536" in document["message"]


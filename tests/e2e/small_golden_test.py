"""The first 200 losses of `small`'s shapes on real text are those of golden/small_float.tsv, which PyTorch made without any of
bitloop's code (golden/make_small.py: model, first weights, order of the data, AdamW, clipping, schedule).

The tolerance is what rounding alone does, measured where it can be: the table has every loss in float32 and in float64, from the
same float32 weights. bitloop rounds as float32 does, in another order; so its losses may be as far from the float64 ones as
PyTorch's float32 ones are, times a factor for the luck of one order: FACTOR times the largest distance up to that step, and at
least FLOOR, float32's own steps at a loss of 11. bitloop's own
losses were within 5.1e-5 of the float64 ones at all 200 steps, a half of the band or less."""

import itertools
import json
import subprocess
import sys
import tarfile

import pytest

from bitloop import BIN, HERE, ROOT

sys.path.insert(0, str(HERE / "golden"))
import make_small  # noqa: E402  (golden/make_small.py)

FACTOR, FLOOR = 4, 4e-6
ARCHIVE = ROOT.parent / "shared" / "data" / "text-small.tar.xz"

pytestmark = [pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)"),
              pytest.mark.skipif(not ARCHIVE.exists(), reason="the shared data is not here")]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    with tarfile.open(ARCHIVE) as archive:
        for name in ("train.bin", "val.bin"):
            (folder / name).write_bytes(archive.extractfile(f"tinyshakespeare/{name}").read())
    return folder


def losses(folder, text, steps, *settings):
    s = make_small.SHAPES
    settings = {"model.layers": s["layers"], "model.heads": s["heads"], "model.width": s["width"], "model.context": s["context"],
                "train.batch": make_small.BATCH, "train.micro_batch": make_small.MICRO, "train.learning_rate": make_small.RATE,
                "train.min_lr": make_small.LOWEST, "train.warmup_iters": make_small.WARM_UP, "train.precision": "float32",
                "train.device": "cpu", "eval.log_every": 1, "eval.batches": 1, "limits.threads": 2, "limits.memory_mb": 8192,
                "data.path": text / "train.bin", "data.val_path": text / "val.bin", "checkpoint.every": 0,
                "train.steps": make_small.STEPS} | dict(settings)
    done = subprocess.run([BIN / "bitloop", "train", ROOT / "quantizers" / "float.lua", "--preset", "small", "--seed",
                           str(make_small.SEED), "--json", "--allow-degraded", "--workspace", folder, "--eval-every", "1000000",
                           *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))],
                          text=True, capture_output=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    records = map(json.loads, (folder / "runs" / "local-1" / "events.jsonl").read_text().splitlines())
    return [record["train_loss"] for record in records if record["type"] == "step"][:steps]


def bands(table):
    """(step, loss, tolerance): what rounding did so far grows, so the largest distance up to there counts."""
    apart = itertools.accumulate((abs(single - double) for _, single, double in table), max)
    return [(step, double, max(FLOOR, FACTOR * distance)) for (step, _, double), distance in zip(table, apart)]


def outside(found, table):
    return [f"step {step}: {loss:.7g} instead of {wanted:.7g}, more than {band:.2g} apart"
            for loss, (step, wanted, band) in zip(found, bands(table)) if not abs(loss - wanted) <= band]


def test_the_losses_of_200_steps_are_pytorchs(tmp_path, text):
    table = make_small.read()
    found = losses(tmp_path, text, make_small.STEPS)
    assert len(found) == len(table) == make_small.STEPS
    assert outside(found, table) == []
    assert found[0] > 10.7 and sum(found[-20:]) < 20 * 6.5  # and it learns


def test_the_band_is_narrow():
    table = make_small.read()
    assert [step for step, _, _ in table] == list(range(1, make_small.STEPS + 1))
    assert bands(table)[-1][2] < 0.06 and bands(table)[19][2] < 0.0005
    moved = [single + 2 * band for (_, single, _), (_, _, band) in zip(table, bands(table))]
    assert len(outside(moved, table)) > 150
    assert len(outside([single for _, single, _ in table], table)) == 0

"""The first 200 losses of `small`'s shapes on real text are those of golden/small_float.tsv and small_ternary.tsv, which PyTorch made
without any of bitloop's code but the tokens (golden/make_small.py: model, first weights, order of the data, quantizer, AdamW, clipping,
schedule; it says how to make the tables anew). float trains in float32 operation by operation, ternary as the preset does: in
bfloat16, by the fused step.

The tolerance is what rounding alone does, measured where it can be: the tables have every loss in float64 and in other roundings, from
the same float32 weights. bitloop rounds in yet another order; so its losses may be as far from the float64 ones as PyTorch's rounded ones
are, times a factor for the luck of one order: FACTOR times the largest distance of the last NEAR steps, and at least FLOOR, float32's own
steps at a loss of 11. Not of all steps before: where the loss has a spike, rounding decides how high it is (at step 89 of ternary's one
rounding is 0.45 off), and some steps later the losses are together again.

float: the other rounding is float32. bitloop's losses were within 3.1e-5 of the float64 ones at all 200 steps, a seventh of the band or less.

ternary: float32, bfloat16 factors of products, and all of a step in bfloat16. A rounding that moves a weight or an activation across the
edge between two codes moves the loss by more than itself, so the band begins at 2.5e-4, is 0.003 at step 20 and 0.06 to 0.2 after
step 60. bitloop's losses took 0.66 of it with two threads and with one, and 0.19 in float32. Rules that are 2% off are seen in the first 20
steps (RULES in make_small.py). What rounding hides is not: activations in 7 bits or float, or no gradient for weights that are clipped,
stayed within the band for 60 steps; gradients are the tests' of trainer/model.
"""

import json
import subprocess
import sys

import pytest

from bitloop import BIN, HERE, ROOT

sys.path.insert(0, str(HERE / "golden"))
import make_small  # noqa: E402  (golden/make_small.py)

FACTOR, FLOOR, NEAR = 4, 4e-6, 10
ROUNDINGS = {"float": ("train",), "ternary": ("train", "bfloat16", "stream")}
PRECISION = {"float": "float32", "ternary": "bfloat16"}
needs_trainer = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_small.prepared(ROOT / ".deps" / "data" / "shakespeare", tmp_path_factory.mktemp("tokens"), BIN)


def losses(folder, shards, quantizer):
    s = make_small.SHAPES
    settings = {"model.layers": s["layers"], "model.heads": s["heads"], "model.width": s["width"], "model.context": s["context"],
                "train.batch": make_small.BATCH, "train.micro_batch": make_small.MICRO, "train.learning_rate": make_small.RATE,
                "train.min_lr": make_small.LOWEST, "train.warmup_iters": make_small.WARM_UP, "train.precision": PRECISION[quantizer],
                "train.device": "cpu", "eval.log_every": 1, "eval.batches": 1, "limits.threads": 2, "limits.memory_mb": 8192,
                "data.format": "llmc", "data.path": shards[0], "data.val_path": shards[1], "checkpoint.every": 0, "train.steps": make_small.STEPS}
    done = subprocess.run([BIN / "bitloop", "train", ROOT / "quantizers" / f"{quantizer}.lua", "--preset", "small", "--seed",
                           str(make_small.SEED), "--json", "--allow-degraded", "--workspace", folder, "--eval-every", "1000000",
                           *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))],
                          text=True, capture_output=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    events = (folder / "runs" / "local-1" / "events.jsonl").read_text()
    records = map(json.loads, events.splitlines())
    return [record["train_loss"] for record in records if record["type"] == "step"]


def bands(table, quantizer):
    """(step, loss, tolerance)"""
    apart = [max(abs(table[name][i] - double) for name in ROUNDINGS[quantizer]) for i, double in enumerate(table["double"])]
    return [(i + 1, double, max(FLOOR, FACTOR * max(apart[max(0, i - NEAR):i + 1]))) for i, double in enumerate(table["double"])]


def outside(found, table, quantizer):
    return [f"step {step}: {loss:.7g} instead of {wanted:.7g}, more than {band:.2g} apart"
            for loss, (step, wanted, band) in zip(found, bands(table, quantizer)) if not abs(loss - wanted) <= band]


@needs_trainer
@pytest.mark.parametrize("quantizer", ["float", "ternary"])
def test_the_losses_of_200_steps_are_pytorchs(tmp_path, shards, quantizer):
    found = losses(tmp_path, shards, quantizer)
    assert len(found) == make_small.STEPS
    assert outside(found, make_small.read(quantizer), quantizer) == []
    assert found[0] > 10.7 and sum(found[-20:]) < 20 * 6.5  # and it learns


@pytest.mark.parametrize("quantizer", ["float", "ternary"])
def test_the_band_holds_each_rounding_and_is_narrow(quantizer):
    table = make_small.read(quantizer)
    band = bands(table, quantizer)
    early, late = {"float": (0.0005, 0.005), "ternary": (0.005, 0.1)}[quantizer]
    assert band[19][2] < early and band[-1][2] < late
    for name in ROUNDINGS[quantizer]:
        assert outside(table[name], table, quantizer) == []
    moved = [loss + 2 * wide for _, loss, wide in band]
    assert len(outside(moved, table, quantizer)) == make_small.STEPS


@pytest.mark.parametrize("rule", make_small.RULES)
def test_another_rule_is_outside_of_ternarys_band(rule):
    table = make_small.read("ternary")
    assert len(outside(table[rule][:20], table, "ternary")) > 5

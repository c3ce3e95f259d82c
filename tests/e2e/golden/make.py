#!/usr/bin/env python3
"""Writes quick_ternary.tsv, the losses that golden_test.py compares with: python3 tests/e2e/golden/make.py [BIN_DIR].

To be run, and its result looked at and committed, when the training rule changes on purpose: the model, the optimiser, the
order of the data, the schedule, the evaluation, or quantizers/ternary.lua. A change that is only for speed needs no new file.
BIN_DIR holds the programs (default build/bin)."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "quick_ternary.tsv"
COLUMNS = ("step", "kind", "value")


def losses(bin_dir, *settings):
    """[(step, kind, value)] of all 400 steps: kind is "lr", "train", "val" (20 batches) or "final" (the score, the whole split).
    `settings`: more of `bitloop train`'s --set, to see what a change does."""
    share = pathlib.Path(os.environ.get("BITLOOP_SHARE", bin_dir.parent / "share" / "bitloop"))
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        done = subprocess.run([bin_dir / "bitloop", "train", share / "quantizers" / "ternary.lua", "--preset", "quick", "--seed",
                               "42", "--json", "--allow-degraded", "--workspace", folder, "--set", "eval.log_every=1", "--set",
                               "eval.every=20", *(word for setting in settings for word in ("--set", setting))],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = (pathlib.Path(folder) / "runs" / "local-1" / "events.jsonl").read_text().splitlines()
    rows = []
    for record in map(json.loads, lines):
        if record["type"] == "step":
            rows += [(record["step"], "train", record["train_loss"]), (record["step"], "lr", record["lr"])]
        elif record["type"] in ("val", "init_eval"):
            rows.append((record["step"], "val", record["val_loss"]))
    return sorted(rows) + [(400, "final", json.loads(done.stdout)["metrics"]["val_loss"])]


def read():
    header, *lines = [line.split("\t") for line in TABLE.read_text().splitlines()]
    assert tuple(header) == COLUMNS
    return [(int(step), kind, float(value)) for step, kind, value in lines]


def main():
    bin_dir = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[2] / "build" / "bin").resolve()
    rows = losses(bin_dir)
    TABLE.write_text("\t".join(COLUMNS) + "\n" + "".join(f"{step}\t{kind}\t{value!r}\n" for step, kind, value in rows))
    print(f"{len(rows)} numbers, the last {rows[-1][2]:.4f}")


if __name__ == "__main__":
    main()

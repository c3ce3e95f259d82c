#!/usr/bin/env python3
"""What it costs to train in several processes: tokens/s of each rank against those of one alone.

Every rank has one thread and 16 sequences a step of `tiny`'s shapes, so that alone and together each does the same work, and all that is
added is the exchange of gradients and waiting for the others. Runs alternate; of each run the fastest steps count: the tenth of them that took
least. Usage: bench/ranks.py [--ranks 2] [--rounds 3] [--steps 60]"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(os.environ.get("BITLOOP_BIN", ROOT / "build" / "bin"))
SEQUENCES, TOKENS = 16, 128


def make_share(folder):
    """The share folder with few texts: evaluations are not what is measured."""
    original = BIN.parent / "share" / "bitloop"
    shutil.copytree(original, folder, symlinks=True, ignore=shutil.ignore_patterns("data"))
    (folder / "data" / "shakespeare").mkdir(parents=True)
    for text in sorted((original / "data" / "shakespeare").iterdir())[:5]:
        (folder / "data" / "shakespeare" / text.name).write_text(text.read_text()[:60_000])
    return folder


def step_seconds(folder, share, ranks, steps):
    """Mean seconds of the fastest tenth of a run's steps."""
    workspace = folder / f"workspace-{len(list(folder.iterdir()))}"
    settings = {"train.batch": SEQUENCES * ranks, "train.micro_batch": SEQUENCES, "limits.threads": ranks, "eval.log_every": 1, "eval.batches": 1}
    subprocess.run(
        [BIN / "bitloop", "train", ROOT / "quantizers" / "ternary.lua", "--preset", "quick", "--ranks", str(ranks), "--steps", str(steps),
         "--eval-every", str(steps), "--workspace", workspace, "--allow-degraded", "--json",
         *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))],
        check=True, stdout=subprocess.DEVNULL, env={**os.environ, "BITLOOP_SHARE": str(share)})
    records = map(json.loads, (workspace / "runs" / "local-1" / "events.jsonl").read_text().splitlines())
    times = [record["time_s"] for record in records if record["type"] == "step"]
    took = sorted(after - before for before, after in zip(times, times[1:]))
    fastest = took[:max(1, len(took) // 10)]
    return sum(fastest) / len(fastest)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        share = make_share(folder / "share")
        best = {}
        for _ in range(options.rounds):
            for ranks in (1, options.ranks):
                took = step_seconds(folder, share, ranks, options.steps)
                best[ranks] = min(took, best.get(ranks, took))
    alone, together = (SEQUENCES * TOKENS / best[ranks] for ranks in (1, options.ranks))
    print(f"one rank:  {alone:,.0f} tokens/s")
    print(f"{options.ranks} ranks:   {together:,.0f} tokens/s each, {options.ranks * together:,.0f} together: {1 - together / alone:.1%} lost")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Whether training grows: peak memory of a short run and of a long one, the same but for the number of steps.

    bench/memory.py [FILE...] [--short 1000] [--long 10000]

A leak of one KiB a step would be 9 MiB here. The long run takes about four minutes on two quiet cores."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]


def peak_mib(quantizer, steps, workspace, flags):
    command = [ROOT / "build/bin/bitloop", "train", quantizer, "--preset", "tiny", "--steps", steps, "--eval-every", steps,
               "--workspace", workspace, "--json", *flags]
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True)
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"bench: {' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    if document["status"] != "ok":
        sys.exit(f"bench: {quantizer} ended as {document['status']}: {document['message']}")
    return document["metrics"]["peak_memory_mb"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, default=[ROOT / "quantizers/ternary.lua"])
    parser.add_argument("--short", type=int, default=1000)
    parser.add_argument("--long", type=int, default=10000)
    parser.add_argument("--allow-degraded", action="store_true", help="as for bitloop train")
    options = parser.parse_args()
    flags = ["--allow-degraded"] if options.allow_degraded else []
    print(f"| file | {options.short:,} steps, MiB | {options.long:,} steps, MiB |\n|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bitloop-bench-") as workspace:
        for quantizer in options.files:
            short, long = (peak_mib(quantizer, steps, workspace, flags) for steps in (options.short, options.long))
            print(f"| `{quantizer.name}` | {short:.0f} | {long:.0f} |", flush=True)


if __name__ == "__main__":
    main()
